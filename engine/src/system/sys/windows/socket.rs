//! Sockets as the engine wants them: non-blocking, not inherited, without Nagle's delay.

use std::{
    fmt, io,
    net::SocketAddr,
    os::windows::io::{AsRawSocket, AsSocket, BorrowedSocket},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use windows_sys::Win32::Networking::WinSock::{
    SO_ACCEPTCONN, SO_EXCLUSIVEADDRUSE, SOCKET, SOL_SOCKET, getsockopt, setsockopt,
};

use crate::{
    pure::{
        address::Address,
        error::{Error, IoOperation, Result},
        options::{ConnectOptions, Keepalive, ListenOptions, Sharing, SocketOption},
    },
    system::sys::{
        errno::Errno,
        owned::{BorrowedDescriptor, OwnedDescriptor},
    },
};

/// Whether engines that listen at one address share one socket: nothing spreads connections over
/// several.
pub(crate) const ENGINES_SHARE_A_SOCKET: bool = true;

/// A socket to connect to this address with.
pub(crate) fn for_connecting(
    address: &Address,
    options: &ConnectOptions,
) -> Result<OwnedDescriptor> {
    let failed = |cause| Error::io_on(IoOperation::Connect, address, cause);
    let Address::Inet(address) = address else { return Err(no_unix_sockets()) };
    let socket = tcp(*address).map_err(failed)?;
    set_options(&socket, options.socket.of_tcp(), address)?;
    if let Some(local) = options.bind {
        let bound = socket.bind(&local.into());
        bound.map_err(|cause| Error::io_on(IoOperation::Bind, local, cause))?;
    }
    Ok(socket.into())
}

/// A TCP socket that listens. TCP_NODELAY is inherited by its connections.
pub(crate) fn listen_tcp(
    address: SocketAddr,
    sharing: Sharing,
    options: &ListenOptions,
    _behind_ring: bool,
) -> Result<OwnedDescriptor> {
    if sharing != Sharing::Nobody {
        return Err(Error::unsupported(
            "this system does not share out the connections of an address: several listeners at \
             one",
        ));
    }
    let failed = |cause| Error::io_on(IoOperation::Listen, address, cause);
    let socket = tcp(address).map_err(failed)?;
    set_options(&socket, options.socket.of_tcp(), address)?;
    let listening = || -> io::Result<()> {
        if let (SocketAddr::V6(_), Some(dual_stack)) = (address, options.dual_stack) {
            socket.set_only_v6(!dual_stack)?;
        }
        keep_for_oneself(&socket)?;
        socket.bind(&address.into())?;
        socket.listen(options.backlog.try_into().unwrap_or(i32::MAX))
    };
    listening().map_err(failed)?;
    Ok(socket.into())
}

/// Whether the system spreads datagrams over sockets that share an address.
pub(crate) const DATAGRAMS_ARE_SPREAD: bool = false;

/// Never asked for, see there.
pub(crate) fn share_address(_socket: &Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There are none.
pub(crate) fn listen_unix(_: &Address, _: &ListenOptions) -> Result<OwnedDescriptor> {
    Err(no_unix_sockets())
}

fn no_unix_sockets() -> Error {
    Error::unsupported("Unix sockets, which this system does not have,")
}

/// An address that this socket listens at is nobody else's, not even of one who says
/// SO_REUSEADDR, which lets others take an address away here. Waiting connections of a listener
/// before it are not in the way, as they are elsewhere without SO_REUSEADDR.
fn keep_for_oneself(socket: &Socket) -> io::Result<()> {
    set_number(socket.as_socket(), SO_EXCLUSIVEADDRUSE, 1)
}

/// Whether a socket listens.
pub(crate) fn is_listener(socket: &Socket) -> io::Result<bool> {
    Ok(option(socket.as_socket(), SO_ACCEPTCONN)? != 0)
}

/// Sets an option of sockets that no library has a name for.
#[expect(unsafe_code, reason = "an option that no library has a name for")]
fn set_number(socket: BorrowedSocket<'_>, name: i32, value: i32) -> io::Result<()> {
    let len = i32::try_from(size_of_val(&value)).expect("a few bytes");
    // SAFETY: the socket is open as long as it is borrowed, and `value` is as long as is said.
    let done =
        unsafe { setsockopt(number(socket), SOL_SOCKET, name, (&raw const value).cast(), len) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks for an option of sockets that no library has a name for.
#[expect(unsafe_code, reason = "an option that no library has a name for")]
fn option(socket: BorrowedSocket<'_>, name: i32) -> io::Result<i32> {
    let mut value: i32 = 0;
    let mut len = i32::try_from(size_of_val(&value)).expect("a few bytes");
    let to = (&raw mut value).cast();
    // SAFETY: the socket is open as long as it is borrowed, and `value` is as long as is said.
    let done = unsafe { getsockopt(number(socket), SOL_SOCKET, name, to, &raw mut len) };
    if done == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// A socket as Winsock's functions take it.
pub(crate) fn number(socket: BorrowedSocket<'_>) -> SOCKET {
    SOCKET::try_from(socket.as_raw_socket()).expect("as wide as a pointer")
}

/// Has what is sent go out at once, without Nagle's delay.
pub(crate) fn set_nodelay(fd: BorrowedDescriptor<'_>) -> io::Result<()> {
    match fd.socket() {
        Some(socket) => socket.set_tcp_nodelay(true),
        None => Err(Errno::NOTSOCK.into()),
    }
}

/// Sets options of a socket that is to have this address at one of its ends.
fn set_options<'a>(
    socket: &Socket,
    mut options: impl Iterator<Item = SocketOption<'a>>,
    address: impl fmt::Display,
) -> Result<()> {
    options.try_for_each(|option| {
        set_on(socket, &option).map_err(|cause| option.failed(&address, cause))
    })
}

/// Sets one option of a socket. One that this system does not have is `Unsupported`.
pub(crate) fn set_option(fd: BorrowedDescriptor<'_>, option: &SocketOption<'_>) -> io::Result<()> {
    set_on(&*fd.socket().ok_or(Errno::NOTSOCK)?, option)
}

fn set_on(socket: &Socket, option: &SocketOption<'_>) -> io::Result<()> {
    match *option {
        SocketOption::Nodelay(nodelay) => socket.set_tcp_nodelay(nodelay),
        SocketOption::Keepalive(None) => socket.set_keepalive(false),
        SocketOption::Keepalive(Some(keepalive)) => socket.set_tcp_keepalive(&to_system(keepalive)),
        SocketOption::SendBufferSize(size) => socket.set_send_buffer_size(size as usize),
        SocketOption::RecvBufferSize(size) => socket.set_recv_buffer_size(size as usize),
        // What packets are marked with anyway.
        SocketOption::Tos(0) => Ok(()),
        // IP_TOS is taken and left aside, and no name of an interface is known to sockets.
        SocketOption::Tos(_) | SocketOption::Interface(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Times are in whole seconds, as elsewhere, and none is shorter than was asked for.
fn to_system(keepalive: &Keepalive) -> TcpKeepalive {
    let seconds =
        |time: Duration| Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0));
    let mut system = TcpKeepalive::new().with_time(seconds(keepalive.idle));
    if let Some(interval) = keepalive.interval {
        system = system.with_interval(seconds(interval));
    }
    match keepalive.count {
        Some(count) => system.with_retries(count),
        None => system,
    }
}

fn tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
