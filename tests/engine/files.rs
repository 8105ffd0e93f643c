//! Files, pipes, terminals, a child's stdio: everything that is no socket.

use std::{
    cell::{Cell, RefCell},
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write, pipe},
    process::{Command, Stdio},
    rc::Rc,
    sync::mpsc,
    thread,
    time::Duration,
};

use facade_engine::{Bytes, Callback, Detached, Engine, Error, Handle, Local, Result, Stream};
use facade_tests::{
    outcome::Outcome, peers::numbered, sockets::detached_file, starting, told::Told, turns::turns,
    ways_out::WayOut,
};
use tempfile::{NamedTempFile, tempfile};

use super::driver::{self, now};

/// Longer than anything here takes, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that does what its argument says.
const CHILD: &str = env!("CARGO_BIN_EXE_facade-test-child");

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
    detached_file(fd).read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "two\nthree\n");
}

#[test]
fn each_line_of_a_file_is_given_and_what_is_no_line_is_left() {
    // More than is read at once.
    const LINES: usize = 20_000;
    let engine = driver::engine();
    let mut content: String = (0..LINES).map(|number| format!("line {number}\n")).collect();
    content.push_str("unfinished");
    let stream = engine.attach(file_with(content.as_bytes())).unwrap();
    let (told, next) = (Told::new(), Rc::new(Cell::new(0)));
    let given = Rc::clone(&next);
    let f = move |_: &Local, line: Bytes| {
        assert_eq!(line, format!("line {}", given.replace(given.get() + 1)));
    };
    engine.each_line(&stream, f, told.callback("lines"));
    engine.run().unwrap();
    assert_eq!(next.get(), LINES);
    engine.read_all(&stream, told.value("rest"));
    engine.run().unwrap();
    engine.each_line(&stream, |_, _| (), told.callback("at the end"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["lines EndOfStream", "rest b\"unfinished\"", "at the end Ok"]);
}

#[test]
fn promise_08_a_file_is_left_behind_the_line_that_a_handler_was_given_last() {
    let engine = driver::engine();
    let file = file_with(b"one\n2222\nthree\nfour\nfive\n");
    let mut spy = file.try_clone().unwrap();
    let stream = engine.attach(file).unwrap();
    let told = Told::new();
    let (note, written, again) = (told.clone(), told.clone(), stream.clone());
    // A file's operations run in order: what it writes waits until the repeating one has ended, and
    // goes where the cursor is then, over what would have been next.
    let f = move |local: &Local, line: Bytes| {
        note.note(format!("{line:?}"));
        match &line[..] {
            b"one" => _ = local.write(&again, "FOUR", written.value("write")),
            b"three" => _ = local.repeating().cancel(),
            _ => {}
        }
    };
    engine.each_line(&stream, f, told.callback("end"));
    engine.run().unwrap();
    let expected = ["b\"one\"", "b\"2222\"", "b\"three\"", "end Cancelled", "write 4"];
    assert_eq!(told.take(), expected);
    engine.read_line(&stream, told.value("next"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["next b\"\""]);
    engine.close(&stream, told.callback("close"));
    engine.run().unwrap();
    let mut rest = String::new();
    spy.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "five\n", "the cursor is behind what was taken");
    spy.rewind().unwrap();
    spy.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "five\none\n2222\nthree\nFOUR\nfive\n");
}

