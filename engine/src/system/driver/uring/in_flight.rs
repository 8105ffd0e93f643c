//! [`InFlight`]: what the kernel has in hand, and the memory it may touch meanwhile.
//!
//! # The life of an operation
//!
//! 1. *Begun*: its memory moves into the table, its entry into the submission queue. From here on
//!    the memory belongs to the table, and is not touched: not by who asked for the operation, not
//!    when that is cancelled, not when the resource is gone.
//! 2. *Reported*: the kernel says something and goes on (`more`). Nothing changes hands.
//! 3. *Ended*: with the last report the memory leaves the table, for whom it came from.
//!
//! A cancel is another operation that points to this one. Whatever it reports, only the last report
//! of this one counts: it may well have succeeded.
//!
//! If the driver goes before the kernel has reported everything, what is left in the table is
//! leaked (D8).
#![expect(unsafe_code, reason = "entries point to memory, which this table keeps for the kernel")]

use std::{
    io::IoSlice,
    mem,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use bytes::Bytes;
use io_uring::{opcode, squeue, types::Fd};
use rustix::io::Errno;
use socket2::SockAddr;

use crate::{
    pure::{
        buffer::outgoing::Gather,
        table::{Id, Table},
    },
    system::driver::uring::{buffers::LEN as BUFFER_LEN, exposed::Exposed, ring::Ring},
};

/// The operations that have not ended, by the key in their entries.
pub(super) struct InFlight {
    table: Table<Flight>,
}

/// One operation.
pub(super) struct Flight {
    pub(super) resource: Id,
    pub(super) work: Work,
    exposed: Exposed,
}

/// What is done, with the memory that it is done to. What an idle connection has in flight is
/// small; the rest is in boxes.
pub(super) enum Work {
    /// Receives into provided buffers until it fails, ends, is cancelled, or has brought so many
    /// bytes; any number if that is zero.
    Receive(u32),
    /// Receives into one provided buffer.
    ReceiveOnce,
    /// Accepts until it fails or is cancelled.
    Accept,
    /// Accepts one connection.
    AcceptOnce,
    Connect(Box<SockAddr>),
    /// Sends one piece...
    Send(Box<Gather>),
    /// ...or several.
    SendMany(Box<Message>),
    /// Reads what has no position, and may wait for it.
    Read(Box<DeviceRead>),
    /// The same of a write.
    Write(Box<DeviceWrite>),
    /// Reads so many bytes of a file at a position, for an operation above.
    ReadAt(Box<ReadAt>),
    /// Writes to a file at a position, for an operation above.
    WriteAt(Box<WriteAt>),
    /// Brings a file to its medium, for an operation above.
    Sync(Id),
    /// Waits until a pipe or terminal can be read, or what is only waited for...
    PollIn,
    /// ...or written.
    PollOut,
    /// Waits for the peer's end of a socket, see [`Source::hangup`](super::source::Source::hangup).
    Hangup,
    /// Waits for other threads.
    Wake,
    /// Asks another operation to end.
    Cancel(Request),
}

/// A read of what has no position.
pub(super) struct DeviceRead {
    pub(super) block: Vec<u8>,
}

/// A write to what has no position.
pub(super) struct DeviceWrite {
    pub(super) gather: Box<Gather>,
    slices: Vec<libc::iovec>,
}

/// Where something that has no position is read and written.
const NO_POSITION: u64 = u64::MAX;

/// A read at a position, for an operation above.
pub(super) struct ReadAt {
    pub(super) operation: Id,
    pub(super) block: Vec<u8>,
    pub(super) size: usize,
    pub(super) offset: u64,
}

/// A write at a position, for an operation above.
pub(super) struct WriteAt {
    pub(super) operation: Id,
    pub(super) bytes: Bytes,
    pub(super) offset: u64,
}

/// Which operation is asked to end, and how often it is asked again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    target: Id,
    again: u8,
}

/// How often a request is repeated that the kernel says has found nothing, or something it could
/// not stop, although its target goes on: both pass.
const AGAIN_MAX: u8 = 3;

/// A gathered send, its header, and the slices that it points to.
pub(super) struct Message {
    pub(super) gather: Box<Gather>,
    pub(super) header: libc::msghdr,
    pub(super) slices: Vec<libc::iovec>,
}

