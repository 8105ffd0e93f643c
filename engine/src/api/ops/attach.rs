//! Making streams and listeners of what is there already, and settings of theirs. Plain functions:
//! they wait for nothing.

use std::{path::Path, sync::Arc};

use bytes::Bytes;

use crate::{
    handles::{
        handle::Handle,
        listener::Listener,
        stream::{Detached, LineEnd, Stream},
    },
    pure::{
        address::{Address, IntoAddress},
        error::{Error, Result},
        limits::Limits,
        options::{ListenOptions, Sharing},
        table::Id,
    },
    system::{
        descriptor::{Descriptor, Tenure},
        fd_kind::FdKind,
        sys::{examine::Examined, owned::OwnedDescriptor},
    },
};

impl Handle {
    /// Makes a stream of a descriptor that std or another crate opened: a TCP or Unix socket, a
    /// pipe, a terminal, a child's standard input or output, a file.
    ///
    /// # What others may hold, too
    ///
    /// A copy of a descriptor (`try_clone`, dup(2), what a child has inherited) leads to the same
    /// open file: it has its flags and its cursor in common with the original, takes its bytes from
    /// the same source, and ends the same connection when it shuts it down. The engine cannot see
    /// whether there is one. So of what was attached it takes it that there is: closing is close(2)
    /// and ends our copy, and nothing is read but for a read that waits. Two ways say that there is
    /// none: [`attach_exclusive`](Self::attach_exclusive) and
    /// [`Stream::set_exclusive`](Stream::set_exclusive). What was connected or accepted here is the
    /// engine's alone until its descriptor is lent by [`as_fd`](std::os::fd::AsFd::as_fd).
    ///
    /// | | of what was attached | of what is ours alone |
    /// |---|---|---|
    /// | close, drop, the engine's end | close(2): never a shutdown(2), never a byte read away | of TCP the end of our direction and what has arrived read away, so that nothing of what was sent is lost by a reset |
    /// | [`shutdown_write`](Self::shutdown_write), [`abort`](Self::abort) | asked for, so for all copies: the direction ends, TCP is reset | the same |
    /// | reading | only while a read waits for bytes, one receive at a time; one that is cancelled or out of time stops it | ahead of reads, up to [`Limits::unread`] |
    /// | what a receive brought beyond its read | unread in this stream, as with any buffered reader, and in [`Detached::unread`] | the same |
    ///
    /// | | prepared by `attach` | never done to it |
    /// |---|---|---|
    /// | socket | O_NONBLOCK is set, on TCP TCP_NODELAY, for all copies | a call that relies on O_NONBLOCK: another holder may clear it |
    /// | pipe, FIFO, terminal | opened a second time where the system can do that, so that our flags are our own; else used by calls that say that they do not wait, and where the system knows none, by a thread | its flags changed, unless it is ours alone: then O_NONBLOCK is set |
    /// | character device | nothing: it is used as it was opened, by a thread if it may wait | the same |
    /// | regular file, block device | nothing | a cursor of our own |
    ///
    /// A file is read and written at the system's cursor, which moves for all who hold it: so a log
    /// that a child writes to as well (`> log 2>&1`), or a file that is attached twice, is
    /// overwritten by nobody. A read moves it by what it receives, which may be more than it wants.
    /// It is moved back by what is unread before a write, and when the stream is closed, dropped or
    /// [detached](Self::detach), as stdio and shells do it (POSIX, "Interaction of File Descriptors
    /// and Standard I/O Streams"); whoever else reads from the cursor meanwhile misses that.
    /// Positions of one's own are [`File`](crate::File)'s.
    ///
    /// A terminal's controlling side, a FIFO that has no reader, and most devices are such for
    /// which only a thread will do. If others read or write there, too, that thread may have to
    /// wait for them. Then on the readiness driver what it holds can be cancelled only when it is
    /// done: of a write a byte to a terminal, 4 KiB to a FIFO, one whole piece to a device. The
    /// engine itself does not wait for it, not when it is dropped either. What is ours alone needs
    /// no thread.
    ///
    /// FreeBSD and macOS open nothing a second time and know no call that does not wait, so that
    /// pipes, FIFOs and terminals that are not ours alone are a thread's there. On macOS a FIFO has
    /// ended before its first writer, and a send waits if another holder clears O_NONBLOCK of a
    /// socket. See [the guide](crate::guide::drivers#on-kqueue-systems).
    ///
    /// A write to a pipe that nobody reads is an error. Before Linux 6.18, and on other systems, it
    /// raises SIGPIPE as well, which a Rust program ignores; one that does not, e.g. because its
    /// `main` is in C, is to ignore or block it.
    ///
    /// What is read are bytes. Descriptors that a peer sends along (SCM_RIGHTS, see unix(7)) are
    /// closed by the system, since nobody asks for them. An urgent byte is left out, as by read(2),
    /// unless SO_OOBINLINE was set, see tcp(7); it can be received by the descriptor.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::Error::InvalidInput) for a directory or a listening socket,
    /// [`Unsupported`](crate::Error::Unsupported) for a socket that is not a stream,
    /// [`Io`](crate::Error::Io) if the system refuses;
    /// [`EngineClosed`](crate::Error::EngineClosed) if the engine is gone. The descriptor is closed
    /// then.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::process::{Command, Stdio};
    ///
    /// let engine = Engine::new()?;
    /// let mut child = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn().unwrap();
    /// let output = engine.attach(child.stdout.take().unwrap())?;
    /// engine.read_line(&output, Callback::new(
    ///     |_, line| assert_eq!(line, "hello"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// child.wait().unwrap();
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn attach(&self, fd: impl Into<OwnedDescriptor>) -> Result<Stream> {
        self.attach_of(fd.into(), Tenure::Shared)
    }

