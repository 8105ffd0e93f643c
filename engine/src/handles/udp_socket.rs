//! [`UdpSocket`]: what datagrams are received from and sent by.

use std::{
    fmt,
    hash::{Hash, Hasher},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use socket2::{InterfaceIndexOrAddress, SockRef};

use crate::{
    handles::{handle::Handle, resource_handle::ResourceHandle, stream::inet},
    pure::{
        address::Address,
        error::{Error, IoOperation, Result},
        table::Id,
    },
    system::{
        descriptor::{Descriptor, Tenure},
        fd_kind::FdKind,
        sys::owned::BorrowedDescriptor,
    },
};

/// A socket of datagrams: of UDP (RFC 768, udp(7)), or a Unix socket of that kind (unix(7)).
///
/// A datagram is sent whole or not at all, and received whole, unless more was sent than a receive
/// takes, which [`Datagram::truncated`](crate::Datagram::truncated) tells. UDP loses datagrams, swaps
/// and doubles them; what it delivers is what was sent. A Unix socket does none of that, and its
/// sends wait while the receiver's queue is full.
///
/// It is one type for both, as a [`Listener`](crate::Listener) is one for TCP and Unix sockets:
/// what can be done is the same, and addresses are [`Address`]es of whatever family.
///
/// Clones are the same socket, and equal. It is closed when the last clone is gone and nothing is
/// pending on it, and with it go the datagrams that nobody has taken.
///
/// Sockets come from [`bind_udp`](Handle::bind_udp), [`connect_udp`](Handle::connect_udp),
/// [`bind_unix_datagram`](Handle::bind_unix_datagram) and [`attach_udp`](Handle::attach_udp); what is
/// done with them are [`send_to`](Handle::send_to), [`recv_from`](Handle::recv_from),
/// [`send`](Handle::send), [`recv`](Handle::recv) and [`close`](Handle::close).
///
/// ```
/// use facade_engine::{Callback, Datagram, Engine, Handle, UdpSocket};
///
/// fn serve(engine: &Handle, socket: UdpSocket) {
///     let again = socket.clone();
///     engine.recv_from(&socket, Callback::new(
///         move |engine, datagram: Datagram| {
///             engine.send_to(&again, datagram.bytes, datagram.from, Callback::ignore());
///             serve(engine, again);
///         },
///         |_, error| println!("{error}"),
///     ));
/// }
///
/// let engine = Engine::new()?;
/// let server = engine.bind_udp("127.0.0.1:0")?;
/// serve(&engine, server.clone());
/// let client = engine.connect_udp(server.local_addr()?)?;
/// engine.send(&client, "hello", Callback::ignore());
/// engine.recv(&client, Callback::new(
///     move |engine, datagram: Datagram| {
///         assert_eq!(datagram.bytes, "hello");
///         engine.close(&server, Callback::ignore());
///     },
///     |_, error| panic!("{error}"),
/// ));
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Clone)]
pub struct UdpSocket {
    inner: Arc<UdpSocketInner>,
}

struct UdpSocketInner {
    resource: ResourceHandle,
    unix: bool,
    /// Whether others may receive from it, too, when it was made.
    tenure: Tenure,
}

impl UdpSocket {
    pub(crate) fn new(
        handle: Handle,
        descriptor: Arc<Descriptor>,
        unix: bool,
        tenure: Tenure,
    ) -> Self {
        if tenure == Tenure::Shared {
            descriptor.lend();
        }
        let resource = ResourceHandle::new(handle, descriptor, None);
        Self { inner: Arc::new(UdpSocketInner { resource, unix, tenure }) }
    }

    pub(crate) fn fd_kind(&self) -> FdKind {
        FdKind::Datagrams { unix: self.inner.unix }
    }

    pub(crate) fn tenure(&self) -> Tenure {
        self.inner.tenure
    }

    /// The address that it receives at: with the port that the system chose, if it was to choose.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a Unix socket, see [`local_name`](Self::local_name);
    /// [`Error::Io`] if it was closed.
    ///
    /// ```
    /// let engine = facade_engine::Engine::new()?;
    /// let socket = engine.bind_udp("127.0.0.1:0")?;
    /// println!("receiving at {}", socket.local_addr()?);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "getsockname")]
    pub fn local_addr(&self) -> Result<SocketAddr> {
        inet(self.local_name()?)
    }

    /// What it receives at, of whatever family: a Unix socket by its path.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it was closed.
    pub fn local_name(&self) -> Result<Address> {
        self.descriptor().local_address()
    }

