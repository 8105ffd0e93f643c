//! [`check`]: one test, many seeds.

use std::{
    any::Any,
    env,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use crate::system::sim::Network;

/// How many of the last lines of what happened are printed.
const LINES_MAX: usize = 60;

/// Runs `test` on a network for each of `seeds`. If it panics, prints the seed, how to replay it
/// and what happened in the network last, and panics likewise.
///
/// The environment variable `FACADE_SEED` takes the place of `seeds`: with the seed that was
/// printed, everything happens again as it did. `FACADE_SEEDS`, a number, has so many tried, from 0
/// on.
///
/// ```
/// use facade_engine::{Callback, Engine, sim::{self, Link}};
///
/// sim::check(0..100, |network| {
///     network.set_links(Link::bad(&mut network.rng()));
///     let (here, there) = (network.host("here"), network.host("there"));
///     let server = there.listen(7).unwrap();
///     let engine = Engine::builder().simulated(&here).build().unwrap();
///     engine.connect(server.local_addr().unwrap(), Callback::from_fn(|_, outcome| drop(outcome)));
///     engine.run().unwrap();
/// });
/// ```
///
/// # Panics
///
/// If the test does; and if the same seed does not do the same again, because then something in the
/// test depends on more than the seed: a clock, a thread, the order of a hash map.
pub fn check(seeds: impl IntoIterator<Item = u64>, test: impl Fn(&Network)) {
    match (asked_for("FACADE_SEED"), asked_for("FACADE_SEEDS")) {
        (Some(seed), _) => check_one(seed, &test),
        (None, Some(count)) => (0..count).for_each(|seed| check_one(seed, &test)),
        (None, None) => seeds.into_iter().for_each(|seed| check_one(seed, &test)),
    }
}

/// A number that the environment asks for.
fn asked_for(name: &str) -> Option<u64> {
    let number = env::var(name).ok().filter(|number| !number.is_empty())?;
    Some(number.parse().unwrap_or_else(|_| panic!("{name}={number} is no number")))
}

fn check_one(seed: u64, test: &impl Fn(&Network)) {
    let Err((panic, fingerprint)) = attempt(&Network::new(seed), test) else { return };
    eprintln!("\nseed {seed} fails; FACADE_SEED={seed} replays it. Once more, in words:");
    let network = Network::new(seed);
    network.record();
    let again = attempt(&network, test);
    let lines = network.recorded();
    let skipped = lines.len().saturating_sub(LINES_MAX);
    if skipped > 0 {
        eprintln!("... {skipped} lines before these");
    }
    for line in &lines[skipped..] {
        eprintln!("{line}");
    }
    match again {
        Err((_, same)) if same == fingerprint => resume_unwind(panic),
        _ => panic!("seed {seed} did something else the second time: it is not the only input"),
    }
}

/// Runs the test. What it panicked with, and everything that had happened by then.
fn attempt(network: &Network, test: &impl Fn(&Network)) -> Result<(), (Box<dyn Any + Send>, u64)> {
    let result = catch_unwind(AssertUnwindSafe(|| test(network)));
    result.map_err(|panic| (panic, network.fingerprint()))
}
