//! The read that waits at the head of its stream, if it is of the frequent kind: one of the simple
//! matchers, with a callback of its own. It waits in the stream itself, without an entry in the
//! table of operations, so that a connection costs little while a read waits on it, and little when
//! its bytes come. Reads that come after it queue behind it.
//!
//! A head read that gives a claim takes its bytes only when its callback runs. Until then it is a
//! read that waits like any other, so a cancel needs to put nothing back.

use std::{mem, num::NonZeroUsize};

use bytes::{Bytes, BytesMut};

use crate::{
    core::{
        Core,
        resource::{Phase, Resource},
        stream::{
            StreamState,
            rare::RareState,
            read::{ClaimSource, Plain, Verdict},
        },
    },
    handles::{
        callback::{Callback, Claimant, Slot},
        cancel::Key,
        claim::{Claim, Origin},
        queue::ready::Ready,
    },
    pure::{
        error::Error,
        limits::Bound,
        table::Id,
        timer::{Target, TimerNumber},
    },
};

/// The read at the head.
pub(crate) struct HeadRead {
    /// Its deadline, or zero.
    pub(crate) timer: TimerNumber,
    /// The ticket by which it is cancelled, if it was submitted through the inbox; else zero.
    pub(crate) ticket: u64,
    /// The most it may take.
    limit: usize,
    matcher: Plain,
    slot: Slot<Bytes>,
    /// How many bytes its match takes, once it has matched and its callback, which gets a claim, is
    /// queued. It is one at least: a read of no bytes never becomes a head read.
    matched: Option<NonZeroUsize>,
}

/// What came of submitting a read.
pub(crate) enum Submitted {
    /// It has succeeded at once: its callback is queued.
    Completed,
    Waits(Key),
}

impl HeadRead {
    /// The method of the read.
    pub(crate) const fn operation(&self) -> &'static str {
        self.matcher.operation()
    }

    /// The unread bytes in front have changed: the matcher has to look at them anew, and a match
    /// that was not delivered yet is void.
    pub(crate) fn restart(&mut self) {
        self.matcher.restart();
        self.matched = None;
    }
}

impl StreamState {
    /// Whether a read waits for bytes, or has matched and its callback, which gets a claim, has not
    /// run.
    pub(crate) const fn has_reads(&self) -> bool {
        self.head_read.is_some() || !self.reads.is_empty() || self.claims > 0
    }

    /// Whether a read waits for bytes that have not come: it has not matched, and no matcher of the
    /// user's is queued to look; nor does it repeat and has something to hand out, or is paused.
    pub(crate) fn has_unmatched_reads(&self) -> bool {
        self.has_unmatched_head_read() || (!self.reads.is_empty() && !self.scanning && !self.holds)
    }

    /// Whether a head read waits for bytes, and not only for its callback to run.
    pub(crate) fn has_unmatched_head_read(&self) -> bool {
        self.head_read.as_ref().is_some_and(|head_read| head_read.matched.is_none())
    }

    /// Whether it is still open which bytes are left to the queued read with this id: an earlier
    /// read has matched and its callback has not got the claim, the user's matcher of an earlier
    /// read has not looked, or the handler of one that repeats has still to be called.
    pub(crate) fn is_undecided_before(&self, id: Id) -> bool {
        self.claims > 0
            || self.head_read.as_ref().is_some_and(|head_read| head_read.matched.is_some())
            || ((self.scanning || self.holds) && self.reads.head() != Some(id))
    }

    /// Whether a read that is submitted now may take unread bytes at once: no other read comes
    /// before it.
    #[inline]
    pub(crate) fn is_readable_at_once(&self) -> bool {
        !self.has_reads() && !self.rare.is_closing() && !self.fd_kind.is_file()
    }

    /// Takes the bytes that a head read has matched, as the claim for its callback.
    fn claim(&mut self, source: ClaimSource, matcher: &Plain, end: usize) -> Claim<Bytes> {
        let place = source.place(&self.unread);
        let output = matcher.take_output(&mut self.unread, end);
        let to_raw = match matcher {
            Plain::Peek(_) => return Claim::new(output, Origin::Nowhere),
            Plain::Chunk(_) | Plain::Exact(_) | Plain::Until(..) => Bytes::clone,
            Plain::Line(_) if end == output.len() + 1 => with_lf,
            Plain::Line(_) => with_crlf,
        };
        Claim::on_bytes(output, place, to_raw)
    }
}

