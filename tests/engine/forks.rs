//! Children that only fork: they have the parent's descriptors, copies of its locks and queues, and
//! with io_uring the very queues.

use std::{
    io::{Read, Write, pipe},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    thread,
    time::Duration,
};

use facade_engine::{Bytes, Callback, Engine, Error, ListenOptions, Listener, Result, Stream};
use facade_tests::{
    alone::alone,
    drops::Drops,
    forks::{LOCK, end, ended_well, fork_and_go_on, forked, wait_for_lock_at_forks},
    sockets::{pair, tcp_pair},
    told::Told,
    turns::{SOON, turn_until, turns},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::driver;

const HOUR: Duration = Duration::from_secs(3600);

/// A callback that must be dropped unrun.
fn refused<T: 'static>(drops: &Drops) -> Callback<T> {
    let token = drops.token();
    Callback::from_fn(move |_, _| {
        drop(token);
        panic!("run in the child");
    })
}

#[track_caller]
fn is_refused<T>(outcome: Result<T>) {
    assert!(matches!(outcome, Err(Error::Forked)), "{:?}", outcome.err());
}

#[test]
fn the_child_of_a_fork_is_refused_everything_and_the_parent_does_not_notice() {
    let name = "the_child_of_a_fork_is_refused_everything_and_the_parent_does_not_notice";
    alone(module_path!(), name, || {
        let engine = driver::engine();
        let inherited = &engine;
        let handle = inherited.handle().clone();
        let (mut peer, stream) = pair(inherited);
        let (mut tcp_peer, tcp) = tcp_pair(inherited);
        let listener = inherited.listen("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let file = inherited.attach_file(tempfile::tempfile().unwrap()).unwrap();
        let told = Told::new();
        let read = inherited.read_line(&stream, told.value("read"));
        inherited.accept(&listener, told.callback("accept"));
        inherited.read_line(&tcp, told.value("tcp"));
        inherited.read_at(&file, 0, 1, told.callback("file"));
        turns(inherited, 3);
        told.take();
        // In the inbox, and in the child's copy of it.
        let drops = Drops::new();
        let token = drops.token();
        inherited.post(move |_| drop(token));
        let mut ours = Some((engine, handle, stream, tcp, listener, file));
        assert!(forked(|| {
            let (engine, handle, stream, tcp, listener, file) = ours.take().unwrap();
            assert!(handle.is_inherited() && handle.is_closed());
            is_refused(engine.run());
            is_refused(engine.run_once(Some(HOUR)));
            is_refused(engine.run_until(|_, _| Poll::<()>::Pending));
            let soon = Some(&Timespec { tv_sec: 0, tv_nsec: 0 });
            let _ = poll(&mut [PollFd::new(&engine, PollFlags::IN)], soon).unwrap();
            assert!(engine.next_deadline().is_some(), "a turn is due that says so");
            assert_eq!(engine.pending(), []);
            let _ = format!("{engine:?} {stream:?} {listener:?} {file:?}");

            let mine = Drops::new();
            let (reader, _writer) = pipe().unwrap();
            is_refused(handle.attach(reader));
            is_refused(handle.listen("127.0.0.1:0"));
            is_refused(handle.listen_with("127.0.0.1:0", &ListenOptions::new()));
            is_refused(handle.attach_file(tempfile::tempfile().unwrap()));
            handle.read_line(&stream, refused(&mine));
            handle.write(&stream, "child", refused(&mine));
            handle.write_line(&tcp, "child", Callback::ignore());
            handle.shutdown_write(&tcp, refused(&mine));
            handle.accept(&listener, refused(&mine));
            handle.connect(address, refused(&mine));
            handle.read_at(&file, 0, 1, refused(&mine));
            handle.sleep(HOUR, refused(&mine)).cancel();
            handle.submit_work(|| (), refused(&mine));
            handle.getaddrinfo("localhost", "80", Default::default(), refused(&mine));
            handle.chain().connect(address, refused(&mine)).read_line(refused(&mine)).submit();
            let token = mine.token();
            handle.post(move |_| drop(token));
            let token = mine.token();
            handle.sleep(HOUR, Callback::local_from_fn(&engine, move |_, _| drop(token)));
            handle.close(&stream, refused(&mine));
            handle.close(&listener, refused(&mine));
            handle.abort(&tcp);
            assert_eq!(mine.alive(), 0, "dropped at once");
            assert!(!read.cancel() && read.is_inherited());
            handle.stop();
            drop(handle.keep_alive());
            stream.set_exclusive(true);
            drop((stream, listener, tcp, file));
            drop(engine);
            drop(handle);
            assert_eq!(drops.alive(), 1, "what the parent queued is the parent's");
            assert!(told.is_empty(), "nobody is told");
        }));
        let (engine, _handle, stream, _tcp, _listener, _file) = ours.unwrap();
        assert_eq!(drops.alive(), 1);
        turns(&engine, 3);
        assert_eq!(drops.alive(), 0);
        assert!(told.is_empty(), "{:?}", told.take());
        peer.write_all(b"line\n").unwrap();
        tcp_peer.write_all(b"line\n").unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        turn_until(&engine, || told.len() == 3);
        let mut all = told.take();
        all.sort();
        assert_eq!(all, ["accept Ok", "read b\"line\"", "tcp b\"line\""]);
        engine.write_line(&stream, "parent", Callback::ignore());
        engine.close(&stream, Callback::ignore());
        engine.run().unwrap();
        let mut sent = String::new();
        peer.read_to_string(&mut sent).unwrap();
        assert_eq!(sent, "parent\r\n");
        drop(client);
    });
}

/// Whatever another thread has locked when the process forks stays so in the child, for ever.
#[test]
fn the_child_of_a_fork_waits_for_no_lock_of_its_parents() {
    let name = "the_child_of_a_fork_waits_for_no_lock_of_its_parents";
    alone(module_path!(), name, || {
        const FORKS: usize = 300;
        let mut engine = Some(driver::engine());
        let handle = engine.as_ref().unwrap().handle().clone();
        let cancel = handle.sleep(HOUR, Callback::ignore());
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(SeqCst) {
                        handle.post(|_| ());
                        handle.submit_work(|| (), Callback::ignore()).cancel();
                        cancel.cancel();
                        // One that registers itself, and goes.
                        drop(driver::engine());
                    }
                });
            }
            let all_ended = (0..FORKS).all(|_| {
                turns(engine.as_ref().unwrap(), 1);
                forked(|| {
                    let inherited = engine.take().unwrap();
                    handle.post(|_| ());
                    cancel.cancel();
                    is_refused(inherited.run());
                    drop(inherited);
                    let own = driver::engine();
                    own.sleep(HOUR, Callback::ignore()).cancel();
                    own.run().unwrap();
                })
            });
            over.store(true, SeqCst);
            assert!(all_ended);
        });
    });
}

