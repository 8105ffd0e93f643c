//! The completion driver: the kernel does the operations and reports them. See io_uring(7).
//!
//! One system call a turn submits what the turn asked for and waits for what comes. Receptions and
//! acceptings stay armed over many reports, and all receptions of a driver share one set of
//! buffers. Pipes, terminals and devices are waited for in the ring and then read and written by
//! calls that do not wait, because their flags may be others'. Where there is no such call a thread
//! of the kernel's does it.
//!
//! Only the last report of an operation ends it. So a reception that was cancelled brings what had
//! arrived by then, and a connection that was accepted meanwhile is not lost.

use std::{collections::HashMap, io, os::fd::OwnedFd, sync::Arc, time::Duration};

use rustix::{event::PollFlags, io::Errno};

use crate::{
    pure::{
        address::Address,
        buffer::outgoing::Gather,
        clock::now,
        panics::Panics,
        table::{Id, SideTable},
    },
    system::{
        descriptor::Descriptor,
        driver::{
            Completion, Driver, Ended, Event, FileDone, FileTask, Operation, Readiness, Release,
            Role, Waker,
            blocks::Blocks,
            close::close,
            datagrams::{self, End},
            refusals::Refusals,
            uring::{
                buffers::{Buffers, LEN},
                in_flight::{DeviceRead, Flight, InFlight, ReadAt, Work, WriteAt},
                ring::{Report, Ring, Size, reported_descriptor},
                source::{InHand, Source},
            },
        },
        fd_kind::FdKind,
        sys::{
            family,
            outcome::{Attempt, Pushed, Received},
            syscall,
        },
    },
};

pub(super) mod bell;
mod buffers;
#[cfg_attr(facade_quarantine, path = "quarantine.rs")]
mod exposed;
mod in_flight;
mod ring;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use bell::Bell;

/// Files that are streams are read and written above, listeners neither, and datagrams one by one.
const NOT_HERE: &str = "no stream of a driver's";
/// How much a reception that stays armed brings before the driver is asked again: what one stream
/// can fill in one wait, whoever reads it. Without a bound the kernel fills 33 buffers.
#[expect(clippy::cast_possible_truncation, reason = "two buffers, which is little")]
const MOST: u32 = 2 * LEN as u32;
/// How often a driver that goes asks the kernel to let go of its memory, and how long it waits for
/// that each time.
const REQUESTS: u32 = 10;
const PATIENCE: Duration = Duration::from_millis(100);

/// The driver. The ring goes before what it points to (D8).
pub(crate) struct Uring {
    ring: Ring,
    in_flight: InFlight,
    buffers: Buffers,
    sources: SideTable<Source>,
    /// Pipes and terminals to be tried in the next wait.
    ready: Vec<Id>,
    /// Receptions to be armed in the next wait: they found no buffer, or have brought enough for
    /// one.
    resting: Vec<Id>,
    /// How much a reception brings in one wait, about; zero where the kernel knows no such bound.
    most: u32,
    /// Sockets whose peer has just ended.
    hung_up: Vec<Id>,
    /// What ended at once, for the next wait.
    done: Vec<Completion>,
    /// What the kernel has said and nobody looked at yet, within one wait.
    reports: Vec<Report>,
    bell: Arc<Bell>,
    blocks: Blocks,
    block: Vec<u8>,
    /// Which operations in flight work for which operations above, on files.
    files: HashMap<Id, Id>,
    /// How many operations on files are in flight.
    at_work: usize,
    refusals: Refusals,
}

impl Uring {
    /// The driver, if the system has what it needs.
    pub(crate) fn new() -> io::Result<Self> {
        Self::with(Size::default(), Buffers::new()?)
    }

    fn with(size: Size, buffers: Buffers) -> io::Result<Self> {
        let ring = Ring::open(size)?;
        ring.register(&buffers)?;
        let blocks = Blocks::default();
        let mut driver = Self {
            ring,
            in_flight: InFlight::new(),
            buffers,
            sources: SideTable::new(),
            ready: Vec::new(),
            resting: Vec::new(),
            most: MOST,
            hung_up: Vec::new(),
            done: Vec::new(),
            reports: Vec::new(),
            bell: Arc::new(Bell::new()?),
            block: blocks.get(),
            blocks,
            files: HashMap::new(),
            at_work: 0,
            refusals: Refusals::default(),
        };
        driver.await_wake();
        driver.ring.enter(Some(Duration::ZERO))?;
        Ok(driver)
    }

    fn await_wake(&mut self) {
        self.in_flight.begin(&mut self.ring, Id::NONE, self.bell.wake(), Work::Wake);
    }

    fn source(&mut self, resource: Id) -> Option<&mut Source> {
        self.sources.get_mut(resource)
    }

