//! Promise 17: user code that panics where several pieces of it run or are dropped together. Two
//! panics at a time would end the process.

use std::{
    io::Write,
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
};

use facade_engine::{
    Bytes, Callback, Claim, Engine, Limits, Result, Stream,
    matcher::{Matcher, Scan},
};
use facade_tests::{
    drops::{Bomb, Drops},
    told::Told,
    turns::{turn_until, turns},
};

use super::driver::{self, full_pair, pair, tcp_pair};

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
        mem::forget(Callback::local_from_fn(&engine, move |_, _: Result<()>| drop(bomb)));
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
            let made = Callback::local_from_fn(&self.0, move |_, _: Result<()>| told.note("made"));
            self.0.sleep(std::time::Duration::ZERO, made);
        }
    }
    let engine = Rc::new(driver::engine());
    let told = Told::new();
    let maker = Maker(Rc::clone(&engine), told.clone());
    drop(Callback::local_from_fn(&engine, move |_, _: Result<()>| drop(maker)));
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
    let listener = engine.listen("127.0.0.1:0").unwrap();
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

/// Two pieces of one write.
fn two(drops: &Drops) -> [Bytes; 2] {
    [Bomb::bytes(drops), Bomb::bytes(drops)]
}

#[test]
fn promise_17_pieces_of_a_write_that_is_refused_may_panic_as_they_are_dropped() {
    let engine = driver::engine();
    let (_peer, closed) = pair(&engine);
    let (_other, full, _) = full_pair(&engine);
    let (drops, told) = (Drops::new(), Told::new());
    engine.close(&closed, Callback::ignore());
    let limits = Limits { queued: 0, ..Limits::default() };
    engine.set_limits(&full, limits);
    engine.write(&full, vec![0; 100], Callback::ignore());
    turns(&engine, 2);
    // By the inbox, and in a turn.
    for stream in [&closed, &full] {
        engine.write_vectored(stream, two(&drops), told.callback("write"));
        let (stream, drops, told) = (stream.clone(), drops.clone(), told.clone());
        engine.post(move |local| {
            local.write_vectored(&stream, two(&drops), told.callback("write"));
        });
    }
    turn_until_through_panics(&engine, || told.len() == 4 && drops.alive() == 0);
    let mut told = told.take();
    told.sort();
    assert_eq!(told, ["write Closed", "write Closed", "write Overloaded", "write Overloaded"]);
}

#[test]
fn promise_16_pieces_of_a_write_that_comes_too_late_may_panic_as_they_are_dropped() {
    for write in 0..3 {
        let engine = driver::engine();
        let (_peer, stream) = pair(&engine);
        let (drops, handle) = (Drops::new(), engine.handle().clone());
        let bomb = Bomb::new(&drops);
        let cb = || Callback::from_fn(move |_, _: Result<usize>| drop(bomb));
        let write = || match write {
            0 => _ = handle.write_vectored(&stream, two(&drops), cb()),
            1 => _ = handle.write(&stream, Bomb::bytes(&drops), cb()),
            _ => _ = handle.chain().on(&stream).write_vectored(two(&drops), cb()).submit(),
        };
        drop(engine);
        _ = catch_unwind(AssertUnwindSafe(write));
        assert_eq!(drops.alive(), 0);
    }
}

#[test]
fn promise_16_pieces_of_a_write_that_the_engine_has_not_seen_may_panic_as_it_goes() {
    let engine = driver::engine();
    let (_peer, stream) = pair(&engine);
    let (drops, told) = (Drops::new(), Told::new());
    for _ in 0..2 {
        engine.write_vectored(&stream, two(&drops), told.callback("write"));
    }
    let chain = engine.chain().on(&stream).read_line(told.callback("line"));
    chain.write_vectored(two(&drops), told.callback("write")).submit();
    drop(engine);
    assert_eq!(drops.alive(), 0);
    assert_eq!(told.len(), 4);
}

#[test]
fn promise_10_pieces_of_stages_that_do_not_begin_may_panic_as_they_are_dropped() {
    let engine = driver::engine();
    let (_peer, stream) = pair(&engine);
    let (drops, told) = (Drops::new(), Told::new());
    let chain = engine.chain().on(&stream).read_line(told.callback("line"));
    let chain = chain.write_vectored(two(&drops), told.callback("write"));
    let cancel = chain.write(Bomb::bytes(&drops), told.callback("write")).submit();
    turns(&engine, 2);
    assert!(cancel.cancel());
    turn_until_through_panics(&engine, || told.len() == 3 && drops.alive() == 0);
    run_through(&engine);
}

#[test]
fn promise_04_pieces_of_a_write_that_is_cut_may_panic_as_they_are_dropped() {
    let engine = driver::engine();
    let (_peer, stream) = pair(&engine);
    let (drops, told) = (Drops::new(), Told::new());
    let bufs: Vec<_> = (0..200).map(|_| Bomb::bytes(&drops)).collect();
    let cancel = engine.write_vectored(&stream, bufs, told.callback("write"));
    // What the system has room for is gone.
    let mut turns = 0;
    turn_until_through_panics(&engine, || {
        turns += 1;
        turns > 5
    });
    cancel.cancel();
    turn_until_through_panics(&engine, || told.len() == 1);
    assert!(told.take()[0].starts_with("write PartialWrite"));
    engine.take_unsent(&stream, told.callback("rest"));
    turn_until_through_panics(&engine, || told.len() == 1 && drops.alive() == 0);
    engine.abort(&stream);
    run_through(&engine);
}
