//! How connections come about: who listens where, who knocks, who is let in.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;

use crate::{
    pure::{address::Address, options::Sharing, table::Id},
    system::{
        driver::Release,
        sim::{
            Link,
            state::{
                Attempt, Connection, Happening, Listening, NetworkState, Owner, Result, Role,
                Socket,
            },
        },
        sys::errno::Errno,
    },
};

/// How long Linux tries to connect to a host that does not answer: with 6 tries after the first.
const CONNECT_PATIENCE: Duration = Duration::from_secs(127);

impl NetworkState {
    /// Makes a socket listen. Port 0 stands for one that is free.
    pub(crate) fn listen(&mut self, id: Id, address: SocketAddr, sharing: Sharing) -> Result<()> {
        let Some(socket) = self.sockets.get(id) else { return Err(Errno::BADF) };
        let host = self.host_at(address.ip(), socket.host).ok_or(Errno::ADDRNOTAVAIL)?;
        let port = match address.port() {
            0 => self.free_port(host),
            port => port,
        };
        let address = SocketAddr::new(address.ip(), port);
        let taken = self.listeners_at(host, address);
        let all_share = |id: &Id| match self.sockets.get(*id).map(|socket| &socket.role) {
            Some(Role::Listening(listening)) => listening.shared && sharing == Sharing::Others,
            _ => true,
        };
        if !taken.iter().all(all_share) {
            return Err(Errno::ADDRINUSE);
        }
        self.begin_listening(id, Address::Inet(address), sharing != Sharing::Nobody);
        Ok(())
    }

    /// Makes a Unix socket listen.
    pub(crate) fn listen_unix(&mut self, id: Id, path: &Path) -> Result<()> {
        let Some(socket) = self.sockets.get(id) else { return Err(Errno::BADF) };
        let host = socket.host;
        if self.hosts[host].paths.contains_key(path) {
            return Err(Errno::ADDRINUSE);
        }
        self.hosts[host].paths.insert(path.to_owned(), id);
        self.begin_listening(id, Address::Unix(path.to_owned()), false);
        Ok(())
    }

    fn begin_listening(&mut self, id: Id, address: Address, shared: bool) {
        self.note(id, 4, 0, |name| format!("{name} listens at {address}"));
        if address.as_inet().is_some() {
            self.listeners.push(id);
        }
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.role = Role::Listening(Listening {
            address,
            shared,
            backlog: VecDeque::new(),
            waiting: VecDeque::new(),
        });
    }

    /// Removes the name of a Unix socket that nobody listens at any more.
    pub(crate) fn unlink(&mut self, host: usize, path: &Path) -> bool {
        self.hosts[host].paths.remove(path).is_some()
    }

    /// Who listens where a connect to this address would arrive.
    fn listeners_at(&self, host: usize, address: SocketAddr) -> Vec<Id> {
        let is_there = |id: &Id| {
            let Some(Socket { role: Role::Listening(listening), host: home, .. }) =
                self.sockets.get(*id)
            else {
                return false;
            };
            let Some(at) = listening.address.as_inet() else { return false };
            at.port() == address.port()
                && self.host_at(at.ip(), *home) == Some(host)
                && (at.ip() == address.ip()
                    || at.ip().is_unspecified()
                    || address.ip().is_unspecified())
        };
        self.listeners.iter().copied().filter(is_there).collect()
    }

    /// Takes the next connection, for a new owner that is told from the listener's.
    pub(crate) fn accept(&mut self, id: Id) -> Attempt<Result<Id>> {
        let Some(socket) = self.sockets.get(id) else { return Attempt::Done(Err(Errno::BADF)) };
        let (owner, host, counted) = (socket.owner, socket.host, socket.counted);
        let coming = self.knocking > 0;
        let Some(listening) = self.listening(id) else { return Attempt::Done(Err(Errno::INVAL)) };
        let Some(connection) = listening.backlog.front().copied() else {
            return Attempt::WouldBlock { coming };
        };
        if counted {
            let state = &mut self.hosts[host];
            if state.descriptors >= state.machine.descriptors {
                return Attempt::Done(Err(Errno::MFILE));
            }
            state.descriptors += 1;
        }
        if let Some(listening) = self.listening(id) {
            listening.backlog.pop_front();
        }
        if let Some(socket) = self.sockets.get_mut(connection) {
            socket.owner = match owner {
                Owner::Engine { engine, .. } => Owner::Engine { engine, resource: Id::NONE },
                Owner::Peer => Owner::Peer,
            };
            (socket.host, socket.counted) = (host, counted);
        }
        // There is room for one more.
        while let Some(client) = self.listening(id).and_then(|l| l.waiting.pop_front())
            && !self.meet(client, id)
        {}
        self.note(connection, 5, 0, |name| format!("{name}: accepted"));
        Attempt::Done(Ok(connection))
    }

