//! Addresses as people write them, and the options of sockets that are not there yet.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use facade_engine::{
    Address, Callback, ConnectOptions, Error, IntoAddress, ListenOptions, Result, Stream,
};
use facade_tests::told::{Basket, Told};

use super::driver;

#[test]
fn an_address_is_a_text_a_value_or_an_answer() {
    let engine = driver::engine();
    let told = Told::new();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let IpAddr::V4(ip) = address.ip() else { panic!("{address}") };
    engine.listen(String::from("127.0.0.1:0")).unwrap();
    engine.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    engine.listen((Ipv4Addr::LOCALHOST, 0)).unwrap();
    engine.listen(Address::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let text = address.to_string();
    let ignored = || (Callback::ignore(), told.callback("written"));
    for _ in 0..9 {
        engine.accept(&listener, Callback::ignore());
    }
    engine.connect(address, told.callback("value"));
    engine.connect(&*text, told.callback("str"));
    engine.connect(&text, told.callback("&String"));
    engine.connect(text.clone(), told.callback("String"));
    engine.connect((ip, address.port()), told.callback("pair"));
    let kept = Address::from(address);
    engine.connect(&kept, told.callback("&Address"));
    engine.connect(kept, told.callback("Address"));
    engine.connect_then_write_line(&*text, "hello", ignored());
    engine.chain().connect(text, Callback::ignore()).write("x", told.callback("chain")).submit();
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    let expected = [
        "&Address Ok",
        "&String Ok",
        "Address Ok",
        "String Ok",
        "chain Ok",
        "pair Ok",
        "str Ok",
        "value Ok",
        "written Ok",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn a_text_that_is_no_address_is_named_and_nothing_is_done() {
    let engine = driver::engine();
    let told = Told::new();
    for text in ["localhost:80", "127.0.0.1", "/run/x", ""] {
        let named = |error: Error| match error {
            Error::InvalidInput { what } => assert!(what.contains(&format!("{text:?}")), "{what}"),
            other => panic!("{other:?}"),
        };
        named(engine.listen(text).unwrap_err());
        named(engine.listen_with(text.to_owned(), &ListenOptions::new()).unwrap_err());
        let errors = Basket::new();
        let heard = errors.clone();
        let callback = Callback::from_fn(move |_, outcome: Result<Stream>| {
            heard.put(outcome.unwrap_err());
        });
        engine.connect(text, callback);
        assert!(errors.is_empty(), "it is told later");
        engine.connect_with(text, ConnectOptions::new(), told.callback("with"));
        let callbacks = (told.callback("first"), told.callback("second"));
        engine.connect_then_expect_line(text, "hello", callbacks);
        engine.run().unwrap();
        named(errors.only());
        let expected = ["with InvalidInput", "first InvalidInput", "second Stage(1, InvalidInput)"];
        assert_eq!(told.take(), expected);
    }
}

/// A type of the user's own.
struct Upstream {
    port: u16,
}

impl IntoAddress for Upstream {
    fn into_address(self) -> Result<Address> {
        match self.port {
            0 => Err(Error::other("no upstream")),
            port => Ok((Ipv4Addr::LOCALHOST, port).into()),
        }
    }
}

#[test]
fn a_users_own_type_is_an_address() {
    let engine = driver::engine();
    let told = Told::new();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    engine.connect(Upstream { port }, told.callback("there"));
    engine.run().unwrap();
    engine.connect(Upstream { port: 0 }, told.callback("nowhere"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["there Ok", "nowhere Other"]);
}

#[test]
fn options_without_a_meaning_are_left_aside_and_bad_ones_refused() {
    let engine = driver::engine();
    let told = Told::new();
    let minute = Duration::from_secs(60);
    let options = ListenOptions::new().backlog(3).dual_stack(true).nodelay(false).keepalive(minute);
    let listener = engine.listen_with("127.0.0.1:0", &options).unwrap();
    let address = listener.local_addr().unwrap();
    let options = ConnectOptions::new().nodelay(false).keepalive(minute);
    engine.accept(&listener, told.callback("accept"));
    engine.connect_with(address, options.clone(), Callback::ignore());
    engine.chain().connect_with(address, options, told.callback("chain")).submit();
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["accept Ok", "chain Ok"]);

    for silence in [Duration::ZERO, Duration::from_secs(32_768), Duration::MAX] {
        let options = ListenOptions::new().keepalive(silence);
        let refused = engine.listen_with("127.0.0.1:0", &options);
        assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{refused:?}");
        let options = ConnectOptions::new().keepalive(silence);
        engine.connect_with(address, options, told.callback("connect"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["connect InvalidInput"]);
    }
}

#[cfg(unix)]
#[test]
fn a_port_is_shared_only_by_those_who_say_so() {
    let (one, other) = (driver::engine(), driver::engine());
    let shared = ListenOptions::new().reuse_port(true);
    let listener = one.listen_with("127.0.0.1:0", &shared).unwrap();
    let address = listener.local_addr().unwrap();
    let same = other.listen_with(address, &shared).unwrap();
    assert_eq!(same.local_addr().unwrap(), address);
    assert!(matches!(other.listen(address), Err(Error::Io { .. })));
    let alone = other.listen("127.0.0.1:0").unwrap();
    let refused = one.listen_with(alone.local_addr().unwrap(), &shared);
    assert!(matches!(refused, Err(Error::Io { .. })));
}
