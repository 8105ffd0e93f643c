//! [`ListenOptions`], [`ConnectOptions`] and [`UdpOptions`]: what can be said of a socket before it
//! is used; and [`SocketOptions`], what the first two have in common. [`PtySize`]: of a terminal.

use std::{fmt, io, net::SocketAddr, time::Duration};

use crate::pure::error::{Error, IoOperation, Result};

/// What can be said of the connections of a listener and of one that is made here alike: a part of
/// [`ListenOptions`] and of [`ConnectOptions`], which have a method for each.
///
/// What a system cannot do fails with [`Unsupported`](Error::Unsupported) that names the option;
/// what it refuses with [`Io`](Error::Io) of the operation `setsockopt`.
///
/// ```
/// use facade_engine::{ConnectOptions, ListenOptions};
/// use std::time::Duration;
///
/// let (listening, connecting) = (ListenOptions::new(), ConnectOptions::new());
/// assert_eq!(listening.socket, connecting.socket);
/// let patient = connecting.keepalive(Duration::from_secs(60)).recv_buffer_size(1 << 20);
/// assert_eq!(patient.socket.recv_buffer_size, Some(1 << 20));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// Whether small pieces are sent at once: TCP_NODELAY of tcp(7). Yes by default, since what one
    /// turn writes is sent together anyway.
    #[doc(alias = "TCP_NODELAY")]
    pub nodelay: bool,
    /// Whether and when the system asks if a silent peer is still there. Never by default.
    #[doc(alias = "SO_KEEPALIVE")]
    pub keepalive: Option<Keepalive>,
    /// How many bytes the system keeps that were sent and not acknowledged: SO_SNDBUF of socket(7).
    /// Linux doubles it for what it needs itself, and cuts it down to
    /// `/proc/sys/net/core/wmem_max`; said at all, it is not adapted to the connection any more.
    #[doc(alias = "SO_SNDBUF")]
    pub send_buffer_size: Option<u32>,
    /// How many bytes the system keeps that came and were not received: SO_RCVBUF of socket(7). As
    /// with the other buffer, but `rmem_max`. What the engine has received and nobody has read is
    /// [`Limits::unread`](crate::Limits::unread)'s.
    #[doc(alias = "SO_RCVBUF")]
    pub recv_buffer_size: Option<u32>,
    /// The type of service that packets are marked with: IP_TOS of ip(7), and the traffic class of
    /// IPv6, IPV6_TCLASS of ipv6(7). The upper six bits are the DSCP of [RFC 2474].
    ///
    /// [RFC 2474]: https://www.rfc-editor.org/rfc/rfc2474
    #[doc(alias = "IP_TOS")]
    #[doc(alias = "IPV6_TCLASS")]
    #[doc(alias = "DSCP")]
    pub tos: Option<u8>,
    /// The network interface that is used and no other, such as `eth0`: SO_BINDTODEVICE of
    /// socket(7), which other systems than Linux do not have.
    #[doc(alias = "SO_BINDTODEVICE")]
    pub interface: Option<String>,
}

impl SocketOptions {
    const NEW: Self = Self {
        nodelay: true,
        keepalive: None,
        send_buffer_size: None,
        recv_buffer_size: None,
        tos: None,
        interface: None,
    };

    /// What the system is told of a TCP socket.
    pub(crate) fn of_tcp(&self) -> impl Iterator<Item = SocketOption<'_>> {
        let nodelay = self.nodelay.then_some(SocketOption::Nodelay(true));
        let keepalive =
            self.keepalive.as_ref().map(|silence| SocketOption::Keepalive(Some(silence)));
        let tos = self.tos.map(SocketOption::Tos);
        let interface = self.interface.as_deref().map(SocketOption::Interface);
        [nodelay, keepalive, tos, interface].into_iter().flatten().chain(self.of_unix())
    }

    /// What it is told of a Unix socket.
    pub(crate) fn of_unix(&self) -> impl Iterator<Item = SocketOption<'_>> {
        let send = self.send_buffer_size.map(SocketOption::SendBufferSize);
        let recv = self.recv_buffer_size.map(SocketOption::RecvBufferSize);
        [send, recv].into_iter().flatten()
    }

    fn check(&self) -> Result<()> {
        self.of_tcp().try_for_each(|option| option.check())
    }
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self::NEW
    }
}

