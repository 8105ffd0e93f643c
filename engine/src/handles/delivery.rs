//! [`Delivery`]: an outcome on its way to its callback, and how each kind of callback is run with
//! it.

use std::mem;

use bytes::Bytes;

use crate::{
    handles::{
        callback::{Claimant, HandlerRef, LocalKey, Slot},
        claim::{Claim, Origin},
        local::Local,
        queue::ready::{Ready, ReadyQueue, Success},
        small_fn::SmallFnOnce,
        stream::Stream,
    },
    pure::{
        error::{Error, Result},
        panics::Panics,
    },
};

/// An outcome on its way to its closure.
pub(crate) enum Delivery<T> {
    Plain(SmallFnOnce<Result<T>>, Result<T>),
    Claim(Claimant<T>, Result<Claim<T>>),
    Local(Box<LocalKey>, Result<T>),
    Ignore(Result<T>),
}

impl<T> Slot<T> {
    /// Whether the closure wants a claim, so that its origin has to be kept.
    pub(crate) const fn is_claim(&self) -> bool {
        matches!(self, Self::Claim(_))
    }

    /// Runs the closure with a success that consumed nothing: user code, so nothing may be
    /// borrowed.
    #[inline]
    pub(crate) fn succeed(self, local: &Local, value: T)
    where
        T: Send + 'static,
    {
        match self {
            Self::Plain(f) => f.call(local, Ok(value)),
            slot => slot.deliver(Ok(value)).run(local),
        }
    }

    /// Pairs the closure with an outcome that consumed nothing.
    pub(crate) fn deliver(self, outcome: Result<T>) -> Delivery<T> {
        self.deliver_from(outcome, || Origin::Nowhere)
    }

    /// Pairs the closure with an outcome; `origin` says where a claim on it would go back to.
    pub(crate) fn deliver_from(
        self,
        outcome: Result<T>,
        origin: impl FnOnce() -> Origin,
    ) -> Delivery<T> {
        match self {
            Self::Plain(f) => Delivery::Plain(f, outcome),
            Self::Claim(to) => {
                Delivery::Claim(to, outcome.map(|value| Claim::new(value, origin())))
            }
            Self::Local(key) => Delivery::Local(key, outcome),
            Self::Ignore => Delivery::Ignore(outcome),
        }
    }
}

impl<T: 'static> Claimant<T> {
    pub(crate) fn run(self, local: &Local, outcome: Result<Claim<T>>) {
        match self {
            Self::Closure(f) => f.call(local, outcome),
            Self::Handler(mut handler) => {
                if let Some(handler) = handler.0.take() {
                    handler.completed(local, outcome);
                }
            }
        }
    }
}

impl<T> Drop for HandlerRef<T> {
    fn drop(&mut self) {
        if let Some(handler) = self.0.take() {
            handler.refused();
        }
    }
}

impl<T: Send + 'static> Delivery<T> {
    /// Runs the closure: user code, so nothing may be borrowed.
    pub(crate) fn run(self, local: &Local) {
        match self {
            Self::Plain(f, outcome) => f.call(local, outcome),
            Self::Claim(to, outcome) => to.run(local, outcome),
            Self::Local(key, outcome) => key.run(local, outcome),
            Self::Ignore(outcome) => drop(outcome),
        }
    }

    /// Runs the closure, and drops what it needs no more: first, but the closure runs even if that
    /// panics.
    pub(crate) fn run_and_drop<K>(self, kept: K, local: &Local) {
        if !mem::needs_drop::<K>() {
            return self.run(local);
        }
        let mut panics = Panics::default();
        panics.contain(|| drop(kept));
        panics.contain(|| self.run(local));
        panics.resume();
    }

    /// Turns the success of a claim into a failure. Returns where what it consumed goes back to,
    /// and the value to be dropped.
    pub(crate) fn withdraw(&mut self, error: Error) -> (Origin, Option<T>) {
        let Self::Claim(_, outcome) = self else { return (Origin::Nowhere, None) };
        match mem::replace(outcome, Err(error)) {
            Ok(claim) => {
                let (value, origin) = claim.into_parts();
                (origin, Some(value))
            }
            Err(failure) => {
                *outcome = Err(failure);
                (Origin::Nowhere, None)
            }
        }
    }
}

/// A delivery of any type, and what is dropped when it runs.
pub(crate) trait Deliver {
    fn run(self: Box<Self>, local: &Local);
    /// As [`Delivery::withdraw`]; the value to be dropped comes as an entry of the ready queue.
    fn withdraw(&mut self, error: Error) -> (Origin, Ready);
}

