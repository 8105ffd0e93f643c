//! Chains that hand on their stream: every callback gets it that wants it, and nothing else
//! changes.

use std::{
    io::{Read, Write},
    time::Duration,
};

use facade_engine::{Bytes, Callback, Claim, LineGlob, Pattern, Regex, RegexMatch, Result, Stream};
use facade_tests::{
    reads::UpTo,
    told::{Basket, Told},
};

use super::driver::{self, pair, tcp_pair};

#[test]
fn the_stream_comes_with_each_value_behind_with_stream() {
    let engine = driver::engine();
    let told = Told::new();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let mut peer = driver::connect(listener.local_addr().unwrap()).unwrap();
    peer.write_all(b"abcde|line\r\nskip\nglob\nx=4;zEND3expected\nrest").unwrap();
    let streams = Basket::<Stream>::new();
    engine
        .chain()
        .accept(&listener, streams.callback())
        .read_chunk(1, told.value("chunk"))
        .with_stream()
        .read_exact(3, with(&told, &streams, "exact"))
        .read_until("|", with(&told, &streams, "until"))
        .read_line(with(&told, &streams, "line"))
        .read_until_lineglob(LineGlob::new("gl?b").unwrap(), ignoring(&streams))
        .read_until_regex(Regex::new("x=4;").unwrap(), ignoring(&streams))
        .read_until_any([Pattern::bytes("END")], ignoring(&streams))
        .read_with(UpTo(b"3"), with(&told, &streams, "with"))
        .write("one ", with(&told, &streams, "write"))
        .write_vectored(["two", " "], with(&told, &streams, "vectored"))
        .write_line("three", with(&told, &streams, "write_line"))
        .flush(with(&told, &streams, "flush"))
        .expect_line("expected", with(&told, &streams, "expect"))
        .expect_multiline_regex(Regex::new("re").unwrap(), ignoring(&streams))
        .shutdown_write(with(&told, &streams, "shutdown"))
        .submit();
    engine.run().unwrap();
    let mut written = String::new();
    peer.read_to_string(&mut written).unwrap();
    assert_eq!(written, "one two three\r\n");
    let streams = streams.take();
    assert_eq!(streams.len(), 15);
    assert!(streams.iter().all(|stream| *stream == streams[0]));
    let expected = [
        "chunk b\"a\"",
        "exact b\"bcd\"",
        "until b\"e|\"",
        "line b\"line\"",
        "with b\"3\"",
        "write 4",
        "vectored 4",
        "write_line 7",
        "flush ()",
        "expect b\"expected\"",
        "shutdown ()",
    ];
    assert_eq!(told.take(), expected);
}

/// A callback that notes the value and keeps the stream.
fn with<T: std::fmt::Debug + Send + 'static>(
    told: &Told,
    streams: &Basket<Stream>,
    name: &'static str,
) -> Callback<(Stream, T)> {
    let streams = streams.clone();
    told.value(name).map(move |(stream, value)| {
        streams.put(stream);
        value
    })
}

fn ignoring<T: Send + 'static>(streams: &Basket<Stream>) -> Callback<(Stream, T)> {
    let streams = streams.clone();
    Callback::new(move |_, (stream, _)| streams.put(stream), |_, error| panic!("{error}"))
}

#[test]
fn a_stream_that_is_worked_on_is_the_one_that_comes() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    peer.write_all(b"hello\n").unwrap();
    let pairs = Basket::<(Stream, Bytes)>::new();
    engine.chain().on(&stream).with_stream().read_line(pairs.callback()).submit();
    engine.run().unwrap();
    let (same, line) = pairs.only();
    assert_eq!((same, &*line), (stream, &b"hello"[..]));
}

#[test]
fn failures_are_told_as_without_the_stream() {
    let engine = driver::engine();
    let (mut peer, stream) = tcp_pair(&engine);
    let told = Told::new();
    let value = |name| told.callback::<(Stream, Bytes)>(name);
    peer.write_all(b"one\ntwo\n").unwrap();
    let chain = engine.chain().on(&stream).with_stream();
    chain.expect_line("two", value("first")).read_line(value("second")).submit();
    engine.run().unwrap();
    assert_eq!(
        told.take(),
        ["first Unexpected(b\"one\")", "second Stage(1, Unexpected(b\"one\"))"]
    );

    engine.chain().with_stream().read_line(value("nowhere")).submit();
    engine.run().unwrap();
    assert_eq!(told.take(), ["nowhere InvalidInput"]);

    engine.consume(&stream, 8);
    let chain = engine.chain().on(&stream).with_stream();
    chain.read_line(value("late").timeout(Duration::ZERO)).submit();
    engine.chain().on(&stream).with_stream().read_line(value("cancelled")).submit().cancel();
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["cancelled Cancelled", "late TimedOut"]);
}

