//! Who connects to whom: addresses, names, refusals, silence, and descriptors that run out.

use facade_engine::{
    Callback, Detached, Error, Hints, Stream,
    sim::{Host, Link, Machine, Network, Peer},
};
use facade_tests::{
    alone::alone, memory::resident, outcome::Outcome, sockets::connection, told::Told,
};
use std::{
    io::{ErrorKind, Read, Write},
    path::PathBuf,
    time::Duration,
};

use super::{builder, ms, slow, two_hosts};

#[test]
fn both_ends_know_both_addresses_and_a_connect_takes_two_latencies() {
    let (network, here, there, engine) = two_hosts(1, slow(ms(30)));
    let server = there.listen(25).unwrap();
    let stream = Outcome::new();
    engine.connect(there.at(25), stream.callback());
    engine.run().unwrap();
    assert_eq!(network.now(), ms(60));
    let (stream, peer): (Stream, _) = (stream.value(), server.accept().unwrap().0);
    assert_eq!(stream.peer_addr().unwrap(), there.at(25));
    assert_eq!(stream.local_addr().unwrap().ip(), here.ip());
    assert_eq!(peer.peer_addr().unwrap(), stream.local_addr().unwrap());
    assert_eq!(peer.local_addr().unwrap(), there.at(25));
}

#[test]
fn one_engine_plays_several_hosts_and_several_engines_share_the_time() {
    let (network, here, there, engine) = two_hosts(1, slow(ms(10)));
    let listener = engine.listen(there.at(7)).unwrap();
    let told = Told::new();
    engine.accept_then_write(&listener, "one\n", (Callback::ignore(), Callback::ignore()));
    engine.connect_then_expect_line(there.at(7), "one", (Callback::ignore(), told.callback("one")));
    engine.run().unwrap();
    let other = builder(&there).build().unwrap();
    other
        .chain()
        .accept(&other.listen(here.at(8)).unwrap(), Callback::ignore())
        .expect_line("two", told.callback("two"))
        .write_line("three", Callback::ignore())
        .submit();
    let (connected, answered) = (Callback::ignore(), told.callback("three"));
    engine
        .chain()
        .connect(here.at(8), connected)
        .write_line("two", Callback::ignore())
        .expect_line("three", answered)
        .submit();
    network.run(&[&engine, &other]).unwrap();
    assert_eq!(told.take(), ["one Ok", "two Ok", "three Ok"]);
    assert_eq!((here.descriptors(), there.descriptors()), (1, 0), "a listener is left");
}

#[test]
fn connects_are_refused_unanswered_or_have_nowhere_to_go() {
    let (network, here, there, engine) = two_hosts(1, Link::default());
    let told = Told::new();
    engine.connect(there.at(9), told.callback("nobody"));
    engine.connect((std::net::Ipv4Addr::new(203, 0, 113, 1), 9), told.callback("nowhere"));
    let _server = there.listen(25).unwrap();
    engine.run().unwrap();
    network.set_link(&here, &there, Link { refuse: 1.0, ..Link::default() });
    engine.connect(there.at(25), told.callback("refused"));
    engine.run().unwrap();
    network.set_link(&here, &there, Link { black_hole: 1.0, ..Link::default() });
    engine.connect(there.at(25), told.timeout(ms(5000)).callback("timed"));
    engine.connect(there.at(25), told.callback("silent"));
    engine.run().unwrap();
    assert_eq!(
        told.take(),
        [
            "nowhere Io(connect, NetworkUnreachable)",
            "nobody Io(connect, ConnectionRefused)",
            "refused Io(connect, ConnectionRefused)",
            "timed TimedOut",
            "silent Io(connect, TimedOut)",
        ]
    );
    assert_eq!((network.now(), here.descriptors()), (Duration::from_secs(127), 0));
}

