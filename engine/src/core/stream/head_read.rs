//! The read that waits at the head of its stream, if it is of the frequent kind: one of the simple
//! matchers, with a callback of its own. It waits in the stream itself, without an entry in the
//! table of operations, so that a connection costs little while a read waits on it, and little when
//! its bytes come. Reads that come after it queue behind it.
//!
//! A parked read that gives a claim takes its bytes only when its callback runs. Until then it is a
//! read that waits like any other, so a cancel needs to put nothing back.

use std::{mem, num::NonZeroUsize};

use bytes::{Bytes, BytesMut};

use crate::{
    core::{
        Core,
        resource::{Phase, Resource},
        stream::{
            StreamState,
            read::{Home, Plain, has_ended},
        },
    },
    handles::{
        callback::{Callback, Claim, Claimant, Origin, Slot},
        cancel::Key,
        queue::ready::Ready,
    },
    pure::{
        error::Error,
        limits::Bound,
        matcher::Scan,
        table::Id,
        timer::{Target, TimerNumber},
    },
};

/// The read at the head.
pub(crate) struct Parked {
    /// Tells it from the reads that were parked here before it.
    pub(crate) number: u32,
    /// Its deadline, or nought.
    pub(crate) timer: TimerNumber,
    /// Of a read that another thread submitted, or nought.
    pub(crate) ticket: u64,
    /// The most it may take.
    limit: usize,
    matcher: Plain,
    slot: Slot<Bytes>,
    /// Where its match ends; its callback is queued, and gets a claim. A parked read takes a byte at
    /// least.
    matched: Option<NonZeroUsize>,
}

/// What came of submitting a read.
pub(crate) enum Parking {
    /// It had its outcome at once.
    Told,
    Waits(Key),
}

impl Parked {
    /// The method of the read.
    pub(crate) const fn operation(&self) -> &'static str {
        self.matcher.operation()
    }

    /// What wants the bytes in front has to look at them anew.
    pub(crate) fn restart(&mut self) {
        self.matcher.restart();
        self.matched = None;
    }
}

impl StreamState {
    /// Whether a read waits, for bytes or for its callback to be given them as a claim.
    pub(crate) const fn has_reads(&self) -> bool {
        self.parked.is_some() || !self.reads.is_empty() || self.claims > 0
    }

    /// Whether a read waits that has not matched and is not about to be looked at.
    pub(crate) fn has_unmatched_reads(&self) -> bool {
        self.has_unmatched_parked() || (!self.reads.is_empty() && !self.scanning)
    }

    pub(crate) fn has_unmatched_parked(&self) -> bool {
        self.parked.as_ref().is_some_and(|parked| parked.matched.is_none())
    }

    /// Whether an earlier read than the queued one with this id has matched and not got its claim, or
    /// is a user's matcher that has not looked.
    pub(crate) fn is_undecided_before(&self, id: Id) -> bool {
        self.claims > 0
            || self.parked.as_ref().is_some_and(|parked| parked.matched.is_some())
            || (self.scanning && self.reads.head() != Some(id))
    }

    /// Whether a read that comes now may take what is unread.
    #[inline]
    pub(crate) const fn is_readable_at_once(&self) -> bool {
        !self.has_reads() && self.closing.is_none() && !self.medium.is_file()
    }

