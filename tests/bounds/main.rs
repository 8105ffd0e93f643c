//! Memory is bounded however long a program runs: a server that is never idle, once per driver. Not yet
//! on io_uring, whose buffers for bursts grow to their size later than the first operations.
#![allow(clippy::duplicate_mod, reason = "one suite, compiled once per driver")]

#[path = "."]
mod mio {
    use facade_tests::drivers::mio as driver;
    #[path = "never_idle.rs"]
    mod never_idle;
}

#[path = "."]
mod sim {
    use facade_tests::drivers::sim as driver;
    #[path = "never_idle.rs"]
    mod never_idle;
}
