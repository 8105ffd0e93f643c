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
    error::{Error, Result},
    matcher::{
        Matcher, Scan, Steps,
        delimiter::Delimiter,
        line::Lines,
        regex::{Search, Verdict},
        steps::without_end,
    },
    pattern::{Kind, LineLook, LinePattern, Pattern},
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
    /// The window that is being looked at.
    window: Option<Window>,
    /// The index of the pattern that was found, and its range.
    found: (usize, Range<usize>),
}

impl Any {
    /// Up to whichever of `patterns` ends first.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] if there are none or more than 65,536, or one is an empty byte
    /// string.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Result<Self> {
        let mut searches: Vec<PatternSearch> = Vec::new();
        let (mut end, mut first_of_lines) = (None, None);
        for (index, Pattern { kind }) in patterns.into_iter().enumerate() {
            if index == PATTERNS_MAX {
                return Err(Error::invalid(format_args!(
                    "more than {PATTERNS_MAX} patterns in one list"
                )));
            }
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
        Ok(Self { searches, end, scanned: 0, window: None, found: (0, 0..0) })
    }

    /// Looks at a window, in which all is decided but what ends with its last byte. `None` if the
    /// steps did not do.
    fn scan_window(
        &mut self,
        bytes: &[u8],
        window: &mut Window,
        steps: &mut Steps,
    ) -> Option<Option<Winner>> {
        for one in &mut self.searches[window.searched..] {
            let outcome = one.scan(bytes, window.ended, steps)?;
            steps.take(STEPS_A_SEARCH);
            match outcome {
                Finding::Found(found) => {
                    let place = |winner: &Winner| (winner.end, winner.index);
                    if window.winner.as_ref().is_none_or(|winner| place(&found) < place(winner)) {
                        window.winner = Some(found);
                    }
                }
                Finding::Undecided => window.undecided = window.undecided.or(Some(one.index)),
                Finding::NotYet => {}
            }
            window.searched += 1;
        }
        let end_of_stream = || {
            let (index, end) = (self.end.filter(|_| window.ended)?, bytes.len());
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

/// The search for one pattern of the list, or for all those of lines.
#[derive(Debug, Clone)]
struct PatternSearch {
    /// Of the pattern, or the first of them.
    index: usize,
    search: OneSearch,
    /// What was found, while another pattern of the list is undecided.
    found: Option<Winner>,
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
    /// How many of the patterns have looked at the current line, and the look of the next one.
    passed: usize,
    look: LineLook,
}

enum Finding {
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
    /// `None` if the steps did not do.
    fn scan(&mut self, window: &[u8], ended: bool, steps: &mut Steps) -> Option<Finding> {
        let index = self.index;
        if self.found.is_none() {
            self.found =
                match &mut self.search {
                    OneSearch::Bytes(delimiter) => delimiter
                        .find(window, steps)?
                        .map(|end| Winner { index, range: end - delimiter.len()..end, end }),
                    OneSearch::Line(search) => search.find(window, steps)?,
                    OneSearch::Regex(search) => match search.scan(window, ended, steps)? {
                        Verdict::Found(found) => {
                            let end = found.range.end;
                            Some(Winner { index, range: found.range, end })
                        }
                        Verdict::Undecided => return Some(Finding::Undecided),
                        Verdict::NotYet => None,
                    },
                };
        }
        Some(self.found.clone().map_or(Finding::NotYet, Finding::Found))
    }

    fn restart(&mut self) {
        self.found = None;
        match &mut self.search {
            OneSearch::Bytes(delimiter) => delimiter.restart(),
            OneSearch::Line(search) => search.restart(),
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
        let (lines, look) = (Lines::default(), LineLook::default());
        Self { patterns: vec![(index, pattern)], lines, passed: 0, look }
    }

    fn restart(&mut self) {
        (self.lines, self.passed) = (Lines::default(), 0);
        self.look.restart();
    }

    /// The first line that a pattern matches, and the first pattern that does. `None` if the steps
    /// did not do.
    fn find(&mut self, window: &[u8], steps: &mut Steps) -> Option<Option<Winner>> {
        while let Some((range, end)) = self.lines.current(window, steps)? {
            let line = &window[range.clone()];
            while let Some((index, pattern)) = self.patterns.get(self.passed) {
                if steps.are_used_up() {
                    return None;
                }
                let matches = pattern.matches_within(line, &mut self.look, steps)?;
                self.look.restart();
                self.passed += 1;
                if matches {
                    return Some(Some(Winner { index: *index, range, end }));
                }
            }
            self.lines.pass();
            self.passed = 0;
        }
        Some(None)
    }
}

/// How many patterns a list has at most.
const PATTERNS_MAX: usize = 65_536;

/// What it costs to ask a search, beside what it looks at.
const STEPS_A_SEARCH: usize = 8;

/// How many bytes the patterns look at before the first of them may end the read; it doubles.
const FIRST_WINDOW: usize = 256;