    /// Takes what a parked read has matched, for its claim.
    fn claim(&mut self, home: Home, matcher: &Plain, end: usize) -> Claim<Bytes> {
        let place = home.place(&self.unread);
        let output = matcher.take_output(&mut self.unread, end);
        let to_raw = match matcher {
            Plain::Peek(_) => return Claim::new(output, Origin::Nowhere),
            Plain::Chunk(_) | Plain::Exact(_) => Bytes::clone,
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
    /// Submits a read of the frequent kind, if nothing unusual stands in its way; then its callback's
    /// slot has been taken out of `cb`.
    #[inline]
    pub(crate) fn park(
        &mut self,
        stream: Id,
        matcher: &mut Plain,
        bound: Bound,
        cb: &mut Callback<Bytes>,
    ) -> Option<Parking> {
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else { return None };
        if matches!(cb.slot, Slot::Local(_) | Slot::Ignore) {
            return None;
        }
        if !state.is_readable_at_once() || state.end.is_some() || state.attempt_of != Id::NONE {
            return None;
        }
        let limit = state.settings.limits.of_read(bound);
        let matched = match matcher.scan(&mut state.unread, false) {
            // What needs no bytes need not wait here for them.
            Scan::Found { end } if end > 0 && end <= limit => NonZeroUsize::new(end),
            Scan::NeedMore if state.unread.len() < limit => None,
            Scan::Found { .. } | Scan::NeedMore => return None,
        };
        if let Some(end) = matched
            && !cb.slot.is_claim()
        {
            let output = matcher.take_output(&mut state.unread, end.get());
            state.read_told = self.round;
            self.ready.push_read(&mut cb.slot, output);
            return Some(Parking::Told);
        }
        let slot = mem::replace(&mut cb.slot, Slot::Ignore);
        // Nought is never given out.
        state.parkings = state.parkings.checked_add(1).unwrap_or(1);
        let number = state.parkings;
        let matcher = matcher.clone();
        let parked = Parked { number, timer: 0, ticket: 0, limit, matcher, slot, matched };
        state.parked = Some(parked);
        let idle = state.reception == Phase::Idle;
        self.parked += 1;
        if let Some(timeout) = cb.timeout {
            let timer = self.arm_target(timeout, Target::Parked(stream, number));
            if let Some(parked) = self.parked(stream, number) {
                parked.timer = timer;
            }
        }
        if matched.is_some() {
            self.ready.push_parked(stream, number);
        }
        if idle {
            self.steer_reception(stream);
        }
        Some(Parking::Waits(Key::Parked(stream, number)))
    }

    /// The parked read with this number.
    pub(crate) fn parked(&mut self, stream: Id, number: u32) -> Option<&mut Parked> {
        let parked = self.stream(stream)?.parked.as_mut()?;
        (parked.number == number).then_some(parked)
    }

    /// Takes the parked read out of its stream; its deadline is forgotten.
    #[inline]
    fn unpark(&mut self, stream: Id) -> Option<Parked> {
        let parked = self.stream(stream)?.parked.take()?;
        self.parked -= 1;
        if parked.timer != 0 {
            self.timers.disarm();
        }
        self.forget_ticket(parked.ticket);
        Some(parked)
    }

    /// Gives the parked read what it waits for, if that is there. Returns whether it still waits.
    #[inline]
    pub(crate) fn serve_parked(&mut self, stream: Id) -> bool {
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else { return false };
        let Some(parked) = &mut state.parked else { return false };
        if parked.matched.is_some() {
            return true;
        }
        let ended = has_ended(state.end.as_ref());
        let error = match parked.matcher.scan(&mut state.unread, ended) {
            Scan::Found { end } if end <= parked.limit => {
                if parked.slot.is_claim() {
                    parked.matched = NonZeroUsize::new(end);
                    self.ready.push_parked(stream, parked.number);
                    return true;
                }
                let output = parked.matcher.take_output(&mut state.unread, end);
                state.read_told = self.round;
                self.ready.push_read(&mut parked.slot, output);
                let (timer, ticket) = (parked.timer, parked.ticket);
                state.parked = None;
                self.parked -= 1;
                if timer != 0 {
                    self.timers.disarm();
                }
                self.forget_ticket(ticket);
                return false;
            }
            Scan::NeedMore if state.unread.len() < parked.limit => match &state.end {
                None => return true,
                Some(end) => end.error(),
            },
            Scan::Found { .. } | Scan::NeedMore => Error::TooLong { limit: parked.limit },
        };
        self.fail_parked(stream, error);
        false
    }

    /// Ends the parked read with an error.
    pub(crate) fn fail_parked(&mut self, stream: Id, error: Error) {
        let Some(Parked { slot, .. }) = self.unpark(stream) else { return };
        let round = self.round;
        let Some(state) = self.stream(stream) else { return };
        state.read_told = round;
        self.fail(Id::NONE, slot, error);
    }

    /// Ends the parked read, whichever it is, because the stream or the engine goes; one that has
    /// matched is about to be told.
    pub(crate) fn end_parked(&mut self, stream: Id, cause: Error) {
        if self.stream(stream).is_some_and(|state| state.has_unmatched_parked()) {
            self.fail_parked(stream, cause);
        }
    }

    /// Ends the parked read early; the bytes stay. Returns whether there was something to end.
    pub(crate) fn interrupt_parked(&mut self, stream: Id, number: u32, cause: Error) -> bool {
        match self.parked(stream, number) {
            None => return false,
            // It has succeeded, which only a cancel withdraws.
            Some(parked) if parked.matched.is_some() => {
                if !matches!(cause, Error::Cancelled) {
                    return false;
                }
                parked.matched = None;
            }
            Some(_) => {}
        }
        self.fail_parked(stream, cause);
        self.serve_reads(stream);
        self.go_on_closing(stream);
        self.close_if_released(stream);
        true
    }

    /// Takes what a parked read has matched, as its callback is to run now.
    #[inline]
    pub(crate) fn deliver_parked(
        &mut self,
        stream: Id,
        number: u32,
    ) -> Option<(Claimant<Bytes>, Claim<Bytes>)> {
        let home = Home { engine: self.engine, stream };
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else { return None };
        let parked = state.parked.as_mut().filter(|parked| parked.number == number)?;
        let end = parked.matched?.get();
        let Slot::Claim(to) = mem::replace(&mut parked.slot, Slot::Ignore) else {
            unreachable!("only a read that gives a claim waits although it has matched");
        };
        let (matcher, timer, ticket) = (parked.matcher.clone(), parked.timer, parked.ticket);
        state.parked = None;
        let claim = state.claim(home, &matcher, end);
        // Others are served after the callback, which may put the bytes back in front of them.
        let others_wait = !state.reads.is_empty() || state.closing.is_some();
        let is_released = state.released;
        let is_steered =
            state.reception == Phase::Running && state.unread.len() < state.settings.limits.unread;
        let is_steered = is_steered && !state.set_back;
        self.parked -= 1;
        if timer != 0 {
            self.timers.disarm();
        }
        self.forget_ticket(ticket);
        if others_wait {
            self.ready.push(Ready::Serve(stream));
        } else if !is_steered {
            self.steer_reception(stream);
        }
        if is_released {
            self.close_if_released(stream);
        }
        Some((to, claim))
    }
}
