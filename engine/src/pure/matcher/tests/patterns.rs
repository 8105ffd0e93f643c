//! Patterns by themselves: what they match, and what is refused.

use proptest::prelude::*;

use super::refusal;
use crate::pure::{
    matcher::{Any, Delimiter, Matcher, Scan},
    pattern::{LineGlob, LinePattern, Pattern, Patterns, Regex},
};

#[test]
fn globs_match_whole_lines() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("abc", &["abc"], &["", "ab", "abcd", "xabc"]),
        ("*", &["", "a", "abc"], &[]),
        ("a*", &["a", "ab"], &["", "ba"]),
        ("**a**", &["a", "bab"], &["", "b"]),
        ("?", &["a", "*"], &["", "ab"]),
        ("a?c", &["abc", "a?c"], &["ac", "abbc"]),
        ("*ab*ab", &["abab", "xabyab", "ababab"], &["ab", "aba"]),
        ("[a-c]", &["a", "b", "c"], &["d", "-", ""]),
        ("[!a-c]", &["d", "-", "^"], &["a", ""]),
        ("[^a]", &["b", "!"], &["a"]),
        ("[]a]", &["]", "a"], &["b"]),
        ("[!]a]", &["b"], &["]", "a"]),
        ("[a-]", &["a", "-"], &["b"]),
        ("[-a]", &["a", "-"], &["b"]),
        ("[\\]-^]", &["]", "^"], &["\\", "-"]),
        ("[\\\\]", &["\\"], &["]"]),
        ("[*?]", &["*", "?"], &["a"]),
        ("[!-~]", &["a"], &["-", "~"]),
        ("\\*\\?\\[\\\\", &["*?[\\"], &["abcd"]),
        ("a]", &["a]"], &["a"]),
        ("é*", &["é", "éa"], &["e"]),
    ];
    for (glob, matching, others) in cases {
        let glob = LineGlob::new(glob).unwrap();
        for line in *matching {
            assert!(glob.matches(line.as_bytes()), "{glob:?} and {line:?}");
        }
        for line in *others {
            assert!(!glob.matches(line.as_bytes()), "{glob:?} and {line:?}");
        }
    }
    assert!(LineGlob::new("?").unwrap().matches(b"\xff"), "bytes need not be text");
}

#[test]
fn wrong_globs_say_where() {
    for (glob, wrong) in [
        ("", "the pattern is empty"),
        ("ab[", "unclosed [ at byte 2"),
        ("ab[]", "unclosed [ at byte 2"),
        ("ab[!]", "unclosed [ at byte 2"),
        ("ab[a-", "unclosed [ at byte 2"),
        ("ab\\", "nothing follows the \\ at byte 2"),
        ("ab[c\\", "nothing follows the \\ at byte 4"),
        ("[b-c][ad-b]", "reversed range in [ ] at byte 7"),
        ("[aé]", "not ASCII in [ ] at byte 2"),
    ] {
        let refusal = refusal(LineGlob::new(glob));
        assert!(refusal.contains(wrong), "{refusal}");
        assert!(refusal.starts_with(&format!("glob \"{glob}\": ")), "{refusal}");
    }
    assert!(LineGlob::new(&"a".repeat(4096)).is_ok());
    assert_eq!(
        refusal(LineGlob::new(&"a".repeat(4097))),
        "a glob of 4097 bytes, and 4096 is the most"
    );
}

#[test]
fn wrong_regexes_say_where() {
    let long = "a".repeat(5000);
    for (regex, wrong) in [
        ("", "matches the empty string"),
        ("a*", "matches the empty string"),
        ("(?m)^$", "matches the empty string"),
        (r"a|\b", "matches the empty string"),
        ("ab(c", "unclosed group at byte 2"),
        ("ab[c", "unclosed character class at byte 2"),
        ("a**)", "unopened group at byte 3"),
        ("a{2", "unclosed counted repetition at byte 1"),
        (r"a\pL", "at byte 1"),
        (r"a(?u:\b)", "Unicode word boundaries"),
        ("(?:[a-z]{500}){500}", "1048576 bytes"),
        (r"a(?=b)", "at byte 1"),
        (&long, "5000 bytes"),
        (&"(a)".repeat(1300), "more than 4194304 bytes to find its 1300 groups"),
    ] {
        let refusal = refusal(Regex::new(regex));
        assert!(refusal.contains(wrong), "{refusal}");
    }
}

