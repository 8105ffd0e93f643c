//! Datagrams: received whole, in order and by whom they are for, sent whole or not at all, and none
//! that arrived is lost, whatever is cancelled, dropped or closed.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use facade_engine::{
    Address, Callback, Claim, Datagram, Engine, Error, Handle, Limits, Local, Result, UdpSocket,
};
use facade_tests::{
    alone::alone,
    outcome::Outcome,
    told::{Basket, Told},
    turns::{SOON, turn_until, turns},
};

use super::driver::{self, UdpPeer, bind_udp, descriptors};

pub(super) const HERE: &str = "127.0.0.1:0";

/// A peer, and the engine's socket.
pub(super) fn two(engine: &Handle) -> (UdpPeer, UdpSocket) {
    (bind_udp(HERE).unwrap(), engine.bind_udp(HERE).unwrap())
}

pub(super) fn send(peer: &UdpPeer, bytes: impl AsRef<[u8]>, socket: &UdpSocket) {
    let bytes = bytes.as_ref();
    assert_eq!(peer.send_to(bytes, socket.local_addr().unwrap()).unwrap(), bytes.len());
}

fn receive(peer: &UdpPeer) -> (Vec<u8>, std::net::SocketAddr) {
    let mut buffer = vec![0; 70_000];
    let (len, from) = peer.recv_from(&mut buffer).unwrap();
    buffer.truncate(len);
    (buffer, from)
}

/// What the next receives bring, so many.
fn next(engine: &Engine, socket: &UdpSocket, count: usize) -> Vec<Datagram> {
    let basket = Basket::new();
    for _ in 0..count {
        engine.recv_from(socket, basket.callback());
    }
    turn_until(engine, || basket.len() == count);
    basket.take()
}

fn texts(datagrams: &[Datagram]) -> Vec<&str> {
    datagrams.iter().map(|datagram| str::from_utf8(&datagram.bytes).unwrap()).collect()
}

#[test]
fn a_datagram_comes_whole_and_says_who_sent_it() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    // Without bytes it is one, too, and no end.
    for bytes in ["one", "", "three"] {
        send(&peer, bytes, &socket);
    }
    let datagrams = next(&engine, &socket, 3);
    assert_eq!(texts(&datagrams), ["one", "", "three"]);
    for datagram in datagrams {
        assert_eq!(datagram.from.as_inet(), Some(peer.local_addr().unwrap()));
        assert!(!datagram.truncated);
    }
}

#[test]
fn a_datagram_is_sent_whole_to_whom_it_is_for() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    let told = Told::new();
    let to = peer.local_addr().unwrap();
    engine.send_to(&socket, "one", to, told.value("one"));
    engine.send_to(&socket, "", to.to_string(), told.value("nothing"));
    engine.send_to(&socket, vec![7; 65_507], Address::from(to), told.value("all"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["one 3", "nothing 0", "all 65507"]);
    for expected in [b"one".to_vec(), Vec::new(), vec![7; 65_507]] {
        assert_eq!(receive(&peer), (expected, socket.local_addr().unwrap()));
    }
}

#[test]
fn what_is_too_long_is_refused_and_the_socket_goes_on() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    let outcome = Outcome::new();
    let told = Told::new();
    let to = peer.local_addr().unwrap();
    engine.send_to(&socket, vec![0; 65_508], to, outcome.callback());
    engine.send_to(&socket, "next", to, told.value("next"));
    engine.run().unwrap();
    let error = outcome.error();
    assert!(matches!(error, Error::DatagramTooLong { len: 65_508, .. }), "{error:?}");
    assert!(error.to_string().starts_with(&format!("a datagram of 65508 bytes to {to}: ")));
    assert!(error.raw_os_error().is_some());
    assert_eq!(told.take(), ["next 4"]);
    // Nothing of it was sent.
    assert_eq!(receive(&peer).0, b"next");
}

