//! Sockets of datagrams as the engine wants them: non-blocking, closed on exec.

use std::{io, path::Path};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{
    pure::{
        address::Address,
        error::{Error, IoOperation, Result},
        options::UdpOptions,
    },
    system::sys::{address, owned::OwnedDescriptor, socket},
};

/// A socket that is bound to this address.
pub(crate) fn bind(local: &Address, options: &UdpOptions) -> Result<OwnedDescriptor> {
    let address = address::to_system(local)?;
    if options.reuse_port && !socket::DATAGRAMS_ARE_SPREAD {
        return Err(Error::unsupported("SO_REUSEPORT: datagrams spread over several sockets"));
    }
    let bound = || {
        let socket = open(&address)?;
        if address.as_socket().is_some() {
            prepare(&socket, &address, options)?;
        }
        socket.bind(&address)?;
        Ok(socket)
    };
    let bound: io::Result<Socket> = bound();
    Ok(bound.map_err(|cause| Error::io_on(IoOperation::Bind, local, cause))?.into())
}

/// A socket that is connected to this address, and bound to whatever the system chooses.
pub(crate) fn connect(remote: &Address) -> Result<OwnedDescriptor> {
    let address = address::to_system(remote)?;
    let connected = || {
        let socket = open(&address)?;
        socket.connect(&address)?;
        Ok(socket)
    };
    let connected: io::Result<Socket> = connected();
    Ok(connected.map_err(|cause| Error::io_on(IoOperation::Connect, remote, cause))?.into())
}

/// A Unix socket without a name, which nobody can answer.
pub(crate) fn unbound_unix() -> Result<OwnedDescriptor> {
    // Tells where there are none.
    let address = address::to_system(&Address::from(Path::new("unused")))?;
    let failed = |cause| Error::io(IoOperation::Bind, cause);
    Ok(open(&address).map_err(failed)?.into())
}

fn open(address: &SockAddr) -> io::Result<Socket> {
    let protocol = address.as_socket().map(|_| Protocol::UDP);
    let socket = Socket::new(Domain::from(i32::from(address.family())), Type::DGRAM, protocol)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn prepare(socket: &Socket, address: &SockAddr, options: &UdpOptions) -> io::Result<()> {
    let v6 = address.is_ipv6();
    if let (true, Some(dual_stack)) = (v6, options.dual_stack) {
        socket.set_only_v6(!dual_stack)?;
    }
    if options.reuse_address {
        socket.set_reuse_address(true)?;
    }
    if options.reuse_port {
        socket::share_address(socket)?;
    }
    if options.broadcast {
        socket.set_broadcast(true)?;
    }
    match options.ttl.map(u32::from) {
        None => Ok(()),
        Some(ttl) if v6 => {
            socket.set_unicast_hops_v6(ttl)?;
            socket.set_multicast_hops_v6(ttl)
        }
        Some(ttl) => {
            socket.set_ttl_v4(ttl)?;
            socket.set_multicast_ttl_v4(ttl)
        }
    }
}
