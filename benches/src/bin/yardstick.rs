//! A server of this crate as a program: the yardsticks, ours, proxies, and with the feature `peers`
//! those on other libraries, and of HTTP. Ends by SIGTERM or SIGINT.

use std::process::ExitCode;

use facade_benches::servers;
use pico_args::Arguments;

fn main() -> ExitCode {
    match servers::run(Arguments::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("yardstick: {error}");
            eprintln!("usage: yardstick {}", servers::USAGE);
            ExitCode::FAILURE
        }
    }
}
