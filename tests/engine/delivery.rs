//! Promises 1, 2, 3 and 5: each callback runs exactly once, later, on the engine's thread, and a
//! million of them neither grow the stack nor keep anything else waiting.

use std::{
    cell::{Cell, RefCell},
    io::{Read, Write},
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use facade_engine::{
    AddrInfo, Bytes, Callback, Cancel, Engine, Handle, Hints, LineGlob, Listener, Local, Pattern,
    Regex, Stream,
};
use facade_tests::{
    reads::UpTo,
    told::{Basket, Told},
    turns::turns,
};

use super::driver::{self, pair};

#[test]
fn promise_01_every_operation_that_is_let_go_on_is_told_once() {
    for operation in operations() {
        let world = World::new();
        operation.submit(&world);
        world.let_everything_happen();
        world.engine.run().unwrap();
        operation.was_told_once(&world);
    }
}

#[test]
fn promise_01_every_operation_cancelled_at_once_and_again_and_again_is_told_once() {
    for operation in operations() {
        let world = World::new();
        let cancel = operation.submit(&world);
        world.told.submitting(|| cancel.cancel());
        cancel.clone().cancel();
        turns(&world.engine, 1);
        cancel.cancel();
        world.let_everything_happen();
        world.engine.run().unwrap();
        cancel.cancel();
        turns(&world.engine, 1);
        operation.was_told_once(&world);
    }
}

#[test]
fn promise_01_every_operation_cancelled_while_it_succeeds_is_told_once() {
    for operation in operations() {
        let world = World::new();
        let cancel = operation.submit(&world);
        turns(&world.engine, 3);
        world.let_everything_happen();
        let canceller = thread::spawn(move || cancel.cancel());
        world.engine.run().unwrap();
        canceller.join().unwrap();
        operation.was_told_once(&world);
    }
}

#[test]
fn promise_01_every_operation_with_no_time_is_told_once() {
    for operation in operations() {
        let mut world = World::new();
        world.told = world.told.timeout(Duration::ZERO);
        operation.submit(&world);
        turns(&world.engine, 2);
        world.let_everything_happen();
        world.engine.run().unwrap();
        operation.was_told_once(&world);
    }
}

#[test]
fn promise_01_every_operation_submitted_inside_a_callback_is_told_once() {
    for operation in operations() {
        let world = World::new();
        let (things, told) = (world.things.clone(), world.told.clone());
        world.engine.post(move |engine| {
            told.submitting(|| (operation.submit)(engine, &things, &told)).cancel();
        });
        world.let_everything_happen();
        world.engine.run().unwrap();
        operation.was_told_once(&world);
    }
}

#[test]
fn promise_01_every_operation_submitted_on_another_thread_is_told_once() {
    for operation in operations() {
        for cancelled in [false, true] {
            let world = World::new();
            let (things, told) = (world.things.clone(), world.told.clone());
            let (handle, keep_alive) = (world.engine.handle().clone(), world.engine.keep_alive());
            let other = thread::spawn(move || {
                let cancel = (operation.submit)(&handle, &things, &told);
                if cancelled {
                    cancel.cancel();
                }
                drop(keep_alive);
            });
            world.let_everything_happen();
            world.engine.run().unwrap();
            other.join().unwrap();
            operation.was_told_once(&world);
        }
    }
}

#[test]
fn promise_01_every_operation_pending_when_the_engine_is_dropped_is_told_once() {
    for operation in operations() {
        for turns_before in 0..3 {
            let World { engine, told, peer, things, .. } = World::new();
            told.submitting(|| (operation.submit)(&engine, &things, &told));
            turns(&engine, turns_before);
            drop(engine);
            let notes = told.take();
            // What did not get as far as the engine is refused, its callback dropped.
            let expected = if notes.is_empty() && turns_before == 0 { 0 } else { operation.tells };
            assert_eq!(notes.len(), expected, "{}: {notes:?}", operation.name);
            drop(peer);
        }
    }
}

#[test]
fn promise_01_in_a_chain_stage_k_hears_its_error_and_every_later_one_hears_of_it() {
    const STAGES: usize = 5;
    for bad in 1..=STAGES {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let told = Told::new();
        let mut chain = engine.chain().on(&stream);
        for stage in 1..=STAGES {
            let answer = if stage == bad { "no" } else { "yes" };
            writeln!(peer, "{answer}").unwrap();
            chain = chain.expect_line("yes", told.callback(stage));
        }
        told.submitting(|| chain.submit());
        engine.run().unwrap();
        let expected: Vec<String> = (1..=STAGES)
            .map(|stage| match stage.cmp(&bad) {
                std::cmp::Ordering::Less => format!("{stage} Ok"),
                std::cmp::Ordering::Equal => format!(r#"{stage} Unexpected(b"no")"#),
                std::cmp::Ordering::Greater => {
                    format!(r#"{stage} Stage({bad}, Unexpected(b"no"))"#)
                }
            })
            .collect();
        assert_eq!(told.take(), expected);
    }
}

#[test]
fn promise_01_each_kind_of_stage_that_fails_tells_those_behind_it() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    engine.close(&listener, Callback::ignore());
    engine.run().unwrap();
    let (_peer, closed) = pair(&engine);
    engine.close(&closed, Callback::ignore());
    engine.run().unwrap();
    let told = Told::new();
    let (one, two, three) = ("1", "2", "3");

    let fails = |chain: facade_engine::Chain, expected: &[&str]| {
        told.submitting(|| chain.submit());
        engine.run().unwrap();
        assert_eq!(told.take(), expected);
    };
    fails(
        engine
            .chain()
            .resolve("", 80, told.callback(one))
            .connect_resolved(told.callback(two))
            .write_line("x", told.callback(three)),
        &["1 InvalidInput", "2 Stage(1, InvalidInput)", "3 Stage(1, InvalidInput)"],
    );
    fails(
        engine
            .chain()
            .resolve("127.0.0.1", address.port(), told.callback(one))
            .connect_resolved(told.callback(two))
            .write_line("x", told.callback(three)),
        &["1 Ok", "2 Io(connect, ConnectionRefused)", "3 Stage(2, Io(connect, ConnectionRefused))"],
    );
    fails(
        engine.chain().connect(address, told.callback(one)).flush(told.callback(two)),
        &["1 Io(connect, ConnectionRefused)", "2 Stage(1, Io(connect, ConnectionRefused))"],
    );
    fails(
        engine.chain().accept(&listener, told.callback(one)).read_line(told.callback(two)),
        &["1 Closed", "2 Stage(1, Closed)"],
    );
    fails(
        engine
            .chain()
            .on(&closed)
            .write("x", told.callback(one))
            .shutdown_write(told.callback(two))
            .read_all(told.callback(three)),
        &["1 Closed", "2 Stage(1, Closed)", "3 Stage(1, Closed)"],
    );
    fails(
        engine.chain().read_chunk(0, told.callback(one)).read_chunk(1, told.callback(two)),
        &["1 InvalidInput", "2 Stage(1, InvalidInput)"],
    );
}

#[test]
fn promise_01_the_short_chains_count_their_stages_from_one() {
    let engine = driver::engine();
    let told = Told::new();
    let nobody = {
        let listener = engine.listen("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    turns(&engine, 3);
    engine.connect_then_expect_line(nobody, "x", (told.callback("1"), told.callback("2")));
    engine.run().unwrap();
    let refused = "Io(connect, ConnectionRefused)";
    assert_eq!(told.take(), [format!("1 {refused}"), format!("2 Stage(1, {refused})")]);
    let (mut peer, stream) = pair(&engine);
    peer.write_all(b"no\n").unwrap();
    let callbacks = (told.callback("1"), told.callback("2"));
    engine.write_then_expect_line(&stream, "hello\n", "yes", callbacks);
    engine.run().unwrap();
    assert_eq!(told.take(), ["1 Ok", r#"2 Unexpected(b"no")"#]);
}

#[test]
fn promise_01_what_is_submitted_to_an_engine_that_is_gone_is_dropped_unrun() {
    let engine = driver::engine();
    let (_peer, stream) = pair(&engine);
    turns(&engine, 1);
    let handle = engine.handle().clone();
    drop(engine);
    let told = Told::new();
    let kept = Arc::new(());
    let held = Arc::clone(&kept);
    let cancel =
        handle.read_line(&stream, Callback::from_fn(move |_, _| panic!("ran with {held:?}")));
    handle.sleep(Duration::ZERO, told.callback("sleep"));
    handle.post(|_| panic!("ran"));
    assert!(!cancel.cancel());
    assert!(told.is_empty());
    assert_eq!(Arc::strong_count(&kept), 1, "the callback is dropped");
}

#[test]
fn promise_01_a_callback_that_panics_has_been_told() {
    let engine = driver::engine();
    let told = Told::new();
    engine.sleep(Duration::ZERO, Callback::from_fn(|_, _| panic!("on purpose")));
    engine.sleep(Duration::ZERO, told.callback("next"));
    let panicked = catch_unwind(AssertUnwindSafe(|| engine.run()));
    assert!(panicked.is_err());
    engine.run().unwrap();
    assert_eq!(told.take(), ["next Ok"]);
}

#[test]
fn promise_02_no_operation_tells_inside_the_call_however_ready_its_outcome_is() {
    // `Told` panics if a callback runs inside a call that it makes.
    for operation in operations() {
        let world = World::new();
        world.let_everything_happen();
        // A read makes the engine receive what has come, so that all is there beforehand.
        world.engine.peek(&world.things.stream, 1, Callback::ignore());
        turns(&world.engine, 3);
        let (things, told) = (world.things.clone(), world.told.clone());
        world.engine.post(move |engine| {
            told.submitting(|| (operation.submit)(engine, &things, &told));
            assert!(told.is_empty());
        });
        world.engine.run().unwrap();
        operation.was_told_once(&world);
    }
}

#[test]
fn promise_02_cancel_close_and_abort_tell_later() {
    let engine = driver::engine();
    let told = Told::new();
    let (_peers, streams): (Vec<_>, Vec<_>) = (0..3).map(|_| pair(&engine)).unzip();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let cancels: Vec<Cancel> =
        streams.iter().map(|s| engine.read_line(s, told.callback("read"))).collect();
    engine.accept(&listener, told.callback("accept"));
    let told_inside = told.clone();
    engine.post(move |engine| {
        told_inside.submitting(|| {
            cancels[0].cancel();
            engine.close(&streams[1], told_inside.callback("close"));
            engine.abort(&streams[2]);
            engine.close(&listener, told_inside.callback("close"));
        });
        assert!(told_inside.is_empty());
    });
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    let expected =
        ["accept Closed", "close Ok", "close Ok", "read Cancelled", "read Closed", "read Closed"];
    assert_eq!(notes, expected);
}

#[test]
fn promise_03_callbacks_run_on_the_engines_thread_only_inside_a_run() {
    let engine = driver::engine();
    let here = thread::current().id();
    let told = Told::new();
    let handle = engine.handle().clone();
    let note = told.clone();
    thread::spawn(move || {
        handle.post(move |_| note.note(format!("{}", thread::current().id() == here)));
    })
    .join()
    .unwrap();
    assert!(told.is_empty());
    engine.run().unwrap();
    assert_eq!(told.take(), ["true"]);
}

#[test]
fn promise_03_posts_that_are_not_send_run_in_one_order_with_those_that_are() {
    let engine = driver::engine();
    let heard = Rc::new(RefCell::new(Vec::new()));
    let note = |what: &'static str| {
        let heard = Rc::clone(&heard);
        move |_: &Local| heard.borrow_mut().push(what)
    };
    let (told, mark) = (Told::new(), Rc::clone(&heard));
    engine.post(note("first"));
    let handle = engine.handle().clone();
    let (notes, length) = (told.clone(), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&length);
    engine.post(move |_| seen.store(mark.borrow().len(), SeqCst));
    handle.post(move |_| notes.note(format!("second after {}", length.load(SeqCst))));
    let (inner, outer) = (note("inner"), note("third"));
    engine.post(move |local| {
        local.post(inner);
        outer(local);
    });
    assert!(heard.borrow().is_empty(), "a post runs in no call");
    engine.run().unwrap();
    assert_eq!(told.take(), ["second after 1"]);
    assert_eq!(*heard.borrow(), ["first", "third", "inner"]);
    drop((note, engine));
    assert_eq!(Rc::strong_count(&heard), 1);
}

#[test]
fn promise_01_a_post_that_is_not_send_and_is_refused_is_dropped_at_once() {
    struct Poster {
        engine: Rc<Engine>,
        drops: Rc<Cell<usize>>,
    }
    impl Drop for Poster {
        fn drop(&mut self) {
            self.drops.set(self.drops.get() + 1);
            // Once more as it goes, which finds the table free.
            let drops = Rc::clone(&self.drops);
            self.engine.post(move |_| drops.set(drops.get() + 100));
        }
    }
    let engine = Rc::new(driver::engine());
    let drops = Rc::new(Cell::new(0));
    let poster = Poster { engine: Rc::clone(&engine), drops: Rc::clone(&drops) };
    engine.post(move |_| drop(poster));
    engine.run().unwrap();
    assert_eq!(drops.get(), 101);

    // In the last turn: what a callback there posts is refused.
    let last = Rc::new(Cell::new(0));
    let (seen, refused) = (Rc::clone(&last), Rc::clone(&last));
    let token = Rc::new(());
    let weak = Rc::downgrade(&token);
    let callback = Callback::local_from_fn(&engine, move |local: &Local, _| {
        local.post(move |_| {
            refused.set(100);
            drop(token);
        });
        seen.set(if weak.upgrade().is_none() { 1 } else { 2 });
    });
    engine.sleep(Duration::MAX, callback);
    drop(Rc::into_inner(engine).unwrap());
    assert_eq!(last.get(), 1);
}

#[test]
fn what_is_not_send_runs_as_success_or_failure_with_the_state_that_both_need() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let notes = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..2 {
        let (good, bad) = (Rc::clone(&notes), Rc::clone(&notes));
        let plain = Callback::local(
            &engine,
            move |_, line: Bytes| good.borrow_mut().push(format!("local {line:?}")),
            move |_, error| bad.borrow_mut().push(format!("local {error}")),
        );
        engine.read_line(&stream, plain);
        let with = Callback::local_with(
            &engine,
            Rc::clone(&notes),
            |_, notes, line: Bytes| notes.borrow_mut().push(format!("with {line:?}")),
            |_, notes, error| notes.borrow_mut().push(format!("with {error}")),
        );
        engine.read_line(&stream, with);
    }
    peer.write_all(b"one\ntwo\n").unwrap();
    drop(peer);
    engine.run().unwrap();
    let ended = "end of stream";
    let words =
        ["local b\"one\"", "with b\"two\"", &format!("local {ended}"), &format!("with {ended}")];
    assert_eq!(*notes.borrow(), words);
    // All of them are dropped with what they held.
    assert_eq!(Rc::strong_count(&notes), 1);
}

#[test]
fn promise_03_inside_a_callback_running_the_engine_again_is_an_error_and_not_a_hang() {
    let engine = Rc::new(driver::engine());
    let (inner, told) = (Rc::clone(&engine), Told::new());
    let note = told.clone();
    let callback = Callback::local_from_fn(&engine, move |_, _| {
        note.note(format!("{:?}", inner.run().map_err(|error| error.to_string())));
        note.note(format!("{:?}", inner.run_once(None).is_err()));
    });
    engine.sleep(Duration::ZERO, callback);
    engine.run().unwrap();
    let notes = told.take();
    assert!(notes[0].contains("running already"), "{notes:?}");
    assert_eq!(notes[1], "true");
}

#[test]
fn promise_03_inside_a_callback_everything_else_is_allowed() {
    let engine = driver::engine();
    let told = Told::new();
    let (mut peer, stream) = pair(&engine);
    let (mut other_peer, other) = pair(&engine);
    peer.write_all(b"go\n").unwrap();
    other_peer.write_all(b"x").unwrap();
    let waiting = engine.read_line(&other, told.callback("other"));
    let own = Arc::new(Mutex::new(None::<Cancel>));
    let (cancel_own, inside, last) = (Arc::clone(&own), told.clone(), stream.clone());
    let cancel = engine.read_line(
        &stream,
        Callback::from_fn(move |engine: &Local, outcome| {
            assert_eq!(outcome.unwrap(), "go");
            assert!(!cancel_own.lock().unwrap().take().unwrap().cancel(), "it is over");
            assert!(waiting.cancel());
            engine.abort(&other);
            engine.write(&last, "answer", inside.callback("write"));
            engine.close(&last, inside.callback("close"));
            drop((last, other));
            engine.post(move |_| inside.note("posted"));
            panic!("inside a callback");
        }),
    );
    *own.lock().unwrap() = Some(cancel);
    drop(stream);
    let panicked = catch_unwind(AssertUnwindSafe(|| engine.run())).unwrap_err();
    assert_eq!(panicked.downcast_ref::<&str>(), Some(&"inside a callback"));
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["close Ok", "other Cancelled", "posted", "write Ok"]);
    let mut answer = String::new();
    peer.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
}

#[test]
fn promise_03_posts_of_each_thread_run_in_order() {
    const THREADS: usize = 4;
    const POSTS: usize = 2000;
    let engine = driver::engine();
    let ran = Basket::new();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (handle, ran) = (engine.handle().clone(), ran.clone());
            let keep_alive = engine.keep_alive();
            thread::spawn(move || {
                for post in 0..POSTS {
                    let ran = ran.clone();
                    handle.post(move |_| ran.put((thread, post)));
                }
                drop(keep_alive);
            })
        })
        .collect();
    engine.run().unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let ran = ran.take();
    for thread in 0..THREADS {
        let of_thread = ran.iter().filter(|&&(number, _)| number == thread);
        assert!(of_thread.map(|&(_, post)| post).eq(0..POSTS));
    }
}

#[test]
fn promise_03_sleeps_of_one_length_end_in_the_order_submitted() {
    let engine = driver::engine();
    let ended = Basket::new();
    for number in 0..500 {
        let ended = ended.clone();
        engine.sleep(
            Duration::from_millis(2),
            Callback::from_fn(move |_, outcome| outcome.map(|()| ended.put(number)).unwrap()),
        );
    }
    engine.run().unwrap();
    assert_eq!(ended.take(), (0..500).collect::<Vec<_>>());
}

#[test]
fn promise_05_a_million_posts_each_making_the_next_neither_recurse_nor_delay_others() {
    fn again(engine: &Handle, left: usize, done: Arc<AtomicUsize>) {
        match left {
            0 => done.store(1, SeqCst),
            _ => engine.post(move |engine| again(engine, left - 1, done)),
        }
    }
    a_million_beside_others(|engine, done| again(engine, MILLION, done));
}

#[test]
fn promise_05_a_million_reads_each_submitting_the_next_neither_recurse_nor_delay_others() {
    fn again(engine: &Handle, stream: Stream, left: usize, done: Arc<AtomicUsize>) {
        if left == 0 {
            return done.store(1, SeqCst);
        }
        let next = stream.clone();
        engine.read_exact(
            &stream,
            1,
            Callback::new(
                move |engine, _| again(engine, next, left - 1, done),
                |_, error| panic!("{error}"),
            ),
        );
    }
    a_million_beside_others(|engine, done| {
        let (mut peer, stream) = pair(engine);
        thread::spawn(move || peer.write_all(&vec![b'x'; MILLION]).unwrap());
        again(engine, stream, MILLION, done);
    });
}

#[test]
fn promise_05_a_million_looks_at_buffered_bytes_neither_recurse_nor_delay_others() {
    fn again(engine: &Handle, stream: Stream, left: usize, done: Arc<AtomicUsize>) {
        if left == 0 {
            return done.store(1, SeqCst);
        }
        let next = stream.clone();
        engine.peek(
            &stream,
            1,
            Callback::new(
                move |engine, _| again(engine, next, left - 1, done),
                |_, error| panic!("{error}"),
            ),
        );
    }
    a_million_beside_others(|engine, done| {
        let (mut peer, stream) = pair(engine);
        peer.write_all(b"x").unwrap();
        again(engine, stream, MILLION, done);
    });
}

#[test]
fn promise_05_a_million_writes_each_submitting_the_next_neither_recurse_nor_delay_others() {
    fn again(engine: &Handle, stream: Stream, left: usize, done: Arc<AtomicUsize>) {
        if left == 0 {
            return done.store(1, SeqCst);
        }
        let next = stream.clone();
        engine.write(
            &stream,
            Bytes::from_static(b"x"),
            Callback::new(
                move |engine, _| again(engine, next, left - 1, done),
                |_, error| panic!("{error}"),
            ),
        );
    }
    a_million_beside_others(|engine, done| {
        let (mut peer, stream) = pair(engine);
        thread::spawn(move || {
            let mut received = Vec::new();
            peer.read_to_end(&mut received).unwrap();
            assert_eq!(received.len(), MILLION);
        });
        again(engine, stream, MILLION, done);
    });
}

#[test]
fn promise_05_a_long_queue_that_ends_at_once_does_not_recurse() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    let (told, count) = (Told::new(), 100_000);
    for _ in 0..count {
        engine.read_line(&stream, told.callback("read"));
    }
    turns(&engine, 1);
    drop(peer);
    engine.run().unwrap();
    assert_eq!(told.len(), count);
}