#[test]
#[cfg(unix)]
fn what_is_cut_off_is_told() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    socket.set_receive_size(4).unwrap();
    for bytes in ["1234", "12345", "1"] {
        send(&peer, bytes, &socket);
    }
    let datagrams = next(&engine, &socket, 3);
    assert_eq!(texts(&datagrams), ["1234", "1234", "1"]);
    assert_eq!(datagrams.iter().map(|one| one.truncated).collect::<Vec<_>>(), [false, true, false]);
    // It holds from the next that is received.
    socket.set_receive_size(5).unwrap();
    turns(&engine, 3);
    send(&peer, "12345", &socket);
    assert_eq!(texts(&next(&engine, &socket, 1)), ["12345"]);
    assert!(matches!(socket.set_receive_size(0), Err(Error::InvalidInput { .. })));
}

#[test]
#[cfg(unix)]
fn that_nobody_is_there_is_told_once_and_the_socket_goes_on() {
    let engine = driver::engine();
    let peer = bind_udp(HERE).unwrap();
    let address = peer.local_addr().unwrap();
    drop(peer);
    let socket = engine.connect_udp(address).unwrap();
    let told = Told::new();
    engine.send(&socket, "into the void", told.value("send"));
    engine.recv(&socket, told.callback("receive"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["send 13", "receive Io(receive, ConnectionRefused)"]);
    // The same of a send, if it comes first; then somebody is there.
    engine.send(&socket, "into the void", told.value("send"));
    engine.run().unwrap();
    engine.sleep(Duration::from_millis(1), Callback::ignore());
    engine.run().unwrap();
    engine.send(&socket, "again", told.value("again"));
    engine.run().unwrap();
    let heard = told.take();
    assert_eq!(heard[0], "send 13");
    assert_eq!(heard[1], "again Io(send, ConnectionRefused)");
    let peer = bind_udp(&address.to_string()).unwrap();
    engine.send(&socket, "hello", told.value("send"));
    let outcome = Outcome::new();
    engine.recv(&socket, outcome.callback());
    turns(&engine, 3);
    let (bytes, from) = receive(&peer);
    assert_eq!((bytes, from), (b"hello".to_vec(), socket.local_addr().unwrap()));
    peer.send_to(b"welcome", from).unwrap();
    engine.run().unwrap();
    assert_eq!(outcome.value().bytes, "welcome");
    assert_eq!(told.take(), ["send 5"]);
}

#[test]
fn an_unconnected_socket_hears_nothing_of_those_who_are_not_there() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    let nobody = {
        let gone = bind_udp(HERE).unwrap();
        gone.local_addr().unwrap()
    };
    let told = Told::new();
    for name in ["one", "other"] {
        engine.send_to(&socket, name, nobody, told.value(name));
    }
    engine.run().unwrap();
    assert_eq!(told.take(), ["one 3", "other 5"]);
    send(&peer, "hello", &socket);
    assert_eq!(texts(&next(&engine, &socket, 1)), ["hello"]);
}

#[test]
fn a_connected_socket_receives_from_its_peer_only() {
    let engine = driver::engine();
    let (peer, stranger) = (bind_udp(HERE).unwrap(), bind_udp(HERE).unwrap());
    let socket = engine.connect_udp(peer.local_addr().unwrap()).unwrap();
    assert_eq!(socket.peer_addr().unwrap(), peer.local_addr().unwrap());
    send(&stranger, "strange", &socket);
    send(&peer, "known", &socket);
    assert_eq!(texts(&next(&engine, &socket, 1)), ["known"]);
    // One that is not connected has nobody to send to.
    let outcome = Outcome::new();
    let unconnected = engine.bind_udp(HERE).unwrap();
    engine.send(&unconnected, "whom?", outcome.callback());
    engine.run().unwrap();
    assert!(matches!(outcome.error(), Error::Io { .. }));
    assert!(unconnected.peer_addr().is_err());
}