#[test]
fn promise_08_a_claim_with_its_stream_that_is_not_taken_gives_back_what_it_was_made_of() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"hello\r\n").unwrap();
    let notes = told.clone();
    let dropping = Callback::claim(move |engine, claim: Result<Claim<(Stream, Bytes)>>| {
        drop(claim);
        engine.post(move |_| notes.note("dropped"));
    });
    engine.chain().on(&stream).with_stream().read_line(dropping).submit();
    engine.run().unwrap();
    engine.read_exact(&stream, 7, told.value("raw"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["dropped", "raw b\"hello\\r\\n\""]);
}

#[test]
fn a_stream_that_only_the_last_callback_got_ends_with_it() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let mut peer = driver::connect(listener.local_addr().unwrap()).unwrap();
    peer.write_all(b"hello\n").unwrap();
    let found = Basket::<(Stream, RegexMatch)>::new();
    engine
        .chain()
        .accept(&listener, Callback::ignore())
        .with_stream()
        .read_until_regex(Regex::new("hello\n").unwrap(), found.callback())
        .submit();
    engine.run().unwrap();
    let (stream, _) = found.only();
    engine.write(&stream, "bye", Callback::ignore());
    drop(stream);
    engine.run().unwrap();
    let mut received = String::new();
    peer.read_to_string(&mut received).unwrap();
    assert_eq!(received, "bye");
}

#[test]
fn a_chain_goes_to_the_engine_of_its_stream_or_listener() {
    let (one, other) = (driver::engine(), driver::engine());
    let told = Told::new();
    // The first stream of each, so that both engines know theirs by the same number.
    let ((mut peer_of_one, _stream_of_one), (mut peer, stream)) = (pair(&one), pair(&other));
    one.run().unwrap();
    other.run().unwrap();
    peer_of_one.write_all(b"not this\n").unwrap();
    peer.write_all(b"answer\n").unwrap();
    let callbacks = (told.callback("write"), told.callback("line"));
    one.write_then_expect_line(&stream, "question", "answer", callbacks);
    one.chain().on(&stream).flush(told.callback("flush")).submit();
    one.run().unwrap();
    assert!(told.is_empty());
    other.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["flush Ok", "line Ok", "write Ok"]);
    let mut question = [0; 8];
    peer.read_exact(&mut question).unwrap();
    assert_eq!(&question, b"question");

    let listener = other.listen("127.0.0.1:0").unwrap();
    let mut client = driver::connect(listener.local_addr().unwrap()).unwrap();
    one.accept_then_write(&listener, "hello", (told.callback("accept"), told.callback("write")));
    other.run().unwrap();
    assert_eq!(told.take(), ["accept Ok", "write Ok"]);
    client.read_exact(&mut question[..5]).unwrap();
    assert_eq!(&question[..5], b"hello");
}

#[test]
fn a_chain_over_two_engines_is_refused() {
    let (one, other) = (driver::engine(), driver::engine());
    let told = Told::new();
    let (_peer, stream) = pair(&one);
    let listener = other.listen("127.0.0.1:0").unwrap();
    let chain = one.chain().accept(&listener, told.callback("accept"));
    chain.on(&stream).write("x", told.callback("write")).submit();
    let chain = one.chain().on(&stream).write("x", told.callback("write"));
    chain.accept(&listener, told.callback("accept")).submit();
    let chain = one.chain().on(&stream).accept(&listener, told.callback("accept"));
    chain
        .on(&stream)
        .expect_multiline_regex(Regex::new("x").unwrap(), told.callback("regex"))
        .submit();
    one.run().unwrap();
    other.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    let expected = [
        "accept InvalidInput",
        "accept InvalidInput",
        "accept Stage(1, InvalidInput)",
        "regex InvalidInput",
        "write InvalidInput",
        "write Stage(1, InvalidInput)",
    ];
    assert_eq!(notes, expected);
}
