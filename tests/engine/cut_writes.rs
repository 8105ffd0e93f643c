//! Writes that are cut or leave before their end: how much was written, that it is exactly what the
//! peer gets, and what happens to the rest and to those behind (promise 10).

use std::{
    io::{Read, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

use facade_engine::{Bytes, Callback, Claim, Engine, Error, Local, Stream};
use facade_tests::{
    outcome::Outcome,
    peers::{arrived, numbered, reset, unstuff},
    skipped::misses_resets,
    told::Told,
    turns::{turn_until, turns},
};

use super::{
    driver::{self, full_pair, pair, tcp_pair, wide_pair},
    writes::{HUGE, begin_huge_write, cut_a_write, engine_with_unsent, huge, written},
};

#[test]
fn promise_10_a_write_cut_by_a_cancel_says_exactly_how_much_was_written() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    let (data, written) = cut_a_write(&engine, &stream);
    assert!(written > 0 && written < HUGE);
    assert_eq!(arrived(&peer), data[..written]);
    turns(&engine, 3);
    assert!(arrived(&peer).is_empty(), "nothing was sent behind the count");
}

#[test]
fn promise_10_a_write_cut_by_its_timeout_says_exactly_how_much_was_written() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    let outcome = Outcome::new();
    let data = huge();
    let callback = outcome.callback().timeout(Duration::from_millis(5));
    engine.write(&stream, data.clone(), callback);
    turn_until(&engine, || outcome.is_there());
    let written = written(&outcome.error(), "TimedOut");
    assert!(written > 0 && written < HUGE);
    assert_eq!(arrived(&peer), data[..written]);
}

#[test]
fn promise_10_a_write_with_no_time_at_all_makes_one_attempt() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    let outcome = Outcome::new();
    engine.write(&stream, huge(), outcome.callback().timeout(Duration::ZERO));
    turn_until(&engine, || outcome.is_there());
    let written = written(&outcome.error(), "TimedOut");
    assert_eq!(arrived(&peer), numbered(written));
}

#[test]
fn promise_10_what_was_counted_over_tcp_is_what_the_peer_gets() {
    let engine = driver::engine();
    let (mut peer, stream) = tcp_pair(&engine);
    let (data, written) = cut_a_write(&engine, &stream);
    // The rest is discarded with the stream, and the end comes after what was counted.
    drop(stream);
    engine.run().unwrap();
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), written);
    assert_eq!(received, data[..written]);
}

#[test]
fn promise_10_dropping_a_cut_stream_with_unread_bytes_ends_without_a_reset() {
    let engine = driver::engine();
    let (mut peer, stream) = tcp_pair(&engine);
    // More than the engine reads ahead, and nobody reads it.
    peer.set_nonblocking(true).unwrap();
    while peer.write(&[1; 4096]).is_ok() {}
    peer.set_nonblocking(false).unwrap();
    let (data, written) = cut_a_write(&engine, &stream);
    drop(stream);
    engine.run().unwrap();
    let mut received = Vec::new();
    // The peer's own bytes are lost, and the reset that says so comes last.
    drop(peer.read_to_end(&mut received));
    assert_eq!(received.len(), written);
    assert_eq!(received, data[..written]);
}

#[test]
fn promise_10_a_write_cut_by_a_reset_says_why_and_keeps_the_rest() {
    let engine = driver::engine();
    let (peer, stream) = tcp_pair(&engine);
    let (data, outcome) = begin_huge_write(&engine, &stream);
    reset(peer);
    turn_until(&engine, || outcome.is_there());
    let written = written(&outcome.error(), "Io(write, ConnectionReset)");
    let (rest, told) = (Outcome::new(), Told::new());
    engine.take_unsent(&stream, rest.callback());
    engine.write(&stream, "more", told.callback("write"));
    engine.run().unwrap();
    assert_eq!(rest.value(), data[written..]);
    assert_eq!(told.take(), ["write Io(write, ConnectionReset)"], "a dead connection stays dead");
}

