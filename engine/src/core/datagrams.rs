//! How datagrams are received and sent, one by one and whole. The reception brings datagrams,
//! receives take them in order, and one that nobody took waits at the front. A send is tried at
//! once; what finds no room queues, and goes out in order.

use std::{
    collections::VecDeque,
    io,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    core::{
        Core, Kind, Pending,
        chain::Product,
        closing::{Closing, Ending},
        repeat::{Repeat, Taker},
        resource::{Phase, Resource},
        stream::setback::is_for_want_of_memory,
    },
    handles::{
        callback::Slot,
        claim::{DatagramOrigin, Origin},
        delivery::{Outcome, boxed_with},
        udp_socket::UdpSocket,
    },
    pure::{
        address::Address,
        datagram::Datagram,
        error::{Error, IoOperation, SystemError},
        limits::Limits,
        list::List,
        mutants::{self, Mutant},
        table::{Id, Table},
        timer::{Target, TimerNumber},
    },
    system::{
        descriptor::Tenure,
        driver::{Driver, Ended, Operation, Release, Role},
        fd_kind::FdKind,
        sys::errno::Errno,
    },
};

/// One socket of datagrams.
pub(crate) struct DatagramsState {
    pub(crate) fd_kind: FdKind,
    /// Whether others may receive from it, too.
    tenure: Tenure,
    /// Receives without an outcome, in order, and how many those are.
    receives: List,
    waiting: usize,
    /// The first of `receives` repeats and does not go on, because it is paused or has no room for
    /// answers: nothing is asked for on its account.
    holds: bool,
    /// What nobody has taken, in the order of its numbers, and how many bytes it is.
    untaken: VecDeque<(u64, Arrival)>,
    untaken_len: usize,
    /// How much of a datagram is received.
    size: usize,
    reception: Phase,
    /// How many datagrams the reception may still bring.
    expected: usize,
    /// How much has ever come; the number of the next.
    pub(crate) received: u64,
    /// Sends that had no room, in order, and how many bytes they are.
    sends: List,
    queued: usize,
    /// Whether room is waited for.
    room: Phase,
    /// The timer at which it tries again what the system had no memory for, or zero.
    pub(crate) timer: TimerNumber,
    rest: Duration,
    receiving_rests: bool,
    sending_rests: bool,
    /// Since when and how often the send at the head was refused for want of memory.
    shortage: Option<(Instant, u32)>,
    pub(crate) closing: Option<Box<Closing>>,
    released: bool,
    /// Counted among the unsettled resources.
    pub(crate) unsettled: bool,
}

/// What the system told.
enum Arrival {
    Datagram(Datagram),
    /// It told a failure, such as that nobody has received what was sent: once, and of no datagram
    /// in particular. The socket goes on.
    Failed(io::Error),
}

impl Arrival {
    const fn len(&self) -> usize {
        match self {
            Self::Datagram(datagram) => datagram.bytes.len(),
            Self::Failed(_) => 0,
        }
    }
}

impl DatagramsState {
    /// Whether the system is asked for datagrams.
    pub(crate) fn is_receiving(&self) -> bool {
        self.reception == Phase::Running
    }

    /// How many are asked for.
    const fn wanted(&self) -> usize {
        if self.holds { 0 } else { self.waiting }
    }

    /// How many are taken from the system that nobody has asked for. What waits at a socket that
    /// others receive from, too, is anybody's.
    fn ahead(&self, limits: &Limits) -> usize {
        if self.tenure.is_sole() && self.untaken_len < limits.unread {
            limits.datagrams.saturating_sub(self.untaken.len())
        } else {
            0
        }
    }

    pub(crate) fn untaken(&self) -> usize {
        self.untaken.len()
    }

    pub(crate) const fn queued(&self) -> usize {
        self.queued
    }
}

/// A datagram on its way, and whom to tell.
pub(crate) struct Outgoing {
    pub(crate) slot: Slot<usize>,
    pub(crate) bytes: Bytes,
    /// None if the socket is connected.
    pub(crate) to: Option<Address>,
}

/// For how long a send is tried again that the system has no memory for, and how often at least.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES_MIN: u32 = 32;
/// The first pause. Each is twice as long as the one before, up to `REST_MAX`.
const REST_MIN: Duration = Duration::from_millis(1);
const REST_MAX: Duration = Duration::from_millis(64);

