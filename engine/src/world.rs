//! [`World`]: what an engine asks of its surroundings besides its driver: the time, sockets, names.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    address::{AddrInfo, Address, Query},
    core,
    descriptor::Descriptor,
    error::Result,
    medium::{self, Examined},
    socket,
};

/// Where an engine lives.
#[derive(Debug, Clone, Default)]
pub(crate) enum World {
    /// On this machine.
    #[default]
    Real,
}

impl World {
    /// The clock, read afresh: a deadline counts from the submission, not from the turn's start.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::Real => core::now(),
        }
    }

    /// How long a wait must be to last `left` at least.
    pub(crate) fn wait_for(&self, left: Duration) -> Duration {
        match self {
            Self::Real => round_up(left),
        }
    }

    /// A socket to connect to this address with.
    pub(crate) fn socket(&self, address: &Address) -> io::Result<Arc<Descriptor>> {
        match self {
            Self::Real => socket::for_connecting(address).map(Descriptor::new),
        }
    }

    /// A TCP socket that listens.
    pub(crate) fn listen_tcp(
        &self,
        address: SocketAddr,
        reuse_port: bool,
    ) -> Result<Arc<Descriptor>> {
        match self {
            Self::Real => socket::listen_tcp(address, reuse_port).map(Descriptor::new),
        }
    }

    /// A Unix socket that listens.
    pub(crate) fn listen_unix(&self, path: &Path) -> Result<Arc<Descriptor>> {
        match self {
            Self::Real => socket::listen_unix(path).map(Descriptor::new),
        }
    }

    /// Finds out what a descriptor is that becomes a stream, and prepares it.
    pub(crate) fn examine(&self, fd: OwnedFd) -> Result<Examined> {
        match self {
            Self::Real => medium::examine(fd),
        }
    }

    /// Checks a socket that listens already, and prepares it. Returns whether it is TCP.
    pub(crate) fn examine_listener(&self, fd: &OwnedFd) -> Result<bool> {
        match self {
            Self::Real => medium::examine_listener(fd.as_fd()),
        }
    }

    /// Looks up a name, which may block.
    pub(crate) fn lookup(&self, query: &Query) -> Result<Vec<AddrInfo>> {
        match self {
            Self::Real => query.lookup(),
        }
    }
}

/// The system waits in milliseconds: waiting less than was asked for would spin.
fn round_up(left: Duration) -> Duration {
    const HOUR: Duration = Duration::from_secs(3600);
    const TICK: Duration = Duration::from_millis(1);
    if left.is_zero() {
        return left;
    }
    let ticks = left.min(HOUR).as_nanos().div_ceil(TICK.as_nanos());
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}
