//! [`Ring`]: the two queues shared with the kernel. See io_uring(7).
//!
//! Unsafe, because the kernel acts on what an entry points to, when the compiler knows nothing of
//! it.
#![expect(unsafe_code, reason = "the kernel reads and writes what submitted entries point to")]

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    time::Duration,
};

use io_uring::{
    EnterFlags, IoUring, Probe, cqueue, opcode, squeue,
    types::{SubmitArgs, Timespec},
};
use rustix::io::Errno;

use crate::{pure::table::Id, system::driver::uring::buffers::Buffers};

/// How many entries one call submits at most.
const SUBMISSIONS: u32 = 256;
/// How many completions the kernel keeps before it sets them aside.
const COMPLETIONS: u32 = 4096;
/// How long one call waits at most: the kernel takes a number of seconds that has no sign for one
/// that is negative, and such a wait for over.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// The submission and the completion queue.
pub(super) struct Ring {
    uring: IoUring,
    /// What the submission queue had no room for, in order.
    backlog: VecDeque<squeue::Entry>,
    /// Somebody waits for the eventfd. The kernel counts it up only when the first thing to be
    /// fetched comes, so everything must have been fetched before, whatever the flags say.
    always_fetches: bool,
}

/// How large the queues are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) submissions: u32,
    pub(super) completions: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self { submissions: SUBMISSIONS, completions: COMPLETIONS }
    }
}

/// What the kernel says of an operation.
#[derive(Debug)]
pub(super) struct Report {
    /// Which one.
    pub(super) key: Id,
    pub(super) result: Result<u32, Errno>,
    /// Others will follow for the same operation.
    pub(super) more: bool,
    /// The provided buffer that it used.
    pub(super) buffer: Option<u16>,
}