#[test]
fn happy_eyeballs_goes_around_an_address_that_is_silent() {
    let network = Network::new(1);
    let (here, there, silent) = (network.host("here"), network.host("there"), network.host("s"));
    network.set_link(&here, &silent, Link { black_hole: 1.0, ..Link::default() });
    network.set_name("both.example", [silent.ip6(), there.ip()]);
    let (_server, _lost) = (there.listen(80).unwrap(), silent.listen(80).unwrap());
    let engine = builder(&here).build().unwrap();
    let stream: Outcome<Stream> = Outcome::new();
    let callbacks = (Callback::ignore(), stream.callback());
    engine.getaddrinfo_then_connect("both.example", "http", callbacks);
    engine.run().unwrap();
    assert_eq!(stream.value().peer_addr().unwrap(), there.at(80));
    assert_eq!(network.now(), ms(250), "the delay between attempts");
}

#[test]
fn lookups_are_slow_fail_or_find_what_was_set() {
    let network = Network::new(1);
    let (here, there) = (network.host("here"), network.host("Server.Example"));
    here.set_machine(Machine { lookup: ms(700)..ms(700), ..Machine::default() });
    let engine = builder(&here).build().unwrap();
    let (told, found) = (Told::new(), Outcome::new());
    engine.getaddrinfo("server.example.", 25, Hints::default(), found.callback());
    let again = told.timeout(ms(600)).callback("slow");
    engine.getaddrinfo("server.example", 25, Hints::default(), again);
    engine.getaddrinfo("unknown.example", 25, Hints::default(), told.callback("unknown"));
    engine.run().unwrap();
    assert_eq!(found.value()[0].address, there.at(25));
    assert_eq!(network.now(), ms(700));
    here.set_machine(Machine { lookup_failure: 1.0, ..Machine::default() });
    let failed = Outcome::new();
    engine.getaddrinfo("server.example", 25, Hints::default(), failed.callback());
    engine.run().unwrap();
    match failed.error() {
        Error::Resolve { cause, .. } => assert_eq!(cause.kind(), ErrorKind::HostUnreachable),
        error => panic!("{error:?}"),
    }
    assert_eq!(told.take(), ["slow TimedOut", "unknown Resolve"]);
}

#[test]
fn out_of_descriptors_a_connect_fails_and_an_accept_waits() {
    let (network, here, there, engine) = two_hosts(1, Link::default());
    here.set_machine(Machine { descriptors: 2, ..Machine::default() });
    let listener = engine.listen(here.at(7)).unwrap();
    let told = Told::new();
    let peers: Vec<_> = (0..3).map(|_| there.connect(here.at(7)).unwrap()).collect();
    let streams = facade_tests::told::Basket::new();
    for _ in 0..2 {
        engine.accept(&listener, streams.callback());
    }
    while streams.is_empty() {
        engine.run_once(None).unwrap();
    }
    assert_eq!(here.descriptors(), 2);
    engine.connect(there.at(25), told.callback("connect"));
    engine.sleep(ms(3000), told.callback("a while"));
    while told.len() < 2 {
        engine.run_once(None).unwrap();
    }
    assert_eq!(streams.len(), 1);
    // Closing one makes room for the next, which does not wait until the listener looks again.
    let closed_at = network.now();
    drop(streams.take());
    engine.run().unwrap();
    assert_eq!((streams.len(), network.now()), (1, closed_at));
    let notes = told.take();
    assert!(notes[0].starts_with("connect Io(connect"), "{notes:?}");
    drop(peers);
}

#[test]
fn a_full_backlog_keeps_a_tcp_connect_waiting() {
    let (network, here, there, engine) = two_hosts(1, Link::default());
    there.set_machine(Machine { backlog: 1, ..Machine::default() });
    let server = there.listen(7).unwrap();
    let told = Told::new();
    engine.connect(there.at(7), told.callback("first"));
    engine.connect(there.at(7), told.callback("second"));
    engine.sleep(ms(1000), told.callback("a while"));
    while told.len() < 2 {
        engine.run_once(None).unwrap();
    }
    let _peer = server.accept().unwrap().0;
    engine.run().unwrap();
    assert_eq!(told.take(), ["first Ok", "a while Ok", "second Ok"]);
    assert_eq!(network.now(), ms(1000));
    drop(here);
}

