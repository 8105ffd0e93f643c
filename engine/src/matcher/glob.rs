//! [`LineGlob`]: the wildcards of a shell, for whole lines of bytes.

use std::{fmt, sync::Arc};

use crate::{
    error::{self, Error},
    matcher::Quoted,
};

/// A pattern for a whole line, as a shell writes them.
///
/// | written | matches |
/// |---|---|
/// | `*` | any bytes, also none |
/// | `?` | any one byte |
/// | `[abc]`, `[a-z]` | one byte of these (ASCII); a `]` in front or a `-` at either end is itself |
/// | `[!abc]`, `[^abc]` | one byte that is none of these |
/// | `\x` | `x` itself, also inside `[..]` |
///
/// Everything else matches itself. The line is matched without its line end. Cheap to clone.
///
/// # Examples
///
/// ```
/// use facade_engine::LineGlob;
///
/// let glob = LineGlob::new("[45][0-9][0-9] *")?;
/// assert!(glob.matches(b"550 no such mailbox"));
/// assert!(!glob.matches(b"250 fine"));
///
/// let error = LineGlob::new("25[0-9").unwrap_err();
/// assert_eq!(error.to_string(), r#"invalid input: glob "25[0-9": unclosed [ at byte 2"#);
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Clone)]
pub struct LineGlob {
    inner: Arc<Inner>,
}

struct Inner {
    pattern: Box<str>,
    tokens: Box<[Token]>,
}

enum Token {
    /// Any bytes.
    Star,
    /// One byte of a set, which is a bit for each byte.
    One(Box<[u64; 4]>),
    /// Any one byte.
    Any,
    Byte(u8),
}

impl LineGlob {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] says what is wrong and at which byte of the pattern, counted from 0:
    /// the pattern is empty, a `[` is not closed, a range is reversed, a `\` ends the pattern, or a
    /// character that is not ASCII stands in `[..]`.
    pub fn new(pattern: &str) -> error::Result<Self> {
        let tokens = parse(pattern)
            .map_err(|wrong| Error::invalid(format_args!("glob {}: {wrong}", Quoted(pattern))))?;
        Ok(Self { inner: Arc::new(Inner { pattern: pattern.into(), tokens: tokens.into() }) })
    }

    /// Whether the pattern matches the whole of `line`, which is given without its line end.
    ///
    /// Takes no more steps than the line has bytes times the pattern has characters.
    #[must_use]
    pub fn matches(&self, line: &[u8]) -> bool {
        let tokens = &*self.inner.tokens;
        let (mut token, mut byte) = (0, 0);
        // Only the last star seen ever has to take another byte: what an earlier one could do by
        // taking more, the later one can do as well.
        let mut retry = None;
        while byte < line.len() {
            match tokens.get(token) {
                Some(Token::Star) => {
                    token += 1;
                    retry = Some((token, byte));
                }
                Some(one) if one.matches(line[byte]) => {
                    token += 1;
                    byte += 1;
                }
                _ => {
                    let Some((behind_star, taken)) = retry else { return false };
                    retry = Some((behind_star, taken + 1));
                    (token, byte) = (behind_star, taken + 1);
                }
            }
        }
        tokens[token..].iter().all(|token| matches!(token, Token::Star))
    }
}

impl Token {
    fn matches(&self, byte: u8) -> bool {
        match self {
            Self::Star => false,
            Self::Any => true,
            Self::Byte(own) => *own == byte,
            Self::One(set) => set[usize::from(byte / 64)] >> (byte % 64) & 1 == 1,
        }
    }
}

impl fmt::Display for LineGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.pattern)
    }
}

impl fmt::Debug for LineGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LineGlob").field(&self.inner.pattern).finish()
    }
}

/// Makes tokens of a pattern, or says what is wrong with it.
fn parse(pattern: &str) -> Result<Vec<Token>, String> {
    if pattern.is_empty() {
        return Err("the pattern is empty; an empty line is LinePattern::exact(\"\")".into());
    }
    let bytes = pattern.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let token = match bytes[at] {
            // Many stars are as good as one.
            b'*' if matches!(tokens.last(), Some(Token::Star)) => {
                at += 1;
                continue;
            }
            b'*' => Token::Star,
            b'?' => Token::Any,
            b'[' => {
                let (set, close) = parse_set(bytes, at)?;
                at = close;
                Token::One(Box::new(set))
            }
            b'\\' => {
                at += 1;
                Token::Byte(*bytes.get(at).ok_or_else(|| trailing_backslash(at - 1))?)
            }
            byte => Token::Byte(byte),
        };
        tokens.push(token);
        at += 1;
    }
    Ok(tokens)
}

/// The set whose `[` is at `open`, and where its `]` is.
fn parse_set(bytes: &[u8], open: usize) -> Result<([u64; 4], usize), String> {
    let unclosed = || format!("unclosed [ at byte {open}");
    let mut at = open + 1;
    let negated = matches!(bytes.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let first = at;
    let mut set = [0u64; 4];
    loop {
        match bytes.get(at) {
            None => return Err(unclosed()),
            Some(b']') if at > first => break,
            Some(_) => {}
        }
        let from = at;
        let (low, mut next) = parse_member(bytes, at, unclosed)?;
        let mut high = low;
        // A `-` before the `]` is no range but itself.
        if bytes.get(next) == Some(&b'-') && bytes.get(next + 1).is_some_and(|&end| end != b']') {
            (high, next) = parse_member(bytes, next + 1, unclosed)?;
        }
        if low > high {
            return Err(format!("reversed range in [ ] at byte {from}"));
        }
        for byte in low..=high {
            set[usize::from(byte / 64)] |= 1 << (byte % 64);
        }
        at = next;
    }
    if negated {
        set = set.map(|bits| !bits);
    }
    Ok((set, at))
}

/// One end of a range, or a single byte; and where the next one is.
fn parse_member(
    bytes: &[u8],
    at: usize,
    unclosed: impl Fn() -> String,
) -> Result<(u8, usize), String> {
    let at = at + usize::from(bytes[at] == b'\\');
    match bytes.get(at) {
        None if bytes[at - 1] == b'\\' => Err(trailing_backslash(at - 1)),
        None => Err(unclosed()),
        Some(byte) if !byte.is_ascii() => Err(format!("not ASCII in [ ] at byte {at}")),
        Some(&byte) => Ok((byte, at + 1)),
    }
}

fn trailing_backslash(at: usize) -> String {
    format!("nothing follows the \\ at byte {at}")
}
