//! Arguments that make no sense: a typed error that names what was wrong, and nothing lost.

use std::{fs::File, io::Write};

use facade_engine::{
    Bytes, Callback, Error, Hints, IoOperation, LineGlob, Pattern, Regex, Result,
    matcher::{Matcher, Scan},
};
use facade_tests::{outcome::Outcome, told::Told, turns::turn_until};

use super::driver::{self, pair};

/// The words of an [`Error::InvalidInput`].
#[track_caller]
fn what_is_invalid(error: Error) -> String {
    match error {
        Error::InvalidInput { what } => what,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_names(error: Error, name: &str) {
    let what = what_is_invalid(error);
    assert!(what.contains(name), "{what:?} should name {name:?}");
}

// Reads

#[test]
fn reads_of_nothing_are_invalid_and_take_nothing() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    peer.write_all(b"line\n").unwrap();
    let (bytes, any) = (Outcome::<Bytes>::new(), Outcome::new());
    engine.read_chunk(&stream, 0, bytes.callback());
    engine.run().unwrap();
    assert_names(bytes.error(), "0");
    engine.peek(&stream, 0, bytes.callback());
    engine.run().unwrap();
    assert_names(bytes.error(), "0");
    engine.read_until(&stream, "", bytes.callback());
    engine.run().unwrap();
    assert_names(bytes.error(), "delimiter");
    engine.read_until_any(&stream, [], any.callback());
    engine.run().unwrap();
    assert_names(any.error(), "pattern");
    engine.read_until_any(&stream, [Pattern::bytes("x"), Pattern::bytes("")], any.callback());
    engine.run().unwrap();
    assert_names(any.error(), "pattern");
    let told = Told::new();
    engine.read_line(&stream, told.value("line"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["line b\"line\""]);
}

#[test]
fn an_invalid_read_does_not_disturb_those_that_wait() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    engine.read_line(&stream, told.value("first"));
    engine.read_chunk(&stream, 0, told.callback("bad"));
    engine.read_line(&stream, told.value("second"));
    turn_until(&engine, || told.len() == 1);
    assert_eq!(told.take(), ["bad InvalidInput"]);
    peer.write_all(b"1\n2\n").unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["first b\"1\"", "second b\"2\""]);
}

#[test]
fn an_invalid_stage_breaks_its_chain() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"line\n").unwrap();
    let chain = engine.chain().on(&stream);
    let chain = chain.read_chunk(0, told.callback("1")).read_line(told.callback("2"));
    chain.submit();
    engine.chain().read_line(told.callback("no stream")).submit();
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["1 InvalidInput", "2 Stage(1, InvalidInput)", "no stream InvalidInput"]);
    engine.chain().submit();
    engine.run().unwrap();
}

#[test]
fn a_matcher_that_finds_more_than_it_was_shown_is_invalid() {
    struct Liar;
    impl Matcher for Liar {
        type Output = Bytes;
        fn scan(&mut self, unread: &[u8], _: bool) -> Scan {
            Scan::Found { end: unread.len() + 1 }
        }
        fn restart(&mut self) {}
        fn output(&mut self, taken: Bytes) -> Result<Bytes> {
            Ok(taken)
        }
    }
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    peer.write_all(b"line\n").unwrap();
    let (outcome, told) = (Outcome::new(), Told::new());
    engine.read_with(&stream, Liar, outcome.callback());
    engine.read_line(&stream, told.value("line"));
    engine.run().unwrap();
    assert_names(outcome.error(), "matcher");
    assert_eq!(told.take(), ["line b\"line\""]);
}

// Patterns

#[test]
fn patterns_say_where_they_are_wrong() {
    for (pattern, hint) in
        [("a(b", "1"), ("", "empty"), ("a*", "empty"), ("(?:)", "empty"), ("a{1000}{1000}", "")]
    {
        let what = what_is_invalid(Regex::new(pattern).expect_err(pattern));
        assert!(!what.is_empty() && what.contains(hint), "{pattern}: {what}");
    }
    for glob in ["[a", "a\\"] {
        let what = what_is_invalid(LineGlob::new(glob).expect_err(glob));
        assert!(what.chars().any(|c| c.is_ascii_digit()), "{glob}: {what}");
    }
}

// Names

#[test]
fn hosts_and_services_that_can_be_none_are_invalid() {
    let engine = driver::engine();
    let long = "x".repeat(300);
    let cases: [(&str, &str, &str); 8] = [
        ("", "80", "host"),
        ("with\0nul", "80", "with\\0nul"),
        ("with blank", "80", "with blank"),
        (&long, "80", "host"),
        ("localhost", "65536", "65536"),
        ("localhost", "-1", "-1"),
        ("localhost", "", "service"),
        ("localhost", "ht\0tp", "service"),
    ];
    for (host, service, name) in cases {
        let found = Outcome::new();
        engine.getaddrinfo(host, service, Hints::default(), found.callback());
        engine.run().unwrap();
        assert_names(found.error(), name);
        let told = Told::new();
        let callbacks = (told.callback("lookup"), told.callback("connect"));
        engine.getaddrinfo_then_connect(host, service, callbacks);
        engine.run().unwrap();
        assert_eq!(told.take(), ["lookup InvalidInput", "connect Stage(1, InvalidInput)"]);
    }
}

#[test]
fn an_unknown_service_is_named() {
    let engine = driver::engine();
    let found = Outcome::new();
    engine.getaddrinfo("127.0.0.1", "no-such-service", Hints::default(), found.callback());
    engine.run().unwrap();
    let Error::Resolve { host, cause } = found.error() else { panic!() };
    assert_eq!(host, "127.0.0.1");
    assert!(cause.to_string().contains("no-such-service"), "{cause}");
}

// Descriptors

#[test]
fn an_address_in_use_is_the_systems_error() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let error = engine.listen(listener.local_addr().unwrap()).unwrap_err();
    let Error::Io { operation, cause } = error else { panic!("{error:?}") };
    assert_eq!((operation, cause.kind()), (IoOperation::Listen, std::io::ErrorKind::AddrInUse));
}

#[test]
fn a_stream_of_another_engine_is_served_by_its_own() {
    let (engine, other) = (driver::engine(), driver::engine());
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    other.read_line(&stream, told.value("line"));
    peer.write_all(b"line\n").unwrap();
    other.run().unwrap();
    assert!(told.is_empty());
    engine.run().unwrap();
    assert_eq!(told.take(), ["line b\"line\""]);
    other.accept(&engine.listen("127.0.0.1:0").unwrap(), Callback::ignore());
    other.run().unwrap();
}

#[test]
fn reading_what_is_only_written_and_writing_what_is_only_read_fails() {
    let engine = driver::engine();
    let told = Told::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let only_written = engine.attach(File::create(&path).unwrap()).unwrap();
    engine.read_chunk(&only_written, 1, told.callback("read"));
    let only_read = engine.attach(File::open(&path).unwrap()).unwrap();
    engine.write(&only_read, "x", told.callback("write"));
    engine.flush(&only_read, told.callback("flush"));
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes.len(), 3);
    assert!(notes[0].starts_with("flush Io(write"), "{notes:?}");
    assert!(notes[1].starts_with("read Io(read"), "{notes:?}");
    assert_eq!(notes[2], "write Ok");
}
