//! An engine inside the loop of another program, which waits for its descriptor.

use std::{
    io::{Read, Write},
    os::fd::AsFd,
    sync::mpsc,
    thread,
    time::Duration,
};

use facade_engine::Engine;
use facade_tests::{
    told::Told,
    turns::{turn_until, turns},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::driver::{self, now, pair};

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

#[test]
fn a_foreign_loop_hears_of_what_is_done_with_a_file() {
    let engine = driver::engine();
    let file = engine.attach_file(tempfile::tempfile().unwrap()).unwrap();
    let told = Told::new();
    _ = engine.as_fd();
    engine.write_at(&file, 0, vec![1; 1 << 20], told.value("write"));
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["write 1048576"]);
}
