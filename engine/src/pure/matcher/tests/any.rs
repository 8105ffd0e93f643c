//! Several patterns at once.

use std::ops::Range;

use proptest::prelude::*;

use super::{Oracle, Subject, naive_end, naive_lines, regex};
use crate::pure::{
    error::Result,
    matcher::{Any, Matcher, Scan, Steps, list::Combine},
    pattern::{AnyMatch, LineGlob, Pattern, Patterns, Regex},
};

/// The patterns that lists are made of.
const KINDS: [&str; 12] = [
    "bytes a",
    "bytes ab",
    "bytes \r\n",
    "line a",
    "line *b",
    "line /b$/",
    "end",
    r"a\b",
    "(?m)a$",
    "ab?",
    r"(?m)ab$|b",
    r"a\n|\Ba\B",
];

fn pattern(kind: &'static str) -> (Pattern, Oracle<'static, Range<usize>>) {
    let line = |matches: fn(&[u8]) -> bool| -> Oracle<'_, Range<usize>> {
        Box::new(move |text| {
            let mut lines = naive_lines(text).into_iter();
            lines.find(|(line, _)| matches(&text[line.clone()])).map(|(line, end)| (end, line))
        })
    };
    match kind {
        "end" => (Pattern::end(), Box::new(|text| Some((text.len(), text.len()..text.len())))),
        "line a" => (Pattern::line("a"), line(|line| line == b"a")),
        "line *b" => {
            (Pattern::line(LineGlob::new("*b").unwrap()), line(|line| line.ends_with(b"b")))
        }
        "line /b$/" => {
            (Pattern::line(Regex::new("b$").unwrap()), line(|line| line.ends_with(b"b")))
        }
        _ => match kind.strip_prefix("bytes ") {
            Some(needle) => (
                Pattern::bytes(needle),
                Box::new(|text| {
                    let end = naive_end(text, needle.as_bytes())?;
                    Some((end, end - needle.len()..end))
                }),
            ),
            None => {
                let naive = regex::naive(kind);
                let oracle = move |text: &[u8]| naive(text).map(|(end, (range, _))| (end, range));
                (Pattern::regex(Regex::new(kind).unwrap()), Box::new(oracle))
            }
        },
    }
}

/// What combines whatever there is, with automata of both kinds, caches and sets that are full at
/// once.
const COMBINED: [Combine; 3] = [
    Combine { strings_min: 1, regexes_min: 1, ..Combine::DEFAULT },
    Combine { strings_min: 1, regexes_min: 1, dfa_limit: 0, cache_limit: 0, ..Combine::DEFAULT },
    Combine { strings_min: 1, strings_max: 3, regexes_min: 1, states_max: 20, ..Combine::DEFAULT },
];

/// The list by itself, and combined in every way.
fn subjects(
    kinds: &[&'static str],
) -> impl Iterator<Item = Subject<'static, Any, (usize, Range<usize>)>> {
    ways().into_iter().map(|combine| subject(kinds, combine))
}

fn ways() -> Vec<Option<&'static Combine>> {
    [None].into_iter().chain(COMBINED.iter().map(Some)).collect()
}

fn subject(
    kinds: &[&'static str],
    combine: Option<&Combine>,
) -> Subject<'static, Any, (usize, Range<usize>)> {
    let (patterns, oracles): (Vec<_>, Vec<_>) = kinds.iter().map(|kind| pattern(kind)).unzip();
    let any = match combine {
        None => Any::new(patterns),
        Some(combine) => Any::new(Patterns::combined(patterns, combine).unwrap()),
    };
    let ends: Vec<bool> = kinds.iter().map(|&kind| kind == "end").collect();
    let oracle = move |text: &[u8]| {
        let outcome = |(index, oracle): (usize, &Oracle<'_, _>)| {
            let (end, range) = oracle(text)?;
            // The end of the stream comes behind everything.
            Some((end, ends[index], index, range))
        };
        let first = oracles.iter().enumerate().filter_map(outcome);
        let (end, _, index, range) =
            first.min_by_key(|(end, is_end, index, _)| (*end, *is_end, *index))?;
        Some((end, (index, range)))
    };
    let view = |found: Result<AnyMatch>| {
        let found = found.unwrap();
        (found.index, found.range)
    };
    Subject::new(any.unwrap(), view, oracle)
}

