//! Named pipes, whose own end is overlapped: what the driver of Windows does by its port, and the
//! other by threads.

use std::{
    io::{Read, Write},
    thread,
};

use facade_engine::{Bytes, Detached};
use facade_tests::{
    outcome::Outcome,
    peers::numbered,
    told::Told,
    turns::{turn_until, turns},
    windows::named_pipe,
};

use super::{driver, files::cancelled_writes_count_what_is_read};

#[test]
fn lines_go_both_ways_while_a_read_waits() {
    let engine = driver::engine();
    let (pipe, mut other) = named_pipe(false);
    let stream = engine.attach(pipe).unwrap();
    let told = Told::new();
    for round in 0..20 {
        engine.read_line(&stream, told.value("read"));
        turns(&engine, 3);
        // The other direction of the same handle.
        engine.write_line(&stream, format!("out {round:02}"), told.value("write"));
        turn_until(&engine, || told.len() == 1);
        let mut line = [0; 7];
        other.read_exact(&mut line).unwrap();
        assert_eq!(line, *format!("out {round:02}\n").as_bytes());
        other.write_all(format!("in {round}\n").as_bytes()).unwrap();
        engine.run().unwrap();
        assert_eq!(told.take(), ["write 7".to_owned(), format!("read b\"in {round}\"")]);
    }
    engine.read_all(&stream, told.value("rest"));
    other.write_all(b"end").unwrap();
    drop(other);
    engine.run().unwrap();
    assert_eq!(told.take(), ["rest b\"end\""]);
    engine.write(&stream, "late", told.callback("write"));
    engine.flush(&stream, told.callback("flush"));
    engine.run().unwrap();
    let told = told.take();
    assert!(told[0] == "write Ok" && told[1].starts_with("flush Io"), "{told:?}");
}

#[test]
fn much_goes_both_ways_at_once() {
    let engine = driver::engine();
    let (pipe, mut other) = named_pipe(false);
    let stream = engine.attach(pipe).unwrap();
    let data = numbered(300_000);
    let (told, back) = (Told::new(), Outcome::<Bytes>::new());
    engine.write(&stream, data.clone(), told.value("write"));
    engine.read_exact(&stream, data.len(), back.callback());
    let echo = thread::spawn(move || {
        let mut block = [0; 1000];
        for _ in 0..300 {
            other.read_exact(&mut block).unwrap();
            other.write_all(&block).unwrap();
        }
        other
    });
    engine.run().unwrap();
    assert_eq!(told.take(), ["write 300000"]);
    assert!(back.value() == data);
    drop(echo.join().unwrap());
}

#[test]
fn promise_08_what_comes_after_a_cancelled_read_is_there_for_the_next() {
    let engine = driver::engine();
    let (pipe, mut other) = named_pipe(false);
    let stream = engine.attach(pipe).unwrap();
    let told = Told::new();
    for round in 0..20 {
        let cancel = engine.read_line(&stream, told.value("read"));
        turns(&engine, round % 4);
        if round % 2 == 0 {
            other.write_all(b"one\n").unwrap();
        }
        cancel.cancel();
        turns(&engine, 2);
        if round % 2 == 1 {
            other.write_all(b"one\n").unwrap();
        }
        let told_first = told.take();
        if told_first == ["read Cancelled"] {
            engine.read_line(&stream, told.value("read"));
            engine.run().unwrap();
            assert_eq!(told.take(), ["read b\"one\""]);
        } else {
            assert_eq!(told_first, ["read b\"one\""]);
        }
    }
}

#[test]
fn a_cancelled_read_leaves_what_comes_to_whoever_has_the_pipe_then() {
    let engine = driver::engine();
    if engine.driver() != "iocp" {
        // A thread still reads, and what it brings is the stream's.
        return;
    }
    let (pipe, mut other) = named_pipe(false);
    let stream = engine.attach(pipe).unwrap();
    let (told, detached) = (Told::new(), Outcome::<Detached>::new());
    let cancel = engine.read_line(&stream, told.value("read"));
    turns(&engine, 3);
    cancel.cancel();
    turns(&engine, 2);
    engine.detach(&stream, detached.callback());
    engine.run().unwrap();
    assert_eq!(told.take(), ["read Cancelled"]);
    let Detached { fd, unread, .. } = detached.value();
    assert!(unread.is_empty());
    other.write_all(b"late\n").unwrap();
    // Its port is that of the first engine, so that threads read it here.
    let second = driver::engine();
    let stream = second.attach(fd).unwrap();
    second.read_line(&stream, told.value("read"));
    second.run().unwrap();
    assert_eq!(told.take(), ["read b\"late\""]);
}

#[test]
fn messages_are_bytes_however_long_they_are() {
    let engine = driver::engine();
    let (pipe, mut other) = named_pipe(true);
    let stream = engine.attach(pipe).unwrap();
    let data = numbered(200_000);
    let (told, long) = (Told::new(), Outcome::<Bytes>::new());
    engine.read_exact(&stream, data.len(), long.callback());
    engine.read_line(&stream, told.value("short"));
    engine.read_all(&stream, told.value("rest"));
    turns(&engine, 3);
    let expected = data.clone();
    let writes = thread::spawn(move || {
        other.write_all(&data).unwrap();
        assert_eq!(other.write(&[]).unwrap(), 0);
        other.write_all(b"sho").unwrap();
        other.write_all(b"rt\nrest").unwrap();
    });
    engine.run().unwrap();
    writes.join().unwrap();
    assert!(long.value() == expected);
    assert_eq!(told.take(), ["short b\"short\"", "rest b\"rest\""]);
}

#[test]
fn promise_10_a_cancelled_write_counts_what_its_reader_gets() {
    let engine = driver::engine();
    let (pipe, other) = named_pipe(false);
    let writer = engine.attach(pipe).unwrap();
    cancelled_writes_count_what_is_read(&engine, &writer, other);
}

#[test]
fn promise_16_an_engine_is_dropped_with_a_pipe_that_waits_both_ways() {
    let engine = driver::engine();
    let (pipe, _other) = named_pipe(false);
    let stream = engine.attach(pipe).unwrap();
    let told = Told::new();
    engine.read_line(&stream, told.callback("read"));
    engine.write(&stream, numbered(1 << 20), told.callback("write"));
    turns(&engine, 3);
    drop(engine);
    let mut told = told.take();
    told.sort();
    assert_eq!(told[0], "read EngineClosed");
    assert!(told[1].starts_with("write "), "{told:?}");
}
