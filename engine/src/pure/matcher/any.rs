//! [`Any`]: reads up to whichever of several patterns ends first.
//!
//! Chunk invariance: a regex that looks around may be undecided about the last byte there is, while
//! another pattern ends with it. The other one waits if it comes later in the list; ends before the
//! last byte are always decided. All patterns look at the same window of the bytes, and the window
//! grows only while nothing ends in it, so that a rare pattern does not go over bytes that a
//! frequent one leaves to the next read. A window that the steps did not do for is gone on with as
//! it was, whatever has come meanwhile.

use std::ops::Range;

use bytes::Bytes;

use crate::pure::{
    error::Result,
    matcher::{
        Matcher, Scan, Steps,
        list::{Finding, List, PatternSearch, Patterns, Winner},
        steps::without_end,
    },
    pattern::Pattern,
};

/// Takes the bytes up to the end of whichever pattern ends first; of those that end there, the one
/// that comes first in the list.
///
/// # Examples
///
/// ```
/// use facade_engine::{Bytes, Pattern, matcher::{Any, Matcher, Scan}};
///
/// let mut any = Any::new([Pattern::bytes("login: "), Pattern::line("BUSY"), Pattern::end()])?;
/// let unread = Bytes::from("hello\r\nBUSY\r\n");
/// assert_eq!(any.scan(&unread, false), Scan::Found { end: 13 });
/// let found = any.output(unread)?;
/// assert_eq!((found.index, found.range), (1, 7..11));
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Any {
    list: List,
    /// How many bytes the windows went over.
    scanned: usize,
    /// The window that is being looked at.
    window: Option<Window>,
    /// The index of the pattern that was found, and its range.
    found: (usize, Range<usize>),
}

impl Any {
    /// Up to whichever of `patterns` ends first: a list, or [`Patterns`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) if there are none or more than 65,536,
    /// or one is an empty byte string.
    pub fn new(patterns: impl IntoPatterns) -> Result<Self> {
        patterns.into_any()
    }

    pub(crate) const fn of(list: List) -> Self {
        Self { list, scanned: 0, window: None, found: (0, 0..0) }
    }

    /// Looks at a window, in which all is decided but what ends with its last byte. `None` if the
    /// steps did not do.
    fn scan_window(
        &mut self,
        bytes: &[u8],
        window: &mut Window,
        steps: &mut Steps,
    ) -> Option<Option<Winner>> {
        for one in &mut self.list.searches[window.searched..] {
            let Finding { winner, undecided } = one.scan(bytes, window.ended, steps)?;
            steps.take(STEPS_A_SEARCH);
            if let Some(found) = winner {
                let place = |winner: &Winner| (winner.end, winner.index);
                if window.winner.as_ref().is_none_or(|winner| place(&found) < place(winner)) {
                    window.winner = Some(found);
                }
            }
            let first = window.undecided.into_iter().chain(undecided).min();
            window.undecided = first;
            window.searched += 1;
        }
        let end_of_stream = || {
            let (index, end) = (self.list.end.filter(|_| window.ended)?, bytes.len());
            Some(Winner { index, range: end..end, end })
        };
        let winner = window.winner.take().or_else(end_of_stream);
        Some(winner.filter(|winner| {
            let waits = window.undecided.is_some_and(|one| one < winner.index);
            !(waits && winner.end == bytes.len())
        }))
    }
}

impl Matcher for Any {
    type Output = AnyMatch;

    fn scan(&mut self, unread: &[u8], ended: bool) -> Scan {
        without_end(|steps| self.scan_within(unread, ended, steps))
    }

    fn scan_within(&mut self, unread: &[u8], ended: bool, steps: &mut Steps) -> Option<Scan> {
        loop {
            let mut window = self.window.take().unwrap_or_else(|| {
                let len = (self.scanned + self.scanned.max(FIRST_WINDOW)).min(unread.len());
                Window::new(len, ended && len == unread.len())
            });
            let Some(winner) = self.scan_window(&unread[..window.len], &mut window, steps) else {
                self.window = Some(window);
                return None;
            };
            self.scanned = window.len;
            match winner {
                Some(Winner { index, range, end }) => {
                    self.found = (index, range);
                    return Some(Scan::Found { end });
                }
                None if window.len == unread.len() && window.ended == ended => {
                    return Some(Scan::NeedMore);
                }
                None => {}
            }
        }
    }

    fn restart(&mut self) {
        (self.scanned, self.window) = (0, None);
        for one in &mut self.list.searches {
            one.restart();
        }
    }

    fn output(&mut self, taken: Bytes) -> Result<AnyMatch> {
        let (index, range) = self.found.clone();
        Ok(AnyMatch { index, bytes: taken, range })
    }

    fn lookahead(&self) -> usize {
        let end = usize::from(self.list.end.is_some());
        self.list.searches.iter().map(PatternSearch::lookahead).max().unwrap_or(0).max(end)
    }
}

/// What [`read_until_any`](crate::Handle::read_until_any) takes for patterns: [`Patterns`], a
/// reference to some, or whatever iterates over [`Pattern`]s, which is a list for this read.
///
/// No other type can have it.
pub trait IntoPatterns: sealed::Sealed {}

impl IntoPatterns for Patterns {}

impl IntoPatterns for &Patterns {}

impl<I: IntoIterator<Item = Pattern>> IntoPatterns for I {}

mod sealed {
    use super::{Any, List, Pattern, Patterns, Result};

    #[expect(unnameable_types, reason = "nobody else is to implement it")]
    pub trait Sealed {
        /// The matcher of one read.
        fn into_any(self) -> Result<Any>;
    }

    impl Sealed for Patterns {
        fn into_any(self) -> Result<Any> {
            (&self).into_any()
        }
    }

    impl Sealed for &Patterns {
        fn into_any(self) -> Result<Any> {
            Ok(Any::of(self.list()))
        }
    }

    impl<I: IntoIterator<Item = Pattern>> Sealed for I {
        fn into_any(self) -> Result<Any> {
            List::new(self).map(Any::of)
        }
    }
}

/// Which pattern of a list ended first, and where it is in the bytes.
///
/// From [`read_until_any`](crate::Handle::read_until_any), where there is an example.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnyMatch {
    /// The pattern's index in the list.
    pub index: usize,
    /// All that was taken, raw: up to the end of the pattern, of a line with its line end.
    pub bytes: Bytes,
    /// Which of the bytes match: of a line those before its line end, of the end of the stream
    /// none, behind the last.
    pub range: Range<usize>,
}

/// Some of the bytes in front, and what came of looking at them so far.
#[derive(Debug, Clone)]
struct Window {
    len: usize,
    /// Nothing follows it.
    ended: bool,
    /// How many of the searches have looked at it.
    searched: usize,
    winner: Option<Winner>,
    /// The first pattern that waits for what follows.
    undecided: Option<usize>,
}

impl Window {
    const fn new(len: usize, ended: bool) -> Self {
        Self { len, ended, searched: 0, winner: None, undecided: None }
    }
}

/// What it costs to ask a search, beside what it looks at.
const STEPS_A_SEARCH: usize = 8;

/// How many bytes the patterns look at before the first of them may end the read; it doubles.
const FIRST_WINDOW: usize = 256;
