//! What may be asked for: the operations, a file for each kind, as methods of
//! [`Handle`](crate::Handle).
//!
//! Each method makes plain data of its arguments, hands them to the engine and returns the
//! [`Cancel`](crate::Cancel). Nothing waits here, and nothing fails here: what is wrong with an
//! argument is reported to the callback.

pub(crate) mod attach;
pub(crate) mod chain;
pub(crate) mod close;
mod connect;
mod copy;
mod datagrams;
mod each;
mod file;
pub(crate) mod now;
mod process;
pub(crate) mod read;
mod signal;
mod watch;
mod work;
mod write;
