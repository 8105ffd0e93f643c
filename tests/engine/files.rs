//! Files, pipes, terminals, a child's stdio: everything that is no socket.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write, pipe},
    os::fd::{AsFd, OwnedFd},
    process::{Command, Stdio},
};

use facade_engine::{Bytes, Callback, Detached, Engine, Handle, Local, Result, Stream};
use facade_tests::{
    outcome::Outcome,
    peers::numbered,
    terminals::terminal,
    told::Told,
    turns::{turn_until, turns},
    ways_out::WayOut,
};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, fcntl_getfl, mknodat},
    io::ioctl_fionbio,
    termios::Termios,
};
use tempfile::{NamedTempFile, tempfile};

use super::driver;

/// A file with this content and the cursor at its start.
fn file_with(content: &[u8]) -> File {
    let mut file = tempfile().unwrap();
    file.write_all(content).unwrap();
    file.rewind().unwrap();
    file
}

// Files

#[test]
fn promise_13_a_files_operations_run_in_order_on_one_cursor() {
    let engine = driver::engine();
    let file = file_with(b"one\n2222\nthree\n");
    let mut spy = file.try_clone().unwrap();
    let stream = engine.attach(file).unwrap();
    let told = Told::new();
    engine.read_line(&stream, told.value("first"));
    engine.write(&stream, "TWO!", told.value("write"));
    engine.read_line(&stream, told.value("rest of the second"));
    engine.read_line(&stream, told.value("third"));
    engine.write_line(&stream, "four", told.value("behind"));
    engine.read_all(&stream, told.value("end"));
    engine.run().unwrap();
    let expected = [
        "first b\"one\"",
        "write 4",
        "rest of the second b\"\"",
        "third b\"three\"",
        "behind 5",
        "end b\"\"",
    ];
    assert_eq!(told.take(), expected);
    let mut content = String::new();
    spy.rewind().unwrap();
    spy.read_to_string(&mut content).unwrap();
    assert_eq!(content, "one\nTWO!\nthree\nfour\n");
}

#[test]
fn promise_13_a_files_operations_submitted_one_by_one_share_the_cursor_too() {
    let engine = driver::engine();
    let stream = engine.attach(file_with(b"one\n2222\nthree\n")).unwrap();
    let told = Told::new();
    let run = |submit: &dyn Fn()| {
        submit();
        engine.run().unwrap();
        told.take().join(",")
    };
    assert_eq!(run(&|| _ = engine.read_line(&stream, told.value("r"))), "r b\"one\"");
    assert_eq!(run(&|| _ = engine.write(&stream, "TWO!", told.value("w"))), "w 4");
    assert_eq!(run(&|| _ = engine.read_line(&stream, told.value("r"))), "r b\"\"");
    assert_eq!(run(&|| _ = engine.peek(&stream, 3, told.value("p"))), "p b\"thr\"");
    assert_eq!(run(&|| _ = engine.write(&stream, "THR", told.value("w"))), "w 3");
    assert_eq!(run(&|| _ = engine.read_all(&stream, told.value("r"))), r#"r b"ee\n""#);
}

#[test]
fn a_file_is_used_from_where_its_cursor_was_and_left_where_the_reads_ended() {
    let engine = driver::engine();
    let mut file = file_with(b"skipped one\ntwo\nthree\n");
    file.seek(SeekFrom::Start(8)).unwrap();
    let stream = engine.attach(file).unwrap();
    let (told, detached) = (Told::new(), Outcome::<Detached>::new());
    engine.read_line(&stream, told.value("line"));
    engine.run().unwrap();
    engine.detach(&stream, detached.callback());
    engine.run().unwrap();
    assert_eq!(told.take(), ["line b\"one\""]);
    let Detached { fd, unread, .. } = detached.value();
    assert!(unread.is_empty());
    let mut rest = String::new();
    File::from(fd).read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "two\nthree\n");
}

#[test]
fn an_append_file_is_written_at_its_end_and_read_at_its_cursor() {
    let engine = driver::engine();
    let named = NamedTempFile::new().unwrap();
    fs::write(named.path(), "one\ntwo\nthree\n").unwrap();
    let append = || OpenOptions::new().read(true).append(true).open(named.path()).unwrap();
    let stream = engine.attach(append()).unwrap();
    let told = Told::new();
    engine.read_line(&stream, told.value("first"));
    engine.write_line(&stream, "four", told.value("write"));
    engine.read_line(&stream, told.value("second"));
    // Somebody else appends as well.
    engine.flush(&stream, told.callback("flush"));
    engine.run().unwrap();
    append().write_all(b"five\n").unwrap();
    engine.write_line(&stream, "six", told.value("write"));
    engine.read_all(&stream, told.value("rest"));
    engine.run().unwrap();
    let expected = [
        "first b\"one\"",
        "write 5",
        "second b\"two\"",
        "flush Ok",
        "write 4",
        r#"rest b"three\nfour\nfive\nsix\n""#,
    ];
    assert_eq!(told.take(), expected);
}

