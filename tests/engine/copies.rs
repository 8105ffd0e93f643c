//! Copies: everything that comes on one stream goes out on another, in order, and whatever ends
//! early leaves each byte in one of the two.

use std::{
    io::{Read, Write},
    net::Shutdown,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
    time::Duration,
};

use facade_engine::{Bytes, Callback, Claim, CopyOptions, Engine, Error, Limits, Result, Stream};
use facade_tests::{
    alone::alone,
    outcome::Outcome,
    peers::{Peer as _, arrived, numbered, reset, unstuff},
    skipped::misses_resets,
    sockets::Sign,
    told::{Told, brief},
    turns::{SOON, turn_until, turns},
};

use super::driver::{
    self, Peer, descriptors, full_pair, pair, pass, tcp_pair, wait_for, wide_pair,
};

fn engine_with_unsent(unsent: usize) -> Engine {
    driver::builder().limits(Limits { unsent, ..Limits::default() }).build().unwrap()
}

/// Sends what there is room for, without waiting.
fn send_some(peer: &mut Peer, bytes: &[u8]) -> usize {
    peer.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while sent < bytes.len()
        && let Ok(count) = peer.write(&bytes[sent..])
    {
        sent += count;
    }
    peer.set_nonblocking(false).unwrap();
    sent
}

/// Everything that is unread on a stream whose peer sends nothing more.
fn unread(engine: &Engine, stream: &Stream, len: usize) -> Bytes {
    let rest = Outcome::new();
    engine.read_exact(stream, len, rest.callback());
    turn_until(engine, || rest.is_there());
    rest.value()
}

/// How much was copied before it failed, and why.
#[track_caller]
fn partial(error: &Error) -> (usize, String) {
    match error {
        Error::PartialCopy { copied, returned: 0, cause } => {
            (usize::try_from(*copied).unwrap(), brief(cause))
        }
        error => (0, brief(error)),
    }
}

// One way

#[test]
fn promise_08_all_is_copied_up_to_the_end_in_order_and_counted() {
    for unsent in [0, 1, 1000, 64 << 10] {
        let engine = engine_with_unsent(unsent);
        let ((mut source, from), (sink, to)) = (pair(&engine), pair(&engine));
        let (data, copied) = (numbered(600_001), Outcome::new());
        engine.copy(&from, &to, copied.callback());
        let (mut sent, mut received) = (0, Vec::new());
        turn_until(&engine, || {
            sent += send_some(&mut source, &data[sent..]);
            if sent == data.len() {
                source.shutdown(Shutdown::Write).unwrap();
            }
            received.extend(arrived(&sink));
            copied.is_there()
        });
        assert_eq!(copied.value(), 600_001);
        turn_until(&engine, || {
            received.extend(arrived(&sink));
            received.len() >= data.len()
        });
        assert!(received == data, "with {unsent}: {} bytes", received.len());
        // It is left open, as it is by a copy of std.
        engine.write(&to, "more", Callback::ignore());
        turns(&engine, 2);
        assert_eq!(sink.arrived_at_least(4), b"more");
    }
}