#[cfg(unix)]
#[test]
fn unix_sockets_are_paths_of_their_host() {
    let (_network, here, _, engine) = two_hosts(1, Link::default());
    let listener = engine.listen_unix("/run/service").unwrap();
    assert!(engine.listen_unix("/run/service").is_err());
    let address = listener.local_name().unwrap();
    assert_eq!(address, facade_engine::Address::from(std::path::Path::new("/run/service")));
    let mut peer = here.connect(address).unwrap();
    let line = Outcome::new();
    engine.chain().accept(&listener, Callback::ignore()).read_line(line.callback()).submit();
    peer.write_all(b"hello\n").unwrap();
    engine.run().unwrap();
    assert_eq!(line.value(), "hello");
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
    drop(listener);
    engine.run().unwrap();
    // The name stays until somebody removes it.
    let told = Told::new();
    let path = std::path::Path::new("/run/service");
    engine.connect(path, told.callback("after"));
    engine.run().unwrap();
    assert!(engine.listen_unix(path).is_err() && here.unlink(path));
    drop(engine.listen_unix(path).unwrap());
    assert_eq!(told.take(), ["after Io(connect, ConnectionRefused)"]);
}

#[test]
fn what_is_not_of_the_network_is_refused_but_for_files() {
    let (_network, here, _, engine) = two_hosts(1, Link::default());
    let (ours, _theirs) = connection();
    assert!(matches!(engine.attach(ours), Err(Error::Unsupported { .. })));
    let (reader, _writer) = std::io::pipe().unwrap();
    assert!(matches!(engine.attach(reader), Err(Error::Unsupported { .. })));
    let file = engine.attach(tempfile::tempfile().unwrap()).unwrap();
    let told = Told::new();
    engine.write(&file, "to a disk", told.value("write"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["write 9"]);
    assert_eq!(Host::of(&engine), Some(here));
}

#[test]
fn what_is_detached_is_the_null_device_and_ends_for_its_peer() {
    for keeps_a_clone in [true, false] {
        let (_network, here, _, engine) = two_hosts(1, Link::default());
        let (mut peer, stream) = Peer::tcp_pair(&engine).unwrap();
        peer.write_all(b"unread").unwrap();
        engine.peek(&stream, 1, Callback::ignore());
        engine.run().unwrap();
        engine.write(&stream, "goes out first", Callback::ignore());
        let (clone, detached) = (keeps_a_clone.then(|| stream.clone()), Outcome::<Detached>::new());
        engine.detach(&stream, detached.callback());
        drop(stream);
        engine.run().unwrap();
        let Detached { fd, unread, .. } = detached.value();
        assert_eq!(unread, "unread");
        // Elsewhere it is a socket that leads nowhere, which takes nothing.
        #[cfg(unix)]
        std::fs::File::from(fd).write_all(b"nowhere").unwrap();
        #[cfg(windows)]
        drop(fd);
        let mut received = String::new();
        peer.read_to_string(&mut received).unwrap();
        assert_eq!(received, "goes out first");
        assert_eq!(here.descriptors(), 0);
        drop(clone);
    }
}

#[test]
fn promise_14_waiting_for_room_in_a_backlog_takes_no_memory() {
    let name = "promise_14_waiting_for_room_in_a_backlog_takes_no_memory";
    alone(module_path!(), name, || {
        let (_, here, _, engine) = two_hosts(1, Link::default());
        here.set_machine(Machine { backlog: 0, ..Machine::default() });
        let _full = here.listen_unix("/run/socket").unwrap();
        for _ in 0..20 {
            engine.connect(PathBuf::from("/run/socket"), Callback::ignore());
        }
        let wait = |minutes: u64| {
            engine.sleep(
                Duration::from_secs(60 * minutes),
                Callback::from_fn(|engine, _| engine.stop()),
            );
            engine.run().unwrap();
            resident()
        };
        let before = wait(1);
        let more = wait(10).saturating_sub(before);
        assert!(more < 4 << 20, "1.2 million tries have taken {more} bytes of memory");
    });
}
