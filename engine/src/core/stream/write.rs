//! How streams are written: writes append, the turn's end sends, the system's counts settle.
//!
//! The outgoing bytes are those of writes that have succeeded (`committed`), and behind them a part
//! of the one write at the head of the queue, fed in as the system takes what is before it. So only
//! the head of the queue can ever have been sent in part, and a write further back is cancelled by
//! leaving the queue.

use std::{collections::VecDeque, io, iter, mem, time::Duration};

use bytes::{Bytes, BytesMut};

use crate::{
    core::{
        Core, Kind, Pending,
        chain::Product,
        delivery::may_be_unheard,
        resource::{Phase, Resource},
        stream::{Shutdown, StreamState, setback::Setback},
    },
    handles::{
        callback::Slot,
        claim::{Origin, PartialTail},
        delivery::{Outcome, Value},
        stream::Stream,
    },
    pure::{
        buffer::outgoing::{COPY_MAX, Gather},
        error::{Error, IoOperation},
        mutants::{self, Mutant},
        panics::Each,
        table::Id,
    },
    system::{
        driver::{Driver, Operation, Release, Role},
        fd_kind::FdKind,
    },
};

/// How much one send carries at most.
const SEND_MAX: usize = 256 << 10;

/// A write that the engine has not taken over yet.
pub(crate) struct Write {
    /// What is not among the outgoing bytes yet.
    rest: VecDeque<Bytes>,
    /// How many bytes `rest` holds.
    left: usize,
    /// How many bytes are or were among the outgoing bytes.
    fed: usize,
    /// How many of those the system has taken.
    taken: usize,
    slot: Slot<usize>,
}

impl Write {
    const fn len(&self) -> usize {
        self.fed + self.left
    }
}

/// What a write consists of.
pub(crate) enum Data {
    One(Bytes),
    /// One and a line end.
    Line(Bytes),
    Many(Each<Bytes>),
}

impl Core {
    /// The frequent case of [`write`](Self::write): one that nothing stands before. Returns
    /// its length, if that was so and it is written; then the closure in `slot` is queued, too.
    #[inline]
    pub(crate) fn write_at_once(
        &mut self,
        stream: Id,
        bytes: &Bytes,
        is_line: bool,
        slot: Option<&mut Slot<usize>>,
    ) -> Option<usize> {
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else { return None };
        let ending: &[u8] = match is_line && bytes.last() != Some(&b'\n') {
            true => state.line_end.as_bytes(),
            false => b"",
        };
        let len = bytes.len() + ending.len();
        if state.outgoing.len() + len > state.settings.limits.unsent
            || !state.writes.is_empty()
            || state.closing.is_some()
            || state.write_error.is_some()
            || state.shutdown != Shutdown::No
            || state.fd_kind.is_file()
        {
            return None;
        }
        if bytes.len() <= COPY_MAX {
            state.outgoing.append_slices(bytes, ending, &mut self.spare);
        } else {
            self.deferred_drops.bytes.extend(state.outgoing.append(bytes.clone(), &mut self.spare));
            if !ending.is_empty() {
                state.outgoing.append_slice(ending, &mut self.spare);
            }
        }
        state.committed += len;
        if !state.dirty {
            state.dirty = true;
            self.dirty.push(stream);
        }
        // Not only with the first: an empty one may have made it dirty.
        if len > 0 {
            self.unsettled.set(&mut state.unsettled, true);
        }
        if let Some(slot) = slot {
            state.write_reported = self.round;
            self.ready.push_write(slot, len);
        }
        Some(len)
    }

    /// Queues the success of a write, flush or shutdown.
    #[inline]
    pub(crate) fn succeed_write<T: Value>(
        &mut self,
        stream: Id,
        chain: Id,
        slot: Slot<T>,
        value: T,
    ) {
        let round = self.round;
        if let Some(state) = self.stream(stream)
            && !slot.is_claim()
        {
            state.write_reported = round;
        }
        self.succeed(chain, slot, value);
    }

    /// What a small write would succeed with at once, if it would; then it is written.
    #[inline]
    pub(crate) fn write_now(&mut self, stream: Id, bytes: &Bytes, is_line: bool) -> Option<usize> {
        let round = self.round;
        // What an earlier callback has not heard comes first.
        if may_be_unheard(self.stream(stream)?.write_reported, round) {
            return None;
        }
        self.write_at_once(stream, bytes, is_line, None)
    }

