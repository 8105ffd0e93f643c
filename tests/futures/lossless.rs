//! Futures dropped at every stage: what they took, or would have taken, is there for the next one.

use std::{
    collections::HashSet,
    io::{Read as _, Write as _},
    net::Shutdown,
    sync::{Arc, Mutex, mpsc},
    task::Poll,
    thread,
    time::Duration,
};

use facade_engine::{
    Bytes, Callback, Cancel, Engine, Error, Handle, LineGlob, Pattern, Regex,
    Stream as EngineStream,
};
use facade_futures::{Background, Listener, Result, Runtime, Stream, op};
use facade_tests::{
    alone::alone,
    outcome::Outcome,
    peers::{arrived, numbered, unstuff},
    polls::{Bell, poll_here, poll_once},
    reads::UpTo,
    turns::{turn_until, turns},
};
use futures::future::BoxFuture;

use super::driver::{self, descriptors, full_pair, pair, tcp_pair};

/// What each of [`reads`] finds its match in; the stream ends behind it.
const TEXT: &[u8] = b"one\r\ntwo\nEND\n";
/// The first bytes of it, in which none finds anything.
const START: &[u8] = b"on";

type Read = fn(Stream) -> BoxFuture<'static, Result<()>>;

async fn raw(
    stream: Stream,
    submit: fn(&Handle, &EngineStream, Callback<Bytes>) -> Cancel,
) -> Result<()> {
    let stream = stream.engine_stream();
    op(|callback| submit(stream.handle(), stream, callback)).await.map(drop)
}

/// Whether a read may be ready at its first poll: then it was never submitted, and is not lost.
fn may_be_ready_at_once(name: &str) -> bool {
    matches!(
        name,
        "read_chunk"
            | "read_exact"
            | "read_line"
            | "read_until"
            | "read_with"
            | "fill_buf"
            | "lines"
    )
}

/// Every read that takes bytes, as a future that owns its stream.
fn reads() -> Vec<(&'static str, Read)> {
    vec![
        ("read_chunk", |mut s| Box::pin(async move { s.read_chunk(5).await.map(drop) })),
        ("read_exact", |mut s| Box::pin(async move { s.read_exact(13).await.map(drop) })),
        // The same by their callbacks, which never run at the first poll.
        ("op read_chunk", |s| Box::pin(raw(s, |h, s, cb| h.read_chunk(s, 5, cb)))),
        ("op read_exact", |s| Box::pin(raw(s, |h, s, cb| h.read_exact(s, 13, cb)))),
        ("op read_line", |s| Box::pin(raw(s, |h, s, cb| h.read_line(s, cb)))),
        ("op read_with", |s| Box::pin(raw(s, |h, s, cb| h.read_with(s, UpTo(b"D\n"), cb)))),
        ("read_until", |mut s| Box::pin(async move { s.read_until("two\n").await.map(drop) })),
        ("read_line", |mut s| Box::pin(async move { s.read_line().await.map(drop) })),
        ("read_until_lineglob", |mut s| {
            let glob = LineGlob::new("E?D").unwrap();
            Box::pin(async move { s.read_until_lineglob(glob).await.map(drop) })
        }),
        ("read_until_regex", |mut s| {
            let regex = Regex::new(r"E\w+\n").unwrap();
            Box::pin(async move { s.read_until_regex(regex).await.map(drop) })
        }),
        ("read_until_any", |mut s| {
            let patterns = [Pattern::bytes("zzz"), Pattern::line("END")];
            Box::pin(async move { s.read_until_any(patterns).await.map(drop) })
        }),
        ("read_with", |mut s| Box::pin(async move { s.read_with(UpTo(b"D\n")).await.map(drop) })),
        ("expect_line", |mut s| Box::pin(async move { s.expect_line("one").await.map(drop) })),
        ("read_all", |mut s| Box::pin(async move { s.read_all().await.map(drop) })),
        ("write_then_expect_line", |mut s| {
            Box::pin(async move { s.write_then_expect_line("say", "one").await.map(drop) })
        }),
        ("lines", |mut s| {
            Box::pin(
                async move { futures::StreamExt::next(&mut s.lines()).await.unwrap().map(drop) },
            )
        }),
        ("fill_buf", |mut s| {
            Box::pin(async move {
                futures::AsyncBufReadExt::fill_buf(&mut s).await.unwrap();
                Ok(())
            })
        }),
    ]
}