impl Ring {
    /// Sets the queues up and makes sure that they do what the driver needs.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses with, or `Unsupported` if it is too old.
    pub(super) fn open(size: Size) -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(size.completions)
            .build(size.submissions)?;
        let features = uring.params();
        if !features.is_feature_nodrop() || !features.is_feature_ext_arg() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut probe = Probe::new();
        uring.submitter().register_probe(&mut probe)?;
        let needed = [
            opcode::RecvMulti::CODE,
            opcode::AcceptMulti::CODE,
            opcode::Send::CODE,
            opcode::SendMsg::CODE,
            opcode::Connect::CODE,
            opcode::PollAdd::CODE,
            opcode::AsyncCancel::CODE,
            opcode::Read::CODE,
            opcode::Writev::CODE,
            opcode::Write::CODE,
            opcode::Fsync::CODE,
        ];
        if needed.iter().any(|&code| !probe.is_supported(code)) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut ring = Self { uring, backlog: VecDeque::new(), always_fetches: false };
        ring.try_out()?;
        Ok(ring)
    }

    /// Runs one operation that does nothing: some systems let rings be made but not used.
    fn try_out(&mut self) -> io::Result<()> {
        let key = Id::from_bits(1 << 32);
        // SAFETY: the entry points to nothing.
        unsafe { self.push(opcode::Nop::new().build(), key) };
        self.enter(None)?;
        match self.pop() {
            Some(Report { result: Ok(_), .. }) => Ok(()),
            Some(Report { result: Err(error), .. }) => Err(error.into()),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Lets the kernel take buffers for receptions from `buffers`, as group zero.
    pub(super) fn register(&self, buffers: &Buffers) -> io::Result<()> {
        let (address, entries) = buffers.ring();
        // SAFETY: the memory is mapped and stays so until the ring is closed: `Uring` drops it
        // afterwards (D8).
        unsafe { self.uring.submitter().register_buf_ring_with_flags(address, entries, 0, 0) }
    }

    /// Lets the kernel count up `eventfd` whenever there is something to reap.
    pub(super) fn register_eventfd(&mut self, eventfd: BorrowedFd<'_>) -> io::Result<()> {
        self.always_fetches = true;
        self.uring.submitter().register_eventfd(eventfd.as_raw_fd())
    }

    /// Queues an operation, to be submitted by the next [`enter`](Self::enter).
    ///
    /// # Safety
    ///
    /// What the entry points to must stay where it is, and be touched by nobody else, until the
    /// last report with this key (D3).
    pub(super) unsafe fn push(&mut self, entry: squeue::Entry, key: Id) {
        let entry = entry.user_data(key.to_bits());
        if self.backlog.is_empty() {
            // SAFETY: the caller's promise.
            if unsafe { self.uring.submission().push(&entry) }.is_ok() {
                return;
            }
        }
        self.backlog.push_back(entry);
    }

    /// Queues the request that the operation with key `target` end.
    pub(super) fn push_cancel(&mut self, target: Id, key: Id) {
        let entry = opcode::AsyncCancel::new(target.to_bits()).build();
        // SAFETY: the entry points to nothing.
        unsafe { self.push(entry, key) }
    }

    /// Whether something is queued that the kernel has not been given.
    pub(super) fn has_unsubmitted(&mut self) -> bool {
        !self.backlog.is_empty() || !self.uring.submission().is_empty()
    }

    /// Submits what is queued and waits for a report, at most `timeout`, or for ever if none. Makes
    /// no system call if there is nothing to submit, to wait for, or to be fetched.
    ///
    /// # Errors
    ///
    /// Some pass: the kernel has no memory, or no room for what would complete, which is made by
    /// taking the reports. What is not submitted stays queued.
    pub(super) fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        loop {
            self.refill();
            let waits = timeout != Some(Duration::ZERO) && self.backlog.is_empty();
            let submission = self.uring.submission();
            let idle = submission.is_empty() && !submission.taskrun() && !submission.cq_overflow();
            drop(submission);
            if idle && !waits && !self.always_fetches {
                return Ok(());
            }
            let limit = timeout.unwrap_or_default().min(WAIT_MAX);
            let limit = Timespec::new().sec(limit.as_secs()).nsec(limit.subsec_nanos());
            let mut arguments = SubmitArgs::new();
            if timeout.is_some() && waits {
                arguments = arguments.timespec(&limit);
            }
            // Fetching is asked for in any case: what the kernel does for an entry may complete
            // others.
            let flags = (EnterFlags::GETEVENTS | EnterFlags::EXT_ARG).bits();
            let (count, least) = (self.uring.submission().len(), u32::from(waits));
            let count = u32::try_from(count).expect("no more than the queue holds");
            let submitter = self.uring.submitter();
            // SAFETY: the arguments are of the kind that the flag says, and live until it returns.
            let entered = unsafe { submitter.enter(count, least, flags, Some(&arguments)) };
            match entered.map_err(|error| (Errno::from_io_error(&error), error)) {
                Ok(_) => {}
                // Time is up, or a signal came: the caller looks what there is.
                Err((Some(Errno::TIME | Errno::INTR), _)) => return Ok(()),
                Err((_, error)) => return Err(error),
            }
            if self.backlog.is_empty() {
                return Ok(());
            }
        }
    }

    /// Moves what was set aside into the submission queue, as much as there is room for.
    fn refill(&mut self) {
        let mut submission = self.uring.submission();
        while let Some(entry) = self.backlog.front() {
            // SAFETY: who set it aside had the promise of `push`.
            if unsafe { submission.push(entry) }.is_err() {
                return;
            }
            self.backlog.pop_front();
        }
    }

    /// Takes the next report.
    pub(super) fn pop(&mut self) -> Option<Report> {
        self.uring.completion().next().map(|entry| Report::from(&entry))
    }

    /// Takes all reports that are there.
    pub(super) fn take_reports(&mut self, reports: &mut Vec<Report>) {
        reports.extend(self.uring.completion().map(|entry| Report::from(&entry)));
    }
}

impl From<&cqueue::Entry> for Report {
    #[inline]
    fn from(entry: &cqueue::Entry) -> Self {
        let result = match entry.result() {
            count @ 0.. => Ok(count.unsigned_abs()),
            error => Err(Errno::from_raw_os_error(-error)),
        };
        // What the kernel was given must be there until it is done with it (D3).
        debug_assert_ne!(result, Err(Errno::FAULT), "the kernel has the memory it was given");
        Self {
            key: Id::from_bits(entry.user_data()),
            result,
            more: cqueue::more(entry.flags()),
            buffer: cqueue::buffer_select(entry.flags()),
        }
    }
}

/// Takes the descriptor that an operation has reported as its result.
pub(super) fn reported_descriptor(number: u32) -> OwnedFd {
    let number = i32::try_from(number).expect("descriptors are small");
    // SAFETY: the kernel has just opened it for this process, and told nobody else.
    unsafe { OwnedFd::from_raw_fd(number) }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring owns it and lives as long as the borrow.
        unsafe { BorrowedFd::borrow_raw(self.uring.as_raw_fd()) }
    }
}
