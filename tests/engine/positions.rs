//! Files by position: many operations at once, in no order, and what holds when they end early.

use std::{
    collections::HashSet,
    fs::{self, File as StdFile, OpenOptions},
    io::{Read, Seek, Write, pipe},
    sync::mpsc,
    time::Duration,
};

use facade_engine::{Bytes, Callback, Claim, Engine, Error, File, Limits, Result};
use facade_tests::{
    alone::{alone, descriptors},
    drops::Drops,
    outcome::Outcome,
    peers::numbered,
    told::{Basket, Told},
    turns::turns,
};
use tempfile::{NamedTempFile, tempfile};

use super::driver;

/// A file with this content, and another handle of it.
fn file_with(engine: &Engine, content: &[u8]) -> (File, StdFile) {
    let mut file = tempfile().unwrap();
    file.write_all(content).unwrap();
    let spy = file.try_clone().unwrap();
    (engine.attach_file(file).unwrap(), spy)
}

fn content(mut spy: StdFile) -> Vec<u8> {
    let mut all = Vec::new();
    spy.rewind().unwrap();
    spy.read_to_end(&mut all).unwrap();
    all
}

#[test]
fn clones_of_a_file_are_equal_and_others_are_not() {
    let engine = driver::engine();
    let file = || engine.attach_file(tempfile().unwrap()).unwrap();
    let (one, other) = (file(), file());
    let all = HashSet::from([one.clone(), other.clone()]);
    engine.run().unwrap();
    assert_eq!(one, one.clone());
    assert_ne!(one, other);
    assert!(all.contains(&one) && all.contains(&other));
}

#[test]
fn any_number_of_reads_are_in_flight_at_once() {
    const PIECE: usize = 1000;
    let engine = driver::engine();
    let data = numbered(1000 * PIECE);
    let (file, _) = file_with(&engine, &data);
    let basket = Basket::new();
    for number in (0..1000).rev() {
        let basket = basket.clone();
        engine.read_at(
            &file,
            (number * PIECE) as u64,
            PIECE,
            Callback::new(
                move |_, bytes: Bytes| basket.put((number, bytes)),
                |_, error| panic!("{error:?}"),
            ),
        );
    }
    engine.run().unwrap();
    let mut pieces = basket.take();
    assert_eq!(pieces.len(), 1000);
    pieces.sort_by_key(|&(number, _)| number);
    for (number, bytes) in pieces {
        assert_eq!(bytes, data[number * PIECE..(number + 1) * PIECE]);
    }
}

#[test]
fn any_number_of_writes_are_in_flight_at_once() {
    const PIECE: usize = 1000;
    let engine = driver::engine();
    let data = numbered(300 * PIECE);
    let (file, spy) = file_with(&engine, b"");
    let told = Told::new();
    for number in (0..300).rev() {
        let piece = data[number * PIECE..(number + 1) * PIECE].to_vec();
        engine.write_at(&file, (number * PIECE) as u64, piece, told.value("w"));
    }
    engine.run().unwrap();
    assert_eq!(told.take(), vec!["w 1000"; 300]);
    assert_eq!(content(spy), data);
}

#[test]
fn a_read_is_whole_unless_the_file_ends() {
    let engine = driver::engine();
    let data = numbered(300 << 10);
    let (file, _) = file_with(&engine, &data);
    let read = |offset, size| {
        let outcome = Outcome::<Bytes>::new();
        engine.read_at(&file, offset, size, outcome.callback());
        engine.run().unwrap();
        outcome.value()
    };
    // Less than a block of the engine, and more; up to the end, across it, behind it.
    assert_eq!(read(0, 1), data[..1]);
    assert_eq!(read(1, 200 << 10), data[1..1 + (200 << 10)]);
    assert_eq!(read(0, data.len()), data);
    assert_eq!(read(0, data.len() + 1), data);
    assert_eq!(read((300 << 10) - 3, 100), data[data.len() - 3..]);
    assert_eq!(read(300 << 10, 100), "");
    assert_eq!(read(1 << 40, 100), "");
}