/// The outcome of an operation that may give a claim, which can be withdrawn until its callback runs.
pub(crate) enum Outcome {
    Bytes(Delivery<Bytes>),
    Stream(Delivery<Stream>),
    Boxed(Box<dyn Deliver>),
}

/// In the queue itself it cannot be withdrawn any more.
impl Enqueue for Outcome {
    #[inline]
    fn enqueue(self, queue: &mut ReadyQueue) {
        match self {
            Self::Bytes(delivery) => delivery.enqueue(queue),
            Self::Stream(delivery) => delivery.enqueue(queue),
            Self::Boxed(delivery) => queue.push(Ready::Boxed(delivery)),
        }
    }
}

impl Outcome {
    /// Runs the closure: user code, so nothing may be borrowed.
    pub(crate) fn run(self, local: &Local) {
        match self {
            Self::Bytes(delivery) => delivery.run(local),
            Self::Stream(delivery) => delivery.run(local),
            Self::Boxed(delivery) => delivery.run(local),
        }
    }

    /// Turns the success of a claim into a failure. Returns where what it consumed goes back to,
    /// and what is to be dropped when nothing is borrowed.
    pub(crate) fn withdraw(&mut self, error: Error) -> (Origin, Option<Ready>) {
        match self {
            Self::Bytes(delivery) => (delivery.withdraw(error).0, None),
            Self::Stream(delivery) => {
                let (origin, value) = delivery.withdraw(error);
                (origin, Some(Ready::Run(Box::new(move |_| drop(value)))))
            }
            Self::Boxed(delivery) => {
                let (origin, value) = delivery.withdraw(error);
                (origin, Some(value))
            }
        }
    }
}

struct Held<T, K> {
    delivery: Delivery<T>,
    kept: K,
}

impl<T: Send + 'static, K> Deliver for Held<T, K> {
    fn run(self: Box<Self>, local: &Local) {
        let Self { delivery, kept } = *self;
        delivery.run_and_drop(kept, local);
    }

    fn withdraw(&mut self, error: Error) -> (Origin, Ready) {
        let (origin, value) = self.delivery.withdraw(error);
        (origin, Ready::Run(Box::new(move |_| drop(value))))
    }
}

/// What stands in the ready queue until it is run.
pub(crate) trait Enqueue {
    fn enqueue(self, queue: &mut ReadyQueue);
}

impl Enqueue for Ready {
    #[inline]
    fn enqueue(self, queue: &mut ReadyQueue) {
        queue.push(self);
    }
}

/// Values that operations succeed with, and how a success waits in the ready queue: without a box.
pub(crate) trait Value: Send + Sized + 'static {
    fn enqueue(slot: Slot<Self>, value: Self, queue: &mut ReadyQueue);
}

impl Value for Bytes {
    #[inline]
    fn enqueue(mut slot: Slot<Self>, value: Self, queue: &mut ReadyQueue) {
        queue.push_bytes(&mut slot, value);
    }
}

impl Value for usize {
    #[inline]
    fn enqueue(mut slot: Slot<Self>, value: Self, queue: &mut ReadyQueue) {
        queue.push_count(&mut slot, value);
    }
}

impl Value for () {
    #[inline]
    fn enqueue(slot: Slot<Self>, (): Self, queue: &mut ReadyQueue) {
        queue.push(Ready::Unit(slot));
    }
}

impl Value for Stream {
    #[inline]
    fn enqueue(slot: Slot<Self>, value: Self, queue: &mut ReadyQueue) {
        queue.push(Ready::Stream(Success { slot, value }));
    }
}

impl<T: Value> Enqueue for Success<T> {
    #[inline]
    fn enqueue(self, queue: &mut ReadyQueue) {
        T::enqueue(self.slot, self.value, queue);
    }
}

impl<T: Value> Enqueue for Delivery<T> {
    #[inline]
    fn enqueue(self, queue: &mut ReadyQueue) {
        match self {
            Self::Plain(f, Ok(value)) => T::enqueue(Slot::Plain(f), value, queue),
            rare => queue.push(boxed(rare)),
        }
    }
}

/// A delivery of any type, boxed, as an entry of the ready queue.
pub(crate) fn boxed<T: Send + 'static>(delivery: Delivery<T>) -> Ready {
    Ready::Boxed(boxed_with(delivery, ()))
}

/// A delivery of any type, boxed together with something of the user's that is dropped when it
/// runs, and so when nothing is borrowed.
pub(crate) fn boxed_with<T: Send + 'static, K: 'static>(
    delivery: Delivery<T>,
    kept: K,
) -> Box<dyn Deliver> {
    Box::new(Held { delivery, kept })
}
