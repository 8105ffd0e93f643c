//! [`State`]: the network itself. Hosts, sockets and what is under way between them; pure, driven
//! by calls and by its own clock.
//!
//! A connection has two ends, a [`Socket`] each. What one sends is cut into pieces, each an event
//! that comes when it arrives at the other. A socket whose owner has closed it is gone at once;
//! what it had sent is in the events and arrives all the same.

mod connecting;
mod datagrams;
mod signals;
mod transfer;

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BinaryHeap, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use crate::{
    pure::{
        address::Address,
        table::{Id, Table},
    },
    system::{
        sim::{
            Link, Machine, Rng,
            bell::Bell,
            trace::{Trace, digest},
        },
        sys::errno::Errno,
    },
};

use self::signals::Watchers;
pub(crate) use self::signals::{Registration, Tell};

type Result<T> = std::result::Result<T, Errno>;

/// A wait of a thousand years or more has no end.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(1000 * 365 * 24 * 3600);
/// Where the ports begin that are given out when nobody asks for one.
const FIRST_PORT: u16 = 49_152;

/// A network.
pub(crate) struct NetworkState {
    pub(crate) rng: Rng,
    pub(crate) now: Duration,
    /// What the engines' clocks show when this network's shows zero.
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
    /// Sockets of datagrams, in the order in which they were bound.
    receivers: Vec<Id>,
    /// How many datagrams are on their way.
    flying: usize,
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
    pub(crate) signals: Watchers,
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
    Datagrams(Box<Datagrams>),
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

/// What a socket of datagrams has.
#[derive(Debug, Default)]
struct Datagrams {
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    arrived: VecDeque<(Bytes, SocketAddr)>,
    /// How many bytes those are.
    len: usize,
    /// What the system has to tell, once.
    error: Option<Errno>,
}

/// What a bad link does to a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Reset,
    End,
}

/// What is to happen.
#[derive(Debug)]
enum Happening {
    /// A piece arrives.
    Piece { from: Id, to: Id, bytes: Bytes },
    /// The other end sends no more.
    End { to: Id },
    /// The connection is reset for this end.
    Reset { to: Id },
    /// A connect reaches the host it is for.
    Knock { client: Id, remote: SocketAddr },
    /// A datagram reaches the host it is for.
    Datagram { sender: Id, host: usize, from: SocketAddr, to: SocketAddr, bytes: Bytes },
    /// A datagram has found nobody.
    Unreachable { to: Id },
    /// A connect has ended.
    Answer { client: Id, result: Result<()> },
    /// An engine has something of its own to do.
    Alarm,
}

#[derive(Debug)]
struct Scheduled {
    at: Duration,
    number: u64,
    event: Happening,
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

impl NetworkState {
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
            receivers: Vec::new(),
            flying: 0,
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
            signals: Watchers::default(),
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
        self.schedule(at, Happening::Alarm);
    }

    fn schedule(&mut self, at: Duration, event: Happening) {
        if let Some(to) = event.subject()
            && let Some(socket) = self.sockets.get_mut(to)
        {
            socket.coming += 1;
        }
        self.scheduled += 1;
        self.events.push(Reverse(Scheduled { at, number: self.scheduled, event }));
    }

    fn happen(&mut self, event: Happening) {
        if let Some(to) = event.subject()
            && let Some(socket) = self.sockets.get_mut(to)
        {
            socket.coming -= 1;
        }
        match event {
            Happening::Piece { from, to, bytes } => self.arrive(from, to, &bytes),
            Happening::End { to } => {
                self.note(to, 2, 0, |name| format!("{name}: the other end has ended"));
                if let Some(connection) = self.connection(to) {
                    connection.ended = true;
                    self.touch(to);
                }
            }
            Happening::Reset { to } => self.break_connection(to),
            Happening::Knock { client, remote } => {
                self.knocking -= 1;
                self.knock(client, remote);
            }
            Happening::Datagram { sender, host, from, to, bytes } => {
                self.arrive_datagram(sender, host, from, to, bytes);
            }
            Happening::Unreachable { to } => self.was_unreachable(to),
            Happening::Answer { client, result } => self.answer(client, result),
            Happening::Alarm => {}
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
    pub(crate) fn pop_ready(&mut self, engine: usize, reorder: f64) -> Option<(Id, Id)> {
        loop {
            let len = self.engines[engine].ready.len();
            let at = if len > 1 && self.rng.chance(reorder) { self.rng.index(len) } else { 0 };
            let id = self.engines[engine].ready.remove(at)?;
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

    /// Raises a signal on a host. Returns who is to be told.
    pub(crate) fn raise(&mut self, host: usize, number: i32) -> Vec<Tell> {
        let host = &self.hosts[host];
        let told = host.signals.of(number);
        let which = digest(&number.to_be_bytes()) ^ told.len() as u64;
        let words = || format!("{} gets signal {number}", host.name);
        self.trace.note(self.now, 14, which, words);
        told
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
            Role::Datagrams(datagrams) => datagrams.local.map(Address::Inet),
            _ => None,
        }
    }

    pub(crate) fn remote_address(&self, id: Id) -> Option<Address> {
        match &self.sockets.get(id)?.role {
            Role::Connected(connection) if !connection.broken => Some(connection.remote.clone()),
            Role::Datagrams(datagrams) => datagrams.remote.map(Address::Inet),
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

impl Happening {
    /// The socket that it is to come for.
    const fn subject(&self) -> Option<Id> {
        match self {
            Self::Piece { to, .. }
            | Self::End { to }
            | Self::Reset { to }
            | Self::Unreachable { to } => Some(*to),
            Self::Knock { client, .. } | Self::Answer { client, .. } => Some(*client),
            // Who receives it is known when it arrives.
            Self::Datagram { .. } | Self::Alarm => None,
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
