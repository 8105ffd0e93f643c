//! Tests that fork without executing a program, or are a process of another kind.
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

/// Makes this process one that a write to a pipe without a reader ends, as programs in C are. For a
/// test that is [`alone`](crate::alone::alone).
pub fn die_of_broken_pipes() {
    // SAFETY: the default is no function of this process.
    assert_ne!(unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) }, libc::SIG_ERR);
}
