//! [`Datagram`]: one message, whole, and who sent it.

use bytes::Bytes;

use crate::pure::address::Address;

/// One datagram, as it came.
///
/// From [`recv_from`](crate::Handle::recv_from) and [`recv`](crate::Handle::recv), where there is an
/// example.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Datagram {
    /// What was sent, in one piece; nothing, if a datagram without bytes was sent: that is no end.
    pub bytes: Bytes,
    /// Who sent it, as the system says it; it can be given to [`send_to`](crate::Handle::send_to)
    /// as it is. On a socket of both families an IPv4 sender is an address that is mapped into IPv6
    /// (`::ffff:192.0.2.1`, RFC 4291, section 2.5.5.2); a link-local one has its scope. A Unix
    /// socket that has no name is [`Address::UnixUnnamed`], and cannot be answered.
    pub from: Address,
    /// More was sent than a receive takes, and the rest is lost: MSG_TRUNC of recv(2). It never is
    /// of UDP, unless
    /// [`UdpSocket::set_receive_size`](crate::UdpSocket::set_receive_size) has made it so.
    pub truncated: bool,
}

impl Datagram {
    /// How many bytes of it a receive takes, unless that is set: all that UDP can carry (65,507
    /// over IPv4, 65,527 over IPv6 without jumbograms).
    pub(crate) const MOST: usize = 64 << 10;
}
