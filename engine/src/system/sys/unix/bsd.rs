//! What FreeBSD and macOS have in common, under the names that `linux.rs` has for Linux: events
//! come from kqueue(2), and no read or write can be told that it is not to wait. In what they
//! differ from each other is in `freebsd.rs` and `darwin.rs`.
//!
//! Compiled and linted, not run.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::SocketAddr,
    os::fd::{BorrowedFd, OwnedFd},
    time::Duration,
};

use mio::Interest;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, fcntl_getfl, open},
    io::{Errno, FdFlags, Result, fcntl_setfd, retry_on_intr},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvFlags, RecvMsg, ReturnFlags, Shutdown,
        SocketAddrAny, SocketAddrUnix, getsockname, recvmsg, shutdown, sockopt,
    },
    process::{Pid, Signal, WaitId},
    pty::{OpenptFlags, openpt, ptsname},
};

use crate::system::fd_kind::FdKind;

#[cfg_attr(target_vendor = "apple", path = "darwin.rs")]
#[cfg_attr(not(target_vendor = "apple"), path = "freebsd.rs")]
mod own;

pub(crate) use self::own::*;

/// Whether a receive from a socket that came back short has emptied it. It may have stopped at an
/// urgent byte, or where something came along, and kqueue(2) as `mio` asks it tells of neither.
/// What is behind would be no new event (EV_CLEAR), so only a call that finds nothing counts.
pub(crate) const SHORT_IS_ALL: bool = false;

/// Whether engines that listen at one address share one socket. macOS spreads no connections over
/// several, and FreeBSD only over those with SO_REUSEPORT_LB, which they must have before they are
/// bound: then an address that another copy of the program listens at is not found to be in use.
pub(crate) const ENGINES_SHARE_A_SOCKET: bool = true;

/// What poll(2) is asked for to be told of the other end's end, besides of a hang-up: nothing.
/// Events tell of it, kqueue(2) under EV_EOF.
pub(crate) const PEER_GONE: PollFlags = PollFlags::empty();

/// Neither preadv2(2) nor RWF_NOWAIT is known here, and MSG_DONTWAIT is for sockets: only a call
/// that may wait can tell.
pub(crate) fn read_without_waiting(_fd: BorrowedFd<'_>, _block: &mut [u8]) -> Result<usize> {
    Err(Errno::OPNOTSUPP)
}

/// The same of a write.
pub(crate) fn write_without_waiting(_fd: BorrowedFd<'_>, _slices: &[IoSlice<'_>]) -> Result<usize> {
    Err(Errno::OPNOTSUPP)
}

