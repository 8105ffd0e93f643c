//! What only a real system has: descriptors of the process that run out or are counted, and
//! sockets, pipes and files of std.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    net::TcpStream,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use facade_engine::{Callback, Cancel, Detached, Engine, Error, Handle, Limits, Listener, Stream};
use facade_tests::{
    alone::{alone, descriptors},
    memory::resident,
    outcome::Outcome,
    peers::arrived,
    told::Told,
    turns::{turn_until, turns},
};
use socket2::{Domain, SockRef, Socket, Type};

use super::driver::{self, pair, tcp_pair};

#[test]
fn detach_gives_back_the_descriptor_and_what_nobody_has_read() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"one\ntwo\nthr").unwrap();
    engine.read_line(&stream, told.value("line"));
    engine.run().unwrap();
    engine.read_until(&stream, "never", told.callback("pending"));
    engine.write(&stream, "goes out first", told.callback("write"));
    let detached: Outcome<Detached> = Outcome::new();
    engine.detach(&stream, detached.callback());
    engine.read_line(&stream, told.callback("late"));
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["late Closed", "line b\"one\"", "pending Closed", "write Ok"]);
    let Detached { fd, unread, .. } = detached.value();
    assert_eq!(unread, "two\nthr");
    assert_eq!(arrived(&peer), b"goes out first");
    // The rest comes by the descriptor, and the engine is out of it, clone or not.
    peer.write_all(b"ee\n").unwrap();
    let mut rest = [0; 3];
    let mut end = driver::end_of_pair(fd);
    end.set_nonblocking(false).unwrap();
    end.read_exact(&mut rest).unwrap();
    assert_eq!(&rest, b"ee\n");
    drop(end);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    drop(stream);
}

#[test]
fn what_was_detached_can_be_attached_again() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    engine.read_line(&stream, told.callback("keeps it registered"));
    turns(&engine, 2);
    let detached: Outcome<Detached> = Outcome::new();
    engine.detach(&stream, detached.callback());
    engine.run().unwrap();
    told.take();
    let other = driver::engine();
    for engine in [&engine, &other] {
        let again = engine.attach(detached.value().fd).unwrap();
        engine.read_line(&again, told.value("line"));
        peer.write_all(b"line\n").unwrap();
        engine.run().unwrap();
        assert_eq!(told.take(), ["line b\"line\""]);
        engine.detach(&again, detached.callback());
        engine.run().unwrap();
    }
}

#[test]
fn a_listener_of_std_is_attached_with_its_backlog() {
    let engine = driver::engine();
    let listener = driver::bind();
    let mut client = driver::connect(listener.local_addr().unwrap()).unwrap();
    let listener = engine.attach_listener(listener).unwrap();
    assert_eq!(listener.local_addr().unwrap(), client.peer_addr().unwrap());
    let told = Told::new();
    let notes = told.clone();
    engine.accept(
        &listener,
        Callback::from_fn(move |engine, stream: facade_engine::Result<Stream>| {
            let stream = stream.unwrap();
            assert!(SockRef::from(&stream).tcp_nodelay().unwrap());
            engine.read_line(&stream, notes.value("line"));
        }),
    );
    client.write_all(b"hello\n").unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["line b\"hello\""]);
}

