//! Tasks: spawned, cancelled, panicking, and dropped with their engine.

use std::{
    cell::{Cell, RefCell},
    future::{pending, poll_fn},
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use facade_engine::{Callback, Error, TaskPanic};
use facade_futures::{Background, Io, Runtime, Stream, Task};
use facade_tests::{
    drops::{Drops, Token},
    outcome::Outcome,
    peers::arrived,
    polls::{Bell, give_way, in_time, poll_here, poll_once},
    turns::turns,
};
use futures::{FutureExt as _, channel::oneshot, future::join_all};

use super::driver::{self, pair};

/// What a panic said.
fn said(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<&str>() {
        Ok(text) => (*text).to_owned(),
        Err(panic) => *panic.downcast::<String>().unwrap(),
    }
}

#[test]
fn tasks_run_beside_a_future_and_outlive_it() {
    let runtime = Runtime::from(driver::engine());
    let steps = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&steps);
    let (sender, receiver) = oneshot::channel();
    let task = runtime.spawn_local(async move {
        noted.borrow_mut().push("task");
        receiver.await.unwrap();
        noted.borrow_mut().push("task again");
        7
    });
    let noted = Rc::clone(&steps);
    runtime.block_on(async move {
        noted.borrow_mut().push("future");
        give_way().await;
        give_way().await;
    });
    assert_eq!(steps.borrow().len(), 2);
    sender.send(()).unwrap();
    assert_eq!(runtime.block_on(task), 7);
    assert_eq!(steps.borrow().last(), Some(&"task again"));
}

#[test]
fn a_live_task_is_pending_and_the_run_ends_with_the_last() {
    let engine = driver::engine();
    let io = Io::new(engine.handle().clone());
    let (sender, receiver) = oneshot::channel::<()>();
    let done = Outcome::new();
    let told = done.clone();
    let again = io.clone();
    io.spawn(async move {
        receiver.await.unwrap();
        again.handle().sleep(Duration::ZERO, told.callback());
    })
    .detach();
    turns(&engine, 5);
    let turn = engine.run_once(Some(Duration::ZERO)).unwrap();
    assert_ne!(turn.pending, 0, "a task that waits for something else keeps the run");
    let other = thread::spawn(move || sender.send(()));
    engine.run().unwrap();
    other.join().unwrap().unwrap();
    assert!(done.is_there());
    assert_eq!(engine.run_once(None).unwrap().pending, 0);
}

#[test]
fn a_dropped_task_is_cancelled_and_a_detached_one_goes_on() {
    let runtime = Runtime::from(driver::engine());
    let drops = Drops::new();
    let finished = Rc::new(Cell::new(0));
    let spawn = || {
        let (token, finished) = (drops.token(), Rc::clone(&finished));
        let io = runtime.io().clone();
        runtime.spawn_local(async move {
            let _token = token;
            io.sleep(Duration::from_millis(1)).await.unwrap();
            finished.set(finished.get() + 1);
        })
    };
    drop(spawn());
    let dropped_later = spawn();
    spawn().detach();
    let cancelled = spawn();
    runtime.block_on(async {
        give_way().await;
        drop(dropped_later);
        assert!(cancelled.cancel().await.is_none());
    });
    runtime.engine().run().unwrap();
    assert_eq!(finished.get(), 1);
    assert_eq!(drops.alive(), 0);
}

/// A server that spawns a task for each connection, and one of those panics.
#[test]
fn a_tasks_panic_ends_that_task_and_no_other() {
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io().clone();
    let drops = Drops::new();
    let counted = drops.clone();
    let mut listener = io.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let again = io.clone();
    let accepts = runtime.spawn_local(async move {
        loop {
            let (mut stream, token) = (listener.accept().await.unwrap(), counted.token());
            let serve = async move {
                let _token = token;
                let line = stream.read_line().await.unwrap();
                assert_ne!(line, "boom");
                stream.write_line(line).await.unwrap();
            };
            again.spawn(serve).detach();
        }
    });
    runtime.block_on(in_time(&io, async {
        for line in ["one", "boom", "two", "boom", "boom", "three"] {
            let mut client = io.connect(address).await.unwrap();
            client.write_line(line).await.unwrap();
            let answer = client.read_line().await;
            assert_eq!(answer.is_ok(), line != "boom", "{line}: {answer:?}");
        }
    }));
    drop(accepts);
    runtime.spawn_local(async { panic!("a local task") }).detach();
    runtime.spawn(async { panic!("another") }).detach();
    runtime.engine().run().unwrap();
    drop(runtime);
    assert_eq!(drops.alive(), 0);
    // On an engine that somebody else runs as well.
    let engine = driver::engine();
    let io = Io::new(engine.handle().clone());
    io.spawn(async { panic!("on a plain engine") }).detach();
    let sum = io.spawn(async { 1 + 1 });
    engine.run().unwrap();
    assert_eq!(futures::executor::block_on(sum), 2);
}

