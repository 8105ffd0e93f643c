//! [`State`]: the network itself. Hosts, sockets and what is under way between them; pure, driven by
//! calls and by its own clock.
//!
//! A connection has two ends, a [`Socket`] each. What one sends is cut into pieces, each an event
//! that comes when it arrives at the other. A socket whose owner has closed it is gone at once; what
//! it had sent is in the events and arrives all the same.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BinaryHeap, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use rustix::io::Errno;

use crate::{
    address::Address,
    sim::{
        Link, Machine, Rng,
        bell::Bell,
        trace::{Trace, digest},
    },
    table::{Id, Table},
};

type Result<T> = std::result::Result<T, Errno>;

/// How long Linux tries to connect to a host that does not answer: with 6 tries after the first.
const CONNECT_PATIENCE: Duration = Duration::from_secs(127);
/// Where the ports begin that are given out when nobody asks for one.
const FIRST_PORT: u16 = 49_152;
/// The largest piece that is sent at once.
const PIECE_MAX: usize = 64 << 10;

/// A network.
pub(crate) struct State {
    pub(crate) rng: Rng,
    pub(crate) now: Duration,
    /// What the engines' clocks show when this network's shows nought.
    pub(crate) start: Instant,
    pub(crate) hosts: Vec<HostState>,
    pub(crate) link: Link,
    links: BTreeMap<(usize, usize), Link>,
    pub(crate) names: BTreeMap<String, Vec<IpAddr>>,
    sockets: Table<Socket>,
    /// Those that listen for TCP connections, in the order in which they began.
    listeners: Vec<Id>,
    /// How many connects are on their way to their hosts.
    knocking: usize,
    engines: Vec<EngineState>,
    events: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    pub(crate) trace: Trace,
    /// Other threads are waited for.
    pub(crate) threads: bool,
}

pub(crate) struct HostState {
    pub(crate) name: String,
    pub(crate) machine: Machine,
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
    /// How many sockets of engines are open.
    pub(crate) descriptors: usize,
    next_port: u16,
    /// Where something listens, or has listened: the name of a Unix socket stays.
    paths: BTreeMap<PathBuf, Id>,
}

/// An engine as the network sees it.
struct EngineState {
    /// Sockets with something to tell, each once.
    ready: VecDeque<Id>,
    bell: Arc<Bell>,
}

/// Whose a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A test's: nobody need be told anything.
    Peer,
    /// An engine's, and its resource once it is known.
    Engine { engine: usize, resource: Id },
}

pub(crate) struct Socket {
    pub(crate) owner: Owner,
    host: usize,
    /// Counted among the descriptors of this host.
    counted: bool,
    pub(crate) tcp: bool,
    /// In its engine's list of those with something to tell.
    listed: bool,
    /// How many events are to come for it.
    coming: usize,
    role: Role,
}

enum Role {
    Fresh,
    Listening(Listening),
    /// To this address, unless it is a Unix socket.
    Connecting(Option<SocketAddr>),
    /// The connect has ended; nobody has asked how yet.
    Refused(Errno),
    Connected(Box<Connection>),
}

struct Listening {
    address: Address,
    shared: bool,
    /// Ends of connections that nobody has accepted.
    backlog: VecDeque<Id>,
    /// Sockets that connect and find the backlog full.
    waiting: VecDeque<Id>,
}

/// One end of a connection.
struct Connection {
    local: Address,
    remote: Address,
    other: Id,
    /// The hosts' link when it was made.
    link: Arc<Link>,
    /// The connecting end knows of the connection.
    established: bool,

    arrived: BytesMut,
    /// The other end sends no more.
    ended: bool,
    /// What the system has to tell, once.
    error: Option<Errno>,
    /// Nothing comes or goes any more.
    broken: bool,

    /// This end sends no more.
    shut: bool,
    /// How many bytes of this end are under way.
    under_way: usize,
    /// When the last of them arrives.
    clear_at: Duration,
    /// How many bytes this end has sent...
    sent: u64,
    /// ...and after how many something happens to them.
    fate: Option<(u64, Fate)>,
    /// What is sent leads nowhere, and is answered by a reset.
    severed: bool,
}

