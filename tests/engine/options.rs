//! What options make of sockets, as the system tells.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use facade_engine::{
    AddrInfo, Callback, ConnectOptions, Engine, Error, Keepalive, ListenOptions, Result, Stream,
};
use facade_tests::{
    outcome::Outcome,
    told::{Basket, Told},
    turns::turn_until,
};
use socket2::SockRef;

use super::driver;

fn settings(stream: Stream) -> (bool, Option<Duration>) {
    let socket = SockRef::from(&stream);
    let keepalive = socket.keepalive().unwrap().then(|| silence_of(&socket));
    (socket.tcp_nodelay().unwrap(), keepalive)
}

/// How long a connection is silent before it is asked whether it is there.
#[cfg(unix)]
fn silence_of(socket: &SockRef<'_>) -> Duration {
    socket.tcp_keepalive_time().unwrap()
}

/// Nobody tells; it is the minute that is asked for.
#[cfg(windows)]
fn silence_of(_: &SockRef<'_>) -> Duration {
    Duration::from_secs(60)
}

#[test]
fn connections_have_what_was_said_of_them_at_both_ends() {
    let engine = driver::engine();
    let streams = Basket::<Stream>::new();
    let pair_of = |listening: &ListenOptions, connecting: ConnectOptions| {
        let listener = engine.listen_with("127.0.0.1:0", listening).unwrap();
        let (accepted, connected) = (Basket::<Stream>::new(), &streams);
        engine.accept(&listener, accepted.callback());
        engine.connect_with(listener.local_addr().unwrap(), connecting, connected.callback());
        engine.run().unwrap();
        (settings(accepted.only()), settings(connected.only()))
    };
    let plain = (true, None);
    assert_eq!(pair_of(&ListenOptions::default(), ConnectOptions::default()), (plain, plain));
    let quiet = Duration::from_millis(59_001);
    let listening = ListenOptions::new().nodelay(false).keepalive(quiet);
    let minute = (false, Some(Duration::from_secs(60)));
    assert_eq!(pair_of(&listening, ConnectOptions::new()), (minute, plain));
    let connecting = ConnectOptions::new().nodelay(false).keepalive(quiet);
    assert_eq!(pair_of(&ListenOptions::new(), connecting), (plain, minute));
}

#[test]
fn a_connection_begins_where_it_was_bound() {
    let engine = driver::engine();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let streams = Basket::<Stream>::new();
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 3), 0));
    engine.connect_with(address, ConnectOptions::new().bind(from), streams.callback());
    engine.run().unwrap();
    let local = streams.only().local_addr().unwrap();
    assert_eq!(local.ip(), from.ip());
    assert_eq!(listener.accept().unwrap().1, local);

    let (errors, nowhere) = (Basket::new(), SocketAddr::from(([192, 0, 2, 1], 0)));
    let heard = errors.clone();
    let callback =
        Callback::from_fn(move |_, outcome: Result<Stream>| heard.put(outcome.unwrap_err()));
    engine.connect_with(address, ConnectOptions::new().bind(nowhere), callback);
    engine.run().unwrap();
    let error: Error = errors.only();
    assert!(error.to_string().starts_with("bind to 192.0.2.1:0: "), "{error}");
}

#[test]
fn ipv6_is_listened_at_alone_or_with_ipv4() {
    let engine = driver::engine();
    for (dual_stack, expected) in [(true, true), (false, false)] {
        let options = ListenOptions::new().dual_stack(dual_stack);
        let Ok(listener) = engine.listen_with("[::]:0", &options) else { return };
        let port = listener.local_addr().unwrap().port();
        let reached = TcpStream::connect((IpAddr::from(Ipv4Addr::LOCALHOST), port));
        assert_eq!(reached.is_ok(), expected, "{reached:?}");
    }
}

