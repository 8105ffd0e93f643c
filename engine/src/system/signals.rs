//! [`Signals`]: which signals of the process an engine is told of, and which of them have come.
//!
//! A signal handler may do next to nothing, see signal-safety(7): it sets two flags and wakes the
//! engine by the one system call that its waker is. Nothing is blocked or unblocked: the masks of
//! threads are the program's.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use crate::{
    pure::error::Result,
    system::{
        driver::Waker,
        env::{Env, Registration},
        fork,
    },
};

/// The signals of one engine.
pub(crate) struct Signals {
    engine: u32,
    waker: Waker,
    /// One of them has come, since they were last looked at. Set behind the flag of the signal
    /// itself.
    any: Arc<AtomicBool>,
    watched: Mutex<BTreeMap<i32, Watched>>,
}

struct Watched {
    has_come: Arc<AtomicBool>,
    _registration: Registration,
}

impl Signals {
    pub(crate) fn new(engine: u32, waker: Waker) -> Self {
        Self { engine, waker, any: Arc::default(), watched: Mutex::default() }
    }

    /// Has this engine be told of a signal from now on, and the process not end of it any more.
    pub(crate) fn watch(&self, env: &Env, number: i32) -> Result<()> {
        let mut watched = self.lock();
        if watched.contains_key(&number) {
            return Ok(());
        }
        let (has_come, any) = (Arc::<AtomicBool>::default(), Arc::clone(&self.any));
        let (engine, waker, came) = (self.engine, self.waker.clone(), Arc::clone(&has_come));
        let tell = move || {
            // The child of a fork has inherited the handler, and what wakes its parent.
            if fork::is_inherited(engine) {
                return;
            }
            came.store(true, SeqCst);
            any.store(true, SeqCst);
            waker.wake();
        };
        let registration = env.watch_signal(number, tell)?;
        watched.insert(number, Watched { has_come, _registration: registration });
        Ok(())
    }

    /// Takes those that have come since this was last asked. A load, if none has.
    #[inline]
    pub(crate) fn take(&self) -> Vec<i32> {
        match self.any.load(SeqCst) && self.any.swap(false, SeqCst) {
            true => self.take_each(),
            false => Vec::new(),
        }
    }

    #[cold]
    fn take_each(&self) -> Vec<i32> {
        let watched = self.lock();
        let came = watched.iter().filter(|(_, watched)| watched.has_come.swap(false, SeqCst));
        came.map(|(&number, _)| number).collect()
    }

    /// The engine goes, and is told of none any more.
    pub(crate) fn forget_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signals")
    }
}