    fn complete(&mut self, resource: Id, event: Event) {
        self.done.push(Completion { resource, event });
    }

    /// Hands the kernel what is in the ring.
    fn hand_over(&mut self) {
        if self.ring.has_unsubmitted() {
            // What fails now fails in the next wait, too, which tells.
            drop(self.ring.enter(Some(Duration::ZERO)));
        }
    }

    /// Begins an operation on the descriptor of a source. Returns its key.
    fn begin(&mut self, resource: Id, work: Work) -> Option<Id> {
        let source = self.sources.get_mut(resource)?;
        source.flights += 1;
        Some(self.in_flight.begin(&mut self.ring, resource, source.descriptor.borrow(), work))
    }

    /// Has a pipe or terminal tried in the next wait.
    fn make_ready(&mut self, resource: Id) {
        if let Some(source) = self.source(resource)
            && !std::mem::replace(&mut source.listed, true)
        {
            self.ready.push(resource);
        }
    }

    // Receiving

    fn begin_receive(&mut self, resource: Id, once: bool) {
        let Some(source) = self.source(resource) else {
            // A pipe both of whose directions ended with the outgoing one.
            return self.complete(resource, Event::ReceiveEnded(Ended::EndOfStream));
        };
        source.receiving = true;
        source.once = once;
        self.arm_reception(resource);
    }

    fn arm_reception(&mut self, resource: Id) {
        let Some(source) = self.source(resource) else { return };
        let (fd_kind, once) = (source.fd_kind, source.once);
        let work = match fd_kind {
            FdKind::Pipe { .. }
            | FdKind::Terminal { .. }
            | FdKind::Device { .. }
            | FdKind::Datagrams { .. } => {
                return self.make_ready(resource);
            }
            FdKind::Socket { .. } if once || source.hung_up => Work::ReceiveOnce,
            FdKind::Socket { .. } => Work::Receive(self.most),
            FdKind::File { .. } | FdKind::Listener | FdKind::Watched { .. } => {
                unreachable!("{NOT_HERE}")
            }
        };
        let key = self.begin(resource, work);
        let Some(source) = self.source(resource) else { return };
        source.reception = key.into();
        if source.fd_kind.is_socket() && !once {
            self.await_hangup(resource);
        }
    }

    /// Has the kernel tell of the peer's end, unless it is about to or has.
    fn await_hangup(&mut self, resource: Id) {
        let Some(source) = self.source(resource) else { return };
        if source.hung_up || source.hangup.get().is_some() {
            return;
        }
        let key = self.begin(resource, Work::Hangup);
        if let Some(source) = self.source(resource) {
            source.hangup = key.into();
        }
    }

    /// A socket's peer has ended. A reception that has not said so by the end of this wait may have
    /// missed it: armed anew, it looks, and does not stay armed.
    fn look_for_end(&mut self, resource: Id) {
        if let Some(source) = self.source(resource)
            && let Some(key) = source.reception.get()
            && !source.stopping
        {
            self.in_flight.cancel(&mut self.ring, key);
        }
    }

    fn end_receive(&mut self, resource: Id, ended: Ended, completions: &mut Vec<Completion>) {
        let Some(source) = self.source(resource) else { return };
        source.stopping = false;
        if std::mem::take(&mut source.receiving) {
            completions.push(Completion { resource, event: Event::ReceiveEnded(ended) });
        }
    }

    /// A report of a reception from a socket.
    fn received(&mut self, resource: Id, report: &Report, completions: &mut Vec<Completion>) {
        match (report.result, report.buffer) {
            (Ok(count @ 1..), Some(buffer)) => {
                let bytes = self.buffers.take(buffer, count as usize);
                completions.push(Completion { resource, event: Event::Received(bytes) });
            }
            (_, Some(buffer)) => self.buffers.put(buffer),
            (_, None) => {}
        }
        if report.more {
            return;
        }
        let Some(source) = self.source(resource) else { return };
        source.reception = InHand::NONE;
        let over = source.stopping || (source.once && report.result.is_ok());
        match report.result {
            Ok(0) => self.end_receive(resource, Ended::EndOfStream, completions),
            _ if over => self.end_receive(resource, Ended::Stopped, completions),
            // It has brought enough for one wait; those it was brought to may not want more. Or the
            // kernel has ended it for reasons of its own, as it may at any time.
            Ok(_) => self.resting.push(resource),
            Err(Errno::INTR | Errno::AGAIN | Errno::CANCELED) => {
                self.arm_reception(resource);
            }
            Err(Errno::NOBUFS) => {
                self.buffers.grow();
                self.resting.push(resource);
            }
            Err(error) => self.end_receive(resource, Ended::Failed(error.into()), completions),
        }
    }

