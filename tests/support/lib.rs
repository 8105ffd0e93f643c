//! What the tests have in common: engines by driver, peers, and callbacks that note what they
//! heard.

pub mod alone;
pub mod drivers;
pub mod drops;
pub mod faults;
pub mod forks;
pub mod memory;
pub mod outcome;
pub mod peers;
pub mod polls;
pub mod reads;
pub mod sockets;
pub mod terminals;
pub mod told;
pub mod turns;
pub mod ways_out;
