//! Several engines, each on a thread of its own: who serves, how they end, and that none drags the
//! others along.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, ErrorKind, Read, Write, read_to_string},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use facade_engine::{
    Bytes, Callback, Detached, Engines, Error, Handle, Listener, Local, Result, Stream,
};
use facade_tests::{
    alone::alone,
    outcome::Outcome,
    told::{Told, brief},
    turns::{now, turns},
};

use super::driver::{self, descriptors, pair, socket_pair};

const COUNT: usize = 3;

/// Longer than anything here takes, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn engines_at_one_socket_take_no_more_than_they_ask_for() {
    let engines = engines();
    let socket = driver::bind();
    let address = socket.local_addr().unwrap();
    engines.attach_listener(socket, greet_one).unwrap();
    let connect = || {
        let client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    };
    every_engine_greets_one(connect);
}

/// Each takes one and no more, so that as many clients as engines are answered by all of them.
fn every_engine_greets_one<C: Read>(connect: impl Fn() -> C) {
    let clients: Vec<_> = (0..COUNT).map(|_| connect()).collect();
    let seen: BTreeSet<_> = clients.into_iter().map(|c| read_to_string(c).unwrap()).collect();
    assert_eq!(seen.len(), COUNT, "{seen:?}");
}

#[test]
fn promise_16_a_drop_ends_every_engine_on_its_own_thread_and_closes_all_listeners() {
    let name = "promise_16_a_drop_ends_every_engine_on_its_own_thread_and_closes_all_listeners";
    alone(module_path!(), name, || {
        // Elsewhere threads are among what is counted as descriptors.
        let threads = || fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
        let before = (threads(), descriptors());
        let engines = engines();
        let address = listen(&engines, greet);
        assert!(threads() == before.0 + COUNT || cfg!(windows));
        let (sender, ends) = mpsc::channel();
        for handle in engines.handles() {
            let (begun, sender) = (sender.clone(), sender.clone());
            handle.post(move |local| {
                begun.send((thread::current().id(), None)).unwrap();
                let end = move |_: &Local, outcome: Result<()>| {
                    sender.send((thread::current().id(), outcome.err())).unwrap();
                };
                local.sleep(Duration::MAX, Callback::from_fn(end));
            });
        }
        let begun: BTreeSet<_> = (0..COUNT).map(|_| words(next(&ends))).collect();
        assert_eq!(begun.len(), COUNT);
        drop(engines);
        // All have been told by now, each where it lived.
        let ended: BTreeSet<_> = ends.try_iter().map(words).collect();
        let expected = begun.iter().map(|begun| begun.replace("nothing", "EngineClosed")).collect();
        assert_eq!(ended, expected);
        // At once, but the port may be another test's by now, for a while.
        wait_until(|| is_refused(TcpStream::connect(address)));
        // A thread that has been joined can be in the list for a moment.
        wait_until(|| threads() == before.0);
        // The null device is opened once for the process.
        assert!(descriptors() <= before.1 + 1);
    });

    fn words((thread, error): (ThreadId, Option<Error>)) -> String {
        let told = error.map_or_else(|| "nothing".to_owned(), |error| brief(&error));
        format!("{thread:?} {told}")
    }
}

#[test]
fn promise_17_a_panic_on_one_engine_ends_neither_it_nor_the_others() {
    let engines = engines();
    let address = listen(&engines, greet);
    let handles: Vec<_> = engines.handles().collect();
    handles[0].post(|_| panic!("this is a test's"));
    for handle in handles {
        answers(handle);
    }
    read_to_string(TcpStream::connect(address).unwrap()).unwrap();
}

#[test]
fn a_panic_of_what_serves_leaves_that_engine_without_a_listener() {
    let engines = engines();
    let address = listen(&engines, |_, _| panic!("this is a test's"));
    engines.handles().for_each(answers);
    // A close may take the system another turn.
    wait_until(|| is_refused(TcpStream::connect(address)));
}