#[test]
fn both_families_are_received_and_their_senders_told() {
    let engine = driver::engine();
    let Ok(peer) = bind_udp("[::1]:0") else { return };
    let socket = engine.bind_udp("[::1]:0").unwrap();
    send(&peer, "six", &socket);
    let datagrams = next(&engine, &socket, 1);
    assert_eq!(datagrams[0].from.as_inet(), Some(peer.local_addr().unwrap()));
    // On a socket of both families an IPv4 sender is a mapped address, which can be answered.
    let options = facade_engine::UdpOptions::new().dual_stack(true);
    let both = engine.bind_udp_with("[::]:0", &options).unwrap();
    let peer = bind_udp(HERE).unwrap();
    let port = both.local_addr().unwrap().port();
    peer.send_to(b"four", std::net::SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    let datagrams = next(&engine, &both, 1);
    let from = datagrams[0].from.as_inet().unwrap();
    assert!(from.is_ipv6(), "{from}");
    assert_eq!(from.ip().to_canonical(), peer.local_addr().unwrap().ip());
    engine.send_to(&both, "back", datagrams[0].from.clone(), Callback::ignore());
    engine.run().unwrap();
    assert_eq!(receive(&peer).0, b"back");
}

#[test]
fn promise_08_a_receive_that_is_cancelled_or_expires_leaves_the_datagram_for_the_next() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    let told = Told::new();
    let cancel = engine.recv_from(&socket, told.callback("cancelled"));
    engine.recv_from(&socket, told.timeout(SOON).callback("expired"));
    turns(&engine, 2);
    assert!(cancel.cancel());
    turn_until(&engine, || told.len() == 2);
    assert_eq!(told.take(), ["cancelled Cancelled", "expired TimedOut"]);
    for number in 0..30 {
        send(&peer, number.to_string(), &socket);
        if number % 3 == 0 {
            let cancel = engine.recv_from(&socket, told.callback("cancelled"));
            assert!(cancel.cancel());
        }
        if number % 5 == 0 {
            turns(&engine, 1);
        }
    }
    told.take().iter().for_each(|heard| assert_eq!(heard, "cancelled Cancelled"));
    let expected: Vec<_> = (0..30).map(|number| number.to_string()).collect();
    assert_eq!(texts(&next(&engine, &socket, 30)), expected);
}

#[test]
fn promise_07_a_timeout_of_zero_makes_one_attempt() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    let told = Told::new();
    engine.recv_from(&socket, told.timeout(Duration::ZERO).callback("nothing there"));
    engine.run().unwrap();
    send(&peer, "there", &socket);
    engine.recv_from(&socket, told.timeout(Duration::ZERO).callback("there"));
    engine.send_to(&socket, "x", HERE, Callback::ignore());
    engine.recv_from(&socket, told.timeout(Duration::ZERO).callback("no more"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["nothing there TimedOut", "there Ok", "no more TimedOut"]);
}

#[test]
fn promise_08_what_claims_give_back_stands_where_it_stood() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    for bytes in ["one", "two", "three", "four"] {
        send(&peer, bytes, &socket);
    }
    let claims = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..3 {
        let claims = Arc::clone(&claims);
        engine.recv_from(
            &socket,
            Callback::claim(move |_, outcome: Result<Claim<Datagram>>| {
                claims.lock().unwrap().push(outcome.unwrap());
            }),
        );
    }
    turn_until(&engine, || claims.lock().unwrap().len() == 3);
    let mut claims = std::mem::take(&mut *claims.lock().unwrap());
    assert_eq!(claims.remove(1).take().bytes, "two");
    // The first goes back first, on another thread, and the third behind it: in whatever order.
    let last = claims.pop();
    thread::spawn(move || drop(claims)).join().unwrap();
    drop(last);
    assert_eq!(texts(&next(&engine, &socket, 3)), ["one", "three", "four"]);
}

#[test]
fn promise_08_a_claim_that_is_cancelled_before_its_callback_ran_loses_nothing() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    send(&peer, "one", &socket);
    send(&peer, "two", &socket);
    let told = Told::new();
    // Has the datagrams received ahead.
    let first = engine.recv_from(&socket, Callback::ignore());
    turns(&engine, 2);
    first.cancel();
    send(&peer, "three", &socket);
    turns(&engine, 2);
    let again = socket.clone();
    let notes = told.clone();
    engine.post(move |engine: &Local| {
        // Succeeds at once, and is withdrawn before its callback runs.
        let cancel = engine.recv_from(&again, notes.dropping_claims().callback("claim"));
        assert!(cancel.cancel());
    });
    engine.run().unwrap();
    assert_eq!(told.take(), ["claim Cancelled"]);
    assert_eq!(texts(&next(&engine, &socket, 2)), ["two", "three"]);
}

