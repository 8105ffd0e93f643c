//! [`List`]: the searches for the patterns of a list; [`Patterns`]: those that are shared by reads.

use std::{fmt, ops::Range, sync::Arc};

use crate::pure::{
    error::{Error, Result},
    matcher::{
        Matcher, Steps,
        delimiter::Delimiter,
        line::Lines,
        regex::{CACHE_LIMIT, RegexSet, Search, SetSearch, SetVerdict, Verdict},
        strings::{StringSearch, StringSet},
    },
    pattern::{Kind, LineLook, LinePattern, Pattern},
};

/// A list of [`Pattern`]s for many reads: built once, it is given to
/// [`read_until_any`](crate::Handle::read_until_any) again and again, to several reads at once, on
/// any engines.
///
/// What is found is what would be found with the list itself. It only costs less: nothing of the
/// list is copied for a read, 8 byte strings or more are looked for by one automaton, and so are 3
/// regexes or more, so that a thousand cost what a few do. For a handful of patterns it makes
/// little difference.
///
/// Cheap to clone; clones share the list and the working memory of its searches.
///
/// # Memory
///
/// - Byte strings: up to 4 MiB, or, if that does not do, about ten times their length. An automaton
///   takes in 1 MiB of them; those that it has no room for are looked for one by one.
/// - Regexes: some hundred bytes for each state (`abc` has about three, `[a-z]{9}` nine), and 1 MiB
///   of working memory for each search that runs at the same time. An automaton has 65,536 states
///   at most; regexes that need more of them are looked for by several.
///
/// # Examples
///
/// ```
/// use facade_engine::{AnyMatch, Callback, Engine, Handle, Pattern, Patterns, Regex, Stream};
/// use std::{io::Write, os::unix::net::UnixStream};
///
/// const ANSWERS: [&str; 2] = ["guest", "secret"];
///
/// // Answers each prompt as long as there is an answer.
/// fn talk(engine: &Handle, stream: Stream, prompts: Patterns) {
///     engine.read_until_any(&stream.clone(), &prompts.clone(), Callback::new(
///         move |engine, found: AnyMatch| {
///             if let Some(answer) = ANSWERS.get(found.index) {
///                 engine.write_line(&stream, *answer, Callback::ignore());
///                 talk(engine, stream, prompts);
///             }
///         },
///         |_, error| panic!("{error}"),
///     ));
/// }
///
/// let engine = Engine::new()?;
/// let (mut peer, ours) = UnixStream::pair().unwrap();
/// let stream = engine.attach(ours)?;
/// let ready = Regex::new("[$#] ")?;
/// let prompts = [Pattern::bytes("login: "), Pattern::bytes("word: "), Pattern::regex(ready)];
/// let prompts = Patterns::new(prompts)?;
/// assert_eq!(prompts.len(), 3);
/// peer.write_all(b"login: Password: Welcome!\r\n# ").unwrap();
/// talk(&engine, stream, prompts);
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Clone)]
pub struct Patterns {
    list: Arc<List>,
}

impl Patterns {
    /// Makes a list for many reads. That takes longer than most reads: of a thousand patterns
    /// milliseconds.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) if there are none or more than 65,536,
    /// or one is an empty byte string.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Result<Self> {
        Self::combined(patterns, &Combine::DEFAULT)
    }

    /// The same with other bounds.
    pub(crate) fn combined(
        patterns: impl IntoIterator<Item = Pattern>,
        combine: &Combine,
    ) -> Result<Self> {
        let mut list = List::new(patterns)?;
        list.combine(combine);
        Ok(Self { list: Arc::new(list) })
    }

    /// The searches of one read.
    pub(crate) fn list(&self) -> List {
        List::clone(&self.list)
    }

    /// How many patterns there are; at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.list.len()
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patterns").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// What patterns become: a search for each of them, or for several at once.
#[derive(Debug, Clone)]
pub(crate) struct List {
    /// In the order of the list, but that the patterns of lines are together where the first of
    /// them stands, and what has been combined is behind all others.
    pub(crate) searches: Vec<PatternSearch>,
    /// The first [`Pattern::end`] of the list.
    pub(crate) end: Option<usize>,
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
pub(crate) struct PatternSearch {
    search: OneSearch,
    /// What was found, while another pattern of the list is undecided.
    found: Option<Winner>,
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
pub(crate) struct Finding {
    pub(crate) winner: Option<Winner>,
    /// The index of the first pattern that waits for what follows.
    pub(crate) undecided: Option<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct Winner {
    pub(crate) index: usize,
    pub(crate) range: Range<usize>,
    pub(crate) end: usize,
}

impl PatternSearch {
    const fn new(search: OneSearch) -> Self {
        Self { search, found: None }
    }

    /// `None` if the steps did not do.
    pub(crate) fn scan(
        &mut self,
        window: &[u8],
        ended: bool,
        steps: &mut Steps,
    ) -> Option<Finding> {
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

    pub(crate) fn restart(&mut self) {
        self.found = None;
        match &mut self.search {
            OneSearch::Bytes { delimiter, .. } => delimiter.restart(),
            OneSearch::Strings(search) => search.restart(),
            OneSearch::Line(search) => search.restart(),
            OneSearch::Regex { search, .. } => search.restart(),
            OneSearch::Regexes(search) => search.restart(),
        }
    }

    pub(crate) fn lookahead(&self) -> usize {
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
