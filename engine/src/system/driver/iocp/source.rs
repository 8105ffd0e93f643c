//! [`Source`]: one socket or handle as the completion driver sees it.

use std::sync::Arc;

use socket2::Domain;

use crate::{
    pure::{buffer::outgoing::Gather, table::Id},
    system::{
        descriptor::Descriptor,
        driver::{Ended, Release},
        fd_kind::FdKind,
        sys::{errno::Errno, outcome::Received, unsent::Unsent},
    },
};

/// How the completions of a socket come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Nobody has asked yet.
    Unknown,
    /// To the engine's port. `skips`: but not of what ends inside the call that begins it.
    Port { skips: bool },
    /// To somebody else's port, or nowhere: what the engine wants is polled for.
    Polled,
    /// It is a handle, and they come to the engine's port.
    Overlapped,
    /// It is a handle that was not opened for that: workers do all.
    Workers,
}

/// What is being written to a pipe.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// The operation that writes it.
    pub(super) key: Id,
    /// How many bytes it is. They count as sent if what they are of is had back.
    pub(super) len: usize,
    /// That was had back, and nobody waits for this.
    pub(super) let_go: bool,
}

/// One socket or handle, and what is asked of it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state in disguise")]
pub(super) struct Source {
    pub(super) descriptor: Arc<Descriptor>,
    pub(super) fd_kind: FdKind,
    pub(super) way: Way,
    /// How many operations the system has in hand, besides a `piece`.
    pub(super) flights: u32,

    /// A reception was asked for, and has not been reported to be over.
    pub(super) receiving: bool,
    /// It is over when it has brought something.
    pub(super) once: bool,
    /// There may be more than the last receive has taken.
    pub(super) filled: bool,
    /// What the last wait for something to receive failed with: behind all bytes.
    pub(super) failure: Option<Errno>,
    pub(super) accepting: bool,
    /// Of which family its connections are: asked once.
    pub(super) domain: Option<Domain>,
    /// How many connections or datagrams the accepting or receiving is still for.
    pub(super) most: usize,
    /// How much of a datagram is received.
    pub(super) size: usize,
    /// Somebody waits for room for a datagram.
    pub(super) awaits_room: bool,
    /// What receives or accepts.
    pub(super) reception: Option<Id>,
    /// It was asked to end.
    pub(super) stopping: bool,
    /// How the reception has ended, while the system still has it in hand.
    pub(super) ended: Option<Ended>,
    pub(super) connecting: Option<Id>,
    /// What waits until it is ready, and does nothing to it. Not among the `flights`: it is asked of the
    /// system by another handle, and may end when this has gone.
    pub(super) polling: Option<Id>,
    /// What is being sent, until the system has room for it or has written what is before it.
    pub(super) unsent: Option<Box<Gather>>,
    /// What waits for that room.
    pub(super) room: Option<Id>,
    /// It was asked to end, and the send with it.
    pub(super) unsending: bool,
    /// What is to be done when the system has nothing of it in hand any more.
    pub(super) closing: Option<Release>,

    /// What is being written to a pipe: of `unsent`, unless it was let go of.
    pub(super) piece: Option<Piece>,
    /// A worker reads this.
    pub(super) busy: bool,
    /// What it has brought when nobody wanted it any more, for whoever does next.
    pub(super) late: Option<(Vec<u8>, Received)>,
    /// A worker sends this, or has let go of it and not said so.
    pub(super) pushing: Option<Arc<Unsent>>,
}

impl Source {
    pub(super) fn new(descriptor: Arc<Descriptor>, fd_kind: FdKind) -> Self {
        let way = match fd_kind {
            FdKind::Socket { .. }
            | FdKind::Listener
            | FdKind::Pipe { .. }
            | FdKind::File { .. } => Way::Unknown,
            FdKind::Datagrams { .. } => Way::Polled,
            _ => Way::Workers,
        };
        Self {
            descriptor,
            fd_kind,
            way,
            flights: 0,
            receiving: false,
            once: false,
            filled: true,
            failure: None,
            accepting: false,
            domain: None,
            most: 0,
            size: 0,
            awaits_room: false,
            reception: None,
            stopping: false,
            ended: None,
            connecting: None,
            polling: None,
            unsent: None,
            room: None,
            unsending: false,
            closing: None,
            piece: None,
            busy: false,
            late: None,
            pushing: None,
        }
    }
}
