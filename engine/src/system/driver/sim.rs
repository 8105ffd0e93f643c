//! The simulated driver: the system calls of a network that is not there.
//!
//! Works as the readiness driver does. A socket with something to tell stands in a list; a wait
//! visits each of them once. What is different is time: a wait that finds nothing lets it go on, to
//! the next thing that happens in the network or to its end.
//!
//! Completions may come late, as the network's settings say: a send is told after its bytes have
//! been taken, a reception goes on for a while after it was cancelled. So everything that an engine
//! must stand by D4 happens, and can be repeated.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    pure::{
        address::Address,
        buffer::outgoing::Gather,
        table::{Id, SideTable},
    },
    system::{
        descriptor::Descriptor,
        driver::{
            Completion, Driver, Ended, Event, FileDone, FileTask, Operation, Readiness, Role,
            Waker, blocks::BLOCK_LEN,
        },
        fd_kind::FdKind,
        pool::JobContext,
        sim::{
            Network,
            bell::Bell,
            state::{Attempt, FOR_EVER, NetworkState, Received},
            workers::Workers,
        },
        sys::{
            errno::Errno,
            owned::{self, OwnedDescriptor},
            syscall,
        },
    },
};

/// How many bytes one wait receives before it returns.
const BATCH: usize = 128 << 10;
/// After how many turns without a wait the next ones take time.
const BUSY_MIN: u32 = 16;

/// The driver.
pub(crate) struct Sim {
    network: Network,
    host: usize,
    engine: usize,
    bell: Arc<Bell>,
    workers: Workers,
    sources: SideTable<Source>,
    /// Sources to be looked at in the next wait before all others.
    probes: Vec<Id>,
    /// What ended at once, for the next wait.
    done: Vec<Completion>,
    /// How many turns it has not had to wait since it last did.
    busy: u32,
    /// What comes late, and when.
    late: Vec<(Duration, Late)>,
}

/// One resource.
struct Source {
    descriptor: Arc<Descriptor>,
    /// Its socket in the network; none for a file.
    socket: Option<Id>,
    receiving: bool,
    /// That is over when it has brought something.
    once: bool,
    accepting: bool,
    /// How many connections or datagrams the accepting or receiving is still for.
    most: usize,
    /// How much of a datagram is received; none if it is no socket of datagrams.
    size: Option<usize>,
    /// It was said that there is room for a datagram, so the next one is sent.
    has_room: bool,
    connecting: bool,
    /// The other end's end is waited for.
    polling: bool,
    sending: Option<Box<Gather>>,
    /// Counts receptions and acceptings, so that a late cancel of one does not end the next.
    begun: u64,
}

impl Source {
    const fn is_asked(&self) -> bool {
        self.receiving
            || self.accepting
            || self.connecting
            || self.polling
            || self.sending.is_some()
    }
}

enum Late {
    Told(Completion),
    /// Ends a reception or accepting, if it is still this one.
    Stop {
        resource: Id,
        begun: u64,
    },
}

impl Sim {
    pub(crate) fn new(
        network: Network,
        host: usize,
        engine: usize,
        bell: Arc<Bell>,
        workers: Workers,
    ) -> Self {
        Self {
            network,
            host,
            engine,
            bell,
            workers,
            sources: SideTable::new(),
            probes: Vec::new(),
            done: Vec::new(),
            busy: 0,
            late: Vec::new(),
        }
    }

    fn source(&mut self, resource: Id) -> Option<&mut Source> {
        self.sources.get_mut(resource)
    }

    fn complete(&mut self, resource: Id, event: Event) {
        self.done.push(Completion { resource, event });
    }

    /// How much later a completion comes, if it comes late.
    fn draw_lateness(&mut self) -> Option<Duration> {
        let mut state = self.network.lock();
        let state = &mut *state;
        let machine = &state.hosts[self.host].machine;
        if !state.rng.chance(machine.late) {
            return None;
        }
        let due = state.now + state.rng.duration(&machine.lateness);
        state.schedule_alarm(due);
        Some(due)
    }

    /// Tells of something now, or late.
    fn tell(&mut self, resource: Id, event: Event) {
        match self.draw_lateness() {
            None => self.complete(resource, event),
            Some(due) => self.late.push((due, Late::Told(Completion { resource, event }))),
        }
    }

