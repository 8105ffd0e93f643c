//! The hand-written servers as a program. Ends by SIGTERM or SIGINT.

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use facade_benches::process::{ANNOUNCEMENT, raise_file_limit};
use facade_benches::yardstick::{self, Options};
use pico_args::Arguments;

fn main() -> ExitCode {
    match run(Arguments::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("yardstick: {error}");
            eprintln!("usage: yardstick --server mio|epoll|uring --listen ADDR [--lines]");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let server: String = arguments.value_from_str("--server")?;
    let address: SocketAddr = arguments.value_from_str("--listen")?;
    let options = Options { lines: arguments.contains("--lines"), stop: None };
    let unknown = arguments.finish();
    if !unknown.is_empty() {
        return Err(format!("unknown arguments: {unknown:?}").into());
    }
    let serve = match server.as_str() {
        "mio" => yardstick::mio,
        "epoll" => yardstick::epoll,
        "uring" => yardstick::uring,
        _ => return Err(format!("no such server: {server}").into()),
    };
    raise_file_limit()?;
    let listener = yardstick::listen(address)?;
    writeln!(std::io::stdout(), "{ANNOUNCEMENT}{}", listener.local_addr()?)?;
    Ok(serve(listener, &options)?)
}
