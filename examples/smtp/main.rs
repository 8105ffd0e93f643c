//! Sends a mail by SMTP: a conversation of chained operations, each with a timeout.

mod callbacks;
mod futures;
mod mail;

use std::{
    io::{Read, stdin},
    process::ExitCode,
    time::Duration,
};

use facade_engine::{DriverChoice, Engine};
use facade_examples::{Result, Style, driver, say};

use crate::mail::{Mail, Mailbox, Server};

const USAGE: &str = "\
usage: smtp [--style callbacks|futures] [--driver auto|mio|io_uring|iocp] [--timeout SECONDS]
            --server HOST:PORT --from A --to B [--to C ...] < message

Sends the message on standard input, headers and all. Each step may take SECONDS, else 30.";

struct Options {
    style: Style,
    driver: DriverChoice,
    patience: Duration,
    server: Server,
    from: Mailbox,
    to: Vec<Mailbox>,
}

fn main() -> ExitCode {
    facade_examples::run(
        USAGE,
        |arguments| {
            let options = Options {
                style: arguments.opt_value_from_str("--style")?.unwrap_or(Style::Callbacks),
                driver: arguments.opt_value_from_fn("--driver", driver)?.unwrap_or_default(),
                patience: arguments
                    .opt_value_from_str("--timeout")?
                    .map_or(Duration::from_secs(30), Duration::from_secs),
                server: arguments.value_from_str("--server")?,
                from: arguments.value_from_str("--from")?,
                to: arguments.values_from_str("--to")?,
            };
            match options.to.is_empty() {
                true => Err(pico_args::Error::MissingOption("--to".into())),
                false => Ok(options),
            }
        },
        send,
    )
}

fn send(options: Options) -> Result<()> {
    let mut message = Vec::new();
    stdin().read_to_end(&mut message)?;
    let Options { style, driver, patience, server, from, to } = options;
    let engine = Engine::builder().driver(driver).build()?;
    let mail = Mail { server, from, to, message: message.into(), patience };
    let reply = match style {
        Style::Callbacks => callbacks::send(&engine, mail)?,
        Style::Futures => futures::send(engine, mail)?,
    };
    say(format_args!("sent: {}", String::from_utf8_lossy(&reply)))?;
    Ok(())
}
