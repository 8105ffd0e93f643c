//! An engine and its futures among the tasks of a tokio runtime, on one thread.

use std::{
    io::{Read, Write},
    pin::pin,
    thread,
    time::Duration,
};

use facade_engine::{Callback, Handle};
use facade_futures::{Error, Result, Runtime, Stream};
use facade_tests::turns::SOON;
use futures::{
    FutureExt,
    future::{join_all, pending},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

use super::driver::{self, pair};

/// Longer than anything here takes, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test inside a tokio runtime of one thread, and of several.
fn run(test: impl AsyncFn(Runtime)) {
    use tokio::runtime::Builder;
    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let tokio = builder.enable_all().build().unwrap();
        let test = timeout_of(test(Runtime::from(driver::engine())));
        tokio.block_on(test);
    }
}

async fn timeout_of<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it hangs")
}

#[test]
fn what_is_awaited_may_be_of_either() {
    run(async |runtime| {
        let io = runtime.io().clone();
        let talked = runtime.run_in_tokio(async {
            let theirs = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = theirs.local_addr().unwrap();
            let (accepted, connected) = futures::join!(theirs.accept(), io.connect(address));
            let ((mut server, _), mut client) = (accepted.unwrap(), connected?);
            for round in 0..100 {
                client.write_line(round.to_string()).await?;
                let mut line = [0; 8];
                let count = server.read(&mut line).await.unwrap();
                server.write_all(&line[..count]).await.unwrap();
                assert_eq!(client.read_line().await?, round.to_string());
            }
            // Time of either.
            io.sleep(Duration::from_millis(1)).await?;
            assert!(timeout(Duration::from_millis(1), pending::<()>()).await.is_err());
            let late = client.read_line().timeout(SOON).await;
            assert!(matches!(late, Err(Error::TimedOut)));
            Result::Ok(())
        });
        talked.await.unwrap().unwrap();
    });
}

#[test]
fn tasks_of_both_go_on_beside_it() {
    run(async |runtime| {
        let io = runtime.io().clone();
        let (sender, mut received) = mpsc::unbounded_channel();
        let talked = runtime.run_in_tokio(async {
            let mut listener = io.listen("127.0.0.1:0")?;
            let address = listener.local_addr()?;
            let ours = io.spawn(async move {
                let mut stream = listener.accept().await?;
                while let Ok(line) = stream.read_line().await {
                    stream.write_line(line).await?;
                }
                Result::Ok(())
            });
            let theirs = tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                for _ in 0..100 {
                    stream.write_all(b"hello\n").await.unwrap();
                    let mut answer = [0; 7];
                    stream.read_exact(&mut answer).await.unwrap();
                    sender.send(answer).unwrap();
                }
            });
            let mut count = 0;
            while let Some(answer) = received.recv().await {
                assert_eq!(&answer, b"hello\r\n");
                count += 1;
            }
            theirs.await.unwrap();
            ours.await?;
            Result::Ok(count)
        });
        assert_eq!(talked.await.unwrap().unwrap(), 100);
    });
}

#[test]
fn other_threads_wake_it_by_the_engine_and_by_the_future() {
    run(async |runtime| {
        let io = runtime.io().clone();
        let handle: Handle = io.handle().clone();
        let (sender, mut received) = mpsc::unbounded_channel();
        let (posted, post) = futures::channel::oneshot::channel();
        let (heard, heard_last) = std::sync::mpsc::channel();
        let other = thread::spawn(move || {
            // When all that came before was heard, and when it was not.
            for number in 0..200 {
                if number % 20 == 1 {
                    while heard_last.recv().unwrap() + 1 < number {}
                }
                sender.send(number).unwrap();
                handle.post(|_| ());
            }
            handle.sleep(SOON, Callback::from_fn(move |_, _| posted.send(()).unwrap()));
        });
        runtime
            .run_in_tokio(async {
                let mut expected = 0;
                while let Some(number) = received.recv().await {
                    assert_eq!(number, expected);
                    // Whoever waits for it may be done.
                    _ = heard.send(number);
                    expected += 1;
                }
                assert_eq!(expected, 200);
                post.await.unwrap();
            })
            .await
            .unwrap();
        other.join().unwrap();
    });
}

#[test]
fn more_streams_than_one_look_at_the_system_tells_of_are_all_served() {
    run(async |runtime| {
        let engine = runtime.engine();
        let (mut peers, mut streams) = (Vec::new(), Vec::new());
        for _ in 0..700 {
            let (peer, stream) = pair(engine);
            peers.push(peer);
            streams.push(Stream::from(stream));
        }
        let (some, rest) = streams.split_at_mut(500);
        runtime
            .run_in_tokio(async {
                let mut partial = pin!(join_all(some.iter_mut().map(Stream::read_line)));
                let mut whole = pin!(join_all(rest.iter_mut().map(Stream::read_line)));
                assert!(partial.as_mut().now_or_never().is_none());
                assert!(whole.as_mut().now_or_never().is_none());
                // All of them wait before anything comes: the engine has turns meanwhile.
                for _ in 0..5 {
                    tokio::task::yield_now().await;
                }
                // What comes first, for more streams than that, wakes nobody.
                for (number, peer) in peers.iter_mut().enumerate() {
                    let sent: &[u8] = if number < 500 { b"li" } else { b"line\n" };
                    peer.write_all(sent).unwrap();
                }
                assert!(whole.await.into_iter().all(|line| line.unwrap() == "line"));
                for peer in &mut peers[..500] {
                    peer.write_all(b"ne\n").unwrap();
                }
                assert!(partial.await.into_iter().all(|line| line.unwrap() == "line"));
            })
            .await
            .unwrap();
    });
}

#[test]
fn promise_08_dropped_it_loses_nothing() {
    run(async |runtime| {
        let (mut peer, stream) = pair(runtime.engine());
        let mut stream = Stream::from(stream);
        let read = runtime.run_in_tokio(stream.read_line());
        assert!(timeout(SOON, read).await.is_err());
        peer.write_all(b"one\ntwo\n").unwrap();
        let read = runtime.run_in_tokio(async {
            stream.write("answer").await.unwrap();
            stream.read_line().await
        });
        assert_eq!(read.await.unwrap().unwrap(), "one");
        let mut answer = [0; 6];
        peer.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
        // And outside of tokio the engine is what it was.
        assert_eq!(runtime.block_on(stream.read_line()).unwrap(), "two");
    });
}

#[test]
fn a_panic_goes_through_and_the_engine_goes_on() {
    run(async |runtime| {
        let panics = runtime.run_in_tokio(async { panic!("as the test wants it") });
        let panics = std::panic::AssertUnwindSafe(panics);
        assert!(panics.catch_unwind().await.is_err());
        let answer = runtime.run_in_tokio(async { 6 * 7 });
        assert_eq!(answer.await.unwrap(), 42);
    });
}
