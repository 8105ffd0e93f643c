//! Matchers: where a read ends. Pure: no I/O, no clock, no threads.
//!
//! A [`Matcher`] looks at a stream's unread bytes and says how many of them the read takes. All
//! reads of [`Handle`](crate::Handle) are matchers of this module over one engine.
//!
//! # The law: chunk invariance
//!
//! What a matcher finds depends on the bytes and on where the stream ends, never on how the network
//! cut them up. A matcher remembers how far it looked, so that all its scans together are linear in
//! the bytes.

pub(crate) mod any;
mod delimiter;
mod fixed;
pub(crate) mod glob;
pub(crate) mod line;
pub(crate) mod regex;

#[cfg(test)]
mod tests;

use std::fmt::{self, Write};

use bytes::Bytes;

use crate::error::Result;

pub use self::{
    any::Any,
    delimiter::Delimiter,
    fixed::{All, Chunk, Exact},
    line::{ExpectLine, Line, LineGlobSearch},
    regex::RegexSearch,
};

/// What a [`Matcher`] says of the unread bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// The read takes the first `end` bytes.
    Found {
        /// How many bytes the read takes; at most as many as were shown.
        end: usize,
    },
    /// No match yet: more bytes, or the end of the stream, decide.
    NeedMore,
}

/// A condition that ends a read. See [`Handle::read_with`](crate::Handle::read_with) for an
/// example.
///
/// The engine calls [`scan`](Self::scan) when the read's turn comes, though nothing may be unread yet,
/// and whenever there is something new to look at: `unread` only grows between calls, in front it
/// stays the same. When bytes are put back in front or consumed,
/// the engine calls [`restart`](Self::restart) first. After [`Scan::Found`] it calls
/// [`output`](Self::output) once with the bytes found; if that is an error, the read fails with it
/// and every byte stays unread.
pub trait Matcher: Send + 'static {
    /// What the read succeeds with.
    type Output: Send + 'static;

    /// Looks at all unread bytes; `ended` says that nothing will follow them.
    fn scan(&mut self, unread: &[u8], ended: bool) -> Scan;

    /// Forgets what was seen: the next scan begins at the front again.
    fn restart(&mut self);

    /// Makes the value of the read from what it takes.
    ///
    /// # Errors
    ///
    /// An error fails the read and leaves its bytes unread.
    fn output(&mut self, taken: Bytes) -> Result<Self::Output>;

    /// How many bytes behind a match this matcher may need to see before it can be sure of it.
    ///
    /// Nought for nearly all. A regex that looks ahead (`$`, `\b`) needs one: the engine waits for
    /// that many bytes more before it says [`TooLong`](crate::Error::TooLong).
    fn lookahead(&self) -> usize {
        0
    }
}

/// Counts the bytes that matchers look at: tests hold the sum against the length of the stream.
#[inline]
fn looked_at(bytes: usize) {
    #[cfg(test)]
    tests::LOOKED_AT.set(tests::LOOKED_AT.get() + bytes);
    #[cfg(not(test))]
    let _ = bytes;
}

/// A pattern in an error that says at which byte of it something is wrong: as it was written, since
/// escapes would move the byte, but for what would tear the text apart.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c.is_control() {
                true => write!(f, "{}", c.escape_debug())?,
                false => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
