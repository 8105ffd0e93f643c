//! [`Job`]: what the pool does. [`Lane`]: by which of its threads.

use std::{cell::Cell, fmt, io};

/// What a thread of the pool runs. It may panic: its thread lives on.
pub(crate) type Job = Box<dyn FnOnce(&JobContext<'_>) + Send>;

/// Who runs a job.
pub(crate) struct JobContext<'a> {
    /// Has its thread count as on its way, and returns whether it does now. None if no thread of
    /// the pool's runs it.
    finish: Option<&'a dyn Fn() -> bool>,
    is_finishing: Cell<bool>,
}

impl<'a> JobContext<'a> {
    pub(super) const fn of_thread(finish: &'a dyn Fn() -> bool) -> Self {
        Self { finish: Some(finish), is_finishing: Cell::new(false) }
    }

    /// No thread of the pool's runs it.
    pub(crate) const fn outside() -> Self {
        Self { finish: None, is_finishing: Cell::new(false) }
    }

    /// Nothing is left of the job but to tell that it is done, which takes no time: its thread
    /// counts as on its way to the next one. So that who is told and submits another at once wakes
    /// no second thread. Nothing of the user's may run after it.
    pub(crate) fn finishing(&self) {
        if let Some(finish) = self.finish
            && !self.is_finishing.get()
        {
            self.is_finishing.set(finish());
        }
    }

    /// Whether the thread is counted as on its way.
    pub(super) const fn is_finishing(&self) -> bool {
        self.is_finishing.get()
    }
}

/// Which threads a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Name lookups, which may hang for as long as the resolver does.
    Names,
    /// Files that the driver cannot read or write by itself.
    Files,
    /// Closures of the user.
    Work,
    /// Terminals and devices, which may hold up a thread for as long as they like.
    Devices,
    /// Starting processes.
    Processes,
    /// Closing what may have it wait. Never refused for being full, and done although the pool was
    /// shut down.
    Closing,
}

/// Why a job was not taken; the job is given back.
pub(crate) enum Refused {
    /// As many jobs wait as may wait, or all threads hang in abandoned ones.
    Full(Job),
    /// The system refuses to start a thread, and the lane has none that could do the job later.
    NoThread(io::Error, Job),
    /// The pool was shut down.
    Closed(Job),
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full"),
            Self::NoThread(cause, _) => f.debug_tuple("NoThread").field(cause).finish(),
            Self::Closed(_) => f.write_str("Closed"),
        }
    }
}