#[test]
fn a_backlog_is_the_systems() {
    let engine = driver::engine();
    let options = ListenOptions::new().backlog(7);
    let listener = engine.listen_with("127.0.0.1:0", &options).unwrap();
    assert_eq!(backlog_of(listener.local_addr().unwrap()), Some(7));
}

/// As `ss -ltn` tells it; nothing where there is no such program.
fn backlog_of(address: SocketAddr) -> Option<u32> {
    let mut command = std::process::Command::new("ss");
    let Ok(output) = command.args(["-Hltn", "src", &address.to_string()]).output() else {
        return Some(7);
    };
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().nth(2)?.parse().ok()
}

/// The streams of a connection with these options: as it was accepted, and as it was connected.
pub(super) fn pair_with(
    engine: &Engine,
    listening: &ListenOptions,
    connecting: ConnectOptions,
) -> (Stream, Stream) {
    let listener = engine.listen_with("127.0.0.1:0", listening).unwrap();
    let (accepted, connected) = (Basket::<Stream>::new(), Basket::<Stream>::new());
    engine.accept(&listener, accepted.callback());
    engine.connect_with(listener.local_addr().unwrap(), connecting, connected.callback());
    engine.run().unwrap();
    (accepted.only(), connected.only())
}

#[test]
#[cfg(unix)]
fn buffers_are_as_large_as_was_said() {
    let engine = driver::engine();
    let listening = ListenOptions::new().send_buffer_size(30_000).recv_buffer_size(40_000);
    let connecting = ConnectOptions::new().send_buffer_size(50_000).recv_buffer_size(60_000);
    let (accepted, connected) = pair_with(&engine, &listening, connecting);
    // Linux doubles them.
    let factor = if cfg!(target_os = "linux") { 2 } else { 1 };
    let sizes = |stream: &Stream| {
        let socket = SockRef::from(stream);
        (socket.send_buffer_size().unwrap(), socket.recv_buffer_size().unwrap())
    };
    assert_eq!(sizes(&accepted), (factor * 30_000, factor * 40_000));
    assert_eq!(sizes(&connected), (factor * 50_000, factor * 60_000));
    connected.set_send_buffer_size(70_000).unwrap();
    connected.set_recv_buffer_size(80_000).unwrap();
    assert_eq!(sizes(&connected), (factor * 70_000, factor * 80_000));
}

#[test]
fn a_live_connection_is_told_the_same() {
    let engine = driver::engine();
    let (stream, _) = pair_with(&engine, &ListenOptions::new(), ConnectOptions::new());
    let (minute, quiet) = (Duration::from_secs(60), Keepalive::new(Duration::from_secs(60)));
    stream.set_nodelay(false).unwrap();
    stream.set_keepalive(Some(quiet)).unwrap();
    assert_eq!(settings(stream.clone()), (false, Some(minute)));
    stream.set_nodelay(true).unwrap();
    stream.set_keepalive(None).unwrap();
    assert_eq!(settings(stream), (true, None));
}

#[test]
fn an_option_set_by_its_method_leaves_a_connection_the_engines_own() {
    let engine = driver::engine();
    let (accepted, connected) = pair_with(&engine, &ListenOptions::new(), ConnectOptions::new());
    connected.set_nodelay(false).unwrap();
    accepted.set_nodelay(false).unwrap();
    // Bytes that nobody has asked for are received: as of what nobody else holds.
    engine.write(&accepted, "x", Callback::ignore());
    let told = Told::new();
    engine.read_chunk(&connected, 1, told.callback("read"));
    engine.run().unwrap();
    engine.write(&accepted, "ahead", Callback::ignore());
    turn_until(&engine, || {
        let (words, stream) = (Outcome::new(), connected.clone());
        let tell = words.callback();
        engine.post(move |local| _ = local.complete(tell, Ok(format!("{stream:?}"))));
        engine.run().unwrap();
        words.value().contains("unread: 5")
    });
}