/// Writes to a pipe, unless its flags are others'. One without a reader sends SIGPIPE, write(2): no
/// call here goes without, and a Rust program ignores it.
pub(crate) fn write_to_pipe(
    fd: BorrowedFd<'_>,
    slices: &[IoSlice<'_>],
    shared: bool,
) -> Result<usize> {
    if shared {
        return write_without_waiting(fd, slices);
    }
    retry_on_intr(|| rustix::io::writev(fd, slices))
}

/// No call takes only what is in memory: a worker reads.
pub(crate) const fn read_file_at_once(
    _fd: BorrowedFd<'_>,
    _block: &mut [u8],
    _offset: u64,
) -> Option<Result<usize>> {
    None
}

/// The same at its cursor.
pub(crate) const fn read_at_once(_fd: BorrowedFd<'_>, _block: &mut [u8]) -> Option<Result<usize>> {
    None
}

/// Writes to the end of a file that was opened for appending. Its cursor goes there with it,
/// write(2): whether pwrite(2) heeds O_APPEND no man page says.
pub(crate) fn append(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> Result<usize> {
    retry_on_intr(|| rustix::io::writev(fd, slices))
}

/// Receives one datagram: how much of it, whether that is not all, and from whom.
pub(crate) fn receive_datagram(
    fd: BorrowedFd<'_>,
    block: &mut [u8],
) -> Result<(usize, bool, Option<SocketAddrAny>)> {
    let mut slices = [IoSliceMut::new(block)];
    let RecvMsg { bytes, flags, address } = retry_on_intr(|| {
        recvmsg(fd, &mut slices, &mut RecvAncillaryBuffer::default(), RecvFlags::DONTWAIT)
    })?;
    Ok((bytes, flags.contains(ReturnFlags::TRUNC), address))
}

/// Whether an accept failed for the sake of one connection, and the next may succeed: no other
/// errors of a connection are passed on, accept(2).
pub(crate) const fn is_of_one_connection(error: Errno) -> bool {
    matches!(error, Errno::INTR | Errno::CONNABORTED)
}

/// Abstract names are Linux's; `address::to_system` has refused this one.
pub(crate) fn abstract_address(_name: &[u8]) -> Result<SocketAddrUnix> {
    Err(Errno::INVAL)
}

/// No address is one.
pub(crate) const fn abstract_name(_address: &SocketAddrUnix) -> Option<&[u8]> {
    None
}

/// No option binds a socket to an interface by its name.
pub(crate) fn bind_to_interface(_fd: BorrowedFd<'_>, _name: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// No library that is used here asks for LOCAL_PEERCRED of unix(4).
pub(crate) fn peer_credentials(_fd: BorrowedFd<'_>) -> io::Result<(Option<i32>, u32, u32)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Ends a TCP connection now, whoever else holds it. Connecting to AF_UNSPEC, which would reset it,
/// is only for datagrams here, connect(2). So both directions end, and the reset comes with the
/// close of the last copy: the option stays with all of them, which have no other use any more.
/// What else there is cannot be reset, and its other copies go on.
pub(crate) fn reset(fd: BorrowedFd<'_>) {
    let is_tcp = |name: SocketAddrAny| {
        [AddressFamily::INET, AddressFamily::INET6].contains(&name.address_family())
    };
    if !getsockname(fd).is_ok_and(is_tcp) {
        return;
    }
    let _ = sockopt::set_socket_linger(fd, Some(Duration::ZERO));
    let _ = shutdown(fd, Shutdown::Both);
}

/// Pipes and terminals stay shared. What /dev/fd has is a copy of the descriptor, with the same
/// flags, fd(4); on FreeBSD it has only the first three, unless fdescfs(5) is mounted.
pub(crate) const fn reopen(fd: OwnedFd) -> (OwnedFd, bool) {
    (fd, true)
}

/// What is waited for at a descriptor. One that is only read or only written need not have both
/// filters, and many devices have only the one that they are for.
pub(crate) fn interest(fd: BorrowedFd<'_>, fd_kind: FdKind) -> Result<Interest> {
    let both = Interest::READABLE | Interest::WRITABLE;
    Ok(match fd_kind {
        FdKind::Listener | FdKind::Watched { for_room: false } => Interest::READABLE,
        FdKind::Watched { for_room: true } => Interest::WRITABLE,
        FdKind::Socket { .. } | FdKind::Datagrams { .. } => both,
        _ => match fcntl_getfl(fd)? & OFlags::RWMODE {
            OFlags::RDONLY => Interest::READABLE,
            OFlags::WRONLY => Interest::WRITABLE,
            _ => both,
        },
    })
}

/// Whether a descriptor that could not be registered is one that cannot be waited for. What a
/// driver of a device says that has no filter is not in kqueue(2): ENODEV on FreeBSD, EINVAL on
/// macOS, also of /dev/tty, and whatever the driver likes.
pub(crate) const fn is_always_ready(fd_kind: FdKind, error: Errno) -> bool {
    matches!(fd_kind, FdKind::Device { .. } | FdKind::Terminal { .. } | FdKind::Watched { .. })
        && matches!(error, Errno::PERM | Errno::INVAL | Errno::NODEV | Errno::NXIO | Errno::NOTSUP)
}

/// Whether what was just registered is never told of, but always ready. A pipe whose other side has
/// gone is not registered for writing, with EPIPE, which `mio` keeps to itself: a write that found
/// it full would wait for ever. Input is asked for as well, because FreeBSD says that a FIFO is hung
/// up before its first writer to who does not.
pub(crate) fn has_hung_up(fd: BorrowedFd<'_>, fd_kind: FdKind) -> bool {
    let (FdKind::Pipe { .. } | FdKind::Watched { .. }) = fd_kind else { return false };
    let mut fds = [PollFd::new(&fd, PollFlags::IN | PollFlags::OUT)];
    let polled = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    polled.is_ok() && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Whether a child of fork(2) has what tells of events: a kqueue is not inherited, kqueue(2), so
/// that its number leads nowhere there, or to what the child has opened since.
pub(crate) const IN_CHILDREN_TOO: bool = false;

/// Never asked for: there is no ring whose end an address has to wait for.
pub(crate) fn bind_when_free(_fd: &OwnedFd, _address: SocketAddr) -> io::Result<()> {
    Err(Errno::ADDRINUSE.into())
}

/// There are no descriptors of processes that run already.
pub(crate) const fn descriptor_of(_process: Pid) -> Option<OwnedFd> {
    None
}

/// How waitid(2) names a process.
pub(crate) const fn wait_id(process: Pid, _: Option<BorrowedFd<'_>>) -> WaitId<'_> {
    WaitId::Pid(process)
}

/// Never asked for, without such descriptors.
pub(crate) const fn send_to(_process: BorrowedFd<'_>, _signal: Signal) -> Result<()> {
    Err(Errno::BADF)
}

/// Our side of a new terminal. A program that another thread starts between the two calls has a
/// copy.
pub(crate) fn open_terminal() -> Result<OwnedFd> {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    fcntl_setfd(&terminal, FdFlags::CLOEXEC)?;
    Ok(terminal)
}

/// The other side of it.
pub(crate) fn other_side(terminal: &OwnedFd) -> Result<OwnedFd> {
    let name = ptsname(terminal, Vec::new())?;
    open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
}
