//! Cancelling: how a `Cancel` finds its operation, also one that another thread has submitted and
//! the engine has not seen; and how an operation of each kind is ended early.

use crate::{
    core::{Core, Kind, Pending},
    handles::{
        cancel::Key,
        current::with_current,
        queue::{message::Begin, ready::Ready},
    },
    pure::{
        error::Error,
        mutants::{self, Mutant},
        table::Id,
    },
};

impl Core {
    /// Begins an operation that another thread submitted, and ends it if it was cancelled on this
    /// thread meanwhile.
    pub(super) fn begin_by_ticket(&mut self, ticket: u64, begin: Begin) {
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
    pub(super) fn remember_ticket(&mut self, ticket: u64, key: Key) {
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

    /// What the operation with this ticket is cancelled by, if it is pending.
    pub(super) fn by_ticket(&self, ticket: u64) -> Option<Key> {
        self.tickets.get(&ticket).copied()
    }

    /// Whether the submission of the operation with this ticket is still in the inbox, or about to
    /// be dealt with.
    pub(super) const fn is_yet_to_come(&self, ticket: u64) -> bool {
        ticket > self.last_ticket
    }

    /// Forgets the ticket of an operation that has ended; zero is none.
    #[inline]
    pub(crate) fn forget_ticket(&mut self, ticket: u64) {
        if ticket != 0 {
            self.tickets.remove(&ticket);
        }
    }

    /// A `Cancel` was used. Returns whether its operation was still pending, or is yet to come.
    pub(crate) fn cancel(&mut self, key: Key) -> bool {
        match key {
            Key::Operation(id)
                if mutants::is_active(Mutant::OneMoreAfterCancel) && self.rests(id) =>
            {
                self.ready.push(Ready::Run(Box::new(move |local| {
                    let end = |core: &mut Self| core.abort_operation(id, Error::Cancelled);
                    with_current(local.id(), end);
                })));
                true
            }
            Key::Operation(id) => self.abort_operation(id, Error::Cancelled),
            Key::HeadRead(stream, number) => self.abort_head_read(stream, number, Error::Cancelled),
            Key::Ticket(ticket) => match self.by_ticket(ticket) {
                Some(key) => self.cancel(key),
                None if self.is_yet_to_come(ticket)
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
            Kind::Poll { .. } => self.abort_poll(resource, id, cause),
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
            Kind::Every(_) if matches!(cause, Error::TimedOut) => self.every_is_due(id),
            Kind::Every(_) => self.end_every(id, cause),
            Kind::Signal(..) => self.abort_signal(id, cause),
            Kind::Thread(_) => self.abort_thread(id, cause),
            Kind::Wait(_) => self.abort_wait(resource, id, cause),
            Kind::File(_) => self.interrupt_on_file(id, cause),
            Kind::ReceiveFrom(_) => self.abort_receive(resource, id, cause),
            Kind::SendTo(_) => self.abort_send(resource, id, cause),
            Kind::Copy(_) => self.end_copy(id, Err(cause)),
            Kind::CopyTo(way_of) => {
                let copy = way_of.copy;
                self.end_copy(copy, Err(cause));
            }
            Kind::Claimed(_) if matches!(cause, Error::Cancelled) => self.withdraw(id, cause),
            // It has its outcome.
            Kind::Claimed(_) => return false,
        }
        true
    }
}
