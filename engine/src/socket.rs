//! Sockets as the engine wants them: non-blocking, closed on exec, without Nagle's delay.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    thread,
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with, sockopt,
    },
};

use crate::{
    address::Address,
    core::now,
    error::{Error, Result},
};

/// How many connections the system keeps waiting; Linux cuts it down to
/// `/proc/sys/net/core/somaxconn`.
const BACKLOG: i32 = 4096;

/// A socket to connect to this address with.
pub(crate) fn for_connecting(address: &Address) -> io::Result<OwnedFd> {
    match address {
        Address::Inet(address) => tcp(*address),
        _ => unix(),
    }
}

/// Who else may listen at the address of a TCP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Nobody.
    Nobody,
    /// Nobody may already; from now on others that share it may.
    First,
    /// Others that share it, now and later.
    Others,
}

/// How long an address may still be in use that a process listened at which has just ended. The
/// kernel ends a ring after its process, and the sockets that it has in hand with it: 5 to 40 ms
/// later, and on a busy machine more than 100 (measured on Linux 6.18).
const RING_ENDS: Duration = Duration::from_millis(250);

/// A TCP socket that listens. TCP_NODELAY is inherited by its connections. If the process before may
/// have had a ring, an address that is in use is tried again for as long as the kernel may need.
pub(crate) fn listen_tcp(
    address: SocketAddr,
    sharing: Sharing,
    behind_ring: bool,
) -> Result<OwnedFd> {
    let until = now() + if behind_ring { RING_ENDS } else { Duration::ZERO };
    let mut pause = Duration::from_micros(500);
    loop {
        match try_to_listen_tcp(address, sharing) {
            Err(error) if is_in_use(&error) && now() < until => wait(pause),
            listening => return listening.map_err(|cause| Error::io_on("listen", address, cause)),
        }
        pause = (pause * 2).min(Duration::from_millis(8));
    }
}

fn is_in_use(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::ADDRINUSE)
}

#[expect(clippy::disallowed_methods, reason = "nothing tells when an address is free again")]
fn wait(pause: Duration) {
    thread::sleep(pause);
}

fn try_to_listen_tcp(address: SocketAddr, sharing: Sharing) -> io::Result<OwnedFd> {
    let fd = tcp(address)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    if sharing == Sharing::Others {
        sockopt::set_socket_reuseport(&fd, true)?;
    }
    bind(&fd, &address)?;
    if sharing == Sharing::First {
        // Only now, so that an address which others share is found to be in use.
        sockopt::set_socket_reuseport(&fd, true)?;
    }
    listen(&fd, BACKLOG)?;
    Ok(fd)
}

/// A Unix socket that listens.
pub(crate) fn listen_unix(path: &Path) -> Result<OwnedFd> {
    // An empty path would be no file at all, but a name that the system makes up.
    Address::from(path).to_system()?;
    let listening = || -> io::Result<OwnedFd> {
        let fd = unix()?;
        bind(&fd, &SocketAddrUnix::new(path)?)?;
        listen(&fd, BACKLOG)?;
        Ok(fd)
    };
    listening().map_err(|cause| Error::io_on("listen", path.display(), cause))
}

fn tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = stream_socket(family)?;
    sockopt::set_tcp_nodelay(fd.as_fd(), true)?;
    Ok(fd)
}

fn unix() -> io::Result<OwnedFd> {
    stream_socket(AddressFamily::UNIX)
}

fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(socket_with(family, SocketType::STREAM, flags, None)?)
}
