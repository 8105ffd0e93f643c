//! An echo server: what comes is sent back, raw or line by line, on one thread or on several cores.

mod callbacks;
mod futures;
mod repeating;

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    process::ExitCode,
    str::FromStr,
};

use facade_engine::{Callback, DriverChoice, Engine};
use facade_examples::{Result, driver, say, signals};
use facade_futures::Runtimes;

const USAGE: &str = "\
usage: echo [--style callbacks|repeating|futures] [--driver auto|mio|io_uring|iocp]
            [--listen ADDR:PORT] [--lines] [--engines N]

Sends back what comes, or with --lines each line as a line; port 0 picks one. With --engines N,
N engines serve, each on a thread of its own. Ends on SIGINT and SIGTERM.";

const LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7000));

/// How it is written.
enum Style {
    Callbacks,
    Repeating,
    Futures,
}

impl FromStr for Style {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        match name {
            "callbacks" => Ok(Self::Callbacks),
            "repeating" => Ok(Self::Repeating),
            "futures" => Ok(Self::Futures),
            _ => Err(format!("{name:?} is no style: callbacks, repeating or futures")),
        }
    }
}

struct Options {
    style: Style,
    driver: DriverChoice,
    listen: SocketAddr,
    lines: bool,
    engines: Option<usize>,
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
                engines: arguments.opt_value_from_str("--engines")?,
            })
        },
        serve,
    )
}

fn serve(options: Options) -> Result<()> {
    let builder = Engine::builder().driver(options.driver);
    let engine = builder.clone().build()?;
    let signals = signals(&engine)?;
    if let Some(count) = options.engines {
        let runtimes = Runtimes::from(builder.build_engines(count)?);
        let Options { listen, lines, .. } = options;
        let address = match options.style {
            Style::Callbacks => runtimes.engines().listen(listen, move |engine, listener| {
                callbacks::serve_beside_others(engine, &listener, lines);
            })?,
            Style::Repeating => runtimes.engines().listen(listen, move |engine, listener| {
                repeating::serve_beside_others(engine, &listener, lines);
            })?,
            Style::Futures => runtimes.listen(listen, move |io, listener| {
                futures::serve_beside_others(io, listener, lines)
            })?,
        };
        say(format_args!("listening on {address}"))?;
        // They serve on their threads, and end when this one has seen a signal.
        engine.read_chunk(&signals, 1, Callback::ignore());
        return Ok(engine.run()?);
    }
    let listener = engine.listen(options.listen)?;
    say(format_args!("listening on {}", listener.local_addr()?))?;
    match options.style {
        Style::Callbacks => callbacks::serve(&engine, &listener, &signals, options.lines)?,
        Style::Repeating => repeating::serve(&engine, &listener, &signals, options.lines)?,
        Style::Futures => futures::serve(engine, listener, signals, options.lines)?,
    }
    Ok(())
}
