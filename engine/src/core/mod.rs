//! [`Core`]: the engine's state, and the table of live operations.
//!
//! Everything here runs on the engine's thread with the state borrowed, so no user code may run: no
//! callback, no matcher of a user's, no drop of what users gave. Outcomes go to the ready queue and
//! leftovers to the deferred drops; the turn deals with both when nothing is borrowed.

pub(crate) mod chain;
pub(crate) mod closing;
pub(crate) mod connect;
pub(crate) mod deferred_drops;
pub(crate) mod file;
pub(crate) mod listener;
pub(crate) mod pending;
pub(crate) mod report;
pub(crate) mod resource;
pub(crate) mod scans;
pub(crate) mod stream;
pub(crate) mod work;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    core::{
        chain::{Chain, Product},
        connect::Connecting,
        deferred_drops::DeferredDrops,
        file::Task,
        resource::{Phase, Resource, Unsettled},
        scans::Scans,
        stream::{Settings, StreamState, read::Read, setback::Setback, write::Write},
        work::Unfinished,
    },
    handles::{
        callback::{Claimant, Origin, Outcome, Slot, Value, boxed},
        cancel::Key,
        handle::{Handle, Shared},
        queue::{
            message::{Begin, Message},
            ready::{Ready, ReadyQueue},
        },
        small_fn::SmallFnOnce,
        stream::Stream,
    },
    pure::{
        buffer::outgoing::Spare,
        error::{Error, Result},
        limits::Limits,
        list::{Linked, Links},
        mutants::{self, Mutant},
        table::{Id, Table},
        timer::{self, Target, TimerNumber, Timers},
    },
    system::{
        descriptor::Descriptor,
        driver::{AnyDriver, Completion, Driver, Event, Operation, Role, blocks::Blocks},
        pool::Pool,
    },
};

/// The engine's state.
pub(crate) struct Core {
    pub(crate) engine: u32,
    pub(crate) shared: Arc<Shared>,
    pub(crate) driver: AnyDriver,
    pub(crate) resources: Table<Resource>,
    pub(crate) pending: Table<Pending>,
    /// How many streams have a head read.
    pub(crate) head_reads: usize,
    /// The tasks that live on this engine, and what wakes them when it ends.
    pub(crate) tasks: Table<Waker>,
    pub(crate) timers: Timers,
    /// What the next round runs, in order.
    pub(crate) ready: Box<ReadyQueue>,
    /// Streams that were written to in this turn.
    pub(crate) dirty: Vec<Id>,
    /// Streams that had too much unread when nobody read them: what ends the turn looks whether that
    /// is still so.
    pub(crate) above_read_ahead: Vec<Id>,
    /// What matchers may do in this turn, and which go on in the next.
    pub(crate) scans: Scans,
    /// What users own and must be dropped when nothing is borrowed.
    pub(crate) deferred_drops: DeferredDrops,
    /// Listeners that wait for a descriptor, or have done so since one was last released.
    pub(crate) resting: Vec<Id>,
    /// Memory that small writes are copied into, used again and again.
    pub(crate) spare: Spare,
    /// Of the streams that have none of their own, and of the engine as a whole.
    pub(crate) settings: Arc<Settings>,
    pub(crate) pool: Pool,
    /// How many resources are pending by themselves: bytes unsent, or closing.
    pub(crate) unsettled: Unsettled,
    /// Of the streams whose sends were refused, which are few.
    pub(crate) setbacks: HashMap<Id, Setback>,
    /// How many operations on files have no outcome.
    pub(crate) on_files: usize,
    /// Operations on files are numbered, because reads and writes of a file share one order.
    pub(crate) submissions: u64,
    /// Counts the rounds in which ready callbacks run; begins anew when it is full.
    pub(crate) round: u32,
    /// The future that drives the run is in the ready queue.
    pub(crate) root_queued: bool,
    /// What is due is tried once more.
    pub(crate) is_expiring: bool,
    /// The engine is being dropped: nothing is taken any more.
    pub(crate) ending: bool,
    tickets: HashMap<u64, Key>,
    /// The last ticket that was seen: all up to it are of operations that have begun.
    last_ticket: u64,
    /// Tickets that were cancelled before they were seen.
    cancelled: HashSet<u64>,
    /// Requests that were taken out of the inbox and are still to be dealt with.
    put_off: VecDeque<Message>,
    completions: Vec<Completion>,
    /// Memory that files are read into.
    pub(crate) blocks: Blocks,
    /// How many reads and writes of files by their cursors are under way.
    pub(crate) errands: usize,
    /// What an engine that goes has not closed, because that may wait.
    pub(crate) unclosed: Vec<Arc<Descriptor>>,
}

