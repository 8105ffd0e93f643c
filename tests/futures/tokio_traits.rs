//! tokio's traits of streams, as tokio's own functions use them.

use std::io::{IoSlice, Read as _, Write as _};

use facade_futures::{Runtime, Stream};
use facade_tests::{
    peers::numbered,
    polls::{in_time, poll_once},
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, copy_bidirectional};

use super::driver::{self, pair, tcp_pair};

fn run(test: impl AsyncFnOnce(&Runtime)) {
    let runtime = Runtime::from(driver::engine());
    runtime.block_on(in_time(runtime.io(), test(&runtime)));
}

#[test]
fn promise_08_a_read_that_is_dropped_has_taken_nothing() {
    run(async |runtime| {
        let (mut peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        let mut buffer = [0; 4];
        {
            let mut read = Box::pin(AsyncReadExt::read(&mut stream, &mut buffer));
            assert!(poll_once(&mut read).is_pending());
            peer.write_all(b"line\nof five").unwrap();
        }
        assert_eq!(stream.read_line().await.unwrap(), "line");
        AsyncReadExt::read_exact(&mut stream, &mut buffer[..3]).await.unwrap();
        assert_eq!(&buffer[..3], b"of ");
        drop(peer);
        let mut rest = String::new();
        AsyncReadExt::read_to_string(&mut stream, &mut rest).await.unwrap();
        assert_eq!(rest, "five");
        assert_eq!(AsyncReadExt::read(&mut stream, &mut buffer).await.unwrap(), 0);
    });
}

#[test]
fn lines_are_read_by_tokio_too() {
    run(async |runtime| {
        let (mut peer, stream) = pair(runtime.engine());
        peer.write_all(b"one\ntwo\nrest").unwrap();
        drop(peer);
        let mut lines = AsyncBufReadExt::lines(Stream::from(stream));
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            all.push(line);
        }
        assert_eq!(all, ["one", "two", "rest"]);
    });
}

#[test]
fn what_is_written_arrives_and_the_direction_ends() {
    run(async |runtime| {
        let (mut peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        AsyncWriteExt::write_all(&mut stream, b"one ").await.unwrap();
        let slices = [IoSlice::new(b"two "), IoSlice::new(b""), IoSlice::new(b"three")];
        let count = AsyncWriteExt::write_vectored(&mut stream, &slices).await.unwrap();
        assert_eq!(count, 9);
        AsyncWriteExt::flush(&mut stream).await.unwrap();
        AsyncWriteExt::shutdown(&mut stream).await.unwrap();
        let mut all = String::new();
        peer.read_to_string(&mut all).unwrap();
        assert_eq!(all, "one two three");
        AsyncWriteExt::write_all(&mut stream, b"late").await.ok();
        assert!(AsyncWriteExt::flush(&mut stream).await.is_err());
    });
}

/// More than 64 KiB in slices is taken in several calls, and nothing is left out between them.
#[test]
fn slices_that_are_too_many_are_taken_in_part() {
    run(async |runtime| {
        let (mut peer, stream) = tcp_pair(runtime.engine());
        let mut stream = Stream::from(stream);
        let data = numbered(200_000);
        let mut sent = 0;
        while sent < data.len() {
            let slices: Vec<_> = data[sent..].chunks(3_000).map(IoSlice::new).collect();
            let count = AsyncWriteExt::write_vectored(&mut stream, &slices).await.unwrap();
            assert!((1..=64 << 10).contains(&count), "{count}");
            sent += count;
            // The peer reads by turns: in the simulated network nobody else does.
            AsyncWriteExt::flush(&mut stream).await.unwrap();
            let mut got = vec![0; count];
            peer.read_exact(&mut got).unwrap();
            assert!(got == data[sent - count..sent]);
        }
    });
}

#[test]
fn tokio_copies_both_ways() {
    run(async |runtime| {
        let (mut one, left) = pair(runtime.engine());
        let (mut other, right) = pair(runtime.engine());
        let (mut left, mut right) = (Stream::from(left), Stream::from(right));
        one.write_all(b"from one").unwrap();
        other.write_all(b"from the other").unwrap();
        one.shutdown(std::net::Shutdown::Write).unwrap();
        other.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(copy_bidirectional(&mut left, &mut right).await.unwrap(), (8, 14));
        drop((left, right));
        let (mut got, mut got_too) = (String::new(), String::new());
        one.read_to_string(&mut got).unwrap();
        other.read_to_string(&mut got_too).unwrap();
        assert_eq!((&got[..], &got_too[..]), ("from the other", "from one"));
    });
}