impl Core {
    /// Takes in a socket of datagrams.
    pub(crate) fn adopt_datagrams(&mut self, socket: &UdpSocket) {
        let state = DatagramsState {
            fd_kind: socket.fd_kind(),
            tenure: socket.tenure(),
            receives: List::EMPTY,
            waiting: 0,
            holds: false,
            untaken: VecDeque::new(),
            untaken_len: 0,
            size: Datagram::MOST,
            reception: Phase::Idle,
            expected: 0,
            received: 0,
            sends: List::EMPTY,
            queued: 0,
            room: Phase::Idle,
            timer: 0,
            rest: REST_MIN,
            receiving_rests: false,
            sending_rests: false,
            shortage: None,
            closing: None,
            released: false,
            unsettled: false,
        };
        let id = self.resources.insert(Resource::Datagrams(Box::new(state)));
        self.driver.attach(id, Arc::clone(socket.descriptor()), socket.fd_kind());
        socket.set_id(id);
    }

    pub(crate) fn id_of_datagrams(&mut self, socket: &UdpSocket) -> Id {
        socket.id().unwrap_or_else(|| {
            self.take_messages();
            socket.id().unwrap_or(Id::NONE)
        })
    }

    fn datagrams(&mut self, id: Id) -> Option<&mut DatagramsState> {
        match self.resources.get_mut(id) {
            Some(Resource::Datagrams(state)) => Some(state),
            _ => None,
        }
    }

    fn datagrams_and_pending(
        &mut self,
        id: Id,
    ) -> Option<(&mut DatagramsState, &mut Table<Pending>)> {
        match self.resources.get_mut(id) {
            Some(Resource::Datagrams(state)) => Some((state, &mut self.pending)),
            _ => None,
        }
    }

    /// The program has lent the descriptor, and others may receive by it from now on; or it says
    /// that nobody else does.
    pub(crate) fn set_datagrams_exclusive(&mut self, id: Id, exclusive: bool) {
        let Some(state) = self.datagrams(id) else { return };
        state.tenure = match (state.tenure, exclusive) {
            (Tenure::Shared, true) => Tenure::Exclusive,
            (_, false) => Tenure::Shared,
            (sole, true) => sole,
        };
        self.steer_reception(id);
    }

    /// Sets how much of a datagram is received.
    pub(crate) fn set_receive_size(&mut self, id: Id, size: usize) {
        let Some(state) = self.datagrams(id) else { return };
        state.size = size;
        // One with the old size makes way for one with the new.
        self.stop_reception_of(id);
    }

    // Receiving

    /// Submits a receive.
    pub(crate) fn receive_datagram(
        &mut self,
        socket: Id,
        slot: Slot<Datagram>,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        let Some(state) = self.datagrams(socket).filter(|state| state.closing.is_none()) else {
            self.fail_boxed(Id::NONE, slot, Error::Closed);
            return None;
        };
        if state.receives.is_empty()
            && let Some((number, arrival)) = state.untaken.pop_front()
        {
            state.untaken_len -= arrival.len();
            return self.hand_out(socket, slot, number, arrival, None);
        }
        let id = self.queue_receive(socket, Taker::Once(slot), timeout)?;
        self.steer_reception(socket);
        Some(id)
    }

    /// Submits a repeating receive.
    pub(crate) fn receive_each_datagram(&mut self, socket: Id, repeat: Box<Repeat>) -> Option<Id> {
        if self.datagrams(socket).is_none_or(|state| state.closing.is_some()) {
            self.ready.push(repeat.end(Err(Error::Closed)));
            return None;
        }
        let timeout = repeat.timeout;
        let id = self.queue_receive(socket, Taker::Each(repeat), timeout)?;
        self.serve_receives(socket);
        Some(id)
    }

    fn queue_receive(
        &mut self,
        socket: Id,
        taker: Taker<Datagram>,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        let id = self.insert(Pending::new(Kind::ReceiveFrom(taker), socket, Id::NONE), timeout);
        let (state, pending) = self.datagrams_and_pending(socket)?;
        state.receives.push_back(pending, id);
        state.waiting += 1;
        Some(id)
    }

