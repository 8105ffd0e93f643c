//! One operation, one system call. Those of sockets do not wait; of handles only threads ask.

use std::{
    fs::File,
    io::{self, IoSlice, Read, Seek, SeekFrom, Write},
    mem::{ManuallyDrop, MaybeUninit},
    net::Shutdown,
    os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle, RawHandle},
    ptr, thread,
    time::Duration,
};

use socket2::MaybeUninitSlice;
use windows_sys::{
    Win32::{
        Storage::FileSystem::{GetFileSizeEx, ReadFile, WriteFile},
        System::{
            IO::{GetOverlappedResult, OVERLAPPED, OVERLAPPED_0, OVERLAPPED_0_0},
            Pipes::PeekNamedPipe,
            Threading::CreateEventW,
        },
    },
    core::BOOL,
};

use crate::{
    pure::{address::Address, buffer::outgoing::Gather},
    system::{
        fd_kind::FdKind,
        sys::{
            address,
            errno::Errno,
            outcome::{Arrived, Attempt, Pushed, Received},
            owned::{BorrowedDescriptor, OwnedDescriptor},
            unsent::Unsent,
        },
    },
};

type Result<T> = std::result::Result<T, Errno>;

/// How much is written to a pipe or console at a time: that much of what is cancelled may still be
/// written, and counts as taken.
pub(crate) const PIECE: usize = 4096;

/// Reads what is no regular file. Never waits.
pub(crate) fn receive(
    fd: BorrowedDescriptor<'_>,
    _: FdKind,
    _touched: bool,
    block: &mut [u8],
) -> Received {
    let Some(socket) = fd.socket() else { return Received::MayWait };
    match (&*socket).read(block) {
        Ok(0) => Received::End,
        Ok(count) => Received::Some(count),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
        Err(error) => Received::Failed(Errno::of(&error)),
    }
}

/// The same by a call that waits; on a thread.
pub(crate) fn receive_waiting(
    fd: BorrowedDescriptor<'_>,
    fd_kind: FdKind,
    block: &mut [u8],
) -> Received {
    let result = match fd_kind {
        FdKind::Pipe { .. } => read_file(fd, block, 0),
        _ => read(fd, block),
    };
    match result {
        // A writer of a pipe may write a message of nothing.
        Ok(0) if matches!(fd_kind, FdKind::Pipe { .. }) && has_writer(fd) => Received::Nothing,
        Ok(0) | Err(Errno::PIPE) => Received::End,
        Ok(count) => Received::Some(count),
        Err(error) => Received::Failed(error),
    }
}

/// Whether a pipe's other side is still there.
#[expect(unsafe_code, reason = "a call that only looks at an open handle")]
fn has_writer(fd: BorrowedDescriptor<'_>) -> bool {
    let nothing = ptr::null_mut();
    fd.as_handle().is_some_and(|pipe| {
        // SAFETY: the handle is open as long as it is borrowed, and nothing is asked for but
        // whether the call succeeds.
        unsafe {
            PeekNamedPipe(pipe.as_raw_handle(), ptr::null_mut(), 0, nothing, nothing, nothing) != 0
        }
    })
}

/// Writes to what is no regular file. Never waits.
pub(crate) fn send(fd: BorrowedDescriptor<'_>, _: FdKind, gather: &Gather) -> Pushed {
    let Some(socket) = fd.socket() else { return Pushed::MayWait };
    let result = match gather.single() {
        Some(bytes) => socket.send(bytes),
        None => socket.send_vectored(&gather.slices()),
    };
    match result.map_err(|error| Errno::of(&error)) {
        Err(Errno::AGAIN) => Pushed::Full,
        result => Pushed::Done(result),
    }
}

