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
    /// In the order of the list, but that the patterns of lines are together where the first of
    /// them stands.
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
        let mut searches: Vec<PatternSearch> = Vec::new();
        let (mut end, mut first_of_lines) = (None, None);
        for (index, Pattern { kind }) in patterns.into_iter().enumerate() {
            let search = match kind {
                Kind::Bytes(bytes) => OneSearch::Bytes(Delimiter::new(bytes).map_err(|_| {
                    Error::invalid(format_args!("pattern {index} is an empty byte string"))
                })?),
                Kind::Line(pattern) => {
                    let first = *first_of_lines.get_or_insert(searches.len());
                    if let Some(PatternSearch { search: OneSearch::Line(search), .. }) =
                        searches.get_mut(first)
                    {
                        search.patterns.push((index, pattern));
                        continue;
                    }
                    OneSearch::Line(LineSearch::new(index, pattern))
                }
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
                Outcome::Found(found) => {
                    let place = |winner: &Winner| (winner.end, winner.index);
                    if winner.as_ref().is_none_or(|winner| place(&found) < place(winner)) {
                        winner = Some(found);
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

/// The search for one pattern of the list, or for all those of lines.
#[derive(Debug, Clone)]
struct PatternSearch {
    /// Of the pattern, or the first of them.
    index: usize,
    search: OneSearch,
    /// What was found, while another pattern of the list is undecided.
    found: Option<Winner>,
}

#[derive(Debug, Clone)]
enum OneSearch {
    Bytes(Delimiter),
    Line(LineSearch),
    Regex(Search),
}

/// The search for a line that any of some patterns matches: where lines end is found once for all.
#[derive(Debug, Clone)]
struct LineSearch {
    /// With their indices in the list, in order.
    patterns: Vec<(usize, LinePattern)>,
    lines: Lines,
}

enum Outcome {
    Found(Winner),
    Undecided,
    NotYet,
}

#[derive(Debug, Clone)]
struct Winner {
    index: usize,
    range: Range<usize>,
    end: usize,
}

impl PatternSearch {
    fn scan(&mut self, window: &[u8], ended: bool) -> Outcome {
        let index = self.index;
        if self.found.is_none() {
            self.found = match &mut self.search {
                OneSearch::Bytes(delimiter) => delimiter.find(window).map(|end| Winner {
                    index,
                    range: end - delimiter.len()..end,
                    end,
                }),
                OneSearch::Line(search) => search.find(window),
                OneSearch::Regex(search) => match search.scan(window, ended) {
                    Verdict::Found(found) => {
                        let end = found.range.end;
                        Some(Winner { index, range: found.range, end })
                    }
                    Verdict::Undecided => return Outcome::Undecided,
                    Verdict::NotYet => None,
                },
            };
        }
        self.found.clone().map_or(Outcome::NotYet, Outcome::Found)
    }

    fn restart(&mut self) {
        self.found = None;
        match &mut self.search {
            OneSearch::Bytes(delimiter) => delimiter.restart(),
            OneSearch::Line(search) => search.lines = Lines::default(),
            OneSearch::Regex(search) => search.restart(),
        }
    }

    fn lookahead(&self) -> usize {
        match &self.search {
            OneSearch::Bytes(_) | OneSearch::Line(_) => 0,
            OneSearch::Regex(search) => search.lookahead(),
        }
    }
}

impl LineSearch {
    fn new(index: usize, pattern: LinePattern) -> Self {
        Self { patterns: vec![(index, pattern)], lines: Lines::default() }
    }

    /// The first line that a pattern matches, and the first pattern that does.
    fn find(&mut self, window: &[u8]) -> Option<Winner> {
        while let Some((range, end)) = self.lines.next(window) {
            let line = &window[range.clone()];
            if let Some(&(index, _)) = self.patterns.iter().find(|(_, one)| one.matches(line)) {
                return Some(Winner { index, range, end });
            }
        }
        None
    }
}

/// How many bytes the patterns look at before the first of them may end the read; it doubles.
const FIRST_WINDOW: usize = 256;
