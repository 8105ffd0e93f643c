//! [`ListenOptions`], [`ConnectOptions`] and [`UdpOptions`]: what can be said of a socket before it
//! is used. [`PtySize`]: of a terminal.

use std::{net::SocketAddr, time::Duration};

use crate::pure::error::{Error, Result};

/// How to listen, for [`listen_with`](crate::Handle::listen_with). The default is what
/// [`listen`](crate::Handle::listen) does.
///
/// The options of TCP mean nothing to a Unix socket, which leaves them aside; so does a
/// simulated network with all but `reuse_port`. What the connections of a
/// listener are to have is set on the listener, from which the system hands it down to them.
///
/// ```
/// use facade_engine::{Engine, ListenOptions};
/// use std::time::Duration;
///
/// let engine = Engine::new()?;
/// let options = ListenOptions::new().backlog(16).keepalive(Duration::from_secs(60));
/// let listener = engine.listen_with("127.0.0.1:0", &options)?;
/// assert_ne!(listener.local_addr()?.port(), 0);
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenOptions {
    /// Whether others that say so, too, may listen at the same address, and the system spreads the
    /// connections over them: SO_REUSEPORT of socket(7). No by default. FreeBSD spreads them by
    /// SO_REUSEPORT_LB, which is what is set there; macOS shares the address and does not spread
    /// them, so that one of the listeners gets them all.
    #[doc(alias = "SO_REUSEPORT")]
    pub reuse_port: bool,
    /// How many connections the system keeps waiting, see listen(2). 4,096 by default; Linux cuts
    /// it down to `/proc/sys/net/core/somaxconn`, FreeBSD to `kern.ipc.soacceptqueue` and macOS to
    /// `kern.ipc.somaxconn`, which are 128.
    pub backlog: u32,
    /// Whether a socket that listens at an IPv6 address such as `[::]` takes IPv4 connections, too:
    /// the opposite of IPV6_V6ONLY of ipv6(7). What the system does by default, which on Linux
    /// and macOS is yes, and on FreeBSD no. At an IPv4 address it means nothing.
    #[doc(alias = "IPV6_V6ONLY")]
    pub dual_stack: Option<bool>,
    /// Whether connections send small pieces at once: TCP_NODELAY of tcp(7). Yes by default, since
    /// what one turn writes is sent together anyway.
    #[doc(alias = "TCP_NODELAY")]
    pub nodelay: bool,
    /// After how much silence the system asks whether the other end of a connection is still there:
    /// SO_KEEPALIVE and TCP_KEEPIDLE of tcp(7), in whole seconds, rounded up. Never by default.
    #[doc(alias = "SO_KEEPALIVE")]
    pub keepalive: Option<Duration>,
}

impl ListenOptions {
    /// What [`listen`](crate::Handle::listen) does.
    ///
    /// See [`ListenOptions`] for an example.
    pub const fn new() -> Self {
        Self { reuse_port: false, backlog: 4096, dual_stack: None, nodelay: true, keepalive: None }
    }

