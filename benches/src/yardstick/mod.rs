//! Servers written by hand, one thread, nothing between the loop and the sockets: what the engine
//! is measured against.
//!
//! [`epoll`] and [`uring`] are the practical limits of readiness and of completions, [`mio`] is
//! what one would write by hand. All offer the same two services. Echo returns what arrived. Lines
//! returns each line with CRLF, all that arrived together in one send. The first two do not read
//! from a connection while it has something unsent, so a client that does not read costs a bounded
//! amount of memory; the third receives all the same.

mod epoll;
pub(crate) mod lines;
mod mio;
mod uring;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use epoll::epoll;
pub use mio::mio;
pub use uring::uring;

/// What a yardstick serves, and until when.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Answer lines instead of echoing bytes.
    pub lines: bool,
    /// Return soon after this becomes true; without it, never.
    pub stop: Option<Arc<AtomicBool>>,
}

impl Options {
    fn stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// How long a turn may wait: for ever, unless there is a flag to look at.
    fn wait(&self) -> Option<Duration> {
        self.stop.as_ref().map(|_| Duration::from_millis(20))
    }
}

/// A listener as the yardsticks want it: its connections inherit `TCP_NODELAY`, and a thousand of
/// them may wait.
///
/// # Errors
///
/// Fails if the address cannot be listened on.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    // Listening again changes the backlog, nothing else.
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

const BACKLOG: i32 = 4096;

/// What one receive takes at most.
const BUFFER: usize = 64 * 1024;

/// Events taken in one turn.
const EVENTS: usize = 1024;
