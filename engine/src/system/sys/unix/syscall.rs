//! One operation, one system call that does not wait. `EINTR` ends here.

use std::{
    ffi::OsStr,
    io::{IoSlice, IoSliceMut},
    net::SocketAddr,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{SeekFrom, seek},
    io::{Errno, Result, retry_on_intr},
    net::{
        RecvAncillaryBuffer, RecvFlags, RecvMsg, ReturnFlags, SendAncillaryBuffer, Shutdown,
        SocketAddrAny, SocketAddrUnix, recv, recvmsg, sendmsg, shutdown, sockopt,
    },
    pipe::PIPE_BUF,
    termios::{LocalModes, tcgetattr},
};

use crate::{
    pure::{address::Address, buffer::outgoing::Gather},
    system::{
        fd_kind::FdKind,
        sys::{
            family::{self, SEND_FLAGS},
            outcome::{Arrived, Attempt, Pushed, Received},
            unsent::Unsent,
        },
    },
};

/// How much a thread writes to a terminal before it is asked for more.
const TURN: usize = 4096;

/// Reads what is no regular file. Never waits. `touched`: the program has had it in hand.
pub(crate) fn receive(
    fd: BorrowedFd<'_>,
    fd_kind: FdKind,
    touched: bool,
    block: &mut [u8],
) -> Received {
    let result = match fd_kind {
        FdKind::Socket { tcp: true } if !touched => return receive_from_plain_tcp(fd, block),
        FdKind::Socket { .. } => return receive_from_socket(fd, block),
        FdKind::Terminal { shared: true } => return Received::MayWait,
        fd_kind if fd_kind.is_shared() => match family::read_without_waiting(fd, block) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Received::MayWait,
            result => result,
        },
        _ => retry_on_intr(|| rustix::io::read(fd, &mut *block)),
    };
    received(fd, fd_kind, result)
}

/// The same by a call that waits if somebody else takes what there is first; on a thread.
pub(crate) fn receive_waiting(fd: BorrowedFd<'_>, fd_kind: FdKind, block: &mut [u8]) -> Received {
    if !is_ready(fd, PollFlags::IN) {
        return Received::Nothing;
    }
    received(fd, fd_kind, retry_on_intr(|| rustix::io::read(fd, &mut *block)))
}

/// What it means that a read of something that is neither a socket nor a file came to this.
pub(crate) fn received(fd: BorrowedFd<'_>, fd_kind: FdKind, result: Result<usize>) -> Received {
    match result {
        Ok(0) if has_ended(fd, fd_kind) => Received::End,
        Ok(0) | Err(Errno::AGAIN) => Received::Nothing,
        Ok(count) => Received::Some(count),
        // A terminal whose other side is gone says so.
        Err(error)
            if matches!(fd_kind, FdKind::Terminal { .. }) && family::is_end_of_terminal(error) =>
        {
            Received::End
        }
        Err(error) => Received::Failed(error),
    }
}

/// Whether a read that brought nothing was at the end.
fn has_ended(fd: BorrowedFd<'_>, fd_kind: FdKind) -> bool {
    match fd_kind {
        FdKind::Pipe { .. } => !family::FIFO_WAITS_FOR_WRITER || is_hung_up(fd),
        // Where lines are edited, nothing is what the user types as the end. Else a terminal may be
        // set to say that nothing has come yet (VMIN of zero), termios(3).
        FdKind::Terminal { .. } => {
            is_hung_up(fd)
                || tcgetattr(fd)
                    .map_or(true, |settings| settings.local_modes.contains(LocalModes::ICANON))
        }
        _ => true,
    }
}

/// Writes to what is no regular file. Never waits.
pub(crate) fn send(fd: BorrowedFd<'_>, fd_kind: FdKind, gather: &Gather) -> Pushed {
    let result = match (fd_kind, gather.single()) {
        (FdKind::Socket { .. }, Some(bytes)) => send_bytes(fd, bytes),
        (FdKind::Socket { .. }, None) => {
            let slices = gather.slices();
            retry_on_intr(|| {
                let mut control = SendAncillaryBuffer::default();
                sendmsg(fd, &slices, &mut control, SEND_FLAGS)
            })
        }
        (FdKind::Terminal { shared: true }, _) => return Pushed::MayWait,
        (FdKind::Pipe { shared }, _) => match family::write_to_pipe(fd, &gather.slices(), shared) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Pushed::MayWait,
            result => result,
        },
        (FdKind::Device { shared: true }, _) => {
            match family::write_without_waiting(fd, &gather.slices()) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Pushed::MayWait,
                result => result,
            }
        }
        (_, Some(bytes)) => retry_on_intr(|| rustix::io::write(fd, bytes)),
        (_, None) => {
            let slices = gather.slices();
            retry_on_intr(|| rustix::io::writev(fd, &slices))
        }
    };
    match result {
        Err(Errno::AGAIN) => Pushed::Full,
        result => Pushed::Done(result),
    }
}

