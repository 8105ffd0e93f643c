//! Which streams and listeners are the same: clones are, whoever has them and whenever they are
//! compared.

use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    hash::BuildHasher,
    sync::mpsc,
    thread,
};

use facade_engine::{Listener, Stream};
use facade_tests::told::Basket;

use super::driver::{self, pair, tcp_pair};

#[test]
fn clones_of_a_stream_are_equal_and_others_are_not() {
    let engine = driver::engine();
    let ((_peer, stream), (_other_peer, other)) = (pair(&engine), tcp_pair(&engine));
    let state = RandomState::new();
    let early = state.hash_one(&stream);
    assert_eq!(stream, stream.clone());
    assert_ne!(stream, other);
    engine.run().unwrap();
    // By now the engine has taken it in, and nothing about it is another.
    assert_eq!(state.hash_one(&stream), early);
    let (again, kept) = (stream.clone(), Basket::new());
    let (stored, at_home) = (kept.clone(), stream.clone());
    engine.post(move |_| {
        assert_eq!(at_home, again);
        stored.put(again);
    });
    engine.run().unwrap();
    let again = kept.only();
    assert_eq!((state.hash_one(&again), &again), (early, &stream));
}

#[test]
fn a_stream_that_another_engine_is_given_is_another() {
    let (one, other) = (driver::engine(), driver::engine());
    let ((_peer, here), (_other_peer, there)) = (pair(&one), pair(&other));
    one.run().unwrap();
    other.run().unwrap();
    // The first of each, so that their engines know them by the same number.
    assert_ne!(here, there);
    assert_eq!(HashSet::from([here.clone(), there.clone(), here]).len(), 2);
}

#[test]
fn streams_are_the_keys_of_a_map() {
    let engine = driver::engine();
    let pairs: Vec<_> = (0..9).map(|_| pair(&engine)).collect();
    let numbers: HashMap<Stream, usize> =
        pairs.iter().enumerate().map(|(number, (_, stream))| (stream.clone(), number)).collect();
    engine.run().unwrap();
    for (number, (_, stream)) in pairs.iter().enumerate() {
        assert_eq!(numbers[stream], number);
    }
}

#[test]
fn a_listener_made_on_another_thread_is_itself_before_the_engine_knows_it() {
    let engine = driver::engine();
    let handle = engine.handle().clone();
    let (send, receive) = mpsc::channel();
    let make = move || {
        for _ in 0..2 {
            send.send(handle.listen("127.0.0.1:0").unwrap()).unwrap();
        }
    };
    thread::spawn(make).join().unwrap();
    let (one, other): (Listener, Listener) = (receive.recv().unwrap(), receive.recv().unwrap());
    let state = RandomState::new();
    let early = state.hash_one(&one);
    assert_eq!(one, one.clone());
    assert_ne!(one, other);
    engine.run().unwrap();
    assert_eq!((state.hash_one(&one), one.clone()), (early, one.clone()));
    assert_ne!(one, other);
}
