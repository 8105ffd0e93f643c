//! What the driver works for and operations wait at: streams, listeners and files.
//!
//! A stream has at most one reception and one send in the driver, a listener one accepting. What
//! they bring or take belongs to the resource: unread bytes, unsent bytes, untaken connections.
//! Operations queue there, so cancelling one takes it out of a queue and nothing else.

use crate::core::{file::FileState, listener::ListenerState, stream::StreamState};

/// Something with a descriptor.
#[expect(clippy::large_enum_variant, reason = "nearly all resources are streams")]
pub(crate) enum Resource {
    Stream(StreamState),
    Listener(Box<ListenerState>),
    File(Box<FileState>),
}

/// What the driver does for a resource in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is submitted.
    Idle,
    /// Submitted; its terminal completion is to come.
    Running,
    /// Submitted and cancelled; its terminal completion is still to come.
    Stopping,
}
