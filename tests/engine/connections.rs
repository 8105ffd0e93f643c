//! Promise 9: no connection is lost and no descriptor leaks, whatever is cancelled, dropped or
//! lacking.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    path::Path,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use facade_engine::{Address, Callback, Cancel, Claim, Engine, Error, Handle, Listener, Stream};
use facade_tests::{
    alone::{alone, descriptors},
    told::{Basket, Told},
    turns::{pass, turn_until, turns},
};
use rustix::{
    net::sockopt,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use super::driver;

#[test]
fn promise_09_ten_thousand_races_of_accept_and_cancel_lose_no_connection_and_no_descriptor() {
    let name =
        "promise_09_ten_thousand_races_of_accept_and_cancel_lose_no_connection_and_no_descriptor";
    alone(module_path!(), name, || {
        const CONNECTIONS: u32 = 10_000;
        let engine = driver::engine();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        turns(&engine, 1);
        let before = descriptors();

        let listener = engine.listen_unix(&path).unwrap();
        // Each connection says which one it is, and is closed by its peer at once.
        let (allow, allowed) = mpsc::channel::<()>();
        let connecting = thread::spawn(move || {
            for number in 0..CONNECTIONS {
                allowed.recv().unwrap();
                let mut stream = UnixStream::connect(&path).unwrap();
                stream.write_all(&number.to_be_bytes()).unwrap();
            }
        });
        let numbers = Arc::new(Mutex::new(Vec::new()));
        let mut random = 0x2545_f491_u32;
        let mut allowances = CONNECTIONS;
        let told = Told::new();
        while allowances > 0 {
            let cancel = accept_and_read(&engine, &listener, &numbers, &told);
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if random >> 31 == 0 {
                allow.send(()).unwrap();
                allowances -= 1;
            }
            // Sometimes before the engine has seen it, sometimes later, sometimes never.
            match (random >> 16) % 4 {
                0 => assert!(cancel.cancel()),
                1 => {
                    turns(&engine, 1);
                    cancel.cancel();
                }
                2 => engine.post(move |_| {
                    cancel.cancel();
                }),
                _ => {}
            }
            turns(&engine, 1);
        }
        connecting.join().unwrap();
        while numbers.lock().unwrap().len() < CONNECTIONS as usize {
            accept_and_read(&engine, &listener, &numbers, &told);
            turns(&engine, 1);
        }
        let cancelled = told.len();
        assert!(cancelled > 1000, "only {cancelled} accepts were cancelled");
        engine.close(&listener, Callback::ignore());
        drop(listener);
        engine.run().unwrap();
        let numbers = std::mem::take(&mut *numbers.lock().unwrap());
        assert!(numbers.iter().copied().eq(0..CONNECTIONS), "lost, twice, or out of order");
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn promise_09_tcp_connections_that_nobody_took_are_all_there_for_later_accepts() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let told = Told::new();
    // The engine is accepting, and nobody wants them any more.
    let cancel = engine.accept(&listener, told.callback("accept"));
    turns(&engine, 2);
    cancel.cancel();
    turns(&engine, 1);
    let clients: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    turns(&engine, 5);
    let accepted = Basket::new();
    for _ in &clients {
        engine.accept(&listener, accepted.callback());
    }
    engine.run().unwrap();
    assert_eq!(told.take(), ["accept Cancelled"]);
    let peers: Vec<_> = accepted.take().iter().map(|s| s.peer_addr().unwrap()).collect();
    let expected: Vec<_> = clients.iter().map(|c| c.local_addr().unwrap()).collect();
    assert_eq!(peers, expected);
}

#[test]
fn promise_09_an_accept_that_expires_leaves_the_connection_for_the_next() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let told = Told::new();
    engine.accept(&listener, told.timeout(Duration::from_millis(1)).callback("first"));
    engine.run().unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    engine.sleep(Duration::from_millis(1), Callback::ignore());
    engine.run().unwrap();
    let accepted = Basket::new();
    engine.accept(&listener, accepted.callback());
    engine.run().unwrap();
    assert_eq!(told.take(), ["first TimedOut"]);
    assert_eq!(accepted.only().peer_addr().unwrap(), client.local_addr().unwrap());
}

#[test]
fn promise_09_a_claim_on_a_connection_that_is_dropped_is_what_the_next_accept_gets_first() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    let told = Told::new();
    engine.accept(&listener, told.dropping_claims().callback::<Stream>("claim"));
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["claim dropped"]);
    assert_eq!(accept_all(&engine, &listener, 3), addresses(&clients));
}

