//! [`Engines`]: a group of engines, one a thread, that share nothing but the addresses they listen
//! at.

use std::{
    fmt, fs, io, iter, mem,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    api::{builder::Builder, engine::Engine},
    handles::{handle::Handle, listener::Listener, local::Local, stream::inet},
    pure::{
        address::IntoAddress,
        clock::now,
        error::{Error, IoOperation, Result},
        options::{ListenOptions, Sharing},
        panics::discard,
    },
    system::{
        descriptor::{Descriptor, Tenure},
        sys::owned::{self, OwnedDescriptor},
    },
};

/// A group of engines, one a thread: for servers on several cores.
///
/// They share nothing: a stream, its callbacks and its workers are one engine's. What they have in
/// common is an address to listen at, see [`listen`](Self::listen), whose `serve` runs on each of
/// them. Each runs, although nothing may be pending, until its [`stop`](Handle::stop) or that of
/// all of them is called.
///
/// A panic of a callback goes to the panic hook, and its engine goes on, as do the others.
///
/// Dropping it stops them all: each has its last turn on its own thread, so what is pending gets
/// [`Error::EngineClosed`] there. The drop waits for that, but not longer than two seconds: a
/// thread that is stuck in a callback is left behind, and its engine ends when it comes to it.
/// Dropped inside a callback of one of them, it does not wait for that one. In the child of a fork,
/// where their threads are not, dropping it does nothing.
///
/// ```
/// use facade_engine::{Callback, Engines, Listener, Local, Stream};
/// use std::net::TcpStream;
///
/// fn serve(engine: &Local, listener: Listener) {
///     let next = listener.clone();
///     engine.accept(&listener, Callback::new(
///         move |engine, stream: Stream| {
///             engine.write(&stream, "hello", Callback::ignore());
///             serve(engine, next);
///         },
///         |_, error| println!("{error}"),
///     ));
/// }
///
/// let engines = Engines::new()?; // one for each processor
/// let address = engines.listen("127.0.0.1:0", serve)?;
/// let client = TcpStream::connect(address).unwrap();
/// assert_eq!(std::io::read_to_string(client).unwrap(), "hello");
/// # Ok::<(), facade_engine::Error>(())
/// ```
///
/// # How connections are spread
///
/// By [`listen`](Self::listen) each engine has a listener of its own, and Linux chooses one for a
/// connection by a hash of its addresses and ports. Many connections are spread evenly by that; few
/// that live long may not be: of four connections to two engines, one in eight times all have the
/// same engine.
///
/// By [`attach_listener`](Self::attach_listener) and [`listen_unix`](Self::listen_unix) all accept
/// from one socket, and a connection goes to an engine that waits for one: with io_uring to each in
/// turn, with mio to whichever comes first. That is for connections that come one by one; of many
/// that come at once, an engine that is awake may take most. It also costs more for each.
///
/// On FreeBSD and macOS [`listen`](Self::listen) does so, too, because these systems do not spread
/// connections over several listeners, or only over such that cannot find out whether the address
/// is in use. [`ListenOptions::nodelay`] is taken for true there.
///
/// A program that keeps the threads on cores of their own can set SO_INCOMING_CPU of socket(7) on
/// each listener, where `serve` gets it: then a connection goes to the engine on the core that it
/// comes in on, which saves the way between cores.
///
/// A stream that is on the wrong engine can be moved: [`detach`](Handle::detach) it and
/// [`attach_detached`](Handle::attach_detached) it where it shall be. This loses no byte. Here one
/// engine accepts, and all of them serve in turn:
///
/// ```
/// use facade_engine::{Callback, Engines, Handle, Listener, Local, Stream};
/// use std::net::TcpStream;
///
/// fn deal(engine: &Handle, listener: Listener, to: Vec<Handle>, turn: usize) {
///     let next = listener.clone();
///     engine.accept(&listener, Callback::new(
///         move |engine, stream: Stream| {
///             let there = to[turn % to.len()].clone();
///             engine.detach(&stream, Callback::new(
///                 move |_, detached| {
///                     there.post(move |local| match local.attach_detached(detached) {
///                         Ok(stream) => serve(local, stream),
///                         Err(error) => println!("{error}"),
///                     });
///                 },
///                 |_, error| println!("{error}"),
///             ));
///             deal(engine, next, to, turn + 1);
///         },
///         |_, error| println!("{error}"),
///     ));
/// }
///
/// fn serve(local: &Local, stream: Stream) {
///     local.write_line(&stream, "hello", Callback::ignore());
/// }
///
/// let engines = Engines::new()?;
/// let to: Vec<Handle> = engines.handles().cloned().collect();
/// let first = to[0].clone();
/// let listener = first.listen("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// first.post(move |local| deal(local, listener, to, 0));
/// let client = TcpStream::connect(address).unwrap();
/// assert_eq!(std::io::read_to_string(client).unwrap(), "hello\r\n");
/// # Ok::<(), facade_engine::Error>(())
/// ```
pub struct Engines {
    threads: Vec<EngineThread>,
}

