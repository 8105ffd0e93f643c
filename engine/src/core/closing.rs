//! How streams and listeners end: what was written goes out, what the driver holds comes back, and
//! only then is the descriptor released. So no byte is counted that does not arrive, and no
//! descriptor number is used again while the system still works for its old owner.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    core::{
        Core, Kind, Pending,
        resource::{Phase, Resource},
        stream::Shutdown,
    },
    handles::{
        callback::Slot,
        delivery::{Enqueue, boxed},
        queue::message::Message,
        stream::Detached,
    },
    pure::{
        error::{Error, IoOperation, Result},
        table::Id,
    },
    system::{
        descriptor::Descriptor,
        driver::{Driver, Operation, Release, Role, end_in_order, may_wait_to_close},
        fd_kind::FdKind,
        pool::{JobContext, Lane, Refused},
    },
};

/// A close that has begun.
pub(crate) struct Closing {
    /// The operation that waits for it, if any still does.
    operation: Id,
    kind: Ending,
    outcome: Result<()>,
    /// It does not wait for unsent bytes: they are dropped.
    abort: bool,
    /// The connection is reset.
    reset: bool,
    /// It was handed to the driver, whose last completion is to come.
    submitted: bool,
    /// A worker thread closes the descriptor, because close(2) may block.
    elsewhere: bool,
}

/// What kind of close it is, and whom its outcome is reported to.
pub(crate) enum Ending {
    /// It is reported to nobody: the last clone was dropped, or the stream aborted.
    Dropped,
    Close(Slot<()>),
    Detach(Slot<Detached>),
}

impl Closing {
    pub(crate) const fn new(kind: Ending, operation: Id) -> Self {
        Self {
            operation,
            kind,
            outcome: Ok(()),
            abort: false,
            reset: false,
            submitted: false,
            elsewhere: false,
        }
    }

    /// Whether unsent bytes are to be dropped, and it was not handed to the driver yet.
    pub(crate) const fn drops_unsent(&self) -> bool {
        self.abort && !self.submitted
    }

    /// Notes that the close was handed to the driver.
    pub(crate) const fn hand_down(&mut self) {
        self.submitted = true;
    }

    /// Notes that the close is handed to the driver. Returns false if it was handed to it before,
    /// and must not be again.
    pub(crate) const fn hand_down_once(&mut self) -> bool {
        !std::mem::replace(&mut self.submitted, true)
    }
}

impl Core {
    /// Submits a close or a detach of a stream.
    pub(crate) fn close_stream(
        &mut self,
        stream: Id,
        kind: Ending,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        if self.stream(stream).is_none_or(|state| state.rare.is_closing()) {
            self.refuse_close(kind);
            return None;
        }
        let id = self.insert(Pending::new(Kind::Close, stream, Id::NONE), timeout);
        self.begin_closing(stream, Closing::new(kind, id));
        Some(id)
    }

    fn refuse_close(&mut self, kind: Ending) {
        match kind {
            Ending::Dropped => {}
            Ending::Close(slot) => self.fail(Id::NONE, slot, Error::Closed),
            Ending::Detach(slot) => self.fail_boxed(Id::NONE, slot, Error::Closed),
        }
    }

    /// Drops everything unsent and resets the connection.
    pub(crate) fn abort(&mut self, stream: Id) {
        let Some(state) = self.stream(stream) else { return };
        match state.rare.closing_mut() {
            Some(closing) => {
                (closing.abort, closing.reset) = (true, true);
                self.advance_stream(stream);
            }
            None => {
                let mut closing = Closing::new(Ending::Dropped, Id::NONE);
                (closing.abort, closing.reset) = (true, true);
                self.begin_closing(stream, closing);
            }
        }
    }

    /// Closes a stream that nobody holds any more and nothing is pending on.
    pub(crate) fn close_if_released(&mut self, stream: Id) {
        let Some(state) = self.stream(stream) else { return };
        if state.released
            && state.rare.closing.is_none()
            && !state.has_reads()
            && state.writes.is_empty()
            && !state.scanning
            && !self.peer_waits.contains_key(&stream)
        {
            self.begin_closing(stream, Closing::new(Ending::Dropped, Id::NONE));
        }
    }

    fn begin_closing(&mut self, stream: Id, closing: Closing) {
        let Some(state) = self.stream(stream) else { return };
        state.rare.make().closing = Some(Box::new(closing));
        self.update_pending(stream);
        self.fail_reads(stream, &Error::Closed);
        self.fail_waits_for_peer(stream, &Error::Closed);
        self.end_copies_to(stream);
        self.advance_stream(stream);
    }

    /// Drops the unsent bytes, if a close has begun that does not wait for them; but a send in
    /// flight has to come back first, and report how much of it the system has taken.
    pub(crate) fn drop_unsent_if_aborting(&mut self, stream: Id) {
        let Some(state) = self.stream(stream) else { return };
        if !state.drops_unsent() {
            return;
        }
        match state.sending {
            Phase::Idle => self.fail_writes(stream, Error::Closed),
            Phase::Running => {
                state.sending = Phase::Stopping;
                self.driver.cancel(stream, Role::Send);
            }
            Phase::Stopping => {}
        }
    }

