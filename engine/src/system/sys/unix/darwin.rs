//! What macOS has and FreeBSD does not, or otherwise. Where its man pages say nothing, the kernel's
//! source does (xnu), and the comment names the function.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::{
    fs::{OFlags, fcntl_fullfsync, fcntl_getfl, fcntl_setfl},
    io::{Errno, FdFlags, Result, dup2, fcntl_setfd, retry_on_intr},
    net::{AddressFamily, SendFlags, SocketType, socket, sockopt},
};

/// A peer that is gone is told by an error and not by a signal: of that SO_NOSIGPIPE takes care,
/// since there is no MSG_NOSIGNAL.
///
/// MSG_DONTWAIT keeps only receives from waiting (`sosendcheck` does not look at it): of a socket
/// that others have made a blocking one, a send waits.
pub(crate) const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT;

/// The most that one call takes: more is EINVAL, read(2) and write(2).
pub(crate) const CALL_MAX: usize = i32::MAX as usize;

/// Whether a read of nothing from a pipe may mean that nobody has opened it for writing yet. It
/// may, but no call tells: a FIFO is hung up before its first writer as well, and the first read of
/// nothing takes that back (`fifo_read`). So nothing is the end here.
pub(crate) const FIFO_WAITS_FOR_WRITER: bool = false;

/// Whether a read of a terminal fails with this when its other side is gone, or all of it
/// (ENXIO, read(2)).
pub(crate) const fn is_end_of_terminal(error: Errno) -> bool {
    matches!(error, Errno::IO | Errno::NXIO)
}

/// The highest number that a signal has: there are none for a program's own use, signal(3).
pub(crate) const fn last_signal() -> i32 {
    31
}

/// Brings a file to its medium: F_FULLFSYNC of fcntl(2), because fsync(2) leaves what is written in
/// the cache of the drive. Not every file system has it.
pub(crate) fn sync(fd: BorrowedFd<'_>) -> Result<()> {
    match retry_on_intr(|| fcntl_fullfsync(fd)) {
        Err(Errno::NOTSUP | Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL) => {
            retry_on_intr(|| rustix::fs::fsync(fd))
        }
        result => result,
    }
}

/// A new socket as the engine wants it. socket(2) takes no flags here: a program that another
/// thread starts between the two calls has a copy of the socket, as with [`accept`].
pub(crate) fn stream_socket(family: AddressFamily) -> Result<OwnedFd> {
    let fd = socket(family, SocketType::STREAM, None)?;
    make_own(&fd)?;
    sockopt::set_socket_nosigpipe(&fd, true)?;
    Ok(fd)
}

/// Takes one connection. There is no accept4(2): a program that another thread starts (fork(2) and
/// execve(2), or posix_spawn(2) without POSIX_SPAWN_CLOEXEC_DEFAULT) between accept(2) and fcntl(2)
/// has a copy of the connection, whose peer sees it end only when that program has ended, too.
pub(crate) fn accept(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    let connection = rustix::net::accept(fd)?;
    make_own(&connection)?;
    // Handed down by the listener already (`sonewconn_internal`), which no man page promises. It is
    // refused for what has ended in the meantime, and may have brought bytes that are still unread.
    let _ = sockopt::set_socket_nosigpipe(&connection, true);
    Ok(connection)
}

/// Sets what socket(2) and accept4(2) set by flags elsewhere.
fn make_own(fd: &OwnedFd) -> Result<()> {
    fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)
}

/// Whether a socket is connected, which an event may say too early. One that was, and has ended
/// both ways since, has no peer any more (EINVAL, getpeername(2)): its reads tell how it ended.
pub(crate) fn is_connected(fd: BorrowedFd<'_>) -> Result<bool> {
    match rustix::net::getpeername(fd) {
        Ok(_) | Err(Errno::INVAL) => Ok(true),
        Err(Errno::NOTCONN) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Has the system share the address of a socket with others that have this. It spreads no
/// connections over them: getsockopt(2) speaks of datagrams only.
pub(crate) fn share_address(fd: BorrowedFd<'_>) -> Result<()> {
    sockopt::set_socket_reuseport(fd, true)
}

/// Whether a socket listens; none if the system does not tell. SO_ACCEPTCONN has a number but no
/// answer (`sogetoptlock`), so only a socket with a peer is known not to listen.
pub(crate) fn listens(fd: BorrowedFd<'_>) -> Result<Option<bool>> {
    match is_connected(fd) {
        Ok(true) => Ok(Some(false)),
        Ok(false) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a socket of the program's needs besides being non-blocking: to send at once, and no signal
/// where nobody receives.
pub(crate) fn prepare(fd: BorrowedFd<'_>, tcp: bool) -> Result<()> {
    let nodelay = |()| if tcp { sockopt::set_tcp_nodelay(fd, true) } else { Ok(()) };
    match sockopt::set_socket_nosigpipe(fd, true).and_then(nodelay) {
        // It has ended both ways, setsockopt(2): nothing can be sent to it, but it may have bytes.
        Err(Errno::INVAL) => Ok(()),
        result => result,
    }
}

/// Has another number lead to this open file, closing what it led to. There is no dup3(2): a
/// program that another thread starts between the two calls has a copy of the null device.
pub(crate) fn replace(fd: BorrowedFd<'_>, number: &mut OwnedFd) -> Result<()> {
    dup2(fd, number)?;
    fcntl_setfd(number, FdFlags::CLOEXEC)
}