/// The same by calls that may wait, on a thread, as long as it is wanted. A terminal promises
/// room for a byte and not for how many, so that it is given one at a time: whoever cancels the
/// rest then does not wait for somebody to read.
pub(crate) fn send_waiting(
    fd: BorrowedFd<'_>,
    fd_kind: FdKind,
    unsent: &Unsent,
) -> (Option<Box<Gather>>, Pushed) {
    let Some(gather) = unsent.take() else { return (None, Pushed::Full) };
    let pushed = send_while_wanted(fd, fd_kind, &gather, unsent);
    (Some(gather), pushed)
}

fn send_while_wanted(
    fd: BorrowedFd<'_>,
    fd_kind: FdKind,
    gather: &Gather,
    unsent: &Unsent,
) -> Pushed {
    let slices = gather.slices();
    let piece = match fd_kind {
        FdKind::Terminal { .. } => 1,
        FdKind::Pipe { .. } => PIPE_BUF,
        // For a device what is written at once may be one message.
        _ if unsent.is_wanted() && is_ready(fd, PollFlags::OUT) => {
            return Pushed::Done(retry_on_intr(|| rustix::io::writev(fd, &slices)));
        }
        _ => return Pushed::Full,
    };
    let (mut taken, mut rest) = (0, &*slices[0]);
    while taken < TURN && !rest.is_empty() && unsent.is_wanted() && is_ready(fd, PollFlags::OUT) {
        let piece = &rest[..rest.len().min(piece)];
        let result = match fd_kind {
            FdKind::Pipe { .. } => family::write_to_pipe(fd, &[IoSlice::new(piece)], false),
            _ => retry_on_intr(|| rustix::io::write(fd, piece)),
        };
        match result {
            Ok(count) => {
                taken += count;
                rest = &rest[count..];
            }
            // Said again by the next.
            Err(_) if taken > 0 => break,
            Err(error) => return Pushed::Done(Err(error)),
        }
    }
    if taken == 0 { Pushed::Full } else { Pushed::Done(Ok(taken)) }
}

/// Receives from a TCP connection that the program has never had in hand. So the kernel does not
/// decrypt it, and nothing comes along with its bytes that matters here: a connection inherits no
/// such thing from what it was accepted from. By recv(2), which costs less than recvmsg(2): the
/// kernel has no header to copy.
fn receive_from_plain_tcp(fd: BorrowedFd<'_>, block: &mut [u8]) -> Received {
    let len = block.len();
    match retry_on_intr(|| recv(fd, &mut *block, RecvFlags::DONTWAIT)) {
        Ok((count, _)) => received_from_socket(count, len, false),
        Err(error) => not_received_from_socket(error),
    }
}

/// Receives from a socket by recvmsg(2), which says more than recv(2) does: something came along
/// with these bytes, and what comes behind them is not glued to them. So it is where descriptors
/// were sent (SCM_RIGHTS, see unix(7)), where the receiver asks who sends (SO_PASSCRED), and where
/// the kernel decrypts records of TLS. Nobody takes what came along here: the kernel closes
/// descriptors.
fn receive_from_socket(fd: BorrowedFd<'_>, block: &mut [u8]) -> Received {
    let len = block.len();
    let mut slices = [IoSliceMut::new(block)];
    let result = retry_on_intr(|| {
        recvmsg(fd, &mut slices, &mut RecvAncillaryBuffer::default(), RecvFlags::DONTWAIT)
    });
    match result {
        Ok(RecvMsg { bytes, flags, .. }) => {
            received_from_socket(bytes, len, flags.contains(ReturnFlags::CTRUNC))
        }
        Err(error) => not_received_from_socket(error),
    }
}

/// What it means that a receive for `len` bytes brought so many.
const fn received_from_socket(count: usize, len: usize, something_came_along: bool) -> Received {
    match count {
        0 => Received::End,
        _ if count == len || something_came_along || !family::SHORT_IS_ALL => Received::Some(count),
        _ => Received::All(count),
    }
}

const fn not_received_from_socket(error: Errno) -> Received {
    match error {
        Errno::AGAIN => Received::Nothing,
        error => Received::Failed(error),
    }
}

/// Receives one datagram, as much of it as the block takes. What comes along with it, such as
/// descriptors, is not taken, see `receive_from_socket`.
pub(crate) fn receive_datagram(fd: BorrowedFd<'_>, block: &mut [u8]) -> Attempt<Arrived> {
    match family::receive_datagram(fd, block) {
        Ok((len, truncated, from)) => {
            let from = from.map_or(Address::UnixUnnamed, sender);
            Attempt::Done(Ok(Arrived { len, truncated, from }))
        }
        Err(Errno::AGAIN) => Attempt::WouldBlock,
        Err(error) => Attempt::Done(Err(error)),
    }
}

