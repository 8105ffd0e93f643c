//! [`Regex`] and its [`RegexMatch`]: regular expressions on a stream of bytes.
//!
//! `search` looks for the earliest end of a match, byte by byte, on the lazy DFA of `dfa`; once the
//! end is known, it goes back to the start on another, and `groups` finds the groups. The pattern
//! is `regex-syntax`'s and the NFA `regex-automata`'s; all that goes over bytes is here, because it
//! has to stop when its steps are used up. `set` looks for the end of any of several at once.

mod dfa;
mod groups;
mod program;
mod search;
mod set;
mod simulation;

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use regex_automata::{
    PatternID,
    nfa::thompson::{self, NFA, WhichCaptures},
    util::{captures::GroupInfo, look::Look},
};
use regex_syntax::hir::{ErrorKind as HirError, Hir};

use crate::pure::{
    error::{self, Error},
    matcher::{Quoted, steps::without_end},
};

use self::program::Program;

pub use self::search::RegexSearch;
pub(crate) use self::{
    dfa::CACHE_LIMIT,
    search::{LineSearch, Search, Verdict},
    set::{RegexSet, SetSearch, SetVerdict},
};

/// A regular expression over bytes, for streams.
///
/// # A match is taken at its earliest end
///
/// A stream cannot wait for a longer match, which may never come: the match is the one that *ends*
/// first, and of those that end there, the one that starts first. So a repetition or an option at
/// the end of a pattern takes as little as it can: **`a+` takes one byte, `login: ?` leaves the
/// blank unread.** Write what must follow: `[0-9]+ `, `login: `, `(?m)^.*\n`.
///
/// # Text
///
/// - A read begins a text: `^` and `\b` see nothing before it. `$` and `\b` look at the stream's
///   real next byte or real end, and wait for it where it makes a difference.
/// - Classes are ASCII: `\w` is `[0-9A-Za-z_]`, `.` is any byte but LF (with `(?s)`, any byte).
/// - The syntax is that of the [`regex`](https://docs.rs/regex/latest/regex/#syntax) crate.
///   Searching takes time linear in the bytes, whatever the pattern.
///
/// Cheap to clone; clones share their working memory, which is bounded.
///
/// # Examples
///
/// ```
/// use facade_engine::{Bytes, Regex, matcher::{Matcher, RegexSearch, Scan}};
///
/// let mut search = RegexSearch::new(Regex::new(r"HTTP/(?<version>[0-9.]+) (?<status>[0-9]{3})")?);
/// let unread = Bytes::from("HTTP/1.1 200 OK\r\n");
/// assert_eq!(search.scan(&unread, false), Scan::Found { end: 12 });
/// let found = search.output(unread.slice(..12))?;
/// assert_eq!(found.name("status").unwrap(), "200");
///
/// let error = Regex::new("(a").unwrap_err();
/// assert_eq!(error.to_string(), r#"invalid input: regex "(a": unclosed group at byte 0"#);
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Clone)]
pub struct Regex {
    inner: Arc<Inner>,
}

struct Inner {
    pattern: Box<str>,
    program: Program,
    /// Goes from an end back to the start.
    backward: Program,
    names: GroupInfo,
    /// Two for each group but the whole match.
    slots: usize,
    looks_ahead: bool,
    /// How much each cache may take, in bytes.
    cache_limit: usize,
    epochs: dfa::Epochs,
    caches: Pool<Caches>,
}

/// Working memory of searches. A search has some only while it looks at bytes.
struct Pool<T> {
    /// That of whoever searches while nobody else does: one lock, and nothing is moved.
    first: Mutex<T>,
    /// Some more, for those who search at the same time, that nobody is using. Each scan moves one
    /// out and in again.
    others: Mutex<Vec<Box<T>>>,
}

/// Working memory of a search, filled as it goes.
struct Caches {
    forward: dfa::Cache,
    backward: Option<dfa::Cache>,
    groups: groups::Groups,
}

