//! The system refuses datagrams, for a moment or for good: at calls, injected by strace(1), by which all
//! real drivers send and receive them.

use std::time::Duration;

use facade_engine::Callback;
use facade_tests::{faults::with_faults, outcome::Outcome, told::Told, turns::turns};

use super::driver;

const HERE: &str = "127.0.0.1:0";

#[test]
fn memory_that_is_short_for_a_moment_is_waited_for() {
    let faults = [
        "sendto:error=ENOBUFS:when=1",
        "sendto:error=ENOMEM:when=1..5",
        "sendto:error=ENOBUFS:when=1+2",
        "sendto:error=EINTR:when=1..3",
        "recvfrom:error=ENOBUFS:when=1",
        "recvfrom:error=ENOMEM:when=1..5",
        "recvfrom:error=ENOBUFS:when=2+3",
        "recvfrom:error=EINTR:when=1..3",
    ];
    let name = "memory_that_is_short_for_a_moment_is_waited_for";
    with_faults(module_path!(), name, faults, |_| {
        let engine = driver::engine();
        let (one, other) = (engine.bind_udp(HERE).unwrap(), engine.bind_udp(HERE).unwrap());
        let told = Told::new();
        for number in 0..20 {
            engine.recv_from(&other, told.callback(number));
            let text = number.to_string();
            engine.send_to(&one, text, other.local_addr().unwrap(), Callback::ignore());
            turns(&engine, 1);
        }
        engine.run().unwrap();
        let expected: Vec<_> = (0..20).map(|number| format!("{number} Ok")).collect();
        assert_eq!(told.take(), expected);
    });
}

#[test]
fn what_does_not_pass_is_told_and_the_socket_goes_on() {
    let faults = ["sendto:error=EPERM:when=1", "sendto:error=ENETUNREACH:when=1"];
    let name = "what_does_not_pass_is_told_and_the_socket_goes_on";
    with_faults(module_path!(), name, faults, |_| {
        let engine = driver::engine();
        let socket = engine.bind_udp(HERE).unwrap();
        let (outcome, told) = (Outcome::new(), Told::new());
        let to = socket.local_addr().unwrap();
        engine.send_to(&socket, "x", to, outcome.callback());
        engine.run().unwrap();
        let error = outcome.error();
        assert!(error.to_string().starts_with(&format!("send to {to}: ")), "{error}");
        engine.send_to(&socket, "x", to, told.callback("next"));
        engine.recv_from(&socket, told.callback("receive"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["next Ok", "receive Ok"]);
    });
}

#[test]
fn memory_that_stays_short_is_told_after_a_while() {
    let name = "memory_that_stays_short_is_told_after_a_while";
    with_faults(module_path!(), name, ["sendto:error=ENOBUFS:when=1+"], |_| {
        let engine = driver::engine();
        let socket = engine.bind_udp(HERE).unwrap();
        let told = Told::new();
        let to = socket.local_addr().unwrap();
        engine.send_to(&socket, "x", to, told.callback("first"));
        engine.send_to(&socket, "x", to, told.callback("cancelled")).cancel();
        engine.send_to(&socket, "x", to, told.timeout(Duration::ZERO).callback("expired"));
        engine.run().unwrap();
        let heard = told.take();
        assert_eq!(heard[..2], ["cancelled Cancelled", "expired TimedOut"]);
        assert!(heard[2].starts_with("first Io(send, "), "{heard:?}");
    });
}
