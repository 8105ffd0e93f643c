//! Runtimes, a group of engines: futures that serve on several.

use std::{
    io::{Write, read_to_string},
    net::{TcpListener, TcpStream},
    panic::AssertUnwindSafe,
    time::Duration,
};

use facade_engine::{Detached, TaskPanic};
use facade_futures::{Io, Listener, Runtimes};
use futures::{FutureExt as _, executor::block_on};

use super::driver;

const COUNT: usize = 3;

/// Longer than anything here takes, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn futures_accept_from_one_socket() {
    let runtimes = runtimes();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    runtimes.attach_listener(socket, greet).unwrap();
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(!read_to_string(client).unwrap().is_empty());
}

#[test]
fn a_stream_moves_from_engine_to_engine() {
    let runtimes = runtimes();
    let [one, other, ..] = runtimes.ios() else { unreachable!("there are {COUNT}") };
    let (mut peer, ours) = driver::socket_pair();
    peer.write_all(b"here\nthere\n").unwrap();
    let mut stream = one.attach(ours).unwrap();
    block_on(async {
        assert_eq!(stream.read_line().await.unwrap(), "here");
        let detached: Detached = stream.detach().await.unwrap();
        let mut stream = other.attach_detached(detached).unwrap();
        assert_eq!(stream.read_line().await.unwrap(), "there");
    });
}

/// Whatever is to become of a task's panic: there is no run of the program's to end.
#[test]
fn a_tasks_panic_ends_no_engine() {
    for task_panic in [TaskPanic::EndsTask, TaskPanic::EndsRun] {
        let engines = driver::builder().task_panic(task_panic).build_engines(COUNT).unwrap();
        let runtimes = Runtimes::from(engines);
        for io in runtimes.ios() {
            let panics = io.spawn(async { panic!("a task") });
            let panics = AssertUnwindSafe(panics).catch_unwind();
            assert!(block_on(panics).is_err());
            assert_eq!(block_on(io.spawn(async { 6 * 7 })), 42);
        }
    }
}

#[test]
fn runtimes_end_when_they_are_stopped() {
    let runtimes = runtimes();
    let io = runtimes.ios()[0].clone();
    runtimes.engines().stop();
    runtimes.join().unwrap();
    assert!(io.handle().is_closed());
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