const MILLION: usize = 1_000_000;

/// Runs what `start` starts, on a small stack, until it says that it is done; meanwhile timers fire
/// and another stream echoes.
fn a_million_beside_others(start: impl FnOnce(&Handle, Arc<AtomicUsize>) + Send + 'static) {
    let small = thread::Builder::new().stack_size(256 << 10);
    let run = move || {
        let engine = driver::engine();
        let done = Arc::new(AtomicUsize::new(0));
        let naps = Arc::new(AtomicUsize::new(0));
        let echoes = Arc::new(AtomicUsize::new(0));
        start(&engine, Arc::clone(&done));
        nap(&engine, Arc::clone(&naps), Arc::clone(&done));
        let (mut peer, stream) = pair(&engine);
        ping(&engine, &stream, Arc::clone(&echoes), Arc::clone(&done));
        drop(stream);
        let echo = thread::spawn(move || {
            let mut byte = [0];
            while peer.read(&mut byte).unwrap() > 0 && peer.write_all(&byte).is_ok() {}
        });
        engine.run().unwrap();
        echo.join().unwrap();
        // A million of anything takes this machine a good part of a second at least.
        assert!(naps.load(SeqCst) >= 10, "{naps:?} timers fired meanwhile");
        assert!(echoes.load(SeqCst) >= 10, "{echoes:?} echoes came meanwhile");
    };
    small.spawn(run).unwrap().join().unwrap();
}

