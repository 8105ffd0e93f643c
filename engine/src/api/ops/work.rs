//! What is not I/O: the user's own work on a thread, and time.

use std::time::Duration;

use crate::{
    core::{Kind, Pending},
    handles::{callback::Callback, cancel::Cancel, handle::Handle},
    pure::{table::Id, timer},
};

impl Handle {
    /// Runs `f` on a worker thread. Succeeds with what it returned.
    ///
    /// # Errors
    ///
    /// [`Error::Panicked`](crate::Error::Panicked) if `f` did;
    /// [`Error::Overloaded`](crate::Error::Overloaded) behind
    /// [`Limits::jobs`](crate::Limits::jobs) jobs;
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
    #[doc(alias = "spawn_blocking")]
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
    /// callback's own timeout counts too: the earlier of both ends the sleep, equal ones as
    /// success. See CLOCK_MONOTONIC in clock_gettime(2).
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`](crate::Error::Cancelled), [`Error::TimedOut`](crate::Error::TimedOut).
    ///
    /// # Cancellation
    ///
    /// Reported by the next turn, unless the sleep is over by then: that is a success.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new()?;
    /// engine.sleep(Duration::from_millis(1), Callback::new(
    ///     |_, ()| println!("a millisecond later"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "timer")]
    #[doc(alias = "nanosleep")]
    pub fn sleep(&self, duration: Duration, cb: Callback<()>) -> Cancel {
        let Callback { slot, timeout } = cb;
        self.submit(move |engine| {
            let early = timeout.filter(|&timeout| timeout < duration);
            let over = match early {
                None => timer::deadline(engine.now(), duration),
                Some(_) => None,
            };
            let kind = Kind::Sleep { slot, over };
            let pending = Pending::new(kind, Id::NONE, Id::NONE);
            Some(engine.insert(pending, Some(early.unwrap_or(duration))))
        })
    }
}
