//! [`Io`]: the facade of futures.

use std::{fmt, path::Path, process::Command, time::Duration};

use async_task::Task;
use facade_engine::{
    AddrInfo, Bytes, Callback, Cancel, Chain, Child as EngineChild, ConnectOptions, Detached,
    Handle, Hints, IntoAddress, LinePattern, ListenOptions, PtySize, Result, Service,
    Stream as EngineStream, UdpOptions,
    chain::Mode,
    os::{AsDescriptor, OwnedDescriptor},
};

use crate::{
    child::Child,
    executor,
    file::File,
    listener::Listener,
    operation::{OpFuture, Submit, op},
    stream::Stream,
    udp_socket::UdpSocket,
};

/// Makes streams, listeners and tasks: the facade of futures, as [`Handle`] is that of callbacks.
///
/// Cheap to clone, and usable from any thread and under any executor. Each method is the engine's
/// operation of the same name; see there for errors. Dropping its future cancels it, and gives back
/// what it took.
///
/// ```
/// use facade_futures::{Io, Result, Runtime};
/// use std::time::Duration;
///
/// async fn greet(io: Io) -> Result<()> {
///     let mut listener = io.listen("127.0.0.1:0")?;
///     let mut client = io.connect(listener.local_addr()?).await?;
///     let (mut served, _) = listener.accept_then_write("hello\n").await?;
///     assert_eq!(client.read_line().timeout(Duration::from_secs(30)).await?, "hello");
///     served.close().await
/// }
///
/// let runtime = Runtime::new()?;
/// runtime.block_on(greet(runtime.io().clone()))?;
/// # Ok::<(), facade_futures::Error>(())
/// ```
#[derive(Clone)]
pub struct Io {
    handle: Handle,
}

