//! Copies in bad networks: wherever one ends, by whatever, each byte is in one of its streams.

use facade_engine::{
    Bytes, Callback, CopyOptions, Engine, Error, Limits, Result, Stream,
    sim::{self, Link, Machine, Network, Peer, Rng},
};
use facade_tests::peers::numbered;
use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    sync::{Arc, Mutex},
};

use super::{builder, ms, slow, two_hosts};

/// What a callback is to leave.
type Heard<T> = Arc<Mutex<Option<Result<T>>>>;

fn hear<T: Send + 'static>(heard: &Heard<T>) -> Callback<T> {
    let heard = Arc::clone(heard);
    Callback::from_fn(move |_, outcome| {
        assert!(heard.lock().unwrap().replace(outcome).is_none(), "told twice");
    })
}

/// Lets a little time pass; somebody keeps the engine alive.
fn run_a_little(engine: &Engine, rng: &mut Rng) {
    engine.run_once(Some(ms(rng.below(300)))).unwrap();
}

/// What arrives at a peer that reads what is there.
fn take_what_is_there(peer: &mut Peer, received: &mut Vec<u8>) {
    match peer.read_to_end(received) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        end => drop(end.unwrap()),
    }
}

fn send_some(peer: &mut Peer, bytes: &[u8], rng: &mut Rng) -> usize {
    if bytes.is_empty() {
        return 0;
    }
    let most = bytes.len().min(1 + rng.index(500));
    match peer.write(&bytes[..most]) {
        Ok(count) => count,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
            0
        }
    }
}

fn connection(engine: &Engine) -> (Peer, Stream) {
    let (peer, stream) = Peer::tcp_pair(engine).unwrap();
    peer.set_nonblocking(true).unwrap();
    (peer, stream)
}

/// An engine on a bad machine, with links that lose nothing for good.
fn engine_of(network: &Network, rng: &mut Rng) -> Engine {
    let here = network.host("here");
    network.set_link(&here, &here, Link { end: 0.0, reset: 0.0, ..Link::bad(rng) });
    here.set_machine(Machine::bad(rng));
    let limits = Limits {
        unread: [0, 1, 100, 64 << 10][rng.index(4)],
        unsent: [0, 1, 100, 64 << 10][rng.index(4)],
        ..Limits::default()
    };
    builder(&here).limits(limits).build().unwrap()
}

#[test]
fn each_byte_is_in_one_of_the_streams_however_a_copy_ends() {
    sim::check(0..400, |network| {
        let mut rng = network.rng();
        let engine = engine_of(network, &mut rng);
        let _guard = engine.keep_alive();
        let ((mut source, from), (mut sink, to)) = (connection(&engine), connection(&engine));
        let data = numbered(rng.index(2000));
        let (mut sent, mut received) = (0, Vec::new());
        let mut counted = 0;
        // One copy after the other, each ended by something else.
        for _ in 0..8 {
            let heard: Heard<u64> = Arc::default();
            let callback = match rng.below(3) {
                0 => hear(&heard).timeout(ms(rng.below(500))),
                _ => hear(&heard),
            };
            let options = match rng.below(3) {
                0 => CopyOptions::new().idle(ms(1 + rng.below(200))),
                _ => CopyOptions::new(),
            };
            let cancel = engine.copy_with(&from, &to, options, callback);
            for _ in 0..rng.below(12) {
                sent += send_some(&mut source, &data[sent..], &mut rng);
                run_a_little(&engine, &mut rng);
                if rng.chance(0.7) {
                    take_what_is_there(&mut sink, &mut received);
                }
            }
            cancel.cancel();
            while heard.lock().unwrap().is_none() {
                run_a_little(&engine, &mut rng);
            }
            let outcome = heard.lock().unwrap().take();
            counted += match outcome.unwrap() {
                Ok(count) => count,
                Err(Error::PartialCopy { copied, returned: 0, cause }) => {
                    assert!(matches!(*cause, Error::Cancelled | Error::TimedOut), "{cause:?}");
                    copied
                }
                Err(Error::Cancelled | Error::TimedOut) => 0,
                Err(error) => panic!("{error:?}"),
            };
        }
        source.shutdown(Shutdown::Write).unwrap();
        let (rest, closed): (Heard<Bytes>, Heard<()>) = Default::default();
        engine.read_all(&from, hear(&rest));
        engine.close(&to, hear(&closed));
        while rest.lock().unwrap().is_none() || closed.lock().unwrap().is_none() {
            run_a_little(&engine, &mut rng);
            take_what_is_there(&mut sink, &mut received);
        }
        for _ in 0..40 {
            engine.run_once(Some(ms(1000))).unwrap();
            take_what_is_there(&mut sink, &mut received);
        }
        let rest = rest.lock().unwrap().take().unwrap().unwrap();
        assert_eq!(received.len() as u64, counted, "what was counted is there");
        received.extend_from_slice(&rest);
        assert!(received == data[..sent], "{} of {sent}", received.len());
    });
}

