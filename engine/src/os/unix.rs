//! What only Unix has: descriptors, lent and taken.

use std::os::{
    fd::{AsFd, BorrowedFd},
    unix::net::SocketAddr,
};

use crate::{Address, Engine, File, Listener, Stream, UdpSocket};

/// Becomes readable when a turn would do something; see [`Engine::next_deadline`].
impl AsFd for Engine {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lend()
    }
}

/// Lends the descriptor, e.g. to set socket options. After the stream was closed the number leads to
/// the null device.
///
/// From then on the engine takes it that others may have a copy, as of what was
/// [attached](crate::Handle::attach), and receive by themselves, unless
/// [`set_exclusive`](Self::set_exclusive) says otherwise.
impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lend()
    }
}

/// Lends the descriptor, e.g. to set socket options. From then on the engine takes it that others
/// may accept from the socket, too, unless [`set_exclusive`](Self::set_exclusive) says otherwise.
impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lend()
    }
}

/// Lends the descriptor, e.g. to set socket options. From then on the engine takes it that others
/// may receive from the socket, too, unless [`set_exclusive`](Self::set_exclusive) says otherwise.
///
/// ```
/// use facade_engine::Engine;
/// use socket2::SockRef;
///
/// let engine = Engine::new()?;
/// let socket = engine.bind_udp("127.0.0.1:0")?;
/// SockRef::from(&socket).set_recv_buffer_size(1 << 20).unwrap();
/// socket.set_exclusive(true); // nobody has kept a copy
/// # Ok::<(), facade_engine::Error>(())
/// ```
impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lend()
    }
}

/// Lends the descriptor, e.g. for fstat(2). After the file was closed the number leads to the null
/// device.
impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor().lend_out()
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        if let Some(path) = address.as_pathname() {
            return Self::Unix(path.into());
        }
        #[cfg(target_os = "linux")]
        if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(&address) {
            return Self::UnixAbstract(name.into());
        }
        Self::UnixUnnamed
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn unnamed_peers_have_an_address() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(Address::from(one.peer_addr().unwrap()), Address::UnixUnnamed);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn abstract_names_come_from_std() {
        use std::os::linux::net::SocketAddrExt;
        let name = SocketAddr::from_abstract_name(b"a\0b").unwrap();
        let address = Address::from(name);
        assert_eq!(address, Address::UnixAbstract(b"a\0b".to_vec()));
        assert_eq!(address.to_string(), "@a\\x00b");
    }
}
