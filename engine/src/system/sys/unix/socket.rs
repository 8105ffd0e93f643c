//! Sockets as the engine wants them: non-blocking, closed on exec, without Nagle's delay.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, bind, listen, sockopt},
};
use socket2::Socket;

use crate::{
    pure::{
        address::Address,
        error::{Error, IoOperation, Result},
        options::{ConnectOptions, ListenOptions, Sharing},
    },
    system::sys::{address, family},
};

pub(crate) use family::ENGINES_SHARE_A_SOCKET;

/// A socket to connect to this address with.
pub(crate) fn for_connecting(address: &Address, options: &ConnectOptions) -> Result<OwnedFd> {
    let failed = |cause| Error::io_on(IoOperation::Connect, address, cause);
    let Address::Inet(address) = address else { return unix().map_err(failed) };
    let prepared = || -> io::Result<OwnedFd> {
        let fd = tcp(*address, options.nodelay)?;
        keep_alive(&fd, options.keepalive)?;
        Ok(fd)
    };
    let fd = prepared().map_err(failed)?;
    if let Some(local) = options.bind {
        let bound = sockopt::set_socket_reuseaddr(&fd, true).and_then(|()| bind(&fd, &local));
        bound.map_err(|cause| Error::io_on(IoOperation::Bind, local, cause))?;
    }
    Ok(fd)
}

/// A TCP socket that listens. TCP_NODELAY is inherited by its connections. If the process before
/// may have had a ring, an address that is in use is waited for as long as the kernel may need.
pub(crate) fn listen_tcp(
    address: SocketAddr,
    sharing: Sharing,
    options: &ListenOptions,
    behind_ring: bool,
) -> Result<OwnedFd> {
    let listening = || -> io::Result<OwnedFd> {
        let fd = tcp(address, options.nodelay)?;
        keep_alive(&fd, options.keepalive)?;
        if let (SocketAddr::V6(_), Some(dual_stack)) = (address, options.dual_stack) {
            sockopt::set_ipv6_v6only(&fd, !dual_stack)?;
        }
        sockopt::set_socket_reuseaddr(&fd, true)?;
        if sharing == Sharing::Others {
            family::share_address(fd.as_fd())?;
        }
        bind_tcp(&fd, address, behind_ring)?;
        if sharing == Sharing::First {
            // Only now, so that an address which others share is found to be in use.
            family::share_address(fd.as_fd())?;
        }
        listen(&fd, backlog(options))?;
        Ok(fd)
    };
    listening().map_err(|cause| Error::io_on(IoOperation::Listen, address, cause))
}

fn bind_tcp(fd: &OwnedFd, address: SocketAddr, behind_ring: bool) -> io::Result<()> {
    match bind(fd, &address) {
        Err(Errno::ADDRINUSE) if behind_ring => family::bind_when_free(fd, address),
        bound => Ok(bound?),
    }
}

/// Whether the system spreads datagrams over sockets that share an address.
pub(crate) const DATAGRAMS_ARE_SPREAD: bool = true;

/// Has a socket share its address with others that have this.
pub(crate) fn share_address(socket: &Socket) -> io::Result<()> {
    Ok(family::share_address(socket.as_fd())?)
}

/// A Unix socket that listens.
pub(crate) fn listen_unix(path: &Path, options: &ListenOptions) -> Result<OwnedFd> {
    // An empty path would be no file at all, but a name that the system makes up.
    address::to_system(&Address::from(path))?;
    let listening = || -> io::Result<OwnedFd> {
        let fd = unix()?;
        bind(&fd, &SocketAddrUnix::new(path)?)?;
        listen(&fd, backlog(options))?;
        Ok(fd)
    };
    listening().map_err(|cause| Error::io_on(IoOperation::Listen, path.display(), cause))
}

/// Has what is sent go out at once, without Nagle's delay.
pub(crate) fn set_nodelay(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(sockopt::set_tcp_nodelay(fd, true)?)
}

/// What the system takes for a backlog; it has a limit of its own far below.
fn backlog(options: &ListenOptions) -> i32 {
    options.backlog.try_into().unwrap_or(i32::MAX)
}

/// Has the system look after a connection that is silent.
fn keep_alive(fd: &OwnedFd, silence: Option<Duration>) -> io::Result<()> {
    if let Some(silence) = silence {
        let seconds = silence.as_secs() + u64::from(silence.subsec_nanos() > 0);
        sockopt::set_socket_keepalive(fd, true)?;
        sockopt::set_tcp_keepidle(fd, Duration::from_secs(seconds))?;
    }
    Ok(())
}

fn tcp(address: SocketAddr, nodelay: bool) -> io::Result<OwnedFd> {
    let version = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = family::stream_socket(version)?;
    if nodelay {
        sockopt::set_tcp_nodelay(fd.as_fd(), true)?;
    }
    Ok(fd)
}

fn unix() -> io::Result<OwnedFd> {
    Ok(family::stream_socket(AddressFamily::UNIX)?)
}
