//! Descriptors that others hold, too: nothing is ended, taken or switched for them.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Seek, SeekFrom, Write},
    net::{TcpListener, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
    time::Duration,
};

use facade_engine::{Bytes, Callback, Detached, Engine, Limits, Stream};
use facade_tests::{
    drops::{Bomb, Drops},
    outcome::Outcome,
    skipped::{closes_at_once, misses_resets},
    sockets::{connection, copy_of, copy_of_listener, end_of_connection, fill},
    starting,
    told::{Basket, Told},
    turns::{turn_until, turns},
};
use socket2::SockRef;

use super::driver;

/// A program that does what its argument says.
const CHILD: &str = env!("CARGO_BIN_EXE_facade-test-child");

/// What a holder of a copy reads without waiting; nothing if there is nothing.
fn there(copy: &TcpStream) -> Vec<u8> {
    copy.set_nonblocking(true).unwrap();
    let mut bytes = vec![0; 1000];
    match (&mut &*copy).read(&mut bytes) {
        Ok(count) => bytes.truncate(count),
        Err(error) if error.kind() == ErrorKind::WouldBlock => bytes.clear(),
        Err(error) => panic!("{error}"),
    }
    bytes
}

/// The ways in which a stream goes.
const WAYS: [&str; 6] =
    ["close", "drop", "close while a read waits", "expired close", "detach", "drop the engine"];

/// Has a stream go.
fn end(engine: Engine, stream: Stream, way: &str) -> Option<Engine> {
    let told = Told::new();
    match way {
        "close" => _ = engine.close(&stream, told.callback("end")),
        "drop" => drop(stream),
        "close while a read waits" => {
            engine.read_line(&stream, Callback::ignore());
            turns(&engine, 2);
            engine.close(&stream, told.callback("end"));
        }
        "expired close" => {
            _ = engine.close(&stream, told.timeout(Duration::ZERO).callback("end"));
        }
        "detach" => {
            // Which is closed with its outcome.
            engine
                .detach(&stream, Callback::new(|_, _: Detached| (), |_, error| panic!("{error}")));
        }
        "drop the engine" => {
            engine.read_line(&stream, Callback::ignore());
            turns(&engine, 2);
            drop(engine);
            return None;
        }
        _ => unreachable!("a way that is not listed"),
    }
    engine.run().unwrap();
    Some(engine)
}

#[test]
fn the_end_of_our_copy_is_not_the_end_of_the_connection() {
    for way in WAYS {
        let engine = driver::engine();
        let (mut peer, ours) = connection();
        let mut copy = ours.try_clone().unwrap();
        let stream = engine.attach(ours).unwrap();
        let engine = end(engine, stream, way);
        copy.set_nonblocking(false).unwrap();
        peer.write_all(b"to the copy").unwrap();
        let mut read = [0; 11];
        copy.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"to the copy", "{way}");
        copy.write_all(b"from the copy").unwrap();
        let mut read = [0; 13];
        peer.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"from the copy", "{way}");
        drop(copy);
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "{way}: the last copy ends it");
        drop(engine);
    }
}

#[test]
fn what_the_peer_had_sent_is_left_to_the_other_copies() {
    for way in ["close", "drop", "expired close", "detach"] {
        let engine = driver::engine();
        let (mut peer, ours) = connection();
        let mut copy = ours.try_clone().unwrap();
        let stream = engine.attach(ours).unwrap();
        peer.write_all(b"sent before").unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        engine.write(&stream, "ours goes out", Callback::ignore());
        let engine = end(engine, stream, way);
        copy.set_nonblocking(false).unwrap();
        let mut all = String::new();
        copy.read_to_string(&mut all).unwrap();
        assert_eq!(all, "sent before", "{way}");
        drop(copy);
        let mut all = String::new();
        peer.read_to_string(&mut all).unwrap();
        // One whose close expires at once may drop what it was to write.
        assert!(all == "ours goes out" || way == "expired close", "{way}: {all}");
        drop(engine);
    }
}

