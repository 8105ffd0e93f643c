//! What is not I/O: the user's own work on a thread, operations of the user's own, and time.

use std::time::{Duration, Instant};

use crate::{
    core::{Kind, Pending},
    handles::{callback::Callback, cancel::Cancel, handle::Handle},
    pure::{error::Result, panics::Contained, table::Id, timer},
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
        mut cb: Callback<T>,
    ) -> Cancel {
        cb.observed(self, "submit_work", String::new);
        let Callback { slot, timeout } = cb;
        // An engine that is gone drops it together with the callback.
        let f = Contained::new(f);
        self.submit(move |core| core.work(f.into_inner(), slot, timeout))
    }

    /// Tells a callback its outcome: for operations of one's own, whose end is known here and
    /// nowhere in the engine. From any thread, and for a callback of any kind.
    ///
    /// The callback runs on the engine's thread as what is [posted](Self::post) does, in one order
    /// with that, and never inside this call. It has its outcome, so its timeout is not looked at:
    /// an operation that may take long bounds itself, e.g. by a [`sleep`](Self::sleep) of
    /// [`Callback::get_timeout`]. Nor is it pending before: an engine that only waits for this is
    /// kept running by [`keep_alive`](Self::keep_alive). If the engine is gone, the callback is
    /// dropped unrun.
    ///
    /// # Cancellation
    ///
    /// There is nothing to cancel, which is what the [`Cancel`] says that it returns, see
    /// [`Cancel::none`]. What a [claim](Callback::claim) on the value is made of was taken nowhere,
    /// so it goes back nowhere.
    ///
    /// ```
    /// use facade_engine::{Callback, Cancel, Engine, Error, Handle};
    /// use std::thread;
    ///
    /// /// An operation of one's own, as a library with threads of its own would have it.
    /// fn factor(engine: &Handle, number: u64, cb: Callback<u64>) -> Cancel {
    ///     if number < 2 {
    ///         return engine.complete(cb, Err(Error::other("it has no factor")));
    ///     }
    ///     let (handle, guard) = (engine.clone(), engine.keep_alive());
    ///     thread::spawn(move || {
    ///         let factor = (2..=number).find(|factor| number % factor == 0);
    ///         handle.complete(cb, factor.ok_or(Error::Panicked));
    ///         drop(guard);
    ///     });
    ///     Cancel::none(engine)
    /// }
    ///
    /// let engine = Engine::new()?;
    /// factor(&engine, 91, Callback::new(
    ///     |_, factor| assert_eq!(factor, 7),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// factor(&engine, 1, Callback::new(
    ///     |_, factor| panic!("{factor}"),
    ///     |_, error| assert_eq!(error.to_string(), "it has no factor"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn complete<T: Send + 'static>(&self, cb: Callback<T>, outcome: Result<T>) -> Cancel {
        let delivery = cb.slot.deliver(outcome);
        self.post(move |local| delivery.run(local));
        Cancel::none(self)
    }

    /// The engine's clock: the system's monotonic one, or that of the simulated network it lives in.
    /// [`sleep`](Self::sleep) and all timeouts go by it.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new()?;
    /// let start = engine.now();
    /// engine.sleep(Duration::from_millis(1), Callback::ignore());
    /// engine.run()?;
    /// assert!(engine.now() - start >= Duration::from_millis(1));
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn now(&self) -> Instant {
        self.shared().env.now()
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
    pub fn sleep(&self, duration: Duration, mut cb: Callback<()>) -> Cancel {
        cb.observed(self, "sleep", String::new);
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
