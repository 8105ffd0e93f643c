//! [`Network`] and [`Host`]: what a test has of a simulated network.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::{Deref, DerefMut},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    pure::clock,
    system::sim::{
        Link, Machine, Rng,
        state::{FOR_EVER, NetworkState},
    },
};

/// A network: everything that happens in it follows from its seed and from what is done with it.
///
/// Clones are the same network. For one thread: engines, peers and the network of one test belong
/// together, and time is theirs alone; see [`set_threads`](Self::set_threads) if it must be
/// otherwise.
///
/// See the [module](crate::system::sim) for examples.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

struct Inner {
    seed: u64,
    state: Mutex<NetworkState>,
    /// Somebody has done something, for peers that wait on other threads.
    changed: Condvar,
}

/// The network's state, locked.
pub(crate) struct Locked<'a> {
    network: &'a Network,
    /// Gone only while it waits.
    state: Option<MutexGuard<'a, NetworkState>>,
}

impl Network {
    /// A network without hosts. The same seed always does the same.
    pub fn new(seed: u64) -> Self {
        let state = Mutex::new(NetworkState::new(seed, clock::now()));
        Self { inner: Arc::new(Inner { seed, state, changed: Condvar::new() }) }
    }

    /// The seed that it was made with.
    pub fn seed(&self) -> u64 {
        self.inner.seed
    }

    /// How long it has existed, by its own time.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, sim::Network};
    /// use std::time::Duration;
    ///
    /// let network = Network::new(1);
    /// let engine = Engine::builder().simulated(&network.host("here")).build()?;
    /// engine.sleep(Duration::from_secs(3600), Callback::ignore());
    /// engine.run()?;
    /// assert_eq!(network.now(), Duration::from_secs(3600));
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn now(&self) -> Duration {
        self.lock().now
    }

    /// What the clocks of its engines show now, to be compared with
    /// [`Engine::next_deadline`](crate::Engine::next_deadline).
    pub fn instant(&self) -> Instant {
        let state = self.lock();
        state.start + state.now
    }

    /// Lets time pass while no engine runs, and what is under way arrive.
    pub fn pass(&self, time: Duration) {
        let mut state = self.lock();
        // Beyond a thousand years clocks overflow.
        let to = state.now + time.min(FOR_EVER);
        state.advance(to);
        if state.threads {
            state.ring();
        }
    }

    /// Adds a host by this name, which lookups find; or finds it, if there is one.
    pub fn host(&self, name: impl AsRef<str>) -> Host {
        Host { number: self.lock().host(name.as_ref()), network: self.clone() }
    }

    /// What lookups find for a name, instead of or beside the names of hosts.
    ///
    /// ```
    /// use facade_engine::sim::Network;
    ///
    /// let network = Network::new(1);
    /// let server = network.host("server");
    /// // The first address leads nowhere, as an address of the family that does not work would.
    /// network.set_name("mail.example.org", [server.ip6(), server.ip()]);
    /// ```
    pub fn set_name(&self, name: impl AsRef<str>, addresses: impl IntoIterator<Item = IpAddr>) {
        let name = name.as_ref().to_ascii_lowercase();
        self.lock().names.insert(name, addresses.into_iter().collect());
    }

    /// What lies between two hosts from now on, or within one. Connections keep the link that they
    /// were made over.
    ///
    /// See [`Link`] for an example.
    pub fn set_link(&self, one: &Host, other: &Host, link: Link) {
        self.lock().set_link(one.number, other.number, link);
    }

    /// What lies between all hosts from now on for which no link of their own was set.
    ///
    /// See [`Link::bad`] for an example.
    pub fn set_links(&self, link: Link) {
        self.lock().link = link;
    }

    /// A generator for what a test draws by itself, from the network's seed.
    #[must_use]
    pub fn rng(&self) -> Rng {
        self.lock().rng.fork()
    }

    /// Everything that has happened in the network so far, as one number: bytes, times and order.
    /// Two runs with the same fingerprint went the same way.
    pub fn fingerprint(&self) -> u64 {
        self.lock().trace.fingerprint()
    }

    /// From now on keeps what happens in words, for [`recorded`](Self::recorded).
    pub fn record(&self) {
        self.lock().trace.keep_words();
    }

    /// Takes what has happened since [`record`](Self::record), or since the last call: a line each.
    pub fn recorded(&self) -> Vec<String> {
        self.lock().trace.take_words()
    }

