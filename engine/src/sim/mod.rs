//! A simulated network for tests: hosts, links that go wrong, and time that takes no time.
//!
//! An engine built with [`Builder::simulated`](crate::Builder::simulated) lives on a [`Host`] of a
//! [`Network`]. Everything that happens follows from the network's seed.

mod check;
mod home;
mod network;
mod peer;
mod rng;
mod settings;
mod trace;

pub(crate) mod bell;
pub(crate) mod state;
pub(crate) mod workers;

pub use self::{
    check::check,
    network::{Host, Network},
    peer::{Peer, PeerListener},
    rng::Rng,
    settings::{Link, Machine},
};
pub(crate) use home::{Home, Socket};