#[test]
fn promise_12_a_stream_that_has_ended_is_copied_as_nothing() {
    let engine = driver::engine();
    let ((source, from), (_sink, to)) = (pair(&engine), pair(&engine));
    drop(source);
    let told = Told::new();
    engine.copy(&from, &to, told.value("copy"));
    engine.copy(&from, &to, told.value("again"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["copy 0", "again 0"]);
}

#[test]
fn promise_13_a_copy_has_its_turn_among_reads_and_writes() {
    let engine = driver::engine();
    let ((mut source, from), (sink, to, stuffed)) = (pair(&engine), full_pair(&engine));
    let told = Told::new();
    engine.write(&to, vec![b'.'; 64 << 10], told.callback("write before"));
    engine.write(&to, "|", told.callback("write before"));
    engine.read_exact(&from, 3, told.value("read before"));
    let cancel = engine.copy(&from, &to, told.value("copy"));
    engine.write(&to, "behind", told.callback("write behind"));
    engine.read_exact(&from, 4, told.value("read behind"));
    source.write_all(b"onetwo").unwrap();
    turns(&engine, 3);
    let before = ["write before Ok", "read before b\"one\""];
    assert_eq!(told.take(), before, "and the writes before it have no room");
    let mut received = unstuff(&sink, stuffed);
    let so_far = (64 << 10) + 4;
    turn_until(&engine, || {
        received.extend(arrived(&sink));
        received.len() >= so_far
    });
    assert_eq!(received[64 << 10..], *b"|two");
    assert_eq!(told.take(), ["write before Ok"]);
    cancel.cancel();
    turns(&engine, 1);
    source.write_all(b"last").unwrap();
    turn_until(&engine, || told.len() == 3);
    let mut notes = told.take();
    notes.sort();
    let after = ["copy PartialCopy(3, 0, Cancelled)", "read behind b\"last\"", "write behind Ok"];
    assert_eq!(notes, after);
    turns(&engine, 1);
    assert_eq!(sink.arrived_at_least(6), b"behind");
}

#[test]
fn promise_13_a_shutdown_and_a_flush_behind_a_copy_wait_for_its_end() {
    let engine = driver::engine();
    let ((mut source, from), (mut sink, to)) = (pair(&engine), pair(&engine));
    let told = Told::new();
    engine.copy(&from, &to, told.value("copy"));
    engine.flush(&to, told.callback("flush"));
    engine.shutdown_write(&to, told.callback("shutdown"));
    source.write_all(b"all").unwrap();
    turns(&engine, 3);
    assert!(told.is_empty());
    source.shutdown(Shutdown::Write).unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["copy 3", "flush Ok", "shutdown Ok"]);
    let mut received = Vec::new();
    sink.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"all");
}

#[test]
fn what_comes_is_sent_back_by_a_copy_of_a_stream_to_itself() {
    let engine = driver::engine();
    let (mut peer, stream) = wide_pair(&engine);
    let (data, told) = (numbered(200_000), Told::new());
    engine.copy(&stream, &stream, told.value("echo"));
    let (mut sent, mut received) = (0, Vec::new());
    turn_until(&engine, || {
        sent += send_some(&mut peer, &data[sent..]);
        received.extend(arrived(&peer));
        received.len() == data.len()
    });
    assert!(received == data);
    peer.shutdown(Shutdown::Write).unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["echo 200000"]);
}

#[test]
fn copies_of_several_streams_into_one_follow_one_another() {
    let engine = driver::engine();
    let (sink, to) = wide_pair(&engine);
    let told = Told::new();
    let mut sources = Vec::new();
    for number in 0..5 {
        let (mut source, from) = pair(&engine);
        engine.copy(&from, &to, told.value(number));
        write!(source, "<{number}>").unwrap();
        sources.push(source);
    }
    turns(&engine, 3);
    assert_eq!(arrived(&sink), b"<0>");
    // The first is last, and all others have ended by then.
    while sources.pop().is_some() {
        turns(&engine, 2);
    }
    engine.run().unwrap();
    assert_eq!(told.take(), ["0 3", "1 3", "2 3", "3 3", "4 3"]);
    assert_eq!(arrived(&sink), b"<1><2><3><4>");
}

/// As many as would fill a stack if the end of one began the next from inside.
#[test]
fn promise_05_very_many_copies_that_have_ended_are_no_recursion() {
    let engine = driver::engine();
    let ((_sink, to), (source, from)) = (pair(&engine), pair(&engine));
    let (_other, slow) = pair(&engine);
    drop(source);
    turns(&engine, 2);
    let (told, cancelled) = (Told::new(), Told::new());
    let first = engine.copy(&slow, &to, cancelled.callback("first"));
    for _ in 0..20_000 {
        engine.copy(&from, &to, told.callback("copy"));
    }
    turns(&engine, 3);
    assert!(told.is_empty());
    first.cancel();
    turn_until(&engine, || told.len() == 20_000);
    assert!(told.take().iter().all(|note| note == "copy Ok"));
}

// Backpressure

/// A number in what `Debug` says of a stream.
fn number_in(words: &str, name: &str) -> usize {
    let rest = words.split_once(&format!("{name}: ")).expect("it says so").1;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap();
    rest[..digits].parse().unwrap()
}

