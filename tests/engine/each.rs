//! Repeating operations: what the handler was given is taken, what it was not given is there for the
//! next, and the callback hears once how it ended.

use std::{
    cell::{Cell, RefCell},
    io::{Read, Write},
    net::Shutdown,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use facade_engine::{Bytes, Callback, Cancel, Engine, Limits, Local, Result, Stream};
use facade_tests::{
    peers::reset,
    skipped::misses_resets,
    sockets::Sign,
    told::{Basket, Told},
    turns::{SOON, turn_until, turns},
};

use super::driver::{self, full_pair, pair, pass, tcp_pair, wait_for};

const TIMEOUT: Duration = SOON;
/// What the engine sends before it says that much is unsent.
const UNSENT: usize = 4096;

/// Calls for each line, which it notes, and notes the end.
fn note_lines(engine: &Engine, stream: &Stream, told: &Told) -> Cancel {
    let note = told.clone();
    let f = move |_: &Local, line: Bytes| note.note(text(&line));
    told.submitting(|| engine.each_line(stream, f, told.callback("end")))
}

fn text(line: &[u8]) -> String {
    String::from_utf8(line.to_vec()).unwrap()
}

#[test]
fn promise_11_each_line_is_given_every_line_however_they_are_cut_and_then_the_end() {
    let sent = b"one\r\n\ntwo\nthree four\r\n";
    for cut in 1..=sent.len() {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        note_lines(&engine, &stream, &told);
        for part in sent.chunks(cut) {
            peer.write_all(part).unwrap();
            turns(&engine, 2);
        }
        drop(peer);
        engine.run().unwrap();
        assert_eq!(told.take(), ["one", "", "two", "three four", "end Ok"], "{cut} bytes a time");
    }
}

#[test]
fn promise_12_an_unfinished_last_line_is_no_line_and_stays_unread() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    note_lines(&engine, &stream, &told);
    // What waits behind it hears of the end, too.
    note_lines(&engine, &stream, &told);
    peer.write_all(b"one\ntwo\nthr").unwrap();
    drop(peer);
    engine.run().unwrap();
    assert_eq!(told.take(), ["one", "two", "end EndOfStream", "end EndOfStream"]);
    engine.read_all(&stream, told.value("rest"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["rest b\"thr\""]);
    // Now it has ended with nothing left.
    note_lines(&engine, &stream, &told);
    engine.run().unwrap();
    assert_eq!(told.take(), ["end Ok"]);
}

#[test]
fn each_chunk_is_given_all_bytes_a_few_at_a_time() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let (told, bytes) = (Told::new(), Rc::new(RefCell::new(Vec::new())));
    let all = Rc::clone(&bytes);
    let f = move |_: &Local, chunk: Bytes| {
        assert!((1..=7).contains(&chunk.len()));
        all.borrow_mut().extend_from_slice(&chunk);
    };
    engine.each_chunk(&stream, 7, f, told.callback("end"));
    let sent: Vec<u8> = (0..=255).collect();
    for part in sent.chunks(50) {
        peer.write_all(part).unwrap();
        turns(&engine, 2);
    }
    drop(peer);
    engine.run().unwrap();
    assert_eq!(told.take(), ["end Ok"]);
    assert_eq!(*bytes.borrow(), sent);
}

#[test]
fn promise_08_cancelled_in_its_handler_it_leaves_the_next_line_to_the_next_read() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    let note = told.clone();
    let f = move |local: &Local, line: Bytes| {
        note.note(text(&line));
        if line == "two" {
            assert!(local.repeating().cancel());
            local.repeating().cancel();
        }
    };
    engine.each_line(&stream, f, told.callback("end"));
    engine.read_line(&stream, told.value("then"));
    peer.write_all(b"one\ntwo\nthree\nfour\n").unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["one", "two", "end Cancelled", "then b\"three\""]);
    engine.read_line(&stream, told.value("then"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["then b\"four\""]);
    assert!(!engine.repeating().cancel(), "nothing repeats now");
}

#[test]
fn promise_06_cancelled_from_anywhere_at_any_time_it_ends_and_loses_nothing() {
    for when in 0..6 {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        if when == 0 {
            peer.write_all(b"one\ntwo\n").unwrap();
        }
        let cancel = note_lines(&engine, &stream, &told);
        turns(&engine, when / 2);
        if when % 2 == 1 {
            peer.write_all(b"one\ntwo\n").unwrap();
            turns(&engine, when / 2);
        }
        // From another thread, or this one, between turns.
        match when < 3 {
            true => assert!(thread::spawn(move || cancel.cancel()).join().unwrap()),
            false => assert!(cancel.cancel()),
        }
        turns(&engine, 2);
        let mut heard = told.take();
        assert_eq!(heard.pop().unwrap(), "end Cancelled");
        drop(peer);
        engine.read_all(&stream, told.value("rest"));
        engine.run().unwrap();
        match heard.is_empty() {
            true if when == 0 || when % 2 == 1 => {
                assert_eq!(told.take(), ["rest b\"one\\ntwo\\n\""])
            }
            true => assert_eq!(told.take(), ["rest b\"\""]),
            false => {
                assert_eq!(heard, ["one", "two"]);
                assert_eq!(told.take(), ["rest b\"\""]);
            }
        }
    }
}

