//! Notices forks, so that a child of fork(2) is distinguished from its parent (`system/fork.rs`)
//! and the thread that forked leaves its turn to the parent.

use std::{
    io,
    sync::atomic::{
        AtomicBool,
        Ordering::{Acquire, Release},
    },
};

use crate::{
    handles::current,
    system::{descriptor, fork},
};

/// A number for a new engine of this process, whose children will know that it is not theirs.
pub(crate) fn number_engine() -> io::Result<u32> {
    watch()?;
    fork::next_number()
}

/// Has forks noticed from now on, by functions that the C library calls.
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
    // SAFETY: functions that live as long as the process, do not unwind, and may be called at any
    // time on any thread; in the child they find it as the parent was but for its other threads,
    // whose locks they do not take.
    match unsafe { libc::pthread_atfork(Some(before), None, Some(in_child)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

extern "C" fn before() {
    // So that no other thread is in the midst of opening it.
    let _ = descriptor::null();
}

extern "C" fn in_child() {
    fork::begin_anew();
    current::leave_to_parent();
}
