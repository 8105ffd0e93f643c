//! Copies from and to files, pipes and terminals.

use std::{
    fs::File as StdFile,
    io::{Read, Seek, Write, pipe},
};

use facade_engine::{Callback, Engine, Error, File};
use facade_tests::{
    alone::alone,
    outcome::Outcome,
    peers::{arrived, numbered, unstuff},
    told::{Told, brief},
    turns::{turn_until, turns},
};
use tempfile::tempfile;

use super::driver::{self, descriptors, full_pair, pair};

/// A file with this content, its cursor at the start, and another handle of it.
fn std_file(content: &[u8]) -> (StdFile, StdFile) {
    let mut file = tempfile().unwrap();
    file.write_all(content).unwrap();
    file.rewind().unwrap();
    let spy = file.try_clone().unwrap();
    (file, spy)
}

fn file_with(engine: &Engine, content: &[u8]) -> File {
    engine.attach_file(std_file(content).0).unwrap()
}

fn content(mut spy: StdFile) -> Vec<u8> {
    let mut all = Vec::new();
    spy.rewind().unwrap();
    spy.read_to_end(&mut all).unwrap();
    all
}

/// Runs an engine until a copy is over, taking what comes out.
fn drain<T: Send + 'static>(
    engine: &Engine,
    sink: &driver::Peer,
    copied: &Outcome<T>,
    len: usize,
) -> Vec<u8> {
    let mut received = Vec::new();
    turn_until(engine, || {
        received.extend(arrived(sink));
        copied.is_there() && received.len() >= len
    });
    received
}

#[test]
fn a_file_is_copied_from_its_cursor_and_to_it() {
    let engine = driver::engine();
    let data = numbered(700_000);
    let ((source, _), (target, spy)) = (std_file(&data), std_file(b"before"));
    let (from, to) = (engine.attach(source).unwrap(), engine.attach(target).unwrap());
    let told = Told::new();
    engine.read_exact(&from, 4, Callback::ignore());
    engine.read_exact(&to, 2, told.value("before"));
    engine.copy(&from, &to, told.value("copy"));
    engine.read_all(&to, told.value("behind"));
    engine.write(&to, "end", Callback::ignore());
    engine.run().unwrap();
    assert_eq!(told.take(), ["before b\"be\"", "copy 699996", "behind b\"\""]);
    assert!(content(spy) == [b"be", &data[4..], b"end"].concat());
}

#[test]
fn a_copy_to_a_stream_that_is_cut_short_leaves_the_cursor_behind_what_was_copied() {
    let engine = driver::engine();
    let data = numbered(1 << 20);
    let ((source, mut spy), (sink, to, stuffed)) = (std_file(&data), full_pair(&engine));
    let from = engine.attach(source).unwrap();
    let copied = Outcome::new();
    let cancel = engine.copy(&from, &to, copied.callback());
    turns(&engine, 50);
    cancel.cancel();
    turn_until(&engine, || copied.is_there());
    let count = match copied.error() {
        Error::PartialCopy { copied, returned: 0, cause } => {
            assert_eq!(brief(&cause), "Cancelled");
            copied
        }
        error => {
            assert_eq!(brief(&error), "Cancelled");
            0
        }
    };
    let told = Told::new();
    engine.close(&from, told.callback("close"));
    turn_until(&engine, || !told.is_empty());
    assert_eq!(spy.stream_position().unwrap(), count);
    let mut received = unstuff(&sink, stuffed);
    turn_until(&engine, || {
        received.extend(arrived(&sink));
        received.len() as u64 >= count
    });
    assert!(received == data[..received.len()] && received.len() as u64 == count);
}

#[test]
fn a_file_is_not_copied_to_itself() {
    let engine = driver::engine();
    let stream = engine.attach(std_file(b"content").0).unwrap();
    let told = Told::new();
    engine.copy(&stream, &stream, told.callback("copy"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["copy InvalidInput"]);
}

#[test]
fn pipes_are_copied_from_and_to() {
    let engine = driver::engine();
    let ((source, mut writer), (mut reader, sink)) = (pipe().unwrap(), pipe().unwrap());
    let (from, to) = (engine.attach(source).unwrap(), engine.attach(sink).unwrap());
    let told = Told::new();
    engine.copy(&from, &to, told.value("copy"));
    drop((from, to));
    writer.write_all(b"through two pipes").unwrap();
    drop(writer);
    engine.run().unwrap();
    assert_eq!(told.take(), ["copy 17"]);
    let mut received = String::new();
    reader.read_to_string(&mut received).unwrap();
    assert_eq!(received, "through two pipes");
}

#[cfg(unix)]
#[test]
fn a_terminal_has_no_end_that_could_be_handed_on() {
    let engine = driver::engine();
    let raw = |settings: &mut rustix::termios::Termios| settings.make_raw();
    let (controller, terminal) = facade_tests::terminals::terminal(raw);
    let (mut peer, ours) = pair(&engine);
    let terminal = engine.attach(terminal).unwrap();
    let (told, mut screen) = (Told::new(), StdFile::from(controller));
    let cancel = engine.copy_both_ways(&terminal, &ours, told.value("copy"));
    peer.write_all(b"hello").unwrap();
    screen.write_all(b"typed").unwrap();
    let mut typed = Vec::new();
    turn_until(&engine, || {
        typed.extend(arrived(&peer));
        typed.len() == 5
    });
    let mut shown = [0; 5];
    screen.read_exact(&mut shown).unwrap();
    assert_eq!((&*typed, &shown), (&b"typed"[..], b"hello"));
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    turns(&engine, 5);
    assert!(told.is_empty(), "what is typed still goes out");
    screen.write_all(b"more").unwrap();
    turn_until(&engine, || arrived(&peer).len() == 4);
    cancel.cancel();
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["copy PartialCopy(9, 5, Cancelled)"]);
    engine.abort(&terminal);
    engine.run().unwrap();
}

