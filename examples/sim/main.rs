//! Takes the mail client of the `smtp` example, in both styles, through a thousand bad networks.
//!
//! The client is the same source: it cannot tell a simulated engine from a real one. A small server
//! lives on another host of the network, and after each seed the mail must have arrived whole and
//! once, or the client must have said that something went wrong.

#[path = "../smtp/callbacks.rs"]
mod callbacks;
#[path = "../smtp/futures.rs"]
mod futures;
#[path = "../smtp/mail.rs"]
mod mail;
mod server;

use std::{cell::Cell, process::ExitCode, str::FromStr, time::Duration};

use bytes::Bytes;
use facade_engine::{
    Engine,
    sim::{Link, Machine, Network, Rng},
};
use facade_examples::{Result, Style, say};

use crate::{
    mail::{Mail, Server},
    server::{Mailboxes, Reading},
};

const USAGE: &str = "\
usage: sim [--seeds N] [--seed SEED] [--bug retry|pieces]

Sends a mail through each of N networks (1000), or through one and tells what happens there.
With --bug it looks for the first seed that finds a planted bug:
  retry    the client sends again whatever the error was
  pieces   the server takes what comes in one piece for the whole message";

const PORT: u16 = 25;

struct Options {
    seeds: u64,
    seed: Option<u64>,
    bug: Option<Bug>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    Retry,
    Pieces,
}

impl FromStr for Bug {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "retry" => Ok(Self::Retry),
            "pieces" => Ok(Self::Pieces),
            _ => Err(format!("{name:?} is no bug: retry or pieces")),
        }
    }
}

fn main() -> ExitCode {
    facade_examples::run(
        USAGE,
        |arguments| {
            Ok(Options {
                seeds: arguments.opt_value_from_str("--seeds")?.unwrap_or(1000),
                seed: arguments.opt_value_from_str("--seed")?,
                bug: arguments.opt_value_from_str("--bug")?,
            })
        },
        |options| match options.seed {
            Some(seed) => replay(seed, options.bug),
            None => search(options.seeds, options.bug),
        },
    )
}

/// Tries all seeds, and says what came of them; or stops at the first that finds a bug.
fn search(seeds: u64, bug: Option<Bug>) -> Result<()> {
    let (mut arrived, mut failed, mut fingerprint) = (0, 0, 0_u64);
    for (seed, style) in (0..seeds).flat_map(|seed| STYLES.map(|style| (seed, style))) {
        let network = Network::new(seed);
        match (deliver(&network, style, bug), bug) {
            (Ok(true), _) => arrived += 1,
            (Ok(false), _) => failed += 1,
            (Err(found), Some(_)) => {
                return Ok(say(format_args!("seed {seed} finds it, {style:?}: {found}"))?);
            }
            (Err(found), None) => return Err(format!("seed {seed}, {style:?}: {found}").into()),
        }
        fingerprint = fingerprint.rotate_left(1) ^ network.fingerprint();
    }
    if bug.is_some() {
        return Err(format!("{seeds} seeds do not find it").into());
    }
    say(format_args!(
        "{seeds} networks, both styles: {arrived} mails arrived whole and once, \
         {failed} clients were told an error; {fingerprint:016x}"
    ))?;
    Ok(())
}

const STYLES: [Style; 2] = [Style::Callbacks, Style::Futures];

/// Does one seed again, and tells everything that happens in its network.
fn replay(seed: u64, bug: Option<Bug>) -> Result<()> {
    for style in STYLES {
        let network = Network::new(seed);
        network.record();
        let outcome = deliver(&network, style, bug);
        for line in network.recorded() {
            say(line)?;
        }
        say(match outcome {
            Ok(true) => format!("{style:?}: the mail has arrived"),
            Ok(false) => format!("{style:?}: the client was told an error"),
            Err(found) => format!("{style:?}: {found}"),
        })?;
    }
    Ok(())
}

/// Sends one mail through a bad network. Returns whether the client was told that it arrived.
///
/// # Errors
///
/// What is wrong, if the client was told one thing and the server has another.
fn deliver(network: &Network, style: Style, bug: Option<Bug>) -> Result<bool, String> {
    let mut rng = network.rng();
    let (here, there) = (network.host("client"), network.host("mail.example.org"));
    network.set_link(&here, &there, Link::bad(&mut rng));
    here.set_machine(Machine::bad(&mut rng));
    let (message, mailboxes) = (message(&mut rng), Mailboxes::default());
    let attempt = || {
        let engine = Engine::builder().simulated(&here).build()?;
        let reading = match bug {
            Some(Bug::Pieces) => Reading::OnePiece,
            _ => Reading::Lines,
        };
        server::start(&engine, there.at(PORT), reading, mailboxes.clone())?;
        let mail = mail(message.clone());
        match style {
            Style::Callbacks => callbacks::send(&engine, mail),
            Style::Futures => futures::send(engine, mail),
        }
    };
    let retries = Cell::new(u32::from(bug == Some(Bug::Retry)));
    let mut sent = attempt();
    while sent.is_err() && retries.replace(0) > 0 {
        sent = attempt();
    }
    check(&message, &mailboxes.take(), sent.map_err(|error| error.to_string()), here.descriptors())
}

/// Holds what the client was told against what the server has.
fn check(
    message: &[u8],
    arrived: &[Vec<u8>],
    told: Result<Bytes, String>,
    descriptors: usize,
) -> Result<bool, String> {
    if let Some(mail) = arrived.iter().find(|mail| *mail != message) {
        let (has, sent) = (mail.len(), message.len());
        return Err(format!("the server has a mail of {has} bytes, {sent} were sent"));
    }
    if descriptors > 0 {
        return Err(format!("{descriptors} sockets are left open"));
    }
    match (told, arrived.len()) {
        (Ok(_), 1) => Ok(true),
        // Whoever is told an error does not know: the server's last reply may be what was lost.
        (Err(_), 0 | 1) => Ok(false),
        (told, count) => Err(format!("{count} mails arrived, and the client was told {told:?}")),
    }
}

fn mail(message: Bytes) -> Mail {
    Mail {
        server: Server { host: "mail.example.org".into(), port: PORT },
        from: "a@example.org".parse().expect("an address"),
        to: vec!["b@example.org".parse().expect("an address")],
        message,
        patience: Duration::from_secs(30),
    }
}

/// A message with everything in it that the end of a message could be mistaken for.
fn message(rng: &mut Rng) -> Bytes {
    const LINES: [&str; 6] = ["", ".", "..", ".hidden", "some words", "250 a reply"];
    let mut message = String::from("Subject: a test\r\n\r\n");
    for _ in 0..rng.below(20) {
        message += rng.pick(&LINES).expect("there are some");
        message += "\r\n";
    }
    message.into()
}