/// An operation without an outcome.
pub(crate) struct Pending {
    pub(crate) kind: Kind,
    /// Where it waits, if it waits at a resource.
    pub(crate) resource: Id,
    links: Links,
    /// Its deadline, or zero.
    pub(crate) timer: TimerNumber,
    /// The chain it is a stage of, if any.
    pub(crate) chain: Id,
    /// Its place in the order of a file's operations.
    pub(crate) number: u64,
    ticket: u64,
}

/// What an operation waits for, and whom it tells.
pub(crate) enum Kind {
    Read(Read),
    Write(Box<Write>),
    Flush(Slot<()>),
    ShutdownWrite(Slot<()>),
    Accept(Slot<Stream>),
    Connect(Box<Connecting>),
    /// A close or detach; its resource holds the rest.
    Close,
    /// Succeeds when `over` comes; none if its own timeout comes first, or neither ever.
    Sleep {
        slot: Slot<()>,
        over: Option<Instant>,
    },
    Thread(Box<dyn Unfinished>),
    File(Box<Task>),
    Chain(Box<Chain>),
    /// Has succeeded with a claim, which can be withdrawn until its callback runs.
    Claimed(Option<Outcome>),
}

impl Pending {
    pub(crate) const fn new(kind: Kind, resource: Id, chain: Id) -> Self {
        Self { kind, resource, links: Links::NONE, timer: 0, chain, number: 0, ticket: 0 }
    }
}

impl Linked for Pending {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Core {
    pub(crate) fn new(shared: Arc<Shared>, driver: AnyDriver, limits: Limits, pool: Pool) -> Self {
        Self {
            engine: shared.id,
            shared,
            driver,
            resources: Table::new(),
            pending: Table::new(),
            head_reads: 0,
            tasks: Table::new(),
            timers: Timers::default(),
            ready: Box::default(),
            dirty: Vec::new(),
            above_read_ahead: Vec::new(),
            scans: Scans::default(),
            deferred_drops: DeferredDrops::default(),
            resting: Vec::new(),
            spare: Spare::default(),
            settings: Arc::new(Settings { limits, peer: None }),
            pool,
            unsettled: Unsettled::default(),
            setbacks: HashMap::new(),
            on_files: 0,
            submissions: 0,
            round: 0,
            root_queued: false,
            is_expiring: false,
            ending: false,
            tickets: HashMap::new(),
            last_ticket: 0,
            cancelled: HashSet::new(),
            put_off: VecDeque::new(),
            completions: Vec::new(),
            blocks: Blocks::default(),
            errands: 0,
            unclosed: Vec::new(),
        }
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle::from(Arc::clone(&self.shared))
    }

    /// The engine's clock.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.shared.env.now()
    }

    #[inline]
    pub(crate) fn stream(&mut self, id: Id) -> Option<&mut StreamState> {
        match self.resources.get_mut(id) {
            Some(Resource::Stream(state)) => Some(state),
            _ => None,
        }
    }

    /// A stream and the table its operations are in, to be changed together.
    #[inline]
    pub(crate) fn stream_and_pending(
        &mut self,
        id: Id,
    ) -> Option<(&mut StreamState, &mut Table<Pending>)> {
        match self.resources.get_mut(id) {
            Some(Resource::Stream(state)) => Some((state, &mut self.pending)),
            _ => None,
        }
    }

    /// Everything without an outcome, and everything that is not out yet.
    pub(crate) fn pending(&self) -> usize {
        let operations = self.pending.len() + self.head_reads;
        let to_drop = self.deferred_drops.len();
        let to_do = self.ready.len() + self.put_off.len() + to_drop;
        operations + self.tasks.len() + to_do + self.unsettled.count()
    }

    /// How many requests were taken out of the inbox and not dealt with.
    pub(crate) fn put_off(&self) -> usize {
        self.put_off.len()
    }

    // Submitting

    #[inline(always)]
    pub(crate) fn post(&mut self, f: SmallFnOnce<()>) {
        self.ready.push_post(f);
    }

    /// Puts an operation into the table and arms its deadline.
    pub(crate) fn insert(&mut self, pending: Pending, timeout: Option<Duration>) -> Id {
        let id = self.pending.insert(pending);
        if let Some(timeout) = timeout {
            self.arm(id, timeout);
        }
        id
    }

    /// Arms the deadline of an operation, `timeout` from now.
    pub(crate) fn arm(&mut self, id: Id, timeout: Duration) {
        let number = self.arm_target(timeout, Target::Operation(id));
        if let Some(pending) = self.pending.get_mut(id) {
            pending.timer = number;
        }
    }

