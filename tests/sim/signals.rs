//! Signals of simulated hosts: raised by the test, told as a system's are, in virtual time.

use std::{io::ErrorKind, time::Duration};

use facade_engine::{Bytes, Callback, Error, Handle, IoOperation, Local, Stream, sim::Network};
use facade_tests::{
    told::{Basket, Told},
    turns::turns,
};

use super::{builder, ms};

/// One that every system has.
const SIGINT: i32 = 2;

#[test]
fn a_server_ends_in_good_order_after_an_hour_of_its_own_time() {
    const HOUR: Duration = Duration::from_secs(3600);
    fn serve(local: &Handle, stream: Stream) {
        let again = stream.clone();
        let next = move |local: &Local, line: Bytes| {
            local.write_line(&again, line, Callback::ignore());
            serve(local, again);
        };
        local.read_line(&stream, Callback::new(next, |_, _| ()));
    }
    let network = Network::new(3);
    let (client, server) = (network.host("client"), network.host("server"));
    let engine = builder(&server).build().unwrap();
    let listener = engine.listen(server.at(7)).unwrap();
    engine.each_connection(
        &listener,
        |local: &Local, stream: Stream| serve(local, stream),
        Callback::ignore(),
    );
    // It stops listening, answers what has come, and the run ends by itself.
    engine.signal(
        SIGINT,
        Callback::new(
            move |local, ()| {
                local.close(&listener, Callback::ignore());
            },
            |_, error| panic!("{error}"),
        ),
    );
    let peer = client.connect(server.at(7)).unwrap();
    let (told, host) = (Told::new(), server.clone());
    let note = told.clone();
    let raise = move |local: &Local, ()| {
        assert!(host.raise(SIGINT));
        note.note("raised");
        // Asked before the client has gone.
        local.post(move |_| drop(peer));
    };
    engine.sleep(HOUR, Callback::new(raise, |_, error| panic!("{error}")));
    engine.run().unwrap();
    assert_eq!(told.take(), ["raised"]);
    assert_eq!(network.now(), HOUR);
    assert_eq!(client.connect(server.at(7)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(server.descriptors(), 0);
}

#[test]
fn every_engine_of_the_host_is_told_and_no_other() {
    let network = Network::new(1);
    let (here, there) = (network.host("here"), network.host("there"));
    let engines = [&here, &here, &there].map(|host| builder(host).build().unwrap());
    let told = Told::new();
    for (number, engine) in engines.iter().enumerate() {
        engine.signal(SIGINT, told.callback(format!("{number}, once")));
        engine.signal(SIGINT, told.callback(format!("{number}, again")));
        turns(engine, 1);
    }
    assert!(here.raise(SIGINT));
    assert!(told.is_empty(), "never inside the call");
    engines.iter().for_each(|engine| turns(engine, 2));
    assert_eq!(told.take(), ["0, once Ok", "0, again Ok", "1, once Ok", "1, again Ok"]);
    assert!(there.raise(SIGINT));
    turns(&engines[2], 2);
    assert_eq!(told.take(), ["2, once Ok", "2, again Ok"]);
}

#[test]
fn one_that_comes_while_nobody_waits_is_kept_once() {
    let network = Network::new(1);
    let host = network.host("here");
    let engine = builder(&host).build().unwrap();
    assert!(!host.raise(SIGINT), "nobody has asked for it yet");
    let told = Told::new();
    engine.signal(SIGINT, told.timeout(ms(5)).callback("before"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["before TimedOut"]);
    for _ in 0..3 {
        assert!(host.raise(SIGINT));
    }
    engine.signal(SIGINT, told.dropping_claims().callback("claim"));
    engine.run().unwrap();
    engine.signal(SIGINT, told.callback("first"));
    engine.signal(SIGINT, told.timeout(ms(5)).callback("second"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["claim dropped", "first Ok", "second TimedOut"]);
    assert_eq!(network.now(), ms(10), "what is kept is told at once");
}

#[test]
fn promise_04_one_that_came_in_time_is_no_timeout_and_no_cancel() {
    let network = Network::new(1);
    let host = network.host("here");
    let engine = builder(&host).build().unwrap();
    let told = Told::new();
    engine.signal(SIGINT, told.timeout(ms(5)).callback("expired"));
    let cancel = engine.signal(SIGINT, told.callback("cancelled"));
    turns(&engine, 1);
    network.pass(ms(10));
    host.raise(SIGINT);
    cancel.cancel();
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["cancelled Ok", "expired Ok"]);
}

#[test]
fn an_engine_that_is_gone_is_told_of_none() {
    let network = Network::new(1);
    let host = network.host("here");
    let engine = builder(&host).build().unwrap();
    let told = Told::new();
    engine.signal(SIGINT, told.callback("gone"));
    drop(engine);
    assert_eq!(told.take(), ["gone EngineClosed"]);
    assert!(!host.raise(SIGINT));
}

#[test]
fn what_is_no_signal_is_refused_as_by_the_system() {
    let engine = builder(&Network::new(1).host("here")).build().unwrap();
    // As elsewhere: SIGKILL and SIGSEGV, and what no system has.
    let numbers = [9, 11, 0, -1, i32::MIN, i32::MAX, 4711];
    let errors = Basket::new();
    for number in numbers {
        let errors = errors.clone();
        engine.signal(number, Callback::new(|_, ()| panic!(), move |_, error| errors.put(error)));
    }
    engine.run().unwrap();
    let is_refused = |error: &Error| match cfg!(windows) {
        true => matches!(error, Error::Unsupported { .. }),
        false => matches!(error, Error::InvalidInput { .. }),
    };
    let errors = errors.take();
    assert_eq!(errors.len(), numbers.len());
    assert!(errors.iter().all(is_refused), "{errors:?}");
}

#[test]
fn a_wait_for_one_that_nobody_raises_says_so() {
    let engine = builder(&Network::new(1).host("here")).build().unwrap();
    engine.signal(SIGINT, Callback::ignore());
    let error = engine.run().unwrap_err();
    let Error::Io { operation: IoOperation::Wait, cause } = &error else { panic!("{error:?}") };
    assert_eq!(cause.kind(), ErrorKind::Deadlock);
}

#[test]
fn what_is_raised_is_a_part_of_what_happened() {
    let fingerprint = |raise: bool| {
        let network = Network::new(1);
        network.record();
        if raise {
            network.host("here").raise(SIGINT);
        }
        (network.fingerprint(), network.recorded())
    };
    let (with, words) = fingerprint(true);
    assert!(words[0].ends_with("here gets signal 2"), "{words:?}");
    assert_ne!(with, fingerprint(false).0);
    assert_eq!(with, fingerprint(true).0);
}
