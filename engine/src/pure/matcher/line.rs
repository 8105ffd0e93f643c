//! Reads by line: [`Line`], [`ExpectLine`], [`LineGlobSearch`].
//!
//! A line ends at its LF, and a CR before that belongs to the line end. What follows the last LF is
//! unfinished: no line yet, even at the end of the stream.

use std::ops::Range;

use bytes::Bytes;
use memchr::memchr;

use crate::pure::{
    error::{Error, Result},
    matcher::{
        Matcher, Scan, Steps,
        glob::{LineGlob, Progress},
        looked_at,
        steps::without_end,
    },
    pattern::{LineLook, LinePattern},
};

/// Takes one line with its line end, and yields it without.
///
/// # Examples
///
/// ```
/// use facade_engine::{Bytes, matcher::{Line, Matcher, Scan}};
///
/// let mut line = Line::new();
/// assert_eq!(line.scan(b"hello\r", false), Scan::NeedMore);
/// assert_eq!(line.scan(b"hello\r\nworld", false), Scan::Found { end: 7 });
/// assert_eq!(line.output(Bytes::from("hello\r\n"))?, "hello");
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// It does not end within this many bytes.
    scanned: usize,
}

impl Line {
    /// The next line, whatever it is.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Matcher for Line {
    type Output = Bytes;

    #[inline]
    fn scan(&mut self, unread: &[u8], _ended: bool) -> Scan {
        match find_lf(unread, &mut self.scanned) {
            Some(end) => Scan::Found { end },
            None => Scan::NeedMore,
        }
    }

    fn restart(&mut self) {
        self.scanned = 0;
    }

    fn output(&mut self, mut taken: Bytes) -> Result<Bytes> {
        taken.truncate(without_line_end(&taken).len());
        Ok(taken)
    }
}

/// Takes the next line if it is the expected one.
///
/// Else the read fails with [`Error::Unexpected`], and the line stays unread. Whether it is the
/// expected one is decided when the line is complete, never on the first bytes of it.
///
/// # Examples
///
/// ```
/// use facade_engine::{Bytes, Error, matcher::{ExpectLine, Matcher, Scan}};
///
/// let mut expect = ExpectLine::new("READY");
/// assert_eq!(expect.scan(b"BUSY\n", false), Scan::Found { end: 5 });
/// let error = expect.output(Bytes::from("BUSY\n")).unwrap_err();
/// assert_eq!(error.to_string(), r#"expected "READY", got "BUSY""#);
/// ```
#[derive(Debug, Clone)]
pub struct ExpectLine {
    expected: LinePattern,
    line: Line,
    look: LineLook,
    /// What came of it, if the line has been looked at.
    is_expected: Option<bool>,
}

impl ExpectLine {
    /// The next line, if `expected` matches it.
    #[must_use]
    pub fn new(expected: impl Into<LinePattern>) -> Self {
        let (line, look) = (Line::new(), LineLook::default());
        Self { expected: expected.into(), line, look, is_expected: None }
    }
}

impl Matcher for ExpectLine {
    type Output = Bytes;

    fn scan(&mut self, unread: &[u8], ended: bool) -> Scan {
        without_end(|steps| self.scan_within(unread, ended, steps))
    }

    fn scan_within(&mut self, unread: &[u8], ended: bool, steps: &mut Steps) -> Option<Scan> {
        let scan = self.line.scan(unread, ended);
        if let Scan::Found { end } = scan {
            let line = without_line_end(&unread[..end]);
            self.is_expected = Some(self.expected.matches_within(line, &mut self.look, steps)?);
        }
        Some(scan)
    }

    fn restart(&mut self) {
        self.line.restart();
        self.look.restart();
        self.is_expected = None;
    }

    fn output(&mut self, taken: Bytes) -> Result<Bytes> {
        let line = self.line.output(taken)?;
        if self.is_expected.take().unwrap_or_else(|| self.expected.matches(&line)) {
            return Ok(line);
        }
        // The error may live long, and must not keep the stream's buffer alive with it.
        let line = Bytes::copy_from_slice(&line);
        Err(Error::Unexpected { expected: self.expected.to_string(), line })
    }
}

