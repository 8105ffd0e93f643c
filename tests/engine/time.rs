//! Promises 4 and 7: a timeout is one absolute deadline, and what has arrived is never a timeout.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use facade_engine::{Bytes, Callback, Claim, Engine, Hints, Limits, Local, Regex, Result, Stream};
use facade_tests::{
    reads::{Read, START, TEXT, UpTo, eager_reads, read_all, reads},
    told::Told,
    turns::{SOON, turn_until, turns, within},
};

use super::driver::{self, full_pair, now, pair, pass, wait_for_connection, wide_pair};

const TIMEOUT: Duration = SOON;

#[test]
fn promise_04_what_arrived_before_the_turn_is_no_timeout_though_the_deadline_is_over() {
    for read in every_read() {
        let (engine, mut peer, _stream, told) = within(TIMEOUT, || {
            let engine = driver::engine();
            let (peer, stream) = pair(&engine);
            let told = Told::new();
            read.submit(&engine, &stream, &told.timeout(TIMEOUT));
            turns(&engine, 2);
            (engine, peer, stream, told)
        });
        pass(TIMEOUT);
        peer.write_all(TEXT).unwrap();
        drop(peer);
        turns(&engine, 1);
        assert_succeeded(read, &told);
    }
}

#[test]
fn promise_04_what_arrived_in_part_and_then_in_full_is_no_timeout() {
    for read in every_read() {
        let is_eager = eager_reads().iter().any(|eager| eager.name == read.name);
        let (engine, mut peer, stream, told) = within(TIMEOUT, || {
            let engine = driver::engine();
            let (mut peer, stream) = pair(&engine);
            let told = Told::new();
            peer.write_all(START).unwrap();
            if !is_eager {
                read.submit(&engine, &stream, &told.timeout(TIMEOUT));
            }
            turns(&engine, 3);
            (engine, peer, stream, told)
        });
        pass(TIMEOUT);
        peer.write_all(&TEXT[START.len()..]).unwrap();
        drop(peer);
        if is_eager {
            read.submit(&engine, &stream, &told.timeout(Duration::ZERO));
        }
        turns(&engine, 1);
        assert_succeeded(read, &told);
    }
}

#[test]
fn promise_04_a_connection_that_arrived_before_the_turn_is_no_timeout() {
    let (engine, listener, told) = within(TIMEOUT, || {
        let engine = driver::engine();
        let listener = engine.listen("127.0.0.1:0").unwrap();
        let told = Told::new();
        engine.accept(&listener, told.timeout(TIMEOUT).callback("accept"));
        turns(&engine, 2);
        (engine, listener, told)
    });
    pass(TIMEOUT);
    let _client = driver::connect(listener.local_addr().unwrap()).unwrap();
    wait_for_connection(&listener);
    turns(&engine, 1);
    assert_eq!(told.take(), ["accept Ok"]);
}

#[test]
fn promise_04_more_than_one_call_brings_is_no_timeout_if_it_has_arrived() {
    for len in [64 << 10, 100 << 10, 190 << 10, 300 << 10] {
        let engine = driver::engine();
        let (mut peer, stream) = wide_pair(&engine);
        peer.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while sent < len {
            match peer.write(&vec![b'x'; len - sent]) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
        }
        let told = Told::new();
        engine.read_exact(&stream, sent, told.timeout(Duration::ZERO).callback("exact"));
        turn_until(&engine, || !told.is_empty());
        assert_eq!(told.take(), ["exact Ok"], "{sent} bytes");
    }
}

#[test]
fn promise_04_what_has_arrived_is_no_timeout_behind_a_claim_either() {
    what_has_arrived_is_no_timeout_behind_a_claim(|engine, stream, cb| {
        engine.read_exact(stream, LEN, cb.timeout(Duration::ZERO));
    });
}

#[test]
fn promise_04_what_has_arrived_for_a_chain_is_no_timeout_behind_a_claim_either() {
    // The chain's time is up, and not the stage's: that would be looked at by itself.
    what_has_arrived_is_no_timeout_behind_a_claim(|engine, stream, cb| {
        let chain = engine.chain().on(stream).read_exact(LEN, cb);
        chain.timeout(Duration::ZERO).submit();
    });
}

/// How much is read behind the claim.
const LEN: usize = 200_000;

