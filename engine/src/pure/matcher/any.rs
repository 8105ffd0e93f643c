//! [`Any`]: reads up to whichever of several patterns ends first.
//!
//! Chunk invariance: a regex that looks around may be undecided about the last byte there is, while
//! another pattern ends with it. The other one waits if it comes later in the list; ends before the
//! last byte are always decided. All patterns look at the same window of the bytes, and the window
//! grows only while nothing ends in it, so that a rare pattern does not go over bytes that a
//! frequent one leaves to the next read. A window that the steps did not do for is gone on with as
//! it was, whatever has come meanwhile.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use crate::pure::{
    error::{Error, Result},
    matcher::{
        Matcher, Scan, Steps,
        delimiter::Delimiter,
        line::Lines,
        regex::{CACHE_LIMIT, RegexSet, Search, SetSearch, SetVerdict, Verdict},
        steps::without_end,
        strings::{StringSearch, StringSet},
    },
    pattern::{IntoPatterns, Kind, LineLook, LinePattern, Pattern},
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
    /// [`Error::InvalidInput`] if there are none or more than 65,536, or one is an empty byte
    /// string.
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

/// What patterns become: a search for each of them, or for several at once.
#[derive(Debug, Clone)]
pub(crate) struct List {
    /// In the order of the list, but that the patterns of lines are together where the first of
    /// them stands, and what has been combined is behind all others.
    searches: Vec<PatternSearch>,
    /// The first [`Pattern::end`] of the list.
    end: Option<usize>,
    /// How many patterns there are.
    len: usize,
}

