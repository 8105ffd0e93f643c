//! Writes: when they succeed, what is told when they fail later, and that nothing is lost or sent
//! twice.

use std::{
    io::{Read, Write},
    sync::{LazyLock, mpsc},
    thread,
    time::Duration,
};

use facade_engine::{
    Bytes, Callback, Engine, Error, Handle, Limits, LineEnd, Local, Stream, adapter::HandleExt as _,
};
use facade_tests::{
    drops::{Drops, Token},
    outcome::Outcome,
    peers::{arrived, numbered, reset, unstuff},
    told::Told,
    turns::{turn_until, turns},
    ways_out::WayOut,
};

use super::driver::{self, fill, full_pair, pair, tcp_pair, wide_pair};

/// More than any socket takes from a program whose peer does not read.
pub(super) const HUGE: usize = 12 << 20;

/// An engine whose writes succeed with this many bytes unsent.
pub(super) fn engine_with_unsent(unsent: usize) -> Engine {
    let limits = Limits { unsent, queued: 64 << 20, ..Limits::default() };
    driver::builder().limits(limits).build().unwrap()
}

pub(super) fn huge() -> Bytes {
    static DATA: LazyLock<Bytes> = LazyLock::new(|| numbered(HUGE).into());
    DATA.clone()
}

/// Submits a write of which the system takes only a part.
pub(super) fn begin_huge_write(engine: &Engine, stream: &Stream) -> (Bytes, Outcome<usize>) {
    let (data, outcome) = (huge(), Outcome::new());
    engine.write(stream, data.clone(), outcome.callback());
    turns(engine, 3);
    assert!(!outcome.is_there(), "the system took everything");
    (data, outcome)
}

/// Cuts a write by a cancel. Returns its data and how much of it the system took.
pub(super) fn cut_a_write(engine: &Engine, stream: &Stream) -> (Bytes, usize) {
    let (data, outcome) = (huge(), Outcome::new());
    let cancel = engine.write(stream, data.clone(), outcome.callback());
    turns(engine, 3);
    assert!(cancel.cancel());
    turns(engine, 2);
    (data, written(&outcome.error(), "Cancelled"))
}

/// How much of a cut write was written, for which cause.
#[track_caller]
pub(super) fn written(error: &Error, expected: &str) -> usize {
    match error {
        Error::PartialWrite { written, cause } => {
            assert_eq!(facade_tests::told::brief(cause), expected);
            *written
        }
        other => panic!("{other:?}"),
    }
}

// Success

#[test]
fn promise_10_a_write_succeeds_with_the_limit_unsent_behind_it_and_waits_beyond() {
    let engine = engine_with_unsent(10_000);
    let (peer, stream, stuffed) = full_pair(&engine);
    let told = Told::new();
    for (name, len) in [("first", 6000), ("second", 4000), ("third", 1)] {
        engine.write(&stream, numbered(len), told.value(name));
    }
    turns(&engine, 3);
    assert_eq!(told.take(), ["first 6000", "second 4000"]);
    let received = unstuff(&peer, stuffed);
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["third 1"]);
    turns(&engine, 1);
    let received = [received, arrived(&peer)].concat();
    assert_eq!(received, [numbered(6000), numbered(4000), numbered(1)].concat());
}

#[test]
fn promise_10_with_a_limit_of_nothing_a_write_succeeds_when_the_system_has_it() {
    let engine = engine_with_unsent(0);
    let (peer, stream, stuffed) = full_pair(&engine);
    let told = Told::new();
    engine.write(&stream, "x", told.value("write"));
    turns(&engine, 3);
    assert!(told.is_empty());
    let behind = unstuff(&peer, stuffed);
    assert!(behind.is_empty(), "{behind:?}");
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["write 1"]);
    assert_eq!(arrived(&peer), b"x", "at its success the system has it");
}

#[test]
fn promise_10_the_default_leaves_at_most_64_kib_unsent() {
    let engine = driver::engine();
    let (peer, stream, stuffed) = full_pair(&engine);
    let (mut succeeded, told) = (0, Told::new());
    loop {
        engine.write(&stream, vec![7; 1000], told.callback("write"));
        turns(&engine, 2);
        if told.take().is_empty() {
            break;
        }
        succeeded += 1000;
    }
    assert_eq!(succeeded, (64 << 10) / 1000 * 1000);
    assert!(unstuff(&peer, stuffed).is_empty());
}

