//! Waiting until something is ready, and doing nothing to it: any descriptor of the program's, and the
//! peer of a stream.
//!
//! A descriptor of the program's is a resource while it is waited for, and no longer: a copy of the
//! number, so that the program may close its own at any time. A stream is a resource already, and
//! any number of operations wait for its peer by one request to the driver.

use std::{io, sync::Arc, time::Duration};

use crate::{
    core::{
        Core, Kind, Pending,
        resource::{Phase, Resource},
    },
    handles::callback::Slot,
    pure::{
        error::{Error, IoOperation},
        table::Id,
    },
    system::{
        descriptor::Descriptor,
        driver::{Driver, Operation, Readiness, Release, Role},
        fd_kind::FdKind,
    },
};

/// A descriptor of the program's that is waited for.
pub(crate) struct WatchState {
    readiness: Readiness,
    /// The operation that waits, or none if it has ended.
    operation: Id,
    /// What errors call it: by the program's number, which is not that of the copy.
    pub(crate) name: String,
    /// Its wait is being cancelled, or the copy closed: counted among the unsettled resources.
    pub(crate) unsettled: bool,
}

impl WatchState {
    pub(crate) const fn fd_kind(&self) -> FdKind {
        FdKind::Watched { for_room: matches!(self.readiness, Readiness::Writable) }
    }
}

/// Who waits for the peer of a stream.
pub(crate) struct PeerWait {
    operations: Vec<Id>,
    /// What the driver does for them.
    polling: Phase,
}

impl Core {
    /// Submits a wait for a descriptor of the program's, of which this is a copy.
    pub(crate) fn watch_descriptor(
        &mut self,
        descriptor: Arc<Descriptor>,
        name: String,
        readiness: Readiness,
        slot: Slot<()>,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        let state = WatchState { readiness, operation: Id::NONE, name, unsettled: false };
        let fd_kind = state.fd_kind();
        // Closing it may wait, if the program has closed its own before and set SO_LINGER.
        descriptor.touch();
        let watch = self.resources.insert(Resource::Watch(Box::new(state)));
        self.driver.attach(watch, descriptor, fd_kind);
        let kind = Kind::Poll { slot, readiness };
        let id = self.insert(Pending::new(kind, watch, Id::NONE), timeout);
        if let Some(state) = self.watch_of(watch) {
            state.operation = id;
        }
        self.driver.submit(watch, Operation::Poll(readiness));
        Some(id)
    }

    fn watch_of(&mut self, watch: Id) -> Option<&mut WatchState> {
        match self.resources.get_mut(watch) {
            Some(Resource::Watch(state)) => Some(state),
            _ => None,
        }
    }

    /// Submits a wait for the end of a stream's peer.
    pub(crate) fn wait_for_peer(
        &mut self,
        stream: Id,
        slot: Slot<()>,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        let refused = match self.stream(stream) {
            None => Some(Error::Closed),
            Some(state) if state.rare.is_closing() => Some(Error::Closed),
            Some(state) if !can_be_hung_up(state.fd_kind) => {
                Some(Error::unsupported("waiting for the other end of a file or device"))
            }
            Some(_) => None,
        };
        if let Some(error) = refused {
            self.fail(Id::NONE, slot, error);
            return None;
        }
        let kind = Kind::Poll { slot, readiness: Readiness::PeerGone };
        let id = self.insert(Pending::new(kind, stream, Id::NONE), timeout);
        let wait = self
            .peer_waits
            .entry(stream)
            .or_insert(PeerWait { operations: Vec::new(), polling: Phase::Idle });
        wait.operations.push(id);
        self.go_on_waiting_for_peer(stream);
        Some(id)
    }

    /// Has the driver wait for a peer, or says at once that it is gone, if that is known.
    fn go_on_waiting_for_peer(&mut self, stream: Id) {
        if self.stream(stream).is_some_and(|state| state.rare.end.is_some()) {
            return self.end_waits_for_peer(stream, || Ok(()));
        }
        if let Some(wait) = self.peer_waits.get_mut(&stream)
            && wait.polling == Phase::Idle
        {
            wait.polling = Phase::Running;
            self.driver.submit(stream, Operation::Poll(Readiness::PeerGone));
        }
    }

