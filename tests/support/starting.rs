//! Starting another process.

use std::{
    io,
    process::{Child, Command, Output},
};

/// How often a process is started that dies before it runs.
const ATTEMPTS: usize = 5;

/// Whether that is Wine's word, `ERROR_INTERNAL_ERROR`, for a new process that died before it ran
/// any code of its program. On a busy machine about one in a thousand does, of programs of std alone
/// as of ours.
fn died_unborn(code: Option<i32>) -> bool {
    cfg!(windows) && code == Some(1359)
}

/// Starts a process, and once more if it died before it ran any of its program. What `start` fails
/// with is asked for its code of the system by `code`.
///
/// # Errors
///
/// What `start` fails with otherwise.
pub fn start<T, E>(
    mut start: impl FnMut() -> Result<T, E>,
    code: impl Fn(&E) -> Option<i32>,
) -> Result<T, E> {
    let mut attempts = 1;
    loop {
        match start() {
            Err(error) if died_unborn(code(&error)) && attempts < ATTEMPTS => attempts += 1,
            outcome => return outcome,
        }
    }
}

/// Starts a program.
///
/// # Panics
///
/// If it cannot be started.
pub fn spawn(command: &mut Command) -> Child {
    start(|| command.spawn(), io::Error::raw_os_error).unwrap()
}

/// Runs a program to its end; returns how it ended and what it told.
///
/// # Panics
///
/// If it cannot be started.
pub fn output(command: &mut Command) -> Output {
    start(|| command.output(), io::Error::raw_os_error).unwrap()
}
