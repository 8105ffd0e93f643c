//! Futures that lose to others at random moments, and many at once from many threads: everything
//! comes in order, exactly once, and nobody waits for ever.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    thread,
    time::Duration,
};

use facade_engine::{Bytes, Error};
use facade_futures::{Background, Io, Listener, Runtime, Stream};
use facade_tests::{
    alone::alone,
    polls::{Bell, give_way, in_time},
};
use futures::FutureExt as _;

use super::driver::{self, descriptors, now, pair, tcp_pair};

/// Small pseudo-random numbers, the same in each run: an xorshift.
struct Dice(u32);

impl Dice {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % bound
    }
}

/// What a read loses to: something that is over at once, soon, or a little later.
async fn noise(io: &Io, dice: &mut Dice) {
    match dice.below(8) {
        0 => {}
        1 => io.sleep(Duration::from_micros(u64::from(dice.below(300)))).await.unwrap(),
        2 => io.sleep(Duration::ZERO).await.unwrap(),
        _ => {
            for _ in 0..dice.below(4) {
                give_way().await;
            }
        }
    }
}

const LINES: usize = 3000;

/// Writes numbered lines, cut anywhere, at random moments.
fn write_lines(mut peer: driver::TcpPeer) {
    let text: String = (0..LINES).map(|number| format!("line {number}\n")).collect();
    let (mut dice, mut rest) = (Dice(0x1234_5678), text.as_bytes());
    while !rest.is_empty() {
        let count = rest.len().min(1 + dice.below(25) as usize);
        peer.write_all(&rest[..count]).unwrap();
        rest = &rest[count..];
        for _ in 0..dice.below(20) {
            thread::yield_now();
        }
    }
    // Until everything was read: a close would be the end of the noise as well.
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}

/// Reads the lines, losing a `select!` now and then. Returns how often it lost.
async fn read_lines(io: &Io, mut stream: Stream) -> usize {
    let (mut dice, mut lost, mut read) = (Dice(0x9e37_79b9), 0, 0);
    while read < LINES {
        let how = dice.below(4);
        let line = {
            let mut attempt = async || match how {
                0 => stream.read_until("\n").await.map(|line| line.slice(..line.len() - 1)),
                1 => stream.expect_line(format!("line {read}").as_str()).await,
                2 => futures::StreamExt::next(&mut Stream::lines(&mut stream)).await.unwrap(),
                _ => stream.read_line().await,
            };
            futures::select_biased! {
                line = Box::pin(attempt()).fuse() => Some(line.unwrap()),
                () = Box::pin(noise(io, &mut dice)).fuse() => None,
            }
        };
        match line {
            Some(line) => {
                assert_eq!(line, format!("line {read}"), "after {lost} losses");
                read += 1;
            }
            None => lost += 1,
        }
    }
    lost
}

#[test]
fn promise_08_lines_lost_in_selects_come_in_order_exactly_once() {
    let runtime = Runtime::from(driver::engine());
    let (peer, stream) = tcp_pair(runtime.engine());
    let writer = thread::spawn(move || write_lines(peer));
    let lost = runtime.block_on(in_time(runtime.io(), read_lines(runtime.io(), stream.into())));
    assert!(lost > 100, "{lost}");
    runtime.engine().run().unwrap();
    writer.join().unwrap();
}

#[test]
fn promise_08_lines_lost_in_selects_in_a_task_of_the_runtime() {
    let runtime = Runtime::from(driver::engine());
    let (peer, stream) = tcp_pair(runtime.engine());
    let writer = thread::spawn(move || write_lines(peer));
    let io = runtime.io().clone();
    let task = runtime.spawn(async move { read_lines(&io, stream.into()).await });
    let lost = runtime.block_on(in_time(runtime.io(), task));
    assert!(lost > 100, "{lost}");
    runtime.engine().run().unwrap();
    writer.join().unwrap();
}

#[test]
fn promise_08_lines_lost_in_selects_on_tokio_come_in_order_exactly_once() {
    let background = Background::new(driver::builder()).unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    tokio.block_on(async {
        let tasks: Vec<_> = (0..2)
            .map(|_| {
                let (peer, stream) = tcp_pair(background.handle());
                let writer = thread::spawn(move || write_lines(peer));
                let io = Io::clone(&background);
                let task =
                    tokio::spawn(async move { in_time(&io, read_lines(&io, stream.into())).await });
                (task, writer)
            })
            .collect();
        for (task, writer) in tasks {
            assert!(task.await.unwrap() > 100);
            writer.join().unwrap();
        }
    });
}

const CLIENTS: usize = 300;

/// Accepts all, losing a `select!` now and then.
async fn accept_all(io: &Io, mut listener: Listener) -> Vec<SocketAddr> {
    let (mut dice, mut accepted) = (Dice(0x51f1_5e97), Vec::new());
    while accepted.len() < CLIENTS {
        futures::select_biased! {
            stream = Box::pin(listener.accept()).fuse() => {
                accepted.push(stream.unwrap().peer_addr().unwrap());
            }
            () = Box::pin(noise(io, &mut dice)).fuse() => {}
        }
    }
    accepted
}

