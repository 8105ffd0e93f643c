//! Sockets as the engine wants them: non-blocking, closed on exec, without Nagle's delay.

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, bind, listen, sockopt},
};
use socket2::{SockRef, Socket, TcpKeepalive};

use crate::{
    pure::{
        address::Address,
        error::{Error, IoOperation, Result},
        options::{ConnectOptions, Keepalive, ListenOptions, Sharing, SocketOption},
    },
    system::sys::{address, family},
};

pub(crate) use family::ENGINES_SHARE_A_SOCKET;

/// A socket to connect to this address with.
pub(crate) fn for_connecting(address: &Address, options: &ConnectOptions) -> Result<OwnedFd> {
    let failed = |cause| Error::io_on(IoOperation::Connect, address, cause);
    let Address::Inet(inet) = address else {
        let fd = unix().map_err(failed)?;
        set_options(&fd, options.socket.of_unix(), address)?;
        return Ok(fd);
    };
    let fd = tcp(*inet).map_err(failed)?;
    set_options(&fd, options.socket.of_tcp(), address)?;
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
    let failed = |cause| Error::io_on(IoOperation::Listen, address, cause);
    let fd = tcp(address).map_err(failed)?;
    set_options(&fd, options.socket.of_tcp(), address)?;
    let listening = || -> io::Result<()> {
        if let (SocketAddr::V6(_), Some(dual_stack)) = (address, options.dual_stack) {
            sockopt::set_ipv6_v6only(&fd, !dual_stack)?;
        }
        sockopt::set_socket_reuseaddr(&fd, options.reuse_address)?;
        if sharing == Sharing::Others {
            family::share_address(fd.as_fd())?;
        }
        bind_tcp(&fd, address, behind_ring)?;
        if sharing == Sharing::First {
            // Only now, so that an address which others share is found to be in use.
            family::share_address(fd.as_fd())?;
        }
        Ok(listen(&fd, backlog(options))?)
    };
    listening().map_err(failed)?;
    Ok(fd)
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

/// A Unix socket that listens, at a path or at an abstract name.
pub(crate) fn listen_unix(address: &Address, options: &ListenOptions) -> Result<OwnedFd> {
    // An empty path would be no file at all, but a name that the system makes up.
    let name = address::to_system(address)?;
    let failed = |cause| Error::io_on(IoOperation::Listen, address, cause);
    let fd = unix().map_err(failed)?;
    set_options(&fd, options.socket.of_unix(), address)?;
    let listening = || -> io::Result<()> {
        SockRef::from(&fd).bind(&name)?;
        Ok(listen(&fd, backlog(options))?)
    };
    listening().map_err(failed)?;
    Ok(fd)
}

/// Has what is sent go out at once, without Nagle's delay.
pub(crate) fn set_nodelay(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(sockopt::set_tcp_nodelay(fd, true)?)
}

/// What the system takes for a backlog; it has a limit of its own far below.
fn backlog(options: &ListenOptions) -> i32 {
    options.backlog.try_into().unwrap_or(i32::MAX)
}

/// Sets options of a socket that is to have this address at one of its ends.
fn set_options<'a>(
    fd: &OwnedFd,
    mut options: impl Iterator<Item = SocketOption<'a>>,
    address: impl fmt::Display,
) -> Result<()> {
    options.try_for_each(|option| {
        set_option(fd.as_fd(), &option).map_err(|cause| option.failed(&address, cause))
    })
}

/// Sets one option of a socket. One that this system does not have is `Unsupported`.
pub(crate) fn set_option(fd: BorrowedFd<'_>, option: &SocketOption<'_>) -> io::Result<()> {
    let socket = SockRef::from(&fd);
    match *option {
        SocketOption::Nodelay(nodelay) => socket.set_tcp_nodelay(nodelay),
        SocketOption::Keepalive(None) => socket.set_keepalive(false),
        SocketOption::Keepalive(Some(keepalive)) => socket.set_tcp_keepalive(&to_system(keepalive)),
        SocketOption::SendBufferSize(size) => socket.set_send_buffer_size(size as usize),
        SocketOption::RecvBufferSize(size) => socket.set_recv_buffer_size(size as usize),
        SocketOption::Tos(tos) if socket.local_addr()?.is_ipv6() => {
            socket.set_tclass_v6(tos.into())?;
            // Of the IPv4 connections of a listener for both, where the system has it for those.
            let _ = socket.set_tos_v4(tos.into());
            Ok(())
        }
        SocketOption::Tos(tos) => socket.set_tos_v4(tos.into()),
        SocketOption::Interface(name) => family::bind_to_interface(fd, name),
    }
}

/// Times are in whole seconds, and none is shorter than was asked for.
fn to_system(keepalive: &Keepalive) -> TcpKeepalive {
    let seconds =
        |time: Duration| Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0));
    let mut system = TcpKeepalive::new().with_time(seconds(keepalive.idle));
    if let Some(interval) = keepalive.interval {
        system = system.with_interval(seconds(interval));
    }
    match keepalive.count {
        Some(count) => system.with_retries(count),
        None => system,
    }
}

fn tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    let version = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    Ok(family::stream_socket(version)?)
}

fn unix() -> io::Result<OwnedFd> {
    Ok(family::stream_socket(AddressFamily::UNIX)?)
}