    /// Completes a receive. `kept` is its id, if it has stayed in the table for its claim.
    fn hand_out(
        &mut self,
        socket: Id,
        slot: Slot<Datagram>,
        number: u64,
        arrival: Arrival,
        kept: Option<Id>,
    ) -> Option<Id> {
        let datagram = match arrival {
            Arrival::Datagram(datagram) => datagram,
            Arrival::Failed(cause) => {
                let error = Error::io_on(IoOperation::Receive, self.name_of(socket), cause);
                // It consumed nothing, so that nothing is to be withdrawn.
                if let Some(id) = kept {
                    self.remove(id);
                }
                self.fail_boxed(Id::NONE, slot, error);
                return None;
            }
        };
        let next = || Ok(Product::None);
        if !slot.is_claim() {
            let outcome = Outcome::Boxed(boxed_with(slot.deliver(Ok(datagram)), ()));
            self.tell(Id::NONE, next, outcome);
            return None;
        }
        let engine = self.engine;
        let back = datagram.clone();
        let origin = move || {
            Origin::Datagram(Box::new(DatagramOrigin { engine, socket, number, datagram: back }))
        };
        let outcome = Outcome::Boxed(boxed_with(slot.deliver_from(Ok(datagram), origin), ()));
        if kept.is_none() {
            return Some(self.tell_claim(socket, Id::NONE, next, outcome));
        }
        self.tell_or_keep(kept, Id::NONE, next, outcome);
        kept
    }

    /// Takes a receive out of its queue. One that gives a claim stays in the table, so that it can
    /// be withdrawn until its callback runs; its id is returned then.
    fn unqueue_served_receive(
        &mut self,
        socket: Id,
        id: Id,
    ) -> Option<(Slot<Datagram>, Option<Id>)> {
        let is_claim = match self.pending.get(id) {
            Some(Pending { kind: Kind::ReceiveFrom(taker), .. }) => taker.is_claim(),
            _ => false,
        };
        if !is_claim {
            return match self.unqueue_receive(socket, id)? {
                Taker::Once(slot) => Some((slot, None)),
                Taker::Each(_) => unreachable!("one that repeats is served by itself"),
            };
        }
        if let Some((state, pending)) = self.datagrams_and_pending(socket) {
            state.receives.remove(pending, id);
            state.waiting -= 1;
        }
        match self.keep_claim(id)? {
            (Kind::ReceiveFrom(Taker::Once(slot)), _) => Some((slot, Some(id))),
            _ => unreachable!("only receives are queued as receives"),
        }
    }

    fn unqueue_receive(&mut self, socket: Id, id: Id) -> Option<Taker<Datagram>> {
        if let Some((state, pending)) = self.datagrams_and_pending(socket) {
            if state.receives.head() == Some(id) {
                state.holds = false;
            }
            state.receives.remove(pending, id);
            state.waiting -= 1;
        }
        match self.remove(id)? {
            Pending { kind: Kind::ReceiveFrom(taker), .. } => Some(taker),
            _ => unreachable!("only receives are queued as receives"),
        }
    }

    fn fail_receive(&mut self, socket: Id, id: Id, error: Error) {
        match self.unqueue_receive(socket, id) {
            Some(Taker::Once(slot)) => self.fail_boxed(Id::NONE, slot, error),
            Some(Taker::Each(repeat)) => self.ready.push(repeat.end(Err(error))),
            None => {}
        }
    }

    /// Starts or stops the reception, as receives and limits demand.
    fn steer_reception(&mut self, socket: Id) {
        let settings = Arc::clone(&self.settings);
        let Some(state) = self.datagrams(socket) else { return };
        let most = state.wanted() + state.ahead(&settings.limits);
        match state.reception {
            // What one that repeats has not been given yet comes first: a driver may try at once.
            Phase::Idle
                if state.wanted() > 0
                    && state.untaken.is_empty()
                    && !state.receiving_rests
                    && state.closing.is_none() =>
            {
                state.reception = Phase::Running;
                state.expected = most;
                let size = state.size;
                self.driver.submit(socket, Operation::ReceiveFrom { most, size });
            }
            // Those who waited for them do not any more.
            Phase::Running if state.expected > most => self.stop_reception_of(socket),
            _ => {}
        }
    }

