//! The numbers and flags of descriptors, and the signal of a pipe that nobody reads.

use std::{
    io::{Read, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use facade_engine::{Bytes, Callback, Detached};
use facade_tests::{
    alone::alone,
    outcome::Outcome,
    told::Told,
    turns::{turn_until, turns},
};
use rustix::fs::{OFlags, fcntl_getfl};

use super::driver::{self, pair, tcp_pair};

#[test]
fn the_number_of_a_closed_stream_leads_nowhere_while_a_clone_lives() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    engine.close(&stream, Callback::ignore());
    engine.run().unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "closed, though a clone lives");
    rustix::io::write(&stream, b"nowhere").unwrap();
}

#[test]
fn attach_makes_a_socket_non_blocking_and_detach_leaves_it_so() {
    let engine = driver::engine();
    let (_peer, ours) = UnixStream::pair().unwrap();
    let spy: OwnedFd = ours.as_fd().try_clone_to_owned().unwrap();
    assert!(!fcntl_getfl(&spy).unwrap().contains(OFlags::NONBLOCK));
    let stream = engine.attach(ours).unwrap();
    assert!(fcntl_getfl(&spy).unwrap().contains(OFlags::NONBLOCK));
    let detached: Outcome<Detached> = Outcome::new();
    engine.detach(&stream, detached.callback());
    engine.run().unwrap();
    assert!(fcntl_getfl(detached.value().fd).unwrap().contains(OFlags::NONBLOCK));
}

/// The replay of a loss: a stream is closed while its read is with the system, its number is used
/// again at once, and the dead read takes the bytes of the new stream.
#[test]
fn a_number_that_is_used_again_is_not_read_for_the_old_stream() {
    alone(module_path!(), "a_number_that_is_used_again_is_not_read_for_the_old_stream", || {
        let engine = driver::engine();
        for round in 0..200 {
            let (mut peer, stream) = pair(&engine);
            let number = stream.as_fd().as_raw_fd();
            let told = Told::new();
            engine.read_line(&stream, told.callback("read"));
            turns(&engine, 1);
            engine.close(&stream, told.callback("close"));
            drop(stream);
            turn_until(&engine, || told.len() == 2);
            assert_eq!(told.take(), ["read Closed", "close Ok"]);
            assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "the peer sees the end");
            let (mut one, mut other) = UnixStream::pair().unwrap();
            let reused = [one.as_raw_fd(), other.as_raw_fd()].contains(&number);
            assert!(reused, "round {round}: {number} is free again");
            turns(&engine, 1);
            one.write_all(b"one").unwrap();
            other.write_all(b"two").unwrap();
            turns(&engine, 1);
            let (mut from_one, mut from_other) = ([0; 3], [0; 3]);
            other.read_exact(&mut from_one).unwrap();
            one.read_exact(&mut from_other).unwrap();
            assert_eq!((&from_one, &from_other), (b"one", b"two"));
        }
    });
}

/// A host that is no Rust program may not ignore the signal, which ends it then.
#[test]
fn writing_to_a_peer_that_is_gone_raises_no_signal() {
    alone(module_path!(), "writing_to_a_peer_that_is_gone_raises_no_signal", || {
        let raised = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::clone(&raised)).unwrap();
        let engine = driver::engine();
        for round in 0..4 {
            let told = Told::new();
            let stream = match round % 2 {
                0 => pair(&engine).1,
                _ => tcp_pair(&engine).1,
            };
            // Small ones, which are sent at the turn's end, and one that is sent in pieces.
            for len in [10, 10, 4 << 20] {
                engine.write(&stream, vec![1; len], told.callback("write"));
                engine.run().unwrap();
            }
            engine.write_vectored(&stream, vec![Bytes::from(vec![1; 9000]); 3], told.callback("w"));
            engine.run().unwrap();
            assert!(told.take().last().unwrap().contains("Io(write"));
        }
        assert!(!raised.load(SeqCst));
    });
}

#[test]
fn the_number_of_a_closed_file_leads_nowhere_while_a_clone_lives() {
    let engine = driver::engine();
    let mut content = tempfile::tempfile().unwrap();
    content.write_all(b"content").unwrap();
    let file = engine.attach_file(content).unwrap();
    engine.close(&file, Callback::ignore());
    engine.run().unwrap();
    assert_eq!(rustix::io::pread(file.as_fd(), &mut [0; 1][..], 0), Ok(0));
}
