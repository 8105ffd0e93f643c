//! What came back, and on its way to whom: the inbox for other threads' requests and the queue of
//! callbacks that are ready to run.

pub(crate) mod inbox;
pub(crate) mod message;
pub(crate) mod ready;
