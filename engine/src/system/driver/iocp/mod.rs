//! The completion driver of Windows: a completion port.
//!
//! **Receiving** is a WSARecv of nothing, which ends when there is something, and then a call that
//! does not wait. So a connection that is silent costs no memory, nothing that a read does not want
//! leaves the system, and what has arrived by a deadline can be had by another call, however long a
//! packet may take. A WSARecv into memory saves a call, and has none of that.
//!
//! **Sending** is a call that does not wait, and says at once and exactly how much the system took:
//! so a write that is cancelled or times out knows how much of it was sent, to the byte. A WSASend
//! that is under way does not: the system may have taken any part of it, and cancelling it may abort
//! the connection. Where there is no room it is waited for, without sending.
//!
//! **Accepting** is an AcceptEx with a socket made for it, **connecting** a ConnectEx. Neither sends
//! or receives first bytes along, though both could: an AcceptEx that wants some does not end before
//! they have come, so that nobody would hear of a connection that is silent; and the bytes of a
//! ConnectEx are taken before there is a connection, so that nobody could say of a write that was
//! cancelled meanwhile that not a byte of it was taken.
//!
//! **Files by position** are read and written by the port, since the engine opens them a second time
//! for that. What makes a file longer is done by workers: the system does it within the call. A write
//! that is under way is not cancelled, since nothing would say how much of it is in the file.
//!
//! **Pipes** that were opened to be overlapped, as the standard library opens its end of those to a
//! child, are read into a block that waits with the read, and written a piece at a time. A cancelled
//! read of a pipe has taken nothing. A cancelled write does not say how much of it somebody has read:
//! so a piece under way is not cancelled, but counts as taken, and whoever waits for it is let go.
//!
//! **Other handles** (anonymous pipes, consoles, what is somebody else's port's) are read and written
//! by workers: whether a handle may be used with a port is decided when it is opened.

mod afd;
mod in_flight;
#[cfg_attr(facade_quarantine, path = "quarantine.rs")]
mod memory;
pub(crate) mod port;
mod source;

use std::{
    collections::HashMap,
    io, mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::windows::io::{AsHandle, AsRawHandle, AsRawSocket},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

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
            blocks::{BLOCK_LEN, Blocks},
            close::close,
            datagrams::{self, End},
            iocp::{
                afd::{Afd, PollInfo},
                in_flight::{Accepting, Begun, InFlight, On, Report, Work},
                port::{Packet, Port},
                source::{Piece, Source, Way},
            },
            refusals::Refusals,
            workers::{Finished, WorkerEvent, Workers},
        },
        fd_kind::FdKind,
        pool::Pool,
        sys::{
            address,
            errno::Errno,
            outcome::{Attempt, Pushed, Received},
            owned::{BorrowedDescriptor, OwnedDescriptor},
            syscall,
        },
    },
};

/// How many connections are accepted at once behind one that was waited for.
const ACCEPT_BATCH: usize = 64;
/// How often a driver that goes asks the system to let go of its memory, and how long it waits for
/// that each time.
const REQUESTS: u32 = 10;
const PATIENCE: Duration = Duration::from_millis(100);

/// The driver.
pub(crate) struct Iocp {
    port: Arc<Port>,
    afd: Afd,
    in_flight: InFlight,
    /// Which of them work for which operations above, on files by position.
    on_files: HashMap<Id, Id>,
    /// How many of them write to pipes what somebody waits for.
    pieces: usize,
    sources: SideTable<Source>,
    /// Receptions, acceptings and sends to be tried in the next wait.
    resting: Vec<Id>,
    /// What ended at once, for the next wait.
    done: Vec<Completion>,
    /// What ended inside the calls that began it, for the next wait.
    at_once: Vec<Packet>,
    /// What the port has said, within one wait.
    packets: Vec<Packet>,
    blocks: Blocks,
    block: Vec<u8>,
    workers: Workers,
    refusals: Refusals,
}

