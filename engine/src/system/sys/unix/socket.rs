//! Sockets as the engine wants them: non-blocking, closed on exec, without Nagle's delay.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, bind, listen,
        netlink::{SOCK_DIAG, SocketAddrNetlink},
        recv, socket_with, sockopt,
    },
};

use crate::{
    pure::{
        address::Address,
        clock::now,
        error::{Error, IoOperation, Result},
        options::{ConnectOptions, ListenOptions, Sharing},
    },
    system::sys::address,
};

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

/// How long an address may still be in use that a process listened at which has just ended. The
/// kernel ends a ring after its process, and the sockets that it has in hand with it: 5 to 40 ms
/// later, and on a busy machine more than 100 (measured on Linux 6.18).
const RING_ENDS: Duration = Duration::from_millis(250);

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
            sockopt::set_socket_reuseport(&fd, true)?;
        }
        bind_tcp(&fd, address, behind_ring)?;
        if sharing == Sharing::First {
            // Only now, so that an address which others share is found to be in use.
            sockopt::set_socket_reuseport(&fd, true)?;
        }
        listen(&fd, backlog(options))?;
        Ok(fd)
    };
    listening().map_err(|cause| Error::io_on(IoOperation::Listen, address, cause))
}

fn bind_tcp(fd: &OwnedFd, address: SocketAddr, behind_ring: bool) -> io::Result<()> {
    match bind(fd, &address) {
        Err(Errno::ADDRINUSE) if behind_ring => bind_when_free(fd, address),
        bound => Ok(bound?),
    }
}

/// Binds again each time a TCP socket of this machine has gone, and once more when the time is up.
/// Always the same socket: one that is closed after a try would be reported as gone itself.
fn bind_when_free(fd: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    let until = now() + RING_ENDS;
    // A system that does not report is one that reports nothing: then only the last try counts.
    let departures = watch_departures().ok();
    loop {
        // Tried after the watch has begun, so that nothing goes unseen between the two.
        match bind(fd, &address) {
            Err(Errno::ADDRINUSE) => (),
            bound => return Ok(bound?),
        }
        let left = until.saturating_duration_since(now());
        if left.is_zero() {
            return Err(Errno::ADDRINUSE.into());
        }
        await_departure(departures.as_ref(), left)?;
    }
}

/// A socket that becomes readable when a TCP socket has gone, whoever held it. See
/// sock_diag(7), and `sknetlink_groups` in linux/sock_diag.h.
fn watch_departures() -> io::Result<OwnedFd> {
    const TCP_GONE: u32 = 1 << 0;
    const TCP_OF_IPV6_GONE: u32 = 1 << 2;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(SOCK_DIAG))?;
    // Both: an address may have been held by a socket of the other family.
    bind(&fd, &SocketAddrNetlink::new(0, TCP_GONE | TCP_OF_IPV6_GONE))?;
    Ok(fd)
}

/// Waits for a report, or until `left` has passed, and takes all reports that there are. Which
/// sockets they are of does not matter: binding tells whether it was the right one.
fn await_departure(departures: Option<&OwnedFd>, left: Duration) -> io::Result<()> {
    let mut watched: Vec<_> =
        departures.map(|fd| PollFd::new(fd, PollFlags::IN)).into_iter().collect();
    let left = Timespec::try_from(left).expect("a quarter of a second fits");
    match poll(&mut watched, Some(&left)) {
        Ok(_) | Err(Errno::INTR) => (),
        Err(refused) => return Err(refused.into()),
    }
    let mut report = [0; 1024];
    if let Some(fd) = departures {
        // ENOBUFS says that reports were too many to keep: that, too, is a reason to try.
        while matches!(recv(fd, &mut report[..], RecvFlags::empty()), Ok(_) | Err(Errno::NOBUFS)) {}
    }
    Ok(())
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
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = stream_socket(family)?;
    if nodelay {
        sockopt::set_tcp_nodelay(fd.as_fd(), true)?;
    }
    Ok(fd)
}

fn unix() -> io::Result<OwnedFd> {
    stream_socket(AddressFamily::UNIX)
}

fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(socket_with(family, SocketType::STREAM, flags, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What waits for an address would otherwise only try it again when its time is up.
    #[test]
    fn a_socket_that_goes_is_reported() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let address = address.parse().unwrap();
            let departures = watch_departures().unwrap();
            let listening =
                listen_tcp(address, Sharing::Nobody, &ListenOptions::new(), false).unwrap();
            drop(listening);
            let mut watched = [PollFd::new(&departures, PollFlags::IN)];
            let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
            assert_eq!(poll(&mut watched, Some(&patience)), Ok(1), "{address}");
        }
    }
}