    /// Has a socket looked at in the next wait.
    fn touch(&mut self, resource: Id) {
        if let Some(socket) = self.source(resource).and_then(|source| source.socket) {
            self.network.lock().touch(socket);
        }
    }

    // Beginning

    fn begin_receive(&mut self, resource: Id, once: bool) {
        let Some(source) = self.source(resource) else { return };
        source.begun += 1;
        source.once = once;
        if source.socket.is_some() {
            source.receiving = true;
            return self.touch(resource);
        }
        let descriptor = Arc::clone(&source.descriptor);
        let mut block = vec![0; BLOCK_LEN];
        let ended = match syscall::read(descriptor.borrow(), &mut block) {
            Ok(0) => Ended::EndOfStream,
            Ok(count) => {
                block.truncate(count);
                self.complete(resource, Event::Received(Bytes::from(block)));
                Ended::Stopped
            }
            Err(error) => Ended::Failed(error.into()),
        };
        self.complete(resource, Event::ReceiveEnded(ended));
    }

    /// Files are this machine's, and done at once.
    fn begin_on_file(&mut self, resource: Id, operation: Id, task: FileTask) {
        let Some(source) = self.source(resource) else { return };
        let fd = source.descriptor.borrow();
        let done = match task {
            FileTask::Read { offset, size } => {
                let mut block = vec![0; size];
                let result = syscall::read_file(fd, &mut block, offset);
                let received = |count| Bytes::from(block).slice(..count);
                FileDone::Read(result.map(received).map_err(Into::into))
            }
            FileTask::Write { offset, bytes } => {
                FileDone::Written(syscall::write_at(fd, &bytes, offset).map_err(Into::into))
            }
            FileTask::Sync => FileDone::Synced(syscall::sync(fd).map_err(Into::into)),
        };
        self.complete(resource, Event::File { operation, done });
    }

    fn begin_send(&mut self, resource: Id, gather: Box<Gather>) {
        let Some(source) = self.source(resource) else { return };
        if let Some(socket) = source.socket {
            source.sending = Some(gather);
            return self.try_send(resource, socket);
        }
        let result = syscall::write(source.descriptor.borrow(), &gather, false);
        let result = result.map_err(Into::into);
        self.complete(resource, Event::Sent { gather, result });
    }

    fn begin_connect(&mut self, resource: Id, address: &Address) {
        let Some(source) = self.source(resource) else { return };
        let Some(socket) = source.socket else { return };
        source.connecting = true;
        let begun = self.network.lock().connect(socket, address);
        match begun {
            Ok(()) => self.touch(resource),
            Err(error) => {
                if let Some(source) = self.source(resource) {
                    source.connecting = false;
                }
                self.complete(resource, Event::Connected(Err(error.into())));
            }
        }
    }

    /// Hands the network what it has room for.
    fn try_send(&mut self, resource: Id, socket: Id) {
        let Some(source) = self.source(resource) else { return };
        let Some(gather) = source.sending.take() else { return };
        let result = self.transmit(socket, &gather);
        match result {
            None => {
                if let Some(source) = self.source(resource) {
                    source.sending = Some(gather);
                }
            }
            // Before the end that comes with it, see D10.
            Some(Err(error)) => {
                self.complete(resource, Event::Sent { gather, result: Err(error) });
            }
            Some(result) => self.tell(resource, Event::Sent { gather, result }),
        }
    }

    /// Sends a part of these bytes. None if there is no room.
    fn transmit(&mut self, socket: Id, gather: &Gather) -> Option<io::Result<usize>> {
        let mut state = self.network.lock();
        match self.room(&mut state, socket, gather.len())? {
            Err(error) => Some(Err(error.into())),
            Ok(room) => {
                match gather.single() {
                    Some(bytes) => state.send(socket, &bytes[..room]),
                    None => {
                        let all: Vec<u8> = gather
                            .slices()
                            .iter()
                            .flat_map(|slice| slice.iter())
                            .copied()
                            .collect();
                        let room = room.min(all.len());
                        state.send(socket, &all[..room]);
                        return Some(Ok(room));
                    }
                }
                Some(Ok(room))
            }
        }
    }