    /// The report of a read by a call that could wait.
    fn read_waiting(
        &mut self,
        resource: Id,
        block: Vec<u8>,
        result: Result<u32, Errno>,
        completions: &mut Vec<Completion>,
    ) {
        let hot = std::mem::replace(&mut self.block, block);
        if let Some(source) = self.source(resource) {
            source.reception = InHand::NONE;
            let stopping = source.stopping;
            let result = result.map(|count| count as usize);
            let received = match result {
                // Interrupted: read again, unless it was asked to end.
                Err(Errno::INTR | Errno::CANCELED) => Received::Nothing,
                result => syscall::received(source.descriptor.borrow(), source.fd_kind, result),
            };
            match received {
                Received::Nothing if stopping => {
                    self.end_receive(resource, Ended::Stopped, completions);
                }
                received => self.was_received(resource, received, completions),
            }
        }
        let used = std::mem::replace(&mut self.block, hot);
        self.blocks.put(used);
    }

    // Sending

    fn begin_send(&mut self, resource: Id, gather: Box<Gather>) {
        let Some(source) = self.source(resource) else { return };
        let work = match source.fd_kind {
            FdKind::Pipe { .. } | FdKind::Terminal { .. } | FdKind::Device { .. } => {
                source.unsent = Some(gather);
                return self.make_ready(resource);
            }
            FdKind::Socket { .. } => Work::send(gather),
            FdKind::File { .. }
            | FdKind::Listener
            | FdKind::Watched { .. }
            | FdKind::Datagrams { .. } => {
                unreachable!("{NOT_HERE}")
            }
        };
        let key = self.begin(resource, work);
        if let Some(source) = self.source(resource) {
            source.sending = key.into();
        }
    }

    fn sent(
        &mut self,
        resource: Id,
        gather: Box<Gather>,
        result: Result<u32, Errno>,
        completions: &mut Vec<Completion>,
    ) {
        if let Some(source) = self.source(resource) {
            source.sending = InHand::NONE;
        }
        let result = taken(result).map_err(Into::into);
        completions.push(Completion { resource, event: Event::Sent { gather, result } });
    }

    // Files by position

    fn begin_on_file(&mut self, resource: Id, operation: Id, task: FileTask) {
        let work = match task {
            FileTask::Read { offset, size } => {
                let block = self.blocks.get_sized(size);
                Work::ReadAt(Box::new(ReadAt { operation, block, size, offset }))
            }
            FileTask::Write { offset, bytes } => {
                Work::WriteAt(Box::new(WriteAt { operation, bytes, offset }))
            }
            FileTask::Sync => Work::Sync(operation),
        };
        self.fly_for(resource, operation, work);
    }

    fn fly_for(&mut self, resource: Id, operation: Id, work: Work) {
        if let Some(key) = self.begin(resource, work) {
            self.at_work += 1;
            self.files.insert(operation, key);
        }
    }

    fn file_done(
        &mut self,
        resource: Id,
        work: Work,
        result: Result<u32, Errno>,
        completions: &mut Vec<Completion>,
    ) {
        self.at_work -= 1;
        let again = matches!(result, Err(Errno::INTR | Errno::AGAIN));
        let (operation, done) = match work {
            Work::Sync(operation) if again => return self.fly_for(resource, operation, work),
            Work::ReadAt(read) if again => {
                return self.fly_for(resource, read.operation, Work::ReadAt(read));
            }
            Work::ReadAt(read) => {
                let ReadAt { operation, block, .. } = *read;
                let received = |count| self.blocks.received_sized(block, count as usize);
                (operation, FileDone::Read(result.map(received).map_err(Into::into)))
            }
            Work::WriteAt(write) => {
                (write.operation, FileDone::Written(taken(result).map_err(Into::into)))
            }
            Work::Sync(operation) => {
                (operation, FileDone::Synced(result.map(drop).map_err(Into::into)))
            }
            _ => unreachable!("the others are no work on files by position"),
        };
        self.files.remove(&operation);
        completions.push(Completion { resource, event: Event::File { operation, done } });
    }

    // Pipes and terminals

    /// Reads and writes a pipe or terminal as far as that needs no waiting.
    fn attend(&mut self, resource: Id, completions: &mut Vec<Completion>) {
        let Some(source) = self.source(resource) else { return };
        source.listed = false;
        if source.unsent.is_some() && source.sending.get().is_none() {
            self.try_send(resource, completions);
        }
        let Some(source) = self.source(resource) else { return };
        if source.receiving && source.reception.get().is_none() && source.is_polled() {
            self.try_receive(resource, completions);
        }
    }

    fn try_receive(&mut self, resource: Id, completions: &mut Vec<Completion>) {
        let Some(source) = self.sources.get_mut(resource) else { return };
        if source.fd_kind.is_of_datagrams() {
            return self.receive_datagrams(resource, completions);
        }
        let (fd, touched) = (source.descriptor.borrow(), source.descriptor.is_touched());
        let received = syscall::receive(fd, source.fd_kind, touched, &mut self.block);
        self.was_received(resource, received, completions);
    }