/// When the system asks a peer that is silent whether it is still there, and when it gives up:
/// SO_KEEPALIVE of socket(7). A connection that is given up fails with `TimedOut` of the system.
///
/// A [`Duration`] is one, too: the [`idle`](Self::idle) time, with the rest as the system has it.
///
/// ```
/// use facade_engine::{ConnectOptions, Keepalive};
/// use std::time::Duration;
///
/// let (minute, ten) = (Duration::from_secs(60), Duration::from_secs(10));
/// // A peer that is gone is noticed after a minute and a half.
/// let keepalive = Keepalive::new(minute).interval(ten).count(3);
/// let options = ConnectOptions::new().keepalive(keepalive);
/// let by_the_system = ConnectOptions::new().keepalive(minute);
/// # assert_ne!(options, by_the_system);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keepalive {
    /// After how much silence it asks: TCP_KEEPIDLE of tcp(7), in whole seconds, rounded up, from
    /// one to 32,767, which are nine hours.
    #[doc(alias = "TCP_KEEPIDLE")]
    pub idle: Duration,
    /// How long it waits for an answer before it asks again: TCP_KEEPINTVL, bounded alike.
    #[doc(alias = "TCP_KEEPINTVL")]
    pub interval: Option<Duration>,
    /// How often it asks before it gives the connection up: TCP_KEEPCNT, from 1 to 127.
    #[doc(alias = "TCP_KEEPCNT")]
    pub count: Option<u32>,
}

impl Keepalive {
    /// Asks after so much silence.
    ///
    /// See [`Keepalive`] for an example.
    pub const fn new(idle: Duration) -> Self {
        Self { idle, interval: None, count: None }
    }

    /// Sets the [`interval`](Self#structfield.interval).
    #[must_use]
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Sets the [`count`](Self#structfield.count).
    #[must_use]
    pub const fn count(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    fn check(&self) -> Result<()> {
        for time in [Some(self.idle), self.interval].into_iter().flatten() {
            if time.is_zero() || time > KEEPALIVE_MAX {
                return Err(Error::invalid(format_args!(
                    "a keepalive of {time:?}: 1 to 32,767 seconds"
                )));
            }
        }
        match self.count {
            Some(count) if !(1..=KEEPALIVE_COUNT_MAX).contains(&count) => {
                Err(Error::invalid(format_args!("a keepalive of {count} questions: 1 to 127")))
            }
            _ => Ok(()),
        }
    }
}

impl From<Duration> for Keepalive {
    fn from(idle: Duration) -> Self {
        Self::new(idle)
    }
}

/// In seconds, as tcp(7) bounds it.
const KEEPALIVE_MAX: Duration = Duration::from_secs(32_767);

const KEEPALIVE_COUNT_MAX: u32 = 127;

/// IFNAMSIZ of netdevice(7), without the NUL.
const INTERFACE_MAX: usize = 15;

/// Something that the system is told of a socket.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SocketOption<'a> {
    Nodelay(bool),
    Keepalive(Option<&'a Keepalive>),
    SendBufferSize(u32),
    RecvBufferSize(u32),
    Tos(u8),
    Interface(&'a str),
}

impl SocketOption<'_> {
    /// Fails for what no system would take.
    pub(crate) fn check(&self) -> Result<()> {
        match *self {
            Self::Keepalive(Some(keepalive)) => keepalive.check(),
            Self::SendBufferSize(size) | Self::RecvBufferSize(size)
                if size == 0 || i32::try_from(size).is_err() =>
            {
                Err(Error::invalid(format_args!("{self} of {size} bytes: 1 to {}", i32::MAX)))
            }
            Self::Interface(name)
                if name.is_empty() || name.len() > INTERFACE_MAX || name.contains('\0') =>
            {
                Err(Error::invalid(format_args!("{name:?} is no name of a network interface")))
            }
            _ => Ok(()),
        }
    }

    /// Whether only TCP has it.
    pub(crate) const fn is_of_tcp(&self) -> bool {
        !matches!(self, Self::SendBufferSize(_) | Self::RecvBufferSize(_))
    }

    /// What it fails with if the system does not take it.
    pub(crate) fn failed(&self, of: impl fmt::Display, cause: io::Error) -> Error {
        match cause.kind() {
            io::ErrorKind::Unsupported => Error::unsupported(format_args!("{self} of {of}")),
            _ => Error::io_on(IoOperation::SetSockOpt, format_args!("{self} of {of}"), cause),
        }
    }
}

/// As the system calls it.
impl fmt::Display for SocketOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nodelay(_) => "TCP_NODELAY",
            Self::Keepalive(_) => "SO_KEEPALIVE",
            Self::SendBufferSize(_) => "SO_SNDBUF",
            Self::RecvBufferSize(_) => "SO_RCVBUF",
            Self::Tos(_) => "IP_TOS",
            Self::Interface(_) => "SO_BINDTODEVICE",
        })
    }
}