#[test]
fn promise_14_no_more_is_received_than_the_other_end_takes() {
    let engine = driver::engine();
    let ((mut source, from), (sink, to, stuffed)) = (pair(&engine), full_pair(&engine));
    let (data, copied) = (numbered(8 << 20), Outcome::new());
    engine.copy(&from, &to, copied.callback());
    let mut sent = 0;
    for _ in 0..100 {
        sent += send_some(&mut source, &data[sent..]);
        turns(&engine, 1);
    }
    assert!(sent < 2 << 20, "its peer had to wait: {sent}");
    let (said, ends) = (Outcome::new(), (from.clone(), to.clone()));
    let tell = said.callback();
    engine.post(move |local| {
        local.complete(tell, Ok((format!("{:?}", ends.0), format!("{:?}", ends.1))));
    });
    turns(&engine, 2);
    let (from_says, to_says): (String, String) = said.value();
    assert!(number_in(&from_says, "unread") <= (64 << 10) + (192 << 10), "{from_says}");
    assert!(number_in(&to_says, "unsent") <= 128 << 10, "{to_says}");
    assert!(from_says.contains("copy") && to_says.contains("copy"), "{from_says} {to_says}");
    // Once it is read, all of it comes.
    let mut received = unstuff(&sink, stuffed);
    turn_until(&engine, || {
        sent += send_some(&mut source, &data[sent..]);
        if sent == data.len() {
            source.shutdown(Shutdown::Write).unwrap();
        }
        received.extend(arrived(&sink));
        copied.is_there()
    });
    assert_eq!(copied.value(), data.len() as u64);
    turn_until(&engine, || {
        received.extend(arrived(&sink));
        received.len() >= data.len()
    });
    assert!(received == data);
}

// Early ends

#[test]
fn promise_08_wherever_it_is_cancelled_each_byte_is_in_one_of_the_streams() {
    for unsent in [0, 1000, 64 << 10] {
        for steps in 0..12 {
            let engine = engine_with_unsent(unsent);
            let ((mut source, from), (sink, to, stuffed)) =
                (wide_pair(&engine), full_pair(&engine));
            let (data, copied) = (numbered(150_000), Outcome::new());
            let cancel = engine.copy(&from, &to, copied.callback());
            let (mut sent, mut received) = (0, Vec::new());
            for step in 0..steps {
                sent += send_some(&mut source, &data[sent..]);
                if step == 4 {
                    received = unstuff(&sink, stuffed);
                } else if step > 4 {
                    received.extend(arrived(&sink));
                }
                turns(&engine, 1);
            }
            assert!(cancel.cancel());
            turns(&engine, 2);
            let (count, cause) = partial(&copied.error());
            assert_eq!(cause, "Cancelled");
            if steps < 5 {
                received = unstuff(&sink, stuffed);
            }
            turn_until(&engine, || {
                received.extend(arrived(&sink));
                received.len() >= count
            });
            assert_eq!(received.len(), count, "what was counted goes out, after {steps} steps");
            received.extend(unread(&engine, &from, sent - count));
            assert!(received == data[..sent], "after {steps} steps with {unsent}");
        }
    }
}

#[test]
fn promise_09_a_future_that_is_dropped_takes_nothing_more() {
    let engine = driver::engine();
    let ((mut source, from), (sink, to)) = (pair(&engine), pair(&engine));
    let cancel = engine.copy(&from, &to, Callback::claim(|_, _: Result<Claim<u64>>| ()));
    source.write_all(b"one").unwrap();
    turns(&engine, 3);
    assert_eq!(sink.arrived_at_least(3), b"one");
    cancel.cancel();
    turns(&engine, 1);
    source.write_all(b"two").unwrap();
    turns(&engine, 3);
    assert_eq!(arrived(&sink), b"");
    assert_eq!(unread(&engine, &from, 3), "two");
}

