//! There is no fork(2): what a process has made is its own.

use std::io;

/// Nothing is to be noticed.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere the system may refuse")]
pub(crate) const fn watch(_in_child: fn()) -> io::Result<()> {
    Ok(())
}
