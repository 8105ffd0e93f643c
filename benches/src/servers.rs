//! All servers that take part in a comparison, by name, and the program that runs one of them.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpListener};

use pico_args::Arguments;

use crate::facade;
#[cfg(feature = "peers")]
use crate::http;
#[cfg(feature = "peers")]
use crate::peers;
use crate::process::raise_file_limit;
use crate::proxies::PROXIES;
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

/// What something is called on the command line, and in tables.
pub type Named = (&'static str, &'static str);

/// The servers of HTTP: `--http`, or `--http2`.
pub fn http() -> impl Iterator<Item = Named> {
    #[cfg(feature = "peers")]
    let servers = http::SERVERS.map(|server| (server.name, server.title));
    #[cfg(not(feature = "peers"))]
    let servers = [];
    servers.into_iter()
}

/// What they answer each request with.
pub const HELLO: &str = "hello\n";

/// The proxies: `--target ADDRESS`.
pub fn proxies() -> impl Iterator<Item = Named> {
    PROXIES.iter().map(|proxy| (proxy.name, proxy.title))
}

/// The arguments of [`run`].
pub const USAGE: &str = "\
--server NAME --listen ADDR [--lines | --http | --http2 | --target ADDR] [--engines N [--steer]]";

/// Serves as the arguments say, until a signal ends the process: an echo, or lines, HTTP, or as a proxy;
/// with `--engines`, on N threads. See [`USAGE`].
///
/// # Errors
///
/// Fails if there is no such server, if the address cannot be listened on, or if the server ends.
pub fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let name: String = arguments.value_from_str("--server")?;
    let address: SocketAddr = arguments.value_from_str("--listen")?;
    let lines = arguments.contains("--lines");
    let target: Option<SocketAddr> = arguments.opt_value_from_str("--target")?;
    let (http, http2) = (arguments.contains("--http"), arguments.contains("--http2"));
    let engines: Option<usize> = arguments.opt_value_from_str("--engines")?;
    let steer = arguments.contains("--steer");
    let unknown = arguments.finish();
    if !unknown.is_empty() {
        return Err(format!("unknown arguments: {unknown:?}").into());
    }
    let services = [lines, http, http2, target.is_some()];
    if services.iter().filter(|&&wanted| wanted).count() > 1 {
        return Err("one of --lines, --http, --http2 and --target at most".into());
    }
    if engines.is_some() && (http || http2 || target.is_some()) {
        return Err("--engines goes with an echo and with --lines only".into());
    }
    if steer && engines.is_none() {
        return Err("--steer goes with --engines only".into());
    }
    raise_file_limit()?;
    if let Some(threads) = engines {
        let service = Service { address, threads, lines, steer };
        let served = Several::find(&name)?.serve(service);
        return served.map_err(|error| error as Box<dyn Error>);
    }
    let listener = || {
        let listener = yardstick::listen(address)?;
        announce(listener.local_addr()?)?;
        io::Result::Ok(listener)
    };
    if http || http2 {
        return serve_http(&name, listener, http2);
    }
    if let Some(target) = target {
        let proxy = PROXIES.iter().find(|proxy| proxy.name == name);
        return match proxy {
            Some(proxy) => (proxy.serve)(listener()?, target),
            None => Err(unknown_server(&name, proxies().map(|(name, _)| name))),
        };
    }
    let entries = || all().chain(facade::BY_TRAITS);
    match entries().find(|entry| entry.name == name) {
        Some(entry) => Ok((entry.serve)(listener()?, lines)?),
        None => Err(unknown_server(&name, entries().map(|entry| entry.name))),
    }
}

#[cfg(feature = "peers")]
fn serve_http(
    name: &str,
    listener: impl FnOnce() -> io::Result<TcpListener>,
    http2: bool,
) -> Result<(), Box<dyn Error>> {
    match http::SERVERS.iter().find(|server| server.name == name) {
        Some(server) => (server.serve)(listener()?, http2),
        None => Err(unknown_server(name, http().map(|(name, _)| name))),
    }
}

#[cfg(not(feature = "peers"))]
fn serve_http(
    _name: &str,
    _listener: impl FnOnce() -> io::Result<TcpListener>,
    _http2: bool,
) -> Result<(), Box<dyn Error>> {
    Err("hyper is not here: built without the feature `peers`".into())
}

fn unknown_server(name: &str, names: impl Iterator<Item = &'static str>) -> Box<dyn Error> {
    format!("{name:?} is not one of {}", names.collect::<Vec<_>>().join(", ")).into()
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
