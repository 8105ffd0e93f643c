//! [`SimEnv`]: the surroundings of a simulated engine.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    pure::{
        address::{AddrInfo, Address, Query},
        error::{Error, IoOperation, Result},
        options::{ConnectOptions, Sharing, UdpOptions},
        table::Id,
    },
    system::{
        descriptor::Descriptor,
        driver::AnyDriver,
        fd_kind::FdKind,
        pool::Pool,
        sim::{
            Host, Network,
            bell::Bell,
            socket::Socket,
            state::{NetworkState, Owner, Registration, Tell},
            workers::Workers,
        },
        sys::{
            address,
            errno::Errno,
            examine::{self, Examined},
            owned::OwnedDescriptor,
        },
    },
};

/// Where one simulated engine lives.
#[derive(Debug, Clone)]
pub(crate) struct SimEnv {
    host: Host,
    engine: usize,
}

impl SimEnv {
    /// Moves an engine in: its home, its driver, and its workers: how many each lane has, and how
    /// many jobs may wait.
    pub(crate) fn new(host: &Host, workers: [usize; 3], queue: usize) -> (Self, AnyDriver, Pool) {
        let (host, network) = (host.clone(), host.network.clone());
        let bell = Arc::new(Bell::default());
        let engine = network.lock().add_engine(Arc::clone(&bell));
        let workers = Workers::new(network.clone(), host.number, workers, queue);
        let driver = AnyDriver::sim(network, host.number, engine, bell, workers.clone());
        (Self { host, engine }, driver, Pool::Simulated(workers))
    }

    pub(crate) const fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn now(&self) -> Instant {
        let state = self.host.network.lock();
        state.start + state.now
    }

    /// Deadlines come to the nanosecond.
    pub(crate) const fn wait_for(left: Duration) -> Duration {
        left
    }

    pub(crate) fn socket(
        &self,
        address: &Address,
        options: &ConnectOptions,
    ) -> Result<Arc<Descriptor>> {
        let tcp = matches!(address, Address::Inet(_));
        if tcp && options.bind.is_some() {
            return Err(Error::unsupported("a simulated connection begins where its host is"));
        }
        let id =
            self.open(tcp).map_err(|cause| Error::io_on(IoOperation::Connect, address, cause))?;
        Ok(self.host.network.descriptor(id))
    }

    fn open(&self, tcp: bool) -> std::result::Result<Id, Errno> {
        let owner = Owner::Engine { engine: self.engine, resource: Id::NONE };
        self.host.network.lock().open(self.host.number, owner, tcp)
    }

    pub(crate) fn listen_tcp(
        &self,
        address: SocketAddr,
        sharing: Sharing,
    ) -> Result<Arc<Descriptor>> {
        self.listen(&address.into(), |state, id| state.listen(id, address, sharing))
    }

    pub(crate) fn listen_unix(&self, address: &Address) -> Result<Arc<Descriptor>> {
        let Address::Unix(path) = address else {
            return Err(Error::unsupported("an abstract name in a simulated network"));
        };
        address::to_system(address)?;
        self.listen(address, |state, id| state.listen_unix(id, path))
    }

    fn listen(
        &self,
        address: &Address,
        begin: impl FnOnce(&mut NetworkState, Id) -> std::result::Result<(), Errno>,
    ) -> Result<Arc<Descriptor>> {
        let failed = |cause: Errno| Error::io_on(IoOperation::Listen, address, cause);
        let id = self.open(address.as_inet().is_some()).map_err(failed)?;
        let descriptor = self.host.network.descriptor(id);
        let begun = begin(&mut self.host.network.lock(), id);
        begun.map_err(failed)?;
        Ok(descriptor)
    }

