//! Processes as Unix has them: zombies, signals, descriptors that are inherited, and what the system
//! refuses.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use facade_engine::{Bytes, Callback, Child, Engine, Error, PtySize, Stream};
use facade_tests::{
    alone::{alone, descriptors},
    children::{children, state},
    faults::with_faults,
    forks::{forked, ignore_children},
    outcome::Outcome,
    told::{Basket, Told},
    turns::{turn_until, turns},
};

use super::driver;

/// A shell that shares nothing with this process: a test that fails may leave it behind.
fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn start(engine: &Engine, command: Command) -> Child {
    let started = Outcome::new();
    engine.spawn(command, started.callback());
    turn_until(engine, || started.is_there());
    started.value()
}

fn wait(engine: &Engine, child: &Child) -> ExitStatus {
    let ended = Outcome::new();
    engine.wait(child, ended.callback());
    turn_until(engine, || ended.is_there());
    ended.value()
}

#[test]
fn promise_09_a_thousand_children_leave_no_zombie_and_no_descriptor() {
    let name = "promise_09_a_thousand_children_leave_no_zombie_and_no_descriptor";
    alone(module_path!(), name, || {
        let engine = driver::engine();
        let _guard = engine.keep_alive();
        let round = |count: usize| {
            let ends = Basket::<ExitStatus>::new();
            for at in 0..count {
                let ended = ends.callback();
                let mut command = Command::new("true");
                command.stdin(Stdio::piped()).stdout(Stdio::piped());
                let started = move |local: &facade_engine::Local, child: Child| {
                    // Every third is dropped, and nobody waits for it.
                    match at % 3 {
                        0 => local.complete(ended, Ok(ExitStatus::default())),
                        _ => local.wait(&child, ended),
                    };
                };
                engine.spawn(command, Callback::new(started, |_, error| panic!("{error}")));
            }
            turn_until(&engine, || ends.len() == count);
            assert!(ends.take().iter().all(ExitStatus::success));
            // Those that nobody waits for end as well.
            turn_until(&engine, || children().is_empty());
            turns(&engine, 3);
        };
        round(20);
        let before = descriptors();
        (0..25).for_each(|_| round(40));
        assert_eq!(descriptors(), before);
        assert_eq!(children(), []);
    });
}

#[test]
fn a_child_that_nobody_waits_for_is_no_zombie() {
    alone(module_path!(), "a_child_that_nobody_waits_for_is_no_zombie", || {
        let engine = driver::engine();
        let kept = start(&engine, shell("exit 3"));
        drop(start(&engine, shell("exit 4")));
        let _guard = engine.keep_alive();
        turn_until(&engine, || children().is_empty());
        assert_eq!(wait(&engine, &kept).code(), Some(3), "heard of, and not forgotten");
    });
}

#[test]
fn an_engine_that_goes_hears_of_what_has_ended() {
    alone(module_path!(), "an_engine_that_goes_hears_of_what_has_ended", || {
        let engine = driver::engine();
        let child = start(&engine, shell("exit 3"));
        while state(child.id()).is_some_and(|state| state != "Z") {
            driver::pass(Duration::from_millis(1));
        }
        drop(engine);
        assert_eq!(children(), []);
    });
}

#[test]
fn promise_06_a_start_that_nobody_takes_leaves_no_process() {
    alone(module_path!(), "promise_06_a_start_that_nobody_takes_leaves_no_process", || {
        let engine = driver::engine();
        let told = Told::new();
        let _guard = engine.keep_alive();
        for turns_between in 0..20 {
            let cancel = engine.spawn(shell("exec sleep 30"), told.callback("spawn"));
            for _ in 0..turns_between {
                turns(&engine, 1);
                driver::pass(Duration::from_micros(100));
            }
            cancel.cancel();
            turn_until(&engine, || !told.is_empty());
            if told.take() == ["spawn Ok"] {
                break;
            }
        }
        // The last one may have been given out.
        turn_until(&engine, || children().len() <= 1);
        let left = children().len();
        engine.spawn(shell("exec sleep 1000"), told.dropping_claims().callback("claim"));
        turn_until(&engine, || !told.is_empty());
        assert_eq!(told.take(), ["claim dropped"]);
        turn_until(&engine, || children().len() == left);
    });
}