#[test]
fn promise_07_a_timeout_bounds_all_of_it_and_without_any_time_what_is_there_is_copied() {
    let engine = driver::engine();
    let ((mut source, from), (sink, to)) = (pair(&engine), pair(&engine));
    source.write_all(b"there").unwrap();
    let told = Told::new();
    engine.copy(&from, &to, told.timeout(Duration::ZERO).value("at once"));
    engine.copy(&from, &to, told.timeout(SOON).value("soon"));
    turn_until(&engine, || told.len() == 1);
    // A byte now and then stretches nothing.
    turn_until(&engine, || {
        source.write_all(b"x").unwrap();
        pass(Duration::from_micros(100));
        told.len() == 2
    });
    let notes = told.take();
    assert_eq!(notes[0], "at once PartialCopy(5, 0, TimedOut)");
    assert!(notes[1].starts_with("soon PartialCopy("), "{notes:?}");
    assert!(notes[1].ends_with("0, TimedOut)"), "{notes:?}");
    turns(&engine, 1);
    assert_eq!(arrived(&sink)[..6], *b"therex");
}

#[test]
fn promise_04_what_a_copy_leaves_when_its_time_is_up_is_no_timeout_for_the_read_behind_it() {
    let engine = driver::engine();
    let ((mut source, from), (_sink, to, _)) = (pair(&engine), full_pair(&engine));
    // It has no turn among the writes.
    engine.write(&to, vec![0; 1 << 20], Callback::ignore());
    let told = Told::new();
    engine.copy(&from, &to, told.timeout(SOON).value("copy"));
    engine.read_exact(&from, 5, told.timeout(SOON).value("read"));
    source.write_all(b"there").unwrap();
    turns(&engine, 1);
    // Both times are up in one turn.
    pass(2 * SOON);
    turn_until(&engine, || told.len() == 2);
    assert_eq!(told.take(), ["copy TimedOut", "read b\"there\""]);
}

#[test]
fn promise_07_an_end_that_has_come_is_no_timeout() {
    let engine = driver::engine();
    let ((mut source, from), (_sink, to)) = (pair(&engine), pair(&engine));
    source.write_all(b"all").unwrap();
    source.shutdown(Shutdown::Write).unwrap();
    wait_for(&from, Sign::End);
    let told = Told::new();
    engine.copy(&from, &to, told.timeout(Duration::ZERO).value("copy"));
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["copy 3"]);
}

#[test]
fn an_idle_copy_times_out_and_one_that_is_not_does_not() {
    let engine = driver::engine();
    let ((mut source, from), (sink, to)) = (pair(&engine), pair(&engine));
    let told = Told::new();
    let idle = Duration::from_millis(200);
    let begun = driver::now();
    engine.copy_with(&from, &to, CopyOptions::new().idle(idle), told.value("copy"));
    // Three times as long, and never idle.
    for count in 1..=6 {
        pass(idle / 2);
        source.write_all(b"x").unwrap();
        turn_until(&engine, || arrived(&sink).len() == 1);
        assert!(told.is_empty(), "after {count}");
    }
    let last = driver::now();
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["copy PartialCopy(6, 0, TimedOut)"]);
    assert!(driver::now() - last >= idle * 9 / 10, "counts from what came last");
    assert!(driver::now() - begun >= idle * 3);
    // What comes after it is unread.
    source.write_all(b"late").unwrap();
    assert_eq!(unread(&engine, &from, 4), "late");
}

#[test]
fn a_copy_is_idle_too_where_nothing_is_taken() {
    let engine = driver::engine();
    let ((mut source, from), (sink, to, stuffed)) = (pair(&engine), full_pair(&engine));
    let copied = Outcome::new();
    engine.copy_with(&from, &to, CopyOptions::new().idle(SOON), copied.callback());
    source.write_all(b"bytes").unwrap();
    turn_until(&engine, || copied.is_there());
    assert_eq!(partial(&copied.error()), (5, "TimedOut".to_owned()));
    let mut received = unstuff(&sink, stuffed);
    turn_until(&engine, || {
        received.extend(arrived(&sink));
        received.len() == 5
    });
}