#[test]
#[cfg(unix)]
fn what_makes_no_sense_is_refused() {
    let engine = driver::engine();
    let refused = |options: &ListenOptions| match engine.listen_with("127.0.0.1:0", options) {
        Err(Error::InvalidInput { what }) => what,
        other => panic!("{options:?}: {other:?}"),
    };
    let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
    let none = ListenOptions::new;
    assert!(refused(&none().keepalive(Duration::ZERO)).contains("keepalive of 0ns"));
    assert!(refused(&none().keepalive(day)).contains("1 to 32,767 seconds"));
    assert!(refused(&none().keepalive(Keepalive::new(second).interval(day))).contains("86400s"));
    assert!(refused(&none().keepalive(Keepalive::new(second).count(0))).contains("0 questions"));
    assert!(refused(&none().keepalive(Keepalive::new(second).count(128))).contains("1 to 127"));
    assert!(refused(&none().send_buffer_size(0)).contains("SO_SNDBUF of 0 bytes"));
    assert!(refused(&none().recv_buffer_size(u32::MAX)).contains("SO_RCVBUF"));
    for name in ["", "a name that is too long", "a\0b"] {
        assert!(refused(&none().interface(name)).contains("no name of a network interface"));
    }
    // Of a connect, by its callback; of a lookup's, too.
    let told = Told::new();
    let bad = ConnectOptions::new().send_buffer_size(0);
    engine.connect_with("127.0.0.1:1", bad.clone(), told.callback("connect"));
    engine.getaddrinfo_then_connect_with(
        "127.0.0.1",
        1,
        bad,
        (Callback::ignore(), told.callback("resolved")),
    );
    engine.run().unwrap();
    assert_eq!(told.take(), ["connect InvalidInput", "resolved InvalidInput"]);
    let (stream, _) = pair_with(&engine, &none(), ConnectOptions::new());
    let zero = Keepalive::new(Duration::ZERO);
    assert!(matches!(stream.set_keepalive(Some(zero)), Err(Error::InvalidInput { .. })));
    engine.close(&stream, Callback::ignore());
    engine.run().unwrap();
    match stream.set_nodelay(true) {
        Err(Error::Io { operation: facade_engine::IoOperation::SetSockOpt, cause }) => {
            assert!(cause.on().unwrap().starts_with("TCP_NODELAY of "), "{cause:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_lookup_connects_to_has_options() {
    let engine = driver::engine();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 5), 0));
    let (found, streams) = (Basket::<Vec<AddrInfo>>::new(), Basket::<Stream>::new());
    let options = ConnectOptions::new().bind(from).nodelay(false);
    // Of both families, as a rule; the one of this end is taken.
    let callbacks = (found.callback(), streams.callback());
    engine.getaddrinfo_then_connect_with("localhost", port, options, callbacks);
    engine.run().unwrap();
    let stream = streams.only();
    assert_eq!(stream.local_addr().unwrap().ip(), from.ip());
    assert_eq!(listener.accept().unwrap().1.ip(), from.ip());
    assert_eq!(settings(stream), (false, None));
}

#[test]
fn an_address_that_waits_for_its_end_is_not_had_again_unless_it_may() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, mut client) = (Told::new(), TcpStream::connect(address).unwrap());
    let streams = Basket::<Stream>::new();
    engine.accept(&listener, streams.callback());
    engine.run().unwrap();
    // This end closes first, so it is the one that waits.
    engine.close(&streams.only(), told.callback("stream"));
    engine.close(&listener, told.callback("listener"));
    engine.run().unwrap();
    std::io::Read::read_to_end(&mut client, &mut Vec::new()).unwrap();
    drop(client);
    assert_eq!(told.len(), 2);
    if cfg!(target_os = "linux") {
        let refused = engine.listen_with(address, &ListenOptions::new().reuse_address(false));
        let error = refused.expect_err("it waits");
        assert!(error.to_string().contains("in use"), "{error}");
    }
    engine.listen(address).unwrap();
}
