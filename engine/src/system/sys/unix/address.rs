//! Addresses as the system writes them, unix(7).

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use socket2::SockAddr;

use crate::pure::{
    address::Address,
    error::{Error, Result},
};

/// The form that the system takes.
pub(crate) fn to_system(address: &Address) -> Result<SockAddr> {
    match address {
        Address::Inet(address) => Ok((*address).into()),
        Address::Unix(path) => {
            let bytes = path.as_os_str().as_bytes();
            if bytes.is_empty() || bytes.contains(&0) {
                return Err(Error::invalid(format_args!("the socket path {path:?}")));
            }
            SockAddr::unix(path)
                .map_err(|cause| Error::invalid(format_args!("{}: {cause}", path.display())))
        }
        Address::UnixAbstract(name) if cfg!(target_os = "linux") => {
            let path: Vec<u8> = [0].iter().chain(name).copied().collect();
            SockAddr::unix(OsStr::from_bytes(&path))
                .map_err(|cause| Error::invalid(format_args!("{address}: {cause}")))
        }
        Address::UnixAbstract(_) => Err(Error::unsupported("an abstract socket name")),
        Address::UnixUnnamed => Err(Error::invalid("a Unix socket without a name as an address")),
    }
}

/// What the system says of a socket's end; nothing for families that the engine does not know.
pub(crate) fn from_system(address: &SockAddr) -> Option<Address> {
    if let Some(inet) = address.as_socket() {
        return Some(Address::Inet(inet));
    }
    if !address.is_unix() {
        return None;
    }
    if address.is_unnamed() {
        return Some(Address::UnixUnnamed);
    }
    if let Some(path) = address.as_pathname() {
        return Some(Address::Unix(path.into()));
    }
    #[cfg(target_os = "linux")]
    if let Some(name) = address.as_abstract_namespace() {
        return Some(Address::UnixAbstract(name.into()));
    }
    Some(Address::UnixUnnamed)
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, Ipv6Addr, SocketAddrV6},
        os::unix::net::UnixStream,
        path::{Path, PathBuf},
    };

    use super::*;

    #[test]
    fn addresses_come_back_from_the_system_as_they_went() {
        let zoned = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 7, 9);
        let long = "x".repeat(100);
        let mut addresses: Vec<Address> = vec![
            (Ipv4Addr::LOCALHOST, 80).into(),
            zoned.into(),
            Path::new("/run/x").into(),
            PathBuf::from(long).into(),
        ];
        if cfg!(target_os = "linux") {
            addresses.push(Address::UnixAbstract(b"a\0b".to_vec()));
        }
        for address in addresses {
            let system = to_system(&address).unwrap();
            assert_eq!(from_system(&system), Some(address));
        }
    }

    #[test]
    fn paths_that_the_system_would_cut_are_refused() {
        for path in ["", "a\0b", &"x".repeat(108)] {
            let address = Address::from(Path::new(path));
            assert!(matches!(to_system(&address), Err(Error::InvalidInput { .. })), "{path:?}");
        }
        assert!(to_system(&Address::UnixUnnamed).is_err());
    }

    #[test]
    fn unnamed_peers_have_an_address() {
        let (one, _other) = UnixStream::pair().unwrap();
        let system = socket2::SockRef::from(&one).peer_addr().unwrap();
        assert_eq!(from_system(&system), Some(Address::UnixUnnamed));
    }
}