    /// How many of `len` bytes are sent now. None if there is no room.
    fn room(
        &self,
        state: &mut NetworkState,
        socket: Id,
        len: usize,
    ) -> Option<Result<usize, Errno>> {
        match state.room(socket) {
            Attempt::WouldBlock { .. } => None,
            Attempt::Done(Err(error)) => Some(Err(error)),
            Attempt::Done(Ok(room)) => {
                let no_buffers = state.hosts[self.host].machine.no_buffers;
                if state.rng.chance(no_buffers) {
                    return Some(Err(Errno::NOBUFS));
                }
                let most = room.min(len);
                let short = state.hosts[self.host].machine.short_write;
                let is_short = state.rng.chance(short);
                Some(Ok(if is_short { state.rng.part_of(most) } else { most }))
            }
        }
    }

    // Waiting

    /// Visits those that have something to tell, each once.
    fn visit_ready(&mut self, completions: &mut Vec<Completion>) {
        let (count, reorder) = {
            let state = self.network.lock();
            (state.ready_len(self.engine), state.hosts[self.host].machine.reorder)
        };
        for resource in std::mem::take(&mut self.probes) {
            if let Some(socket) = self.source(resource).and_then(|source| source.socket) {
                self.attend(resource, socket, completions);
            }
        }
        let mut received = 0;
        for _ in 0..count {
            if received >= BATCH {
                return;
            }
            let Some((socket, resource)) = self.network.lock().pop_ready(self.engine, reorder)
            else {
                return;
            };
            received += self.attend(resource, socket, completions);
        }
    }

    /// Does what a source has to do, once. Returns how many bytes it received.
    fn attend(&mut self, resource: Id, socket: Id, completions: &mut Vec<Completion>) -> usize {
        let Some(source) = self.source(resource) else { return 0 };
        if source.polling {
            let gone = self.network.lock().is_peer_gone(socket);
            if let Some(source) = self.source(resource).filter(|_| gone) {
                source.polling = false;
                completions.push(Completion { resource, event: Event::Polled(Ok(())) });
            }
        }
        let Some(source) = self.source(resource) else { return 0 };
        if source.connecting {
            let connected = self.network.lock().connected(socket);
            if let Attempt::Done(result) = connected {
                if let Some(source) = self.source(resource) {
                    source.connecting = false;
                }
                let event = Event::Connected(result.map_err(Into::into));
                completions.push(Completion { resource, event });
            }
            return 0;
        }
        if source.sending.is_some() {
            self.try_send(resource, socket);
            // Before what is received, see D10.
            completions.append(&mut self.done);
        }
        let Some(source) = self.source(resource) else { return 0 };
        if source.accepting {
            self.accept(resource, socket, completions);
            return 0;
        }
        match (source.receiving, source.size) {
            (true, Some(size)) => self.receive_datagrams(resource, socket, size, completions),
            (true, None) => self.receive(resource, socket, completions),
            (false, _) => 0,
        }
    }

    fn receive_datagrams(
        &mut self,
        resource: Id,
        socket: Id,
        size: usize,
        completions: &mut Vec<Completion>,
    ) -> usize {
        let Some(source) = self.sources.get_mut(resource) else { return 0 };
        let mut state = self.network.lock();
        let state = &mut *state;
        // As with the short reads of a stream, one visit may not take all.
        let short = state.rng.chance(state.hosts[self.host].machine.short_read);
        let mut batch = Vec::new();
        let failed = loop {
            if batch.len() == source.most || (short && !batch.is_empty()) {
                break None;
            }
            match state.receive_datagram(socket, size) {
                Attempt::WouldBlock { .. } => break None,
                Attempt::Done(Ok(datagram)) => batch.push(datagram),
                Attempt::Done(Err(error)) => break Some(error),
            }
        };
        if state.is_readable(socket) {
            state.touch(socket);
        }
        source.most -= batch.len();
        let received = batch.iter().map(|datagram| datagram.bytes.len()).sum();
        let ended = match failed {
            Some(error) => Some(Ended::Failed(error.into())),
            None if source.most == 0 => Some(Ended::Stopped),
            None => None,
        };
        source.receiving = ended.is_none();
        if !batch.is_empty() {
            completions.push(Completion { resource, event: Event::Arrived(batch) });
        }
        if let Some(ended) = ended {
            completions.push(Completion { resource, event: Event::ReceiveEnded(ended) });
        }
        received
    }

