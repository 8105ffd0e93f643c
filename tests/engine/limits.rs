//! Limits on everything that a peer can fill, what is heard when one is reached, and fairness.

use std::{
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use facade_engine::{
    Bytes, Callback, Engine, Handle, Limits, LineGlob, Local, Pattern, Regex, Stream,
};
use facade_tests::{
    alone::alone,
    memory::resident,
    outcome::Outcome,
    peers::{arrived, numbered, unstuff},
    told::{Basket, Told},
    turns::{turn_until, turns},
};

use super::driver::{self, descriptors, full_pair, pair, pass};

fn engine_with(limits: Limits) -> Engine {
    driver::builder().limits(limits).build().unwrap()
}

// Reads

/// Submits each read that the limit of a line bounds.
fn submit_bounded_reads(engine: &Handle, stream: &Stream, told: &Told) {
    engine.read_line(stream, told.callback("line"));
    engine.read_until(stream, ";", told.callback("until"));
    engine.read_until_lineglob(stream, LineGlob::new("z*").unwrap(), told.callback("glob"));
    engine.read_until_regex(stream, Regex::new("z").unwrap(), told.callback("regex"));
    engine.read_until_any(stream, [Pattern::bytes("z")], told.callback("any"));
    engine.expect_line(stream, "z", told.callback("expect"));
}

const BOUNDED: [&str; 6] = ["line", "until", "glob", "regex", "any", "expect"];

#[test]
fn promise_14_reads_by_pattern_are_bounded_by_the_limit_of_a_line() {
    let engine = engine_with(Limits { line: 10, ..Limits::default() });
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"0123456789a").unwrap();
    submit_bounded_reads(&engine, &stream, &told);
    engine.run().unwrap();
    assert_eq!(told.take(), BOUNDED.map(|name| format!("{name} TooLong(10)")));
    // Nothing was taken: the bytes are all there for a read with room for them.
    engine.set_limits(&stream, Limits { line: 12, ..Limits::default() });
    engine.read_line(&stream, told.value("more room"));
    peer.write_all(b"\n").unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["more room b\"0123456789a\""]);
}

#[test]
fn promise_14_a_line_as_long_as_the_limit_is_read() {
    let engine = engine_with(Limits { line: 10, ..Limits::default() });
    let (mut peer, stream) = pair(&engine);
    peer.write_all(b"123456789\n12345678\r\n").unwrap();
    let told = Told::new();
    engine.read_line(&stream, told.value("lf"));
    engine.read_line(&stream, told.value("crlf"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["lf b\"123456789\"", "crlf b\"12345678\""]);
}

#[test]
fn promise_14_read_all_and_read_exact_are_bounded_by_the_limit_of_all() {
    let engine = engine_with(Limits { all: 10, line: 2, ..Limits::default() });
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"0123456789a").unwrap();
    engine.read_all(&stream, told.callback("all"));
    engine.read_exact(&stream, 11, told.callback("exact"));
    engine.read_exact(&stream, 10, told.value("fits"));
    drop(peer);
    engine.read_all(&stream, told.value("rest"));
    engine.run().unwrap();
    let expected = ["all TooLong(10)", "exact TooLong(10)", "fits b\"0123456789\"", "rest b\"a\""];
    assert_eq!(told.take(), expected);
}

#[test]
fn promise_14_the_default_limits_are_those_of_the_contract() {
    let default = Limits::default();
    assert_eq!((default.line, default.all), (1 << 20, 16 << 20));
    assert_eq!((default.unread, default.unsent), (64 << 10, 64 << 10));
    assert_eq!((default.queued, default.accepted), (16 << 20, 64));
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    engine.read_line(&stream, told.callback("line"));
    let writer = thread::spawn(move || drop(peer.write_all(&vec![b'x'; (1 << 20) + 1])));
    engine.run().unwrap();
    assert_eq!(told.take(), ["line TooLong(1048576)"]);
    drop(stream);
    engine.run().unwrap();
    writer.join().unwrap();
}

#[test]
fn promise_14_limits_set_on_a_stream_hold_for_it_alone_and_from_then_on() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let (mut other_peer, other) = pair(&engine);
    let told = Told::new();
    engine.read_line(&stream, told.value("before"));
    engine.set_limits(&stream, Limits { line: 3, ..Limits::default() });
    engine.read_line(&stream, told.value("after"));
    engine.read_line(&other, told.value("other"));
    turns(&engine, 1);
    peer.write_all(b"long\n").unwrap();
    turn_until(&engine, || told.len() == 1);
    assert_eq!(told.take(), ["before b\"long\""]);
    peer.write_all(b"long\n").unwrap();
    turn_until(&engine, || told.len() == 1);
    assert_eq!(told.take(), ["after TooLong(3)"]);
    other_peer.write_all(b"long\n").unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["other b\"long\""]);
}

