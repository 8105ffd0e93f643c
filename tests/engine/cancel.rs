//! Promises 4 and 6: one cause for each outcome, and cancelling as a request from anywhere.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use facade_engine::{Callback, Cancel, Engine, Handle, Hints, Listener, Local, Stream};
use facade_tests::{
    peers::reset,
    reads::{TEXT, UpTo, eager_reads, read_all, reads},
    skipped::misses_resets,
    told::{Basket, Told},
    turns::{SOON, turns},
};

use super::driver::{self, pair, pass, tcp_pair};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn promise_04_what_has_arrived_comes_before_a_cancel_in_the_same_turn() {
    for read in reads().into_iter().chain(eager_reads()).chain([read_all()]) {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        let cancel = read.submit(&engine, &stream, &told);
        turns(&engine, 2);
        peer.write_all(TEXT).unwrap();
        if read.name == "read_all" {
            // Its end has to come in a turn of its own: the first only brings the bytes.
            drop(peer);
            turns(&engine, 1);
        }
        cancel.cancel();
        turns(&engine, 1);
        let notes = told.take();
        assert_eq!(notes.len(), 1, "{}: {notes:?}", read.name);
        assert!(!notes[0].contains("Cancelled"), "{notes:?}");
    }
}

#[test]
fn promise_04_a_connection_that_has_come_comes_before_a_cancel_in_the_same_turn() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let told = Told::new();
    let cancel = engine.accept(&listener, told.callback("accept"));
    turns(&engine, 2);
    let _client = driver::connect(listener.local_addr().unwrap()).unwrap();
    cancel.cancel();
    turns(&engine, 1);
    assert_eq!(told.take(), ["accept Ok"]);
}

#[test]
fn promise_04_a_sleep_that_is_over_comes_before_a_cancel_in_the_same_turn() {
    let engine = driver::engine();
    let told = Told::new();
    let time = Duration::from_millis(1);
    let cancel = engine.sleep(time, told.callback("sleep"));
    turns(&engine, 1);
    pass(time);
    cancel.cancel();
    turns(&engine, 1);
    assert_eq!(told.take(), ["sleep Ok"]);
}

#[test]
fn promise_04_the_systems_own_failure_comes_before_a_cancel_in_the_same_turn() {
    if misses_resets(
        "promise_04_the_systems_own_failure_comes_before_a_cancel_in_the_same_turn",
        &driver::name(),
    ) {
        return;
    }
    let engine = driver::engine();
    let (peer, stream) = tcp_pair(&engine);
    let told = Told::new();
    let cancel = engine.read_line(&stream, told.callback("read"));
    turns(&engine, 2);
    reset(peer);
    cancel.cancel();
    turns(&engine, 1);
    assert_eq!(told.take(), ["read Io(read, ConnectionReset)"]);
}

#[test]
fn promise_04_a_cancel_comes_before_a_timeout_in_the_same_turn() {
    for read in reads().into_iter().chain(eager_reads()).chain([read_all()]) {
        let engine = driver::engine();
        let (_peer, stream) = pair(&engine);
        let told = Told::new();
        let timeout = SOON;
        let cancel = read.submit(&engine, &stream, &told.timeout(timeout));
        turns(&engine, 1);
        pass(timeout);
        cancel.cancel();
        turns(&engine, 2);
        assert_eq!(told.take(), [format!("{} Cancelled", read.name)]);
    }
    let engine = driver::engine();
    let told = Told::new();
    let nap = Callback::timeout(told.callback("sleep"), SOON);
    let cancel = engine.sleep(HOUR, nap);
    turns(&engine, 1);
    pass(SOON);
    cancel.cancel();
    turns(&engine, 2);
    assert_eq!(told.take(), ["sleep Cancelled"]);
}

#[test]
fn promise_06_a_cancel_before_the_engine_has_seen_the_operation_ends_it() {
    for read in reads().into_iter().chain(eager_reads()).chain([read_all()]) {
        let engine = driver::engine();
        let (_peer, stream) = pair(&engine);
        let told = Told::new();
        let cancel = read.submit(&engine, &stream, &told);
        assert!(told.submitting(|| cancel.cancel()));
        turns(&engine, 1);
        assert_eq!(told.take(), [format!("{} Cancelled", read.name)]);
    }
}

