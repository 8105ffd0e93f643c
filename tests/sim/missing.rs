//! What a simulated network has not: it says so, and never does it to the real machine.

use std::process::Command;

use facade_engine::{Child, PtySize, Stream, sim::Network};
use facade_tests::told::Told;

use super::builder;

#[test]
fn processes_are_unsupported() {
    let engine = builder(&Network::new(1).host("here")).build().unwrap();
    let told = Told::new();
    let program = || Command::new("facade-no-such-program");
    engine.spawn(program(), told.callback::<Child>("spawn"));
    engine.spawn_pty(program(), PtySize::default(), told.callback::<(Child, Stream)>("pty"));
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["pty Unsupported", "spawn Unsupported"]);
}
