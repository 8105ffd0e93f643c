//! Streams with a peer that the test holds, of a real system.
//!
//! A pair is a Unix socket pair, where the system has such, and elsewhere a TCP connection. Built
//! with `--cfg facade_tcp_pairs` it is one everywhere, so that whoever has only Linux sees which
//! test takes a pair for more than a connection.

use std::{
    any::Any,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::mpsc,
    thread,
    time::Duration,
};

use facade_engine::{Callback, Handle, Stream};
use socket2::SockRef;

#[cfg_attr(any(windows, facade_tcp_pairs), path = "sockets/tcp_pairs.rs")]
#[cfg_attr(not(any(windows, facade_tcp_pairs)), path = "sockets/unix_pairs.rs")]
mod pairs;

#[cfg_attr(windows, path = "sockets/windows.rs")]
#[cfg_attr(not(windows), path = "sockets/unix.rs")]
mod system;

pub use self::{
    pairs::{PAIRS_ARE_TCP, Peer, full_pair, listen_for_many, socket_pair, wide_pair},
    system::*,
};

/// The other end of a TCP connection.
pub type TcpPeer = TcpStream;
/// Whoever listens for the engine's connects.
pub type PeerListener = TcpListener;

/// Whoever sends datagrams to the engine, and receives them.
pub type UdpPeer = UdpSocket;

/// What the peer did, for [`wait_for`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It has ended what it sends.
    End,
    /// It has reset the connection.
    Reset,
}

/// A pair: the peer's blocking end, and the engine's.
pub fn pair(engine: &Handle) -> (Peer, Stream) {
    let (peer, ours) = socket_pair();
    (peer, engine.attach_exclusive(ours).unwrap())
}

/// A TCP connection: the peer's blocking end, and ours.
pub fn connection() -> (TcpPeer, TcpStream) {
    let listener = bind();
    let peer = connect(listener.local_addr().unwrap()).unwrap();
    (peer, listener.accept().unwrap().0)
}

/// A TCP connection: the peer's blocking end, and the engine's.
pub fn tcp_pair(engine: &Handle) -> (TcpPeer, Stream) {
    let (peer, ours) = connection();
    (peer, engine.attach_exclusive(ours).unwrap())
}

/// Fills the way to the peer: the engine finds no room until the peer has read.
pub fn fill(peer: &TcpPeer, stream: &Stream) {
    stuff_tcp(peer, stream);
}

/// Fills a connection of TCP for good; returns how many bytes that took. Nothing may wait to be
/// received at our end.
///
/// The system passes on what it was given in its own time, and finds room as it hears from the
/// peer. So the peer speaks, and only when the system refuses after each of many words it is full.
/// Even then a segment that the other end had no room for is sent again when its time has come, and
/// found room for: so our end's buffer is made far smaller than what it holds.
fn stuff_tcp<S>(mut peer: &TcpPeer, ours: &S) -> usize
where
    for<'a> SockRef<'a>: From<&'a S>,
{
    const REFUSALS: usize = 100;
    let socket = SockRef::from(ours);
    let (mut stuffed, mut refusals) = (0, 0);
    while refusals < REFUSALS {
        let more = stuff(&socket);
        stuffed += more;
        refusals = if more == 0 { refusals + 1 } else { 0 };
        peer.write_all(b"?").unwrap();
        while (&*socket).read(&mut [0]).is_err() {
            thread::yield_now();
        }
    }
    // As small as the system lets it be.
    socket.set_send_buffer_size(1).unwrap();
    stuffed
}

/// Sends as long as the system takes any without waiting; returns how many bytes it took.
///
/// To the last byte, since a large block may not fit where a small one does. But a large one is tried
/// after each small one: the system may have found room meanwhile, and byte by byte that takes
/// minutes to fill.
fn stuff(socket: &SockRef<'_>) -> usize {
    let (mut stuffed, block) = (0, [0; 4096]);
    while let Ok(count) =
        send_at_once(socket, &block).or_else(|_full| send_at_once(socket, &block[..1]))
    {
        stuffed += count;
    }
    stuffed
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

/// A socket of datagrams at an address. A receive that would hang fails.
///
/// # Errors
///
/// If the address cannot be had.
pub fn bind_udp(address: &str) -> io::Result<UdpPeer> {
    let socket = UdpSocket::bind(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(socket)
}
