//! Promise 11: what reads come to depends on the bytes, their end and the limit, never on how the
//! network cut them up.

use std::{io::Write, net::Shutdown};

use facade_engine::{Engine, Handle, Limits, LineGlob, Pattern, Patterns, Regex, Stream};
use facade_tests::{
    reads::UpTo,
    told::Told,
    turns::{turn_until, turns},
};

use super::driver::{self, pair};

#[test]
fn promise_11_every_split_of_small_inputs_gives_every_read_the_same_outcomes() {
    for input in SMALL {
        every_split_is_the_same(input, Limits::default());
    }
}

#[test]
fn promise_11_limits_are_reached_alike_however_the_bytes_come() {
    for limit in 1..=4 {
        let limits = Limits { line: limit, all: limit + 1, ..Limits::default() };
        for input in SMALL.iter().filter(|input| input.len() <= 5) {
            every_split_is_the_same(input, limits);
        }
    }
}

#[test]
fn promise_11_one_byte_a_turn_is_the_same_as_all_at_once() {
    let text: String = (0..40).map(|n| format!("{n:o}ab{}\r\n", "xy".repeat(n % 5))).collect();
    let engine = driver::engine();
    for read in READS {
        let whole = outcomes(&engine, read, &[text.as_bytes()], Limits::default());
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(outcomes(&engine, read, &bytes, Limits::default()), whole);
        let threes: Vec<&[u8]> = text.as_bytes().chunks(3).collect();
        assert_eq!(outcomes(&engine, read, &threes, Limits::default()), whole);
    }
}

#[test]
fn promise_11_more_than_one_block_of_the_engine_is_no_boundary() {
    let engine = driver::engine();
    for len in [(64 << 10) - 1, 64 << 10, (64 << 10) + 1, 200 << 10] {
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        let mut text = vec![b'x'; len];
        // The delimiter lies across the boundary of a block, and of what the system sends at once.
        text.extend_from_slice(b"ENDrest");
        let writer = std::thread::spawn(move || peer.write_all(&text).unwrap());
        engine.set_limits(&stream, Limits { unread: 1, ..Limits::default() });
        engine.read_until(&stream, "END", told.value("until"));
        engine.read_all(&stream, told.value("all"));
        engine.run().unwrap();
        writer.join().unwrap();
        let notes = told.take();
        assert_eq!(notes[0].len(), "until b\"\"".len() + len + 3);
        assert!(notes[0].ends_with("xEND\""));
        assert_eq!(notes[1], "all b\"rest\"");
    }
}

#[test]
fn promise_11_reads_go_over_the_edges_of_large_pieces() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    // A first read has the engine receive, then pieces come that nobody reads.
    let text: Vec<u8> = (0..30_000u32).map(|n| b'a' + (n % 23) as u8).collect();
    peer.write_all(b"!").unwrap();
    engine.read_exact(&stream, 1, told.value("first"));
    turns(&engine, 2);
    for piece in text.chunks(6000) {
        peer.write_all(piece).unwrap();
        turns(&engine, 2);
    }
    peer.write_all(b"\nEND of all").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    turns(&engine, 2);
    let shown = |bytes: &[u8]| format!("b{:?}", str::from_utf8(bytes).unwrap());
    engine.peek(&stream, 7000, told.value("peek"));
    engine.read_exact(&stream, 5999, told.value("exact"));
    engine.read_until(&stream, &text[5999..6010], told.value("until"));
    engine.read_exact(&stream, 11_000, told.value("more"));
    engine.read_line(&stream, told.value("line"));
    engine.read_until_regex(&stream, Regex::new("END ").unwrap(), told.value("regex"));
    engine.read_all(&stream, told.value("all"));
    engine.run().unwrap();
    let notes = told.take();
    assert_eq!(notes[0], "first b\"!\"");
    assert_eq!(notes[1], format!("peek {}", shown(&text[..7000])));
    assert_eq!(notes[2], format!("exact {}", shown(&text[..5999])));
    assert_eq!(notes[3], format!("until {}", shown(&text[5999..6010])));
    assert_eq!(notes[4], format!("more {}", shown(&text[6010..17_010])));
    assert_eq!(notes[5], format!("line {}", shown(&text[17_010..])));
    assert!(notes[6].contains("END "));
    assert_eq!(notes[7], "all b\"of all\"");
}

