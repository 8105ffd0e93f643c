//! Promise 15 for matchers: one that has much to look at goes on in later turns, and holds up
//! neither the others nor the clock. What it comes to is the same.

use std::{io::Write, time::Duration};

use facade_engine::{
    Cancel, Engine, Limits, LineGlob, Pattern, Regex, Stream,
    matcher::{LineGlobSearch, RegexSearch},
};
use facade_tests::{
    outcome::Outcome,
    told::Told,
    turns::{turn_until, turns},
};

use super::driver::{self, Peer, pair, wide_pair};

/// A read that takes many turns to look at what is in front of its match.
struct Hard {
    name: &'static str,
    /// In which it finds nothing.
    flood: fn() -> Vec<u8>,
    /// What makes it a match.
    end: fn() -> Vec<u8>,
    submit: fn(&Engine, &Stream, &Told) -> Cancel,
}

/// Thousands of states at each byte.
fn regex() -> Regex {
    Regex::new("x[a-z]{0,4000}!").unwrap()
}

fn letters() -> Vec<u8> {
    b"xy".repeat(2000)
}

fn letters_end() -> Vec<u8> {
    b"!".to_vec()
}

/// A hundred steps a byte.
fn glob() -> LineGlob {
    LineGlob::new(&format!("*?{}b*", "a".repeat(4000))).unwrap()
}

fn line() -> Vec<u8> {
    b"a".repeat(40_000)
}

fn line_end() -> Vec<u8> {
    b"b\n".to_vec()
}

const HARD: [Hard; 6] = [
    Hard {
        name: "read_until_regex",
        flood: letters,
        end: letters_end,
        submit: |h, s, told| h.read_until_regex(s, regex(), told.callback("found")),
    },
    Hard {
        name: "read_until_any",
        flood: letters,
        end: letters_end,
        submit: |h, s, told| {
            let patterns = [Pattern::bytes("zzz"), Pattern::regex(regex())];
            h.read_until_any(s, patterns, told.callback("found"))
        },
    },
    Hard {
        name: "a chain's read_until_regex",
        flood: letters,
        end: letters_end,
        submit: |h, s, told| {
            h.chain().on(s).read_until_regex(regex(), told.callback("found")).submit()
        },
    },
    Hard {
        name: "read_until_lineglob",
        flood: line,
        end: line_end,
        submit: |h, s, told| h.read_until_lineglob(s, glob(), told.callback("found")),
    },
    // Matchers of the user's, as far as the engine knows.
    Hard {
        name: "read_with a regex",
        flood: letters,
        end: letters_end,
        submit: |h, s, told| h.read_with(s, RegexSearch::new(regex()), told.callback("found")),
    },
    Hard {
        name: "read_with a glob",
        flood: line,
        end: line_end,
        submit: |h, s, told| h.read_with(s, LineGlobSearch::new(glob()), told.callback("found")),
    },
];

impl Hard {
    fn flood_and_end(&self) -> Vec<u8> {
        [(self.flood)(), (self.end)()].concat()
    }
}

/// A stream with all of `bytes` unread.
fn with_unread(engine: &Engine, bytes: &[u8]) -> (Peer, Stream) {
    let (mut peer, stream) = wide_pair(engine);
    let told = Told::new();
    engine.read_exact(&stream, bytes.len(), told.dropping_claims().value("all"));
    peer.write_all(bytes).unwrap();
    turn_until(engine, || !told.is_empty());
    assert_eq!(told.take(), ["all dropped"]);
    (peer, stream)
}

#[test]
fn promise_15_a_matcher_with_much_to_look_at_holds_nobody_up() {
    let engine = driver::engine();
    for Hard { name, submit, flood, end } in HARD {
        let (_flooding, stream) = with_unread(&engine, &[flood(), end()].concat());
        let (mut peer, other) = pair(&engine);
        let told = Told::new();
        submit(&engine, &stream, &told);
        let mut rounds = 0;
        while told.is_empty() {
            let beside = Told::new();
            peer.write_all(b"line\n").unwrap();
            engine.read_line(&other, beside.callback("line"));
            engine.sleep(Duration::ZERO, beside.callback("sleep"));
            engine.post({
                let beside = beside.clone();
                move |_| beside.note("post")
            });
            turns(&engine, 2);
            let mut notes = beside.take();
            notes.sort();
            assert_eq!(notes, ["line Ok", "post", "sleep Ok"], "beside {name}");
            rounds += 1;
        }
        assert_eq!(told.take(), ["found Ok"], "{name}");
        assert!(rounds > 5, "{name} was there after {rounds} times two turns");
    }
}

