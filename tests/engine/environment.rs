//! What surrounds an engine: loops of others, a system that denies it a driver, the environment.

use std::{
    env, fs,
    io::{Read, Write},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use facade_engine::{Callback, DriverChoice, Engine, Error, Result};
use facade_tests::{faults::with_faults, told::Told, turns::turns};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::driver::{self, now, pair, pass};

#[test]
fn promise_18_an_idle_engine_makes_no_system_calls() {
    let (idle, is_idle) = mpsc::channel();
    let runner = thread::spawn(move || {
        let engine = driver::engine();
        let _guard = engine.keep_alive();
        let listener = engine.listen("127.0.0.1:0").unwrap();
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
        ("iouring", "unsupported: FACADE_DRIVER=iouring: it can be auto, mio or io_uring"),
        ("MIO", "unsupported: FACADE_DRIVER=MIO: it can be auto, mio or io_uring"),
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
