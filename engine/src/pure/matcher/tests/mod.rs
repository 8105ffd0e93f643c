//! Matchers against naive oracles, under every way to cut the bytes up.
//!
//! An oracle sees the whole text of a stream that has ended. From it follows what a matcher may say
//! before: *everything* that is certain whatever follows, and nothing else.

mod any;
mod linear;
mod lines;
mod patterns;
mod regex;

use std::{cell::Cell, fmt::Debug};

use bytes::Bytes;
use proptest::prelude::*;

use super::{All, Chunk, Delimiter, Exact, Matcher, Scan, Steps};
use crate::pure::error::{Error, Result};

thread_local! {
    /// How many bytes the matchers of this thread have looked at.
    pub(super) static LOOKED_AT: Cell<usize> = const { Cell::new(0) };
}

/// Where a read ends, and its value.
type Outcome<T> = Option<(usize, T)>;

/// Tells the outcome on a text that has ended.
type Oracle<'a, T> = Box<dyn Fn(&[u8]) -> Outcome<T> + 'a>;

/// A matcher, a way to compare its values, and an oracle for the outcome on a text that has ended.
struct Subject<'a, M: Matcher, T> {
    matcher: M,
    view: fn(Result<M::Output>) -> T,
    oracle: Oracle<'a, T>,
}

impl<'a, M: Matcher + Clone + Debug, T: PartialEq + Debug> Subject<'a, M, T> {
    fn new(
        matcher: M,
        view: fn(Result<M::Output>) -> T,
        oracle: impl Fn(&[u8]) -> Outcome<T> + 'a,
    ) -> Self {
        Self { matcher, view, oracle: Box::new(oracle) }
    }

    /// Checks every text over the alphabet up to a length.
    fn check_all(&self, alphabet: &[u8], longest: u32) {
        for length in 0..=longest {
            for number in 0..alphabet.len().pow(length) {
                let mut rest = number;
                let mut text = Vec::new();
                for _ in 0..length {
                    text.push(alphabet[rest % alphabet.len()]);
                    rest /= alphabet.len();
                }
                self.check(&text);
            }
        }
    }

    /// Checks every way to cut one text up, and what is said of it before the end is known.
    fn check(&self, text: &[u8]) {
        let expected = (self.oracle)(text);
        let mut matcher = self.matcher.clone();
        self.check_scan(&mut matcher, text, 0, false, &expected);
        self.check_cuts(&matcher, text, 0, &expected);
        self.check_promptness(text);
        self.check_restart(text, &expected);
        for steps in [1, 3, 10, 100] {
            self.check_steps(text, steps, &expected);
        }
    }

    /// Gives few steps at a time, while bytes go on coming whether a scan has come to its end or
    /// not.
    fn check_steps(&self, text: &[u8], steps: usize, expected: &Outcome<T>) {
        let mut matcher = self.matcher.clone();
        let (mut shown, mut ended) = (0, false);
        let mut idle = 0;
        loop {
            let scan = matcher.scan_within(&text[..shown], ended, &mut Steps::new(steps));
            let outcome = match scan {
                Some(Scan::Found { end }) => {
                    let taken = Bytes::copy_from_slice(&text[..end]);
                    Some((end, (self.view)(matcher.output(taken))))
                }
                Some(Scan::NeedMore) if ended => None,
                _ if ended => {
                    idle += 1;
                    assert!(idle < 1000 * (text.len() + 10), "{matcher:?} makes no progress");
                    continue;
                }
                _ => {
                    ended = shown == text.len();
                    shown = text.len().min(shown + 1);
                    continue;
                }
            };
            let text = text.escape_ascii();
            assert_eq!(&outcome, expected, "{matcher:?} on \"{text}\", {steps} steps at a time");
            return;
        }
    }

    /// Goes on with `matcher`, which has seen `seen` bytes, in every possible way.
    fn check_cuts(&self, matcher: &M, text: &[u8], seen: usize, expected: &Outcome<T>) {
        for shown in seen + 1..=text.len() {
            let mut matcher = matcher.clone();
            if !self.check_scan(&mut matcher, text, shown, false, expected) {
                self.check_cuts(&matcher, text, shown, expected);
            }
        }
        // The end comes with the last bytes or, if all were seen, alone.
        self.check_scan(&mut matcher.clone(), text, text.len(), true, expected);
    }

    /// Shows the first bytes to `matcher`: what it says has to be what is expected.
    fn check_scan(
        &self,
        matcher: &mut M,
        text: &[u8],
        shown: usize,
        ended: bool,
        expected: &Outcome<T>,
    ) -> bool {
        let outcome = self.scan(matcher, &text[..shown], ended);
        if outcome.is_some() || ended {
            let text = text.escape_ascii();
            assert_eq!(&outcome, expected, "{matcher:?} on \"{text}\", {shown} shown, {ended}");
        }
        outcome.is_some()
    }

    /// What is certain whatever follows has to be said at once.
    fn check_promptness(&self, text: &[u8]) {
        let outcome = self.scan(&mut self.matcher.clone(), text, false);
        let mut expected = (self.oracle)(text).filter(|(end, _)| *end <= text.len());
        for &next in b"\n\r abcfiglox0_-.\xff" {
            if expected.is_none() {
                break;
            }
            let followed = [text, &[next]].concat();
            expected =
                expected.filter(|expected| (self.oracle)(&followed).as_ref() == Some(expected));
        }
        assert_eq!(outcome, expected, "{:?} on \"{}\"", self.matcher, text.escape_ascii());
    }

