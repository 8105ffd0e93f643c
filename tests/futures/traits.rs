//! Streams and listeners by the traits of the `futures` crate.

use std::{
    cell::Cell,
    io::{Read as _, Write as _},
    net::Shutdown,
    pin::Pin,
    rc::Rc,
    task::Poll,
    thread,
    time::Duration,
};

use facade_engine::{Bytes, Callback, Error, Limits};
use facade_futures::{Runtime, Stream, op};
use facade_tests::{
    codes::NOBODY_READS,
    peers::{arrived, numbered, unstuff},
    polls::{Bell, give_way, in_time, poll_here},
};
use futures::{
    AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, SinkExt, StreamExt as _,
    TryStreamExt as _, future::join, stream,
};

use super::driver::{self, full_pair, pair, tcp_pair};

/// Runs a test's future on a new runtime.
fn run<T>(test: impl AsyncFnOnce(&Runtime) -> T) -> T {
    let runtime = Runtime::from(driver::engine());
    runtime.block_on(in_time(runtime.io(), test(&runtime)))
}

#[test]
fn read_by_trait_and_by_name_in_turns() {
    run(async |runtime| {
        let (mut peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        peer.write_all(b"head one\ntwo\nthree\nfour\nfive\nrest").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let mut head = [0; 5];
        AsyncReadExt::read_exact(&mut stream, &mut head).await.unwrap();
        assert_eq!(&head, b"head ");
        assert_eq!(stream.read_line().await.unwrap(), "one");
        let mut line = String::new();
        AsyncBufReadExt::read_line(&mut stream, &mut line).await.unwrap();
        assert_eq!(line, "two\n");
        // Shown, and not consumed.
        assert_eq!(stream.fill_buf().await.unwrap(), b"three\nfour\nfive\nrest");
        assert_eq!(stream.read_line().await.unwrap(), "three");
        let mut byte = [0];
        // More has been shown than the buffer has room for.
        assert_eq!(stream.fill_buf().await.unwrap(), b"four\nfive\nrest");
        assert_eq!(AsyncReadExt::read(&mut stream, &mut byte).await.unwrap(), 1);
        // A raw callback sees what a poll has left, and a poll what a raw callback has.
        let raw = stream.engine_stream().clone();
        let line = op(|callback| raw.handle().read_line(&raw, callback)).await;
        assert_eq!((&byte[..], &line.unwrap()[..]), (&b"f"[..], &b"our"[..]));
        let mut line = Vec::new();
        AsyncBufReadExt::read_until(&mut stream, b'\n', &mut line).await.unwrap();
        assert_eq!(line, b"five\n");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "rest");
        assert_eq!(AsyncReadExt::read(&mut stream, &mut byte).await.unwrap(), 0, "the end stays");
        assert!(stream.fill_buf().await.unwrap().is_empty());
        assert_eq!(AsyncReadExt::read(&mut stream, &mut []).await.unwrap(), 0);
    });
}

