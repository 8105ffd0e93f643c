//! The engine's end, and panics: everybody hears, nobody hangs, nothing leaks.

use std::{
    cell::RefCell,
    io::{Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use facade_engine::{
    Bytes, Callback, Claim, Detached, Engine, Handle, Limits, LineEnd, ListenOptions, Local,
    Result, Stream,
    matcher::{Matcher, Scan},
};
use facade_tests::{
    alone::alone,
    peers::arrived,
    reads,
    told::{Basket, Told, brief},
    turns::{turn_until, turns},
};

use super::driver::{self, descriptors, full_pair, now, pair, stuck_work, tcp_pair};

/// Everything that keeps the operations of [`submit_everything`] pending.
struct Pending {
    _kept: Vec<Box<dyn std::any::Any>>,
    count: usize,
}

/// Submits an operation of every kind that cannot have its outcome.
fn submit_everything(engine: &Engine, told: &Told) -> Pending {
    let mut kept: Vec<Box<dyn std::any::Any>> = Vec::new();
    let mut count = 0;
    for read in reads::reads().into_iter().chain(reads::eager_reads()).chain([reads::read_all()]) {
        let (peer, stream) = pair(engine);
        read.submit(engine, &stream, told);
        kept.push(Box::new((peer, stream)));
        count += 1;
    }
    let (peer, stream, _) = full_pair(engine);
    engine.write(&stream, vec![0; 1 << 20], told.callback("write"));
    engine.write_line(&stream, "queued", told.callback("write_line"));
    engine.flush(&stream, told.callback("flush"));
    engine.shutdown_write(&stream, told.callback("shutdown_write"));
    kept.push(Box::new((peer, stream)));
    let (peer, stream, _) = full_pair(engine);
    engine.write(&stream, "unsent", Callback::ignore());
    engine.close(&stream, told.callback("close"));
    kept.push(Box::new(peer));
    let (peer, stream, _) = full_pair(engine);
    engine.write(&stream, "unsent", Callback::ignore());
    engine.detach(&stream, told.callback("detach"));
    kept.push(Box::new(peer));

    let listener = engine.listen("127.0.0.1:0").unwrap();
    engine.accept(&listener, told.callback("accept"));
    engine
        .chain()
        .accept(&listener, told.callback("stage 1"))
        .read_line(told.callback("stage 2"))
        .submit();
    kept.push(Box::new(listener));
    // Nowhere else is there an address that makes whoever connects wait.
    #[cfg(unix)]
    {
        let (full, path) = driver::bind_full_unix();
        engine.connect(path, told.callback("connect"));
        kept.push(Box::new(full));
        count += 1;
    }
    turns(engine, 1);

    engine.sleep(Duration::MAX, told.callback("sleep"));
    kept.push(Box::new(stuck_work(engine, told.callback("submit_work"))));
    turns(engine, 3);
    count += 11;
    Pending { _kept: kept, count }
}

// The end of the engine

#[test]
fn promise_16_dropping_the_engine_tells_everything_pending_on_this_thread() {
    let engine = driver::engine();
    let told = Told::new();
    let pending = submit_everything(&engine, &told);
    assert_eq!(told.take(), [""; 0], "all of it is pending");
    let here = thread::current().id();
    let elsewhere = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&elsewhere);
    engine.sleep(
        Duration::MAX,
        Callback::from_fn(move |_, _| {
            count.fetch_add(usize::from(thread::current().id() != here), SeqCst);
        }),
    );
    drop(engine);
    assert_eq!(elsewhere.load(SeqCst), 0);
    let notes = told.take();
    assert_eq!(notes.len(), pending.count, "{notes:#?}");
    for note in notes {
        // A later stage hears of the stage that failed, and a write how much of it the system had
        // found room for after all.
        assert!(note.contains("EngineClosed"), "{note}");
    }
}

#[test]
fn promise_16_outcomes_that_were_there_are_delivered_and_posts_run() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"line\n").unwrap();
    engine.read_line(&stream, told.value("first"));
    engine.read_line(&stream, told.value("second"));
    let notes = told.clone();
    turns(&engine, 1);
    engine.post(move |_| notes.note("posted"));
    engine.sleep(Duration::MAX, told.callback("sleep"));
    drop(engine);
    let mut notes = told.take();
    notes.sort();
    let expected = ["first b\"line\"", "posted", "second EngineClosed", "sleep EngineClosed"];
    assert_eq!(notes, expected);
}

