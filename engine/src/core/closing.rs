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
    handles::{callback::Slot, delivery::boxed, queue::message::Message, stream::Detached},
    pure::{
        error::{Error, IoOperation, Result},
        table::Id,
    },
    system::{
        descriptor::Descriptor,
        driver::{
            Driver, Operation, Release, Role,
            syscall::{end_in_order, may_wait_to_close},
        },
        fd_kind::FdKind,
        pool::{Lane, Refused},
    },
};

/// A close that has begun.
pub(crate) struct Closing {
    /// The operation that waits for it, if any still does.
    operation: Id,
    kind: Ending,
    outcome: Result<()>,
    /// What is unsent is dropped.
    abort: bool,
    /// The connection is reset.
    reset: bool,
    /// The driver has been told, and its last completion is to come.
    submitted: bool,
    /// A thread closes the descriptor.
    elsewhere: bool,
}

/// What is left of a stream.
pub(crate) enum Ending {
    /// Nobody asked: the last clone was dropped, or the stream aborted.
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

    /// Whether it drops what is unsent, and has not done so.
    pub(crate) const fn drops_unsent(&self) -> bool {
        self.abort && !self.submitted
    }

    /// Marks that the driver has been told to close.
    pub(crate) const fn hand_down(&mut self) {
        self.submitted = true;
    }