#[test]
fn a_close_of_either_end_ends_it_and_what_was_copied_goes_out() {
    for (close_from, aborts) in [(true, false), (false, false), (true, true), (false, true)] {
        let engine = driver::engine();
        let ((mut source, from), (sink, to)) = (pair(&engine), pair(&engine));
        let copied = Outcome::new();
        engine.copy(&from, &to, copied.callback());
        source.write_all(b"bytes").unwrap();
        turn_until(&engine, || arrived(&sink).len() == 5);
        let stream = if close_from { &from } else { &to };
        match aborts {
            true => engine.abort(stream),
            false => _ = engine.close(stream, Callback::ignore()),
        }
        engine.run().unwrap();
        assert_eq!(partial(&copied.error()), (5, "Closed".to_owned()));
        let other = if close_from { &to } else { &from };
        let told = Told::new();
        engine.close(other, told.callback("other"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["other Ok"]);
    }
}

#[test]
fn a_close_lets_out_what_was_copied_before() {
    let engine = driver::engine();
    let ((mut source, from), (sink, to, stuffed)) = (pair(&engine), full_pair(&engine));
    let (copied, told) = (Outcome::new(), Told::new());
    engine.copy(&from, &to, copied.callback());
    source.write_all(b"bytes").unwrap();
    turns(&engine, 3);
    engine.close(&to, told.callback("close"));
    turns(&engine, 3);
    assert_eq!(partial(&copied.error()), (5, "Closed".to_owned()));
    assert!(told.is_empty());
    let mut received = unstuff(&sink, stuffed);
    turn_until(&engine, || {
        received.extend(arrived(&sink));
        !told.is_empty()
    });
    received.extend(arrived(&sink));
    assert_eq!((&*received, told.take()), (&b"bytes"[..], vec!["close Ok".to_owned()]));
}

#[test]
fn promise_12_a_reset_of_its_source_comes_behind_what_arrived() {
    if misses_resets("a_reset_of_its_source_comes_behind_what_arrived", &driver::name()) {
        return;
    }
    let engine = driver::engine();
    let ((mut source, from), (sink, to)) = (tcp_pair(&engine), pair(&engine));
    let copied = Outcome::new();
    engine.copy(&from, &to, copied.callback());
    source.write_all(b"bytes").unwrap();
    let mut received = Vec::new();
    turn_until(&engine, || {
        received.extend(arrived(&sink));
        received.len() == 5
    });
    reset(source);
    turn_until(&engine, || copied.is_there());
    let error = copied.error();
    assert_eq!(partial(&error), (5, "Io(read, ConnectionReset)".to_owned()));
    assert!(error.to_string().starts_with("only 5 bytes were copied: read from "), "{error}");
    engine.write(&to, "still", Callback::ignore());
    turns(&engine, 2);
    assert_eq!(sink.arrived_at_least(5), b"still");
}

#[test]
fn promise_10_what_a_broken_end_has_not_taken_is_unread_again() {
    let engine = driver::engine();
    let ((mut source, from), (sink, to, _)) = (pair(&engine), full_pair(&engine));
    let (data, copied) = (numbered(200_000), Outcome::new());
    engine.copy(&from, &to, copied.callback());
    let mut sent = 0;
    turn_until(&engine, || {
        let more = send_some(&mut source, &data[sent..]);
        sent += more;
        turns(&engine, 2);
        more == 0 || sent == data.len()
    });
    assert!(sent > 70_000, "{sent}");
    drop(sink);
    turn_until(&engine, || copied.is_there());
    let error = copied.error();
    assert!(matches!(&error, Error::Io { .. }), "nothing was taken: {error:?}");
    assert!(error.to_string().starts_with("write to "), "{error}");
    assert!(unread(&engine, &from, sent) == data[..sent]);
}

#[test]
fn promise_16_the_end_of_the_engine_is_heard_once() {
    let told = Told::new();
    let engine = driver::engine();
    let ((mut source, from), (sink, to)) = (pair(&engine), pair(&engine));
    let ((_peer, other), (_far, another)) = (pair(&engine), pair(&engine));
    engine.copy(&from, &to, told.value("copy"));
    engine.copy_both_ways(&other, &another, told.value("both"));
    source.write_all(b"bytes").unwrap();
    turn_until(&engine, || arrived(&sink).len() == 5);
    assert_eq!(engine.pending().iter().filter(|one| one.operation == "copy").count(), 8);
    drop(engine);
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["both EngineClosed", "copy PartialCopy(5, 0, EngineClosed)"]);
    from.handle().copy(&from, &to, told.callback("refused"));
    assert!(told.is_empty());
}