    /// A deadline that has come is put off to the next turn.
    pub(crate) fn put_off_deadline(&mut self, id: Id, target: Target) {
        let number = self.arm_target(Duration::ZERO, target);
        if let Some(pending) = self.pending.get_mut(id) {
            pending.timer = number;
        }
    }

    /// Arms any deadline. Zero if it never comes.
    pub(crate) fn arm_target(&mut self, timeout: Duration, target: Target) -> TimerNumber {
        match timer::deadline(self.now(), timeout) {
            Some(deadline) => {
                let owners = (&self.pending, &self.resources, &self.setbacks);
                let remembered = |target, number| remembers(owners, target, number);
                self.timers.arm(deadline, target, remembered)
            }
            None => 0,
        }
    }

    /// Begins an operation that another thread submitted, and ends it if it was cancelled on this
    /// thread meanwhile.
    fn begin_by_ticket(&mut self, ticket: u64, begin: Begin) {
        self.last_ticket = ticket;
        let key = begin(self);
        let cancelled = !self.cancelled.is_empty() && self.cancelled.remove(&ticket);
        match key {
            Some(key) if cancelled => _ = self.cancel(key),
            Some(key) => self.remember_ticket(ticket, key),
            None => {}
        }
    }

    /// Remembers the ticket of an operation that another thread submitted.
    fn remember_ticket(&mut self, ticket: u64, key: Key) {
        let place = match key {
            Key::Operation(id) => self.pending.get_mut(id).map(|pending| &mut pending.ticket),
            Key::HeadRead(stream, number) => {
                self.head_read(stream, number).map(|head_read| &mut head_read.ticket)
            }
            Key::Ticket(_) => None,
        };
        if let Some(place) = place {
            *place = ticket;
            self.tickets.insert(ticket, key);
        }
    }

    /// Forgets the ticket of an operation that has ended; zero is none.
    #[inline]
    pub(crate) fn forget_ticket(&mut self, ticket: u64) {
        if ticket != 0 {
            self.tickets.remove(&ticket);
        }
    }

    // Ending

    /// Takes an operation out of the table: its deadline and ticket are forgotten.
    pub(crate) fn remove(&mut self, id: Id) -> Option<Pending> {
        let mut pending = self.pending.remove(id)?;
        self.timers.disarm(&mut pending.timer);
        self.forget_ticket(pending.ticket);
        Some(pending)
    }

    /// Queues an outcome; the chain it is a stage of goes on before the callback runs.
    pub(crate) fn tell(&mut self, chain: Id, next: impl FnOnce() -> Result<Product>, ready: Ready) {
        if chain != Id::NONE {
            self.ready.push(Ready::Advance(Box::new((chain, next()))));
        }
        self.ready.push(ready);
    }

    /// Queues the outcome of a claim that has no place in the table yet. Returns its id.
    pub(crate) fn tell_claim(
        &mut self,
        resource: Id,
        chain: Id,
        next: impl FnOnce() -> Result<Product>,
        outcome: Outcome,
    ) -> Id {
        let id = self.insert(Pending::new(Kind::Claimed(Some(outcome)), resource, chain), None);
        self.tell(chain, next, Ready::Claimed(id));
        id
    }

    /// Makes an operation one that has succeeded with a claim: it has no deadline any more, and
    /// waits for its outcome to be put in. Returns what it was.
    pub(crate) fn keep_claim(&mut self, id: Id) -> Option<(Kind, Id)> {
        let pending = self.pending.get_mut(id)?;
        self.timers.disarm(&mut pending.timer);
        let kind = std::mem::replace(&mut pending.kind, Kind::Claimed(None));
        Some((kind, pending.chain))
    }

    /// Queues an outcome: with its operation, if that is kept for a claim.
    pub(crate) fn tell_or_keep(
        &mut self,
        kept: Option<Id>,
        chain: Id,
        next: impl FnOnce() -> Result<Product>,
        outcome: Outcome,
    ) {
        match kept.and_then(|id| Some((id, self.pending.get_mut(id)?))) {
            Some((id, pending)) => {
                pending.kind = Kind::Claimed(Some(outcome));
                self.tell(chain, next, Ready::Claimed(id));
            }
            None => self.tell(chain, next, outcome.ready()),
        }
    }

    /// Takes the outcome of a claim whose callback is to run now.
    pub(crate) fn deliver_claim(&mut self, id: Id) -> Option<Outcome> {
        let Pending { kind: Kind::Claimed(outcome), resource, .. } = self.remove(id)? else {
            return None;
        };
        if let Some(state) = self.stream(resource) {
            state.claims -= 1;
            if state.claims == 0 {
                // After the callback, which may put the bytes back in front of the other reads.
                self.ready.push(Ready::Serve(resource));
            }
        }
        outcome
    }

