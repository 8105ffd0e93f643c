//! There is no fork(2): what a process has made is its own.

use std::io;

use crate::system::sys::owned::{self, BorrowedDescriptor, OwnedDescriptor};

/// Nothing is to be noticed.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere the system may refuse")]
pub(crate) const fn watch(_in_child: fn()) -> io::Result<()> {
    Ok(())
}

/// Never asked for.
pub(crate) fn lend_in_child(pollable: &OwnedDescriptor) -> BorrowedDescriptor<'_> {
    owned::borrow(pollable)
}

/// Never asked for.
pub(crate) fn leave_in_child(pollable: OwnedDescriptor) {
    drop(pollable);
}
