//! Regex searches against another engine of `regex-automata`, asked for every prefix.

use std::ops::Range;

use bytes::Bytes;
use proptest::prelude::*;
use regex_automata::{Input, meta, util::syntax};

use super::{Outcome, Subject};
use crate::pure::{
    error::Result,
    matcher::{Matcher, RegexSearch, Scan},
    pattern::{Regex, RegexMatch},
};

/// A match's start and its groups.
type Found = (Range<usize>, Vec<Option<Vec<u8>>>);

/// What the contract says, word by word: the shortest prefix in which there is a match, where
/// look-around sees the text behind it, and the leftmost start.
pub(super) fn naive(pattern: &str) -> impl Fn(&[u8]) -> Outcome<Found> + use<> {
    let regex = meta::Regex::builder()
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .configure(meta::Config::new().utf8_empty(false))
        .build(pattern)
        .unwrap();
    move |text| {
        let mut captures = regex.create_captures();
        (1..=text.len()).find_map(|end| {
            regex.search_captures(&Input::new(text).range(..end), &mut captures);
            let found = captures.get_match()?.range();
            assert_eq!(found.end, end);
            let groups = captures.iter().map(|span| Some(text[span?.range()].to_vec()));
            Some((end, (found, groups.collect())))
        })
    }
}

fn subject(pattern: &str) -> Subject<'static, RegexSearch, Found> {
    subject_of(pattern, &Regex::new(pattern).unwrap())
}

/// The limits of caches: one in which a place or two have room, so that nearly all is simulated,
/// and one that is cleared now and then. What there is room for must make no difference.
const TINY: [usize; 2] = [0, 400];

/// Checks one text with caches of all sizes.
fn check(pattern: &str, text: &[u8]) {
    subject(pattern).check(text);
    for limit in TINY {
        let regex = Regex::new(pattern).unwrap().with_cache_limit(limit);
        subject_of(pattern, &regex).check(text);
    }
}

fn subject_of(pattern: &str, regex: &Regex) -> Subject<'static, RegexSearch, Found> {
    let view = |found: Result<RegexMatch>| {
        let found = found.unwrap();
        let group = |index| found.group(index).map(|group| group.to_vec());
        (found.range.clone(), (0..=found.groups.len()).map(group).collect())
    };
    Subject::new(RegexSearch::new(regex.clone()), view, naive(pattern))
}

#[test]
fn regexes_under_every_cut() {
    for (pattern, alphabet) in [
        ("a+", "ab"),
        ("login: ?", "n: l"),
        ("(l|og)+in: ?", "login: "),
        ("(?m)^ok$", "ok\nx"),
        ("(?m)ok$", "ok\r\n"),
        ("(?Rm)^ok$", "ok\r\n"),
        (r"\bfoo\b", "fo x"),
        (r"\Bo\B", "fo x"),
        (r"\b{start}o|x\b{end}", "fo x"),
        (r"\b{start-half}o|x\b{end-half}", "fo x"),
        ("a.c", "abc\n"),
        ("(?s)a.b", "ab\nc"),
        ("x$", "xy\n"),
        (r"(x)$|(x)", "xy\n"),
        (r"(yx)$|x", "xy\n"),
        (r"y(x$)|(yx)", "xy\n"),
        (r"x(\b|\B)", "xy "),
        (r">\s*$|> ", "> x"),
        ("[0-9]+ .*\n", "07 \n"),
        ("ab|abc|b", "abc"),
        ("abc|bcd|c", "abcd"),
        ("(a|ab)(c|bcd)", "abcd"),
        ("(a*?)(b)|(aa)", "abc"),
        ("(?:a|b)*abb", "abc"),
        (r"\Aab", "abc"),
        (r"(?m)^b\z", "ab\n"),
        ("\r?\n\\.\r?\n", "\r\n.a"),
        ("^.{3}", "ab\n"),
    ] {
        let subject = subject(pattern);
        subject.check_all(alphabet.as_bytes(), if alphabet.len() > 4 { 4 } else { 5 });
    }
}

#[test]
fn longer_texts_under_every_cut() {
    for (pattern, text) in [
        ("login: ?", "log login:"),
        (r"\bfoo\b", "foof foo x"),
        ("(?m)^ok$", "ook\nok\r\nok"),
        ("[0-9]+ (.*)\n", "x 12 abc\nd"),
        (r"(?m)(a)?b$", "ab,b.aab\na"),
        ("(?s)x.*\\b", "xwwwwwwww "),
        ("\r?\n\\.\r?\n", "\r\n..\r\n.\r\n"),
    ] {
        check(pattern, text.as_bytes());
    }
}

#[test]
fn the_earliest_end_wins() {
    for (pattern, text, range) in [
        ("a+", "baaa", 1..2),
        ("login: ?", "login: ", 0..6),
        ("abcd|bc", "abcd", 1..3),
        ("ab|b", "ab", 0..2),
    ] {
        let mut search = RegexSearch::new(Regex::new(pattern).unwrap());
        assert_eq!(search.scan(text.as_bytes(), false), Scan::Found { end: range.end });
        let taken = Bytes::copy_from_slice(&text.as_bytes()[..range.end]);
        assert_eq!(search.output(taken).unwrap().range, range);
    }
}

