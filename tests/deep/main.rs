//! The deep tests: long random programs against a reference model, every step of every scenario
//! interrupted in every way, the same script on all drivers.

mod differential;
mod model;
#[cfg(facade_mutants)]
mod mutants;
mod seeds;
mod sweep;