    fn stop_reception_of(&mut self, socket: Id) {
        if let Some(state) = self.datagrams(socket)
            && state.reception == Phase::Running
        {
            state.reception = Phase::Stopping;
            self.driver.cancel(socket, Role::Receive);
        }
    }

    pub(crate) fn arrived(&mut self, socket: Id, datagrams: Vec<Datagram>) {
        let Some(state) = self.datagrams(socket) else { return };
        state.expected = state.expected.saturating_sub(datagrams.len());
        let is_late = state.reception == Phase::Stopping;
        if mutants::is_active(Mutant::DatagramLost) && is_late {
            return;
        }
        let count = datagrams.len() as u64;
        for mut datagram in datagrams {
            datagram.truncated &= !mutants::is_active(Mutant::DatagramCutUntold);
            state.note(Arrival::Datagram(datagram));
        }
        self.counts.datagrams_received += count;
        self.counts.late_completions += u64::from(is_late);
        self.serve_receives(socket);
    }

    pub(super) fn serve_receives(&mut self, socket: Id) {
        while let Some(state) = self.datagrams(socket)
            && let Some(head) = state.receives.head()
            && self.serve_receive(socket, head)
        {}
        self.steer_reception(socket);
        self.close_datagrams_if_released(socket);
    }

    /// Gives the receive at the head what there is. Returns whether it has ended by that, so that it
    /// is the next one's turn.
    fn serve_receive(&mut self, socket: Id, head: Id) -> bool {
        if let Some(repeats) = self.serve_repeating_receive(socket, head) {
            return repeats.is_break();
        }
        let Some(state) = self.datagrams(socket) else { return false };
        let Some((number, arrival)) = state.untaken.pop_front() else { return false };
        state.untaken_len -= arrival.len();
        if let Some((slot, kept)) = self.unqueue_served_receive(socket, head) {
            self.hand_out(socket, slot, number, arrival, kept);
        }
        true
    }

    /// Has the repeating receive at the head go on, if it can: its handler is queued if there is a
    /// datagram, and it ends if the system has told a failure. None if the head does not repeat.
    fn serve_repeating_receive(&mut self, socket: Id, head: Id) -> Option<ControlFlow<()>> {
        let room = self.settings.limits.unsent;
        let Some(Resource::Datagrams(state)) = self.resources.get_mut(socket) else { return None };
        let Some(Pending { kind: Kind::ReceiveFrom(Taker::Each(repeat)), .. }) =
            self.pending.get_mut(head)
        else {
            return None;
        };
        // It looks again when its handler has run.
        if repeat.is_queued() {
            return Some(ControlFlow::Continue(()));
        }
        state.holds = repeat.is_paused() || state.queued > room;
        let next = state.untaken.front().filter(|_| !state.holds).map(|(_, arrival)| arrival);
        let waits = !state.holds && next.is_none();
        match next {
            Some(Arrival::Datagram(_)) => {
                let ready = repeat.queue(head);
                self.ready.push(ready);
            }
            Some(Arrival::Failed(_)) => {
                if let Some((_, Arrival::Failed(cause))) = state.untaken.pop_front() {
                    let error = Error::io_on(IoOperation::Receive, self.name_of(socket), cause);
                    self.fail_receive(socket, head, error);
                }
                return Some(ControlFlow::Break(()));
            }
            None => {}
        }
        self.bound_wait(head, waits);
        Some(ControlFlow::Continue(()))
    }

    /// The next datagram of a repeating receive, for its handler, which runs.
    pub(crate) fn next_datagram(&mut self, id: Id) -> Option<Datagram> {
        let room = self.settings.limits.unsent;
        let pending = self.pending.get(id)?;
        let Kind::ReceiveFrom(Taker::Each(repeat)) = &pending.kind else { return None };
        if repeat.is_paused() {
            return None;
        }
        let resource = pending.resource;
        let state = self.datagrams(resource).filter(|state| state.queued <= room)?;
        let is_datagram = |next: &mut (u64, Arrival)| matches!(next.1, Arrival::Datagram(_));
        match state.untaken.pop_front_if(is_datagram)? {
            (_, Arrival::Datagram(datagram)) => {
                state.untaken_len -= datagram.bytes.len();
                Some(datagram)
            }
            (_, Arrival::Failed(_)) => None,
        }
    }

