//! An echo server: what comes is sent back, raw or line by line, on one thread.

mod callbacks;
mod futures;

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    process::ExitCode,
};

use facade_engine::{DriverChoice, Engine};
use facade_examples::{Result, Style, driver, say, signals};

const USAGE: &str = "\
usage: echo [--style callbacks|futures] [--driver auto|mio|io_uring] [--listen ADDR:PORT] [--lines]

Sends back what comes, or with --lines each line as a line; port 0 picks one. Ends on SIGINT and
SIGTERM.";

const LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7000));

struct Options {
    style: Style,
    driver: DriverChoice,
    listen: SocketAddr,
    lines: bool,
}

fn main() -> ExitCode {
    facade_examples::run(
        USAGE,
        |arguments| {
            Ok(Options {
                style: arguments.opt_value_from_str("--style")?.unwrap_or(Style::Callbacks),
                driver: arguments.opt_value_from_fn("--driver", driver)?.unwrap_or_default(),
                listen: arguments.opt_value_from_str("--listen")?.unwrap_or(LISTEN),
                lines: arguments.contains("--lines"),
            })
        },
        serve,
    )
}

fn serve(options: Options) -> Result<()> {
    let engine = Engine::builder().driver(options.driver).build()?;
    let signals = signals(&engine)?;
    let listener = engine.listen(options.listen)?;
    say(format_args!("listening on {}", listener.local_addr()?))?;
    match options.style {
        Style::Callbacks => callbacks::serve(&engine, &listener, &signals, options.lines)?,
        Style::Futures => futures::serve(engine, listener, signals, options.lines)?,
    }
    Ok(())
}