/// Whether one byte is enough for it.
fn takes_any(name: &str) -> bool {
    name.ends_with("read_chunk") || name == "fill_buf"
}

/// Everything that is left on a stream whose peer has ended it.
#[track_caller]
fn rest_of(engine: &Engine, stream: &EngineStream) -> Bytes {
    let rest = Outcome::new();
    engine.read_all(stream, rest.callback());
    turn_until(engine, || rest.is_there());
    rest.value()
}

#[test]
fn promise_08_a_read_dropped_before_its_first_poll_was_never_submitted() {
    for (name, read) in reads() {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        drop(read(stream.clone().into()));
        peer.write_all(TEXT).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest_of(&engine, &stream), TEXT, "{name}");
    }
}

#[test]
fn promise_08_a_read_dropped_while_pending_leaves_every_byte() {
    for (name, read) in reads() {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let mut future = read(stream.clone().into());
        assert!(poll_once(&mut future).is_pending(), "{name}");
        if !takes_any(name) {
            peer.write_all(START).unwrap();
        }
        turns(&engine, 3);
        assert!(poll_once(&mut future).is_pending(), "{name}");
        drop(future);
        if takes_any(name) {
            peer.write_all(START).unwrap();
        }
        peer.write_all(&TEXT[START.len()..]).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest_of(&engine, &stream), TEXT, "{name}");
    }
}

/// The bytes are with the engine; the read is submitted, which matches at once, and dropped in one
/// callback, before its own can run.
#[test]
fn promise_08_a_read_withdrawn_in_the_turn_it_matched_leaves_every_byte() {
    for (name, read) in reads().into_iter().filter(|(name, _)| !may_be_ready_at_once(name)) {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        peer.write_all(TEXT).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let seen = Outcome::new();
        engine.peek(&stream, 1, seen.callback());
        turn_until(&engine, || seen.is_there());
        let bell = Bell::new();
        let (ours, rung) = (stream.clone(), Arc::clone(&bell));
        engine.post(move |_| {
            let mut future = read(ours.into());
            assert!(rung.poll(&mut future).is_pending());
            drop(future);
        });
        turns(&engine, 1);
        assert_eq!(rest_of(&engine, &stream), TEXT, "{name}");
        assert_eq!(bell.rings(), 0, "{name}: nobody waits any more");
    }
}

/// Two streams have data in one turn; the callback of the first drops the future on the second,
/// which has matched.
#[test]
fn promise_08_a_read_withdrawn_by_another_streams_callback_leaves_every_byte() {
    for (name, read) in reads() {
        let engine = driver::engine();
        let (mut first_peer, first) = pair(&engine);
        let (mut peer, stream) = pair(&engine);
        let bell = Bell::new();
        let mut future = read(stream.clone().into());
        assert!(bell.poll(&mut future).is_pending());
        let shared = Arc::new(Mutex::new(Some(future)));
        let (dropped, rung, told) = (Arc::clone(&shared), Arc::clone(&bell), Outcome::new());
        let done = told.clone();
        engine.read_line(
            &first,
            Callback::from_fn(move |engine, line| {
                drop(dropped.lock().unwrap().take());
                engine.sleep(Duration::ZERO, done.callback());
                assert_eq!(line.unwrap(), "go");
                assert_eq!(rung.rings(), 0, "the first to be ready is the first to be told");
            }),
        );
        turns(&engine, 3);
        first_peer.write_all(b"go\n").unwrap();
        peer.write_all(TEXT).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        turn_until(&engine, || told.is_there());
        assert_eq!(rest_of(&engine, &stream), TEXT, "{name}");
        assert!(shared.lock().unwrap().is_none());
    }
}