#[test]
fn promise_09_a_claim_goes_back_before_accepts_that_wait_already() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let held = Basket::new();
    let hold = held.clone();
    engine.accept(&listener, Callback::claim(move |_, claim| hold.put(claim.unwrap())));
    let accepted = Basket::new();
    engine.accept(&listener, accepted.callback());
    let first = TcpStream::connect(address).unwrap();
    turn_until(&engine, || !held.is_empty());
    turns(&engine, 2);
    assert!(accepted.is_empty());
    let claim: Claim<Stream> = held.only();
    thread::spawn(move || drop(claim)).join().unwrap();
    turns(&engine, 1);
    let second = TcpStream::connect(address).unwrap();
    engine.accept(&listener, accepted.callback());
    turn_until(&engine, || accepted.len() == 2);
    let peers: Vec<_> = accepted.take().iter().map(|s| s.peer_addr().unwrap()).collect();
    assert_eq!(peers, [first.local_addr().unwrap(), second.local_addr().unwrap()]);
}

#[test]
fn promise_09_a_claim_that_outlives_its_listener_closes_its_connection() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let held = Basket::new();
    let hold = held.clone();
    engine.accept(&listener, Callback::claim(move |_, claim| hold.put(claim.unwrap())));
    turn_until(&engine, || !held.is_empty());
    engine.close(&listener, Callback::ignore());
    drop(listener);
    engine.run().unwrap();
    drop::<Vec<Claim<Stream>>>(held.take());
    engine.run().unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn promise_09_untaken_connections_are_closed_with_their_listener() {
    for by_drop in [true, false] {
        let engine = driver::engine();
        let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let told = Told::new();
        let cancel = engine.accept(&listener, told.callback("accept"));
        turns(&engine, 2);
        cancel.cancel();
        turns(&engine, 1);
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        // The engine goes on accepting, so now it holds the connection.
        engine.sleep(Duration::from_millis(1), Callback::ignore());
        engine.run().unwrap();
        if !by_drop {
            engine.close(&listener, told.callback("close"));
        }
        // On another thread, so that no callback of this engine runs with it.
        thread::spawn(move || drop(listener)).join().unwrap();
        engine.run().unwrap();
        assert_eq!(engine.run_once(Some(Duration::ZERO)).unwrap().pending, 0);
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "closed");
    }
}

#[test]
fn promise_09_what_is_left_behind_without_a_callback_does_not_make_the_engine_spin() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let cancel = engine.accept(&listener, Callback::ignore());
    turns(&engine, 2);
    cancel.cancel();
    turns(&engine, 1);
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    engine.sleep(Duration::from_millis(1), Callback::ignore());
    engine.run().unwrap();
    engine.sleep(Duration::from_secs(3600), Callback::ignore());
    drop(listener);
    turns(&engine, 3);
    let due = engine.next_deadline().unwrap();
    assert!(due > facade_tests::turns::now(), "nothing is ready");
}

