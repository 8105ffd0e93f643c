//! Signals of the process: each test is in one of its own, since all of it hears of them.

use std::{fs, path::Path, thread, time::Duration};

use facade_engine::{Callback, Cancel, Engine, Local};
use facade_tests::{
    alone::alone,
    forks::forked,
    told::Told,
    turns::{SOON, turn_until, turns},
};
use libc::{SIGBUS, SIGKILL, SIGSEGV, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2};
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::low_level::raise;

use super::driver;

#[test]
fn everybody_who_waits_for_a_signal_is_told() {
    alone(module_path!(), "everybody_who_waits_for_a_signal_is_told", || {
        let (engine, other) = (driver::engine(), driver::engine());
        let told = Told::new();
        engine.signal(SIGUSR1, told.callback("first"));
        engine.signal(SIGUSR1, told.callback("second"));
        engine.signal(SIGUSR2, told.callback("other signal"));
        other.signal(SIGUSR1, told.callback("other engine"));
        turns(&engine, 2);
        assert!(told.is_empty(), "none has come");
        raise(SIGUSR1).unwrap();
        turns(&engine, 1);
        assert_eq!(told.take(), ["first Ok", "second Ok"]);
        turns(&other, 1);
        assert_eq!(told.take(), ["other engine Ok"]);
        raise(SIGUSR2).unwrap();
        engine.run().unwrap();
        assert_eq!(told.take(), ["other signal Ok"]);
    });
}

#[test]
fn a_signal_ends_the_sleep_of_an_engine() {
    alone(module_path!(), "a_signal_ends_the_sleep_of_an_engine", || {
        let engine = driver::engine();
        let told = Told::new();
        // From a thread, which waits until the engine sleeps.
        let handle = engine.handle().clone();
        engine.signal(SIGUSR1, told.callback("one"));
        let sender = thread::spawn(move || {
            driver::pass(Duration::from_millis(20));
            kill_process(getpid(), Signal::USR1).unwrap();
            handle.signal(SIGUSR2, Callback::new(|_, ()| (), |_, error| panic!("{error}")));
            driver::pass(Duration::from_millis(20));
            kill_process(getpid(), Signal::USR2).unwrap();
        });
        engine.run().unwrap();
        assert_eq!(told.take(), ["one Ok"]);
        let _guard = engine.keep_alive();
        turn_until(&engine, || sender.is_finished());
        sender.join().unwrap();
    });
}

#[test]
fn the_process_does_not_end_of_a_signal_from_the_call_on() {
    alone(module_path!(), "the_process_does_not_end_of_a_signal_from_the_call_on", || {
        let engine = driver::engine();
        let told = Told::new();
        engine.signal(SIGTERM, told.callback("term"));
        // Before the engine has had a turn.
        raise(SIGTERM).unwrap();
        engine.run().unwrap();
        assert_eq!(told.take(), ["term Ok"]);
        engine.signal(SIGTERM, told.callback("term"));
        drop(engine);
        assert_eq!(told.take(), ["term EngineClosed"]);
        raise(SIGTERM).unwrap();
        let engine = driver::engine();
        engine.signal(SIGTERM, told.callback("of another"));
        turns(&engine, 2);
        assert!(told.is_empty(), "what came before is nobody's");
    });
}

#[test]
fn promise_08_a_signal_that_comes_between_two_operations_is_kept_once() {
    let name = "promise_08_a_signal_that_comes_between_two_operations_is_kept_once";
    alone(module_path!(), name, || {
        let engine = driver::engine();
        let told = Told::new();
        engine.signal(SIGUSR1, told.callback("first"));
        raise(SIGUSR1).unwrap();
        engine.run().unwrap();
        let guard = engine.keep_alive();
        raise(SIGUSR1).unwrap();
        turns(&engine, 1);
        raise(SIGUSR1).unwrap();
        turns(&engine, 1);
        engine.signal(SIGUSR1, told.callback("kept"));
        engine.signal(SIGUSR1, told.callback("waits"));
        turns(&engine, 2);
        assert_eq!(told.take(), ["first Ok", "kept Ok"]);
        // A claim that is dropped has not taken it.
        raise(SIGUSR1).unwrap();
        turns(&engine, 1);
        assert_eq!(told.take(), ["waits Ok"]);
        engine.signal(SIGUSR1, told.dropping_claims().callback("claim"));
        raise(SIGUSR1).unwrap();
        turns(&engine, 1);
        assert_eq!(told.take(), ["claim dropped"]);
        engine.signal(SIGUSR1, told.callback("given back"));
        turns(&engine, 2);
        assert_eq!(told.take(), ["given back Ok"]);
        drop(guard);
        turns(&engine, 1);
        assert_eq!(engine.run_once(Some(Duration::ZERO)).unwrap().pending, 0);
    });
}

