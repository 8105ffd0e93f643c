//! The system has no memory for what is sent, for a moment or for good.

use std::{io::Read, io::Write, net::Shutdown, time::Duration};

use facade_engine::{
    Callback, Engine, Error, IoOperation, Limits, Stream,
    sim::{Host, Link, Machine, Network, Peer},
};
use facade_futures::Runtime;
use facade_tests::{
    codes::NO_BUFFERS,
    outcome::Outcome,
    peers::numbered,
    told::{Told, brief},
};

use super::{ms, two_hosts};

/// How likely a send fails.
fn set_shortage(host: &Host, no_buffers: f64) {
    host.set_machine(Machine { no_buffers, ..Machine::default() });
}

/// An engine whose sends fail, with a connection.
fn short() -> (Network, Host, Engine, Peer, Stream) {
    let (network, here, _, engine) = two_hosts(5, Link::default());
    let (peer, stream) = Peer::tcp_pair(&engine).unwrap();
    set_shortage(&here, 1.0);
    (network, here, engine, peer, stream)
}

/// From then on sends succeed.
fn heal_after(engine: &Engine, host: &Host, time: Duration) {
    let host = host.clone();
    engine.sleep(time, Callback::from_fn(move |_, _| set_shortage(&host, 0.0)));
}

fn is_no_buffers(error: &Error) -> bool {
    matches!(error, Error::Io { operation: IoOperation::Write, cause }
        if cause.raw_os_error() == Some(NO_BUFFERS))
}

#[test]
fn promise_10_what_was_written_outlives_a_shortage_and_keeps_the_run_going() {
    // With nobody who waits for it, and with somebody who does.
    for flushes in [false, true] {
        let (network, here, engine, mut peer, stream) = short();
        let told = Told::new();
        engine.write(&stream, "first ", told.callback("write"));
        engine.write(&stream, "second", told.callback("write"));
        if flushes {
            engine.flush(&stream, told.callback("flush"));
        }
        heal_after(&engine, &here, ms(700));
        engine.run().unwrap();
        assert!(network.now() >= ms(700) && network.now() < ms(800), "{:?}", network.now());
        let mut expected = vec!["write Ok"; 2];
        expected.extend(flushes.then_some("flush Ok"));
        assert_eq!(told.take(), expected);
        assert_eq!(peer.arrived(), 12);
        assert_eq!(engine.next_deadline(), None, "nothing is left of it");
        // What comes later is another shortage, with patience of its own.
        set_shortage(&here, 1.0);
        engine.write(&stream, " third", Callback::ignore());
        heal_after(&engine, &here, ms(1900));
        engine.run().unwrap();
        let mut received = [0; 18];
        peer.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"first second third");
    }
}

#[test]
fn a_shortage_is_borne_for_two_seconds_without_spinning_and_then_told() {
    let (network, _, engine, _peer, stream) = short();
    let (told, flushed) = (Told::new(), Outcome::new());
    engine.write(&stream, "lost", told.callback("write"));
    engine.flush(&stream, flushed.callback());
    let mut turns = 0;
    while !flushed.is_there() {
        turns += 1;
        engine.run_once(None).unwrap();
    }
    assert!(turns < 100, "{turns} turns");
    assert!(network.now() >= ms(2000) && network.now() < ms(2100), "{:?}", network.now());
    assert!(is_no_buffers(&flushed.error()));
    // As ever, it is final.
    engine.write(&stream, "later", told.callback("later"));
    engine.run().unwrap();
    assert_eq!(told.take().len(), 2);
    assert_eq!(engine.next_deadline(), None);
}

#[test]
fn what_is_sent_between_two_shortages_renews_the_patience() {
    let (network, here, _, engine) = two_hosts(5, Link::default());
    network.set_link(&here, &here, Link { buffer: 100, ..Link::default() });
    let (mut peer, stream) = Peer::tcp_pair(&engine).unwrap();
    let told = Told::new();
    engine.write(&stream, numbered(400), Callback::ignore());
    engine.flush(&stream, told.callback("flush"));
    // None lasts two seconds, and there is always something unsent.
    for _ in 0..3 {
        set_shortage(&here, 1.0);
        engine.sleep(ms(1500), Callback::from_fn(|local, _| local.stop()));
        engine.run().unwrap();
        set_shortage(&here, 0.0);
        engine.sleep(ms(100), Callback::from_fn(|local, _| local.stop()));
        engine.run().unwrap();
        assert!(told.is_empty(), "{:?}", told.take());
        peer.read_exact(&mut [0; 100]).unwrap();
    }
    engine.run().unwrap();
    assert_eq!((told.take(), peer.arrived()), (vec!["flush Ok".to_owned()], 100));
}