/// Has another thread call the engine while a callback runs, which cancels what comes of it.
fn cancelled_before_it_is_seen(
    engine: &Engine,
    told: &Told,
    submit: impl FnOnce(&Handle) -> Cancel + Send + 'static,
) {
    let (handle, told) = (engine.handle().clone(), told.clone());
    engine.post(move |_| {
        let cancel = thread::spawn(move || submit(&handle)).join().unwrap();
        assert!(told.submitting(|| cancel.cancel()), "registered");
        assert!(told.submitting(|| cancel.cancel()), "and once more");
    });
}

#[test]
fn promise_06_a_cancel_in_a_turn_ends_what_another_thread_has_submitted_in_it() {
    for read in reads().into_iter().chain(eager_reads()).chain([read_all()]) {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        let (again, note) = (stream.clone(), told.clone());
        cancelled_before_it_is_seen(&engine, &told, move |engine| {
            read.submit(engine, &again, &note)
        });
        turns(&engine, 2);
        assert_eq!(told.take(), [format!("{} Cancelled", read.name)]);
        // What comes is there for the next one.
        peer.write_all(TEXT).unwrap();
        engine.read_line(&stream, told.value("read"));
        engine.run().unwrap();
        assert_eq!(told.take(), [r#"read b"one""#]);
    }
}

#[test]
fn promise_06_a_cancel_in_a_turn_ends_whatever_another_thread_has_submitted_in_it() {
    type Submit = fn(&Handle, &Stream, &Listener, &Told) -> Cancel;
    let submits: [(&[&str], Submit); 9] = [
        (&["op Cancelled"], |engine, _, _, told| engine.sleep(HOUR, told.callback("op"))),
        (&["op Cancelled"], |engine, _, listener, told| {
            engine.accept(listener, told.callback("op"))
        }),
        (&["op Cancelled"], |engine, _, listener, told| {
            engine.connect(listener.local_addr().unwrap(), told.callback("op"))
        }),
        (&["op Cancelled"], |engine, _, _, told| engine.submit_work(|| (), told.callback("op"))),
        (&["op Cancelled"], |engine, _, _, told| {
            engine.getaddrinfo("name.invalid", 80, Hints::default(), told.callback("op"))
        }),
        (&["op Cancelled", "next Stage(1, Cancelled)"], |engine, stream, _, told| {
            let chain = engine.chain().on(stream).read_line(told.callback("op"));
            chain.write("x", told.callback("next")).submit()
        }),
        (&["op Cancelled", "next Stage(1, Cancelled)"], |engine, _, listener, told| {
            engine.accept_then_write(listener, "x", (told.callback("op"), told.callback("next")))
        }),
        (&["op Cancelled"], |engine, stream, _, told| {
            engine.write(stream, vec![b'x'; 16 << 20], told.callback("op"))
        }),
        (&["op Cancelled"], |engine, stream, _, told| {
            engine.write(stream, vec![b'x'; 8 << 20], Callback::ignore());
            engine.detach(stream, told.callback("op"))
        }),
    ];
    for (expected, submit) in submits {
        let engine = driver::engine();
        let (peer, stream) = pair(&engine);
        let listener = engine.listen("127.0.0.1:0").unwrap();
        let told = Told::new();
        let note = told.clone();
        cancelled_before_it_is_seen(&engine, &told, move |engine| {
            submit(engine, &stream, &listener, &note)
        });
        turns(&engine, 2);
        assert_eq!(told.take(), expected);
        drop(peer);
        engine.run().unwrap();
        assert!(told.is_empty());
    }
}

#[test]
fn promise_06_a_cancel_from_its_own_callback_does_nothing() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    let own = Arc::new(Mutex::new(None::<Cancel>));
    let (cancel, note) = (Arc::clone(&own), told.clone());
    let callback = Callback::from_fn(move |_: &Local, outcome| {
        let registered = cancel.lock().unwrap().as_ref().unwrap().cancel();
        note.note(format!("{} {registered}", outcome.is_ok()));
    });
    *own.lock().unwrap() = Some(engine.read_line(&stream, callback));
    peer.write_all(TEXT).unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["true false"]);
}

