//! The modules of the suite that need a real system: sockets of std, and races between threads,
//! which are no race where time is simulated.

use super::driver;

#[path = "races.rs"]
mod races;

#[path = "system.rs"]
mod system;

#[path = "runtimes.rs"]
mod runtimes;

#[cfg(unix)]
#[path = "in_tokio.rs"]
mod in_tokio;

#[cfg(unix)]
#[path = "unix.rs"]
mod unix;

#[cfg(unix)]
#[path = "processes.rs"]
mod processes;