    /// The reception is over.
    pub(crate) fn reception_ended(&mut self, socket: Id, ended: Ended) {
        let Some(state) = self.datagrams(socket) else { return };
        state.reception = Phase::Idle;
        if state.closing.is_some() {
            return self.go_on_closing_datagrams(socket);
        }
        match ended {
            Ended::Stopped | Ended::EndOfStream => self.steer_reception(socket),
            Ended::Failed(error) if is_for_want_of_memory(&error) => {
                state.receiving_rests = true;
                self.rest(socket);
            }
            Ended::Failed(error) => {
                state.note(Arrival::Failed(error));
                self.serve_receives(socket);
            }
        }
    }

    pub(crate) fn abort_receive(&mut self, socket: Id, id: Id, cause: Error) {
        let holds = |state: &mut DatagramsState| state.holds && state.receives.head() == Some(id);
        // It did not wait when its time was up: there is something to hand out, or it is paused.
        if matches!(cause, Error::TimedOut)
            && (self.rests(id) || self.datagrams(socket).is_some_and(holds))
        {
            return;
        }
        self.fail_receive(socket, id, cause);
        // Those behind one that repeats are at the head now.
        self.serve_receives(socket);
    }

    /// A claim was dropped untaken: its datagram stands where it stood.
    pub(crate) fn give_back_datagram(&mut self, origin: DatagramOrigin) {
        let DatagramOrigin { socket, number, datagram, .. } = origin;
        let Some(state) = self.datagrams(socket).filter(|state| state.closing.is_none()) else {
            return;
        };
        state.untaken_len += datagram.bytes.len();
        let at = match mutants::is_active(Mutant::DatagramToTheEnd) {
            true => state.untaken.len(),
            false => state.untaken.partition_point(|(other, _)| *other < number),
        };
        state.untaken.insert(at, (number, Arrival::Datagram(datagram)));
        self.serve_receives(socket);
    }

    // Sending

    /// Submits a send.
    pub(crate) fn send_datagram(
        &mut self,
        socket: Id,
        outgoing: Outgoing,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        let most = self.settings.limits.queued;
        let Some(state) = self.datagrams(socket).filter(|state| state.closing.is_none()) else {
            self.fail_send(outgoing, Error::Closed);
            return None;
        };
        if state.sends.is_empty() && !state.sending_rests {
            let Outgoing { bytes, to, .. } = &outgoing;
            match self.driver.send_datagram(socket, bytes, to.as_ref()) {
                Some(Err(error)) if self.bears(socket, &error) => {}
                Some(result) => {
                    self.end_send(socket, outgoing, result);
                    return None;
                }
                None => {}
            }
        } else if state.queued > most {
            self.fail_send(outgoing, Error::Overloaded);
            return None;
        }
        // Each takes memory, even an empty one.
        let len = outgoing.bytes.len().max(1);
        let kind = Kind::SendTo(Box::new(outgoing));
        let id = self.insert(Pending::new(kind, socket, Id::NONE), timeout);
        let (state, pending) = self.datagrams_and_pending(socket)?;
        state.sends.push_back(pending, id);
        state.queued += len;
        self.steer_room(socket);
        Some(id)
    }

    /// Tells what a send came to.
    fn end_send(&mut self, socket: Id, outgoing: Outgoing, result: io::Result<()>) {
        match result {
            Ok(()) => {
                let len = outgoing.bytes.len();
                self.counts.datagrams_sent += 1;
                self.deferred_drops.bytes.push(outgoing.bytes);
                self.succeed(Id::NONE, outgoing.slot, len);
            }
            Err(cause) => {
                let to = match &outgoing.to {
                    Some(to) => to.to_string(),
                    None => self.name_of(socket),
                };
                let error = match Errno::from_io_error(&cause) {
                    Some(Errno::MSGSIZE) => Error::DatagramTooLong {
                        len: outgoing.bytes.len(),
                        cause: SystemError::new(to, cause),
                    },
                    _ => Error::io_on(IoOperation::Send, to, cause),
                };
                self.fail_send(outgoing, error);
            }
        }
    }

    fn fail_send(&mut self, outgoing: Outgoing, error: Error) {
        self.deferred_drops.bytes.push(outgoing.bytes);
        self.fail(Id::NONE, outgoing.slot, error);
    }