#[test]
fn promise_10_a_close_that_times_out_leaves_exactly_what_was_counted() {
    for tcp in [false, true] {
        let engine = driver::engine();
        let told = Told::new();
        let (mut peer, stream): (Box<dyn Read>, Stream) = if tcp {
            let (peer, stream) = tcp_pair(&engine);
            (Box::new(peer), stream)
        } else {
            let (peer, stream) = pair(&engine);
            (Box::new(peer), stream)
        };
        let (data, outcome) = begin_huge_write(&engine, &stream);
        engine.write(&stream, "queued", told.callback("queued"));
        let in_time = told.timeout(Duration::from_millis(5));
        engine.close(&stream, in_time.callback("close"));
        engine.run().unwrap();
        let written = written(&outcome.error(), "Closed");
        assert_eq!(told.take(), ["queued Closed", "close TimedOut"]);
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), written);
        assert_eq!(received, data[..written]);
    }
}

#[test]
fn promise_10_an_aborted_write_says_how_much_was_written() {
    if misses_resets("promise_10_an_aborted_write_says_how_much_was_written", &driver::name()) {
        return;
    }
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let (data, outcome) = begin_huge_write(&engine, &stream);
    engine.abort(&stream);
    engine.run().unwrap();
    let written = written(&outcome.error(), "Closed");
    let mut received = Vec::new();
    let end = peer.read_to_end(&mut received);
    assert_eq!(end.is_err(), driver::PAIRS_ARE_TCP, "{end:?}");
    assert!(received == data[..written] || end.is_err() && data[..written].starts_with(&received));
}

#[test]
fn promise_10_what_the_system_took_whole_is_a_success_however_late_the_cancel() {
    let engine = engine_with_unsent(0);
    let (peer, stream) = pair(&engine);
    let outcome = Outcome::new();
    let cancel = engine.write(&stream, "little", outcome.callback());
    // The send is done, and its completion not looked at yet.
    turns(&engine, 1);
    let late = Told::new();
    let note = late.clone();
    engine.post(move |_| note.note(format!("registered {}", cancel.cancel())));
    turns(&engine, 3);
    assert_eq!(outcome.value(), 6);
    assert_eq!(late.take(), ["registered false"], "it had its outcome already");
    assert_eq!(arrived(&peer), b"little");
}

#[test]
fn promise_10_a_cancel_at_any_moment_counts_exactly() {
    // Two sends' worth, which the system takes at once: a cancel may meet any of them.
    let data = numbered(300_000);
    let mut successes = 0;
    for delay in 0..6 {
        let engine = engine_with_unsent(0);
        let (peer, stream) = wide_pair(&engine);
        let outcome = Outcome::new();
        let cancel = engine.write(&stream, data.clone(), outcome.callback());
        post_after(&engine, delay, move || _ = cancel.cancel());
        turn_until(&engine, || outcome.is_there());
        turns(&engine, 2);
        match outcome.take() {
            Ok(count) => {
                assert_eq!(count, data.len());
                assert!(arrived(&peer) == data);
                successes += 1;
            }
            Err(Error::PartialWrite { written, .. }) => {
                assert!(written < data.len(), "all of it is a success");
                assert!(arrived(&peer) == data[..written]);
            }
            Err(Error::Cancelled) => assert!(arrived(&peer).is_empty()),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(successes > 0);
}

/// Does something in a callback so many turns from now.
fn post_after(engine: &Engine, turns: usize, act: impl FnOnce() + Send + 'static) {
    for _ in 0..turns {
        engine.run_once(Some(Duration::ZERO)).unwrap();
    }
    engine.post(move |_| act());
}

// After a cut

#[test]
fn promise_10_after_a_cut_write_queued_and_later_ones_fail_until_the_rest_is_taken() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    let (data, outcome, told) = (huge(), Outcome::new(), Told::new());
    let cancel = engine.write(&stream, data.clone(), outcome.callback());
    engine.write(&stream, "queued", told.callback("queued"));
    engine.flush(&stream, told.callback("queued flush"));
    turns(&engine, 3);
    cancel.cancel();
    turns(&engine, 2);
    let written = written(&outcome.error(), "Cancelled");
    let cut = format!("Cut({written}, Cancelled)");
    assert_eq!(told.take(), [format!("queued {cut}"), format!("queued flush {cut}")]);
    engine.write(&stream, "later", told.callback("later"));
    engine.flush(&stream, told.callback("flush"));
    engine.shutdown_write(&stream, told.callback("shutdown"));
    turns(&engine, 2);
    let later = ["later", "flush", "shutdown"].map(|name| format!("{name} {cut}"));
    assert_eq!(told.take(), later, "sticky");
    assert_eq!(arrived(&peer), data[..written]);

    let rest = Outcome::new();
    engine.take_unsent(&stream, rest.callback());
    engine.write(&stream, "goes on", told.value("write"));
    engine.run().unwrap();
    assert_eq!(rest.value(), data[written..], "and nothing of what was queued");
    assert_eq!(told.take(), ["write 7"]);
    assert_eq!(arrived(&peer), b"goes on");
}

#[test]
fn promise_10_the_rest_of_a_cut_write_completes_it() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let (data, _) = cut_a_write(&engine, &stream);
    let again = stream.clone();
    engine.take_unsent(
        &stream,
        Callback::new(
            move |engine, rest: Bytes| {
                engine.write(&again, rest, Callback::ignore());
                engine.shutdown_write(&again, Callback::ignore());
            },
            |_, error| panic!("{error}"),
        ),
    );
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        all
    });
    drop(stream);
    engine.run().unwrap();
    assert!(reader.join().unwrap() == data, "each byte once, in order");
}