#[test]
fn awaiting_a_task_that_panicked_resumes_its_panic() {
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io();
    for task in [
        runtime.spawn(async { panic!("at once") }),
        runtime.spawn_local(async {
            give_way().await;
            panic!("at once");
        }),
    ] {
        let outcome = runtime.block_on(in_time(io, AssertUnwindSafe(task).catch_unwind()));
        assert_eq!(said(outcome.unwrap_err()), "at once");
    }
    let task = runtime.spawn(async { panic!("in its own time") });
    let fallible = AssertUnwindSafe(task.fallible()).catch_unwind();
    assert_eq!(said(runtime.block_on(fallible).unwrap_err()), "in its own time");
    // One that nobody is left to await.
    let task = runtime.spawn(async { panic!("unheard") });
    turns(runtime.engine(), 3);
    drop(task);
    runtime.engine().run().unwrap();
}

/// What a future owns may panic when it is dropped: cancelled, over, or with its engine.
#[test]
fn a_panic_in_a_tasks_destructor_ends_nothing_else() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    let runtime = Runtime::from(driver::engine());
    let bad = || {
        let bad = Bad;
        poll_fn(move |_| {
            let _bad = &bad;
            Poll::<()>::Pending
        })
    };
    let over = || {
        let bad = Bad;
        poll_fn(move |_| {
            let _bad = &bad;
            Poll::Ready(7)
        })
    };
    let (cancelled, dropped) = (runtime.spawn(bad()), runtime.spawn_local(bad()));
    runtime.spawn(bad()).detach();
    let unpolled = runtime.spawn(bad());
    drop(unpolled);
    let seven = runtime.spawn(over());
    runtime.block_on(async {
        assert_eq!(seven.await, 7);
        assert!(cancelled.cancel().await.is_none());
        drop(dropped);
        runtime.io().sleep(Duration::ZERO).await.unwrap();
    });
    drop(runtime);
}

#[test]
fn promise_17_a_tasks_panic_is_resumed_after_the_turn_if_the_builder_says_so() {
    let engine = driver::builder().task_panic(TaskPanic::EndsRun).build().unwrap();
    let runtime = Runtime::from(engine);
    let finished = Arc::new(AtomicUsize::new(0));
    let drops = Drops::new();
    for number in 0..10 {
        let (io, finished, token) = (runtime.io().clone(), Arc::clone(&finished), drops.token());
        let task = runtime.spawn(async move {
            let _token = token;
            give_way().await;
            assert_ne!(number, 4, "the fifth");
            io.sleep(Duration::from_millis(1)).await.unwrap();
            finished.fetch_add(1, SeqCst);
        });
        task.detach();
    }
    let io = runtime.io();
    let waits = AssertUnwindSafe(|| runtime.block_on(io.sleep(Duration::MAX)));
    let panic = catch_unwind(waits).unwrap_err();
    assert!(said(panic).contains("the fifth"));
    runtime.engine().run().unwrap();
    assert_eq!((finished.load(SeqCst), drops.alive()), (9, 0));
    // In a run as well.
    runtime.spawn(async { panic!("in a run") }).detach();
    let run = AssertUnwindSafe(|| runtime.engine().run());
    assert_eq!(said(catch_unwind(run).unwrap_err()), "in a run");
    runtime.engine().run().unwrap();
}

/// The future ends in the turn in which a task panics; the next run is a run of its own.
#[test]
fn promise_17_a_panic_in_the_last_turn_of_a_future_does_not_end_the_next_run() {
    let runtime = Runtime::from(driver::engine());
    let panics = AssertUnwindSafe(|| {
        runtime.block_on(async {
            runtime.io().handle().post(|_| panic!("beside"));
        });
    });
    assert_eq!(said(catch_unwind(panics).unwrap_err()), "beside");
    let done = Outcome::new();
    runtime.engine().sleep(Duration::from_millis(1), done.callback());
    runtime.engine().run().unwrap();
    assert!(done.is_there(), "the run ended early");
}