#[test]
fn promise_10_flush_succeeds_when_the_system_has_everything_before_it() {
    let engine = driver::engine();
    let (peer, stream, stuffed) = full_pair(&engine);
    let told = Told::new();
    engine.write(&stream, "before", told.value("write"));
    engine.flush(&stream, told.callback("flush"));
    engine.write(&stream, "behind", told.value("behind"));
    turns(&engine, 3);
    assert_eq!(told.take(), ["write 6"], "and what is behind the flush waits for it");
    assert!(unstuff(&peer, stuffed).is_empty());
    turn_until(&engine, || told.len() == 2);
    assert_eq!(told.take(), ["flush Ok", "behind 6"]);
    turns(&engine, 1);
    assert_eq!(arrived(&peer), b"beforebehind");
    engine.flush(&stream, told.callback("idle"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["idle Ok"]);
}

#[test]
fn a_zero_length_write_succeeds_in_its_turn() {
    let engine = engine_with_unsent(10);
    let (peer, stream, stuffed) = full_pair(&engine);
    let told = Told::new();
    engine.write(&stream, "", told.value("alone"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["alone 0"]);
    engine.write(&stream, numbered(100), told.value("long"));
    engine.write(&stream, "", told.value("behind"));
    engine.write_vectored(&stream, [Bytes::new(), Bytes::new()], told.value("vectored"));
    turns(&engine, 3);
    assert!(told.is_empty());
    let received = unstuff(&peer, stuffed);
    turn_until(&engine, || told.len() == 3);
    assert_eq!(told.take(), ["long 100", "behind 0", "vectored 0"]);
    turns(&engine, 1);
    assert_eq!([received, arrived(&peer)].concat(), numbered(100));
}

#[test]
fn writes_count_what_they_wrote_line_end_and_all() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    let told = Told::new();
    engine.write_line(&stream, "crlf", told.value("socket"));
    engine.write_line(&stream, "has one\n", told.value("ended"));
    engine.set_line_end(&stream, LineEnd::Lf);
    engine.write_line(&stream, "lf", told.value("set"));
    engine.write_vectored(&stream, ["a", "bc", "", "d"], told.value("vectored"));
    engine.run().unwrap();
    let counts = ["socket 6", "ended 8", "set 3", "vectored 4"];
    assert_eq!(told.take(), counts);
    assert_eq!(arrived(&peer), b"crlf\r\nhas one\nlf\nabcd");
}

#[test]
fn sixteen_lines_that_arrive_together_are_answered_together() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    serve(&engine, stream, peer.try_clone().unwrap());
    turns(&engine, 2);
    let lines: String = (0..16).map(|n| format!("line {n}\n")).collect();
    peer.write_all(lines.as_bytes()).unwrap();
    let mut answers = Vec::new();
    turn_until(&engine, || {
        answers = arrived(&peer);
        !answers.is_empty()
    });
    let expected: String = (0..16).map(|n| format!("line {n}\r\n")).collect();
    assert_eq!(String::from_utf8(answers).unwrap(), expected, "all of them in one turn");
}

/// Answers each line with itself. At the peer nothing may have arrived by then: an answer that left
/// by itself would be there.
fn serve(engine: &Handle, stream: Stream, peer: driver::Peer) {
    let again = stream.clone();
    let echo = move |engine: &Local, line: Bytes| {
        assert_eq!(arrived(&peer), b"", "an answer left alone");
        engine.write_line(&again, line, Callback::ignore());
        serve(engine, again, peer);
    };
    engine.read_line(&stream, Callback::new(echo, |_, _| ()));
}

// Failures told later

/// A stream whose connection fails after a write has succeeded.
fn broken_after_success(engine: &Engine, told: &Told) -> Stream {
    let (peer, stream) = tcp_pair(engine);
    // Its way is full, so the write's bytes wait in the engine.
    fill(&peer, &stream);
    engine.write(&stream, "succeeded", told.value("write"));
    turns(engine, 2);
    assert_eq!(told.take(), ["write 9"]);
    reset(peer);
    turn_until(engine, || engine.run_once(Some(Duration::ZERO)).unwrap().pending == 0);
    stream
}