/// Takes lines up to and with the first one that a [`LineGlob`] matches.
///
/// # Examples
///
/// ```
/// use facade_engine::{Bytes, LineGlob, matcher::{LineGlobSearch, Matcher, Scan}};
///
/// let mut search = LineGlobSearch::new(LineGlob::new("250 *")?);
/// let unread = Bytes::from("250-SIZE\r\n250 HELP\r\n");
/// assert_eq!(search.scan(&unread, false), Scan::Found { end: 20 });
/// let found = search.output(unread)?;
/// assert_eq!((&found.skipped[..], &found.line[..]), (&b"250-SIZE\r\n"[..], &b"250 HELP"[..]));
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct LineGlobSearch {
    glob: LineGlob,
    lines: Lines,
    progress: Progress,
    /// The line that was found, without its line end.
    found: Range<usize>,
}

impl LineGlobSearch {
    /// Up to and with the first line that `glob` matches.
    #[must_use]
    pub fn new(glob: LineGlob) -> Self {
        Self { glob, lines: Lines::default(), progress: Progress::default(), found: 0..0 }
    }
}

impl Matcher for LineGlobSearch {
    type Output = LineMatch;

    fn scan(&mut self, unread: &[u8], ended: bool) -> Scan {
        without_end(|steps| self.scan_within(unread, ended, steps))
    }

    fn scan_within(&mut self, unread: &[u8], _ended: bool, steps: &mut Steps) -> Option<Scan> {
        while let Some((line, end)) = self.lines.current(unread, steps)? {
            let matches =
                self.glob.matches_within(&unread[line.clone()], &mut self.progress, steps)?;
            self.progress.restart();
            self.lines.pass();
            if matches {
                self.found = line;
                return Some(Scan::Found { end });
            }
        }
        Some(Scan::NeedMore)
    }

    fn restart(&mut self) {
        self.lines = Lines::default();
        self.progress.restart();
    }

    fn output(&mut self, taken: Bytes) -> Result<LineMatch> {
        let line = taken.slice(self.found.clone());
        Ok(LineMatch { skipped: taken.slice(..self.found.start), line })
    }
}

/// A line that was looked for, and what came before it.
///
/// From [`read_until_lineglob`](crate::Handle::read_until_lineglob), where there is an example.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineMatch {
    /// The lines before it, raw, with their line ends.
    pub skipped: Bytes,
    /// The line, without its line end.
    pub line: Bytes,
}

/// The lines of a stream, one after the other, from the place where a read begins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    /// Where the current line begins.
    start: usize,
    /// The current line does not end within this many bytes.
    scanned: usize,
    /// Where it ends, if that has been found.
    end: Option<usize>,
}

impl Lines {
    /// The current line, if it is complete, without its line end; and where the next one begins.
    /// `None` if the steps are used up.
    pub(crate) fn current(
        &mut self,
        unread: &[u8],
        steps: &mut Steps,
    ) -> Option<Option<(Range<usize>, usize)>> {
        if self.end.is_none() {
            if self.scanned == unread.len() {
                return Some(None);
            }
            if steps.are_used_up() {
                return None;
            }
            let from = self.scanned;
            self.end = find_lf(unread, &mut self.scanned);
            steps.take(1 + (self.end.unwrap_or(unread.len()) - from) / BYTES_A_STEP);
        }
        let Some(end) = self.end else { return Some(None) };
        let line = without_line_end(&unread[self.start..end]);
        Some(Some((self.start..self.start + line.len(), end)))
    }

    /// The current line has been looked at: the next one is the current one.
    pub(crate) fn pass(&mut self) {
        if let Some(end) = self.end.take() {
            (self.start, self.scanned) = (end, end);
        }
    }
}

/// How many bytes take a step: they are compared many at a time.
const BYTES_A_STEP: usize = 16;

/// Where the first line ends, of which the first `scanned` bytes are known to have no end.
#[inline]
fn find_lf(unread: &[u8], scanned: &mut usize) -> Option<usize> {
    let fresh = &unread[*scanned..];
    let Some(length) = memchr(b'\n', fresh) else {
        looked_at(fresh.len());
        *scanned = unread.len();
        return None;
    };
    looked_at(length + 1);
    Some(*scanned + length + 1)
}

/// A raw line without its LF or CRLF.
#[inline]
pub(crate) fn without_line_end(raw: &[u8]) -> &[u8] {
    let line = raw.strip_suffix(b"\n").unwrap_or(raw);
    line.strip_suffix(b"\r").unwrap_or(line)
}
