//! What errors of the engine say: what was tried, on what, and why; and what becomes of the
//! system's code.

use std::{error::Error as _, io, thread};

use facade_engine::{Callback, Error, IoOperation, Limits, Stream};
use facade_tests::{
    codes::{IN_USE, NOBODY_READS, REFUSED, RESET, words},
    outcome::Outcome,
    peers::reset,
    skipped::misses_resets,
    turns::turn_until,
};

use super::driver::{self, bind, pair};

/// That an error of the system says all, to whoever looks at it in whatever way.
#[track_caller]
fn assert_says(error: Error, text: &str, code: i32) {
    assert_eq!(error.to_string(), text);
    assert_eq!(error.raw_os_error(), Some(code));
    let source = error.source().expect("the system's error");
    let source = source.downcast_ref::<io::Error>().expect("as std has it");
    assert_eq!(source.raw_os_error(), Some(code));
    let converted = io::Error::from(error);
    assert_eq!(converted.raw_os_error(), Some(code), "the code survives");
    assert_eq!(converted.kind(), io::Error::from_raw_os_error(code).kind());
}

#[test]
fn a_refused_connect_says_whom_it_tried() {
    let engine = driver::engine();
    let nobody = bind().local_addr().unwrap();
    let outcome = Outcome::new();
    engine.connect(nobody, outcome.callback());
    engine.run().unwrap();
    let text = format!("connect to {nobody}: {}", words(REFUSED));
    assert_says(outcome.error(), &text, REFUSED);
}

#[test]
fn an_address_in_use_is_named() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let text = format!("listen on {address}: {}", words(IN_USE));
    assert_says(engine.listen(address).unwrap_err(), &text, IN_USE);
}

/// Of a connection that was reset, the system no longer tells to whom it led.
#[test]
fn a_failed_read_or_write_says_whom_the_stream_was_connected_to() {
    if misses_resets(
        "a_failed_read_or_write_says_whom_the_stream_was_connected_to",
        &driver::name(),
    ) {
        return;
    }
    let engine = driver::engine();
    let listener = bind();
    let address = listener.local_addr().unwrap();
    let (connected, outcome) = (Outcome::<Stream>::new(), Outcome::new());
    engine.connect(address, connected.callback());
    turn_until(&engine, || connected.is_there());
    let stream = connected.value();
    engine.set_limits(&stream, Limits::default());
    reset(listener.accept().unwrap().0);
    engine.read_line(&stream, outcome.callback());
    engine.run().unwrap();
    let text = format!("read from {address}: {}", words(RESET));
    assert_says(outcome.error(), &text, RESET);
    let flushed = Outcome::new();
    engine.write(&stream, "to nobody", Callback::ignore());
    engine.flush(&stream, flushed.callback());
    engine.run().unwrap();
    let error: Error = flushed.error();
    let code = error.raw_os_error().expect("the system's");
    assert!(NOBODY_READS.contains(&code), "{error}");
    assert_says(error, &format!("write to {address}: {}", words(code)), code);
}

#[test]
fn a_stream_without_an_address_is_named_by_what_it_is() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    reset(peer);
    let flushed = Outcome::new();
    engine.write(&stream, "to nobody", Callback::ignore());
    engine.flush(&stream, flushed.callback());
    engine.run().unwrap();
    let Error::Io { operation: IoOperation::Write, cause } = flushed.error() else { panic!() };
    let on = cause.on().unwrap();
    let kind = if driver::PAIRS_ARE_TCP { "TCP socket" } else { "Unix socket" };
    assert!(on.starts_with(&format!("{kind} (")), "{on}");
}

#[test]
fn what_a_chain_failed_with_is_said_once() {
    let engine = driver::engine();
    let nobody = bind().local_addr().unwrap();
    let outcome = Outcome::new();
    engine.chain().connect(nobody, Callback::ignore()).read_line(outcome.callback()).submit();
    engine.run().unwrap();
    let error: Error = outcome.error();
    let connect = format!("connect to {nobody}: {}", words(REFUSED));
    assert_eq!(error.to_string(), format!("stage 1 of the chain failed: {connect}"));
    assert_eq!(error.raw_os_error(), Some(REFUSED));
    assert_eq!(error.source().unwrap().to_string(), connect);
}

#[test]
fn a_line_that_was_not_expected_is_shown_cut_short() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let writer = thread::spawn(move || {
        io::Write::write_all(&mut peer, &[b'x'; 100_000]).unwrap();
        io::Write::write_all(&mut peer, b"\n").unwrap();
        peer
    });
    let outcome = Outcome::new();
    engine.expect_line(&stream, "OK", outcome.callback());
    engine.run().unwrap();
    drop(writer.join().unwrap());
    let error: Error = outcome.error();
    let got = format!("got \"{}\" and so on, 100000 bytes", "x".repeat(80));
    assert_eq!(error.to_string(), format!("expected \"OK\", {got}"));
    assert!(format!("{error:?}").len() < 200, "{error:?}");
    let Error::Unexpected { line, .. } = error else { panic!("{error:?}") };
    assert_eq!(line.len(), 100_000, "all of it, for the program");
}
