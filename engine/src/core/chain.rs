//! Chains: operations in sequence, of which the next begins when the last has succeeded.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use crate::{
    core::{Core, Kind, Pending},
    handles::{callback::Callback, delivery::boxed_with, queue::ready::Ready, stream::Stream},
    pure::{
        error::{Error, Result},
        mutants::{self, Mutant},
        panics::Contained,
        table::Id,
    },
};

/// A chain without an outcome.
pub(crate) struct Chain {
    stages: VecDeque<Box<dyn Stage>>,
    /// The operation of the stage under way.
    pub(crate) current: Id,
    /// Which stage is under way, from 1.
    number: usize,
    /// What the stages so far have made. The chain owns the stream.
    stream: Option<Stream>,
    addresses: Vec<SocketAddr>,
    /// The chain was cancelled, or its time is up. If the stage under way succeeds nevertheless,
    /// the next one fails with this; but if time is up, that still makes one attempt.
    aborted: Option<Error>,
}

/// What a stage hands to the next.
pub(crate) enum Product {
    None,
    Stream(Stream),
    Addresses(Vec<SocketAddr>),
}

/// What a stage begins with.
pub(crate) struct Input<'a> {
    pub(crate) chain: Id,
    pub(crate) stream: Option<&'a Stream>,
    pub(crate) addresses: Vec<SocketAddr>,
}

/// One operation of a chain and its callback.
pub(crate) trait Stage: Send {
    fn begin(self: Box<Self>, core: &mut Core, input: Input<'_>) -> Option<Id>;
    fn fail(self: Box<Self>, core: &mut Core, error: Error);
}

/// A stage made of a closure that submits its operation.
pub(crate) struct StageOf<T, F> {
    pub(crate) callback: Callback<T>,
    /// With what the user gave for it.
    pub(crate) begin: Contained<F>,
}

impl<T, F> Stage for StageOf<T, F>
where
    T: Send + 'static,
    F: FnOnce(&mut Core, Input<'_>, Callback<T>) -> Option<Id> + Send + 'static,
{
    fn begin(self: Box<Self>, core: &mut Core, input: Input<'_>) -> Option<Id> {
        self.begin.into_inner()(core, input, self.callback)
    }

    fn fail(self: Box<Self>, core: &mut Core, error: Error) {
        let delivery = self.callback.slot.deliver(Err(error));
        core.ready.push(Ready::Boxed(boxed_with(delivery, self.begin)));
    }
}

impl Core {
    /// Submits a chain.
    pub(crate) fn begin_chain(
        &mut self,
        stages: VecDeque<Box<dyn Stage>>,
        stream: Option<Stream>,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        let chain = Chain {
            stages,
            current: Id::NONE,
            number: 0,
            stream,
            addresses: Vec::new(),
            aborted: None,
        };
        let kind = Kind::Chain(Box::new(chain));
        let id = self.insert(Pending::new(kind, Id::NONE, Id::NONE), timeout);
        self.advance(id, Ok(Product::None));
        self.pending.get(id).map(|_| id)
    }

    fn chain(&mut self, id: Id) -> Option<&mut Chain> {
        match self.pending.get_mut(id) {
            Some(Pending { kind: Kind::Chain(chain), .. }) => Some(chain),
            _ => None,
        }
    }

    /// A stage has ended: begins the next, or fails all later ones.
    pub(crate) fn advance(&mut self, id: Id, outcome: Result<Product>) {
        let Some(chain) = self.chain(id) else {
            return self.way_was_ended(id, outcome.map(drop));
        };
        chain.current = Id::NONE;
        match outcome {
            Ok(Product::None) => {}
            Ok(Product::Stream(stream)) => chain.stream = Some(stream),
            Ok(Product::Addresses(addresses)) => chain.addresses = addresses,
            Err(error) => return self.break_chain(id, error),
        }
        let Some(stage) = chain.stages.pop_front() else { return self.end_chain(id) };
        chain.number += 1;
        let is_overdue = matches!(chain.aborted, Some(Error::TimedOut));
        if !is_overdue && let Some(error) = chain.aborted.take() {
            stage.fail(self, error.clone());
            return self.break_chain(id, error);
        }
        let stream = chain.stream.clone();
        let addresses = std::mem::take(&mut chain.addresses);
        let input = Input { chain: id, stream: stream.as_ref(), addresses };
        let current = stage.begin(self, input);
        self.deferred_drops.streams.extend(stream);
        if let (Some(chain), Some(current)) = (self.chain(id), current) {
            chain.current = current;
        }
        if is_overdue && self.pending.get(id).is_some_and(|pending| pending.timer == 0) {
            self.arm(id, Duration::ZERO);
        }
    }

    /// The stage under way has failed; every later one fails with `Error::Stage`.
    fn break_chain(&mut self, id: Id, error: Error) {
        let Some(chain) = self.chain(id) else { return };
        let mut stages = std::mem::take(&mut chain.stages);
        if mutants::is_active(Mutant::StageUnheard) {
            drop(stages.pop_back());
        }
        let error = Error::Stage { stage: chain.number, cause: Box::new(error) };
        for stage in stages {
            stage.fail(self, error.clone());
        }
        self.end_chain(id);
    }

    fn end_chain(&mut self, id: Id) {
        if let Some(Pending { kind: Kind::Chain(chain), .. }) = self.remove(id) {
            self.deferred_drops.streams.extend(chain.stream);
        }
    }

    /// Ends the stage under way early; between two stages, the next one.
    pub(crate) fn abort_chain(&mut self, id: Id, cause: Error) {
        let Some(chain) = self.chain(id) else { return };
        let current = chain.current;
        let is_last = chain.stages.is_empty();
        if chain.aborted.is_none() || !matches!(cause, Error::TimedOut) {
            chain.aborted = Some(cause.clone());
        }
        let is_claim =
            matches!(self.pending.get(current), Some(Pending { kind: Kind::Claimed(_), .. }));
        // The success of a claim has begun the next stage already.
        if !is_claim || is_last {
            self.abort_operation(current, cause);
        }
    }
}
