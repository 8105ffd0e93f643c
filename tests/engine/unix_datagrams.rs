//! Datagrams of Unix sockets: none is lost, and a send waits while the receiver's queue is full.

use std::{os::unix::net::UnixDatagram, path::Path, sync::Arc, time::Duration};

use facade_engine::{Address, Callback, Datagram, Engine, Error, Limits, Local, UdpSocket};
use facade_tests::{
    outcome::Outcome,
    told::{Basket, Told},
    turns::{SOON, turn_until, turns},
};
use tempfile::TempDir;

use super::driver::{self, pass};

fn directory() -> (TempDir, std::path::PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("datagrams");
    (directory, path)
}

/// A pair, of which the engine has one end alone.
fn pair(engine: &Engine) -> (UnixDatagram, UdpSocket) {
    let (peer, ours) = UnixDatagram::pair().unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (peer, engine.attach_udp_exclusive(ours).unwrap())
}

/// Sends until no more is taken at once; returns how many are sent or queued.
fn fill(engine: &Engine, socket: &UdpSocket, told: &Told) -> usize {
    let mut count = 0;
    loop {
        engine.send(socket, count.to_string(), told.callback(count));
        turns(engine, 2);
        count += 1;
        if told.len() < count {
            return count;
        }
    }
}

fn receive(peer: &UnixDatagram) -> String {
    let mut buffer = [0; 100];
    let len = peer.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..len].to_vec()).unwrap()
}

