//! Repeating receives of datagrams: what the handler was given is taken, what it was not given is
//! there for the next receive, and the callback is told once how it ended.

use std::{cell::RefCell, rc::Rc, thread};

use facade_engine::{Callback, Cancel, Datagram, Engine, Error, Limits, Local, UdpSocket};
use facade_tests::{
    outcome::Outcome,
    told::Told,
    turns::{SOON, turn_until, turns},
};

use super::{
    datagrams::{send, two},
    driver::{self, pass},
};

fn text(datagram: &Datagram) -> String {
    String::from_utf8(datagram.bytes.to_vec()).unwrap()
}

/// Notes each datagram, and the end.
fn note_each(engine: &Engine, socket: &UdpSocket, told: &Told) -> Cancel {
    let note = told.clone();
    let f = move |_: &Local, datagram: Datagram| note.note(text(&datagram));
    told.submitting(|| engine.each_datagram(socket, f, told.callback("end")))
}

/// How many the engine has taken from the system that nobody has received.
fn untaken(socket: &UdpSocket) -> usize {
    let shown = format!("{socket:?}");
    let (_, rest) = shown.split_once("untaken: ").expect("it is shown");
    rest.split_once(',').unwrap().0.parse().unwrap()
}

fn numbers(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

#[test]
fn promise_13_each_datagram_is_given_all_whole_and_in_order() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    let told = Told::new();
    let cancel = note_each(&engine, &socket, &told);
    let mut sent = 0;
    // Few and many at a time, more than are taken ahead.
    for many in [1, 3, 100, 200] {
        let from = sent;
        for _ in 0..many {
            send(&peer, sent.to_string(), &socket);
            sent += 1;
        }
        turn_until(&engine, || told.len() == many);
        assert_eq!(told.take(), numbers(from..sent));
    }
    send(&peer, "", &socket);
    turn_until(&engine, || !told.is_empty());
    cancel.cancel();
    engine.run().unwrap();
    assert_eq!(told.take(), ["", "end Cancelled"]);
}

#[test]
fn promise_08_cancelled_in_its_handler_it_leaves_the_next_datagram_to_the_next_receive() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    let told = Told::new();
    let note = told.clone();
    let f = move |local: &Local, datagram: Datagram| {
        note.note(text(&datagram));
        if datagram.bytes == "1" {
            assert!(local.repeating().cancel());
        }
    };
    engine.each_datagram(&socket, f, told.callback("end"));
    let then = Outcome::<Datagram>::new();
    engine.recv_from(&socket, then.callback());
    for number in 0..4 {
        send(&peer, number.to_string(), &socket);
    }
    engine.run().unwrap();
    assert_eq!(told.take(), ["0", "1", "end Cancelled"]);
    assert_eq!(then.value().bytes, "2");
    note_each(&engine, &socket, &told);
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["3"]);
}

#[test]
fn promise_06_cancelled_from_anywhere_at_any_time_it_ends_and_loses_nothing() {
    for when in 0..6 {
        let engine = driver::engine();
        let (peer, socket) = two(&engine);
        let told = Told::new();
        if when == 0 {
            (0..2).for_each(|number| send(&peer, number.to_string(), &socket));
        }
        let cancel = note_each(&engine, &socket, &told);
        turns(&engine, when / 2);
        if when > 0 {
            (0..2).for_each(|number| send(&peer, number.to_string(), &socket));
            turns(&engine, when / 3);
        }
        match when < 3 {
            true => assert!(thread::spawn(move || cancel.cancel()).join().unwrap()),
            false => assert!(cancel.cancel()),
        }
        engine.run().unwrap();
        let mut heard = told.take();
        assert_eq!(heard.pop().unwrap(), "end Cancelled", "{when}");
        note_each(&engine, &socket, &told);
        turn_until(&engine, || heard.len() + told.len() == 2);
        heard.extend(told.take());
        assert_eq!(heard, ["0", "1"], "{when}");
    }
}

#[test]
fn promise_07_the_timeout_bounds_the_wait_for_each_datagram() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    let told = Told::new();
    note_each(&engine, &socket, &told.timeout(SOON * 4));
    // Longer than that, taken together.
    for _ in 0..4 {
        send(&peer, "one", &socket);
        turn_until(&engine, || !told.is_empty());
        assert_eq!(told.take(), ["one"]);
        pass(SOON * 2);
    }
    // What has arrived is no timeout.
    pass(SOON * 2);
    send(&peer, "in time", &socket);
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["in time"]);
    pass(SOON * 4);
    engine.run().unwrap();
    assert_eq!(told.take(), ["end TimedOut"]);
    send(&peer, "late", &socket);
    let next = Outcome::<Datagram>::new();
    engine.recv_from(&socket, next.callback());
    engine.run().unwrap();
    assert_eq!(next.value().bytes, "late");
}

