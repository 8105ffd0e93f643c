//! Waiting until something is ready, and doing nothing to it: descriptors that others read and write.

use std::{
    fs::File,
    io::{PipeReader, PipeWriter, Read, Write, pipe},
    net::UdpSocket,
    time::Duration,
};

use facade_engine::{Bytes, Callback, Engine, Error};
use facade_tests::{
    alone::{alone, descriptors},
    outcome::Outcome,
    told::Told,
    turns::{SOON, turn_until, turns},
};

use super::driver;

/// A socket that has been sent nothing yet, and what sends to it.
fn sockets() -> (UdpSocket, impl Fn(&[u8])) {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    (receiver, move |bytes| assert_eq!(sender.send(bytes).unwrap(), bytes.len()))
}

#[test]
fn what_is_readable_is_told_and_not_read() {
    let engine = driver::engine();
    let (socket, send) = sockets();
    let told = Told::new();
    told.submitting(|| engine.readable(&socket, told.callback("readable")));
    turns(&engine, 3);
    assert!(told.is_empty(), "there is nothing");
    send(b"one");
    engine.run().unwrap();
    // It is the state that counts: so it is told as often as it is asked for.
    engine.readable(&socket, told.callback("again"));
    engine.run().unwrap();
    assert_eq!(told.take(), ["readable Ok", "again Ok"]);
    let mut buffer = [0; 10];
    assert_eq!(socket.recv(&mut buffer).unwrap(), 3);
    engine.readable(&socket, told.callback("emptied"));
    turns(&engine, 3);
    assert!(told.is_empty());
    send(b"two");
    engine.run().unwrap();
    assert_eq!(told.take(), ["emptied Ok"]);
}

#[test]
fn a_wait_from_another_thread_is_told() {
    let engine = driver::engine();
    let (socket, send) = sockets();
    let (outcome, handle) = (Outcome::new(), engine.handle().clone());
    let callback = outcome.callback();
    let guard = engine.keep_alive();
    let thread = std::thread::spawn(move || {
        handle.readable(&socket, callback);
        drop(guard);
        socket
    });
    send(b"one");
    engine.run().unwrap();
    assert!(outcome.take().is_ok());
    thread.join().unwrap();
}

#[test]
fn room_is_told_when_it_is_there() {
    let engine = driver::engine();
    let (mut reader, mut writer) = full_pipe();
    let told = Told::new();
    engine.writable(&writer, told.callback("writable"));
    turns(&engine, 3);
    assert!(told.is_empty(), "there is no room");
    reader.read_exact(&mut [0; 8 << 10]).unwrap();
    engine.run().unwrap();
    assert_eq!(told.take(), ["writable Ok"]);
    assert_eq!(writer.write(b"x").unwrap(), 1);
}

fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[0; 4 << 10]).is_ok() {}
    (reader, writer)
}

#[test]
fn ends_and_failures_are_readable_and_writable() {
    let engine = driver::engine();
    let told = Told::new();
    let (reader, writer) = pipe().unwrap();
    drop(writer);
    engine.readable(&reader, told.callback("end of a pipe"));
    engine.run().unwrap();
    let (reader, writer) = full_pipe();
    engine.writable(&writer, told.callback("pipe that nobody reads"));
    turns(&engine, 2);
    drop(reader);
    engine.run().unwrap();
    assert_eq!(told.take(), ["end of a pipe Ok", "pipe that nobody reads Ok"]);
}

#[test]
fn what_cannot_be_waited_for_is_always_ready() {
    let engine = driver::engine();
    let told = Told::new();
    let file = tempfile::tempfile().unwrap();
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    for (name, fd) in [("file", &file), ("null", &null)] {
        engine.readable(fd, told.callback(name));
        engine.writable(fd, told.callback(name));
    }
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["file Ok", "file Ok", "null Ok", "null Ok"]);
}

#[test]
fn promise_06_a_wait_ends_by_cancel_and_by_timeout_and_has_taken_nothing() {
    let engine = driver::engine();
    let (socket, send) = sockets();
    let told = Told::new();
    let cancel = engine.readable(&socket, told.callback("cancelled"));
    engine.readable(&socket, told.timeout(SOON).callback("expired"));
    cancel.cancel();
    engine.run().unwrap();
    assert_eq!(told.take(), ["cancelled Cancelled", "expired TimedOut"]);
    send(b"one");
    let callback = told.timeout(Duration::ZERO).callback("what has arrived is no timeout");
    engine.readable(&socket, callback);
    engine.run().unwrap();
    assert_eq!(told.take(), ["what has arrived is no timeout Ok"]);
    assert_eq!(socket.recv(&mut [0; 10]).unwrap(), 3);
}

#[test]
fn promise_16_waits_that_nothing_ends_get_the_engines_end() {
    let (socket, _send) = sockets();
    let told = Told::new();
    let engine = driver::engine();
    engine.readable(&socket, told.callback("seen"));
    turns(&engine, 1);
    engine.readable(&socket, told.callback("unseen"));
    drop(engine);
    assert_eq!(told.take(), ["seen EngineClosed", "unseen EngineClosed"]);
}

