//! [`Oneshot`]: where a callback leaves its outcome for the future, and the future its waker.
//!
//! Two sides share it: the callback, which sends once, and the future, which polls and may go at
//! any time. Wakers are woken and dropped, and outcomes dropped, only when the lock is free: both
//! may run the user's code. It names no lock of its own, so that the model checker can use this
//! file with parts of its own.

use std::{
    fmt, mem,
    task::{Context, Poll, Waker},
};

use crate::sync::{Mutex, MutexGuard, PoisonError};

/// What the future has for the callback, or the callback for the future.
enum Side<T> {
    /// Neither has been here.
    Empty,
    /// The future waits.
    Waiting(Waker),
    /// The callback has been here.
    Sent(T),
    /// The future has the outcome, or is gone: what still comes is dropped.
    Closed,
}

/// The cell that both sides share.
pub(crate) struct Oneshot<T> {
    state: Mutex<Side<T>>,
}

impl<T> Oneshot<T> {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(Side::Empty) }
    }

    /// One in which the future has left its waker already.
    pub(crate) fn waiting(waker: Waker) -> Self {
        Self { state: Mutex::new(Side::Waiting(waker)) }
    }

    /// Takes the outcome, or leaves the waker.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<T> {
        let mut state = self.lock();
        match &mut *state {
            Side::Waiting(waker) if waker.will_wake(context.waker()) => return Poll::Pending,
            Side::Closed => panic!("polled after it was ready"),
            _ => {}
        }
        if !matches!(*state, Side::Sent(_)) {
            drop(state);
            // Wakers are cloned and dropped while the lock is free; the outcome may come meanwhile.
            let waker = context.waker().clone();
            state = self.lock();
            if !matches!(*state, Side::Sent(_)) {
                let before = mem::replace(&mut *state, Side::Waiting(waker));
                drop(state);
                drop(before);
                return Poll::Pending;
            }
        }
        match mem::replace(&mut *state, Side::Closed) {
            Side::Sent(outcome) => Poll::Ready(outcome),
            _ => unreachable!("looked at above"),
        }
    }

    /// The outcome, when the callback has been here and is gone.
    pub(crate) fn into_outcome(self) -> T {
        match self.state.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Side::Sent(outcome) => outcome,
            _ => unreachable!("a callback sends before it goes"),
        }
    }

    /// The future goes: an outcome that is there is dropped, one that comes will be.
    pub(crate) fn close(&self) {
        let before = mem::replace(&mut *self.lock(), Side::Closed);
        drop(before);
    }

    /// Leaves the outcome and wakes the future; once.
    pub(crate) fn send(&self, outcome: T) {
        let mut state = self.lock();
        if matches!(*state, Side::Closed) {
            drop(state);
            return drop(outcome);
        }
        let before = mem::replace(&mut *state, Side::Sent(outcome));
        drop(state);
        if let Side::Waiting(waker) = before {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Side<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Oneshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oneshot").finish_non_exhaustive()
    }
}