#[test]
fn promise_10_what_fails_after_a_success_is_told_to_every_later_write() {
    let engine = driver::engine();
    let told = Told::new();
    let stream = broken_after_success(&engine, &told);
    engine.write(&stream, "x", told.callback("write"));
    engine.write(&stream, "", told.callback("empty"));
    engine.flush(&stream, told.callback("flush"));
    engine.shutdown_write(&stream, told.callback("shutdown"));
    engine.take_unsent(&stream, told.value("unsent"));
    engine.write(&stream, "x", told.callback("again"));
    engine.run().unwrap();
    let reset = "Io(write, ConnectionReset)";
    let expected = ["write", "empty", "flush", "shutdown"].map(|name| format!("{name} {reset}"));
    let told = told.take();
    assert_eq!(told[..4], expected);
    assert_eq!(told[4..], ["unsent b\"\"".to_owned(), format!("again {reset}")], "nothing was cut");
}

#[test]
fn promise_10_a_failure_after_a_cut_write_that_nobody_has_heard_is_told_to_close() {
    let engine = driver::engine();
    let told = Told::new();
    let (peer, stream) = tcp_pair(&engine);
    cut_a_write(&engine, &stream);
    engine.take_unsent(&stream, Callback::ignore());
    turns(&engine, 1);
    // The system may have found room meanwhile.
    fill(&peer, &stream);
    engine.write(&stream, "succeeded", told.value("write"));
    turns(&engine, 2);
    reset(peer);
    turn_until(&engine, || engine.run_once(Some(Duration::ZERO)).unwrap().pending == 0);
    engine.close(&stream, told.callback("close"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["write 9", "close Io(write, ConnectionReset)"]);
}

#[test]
fn promise_10_a_failure_after_a_cut_is_not_forgotten_when_the_rest_is_taken() {
    let engine = driver::engine();
    let told = Told::new();
    let (peer, stream) = tcp_pair(&engine);
    let (data, written) = cut_a_write(&engine, &stream);
    // As long as somebody has a claim on the rest, writes go on.
    let (taken, rest) = mpsc::channel();
    let keep = move |_: &Local, claim| taken.send(claim).unwrap();
    engine.take_unsent(&stream, Callback::claim(keep));
    turns(&engine, 1);
    fill(&peer, &stream);
    engine.write(&stream, "succeeded", told.value("write"));
    turns(&engine, 2);
    drop(rest.recv().unwrap());
    reset(peer);
    turn_until(&engine, || engine.run_once(Some(Duration::ZERO)).unwrap().pending == 0);

    let again = Outcome::new();
    engine.take_unsent(&stream, again.callback());
    engine.write(&stream, "later", told.callback("later"));
    engine.run().unwrap();
    assert_eq!(again.value(), data[written..]);
    assert_eq!(told.take(), ["write 9", "later Io(write, ConnectionReset)"]);
}

#[test]
fn promise_10_a_failure_nobody_has_heard_is_told_to_close() {
    let engine = driver::engine();
    let told = Told::new();
    let stream = broken_after_success(&engine, &told);
    engine.close(&stream, told.callback("close"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["close Io(write, ConnectionReset)"]);

    let stream = broken_after_success(&engine, &told);
    engine.flush(&stream, told.callback("flush"));
    engine.close(&stream, told.callback("close"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["flush Io(write, ConnectionReset)", "close Ok"]);
}

#[test]
fn promise_10_a_cut_that_was_told_does_not_fail_the_close() {
    let engine = driver::engine();
    let (mut peer, stream) = tcp_pair(&engine);
    let (data, written) = cut_a_write(&engine, &stream);
    let told = Told::new();
    engine.close(&stream, told.callback("close"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["close Ok"]);
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    assert_eq!(received, data[..written]);
}

// The end of the direction

#[test]
fn a_write_after_shutdown_write_is_closed_and_a_second_shutdown_succeeds() {
    let engine = driver::engine();
    let (mut peer, stream) = tcp_pair(&engine);
    let told = Told::new();
    engine.write(&stream, "last", told.value("write"));
    engine.shutdown_write(&stream, told.callback("shutdown"));
    engine.shutdown_write(&stream, told.callback("at once again"));
    engine.write(&stream, "late", told.callback("late"));
    engine.run().unwrap();
    // A refusal waits for nothing; the others come in their order.
    let notes = told.take();
    assert!(notes.contains(&"late Closed".to_owned()));
    let others: Vec<_> = notes.into_iter().filter(|note| note != "late Closed").collect();
    assert_eq!(others, ["write 4", "shutdown Ok", "at once again Ok"]);
    engine.shutdown_write(&stream, told.callback("again"));
    engine.flush(&stream, told.callback("flush"));
    engine.write(&stream, "late", told.callback("late"));
    peer.write_all(b"still read\n").unwrap();
    engine.read_line(&stream, told.value("read"));
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["again Ok", "flush Ok", "late Closed", "read b\"still read\""]);
    let mut received = String::new();
    peer.read_to_string(&mut received).unwrap();
    assert_eq!(received, "last");
}

#[test]
fn shutdown_write_comes_behind_the_queued_writes() {
    let engine = engine_with_unsent(0);
    let (mut peer, stream, stuffed) = full_pair(&engine);
    let told = Told::new();
    engine.write(&stream, "queued", told.value("write"));
    engine.shutdown_write(&stream, told.callback("shutdown"));
    turns(&engine, 3);
    assert!(told.is_empty());
    let early = unstuff(&peer, stuffed);
    engine.run().unwrap();
    assert_eq!(told.take(), ["write 6", "shutdown Ok"]);
    let mut received = early;
    peer.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"queued");
}

#[test]
fn a_shutdown_cancelled_before_it_began_is_undone() {
    let engine = engine_with_unsent(0);
    let (peer, stream, stuffed) = full_pair(&engine);
    let told = Told::new();
    engine.write(&stream, "first", told.value("first"));
    let cancel = engine.shutdown_write(&stream, told.callback("shutdown"));
    turns(&engine, 2);
    cancel.cancel();
    engine.write(&stream, "second", told.value("second"));
    turns(&engine, 2);
    assert_eq!(told.take(), ["shutdown Cancelled"]);
    let early = unstuff(&peer, stuffed);
    engine.run().unwrap();
    assert_eq!(told.take(), ["first 5", "second 6"]);
    assert_eq!([early, arrived(&peer)].concat(), b"firstsecond");
}

// Unsent bytes are pending

#[test]
fn promise_10_the_run_does_not_end_before_unsent_bytes_are_out() {
    // The stream may be gone by then, an empty write may have come first, and a short write may
    // take another way than a long one.
    for case in 0..8 {
        let (dropped, empty_first) = (case & 1 != 0, case & 2 != 0);
        let len = if case & 4 != 0 { 90 } else { 9000 };
        let engine = driver::engine();
        let (peer, stream, stuffed) = full_pair(&engine);
        let told = Told::new();
        if empty_first {
            engine.write(&stream, "", Callback::ignore());
        }
        engine.write(&stream, numbered(len), told.callback("write"));
        let kept = (!dropped).then(|| stream.clone());
        drop(stream);
        turns(&engine, 3);
        assert_eq!(told.take(), ["write Ok"]);
        let turn = engine.run_once(Some(Duration::ZERO)).unwrap();
        assert!(turn.pending > 0, "unsent bytes are pending");
        let reader = thread::spawn(move || {
            let mut received = Vec::new();
            peer.take((stuffed + len) as u64).read_to_end(&mut received).unwrap();
            received.split_off(stuffed)
        });
        engine.run().unwrap();
        assert_eq!(reader.join().unwrap(), numbered(len));
        drop(kept);
    }
}

#[test]
fn promise_10_stop_tries_once_more() {
    for way in WayOut::ALL {
        let engine = driver::engine();
        let (peer, stream) = pair(&engine);
        let again = stream.clone();
        way.take(&engine, move |local| {
            local.write(&again, "written", Callback::ignore());
        });
        assert_eq!(arrived(&peer), b"written", "{way:?}");
        drop(stream);
    }
}

#[test]
fn promise_10_dropping_the_engine_tries_once_more() {
    for dropped in [false, true] {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        engine.write(&stream, "never a turn", told.value("write"));
        let kept = (!dropped).then(|| stream.clone());
        drop(stream);
        drop(engine);
        assert_eq!(told.take(), ["write 12"]);
        drop(kept);
        let mut received = String::new();
        peer.read_to_string(&mut received).unwrap();
        assert_eq!(received, "never a turn");
    }
}

#[test]
fn promise_10_a_write_pending_when_the_engine_is_dropped_says_how_much_was_written() {
    // With a peer that does not read, and with one that has just made room.
    for reads in [false, true] {
        let engine = driver::engine();
        // Room for more than one send.
        let (mut peer, stream) = wide_pair(&engine);
        let (data, outcome) = begin_huge_write(&engine, &stream);
        let told = Told::new();
        engine.write(&stream, "queued", told.callback("queued"));
        engine.flush(&stream, told.callback("flush"));
        let mut received = if reads { arrived(&peer) } else { Vec::new() };
        drop(engine);
        let written = written(&outcome.error(), "EngineClosed");
        let mut notes = told.take();
        notes.sort();
        assert_eq!(notes, ["flush EngineClosed", "queued EngineClosed"]);
        drop(stream);
        peer.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), written);
        assert_eq!(received, data[..written]);
    }
}