    /// Takes the next step of a close, if one has begun and is not waiting for something.
    pub(crate) fn go_on_closing(&mut self, stream: Id) {
        let Some(state) = self.stream(stream) else { return };
        let Some(closing) = &state.rare.closing else { return };
        // The driver has it, or a thread: `was_closed` ends it.
        if closing.submitted {
            return;
        }
        // It waits for the outgoing direction, where everything that was submitted has to be sent
        // or to have failed, and for the reads. Whoever ends one of these calls this again.
        if !state.writes.is_empty()
            || state.outgoing.len() > 0
            || state.sending != Phase::Idle
            || state.shutdown == Shutdown::Running
            // A claim's callback is to run, and what it does not take is unread, for a detach.
            || state.has_reads()
            // A user's matcher has the unread bytes.
            || state.scanning
        {
            return;
        }
        // Then nothing more is to be received: a receive under way is stopped, and has to come
        // back.
        match state.reception {
            Phase::Idle => {}
            Phase::Running => {
                state.reception = Phase::Stopping;
                return self.driver.cancel(stream, Role::Receive);
            }
            Phase::Stopping => return,
        }
        // Nothing is in flight. From here on the close belongs to the driver, and this function
        // does nothing more for it. It fails if writes were lost and no operation has reported
        // that.
        let Some(rare) = state.rare.get_mut() else { return };
        let Some(closing) = &mut rare.closing else { return };
        closing.submitted = true;
        if closing.outcome.is_ok()
            && !rare.write_error_reported
            && let Some(error) = &rare.write_error
        {
            closing.outcome = Err(Error::clone(error));
        }
        // A detach gives the descriptor to the program. Everything else has the driver close it.
        let parts = matches!(closing.kind, Ending::Detach(_));
        self.give_cursor_back(stream);
        if parts {
            return self.part(stream);
        }
        let Some(state) = self.stream(stream) else { return };
        let Some(closing) = &state.rare.closing else { return };
        // How it is closed depends on who else holds the connection: to shut it down, or to drain
        // what it receives, would take it away from them.
        let release = match (closing.reset, state.tenure.is_sole()) {
            (true, true) => Release::Reset,
            (true, false) => Release::ResetForAll,
            (false, true) if state.fd_kind.is_tcp() && state.is_open() => Release::Drain,
            (false, _) => Release::Close,
        };
        self.driver.submit(stream, Operation::Close(release));
    }

    /// The close of a resource, if it has begun.
    fn closing_of(&mut self, resource: Id) -> Option<&mut Closing> {
        match self.resources.get_mut(resource)? {
            Resource::Stream(state) => state.rare.closing_mut(),
            Resource::Listener(state) => state.closing.as_deref_mut(),
            Resource::File(state) => state.closing.as_deref_mut(),
            Resource::Watch(_) | Resource::Child(_) => None,
            Resource::Datagrams(state) => state.closing.as_deref_mut(),
        }
    }

    /// Ends a close early, for `cause`. If its time is up, unsent bytes are dropped, and it fails
    /// with that when it is through. If it was cancelled, that is reported now, and it goes on with
    /// nobody waiting.
    pub(crate) fn abort_close(&mut self, resource: Id, id: Id, cause: Error) {
        let Some(closing) = self.closing_of(resource) else { return };
        // What a thread closes is out of the engine's hands: nothing can be dropped any more.
        let elsewhere = closing.elsewhere;
        if matches!(cause, Error::TimedOut) && !elsewhere {
            closing.outcome = Err(cause);
            closing.abort = true;
            self.cut_short_file(resource);
            self.cut_short_datagrams(resource);
            return self.advance_stream(resource);
        }
        // Its time was up before, so that unsent bytes were dropped and it is about to end: it
        // fails with `TimedOut` then.
        if matches!((&cause, &closing.outcome), (Error::Cancelled, Err(Error::TimedOut))) {
            return;
        }
        closing.operation = Id::NONE;
        let kind = std::mem::replace(&mut closing.kind, Ending::Dropped);
        if elsewhere && matches!(cause, Error::TimedOut) {
            // No run waits for the thread either: the resource does not count any more.
            self.forget(resource);
        }
        self.remove(id);
        match kind {
            Ending::Dropped => {}
            Ending::Close(slot) => self.fail(Id::NONE, slot, cause),
            Ending::Detach(slot) => self.fail_boxed(Id::NONE, slot, cause),
        }
    }

    /// Hands a stream's descriptor and unread bytes to the user.
    fn part(&mut self, stream: Id) {
        let name = self.name_of(stream);
        let Some(descriptor) = self.driver.detach(stream) else { return };
        let Some(Resource::Stream(mut state)) = self.forget(stream) else { return };
        let Some(closing) = state.rare.take_closing() else { return };
        let Ending::Detach(slot) = closing.kind else { return };
        self.remove(closing.operation);
        // A file yields no unread bytes: its cursor was moved back to before them.
        let unread = if state.fd_kind.is_file() { Bytes::new() } else { state.unread.into_bytes() };
        let outcome = match closing.outcome {
            Ok(()) => descriptor
                .into_owned()
                .map(|fd| Detached { fd, unread })
                .map_err(|cause| Error::io_on(IoOperation::Detach, name, cause)),
            Err(error) => {
                match may_wait_to_close(&descriptor, state.fd_kind) {
                    true => self.close_elsewhere(stream, descriptor),
                    false => descriptor.release(),
                }
                Err(error)
            }
        };
        self.ready.push(boxed(slot.deliver(outcome)));
    }

