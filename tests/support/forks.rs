//! Tests that fork without executing a program.
#![expect(unsafe_code, reason = "nothing that is safe forks")]

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `child` in a fork of this process, which ends then; returns whether it did so without a
/// panic. Only for a process in which nobody else holds a lock: see [`alone`](crate::alone::alone).
pub fn forked(child: impl FnOnce()) -> bool {
    // SAFETY: no other thread of this process does anything meanwhile but wait, so that no lock is
    // held that the child would wait for.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "cannot fork");
    if pid == 0 {
        // A panic must not end in the harness, whose other threads are not here.
        let status = i32::from(catch_unwind(AssertUnwindSafe(child)).is_err());
        // SAFETY: ends the process, running nothing of what the parent has registered.
        unsafe { libc::_exit(status) };
    }
    let mut status = 0;
    // SAFETY: a child of this process, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status == 0
}