/// Connects one after the other, and returns who that was.
fn connect_all(address: SocketAddr) -> Vec<driver::TcpPeer> {
    (0..CLIENTS).map(|_| driver::connect(address).unwrap()).collect()
}

fn assert_same(accepted: &[SocketAddr], clients: Vec<driver::TcpPeer>) {
    let expected: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
    assert_eq!(accepted, expected);
    for mut client in clients {
        // Each was dropped by whoever accepted it.
        assert_ne!(client.read(&mut [0]).ok(), Some(1));
    }
}

#[test]
fn promise_09_connections_lost_in_selects_come_in_order_exactly_once() {
    let name = "promise_09_connections_lost_in_selects_come_in_order_exactly_once";
    alone(module_path!(), name, || {
        let runtime = Runtime::from(driver::engine());
        // Whatever the first use of anything keeps open.
        drop(runtime.io().listen("127.0.0.1:0").unwrap());
        runtime.engine().run().unwrap();
        let before = descriptors();
        let listener = runtime.io().listen("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients = thread::spawn(move || connect_all(address));
        let io = runtime.io();
        let accepted = runtime.block_on(in_time(io, accept_all(io, listener)));
        runtime.engine().run().unwrap();
        assert_same(&accepted, clients.join().unwrap());
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn promise_09_connections_lost_in_selects_on_tokio_come_in_order_exactly_once() {
    let name = "promise_09_connections_lost_in_selects_on_tokio_come_in_order_exactly_once";
    alone(module_path!(), name, || {
        let before = {
            drop(Background::new(driver::builder()).unwrap());
            descriptors()
        };
        let background = Background::new(driver::builder()).unwrap();
        let listener = background.listen("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients = thread::spawn(move || connect_all(address));
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let io = Io::clone(&background);
        let task = tokio.spawn(async move { in_time(&io, accept_all(&io, listener)).await });
        let accepted = tokio.block_on(task).unwrap();
        assert_same(&accepted, clients.join().unwrap());
        drop((tokio, background));
        assert_eq!(descriptors(), before);
    });
}

/// Frames of 1,000 bytes, of which each write may lose; whatever the peer gets are whole frames in
/// order, and of a cut one the rest.
#[test]
fn promise_10_writes_lost_in_selects_never_cut_a_frame_in_silence() {
    const FRAME: usize = 50_000;
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io();
    let (mut peer, stream) = pair(runtime.engine());
    let mut stream = Stream::from(stream);
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        all
    });
    runtime.block_on(in_time(io, async {
        let mut dice = Dice(0x0bad_cafe);
        for number in 0..1000_u32 {
            let frame = Bytes::from(number.to_be_bytes().repeat(FRAME / 4));
            let written = futures::select_biased! {
                written = Box::pin(stream.write(frame)).fuse() => Some(written),
                () = Box::pin(noise(io, &mut dice)).fuse() => None,
            };
            match written {
                Some(Ok(FRAME)) | None => {}
                // The one before was cut: its rest goes first, and this one was not written.
                Some(Err(Error::Cancelled)) => loop {
                    let rest = stream.take_unsent().await.unwrap();
                    assert!(rest.len() < FRAME);
                    if stream.write(rest).await.is_ok() {
                        break;
                    }
                },
                other => panic!("{other:?}"),
            }
        }
        if stream.flush().await.is_err() {
            let rest = stream.take_unsent().await.unwrap();
            stream.write(rest).await.unwrap();
        }
        stream.shutdown_write().await.unwrap();
    }));
    let all = reader.join().unwrap();
    assert_eq!(all.len() % FRAME, 0, "a frame was cut");
    let mut last = None;
    for frame in all.chunks(FRAME) {
        let number = u32::from_be_bytes(frame[..4].try_into().unwrap());
        assert!(frame == number.to_be_bytes().repeat(FRAME / 4), "frame {number}");
        assert!(last < Some(number), "{number} came after {last:?}");
        last = Some(number);
    }
    assert!(all.len() > 100 * FRAME);
}

/// Polled over and over, by two wakers in turn, so that most outcomes come within a poll.
#[test]
fn an_outcome_that_comes_during_a_poll_is_not_lost() {
    let background = Background::new(driver::builder()).unwrap();
    let bells = [Bell::new(), Bell::new()];
    for round in 0..1000 {
        let hopeless = now() + Duration::from_secs(30);
        let mut nap = background.sleep(Duration::ZERO);
        let mut polls = 0;
        while bells[polls % 2].poll(&mut nap).is_pending() {
            polls += 1;
            assert!(!polls.is_multiple_of(4096) || now() < hopeless, "round {round}");
        }
    }
}
