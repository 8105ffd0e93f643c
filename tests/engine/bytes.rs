//! Promise 8: the stream owns its unread bytes, and they leave it only when a callback takes them.

use std::{
    io::{Read as _, Write},
    net::Shutdown,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use facade_engine::{
    Bytes, Callback, Cancel, Claim, Engine, Handle, Limits, Local, Pattern, Regex, Result, Stream,
    adapter::HandleExt as _,
    matcher::{Matcher, Scan},
};
use facade_tests::{
    peers::{arrived, reset},
    reads::{Read, START, TEXT, UpTo, eager_reads, read_all, reads},
    skipped::misses_resets,
    told::{Basket, Told},
    turns::{turn_until, turns},
};

use super::driver::{self, pair, pass, tcp_pair};

#[test]
fn promise_08_a_cancelled_read_leaves_every_byte() {
    every_waiting_read_ends_by(|engine, stream, read, told| {
        let cancel = read.submit(engine, stream, told);
        turns(engine, 3);
        cancel.cancel();
        turns(engine, 1);
        assert_eq!(told.take(), [format!("{} Cancelled", read.name)]);
    });
}

#[test]
fn promise_08_an_expired_read_leaves_every_byte() {
    every_waiting_read_ends_by(|engine, stream, read, told| {
        let timeout = Duration::from_millis(1);
        read.submit(engine, stream, &told.timeout(timeout));
        turns(engine, 3);
        pass(timeout);
        turns(engine, 2);
        assert_eq!(told.take(), [format!("{} TimedOut", read.name)]);
    });
}

#[test]
fn promise_08_a_read_in_the_queue_that_is_cancelled_or_expires_takes_nothing() {
    every_waiting_read_ends_by(|engine, stream, read, told| {
        // At the head of the queue stands a read that waits for more than there is.
        let first = read_all().submit(engine, stream, told);
        let cancel = read.submit(engine, stream, told);
        read.submit(engine, stream, &told.timeout(Duration::ZERO));
        turns(engine, 3);
        cancel.cancel();
        turns(engine, 1);
        first.cancel();
        turns(engine, 1);
        let name = read.name;
        let expected = [
            format!("{name} TimedOut"),
            format!("{name} Cancelled"),
            "read_all Cancelled".to_owned(),
        ];
        assert_eq!(told.take(), expected);
    });
}

#[test]
fn promise_08_too_long_leaves_the_bytes_until_the_limit_is_raised() {
    for read in reads().into_iter().chain([read_all()]) {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        engine.set_limits(&stream, Limits { line: 2, all: 2, ..Limits::default() });
        peer.write_all(&TEXT[..3]).unwrap();
        read.submit(&engine, &stream, &told);
        read.submit(&engine, &stream, &told);
        turn_until(&engine, || told.len() == 2);
        assert_eq!(told.take(), [(); 2].map(|()| format!("{} TooLong(2)", read.name)));

        engine.set_limits(&stream, Limits::default());
        peer.write_all(&TEXT[3..]).unwrap();
        drop(peer);
        let (value, left) = expected_of(read);
        read.submit(&engine, &stream, &told);
        read_all().submit(&engine, &stream, &told);
        turn_until(&engine, || told.len() == 2);
        assert_eq!(told.take(), [value, format!("read_all {left:?}")]);
    }
}

#[test]
fn promise_08_the_end_before_the_match_leaves_the_unfinished_rest() {
    for read in reads() {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        peer.write_all(START).unwrap();
        drop(peer);
        read.submit(&engine, &stream, &told);
        read.submit(&engine, &stream, &told);
        read_all().submit(&engine, &stream, &told);
        turn_until(&engine, || told.len() == 3);
        let name = read.name;
        let expected = [
            format!("{name} EndOfStream"),
            format!("{name} EndOfStream"),
            format!("read_all {:?}", Bytes::from_static(START)),
        ];
        assert_eq!(told.take(), expected);
    }
}

#[test]
fn promise_08_an_unexpected_line_stays_unread_with_its_line_end() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(TEXT).unwrap();
    drop(peer);
    engine.expect_line(&stream, "two", told.value("expect"));
    engine.expect_line(&stream, "three", told.value("expect"));
    engine.peek(&stream, 5, told.value("peek"));
    engine.expect_line(&stream, "one", told.value("expect"));
    engine.expect_line(&stream, "one", told.value("expect"));
    engine.read_all(&stream, told.value("all"));
    engine.run().unwrap();
    let expected = [
        r#"expect Unexpected(b"one")"#,
        r#"expect Unexpected(b"one")"#,
        r#"peek b"one\r\n""#,
        r#"expect b"one""#,
        r#"expect Unexpected(b"two")"#,
        r#"all b"two\nEND\n""#,
    ];
    assert_eq!(told.take(), expected);
}