#[test]
fn promise_17_a_callback_that_panics_leaves_the_streams_as_they_are() {
    let engine = driver::engine();
    let ((mut source, from), (sink, to)) = (pair(&engine), pair(&engine));
    engine.copy(&from, &to, Callback::from_fn(|_, _: Result<u64>| panic!("on purpose")));
    let told = Told::new();
    engine.copy(&from, &to, told.value("behind"));
    source.write_all(b"bytes").unwrap();
    source.shutdown(Shutdown::Write).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| engine.run().unwrap())).is_err());
    engine.run().unwrap();
    assert_eq!(told.take(), ["behind 0"]);
    assert_eq!(arrived(&sink), b"bytes");
}

#[test]
fn promise_06_it_is_submitted_and_cancelled_from_another_thread() {
    let engine = driver::engine();
    let ((mut source, from), (sink, to)) = (pair(&engine), pair(&engine));
    let (told, (send, receive)) = (Told::new(), mpsc::channel());
    let callback = told.value("copy");
    let handle = engine.handle().clone();
    let ends = (from.clone(), to);
    thread::spawn(move || send.send(handle.copy(&ends.0, &ends.1, callback)).unwrap());
    let cancel = receive.recv().unwrap();
    source.write_all(b"one").unwrap();
    turn_until(&engine, || arrived(&sink).len() == 3);
    thread::spawn(move || assert!(cancel.cancel())).join().unwrap();
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["copy PartialCopy(3, 0, Cancelled)"]);
    source.write_all(b"two").unwrap();
    assert_eq!(unread(&engine, &from, 3), "two");
}

#[test]
fn what_makes_no_sense_is_told() {
    let (engine, other) = (driver::engine(), driver::engine());
    let ((_peer, here), (_far, there)) = (pair(&engine), pair(&other));
    let told = Told::new();
    engine.copy(&here, &there, told.callback("two engines"));
    engine.copy_both_ways(&here, &here, told.callback("itself"));
    let (_gone, closed) = pair(&engine);
    engine.close(&closed, Callback::ignore());
    engine.run().unwrap();
    engine.copy(&closed, &here, told.callback("from closed"));
    engine.copy(&here, &closed, told.callback("to closed"));
    engine.shutdown_write(&here, Callback::ignore());
    engine.copy(&here, &here, told.callback("to shut down"));
    engine.run().unwrap();
    other.run().unwrap();
    let expected = [
        "two engines InvalidInput",
        "itself InvalidInput",
        "from closed Closed",
        "to closed Closed",
        "to shut down Closed",
    ];
    assert_eq!(told.take(), expected);
}

// Both ways

#[test]
fn each_end_is_handed_on_in_either_order() {
    for client_first in [true, false] {
        let engine = driver::engine();
        let ((mut client, a), (mut server, b)) = (pair(&engine), pair(&engine));
        let told = Told::new();
        engine.copy_both_ways(&a, &b, told.value("proxy"));
        let (first, second) =
            if client_first { (&mut client, &mut server) } else { (&mut server, &mut client) };
        first.write_all(b"question").unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        turn_until(&engine, || {
            heard.extend(arrived(&*second));
            heard.len() == 8
        });
        turns(&engine, 3);
        assert!(told.is_empty(), "the other way goes on");
        assert_eq!(second.read(&mut [0; 1]).unwrap(), 0, "the end was handed on");
        second.write_all(b"an answer").unwrap();
        turn_until(&engine, || {
            heard.extend(arrived(&*first));
            heard.len() == 17
        });
        assert!(told.is_empty());
        second.shutdown(Shutdown::Write).unwrap();
        engine.run().unwrap();
        assert_eq!(first.read(&mut [0; 1]).unwrap(), 0);
        assert_eq!(heard, b"questionan answer");
        let counts = if client_first { "(8, 9)" } else { "(9, 8)" };
        assert_eq!(told.take(), [format!("proxy {counts}")]);
    }
}

