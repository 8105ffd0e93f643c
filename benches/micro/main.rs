//! What small things cost: `cargo bench -p facade-benches`. One group a file; `cargo bench -p
//! facade-benches -- timers` runs one.

mod calls;
mod files;
mod futures;
mod matchers;
mod threads;
mod timers;

fn main() {
    divan::main();
}

/// How many operations one sample takes, so that a turn's own cost is a small part of it.
const BATCH: usize = 1000;

/// An engine with the driver of the environment.
fn engine() -> facade_engine::Engine {
    facade_engine::Engine::new().expect("an engine can be had")
}
