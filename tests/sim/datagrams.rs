//! Datagrams in the simulated network: lost, doubled, swapped and late as it was asked for, and
//! again from the same seed.

use std::{io, time::Duration};

use facade_engine::{
    Callback, Datagram, Engine, Error, UdpSocket,
    sim::{self, Link, Machine, PeerSocket},
};
use facade_tests::{
    outcome::Outcome,
    told::{Basket, Told},
};

use super::{builder, ms, slow, two_hosts};

/// Sends so many numbers from a peer, and returns which came, in which order.
fn numbers(seed: u64, link: Link, count: u32) -> (Vec<u32>, u64) {
    let (network, here, there, engine) = two_hosts(seed, link);
    let socket = engine.bind_udp(here.at(53)).unwrap();
    let peer = there.bind_udp(0).unwrap();
    for number in 0..count {
        peer.send_to(&number.to_be_bytes(), here.at(53)).unwrap();
    }
    (all(&engine, &socket, Duration::from_secs(60)), network.fingerprint())
}

/// Everything that comes within a time.
fn all(engine: &Engine, socket: &UdpSocket, within: Duration) -> Vec<u32> {
    let mut all = Vec::new();
    loop {
        let outcome = Outcome::new();
        engine.recv_from(socket, outcome.callback().timeout(within));
        engine.run().unwrap();
        match outcome.take() {
            Ok(Datagram { bytes, .. }) => {
                all.push(u32::from_be_bytes((*bytes).try_into().unwrap()));
            }
            Err(Error::TimedOut) => return all,
            Err(error) => panic!("{error}"),
        }
    }
}

fn sorted(mut numbers: Vec<u32>) -> Vec<u32> {
    numbers.sort_unstable();
    numbers
}

#[test]
fn on_a_perfect_network_they_come_once_and_in_order() {
    let (came, _) = numbers(1, Link::default(), 100);
    assert_eq!(came, (0..100).collect::<Vec<_>>());
    let (came, _) = numbers(1, slow(ms(30)), 100);
    assert_eq!(came, (0..100).collect::<Vec<_>>());
}

#[test]
fn some_are_lost_some_come_twice_and_some_overtake() {
    let (came, _) = numbers(1, Link { loss: 0.5, ..Link::default() }, 200);
    assert!((50..150).contains(&came.len()), "{}", came.len());
    assert!(came.is_sorted());
    let (came, _) = numbers(1, Link { duplicate: 0.5, ..Link::default() }, 200);
    assert!((250..350).contains(&came.len()), "{}", came.len());
    let latency = ms(1)..ms(1000);
    let (came, _) = numbers(1, Link { latency, ..Link::default() }, 200);
    assert!(!came.is_sorted());
    assert_eq!(sorted(came), (0..200).collect::<Vec<_>>());
    let (came, _) = numbers(1, Link { loss: 1.0, ..Link::default() }, 200);
    assert!(came.is_empty());
}

#[test]
fn the_same_seed_does_the_same() {
    let link = || Link { latency: ms(1)..ms(90), loss: 0.2, duplicate: 0.2, ..Link::default() };
    assert_eq!(numbers(7, link(), 100), numbers(7, link(), 100));
    assert_ne!(numbers(7, link(), 100), numbers(8, link(), 100));
}

#[test]
fn what_finds_no_room_is_lost() {
    let (came, _) = numbers(1, Link { buffer: 100, ..Link::default() }, 100);
    assert_eq!(came, (0..25).collect::<Vec<_>>());
}

#[test]
fn what_is_on_its_way_goes_by_its_own_link_though_its_sender_is_gone() {
    let (network, here, there, engine) = two_hosts(1, slow(ms(40)));
    // There is no room for what does not leave the host.
    network.set_link(&here, &here, Link { buffer: 0, ..Link::default() });
    let socket = engine.bind_udp(here.at(53)).unwrap();
    let peer = there.bind_udp(0).unwrap();
    peer.send_to(&7_u32.to_be_bytes(), here.at(53)).unwrap();
    drop(peer);
    assert_eq!(all(&engine, &socket, ms(1000)), [7]);
}

