//! The deep tests: long random programs against a reference model.

mod model;
#[cfg(feature = "planted")]
mod planted;
mod seeds;
