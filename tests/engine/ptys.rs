//! Processes in terminals of their own, pty(7): a real shell.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus},
};

use facade_engine::{Callback, Child, Engine, Error, PtySize, Regex, RegexMatch, Stream};
use facade_tests::{
    alone::{alone, descriptors},
    outcome::Outcome,
    told::{Basket, Told},
    turns::turn_until,
};

use super::driver;

/// What the shell says when it waits for a command.
const PROMPT: &str = "ready> ";

fn start(engine: &Engine, command: Command, size: PtySize) -> (Child, Stream) {
    let started = Outcome::new();
    engine.spawn_pty(command, size, started.callback());
    turn_until(engine, || started.is_there());
    started.value()
}

/// A bash that reads no settings and does not edit lines.
fn bash(engine: &Engine, size: PtySize) -> (Child, Stream) {
    let mut command = Command::new("bash");
    command.args(["--norc", "--noprofile", "--noediting", "-i"]).env("PS1", PROMPT);
    let (child, terminal) = start(engine, command, size);
    expect(engine, &terminal, PROMPT);
    (child, terminal)
}

fn expect(engine: &Engine, terminal: &Stream, pattern: &str) -> String {
    let found = Outcome::<RegexMatch>::new();
    engine.read_until_regex(terminal, Regex::new(pattern).unwrap(), found.callback());
    turn_until(engine, || found.is_there());
    let found = found.value();
    let group = found.group(1).unwrap_or(found.bytes);
    String::from_utf8(group.to_vec()).unwrap()
}

fn wait(engine: &Engine, child: &Child) -> ExitStatus {
    let ended = Outcome::new();
    engine.wait(child, ended.callback());
    turn_until(engine, || ended.is_there());
    ended.value()
}

#[test]
fn a_shell_sees_a_terminal_of_this_size_and_is_told_when_it_changes() {
    let engine = driver::engine();
    let (child, terminal) = bash(&engine, PtySize { rows: 33, cols: 99, ..PtySize::default() });
    engine.write_line(&terminal, "stty size; tty", Callback::ignore());
    assert_eq!(expect(&engine, &terminal, "\n([0-9]+ [0-9]+)\r\n"), "33 99");
    assert!(expect(&engine, &terminal, "(/dev/pts/[0-9]+)\r\n").starts_with("/dev/pts/"));
    expect(&engine, &terminal, PROMPT);
    engine.write_line(&terminal, "trap 'echo told: $(stty size)' WINCH", Callback::ignore());
    expect(&engine, &terminal, PROMPT);
    engine.resize(&child, PtySize { rows: 50, cols: 132, ..PtySize::default() }).unwrap();
    engine.write_line(&terminal, "true", Callback::ignore());
    assert_eq!(expect(&engine, &terminal, "told: ([0-9]+ [0-9]+)\r\n"), "50 132");
    expect(&engine, &terminal, PROMPT);
    engine.write_line(&terminal, "exit 7", Callback::ignore());
    assert_eq!(wait(&engine, &child).code(), Some(7));
    // What was said is there to its end, which is an end and no error.
    let told = Told::new();
    engine.read_all(&terminal, told.callback("all"));
    engine.run().unwrap();
    engine.read_line(&terminal, told.callback("line"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["all Ok", "line EndOfStream"]);
}

#[test]
fn ctrl_c_is_typed_and_interrupts_what_runs() {
    let engine = driver::engine();
    let (child, terminal) = bash(&engine, PtySize::default());
    // It says so itself when it has the terminal: before, the shell has it.
    let long = "sh -c 'echo begun; exec sleep 1000'; echo over";
    engine.write_line(&terminal, long, Callback::ignore());
    expect(&engine, &terminal, "\nbegun\r\n");
    engine.write(&terminal, "\x03", Callback::ignore());
    expect(&engine, &terminal, PROMPT);
    engine.write_line(&terminal, "echo $?", Callback::ignore());
    assert_eq!(expect(&engine, &terminal, "\n([0-9]+)\r\n"), "130");
    expect(&engine, &terminal, PROMPT);
    engine.write(&terminal, "\x04", Callback::ignore());
    assert!(wait(&engine, &child).code().is_some(), "the end of its input is its end");
}

#[test]
fn closing_the_terminal_hangs_up() {
    let engine = driver::engine();
    let mut sleep = Command::new("sleep");
    sleep.arg("1000");
    let (child, terminal) = start(&engine, sleep, PtySize::default());
    let told = Told::new();
    engine.close(&terminal, told.callback("close"));
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["close Ok"]);
    assert_eq!(wait(&engine, &child).signal(), Some(libc::SIGHUP));
    let refused = engine.resize(&child, PtySize::default()).unwrap_err();
    assert!(matches!(refused, Error::Io { .. }), "{refused:?}");
    assert!(refused.to_string().starts_with("resize process "), "{refused}");
}

#[test]
fn a_process_in_a_terminal_leads_a_session_with_it() {
    let engine = driver::engine();
    let mut command = Command::new("sh");
    command.args(["-c", "echo via the terminal > /dev/tty; ps -o sid= -p $$; echo $$"]);
    let (_child, terminal) = start(&engine, command, PtySize::default());
    assert_eq!(expect(&engine, &terminal, "^(.*)\r\n"), "via the terminal");
    let session = expect(&engine, &terminal, "^ *([0-9]+)\r\n");
    assert_eq!(expect(&engine, &terminal, "^([0-9]+)\r\n"), session);
}

#[test]
fn promise_09_terminals_leave_no_descriptor() {
    alone(module_path!(), "promise_09_terminals_leave_no_descriptor", || {
        let engine = driver::engine();
        let round = |count: usize| {
            let ends = Basket::<ExitStatus>::new();
            for _ in 0..count {
                let ended = ends.callback();
                let started = move |local: &facade_engine::Local, (child, _): (Child, Stream)| {
                    local.wait(&child, ended);
                };
                let started = Callback::new(started, |_, error| panic!("{error}"));
                engine.spawn_pty(Command::new("true"), PtySize::default(), started);
            }
            engine.run().unwrap();
            assert_eq!(ends.take().len(), count);
            facade_tests::turns::turns(&engine, 3);
        };
        round(8);
        let before = descriptors();
        (0..10).for_each(|_| round(10));
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn a_program_that_is_not_there_leaves_no_terminal() {
    let engine = driver::engine();
    let told = Told::new();
    let program = Command::new("facade-no-such-program");
    engine.spawn_pty(program, PtySize::default(), told.callback::<(Child, Stream)>("pty"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["pty Io(spawn, NotFound)"]);
}