#[test]
fn promise_06_a_line_that_has_matched_and_was_not_given_is_the_next_reads() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"zero\none\ntwo\n").unwrap();
    engine.peek(&stream, 1, told.callback("peek"));
    engine.run().unwrap();
    // Its handler is queued behind the callback that cancels it.
    let (note, ours) = (told.clone(), stream.clone());
    engine.post(move |local| {
        let cancel = Rc::new(RefCell::new(Cancel::none(local)));
        let (later, then, again) = (Rc::clone(&cancel), note.clone(), ours.clone());
        let cb = Callback::local(
            local,
            move |local: &Local, _: Bytes| {
                assert!(later.borrow().cancel());
                local.read_line(&again, then.value("next"));
            },
            |_, error| panic!("{error}"),
        );
        local.read_line(&ours, cb);
        let given = note.clone();
        let f = move |_: &Local, line: Bytes| given.note(text(&line));
        *cancel.borrow_mut() = local.each_line(&ours, f, note.callback("end"));
    });
    engine.run().unwrap();
    assert_eq!(told.take(), ["peek Ok", "end Cancelled", "next b\"one\""]);
}

#[test]
fn promise_07_the_timeout_bounds_the_wait_for_each_line() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    let note = told.clone();
    let f = move |_: &Local, line: Bytes| note.note(text(&line));
    engine.each_line(&stream, f, told.timeout(TIMEOUT * 4).callback("end"));
    // Longer than that, taken together, and a part of a line is no line.
    for _ in 0..6 {
        peer.write_all(b"line\npa").unwrap();
        turns(&engine, 2);
        assert_eq!(told.take(), ["line"]);
        pass(TIMEOUT * 2);
        // What has arrived is no timeout.
        peer.write_all(b"rt\n").unwrap();
        turns(&engine, 2);
        assert_eq!(told.take(), ["part"]);
    }
    pass(TIMEOUT * 4);
    peer.write_all(b"in time\n").unwrap();
    turns(&engine, 2);
    assert_eq!(told.take(), ["in time"]);
    pass(TIMEOUT * 4);
    turns(&engine, 2);
    assert_eq!(told.take(), ["end TimedOut"]);
    peer.write_all(b"late\n").unwrap();
    engine.read_line(&stream, told.value("next"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["next b\"late\""]);
}

#[test]
fn promise_07_a_timeout_of_no_time_gives_what_is_there_and_ends() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    peer.write_all(b"one\ntwo\n").unwrap();
    let told = Told::new();
    note_lines(&engine, &stream, &told.timeout(Duration::ZERO));
    engine.run().unwrap();
    assert_eq!(told.take(), ["one", "two", "end TimedOut"]);
}

#[test]
fn the_stream_closed_under_it_is_its_end() {
    type End = fn(&Local, &Stream, &Told);
    let ends: [(End, &str); 3] = [
        (|local, stream, told| _ = local.close(stream, told.callback("close")), "close Ok"),
        (|local, stream, _| local.abort(stream), ""),
        (
            |local, stream, told| {
                let told = told.clone();
                let cb = Callback::from_fn(move |_, outcome: Result<facade_engine::Detached>| {
                    told.note(format!("unread {:?}", outcome.unwrap().unread));
                });
                local.detach(stream, cb);
            },
            "unread b\"three\\n\"",
        ),
    ];
    for (end, after) in ends {
        for inside in [true, false] {
            let engine = driver::engine();
            let (mut peer, stream) = pair(&engine);
            let told = Told::new();
            let (note, ours) = (told.clone(), stream.clone());
            let f = move |local: &Local, line: Bytes| {
                note.note(text(&line));
                if inside && line == "two" {
                    end(local, &ours, &note);
                }
            };
            engine.each_line(&stream, f, told.callback("end"));
            peer.write_all(if inside { b"one\ntwo\nthree\n" } else { b"one\ntwo\n" }).unwrap();
            turns(&engine, 2);
            if !inside {
                end(&engine, &stream, &told);
            }
            engine.run().unwrap();
            let mut expected = vec!["one", "two", "end Closed"];
            let after = if inside { after } else { &after.replace("three\\n", "") };
            expected.extend((!after.is_empty()).then_some(after));
            assert_eq!(told.take(), expected, "inside: {inside}");
        }
    }
}

