//! Every operation under its own name, on the runtime.

use std::{
    io::{Read as _, Write as _},
    pin::pin,
    thread,
    time::Duration,
};

use facade_engine::{
    Bytes, Callback, Cancel, Error, Hints, IoOperation, Limits, LineEnd, LineGlob, Local, Pattern,
    Patterns, Regex, Service,
};
use facade_futures::{Result, Runtime, Stream, op};
use facade_tests::{
    peers::arrived,
    polls::{in_time, poll_here, poll_once},
    reads::UpTo,
    skipped::misses_resets,
};
use futures::{
    StreamExt as _,
    future::{Either, select, try_join_all},
    join,
};
use tempfile::tempfile;

use super::driver::{self, full_pair, pair, tcp_pair};

/// Runs a test's future on a new runtime.
fn run<T>(test: impl AsyncFnOnce(&Runtime) -> T) -> T {
    let runtime = Runtime::from(driver::engine());
    runtime.block_on(in_time(runtime.io(), test(&runtime)))
}

/// A stream of this runtime whose peer has written `bytes` and ended.
fn holding(runtime: &Runtime, bytes: &[u8]) -> Stream {
    let (mut peer, stream) = pair(runtime.engine());
    peer.write_all(bytes).unwrap();
    stream.into()
}

#[test]
fn peer_gone_waits_beside_what_is_done_for_the_peer() {
    run(async |runtime| {
        let (mut peer, stream) = tcp_pair(runtime.engine());
        let mut stream = Stream::from(stream);
        let mut gone = stream.peer_gone();
        peer.write_all(b"line\nrest").unwrap();
        assert_eq!(stream.read_line().await.unwrap(), "line");
        assert!(poll_once(&mut gone).is_pending());
        drop(stream.peer_gone());
        drop(peer);
        gone.await.unwrap();
        stream.peer_gone().timeout(Duration::ZERO).await.unwrap();
        assert_eq!(stream.read_all().await.unwrap(), "rest");
    });
}

#[test]
fn every_read_of_a_stream_and_of_its_half() {
    run(async |runtime| {
        const TEXT: &[u8] =
            b"chunkexact.until|line\r\nskip\nglob\nx=42;one ENDwithME!expected\nrest";
        let mut stream = holding(runtime, TEXT);
        assert_eq!(stream.read_chunk(5).await.unwrap(), "chunk");
        assert_eq!(stream.read_exact(6).await.unwrap(), "exact.");
        assert_eq!(stream.read_until("|").await.unwrap(), "until|");
        assert_eq!(stream.read_line().await.unwrap(), "line");
        let found = stream.read_until_lineglob(LineGlob::new("gl?b").unwrap()).await.unwrap();
        assert_eq!((&found.skipped[..], &found.line[..]), (&b"skip\n"[..], &b"glob"[..]));
        let found = stream.read_until_regex(Regex::new(r"x=(\d+);").unwrap()).await.unwrap();
        assert_eq!(found.group(1).unwrap(), "42");
        let found = stream.read_until_any([Pattern::bytes("zz"), Pattern::bytes("END")]).await;
        assert_eq!(found.unwrap().index, 1);
        assert_eq!(stream.read_with(UpTo(b"ME")).await.unwrap(), "withME");
        assert_eq!(stream.peek(2).await.unwrap(), "!e");
        stream.consume(1);
        assert_eq!(stream.buffered().await.unwrap(), 13);
        assert_eq!(stream.expect_line("expected").await.unwrap(), "expected");
        assert_eq!(stream.read_all().await.unwrap(), "rest");

        let mut stream = holding(runtime, TEXT);
        let (read, _) = stream.split();
        assert_eq!(read.read_chunk(5).await.unwrap(), "chunk");
        assert_eq!(read.read_exact(6).await.unwrap(), "exact.");
        assert_eq!(read.read_until("|").await.unwrap(), "until|");
        assert_eq!(read.read_line().await.unwrap(), "line");
        let found = read.read_until_lineglob(LineGlob::new("gl?b").unwrap()).await.unwrap();
        assert_eq!(found.line, "glob");
        let found = read.read_until_regex(Regex::new(r"x=(\d+);").unwrap()).await.unwrap();
        assert_eq!(found.group(1).unwrap(), "42");
        let patterns = Patterns::new([Pattern::bytes("zz"), Pattern::bytes("END")]).unwrap();
        let found = read.read_until_any(&patterns).await;
        assert_eq!(found.unwrap().index, 1);
        assert_eq!(read.read_with(UpTo(b"ME")).await.unwrap(), "withME");
        assert_eq!(read.peek(2).await.unwrap(), "!e");
        read.consume(1);
        assert_eq!(read.buffered().await.unwrap(), 13);
        assert_eq!(read.expect_line("expected").await.unwrap(), "expected");
        assert_eq!(read.lines().next().await.unwrap().unwrap(), "rest");
        assert!(matches!(read.read_all().await.as_deref(), Ok(b"")));
        assert!(matches!(read.peek(1).await, Err(Error::EndOfStream)));
    });
}

