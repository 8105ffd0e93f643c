//! Closing, aborting, detaching, attaching: what goes out first, who hears what, and when.

use std::{
    io::{Read, Write},
    time::Duration,
};

use facade_engine::{
    Bytes, Callback, Cancel, Detached, Engine, Handle, Result, Stream,
    matcher::{Matcher, Scan},
};
use facade_tests::{
    alone::alone,
    outcome::Outcome,
    peers::{arrived, numbered, unstuff},
    reads::UpTo,
    skipped::misses_resets,
    told::Told,
    turns::{turn_until, turns},
};

use super::driver::{self, descriptors, full_pair, pair, tcp_pair};

// Close

#[test]
fn close_tells_reads_closed_sends_what_was_written_and_is_told_last() {
    let engine = driver::engine();
    let (mut peer, stream, stuffed) = full_pair(&engine);
    let told = Told::new();
    engine.read_line(&stream, told.callback("read"));
    engine.read_all(&stream, told.callback("read_all"));
    engine.write(&stream, numbered(200_000), told.callback("write"));
    engine.flush(&stream, told.callback("flush"));
    engine.shutdown_write(&stream, told.callback("shutdown"));
    engine.close(&stream, told.callback("close"));
    engine.close(&stream, told.callback("second"));
    turns(&engine, 3);
    let mut early = told.take();
    early.sort();
    assert_eq!(early, ["read Closed", "read_all Closed", "second Closed"]);
    let mut received = unstuff(&peer, stuffed);
    turn_until(&engine, || {
        received.extend(arrived(&peer));
        told.len() == 4
    });
    assert_eq!(told.take(), ["write Ok", "flush Ok", "shutdown Ok", "close Ok"]);
    peer.read_to_end(&mut received).unwrap();
    assert!(received == numbered(200_000));
    engine.run().unwrap();
}

#[test]
fn close_comes_behind_callbacks_that_other_callbacks_submitted() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"one\ntwo\n").unwrap();
    let (notes, again) = (told.clone(), stream.clone());
    engine.read_line(
        &stream,
        Callback::from_fn(move |engine, _| {
            notes.note("line");
            engine.close(&again, notes.callback("close"));
            engine.read_line(&again, notes.callback("late"));
            engine.write(&again, "late", notes.callback("late write"));
        }),
    );
    engine.read_line(&stream, told.callback("second"));
    engine.run().unwrap();
    let notes = told.take();
    assert_eq!(notes.len(), 5);
    assert_eq!(notes[0], "line");
    assert_eq!(notes[4], "close Ok", "{notes:?}");
}

#[test]
fn everything_after_a_close_hears_closed() {
    let engine = driver::engine();
    let (_peer, stream) = pair(&engine);
    let told = Told::new();
    engine.close(&stream, told.callback("close"));
    let everything = || {
        engine.read_line(&stream, told.callback("read"));
        engine.peek(&stream, 1, told.callback("peek"));
        engine.buffered(&stream, told.callback("buffered"));
        engine.write(&stream, "x", told.callback("write"));
        engine.write(&stream, "", told.callback("empty write"));
        engine.flush(&stream, told.callback("flush"));
        engine.take_unsent(&stream, told.callback("take_unsent"));
        engine.shutdown_write(&stream, told.callback("shutdown_write"));
        engine.close(&stream, told.callback("close"));
        engine.detach(&stream, told.callback("detach"));
        engine.consume(&stream, 1);
        engine.abort(&stream);
    };
    // While it closes, and when it is closed.
    everything();
    engine.run().unwrap();
    let notes = told.take();
    assert_eq!(notes.len(), 11);
    assert_eq!(notes.iter().filter(|note| note.ends_with(" Closed")).count(), 10, "{notes:?}");
    everything();
    engine.run().unwrap();
    let notes = told.take();
    assert_eq!(notes.len(), 10);
    assert!(notes.iter().all(|note| note.ends_with(" Closed")), "{notes:?}");
}

