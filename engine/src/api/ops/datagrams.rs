//! Datagrams: UDP, and Unix sockets of that kind.

use std::path::Path;

use bytes::Bytes;

use crate::{
    core::{Core, datagrams::Outgoing},
    handles::{
        callback::Callback, cancel::Cancel, handle::Handle, observer::Subject,
        udp_socket::UdpSocket,
    },
    pure::{
        address::{Address, IntoAddress},
        datagram::Datagram,
        error::Result,
        options::UdpOptions,
        panics::Contained,
        table::Id,
    },
    system::{
        descriptor::{Descriptor, Tenure},
        sys::{address, owned::OwnedDescriptor},
    },
};

impl Handle {
    /// Makes a socket that receives datagrams at a literal address: of UDP; or on Unix at a path, as
    /// [`bind_unix_datagram`](Self::bind_unix_datagram) does. Port 0 lets the system choose one, which
    /// [`UdpSocket::local_addr`] tells; `0.0.0.0:0` is for a client of many servers. A plain function:
    /// it waits for nothing. See udp(7) and bind(2);
    /// [`bind_udp_with`](Self::bind_udp_with) takes options.
    ///
    /// A socket at `[::]` is of both families where the system makes it so, as Linux does, see
    /// [`UdpOptions::dual_stack`].
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
    /// let socket = engine.bind_udp("127.0.0.1:0")?;
    /// assert_ne!(socket.local_addr()?.port(), 0);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "UDP")]
    #[doc(alias = "SOCK_DGRAM")]
    pub fn bind_udp(&self, addr: impl IntoAddress) -> Result<UdpSocket> {
        self.bind_udp_with(addr, &UdpOptions::new())
    }

