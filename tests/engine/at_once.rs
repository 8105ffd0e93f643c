//! What the matchers of users find that look at once, for an adapter, or one after the other.

use std::{io::Write as _, sync::mpsc};

use facade_engine::{
    Bytes, Callback, Engine, Error, Result, Stream,
    adapter::HandleExt as _,
    matcher::{Matcher, Scan},
};
use facade_tests::{
    reads::{TEXT, UpTo},
    told::Told,
    turns::{turn_until, turns},
};

use super::driver::{self, Peer, pair};

/// What `matcher` finds at once.
fn find<M: Matcher>(engine: &Engine, stream: &Stream, mut matcher: M) -> Option<M::Output> {
    let (send, found) = mpsc::channel();
    let stream = stream.clone();
    engine.post(move |engine| send.send(engine.try_read_with(&stream, &mut matcher)).unwrap());
    let mut outcome = None;
    turn_until(engine, || {
        outcome = found.try_recv().ok();
        outcome.is_some()
    });
    outcome.flatten()
}

fn rest(engine: &Engine, stream: &Stream) -> Bytes {
    let (send, rest) = mpsc::channel();
    engine.buffered(stream, Callback::from_fn(move |_, len| send.send(len).unwrap()));
    engine.run().unwrap();
    let len = rest.recv().unwrap().unwrap();
    let (send, rest) = mpsc::channel();
    engine.read_exact(stream, len, Callback::from_fn(move |_, all| send.send(all).unwrap()));
    engine.run().unwrap();
    rest.recv().unwrap().unwrap()
}

/// A stream that has received the text.
fn received(engine: &Engine) -> (Peer, Stream) {
    let (mut peer, stream) = pair(engine);
    peer.write_all(TEXT).unwrap();
    engine.peek(&stream, 1, Callback::ignore());
    engine.run().unwrap();
    (peer, stream)
}

#[test]
fn promise_08_what_is_found_at_once_is_taken_and_nothing_else() {
    let engine = driver::engine();
    let (_peer, stream) = received(&engine);
    assert_eq!(find(&engine, &stream, UpTo(b"nowhere")), None);
    assert_eq!(find(&engine, &stream, UpTo(b"two\n")).unwrap(), "one\r\ntwo\n");
    assert_eq!(find(&engine, &stream, UpTo(b"two\n")), None);
    assert_eq!(rest(&engine, &stream), "END\n");
}

#[test]
fn promise_02_nothing_is_found_at_once_in_front_of_a_read_that_waits() {
    let engine = driver::engine();
    let (_peer, stream) = received(&engine);
    let told = Told::new();
    let cancel = engine.read_until(&stream, "nowhere", told.callback("first"));
    turns(&engine, 1);
    assert_eq!(find(&engine, &stream, UpTo(b"two\n")), None);
    cancel.cancel();
    engine.run().unwrap();
    assert_eq!(told.take(), ["first Cancelled"]);
    assert_eq!(find(&engine, &stream, UpTo(b"two\n")).unwrap(), "one\r\ntwo\n");
}

#[test]
fn promise_02_nothing_is_found_at_once_before_the_callback_of_an_earlier_read() {
    let engine = driver::engine();
    let (_peer, stream) = received(&engine);
    let told = Told::new();
    let (ours, early) = (stream.clone(), told.clone());
    engine.post(move |engine| {
        engine.read_line(&ours, early.value("line"));
        assert_eq!(engine.try_read_with(&ours, &mut UpTo(b"two\n")), None);
    });
    engine.run().unwrap();
    assert_eq!(told.take(), [r#"line b"one""#]);
    assert_eq!(find(&engine, &stream, UpTo(b"two\n")).unwrap(), "two\n");
}

/// The reads of a pipeline: what the first gives back is the second's.
#[test]
fn promise_08_the_next_matcher_does_not_look_behind_a_claim_that_may_go_back() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    engine.read_with(&stream, UpTo(b"\n"), told.dropping_claims().callback("claim"));
    engine.read_with(&stream, UpTo(b"\n"), told.value("next"));
    engine.read_with(&stream, UpTo(b"\n"), told.value("last"));
    turns(&engine, 2);
    peer.write_all(TEXT).unwrap();
    turn_until(&engine, || told.len() == 3);
    assert_eq!(told.take()[1..], [r#"next b"one\r\n""#, r#"last b"two\n""#]);
}

/// Fails in its output, or panics there or before.
struct Fails {
    scan_panics: bool,
    output_panics: bool,
}

impl Matcher for Fails {
    type Output = Bytes;

    fn scan(&mut self, unread: &[u8], _ended: bool) -> Scan {
        assert!(!self.scan_panics, "in its scan");
        Scan::Found { end: unread.len() }
    }

    fn restart(&mut self) {}

    fn output(&mut self, _taken: Bytes) -> Result<Bytes> {
        assert!(!self.output_panics, "in its output");
        Err(Error::EndOfStream)
    }
}

#[test]
fn promise_17_a_matcher_that_fails_or_panics_at_once_takes_nothing() {
    let engine = driver::engine();
    let (_peer, stream) = received(&engine);
    for (scan_panics, output_panics) in [(false, false), (false, true), (true, false)] {
        assert_eq!(find(&engine, &stream, Fails { scan_panics, output_panics }), None);
    }
    assert_eq!(rest(&engine, &stream), TEXT);
}

/// Submits reads of its own while it looks.
struct Busy(Stream, Told);

impl Matcher for Busy {
    type Output = Bytes;

    fn scan(&mut self, _unread: &[u8], _ended: bool) -> Scan {
        let handle = self.0.handle();
        handle.read_line(&self.0, self.1.value("line"));
        handle.read_exact(&self.0, 3, self.1.value("bytes"));
        Scan::NeedMore
    }

    fn restart(&mut self) {}

    fn output(&mut self, taken: Bytes) -> Result<Bytes> {
        Ok(taken)
    }
}

#[test]
fn promise_01_what_a_matcher_submits_while_it_looks_at_once_has_its_outcome() {
    let engine = driver::engine();
    let (_peer, stream) = received(&engine);
    let told = Told::new();
    assert_eq!(find(&engine, &stream, Busy(stream.clone(), told.clone())), None);
    turn_until(&engine, || told.len() == 2);
    assert_eq!(told.take(), [r#"line b"one""#, r#"bytes b"two""#]);
}
