//! Sockets as the engine wants them: non-blocking, not inherited, without Nagle's delay.

use std::{
    io,
    net::SocketAddr,
    os::windows::io::{AsRawSocket, AsSocket, BorrowedSocket},
    path::Path,
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
        options::{ConnectOptions, ListenOptions, Sharing},
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
    let prepared = || -> io::Result<Socket> {
        let socket = tcp(*address, options.nodelay)?;
        keep_alive(&socket, options.keepalive)?;
        Ok(socket)
    };
    let socket = prepared().map_err(failed)?;
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
    let listening = || -> io::Result<Socket> {
        let socket = tcp(address, options.nodelay)?;
        keep_alive(&socket, options.keepalive)?;
        if let (SocketAddr::V6(_), Some(dual_stack)) = (address, options.dual_stack) {
            socket.set_only_v6(!dual_stack)?;
        }
        keep_for_oneself(&socket)?;
        socket.bind(&address.into())?;
        socket.listen(options.backlog.try_into().unwrap_or(i32::MAX))?;
        Ok(socket)
    };
    let socket = listening().map_err(|cause| Error::io_on(IoOperation::Listen, address, cause))?;
    Ok(socket.into())
}

/// Whether the system spreads datagrams over sockets that share an address.
pub(crate) const DATAGRAMS_ARE_SPREAD: bool = false;

/// Never asked for, see there.
pub(crate) fn share_address(_socket: &Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There are none.
pub(crate) fn listen_unix(_: &Path, _: &ListenOptions) -> Result<OwnedDescriptor> {
    Err(no_unix_sockets())
}

fn no_unix_sockets() -> Error {
    Error::unsupported("Unix sockets, which this system does not have,")
}

/// An address that this socket listens at is nobody else's, not even of one who says
/// SO_REUSEADDR, which lets others take an address away here. Waiting connections of a listener
/// before it are not in the way, as they are elsewhere without SO_REUSEADDR.
fn keep_for_oneself(socket: &Socket) -> io::Result<()> {
    set_option(socket.as_socket(), SO_EXCLUSIVEADDRUSE, 1)
}

/// Whether a socket listens.
pub(crate) fn is_listener(socket: &Socket) -> io::Result<bool> {
    Ok(option(socket.as_socket(), SO_ACCEPTCONN)? != 0)
}

/// Sets an option of sockets that no library has a name for.
#[expect(unsafe_code, reason = "an option that no library has a name for")]
fn set_option(socket: BorrowedSocket<'_>, name: i32, value: i32) -> io::Result<()> {
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

/// Has the system look after a connection that is silent.
fn keep_alive(socket: &Socket, silence: Option<Duration>) -> io::Result<()> {
    if let Some(silence) = silence {
        let seconds = silence.as_secs() + u64::from(silence.subsec_nanos() > 0);
        let silence = TcpKeepalive::new().with_time(Duration::from_secs(seconds));
        socket.set_tcp_keepalive(&silence)?;
    }
    Ok(())
}

fn tcp(address: SocketAddr, nodelay: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if nodelay {
        socket.set_tcp_nodelay(true)?;
    }
    Ok(socket)
}
