//! What a read must yield, worked out the naive way: from all bytes at once, by looking at every
//! place in turn. Shares nothing with the engine's matchers.

use std::{net::SocketAddr, ops::Range};

use facade_engine::{
    AnyMatch, Bytes, Callback, Cancel, Chain, Handle, LineGlob, LineMatch, LinePattern, Pattern,
    Regex, RegexMatch, Stream, sim::Rng,
};
use facade_tests::reads::UpTo;

/// A read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spec {
    Chunk(usize),
    Exact(usize),
    Until(&'static str),
    Line,
    Glob,
    Regex(Expression),
    /// A byte string, a line, or the end of the stream if that is among them.
    Any {
        bytes: &'static str,
        end: bool,
    },
    All,
    With(&'static str),
    /// Any line, one that is most likely not there, or one with a letter in it.
    Expect(Expected),
    Peek(usize),
    Buffered,
}

/// A regex whose meaning is easily worked out by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expression {
    /// `b.d`: three bytes, of which the second is no line end.
    Dot,
    /// `[ab]\r?\n`: the earliest end, and the blank before it if there is one.
    LineEnd,
    /// `e[fgh]+`: the earliest end, so one byte after the `e`.
    Plus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Any,
    Exact,
    Glob,
}

/// What a read yielded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Bytes(Bytes),
    Skipped {
        skipped: Bytes,
        line: Bytes,
    },
    Range {
        index: usize,
        bytes: Bytes,
        range: Range<usize>,
    },
    Count(usize),
    /// Of both ways.
    Counts(usize, usize),
    Datagram {
        bytes: Bytes,
        from: SocketAddr,
        truncated: bool,
    },
    Unit,
    /// A connection, kept elsewhere.
    Stream,
}

/// What all bytes from here on mean for a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wait,
    Take(usize, Value),
    TooLong,
    Unexpected(Bytes),
}

impl Value {
    /// How much it is, to be noted.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Skipped { skipped, line } => (skipped.len() + line.len()) as u64,
            Self::Range { index, bytes, .. } => (index + bytes.len()) as u64,
            Self::Count(count) => *count as u64,
            Self::Counts(there, back) => (there + back) as u64,
            Self::Datagram { bytes, .. } => bytes.len() as u64,
            Self::Unit | Self::Stream => 0,
        }
    }
}

const GLOB: &str = "*c*";
/// The line that [`Expected::Exact`] waits for, in vain in most cases.
const EXACT: &str = "a";

const DELIMITERS: [&str; 6] = ["\n", "\r\n", "ab", "\n\n", "aab", "\r\n\r\n"];

impl Expression {
    const ALL: [Self; 3] = [Self::Dot, Self::LineEnd, Self::Plus];

    pub(crate) const fn pattern(self) -> &'static str {
        match self {
            Self::Dot => "b.d",
            Self::LineEnd => r"[ab]\r?\n",
            Self::Plus => "e[fgh]+",
        }
    }

    /// The match that ends first.
    fn find(self, bytes: &[u8]) -> Option<Range<usize>> {
        (1..=bytes.len()).find_map(|end| {
            let start = match (self, &bytes[..end]) {
                (Self::Dot, [.., b'b', middle, b'd']) if *middle != b'\n' => end - 3,
                (Self::LineEnd, [.., b'a' | b'b', b'\r', b'\n']) => end - 3,
                (Self::LineEnd, [.., b'a' | b'b', b'\n']) => end - 2,
                (Self::Plus, [.., b'e', b'f' | b'g' | b'h']) => end - 2,
                _ => return None,
            };
            Some(start..end)
        })
    }
}

impl Expected {
    pub(crate) fn pattern(self) -> LinePattern {
        match self {
            Self::Any => LinePattern::any(),
            Self::Exact => EXACT.into(),
            Self::Glob => LineGlob::new(GLOB).unwrap().into(),
        }
    }

    fn accepts(self, line: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact => line == EXACT.as_bytes(),
            Self::Glob => line.contains(&b'c'),
        }
    }
}