impl Io {
    /// The facade of futures over this engine.
    ///
    /// ```
    /// use facade_futures::Engine;
    /// use facade_futures::Io;
    ///
    /// let engine = Engine::new()?;
    /// let io = Io::new(engine.handle().clone());
    /// io.spawn(async { println!("in the engine's turn") }).detach();
    /// engine.run()?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub const fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// The facade of callbacks over the same engine.
    ///
    /// ```
    /// use facade_futures::Runtime;
    ///
    /// let runtime = Runtime::new()?;
    /// runtime.io().handle().post(|_| println!("a callback"));
    /// runtime.engine().run()?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Spawns a future onto the engine, whose turns run its steps like any other callback. Dropping
    /// the [`Task`] cancels it; [`Task::detach`] lets it go on by itself. A live task is pending:
    /// the engine's run does not end before it.
    ///
    /// A panic of the future ends this task and nothing else. The panic hook has printed it, and
    /// awaiting the [`Task`] resumes it there, as joining a thread and unwrapping does; whoever
    /// wants to look at it awaits `AssertUnwindSafe(task).catch_unwind()` of the crate `futures`.
    /// An engine that was built with [`TaskPanic::EndsRun`](facade_engine::TaskPanic::EndsRun) has
    /// its run resume it instead.
    ///
    /// # Cancellation
    ///
    /// A cancelled task is dropped, and with it the operations it waits for, which give back what
    /// they took. So is a live one when the engine goes; awaiting its [`Task`] panics then.
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use std::time::Duration;
    ///
    /// let runtime = Runtime::new()?;
    /// let io = runtime.io().clone();
    /// runtime.block_on(async {
    ///     let nap = io.sleep(Duration::from_millis(1));
    ///     let task = io.spawn(async { 6 * 7 });
    ///     nap.await?;
    ///     assert_eq!(task.await, 42);
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        executor::spawn(&self.handle, future)
    }

    /// See [`Handle::listen`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn listen(&self, addr: impl IntoAddress) -> Result<Listener> {
        self.handle().listen(addr).map(Listener::from)
    }

    /// See [`Handle::listen_with`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn listen_with(&self, addr: impl IntoAddress, options: &ListenOptions) -> Result<Listener> {
        self.handle().listen_with(addr, options).map(Listener::from)
    }

    /// See [`Handle::listen_unix`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn listen_unix(&self, path: impl AsRef<Path>) -> Result<Listener> {
        self.handle().listen_unix(path).map(Listener::from)
    }

    /// See [`Handle::bind_udp`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn bind_udp(&self, addr: impl IntoAddress) -> Result<UdpSocket> {
        self.handle().bind_udp(addr).map(UdpSocket::from)
    }

    /// See [`Handle::bind_udp_with`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn bind_udp_with(&self, addr: impl IntoAddress, options: &UdpOptions) -> Result<UdpSocket> {
        self.handle().bind_udp_with(addr, options).map(UdpSocket::from)
    }

    /// See [`Handle::connect_udp`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn connect_udp(&self, addr: impl IntoAddress) -> Result<UdpSocket> {
        self.handle().connect_udp(addr).map(UdpSocket::from)
    }

    /// See [`Handle::bind_unix_datagram`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn bind_unix_datagram(&self, path: impl AsRef<Path>) -> Result<UdpSocket> {
        self.handle().bind_unix_datagram(path).map(UdpSocket::from)
    }

    /// See [`Handle::unbound_unix_datagram`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn unbound_unix_datagram(&self) -> Result<UdpSocket> {
        self.handle().unbound_unix_datagram().map(UdpSocket::from)
    }

    /// See [`Handle::attach_udp`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn attach_udp(&self, fd: impl Into<OwnedDescriptor>) -> Result<UdpSocket> {
        self.handle().attach_udp(fd).map(UdpSocket::from)
    }

    /// See [`Handle::attach_udp_exclusive`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn attach_udp_exclusive(&self, fd: impl Into<OwnedDescriptor>) -> Result<UdpSocket> {
        self.handle().attach_udp_exclusive(fd).map(UdpSocket::from)
    }

    /// See [`Handle::attach`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn attach(&self, fd: impl Into<OwnedDescriptor>) -> Result<Stream> {
        self.handle().attach(fd).map(Stream::from)
    }

    /// See [`Handle::attach_exclusive`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn attach_exclusive(&self, fd: impl Into<OwnedDescriptor>) -> Result<Stream> {
        self.handle().attach_exclusive(fd).map(Stream::from)
    }

    /// See [`Handle::attach_detached`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn attach_detached(&self, detached: Detached) -> Result<Stream> {
        self.handle().attach_detached(detached).map(Stream::from)
    }

    /// See [`Handle::attach_listener`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn attach_listener(&self, fd: impl Into<OwnedDescriptor>) -> Result<Listener> {
        self.handle().attach_listener(fd).map(Listener::from)
    }

    /// See [`Handle::attach_listener_exclusive`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn attach_listener_exclusive(&self, fd: impl Into<OwnedDescriptor>) -> Result<Listener> {
        self.handle().attach_listener_exclusive(fd).map(Listener::from)
    }

    /// See [`Handle::attach_file`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn attach_file(&self, file: impl Into<OwnedDescriptor>) -> Result<File> {
        self.handle().attach_file(file).map(File::from)
    }

    /// See [`Handle::getaddrinfo`].
    pub fn getaddrinfo(
        &self,
        host: impl AsRef<str>,
        service: impl Into<Service>,
        hints: Hints,
    ) -> OpFuture<Vec<AddrInfo>, impl Submit<Vec<AddrInfo>>> {
        op(move |callback| self.handle().getaddrinfo(host, service, hints, callback))
    }

    /// See [`Handle::getaddrinfo_then_connect`]. Yields the stream; a failed lookup is
    /// [`Error::Stage`](crate::Error::Stage). The timeout covers lookup and connection.
    pub fn getaddrinfo_then_connect(
        &self,
        host: impl AsRef<str>,
        service: impl Into<Service>,
    ) -> OpFuture<EngineStream, impl Submit<EngineStream>, Stream> {
        self.getaddrinfo_then_connect_with(host, service, ConnectOptions::new())
    }

    /// See [`Handle::getaddrinfo_then_connect_with`]. Yields what
    /// [`getaddrinfo_then_connect`](Self::getaddrinfo_then_connect) does.
    pub fn getaddrinfo_then_connect_with(
        &self,
        host: impl AsRef<str>,
        service: impl Into<Service>,
        options: ConnectOptions,
    ) -> OpFuture<EngineStream, impl Submit<EngineStream>, Stream> {
        OpFuture::new(move |callback| {
            submit_chain(callback, |callback| {
                let chain = self.handle().chain().resolve(host, service, Callback::ignore());
                chain.connect_resolved_with(options, callback)
            })
        })
    }

    /// See [`Handle::connect`].
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use std::{net::TcpListener, time::Duration};
    ///
    /// let runtime = Runtime::new()?;
    /// let io = runtime.io();
    /// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    /// let address = listener.local_addr().unwrap();
    /// runtime.block_on(async {
    ///     let stream = io.connect(address).timeout(Duration::from_secs(10)).await?;
    ///     assert_eq!(stream.peer_addr()?, address);
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn connect(
        &self,
        addr: impl IntoAddress,
    ) -> OpFuture<EngineStream, impl Submit<EngineStream>, Stream> {
        OpFuture::new(move |callback| self.handle().connect(addr, callback))
    }

    /// See [`Handle::connect_with`].
    pub fn connect_with(
        &self,
        addr: impl IntoAddress,
        options: ConnectOptions,
    ) -> OpFuture<EngineStream, impl Submit<EngineStream>, Stream> {
        OpFuture::new(move |callback| self.handle().connect_with(addr, options, callback))
    }

    /// See [`Handle::connect_then_expect_line`]. Yields the stream and the line; a failed
    /// connection is [`Error::Stage`](crate::Error::Stage). The timeout covers connection and line.
    pub fn connect_then_expect_line(
        &self,
        addr: impl IntoAddress,
        line: impl Into<LinePattern>,
    ) -> OpFuture<(Stream, Bytes), impl Submit<(Stream, Bytes)>> {
        op(move |callback| {
            submit_chain(callback, |callback| {
                let chain = self.handle().chain().connect(addr, Callback::ignore()).with_stream();
                chain.expect_line(line, of_engine(callback))
            })
        })
    }

    /// See [`Handle::connect_then_write_line`]. Yields the stream and how much was written; a
    /// failed connection is [`Error::Stage`](crate::Error::Stage). The timeout covers connection
    /// and write.
    pub fn connect_then_write_line(
        &self,
        addr: impl IntoAddress,
        line: impl Into<Bytes>,
    ) -> OpFuture<(Stream, usize), impl Submit<(Stream, usize)>> {
        op(move |callback| {
            submit_chain(callback, |callback| {
                let chain = self.handle().chain().connect(addr, Callback::ignore()).with_stream();
                chain.write_line(line, of_engine(callback))
            })
        })
    }

    /// See [`Handle::submit_work`].
    ///
    /// ```
    /// use facade_futures::Runtime;
    ///
    /// let runtime = Runtime::new()?;
    /// let hosts = runtime.io().submit_work(|| std::fs::read("/etc/hosts").is_ok());
    /// println!("{}", runtime.block_on(hosts)?);
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn submit_work<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> OpFuture<T, impl Submit<T>> {
        op(move |callback| self.handle().submit_work(f, callback))
    }

    /// See [`Handle::sleep`].
    ///
    /// ```
    /// use facade_futures::Runtime;
    /// use std::time::Duration;
    ///
    /// let runtime = Runtime::new()?;
    /// runtime.block_on(runtime.io().sleep(Duration::from_millis(1)))?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn sleep(&self, duration: Duration) -> OpFuture<(), impl Submit<()>> {
        op(move |callback| self.handle().sleep(duration, callback))
    }

    /// See [`Handle::readable`].
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use std::net::UdpSocket;
    ///
    /// let runtime = Runtime::new()?;
    /// let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    /// socket.send_to(b"hello", socket.local_addr().unwrap()).unwrap();
    /// runtime.block_on(async {
    ///     runtime.io().readable(&socket).await?;
    ///     let mut buffer = [0; 100];
    ///     assert_eq!(socket.recv(&mut buffer).unwrap(), 5);
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn readable(&self, fd: impl AsDescriptor) -> OpFuture<(), impl Submit<()>> {
        op(move |callback| self.handle().readable(fd, callback))
    }

    /// See [`Handle::writable`].
    pub fn writable(&self, fd: impl AsDescriptor) -> OpFuture<(), impl Submit<()>> {
        op(move |callback| self.handle().writable(fd, callback))
    }
}

