//! WebSockets by `async-tungstenite` over the streams of Facade, server and client.

#[cfg(unix)]
mod websocket;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    websocket::run()
}

/// Its dependencies are not for Windows, see `Cargo.toml`.
#[cfg(not(unix))]
fn main() {
    eprintln!("this example is for Unix systems");
}
