//! [`Job`]: what the pool does. [`Lane`]: by which of its threads.

use std::{fmt, io};

/// What a thread of the pool runs. It may panic: its thread lives on.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

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
