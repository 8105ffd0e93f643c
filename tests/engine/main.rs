//! The engine's behaviour: every promise of its contract, once per driver.
#![allow(clippy::duplicate_mod, reason = "one suite, compiled once per driver")]

#[path = "."]
mod mio {
    use facade_tests::drivers::mio as driver;
    #[path = "real.rs"]
    mod real;
    #[path = "suite.rs"]
    mod suite;
}

#[cfg(target_os = "linux")]
#[path = "."]
mod io_uring {
    use facade_tests::drivers::io_uring as driver;
    #[path = "real.rs"]
    mod real;
    #[path = "suite.rs"]
    mod suite;
}

#[cfg(windows)]
#[path = "."]
mod iocp {
    use facade_tests::drivers::iocp as driver;
    #[path = "real.rs"]
    mod real;
    #[path = "suite.rs"]
    mod suite;
}

#[path = "."]
mod sim {
    use facade_tests::drivers::sim as driver;
    #[path = "suite.rs"]
    mod suite;
}

#[cfg(windows)]
#[test]
fn what_is_left_out_here_is_said() {
    facade_tests::skipped::tell("engine");
}