#[test]
fn a_shortage_is_borne_for_so_many_tries_where_the_engine_is_seldom_run() {
    let (network, here, engine, mut peer, stream) = short();
    engine.write(&stream, "after all", Callback::ignore());
    // Each turn comes late, and the two seconds are over with the third.
    for _ in 0..30 {
        engine.run_once(Some(Duration::ZERO)).unwrap();
        network.pass(ms(1000));
    }
    set_shortage(&here, 0.0);
    engine.run().unwrap();
    let mut received = [0; 9];
    peer.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"after all");
}

#[test]
fn a_lasting_shortage_is_heard_by_whoever_only_reads_behind_what_arrived() {
    // By reads that wait and by ones that come later, of little and of more than is read ahead.
    for (waits, len) in [(true, 3000), (false, 3000), (true, 120_000), (false, 120_000)] {
        let (_network, _, engine, mut peer, stream) = short();
        let told = Told::new();
        engine.write(&stream, "an answer", told.callback("write"));
        if !waits {
            engine.run().unwrap();
        }
        peer.write_all(&numbered(len)).unwrap();
        for _ in 0..len / 1000 {
            engine.read_exact(&stream, 1000, told.callback("read"));
        }
        for _ in 0..3 {
            engine.read_line(&stream, told.callback("behind"));
        }
        engine.run().unwrap();
        let notes = told.take();
        let (reads, behind) = notes[1..].split_at(len / 1000);
        assert!(reads.iter().all(|note| note == "read Ok"), "{reads:?}");
        assert_eq!(behind.len(), 3);
        assert!(behind.iter().all(|note| note.starts_with("behind Io(write")), "{behind:?}");
        assert_eq!(engine.next_deadline(), None, "nothing is left of it");
    }
}

#[test]
fn futures_outlive_a_shortage_and_hear_of_a_lasting_one() {
    for heals in [true, false] {
        let (_network, here, engine, mut peer, stream) = short();
        if heals {
            heal_after(&engine, &here, ms(300));
        }
        let runtime = Runtime::from(engine);
        let mut stream = facade_futures::Stream::from(stream);
        peer.write_all(b"question\n").unwrap();
        let result = runtime.block_on(async {
            let question = stream.read_line().await.unwrap();
            stream.write_line(question).await.unwrap();
            if heals {
                stream.flush().await.unwrap();
                peer.shutdown(Shutdown::Write).unwrap();
            }
            stream.read_line().await
        });
        match heals {
            true => assert!(matches!(result, Err(Error::EndOfStream)), "{result:?}"),
            false => assert!(is_no_buffers(&result.unwrap_err())),
        }
        assert_eq!(peer.arrived(), if heals { 10 } else { 0 });
    }
}

#[test]
fn promise_12_an_end_in_order_stays_one_though_a_send_had_failed() {
    // It comes while the send is tried again, or when that has failed for good.
    for early in [true, false] {
        let (_network, _, engine, mut peer, stream) = short();
        let told = Told::new();
        engine.write(&stream, "lost", told.callback("write"));
        engine.flush(&stream, told.callback("flush"));
        if !early {
            engine.run().unwrap();
        }
        peer.write_all(b"goodbye").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        engine.run().unwrap();
        engine.read_all(&stream, told.value("read"));
        engine.read_line(&stream, told.callback("end"));
        engine.run().unwrap();
        let notes = told.take();
        assert!(notes[1].starts_with("flush Io(write"), "{notes:?}");
        assert_eq!(notes[2..], ["read b\"goodbye\"", "end EndOfStream"]);
    }
}

