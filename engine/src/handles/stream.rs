//! [`Stream`]: what is read and written.

use std::{fmt, net::SocketAddr, sync::Arc};

use bytes::Bytes;

use crate::{
    handles::{
        biased_arc::{Biased, BiasedArc},
        current,
        handle::Handle,
        resource_handle::ResourceHandle,
    },
    pure::{
        address::Address,
        error::{Error, Result},
        options::{Keepalive, SocketOption},
        table::Id,
    },
    system::{
        descriptor::Descriptor,
        fd_kind::FdKind,
        sys::owned::{BorrowedDescriptor, OwnedDescriptor},
    },
};

/// Something that bytes are read from and written to: a TCP or Unix socket, a pipe, a terminal, a
/// child's standard input or output, or a file.
///
/// Clones are the same stream, and equal. It is closed when the last clone is gone *and* nothing is
/// pending on it: reads without an outcome keep it open, and what was written still goes out. That
/// ends our copy of its descriptor, see [`attach`](Handle::attach).
///
/// The stream owns its unread bytes. They leave it only when a callback takes them.
///
/// Streams are compared and hashed by what they are, so they can be the keys of a map, whose values
/// are what the program knows of its connections:
///
/// ```
/// use facade_engine::{Engine, Stream};
/// use std::{collections::HashMap, os::unix::net::UnixStream};
///
/// let engine = Engine::new()?;
/// let (one, other) = UnixStream::pair().unwrap();
/// let (one, other) = (engine.attach(one)?, engine.attach(other)?);
/// let mut names: HashMap<Stream, &str> = HashMap::new();
/// names.insert(one.clone(), "one");
/// names.insert(other, "other");
/// assert_eq!(names[&one], "one");
/// # Ok::<(), facade_engine::Error>(())
/// ```
///
/// (Clippy's `mutable_key_type` cannot see that nothing of that changes;
/// `ignore-interior-mutability = ["facade_engine::Stream"]` in a clippy.toml tells it.)
///
/// Streams come from [`connect`](Handle::connect), [`accept`](Handle::accept) and
/// [`attach`](Handle::attach); what is done with them are methods of [`Handle`].
///
/// ```
/// use facade_engine::{Callback, Engine, Stream};
/// use std::{io::Write, os::unix::net::UnixStream};
///
/// let engine = Engine::new()?;
/// let (mut peer, ours) = UnixStream::pair().unwrap();
/// let stream: Stream = engine.attach(ours)?;
/// peer.write_all(b"hello\n").unwrap();
/// engine.read_line(&stream, Callback::new(
///     |_, line| assert_eq!(line, "hello"),
///     |_, error| panic!("{error}"),
/// ));
/// drop(stream); // closed when the read has its outcome
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Stream {
    inner: BiasedArc<StreamInner>,
}

pub(crate) struct StreamInner {
    /// The number of the engine that it belongs to, as in `handle`.
    engine: u32,
    resource: ResourceHandle,
    fd_kind: FdKind,
}

/// What ends the lines of [`write_line`](Handle::write_line).
///
/// See [`set_line_end`](Handle::set_line_end) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineEnd {
    /// `\n`: the default of pipes, terminals and files.
    Lf,
    /// `\r\n`: the default of sockets, as line protocols want it.
    CrLf,
}

/// What [`detach`](Handle::detach) gives back.
///
/// See there for an example.
#[derive(Debug)]
#[non_exhaustive]
pub struct Detached {
    /// The descriptor. A socket is still non-blocking.
    pub fd: OwnedDescriptor,
    /// What the engine had received and nobody had read; it comes before anything that the
    /// descriptor will yield. Always empty for a file, whose cursor is where the reads ended.
    pub unread: Bytes,
}

impl Detached {
    /// A descriptor that another library gives away, with what that had received and nobody has
    /// read: for [`attach_detached`](Handle::attach_detached).
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Detached, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// peer.write_all(b"lo\n").unwrap();
    /// let stream = engine.attach_detached(Detached::new(ours, "hel"))?;
    /// engine.read_line(&stream, Callback::new(
    ///     |_, line| assert_eq!(line, "hello"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn new(fd: impl Into<OwnedDescriptor>, unread: impl Into<Bytes>) -> Self {
        Self { fd: fd.into(), unread: unread.into() }
    }
}

