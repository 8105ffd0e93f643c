//! The modules of the suite, listed once. Each test says `super::driver::engine()`.

use super::driver;

#[path = "echo.rs"]
mod echo;

#[path = "bytes.rs"]
mod bytes;

#[path = "at_once.rs"]
mod at_once;

#[path = "delivery.rs"]
mod delivery;

#[path = "cancel.rs"]
mod cancel;

#[path = "time.rs"]
mod time;

#[path = "connections.rs"]
mod connections;

#[path = "chunks.rs"]
mod chunks;

#[path = "writes.rs"]
mod writes;

#[path = "cut_writes.rs"]
mod cut_writes;

#[path = "each.rs"]
mod each;

#[path = "ends.rs"]
mod ends;

#[cfg(unix)]
#[path = "peer_gone.rs"]
mod peer_gone;

#[path = "order.rs"]
mod order;

#[path = "limits.rs"]
mod limits;

#[path = "lifecycle.rs"]
mod lifecycle;

#[path = "panics.rs"]
mod panics;

#[path = "owners.rs"]
mod owners;

#[path = "closing.rs"]
mod closing;

#[path = "bad_input.rs"]
mod bad_input;

#[path = "loops.rs"]
mod loops;

#[path = "errors.rs"]
mod errors;

#[path = "observing.rs"]
mod observing;

#[path = "pending.rs"]
mod pending;

#[path = "looking.rs"]
mod looking;

#[path = "identity.rs"]
mod identity;

#[path = "own.rs"]
mod own;

#[path = "addresses.rs"]
mod addresses;

#[path = "chains.rs"]
mod chains;

#[path = "datagrams.rs"]
mod datagrams;

#[path = "each_datagram.rs"]
mod each_datagram;

#[path = "copies.rs"]
mod copies;

#[cfg(unix)]
#[path = "unix_sockets.rs"]
mod unix_sockets;