    /// Whether engines and peers for which nothing is to happen wait for other threads, in real
    /// time. By default they do not, and fail with [`Deadlock`](std::io::ErrorKind::Deadlock): a
    /// test that would hang says so at once.
    ///
    /// What depends on threads cannot be repeated from a seed.
    pub fn set_threads(&self, threads: bool) {
        self.lock().threads = threads;
    }

    pub(crate) fn lock(&self) -> Locked<'_> {
        let state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { network: self, state: Some(state) }
    }
}

impl Locked<'_> {
    /// Waits, in real time, until another thread has done something.
    pub(crate) fn wait(&mut self) {
        if let Some(state) = self.state.take() {
            let changed = self.network.inner.changed.wait(state);
            self.state = Some(changed.unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Deref for Locked<'_> {
    type Target = NetworkState;

    fn deref(&self) -> &NetworkState {
        self.state.as_ref().expect("given back by the wait")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut NetworkState {
        self.state.as_mut().expect("given back by the wait")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.state.as_ref().is_some_and(|state| state.threads) {
            self.network.inner.changed.notify_all();
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("seed", &self.inner.seed).finish_non_exhaustive()
    }
}

/// A host of a [`Network`]: a name, an address of each family, and a system of its own.
///
/// An engine lives on one host and connects from there. It may listen at the addresses of others,
/// too, so that one engine can be all hosts of a test.
#[derive(Clone)]
pub struct Host {
    pub(crate) network: Network,
    pub(crate) number: usize,
}

impl Host {
    /// The network that it is in.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.network.lock().hosts[self.number].name.clone()
    }

    /// Its IPv4 address, which lookups of its name find.
    pub fn ip(&self) -> IpAddr {
        let v4: Ipv4Addr = self.network.lock().hosts[self.number].v4;
        v4.into()
    }

    /// Its IPv6 address, which lookups find if [`Network::set_name`] says so.
    pub fn ip6(&self) -> IpAddr {
        let v6: Ipv6Addr = self.network.lock().hosts[self.number].v6;
        v6.into()
    }

    /// A port at its IPv4 address.
    pub fn at(&self, port: u16) -> SocketAddr {
        (self.ip(), port).into()
    }

    /// What its system does from now on.
    ///
    /// See [`Machine`] for an example.
    pub fn set_machine(&self, machine: Machine) {
        self.network.lock().hosts[self.number].machine = machine;
    }

    /// How many sockets the engines that live here have open: none, when everything was closed.
    pub fn descriptors(&self) -> usize {
        self.network.lock().hosts[self.number].descriptors
    }

    /// Removes the name of a Unix socket, as std's `remove_file` does on a real host. Returns
    /// whether there was one.
    pub fn unlink(&self, path: impl AsRef<Path>) -> bool {
        self.network.lock().unlink(self.number, path.as_ref())
    }

    /// Raises a signal: each engine that lives on this host and was asked for it by
    /// [`signal`](crate::Handle::signal) is told, as the engines of a process are by kill(2). Returns
    /// whether there is one; where there is none, the signal does nothing, and would have ended a real
    /// process.
    ///
    /// What a test raises while engines run, such as a minute after they began, it raises in a
    /// callback:
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, sim::Network};
    /// use std::time::Duration;
    ///
    /// const SIGINT: i32 = 2;
    /// let network = Network::new(1);
    /// let host = network.host("server");
    /// let engine = Engine::builder().simulated(&host).build()?;
    /// engine.signal(SIGINT, Callback::new(|local, ()| local.stop(), |_, error| panic!("{error}")));
    /// engine.sleep(Duration::from_secs(60), Callback::new(
    ///     move |_, ()| assert!(host.raise(SIGINT)),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// let _serving = engine.keep_alive();
    /// engine.run()?;
    /// assert_eq!(network.now(), Duration::from_secs(60));
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "kill")]
    pub fn raise(&self, number: i32) -> bool {
        // Called where nothing is locked, as a signal handler is.
        let told = self.network.lock().raise(self.number, number);
        told.iter().for_each(|tell| tell());
        !told.is_empty()
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.network.inner, &other.network.inner) && self.number == other.number
    }
}

impl Eq for Host {}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("number", &self.number).finish_non_exhaustive()
    }
}
