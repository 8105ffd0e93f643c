//! Signals of the process.

use crate::{
    handles::{callback::Callback, cancel::Cancel, handle::Handle},
    pure::error::Result,
};

impl Handle {
    /// Succeeds when the process gets the signal of this number, such as `libc::SIGTERM`: for a
    /// server that ends in good order, or reads its configuration again. Once; the callback asks
    /// for the next. See signal(7) and sigaction(2).
    ///
    /// From this call on, and not from when the engine comes to it, the process does not end of
    /// that signal any more, nor stop of it, not even when the engine is gone: who asks for one
    /// has taken it upon himself to end. Whatever else handles it goes on being called if it was
    /// there before, or comes by the crate `signal-hook`, which tokio uses, too. Masks of threads
    /// are not touched, so a signal that the program has blocked everywhere does not come. A child
    /// begins with what the system does by default.
    ///
    /// Everybody who waits for the signal is told: each operation that is pending, of each engine.
    /// One that comes while an engine was asked for it before, and has no operation pending, is
    /// kept for the next operation, so that none is lost between two of them; like the system this
    /// keeps one, however many came.
    ///
    /// On Windows number 2, SIGINT, is Ctrl-C and number 21, SIGBREAK, Ctrl-Break, typed at the
    /// console of the process; see SetConsoleCtrlHandler.
    ///
    /// A child of fork(2) that goes on without execve(2) is to ask with care: by an engine of its own, and
    /// only if no other thread of its parent was asking for a signal, or being told of one, as it
    /// forked. The table that all handlers of a process share, by the crate `signal-hook-registry`,
    /// may be locked for ever in the child otherwise, and this call waits for it.
    ///
    /// In a simulated network a host's signals are raised by the test
    /// (`sim::Host::raise`), and the process has nothing to do with them.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::Error::InvalidInput) for a number that is no signal's, and for what
    /// cannot be waited for: SIGKILL and SIGSTOP, and SIGILL, SIGFPE, SIGSEGV and SIGBUS, which tell
    /// that the program is wrong. [`Unsupported`](crate::Error::Unsupported) for other numbers on
    /// Windows;
    /// [`Cancelled`](crate::Error::Cancelled), [`TimedOut`](crate::Error::TimedOut).
    ///
    /// # Cancellation
    ///
    /// By the next turn. A signal that came before is a success all the same, and what a
    /// [claim](crate::Callback::claim) does not take is kept for the next operation.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    ///
    /// let engine = Engine::new()?;
    /// engine.signal(libc::SIGTERM, Callback::new(
    ///     |local, ()| local.stop(),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// let this = rustix::process::getpid(); // kill(1) would do
    /// rustix::process::kill_process(this, rustix::process::Signal::TERM).unwrap();
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "ctrl_c")]
    #[doc(alias = "sigaction")]
    pub fn signal(&self, number: i32, mut cb: Callback<()>) -> Cancel {
        cb.observed(self, "signal", || number.to_string());
        let Callback { slot, timeout } = cb;
        let watched = self.watch_signal(number);
        self.submit(move |core| core.wait_for_signal(number, watched, slot, timeout))
    }

    /// Has the engine told of a signal from now on.
    pub(super) fn watch_signal(&self, number: i32) -> Result<()> {
        self.check_open()?;
        let shared = self.shared();
        shared.signals.watch(&shared.env, number)
    }
}
