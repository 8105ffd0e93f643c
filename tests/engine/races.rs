//! Races that only a real system runs, and what came out of those that other engines lost.

use std::{
    io::{Read, Write},
    sync::{Arc, Mutex},
    thread,
};

use facade_engine::{Bytes, Callback, Engine, Error, Result};
use facade_tests::{
    outcome::Outcome,
    peers::numbered,
    told::Told,
    turns::{turn_until, turns},
};

use super::driver::{self, pair};

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