#[test]
fn the_programs_own_number_may_be_closed_and_given_away_meanwhile() {
    let engine = driver::engine();
    let (socket, send) = sockets();
    let told = Told::new();
    engine.readable(&socket, told.callback("of a closed number"));
    drop(socket);
    // Most likely under the number that was closed, and readable.
    let (end, other) = pipe().unwrap();
    drop(other);
    turns(&engine, 3);
    assert!(told.is_empty());
    send(b"one");
    engine.run().unwrap();
    assert_eq!(told.take(), ["of a closed number Ok"]);
    drop(end);
}

#[test]
fn promise_09_a_wait_leaves_no_descriptor_behind() {
    alone(module_path!(), "promise_09_a_wait_leaves_no_descriptor_behind", || {
        let engine = driver::engine();
        let (socket, send) = sockets();
        let told = Told::new();
        let before = descriptors();
        for _ in 0..10 {
            let cancel = engine.readable(&socket, told.callback("cancelled"));
            turns(&engine, 1);
            cancel.cancel();
            engine.run().unwrap();
            engine.readable(&socket, told.timeout(Duration::ZERO).callback("expired"));
            engine.writable(&socket, told.callback("writable"));
            engine.run().unwrap();
            assert_eq!(descriptors(), before);
        }
        send(b"one");
        engine.readable(&socket, told.callback("readable"));
        engine.run().unwrap();
        assert_eq!(descriptors(), before);
        assert_eq!(told.len(), 31);
    });
}

#[test]
fn many_wait_for_one_thing_and_all_are_told() {
    let engine = driver::engine();
    let (socket, send) = sockets();
    let told = Told::new();
    for number in 0..20 {
        engine.readable(&socket, told.callback(number));
    }
    turns(&engine, 2);
    send(b"one");
    engine.run().unwrap();
    assert_eq!(told.len(), 20);
}

#[test]
fn a_wait_says_what_it_is_and_what_it_waits_for() {
    use std::os::fd::AsRawFd;
    let engine = driver::engine();
    let (socket, _send) = sockets();
    let (_reader, writer) = full_pipe();
    engine.readable(&socket, Callback::ignore());
    engine.writable(&writer, Callback::ignore());
    turns(&engine, 1);
    let pending = engine.pending();
    let words: Vec<_> = pending.iter().map(ToString::to_string).collect();
    let (one, other) = (socket.as_raw_fd(), writer.as_raw_fd());
    assert_eq!(
        words,
        [format!("readable on descriptor {one}"), format!("writable on descriptor {other}")]
    );
}

/// What a program does that a C library tells what it waits for: a stream of events, an event at a
/// time.
#[test]
#[cfg(target_os = "linux")]
fn an_inotify_instance_is_read_by_hand() {
    use rustix::fs::inotify;
    let engine = driver::engine();
    let folder = tempfile::tempdir().unwrap();
    let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
    let watcher = inotify::init(flags).unwrap();
    inotify::add_watch(&watcher, folder.path(), inotify::WatchFlags::CREATE).unwrap();
    let names = Told::new();
    let noted = names.clone();
    let reader = watcher.try_clone().unwrap();
    engine.readable(
        &watcher,
        Callback::new(
            move |_, ()| {
                let mut buffer = [std::mem::MaybeUninit::uninit(); 512];
                let mut events = inotify::Reader::new(&reader, &mut buffer);
                let event = events.next().unwrap();
                noted.note(event.file_name().unwrap().to_string_lossy());
            },
            |_, error| panic!("{error}"),
        ),
    );
    turns(&engine, 2);
    File::create(folder.path().join("new")).unwrap();
    engine.run().unwrap();
    assert_eq!(names.take(), ["new"]);
}

/// The streams of the engine are not disturbed by somebody who waits for their descriptors.
#[test]
fn a_stream_that_is_waited_for_from_outside_is_read_as_ever() {
    let engine = driver::engine();
    let (mut peer, stream) = driver::pair(&engine);
    let told = Told::new();
    engine.readable(&stream, told.callback("readable"));
    turns(&engine, 2);
    peer.write_all(b"line\n").unwrap();
    turn_until(&engine, || !told.is_empty());
    let line = Outcome::<Bytes>::new();
    engine.read_line(&stream, line.callback());
    engine.run().unwrap();
    assert_eq!(line.value(), "line");
}

#[test]
fn a_simulated_engine_waits_for_nothing_of_this_machine() {
    let network = facade_engine::sim::Network::new(1);
    let engine = Engine::builder().simulated(&network.host("here")).build().unwrap();
    let (socket, _send) = sockets();
    let outcome = Outcome::<()>::new();
    engine.readable(&socket, outcome.callback());
    engine.run().unwrap();
    assert!(matches!(outcome.error(), Error::Unsupported { .. }));
}