#[test]
fn a_large_file_is_copied_whole() {
    let engine = driver::engine();
    let data = numbered(3_000_001);
    let source = engine.attach(file_with(&data)).unwrap();
    let copy = tempfile().unwrap();
    let mut spy = copy.try_clone().unwrap();
    let copy = engine.attach(copy).unwrap();
    copy_chunks(&engine, source, copy);
    engine.run().unwrap();
    let mut content = Vec::new();
    spy.rewind().unwrap();
    spy.read_to_end(&mut content).unwrap();
    assert!(content == data);
}

fn copy_chunks(engine: &Handle, source: Stream, target: Stream) {
    let again = source.clone();
    let next = move |engine: &Local, chunk: Result<Bytes>| {
        let Ok(chunk) = chunk else { return };
        let to = target.clone();
        let next = move |engine: &Local, _: usize| copy_chunks(engine, again, target);
        engine.write(&to, chunk, Callback::new(next, |_, error| panic!("{error}")));
    };
    engine.read_chunk(&source, 50_000, Callback::from_fn(next));
}

#[test]
fn a_long_write_to_a_file_arrives_in_order_and_the_close_waits_for_it() {
    let engine = driver::engine();
    let file = tempfile().unwrap();
    let mut spy = file.try_clone().unwrap();
    let stream = engine.attach(file).unwrap();
    let told = Told::new();
    let data = numbered(2_000_000);
    for (number, piece) in data.chunks(300_000).enumerate() {
        engine.write(&stream, piece.to_vec(), told.callback(number));
    }
    engine.close(&stream, told.callback("close"));
    engine.run().unwrap();
    let expected: Vec<_> =
        (0..7).map(|n| format!("{n} Ok")).chain(["close Ok".to_owned()]).collect();
    assert_eq!(told.take(), expected);
    let mut content = Vec::new();
    spy.rewind().unwrap();
    spy.read_to_end(&mut content).unwrap();
    assert!(content == data);
}

#[test]
fn promise_10_dropping_the_engine_finishes_what_was_written_to_a_file() {
    let engine = driver::engine();
    let file = tempfile().unwrap();
    let mut spy = file.try_clone().unwrap();
    let stream = engine.attach(file).unwrap();
    let told = Told::new();
    engine.write(&stream, numbered(60_000), told.value("write"));
    drop(engine);
    assert_eq!(told.take(), ["write 60000"]);
    let mut content = Vec::new();
    spy.rewind().unwrap();
    spy.read_to_end(&mut content).unwrap();
    assert_eq!(content, numbered(60_000));
}

