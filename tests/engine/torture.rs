//! Torture: the system fails at a call, each of those that the engine makes and each way that it
//! may fail, at the first, second, third and fourth time. What is asked for has an outcome all the
//! same, once, and nothing hangs or leaks. What fails is injected by strace(1).

use std::{
    fs,
    io::ErrorKind,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use facade_engine::{
    Callback, DriverChoice, Engine, Error, Handle, Listener, Local, Result, Stream,
};
use facade_tests::{faults::with_faults, told::Told};

use super::driver;

/// How long an operation may take where nobody is to notice the fault: longer than any does...
const TIMEOUT: Duration = Duration::from_secs(20);
/// ...and where the other side of a connection that has failed waits in vain.
const SHORT: Duration = Duration::from_millis(300);
/// How many lines go each way on a connection.
const LINES: usize = 3;
const CONNECTIONS: usize = 3;

/// Counts operations and their outcomes.
#[derive(Clone)]
struct Count {
    fault: Arc<str>,
    submitted: Arc<AtomicUsize>,
    told: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
}

impl Count {
    fn new(fault: &str) -> Self {
        Self {
            fault: fault.into(),
            submitted: Arc::default(),
            told: Arc::default(),
            failed: Arc::default(),
        }
    }

    /// Whether nobody is to notice it.
    fn is_harmless(&self) -> bool {
        let passes = ["EINTR", "ECONNABORTED", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EPROTO"];
        let of_accept = self.fault.starts_with("accept4")
            && passes.iter().any(|error| self.fault.contains(error));
        // While it is built, another driver may be taken, or none: then nothing is asked of it.
        let waits = ["EAGAIN", "EBUSY", "ENOMEM"];
        let calls = ["io_uring_enter", "epoll_wait"];
        let of_waiting = calls.iter().any(|call| self.fault.starts_with(call))
            && waits.iter().any(|error| self.fault.contains(error));
        of_accept || of_waiting || self.fault.contains("EINTR")
    }
    /// A callback that goes on with a success, and puts up with failure.
    fn then<T: Send + 'static>(
        &self,
        next: impl FnOnce(&Local, T) + Send + 'static,
    ) -> Callback<T> {
        self.submitted.fetch_add(1, SeqCst);
        let this = self.clone();
        let callback = Callback::from_fn(move |local, outcome: Result<T>| {
            this.told.fetch_add(1, SeqCst);
            match outcome {
                Ok(value) => next(local, value),
                Err(error) => this.judge(&error),
            }
        });
        callback.timeout(if self.is_harmless() { TIMEOUT } else { SHORT })
    }
}

impl Count {
    fn judge(&self, error: &Error) {
        self.failed.fetch_add(1, SeqCst);
        match error {
            Error::InvalidInput { .. } | Error::Overloaded => panic!("who could cause {error:?}?"),
            Error::Io { cause, .. } => {
                let is_for_us = match cause.kind() {
                    ErrorKind::Interrupted => true,
                    ErrorKind::WouldBlock => !self.fault.starts_with("connect"),
                    _ => false,
                };
                assert!(!is_for_us, "{error:?} is nothing to tell");
            }
            _ => {}
        }
    }
}

fn serve(engine: &Handle, stream: Stream, count: &Count, left: usize) {
    let (count, again) = (count.clone(), stream.clone());
    if left == 0 {
        engine.close(&stream, count.then(|_, ()| ()));
        return;
    }
    let counts = count.clone();
    let next = count.then(move |engine, line| {
        engine.write_line(&again, line, counts.then(|_, _| ()));
        serve(engine, again, &counts, left - 1);
    });
    engine.read_line(&stream, next);
}

fn ask(engine: &Handle, stream: Stream, count: &Count, left: usize) {
    let (count, again) = (count.clone(), stream.clone());
    if left == 0 {
        let counts = count.clone();
        let last = stream.clone();
        let next = count.then(move |engine, ()| {
            engine.close(&last, counts.then(|_, ()| ()));
        });
        engine.shutdown_write(&stream, next);
        return;
    }
    engine.write_line(&stream, format!("line {left}"), count.then(|_, _| ()));
    let counts = count.clone();
    let next = count.then(move |engine, line| {
        assert_eq!(line, format!("line {left}"));
        ask(engine, again, &counts, left - 1);
    });
    engine.read_line(&stream, next);
}

fn accept(engine: &Handle, listener: &Listener, count: &Count) {
    let counts = count.clone();
    engine.accept(listener, count.then(move |engine, s| serve(engine, s, &counts, LINES)));
}

fn connect(engine: &Handle, address: SocketAddr, count: &Count) {
    let counts = count.clone();
    engine.connect(address, count.then(move |engine, s| ask(engine, s, &counts, LINES)));
}

/// Runs to the end. A wait that the system refuses is told, and another run goes on where it
/// stopped.
fn run(engine: &Engine, count: &Count) {
    for _ in 0..100 {
        match engine.run() {
            Ok(()) => return,
            Err(error) => assert!(!count.is_harmless(), "{error:?}"),
        }
    }
    panic!("the run does not end");
}

/// Connections over which lines go both ways; a read that times out; closes.
fn work(engine: &Engine, count: &Count) -> Result<()> {
    let listener = engine.listen("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    for _ in 0..CONNECTIONS {
        accept(engine, &listener, count);
        connect(engine, address, count);
    }
    engine.sleep(Duration::from_millis(1), count.then(|_, ()| ()));
    engine.submit_work(|| 42, count.then(|_, answer| assert_eq!(answer, 42)));
    run(engine, count);
    // Behind the fault, everything is as before.
    accept(engine, &listener, count);
    connect(engine, address, count);
    run(engine, count);
    Ok(())
}

/// The descriptors of this process but for the null device's, which the engine keeps for ever.
fn descriptors() -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let is_other = |path: &std::path::PathBuf| {
        fs::read_link(path)
            .is_ok_and(|target| target != Path::new("/dev/null") && !target.starts_with("/proc"))
    };
    links.filter(is_other).count()
}