impl List {
    /// A search for each of these, and one for all those of lines.
    ///
    /// # Errors
    ///
    /// See [`Any::new`].
    pub(crate) fn new(patterns: impl IntoIterator<Item = Pattern>) -> Result<Self> {
        let mut searches: Vec<PatternSearch> = Vec::new();
        let (mut end, mut first_of_lines, mut len) = (None, None, 0);
        for (index, Pattern { kind }) in patterns.into_iter().enumerate() {
            if index == PATTERNS_MAX {
                return Err(Error::invalid(format_args!(
                    "more than {PATTERNS_MAX} patterns in one list"
                )));
            }
            len = index + 1;
            let search = match kind {
                Kind::Bytes(bytes) => {
                    let delimiter = Delimiter::from_bytes(bytes).map_err(|_| {
                        Error::invalid(format_args!("pattern {index} is an empty byte string"))
                    })?;
                    OneSearch::Bytes { index, delimiter }
                }
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
                Kind::Regex(regex) => OneSearch::Regex { index, search: Search::new(regex, false) },
                Kind::End => {
                    end = end.or(Some(index));
                    continue;
                }
            };
            searches.push(PatternSearch::new(search));
        }
        if len == 0 {
            return Err(Error::invalid("the list of patterns is empty"));
        }
        Ok(Self { searches, end, len })
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Makes automata of what can be looked for at once, and shares what can be. Not worth it for
    /// one read: to build an automaton costs more than most reads look at.
    pub(crate) fn combine(&mut self, bounds: &Combine) {
        let (mut strings, mut regexes, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for mut one in std::mem::take(&mut self.searches) {
            match one.search {
                OneSearch::Bytes { index, delimiter } => strings.push((index, delimiter)),
                OneSearch::Regex { index, search } => regexes.push((index, search)),
                OneSearch::Line(ref mut search) => {
                    search.patterns.share();
                    others.push(one);
                }
                OneSearch::Strings(_) | OneSearch::Regexes(_) => others.push(one),
            }
        }
        let combined =
            combine_strings(strings, bounds).into_iter().chain(combine_regexes(regexes, bounds));
        others.extend(combined.map(PatternSearch::new));
        self.searches = others;
    }
}

/// When patterns are looked for at once.
#[derive(Debug, Clone)]
pub(crate) struct Combine {
    /// From how many byte strings on one automaton looks for them.
    pub(crate) strings_min: usize,
    /// How long the strings of an automaton are together at most, in bytes.
    pub(crate) strings_max: usize,
    /// How much it takes if it is a DFA, in bytes.
    pub(crate) dfa_limit: usize,
    /// From how many regexes on one automaton looks for them.
    pub(crate) regexes_min: usize,
    /// How many states that has at most.
    pub(crate) states_max: usize,
    /// How much each of its caches takes, in bytes.
    pub(crate) cache_limit: usize,
}

impl Combine {
    pub(crate) const DEFAULT: Self = Self {
        strings_min: 8,
        strings_max: 1 << 20,
        dfa_limit: 4 << 20,
        regexes_min: 3,
        states_max: 1 << 16,
        cache_limit: CACHE_LIMIT,
    };
}

/// One search for as many byte strings as have room in it, unless they are few; for each of the
/// others its own.
fn combine_strings(strings: Vec<(usize, Delimiter)>, bounds: &Combine) -> Vec<OneSearch> {
    let mut room = bounds.strings_max;
    let (taken, mut others): (Vec<_>, Vec<_>) = strings.into_iter().partition(|(_, string)| {
        let rest = room.checked_sub(string.len());
        room = rest.unwrap_or(room);
        rest.is_some()
    });
    let needles = taken.iter().map(|(index, string)| (*index, string.needle()));
    let set = (taken.len() >= bounds.strings_min)
        .then(|| StringSet::new(needles, bounds.dfa_limit))
        .flatten();
    let mut combined = Vec::new();
    match set {
        Some(set) => combined.push(OneSearch::Strings(StringSearch::new(Arc::new(set)))),
        None => others.extend(taken),
    }
    combined
        .extend(others.into_iter().map(|(index, delimiter)| OneSearch::Bytes { index, delimiter }));
    combined
}

/// As few searches for these regexes as have room for all; for one that needs all of it its own.
fn combine_regexes(regexes: Vec<(usize, Search)>, bounds: &Combine) -> Vec<OneSearch> {
    let mut sets: Vec<Vec<(usize, Search)>> = Vec::new();
    let mut room = 0;
    for (index, search) in regexes {
        let states = RegexSet::states(search.regex());
        match sets.last_mut() {
            Some(set) if states <= room => set.push((index, search)),
            _ => {
                sets.push(vec![(index, search)]);
                room = bounds.states_max;
            }
        }
        room = room.saturating_sub(states);
    }
    let mut combined = Vec::new();
    for set in sets {
        if set.len() < bounds.regexes_min {
            let single = |(index, search)| OneSearch::Regex { index, search };
            combined.extend(set.into_iter().map(single));
        } else {
            let regexes = set.iter().map(|(index, search)| (*index, search.regex().clone()));
            let set = Arc::new(RegexSet::new(regexes, bounds.cache_limit));
            combined.push(OneSearch::Regexes(SetSearch::new(set)));
        }
    }
    combined
}

/// The search for one pattern of the list, or for several at once.
#[derive(Debug, Clone)]
struct PatternSearch {
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
    Bytes { index: usize, delimiter: Delimiter },
    Strings(StringSearch),
    Line(LineSearch),
    Regex { index: usize, search: Search },
    Regexes(SetSearch),
}

/// The search for a line that any of some patterns matches: where lines end is found once for all.
#[derive(Debug, Clone)]
struct LineSearch {
    patterns: LinePatterns,
    lines: Lines,
    /// How many of the patterns have looked at the current line, and the look of the next one.
    passed: usize,
    look: LineLook,
}

/// Patterns of lines with their indices in the list, in order.
#[derive(Debug, Clone)]
enum LinePatterns {
    /// For one read.
    Own(Vec<(usize, LinePattern)>),
    /// For all reads with the same [`Patterns`].
    Shared(Arc<[(usize, LinePattern)]>),
}

/// What a search says of the bytes there are: neither if no match ends within them.
#[derive(Debug, Default)]
struct Finding {
    winner: Option<Winner>,
    /// The index of the first pattern that waits for what follows.
    undecided: Option<usize>,
}

#[derive(Debug, Clone)]
struct Winner {
    index: usize,
    range: Range<usize>,
    end: usize,
}

impl PatternSearch {
    const fn new(search: OneSearch) -> Self {
        Self { search, found: None }
    }

    /// `None` if the steps did not do.
    fn scan(&mut self, window: &[u8], ended: bool, steps: &mut Steps) -> Option<Finding> {
        if self.found.is_some() {
            return Some(Finding { winner: self.found.clone(), undecided: None });
        }
        let finding = self.search.scan(window, ended, steps)?;
        // While a regex that comes first is undecided, its set is asked again.
        if finding.undecided.is_none() {
            self.found.clone_from(&finding.winner);
        }
        Some(finding)
    }

    fn restart(&mut self) {
        self.found = None;
        match &mut self.search {
            OneSearch::Bytes { delimiter, .. } => delimiter.restart(),
            OneSearch::Strings(search) => search.restart(),
            OneSearch::Line(search) => search.restart(),
            OneSearch::Regex { search, .. } => search.restart(),
            OneSearch::Regexes(search) => search.restart(),
        }
    }

    fn lookahead(&self) -> usize {
        match &self.search {
            OneSearch::Bytes { .. } | OneSearch::Strings(_) | OneSearch::Line(_) => 0,
            OneSearch::Regex { search, .. } => search.lookahead(),
            OneSearch::Regexes(search) => search.lookahead(),
        }
    }
}

impl OneSearch {
    /// `None` if the steps did not do.
    fn scan(&mut self, window: &[u8], ended: bool, steps: &mut Steps) -> Option<Finding> {
        let winner = match self {
            Self::Bytes { index, delimiter } => delimiter
                .find(window, steps)?
                .map(|end| Winner::new(*index, end - delimiter.len()..end)),
            Self::Strings(search) => {
                search.find(window, steps)?.map(|(index, range)| Winner::new(index, range))
            }
            Self::Line(search) => search.find(window, steps)?,
            Self::Regex { index, search } => match search.scan(window, ended, steps)? {
                Verdict::Found(found) => Some(Winner::new(*index, found.range)),
                Verdict::Undecided => {
                    return Some(Finding { winner: None, undecided: Some(*index) });
                }
                Verdict::NotYet => None,
            },
            Self::Regexes(search) => {
                let SetVerdict { found, undecided } = search.scan(window, ended, steps)?;
                let winner = found.map(|(index, range)| Winner::new(index, range));
                return Some(Finding { winner, undecided });
            }
        };
        Some(Finding { winner, undecided: None })
    }
}

impl Winner {
    /// A pattern that ends where its range does, as all but those of lines do.
    const fn new(index: usize, range: Range<usize>) -> Self {
        Self { index, end: range.end, range }
    }
}

impl LinePatterns {
    fn push(&mut self, pattern: (usize, LinePattern)) {
        if let Self::Own(patterns) = self {
            patterns.push(pattern);
        }
    }

    fn share(&mut self) {
        if let Self::Own(patterns) = self {
            *self = Self::Shared(std::mem::take(patterns).into());
        }
    }

    fn get(&self, place: usize) -> Option<&(usize, LinePattern)> {
        match self {
            Self::Own(patterns) => patterns.get(place),
            Self::Shared(patterns) => patterns.get(place),
        }
    }
}

impl LineSearch {
    fn new(index: usize, pattern: LinePattern) -> Self {
        let (lines, look) = (Lines::default(), LineLook::default());
        let patterns = LinePatterns::Own(vec![(index, pattern)]);
        Self { patterns, lines, passed: 0, look }
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
