//! A client of Redis by hand: all commands in one write, the answers read in order (pipelining).

mod callbacks;
mod futures;
mod resp;

use std::{
    io::{Read, stdin},
    net::SocketAddr,
    process::ExitCode,
    time::Duration,
};

use facade_engine::{DriverChoice, Engine, Limits};
use facade_examples::{Result, Style, driver};

use crate::resp::Pipeline;

const USAGE: &str = "\
usage: redis [--style callbacks|futures] [--driver auto|mio|io_uring|iocp] --server ADDR:PORT
             < commands

Sends the commands on standard input, one a line, all at once, and prints the answer to each.";

/// How long the connection may take, and then all answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an answer may be: reads by a matcher end within `Limits::line`.
const LONGEST: usize = 16 << 20;

struct Options {
    style: Style,
    driver: DriverChoice,
    server: SocketAddr,
}

fn main() -> ExitCode {
    facade_examples::run(
        USAGE,
        |arguments| {
            Ok(Options {
                style: arguments.opt_value_from_str("--style")?.unwrap_or(Style::Callbacks),
                driver: arguments.opt_value_from_fn("--driver", driver)?.unwrap_or_default(),
                server: arguments.value_from_str("--server")?,
            })
        },
        talk,
    )
}

fn talk(Options { style, driver, server }: Options) -> Result<()> {
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    let commands = Pipeline::of_lines(&text);
    let limits = Limits { line: LONGEST, ..Limits::default() };
    let engine = Engine::builder().driver(driver).limits(limits).build()?;
    match style {
        Style::Callbacks => callbacks::talk(&engine, server, commands),
        Style::Futures => futures::talk(engine, server, commands),
    }
}
