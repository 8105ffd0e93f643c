//! What an engine says when it is asked what it is waiting for.

use std::{io::Write, sync::mpsc, thread, time::Duration};

use facade_engine::{Callback, Engine, LineGlob, PendingOperation, Stream};
use facade_tests::{outcome::Outcome, told::Told, turns::turn_until, turns::turns};

use super::driver::{self, bind, full_pair, now, pair, stuck_work};

const HOUR: Duration = Duration::from_secs(3600);

/// A turn that does not wait, and what is pending after it: as many as the turn has counted.
#[track_caller]
fn pending_after_a_turn(engine: &Engine) -> Vec<PendingOperation> {
    let turn = engine.run_once(Some(Duration::ZERO)).unwrap();
    let pending = engine.pending();
    let count: usize = pending.iter().map(|pending| pending.count).sum();
    assert_eq!(count, turn.pending, "{pending:?}");
    pending
}

fn names(pending: &[PendingOperation]) -> Vec<&'static str> {
    let mut names: Vec<_> = pending.iter().map(|pending| pending.operation).collect();
    names.sort_unstable();
    names
}

#[test]
fn promise_18_what_is_pending_is_told_by_name() {
    let engine = driver::engine();
    assert_eq!(engine.pending(), []);
    let (_peer, stream) = pair(&engine);
    engine.read_line(&stream, Callback::ignore().timeout(HOUR));
    engine.read_until_lineglob(&stream, LineGlob::new("*").unwrap(), Callback::ignore());
    engine.sleep(HOUR, Callback::ignore());
    let listener = engine.listen("127.0.0.1:0").unwrap();
    engine.accept(&listener, Callback::ignore());
    let _stuck = stuck_work(&engine, Callback::ignore());
    let _guards = [engine.keep_alive(), engine.keep_alive()];
    let earliest = now() + HOUR - Duration::from_secs(60);
    let pending = pending_after_a_turn(&engine);
    let expected = ["accept", "keep_alive", "read", "read_line", "sleep", "submit_work"];
    assert_eq!(names(&pending), expected);
    let find = |name| pending.iter().find(|pending| pending.operation == name).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_eq!(find("accept").on.as_deref(), Some(&*address));
    let called = if driver::PAIRS_ARE_TCP { "127.0.0.1:" } else { "Unix socket (" };
    assert!(find("read_line").on.as_ref().unwrap().starts_with(called));
    assert!(find("read_line").deadline.unwrap() > earliest);
    assert!(find("sleep").deadline.unwrap() > earliest);
    assert_eq!((find("read").deadline, find("accept").deadline), (None, None));
    assert_eq!((find("sleep").on.as_ref(), find("keep_alive").count), (None, 2));
}

#[test]
fn promise_18_unsent_bytes_and_closes_are_told_as_pending() {
    let engine = driver::engine();
    let (_peer, stream, _) = full_pair(&engine);
    engine.write(&stream, "unsent", Callback::ignore());
    turns(&engine, 2);
    assert_eq!(names(&pending_after_a_turn(&engine)), ["send"]);
    engine.close(&stream, Callback::ignore());
    turns(&engine, 2);
    assert_eq!(names(&pending_after_a_turn(&engine)), ["close", "closing"]);
    engine.abort(&stream);
    engine.run().unwrap();
    assert_eq!(engine.pending(), []);
}

#[test]
fn a_read_of_a_connected_stream_is_told_with_whom_it_is_connected_to() {
    let engine = driver::engine();
    let peers = bind();
    let address = peers.local_addr().unwrap();
    let connected = Outcome::<Stream>::new();
    engine.connect(address, connected.callback());
    turn_until(&engine, || connected.is_there());
    let stream = connected.value();
    engine.read_exact(&stream, 4, Callback::ignore());
    let pending = pending_after_a_turn(&engine);
    assert_eq!(pending[0].to_string(), format!("read_exact on {address}"));
    let text = format!("{engine:?}");
    assert!(text.contains(&format!("pending: [read_exact on {address}]")), "{text}");
    engine.abort(&stream);
}

/// A frequent read that somebody is told of waits at its stream, and not where all others do.
#[test]
fn promise_18_a_read_that_waits_at_its_stream_is_told_by_name_and_deadline() {
    let engine = driver::engine();
    let (_peer, stream) = pair(&engine);
    let told = Told::new().timeout(HOUR);
    let submissions = [
        ("read_line", engine.read_line(&stream, told.callback("line"))),
        ("read_chunk", engine.read_chunk(&stream, 4, told.callback("chunk"))),
        ("read_exact", engine.read_exact(&stream, 4, told.callback("exact"))),
    ];
    let earliest = now() + HOUR - Duration::from_secs(60);
    turns(&engine, 1);
    for (left, (name, cancel)) in (1..=submissions.len()).rev().zip(submissions) {
        let pending = pending_after_a_turn(&engine);
        assert_eq!(pending.len(), left);
        let parked = pending.iter().find(|pending| pending.operation == name).unwrap();
        assert!(parked.deadline.unwrap() > earliest);
        assert!(format!("{stream:?}").contains(&format!("{name:?}")), "{stream:?}");
        cancel.cancel();
        turns(&engine, 1);
    }
}

/// Within a callback, and from another thread by a post.
#[test]
fn callbacks_and_other_threads_are_told_what_is_pending() {
    let engine = driver::engine();
    engine.sleep(HOUR, Callback::ignore());
    let (told, hears) = mpsc::channel();
    let handle = engine.handle().clone();
    thread::spawn(move || handle.post(move |local| told.send(local.pending()).unwrap()))
        .join()
        .unwrap();
    turns(&engine, 2);
    assert_eq!(names(&hears.recv().unwrap()), ["sleep"]);
}

#[test]
fn a_stream_and_a_listener_say_in_debug_what_waits_there() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let listener = engine.listen("127.0.0.1:0").unwrap();
    engine.read_until(&stream, "never", Callback::ignore());
    engine.read_line(&stream, Callback::ignore());
    engine.accept(&listener, Callback::ignore());
    peer.write_all(b"12345").unwrap();
    turns(&engine, 3);
    let text = format!("{stream:?}");
    assert!(text.contains("unread: 5, unsent: 0"), "{text}");
    assert!(text.contains(r#"pending: ["read_until", "read_line"]"#), "{text}");
    let text = format!("{listener:?}");
    assert!(text.contains(&format!("on: {}", listener.local_addr().unwrap())), "{text}");
    assert!(text.contains(r#"pending: ["accept"]"#), "{text}");
    // Elsewhere it is a stream like any other.
    let text = thread::scope(|scope| scope.spawn(|| format!("{stream:?}")).join().unwrap());
    assert!(!text.contains("pending"), "{text}");
    drop(engine);
    assert!(!format!("{stream:?}").contains("pending"), "of an engine that is gone");
}

/// A hang is looked at where there are thousands of connections, too.
#[test]
fn the_debug_of_an_engine_fits_a_screen() {
    let engine = driver::engine();
    for _ in 0..1000 {
        engine.sleep(HOUR, Callback::ignore());
    }
    turns(&engine, 1);
    let text = format!("{engine:?}");
    assert!(text.contains("sleep, ") && text.contains("and 968 more"), "{text}");
    assert_eq!(engine.pending().len(), 1000);
}
