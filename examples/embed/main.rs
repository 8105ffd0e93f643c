//! An engine inside the loop of another program: of `calloop`, and of one written on `mio`.

#[cfg(unix)]
mod callbacks;
#[cfg(unix)]
mod futures;
#[cfg(unix)]
mod in_calloop;
#[cfg(unix)]
mod in_mio;
#[cfg(unix)]
mod program;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    program::run()
}

/// There is no descriptor to wait for, and `EngineExt::waitable` is what takes its place.
#[cfg(not(unix))]
fn main() {
    eprintln!("this example is for Unix systems");
}