/// Sleeps again and again until `done`, counting.
fn nap(engine: &Handle, naps: Arc<AtomicUsize>, done: Arc<AtomicUsize>) {
    if done.load(SeqCst) == 0 {
        let next = Callback::new(
            move |engine: &Local, ()| {
                naps.fetch_add(1, SeqCst);
                nap(engine, naps, done);
            },
            |_, error| panic!("{error}"),
        );
        engine.sleep(Duration::from_millis(1), next);
    }
}

/// Sends a byte and waits for its echo, again and again until `done`, counting.
fn ping(engine: &Handle, stream: &Stream, echoes: Arc<AtomicUsize>, done: Arc<AtomicUsize>) {
    if done.load(SeqCst) == 0 {
        engine.write(stream, "x", Callback::ignore());
        let again = stream.clone();
        let next = Callback::new(
            move |engine: &Local, _| {
                echoes.fetch_add(1, SeqCst);
                ping(engine, &again, echoes, done);
            },
            |_, error| panic!("{error}"),
        );
        engine.read_exact(stream, 1, next);
    }
}

/// What the operations work on.
struct World {
    engine: Engine,
    things: Things,
    peer: Mutex<Option<driver::Peer>>,
    /// Where the listener listens.
    home: SocketAddr,
    told: Told,
}