impl Io {
    /// See [`Handle::spawn`]: starts a process. Called so, because [`spawn`](Self::spawn) is of
    /// tasks here, as in other executors.
    ///
    /// Dropping the future before it has yielded the [`Child`] kills a process that was started
    /// meanwhile. See [`Child`] for an example.
    pub fn spawn_child(
        &self,
        command: Command,
    ) -> OpFuture<EngineChild, impl Submit<EngineChild>, Child> {
        OpFuture::new(move |callback| self.handle().spawn(command, callback))
    }

    /// See [`Handle::spawn_pty`]: starts a process in a terminal of its own, and yields our side of
    /// the terminal, too.
    ///
    /// ```
    /// use facade_futures::{PtySize, Result, Runtime};
    /// use std::process::Command;
    ///
    /// let runtime = Runtime::new()?;
    /// let io = runtime.io();
    /// runtime.block_on(async {
    ///     let mut stty = Command::new("stty");
    ///     stty.arg("size");
    ///     let size = PtySize { rows: 50, cols: 132, ..PtySize::default() };
    ///     let (child, mut terminal) = io.spawn_pty(stty, size).await?;
    ///     assert_eq!(terminal.read_line().await?, "50 132");
    ///     assert!(child.wait().await?.success());
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn spawn_pty(
        &self,
        command: Command,
        size: PtySize,
    ) -> OpFuture<(Child, Stream), impl Submit<(Child, Stream)>> {
        op(move |callback: Callback<(Child, Stream)>| {
            let of_engine = |(child, terminal): (EngineChild, EngineStream)| {
                (Child::from(child), Stream::from(terminal))
            };
            self.handle().spawn_pty(command, size, callback.map(of_engine))
        })
    }