    /// The address that it is connected to.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it is not connected, or closed; [`Error::Unsupported`] for a Unix socket, see
    /// [`peer_name`](Self::peer_name).
    #[doc(alias = "getpeername")]
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        inet(self.peer_name()?)
    }

    /// What it is connected to, of whatever family.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it is not connected, or closed.
    pub fn peer_name(&self) -> Result<Address> {
        self.descriptor().peer_address()
    }

    /// The handle of the engine that the socket belongs to.
    pub fn handle(&self) -> &Handle {
        self.inner.resource.handle()
    }

    /// Sets how many bytes of a datagram are received: what is behind them is lost, and
    /// [`Datagram::truncated`](crate::Datagram::truncated) tells so. 64 KiB by default, which is all
    /// that UDP carries; Unix sockets carry more (as much as SO_SNDBUF allows, socket(7)). What has
    /// been received and not taken by now stays as it is.
    ///
    /// It saves no memory: datagrams are kept in as little as they need.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for 0; [`Error::EngineClosed`] if the engine is gone.
    ///
    /// ```
    /// use facade_engine::{Callback, Datagram, Engine};
    ///
    /// let engine = Engine::new()?;
    /// let socket = engine.bind_udp("127.0.0.1:0")?;
    /// socket.set_receive_size(5)?;
    /// engine.send_to(&socket, "hello, world", socket.local_addr()?, Callback::ignore());
    /// engine.recv_from(&socket, Callback::new(
    ///     |_, datagram: Datagram| {
    ///         assert_eq!(datagram.bytes, "hello");
    ///         assert!(datagram.truncated);
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "MSG_TRUNC")]
    pub fn set_receive_size(&self, size: usize) -> Result<()> {
        if size == 0 {
            return Err(Error::invalid("a receive size of 0"));
        }
        let socket = self.clone();
        self.handle().apply(move |core| {
            let id = core.id_of_datagrams(&socket);
            core.set_receive_size(id, size);
        })
    }

    /// Says whether nobody else holds the socket.
    ///
    /// As for a stream, see [`Stream::set_exclusive`](crate::Stream::set_exclusive): datagrams are
    /// received ahead of receives only from one that nobody else can receive from, as
    /// [`Limits::datagrams`](crate::Limits::datagrams) says.
    pub fn set_exclusive(&self, exclusive: bool) {
        if exclusive {
            self.descriptor().unlend();
        } else {
            self.descriptor().lend();
        }
        let socket = self.clone();
        // An engine that is gone has nothing that it could use in one way or another.
        drop(self.handle().apply(move |core| {
            let id = core.id_of_datagrams(&socket);
            core.set_datagrams_exclusive(id, exclusive);
        }));
    }

    /// Has the system deliver what is sent to a multicast group, as it comes to an interface: by
    /// its index (if_nametoindex(3)), or whichever the system chooses, with 0. By IP_ADD_MEMBERSHIP
    /// of ip(7) or IPV6_ADD_MEMBERSHIP of ipv6(7).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] if the address is none of a group; [`Error::Io`] if the system refuses,
    /// as it does an address of another family than the socket's; [`Error::Unsupported`] in a
    /// simulated network.
    ///
    /// ```
    /// use facade_engine::{Engine, UdpOptions};
    ///
    /// let engine = Engine::new()?;
    /// // As for multicast DNS, RFC 6762.
    /// let options = UdpOptions::new().reuse_address(true);
    /// let socket = engine.bind_udp_with("0.0.0.0:5353", &options)?;
    /// # let told =
    /// socket.join_multicast("224.0.0.251".parse().unwrap(), 0)
    /// # ;
    /// # drop(told); // A machine without a network has no route for it.
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "IP_ADD_MEMBERSHIP")]
    pub fn join_multicast(&self, group: IpAddr, interface: u32) -> Result<()> {
        self.change_membership(
            group,
            |socket, v4| match interface {
                0 => socket.join_multicast_v4(v4, &Ipv4Addr::UNSPECIFIED),
                index => socket.join_multicast_v4_n(v4, &InterfaceIndexOrAddress::Index(index)),
            },
            |socket, group| match group {
                IpAddr::V6(v6) => socket.join_multicast_v6(&v6, interface),
                IpAddr::V4(_) => Ok(()),
            },
        )
    }

    /// Undoes [`join_multicast`](Self::join_multicast), as the close of the socket does.
    ///
    /// # Errors
    ///
    /// As [`join_multicast`](Self::join_multicast).
    #[doc(alias = "IP_DROP_MEMBERSHIP")]
    pub fn leave_multicast(&self, group: IpAddr, interface: u32) -> Result<()> {
        self.change_membership(
            group,
            |socket, v4| match interface {
                0 => socket.leave_multicast_v4(v4, &Ipv4Addr::UNSPECIFIED),
                index => socket.leave_multicast_v4_n(v4, &InterfaceIndexOrAddress::Index(index)),
            },
            |socket, group| match group {
                IpAddr::V6(v6) => socket.leave_multicast_v6(&v6, interface),
                IpAddr::V4(_) => Ok(()),
            },
        )
    }

    fn change_membership(
        &self,
        group: IpAddr,
        v4: impl FnOnce(&SockRef<'_>, &Ipv4Addr) -> io::Result<()>,
        v6: impl FnOnce(&SockRef<'_>, IpAddr) -> io::Result<()>,
    ) -> Result<()> {
        if !group.is_multicast() {
            return Err(Error::invalid(format_args!("{group} is no multicast group")));
        }
        let changed = self.descriptor().with_socket(|socket| match group {
            IpAddr::V4(group) => v4(&socket, &group),
            group @ IpAddr::V6(_) => v6(&socket, group),
        });
        changed.map_err(|cause| match cause.kind() {
            io::ErrorKind::Unsupported => Error::unsupported("multicast in a simulated network"),
            _ => Error::io_on(IoOperation::Bind, group, cause),
        })
    }

    pub(crate) fn id(&self) -> Option<Id> {
        self.inner.resource.id()
    }

    pub(crate) fn set_id(&self, id: Id) {
        self.inner.resource.set_id(id);
    }

    pub(crate) fn descriptor(&self) -> &Arc<Descriptor> {
        self.inner.resource.descriptor()
    }

    /// Lends the descriptor to the program, which may do with it what it likes from now on.
    pub(crate) fn lend(&self) -> BorrowedDescriptor<'_> {
        if self.descriptor().lend() {
            self.set_exclusive(false);
        }
        self.descriptor().lend_out()
    }
}

/// Clones are equal: two of these are if they are the same socket, whether or not the engine has
/// come to it yet.
impl PartialEq for UdpSocket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for UdpSocket {}

impl Hash for UdpSocket {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.inner).hash(state);
    }
}

/// On its engine's thread it also shows what is pending on it.
impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.resource.debug("UdpSocket", f)
    }
}
