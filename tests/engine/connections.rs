//! Promise 9: no connection is lost and no descriptor leaks, whatever is cancelled, dropped or
//! lacking.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    path::Path,
    thread,
    time::Duration,
};

use facade_engine::{Callback, Claim, Engine, Listener, Stream};
use facade_tests::{
    alone::alone,
    peers::reset,
    told::{Basket, Told},
    turns::{turn_until, turns},
};

use super::driver::{self, descriptors};

#[test]
fn promise_09_tcp_connections_that_nobody_took_are_all_there_for_later_accepts() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let told = Told::new();
    // The engine is accepting, and nobody wants them any more.
    let cancel = engine.accept(&listener, told.callback("accept"));
    turns(&engine, 2);
    cancel.cancel();
    turns(&engine, 1);
    let clients: Vec<driver::TcpPeer> =
        (0..200).map(|_| driver::connect(address).unwrap()).collect();
    turns(&engine, 5);
    let accepted = Basket::new();
    for _ in &clients {
        engine.accept(&listener, accepted.callback());
    }
    engine.run().unwrap();
    assert_eq!(told.take(), ["accept Cancelled"]);
    let peers: Vec<_> = accepted.take().iter().map(|s| s.peer_addr().unwrap()).collect();
    let expected: Vec<_> = clients.iter().map(|c| c.local_addr().unwrap()).collect();
    assert_eq!(peers, expected);
}

#[test]
fn promise_09_an_accept_that_expires_leaves_the_connection_for_the_next() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let told = Told::new();
    engine.accept(&listener, told.timeout(Duration::from_millis(1)).callback("first"));
    engine.run().unwrap();
    let client = driver::connect(listener.local_addr().unwrap()).unwrap();
    engine.sleep(Duration::from_millis(1), Callback::ignore());
    engine.run().unwrap();
    let accepted = Basket::new();
    engine.accept(&listener, accepted.callback());
    engine.run().unwrap();
    assert_eq!(told.take(), ["first TimedOut"]);
    assert_eq!(accepted.only().peer_addr().unwrap(), client.local_addr().unwrap());
}

#[test]
fn promise_09_a_claim_on_a_connection_that_is_dropped_is_what_the_next_accept_gets_first() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let clients: Vec<driver::TcpPeer> = (0..3).map(|_| driver::connect(address).unwrap()).collect();
    let told = Told::new();
    engine.accept(&listener, told.dropping_claims().callback::<Stream>("claim"));
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["claim dropped"]);
    assert_eq!(accept_all(&engine, &listener, 3), addresses(&clients));
}

#[test]
fn promise_09_a_claim_goes_back_before_accepts_that_wait_already() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let held = Basket::new();
    let hold = held.clone();
    engine.accept(&listener, Callback::claim(move |_, claim| hold.put(claim.unwrap())));
    let accepted = Basket::new();
    engine.accept(&listener, accepted.callback());
    let first = driver::connect(address).unwrap();
    turn_until(&engine, || !held.is_empty());
    turns(&engine, 2);
    assert!(accepted.is_empty());
    let claim: Claim<Stream> = held.only();
    thread::spawn(move || drop(claim)).join().unwrap();
    turns(&engine, 1);
    let second = driver::connect(address).unwrap();
    engine.accept(&listener, accepted.callback());
    turn_until(&engine, || accepted.len() == 2);
    let peers: Vec<_> = accepted.take().iter().map(|s| s.peer_addr().unwrap()).collect();
    assert_eq!(peers, [first.local_addr().unwrap(), second.local_addr().unwrap()]);
}

#[test]
fn promise_09_a_claim_that_outlives_its_listener_closes_its_connection() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let mut client = driver::connect(listener.local_addr().unwrap()).unwrap();
    let held = Basket::new();
    let hold = held.clone();
    engine.accept(&listener, Callback::claim(move |_, claim| hold.put(claim.unwrap())));
    turn_until(&engine, || !held.is_empty());
    engine.close(&listener, Callback::ignore());
    drop(listener);
    engine.run().unwrap();
    drop::<Vec<Claim<Stream>>>(held.take());
    engine.run().unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn promise_09_untaken_connections_are_closed_with_their_listener() {
    for by_drop in [true, false] {
        let engine = driver::engine();
        let listener = engine.listen("127.0.0.1:0").unwrap();
        let told = Told::new();
        let cancel = engine.accept(&listener, told.callback("accept"));
        turns(&engine, 2);
        cancel.cancel();
        turns(&engine, 1);
        let mut client = driver::connect(listener.local_addr().unwrap()).unwrap();
        // The engine goes on accepting, so now it holds the connection.
        engine.sleep(Duration::from_millis(1), Callback::ignore());
        engine.run().unwrap();
        if !by_drop {
            engine.close(&listener, told.callback("close"));
        }
        // On another thread, so that no callback of this engine runs with it.
        thread::spawn(move || drop(listener)).join().unwrap();
        engine.run().unwrap();
        assert_eq!(engine.run_once(Some(Duration::ZERO)).unwrap().pending, 0);
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "closed");
    }
}