    /// Makes a socket with other options than [`bind_udp`](Self::bind_udp): a shared address, IPv6
    /// alone, broadcast; see [`UdpOptions`].
    ///
    /// # Errors
    ///
    /// As [`bind_udp`](Self::bind_udp); [`Unsupported`](crate::Error::Unsupported) where this system does not
    /// have an option.
    ///
    /// ```
    /// use facade_engine::{Engine, UdpOptions};
    ///
    /// let engine = Engine::new()?;
    /// let socket = engine.bind_udp_with("0.0.0.0:0", &UdpOptions::new().broadcast(true))?;
    /// # drop(socket);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn bind_udp_with(&self, addr: impl IntoAddress, options: &UdpOptions) -> Result<UdpSocket> {
        self.check_open()?;
        let address = addr.into_address()?;
        let descriptor = self.shared().env.bind_datagrams(&address, options)?;
        self.adopt_datagrams(descriptor, address.as_inet().is_none(), Tenure::Own)
    }

    /// Makes a socket that sends to one address and receives from there only, and nothing of others.
    /// The system chooses where it is bound. A plain function: connecting a socket of datagrams waits
    /// for nothing and asks nobody, see connect(2) and RFC 1122, section 4.1.3.3.
    ///
    /// That nobody is there is told, if it is, to the [`send`](Self::send) or [`recv`](Self::recv)
    /// that comes next: [`Io`](crate::Error::Io) with
    /// [`ConnectionRefused`](std::io::ErrorKind::ConnectionRefused). The socket goes on.
    ///
    /// A socket that is to be bound and connected is one of std's, by
    /// [`attach_udp_exclusive`](Self::attach_udp_exclusive).
    ///
    /// # Errors
    ///
    /// As [`bind_udp`](Self::bind_udp); [`Io`](crate::Error::Io) if there is no way to the address, or if
    /// nobody is at the path.
    ///
    /// ```
    /// use facade_engine::Engine;
    ///
    /// let engine = Engine::new()?;
    /// let server = engine.bind_udp("127.0.0.1:0")?;
    /// let client = engine.connect_udp(server.local_addr()?)?;
    /// assert_eq!(client.peer_addr()?, server.local_addr()?);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn connect_udp(&self, addr: impl IntoAddress) -> Result<UdpSocket> {
        self.check_open()?;
        let address = addr.into_address()?;
        let descriptor = self.shared().env.connect_datagrams(&address)?;
        self.adopt_datagrams(descriptor, address.as_inet().is_none(), Tenure::Own)
    }

    /// Makes a Unix socket that receives datagrams at this path. Never unlinks: a socket left behind
    /// by an earlier run is for the program to remove. See unix(7).
    ///
    /// Nothing that is sent to it is lost, doubled or swapped; a [`send_to`](Self::send_to) waits
    /// while its queue is full (10 datagrams on Linux, `/proc/sys/net/unix/max_dgram_qlen`).
    ///
    /// # Errors
    ///
    /// [`Io`](crate::Error::Io) if the path exists or cannot be made; [`InvalidInput`](crate::Error::InvalidInput)
    /// if it is empty, too long or has a NUL; [`Unsupported`](crate::Error::Unsupported) on Windows and in a
    /// simulated network; [`EngineClosed`](crate::Error::EngineClosed) if the engine is gone.
    ///
    /// ```
    /// use facade_engine::{Callback, Datagram, Engine};
    ///
    /// let engine = Engine::new()?;
    /// let name = format!("facade-engine-{}.datagrams", std::process::id());
    /// let path = std::env::temp_dir().join(name);
    /// let log = engine.bind_unix_datagram(&path)?;
    /// let program = engine.unbound_unix_datagram()?;
    /// engine.send_to(&program, "<14>started", &*path, Callback::ignore());
    /// engine.recv_from(&log, Callback::new(
    ///     |_, datagram: Datagram| assert_eq!(datagram.bytes, "<14>started"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "AF_UNIX")]
    pub fn bind_unix_datagram(&self, path: impl AsRef<Path>) -> Result<UdpSocket> {
        self.bind_udp(path.as_ref())
    }

    /// Makes a Unix socket of datagrams without a name: it sends, and nobody can answer. Those of a
    /// pair, by std's [`UnixDatagram::pair`](std::os::unix::net::UnixDatagram::pair), are
    /// [attached](Self::attach_udp_exclusive); one that is connected to a path comes from
    /// [`connect_udp`](Self::connect_udp).
    ///
    /// # Errors
    ///
    /// [`Io`](crate::Error::Io) if the system refuses; [`Unsupported`](crate::Error::Unsupported) and
    /// [`EngineClosed`](crate::Error::EngineClosed) as for
    /// [`bind_unix_datagram`](Self::bind_unix_datagram), where there is an example.
    pub fn unbound_unix_datagram(&self) -> Result<UdpSocket> {
        self.check_open()?;
        let descriptor = Descriptor::new(self.shared().env.unbound_unix_datagrams()?);
        self.adopt_datagrams(descriptor, true, Tenure::Own)
    }

    /// Makes a socket of datagrams of one that std or another crate opened: of UDP or Unix, bound or
    /// connected or neither. It becomes non-blocking, for all who hold a copy of it.
    ///
    /// Others may receive from it, too, so datagrams are taken only as receives want them, and its
    /// close ends our copy of it and no other.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::Error::InvalidInput) if it is no socket of datagrams,
    /// [`Unsupported`](crate::Error::Unsupported) if those are neither UDP nor Unix, and in a simulated
    /// network; [`Io`](crate::Error::Io) if the system refuses; [`EngineClosed`](crate::Error::EngineClosed) if the
    /// engine is gone. The descriptor is closed then.
    ///
    /// ```
    /// use facade_engine::{Callback, Datagram, Engine};
    /// use std::net::UdpSocket;
    ///
    /// let engine = Engine::new()?;
    /// let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
    /// let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    /// peer.send_to(b"hello", ours.local_addr().unwrap()).unwrap();
    /// let socket = engine.attach_udp(ours)?;
    /// engine.recv_from(&socket, Callback::new(
    ///     |_, datagram: Datagram| assert_eq!(datagram.bytes, "hello"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn attach_udp(&self, fd: impl Into<OwnedDescriptor>) -> Result<UdpSocket> {
        self.attach_udp_of(fd.into(), Tenure::Shared)
    }

    /// As [`attach_udp`](Self::attach_udp), of a socket that nobody else holds: datagrams are then
    /// received ahead, as of what [`bind_udp`](Self::bind_udp) makes.
    ///
    /// # Errors
    ///
    /// As [`attach_udp`](Self::attach_udp).
    pub fn attach_udp_exclusive(&self, fd: impl Into<OwnedDescriptor>) -> Result<UdpSocket> {
        self.attach_udp_of(fd.into(), Tenure::Exclusive)
    }

    fn attach_udp_of(&self, fd: OwnedDescriptor, tenure: Tenure) -> Result<UdpSocket> {
        self.check_open()?;
        let unix = self.shared().env.examine_datagrams(&fd)?;
        self.adopt_datagrams(Descriptor::new(fd), unix, tenure)
    }

    fn adopt_datagrams(
        &self,
        descriptor: std::sync::Arc<Descriptor>,
        unix: bool,
        tenure: Tenure,
    ) -> Result<UdpSocket> {
        let socket = UdpSocket::new(self.clone(), descriptor, unix, tenure);
        let adopted = socket.clone();
        self.apply(move |core| core.adopt_datagrams(&adopted))?;
        Ok(socket)
    }

    /// Receives the next datagram, and says who sent it. Receives succeed in the order submitted.
    ///
    /// One without bytes is a datagram like any other: a socket of datagrams has no end. Up to
    /// [`Limits::datagrams`](crate::Limits::datagrams) are taken from the system before they are asked
    /// for; where those and the system's queue (SO_RCVBUF) are full, UDP loses what comes. See
    /// recvmsg(2).
    ///
    /// # Errors
    ///
    /// [`Io`](crate::Error::Io) with what the system tells of the socket: on a connected one that nobody is
    /// there ([`ConnectionRefused`](std::io::ErrorKind::ConnectionRefused), by ICMP). It is told once,
    /// nothing is lost by it, and the socket goes on. [`Closed`](crate::Error::Closed) if it was closed.
    /// Where the system has no memory it is tried again.
    ///
    /// # Cancellation
    ///
    /// Nothing is taken: the datagram is the next receive's. So it is if the callback is a
    /// [claim](Callback::claim) and drops it: it stands where it stood.
    ///
    /// ```
    /// use facade_engine::{Callback, Datagram, Engine, Error, Result};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new()?;
    /// let socket = engine.bind_udp("127.0.0.1:0")?;
    /// let address = socket.local_addr()?;
    /// let again = socket.clone();
    /// let cb = Callback::from_fn(move |engine, outcome: Result<Datagram>| {
    ///     assert!(matches!(outcome, Err(Error::TimedOut)));
    ///     engine.send_to(&again, "late", address, Callback::ignore());
    /// });
    /// engine.recv_from(&socket, cb.timeout(Duration::from_millis(1)));
    /// engine.run()?;
    /// engine.recv_from(&socket, Callback::new(
    ///     move |_, datagram: Datagram| {
    ///         assert_eq!(datagram.bytes, "late");
    ///         assert_eq!(datagram.from.as_inet(), Some(address));
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "recvfrom")]
    #[doc(alias = "recvmsg")]
    pub fn recv_from(&self, u: &UdpSocket, mut cb: Callback<Datagram>) -> Cancel {
        u.observe(&mut cb, "recv_from");
        let Callback { slot, timeout } = cb;
        submit_on_socket(u, move |core, socket| core.receive_datagram(socket, slot, timeout))
    }

    /// The same by the name that it has where the socket is connected, and the sender known. It
    /// yields a [`Datagram`] all the same, which tells if it is not whole.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    ///
    /// # Cancellation
    ///
    /// As [`recv_from`](Self::recv_from).
    ///
    /// ```
    /// use facade_engine::{Callback, Datagram, Engine};
    ///
    /// let engine = Engine::new()?;
    /// let server = engine.bind_udp("127.0.0.1:0")?;
    /// let client = engine.connect_udp(server.local_addr()?)?;
    /// engine.send_to(&server, "answer", client.local_addr()?, Callback::ignore());
    /// engine.recv(&client, Callback::new(
    ///     |_, datagram: Datagram| assert_eq!(datagram.bytes, "answer"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn recv(&self, u: &UdpSocket, cb: Callback<Datagram>) -> Cancel {
        self.recv_from(u, cb)
    }

    /// Sends one datagram to this address, whole or not at all. Succeeds with its length when the
    /// system has it; whether it arrives UDP does not tell. See sendmsg(2).
    ///
    /// It is sent at once, not at the turn's end as what is written to a stream. If the system has no
    /// room, it waits, and those behind it do, so that they go out in the order submitted.
    ///
    /// # Errors
    ///
    /// [`DatagramTooLong`](crate::Error::DatagramTooLong) if it is longer than the system sends in one piece;
    /// [`Overloaded`](crate::Error::Overloaded) behind more than [`Limits::queued`](crate::Limits::queued)
    /// bytes that wait; [`InvalidInput`](crate::Error::InvalidInput) for what is no address;
    /// [`Io`](crate::Error::Io) with what the system says, such as that there is no way to the address, or
    /// what an earlier one was answered with, see [`connect_udp`](Self::connect_udp);
    /// [`Closed`](crate::Error::Closed) if the socket was closed. Nothing was sent then, and the socket goes
    /// on. Where the system has no memory it is tried again, for two seconds.
    ///
    /// # Cancellation
    ///
    /// A send that waits for room leaves the queue: nothing of it was sent, and the others go on.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Error, Result};
    ///
    /// let engine = Engine::new()?;
    /// let socket = engine.bind_udp("127.0.0.1:0")?;
    /// let nobody = "127.0.0.1:9";
    /// engine.send_to(&socket, "hello", nobody, Callback::new(
    ///     |_, count| assert_eq!(count, 5),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// let too_long = vec![0; 65_508];
    /// engine.send_to(&socket, too_long, nobody, Callback::from_fn(|_, outcome: Result<usize>| {
    ///     assert!(matches!(outcome, Err(Error::DatagramTooLong { len: 65_508, .. })));
    /// }));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "sendto")]
    #[doc(alias = "sendmsg")]
    pub fn send_to(
        &self,
        u: &UdpSocket,
        bytes: impl Into<Bytes>,
        addr: impl IntoAddress,
        cb: Callback<usize>,
    ) -> Cancel {
        submit_send(u, bytes.into(), addr.into_address().and_then(checked).map(Some), cb)
    }

    /// Sends one datagram to the address that the socket is connected to.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to); [`Io`](crate::Error::Io) also if it is not connected.
    ///
    /// # Cancellation
    ///
    /// As [`send_to`](Self::send_to).
    ///
    /// See [`UdpSocket`] for an example.
    pub fn send(&self, u: &UdpSocket, bytes: impl Into<Bytes>, cb: Callback<usize>) -> Cancel {
        submit_send(u, bytes.into(), Ok(None), cb)
    }
}

