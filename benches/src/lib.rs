//! What the measurements are made with: a load generator that checks every byte, servers to measure
//! against, and readings of another process's costs.
//!
//! Nothing here judges a figure. The programs in `src/bin` print what they saw; the goals and the
//! way to reach comparable figures are in `benches/README.md`. Linux only: the generator sits
//! directly on epoll, and the readings come from `/proc`.

pub mod curves;
mod facade;
pub mod hard;
#[cfg(feature = "peers")]
mod http;
pub mod load;
#[cfg(feature = "peers")]
pub mod peers;
pub mod process;
mod proxies;
pub mod servers;
pub mod several;
pub mod wrk;
pub mod yardstick;