    /// Sets [`reuse_port`](Self#structfield.reuse_port), so that several engines, one a thread, or
    /// several processes can share an address. All that do say so, the first one included.
    /// [`Engines::listen`](crate::Engines::listen) does it for engines on threads of their own.
    ///
    /// ```
    /// use facade_engine::{Engine, ListenOptions};
    ///
    /// let (one, other) = (Engine::new()?, Engine::new()?);
    /// let shared = ListenOptions::new().reuse_port(true);
    /// let listener = one.listen_with("127.0.0.1:0", &shared)?;
    /// let same = other.listen_with(listener.local_addr()?, &shared)?;
    /// assert_eq!(same.local_addr()?, listener.local_addr()?);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[must_use]
    pub const fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.reuse_port = reuse_port;
        self
    }

    /// Sets the [`backlog`](Self#structfield.backlog).
    #[must_use]
    pub const fn backlog(mut self, backlog: u32) -> Self {
        self.backlog = backlog;
        self
    }

    /// Sets [`dual_stack`](Self#structfield.dual_stack).
    ///
    /// ```
    /// use facade_engine::{Engine, ListenOptions};
    /// use std::net::Ipv4Addr;
    ///
    /// let engine = Engine::new()?;
    /// // A listener for each family, at one port.
    /// let v6 = engine.listen_with("[::]:0", &ListenOptions::new().dual_stack(false))?;
    /// let v4 = engine.listen((Ipv4Addr::UNSPECIFIED, v6.local_addr()?.port()))?;
    /// # drop(v4);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[must_use]
    pub const fn dual_stack(mut self, dual_stack: bool) -> Self {
        self.dual_stack = Some(dual_stack);
        self
    }

    /// Sets [`nodelay`](Self#structfield.nodelay).
    #[must_use]
    pub const fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Sets [`keepalive`](Self#structfield.keepalive): from one second to 32,767, which are nine
    /// hours.
    #[must_use]
    pub const fn keepalive(mut self, silence: Duration) -> Self {
        self.keepalive = Some(silence);
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_keepalive(self.keepalive)
    }
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// How to connect, for [`connect_with`](crate::Handle::connect_with). The default is what
/// [`connect`](crate::Handle::connect) does.
///
/// The options of TCP mean nothing to a Unix socket, which leaves them aside, and so does a
/// simulated network; but to [`bind`](Self::bind) is refused there.
///
/// ```
/// use facade_engine::{Callback, ConnectOptions, Engine, Stream};
/// use std::{net::TcpListener, time::Duration};
///
/// let engine = Engine::new()?;
/// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
/// let address = listener.local_addr().unwrap();
/// let options = ConnectOptions::new().nodelay(false).keepalive(Duration::from_secs(60));
/// engine.connect_with(address, options, Callback::new(
///     move |_, stream: Stream| assert_eq!(stream.peer_addr().unwrap(), address),
///     |_, error| panic!("{error}"),
/// ));
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// The address of this end, and its port unless that is 0: see bind(2). By default the system
    /// chooses both.
    pub bind: Option<SocketAddr>,
    /// Whether small pieces are sent at once: TCP_NODELAY of tcp(7). Yes by default, since what one
    /// turn writes is sent together anyway.
    #[doc(alias = "TCP_NODELAY")]
    pub nodelay: bool,
    /// After how much silence the system asks whether the other end is still there: SO_KEEPALIVE
    /// and TCP_KEEPIDLE of tcp(7), in whole seconds, rounded up. Never by default.
    #[doc(alias = "SO_KEEPALIVE")]
    pub keepalive: Option<Duration>,
}

impl ConnectOptions {
    /// What [`connect`](crate::Handle::connect) does.
    ///
    /// See [`ConnectOptions`] for an example.
    pub const fn new() -> Self {
        Self { bind: None, nodelay: true, keepalive: None }
    }

    /// Sets the address of this end, with SO_REUSEADDR: one that an earlier connection has just had
    /// can be had again.
    ///
    /// ```
    /// use facade_engine::{Callback, ConnectOptions, Engine, Stream};
    /// use std::net::{Ipv4Addr, SocketAddr, TcpListener};
    ///
    /// let engine = Engine::new()?;
    /// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    /// let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
    /// let options = ConnectOptions::new().bind(from);
    /// engine.connect_with(listener.local_addr().unwrap(), options, Callback::new(
    ///     move |_, stream: Stream| assert_eq!(stream.local_addr().unwrap().ip(), from.ip()),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// # #[cfg(target_os = "linux")]
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[must_use]
    pub const fn bind(mut self, local: SocketAddr) -> Self {
        self.bind = Some(local);
        self
    }