    fn unqueue_send(&mut self, socket: Id, id: Id) -> Option<Outgoing> {
        if let Some((state, pending)) = self.datagrams_and_pending(socket) {
            state.sends.remove(pending, id);
        }
        match self.remove(id)? {
            Pending { kind: Kind::SendTo(outgoing), .. } => {
                if let Some(state) = self.datagrams(socket) {
                    state.queued -= outgoing.bytes.len().max(1);
                }
                Some(*outgoing)
            }
            _ => unreachable!("only sends are queued as sends"),
        }
    }

    /// Whether a refused send is tried again: where the system had no memory, for a bounded time;
    /// where it has no room and cannot tell when it has, as long as that takes.
    fn bears(&mut self, socket: Id, error: &io::Error) -> bool {
        let is_full = Errno::from_io_error(error) == Some(Errno::AGAIN);
        if !is_full && !is_for_want_of_memory(error) {
            return false;
        }
        let now = self.now();
        let Some(state) = self.datagrams(socket) else { return false };
        let (until, tries) = state.shortage.unwrap_or((now + PATIENCE, 0));
        if !is_full && now >= until && tries >= TRIES_MIN {
            state.shortage = None;
            return false;
        }
        state.shortage = Some((until, tries.saturating_add(1)));
        state.sending_rests = true;
        self.rest(socket);
        true
    }

    /// Has a socket pause before it tries again.
    fn rest(&mut self, socket: Id) {
        let Some(state) = self.datagrams(socket) else { return };
        if state.timer != 0 {
            return;
        }
        let rest = state.rest;
        state.rest = (rest * 2).min(REST_MAX);
        let timer = self.arm_target(rest, Target::Datagrams(socket));
        if let Some(state) = self.datagrams(socket) {
            state.timer = timer;
        }
    }

    /// A pause is over, or cut short: what was refused is tried again.
    pub(crate) fn end_rest_of_datagrams(&mut self, socket: Id) {
        let Some(Resource::Datagrams(state)) = self.resources.get_mut(socket) else { return };
        self.timers.disarm(&mut state.timer);
        (state.receiving_rests, state.sending_rests) = (false, false);
        self.send_queued(socket);
        self.steer_reception(socket);
    }

    /// The same of all sockets that have something to send: another run may never come.
    pub(crate) fn send_all_datagrams_again(&mut self) {
        for id in self.resources.ids() {
            if self.datagrams(id).is_some_and(|state| !state.sends.is_empty()) {
                self.end_rest_of_datagrams(id);
            }
        }
    }

    /// Waits for room as long as something has none.
    fn steer_room(&mut self, socket: Id) {
        let Some(state) = self.datagrams(socket) else { return };
        let waits = !state.sends.is_empty() && !state.sending_rests;
        match (state.room, waits) {
            (Phase::Idle, true) => {
                state.room = Phase::Running;
                self.driver.submit(socket, Operation::AwaitRoom);
            }
            (Phase::Running, false) => {
                state.room = Phase::Stopping;
                self.driver.cancel(socket, Role::Send);
            }
            _ => {}
        }
    }

    /// There is room, or waiting for it was cancelled or refused.
    pub(crate) fn has_room(&mut self, socket: Id, result: io::Result<()>) {
        let Some(state) = self.datagrams(socket) else { return };
        let wanted = std::mem::replace(&mut state.room, Phase::Idle) == Phase::Running;
        match result {
            Err(cause) if wanted => {
                // It cannot be waited for: whoever is first hears that.
                if let Some(head) = state.sends.head()
                    && let Some(outgoing) = self.unqueue_send(socket, head)
                {
                    self.end_send(socket, outgoing, Err(cause));
                }
                self.steer_room(socket);
            }
            _ => self.send_queued(socket),
        }
        self.go_on_receiving(socket);
        self.go_on_closing_datagrams(socket);
    }

    /// Has a repeating receive go on that waited for room for its answers, if there is some now.
    fn go_on_receiving(&mut self, socket: Id) {
        if self.datagrams(socket).is_some_and(|state| state.holds) {
            self.serve_receives(socket);
        }
    }

