//! Processes: their streams, their ends, and what becomes of them if nobody cares.

use std::{
    io::ErrorKind,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use facade_engine::{
    Bytes, Callback, Child, Engine, Error, Handle, IoOperation, Limits, Local, PtySize, Stream,
};
use facade_tests::{
    outcome::Outcome,
    peers::numbered,
    starting,
    told::{Basket, Told},
    turns::{turn_until, turns},
};

use super::driver;

/// A program that does what its argument says.
const CHILD: &str = env!("CARGO_BIN_EXE_facade-test-child");

fn child(argument: &str) -> Command {
    let mut command = Command::new(CHILD);
    command.arg(argument);
    command
}

/// One whose input and output are ours.
fn piped(argument: &str) -> Command {
    let mut command = child(argument);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn start(engine: &Engine, command: impl Fn() -> Command) -> Child {
    let started = Outcome::new();
    let spawn = || {
        engine.spawn(command(), started.callback());
        turn_until(engine, || started.is_there());
        started.take()
    };
    starting::start(spawn, Error::raw_os_error).unwrap()
}

fn wait(engine: &Engine, child: &Child) -> ExitStatus {
    let ended = Outcome::new();
    engine.wait(child, ended.callback());
    turn_until(engine, || ended.is_there());
    ended.value()
}

#[test]
fn a_childs_pipes_are_streams_and_its_end_is_told() {
    let engine = driver::engine();
    let child = start(&engine, || piped("cat"));
    let (stdin, stdout) = (child.stdin.clone().unwrap(), child.stdout.clone().unwrap());
    assert!(child.stderr.is_none(), "it is not piped");
    let told = Told::new();
    engine.wait(&child, told.callback("wait"));
    engine.write(&stdin, "line\n", told.value("write"));
    engine.read_line(&stdout, told.value("read"));
    turn_until(&engine, || told.len() == 2);
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["read b\"line\"", "write 5"]);
    // Much of it, both ways at once; and the end of what it reads is its end.
    let (all, bytes) = (Outcome::<Bytes>::new(), numbered(300_000));
    engine.read_all(&stdout, all.callback());
    engine.write(&stdin, bytes.clone(), Callback::ignore());
    engine.close(&stdin, told.callback("close"));
    engine.run().unwrap();
    assert!(all.value() == bytes);
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["close Ok", "wait Ok"]);
    assert!(wait(&engine, &child).success());
}

#[test]
fn every_wait_gets_the_same_end_before_and_after_it() {
    let engine = driver::engine();
    let child = start(&engine, || {
        let mut command = piped("exit");
        command.arg("42");
        command
    });
    let ends = Basket::<ExitStatus>::new();
    engine.wait(&child, ends.callback());
    engine.wait(&child.clone(), ends.callback());
    drop(child.stdin.clone());
    let stdin = child.stdin.clone().unwrap();
    engine.close(&stdin, Callback::ignore());
    engine.run().unwrap();
    engine.wait(&child, ends.callback());
    assert_eq!(ends.len(), 2, "never inside the call");
    engine.run().unwrap();
    let codes: Vec<_> = ends.take().iter().map(ExitStatus::code).collect();
    assert_eq!(codes, [Some(42); 3]);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let engine = driver::engine();
    let outcome = Outcome::<Child>::new();
    engine.spawn(Command::new("facade-no-such-program"), outcome.callback());
    engine.run().unwrap();
    let error = outcome.error();
    let Error::Io { operation: IoOperation::Spawn, cause } = &error else { panic!("{error:?}") };
    assert_eq!((cause.kind(), cause.on()), (ErrorKind::NotFound, Some("facade-no-such-program")));
    assert!(error.to_string().starts_with("spawn facade-no-such-program: "), "{error}");
}

#[test]
fn killing_ends_it_and_does_nothing_afterwards() {
    let engine = driver::engine();
    let child = start(&engine, || child("wait"));
    let told = Told::new();
    engine.wait(&child, told.callback("wait"));
    turns(&engine, 3);
    assert!(told.is_empty(), "{:?}", told.take());
    engine.kill(&child).unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["wait Ok"]);
    assert!(!wait(&engine, &child).success());
    engine.kill(&child).unwrap();
}

#[test]
fn promise_06_a_wait_that_is_cancelled_or_expired_loses_nothing() {
    let engine = driver::engine();
    let child = start(&engine, || child("wait"));
    let told = Told::new();
    let cancel = engine.wait(&child, told.callback("cancelled"));
    engine.wait(&child, told.timeout(Duration::from_millis(1)).callback("expired"));
    engine.wait(&child, told.timeout(Duration::ZERO).callback("at once"));
    turns(&engine, 1);
    assert!(cancel.cancel());
    turn_until(&engine, || told.len() == 3);
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["at once TimedOut", "cancelled Cancelled", "expired TimedOut"]);
    engine.wait(&child, told.callback("another"));
    engine.kill(&child).unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["another Ok"]);
    engine.wait(&child, told.timeout(Duration::ZERO).callback("has ended"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["has ended Ok"]);
}