    // Connecting

    /// Begins to connect.
    pub(crate) fn connect(&mut self, client: Id, address: &Address) -> Result<()> {
        let Some(socket) = self.sockets.get_mut(client) else { return Err(Errno::BADF) };
        let host = socket.host;
        let loopback = |remote: SocketAddr| match remote.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, remote.port()).into(),
            IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, remote.port()).into(),
            _ => remote,
        };
        let address = match address {
            Address::Inet(remote) => Address::Inet(loopback(*remote)),
            other => other.clone(),
        };
        socket.role = Role::Connecting(address.as_inet());
        let remote = match address {
            Address::Inet(remote) => remote,
            Address::Unix(path) => return self.connect_unix(client, host, &path),
            _ => return Err(Errno::CONNREFUSED),
        };
        let there = self.host_at(remote.ip(), host).ok_or(Errno::NETUNREACH)?;
        let link = self.link_between(host, there);
        self.note(client, 6, 0, |name| format!("{name} connects to {remote}"));
        let latency = self.rng.duration(&link.latency);
        if self.rng.chance(link.black_hole) {
            let result = Err(Errno::TIMEDOUT);
            self.schedule(self.now + CONNECT_PATIENCE, Happening::Answer { client, result });
        } else if self.rng.chance(link.refuse) {
            let result = Err(Errno::CONNREFUSED);
            self.schedule(self.now + latency * 2, Happening::Answer { client, result });
        } else {
            self.knocking += 1;
            self.schedule(self.now + latency, Happening::Knock { client, remote });
        }
        Ok(())
    }

    /// Connects to a Unix socket: at once or not at all.
    fn connect_unix(&mut self, client: Id, host: usize, path: &Path) -> Result<()> {
        let listener = *self.hosts[host].paths.get(path).ok_or(Errno::NOENT)?;
        let backlog = self.hosts[host].machine.backlog;
        let listening = self.listening(listener).ok_or(Errno::CONNREFUSED)?;
        if listening.backlog.len() >= backlog {
            return Err(Errno::AGAIN);
        }
        self.meet(client, listener);
        Ok(())
    }

    /// A connect has reached its host.
    pub(super) fn knock(&mut self, client: Id, remote: SocketAddr) {
        let Some(socket) = self.sockets.get(client) else { return };
        let Some(there) = self.host_at(remote.ip(), socket.host) else { return };
        let link = self.link_between(socket.host, there);
        let listeners = self.listeners_at(there, remote);
        let Some(&listener) = self.rng.pick(&listeners) else {
            let at = self.now + self.rng.duration(&link.latency);
            let result = Err(Errno::CONNREFUSED);
            return self.schedule(at, Happening::Answer { client, result });
        };
        let backlog = self.hosts[there].machine.backlog;
        let Some(listening) = self.listening(listener) else { return };
        if listening.backlog.len() >= backlog {
            listening.waiting.push_back(client);
        } else {
            self.meet(client, listener);
        }
    }

    /// Makes the connection of a socket that connects and one that listens, if the former still
    /// does. Returns whether it did.
    fn meet(&mut self, client: Id, listener: Id) -> bool {
        let Some(Socket { role: Role::Connecting(dialed), host: here, tcp, .. }) =
            self.sockets.get(client)
        else {
            return false;
        };
        let (dialed, here, tcp) = (*dialed, *here, *tcp);
        let Some(Role::Listening(listening)) = self.sockets.get(listener).map(|s| &s.role) else {
            return false;
        };
        let (local, remote, there) = match dialed {
            Some(remote) => {
                let there = self.host_at(remote.ip(), here).unwrap_or(here);
                let local = self.source_address(here, remote);
                (Address::Inet(local), Address::Inet(remote), there)
            }
            None => (Address::UnixUnnamed, listening.address.clone(), here),
        };
        let link = Arc::new(self.link_between(here, there));
        let server = self.sockets.insert(Socket {
            owner: Owner::Peer,
            host: there,
            counted: false,
            tcp,
            listed: false,
            coming: 0,
            role: Role::Fresh,
        });
        self.join(client, local, server, remote, link);
        if tcp {
            let at = self.now + self.latency_of(client);
            if let Some(connection) = self.connection(client) {
                connection.established = false;
            }
            if let Some(connection) = self.connection(server) {
                // Nothing overtakes the answer.
                connection.clear_at = at;
            }
            self.schedule(at, Happening::Answer { client, result: Ok(()) });
        }
        if let Some(listening) = self.listening(listener) {
            listening.backlog.push_back(server);
        }
        self.touch(listener);
        true
    }

    /// Makes two sockets the ends of one connection.
    fn join(
        &mut self,
        one: Id,
        address: Address,
        other: Id,
        other_address: Address,
        link: Arc<Link>,
    ) {
        let ends = [
            (one, address.clone(), other, other_address.clone()),
            (other, other_address, one, address),
        ];
        for (id, local, other, remote) in ends {
            let fate = self.draw_fate(&link);
            let connection = Connection {
                local,
                remote,
                other,
                link: Arc::clone(&link),
                established: true,
                arrived: BytesMut::new(),
                ended: false,
                error: None,
                broken: false,
                shut: false,
                under_way: 0,
                clear_at: self.now,
                sent: 0,
                fate,
                severed: false,
            };
            if let Some(socket) = self.sockets.get_mut(id) {
                socket.role = Role::Connected(Box::new(connection));
            }
        }
    }

    /// Makes two sockets of one host the ends of one connection.
    pub(crate) fn pair(&mut self, host: usize, one: Id, other: Id, tcp: bool) {
        let link = Arc::new(self.link_between(host, host));
        let mut address = || match tcp {
            true => Address::Inet((Ipv4Addr::LOCALHOST, self.free_port(host)).into()),
            false => Address::UnixUnnamed,
        };
        let (local, remote) = (address(), address());
        self.join(one, local, other, remote, link);
    }

    pub(super) fn answer(&mut self, client: Id, result: Result<()>) {
        self.note(client, 7, 0, |name| match result {
            Ok(()) => format!("{name}: connected"),
            Err(error) => format!("{name}: cannot connect: {error}"),
        });
        let Some(socket) = self.sockets.get_mut(client) else { return };
        match (&mut socket.role, result) {
            (Role::Connected(connection), Ok(())) => connection.established = true,
            (role, Err(error)) => *role = Role::Refused(error),
            _ => return,
        }
        self.touch(client);
    }

    /// How a connect has ended, if it has.
    pub(crate) fn connected(&self, id: Id) -> Attempt<Result<()>> {
        let Some(socket) = self.sockets.get(id) else { return Attempt::Done(Err(Errno::BADF)) };
        match &socket.role {
            Role::Connected(connection) if connection.established => Attempt::Done(Ok(())),
            Role::Refused(error) => Attempt::Done(Err(*error)),
            _ => Attempt::WouldBlock { coming: socket.coming > 0 },
        }
    }

    /// Those that nobody accepted are reset.
    pub(super) fn end_listening(&mut self, id: Id) {
        self.listeners.retain(|&listener| listener != id);
        let Some(listening) = self.listening(id) else { return };
        let backlog = std::mem::take(&mut listening.backlog);
        let waiting = std::mem::take(&mut listening.waiting);
        for connection in backlog {
            self.close(connection, Release::Reset);
        }
        for client in waiting {
            self.schedule(self.now, Happening::Answer { client, result: Err(Errno::CONNREFUSED) });
        }
    }
}
