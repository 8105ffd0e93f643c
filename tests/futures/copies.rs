//! Copies as futures: dropped at any moment they leave each byte in one of the two streams.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
};

use facade_engine::{Error, Stream as EngineStream};
use facade_futures::{CopyOptions, Stream};
use facade_tests::{
    outcome::Outcome,
    peers::{arrived, numbered, unstuff},
    polls::poll_once,
    turns::{SOON, turn_until, turns},
};

use super::driver::{self, full_pair, pair};

fn engine_streams(one: &EngineStream, other: &EngineStream) -> (Stream, Stream) {
    (one.clone().into(), other.clone().into())
}

#[test]
fn promise_08_a_copy_that_is_dropped_leaves_each_byte_in_one_of_the_streams() {
    for steps in 0..8 {
        let engine = driver::engine();
        let ((mut source, from), (sink, to, stuffed)) = (pair(&engine), full_pair(&engine));
        let data = numbered(3000);
        let (mut ours, mut theirs) = engine_streams(&from, &to);
        let mut copy = Box::pin(ours.copy_to(&mut theirs));
        for step in 0..steps {
            assert!(poll_once(&mut copy).is_pending());
            source.write_all(&data[step * 300..(step + 1) * 300]).unwrap();
            turns(&engine, 1);
        }
        drop(copy);
        turns(&engine, 2);
        let (rest, flushed) = (Outcome::new(), Outcome::new());
        source.shutdown(Shutdown::Write).unwrap();
        engine.read_all(&from, rest.callback());
        engine.flush(&to, flushed.callback());
        let mut received = unstuff(&sink, stuffed);
        turn_until(&engine, || {
            received.extend(arrived(&sink));
            rest.is_there() && flushed.is_there()
        });
        received.extend(arrived(&sink));
        received.extend_from_slice(&rest.value());
        assert!(received == data[..steps * 300], "after {steps}: {} bytes", received.len());
    }
}

#[test]
fn a_copy_both_ways_yields_its_counts_and_one_that_expires_says_them() {
    let engine = driver::engine();
    let ((mut client, a), (mut server, b)) = (pair(&engine), pair(&engine));
    let (mut one, mut other) = engine_streams(&a, &b);
    client.write_all(b"question").unwrap();
    server.write_all(b"an answer").unwrap();
    let mut copy = Box::pin(one.copy_both_ways(&mut other).timeout(SOON));
    let mut outcome = None;
    turn_until(&engine, || {
        if let std::task::Poll::Ready(ready) = poll_once(&mut copy) {
            outcome = Some(ready);
        }
        outcome.is_some()
    });
    match outcome.unwrap() {
        Err(Error::PartialCopy { copied: 8, returned: 9, cause }) => {
            assert!(matches!(*cause, Error::TimedOut), "{cause:?}");
        }
        outcome => panic!("{outcome:?}"),
    }
    drop(copy);
    let options = CopyOptions::new();
    let mut copy = Box::pin(one.copy_both_ways_with(&mut other, options));
    assert!(poll_once(&mut copy).is_pending());
    client.shutdown(Shutdown::Write).unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    engine.run().unwrap();
    assert!(matches!(poll_once(&mut copy), std::task::Poll::Ready(Ok((0, 0)))));
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"an answer");
}

#[test]
fn a_half_is_copied_to_the_other_of_the_same_stream() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let (mut reader, mut writer) = Stream::from(stream).into_split();
    let mut echo = Box::pin(reader.copy_to(&mut writer));
    assert!(poll_once(&mut echo).is_pending());
    peer.write_all(b"hello").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    engine.run().unwrap();
    assert!(matches!(poll_once(&mut echo), std::task::Poll::Ready(Ok(5))));
    assert_eq!(arrived(&peer), b"hello");
}
