//! [`Source`]: one descriptor as the readiness driver sees it.

use std::sync::Arc;

use crate::{
    pure::buffer::outgoing::Gather,
    system::{
        descriptor::Descriptor,
        driver::Readiness,
        fd_kind::FdKind,
        sys::{outcome::Received, readiness::Registration, syscall, unsent::Unsent},
    },
};

/// One descriptor, what is asked of it, and what is known of its readiness.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state in disguise")]
pub(super) struct Source {
    pub(super) descriptor: Arc<Descriptor>,
    pub(super) fd_kind: FdKind,
    /// Whether it was tried to register it, with success or because it need not be.
    pub(super) registered: bool,
    pub(super) registration: Option<Registration>,
    /// In the driver's list of sources with something to do.
    pub(super) listed: bool,

    /// Set by an event, cleared by a call that finds nothing (or must have emptied a socket).
    pub(super) readable: bool,
    /// Assumed until a call finds the system full.
    pub(super) writable: bool,
    /// An urgent byte has come, and nothing was missing since: it may cut a receive short. So it
    /// may in a socket that was used before it was attached.
    pub(super) urgent: bool,
    /// The peer has closed, or the socket failed. Never cleared: it is announced only once.
    pub(super) hung_up: bool,

    pub(super) receiving: bool,
    /// The receiving is over when it has brought something.
    pub(super) once: bool,
    pub(super) accepting: bool,
    /// How many connections or datagrams the accepting or receiving is still for.
    pub(super) most: u32,
    /// How much of a datagram is received.
    pub(super) size: u32,
    /// Somebody waits for room for a datagram.
    pub(super) awaits_room: bool,
    pub(super) connecting: bool,
    /// What it is waited for to be.
    pub(super) polling: Option<Readiness>,
    /// What is being sent, until the system has room for it.
    pub(super) sending: Option<Box<Gather>>,
    /// A worker reads this.
    pub(super) busy: bool,
    /// What workers have done or do: few sources ever have one.
    pub(super) by_worker: Option<Box<ByWorker>>,
    /// The system does not tell when this is ready, but says that it always is.
    pub(super) is_always_ready: bool,
}

/// What workers do for a source that only calls which may wait can read or write.
#[derive(Debug, Default)]
pub(super) struct ByWorker {
    /// What one has brought when nobody wanted it any more, for whoever does next.
    pub(super) late: Option<(Vec<u8>, Received)>,
    /// One sends this, or has let go of it and not said so.
    pub(super) pushing: Option<Arc<Unsent>>,
}

impl Source {
    pub(super) fn new(descriptor: Arc<Descriptor>, fd_kind: FdKind) -> Self {
        let urgent = descriptor.is_lent();
        Self {
            descriptor,
            fd_kind,
            registered: false,
            registration: None,
            listed: false,
            readable: false,
            urgent,
            // Of what is only waited for an event must tell.
            writable: !matches!(fd_kind, FdKind::Watched { .. }),
            hung_up: false,
            receiving: false,
            once: false,
            accepting: false,
            most: 0,
            size: 0,
            awaits_room: false,
            connecting: false,
            polling: None,
            sending: None,
            busy: false,
            by_worker: None,
            is_always_ready: false,
        }
    }

    /// What workers do for it, from now on if nothing so far.
    pub(super) fn by_worker(&mut self) -> &mut ByWorker {
        self.by_worker.get_or_insert_default()
    }

    /// What a worker sends.
    pub(super) fn pushing(&self) -> Option<&Unsent> {
        self.by_worker.as_ref()?.pushing.as_deref()
    }

    /// Has whatever is asked for tried, whether or not an event has told of it. What is only waited
    /// for is looked at: nothing is tried there.
    pub(super) fn assume_ready(&mut self) {
        let fd = self.descriptor.borrow();
        match (self.fd_kind, self.polling) {
            (FdKind::Watched { for_room: false }, _) => self.readable |= syscall::is_readable(fd),
            (FdKind::Watched { for_room: true }, _) => self.writable |= syscall::is_writable(fd),
            (_, polling) => {
                (self.readable, self.writable) = (true, true);
                self.hung_up |= polling.is_some() && syscall::is_peer_gone(fd);
            }
        }
    }

    /// A call has found nothing: an event says when there is something.
    pub(super) fn await_readable(&mut self) {
        self.readable = false;
        let for_room = !self.writable;
        if let Some(registration) = &mut self.registration {
            registration.ask_again(for_room);
        }
    }

    /// A call has found no room: an event says when there is some.
    pub(super) fn await_writable(&mut self) {
        self.writable = false;
        if let Some(registration) = &mut self.registration {
            registration.ask_again(true);
        }
    }

    /// So many bytes of `len` were sent. Less than all have found the system full, and an event
    /// says when there is room; but a Unix socket may have lacked memory instead.
    pub(super) fn was_sent(&mut self, sent: usize, len: usize) {
        self.writable = true;
        if sent < len && self.fd_kind == (FdKind::Socket { tcp: true }) {
            self.await_writable();
        }
    }

    /// Whether it is what it is waited for to be, as far as events have told.
    pub(super) const fn is_polled_ready(&self) -> bool {
        match self.polling {
            Some(Readiness::Readable) => self.readable,
            Some(Readiness::Writable) => self.writable,
            Some(Readiness::PeerGone) => self.hung_up,
            None => false,
        }
    }

    /// Whether something asked for can be done now.
    pub(super) const fn has_work(&self) -> bool {
        self.is_polled_ready()
            || (self.readable && (self.receiving || self.accepting) && !self.busy)
            || (self.writable && (self.connecting || self.sending.is_some() || self.awaits_room))
    }
}