#[test]
fn the_cursor_of_the_file_is_neither_used_nor_moved() {
    let engine = driver::engine();
    // One that can be opened again: on Windows nothing else has a cursor of its own.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, b"hello world").unwrap();
    let mut spy = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let file = engine.attach_file(spy.try_clone().unwrap()).unwrap();
    spy.seek(std::io::SeekFrom::Start(3)).unwrap();
    let told = Told::new();
    engine.read_at(&file, 6, 5, told.value("read"));
    engine.write_at(&file, 0, "J", told.value("write"));
    engine.run().unwrap();
    assert_eq!(spy.stream_position().unwrap(), 3);
    assert_eq!(content(spy), b"Jello world");
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["read b\"world\"", "write 1"]);
}

#[test]
fn what_makes_no_sense_is_refused_by_the_callback() {
    let named = NamedTempFile::new().unwrap();
    let limits = Limits { all: 1000, ..Limits::default() };
    let engine = driver::builder().limits(limits).build().unwrap();
    let (file, spy) = file_with(&engine, b"content");
    let appended = OpenOptions::new().append(true).open(named.path()).unwrap();
    let appended = engine.attach_file(appended).unwrap();
    let told = Told::new();
    told.submitting(|| {
        engine.read_at(&file, 0, 0, told.value("nothing"));
        engine.read_at(&file, u64::MAX, 0, told.callback("nothing there"));
        engine.read_at(&file, 0, 1001, told.callback("too much"));
        // The position that io_uring takes for "wherever the cursor is" among them.
        engine.read_at(&file, u64::MAX, 1, told.callback("no position"));
        engine.read_at(&file, i64::MAX as u64, 1, told.callback("behind all"));
        engine.write_at(&file, u64::MAX - 3, "abc", told.callback("no position"));
        engine.write_at(&appended, 0, "abc", told.callback("append"));
        engine.write_at(&file, 0, "", told.value("empty"));
    });
    engine.run().unwrap();
    let expected = [
        "nothing b\"\"",
        "nothing there InvalidInput",
        "too much TooLong(1000)",
        "no position InvalidInput",
        "behind all InvalidInput",
        "no position InvalidInput",
        "append Unsupported",
        "empty 0",
    ];
    assert_eq!(told.take(), expected);
    assert_eq!(content(spy), b"content");
    let refused =
        [engine.attach_file(driver::socket_pair().0), engine.attach_file(pipe().unwrap().0)];
    // Where a directory can be opened as files are.
    let directory = StdFile::open("/").ok().map(|directory| engine.attach_file(directory));
    for refused in refused.into_iter().chain(directory) {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::InvalidInput { .. }), "{error:?}");
    }
}

#[test]
fn what_the_system_refuses_is_told() {
    let engine = driver::engine();
    let named = NamedTempFile::new().unwrap();
    fs::write(named.path(), "content").unwrap();
    let read_only = engine.attach_file(StdFile::open(named.path()).unwrap()).unwrap();
    let write_only = OpenOptions::new().write(true).open(named.path()).unwrap();
    let write_only = engine.attach_file(write_only).unwrap();
    let told = Told::new();
    engine.write_at(&read_only, 0, "x", told.callback("write"));
    engine.run().unwrap();
    engine.read_at(&write_only, 0, 1, told.callback("read"));
    engine.run().unwrap();
    let [write, read] = &told.take()[..] else { panic!() };
    assert!(write.starts_with("write Io(write"), "{write}");
    assert!(read.starts_with("read Io(read"), "{read}");
}

#[test]
fn promise_06_a_cancelled_read_is_told_by_the_next_turn_and_takes_nothing() {
    let engine = driver::engine();
    let data = numbered(1 << 20);
    let (file, _) = file_with(&engine, &data);
    let told = Told::new();
    let cancels: Vec<_> =
        (0..100).map(|_| engine.read_at(&file, 0, 1 << 20, told.callback("read"))).collect();
    cancels.iter().for_each(|cancel| _ = cancel.cancel());
    turns(&engine, 2);
    assert_eq!(told.len(), 100);
    let outcome = Outcome::<Bytes>::new();
    engine.read_at(&file, 0, 1 << 20, outcome.callback());
    engine.run().unwrap();
    assert_eq!(outcome.value(), data);
}

