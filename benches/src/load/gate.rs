//! [`Gate`]: where generators that run side by side wait for each other.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Opens whenever all parties stand before it: the generators, and whoever reads what happened
/// between two openings.
///
/// A generator with one passes it three times: when its connections are open, when it is done, and
/// before it closes them. So all put their load on the service in the same span of time.
#[derive(Debug)]
pub struct Gate {
    parties: usize,
    state: Mutex<State>,
    opens: Condvar,
}

#[derive(Debug, Default)]
struct State {
    here: usize,
    openings: u64,
}

impl Gate {
    /// A gate for so many parties.
    pub fn new(parties: usize) -> Arc<Self> {
        Arc::new(Self { parties, state: Mutex::default(), opens: Condvar::new() })
    }

    /// Waits until everybody is here; returns `false` if somebody has not come by `bound`.
    pub fn pass(&self, bound: Duration) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.here += 1;
        if state.here == self.parties {
            state.here = 0;
            state.openings += 1;
            self.opens.notify_all();
            return true;
        }
        let before = state.openings;
        let waited = self.opens.wait_timeout_while(state, bound, |state| state.openings == before);
        waited.unwrap_or_else(PoisonError::into_inner).0.openings != before
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn it_opens_when_all_are_here_and_only_then() {
        let gate = Gate::new(3);
        for _ in 0..3 {
            thread::scope(|scope| {
                let others = [(); 2].map(|()| scope.spawn(|| gate.pass(Duration::from_secs(60))));
                assert!(gate.pass(Duration::from_secs(60)));
                assert!(others.into_iter().all(|other| other.join().unwrap()));
            });
        }
        assert!(!gate.pass(Duration::from_millis(1)));
    }
}
