//! The cost of a read, counted in bytes looked at: linear, whatever the pieces.

use super::LOOKED_AT;
use crate::{
    matcher::{Any, Delimiter, ExpectLine, Line, LineGlobSearch, Matcher, RegexSearch, Scan},
    pattern::{LineGlob, Pattern, Regex},
};

/// Shows a text in pieces of one size; yields how many bytes were looked at until the end was found.
fn cost(mut matcher: impl Matcher, text: &[u8], piece: usize) -> usize {
    LOOKED_AT.set(0);
    let mut shown = 0;
    while shown < text.len() {
        shown = (shown + piece).min(text.len());
        if matcher.scan(&text[..shown], shown == text.len()) != Scan::NeedMore {
            assert_eq!(shown, text.len(), "found too early");
            return LOOKED_AT.get();
        }
    }
    panic!("not found");
}

fn assert_linear<M: Matcher>(make: impl Fn() -> M, text: &[u8], factor: usize) {
    for piece in [1, 7, 1000, text.len()] {
        let cost = cost(make(), text, piece);
        assert!(cost <= factor * text.len(), "{cost} in pieces of {piece}");
        assert!(cost >= text.len(), "somebody does not count");
    }
}

#[test]
fn delimiters_and_lines_are_linear() {
    let text = [&b"\r".repeat(20_000)[..], b"\n"].concat();
    assert_linear(Line::new, &text, 1);
    assert_linear(|| ExpectLine::new("a"), &text, 1);
    assert_linear(|| Delimiter::new("\n").unwrap(), &text, 1);
    // The overlap is looked at again for each piece.
    assert_linear(|| Delimiter::new("\r\r\n").unwrap(), &text, 3);
    let lines = [&b"ab\n".repeat(7_000)[..], b"b\n"].concat();
    assert_linear(|| LineGlobSearch::new(LineGlob::new("b*").unwrap()), &lines, 1);
}

#[test]
fn regexes_are_linear() {
    let text = [&b"x".repeat(20_000)[..], b"\n"].concat();
    let make = |pattern: &str| RegexSearch::new(Regex::new(pattern).unwrap());
    assert_linear(|| make("\n"), &text, 2);
    assert_linear(|| make("x.*\n"), &text, 2);
    // Undecided at every byte.
    assert_linear(|| make(r"(?s)x.*\b"), &text, 2);
    assert_linear(|| make(r"(?s)x.*(y$|\n)"), &text, 3);
}

#[test]
fn lists_are_linear() {
    let text = [&b"x".repeat(20_000)[..], b"\n"].concat();
    let patterns = || {
        [
            Pattern::bytes("\n"),
            Pattern::line("x"),
            Pattern::regex(Regex::new(r"x.*\n").unwrap()),
            Pattern::end(),
        ]
    };
    assert_linear(|| Any::new(patterns()).unwrap(), &text, 5);
}

#[test]
fn a_rare_pattern_does_not_look_far_beyond_a_frequent_one() {
    let text = b"0123456789\n".repeat(10_000);
    for first in [Pattern::bytes("none"), Pattern::regex(Regex::new("no+ne").unwrap())] {
        LOOKED_AT.set(0);
        let mut any = Any::new([first, Pattern::bytes("\n")]).unwrap();
        assert_eq!(any.scan(&text, true), Scan::Found { end: 11 });
        assert!(LOOKED_AT.get() < 1000, "{}", LOOKED_AT.get());
    }
}

#[test]
fn globs_do_not_explode() {
    let glob = LineGlob::new(&("a*".repeat(50) + "b")).unwrap();
    assert!(!glob.matches(&b"a".repeat(5_000)));
}
