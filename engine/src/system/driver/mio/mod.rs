//! The readiness driver: completions made of readiness events and non-blocking calls.
//!
//! Each descriptor is registered once, for both directions, edge-triggered. An event only sets a
//! flag; a call that finds nothing clears it. So nothing on the way of a message changes the
//! registration, and a stale or spurious event does no harm.
//!
//! Sources with something to do stand in a list. A wait visits each of them once before it asks the
//! system again, and reads each once, so that no busy stream keeps the others waiting; and it
//! returns when it has received a batch, so that what was received is still in cache when it is
//! parsed and answered.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use ::mio::{Events, Poll, Token, Waker as MioWaker};

use crate::{
    pure::{
        address::Address,
        buffer::outgoing::Gather,
        table::{Id, SideTable},
    },
    system::{
        descriptor::Descriptor,
        driver::{
            Completion, Driver, Ended, Event, FileTask, Operation, Readiness, Role, Waker,
            blocks::{BLOCK_LEN, Blocks},
            close::close,
            datagrams::{self, End},
            mio::source::Source,
            refusals::Refusals,
            workers::{Finished, WorkerEvent, Workers},
        },
        fd_kind::FdKind,
        pool::Pool,
        sys::{
            errno::Errno,
            outcome::{Attempt, Pushed, Received},
            owned::OwnedDescriptor,
            readiness::{self, Registration},
            syscall,
        },
    },
};

mod source;

/// How many events one look at the system brings at most.
const EVENTS_MAX: usize = 256;
/// No resource has this token: ids are never all ones.
const WAKER: Token = Token(usize::MAX);
/// How many bytes one wait receives before it returns.
const BATCH: usize = 128 << 10;
/// How many connections one visit of a listener accepts.
const ACCEPT_BATCH: usize = 64;

/// The driver.
pub(crate) struct Mio {
    poll: Poll,
    events: Events,
    /// The last look at the system found as many events as fit: there may be more.
    crowded: bool,
    waker: Arc<MioWaker>,
    sources: SideTable<Source>,
    /// Sources with something to do, each once.
    ready: VecDeque<Id>,
    /// How many of `ready` are left to visit before the system is asked again.
    visits: usize,
    /// Sources to be tried in the next wait whatever their flags say.
    probes: Vec<Id>,
    /// What ended at once, for the next wait.
    done: Vec<Completion>,
    blocks: Blocks,
    block: Vec<u8>,
    workers: Workers,
    refusals: Refusals,
}