#[test]
fn promise_06_a_cancel_from_another_operations_callback_ends_it_in_that_turn() {
    for read in reads().into_iter().chain(eager_reads()).chain([read_all()]) {
        let engine = driver::engine();
        let (_peer, stream) = pair(&engine);
        let told = Told::new();
        let cancel = read.submit(&engine, &stream, &told);
        turns(&engine, 1);
        let canceller = told.clone();
        engine.post(move |_| {
            assert!(canceller.submitting(|| cancel.cancel()));
            assert!(!canceller.submitting(|| cancel.cancel()), "it has its outcome");
        });
        turns(&engine, 1);
        assert_eq!(told.take(), [format!("{} Cancelled", read.name)]);
    }
}

#[test]
fn promise_06_a_cancel_after_the_end_does_not_hit_what_came_later() {
    let engine = driver::engine();
    let told = Told::new();
    // Submitted in a turn and between two, which the engine names differently.
    let old = Basket::new();
    let (inside, note) = (old.clone(), told.clone());
    engine.post(move |engine| {
        for _ in 0..10 {
            inside.put(engine.sleep(Duration::ZERO, note.callback("old")));
        }
    });
    for _ in 0..10 {
        old.put(engine.sleep(Duration::ZERO, told.callback("old")));
    }
    engine.run().unwrap();
    assert_eq!(told.take().len(), 20);
    let old: Vec<Cancel> = old.take();
    // They stand where the old ones stood.
    let time = Duration::from_millis(1);
    for _ in 0..30 {
        engine.sleep(time, told.callback("new"));
    }
    turns(&engine, 1);
    assert!(old.iter().all(Cancel::cancel), "registered, for nothing");
    engine.post(move |_| assert!(old.iter().all(|cancel| !cancel.cancel())));
    engine.run().unwrap();
    assert_eq!(told.take(), ["new Ok"; 30]);
}

#[test]
fn promise_06_a_cancel_that_is_kept_keeps_nothing_alive() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    let kept = engine.read_line(&stream, told.callback("read"));
    peer.write_all(TEXT).unwrap();
    drop(stream);
    engine.run().unwrap();
    assert_eq!(std::io::Read::read(&mut peer, &mut [0]).unwrap_or(0), 0, "the stream is closed");
    drop(engine);
    assert!(!kept.cancel());
}

#[test]
fn promise_06_a_cancelled_read_or_accept_ends_and_what_comes_later_is_there() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let told = Told::new();
    let read = engine.read_line(&stream, told.callback("read"));
    let accept = engine.accept(&listener, told.callback("accept"));
    turns(&engine, 2);
    read.cancel();
    accept.cancel();
    turns(&engine, 1);
    assert_eq!(told.take(), ["read Cancelled", "accept Cancelled"]);
    peer.write_all(TEXT).unwrap();
    let client = driver::connect(listener.local_addr().unwrap()).unwrap();
    engine.sleep(Duration::ZERO, Callback::ignore());
    turns(&engine, 3);
    engine.read_line(&stream, told.value("read"));
    let accepted = Basket::new();
    engine.accept(&listener, accepted.callback());
    engine.run().unwrap();
    assert_eq!(told.take(), [r#"read b"one""#]);
    assert_eq!(accepted.only().peer_addr().unwrap(), client.local_addr().unwrap());
}

#[test]
fn promise_06_one_of_many_in_a_queue_leaves_it_and_the_rest_go_on() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    let cancels: Vec<Cancel> = (0..6).map(|n| engine.read_line(&stream, told.value(n))).collect();
    turns(&engine, 1);
    for number in [0, 3, 5] {
        cancels[number].cancel();
    }
    turns(&engine, 1);
    assert_eq!(told.take(), ["0 Cancelled", "3 Cancelled", "5 Cancelled"]);
    peer.write_all(TEXT).unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), [r#"1 b"one""#, r#"2 b"two""#, r#"4 b"END""#]);
}

