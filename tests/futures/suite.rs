//! The modules of the suite, listed once. Each test says `super::driver::engine()`.

use super::driver;

#[path = "http.rs"]
mod http;

#[path = "tokio_traits.rs"]
mod tokio_traits;

#[path = "lossless.rs"]
mod lossless;

#[path = "operations.rs"]
mod operations;

#[path = "copies.rs"]
mod copies;

#[path = "executors.rs"]
mod executors;

#[path = "polling.rs"]
mod polling;

#[path = "datagrams.rs"]
mod datagrams;

#[path = "tasks.rs"]
mod tasks;

#[path = "traits.rs"]
mod traits;

#[path = "time.rs"]
mod time;

#[path = "types.rs"]
mod types;

#[path = "names.rs"]
mod names;

#[cfg(unix)]
#[path = "shared_ports.rs"]
mod shared_ports;