#[test]
fn each_chunk_of_a_file_is_given_and_then_its_end() {
    let engine = driver::engine();
    for (len, size) in [(0, 10), (10, 10), (300_000, 4_096), (300_000, 1 << 20)] {
        let content = numbered(len);
        let stream = engine.attach(file_with(&content)).unwrap();
        let (told, all) = (Told::new(), Rc::new(RefCell::new(Vec::new())));
        let given = Rc::clone(&all);
        let f = move |_: &Local, chunk: Bytes| {
            assert!((1..=size).contains(&chunk.len()), "{}", chunk.len());
            given.borrow_mut().extend_from_slice(&chunk);
        };
        engine.each_chunk(&stream, size, f, told.callback("end"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["end Ok"]);
        assert!(*all.borrow() == content[..], "{len} bytes, {size} at a time");
    }
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
fn promise_10_a_cancelled_write_to_a_pipe_counts_what_its_reader_gets() {
    let engine = driver::engine();
    let (reader, writer) = pipe().unwrap();
    let writer = engine.attach(writer).unwrap();
    cancelled_writes_count_what_is_read(&engine, &writer, reader);
}

/// Writes, cancels, and compares with what comes out at the other end.
pub(super) fn cancelled_writes_count_what_is_read(
    engine: &Engine,
    writer: &Stream,
    mut reader: impl Read + Send + 'static,
) {
    let data = numbered(1 << 20);
    let (mut expected, mut counts) = (Vec::new(), Vec::new());
    // Until the pipe is full, and one more, which waits behind what nobody reads.
    while counts.len() < 100 && counts.last() != Some(&0) || expected.is_empty() {
        let (cut, unsent) = (Outcome::<usize>::new(), Outcome::<Bytes>::new());
        let cancel = engine.write(writer, data.clone(), cut.callback());
        turns(engine, 3);
        cancel.cancel();
        turns(engine, 2);
        let written = match cut.error() {
            Error::PartialWrite { written, .. } => {
                engine.take_unsent(writer, unsent.callback());
                turns(engine, 2);
                assert_eq!(unsent.value(), data[written..]);
                written
            }
            error => {
                assert!(matches!(error, Error::Cancelled), "{error:?}");
                0
            }
        };
        expected.extend(&data[..written]);
        counts.push(written);
    }
    let told = Told::new();
    engine.write(writer, "behind", told.value("write"));
    engine.close(writer, told.callback("close"));
    let reads = thread::spawn(move || {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map(|_| content)
    });
    engine.run().unwrap();
    assert_eq!(told.take(), ["write 6", "close Ok"]);
    expected.extend(b"behind");
    let content = reads.join().unwrap().unwrap();
    assert_eq!(content.len(), expected.len(), "{counts:?}");
    assert!(content == expected, "{counts:?}");
}

#[test]
fn promise_16_an_engine_is_dropped_although_nobody_reads_its_pipe() {
    let engine = driver::engine();
    let (_reader, writer) = pipe().unwrap();
    let writer = engine.attach(writer).unwrap();
    let told = Told::new();
    engine.write(&writer, numbered(1 << 20), told.callback("write"));
    turns(&engine, 3);
    let start = now();
    drop(engine);
    assert!(now() - start < PATIENCE);
    // A thread may not have begun.
    let told = told.take().join(" ");
    assert!(told.starts_with("write PartialWrite") || told == "write EngineClosed", "{told}");
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
        let (heard, hears) = mpsc::channel();
        thread::spawn(move || {
            let mut received = [0; 7];
            reader.read_exact(&mut received).unwrap();
            heard.send(received).unwrap();
        });
        let received = hears.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{way:?}: nothing"));
        assert_eq!(&received, b"written");
        drop(writer);
    }
}

// Children

#[test]
fn a_childs_stdio_is_a_stream_each() {
    let engine = driver::engine();
    let mut command = Command::new(CHILD);
    command.arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = starting::spawn(&mut command);
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
    let engine = driver::engine();
    let mut child = starting::spawn(Command::new(CHILD).arg("wait").stdin(Stdio::piped()));
    let input = engine.attach(child.stdin.take().unwrap()).unwrap();
    let outcome = Outcome::<usize>::new();
    let cancel = engine.write(&input, numbered(1 << 20), outcome.callback());
    turns(&engine, 3);
    assert!(!outcome.is_there());
    cancel.cancel();
    turns(&engine, 2);
    let error = outcome.error();
    // A thread may not have begun.
    let is_cut = matches!(error, Error::PartialWrite { .. } | Error::Cancelled);
    assert!(is_cut, "{error:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}
