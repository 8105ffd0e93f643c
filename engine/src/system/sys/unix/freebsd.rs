//! What FreeBSD has and macOS does not, or otherwise.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::{
    io::{DupFlags, Errno, Result, dup3, retry_on_intr},
    net::{AddressFamily, SendFlags, SocketFlags, SocketType, accept_with, socket_with, sockopt},
};

/// A peer that is gone is told by an error and not by a signal. And a socket that others hold, too,
/// may have been made a blocking one by them. Both are flags of send(2).
pub(crate) const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

/// The most that one call takes: as much as can be counted, read(2).
pub(crate) const CALL_MAX: usize = isize::MAX as usize;

/// Whether a read of nothing from a pipe may mean that nobody has opened it for writing yet. A FIFO
/// then reads as if the last writer had gone, and only poll(2) that asks for input tells the two
/// apart (`pipe_poll` of the kernel: by the generation of the writers).
pub(crate) const FIFO_WAITS_FOR_WRITER: bool = true;

/// Whether a read of a terminal fails with this when its other side is gone, or all of it
/// (ENXIO, `ttydev_enter` of the kernel).
pub(crate) const fn is_end_of_terminal(error: Errno) -> bool {
    matches!(error, Errno::IO | Errno::NXIO)
}

/// The highest number that a signal has: SIGRTMAX.
pub(crate) const fn last_signal() -> i32 {
    126
}

/// Brings a file to its medium, fsync(2).
pub(crate) fn sync(fd: BorrowedFd<'_>) -> Result<()> {
    retry_on_intr(|| rustix::fs::fsync(fd))
}

const NEW_SOCKET: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// A new socket as the engine wants it, socket(2).
pub(crate) fn stream_socket(family: AddressFamily) -> Result<OwnedFd> {
    socket_with(family, SocketType::STREAM, NEW_SOCKET, None)
}

/// Takes one connection: accept4(2).
pub(crate) fn accept(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    accept_with(fd, NEW_SOCKET)
}

/// Whether a socket is connected, which an event may say too early.
pub(crate) fn is_connected(fd: BorrowedFd<'_>) -> Result<bool> {
    match rustix::net::getpeername(fd) {
        Ok(_) => Ok(true),
        Err(Errno::NOTCONN) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Has the system share the address of a socket with others that have this, and spread connections
/// over them. SO_REUSEPORT alone would share it and give all connections to one of them,
/// setsockopt(2). Not all systems of this family know the other.
pub(crate) fn share_address(fd: BorrowedFd<'_>) -> Result<()> {
    #[cfg(target_os = "freebsd")]
    return sockopt::set_socket_reuseport_lb(fd, true);
    #[cfg(not(target_os = "freebsd"))]
    sockopt::set_socket_reuseport(fd, true)
}

/// Whether a socket listens; none if the system does not tell. See getsockopt(2).
pub(crate) fn listens(fd: BorrowedFd<'_>) -> Result<Option<bool>> {
    sockopt::socket_acceptconn(fd).map(Some)
}

/// What a socket of the program's needs besides being non-blocking: to send at once.
pub(crate) fn prepare(fd: BorrowedFd<'_>, tcp: bool) -> Result<()> {
    if tcp { sockopt::set_tcp_nodelay(fd, true) } else { Ok(()) }
}

/// Has another number lead to this open file, closing what it led to: dup3(3).
pub(crate) fn replace(fd: BorrowedFd<'_>, number: &mut OwnedFd) -> Result<()> {
    dup3(fd, number, DupFlags::CLOEXEC)
}