impl Stream {
    pub(crate) fn new(
        handle: Handle,
        descriptor: Arc<Descriptor>,
        fd_kind: FdKind,
        id: Id,
    ) -> Self {
        let engine = handle.id();
        let resource =
            ResourceHandle::new(handle, descriptor, Some(id).filter(|id| *id != Id::NONE));
        Self { inner: BiasedArc::new(StreamInner { engine, resource, fd_kind }) }
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the connection is gone already, or this is no socket;
    /// [`Error::Unsupported`] for a Unix socket, see [`peer_name`](Self::peer_name).
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Stream};
    ///
    /// let engine = Engine::new()?;
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// let address = listener.local_addr().unwrap();
    /// engine.connect(address, Callback::new(
    ///     move |_, stream: Stream| assert_eq!(stream.peer_addr().unwrap(), address),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "getpeername")]
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        inet(self.peer_name()?)
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// As [`peer_addr`](Self::peer_addr).
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Stream};
    ///
    /// let engine = Engine::new()?;
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// let address = listener.local_addr().unwrap();
    /// engine.connect(address, Callback::new(
    ///     |_, stream: Stream| println!("from {}", stream.local_addr().unwrap()),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "getsockname")]
    pub fn local_addr(&self) -> Result<SocketAddr> {
        inet(self.local_name()?)
    }

    /// What the other end is called, of whatever family: a Unix socket by its path, if it has one.
    /// As getpeername(2) says it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the connection is gone already, or this is no socket.
    ///
    /// ```
    /// use facade_engine::{Address, Engine};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let engine = Engine::new()?;
    /// let (_peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// assert_eq!(stream.peer_name()?, Address::UnixUnnamed);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn peer_name(&self) -> Result<Address> {
        self.descriptor().peer_address()
    }

    /// What this end is called, of whatever family. As getsockname(2) says it.
    ///
    /// # Errors
    ///
    /// As [`peer_name`](Self::peer_name).
    pub fn local_name(&self) -> Result<Address> {
        self.descriptor().local_address()
    }

    /// Says whether small pieces are sent at once, without Nagle's delay: TCP_NODELAY of tcp(7). What
    /// is connected, accepted or attached here does, and one turn's writes are sent together anyway.
    ///
    /// This and its neighbours set an option of the socket at once, on any thread, for all who hold
    /// it. [`ConnectOptions`](crate::ConnectOptions) and [`ListenOptions`](crate::ListenOptions) set
    /// the same before there is a connection. Whatever has no method here can be set by the
    /// descriptor, which `as_fd` lends, e.g. with `socket2::SockRef::from(&stream)`; then
    /// [`set_exclusive`](Self::set_exclusive) says that nobody has kept a copy.
    ///
    /// A simulated socket takes what makes sense, and it means nothing to it.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`], which names the option, if this is no TCP connection or the system
    /// does not have it; [`Error::InvalidInput`] for what makes no sense; [`Error::Io`] of the
    /// operation [`SetSockOpt`](crate::IoOperation::SetSockOpt) if the system refuses, or the stream
    /// is closed.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Keepalive, Stream};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new()?;
    /// let listener = engine.listen("127.0.0.1:0")?;
    /// engine.connect(listener.local_addr()?, Callback::new(
    ///     |_, stream: Stream| {
    ///         stream.set_nodelay(false).unwrap();
    ///         stream.set_keepalive(Some(Keepalive::new(Duration::from_secs(60)))).unwrap();
    ///         stream.set_recv_buffer_size(1 << 20).unwrap();
    ///         # #[cfg(unix)]
    ///         stream.set_tos(0x10).unwrap();
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "setsockopt")]
    #[doc(alias = "TCP_NODELAY")]
    pub fn set_nodelay(&self, nodelay: bool) -> Result<()> {
        self.set_option(&SocketOption::Nodelay(nodelay))
    }

    /// Says whether and when the system asks if a silent peer is still there; see [`Keepalive`].
    ///
    /// # Errors
    ///
    /// As [`set_nodelay`](Self::set_nodelay), where there is an example.
    #[doc(alias = "SO_KEEPALIVE")]
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> Result<()> {
        self.set_option(&SocketOption::Keepalive(keepalive.as_ref()))
    }

    /// Sets the [type of service](crate::SocketOptions::tos) that packets are marked with.
    ///
    /// # Errors
    ///
    /// As [`set_nodelay`](Self::set_nodelay), where there is an example; Windows has it not.
    #[doc(alias = "IP_TOS")]
    #[doc(alias = "IPV6_TCLASS")]
    pub fn set_tos(&self, tos: u8) -> Result<()> {
        self.set_option(&SocketOption::Tos(tos))
    }

    /// Sets the size of the system's [buffer](crate::SocketOptions::send_buffer_size) for what is
    /// sent, in bytes; also of a Unix socket.
    ///
    /// # Errors
    ///
    /// As [`set_nodelay`](Self::set_nodelay), but for sockets of any kind.
    #[doc(alias = "SO_SNDBUF")]
    pub fn set_send_buffer_size(&self, bytes: u32) -> Result<()> {
        self.set_option(&SocketOption::SendBufferSize(bytes))
    }

    /// Sets the size of the system's [buffer](crate::SocketOptions::recv_buffer_size) for what has
    /// come, in bytes; also of a Unix socket.
    ///
    /// # Errors
    ///
    /// As [`set_nodelay`](Self::set_nodelay), where there is an example, but for sockets of any kind.
    #[doc(alias = "SO_RCVBUF")]
    pub fn set_recv_buffer_size(&self, bytes: u32) -> Result<()> {
        self.set_option(&SocketOption::RecvBufferSize(bytes))
    }

    fn set_option(&self, option: &SocketOption<'_>) -> Result<()> {
        option.check()?;
        let has_it = match option.is_of_tcp() {
            true => self.fd_kind().is_tcp(),
            false => self.fd_kind().is_socket(),
        };
        if !has_it {
            return Err(Error::unsupported(format_args!("{option} of a {}", self.fd_kind())));
        }
        self.descriptor().set_option(option)
    }

    /// The handle of the engine that the stream belongs to. An operation on the stream goes to that
    /// engine, whichever handle it is called on.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let engine = Engine::new()?;
    /// let (_peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// stream.handle().read_line(&stream, Callback::ignore());
    /// # engine.abort(&stream);
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn handle(&self) -> &Handle {
        self.inner.resource.handle()
    }

    /// Says whether nobody else holds what the descriptor leads to: no copy of it made by
    /// `try_clone` or dup(2), no child that has inherited it.
    ///
    /// The engine knows that of what it has connected or accepted, until the descriptor is lent by
    /// `as_fd`; of what was [attached](Handle::attach) it cannot know. What it does
    /// differently for the one and the other is said there. Call this again after the descriptor
    /// was lent and not copied; and call it with `false` before others get a copy in other ways.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Stream};
    /// use std::os::fd::AsFd;
    ///
    /// let engine = Engine::new()?;
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// engine.connect(listener.local_addr().unwrap(), Callback::new(
    ///     |_, stream: Stream| {
    ///         rustix::net::sockopt::set_socket_keepalive(&stream, true).unwrap();
    ///         stream.set_exclusive(true); // it was not copied
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn set_exclusive(&self, exclusive: bool) {
        if exclusive {
            self.descriptor().unlend();
        } else {
            self.descriptor().lend();
        }
        let stream = self.clone();
        // An engine that is gone has nothing that it could use in one way or another.
        drop(self.handle().apply(move |core| {
            let id = core.id_of(&stream);
            core.set_exclusive(id, exclusive);
        }));
    }

    #[inline]
    pub(crate) fn engine(&self) -> u32 {
        self.inner.engine
    }

    #[inline]
    pub(crate) fn id(&self) -> Option<Id> {
        self.inner.resource.id()
    }

    pub(crate) fn set_id(&self, id: Id) {
        self.inner.resource.set_id(id);
    }

    pub(crate) fn fd_kind(&self) -> FdKind {
        self.inner.fd_kind
    }

    pub(crate) fn descriptor(&self) -> &Arc<Descriptor> {
        self.inner.resource.descriptor()
    }
}

