//! Promise 17: memory of the program's whose drop panics, in writes that end in every way. Each is
//! dropped by itself, and where nothing is borrowed: it costs a run and not the engine.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use facade_engine::{Callback, Cancel, Engine, Result, Stream};
use facade_tests::{
    drops::{Bomb, Drops},
    told::Told,
};

use super::driver::{self, pair};

/// How a write is submitted.
#[derive(Debug, Clone, Copy)]
enum Form {
    Write,
    Line,
    /// Of three pieces.
    Pieces,
    /// By another thread.
    Elsewhere,
    /// As a stage before others that do not begin.
    Chain,
}

/// What becomes of it when a part of it is sent.
#[derive(Debug, Clone, Copy)]
enum Fate {
    PeerGone,
    Cancelled,
    RestTaken,
    Aborted,
    EngineDropped,
}

const FORMS: [Form; 5] = [Form::Write, Form::Line, Form::Pieces, Form::Elsewhere, Form::Chain];
const FATES: [Fate; 5] =
    [Fate::PeerGone, Fate::Cancelled, Fate::RestTaken, Fate::Aborted, Fate::EngineDropped];

/// More than any system has room for.
const LARGE: usize = 3 << 20;

fn submit(form: Form, engine: &Engine, stream: &Stream, drops: &Drops, told: &Told) -> Cancel {
    let (cb, large) = (told.callback("write"), || Bomb::bytes_of(drops, LARGE));
    let three = || [Bomb::bytes(drops), large(), Bomb::bytes(drops)];
    match form {
        Form::Write => engine.write(stream, large(), cb),
        Form::Line => engine.write_line(stream, large(), cb),
        Form::Pieces => engine.write_vectored(stream, three(), cb),
        Form::Elsewhere => {
            let (handle, stream, bytes) = (engine.handle().clone(), stream.clone(), large());
            let write = move || handle.write(&stream, bytes, cb);
            std::thread::spawn(write).join().unwrap()
        }
        Form::Chain => {
            let chain = engine.chain().on(stream).write_vectored(three(), cb);
            let chain = chain.write(large(), Callback::ignore());
            chain.write_vectored(three(), Callback::ignore()).submit()
        }
    }
}

/// Runs some turns, through all panics.
fn some_turns(engine: &Engine) {
    for _ in 0..4 {
        _ = catch_unwind(AssertUnwindSafe(|| {
            engine.run_once(Some(Duration::from_millis(1))).unwrap();
        }));
    }
}

fn meet(fate: Fate, form: Form, count: usize) {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    let (drops, told) = (Drops::new(), Told::new());
    let submit = |_| submit(form, &engine, &stream, &drops, &told);
    let cancels: Vec<_> = (0..count).map(submit).collect();
    some_turns(&engine);
    assert_eq!(told.len(), 0, "they are too large");
    match fate {
        Fate::PeerGone => drop(peer),
        Fate::Cancelled => cancels.iter().for_each(|cancel| _ = cancel.cancel()),
        Fate::RestTaken => {
            cancels.iter().for_each(|cancel| _ = cancel.cancel());
            some_turns(&engine);
            engine.take_unsent(&stream, Callback::ignore());
        }
        Fate::Aborted => engine.abort(&stream),
        Fate::EngineDropped => {
            drop((stream, engine));
            assert_eq!((drops.alive(), told.len()), (0, count), "{fate:?} {form:?} {count}");
            return;
        }
    }
    some_turns(&engine);
    some_turns(&engine);
    assert_eq!((drops.alive(), told.len()), (0, count), "{fate:?} {form:?} {count}");
    told.take();
    engine.sleep(Duration::ZERO, told.callback("sleep"));
    some_turns(&engine);
    assert_eq!(told.take(), ["sleep Ok"], "{fate:?} {form:?} {count}");
}

#[test]
fn promise_17_one_owner_that_panics_leaves_the_engine_usable() {
    for fate in FATES {
        FORMS.into_iter().for_each(|form| meet(fate, form, 1));
    }
}

#[test]
fn promise_17_several_owners_that_panic_are_dropped_one_by_one() {
    for fate in FATES {
        FORMS.into_iter().for_each(|form| meet(fate, form, 3));
    }
}

#[test]
fn promise_17_stages_that_never_had_a_stream_may_panic_as_they_are_dropped() {
    let engine = driver::engine();
    let (drops, told) = (Drops::new(), Told::new());
    for _ in 0..2 {
        let pieces = [Bomb::bytes(&drops), Bomb::bytes(&drops)];
        let chain = engine.chain().write_vectored(pieces, told.callback("write"));
        chain.write(Bomb::bytes(&drops), told.callback("write")).submit();
        engine.chain().write(Bomb::bytes(&drops), told.callback("write")).submit();
    }
    some_turns(&engine);
    assert_eq!((drops.alive(), told.len()), (0, 6));
    engine.sleep(Duration::ZERO, Callback::ignore());
    some_turns(&engine);
    assert_eq!(engine.run_once(Some(Duration::ZERO)).unwrap().pending, 0);
}

#[test]
fn promise_16_what_comes_too_late_may_panic_as_it_is_dropped_with_its_callback() {
    for operation in 0..3 {
        let engine = driver::engine();
        let (_peer, stream) = pair(&engine);
        let (drops, handle) = (Drops::new(), engine.handle().clone());
        let (given, heard) = (Bomb::new(&drops), Bomb::new(&drops));
        drop(engine);
        let submit = || match operation {
            0 => {
                let cb = Callback::from_fn(move |_, _: Result<()>| drop(heard));
                handle.submit_work(move || drop(given), cb);
            }
            1 => {
                let cb = Callback::from_fn(move |_, _: Result<()>| drop(heard));
                handle.read_with(&stream, Endless(given), cb);
            }
            _ => {
                let cb = Callback::from_fn(move |_, _: Result<()>| drop(heard));
                handle.submit_work(|| (), cb.map(move |()| drop(given)));
            }
        };
        _ = catch_unwind(AssertUnwindSafe(submit));
        assert_eq!(drops.alive(), 0, "{operation}");
    }
}

/// Never has enough.
struct Endless(#[expect(dead_code, reason = "dropped with the matcher")] Bomb);

impl facade_engine::matcher::Matcher for Endless {
    type Output = ();

    fn scan(&mut self, _: &[u8], _: bool) -> facade_engine::matcher::Scan {
        facade_engine::matcher::Scan::NeedMore
    }

    fn restart(&mut self) {}

    fn output(&mut self, _: facade_engine::Bytes) -> Result<()> {
        Ok(())
    }
}

#[test]
fn promise_17_what_work_panics_with_may_panic_as_it_is_dropped() {
    let engine = driver::builder().workers(1).build().unwrap();
    let (drops, told) = (Drops::new(), Told::new());
    let bomb = Bomb::new(&drops);
    let work = move || std::panic::resume_unwind(Box::new(bomb));
    engine.submit_work(work, told.callback::<()>("work"));
    facade_tests::turns::turn_until(&engine, || told.len() == 1);
    assert_eq!(told.take(), ["work Panicked"]);
    assert_eq!(drops.alive(), 0);
}
