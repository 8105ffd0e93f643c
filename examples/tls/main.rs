//! TLS over the streams of Facade, client and server: by callbacks with the state machine of rustls,
//! by futures with `futures-rustls`.

#[cfg(unix)]
mod callbacks;
#[cfg(unix)]
mod config;
#[cfg(unix)]
mod futures;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    config::run()
}

/// Its dependencies are not for Windows, see `Cargo.toml`.
#[cfg(not(unix))]
fn main() {
    eprintln!("this example is for Unix systems");
}
