//! What the tests have in common: engines by driver, peers, and callbacks that note what they
//! heard.

pub mod alone;
#[cfg(unix)]
pub mod children;
pub mod codes;
pub mod drivers;
pub mod drops;
#[cfg(unix)]
pub mod faults;
#[cfg(unix)]
pub mod forks;
pub mod memory;
pub mod outcome;
pub mod peers;
pub mod polls;
pub mod reads;
pub mod skipped;
pub mod sockets;
pub mod starting;
#[cfg(unix)]
pub mod terminals;
pub mod told;
pub mod turns;
pub mod ways_out;
#[cfg(windows)]
pub mod windows;
