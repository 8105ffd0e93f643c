//! How often a task is woken, and what the engine is asked, when poll methods are called again and
//! again: as hyper calls them, several times in each poll and also with nothing to do.

use std::{
    future::poll_fn,
    io::{Read as _, Write as _},
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use facade_engine::{Bytes, Callback, Engine, Error};
use facade_futures::{Io, Listener, Stream};
use facade_tests::{
    peers::{arrived, unstuff},
    polls::{Bell, poll_once},
    turns::{turn_until, turns},
};
use futures::{
    AsyncBufRead, AsyncRead, AsyncWrite, Sink, Stream as _, StreamExt as _,
    stream::FusedStream as _,
};

use super::driver::{self, full_pair, pair};

/// More often than anybody asks who waits for something.
const OFTEN: usize = 1000;

/// Asks once.
fn ask<T>(bell: &Arc<Bell>, poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    bell.poll(&mut Box::pin(poll_fn(poll)))
}

/// Asks until there is an answer: three times, and again whenever the bell has rung. Returns how
/// often it rang.
fn ask_when_woken<T>(
    engine: &Engine,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> (T, usize) {
    let bell = Bell::new();
    loop {
        let rings = bell.rings();
        for _ in 0..3 {
            if let Poll::Ready(answer) = ask(&bell, &mut poll) {
                return (answer, bell.rings());
            }
        }
        turn_until(engine, || bell.rings() > rings);
    }
}

/// Asks often. Each time the answer is there at once, and what is expected, and the engine has
/// nothing to do for it.
#[track_caller]
fn ask_often(engine: &Engine, mut poll: impl FnMut(&mut Context<'_>) -> Poll<bool>) {
    let bell = Bell::new();
    turns(engine, 3);
    for _ in 0..OFTEN {
        assert_eq!(ask(&bell, &mut poll), Poll::Ready(true));
    }
    let turn = engine.run_once(Some(Duration::ZERO)).unwrap();
    assert_eq!((turn.callbacks, turn.pending), (0, 0));
    assert_eq!(bell.rings(), 0);
}

/// A stream and its outgoing half, by both traits that write.
trait Writes: AsyncWrite + Sink<Bytes, Error = Error> + Unpin {}
impl<W: AsyncWrite + Sink<Bytes, Error = Error> + Unpin> Writes for W {}

fn begin(bell: &Arc<Bell>, writer: &mut impl Writes, by_sink: bool) {
    let mut writer = Pin::new(writer);
    if by_sink {
        assert!(ask(bell, |context| writer.as_mut().poll_ready(context)).is_ready());
        writer.start_send("words ".into()).unwrap();
    } else {
        let written = ask(bell, |context| writer.as_mut().poll_write(context, b"words "));
        assert!(matches!(written, Poll::Ready(Ok(6))));
    }
}

fn flush(context: &mut Context<'_>, writer: &mut impl Writes, by_sink: bool) -> Poll<bool> {
    match by_sink {
        false => AsyncWrite::poll_flush(Pin::new(writer), context).map(|flushed| flushed.is_ok()),
        true => Sink::poll_flush(Pin::new(writer), context).map(|flushed| flushed.is_ok()),
    }
}

fn close(context: &mut Context<'_>, writer: &mut impl Writes, by_sink: bool) -> Poll<bool> {
    match by_sink {
        false => AsyncWrite::poll_close(Pin::new(writer), context).map(|closed| closed.is_ok()),
        true => Sink::poll_close(Pin::new(writer), context).map(|closed| closed.is_ok()),
    }
}

/// A task that flushes twice in each poll once was woken by each flush for the next, for ever.
#[test]
fn what_is_flushed_is_ready_at_once_and_what_is_not_wakes_once() {
    fn check(engine: &Engine, writer: &mut impl Writes) {
        let bell = Bell::new();
        for by_sink in [false, true] {
            for _ in 0..3 {
                begin(&bell, writer, by_sink);
                let (flushed, rings) =
                    ask_when_woken(engine, |context| flush(context, writer, by_sink));
                assert!(flushed);
                // Once for the write before it, at most, and once for the flush.
                assert!(rings <= 2, "{rings}");
                ask_often(engine, |context| flush(context, writer, by_sink));
                ask_often(engine, |context| {
                    Sink::poll_ready(Pin::new(&mut *writer), context).map(|ready| ready.is_ok())
                });
            }
        }
        assert_eq!(bell.rings(), 0);
    }
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    let mut stream = Stream::from(stream);
    check(&engine, &mut stream);
    check(&engine, Stream::split(&mut stream).1);
    check(&engine, &mut stream.into_split().1);
    assert_eq!(arrived(&peer), b"words ".repeat(18));
}

#[test]
fn what_is_shut_down_is_ready_at_once() {
    fn check(engine: &Engine, writer: &mut impl Writes, by_sink: bool) {
        begin(&Bell::new(), writer, by_sink);
        let (closed, rings) = ask_when_woken(engine, |context| close(context, writer, by_sink));
        assert!(closed);
        assert!(rings <= 2, "{rings}");
        ask_often(engine, |context| close(context, writer, by_sink));
        ask_often(engine, |context| flush(context, writer, by_sink));
    }
    for by_sink in [false, true] {
        let engine = driver::engine();
        let ((mut one, ours), (mut other, halves)) = (pair(&engine), pair(&engine));
        check(&engine, &mut Stream::from(ours), by_sink);
        check(&engine, &mut Stream::from(halves).into_split().1, by_sink);
        for peer in [&mut one, &mut other] {
            let mut all = String::new();
            peer.read_to_string(&mut all).unwrap();
            assert_eq!(all, "words ");
        }
    }
}

/// Nothing is known of what was written before the first flush, by a callback or a chain, nor after
/// a close.
#[test]
fn the_first_flush_asks_the_engine() {
    let engine = driver::engine();
    let (peer, stream, stuffed) = full_pair(&engine);
    engine.write(&stream, "by a callback", Callback::ignore());
    let mut stream = Stream::from(stream);
    let bell = Bell::new();
    for _ in 0..3 {
        assert!(ask(&bell, |context| flush(context, &mut stream, false)).is_pending());
        turns(&engine, 3);
    }
    assert_eq!(bell.rings(), 0);
    let mut all = unstuff(&peer, stuffed);
    turn_until(&engine, || bell.rings() == 1);
    assert_eq!(ask(&bell, |context| flush(context, &mut stream, false)), Poll::Ready(true));
    all.extend(arrived(&peer));
    assert_eq!(all, b"by a callback");
    let mut close = stream.close();
    turn_until(&engine, || poll_once(&mut close).is_ready());
    drop(close);
    let (flushed, _) = ask_when_woken(&engine, |context| flush(context, &mut stream, false));
    assert!(!flushed, "it is closed");
}

/// A failure is no success that could be relied on: each flush tells it.
#[test]
fn a_failed_flush_fails_again() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    let mut stream = Stream::from(stream);
    begin(&Bell::new(), &mut stream, false);
    assert!(ask_when_woken(&engine, |context| flush(context, &mut stream, false)).0);
    drop(peer);
    // The first one may go out before the system knows that nobody is there.
    for _ in 0..2 {
        let mut writer = Pin::new(&mut stream);
        drop(ask(&Bell::new(), |context| writer.as_mut().poll_write(context, b"anybody?")));
        let _ = ask_when_woken(&engine, |context| flush(context, &mut stream, false));
    }
    for _ in 0..3 {
        let (flushed, _) = ask_when_woken(&engine, |context| flush(context, &mut stream, false));
        assert!(!flushed);
    }
}

#[test]
fn an_end_that_was_found_is_ready_at_once() {
    fn check(engine: &Engine, reader: &mut (impl AsyncBufRead + Unpin)) {
        let mut buf = [0; 9];
        let (count, _) = ask_when_woken(engine, |context| {
            Pin::new(&mut *reader).poll_read(context, &mut buf).map(Result::unwrap)
        });
        assert_eq!(&buf[..count], b"last");
        let (count, rings) = ask_when_woken(engine, |context| {
            Pin::new(&mut *reader).poll_read(context, &mut buf).map(Result::unwrap)
        });
        assert_eq!(count, 0);
        assert!(rings <= 1, "{rings}");
        ask_often(engine, |context| {
            let read = Pin::new(&mut *reader).poll_read(context, &mut buf);
            read.map(|read| read.unwrap() == 0)
        });
        ask_often(engine, |context| {
            let shown = Pin::new(&mut *reader).poll_fill_buf(context);
            let is_end = shown.map(|shown| shown.unwrap().is_empty());
            Pin::new(&mut *reader).consume(0);
            is_end
        });
    }
    let engine = driver::engine();
    for split in [false, true] {
        let (mut peer, stream) = pair(&engine);
        peer.write_all(b"last").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        match split {
            false => check(&engine, &mut Stream::from(stream)),
            true => check(&engine, &mut Stream::from(stream).into_split().0),
        }
    }
}

/// Bytes that a future gives back are behind no end.
#[test]
fn an_end_is_looked_for_again_after_a_read_by_name() {
    let engine = driver::engine();
    let (mut peer, stream) = pair(&engine);
    let mut stream = Stream::from(stream);
    peer.write_all(b"last").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let bell = Bell::new();
    let mut taken = stream.read_exact(4);
    assert!(bell.poll(&mut taken).is_pending());
    turn_until(&engine, || bell.rings() == 1);
    drop(taken);
    let (all, _) = ask_when_woken(&engine, |context| {
        Pin::new(&mut stream).poll_fill_buf(context).map(|shown| shown.unwrap().len())
    });
    assert_eq!(all, 4);
    let mut all = stream.read_all();
    let bell = Bell::new();
    if bell.poll(&mut all).is_pending() {
        turn_until(&engine, || bell.rings() == 1);
        assert!(matches!(bell.poll(&mut all), Poll::Ready(Ok(all)) if all == "last"));
    }
}

#[test]
fn lines_and_incoming_have_no_item_behind_the_last() {
    let engine = driver::engine();
    let (peer, stream) = pair(&engine);
    drop(peer);
    let mut stream = Stream::from(stream);
    let mut lines = Stream::lines(&mut stream);
    assert!(!lines.is_terminated());
    let (end, _) = ask_when_woken(&engine, |context| Pin::new(&mut lines).poll_next(context));
    assert!(end.is_none() && lines.is_terminated());
    ask_often(&engine, |context| lines.poll_next_unpin(context).map(|line| line.is_none()));

    let io = Io::new(engine.handle().clone());
    let mut listener: Listener = io.listen("127.0.0.1:0").unwrap();
    engine.close(listener.engine_listener(), Callback::ignore());
    let mut incoming = listener.incoming();
    assert!(!incoming.is_terminated());
    let (last, _) = ask_when_woken(&engine, |context| incoming.poll_next_unpin(context));
    assert!(matches!(last, Some(Err(Error::Closed))) && incoming.is_terminated());
    ask_often(&engine, |context| incoming.poll_next_unpin(context).map(|next| next.is_none()));
}

/// Whoever asked last is woken, and nobody else.
#[test]
fn who_asks_last_is_woken() {
    /// Asks for two tasks in turn; the second is to get the answer.
    fn check(
        engine: &Engine,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<bool>,
        happen: impl FnOnce(),
    ) {
        let (first, second) = (Bell::new(), Bell::new());
        for bell in [&first, &second, &first, &second] {
            assert!(ask(bell, &mut poll).is_pending());
            turns(engine, 2);
        }
        happen();
        turn_until(engine, || second.rings() > 0);
        let mut answer = ask(&second, &mut poll);
        while answer.is_pending() {
            let rings = second.rings();
            turn_until(engine, || second.rings() > rings);
            answer = ask(&second, &mut poll);
        }
        assert_eq!((answer, first.rings()), (Poll::Ready(true), 0));
    }
    let engine = driver::engine();
    let io = Io::new(engine.handle().clone());
    let (mut peer, stream, stuffed) = full_pair(&engine);
    let mut stream = Stream::from(stream);
    check(
        &engine,
        |context| Pin::new(&mut stream).poll_read(context, &mut [0; 9]).map(|read| read.is_ok()),
        || peer.write_all(b"bytes").unwrap(),
    );
    let mut line = stream.read_line();
    check(
        &engine,
        |context| Pin::new(&mut line).poll(context).map(|line| line.is_ok()),
        || peer.write_all(b"line\n").unwrap(),
    );
    drop(line);
    let mut lines = Stream::lines(&mut stream);
    check(
        &engine,
        |context| lines.poll_next_unpin(context).map(|line| line.unwrap().is_ok()),
        || peer.write_all(b"line\n").unwrap(),
    );
    begin(&Bell::new(), &mut stream, false);
    assert!(ask(&Bell::new(), |context| flush(context, &mut stream, false)).is_pending());
    // The engine has taken the write, so the flush is what remains to be waited for.
    turns(&engine, 3);
    check(&engine, |context| flush(context, &mut stream, false), || drop(unstuff(&peer, stuffed)));
    let mut listener = io.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut incoming = listener.incoming();
    let mut client = None;
    check(
        &engine,
        |context| incoming.poll_next_unpin(context).map(|next| next.unwrap().is_ok()),
        || client = Some(driver::connect(address).unwrap()),
    );
}

/// A sink that is fed without being asked whether it is ready.
#[test]
fn an_item_before_the_sink_was_ready_cancels_none() {
    let engine = driver::engine();
    let (peer, stream, stuffed) = full_pair(&engine);
    let mut stream = Stream::from(stream);
    let items: Vec<_> = (0..20).map(|number| Bytes::from(vec![number; 16 << 10])).collect();
    for item in &items {
        Pin::new(&mut stream).start_send(item.clone()).unwrap();
    }
    let bell = Bell::new();
    assert!(ask(&bell, |context| flush(context, &mut stream, true)).is_pending());
    let mut all = unstuff(&peer, stuffed);
    turn_until(&engine, || {
        all.extend(arrived(&peer));
        all.len() == items.len() * (16 << 10)
    });
    assert!(all == items.concat());
}