/// An engine and where it runs.
struct EngineThread {
    handle: Handle,
    /// Its channel closes when the engine has ended.
    ended: Mutex<Receiver<Result<Handle>>>,
    thread: JoinHandle<Result<()>>,
}

/// How long a drop waits for the turns that are under way.
const PATIENCE: Duration = Duration::from_secs(2);

impl Builder {
    /// Builds a group of so many engines, at least one, and runs each on a thread of its own. They
    /// share nothing: each has the limits, and the workers, that one would have.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build); and [`Error::Io`](crate::Error::Io) if the system refuses a
    /// thread. Engines that had been built have ended then.
    ///
    /// ```
    /// use facade_engine::Engine;
    ///
    /// let engines = Engine::builder().workers(1).build_engines(2)?;
    /// assert_eq!(engines.handles().len(), 2);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn build_engines(self, count: usize) -> Result<Engines> {
        Engines::start(&self, count)
    }
}

impl Engines {
    /// A group of as many engines as this process may use processors, with default settings,
    /// running.
    ///
    /// [`Builder::build_engines`] makes another number of them, with other settings.
    ///
    /// # Errors
    ///
    /// As [`Builder::build_engines`].
    ///
    /// See [`Engines`] for an example.
    pub fn new() -> Result<Self> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Engine::builder().build_engines(processors)
    }

    pub(crate) fn start(builder: &Builder, count: usize) -> Result<Self> {
        let threads = (0..count.max(1)).map(|number| {
            let name = match count {
                0 | 1 => "facade-engine".into(),
                _ => format!("facade-engine-{number}"),
            };
            EngineThread::start(builder.clone(), name)
        });
        // If one cannot be had, those before it end by being dropped.
        let mut engines = Self { threads: Vec::new() };
        for thread in threads {
            engines.threads.push(thread?);
        }
        Ok(engines)
    }

    /// The handle of each engine, to submit to it from outside; at least one.
    ///
    /// ```
    /// let engines = facade_engine::Engine::builder().build_engines(2)?;
    /// for handle in engines.handles() {
    ///     handle.post(|_| println!("on {:?}", std::thread::current().name()));
    /// }
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn handles(&self) -> impl ExactSizeIterator<Item = &Handle> {
        self.threads.iter().map(|thread| &thread.handle)
    }

    /// Listens for TCP connections on every engine, at one address, and runs `serve` on each with
    /// the listener that is its own; it is closed as any other. Returns the address: if its port
    /// was 0, with the one that the system chose.
    ///
    /// The sockets share the address by SO_REUSEPORT among themselves. It must not be in use when
    /// they begin, not even by others that would share it, such as a second copy of this program.
    /// Afterwards others can join them that listen with [`ListenOptions::reuse_port`], of the same
    /// user. Connections that wait at a listener when it is closed are reset, though other engines
    /// go on listening.
    ///
    /// An address that is in use is waited for as by [`Handle::listen`].
    ///
    /// Linux spreads the connections, and on FreeBSD and macOS there is one socket, see
    /// [Engines](Engines#how-connections-are-spread).
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](Error::InvalidInput) for a text that is no literal address, and for a path,
    /// which is [`listen_unix`](Self::listen_unix)'s; [`Io`](Error::Io) if the address is in use or
    /// not this machine's, or no descriptors are left; [`EngineClosed`](Error::EngineClosed) if
    /// every engine has ended. `serve` has not run then, and nothing listens.
    ///
    /// See [`Engines`] for an example.
    #[doc(alias = "SO_REUSEPORT")]
    pub fn listen(
        &self,
        addr: impl IntoAddress,
        serve: impl Fn(&Local, Listener) + Send + Sync + 'static,
    ) -> Result<SocketAddr> {
        self.listen_with(addr, &ListenOptions::new(), serve)
    }

    /// As [`listen`](Self::listen), with other options, see [`ListenOptions`]. With
    /// [`reuse_port`](ListenOptions::reuse_port) the address may be in use already by others that
    /// share it, too.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen); [`InvalidInput`](Error::InvalidInput) also for a keepalive that
    /// is none.
    ///
    /// ```
    /// use facade_engine::{Callback, Engines, ListenOptions};
    /// use std::net::TcpStream;
    ///
    /// let engines = Engines::new()?;
    /// let options = ListenOptions::new().backlog(16);
    /// let address = engines.listen_with("127.0.0.1:0", &options, |engine, listener| {
    ///     engine.accept_then_write(&listener, "hello", (Callback::ignore(), Callback::ignore()));
    /// })?;
    /// let client = TcpStream::connect(address).unwrap();
    /// assert_eq!(std::io::read_to_string(client).unwrap(), "hello");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn listen_with(
        &self,
        addr: impl IntoAddress,
        options: &ListenOptions,
        serve: impl Fn(&Local, Listener) + Send + Sync + 'static,
    ) -> Result<SocketAddr> {
        let running = self.running()?;
        options.check()?;
        let address = addr.into_address()?;
        let address = address.as_inet().ok_or_else(|| {
            Error::invalid(format_args!("{address} is no internet address: see listen_unix"))
        })?;
        if running[0].shared().env.engines_share_a_socket() {
            let sharing = if options.reuse_port { Sharing::Others } else { Sharing::Nobody };
            let socket = running[0].shared().listen_tcp(address, sharing, options)?;
            let address = inet(socket.local_address()?)?;
            self.share(socket.into_owned().map_err(cannot_listen)?, true, serve)?;
            return Ok(address);
        }
        let sharing = if options.reuse_port { Sharing::Others } else { Sharing::First };
        let first = running[0].shared().listen_tcp(address, sharing, options)?;
        let address = inet(first.local_address()?)?;
        let others = running[1..].iter().map(|handle| {
            // All of them are open before an engine has one: those made so far close at a failure.
            handle.shared().listen_tcp(address, Sharing::Others, options)
        });
        let sockets = iter::once(Ok(first)).chain(others).collect::<Result<Vec<_>>>()?;
        let listeners = running.into_iter().zip(sockets);
        // One that has ended meanwhile leaves the address to the others.
        let listeners =
            listeners.filter_map(|(handle, socket)| handle.make_listener(socket, true).ok());
        run_on_each(listeners, serve);
        Ok(address)
    }

    /// Listens at a path for connections to a Unix socket, and runs `serve` on every engine. They
    /// all accept from the one socket, since Unix sockets have no SO_REUSEPORT. Never unlinks what
    /// an earlier run has left behind.
    ///
    /// # Errors
    ///
    /// As [`Handle::listen_unix`], and as [`listen`](Self::listen).
    ///
    /// ```
    /// use facade_engine::{Callback, Engines};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let engines = Engines::new()?;
    /// let name = format!("facade-engines-{}.socket", std::process::id());
    /// let path = std::env::temp_dir().join(name);
    /// engines.listen_unix(&path, |engine, listener| {
    ///     engine.accept_then_write(&listener, "hello", (Callback::ignore(), Callback::ignore()));
    /// })?;
    /// let client = UnixStream::connect(&path).unwrap();
    /// assert_eq!(std::io::read_to_string(client).unwrap(), "hello");
    /// std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn listen_unix(
        &self,
        path: impl AsRef<Path>,
        serve: impl Fn(&Local, Listener) + Send + Sync + 'static,
    ) -> Result<()> {
        let (path, running) = (path.as_ref(), self.running()?);
        let socket = running[0].shared().env.listen_unix_for_several(path)?;
        self.share(socket, false, serve).inspect_err(|_| {
            // It was made by this call, and nobody will ever listen at it.
            let _ = fs::remove_file(path);
        })
    }

    /// Runs `serve` on every engine with a listener that accepts from this socket, which listens
    /// already: one inherited from a service manager, or made otherwise than
    /// [`listen`](Self::listen) does.
    ///
    /// Each engine takes connections as it asks for them, and none ahead: what waits is anybody's.
    /// Which gets how many is said at [Engines](Engines#how-connections-are-spread).
    ///
    /// # Errors
    ///
    /// As [`Handle::attach_listener`]; [`EngineClosed`](Error::EngineClosed) if every engine has
    /// ended. `serve` has not run then, and the socket is closed.
    ///
    /// ```
    /// use facade_engine::{Callback, Engines};
    /// use std::net::{TcpListener, TcpStream};
    ///
    /// let engines = Engines::new()?;
    /// let inherited = TcpListener::bind("127.0.0.1:0").unwrap();
    /// let address = inherited.local_addr().unwrap();
    /// engines.attach_listener(inherited, |engine, listener| {
    ///     engine.accept_then_write(&listener, "hello", (Callback::ignore(), Callback::ignore()));
    /// })?;
    /// let client = TcpStream::connect(address).unwrap();
    /// assert_eq!(std::io::read_to_string(client).unwrap(), "hello");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "sd_listen_fds")]
    pub fn attach_listener(
        &self,
        fd: impl Into<OwnedDescriptor>,
        serve: impl Fn(&Local, Listener) + Send + Sync + 'static,
    ) -> Result<()> {
        let fd = fd.into();
        let tcp = self.running()?[0].shared().env.examine_listener(&fd)?;
        self.share(fd, tcp, serve)
    }

    /// Ends every engine of the group after the turn under way, as [`Handle::stop`] does with one.
    /// From any thread, and inside any callback.
    ///
    /// ```
    /// let engines = facade_engine::Engines::new()?;
    /// engines.stop();
    /// engines.join()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn stop(&self) {
        self.handles().for_each(Handle::stop);
    }

    /// Waits until every engine has been stopped, and has ended.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](Error::InvalidInput) inside a callback of one of them, which would wait for
    /// itself; they are dropped then. [`Forked`](Error::Forked) in the child of a fork, where their
    /// threads are not. [`Io`](Error::Io) if the system failed to wait for one of
    /// them, which has ended that one.
    ///
    /// ```
    /// let engines = facade_engine::Engines::new()?;
    /// for handle in engines.handles() {
    ///     handle.post(|local| local.stop());
    /// }
    /// engines.join()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn join(mut self) -> Result<()> {
        if self.is_inherited() {
            return Err(Error::Forked);
        }
        if self.threads.iter().any(EngineThread::is_current) {
            return Err(Error::invalid("an engine's callback cannot wait for its end"));
        }
        let threads = self.threads.drain(..);
        let ends: Vec<_> = threads.map(|thread| thread.thread.join()).collect();
        // A thread has no panic of its own: the run and the last turn contain those of callbacks.
        ends.into_iter().try_for_each(|end| end.unwrap_or(Err(Error::EngineClosed)))
    }

    /// Whether the threads are those of another process, by a fork. None of them is here then, to
    /// be waited for or heard of.
    fn is_inherited(&self) -> bool {
        self.handles().any(Handle::is_inherited)
    }

    /// Those that have not ended; at least one.
    fn running(&self) -> Result<Vec<&Handle>> {
        if self.is_inherited() {
            return Err(Error::Forked);
        }
        let running: Vec<_> = self.handles().filter(|handle| !handle.is_closed()).collect();
        if running.is_empty() { Err(Error::EngineClosed) } else { Ok(running) }
    }

    /// Has every engine accept from one socket.
    fn share(
        &self,
        socket: OwnedDescriptor,
        tcp: bool,
        serve: impl Fn(&Local, Listener) + Send + Sync + 'static,
    ) -> Result<()> {
        // A descriptor for each: an engine that closes its own leaves the socket to the others.
        let running = self.running()?;
        let sockets =
            iter::repeat_with(|| owned::duplicate(owned::borrow(&socket))).take(running.len());
        let sockets = sockets.collect::<io::Result<Vec<_>>>();
        let sockets = sockets.map_err(cannot_listen)?;
        let listeners = running.into_iter().zip(sockets).filter_map(|(handle, socket)| {
            let descriptor = Descriptor::new(socket);
            let listener = Listener::new(handle.clone(), descriptor, tcp, Tenure::Shared);
            handle.submit_listener(listener).ok()
        });
        run_on_each(listeners, serve);
        Ok(())
    }
}