#[test]
fn promise_16_what_was_given_back_comes_first_in_the_last_turn_too() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let (told, held) = (Told::new(), Basket::new());
    peer.write_all(b"one\ntwo\n").unwrap();
    let hold = held.clone();
    engine.read_line(&stream, Callback::claim(move |_, claim| hold.put(claim.unwrap())));
    turn_until(&engine, || !held.is_empty());
    engine.read_line(&stream, told.value("line"));
    let claim: Claim<Bytes> = held.only();
    drop(claim);
    drop(engine);
    assert_eq!(told.take(), [r#"line b"one""#]);
}

#[test]
fn promise_16_dropped_with_everything_pending_it_leaves_no_descriptor() {
    alone(
        module_path!(),
        "promise_16_dropped_with_everything_pending_it_leaves_no_descriptor",
        || {
            // The first engine opens what the process keeps, such as the null device.
            drop(driver::engine());
            let before = descriptors();
            for _ in 0..3 {
                let (engine, told) = (driver::engine(), Told::new());
                let pending = submit_everything(&engine, &told);
                drop(engine);
                assert_eq!(told.len(), pending.count);
            }
            // The threads that were stuck let go of the last ones.
            let hopeless = now() + Duration::from_secs(10);
            while descriptors() != before && now() < hopeless {
                thread::yield_now();
            }
            assert_eq!(descriptors(), before);
        },
    );
}

#[test]
fn promise_16_what_callbacks_hold_is_dropped_with_the_engine() {
    let engine = driver::engine();
    let held = Arc::new(());
    let (peer, stream) = pair(&engine);
    let keep = Arc::clone(&held);
    engine.read_line(&stream, Callback::from_fn(move |_, _| drop(keep)));
    let keep = Arc::clone(&held);
    engine.sleep(Duration::MAX, Callback::local_from_fn(&engine, move |_, _| drop(keep)));
    let keep = Arc::clone(&held);
    engine.submit_work(move || drop(keep), Callback::ignore());
    turns(&engine, 2);
    drop(engine);
    drop((peer, stream));
    turn_until(&driver::engine(), || Arc::strong_count(&held) == 1);
}

#[test]
fn submissions_while_the_engine_is_dropped_are_refused_unrun() {
    let engine = driver::engine();
    let told = Told::new();
    let held = Arc::new(());
    let (_peer, stream) = pair(&engine);
    let (notes, keep) = (told.clone(), Arc::clone(&held));
    engine.sleep(
        Duration::MAX,
        Callback::from_fn(move |local: &Local, _| {
            notes.note("told");
            let again = |name| {
                let (notes, keep) = (notes.clone(), Arc::clone(&keep));
                Callback::from_fn(move |_, outcome: Result<()>| {
                    notes.note(format!("{name} {outcome:?} {}", Arc::strong_count(&keep)));
                })
            };
            assert!(!local.sleep(Duration::ZERO, again("sleep")).cancel());
            local.flush(&stream, again("flush"));
            local.close(&stream, again("close"));
            let (notes, keep) = (notes.clone(), Arc::clone(&keep));
            local.post(move |_| notes.note(format!("post {}", Arc::strong_count(&keep))));
        }),
    );
    drop(engine);
    assert_eq!(told.take(), ["told"]);
    assert_eq!(Arc::strong_count(&held), 1, "and dropped");
}

#[test]
fn a_callback_that_always_submits_again_does_not_keep_the_engine_from_ending() {
    fn again(local: &Handle, count: Arc<AtomicUsize>) {
        count.fetch_add(1, SeqCst);
        let next = move |local: &Local, _: Result<()>| again(local, count);
        local.sleep(Duration::MAX, Callback::from_fn(next));
    }
    let engine = driver::engine();
    let count = Arc::new(AtomicUsize::new(0));
    again(&engine, Arc::clone(&count));
    drop(engine);
    assert_eq!(count.load(SeqCst), 2);
}

/// What waits for nothing has no callback to be dropped, and says so itself.
#[test]
fn what_is_made_on_an_engine_that_is_gone_or_going_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let check = move |engine: &Handle| {
        let file = || tempfile::tempfile().unwrap();
        let refused = [
            engine.listen("127.0.0.1:0").unwrap_err(),
            engine.listen_with("127.0.0.1:0", &ListenOptions::new()).unwrap_err(),
            engine.listen_unix(&path).unwrap_err(),
            engine.attach(file()).unwrap_err(),
            engine.attach_exclusive(file()).unwrap_err(),
            engine.attach_file(file()).unwrap_err(),
            engine.attach_listener(file()).unwrap_err(),
            engine.attach_listener_exclusive(file()).unwrap_err(),
            engine.attach_detached(Detached::new(file(), "")).unwrap_err(),
        ];
        let refused = refused.map(|error| brief(&error));
        assert!(refused.iter().all(|error| error == "EngineClosed"), "{refused:?}");
        assert!(!path.exists(), "a socket that nobody would ever listen at");
    };
    let engine = driver::engine();
    let handle = engine.handle().clone();
    let (_peer, stream) = pair(&engine);
    let (checked, last_turn) = mpsc::channel();
    let also = check.clone();
    engine.sleep(
        Duration::from_secs(3600),
        Callback::from_fn(move |engine, _| {
            also(engine);
            checked.send(()).unwrap();
        }),
    );
    drop(engine);
    last_turn.recv().unwrap();
    check(&handle);
    // Settings are nothing that could fail: whatever is done next says it.
    handle.set_limits(&stream, Limits::default());
    handle.set_line_end(&stream, LineEnd::Lf);
}

