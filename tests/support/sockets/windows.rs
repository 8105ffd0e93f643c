//! What sockets of Windows are asked.

use std::{
    fs::File,
    io::{self, Read},
    net::{TcpListener, TcpStream},
    os::windows::io::{AsSocket, OwnedHandle, OwnedSocket},
};

use facade_engine::{Listener, Stream, os::OwnedDescriptor};
use socket2::SockRef;

use super::{Peer, Sign};
use crate::windows::wait_until_readable;

/// Waits until something of what the peer did last has reached this end. For the system an end and
/// a reset are readable, as are bytes before them, so it may be less than what the sign says.
pub fn wait_for(stream: &Stream, _: Sign) {
    wait_until_readable(stream);
}

/// A connection that a client has made stands in the listener's queue, or a driver has taken it out.
pub const fn wait_for_connection(_: &Listener) {}

/// Sends what the system takes without waiting. No flag of a call says that, so the socket is a
/// non-blocking one from then on, which the engine minds as little as it does elsewhere.
pub(super) fn send_at_once(socket: &SockRef<'_>, bytes: &[u8]) -> io::Result<usize> {
    socket.set_nonblocking(true)?;
    socket.send(bytes)
}

/// Receives what is there, without waiting. The socket is a blocking one before and after it.
pub(crate) fn receive_at_once(socket: &impl AsSocket, bytes: &mut [u8]) -> io::Result<usize> {
    let socket = SockRef::from(socket);
    socket.set_nonblocking(true)?;
    let received = (&*socket).read(bytes);
    socket.set_nonblocking(false)?;
    received
}

/// Another handle of a stream's connection.
pub fn copy_of(stream: &Stream) -> TcpStream {
    stream.as_socket().try_clone_to_owned().unwrap().into()
}

/// Another handle of a listener's socket.
pub fn copy_of_listener(listener: &Listener) -> TcpListener {
    listener.as_socket().try_clone_to_owned().unwrap().into()
}

/// What was detached, if it was one end of a pair.
pub fn end_of_pair(detached: OwnedDescriptor) -> Peer {
    end_of_connection(detached)
}

/// What was detached, if it was a connection.
pub fn end_of_connection(detached: OwnedDescriptor) -> TcpStream {
    OwnedSocket::try_from(detached).expect("a socket").into()
}

/// What was detached, if it was a file.
pub fn detached_file(detached: OwnedDescriptor) -> File {
    OwnedHandle::try_from(detached).expect("a handle of a file").into()
}