fn with_lf(line: &Bytes) -> Bytes {
    with_ending(line, b"\n")
}

fn with_crlf(line: &Bytes) -> Bytes {
    with_ending(line, b"\r\n")
}

fn with_ending(line: &Bytes, ending: &[u8]) -> Bytes {
    let mut raw = BytesMut::with_capacity(line.len() + ending.len());
    raw.extend_from_slice(line);
    raw.extend_from_slice(ending);
    raw.freeze()
}

impl Core {
    /// Submits a read of the frequent kind, unless something unusual stands in its way, such as
    /// another read: then it returns `None` and leaves `cb` as it is. Otherwise it has taken the
    /// slot out of `cb`.
    #[inline]
    pub(crate) fn submit_head_read(
        &mut self,
        stream: Id,
        matcher: &mut Plain,
        bound: Bound,
        cb: &mut Callback<Bytes>,
    ) -> Option<Submitted> {
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else { return None };
        if matches!(cb.slot, Slot::Local(_) | Slot::Ignore) {
            return None;
        }
        if state.has_reads()
            || state.fd_kind.is_file()
            || state.rare.get().is_some_and(RareState::bars_reads)
        {
            return None;
        }
        let limit = state.settings.limits.of_read(bound);
        let matched = match matcher.judge(&mut state.unread, None, limit) {
            // A read of no bytes takes the general way, see `HeadRead::matched`.
            Verdict::Take(end @ 1..) => NonZeroUsize::new(end),
            Verdict::Wait => None,
            Verdict::Take(0) | Verdict::GoOn | Verdict::TooLong | Verdict::Ended => return None,
        };
        if let Some(end) = matched
            && !cb.slot.is_claim()
        {
            let output = matcher.take_output(&mut state.unread, end.get());
            state.read_reported = self.round;
            self.ready.push_bytes(&mut cb.slot, output);
            return Some(Submitted::Completed);
        }
        let slot = mem::replace(&mut cb.slot, Slot::Ignore);
        // Zero is never the number of a head read: in a `Cancel` it stands for none.
        state.head_reads = state.head_reads.checked_add(1).unwrap_or(1);
        let number = state.head_reads;
        let matcher = matcher.clone();
        let head_read = HeadRead { timer: 0, ticket: 0, limit, matcher, slot, matched };
        state.head_read = Some(head_read);
        // Whoever waits for bytes has taken what had come.
        state.unread.tidy(&mut self.spare_unread);
        let idle = state.reception == Phase::Idle;
        self.head_reads += 1;
        if let Some(timeout) = cb.timeout {
            let timer = self.arm_target(timeout, Target::HeadRead(stream, number));
            if let Some(head_read) = self.head_read(stream, number) {
                head_read.timer = timer;
            }
        }
        if matched.is_some() {
            self.ready.push_head_read(stream, number);
        }
        if idle {
            self.update_recv(stream);
        }
        Some(Submitted::Waits(Key::HeadRead(stream, number)))
    }

    /// The head read with this number.
    pub(crate) fn head_read(&mut self, stream: Id, number: u32) -> Option<&mut HeadRead> {
        let state = self.stream(stream)?;
        state.head_read.as_mut().filter(|_| state.head_reads == number)
    }

    /// Takes the head read out of its stream; its deadline is forgotten.
    #[inline]
    fn take_head_read(&mut self, stream: Id) -> Option<HeadRead> {
        let head_read = self.stream(stream)?.head_read.take()?;
        self.forget_head_read(head_read.timer, head_read.ticket);
        Some(head_read)
    }

    /// A head read has left its stream: it is not counted any more, and its deadline and ticket are
    /// forgotten.
    #[inline]
    fn forget_head_read(&mut self, mut timer: TimerNumber, ticket: u64) {
        self.head_reads -= 1;
        self.timers.disarm(&mut timer);
        self.forget_ticket(ticket);
    }

