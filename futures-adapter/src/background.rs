//! [`Background`]: an engine on a thread of its own. [`Runtimes`]: several of them.

use std::{net::SocketAddr, ops::Deref, path::Path};

use facade_engine::{
    Builder, Engines, Handle, IntoAddress, ListenOptions, Listener as EngineListener, Local,
    Result, os::OwnedDescriptor,
};

use crate::{io::Io, listener::Listener};

/// An engine on a thread of its own; from [`Runtime::background`](crate::Runtime::background).
/// Dereferences to [`Io`].
///
/// Dropping it ends the engine: what is pending gets
/// [`EngineClosed`](facade_engine::Error::EngineClosed). In the child of a fork, where its thread
/// is not, everything says [`Forked`](facade_engine::Error::Forked), and dropping it does nothing.
///
/// ```
/// use facade_futures::{Result, Runtime};
///
/// let io = Runtime::background()?;
/// // Under any executor, such as that of the `futures` crate:
/// futures::executor::block_on(async {
///     let mut listener = io.listen("127.0.0.1:0")?;
///     let mut client = io.connect(listener.local_addr()?).await?;
///     let (_served, _) = listener.accept_then_write("hello\n").await?;
///     assert_eq!(client.read_line().await?, "hello");
///     Result::Ok(())
/// })?;
/// # Ok::<(), facade_futures::Error>(())
/// ```
#[derive(Debug)]
pub struct Background {
    io: Io,
    _engines: Engines,
}

impl Background {
    /// An engine with these settings on a thread of its own.
    ///
    /// # Errors
    ///
    /// As [`Runtime::background`](crate::Runtime::background).
    ///
    /// ```
    /// use facade_futures::{Engine, Limits};
    /// use facade_futures::Background;
    ///
    /// let limits = Limits { line: 4096, ..Limits::default() };
    /// let io = Background::new(Engine::builder().limits(limits))?;
    /// assert!(!io.handle().is_closed());
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn new(builder: Builder) -> Result<Self> {
        let engines = builder.build_engines(1)?;
        let handle = engines.handles().next().expect("there is at least one");
        Ok(Self { io: Io::new(handle.clone()), _engines: engines })
    }
}

impl Deref for Background {
    type Target = Io;

    fn deref(&self) -> &Io {
        &self.io
    }
}

/// A group of engines, one a thread, each of which runs the futures spawned on it: for servers on
/// several cores. The [`Engines`] of futures; see there for what they share, how
/// connections are spread, and what a drop does.
///
/// A future stays on the engine that it was spawned on.
///
/// ```
/// use facade_futures::{Io, Listener, Result, Runtimes};
/// use std::net::TcpStream;
///
/// async fn serve(io: Io, mut listener: Listener) {
///     while let Ok(mut stream) = listener.accept().await {
///         io.spawn(async move { stream.write("hello").await }).detach();
///     }
/// }
///
/// let runtimes = Runtimes::new()?; // one for each processor
/// let address = runtimes.listen("127.0.0.1:0", serve)?;
/// let client = TcpStream::connect(address).unwrap();
/// assert_eq!(std::io::read_to_string(client).unwrap(), "hello");
/// # Ok::<(), facade_futures::Error>(())
/// ```
#[derive(Debug)]
pub struct Runtimes {
    engines: Engines,
    ios: Vec<Io>,
}

impl Runtimes {
    /// A group of as many engines as this process may use processors, with default settings.
    ///
    /// # Errors
    ///
    /// As [`Engines::new`].
    ///
    /// ```
    /// use facade_futures::Engine;
    /// use facade_futures::Runtimes;
    ///
    /// let runtimes = Runtimes::new()?;
    /// let two = Runtimes::from(Engine::builder().build_engines(2)?);
    /// assert_eq!(two.ios().len(), 2);
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn new() -> Result<Self> {
        Engines::new().map(Self::from)
    }

    /// What makes streams, listeners and tasks on each of the engines; at least one.
    ///
    /// ```
    /// use facade_futures::Runtimes;
    ///
    /// let runtimes = Runtimes::new()?;
    /// let tasks: Vec<_> = runtimes.ios().iter().map(|io| io.spawn(async { 6 * 7 })).collect();
    /// for task in tasks {
    ///     assert_eq!(futures::executor::block_on(task), 42);
    /// }
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn ios(&self) -> &[Io] {
        &self.ios
    }

    /// Spawns on every engine what `serve` makes of a TCP listener of its own, at one address. See
    /// [`Engines::listen`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// See [`Runtimes`] for an example.
    pub fn listen<F>(
        &self,
        addr: impl IntoAddress,
        serve: impl Fn(Io, Listener) -> F + Send + Sync + 'static,
    ) -> Result<SocketAddr>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.engines.listen(addr, spawning(serve))
    }

    /// As [`listen`](Self::listen), with other options. See [`Engines::listen_with`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn listen_with<F>(
        &self,
        addr: impl IntoAddress,
        options: &ListenOptions,
        serve: impl Fn(Io, Listener) -> F + Send + Sync + 'static,
    ) -> Result<SocketAddr>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.engines.listen_with(addr, options, spawning(serve))
    }

    /// Spawns on every engine what `serve` makes of a listener at this path. See
    /// [`Engines::listen_unix`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn listen_unix<F>(
        &self,
        path: impl AsRef<Path>,
        serve: impl Fn(Io, Listener) -> F + Send + Sync + 'static,
    ) -> Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.engines.listen_unix(path, spawning(serve))
    }

    /// Spawns on every engine what `serve` makes of a listener that accepts from this socket. See
    /// [`Engines::attach_listener`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn attach_listener<F>(
        &self,
        fd: impl Into<OwnedDescriptor>,
        serve: impl Fn(Io, Listener) -> F + Send + Sync + 'static,
    ) -> Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.engines.attach_listener(fd, spawning(serve))
    }

    /// The engines, to be stopped or waited for, or for callbacks on them.
    ///
    /// ```
    /// let runtimes = facade_futures::Runtimes::new()?;
    /// runtimes.engines().stop();
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub const fn engines(&self) -> &Engines {
        &self.engines
    }

    /// See [`Engines::join`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn join(self) -> Result<()> {
        self.engines.join()
    }
}

/// The group as it was built, with other settings than the default.
impl From<Engines> for Runtimes {
    fn from(engines: Engines) -> Self {
        let ios = engines.handles().cloned().map(Io::new).collect();
        Self { engines, ios }
    }
}

/// Serves by a task of the engine.
fn spawning<F>(
    serve: impl Fn(Io, Listener) -> F + Send + Sync + 'static,
) -> impl Fn(&Local, EngineListener) + Send + Sync + 'static
where
    F: Future<Output = ()> + Send + 'static,
{
    move |local, listener| {
        let io = Io::new(Handle::clone(local));
        io.clone().spawn(serve(io, listener.into())).detach();
    }
}
