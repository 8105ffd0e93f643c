//! [`Repeat`]: an operation that hands out one thing after the other, a line or a connection, to
//! one closure, until it ends and tells its callback how.
//!
//! It waits where an operation that ends with the first of them waits, at the head of the same
//! queue, and stays there. When there is something to hand out, its entry goes into the ready queue.
//! When that is run, the closure is taken out of the operation, given one thing after the other as
//! long as there are any, and put back. Each is taken from its resource only when the closure is
//! called with it: so a cancel has nothing to put back, and nothing is lost.
//!
//! While it is queued, runs or is paused it *holds* its resource: nothing more is received or
//! accepted for it than for nobody, and those behind it wait.

use std::{mem, time::Duration};

use crate::{
    core::{
        Core, Kind,
        stream::read::{Form, Read},
    },
    handles::{
        callback::Slot, cancel::Key, delivery::boxed_with, queue::ready::Ready, repeating::Handler,
    },
    pure::{
        error::{Error, Result},
        mutants::{self, Mutant},
        table::Id,
    },
};

/// What all repeating operations have.
pub(crate) struct Repeat {
    /// Whom to give each thing. None while it runs.
    handler: Option<Handler>,
    /// Whom to tell how it ended.
    last: Slot<()>,
    /// How long it waits for each.
    pub(crate) timeout: Option<Duration>,
    /// How many guards keep it paused. A guard that was made on another thread may be seen to end
    /// before it is seen to begin.
    pauses: i32,
    /// It is in the ready queue, or its handler runs.
    is_queued: bool,
    /// The handler has been given all that there was, and it is just known that there is no more.
    pub(super) is_dry: bool,
}

/// Whom to give what comes: a connection, a datagram, a signal.
pub(crate) enum Taker<T> {
    Once(Slot<T>),
    /// Is given one after the other.
    Each(Box<Repeat>),
}

impl<T> Taker<T> {
    /// Whether it is given a claim.
    pub(super) const fn is_claim(&self) -> bool {
        matches!(self, Self::Once(slot) if slot.is_claim())
    }
}

impl Repeat {
    pub(crate) fn new(handler: Handler, last: Slot<()>, timeout: Option<Duration>) -> Self {
        Self { handler: Some(handler), last, timeout, pauses: 0, is_queued: false, is_dry: false }
    }

    #[inline]
    pub(super) fn is_paused(&self) -> bool {
        self.pauses > 0 && !mutants::is_active(Mutant::PauseUnheeded)
    }

    #[inline]
    pub(super) const fn is_queued(&self) -> bool {
        self.is_queued
    }

    /// Whether it waits for something to hand out, so that its time may be up.
    pub(super) fn waits(&self) -> bool {
        !self.is_queued && !self.is_paused()
    }

    /// It has something to hand out. Returns what is to be queued.
    pub(super) fn queue(&mut self, id: Id) -> Ready {
        self.is_queued = true;
        Ready::Repeat(id)
    }

    /// The end, with which the handler is dropped where nothing is borrowed.
    pub(crate) fn end(self, outcome: Result<()>) -> Ready {
        Ready::Boxed(boxed_with(self.last.deliver(outcome), self.handler))
    }
}

impl Core {
    #[inline]
    pub(super) fn repeat(&mut self, id: Id) -> Option<&mut Repeat> {
        match &mut self.pending.get_mut(id)?.kind {
            Kind::Read(Read { form: Form::Repeat(_, repeat), .. })
            | Kind::Accept(Taker::Each(repeat))
            | Kind::ReceiveFrom(Taker::Each(repeat))
            | Kind::Signal(_, Taker::Each(repeat)) => Some(repeat),
            Kind::Every(every) => Some(&mut every.repeat),
            _ => None,
        }
    }

    /// Whether this is a repeating operation that does not wait: it has something to hand out, or is
    /// paused.
    pub(super) fn rests(&mut self, id: Id) -> bool {
        self.repeat(id).is_some_and(|repeat| !repeat.waits())
    }

    /// The handler of a repeating operation that was queued is to run now: takes it out.
    pub(crate) fn begin_repeat(&mut self, id: Id) -> Option<Handler> {
        let handler = self.repeat(id)?.handler.take()?;
        self.repeating = id;
        Some(handler)
    }

    /// The handler has run: puts it back. If the operation has ended meanwhile it is returned, to be
    /// dropped where nothing is borrowed.
    pub(crate) fn end_repeat(
        &mut self,
        id: Id,
        handler: Handler,
        panicked: bool,
    ) -> Option<Handler> {
        self.repeating = Id::NONE;
        let Some(repeat) = self.repeat(id) else { return Some(handler) };
        if panicked {
            self.abort_operation(id, Error::Panicked);
            return Some(handler);
        }
        repeat.handler = Some(handler);
        repeat.is_queued = false;
        match mem::take(&mut repeat.is_dry) {
            true => self.wait_for_more(id),
            false => self.serve_repeat(id),
        }
        None
    }

    /// Has a repeating operation go on, if it can.
    fn serve_repeat(&mut self, id: Id) {
        let Some(pending) = self.pending.get(id) else { return };
        let resource = pending.resource;
        match &pending.kind {
            Kind::Read(_) => self.serve_reads_again(resource),
            Kind::Accept(_) => self.serve_accepts(resource),
            Kind::ReceiveFrom(_) => self.serve_receives(resource),
            Kind::Signal(..) => self.serve_each_signal(id),
            Kind::Every(_) => self.serve_every(id),
            _ => {}
        }
    }

    /// A guard that pauses a repeating operation was made, or dropped. Returns false if the operation
    /// is one of another thread that the engine has not seen yet.
    pub(crate) fn shift_pauses(&mut self, key: Key, by: i32) -> bool {
        let id = match key {
            Key::Operation(id) => id,
            Key::HeadRead(..) => return true,
            Key::Ticket(ticket) => match self.by_ticket(ticket) {
                Some(Key::Operation(id)) => id,
                Some(_) => return true,
                None => return !self.is_yet_to_come(ticket),
            },
        };
        let Some(repeat) = self.repeat(id) else { return true };
        let was_paused = repeat.is_paused();
        repeat.pauses += by;
        let is_paused = repeat.is_paused();
        if is_paused != was_paused && !repeat.is_queued {
            // Also behind others, where it is not served.
            self.bound_wait(id, !is_paused);
            self.serve_repeat(id);
        }
        true
    }

    /// Disarms the deadline of a repeating operation, as it waits no more; or arms it, as it waits
    /// from now on.
    pub(super) fn bound_wait(&mut self, id: Id, waits: bool) {
        let Some(pending) = self.pending.get_mut(id) else { return };
        if !waits {
            self.timers.disarm(&mut pending.timer);
        } else if pending.timer == 0
            && let Some(timeout) = self.repeat(id).and_then(|repeat| repeat.timeout)
        {
            self.arm(id, timeout);
        }
    }
}