#[test]
fn much_goes_both_ways_at_once() {
    let engine = driver::engine();
    let ((mut client, a), (mut server, b)) = (pair(&engine), pair(&engine));
    let (data, copied) = (numbered(1 << 20), Outcome::new());
    engine.copy_both_ways(&a, &b, copied.callback());
    let (mut there, mut back) = (Vec::new(), Vec::new());
    let (mut sent, mut answered) = (0, 0);
    turn_until(&engine, || {
        sent += send_some(&mut client, &data[sent..]);
        answered += send_some(&mut server, &data[answered..]);
        there.extend(arrived(&server));
        back.extend(arrived(&client));
        there.len() == data.len() && back.len() == data.len()
    });
    assert!(there == data && back == data);
    drop((client, server));
    turn_until(&engine, || copied.is_there());
    // The ends may have gone before the shutdowns that hand them on.
    match copied.take() {
        Ok(counts) => assert_eq!(counts, (1 << 20, 1 << 20)),
        Err(Error::PartialCopy { copied, returned, cause }) => {
            assert_eq!((copied, returned), (1 << 20, 1 << 20));
            assert!(matches!(*cause, Error::Io { .. }), "{cause:?}");
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn what_fails_on_one_way_ends_both() {
    if misses_resets("what_fails_on_one_way_ends_both", &driver::name()) {
        return;
    }
    let engine = driver::engine();
    let ((mut client, a), (server, b)) = (pair(&engine), tcp_pair(&engine));
    let copied = Outcome::new();
    engine.copy_both_ways(&a, &b, copied.callback());
    client.write_all(b"question").unwrap();
    turn_until(&engine, || arrived(&server).len() == 8);
    reset(server);
    turn_until(&engine, || copied.is_there());
    let error: Error = copied.error();
    assert_eq!(partial(&error), (8, "Io(read, ConnectionReset)".to_owned()));
    client.write_all(b"more").unwrap();
    assert_eq!(unread(&engine, &a, 4), "more");
}

#[test]
fn either_way_keeps_both_from_being_idle() {
    let engine = driver::engine();
    let ((mut client, a), (mut server, b)) = (pair(&engine), pair(&engine));
    let told = Told::new();
    let idle = Duration::from_millis(200);
    engine.copy_both_ways_with(&a, &b, CopyOptions::new().idle(idle), told.value("proxy"));
    for count in 0..6 {
        pass(idle / 2);
        let (from, to) = if count < 4 { (&mut server, &client) } else { (&mut client, &server) };
        from.write_all(b"x").unwrap();
        turn_until(&engine, || arrived(to).len() == 1);
        assert!(told.is_empty(), "after {count}");
    }
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["proxy PartialCopy(2, 4, TimedOut)"]);
}

#[test]
fn promise_09_streams_that_nobody_holds_are_closed_when_their_copy_is_over() {
    alone(
        module_path!(),
        "promise_09_streams_that_nobody_holds_are_closed_when_their_copy_is_over",
        || {
            let engine = driver::engine();
            turns(&engine, 2);
            let before = descriptors();
            for way in 0..4 {
                let ((mut client, a), (mut server, b)) = (pair(&engine), pair(&engine));
                let cancel = match way {
                    0 | 1 => engine.copy(&a, &b, Callback::ignore()),
                    _ => engine.copy_both_ways(&a, &b, Callback::ignore()),
                };
                drop((a, b));
                client.write_all(b"bytes").unwrap();
                turn_until(&engine, || arrived(&server).len() == 5);
                if way % 2 == 0 {
                    cancel.cancel();
                } else {
                    client.shutdown(Shutdown::Write).unwrap();
                    server.shutdown(Shutdown::Write).unwrap();
                }
                engine.run().unwrap();
                assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
                drop((client, server));
                assert_eq!(descriptors(), before, "way {way}");
            }
        },
    );
}

#[test]
fn promise_18_a_copy_that_waits_is_pending_and_no_work() {
    let engine = driver::engine();
    let ((_client, a), (_server, b)) = (pair(&engine), pair(&engine));
    let cancel = engine.copy_both_ways(&a, &b, Callback::ignore());
    turns(&engine, 3);
    assert_eq!(engine.run_once(Some(Duration::ZERO)).unwrap().callbacks, 0);
    assert_eq!(engine.next_deadline(), None);
    cancel.cancel();
    engine.run().unwrap();
    assert_eq!(engine.pending().len(), 0);
}