#[test]
fn promise_11_a_regex_ends_at_its_earliest_end_and_looks_at_the_real_next_byte() {
    let engine = driver::engine();
    let cases: [(&str, &[u8], &str); 8] = [
        ("a+", b"aaab", r#"b"a" 0..1"#),
        ("login: ?", b"xlogin: y", r#"b"xlogin:" 1..7"#),
        (r"ab\b", b"abc ab ", r#"b"abc ab" 4..6"#),
        (r"ab$", b"abab", r#"b"abab" 2..4"#),
        (r"(?m)ab$", b"abc\nab\nab", r#"b"abc\nab" 4..6"#),
        (r"b|abc", b"abcabc", r#"b"ab" 1..2"#),
        (r"\bword", b"wordword", r#"b"word" 0..4"#),
        (r"x*yz|xx", b"xxyz", r#"b"xx" 0..2"#),
    ];
    for (pattern, input, expected) in cases {
        for pieces in splits(input) {
            let (mut peer, stream) = pair(&engine);
            let told = Told::new();
            let note = told.clone();
            engine.read_until_regex(
                &stream,
                Regex::new(pattern).unwrap(),
                facade_engine::Callback::from_fn(move |_, found| {
                    let found: facade_engine::RegexMatch = found.unwrap();
                    note.note(format!("{:?} {:?}", found.bytes, found.range));
                }),
            );
            send(&engine, &mut peer, &pieces);
            drop(peer);
            turn_until(&engine, || !told.is_empty());
            assert_eq!(told.take(), [expected], "{pattern} in {pieces:?}");
        }
    }
}

#[test]
fn promise_11_a_read_that_was_ended_and_begun_anew_comes_to_the_same() {
    // Before each piece the read is cancelled and submitted again.
    let input = b"ab\r\nabab\nb";
    let engine = driver::engine();
    for read in READS {
        let whole = outcomes(&engine, read, &[input], Limits::default());
        let thirds = splits(input).into_iter().filter(|pieces| pieces.len() == 3);
        for pieces in thirds.filter(|pieces| finds_nothing_before_the_last(read, input, pieces)) {
            let (mut peer, stream) = pair(&engine);
            let told = Told::new();
            for piece in &pieces {
                let cancel = (read.submit)(&engine, &stream, &told);
                turns(&engine, 2);
                cancel.cancel();
                turns(&engine, 1);
                assert_eq!(told.take(), [format!("{} Cancelled", read.name)]);
                peer.write_all(piece).unwrap();
                turns(&engine, 2);
            }
            drop(peer);
            let count = submit_all(&engine, read, &stream, &told);
            turn_until(&engine, || told.len() == count);
            assert_eq!(told.take(), whole, "{} of {pieces:?}", read.name);
        }
    }
}

/// A kind of read, which notes its value.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    submit: fn(&Handle, &Stream, &Told) -> facade_engine::Cancel,
}

/// Every kind of read that promises chunk invariance, over the letters of [`SMALL`].
const READS: &[Kind] = &[
    Kind { name: "exact", submit: |h, s, told| h.read_exact(s, 3, told.value("exact")) },
    Kind { name: "until", submit: |h, s, told| h.read_until(s, "aba", told.value("until")) },
    Kind { name: "until", submit: |h, s, told| h.read_until(s, "\r\n", told.value("until")) },
    Kind { name: "line", submit: |h, s, told| h.read_line(s, told.value("line")) },
    Kind {
        name: "glob",
        submit: |h, s, told| {
            h.read_until_lineglob(s, LineGlob::new("a*b").unwrap(), told.value("glob"))
        },
    },
    Kind { name: "regex", submit: |h, s, told| regex(h, s, told, "ab+|ba") },
    Kind { name: "regex", submit: |h, s, told| regex(h, s, told, r"(?m)^b$") },
    Kind { name: "regex", submit: |h, s, told| regex(h, s, told, r"\bab\b") },
    Kind { name: "regex", submit: |h, s, told| regex(h, s, told, r"a\r?\n") },
    Kind {
        name: "any",
        submit: |h, s, told| {
            let patterns = [
                Pattern::bytes("bb"),
                Pattern::line("ab"),
                Pattern::regex(Regex::new("ba$").unwrap()),
            ];
            h.read_until_any(s, patterns, told.value("any"))
        },
    },
    Kind {
        name: "any",
        submit: |h, s, told| {
            let patterns = [Pattern::end(), Pattern::regex(Regex::new(r"a\b").unwrap())];
            h.read_until_any(s, patterns, told.value("any"))
        },
    },
    Kind {
        name: "patterns",
        submit: |h, s, told| {
            let strings = (0..8).map(|number| Pattern::bytes("ba".repeat(number) + "bb"));
            let regexes = ["ba$", r"a\b", "(?m)^b"].map(|regex| Regex::new(regex).unwrap());
            let patterns = Patterns::new(strings.chain(regexes.map(Pattern::regex))).unwrap();
            h.read_until_any(s, &patterns, told.value("patterns"))
        },
    },
    Kind { name: "all", submit: |h, s, told| h.read_all(s, told.value("all")) },
    Kind { name: "with", submit: |h, s, told| h.read_with(s, UpTo(b"ba"), told.value("with")) },
    Kind { name: "expect", submit: |h, s, told| h.expect_line(s, "ab", told.value("expect")) },
];

fn regex(h: &Handle, s: &Stream, told: &Told, pattern: &str) -> facade_engine::Cancel {
    h.read_until_regex(s, Regex::new(pattern).unwrap(), told.value("regex"))
}

#[test]
fn one_list_of_patterns_serves_reads_of_several_streams() {
    let engine = driver::engine();
    let streams = [(); 2].map(|()| pair(&engine));
    let regexes = ["lo+gin:", r"[$#] "].map(|regex| Pattern::regex(Regex::new(regex).unwrap()));
    let strings = (0..10).map(|number| Pattern::bytes(format!("{number}% ")));
    let patterns = Patterns::new(regexes.into_iter().chain(strings)).unwrap();
    let heard = [Told::new(), Told::new()];
    for ((_, stream), heard) in streams.iter().zip(&heard) {
        engine.read_until_any(stream, &patterns, heard.value("one"));
        engine.chain().on(stream).read_until_any(&patterns, heard.value("two")).submit();
        engine.read_until_any(stream, patterns.clone(), heard.value("three"));
    }
    drop(patterns);
    let [(mut first, _first), (mut second, _second)] = streams;
    for (at_first, at_second) in [("loo", "5"), ("gin:", "% lo"), ("7% $", "gin:9"), (" ", "% ")] {
        first.write_all(at_first.as_bytes()).unwrap();
        second.write_all(at_second.as_bytes()).unwrap();
        turns(&engine, 2);
    }
    let any = |name: &str, index: usize, bytes: &str| {
        let range = 0..bytes.len();
        format!("{name} AnyMatch {{ index: {index}, bytes: b{bytes:?}, range: {range:?} }}")
    };
    let expected = [
        [any("one", 0, "loogin:"), any("two", 9, "7% "), any("three", 1, "$ ")],
        [any("one", 7, "5% "), any("two", 0, "login:"), any("three", 11, "9% ")],
    ];
    for (heard, expected) in heard.iter().zip(expected) {
        let mut all = Vec::new();
        turn_until(&engine, || {
            all.extend(heard.take());
            all.len() == expected.len()
        });
        assert_eq!(all, expected);
    }
}

/// Inputs with every kind of line end, overlap and unfinished rest in them.
const SMALL: &[&[u8]] = &[
    b"",
    b"a",
    b"\n",
    b"ab\n",
    b"a\r\nb",
    b"b\nba",
    b"abab",
    b"aaba\n",
    b"ababa",
    b"\r\r\n\n",
    b"ab\r\nb",
    b"a b\nb",
    b"bab\nab",
    b"ab\nab\n",
    b"b\r\nab\r\n",
    b"aab ba\n",
];

/// Holds every split of `input` against all of it at once, for every kind of read.
fn every_split_is_the_same(input: &[u8], limits: Limits) {
    let engine = driver::engine();
    for read in READS {
        let whole = outcomes(&engine, read, &[input], limits);
        for pieces in splits(input) {
            let outcomes = outcomes(&engine, read, &pieces, limits);
            assert_eq!(outcomes, whole, "{} of {pieces:?}", read.name);
        }
    }
}

/// What several reads of a kind come to, one behind the other, and what is left.
fn outcomes(engine: &Engine, read: &Kind, pieces: &[&[u8]], limits: Limits) -> Vec<String> {
    let (mut peer, stream) = pair(engine);
    let told = Told::new();
    engine.set_limits(&stream, limits);
    let count = submit_all(engine, read, &stream, &told);
    send(engine, &mut peer, pieces);
    peer.shutdown(Shutdown::Write).unwrap();
    turn_until(engine, || told.len() == count);
    told.take()
}

/// Submits three reads of a kind and one for the rest. Returns how many outcomes there will be.
fn submit_all(engine: &Engine, read: &Kind, stream: &Stream, told: &Told) -> usize {
    for _ in 0..3 {
        (read.submit)(engine, stream, told);
    }
    engine.set_limits(stream, Limits::default());
    engine.read_all(stream, told.value("rest"));
    4
}

/// Sends each piece in a turn of its own.
fn send(engine: &Engine, peer: &mut driver::Peer, pieces: &[&[u8]]) {
    // The first turn takes the reads in, so that each piece finds them waiting.
    turns(engine, 1);
    for piece in pieces {
        peer.write_all(piece).unwrap();
        turns(engine, 1);
    }
}

/// All ways to cut `input` into pieces.
fn splits(input: &[u8]) -> Vec<Vec<&[u8]>> {
    let Some(last) = input.len().checked_sub(1) else { return vec![Vec::new()] };
    let cut = |cuts: u32| {
        let mut pieces = Vec::new();
        let mut start = 0;
        for end in 1..=input.len() {
            if end > last || cuts & (1 << (end - 1)) != 0 {
                pieces.push(&input[start..end]);
                start = end;
            }
        }
        pieces
    };
    (0..1 << last).map(cut).collect()
}

/// Whether each of the read's attempts before the last piece waits for more.
fn finds_nothing_before_the_last(read: &Kind, input: &[u8], pieces: &[&[u8]]) -> bool {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    (read.submit)(&engine, &stream, &told);
    let before = input.len() - pieces[pieces.len() - 1].len();
    peer.write_all(&input[..before]).unwrap();
    turns(&engine, 4);
    told.is_empty()
}