/// A program takes a lock of its own before it forks, and another thread uses engines under it.
#[test]
fn a_fork_holds_nothing_that_others_wait_for() {
    alone(module_path!(), "a_fork_holds_nothing_that_others_wait_for", || {
        // Before there is an engine: what is registered first is called last.
        wait_for_lock_at_forks();
        let engine = driver::engine();
        let cancel = engine.sleep(HOUR, Callback::ignore());
        engine.run_once(Some(Duration::ZERO)).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let is_done = Arc::clone(&done);
        let other = thread::spawn(move || {
            while !is_done.load(SeqCst) {
                let _locked = LOCK.lock().unwrap();
                (0..100).for_each(|_| assert!(cancel.cancel()));
            }
        });
        for _ in 0..200 {
            assert!(forked(|| ()));
        }
        done.store(true, SeqCst);
        other.join().unwrap();
    });
}

#[test]
fn a_callback_that_forks_goes_on_in_the_child_and_those_behind_it_do_not() {
    let name = "a_callback_that_forks_goes_on_in_the_child_and_those_behind_it_do_not";
    alone(module_path!(), name, || {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let (drops, told) = (Drops::new(), Told::new());
        let (mut reader, mut writer) = pipe().unwrap();
        let (token, outcome) = (drops.token(), told.callback("write"));
        engine.post(move |local| {
            assert!(forked(|| {
                let refuses = Drops::new();
                local.write(&stream, "child", refused(&refuses));
                let clone = stream.clone();
                drop(clone);
                let nested = driver::engine();
                nested.post(|local| local.stop());
                nested.run().unwrap();
                assert_eq!(refuses.alive(), 0);
                is_refused(local.attach(writer.try_clone().unwrap()));
                writer.write_all(b"child ").unwrap();
            }));
            writer.write_all(b"parent").unwrap();
            local.write(&stream, "parent", outcome);
        });
        engine.post(move |_| drop(token));
        engine.run().unwrap();
        assert_eq!(told.take(), ["write Ok"]);
        assert_eq!(drops.alive(), 0);
        drop(engine);
        let (mut order, mut sent) = (String::new(), String::new());
        reader.read_to_string(&mut order).unwrap();
        peer.read_to_string(&mut sent).unwrap();
        assert_eq!((&*order, &*sent), ("child parent", "parent"));
    });
}

/// The child leaves the callback, too, and finds itself in the run.
#[test]
fn the_run_of_a_child_whose_callback_has_forked_ends_with_an_error() {
    let name = "the_run_of_a_child_whose_callback_has_forked_ends_with_an_error";
    alone(module_path!(), name, || {
        let (mut reader, writer) = pipe().unwrap();
        let drops = Drops::new();
        let token = drops.token();
        let outer = driver::engine();
        let inner_ran = Arc::new(AtomicBool::new(false));
        let (behind, held) = (Arc::clone(&inner_ran), token);
        outer.post(move |_| {
            let inner: Engine = driver::engine();
            inner.post(move |local| {
                if fork_and_go_on() {
                    // In the child, where the parent does not hear of it.
                    local.stop();
                }
            });
            inner.post(move |_| {
                behind.store(true, SeqCst);
                drop(held);
            });
            let ran = inner.run();
            if inner.is_inherited() {
                is_refused(ran);
                drop(inner);
            } else {
                ran.unwrap();
            }
        });
        let ran = catch_unwind(AssertUnwindSafe(|| outer.run()));
        if outer.is_inherited() {
            let child = AssertUnwindSafe(|| {
                is_refused(ran.unwrap());
                assert!(!inner_ran.load(SeqCst), "that is the parent's");
                drop(outer);
                assert_eq!(drops.alive(), 1, "and what it holds");
                let own = driver::engine();
                let (_peer, stream) = pair(&own);
                own.write(&stream, Bytes::from_static(b"own"), Callback::ignore());
                own.run().unwrap();
                (&writer).write_all(b"child").unwrap();
            });
            end(catch_unwind(child).is_ok());
        }
        ran.unwrap().unwrap();
        assert!(inner_ran.load(SeqCst));
        assert_eq!(drops.alive(), 0);
        drop(writer);
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(said, "child");
    });
}

