//! Streams with a peer that the test holds.

use std::{
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
};

use facade_engine::{Handle, Stream};

/// A Unix socket pair: the peer's blocking end, and the engine's.
pub fn pair(engine: &Handle) -> (UnixStream, Stream) {
    let (peer, ours) = UnixStream::pair().unwrap();
    (peer, engine.attach(ours).unwrap())
}

/// A TCP connection: the peer's blocking end, and the engine's.
pub fn tcp_pair(engine: &Handle) -> (TcpStream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    (peer, engine.attach(ours).unwrap())
}