#[test]
fn how_it_has_ended_is_told_as_wait_would() {
    let engine = driver::engine();
    for (script, code, signal, core) in [
        ("exit 0", Some(0), None, false),
        ("exit 255", Some(255), None, false),
        ("kill -TERM $$", None, Some(libc::SIGTERM), false),
        ("kill -KILL $$", None, Some(libc::SIGKILL), false),
    ] {
        let child = start(&engine, shell(script));
        let status = wait(&engine, &child);
        assert_eq!((status.code(), status.signal(), status.core_dumped()), (code, signal, core));
        let of_std = shell(script).status().unwrap();
        assert_eq!(status, of_std, "{script}");
    }
}

#[test]
fn signals_go_to_the_process_and_to_no_other() {
    let engine = driver::engine();
    let mut command =
        shell("trap 'echo heard; exit 5' USR1; echo ready; while :; do sleep 0.01; done");
    command.stdout(Stdio::piped());
    let child = start(&engine, command);
    let told = Told::new();
    let stdout = child.stdout.clone().unwrap();
    engine.read_line(&stdout, told.value("line"));
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["line b\"ready\""]);
    for number in [0, -1, 4711, i32::MIN] {
        let refused = engine.send_signal(&child, number);
        assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{number}: {refused:?}");
    }
    engine.send_signal(&child, libc::SIGUSR1).unwrap();
    engine.read_line(&stdout, told.value("line"));
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["line b\"heard\""]);
    assert_eq!(wait(&engine, &child).code(), Some(5));
    let gone = engine.send_signal(&child, libc::SIGUSR1).unwrap_err();
    assert_eq!(gone.raw_os_error(), Some(libc::ESRCH));
    let text = format!("signal process {}: ", child.id());
    assert!(gone.to_string().starts_with(&text), "{gone}");
}

#[test]
fn a_child_inherits_no_descriptor_of_the_engines() {
    alone(module_path!(), "a_child_inherits_no_descriptor_of_the_engines", || {
        let lister = || {
            let mut lister = shell("for fd in /proc/$$/fd/*; do echo -n \"${fd##*/} \"; done");
            lister.stdout(Stdio::piped());
            lister
        };
        // Whoever runs the tests may leave some open.
        let before = lister().output().unwrap().stdout;
        assert!(!before.is_empty());
        let engine = driver::engine();
        let listener = engine.listen("127.0.0.1:0").unwrap();
        let (_peer, _stream) = driver::pair(&engine);
        let file = engine.attach_file(tempfile::tempfile().unwrap()).unwrap();
        let mut sleeper = shell("exec sleep 1000");
        sleeper.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let sleeper = start(&engine, sleeper);
        let terminals = Basket::<(Child, Stream)>::new();
        engine.spawn_pty(shell("exec sleep 1000"), PtySize::default(), terminals.callback());
        turn_until(&engine, || terminals.len() == 1);
        let (in_terminal, terminal) = terminals.only();
        engine.wait(&sleeper, Callback::ignore());
        turns(&engine, 2);
        let listing = start(&engine, lister());
        let seen = Outcome::<Bytes>::new();
        engine.read_all(listing.stdout.as_ref().unwrap(), seen.callback());
        turn_until(&engine, || seen.is_there());
        assert_eq!(seen.value(), before);
        engine.spawn_pty(lister(), PtySize::default(), terminals.callback());
        turn_until(&engine, || terminals.len() == 1);
        let seen = Outcome::<Bytes>::new();
        engine.read_all(&terminals.only().1, seen.callback());
        turn_until(&engine, || seen.is_there());
        assert_eq!(seen.value(), before);
        for child in [&sleeper, &in_terminal] {
            engine.kill(child).unwrap();
        }
        engine.run().unwrap();
        drop((listener, file, terminal));
    });
}

