//! What Linux has of its own, under the names that `bsd.rs` has for the others.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use mio::Interest;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, Mode, OFlags, fcntl_getfl, fstat, major, minor, open},
    io::{DupFlags, Errno, ReadWriteFlags, Result, dup3, retry_on_intr},
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketAddrUnix, SocketFlags,
        SocketType, accept_with, bind, connect_unspec,
        netlink::{SOCK_DIAG, SocketAddrNetlink},
        recv, recvfrom, socket_with, sockopt,
    },
    process::{Pid, PidfdFlags, Signal, WaitId, pidfd_open, pidfd_send_signal},
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt},
};

use crate::{pure::clock::now, system::fd_kind::FdKind};

/// A peer that is gone is told by an error and not by a signal. And a socket that others hold, too,
/// may have been made a blocking one by them.
pub(crate) const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

/// Whether a receive from a socket that came back short has emptied it, unless an urgent byte was
/// told of.
pub(crate) const SHORT_IS_ALL: bool = true;

/// Whether engines that listen at one address share one socket: no, the system spreads connections
/// over several by SO_REUSEPORT, socket(7).
pub(crate) const ENGINES_SHARE_A_SOCKET: bool = false;

/// What poll(2) is asked for to be told of the other end's end, besides of a hang-up.
pub(crate) const PEER_GONE: PollFlags = PollFlags::RDHUP;

/// The most that one call takes, read(2) under NOTES.
pub(crate) const CALL_MAX: usize = 0x7fff_f000;

/// No position: what has none is read and written where it is, and a file at its cursor,
/// preadv2(2).
const NOWHERE: u64 = u64::MAX;

/// Reads what others may have made a blocking one. An error that says that the call is unknown
/// means that only a call that may wait can tell: most devices and FIFOs do not know how not to
/// wait, nor pipes before Linux 6.4.
pub(crate) fn read_without_waiting(fd: BorrowedFd<'_>, block: &mut [u8]) -> Result<usize> {
    let mut slices = [IoSliceMut::new(block)];
    retry_on_intr(|| rustix::io::preadv2(fd, &mut slices, NOWHERE, ReadWriteFlags::NOWAIT))
}

/// The same of a write.
pub(crate) fn write_without_waiting(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> Result<usize> {
    retry_on_intr(|| rustix::io::pwritev2(fd, slices, NOWHERE, ReadWriteFlags::NOWAIT))
}

/// Writes to a pipe, without waiting if its flags do not say so. If the kernel is new enough to be
/// told (Linux 6.18), without the signal that a pipe without a reader sends: it would end a process
/// that does not ignore it, as a Rust program does.
pub(crate) fn write_to_pipe(
    fd: BorrowedFd<'_>,
    slices: &[IoSlice<'_>],
    shared: bool,
) -> Result<usize> {
    /// RWF_NOSIGNAL, see pwritev2(2).
    const NOSIGNAL: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x100);
    static IS_OLD: AtomicBool = AtomicBool::new(false);
    let flags = if shared { ReadWriteFlags::NOWAIT } else { ReadWriteFlags::empty() };
    let write = |flags| retry_on_intr(|| rustix::io::pwritev2(fd, slices, NOWHERE, flags));
    let is_unknown = |result: &Result<usize>| {
        matches!(result, Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL))
    };
    if !IS_OLD.load(Relaxed) {
        let result = write(flags | NOSIGNAL);
        if !is_unknown(&result) {
            return result;
        }
    }
    let result =
        if shared { write(flags) } else { retry_on_intr(|| rustix::io::writev(fd, slices)) };
    if !is_unknown(&result) {
        IS_OLD.store(true, Relaxed);
    }
    result
}

/// Whether a read of nothing from a pipe may mean that nobody has opened it for writing yet: until
/// the first writer has come a FIFO reads as if the last one had gone, fifo(7).
pub(crate) const FIFO_WAITS_FOR_WRITER: bool = true;

/// Whether a read of a terminal fails with this when its other side is gone.
pub(crate) const fn is_end_of_terminal(error: Errno) -> bool {
    matches!(error, Errno::IO)
}

/// Reads a file at a position, if that need not wait for a disk.
pub(crate) fn read_file_at_once(
    fd: BorrowedFd<'_>,
    block: &mut [u8],
    offset: u64,
) -> Option<Result<usize>> {
    let mut slices = [IoSliceMut::new(block)];
    match rustix::io::preadv2(fd, &mut slices, offset, ReadWriteFlags::NOWAIT) {
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR) => None,
        result => Some(result),
    }
}

/// The same at its cursor.
pub(crate) fn read_at_once(fd: BorrowedFd<'_>, block: &mut [u8]) -> Option<Result<usize>> {
    read_file_at_once(fd, block, NOWHERE)
}