#[test]
fn a_file_that_cannot_be_written_says_so() {
    let engine = driver::engine();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let stream = engine.attach(full).unwrap();
    let told = Told::new();
    engine.write(&stream, "x", told.callback("write"));
    engine.flush(&stream, told.callback("flush"));
    engine.close(&stream, told.callback("close"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["write Ok", "flush Io(write, StorageFull)", "close Ok"]);
}

#[test]
fn a_cancelled_read_of_a_file_takes_nothing() {
    let engine = driver::engine();
    let stream = engine.attach(file_with(b"one\ntwo\n")).unwrap();
    let told = Told::new();
    let cancel = engine.read_line(&stream, told.value("cancelled"));
    engine.write(&stream, "ONE", told.value("write"));
    engine.read_all(&stream, told.value("rest"));
    cancel.cancel();
    engine.run().unwrap();
    let notes = told.take();
    assert_eq!(notes, ["cancelled Cancelled", "write 3", r#"rest b"\ntwo\n""#]);
}

#[test]
fn a_file_has_no_direction_to_shut_down() {
    let engine = driver::engine();
    let stream = engine.attach(file_with(b"")).unwrap();
    let told = Told::new();
    engine.shutdown_write(&stream, told.callback("shutdown"));
    engine.write(&stream, "still", told.callback("write"));
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["shutdown Unsupported", "write Ok"]);
}

#[test]
fn devices_without_a_position_are_read_and_written_at_once() {
    let engine = driver::engine();
    let open = |path| OpenOptions::new().read(true).write(true).open(path).unwrap();
    let zero = engine.attach(open("/dev/zero")).unwrap();
    let null = engine.attach(open("/dev/null")).unwrap();
    let told = Told::new();
    engine.write(&zero, vec![1; 1 << 20], told.value("write"));
    engine.read_exact(&zero, 3, told.value("read"));
    engine.write(&null, "x", told.value("null"));
    engine.read_all(&null, told.value("nothing"));
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    let expected = ["nothing b\"\"", "null 1", r#"read b"\0\0\0""#, "write 1048576"];
    assert_eq!(notes, expected);
}

// Pipes

#[test]
fn a_pipe_carries_lines_and_its_shutdown_is_its_end() {
    let engine = driver::engine();
    let (reader, writer) = pipe().unwrap();
    let (reader, writer) = (engine.attach(reader).unwrap(), engine.attach(writer).unwrap());
    let told = Told::new();
    engine.write_line(&writer, "line", told.value("write"));
    engine.shutdown_write(&writer, told.callback("shutdown"));
    engine.read_line(&reader, told.value("line"));
    engine.read_all(&reader, told.value("rest"));
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["line b\"line\"", "rest b\"\"", "shutdown Ok", "write 5"]);
    engine.write(&writer, "late", told.callback("late"));
    engine.shutdown_write(&writer, told.callback("again"));
    engine.close(&writer, told.callback("close"));
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["again Ok", "close Ok", "late Closed"]);
}

#[test]
fn much_through_a_pipe_arrives_whole() {
    let engine = driver::engine();
    let (reader, writer) = pipe().unwrap();
    let (reader, writer) = (engine.attach(reader).unwrap(), engine.attach(writer).unwrap());
    let all = Outcome::<Bytes>::new();
    engine.write(&writer, numbered(2_000_000), Callback::ignore());
    drop(writer);
    engine.read_all(&reader, all.callback());
    engine.run().unwrap();
    assert!(all.value() == numbered(2_000_000));
}

#[test]
fn promise_10_stop_tries_once_more_to_write_to_a_pipe() {
    for way in WayOut::ALL {
        let engine = driver::engine();
        let (mut reader, writer) = pipe().unwrap();
        let writer = engine.attach(writer).unwrap();
        let again = writer.clone();
        way.take(&engine, move |local| {
            local.write(&again, "written", Callback::ignore());
        });
        ioctl_fionbio(&reader, true).unwrap();
        let mut received = [0; 7];
        assert_eq!(reader.read(&mut received).map_err(|e| e.kind()), Ok(7), "{way:?}");
        assert_eq!(&received, b"written");
        drop(writer);
    }
}

/// What others see of an open file whose descriptor was attached.
fn flags(fd: &impl AsFd) -> OFlags {
    fcntl_getfl(fd).unwrap()
}

#[test]
fn flags_of_a_shared_pipe_are_not_touched() {
    // As standard input and output are: others hold the same open file.
    let engine = driver::engine();
    let (reader, mut writer) = pipe().unwrap();
    let ours: OwnedFd = reader.as_fd().try_clone_to_owned().unwrap();
    let stream = engine.attach(ours).unwrap();
    let told = Told::new();
    engine.read_line(&stream, told.value("line"));
    turns(&engine, 2);
    assert!(!flags(&reader).contains(OFlags::NONBLOCK));
    writer.write_all(b"line\n").unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["line b\"line\""]);
    assert!(!flags(&reader).contains(OFlags::NONBLOCK));

    let (mut reader, writer) = pipe().unwrap();
    let ours: OwnedFd = writer.as_fd().try_clone_to_owned().unwrap();
    let stream = engine.attach(ours).unwrap();
    engine.write(&stream, numbered(500_000), told.value("write"));
    turns(&engine, 3);
    assert!(told.is_empty(), "the pipe is full, and the engine does not block");
    assert!(!flags(&writer).contains(OFlags::NONBLOCK));
    let reads = std::thread::spawn(move || {
        let mut all = vec![0; 500_000];
        reader.read_exact(&mut all).unwrap();
        all
    });
    engine.run().unwrap();
    assert!(reads.join().unwrap() == numbered(500_000));
    assert!(!flags(&writer).contains(OFlags::NONBLOCK));
}

// Terminals

#[test]
fn a_terminal_is_used_without_touching_its_flags() {
    let engine = driver::engine();
    let (controller, terminal) = terminal(Termios::make_raw);
    let mut controller = File::from(controller);
    let stream = engine.attach(terminal.try_clone().unwrap()).unwrap();
    let told = Told::new();
    engine.read_line(&stream, told.value("typed"));
    turns(&engine, 3);
    assert!(told.is_empty(), "nobody has typed, and the engine does not block");
    controller.write_all(b"typed\n").unwrap();
    turn_until(&engine, || !told.is_empty());
    engine.write_line(&stream, "shown", told.value("shown"));
    engine.run().unwrap();
    let mut shown = [0; 6];
    controller.read_exact(&mut shown).unwrap();
    assert_eq!(&shown, b"shown\n");
    assert_eq!(told.take(), ["typed b\"typed\"", "shown 6"]);
    assert!(!flags(&terminal).contains(OFlags::NONBLOCK));
}