    fn receive_datagrams(&mut self, resource: Id, completions: &mut Vec<Completion>) {
        let Some(source) = self.sources.get_mut(resource) else { return };
        let (fd, most) = (source.descriptor.borrow(), source.most as usize);
        let size = source.size as usize;
        let batch = datagrams::receive(fd, &self.blocks, &mut self.block, size, most);
        source.most -= u32::try_from(batch.datagrams.len()).unwrap_or(source.most);
        let stopping = source.stopping;
        if !batch.datagrams.is_empty() {
            completions.push(Completion { resource, event: Event::Arrived(batch.datagrams) });
        }
        match batch.end {
            End::Failed(error) => {
                self.end_receive(resource, Ended::Failed(error.into()), completions);
            }
            End::Full => self.end_receive(resource, Ended::Stopped, completions),
            _ if stopping => self.end_receive(resource, Ended::Stopped, completions),
            End::Empty => self.await_readable(resource),
            End::More => self.make_ready(resource),
        }
    }

    /// Reports what was received into `self.block`.
    fn was_received(
        &mut self,
        resource: Id,
        received: Received,
        completions: &mut Vec<Completion>,
    ) {
        match received {
            Received::Some(count) | Received::All(count) => {
                let bytes = self.blocks.received(&mut self.block, count);
                completions.push(Completion { resource, event: Event::Received(bytes) });
                match self.source(resource) {
                    Some(source) if source.stopping || source.once => {
                        self.end_receive(resource, Ended::Stopped, completions);
                    }
                    _ => self.make_ready(resource),
                }
            }
            Received::Nothing => self.await_readable(resource),
            Received::MayWait => {
                let work = Work::Read(Box::new(DeviceRead { block: self.blocks.get() }));
                let key = self.begin(resource, work);
                if let Some(source) = self.source(resource) {
                    source.reception = key.into();
                }
            }
            Received::End => self.end_receive(resource, Ended::EndOfStream, completions),
            Received::Failed(error) => {
                self.end_receive(resource, Ended::Failed(error.into()), completions);
            }
        }
    }

    fn try_send(&mut self, resource: Id, completions: &mut Vec<Completion>) {
        let Some(source) = self.source(resource) else { return };
        let Some(gather) = source.unsent.take() else { return };
        match syscall::send(source.descriptor.borrow(), source.fd_kind, &gather) {
            Pushed::Full => self.await_room(resource, gather, completions),
            Pushed::MayWait => {
                let key = self.begin(resource, Work::write(gather));
                if let Some(source) = self.source(resource) {
                    source.sending = key.into();
                }
            }
            Pushed::Done(result) => {
                let result = result.map_err(Into::into);
                completions.push(Completion { resource, event: Event::Sent { gather, result } });
            }
        }
    }

    /// The report of a write by a call that could wait.
    fn written_waiting(
        &mut self,
        resource: Id,
        gather: Box<Gather>,
        result: Result<u32, Errno>,
        completions: &mut Vec<Completion>,
    ) {
        let Some(source) = self.source(resource) else { return };
        let unsending = std::mem::take(&mut source.unsending);
        self.at_work -= usize::from(unsending);
        // Its flags were changed since.
        if result == Err(Errno::AGAIN) && !unsending {
            return self.await_room(resource, gather, completions);
        }
        self.sent(resource, gather, result, completions);
    }

    /// Waits until what had no room may be written. A device that is ready all the same cannot be
    /// waited for: that comes up.
    fn await_room(&mut self, resource: Id, gather: Box<Gather>, completions: &mut Vec<Completion>) {
        if let Some(source) = self.source(resource)
            && matches!(source.fd_kind, FdKind::Device { .. })
            && syscall::is_ready(source.descriptor.borrow(), PollFlags::OUT)
        {
            source.sending = InHand::NONE;
            let event = Event::Sent { gather, result: Err(Errno::AGAIN.into()) };
            return completions.push(Completion { resource, event });
        }
        let key = self.begin(resource, Work::PollOut);
        if let Some(source) = self.source(resource) {
            source.unsent = Some(gather);
            source.sending = key.into();
        }
    }

    fn await_readable(&mut self, resource: Id) {
        let key = self.begin(resource, Work::PollIn);
        if let Some(source) = self.source(resource) {
            source.reception = key.into();
        }
    }

    /// A pipe or terminal may be read now, or a device.
    fn polled_in(&mut self, resource: Id, completions: &mut Vec<Completion>) {
        let Some(source) = self.source(resource) else { return };
        source.reception = InHand::NONE;
        if source.stopping {
            return self.end_receive(resource, Ended::Stopped, completions);
        }
        self.arm_reception(resource);
    }