/// Writes as much of `data` as goes in while the engine turns. Returns how much that was.
fn flood(engine: &Engine, peer: &driver::Peer, data: &[u8]) -> usize {
    peer.set_nonblocking(true).unwrap();
    // Or a turn would not look at the system, with nothing pending.
    let _guard = engine.keep_alive();
    let (mut total, mut refusals) = (0, 0);
    while refusals < 5 {
        match (&mut &*peer).write(&data[total..]) {
            Ok(count) => (total, refusals) = (total + count, 0),
            Err(_) => refusals += 1,
        }
        turns(engine, 1);
    }
    total
}

#[test]
fn promise_14_a_stream_nobody_reads_is_read_ahead_a_little_and_no_more() {
    let engine = engine_with(Limits { all: 64 << 20, ..Limits::default() });
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    engine.read_exact(&stream, 1, told.callback("first"));
    peer.write_all(b"!").unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["first Ok"]);

    let total = flood(&engine, &peer, &numbered(32 << 20));
    let buffered = Outcome::new();
    engine.buffered(&stream, buffered.callback());
    engine.run().unwrap();
    is_read_ahead_a_little(&engine, buffered.value());
    assert!(total < 2 << 20, "the peer could write {total}");

    // It goes on where it stopped, and nothing was lost.
    let rest: Outcome<Bytes> = Outcome::new();
    engine.read_exact(&stream, total, rest.callback());
    turn_until(&engine, || rest.is_there());
    assert!(rest.value() == numbered(total));
}

/// With the default limits.
fn is_read_ahead_a_little(engine: &Engine, buffered: usize) {
    assert!(buffered >= 64 << 10, "{buffered}");
    let turn = if engine.driver() == "io_uring" { 33 * (64 << 10) } else { 128 << 10 };
    assert!(buffered <= (64 << 10) + turn, "the limit and what one turn brings: {buffered}");
}

#[test]
fn promise_14_a_stream_whose_matcher_has_much_to_look_at_is_read_ahead_a_little_and_no_more() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    let told = Told::new();
    // Thousands of states at each byte.
    let regex = Regex::new("x[a-z]{0,4000}!").unwrap();
    let cancel = engine.read_until_regex(&stream, regex, told.callback("found"));
    let total = flood(&engine, &peer, &b"xy".repeat(16 << 20));
    assert!(told.is_empty(), "it goes on");
    assert!(total < 2 << 20, "the peer could write {total}");
    cancel.cancel();
    let buffered = Outcome::new();
    engine.buffered(&stream, buffered.callback());
    turn_until(&engine, || buffered.is_there());
    is_read_ahead_a_little(&engine, buffered.value());
    assert_eq!(told.take(), ["found Cancelled"]);
}

#[test]
fn promise_14_a_stream_that_was_never_read_is_not_read_ahead() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    flood(&engine, &peer, &numbered(32 << 20));
    let told = Told::new();
    engine.buffered(&stream, told.value("buffered"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["buffered 0"]);
}

// Connections

#[test]
fn promise_14_a_listener_takes_64_connections_ahead_and_leaves_the_others_in_its_backlog() {
    alone(
        module_path!(),
        "promise_14_a_listener_takes_64_connections_ahead_and_leaves_the_others_in_its_backlog",
        || {
            for limit in [64, 3] {
                let engine = engine_with(Limits { accepted: limit, ..Limits::default() });
                let listener = engine.listen("127.0.0.1:0").unwrap();
                let address = listener.local_addr().unwrap();
                let clients: Vec<_> = (0..300).map(|_| driver::connect(address).unwrap()).collect();
                let before = descriptors();
                let _guard = engine.keep_alive();
                let taken: Outcome<Stream> = Outcome::new();
                engine.accept(&listener, taken.callback());
                turns(&engine, 10);
                let taken = taken.value();
                // And the one that was taken; a kernel that accepts by itself is told to stop when
                // it has accepted what its own backlog held.
                let ahead = descriptors() - before;
                assert!((limit + 1..=clients.len()).contains(&ahead), "{ahead}");
                if engine.driver() == "mio" {
                    assert_eq!(ahead, limit + 1);
                }
                let all = Told::new();
                for _ in 1..clients.len() {
                    engine.accept(&listener, all.callback("accept"));
                }
                turn_until(&engine, || all.len() == clients.len() - 1);
                drop(taken);
            }
        },
    );
}

// Writes

