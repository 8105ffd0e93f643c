//! Terminals, FIFOs and devices: what is ready when, what is an end and what is not, and that
//! nothing of it holds up the engine.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write, pipe, stderr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use facade_engine::{Bytes, Error};
use facade_tests::{
    alone::alone,
    faults::with_faults,
    forks::die_of_broken_pipes,
    outcome::Outcome,
    peers::numbered,
    terminals::terminal,
    told::Told,
    turns::{now, turn_until, turns},
};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, fcntl_getfl, mknodat},
    io::{ReadWriteFlags, ioctl_fionread, pwritev2},
    termios::{SpecialCodeIndex, Termios},
};
use tempfile::TempDir;

use super::driver::{self, pass};

/// A FIFO, which goes with its folder.
fn fifo() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    (folder, path)
}

/// Opens something that does not wait.
fn open_nonblocking(path: &Path, options: &mut OpenOptions) -> File {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    options.custom_flags(flags).open(path).unwrap()
}

fn skip(name: &str, why: &str) {
    // Not by a macro, whose output the harness keeps to itself.
    stderr().write_all(format!("SKIPPED: {name}: {why}\n").as_bytes()).unwrap();
}

/// How much a write that failed says that the system took.
#[track_caller]
fn written_of(error: Error) -> usize {
    let Error::PartialWrite { written, .. } = error else { panic!("{error:?}") };
    written
}

// Terminals that cannot be opened a second time

#[test]
fn promise_15_a_program_that_does_not_read_its_terminal_holds_up_nobody() {
    let engine = driver::engine();
    let (controller, mut terminal) = terminal(Termios::make_raw);
    let stream = engine.attach(controller).unwrap();
    let told = Told::new();
    engine.write(&stream, numbered(300_000), told.value("write"));
    // A loop that is blocked runs no timer.
    for _ in 0..20 {
        engine.sleep(Duration::from_millis(1), told.callback("sleep"));
        turn_until(&engine, || !told.is_empty());
        assert_eq!(told.take(), ["sleep Ok"]);
    }
    let reads = thread::spawn(move || {
        let mut all = vec![0; 300_000];
        terminal.read_exact(&mut all).unwrap();
        (all, terminal)
    });
    engine.flush(&stream, told.callback("flush"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["write 300000", "flush Ok"]);
    assert!(reads.join().unwrap().0 == numbered(300_000));
}

#[test]
fn promise_10_a_cancelled_write_to_a_terminal_nobody_reads_says_how_much_was_taken() {
    for timeout in [None, Some(Duration::from_millis(20))] {
        let engine = driver::engine();
        let (controller, mut terminal) = terminal(Termios::make_raw);
        let stream = engine.attach(controller).unwrap();
        let outcome = Outcome::<usize>::new();
        let callback = outcome.callback();
        let callback = match timeout {
            Some(timeout) => callback.timeout(timeout),
            None => callback,
        };
        let cancel = engine.write(&stream, numbered(300_000), callback);
        turn_until(&engine, || ioctl_fionread(&terminal).unwrap() > 0);
        match timeout {
            Some(timeout) => pass(timeout),
            None => _ = cancel.cancel(),
        }
        turn_until(&engine, || outcome.is_there());
        let written = written_of(outcome.error());
        assert!(written < 300_000);
        let mut all = vec![0; written];
        terminal.read_exact(&mut all).unwrap();
        assert!(all == numbered(written), "as many as were counted");
        assert_eq!(ioctl_fionread(&terminal).unwrap(), 0, "and no more");
    }
}

#[test]
fn promise_16_an_engine_that_writes_to_a_terminal_nobody_reads_is_dropped() {
    let engine = driver::engine();
    let (controller, terminal) = terminal(Termios::make_raw);
    let stream = engine.attach(controller).unwrap();
    let told = Told::new();
    engine.write(&stream, numbered(300_000), told.callback("write"));
    turn_until(&engine, || ioctl_fionread(&terminal).unwrap() > 0);
    drop(engine);
    let notes = told.take();
    assert!(notes[0].starts_with("write PartialWrite("), "{notes:?}");
}

// What is the end of a terminal

/// A serial device is often set so: a read brings what has come, or nothing.
#[test]
fn promise_12_a_terminal_where_reads_bring_nothing_has_not_ended() {
    let engine = driver::engine();
    let (controller, terminal) = terminal(|settings| {
        settings.make_raw();
        settings.special_codes[SpecialCodeIndex::VMIN] = 0;
        settings.special_codes[SpecialCodeIndex::VTIME] = 0;
    });
    let mut controller = File::from(controller);
    let stream = engine.attach(terminal).unwrap();
    let told = Told::new();
    let time = Duration::from_millis(10);
    engine.read_line(&stream, told.timeout(time).callback("early"));
    turns(&engine, 3);
    pass(time);
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["early TimedOut"]);
    for line in ["one", "two"] {
        engine.read_line(&stream, told.value("line"));
        turns(&engine, 3);
        assert!(told.is_empty(), "nothing has come");
        controller.write_all(line.as_bytes()).unwrap();
        turns(&engine, 3);
        controller.write_all(b"\n").unwrap();
        turn_until(&engine, || !told.is_empty());
        assert_eq!(told.take(), [format!("line b{line:?}")]);
    }
    engine.read_all(&stream, told.value("rest"));
    controller.write_all(b"rest").unwrap();
    turns(&engine, 3);
    drop(controller);
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["rest b\"rest\""]);
}