    /// A pipe or terminal may be written now, or its send was cancelled.
    fn polled_out(&mut self, resource: Id, completions: &mut Vec<Completion>) {
        let Some(source) = self.source(resource) else { return };
        source.sending = InHand::NONE;
        if std::mem::take(&mut source.awaits_room) {
            let unwanted = std::mem::take(&mut source.unsending);
            let result = if unwanted { Err(Errno::CANCELED.into()) } else { Ok(()) };
            return completions.push(Completion { resource, event: Event::Room(result) });
        }
        if std::mem::take(&mut source.unsending)
            && let Some(gather) = source.unsent.take()
        {
            let event = Event::Sent { gather, result: Ok(0) };
            return completions.push(Completion { resource, event });
        }
        self.make_ready(resource);
    }

    // Waiting for readiness alone

    fn begin_poll(&mut self, resource: Id, readiness: Readiness) {
        let Some(source) = self.source(resource) else { return };
        source.polling = Some(readiness);
        let work = match readiness {
            Readiness::Readable => Work::PollIn,
            Readiness::Writable => Work::PollOut,
            Readiness::PeerGone if source.hung_up => {
                return self.end_poll_at_once(resource, Ok(()));
            }
            Readiness::PeerGone => return self.await_hangup(resource),
        };
        let key = self.begin(resource, work);
        if let Some(source) = self.source(resource) {
            source.reception = key.into();
        }
    }

    fn end_poll_at_once(&mut self, resource: Id, result: io::Result<()>) {
        if let Some(source) = self.source(resource)
            && source.polling.take().is_some()
        {
            self.complete(resource, Event::Polled(result));
        }
    }

    fn polled(
        &mut self,
        resource: Id,
        result: Result<u32, Errno>,
        completions: &mut Vec<Completion>,
    ) {
        let Some(source) = self.source(resource) else { return };
        if source.polling.take().is_some() {
            let event = Event::Polled(result.map(drop).map_err(Into::into));
            completions.push(Completion { resource, event });
        }
    }

    // Accepting and connecting

    fn arm_accepting(&mut self, resource: Id) {
        let Some(source) = self.source(resource) else { return };
        // One that stays armed takes whatever comes, however few are wanted. And of those that wait
        // at one socket the kernel wakes the first, which stays the first while it is armed.
        let work = if source.most == 1 { Work::AcceptOnce } else { Work::Accept };
        let key = self.begin(resource, work);
        if let Some(source) = self.source(resource) {
            source.reception = key.into();
        }
    }

    fn end_accept(
        &mut self,
        resource: Id,
        error: Option<io::Error>,
        completions: &mut Vec<Completion>,
    ) {
        let Some(source) = self.source(resource) else { return };
        source.stopping = false;
        if std::mem::take(&mut source.accepting) {
            completions.push(Completion { resource, event: Event::AcceptEnded(error) });
        }
    }

    fn accepted(&mut self, resource: Id, report: &Report, completions: &mut Vec<Completion>) {
        if let Ok(number) = report.result {
            // Owned from here on: whoever does not want it closes it.
            let event = Event::Accepted(Descriptor::new(reported_descriptor(number)));
            completions.push(Completion { resource, event });
        }
        let Some(source) = self.source(resource) else { return };
        if report.result.is_ok() {
            source.most = source.most.saturating_sub(1);
        }
        if report.more {
            if source.most == 0 {
                self.stop_reception(resource);
            }
            return;
        }
        source.reception = InHand::NONE;
        let stopped = source.stopping || source.most == 0;
        match report.result {
            _ if stopped => self.end_accept(resource, None, completions),
            Err(error) if !family::is_of_one_connection(error) && error != Errno::CANCELED => {
                self.end_accept(resource, Some(error.into()), completions);
            }
            _ => self.arm_accepting(resource),
        }
    }

    fn begin_connect(&mut self, resource: Id, address: &Address) {
        let Some(source) = self.source(resource) else { return };
        if let Address::Inet(address) = address {
            let key = self.begin(resource, Work::Connect(Box::new((*address).into())));
            if let Some(source) = self.source(resource) {
                source.connecting = key.into();
            }
            return;
        }
        // A Unix socket is connected at once or not at all. Left to the kernel, one whose backlog
        // is full would occupy a thread of its.
        let result = syscall::connect(source.descriptor.borrow(), address);
        self.complete(resource, Event::Connected(result.map(drop).map_err(Into::into)));
    }

    fn is_only_watched(&self, resource: Id) -> bool {
        let source = self.sources.get(resource);
        source.is_some_and(|source| matches!(source.fd_kind, FdKind::Watched { .. }))
    }

    // Ending

