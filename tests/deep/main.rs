//! The deep tests: long random programs against a reference model, and every step of every scenario
//! interrupted in every way.

mod model;
#[cfg(feature = "planted")]
mod planted;
mod seeds;
mod sweep;