fn torture(name: &str, faults: &[(&str, &[&str])]) {
    let faults: Vec<String> = faults
        .iter()
        .flat_map(|(call, errors)| errors.iter().map(move |error| (call, error)))
        .flat_map(|(call, error)| {
            // The program's loader closes files before this begins.
            let first = if *call == "close" { 12 } else { 0 };
            (1..=4).map(move |time| format!("{call}:error={error}:when={}", first + time))
        })
        .collect();
    with_faults(module_path!(), name, faults.iter().map(String::as_str), |fault| {
        // A close that was not made leaves what it should have closed.
        let counts = !fault.starts_with("close:");
        let before = if counts { descriptors() } else { 0 };
        let count = Count::new(fault);
        match driver::builder().build() {
            // What was asked for and cannot be had.
            Err(error) => {
                assert!(matches!(error, Error::Unsupported { .. } | Error::Io { .. }), "{error:?}");
            }
            Ok(engine) => {
                if let Err(error) = work(&engine, &count) {
                    assert!(matches!(error, Error::Io { .. }), "{error:?}");
                }
                drop(engine);
            }
        }
        assert_eq!(count.submitted.load(SeqCst), count.told.load(SeqCst), "each is told once");
        if count.is_harmless() {
            assert_eq!(count.failed.load(SeqCst), 0, "nobody notices {fault}");
        }
        if counts {
            // A worker that has done its job lets go of the engine when it gets to it.
            for _ in 0..100_000 {
                if descriptors() == before {
                    break;
                }
                thread::yield_now();
            }
            assert_eq!(descriptors(), before, "nothing leaks");
        }
    });
}

#[test]
fn torture_of_accepting_and_connecting() {
    torture(
        "torture_of_accepting_and_connecting",
        &[
            (
                "accept4",
                &[
                    "EINTR",
                    "EAGAIN",
                    "ECONNABORTED",
                    "EMFILE",
                    "ENFILE",
                    "ENOBUFS",
                    "ENOMEM",
                    "EPERM",
                    "EPROTO",
                ],
            ),
            ("connect", &["EINTR", "EAGAIN", "ECONNREFUSED", "ENETUNREACH", "EADDRNOTAVAIL"]),
            ("socket", &["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EACCES"]),
            ("close", &["EINTR", "EIO"]),
        ],
    );
}