#[test]
fn promise_17_a_panic_of_the_handler_ends_it_and_is_resumed_once() {
    for local in [true, false] {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        let note = told.clone();
        let f = move |_: &Local, line: Bytes| {
            note.note(text(&line));
            assert_ne!(line, "two");
        };
        match local {
            true => engine.each_line(&stream, f, told.callback("end")),
            false => engine.handle().each_line(&stream, f, told.callback("end")),
        };
        engine.read_line(&stream, told.value("then"));
        peer.write_all(b"one\ntwo\nthree\n").unwrap();
        let resumed = catch_unwind(AssertUnwindSafe(|| engine.run()));
        assert!(resumed.is_err());
        engine.run().unwrap();
        assert_eq!(told.take(), ["one", "two", "end Panicked", "then b\"three\""]);
        assert!(!engine.repeating().cancel());
    }
}

/// Notes when it is dropped.
struct Noted(Told);

impl Noted {
    /// What a handler does that has captured it.
    const fn hold(&self) {}
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.note("dropped");
    }
}

#[test]
fn promise_16_an_engine_that_goes_tells_it_and_drops_the_handler() {
    for begun in [false, true] {
        let engine = driver::engine();
        let (_peer, stream) = pair(&engine);
        let listener = engine.listen("127.0.0.1:0").unwrap();
        let told = Told::new();
        let noted = || Noted(told.clone());
        let (line, chunk, connection, tick) = (noted(), noted(), noted(), noted());
        engine.each_line(&stream, move |_, _| line.hold(), told.callback("end"));
        engine.handle().each_chunk(&stream, 9, move |_, _| chunk.hold(), told.callback("end"));
        engine.each_connection(&listener, move |_, _| connection.hold(), told.callback("end"));
        engine.every(TIMEOUT * 1000, move |_, _| tick.hold(), told.callback("end"));
        if begun {
            turns(&engine, 2);
        }
        drop(engine);
        let mut heard = told.take();
        heard.sort();
        assert_eq!(heard[..4], ["dropped"; 4]);
        assert_eq!(heard[4..], ["end EngineClosed"; 4]);
        // One that is gone refuses it, and drops both.
        let cb = told.callback("never");
        let noted = noted();
        stream_of_a_gone_engine().each_line_on(move |_, _| noted.hold(), cb);
        assert_eq!(told.take(), ["dropped"]);
    }
}

struct Gone {
    handle: facade_engine::Handle,
    stream: Stream,
}

fn stream_of_a_gone_engine() -> Gone {
    let engine = driver::engine();
    let (_peer, stream) = pair(&engine);
    Gone { handle: engine.handle().clone(), stream }
}

impl Gone {
    fn each_line_on(&self, f: impl FnMut(&Local, Bytes) + Send + 'static, cb: Callback<()>) {
        self.handle.each_line(&self.stream, f, cb);
    }
}

#[test]
fn a_handler_whose_drop_panics_costs_a_run_and_the_end_is_told() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a bomb");
        }
    }
    for inside in [true, false] {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let (told, bomb) = (Told::new(), Bomb);
        let f = move |local: &Local, _: Bytes| {
            let _held = &bomb;
            if inside {
                local.repeating().cancel();
            }
        };
        engine.each_line(&stream, f, told.callback("end"));
        peer.write_all(b"one\n").unwrap();
        drop(peer);
        assert!(catch_unwind(AssertUnwindSafe(|| engine.run())).is_err());
        engine.run().unwrap();
        assert_eq!(told.take(), [if inside { "end Cancelled" } else { "end Ok" }]);
    }
}

#[test]
fn its_end_may_be_claimed() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    let told = Told::new();
    note_lines(&engine, &stream, &told.dropping_claims());
    drop(peer);
    engine.run().unwrap();
    assert_eq!(told.take(), ["end dropped"]);
}

#[test]
fn a_line_that_is_too_long_ends_it_and_stays_unread() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    engine.set_limits(&stream, Limits { line: 8, ..Limits::default() });
    let told = Told::new();
    note_lines(&engine, &stream, &told);
    peer.write_all(b"short\nmuch too long\n").unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["short", "end TooLong(8)"]);
    engine.set_limits(&stream, Limits::default());
    engine.read_line(&stream, told.value("long"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["long b\"much too long\""]);
}

