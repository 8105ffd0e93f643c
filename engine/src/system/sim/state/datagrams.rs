//! How datagrams get from one socket to another, if they do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;

use crate::{
    pure::{address::Address, datagram::Datagram, table::Id},
    system::{
        sim::{
            state::{
                Attempt, Datagrams, Happening, NetworkState, Owner, Result, Role, Socket, abridged,
            },
            trace::digest,
        },
        sys::errno::Errno,
    },
};

/// The most that UDP carries over IPv4.
const UDP_MAX: usize = 65_507;

impl Datagrams {
    pub(super) fn is_readable(&self) -> bool {
        !self.arrived.is_empty() || self.error.is_some()
    }
}

impl NetworkState {
    /// A socket of datagrams that is bound to this address; port 0 stands for one that is free.
    pub(crate) fn bind_datagrams(
        &mut self,
        host: usize,
        owner: Owner,
        address: SocketAddr,
    ) -> Result<Id> {
        let there = self.host_at(address.ip(), host).ok_or(Errno::ADDRNOTAVAIL)?;
        let mut address = address;
        if address.port() == 0 {
            let is_free = |state: &Self, port| {
                state.receivers_at(there, SocketAddr::new(address.ip(), port)).next().is_none()
            };
            let port = loop {
                let port = self.free_port(there);
                if is_free(self, port) {
                    break port;
                }
            };
            address.set_port(port);
        }
        if self.receivers_at(there, address).next().is_some() {
            return Err(Errno::ADDRINUSE);
        }
        let id = self.open(host, owner, false)?;
        let socket = Datagrams { local: Some(address), ..Datagrams::default() };
        self.set_datagrams(id, socket);
        self.note(id, 10, 0, |name| format!("{name} receives at {address}"));
        Ok(id)
    }

    /// One that is connected to this address.
    pub(crate) fn connect_datagrams(
        &mut self,
        host: usize,
        owner: Owner,
        remote: SocketAddr,
    ) -> Result<Id> {
        let remote = known(remote);
        self.host_at(remote.ip(), host).ok_or(Errno::NETUNREACH)?;
        let local = self.source_address(host, remote);
        let id = self.open(host, owner, false)?;
        let socket = Datagrams { local: Some(local), remote: Some(remote), ..Datagrams::default() };
        self.set_datagrams(id, socket);
        self.note(id, 10, 0, |name| format!("{name} receives at {local}, from {remote} only"));
        Ok(id)
    }