/// The same by calls that may wait, on a thread: a piece, which counts as taken once that begins.
/// Nothing tells how much a pipe or a console takes without waiting, and a call that waits and is
/// cancelled does not say how much somebody has read of it.
pub(crate) fn send_waiting(
    fd: BorrowedDescriptor<'_>,
    fd_kind: FdKind,
    unsent: &Unsent,
) -> (Option<Box<Gather>>, Pushed) {
    let Some(piece) = unsent.copy_piece(PIECE) else { return (None, Pushed::Full) };
    let mut written = 0;
    let result = loop {
        let rest = &piece[written..];
        let result = match fd_kind {
            FdKind::Pipe { .. } => write_at(fd, rest, 0),
            _ => with_file(fd, |mut file| file.write(rest)),
        };
        match result.map_err(broken_pipe) {
            Ok(count) => written += count,
            // Said again by the next.
            Err(_) if written > 0 => break Ok(written),
            Err(error) => break Err(error),
        }
        if written == piece.len() || result == Ok(0) {
            break Ok(written);
        }
    };
    (unsent.take(), Pushed::Done(result))
}

/// What a pipe without a reader says while it closes is what it says later.
pub(crate) fn broken_pipe(error: Errno) -> Errno {
    if error == Errno::NO_DATA { Errno::PIPE } else { error }
}

/// Receives one datagram, as much of it as the block takes. That nobody has received an earlier one
/// of a socket without a peer (WSAECONNRESET, WSAENETRESET) is about that one, and says nothing
/// here, as elsewhere.
#[expect(unsafe_code, reason = "the library takes memory that need not be initialised")]
pub(crate) fn receive_datagram(fd: BorrowedDescriptor<'_>, block: &mut [u8]) -> Attempt<Arrived> {
    const STALE_MAX: usize = 1024;
    let Some(socket) = fd.socket() else { return Attempt::Done(Err(Errno::NOTSOCK)) };
    for _ in 0..STALE_MAX {
        // SAFETY: the same bytes, as long as they are borrowed. The library writes bytes there, so
        // that they stay initialised.
        let room = unsafe { &mut *(ptr::from_mut(&mut *block) as *mut [MaybeUninit<u8>]) };
        match socket.recv_from_vectored(&mut [MaybeUninitSlice::new(room)]) {
            Ok((len, flags, from)) => {
                let from = address::from_system(&from);
                // A receive of a socket that is connected need not say from whom.
                let from = from.or_else(|| address::from_system(&socket.peer_addr().ok()?));
                let truncated = flags.is_truncated();
                let from = from.unwrap_or(Address::UnixUnnamed);
                return Attempt::Done(Ok(Arrived { len, truncated, from }));
            }
            Err(error) => match Errno::of(&error) {
                Errno::AGAIN => return Attempt::WouldBlock,
                Errno::CONNRESET | Errno::NETRESET if socket.peer_addr().is_err() => {}
                // What is said elsewhere of a port that nobody is at.
                Errno::CONNRESET => return Attempt::Done(Err(Errno::CONNREFUSED)),
                error => return Attempt::Done(Err(error)),
            },
        }
    }
    Attempt::WouldBlock
}

/// Sends one datagram, whole or not at all: to whom the socket is connected to, if `to` is none.
pub(crate) fn send_datagram(
    fd: BorrowedDescriptor<'_>,
    bytes: &[u8],
    to: Option<&Address>,
) -> Attempt<()> {
    let Some(socket) = fd.socket() else { return Attempt::Done(Err(Errno::NOTSOCK)) };
    let result = match to.map(address::to_system) {
        None => socket.send(bytes),
        Some(Ok(to)) => socket.send_to(bytes, &to),
        Some(Err(_)) => return Attempt::Done(Err(Errno::AFNOSUPPORT)),
    };
    match result.map_err(|error| Errno::of(&error)) {
        Err(Errno::AGAIN) => Attempt::WouldBlock,
        result => Attempt::Done(result.map(drop)),
    }
}

/// Whether a socket has room by now, of which it said that it had none. It is asked for by itself.
pub(crate) const fn has_room(_: BorrowedDescriptor<'_>) -> bool {
    false
}

/// Sends to a socket.
pub(crate) fn send_bytes(fd: BorrowedDescriptor<'_>, bytes: &[u8]) -> Result<usize> {
    match fd.socket() {
        Some(socket) => socket.send(bytes).map_err(|error| Errno::of(&error)),
        None => Err(Errno::NOTSOCK),
    }
}