    /// See [`Handle::signal`]. The process does not end of the signal any more from the first poll
    /// on, as everything here begins then.
    ///
    /// A future that is dropped, in a `select!` for one, loses no signal: what comes until the next
    /// one is kept for that.
    ///
    /// ```
    /// use facade_futures::Runtime;
    /// use futures::future::try_join;
    /// use std::process::{self, Command};
    ///
    /// const SIGHUP: i32 = 1;
    /// let runtime = Runtime::new()?;
    /// let io = runtime.io();
    /// let mut kill = Command::new("kill");
    /// kill.args(["-HUP", &process::id().to_string()]);
    /// runtime.block_on(try_join(io.signal(SIGHUP), io.spawn_child(kill)))?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn signal(&self, number: i32) -> OpFuture<(), impl Submit<()>> {
        op(move |callback| self.handle().signal(number, callback))
    }

    /// As [`signal`](Self::signal) of SIGINT, which is number 2 on every system: what a terminal sends
    /// when Ctrl-C is typed, and on Windows the console.
    ///
    /// ```no_run
    /// use facade_futures::Runtime;
    ///
    /// let runtime = Runtime::new()?;
    /// runtime.block_on(runtime.io().ctrl_c())?;
    /// println!("goodbye");
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn ctrl_c(&self) -> OpFuture<(), impl Submit<()>> {
        const SIGINT: i32 = 2;
        self.signal(SIGINT)
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").field("handle", self.handle()).finish()
    }
}

/// Submits a chain whose last stage tells a future. The future's timeout becomes the chain's: as
/// that of its last stage it would begin anew with it, and bound nothing before.
pub(crate) fn submit_chain<T: 'static, M: Mode>(
    callback: Callback<T>,
    chain: impl FnOnce(Callback<T>) -> Chain<M>,
) -> Cancel {
    let limit = callback.get_timeout().unwrap_or(Duration::MAX);
    chain(callback.timeout(Duration::MAX)).timeout(limit).submit()
}

/// A callback of the engine's stream and a value, for one that gets the stream as this crate's.
pub(crate) fn of_engine<T: Send + 'static>(
    callback: Callback<(Stream, T)>,
) -> Callback<(EngineStream, T)> {
    callback.map(|(stream, value): (EngineStream, T)| (stream.into(), value))
}
