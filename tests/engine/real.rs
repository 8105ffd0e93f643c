//! The modules of the suite that need a real system: its files, pipes and terminals, its
//! descriptors, its threads, and what surrounds an engine. The simulated driver has none of these.

use super::driver;

#[path = "files.rs"]
mod files;

#[cfg(windows)]
#[path = "named_pipes.rs"]
mod named_pipes;

#[cfg(windows)]
#[path = "waitable.rs"]
mod waitable;

#[path = "environment.rs"]
mod environment;

#[path = "system.rs"]
mod system;

#[path = "threads.rs"]
mod threads;

#[path = "positions.rs"]
mod positions;

#[cfg(unix)]
#[path = "forks.rs"]
mod forks;

#[path = "races.rs"]
mod races;

#[cfg(unix)]
#[path = "torture.rs"]
mod torture;

#[cfg(unix)]
#[path = "setbacks.rs"]
mod setbacks;

#[path = "restarts.rs"]
mod restarts;

#[path = "engines.rs"]
mod engines;

#[cfg(unix)]
#[path = "urgent.rs"]
mod urgent;

#[path = "sharing.rs"]
mod sharing;

#[cfg(unix)]
#[path = "devices.rs"]
mod devices;

#[path = "options.rs"]
mod options;

#[path = "udp_sockets.rs"]
mod udp_sockets;

#[cfg(unix)]
#[path = "udp_refusals.rs"]
mod udp_refusals;

#[cfg(unix)]
#[path = "unix_datagrams.rs"]
mod unix_datagrams;

#[cfg(unix)]
#[path = "unix_options.rs"]
mod unix_options;

#[path = "copied_files.rs"]
mod copied_files;

#[cfg(unix)]
#[path = "terminals.rs"]
mod terminals;

#[cfg(unix)]
#[path = "foreign_loops.rs"]
mod foreign_loops;

#[cfg(unix)]
#[path = "procfs.rs"]
mod procfs;

#[cfg(unix)]
#[path = "shortages.rs"]
mod shortages;

#[cfg(unix)]
#[path = "paths.rs"]
mod paths;

#[cfg(unix)]
#[path = "descriptors.rs"]
mod descriptors;

#[cfg(unix)]
#[path = "holders.rs"]
mod holders;

#[cfg(unix)]
#[path = "watching.rs"]
mod watching;

#[cfg(unix)]
#[path = "shared_ports.rs"]
mod shared_ports;

#[path = "processes.rs"]
mod processes;

#[cfg(unix)]
#[path = "process_faults.rs"]
mod process_faults;

#[cfg(unix)]
#[path = "children.rs"]
mod children;

#[cfg(unix)]
#[path = "ptys.rs"]
mod ptys;

#[cfg(unix)]
#[path = "signals.rs"]
mod signals;