/// Sends so many bytes, or as many as there is room for.
fn flood(peer: &mut driver::TcpPeer, len: usize) {
    peer.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while sent < len {
        match peer.write(&vec![1; len - sent]) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    peer.set_nonblocking(false).unwrap();
}

#[test]
fn close_over_unread_bytes_lets_the_peer_read_what_was_written() {
    for unread in [10, 1 << 20] {
        let engine = driver::engine();
        let (mut peer, stream) = tcp_pair(&engine);
        flood(&mut peer, unread);
        let told = Told::new();
        engine.write(&stream, "good bye", told.callback("write"));
        engine.close(&stream, told.callback("close"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["write Ok", "close Ok"]);
        let mut received = String::new();
        peer.read_to_string(&mut received).unwrap();
        assert_eq!(received, "good bye");
    }
}

#[test]
fn an_engine_that_goes_over_unread_bytes_lets_its_peers_read_what_was_written() {
    for unread in [10, 1 << 20] {
        let engine = driver::engine();
        let (mut peer, stream) = tcp_pair(&engine);
        engine.write(&stream, "good bye", Callback::ignore());
        turns(&engine, 1);
        flood(&mut peer, unread);
        drop(engine);
        drop(stream);
        let mut received = String::new();
        peer.read_to_string(&mut received).unwrap();
        assert_eq!(received, "good bye");
    }
}

#[test]
fn a_cancelled_close_goes_on() {
    let engine = driver::engine();
    let (mut peer, stream, stuffed) = full_pair(&engine);
    let told = Told::new();
    engine.write(&stream, "written", told.callback("write"));
    let cancel = engine.close(&stream, told.callback("close"));
    turns(&engine, 2);
    cancel.cancel();
    turns(&engine, 2);
    assert_eq!(told.take(), ["write Ok", "close Cancelled"]);
    let mut received = unstuff(&peer, stuffed);
    engine.run().unwrap();
    peer.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"written");
}

#[test]
fn a_stream_closes_when_its_last_clone_is_gone_and_nothing_is_pending_on_it() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    engine.read_line(&stream, told.value("read"));
    drop(stream.clone());
    drop(stream);
    turns(&engine, 3);
    peer.set_nonblocking(true).unwrap();
    assert!(peer.read(&mut [0]).is_err(), "the read keeps it open");
    peer.write_all(b"line\n").unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["read b\"line\""]);
    peer.set_nonblocking(false).unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it ended with the read");
}

// Abort

