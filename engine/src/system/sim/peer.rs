//! [`Peer`] and [`PeerListener`]: the other ends, in the hands of a test.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use crate::{
    pure::{address::Address, options::Sharing, table::Id},
    system::{
        driver::Release,
        sim::{
            Host, Network,
            socket::Socket,
            state::{Attempt, NetworkState, Owner, Received},
        },
        sys::errno::Errno,
    },
};

/// The other end of a connection, in the hands of a test: a script reads and writes it as it would
/// a blocking [`TcpStream`](std::net::TcpStream).
///
/// A read that finds nothing lets the network's time pass until something arrives. If nothing is on
/// its way it fails with [`Deadlock`](io::ErrorKind::Deadlock), where a real socket would wait for
/// ever: engines run only when they are told to. The same holds for a write that finds no room.
///
/// Clones made by [`try_clone`](Self::try_clone) are the same end, which closes with the last one:
/// by an end of stream, or by a reset if something is unread, as with TCP.
///
/// ```
/// use facade_engine::{Callback, Engine, sim::{Network, Peer}};
/// use std::io::{Read, Write};
///
/// let network = Network::new(1);
/// let engine = Engine::builder().simulated(&network.host("here")).build()?;
/// let (mut peer, stream) = Peer::pair(&engine)?;
/// peer.write_all(b"hello\n").unwrap();
/// engine.read_line(&stream, Callback::new(
///     |_, line| assert_eq!(line, "hello"),
///     |_, error| panic!("{error}"),
/// ));
/// engine.write(&stream, "welcome", Callback::ignore());
/// engine.run()?;
/// let mut answer = [0; 7];
/// peer.read_exact(&mut answer).unwrap();
/// assert_eq!(&answer, b"welcome");
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct Peer {
    end: Arc<End>,
}

#[derive(Debug)]
struct End {
    network: Network,
    socket: Socket,
    nonblocking: AtomicBool,
}

impl Peer {
    pub(crate) fn new(network: Network, id: Id) -> Self {
        let socket = Socket::new(network.clone(), id);
        let nonblocking = AtomicBool::new(false);
        Self { end: Arc::new(End { network, socket, nonblocking }) }
    }

    pub(crate) fn id(&self) -> Id {
        self.end.socket.id()
    }

    /// One more hold of the same end.
    ///
    /// # Errors
    ///
    /// None; a `Result` as std's sockets have it.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { end: Arc::clone(&self.end) })
    }

    /// Whether a read or write that would wait fails with [`WouldBlock`](io::ErrorKind::WouldBlock)
    /// instead, at once and without time passing.
    ///
    /// # Errors
    ///
    /// None; a `Result` as std's sockets have it.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.end.nonblocking.store(nonblocking, Relaxed);
        Ok(())
    }

    /// Ends the direction to the engine; the other one goes on.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported) for [`Shutdown::Read`] alone, which no network
    /// carries.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how == Shutdown::Read {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(self.with(|state, id| state.shut(id))?)
    }

    /// Ends the connection by a reset instead of an end of stream.
    pub fn reset(self) {
        self.with(|state, id| state.close(id, Release::Reset));
    }

    /// Fills the way to this peer, so that the engine's writes find no room until it reads. Returns
    /// how many bytes, zero each, come before what they write.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Error, sim::{Network, Peer}};
    /// use std::time::Duration;
    ///
    /// let network = Network::new(1);
    /// let engine = Engine::builder().simulated(&network.host("here")).build()?;
    /// let (peer, stream) = Peer::pair(&engine)?;
    /// peer.fill();
    /// engine.write(&stream, "never", Callback::ignore());
    /// let again = stream.clone();
    /// engine.flush(&stream, Callback::from_fn(move |engine, outcome| {
    ///     assert!(matches!(outcome, Err(Error::TimedOut)));
    ///     engine.abort(&again);
    /// }).timeout(Duration::from_secs(60)));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn fill(&self) -> usize {
        self.with(NetworkState::fill)
    }

    /// How many bytes have arrived by now and were not read.
    pub fn arrived(&self) -> usize {
        self.with(|state, id| {
            state.advance(state.now);
            state.arrived_len(id)
        })
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported) for a Unix socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(self.with(|state, id| state.local_address(id)))
    }

    /// The address of the engine's end.
    ///
    /// # Errors
    ///
    /// As [`local_addr`](Self::local_addr), and if the connection was reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet(self.with(|state, id| state.remote_address(id)))
    }

    fn with<R>(&self, f: impl FnOnce(&mut NetworkState, Id) -> R) -> R {
        let mut state = self.end.network.lock();
        let result = f(&mut state, self.id());
        if state.threads {
            state.ring();
        }
        result
    }

    /// Tries until it is done, and lets time pass meanwhile.
    fn wait_for<R>(
        &self,
        attempt: impl FnMut(&mut NetworkState, Id) -> Attempt<R>,
    ) -> io::Result<R> {
        wait_for(&self.end.network, self.id(), self.end.nonblocking.load(Relaxed), attempt)
    }
}

