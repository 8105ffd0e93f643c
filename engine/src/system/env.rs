//! [`Env`]: what an engine asks of its surroundings besides its driver: the time, sockets, names.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(feature = "sim")]
use crate::system::sim;
use crate::{
    pure::{
        address::{AddrInfo, Address, Query},
        clock,
        error::{Error, IoOperation, Result},
        options::{ConnectOptions, ListenOptions, PtySize, Sharing, UdpOptions},
    },
    system::{
        datagrams,
        descriptor::Descriptor,
        resolver::{self, Lookup},
        sys::{
            examine::{self, Examined},
            owned::{self, OwnedDescriptor},
            process::{self, Started},
            signal, socket, terminal,
        },
    },
};

/// Where an engine lives.
#[derive(Debug, Clone, Default)]
pub(crate) enum Env {
    /// On this machine.
    #[default]
    Real,
    /// In a simulated network.
    #[cfg(feature = "sim")]
    Simulated(sim::SimEnv),
}

impl Env {
    /// Where in a network it lives, if it is simulated.
    #[cfg(feature = "sim")]
    pub(crate) const fn home(&self) -> Option<&sim::SimEnv> {
        match self {
            Self::Real => None,
            Self::Simulated(home) => Some(home),
        }
    }

    /// The clock, read afresh: a deadline counts from the submission, not from the turn's start.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::Real => clock::now(),
            #[cfg(feature = "sim")]
            Self::Simulated(home) => home.now(),
        }
    }

    /// How long a wait must be to last `left` at least.
    pub(crate) fn wait_for(&self, left: Duration) -> Duration {
        match self {
            Self::Real => round_up(left),
            #[cfg(feature = "sim")]
            Self::Simulated(_) => sim::SimEnv::wait_for(left),
        }
    }

    /// A socket to connect to this address with.
    pub(crate) fn socket(
        &self,
        address: &Address,
        options: &ConnectOptions,
    ) -> Result<Arc<Descriptor>> {
        match self {
            Self::Real => socket::for_connecting(address, options).map(Descriptor::new),
            #[cfg(feature = "sim")]
            Self::Simulated(home) => home.socket(address, options),
        }
    }

    /// A TCP socket that listens. `behind_ring`: whether another process may just have ended that
    /// listened there and had a ring.
    pub(crate) fn listen_tcp(
        &self,
        address: SocketAddr,
        sharing: Sharing,
        options: &ListenOptions,
        behind_ring: bool,
    ) -> Result<Arc<Descriptor>> {
        match self {
            Self::Real => {
                socket::listen_tcp(address, sharing, options, behind_ring).map(Descriptor::new)
            }
            #[cfg(feature = "sim")]
            Self::Simulated(home) => home.listen_tcp(address, sharing),
        }
    }

    /// Whether engines that listen at one address share one socket.
    pub(crate) const fn engines_share_a_socket(&self) -> bool {
        match self {
            Self::Real => socket::ENGINES_SHARE_A_SOCKET,
            #[cfg(feature = "sim")]
            Self::Simulated(_) => false,
        }
    }

    /// A Unix socket that listens, at a path or at an abstract name.
    pub(crate) fn listen_unix(
        &self,
        address: &Address,
        options: &ListenOptions,
    ) -> Result<Arc<Descriptor>> {
        match self {
            Self::Real => socket::listen_unix(address, options).map(Descriptor::new),
            #[cfg(feature = "sim")]
            Self::Simulated(home) => home.listen_unix(address),
        }
    }

    /// A Unix socket that listens, which several engines will accept from.
    pub(crate) fn listen_unix_for_several(&self, path: &Path) -> Result<OwnedDescriptor> {
        match self {
            Self::Real => socket::listen_unix(&Address::from(path), &ListenOptions::new()),
            #[cfg(feature = "sim")]
            Self::Simulated(_) => sim::SimEnv::listen_unix_for_several(),
        }
    }

    /// Fails where nothing of this machine can be waited for.
    pub(crate) fn check_has_machine(&self) -> Result<()> {
        match self {
            Self::Real => Ok(()),
            #[cfg(feature = "sim")]
            Self::Simulated(_) => sim::SimEnv::refuse_machine(),
        }
    }

    /// Finds out what a descriptor is that becomes a stream, and prepares it.
    pub(crate) fn examine(&self, fd: OwnedDescriptor, exclusive: bool) -> Result<Examined> {
        match self {
            Self::Real => examine::examine(fd, exclusive),
            #[cfg(feature = "sim")]
            Self::Simulated(_) => sim::SimEnv::examine(fd, exclusive),
        }
    }

    /// Checks a socket that listens already, and prepares it. Returns whether it is TCP.
    pub(crate) fn examine_listener(&self, fd: &OwnedDescriptor) -> Result<bool> {
        match self {
            Self::Real => examine::examine_listener(owned::borrow(fd)),
            #[cfg(feature = "sim")]
            Self::Simulated(_) => sim::SimEnv::examine_listener(),
        }
    }

    /// Has the system look up a name by itself, and tell the answer, on whichever thread. None if
    /// it does not: then nobody is told.
    pub(crate) fn begin_lookup(
        &self,
        query: &Query,
        tell: impl FnOnce(Result<Vec<AddrInfo>>) + Send + 'static,
    ) -> Option<Lookup> {
        match self {
            Self::Real => resolver::begin(query, tell),
            #[cfg(feature = "sim")]
            Self::Simulated(_) => None,
        }
    }

    /// A socket of datagrams that is bound to this address.
    pub(crate) fn bind_datagrams(
        &self,
        address: &Address,
        options: &UdpOptions,
    ) -> Result<Arc<Descriptor>> {
        match self {
            Self::Real => datagrams::bind(address, options).map(Descriptor::new),
            #[cfg(feature = "sim")]
            Self::Simulated(home) => home.bind_datagrams(address, options),
        }
    }

    /// A socket of datagrams that is connected to this address.
    pub(crate) fn connect_datagrams(&self, address: &Address) -> Result<Arc<Descriptor>> {
        match self {
            Self::Real => datagrams::connect(address).map(Descriptor::new),
            #[cfg(feature = "sim")]
            Self::Simulated(home) => home.connect_datagrams(address),
        }
    }

    /// A Unix socket of datagrams without a name.
    pub(crate) fn unbound_unix_datagrams(&self) -> Result<OwnedDescriptor> {
        match self {
            Self::Real => datagrams::unbound_unix(),
            #[cfg(feature = "sim")]
            Self::Simulated(_) => sim::SimEnv::unbound_unix_datagrams(),
        }
    }

    /// Checks a socket of datagrams that the program brings, and prepares it. Returns whether it is
    /// a Unix socket.
    pub(crate) fn examine_datagrams(&self, fd: &OwnedDescriptor) -> Result<bool> {
        match self {
            Self::Real => examine::examine_datagrams(owned::borrow(fd)),
            #[cfg(feature = "sim")]
            Self::Simulated(_) => sim::SimEnv::examine_datagrams(),
        }
    }

    /// Has `tell` be called when a signal comes, as a signal handler calls.
    pub(crate) fn watch_signal(
        &self,
        number: i32,
        tell: impl Fn() + Send + Sync + 'static,
    ) -> Result<Registration> {
        match self {
            Self::Real => signal::watch(number, tell).map(Registration::Real),
            #[cfg(feature = "sim")]
            Self::Simulated(home) => {
                signal::check(number)?;
                Ok(Registration::Simulated(home.watch_signal(number, Arc::new(tell))))
            }
        }
    }

    /// Starts a process, which may block.
    pub(crate) fn start(&self, command: Command) -> Result<Started> {
        self.check_processes()?;
        let name = command.get_program().display().to_string();
        process::start(command).map_err(|cause| Error::io_on(IoOperation::Spawn, name, cause))
    }

    /// The same in a terminal, whose controlling side comes with it.
    pub(crate) fn start_in_terminal(
        &self,
        command: Command,
        size: PtySize,
    ) -> Result<(Started, OwnedDescriptor)> {
        self.check_processes()?;
        let name = command.get_program().display().to_string();
        terminal::start_in_terminal(command, size).map_err(|cause| match cause.kind() {
            io::ErrorKind::Unsupported if cause.raw_os_error().is_none() => {
                Error::unsupported("a terminal for a process on this system")
            }
            _ => Error::io_on(IoOperation::Spawn, name, cause),
        })
    }

    fn check_processes(&self) -> Result<()> {
        match self {
            Self::Real => Ok(()),
            #[cfg(feature = "sim")]
            Self::Simulated(_) => Err(Error::unsupported("processes in a simulated network")),
        }
    }

    /// Looks up a name, which may block.
    pub(crate) fn lookup(&self, query: &Query) -> Result<Vec<AddrInfo>> {
        match self {
            Self::Real => resolver::lookup(query),
            #[cfg(feature = "sim")]
            Self::Simulated(home) => home.lookup(query),
        }
    }
}

/// Somebody is told of a signal as long as this lives.
#[derive(Debug)]
#[expect(dead_code, reason = "what is done with one is to drop it")]
pub(crate) enum Registration {
    Real(signal::Registration),
    #[cfg(feature = "sim")]
    Simulated(sim::Registration),
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