#[test]
fn groups_have_numbers_and_names() {
    let mut search = RegexSearch::new(Regex::new("(?<key>[a-z]+)=(?:(1)|(?<other>2));").unwrap());
    let text = Bytes::from("..ab=2;");
    assert_eq!(search.scan(&text, false), Scan::Found { end: 7 });
    let found = search.output(text.clone()).unwrap();
    assert_eq!((&found.bytes, found.range.clone()), (&text, 2..7));
    assert_eq!(found.group(0).unwrap(), "ab=2;");
    assert_eq!(found.group(1).unwrap(), "ab");
    assert_eq!(found.group(2), None);
    assert_eq!(found.group(3).unwrap(), "2");
    assert_eq!(found.group(4), None);
    assert_eq!(found.name("key").unwrap(), "ab");
    assert_eq!(found.name("other").unwrap(), "2");
    assert_eq!(found.name("none"), None);
}

#[test]
fn only_what_looks_ahead_needs_more_than_the_match() {
    for (pattern, lookahead) in
        [("a", 0), ("^a", 0), ("(?m)^a", 0), ("a$", 1), (r"a\b", 1), ("(?Rm)^a", 1)]
    {
        let search = RegexSearch::new(Regex::new(pattern).unwrap());
        assert_eq!(search.lookahead(), lookahead, "{pattern}");
    }
}

#[test]
fn searches_that_wait_survive_a_cleared_cache() {
    // Which of the last 14 bytes were `a` has to be remembered: 16384 places, which take more than
    // the cache's limit.
    let regex = Regex::new("a[ab]{14}c").unwrap();
    let mut random = 1_u32;
    let mut noise = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        random >> 16
    };
    let mut texts: Vec<Vec<u8>> = Vec::new();
    for _ in 0..3 {
        let mut text: Vec<u8> = (0..40_000).map(|_| b"ab"[noise() as usize % 2]).collect();
        text.extend_from_slice(b"abbbbbbbbbbbbbbcc");
        texts.push(text);
    }
    let mut searches = vec![RegexSearch::new(regex); 3];
    let mut shown = 0;
    while shown < 40_016 {
        for (search, text) in searches.iter_mut().zip(&texts) {
            assert_eq!(search.scan(&text[..shown], false), Scan::NeedMore);
        }
        shown = (shown + 1 + noise() as usize % 100).min(40_016);
    }
    for (search, text) in searches.iter_mut().zip(&texts) {
        assert_eq!(search.scan(text, false), Scan::Found { end: 40_016 });
        let found = search.output(Bytes::copy_from_slice(&text[..40_016])).unwrap();
        assert_eq!(found.range, 40_000..40_016);
    }
}

#[test]
fn big_patterns_are_slow_but_right() {
    // Each place is thousands of threads, so that few fit into a cache.
    let mut search = RegexSearch::new(Regex::new(r"x[a-z]{0,4000}(z)\b").unwrap());
    let text = [&b"axb".repeat(100)[..], b"z"].concat();
    assert_eq!(search.scan(&text, false), Scan::NeedMore);
    assert_eq!(search.scan(&text, true), Scan::Found { end: 301 });
    assert_eq!(search.output(Bytes::from(text)).unwrap().range, 1..301);
}

/// Patterns of few letters and much look-around.
fn any_pattern() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a",
        "b",
        ".",
        "\\n",
        "[^a]",
        "\\w",
        "^",
        "$",
        "(?m:^)",
        "(?m:$)",
        "(?Rm:^)",
        "(?Rm:$)",
        "\\b",
        "\\B",
        "\\b{start}",
        "\\b{end}",
        "(?s:.)",
    ]);
    leaf.prop_map(String::from).prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            4 => prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.concat()),
            2 => prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("(?:{})", parts.join("|"))),
            1 => inner.clone().prop_map(|part| format!("({part})")),
            1 => (inner, prop::sample::select(vec!["*", "+", "?", "*?", "+?", "{2}"]))
                .prop_map(|(part, count)| format!("(?:{part}){count}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(400)
    })]

    #[test]
    fn any_regex_under_every_cut(pattern in any_pattern(), text in "[ab\n\r ]{0,6}") {
        if Regex::new(&pattern).is_ok() {
            check(&pattern, text.as_bytes());
        }
    }

    #[test]
    fn regexes_in_long_texts(
        pattern in prop::sample::select(vec![
            "(?m)^ok$", r"\bkok\b", "[o]+k(\n| )", "(?s)kk.*\n.o", "(o|k){5}$", "k\r?\nk",
        ]),
        text in "[ok\r\n ]{0,150}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        subject(pattern).check_pieces(text.as_bytes(), &cuts);
        for limit in TINY {
            let regex = Regex::new(pattern).unwrap().with_cache_limit(limit);
            subject_of(pattern, &regex).check_pieces(text.as_bytes(), &cuts);
        }
    }

    /// Patterns with so many places that a table of them does not pay.
    #[test]
    fn regexes_that_thrash(
        pattern in prop::sample::select(vec![
            "a.{12}c", "(a|b)*a(a|b){6}c", r"\b\w{1,9}\b.{1,9}\b!!$", "x[a-z]{0,20}!",
            "(?:a?b?){9}c", "(?m)(a.{5})?(b|c)$", r"(?:\ba|\Bb){4,7}[c!]",
        ]),
        text in "[abcx! \n]{0,200}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        limit in prop::sample::select(vec![0, 400, 4000, 1 << 20]),
    ) {
        let regex = Regex::new(pattern).unwrap().with_cache_limit(limit);
        subject_of(pattern, &regex).check_pieces(text.as_bytes(), &cuts);
    }
}