#[test]
fn promise_10_a_cancelled_write_is_done_or_not_and_says_so() {
    const LEN: usize = 100_000;
    let engine = driver::engine();
    let (file, spy) = file_with(&engine, b"");
    let told = Told::new();
    let cancels: Vec<_> = (0..200_u64)
        .map(|number| {
            let offset = number * LEN as u64;
            engine.write_at(&file, offset, vec![1; LEN], told.value(number))
        })
        .collect();
    let handle = engine.handle().clone();
    // Half of them before anything has begun, half while others are under way.
    cancels.iter().step_by(2).for_each(|cancel| _ = cancel.cancel());
    handle.post(move |_| cancels.iter().for_each(|cancel| _ = cancel.cancel()));
    engine.run().unwrap();
    let written = content(spy);
    let notes = told.take();
    assert_eq!(notes.len(), 200);
    for note in notes {
        let (number, outcome) = note.split_once(' ').unwrap();
        let start = number.parse::<usize>().unwrap() * LEN;
        let here = written.iter().skip(start).take(LEN).filter(|&&byte| byte == 1).count();
        match outcome {
            "Cancelled" => assert_eq!(here, 0, "{note}"),
            "100000" => assert_eq!(here, LEN, "{note}"),
            partial => assert_eq!(partial, format!("PartialWrite({here}, Cancelled)")),
        }
    }
}

