//! Callback engine.

pub mod matcher;

mod address;
mod builder;
mod callback;
mod cancel;
mod completion;
mod core;
mod descriptor;
mod driver;
mod engine;
mod error;
mod handle;
mod limits;
mod listener;
mod medium;
mod operation;
mod pattern;
mod pool;
mod resource;
mod socket;
mod stream;
mod submit;
mod table;
mod timer;

pub use bytes::Bytes;

pub use crate::{
    address::{AddrInfo, Address, Family, Hints, Service, SocketType},
    builder::{Builder, DriverChoice},
    callback::{Callback, Claim},
    cancel::Cancel,
    engine::{Engine, Turn},
    error::{Error, Result},
    handle::{Handle, KeepAlive, Local},
    limits::Limits,
    listener::Listener,
    matcher::Matcher,
    pattern::{AnyMatch, LineGlob, LineMatch, LinePattern, Pattern, Regex, RegexMatch},
    stream::{Detached, LineEnd, Stream},
    submit::{chain::Chain, close::Closable},
};