#[test]
fn torture_of_receiving_and_sending() {
    torture(
        "torture_of_receiving_and_sending",
        &[
            ("recvmsg", &["EINTR", "EAGAIN", "ECONNRESET", "ENOMEM", "EIO"]),
            ("recvfrom", &["EINTR", "EAGAIN", "ECONNRESET", "ENOMEM", "EIO"]),
            ("sendto", &["EINTR", "EAGAIN", "ENOBUFS", "ENOMEM", "EPIPE", "ECONNRESET"]),
            ("sendmsg", &["EINTR", "EAGAIN", "ENOBUFS", "ECONNRESET"]),
            ("shutdown", &["ENOTCONN", "ENOBUFS"]),
        ],
    );
}

/// The system refuses to wait once the engine is built. Nothing comes any more, but a stop is seen;
/// and without one the run ends with the error.
#[test]
fn a_stop_is_seen_while_the_system_refuses_to_wait() {
    let faults = ["io_uring_enter:error=EAGAIN:when=3+", "epoll_wait:error=ENOMEM:when=3+"];
    let name = "a_stop_is_seen_while_the_system_refuses_to_wait";
    with_faults(module_path!(), name, faults, |fault| {
        let engine = driver::builder().build().unwrap();
        let guard = engine.keep_alive();
        let posted = Arc::new(AtomicUsize::new(0));
        let (handle, count) = (engine.handle().clone(), posted.clone());
        let stopper = thread::spawn(move || {
            for _ in 0..20 {
                let (sender, receiver) = std::sync::mpsc::channel();
                let count = count.clone();
                handle.post(move |_| {
                    count.fetch_add(1, SeqCst);
                    sender.send(()).unwrap();
                });
                receiver.recv().unwrap();
            }
            handle.stop();
        });
        engine.run().unwrap();
        stopper.join().unwrap();
        assert_eq!(posted.load(SeqCst), 20, "requests are seen, too");
        // The other driver waits by the other call.
        if fault.starts_with("io_uring_enter") == (engine.driver() == "io_uring") {
            let error = engine.run().unwrap_err();
            assert!(matches!(error, Error::Io { .. }), "{error:?}");
        }
        drop(guard);
    });
}

#[test]
fn torture_of_what_the_engine_itself_is_made_of() {
    torture(
        "torture_of_what_the_engine_itself_is_made_of",
        &[
            ("epoll_wait", &["EINTR", "EINVAL", "ENOMEM"]),
            ("epoll_ctl", &["ENOMEM", "ENOSPC", "EPERM", "EEXIST"]),
            ("epoll_create1", &["EMFILE"]),
            ("eventfd2", &["EMFILE", "ENFILE", "ENOMEM"]),
            ("io_uring_setup", &["EPERM", "ENOSYS", "ENOMEM", "EMFILE"]),
            ("io_uring_register", &["EINVAL", "ENOMEM"]),
            ("io_uring_enter", &["EINTR", "EAGAIN", "EBUSY", "ENOMEM", "EIO"]),
            ("clone3", &["EAGAIN"]),
        ],
    );
}

/// Where the system denies io_uring, asking for it says why, and `Auto` is the other driver.
#[test]
fn promise_19_a_driver_that_cannot_be_had_is_unsupported() {
    with_faults(
        module_path!(),
        "promise_19_a_driver_that_cannot_be_had_is_unsupported",
        [
            "io_uring_setup:error=EPERM",
            "io_uring_setup:error=ENOSYS",
            "io_uring_setup:error=ENOMEM",
            "io_uring_setup:error=EINVAL",
            "io_uring_register:error=EINVAL",
            "io_uring_enter:error=EPERM",
            "eventfd2:error=EMFILE:when=1",
        ],
        |fault| {
            let error = Engine::builder().driver(DriverChoice::IoUring).build().unwrap_err();
            let Error::Unsupported { what } = error else { panic!("{error:?}") };
            assert!(what.contains("io_uring"), "{what}");
            if fault.contains("when=1") {
                return;
            }
            let engine = Engine::new().unwrap();
            assert_eq!(engine.driver(), "mio");
            let told = Told::new();
            engine.sleep(Duration::ZERO, told.callback("slept"));
            engine.run().unwrap();
            assert_eq!(told.take(), ["slept Ok"]);
        },
    );
}
