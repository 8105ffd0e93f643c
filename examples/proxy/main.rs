//! A TCP proxy: what a client sends goes to the target, and what that answers comes back, each
//! with its own end.

mod callbacks;
mod futures;

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    process::ExitCode,
    str::FromStr,
};

use facade_engine::{DriverChoice, Engine};
use facade_examples::{Result, Style, driver, say, signals};

const USAGE: &str = "\
usage: proxy [--style callbacks|futures] [--driver auto|mio|io_uring|iocp] [--listen ADDR:PORT]
             HOST:PORT

Connects each client to HOST:PORT and copies both ways, up to the end of each; port 0 to listen at
picks one. Ends on SIGINT and SIGTERM.";

const LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7002));

/// Whom clients are connected to.
#[derive(Debug, Clone)]
struct Target {
    host: String,
    port: u16,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("{text:?} has no port"))?;
        let port = port.parse().map_err(|_| format!("{port:?} is no port"))?;
        Ok(Self { host: host.trim_matches(['[', ']']).to_owned(), port })
    }
}

struct Options {
    style: Style,
    driver: DriverChoice,
    listen: SocketAddr,
    target: Target,
}

fn main() -> ExitCode {
    facade_examples::run(
        USAGE,
        |arguments| {
            Ok(Options {
                style: arguments.opt_value_from_str("--style")?.unwrap_or(Style::Callbacks),
                driver: arguments.opt_value_from_fn("--driver", driver)?.unwrap_or_default(),
                listen: arguments.opt_value_from_str("--listen")?.unwrap_or(LISTEN),
                target: arguments.free_from_str()?,
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
        Style::Callbacks => callbacks::serve(&engine, &listener, &signals, options.target)?,
        Style::Futures => futures::serve(engine, listener, signals, options.target)?,
    }
    Ok(())
}
