//! How streams end when the peer ends them, and what of it is heard when.

use std::{
    io::{Read, Write},
    net::Shutdown,
};

use facade_engine::{Engine, Pattern, Stream};
use facade_tests::{
    outcome::Outcome,
    peers::{numbered, reset},
    skipped::misses_resets,
    sockets::Sign,
    told::{Told, brief},
    turns::{turn_until, turns},
};

use super::driver::{self, pair, tcp_pair, wait_for};

/// Reads until the end, a chunk at a time. Returns the bytes and the note of what ended them.
fn read_to_end(engine: &Engine, stream: &Stream) -> (Vec<u8>, String) {
    let mut all = Vec::new();
    loop {
        let chunk = Outcome::new();
        engine.read_chunk(stream, 777, chunk.callback());
        turn_until(engine, || chunk.is_there());
        match chunk.take() {
            Ok(bytes) => all.extend_from_slice(&bytes),
            Err(error) => return (all, brief(&error)),
        }
    }
}

#[test]
fn promise_12_the_end_of_the_stream_comes_after_every_byte_and_stays() {
    let engine = driver::engine();
    let (mut peer, stream) = tcp_pair(&engine);
    let data = numbered(100_000);
    peer.write_all(&data).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    wait_for(&stream, Sign::End);
    assert_eq!(read_to_end(&engine, &stream), (data, "EndOfStream".to_owned()));
    let told = Told::new();
    for name in ["first", "second"] {
        engine.read_chunk(&stream, 1, told.callback(name));
        engine.read_line(&stream, told.callback(name));
        engine.peek(&stream, 1, told.callback(name));
    }
    engine.run().unwrap();
    let expected = ["first", "second"].map(|name| vec![format!("{name} EndOfStream"); 3]);
    assert_eq!(told.take(), expected.concat());
}

#[test]
fn promise_12_a_reset_comes_after_every_byte_and_stays_a_reset() {
    if misses_resets("promise_12_a_reset_comes_after_every_byte_and_stays_a_reset", &driver::name())
    {
        return;
    }
    let engine = driver::engine();
    let (mut peer, stream) = tcp_pair(&engine);
    let data = numbered(100_000);
    peer.write_all(&data).unwrap();
    reset(peer);
    wait_for(&stream, Sign::Reset);
    let reset = "Io(read, ConnectionReset)";
    assert_eq!(read_to_end(&engine, &stream), (data, reset.to_owned()));
    let told = Told::new();
    engine.read_line(&stream, told.callback("read_line"));
    engine.read_all(&stream, told.callback("read_all"));
    engine.read_until_any(&stream, [Pattern::end()], told.callback("read_until_any"));
    engine.peek(&stream, 1, told.callback("peek"));
    engine.run().unwrap();
    let names = ["read_line", "read_all", "read_until_any", "peek"];
    assert_eq!(told.take(), names.map(|name| format!("{name} {reset}")));
}

#[test]
fn promise_12_a_reset_that_a_write_hears_first_is_no_end_of_stream() {
    let engine = driver::engine();
    let (peer, stream) = tcp_pair(&engine);
    let told = Told::new();
    // The write is stuck, so it is tried as soon as the socket wakes, before the read.
    engine.write(&stream, vec![0; 16 << 20], told.callback("write"));
    engine.read_all(&stream, told.callback("read"));
    turns(&engine, 100);
    reset(peer);
    turn_until(&engine, || told.len() == 2);
    let notes = told.take();
    assert!(notes.contains(&"read Io(read, ConnectionReset)".to_owned()), "{notes:?}");
    engine.read_all(&stream, told.callback("again"));
    engine.run().unwrap();
    let notes = told.take();
    assert!(
        notes[0].starts_with("again Io(") && notes[0].ends_with("ConnectionReset)"),
        "{notes:?}"
    );
}

#[test]
fn promise_12_an_end_that_came_before_a_reset_is_the_end() {
    let engine = driver::engine();
    let (mut peer, stream) = tcp_pair(&engine);
    peer.write_all(b"all of it").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    wait_for(&stream, Sign::End);
    let told = Told::new();
    engine.read_all(&stream, told.value("read"));
    engine.run().unwrap();
    reset(peer);
    wait_for(&stream, Sign::Reset);
    engine.read_all(&stream, told.value("exhausted"));
    engine.read_chunk(&stream, 1, told.value("chunk"));
    engine.run().unwrap();
    let expected = ["read b\"all of it\"", "exhausted b\"\"", "chunk EndOfStream"];
    assert_eq!(told.take(), expected);
}

#[test]
fn promise_12_an_unfinished_last_line_fails_as_a_line_and_is_left() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    peer.write_all(b"whole\nunfinished").unwrap();
    drop(peer);
    let told = Told::new();
    engine.read_line(&stream, told.value("first"));
    engine.read_line(&stream, told.value("second"));
    engine.expect_line(&stream, "unfinished", told.value("expected"));
    engine.buffered(&stream, told.value("buffered"));
    engine.read_until_any(
        &stream,
        [Pattern::line("unfinished"), Pattern::end()],
        told.value("any"),
    );
    engine.read_all(&stream, told.value("all"));
    engine.run().unwrap();
    let notes = told.take();
    assert_eq!(notes.len(), 6);
    let has = |note: &str| notes.iter().any(|other| other == note);
    assert!(has("first b\"whole\"") && has("second EndOfStream") && has("expected EndOfStream"));
    let any = notes.iter().find(|note| note.starts_with("any")).unwrap();
    assert!(any.contains("index: 1") && any.contains("b\"unfinished\""), "{any}");
    assert!(has("all b\"\""), "{notes:?}");
}

#[test]
fn promise_12_everything_at_an_exhausted_end_is_nothing() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    drop(peer);
    let told = Told::new();
    engine.read_all(&stream, told.value("all"));
    engine.read_all(&stream, told.value("again"));
    engine.read_exact(&stream, 1, told.value("exact"));
    engine.peek(&stream, 1, told.value("peek"));
    engine.run().unwrap();
    let expected = ["all b\"\"", "again b\"\"", "exact EndOfStream", "peek EndOfStream"];
    assert_eq!(told.take(), expected);
}

#[test]
fn promise_12_too_few_bytes_before_the_end_stay_for_the_next_read() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    peer.write_all(b"abc").unwrap();
    drop(peer);
    let told = Told::new();
    engine.read_exact(&stream, 4, told.value("exact"));
    engine.read_until(&stream, ";", told.value("until"));
    engine.read_chunk(&stream, 2, told.value("chunk"));
    engine.read_all(&stream, told.value("all"));
    engine.run().unwrap();
    let expected = ["exact EndOfStream", "until EndOfStream", "chunk b\"ab\"", "all b\"c\""];
    assert_eq!(told.take(), expected);
}

#[test]
fn the_end_of_what_is_read_leaves_writing_open() {
    let engine = driver::engine();
    let (mut peer, stream) = tcp_pair(&engine);
    peer.shutdown(Shutdown::Write).unwrap();
    let told = Told::new();
    engine.read_all(&stream, told.value("all"));
    engine.run().unwrap();
    engine.write(&stream, "still written", told.value("write"));
    engine.run().unwrap();
    drop(stream);
    engine.run().unwrap();
    assert_eq!(told.take(), ["all b\"\"", "write 13"]);
    let mut received = String::new();
    peer.read_to_string(&mut received).unwrap();
    assert_eq!(received, "still written");
}