fn what_has_arrived_is_no_timeout_behind_a_claim(
    read: impl FnOnce(&Engine, &Stream, Callback<Bytes>),
) {
    let engine = driver::engine();
    let (mut peer, stream) = wide_pair(&engine);
    let told = Told::new();
    let take = |_: &Local, claim: Result<Claim<Bytes>>| drop(claim.map(Claim::take));
    engine.read_exact(&stream, 1, Callback::claim(take));
    read(&engine, &stream, told.callback("exact"));
    peer.write_all(b"x").unwrap();
    // The claim is decided in this turn, and only then is it known what is left to the other read.
    turns(&engine, 1);
    assert!(told.is_empty(), "it has one more try");
    peer.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while sent < 2 * LEN {
        match peer.write(&vec![b'x'; 2 * LEN - sent]) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    assert!(sent > LEN, "{sent} bytes went into the connection");
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["exact Ok"]);
}

#[test]
fn promise_04_more_connections_than_one_look_brings_are_no_timeout() {
    const COUNT: usize = 70;
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..=COUNT).map(|_| driver::connect(address).unwrap()).collect();
    let told = Told::new();
    for _ in 0..COUNT {
        engine.accept(&listener, told.callback("accept"));
    }
    engine.accept(&listener, told.timeout(Duration::ZERO).callback("last"));
    turn_until(&engine, || told.len() == clients.len());
    assert_eq!(told.take().last().unwrap(), "last Ok");
}

#[test]
fn promise_04_a_busy_neighbour_does_not_make_a_timeout_of_what_has_arrived() {
    // A machine that stands still meanwhile makes the bytes come late, and then it is a timeout.
    while !a_busy_neighbour_makes_no_timeout() {}
}

/// Returns whether the bytes came in time.
fn a_busy_neighbour_makes_no_timeout() -> bool {
    let engine = driver::engine();
    let told = Told::new();
    // More than one turn receives, on streams that come first.
    let mut neighbours = Vec::new();
    for _ in 0..8 {
        let (mut peer, stream) = pair(&engine);
        peer.write_all(&vec![b'x'; 64 << 10]).unwrap();
        engine.read_all(&stream, Callback::ignore());
        neighbours.push((peer, stream));
    }
    let (mut peer, stream) = pair(&engine);
    let kernel = driver::bind();
    let once = told.timeout(TIMEOUT);
    let submitted = now();
    engine.read_line(&stream, once.callback("read"));
    engine.connect(kernel.local_addr().unwrap(), once.callback("connect"));
    turns(&engine, 1);
    peer.write_all(TEXT).unwrap();
    let is_in_time = now() < submitted + TIMEOUT;
    pass(TIMEOUT);
    turn_until(&engine, || told.len() == 2);
    let mut notes = told.take();
    notes.sort();
    assert!(!is_in_time || notes == ["connect Ok", "read Ok"], "{notes:?}");
    is_in_time
}

#[test]
fn promise_07_without_any_time_one_attempt_takes_what_is_there() {
    for read in every_read() {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        peer.write_all(TEXT).unwrap();
        drop(peer);
        read.submit(&engine, &stream, &told.timeout(Duration::ZERO));
        turn_until(&engine, || !told.is_empty());
        assert_succeeded(read, &told);
    }
}

#[test]
fn promise_07_without_any_time_an_attempt_that_finds_nothing_has_timed_out() {
    for read in every_read() {
        let engine = driver::engine();
        let (_peer, stream) = pair(&engine);
        let told = Told::new();
        read.submit(&engine, &stream, &told.timeout(Duration::ZERO));
        turns(&engine, 2);
        assert_eq!(told.take(), [format!("{} TimedOut", read.name)]);
    }
}

#[test]
fn promise_07_without_any_time_connections_are_taken_and_made_if_that_needs_no_waiting() {
    let engine = driver::engine();
    let told = Told::new();
    let once = told.timeout(Duration::ZERO);
    let listener = engine.listen("127.0.0.1:0").unwrap();
    engine.accept(&listener, once.callback("accept"));
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["accept TimedOut"]);
    let _client = driver::connect(listener.local_addr().unwrap()).unwrap();
    wait_for_connection(&listener);
    engine.accept(&listener, once.callback("accept"));
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["accept Ok"]);

    engine.getaddrinfo("127.0.0.1", 80, Hints::default(), once.callback("literal"));
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["literal Ok"]);
}

#[test]
fn promise_07_without_any_time_a_chain_makes_one_attempt_at_each_stage() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(TEXT).unwrap();
    let chain = engine
        .chain()
        .on(&stream)
        .expect_line("one", told.callback("1"))
        .write("x", told.callback("2"))
        .read_with(UpTo(b"D\n"), told.callback("3"))
        .read_line(told.callback("4"))
        .read_line(told.callback("5"));
    chain.timeout(Duration::ZERO).submit();
    turn_until(&engine, || told.len() == 5);
    assert_eq!(told.take(), ["1 Ok", "2 Ok", "3 Ok", "4 TimedOut", "5 Stage(4, TimedOut)"]);
}

