//! Promise 19: the same script has the same outcomes on all drivers.
//!
//! The second one is the completion driver, where the system has one.
//!
//! What depends on real time is left out: after each step the engine has turns enough to see what
//! it made ready, and timeouts are zero or for ever.
#![allow(clippy::duplicate_mod, reason = "one player, compiled once per driver")]

mod script;

#[path = "."]
mod mio {
    use facade_tests::drivers::mio as driver;
    #[path = "play.rs"]
    pub(super) mod play;
}

#[path = "."]
mod completion {
    #[cfg(target_os = "linux")]
    use facade_tests::drivers::io_uring as driver;
    #[cfg(windows)]
    use facade_tests::drivers::iocp as driver;
    #[cfg(not(any(target_os = "linux", windows)))]
    use facade_tests::drivers::mio as driver;
    #[path = "play.rs"]
    pub(super) mod play;
}

#[path = "."]
mod sim {
    use facade_tests::drivers::sim as driver;
    #[path = "play.rs"]
    pub(super) mod play;
}

use std::env;

use self::script::Step;
use crate::seeds;

/// How the drivers differ over a script, if they do.
fn difference(script: &[Step]) -> Option<String> {
    let traces = [mio::play::play(script), completion::play::play(script), sim::play::play(script)];
    let [mio, completion, sim] = &traces;
    if mio == completion && mio == sim {
        return None;
    }
    let mut words = String::new();
    for at in 0..mio.len().max(completion.len()).max(sim.len()) {
        let lines = traces.each_ref().map(|trace| trace.get(at));
        if lines[0] != lines[1] || lines[0] != lines[2] {
            words += &format!("\n  mio        {:?}\n  completion {:?}", lines[0], lines[1]);
            words += &format!("\n  sim        {:?}", lines[2]);
        }
    }
    Some(words)
}

/// Leaves steps out as long as the drivers still differ.
fn shrink(mut script: Vec<Step>) -> Vec<Step> {
    let mut at = 0;
    while at < script.len() {
        let mut shorter = script.clone();
        shorter.remove(at);
        match difference(&shorter) {
            Some(_) => script = shorter,
            None => at += 1,
        }
    }
    script
}

#[test]
fn promise_19_a_script_has_the_same_outcomes_on_all_drivers() {
    let one = env::var("FACADE_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None => seeds::first()..seeds::first() + seeds::count(300).min(1000),
    };
    for seed in seeds {
        let script = script::draw(seed);
        if difference(&script).is_some() {
            let script = shrink(script);
            let words = difference(&script).unwrap_or_else(|| "not always".to_owned());
            panic!("FACADE_SEED={seed} replays it. The drivers differ over {script:#?}: {words}");
        }
    }
}

/// Whether mio and the simulated driver differ over the script of a seed, if the engine changes
/// before the latter plays it.
#[cfg(facade_mutants)]
pub(crate) fn differs(seed: u64, change: impl Fn()) -> bool {
    let script = script::draw(seed);
    let right = mio::play::play(&script);
    change();
    right != sim::play::play(&script)
}
