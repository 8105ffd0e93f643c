//! Torture of processes: the system fails at a call that starting one, waiting for it, ending it or
//! sizing its terminal takes, each of those calls and each time that it is made. Whoever asked hears
//! of it once, by an error that names what was asked for; no process, no zombie and no descriptor is
//! left, and the next ones are started as ever. What fails is injected by strace(1), here and in what
//! is started.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use facade_engine::{
    Bytes, Callback, Child, Engine, Error, IoOperation, Local, PtySize, Result, Stream,
};
use facade_tests::{children::children, faults::with_faults_met, turns::turn_until};

use super::driver;

/// Longer than anything takes here: a test that comes to it has found a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts operations and their outcomes.
#[derive(Clone, Default)]
struct Count {
    submitted: Arc<AtomicUsize>,
    told: Arc<AtomicUsize>,
}

impl Count {
    /// A callback that goes on with a success, and puts up with a failure of one of these kinds.
    fn then<T: Send + 'static>(
        &self,
        may_fail: &'static [IoOperation],
        next: impl FnOnce(&Local, T) + Send + 'static,
    ) -> Callback<T> {
        self.submitted.fetch_add(1, SeqCst);
        let this = self.clone();
        let callback = Callback::from_fn(move |local, outcome| {
            this.told.fetch_add(1, SeqCst);
            match outcome {
                Ok(value) => next(local, value),
                Err(error) => judge(may_fail, &error),
            }
        });
        callback.timeout(PATIENCE)
    }
}

/// What fails names what was asked for, and has the system's word.
fn judge(may_fail: &[IoOperation], error: &Error) {
    match error {
        Error::Io { operation, cause } => {
            assert!(may_fail.contains(operation), "{may_fail:?} and not {error:?}");
            assert!(cause.raw_os_error().is_some() && cause.on().is_some(), "{error:?}");
        }
        // What was started has failed by itself.
        Error::EndOfStream if may_fail.contains(&IoOperation::Read) => {}
        _ => panic!("who could cause {error:?}?"),
    }
}

/// The same of what is no operation. Returns whether it has failed.
fn has_failed(may_fail: &[IoOperation], outcome: Result<()>) -> bool {
    outcome.inspect_err(|error| judge(may_fail, error)).is_err()
}

/// A shell that shares nothing with this process.
fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

const SPAWN: &[IoOperation] = &[IoOperation::Spawn];
const WAIT: &[IoOperation] = &[IoOperation::Wait];
const SIGNAL: &[IoOperation] = &[IoOperation::Signal];
const RESIZE: &[IoOperation] = &[IoOperation::Resize];
const READ: &[IoOperation] = &[IoOperation::Read];
const WRITE: &[IoOperation] = &[IoOperation::Write];

/// Processes with pipes, without, and in a terminal, which end by themselves or are ended.
fn work(engine: &Engine, count: &Count) {
    let counts = count.clone();
    let mut command = shell("read line; echo $line; echo complaint >&2");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let talk = move |local: &Local, child: Child| {
        let [stdin, stdout, stderr] =
            [&child.stdin, &child.stdout, &child.stderr].map(|pipe| pipe.as_ref().unwrap());
        local.write_line(stdin, "line", counts.then(WRITE, |_, _| ()));
        let echoed = |_: &Local, line: Bytes| assert_eq!(line, "line");
        local.read_line(stdout, counts.then(READ, echoed));
        local.read_all(stderr, counts.then(READ, |_, _| ()));
        local.wait(&child, counts.then(WAIT, |_, _| ()));
    };
    engine.spawn(command, count.then(SPAWN, talk));

    for by_force in [true, false] {
        let counts = count.clone();
        let end = move |local: &Local, child: Child| {
            local.wait(&child, counts.then(WAIT, |_, _| ()));
            let end = || match by_force {
                true => local.kill(&child),
                false => local.send_signal(&child, libc::SIGTERM),
            };
            if has_failed(SIGNAL, end()) {
                assert!(!has_failed(SIGNAL, end()), "it was to fail once");
            }
        };
        engine.spawn(shell("exec sleep 1000"), count.then(SPAWN, end));
    }

    let counts = count.clone();
    let type_in = move |local: &Local, (child, terminal): (Child, Stream)| {
        has_failed(RESIZE, local.resize(&child, PtySize { rows: 50, ..PtySize::default() }));
        local.write_line(&terminal, "line", counts.then(WRITE, |_, _| ()));
        local.read_all(&terminal, counts.then(READ, |_, _| ()));
        local.wait(&child, counts.then(WAIT, |_, _| ()));
    };
    let reader = || shell("read line; echo read: $line");
    engine.spawn_pty(reader(), PtySize::default(), count.then(SPAWN, type_in));
    // Nobody keeps this one, nor waits for it.
    engine.spawn_pty(reader(), PtySize::default(), count.then(SPAWN, |_, _: (Child, Stream)| ()));
    engine.run().unwrap();
}