/// Linux has Unix sockets whose names are no files.
#[test]
fn a_connect_to_an_abstract_name() {
    let name = format!("facade-tests-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let engine = driver::engine();
    let connected = Basket::new();
    engine.connect(address, connected.callback());
    engine.run().unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let streams = connected.take();
    assert!(matches!(streams[0].peer_address().unwrap(), Address::UnixAbstract(_)));
    drop(accepted);
}

#[test]
fn promise_09_a_cancelled_connect_leaks_no_descriptor_and_its_connection_is_closed() {
    let name = "promise_09_a_cancelled_connect_leaks_no_descriptor_and_its_connection_is_closed";
    alone(module_path!(), name, || {
        let kernel = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = kernel.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let unix = UnixListener::bind(&path).unwrap();
        let engine = driver::engine();
        let told = Told::new();
        let before = descriptors();
        for turns_before in 0..4 {
            for to in [Address::from(address), Address::from(path.as_path())] {
                let cancel = engine.connect(to.clone(), told.callback("connect"));
                turns(&engine, turns_before);
                cancel.cancel();
                engine.run().unwrap();
                told.take();
                engine.connect(to, told.timeout(Duration::ZERO).callback("connect"));
                engine.run().unwrap();
                told.take();
            }
            engine.connect_then_expect_line(
                address,
                "never",
                (Callback::ignore(), told.timeout(Duration::ZERO).callback("line")),
            );
            engine.run().unwrap();
            assert_eq!(told.take(), ["line TimedOut"]);
            engine
                .getaddrinfo_then_connect(
                    "localhost",
                    address.port(),
                    (Callback::ignore(), told.callback("connect")),
                )
                .cancel();
            engine.run().unwrap();
            told.take();
        }
        // A cancelled lookup's thread may still have the resolver's files open.
        turn_until(&engine, || descriptors() == before);
        // Every one of them that the system had made is seen to be closed.
        kernel.set_nonblocking(true).unwrap();
        unix.set_nonblocking(true).unwrap();
        let mut made = 0;
        while let Ok((mut connection, _)) = kernel.accept() {
            connection.set_nonblocking(false).unwrap();
            assert_eq!(connection.read(&mut [0]).unwrap_or(0), 0);
            made += 1;
        }
        while let Ok((mut connection, _)) = unix.accept() {
            connection.set_nonblocking(false).unwrap();
            assert_eq!(connection.read(&mut [0]).unwrap_or(0), 0);
            made += 1;
        }
        assert!(made > 0);
    });
}

#[test]
fn promise_09_a_connect_to_nobody_and_a_dropped_engine_leak_nothing() {
    let name = "promise_09_a_connect_to_nobody_and_a_dropped_engine_leak_nothing";
    alone(module_path!(), name, || {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // Opens what is opened once for the process.
        drop(driver::engine());
        let before = descriptors();
        for turns_before in 0..3 {
            let engine = driver::engine();
            let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            engine.accept(&listener, Callback::ignore());
            for _ in 0..5 {
                engine.connect(nobody, Callback::ignore());
                engine.connect(address, Callback::ignore());
                engine.connect_then_expect_line(
                    address,
                    "x",
                    (Callback::ignore(), Callback::ignore()),
                );
                engine.connect(Path::new("/nowhere/at/all"), Callback::ignore());
            }
            turns(&engine, turns_before);
            // The engine goes first, then what is left of its things.
            drop(engine);
            drop(listener);
        }
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn promise_09_a_chain_past_its_connection_closes_it_unless_somebody_keeps_it() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let told = Told::new();
    engine.accept_then_expect_line(&listener, "yes", (told.callback("1"), told.callback("2")));
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"no\n").unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["1 Ok", r#"2 Unexpected(b"no")"#]);
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0, "closed");

    let kept = Basket::new();
    engine.accept_then_write(&listener, "hello", (kept.callback(), told.callback("2")));
    let mut client = TcpStream::connect(address).unwrap();
    engine.run().unwrap();
    let mut hello = [0; 5];
    client.read_exact(&mut hello).unwrap();
    let stream: Stream = kept.only();
    engine.write(&stream, "more", Callback::ignore());
    drop(stream);
    engine.run().unwrap();
    let mut more = String::new();
    client.read_to_string(&mut more).unwrap();
    assert_eq!(more, "more");
}

#[test]
fn promise_09_out_of_descriptors_an_accept_stays_pending_until_one_is_free() {
    let name = "promise_09_out_of_descriptors_an_accept_stays_pending_until_one_is_free";
    alone(module_path!(), name, || {
        let engine = driver::engine();
        let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<TcpStream> =
            (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut hoard = use_up_descriptors();
        let told = Told::new();
        let accepted = Basket::new();
        engine.accept(&listener, accepted.callback());
        let cancelled = engine.accept(&listener, told.callback("cancelled"));
        engine.accept(&listener, told.timeout(Duration::from_millis(30)).callback("expired"));
        turn_until(&engine, || !told.is_empty());
        assert_eq!(told.take(), ["expired TimedOut"]);
        cancelled.cancel();
        turns(&engine, 1);
        assert_eq!(told.take(), ["cancelled Cancelled"]);
        assert!(accepted.is_empty());
        let idle = engine.run_once(Some(Duration::from_millis(1))).unwrap();
        assert_eq!((idle.callbacks, idle.pending), (0, 1), "it waits and does not fail");

        // Freed where the engine does not see it: it looks again by itself.
        hoard.pop();
        turn_until(&engine, || accepted.len() == 1);
        // Freed by the engine: the next accept gets it at once.
        let first: Stream = accepted.only();
        assert_eq!(first.peer_addr().unwrap(), clients[0].local_addr().unwrap());
        engine.accept(&listener, accepted.callback());
        turns(&engine, 3);
        assert!(accepted.is_empty());
        drop(first);
        turn_until(&engine, || accepted.len() == 1);
        let second: Stream = accepted.only();
        assert_eq!(second.peer_addr().unwrap(), clients[1].local_addr().unwrap());
        // Closing needs no descriptor either.
        engine.close(&second, told.callback("close"));
        engine.close(&listener, told.callback("close"));
        drop((second, listener));
        engine.run().unwrap();
        assert_eq!(told.take(), ["close Ok", "close Ok"]);
    });
}

#[test]
fn promise_09_out_of_descriptors_an_accept_is_not_a_busy_loop() {
    let name = "promise_09_out_of_descriptors_an_accept_is_not_a_busy_loop";
    alone(module_path!(), name, || {
        let engine = driver::engine();
        let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _hoard = use_up_descriptors();
        let told = Told::new();
        engine.accept(&listener, told.callback("accept"));
        engine.sleep(Duration::from_millis(200), told.callback("sleep"));
        let mut turns = 0;
        while told.is_empty() {
            engine.run_once(None).unwrap();
            turns += 1;
        }
        assert_eq!(told.take(), ["sleep Ok"]);
        assert!(turns < 50, "{turns} turns in 200 ms");
    });
}

#[test]
fn promise_09_out_of_descriptors_a_connect_fails_with_what_the_system_says() {
    let name = "promise_09_out_of_descriptors_a_connect_fails_with_what_the_system_says";
    alone(module_path!(), name, || {
        let kernel = TcpListener::bind("127.0.0.1:0").unwrap();
        let engine = driver::engine();
        let hoard = use_up_descriptors();
        let failure = Arc::new(Mutex::new(None));
        let heard = Arc::clone(&failure);
        engine.connect(
            kernel.local_addr().unwrap(),
            Callback::from_fn(move |_, outcome| *heard.lock().unwrap() = outcome.err()),
        );
        engine.run().unwrap();
        let failure = failure.lock().unwrap().take().unwrap();
        let Error::Io { operation: "connect", cause } = failure else { panic!("{failure}") };
        assert_eq!(cause.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
        drop(hoard);
        let told = Told::new();
        engine.connect(kernel.local_addr().unwrap(), told.callback("connect"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["connect Ok"]);
    });
}

#[test]
fn promise_09_a_connection_that_was_reset_while_it_waited_hinders_nobody() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..5 {
        let client = TcpStream::connect(address).unwrap();
        sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    }
    let last = TcpStream::connect(address).unwrap();
    // Whether the system skips the dead ones or hands them out, the living one comes.
    let accepted = Basket::new();
    engine.accept(&listener, accepted.callback());
    let mut peers = Vec::new();
    turn_until(&engine, || {
        for stream in accepted.take() {
            peers.push(stream.peer_addr().ok());
            engine.accept(&listener, accepted.callback());
        }
        peers.contains(&Some(last.local_addr().unwrap()))
    });
}

#[test]
fn promise_09_more_connections_than_are_taken_ahead_are_all_accepted() {
    let limits = facade_engine::Limits { accepted: 3, ..facade_engine::Limits::default() };
    let engine = driver::builder().limits(limits).build().unwrap();
    let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let cancel = engine.accept(&listener, Callback::ignore());
    turns(&engine, 2);
    cancel.cancel();
    turns(&engine, 1);
    let clients: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(address).unwrap()).collect();
    turns(&engine, 10);
    let peers = accept_all(&engine, &listener, clients.len());
    assert_eq!(peers, addresses(&clients));
    assert_eq!(peers.iter().collect::<BTreeSet<_>>().len(), clients.len());
}

#[test]
fn promise_09_a_unix_socket_with_a_full_backlog_is_tried_again_and_can_be_given_up() {
    let engine = driver::engine();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let kernel = {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
        let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&fd, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&fd, 0).unwrap();
        UnixListener::from(fd)
    };
    let _first = UnixStream::connect(&path).unwrap();
    let told = Told::new();
    let cancel = engine.connect(path.clone(), told.callback("cancelled"));
    let time = Duration::from_millis(25);
    engine.connect(path.clone(), told.timeout(time).callback("expired"));
    engine.connect(path.clone(), told.callback("patient"));
    turns(&engine, 3);
    cancel.cancel();
    pass(time);
    turns(&engine, 2);
    assert_eq!(told.take(), ["cancelled Cancelled", "expired TimedOut"]);
    kernel.accept().unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["patient Ok"]);
}

/// Accepts once, and reads which connection it was.
fn accept_and_read(
    engine: &Engine,
    listener: &Listener,
    numbers: &Arc<Mutex<Vec<u32>>>,
    told: &Told,
) -> Cancel {
    let (numbers, told) = (Arc::clone(numbers), told.clone());
    engine.accept(
        listener,
        Callback::from_fn(move |engine: &facade_engine::Local, outcome| match outcome {
            Ok(stream) => read_number(engine, &stream, numbers),
            Err(Error::Cancelled) => told.note("accept Cancelled"),
            // One of those that wait for a connection that never comes.
            Err(Error::Closed) => {}
            Err(error) => panic!("{error}"),
        }),
    )
}

/// Connections come in order, and each one's bytes are there before the next connects.
fn read_number(engine: &Handle, stream: &Stream, numbers: Arc<Mutex<Vec<u32>>>) {
    let place = {
        let mut numbers = numbers.lock().unwrap();
        numbers.push(u32::MAX);
        numbers.len() - 1
    };
    engine.read_exact(
        stream,
        4,
        Callback::new(
            move |_, bytes: facade_engine::Bytes| {
                let number = u32::from_be_bytes(bytes[..].try_into().unwrap());
                numbers.lock().unwrap()[place] = number;
            },
            |_, error| panic!("{error}"),
        ),
    );
}

/// Accepts so many, and says who they are.
fn accept_all(engine: &Engine, listener: &Listener, count: usize) -> Vec<std::net::SocketAddr> {
    let accepted = Basket::new();
    for _ in 0..count {
        engine.accept(listener, accepted.callback());
    }
    turn_until(engine, || accepted.len() == count);
    accepted.take().iter().map(|stream: &Stream| stream.peer_addr().unwrap()).collect()
}

fn addresses(clients: &[TcpStream]) -> Vec<std::net::SocketAddr> {
    clients.iter().map(|client| client.local_addr().unwrap()).collect()
}

/// Opens files until the process can have no more, of few.
fn use_up_descriptors() -> Vec<File> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limit }).unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    hoard
}