impl Spec {
    #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let size = |rng: &mut Rng| match rng.below(4) {
            0 => 1,
            1 => 1 + rng.below(300) as usize,
            _ => 1 + rng.below(20) as usize,
        };
        let delimiter = |rng: &mut Rng| rng.pick(&DELIMITERS).copied().unwrap_or("\n");
        match rng.below(16) {
            0 | 1 => Self::Chunk(size(rng)),
            2 | 3 => match rng.chance(0.15) {
                // Messages with a length in front of them may be empty.
                true => Self::Exact(0),
                false => Self::Exact(size(rng)),
            },
            4 | 5 => Self::Until(delimiter(rng)),
            6..=8 => Self::Line,
            9 => Self::Glob,
            10 => Self::Regex(rng.pick(&Expression::ALL).copied().unwrap_or(Expression::Dot)),
            11 => Self::Any { bytes: delimiter(rng), end: rng.chance(0.3) },
            12 => match rng.below(4) {
                0 => Self::All,
                _ => Self::Buffered,
            },
            13 => Self::With(delimiter(rng)),
            14 => Self::Expect(match rng.below(3) {
                0 => Expected::Any,
                1 => Expected::Exact,
                _ => Expected::Glob,
            }),
            _ => Self::Peek(size(rng)),
        }
    }

    /// Whether its success takes bytes.
    pub(crate) const fn takes(&self) -> bool {
        !matches!(self, Self::Peek(_) | Self::Buffered)
    }

    /// Which of the limits bounds it: of a line, of all, or none.
    pub(crate) const fn limit(&self, line: usize, all: usize) -> usize {
        match self {
            Self::Chunk(_) | Self::Peek(_) | Self::Buffered => usize::MAX,
            Self::Exact(_) | Self::All => all,
            _ => line,
        }
    }

    pub(crate) fn submit(&self, engine: &Handle, s: &Stream, cb: Callback<Value>) -> Cancel {
        match *self {
            Self::Chunk(size) => engine.read_chunk(s, size, cb.map(Value::Bytes)),
            Self::Exact(size) => engine.read_exact(s, size, cb.map(Value::Bytes)),
            Self::Until(delimiter) => engine.read_until(s, delimiter, cb.map(Value::Bytes)),
            Self::Line => engine.read_line(s, cb.map(Value::Bytes)),
            Self::Glob => {
                engine.read_until_lineglob(s, LineGlob::new(GLOB).unwrap(), cb.map(line_match))
            }
            Self::Regex(expression) => {
                let regex = Regex::new(expression.pattern()).unwrap();
                engine.read_until_regex(s, regex, cb.map(regex_match))
            }
            Self::Any { bytes, end } => {
                engine.read_until_any(s, patterns(bytes, end), cb.map(any_match))
            }
            Self::All => engine.read_all(s, cb.map(Value::Bytes)),
            Self::With(delimiter) => {
                engine.read_with(s, UpTo(delimiter.as_bytes()), cb.map(Value::Bytes))
            }
            Self::Expect(expected) => {
                engine.expect_line(s, expected.pattern(), cb.map(Value::Bytes))
            }
            Self::Peek(size) => engine.peek(s, size, cb.map(Value::Bytes)),
            Self::Buffered => engine.buffered(s, cb.map(Value::Count)),
        }
    }

    /// The same as a stage of a chain.
    pub(crate) fn stage(&self, chain: Chain, cb: Callback<Value>) -> Chain {
        match *self {
            Self::Chunk(size) => chain.read_chunk(size, cb.map(Value::Bytes)),
            Self::Exact(size) => chain.read_exact(size, cb.map(Value::Bytes)),
            Self::Until(delimiter) => chain.read_until(delimiter, cb.map(Value::Bytes)),
            Self::Line => chain.read_line(cb.map(Value::Bytes)),
            Self::Glob => {
                chain.read_until_lineglob(LineGlob::new(GLOB).unwrap(), cb.map(line_match))
            }
            Self::Regex(expression) => {
                let regex = Regex::new(expression.pattern()).unwrap();
                chain.read_until_regex(regex, cb.map(regex_match))
            }
            Self::Any { bytes, end } => {
                chain.read_until_any(patterns(bytes, end), cb.map(any_match))
            }
            Self::All => chain.read_all(cb.map(Value::Bytes)),
            Self::With(delimiter) => {
                chain.read_with(UpTo(delimiter.as_bytes()), cb.map(Value::Bytes))
            }
            Self::Expect(expected) => chain.expect_line(expected.pattern(), cb.map(Value::Bytes)),
            Self::Peek(_) | Self::Buffered => unreachable!("no stage"),
        }
    }

    /// What `bytes` mean for it, if nothing but more bytes follows them. Not for those reads that
    /// are content with any prefix.
    pub(crate) fn judge(&self, bytes: &[u8], limit: usize) -> Verdict {
        let (end, value) = match self.find(bytes) {
            Some(found) => found,
            None if self.exceeds(bytes.len(), limit) => return Verdict::TooLong,
            None => return Verdict::Wait,
        };
        if end > limit {
            return Verdict::TooLong;
        }
        match (self, value) {
            (Self::Expect(expected), Value::Bytes(line)) if !expected.accepts(&line) => {
                Verdict::Unexpected(line)
            }
            (_, value) => Verdict::Take(end, value),
        }
    }

    /// Whether `len` bytes in which it was not found are too many. A limit counts all that the read
    /// would take, and `read_all` and `end()` take what is left at the end: the end may come right
    /// behind as many bytes as the limit allows, so only one byte more is too long. Every other
    /// read would have to take that one.
    const fn exceeds(&self, len: usize, limit: usize) -> bool {
        match self {
            Self::All | Self::Any { end: true, .. } => len > limit,
            _ => len >= limit,
        }
    }

    /// Where it ends, and what it yields.
    fn find(&self, bytes: &[u8]) -> Option<(usize, Value)> {
        let copy = |range: Range<usize>| Bytes::copy_from_slice(&bytes[range]);
        match *self {
            Self::Chunk(_) | Self::Peek(_) | Self::Buffered | Self::All => None,
            Self::Exact(size) => (bytes.len() >= size).then(|| (size, Value::Bytes(copy(0..size)))),
            Self::Until(delimiter) | Self::With(delimiter) => {
                let end = ends_with(bytes, delimiter)?;
                Some((end, Value::Bytes(copy(0..end))))
            }
            Self::Line | Self::Expect(_) => {
                let (line, end) = lines(bytes).next()?;
                Some((end, Value::Bytes(copy(line))))
            }
            Self::Glob => {
                let (line, end) =
                    lines(bytes).find(|(line, _)| bytes[line.clone()].contains(&b'c'))?;
                let skipped = copy(0..line.start);
                Some((end, Value::Skipped { skipped, line: copy(line) }))
            }
            Self::Regex(expression) => {
                let range = expression.find(bytes)?;
                let taken = copy(0..range.end);
                Some((range.end, Value::Range { index: 0, bytes: taken, range }))
            }
            Self::Any { bytes: delimiter, .. } => {
                let string =
                    ends_with(bytes, delimiter).map(|end| (end, end - delimiter.len()..end));
                let line = lines(bytes)
                    .find(|(line, _)| bytes[line.clone()].contains(&b'c'))
                    .map(|(line, end)| (end, line));
                let (index, (end, range)) = match (string, line) {
                    (Some(string), Some(line)) if line.0 < string.0 => (1, line),
                    (Some(string), _) => (0, string),
                    (None, Some(line)) => (1, line),
                    (None, None) => return None,
                };
                Some((end, Value::Range { index, bytes: copy(0..end), range }))
            }
        }
    }
}

