//! A chat: who connects says a name, and then everybody hears every line. Try it by
//! `nc 127.0.0.1 7004`, twice.

mod callbacks;
mod futures;

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    process::ExitCode,
    time::Duration,
};

use facade_engine::{Bytes, DriverChoice, Engine, Limits};
use facade_examples::{Result, Style, driver, say, signals};

const USAGE: &str = "\
usage: chat [--style callbacks|futures] [--driver auto|mio|io_uring|iocp] [--listen ADDR:PORT]

A line chat; port 0 picks one. Who does not read what is said is shown out, and so is who says nothing
for an hour. Ends on SIGINT and SIGTERM.";

const LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7004));

/// Who says nothing for so long is shown out.
const IDLE: Duration = Duration::from_secs(3600);

/// A line may be a few screens, and whoever does not read what is said is sent no more than this.
fn limits() -> Limits {
    Limits { line: 4096, queued: 256 << 10, unsent: 16 << 10, ..Limits::default() }
}

struct Options {
    style: Style,
    driver: DriverChoice,
    listen: SocketAddr,
}

fn main() -> ExitCode {
    facade_examples::run(
        USAGE,
        |arguments| {
            Ok(Options {
                style: arguments.opt_value_from_str("--style")?.unwrap_or(Style::Callbacks),
                driver: arguments.opt_value_from_fn("--driver", driver)?.unwrap_or_default(),
                listen: arguments.opt_value_from_str("--listen")?.unwrap_or(LISTEN),
            })
        },
        serve,
    )
}

fn serve(options: Options) -> Result<()> {
    let engine = Engine::builder().driver(options.driver).limits(limits()).build()?;
    let signals = signals(&engine)?;
    let listener = engine.listen(options.listen)?;
    say(format_args!("listening on {}", listener.local_addr()?))?;
    match options.style {
        Style::Callbacks => callbacks::serve(&engine, &listener, &signals)?,
        Style::Futures => futures::serve(engine, listener.into(), signals.into())?,
    }
    Ok(())
}

/// What everybody hears of somebody who comes, says something, and goes.
fn here(name: &[u8]) -> Bytes {
    [b"* ", name, b" is here"].concat().into()
}

fn said(name: &[u8], line: &[u8]) -> Bytes {
    [name, b": ", line].concat().into()
}

fn left(name: &[u8]) -> Bytes {
    [b"* ", name, b" has left"].concat().into()
}
