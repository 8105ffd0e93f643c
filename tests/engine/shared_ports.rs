//! An address that several engines listen at, each with a socket of its own.

use std::{
    collections::BTreeSet,
    io::read_to_string,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use facade_engine::{Callback, Engines, Error, ListenOptions, Listener, Local, Result, Stream};
use facade_tests::{alone::alone, told::brief};

use super::driver::{self, descriptors};

const COUNT: usize = 3;

/// Longer than anything here takes, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than any spread of connections needs to reach every engine.
const CONNECTIONS: usize = 300;

#[test]
fn every_engine_serves_some_of_many_connections() {
    let engines = engines();
    let address = engines.listen(any_port(), greet).unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..CONNECTIONS {
        seen.insert(read_to_string(TcpStream::connect(address).unwrap()).unwrap());
        if seen.len() == COUNT {
            return;
        }
    }
    panic!("after {CONNECTIONS} connections only {seen:?} have served");
}

#[test]
fn a_group_listens_with_options_and_at_no_path() {
    let (one, other) = (engines(), engines());
    for (refused, named) in [
        (one.listen(Path::new("/run/x"), greet), "/run/x"),
        (one.listen("localhost:0", greet), "localhost:0"),
    ] {
        match refused.unwrap_err() {
            Error::InvalidInput { what } => assert!(what.contains(named), "{what}"),
            error => panic!("{error:?}"),
        }
    }
    let options = ListenOptions::new().reuse_port(true).nodelay(false);
    let address = one.listen_with("127.0.0.1:0", &options, greet).unwrap();
    assert_eq!(other.listen_with(address, &options, greet).unwrap(), address);
    assert!(matches!(other.listen(address, greet), Err(Error::Io { .. })));
    assert!(!read_to_string(TcpStream::connect(address).unwrap()).unwrap().is_empty());
}

#[test]
fn port_0_is_one_port_for_all() {
    let engines = engines();
    let (sender, receiver) = mpsc::channel();
    let tell = move |_: &Local, listener: Listener| {
        sender.send(listener.local_addr().unwrap()).unwrap();
    };
    let address = engines.listen(any_port(), tell).unwrap();
    assert_ne!(address.port(), 0);
    for _ in 0..COUNT {
        assert_eq!(next(&receiver), address);
    }
}

#[test]
fn an_address_in_use_is_an_error_and_leaves_nothing_behind() {
    let name = "an_address_in_use_is_an_error_and_leaves_nothing_behind";
    alone(module_path!(), name, || {
        let (engines, others) = (engines(), engines());
        let occupied = TcpListener::bind(any_port()).unwrap();
        let before = descriptors();
        let address = occupied.local_addr().unwrap();
        let error = engines.listen(address, |_, _| panic!("served")).unwrap_err();
        assert_eq!(brief(&error), "Io(listen, AddrInUse)");
        assert_eq!(descriptors(), before);
        drop(occupied);
        engines.listen(address, greet).unwrap();
        // They share it among themselves, not with whoever comes.
        let error = others.listen(address, |_, _| panic!("served")).unwrap_err();
        assert_eq!(brief(&error), "Io(listen, AddrInUse)");
    });
}

fn engines() -> Engines {
    driver::builder().build_engines(COUNT).unwrap()
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Accepts for ever, and tells each client which engine it is.
fn greet(engine: &Local, listener: Listener) {
    let next = listener.clone();
    let accepted = Callback::from_fn(move |engine: &Local, stream: Result<Stream>| {
        if let Ok(stream) = stream {
            engine.write(&stream, format!("{:?}", engine.handle()), Callback::ignore());
            greet(engine, next);
        }
    });
    engine.accept(&listener, accepted);
}

#[track_caller]
fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(PATIENCE).expect("something is told in time")
}