#[test]
fn promise_12_where_lines_are_edited_what_is_typed_as_the_end_is_the_end() {
    let engine = driver::engine();
    let (controller, terminal) = terminal(|_| ());
    let mut controller = File::from(controller);
    let stream = engine.attach(terminal).unwrap();
    let told = Told::new();
    engine.read_all(&stream, told.value("all"));
    turns(&engine, 3);
    controller.write_all(b"typed\n").unwrap();
    turns(&engine, 3);
    assert!(told.is_empty());
    controller.write_all(&[4]).unwrap();
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), [r#"all b"typed\n""#]);
}

// Pipes

#[test]
fn promise_12_a_fifo_waits_for_its_first_writer_and_ends_with_its_last() {
    let engine = driver::engine();
    let (_folder, path) = fifo();
    let stream = engine.attach(open_nonblocking(&path, OpenOptions::new().read(true))).unwrap();
    let told = Told::new();
    let time = Duration::from_millis(10);
    engine.read_all(&stream, told.timeout(time).callback("early"));
    turns(&engine, 3);
    pass(time);
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["early TimedOut"]);
    engine.read_all(&stream, told.value("all"));
    turns(&engine, 3);
    let mut one = OpenOptions::new().write(true).open(&path).unwrap();
    let mut two = OpenOptions::new().write(true).open(&path).unwrap();
    one.write_all(b"one ").unwrap();
    drop(one);
    turns(&engine, 3);
    two.write_all(b"two").unwrap();
    turns(&engine, 3);
    assert!(told.is_empty());
    drop(two);
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["all b\"one two\""]);
}

#[test]
fn promise_12_a_fifo_whose_writers_have_gone_before_has_ended() {
    for bytes in ["", "left behind"] {
        let engine = driver::engine();
        let (_folder, path) = fifo();
        let reader = open_nonblocking(&path, OpenOptions::new().read(true));
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        writer.write_all(bytes.as_bytes()).unwrap();
        drop(writer);
        let stream = engine.attach(reader).unwrap();
        let told = Told::new();
        engine.read_all(&stream, told.value("all"));
        engine.run().unwrap();
        assert_eq!(told.take(), [format!("all b{bytes:?}")]);
    }
}