#[test]
fn two_on_one_stream_have_their_turn_one_after_the_other() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    for name in ["first", "second"] {
        let note = told.clone();
        let mut left = 2;
        let f = move |local: &Local, line: Bytes| {
            note.note(format!("{name} {}", text(&line)));
            left -= 1;
            if left == 0 {
                local.repeating().cancel();
            }
        };
        engine.each_line(&stream, f, told.callback(name));
        engine.read_line(&stream, told.value("between"));
    }
    for line in ["a\n", "b\nc\nd", "\ne\nf\n"] {
        peer.write_all(line.as_bytes()).unwrap();
        turns(&engine, 3);
    }
    engine.run().unwrap();
    let heard = told.take();
    assert_eq!(
        heard,
        [
            "first a",
            "first b",
            "first Cancelled",
            "between b\"c\"",
            "second d",
            "second e",
            "second Cancelled",
            "between b\"f\""
        ]
    );
}

#[test]
fn promise_14_it_pauses_while_its_answers_are_unsent_and_goes_on_when_they_are_sent() {
    let engine = driver::engine();
    let (mut peer, stream, stuffed) = full_pair(&engine);
    engine.set_limits(&stream, Limits { unsent: UNSENT, ..Limits::default() });
    let told = Told::new();
    let calls = Rc::new(Cell::new(0));
    let (count, answers) = (Rc::clone(&calls), stream.clone());
    let f = move |local: &Local, line: Bytes| {
        count.set(count.get() + 1);
        let answer = [&line[..], &[b'.'; 1000]].concat();
        local.write_line(&answers, answer, Callback::ignore());
    };
    engine.each_line(&stream, f, told.callback("end"));
    let lines = 100;
    for n in 0..lines {
        peer.write_all(format!("{n:03}\n").as_bytes()).unwrap();
    }
    turns(&engine, 20);
    // Four answers and the one that is too much: the way to the peer is full.
    assert_eq!(calls.get(), 5);
    turns(&engine, 20);
    assert_eq!(calls.get(), 5);
    // The peer reads, and gets all.
    let reader = thread::spawn(move || {
        peer.read_exact(&mut vec![0; stuffed]).unwrap();
        let mut received = Vec::new();
        let mut block = vec![0; 1 << 16];
        while received.iter().filter(|&&byte| byte == b'\n').count() < lines {
            let count = peer.read(&mut block).unwrap();
            assert_ne!(count, 0);
            received.extend_from_slice(&block[..count]);
        }
        (peer, received)
    });
    turn_until(&engine, || calls.get() == lines && reader.is_finished());
    let (peer, received) = reader.join().unwrap();
    let answers = received.split(|&byte| byte == b'\n').filter(|line| line.ends_with(b".\r"));
    assert_eq!(answers.count(), lines);
    drop(peer);
    engine.run().unwrap();
    assert_eq!(told.len(), 1);
}

#[test]
fn it_does_not_wait_for_writes_behind_a_copy_that_waits_for_it() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    engine.set_limits(&stream, Limits { unsent: UNSENT, ..Limits::default() });
    let told = Told::new();
    note_lines(&engine, &stream, &told);
    engine.copy(&stream, &stream, told.value("echo"));
    engine.write(&stream, vec![b'.'; 2 * UNSENT], told.value("write"));
    peer.write_all(b"one\ntwo\n").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    turn_until(&engine, || told.len() == 5);
    assert_eq!(told.take(), ["one", "two", "end Ok", "echo 0", "write 8192"]);
}

#[test]
fn promise_07_one_that_goes_on_behind_another_has_its_time_again() {
    let engine = driver::engine();
    let (_peer, stream) = pair(&engine);
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let told = Told::new();
    engine.read_exact(&stream, 1, Callback::ignore());
    engine.accept(&listener, Callback::ignore());
    let end = |name| told.timeout(TIMEOUT).callback(name);
    let each = [
        engine.each_line(&stream, |_, _| {}, end("lines")),
        engine.each_connection(&listener, |_, _| {}, end("connections")),
    ];
    let pauses = each.each_ref().map(Cancel::pause);
    turns(&engine, 1);
    pass(2 * TIMEOUT);
    turns(&engine, 3);
    assert!(told.is_empty());
    drop(pauses);
    turn_until(&engine, || told.len() == 2);
    assert_eq!(told.take(), ["lines TimedOut", "connections TimedOut"]);
}