impl InFlight {
    pub(super) const fn new() -> Self {
        Self { table: Table::new() }
    }

    /// Begins an operation on `fd`. Returns its key.
    pub(super) fn begin(
        &mut self,
        ring: &mut Ring,
        resource: Id,
        fd: BorrowedFd<'_>,
        work: Work,
    ) -> Id {
        let key = self.table.insert(Flight::new(resource, work));
        let flight = self.table.get_mut(key).expect("just inserted");
        let entry = flight.work.entry(Fd(fd.as_raw_fd()), &mut flight.exposed);
        // SAFETY: what the entry points to is on the heap and owned by the table, which lets it go
        // only by `end`, with the last report, or never (D3).
        unsafe { ring.push(entry, key) };
        key
    }

    /// Asks an operation to end.
    pub(super) fn cancel(&mut self, ring: &mut Ring, target: Id) {
        self.request(ring, Request { target, again: AGAIN_MAX });
    }

    fn request(&mut self, ring: &mut Ring, request: Request) {
        let work = Work::Cancel(request);
        let key = self.table.insert(Flight::new(Id::NONE, work));
        ring.push_cancel(request.target, key);
    }

    /// A request was answered. Whatever it says, the last report of its target decides; but if that
    /// is still to come, and this has not reached it, it is asked again.
    pub(super) fn cancel_answered(
        &mut self,
        ring: &mut Ring,
        Request { target, again }: Request,
        answer: Result<u32, Errno>,
    ) {
        let missed = matches!(answer, Err(Errno::NOENT | Errno::ALREADY));
        if missed && again > 0 && self.table.get(target).is_some() {
            self.request(ring, Request { target, again: again - 1 });
        }
    }

    /// Asks everything to end, one after the other. Asked for all at once, the kernel begins with
    /// the first again for each, and takes time quadratic in how many there are (seen on Linux
    /// 6.18).
    pub(super) fn cancel_all(&mut self, ring: &mut Ring) {
        for target in self.table.ids() {
            if !matches!(self.get(target), Some(Flight { work: Work::Cancel(_), .. })) {
                self.request(ring, Request { target, again: 0 });
            }
        }
    }

    pub(super) fn get(&self, key: Id) -> Option<&Flight> {
        self.table.get(key)
    }

    /// Ends an operation, of which this was the last report.
    pub(super) fn end(&mut self, key: Id) -> Option<Flight> {
        let mut flight = self.table.remove(key)?;
        match &mut flight.work {
            Work::Read(read) => flight.exposed.end(&mut read.block),
            Work::ReadAt(read) => flight.exposed.end(&mut read.block[..read.size]),
            _ => {}
        }
        Some(flight)
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Leaves everything to the kernel for ever.
    pub(super) fn leak(&mut self) {
        mem::forget(mem::replace(&mut self.table, Table::new()));
    }
}

impl Flight {
    fn new(resource: Id, work: Work) -> Self {
        Self { resource, work, exposed: Exposed::default() }
    }
}

/// As much as one call takes, read(2).
fn clamp(len: usize) -> u32 {
    u32::try_from(len.min(1 << 30)).expect("clamped")
}

fn slices(gather: &Gather) -> Vec<libc::iovec> {
    let slice = |slice: &IoSlice<'_>| libc::iovec {
        iov_base: slice.as_ptr().cast_mut().cast(),
        iov_len: slice.len(),
    };
    gather.slices().iter().map(slice).collect()
}

impl Work {
    /// A send: gathered, if it is in several pieces.
    pub(super) fn send(gather: Box<Gather>) -> Self {
        if gather.single().is_some() {
            return Self::Send(gather);
        }
        let slices = slices(&gather);
        // SAFETY: all zeros is an empty header.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_iov = slices.as_ptr().cast_mut();
        header.msg_iovlen = slices.len();
        Self::SendMany(Box::new(Message { gather, header, slices }))
    }

    /// A write to what may have it wait.
    pub(super) fn write(gather: Box<Gather>) -> Self {
        let slices = slices(&gather);
        Self::Write(Box::new(DeviceWrite { gather, slices }))
    }

