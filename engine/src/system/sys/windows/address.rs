//! Addresses as the system writes them.

use socket2::SockAddr;

use crate::pure::{
    address::Address,
    error::{Error, Result},
};

/// The form that the system takes.
pub(crate) fn to_system(address: &Address) -> Result<SockAddr> {
    match address {
        Address::Inet(address) => Ok((*address).into()),
        _ => Err(Error::unsupported("Unix sockets, which this system does not have,")),
    }
}

/// What the system says of a socket's end; nothing for families that the engine does not know.
pub(crate) fn from_system(address: &SockAddr) -> Option<Address> {
    address.as_socket().map(Address::Inet)
}
