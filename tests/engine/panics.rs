//! Promise 17: user code that panics where several pieces of it run or are dropped together. Two
//! panics at a time would end the process.

use std::{
    io::Write,
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
};

use facade_engine::{
    Bytes, Callback, Claim, Engine, Result, Stream,
    matcher::{Matcher, Scan},
};
use facade_tests::{
    drops::{Drops, Token},
    told::Told,
    turns::{turn_until, turns},
};

use super::driver::{self, full_pair, pair, tcp_pair};

/// Panics when it is dropped.
struct Bomb {
    _token: Token,
    bytes: Vec<u8>,
}

impl Bomb {
    fn new(drops: &Drops) -> Self {
        Self { _token: drops.token(), bytes: vec![b'x'; 32 << 10] }
    }

    fn bytes(drops: &Drops) -> Bytes {
        Bytes::from_owner(Self::new(drops))
    }
}

impl AsRef<[u8]> for Bomb {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        // The hook need not say it.
        resume_unwind(Box::new("a bomb"));
    }
}

/// Runs the engine to its end, through all panics. Returns how many there were.
fn run_through(engine: &Engine) -> usize {
    let mut panics = 0;
    while catch_unwind(AssertUnwindSafe(|| engine.run().unwrap())).is_err() {
        panics += 1;
    }
    panics
}

#[test]
fn promise_17_what_was_sent_may_panic_as_it_is_dropped_each_by_itself() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let (drops, told) = (Drops::new(), Told::new());
    let reader = reader_of(&mut peer);
    for _ in 0..4 {
        let bufs = [Bomb::bytes(&drops), Bomb::bytes(&drops)];
        engine.write_vectored(&stream, bufs, told.callback("write"));
    }
    engine.flush(&stream, told.callback("flush"));
    reader(&engine, &told, 5);
    assert!(run_through(&engine) <= 8);
    assert_eq!(drops.alive(), 0);
    assert!(told.take().iter().all(|note| note.ends_with("Ok")));
}

/// Runs turns, and takes off what arrives at the peer, until so much was told.
fn reader_of(peer: &mut driver::Peer) -> impl FnOnce(&Engine, &Told, usize) {
    peer.set_nonblocking(true).unwrap();
    move |engine, told, count| {
        let mut buffer = vec![0; 64 << 10];
        turn_until_through_panics(engine, || {
            while std::io::Read::read(peer, &mut buffer).is_ok_and(|count| count > 0) {}
            told.len() == count
        });
    }
}

fn turn_until_through_panics(engine: &Engine, mut done: impl FnMut() -> bool) {
    let mut turns = || turn_until(engine, &mut done);
    while catch_unwind(AssertUnwindSafe(&mut turns))
        .is_err_and(|panic| *panic.downcast::<&str>().unwrap() == "a bomb")
    {}
}

#[test]
fn promise_16_what_is_unsent_or_not_begun_may_panic_as_the_engine_drops_it() {
    let engine = driver::builder().workers(1).build().unwrap();
    let (_peer, stream, _) = full_pair(&engine);
    let (_other, cut, _) = full_pair(&engine);
    let (drops, told) = (Drops::new(), Told::new());
    for stream in [&stream, &cut] {
        for _ in 0..3 {
            engine.write(stream, Bomb::bytes(&drops), told.callback("write"));
        }
    }
    for _ in 0..3 {
        let bomb = Bomb::new(&drops);
        engine.submit_work(move || drop(bomb), told.callback("work"));
    }
    for _ in 0..3 {
        let bomb = Bomb::new(&drops);
        // What nobody ever asks for stays with the engine.
        mem::forget(Callback::local(&engine, move |_, _: Result<()>| drop(bomb)));
    }
    engine.run_once(Some(std::time::Duration::ZERO)).unwrap();
    drop(engine);
    assert_eq!(told.len(), 9);
    // A worker may be about to drop its own.
    while drops.alive() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn promise_03_a_local_callback_that_is_not_used_may_make_another_as_it_goes() {
    struct Maker(Rc<Engine>, Told);
    impl Drop for Maker {
        fn drop(&mut self) {
            let told = self.1.clone();
            let made = Callback::local(&self.0, move |_, _: Result<()>| told.note("made"));
            self.0.sleep(std::time::Duration::ZERO, made);
        }
    }
    let engine = Rc::new(driver::engine());
    let told = Told::new();
    let maker = Maker(Rc::clone(&engine), told.clone());
    drop(Callback::local(&engine, move |_, _: Result<()>| drop(maker)));
    engine.run().unwrap();
    assert_eq!(told.take(), ["made"]);
}

#[test]
fn promise_08_a_claim_goes_back_if_what_is_made_of_it_panics() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let (drops, told) = (Drops::new(), Told::new());
    peer.write_all(b"one\ntwo\n").unwrap();
    // In the making...
    let cb = Callback::claim(|_, _: Result<Claim<()>>| unreachable!("there is no value"));
    let cb = cb.map(|_: Bytes| resume_unwind(Box::new("no value")));
    engine.read_line(&stream, cb);
    assert_eq!(run_through(&engine), 1);
    // ...and in the dropping.
    let made = drops.clone();
    let cb = Callback::claim(|_, outcome: Result<Claim<Bomb>>| drop(outcome));
    engine.read_line(&stream, cb.map(move |_: Bytes| Bomb::new(&made)));
    assert_eq!(run_through(&engine), 1);
    engine.read_line(&stream, told.value("read"));
    turns(&engine, 2);
    assert_eq!(told.take(), [r#"read b"one""#]);
    assert_eq!(drops.alive(), 0);
}

#[test]
fn promise_09_a_connection_goes_back_if_what_is_made_of_it_panics() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let told = Told::new();
    let client = driver::connect(listener.local_addr().unwrap()).unwrap();
    let cb = Callback::claim(|_, _: Result<Claim<()>>| unreachable!("there is no value"));
    let cb = cb.map(|_: Stream| resume_unwind(Box::new("no value")));
    engine.accept(&listener, cb);
    assert_eq!(run_through(&engine), 1);
    let (cb, note) = (told.clone(), client.local_addr().unwrap());
    engine.accept(
        &listener,
        Callback::new(
            move |_, stream: Stream| cb.note(format!("{}", stream.peer_addr().unwrap() == note)),
            |_, error| panic!("{error}"),
        ),
    );
    turns(&engine, 2);
    assert_eq!(told.take(), ["true"]);
}

#[test]
fn promise_01_a_matcher_that_panics_as_it_goes_keeps_nobody_from_hearing() {
    struct All(#[expect(dead_code, reason = "dropped with the matcher")] Bomb);
    impl Matcher for All {
        type Output = Bytes;

        fn scan(&mut self, unread: &[u8], _: bool) -> Scan {
            match unread.len() {
                0 => Scan::NeedMore,
                end => Scan::Found { end },
            }
        }

        fn restart(&mut self) {}

        fn output(&mut self, taken: Bytes) -> Result<Bytes> {
            Ok(taken)
        }
    }
    let engine = driver::engine();
    let (mut peer, stream) = tcp_pair(&engine);
    let (drops, told) = (Drops::new(), Told::new());
    peer.write_all(b"one").unwrap();
    engine.read_with(&stream, All(Bomb::new(&drops)), told.value("read"));
    assert_eq!(run_through(&engine), 1);
    assert_eq!(told.take(), [r#"read b"one""#]);
    assert_eq!(drops.alive(), 0);
}