#[test]
fn take_unsent_without_a_cut_write_has_nothing_and_changes_nothing() {
    let engine = driver::engine();
    let (peer, stream, stuffed) = full_pair(&engine);
    let told = Told::new();
    engine.write(&stream, "unsent but not cut", told.value("write"));
    engine.take_unsent(&stream, told.value("rest"));
    turns(&engine, 2);
    assert_eq!(told.take(), ["write 18", "rest b\"\""]);
    let early = unstuff(&peer, stuffed);
    engine.run().unwrap();
    assert_eq!([early, arrived(&peer)].concat(), b"unsent but not cut");
}

#[test]
fn promise_10_a_claim_on_the_rest_that_is_dropped_leaves_the_stream_cut() {
    let engine = driver::engine();
    let (_peer, stream) = pair(&engine);
    let (data, written) = cut_a_write(&engine, &stream);
    let told = Told::new();
    engine.take_unsent(&stream, told.dropping_claims().callback("claim"));
    turns(&engine, 2);
    engine.write(&stream, "later", told.callback("write"));
    turns(&engine, 2);
    assert_eq!(
        told.take(),
        ["claim dropped".to_owned(), format!("write Cut({written}, Cancelled)")]
    );

    let (taken, keep) = mpsc::channel();
    engine.take_unsent(
        &stream,
        Callback::claim(move |_, claim: facade_engine::Result<Claim<Bytes>>| {
            taken.send(claim.unwrap().take()).unwrap();
        }),
    );
    engine.write(&stream, "later", told.callback("write"));
    turns(&engine, 2);
    assert_eq!(keep.recv().unwrap(), data[written..]);
    assert_eq!(told.take(), ["write Ok"]);
}

#[test]
fn promise_10_two_writes_that_were_cut_leave_both_rests_in_order() {
    // The claim on the first rest is dropped before the second write is cut, after that, or before
    // a claim on the second rest.
    for dropped in 0..3 {
        let engine = driver::engine();
        let (peer, stream) = pair(&engine);
        let (data, written) = cut_a_write(&engine, &stream);
        let first = data.slice(written..);
        let mut claims = vec![claim_rest(&engine, &stream)];
        arrived(&peer);
        let outcome = Outcome::new();
        let cancel = engine.write(&stream, data.clone(), outcome.callback());
        turns(&engine, 3);
        if dropped == 0 {
            claims.clear();
            turns(&engine, 1);
        }
        cancel.cancel();
        turns(&engine, 2);
        let second = data.slice(self::written(&outcome.error(), "Cancelled")..);
        if dropped == 2 {
            claims.push(claim_rest(&engine, &stream));
        }
        drop(claims);
        let (rest, nothing) = (Outcome::new(), Outcome::new());
        engine.take_unsent(&stream, rest.callback());
        engine.take_unsent(&stream, nothing.callback());
        turns(&engine, 2);
        assert!(rest.value() == [first, second].concat(), "dropped at {dropped}");
        assert!(nothing.value().is_empty());
    }
}

