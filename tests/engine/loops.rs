//! The loop itself: when a run ends, what a turn is, and the engine inside another loop.

use std::{
    env, fs,
    io::{Read, Write},
    process::Command,
    rc::Rc,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::Poll,
    thread,
    time::Duration,
};

use facade_engine::{Callback, DriverChoice, Engine, Error, Handle, Local, Result, Turn};
use facade_tests::{
    faults::with_faults,
    outcome::Outcome,
    sockets::pair,
    told::Told,
    turns::{now, pass, turn_until, turns},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::driver;

// What is pending

#[test]
fn promise_18_with_nothing_pending_a_turn_returns_at_once_and_no_deadline_is_next() {
    let engine = driver::engine();
    let nothing = Turn { callbacks: 0, pending: 0 };
    assert_eq!(engine.run_once(None).unwrap(), nothing);
    assert_eq!(engine.next_deadline(), None);
    engine.run().unwrap();
    // An idle stream and an idle listener are not pending either, used or not.
    let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let (mut peer, stream) = pair(&engine);
    peer.write_all(b"one\ntwo\n").unwrap();
    let told = Told::new();
    engine.read_line(&stream, told.value("line"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["line b\"one\""]);
    assert_eq!(engine.run_once(None).unwrap(), nothing);
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
    assert_eq!(turn, Turn { callbacks: 1, pending: 0 });
}

#[test]
fn a_turn_waits_no_longer_than_it_may_and_no_longer_than_it_must() {
    let engine = driver::engine();
    let guard = engine.keep_alive();
    let start = now();
    let wait = Duration::from_millis(5);
    let turn = engine.run_once(Some(wait)).unwrap();
    assert_eq!(turn, Turn { callbacks: 0, pending: 1 });
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

// An idle engine

#[test]
fn promise_18_an_idle_engine_makes_no_system_calls() {
    let (idle, is_idle) = mpsc::channel();
    let runner = thread::spawn(move || {
        let engine = driver::engine();
        let _guard = engine.keep_alive();
        let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let (mut peer, stream) = pair(&engine);
        engine.accept(&listener, Callback::ignore());
        engine.sleep(Duration::from_secs(1000), Callback::ignore());
        engine.read_line(&stream, Callback::ignore());
        peer.write_all(b"line\nand more").unwrap();
        turns(&engine, 5);
        engine.read_line(&stream, Callback::ignore());
        turns(&engine, 5);
        idle.send((rustix::thread::gettid(), engine.handle().clone())).unwrap();
        engine.run().unwrap();
    });
    let (thread, handle) = is_idle.recv().unwrap();
    // A thread that makes a system call has to run for it, and to go to sleep again behind it.
    let sleeps = || {
        let path = format!("/proc/self/task/{}/status", thread.as_raw_nonzero());
        let status = fs::read_to_string(path).unwrap();
        let is_count = |line: &&str| line.contains("ctxt_switches");
        status.lines().filter(is_count).map(str::to_owned).collect::<Vec<_>>()
    };
    let state = || {
        let path = format!("/proc/self/task/{}/stat", thread.as_raw_nonzero());
        fs::read_to_string(path).unwrap().rsplit(')').next().unwrap()[1..2].to_owned()
    };
    while state() != "S" {
        thread::yield_now();
    }
    let before = sleeps();
    assert_eq!(before.len(), 2);
    pass(Duration::from_millis(300));
    assert_eq!(sleeps(), before);
    handle.stop();
    runner.join().unwrap();
}

// Inside another loop

/// Another program's loop: it knows of the engine only the descriptor and the next deadline.
fn foreign_loop(engine: &Engine, mut done: impl FnMut() -> bool) {
    let hopeless = now() + Duration::from_secs(60);
    while !done() {
        let until = engine.next_deadline().unwrap_or(hopeless).min(hopeless);
        let left = until.saturating_duration_since(now());
        let left =
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        poll(&mut [PollFd::new(engine, PollFlags::IN)], Some(&left)).unwrap();
        assert!(now() < hopeless, "waited in vain");
        engine.run_once(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn promise_18_inside_another_loop_submissions_timers_and_streams_all_wake_it() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    // Submitted before the descriptor was ever asked for.
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

    // What a callback writes, and what a worker has done.
    told.take();
    let work = || 42;
    engine.submit_work(work, told.value("work"));
    foreign_loop(&engine, || told.len() == 1);
    assert_eq!(told.take(), ["work 42"]);
}

#[test]
fn promise_18_inside_another_loop_a_write_is_finished() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    engine.write(&stream, vec![7; 4 << 20], told.value("write"));
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        all.len()
    });
    foreign_loop(&engine, || !told.is_empty());
    engine.close(&stream, told.callback("close"));
    foreign_loop(&engine, || told.len() == 2);
    assert_eq!(told.take(), ["write 4194304", "close Ok"]);
    assert_eq!(reader.join().unwrap(), 4 << 20);
}

#[test]
fn promise_18_inside_another_loop_the_descriptor_is_quiet_when_nothing_is_to_be_done() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    // A few turns may find something left to do; then there must be an end of it.
    let is_quiet = |engine: &Engine| {
        for _ in 0..5 {
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            let readable = poll(&mut [PollFd::new(engine, PollFlags::IN)], Some(&at_once)).unwrap();
            if readable == 0 && engine.next_deadline().is_none() {
                return true;
            }
            engine.run_once(Some(Duration::ZERO)).unwrap();
        }
        false
    };
    assert!(is_quiet(&engine), "new");
    engine.read_line(&stream, told.callback("line"));
    peer.write_all(b"line\n").unwrap();
    foreign_loop(&engine, || !told.is_empty());
    assert!(is_quiet(&engine), "after a read");
    // Nobody reads what comes now, and nothing is pending.
    peer.write_all(b"unread").unwrap();
    assert!(is_quiet(&engine), "with bytes that nobody reads");
    drop(peer);
    assert!(is_quiet(&engine), "with an end that nobody reads");
    engine.handle().stop();
    assert!(is_quiet(&engine), "after a stop");
    thread::spawn({
        let handle = engine.handle().clone();
        move || drop(handle.keep_alive())
    })
    .join()
    .unwrap();
    assert!(is_quiet(&engine), "after a guard");
    drop(stream);
    assert!(is_quiet(&engine), "after a close");
}

#[test]
fn promise_18_inside_another_loop_what_came_before_the_descriptor_was_asked_for_wakes_it() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"line\n").unwrap();
    engine.read_line(&stream, told.value("line"));
    // The system has the read by the end of this turn, and may have done it already.
    turns(&engine, 1);
    foreign_loop(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["line b\"line\""]);
}