#[test]
fn a_reader_that_takes_its_time_gets_every_byte_of_every_write() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    let (told, total) = (Told::new(), 3 << 20);
    let data = Bytes::from(numbered(total));
    let (mut at, mut size) = (0, 1);
    while at < total {
        let end = (at + size).min(total);
        engine.write(&stream, data.slice(at..end), told.callback("write"));
        (at, size) = (end, size * 7 % 100_003);
    }
    drop(stream);
    let reader = thread::spawn(move || slow_reader(peer, total));
    engine.run().unwrap();
    assert!(reader.join().unwrap() == data);
    assert!(told.take().iter().all(|note| note == "write Ok"));
}

fn slow_reader(mut peer: driver::Peer, total: usize) -> Vec<u8> {
    let (mut all, mut piece, mut len) = (Vec::with_capacity(total), vec![0; 8192], 1);
    loop {
        match peer.read(&mut piece[..len]).unwrap() {
            0 => return all,
            count => all.extend_from_slice(&piece[..count]),
        }
        len = len * 5 % 8191;
        thread::yield_now();
    }
}

// Memory

/// A message that counts.
struct Counted(Vec<u8>, Token);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        let _ = &self.1;
        &self.0
    }
}

/// What comes next goes into this memory while it is in cache, and no turn is needed to free it.
#[test]
fn the_memory_of_a_write_that_was_sent_at_once_is_free_after_that_turn() {
    let engine = driver::engine();
    let (_peer, stream) = pair(&engine);
    let (drops, told) = (Drops::new(), Told::new());
    engine.write(&stream, "the first may take longer", Callback::ignore());
    engine.run().unwrap();
    let message = Bytes::from_owner(Counted(vec![7; 16 << 10], drops.token()));
    let write = told.callback("write");
    engine.post(move |local| {
        local.write(&stream, message, write);
    });
    engine.run_once(Some(Duration::ZERO)).unwrap();
    assert_eq!(told.take(), ["write Ok"]);
    if engine.driver() == "io_uring" {
        // There nothing is sent at once: the system tells in a later turn.
        turn_until(&engine, || drops.alive() == 0);
    }
    assert_eq!(drops.alive(), 0);
}

/// A message that writes another one when it is dropped.
struct Successor {
    engine: Handle,
    stream: Stream,
    next: Option<Bytes>,
}

impl AsRef<[u8]> for Successor {
    fn as_ref(&self) -> &[u8] {
        &[7; 16 << 10]
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        let next = self.next.take().expect("dropped once");
        // Without a callback, for which there would be another turn in any case.
        assert!(self.engine.try_write(&self.stream, &next).is_some());
    }
}

#[test]
fn what_a_dropped_message_writes_goes_out_and_is_let_go_of() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let drops = Drops::new();
    let next = Bytes::from_owner(Counted(vec![8; 16 << 10], drops.token()));
    let handle = engine.handle().clone();
    let first = Successor { engine: handle, stream: stream.clone(), next: Some(next) };
    engine.write(&stream, Bytes::from_owner(first), Callback::ignore());
    engine.run().unwrap();
    assert_eq!(drops.alive(), 0);
    drop(stream);
    engine.run().unwrap();
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    assert_eq!(received, [[7; 16 << 10], [8; 16 << 10]].concat());
}
