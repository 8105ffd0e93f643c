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
//!
//! # Work is counted
//!
//! Linear is not enough: against some patterns a byte costs microseconds, and a peer may send a
//! million of them at once. So a scan is given [`Steps`], stops when it has used them up and goes
//! on from there when it is asked again. An engine has so many for all scans of a turn as take a
//! millisecond or two; a read whose matcher has more to look at goes on in the next turn, and
//! timers, callbacks and other streams have theirs in between. What has arrived is still never a
//! timeout: a deadline that comes meanwhile waits until the matcher has looked at what is there,
//! which is no more than the read's limit.

pub(crate) mod any;
mod delimiter;
mod fixed;
pub(crate) mod glob;
pub(crate) mod line;
pub(crate) mod list;
pub(crate) mod regex;
mod steps;
mod strings;

#[cfg(test)]
mod tests;

use std::fmt::{self, Write};

use bytes::Bytes;

use crate::pure::error::Result;

pub(crate) use self::delimiter::Tiny;
pub use self::{
    any::Any,
    delimiter::Delimiter,
    fixed::{All, Chunk, Exact},
    line::{ExpectLine, Line, LineGlobSearch},
    regex::RegexSearch,
    steps::Steps,
};

/// What a [`Matcher`] says of the unread bytes.
// Exhaustive: a matcher that is made of others answers for them, and another answer would be
// another contract.
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
/// The engine calls [`scan`](Self::scan) when the read's turn comes, though nothing may be unread
/// yet, and whenever there is something new to look at: `unread` only grows between calls, in front
/// it stays the same. When bytes are put back in front or consumed, the engine calls
/// [`restart`](Self::restart) first. After [`Scan::Found`] it calls [`output`](Self::output) once
/// with the bytes found; if that is an error, the read fails with it and every byte stays unread.
///
/// While a matcher looks, nothing else runs on the engine: no callback, no timer. All its scans
/// together should take time linear in the bytes, a few nanoseconds each. One that cannot promise
/// that overrides [`scan_within`](Self::scan_within), as those of this module do: the engine calls
/// nothing else.
pub trait Matcher: Send + 'static {
    /// What the read succeeds with.
    type Output: Send + 'static;

    /// Looks at all unread bytes; `ended` says that nothing will follow them.
    fn scan(&mut self, unread: &[u8], ended: bool) -> Scan;

    /// The same with a bound on the work: `None` says that the `steps` are used up and that there
    /// is more to look at.
    ///
    /// Whoever asked asks again later, with the same bytes or more, and does something else
    /// meanwhile. A matcher that is made of others passes the steps on to them. Unless it is
    /// overridden, this is [`scan`](Self::scan), which always comes to an answer.
    ///
    /// ```
    /// use facade_engine::{Regex, matcher::{Matcher, RegexSearch, Scan, Steps}};
    ///
    /// let mut search = RegexSearch::new(Regex::new("x[a-z]{0,100}!")?);
    /// let unread = "xyz".repeat(1000) + "!";
    /// let mut turns = 1;
    /// let scan = loop {
    ///     match search.scan_within(unread.as_bytes(), false, &mut Steps::new(10_000)) {
    ///         Some(scan) => break scan,
    ///         None => turns += 1,
    ///     }
    /// };
    /// assert_eq!(scan, Scan::Found { end: 3001 });
    /// assert!(turns > 1);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    fn scan_within(&mut self, unread: &[u8], ended: bool, steps: &mut Steps) -> Option<Scan> {
        let _ = steps;
        Some(self.scan(unread, ended))
    }

    /// Forgets what was seen: the next scan begins at the front again.
    fn restart(&mut self);

    /// Makes the value of the read from what it takes.
    ///
    /// # Errors
    ///
    /// An error fails the read and leaves its bytes unread. What is wrong with them is the
    /// matcher's own to say, by [`Error::other`](crate::Error::other).
    fn output(&mut self, taken: Bytes) -> Result<Self::Output>;

    /// How many bytes behind a match this matcher may need to see before it can be sure of it.
    ///
    /// Zero for nearly all. A regex that looks ahead (`$`, `\b`) needs one: the engine waits for
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
