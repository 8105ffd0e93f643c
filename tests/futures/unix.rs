//! What only Unix has: children that only fork, and addresses that several engines share.

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Write, read_to_string},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    time::Duration,
};

use facade_engine::{IoOperation, ListenOptions};
use facade_futures::{Background, Error, Io, Listener, Runtime, Runtimes};
use facade_tests::{alone::alone, drops::Drops, forks::forked, polls::poll_once};
use futures::executor::block_on;

use super::driver;

/// Neither the engine nor its thread is there.
#[test]
fn a_future_in_the_child_of_a_fork_fails_and_is_not_waited_for() {
    let name = "a_future_in_the_child_of_a_fork_fails_and_is_not_waited_for";
    alone(module_path!(), name, || {
        let background = Background::new(driver::builder()).unwrap();
        let io = Io::clone(&background);
        let (one, mut other) = UnixStream::pair().unwrap();
        let mut stream = io.attach(one).unwrap();
        {
            let mut read = Box::pin(stream.read_line());
            let mut sleep = Box::pin(io.sleep(Duration::from_secs(3600)));
            assert!(poll_once(&mut read).is_pending() && poll_once(&mut sleep).is_pending());
            let mut ours = Some((background, read));
            assert!(forked(|| {
                let (background, read) = ours.take().unwrap();
                let forked = |error| assert!(matches!(error, Error::Forked), "{error}");
                block_on(read).map_err(forked).unwrap_err();
                drop(sleep);
                block_on(background.sleep(Duration::ZERO)).map_err(forked).unwrap_err();
                block_on(background.submit_work(|| ())).map_err(forked).unwrap_err();
                background.listen("127.0.0.1:0").map_err(forked).unwrap_err();
                drop(background);
            }));
            let (background, read) = ours.unwrap();
            other.write_all(b"line\n").unwrap();
            assert_eq!(block_on(read).unwrap(), "line");
            block_on(background.sleep(Duration::ZERO)).unwrap();
        }
    });
}

/// What a task holds is dropped where it runs.
#[test]
fn the_tasks_of_the_parent_are_left_alone_in_the_child_of_a_fork() {
    let name = "the_tasks_of_the_parent_are_left_alone_in_the_child_of_a_fork";
    alone(module_path!(), name, || {
        let mut runtime = Some(Runtime::from(driver::engine()));
        let (parents, drops) = (runtime.as_ref().unwrap(), Drops::new());
        let (token, local) = (drops.token(), drops.token());
        let task = parents.spawn(async move {
            futures::future::pending::<()>().await;
            drop(token);
        });
        let local = parents.spawn_local(async move {
            futures::future::pending::<()>().await;
            drop(local);
        });
        parents.block_on(parents.io().sleep(Duration::ZERO)).unwrap();
        let mut tasks = Some((task, local));
        assert!(forked(|| {
            let runtime = runtime.take().unwrap();
            // Each is woken by that, to be dropped.
            drop(tasks.take());
            let mine = drops.token();
            drop(runtime.spawn(async move { drop(mine) }));
            drop(runtime);
            assert_eq!(drops.alive(), 2);
        }));
        drop(tasks);
        drop(runtime);
        assert_eq!(drops.alive(), 0);
    });
}

#[test]
fn futures_accept_at_one_path() {
    let runtimes = Runtimes::from(driver::builder().build_engines(3).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let greet = async |_: Io, mut listener: Listener| {
        while let Ok(mut stream) = listener.accept().await {
            stream.write("hello").await.unwrap();
        }
    };
    runtimes.listen_unix(&path, greet).unwrap();
    let client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(read_to_string(client).unwrap(), "hello");
}

const COUNT: usize = 3;

#[test]
fn futures_serve_on_every_engine() {
    const CONNECTIONS: usize = 300;
    let runtimes = runtimes();
    let address = runtimes.listen("127.0.0.1:0", greet).unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..CONNECTIONS {
        seen.insert(read_to_string(TcpStream::connect(address).unwrap()).unwrap());
        if seen.len() == COUNT {
            drop(runtimes);
            let refused = TcpStream::connect(address).unwrap_err();
            return assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        }
    }
    panic!("after {CONNECTIONS} connections only {seen:?} have served");
}

#[test]
fn futures_serve_with_options() {
    let (one, other) = (runtimes(), runtimes());
    let options = ListenOptions::new().reuse_port(true);
    let address = one.listen_with("127.0.0.1:0", &options, greet).unwrap();
    assert_eq!(other.listen_with(address, &options, greet).unwrap(), address);
    assert!(!read_to_string(TcpStream::connect(address).unwrap()).unwrap().is_empty());
}

#[test]
fn an_address_in_use_is_an_error() {
    let runtimes = runtimes();
    let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
    let serve = async |_: Io, _: Listener| panic!("served");
    let refused = runtimes.listen(occupied.local_addr().unwrap(), serve).unwrap_err();
    let Error::Io { operation: IoOperation::Listen, cause } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(cause.kind(), ErrorKind::AddrInUse);
}

fn runtimes() -> Runtimes {
    Runtimes::from(driver::builder().build_engines(COUNT).unwrap())
}

/// Tells each client which engine it is.
async fn greet(io: Io, mut listener: Listener) {
    while let Ok(mut stream) = listener.accept().await {
        let greeting = format!("{:?}", io.handle());
        io.spawn(async move { stream.write(greeting).await }).detach();
    }
}
