//! A small HTTP/1.1 server: keep-alive, pipelining, bodies with a `Content-Length`.

mod callbacks;
mod futures;
mod message;

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    process::ExitCode,
};

use facade_engine::{DriverChoice, Engine, Limits};
use facade_examples::{Result, Style, driver, say, signals};

const USAGE: &str = "\
usage: http [--style callbacks|futures] [--driver auto|mio|io_uring|iocp] [--listen ADDR:PORT]

Answers GET and HEAD of / and POST to /echo, which sends the body back; port 0 picks one. Ends on
SIGINT and SIGTERM.";

const LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080));

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
    // A head is read up to a delimiter, so it is the limit for lines that bounds it.
    let limits = Limits { line: message::HEAD_MAX, ..Limits::default() };
    let engine = Engine::builder().driver(options.driver).limits(limits).build()?;
    let signals = signals(&engine)?;
    let listener = engine.listen(options.listen)?;
    say(format_args!("listening on {}", listener.local_addr()?))?;
    match options.style {
        Style::Callbacks => callbacks::serve(&engine, &listener, &signals)?,
        Style::Futures => futures::serve(engine, listener, signals)?,
    }
    Ok(())
}
