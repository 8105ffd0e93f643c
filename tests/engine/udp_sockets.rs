//! Sockets of UDP that others hold, too, options, and what the system refuses for a moment.

use std::{
    net::{Ipv4Addr, UdpSocket as StdSocket},
    time::Duration,
};

use facade_engine::{Callback, Datagram, Error, Local, UdpOptions};
use facade_tests::{
    outcome::Outcome,
    told::Told,
    turns::{turn_until, turns},
};
use socket2::SockRef;

use super::driver;

const HERE: &str = "127.0.0.1:0";

#[test]
fn what_others_hold_too_is_not_received_ahead() {
    let engine = driver::engine();
    let ours = StdSocket::bind(HERE).unwrap();
    let copy = ours.try_clone().unwrap();
    copy.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let address = ours.local_addr().unwrap();
    let peer = StdSocket::bind(HERE).unwrap();
    let socket = engine.attach_udp(ours).unwrap();
    for bytes in ["one", "two", "three"] {
        peer.send_to(bytes.as_bytes(), address).unwrap();
    }
    let outcome = Outcome::new();
    engine.recv_from(&socket, outcome.callback());
    engine.run().unwrap();
    assert_eq!(outcome.value().bytes, "one");
    // A receive that is cancelled takes nothing, and none after it.
    let cancel = engine.recv_from(&socket, Callback::claim(|_, claim| drop(claim)));
    turns(&engine, 1);
    cancel.cancel();
    turns(&engine, 3);
    // It had arrived, or it had not been looked for.
    engine.recv_from(&socket, outcome.callback());
    engine.run().unwrap();
    assert_eq!(outcome.value().bytes, "two");
    // Non-blocking for all who hold it.
    let mut buffer = [0; 10];
    assert_eq!(copy.recv(&mut buffer).unwrap(), 5);
    // Nor does one that repeats take more than its handler was given.
    for bytes in ["four", "five"] {
        peer.send_to(bytes.as_bytes(), address).unwrap();
    }
    let told = Told::new();
    let note = told.clone();
    let f = move |local: &Local, datagram: Datagram| {
        note.note(format!("{:?}", datagram.bytes));
        local.repeating().cancel();
    };
    engine.each_datagram(&socket, f, told.callback("end"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["b\"four\"", "end Cancelled"]);
    assert_eq!(copy.recv(&mut buffer).unwrap(), 4);
    // One that nobody else holds is.
    socket.set_exclusive(true);
    for _ in 0..3 {
        peer.send_to(b"x", address).unwrap();
    }
    engine.recv_from(&socket, outcome.callback());
    engine.run().unwrap();
    turns(&engine, 3);
    let shown = format!("{socket:?}");
    assert!(shown.contains("untaken: 2,"), "{shown}");
    // Closing it is not the end of the copies.
    engine.close(&socket, Callback::ignore());
    drop(socket);
    engine.run().unwrap();
    peer.send_to(b"still", address).unwrap();
    copy.set_nonblocking(false).unwrap();
    assert_eq!(copy.recv(&mut buffer).unwrap(), 5);
}

#[test]
fn only_sockets_of_datagrams_are_attached() {
    let engine = driver::engine();
    let listener = std::net::TcpListener::bind(HERE).unwrap();
    assert!(matches!(engine.attach_udp(listener), Err(Error::InvalidInput { .. })));
    let file = tempfile::tempfile().unwrap();
    assert!(matches!(engine.attach_udp(file), Err(Error::InvalidInput { .. })));
    let datagrams = StdSocket::bind(HERE).unwrap();
    assert!(matches!(engine.attach(datagrams), Err(Error::Unsupported { .. })));
    let datagrams = StdSocket::bind(HERE).unwrap();
    let refused = engine.attach_listener(datagrams);
    assert!(
        matches!(
            refused,
            Err(Error::InvalidInput { .. } | Error::Unsupported { .. } | Error::Io { .. })
        ),
        "{refused:?}"
    );
}

#[test]
fn options_are_as_they_were_asked_for() {
    let engine = driver::engine();
    let options = UdpOptions::new().broadcast(true).ttl(7).reuse_address(true);
    let socket = engine.bind_udp_with(HERE, &options).unwrap();
    let looked_at = SockRef::from(&socket);
    assert!(looked_at.broadcast().unwrap());
    assert!(looked_at.reuse_address().unwrap());
    assert_eq!(looked_at.ttl_v4().unwrap(), 7);
    assert_eq!(looked_at.multicast_ttl_v4().unwrap(), 7);
    let other = engine.bind_udp(HERE).unwrap();
    assert!(!SockRef::from(&other).broadcast().unwrap());
    assert!(!SockRef::from(&other).reuse_address().unwrap());
    let Ok(v6) = engine.bind_udp_with("[::]:0", &UdpOptions::new().dual_stack(false).ttl(9)) else {
        return;
    };
    assert!(SockRef::from(&v6).only_v6().unwrap());
    assert_eq!(SockRef::from(&v6).unicast_hops_v6().unwrap(), 9);
    assert_eq!(SockRef::from(&v6).multicast_hops_v6().unwrap(), 9);
    // So that the same port of the other family is free.
    engine.bind_udp((Ipv4Addr::UNSPECIFIED, v6.local_addr().unwrap().port())).unwrap();
}

#[test]
fn a_multicast_group_is_heard_by_who_has_joined_it() {
    let engine = driver::engine();
    let group = Ipv4Addr::new(239, 255, 71, 3);
    let socket = engine.bind_udp("0.0.0.0:0").unwrap();
    let to = (group, socket.local_addr().unwrap().port());
    let sender = StdSocket::bind(HERE).unwrap();
    SockRef::from(&sender).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    // By the interface of the loopback, which is the first.
    if socket.join_multicast(group.into(), 1).is_err() || sender.send_to(b"all", to).is_err() {
        // This machine has no multicast there.
        return;
    }
    let outcome = Outcome::new();
    engine.recv_from(&socket, outcome.callback());
    turn_until(&engine, || outcome.is_there());
    assert_eq!(outcome.value().bytes, "all");
    socket.leave_multicast(group.into(), 1).unwrap();
    let told = Told::new();
    if sender.send_to(b"nobody", to).is_ok() {
        engine.recv_from(&socket, told.timeout(Duration::ZERO).callback("left"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["left TimedOut"]);
    }
    assert!(socket.leave_multicast(group.into(), 1).is_err());
}

#[test]
fn one_that_floods_does_not_keep_the_others_waiting() {
    let engine = driver::engine();
    let (busy, quiet) = (engine.bind_udp(HERE).unwrap(), engine.bind_udp(HERE).unwrap());
    let peer = StdSocket::bind(HERE).unwrap();
    let flood = move |count: usize| {
        let to = busy.local_addr().unwrap();
        for _ in 0..count {
            peer.send_to(&[0; 100], to).unwrap();
        }
        busy.clone()
    };
    // Receives and is sent more for each that it gets.
    fn go_on(
        engine: &facade_engine::Handle,
        flood: impl Fn(usize) -> facade_engine::UdpSocket + Send + Clone + 'static,
    ) {
        let socket = flood(1);
        let cb = Callback::new(
            move |engine: &Local, _: Datagram| go_on(engine, flood),
            |_, error| panic!("{error}"),
        );
        engine.recv_from(&socket, cb);
    }
    let flood = std::sync::Arc::new(flood);
    flood(100);
    go_on(&engine, move |count| flood(count));
    let told = Told::new();
    engine.recv_from(&quiet, told.callback("quiet"));
    engine.sleep(Duration::from_millis(20), told.callback("sleep"));
    let peer = StdSocket::bind(HERE).unwrap();
    peer.send_to(b"x", quiet.local_addr().unwrap()).unwrap();
    turn_until(&engine, || told.len() == 2);
}
