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

/// A TCP socket that listens. TCP_NODELAY is inherited by its connections.
pub(crate) fn listen_tcp(address: SocketAddr, reuse_port: bool) -> Result<OwnedFd> {
    let listening = || -> io::Result<OwnedFd> {
        let fd = tcp(address)?;
        sockopt::set_socket_reuseaddr(&fd, true)?;
        if reuse_port {
            sockopt::set_socket_reuseport(&fd, true)?;
        }
        bind(&fd, &address)?;
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