#[test]
fn promise_06_a_start_that_is_cancelled_or_expired_is_reported_at_once() {
    let engine = driver::engine();
    let told = Told::new();
    let cancel = engine.spawn(piped("cat"), told.callback("before"));
    assert!(cancel.cancel());
    engine.spawn(piped("cat"), told.timeout(Duration::ZERO).callback("expired"));
    let cancel = engine.spawn(piped("cat"), told.callback("under way"));
    turns(&engine, 1);
    cancel.cancel();
    turns(&engine, 2);
    let notes = told.take();
    assert_eq!(notes.len(), 3);
    assert!(notes.contains(&"before Cancelled".to_owned()), "{notes:?}");
}

#[test]
fn promise_14_starts_behind_a_full_queue_are_overload() {
    let engine = driver::builder().limits(Limits { jobs: 2, ..Limits::default() }).build().unwrap();
    let told = Told::new();
    let note = told.clone();
    engine.post(move |local| {
        for _ in 0..200 {
            let mut command = child("echo");
            command.stdout(Stdio::null());
            local.spawn(command, note.callback("spawn"));
        }
    });
    engine.run().unwrap();
    let notes = told.take();
    assert_eq!(notes.len(), 200);
    let overloaded = notes.iter().filter(|note| *note == "spawn Overloaded").count();
    assert!((1..200).contains(&overloaded), "{overloaded}");
    assert!(notes.iter().all(|note| ["spawn Ok", "spawn Overloaded"].contains(&&**note)));
}

#[test]
fn promise_16_a_process_outlives_its_engine() {
    let engine = driver::engine();
    let child = start(&engine, || piped("cat"));
    let told = Told::new();
    engine.wait(&child, told.callback("wait"));
    engine.spawn(piped("cat"), told.callback("spawn"));
    drop(engine);
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert_eq!(notes[1], "wait EngineClosed");
    // What only looks at the process works as before.
    child.handle().wait(&child, told.callback("refused"));
    assert!(child.handle().is_closed());
    assert_ne!(child.id(), 0);
    child.handle().kill(&child).unwrap();
    assert!(told.is_empty());
}

#[test]
fn processes_are_started_and_waited_for_from_any_thread() {
    let engine = driver::engine();
    let handle: Handle = engine.handle().clone();
    let ends = Basket::<ExitStatus>::new();
    let (guard, ended) = (engine.keep_alive(), ends.callback());
    let another = handle.clone();
    let started = move |_: &Local, child: Child| {
        thread::spawn(move || {
            another.wait(&child, ended);
            drop(guard);
        });
    };
    thread::spawn(move || {
        let mut command = child("exit");
        command.arg("7").stdin(Stdio::null());
        handle.spawn(command, Callback::new(started, |_, error| panic!("{error}")));
    });
    engine.run().unwrap();
    assert_eq!(ends.only().code(), Some(7));
}

#[test]
fn a_child_that_is_dropped_goes_on() {
    let engine = driver::engine();
    let mut child = start(&engine, || piped("cat"));
    let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    drop(child);
    let told = Told::new();
    engine.write(&stdin, "still there\n", Callback::ignore());
    engine.read_line(&stdout, told.value("read"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["read b\"still there\""]);
    drop(stdin);
    engine.read_all(&stdout, told.value("end"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["end b\"\""]);
}

#[test]
fn a_child_that_is_to_be_killed_when_it_is_dropped_is() {
    let engine = driver::engine();
    let child = start(&engine, || piped("cat"));
    let stdout = child.stdout.clone().unwrap();
    let stdin = child.stdin.clone().unwrap();
    child.set_kill_on_drop(true);
    let told = Told::new();
    engine.wait(&child, told.callback("wait"));
    engine.read_all(&stdout, told.value("end"));
    let another = child.clone();
    drop(child);
    turns(&engine, 3);
    assert!(told.is_empty(), "a clone lives");
    drop(another);
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["end b\"\"", "wait Ok"]);
    drop(stdin);
}

#[test]
fn what_is_pending_names_the_process() {
    let engine = driver::engine();
    let child = start(&engine, || child("wait"));
    assert_eq!(engine.pending(), [], "a process that nobody waits for keeps no run going");
    engine.run().unwrap();
    engine.wait(&child, Callback::ignore().timeout(Duration::from_secs(1000)));
    turns(&engine, 1);
    let pending = engine.pending();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].to_string(), format!("wait on process {}", child.id()));
    assert!(pending[0].deadline.is_some());
    engine.kill(&child).unwrap();
    engine.run().unwrap();
}

#[test]
fn a_child_without_a_terminal_has_no_size() {
    let engine = driver::engine();
    let child = start(&engine, || child("echo"));
    let refused = engine.resize(&child, PtySize::default());
    assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{refused:?}");
    assert!(wait(&engine, &child).success());
}

#[test]
fn where_there_are_no_terminals_for_processes_they_are_refused() {
    let engine = driver::engine();
    let told = Told::new();
    engine.spawn_pty(child("echo"), PtySize::default(), told.callback::<(Child, Stream)>("pty"));
    engine.run().unwrap();
    let expected = if cfg!(windows) { "pty Unsupported" } else { "pty Ok" };
    assert_eq!(told.take(), [expected]);
}
