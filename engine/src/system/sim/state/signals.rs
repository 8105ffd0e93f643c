//! Signals of simulated hosts: who is told when one is raised.

use std::{
    fmt,
    sync::{Arc, Weak},
};

/// Called when a signal is raised, as a signal handler calls.
pub(crate) type Tell = Arc<dyn Fn() + Send + Sync>;

/// Told of a signal as long as this lives.
pub(crate) struct Registration {
    _tell: Tell,
}

/// Those who are told of the signals of one host, in the order in which they asked.
#[derive(Default)]
pub(crate) struct Watchers(Vec<(i32, Weak<dyn Fn() + Send + Sync>)>);

impl Watchers {
    pub(crate) fn watch(&mut self, number: i32, tell: Tell) -> Registration {
        self.0.retain(|(_, tell)| tell.strong_count() > 0);
        self.0.push((number, Arc::downgrade(&tell)));
        Registration { _tell: tell }
    }

    /// Those who are told of a signal.
    pub(crate) fn of(&self, number: i32) -> Vec<Tell> {
        let same = self.0.iter().filter(|(of, _)| *of == number);
        same.filter_map(|(_, tell)| tell.upgrade()).collect()
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registration")
    }
}
