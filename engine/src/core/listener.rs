//! How connections are accepted: the accepting brings connections, accepts take them in order, and
//! one that nobody took waits at the front.

use std::{
    collections::VecDeque,
    io, mem,
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{
    core::{
        Core, Kind, Pending,
        chain::Product,
        closing::{Closing, Ending},
        repeat::{Repeat, Taker},
        resource::{Phase, Resource},
    },
    handles::{
        callback::Slot,
        claim::Origin,
        delivery::Outcome,
        listener::{Listener, ListenerInner},
        stream::Stream,
    },
    pure::{
        error::{Error, IoOperation},
        limits::Limits,
        list::List,
        mutants::{self, Mutant},
        table::{Id, Table},
        timer::{Target, TimerNumber},
    },
    system::{
        descriptor::{Descriptor, Tenure},
        driver::{Driver, Operation, Release, Role},
        fd_kind::FdKind,
        sys::{errno::Errno, socket},
    },
};

/// One listener.
pub(crate) struct ListenerState {
    clones: Weak<ListenerInner>,
    /// Its connections are TCP.
    tcp: bool,
    /// Whether others may accept from it, too. One that the engine did not make may have
    /// connections waiting from before it got its options, which they inherit.
    tenure: Tenure,
    /// Accepts without an outcome, in order.
    accepts: List,
    /// Connections that nobody has taken, in order.
    untaken: VecDeque<Stream>,
    /// How many of those are taken from the system.
    limit: usize,
    accepting: Phase,
    /// How many connections have ever come.
    pub(crate) accepted: u64,
    /// The timer at which it tries again, because no descriptor was left; or zero.
    pub(crate) timer: TimerNumber,
    rest: Duration,
    pub(crate) closing: Option<Box<Closing>>,
    released: bool,
    /// The first of `accepts` repeats, and is queued, runs or is paused: no connection is asked for
    /// on its account.
    holds: bool,
    /// Counted among the unsettled resources.
    pub(crate) unsettled: bool,
}

impl ListenerState {
    /// Whether the system is asked for connections.
    pub(crate) fn is_accepting(&self) -> bool {
        self.accepting == Phase::Running
    }
}

const REST_MIN: Duration = Duration::from_millis(10);
const REST_MAX: Duration = Duration::from_secs(1);

impl Core {
    /// Takes in a listener.
    pub(crate) fn adopt_listener(&mut self, listener: &Listener) {
        let state = ListenerState {
            clones: listener.downgrade(),
            tcp: listener.is_tcp(),
            tenure: listener.tenure(),
            accepts: List::EMPTY,
            untaken: VecDeque::new(),
            limit: limit(listener.tenure(), &self.settings.limits),
            accepting: Phase::Idle,
            accepted: 0,
            timer: 0,
            rest: REST_MIN,
            closing: None,
            released: false,
            holds: false,
            unsettled: false,
        };
        let id = self.resources.insert(Resource::Listener(Box::new(state)));
        self.driver.attach(id, Arc::clone(listener.descriptor()), FdKind::Listener);
        listener.set_id(id);
    }

    /// The program has lent a listener's descriptor, and others may accept from it from now on; or
    /// it says that nobody else does.
    pub(crate) fn set_listener_exclusive(&mut self, id: Id, exclusive: bool) {
        let settings = Arc::clone(&self.settings);
        let Some(state) = self.listener(id) else { return };
        state.tenure = match (state.tenure, exclusive) {
            (Tenure::Shared, true) => Tenure::Exclusive,
            (_, false) => Tenure::Shared,
            (sole, true) => sole,
        };
        state.limit = limit(state.tenure, &settings.limits);
        // One that accepts ahead makes way for one that does not.
        if !exclusive && state.accepting == Phase::Running {
            state.accepting = Phase::Stopping;
            self.driver.cancel(id, Role::Accept);
        }
    }

    pub(crate) fn id_of_listener(&mut self, listener: &Listener) -> Id {
        listener.id().unwrap_or_else(|| {
            self.take_messages();
            listener.id().unwrap_or(Id::NONE)
        })
    }

    fn listener(&mut self, id: Id) -> Option<&mut ListenerState> {
        match self.resources.get_mut(id) {
            Some(Resource::Listener(state)) => Some(state),
            _ => None,
        }
    }

    fn listener_and_pending(
        &mut self,
        id: Id,
    ) -> Option<(&mut ListenerState, &mut Table<Pending>)> {
        match self.resources.get_mut(id) {
            Some(Resource::Listener(state)) => Some((state, &mut self.pending)),
            _ => None,
        }
    }

    /// Submits an accept.
    pub(crate) fn accept(
        &mut self,
        listener: Id,
        slot: Slot<Stream>,
        timeout: Option<Duration>,
        chain: Id,
    ) -> Option<Id> {
        let Some(state) = self.listener(listener).filter(|state| state.closing.is_none()) else {
            self.fail(chain, slot, Error::Closed);
            return None;
        };
        if state.accepts.is_empty()
            && let Some(connection) = state.untaken.pop_front()
        {
            return self.hand_over(listener, chain, slot, connection, None);
        }
        let kind = Kind::Accept(Taker::Once(slot));
        let id = self.insert(Pending::new(kind, listener, chain), timeout);
        let (state, pending) = self.listener_and_pending(listener)?;
        state.accepts.push_back(pending, id);
        self.steer_accepting(listener);
        Some(id)
    }

    /// Submits a repeating accept.
    pub(crate) fn accept_each(&mut self, listener: Id, repeat: Box<Repeat>) -> Option<Id> {
        if self.listener(listener).is_none_or(|state| state.closing.is_some()) {
            self.ready.push(repeat.end(Err(Error::Closed)));
            return None;
        }
        let timeout = repeat.timeout;
        let kind = Kind::Accept(Taker::Each(repeat));
        let id = self.insert(Pending::new(kind, listener, Id::NONE), timeout);
        let (state, pending) = self.listener_and_pending(listener)?;
        state.accepts.push_back(pending, id);
        self.serve_accepts(listener);
        Some(id)
    }

    /// Has the repeating accept at the head go on, if it can: its handler is queued if there is a
    /// connection. Returns false if the head does not repeat.
    fn serve_repeating_accept(&mut self, listener: Id, id: Id) -> bool {
        let Some(Resource::Listener(state)) = self.resources.get_mut(listener) else {
            return false;
        };
        let Some(Pending { kind: Kind::Accept(Taker::Each(repeat)), .. }) =
            self.pending.get_mut(id)
        else {
            return false;
        };
        // It looks again when its handler has run.
        if repeat.is_queued() {
            return true;
        }
        state.holds = repeat.is_paused() || !state.untaken.is_empty();
        let waits = !state.holds;
        if !waits && !repeat.is_paused() {
            let ready = repeat.queue(id);
            self.ready.push(ready);
        }
        self.bound_wait(id, waits);
        true
    }

    /// The next connection of a repeating accept, for its handler, which runs.
    pub(crate) fn next_connection(&mut self, id: Id) -> Option<Stream> {
        let pending = self.pending.get(id)?;
        let Kind::Accept(Taker::Each(repeat)) = &pending.kind else { return None };
        if repeat.is_paused() {
            return None;
        }
        let resource = pending.resource;
        self.listener(resource)?.untaken.pop_front()
    }

    /// Completes an accept with a connection. `kept` is its id, if it has stayed in the table for
    /// its claim.
    fn hand_over(
        &mut self,
        listener: Id,
        chain: Id,
        slot: Slot<Stream>,
        connection: Stream,
        kept: Option<Id>,
    ) -> Option<Id> {
        let is_claim = slot.is_claim();
        let origin = || match self.listener(listener).and_then(|state| state.clones.upgrade()) {
            Some(inner) => {
                Origin::Untaken { listener: Listener::from(inner), connection: connection.clone() }
            }
            None => Origin::Nowhere,
        };
        let delivery = slot.deliver_from(Ok(connection.clone()), origin);
        let (next, outcome) = (|| Ok(Product::Stream(connection)), Outcome::Stream(delivery));
        if is_claim && kept.is_none() {
            return Some(self.tell_claim(listener, chain, next, outcome));
        }
        self.tell_or_keep(kept, chain, next, outcome);
        kept
    }

    /// Takes an accept out of its queue. One that gives a claim stays in the table, so that it can
    /// be withdrawn until its callback runs; its id is returned then.
    fn unqueue_served_accept(
        &mut self,
        listener: Id,
        id: Id,
    ) -> Option<(Slot<Stream>, Id, Option<Id>)> {
        let is_claim = match self.pending.get(id) {
            Some(Pending { kind: Kind::Accept(taker), .. }) => taker.is_claim(),
            _ => false,
        };
        if !is_claim {
            return match self.unqueue_accept(listener, id)? {
                (Taker::Once(slot), chain) => Some((slot, chain, None)),
                (Taker::Each(_), _) => unreachable!("one that repeats is served by itself"),
            };
        }
        if let Some((state, pending)) = self.listener_and_pending(listener) {
            state.accepts.remove(pending, id);
        }
        match self.keep_claim(id)? {
            (Kind::Accept(Taker::Once(slot)), chain) => Some((slot, chain, Some(id))),
            _ => unreachable!("only accepts are queued as accepts"),
        }
    }

    /// Starts or stops the accepting, as accepts and the limit demand.
    fn steer_accepting(&mut self, listener: Id) {
        let Some(state) = self.listener(listener) else { return };
        let waiting = !state.accepts.is_empty() && !state.holds;
        match state.accepting {
            Phase::Idle if waiting && state.timer == 0 && state.closing.is_none() => {
                state.accepting = Phase::Running;
                // One is taken at once, so that no more than the limit are ever untaken.
                let most = state.limit.saturating_add(1);
                self.driver.submit(listener, Operation::Accept { most });
            }
            Phase::Running if !waiting && state.untaken.len() >= state.limit => {
                state.accepting = Phase::Stopping;
                self.driver.cancel(listener, Role::Accept);
            }
            _ => {}
        }
    }

    pub(crate) fn accepted(&mut self, listener: Id, connection: Arc<Descriptor>) {
        let Some(state) = self.listener(listener) else { return };
        state.rest = REST_MIN;
        state.accepted += 1;
        let is_late = state.accepting == Phase::Stopping;
        let made_here = state.tenure == Tenure::Own;
        if state.tcp && !made_here {
            // An error means that the connection is gone, which its first read will report.
            let _ = socket::set_nodelay(connection.borrow());
        }
        if mutants::is_active(Mutant::ConnectionSwallowed) && state.accepts.is_empty() {
            return;
        }
        let fd_kind = FdKind::Socket { tcp: state.tcp };
        // From a socket that the program had in hand it may have inherited anything.
        let tenure = if made_here { Tenure::Own } else { Tenure::Exclusive };
        if !made_here {
            connection.inherit();
        }
        self.counts.connections_accepted += 1;
        self.counts.late_completions += u64::from(is_late);
        let connection = self.make_stream(connection, fd_kind, tenure);
        match self.listener(listener).filter(|state| state.closing.is_none()) {
            Some(state) => state.untaken.push_back(connection),
            // Dropping it closes it, by a thread if that may wait.
            None => return self.deferred_drops.streams.push(connection),
        }
        self.serve_accepts(listener);
    }

    pub(super) fn serve_accepts(&mut self, listener: Id) {
        while let Some(state) = self.listener(listener)
            && let Some(head) = state.accepts.head()
            && !self.serve_repeating_accept(listener, head)
            && let Some(state) = self.listener(listener)
            && let Some(connection) = state.untaken.pop_front()
            && let Some((slot, chain, kept)) = self.unqueue_served_accept(listener, head)
        {
            self.hand_over(listener, chain, slot, connection, kept);
        }
        self.steer_accepting(listener);
        self.close_listener_if_released(listener);
    }

    pub(crate) fn accept_ended(&mut self, listener: Id, error: Option<io::Error>) {
        let Some(state) = self.listener(listener) else { return };
        state.accepting = Phase::Idle;
        if state.closing.is_some() {
            return self.go_on_closing_listener(listener);
        }
        match error {
            None => self.steer_accepting(listener),
            // Another connection ends or another accept is cancelled, and there is room again.
            Some(error) if is_shortage(&error) => {
                let rest = state.rest;
                state.rest = (rest * 2).min(REST_MAX);
                if !self.resting.contains(&listener) {
                    self.resting.push(listener);
                }
                let timer = self.arm_target(rest, Target::Listener(listener));
                if let Some(state) = self.listener(listener) {
                    state.timer = timer;
                }
            }
            Some(error) => {
                let error = Error::io_on(IoOperation::Accept, self.name_of(listener), error);
                self.fail_accepts(listener, &error);
            }
        }
    }

    /// A listener that found no descriptor left tries again.
    pub(crate) fn retry_accepting(&mut self, listener: Id) {
        self.steer_accepting(listener);
    }

    /// A descriptor was released: whoever waited for one tries again.
    pub(crate) fn wake_resting_listeners(&mut self) {
        for id in mem::take(&mut self.resting) {
            self.end_rest(id);
        }
    }

    /// Has a listener that found no descriptor left try again now.
    pub(crate) fn end_rest(&mut self, listener: Id) {
        self.disarm_listener(listener);
        self.steer_accepting(listener);
    }

    fn disarm_listener(&mut self, listener: Id) {
        if let Some(Resource::Listener(state)) = self.resources.get_mut(listener) {
            self.timers.disarm(&mut state.timer);
        }
    }

    pub(crate) fn abort_accept(&mut self, listener: Id, id: Id, cause: Error) {
        // It did not wait when its time was up: there is something to hand out, or it is paused.
        if matches!(cause, Error::TimedOut) && self.rests(id) {
            return;
        }
        self.fail_accept(listener, id, cause);
        // Those behind one that repeats are at the head now.
        self.serve_accepts(listener);
    }

    fn fail_accepts(&mut self, listener: Id, error: &Error) {
        while let Some(head) = self.listener(listener).and_then(|state| state.accepts.head()) {
            self.fail_accept(listener, head, error.clone());
        }
        self.close_listener_if_released(listener);
    }

    fn fail_accept(&mut self, listener: Id, id: Id, error: Error) {
        match self.unqueue_accept(listener, id) {
            Some((Taker::Once(slot), chain)) => self.fail(chain, slot, error),
            Some((Taker::Each(repeat), _)) => self.ready.push(repeat.end(Err(error))),
            None => {}
        }
    }

    fn unqueue_accept(&mut self, listener: Id, id: Id) -> Option<(Taker<Stream>, Id)> {
        if let Some((state, pending)) = self.listener_and_pending(listener) {
            if state.accepts.head() == Some(id) {
                state.holds = false;
            }
            state.accepts.remove(pending, id);
        }
        match self.remove(id)? {
            Pending { kind: Kind::Accept(accept), chain, .. } => Some((accept, chain)),
            _ => unreachable!("only accepts are queued as accepts"),
        }
    }

    /// A claim was dropped untaken: its connection is the first of the untaken ones again.
    pub(crate) fn give_back_connection(&mut self, listener: &Listener, connection: Stream) {
        let id = self.id_of_listener(listener);
        match self.listener(id) {
            Some(state) if state.closing.is_none() => {
                match mutants::is_active(Mutant::ConnectionToTheEnd) {
                    true => state.untaken.push_back(connection),
                    false => state.untaken.push_front(connection),
                }
                self.serve_accepts(id);
            }
            // The listener is gone: dropping the last clone closes the connection.
            _ => self.deferred_drops.streams.push(connection),
        }
    }

    // Closing

    pub(crate) fn release_listener(&mut self, listener: Id) {
        if let Some(state) = self.listener(listener) {
            state.released = true;
            self.close_listener_if_released(listener);
        }
    }

    fn close_listener_if_released(&mut self, listener: Id) {
        if let Some(state) = self.listener(listener)
            && state.released
            && state.closing.is_none()
            && state.accepts.is_empty()
        {
            self.begin_closing_listener(listener, Closing::new(Ending::Dropped, Id::NONE));
        }
    }

    /// Submits a close of a listener.
    pub(crate) fn close_listener(
        &mut self,
        listener: Id,
        slot: Slot<()>,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        if self.listener(listener).is_none_or(|state| state.closing.is_some()) {
            self.fail(Id::NONE, slot, Error::Closed);
            return None;
        }
        let id = self.insert(Pending::new(Kind::Close, listener, Id::NONE), timeout);
        self.begin_closing_listener(listener, Closing::new(Ending::Close(slot), id));
        Some(id)
    }

    fn begin_closing_listener(&mut self, listener: Id, closing: Closing) {
        let Some(state) = self.listener(listener) else { return };
        state.closing = Some(Box::new(closing));
        self.set_unsettled(listener, true);
        let Some(state) = self.listener(listener) else { return };
        let untaken = mem::take(&mut state.untaken);
        self.deferred_drops.streams.extend(untaken);
        self.fail_accepts(listener, &Error::Closed);
        self.go_on_closing_listener(listener);
    }

    fn go_on_closing_listener(&mut self, listener: Id) {
        self.disarm_listener(listener);
        let Some(state) = self.listener(listener) else { return };
        match state.accepting {
            Phase::Idle => {
                self.driver.submit(listener, Operation::Close(Release::Close));
            }
            Phase::Running => {
                state.accepting = Phase::Stopping;
                self.driver.cancel(listener, Role::Accept);
            }
            Phase::Stopping => {}
        }
    }
}

/// How many connections are taken from the system that nobody has asked for. What waits at a socket
/// that others accept from, too, is anybody's.
fn limit(tenure: Tenure, limits: &Limits) -> usize {
    if tenure.is_sole() { limits.accepted.max(1) } else { 0 }
}

/// Whether an error says that descriptors or memory have run out, which passes.
fn is_shortage(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}
