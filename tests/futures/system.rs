//! What only a real system has: sockets of std.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use facade_engine::Detached;
use facade_futures::{Background, Io, Runtime, Stream};
use facade_tests::polls::in_time;
use futures::future::join_all;

use super::driver::{self, pair};

#[test]
fn a_stream_is_detached_with_what_nobody_has_read() {
    let runtime = Runtime::from(driver::engine());
    let (mut peer, stream) = pair(runtime.engine());
    peer.write_all(b"read\nunread").unwrap();
    let mut stream = Stream::from(stream);
    runtime.block_on(async {
        assert_eq!(stream.read_line().await.unwrap(), "read");
        let Detached { unread, .. } = stream.detach().await.unwrap();
        assert_eq!(unread, "unread");
    });
}

#[test]
fn what_std_opened_is_attached() {
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io();
    runtime.block_on(async {
        let std = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut listener = io.attach_listener(std).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut client = io.attach(client).unwrap();
        let mut server = listener.accept().await.unwrap();
        server.write_line("attached").await.unwrap();
        assert_eq!(client.read_line().await.unwrap(), "attached");
    });
}

/// Ten thousand operations from tokio's threads: none is forgotten.
#[test]
fn no_wake_up_is_lost_between_threads() {
    const TASKS: usize = 8;
    const ROUNDS: usize = 250;
    let background = Background::new(driver::builder()).unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(3).build().unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let io = Io::clone(&background);
            tokio.spawn(async move {
                let (one, other) = driver::socket_pair();
                let (mut one, mut other) = (io.attach(one).unwrap(), io.attach(other).unwrap());
                for round in 0..ROUNDS {
                    let line = format!("{task} {round}");
                    one.write_line(line.clone()).await.unwrap();
                    assert_eq!(other.read_line().await.unwrap(), line);
                    other.write(line.clone()).await.unwrap();
                    assert_eq!(one.read_exact(line.len()).await.unwrap(), line);
                    io.sleep(Duration::ZERO).await.unwrap();
                }
            })
        })
        .collect();
    tokio.block_on(in_time(&background, async {
        for outcome in join_all(tasks).await {
            outcome.unwrap();
        }
    }));
}

/// Reads that were dropped take nothing of what another holder waits for, and a stream that is
/// dropped ends its own copy only.
#[test]
fn another_holder_of_a_connection_goes_on_without_us() {
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    let mut copy = ours.try_clone().unwrap();
    runtime.block_on(async {
        let mut stream = io.attach(ours).unwrap();
        for round in 0..3 {
            peer.write_all(b"ours\n").unwrap();
            assert_eq!(stream.read_line().await.unwrap(), "ours");
            let read = stream.read_line();
            assert!(futures::poll!(std::pin::pin!(read)).is_pending());
            // A turn, so that the read that was dropped is out of the system's hands.
            io.sleep(Duration::from_millis(1)).await.unwrap();
            peer.write_all(b"the copy's\n").unwrap();
            io.sleep(Duration::from_millis(1)).await.unwrap();
            let mut line = [0; 11];
            copy.read_exact(&mut line).unwrap_or_else(|error| panic!("{round}: {error}"));
            assert_eq!(&line, b"the copy's\n");
        }
        stream.write_line("goes out").await.unwrap();
        drop(stream);
    });
    runtime.engine().run().unwrap();
    copy.write_all(b"and on\n").unwrap();
    drop(copy);
    let mut all = String::new();
    peer.read_to_string(&mut all).unwrap();
    assert_eq!(all, "goes out\r\nand on\n");
}
