//! Signals of simulated hosts: who is told when one is raised.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use crate::system::sim::{state::NetworkState, trace::digest};

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

impl NetworkState {
    /// Raises a signal on a host. Returns who is to be told.
    pub(crate) fn raise(&mut self, host: usize, number: i32) -> Vec<Tell> {
        let host = &self.hosts[host];
        let told = host.signals.of(number);
        let which = digest(&number.to_be_bytes()) ^ told.len() as u64;
        let words = || format!("{} gets signal {number}", host.name);
        self.trace.note(self.now, 14, which, words);
        told
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registration")
    }
}
