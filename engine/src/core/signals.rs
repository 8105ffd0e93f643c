//! Signals: who waits for which, and one that came while nobody did.
//!
//! A signal that has come is told to everybody who waits for it. If nobody does it is kept for
//! whoever asks next, once, as the system keeps one that is blocked, signal(7): so nothing is lost
//! between an operation and the one that follows it. The same becomes of one that was claimed and
//! not taken.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    core::{
        Core, Kind, Pending,
        chain::Product,
        repeat::{Repeat, Taker},
    },
    handles::{
        callback::Slot,
        claim::Origin,
        delivery::{Outcome, boxed_with},
    },
    pure::{
        error::{Error, Result},
        table::Id,
    },
};

/// What has become of each signal that the engine was asked for.
#[derive(Debug, Default)]
pub(crate) struct SignalWaits(BTreeMap<i32, Waits>);

#[derive(Debug, Default)]
struct Waits {
    /// Operations without an outcome, in the order submitted.
    operations: Vec<Id>,
    /// Those that repeat.
    repeating: Vec<Repeating>,
    /// It has come while there were none of either.
    is_kept: bool,
}

#[derive(Debug)]
struct Repeating {
    id: Id,
    /// It has come, and the handler has not been told.
    has_come: bool,
}

impl Core {
    /// Submits a wait for a signal; `watched` is how the system was asked to tell of it.
    pub(crate) fn wait_for_signal(
        &mut self,
        number: i32,
        watched: Result<()>,
        slot: Slot<()>,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        if let Err(error) = watched {
            self.fail(Id::NONE, slot, error);
            return None;
        }
        let waits = self.signals.0.entry(number).or_default();
        if std::mem::take(&mut waits.is_kept) {
            return self.tell_signal(None, number, slot);
        }
        let kind = Kind::Signal(number, Taker::Once(slot));
        let id = self.insert(Pending::new(kind, Id::NONE, Id::NONE), timeout);
        self.signals.0.entry(number).or_default().operations.push(id);
        Some(id)
    }

    /// Submits a repeating wait for a signal.
    pub(crate) fn wait_for_each_signal(
        &mut self,
        number: i32,
        watched: Result<()>,
        repeat: Box<Repeat>,
    ) -> Option<Id> {
        if let Err(error) = watched {
            self.ready.push(repeat.end(Err(error)));
            return None;
        }
        let timeout = repeat.timeout;
        let kind = Kind::Signal(number, Taker::Each(repeat));
        let id = self.insert(Pending::new(kind, Id::NONE, Id::NONE), timeout);
        let waits = self.signals.0.entry(number).or_default();
        let has_come = std::mem::take(&mut waits.is_kept);
        waits.repeating.push(Repeating { id, has_come });
        self.serve_each_signal(id);
        Some(id)
    }

    /// Where it is noted whether a repeating wait has something to tell.
    fn repeating_wait(&mut self, id: Id) -> Option<&mut Repeating> {
        let Kind::Signal(number, Taker::Each(_)) = self.pending.get(id)?.kind else { return None };
        let waits = self.signals.0.get_mut(&number)?;
        waits.repeating.iter_mut().find(|other| other.id == id)
    }

    /// Queues the handler of a repeating wait, if the signal has come.
    pub(super) fn serve_each_signal(&mut self, id: Id) {
        let Some(has_come) = self.repeating_wait(id).map(|waits| waits.has_come) else { return };
        let Some(repeat) = self.repeat(id) else { return };
        if repeat.is_queued() {
            return;
        }
        let is_paused = repeat.is_paused();
        if has_come && !is_paused {
            let ready = repeat.queue(id);
            self.ready.push(ready);
        }
        self.bound_wait(id, !has_come && !is_paused);
    }

    /// The signal, for the handler of a repeating wait, which runs, if it has come again.
    pub(crate) fn next_signal(&mut self, id: Id) -> Option<()> {
        if self.repeat(id)?.is_paused() {
            return None;
        }
        std::mem::take(&mut self.repeating_wait(id)?.has_come).then_some(())
    }

    /// Tells of the signals that have come.
    #[inline]
    pub(crate) fn take_signals(&mut self) {
        for number in self.shared.signals.take() {
            self.signal_came(number);
        }
    }

    /// A signal has come, or is given back.
    pub(crate) fn signal_came(&mut self, number: i32) {
        let waits = self.signals.0.entry(number).or_default();
        let operations = std::mem::take(&mut waits.operations);
        waits.is_kept = operations.is_empty() && waits.repeating.is_empty();
        let mut repeating = Vec::with_capacity(waits.repeating.len());
        for other in &mut waits.repeating {
            other.has_come = true;
            repeating.push(other.id);
        }
        for id in repeating {
            self.serve_each_signal(id);
        }
        for id in operations {
            let kept = self.waits_for_signal(id) == Some(true);
            let kind = match kept {
                true => self.keep_claim(id).map(|(kind, _)| kind),
                false => self.remove(id).map(|pending| pending.kind),
            };
            if let Some(Kind::Signal(_, Taker::Once(slot))) = kind {
                self.tell_signal(kept.then_some(id), number, slot);
            }
        }
    }

    /// Whether an operation that waits for a signal wants a claim.
    fn waits_for_signal(&self, id: Id) -> Option<bool> {
        match &self.pending.get(id)?.kind {
            Kind::Signal(_, taker) => Some(taker.is_claim()),
            _ => None,
        }
    }

    /// Queues the success of a wait. Returns what it is cancelled by until its callback runs.
    fn tell_signal(&mut self, kept: Option<Id>, number: i32, slot: Slot<()>) -> Option<Id> {
        let (engine, is_claim) = (self.engine, slot.is_claim());
        let delivery = slot.deliver_from(Ok(()), || Origin::Signal { engine, number });
        let next = || Ok(Product::None);
        if !is_claim {
            self.tell(Id::NONE, next, delivery);
            return None;
        }
        let outcome = Outcome::Boxed(boxed_with::<(), ()>(delivery, ()));
        match kept {
            None => Some(self.tell_claim(Id::NONE, Id::NONE, next, outcome)),
            Some(_) => {
                self.tell_or_keep(kept, Id::NONE, next, outcome);
                kept
            }
        }
    }

    /// Ends a wait early.
    pub(crate) fn abort_signal(&mut self, id: Id, cause: Error) {
        // One that has come meanwhile is a success.
        self.take_signals();
        // One that repeats did not wait when its time was up: it has something to tell, or is paused.
        if matches!(cause, Error::TimedOut) && self.rests(id) {
            return;
        }
        let untold = self.repeating_wait(id).is_some_and(|waits| waits.has_come);
        if self.waits_for_signal(id).is_none() {
            return;
        }
        let Some(Pending { kind: Kind::Signal(number, taker), .. }) = self.remove(id) else {
            return;
        };
        if let Some(waits) = self.signals.0.get_mut(&number) {
            waits.operations.retain(|&other| other != id);
            waits.repeating.retain(|other| other.id != id);
        }
        match taker {
            Taker::Once(slot) => self.fail(Id::NONE, slot, cause),
            Taker::Each(repeat) => self.ready.push(repeat.end(Err(cause))),
        }
        if untold {
            self.signal_came(number);
        }
    }
}
