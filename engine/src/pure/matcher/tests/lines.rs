//! Reads by line.

use bytes::Bytes;

use super::{Subject, bytes, naive_lines};
use crate::pure::{
    error::{Error, Result},
    matcher::{ExpectLine, Line, LineGlobSearch, Matcher, Scan},
    pattern::{LineGlob, LineMatch, LinePattern, Regex},
};

#[test]
fn line_under_every_cut() {
    let oracle = |text: &[u8]| {
        let (line, end) = naive_lines(text).first()?.clone();
        Some((end, text[line].to_vec()))
    };
    let subject = Subject::new(Line::new(), bytes, oracle);
    subject.check_all(b"\r\na", 6);
    subject.check(b"aaaa\r\raa\r\n");
}

#[test]
fn expect_line_under_every_cut() {
    let patterns = [
        LinePattern::any(),
        LinePattern::exact(""),
        LinePattern::from("a"),
        LinePattern::from(LineGlob::new("?a*").unwrap()),
        LinePattern::from(Regex::new("(?:a|\r)a$").unwrap()),
    ];
    for pattern in patterns {
        let oracle = |text: &[u8]| {
            let (line, end) = naive_lines(text).first()?.clone();
            let line = text[line].to_vec();
            let outcome =
                if pattern.matches(&line) { Ok(line) } else { Err((pattern.to_string(), line)) };
            Some((end, outcome))
        };
        let view = |line: Result<Bytes>| match line {
            Ok(line) => Ok(line.to_vec()),
            Err(Error::Unexpected { expected, line }) => Err((expected, line.to_vec())),
            Err(error) => panic!("{error}"),
        };
        Subject::new(ExpectLine::new(pattern.clone()), view, oracle).check_all(b"\r\na", 5);
    }
}

#[test]
fn line_glob_search_under_every_cut() {
    for (glob, matches) in [
        ("a", (|line| line == b"a") as fn(&[u8]) -> bool),
        ("?*", |line| !line.is_empty()),
        ("*a*a*", |line| line.iter().filter(|&&byte| byte == b'a').count() >= 2),
    ] {
        let oracle = |text: &[u8]| {
            let (line, end) =
                naive_lines(text).into_iter().find(|(line, _)| matches(&text[line.clone()]))?;
            Some((end, (text[..line.start].to_vec(), text[line].to_vec())))
        };
        let view = |found: Result<LineMatch>| {
            let LineMatch { skipped, line } = found.unwrap();
            (skipped.to_vec(), line.to_vec())
        };
        let matcher = LineGlobSearch::new(LineGlob::new(glob).unwrap());
        let subject = Subject::new(matcher, view, oracle);
        subject.check_all(b"\r\na", 6);
        subject.check(b"\na\r\n\r\naa\r\n");
    }
}

#[test]
fn an_unexpected_line_does_not_keep_the_buffer() {
    let unread = Bytes::from(b"no\n".to_vec());
    let mut expect = ExpectLine::new("yes");
    assert_eq!(expect.scan(&unread, false), Scan::Found { end: 3 });
    let Err(Error::Unexpected { expected, line }) = expect.output(unread.clone()) else { panic!() };
    assert_eq!((&expected[..], &line[..]), ("\"yes\"", &b"no"[..]));
    assert!(unread.is_unique());
}