    /// The driver waits no more: something is ready, or cannot be waited for, or the wait was cancelled.
    pub(crate) fn polled(&mut self, resource: Id, result: io::Result<()>) {
        if matches!(self.resources.get(resource), Some(Resource::Child(_))) {
            return self.child_polled(resource, result);
        }
        if let Some(WatchState { operation, .. }) = self.watch_of(resource) {
            let id = *operation;
            self.end_watch(resource, id, result);
            return self.driver.submit(resource, Operation::Close(Release::Close));
        }
        let Some(wait) = self.peer_waits.get_mut(&resource) else { return };
        let polling = std::mem::replace(&mut wait.polling, Phase::Idle);
        match result {
            Err(_) if polling == Phase::Stopping && !wait.operations.is_empty() => {
                self.go_on_waiting_for_peer(resource);
            }
            result => {
                let name = self.name_of(resource);
                let failed = result.map_err(|cause| Error::io_on(IoOperation::Wait, name, cause));
                self.end_waits_for_peer(resource, || failed.clone());
            }
        }
        self.advance_stream(resource);
    }

    /// Tells the operation that waits for a descriptor, if it still does, and counts the descriptor
    /// until it is closed.
    fn end_watch(&mut self, watch: Id, id: Id, result: io::Result<()>) {
        self.set_unsettled(watch, true);
        let Some(Pending { kind: Kind::Poll { slot, .. }, .. }) = self.remove(id) else { return };
        match result {
            Ok(()) => self.succeed(Id::NONE, slot, ()),
            Err(cause) => {
                let error = Error::io_on(IoOperation::Wait, self.name_of(watch), cause);
                self.fail(Id::NONE, slot, error);
            }
        }
    }

    /// Ends all waits for a stream's peer.
    fn end_waits_for_peer(&mut self, stream: Id, outcome: impl Fn() -> Result<(), Error>) {
        let Some(wait) = self.peer_waits.get_mut(&stream) else { return };
        let ended = std::mem::take(&mut wait.operations);
        match wait.polling {
            Phase::Idle => drop(self.peer_waits.remove(&stream)),
            Phase::Running => {
                wait.polling = Phase::Stopping;
                self.driver.cancel(stream, Role::Poll);
            }
            Phase::Stopping => {}
        }
        for id in ended {
            let Some(Pending { kind: Kind::Poll { slot, .. }, .. }) = self.remove(id) else {
                continue;
            };
            match outcome() {
                Ok(()) => self.succeed(Id::NONE, slot, ()),
                Err(error) => self.fail(Id::NONE, slot, error),
            }
        }
    }

    /// A stream is about to close: nobody waits for its peer any more.
    pub(crate) fn fail_waits_for_peer(&mut self, stream: Id, error: &Error) {
        if !self.peer_waits.is_empty() {
            self.end_waits_for_peer(stream, || Err(error.clone()));
        }
    }

    /// A stream has ended: whoever waits for its peer need not wait for the driver.
    pub(crate) fn note_end_of_peer(&mut self, stream: Id) {
        if !self.peer_waits.is_empty()
            && self.stream(stream).is_some_and(|state| state.rare.end.is_some())
        {
            self.end_waits_for_peer(stream, || Ok(()));
        }
    }

    /// Ends a wait early, for `cause`.
    pub(crate) fn abort_poll(&mut self, resource: Id, id: Id, cause: Error) {
        let Some(Pending { kind: Kind::Poll { slot, .. }, .. }) = self.remove(id) else { return };
        self.fail(Id::NONE, slot, cause);
        if self.watch_of(resource).is_some() {
            self.set_unsettled(resource, true);
            return self.driver.cancel(resource, Role::Poll);
        }
        let Some(wait) = self.peer_waits.get_mut(&resource) else { return };
        wait.operations.retain(|&other| other != id);
        if wait.operations.is_empty() && wait.polling == Phase::Running {
            wait.polling = Phase::Stopping;
            self.driver.cancel(resource, Role::Poll);
        }
    }
}

/// Whether anything tells that the other end of such a thing is gone.
const fn can_be_hung_up(fd_kind: FdKind) -> bool {
    matches!(fd_kind, FdKind::Socket { .. } | FdKind::Pipe { .. } | FdKind::Terminal { .. })
}
