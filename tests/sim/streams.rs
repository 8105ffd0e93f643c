//! Streams in bad networks: whatever is cancelled or expires, every byte is there, in order, and
//! every count is exact.

use facade_engine::{
    Bytes, Callback, Engine, Error, Limits, Result, Stream,
    sim::{self, Link, Machine, Network, Peer, Rng},
};
use facade_tests::peers::numbered;
use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    sync::{Arc, Mutex},
};

use super::{builder, ms};

/// An engine on a bad machine, and a connection over a bad link.
fn connection(network: &Network) -> (Rng, Engine, Peer, Stream) {
    let mut rng = network.rng();
    let here = network.host("here");
    // A reset may take what is under way, and says so. What ends early looks like an end.
    network.set_link(&here, &here, Link { end: 0.0, ..Link::bad(&mut rng) });
    here.set_machine(Machine::bad(&mut rng));
    let limits = Limits {
        unread: [0, 1, 100, 64 << 10][rng.index(4)],
        unsent: [0, 1, 100, 64 << 10][rng.index(4)],
        ..Limits::default()
    };
    let engine = builder(&here).limits(limits).build().unwrap();
    let (peer, stream) = Peer::tcp_pair(&engine).unwrap();
    peer.set_nonblocking(true).unwrap();
    (rng, engine, peer, stream)
}

/// Lets a little time pass.
fn run_a_little(engine: &Engine, rng: &mut Rng) {
    for _ in 0..rng.below(4) {
        let _guard = engine.keep_alive();
        engine.run_once(Some(ms(rng.below(300)))).unwrap();
    }
}

#[test]
fn what_is_read_is_what_was_sent_however_reads_end() {
    sim::check(0..400, |network| {
        let (mut rng, engine, mut peer, stream) = connection(network);
        let sent = numbered(rng.index(3000));
        let (mut written, mut closed) = (0, false);
        let read = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..60 {
            if written < sent.len() {
                let most = 1 + rng.index(300);
                let piece = &sent[written..sent.len().min(written + most)];
                match peer.write(piece) {
                    Ok(count) => written += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => closed = true,
                }
            }
            read_somehow(&engine, &stream, &mut rng, &read);
            run_a_little(&engine, &mut rng);
        }
        if !closed {
            drop(peer.shutdown(Shutdown::Write));
        }
        let (rest, all) = (Arc::new(Mutex::new(None)), Arc::clone(&read));
        let heard = Arc::clone(&rest);
        engine.read_all(
            &stream,
            Callback::from_fn(move |_, outcome: Result<Bytes>| {
                if let Ok(bytes) = &outcome {
                    all.lock().unwrap().extend_from_slice(bytes);
                }
                *heard.lock().unwrap() = Some(outcome.map(drop));
            }),
        );
        engine.run().unwrap();
        let read = read.lock().unwrap();
        assert!(sent.starts_with(&read), "read {} of {written}: not what was sent", read.len());
        match rest.lock().unwrap().take().expect("told") {
            Ok(()) => {}
            Err(Error::Io { cause, .. }) => assert_eq!(cause.kind(), ErrorKind::ConnectionReset),
            Err(error) => panic!("{error:?}"),
        }
    });
}

/// Submits a read that takes something, to be cancelled, to expire, or to have its time.
fn read_somehow(engine: &Engine, stream: &Stream, rng: &mut Rng, read: &Arc<Mutex<Vec<u8>>>) {
    let all = Arc::clone(read);
    let taken = move |outcome: Result<Bytes>| match outcome {
        Ok(bytes) => all.lock().unwrap().extend_from_slice(&bytes),
        Err(Error::Cancelled | Error::TimedOut | Error::EndOfStream | Error::Io { .. }) => {}
        Err(error) => panic!("{error:?}"),
    };
    let dropped = rng.chance(0.2);
    let callback = match dropped {
        true => Callback::claim(|_, _| ()),
        false => Callback::from_fn(move |_, outcome| taken(outcome)),
    };
    let callback = match rng.below(3) {
        0 => callback.timeout(ms(rng.below(400))),
        _ => callback,
    };
    let size = 1 + rng.index(200);
    let cancel = match rng.below(3) {
        0 => engine.read_chunk(stream, size, callback),
        1 => engine.read_exact(stream, size, callback),
        _ => engine.read_until(stream, [rng.pick(b"\0\x01\x02").copied().unwrap_or(0)], callback),
    };
    if rng.chance(0.5) {
        run_a_little(engine, rng);
        cancel.cancel();
    }
}

#[test]
fn what_writes_count_is_what_the_peer_gets_however_they_end() {
    sim::check(0..400, |network| {
        let (mut rng, engine, mut peer, stream) = connection(network);
        // What was counted, in order; a cut write goes on with its rest.
        let counted = Arc::new(Mutex::new(Vec::new()));
        // A reset is told once.
        let (mut received, mut whole) = (Vec::new(), true);
        for number in 0..20_u8 {
            write_somehow(&engine, &stream, &mut rng, number, &counted);
            run_a_little(&engine, &mut rng);
            if rng.chance(0.5) {
                whole &= is_whole(peer.read_to_end(&mut received));
            }
        }
        engine.close(&stream, Callback::ignore());
        // A peer that reads for as long as anything comes.
        let guard = engine.keep_alive();
        loop {
            engine.run_once(Some(ms(5000))).unwrap();
            match peer.read_to_end(&mut received) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                end => break whole &= is_whole(end),
            }
        }
        drop(guard);
        engine.run().unwrap();
        let counted = counted.lock().unwrap();
        let (has, was) = (received.len(), counted.len());
        assert!(counted.starts_with(&received), "the peer has {has} bytes, {was} were counted");
        assert!(!whole || has == was, "the peer has {has} bytes of {was}, and then an end");
    });
}

/// Whether nothing is known to be lost.
fn is_whole(end: std::io::Result<usize>) -> bool {
    !matches!(end, Err(error) if error.kind() == ErrorKind::ConnectionReset)
}

/// Submits a write, to be cancelled, to expire, or to have its time.
fn write_somehow(
    engine: &Engine,
    stream: &Stream,
    rng: &mut Rng,
    number: u8,
    counted: &Arc<Mutex<Vec<u8>>>,
) {
    let len = 1 + rng.index(300);
    let data: Vec<u8> = numbered(len).into_iter().map(|byte| byte ^ number).collect();
    let (whole, all) = (data.clone(), Arc::clone(counted));
    let callback = Callback::from_fn(move |_, outcome: Result<usize>| {
        let count = match outcome {
            Ok(count) => count,
            Err(Error::PartialWrite { written, .. }) => written,
            Err(_) => 0,
        };
        all.lock().unwrap().extend_from_slice(&whole[..count]);
    });
    let callback = match rng.below(3) {
        0 => callback.timeout(ms(rng.below(400))),
        _ => callback,
    };
    let cancel = engine.write(stream, data, callback);
    if rng.chance(0.3) {
        run_a_little(engine, rng);
        cancel.cancel();
    }
}