impl Mio {
    pub(crate) fn new(pool: Pool) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(MioWaker::new(poll.registry(), WAKER)?);
        let workers = Workers::new(pool, Waker::Mio(Arc::clone(&waker)));
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            crowded: false,
            waker,
            sources: SideTable::new(),
            ready: VecDeque::new(),
            visits: 0,
            probes: Vec::new(),
            done: Vec::new(),
            blocks: Blocks::default(),
            block: vec![0; BLOCK_LEN],
            workers,
            refusals: Refusals::default(),
        })
    }

    fn source(&mut self, resource: Id) -> Option<&mut Source> {
        self.sources.get_mut(resource)
    }

    fn complete(&mut self, resource: Id, event: Event) {
        self.done.push(Completion { resource, event });
    }

    /// Registers a source at its first need. Returns whether it can be waited for.
    fn register(&mut self, resource: Id) -> io::Result<()> {
        let registry = self.poll.registry();
        let Some(source) = self.sources.get_mut(resource) else { return Ok(()) };
        if source.registered {
            return Ok(());
        }
        let fd = source.descriptor.borrow();
        source.registration = Registration::new(registry, fd, source.fd_kind, token(resource))?;
        if source.registration.is_none() {
            source.is_always_ready = true;
            (source.readable, source.writable) = (true, true);
        }
        source.registered = true;
        Ok(())
    }

    /// Puts a source into the list of those with something to do.
    fn make_ready(&mut self, resource: Id) {
        if let Some(source) = self.source(resource)
            && !source.listed
        {
            source.listed = true;
            self.ready.push_back(resource);
        }
    }

    fn begin_receive(&mut self, resource: Id, once: bool) {
        let Some(source) = self.source(resource) else {
            // A pipe both of whose directions ended with the outgoing one.
            return self.complete(resource, Event::ReceiveEnded(Ended::EndOfStream));
        };
        source.receiving = true;
        source.once = once;
        if let Some((block, received)) =
            source.by_worker.as_mut().and_then(|worker| worker.late.take())
        {
            let mut done = std::mem::take(&mut self.done);
            self.was_received_by_worker(resource, block, received, &mut done);
            self.done = done;
            return;
        }
        if source.busy {
            return;
        }
        match self.register(resource) {
            Ok(()) => {
                if self.source(resource).is_some_and(|source| source.readable) {
                    self.make_ready(resource);
                }
            }
            Err(error) => {
                if let Some(source) = self.source(resource) {
                    source.receiving = false;
                }
                self.complete(resource, Event::ReceiveEnded(Ended::Failed(error)));
            }
        }
    }

    fn begin_accept(&mut self, resource: Id, most: usize) {
        if let Err(error) = self.register(resource) {
            return self.complete(resource, Event::AcceptEnded(Some(error)));
        }
        let Some(source) = self.source(resource) else { return };
        source.accepting = true;
        source.most = u32::try_from(most).unwrap_or(u32::MAX);
        if source.readable {
            self.make_ready(resource);
        }
    }

    fn begin_receive_from(&mut self, resource: Id, most: usize, size: usize) {
        if let Some(source) = self.source(resource) {
            source.most = u32::try_from(most).unwrap_or(u32::MAX);
            source.size = u32::try_from(size).unwrap_or(u32::MAX);
        }
        self.begin_receive(resource, false);
    }

    fn await_room(&mut self, resource: Id) {
        if let Err(error) = self.register(resource) {
            return self.complete(resource, Event::Room(Err(error)));
        }
        let Some(source) = self.source(resource) else { return };
        source.awaits_room = true;
        if source.writable {
            self.make_ready(resource);
        }
    }

    fn begin_connect(&mut self, resource: Id, address: &Address) {
        let Some(source) = self.source(resource) else { return };
        match syscall::connect(source.descriptor.borrow(), address) {
            Ok(true) => self.complete(resource, Event::Connected(Ok(()))),
            Ok(false) => {
                source.connecting = true;
                source.writable = false;
                if let Err(error) = self.register(resource) {
                    if let Some(source) = self.source(resource) {
                        source.connecting = false;
                    }
                    self.complete(resource, Event::Connected(Err(error)));
                }
            }
            Err(error) => self.complete(resource, Event::Connected(Err(error.into()))),
        }
    }

    fn begin_poll(&mut self, resource: Id, readiness: Readiness) {
        if let Err(error) = self.register(resource) {
            return self.complete(resource, Event::Polled(Err(error)));
        }
        let Some(source) = self.source(resource) else { return };
        source.polling = Some(readiness);
        if source.is_polled_ready() {
            self.make_ready(resource);
        }
    }

    /// Sends now if the system may take something, else when it says so.
    fn try_send(&mut self, resource: Id) {
        let Some(source) = self.source(resource) else { return };
        if source.pushing().is_some() {
            // Behind what a worker still writes.
            return;
        }
        let Some(gather) = source.sending.take() else { return };
        let pushed = if source.writable {
            syscall::send(source.descriptor.borrow(), source.fd_kind, &gather)
        } else {
            Pushed::Full
        };
        self.end_try(resource, gather, pushed);
    }

    /// Reports what a send came to, or keeps it until the system has room.
    fn end_try(&mut self, resource: Id, gather: Box<Gather>, pushed: Pushed) {
        let Some(source) = self.source(resource) else { return };
        match pushed {
            Pushed::MayWait if syscall::is_writable(source.descriptor.borrow()) => {
                self.send_on_worker(resource, gather);
            }
            Pushed::Full | Pushed::MayWait => {
                source.await_writable();
                if let Err(error) = self.register(resource) {
                    let result = Err(error);
                    return self.complete(resource, Event::Sent { gather, result });
                }
                let Some(source) = self.source(resource) else { return };
                if !source.is_always_ready {
                    source.sending = Some(gather);
                } else if source.fd_kind.is_shared() {
                    // Only a call that waits tells when there is room.
                    self.send_on_worker(resource, gather);
                } else {
                    // No event says when there is room, so it is tried whenever it is asked for.
                    source.writable = true;
                    let result = Err(Errno::AGAIN.into());
                    self.complete(resource, Event::Sent { gather, result });
                }
            }
            Pushed::Done(result) => {
                if let Ok(sent) = result {
                    source.was_sent(sent, gather.len());
                } else {
                    source.writable = true;
                }
                let result = result.map_err(io::Error::from);
                self.complete(resource, Event::Sent { gather, result });
                // A short send finds the socket full; registered, it hears when there is room.
                drop(self.register(resource));
            }
        }
    }

    /// Has a worker send what only a call that may wait can: to a shared terminal, or a device.
    fn send_on_worker(&mut self, resource: Id, gather: Box<Gather>) {
        if let Err(error) = self.register(resource) {
            return self.complete(resource, Event::Sent { gather, result: Err(error) });
        }
        let Some(source) = self.sources.get_mut(resource) else { return };
        // Set again by an event that comes meanwhile.
        source.writable = source.is_always_ready;
        let (descriptor, fd_kind) = (&source.descriptor, source.fd_kind);
        match self.workers.send(resource, descriptor, fd_kind, gather) {
            Ok(unsent) => source.by_worker().pushing = Some(unsent),
            // To be tried again.
            Err(gather) => {
                source.writable = true;
                self.complete(resource, Event::Sent { gather, result: Ok(0) });
            }
        }
    }

    /// What a worker has sent comes back; or nothing, because it was had back meanwhile.
    fn was_pushed(&mut self, resource: Id, gather: Option<Box<Gather>>, pushed: Pushed) {
        let Some(source) = self.source(resource) else { return };
        let wanted = source.by_worker().pushing.take().is_none_or(|unsent| unsent.is_wanted());
        let Some(gather) = gather else {
            // What waits behind it is tried.
            source.writable = true;
            return self.make_ready(resource);
        };
        match pushed {
            Pushed::Done(result) => {
                source.writable = true;
                let result = result.map_err(io::Error::from);
                self.complete(resource, Event::Sent { gather, result });
            }
            // It may not have looked.
            _ if !wanted => {
                source.writable = true;
                self.complete(resource, Event::Sent { gather, result: Ok(0) });
            }
            _ => {
                source.sending = Some(gather);
                if source.writable {
                    self.make_ready(resource);
                }
            }
        }
    }

    fn begin_on_file(&mut self, resource: Id, operation: Id, task: FileTask) {
        let Some(source) = self.sources.get(resource) else { return };
        let (workers, blocks) = (&mut self.workers, &self.blocks);
        let done = workers.begin_on_file(resource, operation, &source.descriptor, task, blocks);
        if let Some(done) = done {
            self.complete(resource, Event::File { operation, done });
        }
    }

    /// Takes what workers have done.
    fn reap_workers(&mut self, completions: &mut Vec<Completion>) {
        for Finished { resource, event } in self.workers.take_finished() {
            match event {
                WorkerEvent::Received(block, received) => {
                    let Some(source) = self.source(resource) else { continue };
                    source.busy = false;
                    if source.receiving {
                        self.was_received_by_worker(resource, block, received, completions);
                    } else {
                        source.by_worker().late = Some((block, received));
                    }
                }
                WorkerEvent::Pushed(gather, pushed) => self.was_pushed(resource, gather, pushed),
                WorkerEvent::Task { operation, done } => {
                    let event = Event::File { operation, done: done.into_done(&self.blocks) };
                    completions.push(Completion { resource, event });
                }
            }
        }
    }

    /// Does what a source has to do, once. Returns how many bytes it received.
    fn visit(&mut self, resource: Id, completions: &mut Vec<Completion>) -> usize {
        if let Some(source) = self.source(resource) {
            source.listed = false;
        }
        self.attend(resource, completions)
    }

    /// Does what a source has to do, wherever it stands in the list.
    fn attend(&mut self, resource: Id, completions: &mut Vec<Completion>) -> usize {
        let Some(source) = self.source(resource) else { return 0 };
        if source.is_polled_ready() {
            source.polling = None;
            completions.push(Completion { resource, event: Event::Polled(Ok(())) });
        }
        if source.connecting && source.writable {
            match syscall::connected(source.descriptor.borrow()) {
                Attempt::WouldBlock => source.await_writable(),
                Attempt::Done(result) => {
                    source.connecting = false;
                    let event = Event::Connected(result.map_err(Into::into));
                    completions.push(Completion { resource, event });
                }
            }
            return 0;
        }
        if source.sending.is_some() && source.writable {
            self.try_send(resource);
            // Before what is received, see D10.
            completions.append(&mut self.done);
        }
        let Some(source) = self.source(resource) else { return 0 };
        if source.writable && std::mem::take(&mut source.awaits_room) {
            completions.push(Completion { resource, event: Event::Room(Ok(())) });
        }
        if source.accepting && source.readable {
            self.accept(resource, completions);
            return 0;
        }
        if source.busy {
            return 0;
        }
        match source.receiving && source.readable {
            true if source.fd_kind.is_of_datagrams() => {
                self.receive_datagrams(resource, completions)
            }
            true => self.receive(resource, completions),
            false => 0,
        }
    }

    fn receive_datagrams(&mut self, resource: Id, completions: &mut Vec<Completion>) -> usize {
        let Some(source) = self.sources.get_mut(resource) else { return 0 };
        let (fd, most) = (source.descriptor.borrow(), source.most as usize);
        let size = source.size as usize;
        let batch = datagrams::receive(fd, &self.blocks, &mut self.block, size, most);
        source.most -= u32::try_from(batch.datagrams.len()).unwrap_or(source.most);
        let bytes = batch.bytes;
        let ended = match batch.end {
            End::Full => {
                source.receiving = false;
                Some(Ended::Stopped)
            }
            End::Failed(error) => {
                source.receiving = false;
                Some(Ended::Failed(error.into()))
            }
            End::Empty => {
                source.await_readable();
                None
            }
            // The others first.
            End::More => {
                if !std::mem::replace(&mut source.listed, true) {
                    self.ready.push_back(resource);
                }
                None
            }
        };
        if !batch.datagrams.is_empty() {
            completions.push(Completion { resource, event: Event::Arrived(batch.datagrams) });
        }
        if let Some(ended) = ended {
            completions.push(Completion { resource, event: Event::ReceiveEnded(ended) });
        }
        bytes
    }

    #[inline]
    fn receive(&mut self, resource: Id, completions: &mut Vec<Completion>) -> usize {
        let Some(source) = self.sources.get_mut(resource) else { return 0 };
        let (fd, touched) = (source.descriptor.borrow(), source.descriptor.is_touched());
        let received = syscall::receive(fd, source.fd_kind, touched, &mut self.block);
        self.was_received(resource, received, completions)
    }

    /// Has a worker receive what only a call that may wait can.
    fn receive_on_worker(&mut self, resource: Id) {
        let Some(source) = self.sources.get_mut(resource) else { return };
        source.busy = true;
        // Set again by an event that comes meanwhile.
        source.readable = source.is_always_ready;
        let (descriptor, fd_kind) = (&source.descriptor, source.fd_kind);
        if !self.workers.receive(resource, descriptor, fd_kind, self.blocks.get()) {
            (source.busy, source.readable) = (false, true);
            self.make_ready(resource);
        }
    }

    /// What a worker has received comes to a reception.
    fn was_received_by_worker(
        &mut self,
        resource: Id,
        block: Vec<u8>,
        received: Received,
        completions: &mut Vec<Completion>,
    ) {
        let hot = std::mem::replace(&mut self.block, block);
        if let Some(source) = self.source(resource) {
            if matches!(received, Received::Nothing) {
                if source.readable {
                    self.make_ready(resource);
                }
            } else {
                source.readable = true;
                self.was_received(resource, received, completions);
            }
        }
        let used = std::mem::replace(&mut self.block, hot);
        self.blocks.put(used);
    }

    /// Reports what was received into `self.block`.
    #[inline]
    fn was_received(
        &mut self,
        resource: Id,
        received: Received,
        completions: &mut Vec<Completion>,
    ) -> usize {
        let Some(source) = self.sources.get_mut(resource) else { return 0 };
        let event = match received {
            Received::Nothing if !source.is_always_ready => {
                source.urgent = false;
                source.await_readable();
                return 0;
            }
            Received::MayWait if !syscall::is_readable(source.descriptor.borrow()) => {
                source.readable = false;
                return 0;
            }
            // Of what cannot be waited for only a call that waits tells when there is something.
            Received::MayWait | Received::Nothing if source.fd_kind.is_shared() => {
                self.receive_on_worker(resource);
                return 0;
            }
            Received::MayWait | Received::Nothing => {
                Event::ReceiveEnded(Ended::Failed(Errno::AGAIN.into()))
            }
            Received::Some(count) | Received::All(count) => {
                // Whatever comes to a socket that was emptied is a new event: asking again would
                // only cost a call. But an end that was announced with these bytes is not announced
                // again; and a receive stops at an urgent byte, also at one that the program has
                // taken by itself.
                if matches!(received, Received::All(_))
                    && !source.hung_up
                    && !source.urgent
                    && !source.descriptor.was_asked_for()
                {
                    source.readable = false;
                } else if !std::mem::replace(&mut source.listed, true) {
                    self.ready.push_back(resource);
                }
                let bytes = self.blocks.received(&mut self.block, count);
                completions.push(Completion { resource, event: Event::Received(bytes) });
                if source.once {
                    source.receiving = false;
                    let event = Event::ReceiveEnded(Ended::Stopped);
                    completions.push(Completion { resource, event });
                }
                return count;
            }
            Received::End => Event::ReceiveEnded(Ended::EndOfStream),
            Received::Failed(error) => Event::ReceiveEnded(Ended::Failed(error.into())),
        };
        source.receiving = false;
        completions.push(Completion { resource, event });
        0
    }

    fn accept(&mut self, resource: Id, completions: &mut Vec<Completion>) {
        for _ in 0..ACCEPT_BATCH {
            let Some(source) = self.source(resource) else { return };
            match syscall::accept(source.descriptor.borrow()) {
                Attempt::WouldBlock => {
                    source.await_readable();
                    return;
                }
                Attempt::Done(Ok(connection)) => {
                    let event = Event::Accepted(Descriptor::new(connection));
                    completions.push(Completion { resource, event });
                    source.most -= 1;
                    if source.most == 0 {
                        source.accepting = false;
                        let event = Event::AcceptEnded(None);
                        return completions.push(Completion { resource, event });
                    }
                }
                Attempt::Done(Err(error)) => {
                    source.accepting = false;
                    let event = Event::AcceptEnded(Some(error.into()));
                    return completions.push(Completion { resource, event });
                }
            }
        }
        self.make_ready(resource);
    }

    /// The system refused to wait: there is a pause instead, but no longer than the wait was to be,
    /// and the caller goes on as if nothing had come.
    fn bear(&mut self, error: io::Error, wait: Option<Duration>) -> io::Result<()> {
        // What would tell of requests is what cannot be waited for.
        syscall::pause(self.refusals.bear(error, wait)?);
        Ok(())
    }

    /// Asks the system what is ready, waiting at most `timeout`.
    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return self.bear(error, timeout),
            Ok(()) => self.refusals.end(),
        }
        self.crowded = self.events.iter().count() == EVENTS_MAX;
        for event in &self.events {
            if event.token() == WAKER {
                continue;
            }
            let resource = Id::from_bits(event.token().0 as u64);
            let Some(source) = self.sources.get_mut(resource) else { continue };
            let failed = event.is_error();
            source.hung_up |= event.is_read_closed() || failed;
            source.urgent |= event.is_priority();
            source.readable |= event.is_readable() || source.hung_up;
            source.writable |= event.is_writable() || event.is_write_closed() || failed;
            if source.has_work() && !source.listed {
                source.listed = true;
                self.ready.push_back(resource);
            }
        }
        Ok(())
    }
}