#[test]
fn promise_08_a_read_dropped_between_its_callback_and_its_next_poll_leaves_every_byte() {
    for (name, read) in reads() {
        let engine = driver::engine();
        let (mut peer, stream) = pair(&engine);
        let bell = Bell::new();
        let mut future = read(stream.clone().into());
        assert!(bell.poll(&mut future).is_pending(), "{name}");
        peer.write_all(TEXT).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        turn_until(&engine, || bell.rings() == 1);
        drop(future);
        assert_eq!(rest_of(&engine, &stream), TEXT, "{name}");
    }
}

#[test]
fn promise_08_a_read_dropped_on_another_thread_leaves_every_byte() {
    for (name, read) in reads() {
        let background = Background::new(driver::builder()).unwrap();
        let (mut peer, stream) = pair(background.handle());
        peer.write_all(TEXT).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        // Held up while the read, its drop and the next read are sent to it.
        let (go, gone) = mpsc::channel::<()>();
        background.handle().post(move |_| assert!(gone.recv().is_err()));
        let mut future = read(stream.clone().into());
        assert!(poll_once(&mut future).is_pending());
        drop(future);
        let mut stream = Stream::from(stream);
        let mut rest = stream.read_all();
        assert!(poll_once(&mut rest).is_pending());
        drop(go);
        assert_eq!(futures::executor::block_on(rest).unwrap(), TEXT, "{name}");
    }
}

/// The engine's thread is in a callback, with the read's own still to come in the same turn.
#[test]
fn promise_08_a_matched_read_dropped_on_another_thread_is_the_next_reads() {
    let engine = driver::engine();
    let (mut first_peer, first) = pair(&engine);
    let (mut peer, stream) = pair(&engine);
    let (owned, bell) = (stream.clone(), Bell::new());
    let mut one = op(move |callback| owned.handle().read_line(&owned, callback));
    assert!(bell.poll(&mut one).is_pending());
    let (owned, told) = (stream.clone(), Outcome::new());
    let (rung, heard) = (Arc::clone(&bell), told.clone());
    let callback = Callback::from_fn(move |_, _| {
        assert_eq!(rung.rings(), 0);
        let elsewhere = thread::spawn(move || {
            drop(one);
            owned.handle().read_line(&owned, heard.callback());
        });
        elsewhere.join().unwrap();
    });
    engine.read_line(&first, callback);
    turns(&engine, 3);
    first_peer.write_all(b"go\n").unwrap();
    peer.write_all(b"a\nb\n").unwrap();
    turn_until(&engine, || told.is_there());
    assert_eq!(told.value(), "a");
}

#[test]
fn promise_08_withdrawn_in_one_turn_and_read_again_in_it() {
    let runtime = Runtime::from(driver::engine());
    let (mut peer, stream) = pair(runtime.engine());
    let mut stream = Stream::from(stream);
    peer.write_all(b"a\nb\n").unwrap();
    runtime.block_on(async {
        stream.peek(4).await.unwrap();
        for _ in 0..100 {
            let raw = stream.engine_stream();
            let mut first = op(|callback| raw.handle().read_line(raw, callback));
            assert!(poll_here(&mut first).await.is_pending());
            drop(first);
            let mut second = op(|callback| raw.handle().read_until(raw, "\n", callback));
            assert!(poll_here(&mut second).await.is_pending());
            drop(second);
        }
        assert_eq!(stream.read_line().await.unwrap(), "a");
        assert_eq!(stream.read_line().await.unwrap(), "b");
    });
}

#[test]
fn promise_08_what_goes_back_comes_before_reads_that_were_queued_behind() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let (owned, bell) = (stream.clone(), Bell::new());
    let mut future = op(move |callback| owned.handle().read_line(&owned, callback));
    assert!(bell.poll(&mut future).is_pending());
    let queued = Outcome::new();
    engine.read_line(&stream, queued.callback());
    peer.write_all(b"first\r\n").unwrap();
    turn_until(&engine, || bell.rings() == 1);
    assert!(!queued.is_there());
    drop(future);
    turn_until(&engine, || queued.is_there());
    assert_eq!(queued.value(), "first");
}

