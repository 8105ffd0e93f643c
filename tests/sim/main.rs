//! The simulated network itself: what goes wrong in it does so as it was asked to, and again.

mod connecting;
mod copies;
mod datagrams;
mod faults;
mod missing;
mod replay;
mod setbacks;
mod signals;
mod streams;
mod time;

use facade_engine::{
    Builder, Engine,
    sim::{Host, Link, Network},
};
use std::time::Duration;

/// A network of two hosts, and an engine on the first.
fn two_hosts(seed: u64, link: Link) -> (Network, Host, Host, Engine) {
    let network = Network::new(seed);
    let (here, there) = (network.host("here"), network.host("there"));
    network.set_links(link);
    let engine = builder(&here).build().unwrap();
    (network, here, there, engine)
}

fn builder(host: &Host) -> Builder {
    Engine::builder().simulated(host)
}

/// A link on which everything takes so long.
fn slow(latency: Duration) -> Link {
    Link { latency: latency..latency, ..Link::default() }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[cfg(windows)]
#[test]
fn what_is_left_out_here_is_said() {
    facade_tests::skipped::tell("sim");
}
