//! Events of the console, in the place of signals: Ctrl-C is SIGINT, Ctrl-Break SIGBREAK, with the
//! numbers that the C library gives them.
//!
//! One block is unsafe: a function is registered that the system calls, on a thread of its own.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use windows_sys::{
    Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler},
    core::BOOL,
};

use crate::pure::error::{Error, IoOperation, Result};

const SIGINT: i32 = 2;
const SIGBREAK: i32 = 21;

/// Told of an event as long as this lives.
#[derive(Debug)]
pub(crate) struct Registration(u64);

type Tell = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Console {
    /// The system calls `handle`.
    is_watched: bool,
    /// Events that the process does not end of any more.
    asked: Vec<u32>,
    told: Vec<(u64, u32, Tell)>,
}

static CONSOLE: Mutex<Console> =
    Mutex::new(Console { is_watched: false, asked: Vec::new(), told: Vec::new() });

/// Has `tell` be called whenever the console says that this has been typed. From now on the process
/// does not end of it.
#[expect(unsafe_code, reason = "a function is registered that the system calls")]
pub(crate) fn watch(number: i32, tell: impl Fn() + Send + Sync + 'static) -> Result<Registration> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let event = event(number)?;
    let mut console = lock();
    if !console.is_watched {
        // SAFETY: a function that may be called on any thread at any time, and does not unwind.
        if unsafe { SetConsoleCtrlHandler(Some(handle), 1) } == 0 {
            return Err(Error::io_on(IoOperation::Signal, number, io::Error::last_os_error()));
        }
        console.is_watched = true;
    }
    if !console.asked.contains(&event) {
        console.asked.push(event);
    }
    let id = NEXT.fetch_add(1, Relaxed);
    console.told.push((id, event, Arc::new(tell)));
    Ok(Registration(id))
}

/// Fails if there is no such signal here.
#[cfg(feature = "sim")]
pub(crate) fn check(number: i32) -> Result<()> {
    event(number).map(drop)
}

fn event(number: i32) -> Result<u32> {
    match number {
        SIGINT => Ok(CTRL_C_EVENT),
        SIGBREAK => Ok(CTRL_BREAK_EVENT),
        _ => Err(Error::unsupported(format_args!("signal {number} on Windows"))),
    }
}

/// Returns whether the event was dealt with, else the system ends the process.
extern "system" fn handle(event: u32) -> BOOL {
    let console = lock();
    console.told.iter().filter(|told| told.1 == event).for_each(|(_, _, tell)| tell());
    console.asked.contains(&event).into()
}

fn lock() -> MutexGuard<'static, Console> {
    CONSOLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock().told.retain(|told| told.0 != self.0);
    }
}
