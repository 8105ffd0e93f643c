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
    system::{fork, sys},
};

/// A number for a new engine of this process, whose children will know that it is not theirs.
pub(crate) fn number_engine() -> io::Result<u32> {
    watch()?;
    fork::next_number()
}

/// Has forks noticed from now on, where the system has them.
fn watch() -> io::Result<()> {
    // Not a `Once`, which a child would wait for if another thread had been in it: nothing is wrong
    // with registering twice.
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if !WATCHED.load(Acquire) {
        sys::fork::watch(in_child)?;
        WATCHED.store(true, Release);
    }
    Ok(())
}

fn in_child() {
    fork::begin_anew();
    current::leave_to_parent();
}
