//! [`Release`]: how a driver lets go of a descriptor.

/// How a descriptor is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// By close(2) and nothing else: whoever else holds it goes on.
    Close,
    /// Having ended the outgoing direction and taken what has arrived, because closing over unread
    /// bytes makes the system reset the connection, and the peer lose what was sent.
    Drain,
    /// Having thrown away what the system holds, and by a reset of the connection.
    Reset,
    /// The same of a connection that others may hold, too: it is reset for all of them, and now.
    ResetForAll,
}