    /// The same; returns whether it had not been told before.
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
        if self.stream(stream).is_none_or(|state| state.closing.is_some()) {
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
        match &mut state.closing {
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
            && state.closing.is_none()
            && !state.has_reads()
            && state.writes.is_empty()
            && !state.scanning
        {
            self.begin_closing(stream, Closing::new(Ending::Dropped, Id::NONE));
        }
    }

    fn begin_closing(&mut self, stream: Id, closing: Closing) {
        let Some(state) = self.stream(stream) else { return };
        state.closing = Some(Box::new(closing));
        self.update_pending(stream);
        self.fail_reads(stream, &Error::Closed);
        self.advance_stream(stream);
    }

    /// Drops what is unsent, if a close has begun that does not wait for it; first the send that is
    /// under way has to say how much of it is gone.
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
        let Some(closing) = &mut state.closing else { return };
        if closing.submitted {
            return;
        }
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
        match state.reception {
            Phase::Idle => {}
            Phase::Running => {
                state.reception = Phase::Stopping;
                return self.driver.cancel(stream, Role::Receive);
            }
            Phase::Stopping => return,
        }
        let Some(closing) = &mut state.closing else { return };
        closing.submitted = true;
        if closing.outcome.is_ok()
            && !state.write_error_reported
            && let Some(error) = &state.write_error
        {
            closing.outcome = Err(Error::clone(error));
        }
        let parts = matches!(closing.kind, Ending::Detach(_));
        self.give_cursor_back(stream);
        if parts {
            return self.part(stream);
        }
        let Some(state) = self.stream(stream) else { return };
        let Some(closing) = &state.closing else { return };
        // Shut down or read away would be what others have who hold the connection, too.
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
            Resource::Stream(state) => state.closing.as_deref_mut(),
            Resource::Listener(state) => state.closing.as_deref_mut(),
            Resource::File(state) => state.closing.as_deref_mut(),
        }
    }

    /// Ends a close early: the rest is dropped when time is up, else it goes on with nobody waiting.
    pub(crate) fn abort_close(&mut self, resource: Id, id: Id, cause: Error) {
        let Some(closing) = self.closing_of(resource) else { return };
        // What a thread closes is out of the engine's hands: nothing can be dropped any more.
        let elsewhere = closing.elsewhere;
        if matches!(cause, Error::TimedOut) && !elsewhere {
            closing.outcome = Err(cause);
            closing.abort = true;
            self.cut_short_file(resource);
            return self.advance_stream(resource);
        }
        // A cancelled close goes on, but in one whose time is up the rest has been dropped.
        if matches!((&cause, &closing.outcome), (Error::Cancelled, Err(Error::TimedOut))) {
            return;
        }
        closing.operation = Id::NONE;
        let kind = std::mem::replace(&mut closing.kind, Ending::Dropped);
        if elsewhere && matches!(cause, Error::TimedOut) {
            // No run waits for it either.
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
        let Some(Resource::Stream(state)) = self.forget(stream) else { return };
        let Some(closing) = state.closing else { return };
        let Ending::Detach(slot) = closing.kind else { return };
        self.remove(closing.operation);
        // What was read of a file and not asked for its cursor has been moved back by.
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

    /// The driver is done with a descriptor whose close may wait.
    pub(crate) fn was_let_go(&mut self, resource: Id, descriptor: Arc<Descriptor>) {
        self.close_elsewhere(resource, descriptor);
        let Some(closing) = self.closing_of(resource) else { return };
        closing.elsewhere = true;
        if matches!(closing.outcome, Err(Error::TimedOut)) {
            // Its time was up before.
            let id = closing.operation;
            self.abort_close(resource, id, Error::TimedOut);
        }
    }

    /// Has a descriptor closed by a thread, which tells when that is done.
    fn close_elsewhere(&mut self, resource: Id, descriptor: Arc<Descriptor>) {
        if self.ending {
            self.unclosed.push(descriptor);
            return self.was_closed(resource);
        }
        let shared = Arc::clone(&self.shared);
        let job = move || {
            descriptor.release();
            let done = move |core: &mut Self| core.was_closed(resource);
            drop(shared.inbox.push(Message::Apply(Box::new(done))));
        };
        match self.pool.submit(Lane::Closing, Box::new(job)) {
            Ok(_) => {}
            // Slow is better than never.
            Err(Refused::Full(job) | Refused::NoThread(_, job) | Refused::Closed(job)) => job(),
        }
    }

    /// Ends the connections that are the engine's alone as their close would, since the engine goes: a
    /// socket that is closed over unread bytes is reset, and the peer loses what was sent to it.
    pub(crate) fn end_connections(&mut self) {
        let mut block = self.blocks.get();
        for id in self.resources.ids() {
            if let Some(Resource::Stream(state)) = self.resources.get(id)
                && state.tenure.is_sole()
                && state.fd_kind.is_tcp()
                && state.is_open()
                && state.attempt_of == Id::NONE
                && state.closing.as_ref().is_none_or(|closing| !closing.reset)
                && let Some(descriptor) = self.driver.descriptor(id)
            {
                end_in_order(descriptor, &mut block);
            }
        }
        self.blocks.put(block);
    }

    /// What is left open when the engine goes, and may have whoever closes it wait.
    pub(crate) fn take_unclosed(&mut self) -> Vec<Arc<Descriptor>> {
        let mut unclosed = std::mem::take(&mut self.unclosed);
        for id in self.resources.ids() {
            let fd_kind = match self.resources.get(id) {
                Some(Resource::Stream(state)) => state.fd_kind,
                Some(Resource::File(_)) => FdKind::File { append: false },
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
            Some(Resource::Stream(state)) if state.closing.is_none() => return,
            Some(_) => {}
            None => return self.wake_resting_listeners(),
        }
        let closing = match self.forget(resource) {
            Some(Resource::Stream(state)) => state.closing,
            Some(Resource::Listener(state)) => state.closing,
            Some(Resource::File(state)) => state.closing,
            None => None,
        };
        self.wake_resting_listeners();
        let Some(closing) = closing else { return };
        if let Ending::Close(slot) = closing.kind {
            self.remove(closing.operation);
            let ready = slot.deliver(closing.outcome).ready();
            self.ready.push(ready);
        }
    }

    /// Takes a resource out of the table and the counts.
    fn forget(&mut self, resource: Id) -> Option<Resource> {
        if matches!(self.resources.get(resource), Some(Resource::Stream(state)) if state.set_back) {
            self.end_setback(resource);
        }
        let mut removed = self.remove_resource(resource)?;
        if let Resource::Stream(state) = &mut removed {
            self.deferred_drops.bytes.extend(state.cut.take().map(|cut| cut.rest));
        }
        Some(removed)
    }
}