/// Escaped it would be another one, in which the byte is somewhere else.
#[test]
fn a_wrong_pattern_is_shown_as_it_was_written() {
    let written = r#"^\d+ "\w+(\s"#;
    let text = format!("regex \"{written}\": unclosed group at byte 9");
    assert_eq!(refusal(Regex::new(written)), text);
    assert_eq!(&written[9..], r"(\s");
    let written = r#"\*"[0-9"#;
    assert_eq!(
        refusal(LineGlob::new(written)),
        format!("glob \"{written}\": unclosed [ at byte 3")
    );
    let torn = refusal(Regex::new("a\n("));
    assert_eq!(torn, r#"regex "a\n(": unclosed group at byte 2"#, "but on one line");
}

/// Who writes them expects characters.
#[test]
fn a_regex_that_wants_unicode_says_that_patterns_are_about_bytes() {
    for regex in [r"\pL", r"\p{Greek}+", "[\u{e9}]", r"a(?u:\b)"] {
        let refusal = refusal(Regex::new(regex));
        assert!(refusal.contains("not allowed"), "{refusal}");
        assert!(refusal.contains("patterns are about bytes, and their classes ASCII"), "{refusal}");
    }
    // What they are told to write.
    for regex in ["(?:\u{e9}|\u{fc})", r"\xC3\xA9", "\u{e9}"] {
        assert!(LinePattern::from(Regex::new(regex).unwrap()).matches("caf\u{e9}".as_bytes()));
    }
}

#[test]
fn lists_of_nothing_are_refused() {
    assert_eq!(refusal(Any::new([])), "the list of patterns is empty");
    assert_eq!(refusal(Patterns::new([])), "the list of patterns is empty");
    let patterns = [Pattern::end(), Pattern::bytes("")];
    assert_eq!(refusal(Any::new(patterns.clone())), "pattern 1 is an empty byte string");
    assert_eq!(refusal(Patterns::new(patterns)), "pattern 1 is an empty byte string");
}

/// Also where the type of what is in it has to be guessed.
#[test]
fn a_list_is_whatever_iterates_over_patterns() {
    fn from_generic(list: impl IntoIterator<Item = Pattern>) -> Any {
        Any::new(list).unwrap()
    }
    let list = || [Pattern::bytes("a"), Pattern::end()];
    let boxed: Box<dyn Iterator<Item = Pattern>> = Box::new(list().into_iter());
    let patterns = Patterns::new(list()).unwrap();
    for mut any in [
        Any::new(list()).unwrap(),
        Any::new(list().to_vec()).unwrap(),
        Any::new(["a", "c"].map(Pattern::bytes)).unwrap(),
        Any::new(["a"].iter().map(Pattern::bytes)).unwrap(),
        Any::new(Some(Pattern::bytes("a"))).unwrap(),
        Any::new(boxed).unwrap(),
        from_generic(list()),
        Any::new(&patterns).unwrap(),
        Any::new(patterns).unwrap(),
    ] {
        assert_eq!(any.scan(b"ba", false), Scan::Found { end: 2 });
    }
    assert_eq!(refusal(Any::new(Vec::new())), refusal(Any::new(None)));
}

#[test]
fn lists_and_delimiters_have_a_limit() {
    let many = |count| Any::new(std::iter::repeat_n(Pattern::bytes("a"), count));
    assert!(many(65_536).is_ok());
    assert_eq!(refusal(many(65_537)), "more than 65536 patterns in one list");
    let long = vec![b'a'; (16 << 20) + 1];
    assert_eq!(
        refusal(Delimiter::new(&long)),
        "a delimiter of 16777217 bytes, and 16777216 is the most"
    );
}

#[test]
fn line_patterns_write_themselves() {
    for (pattern, written) in [
        (LinePattern::any(), "any line"),
        (LinePattern::from("250 \"OK\""), r#""250 \"OK\"""#),
        (LinePattern::from(String::new()), r#""""#),
        (LineGlob::new("250[ -]*").unwrap().into(), r#"a line like "250[ -]*""#),
        (Regex::new("^250").unwrap().into(), r#"a line with a match of "^250""#),
    ] {
        assert_eq!(pattern.to_string(), written);
    }
    assert_eq!(LineGlob::new("a*").unwrap().to_string(), "a*");
    assert_eq!(Regex::new("a+").unwrap().to_string(), "a+");
    assert_eq!(format!("{:?}", Regex::new("a+").unwrap()), r#"Regex("a+")"#);
    let patterns = Patterns::new([Pattern::bytes("a"), Pattern::end()]).unwrap();
    assert_eq!(format!("{patterns:?}"), "Patterns { len: 2, .. }");
}

#[test]
fn regexes_are_searched_in_a_line() {
    let ok = LinePattern::from(Regex::new(r"\bok\b$").unwrap());
    assert!(ok.matches(b"all ok"));
    assert!(!ok.matches(b"all ok?"));
    assert!(!ok.matches(b"book"));
    assert!(!ok.matches(b""));
    let latin = LinePattern::from(Regex::new(r"(?-u:\xe9)").unwrap());
    assert!(latin.matches(b"caf\xe9"));
}

#[test]
fn patterns_can_cross_threads() {
    fn is_shared<T: Send + Sync + Clone>() {}
    is_shared::<Regex>();
    is_shared::<LineGlob>();
    is_shared::<LinePattern>();
    is_shared::<Pattern>();
    is_shared::<Patterns>();
}

/// A glob matches by its definition: a star takes any number of bytes.
fn naive_glob(glob: &[u8], line: &[u8]) -> bool {
    match (glob, line) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=line.len()).any(|taken| naive_glob(rest, &line[taken..])),
        ([b'?', glob @ ..], [_, line @ ..]) => naive_glob(glob, line),
        ([own, glob @ ..], [byte, line @ ..]) if own == byte => naive_glob(glob, line),
        _ => false,
    }
}

/// The same for more stars: which fronts of the glob match the bytes so far.
fn slow_glob(glob: &[u8], line: &[u8]) -> bool {
    let over_stars = |mut fits: Vec<bool>| {
        for at in 0..glob.len() {
            fits[at + 1] |= fits[at] && glob[at] == b'*';
        }
        fits
    };
    let mut fits = vec![false; glob.len() + 1];
    fits[0] = true;
    fits = over_stars(fits);
    for byte in line {
        let mut next = vec![false; glob.len() + 1];
        for at in (0..glob.len()).filter(|&at| fits[at]) {
            match glob[at] {
                b'*' => next[at] = true,
                own => next[at + 1] |= own == b'?' || own == *byte,
            }
        }
        fits = over_stars(next);
    }
    fits[glob.len()]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(2000)
    })]

    #[test]
    fn globs_match_by_definition(glob in "[ab*?]{1,8}", line in "[ab]{0,10}") {
        let matches = LineGlob::new(&glob).unwrap().matches(line.as_bytes());
        prop_assert_eq!(matches, naive_glob(glob.as_bytes(), line.as_bytes()));
    }

    /// Pieces over the edges of the numbers that a pattern's characters are bits of.
    #[test]
    fn long_globs_match_by_definition(
        front in "[ab?]{0,70}",
        stars in "[ab*?]{1,70}",
        line in "[ab]{0,100}",
        embed in any::<bool>(),
    ) {
        let glob = format!("*{front}*{stars}");
        // Something that matches, but for the part with many stars.
        let line = if embed { format!("a{}{line}", front.replace('?', "b")) } else { line };
        let matches = LineGlob::new(&glob).unwrap().matches(line.as_bytes());
        prop_assert_eq!(matches, slow_glob(glob.as_bytes(), line.as_bytes()));
    }

    #[test]
    fn globs_never_panic(glob in "[ab*?\\[\\]!^\\\\é-]{1,8}", line in "[ab\\]-]{0,10}") {
        let _ = LineGlob::new(&glob).map(|glob| glob.matches(line.as_bytes()));
    }
}
