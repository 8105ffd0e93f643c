//! Driving an engine turn by turn, and the clock that such tests need. Nothing here sleeps: tests
//! wait for the event itself.

use std::{
    thread,
    time::{Duration, Instant},
};

use facade_engine::Engine;

/// Longer than anything in these tests takes on any machine, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// A deadline that a few turns with nothing to do come before, on any machine, and that is soon over.
/// Under Wine a turn takes its time.
pub const SOON: Duration = Duration::from_millis(if cfg!(windows) { 100 } else { 5 });

/// Runs this many turns that do not wait.
#[track_caller]
pub fn turns(engine: &Engine, count: usize) {
    for _ in 0..count {
        engine.run_once(Some(Duration::ZERO)).unwrap();
    }
}

/// Runs turns until `done`, which something under way makes true.
#[track_caller]
pub fn turn_until(engine: &Engine, mut done: impl FnMut() -> bool) {
    let hopeless = now() + PATIENCE;
    while !done() {
        assert!(now() < hopeless, "waited in vain");
        let turn = engine.run_once(Some(Duration::from_millis(50))).unwrap();
        if turn.pending == 0 {
            thread::yield_now();
        }
    }
}

/// Makes something for which a deadline of `time` must not be over meanwhile; once more if the
/// machine held that up for so long.
pub fn within<T>(time: Duration, mut make: impl FnMut() -> T) -> T {
    loop {
        let begun = now();
        let made = make();
        if now() - begun < time {
            return made;
        }
    }
}

/// The clock.
#[expect(clippy::disallowed_methods, reason = "the tests' one place that reads the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Lets the clock go on until this long from now has passed, for a deadline that is to be over.
pub fn pass(time: Duration) {
    let end = now() + time;
    while now() <= end {
        thread::yield_now();
    }
}