#[test]
fn a_link_bounds_their_length() {
    let link = Link { datagram: 1200, ..Link::default() };
    let (_network, here, there, engine) = two_hosts(1, link);
    let peer = there.bind_udp(0).unwrap();
    let socket = engine.bind_udp("0.0.0.0:0").unwrap();
    let (told, to) = (Told::new(), peer.local_addr().unwrap());
    engine.send_to(&socket, vec![0; 1201], to, told.callback("too long"));
    engine.send_to(&socket, vec![0; 1200], to, told.callback("all"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["too long DatagramTooLong", "all Ok"]);
    let mut buffer = [0; 2000];
    assert_eq!(peer.recv_from(&mut buffer).unwrap().0, 1200);
    let back = here.at(socket.local_addr().unwrap().port());
    assert!(peer.send_to(&[0; 1201], back).is_err());
    assert!(peer.send_to(&[0; 1200], back).is_ok());
}

#[test]
fn a_peer_waits_in_the_networks_time_and_not_for_ever() {
    let (network, here, there, engine) = two_hosts(1, slow(ms(250)));
    let peer = there.bind_udp(0).unwrap();
    let mut buffer = [0; 10];
    let hopeless = peer.recv_from(&mut buffer).unwrap_err();
    assert_eq!(hopeless.kind(), io::ErrorKind::Deadlock);
    let socket = engine.bind_udp(here.at(9)).unwrap();
    engine.send_to(&socket, "hello", peer.local_addr().unwrap(), Callback::ignore());
    engine.run().unwrap();
    peer.set_nonblocking(true).unwrap();
    assert_eq!(peer.recv_from(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    peer.set_nonblocking(false).unwrap();
    assert_eq!(peer.recv_from(&mut buffer).unwrap(), (5, here.at(9)));
    assert_eq!(network.now(), ms(250));
    assert_eq!(there.bind_udp(7).unwrap().local_addr().unwrap(), there.at(7));
}

#[test]
fn that_nobody_is_there_takes_the_way_there_and_back() {
    let (network, _here, there, engine) = two_hosts(1, slow(ms(40)));
    let socket = engine.connect_udp(there.at(53)).unwrap();
    let told = Told::new();
    engine.send(&socket, "anybody?", told.callback("send"));
    engine.recv(&socket, told.callback("receive"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["send Ok", "receive Io(receive, ConnectionRefused)"]);
    assert_eq!(network.now(), ms(80));
    // What is lost is not answered.
    network.set_links(Link { loss: 1.0, ..Link::default() });
    engine.send(&socket, "anybody?", told.callback("send"));
    engine.recv(&socket, told.timeout(ms(1000)).callback("receive"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["send Ok", "receive TimedOut"]);
    assert!(matches!(engine.connect_udp("203.0.113.1:53"), Err(Error::Io { .. })));
}

#[test]
fn what_a_real_system_has_more_is_unsupported() {
    let (_network, here, _there, engine) = two_hosts(1, Link::default());
    let path = std::path::Path::new("/run/x");
    assert!(matches!(engine.bind_unix_datagram(path), Err(Error::Unsupported { .. })));
    assert!(matches!(engine.unbound_unix_datagram(), Err(Error::Unsupported { .. })));
    assert!(matches!(engine.connect_udp(path), Err(Error::Unsupported { .. })));
    let shared = facade_engine::UdpOptions::new().reuse_port(true);
    assert!(matches!(engine.bind_udp_with(here.at(1), &shared), Err(Error::Unsupported { .. })));
    let real = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(matches!(engine.attach_udp(real), Err(Error::Unsupported { .. })));
    let socket = engine.bind_udp(here.at(1)).unwrap();
    let joined = socket.join_multicast([224, 0, 0, 251].into(), 0);
    assert!(matches!(joined, Err(Error::Unsupported { .. })));
}

#[test]
fn descriptors_run_out_for_sockets_of_datagrams_too() {
    let (_network, here, _there, engine) = two_hosts(1, Link::default());
    here.set_machine(Machine { descriptors: 1, ..Machine::default() });
    let socket = engine.bind_udp(here.at(1)).unwrap();
    assert!(matches!(engine.bind_udp(here.at(2)), Err(Error::Io { .. })));
    drop(socket);
    engine.run().unwrap();
    engine.bind_udp(here.at(2)).unwrap();
}

/// Asks until an answer comes.
fn ask(engine: &Engine, client: &UdpSocket, question: u32, peer: &PeerSocket) -> bool {
    for _ in 0..20 {
        let outcome = Outcome::new();
        engine.send(client, question.to_be_bytes().to_vec(), Callback::ignore());
        engine.run().unwrap();
        let mut buffer = [0; 4];
        while let Ok((4, from)) = peer.recv_from(&mut buffer) {
            peer.send_to(&buffer, from).unwrap();
        }
        loop {
            engine.recv(client, outcome.callback().timeout(ms(30_000)));
            engine.run().unwrap();
            match outcome.take() {
                Ok(datagram) if *datagram.bytes == question.to_be_bytes() => return true,
                // A late answer to an earlier one.
                Ok(_) => {}
                Err(Error::TimedOut) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    false
}

#[test]
fn on_bad_networks_and_machines_whatever_comes_is_what_was_sent() {
    sim::check(0..300, |network| {
        let mut rng = network.rng();
        let (here, there) = (network.host("here"), network.host("there"));
        network.set_links(Link::bad(&mut rng));
        network.set_link(&here, &there, Link { buffer: 4096, ..Link::bad(&mut rng) });
        here.set_machine(Machine::bad(&mut rng));
        let engine = builder(&here).build().unwrap();
        let peer = there.bind_udp(53).unwrap();
        let client = engine.connect_udp(there.at(53)).unwrap();
        let answered = (0..10).filter(|&question| ask(&engine, &client, question, &peer)).count();
        assert!(answered >= 8, "{answered} of 10");
        // What is sent has an outcome, whatever the machine is short of, in its order.
        let told = Basket::new();
        for number in 0..20 {
            let told = told.clone();
            let told = Callback::from_fn(move |_, outcome: facade_engine::Result<usize>| {
                told.put((number, outcome.is_ok()));
            });
            engine.send(&client, "x", told);
        }
        engine.close(&client, Callback::ignore());
        engine.run().unwrap();
        let heard: Vec<(u32, bool)> = told.take();
        assert_eq!(heard.len(), 20);
        assert!(heard.is_sorted(), "{heard:?}");
        drop(client);
        engine.run().unwrap();
        assert_eq!(here.descriptors(), 0);
    });
}

#[test]
fn claims_that_are_dropped_at_random_lose_and_swap_nothing() {
    sim::check(0..300, |network| {
        let mut rng = network.rng();
        let (here, there) = (network.host("here"), network.host("there"));
        here.set_machine(Machine::bad(&mut rng));
        let engine = builder(&here).build().unwrap();
        let socket = engine.bind_udp(here.at(53)).unwrap();
        let peer = there.bind_udp(0).unwrap();
        let (taken, mut sent) = (Basket::new(), 0);
        while taken.len() < 40 {
            if sent < 40 && rng.chance(0.6) {
                peer.send_to(&u32::to_be_bytes(sent), here.at(53)).unwrap();
                sent += 1;
            }
            let (take, kept) = (rng.chance(0.5), taken.clone());
            let cancel = engine.recv_from(
                &socket,
                Callback::claim(move |_, outcome: facade_engine::Result<_>| {
                    if take && let Ok(claim) = outcome {
                        let datagram: Datagram = facade_engine::Claim::take(claim);
                        kept.put(u32::from_be_bytes((*datagram.bytes).try_into().unwrap()));
                    }
                })
                .timeout(ms(rng.below(200))),
            );
            if rng.chance(0.3) {
                engine.run_once(Some(Duration::ZERO)).unwrap();
                cancel.cancel();
            }
            engine.run().unwrap();
        }
        assert_eq!(taken.take(), (0..40).collect::<Vec<_>>());
    });
}