// Running inside a callback

#[test]
fn promise_03_running_the_engine_inside_its_callback_is_an_error_and_no_hang() {
    let engine = Rc::new(driver::engine());
    let heard = Outcome::<()>::new();
    let callback = heard.callback();
    let inner = Rc::downgrade(&engine);
    let local = Callback::local(&engine, move |local: &Local, _: Result<()>| {
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
    let callback = Callback::local(&outer, move |outer: &Local, _: Result<()>| {
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
    assert_eq!(engine.driver(), driver::NAME);
    let handle: &Handle = engine.handle();
    assert_eq!(handle.driver(), driver::NAME);
}

/// Where the system denies io_uring, asking for it says why, and `Auto` is the other driver.
#[test]
fn promise_19_a_driver_that_cannot_be_had_is_unsupported() {
    with_faults(
        module_path!(),
        "promise_19_a_driver_that_cannot_be_had_is_unsupported",
        [
            "io_uring_setup:error=EPERM",
            "io_uring_setup:error=ENOSYS",
            "io_uring_setup:error=ENOMEM",
            "io_uring_setup:error=EINVAL",
            "io_uring_register:error=EINVAL",
            "io_uring_enter:error=EPERM",
            "eventfd2:error=EMFILE:when=1",
        ],
        |fault| {
            let error = Engine::builder().driver(DriverChoice::IoUring).build().unwrap_err();
            let Error::Unsupported { what } = error else { panic!("{error:?}") };
            assert!(what.contains("io_uring"), "{what}");
            if fault.contains("when=1") {
                return;
            }
            let engine = Engine::new().unwrap();
            assert_eq!(engine.driver(), "mio");
            let told = Told::new();
            engine.sleep(Duration::ZERO, told.callback("slept"));
            engine.run().unwrap();
            assert_eq!(told.take(), ["slept Ok"]);
        },
    );
}

#[test]
fn promise_19_the_environment_wins_over_the_builder() {
    const CASE: &str = "FACADE_TEST_DRIVER_CASE";
    let build = |choice| Engine::builder().driver(choice).build();
    let named = |result: Result<Engine>| match result {
        Ok(engine) => engine.driver().to_owned(),
        Err(Error::Unsupported { what }) => format!("unsupported: {what}"),
        Err(error) => panic!("{error:?}"),
    };
    if let Ok(expected) = env::var(CASE) {
        for choice in [DriverChoice::Auto, DriverChoice::Mio, DriverChoice::IoUring] {
            let name = named(build(choice));
            assert!(name.contains(&expected), "{choice:?}: {name}");
        }
        return;
    }
    let (_, module) = module_path!().split_once("::").unwrap();
    let test = format!("{module}::promise_19_the_environment_wins_over_the_builder");
    let cases = [
        ("mio", "mio"),
        ("io_uring", "io_uring"),
        ("nonsense", "unsupported: FACADE_DRIVER=nonsense"),
    ];
    for (value, expected) in cases {
        // The environment is the whole process's, so each value has a process of its own.
        let output = Command::new(env::current_exe().unwrap())
            .args([&test, "--exact", "--nocapture"])
            .env("FACADE_DRIVER", value)
            .env(CASE, expected)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{value}: {output:?}");
    }
}