#[test]
fn a_connection_that_was_lent_and_copied_goes_on_without_us() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let accepted = Basket::new();
    engine.accept(&listener, accepted.callback());
    turn_until(&engine, || accepted.len() == 1);
    let stream: Stream = accepted.only();
    // Armed, and to be read ahead as long as nobody else has it.
    let told = Told::new();
    engine.read_line(&stream, told.value("line"));
    peer.write_all(b"ours\n").unwrap();
    turn_until(&engine, || !told.is_empty());
    let copy = copy_of(&stream);
    idle_turns(&engine);
    peer.write_all(b"the copy's").unwrap();
    idle_turns(&engine);
    assert_eq!(there(&copy), b"the copy's");
    peer.write_all(b" and more").unwrap();
    drop(stream);
    idle_turns(&engine);
    assert_eq!(there(&copy), b" and more");
    drop(copy);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}

/// A server that answers and closes over what it has not read: the answer arrives where the
/// connection is known to be ours alone.
#[test]
fn what_is_ours_alone_is_closed_so_that_the_answer_arrives() {
    for way in ["exclusive", "said so later", "accepted", "accepted and lent for a look"] {
        let engine = driver::engine();
        let (mut peer, stream) = match way {
            "exclusive" => {
                let (peer, ours) = connection();
                (peer, engine.attach_exclusive(ours).unwrap())
            }
            "said so later" => {
                let (peer, ours) = connection();
                let stream = engine.attach(ours).unwrap();
                stream.set_exclusive(true);
                (peer, stream)
            }
            _ => {
                let listener = engine.listen("127.0.0.1:0").unwrap();
                let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let accepted = Basket::new();
                engine.accept(&listener, accepted.callback());
                turn_until(&engine, || accepted.len() == 1);
                (peer, accepted.only())
            }
        };
        if way == "accepted and lent for a look" {
            SockRef::from(&stream).set_keepalive(true).unwrap();
            stream.set_exclusive(true);
        }
        peer.write_all(b"a request that is too large").unwrap();
        engine.write(&stream, "413", Callback::ignore());
        engine.close(&stream, Callback::ignore());
        engine.run().unwrap();
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{way}: {error}"));
        assert_eq!(answer, "413", "{way}");
    }
}