#[test]
fn those_at_a_path_are_sent_to_and_answered() {
    let engine = driver::engine();
    let (directory, path) = directory();
    let server = engine.bind_unix_datagram(&path).unwrap();
    assert_eq!(server.local_name().unwrap(), Address::Unix(path.clone()));
    assert!(matches!(server.local_addr(), Err(Error::Unsupported { .. })));
    let other = directory.path().join("other");
    let client = UnixDatagram::bind(&other).unwrap();
    client.send_to(b"hello", &path).unwrap();
    client.send_to(b"", &path).unwrap();
    let unnamed = engine.unbound_unix_datagram().unwrap();
    let told = Told::new();
    engine.send_to(&unnamed, "nobody", path.clone(), told.callback("send"));
    let basket = Basket::new();
    for _ in 0..3 {
        engine.recv_from(&server, basket.callback());
    }
    engine.run().unwrap();
    let heard: Vec<Datagram> = basket.take();
    assert_eq!(told.take(), ["send Ok"]);
    assert_eq!(heard.iter().map(|one| one.bytes.len()).collect::<Vec<_>>(), [5, 0, 6]);
    assert_eq!(heard[0].from, Address::Unix(other));
    assert_eq!(heard[2].from, Address::UnixUnnamed);
    engine.send_to(&server, "answer", heard[0].from.clone(), told.callback("answer"));
    engine.send_to(&server, "answer", heard[2].from.clone(), told.callback("unnamed"));
    engine.send_to(&server, "x", Path::new("/nowhere/at/all"), told.callback("nowhere"));
    engine.send_to(&server, "x", Path::new("a\0b"), told.callback("bad"));
    engine.run().unwrap();
    let mut heard = told.take();
    heard.sort();
    let expected =
        ["answer Ok", "bad InvalidInput", "nowhere Io(send, NotFound)", "unnamed InvalidInput"];
    assert_eq!(heard, expected);
    let mut buffer = [0; 10];
    assert_eq!(client.recv(&mut buffer).unwrap(), 6);
    // The name stays, and is in the way.
    let taken = engine.bind_unix_datagram(&path).unwrap_err();
    assert!(matches!(taken, Error::Io { .. }), "{taken}");
    assert!(engine.connect_udp(Path::new("/nowhere/at/all")).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_names_are_addresses() {
    let engine = driver::engine();
    let name = format!("facade-datagrams-{}-{}", driver::name(), std::process::id());
    let address = Address::UnixAbstract(name.into_bytes());
    let server = engine.bind_udp(address.clone()).unwrap();
    let client = engine.connect_udp(address.clone()).unwrap();
    engine.send(&client, "hello", Callback::ignore());
    engine.send_to(&server, "to myself", address.clone(), Callback::ignore());
    let basket = Basket::new();
    for _ in 0..2 {
        engine.recv_from(&server, basket.callback());
    }
    engine.run().unwrap();
    let heard: Vec<Datagram> = basket.take();
    assert_eq!((&heard[0].from, &heard[1].from), (&Address::UnixUnnamed, &address));
}

#[test]
fn what_is_longer_than_udp_carries_comes_whole_if_it_is_asked_for() {
    let engine = driver::engine();
    let (peer, socket) = pair(&engine);
    let long = vec![7; 100_000];
    peer.send(&long).unwrap();
    peer.send(&long).unwrap();
    let outcome = Outcome::new();
    engine.recv(&socket, outcome.callback());
    engine.run().unwrap();
    let cut: Datagram = outcome.value();
    assert_eq!((cut.bytes.len(), cut.truncated), (64 << 10, true));
    // The other was received ahead; what comes from now on is whole.
    socket.set_receive_size(1 << 20).unwrap();
    engine.recv(&socket, Callback::ignore());
    engine.run().unwrap();
    peer.send(&long).unwrap();
    engine.recv(&socket, outcome.callback());
    engine.run().unwrap();
    let whole = outcome.value();
    assert!(whole.bytes == long && !whole.truncated);
}

#[test]
fn promise_13_sends_wait_for_room_and_go_out_in_order() {
    let engine = driver::engine();
    let (peer, socket) = pair(&engine);
    let told = Told::new();
    let count = fill(&engine, &socket, &told);
    engine.send(&socket, "behind", told.callback("behind"));
    engine.send(&socket, "not at all", told.callback("cancelled")).cancel();
    engine.send(&socket, "too late", told.timeout(Duration::ZERO).callback("expired"));
    turns(&engine, 3);
    let pending = engine.pending();
    assert_eq!(pending.iter().filter(|one| one.operation == "send_to").count(), 2, "{pending:?}");
    let expected: Vec<_> = (0..count - 1).map(|number| format!("{number} Ok")).collect();
    let heard = told.take();
    assert_eq!(heard[..count - 1], expected);
    assert_eq!(heard[count - 1..], ["cancelled Cancelled", "expired TimedOut"]);
    // Each that is read makes room for the next.
    for number in 0..count {
        assert_eq!(receive(&peer), number.to_string());
        turns(&engine, 3);
    }
    turn_until(&engine, || told.len() == 2);
    assert_eq!(told.take(), [format!("{} Ok", count - 1), "behind Ok".to_owned()]);
    assert_eq!(receive(&peer), "behind");
    engine.run().unwrap();
}

#[test]
fn promise_13_a_send_does_not_take_the_room_that_another_has_waited_for() {
    let engine = driver::engine();
    let (peer, socket) = pair(&engine);
    let told = Told::new();
    let count = fill(&engine, &socket, &told);
    let peer = Arc::new(peer);
    let (reads, again, behind) = (Arc::clone(&peer), socket.clone(), told.callback("behind"));
    // There is room by now, of which the engine has not been told.
    engine.post(move |local| {
        assert_eq!(receive(&reads), "0");
        local.send(&again, "behind", behind);
    });
    turns(&engine, 3);
    for number in 1..count {
        assert_eq!(receive(&peer), number.to_string());
        turns(&engine, 3);
    }
    assert_eq!(receive(&peer), "behind");
    engine.run().unwrap();
    assert_eq!(told.take().last().unwrap(), "behind Ok");
}

#[test]
fn a_close_waits_for_what_is_tried_again_as_well() {
    const COUNT: usize = 200;
    let engine = driver::engine();
    let (_directory, path) = directory();
    let peer = UnixDatagram::bind(&path).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for by_drop in [false, true] {
        // It is not connected, so that nothing tells of room.
        let socket = engine.unbound_unix_datagram().unwrap();
        let told = Told::new();
        for number in 0..COUNT {
            engine.send_to(&socket, number.to_string(), &path, told.callback(number));
        }
        if by_drop {
            drop(socket);
        } else {
            engine.close(&socket, told.callback("close"));
        }
        turns(&engine, 20);
        assert!(told.len() < COUNT, "the queue is full");
        for number in 0..COUNT {
            turn_until(&engine, || told.len() > number);
            assert_eq!(receive(&peer), number.to_string());
        }
        engine.run().unwrap();
        let mut heard = told.take();
        if !by_drop {
            assert_eq!(heard.pop().unwrap(), "close Ok");
        }
        let expected: Vec<_> = (0..COUNT).map(|number| format!("{number} Ok")).collect();
        assert_eq!(heard, expected);
    }
}

#[test]
fn a_send_to_a_full_queue_that_nothing_tells_of_is_tried_again() {
    let engine = driver::engine();
    let (_directory, path) = directory();
    let peer = UnixDatagram::bind(&path).unwrap();
    // It is not connected, so that poll(2) says that there is room, always.
    let socket = engine.unbound_unix_datagram().unwrap();
    let told = Told::new();
    for number in 0..200 {
        engine.send_to(&socket, number.to_string(), &path, told.callback(number));
    }
    turns(&engine, 20);
    assert!(told.len() < 200, "the queue is full");
    for number in 0..200 {
        turn_until(&engine, || told.len() > number);
        assert_eq!(receive(&peer), number.to_string());
    }
    engine.run().unwrap();
    let expected: Vec<_> = (0..200).map(|number| format!("{number} Ok")).collect();
    assert_eq!(told.take(), expected);
}

#[test]
fn promise_14_a_repeating_receive_pauses_while_its_answers_wait_for_room() {
    let limits = Limits { unsent: 3, ..Limits::default() };
    let engine = driver::builder().limits(limits).build().unwrap();
    let (peer, socket) = pair(&engine);
    let told = Told::new();
    let full = fill(&engine, &socket, &told);
    // Each is answered with one byte, beside what was queued to see that there is no room.
    let queued = (full - 1).to_string().len();
    let (note, answers) = (told.clone(), socket.clone());
    let f = move |local: &Local, datagram: Datagram| {
        note.note(format!("{:?}", datagram.bytes));
        local.send(&answers, datagram.bytes, Callback::ignore());
    };
    told.take();
    engine.each_datagram(&socket, f, told.timeout(SOON).callback("end"));
    for number in 0..6 {
        assert_eq!(peer.send(number.to_string().as_bytes()).unwrap(), 1);
    }
    turns(&engine, 5);
    // And it has all the time there is.
    pass(SOON * 2);
    turns(&engine, 3);
    assert_eq!(told.take().len(), 4 - queued.min(4));
    // It sleeps meanwhile.
    let pending = engine.pending();
    assert!(pending.iter().all(|one| one.operation != "callback"), "{pending:?}");
    for number in 0..full {
        assert_eq!(receive(&peer), number.to_string());
        turns(&engine, 3);
    }
    for number in 0..6 {
        turn_until(&engine, || true);
        assert_eq!(receive(&peer), number.to_string());
    }
    engine.run().unwrap();
    assert_eq!(told.take().last().unwrap(), "end TimedOut");
}

#[test]
fn promise_14_what_waits_for_room_is_bounded() {
    let limits = Limits { queued: 1000, ..Limits::default() };
    let engine = driver::builder().limits(limits).build().unwrap();
    let (peer, socket) = pair(&engine);
    let told = Told::new();
    let count = fill(&engine, &socket, &told);
    told.take();
    for number in 0..12 {
        engine.send(&socket, vec![0; 100], told.callback(number));
    }
    turns(&engine, 2);
    assert_eq!(told.take(), ["10 Overloaded", "11 Overloaded"]);
    for _ in 0..count + 10 {
        peer.recv(&mut [0; 200]).unwrap();
        turns(&engine, 3);
    }
    engine.run().unwrap();
    assert_eq!(told.len(), 11);
}

#[test]
fn a_close_waits_for_what_was_submitted_but_not_longer_than_it_may() {
    let engine = driver::engine();
    let (peer, socket) = pair(&engine);
    let told = Told::new();
    let count = fill(&engine, &socket, &told);
    told.take();
    engine.close(&socket, told.callback("close"));
    turns(&engine, 5);
    assert!(told.is_empty());
    for number in 0..count {
        assert_eq!(receive(&peer), number.to_string());
        turns(&engine, 3);
    }
    engine.run().unwrap();
    assert_eq!(told.take(), [format!("{} Ok", count - 1), "close Ok".to_owned()]);

    let (_peer, socket) = pair(&engine);
    let count = fill(&engine, &socket, &told);
    told.take();
    engine.close(&socket, told.timeout(Duration::from_millis(5)).callback("close"));
    engine.run().unwrap();
    assert_eq!(told.take(), [format!("{} Closed", count - 1), "close TimedOut".to_owned()]);
}

#[test]
fn promise_16_what_waits_for_room_hears_that_the_engine_is_gone() {
    let engine = driver::engine();
    let (peer, socket) = pair(&engine);
    let told = Told::new();
    let count = fill(&engine, &socket, &told);
    engine.send(&socket, "behind", told.callback("behind"));
    // Room for one: it is tried once more.
    assert_eq!(receive(&peer), "0");
    told.take();
    drop(engine);
    let last = count - 1;
    assert_eq!(told.take(), [format!("{last} Ok"), "behind EngineClosed".to_owned()]);
}

#[test]
fn the_last_clone_of_a_socket_closes_it_when_all_is_sent() {
    let engine = driver::engine();
    let (peer, socket) = pair(&engine);
    let told = Told::new();
    let count = fill(&engine, &socket, &told);
    drop(socket);
    turns(&engine, 3);
    for number in 0..count {
        assert_eq!(receive(&peer), number.to_string());
        turns(&engine, 3);
    }
    engine.run().unwrap();
    assert_eq!(told.len(), count);
    // Nobody is at the other end any more.
    assert!(peer.send(b"x").is_err());
}