#[test]
fn promise_09_ten_thousand_races_of_accept_and_cancel_lose_no_connection_and_no_descriptor() {
    let name =
        "promise_09_ten_thousand_races_of_accept_and_cancel_lose_no_connection_and_no_descriptor";
    alone(module_path!(), name, || {
        const CONNECTIONS: u32 = 10_000;
        let engine = driver::engine();
        turns(&engine, 1);
        let before = descriptors();

        let (listener, connect) = driver::listen_for_many(&engine);
        // Each connection says which one it is, and is closed by its peer at once.
        let (allow, allowed) = mpsc::channel::<()>();
        let connecting = thread::spawn(move || {
            for number in 0..CONNECTIONS {
                allowed.recv().unwrap();
                let mut stream = connect();
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
        // The listener's backlog may be full, and the other thread wait for that.
        while numbers.lock().unwrap().len() < CONNECTIONS as usize {
            accept_and_read(&engine, &listener, &numbers, &told);
            turns(&engine, 1);
        }
        connecting.join().unwrap();
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

#[test]
fn promise_09_a_cancelled_connect_leaks_no_descriptor_and_its_connection_is_closed() {
    let name = "promise_09_a_cancelled_connect_leaks_no_descriptor_and_its_connection_is_closed";
    alone(module_path!(), name, || {
        let kernel = driver::bind();
        let address = kernel.local_addr().unwrap();
        let engine = driver::engine();
        let told = Told::new();
        let before = descriptors();
        for turns_before in 0..4 {
            let cancel = engine.connect(address, told.callback("connect"));
            turns(&engine, turns_before);
            cancel.cancel();
            engine.run().unwrap();
            told.take();
            engine.connect(address, told.timeout(Duration::ZERO).callback("connect"));
            engine.run().unwrap();
            told.take();
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
        let mut made = 0;
        while let Ok((mut connection, _)) = kernel.accept() {
            connection.set_nonblocking(false).unwrap();
            assert_eq!(connection.read(&mut [0]).unwrap_or(0), 0);
            made += 1;
        }
        assert!(made > 0);
    });
}

#[test]
fn a_pipe_ends_when_its_last_writer_is_gone() {
    let engine = driver::engine();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let stream = engine.attach(reader).unwrap();
    let told = Told::new();
    engine.read_all(&stream, told.value("all"));
    turns(&engine, 2);
    writer.write_all(b"piped").unwrap();
    turns(&engine, 2);
    assert!(told.is_empty());
    drop(writer);
    engine.run().unwrap();
    assert_eq!(told.take(), ["all b\"piped\""]);
}

#[test]
fn writing_to_a_pipe_nobody_reads_is_broken_and_kills_nobody() {
    let engine = driver::engine();
    let (reader, writer) = std::io::pipe().unwrap();
    let stream = engine.attach(writer).unwrap();
    drop(reader);
    let told = Told::new();
    engine.write(&stream, "x", told.callback("write"));
    engine.flush(&stream, told.callback("flush"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["write Ok", "flush Io(write, BrokenPipe)"]);
}

/// That an error is about an argument, and says which.
#[track_caller]
fn assert_names(error: &Error, name: &str) {
    let Error::InvalidInput { what } = error else { panic!("{error:?}") };
    assert!(what.contains(name), "{what}");
}

#[test]
fn what_is_no_stream_is_not_attached() {
    let engine = driver::engine();
    // Where a directory can be opened as files are.
    if let Ok(directory) = File::open("/") {
        assert_names(&engine.attach(directory).unwrap_err(), "directory");
    }
    let listening = driver::bind();
    assert_names(&engine.attach(listening).unwrap_err(), "attach_listener");
    let datagrams = TcpStream::from(Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap());
    assert!(matches!(engine.attach(datagrams), Err(Error::Unsupported { .. })));
    let unbound = TcpStream::from(Socket::new(Domain::IPV4, Type::STREAM, None).unwrap());
    assert_names(&engine.attach_listener(unbound).unwrap_err(), "listen");
    let file = tempfile::tempfile().unwrap();
    assert_names(&engine.attach_listener(file).unwrap_err(), "listener");
}

/// The system may have the bytes of a file's write in hand when the cancel is registered, and write
/// all of them: that is a success, and nothing is cut. Otherwise it has written none.
#[test]
fn promise_10_a_write_that_the_system_takes_whole_although_it_was_cancelled_succeeds() {
    const LEN: usize = 256 << 10;
    let limits = Limits { unsent: 0, ..Limits::default() };
    let engine = driver::builder().limits(limits).build().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    let stream = engine.attach(file.try_clone().unwrap()).unwrap();
    let mut expected = Vec::new();
    for _ in 0..50 {
        let told = Told::new();
        let cancel = engine.write(&stream, vec![7; LEN], told.callback("write"));
        // Hands it over; to a thread, on some drivers, which takes longer than the next line.
        turns(&engine, 1);
        cancel.cancel();
        engine.write(&stream, "behind", told.callback("behind"));
        engine.run().unwrap();
        let [write, behind] = &told.take()[..] else { panic!("two writes, two callbacks") };
        match write.as_str() {
            // No array: unoptimised code has so many copies of it that a thread's stack overflows.
            "write Ok" => expected.extend(vec![7; LEN]),
            other => assert_eq!(other, "write Cancelled"),
        }
        assert_eq!(behind, "behind Ok");
        expected.extend(b"behind");
    }
    let mut written = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut written).unwrap();
    assert!(written == expected, "{} bytes of {}", written.len(), expected.len());
}

#[test]
fn a_line_ends_with_a_line_feed_on_a_pipe() {
    let engine = driver::engine();
    let (mut pipe, output) = std::io::pipe().unwrap();
    let output = engine.attach(output).unwrap();
    let told = Told::new();
    engine.write_line(&output, "lf", told.value("pipe"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["pipe 3"]);
    let mut line = [0; 16];
    assert_eq!(pipe.read(&mut line).unwrap(), 3);
    assert_eq!(&line[..3], b"lf\n");
}

/// A turn brings little more than the limit, however much is there.
#[test]
fn peers_that_burst_and_are_not_read_take_little_memory() {
    let name = "peers_that_burst_and_are_not_read_take_little_memory";
    alone(module_path!(), name, || {
        const PEERS: usize = 40;
        const EACH_MAX: usize = 512 << 10;
        let engine = driver::engine();
        let burst = vec![7; 4 << 20];
        let before = resident();
        let mut pairs: Vec<_> = (0..PEERS).map(|_| tcp_pair(&engine)).collect();
        for (peer, stream) in &mut pairs {
            // It is read once, and from then on ahead.
            engine.read_chunk(stream, 1, Callback::ignore());
            peer.set_nonblocking(true).unwrap();
            let _ = peer.write(&burst).unwrap();
            turns(&engine, 2);
        }
        turns(&engine, 4);
        let grown = resident().saturating_sub(before);
        assert!(grown < PEERS * EACH_MAX, "{} KiB for each", (grown / PEERS) >> 10);
        drop(pairs);
    });
}
