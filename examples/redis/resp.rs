//! RESP, the protocol of Redis (version 2): what both styles share.

use std::fmt;

use facade_engine::{
    Bytes, Error, Result,
    matcher::{Matcher, Scan},
};
use memchr::memchr;

/// Commands as they are sent, one behind the other.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) bytes: Bytes,
    /// How many there are, and so how many answers come.
    pub(crate) count: usize,
}

impl Pipeline {
    /// One command a line, its words between blanks: each an array of strings.
    pub(crate) fn of_lines(text: &str) -> Self {
        let (mut bytes, mut count) = (Vec::new(), 0);
        for line in text.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            if words.is_empty() {
                continue;
            }
            bytes.extend(format!("*{}\r\n", words.len()).bytes());
            for word in words {
                bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
            }
            count += 1;
        }
        Self { bytes: bytes.into(), count }
    }
}

/// What a server answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Text(Bytes),
    Error(Bytes),
    Integer(i64),
    Nil,
    Array(Vec<Self>),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&String::from_utf8_lossy(text)),
            Self::Error(text) => write!(f, "(error) {}", String::from_utf8_lossy(text)),
            Self::Integer(number) => write!(f, "(integer) {number}"),
            Self::Nil => f.write_str("(nil)"),
            Self::Array(answers) => {
                f.write_str("[")?;
                for (index, answer) in answers.iter().enumerate() {
                    write!(f, "{}{answer}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}

/// How deep arrays may stand in one another: whoever is at the other end must not choose our stack.
const DEPTH: usize = 16;

/// A read of one answer, a matcher as the engine's own are: it says where the answer ends, and is
/// shown what has come until then.
#[derive(Debug)]
pub(crate) struct OneAnswer {
    /// Where the next value begins, which may be behind what has come.
    at: usize,
    /// Up to where its first line was searched for its end.
    searched: usize,
    /// How many values are still to come.
    values: usize,
}

impl OneAnswer {
    pub(crate) const fn new() -> Self {
        Self { at: 0, searched: 0, values: 1 }
    }
}

impl Matcher for OneAnswer {
    type Output = Answer;

    fn scan(&mut self, unread: &[u8], _ended: bool) -> Scan {
        while self.values > 0 {
            let rest = unread.get(self.searched..).unwrap_or_default();
            let Some(end) = memchr(b'\n', rest) else {
                self.searched = self.searched.max(unread.len());
                return Scan::NeedMore;
            };
            let end = self.searched + end + 1;
            let size = match head(&unread[self.at..end]) {
                Some(Head::Bulk(len)) => Some((len + 2, 0)),
                Some(Head::Array(count)) => Some((0, count)),
                Some(Head::Whole(_)) => Some((0, 0)),
                None => None,
            };
            // What makes no sense ends here, and `output` says so.
            let Some((len, more)) = size else { return Scan::Found { end } };
            self.at = end.saturating_add(len);
            self.searched = self.at;
            self.values = (self.values - 1).saturating_add(more);
        }
        match self.at <= unread.len() {
            true => Scan::Found { end: self.at },
            false => Scan::NeedMore,
        }
    }

    fn restart(&mut self) {
        *self = Self::new();
    }

    fn output(&mut self, mut taken: Bytes) -> Result<Answer> {
        answer(&mut taken, DEPTH).ok_or_else(|| Error::other("the answer makes no sense"))
    }
}

/// What a value begins with.
enum Head {
    Whole(Answer),
    Bulk(usize),
    Array(usize),
}

fn head(line: &[u8]) -> Option<Head> {
    let (kind, text) = line.strip_suffix(b"\r\n")?.split_first()?;
    let number = || std::str::from_utf8(text).ok()?.parse::<i64>().ok();
    // No server sends more, and sums of it do not overflow.
    let size = |number| usize::try_from(number).ok().filter(|&size| size <= 1 << 30);
    Some(match (kind, text) {
        (b'+', text) => Head::Whole(Answer::Text(Bytes::copy_from_slice(text))),
        (b'-', text) => Head::Whole(Answer::Error(Bytes::copy_from_slice(text))),
        (b':', _) => Head::Whole(Answer::Integer(number()?)),
        (b'$' | b'*', b"-1") => Head::Whole(Answer::Nil),
        (b'$', _) => Head::Bulk(size(number()?)?),
        (b'*', _) => Head::Array(size(number()?)?),
        _ => return None,
    })
}

/// Takes one value from the front.
fn answer(bytes: &mut Bytes, depth: usize) -> Option<Answer> {
    let line = bytes.split_to(memchr(b'\n', bytes)? + 1);
    match head(&line)? {
        Head::Whole(answer) => Some(answer),
        Head::Bulk(len) => {
            let mut text = (bytes.len() >= len + 2).then(|| bytes.split_to(len + 2))?;
            text.ends_with(b"\r\n").then(|| Answer::Text(text.split_to(len)))
        }
        Head::Array(count) => {
            let depth = depth.checked_sub(1)?;
            // One after the other: a count alone makes nobody give memory.
            (0..count).map(|_| answer(bytes, depth)).collect::<Option<_>>().map(Answer::Array)
        }
    }
}