#[test]
fn every_write_of_a_stream_and_of_its_half() {
    run(async |runtime| {
        let (mut peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        assert_eq!(stream.write("one ").await.unwrap(), 4);
        assert_eq!(stream.write_vectored(["two ", "three "]).await.unwrap(), 10);
        assert_eq!(stream.write_line("four").await.unwrap(), 6);
        stream.set_line_end(LineEnd::Lf);
        assert_eq!(stream.write_line("five").await.unwrap(), 5);
        stream.flush().await.unwrap();
        assert_eq!(arrived(&peer), b"one two three four\r\nfive\n");
        assert_eq!(stream.take_unsent().await.unwrap(), "");
        peer.write_all(b"greeting\n").unwrap();
        let line = stream.write_then_expect_line("hello?", "greeting").await.unwrap();
        assert_eq!((&line[..], &arrived(&peer)[..]), (&b"greeting"[..], &b"hello?"[..]));

        let (_, half) = stream.split();
        assert_eq!(half.write("one ").await.unwrap(), 4);
        assert_eq!(half.write_vectored(["two ", "three "]).await.unwrap(), 10);
        assert_eq!(half.write_line("four").await.unwrap(), 5);
        half.flush().await.unwrap();
        assert_eq!(half.take_unsent().await.unwrap(), "");
        half.shutdown_write().await.unwrap();
        let mut all = String::new();
        peer.read_to_string(&mut all).unwrap();
        assert_eq!(all, "one two three four\n");
        assert!(matches!(half.write("more").await, Err(Error::Closed)));
        stream.shutdown_write().await.unwrap();
    });
}

#[test]
fn streams_end_by_close() {
    run(async |runtime| {
        let (mut peer, stream) = tcp_pair(runtime.engine());
        let mut stream = Stream::from(stream);
        assert_eq!(stream.peer_addr().unwrap(), peer.local_addr().unwrap());
        assert_eq!(stream.local_addr().unwrap(), peer.peer_addr().unwrap());
        stream.write("farewell").await.unwrap();
        stream.close().await.unwrap();
        assert!(matches!(stream.close().await, Err(Error::Closed)));
        assert!(matches!(stream.read_line().await, Err(Error::Closed)));
        let mut all = String::new();
        peer.read_to_string(&mut all).unwrap();
        assert_eq!(all, "farewell");
    });
}

#[test]
fn an_abort_is_a_reset() {
    if misses_resets("an_abort_is_a_reset", &driver::name()) {
        return;
    }
    run(async |runtime| {
        let (mut peer, stream) = tcp_pair(runtime.engine());
        Stream::from(stream).abort();
        runtime.io().sleep(Duration::ZERO).await.unwrap();
        assert!(peer.read(&mut [0]).is_err(), "reset");
    });
}

#[test]
fn every_operation_of_io() {
    run(async |runtime| {
        let io = runtime.io();
        assert_eq!(io.submit_work(|| 6 * 7).await.unwrap(), 42);
        io.sleep(Duration::from_millis(1)).await.unwrap();
        let found = io.getaddrinfo("127.0.0.1", 80, Hints::default()).await.unwrap();
        assert_eq!(found[0].address, "127.0.0.1:80".parse().unwrap());

        let mut listener = io.listen("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = join!(io.connect(address), listener.accept());
        let (client, server) = (client.unwrap(), server.unwrap());
        assert_eq!(client.local_addr().unwrap(), server.peer_addr().unwrap());

        let service = Service::from(address.port());
        let (client, server) =
            join!(io.getaddrinfo_then_connect("127.0.0.1", service), listener.accept());
        assert_eq!(client.unwrap().local_addr().unwrap(), server.unwrap().peer_addr().unwrap());

        let (client, server) = join!(
            io.connect_then_expect_line(address, "welcome"),
            listener.accept_then_write("welcome\n"),
        );
        let ((mut client, line), (mut server, count)) = (client.unwrap(), server.unwrap());
        assert_eq!((&line[..], count), (&b"welcome"[..], 8));
        client.write_line("and back").await.unwrap();
        assert_eq!(server.read_line().await.unwrap(), "and back");

        let (client, server) = join!(
            io.connect_then_write_line(address, "knock"),
            listener.accept_then_expect_line("knock"),
        );
        let ((client, count), (mut server, line)) = (client.unwrap(), server.unwrap());
        assert_eq!((&line[..], count), (&b"knock"[..], 7));
        drop(client);
        assert!(matches!(server.read_line().await, Err(Error::EndOfStream)));

        let regex = Regex::new(r"a\r\n(b)").unwrap();
        let (client, server) = join!(
            io.connect_then_write_line(address, "a\r\nb"),
            listener.accept_then_expect_multiline_regex(regex),
        );
        let (mut server, found) = server.unwrap();
        assert_eq!(found.group(1).unwrap(), "b");
        assert_eq!(server.read_exact(2).await.unwrap(), "\r\n");
        drop(client);

        listener.close().await.unwrap();
        assert!(matches!(listener.accept().await, Err(Error::Closed)));
        let refused = io.connect(address).await;
        assert!(
            matches!(refused, Err(Error::Io { operation: IoOperation::Connect, .. })),
            "{refused:?}"
        );
    });
}

#[test]
fn an_operation_that_is_completed_by_hand_is_a_future_by_op() {
    run(async |runtime| {
        let engine = runtime.io().handle();
        assert_eq!(op(|callback| engine.complete(callback, Ok(7))).await.unwrap(), 7);
        let failed = op::<(), _>(|callback| engine.complete(callback, Err(Error::other("mine"))));
        assert_eq!(failed.await.unwrap_err().to_string(), "mine");
        let elsewhere = op(|callback| {
            let handle = engine.clone();
            thread::spawn(move || handle.complete(callback, Ok("there")));
            Cancel::none(engine)
        });
        assert_eq!(elsewhere.await.unwrap(), "there");
    });
}

#[test]
fn what_a_users_own_operation_refuses_is_there_for_the_next() {
    run(async |runtime| {
        let mut stream = holding(runtime, b"seven\n");
        let number = op(|callback: Callback<u64>| {
            let parse = |_: &Local, line: Bytes| {
                str::from_utf8(&line).unwrap().parse().map_err(Error::other)
            };
            runtime.io().handle().read_line(stream.engine_stream(), callback.and_then(parse))
        });
        assert!(matches!(number.await, Err(Error::Other(_))));
        assert_eq!(stream.read_line().await.unwrap(), "seven");
    });
}

#[test]
fn a_users_own_operation_is_a_future_by_op() {
    run(async |runtime| {
        let engine = runtime.io().handle().clone();
        let mut stream = holding(runtime, b"first\nsecond\n");
        let owned = stream.engine_stream().clone();
        let second = op(move |callback| {
            engine.chain().on(&owned).read_line(Callback::ignore()).read_line(callback).submit()
        });
        assert_eq!(second.await.unwrap(), "second");
        assert!(matches!(stream.read_line().await, Err(Error::EndOfStream)));
    });
}

#[test]
fn limits_hold_for_what_comes_after_them() {
    run(async |runtime| {
        let mut stream = holding(runtime, b"too long\n");
        stream.set_limits(Limits { line: 4, ..Limits::default() });
        assert!(matches!(stream.read_line().await, Err(Error::TooLong { limit: 4 })));
        stream.set_limits(Limits::default());
        assert_eq!(stream.read_line().await.unwrap(), "too long");
    });
}

#[test]
fn promise_07_a_future_has_its_own_timeout() {
    run(async |runtime| {
        let (mut peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        peer.write_all(b"unfinished").unwrap();
        for timeout in [Duration::ZERO, Duration::from_millis(5)] {
            let outcome: Result<_> = stream.read_line().timeout(timeout).await;
            assert!(matches!(outcome, Err(Error::TimedOut)), "{outcome:?}");
        }
        peer.write_all(b" line\nnext\n").unwrap();
        // One attempt finds what has arrived.
        assert_eq!(stream.read_line().timeout(Duration::ZERO).await.unwrap(), "unfinished line");
        assert_eq!(stream.read_line().timeout(Duration::MAX).await.unwrap(), "next");
        // Of a chain it bounds all stages, not just the last.
        let (_silent, stream, _) = full_pair(runtime.engine());
        let mut stream = Stream::from(stream);
        let stuck = stream.write_then_expect_line(vec![0; 1 << 20], "never");
        let outcome = stuck.timeout(Duration::from_millis(5)).await;
        let Err(Error::Stage { stage: 1, cause }) = outcome else { panic!("{outcome:?}") };
        assert!(matches!(*cause, Error::TimedOut), "{cause:?}");
        let early = runtime.io().sleep(Duration::MAX).timeout(Duration::from_millis(1)).await;
        assert!(matches!(early, Err(Error::TimedOut)));
    });
}

/// The steps of one future share its time. Here the first takes most of it, and the second would
/// have as much again if its time began with it.
#[test]
fn promise_07_a_futures_timeout_covers_all_its_steps() {
    run(async |runtime| {
        let io = runtime.io();
        let mut listener = io.listen("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let limit = Duration::from_millis(60);
        // Nobody connects.
        let regex = || Regex::new("never").unwrap();
        let written = listener.accept_then_write("hello").timeout(limit).await;
        assert_eq!(expired(written.unwrap_err()), 1);
        let read = listener.accept_then_expect_line("never").timeout(limit).await;
        assert_eq!(expired(read.unwrap_err()), 1);
        let found = listener.accept_then_expect_multiline_regex(regex()).timeout(limit).await;
        // It has one callback for both steps.
        assert_eq!(expired(found.unwrap_err()), 2);
        // Whoever connects comes late, and says nothing.
        let mut clients = Vec::new();
        for number in 0..2 {
            let connect = async {
                io.sleep(limit * 2 / 3).await.unwrap();
                let client = io.connect(address).await.unwrap();
                // Longer than the steps have together, shorter than if each had as much.
                io.sleep(limit * 2 / 3).await.unwrap();
                client
            };
            let accept = async {
                match number {
                    0 => listener.accept_then_expect_line("never").timeout(limit).await.map(drop),
                    _ => {
                        let found = listener.accept_then_expect_multiline_regex(regex());
                        found.timeout(limit).await.map(drop)
                    }
                }
            };
            match select(pin!(accept), pin!(connect)).await {
                Either::Left((outcome, connect)) => {
                    // On a busy machine it may come too late for the first step.
                    expired(outcome.unwrap_err());
                    clients.push(connect.await);
                }
                Either::Right(_) => panic!("its time began anew"),
            }
        }
        // And where we connect.
        let never = io.connect_then_expect_line(address, "never").timeout(limit);
        expired(never.await.unwrap_err());
    });
}

/// In which step of two time was up.
#[track_caller]
fn expired(error: Error) -> usize {
    match error {
        Error::TimedOut => 2,
        Error::Stage { stage, cause } if matches!(*cause, Error::TimedOut) => stage,
        error => panic!("{error:?}"),
    }
}

#[test]
fn every_operation_of_a_file_several_at_once_and_dropped() {
    run(async |runtime| {
        let file = runtime.io().attach_file(tempfile().unwrap()).unwrap();
        let writes = (0..100_u64).map(|number| file.write_at(number * 4, "four"));
        assert_eq!(try_join_all(writes).await.unwrap(), [4; 100]);
        file.sync().await.unwrap();
        // One that is dropped under way takes nothing, and the others do not notice.
        let (mut dropped, kept) = (file.read_at(0, 400), file.read_at(0, 400));
        drop(poll_here(&mut dropped).await);
        drop(dropped);
        assert_eq!(kept.await.unwrap(), "four".repeat(100));
        assert_eq!(file.clone().read_at(398, 10).timeout(Duration::MAX).await.unwrap(), "ur");
        file.close().await.unwrap();
        assert!(matches!(file.read_at(0, 1).await, Err(Error::Closed)));
    });
}
