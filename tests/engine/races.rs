//! Races that only a real system runs, and what came out of those that other engines lost.

use std::{
    io::{Read, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use facade_engine::{Bytes, Callback, Engine, Error, Result};
use facade_tests::{
    alone::alone,
    outcome::Outcome,
    peers::numbered,
    sockets::{pair, tcp_pair},
    told::Told,
    turns::{turn_until, turns},
};

use super::driver;

/// A peer writes a byte at a time while each read is cancelled as soon as it is submitted, or a
/// little later. A cancel that comes too late must not cost a byte.
#[test]
fn promise_08_ten_thousand_races_of_read_and_cancel_lose_no_byte() {
    const BYTES: usize = 10_000;
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let data = numbered(BYTES);
    let bytes = data.clone();
    let writer =
        thread::spawn(move || bytes.iter().for_each(|byte| peer.write_all(&[*byte]).unwrap()));
    let received = Arc::new(Mutex::new(Vec::new()));
    let (mut cancelled, mut random) = (0, 0x2545_f491_u32);
    while received.lock().unwrap().len() < BYTES {
        let (all, outcome) = (Arc::clone(&received), Outcome::<()>::new());
        let heard = outcome.clone();
        let callback = Callback::from_fn(move |local, read: Result<Bytes>| {
            let told = heard.callback();
            match read {
                Ok(bytes) => {
                    all.lock().unwrap().extend_from_slice(&bytes);
                    local.sleep(std::time::Duration::ZERO, told);
                }
                Err(Error::Cancelled) => {
                    local.sleep(std::time::Duration::MAX, told).cancel();
                }
                Err(error) => panic!("{error:?}"),
            }
        });
        let cancel = engine.read_chunk(&stream, 7, callback);
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if random >> 31 == 0 {
            turns(&engine, 1);
        }
        cancel.cancel();
        turn_until(&engine, || outcome.is_there());
        cancelled += usize::from(outcome.take().is_err());
    }
    writer.join().unwrap();
    assert!(cancelled > 0, "the other side of the race is run, too");
    assert_eq!(*received.lock().unwrap(), data);
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

/// Everything is pending and moving when the engine goes.
#[test]
fn promise_16_dropping_the_engine_under_load_tells_everything_once() {
    for _ in 0..30 {
        let engine: Engine = driver::engine();
        let told = Told::new();
        let listener = engine.listen("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut peers = Vec::new();
        let mut expected = 0;
        for _ in 0..16 {
            let (mut peer, stream) = pair(&engine);
            engine.read_until(&stream, "never", told.callback("read"));
            engine.write(&stream, vec![7; 1 << 20], told.callback("write"));
            engine.accept(&listener, told.callback("accept"));
            engine.connect(address, told.callback("connect"));
            engine.sleep(std::time::Duration::MAX, told.callback("sleep"));
            engine.submit_work(|| (), told.callback("work"));
            expected += 6;
            let mut other = peer.try_clone().unwrap();
            peers.push(thread::spawn(move || while other.write_all(&[1; 1000]).is_ok() {}));
            peers.push(thread::spawn(
                move || while peer.read(&mut [0; 1000]).is_ok_and(|n| n > 0) {},
            ));
        }
        turns(&engine, 3);
        drop(engine);
        assert_eq!(told.len(), expected, "{:?}", told.take());
        peers.into_iter().for_each(|peer| peer.join().unwrap());
    }
}
