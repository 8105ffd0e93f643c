//! Threads that are stuck: work and wake-ups that need threads of their own, and the real clock.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use facade_engine::{Callback, Cancel, Limits};
use facade_tests::{
    told::Told,
    turns::{turn_until, turns},
};

use super::driver::{self, now, pair};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn promise_06_a_cancel_from_another_thread_wakes_the_engine() {
    let engine = driver::engine();
    let (_peer, stream) = pair(&engine);
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let told = Told::new();
    let cancels = [
        engine.read_line(&stream, told.callback("read")),
        engine.accept(&listener, told.callback("accept")),
        engine.sleep(HOUR, told.callback("sleep")),
        engine.sleep(Duration::MAX, told.callback("sleep")),
    ];
    let cancel = thread::spawn(move || assert!(cancels.iter().all(Cancel::cancel)));
    engine.run().unwrap();
    cancel.join().unwrap();
    let mut notes = told.take();
    notes.sort();
    let expected = ["accept Cancelled", "read Cancelled", "sleep Cancelled", "sleep Cancelled"];
    assert_eq!(notes, expected);
}

#[test]
fn promise_06_work_that_a_thread_holds_is_reported_at_once_and_its_late_result_dropped() {
    let engine = driver::engine();
    let told = Told::new();
    let (release, blocked) = mpsc::channel::<()>();
    let began = Arc::new(Barrier::new(2));
    let (begun, dropped) = (Arc::clone(&began), Arc::new(AtomicBool::new(false)));
    let result = NotesDrop(Arc::clone(&dropped));
    let cancel = engine.submit_work(
        move || {
            begun.wait();
            blocked.recv().unwrap();
            result
        },
        told.callback("work"),
    );
    turns(&engine, 1);
    began.wait();
    cancel.cancel();
    engine.run().unwrap();
    assert_eq!(told.take(), ["work Cancelled"]);
    assert!(!dropped.load(SeqCst), "the thread is still at it");
    release.send(()).unwrap();
    engine.sleep(HOUR, Callback::ignore());
    turn_until(&engine, || dropped.load(SeqCst));
    assert!(told.is_empty());
}

#[test]
fn promise_06_work_that_expires_is_reported_at_once() {
    let engine = driver::engine();
    let told = Told::new();
    let (_release, blocked) = mpsc::channel::<()>();
    let callback = told.timeout(Duration::from_millis(1)).callback("work");
    engine.submit_work(move || blocked.recv().is_ok(), callback);
    engine.run().unwrap();
    assert_eq!(told.take(), ["work TimedOut"]);
}

#[test]
fn promise_06_work_that_has_not_begun_is_dropped_unrun() {
    let engine = driver::builder().workers(1).build().unwrap();
    let told = Told::new();
    let (release, blocked) = mpsc::channel::<()>();
    engine.submit_work(move || blocked.recv().unwrap(), told.callback("first"));
    let cancel = engine.submit_work(|| panic!("ran"), told.callback::<()>("second"));
    turns(&engine, 1);
    cancel.cancel();
    turns(&engine, 1);
    assert_eq!(told.take(), ["second Cancelled"]);
    release.send(()).unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["first Ok"]);
}

#[test]
fn promise_16_a_stuck_worker_is_not_waited_for() {
    let engine = driver::engine();
    let told = Told::new();
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let work = move || {
        begun.send(()).unwrap();
        released.recv().unwrap_err()
    };
    engine.submit_work(work, told.callback("work"));
    turns(&engine, 1);
    has_begun.recv().unwrap();
    let start = now();
    drop(engine);
    assert!(now() - start < Duration::from_secs(10));
    assert_eq!(told.take(), ["work EngineClosed"]);
    drop(release);
}

#[test]
fn promise_14_work_behind_a_full_queue_is_overloaded_and_its_closure_never_runs() {
    let limits = Limits { jobs: 2, ..Limits::default() };
    let engine = driver::builder().limits(limits).workers(1).build().unwrap();
    let (begun, has_begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let told = Told::new();
    let stuck = move || {
        begun.send(()).unwrap();
        _ = released.recv();
    };
    engine.submit_work(stuck, told.callback("stuck"));
    turns(&engine, 1);
    has_begun.recv().unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    for name in ["first", "second", "third", "fourth"] {
        let runs = Arc::clone(&runs);
        engine.submit_work(move || runs.fetch_add(1, SeqCst), told.callback(name));
    }
    turns(&engine, 2);
    assert_eq!(told.take(), ["third Overloaded", "fourth Overloaded"]);
    drop(release);
    engine.run().unwrap();
    assert_eq!(told.take(), ["stuck Ok", "first Ok", "second Ok"]);
    assert_eq!(runs.load(SeqCst), 2);
}

/// Notes that it was dropped.
struct NotesDrop(Arc<AtomicBool>);

impl Drop for NotesDrop {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}