#[test]
fn promise_07_a_peer_that_drips_does_not_stretch_a_timeout() {
    for read in reads().into_iter().chain([read_all()]) {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        let begun = now();
        read.submit(&engine, &stream, &told.timeout(TIMEOUT));
        let mut dripped = 0;
        while told.is_empty() {
            // A byte a turn, less than `read_exact` waits for as long as the clock goes on, and
            // nothing that any of them looks for.
            if read.name != "read_exact" || dripped < 12 {
                peer.write_all(b".").unwrap();
                dripped += 1;
            }
            engine.run_once(Some(Duration::from_millis(1))).unwrap();
            pass(Duration::from_micros(20));
            assert!((now() - begun) < 10 * TIMEOUT + Duration::from_secs(5));
        }
        assert!((now() - begun) >= TIMEOUT);
        assert_eq!(told.take(), [format!("{} TimedOut", read.name)]);
        drop(peer);
        engine.read_all(&stream, told.value("all"));
        turn_until(&engine, || !told.is_empty());
        let dripped = Bytes::from(vec![b'.'; dripped]);
        assert_eq!(told.take(), [format!("all {dripped:?}")]);
    }
}

#[test]
fn promise_07_a_chains_timeout_covers_all_stages_and_a_stages_begins_with_it() {
    // The timeout is less than a thousand stages take, on any driver.
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    let begun = now();
    let long = told.timeout(100 * TIMEOUT);
    let mut chain = engine.chain().on(&stream);
    for stage in 0..1000 {
        chain = chain.read_line(long.callback(stage));
    }
    // What has come before the deadline is no timeout, so that the first stage succeeds however
    // long it takes until it begins.
    peer.write_all(b"\n").unwrap();
    chain.timeout(TIMEOUT).submit();
    while told.len() < 1000 {
        if (now() - begun) < TIMEOUT {
            peer.write_all(b"\n").unwrap();
        }
        engine.run_once(Some(Duration::from_millis(1))).unwrap();
        pass(TIMEOUT / 250);
    }
    let elapsed = now() - begun;
    assert!(elapsed >= TIMEOUT && elapsed < 100 * TIMEOUT, "{elapsed:?}");
    let notes = told.take();
    let bad = notes.iter().position(|note| note.contains("TimedOut")).unwrap();
    assert_eq!(notes[bad], format!("{bad} TimedOut"));
    assert!(bad > 0);

    // A stage's own timeout does not run before the stage does.
    let (mut peer, stream) = pair(&engine);
    let chain = engine
        .chain()
        .on(&stream)
        .read_line(told.callback("first"))
        .read_line(told.timeout(TIMEOUT).callback("second"));
    chain.submit();
    turns(&engine, 1);
    pass(2 * TIMEOUT);
    peer.write_all(b"\n").unwrap();
    let begun = now();
    engine.run().unwrap();
    assert!((now() - begun) >= TIMEOUT);
    assert_eq!(told.take(), ["first Ok", "second TimedOut"]);
}

#[test]
fn promise_07_the_timeout_of_a_single_callback_chain_runs_from_the_connection() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let told = Told::new();
    engine.accept_then_expect_multiline_regex(
        &listener,
        Regex::new("END").unwrap(),
        told.timeout(TIMEOUT).callback("both"),
    );
    turns(&engine, 2);
    pass(2 * TIMEOUT);
    turns(&engine, 2);
    assert!(told.is_empty(), "nobody has connected yet");
    let _client = driver::connect(listener.local_addr().unwrap()).unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["both TimedOut"]);
}

#[test]
fn promise_07_a_deadline_runs_from_the_submission_and_not_from_the_turn() {
    let engine = driver::engine();
    let (_peer, stream) = pair(&engine);
    let told = Told::new();
    let (again, note) = (stream.clone(), told.clone());
    engine.post(move |engine| {
        // A callback that takes its time.
        pass(4 * TIMEOUT);
        let begun = now();
        let callback = Callback::from_fn(move |_, outcome| {
            assert!((now() - begun) >= TIMEOUT);
            note.note(format!("{:?}", outcome.map(|_: Bytes| ())));
        });
        engine.read_line(&again, callback.timeout(TIMEOUT));
    });
    engine.run().unwrap();
    assert_eq!(told.take(), ["Err(TimedOut)"]);
}