/// Their threads are not in the child.
#[test]
fn engines_on_threads_are_not_waited_for_in_the_child_of_a_fork() {
    let name = "engines_on_threads_are_not_waited_for_in_the_child_of_a_fork";
    alone(module_path!(), name, || {
        let mut engines = Some(driver::builder().build_engines(2).unwrap());
        for joined in [false, true] {
            assert!(forked(|| {
                let inherited = engines.take().unwrap();
                is_refused(inherited.listen("127.0.0.1:0", |_, _| ()));
                inherited.stop();
                match joined {
                    true => is_refused(inherited.join()),
                    false => drop(inherited),
                }
            }));
        }
        let engines = engines.unwrap();
        let told = Told::new();
        for handle in engines.handles() {
            handle.sleep(Duration::ZERO, told.callback("slept"));
            let handle = handle.clone();
            handle.post(|local| local.stop());
        }
        engines.join().unwrap();
        assert_eq!(told.len(), 2);
    });
}

/// A handler is taken out of the engine's state while it runs, and the child leaves it there.
#[test]
fn a_handler_that_forks_is_called_again_in_the_parent_only() {
    alone(module_path!(), "a_handler_that_forks_is_called_again_in_the_parent_only", || {
        type Repeat = fn(&Engine, &Stream, &Listener, Handler, Callback<()>);
        let repeats: [Repeat; 4] = [
            |engine, stream, _, mut f, cb| _ = engine.each_line(stream, move |_, _| f(), cb),
            |engine, stream, _, mut f, cb| _ = engine.each_chunk(stream, 4, move |_, _| f(), cb),
            |engine, _, listener, mut f, cb| {
                engine.each_connection(listener, move |_, _| f(), cb);
            },
            |engine, _, _, mut f, cb| _ = engine.every(SOON, move |_, _| f(), cb),
        ];
        for repeat in repeats {
            let engine = driver::engine();
            let (mut peer, stream) = pair(&engine);
            let listener = engine.listen("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let (drops, told) = (Drops::new(), Told::new());
            let (mut reader, writer) = pipe().unwrap();
            let (token, calls) = (drops.token(), Arc::new(AtomicUsize::new(0)));
            let (counts, mut says) = (Arc::clone(&calls), writer.try_clone().unwrap());
            // Each call but the first, in the child that the first has made, would be one too many.
            let f = move || {
                let _ = &token;
                if counts.fetch_add(1, SeqCst) == 0 {
                    let is_child = fork_and_go_on();
                    says.write_all(if is_child { b"child " } else { b"parent " }).unwrap();
                } else {
                    says.write_all(b"again ").unwrap();
                }
            };
            repeat(&engine, &stream, &listener, Box::new(f), told.callback("end"));
            peer.write_all(b"one\ntwo\n").unwrap();
            let clients = [(); 2].map(|()| std::net::TcpStream::connect(address).unwrap());
            let ran = catch_unwind(AssertUnwindSafe(|| {
                loop {
                    match engine.run_once(Some(Duration::from_millis(50))) {
                        Ok(_) if calls.load(SeqCst) < 2 => {}
                        ended => break ended,
                    }
                }
            }));
            if engine.is_inherited() {
                let child = AssertUnwindSafe(|| {
                    is_refused(ran.unwrap());
                    assert_eq!(calls.load(SeqCst), 1);
                    assert!(told.is_empty());
                    drop((engine, stream, listener));
                    assert_eq!(drops.alive(), 1, "it is the parent's");
                    // It goes on by itself.
                    let own = driver::engine();
                    own.every(SOON, |local, _| local.stop(), Callback::ignore());
                    own.run().unwrap();
                });
                end(catch_unwind(child).is_ok());
            }
            ran.unwrap().unwrap();
            assert!(ended_well(), "the child");
            drop(engine);
            assert_eq!((told.take(), drops.alive()), (vec!["end EngineClosed".to_owned()], 0));
            drop((writer, peer, clients));
            let mut said = String::new();
            reader.read_to_string(&mut said).unwrap();
            let mut words: Vec<_> = said.split_whitespace().collect();
            words.sort_unstable();
            assert_eq!(words, ["again", "child", "parent"]);
        }
    });
}

/// What a handler does of which the kind of repeating operation does not matter.
type Handler = Box<dyn FnMut() + Send>;