#[test]
fn promise_06_a_cancelled_lookup_is_reported_at_once() {
    let engine = driver::engine();
    let told = Told::new();
    let name = "name.invalid";
    let lookup = engine.getaddrinfo(name, 80, Hints::default(), told.callback("lookup"));
    let both = engine.getaddrinfo_then_connect(
        name,
        80,
        (told.callback("first"), told.callback("second")),
    );
    lookup.cancel();
    both.cancel();
    turns(&engine, 1);
    turns(&engine, 1);
    let expected = ["lookup Cancelled", "first Cancelled", "second Stage(1, Cancelled)"];
    assert_eq!(told.take(), expected);
    engine.run().unwrap();
    assert!(told.is_empty());
}

#[test]
fn promise_06_a_chain_cancelled_between_two_stages_ends_at_the_next() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(TEXT).unwrap();
    let chain = Arc::new(Mutex::new(None::<Cancel>));
    let (cancel, note) = (Arc::clone(&chain), told.clone());
    let first = Callback::from_fn(move |_: &Local, outcome| {
        assert_eq!(outcome.unwrap(), "one");
        note.note(format!("cancel {}", cancel.lock().unwrap().as_ref().unwrap().cancel()));
    });
    let submitted = engine
        .chain()
        .on(&stream)
        .read_line(first)
        .read_line(told.callback("second"))
        .read_line(told.callback("third"))
        .submit();
    *chain.lock().unwrap() = Some(submitted);
    engine.run().unwrap();
    // The second stage was queued before the first one's callback ran, and found its line there.
    assert_eq!(told.take(), ["cancel true", "second Ok", "third Cancelled"]);
    engine.read_line(&stream, told.value("line"));
    engine.run().unwrap();
    assert_eq!(told.take(), [r#"line b"END""#]);
}

#[test]
fn promise_06_cancelling_a_thousand_operations_against_their_success_ends_each_once() {
    let engine = driver::engine();
    let told = Told::new();
    let (peers, streams): (Vec<_>, Vec<_>) = (0..200).map(|_| pair(&engine)).unzip();
    let mut cancels = Vec::new();
    for stream in &streams {
        for _ in 0..5 {
            cancels.push(engine.read_line(stream, told.callback("read")));
        }
    }
    turns(&engine, 1);
    let writer = thread::spawn(move || {
        for mut peer in peers {
            peer.write_all(b"1\n2\n3\n4\n5\n").unwrap();
        }
    });
    let canceller = thread::spawn(move || {
        for cancel in &cancels {
            cancel.cancel();
            cancel.cancel();
        }
    });
    engine.run().unwrap();
    writer.join().unwrap();
    canceller.join().unwrap();
    let notes = told.take();
    assert_eq!(notes.len(), 1000);
    assert!(notes.iter().all(|note| note == "read Ok" || note == "read Cancelled"));
}

#[test]
fn promise_06_cancelling_one_connect_leaves_the_others() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let told = Told::new();
    let cancel = engine.connect(address, told.callback("first"));
    engine.connect(address, told.callback("second"));
    cancel.cancel();
    engine.run().unwrap();
    assert_eq!(told.take(), ["first Cancelled", "second Ok"]);
}

#[test]
fn promise_04_what_a_cancelled_claim_gives_back_is_no_timeout_for_the_read_behind_it() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"first\n").unwrap();
    engine.read_with(&stream, UpTo(b"\n"), told.value("matcher"));
    let claim = engine.read_until(&stream, "\n", told.dropping_claims().callback("claim"));
    engine.read_until(&stream, "\n", told.timeout(Duration::ZERO).value("behind"));
    turns(&engine, 1);
    assert_eq!(told.take(), ["matcher b\"first\\n\""], "the last has one more try");
    // In the next turn it stands behind bytes that are claimed when they come, and given back when
    // the cancel is seen.
    peer.write_all(b"second\n").unwrap();
    assert!(claim.cancel());
    turns(&engine, 1);
    assert_eq!(told.take(), ["claim Cancelled", "behind b\"second\\n\""]);
}