#[test]
fn promise_13_receives_and_sends_succeed_in_the_order_submitted() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    let told = Told::new();
    for number in 0..100 {
        engine.recv_from(&socket, told.callback(number));
    }
    turns(&engine, 2);
    for number in 0..100 {
        send(&peer, number.to_string(), &socket);
    }
    engine.run().unwrap();
    let expected: Vec<_> = (0..100).map(|number| format!("{number} Ok")).collect();
    assert_eq!(told.take(), expected);
    let to = peer.local_addr().unwrap();
    for number in 0..100 {
        engine.send_to(&socket, number.to_string(), to, told.callback(number));
    }
    engine.run().unwrap();
    assert_eq!(told.take(), expected);
    for number in 0..100 {
        assert_eq!(receive(&peer).0, number.to_string().as_bytes());
    }
}

#[test]
fn promise_02_no_callback_of_a_datagram_runs_inside_a_call() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    let told = Told::new();
    send(&peer, "there", &socket);
    turns(&engine, 2);
    let (again, notes, to) = (socket.clone(), told.clone(), peer.local_addr().unwrap());
    engine.post(move |engine: &Local| {
        notes.submitting(|| {
            engine.recv_from(&again, notes.callback("receive"));
            engine.send_to(&again, "x", to, notes.callback("send"));
            engine.send_to(&again, "x", "nowhere", notes.callback("bad"));
            engine.recv_from(&again, notes.callback("cancelled")).cancel();
            engine.close(&again, notes.callback("close"));
            engine.recv_from(&again, notes.callback("late"));
        });
    });
    engine.run().unwrap();
    let mut heard = told.take();
    heard.sort();
    let expected = ["bad InvalidInput", "cancelled Cancelled", "close Ok", "late Closed"];
    assert_eq!(heard[..4], expected);
    assert_eq!(heard[5], "send Ok");
    // What was there had not been received when the close came, or had.
    assert!(["receive Closed", "receive Ok"].contains(&&*heard[4]), "{heard:?}");
}

#[test]
fn a_close_ends_receives_and_comes_last() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    let address = socket.local_addr().unwrap();
    let told = Told::new();
    engine.recv_from(&socket, told.callback("first"));
    engine.recv_from(&socket, told.callback("second"));
    turns(&engine, 2);
    engine.send_to(&socket, "bye", peer.local_addr().unwrap(), told.callback("send"));
    engine.close(&socket, told.callback("close"));
    engine.recv_from(&socket, told.callback("late"));
    engine.send_to(&socket, "late", peer.local_addr().unwrap(), told.callback("late"));
    engine.close(&socket, told.callback("again"));
    engine.run().unwrap();
    let mut heard = told.take();
    heard.sort();
    assert_eq!(
        heard,
        [
            "again Closed",
            "close Ok",
            "first Closed",
            "late Closed",
            "late Closed",
            "second Closed",
            "send Ok"
        ]
    );
    assert_eq!(receive(&peer).0, b"bye");
    // Closed, though a clone lives.
    bind_udp(&address.to_string()).unwrap();
    drop(socket);
}

#[test]
fn the_last_clone_closes_it_when_nothing_is_pending() {
    let engine = driver::engine();
    let socket = engine.bind_udp(HERE).unwrap();
    let (address, told) = (socket.local_addr().unwrap(), Told::new());
    engine.recv_from(&socket, told.callback("receive"));
    drop(socket);
    turns(&engine, 3);
    assert!(told.is_empty(), "what is pending keeps it");
    let peer = bind_udp(HERE).unwrap();
    peer.send_to(b"still here", address).unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["receive Ok"]);
    turns(&engine, 2);
    bind_udp(&address.to_string()).unwrap();
}