#[test]
fn promise_09_what_is_left_behind_without_a_callback_does_not_make_the_engine_spin() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let cancel = engine.accept(&listener, Callback::ignore());
    turns(&engine, 2);
    cancel.cancel();
    turns(&engine, 1);
    let _client = driver::connect(listener.local_addr().unwrap()).unwrap();
    engine.sleep(Duration::from_millis(1), Callback::ignore());
    engine.run().unwrap();
    engine.sleep(Duration::from_secs(3600), Callback::ignore());
    drop(listener);
    turns(&engine, 3);
    let due = engine.next_deadline().unwrap();
    assert!(due > facade_tests::turns::now(), "nothing is ready");
}

#[test]
fn promise_09_a_connect_to_nobody_and_a_dropped_engine_leak_nothing() {
    let name = "promise_09_a_connect_to_nobody_and_a_dropped_engine_leak_nothing";
    alone(module_path!(), name, || {
        let nobody = driver::bind().local_addr().unwrap();
        // Opens what is opened once for the process.
        drop(driver::engine());
        let before = descriptors();
        for turns_before in 0..3 {
            let engine = driver::engine();
            let listener = engine.listen("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            engine.accept(&listener, Callback::ignore());
            for _ in 0..5 {
                engine.connect(nobody, Callback::ignore());
                engine.connect(address, Callback::ignore());
                engine.connect_then_expect_line(
                    address,
                    "x",
                    (Callback::ignore(), Callback::ignore()),
                );
                engine.connect(Path::new("/nowhere/at/all"), Callback::ignore());
            }
            turns(&engine, turns_before);
            // The engine goes first, then what is left of its things.
            drop(engine);
            drop(listener);
        }
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn promise_09_a_chain_past_its_connection_closes_it_unless_somebody_keeps_it() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let told = Told::new();
    engine.accept_then_expect_line(&listener, "yes", (told.callback("1"), told.callback("2")));
    let mut client = driver::connect(address).unwrap();
    client.write_all(b"no\n").unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["1 Ok", r#"2 Unexpected(b"no")"#]);
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0, "closed");

    let kept = Basket::new();
    engine.accept_then_write(&listener, "hello", (kept.callback(), told.callback("2")));
    let mut client = driver::connect(address).unwrap();
    engine.run().unwrap();
    let mut hello = [0; 5];
    client.read_exact(&mut hello).unwrap();
    let stream: Stream = kept.only();
    engine.write(&stream, "more", Callback::ignore());
    drop(stream);
    engine.run().unwrap();
    let mut more = String::new();
    client.read_to_string(&mut more).unwrap();
    assert_eq!(more, "more");
}

#[test]
fn promise_09_a_connection_that_was_reset_while_it_waited_hinders_nobody() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..5 {
        reset(driver::connect(address).unwrap());
    }
    let last = driver::connect(address).unwrap();
    // Whether the system skips the dead ones or hands them out, the living one comes.
    let accepted = Basket::new();
    engine.accept(&listener, accepted.callback());
    let mut peers = Vec::new();
    turn_until(&engine, || {
        for stream in accepted.take() {
            peers.push(stream.peer_addr().ok());
            engine.accept(&listener, accepted.callback());
        }
        peers.contains(&Some(last.local_addr().unwrap()))
    });
}

#[test]
fn promise_09_more_connections_than_are_taken_ahead_are_all_accepted() {
    let limits = facade_engine::Limits { accepted: 3, ..facade_engine::Limits::default() };
    let engine = driver::builder().limits(limits).build().unwrap();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let cancel = engine.accept(&listener, Callback::ignore());
    turns(&engine, 2);
    cancel.cancel();
    turns(&engine, 1);
    let clients: Vec<driver::TcpPeer> =
        (0..300).map(|_| driver::connect(address).unwrap()).collect();
    turns(&engine, 10);
    let peers = accept_all(&engine, &listener, clients.len());
    assert_eq!(peers, addresses(&clients));
    assert_eq!(peers.iter().collect::<BTreeSet<_>>().len(), clients.len());
}

/// Accepts so many, and says who they are.
fn accept_all(engine: &Engine, listener: &Listener, count: usize) -> Vec<std::net::SocketAddr> {
    let accepted = Basket::new();
    for _ in 0..count {
        engine.accept(listener, accepted.callback());
    }
    turn_until(engine, || accepted.len() == count);
    accepted.take().iter().map(|stream: &Stream| stream.peer_addr().unwrap()).collect()
}

fn addresses(clients: &[driver::TcpPeer]) -> Vec<std::net::SocketAddr> {
    clients.iter().map(|client| client.local_addr().unwrap()).collect()
}