    /// Completes the head read if the unread bytes or the end of the stream decide it. Returns
    /// whether there still is a head read: one that waits for bytes, or has matched and waits for
    /// its callback.
    #[inline]
    pub(crate) fn serve_head_read(&mut self, stream: Id) -> bool {
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else { return false };
        let Some(head_read) = &mut state.head_read else { return false };
        if head_read.matched.is_some() {
            return true;
        }
        let limit = head_read.limit;
        let verdict = head_read.matcher.judge(&mut state.unread, state.rare.end(), limit);
        let failure = match verdict {
            Verdict::Take(end) => {
                if head_read.slot.is_claim() {
                    head_read.matched = NonZeroUsize::new(end);
                    self.ready.push_head_read(stream, state.head_reads);
                    return true;
                }
                let output = head_read.matcher.take_output(&mut state.unread, end);
                state.read_reported = self.round;
                self.ready.push_bytes(&mut head_read.slot, output);
                let (timer, ticket) = (head_read.timer, head_read.ticket);
                state.head_read = None;
                self.forget_head_read(timer, ticket);
                return false;
            }
            Verdict::Wait => return true,
            Verdict::GoOn => unreachable!("the frequent reads are not counted"),
            Verdict::TooLong | Verdict::Ended => verdict.failure(limit, state.rare.end()),
        };
        if let Some(error) = failure {
            self.fail_head_read(stream, error);
        }
        false
    }

    /// Ends the head read with an error.
    pub(crate) fn fail_head_read(&mut self, stream: Id, error: Error) {
        let Some(HeadRead { slot, .. }) = self.take_head_read(stream) else { return };
        let round = self.round;
        let Some(state) = self.stream(stream) else { return };
        state.read_reported = round;
        self.fail(Id::NONE, slot, error);
    }

    /// Fails the head read, whichever it is, because its stream closes or the engine ends. One that
    /// has matched is left alone: its success is queued.
    pub(crate) fn end_head_read(&mut self, stream: Id, cause: Error) {
        if self.stream(stream).is_some_and(|state| state.has_unmatched_head_read()) {
            self.fail_head_read(stream, cause);
        }
    }

    /// Ends the head read with this number early; the bytes stay unread. Returns whether it was
    /// there and could still be ended.
    pub(crate) fn abort_head_read(&mut self, stream: Id, number: u32, cause: Error) -> bool {
        match self.head_read(stream, number) {
            None => return false,
            // It has matched, so its time cannot be up any more. A cancel withdraws the success, as
            // its callback has not run.
            Some(head_read) if head_read.matched.is_some() => {
                if !matches!(cause, Error::Cancelled) {
                    return false;
                }
                head_read.matched = None;
            }
            Some(_) => {}
        }
        self.fail_head_read(stream, cause);
        self.advance_stream(stream);
        true
    }

    /// The callback of a head read that has matched is to run now: takes out whom to call and the
    /// claim on the bytes.
    #[inline]
    pub(crate) fn deliver_head_read(
        &mut self,
        stream: Id,
        number: u32,
    ) -> Option<(Claimant<Bytes>, Claim<Bytes>)> {
        let source = ClaimSource { engine: self.engine, stream };
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else { return None };
        let head_read = state.head_read.as_mut().filter(|_| state.head_reads == number)?;
        let end = head_read.matched?.get();
        let Slot::Claim(to) = mem::replace(&mut head_read.slot, Slot::Ignore) else {
            unreachable!("only a read that gives a claim waits although it has matched");
        };
        let (matcher, timer, ticket) =
            (head_read.matcher.clone(), head_read.timer, head_read.ticket);
        state.head_read = None;
        let claim = state.claim(source, &matcher, end);
        // Others are served after the callback, which may put the bytes back in front of them.
        let others_wait = !state.reads.is_empty() || state.rare.is_closing();
        let is_released = state.released;
        let is_steered =
            state.reception == Phase::Running && state.unread.len() < state.settings.limits.unread;
        let is_steered = is_steered && !state.set_back;
        self.forget_head_read(timer, ticket);
        if others_wait {
            self.ready.push(Ready::Serve(stream));
        } else if !is_steered {
            self.update_recv(stream);
        }
        if is_released {
            self.advance_stream(stream);
        }
        Some((to, claim))
    }
}
