//! [`Inbox`]: requests of other threads, and the flag that says whether the engine must be woken.
//!
//! # How no wake-up is lost
//!
//! The engine raises `sleeping`, *then* looks whether a request is there, and only then waits. A
//! sender puts its request in, *then* lowers the flag, and wakes the engine if it was up. In every
//! order of these four steps (sequentially consistent) either the engine sees the request or the
//! sender sees the flag. Only the sender that lowers the flag pays for the wake-up.

use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use crate::{cancel::Key, core::Core, driver::Waker, handle::Local};

/// A request of another thread, or of the engine's own between two turns.
pub(crate) enum Message {
    /// Something to do to the engine's state: a submission, a release, something given back.
    Apply(Box<dyn FnOnce(&mut Core) + Send>),
    /// A `Cancel` was used.
    Cancel(Key),
    /// A closure to run.
    Post(Box<dyn FnOnce(&Local) + Send>),
    /// The future that drives the run was woken.
    WakeRoot,
}

#[derive(Default)]
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    filled: AtomicBool,
    sleeping: AtomicBool,
    waker: OnceLock<Waker>,
}

#[derive(Default)]
struct Queue {
    messages: Vec<Message>,
    closed: bool,
}

impl Inbox {
    /// Tells the inbox how the engine is woken; once, before the engine sleeps.
    pub(crate) fn set_waker(&self, waker: Waker) {
        self.waker.set(waker).unwrap_or_else(|_| unreachable!("an inbox has one engine"));
    }

    /// Puts a request in; gives it back when the engine is gone.
    pub(crate) fn push(&self, message: Message) -> Result<(), Message> {
        {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.closed {
                return Err(message);
            }
            queue.messages.push(message);
            self.filled.store(true, SeqCst);
        }
        self.wake();
        Ok(())
    }

    /// Ends the engine's sleep, if it sleeps.
    pub(crate) fn wake(&self) {
        if self.sleeping.load(SeqCst)
            && self.sleeping.swap(false, SeqCst)
            && let Some(waker) = self.waker.get()
        {
            waker.wake();
        }
    }

    /// Makes the driver's next wait return at once, awake or not.
    pub(crate) fn ring(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    /// Raises the sleeping flag. The caller looks at [`is_empty`](Self::is_empty) afterwards.
    pub(crate) fn sleep(&self) {
        self.sleeping.store(true, SeqCst);
    }

    /// Lowers the sleeping flag.
    pub(crate) fn awake(&self) {
        self.sleeping.store(false, SeqCst);
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.filled.load(SeqCst)
    }

    /// Whether requests are refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).closed
    }

    /// Takes all requests, in the order they came.
    pub(crate) fn take(&self) -> Vec<Message> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        self.filled.store(false, SeqCst);
        std::mem::take(&mut queue.messages)
    }

    /// Takes what is left and refuses everything from now on.
    pub(crate) fn close(&self) -> Vec<Message> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.closed = true;
        self.filled.store(false, SeqCst);
        std::mem::take(&mut queue.messages)
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("empty", &self.is_empty()).finish_non_exhaustive()
    }
}