    /// Sets [`nodelay`](Self#structfield.nodelay).
    #[must_use]
    pub const fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Sets [`keepalive`](Self#structfield.keepalive): from one second to 32,767, which are nine
    /// hours.
    #[must_use]
    pub const fn keepalive(mut self, silence: Duration) -> Self {
        self.keepalive = Some(silence);
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_keepalive(self.keepalive)
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What a socket of datagrams is to have, for [`bind_udp_with`](crate::Handle::bind_udp_with). The
/// default is what [`bind_udp`](crate::Handle::bind_udp) does.
///
/// A simulated network leaves them aside, but for `reuse_port`, which is refused there. What has no
/// method here is set on the descriptor that the socket lends (`as_fd`, on Windows `as_socket`), by
/// the crate `socket2` or another, see [`UdpSocket`](crate::UdpSocket).
///
/// ```
/// use facade_engine::{Engine, UdpOptions};
///
/// let engine = Engine::new()?;
/// // For several programs of one machine that all hear one multicast group.
/// let options = UdpOptions::new().reuse_address(true).ttl(1);
/// let socket = engine.bind_udp_with("0.0.0.0:0", &options)?;
/// assert_ne!(socket.local_addr()?.port(), 0);
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct UdpOptions {
    /// Whether others that say so, too, may have the same address: SO_REUSEADDR of socket(7). No by
    /// default, since of those who share one all get what is sent to a multicast group, but only
    /// one, the last as a rule, what is sent to the address.
    #[doc(alias = "SO_REUSEADDR")]
    pub reuse_address: bool,
    /// Whether others that say so, too, may have the same address, and the system spreads datagrams
    /// over them by their senders: SO_REUSEPORT of socket(7), on FreeBSD SO_REUSEPORT_LB. No by
    /// default; [`Unsupported`](crate::Error::Unsupported) on Windows.
    #[doc(alias = "SO_REUSEPORT")]
    pub reuse_port: bool,
    /// Whether a socket at an IPv6 address such as `[::]` receives from IPv4 senders, too, and may
    /// send to them at mapped addresses (`[::ffff:192.0.2.1]:53`): the opposite of IPV6_V6ONLY of
    /// ipv6(7). What the system does by default, which on Linux and macOS is yes, on FreeBSD and
    /// Windows no. At an IPv4 address it means nothing.
    #[doc(alias = "IPV6_V6ONLY")]
    pub dual_stack: Option<bool>,
    /// Whether it may send to broadcast addresses: SO_BROADCAST of socket(7). No by default.
    #[doc(alias = "SO_BROADCAST")]
    pub broadcast: bool,
    /// How many routers what is sent may pass, multicast included: IP_TTL and IP_MULTICAST_TTL of
    /// ip(7), their namesakes of ipv6(7). What the system does by default, 64 and for multicast 1 as
    /// a rule.
    #[doc(alias = "IP_TTL")]
    pub ttl: Option<u8>,
}

impl UdpOptions {
    /// What [`bind_udp`](crate::Handle::bind_udp) does.
    ///
    /// See [`UdpOptions`] for an example.
    pub const fn new() -> Self {
        Self {
            reuse_address: false,
            reuse_port: false,
            dual_stack: None,
            broadcast: false,
            ttl: None,
        }
    }

    /// Sets [`reuse_address`](Self#structfield.reuse_address).
    #[must_use]
    pub const fn reuse_address(mut self, reuse_address: bool) -> Self {
        self.reuse_address = reuse_address;
        self
    }

    /// Sets [`reuse_port`](Self#structfield.reuse_port), so that several engines, one a thread, can
    /// serve one address. All that do say so, the first one included.
    #[must_use]
    pub const fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.reuse_port = reuse_port;
        self
    }

    /// Sets [`dual_stack`](Self#structfield.dual_stack).
    #[must_use]
    pub const fn dual_stack(mut self, dual_stack: bool) -> Self {
        self.dual_stack = Some(dual_stack);
        self
    }

    /// Sets [`broadcast`](Self#structfield.broadcast).
    #[must_use]
    pub const fn broadcast(mut self, broadcast: bool) -> Self {
        self.broadcast = broadcast;
        self
    }

    /// Sets the [`ttl`](Self#structfield.ttl).
    #[must_use]
    pub const fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

/// In seconds, as tcp(7) bounds it.
const KEEPALIVE_MAX: Duration = Duration::from_secs(32_767);

fn check_keepalive(keepalive: Option<Duration>) -> Result<()> {
    match keepalive {
        Some(silence) if silence.is_zero() || silence > KEEPALIVE_MAX => {
            Err(Error::invalid(format_args!("a keepalive of {silence:?}: 1 to 32,767 seconds")))
        }
        _ => Ok(()),
    }
}

/// Who else may listen at the address of a TCP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Nobody.
    Nobody,
    /// Nobody may already; from now on others that share it may.
    First,
    /// Others that share it, now and later.
    Others,
}

/// How large a terminal is, for [`spawn_pty`](crate::Handle::spawn_pty) and
/// [`resize`](crate::Handle::resize): `ws_row` and the others of ioctl_tty(2). By default 24 rows
/// of 80 columns.
///
/// ```
/// use facade_engine::PtySize;
///
/// let size = PtySize { cols: 132, ..PtySize::default() };
/// assert_eq!((size.rows, size.cols), (24, 132));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PtySize {
    /// How many lines of text.
    pub rows: u16,
    /// How many characters in each.
    pub cols: u16,
    /// How many pixels it is wide; zero, as by default, says nothing of that.
    pub pixel_width: u16,
    /// How many pixels it is high.
    pub pixel_height: u16,
}

impl Default for PtySize {
    fn default() -> Self {
        Self { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 }
    }
}
