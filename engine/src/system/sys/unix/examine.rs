//! Finds out what a descriptor is that the program brings, and prepares it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::{
    fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat},
    io::Errno,
    net::{AddressFamily, SocketType, getsockname, sockopt},
};

use crate::{
    pure::error::{Error, IoOperation, Result},
    system::{fd_kind::FdKind, sys::family},
};

/// What was found out about a descriptor that becomes a stream.
pub(crate) struct Examined {
    pub(crate) fd: OwnedFd,
    pub(crate) fd_kind: FdKind,
}

/// Finds out what a descriptor is and prepares it: sockets become non-blocking and without Nagle's
/// delay. Flags that others may share are left alone: a pipe or terminal is opened a second time
/// instead. If it is `exclusive` nobody does.
pub(crate) fn examine(fd: OwnedFd, exclusive: bool) -> Result<Examined> {
    let failed = failure_of(fd.as_raw_fd());
    let stat = fstat(&fd).map_err(failed)?;
    let (fd, fd_kind) = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Socket => {
            let tcp = examine_socket(fd.as_fd())?;
            set_nonblocking(fd.as_fd()).map_err(failed)?;
            (fd, FdKind::Socket { tcp })
        }
        FileType::RegularFile | FileType::BlockDevice => {
            let append = fcntl_getfl(&fd).map_err(failed)?.contains(OFlags::APPEND);
            (fd, FdKind::File { append })
        }
        FileType::Fifo => {
            let (fd, shared) = own(fd, exclusive)?;
            (fd, FdKind::Pipe { shared })
        }
        FileType::CharacterDevice if rustix::termios::isatty(&fd) => {
            let (fd, shared) = own(fd, exclusive)?;
            (fd, FdKind::Terminal { shared })
        }
        FileType::CharacterDevice => {
            if exclusive {
                set_nonblocking(fd.as_fd()).map_err(failed)?;
            }
            let shared = !fcntl_getfl(&fd).map_err(failed)?.contains(OFlags::NONBLOCK);
            (fd, FdKind::Device { shared })
        }
        FileType::Directory => return Err(Error::invalid("a directory is not a stream")),
        _ => return Err(Error::unsupported("this kind of file is not a stream")),
    };
    Ok(Examined { fd, fd_kind })
}

/// What an examination fails with if the system refuses.
fn failure_of(number: RawFd) -> impl Fn(Errno) -> Error + Copy {
    move |cause| Error::io_on(IoOperation::Attach, format_args!("descriptor {number}"), cause)
}

/// Checks that a socket is a connected stream. Returns whether it is TCP.
fn examine_socket(fd: BorrowedFd<'_>) -> Result<bool> {
    let failed = failure_of(fd.as_raw_fd());
    if sockopt::socket_type(fd).map_err(failed)? != SocketType::STREAM {
        return Err(Error::unsupported("only stream sockets are streams"));
    }
    if family::listens(fd).map_err(failed)? == Some(true) {
        return Err(Error::invalid("a listening socket is not a stream: use attach_listener"));
    }
    let tcp = is_tcp(fd).map_err(failed)?;
    family::prepare(fd, tcp).map_err(failed)?;
    Ok(tcp)
}

fn is_tcp(fd: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    let name = match getsockname(fd) {
        // Only macOS, of a socket that has ended both ways: nothing is sent by it any more.
        Err(Errno::INVAL) => return Ok(false),
        name => name?,
    };
    Ok([AddressFamily::INET, AddressFamily::INET6].contains(&name.address_family()))
}

fn set_nonblocking(fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let flags = fcntl_getfl(fd)?;
    if flags.contains(OFlags::NONBLOCK) {
        return Ok(());
    }
    fcntl_setfl(fd, flags | OFlags::NONBLOCK)
}

/// Gives a pipe or terminal flags of its own: they are, if it is `exclusive`, or it is opened
/// again. Returns whether they are still shared.
fn own(fd: OwnedFd, exclusive: bool) -> Result<(OwnedFd, bool)> {
    if !exclusive {
        return Ok(family::reopen(fd));
    }
    set_nonblocking(fd.as_fd()).map_err(failure_of(fd.as_raw_fd()))?;
    Ok((fd, false))
}

/// Has a file be read and written by position without moving the cursor of those who hold it: here
/// the calls do that, see pread(2).
pub(crate) const fn with_own_cursor(fd: OwnedFd) -> OwnedFd {
    fd
}

/// Checks that something is read and written by position. Returns whether it was opened for
/// appending.
pub(crate) fn examine_file(fd: BorrowedFd<'_>) -> Result<bool> {
    let failed = failure_of(fd.as_raw_fd());
    let stat = fstat(fd).map_err(failed)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::BlockDevice => {
            Ok(fcntl_getfl(fd).map_err(failed)?.contains(OFlags::APPEND))
        }
        _ => Err(Error::invalid("not a file with positions: attach makes a stream of it")),
    }
}

/// Checks that a socket listens for stream connections, makes it non-blocking, and without Nagle's
/// delay if it is TCP, which is returned.
pub(crate) fn examine_listener(fd: BorrowedFd<'_>) -> Result<bool> {
    let failed = |cause: Errno| match cause {
        Errno::NOTSOCK => Error::invalid("not a socket, so not a listener"),
        cause => failure_of(fd.as_raw_fd())(cause),
    };
    if family::listens(fd).map_err(failed)? == Some(false) {
        return Err(Error::invalid("the socket does not listen"));
    }
    if sockopt::socket_type(fd).map_err(failed)? != SocketType::STREAM {
        return Err(Error::unsupported("only stream sockets are listened on"));
    }
    set_nonblocking(fd).map_err(failed)?;
    let tcp = is_tcp(fd).map_err(failed)?;
    family::prepare(fd, tcp).map_err(failed)?;
    Ok(tcp)
}

/// Checks that a socket is one of datagrams, and makes it non-blocking. Returns whether it is a
/// Unix socket.
pub(crate) fn examine_datagrams(fd: BorrowedFd<'_>) -> Result<bool> {
    let failed = |cause: Errno| match cause {
        Errno::NOTSOCK => Error::invalid("not a socket, so not one of datagrams"),
        cause => failure_of(fd.as_raw_fd())(cause),
    };
    if sockopt::socket_type(fd).map_err(failed)? != SocketType::DGRAM {
        return Err(Error::invalid("not a socket of datagrams"));
    }
    let family = getsockname(fd).map_err(failed)?.address_family();
    let unix = family == AddressFamily::UNIX;
    if !unix && ![AddressFamily::INET, AddressFamily::INET6].contains(&family) {
        return Err(Error::unsupported("datagrams that are neither UDP nor Unix"));
    }
    set_nonblocking(fd).map_err(failed)?;
    Ok(unix)
}
