//! What a process may have is used up: descriptors, or the size of a file.

use std::{
    fs::File,
    iter,
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use facade_engine::{Callback, Error, IoOperation, Stream};
use facade_tests::{
    alone::alone,
    outcome::Outcome,
    told::{Basket, Told},
    turns::{turn_until, turns},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::driver;

#[test]
fn promise_09_out_of_descriptors_an_accept_stays_pending_until_one_is_free() {
    let name = "promise_09_out_of_descriptors_an_accept_stays_pending_until_one_is_free";
    alone(module_path!(), name, || {
        let engine = driver::engine();
        let listener = engine.listen("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<driver::TcpPeer> =
            (0..3).map(|_| driver::connect(address).unwrap()).collect();
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
        let listener = engine.listen("127.0.0.1:0").unwrap();
        let _client = driver::connect(listener.local_addr().unwrap()).unwrap();
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
        let kernel = driver::bind();
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
        let Error::Io { operation: IoOperation::Connect, cause } = failure else {
            panic!("{failure}")
        };
        assert_eq!(cause.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
        drop(hoard);
        let told = Told::new();
        engine.connect(kernel.local_addr().unwrap(), told.callback("connect"));
        engine.run().unwrap();
        assert_eq!(told.take(), ["connect Ok"]);
    });
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

#[test]
fn a_listener_that_cannot_be_had_closes_those_before_it() {
    let name = "a_listener_that_cannot_be_had_closes_those_before_it";
    const COUNT: usize = 3;
    alone(module_path!(), name, || {
        let engines = driver::builder().build_engines(COUNT).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limit }).unwrap();
        let null = || File::open("/dev/null").ok();
        let mut hoard: Vec<_> = iter::from_fn(null).collect();
        // Room for some of the sockets, but not for all.
        hoard.truncate(hoard.len() - (COUNT - 1));
        let by_port = engines.listen(free, |_, _| panic!("served"));
        let by_path = engines.listen_unix(&path, |_, _| panic!("served"));
        setrlimit(Resource::Nofile, limit).unwrap();
        for refused in [by_port.map(drop), by_path] {
            let Err(Error::Io { operation: IoOperation::Listen, cause }) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!(cause.raw_os_error(), Some(libc::EMFILE));
        }
        assert!(!path.exists());
        drop(TcpListener::bind(free).expect("nobody listens there"));
    });
}

#[test]
fn promise_10_a_write_that_the_system_takes_in_part_says_how_much() {
    alone(module_path!(), "promise_10_a_write_that_the_system_takes_in_part_says_how_much", || {
        // A file of this process may not grow beyond that; the part up to there is written.
        let Rlimit { maximum, .. } = getrlimit(Resource::Fsize);
        setrlimit(Resource::Fsize, Rlimit { current: Some(10_000), maximum }).unwrap();
        // The signal that tells it would end the process.
        let signalled = Arc::default();
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, signalled).unwrap();
        let engine = driver::engine();
        let spy = tempfile::tempfile().unwrap();
        let file = engine.attach_file(spy.try_clone().unwrap()).unwrap();
        let outcome = Outcome::<usize>::new();
        engine.write_at(&file, 9_000, vec![7; 3_000], outcome.callback());
        engine.run().unwrap();
        let Error::PartialWrite { written, cause } = outcome.error() else { panic!() };
        assert_eq!(written, 1_000);
        assert!(matches!(*cause, Error::Io { operation: IoOperation::Write, .. }), "{cause:?}");
        assert_eq!(spy.metadata().unwrap().len(), 10_000);
    });
}