#[test]
fn promise_16_what_is_pending_hears_that_the_engine_is_gone() {
    let engine = driver::engine();
    let told = Told::new();
    let (peer, socket) = two(&engine);
    engine.recv_from(&socket, told.callback("receive"));
    turns(&engine, 2);
    engine.send_to(&socket, "last", peer.local_addr().unwrap(), told.callback("send"));
    drop(engine);
    assert_eq!(told.take(), ["send Ok", "receive EngineClosed"]);
    assert_eq!(receive(&peer).0, b"last");
    // What comes later is refused unrun.
    socket.handle().recv_from(&socket, told.callback("late"));
    let handle = socket.handle().clone();
    assert!(matches!(handle.bind_udp(HERE), Err(Error::EngineClosed)));
    assert!(matches!(handle.connect_udp("127.0.0.1:9"), Err(Error::EngineClosed)));
    drop((peer, socket));
    assert!(told.is_empty());
}

#[test]
fn promise_09_no_socket_of_datagrams_leaks() {
    let name = "promise_09_no_socket_of_datagrams_leaks";
    alone(module_path!(), name, || {
        let engine = driver::engine();
        let peer = bind_udp(HERE).unwrap();
        let to = peer.local_addr().unwrap();
        // Whatever is opened once for all.
        engine.close(&engine.bind_udp(HERE).unwrap(), Callback::ignore());
        engine.run().unwrap();
        let before = descriptors();
        for number in 0..30 {
            let socket = match number % 3 {
                0 => engine.connect_udp(to).unwrap(),
                _ => engine.bind_udp(HERE).unwrap(),
            };
            let receive = engine.recv_from(&socket, Callback::ignore());
            engine.send_to(&socket, "x", to, Callback::ignore());
            turns(&engine, number % 4);
            match number % 2 {
                0 => drop(engine.close(&socket, Callback::ignore())),
                _ => drop(receive.cancel()),
            }
            drop(socket);
            engine.run().unwrap();
            assert_eq!(descriptors(), before);
        }
        let socket = engine.bind_udp(HERE).unwrap();
        engine.recv_from(&socket, Callback::ignore());
        drop(socket);
        turns(&engine, 2);
        drop(engine);
        assert!(descriptors() < before + 1);
    });
}

#[test]
fn promise_14_a_socket_that_nobody_receives_from_is_read_ahead_so_far() {
    let engine = driver::builder().limits(Limits { datagrams: 10, ..Limits::default() });
    let engine = engine.build().unwrap();
    let (peer, socket) = two(&engine);
    for _ in 0..60 {
        send(&peer, "x", &socket);
    }
    assert_eq!(next(&engine, &socket, 1).len(), 1);
    turns(&engine, 10);
    let shown = format!("{socket:?}");
    assert!(shown.contains("untaken: 10,"), "{shown}");
    // Nor more bytes than a stream is read ahead, and what one look brings on top.
    let few = driver::builder().limits(Limits { unread: 1000, ..Limits::default() });
    let engine = few.build().unwrap();
    let (peer, socket) = two(&engine);
    let send_some = |count: usize| (0..count).for_each(|_| send(&peer, vec![0; 600], &socket));
    send_some(5);
    assert_eq!(next(&engine, &socket, 1).len(), 1);
    // Without anything pending no turn looks.
    let _guard = engine.keep_alive();
    turns(&engine, 3);
    send_some(10);
    turns(&engine, 10);
    let shown = format!("{socket:?}");
    assert!(shown.contains("untaken: 4,"), "{shown}");
    assert_eq!(next(&engine, &socket, 14).len(), 14, "none is lost");
}

#[test]
fn promise_17_a_callback_that_panics_costs_the_others_nothing() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    let told = Told::new();
    engine.recv_from(&socket, Callback::from_fn(|_, _| panic!("as it should")));
    engine.recv_from(&socket, told.callback("next"));
    send(&peer, "one", &socket);
    send(&peer, "two", &socket);
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| engine.run()));
    assert!(run.is_err());
    engine.run().unwrap();
    assert_eq!(told.take(), ["next Ok"]);
}

