//! What a bad link and a bad machine do to bytes.

use facade_engine::{
    Bytes, Callback, Error, Limits, Stream,
    sim::{Link, Machine, Peer},
};
use facade_tests::{
    outcome::Outcome,
    peers::numbered,
    told::{Basket, Told},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
};

use super::{ms, slow, two_hosts};

#[test]
fn pieces_arrive_one_by_one_and_in_order() {
    let link = Link { split: 1.0, latency: ms(1)..ms(90), ..Link::default() };
    let (network, here, _, engine) = two_hosts(5, Link::default());
    network.set_link(&here, &here, link);
    let (mut peer, stream) = Peer::pair(&engine).unwrap();
    let sent = numbered(3000);
    peer.write_all(&sent).unwrap();
    let chunks = Basket::new();
    let mut received = Vec::new();
    while received.len() < sent.len() {
        engine.read_chunk(&stream, 3000, chunks.callback());
        engine.run().unwrap();
        received.extend_from_slice(&chunks.only());
    }
    assert_eq!(received, sent);
    assert!(network.now() > ms(1), "at several times");
}

#[test]
fn writes_and_reads_are_short() {
    let (_network, here, _, engine) = two_hosts(5, Link::default());
    let short = Machine { short_write: 1.0, short_read: 1.0, ..Machine::default() };
    here.set_machine(short);
    let (mut peer, stream) = Peer::pair(&engine).unwrap();
    let sent = numbered(50_000);
    engine.write(&stream, sent.clone(), Callback::ignore());
    engine.run().unwrap();
    let mut received = vec![0; sent.len()];
    peer.read_exact(&mut received).unwrap();
    assert_eq!(received, sent);
    peer.write_all(&sent).unwrap();
    let chunk = Outcome::new();
    engine.read_chunk(&stream, sent.len(), chunk.callback());
    engine.run().unwrap();
    assert!(chunk.value().len() < sent.len());
}