#[test]
fn an_end_that_somebody_else_has_heard_of_is_an_error() {
    alone(module_path!(), "an_end_that_somebody_else_has_heard_of_is_an_error", || {
        ignore_children();
        let engine = driver::engine();
        let child = start(&engine, shell("read line"));
        let ended = Outcome::<ExitStatus>::new();
        engine.wait(&child, ended.callback());
        turn_until(&engine, || ended.is_there());
        let error = ended.error();
        assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
        let text = format!("wait for process {}: ", child.id());
        assert!(error.to_string().starts_with(&text), "{error}");
        engine.kill(&child).unwrap();
    });
}

#[test]
fn in_the_child_of_a_fork_a_process_is_its_parents() {
    alone(module_path!(), "in_the_child_of_a_fork_a_process_is_its_parents", || {
        let engine = driver::engine();
        let child = start(&engine, shell("exec sleep 1000"));
        child.set_kill_on_drop(true);
        let mut ours = Some(child);
        assert!(forked(|| {
            let child = ours.take().unwrap();
            let handle = child.handle().clone();
            assert!(matches!(handle.kill(&child), Err(Error::Forked)));
            assert!(matches!(handle.send_signal(&child, libc::SIGTERM), Err(Error::Forked)));
            assert!(matches!(handle.resize(&child, PtySize::default()), Err(Error::Forked)));
            handle.wait(&child, Callback::from_fn(|_, _| panic!("run in the child")));
            drop(child);
        }));
        let child = ours.take().unwrap();
        assert_ne!(state(child.id()).as_deref(), Some("Z"), "it lives");
        engine.kill(&child).unwrap();
        assert_eq!(wait(&engine, &child).signal(), Some(libc::SIGKILL));
    });
}

#[test]
fn promise_09_a_start_that_the_system_refuses_leaves_nothing() {
    let name = "promise_09_a_start_that_the_system_refuses_leaves_nothing";
    let faults = ["pipe2:error=EMFILE:when=1", "pipe2:error=EMFILE:when=2", "pipe2:error=ENFILE"];
    with_faults(module_path!(), name, faults, |fault| {
        let engine = driver::engine();
        engine.submit_work(|| (), Callback::ignore());
        engine.run().unwrap();
        let before = descriptors();
        let mut command = shell("exec sleep 1000");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let outcome = Outcome::<Child>::new();
        engine.spawn(command, outcome.callback());
        engine.run().unwrap();
        let error = outcome.error();
        let code = if fault.contains("ENFILE") { libc::ENFILE } else { libc::EMFILE };
        assert_eq!(error.raw_os_error(), Some(code), "{error}");
        assert!(error.to_string().starts_with("spawn sh: "), "{error}");
        assert_eq!((descriptors(), children()), (before, vec![]));
    });
}

/// As on systems that have none, and where none is left.
#[test]
fn without_a_descriptor_of_the_process_a_thread_waits() {
    let name = "without_a_descriptor_of_the_process_a_thread_waits";
    let faults = ["pidfd_open:error=ENOSYS", "pidfd_open:error=EMFILE"];
    with_faults(module_path!(), name, faults, |_| {
        let engine = driver::engine();
        let child = start(&engine, shell("exit 9"));
        assert_eq!(wait(&engine, &child).code(), Some(9));
        let child = start(&engine, shell("exec sleep 1000"));
        let told = Told::new();
        engine.wait(&child, told.timeout(Duration::from_millis(1)).callback("expired"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["expired TimedOut"]);
        engine.send_signal(&child, libc::SIGTERM).unwrap();
        assert_eq!(wait(&engine, &child).signal(), Some(libc::SIGTERM));
        drop(start(&engine, shell("exit 4")));
        let _guard = engine.keep_alive();
        turn_until(&engine, || children().is_empty());
    });
}