#[test]
fn a_guard_pauses_it_until_the_last_is_dropped() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let (told, pauses) = (Told::new(), Rc::new(RefCell::new(Vec::new())));
    let (note, guards) = (told.clone(), Rc::clone(&pauses));
    let f = move |local: &Local, line: Bytes| {
        note.note(text(&line));
        if line == "two" {
            guards.borrow_mut().extend([local.repeating().pause(), local.repeating().pause()]);
        }
    };
    let cancel = engine.each_line(&stream, f, told.timeout(TIMEOUT).callback("end"));
    peer.write_all(b"one\ntwo\nthree\nfour\n").unwrap();
    turns(&engine, 3);
    assert_eq!(told.take(), ["one", "two"]);
    // Neither does its time pass, nor is the end told, which comes after the lines.
    drop(peer);
    wait_for(&stream, Sign::End);
    turns(&engine, 2);
    pass(TIMEOUT * 2);
    turns(&engine, 2);
    assert!(told.is_empty());
    drop(pauses.borrow_mut().pop());
    turns(&engine, 2);
    assert!(told.is_empty());
    // From another thread.
    let last = pauses.borrow_mut().pop().unwrap();
    thread::spawn(move || drop(last)).join().unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["three", "four", "end Ok"]);
    // It is over, and does not mind.
    drop(cancel.pause());
    engine.run().unwrap();
}

#[test]
fn it_may_be_paused_before_the_engine_has_heard_of_it_and_while_it_waits() {
    for thread in [true, false] {
        for turns_before in 0..3 {
            let engine = driver::engine();
            let (mut peer, stream) = pair(&engine);
            let told = Told::new();
            let note = told.clone();
            let f = move |_: &Local, line: Bytes| note.note(text(&line));
            let end = told.callback("end");
            let (handle, ours) = (engine.handle().clone(), stream.clone());
            let submit = move || handle.each_line(&ours, f, end);
            let cancel = match thread {
                true => thread::spawn(submit).join().unwrap(),
                false => submit(),
            };
            turns(&engine, turns_before);
            let pause = cancel.pause();
            peer.write_all(b"one\n").unwrap();
            turns(&engine, 3);
            assert!(told.is_empty());
            // In a callback, which is at once.
            engine.post(move |_| drop(pause));
            turns(&engine, 2);
            assert_eq!(told.take(), ["one"]);
            // Cancelled while it is paused it ends.
            let _pause = cancel.pause();
            cancel.cancel();
            turns(&engine, 2);
            assert_eq!(told.take(), ["end Cancelled"]);
        }
    }
}

#[test]
fn promise_14_a_paused_one_reads_ahead_no_more_than_a_stream_that_nobody_reads() {
    let engine = driver::engine();
    let (peer, stream) = tcp_pair(&engine);
    let told = Told::new();
    let pause = note_lines(&engine, &stream, &told).pause();
    turns(&engine, 2);
    // It writes as much as the system takes, again and again.
    let written = Arc::new(AtomicUsize::new(0));
    let mut writer = Writer { peer, written: Arc::clone(&written) };
    turn_until(&engine, || !writer.write_some());
    let buffered = Basket::new();
    let copy = buffered.clone();
    let ours = stream.clone();
    engine.post(move |local| _ = local.buffered(&ours, copy.callback()));
    turns(&engine, 3);
    assert!(buffered.only() < 1 << 20, "{} written", written.load(SeqCst));
    assert!(told.is_empty());
    drop((pause, writer));
    engine.run().unwrap();
    assert_eq!(told.len(), written.load(SeqCst) / LINE.len() + 1);
}

const LINE: &[u8] = b"a line of thirty-two bytes, yes.";

struct Writer {
    peer: driver::TcpPeer,
    written: Arc<AtomicUsize>,
}

impl Writer {
    /// Writes lines as long as the system takes some, 16 MiB at most. Returns whether it took any.
    fn write_some(&mut self) -> bool {
        self.peer.set_nonblocking(true).unwrap();
        let mut any = false;
        let line = [&LINE[..LINE.len() - 1], b"\n"].concat();
        while self.written.load(SeqCst) < 16 << 20 {
            let at = self.written.load(SeqCst) % line.len();
            match self.peer.write(&line[at..]) {
                Ok(count) => {
                    self.written.fetch_add(count, SeqCst);
                    any = true;
                }
                Err(_) => break,
            }
        }
        any
    }
}

#[test]
fn promise_15_one_that_is_flooded_does_not_starve_another() {
    let engine = driver::engine();
    let (mut flood, flooded) = pair(&engine);
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    note_lines(&engine, &flooded, &told);
    note_lines(&engine, &stream, &told);
    turns(&engine, 2);
    flood.write_all(&b"flood\n".repeat(10_000)).unwrap_or_default();
    peer.write_all(b"mine\n").unwrap();
    turns(&engine, 3);
    let heard = told.take();
    let at = heard.iter().position(|note| note == "mine").unwrap();
    assert!(at <= 128, "{at}");
}