    /// A matcher that was restarted is as good as new.
    fn check_restart(&self, text: &[u8], expected: &Outcome<T>) {
        let mut matcher = self.matcher.clone();
        for shown in 0..text.len() {
            matcher.scan(&text[text.len() - shown..], shown % 2 == 0);
            matcher.restart();
        }
        self.check_scan(&mut matcher, text, text.len(), true, expected);
    }

    /// Checks a text cut up at the given places.
    fn check_pieces(&self, text: &[u8], cuts: &[prop::sample::Index]) {
        let expected = (self.oracle)(text);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let mut matcher = self.matcher.clone();
        for shown in cuts {
            if self.check_scan(&mut matcher, text, shown, false, &expected) {
                return;
            }
        }
        self.check_scan(&mut matcher, text, text.len(), true, &expected);
        self.check_steps(text, 50, &expected);
    }

    fn scan(&self, matcher: &mut M, shown: &[u8], ended: bool) -> Outcome<T> {
        match matcher.scan(shown, ended) {
            Scan::Found { end } => {
                let taken = Bytes::copy_from_slice(&shown[..end]);
                Some((end, (self.view)(matcher.output(taken))))
            }
            Scan::NeedMore => None,
        }
    }
}

/// The view of a read that yields plain bytes.
fn bytes(output: Result<Bytes>) -> Vec<u8> {
    output.expect("only an unexpected line is an error").to_vec()
}

/// The first end of `needle`, looked for in the simplest way.
fn naive_end(text: &[u8], needle: &[u8]) -> Option<usize> {
    (1..=text.len()).find(|&end| text[..end].ends_with(needle))
}

/// The complete lines of a text, without their line ends, and where each ends with it.
fn naive_lines(text: &[u8]) -> Vec<(std::ops::Range<usize>, usize)> {
    let mut start = 0;
    let mut lines = Vec::new();
    for end in (1..=text.len()).filter(|&end| text[end - 1] == b'\n') {
        let has_return = end - start >= 2 && text[end - 2] == b'\r';
        lines.push((start..end - 1 - usize::from(has_return), end));
        start = end;
    }
    lines
}

/// The words of an [`Error::InvalidInput`].
#[track_caller]
fn refusal<T: Debug>(result: Result<T>) -> String {
    match result {
        Err(Error::InvalidInput { what }) => what,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn chunk_takes_what_there_is() {
    let mut chunk = Chunk::new(3).unwrap();
    assert_eq!(chunk.scan(b"", true), Scan::NeedMore);
    assert_eq!(chunk.scan(b"a", false), Scan::Found { end: 1 });
    assert_eq!(chunk.scan(b"abcd", false), Scan::Found { end: 3 });
}

#[test]
fn exact_and_all_under_every_cut() {
    for size in 0..5 {
        let oracle = |text: &[u8]| (text.len() >= size).then(|| (size, text[..size].to_vec()));
        Subject::new(Exact::new(size), bytes, oracle).check_all(b"ab", 6);
    }
    let oracle = |text: &[u8]| Some((text.len(), text.to_vec()));
    Subject::new(All::new(), bytes, oracle).check_all(b"ab", 6);
}

/// The outcome of a read up to a delimiter.
fn naive_delimiter(needle: &[u8]) -> impl Fn(&[u8]) -> Outcome<Vec<u8>> {
    |text| naive_end(text, needle).map(|end| (end, text[..end].to_vec()))
}

#[test]
fn delimiter_under_every_cut() {
    for needle in ["\n", "\r\n", "\r\n\r\n", "aa", "aba", "aab", "\r\r\n"] {
        let matcher = Delimiter::new(needle).unwrap();
        let subject = Subject::new(matcher, bytes, naive_delimiter(needle.as_bytes()));
        subject.check_all(b"\r\na", 6);
        for long in [b"\r\na\r\n\r\r\n\r\n", b"aabaaabaab", b"\r\r\n\r\r\n\r\naa"] {
            subject.check(&long[..10]);
        }
    }
}

#[test]
fn sizes_and_delimiters_of_nothing_are_refused() {
    assert!(refusal(Chunk::new(0)).contains("0 bytes"));
    assert_eq!(refusal(Delimiter::new("")), "the delimiter is empty");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn delimiter_in_long_texts(
        needle in prop::collection::vec(97..99u8, 1..12),
        text in prop::collection::vec(97..99u8, 0..2000),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let matcher = Delimiter::new(&needle).unwrap();
        Subject::new(matcher, bytes, naive_delimiter(&needle)).check_pieces(&text, &cuts);
    }

    /// So long that they are looked for byte by byte in short pieces. The text is made of parts of
    /// the delimiter.
    #[test]
    fn long_delimiters_in_long_texts(
        needle in prop::collection::vec(97..99u8, 33..40),
        parts in prop::collection::vec((0..40usize, 0..40usize), 0..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..200),
    ) {
        let part = |&(from, to): &(usize, usize)| {
            let rest = &needle[from.min(needle.len())..];
            &rest[..to.min(rest.len())]
        };
        let text: Vec<u8> = parts.iter().flat_map(part).copied().collect();
        let matcher = Delimiter::new(&needle).unwrap();
        Subject::new(matcher, bytes, naive_delimiter(&needle)).check_pieces(&text, &cuts);
    }
}
