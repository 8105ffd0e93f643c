//! How streams are written: a write appends to the outgoing bytes, the turn's end sends them, and
//! what the system says that it has taken leaves them.
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
        stream::{Shutdown, StreamState, rare::RareState, setback::Setback},
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

/// A write that waits: not all of it is among the outgoing bytes yet.
pub(crate) struct Write {
    /// What has not been moved to the outgoing bytes yet.
    rest: VecDeque<Bytes>,
    /// How many bytes `rest` holds.
    left: usize,
    /// How many bytes have been moved to the outgoing bytes.
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
    /// One piece and, unless it ends in one, a line end.
    Line(Bytes),
    Many(Each<Bytes>),
}

impl Core {
    /// The frequent case of [`write`](Self::write): no other write waits, and all of it fits among
    /// the outgoing bytes. Then it is moved there, its success is queued for the closure in `slot`,
    /// and its length is returned. In any other case nothing is done.
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
            || state.rare.get().is_some_and(RareState::bars_writes)
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
        // Not only when the stream becomes dirty: an empty write may have made it so, without an
        // unsent byte.
        if len > 0 {
            self.unsettled.set(&mut state.unsettled, true);
        }
        if let Some(slot) = slot {
            state.write_reported = self.round;
            self.ready.push_count(slot, len);
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

    /// Does a write at once and without a callback, if nothing stands in its way, and returns its
    /// length; otherwise nothing is written. A write whose success was queued a moment ago stands
    /// in its way: its callback has to run first.
    #[inline]
    pub(crate) fn write_now(&mut self, stream: Id, bytes: &Bytes, is_line: bool) -> Option<usize> {
        let round = self.round;
        // The callback of an earlier write that has succeeded may not have run, and comes first.
        if may_be_unheard(self.stream(stream)?.write_reported, round) {
            return None;
        }
        self.write_at_once(stream, bytes, is_line, None)
    }

    /// Sends what was written at once, if nothing stands in the way; none if a flush has to be
    /// submitted. Only one is done at once while those who wait for their turn have none: whoever
    /// writes to a peer that takes all would never wait.
    pub(crate) fn flush_now(&mut self, stream: Id) -> Option<()> {
        let round = self.round;
        let state = self.stream(stream)?;
        // The callback of an earlier write that has succeeded may not have run, and comes first.
        let is_free = !may_be_unheard(state.write_reported, round)
            && state.writes.is_empty()
            && !state.rare.get().is_some_and(RareState::bars_writes)
            && state.shutdown == Shutdown::No
            && !state.fd_kind.is_file();
        if !is_free {
            return None;
        }
        if state.outgoing.len() > 0 {
            state.write_reported = round;
            self.send(stream);
        }
        let state = self.stream(stream)?;
        (state.outgoing.len() == 0 && state.rare.write_error.is_none()).then_some(())
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
            Some(state) if state.shutdown != Shutdown::No && !state.rare.is_closing() => {
                state.rare.report_write_error()
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
            Some(state) if state.rare.is_closing() => Some(Error::Closed),
            Some(state)
                if !matches!(state.fd_kind, FdKind::Socket { .. } | FdKind::Pipe { .. }) =>
            {
                Some(Error::unsupported("only a socket or pipe ends in one direction"))
            }
            Some(state) => state.rare.report_write_error(),
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

    /// Moves bytes of the writes that wait to the outgoing bytes, as far as there is room, and
    /// completes those writes, flushes and shutdowns that have what they wait for. Reads and writes
    /// of a file share one order, so its reads that come next are served then, and the writes
    /// behind those go on.
    pub(crate) fn pump_writes(&mut self, stream: Id) {
        loop {
            self.pump_queued_writes(stream);
            self.update_pending(stream);
            if !self.serve_file_reads(stream) {
                return;
            }
        }
    }

    /// One step of [`pump_writes`](Self::pump_writes): takes the writes, flushes and shutdowns from
    /// the head of their queue, one after the other, until one has to wait.
    fn pump_queued_writes(&mut self, stream: Id) {
        loop {
            let Some(state) = self.stream(stream) else { return };
            let Some(head) = state.writes.head() else { break };
            // The head has to wait for something else than room: it was aborted and waits for the
            // send in flight, a close drops it, or an earlier read of the same file comes first.
            if state.rare.aborted.is_some() || state.drops_unsent() || self.is_gated(stream, head) {
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
                Kind::CopyTo(way_of) => {
                    let way_of = *way_of;
                    self.go_on_copying(way_of);
                    let head_now = self.stream(stream).and_then(|state| state.writes.head());
                    if head_now == Some(head) {
                        break;
                    }
                }
                Kind::Write(write) => {
                    // A write is done when all of its rest fits among the outgoing bytes. One that
                    // is not done moves over only so much that the next send is full, and stays at
                    // the head: each send makes room for more of it.
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
                    // What was moved over is sent when the turn ends.
                    if write.fed > fed && !state.dirty {
                        state.dirty = true;
                        self.dirty.push(stream);
                    }
                    if !done {
                        break;
                    }
                    // It succeeds: what the system has not taken of it is the engine's to send from
                    // now on, and it leaves the queue. The next one is looked at.
                    state.committed += write.fed - write.taken;
                    let count = write.len();
                    let Some((Kind::Write(write), chain)) = self.unqueue_write(stream, head) else {
                        return;
                    };
                    // Empty pieces are left. Their drop may run the user's code, too, so it is
                    // deferred.
                    self.deferred_drops.bytes.extend(write.rest);
                    self.succeed_write(stream, chain, write.slot, count);
                }
                // A flush waits until everything before it is sent, and so does a shutdown.
                Kind::Flush(_)
                    if state.outgoing.len() > 0 && !mutants::is_active(Mutant::FlushEarly) =>
                {
                    break;
                }
                Kind::ShutdownWrite(_) if state.outgoing.len() > 0 => break,
                // Now it is handed to the driver, and stays at the head until that has done it.
                Kind::ShutdownWrite(_) if state.shutdown == Shutdown::Requested => {
                    state.shutdown = Shutdown::Running;
                    self.begin_shutdown(stream);
                    break;
                }
                Kind::ShutdownWrite(_) if state.shutdown == Shutdown::Running => break,
                // A flush with nothing left to send, or a shutdown that the driver has done.
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

    /// Has the driver shut the outgoing direction down. A pipe is closed for that: it has no other
    /// way to show its reader an end.
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

    /// The driver has shut the outgoing direction down, or failed to.
    pub(crate) fn was_shut_down(&mut self, stream: Id, result: io::Result<()>) {
        let Some(state) = self.stream(stream) else { return };
        state.shutdown = Shutdown::Done;
        if let Err(cause) = result {
            let error = Error::io_on(IoOperation::Shutdown, self.name_of(stream), cause);
            self.fail_writes(stream, error);
        }
        self.advance_stream(stream);
    }

    /// Sends what was written in this turn: one send for each stream, with all of its bytes.
    pub(crate) fn send_dirty(&mut self) {
        let mut dirty = mem::take(&mut self.dirty);
        for stream in dirty.drain(..) {
            let Some(state) = self.stream(stream) else { continue };
            state.dirty = false;
            self.send(stream);
        }
        // The list is put back, so that its memory is used again.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
    }

    /// Sends the outgoing bytes of a stream, unless a send is in flight or must not begin yet.
    pub(crate) fn send(&mut self, stream: Id) {
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else {
            return;
        };
        if state.sending != Phase::Idle
            || state.outgoing.queued() == 0
            || state.rare.attempt_of != Id::NONE
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
                self.counts.bytes_sent += bytes.len() as u64;
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

    /// A send has come back: the system has taken `result` bytes of it, or refused it.
    pub(crate) fn sent(&mut self, stream: Id, mut gather: Box<Gather>, result: io::Result<usize>) {
        self.counts.bytes_sent += *result.as_ref().unwrap_or(&0) as u64;
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else {
            return gather.clear(&mut self.deferred_drops.bytes);
        };
        // No send is in flight any more, so all counts are exact until the next one begins.
        state.sending = Phase::Idle;
        let mut count = result.as_ref().copied().unwrap_or(0);
        if mutants::is_active(Mutant::ShortWriteCountedWhole) && result.is_ok() {
            count = gather.len();
        }
        // What the system has taken leaves the outgoing bytes; what it has not is unsent again.
        // Bytes of writes that have succeeded stand in front, so they count as taken first.
        state.outgoing.settle(gather, count, &mut self.spare, &mut self.deferred_drops.bytes);
        let committed = count.min(state.committed);
        state.committed -= committed;
        // The frequent case: nothing waits for it. What is left is sent at once.
        if result.is_ok() && state.is_only_sending() {
            return match state.outgoing.len() {
                0 => self.update_pending(stream),
                _ => self.send(stream),
            };
        }
        // The rest of the count was taken of the write at the head, which has not succeeded yet.
        if count > committed
            && let Some(head) = state.writes.head()
            && let Some(Pending { kind: Kind::Write(write), .. }) = self.pending.get_mut(head)
        {
            write.taken += count - committed;
        }
        match result {
            // A refusal that does not pass: all that is queued fails, and so may the reads.
            Err(cause) if !self.bear(stream, &cause) => {
                let error = Error::io_on(IoOperation::Write, self.name_of(stream), cause);
                self.fail_writes(stream, error);
                self.was_broken(stream);
            }
            // A refusal that may pass: the bytes are unsent as before, and tried again after a
            // pause.
            Err(_) => self.cut_if_interrupted(stream),
            // Something was sent, so a shortage is over. A write that was aborted has waited for
            // this count, and ends now.
            Ok(_) => {
                if count > 0 {
                    self.end_shortage(stream);
                    self.note_sent(stream);
                }
                self.cut_if_interrupted(stream);
            }
        }
        // There is room now for the writes that wait; flushes, a shutdown or a close may go on.
        // What is left, and what those writes have added, is sent at once.
        self.advance_stream(stream);
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
            // The shutdown is with the driver already, and is about to complete.
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
                state.rare.make().aborted.get_or_insert_with(|| Box::new(cause));
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

    /// Ends the write at the head if it was aborted. No send is in flight now, so its counts are
    /// exact. If the system has taken a part of it, the stream is cut there: the rest is kept for
    /// `take_unsent`, and other writes fail until it is taken.
    fn cut_if_interrupted(&mut self, stream: Id) {
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else {
            return;
        };
        let Some(cause) = state.rare.take_aborted() else { return };
        let Some(head) = state.writes.head() else { return };
        let Some(pending) = self.pending.get(head) else { return };
        if let Kind::Write(write) = &pending.kind
            && state.outgoing.len() + write.left <= state.settings.limits.unsent
        {
            // What was sent meanwhile has made room for all of it: it succeeds, and that comes
            // first.
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
            state.rare.make().write_error_reported = true;
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

    /// Drops the bytes of a write that have not been moved to the outgoing bytes.
    fn drop_rest(&mut self, stream: Id, rest: VecDeque<Bytes>) {
        if let Some(state) = self.stream(stream) {
            state.queued -= rest.iter().map(Bytes::len).sum::<usize>();
        }
        self.deferred_drops.bytes.extend(rest);
    }

    /// The outgoing direction has failed: everything that is queued fails, and so will later
    /// writes. Each write reports how much of it the system has taken, so no send may be in flight.
    pub(crate) fn fail_writes(&mut self, stream: Id, error: Error) {
        self.give_back_copied(stream);
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else {
            return;
        };
        assert_eq!(state.sending, Phase::Idle, "the counts are exact only between sends");
        let rare = state.rare.make();
        match &mut rare.write_error {
            // A failure of the system's is for good. It replaces the error of a cut, which
            // `take_unsent` would lift.
            Some(before)
                if matches!(error, Error::Io { .. }) && !matches!(**before, Error::Io { .. }) =>
            {
                **before = error.clone();
                rare.write_error_reported = false;
            }
            Some(_) => {}
            none => *none = Some(Box::new(error.clone())),
        }
        rare.aborted = None;
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
        state.rare.make().write_error_reported |= !state.writes.is_empty();
        while let Some(head) = self.stream(stream).and_then(|state| state.writes.head()) {
            if let Some(Pending { kind: Kind::CopyTo(way_of), .. }) = self.pending.get(head) {
                let copy = way_of.copy;
                self.end_copy(copy, Err(error.clone()));
                continue;
            }
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

    /// Ends a write of which a stuck thread holds a part, because the engine ends: it reports as
    /// taken what the thread has reported so far.
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
        let Some(state) = self.stream(id).filter(|state| state.rare.closing.is_none()) else {
            self.fail(Id::NONE, slot, Error::Closed);
            return None;
        };
        let Some(mut cut) = state.rare.take_cut().map(|cut| *cut) else {
            self.succeed(Id::NONE, slot, Bytes::new());
            return None;
        };
        if !matches!(state.rare.write_error.as_deref(), Some(Error::Io { .. })) {
            cut.error = state.rare.take_write_error();
        }
        let rest = cut.rest.clone();
        let origin = || Origin::Unsent(Box::new((stream.clone(), cut)));
        let is_claim = slot.is_claim();
        let outcome = Outcome::Bytes(slot.deliver_from(Ok(rest), origin));
        if is_claim {
            return Some(self.tell_claim(Id::NONE, Id::NONE, || Ok(Product::None), outcome));
        }
        self.tell(Id::NONE, || Ok(Product::None), outcome);
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
        if state.rare.write_error.is_none() {
            // The write that was cut has failed with it already.
            let rare = state.rare.make();
            (rare.write_error, rare.write_error_reported) = (error, true);
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

    /// Serves reads of a file that have waited for earlier writes to be sent. Returns whether one
    /// has completed, so that the writes behind it may go on.
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
    /// The error of a write that fails for `cause`: it says how much the system has taken, if
    /// anything.
    fn error(&self, cause: Error) -> Error {
        match self.taken {
            0 => cause,
            written => Error::PartialWrite { written, cause: Box::new(cause) },
        }
    }
}

impl StreamState {
    /// Why a write is refused, if it is.
    pub(crate) fn refuses_writes(&mut self) -> Option<Error> {
        if self.rare.is_closing() {
            return Some(Error::Closed);
        }
        let error = self.rare.report_write_error();
        error.or_else(|| (self.shutdown != Shutdown::No).then_some(Error::Closed))
    }

    /// Whether a close has begun that drops what is unsent.
    pub(crate) fn drops_unsent(&self) -> bool {
        self.rare.closing.as_ref().is_some_and(|closing| closing.drops_unsent())
    }

    /// Whether nothing is to follow when its bytes are sent: nothing waits for that, and no close.
    fn is_only_sending(&self) -> bool {
        self.writes.is_empty()
            && !self.rare.is_closing()
            && !self.released
            && !self.fd_kind.is_file()
            && !self.set_back
            && !self.waits_for_room
    }

    /// Keeps the rest of a cut write for whoever takes it. There is another if that write was
    /// submitted while a claim on the rest of an earlier one was held: then both are kept as one,
    /// in the order of their writes.
    fn keep_rest(&mut self, mut cut: PartialTail, drops: &mut Vec<Bytes>) {
        let rare = self.rare.make();
        if let Some(other) = rare.cut.take() {
            let (first, second) =
                if other.number < cut.number { (*other, cut) } else { (cut, *other) };
            let rest = join(first.rest, [second.rest].into(), drops);
            cut = PartialTail { rest, ..first };
        }
        rare.cut = Some(Box::new(cut));
    }
}

/// Copies several pieces into one. The pieces themselves are dropped later, when nothing is
/// borrowed.
fn join(first: Bytes, rest: VecDeque<Bytes>, drops: &mut Vec<Bytes>) -> Bytes {
    let more: usize = rest.iter().map(Bytes::len).sum();
    let mut all = BytesMut::with_capacity(first.len() + more);
    for bytes in iter::once(first).chain(rest) {
        all.extend_from_slice(&bytes);
        drops.push(bytes);
    }
    all.freeze()
}
