//! Layer 5: what is called. The engine and its loop, how it is built, and the operations.

pub(crate) mod builder;
pub(crate) mod engine;
pub(crate) mod engines;
pub(crate) mod ops;
#[cfg(feature = "sim")]
mod simulated;