#[test]
fn promise_08_a_lost_select_loses_no_line() {
    let runtime = Runtime::from(driver::engine());
    let (mut peer, stream) = pair(runtime.engine());
    let mut stream = Stream::from(stream);
    runtime.block_on(async {
        use futures::FutureExt as _;
        peer.write_all(b"a\nb\nc\n").unwrap();
        stream.peek(6).await.unwrap();
        // The read is polled first, so it is submitted and matches; the other one wins.
        let raw = stream.engine_stream();
        let read = op(|callback| raw.handle().read_until(raw, "\n", callback));
        futures::select_biased! {
            _ = read.fuse() => unreachable!("never at the first poll"),
            () = futures::future::ready(()).fuse() => {}
        }
        // Not polled at all.
        futures::select_biased! {
            () = futures::future::ready(()).fuse() => {}
            _ = stream.read_line().fuse() => unreachable!("polled second"),
        }
        futures::select! {
            line = stream.read_line().fuse() => assert_eq!(line.unwrap(), "a"),
            () = futures::future::pending().fuse() => unreachable!("never"),
        }
        tokio::select! {
            biased;
            _ = stream.expect_line("b") => unreachable!("never at the first poll"),
            () = std::future::ready(()) => {}
        }
        tokio::select! {
            line = stream.read_line() => assert_eq!(line.unwrap(), "b"),
            () = std::future::pending() => unreachable!("never"),
        }
        assert_eq!(stream.read_line().await.unwrap(), "c");
    });
}

#[test]
fn a_forgotten_read_takes_its_line_and_the_stream_goes_on() {
    let runtime = Runtime::from(driver::engine());
    let (mut peer, stream) = pair(runtime.engine());
    let mut stream = Stream::from(stream);
    runtime.block_on(async {
        let mut forgotten = stream.read_line();
        assert!(poll_here(&mut forgotten).await.is_pending());
        std::mem::forget(forgotten);
        // Never polled, never submitted.
        std::mem::forget(stream.read_line());
        peer.write_all(b"its own\nthe next\n").unwrap();
        assert_eq!(stream.read_line().await.unwrap(), "the next");
        stream.write_line("answer").await.unwrap();
    });
    assert_eq!(arrived(&peer), b"answer\r\n");
}

#[test]
fn promise_08_a_failed_read_leaves_every_byte() {
    let runtime = Runtime::from(driver::engine());
    let (mut peer, stream) = pair(runtime.engine());
    let mut stream = Stream::from(stream);
    peer.write_all(b"one\ntw").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    runtime.block_on(async {
        let error = stream.expect_line("other").await.unwrap_err();
        assert!(matches!(error, Error::Unexpected { .. }));
        let nothing = Duration::ZERO;
        assert_eq!(stream.read_line().timeout(nothing).await.unwrap(), "one");
        assert!(matches!(stream.read_line().await, Err(Error::EndOfStream)));
        assert_eq!(stream.read_all().await.unwrap(), "tw");
    });
}

// Connections

/// At which stage an accept is dropped.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Unpolled,
    Pending,
    Withdrawn,
    Heard,
}

const STAGES: [Stage; 4] = [Stage::Unpolled, Stage::Pending, Stage::Withdrawn, Stage::Heard];

