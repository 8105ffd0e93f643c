//! Our own server: the example `echo` itself, in each of its styles and on each driver.

use std::io;
use std::net::TcpListener;

use facade_engine::{DriverChoice, Engine, Listener, Stream};
use facade_futures::Runtimes;

use crate::servers::{Entry, Services};
use crate::several::{Places, Service, announce};

#[path = "../../examples/echo/callbacks.rs"]
mod callbacks;
#[path = "../../examples/echo/futures.rs"]
mod futures;
#[path = "../../examples/echo/repeating.rs"]
mod repeating;
mod traits;

/// What serves on the engine.
pub(crate) const SERVERS: [Entry; 6] = [
    Entry::new("callbacks-mio", "callbacks, mio", Services::Both, |listener, lines| {
        by_callbacks(DriverChoice::Mio, listener, lines)
    }),
    Entry::new("repeating-mio", "repeating, mio", Services::Both, |listener, lines| {
        by_repetition(DriverChoice::Mio, listener, lines)
    }),
    Entry::new("futures-mio", "futures, mio", Services::Both, |listener, lines| {
        by_futures(DriverChoice::Mio, listener, lines)
    }),
    Entry::new("callbacks-uring", "callbacks, io_uring", Services::Both, |listener, lines| {
        by_callbacks(DriverChoice::IoUring, listener, lines)
    }),
    Entry::new("repeating-uring", "repeating, io_uring", Services::Both, |listener, lines| {
        by_repetition(DriverChoice::IoUring, listener, lines)
    }),
    Entry::new("futures-uring", "futures, io_uring", Services::Both, |listener, lines| {
        by_futures(DriverChoice::IoUring, listener, lines)
    }),
];

/// The same by the traits of the `futures` crate, as a library that knows these would: in no table, to
/// be measured beside `SERVERS`.
pub(crate) const BY_TRAITS: [Entry; 2] = [
    Entry::new("traits-mio", "traits, mio", Services::Both, |listener, lines| {
        by_traits(DriverChoice::Mio, listener, lines)
    }),
    Entry::new("traits-uring", "traits, io_uring", Services::Both, |listener, lines| {
        by_traits(DriverChoice::IoUring, listener, lines)
    }),
];

fn by_traits(driver: DriverChoice, listener: TcpListener, lines: bool) -> io::Result<()> {
    let (engine, listener, signals) = engine(driver, listener).map_err(io::Error::other)?;
    traits::serve(engine, listener, signals, lines).map_err(io::Error::other)
}

fn by_callbacks(driver: DriverChoice, listener: TcpListener, lines: bool) -> io::Result<()> {
    let (engine, listener, signals) = engine(driver, listener).map_err(io::Error::other)?;
    callbacks::serve(&engine, &listener, &signals, lines).map_err(io::Error::other)
}

fn by_repetition(driver: DriverChoice, listener: TcpListener, lines: bool) -> io::Result<()> {
    let (engine, listener, signals) = engine(driver, listener).map_err(io::Error::other)?;
    repeating::serve(&engine, &listener, &signals, lines).map_err(io::Error::other)
}

fn by_futures(driver: DriverChoice, listener: TcpListener, lines: bool) -> io::Result<()> {
    let (engine, listener, signals) = engine(driver, listener).map_err(io::Error::other)?;
    futures::serve(engine, listener, signals, lines).map_err(io::Error::other)
}

/// By callbacks on several engines.
pub(crate) fn callbacks_on(driver: DriverChoice, service: Service) -> facade_examples::Result<()> {
    let Service { address, threads, lines, steer } = service;
    let engines = Engine::builder().driver(driver).build_engines(threads)?;
    let (places, placed) = Places::new(steer)?;
    let address = engines.listen(address, move |engine, listener| {
        places.settle(&listener);
        callbacks::serve_beside_others(engine, &listener, lines);
    })?;
    placed.wait(threads);
    announce(address)?;
    Ok(engines.join()?)
}

/// By futures on several engines.
pub(crate) fn futures_on(driver: DriverChoice, service: Service) -> facade_examples::Result<()> {
    let Service { address, threads, lines, steer } = service;
    let engines = Engine::builder().driver(driver).build_engines(threads)?;
    let runtimes = Runtimes::from(engines);
    let (places, placed) = Places::new(steer)?;
    let address = runtimes.listen(address, move |io, listener| {
        places.settle(&listener);
        futures::serve_beside_others(io, listener, lines)
    })?;
    placed.wait(threads);
    announce(address)?;
    Ok(runtimes.join()?)
}

fn engine(
    driver: DriverChoice,
    listener: TcpListener,
) -> facade_examples::Result<(Engine, Listener, Stream)> {
    let engine = Engine::builder().driver(driver).build()?;
    let signals = facade_examples::signals(&engine)?;
    // Made for this server, and nobody else has it.
    let listener = engine.attach_listener_exclusive(listener)?;
    Ok((engine, listener, signals))
}