impl LineEnd {
    pub(crate) const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
        }
    }
}

// SAFETY: the turns of an engine run on one thread, the one that it lives on, and before it refuses
// messages the last one that counts as the owner has ended, see `Engine`'s drop. In the child of a
// fork it refuses them from the first, and the thread that forked has no turn any more, see
// `fork.rs`.
#[expect(unsafe_code, reason = "says which thread owns streams")]
unsafe impl Biased for StreamInner {
    #[inline]
    fn is_owner(&self) -> bool {
        current::is_owner(self.engine)
    }

    fn send_to_owner(reference: BiasedArc<Self>) -> std::result::Result<(), BiasedArc<Self>> {
        let handle = reference.resource.handle().clone();
        handle.send_to_owner(Stream { inner: reference }).map_err(|stream| stream.inner)
    }
}

impl Stream {
    /// Lends the descriptor to the program, which may do with it what it likes from now on.
    pub(crate) fn lend(&self) -> BorrowedDescriptor<'_> {
        self.descriptor().ask();
        if self.descriptor().lend() {
            self.set_exclusive(false);
        }
        self.descriptor().lend_out()
    }
}

/// On its engine's thread it also shows what is pending on it.
impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.resource.debug("Stream", f)
    }
}

pub(crate) fn inet(address: Address) -> Result<SocketAddr> {
    address.as_inet().ok_or_else(|| Error::unsupported("a Unix socket has no internet address"))
}
