//! What sockets of Unix are asked, and those whose address is a path.

use std::{
    any::Any,
    io,
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::PathBuf,
};

use facade_engine::{Listener, Stream};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, recv, send},
};
use socket2::SockRef;
use tempfile::TempDir;

use super::{Peer, Sign};

/// What poll(2) says of an end. Only Linux says it of one with bytes in front of it; elsewhere those
/// are waited for.
#[cfg(target_os = "linux")]
const END: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const END: PollFlags = PollFlags::IN;

/// Waits until what the peer did last has reached this end.
pub fn wait_for(stream: &Stream, sign: Sign) {
    let flags = match sign {
        Sign::End => END,
        Sign::Reset => PollFlags::ERR,
    };
    poll(&mut [PollFd::new(stream, flags)], None).unwrap();
}

/// Waits until a connection that a client has made stands in the listener's queue: its last packet
/// may still be under way. Not for long, because a driver may have taken it out already.
pub fn wait_for_connection(listener: &Listener) {
    let not_long = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    // Interrupted where a ring takes it.
    _ = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&not_long));
}

/// Sends what the system takes without waiting.
pub(super) fn send_at_once(socket: &SockRef<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(&**socket, bytes, SendFlags::DONTWAIT)?)
}

/// Receives what is there, without waiting.
pub(crate) fn receive_at_once(socket: &impl AsFd, bytes: &mut [u8]) -> io::Result<usize> {
    Ok(recv(socket, bytes, RecvFlags::DONTWAIT)?.0)
}

/// Another descriptor of a stream's connection.
pub fn copy_of(stream: &Stream) -> TcpStream {
    stream.as_fd().try_clone_to_owned().unwrap().into()
}

/// Another descriptor of a listener's socket.
pub fn copy_of_listener(listener: &Listener) -> TcpListener {
    listener.as_fd().try_clone_to_owned().unwrap().into()
}

/// What was detached, if it was one end of a pair.
pub fn end_of_pair(detached: OwnedFd) -> Peer {
    detached.into()
}

/// What was detached, if it was a connection.
pub fn end_of_connection(detached: OwnedFd) -> TcpStream {
    detached.into()
}

/// What was detached, if it was a file.
pub fn detached_file(detached: OwnedFd) -> std::fs::File {
    detached.into()
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