/// Begins to connect. Returns whether it is done already.
pub(crate) fn connect(fd: BorrowedDescriptor<'_>, to: &Address) -> Result<bool> {
    let socket = fd.socket().ok_or(Errno::NOTSOCK)?;
    let to = address::to_system(to).map_err(|_| Errno::AFNOSUPPORT)?;
    match socket.connect(&to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(Errno::of(&error)),
    }
}

/// How a connect ended. A writable socket may be a spurious event, so its peer is asked for.
pub(crate) fn connected(fd: BorrowedDescriptor<'_>) -> Attempt<()> {
    let Some(socket) = fd.socket() else { return Attempt::Done(Err(Errno::NOTSOCK)) };
    match socket.take_error() {
        Ok(None) => {}
        Ok(Some(error)) | Err(error) => return Attempt::Done(Err(Errno::of(&error))),
    }
    match socket.peer_addr().map_err(|error| Errno::of(&error)) {
        Ok(_) => Attempt::Done(Ok(())),
        Err(Errno::NOTCONN) => Attempt::WouldBlock,
        Err(error) => Attempt::Done(Err(error)),
    }
}

/// Takes one connection. Those that died while they waited are skipped.
pub(crate) fn accept(fd: BorrowedDescriptor<'_>) -> Attempt<OwnedDescriptor> {
    const DEAD_MAX: usize = 1024;
    let Some(socket) = fd.socket() else { return Attempt::Done(Err(Errno::NOTSOCK)) };
    for _ in 0..DEAD_MAX {
        let accepted = socket.accept().and_then(|(connection, _)| {
            connection.set_nonblocking(true)?;
            Ok(connection)
        });
        match accepted.map_err(|error| Errno::of(&error)) {
            Err(Errno::AGAIN) => return Attempt::WouldBlock,
            Err(error) if is_of_one_connection(error) => {}
            result => return Attempt::Done(result.map(Into::into)),
        }
    }
    Attempt::WouldBlock
}

/// Whether an accept failed for the sake of one connection, that died while it waited, and the next
/// may succeed.
pub(crate) const fn is_of_one_connection(error: Errno) -> bool {
    matches!(error, Errno::CONNRESET | Errno::CONNABORTED | Errno::NOTCONN | Errno::UNEXP_NET_ERR)
}

pub(crate) fn shutdown_write(fd: BorrowedDescriptor<'_>) -> Result<()> {
    let Some(socket) = fd.socket() else { return Err(Errno::NOTSOCK) };
    match socket.shutdown(Shutdown::Write).map_err(|error| Errno::of(&error)) {
        // The peer has reset the connection: the direction has ended all the same.
        Err(Errno::NOTCONN | Errno::CONNRESET | Errno::CONNABORTED) => Ok(()),
        result => result,
    }
}

/// How many blocks are read away before a close: more than a socket's buffer holds by default.
const DRAIN_MAX: usize = 128;

/// Ends the outgoing direction of a connection and reads what has arrived, so that closing it
/// resets nothing.
pub(crate) fn end_in_order(fd: BorrowedDescriptor<'_>, block: &mut [u8]) {
    let Some(socket) = fd.socket() else { return };
    let _ = socket.shutdown(Shutdown::Write);
    // A bound, because a peer may send as fast as this reads.
    for _ in 0..DRAIN_MAX {
        if !matches!((&*socket).read(block), Ok(1..)) {
            break;
        }
    }
}