fn sender(address: SocketAddrAny) -> Address {
    if let Ok(inet) = SocketAddr::try_from(address.clone()) {
        return Address::Inet(inet);
    }
    let Ok(unix) = SocketAddrUnix::try_from(address) else { return Address::UnixUnnamed };
    match (unix.path_bytes(), family::abstract_name(&unix)) {
        (_, Some(name)) => Address::UnixAbstract(name.into()),
        (Some(path), None) => Address::Unix(OsStr::from_bytes(path).into()),
        (None, None) => Address::UnixUnnamed,
    }
}

/// Sends one datagram, whole or not at all: to whom the socket is connected to, if `to` is none.
pub(crate) fn send_datagram(fd: BorrowedFd<'_>, bytes: &[u8], to: Option<&Address>) -> Attempt<()> {
    use rustix::net::{send, sendto};
    let result = match to {
        None => retry_on_intr(|| send(fd, bytes, SEND_FLAGS)),
        Some(Address::Inet(to)) => retry_on_intr(|| sendto(fd, bytes, SEND_FLAGS, to)),
        Some(Address::Unix(path)) => SocketAddrUnix::new(path)
            .and_then(|to| retry_on_intr(|| sendto(fd, bytes, SEND_FLAGS, &to))),
        Some(Address::UnixAbstract(name)) => family::abstract_address(name)
            .and_then(|to| retry_on_intr(|| sendto(fd, bytes, SEND_FLAGS, &to))),
        // Refused when the send was submitted.
        Some(Address::UnixUnnamed) => Err(Errno::INVAL),
    };
    match result {
        Err(Errno::AGAIN) => Attempt::WouldBlock,
        result => Attempt::Done(result.map(drop)),
    }
}

/// Whether poll(2) says of a socket that had no room for a datagram that it has. It says so of a
/// Unix socket that is not connected, though the receiver's queue is full.
pub(crate) fn has_room(fd: BorrowedFd<'_>) -> bool {
    is_writable(fd)
}