/// A FIFO without a reader cannot be opened a second time, so that its flags are others', too.
#[test]
fn promise_15_a_pipe_that_cannot_be_opened_again_holds_up_nobody() {
    let engine = driver::engine();
    let (_folder, path) = fifo();
    let reader = open_nonblocking(&path, OpenOptions::new().read(true));
    let writer = OpenOptions::new().write(true).open(&path).unwrap();
    drop(reader);
    let stream = engine.attach(writer).unwrap();
    let mut reader = open_nonblocking(&path, OpenOptions::new().read(true));
    let outcome = Outcome::<usize>::new();
    let cancel = engine.write(&stream, numbered(500_000), outcome.callback());
    turn_until(&engine, || ioctl_fionread(&reader).unwrap() > 0);
    turns(&engine, 5);
    assert!(!outcome.is_there());
    cancel.cancel();
    turn_until(&engine, || outcome.is_there());
    let written = written_of(outcome.error());
    let mut all = vec![0; written];
    reader.read_exact(&mut all).unwrap();
    assert!(all == numbered(written));
    let rest = Outcome::<Bytes>::new();
    engine.take_unsent(&stream, rest.callback());
    engine.run().unwrap();
    engine.write(&stream, rest.value(), outcome.callback());
    let mut rest = Vec::new();
    turn_until(&engine, || {
        let mut block = [0; 16 << 10];
        while let Ok(count @ 1..) = reader.read(&mut block) {
            rest.extend_from_slice(&block[..count]);
        }
        written + rest.len() == 500_000
    });
    assert!(rest == numbered(500_000)[written..]);
    // And one that is read.
    let (_folder, path) = fifo();
    let both = || OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let first = both();
    let reader = OpenOptions::new().read(true).open(&path).unwrap();
    drop(first);
    let stream = engine.attach(reader).unwrap();
    let mut writer = both();
    let told = Told::new();
    engine.read_line(&stream, told.value("line"));
    turns(&engine, 3);
    assert!(told.is_empty());
    writer.write_all(b"line\n").unwrap();
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["line b\"line\""]);
}

#[test]
fn a_broken_pipe_is_an_error_in_a_process_that_signals_end() {
    let name = "a_broken_pipe_is_an_error_in_a_process_that_signals_end";
    let quietly = ReadWriteFlags::from_bits_retain(0x100);
    let (_reader, writer) = pipe().unwrap();
    if pwritev2(&writer, &[], u64::MAX, quietly).is_err() {
        return skip(name, "the kernel is older than RWF_NOSIGNAL, Linux 6.18");
    }
    alone(module_path!(), name, || {
        die_of_broken_pipes();
        let engine = driver::engine();
        let (reader, writer) = pipe().unwrap();
        let stream = engine.attach(writer).unwrap();
        drop(reader);
        let told = Told::new();
        engine.write_vectored(
            &stream,
            [Bytes::from("x"), numbered(100_000).into()],
            told.callback("w"),
        );
        engine.flush(&stream, told.callback("flush"));
        engine.run().unwrap();
        assert_eq!(told.take().last().unwrap(), "flush Io(write, BrokenPipe)");
    });
}

// Devices

/// The kernel's log, where there is nothing to read, opened to wait or not. None if it may not be
/// read, which is said.
fn kernel_log(name: &str, nonblocking: bool) -> Option<File> {
    let path = Path::new("/dev/kmsg");
    let mut options = OpenOptions::new();
    options.read(true);
    if nonblocking {
        options.custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap());
    }
    let log = options.open(path).and_then(|mut log| {
        log.seek(SeekFrom::End(0))?;
        Ok(log)
    });
    match log {
        Ok(log) => Some(log),
        Err(error) => {
            skip(name, &format!("/dev/kmsg: {error}"));
            None
        }
    }
}

#[test]
fn promise_15_devices_that_wait_hold_up_no_file() {
    let name = "promise_15_devices_that_wait_hold_up_no_file";
    let engine = driver::engine();
    let told = Told::new();
    let mut cancels = Vec::new();
    let mut streams = Vec::new();
    for _ in 0..100 {
        let Some(log) = kernel_log(name, false) else { return };
        let stream = engine.attach(log).unwrap();
        cancels.push(engine.read_until(&stream, "never said", told.callback("log")));
        streams.push(stream);
    }
    turns(&engine, 3);
    let file = engine.attach_file(tempfile::tempfile().unwrap()).unwrap();
    engine.write_at(&file, 0, "bytes", told.value("write"));
    turn_until(&engine, || !told.is_empty());
    engine.sync(&file, told.callback("sync"));
    turn_until(&engine, || told.len() == 2);
    assert_eq!(told.take(), ["write 5", "sync Ok"]);
    for cancel in cancels {
        cancel.cancel();
    }
    for stream in &streams {
        engine.close(stream, told.callback("close"));
    }
    engine.run().unwrap();
    let notes = told.take();
    assert_eq!(notes.iter().filter(|note| *note == "log Cancelled").count(), 100);
    assert_eq!(notes.iter().filter(|note| *note == "close Ok").count(), 100);
}