#[test]
fn every_pair_under_every_cut() {
    for first in KINDS {
        for second in KINDS {
            subjects(&[first, second]).for_each(|subject| subject.check_all(b"ab\n", 3));
        }
    }
}

#[test]
fn lists_under_every_cut() {
    for kinds in [
        &["a\\b", "bytes ab", "bytes a"][..],
        &["(?m)ab$|b", "line *b", "bytes ab"],
        &["bytes \r\n", "(?m)a$", "line a", "end"],
        &["end", "a\\b", "line /b$/", "a\\n|\\Ba\\B"],
        &["end", "end"],
    ] {
        for subject in subjects(kinds) {
            subject.check_all(b"ab\r\n", 5);
            subject.check(b"abb\r\naaba\n");
        }
    }
}

#[test]
fn an_undecided_pattern_is_waited_for_if_it_comes_first() {
    let undecided = Pattern::regex(Regex::new("a$").unwrap());
    let bytes = Pattern::bytes("a");
    let mut any = Any::new([undecided.clone(), bytes.clone()]).unwrap();
    assert_eq!(any.lookahead(), 1);
    assert_eq!(any.scan(b"a", false), Scan::NeedMore);
    assert_eq!(any.scan(b"ab", false), Scan::Found { end: 1 });
    assert_eq!(any.output("a".into()).unwrap().index, 1);

    any.restart();
    assert_eq!(any.scan(b"a", false), Scan::NeedMore);
    assert_eq!(any.scan(b"a", true), Scan::Found { end: 1 });
    assert_eq!(any.output("a".into()).unwrap().index, 0);

    let mut any = Any::new([bytes, undecided]).unwrap();
    assert_eq!(any.scan(b"a", false), Scan::Found { end: 1 });
}

#[test]
fn the_end_takes_what_is_left() {
    let mut any = Any::new([Pattern::end(), Pattern::line("a")]).unwrap();
    assert_eq!(any.scan(b"", false), Scan::NeedMore);
    assert_eq!(any.scan(b"", true), Scan::Found { end: 0 });
    any.restart();
    assert_eq!(any.scan(b"b\na", true), Scan::Found { end: 3 });
    let found = any.output("b\na".into()).unwrap();
    assert_eq!((found.index, found.range, &found.bytes[..]), (0, 3..3, &b"b\na"[..]));
    any.restart();
    assert_eq!(any.scan(b"a\n", true), Scan::Found { end: 2 });
    assert_eq!(any.output("a\n".into()).unwrap().index, 1);
}

/// Strings, lines and regexes, enough of each to be combined.
fn many() -> Vec<Pattern> {
    let strings = (0..10).map(|number| Pattern::bytes(format!("string {number}!")));
    let lines = (0..3).map(|number| Pattern::line(format!("line {number}").as_str()));
    let regexes = (0..4).map(|number| Regex::new(&format!(r"re+gex {number}\b")).unwrap());
    strings.chain(lines).chain(regexes.map(Pattern::regex)).collect()
}

#[test]
fn one_list_serves_several_reads_at_once() {
    let patterns = Patterns::new(many()).unwrap();
    assert_eq!(patterns.len(), 17);
    let texts =
        ["x string 7!", "a\nline 1\n", "reeegex 3.", "reegex 31 string 12! regex 0 ", "string 0!"];
    let wanted = [(7, 2..11), (11, 2..8), (16, 0..9), (13, 21..28), (0, 0..9)];
    let mut reads: Vec<_> = texts.iter().map(|_| Any::new(&patterns).unwrap()).collect();
    let mut found = vec![None; texts.len()];
    // Nothing of them goes with the list.
    drop(patterns);
    for shown in 1..=texts.iter().map(|text| text.len()).max().unwrap() {
        for ((any, text), found) in reads.iter_mut().zip(texts).zip(&mut found) {
            if found.is_some() || shown > text.len() {
                continue;
            }
            if let Scan::Found { end } = any.scan(&text.as_bytes()[..shown], false) {
                let AnyMatch { index, range, .. } = any.output(text[..end].into()).unwrap();
                *found = Some((index, range));
            }
        }
    }
    assert_eq!(found, wanted.map(Some));
}

