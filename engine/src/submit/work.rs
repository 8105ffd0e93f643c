//! What is not I/O: the user's own work on a thread, and time.

use std::time::Duration;

use crate::{
    callback::Callback,
    cancel::Cancel,
    core::{Kind, Pending},
    handle::Handle,
    table::Id,
};

impl Handle {
    /// Runs `f` on a worker thread. Succeeds with what it returned.
    ///
    /// # Errors
    ///
    /// [`Error::Panicked`](crate::Error::Panicked) if `f` did;
    /// [`Error::Overloaded`](crate::Error::Overloaded) behind
    /// [`Limits::workers`](crate::Limits::workers) jobs;
    /// [`Error::Cancelled`](crate::Error::Cancelled), [`Error::TimedOut`](crate::Error::TimedOut).
    ///
    /// # Cancellation
    ///
    /// Reported at once. A job that has not begun is dropped unrun; one that runs goes on, and what
    /// it returns is dropped.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    ///
    /// let engine = Engine::new()?;
    /// engine.submit_work(|| 6 * 7, Callback::new(
    ///     |_, answer| assert_eq!(answer, 42),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn submit_work<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
        cb: Callback<T>,
    ) -> Cancel {
        let Callback { slot, timeout } = cb;
        self.submit(move |core| core.work(f, slot, timeout))
    }

    /// Succeeds after `duration`, never earlier. `Duration::MAX` never ends by itself.
    ///
    /// Time is the system's monotonic clock; time that the machine is suspended may not count. The
    /// callback's own timeout counts too: the earlier of both ends the sleep, equal ones as success.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`](crate::Error::Cancelled), [`Error::TimedOut`](crate::Error::TimedOut).
    pub fn sleep(&self, duration: Duration, cb: Callback<()>) -> Cancel {
        let Callback { slot, timeout } = cb;
        self.submit(move |core| {
            let early = timeout.filter(|&timeout| timeout < duration);
            let kind = Kind::Sleep { slot, expires: early.is_some() };
            let pending = Pending::new(kind, Id::NONE, Id::NONE);
            Some(core.insert(pending, Some(early.unwrap_or(duration))))
        })
    }
}
