//! Delivery: how an outcome gets into the ready queue, with a chain that goes on before the
//! callback runs, and with a claim that can be withdrawn until then.

use crate::{
    core::{Core, Kind, Pending, chain::Product},
    handles::{
        callback::Slot,
        claim::Origin,
        delivery::{Enqueue, Outcome, Value, boxed},
        queue::ready::{Ready, Success},
        small_fn::SmallFnOnce,
    },
    pure::{
        error::{Error, Result},
        table::Id,
    },
};

impl Core {
    #[inline(always)]
    pub(crate) fn post(&mut self, f: SmallFnOnce<()>) {
        self.ready.push_post(f);
    }

    /// Queues an outcome; the chain it is a stage of goes on before the callback runs.
    #[inline]
    pub(crate) fn tell(
        &mut self,
        chain: Id,
        next: impl FnOnce() -> Result<Product>,
        outcome: impl Enqueue,
    ) {
        if chain != Id::NONE {
            self.ready.push(Ready::Advance(Box::new((chain, next()))));
        }
        outcome.enqueue(&mut self.ready);
    }

    /// Queues a success with a claim, of an operation that is not in the table: it is entered
    /// there, so that it can be withdrawn until its callback runs. Returns its id.
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

    /// Queues an outcome. If its operation was kept in the table for a claim, the outcome stays
    /// there until the callback runs.
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
            None => self.tell(chain, next, outcome),
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

    /// Turns a success with a claim into a failure, as its callback has not run; what it consumed
    /// goes back at once.
    pub(super) fn withdraw(&mut self, id: Id, cause: Error) {
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
            Origin::Signal { number, .. } => self.signal_came(number),
            Origin::Started(process) => drop(process.kill()),
            Origin::Unread(unread) => {
                // It is decided now which bytes are left to the other reads, so they do not wait
                // for the callback.
                self.end_claim(id);
                self.give_back(unread.0, unread.1);
            }
            Origin::Untaken { listener, connection } => {
                self.give_back_connection(&listener, connection);
            }
            Origin::Unsent(unsent) => self.give_back_unsent(&unsent.0, unsent.1),
            Origin::Datagram(origin) => self.give_back_datagram(*origin),
        }
    }

    /// An operation stops counting as a claim on its stream, before its callback has run.
    pub(super) fn end_claim(&mut self, id: Id) {
        let Some(pending) = self.pending.get_mut(id) else { return };
        let resource = std::mem::replace(&mut pending.resource, Id::NONE);
        if let Some(state) = self.stream(resource) {
            state.claims -= 1;
        }
    }

    /// Queues the success of an operation that consumed nothing.
    #[inline]
    pub(crate) fn succeed<T: Value>(&mut self, chain: Id, slot: Slot<T>, value: T) {
        self.tell(chain, || Ok(Product::None), Success { slot, value });
    }

    /// Queues a failure.
    pub(crate) fn fail<T: Value>(&mut self, chain: Id, slot: Slot<T>, error: Error) {
        self.fail_boxed(chain, slot, error);
    }

    /// Queues a failure of an operation with an unusual value.
    pub(crate) fn fail_boxed<T: Send + 'static>(&mut self, chain: Id, slot: Slot<T>, error: Error) {
        self.tell(chain, || Err(error.clone()), boxed(slot.deliver(Err(error.clone()))));
    }
}

/// Whether a callback that was queued in the round `queued` may still have to run in the round
/// `round`: it runs in the one after. The count wraps around after four thousand million rounds,
/// and may say so once more then, which does no harm.
#[inline]
pub(crate) const fn may_be_unheard(queued: u32, round: u32) -> bool {
    round.wrapping_sub(queued) <= 1
}