#[test]
fn promise_17_a_background_engine_goes_on_after_a_panic() {
    let background = Background::new(driver::builder()).unwrap();
    for _ in 0..3 {
        background.handle().post(|_| panic!("a callback"));
        let task = background.spawn(async { panic!("a task") }).fallible();
        let awaited = AssertUnwindSafe(|| futures::executor::block_on(task));
        assert!(!matches!(catch_unwind(awaited), Ok(Some(()))));
        let sum = futures::executor::block_on(background.submit_work(|| 1 + 1));
        assert_eq!(sum.unwrap(), 2);
    }
}

#[test]
fn promise_03_running_the_engine_inside_itself_is_an_error_and_not_a_hang() {
    let runtime = Rc::new(Runtime::from(driver::engine()));
    let again = Rc::clone(&runtime);
    let nested = runtime.spawn_local(async move {
        let blocks = AssertUnwindSafe(|| again.block_on(async {}));
        said(catch_unwind(blocks).unwrap_err())
    });
    let message = runtime.block_on(nested);
    assert!(message.contains("cannot be run inside a callback"), "{message}");

    let again = Rc::clone(&runtime);
    let told = Rc::new(RefCell::new(String::new()));
    let heard = Rc::clone(&told);
    let engine = runtime.engine();
    engine.sleep(
        Duration::ZERO,
        Callback::local_from_fn(engine, move |_, _| {
            let blocks = AssertUnwindSafe(|| again.block_on(async {}));
            *heard.borrow_mut() = said(catch_unwind(blocks).unwrap_err());
        }),
    );
    engine.run().unwrap();
    assert!(told.borrow().contains("cannot be run inside a callback"));
}

/// Tasks in every state: not begun, waiting for the engine, waiting for something that never comes,
/// two waiting for each other.
fn tasks_in_every_state(io: &Io, drops: &Drops) {
    let spawn = |future: futures::future::BoxFuture<'static, ()>| {
        let token = drops.token();
        io.spawn(async move {
            let _token = token;
            future.await;
        })
    };
    let sleeper = io.clone();
    spawn(Box::pin(async move { drop(sleeper.sleep(Duration::MAX).await) })).detach();
    spawn(Box::pin(pending())).detach();
    let (kept, other) = (oneshot::channel::<()>(), oneshot::channel::<()>());
    spawn(Box::pin(async move {
        assert!(kept.1.await.is_err());
        drop(other.0);
    }))
    .detach();
    spawn(Box::pin(async move {
        assert!(other.1.await.is_err());
        drop(kept.0);
    }))
    .detach();
    // One that waits for another, which waits for ever.
    let inner = spawn(Box::pin(pending()));
    spawn(Box::pin(inner)).detach();
}

#[test]
fn promise_16_tasks_are_dropped_with_the_runtime_whatever_they_wait_for() {
    for begun in [false, true] {
        let drops = Drops::new();
        let runtime = Runtime::from(driver::engine());
        tasks_in_every_state(runtime.io(), &drops);
        let token = drops.token();
        let local = runtime.spawn_local(async move {
            let _token = token;
            pending::<()>().await;
        });
        if begun {
            turns(runtime.engine(), 5);
        }
        assert_eq!(drops.alive(), 7, "begun: {begun}");
        drop(runtime);
        assert_eq!(drops.alive(), 0, "begun: {begun}");
        assert!(futures::executor::block_on(local.fallible()).is_none());
    }
}

/// A server that tries again whatever happens is due for a step when its engine goes.
#[test]
fn promise_16_a_task_that_tries_again_for_ever_ends_with_the_runtime() {
    let drops = Drops::new();
    let runtime = Runtime::from(driver::engine());
    let mut listener = runtime.io().listen("127.0.0.1:0").unwrap();
    let (sender, receiver) = oneshot::channel::<()>();
    let failures = Arc::new(AtomicUsize::new(0));
    let (token, failed) = (drops.token(), Arc::clone(&failures));
    let serve = runtime.spawn(async move {
        let _token = token;
        receiver.await.unwrap();
        while failed.load(SeqCst) < 1000 {
            if listener.accept().await.is_err() {
                failed.fetch_add(1, SeqCst);
            }
        }
    });
    serve.detach();
    turns(runtime.engine(), 3);
    thread::spawn(|| sender.send(())).join().unwrap().unwrap();
    drop(runtime);
    assert_eq!((failures.load(SeqCst), drops.alive()), (0, 0));
}

#[test]
fn promise_16_tasks_are_dropped_with_a_background_engine() {
    let drops = Drops::new();
    let background = Background::new(driver::builder()).unwrap();
    tasks_in_every_state(&background, &drops);
    let io = Io::clone(&background);
    // The ones before it have begun when this one ends.
    futures::executor::block_on(io.spawn(async {}));
    assert_eq!(drops.alive(), 6);
    drop(background);
    assert_eq!(drops.alive(), 0);
    // Too late: dropped unrun.
    let token = drops.token();
    let late = io.spawn(async move { drop(token) });
    assert_eq!(drops.alive(), 0);
    assert!(futures::executor::block_on(late.fallible()).is_none());
}