fn is_refused(connected: io::Result<TcpStream>) -> bool {
    connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn promise_16_a_thread_that_is_stuck_is_not_waited_for_and_its_engine_ends_later() {
    let engines = engines();
    let (stuck, has_begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let told = Told::new();
    let late = told.callback::<()>("sleep");
    engines.handles().next().unwrap().post(move |local| {
        local.sleep(Duration::MAX, late);
        stuck.send(()).unwrap();
        released.recv().unwrap_err();
    });
    next(&has_begun);
    let handles: Vec<_> = engines.handles().cloned().collect();
    let start = now();
    drop(engines);
    assert!(now() - start < Duration::from_secs(30));
    assert!(told.is_empty());
    assert!(handles[1..].iter().all(Handle::is_closed));
    drop(release);
    wait_until(|| !told.is_empty());
    assert_eq!(told.take(), ["sleep EngineClosed"]);
}

#[test]
fn promise_03_engines_can_be_dropped_inside_a_callback_of_one_but_not_waited_for() {
    for join in [false, true] {
        let engines = engines();
        let handles: Vec<_> = engines.handles().cloned().collect();
        let (sender, receiver) = mpsc::channel();
        handles[1].post(move |_| {
            let outcome = if join {
                engines.join()
            } else {
                drop(engines);
                Ok(())
            };
            sender.send(outcome).unwrap();
        });
        match next(&receiver) {
            Err(Error::InvalidInput { .. }) => assert!(join),
            outcome => assert!(outcome.is_ok() && !join),
        }
        wait_until(|| handles.iter().all(Handle::is_closed));
    }
}

#[test]
fn engines_are_stopped_one_by_one_or_together() {
    let engines = engines();
    let handles: Vec<_> = engines.handles().cloned().collect();
    handles[0].post(|local| local.stop());
    wait_until(|| handles[0].is_closed());
    // The others go on, and serve alone.
    let (sender, receiver) = mpsc::channel();
    let tell = move |local: &Local, _| sender.send(format!("{:?}", local.handle())).unwrap();
    listen(&engines, tell);
    let serving: BTreeSet<_> = (1..COUNT).map(|_| next(&receiver)).collect();
    assert_eq!(serving, handles[1..].iter().map(|handle| format!("{handle:?}")).collect());
    assert!(receiver.recv().is_err(), "it served once on each");
    engines.stop();
    wait_until(|| handles.iter().all(Handle::is_closed));
    let error = engines.attach_listener(driver::bind(), |_, _| panic!("served")).unwrap_err();
    assert_eq!(brief(&error), "EngineClosed");
    engines.join().unwrap();
}

#[test]
fn no_engine_is_one_engine() {
    assert_eq!(driver::builder().build_engines(0).unwrap().handles().len(), 1);
}

#[test]
fn promise_08_a_stream_moves_to_another_engine_with_what_nobody_has_read() {
    let (engine, other) = (driver::engine(), driver::engine());
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"here\nthere\nha").unwrap();
    engine.read_line(&stream, told.value("here"));
    engine.run().unwrap();
    let detached: Outcome<Detached> = Outcome::new();
    engine.detach(&stream, detached.callback());
    engine.run().unwrap();
    peer.write_all(b"lf\nend").unwrap();
    drop(peer);
    let stream = other.attach_detached(detached.value()).unwrap();
    other.buffered(&stream, told.value("unread"));
    other.read_line(&stream, told.value("there"));
    other.read_line(&stream, told.value("half"));
    other.read_all(&stream, told.value("rest"));
    other.run().unwrap();
    let expected =
        [r#"here b"here""#, "unread 8", r#"there b"there""#, r#"half b"half""#, r#"rest b"end""#];
    assert_eq!(told.take(), expected);
}

#[test]
fn promise_08_unread_bytes_move_from_thread_to_thread_any_number_of_times() {
    const MOVES: usize = 50;
    let engines = engines();
    let handles: Arc<[Handle]> = engines.handles().cloned().collect();
    let (mut peer, ours) = socket_pair();
    let lines: Vec<_> = (0..MOVES).map(|number| format!("line {number}")).collect();
    peer.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    let (sender, receiver) = mpsc::channel();
    let stream = handles[0].attach(ours).unwrap();
    pass_on(stream, handles, 1, sender);
    let seen: Vec<_> = (0..MOVES).map(|_| next(&receiver)).collect();
    assert_eq!(seen, lines);

    /// Reads a line and passes the stream on to the next engine.
    fn pass_on(stream: Stream, to: Arc<[Handle]>, turn: usize, tell: Sender<Bytes>) {
        let again = stream.clone();
        let read = Callback::from_fn(move |engine, line: Result<Bytes>| {
            // At the end the test is over, or has failed.
            let Ok(line) = line else { return };
            tell.send(line).unwrap();
            let there = to[turn % to.len()].clone();
            let moved = move |_: &Local, detached: Result<Detached>| {
                there.clone().post(move |_| {
                    let stream = there.attach_detached(detached.unwrap()).unwrap();
                    pass_on(stream, to, turn + 1, tell);
                });
            };
            engine.detach(&again, Callback::from_fn(moved));
        });
        stream.handle().clone().read_line(&stream, read);
    }
}

#[test]
fn a_file_has_no_unread_bytes_to_be_attached_with() {
    let engine = driver::engine();
    let detached = Detached::new(tempfile::tempfile().unwrap(), "x");
    let error = engine.attach_detached(detached).unwrap_err();
    assert_eq!(brief(&error), "InvalidInput");
    turns(&engine, 1);
}

fn engines() -> Engines {
    driver::builder().build_engines(COUNT).unwrap()
}

/// Has a group listen, in the way that there is: each engine at a socket of its own where the
/// system shares out an address, and all at one elsewhere.
fn listen(
    engines: &Engines,
    serve: impl Fn(&Local, Listener) + Send + Sync + 'static,
) -> SocketAddr {
    if cfg!(unix) {
        return engines.listen(any_port(), serve).unwrap();
    }
    let socket = driver::bind();
    let address = socket.local_addr().unwrap();
    engines.attach_listener(socket, serve).unwrap();
    address
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Accepts for ever, and tells each client which engine it is.
fn greet(engine: &Local, listener: Listener) {
    let next = listener.clone();
    let accepted = Callback::from_fn(move |engine: &Local, stream: Result<Stream>| {
        if let Ok(stream) = stream {
            engine.write(&stream, format!("{:?}", engine.handle()), Callback::ignore());
            greet(engine, next);
        }
    });
    engine.accept(&listener, accepted);
}

/// Accepts one, tells it which engine it is, and goes on listening.
fn greet_one(engine: &Local, listener: Listener) {
    let greeting = format!("{:?}", engine.handle());
    engine.accept_then_write(&listener, greeting, (Callback::ignore(), Callback::ignore()));
    engine.sleep(Duration::MAX, Callback::from_fn(move |_, _: Result<()>| drop(listener)));
}

/// Waits until an engine has run a callback.
#[track_caller]
fn answers(handle: &Handle) {
    let (sender, receiver) = mpsc::channel();
    handle.post(move |_| sender.send(()).unwrap());
    next(&receiver);
}

#[track_caller]
fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(PATIENCE).expect("something is told in time")
}

#[track_caller]
fn wait_until(done: impl Fn() -> bool) {
    let hopeless = now() + PATIENCE;
    while !done() {
        assert!(now() < hopeless, "waited in vain");
        thread::yield_now();
    }
}