    /// Turns a claim that nobody has heard of into a failure; what it consumed goes back at once.
    fn withdraw(&mut self, id: Id, cause: Error) {
        let Some(Pending { kind: Kind::Claimed(Some(outcome)), .. }) = self.pending.get_mut(id)
        else {
            return;
        };
        let (origin, leftover) = outcome.withdraw(cause);
        if let Some(leftover) = leftover {
            self.ready.push(leftover);
        }
        match origin {
            Origin::Nowhere | Origin::Read(_) => {}
            Origin::Unread(unread) => {
                // It is known what is left to the other reads: they do not wait for its callback.
                self.end_claim(id);
                self.give_back(unread.0, unread.1);
            }
            Origin::Untaken { listener, connection } => {
                self.give_back_connection(&listener, connection);
            }
            Origin::Unsent(unsent) => self.give_back_unsent(&unsent.0, unsent.1),
        }
    }

    /// A claim is none any more, before its callback has run.
    fn end_claim(&mut self, id: Id) {
        let Some(pending) = self.pending.get_mut(id) else { return };
        let resource = std::mem::replace(&mut pending.resource, Id::NONE);
        if let Some(state) = self.stream(resource) {
            state.claims -= 1;
        }
    }

    /// Queues a value of one of the frequent types.
    #[inline]
    pub(crate) fn succeed<T: Value>(&mut self, chain: Id, slot: Slot<T>, value: T) {
        match slot {
            Slot::Plain(f) if chain == Id::NONE => self.ready.push(T::ready(f, value)),
            Slot::Claim(Claimant::Handler(handler)) if chain == Id::NONE => {
                self.ready.push(T::for_handler(handler, value));
            }
            slot => self.tell(chain, || Ok(Product::None), slot.deliver(Ok(value)).ready()),
        }
    }

    /// Queues a failure.
    pub(crate) fn fail<T: Value>(&mut self, chain: Id, slot: Slot<T>, error: Error) {
        self.fail_boxed(chain, slot, error);
    }