/// Sends to a socket.
pub(crate) fn send_bytes(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize> {
    retry_on_intr(|| rustix::net::send(fd, bytes, SEND_FLAGS))
}

/// Begins to connect. Returns whether it is done already.
pub(crate) fn connect(fd: BorrowedFd<'_>, address: &Address) -> Result<bool> {
    let result = match address {
        Address::Inet(address) => retry_on_intr(|| rustix::net::connect(fd, address)),
        Address::Unix(path) => SocketAddrUnix::new(path)
            .and_then(|address| retry_on_intr(|| rustix::net::connect(fd, &address))),
        Address::UnixAbstract(name) => family::abstract_address(name)
            .and_then(|address| retry_on_intr(|| rustix::net::connect(fd, &address))),
        // Refused when the connect was submitted.
        Address::UnixUnnamed => Err(Errno::INVAL),
    };
    match result {
        Ok(()) => Ok(true),
        Err(Errno::INPROGRESS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// How a connect ended. A writable socket may be a spurious event, so its peer is asked for.
pub(crate) fn connected(fd: BorrowedFd<'_>) -> Attempt<()> {
    match sockopt::socket_error(fd) {
        Ok(Ok(())) => {}
        Ok(Err(error)) | Err(error) => return Attempt::Done(Err(error)),
    }
    match family::is_connected(fd) {
        Ok(true) => Attempt::Done(Ok(())),
        Ok(false) => Attempt::WouldBlock,
        Err(error) => Attempt::Done(Err(error)),
    }
}

/// Takes one connection. Those that died while they waited are skipped.
pub(crate) fn accept(fd: BorrowedFd<'_>) -> Attempt<OwnedFd> {
    const DEAD_MAX: usize = 1024;
    for _ in 0..DEAD_MAX {
        match family::accept(fd) {
            Err(Errno::AGAIN) => return Attempt::WouldBlock,
            Err(error) if family::is_of_one_connection(error) => {}
            result => return Attempt::Done(result),
        }
    }
    Attempt::WouldBlock
}

pub(crate) fn shutdown_write(fd: BorrowedFd<'_>) -> Result<()> {
    match shutdown(fd, Shutdown::Write) {
        // The peer has reset the connection: the direction has ended all the same.
        Err(Errno::NOTCONN) => Ok(()),
        result => result,
    }
}

/// How many blocks are read away before a close: more than a socket's buffer holds by default.
const DRAIN_MAX: usize = 128;

/// Ends the outgoing direction of a connection and reads what has arrived, so that closing it
/// resets nothing. An error means that this is no socket, or none with a connection.
pub(crate) fn end_in_order(fd: BorrowedFd<'_>, block: &mut [u8]) {
    let _ = shutdown(fd, Shutdown::Write);
    // A bound, because a peer may send as fast as this reads.
    for _ in 0..DRAIN_MAX {
        match recv(fd, &mut *block, RecvFlags::DONTWAIT) {
            Ok((1.., _)) | Err(Errno::INTR) => {}
            _ => break,
        }
    }
}

/// Has the close that follows reset a connection.
pub(crate) fn reset_by_close(fd: BorrowedFd<'_>) {
    let _ = sockopt::set_socket_linger(fd, Some(Duration::ZERO));
}

/// Resets a connection now, whoever else holds it.
pub(crate) fn reset(fd: BorrowedFd<'_>) {
    family::reset(fd);
}

/// Whether the close of a socket waits for its peer, as SO_LINGER has it, for non-blocking ones as
/// well.
pub(crate) fn lingers(fd: BorrowedFd<'_>) -> bool {
    sockopt::socket_linger(fd).is_ok_and(|linger| linger.is_some())
}

/// Moves the cursor of a file back by so many bytes.
pub(crate) fn move_cursor_back(fd: BorrowedFd<'_>, bytes: i64) {
    // Fails for what has no cursor, where nothing was read ahead.
    let _ = seek(fd, SeekFrom::Current(-bytes));
}

/// Reads a file at its cursor, if that need not wait for a disk.
pub(crate) fn read_at_once(fd: BorrowedFd<'_>, block: &mut [u8]) -> Attempt<usize> {
    family::read_at_once(fd, block).map_or(Attempt::WouldBlock, Attempt::Done)
}

/// Reads a file at a position, if that need not wait for a disk.
pub(crate) fn read_file_at_once(
    fd: BorrowedFd<'_>,
    block: &mut [u8],
    offset: u64,
) -> Attempt<usize> {
    family::read_file_at_once(fd, block, offset).map_or(Attempt::WouldBlock, Attempt::Done)
}

/// Reads a file at its cursor, or what has none, on a worker.
pub(crate) fn read(fd: BorrowedFd<'_>, block: &mut [u8]) -> Result<usize> {
    retry_on_intr(|| rustix::io::read(fd, &mut *block))
}

/// Reads a file at a position, on a worker.
pub(crate) fn read_file(fd: BorrowedFd<'_>, block: &mut [u8], offset: u64) -> Result<usize> {
    let len = block.len().min(family::CALL_MAX);
    retry_on_intr(|| rustix::io::pread(fd, &mut block[..len], offset))
}

/// Writes to a file at its cursor, or to what has none, on a worker. One that was opened for
/// appending is written at its end.
pub(crate) fn write(fd: BorrowedFd<'_>, gather: &Gather, append: bool) -> Result<usize> {
    let slices: Vec<IoSlice<'_>> = gather.slices();
    if append {
        return family::append(fd, &slices);
    }
    retry_on_intr(|| rustix::io::writev(fd, &slices))
}

/// Writes to a file at a position, on a worker.
pub(crate) fn write_at(fd: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> Result<usize> {
    let bytes = &bytes[..bytes.len().min(family::CALL_MAX)];
    retry_on_intr(|| rustix::io::pwrite(fd, bytes, offset))
}

/// Brings a file to its medium, on a worker.
pub(crate) fn sync(fd: BorrowedFd<'_>) -> Result<()> {
    family::sync(fd)
}

/// Whether a read would find something, or so the system says: as it does of what cannot be waited
/// for.
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    is_ready(fd, PollFlags::IN)
}

/// Whether a write would find room, or so the system says.
pub(crate) fn is_writable(fd: BorrowedFd<'_>) -> bool {
    is_ready(fd, PollFlags::OUT)
}

/// Whether the other end has ended its direction or is gone, as far as poll(2) tells: of a pipe
/// everywhere, of a socket whose other end has only ended its direction where POLLRDHUP is known.
pub(crate) fn is_peer_gone(fd: BorrowedFd<'_>) -> bool {
    is_ready(fd, family::PEER_GONE)
}

/// Whether poll(2) says of something that it is ready, as it does of what cannot be waited for.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags) -> bool {
    let mut fds = [PollFd::new(&fd, flags)];
    matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
}

/// Whether the other side of a pipe or terminal has gone. Input is asked for, because FreeBSD says
/// something else of a FIFO before its first writer to who asks for nothing, and macOS says of a
/// device that it cannot look (POLLNVAL, poll(2) under BUGS).
fn is_hung_up(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let polled = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    polled.is_ok() && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Waits for nothing, so long or until a signal comes: a driver that cannot wait.
pub(crate) fn pause(time: Duration) {
    // Whatever it says, time has passed or a signal has come.
    let _ = poll(&mut [], Timespec::try_from(time).ok().as_ref());
}