    /// Asks a reception or accepting to end, once.
    fn stop_reception(&mut self, resource: Id) {
        let Some(source) = self.source(resource) else { return };
        if let Some(key) = source.reception.get()
            && !std::mem::replace(&mut source.stopping, true)
        {
            self.in_flight.cancel(&mut self.ring, key);
        }
    }

    /// Releases the descriptor of a source, of which the kernel has nothing in hand any more.
    fn finish_close(&mut self, resource: Id, release: Release, completions: &mut Vec<Completion>) {
        self.end_receive(resource, Ended::EndOfStream, completions);
        let fd_kind = self.source(resource).map(|source| source.fd_kind);
        let source = self.detach(resource).zip(fd_kind);
        let event = close(source, release, &mut self.block);
        completions.push(Completion { resource, event });
    }

    /// Deals with what the kernel says.
    fn dispatch(&mut self, report: Report, completions: &mut Vec<Completion>) {
        if report.more {
            let Some(Flight { resource, work, .. }) = self.in_flight.get(report.key) else {
                return;
            };
            let resource = *resource;
            match work {
                Work::Receive(_) => self.received(resource, &report, completions),
                Work::Accept => self.accepted(resource, &report, completions),
                _ => {}
            }
            return;
        }
        let Some(Flight { resource, work, .. }) = self.in_flight.end(report.key) else { return };
        if let Some(source) = self.source(resource) {
            source.flights -= 1;
        }
        match work {
            // Linux before 6.17: the next one is without a bound.
            Work::Receive(1..) if report.result == Err(Errno::INVAL) => {
                self.most = 0;
                let report = Report { result: Err(Errno::AGAIN), ..report };
                self.received(resource, &report, completions);
            }
            Work::Receive(_) | Work::ReceiveOnce => self.received(resource, &report, completions),
            Work::Accept | Work::AcceptOnce => self.accepted(resource, &report, completions),
            Work::Connect(_) => {
                if let Some(source) = self.source(resource) {
                    source.connecting = InHand::NONE;
                }
                let result = report.result.map(drop).map_err(Into::into);
                completions.push(Completion { resource, event: Event::Connected(result) });
            }
            Work::Send(gather) => self.sent(resource, gather, report.result, completions),
            Work::SendMany(message) => {
                self.sent(resource, message.gather, report.result, completions);
            }
            Work::Write(write) => {
                self.written_waiting(resource, write.gather, report.result, completions);
            }
            Work::Read(read) => {
                self.read_waiting(resource, read.block, report.result, completions);
            }
            Work::ReadAt(..) | Work::WriteAt(..) | Work::Sync(_) => {
                self.file_done(resource, work, report.result, completions);
            }
            Work::PollIn | Work::PollOut if self.is_only_watched(resource) => {
                self.polled(resource, report.result, completions);
            }
            Work::PollIn => self.polled_in(resource, completions),
            Work::PollOut => self.polled_out(resource, completions),
            Work::Hangup => {
                if let Some(source) = self.source(resource) {
                    source.hangup = InHand::NONE;
                    source.hung_up = report.result.is_ok();
                    self.hung_up.push(resource);
                    self.polled(resource, report.result, completions);
                }
            }
            Work::Wake => self.await_wake(),
            Work::Cancel(request) => {
                self.in_flight.cancel_answered(&mut self.ring, request, report.result);
            }
        }
        if let Some(source) = self.source(resource)
            && source.flights == 0
            && let Some(release) = source.closing.take()
        {
            self.finish_close(resource, release, completions);
        }
    }
}

/// How many bytes a send or write took: none, if it was cancelled or asks to be tried again.
fn taken(result: Result<u32, Errno>) -> Result<usize, Errno> {
    match result {
        Ok(count) => Ok(count as usize),
        Err(Errno::INTR | Errno::AGAIN | Errno::CANCELED) => Ok(0),
        Err(error) => Err(error),
    }
}

impl Driver for Uring {
    fn attach(&mut self, resource: Id, descriptor: Arc<Descriptor>, fd_kind: FdKind) {
        self.sources.insert(resource, Source::new(descriptor, fd_kind));
    }

    fn detach(&mut self, resource: Id) -> Option<Arc<Descriptor>> {
        let source = self.source(resource)?;
        let hangup = source.hangup.take();
        // Else the number could be another file's before the kernel looks at it.
        let others = source.flights - u32::from(hangup.is_some());
        assert_eq!(others, 0, "the kernel has nothing of it in hand");
        if let Some(key) = hangup {
            // It only looks, but keeps the file open until it ends: now, since what is given back
            // may be closed at once, and the peer is to see that.
            self.in_flight.cancel(&mut self.ring, key);
            self.hand_over();
        }
        self.sources.remove(resource).map(|source| source.descriptor)
    }

