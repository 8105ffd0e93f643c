//! Patterns: what a read looks for, as the program writes it down.
//!
//! [`Regex`] and [`LineGlob`] live with the matchers that run them; here is what combines them:
//! [`LinePattern`] for one line, [`Pattern`] for [`read_until_any`](crate::Handle::read_until_any).

use std::fmt;

use bytes::Bytes;

use crate::pure::matcher::{Steps, glob::Progress, regex::LineSearch};
pub use crate::pure::matcher::{
    any::{AnyMatch, IntoPatterns},
    glob::LineGlob,
    line::LineMatch,
    list::Patterns,
    regex::{Regex, RegexMatch},
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
