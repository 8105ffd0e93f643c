//! Our own server: the example `echo` itself, in both styles and on each driver.

use std::io;
use std::net::TcpListener;

use facade_engine::{DriverChoice, Engine, Listener, Stream};

use crate::servers::{Entry, Services};

#[path = "../../examples/echo/callbacks.rs"]
mod callbacks;
#[path = "../../examples/echo/futures.rs"]
mod futures;

/// What serves on the engine.
pub(crate) const SERVERS: [Entry; 4] = [
    Entry::new("callbacks-mio", "callbacks, mio", Services::Both, |listener, lines| {
        by_callbacks(DriverChoice::Mio, listener, lines)
    }),
    Entry::new("futures-mio", "futures, mio", Services::Both, |listener, lines| {
        by_futures(DriverChoice::Mio, listener, lines)
    }),
    Entry::new("callbacks-uring", "callbacks, io_uring", Services::Both, |listener, lines| {
        by_callbacks(DriverChoice::IoUring, listener, lines)
    }),
    Entry::new("futures-uring", "futures, io_uring", Services::Both, |listener, lines| {
        by_futures(DriverChoice::IoUring, listener, lines)
    }),
];

fn by_callbacks(driver: DriverChoice, listener: TcpListener, lines: bool) -> io::Result<()> {
    let (engine, listener, signals) = engine(driver, listener).map_err(io::Error::other)?;
    callbacks::serve(&engine, &listener, &signals, lines).map_err(io::Error::other)
}

fn by_futures(driver: DriverChoice, listener: TcpListener, lines: bool) -> io::Result<()> {
    let (engine, listener, signals) = engine(driver, listener).map_err(io::Error::other)?;
    futures::serve(engine, listener, signals, lines).map_err(io::Error::other)
}

fn engine(
    driver: DriverChoice,
    listener: TcpListener,
) -> facade_examples::Result<(Engine, Listener, Stream)> {
    let engine = Engine::builder().driver(driver).build()?;
    let signals = facade_examples::signals(&engine)?;
    let listener = engine.attach_listener(listener)?;
    Ok((engine, listener, signals))
}