#[test]
fn both_ways_bring_all_whatever_the_network_is_like() {
    sim::check(0..150, |network| {
        let mut rng = network.rng();
        let engine = engine_of(network, &mut rng);
        let _guard = engine.keep_alive();
        let ((mut client, a), (mut server, b)) = (connection(&engine), connection(&engine));
        let (question, answer) = (numbered(rng.index(500)), numbered(rng.index(500)));
        let heard: Heard<(u64, u64)> = Arc::default();
        engine.copy_both_ways(&a, &b, hear(&heard));
        drop((a, b));
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let (mut asked, mut answered) = (0, 0);
        let (mut client_ends, mut server_ends) = (true, true);
        while heard.lock().unwrap().is_none() {
            asked += send_some(&mut client, &question[asked..], &mut rng);
            answered += send_some(&mut server, &answer[answered..], &mut rng);
            if asked == question.len() && std::mem::take(&mut client_ends) {
                client.shutdown(Shutdown::Write).unwrap();
            }
            if answered == answer.len() && rng.chance(0.2) && std::mem::take(&mut server_ends) {
                server.shutdown(Shutdown::Write).unwrap();
            }
            run_a_little(&engine, &mut rng);
            take_what_is_there(&mut server, &mut there);
            take_what_is_there(&mut client, &mut back);
        }
        let counts = heard.lock().unwrap().take().unwrap().unwrap();
        assert_eq!(counts, (question.len() as u64, answer.len() as u64));
        for _ in 0..40 {
            engine.run_once(Some(ms(1000))).unwrap();
            take_what_is_there(&mut server, &mut there);
            take_what_is_there(&mut client, &mut back);
        }
        assert!(there == question && back == answer);
    });
}

#[test]
fn a_copy_is_idle_for_exactly_as_long_as_was_said() {
    let (network, here, _there, engine) = two_hosts(1, slow(ms(0)));
    let ((mut source, from), (_sink, to)) = (connection(&engine), connection(&engine));
    let heard: Heard<u64> = Arc::default();
    engine.copy_with(&from, &to, CopyOptions::new().idle(ms(100)), hear(&heard));
    let start = network.now();
    for _ in 0..5 {
        let guard = engine.keep_alive();
        network.pass(ms(99));
        source.write_all(b"x").unwrap();
        while engine.run_once(Some(ms(0))).unwrap().callbacks > 0 {}
        engine.run_once(Some(ms(0))).unwrap();
        drop(guard);
        assert!(heard.lock().unwrap().is_none());
    }
    engine.run().unwrap();
    assert_eq!(network.now() - start, ms(5 * 99 + 100));
    let outcome = heard.lock().unwrap().take().unwrap();
    assert!(matches!(outcome, Err(Error::PartialCopy { copied: 5, .. })), "{outcome:?}");
    drop(here);
}
