//! [`Ready`]: what the next round of a turn runs.

use bytes::Bytes;

use crate::{
    callback::Delivery, error::Result, handle::Local, resource::chain::Product, stream::Stream,
    table::Id,
};

/// One thing to run with nothing borrowed.
pub(crate) enum Ready {
    Bytes(Delivery<Bytes>),
    Count(Delivery<usize>),
    Unit(Delivery<()>),
    Stream(Delivery<Stream>),
    Boxed(Box<dyn FnOnce(&Local)>),
    Post(Box<dyn FnOnce(&Local) + Send>),
    /// A user's matcher at the head of this stream's reads wants to look at the unread bytes.
    Scan(Id),
    /// A stage of this chain has ended; the next one begins, or all later ones hear of the failure.
    Advance(Id, Result<Product>),
    /// The future that drives the run was woken.
    Root,
}
