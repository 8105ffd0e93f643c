//! Runs one test over many seeds, on all processors, and says how to replay the one that fails.
//!
//! `FACADE_SEEDS` says how many seeds, `FACADE_FIRST_SEED` where they begin, `FACADE_SEED` that it
//! is this one alone, with every step and what happened in the network in words.
//! `FACADE_KEEP_GOING` lists all seeds that fail.

use std::{
    any::Any,
    env,
    ops::Range,
    panic::{self, AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
};

use facade_engine::sim::{self, Network};

/// One of so many seeds is run twice, and must do the same again.
const TWICE: u64 = 64;

/// How many seeds a test runs if nobody says otherwise.
pub(crate) fn count(default: u64) -> u64 {
    number("FACADE_SEEDS").unwrap_or(default)
}

/// The first of them.
pub(crate) fn first() -> u64 {
    number("FACADE_FIRST_SEED").unwrap_or(0)
}

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

/// Runs `test` for every seed of `corpus` and for so many others. It returns a number that stands
/// for all that it saw.
pub(crate) fn check(corpus: &[u64], default: u64, test: impl Fn(&Network) -> u64 + Sync) {
    if env::var_os("FACADE_SEED").is_some() {
        return sim::check([], |network| _ = test(network));
    }
    let (first, count) = (first(), count(default));
    if env::var_os("FACADE_KEEP_GOING").is_some() {
        return survey(first..first + count, &test);
    }
    let seeds = |at: u64| match usize::try_from(at).ok().and_then(|at| corpus.get(at)) {
        Some(&seed) => seed,
        None => first + (at - corpus.len() as u64),
    };
    if let Some((seed, panic)) = search(corpus.len() as u64 + count, seeds, &test) {
        say(seed, &test);
        resume_unwind(panic);
    }
}

/// Says how to replay a seed that fails, and what happens with it, in words. (`sim::check` would run
/// as many seeds as the environment says.)
fn say(seed: u64, test: &impl Fn(&Network) -> u64) {
    eprintln!("\nseed {seed} fails; FACADE_SEED={seed} replays it. Once more, in words:");
    let network = Network::new(seed);
    network.record();
    let again = catch_unwind(AssertUnwindSafe(|| test(&network)));
    network.recorded().iter().for_each(|line| eprintln!("{line}"));
    if again.is_ok() {
        eprintln!("this time it has not failed: it is not the only input");
    }
}

/// Runs all seeds, whatever fails, and says in a line each which those are.
fn survey(seeds: Range<u64>, test: &impl Fn(&Network) -> u64) {
    panic::set_hook(Box::new(|info| {
        eprintln!("SURVEY {}", info.to_string().replace('\n', " "));
    }));
    let mut failures = 0;
    for seed in seeds {
        if catch_unwind(AssertUnwindSafe(|| run_one(seed, test))).is_err() {
            failures += 1;
            eprintln!("SEED {seed}");
        }
    }
    drop(panic::take_hook());
    assert_eq!(failures, 0, "so many seeds fail");
}

/// Runs seeds until one fails. Returns it and what it panicked with: the first, if several fail.
pub(crate) fn search(
    count: u64,
    seed_at: impl Fn(u64) -> u64 + Sync,
    test: &(impl Fn(&Network) -> u64 + Sync),
) -> Option<(u64, Box<dyn Any + Send>)> {
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        loop {
            let at = next.fetch_add(1, Relaxed);
            if at >= count || failed.load(Relaxed) {
                return None;
            }
            let seed = seed_at(at);
            let run = || {
                let saw = run_one(seed, test);
                if at.is_multiple_of(TWICE) {
                    assert_eq!(saw, run_one(seed, test), "seed {seed} did something else again");
                }
            };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
                failed.store(true, Relaxed);
                return Some((at, seed, panic));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let found = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).min_by_key(|found| found.0)
    });
    found.map(|(_, seed, panic)| (seed, panic))
}

fn run_one(seed: u64, test: &impl Fn(&Network) -> u64) -> (u64, u64) {
    let network = Network::new(seed);
    (test(&network), network.fingerprint())
}