/// A server that inetd starts has its connection as standard input and as standard output.
#[test]
fn two_streams_of_one_connection_end_one_after_the_other() {
    let engine = driver::engine();
    let (mut peer, ours) = connection();
    let input = engine.attach(ours.try_clone().unwrap()).unwrap();
    let output = engine.attach(ours).unwrap();
    let told = Told::new();
    engine.read_line(&input, told.value("request"));
    peer.write_all(b"hello\nunread").unwrap();
    turn_until(&engine, || !told.is_empty());
    assert_eq!(told.take(), ["request b\"hello\""]);
    engine.close(&input, told.callback("close"));
    engine.run().unwrap();
    engine.write_line(&output, "answer", told.callback("write"));
    engine.shutdown_write(&output, told.callback("shutdown"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["close Ok", "write Ok", "shutdown Ok"]);
    let mut all = String::new();
    peer.read_to_string(&mut all).unwrap();
    assert_eq!(all, "answer\r\n");
}

#[test]
fn an_abort_resets_the_connection_for_all_copies() {
    if misses_resets("an_abort_resets_the_connection_for_all_copies", &driver::name()) {
        return;
    }
    for has_copy in [true, false] {
        let engine = driver::engine();
        let (mut peer, ours) = connection();
        let copy = has_copy.then(|| ours.try_clone().unwrap());
        let stream = engine.attach(ours).unwrap();
        engine.read_line(&stream, Callback::ignore());
        turns(&engine, 2);
        engine.abort(&stream);
        engine.run().unwrap();
        let error = peer.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        if let Some(copy) = copy {
            copy.set_nonblocking(true).unwrap();
            let end = (&copy).read(&mut [0]).map_err(|error| error.kind());
            assert_ne!(end, Err(ErrorKind::WouldBlock));
        }
    }
}

// Reading

/// Turns of an engine that is awake although nothing is pending.
fn idle_turns(engine: &Engine) {
    let _awake = engine.keep_alive();
    turns(engine, 3);
}

#[test]
fn much_is_read_of_what_others_may_read_too() {
    let engine = driver::engine();
    let (mut peer, ours) = connection();
    let stream = engine.attach(ours).unwrap();
    let writes = std::thread::spawn(move || {
        for number in 0..20_000 {
            peer.write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
    });
    let told = Told::new();
    for number in 0..20_000 {
        engine.expect_line(
            &stream,
            format!("line {number}"),
            Callback::new(|_, _| (), |_, error| panic!("{error}")),
        );
    }
    engine.read_all(&stream, told.value("rest"));
    engine.run().unwrap();
    writes.join().unwrap();
    assert_eq!(told.take(), ["rest b\"\""]);
}

// Files

/// A file, and the content that it has now by its own open file.
fn file() -> (File, impl Fn() -> String) {
    let named = tempfile::NamedTempFile::new().unwrap();
    let file = OpenOptions::new().read(true).write(true).open(named.path()).unwrap();
    (file, move || std::fs::read_to_string(named.path()).unwrap())
}

/// As of a program whose output and complaints are one file, `> log 2>&1`, and which starts
/// another.
#[test]
fn a_file_that_others_write_to_as_well_is_overwritten_by_nobody() {
    let engine = driver::engine();
    let (log, content) = file();
    let output = engine.attach(log.try_clone().unwrap()).unwrap();
    let complaints = engine.attach(log.try_clone().unwrap()).unwrap();
    let mut expected = String::new();
    for round in 0..3 {
        engine.write_line(&output, format!("output {round}"), Callback::ignore());
        engine.run().unwrap();
        engine.write_line(&complaints, format!("complaint {round}"), Callback::ignore());
        engine.run().unwrap();
        let line = format!("child {round}");
        let mut command = Command::new(CHILD);
        command.args(["echo", &line]).stdout(log.try_clone().unwrap());
        starting::spawn(&mut command).wait().unwrap();
        expected += &format!("output {round}\ncomplaint {round}\n{line}\n");
    }
    assert_eq!(content(), expected);
}

#[test]
fn streams_of_one_file_write_between_and_never_over_one_another() {
    const ROUNDS: usize = 200;
    let engine = driver::engine();
    let (log, content) = file();
    let streams: Vec<Stream> =
        (0..4).map(|_| engine.attach(log.try_clone().unwrap()).unwrap()).collect();
    let mut writer = log.try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        for _ in 0..ROUNDS {
            writer.write_all(b"from the thread\n").unwrap();
        }
    });
    for _ in 0..ROUNDS {
        for stream in &streams {
            engine.write(stream, "from the engine\n", Callback::ignore());
        }
        turns(&engine, 1);
    }
    for stream in &streams {
        engine.flush(stream, Callback::ignore());
    }
    engine.run().unwrap();
    thread.join().unwrap();
    let content = content();
    let count = |line: &str| content.lines().filter(|found| *found == line).count();
    assert_eq!(count("from the thread"), ROUNDS);
    assert_eq!(count("from the engine"), streams.len() * ROUNDS);
    assert_eq!(content.lines().count(), (streams.len() + 1) * ROUNDS);
}