    /// As [`attach`](Self::attach), of a descriptor that nobody else holds: neither this program by
    /// a copy (`try_clone`, dup(2)), nor a child that has inherited it.
    ///
    /// The engine then uses it as what it has connected or accepted itself; see
    /// [`attach`](Self::attach) for what it does otherwise. For a connection that another library
    /// has made and handed over this is the better one.
    ///
    /// # Errors
    ///
    /// As [`attach`](Self::attach).
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::net::{TcpListener, TcpStream};
    ///
    /// let engine = Engine::new()?;
    /// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    /// let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// let stream = engine.attach_exclusive(client)?;
    /// engine.write_line(&stream, "hello", Callback::ignore());
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn attach_exclusive(&self, fd: impl Into<OwnedDescriptor>) -> Result<Stream> {
        self.attach_of(fd.into(), Tenure::Exclusive)
    }

    fn attach_of(&self, fd: OwnedDescriptor, tenure: Tenure) -> Result<Stream> {
        self.check_open()?;
        let Examined { fd, fd_kind } = self.shared().env.examine(fd, tenure.is_sole())?;
        self.adopt_stream(Descriptor::new(fd), fd_kind, tenure, Bytes::new())
    }

    /// Makes a stream of what [`detach`](Self::detach) gave back, of this engine or another: so a
    /// stream moves between engines. Its unread bytes are what the next reads find first. Whether
    /// anybody else holds it is to be [said anew](Stream::set_exclusive).
    ///
    /// What else the engine before knew stays behind: limits and line end that were set for the
    /// stream, and a failure, such as a reset, that it met behind the unread bytes: the system
    /// tells that once, and then only that the stream has ended.
    ///
    /// # Errors
    ///
    /// As [`attach`](Self::attach); the unread bytes are dropped with the descriptor then.
    /// [`InvalidInput`](crate::Error::InvalidInput) also for a file with unread bytes, which a
    /// detached one never has.
    ///
    /// ```
    /// use facade_engine::{Callback, Detached, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let (one, other) = (Engine::new()?, Engine::new()?);
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = one.attach(ours)?;
    /// peer.write_all(b"to the one\nto the other\n").unwrap();
    /// one.read_line(&stream, Callback::ignore());
    /// one.run()?;
    /// let there = other.handle().clone();
    /// one.detach(&stream, Callback::new(
    ///     move |_, detached: Detached| there.post(move |local| {
    ///         let stream = local.attach_detached(detached).unwrap();
    ///         local.read_line(&stream, Callback::new(
    ///             |_, line| assert_eq!(line, "to the other"),
    ///             |_, error| panic!("{error}"),
    ///         ));
    ///     }),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// one.run()?;
    /// other.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn attach_detached(&self, detached: Detached) -> Result<Stream> {
        let Detached { fd, unread } = detached;
        self.check_open()?;
        let Examined { fd, fd_kind } = self.shared().env.examine(fd, false)?;
        if fd_kind.is_file() && !unread.is_empty() {
            return Err(Error::invalid("a detached file has no unread bytes"));
        }
        self.adopt_stream(Descriptor::new(fd), fd_kind, Tenure::Shared, unread)
    }

    /// Makes a listener of a socket that listens already, e.g. one inherited from a service
    /// manager. It becomes non-blocking, and a TCP listener's connections get TCP_NODELAY.
    ///
    /// Others may accept from it, too, so connections are taken only as accepts want them, and its
    /// close ends our copy of it and no other.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::Error::InvalidInput) if it is no socket or does not listen,
    /// [`Unsupported`](crate::Error::Unsupported) if its connections are not streams,
    /// [`Io`](crate::Error::Io) if the system refuses;
    /// [`EngineClosed`](crate::Error::EngineClosed) if the engine is gone. The descriptor is closed
    /// then.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::net::{TcpListener, TcpStream};
    ///
    /// let engine = Engine::new()?;
    /// let inherited = TcpListener::bind("127.0.0.1:0").unwrap();
    /// let _client = TcpStream::connect(inherited.local_addr().unwrap()).unwrap();
    /// let listener = engine.attach_listener(inherited)?;
    /// engine.accept(&listener, Callback::new(|_, _stream| (), |_, error| panic!("{error}")));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "sd_listen_fds")]
    pub fn attach_listener(&self, fd: impl Into<OwnedDescriptor>) -> Result<Listener> {
        self.attach_listener_of(fd.into(), Tenure::Shared)
    }

    /// As [`attach_listener`](Self::attach_listener), of a socket that nobody else accepts from:
    /// connections are then accepted ahead, as of what [`listen`](Self::listen) makes.
    ///
    /// # Errors
    ///
    /// As [`attach_listener`](Self::attach_listener).
    pub fn attach_listener_exclusive(&self, fd: impl Into<OwnedDescriptor>) -> Result<Listener> {
        self.attach_listener_of(fd.into(), Tenure::Exclusive)
    }

    fn attach_listener_of(&self, fd: OwnedDescriptor, tenure: Tenure) -> Result<Listener> {
        self.check_open()?;
        let tcp = self.shared().env.examine_listener(&fd)?;
        self.submit_listener(Listener::new(self.clone(), Descriptor::new(fd), tcp, tenure))
    }

    /// Listens for connections at a literal address, or on Unix at a path or (on Linux) an abstract
    /// name, see [`IntoAddress`](crate::IntoAddress). TCP with SO_REUSEADDR and never SO_REUSEPORT; port 0
    /// lets the system choose one, which [`Listener::local_addr`] tells. A path as
    /// [`listen_unix`](Self::listen_unix) does. See listen(2), and socket(7) for the options;
    /// [`listen_with`](Self::listen_with) takes others.
    ///
    /// When a process ends that listened by io_uring, however it ends, the kernel closes its
    /// sockets some milliseconds later. So that a server can be started again at once, an engine on
    /// that driver waits for an address that is in use, for a quarter of a second at most: it binds
    /// again whenever the kernel reports that a TCP socket of this machine has gone (sock_diag(7)).
    /// On mio the call fails at once.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::Error::InvalidInput) for a text that is no literal address;
    /// [`Io`](crate::Error::Io) if the address is in use or not this machine's;
    /// [`EngineClosed`](crate::Error::EngineClosed) if the engine is gone.
    ///
    /// ```
    /// use facade_engine::Engine;
    ///
    /// let engine = Engine::new()?;
    /// let listener = engine.listen("127.0.0.1:0")?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "SO_REUSEADDR")]
    #[doc(alias = "bind")]
    pub fn listen(&self, addr: impl IntoAddress) -> Result<Listener> {
        self.listen_with(addr, &ListenOptions::new())
    }

    /// Listens with other options than [`listen`](Self::listen): a shared port, a backlog, IPv6
    /// alone, keepalive, buffers; see [`ListenOptions`].
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen); [`InvalidInput`](crate::Error::InvalidInput) also for an option
    /// that makes no sense, such as a buffer of no bytes;
    /// [`Unsupported`](crate::Error::Unsupported) for one that this system does not have, which it
    /// names, and [`Io`](crate::Error::Io) of the operation `setsockopt` for one that it refuses.
    ///
    /// ```
    /// use facade_engine::{Engine, ListenOptions};
    ///
    /// let engine = Engine::new()?;
    /// let listener = engine.listen_with("127.0.0.1:0", &ListenOptions::new().backlog(16))?;
    /// println!("listening at {}", listener.local_addr()?);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "SO_REUSEPORT")]
    pub fn listen_with(&self, addr: impl IntoAddress, options: &ListenOptions) -> Result<Listener> {
        self.check_open()?;
        options.check()?;
        match addr.into_address()? {
            Address::Inet(address) => {
                let sharing = if options.reuse_port { Sharing::Others } else { Sharing::Nobody };
                self.make_listener(self.shared().listen_tcp(address, sharing, options)?, true)
            }
            unix => self.make_listener(self.shared().env.listen_unix(&unix, options)?, false),
        }
    }

    /// Listens for connections to a Unix socket at this path. Never unlinks: a socket left behind
    /// by an earlier run is for the program to remove. See unix(7).
    ///
    /// # Errors
    ///
    /// [`Io`](crate::Error::Io) if the path exists or cannot be made;
    /// [`InvalidInput`](crate::Error::InvalidInput) if it is empty, too long or has a NUL;
    /// [`EngineClosed`](crate::Error::EngineClosed) if the engine is gone, and then no socket was
    /// made.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    ///
    /// let engine = Engine::new()?;
    /// let name = format!("facade-engine-{}.socket", std::process::id());
    /// let path = std::env::temp_dir().join(name);
    /// let listener = engine.listen_unix(&path)?;
    /// engine.accept(&listener, Callback::ignore());
    /// engine.connect(&*path, Callback::new(|_, _stream| (), |_, error| panic!("{error}")));
    /// engine.run()?;
    /// std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "AF_UNIX")]
    pub fn listen_unix(&self, path: impl AsRef<Path>) -> Result<Listener> {
        self.listen(path.as_ref())
    }

    /// Sets the limits of one stream, for the operations submitted after this.
    ///
    /// Reads that are pending keep the limit that they were submitted with. On a closed stream, or
    /// one whose engine is gone, it does nothing.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine, Error, Limits, Result};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"a long line\n").unwrap();
    /// engine.set_limits(&stream, Limits { line: 4, ..Limits::default() });
    /// engine.read_line(&stream, Callback::from_fn(|_, outcome: Result<Bytes>| {
    ///     assert!(matches!(outcome, Err(Error::TooLong { limit: 4 })));
    /// }));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn set_limits(&self, s: &Stream, limits: Limits) {
        Self::submit_on(s, move |core, id| {
            core.set_limits(id, limits);
            None::<Id>
        });
    }

    /// Sets what ends the lines of [`write_line`](Self::write_line).
    ///
    /// Holds for the lines submitted after this. On a closed stream, or one
    /// whose engine is gone, it does nothing.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, LineEnd};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let engine = Engine::new()?;
    /// let (_peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// engine.set_line_end(&stream, LineEnd::Lf);
    /// engine.write_line(&stream, "hello", Callback::new(
    ///     |_, count| assert_eq!(count, 6),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn set_line_end(&self, s: &Stream, line_end: LineEnd) {
        Self::submit_on(s, move |core, id| {
            if let Some(state) = core.stream(id) {
                state.line_end = line_end;
            }
            None::<Id>
        });
    }

    /// Makes a stream of a descriptor that has been examined.
    pub(crate) fn adopt_stream(
        &self,
        descriptor: Arc<Descriptor>,
        fd_kind: FdKind,
        tenure: Tenure,
        unread: Bytes,
    ) -> Result<Stream> {
        if tenure == Tenure::Shared {
            descriptor.lend();
        }
        let stream = Stream::new(self.clone(), descriptor, fd_kind, Id::NONE);
        let adopted = stream.clone();
        self.apply(move |core| core.adopt(&adopted, tenure, unread))?;
        Ok(stream)
    }

    pub(crate) fn make_listener(&self, descriptor: Arc<Descriptor>, tcp: bool) -> Result<Listener> {
        self.submit_listener(Listener::new(self.clone(), descriptor, tcp, Tenure::Own))
    }

    pub(crate) fn submit_listener(&self, listener: Listener) -> Result<Listener> {
        let adopted = listener.clone();
        self.apply(move |core| core.adopt_listener(&adopted))?;
        Ok(listener)
    }
}