#[test]
fn promise_08_between_polls_no_byte_leaves_the_engine() {
    run(async |runtime| {
        let (mut peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        let mut buf = [0; 3];
        for _ in 0..3 {
            let mut read = AsyncReadExt::read(&mut stream, &mut buf);
            assert!(poll_here(&mut read).await.is_pending());
        }
        peer.write_all(b"a\nb\n").unwrap();
        let bell = Bell::new();
        let mut read = AsyncReadExt::read(&mut stream, &mut buf);
        assert!(bell.poll(&mut read).is_pending());
        while bell.rings() == 0 {
            runtime.io().sleep(Duration::ZERO).await.unwrap();
        }
        // It has been shown, and nobody has polled for it.
        assert_eq!(stream.buffered().await.unwrap(), 4);
        assert_eq!(stream.read_line().await.unwrap(), "a");
        let (mut read, _write) = stream.into_split();
        assert!(read.fill_buf().await.unwrap().starts_with(b"b"));
        assert_eq!(read.buffered().await.unwrap(), 2);
    });
}

#[test]
fn ten_megabytes_through_a_copy() {
    run(async |runtime| {
        let (mut source, from) = tcp_pair(runtime.engine());
        let (mut drain, to) = tcp_pair(runtime.engine());
        let bytes = numbered(10 << 20);
        let sent = bytes.clone();
        let source = thread::spawn(move || {
            source.write_all(&sent).unwrap();
            source.shutdown(Shutdown::Write).unwrap();
        });
        let drain = thread::spawn(move || {
            let mut all = Vec::new();
            drain.read_to_end(&mut all).unwrap();
            all
        });
        let (from, mut to) = (Stream::from(from), Stream::from(to));
        assert_eq!(futures::io::copy_buf(from, &mut to).await.unwrap(), 10 << 20);
        AsyncWriteExt::close(&mut to).await.unwrap();
        source.join().unwrap();
        assert!(drain.join().unwrap() == bytes);
    });
}

#[test]
fn a_megabyte_echoed_over_both_directions_at_once() {
    run(async |runtime| {
        for split_for_good in [false, true] {
            let io = runtime.io();
            let mut listener = io.listen("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let echo = io.spawn(async move {
                let (mut read, mut write) = listener.accept().await.unwrap().into_split();
                futures::io::copy(&mut read, &mut write).await.unwrap();
                AsyncWriteExt::close(&mut write).await.unwrap();
            });
            let mut stream = io.connect(address).await.unwrap();
            let bytes = Bytes::from(numbered(1 << 20));
            let answer = if split_for_good {
                let (mut read, mut write) = stream.into_split();
                let send = async {
                    write.write(bytes.clone()).await.unwrap();
                    write.shutdown_write().await.unwrap();
                };
                join(send, read.read_all()).await.1
            } else {
                // By its full name: `AsyncReadExt` has a `split` too.
                let (read, write) = Stream::split(&mut stream);
                let send = async {
                    AsyncWriteExt::write_all(write, &bytes).await.unwrap();
                    AsyncWriteExt::flush(write).await.unwrap();
                    AsyncWriteExt::close(write).await.unwrap();
                };
                join(send, read.read_all()).await.1
            };
            assert!(answer.unwrap() == bytes);
            echo.await;
        }
    });
}