#[test]
fn promise_07_the_longest_timeout_never_expires_and_never_overflows() {
    for read in every_read() {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        read.submit(&engine, &stream, &told.timeout(Duration::MAX));
        turns(&engine, 2);
        assert_eq!(engine.next_deadline(), None);
        assert!(told.is_empty());
        peer.write_all(TEXT).unwrap();
        drop(peer);
        turn_until(&engine, || !told.is_empty());
        assert_succeeded(read, &told);
    }
}

#[test]
fn promise_07_long_durations_of_all_sizes_are_taken_as_they_are() {
    let engine = driver::engine();
    let told = Told::new();
    let durations = (0..64).map(|shift| Duration::from_secs(u64::MAX >> shift));
    let long: Vec<_> = durations.filter(|duration| duration.as_secs() > 3600).collect();
    let (peer, stream) = pair(&engine);
    let cancels: Vec<_> = long
        .iter()
        .flat_map(|&duration| {
            let callback = told.timeout(duration).callback("sleep");
            let sleep = engine.sleep(duration, callback);
            let read = engine.read_line(&stream, told.timeout(duration).callback("read"));
            [sleep, read]
        })
        .collect();
    turns(&engine, 1);
    engine.run_once(Some(Duration::from_millis(1))).unwrap();
    assert!(told.is_empty());
    // Waits for as long as it likes, and is woken.
    let handle = engine.handle().clone();
    let stop = std::thread::spawn(move || handle.stop());
    engine.run().unwrap();
    stop.join().unwrap();
    assert!(cancels.iter().all(facade_engine::Cancel::cancel));
    engine.run_once(Some(Duration::MAX)).unwrap();
    assert_eq!(told.len(), cancels.len());
    drop(peer);
}

#[test]
fn promise_07_a_sleep_is_never_short_and_its_own_timeout_may_end_it() {
    let engine = driver::engine();
    let told = Told::new();
    let begun = now();
    for (sleep, timeout, name) in [
        (TIMEOUT, Duration::MAX, "in time"),
        (TIMEOUT, TIMEOUT, "just in time"),
        (Duration::MAX, TIMEOUT, "too long"),
        (Duration::ZERO, Duration::ZERO, "at once"),
    ] {
        engine.sleep(sleep, told.timeout(timeout).callback(name));
    }
    engine.run().unwrap();
    assert!((now() - begun) >= TIMEOUT);
    let expected = ["at once Ok", "in time Ok", "just in time Ok", "too long TimedOut"];
    assert_eq!(told.take(), expected);
}

#[test]
fn promise_07_an_operation_with_an_outcome_leaves_no_deadline_behind() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    let hour = told.timeout(Duration::from_secs(3600));
    peer.write_all(TEXT).unwrap();
    engine.read_line(&stream, hour.callback("read"));
    let cancel = engine.read_exact(&stream, 1000, hour.callback("exact"));
    turn_until(&engine, || told.len() == 1);
    assert!(engine.next_deadline().is_some());
    cancel.cancel();
    turns(&engine, 1);
    assert_eq!(told.take(), ["read Ok", "exact Cancelled"]);
    assert_eq!(engine.next_deadline(), None);
}

fn every_read() -> Vec<Read> {
    reads().into_iter().chain(eager_reads()).chain([read_all()]).collect()
}

#[track_caller]
fn assert_succeeded(read: Read, told: &Told) {
    let notes = told.take();
    assert_eq!(notes.len(), 1, "{}: {notes:?}", read.name);
    assert!(!notes[0].contains("TimedOut"), "{notes:?}");
}

#[test]
fn promise_04_an_earlier_read_may_take_all_that_comes_and_the_rest_is_no_timeout() {
    const LEN: usize = 150_000;
    let (engine, mut peer, _stream, told) = within(TIMEOUT, || {
        let engine = driver::engine();
        let (peer, stream) = wide_pair(&engine);
        let told = Told::new();
        engine.read_exact(&stream, LEN, told.callback("first"));
        engine.read_exact(&stream, LEN, told.timeout(TIMEOUT).callback("second"));
        turns(&engine, 2);
        (engine, peer, stream, told)
    });
    pass(TIMEOUT);
    peer.write_all(&vec![7; 2 * LEN]).unwrap();
    turns(&engine, 1);
    assert_eq!(told.take(), ["first Ok", "second Ok"]);
}