/// Accepts and drops at this stage, while clients connect. Returns the clients in order.
fn drop_accept(engine: &Engine, listener: &mut Listener, stage: Stage) -> Vec<driver::TcpPeer> {
    let address = listener.local_addr().unwrap();
    let client = || driver::connect(address).unwrap();
    let bell = Bell::new();
    let owned = listener.engine_listener().clone();
    let mut accept = op(move |callback| owned.handle().accept(&owned, callback));
    match stage {
        Stage::Unpolled => vec![client(), client()],
        Stage::Pending => {
            assert!(bell.poll(&mut accept).is_pending());
            turns(engine, 3);
            assert!(bell.poll(&mut accept).is_pending());
            drop(accept);
            vec![client(), client()]
        }
        Stage::Withdrawn => {
            let clients = vec![client(), client()];
            // Brings both connections in: the first is given back by being dropped unpolled.
            assert!(bell.poll(&mut accept).is_pending());
            turn_until(engine, || bell.rings() == 1);
            drop(accept);
            let owned = listener.engine_listener().clone();
            let told = Outcome::new();
            let done = told.clone();
            engine.post(move |engine| {
                let mut accept = op(|callback| engine.accept(&owned, callback));
                assert!(poll_once(&mut accept).is_pending());
                drop(accept);
                engine.sleep(Duration::ZERO, done.callback());
            });
            turn_until(engine, || told.is_there());
            clients
        }
        Stage::Heard => {
            let clients = vec![client(), client()];
            assert!(bell.poll(&mut accept).is_pending());
            turn_until(engine, || bell.rings() == 1);
            drop(accept);
            clients
        }
    }
}

#[test]
fn promise_09_an_accept_dropped_at_any_stage_loses_no_connection() {
    for stage in STAGES {
        let runtime = Runtime::from(driver::engine());
        let mut listener = runtime.io().listen("127.0.0.1:0").unwrap();
        let clients = drop_accept(runtime.engine(), &mut listener, stage);
        runtime.block_on(async {
            for client in &clients {
                let served = listener.accept().await.unwrap();
                let expected = client.local_addr().unwrap();
                assert_eq!(served.peer_addr().unwrap(), expected, "{stage:?}");
            }
            let mut none = listener.accept();
            assert!(poll_here(&mut none).await.is_pending());
            drop(none);
            let one_attempt = listener.accept().timeout(Duration::ZERO).await;
            assert!(matches!(one_attempt, Err(Error::TimedOut)), "{stage:?}");
        });
    }
}

#[test]
fn promise_09_incoming_dropped_between_two_loses_no_connection() {
    use futures::StreamExt as _;
    let runtime = Runtime::from(driver::engine());
    let mut listener = runtime.io().listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..10).map(|_| driver::connect(address).unwrap()).collect();
    runtime.block_on(async {
        let mut served = HashSet::new();
        for _ in 0..5 {
            for stream in listener.incoming().take(2).collect::<Vec<_>>().await {
                served.insert(stream.unwrap().peer_addr().unwrap());
            }
            let mut incoming = listener.incoming();
            assert!(poll_here(&mut incoming.next()).await.is_pending());
        }
        let expected = clients.iter().map(|client| client.local_addr().unwrap()).collect();
        assert_eq!(served, expected);
    });
}

#[test]
fn promise_09_connections_that_nobody_took_are_closed_with_the_listener() {
    alone(
        module_path!(),
        "promise_09_connections_that_nobody_took_are_closed_with_the_listener",
        || {
            let engine = driver::engine();
            drop(engine.listen("127.0.0.1:0").unwrap());
            engine.run().unwrap();
            let before = descriptors();
            for stage in STAGES {
                let mut listener = engine.listen("127.0.0.1:0").unwrap().into();
                let clients = drop_accept(&engine, &mut listener, stage);
                drop(listener);
                engine.run().unwrap();
                for mut client in clients {
                    let end = client.read(&mut [0]);
                    assert!(!matches!(end, Ok(1..)), "{stage:?}: {end:?}");
                }
                assert_eq!(descriptors(), before, "{stage:?}");
            }
        },
    );
}

#[test]
fn promise_09_a_connect_dropped_at_any_stage_closes_its_connection() {
    alone(
        module_path!(),
        "promise_09_a_connect_dropped_at_any_stage_closes_its_connection",
        || {
            let engine = driver::engine();
            let listener = driver::bind();
            let address = listener.local_addr().unwrap();
            let io = facade_futures::Io::new(engine.handle().clone());
            drop(io.connect(address));
            let before = descriptors();
            for stage in 0..4 {
                let bell = Bell::new();
                let mut connect = io.connect(address);
                assert!(bell.poll(&mut connect).is_pending());
                if stage == 1 {
                    turns(&engine, 1);
                } else if stage == 2 {
                    turn_until(&engine, || bell.rings() == 1);
                } else if stage == 3 {
                    turn_until(&engine, || bell.rings() == 1);
                    let Poll::Ready(Ok(stream)) = bell.poll(&mut connect) else { panic!("woken") };
                    drop(stream);
                }
                drop(connect);
                engine.run().unwrap();
                assert_eq!(descriptors(), before, "stage {stage}");
            }
        },
    );
}