impl Driver for Mio {
    fn attach(&mut self, resource: Id, descriptor: Arc<Descriptor>, fd_kind: FdKind) {
        self.sources.insert(resource, Source::new(descriptor, fd_kind));
    }

    fn detach(&mut self, resource: Id) -> Option<Arc<Descriptor>> {
        let source = self.sources.remove(resource)?;
        if let Some(registration) = source.registration {
            registration.remove(self.poll.registry(), source.descriptor.borrow());
        }
        Some(source.descriptor)
    }

    fn descriptor(&self, resource: Id) -> Option<&Arc<Descriptor>> {
        self.sources.get(resource).map(|source| &source.descriptor)
    }

    fn submit(&mut self, resource: Id, operation: Operation) {
        match operation {
            Operation::Receive { once } => self.begin_receive(resource, once),
            Operation::Send(gather) => {
                let Some(source) = self.source(resource) else { return };
                source.sending = Some(gather);
                self.try_send(resource);
            }
            Operation::Accept { most } => self.begin_accept(resource, most),
            Operation::ReceiveFrom { most, size } => self.begin_receive_from(resource, most, size),
            Operation::AwaitRoom => self.await_room(resource),
            Operation::Connect { address } => self.begin_connect(resource, &address),
            Operation::Probe => self.probes.push(resource),
            Operation::File { operation, task } => self.begin_on_file(resource, operation, task),
            Operation::Poll(readiness) => self.begin_poll(resource, readiness),
            Operation::ShutdownWrite => {
                let Some(source) = self.source(resource) else { return };
                let result = syscall::shutdown_write(source.descriptor.borrow());
                self.complete(resource, Event::ShutDown(result.map_err(Into::into)));
            }
            Operation::Close(release) => {
                if self.source(resource).is_some_and(|source| source.receiving) {
                    self.complete(resource, Event::ReceiveEnded(Ended::EndOfStream));
                }
                let fd_kind = self.source(resource).map(|source| source.fd_kind);
                let source = self.detach(resource).zip(fd_kind);
                let event = close(source, release, &mut self.block);
                self.complete(resource, event);
            }
        }
    }

