//! What only Unix has: descriptors, lent and taken, and who is at the other end of a Unix socket.

use std::os::{
    fd::{AsFd, BorrowedFd},
    unix::net::SocketAddr,
};

use crate::{
    Address, Engine, Error, File, IoOperation, Listener, Result, Stream, UdpSocket,
    system::sys::family,
};

/// What a [`Stream`] has on Unix only.
pub trait StreamExt {
    /// Who is at the other end of a Unix socket, as of when it was connected: SO_PEERCRED of unix(7).
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if it is no Unix socket, in a simulated network, and on FreeBSD and
    /// macOS; [`Error::Io`] of the operation [`GetSockOpt`](IoOperation::GetSockOpt) if the system
    /// refuses.
    ///
    /// ```
    /// use facade_engine::{Engine, os::unix::StreamExt};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let engine = Engine::new()?;
    /// let (_peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// # #[cfg(target_os = "linux")]
    /// assert_eq!(stream.peer_cred()?.pid, Some(std::process::id() as i32));
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "SO_PEERCRED")]
    #[doc(alias = "getpeereid")]
    fn peer_cred(&self) -> Result<PeerCredentials>;
}

/// Who is at the other end of a Unix socket, from [`StreamExt::peer_cred`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PeerCredentials {
    /// The process that connected, listened, or made the pair, if the system says it; 0 for one that
    /// is not in this process's namespace, see pid_namespaces(7).
    pub pid: Option<i32>,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

impl StreamExt for Stream {
    fn peer_cred(&self) -> Result<PeerCredentials> {
        let kind = self.fd_kind();
        let unsupported = || Error::unsupported(format_args!("SO_PEERCRED of a {kind}"));
        let slot = self.descriptor().system().filter(|_| kind.is_socket() && !kind.is_tcp());
        let asked = slot.ok_or_else(unsupported)?.inspect(family::peer_credentials);
        let (pid, uid, gid) = asked.map_err(|cause| match cause.kind() {
            std::io::ErrorKind::Unsupported => unsupported(),
            _ => {
                let on =
                    format_args!("SO_PEERCRED of {}", self.descriptor().name(kind)).to_string();
                Error::io_on(IoOperation::GetSockOpt, on, cause)
            }
        })?;
        Ok(PeerCredentials { pid, uid, gid })
    }
}

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