#[test]
fn promise_07_a_read_of_no_time_is_one_attempt() {
    let engine = driver::engine();
    let (file, _) = file_with(&engine, b"in memory");
    let told = Told::new().timeout(Duration::ZERO);
    engine.read_at(&file, 0, 9, told.value("read"));
    engine.run().unwrap();
    let read = told.take().remove(0);
    assert!(["read b\"in memory\"", "read TimedOut"].contains(&&*read), "{read}");
    let told = Told::new().timeout(Duration::MAX);
    engine.read_at(&file, 0, 9, told.value("read"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["read b\"in memory\""]);
}

#[test]
fn promise_08_a_claim_that_is_not_taken_leaves_the_file_as_it_was() {
    let engine = driver::engine();
    let (file, _) = file_with(&engine, b"content");
    let again = file.clone();
    let told = Told::new();
    let notes = told.clone();
    let claim = Callback::claim(move |engine, outcome: Result<Claim<Bytes>>| {
        drop(outcome.unwrap());
        engine.read_at(&again, 0, 7, notes.value("again"));
    });
    engine.read_at(&file, 0, 7, claim);
    engine.run().unwrap();
    assert_eq!(told.take(), ["again b\"content\""]);
}

#[test]
fn promise_14_operations_beyond_the_limit_are_overloaded() {
    let limits = Limits { jobs: 8, ..Limits::default() };
    let engine = driver::builder().limits(limits).build().unwrap();
    let (file, spy) = file_with(&engine, b"");
    let told = Told::new();
    for number in 0..20_u8 {
        engine.write_at(&file, number.into(), vec![number; 1], told.callback("write"));
    }
    engine.run().unwrap();
    let notes = told.take();
    assert_eq!(notes.iter().filter(|note| *note == "write Ok").count(), 8, "{notes:?}");
    assert_eq!(notes.iter().filter(|note| *note == "write Overloaded").count(), 12);
    assert_eq!(content(spy), [0, 1, 2, 3, 4, 5, 6, 7]);
    // There is room again.
    engine.sync(&file, told.callback("sync"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["sync Ok"]);
}

#[test]
fn closing_ends_reads_and_lets_writes_finish() {
    let engine = driver::engine();
    let (file, spy) = file_with(&engine, &numbered(1 << 20));
    let told = Told::new();
    for number in 0..50 {
        engine.write_at(&file, number << 16, vec![9; 1 << 16], told.callback("write"));
        engine.read_at(&file, number << 16, 1 << 16, told.callback("read"));
    }
    engine.sync(&file, told.callback("sync"));
    engine.close(&file, told.callback("close"));
    engine.read_at(&file, 0, 1, told.callback("late"));
    engine.close(&file, told.callback("late"));
    engine.run().unwrap();
    let notes = told.take();
    let count = |wanted: &str| notes.iter().filter(|note| *note == wanted).count();
    assert_eq!(count("write Ok"), 50, "{notes:?}");
    assert_eq!(count("read Ok") + count("read Closed"), 50);
    assert_eq!((count("sync Ok"), count("late Closed")), (1, 2));
    let close = notes.iter().position(|note| note == "close Ok").unwrap();
    assert!(notes[close + 1..].iter().all(|note| note.starts_with("late")), "{notes:?}");
    assert!(content(spy).iter().all(|&byte| byte == 9));
}

#[test]
fn a_file_closes_when_the_last_clone_is_gone_and_nothing_is_pending() {
    alone(
        module_path!(),
        "a_file_closes_when_the_last_clone_is_gone_and_nothing_is_pending",
        || {
            let engine = driver::engine();
            let (file, spy) = file_with(&engine, b"content");
            turns(&engine, 1);
            let before = descriptors();
            let told = Told::new();
            let clone = file.clone();
            engine.read_at(&file, 0, 7, told.value("read"));
            drop(file);
            engine.write_at(&clone, 7, "!", told.value("write"));
            drop(clone);
            engine.run().unwrap();
            let mut notes = told.take();
            notes.sort();
            assert!(notes[0].starts_with("read b\"content"), "{notes:?}");
            assert_eq!(notes[1], "write 1");
            assert_eq!(descriptors(), before - 1);
            assert_eq!(content(spy), b"content!");
        },
    );
}

#[test]
fn promise_16_dropping_the_engine_tells_everything_once() {
    for _ in 0..20 {
        let engine = driver::engine();
        let (file, spy) = file_with(&engine, &numbered(4 << 20));
        let told = Told::new();
        for number in 0..32_u64 {
            engine.read_at(&file, number << 16, 1 << 20, told.callback("read"));
            engine.write_at(
                &file,
                (4 << 20) + (number << 16),
                vec![7; 1 << 16],
                told.value("write"),
            );
        }
        engine.sync(&file, told.callback("sync"));
        turns(&engine, 1);
        drop(engine);
        let notes = told.take();
        assert_eq!(notes.len(), 65, "{notes:?}");
        let written = content(spy).len().saturating_sub(4 << 20);
        let ok = notes.iter().filter(|note| *note == "write 65536").count();
        assert!(written >= ok << 16, "what is told to be written is");
        for note in notes {
            let told = note.split_once(' ').unwrap().1;
            assert!(["Ok", "65536", "EngineClosed"].contains(&told), "{note}");
        }
    }
}

#[test]
fn the_bytes_of_a_write_are_let_go_of() {
    struct Counted(facade_tests::drops::Token);
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            let _ = &self.0;
            b"counted"
        }
    }
    let engine = driver::engine();
    let (file, _) = file_with(&engine, b"");
    let (drops, told) = (Drops::new(), Told::new());
    let bytes = || Bytes::from_owner(Counted(drops.token()));
    engine.write_at(&file, 0, bytes(), told.callback("write"));
    engine.write_at(&file, 0, bytes(), told.callback("cancelled")).cancel();
    engine.write_at(&file, u64::MAX, bytes(), told.callback("refused"));
    engine.run().unwrap();
    assert_eq!((told.len(), drops.alive()), (3, 0));
}

#[test]
fn other_threads_submit_and_cancel() {
    let engine = driver::engine();
    let data = numbered(100 << 10);
    let (file, _) = file_with(&engine, &data);
    let (guard, handle) = (engine.keep_alive(), engine.handle().clone());
    let (tell, told) = mpsc::channel();
    let other = std::thread::spawn(move || {
        for round in 0..200 {
            let tell = tell.clone();
            let callback = Callback::from_fn(move |_, outcome| tell.send(outcome).unwrap());
            let cancel = handle.read_at(&file, 0, 100 << 10, callback);
            if round % 2 == 0 {
                cancel.cancel();
            }
            match told.recv().unwrap() {
                Ok(bytes) => assert_eq!(bytes, data),
                Err(error) => assert!(matches!(error, Error::Cancelled), "{error:?}"),
            }
        }
        drop(guard);
    });
    engine.run().unwrap();
    other.join().unwrap();
}
