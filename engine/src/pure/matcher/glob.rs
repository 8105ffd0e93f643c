//! [`LineGlob`]: the wildcards of a shell, for whole lines of bytes.
//!
//! Between stars stand pieces of one length each. The first and the last have their places, at the
//! begin and the end of the line; each other one is looked for behind the one in front of it, and
//! is taken where it comes first: what a later place could do, an earlier one can do as well. So a
//! line is gone over once, whatever the pattern.

use std::{fmt, sync::Arc};

use memchr::memmem;

use crate::pure::{
    error::{self, Error},
    matcher::{Quoted, Steps, looked_at, steps::without_end},
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
    /// Without a star, the only piece; else what a line begins with, which may be nothing.
    first: Piece,
    /// What is behind each star but the last.
    middle: Box<[Middle]>,
    /// What is behind the last star, if there is one.
    last: Option<Piece>,
    /// For each byte, a bit for each token that it is one of; only if a middle piece needs it.
    fitting: Box<[u64]>,
    /// How many numbers a byte has in `fitting`.
    words: usize,
}

/// A range of tokens without a star.
#[derive(Debug, Clone, Copy)]
struct Piece {
    from: usize,
    len: usize,
}

/// A piece with a star on either side.
enum Middle {
    /// Few bytes: a searcher would take more than ten times as much.
    Short(Box<[u8]>),
    Long(Box<memmem::Finder<'static>>),
    /// A piece with sets or `?` in it.
    Tokens(Piece),
}

enum Token {
    /// One byte of a set, which is a bit for each byte.
    One(Box<[u64; 4]>),
    /// Any one byte.
    Any,
    Byte(u8),
}

/// How far a line has been gone over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// The first and the last piece are where they have to be.
    begun: bool,
    /// How many of the middle pieces have been found.
    found: usize,
    /// The rest of them is looked for from here.
    at: usize,
    /// A bit for each token: the bytes in front are its piece up to and with it.
    fits: Vec<u64>,
}

impl LineGlob {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] says what is wrong and at which byte of the pattern, counted from 0:
    /// the pattern is empty, a `[` is not closed, a range is reversed, a `\` ends the pattern, or a
    /// character that is not ASCII stands in `[..]`. Also refused are patterns that are longer than
    /// 4 KiB.
    pub fn new(pattern: &str) -> error::Result<Self> {
        if pattern.len() > PATTERN_LIMIT {
            return Err(Error::invalid(format_args!(
                "a glob of {} bytes, and {PATTERN_LIMIT} is the most",
                pattern.len()
            )));
        }
        let pieces = parse(pattern)
            .map_err(|wrong| Error::invalid(format_args!("glob {}: {wrong}", Quoted(pattern))))?;
        Ok(Self { inner: Arc::new(Inner::new(pattern, pieces)) })
    }

    /// Whether the pattern matches the whole of `line`, which is given without its line end.
    ///
    /// Takes time linear in the line; a piece between stars with `?` or `[..]` in it costs as much
    /// for every 64 characters that it has.
    #[must_use]
    pub fn matches(&self, line: &[u8]) -> bool {
        let mut progress = Progress::default();
        without_end(|steps| self.matches_within(line, &mut progress, steps))
    }

    /// The same as far as the steps do: `None` if there is more to look at.
    pub(crate) fn matches_within(
        &self,
        line: &[u8],
        progress: &mut Progress,
        steps: &mut Steps,
    ) -> Option<bool> {
        let inner = &*self.inner;
        let (first, last) = (inner.first, inner.last.unwrap_or(Piece { from: 0, len: 0 }));
        if !progress.begun {
            let ends = first.len + last.len;
            let fits = if inner.last.is_some() { ends <= line.len() } else { ends == line.len() };
            if !fits {
                return Some(false);
            }
            if steps.are_used_up() {
                return None;
            }
            steps.take(ends);
            if !inner.fits(first, line) || !inner.fits(last, &line[line.len() - last.len..]) {
                return Some(false);
            }
            (progress.begun, progress.found, progress.at) = (true, 0, first.len);
            progress.fits.fill(0);
        }
        let rest = &line[..line.len() - last.len];
        while let Some(middle) = inner.middle.get(progress.found) {
            if steps.are_used_up() {
                return None;
            }
            match middle {
                Middle::Short(bytes) => {
                    progress.find_bytes(bytes.len(), rest, steps, |line| memmem::find(line, bytes));
                }
                Middle::Long(finder) => {
                    let len = finder.needle().len();
                    progress.find_bytes(len, rest, steps, |line| finder.find(line));
                }
                Middle::Tokens(piece) => progress.find_tokens(inner, *piece, rest, steps),
            }
            if progress.at > rest.len() {
                return Some(false);
            }
        }
        Some(true)
    }
}

impl Progress {
    /// Begins with another line.
    pub(crate) const fn restart(&mut self) {
        self.begun = false;
    }

