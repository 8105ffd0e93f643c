//! Datagrams as futures: dropped at any moment, none loses what had arrived.

use std::time::Duration;

use facade_futures::{Datagram, Error, Result, Runtime, UdpSocket};
use facade_tests::{polls::poll_once, turns::turns};
use futures::{
    StreamExt,
    future::{join, join_all},
};

use super::driver::{self, UdpPeer, bind_udp};

const HERE: &str = "127.0.0.1:0";

fn runtime() -> (Runtime, UdpPeer, UdpSocket) {
    let runtime = Runtime::from(driver::engine());
    let socket = runtime.io().bind_udp(HERE).unwrap();
    (runtime, bind_udp(HERE).unwrap(), socket)
}

fn send(peer: &UdpPeer, text: &str, socket: &UdpSocket) {
    peer.send_to(text.as_bytes(), socket.local_addr().unwrap()).unwrap();
}

#[test]
fn one_task_receives_while_others_send() {
    let (runtime, _peer, server) = runtime();
    let io = runtime.io().clone();
    let (again, address) = (server.clone(), server.local_addr().unwrap());
    let serving = runtime.spawn(async move {
        while let Some(Ok(Datagram { bytes, from, .. })) = again.datagrams().next().await {
            again.send_to(bytes, from).await.unwrap();
        }
    });
    runtime.block_on(async {
        let clients = (0..20).map(|number| {
            let client = io.connect_udp(address).unwrap();
            async move {
                for round in 0..20 {
                    let text = format!("{number} {round}");
                    let (sent, received) = join(client.send(text.clone()), client.recv()).await;
                    assert_eq!(
                        (sent.unwrap(), &*received.unwrap().bytes),
                        (text.len(), text.as_bytes())
                    );
                }
            }
        });
        join_all(clients).await;
        server.close().await.unwrap();
        serving.await;
    });
}

#[test]
fn a_receive_that_is_dropped_loses_nothing() {
    let (runtime, peer, socket) = runtime();
    let engine = runtime.engine();
    for number in 0..60 {
        let mut receive = Box::pin(socket.recv_from());
        let polled = poll_once(&mut receive);
        assert!(polled.is_pending());
        match number % 4 {
            // Before anything has come; when it has; between its success and the next poll.
            0 => turns(engine, 2),
            1 => send(&peer, &number.to_string(), &socket),
            2 => {
                send(&peer, &number.to_string(), &socket);
                turns(engine, 3);
            }
            _ => {
                turns(engine, 2);
                send(&peer, &number.to_string(), &socket);
                turns(engine, 1);
            }
        }
        drop(receive);
        turns(engine, number % 3);
    }
    let expected: Vec<_> = (0..60).filter(|number| number % 4 > 0).map(|n| n.to_string()).collect();
    let came: Vec<Result<Datagram>> =
        runtime.block_on(socket.datagrams().take(expected.len()).collect());
    let came: Vec<_> =
        came.into_iter().map(|one| String::from_utf8(one.unwrap().bytes.into()).unwrap()).collect();
    assert_eq!(came, expected);
}

#[test]
fn a_timeout_is_not_the_end() {
    let (runtime, peer, socket) = runtime();
    runtime.block_on(async {
        let outcome = socket.recv().timeout(Duration::from_millis(2)).await;
        assert!(matches!(outcome, Err(Error::TimedOut)));
        send(&peer, "late", &socket);
        assert_eq!(socket.recv().await.unwrap().bytes, "late");
    });
}

#[test]
#[cfg(unix)]
fn the_stream_of_datagrams_ends_with_the_socket_and_not_before() {
    let runtime = Runtime::from(driver::engine());
    let gone = bind_udp(HERE).unwrap().local_addr().unwrap();
    let socket = runtime.io().connect_udp(gone).unwrap();
    runtime.block_on(async {
        let mut datagrams = socket.datagrams();
        socket.send("nobody?").await.unwrap();
        let refused = datagrams.next().await.unwrap().unwrap_err();
        assert!(matches!(refused, Error::Io { .. }), "{refused:?}");
        let peer = bind_udp(&gone.to_string()).unwrap();
        send(&peer, "here", &socket);
        assert_eq!(datagrams.next().await.unwrap().unwrap().bytes, "here");
        assert!(poll_once(&mut datagrams.next()).is_pending());
        socket.close().await.unwrap();
        assert!(matches!(datagrams.next().await, Some(Err(Error::Closed))));
        assert!(datagrams.next().await.is_none());
        assert!(futures::stream::FusedStream::is_terminated(&datagrams));
    });
}
