//! What happens while an operation is pending: pure state, without I/O, clock, threads or unsafe.

pub(crate) mod outgoing;
pub(crate) mod pieces;
pub(crate) mod unread;