#[test]
fn promise_14_a_paused_one_takes_no_more_than_the_limit_and_no_time_passes() {
    let limits = Limits { datagrams: 3, ..Limits::default() };
    let engine = driver::builder().limits(limits).build().unwrap();
    let (peer, socket) = two(&engine);
    let (told, pauses) = (Told::new(), Rc::new(RefCell::new(Vec::new())));
    let (note, guards) = (told.clone(), Rc::clone(&pauses));
    let f = move |local: &Local, datagram: Datagram| {
        note.note(text(&datagram));
        guards.borrow_mut().push(local.repeating().pause());
    };
    engine.each_datagram(&socket, f, told.timeout(SOON).callback("end"));
    (0..20).for_each(|number| send(&peer, number.to_string(), &socket));
    for number in 0..20 {
        turn_until(&engine, || !told.is_empty());
        turns(&engine, 3);
        if number == 7 {
            pass(SOON * 2);
            turns(&engine, 3);
        }
        assert_eq!(told.take(), [number.to_string()]);
        assert!(untaken(&socket) <= 3, "{socket:?}");
        pauses.borrow_mut().clear();
    }
    engine.run().unwrap();
    assert_eq!(told.take(), ["end TimedOut"]);
}

#[test]
#[cfg(unix)]
fn promise_12_a_failure_comes_after_the_datagrams_before_it_and_the_socket_goes_on() {
    let engine = driver::engine();
    let peer = driver::bind_udp(super::datagrams::HERE).unwrap();
    let address = peer.local_addr().unwrap();
    let socket = engine.connect_udp(address).unwrap();
    let told = Told::new();
    send(&peer, "one", &socket);
    drop(peer);
    engine.send(&socket, "into the void", told.callback("send"));
    turn_until(&engine, || !told.is_empty());
    note_each(&engine, &socket, &told);
    // The second is told of nothing: the failure was told.
    let second = note_each(&engine, &socket, &told);
    turn_until(&engine, || told.len() == 3);
    let mut heard = told.take();
    // The system tells of a failure before it hands out what came earlier.
    heard.sort();
    assert_eq!(heard, ["end Io(receive, ConnectionRefused)", "one", "send Ok"]);
    let peer = driver::bind_udp(&address.to_string()).unwrap();
    send(&peer, "two", &socket);
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["two"]);
    second.cancel();
    engine.run().unwrap();
    assert_eq!(told.take(), ["end Cancelled"]);
}

#[test]
fn the_socket_closed_under_it_is_its_end() {
    for paused in [false, true] {
        let engine = driver::engine();
        let (peer, socket) = two(&engine);
        let told = Told::new();
        let cancel = note_each(&engine, &socket, &told);
        let pause = paused.then(|| cancel.pause());
        turns(&engine, 2);
        send(&peer, "late", &socket);
        engine.close(&socket, told.callback("close"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["end Closed", "close Ok"]);
        note_each(&engine, &socket, &told);
        engine.run().unwrap();
        assert_eq!(told.take(), ["end Closed"]);
        drop(pause);
    }
}

#[test]
fn promise_17_a_panic_of_the_handler_ends_it_and_costs_no_datagram() {
    let engine = driver::engine();
    let (peer, socket) = two(&engine);
    let told = Told::new();
    let f = |_: &Local, _: Datagram| panic!("as the test wants it");
    engine.each_datagram(&socket, f, told.callback("end"));
    note_each(&engine, &socket, &told);
    (0..3).for_each(|number| send(&peer, number.to_string(), &socket));
    let run = std::panic::AssertUnwindSafe(|| turn_until(&engine, || told.len() == 3));
    assert!(std::panic::catch_unwind(run).is_err());
    turn_until(&engine, || told.len() == 3);
    assert_eq!(told.take(), ["end Panicked", "1", "2"]);
}

#[test]
fn promise_16_an_engine_that_goes_tells_it() {
    let engine = driver::engine();
    let (_peer, socket) = two(&engine);
    let told = Told::new();
    note_each(&engine, &socket, &told);
    turns(&engine, 2);
    drop(engine);
    assert_eq!(told.take(), ["end EngineClosed"]);
    let handle = socket.handle().clone();
    // Refused unrun.
    handle.each_datagram(&socket, |_, _| (), told.callback("late"));
    assert!(told.is_empty());
}

#[test]
fn what_it_waits_for_is_listed_and_another_engines_socket_refused() {
    let engine = driver::engine();
    let (_peer, socket) = two(&engine);
    let told = Told::new();
    note_each(&engine, &socket, &told);
    turns(&engine, 1);
    assert_eq!(engine.pending()[0].operation, "each_datagram");
    let other = driver::engine();
    let outcome = Outcome::new();
    let kept = Rc::new(());
    other.each_datagram(&socket, move |_, _| drop(Rc::clone(&kept)), outcome.callback());
    other.run().unwrap();
    assert!(matches!(outcome.error(), Error::InvalidInput { .. }));
    let handle = other.handle().clone();
    handle.each_datagram(&socket, |_, _| (), Callback::ignore()).cancel();
}