    fn descriptor(&self, resource: Id) -> Option<&Arc<Descriptor>> {
        self.sources.get(resource).map(|source| &source.descriptor)
    }

    fn submit(&mut self, resource: Id, operation: Operation) {
        match operation {
            Operation::Receive { once } => self.begin_receive(resource, once),
            Operation::Send(gather) => self.begin_send(resource, gather),
            Operation::Accept { most } => {
                let Some(source) = self.source(resource) else { return };
                source.accepting = true;
                // No more at a time; then the listener asks again.
                source.most = u32::try_from(most).unwrap_or(u32::MAX);
                self.arm_accepting(resource);
            }
            Operation::ReceiveFrom { most, size } => {
                if let Some(source) = self.source(resource) {
                    source.most = u32::try_from(most).unwrap_or(u32::MAX);
                    source.size = u32::try_from(size).unwrap_or(u32::MAX);
                }
                self.begin_receive(resource, false);
            }
            Operation::AwaitRoom => {
                let key = self.begin(resource, Work::PollOut);
                if let Some(source) = self.source(resource) {
                    source.awaits_room = true;
                    source.sending = key.into();
                }
            }
            Operation::Connect { address } => self.begin_connect(resource, &address),
            // What is armed in the ring is tried by the kernel itself.
            Operation::Probe => {
                if self.source(resource).is_some_and(|source| source.is_polled()) {
                    self.make_ready(resource);
                }
            }
            Operation::File { operation, task } => self.begin_on_file(resource, operation, task),
            Operation::Poll(readiness) => self.begin_poll(resource, readiness),
            Operation::ShutdownWrite => {
                let Some(source) = self.source(resource) else { return };
                let result = syscall::shutdown_write(source.descriptor.borrow());
                self.complete(resource, Event::ShutDown(result.map_err(Into::into)));
            }
            Operation::Close(release) => match self.source(resource) {
                Some(source) if source.flights > 0 => {
                    source.closing = Some(release);
                    let held = [source.sending, source.connecting, source.hangup];
                    for key in held.into_iter().filter_map(InHand::get) {
                        self.in_flight.cancel(&mut self.ring, key);
                    }
                    self.stop_reception(resource);
                }
                _ => {
                    let mut done = std::mem::take(&mut self.done);
                    self.finish_close(resource, release, &mut done);
                    self.done = done;
                }
            },
        }
    }

    /// Everything written in a turn is submitted by one call.
    fn send_now(&mut self, _resource: Id, _bytes: &[u8]) -> Option<io::Result<usize>> {
        None
    }

    /// By a call, which costs less than an entry in the ring does beside what sending costs.
    fn send_datagram(
        &mut self,
        resource: Id,
        bytes: &[u8],
        to: Option<&Address>,
    ) -> Option<io::Result<()>> {
        let source = self.source(resource)?;
        let fd = source.descriptor.borrow();
        match syscall::send_datagram(fd, bytes, to) {
            Attempt::WouldBlock if syscall::has_room(fd) => Some(Err(Errno::AGAIN.into())),
            Attempt::WouldBlock => None,
            Attempt::Done(result) => Some(result.map_err(Into::into)),
        }
    }

