//! The same futures under every executor: this crate's own, that of `futures`, tokio, smol.

use std::{sync::mpsc, thread};

use facade_engine::Error;
use facade_futures::{Background, Io, Runtime};
use facade_tests::polls::in_time;
use futures::{StreamExt as _, future::join_all};

use super::driver;

const CLIENTS: usize = 5;
const LINES: usize = 20;

/// Several clients talk to a server, all in one task.
async fn conversation(io: &Io) {
    let mut listener = io.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        let streams: Vec<_> = listener.incoming().take(CLIENTS).collect().await;
        join_all(streams.into_iter().map(async |stream| {
            let mut stream = stream.unwrap();
            let mut count = 0;
            loop {
                match stream.read_line().await {
                    Ok(line) => stream.write_line(line).await.unwrap(),
                    Err(Error::EndOfStream) => return count,
                    Err(error) => panic!("{error:?}"),
                };
                count += 1;
            }
        }))
        .await
    };
    let clients = join_all((0..CLIENTS).map(async |client| {
        let mut stream = io.connect(address).await.unwrap();
        for number in 0..LINES {
            let line = format!("{client}: {number}");
            stream.write_line(line.clone()).await.unwrap();
            assert_eq!(stream.read_line().await.unwrap(), line);
        }
        stream.shutdown_write().await.unwrap();
        assert_eq!(stream.read_all().await.unwrap(), "");
    }));
    let (counts, _) = in_time(io, futures::future::join(serve, clients)).await;
    assert_eq!(counts, [LINES; CLIENTS]);
}

#[test]
fn on_the_runtime() {
    let runtime = Runtime::from(driver::engine());
    runtime.block_on(conversation(runtime.io()));
    // And again: a runtime goes on after a future has ended.
    runtime.block_on(conversation(runtime.io()));
}

#[test]
fn in_tasks_of_the_runtime() {
    let runtime = Runtime::from(driver::engine());
    let tasks = [(); 4].map(|()| {
        let io = runtime.io().clone();
        runtime.spawn(async move { conversation(&io).await })
    });
    let io = runtime.io().clone();
    let local = runtime.spawn_local(async move { conversation(&io).await });
    runtime.block_on(async { (join_all(tasks).await, local.await) });
}

/// An engine that somebody else runs is an executor as well.
#[test]
fn in_tasks_of_a_plain_engine() {
    let engine = driver::engine();
    let io = Io::new(engine.handle().clone());
    let (sender, receiver) = mpsc::channel();
    let again = io.clone();
    let task = io.spawn(async move {
        conversation(&again).await;
        sender.send(()).unwrap();
    });
    task.detach();
    engine.run().unwrap();
    receiver.try_recv().expect("the run does not end before its tasks");
}

#[test]
fn under_the_executor_of_futures() {
    let background = Background::new(driver::builder()).unwrap();
    futures::executor::block_on(conversation(&background));
    let io = Io::new(background.handle().clone());
    let others: Vec<_> = (0..3)
        .map(|_| {
            let io = io.clone();
            thread::spawn(move || futures::executor::block_on(conversation(&io)))
        })
        .collect();
    for other in others {
        other.join().unwrap();
    }
    // A future may begin under one executor and end under another.
    let mut sleep = io.sleep(std::time::Duration::from_millis(1));
    // In simulated time it may be over by then.
    if facade_tests::polls::poll_once(&mut sleep).is_pending() {
        smol::block_on(sleep).unwrap();
    }
}

#[test]
fn under_tokio() {
    let background = Background::new(driver::builder()).unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    tokio.block_on(async {
        let tasks = [(); 4].map(|()| {
            let io = Io::clone(&background);
            tokio::spawn(async move { conversation(&io).await })
        });
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn under_smol() {
    let background = Background::new(driver::builder()).unwrap();
    smol::block_on(async {
        let tasks = [(); 4].map(|()| {
            let io = Io::clone(&background);
            smol::spawn(async move { conversation(&io).await })
        });
        join_all(tasks).await;
    });
}

#[test]
fn in_tasks_of_a_background_engine_awaited_elsewhere() {
    let background = Background::new(driver::builder()).unwrap();
    let io = Io::clone(&background);
    let task = background.spawn(async move {
        conversation(&io).await;
        thread::current().name().map(str::to_owned)
    });
    let name = futures::executor::block_on(task);
    assert_eq!(name.as_deref(), Some("facade-engine"), "tasks run on the engine's thread");
}

/// Two runtimes in one thread: the inner one runs inside a task of the outer.
#[test]
fn a_runtime_inside_a_task_of_another() {
    let outer = Runtime::from(driver::engine());
    let io = outer.io().clone();
    let task = outer.spawn_local(async move {
        let mut listener = io.listen("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Runtime::from(driver::engine());
        let mut theirs = inner.block_on(inner.io().connect(address)).unwrap();
        let mut ours = listener.accept().await.unwrap();
        ours.write_line("from the outer").await.unwrap();
        ours.flush().await.unwrap();
        assert_eq!(inner.block_on(theirs.read_line()).unwrap(), "from the outer");
        inner.block_on(theirs.write_line("from the inner")).unwrap();
        inner.block_on(theirs.flush()).unwrap();
        assert_eq!(ours.read_line().await.unwrap(), "from the inner");
    });
    outer.block_on(task);
}
