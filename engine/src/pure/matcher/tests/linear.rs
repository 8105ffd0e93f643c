//! The cost of a read, counted in bytes looked at: linear, whatever the pieces.

use super::LOOKED_AT;
use crate::pure::{
    matcher::{
        Any, Delimiter, ExpectLine, Line, LineGlobSearch, Matcher, RegexSearch, Scan, Steps,
    },
    pattern::{LineGlob, Pattern, Patterns, Regex},
};

/// Shows a text in pieces of one size; yields how many bytes were looked at until the end was
/// found.
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
fn long_delimiters_are_linear_in_pieces_of_any_size() {
    // Nearly a delimiter, again and again.
    let needle = [&b"a".repeat(1000)[..], b"b"].concat();
    let text = [&b"a".repeat(999)[..], b"c"].concat().repeat(20);
    let text = [&text[..], &needle].concat();
    assert_linear(|| Delimiter::new(&needle).unwrap(), &text, 3);
    assert_linear(
        || Delimiter::new(&needle).unwrap(),
        &[&b"a".repeat(20_000)[..], b"b"].concat(),
        3,
    );
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

/// Forty patterns look at a byte as often as two do.
#[test]
fn combined_lists_are_linear() {
    let text = [&b"x".repeat(20_000)[..], b"\n"].concat();
    let strings = (0..20).map(|number| Pattern::bytes(format!("x{number}\n")));
    // Undecided at every byte.
    let regexes = (0..20).map(|number| Regex::new(&format!(r"x.{{{number}}}(y\b|\n)")).unwrap());
    let patterns = Patterns::new(strings.chain(regexes.map(Pattern::regex))).unwrap();
    assert_linear(|| Any::new(&patterns).unwrap(), &text, 4);
}

#[test]
fn a_rare_pattern_does_not_look_far_beyond_a_frequent_one() {
    let text = b"0123456789\n".repeat(10_000);
    let regex = Pattern::regex(Regex::new("no+ne").unwrap());
    let some = |pattern: &Pattern| Any::new([pattern.clone(), Pattern::bytes("\n")]).unwrap();
    let many = |pattern: &Pattern| {
        let rare = std::iter::repeat_n(pattern.clone(), 10);
        Any::new(Patterns::new(rare.chain([Pattern::bytes("\n")])).unwrap()).unwrap()
    };
    let rare = Pattern::bytes("none");
    for mut any in [some(&rare), some(&regex), many(&rare), many(&regex)] {
        LOOKED_AT.set(0);
        assert_eq!(any.scan(&text, true), Scan::Found { end: 11 });
        assert!(LOOKED_AT.get() < 1000, "{}", LOOKED_AT.get());
    }
}

/// How many steps a scan to its end takes, a few at a time.
fn steps(matcher: &mut impl Matcher, text: &[u8]) -> usize {
    let mut taken = 0;
    loop {
        let mut steps = Steps::new(1000);
        let scan = matcher.scan_within(text, true, &mut steps);
        taken += 1000 - steps.left();
        if scan.is_some() {
            return taken;
        }
    }
}

#[test]
fn globs_go_over_a_line_once() {
    let line = [&b"a".repeat(100_000)[..], b"\n"].concat();
    for (glob, each) in [
        ("a*".repeat(2000) + "b", 1),
        (format!("*{}b", "a".repeat(4000)), 1),
        (format!("*{}b*", "a".repeat(4000)), 1),
        // All 64 numbers of the pattern's tokens are gone over for every byte.
        (format!("*?{}b*", "a".repeat(4000)), 130),
        (format!("*{}*b", "?a*".repeat(1000)), 3),
    ] {
        let glob = LineGlob::new(&glob).unwrap();
        LOOKED_AT.set(0);
        assert!(!glob.matches(&line[..100_000]));
        assert!(LOOKED_AT.get() < 300_000, "{glob} looks at {}", LOOKED_AT.get());
        let taken = steps(&mut LineGlobSearch::new(glob.clone()), &line);
        assert!(taken < (each + 1) * line.len() + 20_000, "{glob} takes {taken} steps");
    }
}

#[test]
fn work_is_counted_where_a_byte_costs_more() {
    let text = b"xabcdefghi".repeat(1000);
    let taken = |pattern: &str| {
        steps(&mut RegexSearch::new(Regex::new(pattern).unwrap()), &text) / text.len()
    };
    assert!(taken("[0-9]+z") < 2, "a byte is a step");
    let hard = taken("x[a-z]{0,2000}!");
    assert!((200..4000).contains(&hard), "hundreds of states a byte, {hard} steps");
    let mut any = Any::new((0..100).map(|n| Pattern::bytes(format!("{n:03}")))).unwrap();
    let many = steps(&mut any, &text) / text.len();
    assert!((20..200).contains(&many), "a hundred searches, {many} steps");
    let patterns = (0..100).map(|n| Pattern::bytes(format!("{n:03}")));
    let mut any = Any::new(Patterns::new(patterns).unwrap()).unwrap();
    let once = steps(&mut any, &text) / text.len();
    assert!((1..3).contains(&once), "one search for a hundred, {once} steps");
    let regexes = (1990..2000).map(|n| Regex::new(&format!("x[a-z]{{0,{n}}}!")).unwrap());
    let patterns = Patterns::new(regexes.map(Pattern::regex)).unwrap();
    let ten = steps(&mut Any::new(&patterns).unwrap(), &text) / text.len();
    assert!((hard..20 * hard).contains(&ten), "more states a byte, {ten} steps beside {hard}");
}

#[test]
fn a_scan_does_not_do_much_more_than_it_may() {
    let text = [&b"xyx".repeat(10_000)[..], b"\n"].concat();
    let list = || {
        Any::new((0..50).map(|n| Pattern::line(LineGlob::new(&format!("*?{n}*")).unwrap())))
            .unwrap()
    };
    let hard = || RegexSearch::new(Regex::new(r"(x)[a-z]{0,300}!|((?s).)+!").unwrap());
    fn turns(mut matcher: impl Matcher, text: &[u8]) -> usize {
        let mut turns = 0;
        loop {
            turns += 1;
            LOOKED_AT.set(0);
            let scan = matcher.scan_within(text, true, &mut Steps::new(10_000));
            assert!(LOOKED_AT.get() <= 45_000, "{} bytes in 10,000 steps", LOOKED_AT.get());
            if scan.is_some() {
                return turns;
            }
        }
    }
    let regex = |n| Pattern::regex(Regex::new(&format!("x[a-z]{{0,{n}}}!")).unwrap());
    let combined = Patterns::new((100..110).map(regex)).unwrap();
    let strings = (0..20).map(|n| Pattern::bytes(format!("xyz{n}")));
    let strings = Patterns::new(strings).unwrap();
    assert!(turns(Any::new(&combined).unwrap(), &text) > 10);
    assert!(turns(Any::new(&strings).unwrap(), &text) > 2);
    assert!(turns(list(), &text) > 100);
    assert!(turns(hard(), &text) > 100);
    assert!(turns(ExpectLine::new(Regex::new("x[a-z]{0,300}!").unwrap()), &text) > 100);
}
