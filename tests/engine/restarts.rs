//! A process that is killed while it listens, and what starts in its place.

use std::{
    env,
    io::{BufRead, BufReader, Write, stdout},
    net::SocketAddr,
    process::{Command, Stdio},
};

use facade_engine::{Callback, Engines, Handle, Listener};

use super::driver;

/// Set in the process that listens.
const LISTENS: &str = "FACADE_TEST_LISTENS";
const RESTARTS: usize = 20;

/// Starts a process that listens at an address, and kills it once it does. The rest of `name` is
/// the caller's.
fn listen_and_be_killed(name: &str, address: SocketAddr) {
    let (_, module) = module_path!().split_once("::").expect("a module of a test binary");
    let mut process = Command::new(env::current_exe().unwrap())
        .args([&format!("{module}::{name}"), "--exact", "--nocapture", "--test-threads=1"])
        .env(LISTENS, address.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(process.stdout.take().unwrap()).lines();
    let is_told = |line: std::io::Result<String>| line.unwrap().contains("it listens");
    assert!(told.into_iter().any(is_told), "the process has ended");
    process.kill().unwrap();
    process.wait().unwrap();
}

/// The other process: accepts connections at an address for ever.
fn listen_for_ever(address: &str) -> ! {
    let engine = driver::engine();
    let listener = engine.listen(address).unwrap();
    accept(&engine, &listener);
    engine.run_once(Some(std::time::Duration::ZERO)).unwrap();
    stdout().write_all(b"it listens\n").unwrap();
    engine.run().unwrap();
    unreachable!("an accept is pending");
}

fn accept(engine: &Handle, listener: &Listener) {
    let again = listener.clone();
    let next = move |engine: &facade_engine::Local, _| accept(engine, &again);
    engine.accept(listener, Callback::new(next, |_, error| panic!("{error}")));
}

/// An address that nobody listens at any more.
fn address() -> SocketAddr {
    let engine = driver::engine();
    engine.listen("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The kernel ends a ring after its process, and what it has in hand with it.
#[test]
fn a_server_that_was_killed_can_be_started_again_at_once() {
    if let Ok(address) = env::var(LISTENS) {
        listen_for_ever(&address);
    }
    let address = address();
    for _ in 0..RESTARTS {
        listen_and_be_killed("a_server_that_was_killed_can_be_started_again_at_once", address);
        let engine = driver::engine();
        engine.listen(address).unwrap();
    }
}

#[test]
fn engines_that_were_killed_can_be_started_again_at_once() {
    if let Ok(address) = env::var(LISTENS) {
        listen_for_ever(&address);
    }
    let address = address();
    for _ in 0..RESTARTS {
        listen_and_be_killed("engines_that_were_killed_can_be_started_again_at_once", address);
        let engines: Engines = driver::builder().build_engines(2).unwrap();
        engines.listen(address, |_, _| ()).unwrap();
    }
}