/// The descriptors of this process but for the null device's, which the engine keeps for ever.
fn descriptors() -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let is_other = |path: &PathBuf| {
        fs::read_link(path)
            .is_ok_and(|target| target != Path::new("/dev/null") && !target.starts_with("/proc"))
    };
    links.filter(is_other).count()
}

fn torture(name: &str, faults: &[&str]) {
    // With `each` it stands for as many faults: one each time that the call is made.
    let each_time = |fault: &&str| -> Vec<String> {
        match fault.rsplit_once(":each=") {
            Some((fault, times)) => (1..=times.parse().unwrap())
                .map(|time: u32| format!("{fault}:when={time}"))
                .collect(),
            None => vec![(*fault).to_owned()],
        }
    };
    let faults: Vec<String> = faults.iter().flat_map(each_time).collect();
    // Which ones are there to be met with goes by the driver and the C library.
    let met = faults.len() / 2;
    with_faults_met(module_path!(), name, faults.iter().map(String::as_str), met, |_| {
        // What the engine itself is made of fails elsewhere, see `torture.rs`.
        let Ok(engine) = driver::builder().build() else { return };
        let before = descriptors();
        let count = Count::default();
        // Each thread has its fault once, and each process: the engine goes on, whoever had it.
        for _ in 0..2 {
            work(&engine, &count);
        }
        assert_eq!(count.submitted.load(SeqCst), count.told.load(SeqCst), "each is told once");
        let _guard = engine.keep_alive();
        turn_until(&engine, || children().is_empty());
        turn_until(&engine, || descriptors() == before);
    });
}

#[test]
fn torture_of_starting() {
    torture(
        "torture_of_starting",
        &[
            "pipe2:error=EMFILE:each=4",
            "pipe2:error=ENFILE:when=1",
            "clone:error=EAGAIN:when=1",
            "clone3:error=EAGAIN:each=3",
            "execve@/bin/sh:error=EACCES:when=1",
            "dup2:error=EBUSY:when=1",
            // Those of a pipe or terminal that is made non-blocking when its process runs already.
            "fcntl:error=EPERM:each=12",
        ],
    );
}

#[test]
fn torture_of_terminals() {
    torture(
        "torture_of_terminals",
        &[
            "openat@/dev/ptmx:error=EMFILE:when=1",
            "openat@/dev/ptmx:error=ENOSPC:when=1",
            "ioctl:error=EIO:each=8",
            "setsid:error=EPERM:when=1",
        ],
    );
}

#[test]
fn torture_of_waiting_and_ending() {
    torture(
        "torture_of_waiting_and_ending",
        &[
            "pidfd_open:error=EMFILE:each=2",
            "pidfd_send_signal:error=EPERM:each=2",
            "pidfd_send_signal:error=ENOSYS",
            // By the descriptor, by the number, and by neither.
            "waitid:error=EINTR:when=1",
            "waitid:error=EINVAL:each=3",
            "waitid:error=EINVAL:when=1..2",
            "waitid:error=EINVAL:when=2..5",
            "epoll_ctl:error=ENOMEM:each=6",
            // No descriptor of the process, and no thread to wait for it.
            "pidfd_open:error=EMFILE, clone3:error=EAGAIN:when=2",
            "pidfd_open:error=EMFILE, clone3:error=EAGAIN:when=2..6",
        ],
    );
}