#[test]
fn closing_by_trait_ends_the_outgoing_direction_only() {
    run(async |runtime| {
        let (mut peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        AsyncWriteExt::write_all(&mut stream, b"last words").await.unwrap();
        AsyncWriteExt::close(&mut stream).await.unwrap();
        let mut all = String::new();
        peer.read_to_string(&mut all).unwrap();
        assert_eq!(all, "last words");
        peer.write_all(b"heard\n").unwrap();
        assert_eq!(stream.read_line().await.unwrap(), "heard");
        AsyncWriteExt::close(&mut stream).await.unwrap();
        let late = async {
            AsyncWriteExt::write(&mut stream, b"more").await?;
            AsyncWriteExt::flush(&mut stream).await
        };
        assert!(late.await.is_err());
    });
}

#[test]
fn what_was_written_by_poll_arrives_after_the_stream_is_dropped() {
    run(async |runtime| {
        let (peer, stream, stuffed) = full_pair(runtime.engine());
        let mut stream = Stream::from(stream);
        let bytes = numbered(60_000);
        assert_eq!(AsyncWriteExt::write(&mut stream, &bytes).await.unwrap(), bytes.len());
        // Behind what is unsent already, so the engine has not taken it over when it is dropped.
        assert_eq!(AsyncWriteExt::write(&mut stream, &bytes).await.unwrap(), bytes.len());
        drop(stream);
        runtime.io().sleep(Duration::ZERO).await.unwrap();
        let mut all = unstuff(&peer, stuffed);
        while all.len() < 120_000 {
            runtime.io().sleep(Duration::from_millis(1)).await.unwrap();
            all.extend(arrived(&peer));
        }
        assert!(all == [&bytes[..], &bytes[..]].concat());
    });
}

#[test]
fn a_write_after_the_peer_has_gone_fails() {
    run(async |runtime| {
        let (peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        drop(peer);
        let writes = async {
            for _ in 0..10 {
                AsyncWriteExt::write(&mut stream, b"anybody?").await?;
                AsyncWriteExt::flush(&mut stream).await?;
            }
            Ok(())
        };
        let error: std::io::Error = writes.await.unwrap_err();
        let code = error.raw_os_error().expect("the system's");
        assert!(NOBODY_READS.contains(&code), "{error}");
        assert!(AsyncWriteExt::flush(&mut stream).await.is_err(), "and goes on failing");
    });
}

/// Whether a few turns are enough for it.
async fn is_ready_soon(runtime: &Runtime, future: &mut (impl Future + Unpin)) -> bool {
    for _ in 0..5 {
        if poll_here(future).await.is_ready() {
            return true;
        }
        runtime.io().sleep(Duration::ZERO).await.unwrap();
    }
    false
}

/// What has been received is there at the first poll, and so is what is left of it.
#[test]
fn a_read_by_trait_takes_at_once_what_has_been_received() {
    run(async |runtime| {
        let (mut peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        peer.write_all(b"one two three").unwrap();
        while stream.peek(13).await.unwrap().len() < 13 {}
        let mut buf = [0; 4];
        for word in [b"one ", b"two "] {
            let read = poll_here(&mut AsyncReadExt::read(&mut stream, &mut buf)).await;
            assert!(matches!(read, Poll::Ready(Ok(4))), "{read:?}");
            assert_eq!(&buf, word);
        }
        for _ in 0..2 {
            let shown = poll_here(&mut stream.fill_buf()).await;
            assert!(matches!(shown, Poll::Ready(Ok(b"three"))), "{shown:?}");
            // A look takes nothing, and a method of the adapter finds it there.
            assert_eq!(stream.buffered().await.unwrap(), 5);
        }
        // Nothing more is there, and a read waits.
        stream.consume(5);
        assert!(poll_here(&mut AsyncReadExt::read(&mut stream, &mut buf)).await.is_pending());
        peer.write_all(b"more").unwrap();
        AsyncReadExt::read_exact(&mut stream, &mut buf).await.unwrap();
        assert_eq!(&buf, b"more");
        // Nor is it there behind a read of somebody else's that has not been told yet.
        let raw = stream.engine_stream().clone();
        let chunks = facade_tests::told::Basket::new();
        peer.write_all(b"first second").unwrap();
        while stream.peek(12).await.unwrap().len() < 12 {}
        raw.handle().read_exact(&raw, 6, chunks.callback());
        assert!(poll_here(&mut AsyncReadExt::read(&mut stream, &mut buf)).await.is_pending());
        assert!(chunks.is_empty());
        assert_eq!(stream.read_chunk(6).await.unwrap(), "second");
        assert_eq!(chunks.take(), ["first "]);
    });
}

/// A flush needs no turn where the system takes the bytes at once, and then it has them.
#[test]
fn promise_10_a_flush_that_is_ready_at_once_has_sent_what_was_written() {
    run(async |runtime| {
        let (peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        for by_trait in [true, false] {
            // Right behind another flush nothing is done at once.
            runtime.io().sleep(Duration::ZERO).await.unwrap();
            runtime.io().sleep(Duration::ZERO).await.unwrap();
            let mut written = AsyncWriteExt::write(&mut stream, b"words ");
            assert!(matches!(poll_here(&mut written).await, Poll::Ready(Ok(6))));
            let flushed = match by_trait {
                true => poll_here(&mut AsyncWriteExt::flush(&mut stream)).await.map(|f| f.is_ok()),
                false => poll_here(&mut stream.flush()).await.map(|f| f.is_ok()),
            };
            match flushed {
                Poll::Ready(is_ok) => assert!(is_ok),
                // The ring is asked when the turn ends.
                Poll::Pending => {
                    assert_eq!(runtime.engine().driver(), "io_uring");
                    stream.flush().await.unwrap();
                }
            }
            assert_eq!(arrived(&peer), b"words ");
        }
    });
}

#[test]
fn promise_15_a_task_that_flushes_without_end_lets_others_have_their_turn() {
    run(async |runtime| {
        let (peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        let flushes = Rc::new(Cell::new(0));
        let count = Rc::clone(&flushes);
        let busy = runtime.spawn_local(async move {
            for _ in 0..200 {
                AsyncWriteExt::write(&mut stream, b".").await.unwrap();
                AsyncWriteExt::flush(&mut stream).await.unwrap();
                count.set(count.get() + 1);
            }
        });
        for _ in 0..10 {
            give_way().await;
        }
        assert!(flushes.get() < 20, "{flushes:?}");
        busy.await;
        assert_eq!(arrived(&peer).len(), 200);
    });
}

#[test]
fn promise_13_a_flush_comes_after_the_callbacks_of_the_writes_before_it() {
    run(async |runtime| {
        let (peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        let raw = stream.engine_stream().clone();
        let counts = facade_tests::told::Basket::new();
        raw.handle().write(&raw, "words", counts.callback());
        assert!(poll_here(&mut AsyncWriteExt::flush(&mut stream)).await.is_pending());
        assert!(counts.take().is_empty());
        AsyncWriteExt::flush(&mut stream).await.unwrap();
        assert_eq!(counts.take(), [5]);
        assert_eq!(arrived(&peer), b"words");
    });
}

/// A flush that was given up does not speak for what was written after it.
#[test]
fn a_flush_covers_what_was_written_before_it() {
    run(async |runtime| {
        let (peer, stream, stuffed) = full_pair(runtime.engine());
        let mut stream = Stream::from(stream);
        AsyncWriteExt::write(&mut stream, b"first ").await.unwrap();
        assert!(!is_ready_soon(runtime, &mut AsyncWriteExt::flush(&mut stream)).await);
        let mut all = unstuff(&peer, stuffed);
        let raw = stream.engine_stream().clone();
        op(|callback| raw.handle().flush(&raw, callback)).await.unwrap();
        all.extend(arrived(&peer));
        assert_eq!(all, b"first ");
        // The first flush is over, and nobody has polled for it. The peer stops reading.
        let piece = numbered(16 << 10);
        let mut pieces = 0;
        loop {
            AsyncWriteExt::write_all(&mut stream, &piece).await.unwrap();
            pieces += 1;
            let mut all_out = op(|callback| raw.handle().flush(&raw, callback));
            // Some time after the first of them the system may have found more room.
            if !is_ready_soon(runtime, &mut all_out).await
                && !is_ready_soon(runtime, &mut AsyncWriteExt::flush(&mut stream)).await
            {
                break;
            }
            assert!(pieces < 1000, "somebody has to be full");
        }
        while all.len() < 6 + pieces * piece.len() {
            runtime.io().sleep(Duration::from_millis(1)).await.unwrap();
            all.extend(arrived(&peer));
        }
        AsyncWriteExt::flush(&mut stream).await.unwrap();
        assert!(all[6..].chunks(piece.len()).all(|chunk| chunk == piece));
    });
}

#[test]
fn a_sink_forwards_in_order_and_ends_the_direction() {
    run(async |runtime| {
        let (mut peer, stream) = pair(runtime.engine());
        let items: Vec<_> = (0..1000).map(|number| Bytes::from(format!("{number},"))).collect();
        let expected: String = (0..1000).map(|number| format!("{number},")).collect();
        let (_read, write) = Stream::from(stream).into_split();
        stream::iter(items).map(Ok).forward(write).await.unwrap();
        let mut all = String::new();
        peer.read_to_string(&mut all).unwrap();
        assert_eq!(all, expected);

        let (mut peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        stream.feed(Bytes::from("fed ")).await.unwrap();
        stream.send(Bytes::from("sent")).await.unwrap();
        assert_eq!(arrived(&peer), b"fed sent");
        SinkExt::close(&mut stream).await.unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        assert!(matches!(stream.send(Bytes::from("late")).await, Err(Error::Closed)));
    });
}

#[test]
fn promise_14_a_sink_whose_peer_does_not_read_is_not_ready() {
    run(async |runtime| {
        let (mut peer, stream) = pair(runtime.engine());
        let (_read, mut write) = Stream::from(stream).into_split();
        let item = Bytes::from(numbered(64 << 10));
        let mut accepted = 0;
        loop {
            let mut feed = write.feed(item.clone());
            let mut given = 0;
            while given < 10 && poll_here(&mut feed).await.is_pending() {
                runtime.io().sleep(Duration::ZERO).await.unwrap();
                given += 1;
            }
            if given == 10 {
                break;
            }
            accepted += 1;
            assert!(accepted < 100, "somebody has to say stop");
        }
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all
        });
        SinkExt::<Bytes>::close(&mut write).await.unwrap();
        let all = reader.join().unwrap();
        assert_eq!(all.len(), accepted * item.len());
        assert!(all.chunks(item.len()).all(|chunk| chunk == item));
    });
}

#[test]
fn promise_12_lines_yield_an_unfinished_last_one() {
    run(async |runtime| {
        for (text, expected) in [
            ("one\r\ntwo\nlast", vec!["one", "two", "last"]),
            ("one\n", vec!["one"]),
            ("", vec![]),
            ("\n\nx", vec!["", "", "x"]),
        ] {
            let (mut peer, stream) = pair(runtime.engine());
            let mut stream = Stream::from(stream);
            peer.write_all(text.as_bytes()).unwrap();
            drop(peer);
            let lines: Vec<Bytes> = Stream::lines(&mut stream).try_collect().await.unwrap();
            assert_eq!(lines, expected);
            let mut lines = Stream::lines(&mut stream);
            assert!(lines.next().await.is_none());
            assert!(lines.next().await.is_none());
        }
    });
}

#[test]
fn lines_that_have_been_received_are_there_at_once() {
    run(async |runtime| {
        let (mut peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        peer.write_all(b"one\ntwo\nthree").unwrap();
        while stream.peek(13).await.unwrap().len() < 13 {}
        let mut lines = Stream::lines(&mut stream);
        for line in ["one", "two"] {
            let next = poll_here(&mut lines.next()).await;
            assert!(matches!(&next, Poll::Ready(Some(Ok(is))) if is == line), "{next:?}");
        }
        assert!(poll_here(&mut lines.next()).await.is_pending());
        peer.write_all(b" four\n").unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap(), "three four");
    });
}

#[test]
fn what_a_delimiter_ends_that_has_been_received_is_there_at_once() {
    run(async |runtime| {
        let (mut peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        peer.write_all(b"one\0two\0\0six by").unwrap();
        while stream.peek(15).await.unwrap().len() < 15 {}
        for (delimiter, expected) in [("\0", "one\0"), ("\0\0", "two\0\0"), ("six by", "six by")] {
            let read = poll_here(&mut stream.read_until(delimiter)).await;
            assert!(matches!(&read, Poll::Ready(Ok(is)) if is == expected), "{read:?}");
        }
        peer.write_all(b" seven and eight").unwrap();
        while stream.peek(16).await.unwrap().len() < 16 {}
        // A long one is looked for with a turn, and a bad one refused.
        assert_eq!(stream.read_until(" seven ").await.unwrap(), " seven ");
        assert!(matches!(stream.read_until("").await, Err(Error::InvalidInput { .. })));
        assert!(poll_here(&mut stream.read_until("\0")).await.is_pending());
        assert_eq!(stream.read_until("d").await.unwrap(), "and");
    });
}

/// What would fail for ever ends, so that a loop over it does as well.
#[test]
fn lines_and_incoming_end_after_a_failure_that_stays() {
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io().clone();
    let (mut peer, stream) = pair(runtime.engine());
    let mut stream = Stream::from(stream);
    stream.set_limits(Limits { line: 4, ..Limits::default() });
    peer.write_all(b"long line\nab\n").unwrap();
    let mut listener = io.listen("127.0.0.1:0").unwrap();
    runtime.block_on(in_time(&io, async {
        let items: Vec<_> = Stream::lines(&mut stream).collect().await;
        assert!(matches!(items[..], [Err(Error::TooLong { limit: 4 })]), "{items:?}");
        stream.consume(10);
        assert_eq!(Stream::lines(&mut stream).next().await.unwrap().unwrap(), "ab");
        let raw = listener.engine_listener().clone();
        io.handle().sleep(
            Duration::ZERO,
            Callback::from_fn(move |engine, _| {
                engine.close(&raw, Callback::ignore());
            }),
        );
        let items: Vec<_> = listener.incoming().collect().await;
        assert!(matches!(items[..], [Err(Error::Closed)]), "{items:?}");
    }));
    drop(runtime);
    let items: Vec<_> = futures::executor::block_on(listener.incoming().collect());
    assert!(matches!(items[..], [Err(Error::EngineClosed)]), "{items:?}");
    let items: Vec<_> = futures::executor::block_on(Stream::lines(&mut stream).collect());
    assert!(matches!(items[..], [Err(Error::EngineClosed)]), "{items:?}");
}

#[test]
fn incoming_yields_connections_in_order() {
    run(async |runtime| {
        let mut listener = runtime.io().listen("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..10).map(|_| driver::connect(address).unwrap()).collect();
        let mut incoming = listener.incoming();
        for client in &clients {
            let stream = incoming.next().await.unwrap().unwrap();
            assert_eq!(stream.peer_addr().unwrap(), client.local_addr().unwrap());
        }
    });
}

/// Raw callbacks and futures take turns on one stream. A future that finds its line there already
/// still waits for the callback before it.
#[test]
fn promise_13_raw_callbacks_and_futures_on_one_stream_are_told_in_order() {
    run(async |runtime| {
        let (mut peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        let raw = stream.engine_stream().clone();
        let engine = runtime.io().handle();
        let expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
        peer.write_all((expected.join("\n") + "\n").as_bytes()).unwrap();
        let lines = facade_tests::told::Basket::new();
        for number in 0..50 {
            // Submitted one after the other: the callback's line, then the future's.
            engine.read_line(&raw, lines.callback());
            let line = stream.read_line().await.unwrap();
            lines.put(line);
            engine.write_line(&raw, format!("raw {number}"), Callback::ignore());
            stream.write_line(format!("future {number}")).await.unwrap();
        }
        assert_eq!(lines.take(), expected);
        stream.flush().await.unwrap();
        let answers: String =
            (0..50).map(|number| format!("raw {number}\r\nfuture {number}\r\n")).collect();
        assert_eq!(String::from_utf8(arrived(&peer)).unwrap(), answers);
    });
}

#[test]
fn writing_nothing_by_trait_is_no_end() {
    run(async |runtime| {
        let (peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        assert_eq!(AsyncWriteExt::write(&mut stream, b"").await.unwrap(), 0);
        let pinned = Pin::new(&mut stream);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        drop(AsyncWrite::poll_flush(pinned, &mut context));
        AsyncWriteExt::write_all(&mut stream, b"some").await.unwrap();
        AsyncWriteExt::flush(&mut stream).await.unwrap();
        assert_eq!(arrived(&peer), b"some");
    });
}
