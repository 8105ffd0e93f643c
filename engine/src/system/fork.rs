//! What a child of fork(2) must not use: the engines of its parent.
//!
//! A child has a copy of everything but the threads: of locks that other threads held and will
//! never let go of, of queues whose callbacks are the parent's to run, of a ring and a set of
//! descriptors that are not even copies. So engines are numbered, and a child remembers from which
//! number on they are its own. Whoever is about to use one compares two numbers: the process's id
//! would be a system call each time.
//!
//! What belongs to the parent is leaked in the child, never dropped and never run, and what the
//! child asks of it is refused before anything is locked. Nothing is held over a fork either: the
//! program may have locks of its own there, and somebody may use an engine under one of them. A
//! child made by clone(2) itself, behind the back of the C library, is not noticed: forks are
//! watched in `handles/at_fork.rs`.

use std::{
    io, ptr,
    sync::atomic::{
        AtomicPtr, AtomicU32,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

use crate::system::sys::errno::Errno;

/// The number of the next engine. Zero is none.
static NEXT: AtomicU32 = AtomicU32::new(1);
/// The first one that this process has made itself.
static FIRST: AtomicU32 = AtomicU32::new(1);

/// Whether this engine is of a process that this one is a child of.
#[inline]
pub(crate) fn is_inherited(engine: u32) -> bool {
    engine < FIRST.load(Relaxed)
}

/// A process with engines, as told from its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// This one.
    #[inline]
    pub(crate) fn current() -> Self {
        Self(FIRST.load(Relaxed))
    }

    /// Another one, that this could be a child of.
    #[cfg(test)]
    pub(crate) const fn of_parent() -> Self {
        Self(0)
    }
}

/// A number for a new engine of this process.
pub(crate) fn next_number() -> io::Result<u32> {
    number(&NEXT)
}

/// Takes the next number. None is given out twice: a stream's references are counted on the thread
/// of the engine that has its number, so there must be one only.
fn number(next: &AtomicU32) -> io::Result<u32> {
    next.fetch_update(Relaxed, Relaxed, |number| number.checked_add(1))
        .map_err(|_| Errno::OVERFLOW.into())
}

/// This process is a child from now on: no engine that there is already is its own.
pub(crate) fn begin_anew() {
    // One is left out, so that processes can be told apart that have made none.
    let first = NEXT.load(Relaxed).saturating_add(1);
    NEXT.store(first, Relaxed);
    FIRST.store(first, Relaxed);
}

/// A value of which each process has its own, made when it is first wanted. Whoever had locked its
/// parent's has not locked this.
pub(crate) struct PerProcess<T: 'static>(AtomicPtr<Made<T>>);

struct Made<T> {
    by: Process,
    value: T,
}

#[expect(unsafe_code, reason = "the pointer is what another thread may have put there meanwhile")]
impl<T: Default + Sync> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    pub(crate) fn get(&self) -> &'static T {
        let there = self.0.load(Acquire);
        // SAFETY: null, or of a box that is never freed, see below.
        match unsafe { there.as_ref() } {
            Some(made) if made.by == Process::current() => &made.value,
            _ => self.make(there),
        }
    }

    #[cold]
    fn make(&self, there: *mut Made<T>) -> &'static T {
        let made = Box::into_raw(Box::new(Made { by: Process::current(), value: T::default() }));
        match self.0.compare_exchange(there, made, AcqRel, Acquire) {
            // SAFETY: it is there now, and never freed.
            Ok(_) => unsafe { &(*made).value },
            Err(_) => {
                // SAFETY: nobody else has seen it: another thread was first.
                drop(unsafe { Box::from_raw(made) });
                self.get()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_given_out_twice() {
        let next = AtomicU32::new(u32::MAX - 1);
        assert_eq!(number(&next).unwrap(), u32::MAX - 1);
        for _ in 0..3 {
            assert_eq!(
                number(&next).unwrap_err().raw_os_error(),
                Some(Errno::OVERFLOW.raw_os_error())
            );
        }
    }
}