// Files by position

#[test]
fn a_part_of_a_file_is_copied_and_all_of_it() {
    let engine = driver::engine();
    let data = numbered(500_000);
    let file = file_with(&engine, &data);
    let cases = [
        (0, u64::MAX, 0..500_000),
        (7, 300_000, 7..300_007),
        (499_999, 10, 499_999..500_000),
        (500_000, 10, 0..0),
        (600_000, u64::MAX, 0..0),
        (3, 0, 0..0),
    ];
    for (offset, len, range) in cases {
        let ((sink, to), copied) = (pair(&engine), Outcome::new());
        engine.copy_file(&file, offset, len, &to, copied.callback());
        let received = drain(&engine, &sink, &copied, range.len());
        assert_eq!(copied.value(), range.len() as u64, "{offset} {len}");
        assert!(received == data[range], "{offset} {len}");
    }
}

#[test]
fn a_copied_part_of_a_file_has_its_turn_and_waits_for_room() {
    let engine = driver::engine();
    let data = numbered(1 << 20);
    let (file, (sink, to, stuffed)) = (file_with(&engine, &data), full_pair(&engine));
    let told = Told::new();
    engine.write(&to, "head", told.callback("head"));
    engine.copy_file(&file, 0, u64::MAX, &to, told.value("file"));
    engine.write(&to, "tail", told.callback("tail"));
    turns(&engine, 50);
    assert_eq!(told.take(), ["head Ok"]);
    let mut received = unstuff(&sink, stuffed);
    turn_until(&engine, || {
        received.extend(arrived(&sink));
        received.len() == (1 << 20) + 8
    });
    assert_eq!(told.take(), ["file 1048576", "tail Ok"]);
    assert!(received == [b"head", &*data, b"tail"].concat());
}

#[test]
fn a_copied_file_that_ends_early_says_how_much_went_out() {
    for closes in [false, true] {
        let engine = driver::engine();
        let data = numbered(1 << 20);
        let (file, (sink, to, stuffed)) = (file_with(&engine, &data), full_pair(&engine));
        let copied = Outcome::new();
        let cancel = engine.copy_file(&file, 0, u64::MAX, &to, copied.callback());
        turns(&engine, 20);
        let cause = match closes {
            false => {
                cancel.cancel();
                "Cancelled"
            }
            true => {
                engine.close(&to, Callback::ignore());
                "Closed"
            }
        };
        turn_until(&engine, || copied.is_there());
        let count = match copied.error() {
            Error::PartialCopy { copied, returned: 0, cause: why } => {
                assert_eq!(brief(&why), cause);
                usize::try_from(copied).unwrap()
            }
            error => {
                assert_eq!(brief(&error), cause);
                0
            }
        };
        let mut received = unstuff(&sink, stuffed);
        turn_until(&engine, || {
            received.extend(arrived(&sink));
            received.len() >= count
        });
        assert!(received == data[..count], "{} of {count}", received.len());
    }
}

#[test]
fn promise_16_a_copied_file_hears_of_the_engines_end() {
    let engine = driver::engine();
    let (file, (_sink, to, _)) = (file_with(&engine, &numbered(1 << 20)), full_pair(&engine));
    let told = Told::new();
    engine.copy_file(&file, 0, u64::MAX, &to, told.callback("file"));
    engine.run_once(Some(std::time::Duration::ZERO)).unwrap();
    drop(engine);
    let notes = told.take();
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("EngineClosed"), "{notes:?}");
}

#[test]
fn what_of_a_file_cannot_be_copied_is_told() {
    let (engine, other) = (driver::engine(), driver::engine());
    let file = file_with(&engine, b"content");
    let ((_peer, to), (_far, there)) = (pair(&engine), pair(&other));
    let told = Told::new();
    engine.copy_file(&file, u64::MAX, 1, &to, told.callback("offset"));
    engine.copy_file(&file, i64::MAX as u64, 1, &to, told.callback("end"));
    engine.copy_file(&file, 0, 1, &there, told.callback("two engines"));
    engine.close(&file, Callback::ignore());
    engine.run().unwrap();
    other.run().unwrap();
    engine.copy_file(&file, 0, 1, &to, told.callback("closed"));
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    let expected =
        ["closed Closed", "end InvalidInput", "offset InvalidInput", "two engines InvalidInput"];
    assert_eq!(notes, expected);
}

#[test]
fn promise_09_a_file_that_nobody_holds_is_closed_when_its_copy_is_over() {
    alone(
        module_path!(),
        "promise_09_a_file_that_nobody_holds_is_closed_when_its_copy_is_over",
        || {
            let engine = driver::engine();
            let data = numbered(1 << 20);
            let ((_peer, to), (file, _)) = (pair(&engine), std_file(&data));
            engine.copy_file(&engine.attach_file(file).unwrap(), 0, 1, &to, Callback::ignore());
            engine.run().unwrap();
            let before = descriptors();
            for ends in [false, true] {
                let (file, spy) = std_file(&data);
                drop(spy);
                let ((sink, to), copied) = (pair(&engine), Outcome::new());
                let file = engine.attach_file(file).unwrap();
                let cancel = engine.copy_file(&file, 0, u64::MAX, &to, copied.callback());
                drop((file, to));
                if ends {
                    assert!(drain(&engine, &sink, &copied, data.len()) == data);
                } else {
                    cancel.cancel();
                }
                engine.run().unwrap();
                drop(sink);
                assert_eq!(descriptors(), before);
            }
        },
    );
}