#[test]
fn promise_16_futures_hear_that_the_engine_is_gone() {
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io().clone();
    let (_peer, stream) = pair(runtime.engine());
    let mut stream = Stream::from(stream);
    let mut listener = io.listen("127.0.0.1:0").unwrap();
    let bells: Vec<_> = (0..4).map(|_| Bell::new()).collect();
    let mut sleep = io.sleep(Duration::MAX);
    let mut read = stream.read_line();
    let mut accept = listener.accept();
    let mut queued = io.sleep(Duration::ZERO);
    assert!(bells[0].poll(&mut sleep).is_pending());
    assert!(bells[1].poll(&mut read).is_pending());
    assert!(bells[2].poll(&mut accept).is_pending());
    turns(runtime.engine(), 2);
    // Its request waits in the inbox.
    assert!(bells[3].poll(&mut queued).is_pending());
    drop(runtime);
    assert!(bells.iter().all(|bell| bell.rings() == 1));
    let gone = |outcome| matches!(outcome, Poll::Ready(Err(Error::EngineClosed)));
    assert!(gone(poll_once(&mut sleep)));
    assert!(gone(poll_once(&mut read).map_ok(drop)));
    assert!(gone(poll_once(&mut accept).map_ok(drop)));
    assert!(matches!(poll_once(&mut queued), Poll::Ready(Err(Error::EngineClosed) | Ok(()))));
    assert!(gone(poll_once(&mut io.sleep(Duration::ZERO))));
    drop((read, accept));
    assert!(gone(poll_once(&mut stream.write("late")).map_ok(drop)));
}

#[test]
fn promise_16_a_dropped_background_ends_what_others_wait_for() {
    let background = Background::new(driver::builder()).unwrap();
    let io = Io::clone(&background);
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    tokio.block_on(async {
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let io = io.clone();
                tokio::spawn(async move { io.sleep(Duration::MAX).await })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(background);
        for waits in waiting {
            assert!(matches!(waits.await.unwrap(), Err(Error::EngineClosed)));
        }
    });
}

#[test]
fn a_background_dropped_on_its_own_thread_is_not_waited_for() {
    let background = Background::new(driver::builder()).unwrap();
    let io = Io::clone(&background);
    let shared = Arc::new(Mutex::new(Some(background)));
    let (sender, receiver) = oneshot::channel();
    io.spawn(async move {
        drop(shared.lock().unwrap().take());
        sender.send(()).unwrap();
    })
    .detach();
    futures::executor::block_on(receiver).unwrap();
}

/// What a task owns may panic when it is dropped, and what that says, too. These tasks were woken
/// elsewhere when the engine took nothing any more, so that nobody but the runtime drops them.
#[test]
fn promise_17_tasks_that_are_stranded_may_panic_as_they_are_dropped() {
    /// Panics when it is dropped, so often.
    struct Bad(usize, Arc<Token>);
    impl Drop for Bad {
        fn drop(&mut self) {
            if self.0 > 0 {
                resume_unwind(Box::new(Self(self.0 - 1, Arc::clone(&self.1))));
            }
        }
    }
    /// Has another thread wake these when it is dropped.
    struct Waking(Vec<Waker>);
    impl Drop for Waking {
        fn drop(&mut self) {
            let wakers = std::mem::take(&mut self.0);
            thread::spawn(|| wakers.into_iter().for_each(Waker::wake)).join().unwrap();
        }
    }
    for panics in [1, 2] {
        let drops = Drops::new();
        let runtime = Runtime::from(driver::engine());
        let waking = Rc::new(RefCell::new(Waking(Vec::new())));
        let first = Rc::clone(&waking);
        runtime
            .spawn_local(poll_fn(move |_| {
                let _first = &first;
                Poll::<()>::Pending
            }))
            .detach();
        let tasks: Vec<_> = (0..2)
            .map(|_| {
                let (bad, waking) = (Bad(panics, Arc::new(drops.token())), Rc::downgrade(&waking));
                runtime.spawn_local(poll_fn(move |context| {
                    let _bad = &bad;
                    if let Some(waking) = waking.upgrade() {
                        waking.borrow_mut().0.push(context.waker().clone());
                    }
                    Poll::<()>::Pending
                }))
            })
            .collect();
        turns(runtime.engine(), 3);
        assert_eq!(waking.borrow().0.len(), 2);
        drop(waking);
        drop(runtime);
        assert!(tasks.iter().all(Task::is_finished));
        // What the second panic says is left alone.
        assert_eq!(drops.alive(), if panics > 1 { 2 } else { 0 });
    }
}