#[test]
fn promise_08_a_claim_dropped_in_its_callback_puts_the_raw_bytes_back() {
    for read in reads().into_iter().chain(eager_reads()).chain([read_all()]) {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        peer.write_all(TEXT).unwrap();
        drop(peer);
        // Twice: what was put back is found again.
        for _ in 0..2 {
            read.submit(&engine, &stream, &told.dropping_claims());
            turn_until(&engine, || told.len() == 1);
            assert_eq!(told.take(), [format!("{} dropped", read.name)]);
        }
        all_of(TEXT, &engine, &stream);
    }
}

#[test]
fn promise_08_a_claim_taken_has_taken_the_bytes() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(TEXT).unwrap();
    drop(peer);
    let lines = Basket::new();
    for _ in 0..2 {
        let lines = lines.clone();
        let claim = move |_: &_, claim: std::result::Result<Claim<Bytes>, _>| {
            lines.put(claim.unwrap().take())
        };
        engine.read_line(&stream, Callback::claim(claim));
    }
    engine.read_all(&stream, told.value("all"));
    engine.run().unwrap();
    assert_eq!(lines.take(), ["one", "two"]);
    assert_eq!(told.take(), [r#"all b"END\n""#]);
}

#[test]
fn promise_08_a_claim_goes_back_before_a_later_submission_from_the_same_callback() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(TEXT).unwrap();
    let (again, later) = (stream.clone(), told.clone());
    engine.read_line(
        &stream,
        Callback::claim(move |engine, claim| {
            drop(claim.unwrap());
            engine.read_line(&again, later.value("line"));
        }),
    );
    turn_until(&engine, || told.len() == 1);
    assert_eq!(told.take(), [r#"line b"one""#]);
}

#[test]
fn promise_08_a_claim_goes_back_before_reads_that_wait_already() {
    for waiting in reads() {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        let claims = hold_one_line(&engine, &stream);
        // It waits over an empty stream, and then looks at what is put in front of the rest.
        waiting.submit(&engine, &stream, &told);
        peer.write_all(&TEXT[..5]).unwrap();
        turn_until(&engine, || claims.lock().unwrap().is_some());
        turns(&engine, 2);
        // Some of what it waits for has come behind what is claimed.
        peer.write_all(&TEXT[5..6]).unwrap();
        turns(&engine, 3);
        assert!(told.is_empty());
        let claim = claims.lock().unwrap().take();
        engine.post(move |_| drop(claim));
        turns(&engine, 2);
        peer.write_all(&TEXT[6..]).unwrap();
        drop(peer);
        read_all().submit(&engine, &stream, &told);
        turn_until(&engine, || told.len() == 2);
        let (value, left) = expected_of(waiting);
        assert_eq!(told.take(), [value, format!("read_all {left:?}")]);
    }
}

#[test]
fn promise_08_a_read_that_waits_looks_anew_at_what_is_put_before_the_bytes_it_has_seen() {
    type Submit = fn(&Handle, &Stream, &Told) -> Cancel;
    // Each finds its end among the first bytes only, where it has already looked at others.
    let waiting: [Submit; 6] = [
        |h, s, told| h.read_until(s, "\na", told.callback("found")),
        |h, s, told| h.read_line(s, told.callback("found")),
        |h, s, told| h.expect_line(s, "", told.callback("found")),
        |h, s, told| h.read_until_regex(s, Regex::new("\na").unwrap(), told.callback("found")),
        |h, s, told| h.read_until_any(s, [Pattern::bytes("\na")], told.callback("found")),
        |h, s, told| h.read_with(s, UpTo(b"\na"), told.callback("found")),
    ];
    for submit in waiting {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        let held = Basket::new();
        let hold = held.clone();
        let hold = Callback::claim(move |_, claim| hold.put(claim.unwrap()));
        engine.read_exact(&stream, 1, hold);
        submit(&engine, &stream, &told);
        peer.write_all(b"\nabcdef").unwrap();
        turn_until(&engine, || !held.is_empty());
        turns(&engine, 2);
        assert!(told.is_empty());
        let claim: Claim<Bytes> = held.only();
        drop(claim);
        turns(&engine, 2);
        assert_eq!(told.take(), ["found Ok"]);
    }
}

#[test]
fn promise_08_a_claim_dropped_between_two_turns_goes_back_before_a_later_read() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    let claims = hold_one_line(&engine, &stream);
    peer.write_all(TEXT).unwrap();
    turn_until(&engine, || claims.lock().unwrap().is_some());
    claims.lock().unwrap().take();
    engine.read_line(&stream, told.value("line"));
    turn_until(&engine, || told.len() == 1);
    assert_eq!(told.take(), [r#"line b"one""#]);
}

#[test]
fn promise_08_a_claim_dropped_between_two_turns_goes_back_before_what_a_waiting_read_finds() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    let claims = hold_one_line(&engine, &stream);
    engine.read_line(&stream, told.value("line"));
    peer.write_all(b"one\n").unwrap();
    turn_until(&engine, || claims.lock().unwrap().is_some());
    turns(&engine, 2);
    // When the engine looks at the system next, both are there.
    peer.write_all(b"two\n").unwrap();
    claims.lock().unwrap().take();
    turns(&engine, 3);
    assert_eq!(told.take(), [r#"line b"one""#]);
}

#[test]
fn promise_08_a_claim_goes_back_to_the_last_read_of_a_stream_that_nobody_holds() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    let claims = hold_one_line(&engine, &stream);
    engine.read_line(&stream, told.value("line"));
    drop(stream);
    peer.write_all(b"one\n").unwrap();
    turn_until(&engine, || claims.lock().unwrap().is_some());
    turns(&engine, 2);
    claims.lock().unwrap().take();
    engine.run().unwrap();
    assert_eq!(told.take(), [r#"line b"one""#]);
    peer.set_nonblocking(true).unwrap();
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "the stream is closed");
}

#[test]
fn promise_08_a_claim_dropped_on_another_thread_goes_back_before_what_that_thread_submits() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(TEXT).unwrap();
    let (sender, receiver) = mpsc::channel::<Claim<Bytes>>();
    engine
        .read_line(&stream, Callback::claim(move |_, claim| sender.send(claim.unwrap()).unwrap()));
    let (handle, again, later) = (engine.handle().clone(), stream.clone(), told.clone());
    let keep_alive = engine.keep_alive();
    let other = thread::spawn(move || {
        drop(receiver.recv().unwrap());
        handle.read_line(&again, later.value("line"));
        handle.read_line(&again, later.value("line"));
        drop(keep_alive);
    });
    engine.run().unwrap();
    other.join().unwrap();
    assert_eq!(told.take(), [r#"line b"one""#, r#"line b"two""#]);
}

#[test]
fn promise_08_claims_dropped_in_the_order_of_their_reads_keep_the_order_of_the_bytes() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(TEXT).unwrap();
    drop(peer);
    for _ in 0..3 {
        engine.read_line(&stream, told.dropping_claims().callback::<Bytes>("line"));
    }
    turn_until(&engine, || told.len() == 3);
    all_of(TEXT, &engine, &stream);
}

#[test]
fn promise_08_claims_dropped_in_any_order_with_one_of_them_taken_keep_the_order() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (order, taken) in orders.into_iter().flat_map(|order| [(order, 0), (order, 1), (order, 2)])
    {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        peer.write_all(b"a\nb\nc\nrest").unwrap();
        drop(peer);
        let claims = Basket::new();
        for _ in 0..3 {
            let claims = claims.clone();
            engine.read_line(
                &stream,
                Callback::claim(move |_, claim| claims.put(Some(claim.unwrap()))),
            );
        }
        turn_until(&engine, || claims.len() == 3);
        let mut claims = claims.take();
        for claim in order {
            let claim: Claim<Bytes> = claims[claim].take().unwrap();
            if claim_is(&claim, taken) {
                claim.take();
            }
        }
        let left: Vec<u8> = [b"a\n", b"b\n", b"c\n"]
            .into_iter()
            .enumerate()
            .filter(|&(line, _)| line != taken)
            .flat_map(|(_, line)| *line)
            .chain(*b"rest")
            .collect();
        all_of(&left, &engine, &stream);
    }
}

#[test]
fn promise_08_reads_cancelled_from_another_thread_at_any_moment_lose_nothing() {
    const LINES: usize = 5000;
    let engine = driver::engine();
    let (mut peer, stream) = tcp_pair(&engine);
    let writer = thread::spawn(move || {
        for line in 0..LINES {
            writeln!(peer, "{line}").unwrap();
        }
    });
    // A thread that cancels each read as soon as it gets hold of it.
    let (sender, receiver) = mpsc::channel::<Cancel>();
    let canceller = thread::spawn(move || receiver.into_iter().filter(|c| c.cancel()).count());
    let lines = Arc::new(Mutex::new(Vec::new()));
    read_again(&engine, &stream, Arc::clone(&lines), sender);
    engine.run().unwrap();
    writer.join().unwrap();
    canceller.join().unwrap();
    let expected: Vec<_> = (0..LINES).map(|line| line.to_string()).collect();
    assert!(*lines.lock().unwrap() == expected, "a line is missing or out of order");
}

#[test]
fn promise_08_bytes_that_came_with_a_reset_or_an_end_are_read_first() {
    let engine = driver::engine();
    let (mut peer, stream) = tcp_pair(&engine);
    let told = Told::new();
    peer.write_all(b"first\nunfinished").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    for _ in 0..3 {
        engine.read_line(&stream, told.value("line"));
    }
    engine.peek(&stream, 64, told.value("peek"));
    engine.read_all(&stream, told.value("all"));
    engine.run().unwrap();
    let expected = [
        r#"line b"first""#,
        "line EndOfStream",
        "line EndOfStream",
        r#"peek b"unfinished""#,
        r#"all b"unfinished""#,
    ];
    assert_eq!(told.take(), expected);
}

/// Lets every kind of read wait over [`START`] until `end` ends it; then everything must be there.
fn every_waiting_read_ends_by(end: impl Fn(&Engine, &Stream, Read, &Told)) {
    for read in reads().into_iter().chain([read_all()]) {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        peer.write_all(START).unwrap();
        end(&engine, &stream, read, &told);
        // Another of the kind begins where the first one did.
        end(&engine, &stream, read, &told);
        peer.write_all(&TEXT[START.len()..]).unwrap();
        drop(peer);
        let (value, left) = expected_of(read);
        read.submit(&engine, &stream, &told);
        read_all().submit(&engine, &stream, &told);
        turn_until(&engine, || told.len() == 2);
        assert_eq!(told.take(), [value, format!("read_all {left:?}")]);
    }
}

/// What a read notes over the whole text that came at once, and what it leaves.
fn expected_of(read: Read) -> (String, Bytes) {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(TEXT).unwrap();
    drop(peer);
    read.submit(&engine, &stream, &told);
    engine.run().unwrap();
    (told.take().remove(0), Bytes::from_static(&TEXT[read.takes..]))
}

/// Everything that is left on a stream that has ended.
#[track_caller]
fn all_of(expected: &[u8], engine: &Engine, stream: &Stream) {
    let all = Basket::new();
    engine.read_all(stream, all.callback());
    turn_until(engine, || !all.is_empty());
    assert_eq!(all.only(), expected);
}

/// Reads a line and keeps the claim on it.
fn hold_one_line(engine: &Handle, stream: &Stream) -> Arc<Mutex<Option<Claim<Bytes>>>> {
    let held = Arc::new(Mutex::new(None));
    let hold = Arc::clone(&held);
    engine.read_line(
        stream,
        Callback::claim(move |_, claim| *hold.lock().unwrap() = Some(claim.unwrap())),
    );
    held
}

fn claim_is(claim: &Claim<Bytes>, line: usize) -> bool {
    format!("{claim:?}").contains(["\"a\"", "\"b\"", "\"c\""][line])
}

/// Reads lines one after the other, each again if it was cancelled, until the stream ends.
fn read_again(
    engine: &Handle,
    stream: &Stream,
    lines: Arc<Mutex<Vec<String>>>,
    cancels: mpsc::Sender<Cancel>,
) {
    let (again, next) = (stream.clone(), cancels.clone());
    let cancel = engine.read_line(
        stream,
        Callback::from_fn(move |engine, outcome: Result<Bytes>| {
            match outcome {
                Ok(line) => lines.lock().unwrap().push(String::from_utf8(line.into()).unwrap()),
                Err(facade_engine::Error::Cancelled) => {}
                Err(facade_engine::Error::EndOfStream) => return,
                Err(error) => panic!("{error}"),
            }
            read_again(engine, &again, lines, next);
        }),
    );
    cancels.send(cancel).unwrap();
}

/// Where lengths are sent, some messages are empty: a netstring may be `0:,`.
#[test]
fn promise_13_a_read_of_exactly_nothing_succeeds_in_its_turn() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    // There is nothing yet, and it needs nothing.
    engine.read_exact(&stream, 0, told.value("none there"));
    engine.run().unwrap();
    assert_eq!(told.take(), [r#"none there b"""#]);
    // Behind earlier reads and in front of later ones, frequent or not, with a claim or without.
    engine.read_exact(&stream, 2, told.value("1"));
    engine.read_exact(&stream, 0, told.value("2"));
    engine.read_until(&stream, ",", told.value("3"));
    let notes = told.clone();
    let claim = move |_: &Local, outcome: Result<Claim<Bytes>>| {
        notes.note(format!("4 {:?}", outcome.unwrap().take()));
    };
    engine.read_exact(&stream, 0, Callback::claim(claim));
    engine.read_exact(&stream, 0, told.value("5"));
    engine.read_line(&stream, told.value("6"));
    turns(&engine, 5);
    assert!(told.take().is_empty(), "not its turn");
    peer.write_all(b"0:,rest\n").unwrap();
    engine.run().unwrap();
    let expected = [r#"1 b"0:""#, r#"2 b"""#, r#"3 b",""#, r#"4 b"""#, r#"5 b"""#, r#"6 b"rest""#];
    assert_eq!(told.take(), expected);
    // While one waits that was parked, cancelled before it has its turn, and where it is the stage
    // of a chain.
    let line = engine.read_line(&stream, told.callback("line"));
    engine.read_exact(&stream, 0, told.value("behind"));
    let nothing = engine.read_exact(&stream, 0, told.callback("cancelled"));
    turns(&engine, 3);
    assert!(nothing.cancel());
    turns(&engine, 3);
    assert_eq!(told.take(), ["cancelled Cancelled"]);
    assert!(line.cancel());
    engine
        .chain()
        .on(&stream)
        .read_exact(0, told.value("stage"))
        .write("x", told.value("next"))
        .submit();
    engine.run().unwrap();
    let expected = ["line Cancelled", r#"behind b"""#, r#"stage b"""#, "next 1"];
    assert_eq!(told.take(), expected);
    // Ready at once for whoever asks at once.
    let again = stream.clone();
    engine.post(move |engine| assert_eq!(engine.try_read_exact(&again, 0).unwrap(), ""));
    engine.run().unwrap();
    engine.read_exact(&stream, 0, told.value("one attempt").timeout(Duration::ZERO));
    engine.run().unwrap();
    assert_eq!(told.take(), [r#"one attempt b"""#]);
    // At the end and behind it; but a closed stream has no turns.
    assert_eq!(arrived(&peer), b"x");
    peer.write_all(b"last").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    engine.read_exact(&stream, 4, told.value("last"));
    engine.run().unwrap();
    engine.read_chunk(&stream, 1, told.callback("end"));
    engine.read_exact(&stream, 0, told.value("at the end"));
    engine.read_exact(&stream, 1, told.callback("too much"));
    engine.run().unwrap();
    engine.close(&stream, told.callback("close"));
    engine.read_exact(&stream, 0, told.callback("closed"));
    engine.run().unwrap();
    let expected =
        [r#"last b"last""#, "end EndOfStream", r#"at the end b"""#, "too much EndOfStream"];
    let notes = told.take();
    assert_eq!(notes[..4], expected);
    assert!(notes[4..].iter().any(|note| note == "closed Closed"), "{notes:?}");
}

/// A stream that has failed is no different: nothing is wanted of it.
#[test]
fn promise_13_a_read_of_exactly_nothing_succeeds_after_a_failure() {
    if misses_resets(
        "promise_13_a_read_of_exactly_nothing_succeeds_after_a_failure",
        &driver::name(),
    ) {
        return;
    }
    let engine = driver::engine();
    let told = Told::new();
    let (peer, stream) = tcp_pair(&engine);
    reset(peer);
    engine.read_exact(&stream, 1, told.callback("one"));
    engine.run().unwrap();
    engine.read_exact(&stream, 0, told.value("none"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["one Io(read, ConnectionReset)", r#"none b"""#]);
}

/// What a matcher of one's own finds in nothing does not depend on what was received before.
#[test]
fn promise_11_a_users_matcher_is_asked_though_nothing_is_there() {
    struct Body(usize);
    impl Matcher for Body {
        type Output = Bytes;
        fn scan(&mut self, unread: &[u8], _: bool) -> Scan {
            if unread.len() < self.0 { Scan::NeedMore } else { Scan::Found { end: self.0 } }
        }
        fn restart(&mut self) {}
        fn output(&mut self, taken: Bytes) -> Result<Bytes> {
            Ok(taken)
        }
    }
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    for _ in 0..2 {
        engine.read_with(&stream, Body(0), told.value("empty"));
        engine.run().unwrap();
        // With the reception stopped, and running.
        let waits = engine.read_line(&stream, told.callback("line"));
        turns(&engine, 3);
        waits.cancel();
        turns(&engine, 3);
        assert_eq!(told.take(), [r#"empty b"""#, "line Cancelled"]);
    }
    engine.read_with(&stream, Body(2), told.value("two"));
    engine.read_with(&stream, Body(0), told.value("empty"));
    turns(&engine, 5);
    assert!(told.take().is_empty());
    peer.write_all(b"ab").unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), [r#"two b"ab""#, r#"empty b"""#]);
}

/// Reads that show or take something need something; what consumes nothing changes nothing.
#[test]
fn nothing_else_of_size_nought_takes_or_sends_anything() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    engine.write(&stream, "", told.value("write"));
    engine.write_vectored(&stream, [] as [&str; 0], told.value("of none"));
    engine.write_vectored(&stream, ["", ""], told.value("of empty ones"));
    engine.flush(&stream, told.callback("flush"));
    engine.peek(&stream, 0, told.callback("peek"));
    engine.read_chunk(&stream, 0, told.callback("chunk"));
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    let expected = [
        "chunk InvalidInput",
        "flush Ok",
        "of empty ones 0",
        "of none 0",
        "peek InvalidInput",
        "write 0",
    ];
    assert_eq!(notes, expected);
    assert!(arrived(&peer).is_empty());
    peer.write_all(b"line\n").unwrap();
    engine.read_line(&stream, told.value("line"));
    engine.consume(&stream, 0);
    engine.run().unwrap();
    assert_eq!(told.take(), [r#"line b"line""#]);
}
