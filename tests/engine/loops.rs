//! The loop itself: when a run ends, and what a turn is.

use std::{
    io::Write,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use facade_engine::{Callback, Engine, Error, Handle, Local, Result, adapter::LiveTask};
use facade_tests::{
    outcome::Outcome,
    polls::Bell,
    told::Told,
    turns::{turn_until, turns},
};

use super::driver::{self, now, pair, pass};

// What is pending

#[test]
fn promise_18_with_nothing_pending_a_turn_returns_at_once_and_no_deadline_is_next() {
    let engine = driver::engine();
    let turn = engine.run_once(None).unwrap();
    assert_eq!((turn.callbacks, turn.pending), (0, 0));
    assert_eq!(engine.next_deadline(), None);
    engine.run().unwrap();
    // An idle stream and an idle listener are not pending either, used or not.
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let (mut peer, stream) = pair(&engine);
    peer.write_all(b"one\ntwo\n").unwrap();
    let told = Told::new();
    engine.read_line(&stream, told.value("line"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["line b\"one\""]);
    let turn = engine.run_once(None).unwrap();
    assert_eq!((turn.callbacks, turn.pending), (0, 0));
    assert_eq!(engine.next_deadline(), None);
    drop(listener);
}

#[test]
fn promise_18_everything_without_an_outcome_is_pending() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let pending = |engine: &Engine| engine.run_once(Some(Duration::ZERO)).unwrap().pending;
    let told = Told::new();
    engine.read_line(&stream, told.callback("read"));
    assert_eq!(pending(&engine), 1);
    let sleep = engine.sleep(Duration::MAX, Callback::ignore());
    assert_eq!(pending(&engine), 2);
    let guard = engine.keep_alive();
    assert_eq!(pending(&engine), 3);
    sleep.cancel();
    assert_eq!(pending(&engine), 2);
    drop(guard);
    assert_eq!(pending(&engine), 1);
    peer.write_all(b"line\n").unwrap();
    turn_until(&engine, || !told.is_empty());
    assert_eq!(pending(&engine), 0);
    engine.post(|_| ());
    let turn = engine.run_once(None).unwrap();
    assert_eq!((turn.callbacks, turn.pending), (1, 0));
}

#[test]
fn a_turn_waits_no_longer_than_it_may_and_no_longer_than_it_must() {
    let engine = driver::engine();
    let guard = engine.keep_alive();
    let start = now();
    let wait = Duration::from_millis(5);
    let turn = engine.run_once(Some(wait)).unwrap();
    assert_eq!((turn.callbacks, turn.pending), (0, 1));
    assert!(now() - start >= wait);
    let told = Told::new();
    engine.sleep(wait, told.callback("sleep"));
    while told.is_empty() {
        engine.run_once(None).unwrap();
    }
    assert!(now() - start >= 2 * wait);
    drop(guard);
}

#[test]
fn promise_07_the_longest_wait_there_is_waits() {
    let engine = driver::engine();
    let (handle, guard) = (engine.handle().clone(), engine.keep_alive());
    let poster = thread::spawn(move || {
        // Long enough for a turn that does not wait to be over.
        pass(Duration::from_millis(20));
        handle.post(move |_| drop(guard));
    });
    let turn = engine.run_once(Some(Duration::MAX)).unwrap();
    assert_eq!(turn.callbacks, 1, "it waits for something to happen");
    poster.join().unwrap();
}

#[test]
fn promise_18_the_next_deadline_is_the_earliest_timer_or_now_when_something_waits() {
    let engine = driver::engine();
    let hour = Duration::from_secs(3600);
    let (before, cancel) = (now(), engine.sleep(hour, Callback::ignore()));
    assert!(engine.next_deadline().unwrap() <= now(), "a submission waits");
    turns(&engine, 1);
    let deadline = engine.next_deadline().unwrap();
    assert!(deadline >= before + hour && deadline <= now() + hour);
    engine.sleep(hour / 2, Callback::ignore()).cancel();
    turns(&engine, 2);
    assert_eq!(engine.next_deadline(), Some(deadline), "what was cancelled does not count");
    engine.post(|local| local.post(|_| ()));
    assert!(engine.next_deadline().unwrap() <= now());
    turns(&engine, 1);
    cancel.cancel();
    assert!(engine.next_deadline().unwrap() <= now(), "a cancel is a request");
    turns(&engine, 1);
    assert_eq!(engine.next_deadline(), None);
}

#[test]
fn promise_18_more_callbacks_than_a_turn_runs_are_due_now() {
    let engine = driver::engine();
    let told = Told::new();
    let notes = told.clone();
    engine.post(move |local| many(local, 5000, notes));
    engine.run_once(Some(Duration::ZERO)).unwrap();
    assert!(told.is_empty(), "this takes several turns");
    assert!(engine.next_deadline().unwrap() <= now());
    engine.run().unwrap();
    assert_eq!(told.take(), ["done"]);
}

fn many(local: &Local, left: usize, told: Told) {
    match left {
        0 => told.note("done"),
        left => local.post(move |local| many(local, left - 1, told)),
    }
}

// stop and keep_alive

#[test]
fn promise_18_stop_ends_the_run_under_way_and_leaves_what_is_pending() {
    let engine = driver::engine();
    let told = Told::new();
    engine.sleep(Duration::from_millis(20), told.callback("sleep"));
    engine.post(|local| local.stop());
    engine.run().unwrap();
    assert!(told.is_empty());
    engine.run().unwrap();
    assert_eq!(told.take(), ["sleep Ok"]);
}

#[test]
fn promise_18_stop_outside_a_run_ends_the_next_one_and_only_that() {
    let engine = driver::engine();
    let told = Told::new();
    engine.stop();
    engine.stop();
    engine.sleep(Duration::from_millis(1), told.callback("sleep"));
    engine.run().unwrap();
    assert!(told.is_empty());
    engine.run().unwrap();
    assert_eq!(told.take(), ["sleep Ok"]);
    // A run with nothing pending consumes it as well.
    engine.stop();
    engine.run().unwrap();
    engine.sleep(Duration::ZERO, told.callback("sleep"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["sleep Ok"]);
}

#[test]
fn promise_18_stop_from_another_thread_wakes_a_run_that_waits() {
    for _ in 0..200 {
        let engine = driver::engine();
        let handle = engine.handle().clone();
        let _guard = engine.keep_alive();
        let stopper = thread::spawn(move || handle.stop());
        engine.run().unwrap();
        stopper.join().unwrap();
    }
}

#[test]
fn promise_18_a_live_task_keeps_the_run_until_it_is_dropped_on_any_thread() {
    let engine = driver::engine();
    let bell = Bell::new();
    assert!(LiveTask::enter(Waker::from(bell.clone())).is_none(), "outside of a turn");
    let (sender, receiver) = mpsc::channel();
    let waker = Waker::from(bell.clone());
    engine.post(move |_| sender.send(LiveTask::enter(waker).unwrap()).unwrap());
    let turn = engine.run_once(None).unwrap();
    assert_eq!((turn.callbacks, turn.pending), (1, 1));
    let task = receiver.recv().unwrap();
    let dropper = thread::spawn(move || drop(task));
    engine.run().unwrap();
    dropper.join().unwrap();
    assert_eq!(bell.rings(), 0, "woken only when the engine ends");
    assert_eq!(Arc::strong_count(&bell), 1, "its waker is dropped with it");
}

#[test]
fn promise_16_a_live_task_is_woken_once_when_the_engine_ends() {
    let engine = driver::engine();
    let bells = [Bell::new(), Bell::new()];
    let (sender, receiver) = mpsc::channel();
    let wakers = bells.clone().map(Waker::from);
    engine.post(move |_| {
        for waker in wakers {
            sender.send(LiveTask::enter(waker).unwrap()).unwrap();
        }
    });
    turns(&engine, 2);
    let [over, task] = [(); 2].map(|()| receiver.recv().unwrap());
    engine.post(move |_| drop(over));
    turns(&engine, 2);
    assert_eq!(bells.each_ref().map(Arc::strong_count), [1, 2]);
    drop(engine);
    assert_eq!(bells.each_ref().map(|bell| bell.rings()), [0, 1]);
    drop(task);
}

#[test]
fn promise_18_the_run_ends_with_the_last_guard_whenever_that_is_dropped() {
    const ROUNDS: usize = 20_000;
    let engine = driver::engine();
    let (guards, round) = (Mutex::new(None), AtomicUsize::new(0));
    thread::scope(|scope| {
        // Drops each guard while the run begins, at another moment of its beginning each time.
        scope.spawn(|| {
            for number in 1..=ROUNDS {
                while round.load(SeqCst) != number {
                    thread::yield_now();
                }
                for _ in 0..number % 200 {
                    std::hint::spin_loop();
                }
                *guards.lock().unwrap() = None;
            }
        });
        for number in 1..=ROUNDS {
            *guards.lock().unwrap() = Some(engine.keep_alive());
            round.store(number, SeqCst);
            engine.run().unwrap();
        }
    });
}

#[test]
fn promise_18_a_run_kept_alive_takes_the_work_of_other_threads() {
    let engine = driver::engine();
    let (handle, guard) = (engine.handle().clone(), engine.keep_alive());
    let told = Told::new();
    let notes = told.clone();
    let other = thread::spawn(move || {
        for number in 0..100 {
            let (heard, wait) = mpsc::channel();
            handle.sleep(
                Duration::ZERO,
                Callback::from_fn(move |_, outcome: Result<()>| heard.send(outcome).unwrap()),
            );
            wait.recv().unwrap().unwrap();
            notes.note(number.to_string());
        }
        drop(guard);
    });
    engine.run().unwrap();
    other.join().unwrap();
    assert_eq!(told.len(), 100);
}

// Running inside a callback

#[test]
fn promise_03_running_the_engine_inside_its_callback_is_an_error_and_no_hang() {
    let engine = Rc::new(driver::engine());
    let heard = Outcome::<()>::new();
    let callback = heard.callback();
    let inner = Rc::downgrade(&engine);
    let local = Callback::local_from_fn(&engine, move |local: &Local, _: Result<()>| {
        let engine = inner.upgrade().unwrap();
        let errors = [
            engine.run().unwrap_err(),
            engine.run_once(None).unwrap_err(),
            engine.run_until(|_, _| Poll::Ready(())).unwrap_err(),
        ];
        for error in errors {
            let Error::InvalidInput { what } = error else { panic!("{error:?}") };
            assert!(what.contains("callback"), "{what}");
        }
        local.sleep(Duration::ZERO, callback);
    });
    engine.sleep(Duration::ZERO, local);
    engine.run().unwrap();
    heard.value();
}

#[test]
fn an_engine_runs_inside_a_callback_of_another() {
    let outer = driver::engine();
    let inner = Rc::new(driver::engine());
    let told = Told::new();
    let (notes, running) = (told.clone(), Rc::clone(&inner));
    let callback = Callback::local_from_fn(&outer, move |outer: &Local, _: Result<()>| {
        running.sleep(Duration::from_millis(1), notes.callback("inner"));
        let (from_inner, handle) = (notes.clone(), outer.handle().clone());
        running.post(move |_| _ = handle.sleep(Duration::ZERO, from_inner.callback("across")));
        running.run().unwrap();
        notes.note("inner done");
    });
    outer.sleep(Duration::ZERO, callback);
    outer.run().unwrap();
    assert_eq!(told.take(), ["inner Ok", "inner done", "across Ok"]);
}

// Drivers

#[test]
fn promise_19_the_driver_names_itself() {
    let engine = driver::engine();
    assert_eq!(engine.driver(), driver::name());
    let handle: &Handle = engine.handle();
    assert_eq!(handle.driver(), driver::name());
}
