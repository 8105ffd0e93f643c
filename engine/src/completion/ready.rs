//! [`Ready`]: what the next round of a turn runs.

use bytes::Bytes;

use crate::{
    callback::Deliver, closure::Once, error::Result, handle::Local, resource::chain::Product,
    stream::Stream, table::Id,
};

/// One thing to run with nothing borrowed. Small, because each is moved several times: frequent
/// successes are here with their value, everything else is behind a box.
pub(crate) enum Ready {
    Bytes(Once<Result<Bytes>>, Bytes),
    Count(Once<Result<usize>>, usize),
    Unit(Once<Result<()>>),
    Stream(Once<Result<Stream>>, Stream),
    Boxed(Box<dyn Deliver>),
    /// The outcome of a claim, which stays with its operation until the callback runs, so that it
    /// can be withdrawn.
    Claimed(Id),
    /// The read that is parked at this stream under this number has matched, and is told.
    Parked(Id, u32),
    /// The reads of this stream are to be served.
    Serve(Id),
    Run(Box<dyn FnOnce(&Local)>),
    Post(Once<()>),
    /// A user's matcher at the head of this stream's reads wants to look at the unread bytes.
    Scan(Id),
    /// A stage of this chain has ended; the next one begins, or all later ones hear of the failure.
    Advance(Box<(Id, Result<Product>)>),
    /// The future that drives the run was woken.
    Root,
}
