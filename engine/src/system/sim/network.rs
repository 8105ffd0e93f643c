//! [`Network`] and [`Host`]: what a test has of a simulated network.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::{Deref, DerefMut},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    api::engine::Engine,
    core,
    handles::handle::Handle,
    pure::{
        error::{Error, Result},
        table::Id,
    },
    system::{
        descriptor::Descriptor,
        sim::{
            Link, Machine, Rng,
            home::Socket,
            state::{FOR_EVER, State},
        },
    },
};

/// A network: everything that happens in it follows from its seed and from what is done with it.
///
/// Clones are the same network. For one thread: engines, peers and the network of one test belong
/// together, and time is theirs alone; see [`set_threads`](Self::set_threads) if it must be otherwise.
///
/// See the [module](crate::system::sim) for examples.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

struct Inner {
    seed: u64,
    state: Mutex<State>,
    /// Somebody has done something, for peers that wait on other threads.
    changed: Condvar,
}

/// The network's state, locked.
pub(crate) struct Locked<'a> {
    network: &'a Network,
    /// Gone only while it waits.
    state: Option<MutexGuard<'a, State>>,
}

impl Network {
    /// A network without hosts. The same seed always does the same.
    pub fn new(seed: u64) -> Self {
        let state = Mutex::new(State::new(seed, core::now()));
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

    /// Runs engines that live in this network until nothing is pending on any of them: turns of
    /// each, as long as one has something to do, and then time goes on for all.
    ///
    /// One engine alone is run as any other, by [`Engine::run`].
    ///
    /// # Errors
    ///
    /// As [`Engine::run`]; and [`Error::Io`] with [`Deadlock`](io::ErrorKind::Deadlock) if something
    /// is pending and nothing will ever happen.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, sim::Network};
    ///
    /// let network = Network::new(1);
    /// let (here, there) = (network.host("here"), network.host("there"));
    /// let client = Engine::builder().simulated(&here).build()?;
    /// let server = Engine::builder().simulated(&there).build()?;
    /// let listener = server.listen(there.at(7))?;
    /// server.accept_then_write(&listener, "hello\n", (Callback::ignore(), Callback::ignore()));
    /// client.connect_then_expect_line(there.at(7), "hello", (
    ///     Callback::ignore(),
    ///     Callback::new(|_, line| assert_eq!(line, "hello"), |_, error| panic!("{error}")),
    /// ));
    /// network.run(&[&client, &server])?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn run(&self, engines: &[&Engine]) -> Result<()> {
        loop {
            let mut pending = 0;
            let mut next = None;
            for engine in engines {
                let turn = engine.run_once(Some(Duration::ZERO))?;
                pending += turn.pending;
                if turn.pending > 0
                    && let Some(deadline) = engine.next_deadline()
                {
                    next = Some(next.map_or(deadline, |next: Instant| next.min(deadline)));
                }
            }
            if pending == 0 {
                return Ok(());
            }
            let mut state = self.lock();
            let deadline = next.map(|next| next.saturating_duration_since(state.start));
            let next = [deadline, state.next_event()].into_iter().flatten().min();
            match next {
                Some(next) => state.advance(next),
                None => {
                    let text = format!("{pending} operations are pending and nothing will happen");
                    let cause = io::Error::new(io::ErrorKind::Deadlock, text);
                    return Err(Error::io("wait", cause));
                }
            }
        }
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
    /// time. By default they do not, and fail with [`Deadlock`](io::ErrorKind::Deadlock): a test that
    /// would hang says so at once.
    ///
    /// What depends on threads cannot be repeated from a seed.
    pub fn set_threads(&self, threads: bool) {
        self.lock().threads = threads;
    }

    pub(crate) fn lock(&self) -> Locked<'_> {
        let state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { network: self, state: Some(state) }
    }

    /// The descriptor that stands for a socket.
    pub(crate) fn descriptor(&self, id: Id) -> Arc<Descriptor> {
        Descriptor::of_simulated(Socket::new(self.clone(), id))
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
    type Target = State;

    fn deref(&self) -> &State {
        self.state.as_ref().expect("given back by the wait")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
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
    pub(super) network: Network,
    pub(super) number: usize,
}

impl Host {
    /// The host that an engine lives on, if it is simulated.
    ///
    /// ```
    /// use facade_engine::{Engine, sim::{Host, Network}};
    ///
    /// let host = Network::new(1).host("here");
    /// let engine = Engine::builder().simulated(&host).build()?;
    /// assert_eq!(Host::of(&engine).unwrap().ip(), host.ip());
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn of(engine: &Handle) -> Option<Self> {
        engine.shared().world.home().map(|home| home.host().clone())
    }

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

    /// Removes the name of a Unix socket, as std's `remove_file` does on a real host. Returns whether
    /// there was one.
    pub fn unlink(&self, path: impl AsRef<Path>) -> bool {
        self.network.lock().unlink(self.number, path.as_ref())
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