impl Regex {
    /// Compiles a pattern.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] says what is wrong and, for the syntax, at which byte of the
    /// pattern, counted from 0. Also refused are patterns that match the empty string, that are
    /// longer than 4 KiB or need more than 1 MiB when compiled, that may need more than 4 MiB to
    /// find their groups (which is as many groups times the pattern's length), and that use Unicode
    /// word boundaries.
    pub fn new(pattern: &str) -> error::Result<Self> {
        if pattern.len() > PATTERN_LIMIT {
            return Err(Error::invalid(format_args!(
                "a regex of {} bytes, and {PATTERN_LIMIT} is the most",
                pattern.len()
            )));
        }
        let refuse =
            |wrong: String| Error::invalid(format_args!("regex {}: {wrong}", Quoted(pattern)));
        let hir = parse(pattern).map_err(refuse)?;
        let inner = Inner::compile(pattern, &hir, CACHE_LIMIT).map_err(refuse)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The same pattern with caches that take so much at most, or one place.
    #[cfg(test)]
    pub(crate) fn with_cache_limit(&self, limit: usize) -> Self {
        let hir = parse(self.as_str()).expect("it has been read before");
        let inner = Inner::compile(self.as_str(), &hir, limit);
        Self { inner: Arc::new(inner.expect("it has been compiled before")) }
    }

    /// The pattern as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.inner.pattern
    }

    /// Whether there is a match anywhere in `line`, which is all there is.
    pub(crate) fn is_match(&self, line: &[u8]) -> bool {
        let mut search = LineSearch::new(self);
        without_end(|steps| search.is_match(self, line, steps))
    }

    fn with_caches<T>(&self, run: impl FnOnce(&Inner, &mut Caches) -> T) -> T {
        let new = || Caches::new(self.inner.new_cache());
        self.inner.caches.with(new, |caches| run(&self.inner, caches))
    }
}

impl<T> Pool<T> {
    fn new(first: T) -> Self {
        Self { first: Mutex::new(first), others: Mutex::new(Vec::new()) }
    }

    /// Lends some, new if all there is is lent.
    #[inline]
    fn with<R>(&self, new: impl FnOnce() -> T, run: impl FnOnce(&mut T) -> R) -> R {
        if let Ok(mut first) = self.first.try_lock() {
            return run(&mut first);
        }
        let others = || self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let other = others().pop();
        let mut lent = other.unwrap_or_else(|| Box::new(new()));
        let result = run(&mut lent);
        let mut others = others();
        if others.len() < POOL_LIMIT {
            others.push(lent);
        }
        result
    }
}

impl fmt::Display for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Regex").field(&self.as_str()).finish()
    }
}

/// A match of a [`Regex`], and what came before it.
///
/// From [`read_until_regex`](crate::Handle::read_until_regex), where there is an example.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RegexMatch {
    /// All that was taken, raw: up to and with the match.
    pub bytes: Bytes,
    /// Which of the bytes match; ends where they end.
    pub range: Range<usize>,
    regex: Regex,
    /// Where the groups are, without the whole match, which is group 0.
    pub(crate) groups: Vec<Option<Range<usize>>>,
}

impl RegexMatch {
    /// What the `index`th group matched, counted by opening parentheses from 1; 0 is the whole
    /// match. `None` if the group took no part in the match or does not exist.
    ///
    /// # Examples
    ///
    /// ```
    /// use facade_engine::{Bytes, Regex, matcher::{Matcher, RegexSearch}};
    ///
    /// let mut search = RegexSearch::new(Regex::new("(a)|(b)")?);
    /// let unread = Bytes::from("- b");
    /// search.scan(&unread, false);
    /// let found = search.output(unread)?;
    /// assert_eq!(found.range, 2..3);
    /// assert_eq!(found.group(0).unwrap(), "b");
    /// assert_eq!(found.group(1), None);
    /// assert_eq!(found.group(2).unwrap(), "b");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[must_use]
    pub fn group(&self, index: usize) -> Option<Bytes> {
        let range = match index.checked_sub(1) {
            None => self.range.clone(),
            Some(index) => self.groups.get(index)?.clone()?,
        };
        Some(self.bytes.slice(range))
    }

    /// What the group `(?<name>..)` matched; `None` if it took no part in the match or does not
    /// exist.
    ///
    /// ```
    /// use facade_engine::{Bytes, Regex, matcher::{Matcher, RegexSearch}};
    ///
    /// let mut search = RegexSearch::new(Regex::new("(?<key>[a-z]+)=")?);
    /// let unread = Bytes::from("name=");
    /// search.scan(&unread, false);
    /// assert_eq!(search.output(unread)?.name("key").unwrap(), "name");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[must_use]
    pub fn name(&self, name: &str) -> Option<Bytes> {
        self.group(self.regex.inner.names.to_index(PatternID::ZERO, name)?)
    }
}