    /// The driver has no more use for a descriptor whose close(2) may block: a thread closes it.
    pub(crate) fn was_let_go(&mut self, resource: Id, descriptor: Arc<Descriptor>) {
        self.close_elsewhere(resource, descriptor);
        let Some(closing) = self.closing_of(resource) else { return };
        closing.elsewhere = true;
        if matches!(closing.outcome, Err(Error::TimedOut)) {
            // Its time was up before: that is reported without waiting for the thread.
            let id = closing.operation;
            self.abort_close(resource, id, Error::TimedOut);
        }
    }

    /// Has a descriptor closed by a thread, which reports through the inbox when that is done.
    fn close_elsewhere(&mut self, resource: Id, descriptor: Arc<Descriptor>) {
        if self.ending {
            self.unclosed.push(descriptor);
            return self.was_closed(resource);
        }
        let shared = Arc::clone(&self.shared);
        let job = move |_: &JobContext<'_>| {
            descriptor.release();
            let done = move |core: &mut Self| core.was_closed(resource);
            drop(shared.inbox.push(Message::Apply(Box::new(done))));
        };
        match self.pool.submit(Lane::Closing, Box::new(job)) {
            Ok(_) => {}
            // Without a thread it is closed here, even if that blocks: slow is better than never.
            Err(Refused::Full(job) | Refused::NoThread(_, job) | Refused::Closed(job)) => {
                job(&JobContext::outside());
            }
        }
    }

    /// Ends the connections that are the engine's alone as their close would, since the engine
    /// goes: a socket that is closed over unread bytes is reset, and the peer loses what was sent
    /// to it.
    pub(crate) fn end_connections(&mut self) {
        let mut block = self.blocks.get();
        for id in self.resources.ids() {
            if let Some(Resource::Stream(state)) = self.resources.get(id)
                && state.tenure.is_sole()
                && state.fd_kind.is_tcp()
                && state.is_open()
                && state.rare.attempt_of == Id::NONE
                && state.rare.closing.as_ref().is_none_or(|closing| !closing.reset)
                && let Some(descriptor) = self.driver.descriptor(id)
            {
                end_in_order(descriptor, &mut block);
            }
        }
        self.blocks.put(block);
    }

    /// The descriptors that are still open when the engine ends and whose close(2) may block.
    pub(crate) fn take_unclosed(&mut self) -> Vec<Arc<Descriptor>> {
        let mut unclosed = std::mem::take(&mut self.unclosed);
        for id in self.resources.ids() {
            let fd_kind = match self.resources.get(id) {
                Some(Resource::Stream(state)) => state.fd_kind,
                Some(Resource::File(_)) => FdKind::File { append: false },
                Some(Resource::Watch(state)) => state.fd_kind(),
                _ => continue,
            };
            if let Some(descriptor) = self.driver.descriptor(id)
                && may_wait_to_close(descriptor, fd_kind)
            {
                unclosed.push(Arc::clone(descriptor));
            }
        }
        unclosed
    }

    /// The driver, or a thread, has released a descriptor.
    pub(crate) fn was_closed(&mut self, resource: Id) {
        match self.resources.get(resource) {
            Some(Resource::Stream(state)) if state.shutdown == Shutdown::Running => {
                return self.was_shut_down(resource, Ok(()));
            }
            Some(Resource::Stream(state)) if state.rare.closing.is_none() => return,
            Some(Resource::Child(_)) => {
                self.child_watch_was_closed(resource);
                return self.wake_resting_listeners();
            }
            Some(_) => {}
            None => return self.wake_resting_listeners(),
        }
        let closing = match self.forget(resource) {
            Some(Resource::Stream(mut state)) => state.rare.take_closing(),
            Some(Resource::Listener(state)) => state.closing,
            Some(Resource::File(state)) => state.closing,
            Some(Resource::Datagrams(state)) => state.closing,
            Some(Resource::Watch(_) | Resource::Child(_)) | None => None,
        };
        self.wake_resting_listeners();
        let Some(closing) = closing else { return };
        if let Ending::Close(slot) = closing.kind {
            self.remove(closing.operation);
            slot.deliver(closing.outcome).enqueue(&mut self.ready);
        }
    }

    /// Takes a resource out of the table and the counts.
    fn forget(&mut self, resource: Id) -> Option<Resource> {
        if matches!(self.resources.get(resource), Some(Resource::Stream(state)) if state.set_back) {
            self.end_setback(resource);
        }
        let mut removed = self.remove_resource(resource)?;
        if let Resource::Stream(state) = &mut removed {
            self.deferred_drops.bytes.extend(state.rare.take_cut().map(|cut| cut.rest));
        }
        Some(removed)
    }
}
