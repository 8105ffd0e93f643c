//! Notices forks: a child of fork(2) is not to use what is its parent's.

use std::{
    io,
    mem::forget,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::OnceLock,
};

use crate::system::sys::{family, owned};

/// What runs in a child, at once.
static IN_CHILD: OnceLock<fn()> = OnceLock::new();

/// Has the C library call this function in each child from now on. It must do what is allowed on
/// any thread whatever the others do, and neither lock nor unwind.
#[expect(unsafe_code, reason = "functions are registered that the C library calls")]
pub(crate) fn watch(in_child: fn()) -> io::Result<()> {
    IN_CHILD.get_or_init(|| in_child);
    // SAFETY: functions that live as long as the process, do not unwind, and may be called at any
    // time on any thread; in the child they find it as the parent was but for its other threads,
    // whose locks they do not take.
    match unsafe { libc::pthread_atfork(Some(before), None, Some(after)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Lends what tells of an engine's events, in a child of the engine's process: the null device
/// where it is not inherited.
pub(crate) fn lend_in_child(fd: &OwnedFd) -> BorrowedFd<'_> {
    if family::IN_CHILDREN_TOO {
        return fd.as_fd();
    }
    owned::null().expect("opened before the fork")
}

/// Lets go of it there. Where it is not inherited, its number is nobody's, or somebody else's.
pub(crate) fn leave_in_child(fd: OwnedFd) {
    if !family::IN_CHILDREN_TOO {
        forget(fd);
    }
}

extern "C" fn before() {
    // So that no other thread is in the midst of opening it.
    let _ = owned::null();
}

extern "C" fn after() {
    if let Some(in_child) = IN_CHILD.get() {
        in_child();
    }
}