impl Iocp {
    pub(crate) fn new(pool: Pool) -> io::Result<Self> {
        let port = Arc::new(Port::new()?);
        let afd = Afd::open(&port)?;
        let workers = Workers::new(pool, Waker::Iocp(Arc::clone(&port)));
        Ok(Self {
            port,
            afd,
            in_flight: InFlight::new(),
            on_files: HashMap::new(),
            pieces: 0,
            sources: SideTable::new(),
            resting: Vec::new(),
            done: Vec::new(),
            at_once: Vec::new(),
            packets: Vec::new(),
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

    /// Has what a source wants tried in the next wait.
    fn rest(&mut self, resource: Id) {
        self.resting.push(resource);
    }

    /// How the completions of a source come: found out at the first need.
    fn way(&mut self, resource: Id) -> Way {
        let Some(source) = self.sources.get_mut(resource) else { return Way::Workers };
        if source.way == Way::Unknown {
            // Each has one port for good, and needs to be made for that.
            source.way = match source.descriptor.borrow() {
                BorrowedDescriptor::Socket(socket) => {
                    match self.port.associate(socket.as_raw_socket() as _) {
                        Ok(()) => Way::Port { skips: in_flight::skip_on_success(socket) },
                        Err(_) => Way::Polled,
                    }
                }
                BorrowedDescriptor::Handle(handle) => {
                    match self.port.associate(handle.as_raw_handle()) {
                        Ok(()) => Way::Overlapped,
                        Err(_) => Way::Workers,
                    }
                }
            };
        }
        source.way
    }

    /// Begins an operation on a handle. Returns its key.
    fn begin_on_handle(&mut self, resource: Id, work: Work) -> Result<Id, (Errno, Work)> {
        let Some(source) = self.sources.get(resource) else { return Err((Errno::BADF, work)) };
        let Some(handle) = source.descriptor.borrow().as_handle() else {
            return Err((Errno::BADF, work));
        };
        self.in_flight.begin_on_handle(resource, handle, work)
    }

    /// Begins an operation on a socket. Returns its key.
    fn begin(&mut self, resource: Id, work: Work) -> Result<Id, (Errno, Work)> {
        let way = self.way(resource);
        let Some(source) = self.sources.get_mut(resource) else { return Err((Errno::BADF, work)) };
        let Some(socket) = source.descriptor.borrow().as_socket() else {
            return Err((Errno::NOTSOCK, work));
        };
        let begun = match work {
            Work::PollIn(_) | Work::PollOut(_) | Work::Poll(_) => {
                self.in_flight.poll(&self.afd, resource, work)?
            }
            work => {
                let skips = way == Way::Port { skips: true };
                self.in_flight.begin(On { resource, socket, skips }, work)?
            }
        };
        source.flights += 1;
        Ok(match begun {
            Begun::Pending(key) => key,
            Begun::AtOnce(key, packet) => {
                self.at_once.push(packet);
                key
            }
        })
    }

    /// Polls for one of these events.
    fn poll(
        &mut self,
        resource: Id,
        events: u32,
        work: impl FnOnce(PollInfo) -> Work,
    ) -> Result<Id, Errno> {
        let source = self.sources.get(resource).ok_or(Errno::BADF)?;
        let socket = source.descriptor.borrow().as_socket().ok_or(Errno::NOTSOCK)?;
        let base = afd::base_of(socket).map_err(|error| Errno::of(&error))?;
        self.begin(resource, work(PollInfo::new(base, events))).map_err(|(error, _)| error)
    }

    /// Waits until a socket is ready. A handle is not waited for.
    fn begin_poll(&mut self, resource: Id, readiness: Readiness) {
        let gone = afd::DISCONNECT | afd::ABORT | afd::LOCAL_CLOSE;
        let events = match readiness {
            Readiness::Readable => afd::RECEIVE | afd::ACCEPT | gone,
            Readiness::Writable => afd::SEND | afd::ABORT | afd::LOCAL_CLOSE,
            Readiness::PeerGone => gone,
        };
        match self.poll(resource, events, Work::Poll) {
            Ok(key) => {
                if let Some(source) = self.source(resource) {
                    source.flights -= 1;
                    source.polling = Some(key);
                }
            }
            Err(Errno::NOTSOCK) => {
                let refused = Err(io::ErrorKind::Unsupported.into());
                self.complete(resource, Event::Polled(refused));
            }
            Err(error) => self.complete(resource, Event::Polled(Err(error.into()))),
        }
    }

    fn polled(
        &mut self,
        resource: Id,
        result: Result<usize, Errno>,
        completions: &mut Vec<Completion>,
    ) {
        if let Some(source) = self.source(resource)
            && source.polling.take().is_some()
        {
            let event = Event::Polled(result.map(drop).map_err(Into::into));
            completions.push(Completion { resource, event });
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
        let late = source.late.take();
        let mut done = mem::take(&mut self.done);
        match late {
            Some((block, received)) => self.read_by_worker(resource, block, received, &mut done),
            None => self.arm_reception(resource, &mut done),
        }
        self.done = done;
    }

    /// Waits for something to receive, unless it may be there already.
    fn arm_reception(&mut self, resource: Id, completions: &mut Vec<Completion>) {
        let way = self.way(resource);
        let Some(source) = self.source(resource) else { return };
        if source.reception.is_some() || source.busy {
            return;
        }
        match way {
            Way::Workers => return self.receive_on_worker(resource),
            Way::Overlapped => return self.begin_to_read(resource, completions),
            _ => {}
        }
        if mem::take(&mut source.filled) && !self.receive_now(resource, completions) {
            return;
        }
        let armed = match way {
            Way::Polled => {
                let events = afd::RECEIVE | afd::DISCONNECT | afd::ABORT | afd::LOCAL_CLOSE;
                self.poll(resource, events, Work::PollIn)
            }
            _ => self.begin(resource, Work::Receive).map_err(|(error, _)| error),
        };
        match armed {
            Ok(key) => {
                if let Some(source) = self.source(resource) {
                    source.reception = Some(key);
                }
            }
            Err(error) => {
                self.end_receive(resource, Ended::Failed(error.into()), completions);
            }
        }
    }

    /// Reads a pipe, by an operation that waits with its block.
    fn begin_to_read(&mut self, resource: Id, completions: &mut Vec<Completion>) {
        match self.begin_on_handle(resource, Work::ReadPipe(self.blocks.get())) {
            Ok(key) => {
                if let Some(source) = self.source(resource) {
                    source.flights += 1;
                    source.reception = Some(key);
                }
            }
            Err((error, Work::ReadPipe(block))) => {
                self.was_read(resource, block, Err(error), completions);
            }
            Err((error, _)) => unreachable!("what was to begin comes back: {error}"),
        }
    }

    /// A read of a pipe has ended.
    fn was_read(
        &mut self,
        resource: Id,
        mut block: Vec<u8>,
        result: Result<usize, Errno>,
        completions: &mut Vec<Completion>,
    ) {
        let Some(source) = self.source(resource) else { return };
        source.reception = None;
        let stopping = source.stopping;
        let (bytes, result) = match result {
            Ok(count @ 1..) => (Some(self.blocks.received(&mut block, count)), Ok(())),
            // A writer may write a message of nothing.
            Ok(0) => (None, Err(Errno::CANCELED)),
            Err(Errno::PIPE | Errno::HANDLE_EOF) => (None, Ok(())),
            Err(error) => (None, Err(error)),
        };
        self.blocks.put(block);
        match (&bytes, result) {
            (None, Err(Errno::CANCELED)) if stopping => {
                self.end_receive(resource, Ended::Stopped, completions);
            }
            _ => self.was_received(resource, bytes, result, completions),
        }
    }

    /// Receives what is there. Returns whether nothing is, so that it is to be waited for.
    fn receive_now(&mut self, resource: Id, completions: &mut Vec<Completion>) -> bool {
        let Some(source) = self.sources.get_mut(resource) else { return false };
        if source.fd_kind.is_of_datagrams() {
            return self.receive_datagrams(resource, completions);
        }
        let (fd, touched) = (source.descriptor.borrow(), source.descriptor.is_touched());
        let (bytes, result) = match syscall::receive(fd, source.fd_kind, touched, &mut self.block) {
            Received::Some(count) | Received::All(count) => {
                source.filled = count == BLOCK_LEN;
                (Some(self.blocks.received(&mut self.block, count)), Ok(()))
            }
            Received::Failed(error) => (None, Err(error)),
            // A failure that the wait was told need not be told again.
            nothing => match (source.failure, nothing) {
                (Some(error), _) => (None, Err(error)),
                (None, Received::End) => (None, Ok(())),
                (None, _) => return true,
            },
        };
        self.was_received(resource, bytes, result, completions);
        false
    }

    /// The same of datagrams.
    fn receive_datagrams(&mut self, resource: Id, completions: &mut Vec<Completion>) -> bool {
        let Some(source) = self.sources.get_mut(resource) else { return false };
        let (fd, most) = (source.descriptor.borrow(), source.most);
        let batch = datagrams::receive(fd, &self.blocks, &mut self.block, source.size, most);
        source.most -= batch.datagrams.len();
        source.filled = !matches!(batch.end, End::Empty);
        if !batch.datagrams.is_empty() {
            completions.push(Completion { resource, event: Event::Arrived(batch.datagrams) });
        }
        match batch.end {
            End::Empty => return true,
            End::Full => self.end_receive(resource, Ended::Stopped, completions),
            End::Failed(error) => {
                self.end_receive(resource, Ended::Failed(error.into()), completions);
            }
            End::More => self.rest(resource),
        }
        false
    }

    /// Reports the end of a reception; of one that the system has in hand when that has ended.
    fn end_receive(&mut self, resource: Id, ended: Ended, completions: &mut Vec<Completion>) {
        let Some(source) = self.source(resource) else { return };
        if source.reception.is_some() {
            source.ended = Some(ended);
            return self.stop_reception(resource);
        }
        source.stopping = false;
        if mem::take(&mut source.receiving) {
            completions.push(Completion { resource, event: Event::ReceiveEnded(ended) });
        }
    }

    /// Reports what a receive came to, and has it go on if it is to. No bytes are the end.
    fn was_received(
        &mut self,
        resource: Id,
        bytes: Option<Bytes>,
        result: Result<(), Errno>,
        completions: &mut Vec<Completion>,
    ) {
        let Some(source) = self.source(resource) else { return };
        let over = source.once || source.stopping;
        match (bytes, result) {
            (Some(bytes), _) => {
                completions.push(Completion { resource, event: Event::Received(bytes) });
                match over {
                    true => self.end_receive(resource, Ended::Stopped, completions),
                    // In the next wait: those it was brought to may not want more.
                    false => self.rest(resource),
                }
            }
            (None, Ok(())) => self.end_receive(resource, Ended::EndOfStream, completions),
            (None, Err(Errno::CANCELED)) => self.rest(resource),
            (None, Err(error)) => {
                self.end_receive(resource, Ended::Failed(error.into()), completions);
            }
        }
    }

    /// There is something to receive, or the wait for it has ended.
    fn receivable(
        &mut self,
        resource: Id,
        result: Result<usize, Errno>,
        completions: &mut Vec<Completion>,
    ) {
        let Some(source) = self.source(resource) else { return };
        source.reception = None;
        if source.accepting {
            return self.accept_polled(resource, result, completions);
        }
        source.failure = result.err().filter(|error| *error != Errno::CANCELED);
        match source.ended.take() {
            Some(ended) => self.end_receive(resource, ended, completions),
            None if source.stopping => self.end_receive(resource, Ended::Stopped, completions),
            // Whatever has ended the wait: a call tells what there is.
            None => {
                if self.receive_now(resource, completions) {
                    self.rest(resource);
                }
            }
        }
    }

    /// Tries once more without waiting: what has arrived is there, whether or not the system has
    /// said so yet.
    fn probe(&mut self, resource: Id) {
        let Some(source) = self.sources.get(resource) else { return };
        let is_socket = source.fd_kind.is_socket() || source.fd_kind.is_of_datagrams();
        let receives = source.receiving && !source.stopping && is_socket;
        let accepts = source.accepting && !source.stopping;
        let mut done = mem::take(&mut self.done);
        if receives {
            self.receive_now(resource, &mut done);
        } else if accepts {
            self.accept_now(resource, &mut done);
        }
        self.done = done;
    }

    // Sending

    fn begin_send(&mut self, resource: Id, gather: Box<Gather>) {
        let Some(source) = self.source(resource) else { return };
        source.unsent = Some(gather);
        let mut done = mem::take(&mut self.done);
        self.try_send(resource, &mut done);
        self.done = done;
    }

    /// Sends what the system takes now, or waits for room.
    fn try_send(&mut self, resource: Id, completions: &mut Vec<Completion>) {
        let Some(source) = self.source(resource) else { return };
        if source.room.is_some() || source.pushing.is_some() || source.piece.is_some() {
            return;
        }
        let Some(gather) = source.unsent.take() else { return };
        match self.way(resource) {
            Way::Workers => return self.send_on_worker(resource, gather, completions),
            Way::Overlapped => return self.write_piece(resource, gather, completions),
            _ => {}
        }
        let Some(source) = self.source(resource) else { return };
        let result = match syscall::send(source.descriptor.borrow(), source.fd_kind, &gather) {
            Pushed::Done(result) => result,
            Pushed::Full | Pushed::MayWait => {
                source.unsent = Some(gather);
                match self.await_room(resource) {
                    Ok(()) => return,
                    Err(error) => {
                        let unsent = self.source(resource).and_then(|source| source.unsent.take());
                        let Some(gather) = unsent else { return };
                        let event = Event::Sent { gather, result: Err(error.into()) };
                        return completions.push(Completion { resource, event });
                    }
                }
            }
        };
        let result = result.map_err(Into::into);
        completions.push(Completion { resource, event: Event::Sent { gather, result } });
    }

    fn await_room(&mut self, resource: Id) -> Result<(), Errno> {
        let events = afd::SEND | afd::ABORT | afd::LOCAL_CLOSE;
        let key = self.poll(resource, events, Work::PollOut)?;
        if let Some(source) = self.source(resource) {
            source.room = Some(key);
        }
        Ok(())
    }

    /// There is room to send, or the send that waited for it was cancelled.
    fn has_room(&mut self, resource: Id, completions: &mut Vec<Completion>) {
        let Some(source) = self.source(resource) else { return };
        source.room = None;
        if mem::take(&mut source.awaits_room) {
            let unwanted = mem::take(&mut source.unsending);
            let result = if unwanted { Err(Errno::CANCELED.into()) } else { Ok(()) };
            return completions.push(Completion { resource, event: Event::Room(result) });
        }
        if mem::take(&mut source.unsending)
            && let Some(gather) = source.unsent.take()
        {
            let event = Event::Sent { gather, result: Ok(0) };
            return completions.push(Completion { resource, event });
        }
        self.try_send(resource, completions);
    }

    /// Writes the first bytes to a pipe.
    fn write_piece(
        &mut self,
        resource: Id,
        gather: Box<Gather>,
        completions: &mut Vec<Completion>,
    ) {
        let Some(source) = self.sources.get(resource) else { return };
        let bytes = gather.first_piece(syscall::PIECE).to_vec();
        let (len, held) = (bytes.len(), source.descriptor.hold());
        match self.begin_on_handle(resource, Work::WritePipe(bytes, held)) {
            Ok(key) => {
                self.pieces += 1;
                if let Some(source) = self.source(resource) {
                    source.piece = Some(Piece { key, len, let_go: false });
                    source.unsent = Some(gather);
                }
            }
            Err((error, _)) => {
                let result = Err(syscall::broken_pipe(error).into());
                completions.push(Completion { resource, event: Event::Sent { gather, result } });
            }
        }
    }

    /// A piece was written, or has failed.
    fn piece_was_written(
        &mut self,
        resource: Id,
        result: Result<usize, Errno>,
        completions: &mut Vec<Completion>,
    ) {
        let Some(source) = self.sources.get_mut(resource) else { return };
        let Some(piece) = source.piece.take() else { return };
        if piece.let_go {
            // What waits behind it is tried; and told, should it have failed for good.
            return self.try_send(resource, completions);
        }
        self.pieces -= 1;
        let Some(gather) = source.unsent.take() else { return };
        let result = match result {
            Err(Errno::CANCELED) => Ok(0),
            result => result.map_err(|error| syscall::broken_pipe(error).into()),
        };
        completions.push(Completion { resource, event: Event::Sent { gather, result } });
    }

    /// Has back what is being written to a pipe, with how many of its bytes count as sent.
    fn take_back_from_pipe(&mut self, resource: Id) -> Option<(Box<Gather>, usize)> {
        let source = self.sources.get_mut(resource)?;
        let piece = source.piece.as_mut()?;
        let gather = source.unsent.take()?;
        // Else it waits behind one that was let go of.
        let sent = if mem::replace(&mut piece.let_go, true) { 0 } else { piece.len };
        self.pieces -= usize::from(sent > 0);
        Some((gather, sent))
    }

    // Accepting and connecting

    fn arm_accepting(&mut self, resource: Id, completions: &mut Vec<Completion>) {
        let way = self.way(resource);
        let Some(source) = self.source(resource) else { return };
        if source.reception.is_some() {
            return;
        }
        let armed = match way {
            Way::Polled => self.poll(resource, afd::ACCEPT | afd::LOCAL_CLOSE, Work::PollIn),
            _ => match socket_for(source) {
                Ok(socket) => {
                    let work = Work::Accept(Accepting::new(socket));
                    self.begin(resource, work).map_err(|(error, _)| error)
                }
                Err(error) => Err(Errno::of(&error)),
            },
        };
        match armed {
            Ok(key) => {
                if let Some(source) = self.source(resource) {
                    source.reception = Some(key);
                }
            }
            // The next may live.
            Err(error) if syscall::is_of_one_connection(error) => self.rest(resource),
            Err(error) => self.end_accept(resource, Some(error.into()), completions),
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
        if mem::take(&mut source.accepting) {
            completions.push(Completion { resource, event: Event::AcceptEnded(error) });
        }
    }

    /// An AcceptEx has ended.
    fn accepted(
        &mut self,
        resource: Id,
        accepting: Accepting,
        result: Result<usize, Errno>,
        completions: &mut Vec<Completion>,
    ) {
        let Some(source) = self.source(resource) else { return };
        source.reception = None;
        let accepted = result.and_then(|_| {
            let listener = source.descriptor.borrow().as_socket().ok_or(Errno::NOTSOCK)?;
            in_flight::update_accepted(&accepting.socket, listener)?;
            accepting.socket.set_nonblocking(true).map_err(|error| Errno::of(&error))?;
            Ok(accepting.socket.into())
        });
        if self.was_accepted(resource, accepted, completions) {
            self.accept_now(resource, completions);
        }
    }

    /// Accepts what waits in the backlog, and has the accepting go on.
    fn accept_now(&mut self, resource: Id, completions: &mut Vec<Completion>) {
        for _ in 0..ACCEPT_BATCH {
            let Some(source) = self.source(resource) else { return };
            match syscall::accept(source.descriptor.borrow()) {
                Attempt::WouldBlock => break,
                Attempt::Done(result) => {
                    if !self.was_accepted(resource, result, completions) {
                        return;
                    }
                }
            }
        }
        self.rest(resource);
    }

    /// Reports what an accepting came to. Returns whether it goes on.
    fn was_accepted(
        &mut self,
        resource: Id,
        accepted: Result<OwnedDescriptor, Errno>,
        completions: &mut Vec<Completion>,
    ) -> bool {
        let Some(source) = self.source(resource) else { return false };
        let failure = match accepted {
            Ok(connection) => {
                source.most = source.most.saturating_sub(1);
                let event = Event::Accepted(Descriptor::new(connection));
                completions.push(Completion { resource, event });
                None
            }
            Err(Errno::CANCELED) => None,
            // The next may live.
            Err(error) if syscall::is_of_one_connection(error) => None,
            Err(error) => Some(error.into()),
        };
        let Some(source) = self.source(resource) else { return false };
        let over = failure.is_some() || source.stopping || source.most == 0;
        // One that is under way may have been found enough for by a probe.
        if over && source.reception.is_some() {
            self.stop_reception(resource);
            return false;
        }
        if over {
            let failure = failure.filter(|_| !source.stopping);
            self.end_accept(resource, failure, completions);
        }
        !over
    }

    fn accept_polled(
        &mut self,
        resource: Id,
        result: Result<usize, Errno>,
        completions: &mut Vec<Completion>,
    ) {
        let Some(source) = self.source(resource) else { return };
        if source.stopping {
            return self.end_accept(resource, None, completions);
        }
        let accepted = match result {
            Ok(_) => match syscall::accept(source.descriptor.borrow()) {
                Attempt::WouldBlock => return self.rest(resource),
                Attempt::Done(result) => result,
            },
            Err(error) => Err(error),
        };
        if self.was_accepted(resource, accepted, completions) {
            self.rest(resource);
        }
    }

    fn begin_connect(&mut self, resource: Id, address: &Address) {
        let to = match (address, address::to_system(address)) {
            (Address::Inet(inet), Ok(to)) => self.bind_for_connecting(resource, inet).map(|()| to),
            _ => Err(Errno::AFNOSUPPORT),
        };
        let begun = to.and_then(|to| {
            self.begin(resource, Work::Connect(Box::new(to))).map_err(|(error, _)| error)
        });
        match begun {
            Ok(key) => {
                if let Some(source) = self.source(resource) {
                    source.connecting = Some(key);
                }
            }
            Err(error) => self.complete(resource, Event::Connected(Err(error.into()))),
        }
    }

    /// ConnectEx wants a socket that is bound, to whichever address.
    fn bind_for_connecting(&mut self, resource: Id, to: &SocketAddr) -> Result<(), Errno> {
        let source = self.source(resource).ok_or(Errno::BADF)?;
        let fd = source.descriptor.borrow();
        let socket = fd.socket().ok_or(Errno::NOTSOCK)?;
        let any: SockAddr = match to {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into(),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into(),
        };
        match socket.bind(&any).map_err(|error| Errno::of(&error)) {
            // It is bound: the program has said where.
            Err(Errno::INVAL) => Ok(()),
            result => result,
        }
    }

    fn connected(
        &mut self,
        resource: Id,
        result: Result<usize, Errno>,
        completions: &mut Vec<Completion>,
    ) {
        let Some(source) = self.source(resource) else { return };
        source.connecting = None;
        let result = result.and_then(|_| {
            let socket = source.descriptor.borrow().as_socket().ok_or(Errno::NOTSOCK)?;
            in_flight::update_connected(socket)
        });
        let event = Event::Connected(result.map_err(Into::into));
        completions.push(Completion { resource, event });
    }

    // Handles

    fn receive_on_worker(&mut self, resource: Id) {
        let Some(source) = self.sources.get_mut(resource) else { return };
        source.busy = true;
        let (descriptor, fd_kind) = (&source.descriptor, source.fd_kind);
        if !self.workers.receive(resource, descriptor, fd_kind, self.blocks.get()) {
            source.busy = false;
            self.rest(resource);
        }
    }

    /// What a worker has received comes to a reception.
    fn read_by_worker(
        &mut self,
        resource: Id,
        mut block: Vec<u8>,
        received: Received,
        completions: &mut Vec<Completion>,
    ) {
        let (bytes, result) = match received {
            Received::Some(count) | Received::All(count) => {
                (Some(self.blocks.received(&mut block, count)), Ok(()))
            }
            Received::Nothing | Received::MayWait => (None, Err(Errno::CANCELED)),
            Received::End => (None, Ok(())),
            Received::Failed(error) => (None, Err(error)),
        };
        self.blocks.put(block);
        self.was_received(resource, bytes, result, completions);
    }

    fn send_on_worker(
        &mut self,
        resource: Id,
        gather: Box<Gather>,
        completions: &mut Vec<Completion>,
    ) {
        let Some(source) = self.sources.get_mut(resource) else { return };
        let (descriptor, fd_kind) = (&source.descriptor, source.fd_kind);
        match self.workers.send(resource, descriptor, fd_kind, gather) {
            Ok(unsent) => source.pushing = Some(unsent),
            // To be tried again.
            Err(gather) => {
                completions
                    .push(Completion { resource, event: Event::Sent { gather, result: Ok(0) } });
            }
        }
    }

    /// What a worker has sent comes back; or nothing, because it was had back meanwhile.
    fn was_pushed(
        &mut self,
        resource: Id,
        gather: Option<Box<Gather>>,
        pushed: Pushed,
        completions: &mut Vec<Completion>,
    ) {
        let Some(source) = self.source(resource) else { return };
        source.pushing = None;
        let Some(gather) = gather else {
            // What waits behind it is tried.
            return self.try_send(resource, completions);
        };
        let result = match pushed {
            Pushed::Done(result) => result.map_err(Into::into),
            Pushed::Full | Pushed::MayWait => Ok(0),
        };
        completions.push(Completion { resource, event: Event::Sent { gather, result } });
    }

    fn begin_on_file(&mut self, resource: Id, operation: Id, task: FileTask) {
        let task = match self.way(resource) {
            Way::Overlapped => match self.begin_overlapped(resource, operation, task) {
                Some(task) => task,
                None => return,
            },
            _ => task,
        };
        let Some(source) = self.sources.get(resource) else { return };
        let (workers, blocks) = (&mut self.workers, &self.blocks);
        let done = workers.begin_on_file(resource, operation, &source.descriptor, task, blocks);
        if let Some(done) = done {
            self.complete(resource, Event::File { operation, done });
        }
    }

    /// Begins what the port tells of. Gives back what it does not.
    fn begin_overlapped(
        &mut self,
        resource: Id,
        operation: Id,
        task: FileTask,
    ) -> Option<FileTask> {
        let work = match task {
            FileTask::Read { offset, size } => {
                Work::ReadFile { operation, offset, block: self.blocks.get_sized(size), size }
            }
            FileTask::Write { offset, bytes } => {
                let end = offset.saturating_add(bytes.len() as u64);
                let file = self.sources.get(resource)?.descriptor.borrow().as_handle()?;
                if !syscall::reaches(file, end) {
                    return Some(FileTask::Write { offset, bytes });
                }
                Work::WriteFile { operation, offset, bytes }
            }
            FileTask::Sync => return Some(task),
        };
        match self.begin_on_handle(resource, work) {
            Ok(key) => {
                self.on_files.insert(operation, key);
                if let Some(source) = self.source(resource) {
                    source.flights += 1;
                }
            }
            Err((error, work)) => {
                let mut done = mem::take(&mut self.done);
                self.file_done(resource, work, Err(error), &mut done);
                self.done = done;
            }
        }
        None
    }

    /// Something was done to a file.
    fn file_done(
        &mut self,
        resource: Id,
        work: Work,
        result: Result<usize, Errno>,
        completions: &mut Vec<Completion>,
    ) {
        let (operation, done) = match (work, result) {
            (Work::ReadFile { operation, block, .. }, Err(Errno::HANDLE_EOF)) => {
                (operation, FileDone::Read(Ok(self.blocks.received_sized(block, 0))))
            }
            (Work::ReadFile { operation, block, .. }, result) => {
                let received = |count| self.blocks.received_sized(block, count);
                (operation, FileDone::Read(result.map(received).map_err(Into::into)))
            }
            (Work::WriteFile { operation, .. }, result) => {
                (operation, FileDone::Written(result.map_err(Into::into)))
            }
            (other, _) => unreachable!("not of a file: {other:?}"),
        };
        self.on_files.remove(&operation);
        completions.push(Completion { resource, event: Event::File { operation, done } });
    }

    fn reap_workers(&mut self, completions: &mut Vec<Completion>) {
        for Finished { resource, event } in self.workers.take_finished() {
            match event {
                WorkerEvent::Received(block, received) => {
                    let Some(source) = self.source(resource) else { continue };
                    source.busy = false;
                    if source.receiving {
                        self.read_by_worker(resource, block, received, completions);
                    } else {
                        source.late = Some((block, received));
                    }
                }
                WorkerEvent::Pushed(gather, pushed) => {
                    self.was_pushed(resource, gather, pushed, completions);
                }
                WorkerEvent::Task { operation, done } => {
                    let event = Event::File { operation, done: done.into_done(&self.blocks) };
                    completions.push(Completion { resource, event });
                }
            }
        }
    }

    // Ending

    /// Lets go of what is being written to a source that is to be closed, or ends it if the
    /// connection is to be reset. It is held until then.
    fn close_pipe(&mut self, resource: Id, release: Release) -> Option<&mut Source> {
        if let Some((gather, sent)) = self.take_back_from_pipe(resource) {
            self.complete(resource, Event::Sent { gather, result: Ok(sent) });
        }
        let source = self.sources.get_mut(resource)?;
        if let Some(piece) = source.piece
            && matches!(release, Release::Reset | Release::ResetForAll)
        {
            self.in_flight.cancel(piece.key);
        }
        Some(source)
    }

    /// Asks a reception or accepting to end, once.
    fn stop_reception(&mut self, resource: Id) {
        let Some(source) = self.source(resource) else { return };
        if let Some(key) = source.reception
            && !mem::replace(&mut source.stopping, true)
        {
            self.in_flight.cancel(key);
        }
    }

    /// Releases the descriptor of a source, of which the system has nothing in hand any more.
    fn finish_close(&mut self, resource: Id, release: Release, completions: &mut Vec<Completion>) {
        self.end_receive(resource, Ended::EndOfStream, completions);
        let fd_kind = self.source(resource).map(|source| source.fd_kind);
        let source = self.detach(resource).zip(fd_kind);
        let event = close(source, release, &mut self.block);
        completions.push(Completion { resource, event });
    }

    /// Deals with what has ended.
    fn dispatch(&mut self, packet: Packet, completions: &mut Vec<Completion>) {
        let Some(Report { resource, work, result }) = self.in_flight.end(packet) else { return };
        if let Work::WritePipe(_, held) = work {
            // Closed by this if it was to be.
            drop(held);
            return self.piece_was_written(resource, result, completions);
        }
        if let Work::Poll(_) = work {
            return self.polled(resource, result, completions);
        }
        if let Some(source) = self.source(resource) {
            source.flights -= 1;
        }
        match work {
            Work::Accept(accepting) => self.accepted(resource, *accepting, result, completions),
            Work::Connect(_) => self.connected(resource, result, completions),
            Work::Receive | Work::PollIn(_) => self.receivable(resource, result, completions),
            Work::PollOut(_) => self.has_room(resource, completions),
            Work::ReadPipe(block) => self.was_read(resource, block, result, completions),
            work => self.file_done(resource, work, result, completions),
        }
        if let Some(source) = self.source(resource)
            && source.flights == 0
            && let Some(release) = source.closing.take()
        {
            self.finish_close(resource, release, completions);
        }
    }

    /// Goes on with what a source wants.
    fn resume(&mut self, resource: Id, completions: &mut Vec<Completion>) {
        let Some(source) = self.source(resource) else { return };
        if source.closing.is_some() {
            return;
        }
        if source.receiving {
            self.arm_reception(resource, completions);
        } else if source.accepting {
            self.arm_accepting(resource, completions);
        }
    }

    /// The system refused to take packets: there is a wait for them instead, but no longer than it was
    /// to be, and the caller goes on as if nothing had come.
    fn bear(&mut self, error: io::Error, wait: Option<Duration>) -> io::Result<()> {
        self.port.wait(self.refusals.bear(error, wait)?);
        Ok(())
    }
}

/// A socket that becomes a connection of this listener.
fn socket_for(listener: &mut Source) -> io::Result<Socket> {
    let domain = match listener.domain {
        Some(domain) => domain,
        None => {
            let fd = listener.descriptor.borrow();
            let address = fd.socket().ok_or(io::ErrorKind::Unsupported)?.local_addr()?;
            let domain = address.as_socket().map_or(Domain::IPV4, Domain::for_address);
            *listener.domain.insert(domain)
        }
    };
    Socket::new(domain, Type::STREAM, Some(Protocol::TCP))
}

impl Driver for Iocp {
    fn attach(&mut self, resource: Id, descriptor: Arc<Descriptor>, fd_kind: FdKind) {
        self.sources.insert(resource, Source::new(descriptor, fd_kind));
    }

    fn detach(&mut self, resource: Id) -> Option<Arc<Descriptor>> {
        let source = self.sources.remove(resource)?;
        assert_eq!(source.flights, 0, "the system has nothing of it in hand");
        Some(source.descriptor)
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
                source.most = most;
                let mut done = mem::take(&mut self.done);
                self.arm_accepting(resource, &mut done);
                self.done = done;
            }
            Operation::ReceiveFrom { most, size } => {
                if let Some(source) = self.source(resource) {
                    (source.most, source.size) = (most, size);
                }
                self.begin_receive(resource, false);
            }
            Operation::AwaitRoom => match self.await_room(resource) {
                Ok(()) => {
                    if let Some(source) = self.source(resource) {
                        source.awaits_room = true;
                    }
                }
                Err(error) => self.complete(resource, Event::Room(Err(error.into()))),
            },
            Operation::Connect { address } => self.begin_connect(resource, &address),
            Operation::Probe => self.probe(resource),
            Operation::File { operation, task } => self.begin_on_file(resource, operation, task),
            Operation::Poll(readiness) => self.begin_poll(resource, readiness),
            Operation::ShutdownWrite => {
                let Some(source) = self.source(resource) else { return };
                let result = syscall::shutdown_write(source.descriptor.borrow());
                self.complete(resource, Event::ShutDown(result.map_err(Into::into)));
            }
            Operation::Close(release) => match self.close_pipe(resource, release) {
                Some(source) if source.flights > 0 => {
                    source.closing = Some(release);
                    let held = [source.room, source.connecting, source.polling];
                    for key in held.into_iter().flatten() {
                        self.in_flight.cancel(key);
                    }
                    self.stop_reception(resource);
                }
                _ => {
                    let mut done = mem::take(&mut self.done);
                    self.finish_close(resource, release, &mut done);
                    self.done = done;
                }
            },
        }
    }

    #[inline]
    fn send_now(&mut self, resource: Id, bytes: &[u8]) -> Option<io::Result<usize>> {
        let source = self.source(resource)?;
        if source.room.is_some() || !source.fd_kind.is_socket() {
            return None;
        }
        match syscall::send_bytes(source.descriptor.borrow(), bytes) {
            // Submitted, it waits for room.
            Err(Errno::AGAIN) => None,
            result => Some(result.map_err(Into::into)),
        }
    }

    fn send_datagram(
        &mut self,
        resource: Id,
        bytes: &[u8],
        to: Option<&Address>,
    ) -> Option<io::Result<()>> {
        let source = self.source(resource)?;
        match syscall::send_datagram(source.descriptor.borrow(), bytes, to) {
            Attempt::WouldBlock => None,
            Attempt::Done(result) => Some(result.map_err(Into::into)),
        }
    }

    fn cancel(&mut self, resource: Id, role: Role) {
        let Some(source) = self.sources.get_mut(resource) else { return };
        match role {
            Role::Receive | Role::Accept if source.reception.is_some() => {
                self.stop_reception(resource);
            }
            // Resting, or in a worker's hands: the system has nothing of it.
            Role::Receive if source.receiving => {
                source.receiving = false;
                self.complete(resource, Event::ReceiveEnded(Ended::Stopped));
            }
            Role::Accept if source.accepting => {
                source.accepting = false;
                self.complete(resource, Event::AcceptEnded(None));
            }
            Role::Poll => {
                if let Some(key) = source.polling {
                    self.in_flight.cancel(key);
                }
            }
            Role::Receive | Role::Accept => {}
            Role::Connect => {
                if let Some(key) = source.connecting {
                    self.in_flight.cancel(key);
                }
            }
            Role::Send if source.piece.is_some() => {
                if let Some((gather, sent)) = self.take_back_from_pipe(resource) {
                    self.complete(resource, Event::Sent { gather, result: Ok(sent) });
                }
            }
            Role::Send => match (source.room, &source.pushing) {
                (Some(key), _) => {
                    source.unsending = true;
                    self.in_flight.cancel(key);
                }
                (None, Some(pushing)) => {
                    let waits = source.unsent.take().map(|gather| (gather, 0));
                    if let Some((gather, sent)) = waits.or_else(|| self.workers.take_back(pushing))
                    {
                        self.complete(resource, Event::Sent { gather, result: Ok(sent) });
                    }
                }
                (None, None) => {}
            },
            Role::File(operation) => {
                if let Some(key) = self.on_files.get(&operation) {
                    self.in_flight.cancel_read(*key);
                } else if let Some(done) = self.workers.cancel_on_file(operation) {
                    self.complete(resource, Event::File { operation, done });
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
        for resource in mem::take(&mut self.resting) {
            self.resume(resource, completions);
        }
        let nothing_yet =
            completions.is_empty() && self.at_once.is_empty() && self.resting.is_empty();
        let wait = if nothing_yet { timeout } else { Some(Duration::ZERO) };
        let mut packets = mem::take(&mut self.packets);
        packets.append(&mut self.at_once);
        let taken = self.port.take(wait, &mut packets);
        if taken.is_ok() {
            self.refusals.end();
        }
        for packet in packets.drain(..) {
            self.dispatch(packet, completions);
        }
        // Put back for its memory.
        self.packets = packets;
        self.reap_workers(completions);
        completions.append(&mut self.done);
        taken.or_else(|error| self.bear(error, wait))
    }

    /// Nothing is ever held back.
    fn flush(&mut self) {}

    fn take_done(&mut self, completions: &mut Vec<Completion>) {
        completions.append(&mut self.done);
    }

    fn has_work(&mut self) -> bool {
        !self.done.is_empty() || !self.resting.is_empty() || !self.at_once.is_empty()
    }

    fn is_at_work(&self) -> bool {
        self.workers.is_at_work() || self.pieces > 0 || !self.on_files.is_empty()
    }

    fn waker(&self) -> Waker {
        Waker::Iocp(Arc::clone(&self.port))
    }

    fn as_pollable(&self) -> io::Result<OwnedDescriptor> {
        Ok(self.port.as_handle().try_clone_to_owned()?.into())
    }

    fn watch(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn name(&self) -> &'static str {
        "iocp"
    }
}

impl Drop for Iocp {
    fn drop(&mut self) {
        for _ in 0..REQUESTS {
            if self.in_flight.len() == 0 {
                return;
            }
            self.in_flight.cancel_all();
            if self.drain().is_err() {
                break;
            }
        }
        // What is left is leaked: it is in the system's hands.
    }
}

impl Iocp {
    /// Waits for everything in flight to end, but not for ever. What it brings is dropped: a
    /// connection is closed by that.
    fn drain(&mut self) -> io::Result<()> {
        let until = now() + PATIENCE;
        let mut panics = Panics::default();
        let mut packets = mem::take(&mut self.at_once);
        while self.in_flight.len() > 0 {
            for packet in packets.drain(..) {
                panics.contain(|| drop(self.in_flight.end(packet)));
            }
            let left = until.saturating_duration_since(now());
            if left.is_zero() || self.in_flight.len() == 0 {
                break;
            }
            self.port.take(Some(left), &mut packets)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        io::pipe,
        os::windows::fs::OpenOptionsExt,
        process,
        ptr::NonNull,
    };

    use mio::windows::NamedPipe;
    use tempfile::NamedTempFile;
    use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_OVERLAPPED;

    use super::*;
    use crate::{
        pure::{
            buffer::outgoing::{Outgoing, Spare},
            table::Table,
        },
        system::sys::examine,
    };

    /// A driver, and everything that it has brought.
    struct Rig {
        driver: Iocp,
        ids: Table<()>,
        brought: Vec<Completion>,
    }

    impl Rig {
        fn new() -> Self {
            let driver = Iocp::new(Pool::new(1, 1, 1, 1)).unwrap();
            Self { driver, ids: Table::new(), brought: Vec::new() }
        }

        fn attach(&mut self, fd: impl Into<OwnedDescriptor>, fd_kind: FdKind) -> Id {
            let id = self.ids.insert(());
            self.driver.attach(id, Descriptor::new(fd.into()), fd_kind);
            id
        }

        fn file(&mut self, content: &[u8]) -> Id {
            // Not one that nobody else may open.
            let named = NamedTempFile::new().unwrap();
            fs::write(named.path(), content).unwrap();
            let file = File::options().read(true).write(true).open(named.path()).unwrap();
            self.attach(examine::with_own_cursor(file.into()), FdKind::File { append: false })
        }

        /// The outcome of the one operation that is under way.
        fn only(&mut self) -> Event {
            while self.brought.is_empty() {
                self.driver.wait(Some(PATIENCE), &mut self.brought).unwrap();
            }
            assert_eq!(self.brought.len(), 1);
            self.brought.remove(0).event
        }

        fn on_file(&mut self, file: Id, task: FileTask) -> FileDone {
            let operation = self.ids.insert(());
            self.driver.submit(file, Operation::File { operation, task });
            let Event::File { operation: of, done } = self.only() else { panic!() };
            assert_eq!(of, operation);
            done
        }
    }

    /// A pipe as a process has it for its input: the side that writes is overlapped. Both sides are
    /// held here: a process could read, or end, at any moment.
    fn overlapped_pipe(name: &str) -> (NamedPipe, File) {
        let path = format!(r"\\.\pipe\facade-{name}-{}", process::id());
        let reader = NamedPipe::new(&path).unwrap();
        let writer = File::options().write(true).custom_flags(FILE_FLAG_OVERLAPPED).open(&path);
        (reader, writer.unwrap())
    }

    #[test]
    fn what_can_be_done_by_the_port_is_not_done_by_workers() {
        let mut rig = Rig::new();
        let pipe_kind = FdKind::Pipe { shared: true };
        let file = rig.file(b"content");
        let (anonymous, _writer) = pipe().unwrap();
        let anonymous = rig.attach(anonymous, pipe_kind);
        let (_reader, of_another) = overlapped_pipe("of-another");
        let copy = of_another.try_clone().unwrap();
        let mut other = Rig::new();
        let overlapped = rig.attach(of_another, pipe_kind);
        let of_others = other.attach(copy, pipe_kind);
        assert_eq!(rig.driver.way(file), Way::Overlapped);
        assert_eq!(rig.driver.way(anonymous), Way::Workers);
        assert_eq!(rig.driver.way(overlapped), Way::Overlapped);
        assert_eq!(other.driver.way(of_others), Way::Workers);
    }

    #[test]
    fn a_file_is_read_and_written_by_the_port_where_it_does_not_grow() {
        let mut rig = Rig::new();
        let file = rig.file(b"0123456789");
        let operation = rig.ids.insert(());
        let read = |offset, size| FileTask::Read { offset, size };
        rig.driver.submit(file, Operation::File { operation, task: read(2, 4) });
        assert!(!rig.driver.workers.is_at_work() && rig.driver.is_at_work());
        let Event::File { done: FileDone::Read(Ok(bytes)), .. } = rig.only() else { panic!() };
        assert_eq!(bytes, "2345");
        assert!(!rig.driver.is_at_work());
        for (offset, size, expected) in [(8, 4, "89"), (10, 4, ""), (1 << 40, 4, "")] {
            let FileDone::Read(Ok(bytes)) = rig.on_file(file, read(offset, size)) else { panic!() };
            assert_eq!(bytes, expected);
        }
        for (offset, bytes, by_port) in [(4, "abcd", true), (6, "efgh", true), (7, "ijkl", false)] {
            let task = FileTask::Write { offset, bytes: bytes.into() };
            rig.driver.submit(file, Operation::File { operation, task });
            assert_eq!(!rig.driver.on_files.is_empty(), by_port, "{bytes}");
            // A write that is under way ends by itself.
            rig.driver.cancel(file, Role::File(operation));
            let Event::File { done: FileDone::Written(written), .. } = rig.only() else { panic!() };
            match written.unwrap() {
                4 => {}
                // A worker had not begun.
                0 if !by_port => {
                    _ = rig.on_file(file, FileTask::Write { offset, bytes: bytes.into() })
                }
                other => panic!("{other}"),
            }
        }
        let FileDone::Read(Ok(bytes)) = rig.on_file(file, read(0, 100)) else { panic!() };
        assert_eq!(bytes, "0123abeijkl");
        assert!(matches!(rig.on_file(file, FileTask::Sync), FileDone::Synced(Ok(()))));
    }

    #[test]
    fn a_packet_that_is_nobodys_is_no_operation() {
        let mut rig = Rig::new();
        // As it comes when others begin something on a handle that is the port's.
        rig.driver.at_once.push(NonNull::dangling());
        rig.driver.wait(Some(Duration::ZERO), &mut rig.brought).unwrap();
        assert!(rig.brought.is_empty());
    }

    #[test]
    fn a_piece_that_nobody_reads_is_had_back_and_what_is_behind_it_waits() {
        let mut rig = Rig::new();
        let (unread, writer) = overlapped_pipe("unread");
        let pipe = rig.attach(writer, FdKind::Pipe { shared: true });
        let send = |rig: &mut Rig| {
            let (mut outgoing, mut spare) = (Outgoing::default(), Spare::default());
            outgoing.append(vec![b'x'; 1 << 20].into(), &mut spare);
            rig.driver.submit(pipe, Operation::Send(outgoing.take(usize::MAX, &mut spare)));
        };
        let mut all = 0;
        // Until the pipe is full.
        loop {
            send(&mut rig);
            rig.driver.wait(Some(Duration::ZERO), &mut rig.brought).unwrap();
            if rig.brought.is_empty() {
                break;
            }
            let Event::Sent { result, .. } = rig.only() else { panic!() };
            assert_eq!(result.unwrap(), syscall::PIECE);
            all += 1;
            assert!(all < 1000);
        }
        let had_back = |rig: &mut Rig, count: usize| {
            assert_eq!(rig.driver.is_at_work(), count > 0);
            rig.driver.cancel(pipe, Role::Send);
            rig.driver.cancel(pipe, Role::Send);
            let Event::Sent { gather, result } = rig.only() else { panic!() };
            assert_eq!((gather.len(), result.unwrap()), (1 << 20, count));
            assert!(!rig.driver.is_at_work());
        };
        had_back(&mut rig, syscall::PIECE);
        send(&mut rig);
        had_back(&mut rig, 0);
        // It is closed for the program at once, and for the other side when the piece is through.
        rig.driver.submit(pipe, Operation::Close(Release::Close));
        assert!(matches!(rig.only(), Event::Closed));
        assert_eq!(rig.driver.in_flight.len(), 1);
        drop(unread);
        while rig.driver.in_flight.len() > 0 {
            rig.driver.wait(Some(PATIENCE), &mut rig.brought).unwrap();
        }
        assert!(rig.brought.is_empty());
    }
}
