//! An engine inside the loop of another program, which waits for its handle by WaitForSingleObject.

use std::{
    fs::{self, File},
    io::{Read, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

use facade_engine::{Engine, Error, Hints, os::windows::EngineExt};
use facade_tests::{
    told::Told,
    turns::{turn_until, turns},
    windows::wait_for,
};
use tempfile::NamedTempFile;

use super::driver::{self, now, pair};

/// The engine, if its driver has a handle that can be waited for. The other one says that it has
/// not.
fn engine() -> Option<Engine> {
    let engine = driver::engine();
    match engine.waitable() {
        Ok(_) => assert_eq!(engine.driver(), "iocp"),
        Err(error) => {
            assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
            assert_eq!(engine.driver(), "mio");
            return None;
        }
    }
    Some(engine)
}

/// Another program's loop: it knows of the engine only the handle and the next deadline.
fn foreign_loop(engine: &Engine, mut done: impl FnMut() -> bool) {
    let hopeless = now() + Duration::from_secs(60);
    while !done() {
        let until = engine.next_deadline().unwrap_or(hopeless).min(hopeless);
        let left = until.saturating_duration_since(now());
        // Whole milliseconds, rounded up: less would spin until the deadline.
        let left = left + Duration::from_nanos(999_999);
        wait_for(engine.waitable().unwrap(), left);
        assert!(now() < hopeless, "waited in vain");
        engine.run_once(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn promise_18_inside_another_loop_submissions_timers_and_streams_all_wake_it() {
    let Some(engine) = engine() else { return };
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    // Submitted before the handle was ever asked for by the loop.
    engine.sleep(Duration::from_millis(10), told.callback("timer"));
    engine.read_line(&stream, told.value("line"));
    foreign_loop(&engine, || told.len() == 1);
    assert_eq!(told.take(), ["timer Ok"]);
    peer.write_all(b"line\n").unwrap();
    foreign_loop(&engine, || told.len() == 1);
    assert_eq!(told.take(), ["line b\"line\""]);

    // From this thread, between two turns.
    let notes = told.clone();
    engine.post(move |_| notes.note("posted"));
    foreign_loop(&engine, || told.len() == 1);
    assert_eq!(told.take(), ["posted"]);

    // From another thread, while the loop waits.
    let (handle, notes) = (engine.handle().clone(), told.clone());
    let other = thread::spawn(move || {
        for number in 0..100 {
            let (heard, wait) = mpsc::channel();
            let notes = notes.clone();
            handle.post(move |_| {
                notes.note(number.to_string());
                heard.send(()).unwrap();
            });
            wait.recv().unwrap();
        }
    });
    foreign_loop(&engine, || told.len() == 100);
    other.join().unwrap();

    // What a worker has done, and what the system looks up.
    told.take();
    engine.submit_work(|| 42, told.value("work"));
    foreign_loop(&engine, || told.len() == 1);
    assert_eq!(told.take(), ["work 42"]);
    let named = NamedTempFile::new().unwrap();
    fs::write(named.path(), "content").unwrap();
    let file = engine.attach_file(File::open(named.path()).unwrap()).unwrap();
    engine.read_at(&file, 3, 100, told.value("read"));
    foreign_loop(&engine, || told.len() == 1);
    assert_eq!(told.take(), ["read b\"tent\""]);
    engine.getaddrinfo("localhost", 80, Hints::default(), told.callback("lookup"));
    foreign_loop(&engine, || told.len() == 1);
    assert_eq!(told.take(), ["lookup Ok"]);
}

#[test]
fn promise_18_inside_another_loop_a_write_is_finished() {
    let Some(engine) = engine() else { return };
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    let reads = thread::spawn(move || {
        let mut all = vec![0; 8 << 20];
        peer.read_exact(&mut all).map(|()| peer)
    });
    engine.write(&stream, vec![b'x'; 8 << 20], told.value("write"));
    engine.flush(&stream, told.callback("flush"));
    foreign_loop(&engine, || told.len() == 2);
    assert_eq!(told.take(), ["write 8388608", "flush Ok"]);
    drop(reads.join().unwrap().unwrap());
}

#[test]
fn promise_18_an_engine_with_nothing_to_do_is_not_signalled() {
    let Some(engine) = engine() else { return };
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    engine.read_line(&stream, told.value("line"));
    turns(&engine, 3);
    assert!(!wait_for(engine.waitable().unwrap(), Duration::ZERO), "nothing has come");
    peer.write_all(b"li").unwrap();
    assert!(wait_for(engine.waitable().unwrap(), Duration::from_secs(60)));
    // It stays so until a turn has taken what came.
    assert!(wait_for(engine.waitable().unwrap(), Duration::ZERO));
    turns(&engine, 3);
    assert!(!wait_for(engine.waitable().unwrap(), Duration::ZERO), "all was taken");
    peer.write_all(b"ne\n").unwrap();
    turn_until(&engine, || told.len() == 1);
    assert_eq!(told.take(), ["line b\"line\""]);
}