#[test]
fn promise_15_matchers_with_much_to_look_at_take_turns() {
    let engine = driver::engine();
    for hard in HARD {
        let all = hard.flood_and_end();
        let streams: Vec<_> = (0..3).map(|_| with_unread(&engine, &all)).collect();
        let told = Told::new();
        for (_, stream) in &streams {
            (hard.submit)(&engine, stream, &told);
        }
        let mut taken = 0;
        let mut turns_until = |count| {
            while told.len() < count {
                turns(&engine, 1);
                taken += 1;
            }
            taken
        };
        let (first, all) = (turns_until(1), turns_until(3));
        // One after the other, it would be three times as many.
        assert!(all < first + first / 2, "{}: {first} turns, {all} for all", hard.name);
        assert_eq!(told.take(), ["found Ok"; 3], "{}", hard.name);
    }
}

#[test]
fn promise_04_what_takes_long_to_look_at_is_no_timeout() {
    let engine = driver::engine();
    for hard in HARD {
        let all = [hard.flood_and_end(), b"next\n".to_vec()].concat();
        let (_peer, stream) = with_unread(&engine, &all);
        let told = Told::new().timeout(Duration::ZERO);
        (hard.submit)(&engine, &stream, &told);
        // Behind it, and as much in time.
        engine.read_line(&stream, told.value("behind"));
        engine.read_line(&stream, told.value("too early"));
        engine.run().unwrap();
        assert_eq!(
            told.take(),
            ["found Ok", "behind b\"next\"", "too early TimedOut"],
            "{}",
            hard.name
        );
    }
}

#[test]
fn promise_08_a_timeout_after_a_long_look_leaves_all_there() {
    let engine = driver::engine();
    for hard in HARD {
        let flood = (hard.flood)();
        let (mut peer, stream) = with_unread(&engine, &flood);
        let told = Told::new();
        (hard.submit)(&engine, &stream, &told.timeout(Duration::ZERO));
        turn_until(&engine, || !told.is_empty());
        assert_eq!(told.take(), ["found TimedOut"], "{}", hard.name);
        // From the front, and with what comes now.
        peer.write_all(&(hard.end)()).unwrap();
        (hard.submit)(&engine, &stream, &told);
        engine.run().unwrap();
        assert_eq!(told.take(), ["found Ok"], "{}", hard.name);
    }
}

#[test]
fn promise_06_a_look_is_cancelled_by_the_next_turn() {
    let engine = driver::engine();
    for hard in HARD {
        let all = hard.flood_and_end();
        let (_peer, stream) = with_unread(&engine, &all);
        let told = Told::new();
        let cancel = (hard.submit)(&engine, &stream, &told);
        turns(&engine, 3);
        assert!(told.is_empty(), "{} goes on", hard.name);
        assert!(cancel.cancel());
        turns(&engine, 2);
        assert_eq!(told.take(), ["found Cancelled"], "{}", hard.name);
        let rest = Outcome::new();
        engine.read_exact(&stream, all.len(), rest.callback());
        turns(&engine, 2);
        assert_eq!(rest.value(), all, "{}", hard.name);
    }
}

#[test]
fn promise_01_a_look_ends_with_its_stream() {
    let engine = driver::engine();
    for hard in HARD {
        let (_peer, stream) = with_unread(&engine, &hard.flood_and_end());
        let told = Told::new();
        (hard.submit)(&engine, &stream, &told);
        turns(&engine, 3);
        assert!(told.is_empty(), "{} goes on", hard.name);
        engine.close(&stream, told.callback("close"));
        turn_until(&engine, || told.len() == 2);
        assert_eq!(told.take(), ["found Closed", "close Ok"], "{}", hard.name);
    }
}

#[test]
fn promise_18_a_turn_is_due_as_long_as_a_matcher_goes_on() {
    let engine = driver::engine();
    let (_peer, stream) = with_unread(&engine, &HARD[0].flood_and_end());
    let told = Told::new();
    let cancel = engine.read_until_regex(&stream, regex(), told.callback("found"));
    turns(&engine, 3);
    assert!(told.is_empty() && engine.next_deadline().unwrap() <= driver::now());
    cancel.cancel();
    engine.run_once(Some(Duration::MAX)).unwrap();
    assert_eq!(told.take(), ["found Cancelled"]);
    assert_eq!(engine.next_deadline(), None);
}

#[test]
fn promise_04_a_read_after_one_that_was_cancelled_while_it_looked_is_told_what_is_there() {
    for hard in &HARD {
        // Nothing is received ahead, but for a read that waits.
        let limits = Limits { unread: 0, ..Limits::default() };
        let engine = driver::builder().limits(limits).build().unwrap();
        let (mut peer, stream) = with_unread(&engine, &(hard.flood)());
        let told = Told::new();
        let cancel = (hard.submit)(&engine, &stream, &told);
        turns(&engine, 2);
        assert!(told.is_empty(), "{}: it is still looking", hard.name);
        // The rest of the line has come, and was not received.
        peer.write_all(b"\n").unwrap();
        cancel.cancel();
        engine.read_line(&stream, told.timeout(Duration::ZERO).callback("line"));
        turn_until(&engine, || told.len() == 2);
        assert_eq!(told.take(), ["found Cancelled", "line Ok"], "{}", hard.name);
    }
}