    fn receive(&mut self, resource: Id, socket: Id, completions: &mut Vec<Completion>) -> usize {
        let received = {
            let mut state = self.network.lock();
            let state = &mut *state;
            let there = state.arrived_len(socket);
            let short = state.rng.chance(state.hosts[self.host].machine.short_read);
            let most = if short { state.rng.part_of(there) } else { BLOCK_LEN };
            let received = state.receive(socket, most);
            // Whatever is left, or comes after the bytes, is looked at in the next wait.
            if state.is_readable(socket) {
                state.touch(socket);
            }
            received
        };
        let (event, count) = match received {
            Attempt::WouldBlock { .. } => return 0,
            Attempt::Done(Received::Bytes(bytes)) => {
                let count = bytes.len();
                (Event::Received(bytes), count)
            }
            Attempt::Done(Received::End) => (Event::ReceiveEnded(Ended::EndOfStream), 0),
            Attempt::Done(Received::Failed(error)) => {
                (Event::ReceiveEnded(Ended::Failed(error.into())), 0)
            }
        };
        let is_end = matches!(event, Event::ReceiveEnded(_));
        completions.push(Completion { resource, event });
        if let Some(source) = self.source(resource)
            && (is_end || source.once)
        {
            source.receiving = false;
            if !is_end {
                let event = Event::ReceiveEnded(Ended::Stopped);
                completions.push(Completion { resource, event });
            }
        }
        count
    }

    fn accept(&mut self, resource: Id, listener: Id, completions: &mut Vec<Completion>) {
        loop {
            let accepted = self.network.lock().accept(listener);
            let Some(source) = self.source(resource) else { return };
            let event = match accepted {
                Attempt::WouldBlock { .. } => return,
                Attempt::Done(Err(error)) => {
                    source.accepting = false;
                    Event::AcceptEnded(Some(error.into()))
                }
                Attempt::Done(Ok(socket)) => {
                    source.most -= 1;
                    let is_last = source.most == 0;
                    source.accepting = !is_last;
                    let connection = self.network.descriptor(socket);
                    let event = Event::Accepted(connection);
                    completions.push(Completion { resource, event });
                    if !is_last {
                        continue;
                    }
                    Event::AcceptEnded(None)
                }
            };
            return completions.push(Completion { resource, event });
        }
    }

    /// Tells what was late, if its time has come.
    fn tell_late(&mut self, now: Duration, completions: &mut Vec<Completion>) {
        if self.late.is_empty() {
            return;
        }
        let mut late: Vec<_> = self.late.extract_if(.., |(due, _)| *due <= now).collect();
        late.sort_by_key(|(due, _)| *due);
        for (_, late) in late {
            match late {
                Late::Told(completion) => completions.push(completion),
                Late::Stop { resource, begun } => self.stop(resource, begun, completions),
            }
        }
    }

    fn stop(&mut self, resource: Id, begun: u64, completions: &mut Vec<Completion>) {
        let Some(source) = self.source(resource).filter(|source| source.begun == begun) else {
            return;
        };
        if std::mem::take(&mut source.receiving) {
            let event = Event::ReceiveEnded(Ended::Stopped);
            completions.push(Completion { resource, event });
        }
        if std::mem::take(&mut source.accepting) {
            completions.push(Completion { resource, event: Event::AcceptEnded(None) });
        }
    }

    /// Runs the jobs that are done. Returns whether there were any.
    fn run_jobs(&self, now: Duration) -> bool {
        let mut any = false;
        while let Some(job) = self.workers.take_done(now) {
            any = true;
            job(&JobContext::outside());
        }
        any
    }

    /// Lets time go on to the next thing that happens, but not beyond `end`. Returns whether there
    /// was something.
    fn let_time_pass(&self, end: Option<Duration>) -> bool {
        let mut state = self.network.lock();
        match (state.next_event(), end) {
            (Some(next), end) if end.is_none_or(|end| next <= end) => {
                state.advance(next);
                true
            }
            (_, Some(end)) => {
                state.advance(end);
                false
            }
            (_, None) => false,
        }
    }
}

