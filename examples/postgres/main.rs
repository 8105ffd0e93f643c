//! A client of PostgreSQL by `tokio-postgres` over the streams of Facade, without tokio's runtime.

#[cfg(unix)]
mod postgres;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    postgres::run()
}

/// Its dependencies are not for Windows, see `Cargo.toml`.
#[cfg(not(unix))]
fn main() {
    eprintln!("this example is for Unix systems");
}
