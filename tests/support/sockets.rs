//! Streams with a peer that the test holds, of a real system.

use std::{
    any::Any,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    sync::mpsc,
};

use facade_engine::{Callback, Handle, Stream};
use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{AddressFamily, SendFlags, SocketAddrUnix, SocketType, send, sockopt},
};
use tempfile::TempDir;

/// The other end of a pair.
pub type Peer = UnixStream;
/// The other end of a TCP connection.
pub type TcpPeer = TcpStream;
/// Whoever listens for the engine's connects.
pub type PeerListener = TcpListener;

/// A Unix socket pair: the peer's blocking end, and the engine's.
pub fn pair(engine: &Handle) -> (Peer, Stream) {
    let (peer, ours) = UnixStream::pair().unwrap();
    (peer, engine.attach_exclusive(ours).unwrap())
}

/// A pair that takes much at once, in both directions.
pub fn wide_pair(engine: &Handle) -> (Peer, Stream) {
    let (peer, stream) = pair(engine);
    sockopt::set_socket_send_buffer_size(&stream, 4 << 20).unwrap();
    stream.set_exclusive(true);
    sockopt::set_socket_send_buffer_size(&peer, 4 << 20).unwrap();
    (peer, stream)
}

/// Fills the way to the peer, so that the engine's next write finds no room.
pub fn fill(_: &TcpPeer, stream: &Stream) {
    while send(stream, &[0; 4096], SendFlags::DONTWAIT).is_ok() {}
}

/// A TCP connection: the peer's blocking end, and the engine's.
pub fn tcp_pair(engine: &Handle) -> (TcpPeer, Stream) {
    let listener = bind();
    let peer = connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    (peer, engine.attach_exclusive(ours).unwrap())
}

/// A Unix socket pair whose way to the peer is full, and how many bytes fill it: the system takes
/// nothing until the peer has read them.
pub fn full_pair(engine: &Handle) -> (Peer, Stream, usize) {
    let (peer, ours) = UnixStream::pair().unwrap();
    let (mut stuffed, block) = (0, [0; 4096]);
    // To the last byte: a large block may not fit where a small one does.
    for len in [block.len(), 1] {
        while let Ok(count) = send(&ours, &block[..len], SendFlags::DONTWAIT) {
            stuffed += count;
        }
    }
    (peer, engine.attach_exclusive(ours).unwrap(), stuffed)
}

/// Listens at a path for an engine's connects. The listener goes with what is returned first;
/// nobody accepts.
pub fn bind_unix() -> (impl Any, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    ((UnixListener::bind(&path).unwrap(), folder), path)
}

/// Somebody who listens at a path and whose backlog is full.
#[derive(Debug)]
pub struct FullUnix {
    listener: OwnedFd,
    /// Those who fill it.
    clients: Vec<OwnedFd>,
    _folder: TempDir,
}

impl FullUnix {
    /// Lets in everybody who waits. What they connected goes with them.
    pub fn make_room(&mut self) {
        self.clients.clear();
        while rustix::net::accept(&self.listener).is_ok() {}
    }
}

/// The same, but nobody can connect: the backlog is full.
pub fn bind_full_unix() -> (FullUnix, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let address = SocketAddrUnix::new(&path).unwrap();
    let socket = || {
        let fd = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::io::ioctl_fionbio(&fd, true).unwrap();
        fd
    };
    let listener = socket();
    rustix::net::bind(&listener, &address).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let mut clients = Vec::new();
    loop {
        let client = socket();
        let connected = rustix::net::connect(&client, &address);
        clients.push(client);
        if connected.is_err() {
            return (FullUnix { listener, clients, _folder: folder }, path);
        }
    }
}

/// Submits work that does not end before what is returned is dropped.
pub fn stuck_work(engine: &Handle, cb: Callback<()>) -> impl Any {
    let (release, released) = mpsc::channel::<()>();
    engine.submit_work(move || _ = released.recv(), cb);
    release
}

/// How many descriptors are open.
pub use crate::alone::descriptors;

/// Connects to an engine.
///
/// # Errors
///
/// If nobody listens.
pub fn connect(address: SocketAddr) -> io::Result<TcpPeer> {
    TcpStream::connect(address)
}

/// Listens for an engine's connects.
pub fn bind() -> PeerListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Waits until what the peer did last has reached this end.
pub fn wait_for(stream: &Stream, flags: PollFlags) {
    poll(&mut [PollFd::new(stream, flags)], None).unwrap();
}