/// Behind what one string or regex of an automaton ended with, another read begins anew.
#[test]
fn one_list_serves_one_read_after_the_other() {
    let patterns = Patterns::new(many()).unwrap();
    let mut rest: &[u8] = b"ring 7!string 1!string 2!line 1\nregex 0 regex 1 line 1\n";
    let mut found = Vec::new();
    loop {
        let mut any = Any::new(patterns.clone()).unwrap();
        let Scan::Found { end } = any.scan(rest, true) else { break };
        let (taken, behind) = rest.split_at(end);
        found.push(any.output(bytes::Bytes::copy_from_slice(taken)).unwrap().index);
        rest = behind;
    }
    assert_eq!(found, [1, 2, 11, 13, 14]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Longer than the first windows, with the ends anywhere around their edges.
    #[test]
    fn lists_in_long_texts(
        kinds in prop::collection::vec(
            prop::sample::select(vec!["bytes ab", "line a", "a\\b", "(?m)a$", "bytes \r\n", "end"]),
            1..4,
        ),
        way in prop::sample::select(ways()),
        padding in 230..530_usize,
        text in "[ab\r\n ]{0,20}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let text = ["b".repeat(padding), text].concat();
        subject(&kinds, way).check_pieces(text.as_bytes(), &cuts);
    }
    /// What a read finds, and what every scan before it says, is what the list by itself says,
    /// whatever is combined, however few steps a scan has.
    #[test]
    fn patterns_find_what_the_list_finds(
        regexes in prop::collection::vec(
            prop::collection::vec(prop::sample::select(PARTS.to_vec()), 1..5),
            0..9,
        ),
        others in prop::collection::vec(prop::sample::select(KINDS.to_vec()), 0..4),
        strings in prop::collection::vec("[abc]{1,4}", 0..9),
        order in any::<usize>(),
        text in "[ab]{0,300}[abc\r\n ]{0,60}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        steps in 1..200_usize,
    ) {
        let regexes = regexes.iter().filter_map(|parts| Regex::new(&parts.concat()).ok());
        let mut patterns: Vec<_> = regexes.map(Pattern::regex).collect();
        patterns.extend(others.iter().map(|kind| pattern(kind).0));
        patterns.extend(strings.iter().map(Pattern::bytes));
        prop_assume!(!patterns.is_empty());
        let place = order % patterns.len();
        patterns.rotate_left(place);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let list = Any::new(patterns.clone()).unwrap();
        let expected = scans(list, text.as_bytes(), &cuts, usize::MAX);
        for combine in COMBINED.iter().chain([&Combine::DEFAULT]) {
            let patterns = Patterns::combined(patterns.clone(), combine).unwrap();
            for steps in [steps, usize::MAX] {
                let any = Any::new(&patterns).unwrap();
                prop_assert_eq!(&scans(any, text.as_bytes(), &cuts, steps), &expected);
            }
        }
    }
}

/// What regexes are made of.
const PARTS: [&str; 18] = [
    "a", "b", "ab", "[ab]+", ".", "(?s:.)*", "b?", "(a|ab)", "|", r"\n", "c", "a{2,5}", r"\b",
    r"\B", "^", "$", "(?m:^)", "(?mR:$)",
];

/// What is said of each piece, up to the first match, and the match.
fn scans(mut any: Any, text: &[u8], cuts: &[usize], steps: usize) -> (Vec<Scan>, Option<AnyMatch>) {
    let pieces = cuts.iter().map(|&cut| (cut, false)).chain([(text.len(), true)]);
    let mut said = Vec::new();
    for (shown, ended) in pieces {
        let scan = (0..1_000_000)
            .find_map(|_| any.scan_within(&text[..shown], ended, &mut Steps::new(steps)))
            .expect("it comes to an answer");
        said.push(scan);
        if let Scan::Found { end } = scan {
            let taken = bytes::Bytes::copy_from_slice(&text[..end]);
            return (said, Some(any.output(taken).unwrap()));
        }
    }
    (said, None)
}
