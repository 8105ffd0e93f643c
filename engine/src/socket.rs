//! Sockets as the engine wants them: non-blocking, closed on exec, without Nagle's delay.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with, sockopt,
};

use crate::{
    address::Address,
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

/// A TCP socket that listens. TCP_NODELAY is inherited by its connections.
pub(crate) fn listen_tcp(address: SocketAddr, sharing: Sharing) -> Result<OwnedFd> {
    let listening = || -> io::Result<OwnedFd> {
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
    };
    listening().map_err(|cause| Error::io("listen", cause))
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
    listening().map_err(|cause| Error::io("listen", cause))
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