fn wait_for<R>(
    network: &Network,
    id: Id,
    nonblocking: bool,
    mut attempt: impl FnMut(&mut NetworkState, Id) -> Attempt<R>,
) -> io::Result<R> {
    let mut state = network.lock();
    loop {
        let now = state.now;
        state.advance(now);
        match attempt(&mut state, id) {
            Attempt::Done(result) => {
                if state.threads {
                    state.ring();
                }
                return Ok(result);
            }
            Attempt::WouldBlock { .. } if nonblocking => {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Attempt::WouldBlock { coming } => match state.next_event().filter(|_| coming) {
                Some(next) => state.advance(next),
                None if state.threads => state.wait(),
                None => return Err(io::Error::new(io::ErrorKind::Deadlock, NOTHING_TO_COME)),
            },
        }
    }
}

const NOTHING_TO_COME: &str = "nothing is on its way in the simulated network that this peer could \
    wait for: run the engine first";

impl Read for &Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.wait_for(|state, id| state.receive(id, buffer.len()))? {
            Received::Bytes(bytes) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            Received::End => Ok(0),
            Received::Failed(error) => Err(error.into()),
        }
    }
}

impl Write for &Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.wait_for(|state, id| match state.room(id) {
            Attempt::Done(Ok(room)) => {
                let count = room.min(bytes.len());
                state.send(id, &bytes[..count]);
                Attempt::Done(Ok(count))
            }
            other => other,
        })?;
        Ok(room?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A listener in the hands of a test. From [`Host::listen`].
///
/// ```
/// use facade_engine::{Callback, Engine, sim::Network};
/// use std::io::Read;
///
/// let network = Network::new(1);
/// let (here, there) = (network.host("here"), network.host("there"));
/// let listener = there.listen(25).unwrap();
/// let engine = Engine::builder().simulated(&here).build()?;
/// engine.chain()
///     .connect(listener.local_addr().unwrap(), Callback::ignore())
///     .write_line("EHLO", Callback::ignore())
///     .submit();
/// engine.run()?;
/// let (mut peer, _) = listener.accept().unwrap();
/// let mut line = [0; 6];
/// peer.read_exact(&mut line).unwrap();
/// assert_eq!(&line, b"EHLO\r\n");
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct PeerListener {
    network: Network,
    socket: Socket,
}

impl PeerListener {
    /// Takes the next connection, and says where it comes from. Time passes until there is one.
    ///
    /// # Errors
    ///
    /// [`Deadlock`](io::ErrorKind::Deadlock) if none is on its way.
    pub fn accept(&self) -> io::Result<(Peer, SocketAddr)> {
        let id = wait_for(&self.network, self.socket.id(), false, NetworkState::accept)??;
        let from = inet(self.network.lock().remote_address(id));
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Ok((Peer::new(self.network.clone(), id), from.unwrap_or(nobody)))
    }

    /// The address that it listens at.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported) for a Unix socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(self.network.lock().local_address(self.socket.id()))
    }
}

/// A socket of datagrams in the hands of a test, which uses it as it would a
/// [`UdpSocket`](std::net::UdpSocket) of std's. From [`Host::bind_udp`].
///
/// A receive that finds nothing lets the network's time pass until a datagram arrives. If none is
/// on its way it fails with [`Deadlock`](io::ErrorKind::Deadlock).
///
/// ```
/// use facade_engine::{Callback, Datagram, Engine, sim::{Link, Network}};
/// use std::time::Duration;
///
/// let network = Network::new(1);
/// let (here, there) = (network.host("here"), network.host("there"));
/// let latency = Duration::from_millis(1)..Duration::from_millis(90);
/// network.set_link(&here, &there, Link { latency, duplicate: 1.0, ..Link::default() });
/// let engine = Engine::builder().simulated(&here).build()?;
/// let socket = engine.bind_udp(here.at(53))?;
/// let peer = there.bind_udp(0).unwrap();
/// peer.send_to(b"ping", here.at(53)).unwrap();
/// for _ in 0..2 {
///     engine.recv_from(&socket, Callback::new(
///         |_, datagram: Datagram| assert_eq!(datagram.bytes, "ping"),
///         |_, error| panic!("{error}"),
///     ));
/// }
/// engine.send_to(&socket, "pong", peer.local_addr().unwrap(), Callback::ignore());
/// engine.run()?;
/// let mut answer = [0; 9];
/// assert_eq!(peer.recv_from(&mut answer).unwrap(), (4, here.at(53)));
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct PeerSocket {
    network: Network,
    socket: Socket,
    nonblocking: AtomicBool,
}