/// Has the close that follows reset a connection.
pub(crate) fn reset_by_close(fd: BorrowedDescriptor<'_>) {
    if let Some(socket) = fd.socket() {
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}

/// Resets a connection that others hold, too: with the last of them, as nothing does so before.
pub(crate) fn reset(fd: BorrowedDescriptor<'_>) {
    reset_by_close(fd);
}

/// Whether the close that is to follow waits for a socket's peer, as SO_LINGER has it. If so, the
/// socket waits from now on: closesocket refuses to close one that may not wait (WSAEWOULDBLOCK).
pub(crate) fn lingers(fd: BorrowedDescriptor<'_>) -> bool {
    fd.socket().is_some_and(|socket| {
        let lingers = socket.linger().is_ok_and(|linger| linger.is_some());
        if lingers {
            let _ = socket.set_nonblocking(false);
        }
        lingers
    })
}

/// Moves the cursor of a file back by so many bytes.
pub(crate) fn move_cursor_back(fd: BorrowedDescriptor<'_>, bytes: i64) {
    // Fails for what has no cursor, where nothing was read ahead.
    let _ = with_file(fd, |mut file| file.seek(SeekFrom::Current(-bytes)));
}

/// Nothing tells whether the read of a file would wait for a disk.
pub(crate) const fn read_at_once(_: BorrowedDescriptor<'_>, _: &mut [u8]) -> Attempt<usize> {
    Attempt::WouldBlock
}

/// Nothing tells whether the read of a file would wait for a disk.
pub(crate) const fn read_file_at_once(
    _: BorrowedDescriptor<'_>,
    _: &mut [u8],
    _: u64,
) -> Attempt<usize> {
    Attempt::WouldBlock
}

/// Reads a file at its cursor, or what has none, on a worker.
pub(crate) fn read(fd: BorrowedDescriptor<'_>, block: &mut [u8]) -> Result<usize> {
    with_file(fd, |mut file| file.read(block))
}

/// Reads a file at a position, or a pipe, on a worker. Nothing at the end.
#[expect(unsafe_code, reason = "a call of the system into memory that is lent")]
pub(crate) fn read_file(
    fd: BorrowedDescriptor<'_>,
    block: &mut [u8],
    offset: u64,
) -> Result<usize> {
    let handle = fd.as_handle().ok_or(Errno::BADF)?.as_raw_handle();
    let most = u32::try_from(block.len()).unwrap_or(u32::MAX);
    let result = wait_for(handle, offset, |overlapped| {
        // SAFETY: the handle is open as long as it is borrowed, the block is as long as is said, and
        // what is not over when this returns is waited for by `wait_for`.
        unsafe { ReadFile(handle, block.as_mut_ptr(), most, ptr::null_mut(), overlapped) }
    });
    match result {
        Err(Errno::HANDLE_EOF) => Ok(0),
        result => result,
    }
}

/// Writes to a file at its cursor, or to what has none, on a worker. One that was opened for
/// appending is written at its end by the system, which moves the cursor there: it is put back.
pub(crate) fn write(fd: BorrowedDescriptor<'_>, gather: &Gather, append: bool) -> Result<usize> {
    if !append {
        return write_at_cursor(fd, gather);
    }
    let cursor = with_file(fd, |mut file| file.stream_position())?;
    let written = write_at_cursor(fd, gather);
    with_file(fd, |mut file| file.seek(SeekFrom::Start(cursor)))?;
    written
}

fn write_at_cursor(fd: BorrowedDescriptor<'_>, gather: &Gather) -> Result<usize> {
    let slices: Vec<IoSlice<'_>> = gather.slices();
    with_file(fd, |mut file| {
        let mut written = 0;
        // One call writes one piece.
        for slice in &slices {
            match file.write(slice) {
                Ok(count) => {
                    written += count;
                    if count < slice.len() {
                        break;
                    }
                }
                // Said again by the next.
                Err(_) if written > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    })
}

/// Writes to a file at a position, or to a pipe, on a worker.
#[expect(unsafe_code, reason = "a call of the system out of memory that is lent")]
pub(crate) fn write_at(fd: BorrowedDescriptor<'_>, bytes: &[u8], offset: u64) -> Result<usize> {
    let handle = fd.as_handle().ok_or(Errno::BADF)?.as_raw_handle();
    let most = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    wait_for(handle, offset, |overlapped| {
        // SAFETY: as in `read_file`.
        unsafe { WriteFile(handle, bytes.as_ptr(), most, ptr::null_mut(), overlapped) }
    })
}

/// Waits for an operation that `begin` begins, and says how many bytes it has moved. It is waited for
/// by an event of its own: a handle that was opened to be overlapped is signalled by whichever of
/// its operations ends, and the standard library, which waits for the handle, ends the process when
/// that was another.
#[expect(unsafe_code, reason = "calls of the system")]
fn wait_for(
    handle: RawHandle,
    offset: u64,
    begin: impl FnOnce(*mut OVERLAPPED) -> BOOL,
) -> Result<usize> {
    // SAFETY: makes a new one, that only this has.
    let event = unsafe { CreateEventW(ptr::null(), 1, 0, ptr::null()) };
    if event.is_null() {
        return Err(last_error());
    }
    // SAFETY: as above.
    let event = unsafe { OwnedHandle::from_raw_handle(event) };
    let mut overlapped = overlapped_at(offset);
    // The lowest bit has no port be told, which knows no such operation.
    overlapped.hEvent = event.as_raw_handle().map_addr(|number| number | 1);
    let begun = begin(&raw mut overlapped);
    match (begun != 0).then_some(()).ok_or_else(last_error) {
        Ok(()) | Err(Errno::MORE_DATA) => return Ok(overlapped.InternalHigh),
        Err(Errno::IO_PENDING) => {}
        Err(error) => return Err(error),
    }
    let mut count = 0;
    // SAFETY: the operation was begun with this, and is over when the call returns.
    let done = unsafe { GetOverlappedResult(handle, &raw const overlapped, &raw mut count, 1) };
    match (done != 0).then_some(()).ok_or_else(last_error) {
        // Of a message that is longer than the block the rest comes next.
        Ok(()) | Err(Errno::MORE_DATA) => Ok(count as usize),
        Err(error) => Err(error),
    }
}

/// What an operation at this position is begun with.
pub(crate) fn overlapped_at(offset: u64) -> OVERLAPPED {
    #[expect(clippy::cast_possible_truncation, reason = "its lower half, and its upper")]
    let (low, high) = (offset as u32, (offset >> 32) as u32);
    let position = OVERLAPPED_0 { Anonymous: OVERLAPPED_0_0 { Offset: low, OffsetHigh: high } };
    OVERLAPPED { Anonymous: position, ..OVERLAPPED::default() }
}

/// What the last call of this thread has failed with.
pub(crate) fn last_error() -> Errno {
    Errno::of(&io::Error::last_os_error())
}

/// Whether a file is at least so long.
#[expect(unsafe_code, reason = "a call that only looks at an open handle")]
pub(crate) fn reaches(file: BorrowedHandle<'_>, end: u64) -> bool {
    let mut len = 0;
    // SAFETY: the handle is open as long as it is borrowed.
    let done = unsafe { GetFileSizeEx(file.as_raw_handle(), &raw mut len) };
    done != 0 && u64::try_from(len).is_ok_and(|len| len >= end)
}

/// Brings a file to its medium, on a worker.
pub(crate) fn sync(fd: BorrowedDescriptor<'_>) -> Result<()> {
    with_file(fd, File::sync_all)
}

/// Whether a read would find something. Of a handle nothing tells before a call that waits.
pub(crate) const fn is_readable(_: BorrowedDescriptor<'_>) -> bool {
    true
}

/// Whether a write would find room. Of a handle nothing tells before a call that waits.
pub(crate) const fn is_writable(_: BorrowedDescriptor<'_>) -> bool {
    true
}

/// Whether the other end is gone. No call tells without taking something.
pub(crate) const fn is_peer_gone(_: BorrowedDescriptor<'_>) -> bool {
    false
}

/// Waits so long, or until this thread is unparked: a driver that cannot wait.
pub(crate) fn pause(time: Duration) {
    thread::park_timeout(time);
}

/// Uses a handle as the standard library's file, which knows how to read and write it.
fn with_file<R>(fd: BorrowedDescriptor<'_>, f: impl FnOnce(&File) -> io::Result<R>) -> Result<R> {
    let handle = fd.as_handle().ok_or(Errno::BADF)?;
    #[expect(unsafe_code, reason = "the library wants an owner, and this handle is borrowed")]
    // SAFETY: the handle is open as long as it is borrowed. `ManuallyDrop` keeps this second owner
    // from ever closing it.
    let file = ManuallyDrop::new(unsafe { File::from_raw_handle(handle.as_raw_handle()) });
    f(&file).map_err(|error| Errno::of(&error))
}
