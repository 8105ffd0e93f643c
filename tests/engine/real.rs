//! The modules of the suite that need a real system: its files, pipes and terminals, its
//! descriptors, its threads, and what surrounds an engine. The simulated driver has none of these.

use super::driver;

#[path = "files.rs"]
mod files;

#[path = "environment.rs"]
mod environment;

#[path = "system.rs"]
mod system;

#[path = "threads.rs"]
mod threads;

#[path = "positions.rs"]
mod positions;

#[path = "forks.rs"]
mod forks;

#[path = "races.rs"]
mod races;

#[path = "torture.rs"]
mod torture;

#[path = "setbacks.rs"]
mod setbacks;

#[path = "restarts.rs"]
mod restarts;

#[path = "engines.rs"]
mod engines;

#[path = "urgent.rs"]
mod urgent;

#[path = "sharing.rs"]
mod sharing;

#[path = "devices.rs"]
mod devices;

#[path = "options.rs"]
mod options;
