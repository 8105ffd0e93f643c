//! Layer 1: plain values and state machines. No I/O, no clock but `clock`, no threads, nothing of
//! an engine: each can be tested by a script.

pub(crate) mod address;
pub(crate) mod buffer;
pub(crate) mod clock;
pub(crate) mod datagram;
pub(crate) mod error;
pub(crate) mod limits;
pub(crate) mod list;
pub mod matcher;
pub(crate) mod metrics;
#[cfg(not(facade_mutants))]
pub(crate) mod mutants;
#[cfg(facade_mutants)]
pub mod mutants;
pub(crate) mod options;
pub(crate) mod panics;
pub(crate) mod pattern;
pub(crate) mod race;
pub(crate) mod sync;
pub(crate) mod table;
pub(crate) mod timer;