/// Keeps its waker, and is woken long after.
#[test]
fn wakers_kept_and_woken_after_the_runtime_is_gone_are_harmless() {
    let drops = Drops::new();
    let runtime = Runtime::from(driver::engine());
    let wakers = Arc::new(Mutex::new(Vec::<Waker>::new()));
    let keep = || {
        let (wakers, token) = (Arc::clone(&wakers), drops.token());
        poll_fn(move |context| {
            let _token = &token;
            wakers.lock().unwrap().push(context.waker().clone());
            Poll::<()>::Pending
        })
    };
    runtime.spawn(keep()).detach();
    runtime.spawn_local(keep()).detach();
    let held = runtime.spawn_local(keep());
    let mut root = keep();
    runtime.block_on(async { assert!(poll_here(&mut root).await.is_pending()) });
    turns(runtime.engine(), 3);
    assert_eq!(wakers.lock().unwrap().len(), 4);
    drop(runtime);
    assert_eq!(drops.alive(), 1, "the one that is no task");
    let late = thread::spawn(move || {
        let wakers = std::mem::take(&mut *wakers.lock().unwrap());
        for waker in &wakers {
            waker.wake_by_ref();
        }
        wakers.into_iter().for_each(Waker::wake);
    });
    late.join().unwrap();
    drop((held, root));
    assert_eq!(drops.alive(), 0);
}

#[test]
fn tasks_are_woken_from_other_threads_without_loss() {
    let runtime = Runtime::from(driver::engine());
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..1000).map(|_| oneshot::channel::<usize>()).unzip();
    let tasks: Vec<_> = receivers
        .into_iter()
        .map(|receiver| runtime.spawn(async move { receiver.await.unwrap() }))
        .collect();
    let other = thread::spawn(move || {
        for (number, sender) in senders.into_iter().enumerate() {
            sender.send(number).unwrap();
        }
    });
    let values = runtime.block_on(in_time(runtime.io(), join_all(tasks)));
    other.join().unwrap();
    assert!(values.into_iter().eq(0..1000));
}

/// A stop is for runs; a future goes on.
#[test]
fn a_stop_does_not_end_a_future() {
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io();
    runtime.block_on(async {
        io.handle().stop();
        io.sleep(Duration::from_millis(1)).await.unwrap();
        io.handle().stop();
        give_way().await;
    });
}

#[test]
fn promise_05_a_task_that_always_gives_way_keeps_nobody_waiting() {
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io().clone();
    let busy = runtime.spawn(async {
        loop {
            give_way().await;
        }
    });
    runtime.block_on(in_time(&io, async {
        let (mut peer, stream) = pair(io.handle());
        let mut stream = Stream::from(stream);
        for _ in 0..20 {
            io.sleep(Duration::from_millis(1)).await.unwrap();
            std::io::Write::write_all(&mut peer, b"line\n").unwrap();
            stream.read_line().await.unwrap();
        }
    }));
    drop(busy);
    runtime.engine().run().unwrap();
}

/// As the documentation of `spawn` says; `Task::fallible` yields none instead.
#[test]
fn awaiting_the_task_of_an_engine_that_is_gone_panics() {
    let runtime = Runtime::from(driver::engine());
    let task = runtime.io().spawn(pending::<()>());
    drop(runtime);
    let awaited = AssertUnwindSafe(|| futures::executor::block_on(task));
    assert!(catch_unwind(awaited).is_err());
}

#[test]
fn promise_10_what_a_future_wrote_goes_out_although_it_stops_the_engine() {
    for stops in [true, false] {
        let runtime = Runtime::from(driver::engine());
        let (peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        let io = runtime.io().clone();
        runtime.block_on(async {
            stream.write("hello").await.unwrap();
            if stops {
                io.handle().stop();
            }
        });
        assert_eq!(arrived(&peer), b"hello");
    }
}

#[test]
fn promise_10_what_a_task_wrote_goes_out_although_its_runtime_goes() {
    let background = Background::new(driver::builder()).unwrap();
    let (mut peer, stream) = pair(background.handle());
    let mut stream = Stream::from(stream);
    futures::executor::block_on(stream.write("hello")).unwrap();
    drop(background);
    let mut received = [0; 5];
    peer.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"hello");
}