#[test]
fn promise_05_a_million_lines_do_not_grow_the_stack_or_hold_up_a_deadline() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let lines = Arc::new(AtomicUsize::new(0));
    let (count, told) = (Arc::clone(&lines), Told::new());
    let f = move |_: &Local, _: Bytes| _ = count.fetch_add(1, SeqCst);
    engine.each_line(&stream, f, told.callback("end"));
    let feed = "\n".repeat(1 << 14);
    let mut fed = 0;
    while fed < 64 {
        peer.write_all(feed.as_bytes()).unwrap();
        fed += 1;
        turn_until(&engine, || lines.load(SeqCst) == fed << 14);
    }
    drop(peer);
    engine.run().unwrap();
    assert_eq!(told.take(), ["end Ok"]);
}

#[test]
fn promise_02_what_is_there_when_it_is_submitted_is_given_later() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    peer.write_all(b"one\ntwo\n").unwrap();
    let told = Told::new();
    engine.read_line(&stream, told.callback("first"));
    engine.run().unwrap();
    let (again, note) = (stream.clone(), told.clone());
    engine.post(move |local| {
        let inner = note.clone();
        let f = move |_: &Local, line: Bytes| inner.note(text(&line));
        note.submitting(|| local.each_line(&again, f, note.callback("end")));
        note.note("submitted");
    });
    drop(peer);
    engine.run().unwrap();
    assert_eq!(told.take(), ["first Ok", "submitted", "two", "end Ok"]);
}

#[test]
fn what_it_waits_for_is_listed() {
    let engine = driver::engine();
    let (_peer, stream) = pair(&engine);
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let told = Told::new();
    let cancels = [
        note_lines(&engine, &stream, &told),
        engine.each_chunk(&stream, 1, |_, _| (), told.callback("end")),
        engine.each_connection(&listener, |_, _| (), told.callback("end")),
        engine.every(TIMEOUT * 1000, |_, _| (), told.callback("end")),
    ];
    turns(&engine, 2);
    let names: Vec<_> = engine.pending().iter().map(|pending| pending.operation).collect();
    assert_eq!(names, ["each_line", "each_chunk", "each_connection", "every"]);
    cancels.iter().for_each(|cancel| _ = cancel.cancel());
    engine.run().unwrap();
    assert_eq!(told.take(), ["end Cancelled"; 4]);
}

#[test]
fn what_makes_no_sense_is_said() {
    let engine = driver::engine();
    let (_peer, stream) = pair(&engine);
    let told = Told::new();
    engine.each_chunk(&stream, 0, |_, _| (), told.callback("chunk"));
    engine.every(Duration::ZERO, |_, _| (), told.callback("every"));
    // A handler that stays here has no use at another's stream. One that may travel has.
    let other = driver::engine();
    let (mut peer, foreign) = pair(&other);
    let listener = other.listen("127.0.0.1:0").unwrap();
    engine.each_line(&foreign, |_, _| (), told.callback("line"));
    engine.each_connection(&listener, |_, _| (), told.callback("connection"));
    engine.run().unwrap();
    let mut heard = told.take();
    heard.sort();
    assert_eq!(
        heard,
        [
            "chunk InvalidInput",
            "connection InvalidInput",
            "every InvalidInput",
            "line InvalidInput"
        ]
    );
    let note = told.clone();
    let f = move |_: &Local, line: Bytes| note.note(text(&line));
    engine.handle().each_line(&foreign, f, told.callback("end"));
    peer.write_all(b"one\n").unwrap();
    drop(peer);
    other.run().unwrap();
    assert_eq!(told.take(), ["one", "end Ok"]);
}

#[test]
fn promise_09_each_connection_is_given_all_and_leaves_the_rest_to_the_next_accept() {
    for inherited in [false, true] {
        let engine = driver::engine();
        let listener = engine.listen("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let told = Told::new();
        let streams = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::clone(&streams);
        if inherited {
            // Others may accept from it, too: one at a time, and none ahead.
            listener.set_exclusive(false);
        }
        let f = move |local: &Local, stream: Stream| {
            kept.borrow_mut().push(stream);
            if kept.borrow().len() == 5 {
                local.repeating().cancel();
            }
        };
        engine.each_connection(&listener, f, told.callback("end"));
        let clients: Vec<_> = (0..8).map(|_| driver::connect(address).unwrap()).collect();
        turn_until(&engine, || !told.is_empty());
        assert_eq!(told.take(), ["end Cancelled"]);
        assert_eq!(streams.borrow().len(), 5);
        for _ in 0..3 {
            engine.accept(&listener, told.callback("accept"));
        }
        engine.run().unwrap();
        assert_eq!(told.take(), ["accept Ok"; 3]);
        drop(clients);
        engine.each_connection(&listener, |_, _| (), told.callback("end"));
        engine.accept(&listener, told.callback("behind"));
        engine.close(&listener, told.callback("close"));
        engine.run().unwrap();
        let mut heard = told.take();
        heard.sort();
        assert_eq!(heard, ["behind Closed", "close Ok", "end Closed"]);
    }
}

#[test]
fn a_paused_one_takes_no_connections() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let told = Told::new();
    let pauses = Rc::new(RefCell::new(Vec::new()));
    let (note, guards) = (told.clone(), Rc::clone(&pauses));
    let f = move |local: &Local, _: Stream| {
        note.note("connection");
        guards.borrow_mut().push(local.repeating().pause());
    };
    let cancel = engine.each_connection(&listener, f, told.timeout(TIMEOUT).callback("end"));
    turns(&engine, 2);
    let _clients: Vec<_> = (0..3).map(|_| driver::connect(address).unwrap()).collect();
    for _ in 0..3 {
        turn_until(&engine, || !told.is_empty());
        turns(&engine, 3);
        pass(TIMEOUT * 2);
        turns(&engine, 3);
        assert_eq!(told.take(), ["connection"]);
        pauses.borrow_mut().clear();
    }
    turns(&engine, 2);
    pass(TIMEOUT * 2);
    turns(&engine, 2);
    assert_eq!(told.take(), ["end TimedOut"]);
    cancel.cancel();
    turns(&engine, 2);
    assert!(told.is_empty());
}

