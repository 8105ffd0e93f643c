//! Outcomes in the order of their submission, the two directions apart.

use std::io::Write;

use facade_engine::{Callback, Engine, Handle, Stream};
use facade_tests::{
    peers::{arrived, numbered, unstuff},
    told::Told,
    turns::{turn_until, turns},
};

use super::driver::{self, full_pair, pair};

/// Submits one read of each kind that takes a line's worth, in this order.
fn submit_reads(engine: &Handle, stream: &Stream, told: &Told) {
    engine.read_line(stream, told.value("line"));
    engine.read_exact(stream, 4, told.value("exact"));
    engine.read_until(stream, ";", told.value("until"));
    engine.read_chunk(stream, 1, told.value("chunk"));
    engine.expect_line(stream, "five", told.value("expect"));
}

const INPUT: &[u8] = b"one\ntwo\nthree;4five\n";

fn expected() -> [&'static str; 5] {
    ["line b\"one\"", r#"exact b"two\n""#, "until b\"three;\"", "chunk b\"4\"", "expect b\"five\""]
}

#[test]
fn promise_13_reads_succeed_in_the_order_submitted() {
    for byte_by_byte in [false, true] {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        submit_reads(&engine, &stream, &told);
        if byte_by_byte {
            for byte in INPUT {
                peer.write_all(&[*byte]).unwrap();
                turns(&engine, 2);
            }
        } else {
            peer.write_all(INPUT).unwrap();
        }
        engine.run().unwrap();
        assert_eq!(told.take(), expected());
    }
}

#[test]
fn promise_13_reads_submitted_by_a_callback_come_behind_those_that_wait() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    let (notes, again) = (told.clone(), stream.clone());
    engine.read_line(
        &stream,
        Callback::from_fn(move |engine, line| {
            notes.note(format!("first {:?}", line.unwrap()));
            engine.read_line(&again, notes.value("third"));
        }),
    );
    engine.read_line(&stream, told.value("second"));
    peer.write_all(b"1\n2\n3\n").unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["first b\"1\"", "second b\"2\"", "third b\"3\""]);
}

#[test]
fn promise_13_writes_succeed_and_arrive_in_the_order_submitted() {
    let engine = driver::engine();
    let (peer, stream, stuffed) = full_pair(&engine);
    let told = Told::new();
    let sizes = [1, 70_000, 0, 5, 300_000, 2, 2049, 65_536, 3];
    let data = numbered(sizes.iter().sum());
    let mut at = 0;
    for (number, size) in sizes.iter().enumerate() {
        engine.write(&stream, data[at..at + size].to_vec(), told.callback(number));
        at += size;
    }
    let mut received = Vec::new();
    turns(&engine, 2);
    received.extend(unstuff(&peer, stuffed));
    turn_until(&engine, || {
        received.extend(arrived(&peer));
        received.len() == data.len()
    });
    turns(&engine, 2);
    let expected: Vec<_> = (0..sizes.len()).map(|number| format!("{number} Ok")).collect();
    assert_eq!(told.take(), expected);
    assert!(received == data);
}

#[test]
fn promise_13_the_two_directions_do_not_wait_for_each_other() {
    let engine = driver::engine();
    let (mut peer, stream, stuffed) = full_pair(&engine);
    let told = Told::new();
    engine.write(&stream, vec![0; 1 << 20], told.callback("stuck write"));
    engine.read_line(&stream, told.value("read"));
    turns(&engine, 2);
    peer.write_all(b"line\n").unwrap();
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["read b\"line\""]);

    engine.read_line(&stream, told.value("stuck read"));
    let mut received = unstuff(&peer, stuffed).len();
    turn_until(&engine, || {
        received += arrived(&peer).len();
        received == 1 << 20
    });
    turns(&engine, 1);
    assert_eq!(told.take(), ["stuck write Ok"]);
}

#[test]
fn promise_13_one_that_ends_early_does_not_disturb_the_others() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    engine.read_line(&stream, told.value("first"));
    let cancel = engine.read_line(&stream, told.value("second"));
    engine.read_line(&stream, told.value("third"));
    turns(&engine, 1);
    cancel.cancel();
    turns(&engine, 1);
    assert_eq!(told.take(), ["second Cancelled"]);
    peer.write_all(b"1\n2\n").unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["first b\"1\"", "third b\"2\""]);
}

#[test]
fn promise_13_holds_for_every_stream_of_many() {
    let engine = driver::engine();
    let streams: Vec<_> = (0..50).map(|_| pair(&engine)).collect();
    let told: Vec<_> = streams.iter().map(|_| Told::new()).collect();
    for ((_, stream), told) in streams.iter().zip(&told) {
        submit_reads(&engine, stream, told);
    }
    // Interleaved: each gets its next byte in each round.
    for byte in INPUT {
        for (peer, _) in &streams {
            (&mut &*peer).write_all(&[*byte]).unwrap();
        }
        turns(&engine, 1);
    }
    engine.run().unwrap();
    for told in told {
        assert_eq!(told.take(), expected());
    }
}

#[test]
fn accepts_take_connections_in_the_order_submitted() {
    let engine: Engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let told = Told::new();
    for number in 0..5 {
        let notes = told.clone();
        engine.accept(
            &listener,
            Callback::from_fn(move |_, stream: facade_engine::Result<Stream>| {
                notes.note(format!("{number} {}", stream.unwrap().peer_addr().unwrap().port()));
            }),
        );
    }
    let clients: Vec<_> = (0..5).map(|_| driver::connect(address).unwrap()).collect();
    engine.run().unwrap();
    let port = |client: &driver::TcpPeer| client.local_addr().unwrap().port();
    let expected: Vec<_> =
        clients.iter().enumerate().map(|(n, client)| format!("{n} {}", port(client))).collect();
    assert_eq!(told.take(), expected);
}
