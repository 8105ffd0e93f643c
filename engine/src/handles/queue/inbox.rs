//! [`Inbox`]: requests of other threads, and the flag that says whether the engine must be woken.
//!
//! # How no wake-up is lost
//!
//! The engine raises `sleeping`, *then* looks whether a request is there, and only then waits. A
//! sender puts its request in, *then* lowers the flag, and wakes the engine if it was up. A fence
//! stands between the two steps of each, so in every order either the engine sees the request or
//! the sender sees the flag. Only the sender that lowers the flag pays for the wake-up.
//!
//! # In the child of a fork
//!
//! The reader is in another process, and a thread that is not here may have locked the queue. So
//! requests are refused before it is locked, and nobody is woken.

use std::{collections::HashSet, hash::Hash, mem};

use crate::pure::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::*, fence},
};

/// Messages of the kind `M`, and how their reader is woken. It is generic so that the model checker
/// can use this file with parts of its own.
pub(crate) struct Inbox<M: Message, W> {
    queue: Mutex<Queue<M>>,
    filled: AtomicBool,
    /// Requests are refused. Set while the queue is locked.
    closed: AtomicBool,
    sleeping: AtomicBool,
    waker: W,
}

struct Queue<M: Message> {
    messages: Vec<M>,
    /// What those of them say of which one is enough, see `Message::said`.
    said: HashSet<M::Said>,
}

/// What the inbox has to know of a message.
pub(crate) trait Message {
    /// Distinguishes the messages of which one is enough until it was taken.
    type Said: Eq + Hash;

    /// What this one says, if a second one that says so adds nothing before the first was taken.
    /// The second one is not kept, so that a thread that repeats it does not fill the inbox.
    fn said(&self) -> Option<Self::Said>;
}

/// Ends the reader's sleep, from any thread.
pub(crate) trait Wake {
    fn wake(&self);

    /// Whether the reader is in another process, and this one's inbox a copy that nobody reads.
    fn is_elsewhere(&self) -> bool {
        false
    }
}

impl<M: Message, W: Wake> Inbox<M, W> {
    pub(crate) fn new(waker: W) -> Self {
        Self {
            queue: Mutex::new(Queue { messages: Vec::new(), said: HashSet::new() }),
            filled: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            sleeping: AtomicBool::new(false),
            waker,
        }
    }

    /// Puts a request in; gives it back when the engine is gone.
    pub(crate) fn push(&self, message: M) -> Result<(), M> {
        self.push_with(|| message)
    }

    /// Puts a request in that is built while the queue is locked: numbers that `message` gives out
    /// are in the order in which the requests are taken out.
    pub(crate) fn push_with(&self, message: impl FnOnce() -> M) -> Result<(), M> {
        if self.waker.is_elsewhere() {
            return Err(message());
        }
        {
            let mut queue = self.lock();
            let message = message();
            if self.closed.load(Relaxed) {
                return Err(message);
            }
            if message.said().is_none_or(|said| queue.said.insert(said)) {
                queue.messages.push(message);
            }
            self.filled.store(true, Release);
        }
        self.wake();
        Ok(())
    }

    /// Ends the engine's sleep, if it sleeps.
    pub(crate) fn wake(&self) {
        if self.waker.is_elsewhere() {
            return;
        }
        fence(SeqCst);
        if self.sleeping.load(Relaxed) && self.sleeping.swap(false, AcqRel) {
            self.waker.wake();
        }
    }

    /// Makes the driver's next wait return at once, whether or not the engine sleeps.
    pub(crate) fn ring(&self) {
        self.waker.wake();
    }

    /// Raises the sleeping flag. The caller looks at [`is_empty`](Self::is_empty) afterwards.
    pub(crate) fn sleep(&self) {
        self.sleeping.swap(true, AcqRel);
        fence(SeqCst);
    }

    /// Lowers the sleeping flag.
    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Relaxed);
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.filled.load(Acquire)
    }

    /// Whether requests are refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Acquire) || self.waker.is_elsewhere()
    }

    /// Takes all requests, in the order they came.
    pub(crate) fn take(&self) -> Vec<M> {
        let mut queue = self.lock();
        self.filled.store(false, Release);
        queue.take()
    }

    /// Takes what is left and refuses everything from now on.
    pub(crate) fn close(&self) -> Vec<M> {
        let mut queue = self.lock();
        self.closed.store(true, Release);
        self.filled.store(false, Release);
        queue.take()
    }

    fn lock(&self) -> MutexGuard<'_, Queue<M>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Message> Queue<M> {
    fn take(&mut self) -> Vec<M> {
        if !self.said.is_empty() {
            // A new one, because to clear it would take as long as the most that was ever in it.
            self.said = HashSet::new();
        }
        mem::take(&mut self.messages)
    }
}

impl<M: Message, W> std::fmt::Debug for Inbox<M, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}