    /// Looks for a piece of `len` bytes in some of the line. Behind the line's end it is nowhere.
    fn find_bytes(
        &mut self,
        len: usize,
        line: &[u8],
        steps: &mut Steps,
        find: impl FnOnce(&[u8]) -> Option<usize>,
    ) {
        let end = line.len().min(self.at + len + WINDOW.max(4 * len));
        let window = &line[self.at..end];
        steps.take(window.len() / BYTES_A_STEP + 1);
        match find(window) {
            Some(start) => {
                looked_at(start + len);
                self.at += start + len;
                self.found += 1;
            }
            None if end == line.len() => {
                looked_at(window.len());
                self.at = usize::MAX;
            }
            None => {
                looked_at(window.len());
                self.at = end - (len - 1);
            }
        }
    }

    /// The same for a piece that is not made of bytes only: all its fronts that fit are followed at
    /// once, each a bit of a number.
    fn find_tokens(&mut self, inner: &Inner, piece: Piece, line: &[u8], steps: &mut Steps) {
        let (first, last) = (piece.from, piece.from + piece.len - 1);
        let words = first / 64..last / 64 + 1;
        let cost = STEPS_A_WORD * words.len();
        self.fits.resize(inner.words, 0);
        while self.at < line.len() {
            if steps.are_used_up() {
                return;
            }
            steps.take(cost);
            looked_at(1);
            let fitting = &inner.fitting[usize::from(line[self.at]) * inner.words..];
            self.at += 1;
            // What one byte more has come to. The bits of other pieces are not looked at.
            let mut carry = 0;
            for word in words.clone() {
                let fits = self.fits[word];
                let begins = if word == first / 64 { 1 << (first % 64) } else { 0 };
                self.fits[word] = (fits << 1 | carry | begins) & fitting[word];
                carry = fits >> 63;
            }
            if self.fits[last / 64] >> (last % 64) & 1 == 1 {
                self.fits.fill(0);
                self.found += 1;
                return;
            }
        }
        self.at = usize::MAX;
    }
}

impl Inner {
    fn new(pattern: &str, pieces: Vec<Vec<Token>>) -> Self {
        let mut from = 0;
        let mut places = Vec::new();
        for piece in &pieces {
            places.push(Piece { from, len: piece.len() });
            from += piece.len();
        }
        let tokens: Box<[Token]> = pieces.into_iter().flatten().collect();
        let first = places.remove(0);
        let last = places.pop();
        let middle: Box<[Middle]> = places
            .iter()
            .filter(|piece| piece.len > 0)
            .map(|&piece| piece.middle(&tokens))
            .collect();
        let words = match middle.iter().any(|piece| matches!(piece, Middle::Tokens(_))) {
            true => tokens.len().div_ceil(64),
            false => 0,
        };
        let mut fitting = vec![0; 256 * words].into_boxed_slice();
        if words > 0 {
            for (number, token) in tokens.iter().enumerate() {
                for byte in (0..=u8::MAX).filter(|&byte| token.matches(byte)) {
                    fitting[usize::from(byte) * words + number / 64] |= 1 << (number % 64);
                }
            }
        }
        Self { pattern: pattern.into(), tokens, first, middle, last, fitting, words }
    }

    /// Whether a line begins with a piece.
    fn fits(&self, piece: Piece, line: &[u8]) -> bool {
        let tokens = &self.tokens[piece.from..][..piece.len];
        tokens.iter().zip(line).all(|(token, &byte)| token.matches(byte))
    }
}

impl Piece {
    fn middle(self, tokens: &[Token]) -> Middle {
        let bytes = tokens[self.from..][..self.len].iter().map(|token| match token {
            Token::Byte(byte) => Some(*byte),
            Token::Any | Token::One(_) => None,
        });
        match bytes.collect::<Option<Vec<u8>>>() {
            Some(bytes) if bytes.len() <= SHORT_MAX => Middle::Short(bytes.into()),
            Some(bytes) => Middle::Long(Box::new(memmem::Finder::new(&bytes).into_owned())),
            None => Middle::Tokens(self),
        }
    }
}

impl Token {
    fn matches(&self, byte: u8) -> bool {
        match self {
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

/// Makes pieces of a pattern, between which are the stars; or says what is wrong with it.
fn parse(pattern: &str) -> Result<Vec<Vec<Token>>, String> {
    if pattern.is_empty() {
        return Err("the pattern is empty; an empty line is LinePattern::exact(\"\")".into());
    }
    let bytes = pattern.as_bytes();
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'*' => pieces.push(std::mem::take(&mut piece)),
            b'?' => piece.push(Token::Any),
            b'[' => {
                let (set, close) = parse_set(bytes, at)?;
                at = close;
                piece.push(Token::One(Box::new(set)));
            }
            b'\\' => {
                at += 1;
                let byte = *bytes.get(at).ok_or_else(|| trailing_backslash(at - 1))?;
                piece.push(Token::Byte(byte));
            }
            byte => piece.push(Token::Byte(byte)),
        }
        at += 1;
    }
    pieces.push(piece);
    Ok(pieces)
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

/// The longest pattern, in bytes.
const PATTERN_LIMIT: usize = 4 << 10;

/// How long a piece is that has no searcher of its own.
const SHORT_MAX: usize = 32;

/// How many bytes are looked at for one piece before the steps are looked at again, if it is short.
const WINDOW: usize = 16 << 10;

/// How many bytes take a step where they are compared many at a time.
const BYTES_A_STEP: usize = 4;

/// What 64 tokens cost for a byte.
const STEPS_A_WORD: usize = 2;
