//! Signals: who waits for which, and one that came while nobody did.
//!
//! A signal that has come is told to everybody who waits for it. If nobody does it is kept for
//! whoever asks next, once, as the system keeps one that is blocked, signal(7): so nothing is lost
//! between an operation and the one that follows it. The same becomes of one that was claimed and
//! not taken.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    core::{Core, Kind, Pending, chain::Product},
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
    /// It has come while there were none.
    is_kept: bool,
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
        let id = self.insert(Pending::new(Kind::Signal(number, slot), Id::NONE, Id::NONE), timeout);
        self.signals.0.entry(number).or_default().operations.push(id);
        Some(id)
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
        waits.is_kept = operations.is_empty();
        for id in operations {
            let kept = self.waits_for_signal(id) == Some(true);
            let kind = match kept {
                true => self.keep_claim(id).map(|(kind, _)| kind),
                false => self.remove(id).map(|pending| pending.kind),
            };
            if let Some(Kind::Signal(_, slot)) = kind {
                self.tell_signal(kept.then_some(id), number, slot);
            }
        }
    }

    /// Whether an operation that waits for a signal wants a claim.
    fn waits_for_signal(&self, id: Id) -> Option<bool> {
        match &self.pending.get(id)?.kind {
            Kind::Signal(_, slot) => Some(slot.is_claim()),
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
        if self.waits_for_signal(id).is_none() {
            return;
        }
        if let Some(Pending { kind: Kind::Signal(number, slot), .. }) = self.remove(id) {
            if let Some(waits) = self.signals.0.get_mut(&number) {
                waits.operations.retain(|&other| other != id);
            }
            self.fail(Id::NONE, slot, cause);
        }
    }
}