    #[inline]
    fn send_now(&mut self, resource: Id, bytes: &[u8]) -> Option<io::Result<usize>> {
        let source = self.source(resource)?;
        if !source.writable || !source.fd_kind.is_socket() {
            return None;
        }
        match syscall::send_bytes(source.descriptor.borrow(), bytes) {
            // Submitted, it is registered and waits for room.
            Err(Errno::AGAIN) => {
                source.await_writable();
                None
            }
            Ok(sent) => {
                source.was_sent(sent, bytes.len());
                Some(Ok(sent))
            }
            Err(error) => Some(Err(error.into())),
        }
    }

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
            Attempt::WouldBlock => {
                source.await_writable();
                None
            }
            Attempt::Done(result) => Some(result.map_err(Into::into)),
        }
    }

    fn cancel(&mut self, resource: Id, role: Role) {
        let Some(source) = self.sources.get_mut(resource) else { return };
        let event = match role {
            Role::Receive if source.receiving => {
                source.receiving = false;
                Event::ReceiveEnded(Ended::Stopped)
            }
            Role::Accept if source.accepting => {
                source.accepting = false;
                Event::AcceptEnded(None)
            }
            Role::Connect if source.connecting => {
                source.connecting = false;
                Event::Connected(Err(Errno::CANCELED.into()))
            }
            Role::Poll if source.polling.is_some() => {
                source.polling = None;
                Event::Polled(Err(Errno::CANCELED.into()))
            }
            Role::Send if source.awaits_room => {
                source.awaits_room = false;
                Event::Room(Err(Errno::CANCELED.into()))
            }
            Role::Send => match (source.sending.take(), source.pushing()) {
                (Some(gather), _) => Event::Sent { gather, result: Ok(0) },
                (None, Some(unsent)) => match self.workers.take_back(unsent) {
                    Some((gather, sent)) => Event::Sent { gather, result: Ok(sent) },
                    // It comes back soon.
                    None => return,
                },
                (None, None) => return,
            },
            Role::File(operation) => match self.workers.cancel_on_file(operation) {
                Some(done) => Event::File { operation, done },
                None => return,
            },
            // Unknown, finished, or in a worker's hands: it ends by itself.
            _ => return,
        };
        self.complete(resource, event);
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        completions: &mut Vec<Completion>,
    ) -> io::Result<()> {
        completions.append(&mut self.done);
        for resource in std::mem::take(&mut self.probes) {
            if let Some(source) = self.source(resource) {
                source.assume_ready();
                self.attend(resource, completions);
            }
        }
        if self.visits == 0 {
            let busy = !self.ready.is_empty();
            // What has ended is dealt with before the system is asked again.
            if !completions.is_empty() && !busy && timeout != Some(Duration::ZERO) {
                return Ok(());
            }
            self.poll(if busy { Some(Duration::ZERO) } else { timeout })?;
            self.visits = self.ready.len();
        }
        let mut received = 0;
        while self.visits > 0 && received < BATCH {
            self.visits -= 1;
            let Some(resource) = self.ready.pop_front() else {
                self.visits = 0;
                break;
            };
            let mut count = self.visit(resource, completions);
            received += count;
            // One that has filled its block goes on while the turn has room: what stands together in
            // a stream is answered together, and the system sends it in fewer packets.
            while count == BLOCK_LEN
                && received < BATCH
                && self.ready.pop_back_if(|last| *last == resource).is_some()
            {
                count = self.visit(resource, completions);
                received += count;
            }
        }
        self.reap_workers(completions);
        completions.append(&mut self.done);
        Ok(())
    }

    /// Nothing is ever held back.
    fn flush(&mut self) {}

    fn take_done(&mut self, completions: &mut Vec<Completion>) {
        completions.append(&mut self.done);
    }

    fn has_work(&mut self) -> bool {
        !self.done.is_empty() || !self.ready.is_empty() || !self.probes.is_empty() || self.crowded
    }

    fn is_at_work(&self) -> bool {
        self.workers.is_at_work()
    }

    fn waker(&self) -> Waker {
        Waker::Mio(Arc::clone(&self.waker))
    }

    fn watch(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn as_pollable(&self) -> io::Result<OwnedDescriptor> {
        readiness::pollable(&self.poll)
    }

    fn name(&self) -> &'static str {
        "mio"
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the engine is for 64-bit systems")]
const fn token(resource: Id) -> Token {
    Token(resource.to_bits() as usize)
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        net::{TcpListener, TcpStream},
    };

    use socket2::SockRef;

    use super::*;
    use crate::pure::{clock::now, table::Table};

    #[test]
    fn a_wait_that_is_refused_is_a_pause_and_an_error_only_if_that_lasts() {
        let mut driver = Mio::new(Pool::new(1, 1, 1, 1)).unwrap();
        let refused = || Errno::NOMEM.into();
        let start = now();
        driver.bear(refused(), None).unwrap();
        driver.bear(refused(), Some(Duration::ZERO)).unwrap();
        assert!(now() - start >= Duration::from_millis(1));
        let mut pauses = 0;
        while driver.bear(refused(), None).is_ok() {
            pauses += 1;
        }
        let lasted = now() - start;
        assert!(lasted >= Duration::from_secs(2), "{lasted:?}");
        assert!(pauses < 100, "{pauses} pauses");
        // What does not pass is told at once; and a wait that is not refused begins anew.
        assert!(driver.bear(Errno::BADF.into(), None).is_err());
        driver.poll(Some(Duration::ZERO)).unwrap();
        driver.bear(refused(), None).unwrap();
    }

    #[test]
    fn a_connection_that_waits_for_bytes_is_told_of_nothing_else() {
        let mut driver = Mio::new(Pool::new(1, 1, 1, 1)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        let id = Table::new().insert(());
        driver.attach(id, Descriptor::new(ours.into()), FdKind::Socket { tcp: true });
        driver.submit(id, Operation::Receive { once: false });
        let mut brought = Vec::new();
        for round in 0..3 {
            peer.write_all(b"bytes").unwrap();
            while brought.is_empty() || driver.has_work() {
                driver.wait(Some(Duration::from_millis(50)), &mut brought).unwrap();
            }
            assert!(matches!(brought.pop().unwrap().event, Event::Received(_)));
            // Registered, it was told of room. A wait may end early when something was asked for.
            for _ in 0..3 {
                driver.poll.poll(&mut driver.events, Some(Duration::from_millis(50))).unwrap();
                assert!(round == 0 || driver.events.is_empty(), "{:?}", driver.events);
            }
        }
    }

    /// A connection with a peer that has sent as much as a turn receives, all of which has come.
    fn full_of_bytes(driver: &mut Mio, id: Id) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        SockRef::from(&listener).set_recv_buffer_size(1 << 20).unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        peer.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
        peer.write_all(&[7; BATCH]).unwrap();
        let mut seen = vec![0; BATCH];
        while ours.peek(&mut seen).unwrap() < BATCH {}
        ours.set_nonblocking(true).unwrap();
        driver.attach(id, Descriptor::new(ours.into()), FdKind::Socket { tcp: true });
        driver.submit(id, Operation::Receive { once: false });
        peer
    }

    #[test]
    fn what_stands_together_in_a_stream_is_received_together() {
        let mut driver = Mio::new(Pool::new(1, 1, 1, 1)).unwrap();
        let mut ids = Table::new();
        let streams = [ids.insert(()), ids.insert(())];
        let _peers = streams.map(|id| full_of_bytes(&mut driver, id));
        let mut of_turns = Vec::new();
        while of_turns.len() < 2 {
            let mut brought = Vec::new();
            driver.wait(Some(Duration::from_secs(10)), &mut brought).unwrap();
            let received = |completion: &Completion| match &completion.event {
                Event::Received(bytes) => bytes.len(),
                other => panic!("{other:?}"),
            };
            if !brought.is_empty() {
                assert_eq!(brought.iter().map(received).collect::<Vec<_>>(), [BLOCK_LEN; 2]);
                let of: Vec<_> = brought.iter().map(|completion| completion.resource).collect();
                assert!(of[0] == of[1], "the turn went back and forth");
                of_turns.push(of[0]);
            }
        }
        assert!(of_turns[0] != of_turns[1], "one was kept waiting");
    }
}