    /// Queues a failure of an operation with an unusual value.
    pub(crate) fn fail_boxed<T: Send + 'static>(&mut self, chain: Id, slot: Slot<T>, error: Error) {
        self.tell(chain, || Err(error.clone()), boxed(slot.deliver(Err(error.clone()))));
    }

    /// A `Cancel` was used. Returns whether its operation was still pending, or is yet to come.
    pub(crate) fn cancel(&mut self, key: Key) -> bool {
        match key {
            Key::Operation(id) => self.abort_operation(id, Error::Cancelled),
            Key::HeadRead(stream, number) => self.abort_head_read(stream, number, Error::Cancelled),
            Key::Ticket(ticket) => match self.tickets.get(&ticket) {
                Some(&key) => self.cancel(key),
                // Its submission is still in the inbox, or about to be dealt with.
                None if ticket > self.last_ticket
                    && !mutants::is_active(Mutant::UnseenTakenForEnded) =>
                {
                    self.cancelled.insert(ticket);
                    true
                }
                None => false,
            },
        }
    }

    /// Ends an operation early, for `cause`. Returns whether it was pending.
    ///
    /// What waits in a queue leaves it. What the system holds a part of (a write) ends when the
    /// system has said how much.
    pub(crate) fn abort_operation(&mut self, id: Id, cause: Error) -> bool {
        let Some(pending) = self.pending.get(id) else { return false };
        let resource = pending.resource;
        match &pending.kind {
            Kind::Read(_) => self.abort_read(resource, id, cause),
            Kind::Write(_) | Kind::Flush(_) | Kind::ShutdownWrite(_) => {
                self.abort_write(resource, id, cause);
            }
            Kind::Accept(_) => self.abort_accept(resource, id, cause),
            Kind::Connect(_) => self.abort_connect(id, cause),
            Kind::Close => self.abort_close(resource, id, cause),
            Kind::Chain(_) => self.abort_chain(id, cause),
            Kind::Sleep { over, .. } => {
                // Success is the first cause, whatever else is true in the same turn.
                let is_over = over.is_some_and(|over| over <= self.now());
                match self.remove(id) {
                    Some(Pending { kind: Kind::Sleep { slot, .. }, chain, .. }) if is_over => {
                        self.succeed(chain, slot, ());
                    }
                    Some(Pending { kind: Kind::Sleep { slot, .. }, chain, .. }) => {
                        self.fail(chain, slot, cause);
                    }
                    _ => {}
                }
            }
            Kind::Thread(_) => self.abort_thread(id, cause),
            Kind::File(_) => self.interrupt_on_file(id, cause),
            Kind::Claimed(_) if matches!(cause, Error::Cancelled) => self.withdraw(id, cause),
            // It has its outcome.
            Kind::Claimed(_) => return false,
        }
        true
    }

    // A turn's steps

    /// Whether a turn has something to run without looking at the system.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
            || !self.dirty.is_empty()
            || self.scans.go_on()
            || !self.deferred_drops.is_empty()
            || !self.put_off.is_empty()
    }

    /// Whether a turn would not wait.
    pub(crate) fn has_work(&mut self) -> bool {
        self.has_ready() || self.driver.has_work()
    }

    /// Takes the requests of other threads, and of this one from outside a turn.
    pub(crate) fn take_messages(&mut self) {
        if self.shared.inbox.is_empty() && self.put_off.is_empty() {
            return;
        }
        let messages = self.shared.inbox.take();
        match self.put_off.is_empty() {
            true => self.put_off = messages.into(),
            false => self.put_off.extend(messages),
        }
        // One of them may have to come here in its turn, and then those behind it keep their order.
        while let Some(message) = self.put_off.pop_front() {
            match message {
                Message::Apply(f) | Message::GiveBack(f) => f(self),
                Message::Submit { ticket, begin } => self.begin_by_ticket(ticket, begin),
                Message::Drop(stream) => self.deferred_drops.streams.push(stream),
                Message::Cancel(key) => drop(self.cancel(key)),
                Message::Request(f) => self.ready.push_request(f),
                Message::Post(f) => self.post(f),
                Message::WakeRoot => self.wake_root(),
            }
        }
        // Many may have come, and their memory goes.
        self.put_off = VecDeque::new();
    }

    /// Does what gives something back, and puts off all other requests: what is given back stands
    /// before the bytes that the next look at the system brings.
    pub(crate) fn take_what_is_given_back(&mut self) {
        if self.shared.inbox.is_empty() {
            return;
        }
        let mut given_back = Vec::new();
        for message in self.shared.inbox.take() {
            match message {
                Message::GiveBack(f) => given_back.push(f),
                other => self.put_off.push_back(other),
            }
        }
        given_back.into_iter().for_each(|f| f(self));
    }

    /// Queues the future that drives the run, once.
    pub(crate) fn wake_root(&mut self) {
        if !std::mem::replace(&mut self.root_queued, true) {
            self.ready.push_root();
        }
    }

    /// Sends what was written, by requests of other threads, too, as far as the system takes it now:
    /// a run ends.
    pub(crate) fn leave_run(&mut self) {
        if mutants::is_active(Mutant::StopUnsent) {
            return;
        }
        self.take_messages();
        self.send_dirty();
        self.send_all_again();
        self.driver.flush();
        self.reap_done();
    }

    /// Sends what is unsent, as far as the system takes it now: the engine is going. Threads that
    /// write to files are waited for, but not longer than a bound.
    pub(crate) fn try_to_send(&mut self) {
        self.send_dirty();
        self.send_all_again();
        drop(self.reap(Some(Duration::ZERO)));
        self.await_work(Duration::from_secs(1));
    }

    /// Ends everything that is pending: the engine is going. A write ends when the driver has given
    /// its bytes back and said how many are gone.
    pub(crate) fn fail_everything(&mut self) {
        for id in self.pending.ids() {
            self.abort_operation(id, Error::EngineClosed);
        }
        if self.head_reads > 0 {
            for stream in self.resources.ids() {
                self.end_head_read(stream, Error::EngineClosed);
            }
        }
        self.wake_tasks();
        drop(self.reap(Some(Duration::ZERO)));
        // A write that is aborted where it waits takes a moment to say how much was taken.
        self.await_work(Duration::from_millis(100));
    }

    /// Waits for what ends by itself, but not longer than a bound.
    fn await_work(&mut self, patience: Duration) {
        let until = self.now() + patience;
        while self.driver.is_at_work() || self.errands > 0 {
            let mut left = until.saturating_duration_since(self.now());
            if left.is_zero() {
                return;
            }
            // Workers tell by the inbox what they have done. Raised before the last look, see there.
            self.shared.inbox.sleep();
            if self.has_ready() || !self.shared.inbox.is_empty() {
                left = Duration::ZERO;
            }
            if self.reap(Some(left)).is_err() {
                return;
            }
            self.take_messages();
        }
    }

    /// Ends what the driver has not given back: the threads that have it are left behind.
    pub(crate) fn abandon_everything(&mut self) {
        for id in self.pending.ids() {
            self.abandon_write(id, Error::EngineClosed);
            self.abandon_on_file(id, Error::EngineClosed);
        }
    }

    /// Takes what users gave to be sent and the system has not taken, also from the driver: the engine
    /// is gone. Their memory is dropped by itself, not in one go with everything else.
    pub(crate) fn take_unsent_of_users(&mut self) -> Vec<Bytes> {
        for id in self.resources.ids() {
            if self.stream(id).is_some_and(|state| state.sending == Phase::Running) {
                self.driver.cancel(id, Role::Send);
            }
        }
        let mut completions = Vec::new();
        drop(self.driver.wait(Some(Duration::ZERO), &mut completions));
        for Completion { resource, event } in completions {
            if let Some(Resource::Stream(state)) = self.resources.get_mut(resource)
                && let Event::Sent { gather, .. } = event
            {
                state.outgoing.settle(gather, 0, &mut self.spare, &mut self.deferred_drops.bytes);
            }
        }
        for id in self.resources.ids() {
            if let Some(Resource::Stream(state)) = self.resources.get_mut(id) {
                state.outgoing.clear(&mut self.deferred_drops.bytes);
                self.deferred_drops.bytes.extend(state.cut.take().map(|cut| cut.rest));
            }
        }
        std::mem::take(&mut self.deferred_drops.bytes)
    }

    /// Reaps what the driver completed and hands it to the resources.
    pub(crate) fn reap(&mut self, timeout: Option<Duration>) -> Result<()> {
        let mut completions = std::mem::take(&mut self.completions);
        let waited = self.driver.wait(timeout, &mut completions);
        self.dispatch(completions);
        waited.map_err(|cause| Error::io("wait", cause))
    }

    /// Somebody waits for the driver's descriptor from now on. If the system has no memory for that,
    /// the descriptor tells of other threads' requests and not of what comes from outside.
    pub(crate) fn watch(&mut self) {
        drop(self.driver.watch());
    }

    /// Reaps what has ended already, without asking the system.
    pub(crate) fn reap_done(&mut self) {
        let mut completions = std::mem::take(&mut self.completions);
        self.driver.take_done(&mut completions);
        self.dispatch(completions);
    }

    /// Hands completions to their resources. One whose resource is gone is dropped with what it
    /// brings: a connection is closed by that.
    fn dispatch(&mut self, mut completions: Vec<Completion>) {
        for Completion { resource, event } in completions.drain(..) {
            match event {
                Event::Received(bytes) => self.received(resource, bytes),
                Event::ReceiveEnded(ended) => self.receive_ended(resource, ended),
                Event::Sent { gather, result } => self.sent(resource, gather, result),
                Event::Accepted(connection) => self.accepted(resource, connection),
                Event::AcceptEnded(error) => self.accept_ended(resource, error),
                Event::Connected(result) => self.connected(resource, result),
                Event::ShutDown(result) => self.was_shut_down(resource, result),
                Event::Closed => self.was_closed(resource),
                Event::LetGo(descriptor) => self.was_let_go(resource, descriptor),
                Event::File { operation, done } => self.file_done(resource, operation, done),
            }
        }
        // Put back for its memory.
        self.completions = completions;
    }

    /// The next deadline, if anything is armed.
    pub(crate) fn next_deadline(&mut self) -> Option<Instant> {
        if self.timers.is_empty() {
            return None;
        }
        let owners = (&self.pending, &self.resources, &self.setbacks);
        self.timers.next_deadline(|target, number| remembers(owners, target, number))
    }

    /// Ends what is due. Whatever waits for the system is tried once more first: what has arrived
    /// is never a timeout.
    pub(crate) fn expire(&mut self) -> Result<()> {
        if self.timers.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let mut due = Vec::new();
        loop {
            let owners = (&self.pending, &self.resources, &self.setbacks);
            let remembers = |target, number| remembers(owners, target, number);
            let Some(target) = self.timers.pop_due(now, remembers) else { break };
            self.forget_timer(target);
            due.push(target);
        }
        let owners = (&self.pending, &self.resources, &self.setbacks);
        self.timers.tidy(|target, number| remembers(owners, target, number));
        if !mutants::is_active(Mutant::TimerBeforeCompletion) {
            self.is_expiring = true;
            let tried = self.try_all_once_more(&due);
            self.is_expiring = false;
            tried?;
        }
        for target in due {
            match target {
                Target::Operation(id) | Target::Overdue(id) if self.is_still_looking(id) => {
                    self.put_off_deadline(id, Target::Operation(id));
                }
                // What it waits for may be there and not be its own yet: it is tried in the next turn,
                // too. Not in any more, or a peer that never stops sending would stretch it.
                Target::Operation(id) if self.is_behind_an_undecided_read(id) => {
                    self.put_off_deadline(id, Target::Overdue(id));
                }
                Target::Operation(id) | Target::Overdue(id) => {
                    self.abort_operation(id, Error::TimedOut);
                }
                Target::HeadRead(stream, number) => {
                    self.abort_head_read(stream, number, Error::TimedOut);
                }
                Target::Step(id) => self.step_due(id),
                Target::Listener(id) => self.retry_accepting(id),
                Target::Setback(id) => self.setback_due(id),
            }
        }
        Ok(())
    }

    /// Tries what these wait for without waiting. One call takes only so much, so a read is tried
    /// again as long as that brings some of what it waits for.
    fn try_all_once_more(&mut self, due: &[Target]) -> Result<()> {
        /// More calls than a system keeps bytes for: a peer that goes on sending while it is looked
        /// at stretches nothing.
        const CALLS_MAX: usize = 128;
        let waits = |target: &&Target| !matches!(target, Target::Step(_) | Target::Listener(_));
        let with_progress = |&target: &Target| (target, self.progress_of(target));
        let mut tried: Vec<_> = due.iter().filter(waits).map(with_progress).collect();
        for _ in 0..CALLS_MAX {
            tried.retain(|&(target, _)| self.try_once_more(target));
            if tried.is_empty() {
                return Ok(());
            }
            self.stop_above_read_ahead();
            self.send_dirty();
            self.reap(Some(Duration::ZERO))?;
            // What threads have done comes this way.
            self.take_messages();
            tried.retain_mut(|(target, progress)| {
                let before = std::mem::replace(progress, self.progress_of(*target));
                *progress > before
            });
        }
        Ok(())
    }

    /// Makes the next reap look at what an operation waits for. Returns whether there is anything.
    fn try_once_more(&mut self, target: Target) -> bool {
        let id = match target {
            Target::Operation(id) | Target::Overdue(id) => id,
            Target::HeadRead(stream, number) => {
                let waits = self.head_read(stream, number).is_some();
                if waits {
                    self.driver.submit(stream, Operation::Probe);
                }
                return waits;
            }
            Target::Setback(stream) => {
                let looks = self.looks_for_more(stream);
                if looks {
                    self.driver.submit(stream, Operation::Probe);
                }
                return looks;
            }
            Target::Step(_) | Target::Listener(_) => return false,
        };
        // More than it could look at is there already.
        if self.is_still_looking(id) {
            return false;
        }
        let Some(pending) = self.pending.get(id) else { return false };
        match &pending.kind {
            Kind::Chain(chain) => {
                let current = Target::Operation(chain.current);
                self.try_once_more(current)
            }
            Kind::Connect(connecting) => {
                for resource in connecting.resources() {
                    self.driver.submit(resource, Operation::Probe);
                }
                self.try_full_backlog(id);
                true
            }
            Kind::Sleep { .. } | Kind::Claimed(_) => false,
            Kind::Thread(_) => true,
            kind => {
                let resource = pending.resource;
                match kind {
                    Kind::Accept(_) => self.end_rest(resource),
                    Kind::Read(_) => self.update_recv(resource),
                    _ => self.send_again(resource),
                }
                self.driver.submit(resource, Operation::Probe);
                true
            }
        }
    }

    /// Whether a read stands behind one that has matched, or is about to look, whose callback or
    /// matcher has not run: only then is it known which bytes are left to this one.
    fn is_behind_an_undecided_read(&mut self, id: Id) -> bool {
        let Some((stream, read)) = self.read_of(id) else { return false };
        self.stream(stream).is_some_and(|state| state.is_undecided_before(read))
    }

    /// How far the system has come with what an operation waits for, so that it is worth another
    /// try when that grows: how many bytes or connections have ever come (how many are there says
    /// nothing, as an earlier operation may take all that come), and whether it is being asked for
    /// more. It is not while it stops for one that was there before, and then begins anew without
    /// having been looked at.
    fn progress_of(&self, target: Target) -> (u64, bool) {
        let resource = match target {
            Target::HeadRead(stream, _) | Target::Setback(stream) => stream,
            Target::Operation(id) | Target::Overdue(id) => match self.pending.get(id) {
                Some(Pending { kind: Kind::Chain(chain), .. }) => {
                    return self.progress_of(Target::Operation(chain.current));
                }
                Some(Pending { kind: Kind::Read(_) | Kind::Accept(_), resource, .. }) => *resource,
                _ => return (0, false),
            },
            Target::Step(_) | Target::Listener(_) => return (0, false),
        };
        match self.resources.get(resource) {
            Some(Resource::Stream(state)) => {
                (state.unread.received(), state.reception == Phase::Running)
            }
            Some(Resource::Listener(_)) if mutants::is_active(Mutant::CrowdUncounted) => (0, false),
            Some(Resource::Listener(state)) => (state.accepted, state.is_accepting()),
            _ => (0, false),
        }
    }

    /// The owner of a deadline that has come forgets its number.
    fn forget_timer(&mut self, target: Target) {
        match target {
            Target::Operation(id) | Target::Overdue(id) => {
                if let Some(pending) = self.pending.get_mut(id) {
                    pending.timer = 0;
                }
            }
            Target::HeadRead(stream, number) => {
                if let Some(head_read) = self.head_read(stream, number) {
                    head_read.timer = 0;
                }
            }
            Target::Step(id) => {
                if let Some(Pending { kind: Kind::Connect(connecting), .. }) =
                    self.pending.get_mut(id)
                {
                    connecting.timer = 0;
                }
            }
            Target::Listener(id) => {
                if let Some(Resource::Listener(listener)) = self.resources.get_mut(id) {
                    listener.timer = 0;
                }
            }
            Target::Setback(id) => {
                if let Some(setback) = self.setbacks.get_mut(&id) {
                    setback.timer = 0;
                }
            }
        }
    }
}