#[test]
fn abort_drops_what_is_unsent_and_resets() {
    if misses_resets("abort_drops_what_is_unsent_and_resets", &driver::name()) {
        return;
    }
    for pending in [false, true] {
        let engine = driver::engine();
        let (mut peer, stream) = tcp_pair(&engine);
        let told = Told::new();
        if pending {
            engine.read_line(&stream, told.callback("read"));
            engine.write(&stream, vec![0; 16 << 20], told.callback("write"));
        }
        turns(&engine, 3);
        engine.abort(&stream);
        engine.run().unwrap();
        if pending {
            let notes = told.take();
            assert!(notes.contains(&"read Closed".to_owned()), "{notes:?}");
            assert!(notes.iter().any(|note| note.starts_with("write PartialWrite(")), "{notes:?}");
        }
        let mut block = vec![0; 64 << 10];
        let error = loop {
            match peer.read(&mut block) {
                Ok(0) => panic!("an end of stream"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn abort_of_a_closing_stream_ends_the_close() {
    let engine = driver::engine();
    let (_peer, stream, _) = full_pair(&engine);
    let told = Told::new();
    engine.write(&stream, "never", told.callback("write"));
    engine.close(&stream, told.callback("close"));
    turns(&engine, 3);
    assert_eq!(told.take(), ["write Ok"]);
    engine.abort(&stream);
    engine.run().unwrap();
    assert_eq!(told.take().len(), 1, "the close is told");
}

// Detach

#[test]
fn promise_08_what_nobody_takes_before_a_detach_comes_with_the_descriptor() {
    type Submit = fn(&Handle, &Stream, &Told) -> Cancel;
    let reads: [Submit; 4] = [
        |h, s, told| h.read_line(s, told.callback("read")),
        |h, s, told| h.read_until(s, "\n", told.callback("read")),
        |h, s, told| h.read_with(s, UpTo(b"\n"), told.callback("read")),
        |h, s, told| {
            h.read_line(s, told.callback("read"));
            h.read_line(s, told.callback("next"))
        },
    ];
    for read in reads {
        for cancelled in [false, true] {
            let engine = driver::engine();
            let (mut peer, stream) = pair(&engine);
            let told = Told::new().dropping_claims();
            peer.write_all(b"one\ntwo\n").unwrap();
            drop(peer);
            // With its end there is no reception that a detach would wait for anyway.
            engine.read_until(&stream, "never", Callback::ignore());
            engine.run().unwrap();
            let detached: Outcome<Detached> = Outcome::new();
            let (told, cb) = (told.clone(), detached.callback());
            engine.post(move |local| {
                // It has matched, and its callback gives back what it found.
                let cancel = read(local, &stream, &told);
                local.detach(&stream, cb);
                if cancelled {
                    cancel.cancel();
                }
            });
            engine.run().unwrap();
            assert_eq!(detached.value().unread, "one\ntwo\n");
        }
    }
}

/// A matcher that detaches its stream when it looks for the first time.
struct Leaver {
    engine: Handle,
    stream: Stream,
    detached: Option<Callback<Detached>>,
}

impl Matcher for Leaver {
    type Output = Bytes;

    fn scan(&mut self, _unread: &[u8], _ended: bool) -> Scan {
        if let Some(cb) = self.detached.take() {
            self.engine.detach(&self.stream, cb);
        }
        Scan::NeedMore
    }

    fn restart(&mut self) {}

    fn output(&mut self, taken: Bytes) -> Result<Bytes> {
        Ok(taken)
    }
}

#[test]
fn promise_08_what_a_matcher_looks_at_comes_with_the_descriptor_when_it_detaches() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let (told, detached) = (Told::new(), Outcome::new());
    peer.write_all(b"one\ntwo\n").unwrap();
    drop(peer);
    // With its end there is no reception that a detach would wait for anyway.
    engine.read_until(&stream, "never", Callback::ignore());
    engine.run().unwrap();
    let leaver = Leaver {
        engine: engine.handle().clone(),
        stream: stream.clone(),
        detached: Some(detached.callback()),
    };
    engine.read_with(&stream, leaver, told.callback("read"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["read EndOfStream"]);
    assert_eq!(detached.value().unread, "one\ntwo\n");
}

#[test]
fn a_close_ends_though_what_a_read_had_matched_is_consumed() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"line\n").unwrap();
    engine.peek(&stream, 1, Callback::ignore());
    engine.run().unwrap();
    let notes = told.clone();
    engine.post(move |local| {
        local.read_line(&stream, notes.dropping_claims().callback("read"));
        local.close(&stream, notes.callback("close"));
        local.consume(&stream, 5);
    });
    turns(&engine, 5);
    assert_eq!(told.take(), ["read Closed", "close Ok"]);
}

#[test]
fn a_detach_that_times_out_closes() {
    let engine = driver::engine();
    let (peer, stream, stuffed) = full_pair(&engine);
    let told = Told::new();
    engine.write(&stream, "stuck", told.callback("write"));
    let in_time = told.timeout(Duration::from_millis(5));
    engine.detach(&stream, in_time.callback("detach"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["write Ok", "detach TimedOut"]);
    assert!(unstuff(&peer, stuffed).is_empty());
    assert_eq!((&peer).read(&mut [0]).unwrap(), 0, "a clone of the stream lives on");
    drop(stream);
}

// Listeners

#[test]
fn closing_a_listener_tells_its_accepts_and_closes_what_nobody_took() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let told = Told::new();
    let mut clients: Vec<_> = (0..3).map(|_| driver::connect(address).unwrap()).collect();
    let first: Outcome<Stream> = Outcome::new();
    engine.accept(&listener, first.callback());
    turn_until(&engine, || first.is_there());
    let first = first.value();
    engine.close(&listener, told.callback("close"));
    engine.accept(&listener, told.callback("late"));
    engine.close(&listener, told.callback("second"));
    engine.run().unwrap();
    let notes = told.take();
    assert_eq!(notes.last().unwrap(), "close Ok");
    assert_eq!(notes[..2], ["late Closed", "second Closed"]);
    for client in &mut clients[1..] {
        // An end or a reset, but nobody is left.
        assert!(!matches!(client.read(&mut [0]), Ok(1..)));
    }
    // A child that another test is about to start may hold the socket for a moment longer.
    turn_until(&engine, || driver::connect(address).is_err());
    let told = Told::new();
    clients[0].write_all(b"still there\n").unwrap();
    engine.read_line(&first, told.value("line"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["line b\"still there\""]);
}

#[test]
fn pending_accepts_hear_closed_before_the_close() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let told = Told::new();
    engine.accept(&listener, told.callback("first"));
    engine.accept(&listener, told.callback("second"));
    turns(&engine, 2);
    engine.close(&listener, told.callback("close"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["first Closed", "second Closed", "close Ok"]);
}

// Descriptors

#[test]
fn closing_in_every_way_leaves_no_descriptor() {
    alone(module_path!(), "closing_in_every_way_leaves_no_descriptor", || {
        let engine = driver::engine();
        let before = descriptors();
        for round in 0..4 {
            let (peer, stream, _) = full_pair(&engine);
            engine.read_line(&stream, Callback::ignore());
            engine.write(&stream, vec![0; 1 << 20], Callback::ignore());
            turns(&engine, 2);
            end_somehow(&engine, &stream, round);
            drop(stream);
            engine.run().unwrap();
            drop(peer);
            assert_eq!(descriptors(), before, "way {round}");
        }
    });
}

fn end_somehow(engine: &Engine, stream: &Stream, way: usize) {
    let soon = Duration::from_millis(2);
    match way {
        0 => _ = engine.close(stream, Callback::ignore().timeout(soon)),
        1 => engine.abort(stream),
        2 => _ = engine.detach(stream, Callback::ignore().timeout(soon)),
        _ => {
            engine.close(stream, Callback::ignore());
            turns(engine, 2);
            engine.abort(stream);
        }
    }
}
