//! What others may read as well, whatever it is: a connection, a pipe, a terminal. And a child that
//! goes on with one.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write, pipe},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Command, Stdio},
    time::Duration,
};

use facade_engine::{Bytes, Callback, Engine, Limits};
use facade_tests::{
    outcome::Outcome,
    sockets::connection,
    terminals::terminal,
    told::Told,
    turns::{turn_until, turns},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, FileType, Mode, mknodat},
    termios::ttyname,
};

use super::driver;

/// Whether something is there to be read, within so many seconds.
fn is_readable(copy: &impl AsFd, seconds: i64) -> bool {
    let mut fds = [PollFd::new(copy, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 })).unwrap() > 0
}

/// What a holder of a copy reads without waiting; nothing if there is nothing.
fn there(copy: &impl AsFd) -> Vec<u8> {
    if !is_readable(copy, 0) {
        return Vec::new();
    }
    let mut bytes = vec![0; 1000];
    let count = rustix::io::read(copy, &mut bytes).unwrap();
    bytes.truncate(count);
    bytes
}

#[test]
fn a_child_goes_on_with_a_connection_that_its_parent_has_closed() {
    let engine = driver::engine();
    let (mut peer, ours) = connection();
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(OwnedFd::from(ours.try_clone().unwrap()))
        .spawn()
        .unwrap();
    let stream = engine.attach(ours).unwrap();
    engine.read_line(&stream, Callback::ignore());
    turns(&engine, 2);
    engine.write_line(&stream, "from the parent", Callback::ignore());
    engine.close(&stream, Callback::ignore());
    engine.run().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"from the child\n").unwrap();
    drop(input);
    child.wait().unwrap();
    let mut all = String::new();
    peer.read_to_string(&mut all).unwrap();
    assert_eq!(all, "from the parent\r\nfrom the child\n");
}

/// What nobody reads stays with the system if the program wants it so, also if it says so late.
#[test]
fn promise_14_nothing_is_read_ahead_of_a_stream_whose_limit_is_zero() {
    let engine = driver::engine();
    for says_so_late in [false, true] {
        let (mut peer, ours) = connection();
        // Only to look: the stream is the engine's alone.
        let copy = ours.try_clone().unwrap();
        let stream = engine.attach_exclusive(ours).unwrap();
        let limits = Limits { unread: 0, ..Limits::default() };
        if !says_so_late {
            engine.set_limits(&stream, limits);
        }
        let line = Outcome::<Bytes>::new();
        engine.read_line(&stream, line.callback());
        turns(&engine, 2);
        peer.write_all(b"wanted\n").unwrap();
        turn_until(&engine, || line.is_there());
        assert_eq!(line.value(), "wanted");
        if says_so_late {
            engine.set_limits(&stream, limits);
        }
        idle_turns(&engine);
        peer.write_all(b"not yet\n").unwrap();
        assert!(is_readable(&copy, 10));
        idle_turns(&engine);
        assert!(is_readable(&copy, 0), "nobody has received it");
        let line = Outcome::<Bytes>::new();
        engine.read_line(&stream, line.callback());
        turn_until(&engine, || line.is_there());
        assert_eq!(line.value(), "not yet");
    }
}

/// What a program may have in common with others, by one end; where its bytes come in; and the
/// other holder.
fn shared_things() -> Vec<(&'static str, OwnedFd, Box<dyn Write>, OwnedFd)> {
    let mut things: Vec<(&str, OwnedFd, Box<dyn Write>, OwnedFd)> = Vec::new();
    let (peer, ours) = connection();
    let copy = ours.try_clone().unwrap();
    things.push(("connection", ours.into(), Box::new(peer), copy.into()));
    let (peer, ours) = UnixStream::pair().unwrap();
    let copy = ours.try_clone().unwrap();
    things.push(("Unix socket", ours.into(), Box::new(peer), copy.into()));
    let (ours, writer) = pipe().unwrap();
    let copy = ours.try_clone().unwrap();
    things.push(("pipe", ours.into(), Box::new(writer), copy.into()));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let open = || OpenOptions::new().read(true).write(true).open(&path).unwrap();
    things.push(("FIFO", open().into(), Box::new(open()), open().into()));

    let (controller, terminal) = terminal(|_| ());
    let name = ttyname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let other = OpenOptions::new().read(true).write(true).open(name).unwrap();
    things.push(("terminal", terminal.into(), Box::new(File::from(controller)), other.into()));
    things
}