impl Inner {
    fn compile(pattern: &str, hir: &Hir, cache_limit: usize) -> Result<Self, String> {
        let config = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(NFA_LIMIT))
            .which_captures(WhichCaptures::All);
        let nfa = build(config.clone(), hir)?;
        let reverse = build(config.reverse(true).which_captures(WhichCaptures::None), hir)?;
        let behind = [Look::Start, Look::StartLF, Look::WordStartHalfAscii];
        let looks_ahead = nfa.look_set_any().iter().any(|look| !behind.contains(&look));
        let (program, backward) = (Program::new(&nfa), Program::new(&reverse));
        let slots = nfa.group_info().explicit_slot_len();
        let threads = program.ops.iter().filter(|&&op| program::waits(op)).count();
        if slots.saturating_mul(threads) > GROUPS_LIMIT / (2 * size_of::<usize>()) {
            let groups = slots / 2;
            return Err(format!(
                "it may need more than {GROUPS_LIMIT} bytes to find its {groups} groups: make some \
                 of them (?:..), which are not captured"
            ));
        }
        let epochs = dfa::Epochs::default();
        Ok(Self {
            pattern: pattern.into(),
            caches: Pool::new(Caches::new(dfa::Cache::new(cache_limit, epochs.next()))),
            program,
            backward,
            names: nfa.group_info().clone(),
            slots,
            looks_ahead,
            cache_limit,
            epochs,
        })
    }

    fn new_cache(&self) -> dfa::Cache {
        dfa::Cache::new(self.cache_limit, self.epochs.next())
    }
}

impl Caches {
    fn new(forward: dfa::Cache) -> Self {
        Self { forward, backward: None, groups: groups::Groups::default() }
    }
}

/// Reads a pattern, or says what is wrong with it.
fn parse(pattern: &str) -> Result<Hir, String> {
    let hir = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(pattern)
        .map_err(|error| match &error {
            regex_syntax::Error::Parse(error) => at(error.kind(), error.span()),
            regex_syntax::Error::Translate(error) => match error.kind() {
                HirError::InvalidUtf8 | HirError::InvalidLineTerminator => {
                    at(error.kind(), error.span())
                }
                // Of those that there are, all others say in one way or another that something is
                // Unicode's, and partly what its author would have to do about it.
                _ => format!("{}: {ABOUT_BYTES}", at(&"Unicode not allowed", error.span())),
            },
            error => error.to_string(),
        })?;
    if hir.properties().look_set().contains_word_unicode() {
        return Err(format!("Unicode word boundaries not allowed: {ABOUT_BYTES}"));
    }
    if hir.properties().minimum_len() == Some(0) {
        return Err("it matches the empty string, so a read would end before it began".into());
    }
    Ok(hir)
}

fn at(kind: &dyn fmt::Display, span: &regex_syntax::ast::Span) -> String {
    format!("{kind} at byte {}", span.start.offset)
}

fn build(config: thompson::Config, hir: &Hir) -> Result<NFA, String> {
    NFA::compiler().configure(config).build_from_hir(hir).map_err(|error| {
        match error.size_limit() {
            Some(limit) => format!("it needs more than {limit} bytes when compiled"),
            None => error.to_string(),
        }
    })
}

/// What to write where Unicode is not allowed.
const ABOUT_BYTES: &str = "patterns are about bytes, and their classes ASCII; a character that is \
                           not ASCII is a string of bytes, to be written as itself or as \
                           `\\xC3\\xA9`, but outside of [..]: (?:\u{e9}|\u{fc}) for [\u{e9}\u{fc}]";

/// The longest pattern, in bytes.
const PATTERN_LIMIT: usize = 4 << 10;

/// The most that a compiled pattern may take in each direction, in bytes.
const NFA_LIMIT: usize = 1 << 20;

/// The most that may be needed to find the groups of a match, in bytes.
const GROUPS_LIMIT: usize = 4 << 20;

/// How many caches a regex keeps: more are made only while more threads search at the same time.
const POOL_LIMIT: usize = 4;