    /// Submits a write.
    pub(crate) fn write(
        &mut self,
        stream: Id,
        data: Data,
        slot: Slot<usize>,
        timeout: Option<Duration>,
        chain: Id,
    ) -> Option<Id> {
        let Some(state) = self.stream(stream) else {
            self.refuse_write(chain, slot, data, Error::Closed);
            return None;
        };
        if let Some(error) = state.refuses_writes() {
            self.refuse_write(chain, slot, data, error);
            return None;
        }
        let ending: &'static [u8] = match &data {
            Data::Line(line) if line.last() != Some(&b'\n') => state.line_end.as_bytes(),
            _ => b"",
        };
        let len = ending.len()
            + match &data {
                Data::One(bytes) | Data::Line(bytes) => bytes.len(),
                Data::Many(many) => many.as_slice().iter().map(Bytes::len).sum(),
            };
        let left = len + state.outgoing.len() + state.queued;
        let fits = state.writes.is_empty() && left <= state.settings.limits.unsent;
        if !fits && left - len > state.settings.limits.queued {
            self.refuse_write(chain, slot, data, Error::Overloaded);
            return None;
        }
        state.queued += len;
        let mut rest: VecDeque<Bytes> = match data {
            Data::One(bytes) | Data::Line(bytes) => [bytes].into(),
            Data::Many(many) => many.into_vec().into(),
        };
        if !ending.is_empty() {
            rest.push_back(Bytes::from_static(ending));
        }
        let write = Box::new(Write { rest, left: len, fed: 0, taken: 0, slot });
        self.queue_writing(stream, Kind::Write(write), timeout, chain)
    }

    fn refuse_write(&mut self, chain: Id, slot: Slot<usize>, data: Data, error: Error) {
        match data {
            Data::One(bytes) | Data::Line(bytes) => self.deferred_drops.bytes.push(bytes),
            Data::Many(many) => self.deferred_drops.bytes.extend(many.into_vec()),
        }
        self.fail(chain, slot, error);
    }

    /// Queues something behind the writes of a stream.
    fn queue_writing(
        &mut self,
        stream: Id,
        kind: Kind,
        timeout: Option<Duration>,
        chain: Id,
    ) -> Option<Id> {
        let mut pending = Pending::new(kind, stream, chain);
        self.submissions += 1;
        pending.number = self.submissions;
        let id = self.insert(pending, timeout);
        let (state, pending) = self.stream_and_pending(stream)?;
        state.writes.push_back(pending, id);
        self.pump_writes(stream);
        Some(id)
    }

    /// Submits a flush.
    pub(crate) fn flush(
        &mut self,
        stream: Id,
        slot: Slot<()>,
        timeout: Option<Duration>,
        chain: Id,
    ) -> Option<Id> {
        let refused = match self.stream(stream) {
            None => Some(Error::Closed),
            // A flush after the shutdown of the direction still says whether all went out.
            Some(state) if state.shutdown != Shutdown::No && state.closing.is_none() => {
                state.write_error_reported |= state.write_error.is_some();
                state.write_error.as_deref().cloned()
            }
            Some(state) => state.refuses_writes(),
        };
        if let Some(error) = refused {
            self.fail(chain, slot, error);
            return None;
        }
        self.queue_writing(stream, Kind::Flush(slot), timeout, chain)
    }

    /// Submits a shutdown of the outgoing direction, behind the writes.
    pub(crate) fn shutdown_write(
        &mut self,
        stream: Id,
        slot: Slot<()>,
        timeout: Option<Duration>,
        chain: Id,
    ) -> Option<Id> {
        let refused = match self.stream(stream) {
            None => Some(Error::Closed),
            Some(state) if state.closing.is_some() => Some(Error::Closed),
            Some(state)
                if !matches!(state.fd_kind, FdKind::Socket { .. } | FdKind::Pipe { .. }) =>
            {
                Some(Error::unsupported("only a socket or pipe ends in one direction"))
            }
            Some(state) => {
                state.write_error_reported |= state.write_error.is_some();
                state.write_error.as_deref().cloned()
            }
        };
        if let Some(error) = refused {
            self.fail(chain, slot, error);
            return None;
        }
        let state = self.stream(stream)?;
        if state.shutdown == Shutdown::No {
            state.shutdown = Shutdown::Requested;
        }
        self.queue_writing(stream, Kind::ShutdownWrite(slot), timeout, chain)
    }

    /// Takes over what the head of the writes may hand to the outgoing bytes, and ends those that
    /// have what they wait for. Of a file, so do the reads behind them, and what is behind those.
    pub(crate) fn pump_writes(&mut self, stream: Id) {
        loop {
            self.pump_queued_writes(stream);
            self.update_pending(stream);
            if !self.serve_file_reads(stream) {
                return;
            }
        }
    }

    fn pump_queued_writes(&mut self, stream: Id) {
        loop {
            let Some(state) = self.stream(stream) else { return };
            let Some(head) = state.writes.head() else { break };
            if state.aborted.is_some() || state.drops_unsent() || self.is_gated(stream, head) {
                break;
            }
            if matches!(self.pending.get(head), Some(Pending { kind: Kind::Write(_), .. })) {
                self.before_file_write(stream);
            }
            let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else {
                return;
            };
            let Some(pending) = self.pending.get_mut(head) else { return };
            match &mut pending.kind {
                Kind::Write(write) => {
                    let done = state.outgoing.len() + write.left <= state.settings.limits.unsent;
                    let fed = write.fed;
                    while write.left > 0 && (done || state.outgoing.len() < SEND_MAX) {
                        let Some(mut bytes) = write.rest.pop_front() else { break };
                        if !done && bytes.len() > SEND_MAX {
                            write.rest.push_front(bytes.split_off(SEND_MAX));
                        }
                        write.left -= bytes.len();
                        write.fed += bytes.len();
                        state.queued -= bytes.len();
                        self.deferred_drops
                            .bytes
                            .extend(state.outgoing.append(bytes, &mut self.spare));
                    }
                    if write.fed > fed && !state.dirty {
                        state.dirty = true;
                        self.dirty.push(stream);
                    }
                    if !done {
                        break;
                    }
                    state.committed += write.fed - write.taken;
                    let count = write.len();
                    let Some((Kind::Write(write), chain)) = self.unqueue_write(stream, head) else {
                        return;
                    };
                    // What is empty is the user's all the same.
                    self.deferred_drops.bytes.extend(write.rest);
                    self.succeed_write(stream, chain, write.slot, count);
                }
                Kind::Flush(_)
                    if state.outgoing.len() > 0 && !mutants::is_active(Mutant::FlushEarly) =>
                {
                    break;
                }
                Kind::ShutdownWrite(_) if state.outgoing.len() > 0 => break,
                Kind::ShutdownWrite(_) if state.shutdown == Shutdown::Requested => {
                    state.shutdown = Shutdown::Running;
                    self.begin_shutdown(stream);
                    break;
                }
                Kind::ShutdownWrite(_) if state.shutdown == Shutdown::Running => break,
                _ => {
                    if let Some((Kind::Flush(slot) | Kind::ShutdownWrite(slot), chain)) =
                        self.unqueue_write(stream, head)
                    {
                        self.succeed_write(stream, chain, slot, ());
                    }
                }
            }
        }
    }

    /// On a pipe the end is told by closing it.
    fn begin_shutdown(&mut self, stream: Id) {
        let Some(state) = self.stream(stream) else { return };
        match state.fd_kind {
            FdKind::Socket { .. } => self.driver.submit(stream, Operation::ShutdownWrite),
            FdKind::Pipe { .. } => {
                self.driver.submit(stream, Operation::Close(Release::Close));
            }
            // A file or terminal has no direction to end; `shutdown_write` refuses.
            _ => self.was_shut_down(stream, Ok(())),
        }
    }

    pub(crate) fn was_shut_down(&mut self, stream: Id, result: io::Result<()>) {
        let Some(state) = self.stream(stream) else { return };
        state.shutdown = Shutdown::Done;
        if let Err(cause) = result {
            let error = Error::io_on(IoOperation::Shutdown, self.name_of(stream), cause);
            self.fail_writes(stream, error);
        }
        self.advance_stream(stream);
    }

    /// Sends what the turn has written: each stream once, all of it at once.
    pub(crate) fn send_dirty(&mut self) {
        let mut dirty = mem::take(&mut self.dirty);
        for stream in dirty.drain(..) {
            let Some(state) = self.stream(stream) else { continue };
            state.dirty = false;
            self.send(stream);
        }
        // Nothing becomes dirty by sending, so the list is put back for its memory.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
    }

    pub(crate) fn send(&mut self, stream: Id) {
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else {
            return;
        };
        if state.sending != Phase::Idle
            || state.outgoing.queued() == 0
            || state.attempt_of != Id::NONE
            || (state.set_back && self.setbacks.get(&stream).is_some_and(Setback::rests))
        {
            return;
        }
        // The frequent case: all of it goes out, and nobody waits for that.
        if state.is_only_sending()
            && let Some(bytes) = state.outgoing.whole()
            && bytes.len() <= SEND_MAX
            && let Some(result) = self.driver.send_now(stream, bytes)
        {
            if matches!(result, Ok(count) if count == bytes.len()) {
                state.committed = 0;
                state.outgoing.settle_whole(&mut self.spare, &mut self.deferred_drops.bytes);
                self.unsettled.set(&mut state.unsettled, false);
                return;
            }
            let gather = state.outgoing.take(SEND_MAX, &mut self.spare);
            return self.sent(stream, gather, result);
        }
        state.sending = Phase::Running;
        let gather = state.outgoing.take(SEND_MAX, &mut self.spare);
        match state.fd_kind.is_file() {
            true => self.write_file(stream, gather),
            false => self.driver.submit(stream, Operation::Send(gather)),
        }
    }

    /// The system has taken `result` bytes of a send.
    pub(crate) fn sent(&mut self, stream: Id, mut gather: Box<Gather>, result: io::Result<usize>) {
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else {
            return gather.clear(&mut self.deferred_drops.bytes);
        };
        state.sending = Phase::Idle;
        let mut count = result.as_ref().copied().unwrap_or(0);
        if mutants::is_active(Mutant::ShortWriteCountedWhole) && result.is_ok() {
            count = gather.len();
        }
        state.outgoing.settle(gather, count, &mut self.spare, &mut self.deferred_drops.bytes);
        let committed = count.min(state.committed);
        state.committed -= committed;
        // The frequent case: nobody waits for it.
        if result.is_ok() && state.is_only_sending() {
            return match state.outgoing.len() {
                0 => self.update_pending(stream),
                _ => self.send(stream),
            };
        }
        if count > committed
            && let Some(head) = state.writes.head()
            && let Some(Pending { kind: Kind::Write(write), .. }) = self.pending.get_mut(head)
        {
            write.taken += count - committed;
        }
        match result {
            Err(cause) if !self.bear(stream, &cause) => {
                let error = Error::io_on(IoOperation::Write, self.name_of(stream), cause);
                self.fail_writes(stream, error);
                self.was_broken(stream);
            }
            Err(_) => self.cut_if_interrupted(stream),
            Ok(_) => {
                if count > 0 {
                    self.end_shortage(stream);
                }
                self.cut_if_interrupted(stream);
            }
        }
        self.advance_stream(stream);
        // What is left goes out at once, and what the writes behind it have added.
        self.send(stream);
    }

    /// Ends a write, flush or shutdown early.
    pub(crate) fn abort_write(&mut self, stream: Id, id: Id, cause: Error) {
        let Some((state, pending)) = self.stream_and_pending(stream) else { return };
        let is_head = state.writes.head() == Some(id);
        if mutants::is_active(Mutant::NeighbourCancelled)
            && let Some(next) = state.writes.behind(pending, id)
            && let Some((Kind::Write(write), chain)) = self.unqueue_write(stream, next)
        {
            self.drop_rest(stream, write.rest);
            self.fail(chain, write.slot, cause.clone());
        }
        let Some((state, pending)) = self.stream_and_pending(stream) else { return };
        match pending.get(id).map(|pending| &pending.kind) {
            // It is with the system, and is about to end.
            Some(Kind::ShutdownWrite(_)) if is_head && state.shutdown == Shutdown::Running => {
                return;
            }
            Some(Kind::ShutdownWrite(_)) => {
                if let Some((Kind::ShutdownWrite(slot), chain)) = self.unqueue_write(stream, id) {
                    self.fail(chain, slot, cause);
                }
                self.reopen_if_no_shutdown_waits(stream);
            }
            Some(Kind::Write(write)) if write.fed > 0 => {
                // Some of it may be with the system, which has to say how much it took.
                if state.aborted.is_none() {
                    state.aborted = Some(Box::new(cause));
                }
                match state.sending {
                    Phase::Idle => self.cut_if_interrupted(stream),
                    Phase::Running => {
                        state.sending = Phase::Stopping;
                        return self.driver.cancel(stream, Role::Send);
                    }
                    Phase::Stopping => return,
                }
            }
            _ => match self.unqueue_write(stream, id) {
                Some((Kind::Write(write), chain)) => {
                    self.drop_rest(stream, write.rest);
                    self.fail(chain, write.slot, cause);
                }
                Some((Kind::Flush(slot), chain)) => self.fail(chain, slot, cause),
                _ => {}
            },
        }
        self.advance_stream(stream);
    }

    /// A shutdown that was cancelled before it began leaves the direction open.
    fn reopen_if_no_shutdown_waits(&mut self, stream: Id) {
        let Some((state, pending)) = self.stream_and_pending(stream) else { return };
        let mut next = state.writes.head();
        while let Some(id) = next {
            if matches!(pending.get(id), Some(Pending { kind: Kind::ShutdownWrite(_), .. })) {
                return;
            }
            next = state.writes.behind(pending, id);
        }
        if state.shutdown == Shutdown::Requested {
            state.shutdown = Shutdown::No;
        }
    }

    /// Ends the write at the head that was aborted, now that no send is in flight: its counts
    /// are exact. If the system took a part of it, the stream is cut there.
    fn cut_if_interrupted(&mut self, stream: Id) {
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else {
            return;
        };
        let Some(cause) = state.aborted.take() else { return };
        let Some(head) = state.writes.head() else { return };
        let Some(pending) = self.pending.get(head) else { return };
        if let Kind::Write(write) = &pending.kind
            && state.outgoing.len() + write.left <= state.settings.limits.unsent
        {
            // It has succeeded meanwhile, which comes first.
            return;
        }
        let number = pending.number;
        let Some((Kind::Write(write), chain)) = self.unqueue_write(stream, head) else { return };
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else {
            return;
        };
        let (spare, drops) = (&mut self.spare, &mut self.deferred_drops.bytes);
        let fed_rest = state.outgoing.cut(write.fed - write.taken, spare, drops);
        let error = write.error(*cause);
        if write.taken > 0 {
            state.queued -= write.left;
            let rest = join(fed_rest, write.rest, drops);
            state.keep_rest(PartialTail { number, rest, error: None }, drops);
            state.write_error_reported = true;
            let later = match &error {
                // Nothing is written any more, cut or not.
                Error::PartialWrite { cause, .. } if matches!(**cause, Error::EngineClosed) => {
                    Error::EngineClosed
                }
                Error::PartialWrite { cause, .. } if mutants::is_active(Mutant::CutUnnamed) => {
                    Error::clone(cause)
                }
                Error::PartialWrite { written, cause } => {
                    Error::Cut { written: *written, cause: cause.clone() }
                }
                other => other.clone(),
            };
            self.fail(chain, write.slot, error);
            self.fail_writes(stream, later);
        } else {
            self.deferred_drops.bytes.push(fed_rest);
            self.drop_rest(stream, write.rest);
            self.fail(chain, write.slot, error);
        }
    }

    /// Drops what a write has not fed.
    fn drop_rest(&mut self, stream: Id, rest: VecDeque<Bytes>) {
        if let Some(state) = self.stream(stream) {
            state.queued -= rest.iter().map(Bytes::len).sum::<usize>();
        }
        self.deferred_drops.bytes.extend(rest);
    }

    /// The outgoing direction has failed: everything queued hears it, and so will later writes.
    /// Each write says how much of it the system took. No send may be in flight.
    pub(crate) fn fail_writes(&mut self, stream: Id, error: Error) {
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else {
            return;
        };
        assert_eq!(state.sending, Phase::Idle, "the counts are exact only between sends");
        match &mut state.write_error {
            // The system's own failure is for good, and stands before a cut, which can be lifted.
            Some(before)
                if matches!(error, Error::Io { .. }) && !matches!(**before, Error::Io { .. }) =>
            {
                **before = error.clone();
                state.write_error_reported = false;
            }
            Some(_) => {}
            none => *none = Some(Box::new(error.clone())),
        }
        state.aborted = None;
        let mut cut = PartialTail { number: 0, rest: Bytes::new(), error: None };
        if let Some(head) = state.writes.head()
            && let Some(Pending { kind: Kind::Write(write), number, .. }) = self.pending.get(head)
            && write.taken > 0
        {
            cut.number = *number;
            let fed = write.fed - write.taken;
            cut.rest = state.outgoing.cut(fed, &mut self.spare, &mut self.deferred_drops.bytes);
        }
        state.committed = 0;
        state.outgoing.clear(&mut self.deferred_drops.bytes);
        state.write_error_reported |= !state.writes.is_empty();
        while let Some(head) = self.stream(stream).and_then(|state| state.writes.head()) {
            match self.unqueue_write(stream, head) {
                Some((Kind::Write(write), chain))
                    if write.taken > 0 && write.taken == write.len() =>
                {
                    self.deferred_drops.bytes.extend(write.rest);
                    self.succeed(chain, write.slot, write.taken);
                }
                Some((Kind::Write(write), chain)) => {
                    let failure = write.error(error.clone());
                    if write.taken > 0 {
                        let drops = &mut self.deferred_drops.bytes;
                        let rest = join(mem::take(&mut cut.rest), write.rest, drops);
                        if let Some(Resource::Stream(state)) = self.resources.get_mut(stream) {
                            state.queued -= write.left;
                            state.keep_rest(
                                PartialTail { number: cut.number, rest, error: None },
                                drops,
                            );
                        }
                    } else {
                        self.drop_rest(stream, write.rest);
                    }
                    self.fail(chain, write.slot, failure);
                }
                Some((Kind::Flush(slot) | Kind::ShutdownWrite(slot), chain)) => {
                    self.fail(chain, slot, error.clone());
                }
                _ => return,
            }
        }
        self.update_pending(stream);
    }

    /// Ends a write that a stuck thread holds a part of, when the engine goes: its count is what the
    /// thread has told so far.
    pub(crate) fn abandon_write(&mut self, id: Id, cause: Error) {
        let Some(Pending { kind: Kind::Write(_), resource, .. }) = self.pending.get(id) else {
            return;
        };
        let stream = *resource;
        if let Some((Kind::Write(write), chain)) = self.unqueue_write(stream, id) {
            let error = write.error(cause);
            self.deferred_drops.bytes.extend(write.rest);
            self.fail(chain, write.slot, error);
        }
    }

    /// Takes something out of the queue of writes and the table.
    fn unqueue_write(&mut self, stream: Id, id: Id) -> Option<(Kind, Id)> {
        if let Some((state, pending)) = self.stream_and_pending(stream) {
            state.writes.remove(pending, id);
        }
        self.remove(id).map(|pending| (pending.kind, pending.chain))
    }

    /// Hands over the rest of a cut write, and lets later writes go on.
    pub(crate) fn take_unsent(&mut self, stream: &Stream, slot: Slot<Bytes>) -> Option<Id> {
        let id = self.id_of(stream);
        let Some(state) = self.stream(id).filter(|state| state.closing.is_none()) else {
            self.fail(Id::NONE, slot, Error::Closed);
            return None;
        };
        let Some(mut cut) = state.cut.take().map(|cut| *cut) else {
            self.succeed(Id::NONE, slot, Bytes::new());
            return None;
        };
        if !matches!(state.write_error.as_deref(), Some(Error::Io { .. })) {
            cut.error = state.write_error.take();
            state.write_error_reported = false;
        }
        let rest = cut.rest.clone();
        let origin = || Origin::Unsent(Box::new((stream.clone(), cut)));
        let is_claim = slot.is_claim();
        let outcome = Outcome::Bytes(slot.deliver_from(Ok(rest), origin));
        if is_claim {
            return Some(self.tell_claim(Id::NONE, Id::NONE, || Ok(Product::None), outcome));
        }
        self.tell(Id::NONE, || Ok(Product::None), outcome.ready());
        None
    }

    /// A claim on the rest of a cut write was not taken: the stream is cut again.
    pub(crate) fn give_back_unsent(&mut self, stream: &Stream, mut cut: PartialTail) {
        let id = self.id_of(stream);
        let Some(Resource::Stream(state)) = self.resources.get_mut(id) else {
            return self.deferred_drops.bytes.push(cut.rest);
        };
        let error = cut.error.take();
        state.keep_rest(cut, &mut self.deferred_drops.bytes);
        if state.write_error.is_none() {
            // The write itself has heard of it.
            state.write_error = error;
            state.write_error_reported = true;
        }
    }

    /// Whether an operation on a file must wait for an earlier one in the other direction.
    pub(crate) fn is_gated(&mut self, stream: Id, id: Id) -> bool {
        let Some((state, pending)) = self.stream_and_pending(stream) else { return false };
        if !state.fd_kind.is_file() {
            return false;
        }
        let number = |id: Id| pending.get(id).map_or(u64::MAX, |pending| pending.number);
        let is_read = matches!(pending.get(id), Some(Pending { kind: Kind::Read(_), .. }));
        if is_read {
            let earlier = state.writes.head().is_some_and(|head| number(head) < number(id));
            earlier || state.outgoing.len() > 0
        } else {
            let earlier = state.reads.head().is_some_and(|head| number(head) < number(id));
            earlier || state.reception != Phase::Idle
        }
    }

    /// Serves reads of a file that waited for writes to get out. Returns whether one had what it
    /// wanted, so that what waits for it may go on.
    fn serve_file_reads(&mut self, stream: Id) -> bool {
        let Some(state) = self.stream(stream).filter(|state| state.fd_kind.is_file()) else {
            return false;
        };
        if state.outgoing.len() > 0 || !state.has_reads() || state.reception != Phase::Idle {
            return false;
        }
        let head = state.reads.head();
        self.serve_reads(stream);
        self.stream(stream).is_some_and(|state| state.reads.head() != head)
    }
}

