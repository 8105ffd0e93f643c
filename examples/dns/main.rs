//! A stub resolver: asks one server for the addresses of a name, by UDP, and asks again if no answer
//! comes (RFC 1035, sections 4.1 and 4.2.1).

mod callbacks;
mod futures;
mod message;

use std::{
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    sync::mpsc,
    time::Duration,
};

use facade_engine::{DriverChoice, Engine};
use facade_examples::{Result, Style, driver, say};
use facade_futures::Runtime;

use crate::message::{Question, Type};

const USAGE: &str = "\
usage: dns [--style callbacks|futures] [--driver auto|mio|io_uring|iocp] --server ADDR:PORT
           [--ipv6] --name NAME

Prints the addresses of NAME, one a line: those of IPv4, or with --ipv6 of IPv6.";

/// How often the question is sent, and how long each time an answer is waited for.
const TRIES: u32 = 4;
const PATIENCE: Duration = Duration::from_millis(500);

struct Options {
    style: Style,
    driver: DriverChoice,
    server: SocketAddr,
    kind: Type,
    name: String,
}

fn main() -> ExitCode {
    facade_examples::run(
        USAGE,
        |arguments| {
            Ok(Options {
                style: arguments.opt_value_from_str("--style")?.unwrap_or(Style::Callbacks),
                driver: arguments.opt_value_from_fn("--driver", driver)?.unwrap_or_default(),
                server: arguments.value_from_str("--server")?,
                kind: if arguments.contains("--ipv6") { Type::Aaaa } else { Type::A },
                name: arguments.value_from_str("--name")?,
            })
        },
        |options| {
            for address in resolve(options)? {
                say(address)?;
            }
            Ok(())
        },
    )
}

fn resolve(options: Options) -> Result<Vec<IpAddr>> {
    let engine = Engine::builder().driver(options.driver).build()?;
    let question = Question::new(&options.name, options.kind)?;
    match options.style {
        Style::Callbacks => {
            let (tell, told) = mpsc::channel();
            let socket = engine.connect_udp(options.server)?;
            callbacks::resolve(&engine, socket, question, TRIES, move |outcome| {
                // Nobody has gone: this is the engine's thread.
                let _ = tell.send(outcome);
            });
            engine.run()?;
            told.recv()?
        }
        Style::Futures => {
            let runtime = Runtime::from(engine);
            let io = runtime.io().clone();
            runtime.block_on(futures::resolve(&io, options.server, &question))
        }
    }
}