/// The methods that set what [`ListenOptions`] and [`ConnectOptions`] have in common.
macro_rules! socket_setters {
    () => {
        /// Sets [`nodelay`](SocketOptions::nodelay).
        #[must_use]
        pub const fn nodelay(mut self, nodelay: bool) -> Self {
            self.socket.nodelay = nodelay;
            self
        }

        /// Sets [`keepalive`](SocketOptions::keepalive): a [`Keepalive`], or after how much silence
        /// the system asks.
        #[must_use]
        pub fn keepalive(mut self, silence: impl Into<Keepalive>) -> Self {
            self.socket.keepalive = Some(silence.into());
            self
        }

        /// Sets [`send_buffer_size`](SocketOptions::send_buffer_size).
        #[must_use]
        pub const fn send_buffer_size(mut self, bytes: u32) -> Self {
            self.socket.send_buffer_size = Some(bytes);
            self
        }

        /// Sets [`recv_buffer_size`](SocketOptions::recv_buffer_size).
        #[must_use]
        pub const fn recv_buffer_size(mut self, bytes: u32) -> Self {
            self.socket.recv_buffer_size = Some(bytes);
            self
        }

        /// Sets [`tos`](SocketOptions::tos).
        #[must_use]
        pub const fn tos(mut self, tos: u8) -> Self {
            self.socket.tos = Some(tos);
            self
        }

        /// Sets the [`interface`](SocketOptions::interface).
        #[must_use]
        pub fn interface(mut self, name: impl Into<String>) -> Self {
            self.socket.interface = Some(name.into());
            self
        }
    };
}

/// How to listen, for [`listen_with`](crate::Handle::listen_with). The default is what
/// [`listen`](crate::Handle::listen) does.
///
/// The options of TCP mean nothing to a Unix socket, which leaves all aside but the backlog and the
/// sizes of buffers; so does a simulated network with all but `reuse_port`. What the connections of
/// a listener are to have, its [`socket`](Self#structfield.socket) options, is set on the listener,
/// from which the system hands it down to them.
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
    /// Whether an address can be had again while connections of a listener before it wait for their
    /// end (TIME_WAIT): SO_REUSEADDR of socket(7). Yes by default. On Windows it means nothing: there
    /// they are not in the way, and the option would let others take the address away.
    #[doc(alias = "SO_REUSEADDR")]
    pub reuse_address: bool,
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
    /// What its connections are to have.
    pub socket: SocketOptions,
}

impl ListenOptions {
    /// What [`listen`](crate::Handle::listen) does.
    ///
    /// See [`ListenOptions`] for an example.
    pub const fn new() -> Self {
        Self {
            reuse_address: true,
            reuse_port: false,
            backlog: 4096,
            dual_stack: None,
            socket: SocketOptions::NEW,
        }
    }

    /// Sets [`reuse_address`](Self#structfield.reuse_address).
    #[must_use]
    pub const fn reuse_address(mut self, reuse_address: bool) -> Self {
        self.reuse_address = reuse_address;
        self
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

    socket_setters!();

    pub(crate) fn check(&self) -> Result<()> {
        self.socket.check()
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
/// The options of TCP mean nothing to a Unix socket, which leaves all aside but the sizes of
/// buffers, and so does a simulated network; but to [`bind`](Self::bind) is refused there.
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
    /// What the connection is to have.
    pub socket: SocketOptions,
}

impl ConnectOptions {
    /// What [`connect`](crate::Handle::connect) does.
    ///
    /// See [`ConnectOptions`] for an example.
    pub const fn new() -> Self {
        Self { bind: None, socket: SocketOptions::NEW }
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

    socket_setters!();

    pub(crate) fn check(&self) -> Result<()> {
        self.socket.check()
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

/// How to copy, for [`copy_with`](crate::Handle::copy_with) and
/// [`copy_both_ways_with`](crate::Handle::copy_both_ways_with). The default is what
/// [`copy`](crate::Handle::copy) does.
///
/// See [`copy_with`](crate::Handle::copy_with) for an example.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyOptions {
    /// For how long nothing may happen before the copy fails with
    /// [`TimedOut`](Error::TimedOut): no byte taken from a stream, in either direction if there are
    /// two, and none taken by the system of what goes out. For ever by default.
    pub idle: Option<Duration>,
}

impl CopyOptions {
    /// What [`copy`](crate::Handle::copy) does.
    pub const fn new() -> Self {
        Self { idle: None }
    }

    /// Sets for how long nothing may happen, [`idle`](Self#structfield.idle).
    #[must_use]
    pub const fn idle(mut self, limit: Duration) -> Self {
        self.idle = Some(limit);
        self
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
