//! Unix sockets of a real system: their files, sockets of std, names that are no files, and engines
//! that share one.

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read, read_to_string},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
    },
    time::Duration,
};

use facade_engine::{Address, Callback, Error, IoOperation, Listener, Local, Result};
use facade_tests::{
    alone::{alone, descriptors},
    told::{Basket, Told, brief},
    turns::{turn_until, turns},
};

use super::driver::{self, pass};

const COUNT: usize = 3;

/// Longer than anything here takes, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn listen_unix_never_unlinks() {
    let engine = driver::engine();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = engine.listen_unix(&path).unwrap();
    let told = Told::new();
    engine.accept(&listener, told.callback("accept"));
    let client = UnixStream::connect(&path).unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["accept Ok"]);
    engine.close(&listener, told.callback("close"));
    engine.run().unwrap();
    drop((listener, client));
    assert!(path.exists(), "what is left behind is for the program to remove");
    let error = engine.listen_unix(&path).unwrap_err();
    let Error::Io { operation, cause } = error else { panic!("{error:?}") };
    assert_eq!((operation, cause.kind()), (IoOperation::Listen, ErrorKind::AddrInUse));
    assert!(path.exists());
}

#[test]
fn a_unix_listener_of_std_and_the_engines_connect_meet() {
    let engine = driver::engine();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = engine.attach_listener(UnixListener::bind(&path).unwrap()).unwrap();
    let told = Told::new();
    engine.accept_then_write(
        &listener,
        "hello\n",
        (told.callback("accept"), told.callback("write")),
    );
    let greeting = (told.callback("connect"), told.value("line"));
    engine.connect_then_expect_line(path.as_path(), "hello", greeting);
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["accept Ok", "connect Ok", "line b\"hello\"", "write Ok"]);
}

/// Linux has Unix sockets whose names are no files.
#[test]
fn a_connect_to_an_abstract_name() {
    let name = format!("facade-tests-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let engine = driver::engine();
    let connected = Basket::new();
    engine.connect(address, connected.callback());
    engine.run().unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let streams = connected.take();
    assert!(matches!(streams[0].peer_name().unwrap(), Address::UnixAbstract(_)));
    drop(accepted);
}

#[test]
fn promise_09_a_unix_socket_with_a_full_backlog_is_tried_again_and_can_be_given_up() {
    let engine = driver::engine();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let kernel = {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
        let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&fd, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&fd, 0).unwrap();
        UnixListener::from(fd)
    };
    let _first = UnixStream::connect(&path).unwrap();
    let told = Told::new();
    let cancel = engine.connect(path.clone(), told.callback("cancelled"));
    let time = Duration::from_millis(25);
    engine.connect(path.clone(), told.timeout(time).callback("expired"));
    engine.connect(path.clone(), told.callback("patient"));
    turns(&engine, 3);
    cancel.cancel();
    pass(time);
    turns(&engine, 2);
    assert_eq!(told.take(), ["cancelled Cancelled", "expired TimedOut"]);
    kernel.accept().unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["patient Ok"]);
}

#[test]
fn engines_listen_at_one_path() {
    let engines = driver::builder().build_engines(COUNT).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    engines.listen_unix(&path, greet_one).unwrap();
    every_engine_greets_one(|| {
        let client = UnixStream::connect(&path).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    });
    let again = engines.listen_unix(&path, |_, _| panic!("served")).unwrap_err();
    assert_eq!(brief(&again), "Io(listen, AddrInUse)");
    assert!(path.exists(), "it is another's");
    drop(engines);
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// Each takes one and no more, so that as many clients as engines are answered by all of them.
fn every_engine_greets_one<C: Read>(connect: impl Fn() -> C) {
    let clients: Vec<_> = (0..COUNT).map(|_| connect()).collect();
    let seen: BTreeSet<_> = clients.into_iter().map(|c| read_to_string(c).unwrap()).collect();
    assert_eq!(seen.len(), COUNT, "{seen:?}");
}

/// Accepts one, tells it which engine it is, and goes on listening.
fn greet_one(engine: &Local, listener: Listener) {
    let greeting = format!("{:?}", engine.handle());
    engine.accept_then_write(&listener, greeting, (Callback::ignore(), Callback::ignore()));
    engine.sleep(Duration::MAX, Callback::from_fn(move |_, _: Result<()>| drop(listener)));
}

#[test]
fn datagrams_of_a_unix_socket_are_no_stream() {
    let engine = driver::engine();
    let (one, _other) = UnixDatagram::pair().unwrap();
    assert!(matches!(engine.attach(one), Err(Error::Unsupported { .. })));
}

#[test]
fn promise_09_a_cancelled_connect_to_a_path_leaks_no_descriptor_and_is_closed() {
    let name = "promise_09_a_cancelled_connect_to_a_path_leaks_no_descriptor_and_is_closed";
    alone(module_path!(), name, || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let kernel = UnixListener::bind(&path).unwrap();
        let engine = driver::engine();
        let before = descriptors();
        for turns_before in 0..4 {
            let cancel = engine.connect(path.as_path(), Callback::ignore());
            turns(&engine, turns_before);
            cancel.cancel();
            engine.run().unwrap();
            engine.connect(path.as_path(), Told::new().timeout(Duration::ZERO).callback("connect"));
            engine.run().unwrap();
        }
        turn_until(&engine, || descriptors() == before);
        kernel.set_nonblocking(true).unwrap();
        let mut made = 0;
        while let Ok((mut connection, _)) = kernel.accept() {
            connection.set_nonblocking(false).unwrap();
            assert_eq!(connection.read(&mut [0]).unwrap_or(0), 0);
            made += 1;
        }
        assert!(made > 0);
    });
}