/// What a bad link does to a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Reset,
    End,
}

/// What is to happen.
#[derive(Debug)]
enum Event {
    /// A piece arrives.
    Piece { from: Id, to: Id, bytes: Bytes },
    /// The other end sends no more.
    End { to: Id },
    /// The connection is reset for this end.
    Reset { to: Id },
    /// A connect reaches the host it is for.
    Knock { client: Id, remote: SocketAddr },
    /// A connect has ended.
    Answer { client: Id, result: Result<()> },
    /// An engine has something of its own to do.
    Alarm,
}

#[derive(Debug)]
struct Scheduled {
    at: Duration,
    number: u64,
    event: Event,
}

/// What an attempt came to that must not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt<T> {
    Done(T),
    /// Nothing yet; whether something is on its way.
    WouldBlock {
        coming: bool,
    },
}

/// What a read came to.
#[derive(Debug)]
pub(crate) enum Received {
    Bytes(Bytes),
    End,
    Failed(Errno),
}

impl State {
    pub(crate) fn new(seed: u64, start: Instant) -> Self {
        Self {
            rng: Rng::new(seed),
            now: Duration::ZERO,
            start,
            hosts: Vec::new(),
            link: Link::default(),
            links: BTreeMap::new(),
            names: BTreeMap::new(),
            sockets: Table::new(),
            listeners: Vec::new(),
            knocking: 0,
            engines: Vec::new(),
            events: BinaryHeap::new(),
            scheduled: 0,
            trace: Trace::default(),
            threads: false,
        }
    }

    // Hosts and engines

