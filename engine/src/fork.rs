//! What a child of fork(2) must not use: the engines of its parent.
//!
//! A child has a copy of everything but the threads: of locks that other threads held and will never
//! let go of, of queues whose callbacks are the parent's to run, of a ring and a set of descriptors
//! that are not even copies. So engines are numbered, and a child remembers from which number on they
//! are its own. Whoever is about to use one compares two numbers: the process's id would be a system
//! call each time.
//!
//! What belongs to the parent is leaked in the child, never dropped and never run, and what the child
//! asks of it is refused before anything is locked. A child made by clone(2) itself, behind the back
//! of the C library, is not noticed.

use std::{
    cell::RefCell,
    io,
    sync::{
        MutexGuard,
        atomic::{
            AtomicBool, AtomicU32,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use crate::{cancel, descriptor, handle};

/// The number of the next engine. Nought is none.
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
    pub(crate) fn current() -> Self {
        Self(FIRST.load(Relaxed))
    }
}

/// A number for a new engine of this process, whose children will know that it is not theirs.
pub(crate) fn number_engine() -> io::Result<u32> {
    watch()?;
    Ok(NEXT.fetch_add(1, Relaxed))
}

/// Has forks noticed, from now on.
fn watch() -> io::Result<()> {
    // Not a `Once`, which a child would wait for if another thread had been in it: nothing is wrong
    // with registering twice.
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if !WATCHED.load(Acquire) {
        register()?;
        WATCHED.store(true, Release);
    }
    Ok(())
}

#[expect(unsafe_code, reason = "functions are registered that the C library calls")]
fn register() -> io::Result<()> {
    // SAFETY: functions that live as long as the process, do not unwind, and may be called at any time
    // on any thread; in the child they find it as the parent was but for its other threads, whose
    // locks they do not take.
    match unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

thread_local! {
    /// Held while this thread forks, so that no other one holds it in the child for ever: a child may
    /// have engines of its own.
    static HELD: RefCell<Option<MutexGuard<'static, cancel::Engines>>> = const { RefCell::new(None) };
}

extern "C" fn before() {
    // Neither is another thread in the midst of opening it.
    let _ = descriptor::null();
    // On a thread that ends, and has none of its own any more, it is not held: that is rare enough.
    let _ = HELD.try_with(|held| {
        if let Ok(mut held) = held.try_borrow_mut()
            && held.is_none()
        {
            *held = Some(cancel::lock());
        }
    });
}

extern "C" fn in_parent() {
    let _ = HELD.try_with(|held| held.try_borrow_mut().map(|mut held| drop(held.take())));
}

extern "C" fn in_child() {
    FIRST.store(NEXT.load(Relaxed), Relaxed);
    handle::leave_to_parent();
    in_parent();
}