/// Whether a callback that was queued in one round may not have run in another: it runs in the next.
/// After four thousand million rounds it says so once more, which does no harm.
#[inline]
pub(crate) const fn may_be_unheard(queued: u32, round: u32) -> bool {
    round.wrapping_sub(queued) <= 1
}

/// Those whose deadlines there may be.
type Owners<'a> = (&'a Table<Pending>, &'a Table<Resource>, &'a HashMap<Id, Setback>);

/// Whether the owner of a deadline still waits for it.
fn remembers(
    (pending, resources, setbacks): Owners<'_>,
    target: Target,
    number: TimerNumber,
) -> bool {
    match target {
        Target::Operation(id) | Target::Overdue(id) => {
            pending.get(id).is_some_and(|pending| pending.timer == number)
        }
        Target::HeadRead(stream, head_read) => matches!(
            resources.get(stream),
            Some(Resource::Stream(StreamState { head_read: Some(read), .. }))
                if read.number == head_read && read.timer == number
        ),
        Target::Step(id) => matches!(
            pending.get(id),
            Some(Pending { kind: Kind::Connect(connecting), .. }) if connecting.timer == number
        ),
        Target::Listener(id) => matches!(
            resources.get(id),
            Some(Resource::Listener(listener)) if listener.timer == number
        ),
        Target::Setback(id) => setbacks.get(&id).is_some_and(|setback| setback.timer == number),
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::{
        api::engine::Engine,
        handles::{
            callback::Callback,
            handle::{Local, with_current},
        },
    };

    const HOUR: Duration = Duration::from_secs(3600);

    /// Posts itself so often, so that the engine never has nothing to do, and arms two deadlines each
    /// time for operations that are cancelled.
    fn never_idle(local: &Local, stream: Stream, left: usize) {
        let timed = Callback::ignore().timeout(HOUR);
        let cancels = [local.sleep(HOUR, Callback::ignore()), local.read_line(&stream, timed)];
        assert!(cancels.iter().all(|cancel| cancel.cancel()));
        let kept = with_current(local.id(), |core| core.timers.kept());
        assert!(kept < Some(100), "{kept:?}");
        if left > 0 {
            local.post(move |local| never_idle(local, stream, left - 1));
        }
    }

    #[test]
    fn deadlines_of_what_was_cancelled_are_not_kept_though_the_engine_is_never_idle() {
        let engine = Engine::new().unwrap();
        let (_peer, ours) = UnixStream::pair().unwrap();
        let stream = engine.attach(ours).unwrap();
        // With nothing else armed, and with something.
        for _ in 0..2 {
            let stream = stream.clone();
            engine.post(move |local| never_idle(local, stream, 20_000));
            while engine.run_once(Some(Duration::ZERO)).unwrap().callbacks > 0 {}
            engine.sleep(HOUR, Callback::ignore());
        }
    }

    #[test]
    fn deadlines_are_not_kept_though_the_engine_has_nothing_more_to_do() {
        let engine = Engine::new().unwrap();
        engine.post(|local| {
            let cancels: Vec<_> =
                (0..10_000).map(|_| local.sleep(HOUR, Callback::ignore())).collect();
            cancels.iter().for_each(|cancel| _ = cancel.cancel());
        });
        engine.post(|local| {
            let kept = with_current(local.id(), |core| core.timers.kept());
            assert!(kept < Some(100), "{kept:?}");
        });
        engine.run().unwrap();
    }
}
