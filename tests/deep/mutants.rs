//! A test of the tests: each mutant of the engine is found, and soon.

use std::{
    cell::Cell,
    io::{Write, stderr},
    panic,
};

use facade_engine::{
    mutants::{Mutant, activate},
    sim::Network,
};

use crate::{differential, model, seeds};

thread_local! {
    /// What fails on this thread is meant to, and says nothing.
    static MEANT: Cell<bool> = const { Cell::new(false) };
}

/// By then each must have been found.
const SEEDS_MAX: u64 = 2000;

#[test]
fn every_mutant_is_found() {
    let say = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !MEANT.get() {
            say(info);
        }
    }));
    let found = Mutant::ALL.map(|mutant| {
        let test = |network: &Network| {
            MEANT.set(true);
            activate(Some(mutant));
            model::run(network)
        };
        let found = seeds::search(SEEDS_MAX, |at| at, &test);
        activate(None);
        (mutant, found.map(|(seed, panic)| (seed, words(&*panic))))
    });
    let mut missed = Vec::new();
    for (mutant, found) in found {
        let name = format!("{mutant:?}");
        let line = match found {
            Some((seed, words)) => format!("{name:24} seed {seed:4}  {words}"),
            None => {
                missed.push(mutant);
                format!("{name:24} missed")
            }
        };
        // Not by a macro, whose output the harness keeps to itself.
        writeln!(stderr(), "{line}").unwrap();
    }
    assert!(missed.is_empty(), "{missed:?} were not found within {SEEDS_MAX} seeds");
}

#[test]
fn a_driver_with_a_bug_of_its_own_differs_from_another() {
    for mutant in [Mutant::ClaimToTheEnd, Mutant::EndBeforeBytes, Mutant::TimerBeforeCompletion] {
        let found = (0..SEEDS_MAX).find(|&seed| {
            let differs = differential::differs(seed, || activate(Some(mutant)));
            activate(None);
            differs
        });
        writeln!(stderr(), "{:24} script {found:?}", format!("{mutant:?}")).unwrap();
        assert!(found.is_some(), "{mutant:?} was not found");
    }
}

/// What a panic said, in short.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
    text.lines().collect::<Vec<_>>().join(" ").chars().take(100).collect()
}