/// Writes to the end of a file that was opened for appending, without moving its cursor there:
/// pwrite(2), under BUGS.
pub(crate) fn append(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> Result<usize> {
    retry_on_intr(|| rustix::io::pwritev(fd, slices, 0))
}

/// Brings a file to its medium.
pub(crate) fn sync(fd: BorrowedFd<'_>) -> Result<()> {
    retry_on_intr(|| rustix::fs::fsync(fd))
}

/// Receives one datagram: how much of it, whether that is not all, and from whom. By recvfrom(2),
/// which says how long it was if it is asked to (MSG_TRUNC), and does with less than recvmsg(2).
pub(crate) fn receive_datagram(
    fd: BorrowedFd<'_>,
    block: &mut [u8],
) -> Result<(usize, bool, Option<SocketAddrAny>)> {
    let most = block.len();
    let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
    let (_, len, from) = retry_on_intr(|| recvfrom(fd, &mut *block, flags))?;
    Ok((len.min(most), len > most, from))
}

/// A new socket as the engine wants it.
pub(crate) fn stream_socket(family: AddressFamily) -> Result<OwnedFd> {
    socket_with(family, SocketType::STREAM, NEW_SOCKET, None)
}

const NEW_SOCKET: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// Takes one connection.
pub(crate) fn accept(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    accept_with(fd, NEW_SOCKET)
}

/// Whether an accept failed for the sake of one connection, and the next may succeed: network
/// errors of a connection are passed on, accept(2).
pub(crate) const fn is_of_one_connection(error: Errno) -> bool {
    matches!(
        error,
        Errno::INTR
            | Errno::CONNABORTED
            | Errno::PROTO
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::NETUNREACH
    )
}

/// An abstract name as an address, unix(7).
pub(crate) fn abstract_address(name: &[u8]) -> Result<SocketAddrUnix> {
    SocketAddrUnix::new_abstract_name(name)
}

/// The abstract name that an address is, if it is one.
pub(crate) fn abstract_name(address: &SocketAddrUnix) -> Option<&[u8]> {
    address.abstract_name()
}

/// Has a socket use this network interface and no other: SO_BINDTODEVICE of socket(7).
pub(crate) fn bind_to_interface(fd: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    socket2::SockRef::from(&fd).bind_device(Some(name.as_bytes()))
}

/// Who is at the other end of a Unix socket: SO_PEERCRED of unix(7).
pub(crate) fn peer_credentials(fd: BorrowedFd<'_>) -> io::Result<(Option<i32>, u32, u32)> {
    let peer = sockopt::socket_peercred(fd)?;
    Ok((Some(peer.pid.as_raw_pid()), peer.uid.as_raw(), peer.gid.as_raw()))
}

/// Whether a socket is connected, which an event may say too early.
pub(crate) fn is_connected(fd: BorrowedFd<'_>) -> Result<bool> {
    match rustix::net::getpeername(fd) {
        Ok(_) => Ok(true),
        Err(Errno::NOTCONN) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Resets a connection now, whoever else holds it.
pub(crate) fn reset(fd: BorrowedFd<'_>) {
    // Not by SO_LINGER: it would stay with the other copies, and have the last of them reset the
    // connection whenever it is closed.
    let _ = connect_unspec(fd);
}

/// Has the system share the address of a socket with others that have this.
pub(crate) fn share_address(fd: BorrowedFd<'_>) -> Result<()> {
    sockopt::set_socket_reuseport(fd, true)
}

/// Whether a socket listens; none if the system does not tell.
pub(crate) fn listens(fd: BorrowedFd<'_>) -> Result<Option<bool>> {
    sockopt::socket_acceptconn(fd).map(Some)
}

/// What a socket of the program's needs besides being non-blocking: to send at once.
pub(crate) fn prepare(fd: BorrowedFd<'_>, tcp: bool) -> Result<()> {
    if tcp { sockopt::set_tcp_nodelay(fd, true) } else { Ok(()) }
}

/// Has another number lead to this open file, closing what it led to.
pub(crate) fn replace(fd: BorrowedFd<'_>, number: &mut OwnedFd) -> Result<()> {
    dup3(fd, number, DupFlags::CLOEXEC)
}

/// Gives a pipe or terminal an open file of its own where the system can, see proc_pid_fd(5).
/// Returns whether it is still shared.
pub(crate) fn reopen(fd: OwnedFd) -> (OwnedFd, bool) {
    let own = || -> io::Result<OwnedFd> {
        let stat = fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo && has_ended(fd.as_fd()) {
            // Opened again, a FIFO would wait for its first writer, who has been here.
            return Err(io::ErrorKind::Unsupported.into());
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && (major(stat.st_rdev), minor(stat.st_rdev)) == PTY_MULTIPLEXER
        {
            // Opening it again would make another terminal.
            return Err(io::ErrorKind::Unsupported.into());
        }
        let access = fcntl_getfl(&fd)? & OFlags::RWMODE;
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(open(path, flags, Mode::empty())?)
    };
    match own() {
        Ok(own) => (own, false),
        Err(_) => (fd, true),
    }
}

/// Major and minor number of the device behind every pseudo-terminal's controlling side, ptmx(4).
const PTY_MULTIPLEXER: (u32, u32) = (5, 2);

/// Whether a pipe has had writers, and has none left; or readers.
fn has_ended(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let polled = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    polled.is_ok() && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// What is waited for at a descriptor.
#[expect(clippy::unnecessary_wraps, reason = "other systems must look")]
pub(crate) const fn interest(_fd: BorrowedFd<'_>, fd_kind: FdKind) -> Result<Interest> {
    let both = Interest::READABLE.add(Interest::WRITABLE);
    Ok(match fd_kind {
        FdKind::Listener | FdKind::Watched { for_room: false } => Interest::READABLE,
        FdKind::Watched { for_room: true } => Interest::WRITABLE,
        // An urgent byte cuts receives short.
        FdKind::Socket { .. } => both.add(Interest::PRIORITY),
        FdKind::Datagrams { .. } => both,
        _ => both,
    })
}

/// Whether a descriptor that could not be registered is one that cannot be waited for,
/// epoll_ctl(2).
pub(crate) fn is_always_ready(fd_kind: FdKind, error: Errno) -> bool {
    matches!(fd_kind, FdKind::Device { .. } | FdKind::Watched { .. }) && error == Errno::PERM
}

/// Whether what was just registered is never told of, but always ready: epoll(7) tells of what is
/// the case when something is registered, as of what comes.
pub(crate) const fn has_hung_up(_fd: BorrowedFd<'_>, _fd_kind: FdKind) -> bool {
    false
}

/// Whether a child of fork(2) has what tells of events: a copy of the descriptor.
pub(crate) const IN_CHILDREN_TOO: bool = true;

/// How long an address may still be in use that a process listened at which has just ended. The
/// kernel ends a ring after its process, and the sockets that it has in hand with it: 5 to 40 ms
/// later, and on a busy machine more than 100 (measured on Linux 6.18).
const RING_ENDS: Duration = Duration::from_millis(250);

/// Binds again each time a TCP socket of this machine has gone, and once more when the time is up
/// that a ring may need to end. Always the same socket: one that is closed after a try would be
/// reported as gone itself.
pub(crate) fn bind_when_free(fd: &OwnedFd, address: SocketAddr) -> io::Result<()> {
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
    let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, NEW_SOCKET, Some(SOCK_DIAG))?;
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

/// A descriptor of a process, pidfd_open(2): none before Linux 5.3, where the system does not allow
/// it, or has none left.
pub(crate) fn descriptor_of(process: Pid) -> Option<OwnedFd> {
    pidfd_open(process, PidfdFlags::empty()).ok()
}

/// How waitid(2) names a process.
pub(crate) fn wait_id(process: Pid, descriptor: Option<BorrowedFd<'_>>) -> WaitId<'_> {
    descriptor.map_or(WaitId::Pid(process), WaitId::PidFd)
}

/// Sends a signal to a process by its descriptor.
pub(crate) fn send_to(process: BorrowedFd<'_>, signal: Signal) -> Result<()> {
    pidfd_send_signal(process, signal)
}

/// The highest number that a signal has.
pub(crate) fn last_signal() -> i32 {
    libc::SIGRTMAX()
}

/// Our side of a new terminal.
pub(crate) fn open_terminal() -> Result<OwnedFd> {
    openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
}

/// The other side of it, whatever is mounted where it has its name: TIOCGPTPEER of
/// ioctl_tty(2).
pub(crate) fn other_side(terminal: &OwnedFd) -> Result<OwnedFd> {
    ioctl_tiocgptpeer(terminal, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What waits for an address would otherwise only try it again when its time is up.
    #[test]
    fn a_socket_that_goes_is_reported() {
        for (family, address) in
            [(AddressFamily::INET, "127.0.0.1:0"), (AddressFamily::INET6, "[::1]:0")]
        {
            let departures = watch_departures().unwrap();
            let listening = stream_socket(family).unwrap();
            bind(&listening, &address.parse::<SocketAddr>().unwrap()).unwrap();
            rustix::net::listen(&listening, 1).unwrap();
            drop(listening);
            let mut watched = [PollFd::new(&departures, PollFlags::IN)];
            let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
            assert_eq!(poll(&mut watched, Some(&patience)), Ok(1), "{address}");
        }
    }
}
