//! The deep tests: long random programs against a reference model.

mod model;
mod seeds;