#[test]
fn the_controlling_side_of_a_terminal_is_a_stream_like_any_other() {
    let engine = driver::engine();
    let (controller, mut terminal) = terminal(Termios::make_raw);
    let spy = controller.try_clone().unwrap();
    let stream = engine.attach(controller).unwrap();
    let told = Told::new();
    engine.read_line(&stream, told.value("line"));
    engine.write(&stream, "typed", told.value("write"));
    turns(&engine, 3);
    assert_eq!(told.take(), ["write 5"]);
    terminal.write_all(b"said\n").unwrap();
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["line b\"said\""]);
    let mut typed = [0; 5];
    terminal.read_exact(&mut typed).unwrap();
    assert_eq!(&typed, b"typed");
    assert!(!flags(&spy).contains(OFlags::NONBLOCK));
    // When nobody has the terminal open any more, it has ended.
    engine.read_all(&stream, told.value("end"));
    drop(terminal);
    engine.run().unwrap();
    assert_eq!(told.take(), ["end b\"\""]);
}

#[test]
fn much_is_written_to_a_terminal_without_blocking() {
    let engine = driver::engine();
    let (controller, terminal) = terminal(Termios::make_raw);
    let mut controller = File::from(controller);
    let stream = engine.attach(terminal).unwrap();
    let told = Told::new();
    engine.write(&stream, numbered(300_000), told.value("write"));
    turns(&engine, 3);
    assert!(told.is_empty(), "nobody looks, and the engine does not block");
    let reads = std::thread::spawn(move || {
        let mut all = vec![0; 300_000];
        controller.read_exact(&mut all).unwrap();
        all
    });
    engine.run().unwrap();
    assert!(reads.join().unwrap() == numbered(300_000));
}

// Children

#[test]
fn a_childs_stdio_is_a_stream_each() {
    let engine = driver::engine();
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = engine.attach(child.stdin.take().unwrap()).unwrap();
    let output = engine.attach(child.stdout.take().unwrap()).unwrap();
    let errors = engine.attach(child.stderr.take().unwrap()).unwrap();
    let told = Told::new();
    engine.write_line(&input, "through the cat", told.callback("write"));
    engine.shutdown_write(&input, told.callback("shutdown"));
    engine.read_line(&output, told.value("line"));
    engine.read_all(&output, told.value("output"));
    engine.read_all(&errors, told.value("errors"));
    engine.run().unwrap();
    child.wait().unwrap();
    let mut notes = told.take();
    notes.sort();
    let expected =
        ["errors b\"\"", "line b\"through the cat\"", "output b\"\"", "shutdown Ok", "write Ok"];
    assert_eq!(notes, expected);
}

#[test]
fn a_child_that_does_not_read_keeps_nobody_waiting() {
    let engine: Engine = driver::engine();
    let mut child = Command::new("sleep").arg("1000").stdin(Stdio::piped()).spawn().unwrap();
    let input = engine.attach(child.stdin.take().unwrap()).unwrap();
    let outcome = Outcome::<usize>::new();
    let cancel = engine.write(&input, numbered(1 << 20), outcome.callback());
    turns(&engine, 3);
    assert!(!outcome.is_there());
    cancel.cancel();
    turns(&engine, 2);
    let error = outcome.error();
    assert!(matches!(error, facade_engine::Error::PartialWrite { .. }), "{error:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A FIFO that is open both ways has one descriptor: the end of one direction is that of the other.
#[test]
fn promise_01_shutting_down_a_fifo_that_is_read_too_ends_its_reads() {
    let engine = driver::engine();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    // The read is with the system, is about to be, or comes too late.
    for (reads_first, between) in [(true, 2), (true, 0), (false, 0)] {
        let fifo = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let stream = engine.attach(fifo).unwrap();
        let told = Told::new();
        if reads_first {
            engine.read_line(&stream, told.value("read"));
            turns(&engine, between);
        }
        engine.shutdown_write(&stream, told.callback("shutdown"));
        turn_until(&engine, || !told.is_empty());
        if !reads_first {
            engine.read_line(&stream, told.value("read"));
        }
        turn_until(&engine, || told.len() == 2);
        let mut notes = told.take();
        notes.sort();
        assert_eq!(notes, ["read EndOfStream", "shutdown Ok"]);
        engine.close(&stream, told.callback("close"));
        turn_until(&engine, || !told.is_empty());
        assert_eq!(told.take(), ["close Ok"]);
    }
}
