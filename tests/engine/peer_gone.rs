//! Waiting for a peer to leave, whatever it has sent before.

use std::{
    io::{Read, Write},
    net::Shutdown,
    time::Duration,
};

use facade_engine::{Bytes, Callback, Limits};
use facade_tests::{
    outcome::Outcome,
    peers::{numbered, reset},
    told::Told,
    turns::{SOON, turn_until, turns},
};

use super::driver::{self, pair, tcp_pair};

#[test]
fn a_peer_that_leaves_is_told_of_before_its_bytes_are_read() {
    let engine = driver::engine();
    let (mut peer, stream) = tcp_pair(&engine);
    let told = Told::new();
    told.submitting(|| engine.peer_gone(&stream, told.callback("gone")));
    peer.write_all(b"unread\n").unwrap();
    turns(&engine, 5);
    assert!(told.is_empty(), "it is there");
    drop(peer);
    engine.run().unwrap();
    assert_eq!(told.take(), ["gone Ok"]);
    // Known by now, and told at once; and what was sent is all there.
    engine.peer_gone(&stream, told.callback("still"));
    engine.read_line(&stream, told.value("line"));
    engine.read_line(&stream, told.callback("behind it"));
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["behind it EndOfStream", "line b\"unread\"", "still Ok"]);
    engine.peer_gone(&stream, told.callback("after the end"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["after the end Ok"]);
}

#[test]
fn a_peer_that_leaves_is_told_of_while_more_is_unread_than_is_read_ahead() {
    let limits = Limits { unread: 1_000, ..Limits::default() };
    let engine = driver::builder().limits(limits).build().unwrap();
    let (mut peer, stream) = tcp_pair(&engine);
    let told = Told::new();
    let data = numbered(20_000);
    let lines = Outcome::<Bytes>::new();
    // A part is received ahead, and the rest is with the system.
    engine.peek(&stream, 1, lines.callback());
    engine.peer_gone(&stream, told.callback("gone"));
    peer.write_all(&data).unwrap();
    turn_until(&engine, || lines.is_there());
    peer.shutdown(Shutdown::Write).unwrap();
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["gone Ok"]);
    let all = Outcome::<Bytes>::new();
    engine.read_all(&stream, all.callback());
    engine.run().unwrap();
    assert_eq!(all.value(), data);
}

#[test]
fn a_reset_is_a_peer_that_left() {
    let engine = driver::engine();
    let (peer, stream) = tcp_pair(&engine);
    let told = Told::new();
    engine.peer_gone(&stream, told.callback("gone"));
    turns(&engine, 3);
    reset(peer);
    engine.run().unwrap();
    assert_eq!(told.take(), ["gone Ok"]);
}

#[test]
fn reads_and_writes_go_on_beside_it() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    engine.peer_gone(&stream, told.callback("gone"));
    for number in 0..5 {
        writeln!(peer, "{number}").unwrap();
        engine.read_line(&stream, told.value("line"));
        engine.write_line(&stream, "answer", told.callback("written"));
        let count = told.len();
        turn_until(&engine, || told.len() >= count + 2);
        peer.read_exact(&mut [0; 8]).unwrap();
    }
    assert_eq!(told.len(), 10);
    drop(peer);
    engine.run().unwrap();
    assert_eq!(told.take().last().unwrap(), "gone Ok");
}

#[test]
fn promise_06_it_ends_by_cancel_and_timeout_and_others_wait_on() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    let told = Told::new();
    let one = engine.peer_gone(&stream, told.callback("one"));
    engine.peer_gone(&stream, told.callback("other"));
    engine.peer_gone(&stream, told.timeout(SOON).callback("expired"));
    turns(&engine, 2);
    one.cancel();
    turn_until(&engine, || told.len() == 2);
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["expired TimedOut", "one Cancelled"]);
    drop(peer);
    engine.run().unwrap();
    assert_eq!(told.take(), ["other Ok"]);
}

/// The wait in the driver ends with the last who waits, and another begins before that is known.
#[test]
fn one_that_is_cancelled_makes_way_for_the_next() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    let told = Told::new();
    let next = told.clone();
    let again = stream.clone();
    let cancel = engine.peer_gone(
        &stream,
        Callback::from_fn(move |local, outcome| {
            assert!(outcome.is_err());
            local.peer_gone(&again, next.callback("next"));
        }),
    );
    turns(&engine, 2);
    cancel.cancel();
    let last = engine.peer_gone(&stream, told.callback("in the same turn"));
    turns(&engine, 3);
    assert!(told.is_empty());
    last.cancel();
    engine.peer_gone(&stream, told.callback("behind it"));
    turns(&engine, 3);
    assert_eq!(told.take(), ["in the same turn Cancelled"]);
    drop(peer);
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["behind it Ok", "next Ok"]);
}

#[test]
fn a_close_ends_it_and_a_dropped_stream_waits_for_it() {
    let engine = driver::engine();
    let told = Told::new();
    let (_peer, stream) = pair(&engine);
    engine.peer_gone(&stream, told.callback("gone"));
    turns(&engine, 2);
    engine.close(&stream, told.callback("close"));
    engine.peer_gone(&stream, told.callback("late"));
    engine.run().unwrap();
    let mut notes = told.take();
    assert_eq!(notes.pop().unwrap(), "close Ok");
    notes.sort();
    assert_eq!(notes, ["gone Closed", "late Closed"]);

    let (mut peer, stream) = pair(&engine);
    let cancel = engine.peer_gone(&stream, told.callback("of a dropped one"));
    drop(stream);
    turns(&engine, 3);
    peer.write_all(b"it is open\n").unwrap();
    turns(&engine, 3);
    assert!(told.is_empty());
    cancel.cancel();
    engine.run().unwrap();
    assert_eq!(told.take(), ["of a dropped one Cancelled"]);
    turn_until(&engine, || peer.write_all(b"nobody has it any more\n").is_err());
}

#[test]
fn promise_16_the_engines_end_ends_it() {
    let engine = driver::engine();
    let (_peer, stream) = pair(&engine);
    let told = Told::new();
    engine.peer_gone(&stream, told.callback("gone"));
    turns(&engine, 2);
    drop(engine);
    assert_eq!(told.take(), ["gone EngineClosed"]);
}

#[test]
fn a_zero_timeout_finds_a_peer_that_has_left() {
    let engine = driver::engine();
    let (peer, stream) = tcp_pair(&engine);
    let told = Told::new();
    engine.peer_gone(&stream, told.timeout(Duration::ZERO).callback("there"));
    engine.run().unwrap();
    drop(peer);
    driver::wait_for(&stream, facade_tests::sockets::Sign::End);
    engine.peer_gone(&stream, told.timeout(Duration::ZERO).callback("gone"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["there TimedOut", "gone Ok"]);
}