impl PeerSocket {
    /// Sends a datagram, and returns its length.
    ///
    /// # Errors
    ///
    /// What the network says: unreachable, too long.
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        let mut state = self.network.lock();
        state.send_datagram(self.socket.id(), bytes, Some(to))?;
        if state.threads {
            state.ring();
        }
        Ok(bytes.len())
    }

    /// Receives the next datagram, as much of it as there is room for, and says who sent it.
    ///
    /// # Errors
    ///
    /// [`Deadlock`](io::ErrorKind::Deadlock) if none is on its way,
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if none is there and it may not wait.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let nonblocking = self.nonblocking.load(Relaxed);
        let most = buffer.len();
        let receive = |state: &mut NetworkState, id| state.receive_datagram(id, most);
        let datagram = wait_for(&self.network, self.socket.id(), nonblocking, receive)??;
        buffer[..datagram.bytes.len()].copy_from_slice(&datagram.bytes);
        Ok((datagram.bytes.len(), inet(Some(datagram.from))?))
    }

    /// Whether a receive that would wait fails with [`WouldBlock`](io::ErrorKind::WouldBlock)
    /// instead, at once and without time passing.
    ///
    /// # Errors
    ///
    /// None; a `Result` as std's sockets have it.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.nonblocking.store(nonblocking, Relaxed);
        Ok(())
    }

    /// The address that it receives at.
    ///
    /// # Errors
    ///
    /// None; a `Result` as std's sockets have it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(self.network.lock().local_address(self.socket.id()))
    }
}

impl Host {
    /// Receives datagrams at a port of this host, for a test; port 0 stands for one that is free.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse).
    ///
    /// See [`PeerSocket`] for an example.
    pub fn bind_udp(&self, port: u16) -> io::Result<PeerSocket> {
        self.bind_udp_at(self.at(port))
    }

    /// Receives at an address of this host, such as that of its loopback.
    ///
    /// # Errors
    ///
    /// As [`bind_udp`](Self::bind_udp), and if there is no such address.
    pub fn bind_udp_at(&self, address: SocketAddr) -> io::Result<PeerSocket> {
        let network = self.network.clone();
        let id = network.lock().bind_datagrams(self.number, Owner::Peer, address)?;
        let socket = Socket::new(network.clone(), id);
        Ok(PeerSocket { network, socket, nonblocking: AtomicBool::new(false) })
    }

    /// Listens on this host for a test; port 0 stands for one that is free.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse).
    ///
    /// See [`PeerListener`] for an example.
    pub fn listen(&self, port: u16) -> io::Result<PeerListener> {
        self.listen_at(self.at(port))
    }

    /// Listens at an address of this host, such as that of its loopback.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen), and if there is no such address.
    pub fn listen_at(&self, address: SocketAddr) -> io::Result<PeerListener> {
        let network = self.network.clone();
        let id = network.lock().open(self.number, Owner::Peer, true)?;
        let socket = Socket::new(network.clone(), id);
        network.lock().listen(id, address, Sharing::Nobody)?;
        Ok(PeerListener { network, socket })
    }

    /// Listens on this host for connects to a Unix socket, for a test.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if the path was used before and not
    /// [unlinked](Self::unlink).
    pub fn listen_unix(&self, path: impl AsRef<Path>) -> io::Result<PeerListener> {
        let network = self.network.clone();
        let id = network.lock().open(self.number, Owner::Peer, false)?;
        let socket = Socket::new(network.clone(), id);
        network.lock().listen_unix(id, path.as_ref())?;
        Ok(PeerListener { network, socket })
    }

    /// Connects from this host to an address of the network, for a test. Time passes until the
    /// connection is there; whoever listens need not have accepted it.
    ///
    /// # Errors
    ///
    /// What the network says: refused, unreachable, timed out.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, sim::Network};
    /// use std::io::Write;
    ///
    /// let network = Network::new(1);
    /// let (here, there) = (network.host("here"), network.host("there"));
    /// let engine = Engine::builder().simulated(&here).build()?;
    /// let listener = engine.listen(here.at(7))?;
    /// let mut peer = there.connect(here.at(7)).unwrap();
    /// peer.write_all(b"hello\n").unwrap();
    /// engine.chain()
    ///     .accept(&listener, Callback::ignore())
    ///     .expect_line("hello", Callback::new(|_, _| (), |_, error| panic!("{error}")))
    ///     .submit();
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn connect(&self, address: impl Into<Address>) -> io::Result<Peer> {
        let (network, address) = (self.network.clone(), address.into());
        let tcp = matches!(address, Address::Inet(_));
        let id = network.lock().open(self.number, Owner::Peer, tcp)?;
        let peer = Peer::new(network.clone(), id);
        network.lock().connect(id, &address)?;
        wait_for(&network, id, false, |state, id| state.connected(id))??;
        Ok(peer)
    }
}

fn inet(address: Option<Address>) -> io::Result<SocketAddr> {
    match address {
        Some(address) => address.as_inet().ok_or_else(|| io::ErrorKind::Unsupported.into()),
        None => Err(Errno::NOTCONN.into()),
    }
}