    /// Adds a host, or finds the one with this name.
    pub(crate) fn host(&mut self, name: &str) -> usize {
        if let Some(known) = self.hosts.iter().position(|host| host.name == name) {
            return known;
        }
        let host = self.hosts.len();
        let number = u16::try_from(host + 1).expect("fewer than 65,535 hosts");
        let [high, low] = number.to_be_bytes();
        let v4 = Ipv4Addr::new(10, 0, high, low);
        self.hosts.push(HostState {
            name: name.to_owned(),
            machine: Machine::default(),
            v4,
            v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number),
            descriptors: 0,
            next_port: FIRST_PORT,
            paths: BTreeMap::new(),
        });
        self.names.insert(name.to_ascii_lowercase(), vec![v4.into()]);
        host
    }

    pub(crate) fn set_link(&mut self, one: usize, other: usize, link: Link) {
        self.links.insert((one.min(other), one.max(other)), link);
    }

    fn link_between(&self, one: usize, other: usize) -> Link {
        match self.links.get(&(one.min(other), one.max(other))) {
            Some(link) => link.clone(),
            // What does not leave the host does not go through the network.
            None if one == other => Link::default(),
            None => self.link.clone(),
        }
    }

    /// An engine comes to live in the network.
    pub(crate) fn add_engine(&mut self, bell: Arc<Bell>) -> usize {
        self.engines.push(EngineState { ready: VecDeque::new(), bell });
        self.engines.len() - 1
    }

    /// The host with this address, as seen from `host`.
    fn host_at(&self, ip: IpAddr, host: usize) -> Option<usize> {
        let ip = ip.to_canonical();
        if ip.is_loopback() || ip.is_unspecified() {
            return Some(host);
        }
        self.hosts.iter().position(|host| IpAddr::V4(host.v4) == ip || IpAddr::V6(host.v6) == ip)
    }

    /// The address that a connection to `remote` comes from.
    fn source_address(&mut self, host: usize, remote: SocketAddr) -> SocketAddr {
        let port = self.free_port(host);
        let state = &self.hosts[host];
        let ip: IpAddr = match remote.ip() {
            ip if ip.is_loopback() => ip,
            IpAddr::V4(_) => state.v4.into(),
            IpAddr::V6(_) => state.v6.into(),
        };
        (ip, port).into()
    }

    fn free_port(&mut self, host: usize) -> u16 {
        let state = &mut self.hosts[host];
        let port = state.next_port;
        state.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
        port
    }

    // Time

    /// Lets time go on, and what is due happen.
    pub(crate) fn advance(&mut self, to: Duration) {
        while let Some(Reverse(next)) = self.events.peek()
            && next.at <= to
            && let Some(Reverse(next)) = self.events.pop()
        {
            self.now = self.now.max(next.at);
            self.happen(next.event);
        }
        self.now = self.now.max(to);
    }

    /// When the next thing happens.
    pub(crate) fn next_event(&self) -> Option<Duration> {
        self.events.peek().map(|Reverse(next)| next.at)
    }

    /// Has all waits look up at a time, because an engine has something of its own to do then.
    pub(crate) fn schedule_alarm(&mut self, at: Duration) {
        self.schedule(at, Event::Alarm);
    }

    fn schedule(&mut self, at: Duration, event: Event) {
        if let Some(to) = event.subject()
            && let Some(socket) = self.sockets.get_mut(to)
        {
            socket.coming += 1;
        }
        self.scheduled += 1;
        self.events.push(Reverse(Scheduled { at, number: self.scheduled, event }));
    }

    fn happen(&mut self, event: Event) {
        if let Some(to) = event.subject()
            && let Some(socket) = self.sockets.get_mut(to)
        {
            socket.coming -= 1;
        }
        match event {
            Event::Piece { from, to, bytes } => self.arrive(from, to, &bytes),
            Event::End { to } => {
                self.note(to, 2, 0, |name| format!("{name}: the other end has ended"));
                if let Some(connection) = self.connection(to) {
                    connection.ended = true;
                    self.touch(to);
                }
            }
            Event::Reset { to } => self.break_connection(to),
            Event::Knock { client, remote } => {
                self.knocking -= 1;
                self.knock(client, remote);
            }
            Event::Answer { client, result } => self.answer(client, result),
            Event::Alarm => {}
        }
    }

    fn arrive(&mut self, from: Id, to: Id, bytes: &[u8]) {
        self.note(to, 1, digest(bytes), |name| {
            format!("{name}: {} bytes arrive: {}", bytes.len(), abridged(bytes))
        });
        if let Some(sender) = self.connection(from) {
            sender.under_way -= bytes.len();
        }
        match self.connection(to) {
            Some(connection) if !connection.broken => {
                connection.arrived.extend_from_slice(bytes);
                self.touch(to);
            }
            Some(_) => {}
            // Nobody is there any more, and says so.
            None => self.reset_by_answer(from),
        }
    }

    /// Resets the end that has sent something into the void.
    fn reset_by_answer(&mut self, from: Id) {
        let Some(connection) = self.connection(from) else { return };
        let link = Arc::clone(&connection.link);
        let at = self.now + self.rng.duration(&link.latency);
        self.schedule(at, Event::Reset { to: from });
    }

    fn break_connection(&mut self, to: Id) {
        self.note(to, 3, 0, |name| format!("{name}: reset"));
        let Some(connection) = self.connection(to) else { return };
        if !connection.broken {
            connection.broken = true;
            connection.error = Some(Errno::CONNRESET);
            self.touch(to);
        }
    }

    /// Puts a socket into its engine's list of those with something to tell.
    pub(crate) fn touch(&mut self, id: Id) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if let Owner::Engine { engine, .. } = socket.owner
            && !std::mem::replace(&mut socket.listed, true)
        {
            self.engines[engine].ready.push_back(id);
        }
    }

    /// How many sockets of an engine have something to tell.
    pub(crate) fn ready_len(&self, engine: usize) -> usize {
        self.engines[engine].ready.len()
    }

    /// The resources of those.
    pub(crate) fn ready(&self, engine: usize) -> impl Iterator<Item = Id> {
        let ready = self.engines[engine].ready.iter();
        ready.filter_map(|id| match self.sockets.get(*id)?.owner {
            Owner::Engine { resource, .. } => Some(resource),
            Owner::Peer => None,
        })
    }

    /// Takes one of them, and its resource.
    #[expect(clippy::cast_possible_truncation, reason = "below a length")]
    pub(crate) fn pop_ready(&mut self, engine: usize, reorder: f64) -> Option<(Id, Id)> {
        loop {
            let len = self.engines[engine].ready.len();
            let at =
                if len > 1 && self.rng.chance(reorder) { self.rng.below(len as u64) } else { 0 };
            let id = self.engines[engine].ready.remove(at as usize)?;
            let Some(socket) = self.sockets.get_mut(id) else { continue };
            socket.listed = false;
            if let Owner::Engine { resource, .. } = socket.owner {
                return Some((id, resource));
            }
        }
    }

    /// An engine is gone.
    pub(crate) fn remove_engine(&mut self, engine: usize) {
        self.engines[engine].ready = VecDeque::new();
    }

    /// Ends the waits of all engines: something has changed that is no event.
    pub(crate) fn ring(&self) {
        for engine in &self.engines {
            engine.bell.ring();
        }
    }

    // Sockets

    /// A socket on a host. One of an engine takes a descriptor.
    pub(crate) fn open(&mut self, host: usize, owner: Owner, tcp: bool) -> Result<Id> {
        let counted = matches!(owner, Owner::Engine { .. });
        let state = &mut self.hosts[host];
        if counted {
            if state.descriptors >= state.machine.descriptors {
                return Err(Errno::MFILE);
            }
            state.descriptors += 1;
        }
        let role = Role::Fresh;
        Ok(self.sockets.insert(Socket {
            owner,
            host,
            counted,
            tcp,
            listed: false,
            coming: 0,
            role,
        }))
    }

    /// A resource of the engine takes a socket in hand.
    pub(crate) fn claim(&mut self, id: Id, resource: Id) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if let Owner::Engine { engine, .. } = socket.owner {
            socket.owner = Owner::Engine { engine, resource };
        }
        self.touch(id);
    }

    pub(crate) fn local_address(&self, id: Id) -> Option<Address> {
        match &self.sockets.get(id)?.role {
            Role::Listening(listening) => Some(listening.address.clone()),
            Role::Connected(connection) => Some(connection.local.clone()),
            _ => None,
        }
    }

    pub(crate) fn remote_address(&self, id: Id) -> Option<Address> {
        match &self.sockets.get(id)?.role {
            Role::Connected(connection) if !connection.broken => Some(connection.remote.clone()),
            _ => None,
        }
    }

    fn connection(&mut self, id: Id) -> Option<&mut Connection> {
        match &mut self.sockets.get_mut(id)?.role {
            Role::Connected(connection) => Some(connection),
            _ => None,
        }
    }

    fn listening(&mut self, id: Id) -> Option<&mut Listening> {
        match &mut self.sockets.get_mut(id)?.role {
            Role::Listening(listening) => Some(listening),
            _ => None,
        }
    }

    // Listening

    /// Makes a socket listen. Port 0 stands for one that is free.
    pub(crate) fn listen(&mut self, id: Id, address: SocketAddr, shared: bool) -> Result<()> {
        let Some(socket) = self.sockets.get(id) else { return Err(Errno::BADF) };
        let host = self.host_at(address.ip(), socket.host).ok_or(Errno::ADDRNOTAVAIL)?;
        let port = match address.port() {
            0 => self.free_port(host),
            port => port,
        };
        let address = SocketAddr::new(address.ip(), port);
        let taken = self.listeners_at(host, address);
        let all_share = |id: &Id| match self.sockets.get(*id).map(|socket| &socket.role) {
            Some(Role::Listening(listening)) => listening.shared && shared,
            _ => true,
        };
        if !taken.iter().all(all_share) {
            return Err(Errno::ADDRINUSE);
        }
        self.begin_listening(id, Address::Inet(address), shared);
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
            self.schedule(self.now + CONNECT_PATIENCE, Event::Answer { client, result });
        } else if self.rng.chance(link.refuse) {
            let result = Err(Errno::CONNREFUSED);
            self.schedule(self.now + latency * 2, Event::Answer { client, result });
        } else {
            self.knocking += 1;
            self.schedule(self.now + latency, Event::Knock { client, remote });
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
    fn knock(&mut self, client: Id, remote: SocketAddr) {
        let Some(socket) = self.sockets.get(client) else { return };
        let Some(there) = self.host_at(remote.ip(), socket.host) else { return };
        let link = self.link_between(socket.host, there);
        let listeners = self.listeners_at(there, remote);
        let Some(&listener) = self.rng.pick(&listeners) else {
            let at = self.now + self.rng.duration(&link.latency);
            let result = Err(Errno::CONNREFUSED);
            return self.schedule(at, Event::Answer { client, result });
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
            self.schedule(at, Event::Answer { client, result: Ok(()) });
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

    fn draw_fate(&mut self, link: &Link) -> Option<(u64, Fate)> {
        let fate = match (self.rng.chance(link.reset), self.rng.chance(link.end)) {
            (true, _) => Fate::Reset,
            (false, true) => Fate::End,
            (false, false) => return None,
        };
        Some((self.rng.below(link.within), fate))
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

    fn latency_of(&mut self, id: Id) -> Duration {
        let Some(connection) = self.connection(id) else { return Duration::ZERO };
        let link = Arc::clone(&connection.link);
        self.rng.duration(&link.latency)
    }

    fn answer(&mut self, client: Id, result: Result<()>) {
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

    // Bytes

    /// Takes up to `most` of what has arrived.
    pub(crate) fn receive(&mut self, id: Id, most: usize) -> Attempt<Received> {
        let coming = self.sockets.get(id).is_some_and(|socket| socket.coming > 0);
        let Some(connection) = self.connection(id) else {
            return Attempt::Done(Received::Failed(Errno::NOTCONN));
        };
        let taken = most.min(connection.arrived.len());
        let received = if taken > 0 {
            let other = connection.other;
            let bytes = connection.arrived.split_to(taken).freeze();
            // There is room for more.
            self.touch(other);
            Received::Bytes(bytes)
        } else if let Some(error) = connection.error.take() {
            Received::Failed(error)
        } else if connection.ended || connection.broken {
            Received::End
        } else {
            return Attempt::WouldBlock { coming };
        };
        Attempt::Done(received)
    }

    /// Whether a read would not have to wait.
    pub(crate) fn is_readable(&self, id: Id) -> bool {
        match self.sockets.get(id).map(|socket| &socket.role) {
            Some(Role::Connected(connection)) => {
                !connection.arrived.is_empty() || connection.ended || connection.broken
            }
            _ => false,
        }
    }

    /// How many bytes have arrived.
    pub(crate) fn arrived_len(&self, id: Id) -> usize {
        match self.sockets.get(id).map(|socket| &socket.role) {
            Some(Role::Connected(connection)) => connection.arrived.len(),
            _ => 0,
        }
    }

    /// Fills the way to an end, as if its other end had sent so much. Returns how much that was.
    pub(crate) fn fill(&mut self, id: Id) -> usize {
        let Some(other) = self.connection(id).map(|connection| connection.other) else { return 0 };
        let Attempt::Done(Ok(room)) = self.room(other) else { return 0 };
        if let Some(connection) = self.connection(id) {
            connection.arrived.resize(connection.arrived.len() + room, 0);
        }
        room
    }

    /// How many bytes a send would take, or how it would fail. The system tells an error once.
    pub(crate) fn room(&mut self, id: Id) -> Attempt<Result<usize>> {
        let Some(socket) = self.sockets.get(id) else { return Attempt::Done(Err(Errno::BADF)) };
        let tcp = socket.tcp;
        let Some(connection) = self.connection(id) else {
            return Attempt::Done(Err(Errno::NOTCONN));
        };
        if let Some(error) = connection.error.take() {
            return Attempt::Done(Err(error));
        }
        if connection.broken || connection.shut {
            return Attempt::Done(Err(Errno::PIPE));
        }
        let (other, buffer, under_way) =
            (connection.other, connection.link.buffer, connection.under_way);
        match self.connection(other) {
            Some(remote) => match buffer.saturating_sub(under_way + remote.arrived.len()) {
                // Only the reader makes room.
                0 => Attempt::WouldBlock { coming: false },
                room => Attempt::Done(Ok(room)),
            },
            // A Unix socket knows that the other end is gone, TCP is told when it sends.
            None if !tcp => Attempt::Done(Err(Errno::PIPE)),
            None => Attempt::Done(Ok(buffer)),
        }
    }

    /// Sends all of `bytes`, for which there is room.
    pub(crate) fn send(&mut self, id: Id, bytes: &[u8]) {
        self.note(id, 8, digest(bytes), |name| {
            format!("{name}: sends {} bytes: {}", bytes.len(), abridged(bytes))
        });
        let mut rest = Bytes::copy_from_slice(bytes);
        while !rest.is_empty() {
            let Some(connection) = self.connection(id) else { return };
            let link = Arc::clone(&connection.link);
            if connection.severed {
                return self.reset_by_answer(id);
            }
            let len = match self.rng.chance(link.split) {
                true => self.rng.part_of(rest.len()),
                false => rest.len(),
            };
            let mut piece = rest.split_to(len.min(PIECE_MAX));
            let fate = self.fate_of(id, piece.len());
            if let Some((left, _)) = fate {
                piece.truncate(left);
            }
            let at = self.send_piece(id, piece, &link);
            if let Some((_, fate)) = fate {
                return self.suffer(id, fate, at);
            }
        }
    }

    /// What happens to a direction that is about to carry so many bytes more, and after how many.
    #[expect(clippy::cast_possible_truncation, reason = "below a length")]
    fn fate_of(&mut self, id: Id, len: usize) -> Option<(usize, Fate)> {
        let connection = self.connection(id)?;
        let (after, fate) = connection.fate?;
        let left = after.saturating_sub(connection.sent);
        (left < len as u64).then_some((left as usize, fate))
    }

    /// Sends one piece. Returns when it arrives.
    fn send_piece(&mut self, from: Id, bytes: Bytes, link: &Link) -> Duration {
        let latency = self.rng.duration(&link.latency);
        let transfer = match link.bandwidth {
            Some(rate) => Duration::from_secs_f64(usize_to_f64(bytes.len()) / u64_to_f64(rate)),
            None => Duration::ZERO,
        };
        let now = self.now;
        let Some(connection) = self.connection(from) else { return now };
        let at = (now + latency).max(connection.clear_at) + transfer;
        connection.clear_at = at;
        if !bytes.is_empty() {
            connection.sent += bytes.len() as u64;
            connection.under_way += bytes.len();
            let to = connection.other;
            self.schedule(at, Event::Piece { from, to, bytes });
        }
        at
    }

    /// A direction meets its fate.
    fn suffer(&mut self, id: Id, fate: Fate, at: Duration) {
        let Some(connection) = self.connection(id) else { return };
        let other = connection.other;
        match fate {
            Fate::Reset => {
                connection.severed = true;
                self.schedule(at, Event::Reset { to: id });
                self.schedule(at, Event::Reset { to: other });
            }
            Fate::End => {
                connection.severed = true;
                self.schedule(at, Event::End { to: other });
            }
        }
    }

    /// Sends no more: the other end hears so behind all bytes.
    pub(crate) fn shut(&mut self, id: Id) -> Result<()> {
        let Some(connection) = self.connection(id) else { return Err(Errno::NOTCONN) };
        if std::mem::replace(&mut connection.shut, true) || connection.severed {
            return Ok(());
        }
        self.say_end(id);
        Ok(())
    }

    fn say_end(&mut self, id: Id) {
        let latency = self.latency_of(id);
        let now = self.now;
        let Some(connection) = self.connection(id) else { return };
        let (at, to) = ((now + latency).max(connection.clear_at), connection.other);
        connection.clear_at = at;
        self.schedule(at, Event::End { to });
    }

    /// Closes a socket. A connection is ended, or reset if that is asked for or bytes are unread.
    pub(crate) fn close(&mut self, id: Id, reset: bool, drain: bool) {
        let Some(socket) = self.sockets.get(id) else { return };
        match &socket.role {
            Role::Connected(connection) => {
                let unread = !connection.arrived.is_empty() && !drain;
                // A Unix socket cannot be reset.
                let reset = reset && socket.tcp;
                let (ended, other) = (connection.shut || connection.severed, connection.other);
                let (broken, at) = (connection.broken, connection.clear_at);
                self.note(id, 9, u64::from(reset), |name| match reset || unread {
                    true => format!("{name}: closed, with a reset"),
                    false => format!("{name}: closed"),
                });
                if broken {
                    // It knows.
                } else if reset || unread {
                    let latency = self.latency_of(id);
                    let at = (self.now + latency).max(at);
                    self.schedule(at, Event::Reset { to: other });
                } else if !ended {
                    self.say_end(id);
                }
            }
            Role::Listening(_) => self.end_listening(id),
            _ => {}
        }
        if let Some(socket) = self.sockets.remove(id) {
            if socket.counted {
                self.hosts[socket.host].descriptors -= 1;
            }
            if let Role::Connected(connection) = socket.role {
                // One that waits for room need not wait any longer.
                self.touch(connection.other);
            }
        }
    }

    /// Those that nobody accepted are reset.
    fn end_listening(&mut self, id: Id) {
        self.listeners.retain(|&listener| listener != id);
        let Some(listening) = self.listening(id) else { return };
        let backlog = std::mem::take(&mut listening.backlog);
        let waiting = std::mem::take(&mut listening.waiting);
        for connection in backlog {
            self.close(connection, true, false);
        }
        for client in waiting {
            self.schedule(self.now, Event::Answer { client, result: Err(Errno::CONNREFUSED) });
        }
    }

    /// Notes that something happened to a socket.
    fn note(&mut self, id: Id, what: u64, which: u64, words: impl FnOnce(String) -> String) {
        let (trace, sockets, hosts) = (&mut self.trace, &self.sockets, &self.hosts);
        // An engine may play another host than its own.
        let at = |address: &Address| {
            let ip = address.as_inet().map(|inet| inet.ip());
            hosts.iter().find(|host| ip == Some(host.v4.into()) || ip == Some(host.v6.into()))
        };
        let name = || match sockets.get(id) {
            Some(Socket { host, role: Role::Connected(connection), .. }) => {
                let Connection { local, remote, .. } = &**connection;
                let host = at(local).unwrap_or(&hosts[*host]);
                format!("{} ({local} to {remote})", host.name)
            }
            Some(Socket { host, .. }) => hosts[*host].name.clone(),
            None => "nobody".to_owned(),
        };
        trace.note(self.now, what, which, || words(name()));
    }
}

impl Event {
    /// The socket that it is to come for.
    const fn subject(&self) -> Option<Id> {
        match self {
            Self::Piece { to, .. } | Self::End { to } | Self::Reset { to } => Some(*to),
            Self::Knock { client, .. } | Self::Answer { client, .. } => Some(*client),
            Self::Alarm => None,
        }
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What is due at the same time happens in the order in which it was begun.
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// The start of some bytes, for people.
fn abridged(bytes: &[u8]) -> String {
    const SHOWN: usize = 48;
    let rest = if bytes.len() > SHOWN { "..." } else { "" };
    format!("\"{}\"{rest}", bytes[..bytes.len().min(SHOWN)].escape_ascii())
}

#[expect(clippy::cast_precision_loss, reason = "a length of time, which is no exact one")]
const fn usize_to_f64(number: usize) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "a length of time, which is no exact one")]
const fn u64_to_f64(number: u64) -> f64 {
    number as f64
}