#[test]
fn promise_18_a_socket_is_pending_only_while_something_is_on_it() {
    let engine = driver::engine();
    let (_peer, socket) = two(&engine);
    engine.run().unwrap();
    let cancel = engine.recv_from(&socket, Callback::ignore());
    let turn = engine.run_once(Some(Duration::ZERO)).unwrap();
    assert_eq!(turn.pending, 1);
    let pending = engine.pending();
    assert_eq!(pending[0].operation, "recv_from");
    let named = socket.local_addr().unwrap().to_string();
    assert_eq!(pending[0].on.as_ref(), Some(&named));
    cancel.cancel();
    engine.run().unwrap();
}

#[test]
fn any_thread_sends_and_receives() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    let (told, guard) = (Told::new(), engine.keep_alive());
    let (again, notes, to) = (socket.clone(), told.clone(), peer.local_addr().unwrap());
    let from = thread::spawn(move || {
        let handle = again.handle().clone();
        handle.recv_from(&again, notes.value("receive"));
        handle.recv_from(&again, notes.callback("cancelled")).cancel();
        handle.send_to(&again, "from elsewhere", to, notes.value("send"));
        drop(guard);
    });
    from.join().unwrap();
    send(&peer, "hello", &socket);
    engine.run().unwrap();
    let heard = told.take();
    assert!(heard.contains(&"send 14".to_owned()), "{heard:?}");
    assert!(heard.contains(&"cancelled Cancelled".to_owned()), "{heard:?}");
    assert!(heard.iter().any(|one| one.starts_with("receive Datagram")), "{heard:?}");
    assert_eq!(receive(&peer).0, b"from elsewhere");
}

/// Asks and is answered so often, one at a time.
fn ping_pong(engine: &Handle, ours: UdpSocket, left: usize) {
    if left == 0 {
        engine.close(&ours, Callback::ignore());
        return;
    }
    engine.send(&ours, left.to_string(), Callback::ignore());
    let again = ours.clone();
    engine.recv(
        &ours,
        Callback::new(
            move |engine: &Local, datagram: Datagram| {
                assert_eq!(datagram.bytes, left.to_string());
                ping_pong(engine, again, left - 1);
            },
            |_, error| panic!("{error}"),
        ),
    );
}

fn echo(engine: &Handle, socket: UdpSocket) {
    let again = socket.clone();
    engine.recv_from(
        &socket,
        Callback::new(
            move |engine: &Local, Datagram { bytes, from, .. }: Datagram| {
                let over = bytes == "1";
                engine.send_to(&again, bytes, from, Callback::ignore());
                if over {
                    engine.close(&again, Callback::ignore());
                } else {
                    echo(engine, again);
                }
            },
            |_, error| panic!("{error}"),
        ),
    );
}

#[test]
fn many_datagrams_go_there_and_back() {
    let engine = driver::engine();
    let server = engine.bind_udp(HERE).unwrap();
    let client = engine.connect_udp(server.local_addr().unwrap()).unwrap();
    echo(&engine, server);
    ping_pong(&engine, client, 5000);
    engine.run().unwrap();
}

#[test]
fn bad_addresses_are_refused_by_name() {
    let engine = driver::engine();
    for address in ["localhost:53", "", "127.0.0.1"] {
        assert!(matches!(engine.bind_udp(address), Err(Error::InvalidInput { .. })), "{address}");
        assert!(matches!(engine.connect_udp(address), Err(Error::InvalidInput { .. })));
    }
    let socket = engine.bind_udp(HERE).unwrap();
    let taken = engine.bind_udp(socket.local_addr().unwrap()).unwrap_err();
    let Error::Io { cause, .. } = &taken else { panic!("{taken:?}") };
    assert_eq!(cause.kind(), std::io::ErrorKind::AddrInUse);
    assert!(taken.to_string().starts_with("bind to 127.0.0.1:"), "{taken}");
    assert!(matches!(
        socket.join_multicast([127, 0, 0, 1].into(), 0),
        Err(Error::InvalidInput { .. })
    ));
    let told = Told::new();
    engine.send_to(&socket, "x", Address::UnixUnnamed, told.callback("unnamed"));
    engine.run().unwrap();
    let heard = told.take();
    assert!(["unnamed InvalidInput", "unnamed Unsupported"].contains(&&*heard[0]), "{heard:?}");
}
