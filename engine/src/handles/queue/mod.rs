//! The two queues of an engine: the inbox for requests of other threads, and the queue of callbacks
//! that are ready to run.

pub(crate) mod inbox;
pub(crate) mod message;
pub(crate) mod ready;