/// Has the rest of a cut write as a claim.
fn claim_rest(engine: &Engine, stream: &Stream) -> Claim<Bytes> {
    let (sender, receiver) = mpsc::channel();
    let keep = move |_: &Local, claim: facade_engine::Result<Claim<Bytes>>| {
        sender.send(claim.unwrap()).unwrap();
    };
    engine.take_unsent(stream, Callback::claim(keep));
    turns(engine, 2);
    receiver.recv().unwrap()
}

#[test]
fn promise_10_a_cancelled_write_of_which_nothing_was_taken_leaves_its_neighbours_alone() {
    // Head, middle and tail of the queue; the head is with the system already.
    for leaver in 0..3 {
        let engine = engine_with_unsent(0);
        let (peer, stream, stuffed) = full_pair(&engine);
        let told = Told::new();
        let cancels: Vec<_> = ["0", "1", "2"]
            .into_iter()
            .map(|name| engine.write(&stream, name, told.value(name)))
            .collect();
        turns(&engine, 3);
        assert!(cancels[leaver].cancel());
        turns(&engine, 2);
        assert_eq!(told.take(), [format!("{leaver} Cancelled")], "the plain error");
        let stay: Vec<_> = (0..3).filter(|&n| n != leaver).collect();
        let early = unstuff(&peer, stuffed);
        turn_until(&engine, || told.len() == 2);
        let expected: Vec<_> = stay.iter().map(|n| format!("{n} 1")).collect();
        assert_eq!(told.take(), expected);
        let expected: String = stay.iter().map(ToString::to_string).collect();
        assert_eq!([early, arrived(&peer)].concat(), expected.as_bytes());
    }
}

#[test]
fn promise_10_a_write_cancelled_in_the_callback_that_submits_it_lets_the_next_one_go() {
    let engine = engine_with_unsent(0);
    let (peer, stream) = pair(&engine);
    let told = Told::new();
    let (notes, again) = (told.clone(), stream.clone());
    engine.post(move |local| {
        let cancel = local.write(&again, "never", notes.value("cancelled"));
        local.write(&again, "next", notes.value("next"));
        cancel.cancel();
    });
    engine.run().unwrap();
    assert_eq!(told.take(), ["cancelled Cancelled", "next 4"]);
    assert_eq!(arrived(&peer), b"next");
}

#[test]
fn promise_10_the_only_write_cancelled_before_it_was_sent_leaves_nothing_pending() {
    let engine = engine_with_unsent(0);
    let (peer, stream) = pair(&engine);
    let told = Told::new();
    let (notes, again) = (told.clone(), stream.clone());
    engine.post(move |local| {
        local.write(&again, "never", notes.value("write")).cancel();
    });
    engine.run().unwrap();
    assert_eq!(told.take(), ["write Cancelled"]);
    drop(stream);
    engine.run().unwrap();
    assert!(arrived(&peer).is_empty());
}

#[test]
fn promise_10_a_timeout_of_a_queued_write_is_the_plain_error() {
    let engine = engine_with_unsent(0);
    let (peer, stream, stuffed) = full_pair(&engine);
    let told = Told::new();
    engine.write(&stream, "first", told.value("first"));
    let late = told.timeout(Duration::from_millis(5));
    engine.write(&stream, "late", late.value("late"));
    engine.write(&stream, "third", told.value("third"));
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["late TimedOut"]);
    let early = unstuff(&peer, stuffed);
    engine.run().unwrap();
    assert_eq!(told.take(), ["first 5", "third 5"]);
    assert_eq!([early, arrived(&peer)].concat(), b"firstthird");
}