#[derive(Clone)]
struct Things {
    stream: Stream,
    listener: Listener,
    /// The kernel accepts here by itself.
    address: SocketAddr,
    _kernel: Arc<driver::PeerListener>,
}

impl World {
    fn new() -> Self {
        let engine = driver::engine();
        let (peer, stream) = pair(&engine);
        let listener = engine.listen("127.0.0.1:0").unwrap();
        let home = listener.local_addr().unwrap();
        let kernel = driver::bind();
        let address = kernel.local_addr().unwrap();
        let things = Things { stream, listener, address, _kernel: Arc::new(kernel) };
        Self { engine, things, peer: Mutex::new(Some(peer)), home, told: Told::new() }
    }

    /// Brings what every operation waits for: bytes and their end, and a connection.
    fn let_everything_happen(&self) {
        let Some(mut peer) = self.peer.lock().unwrap().take() else { return };
        // The stream and the listener may be closed by the operation.
        drop(peer.write_all(b"line\nline\nEND\n"));
        if let Ok(mut client) = driver::connect(self.home) {
            drop(client.write_all(b"line\nEND\n"));
        }
    }
}

/// One operation, which tells `tells` callbacks.
#[derive(Clone, Copy)]
struct Operation {
    name: &'static str,
    tells: usize,
    submit: fn(&Handle, &Things, &Told) -> Cancel,
}