#[test]
fn promise_04_what_a_claim_in_front_leaves_is_no_timeout() {
    let regex = || Regex::new(r"\w+\n").unwrap();
    let (engine, mut peer, stream, told) = within(TIMEOUT, || {
        let engine = driver::engine();
        let (peer, stream) = pair(&engine);
        let told = Told::new();
        engine.read_until_regex(&stream, regex(), told.dropping_claims().callback("first"));
        engine.read_line(&stream, told.timeout(TIMEOUT).value("second"));
        turns(&engine, 2);
        (engine, peer, stream, told)
    });
    pass(TIMEOUT);
    peer.write_all(b"one\ntwo\n").unwrap();
    turns(&engine, 2);
    assert_eq!(told.take(), ["first dropped", "second b\"one\""]);
    // But one more turn is all that it gets.
    engine.read_until_regex(&stream, regex(), told.dropping_claims().callback("first"));
    engine.read_exact(&stream, 9, told.timeout(Duration::ZERO).callback("second"));
    turns(&engine, 2);
    assert_eq!(told.take(), ["first dropped", "second TimedOut"]);
}

#[test]
fn promise_07_reads_in_front_that_match_in_every_turn_stretch_a_timeout_by_one_turn() {
    const IN_FRONT: usize = 5;
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let (told, lines) = (Told::new(), Told::new());
    for _ in 0..IN_FRONT {
        let lines = lines.clone();
        engine.read_line(
            &stream,
            Callback::claim(move |_, line: Result<Claim<Bytes>>| {
                lines.note(format!("{:?}", line.unwrap().take()));
            }),
        );
    }
    engine.read_line(&stream, told.timeout(Duration::ZERO).callback("behind"));
    for turn in 1..=IN_FRONT {
        // Decided after the deadlines were looked at: until then it might be the other read's.
        peer.write_all(b"line\n").unwrap();
        turns(&engine, 1);
        assert_eq!((lines.len(), told.is_empty()), (turn, turn == 1));
    }
    assert_eq!(told.take(), ["behind TimedOut"]);
}

#[test]
fn promise_04_a_users_matcher_whose_time_is_up_has_seen_all_there_is() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    engine.set_limits(&stream, Limits { unread: 1, ..Limits::default() });
    peer.write_all(b"ab").unwrap();
    engine.read_chunk(&stream, 1, told.value("chunk"));
    // Nobody reads, and a byte is unread: no more is asked for.
    turns(&engine, 4);
    peer.write_all(b"c\n").unwrap();
    let cb = told.timeout(Duration::ZERO).value("matcher");
    engine.read_with(&stream, UpTo(b"c\n"), cb);
    turns(&engine, 2);
    assert_eq!(told.take(), ["chunk b\"a\"", "matcher b\"bc\\n\""]);

    // Where nothing is received but for a read, one receive does not bring all.
    let (mut peer, stream) = wide_pair(&engine);
    stream.set_exclusive(false);
    let mut text = vec![b'a'; 100_000];
    text.extend(b"c\n");
    peer.write_all(&text).unwrap();
    engine.read_with(&stream, UpTo(b"c\n"), told.timeout(Duration::ZERO).callback("matcher"));
    turns(&engine, 3);
    assert_eq!(told.take(), ["matcher Ok"]);
}

#[test]
fn promise_04_a_close_whose_time_is_up_says_so_though_it_is_cancelled_then() {
    let engine = driver::engine();
    let (_peer, stream, _) = full_pair(&engine);
    let told = Told::new();
    engine.write(&stream, "never", told.callback("write"));
    let close = engine.close(&stream, told.timeout(TIMEOUT).callback("close"));
    engine.sleep(TIMEOUT, Callback::new(move |_, ()| _ = close.cancel(), |_, _| ()));
    turns(&engine, 2);
    pass(TIMEOUT);
    turns(&engine, 3);
    assert_eq!(told.take(), ["write Ok", "close TimedOut"]);
}

#[test]
fn promise_08_bytes_of_a_claim_dropped_between_turns_stand_before_those_that_have_come() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    let kept: Arc<Mutex<Option<Claim<Bytes>>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let claim = move |_: &Local, claim: Result<Claim<Bytes>>| *keep.lock().unwrap() = claim.ok();
    engine.read_line(&stream, Callback::claim(claim));
    engine.read_line(&stream, told.value("second"));
    peer.write_all(b"one\n").unwrap();
    turns(&engine, 3);
    peer.write_all(b"two\n").unwrap();
    drop(kept.lock().unwrap().take());
    turns(&engine, 3);
    assert_eq!(told.take(), ["second b\"one\""]);
}
