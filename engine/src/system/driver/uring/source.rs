//! [`Source`]: one descriptor as the completion driver sees it.

use std::sync::Arc;

use crate::{
    pure::{buffer::outgoing::Gather, table::Id},
    system::{
        descriptor::Descriptor,
        driver::{Readiness, Release},
        fd_kind::FdKind,
    },
};

/// One descriptor, what is asked of it, and which operations the kernel has in hand for it.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state in disguise")]
pub(super) struct Source {
    pub(super) descriptor: Arc<Descriptor>,
    pub(super) fd_kind: FdKind,
    /// How many operations the kernel has in hand.
    pub(super) flights: u32,
    /// In the driver's list of pipes and terminals to be tried.
    pub(super) listed: bool,

    /// A reception was asked for, and has not been told to be over.
    pub(super) receiving: bool,
    /// It is over when it has brought something.
    pub(super) once: bool,
    /// The same of an accepting.
    pub(super) accepting: bool,
    /// How many connections or datagrams the accepting or receiving is still for.
    pub(super) most: u32,
    /// How much of a datagram is received.
    pub(super) size: u32,
    /// Somebody waits for room for a datagram.
    pub(super) awaits_room: bool,
    /// The operation in flight that receives, accepts, or waits until there is something.
    pub(super) reception: InHand,
    /// It was asked to end.
    pub(super) stopping: bool,
    /// The operation in flight that waits for the peer's end.
    ///
    /// A reception that stays armed can miss it. If more data than it takes in one go and their end
    /// come before the kernel looks, it reads the data, sees by their count that no more are left,
    /// and goes back to sleep, having taken all wake-ups for one (seen on Linux 6.18). Nothing
    /// would ever wake it again. So another operation is told of the end, and what is left from
    /// then on is received by operations that do not stay armed.
    pub(super) hangup: InHand,
    /// That has come.
    pub(super) hung_up: bool,

    /// The operation in flight that sends, or waits until there is room.
    pub(super) sending: InHand,
    /// What a pipe, terminal or device has had no room for.
    pub(super) unsent: Option<Box<Gather>>,
    /// That is not wanted any more.
    pub(super) unsending: bool,

    pub(super) connecting: InHand,
    /// What it is waited for to be.
    pub(super) polling: Option<Readiness>,
    /// To be closed when the kernel has nothing in hand.
    pub(super) closing: Option<Release>,
}

/// An operation in flight, or none, in the room of a key: every idle connection has four.
#[derive(Debug, Clone, Copy)]
pub(super) struct InHand(Id);

impl InHand {
    pub(super) const NONE: Self = Self(Id::NONE);

    pub(super) fn get(self) -> Option<Id> {
        (self.0 != Id::NONE).then_some(self.0)
    }

    pub(super) fn take(&mut self) -> Option<Id> {
        std::mem::replace(self, Self::NONE).get()
    }
}

impl From<Option<Id>> for InHand {
    fn from(key: Option<Id>) -> Self {
        Self(key.unwrap_or(Id::NONE))
    }
}

impl Source {
    pub(super) const fn new(descriptor: Arc<Descriptor>, fd_kind: FdKind) -> Self {
        Self {
            descriptor,
            fd_kind,
            flights: 0,
            listed: false,
            receiving: false,
            once: false,
            accepting: false,
            most: 0,
            size: 0,
            awaits_room: false,
            reception: InHand::NONE,
            stopping: false,
            hangup: InHand::NONE,
            hung_up: false,
            sending: InHand::NONE,
            unsent: None,
            unsending: false,
            connecting: InHand::NONE,
            polling: None,
            closing: None,
        }
    }

    /// Whether a reception is wanted, and is not armed.
    pub(super) fn is_resting(&self) -> bool {
        self.receiving && self.reception.get().is_none() && self.closing.is_none()
    }

    /// Whether it is waited for in the ring and then read and written by calls that do not wait.
    pub(super) const fn is_polled(&self) -> bool {
        matches!(
            self.fd_kind,
            FdKind::Pipe { .. }
                | FdKind::Terminal { .. }
                | FdKind::Device { .. }
                | FdKind::Datagrams { .. }
        )
    }
}
