//! Turns: as many operations are pending as are listed, and matchers come to an end (promise 18).

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use facade_engine::Engine;

use super::{
    outcomes::{Planned, resume_failure},
    world::{CONNECTION, with},
};

/// One turn, and what must hold after it. Returns how much is pending.
pub(crate) fn turn(engine: &Engine, wait: Duration) -> usize {
    with(|world| world.say(|| format!("turn, {wait:?}")));
    with(|world| {
        world.poll_futures();
        world.in_turn = true;
        world.looked_at = None;
        world.turns += 1;
        world.turn_began = world.now();
    });
    let mut pending = turn_of_engine(engine, wait);
    // Where matchers have few steps for a turn, all turns that they take are one in this model.
    for turns in 0.. {
        if !is_scanning(engine) {
            break;
        }
        assert!(turns < 100_000, "matchers look for ever");
        with(|world| world.goes_on = true);
        pending = turn_of_engine(engine, Duration::ZERO);
    }
    resume_failure();
    with(|world| {
        (world.in_turn, world.goes_on) = (false, false);
        world.poll_futures();
        world.after_turn();
        if world.futures.is_empty() {
            // Of one that was dropped before it could yield it.
            CONNECTION.take();
        }
    });
    pending
}

fn turn_of_engine(engine: &Engine, wait: Duration) -> usize {
    let run = || engine.run_once(Some(wait)).map(|turn| turn.pending);
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(counted) => {
            let (counted, listed) = (counted.unwrap(), engine.pending());
            let sum: usize = listed.iter().map(|pending| pending.count).sum();
            assert_eq!(sum, counted, "{listed:?}");
            counted
        }
        // The turn is over, and the engine goes on.
        Err(panic) if panic.is::<Planned>() => 1,
        Err(panic) => resume_unwind(panic),
    }
}

#[cfg(facade_mutants)]
fn is_scanning(engine: &Engine) -> bool {
    engine.is_scanning()
}

#[cfg(not(facade_mutants))]
fn is_scanning(_: &Engine) -> bool {
    false
}

/// In half of all programs matchers have so few steps for a turn that most have to go on in others.
#[cfg(facade_mutants)]
pub(super) fn draw_steps(seed: u64) -> bool {
    const STEPS: [usize; 3] = [1, 8, 60];
    let steps = STEPS.get((seed % 6) as usize).copied();
    facade_engine::mutants::limit_steps(steps);
    steps.is_some()
}

#[cfg(not(facade_mutants))]
pub(super) fn draw_steps(_: u64) -> bool {
    false
}
