//! Memory is bounded however long a program runs: a server that is never idle, once per driver.
#![allow(clippy::duplicate_mod, reason = "one suite, compiled once per driver")]

#[path = "."]
mod mio {
    use facade_tests::drivers::mio as driver;
    #[path = "never_idle.rs"]
    mod never_idle;
}

#[cfg(target_os = "linux")]
#[path = "."]
mod io_uring {
    use facade_tests::drivers::io_uring as driver;
    #[path = "never_idle.rs"]
    mod never_idle;
}

#[cfg(windows)]
#[path = "."]
mod iocp {
    use facade_tests::drivers::iocp as driver;
    #[path = "never_idle.rs"]
    mod never_idle;
}

#[path = "."]
mod sim {
    use facade_tests::drivers::sim as driver;
    #[path = "never_idle.rs"]
    mod never_idle;
}

#[cfg(windows)]
#[test]
fn what_is_left_out_here_is_said() {
    facade_tests::skipped::tell("bounds");
}
