//! Tests that fork without executing a program, or are a process of another kind.
#![expect(unsafe_code, reason = "nothing that is safe forks")]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

/// Runs `child` in a fork of this process, which ends then; returns whether it did so without a
/// panic, and before it took too long. Only for a test that is [`alone`](crate::alone::alone),
/// whose other threads hold no lock that the child takes, but for those that it is to get along
/// without.
pub fn forked(child: impl FnOnce()) -> bool {
    /// In seconds.
    const PATIENCE: u32 = 30;
    // SAFETY: other threads of this process wait, or use what is made for a fork at any time: the
    // allocator, and what is tested.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "cannot fork");
    if pid == 0 {
        // SAFETY: a signal that ends the process.
        unsafe { libc::alarm(PATIENCE) };
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

/// Forks; whether this is the child, which goes on as if it were the parent. For a test that is
/// [`alone`](crate::alone::alone), whose child has to [`end`].
pub fn fork_and_go_on() -> bool {
    // SAFETY: as for `forked`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "cannot fork");
    pid == 0
}

/// Waits for a child of this process; whether it has [ended](end) well.
pub fn ended_well() -> bool {
    let mut status = 0;
    // SAFETY: any child of this process, and a place for its status.
    assert!(unsafe { libc::waitpid(-1, &raw mut status, 0) } > 0, "there is one");
    status == 0
}

/// Ends a child, running nothing of what the parent has registered.
pub fn end(well: bool) -> ! {
    // SAFETY: as it says.
    unsafe { libc::_exit(i32::from(!well)) }
}

/// Has each fork of this process wait until nobody holds [`LOCK`], as a program may whose child is
/// to find it free.
pub fn wait_for_lock_at_forks() {
    extern "C" fn wait() {
        drop(LOCK.lock());
    }
    // SAFETY: a function that does not unwind, and waits for nobody but who holds the lock.
    assert_eq!(unsafe { libc::pthread_atfork(Some(wait), None, None) }, 0);
}

/// What a program's own fork handler takes.
pub static LOCK: Mutex<()> = Mutex::new(());

/// Makes this process one whose children the system forgets as they end. For a test that is
/// [`alone`](crate::alone::alone).
pub fn ignore_children() {
    // SAFETY: to ignore is no function of this process.
    assert_ne!(unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) }, libc::SIG_ERR);
}