/// Turns of an engine that is awake although nothing is pending.
fn idle_turns(engine: &Engine) {
    let _awake = engine.keep_alive();
    turns(engine, 3);
}

/// Writes a line where nobody of the engine's reads, and has the other holder read it.
#[track_caller]
fn is_the_others(engine: &Engine, what: &str, input: &mut dyn Write, other: &OwnedFd) {
    idle_turns(engine);
    input.write_all(b"for the other\n").unwrap();
    // A terminal passes on what is typed in its own time.
    assert!(is_readable(other, 10), "{what}: taken");
    idle_turns(engine);
    assert_eq!(there(other), b"for the other\n", "{what}");
}

#[test]
fn what_others_may_read_too_is_read_only_while_a_read_wants_it() {
    for (what, ours, mut input, other) in shared_things() {
        let engine = driver::engine();
        let stream = engine.attach(ours).unwrap();
        let told = Told::new();
        is_the_others(&engine, what, &mut *input, &other);
        // Cancelled, having been armed or not.
        for between in [0, 3] {
            let cancel = engine.read_line(&stream, told.value("cancelled"));
            turns(&engine, between);
            cancel.cancel();
            is_the_others(&engine, what, &mut *input, &other);
        }
        engine.read_line(&stream, told.timeout(Duration::ZERO).value("expired"));
        is_the_others(&engine, what, &mut *input, &other);
        engine.read_line(&stream, told.timeout(Duration::from_millis(1)).value("expired"));
        turn_until(&engine, || told.len() == 4);
        is_the_others(&engine, what, &mut *input, &other);
        let notes = ["cancelled Cancelled", "cancelled Cancelled", "expired TimedOut"];
        assert_eq!(told.take(), [&notes[..], &["expired TimedOut"]].concat(), "{what}");
        // One that has its line.
        engine.read_line(&stream, told.value("line"));
        turns(&engine, 3);
        input.write_all(b"for us\n").unwrap();
        turn_until(&engine, || !told.is_empty());
        assert_eq!(told.take(), ["line b\"for us\""], "{what}");
        is_the_others(&engine, what, &mut *input, &other);
        // A claim that is given back is matched again, without more being taken for it.
        input.write_all(b"claimed\n").unwrap();
        engine.read_line(&stream, told.dropping_claims().value("claim"));
        turn_until(&engine, || !told.is_empty());
        is_the_others(&engine, what, &mut *input, &other);
        engine.read_line(&stream, told.value("line"));
        turn_until(&engine, || told.len() == 2);
        assert_eq!(told.take(), ["claim dropped", "line b\"claimed\""], "{what}");
        is_the_others(&engine, what, &mut *input, &other);
        engine.close(&stream, told.callback("close"));
        engine.run().unwrap();
        is_the_others(&engine, what, &mut *input, &other);
        assert_eq!(told.take(), ["close Ok"], "{what}");
    }
}

#[test]
fn what_is_declared_ours_alone_is_read_ahead() {
    for (what, ours, mut input, other) in shared_things() {
        let engine = driver::engine();
        let stream = engine.attach_exclusive(ours).unwrap();
        let told = Told::new();
        let cancel = engine.read_line(&stream, told.value("cancelled"));
        turns(&engine, 3);
        cancel.cancel();
        turns(&engine, 1);
        input.write_all(b"ahead\n").unwrap();
        let (_awake, buffered) = (engine.keep_alive(), Outcome::<usize>::new());
        turn_until(&engine, || {
            engine.buffered(&stream, buffered.callback());
            turns(&engine, 1);
            buffered.value() == 6
        });
        engine.read_line(&stream, told.value("line"));
        turn_until(&engine, || told.len() == 2);
        assert_eq!(told.take(), ["cancelled Cancelled", "line b\"ahead\""], "{what}");
        drop(other);
    }
}
