//! Patterns: what a read looks for, as the program writes it down.
//!
//! [`Regex`] and [`LineGlob`] live with the matchers that run them; here is what combines them:
//! [`LinePattern`] for one line, [`Pattern`] for [`read_until_any`](crate::Handle::read_until_any),
//! [`Patterns`] for many such reads.

use std::{fmt, sync::Arc};

use bytes::Bytes;

pub use crate::pure::matcher::{
    any::AnyMatch,
    glob::LineGlob,
    line::LineMatch,
    regex::{Regex, RegexMatch},
};
use crate::pure::{
    error::Result,
    matcher::{
        Steps,
        any::{Combine, List},
        glob::Progress,
        regex::LineSearch,
    },
};

/// Which lines are meant. A line is looked at without its LF or CRLF.
///
/// A string is exactly that line, a [`LineGlob`] matches the whole line, and a [`Regex`] is
/// searched in it. `Display` writes it the way [`Error::Unexpected`](crate::Error::Unexpected)
/// shows it.
///
/// # Examples
///
/// ```
/// use facade_engine::{LineGlob, LinePattern, Regex};
///
/// assert!(LinePattern::from("OK").matches(b"OK"));
/// assert!(LinePattern::from(LineGlob::new("220 *")?).matches(b"220 ready"));
/// assert!(LinePattern::from(Regex::new("read[yi]")?).matches(b"220 ready"));
/// assert_eq!(LinePattern::from("OK").to_string(), r#""OK""#);
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct LinePattern {
    kind: LineKind,
}

#[derive(Debug, Clone)]
enum LineKind {
    Any,
    Exact(Bytes),
    Glob(LineGlob),
    Regex(Regex),
}

impl LinePattern {
    /// Any line.
    #[must_use]
    pub const fn any() -> Self {
        Self { kind: LineKind::Any }
    }

    /// Exactly this line, given without its line end; an empty one is an empty line.
    ///
    /// As a line has neither an LF in it nor a CR at its end (that is part of the line end), a
    /// `line` that has never matches.
    #[must_use]
    pub fn exact(line: impl AsRef<[u8]>) -> Self {
        Self { kind: LineKind::Exact(Bytes::copy_from_slice(line.as_ref())) }
    }

    /// Whether `line`, given without its line end, is meant.
    #[must_use]
    pub fn matches(&self, line: &[u8]) -> bool {
        match &self.kind {
            LineKind::Any => true,
            LineKind::Exact(exact) => exact == line,
            LineKind::Glob(glob) => glob.matches(line),
            LineKind::Regex(regex) => regex.is_match(line),
        }
    }

    /// The same as far as the steps do: `None` if there is more to look at.
    pub(crate) fn matches_within(
        &self,
        line: &[u8],
        look: &mut LineLook,
        steps: &mut Steps,
    ) -> Option<bool> {
        let matches = match &self.kind {
            LineKind::Any => Some(true),
            LineKind::Exact(exact) => Some(exact == line),
            LineKind::Glob(glob) => glob.matches_within(line, &mut look.glob, steps),
            LineKind::Regex(regex) => {
                let search = look.regex.get_or_insert_with(|| LineSearch::new(regex));
                search.is_match(regex, line, steps)
            }
        };
        steps.take(1);
        matches
    }
}

/// How far one line has been looked at for one pattern.
#[derive(Debug, Clone, Default)]
pub(crate) struct LineLook {
    glob: Progress,
    regex: Option<LineSearch>,
}

impl LineLook {
    /// Begins with another line or another pattern.
    pub(crate) fn restart(&mut self) {
        self.glob.restart();
        self.regex = None;
    }
}

impl From<&str> for LinePattern {
    /// Exactly this line.
    fn from(line: &str) -> Self {
        Self::exact(line)
    }
}

impl From<String> for LinePattern {
    /// Exactly this line.
    fn from(line: String) -> Self {
        Self { kind: LineKind::Exact(line.into()) }
    }
}

impl From<LineGlob> for LinePattern {
    fn from(glob: LineGlob) -> Self {
        Self { kind: LineKind::Glob(glob) }
    }
}

impl From<Regex> for LinePattern {
    fn from(regex: Regex) -> Self {
        Self { kind: LineKind::Regex(regex) }
    }
}

impl fmt::Display for LinePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            LineKind::Any => f.write_str("any line"),
            LineKind::Exact(line) => write!(f, "{:?}", String::from_utf8_lossy(line)),
            LineKind::Glob(glob) => write!(f, "a line like {:?}", glob.to_string()),
            LineKind::Regex(regex) => write!(f, "a line with a match of {:?}", regex.as_str()),
        }
    }
}

/// One of the things that [`read_until_any`](crate::Handle::read_until_any) waits for.
///
/// # Examples
///
/// ```
/// use facade_engine::{LineGlob, Pattern, Regex};
///
/// let patterns = [
///     Pattern::bytes("login: "),
///     Pattern::line(LineGlob::new("*incorrect*")?),
///     Pattern::regex(Regex::new("[$#] ")?),
///     Pattern::end(),
/// ];
/// let _ = patterns;
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Pattern {
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Bytes(Bytes),
    Line(LinePattern),
    Regex(Regex),
    End,
}

impl Pattern {
    /// A byte string, which ends at its last byte. It must not be empty.
    #[must_use]
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self { kind: Kind::Bytes(Bytes::copy_from_slice(bytes.as_ref())) }
    }

    /// The first line, counted from where the read begins, that `line` matches. It ends with its
    /// LF; an unfinished last line is no line.
    #[must_use]
    pub fn line(line: impl Into<LinePattern>) -> Self {
        Self { kind: Kind::Line(line.into()) }
    }

    /// A regex, at its earliest end: see [`Regex`].
    #[must_use]
    pub const fn regex(regex: Regex) -> Self {
        Self { kind: Kind::Regex(regex) }
    }

    /// The end of the stream. It comes behind the last byte, hence behind every pattern that ends
    /// with that byte, wherever it stands in the list.
    #[must_use]
    pub const fn end() -> Self {
        Self { kind: Kind::End }
    }
}

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

/// What [`read_until_any`](crate::Handle::read_until_any) takes for patterns: [`Patterns`], a
/// reference to some, or whatever iterates over [`Pattern`]s, which is a list for this read.
///
/// No other type can have it.
pub trait IntoPatterns: sealed::Sealed {}

impl IntoPatterns for Patterns {}

impl IntoPatterns for &Patterns {}

impl<I: IntoIterator<Item = Pattern>> IntoPatterns for I {}

mod sealed {
    use crate::pure::{
        error::Result,
        matcher::any::{Any, List},
    };

    use super::{Pattern, Patterns};

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
            Ok(Any::of(List::clone(&self.list)))
        }
    }

    impl<I: IntoIterator<Item = Pattern>> Sealed for I {
        fn into_any(self) -> Result<Any> {
            List::new(self).map(Any::of)
        }
    }
}