    /// Files are this machine's. Nothing else of it leads into the network.
    pub(crate) fn examine(fd: OwnedDescriptor, exclusive: bool) -> Result<Examined> {
        match examine::examine(fd, exclusive)? {
            file @ Examined { fd_kind: FdKind::File { .. } | FdKind::Device { .. }, .. } => {
                Ok(file)
            }
            _ => Err(Error::unsupported(
                "a simulated engine has sockets of its own network, and no pipes or terminals; \
                 sim::Peer makes pairs",
            )),
        }
    }

    pub(crate) fn refuse_machine() -> Result<()> {
        Err(Error::unsupported("a simulated engine waits for nothing of this machine"))
    }

    pub(crate) fn bind_datagrams(
        &self,
        address: &Address,
        options: &UdpOptions,
    ) -> Result<Arc<Descriptor>> {
        if options.reuse_port {
            return Err(Error::unsupported("several simulated sockets at one address"));
        }
        self.open_datagrams(address, IoOperation::Bind, NetworkState::bind_datagrams)
    }

    pub(crate) fn connect_datagrams(&self, address: &Address) -> Result<Arc<Descriptor>> {
        self.open_datagrams(address, IoOperation::Connect, NetworkState::connect_datagrams)
    }

    fn open_datagrams(
        &self,
        address: &Address,
        operation: IoOperation,
        open: impl FnOnce(&mut NetworkState, usize, Owner, SocketAddr) -> std::result::Result<Id, Errno>,
    ) -> Result<Arc<Descriptor>> {
        let inet = address.as_inet().ok_or_else(no_unix_datagrams)?;
        let owner = Owner::Engine { engine: self.engine, resource: Id::NONE };
        let opened = open(&mut self.host.network.lock(), self.host.number, owner, inet);
        let id = opened.map_err(|cause| Error::io_on(operation, address, cause))?;
        Ok(self.host.network.descriptor(id))
    }

    pub(crate) fn unbound_unix_datagrams() -> Result<OwnedDescriptor> {
        Err(no_unix_datagrams())
    }

    pub(crate) fn examine_datagrams() -> Result<bool> {
        Err(Error::unsupported("a simulated engine has sockets of its own network only"))
    }

    pub(crate) fn examine_listener() -> Result<bool> {
        Err(Error::unsupported("a simulated engine listens in its own network only"))
    }

    pub(crate) fn listen_unix_for_several() -> Result<OwnedDescriptor> {
        Err(Error::unsupported("simulated engines do not accept from one socket"))
    }

    /// The end of an engine's stream whose other end is `peer`.
    pub(crate) fn join(&self, peer: Id, tcp: bool) -> Result<Arc<Descriptor>> {
        let id = self.open(tcp).map_err(|cause| Error::io(IoOperation::Connect, cause))?;
        self.host.network.lock().pair(self.host.number, peer, id, tcp);
        Ok(self.host.network.descriptor(id))
    }

    pub(crate) fn watch_signal(&self, number: i32, tell: Tell) -> Registration {
        self.host.network.lock().hosts[self.host.number].signals.watch(number, tell)
    }

    pub(crate) fn lookup(&self, query: &Query) -> Result<Vec<AddrInfo>> {
        let mut state = self.host.network.lock();
        let state = &mut *state;
        let failure = state.hosts[self.host.number].machine.lookup_failure;
        if state.rng.chance(failure) {
            return Err(query.failed(io::ErrorKind::HostUnreachable, "the resolver is silent"));
        }
        let name = query.host.trim_end_matches('.').to_ascii_lowercase();
        let found = match name.as_str() {
            "localhost" => Some(vec![std::net::Ipv4Addr::LOCALHOST.into()]),
            name => state.names.get(name).cloned(),
        };
        query.answer_with(&found.unwrap_or_default())
    }
}

fn no_unix_datagrams() -> Error {
    Error::unsupported("datagrams of Unix sockets in a simulated network")
}

impl Network {
    /// The descriptor that stands for a socket.
    pub(crate) fn descriptor(&self, id: Id) -> Arc<Descriptor> {
        Descriptor::of_simulated(Socket::new(self.clone(), id))
    }
}