#[test]
fn submissions_after_the_engine_is_gone_are_refused_unrun() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    let cancel = engine.sleep(Duration::MAX, told.callback("sleep"));
    let handle = engine.handle().clone();
    drop(engine);
    assert_eq!(told.take(), ["sleep EngineClosed"]);
    let held = Arc::new(());
    let keep = Arc::clone(&held);
    handle.post(move |_| drop(keep));
    let keep = Arc::clone(&held);
    handle.read_line(&stream, Callback::from_fn(move |_, _| drop(keep)));
    assert_eq!(Arc::strong_count(&held), 1);
    assert!(!cancel.cancel());
    handle.abort(&stream);
    handle.stop();
    drop(handle.keep_alive());
    // A stream that is left over is closed with its last clone.
    drop(stream);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}

#[test]
fn promise_16_an_engine_dropped_inside_a_callback_of_another_ends_as_ever() {
    let outer = driver::engine();
    let inner = driver::engine();
    let told = Told::new();
    inner.sleep(Duration::MAX, told.callback("inner"));
    let notes = told.clone();
    let drop_inner = Callback::local_from_fn(&outer, move |_, outcome: Result<()>| {
        outcome.unwrap();
        drop(inner);
        notes.note("dropped");
    });
    outer.sleep(Duration::ZERO, drop_inner);
    outer.sleep(Duration::ZERO, told.callback("outer"));
    outer.run().unwrap();
    assert_eq!(told.take(), ["inner EngineClosed", "dropped", "outer Ok"]);
}

#[test]
fn promise_16_panics_during_the_drop_are_contained() {
    let engine = driver::engine();
    let told = Told::new();
    for name in ["first", "second"] {
        engine.sleep(Duration::MAX, told.callback(name));
        engine.sleep(Duration::MAX, Callback::from_fn(|_, _: Result<()>| panic!("in the drop")));
    }
    drop(engine);
    assert_eq!(told.take(), ["first EngineClosed", "second EngineClosed"]);
}

// Panics

/// Runs the engine and returns what it panicked with.
#[track_caller]
fn panic_of(engine: &Engine) -> String {
    let payload = catch_unwind(AssertUnwindSafe(|| engine.run())).expect_err("a panic");
    (*payload.downcast::<&str>().expect("a text")).to_owned()
}

#[test]
fn promise_17_a_panic_is_resumed_after_the_turn_and_the_others_go_on() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    let told = Told::new();
    let notes = told.clone();
    engine.post(move |_| notes.note("before"));
    let again = stream.clone();
    engine.post(move |local| {
        local.write(&again, "written before the panic", Callback::ignore());
        panic!("the first");
    });
    engine.post(|_| panic!("the second"));
    let notes = told.clone();
    engine.post(move |_| notes.note("behind"));
    engine.flush(&stream, told.callback("flush"));
    assert_eq!(panic_of(&engine), "the first");
    let notes = told.take();
    assert_eq!(notes[..2], ["before", "behind"], "the turn went on");
    assert_eq!(arrived(&peer), b"written before the panic");
    engine.run().unwrap();
    engine.sleep(Duration::ZERO, told.callback("usable"));
    engine.run().unwrap();
    assert!(told.take().contains(&"usable Ok".to_owned()));
}

#[test]
fn promise_17_each_callback_that_panics_has_been_told() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"one\ntwo\n").unwrap();
    engine.read_line(&stream, Callback::from_fn(|_, _| panic!("with a line")));
    engine.read_line(&stream, told.value("next"));
    engine.sleep(Duration::ZERO, Callback::from_fn(|_, _| panic!("with a timer")));
    let mut panics = 0;
    while told.is_empty() || panics < 2 {
        panics += usize::from(catch_unwind(AssertUnwindSafe(|| engine.run())).is_err());
    }
    engine.run().unwrap();
    assert_eq!(told.take(), ["next b\"two\""], "the first line was taken by who panicked");
}