#[test]
fn promise_06_a_wait_that_is_cancelled_or_expired_takes_no_signal() {
    let name = "promise_06_a_wait_that_is_cancelled_or_expired_takes_no_signal";
    alone(module_path!(), name, || {
        let engine = driver::engine();
        let told = Told::new();
        let cancel = engine.signal(SIGUSR1, told.callback("cancelled"));
        turns(&engine, 1);
        assert!(cancel.cancel());
        engine.signal(SIGUSR1, told.timeout(Duration::from_millis(1)).callback("expired"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["cancelled Cancelled", "expired TimedOut"]);
        cancel.cancel();
        raise(SIGUSR1).unwrap();
        turns(&engine, 1);
        engine.signal(SIGUSR1, told.callback("next"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["next Ok"]);
        // What came before is a success, whatever else is true.
        let cancel = engine.signal(SIGUSR1, told.callback("in time"));
        let timed = told.timeout(Duration::ZERO);
        turns(&engine, 1);
        engine.signal(SIGUSR1, timed.callback("in time, too"));
        raise(SIGUSR1).unwrap();
        assert!(cancel.cancel());
        turns(&engine, 2);
        assert_eq!(told.take(), ["in time Ok", "in time, too Ok"]);
        // A claim that waits for its callback is given back by a cancel.
        let claimed = engine.signal(SIGUSR1, told.dropping_claims().callback("claim"));
        turns(&engine, 1);
        let other = told.clone();
        engine.post(move |local| {
            raise(SIGUSR1).unwrap();
            assert!(claimed.cancel());
            local.signal(SIGUSR1, other.callback("behind it"));
        });
        turns(&engine, 3);
        let told = told.take();
        assert!(
            told == ["claim Cancelled", "behind it Ok"]
                || told == ["claim dropped", "behind it Ok"],
            "{told:?}"
        );
    });
}

#[test]
fn a_number_that_is_no_signal_to_wait_for_is_refused() {
    alone(module_path!(), "a_number_that_is_no_signal_to_wait_for_is_refused", || {
        let engine = driver::engine();
        let told = Told::new();
        for number in [SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, 0, -1, 4711, i32::MAX, i32::MIN] {
            told.submitting(|| engine.signal(number, told.callback(number)));
            engine.run().unwrap();
            assert_eq!(told.take(), [format!("{number} InvalidInput")]);
        }
    });
}

#[test]
fn a_child_of_a_fork_that_gets_a_signal_does_not_disturb_its_parent() {
    let name = "a_child_of_a_fork_that_gets_a_signal_does_not_disturb_its_parent";
    alone(module_path!(), name, || {
        let engine = driver::engine();
        let told = Told::new();
        engine.signal(SIGUSR1, told.callback("parent"));
        turns(&engine, 2);
        assert!(forked(|| {
            raise(SIGUSR1).unwrap();
            engine.signal(SIGUSR1, Callback::from_fn(|_, _| panic!("run in the child")));
            let ours = driver::engine();
            let told = Told::new();
            ours.signal(SIGUSR1, told.callback("child"));
            turns(&ours, 2);
            assert!(told.is_empty());
            raise(SIGUSR1).unwrap();
            ours.run().unwrap();
            assert_eq!(told.take(), ["child Ok"]);
        }));
        turns(&engine, 2);
        assert!(told.is_empty());
        raise(SIGUSR1).unwrap();
        engine.run().unwrap();
        assert_eq!(told.take(), ["parent Ok"]);
    });
}

/// A library does not block signals in threads that it does not own.
#[test]
fn no_thread_has_a_signal_blocked() {
    alone(module_path!(), "no_thread_has_a_signal_blocked", || {
        let mask_in = |status: &Path| {
            let status = fs::read_to_string(status).unwrap_or_default();
            status.lines().find(|line| line.starts_with("SigBlk:")).map(str::to_owned)
        };
        let ours = mask_in(Path::new("/proc/thread-self/status")).unwrap();
        // Of a thread that begins all are blocked, for a moment.
        let all_are_ours = || {
            let mut tasks = fs::read_dir("/proc/self/task").unwrap();
            tasks.all(|task| {
                let mask = mask_in(&task.unwrap().path().join("status"));
                mask.is_none_or(|mask| mask == ours)
            })
        };
        let engine = driver::engine();
        engine.submit_work(|| (), Callback::ignore());
        engine.signal(SIGUSR1, Callback::ignore());
        turns(&engine, 3);
        raise(SIGUSR1).unwrap();
        turns(&engine, 3);
        turn_until(&engine, all_are_ours);
    });
}

#[test]
fn a_storm_of_signals_loses_not_the_last_and_disturbs_nobody() {
    let name = "a_storm_of_signals_loses_not_the_last_and_disturbs_nobody";
    alone(module_path!(), name, || {
        fn again(local: &Local, told: Told) {
            let next = told.clone();
            local.signal(
                SIGUSR1,
                Callback::new(
                    move |local, ()| {
                        next.note("USR1");
                        again(local, next);
                    },
                    |_, error| panic!("{error}"),
                ),
            );
        }
        let engine = driver::engine();
        let told = Told::new();
        again(&engine, told.clone());
        let storm = thread::spawn(|| {
            for _ in 0..20_000 {
                kill_process(getpid(), Signal::USR1).unwrap();
            }
        });
        let (mut echoed, work) = (0, Told::new());
        while !storm.is_finished() {
            engine.submit_work(|| 7, work.value("work"));
            turn_until(&engine, || !work.is_empty());
            assert_eq!(work.take(), ["work 7"]);
            echoed += 1;
        }
        storm.join().unwrap();
        assert!(echoed > 0);
        // Whatever came last was told, and one more is.
        turns(&engine, 3);
        assert!(!told.take().is_empty());
        kill_process(getpid(), Signal::USR1).unwrap();
        turn_until(&engine, || !told.is_empty());
    });
}

/// Notes each time that the signal has come, and the end.
fn note_each(engine: &Engine, number: i32, told: &Told) -> Cancel {
    let note = told.clone();
    let f = move |_: &Local, ()| note.note("came");
    told.submitting(|| engine.each_signal(number, f, told.callback("end")))
}

#[test]
fn each_time_that_it_comes_is_told_and_many_at_once_are_one() {
    alone(module_path!(), "each_time_that_it_comes_is_told_and_many_at_once_are_one", || {
        let (engine, other) = (driver::engine(), driver::engine());
        let told = Told::new();
        // It was waited for before, so it is kept.
        let awake = engine.keep_alive();
        engine.signal(SIGUSR1, Callback::ignore()).cancel();
        turns(&engine, 2);
        raise(SIGUSR1).unwrap();
        turns(&engine, 2);
        drop(awake);
        let cancel = note_each(&engine, SIGUSR1, &told);
        turns(&engine, 2);
        assert_eq!(told.take(), ["came"]);
        // Everybody who waits is told, whether it repeats or not, of this engine or another.
        let second = note_each(&engine, SIGUSR1, &told);
        engine.signal(SIGUSR1, told.callback("once"));
        note_each(&other, SIGUSR1, &told);
        turns(&engine, 2);
        for _ in 0..3 {
            raise(SIGUSR1).unwrap();
        }
        turns(&engine, 3);
        let mut heard = told.take();
        heard.sort();
        assert_eq!(heard, ["came", "came", "once Ok"]);
        turns(&other, 3);
        assert_eq!(told.take(), ["came"]);
        assert!(second.cancel());
        turns(&engine, 2);
        assert_eq!(told.take(), ["end Cancelled"]);
        assert!(cancel.cancel());
        engine.run().unwrap();
        assert_eq!(told.take(), ["end Cancelled"]);
    });
}

#[test]
fn promise_06_a_repeating_wait_that_ends_gives_back_what_it_was_not_told_of() {
    let name = "promise_06_a_repeating_wait_that_ends_gives_back_what_it_was_not_told_of";
    alone(module_path!(), name, || {
        let engine = driver::engine();
        let told = Told::new();
        let cancel = note_each(&engine, SIGUSR1, &told.timeout(SOON));
        let pause = cancel.pause();
        turns(&engine, 2);
        raise(SIGUSR1).unwrap();
        turns(&engine, 2);
        // While it is paused it is told of none, and has all the time there is.
        driver::pass(SOON * 2);
        turns(&engine, 2);
        assert!(told.is_empty());
        assert!(cancel.cancel());
        drop(pause);
        engine.run().unwrap();
        assert_eq!(told.take(), ["end Cancelled"]);
        engine.signal(SIGUSR1, told.callback("next"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["next Ok"]);
        // Its timeout bounds the wait for each.
        note_each(&engine, SIGUSR1, &told.timeout(SOON));
        turns(&engine, 2);
        for _ in 0..2 {
            driver::pass(SOON * 2);
            raise(SIGUSR1).unwrap();
            turns(&engine, 3);
            assert_eq!(told.take(), ["came"]);
        }
        driver::pass(SOON * 2);
        engine.run().unwrap();
        assert_eq!(told.take(), ["end TimedOut"]);
        note_each(&engine, SIGKILL, &told);
        engine.run().unwrap();
        assert_eq!(told.take(), ["end InvalidInput"]);
    });
}