#[test]
fn promise_14_a_write_behind_too_much_unsent_is_overloaded() {
    let engine = engine_with(Limits { queued: 1000, unsent: 0, ..Limits::default() });
    let (peer, stream, stuffed) = full_pair(&engine);
    let told = Told::new();
    engine.write(&stream, numbered(1000), told.value("first"));
    engine.write(&stream, numbered(1), told.value("second"));
    engine.write(&stream, numbered(1), told.value("third"));
    turns(&engine, 3);
    assert_eq!(told.take(), ["third Overloaded"], "the limit is reached, not before");
    let mut received = unstuff(&peer, stuffed);
    engine.run().unwrap();
    assert_eq!(told.take(), ["first 1000", "second 1"]);
    engine.write(&stream, numbered(1), told.value("later"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["later 1"]);
    received.extend(arrived(&peer));
    assert_eq!(received, [numbered(1000), numbered(1), numbered(1)].concat());
}

// Work

// Fairness

#[test]
fn promise_15_a_quiet_stream_is_served_while_another_floods() {
    let engine = driver::engine();
    let (flooding_peer, flooded) = pair(&engine);
    let done = Arc::new(AtomicBool::new(false));
    let flooder = thread::spawn({
        let done = Arc::clone(&done);
        move || {
            while !done.load(SeqCst) && (&flooding_peer).write(&[b'x'; 64 << 10]).is_ok() {}
        }
    });
    swallow(&engine, flooded.clone());
    let told = Told::new();
    let quiet: Vec<_> = (0..20).map(|_| pair(&engine)).collect();
    for _ in 0..10 {
        for (peer, stream) in &quiet {
            (&mut &*peer).write_all(b"quiet\n").unwrap();
            engine.read_line(stream, told.callback("line"));
        }
        // However much comes from the flood: each turn looks at every stream.
        turns(&engine, 10);
        assert_eq!(told.take().len(), quiet.len());
    }
    done.store(true, SeqCst);
    engine.abort(&flooded);
    turns(&engine, 3);
    flooder.join().unwrap();
}

/// Reads and throws away, for ever.
fn swallow(engine: &Handle, stream: Stream) {
    let again = stream.clone();
    let next = move |engine: &Local, _: Bytes| swallow(engine, again);
    engine.read_chunk(&stream, 64 << 10, Callback::new(next, |_, _| ()));
}

#[test]
fn promise_15_work_on_one_stream_is_bounded_in_each_turn() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    // Tiny lines, as many as the system takes at once.
    peer.set_nonblocking(true).unwrap();
    while peer.write(&b"\n".repeat(64 << 10)).is_ok() {}
    let lines = Arc::new(AtomicUsize::new(0));
    count_lines(&engine, stream, Arc::clone(&lines));
    let mut most = 0;
    turn_until(&engine, || {
        let before = lines.load(SeqCst);
        engine.run_once(Some(Duration::ZERO)).unwrap();
        most = most.max(lines.load(SeqCst) - before);
        before > 100_000
    });
    assert!(most < 5_000, "{most} callbacks in one turn");
}

fn count_lines(engine: &Handle, stream: Stream, lines: Arc<AtomicUsize>) {
    let again = stream.clone();
    let next = move |engine: &Local, _: Bytes| {
        lines.fetch_add(1, SeqCst);
        count_lines(engine, again, lines);
    };
    engine.read_line(&stream, Callback::new(next, |_, _| ()));
}

#[test]
fn promise_15_timers_and_other_threads_are_seen_while_callbacks_never_cease() {
    let engine = driver::engine();
    let told = Told::new();
    engine.post(for_ever);
    engine.sleep(Duration::from_millis(1), told.callback("timer"));
    turns(&engine, 1);
    pass(Duration::from_millis(2));
    turns(&engine, 2);
    assert_eq!(told.take(), ["timer Ok"]);
    let (handle, notes) = (engine.handle().clone(), told.clone());
    thread::spawn(move || handle.post(move |_| notes.note("posted"))).join().unwrap();
    turns(&engine, 2);
    assert_eq!(told.take(), ["posted"]);
}

fn for_ever(local: &Local) {
    local.post(for_ever);
}