#[test]
fn promise_17_a_panic_in_the_drop_of_a_captured_value_is_contained() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !thread::panicking() {
                panic!("in a drop");
            }
        }
    }
    let engine = driver::engine();
    let told = Told::new();
    let bomb = Bomb;
    engine.post(move |_| drop(bomb));
    let bomb = Bomb;
    engine.sleep(
        Duration::ZERO,
        Callback::from_fn(move |_, _| {
            // Dropped with the closure.
            let _held = &bomb;
        }),
    );
    let notes = told.clone();
    engine.post(move |_| notes.note("behind"));
    let mut panics = 0;
    for _ in 0..5 {
        panics += usize::from(catch_unwind(AssertUnwindSafe(|| engine.run())).is_err());
    }
    assert!(panics > 0);
    assert_eq!(told.take(), ["behind"]);
    engine.run().unwrap();
}

#[test]
fn promise_17_a_matcher_that_panics_fails_its_read_and_takes_nothing() {
    struct Panics;
    impl Matcher for Panics {
        type Output = Bytes;
        fn scan(&mut self, _: &[u8], _: bool) -> Scan {
            panic!("in a matcher")
        }
        fn restart(&mut self) {}
        fn output(&mut self, taken: Bytes) -> Result<Bytes> {
            Ok(taken)
        }
    }
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    engine.read_with(&stream, Panics, told.callback("matcher"));
    engine.read_line(&stream, told.value("line"));
    peer.write_all(b"line\n").unwrap();
    assert_eq!(panic_of(&engine), "in a matcher");
    engine.run().unwrap();
    assert_eq!(told.take(), ["matcher Panicked", "line b\"line\""]);
}

#[test]
fn promise_17_a_local_callback_that_panics_leaves_the_table_usable() {
    let engine = driver::engine();
    let heard = Rc::new(RefCell::new(Vec::new()));
    for number in 0..4 {
        let heard = Rc::clone(&heard);
        let callback = Callback::local_from_fn(&engine, move |_, _: Result<()>| {
            heard.borrow_mut().push(number);
            assert_ne!(number, 1, "the unlucky one");
        });
        engine.sleep(Duration::ZERO, callback);
    }
    catch_unwind(AssertUnwindSafe(|| engine.run())).unwrap_err();
    engine.run().unwrap();
    assert_eq!(*heard.borrow(), [0, 1, 2, 3]);
    assert_eq!(Rc::strong_count(&heard), 1);
}

#[test]
fn promise_17_a_chain_goes_on_past_a_callback_that_panics() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let told = Told::new();
    peer.write_all(b"one\ntwo\n").unwrap();
    engine
        .chain()
        .on(&stream)
        .read_line(Callback::from_fn(|_, _| panic!("at stage one")))
        .read_line(told.value("stage two"))
        .submit();
    assert_eq!(panic_of(&engine), "at stage one");
    engine.run().unwrap();
    assert_eq!(told.take(), ["stage two b\"two\""]);
}

#[test]
fn promise_17_work_that_panics_is_told_and_its_worker_lives_on() {
    let engine = driver::builder().workers(1).build().unwrap();
    let told = Told::new();
    let workers = Arc::new(Mutex::new(Vec::new()));
    let remember = |workers: &Arc<Mutex<Vec<_>>>| {
        let workers = Arc::clone(workers);
        move || workers.lock().unwrap().push(thread::current().id())
    };
    engine.submit_work(remember(&workers), told.callback("first"));
    engine.submit_work(|| -> u8 { panic!("on a worker") }, told.callback("second"));
    engine.submit_work(remember(&workers), told.callback("third"));
    engine.run().unwrap();
    let mut notes = told.take();
    notes.sort();
    assert_eq!(notes, ["first Ok", "second Panicked", "third Ok"]);
    let workers = workers.lock().unwrap();
    assert_eq!(workers[0], workers[1]);
}

#[test]
fn a_stream_kept_beyond_its_engine_keeps_its_address_and_closes_at_its_drop() {
    let engine = driver::engine();
    let (mut peer, stream): (_, Stream) = tcp_pair(&engine);
    let address = peer.local_addr().unwrap();
    turns(&engine, 1);
    drop(engine);
    assert_eq!(stream.peer_addr().unwrap(), address);
    drop(stream);
    assert_eq!(arrived(&peer), b"");
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}