impl Write {
    /// What a write that did not succeed says.
    fn error(&self, cause: Error) -> Error {
        match self.taken {
            0 => cause,
            written => Error::PartialWrite { written, cause: Box::new(cause) },
        }
    }
}

impl StreamState {
    /// Why a write is refused, if it is.
    fn refuses_writes(&mut self) -> Option<Error> {
        if self.closing.is_some() {
            return Some(Error::Closed);
        }
        if let Some(error) = &self.write_error {
            self.write_error_reported = true;
            return Some(Error::clone(error));
        }
        (self.shutdown != Shutdown::No).then_some(Error::Closed)
    }

    /// Whether a close has begun that drops what is unsent.
    pub(crate) fn drops_unsent(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.drops_unsent())
    }

    /// Whether nothing is to happen when its bytes are out.
    const fn is_only_sending(&self) -> bool {
        self.writes.is_empty()
            && self.closing.is_none()
            && !self.released
            && !self.fd_kind.is_file()
            && !self.set_back
    }

    /// Keeps the rest of a cut write for whoever takes it. There is another if that write was
    /// submitted while a claim on the rest of an earlier one was held: then both are kept as one, in
    /// the order of their writes.
    fn keep_rest(&mut self, mut cut: PartialTail, drops: &mut Vec<Bytes>) {
        if let Some(other) = self.cut.take() {
            let (first, second) =
                if other.number < cut.number { (*other, cut) } else { (cut, *other) };
            let rest = join(first.rest, [second.rest].into(), drops);
            cut = PartialTail { rest, ..first };
        }
        self.cut = Some(Box::new(cut));
    }
}

/// One piece of several. What they were in is dropped later.
fn join(first: Bytes, rest: VecDeque<Bytes>, drops: &mut Vec<Bytes>) -> Bytes {
    let more: usize = rest.iter().map(Bytes::len).sum();
    let mut all = BytesMut::with_capacity(first.len() + more);
    for bytes in iter::once(first).chain(rest) {
        all.extend_from_slice(&bytes);
        drops.push(bytes);
    }
    all.freeze()
}