    fn set_datagrams(&mut self, id: Id, datagrams: Datagrams) {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.role = Role::Datagrams(Box::new(datagrams));
            self.receivers.push(id);
        }
    }

    pub(super) fn datagrams(&mut self, id: Id) -> Option<&mut Datagrams> {
        match &mut self.sockets.get_mut(id)?.role {
            Role::Datagrams(datagrams) => Some(datagrams),
            _ => None,
        }
    }

    /// Who receives what is sent to this address of a host.
    fn receivers_at(&self, host: usize, to: SocketAddr) -> impl Iterator<Item = Id> {
        self.receivers.iter().copied().filter(move |id| {
            let Some(Socket { role: Role::Datagrams(datagrams), host: home, .. }) =
                self.sockets.get(*id)
            else {
                return false;
            };
            let Some(at) = datagrams.local else { return false };
            let is_there = self.host_at(at.ip(), *home) == Some(host);
            // One that is bound to `[::]` is of both families.
            let hears = at.ip() == to.ip()
                || to.ip().is_unspecified()
                || (at.ip().is_unspecified() && (at.is_ipv6() || to.is_ipv4()));
            at.port() == to.port() && is_there && hears
        })
    }

    /// Sends a datagram, whole or not at all: to whom the socket is connected to, if `to` is none.
    pub(crate) fn send_datagram(
        &mut self,
        id: Id,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> Result<()> {
        let Some(socket) = self.sockets.get(id) else { return Err(Errno::BADF) };
        let host = socket.host;
        let Some(datagrams) = self.datagrams(id) else { return Err(Errno::NOTCONN) };
        if let Some(error) = datagrams.error.take() {
            return Err(error);
        }
        let local = datagrams.local.ok_or(Errno::INVAL)?;
        let to = known(to.or(datagrams.remote).ok_or(Errno::DESTADDRREQ)?);
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        if local.is_ipv4() && to.is_ipv6() {
            return Err(Errno::AFNOSUPPORT);
        }
        let there = self.host_at(to.ip(), host).ok_or(Errno::NETUNREACH)?;
        let link = self.link_between(host, there);
        if bytes.len() > link.datagram.min(UDP_MAX) {
            return Err(Errno::MSGSIZE);
        }
        let from = SocketAddr::new(self.sender_ip(host, local, to), local.port());
        let fate = match (self.rng.chance(link.loss), self.rng.chance(link.duplicate)) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        };
        self.note(id, 11, digest(bytes) ^ fate, |name| {
            let fate = ["is lost", "", "comes twice"][usize::try_from(fate).unwrap_or(1)];
            format!("{name}: sends {} bytes to {to}: {} {fate}", bytes.len(), abridged(bytes))
        });
        let bytes = Bytes::copy_from_slice(bytes);
        for _ in 0..fate {
            let at = self.now + self.rng.duration(&link.latency);
            self.flying += 1;
            let event =
                Happening::Datagram { sender: id, host: there, from, to, bytes: bytes.clone() };
            self.schedule(at, event);
        }
        Ok(())
    }

    /// What a datagram says that it comes from.
    fn sender_ip(&self, host: usize, local: SocketAddr, to: SocketAddr) -> IpAddr {
        let state = &self.hosts[host];
        match (local.ip(), to.ip()) {
            (ip, _) if !ip.is_unspecified() => ip,
            (_, ip) if ip.is_loopback() => ip,
            (_, IpAddr::V4(_)) => state.v4.into(),
            (_, IpAddr::V6(_)) => state.v6.into(),
        }
    }

    /// A datagram reaches the host that it is for.
    pub(super) fn arrive_datagram(
        &mut self,
        sender: Id,
        host: usize,
        from: SocketAddr,
        to: SocketAddr,
        bytes: Bytes,
    ) {
        self.flying -= 1;
        let is_for = |state: &Self, id: Id| match state.sockets.get(id).map(|socket| &socket.role) {
            Some(Role::Datagrams(datagrams)) => {
                datagrams.remote.is_none_or(|remote| remote == from)
            }
            _ => false,
        };
        let receiver = self.receivers_at(host, to).find(|id| is_for(self, *id));
        let Some(receiver) = receiver else {
            let latency = self.link_between(host, host_of(self, sender).unwrap_or(host)).latency;
            let at = self.now + self.rng.duration(&latency);
            self.flying += 1;
            return self.schedule(at, Happening::Unreachable { to: sender });
        };
        let home = host_of(self, receiver).unwrap_or(host);
        // The sender itself may be gone.
        let buffer = self.link_between(self.host_at(from.ip(), home).unwrap_or(home), home).buffer;
        let Some(datagrams) = self.datagrams(receiver) else { return };
        let is_full = datagrams.len + bytes.len() > buffer;
        if !is_full {
            let from = match (datagrams.local, from) {
                (Some(SocketAddr::V6(_)), SocketAddr::V4(v4)) => {
                    (v4.ip().to_ipv6_mapped(), v4.port()).into()
                }
                _ => from,
            };
            datagrams.len += bytes.len();
            datagrams.arrived.push_back((bytes.clone(), from));
        }
        self.note(receiver, 12, digest(&bytes) ^ u64::from(is_full), |name| {
            let what = if is_full { "find no room" } else { "arrive" };
            format!("{name}: {} bytes from {from} {what}: {}", bytes.len(), abridged(&bytes))
        });
        self.touch(receiver);
    }

    /// A sender hears that nobody is there (ICMP), if it is connected: else it is not told.
    pub(super) fn was_unreachable(&mut self, to: Id) {
        self.flying -= 1;
        self.note(to, 13, 0, |name| format!("{name}: nobody is there"));
        if let Some(datagrams) = self.datagrams(to)
            && datagrams.remote.is_some()
        {
            datagrams.error = Some(Errno::CONNREFUSED);
            self.touch(to);
        }
    }

    /// Takes the next datagram, up to `most` bytes of it.
    pub(crate) fn receive_datagram(&mut self, id: Id, most: usize) -> Attempt<Result<Datagram>> {
        let coming = self.flying > 0;
        let Some(datagrams) = self.datagrams(id) else { return Attempt::Done(Err(Errno::NOTCONN)) };
        if let Some(error) = datagrams.error.take() {
            return Attempt::Done(Err(error));
        }
        let Some((mut bytes, from)) = datagrams.arrived.pop_front() else {
            return Attempt::WouldBlock { coming };
        };
        datagrams.len -= bytes.len();
        let truncated = bytes.len() > most;
        bytes.truncate(most);
        Attempt::Done(Ok(Datagram { bytes, from: Address::Inet(from), truncated }))
    }

    pub(super) fn end_datagrams(&mut self, id: Id) {
        self.receivers.retain(|&receiver| receiver != id);
    }
}

fn host_of(state: &NetworkState, id: Id) -> Option<usize> {
    state.sockets.get(id).map(|socket| socket.host)
}

/// Sent to no address, it goes to this host.
fn known(to: SocketAddr) -> SocketAddr {
    match to.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, to.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, to.port()).into(),
        _ => to,
    }
}