fn cannot_listen(cause: io::Error) -> Error {
    Error::io(IoOperation::Listen, cause)
}

fn run_on_each(
    listeners: impl Iterator<Item = Listener>,
    serve: impl Fn(&Local, Listener) + Send + Sync + 'static,
) {
    let serve = Arc::new(serve);
    for listener in listeners {
        let serve = Arc::clone(&serve);
        let handle = listener.handle().clone();
        handle.post(move |local| serve(local, listener));
    }
}

/// Stops them all and waits for those that are not stuck.
impl Drop for Engines {
    fn drop(&mut self) {
        if self.is_inherited() {
            return mem::forget(mem::take(&mut self.threads));
        }
        self.stop();
        let until = now() + PATIENCE;
        for thread in self.threads.drain(..).filter(|thread| !thread.is_current()) {
            thread.wait(until.saturating_duration_since(now()));
        }
    }
}

impl fmt::Debug for Engines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.handles()).finish()
    }
}

impl EngineThread {
    /// Starts a thread and waits until its engine is there.
    fn start(builder: Builder, name: String) -> Result<Self> {
        let (told, ended) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || drive(builder, &told))
            .map_err(|cause| Error::io(IoOperation::StartThread, cause))?;
        let handle = ended.recv().unwrap_or(Err(Error::EngineClosed))?;
        Ok(Self { handle, ended: Mutex::new(ended), thread })
    }

    fn is_current(&self) -> bool {
        self.thread.thread().id() == thread::current().id()
    }

    /// Waits at most so long until the engine has ended.
    fn wait(self, patience: Duration) {
        let ended = self.ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !matches!(ended.recv_timeout(patience), Err(RecvTimeoutError::Timeout)) {
            // Nothing of it is left but its end, and it has no panic of its own to report.
            drop(self.thread.join());
        }
    }
}

/// What an engine's thread does: it reports the handle, and runs the engine until it is stopped.
fn drive(builder: Builder, told: &Sender<Result<Handle>>) -> Result<()> {
    let engine = builder.build().inspect_err(|error| drop(told.send(Err(error.clone()))))?;
    let _alive = engine.keep_alive();
    drop(told.send(Ok(engine.handle().clone())));
    loop {
        // A callback's panic has been reported by the hook, and the engine has contained it.
        match catch_unwind(AssertUnwindSafe(|| engine.run())) {
            Ok(end) => return end,
            Err(payload) => discard(payload),
        }
    }
}
