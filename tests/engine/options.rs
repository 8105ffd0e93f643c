//! What options make of sockets, as the system tells.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use facade_engine::{Callback, ConnectOptions, Error, ListenOptions, Result, Stream};
use facade_tests::told::Basket;
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