/// The deadline itself is looked at: nothing of this need take the time that it has.
#[test]
fn promise_07_the_timeout_begins_anew_with_each_wait_and_stands_still_in_a_pause() {
    const LONG: Duration = Duration::from_secs(1000);
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let (mut peer, stream) = pair(&engine);
    let mut clients = Vec::new();
    let mut connect = || clients.push(driver::connect(listener.local_addr().unwrap()).unwrap());
    let mut send = || peer.write_all(b"line\n").unwrap();
    let (told, timed) = (Told::new(), Told::new().timeout(LONG));
    for of_connections in [true, false] {
        let note = told.clone();
        let operation = match of_connections {
            true => {
                let f = move |_: &Local, _: Stream| note.note("one");
                engine.each_connection(&listener, f, timed.callback("end"))
            }
            false => {
                let f = move |_: &Local, _: Bytes| note.note("one");
                engine.each_line(&stream, f, timed.callback("end"))
            }
        };
        turns(&engine, 4);
        let mut deadline = engine.next_deadline().unwrap();
        for _ in 0..3 {
            pass(TIMEOUT);
            if of_connections {
                connect()
            } else {
                send()
            }
            turn_until(&engine, || !told.is_empty());
            assert_eq!(told.take(), ["one"]);
            // While there is work the next turn is due at once.
            turns(&engine, 3);
            let next = engine.next_deadline().unwrap();
            assert!(next >= deadline + TIMEOUT, "it has all the time again");
            deadline = next;
        }
        let pause = operation.pause();
        turns(&engine, 2);
        assert_eq!(engine.next_deadline(), None, "it waits for nothing");
        pass(TIMEOUT);
        drop(pause);
        turns(&engine, 4);
        assert!(engine.next_deadline().unwrap() >= deadline + TIMEOUT);
        operation.cancel();
        turns(&engine, 2);
        assert_eq!(timed.take(), ["end Cancelled"]);
    }
}

/// What the turn's look at the system brings is used up by others in front, and only the last look
/// before deadlines end anything brings what is for the repeating one: then its time is up already.
#[test]
fn promise_04_what_the_last_look_brings_is_no_timeout_of_a_repeating_accept() {
    // More than one look brings.
    const IN_FRONT: usize = 100;
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let (told, accepted) = (Told::new(), Basket::<Stream>::new());
    for _ in 0..IN_FRONT {
        engine.accept(&listener, accepted.callback());
    }
    let note = told.clone();
    let f = move |_: &Local, _: Stream| note.note("connection");
    engine.each_connection(&listener, f, told.timeout(TIMEOUT).callback("end"));
    turns(&engine, 2);
    let address = listener.local_addr().unwrap();
    let _clients: Vec<_> = (0..=IN_FRONT).map(|_| driver::connect(address).unwrap()).collect();
    pass(TIMEOUT * 2);
    turns(&engine, 1);
    assert_eq!((accepted.len(), told.take()), (IN_FRONT, vec!["connection".to_owned()]));
    engine.run().unwrap();
    assert_eq!(told.take(), ["end TimedOut"]);
}