impl Operation {
    fn submit(&self, world: &World) -> Cancel {
        world.told.submitting(|| (self.submit)(&world.engine, &world.things, &world.told))
    }

    #[track_caller]
    fn was_told_once(&self, world: &World) {
        let notes = world.told.take();
        assert_eq!(notes.len(), self.tells, "{}: {notes:?}", self.name);
        let mut callbacks: Vec<_> =
            notes.iter().map(|note| note.split(' ').next().unwrap()).collect();
        callbacks.sort_unstable();
        callbacks.dedup();
        assert_eq!(callbacks.len(), self.tells, "{}: {notes:?}", self.name);
    }
}

/// Every operation there is.
fn operations() -> Vec<Operation> {
    let one = |name, submit| Operation { name, tells: 1, submit };
    let two = |name, submit| Operation { name, tells: 2, submit };
    vec![
        one("getaddrinfo", |h, _, told| {
            h.getaddrinfo("localhost", 80, Hints::default(), told.callback("1"))
        }),
        one("getaddrinfo of a literal", |h, _, told| {
            h.getaddrinfo("127.0.0.1", 80, Hints::default(), told.callback("1"))
        }),
        two("getaddrinfo_then_connect", |h, things, told| {
            let callbacks = (told.callback::<Vec<AddrInfo>>("1"), told.callback("2"));
            h.getaddrinfo_then_connect("localhost", things.address.port(), callbacks)
        }),
        one("connect", |h, things, told| h.connect(things.address, told.callback("1"))),
        two("connect_then_expect_line", |h, things, told| {
            let callbacks = (told.callback("1"), told.callback("2"));
            // To our own listener, whose backlog takes the connection, and nobody answers.
            let timeout = Duration::from_millis(5);
            let (one, two): (_, Callback<Bytes>) = callbacks;
            let address = things.listener.local_addr().unwrap_or(things.address);
            h.connect_then_expect_line(address, "x", (one, two.timeout(timeout)))
        }),
        two("connect_then_write_line", |h, things, told| {
            let callbacks = (told.callback("1"), told.callback("2"));
            h.connect_then_write_line(things.address, "x", callbacks)
        }),
        one("accept", |h, things, told| h.accept(&things.listener, told.callback("1"))),
        two("accept_then_write", |h, things, told| {
            h.accept_then_write(&things.listener, "x", (told.callback("1"), told.callback("2")))
        }),
        two("accept_then_expect_line", |h, things, told| {
            let callbacks = (told.callback("1"), told.callback("2"));
            h.accept_then_expect_line(&things.listener, "line", callbacks)
        }),
        one("accept_then_expect_multiline_regex", |h, things, told| {
            let regex = Regex::new("E.D").unwrap();
            h.accept_then_expect_multiline_regex(&things.listener, regex, told.callback("1"))
        }),
        one("read_chunk", |h, things, told| h.read_chunk(&things.stream, 3, told.callback("1"))),
        one("read_exact", |h, things, told| h.read_exact(&things.stream, 3, told.callback("1"))),
        one("read_until", |h, things, told| {
            h.read_until(&things.stream, "END", told.callback("1"))
        }),
        one("read_line", |h, things, told| h.read_line(&things.stream, told.callback("1"))),
        one("read_until_lineglob", |h, things, told| {
            let glob = LineGlob::new("E*").unwrap();
            h.read_until_lineglob(&things.stream, glob, told.callback("1"))
        }),
        one("read_until_regex", |h, things, told| {
            h.read_until_regex(&things.stream, Regex::new("E.D").unwrap(), told.callback("1"))
        }),
        one("read_until_any", |h, things, told| {
            let patterns = [Pattern::line("END"), Pattern::end()];
            h.read_until_any(&things.stream, patterns, told.callback("1"))
        }),
        one("read_all", |h, things, told| h.read_all(&things.stream, told.callback("1"))),
        one("read_with", |h, things, told| {
            h.read_with(&things.stream, UpTo(b"END"), told.callback("1"))
        }),
        one("expect_line", |h, things, told| {
            h.expect_line(&things.stream, "line", told.callback("1"))
        }),
        one("peek", |h, things, told| h.peek(&things.stream, 3, told.callback("1"))),
        one("buffered", |h, things, told| h.buffered(&things.stream, told.callback("1"))),
        one("write", |h, things, told| h.write(&things.stream, "x", told.callback("1"))),
        one("write of more than fits", |h, things, told| {
            h.write(&things.stream, vec![0; 4 << 20], told.callback("1"))
        }),
        one("write_vectored", |h, things, told| {
            h.write_vectored(&things.stream, ["x", "y"], told.callback("1"))
        }),
        one("write_line", |h, things, told| h.write_line(&things.stream, "x", told.callback("1"))),
        one("flush", |h, things, told| h.flush(&things.stream, told.callback("1"))),
        one("take_unsent", |h, things, told| h.take_unsent(&things.stream, told.callback("1"))),
        two("write_then_expect_line", |h, things, told| {
            let callbacks = (told.callback("1"), told.callback("2"));
            h.write_then_expect_line(&things.stream, "x", "line", callbacks)
        }),
        one("shutdown_write", |h, things, told| {
            h.shutdown_write(&things.stream, told.callback("1"))
        }),
        one("close a stream", |h, things, told| h.close(&things.stream, told.callback("1"))),
        one("close a listener", |h, things, told| h.close(&things.listener, told.callback("1"))),
        one("detach", |h, things, told| h.detach(&things.stream, told.callback("1"))),
        one("submit_work", |h, _, told| h.submit_work(|| 1, told.callback("1"))),
        one("sleep", |h, _, told| h.sleep(Duration::from_millis(1), told.callback("1"))),
        two("reads behind a failing one", |h, things, told| {
            h.expect_line(&things.stream, "zzz", told.callback("1"));
            h.read_line(&things.stream, told.callback("2"))
        }),
    ]
}
