//! Time is the network's, and takes none.

use facade_engine::{
    Callback, Error, IoOperation,
    sim::{Link, Machine, Network, Peer},
};
use facade_tests::{outcome::Outcome, told::Told};
use std::{
    io::{ErrorKind, Read, Write},
    time::Duration,
};

use super::{builder, ms, slow, two_hosts};

#[test]
fn a_long_sleep_takes_no_time_and_ends_to_the_nanosecond() {
    let network = Network::new(1);
    let engine = builder(&network.host("here")).build().unwrap();
    let year = Duration::from_secs(365 * 24 * 3600) + Duration::from_nanos(7);
    engine.sleep(year, Callback::ignore());
    engine.run().unwrap();
    assert_eq!(network.now(), year);
}

#[test]
fn deadlines_come_in_order_and_equal_ones_in_the_order_submitted() {
    let network = Network::new(1);
    let engine = builder(&network.host("here")).build().unwrap();
    let told = Told::new();
    for (name, time) in [("c", 30), ("a", 10), ("b", 20), ("d", 30)] {
        engine.sleep(ms(time), told.callback(name));
    }
    engine.run().unwrap();
    assert_eq!(told.take(), ["a Ok", "b Ok", "c Ok", "d Ok"]);
}

#[test]
fn latency_and_bandwidth_are_what_was_asked_for() {
    let link = Link { bandwidth: Some(1000), ..slow(ms(50)) };
    let (network, here, _, engine) = two_hosts(1, Link::default());
    network.set_link(&here, &here, link);
    let (mut peer, stream) = Peer::pair(&engine).unwrap();
    engine.write(&stream, vec![7; 2000], Callback::ignore());
    engine.run().unwrap();
    assert_eq!(network.now(), Duration::ZERO);
    let mut all = [0; 2000];
    peer.read_exact(&mut all).unwrap();
    assert_eq!((all, network.now()), ([7; 2000], ms(2050)));
}

#[test]
fn what_arrives_at_the_deadline_is_no_timeout() {
    let (network, here, _, engine) = two_hosts(1, Link::default());
    network.set_link(&here, &here, slow(ms(20)));
    let (mut peer, stream) = Peer::pair(&engine).unwrap();
    let (told, line) = (Told::new(), b"hello\n");
    peer.write_all(line).unwrap();
    engine.read_line(&stream, told.timeout(ms(20)).callback("in time"));
    engine.run().unwrap();
    peer.write_all(line).unwrap();
    engine.read_line(&stream, told.timeout(ms(19)).callback("too late"));
    engine.read_line(&stream, told.callback("again"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["in time Ok", "too late TimedOut", "again Ok"]);
    assert_eq!(network.now(), ms(40));
}

#[test]
fn a_deadline_comes_although_the_program_is_always_busy() {
    let network = Network::new(1);
    let engine = builder(&network.host("here")).build().unwrap();
    fn again(engine: &facade_engine::Local) {
        engine.post(again);
    }
    engine.post(again);
    engine.sleep(ms(5), Callback::from_fn(|engine, _| engine.stop()));
    engine.run().unwrap();
    assert!(network.now() >= ms(5));
}

#[test]
fn waiting_for_what_never_comes_is_an_error_and_not_a_hang() {
    let network = Network::new(1);
    let engine = builder(&network.host("here")).build().unwrap();
    let (mut peer, stream) = Peer::pair(&engine).unwrap();
    let outcome = Outcome::new();
    engine.read_line(&stream, outcome.callback());
    match engine.run().unwrap_err() {
        Error::Io { operation: IoOperation::Wait, cause } => {
            assert_eq!(cause.kind(), ErrorKind::Deadlock)
        }
        error => panic!("{error:?}"),
    }
    assert_eq!(peer.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::Deadlock);
    assert!(network.run(&[&engine]).is_err());
    // Nothing has ended by that.
    peer.write_all(b"late\n").unwrap();
    engine.run().unwrap();
    assert_eq!(outcome.value(), "late");
}

#[test]
fn work_runs_on_the_engine_s_thread_after_a_time_that_is_drawn() {
    let network = Network::new(1);
    let host = network.host("here");
    host.set_machine(Machine { work: ms(10)..ms(10), ..Machine::default() });
    let engine = builder(&host).workers(2).build().unwrap();
    let (told, here) = (Told::new(), std::thread::current().id());
    for job in 0..5 {
        let noting = told.clone();
        let work = move || {
            assert_eq!(std::thread::current().id(), here);
            noting.note(format!("{job} runs"));
            job
        };
        engine.submit_work(work, told.value(job));
    }
    let late = engine.submit_work(|| panic!("it has not begun"), told.callback::<()>("cancelled"));
    late.cancel();
    engine
        .submit_work(|| std::panic::resume_unwind(Box::new(())), told.callback::<()>("panicking"));
    engine.run().unwrap();
    let notes = told.take();
    assert_eq!(notes[0], "cancelled Cancelled");
    assert_eq!(notes[1..5], ["0 runs", "1 runs", "0 0", "1 1"]);
    assert_eq!(notes.last().unwrap(), "panicking Panicked");
    // Two at a time, six in all.
    assert_eq!(network.now(), ms(30));
}

#[test]
fn time_goes_on_without_an_engine_but_not_to_its_end() {
    let network = Network::new(1);
    network.pass(ms(7));
    assert_eq!(network.now(), ms(7));
    let engine = builder(&network.host("here")).build().unwrap();
    network.pass(Duration::MAX);
    let outcome = Outcome::new();
    engine.sleep(Duration::MAX, outcome.callback());
    assert!(engine.run().is_err(), "nothing will happen in a thousand years");
    assert!(engine.next_deadline().is_none());
    drop(engine);
    assert!(matches!(outcome.error(), Error::EngineClosed));
}
