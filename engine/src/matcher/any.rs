//! [`Any`]: reads up to whichever of several patterns ends first.
//!
//! Chunk invariance: a regex that looks around may be undecided about the last byte there is, while
//! another pattern ends with it. The other one waits if it comes later in the list; ends before the
//! last byte are always decided. All patterns look at the same window of the bytes, and the window
//! grows only while nothing ends in it, so that a rare pattern does not go over bytes that a
//! frequent one leaves to the next read.

use std::ops::Range;

use bytes::Bytes;

use crate::{
    error::{Error, Result},
    matcher::{
        Matcher, Scan,
        delimiter::Delimiter,
        line::Lines,
        regex::{Search, Verdict},
    },
    pattern::{Kind, LinePattern, Pattern},
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
    searches: Vec<PatternSearch>,
    /// The first [`Pattern::end`] of the list.
    end: Option<usize>,
    /// How many bytes the windows went over.
    scanned: usize,
    /// The index of the pattern that was found, and its range.
    found: (usize, Range<usize>),
}

impl Any {
    /// Up to whichever of `patterns` ends first.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] if there are none, or one is an empty byte string.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Result<Self> {
        let mut searches = Vec::new();
        let mut end = None;
        for (index, Pattern { kind }) in patterns.into_iter().enumerate() {
            let search = match kind {
                Kind::Bytes(bytes) => OneSearch::Bytes(Delimiter::new(bytes).map_err(|_| {
                    Error::invalid(format_args!("pattern {index} is an empty byte string"))
                })?),
                Kind::Line(pattern) => OneSearch::Line { pattern, lines: Lines::default() },
                Kind::Regex(regex) => OneSearch::Regex(Search::new(regex, false)),
                Kind::End => {
                    end = end.or(Some(index));
                    continue;
                }
            };
            searches.push(PatternSearch { index, search, found: None });
        }
        if searches.is_empty() && end.is_none() {
            return Err(Error::invalid("the list of patterns is empty"));
        }
        Ok(Self { searches, end, scanned: 0, found: (0, 0..0) })
    }

    /// Looks at a window, in which all is decided but what ends with its last byte.
    fn scan_window(&mut self, window: &[u8], ended: bool) -> Option<Winner> {
        let mut winner: Option<Winner> = None;
        let mut undecided = None;
        for one in &mut self.searches {
            match one.scan(window, ended) {
                Outcome::Found { range, end } => {
                    // The list is in order, so of equal ends the first stays.
                    if winner.as_ref().is_none_or(|winner| end < winner.end) {
                        winner = Some(Winner { index: one.index, range, end });
                    }
                }
                Outcome::Undecided => undecided = undecided.or(Some(one.index)),
                Outcome::NotYet => {}
            }
        }
        let end_of_stream = || {
            let (index, end) = (self.end.filter(|_| ended)?, window.len());
            Some(Winner { index, range: end..end, end })
        };
        let winner = winner.or_else(end_of_stream)?;
        let waits = winner.end == window.len() && undecided.is_some_and(|one| one < winner.index);
        (!waits).then_some(winner)
    }
}

impl Matcher for Any {
    type Output = AnyMatch;

    fn scan(&mut self, unread: &[u8], ended: bool) -> Scan {
        loop {
            let window = (self.scanned + self.scanned.max(FIRST_WINDOW)).min(unread.len());
            let is_last = window == unread.len();
            let winner = self.scan_window(&unread[..window], ended && is_last);
            self.scanned = window;
            match winner {
                Some(Winner { index, range, end }) => {
                    self.found = (index, range);
                    return Scan::Found { end };
                }
                None if is_last => return Scan::NeedMore,
                None => {}
            }
        }
    }

    fn restart(&mut self) {
        self.scanned = 0;
        for one in &mut self.searches {
            one.restart();
        }
    }

    fn output(&mut self, taken: Bytes) -> Result<AnyMatch> {
        let (index, range) = self.found.clone();
        Ok(AnyMatch { index, bytes: taken, range })
    }

    fn lookahead(&self) -> usize {
        let end = usize::from(self.end.is_some());
        self.searches.iter().map(PatternSearch::lookahead).max().unwrap_or(0).max(end)
    }
}

/// Which pattern of a list ended first, and where it is in the bytes.
///
/// From [`read_until_any`](crate::Handle::read_until_any), where there is an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnyMatch {
    /// The pattern's index in the list.
    pub index: usize,
    /// All that was taken, raw: up to the end of the pattern, of a line with its line end.
    pub bytes: Bytes,
    /// Which of the bytes match: of a line those before its line end, of the end of the stream
    /// none, behind the last.
    pub range: Range<usize>,
}

/// The search for one pattern of the list.
#[derive(Debug, Clone)]
struct PatternSearch {
    index: usize,
    search: OneSearch,
    /// What was found, while another pattern of the list is undecided.
    found: Option<(Range<usize>, usize)>,
}

#[derive(Debug, Clone)]
enum OneSearch {
    Bytes(Delimiter),
    Line { pattern: LinePattern, lines: Lines },
    Regex(Search),
}

enum Outcome {
    Found { range: Range<usize>, end: usize },
    Undecided,
    NotYet,
}

struct Winner {
    index: usize,
    range: Range<usize>,
    end: usize,
}

impl PatternSearch {
    fn scan(&mut self, window: &[u8], ended: bool) -> Outcome {
        if self.found.is_none() {
            self.found = match &mut self.search {
                OneSearch::Bytes(delimiter) => {
                    delimiter.find(window).map(|end| (end - delimiter.len()..end, end))
                }
                OneSearch::Line { pattern, lines } => std::iter::from_fn(|| lines.next(window))
                    .find(|(line, _)| pattern.matches(&window[line.clone()])),
                OneSearch::Regex(search) => match search.scan(window, ended) {
                    Verdict::Found(found) => Some((found.range.clone(), found.range.end)),
                    Verdict::Undecided => return Outcome::Undecided,
                    Verdict::NotYet => None,
                },
            };
        }
        match self.found.clone() {
            Some((range, end)) => Outcome::Found { range, end },
            None => Outcome::NotYet,
        }
    }

    fn restart(&mut self) {
        self.found = None;
        match &mut self.search {
            OneSearch::Bytes(delimiter) => delimiter.restart(),
            OneSearch::Line { lines, .. } => *lines = Lines::default(),
            OneSearch::Regex(search) => search.restart(),
        }
    }

    fn lookahead(&self) -> usize {
        match &self.search {
            OneSearch::Bytes(_) | OneSearch::Line { .. } => 0,
            OneSearch::Regex(search) => search.lookahead(),
        }
    }
}

/// How many bytes the patterns look at before the first of them may end the read; it doubles.
const FIRST_WINDOW: usize = 256;