    fn cancel(&mut self, resource: Id, role: Role) {
        let Some(source) = self.source(resource) else { return };
        match role {
            Role::Receive | Role::Accept if source.reception.get().is_some() => {
                self.stop_reception(resource);
            }
            // Resting, or to be tried: the kernel has nothing of it.
            Role::Receive if source.receiving => {
                source.receiving = false;
                self.complete(resource, Event::ReceiveEnded(Ended::Stopped));
            }
            Role::Send => match (source.sending.get(), source.unsent.take()) {
                (Some(key), _) if source.awaits_room => {
                    source.unsending = true;
                    self.in_flight.cancel(&mut self.ring, key);
                }
                (Some(key), unsent) => {
                    // A write that waits in a thread of the kernel's ends as soon as it is told.
                    let waits = unsent.is_none() && source.is_polled() && !source.unsending;
                    source.unsending = source.is_polled();
                    source.unsent = unsent;
                    self.at_work += usize::from(waits);
                    self.in_flight.cancel(&mut self.ring, key);
                }
                (None, Some(gather)) => {
                    let event = Event::Sent { gather, result: Ok(0) };
                    self.complete(resource, event);
                }
                (None, None) => {}
            },
            Role::Connect => {
                if let Some(key) = source.connecting.get() {
                    self.in_flight.cancel(&mut self.ring, key);
                }
            }
            Role::Poll => match (source.polling, source.reception.get()) {
                // What tells of the peer's end goes on: a reception may need it, and so may the next
                // who asks.
                (Some(Readiness::PeerGone), _) => {
                    self.end_poll_at_once(resource, Err(Errno::CANCELED.into()));
                }
                (Some(_), Some(key)) => self.in_flight.cancel(&mut self.ring, key),
                _ => {}
            },
            Role::Receive | Role::Accept => {}
            Role::File(operation) => {
                if let Some(&key) = self.files.get(&operation) {
                    self.in_flight.cancel(&mut self.ring, key);
                }
            }
        }
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        completions: &mut Vec<Completion>,
    ) -> io::Result<()> {
        completions.append(&mut self.done);
        self.buffers.put_returned();
        self.buffers.publish();
        for resource in std::mem::take(&mut self.resting) {
            // It may have been stopped since, or closed, or even armed.
            if self.source(resource).is_some_and(|source| source.is_resting()) {
                self.arm_reception(resource);
            }
        }
        for resource in std::mem::take(&mut self.ready) {
            self.attend(resource, completions);
        }
        // Whatever it rang for is reaped below.
        self.bell.silence();
        let nothing_yet = completions.is_empty() && self.ready.is_empty();
        let wait = if nothing_yet { timeout } else { Some(Duration::ZERO) };
        let entered = self.ring.enter(wait);
        let mut reports = std::mem::take(&mut self.reports);
        self.ring.take_reports(&mut reports);
        if entered.is_ok() || !reports.is_empty() {
            self.refusals.end();
        }
        // Where reports were taken there is room for others.
        let wait = if reports.is_empty() { wait } else { Some(Duration::ZERO) };
        for report in reports.drain(..) {
            self.dispatch(report, completions);
        }
        // Put back for its memory.
        self.reports = reports;
        for resource in std::mem::take(&mut self.hung_up) {
            self.look_for_end(resource);
        }
        self.buffers.publish();
        completions.append(&mut self.done);
        entered.or_else(|error| self.bear(error, wait))
    }

    fn flush(&mut self) {
        // Pipes and terminals are written by calls, which would else come with the next wait.
        let mut done = std::mem::take(&mut self.done);
        for resource in self.ready.clone() {
            if self.source(resource).is_some_and(|source| source.sending.get().is_none()) {
                self.try_send(resource, &mut done);
            }
        }
        self.done = done;
        self.hand_over();
    }

    fn take_done(&mut self, completions: &mut Vec<Completion>) {
        completions.append(&mut self.done);
    }

    fn has_work(&mut self) -> bool {
        !self.done.is_empty()
            || !self.ready.is_empty()
            || !self.resting.is_empty()
            || self.ring.has_unsubmitted()
    }

    fn is_at_work(&self) -> bool {
        self.at_work > 0
    }

    fn waker(&self) -> Waker {
        Waker::Uring(Arc::clone(&self.bell))
    }

    fn as_pollable(&self) -> io::Result<OwnedFd> {
        self.bell.reapable().try_clone_to_owned()
    }

    fn watch(&mut self) -> io::Result<()> {
        if self.bell.watch() {
            self.ring.register_eventfd(self.bell.reapable())?;
            // The kernel tells only of what comes from now on. What is there already may be
            // anything, so the first turn looks.
            self.bell.ring_reapable();
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        "io_uring"
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        for _ in 0..REQUESTS {
            if self.in_flight.len() == 0 {
                return;
            }
            // Again and again: what was between two states may have been missed.
            self.in_flight.cancel_all(&mut self.ring);
            if self.drain().is_err() {
                break;
            }
        }
        if self.in_flight.len() > 0 {
            self.in_flight.leak();
            self.buffers.leak();
        }
    }
}

impl Uring {
    /// The kernel refused to wait: the bell is waited for instead, but no longer than the wait was
    /// to be, so that the caller goes on as if nothing had come.
    fn bear(&mut self, error: io::Error, wait: Option<Duration>) -> io::Result<()> {
        self.bell.wait(self.refusals.bear(error, wait)?);
        Ok(())
    }

    /// Waits for everything in flight to end, but not for ever. What it brings is dropped: a
    /// connection is closed by that.
    fn drain(&mut self) -> io::Result<()> {
        let until = now() + PATIENCE;
        // Which the hook has reported.
        let mut panics = Panics::default();
        while self.in_flight.len() > 0 {
            let left = until.saturating_duration_since(now());
            if left.is_zero() {
                break;
            }
            if let Err(error) = self.ring.enter(Some(left)) {
                self.bear(error, Some(left))?;
            }
            while let Some(report) = self.ring.pop() {
                let is_accept = self
                    .in_flight
                    .get(report.key)
                    .is_some_and(|flight| matches!(flight.work, Work::Accept | Work::AcceptOnce));
                if let (true, Ok(number)) = (is_accept, report.result) {
                    drop(reported_descriptor(number));
                }
                if !report.more {
                    // It may have memory of the user's.
                    panics.contain(|| drop(self.in_flight.end(report.key)));
                }
            }
        }
        Ok(())
    }
}
