//! Processes, terminals and signals as futures.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use facade_engine::{Engine, Error};
use facade_futures::{PtySize, Regex, Result, Runtime};
use facade_tests::{
    alone::alone,
    polls::poll_once,
    turns::{turn_until, turns},
};
use futures::{FutureExt, future::try_join};
use libc::SIGUSR1;
use signal_hook::low_level::raise;

use super::driver;

fn runtime() -> (Runtime, Engine) {
    (Runtime::from(driver::engine()), driver::engine())
}

#[test]
fn a_process_is_started_talked_to_and_waited_for() {
    let (runtime, _) = runtime();
    let io = runtime.io();
    runtime
        .block_on(async {
            let mut command = Command::new("cat");
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = io.spawn_child(command).await?;
            let mut stdin = child.stdin.take().unwrap();
            let stdout = child.stdout.as_mut().unwrap();
            stdin.write_line("line").await?;
            assert_eq!(stdout.read_line().await?, "line");
            drop(stdin);
            assert_eq!(stdout.read_all().await?, "");
            assert!(child.wait().await?.success());
            assert!(child.wait().await?.success());
            Result::Ok(())
        })
        .unwrap();
}

#[test]
fn promise_08_a_wait_that_is_dropped_loses_nothing() {
    let (runtime, _) = runtime();
    let io = runtime.io();
    runtime
        .block_on(async {
            let mut command = Command::new("sleep");
            command.arg("1000");
            let child = io.spawn_child(command).await?;
            let early = child.wait().timeout(Duration::from_millis(1)).await;
            assert!(matches!(early, Err(Error::TimedOut)));
            assert!(poll_once(&mut child.wait()).is_pending());
            assert!(child.wait().now_or_never().is_none());
            child.send_signal(libc::SIGTERM)?;
            assert!(!child.wait().await?.success());
            child.kill()
        })
        .unwrap();
}

#[test]
fn a_shell_in_a_terminal_is_talked_to() {
    let (runtime, _) = runtime();
    let io = runtime.io();
    runtime
        .block_on(async {
            let mut command = Command::new("sh");
            command.args(["-c", "read line; echo got $line; stty size"]);
            let (child, mut terminal) = io.spawn_pty(command, PtySize::default()).await?;
            child.resize(PtySize { rows: 7, cols: 77, ..PtySize::default() })?;
            terminal.write_line("this").await?;
            let said = terminal.read_until_regex(Regex::new("got this\r\n7 77\r\n").unwrap());
            said.await?;
            assert!(child.wait().await?.success());
            Result::Ok(())
        })
        .unwrap();
}

#[test]
fn promise_08_a_signal_is_not_lost_with_a_future_that_is_dropped() {
    let name = "promise_08_a_signal_is_not_lost_with_a_future_that_is_dropped";
    alone(module_path!(), name, || {
        let (runtime, _) = runtime();
        let io = runtime.io();
        // Before it comes; and when it has come and nobody has looked.
        assert!(io.signal(SIGUSR1).now_or_never().is_none());
        turns(runtime.engine(), 2);
        raise(SIGUSR1).unwrap();
        turns(runtime.engine(), 2);
        runtime.block_on(io.signal(SIGUSR1)).unwrap();
        let mut waits = io.signal(SIGUSR1);
        assert!(poll_once(&mut waits).is_pending());
        turns(runtime.engine(), 2);
        raise(SIGUSR1).unwrap();
        turns(runtime.engine(), 2);
        drop(waits);
        runtime.block_on(io.signal(SIGUSR1)).unwrap();
        let send = async {
            raise(libc::SIGINT).unwrap();
            Ok(())
        };
        runtime.block_on(try_join(io.ctrl_c(), send)).unwrap();
        turn_until(runtime.engine(), || true);
    });
}
