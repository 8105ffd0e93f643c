//! A server of this crate as a program: the yardsticks, ours, and with the feature `peers` those
//! on other libraries. Ends by SIGTERM or SIGINT.

use std::process::ExitCode;

use facade_benches::servers;
use pico_args::Arguments;

fn main() -> ExitCode {
    match servers::run(Arguments::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("yardstick: {error}");
            eprintln!(
                "usage: yardstick --server NAME --listen ADDR [--lines] [--engines N [--steer]]"
            );
            ExitCode::FAILURE
        }
    }
}
