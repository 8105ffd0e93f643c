//! [`Ready`]: what the next round of a turn runs.

use bytes::Bytes;

use crate::{
    callback::{Deliver, Delivery, Origin}, error::{Error, Result}, handle::Local, resource::chain::Product, stream::Stream,
    table::Id,
};

/// One thing to run with nothing borrowed.
pub(crate) enum Ready {
    Bytes(Delivery<Bytes>),
    Count(Delivery<usize>),
    Unit(Delivery<()>),
    Stream(Delivery<Stream>),
    Boxed(Box<dyn Deliver>),
    /// The outcome of a claim, which stays with its operation until the callback runs, so that it
    /// can be withdrawn.
    Claimed(Id),
    Run(Box<dyn FnOnce(&Local)>),
    Post(Box<dyn FnOnce(&Local) + Send>),
    /// A user's matcher at the head of this stream's reads wants to look at the unread bytes.
    Scan(Id),
    /// A stage of this chain has ended; the next one begins, or all later ones hear of the failure.
    Advance(Id, Result<Product>),
    /// The future that drives the run was woken.
    Root,
}

impl Ready {
    /// Turns the success of a claim into a failure. Returns where what it consumed goes back to,
    /// and what is to be dropped when nothing is borrowed.
    pub(crate) fn withdraw(&mut self, error: Error) -> (Origin, Option<Self>) {
        match self {
            Self::Bytes(delivery) => (delivery.withdraw(error).0, None),
            Self::Stream(delivery) => {
                let (origin, value) = delivery.withdraw(error);
                (origin, Some(Self::Run(Box::new(move |_| drop(value)))))
            }
            Self::Boxed(delivery) => {
                let (origin, value) = delivery.withdraw(error);
                (origin, Some(value))
            }
            _ => (Origin::Nowhere, None),
        }
    }
}
