//! All servers that take part in a comparison, by name, and the program that runs one of them.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpListener};

use pico_args::Arguments;

use crate::facade;
#[cfg(feature = "peers")]
use crate::peers;
use crate::process::raise_file_limit;
use crate::several::{Service, Several, announce};
use crate::yardstick::{self, Options};

/// Which of the two services a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Services {
    /// What arrives goes back.
    Echo,
    /// Each line goes back with CRLF.
    Lines,
    /// Whichever it is told.
    Both,
}

/// A server of this crate.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is called in tables.
    pub title: &'static str,
    /// What it serves.
    pub services: Services,
    serve: fn(TcpListener, bool) -> io::Result<()>,
}

impl Entry {
    pub(crate) const fn new(
        name: &'static str,
        title: &'static str,
        services: Services,
        serve: fn(TcpListener, bool) -> io::Result<()>,
    ) -> Self {
        Self { name, title, services, serve }
    }
}

/// All servers, the yardsticks first; raw epoll is what the others are divided by.
pub fn all() -> impl Iterator<Item = Entry> {
    #[cfg(feature = "peers")]
    let peers = peers::SERVERS;
    #[cfg(not(feature = "peers"))]
    let peers = [];
    YARDSTICKS.into_iter().chain(facade::SERVERS).chain(peers)
}

/// Serves as the arguments say, until a signal ends the process:
/// `--server NAME --listen ADDRESS [--lines] [--engines N [--steer]]`; with `--engines`, on N
/// threads.
///
/// # Errors
///
/// Fails if there is no such server, if the address cannot be listened on, or if the server ends.
pub fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let name: String = arguments.value_from_str("--server")?;
    let address: SocketAddr = arguments.value_from_str("--listen")?;
    let lines = arguments.contains("--lines");
    let engines: Option<usize> = arguments.opt_value_from_str("--engines")?;
    let steer = arguments.contains("--steer");
    let unknown = arguments.finish();
    if !unknown.is_empty() {
        return Err(format!("unknown arguments: {unknown:?}").into());
    }
    raise_file_limit()?;
    if let Some(threads) = engines {
        let service = Service { address, threads, lines, steer };
        let served = Several::find(&name)?.serve(service);
        return served.map_err(|error| error as Box<dyn Error>);
    }
    let entries = || all().chain(facade::BY_TRAITS);
    let names = || entries().map(|entry| entry.name).collect::<Vec<_>>().join(", ");
    let entry = entries().find(|entry| entry.name == name);
    let entry = entry.ok_or_else(|| format!("{name:?} is not one of {}", names()))?;
    let listener = yardstick::listen(address)?;
    announce(listener.local_addr()?)?;
    Ok((entry.serve)(listener, lines)?)
}

const YARDSTICKS: [Entry; 3] = [
    Entry::new("epoll", "raw epoll", Services::Both, |listener, lines| {
        yardstick::epoll(listener, &Options { lines, stop: None })
    }),
    Entry::new("mio", "bare mio", Services::Both, |listener, lines| {
        yardstick::mio(listener, &Options { lines, stop: None })
    }),
    Entry::new("uring", "raw io_uring", Services::Both, |listener, lines| {
        yardstick::uring(listener, &Options { lines, stop: None })
    }),
];