impl Driver for Sim {
    fn attach(&mut self, resource: Id, descriptor: Arc<Descriptor>, _: FdKind) {
        let socket = descriptor.simulated();
        if let Some(socket) = socket {
            self.network.lock().claim(socket, resource);
        }
        let source = Source {
            descriptor,
            socket,
            receiving: false,
            once: false,
            accepting: false,
            most: 0,
            size: None,
            has_room: false,
            connecting: false,
            polling: false,
            sending: None,
            begun: 0,
        };
        self.sources.insert(resource, source);
    }

    fn detach(&mut self, resource: Id) -> Option<Arc<Descriptor>> {
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
                source.begun += 1;
                (source.accepting, source.most) = (true, most);
                self.touch(resource);
            }
            Operation::ReceiveFrom { most, size } => {
                if let Some(source) = self.source(resource) {
                    (source.most, source.size) = (most, Some(size));
                }
                self.begin_receive(resource, false);
            }
            Operation::AwaitRoom => {
                if let Some(source) = self.source(resource) {
                    source.has_room = true;
                }
                self.tell(resource, Event::Room(Ok(())));
            }
            Operation::Connect { address } => self.begin_connect(resource, &address),
            Operation::Probe => self.probes.push(resource),
            Operation::File { operation, task } => self.begin_on_file(resource, operation, task),
            Operation::Poll(Readiness::PeerGone) => {
                let Some(source) = self.source(resource) else { return };
                source.polling = true;
                self.touch(resource);
            }
            // Refused above: what a program has is of this machine, and nothing here looks at it.
            Operation::Poll(_) => {
                let refused = Err(io::ErrorKind::Unsupported.into());
                self.complete(resource, Event::Polled(refused));
            }
            Operation::ShutdownWrite => {
                let Some(socket) = self.source(resource).and_then(|source| source.socket) else {
                    return;
                };
                let result = match self.network.lock().shut(socket) {
                    // Reset by the peer: the direction has ended all the same.
                    Err(Errno::NOTCONN) => Ok(()),
                    result => result,
                };
                self.complete(resource, Event::ShutDown(result.map_err(Into::into)));
            }
            Operation::Close(release) => {
                if let Some(descriptor) = self.detach(resource) {
                    if let Some(socket) = descriptor.simulated() {
                        self.network.lock().close(socket, release);
                    }
                    descriptor.release();
                }
                self.tell(resource, Event::Closed);
            }
        }
    }

    fn send_now(&mut self, resource: Id, bytes: &[u8]) -> Option<io::Result<usize>> {
        let socket = self.source(resource)?.socket?;
        let mut state = self.network.lock();
        // Late ones are submitted, and told as they come.
        let late = state.hosts[self.host].machine.late;
        if state.rng.chance(late) {
            return None;
        }
        let result = self.room(&mut state, socket, bytes.len())?;
        if let Ok(room) = result {
            state.send(socket, &bytes[..room]);
        }
        Some(result.map_err(Into::into))
    }

    fn send_datagram(
        &mut self,
        resource: Id,
        bytes: &[u8],
        to: Option<&Address>,
    ) -> Option<io::Result<()>> {
        let host = self.host;
        let source = self.sources.get_mut(resource)?;
        let mut state = self.network.lock();
        let state = &mut *state;
        // What would come late elsewhere has to wait here.
        let late = state.hosts[host].machine.late;
        if state.rng.chance(late) && !std::mem::take(&mut source.has_room) {
            return None;
        }
        let no_buffers = state.hosts[host].machine.no_buffers;
        if state.rng.chance(no_buffers) {
            return Some(Err(Errno::NOBUFS.into()));
        }
        let to = match to.map(Address::as_inet) {
            None => None,
            Some(Some(to)) => Some(to),
            Some(None) => return Some(Err(Errno::AFNOSUPPORT.into())),
        };
        let sent = state.send_datagram(source.socket?, bytes, to);
        Some(sent.map_err(Into::into))
    }

    fn cancel(&mut self, resource: Id, role: Role) {
        if role == Role::Send {
            let is_room = |late: &Late| match late {
                Late::Told(told) => {
                    told.resource == resource && matches!(told.event, Event::Room(_))
                }
                Late::Stop { .. } => false,
            };
            if let Some(at) = self.late.iter().position(|(_, late)| is_room(late)) {
                self.late.remove(at);
                return self.complete(resource, Event::Room(Err(Errno::CANCELED.into())));
            }
        }
        let Some(source) = self.source(resource) else { return };
        let begun = source.begun;
        let event = match role {
            Role::Receive if source.receiving => Event::ReceiveEnded(Ended::Stopped),
            Role::Accept if source.accepting => Event::AcceptEnded(None),
            Role::Connect if source.connecting => {
                source.connecting = false;
                return self.complete(resource, Event::Connected(Err(Errno::CANCELED.into())));
            }
            Role::Poll if source.polling => {
                source.polling = false;
                return self.complete(resource, Event::Polled(Err(Errno::CANCELED.into())));
            }
            Role::Send => match source.sending.take() {
                Some(gather) => {
                    return self.tell(resource, Event::Sent { gather, result: Ok(0) });
                }
                None => return,
            },
            // Unknown or finished, or told late with its true result.
            _ => return,
        };
        if let Some(due) = self.draw_lateness() {
            return self.late.push((due, Late::Stop { resource, begun }));
        }
        if let Some(source) = self.source(resource) {
            (source.receiving, source.accepting) = (false, false);
        }
        self.complete(resource, event);
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        completions: &mut Vec<Completion>,
    ) -> io::Result<()> {
        let end = {
            let mut state = self.network.lock();
            let mut now = state.now;
            if timeout != Some(Duration::ZERO) {
                self.busy = 0;
            } else if self.busy < BUSY_MIN {
                self.busy += 1;
            } else {
                // A program that always has something to do must see a deadline come.
                now += state.hosts[self.host].machine.turn;
            }
            state.advance(now);
            timeout.filter(|&timeout| timeout < FOR_EVER).map(|timeout| now + timeout)
        };
        loop {
            completions.append(&mut self.done);
            let now = self.network.lock().now;
            self.tell_late(now, completions);
            let has_run = self.run_jobs(now);
            self.visit_ready(completions);
            completions.append(&mut self.done);
            if self.bell.has_rung()
                || has_run
                || !completions.is_empty()
                || end.is_some_and(|end| end <= now)
                || self.has_ready()
            {
                return Ok(());
            }
            if !self.let_time_pass(end) && end.is_none() {
                if !self.network.lock().threads {
                    return Err(io::Error::new(io::ErrorKind::Deadlock, NOTHING_TO_COME));
                }
                self.bell.wait();
                return Ok(());
            }
        }
    }

    /// Nothing is ever held back.
    fn flush(&mut self) {}

    fn take_done(&mut self, completions: &mut Vec<Completion>) {
        completions.append(&mut self.done);
    }

    fn has_work(&mut self) -> bool {
        !self.done.is_empty() || !self.probes.is_empty() || self.has_ready()
    }

    /// A send that comes late has been taken, so an engine that goes waits to hear how much.
    fn is_at_work(&self) -> bool {
        let is_sent =
            |late: &Late| matches!(late, Late::Told(Completion { event: Event::Sent { .. }, .. }));
        self.late.iter().any(|(_, late)| is_sent(late))
    }

    fn waker(&self) -> Waker {
        Waker::Sim(Arc::clone(&self.bell))
    }

    fn watch(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn as_pollable(&self) -> io::Result<OwnedDescriptor> {
        owned::duplicate(owned::null()?)
    }

    fn name(&self) -> &'static str {
        "sim"
    }
}

const NOTHING_TO_COME: &str = "nothing is to happen in the simulated network and no deadline is \
    armed, so this would wait for ever";

impl Sim {
    /// Whether a socket that has something to tell is asked for it.
    fn has_ready(&self) -> bool {
        let state = self.network.lock();
        state
            .ready(self.engine)
            .any(|resource| self.sources.get(resource).is_some_and(Source::is_asked))
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.network.lock().remove_engine(self.engine);
    }
}