    /// The entry for this, which points into what it exposes.
    fn entry(&mut self, fd: Fd, exposed: &mut Exposed) -> squeue::Entry {
        // A peer that is gone is told by an error and not by a signal that ends the process.
        const FLAGS: i32 = libc::MSG_NOSIGNAL;
        match self {
            Self::Receive(most) => bounded(opcode::RecvMulti::new(fd, 0).build(), *most),
            Self::ReceiveOnce => opcode::Recv::new(fd, ptr::null_mut(), clamp(BUFFER_LEN))
                .build()
                .flags(squeue::Flags::BUFFER_SELECT),
            Self::Accept => opcode::AcceptMulti::new(fd).flags(ACCEPT_FLAGS).build(),
            Self::AcceptOnce => opcode::Accept::new(fd, ptr::null_mut(), ptr::null_mut())
                .flags(ACCEPT_FLAGS)
                .build(),
            Self::Connect(address) => {
                opcode::Connect::new(fd, exposed.address(address).cast(), address.len()).build()
            }
            Self::SendMany(message) => {
                debug_assert_eq!(message.header.msg_iovlen, message.slices.len());
                opcode::SendMsg::new(fd, exposed.message(&message.header, &message.slices))
                    .flags(FLAGS.unsigned_abs())
                    .build()
            }
            Self::Send(gather) => {
                let bytes = gather.single().expect("in one piece");
                let (start, len) = (exposed.bytes(bytes), clamp(bytes.len()));
                opcode::Send::new(fd, start, len).flags(FLAGS).build()
            }
            Self::Read(read) => {
                let len = clamp(read.block.len());
                opcode::Read::new(fd, exposed.block(&mut read.block), len)
                    .offset(NO_POSITION)
                    .build()
                    .flags(ON_THREAD)
            }
            Self::Write(write) => {
                let count = clamp(write.slices.len());
                opcode::Writev::new(fd, exposed.slices(&write.slices), count)
                    .offset(NO_POSITION)
                    .build()
                    .flags(ON_THREAD)
            }
            Self::ReadAt(read) => {
                let (block, len) = (&mut read.block[..read.size], clamp(read.size));
                opcode::Read::new(fd, exposed.block(block), len).offset(read.offset).build()
            }
            Self::WriteAt(write) => {
                let (start, len) = (exposed.bytes(&write.bytes), clamp(write.bytes.len()));
                opcode::Write::new(fd, start, len).offset(write.offset).build()
            }
            Self::Sync(_) => opcode::Fsync::new(fd).build(),
            Self::PollIn => poll(fd, libc::POLLIN, false),
            Self::PollOut => poll(fd, libc::POLLOUT, false),
            Self::Hangup => poll(fd, libc::POLLRDHUP, false),
            Self::Wake => poll(fd, libc::POLLIN, true),
            Self::Cancel(_) => unreachable!("points to an operation and not to a descriptor"),
        }
    }
}

/// A multishot reception that ends when it has brought so many bytes: `optlen`, which the library
/// has no setter for. Linux before 6.17 refuses it unless it is zero (EINVAL).
fn bounded(entry: squeue::Entry, most: u32) -> squeue::Entry {
    /// Where it is among the words of an entry, see io_uring_enter(2).
    const OPTLEN: usize = 11;
    // SAFETY: an entry is plain numbers, as many bytes as the kernel reads, and nothing else.
    let mut words = unsafe { mem::transmute::<squeue::Entry, [u32; 16]>(entry) };
    words[OPTLEN] = most;
    // SAFETY: as above, and any numbers are an entry.
    unsafe { mem::transmute::<[u32; 16], squeue::Entry>(words) }
}

/// What has a thread of the kernel's do something that may wait. Without it the kernel would do it
/// in the call that submits, once poll(2) says that it is ready, which may be true no more. A
/// cancel interrupts it there.
const ON_THREAD: squeue::Flags = squeue::Flags::ASYNC;

/// As connections are wanted.
const ACCEPT_FLAGS: i32 = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;

fn poll(fd: Fd, events: i16, multi: bool) -> squeue::Entry {
    let events = u32::from(events.unsigned_abs());
    opcode::PollAdd::new(fd, events).multi(multi).build()
}
