//! A small expect: a script talks to a server, or to a program in a terminal.

mod callbacks;
mod futures;
mod script;

use std::{
    ffi::OsString,
    io::{self, Read, Write, stdin},
    process::{Command, ExitCode},
};

use facade_engine::{DriverChoice, Engine};
use facade_examples::{Result, Style, driver};

const USAGE: &str = "\
usage: expect [--style callbacks|futures] [--driver auto|mio|io_uring|iocp] HOST:PORT < script
       expect [...] -- COMMAND [ARGUMENT ...] < script

Talks to a server, or to a program in a terminal of its own, and prints what it hears. A script:
    # what is waited for may take so long, in seconds; else 10
    timeout 5
    # a regular expression; the text ends with the first byte that makes it match
    expect login:
    # a line that is like this
    line *, version [0-9]*
    # a line, with its end
    send hello
    # as it is: \\r \\n \\t \\\\, \\x03 is Ctrl-C
    type \\x04
    # the end of what it says
    end";

/// Whom to talk to.
enum Peer {
    Server(String),
    Program(Command),
}

struct Options {
    style: Style,
    driver: DriverChoice,
    peer: Peer,
}

fn main() -> ExitCode {
    // What stands behind `--` is the program's.
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let dashes = arguments.iter().position(|argument| argument == "--");
    let mut program = dashes.map(|at| arguments.split_off(at).into_iter().skip(1));
    facade_examples::run_with(
        arguments,
        USAGE,
        |arguments| {
            let style = arguments.opt_value_from_str("--style")?.unwrap_or(Style::Futures);
            let driver = arguments.opt_value_from_fn("--driver", driver)?.unwrap_or_default();
            let peer = match program.as_mut().map(|words| (words.next(), words)) {
                None => Peer::Server(arguments.free_from_str()?),
                Some((None, _)) => {
                    return Err(pico_args::Error::MissingOption("COMMAND".into()));
                }
                Some((Some(name), words)) => {
                    let mut command = Command::new(name);
                    command.args(words);
                    Peer::Program(command)
                }
            };
            Ok(Options { style, driver, peer })
        },
        talk,
    )
}

fn talk(Options { style, driver, peer }: Options) -> Result<()> {
    let mut script = String::new();
    stdin().read_to_string(&mut script)?;
    let steps = script::parse(&script)?;
    let engine = Engine::builder().driver(driver).build()?;
    match style {
        Style::Callbacks => callbacks::talk(&engine, peer, steps),
        Style::Futures => futures::talk(engine, peer, steps),
    }
}

/// Parts HOST:PORT.
fn host_and_port(server: &str) -> Result<(&str, u16)> {
    let (host, port) = server.rsplit_once(':').ok_or("HOST:PORT is needed")?;
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    Ok((literal.unwrap_or(host), port.parse()?))
}

/// Prints what was heard, as it is.
fn heard(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    // Whoever does not read it any more has seen enough.
    drop(stdout.write_all(bytes).and_then(|()| stdout.flush()));
}