/// A chain owns its stream past the connect: dropped anywhere, it leaves no descriptor behind.
#[test]
fn promise_09_chains_dropped_at_any_stage_close_their_connections() {
    alone(module_path!(), "promise_09_chains_dropped_at_any_stage_close_their_connections", || {
        let runtime = Runtime::from(driver::engine());
        let (engine, io) = (runtime.engine(), runtime.io());
        let server = driver::bind();
        let address = server.local_addr().unwrap();
        let mut listener = io.listen("127.0.0.1:0").unwrap();
        let listening = listener.local_addr().unwrap();
        turns(engine, 2);
        let before = descriptors();
        for stage in 0..6 {
            let mut expect: BoxFuture<'_, _> = Box::pin(io.connect_then_expect_line(address, "hi"));
            let bell = Bell::new();
            if stage > 0 {
                assert!(bell.poll(&mut expect).is_pending());
            }
            turns(engine, stage);
            let mut peer = None;
            if stage > 3 {
                peer = Some(server.accept().unwrap().0);
                peer.as_mut().unwrap().write_all(b"hi\n").unwrap();
                turn_until(engine, || bell.rings() == 1);
            }
            if stage > 4 {
                assert!(bell.poll(&mut expect).is_ready());
            }
            drop(expect);
            drop(peer);
            engine.run().unwrap();
            if (1..4).contains(&stage) {
                // It came about, and whoever accepts it sees its end.
                let (mut peer, _) = server.accept().unwrap();
                assert_ne!(peer.read(&mut [0]).ok(), Some(1), "stage {stage}");
            }
            assert_eq!(descriptors(), before, "connect, stage {stage}");
        }
        for stage in 0..4 {
            let bell = Bell::new();
            let mut greet: BoxFuture<'_, _> = Box::pin(listener.accept_then_expect_line("hello"));
            assert!(bell.poll(&mut greet).is_pending());
            let mut client = driver::connect(listening).unwrap();
            turns(engine, stage);
            if stage > 1 {
                client.write_all(b"hello\n").unwrap();
                turn_until(engine, || bell.rings() == 1);
            }
            if stage > 2 {
                assert!(bell.poll(&mut greet).is_ready());
            }
            drop(greet);
            turns(engine, 3);
            if stage == 0 {
                // The accept itself was dropped, so the connection is the next one's.
                drop(runtime.block_on(listener.accept()).unwrap());
            }
            turns(engine, 3);
            assert_ne!(client.read(&mut [0]).ok(), Some(1), "stage {stage}");
            drop(client);
            turns(engine, 3);
            // A completion port wants the socket of the next connection in advance.
            let ahead = usize::from(driver::name() == "iocp");
            assert_eq!(descriptors(), before + ahead, "accept, stage {stage}");
        }
    });
}

// Writes

#[test]
fn promise_10_a_write_of_which_nothing_was_taken_leaves_the_queue_and_its_neighbours_go_on() {
    let engine = driver::engine();
    let (peer, stream, stuffed) = full_pair(&engine);
    let first = Outcome::new();
    let (ahead, behind) = (vec![b'a'; 100_000], vec![b'c'; 100_000]);
    engine.write(&stream, ahead.clone(), first.callback());
    let owned = stream.clone();
    let mut dropped =
        op(move |callback| owned.handle().write(&owned, vec![b'b'; 100_000], callback));
    assert!(poll_once(&mut dropped).is_pending());
    let last = Outcome::new();
    engine.write(&stream, behind.clone(), last.callback());
    turns(&engine, 3);
    drop(dropped);
    turns(&engine, 3);
    let mut all = unstuff(&peer, stuffed);
    turn_until(&engine, || {
        all.extend(arrived(&peer));
        last.is_there() && all.len() >= 200_000
    });
    assert_eq!(first.value() + last.value(), 200_000);
    assert_eq!(all, [ahead, behind].concat());
}