/// What the system takes for an address.
fn checked(to: Address) -> Result<Address> {
    if to.as_inet().is_none() {
        address::to_system(&to)?;
    }
    Ok(to)
}

fn submit_send(
    socket: &UdpSocket,
    bytes: Bytes,
    to: Result<Option<Address>>,
    mut cb: Callback<usize>,
) -> Cancel {
    socket.observe(&mut cb, "send_to");
    let Callback { slot, timeout } = cb;
    // An engine that is gone drops it together with the callback.
    let bytes = Contained::new(bytes);
    submit_on_socket(socket, move |core, socket| {
        let bytes = bytes.into_inner();
        match to {
            Ok(to) => core.send_datagram(socket, Outgoing { slot, bytes, to }, timeout),
            Err(error) => {
                core.deferred_drops.bytes.push(bytes);
                core.fail(Id::NONE, slot, error);
                None
            }
        }
    })
}

/// Submits an operation to the engine that the socket belongs to.
fn submit_on_socket(
    socket: &UdpSocket,
    begin: impl FnOnce(&mut Core, Id) -> Option<Id> + Send + 'static,
) -> Cancel {
    let socket = socket.clone();
    let handle = socket.handle().clone();
    handle.submit(move |core| {
        let id = core.id_of_datagrams(&socket);
        begin(core, id)
    })
}