#[test]
fn whoever_goes_on_with_a_file_begins_where_the_reads_ended() {
    for way in ["close", "drop", "detach", "drop the engine", "write"] {
        let engine = driver::engine();
        let (mut ours, content) = file();
        ours.write_all(b"one\ntwo\nthree\n").unwrap();
        let mut copy = ours.try_clone().unwrap();
        copy.seek(SeekFrom::Start(0)).unwrap();
        let stream = engine.attach(ours).unwrap();
        let told = Told::new();
        engine.read_line(&stream, told.value("line"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["line b\"one\""]);
        if way == "write" {
            engine.write(&stream, "TWO\n", Callback::ignore());
            engine.flush(&stream, Callback::ignore());
            engine.run().unwrap();
            assert_eq!(content(), "one\nTWO\nthree\n");
        } else {
            if way != "drop the engine" {
                let again = stream.clone();
                drop(stream);
                drop(end(engine, again, way));
            } else {
                drop(engine);
            }
            let mut line = [0; 4];
            copy.read_exact(&mut line).unwrap();
            assert_eq!(&line, b"two\n", "{way}");
        }
        let mut rest = String::new();
        copy.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "three\n", "{way}");
    }
}

#[test]
fn a_write_that_was_cancelled_leaves_a_file_to_be_read_where_the_reads_ended() {
    let engine = driver::engine();
    let (mut ours, _) = file();
    ours.write_all(b"one\ntwo\n").unwrap();
    ours.rewind().unwrap();
    let stream = engine.attach(ours).unwrap();
    let told = Told::new();
    engine.read_line(&stream, told.value("line"));
    engine.run().unwrap();
    engine.set_limits(&stream, Limits { unsent: 0, ..Limits::default() });
    let notes = told.clone();
    engine.post(move |engine| {
        engine.write(&stream, "TWO", notes.callback("write")).cancel();
        engine.read_line(&stream, notes.value("line"));
    });
    engine.run().unwrap();
    assert_eq!(told.take(), ["line b\"one\"", "write Cancelled", "line b\"two\""]);
}

// Listening

#[test]
fn connections_at_an_attached_listener_are_left_to_others_unless_an_accept_wants_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = listener.try_clone().unwrap();
    let address = listener.local_addr().unwrap();
    let engine = driver::engine();
    let listener = engine.attach_listener(listener).unwrap();
    let told = Told::new();
    let is_the_others = |engine: &Engine| {
        idle_turns(engine);
        let client = TcpStream::connect(address).unwrap();
        idle_turns(engine);
        let (_, peer) = other.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    };
    is_the_others(&engine);
    let cancel = engine.accept(&listener, told.callback("cancelled"));
    idle_turns(&engine);
    cancel.cancel();
    is_the_others(&engine);
    engine.accept(&listener, told.timeout(Duration::ZERO).callback("expired"));
    is_the_others(&engine);
    engine.accept(&listener, told.callback("ours"));
    idle_turns(&engine);
    let client = TcpStream::connect(address).unwrap();
    turn_until(&engine, || told.len() == 3);
    is_the_others(&engine);
    engine.accept(&listener, told.callback("pending"));
    turns(&engine, 2);
    engine.close(&listener, told.callback("close"));
    engine.run().unwrap();
    is_the_others(&engine);
    let notes =
        ["cancelled Cancelled", "expired TimedOut", "ours Ok", "pending Closed", "close Ok"];
    assert_eq!(told.take(), notes);
    drop(client);
}

#[test]
fn a_listener_that_was_lent_accepts_no_more_ahead() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let told = Told::new();
    engine.accept(&listener, told.callback("first"));
    let _first = TcpStream::connect(address).unwrap();
    turn_until(&engine, || !told.is_empty());
    let copy = copy_of_listener(&listener);
    idle_turns(&engine);
    let client = TcpStream::connect(address).unwrap();
    idle_turns(&engine);
    let (_, peer) = copy.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    engine.accept(&listener, told.callback("second"));
    let _second = TcpStream::connect(address).unwrap();
    turn_until(&engine, || told.len() == 2);
    assert_eq!(told.take(), ["first Ok", "second Ok"]);
}