#[test]
fn a_close_bounds_a_shortage_by_its_timeout() {
    let (network, _, engine, mut peer, stream) = short();
    let told = Told::new();
    engine.write(&stream, "lost", told.callback("write"));
    engine.close(&stream, told.timeout(ms(200)).callback("close"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["write Ok", "close TimedOut"]);
    assert_eq!(network.now(), ms(200));
    assert_eq!(peer.read(&mut [0]).unwrap_or(0), 0, "nothing was sent");
    // Without one it waits as long as the shortage is borne, and tells what became of it.
    let (peer, stream) = Peer::tcp_pair(&engine).unwrap();
    engine.write(&stream, "lost", told.callback("write"));
    engine.close(&stream, told.callback("close"));
    engine.run().unwrap();
    let notes = told.take();
    assert!(notes[1].starts_with("close Io(write"), "{notes:?}");
    drop(peer);
}

#[test]
fn a_stream_that_was_dropped_ends_behind_what_a_shortage_held_up() {
    let (_network, here, engine, mut peer, stream) = short();
    engine.write(&stream, "last words", Callback::ignore());
    drop(stream);
    heal_after(&engine, &here, ms(300));
    engine.run().unwrap();
    let mut received = String::new();
    peer.read_to_string(&mut received).unwrap();
    assert_eq!(received, "last words");
}

#[test]
fn promise_10_stop_and_the_engines_drop_try_a_refused_send_once_more() {
    for drops in [false, true] {
        let (network, here, engine, peer, stream) = short();
        engine.write(&stream, "written", Callback::ignore());
        // The pauses are long by then.
        engine.sleep(ms(1000), Callback::from_fn(|local, _| local.stop()));
        engine.run().unwrap();
        assert_eq!((network.now(), peer.arrived()), (ms(1000), 0));
        set_shortage(&here, 0.0);
        if drops {
            drop(engine);
        } else {
            engine.stop();
            engine.run().unwrap();
        }
        assert_eq!((network.now(), peer.arrived()), (ms(1000), 7));
    }
}

#[test]
fn promise_10_a_write_that_is_cut_in_a_shortage_says_what_was_taken() {
    let (network, here, engine, mut peer, stream) = short();
    network.set_link(&here, &here, Link { buffer: 1000, ..Link::default() });
    set_shortage(&here, 0.0);
    engine.set_limits(&stream, Limits { unsent: 0, ..Limits::default() });
    let outcome = Outcome::new();
    let write = engine.write(&stream, numbered(200_000), outcome.callback());
    engine.run_once(Some(ms(0))).unwrap();
    let taken = peer.arrived();
    set_shortage(&here, 1.0);
    let mut received = vec![0; taken];
    peer.read_exact(&mut received).unwrap();
    engine.sleep(ms(100), Callback::from_fn(move |_, _| assert!(write.cancel())));
    engine.run().unwrap();
    match outcome.error() {
        Error::PartialWrite { written, cause } => {
            assert_eq!((written, brief(&cause)), (taken, "Cancelled".to_owned()));
        }
        error => panic!("{error:?}"),
    }
    // The stream is not broken: the rest goes out later.
    set_shortage(&here, 0.0);
    let rest = Outcome::new();
    engine.take_unsent(&stream, rest.callback());
    engine.run().unwrap();
    assert_eq!(rest.value().len(), 200_000 - taken);
    assert_eq!(engine.next_deadline(), None);
}

#[test]
fn a_flush_without_time_makes_one_more_attempt_at_a_refused_send() {
    let (_network, here, engine, peer, stream) = short();
    let told = Told::new();
    engine.write(&stream, "written", Callback::ignore());
    engine.sleep(ms(1000), Callback::from_fn(|local, _| local.stop()));
    engine.run().unwrap();
    // However often it is asked for, that is no reason to give up earlier.
    for _ in 0..100 {
        engine.flush(&stream, told.timeout(ms(0)).callback("flush"));
        engine.run_once(Some(ms(0))).unwrap();
    }
    assert!(told.take().iter().all(|note| note == "flush TimedOut"));
    set_shortage(&here, 0.0);
    engine.flush(&stream, told.timeout(ms(0)).callback("flush"));
    while told.is_empty() {
        engine.run_once(Some(ms(0))).unwrap();
    }
    assert_eq!((told.take(), peer.arrived()), (vec!["flush Ok".to_owned()], 7));
}