#[test]
fn promise_04_what_the_last_look_brings_is_no_timeout_of_a_repeating_read() {
    // More than one look brings.
    const IN_FRONT: usize = 120_000;
    let engine = driver::engine();
    let (mut peer, stream) = tcp_pair(&engine);
    let (told, first) = (Told::new(), Basket::<Bytes>::new());
    engine.read_exact(&stream, IN_FRONT, first.callback());
    let note = told.clone();
    let f = move |_: &Local, line: Bytes| note.note(text(&line));
    engine.each_line(&stream, f, told.timeout(TIMEOUT).callback("end"));
    turns(&engine, 2);
    peer.write_all(&vec![7; IN_FRONT]).unwrap();
    peer.write_all(b"one\ntwo\n").unwrap();
    pass(TIMEOUT * 2);
    turns(&engine, 1);
    assert_eq!(
        (first.only().len(), told.take()),
        (IN_FRONT, vec!["one".to_owned(), "two".to_owned()])
    );
    engine.run().unwrap();
    assert_eq!(told.take(), ["end TimedOut"]);
}

#[test]
fn one_that_is_paused_behind_another_has_all_the_time_there_is() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    let first = note_lines(&engine, &stream, &told);
    let pause = note_lines(&engine, &stream, &told.timeout(TIMEOUT)).pause();
    turns(&engine, 2);
    pass(TIMEOUT * 2);
    turns(&engine, 2);
    assert!(told.is_empty());
    first.cancel();
    peer.write_all(b"one\n").unwrap();
    drop(pause);
    turns(&engine, 3);
    assert_eq!(told.take(), ["end Cancelled", "one"]);
}

#[test]
fn every_tick_is_told_without_drift_and_missed_ones_as_a_number() {
    let engine = driver::engine();
    let period = TIMEOUT * 4;
    let start = driver::now();
    let ticks = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&ticks);
    let told = Told::new();
    let f = move |_: &Local, count: u64| {
        seen.lock().unwrap().push((driver::now(), count));
        // Late by half a period, which does not put the next one off.
        pass(TIMEOUT * 2);
    };
    let cancel = engine.every(period, f, told.callback("end"));
    turn_until(&engine, || ticks.lock().unwrap().len() >= 4);
    // The engine is busy for three periods and a half.
    pass(TIMEOUT * 12);
    turn_until(&engine, || ticks.lock().unwrap().len() >= 6);
    cancel.cancel();
    engine.run().unwrap();
    assert_eq!(told.take(), ["end Cancelled"]);
    let mut passed = 0;
    for (at, count) in ticks.lock().unwrap().drain(..) {
        passed += count;
        let due = start + period * u32::try_from(passed).unwrap();
        assert!(at >= due, "none is early");
        if driver::name() == "sim" {
            // In time, but for those that were missed.
            let latest = due + if count == 1 { period / 8 } else { period };
            assert!(at < latest, "tick {passed} is late");
        }
    }
    if driver::name() == "sim" {
        assert_eq!(passed, 8);
    }
}

#[test]
fn a_clock_that_is_paused_misses_ticks_and_its_wait_is_bounded() {
    let engine = driver::engine();
    let told = Told::new();
    let pauses = Rc::new(RefCell::new(Vec::new()));
    let (note, guards) = (told.clone(), Rc::clone(&pauses));
    let f = move |local: &Local, ticks: u64| {
        note.note(if ticks == 1 { "one" } else { "several" });
        guards.borrow_mut().push(local.repeating().pause());
    };
    let cancel = engine.every(TIMEOUT, f, told.callback("end"));
    turn_until(&engine, || !told.is_empty());
    turns(&engine, 2);
    pass(TIMEOUT * 5);
    turns(&engine, 2);
    told.take();
    pauses.borrow_mut().clear();
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["several"]);
    cancel.cancel();
    turns(&engine, 2);
    assert_eq!(told.take(), ["end Cancelled"]);
    let timed = told.timeout(TIMEOUT).callback("end");
    engine.every(TIMEOUT * 100, |_, _| panic!("too early"), timed);
    engine.run().unwrap();
    assert_eq!(told.take(), ["end TimedOut"]);
    // Never, and no overflow.
    let cancel = engine.every(Duration::MAX, |_, _| panic!("never"), told.callback("end"));
    turns(&engine, 2);
    cancel.cancel();
    engine.run().unwrap();
    assert_eq!(told.take(), ["end Cancelled"]);
}

#[test]
fn promise_12_a_failure_comes_after_the_lines_before_it() {
    if misses_resets("promise_12_a_failure_comes_after_the_lines_before_it", &driver::name()) {
        return;
    }
    let engine = driver::engine();
    let (mut peer, stream) = tcp_pair(&engine);
    let told = Told::new();
    note_lines(&engine, &stream, &told);
    peer.write_all(b"one\n").unwrap();
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["one"]);
    reset(peer);
    wait_for(&stream, Sign::Reset);
    engine.run().unwrap();
    assert_eq!(told.take(), ["end Io(read, ConnectionReset)"]);
}
