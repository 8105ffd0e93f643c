//! What /proc tells of an engine, and its files, which the system makes up as they are read.

use std::{
    fs::{self, File as StdFile},
    io::{Read, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

use facade_engine::{Bytes, Callback};
use facade_tests::{outcome::Outcome, told::Told, turns::turns};

use super::driver::{self, pair, pass};

#[test]
fn promise_18_an_idle_engine_makes_no_system_calls() {
    let (idle, is_idle) = mpsc::channel();
    let runner = thread::spawn(move || {
        let engine = driver::engine();
        let _guard = engine.keep_alive();
        let listener = engine.listen("127.0.0.1:0").unwrap();
        let (mut peer, stream) = pair(&engine);
        engine.accept(&listener, Callback::ignore());
        engine.sleep(Duration::from_secs(1000), Callback::ignore());
        engine.read_line(&stream, Callback::ignore());
        peer.write_all(b"line\nand more").unwrap();
        turns(&engine, 5);
        engine.read_line(&stream, Callback::ignore());
        turns(&engine, 5);
        idle.send((rustix::thread::gettid(), engine.handle().clone())).unwrap();
        engine.run().unwrap();
    });
    let (thread, handle) = is_idle.recv().unwrap();
    // A thread that makes a system call has to run for it, and to go to sleep again behind it.
    let sleeps = || {
        let path = format!("/proc/self/task/{}/status", thread.as_raw_nonzero());
        let status = fs::read_to_string(path).unwrap();
        let is_count = |line: &&str| line.contains("ctxt_switches");
        status.lines().filter(is_count).map(str::to_owned).collect::<Vec<_>>()
    };
    let state = || {
        let path = format!("/proc/self/task/{}/stat", thread.as_raw_nonzero());
        fs::read_to_string(path).unwrap().rsplit(')').next().unwrap()[1..2].to_owned()
    };
    while state() != "S" {
        thread::yield_now();
    }
    let before = sleeps();
    assert_eq!(before.len(), 2);
    pass(Duration::from_millis(300));
    assert_eq!(sleeps(), before);
    handle.stop();
    runner.join().unwrap();
}

/// The system gives this file out in pieces, whatever is asked for.
#[test]
fn a_read_that_comes_in_pieces_is_whole() {
    const SIZE: usize = 100_000;
    let engine = driver::engine();
    let symbols = || StdFile::open("/proc/kallsyms").unwrap();
    let (mut expected, mut piece) = (Vec::new(), [0; SIZE]);
    let first = symbols().read(&mut piece).unwrap();
    assert!((1..SIZE).contains(&first), "it is given out in pieces");
    symbols().take(SIZE as u64).read_to_end(&mut expected).unwrap();
    let file = engine.attach_file(symbols()).unwrap();
    let outcome = Outcome::<Bytes>::new();
    engine.read_at(&file, 0, SIZE, outcome.callback());
    engine.run().unwrap();
    assert_eq!(outcome.value(), expected);
}

/// The system refuses to make so much room for the content of such a file, however small that is.
#[test]
fn a_file_that_the_system_makes_up_is_read_however_much_is_asked_for() {
    let path = "/proc/sys/kernel/ostype";
    let content = fs::read(path).unwrap();
    let engine = driver::engine();
    let file = engine.attach_file(fs::File::open(path).unwrap()).unwrap();
    let told = Told::new();
    for size in [16 << 20, 4 << 20, 100_000, 2] {
        engine.read_at(&file, 0, size, told.value(size));
        engine.run().unwrap();
        let expected = Bytes::copy_from_slice(&content[..size.min(content.len())]);
        assert_eq!(told.take(), [format!("{size} {expected:?}")]);
    }
    let stream = engine.attach(fs::File::open(path).unwrap()).unwrap();
    engine.read_all(&stream, told.value("all"));
    engine.run().unwrap();
    assert_eq!(told.take(), [format!("all {:?}", Bytes::from(content))]);
}

#[test]
fn a_sync_that_the_system_refuses_says_why() {
    let engine = driver::engine();
    // Files of procfs have nothing to sync, fsync(2) says EINVAL.
    let path = "/proc/sys/kernel/ostype";
    let file = engine.attach_file(fs::File::open(path).unwrap()).unwrap();
    let told = Told::new();
    engine.sync(&file, told.callback("sync"));
    engine.read_at(&file, 0, 5, told.value("goes on"));
    engine.run().unwrap();
    let mut told = told.take();
    told.sort();
    assert_eq!(told, ["goes on b\"Linux\"", "sync Io(sync, InvalidInput)"]);
}