#[test]
fn what_was_detached_goes_on_where_the_reads_ended() {
    let engine = driver::engine();
    let (mut peer, ours) = connection();
    let stream = engine.attach(ours).unwrap();
    let (told, detached) = (Told::new(), Outcome::<Detached>::new());
    engine.read_line(&stream, told.value("line"));
    peer.write_all(b"one\ntw").unwrap();
    turn_until(&engine, || !told.is_empty());
    idle_turns(&engine);
    peer.write_all(b"o\n").unwrap();
    idle_turns(&engine);
    engine.detach(&stream, detached.callback());
    engine.run().unwrap();
    let Detached { fd, unread, .. } = detached.value();
    let end = end_of_connection(fd);
    assert_eq!((&unread[..], &there(&end)[..]), (&b"tw"[..], &b"o\n"[..]));
    let again = engine.attach_detached(Detached::new(end, unread)).unwrap();
    peer.write_all(b"three\n").unwrap();
    engine.read_line(&again, told.value("line"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["line b\"one\"", "line b\"twthree\""]);
}

// Closing that may wait

/// A connection whose close waits for the peer, which reads nothing yet, and how the engine has it.
fn lingering(engine: &Engine, how: &str) -> (TcpStream, Stream) {
    let linger = |socket: SockRef<'_>| {
        socket.set_linger(Some(Duration::from_secs(60))).unwrap();
    };
    let (peer, stream) = match how {
        "attached" | "exclusive" => {
            let (peer, ours) = connection();
            linger(SockRef::from(&ours));
            let stream = match how {
                "attached" => engine.attach(ours),
                _ => engine.attach_exclusive(ours),
            };
            (peer, stream.unwrap())
        }
        "lent" => {
            let listener = engine.listen("127.0.0.1:0").unwrap();
            let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let accepted = Basket::new();
            engine.accept(&listener, accepted.callback());
            turn_until(engine, || accepted.len() == 1);
            let stream: Stream = accepted.only();
            linger(SockRef::from(&stream));
            (peer, stream)
        }
        "inherited" => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            linger(SockRef::from(&listener));
            let listener = engine.attach_listener(listener).unwrap();
            let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let accepted = Basket::new();
            engine.accept(&listener, accepted.callback());
            turn_until(engine, || accepted.len() == 1);
            (peer, accepted.only())
        }
        _ => unreachable!("a way that is not listed"),
    };
    // The way is full, so that the last of it waits for the peer to read.
    fill(&peer, &stream);
    if how != "attached" {
        stream.set_exclusive(true);
    }
    (peer, stream)
}

const LINGERING: [&str; 4] = ["attached", "exclusive", "lent", "inherited"];

#[test]
fn a_close_that_lingers_does_not_hold_up_the_loop() {
    if closes_at_once("a_close_that_lingers_does_not_hold_up_the_loop") {
        return;
    }
    for how in LINGERING {
        let engine = driver::engine();
        let (mut peer, stream) = lingering(&engine, how);
        let told = Told::new();
        engine.close(&stream, told.callback("close"));
        for number in 0..10 {
            engine.sleep(Duration::from_millis(1), told.callback(number));
            turn_until(&engine, || told.len() > number);
        }
        let reads = std::thread::spawn(move || peer.read_to_end(&mut Vec::new()).unwrap());
        engine.run().unwrap();
        let expected: Vec<_> =
            (0..10).map(|n| format!("{n} Ok")).chain(["close Ok".to_owned()]).collect();
        assert_eq!(told.take(), expected, "{how}");
        reads.join().unwrap();
    }
}

#[test]
fn a_dropped_stream_that_lingers_does_not_hold_up_the_loop() {
    if closes_at_once("a_dropped_stream_that_lingers_does_not_hold_up_the_loop") {
        return;
    }
    for how in LINGERING {
        let engine = driver::engine();
        let (mut peer, stream) = lingering(&engine, how);
        let told = Told::new();
        drop(stream);
        engine.sleep(Duration::from_millis(1), told.callback("sleep"));
        turn_until(&engine, || !told.is_empty());
        peer.read_to_end(&mut Vec::new()).unwrap();
        engine.run().unwrap();
        assert_eq!(told.take(), ["sleep Ok"], "{how}");
    }
}