/// What is counted is how many of the posts had run when something else did.
#[test]
fn promise_15_a_million_posts_of_one_callback_hold_up_no_timer_no_stream_and_no_thread() {
    const MILLION: usize = 1_000_000;
    const FEW: usize = 100_000;
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let run = Arc::new(AtomicUsize::new(0));
    let seen = Basket::new();
    let count = |what: &'static str| {
        let (run, seen) = (Arc::clone(&run), seen.clone());
        move || seen.put((what, run.load(SeqCst)))
    };
    let (timer, line, posted) = (count("timer"), count("line"), count("posted"));
    engine.read_line(&stream, Callback::from_fn(move |_, _| line()));
    turns(&engine, 1);
    engine.post({
        let run = Arc::clone(&run);
        move |local| {
            for number in 0..MILLION {
                let run = Arc::clone(&run);
                local.post(move |_| assert_eq!(run.fetch_add(1, SeqCst), number));
            }
            local.sleep(Duration::ZERO, Callback::from_fn(move |_, _| timer()));
        }
    });
    turns(&engine, 1);
    let handle = engine.handle().clone();
    thread::spawn(move || handle.post(move |_| posted())).join().unwrap();
    peer.write_all(b"line\n").unwrap();
    pass(Duration::from_millis(10));
    turns(&engine, 4);
    let mut heard = seen.take();
    heard.sort_unstable();
    assert_eq!(
        heard.iter().map(|(what, _)| *what).collect::<Vec<_>>(),
        ["line", "posted", "timer"]
    );
    assert!(heard.iter().all(|&(_, run)| (1..FEW).contains(&run)), "{heard:?}");
    // What is posted from now on stands behind them, in a turn or between two.
    let (inside, outside) = (count("inside"), count("outside"));
    engine.sleep(
        Duration::ZERO,
        Callback::from_fn(move |local: &Local, _| local.post(move |_| inside())),
    );
    turns(&engine, 1);
    engine.post(move |_| outside());
    engine.run().unwrap();
    assert_eq!(seen.take(), [("inside", MILLION), ("outside", MILLION)]);
}

#[test]
fn promise_15_a_million_posts_of_another_thread_hold_up_no_timer() {
    const MILLION: usize = 1_000_000;
    const FEW: usize = 100_000;
    let engine = driver::engine();
    let run = Arc::new(AtomicUsize::new(0));
    let (handle, counted) = (engine.handle().clone(), Arc::clone(&run));
    let flood = move || {
        for number in 0..MILLION {
            let run = Arc::clone(&counted);
            handle.post(move |_| assert_eq!(run.fetch_add(1, SeqCst), number));
        }
    };
    thread::spawn(flood).join().unwrap();
    turns(&engine, 1);
    let (before, at) = (Arc::clone(&run), Basket::new());
    let (told, still) = (at.clone(), run.load(SeqCst));
    engine.sleep(Duration::ZERO, Callback::from_fn(move |_, _| told.put(before.load(SeqCst))));
    turns(&engine, 3);
    assert!(at.only() - still < FEW);
    engine.run().unwrap();
    assert_eq!(run.load(SeqCst), MILLION);
}

#[test]
fn promise_15_a_listener_that_floods_does_not_starve_a_stream() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    accept_all(&engine, listener.clone());
    let _clients: Vec<_> = (0..120).map(|_| driver::connect(address).unwrap()).collect();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"line\n").unwrap();
    engine.read_line(&stream, told.callback("line"));
    turns(&engine, 3);
    assert_eq!(told.take(), ["line Ok"]);
}

fn accept_all(engine: &Handle, listener: facade_engine::Listener) {
    let again = listener.clone();
    let next = move |engine: &Local, _: Stream| accept_all(engine, again);
    engine.accept(&listener, Callback::new(next, |_, _| ()));
}

// Memory

/// Keeps a write in hand, for which the one before it says when.
fn write_for_ever(engine: &Handle, stream: Stream, data: Bytes) {
    let (again, more) = (stream.clone(), data.clone());
    let next = Callback::from_fn(move |engine: &Local, outcome: facade_engine::Result<usize>| {
        if outcome.is_ok() {
            write_for_ever(engine, again, more);
        }
    });
    engine.write(&stream, data, next);
}

/// As to a child that reads its input more slowly than the program writes it.
#[test]
fn promise_14_what_was_sent_takes_no_memory_although_there_is_always_more_to_send() {
    let name = "promise_14_what_was_sent_takes_no_memory_although_there_is_always_more_to_send";
    alone(module_path!(), name, || {
        const MORE_MAX: usize = 8 << 20;
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        for _ in 0..200 {
            write_for_ever(&engine, stream.clone(), Bytes::from(vec![7; 1000]));
        }
        turns(&engine, 3);
        let (mut block, mut before) = (vec![0; 4000], 0);
        for times in 0..10_000 {
            peer.read_exact(&mut block).unwrap();
            turns(&engine, 1);
            if times == 1000 {
                before = resident();
            }
        }
        let more = resident().saturating_sub(before);
        assert!(more < MORE_MAX, "36 MB were sent, and {more} bytes of memory taken");
    });
}