    /// Sends what had no room, in order, as far as there is some now.
    fn send_queued(&mut self, socket: Id) {
        while let Some(state) = self.datagrams(socket)
            && !state.sending_rests
            && let Some(head) = state.sends.head()
        {
            let Some(Pending { kind: Kind::SendTo(outgoing), .. }) = self.pending.get(head) else {
                return;
            };
            let result = self.driver.send_datagram(socket, &outgoing.bytes, outgoing.to.as_ref());
            match result {
                None => break,
                Some(Err(error)) if self.bears(socket, &error) => break,
                Some(result) => {
                    if let Some(state) = self.datagrams(socket) {
                        (state.shortage, state.rest) = (None, REST_MIN);
                    }
                    if let Some(outgoing) = self.unqueue_send(socket, head) {
                        self.end_send(socket, outgoing, result);
                    }
                }
            }
        }
        self.steer_room(socket);
        self.go_on_receiving(socket);
        self.go_on_closing_datagrams(socket);
        self.close_datagrams_if_released(socket);
    }

    pub(crate) fn abort_send(&mut self, socket: Id, id: Id, cause: Error) {
        if let Some(outgoing) = self.unqueue_send(socket, id) {
            self.fail_send(outgoing, cause);
        }
        self.steer_room(socket);
        self.go_on_receiving(socket);
        self.go_on_closing_datagrams(socket);
        self.close_datagrams_if_released(socket);
    }

    // Closing

    pub(crate) fn release_datagrams(&mut self, socket: Id) {
        if let Some(state) = self.datagrams(socket) {
            state.released = true;
            self.close_datagrams_if_released(socket);
        }
    }

    fn close_datagrams_if_released(&mut self, socket: Id) {
        if let Some(state) = self.datagrams(socket)
            && state.released
            && state.closing.is_none()
            && state.receives.is_empty()
        {
            // It waits for what is to be sent.
            self.begin_closing_datagrams(socket, Closing::new(Ending::Dropped, Id::NONE));
        }
    }

    /// Submits a close of a socket of datagrams.
    pub(crate) fn close_datagrams(
        &mut self,
        socket: Id,
        slot: Slot<()>,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        if self.datagrams(socket).is_none_or(|state| state.closing.is_some()) {
            self.fail(Id::NONE, slot, Error::Closed);
            return None;
        }
        let id = self.insert(Pending::new(Kind::Close, socket, Id::NONE), timeout);
        self.begin_closing_datagrams(socket, Closing::new(Ending::Close(slot), id));
        Some(id)
    }

    fn begin_closing_datagrams(&mut self, socket: Id, closing: Closing) {
        let Some(state) = self.datagrams(socket) else { return };
        state.closing = Some(Box::new(closing));
        state.untaken.clear();
        self.set_unsettled(socket, true);
        while let Some(head) = self.datagrams(socket).and_then(|state| state.receives.head()) {
            self.fail_receive(socket, head, Error::Closed);
        }
        self.go_on_closing_datagrams(socket);
    }

    /// Takes the next step of a close, if one has begun and nothing is to be sent any more.
    fn go_on_closing_datagrams(&mut self, socket: Id) {
        let Some(Resource::Datagrams(state)) = self.resources.get_mut(socket) else { return };
        if state.closing.is_none() || !state.sends.is_empty() {
            return;
        }
        self.timers.disarm(&mut state.timer);
        self.stop_reception_of(socket);
        self.steer_room(socket);
        let Some(state) = self.datagrams(socket) else { return };
        if (state.reception, state.room) == (Phase::Idle, Phase::Idle)
            && let Some(closing) = &mut state.closing
        {
            let is_news = closing.hand_down_once();
            if is_news {
                self.driver.submit(socket, Operation::Close(Release::Close));
            }
        }
    }

    /// A close has run out of time: what was not sent by now is not sent any more.
    pub(crate) fn cut_short_datagrams(&mut self, socket: Id) {
        while let Some(head) = self.datagrams(socket).and_then(|state| state.sends.head()) {
            self.abort_send(socket, head, Error::Closed);
        }
    }
}

impl DatagramsState {
    /// Keeps what came until somebody takes it.
    fn note(&mut self, arrival: Arrival) {
        self.rest = REST_MIN;
        if self.closing.is_none() {
            self.untaken_len += arrival.len();
            self.untaken.push_back((self.received, arrival));
        }
        self.received += 1;
    }
}