/// Told in time, although the system goes on; and what it has goes out.
#[test]
fn a_close_that_lingers_beyond_its_time_is_timed_out_and_goes_on() {
    if closes_at_once("a_close_that_lingers_beyond_its_time_is_timed_out_and_goes_on") {
        return;
    }
    for how in LINGERING {
        for has_unsent in [false, true] {
            let engine = driver::engine();
            let (mut peer, stream) = lingering(&engine, how);
            let told = Told::new();
            if has_unsent {
                engine.write(&stream, vec![0; 1 << 20], told.callback("write"));
            }
            let timeout = Duration::from_millis(10);
            engine.close(&stream, told.timeout(timeout).callback("close"));
            engine.run().unwrap();
            let mut notes = told.take();
            assert_eq!(notes.pop().unwrap(), "close TimedOut", "{how}");
            assert_eq!(notes.len(), usize::from(has_unsent));
            // No reset: with the end comes everything that the system had taken.
            peer.read_to_end(&mut Vec::new()).unwrap();
        }
    }
}

#[test]
fn an_abort_waits_for_nobody() {
    if misses_resets("an_abort_waits_for_nobody", &driver::name()) {
        return;
    }
    for how in LINGERING {
        let engine = driver::engine();
        let (mut peer, stream) = lingering(&engine, how);
        engine.abort(&stream);
        engine.run().unwrap();
        let error = peer.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{how}");
    }
}

#[test]
fn promise_16_a_dropped_engine_does_not_linger() {
    if closes_at_once("promise_16_a_dropped_engine_does_not_linger") {
        return;
    }
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for how in LINGERING {
            for closes in [false, true] {
                let engine = driver::engine();
                let (peer, stream) = lingering(&engine, how);
                if closes {
                    engine.close(&stream, Callback::ignore());
                    turns(&engine, 2);
                } else {
                    engine.read_line(&stream, Callback::ignore());
                    turns(&engine, 2);
                    drop(stream);
                }
                drop(engine);
                done.send(peer).unwrap();
            }
        }
    });
    for _ in 0..2 * LINGERING.len() {
        // Less than it lingers for, so that a hang becomes a failure.
        let mut peer = is_done.recv_timeout(Duration::from_secs(30)).expect("it does not hang");
        peer.read_to_end(&mut Vec::new()).unwrap();
    }
}

/// A connection that comes with bytes of the user's.
fn stream_with(engine: &Engine, unread: Bytes) -> (TcpStream, Stream) {
    let (peer, ours) = connection();
    let stream = engine.attach_detached(Detached::new(ours, unread)).unwrap();
    (peer, stream)
}

#[test]
fn promise_17_bytes_that_a_stream_came_with_may_panic_as_they_are_dropped() {
    let (drops, told) = (Drops::new(), Told::new());
    let attached = |engine: &Engine| {
        // Where it panics at once there is no stream.
        catch_unwind(AssertUnwindSafe(|| stream_with(engine, Bomb::bytes(&drops)))).ok()
    };
    for way in ["close", "drop", "read", "abort", "drop the engine"] {
        let engine = driver::engine();
        let streams: Vec<_> = (0..3).filter_map(|_| attached(&engine)).collect();
        let count = streams.len();
        for (_, stream) in &streams {
            match way {
                "close" => _ = engine.close(stream, told.callback("end")),
                "read" => _ = engine.read_exact(stream, Bomb::LEN, told.callback("end")),
                "abort" => engine.abort(stream),
                _ => {}
            }
        }
        if way == "drop" {
            drop(streams);
        }
        if way == "drop the engine" {
            drop(engine);
        } else {
            while catch_unwind(AssertUnwindSafe(|| engine.run().unwrap())).is_err() {}
            if matches!(way, "close" | "read") {
                assert_eq!(told.take(), vec!["end Ok"; count], "{way}");
            }
            drop(engine);
        }
        assert_eq!(drops.alive(), 0, "{way}");
    }
}