#[test]
fn promise_10_of_a_cut_write_the_rest_is_there_and_nothing_goes_out_before_it() {
    let runtime = Runtime::from(driver::engine());
    let (engine, io) = (runtime.engine(), runtime.io());
    let (peer, stream) = pair(engine);
    let bytes = Bytes::from(numbered(4 << 20));
    let owned = stream.clone();
    let whole = bytes.clone();
    let mut write = op(move |callback| owned.handle().write(&owned, whole, callback));
    assert!(poll_once(&mut write).is_pending());
    let mut stream = Stream::from(stream);
    // Some of it is on its way, the peer reads none of it.
    turns(engine, 3);
    drop(write);
    turns(engine, 3);
    runtime.block_on(async {
        let error = stream.write("not before the rest").await.unwrap_err();
        assert!(matches!(error, Error::Cut { written: 1.., .. }), "{error:?}");
        let mut all = arrived(&peer);
        // The rest, too, goes back when nobody takes it.
        let bell = Bell::new();
        let mut rest = stream.take_unsent();
        assert!(poll_here(&mut rest).await.is_pending());
        drop(rest);
        let mut rest = stream.take_unsent();
        assert!(bell.poll(&mut rest).is_pending());
        while bell.rings() == 0 {
            io.sleep(Duration::ZERO).await.unwrap();
        }
        drop(rest);
        assert!(stream.write("still not").await.is_err());
        let rest = stream.take_unsent().await.unwrap();
        all.extend(arrived(&peer));
        all.extend(&rest);
        assert_eq!(all.len(), bytes.len());
        assert_eq!(all, bytes);
        stream.write("frame").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(arrived(&peer), b"frame");
    });
}

#[test]
fn promise_10_a_write_dropped_after_it_succeeded_arrives_and_before_it_was_polled_does_not() {
    let runtime = Runtime::from(driver::engine());
    let (peer, stream) = tcp_pair(runtime.engine());
    let (raw, mut stream) = (stream.clone(), Stream::from(stream));
    let raw = &raw;
    let write = |text: &'static str| op(move |callback| raw.handle().write(raw, text, callback));
    runtime.block_on(async {
        drop(stream.write("never"));
        drop(write("never"));
        // Submitted, and small enough to succeed before its callback runs.
        let mut first = write("first ");
        assert!(poll_here(&mut first).await.is_pending());
        drop(first);
        let bell = Bell::new();
        let mut second = write("second ");
        assert!(bell.poll(&mut second).is_pending());
        runtime.io().sleep(Duration::ZERO).await.unwrap();
        assert_eq!(bell.rings(), 1);
        drop(second);
        stream.write("third").await.unwrap();
        stream.flush().await.unwrap();
        stream.shutdown_write().await.unwrap();
    });
    let mut all = String::new();
    (&peer).read_to_string(&mut all).unwrap();
    assert_eq!(all, "first second third");
}

#[test]
fn promise_06_a_future_that_moves_to_the_engines_thread_and_is_dropped_there_leaves_nothing() {
    let engine = driver::engine();
    for (name, read) in reads() {
        let (mut peer, stream) = pair(&engine);
        let again = stream.clone();
        engine.post(move |_| {
            // The engine takes what is submitted there in its next turn, and not before.
            let future = thread::spawn(move || {
                let mut future = read(again.into());
                assert!(poll_once(&mut future).is_pending());
                future
            });
            drop(future.join().unwrap());
        });
        engine.sleep(Duration::ZERO, Callback::ignore());
        engine.run().unwrap();
        peer.write_all(TEXT).unwrap();
        let line = Outcome::new();
        engine.read_line(&stream, line.callback());
        engine.run().unwrap();
        assert_eq!(line.value(), "one", "{name}");
    }
}