fn line_match(LineMatch { skipped, line, .. }: LineMatch) -> Value {
    Value::Skipped { skipped, line }
}

pub(crate) fn regex_match(found: RegexMatch) -> Value {
    Value::Range { index: 0, range: found.range.clone(), bytes: found.bytes }
}

fn any_match(found: AnyMatch) -> Value {
    Value::Range { index: found.index, range: found.range.clone(), bytes: found.bytes }
}

fn patterns(bytes: &str, end: bool) -> impl Iterator<Item = Pattern> {
    let line = Pattern::line(LineGlob::new(GLOB).unwrap());
    [Some(Pattern::bytes(bytes)), Some(line), end.then(Pattern::end)].into_iter().flatten()
}

/// Where the first `delimiter` ends.
fn ends_with(bytes: &[u8], delimiter: &str) -> Option<usize> {
    (1..=bytes.len()).find(|&end| bytes[..end].ends_with(delimiter.as_bytes()))
}

/// The lines without their ends, and where the next ones begin.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (Range<usize>, usize)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let begin = start;
        let lf = begin + bytes[begin..].iter().position(|&byte| byte == b'\n')?;
        start = lf + 1;
        let end = if lf > begin && bytes[lf - 1] == b'\r' { lf - 1 } else { lf };
        Some((begin..end, start))
    })
}
