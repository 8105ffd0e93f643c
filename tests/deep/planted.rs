//! A test of the tests: each bug that is planted in the engine is found, and soon.

use std::{
    io::{Write, stderr},
    panic,
};

use facade_engine::{
    planted::{Bug, plant},
    sim::Network,
};

use crate::{model, seeds};

/// By then each must have been found.
const SEEDS_MAX: u64 = 2000;

#[test]
fn every_planted_bug_is_found() {
    // What fails here is meant to.
    panic::set_hook(Box::new(|_| ()));
    let found = Bug::ALL.map(|bug| {
        let test = |network: &Network| {
            plant(Some(bug));
            model::run(network)
        };
        let found = seeds::search(SEEDS_MAX, |at| at, &test);
        plant(None);
        (bug, found.map(|(seed, panic)| (seed, words(&*panic))))
    });
    drop(panic::take_hook());
    let mut missed = Vec::new();
    for (bug, found) in found {
        let name = format!("{bug:?}");
        let line = match found {
            Some((seed, words)) => format!("{name:24} seed {seed:4}  {words}"),
            None => {
                missed.push(bug);
                format!("{name:24} missed")
            }
        };
        // Not by a macro, whose output the harness keeps to itself.
        writeln!(stderr(), "{line}").unwrap();
    }
    assert!(missed.is_empty(), "{missed:?} were not found within {SEEDS_MAX} seeds");
}

/// What a panic said, in short.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
    text.lines().collect::<Vec<_>>().join(" ").chars().take(100).collect()
}