#[test]
fn a_small_buffer_fills_until_somebody_reads() {
    let (network, here, _, engine) = two_hosts(5, Link::default());
    network.set_link(&here, &here, Link { buffer: 100, ..Link::default() });
    let (mut peer, stream) = Peer::pair(&engine).unwrap();
    let told = Told::new();
    engine.write(&stream, vec![1; 250], Callback::ignore());
    engine.flush(&stream, told.timeout(ms(10)).callback("flush"));
    while told.is_empty() {
        engine.run_once(None).unwrap();
    }
    assert_eq!((told.take(), peer.arrived()), (vec!["flush TimedOut".to_owned()], 100));
    let mut all = [0; 250];
    for part in all.chunks_mut(100) {
        peer.read_exact(part).unwrap();
        engine.run_once(None).unwrap();
    }
    assert_eq!(all, [1; 250]);
    // The other way: the peer finds no room, and no time will make any.
    peer.write_all(&[2; 100]).unwrap();
    assert_eq!(peer.write(&[2]).unwrap_err().kind(), ErrorKind::Deadlock);
    peer.set_nonblocking(true).unwrap();
    assert_eq!(peer.write(&[2]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_reset_under_way_is_heard_by_both_ends_behind_the_bytes_that_arrived() {
    let (_network, _, there, engine) = two_hosts(5, Link { reset: 1.0, within: 50, ..slow(ms(5)) });
    let server = there.listen(7).unwrap();
    let (stream, told) = (Outcome::new(), Told::new());
    engine.connect(there.at(7), stream.callback());
    engine.run().unwrap();
    let (stream, mut peer): (Stream, _) = (stream.value(), server.accept().unwrap().0);
    let sent = numbered(100);
    engine.write(&stream, sent.clone(), told.callback("write"));
    engine.read_line(&stream, told.callback("read"));
    engine.run().unwrap();
    let mut received = Vec::new();
    let error = peer.read_to_end(&mut received).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(received.len() < 50 && sent.starts_with(&received));
    assert_eq!(told.take(), ["write Ok", "read Io(read, ConnectionReset)"]);
}

#[test]
fn a_direction_that_ends_early_is_an_end_there_and_a_reset_here() {
    let (_network, _, there, engine) = two_hosts(5, Link { end: 1.0, within: 50, ..slow(ms(5)) });
    let server = there.listen(7).unwrap();
    let (stream, told) = (Outcome::new(), Told::new());
    engine.connect(there.at(7), stream.callback());
    engine.run().unwrap();
    let (stream, mut peer): (Stream, _) = (stream.value(), server.accept().unwrap().0);
    let sent = numbered(100);
    engine.write(&stream, sent.clone(), Callback::ignore());
    engine.run().unwrap();
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    assert!(received.len() < 50 && sent.starts_with(&received));
    engine.write(&stream, "and more", told.callback("write"));
    engine.read_line(&stream, told.callback("read"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["write Ok", "read Io(read, ConnectionReset)"]);
}

#[test]
fn half_closes_resets_and_ends_of_a_peer_are_told_apart() {
    let (_network, _, _, engine) = two_hosts(5, Link::default());
    let told = Told::new();
    let (mut peer, stream) = Peer::tcp_pair(&engine).unwrap();
    peer.write_all(b"last words").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    engine.read_all(&stream, told.value("half"));
    engine.write(&stream, "still here", Callback::ignore());
    engine.run().unwrap();
    let mut answer = [0; 10];
    peer.read_exact(&mut answer).unwrap();
    peer.reset();
    engine.write(&stream, "gone", told.callback("first"));
    engine.flush(&stream, told.callback("flush"));
    engine.run().unwrap();
    let (peer, stream) = Peer::tcp_pair(&engine).unwrap();
    engine.write(&stream, "unread", Callback::ignore());
    engine.run().unwrap();
    // Closing over unread bytes resets.
    drop(peer);
    engine.read_all(&stream, told.callback("unread"));
    engine.run().unwrap();
    assert_eq!(
        told.take(),
        [
            "half b\"last words\"",
            "first Ok",
            "flush Io(write, ConnectionReset)",
            "unread Io(read, ConnectionReset)",
        ]
    );
}

#[test]
fn a_reception_that_ends_late_brings_bytes_that_are_kept() {
    let (_network, here, _, engine) = two_hosts(5, Link::default());
    here.set_machine(Machine { late: 1.0, lateness: ms(40)..ms(40), ..Machine::default() });
    let (mut peer, stream) = Peer::tcp_pair(&engine).unwrap();
    engine.set_limits(&stream, Limits { unread: 4, ..Limits::default() });
    let (buffered, kept) = (Outcome::new(), Outcome::new());
    engine.read_exact(&stream, 9, Callback::ignore().timeout(ms(10)));
    engine.run().unwrap();
    // Enough is unread, so the reception is stopped, which takes 40 ms.
    peer.write_all(b"1234").unwrap();
    engine.sleep(ms(10), Callback::ignore());
    engine.run().unwrap();
    peer.write_all(b"5678").unwrap();
    engine.sleep(ms(10), Callback::ignore());
    engine.run().unwrap();
    engine.buffered(&stream, buffered.callback());
    engine.read_exact(&stream, 8, kept.callback());
    engine.run().unwrap();
    assert_eq!((buffered.value(), kept.value()), (8, Bytes::from("12345678")));
}

#[test]
fn a_late_send_that_was_cancelled_tells_what_was_taken() {
    let (network, here, _, engine) = two_hosts(5, Link::default());
    network.set_link(&here, &here, Link { buffer: 1000, ..Link::default() });
    here.set_machine(Machine { late: 1.0, lateness: ms(40)..ms(40), ..Machine::default() });
    let (mut peer, stream) = Peer::tcp_pair(&engine).unwrap();
    let outcome = Outcome::new();
    engine.set_limits(&stream, Limits { unsent: 0, ..Limits::default() });
    let write = engine.write(&stream, numbered(5000), outcome.callback());
    engine.run_once(Some(std::time::Duration::ZERO)).unwrap();
    write.cancel();
    engine.run().unwrap();
    match outcome.error() {
        Error::PartialWrite { written: 1000, cause } => assert!(matches!(*cause, Error::Cancelled)),
        error => panic!("{error:?}"),
    }
    let rest: Outcome<Bytes> = Outcome::new();
    engine.take_unsent(&stream, rest.callback());
    engine.run().unwrap();
    let mut all = vec![0; 1000];
    peer.read_exact(&mut all).unwrap();
    all.extend_from_slice(&rest.value());
    assert_eq!(all, numbered(5000));
}

#[test]
fn connections_that_have_something_to_tell_are_looked_at_in_any_order() {
    let order = |reorder| {
        let (_network, here, _, engine) = two_hosts(5, Link::default());
        here.set_machine(Machine { reorder, ..Machine::default() });
        let told = Told::new();
        let pairs: Vec<_> = (0..8).map(|_| Peer::pair(&engine).unwrap()).collect();
        for (number, (_, stream)) in pairs.iter().enumerate() {
            engine.read_line(stream, told.callback(number));
        }
        engine.run_once(Some(ms(0))).unwrap();
        for (peer, _) in &pairs {
            (&mut &*peer).write_all(b"line\n").unwrap();
        }
        engine.run().unwrap();
        told.take()
    };
    let in_order: Vec<_> = (0..8).map(|number| format!("{number} Ok")).collect();
    assert_eq!(order(0.0), in_order);
    let mut other = order(1.0);
    assert_ne!(other, in_order);
    other.sort();
    assert_eq!(other, in_order);
}

#[test]
fn a_cancelled_send_that_is_late_is_told_late() {
    let (network, here, _, engine) = two_hosts(5, Link::default());
    here.set_machine(Machine { late: 1.0, lateness: ms(40)..ms(40), ..Machine::default() });
    let (peer, stream) = Peer::tcp_pair(&engine).unwrap();
    let (told, limits) = (Told::new(), Limits { unsent: 0, ..Limits::default() });
    engine.set_limits(&stream, limits);
    peer.fill();
    let write = engine.write(&stream, "never", told.callback("write"));
    engine.sleep(ms(10), Callback::from_fn(move |_, _| assert!(write.cancel())));
    engine.run().unwrap();
    assert_eq!((told.take(), network.now()), (vec!["write Cancelled".to_owned()], ms(50)));
}

#[test]
fn a_late_send_is_counted_although_the_engine_goes() {
    let (_network, here, _, engine) = two_hosts(5, Link::default());
    here.set_machine(Machine { late: 1.0, lateness: ms(40)..ms(40), ..Machine::default() });
    let (mut peer, stream) = Peer::tcp_pair(&engine).unwrap();
    engine.set_limits(&stream, Limits { unsent: 0, ..Limits::default() });
    let outcome = Outcome::new();
    engine.write(&stream, "taken", outcome.callback());
    engine.run_once(Some(ms(0))).unwrap();
    assert!(!outcome.is_there());
    drop((engine, stream));
    assert_eq!(outcome.value(), 5);
    let mut all = String::new();
    peer.read_to_string(&mut all).unwrap();
    assert_eq!(all, "taken");
}