#[test]
fn a_device_is_waited_for_and_brings_what_comes() {
    let name = "a_device_is_waited_for_and_brings_what_comes";
    for nonblocking in [true, false] {
        let engine = driver::engine();
        let Some(log) = kernel_log(name, nonblocking) else { return };
        let Ok(mut say) = OpenOptions::new().write(true).open("/dev/kmsg") else {
            return skip(name, "/dev/kmsg may not be written");
        };
        let stream = engine.attach(log).unwrap();
        let told = Told::new();
        let word = format!("facade-tests {} {nonblocking}", std::process::id());
        engine.read_until(&stream, &word, told.callback("log"));
        turns(&engine, 3);
        assert!(told.is_empty(), "{:?}", told.take());
        // What has no end may be gone on with, and is not shown before.
        say.write_all(format!("{word}\n").as_bytes()).unwrap();
        turn_until(&engine, || !told.is_empty());
        assert_eq!(told.take(), ["log Ok"]);
    }
}

#[test]
fn a_device_that_has_no_room_is_tried_again() {
    let name = "a_device_that_has_no_room_is_tried_again";
    let faults = ["pwritev2:error=EAGAIN:when=1", "writev:error=EAGAIN:when=1..2"];
    with_faults(module_path!(), name, faults, |_| {
        let engine = driver::engine();
        let null = OpenOptions::new().write(true).open("/dev/null").unwrap();
        let stream = engine.attach(null).unwrap();
        let told = Told::new();
        engine.write(&stream, "bytes", told.callback("write"));
        engine.flush(&stream, told.callback("flush"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["write Ok", "flush Ok"]);
    });
}

/// Opened to be non-blocking it would not have a thread wait either.
#[test]
fn a_device_that_has_no_room_and_cannot_be_waited_for_is_tried_again_after_a_pause() {
    let name = "a_device_that_has_no_room_and_cannot_be_waited_for_is_tried_again_after_a_pause";
    let faults = ["writev:error=EAGAIN:when=1..12"];
    with_faults(module_path!(), name, faults, |_| {
        let engine = driver::engine();
        let null = open_nonblocking(Path::new("/dev/null"), OpenOptions::new().write(true));
        let stream = engine.attach(null).unwrap();
        let (told, begun) = (Told::new(), now());
        engine.write_vectored(&stream, [vec![1; 5000], vec![2; 5000]], told.callback("write"));
        engine.flush(&stream, told.callback("flush"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["write Ok", "flush Ok"]);
        let lasted = now() - begun;
        assert!(lasted > Duration::from_millis(200), "it spun: {lasted:?}");
    });
}

/// What is the engine's alone is made non-blocking, and needs no thread.
#[test]
fn a_terminal_that_is_ours_alone_is_written_without_a_thread() {
    let engine = driver::engine();
    let (controller, mut terminal) = terminal(Termios::make_raw);
    let spy = controller.try_clone().unwrap();
    let stream = engine.attach_exclusive(controller).unwrap();
    assert!(fcntl_getfl(&spy).unwrap().contains(OFlags::NONBLOCK));
    let outcome = Outcome::<usize>::new();
    let cancel = engine.write(&stream, numbered(300_000), outcome.callback());
    // Done on the loop, so a part of it is done at once.
    turns(&engine, 2);
    cancel.cancel();
    turns(&engine, 2);
    let written = written_of(outcome.error());
    let mut all = vec![0; written];
    terminal.read_exact(&mut all).unwrap();
    assert!(all == numbered(written));
}

// Without a position

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
