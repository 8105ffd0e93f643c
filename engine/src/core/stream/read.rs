//! How streams are read: receives append to the unread bytes, and reads take from their front, in
//! the order in which they were submitted.

use std::{mem, time::Duration};

use bytes::Bytes;

use crate::{
    core::{
        Core, Kind, Pending,
        chain::Product,
        copy::WayOf,
        delivery::may_be_unheard,
        repeat::Repeat,
        resource::{Phase, Resource},
        stream::{
            End, StreamState, rare::RareState, setback::is_for_want_of_memory, user_read::User,
        },
    },
    handles::{
        callback::Slot,
        claim::{BytesOrigin, Origin},
        delivery::{Deliver, Outcome, boxed},
        local::Local,
        queue::ready::Ready,
    },
    pure::{
        buffer::unread::Unread,
        error::{Error, Result, SystemError},
        limits::Bound,
        matcher::{Chunk, Delimiter, Exact, Line, Matcher, Scan, Steps, Tiny},
        mutants::{self, Mutant},
        table::Id,
    },
    system::driver::{Driver, Ended, Operation, Role},
};

/// A read without an outcome.
pub(crate) struct Read {
    /// The most it may take.
    pub(crate) limit: usize,
    pub(crate) form: Form,
}

/// The matcher of a read with its callback: the frequent ones in place, the others in a box.
pub(crate) enum Form {
    Bytes(Plain, Slot<Bytes>),
    /// One of the engine's own matchers.
    Other(Box<dyn AnyRead>),
    /// A user's matcher, which must not run while anything is borrowed.
    User(User),
    /// Hands out one match after the other.
    Repeat(Plain, Box<Repeat>),
    /// It stands for a copy, which takes bytes as they come.
    Copy(WayOf),
}

/// The frequent matchers, whose output is bytes and never an error.
#[derive(Clone)]
pub(crate) enum Plain {
    Chunk(Chunk),
    Exact(Exact),
    Line(Line),
    /// Up to and with a delimiter, which does not end within so many bytes.
    Until(Tiny, usize),
    /// Looks at this many bytes and leaves them.
    Peek(usize),
}

impl Plain {
    /// Up to and with a delimiter, if that is short.
    pub(crate) fn until(delimiter: &[u8]) -> Option<Self> {
        Some(Self::Until(Tiny::new(delimiter)?, 0))
    }

    #[inline]
    fn scan(&mut self, unread: &mut Unread, ended: bool) -> Scan {
        match self {
            // A chunk is taken from the first contiguous piece, so that nothing is copied to join
            // pieces.
            Self::Chunk(matcher) => matcher.scan(unread.front(), ended),
            Self::Exact(matcher) => matcher.scan_len(unread.len()),
            Self::Line(matcher) => scan_joined(unread, |front| matcher.scan(front, ended)),
            Self::Until(tiny, scanned) => scan_joined(unread, |front| tiny.scan(front, scanned)),
            Self::Peek(_) if unread.is_empty() => Scan::NeedMore,
            Self::Peek(size) => Scan::Found { end: unread.len().min(*size) },
        }
    }

    /// Decides a read of this kind that may take `limit` bytes, by the unread bytes and by the end
    /// of the stream, if it has come.
    #[inline(always)]
    pub(crate) fn judge(
        &mut self,
        unread: &mut Unread,
        end: Option<&End>,
        limit: usize,
    ) -> Verdict {
        let scan = self.scan(unread, has_ended(end));
        verdict(scan, || unread.len(), end, limit, 0)
    }

    /// The method of the read.
    pub(crate) const fn operation(&self) -> &'static str {
        match self {
            Self::Chunk(_) => "read_chunk",
            Self::Exact(_) => "read_exact",
            Self::Line(_) => "read_line",
            Self::Until(..) => "read_until",
            Self::Peek(_) => "peek",
        }
    }

    pub(crate) fn restart(&mut self) {
        match self {
            Self::Chunk(matcher) => matcher.restart(),
            Self::Exact(matcher) => matcher.restart(),
            Self::Line(matcher) => matcher.restart(),
            Self::Until(_, scanned) => *scanned = 0,
            Self::Peek(_) => {}
        }
    }

    /// Takes the bytes of a match, as they came.
    #[inline]
    fn take(&self, unread: &mut Unread, end: usize) -> Bytes {
        match self {
            Self::Peek(size) => unread.peek(*size),
            _ => unread.take(end),
        }
    }

    /// Takes the bytes of a match as the read's output: a line without its line end.
    #[inline]
    pub(crate) fn take_output(&self, unread: &mut Unread, end: usize) -> Bytes {
        match self {
            Self::Line(_) => unread.take_line(end),
            _ => self.take(unread, end),
        }
    }

    /// The output made of the bytes of a match.
    #[inline]
    fn output(&mut self, taken: Bytes) -> Result<Bytes> {
        match self {
            Self::Line(matcher) => matcher.output(taken),
            _ => Ok(taken),
        }
    }
}

/// Looks at the contiguous piece in front, and at that joined with the next piece as long as it
/// needs more.
#[inline(always)]
fn scan_joined(unread: &mut Unread, mut scan: impl FnMut(&[u8]) -> Scan) -> Scan {
    loop {
        match scan(unread.front()) {
            Scan::NeedMore if !unread.is_one() => unread.join_next(),
            decided => break decided,
        }
    }
}

/// Has a matcher look at the unread bytes: at the contiguous piece in front, then at that joined
/// with the next piece, and so on as long as it needs more. So it sees what it would see if the
/// later pieces arrived later. `None` if the steps are used up before it decides.
#[inline]
fn look(
    read: &mut dyn AnyRead,
    unread: &mut Unread,
    ended: bool,
    steps: &mut Steps,
) -> Option<Scan> {
    loop {
        let is_all = unread.is_one();
        match read.scan(unread.front(), ended && is_all, steps)? {
            Scan::NeedMore if !is_all => unread.join_next(),
            decided => return Some(decided),
        }
    }
}

/// A read with any matcher.
pub(crate) trait AnyRead: Send {
    /// `None` if the steps are used up before it has looked at all of `unread`.
    fn scan(&mut self, unread: &[u8], ended: bool, steps: &mut Steps) -> Option<Scan>;
    fn restart(&mut self);
    fn lookahead(&self) -> usize;
    fn is_claim(&self) -> bool;
    /// Makes the outcome of the bytes of a match, and keeps it for `finish`. Returns the error, if
    /// the outcome is one.
    fn conclude(&mut self, taken: Bytes) -> Option<Error>;
    /// The callback with the outcome that `conclude` has kept. `origin` says where the bytes of a
    /// claim go back to.
    fn finish(self: Box<Self>, origin: &mut dyn FnMut() -> Origin) -> Box<dyn Deliver>;
    fn fail(self: Box<Self>, error: Error) -> Box<dyn Deliver>;
}

/// A read of any type, which stays in its box from its submission until its callback runs.
pub(super) struct Boxed<M: Matcher> {
    matcher: M,
    slot: Slot<M::Output>,
    outcome: Option<Result<M::Output>>,
    /// Of a success with a claim.
    origin: Origin,
}

impl<M: Matcher> Boxed<M> {
    pub(super) fn new(matcher: M, slot: Slot<M::Output>) -> Box<Self> {
        Box::new(Self { matcher, slot, outcome: None, origin: Origin::Nowhere })
    }
}

impl<M: Matcher> AnyRead for Boxed<M> {
    fn scan(&mut self, unread: &[u8], ended: bool, steps: &mut Steps) -> Option<Scan> {
        self.matcher.scan_within(unread, ended, steps)
    }

    fn restart(&mut self) {
        self.matcher.restart();
    }

    fn lookahead(&self) -> usize {
        self.matcher.lookahead()
    }

    fn is_claim(&self) -> bool {
        self.slot.is_claim()
    }

    fn conclude(&mut self, taken: Bytes) -> Option<Error> {
        let outcome = self.matcher.output(taken);
        let error = outcome.as_ref().err().cloned();
        self.outcome = Some(outcome);
        error
    }

    fn finish(mut self: Box<Self>, origin: &mut dyn FnMut() -> Origin) -> Box<dyn Deliver> {
        if self.is_claim() {
            self.origin = origin();
        }
        self
    }

    fn fail(mut self: Box<Self>, error: Error) -> Box<dyn Deliver> {
        self.outcome = Some(Err(error));
        self
    }
}

impl<M: Matcher> Deliver for Boxed<M> {
    fn run(self: Box<Self>, local: &Local) {
        let Self { matcher, slot, outcome, origin } = *self;
        let delivery = slot.deliver_from(outcome.unwrap_or(Err(Error::Panicked)), || origin);
        // The matcher may be the user's: this is where nothing is borrowed.
        delivery.run_and_drop(matcher, local);
    }

    fn withdraw(&mut self, error: Error) -> (Origin, Ready) {
        let value = match &mut self.outcome {
            Some(outcome @ Ok(_)) if self.slot.is_claim() => mem::replace(outcome, Err(error)).ok(),
            _ => None,
        };
        let origin = mem::replace(&mut self.origin, Origin::Nowhere);
        (origin, Ready::Run(Box::new(move |_| drop(value))))
    }
}

impl Form {
    /// Up to and with a delimiter.
    pub(crate) fn until(delimiter: Delimiter, slot: Slot<Bytes>) -> Self {
        match delimiter.tiny() {
            Some(tiny) => Self::Bytes(Plain::Until(tiny, 0), slot),
            None => other(delimiter, slot),
        }
    }

    fn scan(&mut self, unread: &mut Unread, ended: bool, steps: &mut Steps) -> Option<Scan> {
        match self {
            Self::Bytes(matcher, _) | Self::Repeat(matcher, _) => Some(matcher.scan(unread, ended)),
            Self::Other(read) => look(&mut **read, unread, ended, steps),
            Self::User(_) => unreachable!("runs only when nothing is borrowed"),
            Self::Copy(_) => unreachable!("has no matcher"),
        }
    }

    fn lookahead(&self) -> usize {
        match self {
            Self::Bytes(..) | Self::Repeat(..) | Self::Copy(_) => 0,
            Self::Other(read) => read.lookahead(),
            Self::User(user) => user.read.as_ref().map_or(0, |read| read.lookahead()),
        }
    }

    fn restart(&mut self) {
        match self {
            Self::Bytes(matcher, _) | Self::Repeat(matcher, _) => matcher.restart(),
            Self::Other(read) => read.restart(),
            Self::User(user) => user.restart = true,
            Self::Copy(_) => {}
        }
    }

    /// Whether its callback gets a claim on the bytes.
    fn is_claim(&self) -> bool {
        match self {
            // A peek takes nothing, so nothing could go back. One that repeats takes nothing before
            // its handler is called.
            Self::Bytes(Plain::Peek(_), _) | Self::Repeat(..) | Self::Copy(_) => false,
            Self::Bytes(_, slot) => slot.is_claim(),
            Self::Other(read) => read.is_claim(),
            Self::User(user) => user.read.as_ref().is_some_and(|read| read.is_claim()),
        }
    }

    /// Whether it may succeed when it is submitted: the others are told when nothing is borrowed.
    const fn may_succeed_at_once(&self) -> bool {
        !matches!(self, Self::User(_) | Self::Repeat(..))
    }

    fn fail(self, error: Error) -> Ready {
        match self {
            Self::Bytes(_, slot) => boxed(slot.deliver(Err(error))),
            Self::Repeat(_, repeat) => repeat.end(Err(error)),
            Self::Other(read) | Self::User(User { read: Some(read), .. }) => {
                Ready::Boxed(read.fail(error))
            }
            // Its matcher is running. When that is over, `conclude_scan` finds the operation gone,
            // and fails the read.
            Self::User(User { read: None, .. }) => Ready::Run(Box::new(|_| ())),
            Self::Copy(_) => unreachable!("ends with its copy"),
        }
    }
}

/// What comes of a read, given the unread bytes, its limit and the end of the stream.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    /// It waits for bytes that have not come.
    Wait,
    /// The steps were used up before the matcher had looked at all unread bytes.
    GoOn,
    /// It succeeds with the first so many bytes.
    Take(usize),
    /// It would take more bytes than its limit allows.
    TooLong,
    /// The stream has ended, so that what it waits for never comes.
    Ended,
}

impl Verdict {
    /// The error that the read fails with, if it fails.
    pub(crate) fn failure(self, limit: usize, end: Option<&End>) -> Option<Error> {
        match self {
            Self::Wait | Self::GoOn | Self::Take(_) => None,
            Self::TooLong => Some(Error::TooLong { limit }),
            Self::Ended => end.map(End::error),
        }
    }
}

impl Read {
    fn judge(&mut self, unread: &mut Unread, end: Option<&End>, steps: &mut Steps) -> Verdict {
        if let Form::Bytes(matcher, _) | Form::Repeat(matcher, _) = &mut self.form {
            return matcher.judge(unread, end, self.limit);
        }
        let Some(scan) = self.form.scan(unread, has_ended(end), steps) else {
            return Verdict::GoOn;
        };
        let lookahead = self.form.lookahead();
        verdict(scan, || unread.len(), end, self.limit, lookahead)
    }
}

/// The stream whose bytes a claim is on.
#[derive(Clone, Copy)]
pub(crate) struct ClaimSource {
    pub(crate) engine: u32,
    pub(crate) stream: Id,
}

impl ClaimSource {
    /// The place of the first unread byte.
    pub(crate) fn place(self, unread: &Unread) -> BytesOrigin {
        BytesOrigin { engine: self.engine, stream: self.stream, offset: unread.place() }
    }
}

/// Whether the end is one that a pattern can match at; a failure is not.
pub(crate) const fn has_ended(end: Option<&End>) -> bool {
    matches!(end, Some(End::EndOfStream))
}

/// Applies the limit and the end of the stream to what the matcher has found. This is the one place
/// that decides whether what a read waits for is there.
#[inline(always)]
pub(super) fn verdict(
    scan: Scan,
    unread: impl FnOnce() -> usize,
    end: Option<&End>,
    limit: usize,
    lookahead: usize,
) -> Verdict {
    match (scan, end) {
        (_, Some(_)) if mutants::is_active(Mutant::EndBeforeBytes) => Verdict::Ended,
        (Scan::Found { end }, _) if end > limit => Verdict::TooLong,
        (Scan::Found { end }, _) => Verdict::Take(end),
        (Scan::NeedMore, _) if unread() >= limit.saturating_add(lookahead) => Verdict::TooLong,
        (Scan::NeedMore, Some(_)) => Verdict::Ended,
        (Scan::NeedMore, None) => Verdict::Wait,
    }
}

impl StreamState {
    /// How many bytes have ever come, and whether the end has: what a matcher sees that looks now.
    pub(super) fn seen_now(&self) -> (u64, bool) {
        (self.unread.received(), self.rare.end.is_some())
    }

    /// Whether as many bytes are unread as may be received ahead of reads.
    fn is_overfull(&self) -> bool {
        self.unread.len() >= self.settings.limits.unread
    }

    /// Whether bytes are received before a read wants them. From a descriptor that others may hold,
    /// too, they are not: until a read wants the bytes, the others may read them. Nor are they from
    /// a file, or where the program does not want it.
    #[inline]
    pub(crate) fn reads_ahead(&self) -> bool {
        self.tenure.is_sole() && !self.fd_kind.is_file() && self.settings.limits.unread > 0
    }

    /// Whether the reads that wait are a reason to receive. Where the engine reads ahead, any read
    /// is one, even if it has matched already. Elsewhere only a read is that needs bytes which have
    /// not come. A stream that stands in line has none: its matcher has yet to look at bytes that
    /// have come. Nor has one from which is copied to where there is no room.
    #[inline]
    pub(crate) fn wants_bytes(&self) -> bool {
        !self.in_line
            && !self.rare.get().is_some_and(|rare| rare.copy_lacks_room)
            && match self.reads_ahead() {
                true => self.has_reads() && !self.holds,
                false => self.has_unmatched_reads(),
            }
    }

    /// Whether nothing is to be received unless a read wants it: enough is unread, or the engine
    /// does not read ahead here.
    fn has_enough(&self) -> bool {
        !self.reads_ahead() || self.is_overfull()
    }

    /// Takes the bytes of a match and makes the outcome. If that is an error, the bytes stay
    /// unread, and the error is also returned by itself, for the read's chain.
    fn take(&mut self, source: ClaimSource, form: Form, end: usize) -> (Outcome, Option<Error>) {
        match form {
            Form::Bytes(mut matcher, slot) => {
                let place = source.place(&self.unread);
                let taken = matcher.take(&mut self.unread, end);
                let raw = if slot.is_claim() { taken.clone() } else { Bytes::new() };
                let output = matcher.output(taken);
                let delivery = slot.deliver_from(output, || match matcher {
                    Plain::Peek(_) => Origin::Nowhere,
                    _ => Origin::Unread(Box::new((place, raw))),
                });
                (Outcome::Bytes(delivery), None)
            }
            Form::Other(mut read) => {
                let place = source.place(&self.unread);
                let taken = self.unread.take(end);
                let error = read.conclude(taken.clone());
                if error.is_some() {
                    self.unread.give_back(place.offset, taken);
                    return (Outcome::Boxed(read.finish(&mut || Origin::Nowhere)), error);
                }
                let delivery =
                    read.finish(&mut || Origin::Unread(Box::new((place, taken.clone()))));
                (Outcome::Boxed(delivery), None)
            }
            Form::User(_) | Form::Repeat(..) => {
                unreachable!("concludes where nothing is borrowed")
            }
            Form::Copy(_) => unreachable!("takes bytes as they come"),
        }
    }

    /// Whether bytes that come, or that a read has taken, may concern more than its reads: a close or
    /// the drop of what nobody holds waits for reads, and so do the writes to a file.
    fn concerns_more_than_reads(&self) -> bool {
        self.rare.is_closing() || self.released || self.fd_kind.is_file()
    }

    /// Whether so much is unsent that a repeating read is to wait, whose handler may write more. The
    /// writes to a file wait for the reads before them, so these do not wait for writes. Nor for those
    /// behind a copy, which may wait for this read.
    #[inline]
    fn lacks_room(&self) -> bool {
        let queued = if self.rare.copies == 0 { self.queued } else { 0 };
        self.outgoing.len() + queued > self.settings.limits.unsent
            && !self.fd_kind.is_file()
            && !mutants::is_active(Mutant::RoomUnheeded)
    }
}

impl Core {
    /// Does a read of the frequent kind at once and without a callback, if it would succeed now.
    #[inline(always)]
    pub(crate) fn read_now(
        &mut self,
        stream: Id,
        mut matcher: Plain,
        bound: Bound,
    ) -> Option<Bytes> {
        let round = self.round;
        let state = self.stream(stream)?;
        // The callback of an earlier read that has succeeded may not have run, and comes first.
        if may_be_unheard(state.read_reported, round) || !state.is_readable_at_once() {
            return None;
        }
        let limit = state.settings.limits.of_read(bound);
        match matcher.judge(&mut state.unread, state.rare.end(), limit) {
            Verdict::Take(end) => Some(matcher.take_output(&mut state.unread, end)),
            _ => None,
        }
    }

    /// Submits a read.
    pub(crate) fn read(
        &mut self,
        stream: Id,
        mut read: Read,
        timeout: Option<Duration>,
        chain: Id,
    ) -> Option<Id> {
        let (round, source) = (self.round, ClaimSource { engine: self.engine, stream });
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else {
            self.tell(chain, || Err(Error::Closed), read.form.fail(Error::Closed));
            return None;
        };
        if state.rare.is_closing() {
            self.tell(chain, || Err(Error::Closed), read.form.fail(Error::Closed));
            return None;
        }
        // A read that the unread bytes decide is completed without a place in the table. It may be
        // one of no bytes, for which nothing need have come.
        if !state.has_reads() && read.form.may_succeed_at_once() && !state.fd_kind.is_file() {
            let limit = read.limit;
            let verdict = read.judge(&mut state.unread, state.rare.end(), &mut self.scans.steps);
            match verdict {
                Verdict::Wait | Verdict::GoOn => {}
                Verdict::Take(end) => {
                    let is_claim = read.form.is_claim();
                    match is_claim {
                        true => state.claims += 1,
                        false => state.read_reported = round,
                    }
                    let (outcome, error) = state.take(source, read.form, end);
                    let next = || error.map_or(Ok(Product::None), Err);
                    if is_claim {
                        return Some(self.tell_claim(stream, chain, next, outcome));
                    }
                    self.tell(chain, next, outcome);
                    return None;
                }
                Verdict::TooLong | Verdict::Ended => {
                    let failure = verdict.failure(limit, state.rare.end());
                    let error = failure.expect("it is one");
                    let ready = read.form.fail(error.clone());
                    self.tell(chain, || Err(error), ready);
                    return None;
                }
            }
        }
        let mut pending = Pending::new(Kind::Read(read), stream, chain);
        if state.fd_kind.is_file() {
            self.submissions += 1;
            pending.number = self.submissions;
        }
        let id = self.insert(pending, timeout);
        if let Some((state, pending)) = self.stream_and_pending(stream) {
            state.reads.push_back(pending, id);
            let is_first = state.head_read.is_none() && state.reads.head() == Some(id);
            let nothing_there = state.unread.is_empty() && state.rare.end.is_none();
            if !is_first && nothing_there && state.reception == Phase::Running {
                return Some(id);
            }
        }
        self.serve_reads(stream);
        Some(id)
    }

    /// Completes reads from the head on, as far as the unread bytes and the end of the stream
    /// decide them; then has more received, or the receive stopped, as is needed.
    pub(crate) fn serve_reads(&mut self, stream: Id) {
        while !self.serve_head_read(stream) {
            let Some(state) = self.stream(stream) else { return };
            let Some(head) = state.reads.head() else { break };
            let waits = state.scanning || state.in_line || state.claims > 0;
            if state.fd_kind.is_file() && self.is_gated(stream, head) {
                return;
            }
            // It is still open which bytes are left to this read, but more may be received for it.
            if waits {
                break;
            }
            let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else { return };
            let Some(Pending { kind: Kind::Read(read), .. }) = self.pending.get_mut(head) else {
                unreachable!("only reads are queued as reads");
            };
            if let Form::Repeat(..) = &read.form {
                match self.serve_repeating_read(stream, head) {
                    true => continue,
                    false => break,
                }
            }
            if let Form::User(user) = &read.form {
                // It looks later, when nothing is borrowed; and not again at what it has looked at
                // already.
                if user.restart || user.seen != Some(state.seen_now()) {
                    state.scanning = true;
                    self.ready.push(Ready::Scan(stream));
                }
                break;
            }
            if let Form::Copy(way_of) = read.form {
                self.go_on_copying(way_of);
                if self.stream(stream).is_some_and(|state| state.reads.head() == Some(head)) {
                    break;
                }
                continue;
            }
            let limit = read.limit;
            let verdict = read.judge(&mut state.unread, state.rare.end(), &mut self.scans.steps);
            match verdict {
                Verdict::Wait => break,
                Verdict::GoOn => {
                    self.stand_in_line(stream);
                    break;
                }
                Verdict::Take(end) => self.end_read(stream, head, Ok(end)),
                Verdict::TooLong | Verdict::Ended => {
                    let failure = verdict.failure(limit, state.rare.end());
                    self.end_read(stream, head, Err(failure.expect("it is one")));
                }
            }
        }
        self.update_recv(stream);
    }

    /// Has the repeating read at the head go on, if it can: its handler is queued if there is
    /// something to hand out. Returns whether it has ended instead.
    fn serve_repeating_read(&mut self, stream: Id, id: Id) -> bool {
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else { return false };
        let Some(Pending { kind: Kind::Read(read), timer, .. }) = self.pending.get_mut(id) else {
            return false;
        };
        let Form::Repeat(matcher, repeat) = &mut read.form else { return false };
        // It looks again when its handler has run.
        if repeat.is_queued() {
            return false;
        }
        state.waits_for_room = state.lacks_room();
        state.holds = true;
        if repeat.is_paused() || state.waits_for_room {
            self.timers.disarm(timer);
            return false;
        }
        let verdict = matcher.judge(&mut state.unread, state.rare.end(), read.limit);
        let error = match verdict {
            Verdict::Wait => {
                state.holds = false;
                self.bound_wait(id, true);
                return false;
            }
            Verdict::Take(_) => {
                self.timers.disarm(timer);
                self.ready.push(repeat.queue(id));
                return false;
            }
            Verdict::GoOn => unreachable!("the frequent reads are not counted"),
            // It has ended with its last match.
            Verdict::Ended if state.unread.is_empty() && has_ended(state.rare.end()) => None,
            Verdict::Ended | Verdict::TooLong => verdict.failure(read.limit, state.rare.end()),
        };
        state.read_reported = self.round;
        if let Some((Form::Repeat(_, repeat), _)) = self.unqueue_read(stream, id) {
            self.ready.push(repeat.end(error.map_or(Ok(()), Err)));
        }
        true
    }

    /// Bytes have come, a user's matcher has looked, or the handler of a repeating read has run, or
    /// it is paused or goes on.
    pub(crate) fn serve_reads_again(&mut self, stream: Id) {
        let Some(state) = self.stream(stream) else { return };
        match state.concerns_more_than_reads() {
            true => self.advance_stream(stream),
            false => self.serve_reads(stream),
        }
    }

    /// The next match of a repeating read, for its handler, which runs.
    #[inline]
    pub(crate) fn next_bytes(&mut self, id: Id) -> Option<Bytes> {
        let Pending { kind: Kind::Read(read), resource, .. } = self.pending.get_mut(id)? else {
            return None;
        };
        let Form::Repeat(matcher, repeat) = &mut read.form else { return None };
        let Some(Resource::Stream(state)) = self.resources.get_mut(*resource) else { return None };
        if repeat.is_paused() || state.lacks_room() {
            return None;
        }
        match matcher.judge(&mut state.unread, state.rare.end(), read.limit) {
            Verdict::Take(end) => {
                let output = matcher.take_output(&mut state.unread, end);
                matcher.restart();
                Some(output)
            }
            Verdict::Wait => {
                repeat.is_dry = true;
                None
            }
            _ => None,
        }
    }

    /// The handler of a repeating read has run, and its matcher has found nothing more: does what
    /// [`serve_reads_again`](Self::serve_reads_again) does, without having it look again.
    pub(crate) fn wait_for_more(&mut self, id: Id) {
        let Some(stream) = self.pending.get(id).map(|read| read.resource) else { return };
        let Some(state) = self.stream(stream) else { return };
        if state.concerns_more_than_reads() {
            return self.advance_stream(stream);
        }
        state.holds = false;
        self.bound_wait(id, true);
        self.update_recv(stream);
    }

    /// Completes the read at the head: with as many bytes as `found` says, or with its error.
    fn end_read(&mut self, stream: Id, id: Id, found: Result<usize>) {
        let Some((form, chain, kept)) = self.unqueue_ended_read(stream, id) else { return };
        let (round, source) = (self.round, ClaimSource { engine: self.engine, stream });
        let Some(state) = self.stream(stream) else { return };
        if kept.is_none() {
            state.read_reported = round;
        }
        match found {
            Ok(end) => {
                let (outcome, error) = state.take(source, form, end);
                state.claims += u32::from(kept.is_some());
                self.tell_or_keep(kept, chain, || error.map_or(Ok(Product::None), Err), outcome);
            }
            Err(error) => {
                let ready = form.fail(error.clone());
                // A failure takes nothing, so there is nothing to withdraw.
                if let Some(id) = kept {
                    self.remove(id);
                }
                self.tell(chain, || Err(error), ready);
            }
        }
    }

    /// Takes a read out of its queue. One that gives a claim stays in the table, so that it can be
    /// withdrawn until its callback runs; its id is returned then.
    fn unqueue_ended_read(&mut self, stream: Id, id: Id) -> Option<(Form, Id, Option<Id>)> {
        let is_claim = match self.pending.get(id) {
            Some(Pending { kind: Kind::Read(read), .. }) => read.form.is_claim(),
            _ => false,
        };
        if !is_claim {
            return self.unqueue_read(stream, id).map(|(form, chain)| (form, chain, None));
        }
        if let Some((state, pending)) = self.stream_and_pending(stream) {
            state.reads.remove(pending, id);
        }
        match self.keep_claim(id)? {
            (Kind::Read(read), chain) => Some((read.form, chain, Some(id))),
            _ => unreachable!("only reads are queued as reads"),
        }
    }

    /// Takes a read out of its queue and the table.
    pub(super) fn unqueue_read(&mut self, stream: Id, id: Id) -> Option<(Form, Id)> {
        if let Some((state, pending)) = self.stream_and_pending(stream) {
            if state.reads.head() == Some(id) {
                (state.holds, state.waits_for_room) = (false, false);
                // It was its matcher that had more to look at.
                state.in_line = false;
            }
            state.reads.remove(pending, id);
        }
        match self.remove(id)? {
            Pending { kind: Kind::Read(read), chain, .. } => Some((read.form, chain)),
            _ => unreachable!("only reads are queued as reads"),
        }
    }

    /// Ends a read early, for `cause`; the bytes stay unread.
    pub(crate) fn abort_read(&mut self, stream: Id, id: Id, cause: Error) {
        if let Some((state, pending)) = self.stream_and_pending(stream)
            && state.scanning
            && state.reads.head() == Some(id)
            && let Some(Pending { kind: Kind::Read(read), .. }) = pending.get_mut(id)
            && let Form::User(user) = &mut read.form
        {
            // Bytes that have arrived come first, and its matcher has not looked at them yet: if it
            // does not match, `conclude_scan` ends the read for this cause.
            user.aborted.get_or_insert(cause);
            return;
        }
        if let Some(way_of) = self.copy_of(id) {
            return self.end_copy(way_of.copy, Err(cause));
        }
        // It did not wait when its time was up: there is something to hand out, or it is paused.
        let holds = |state: &StreamState| state.holds && state.reads.head() == Some(id);
        if matches!(cause, Error::TimedOut)
            && (self.rests(id) || self.stream(stream).is_some_and(|state| holds(state)))
        {
            return;
        }
        let Some((form, chain)) = self.unqueue_read(stream, id) else { return };
        self.tell(chain, || Err(cause.clone()), form.fail(cause.clone()));
        self.advance_stream(stream);
    }

    /// Fails all reads of a stream that have not matched.
    pub(crate) fn fail_reads(&mut self, stream: Id, error: &Error) {
        self.end_head_read(stream, error.clone());
        while let Some(head) = self.stream(stream).and_then(|state| state.reads.head()) {
            if let Some(way_of) = self.copy_of(head) {
                self.end_copy(way_of.copy, Err(error.clone()));
            } else if let Some((form, chain)) = self.unqueue_read(stream, head) {
                self.tell(chain, || Err(error.clone()), form.fail(error.clone()));
            }
        }
    }

    /// The copy that a read stands for, if it does.
    fn copy_of(&self, read: Id) -> Option<WayOf> {
        match self.pending.get(read) {
            Some(Pending { kind: Kind::Read(Read { form: Form::Copy(way_of), .. }), .. }) => {
                Some(*way_of)
            }
            _ => None,
        }
    }

    /// Starts a receive if a read wants bytes. If enough is unread and no read wants more, the
    /// receive is not stopped here; the stream is noted, and the turn's end looks again. So
    /// callbacks that read everything do not cost a stop and a start.
    pub(crate) fn update_recv(&mut self, stream: Id) {
        let is_expiring = self.is_expiring;
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else { return };
        state.unread.tidy(&mut self.spare_unread);
        if state.rare.get().is_some_and(RareState::bars_reads) {
            return;
        }
        if state.set_back && self.steer_broken(stream) {
            return;
        }
        let Some(state) = self.stream(stream) else { return };
        // A user's matcher whose time is up looks once more, and is to see all that is there.
        let wants = state.wants_bytes() || (is_expiring && state.scanning);
        match (wants, state.reception) {
            (true, Phase::Idle) => self.receive(stream),
            (false, Phase::Running) if state.has_enough() && !state.above_read_ahead => {
                state.above_read_ahead = true;
                self.above_read_ahead.push(stream);
            }
            _ => {}
        }
    }

    /// Submits a receive; of a file, a read.
    fn receive(&mut self, stream: Id) {
        let Some(state) = self.stream(stream) else { return };
        state.reception = Phase::Running;
        let once = !state.reads_ahead();
        match state.fd_kind.is_file() {
            true => self.read_file(stream),
            false => self.driver.submit(stream, Operation::Receive { once }),
        }
    }

    /// Stops the receives of the streams that `update_recv` has noted, if no read wants bytes by
    /// now and enough is unread, or the stream is not read ahead.
    pub(crate) fn stop_above_read_ahead(&mut self) {
        while let Some(stream) = self.above_read_ahead.pop() {
            let Some(state) = self.stream(stream) else { continue };
            state.above_read_ahead = false;
            // A matcher of the user's is queued to look, and may need more than is there.
            let wants = state.wants_bytes() || state.scanning;
            if !wants && state.has_enough() && state.reception == Phase::Running {
                state.reception = Phase::Stopping;
                self.driver.cancel(stream, Role::Receive);
            }
        }
    }

    /// A receive has brought bytes.
    pub(crate) fn received(&mut self, stream: Id, bytes: Bytes) {
        self.counts.bytes_received += bytes.len() as u64;
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else { return };
        if mutants::is_active(Mutant::LateBytesDropped) && state.reception == Phase::Stopping {
            return;
        }
        state.unread.append(bytes, &mut self.spare_unread);
        let is_late = state.reception == Phase::Stopping;
        self.counts.late_completions += u64::from(is_late);
        if mutants::is_active(Mutant::DeadlineStretched) {
            self.stretch_deadline(stream);
        }
        let Some(state) = self.stream(stream) else { return };
        if state.head_read.is_some()
            && (self.serve_head_read(stream) || self.needs_nothing_more(stream))
        {
            return;
        }
        self.serve_reads_again(stream);
    }

    /// The bug of the mutant `DeadlineStretched`: each receive puts the deadline of the first read
    /// off.
    fn stretch_deadline(&mut self, stream: Id) {
        if let Some((state, pending)) = self.stream_and_pending(stream)
            && let Some(head) = state.reads.head()
            && pending.get(head).is_some_and(|read| read.timer != 0)
        {
            self.arm(head, Duration::from_secs(1));
        }
    }

    /// Whether nothing more is to be done about a stream whose head read has just been completed:
    /// no other read waits, the program still holds the stream, and the receive may go on.
    fn needs_nothing_more(&mut self, stream: Id) -> bool {
        self.stream(stream).is_some_and(|state| {
            state.reads.is_empty() && !state.released && !state.is_overfull() && !state.set_back
        })
    }

    /// A receive is over: the engine has stopped it, the stream has ended, or the system has
    /// failed.
    pub(crate) fn receive_ended(&mut self, stream: Id, ended: Ended) {
        let Some(state) = self.stream(stream) else { return };
        state.reception = Phase::Idle;
        match ended {
            Ended::Stopped if state.set_back => {
                let end = self.end_of_broken(stream);
                if let Some(state) = self.stream(stream) {
                    state.rare.make().end = end;
                }
            }
            Ended::Stopped => {}
            Ended::EndOfStream => {
                let end = state.real_end();
                state.rare.make().end = Some(end);
            }
            Ended::Failed(cause) => {
                let passes = is_for_want_of_memory(&cause);
                let cause = SystemError::new(self.name_of(stream), cause);
                if passes {
                    self.fail_first_read(stream, &End::Failed(cause).error());
                } else if let Some(state) = self.stream(stream) {
                    state.rare.make().end = Some(End::Failed(cause));
                }
            }
        }
        if self.stream(stream).is_some_and(|state| state.set_back && state.rare.end.is_some()) {
            self.end_break(stream);
        }
        self.note_end_of_peer(stream);
        self.advance_stream(stream);
    }

    /// A receive has failed for want of memory. The next one may succeed, so this is no end of the
    /// stream, and only the first read that waits fails.
    fn fail_first_read(&mut self, stream: Id, error: &Error) {
        let Some(state) = self.stream(stream) else { return };
        if state.has_unmatched_head_read() {
            self.fail_head_read(stream, error.clone());
        } else if let Some(head) = state.reads.head().filter(|_| !state.holds) {
            self.abort_read(stream, head, error.clone());
        }
    }

    /// A claim was dropped untaken: its bytes are unread again, in front of all others.
    pub(crate) fn give_back(&mut self, place: BytesOrigin, raw: Bytes) {
        self.with_unread(place.stream, |unread| unread.give_back(place.offset, raw));
    }

    /// Takes unread bytes that somebody has seen by `peek`.
    pub(crate) fn consume(&mut self, stream: Id, count: usize) {
        let mut taken = Bytes::new();
        self.with_unread(stream, |unread| taken = unread.take(count.min(unread.len())));
        self.deferred_drops.bytes.push(taken);
    }

    /// Changes the unread bytes in front, so that waiting reads look at them anew.
    fn with_unread(&mut self, stream: Id, change: impl FnOnce(&mut Unread)) {
        let Some((state, pending)) = self.stream_and_pending(stream) else { return };
        change(&mut state.unread);
        if let Some(head_read) = &mut state.head_read {
            head_read.restart();
        }
        if let Some(head) = state.reads.head()
            && let Some(Pending { kind: Kind::Read(read), .. }) = pending.get_mut(head)
        {
            read.form.restart();
        }
        self.serve_reads(stream);
        if self.stream(stream).is_some_and(|state| state.rare.is_closing()) {
            // A head read that had matched before the close has been served anew above. If it does
            // not match now, it fails with `Closed`, like all others.
            self.end_head_read(stream, Error::Closed);
        }
        self.advance_stream(stream);
    }
}

/// A read with one of the engine's own matchers that is not frequent.
pub(crate) fn other<M: Matcher>(matcher: M, slot: Slot<M::Output>) -> Form {
    Form::Other(Boxed::new(matcher, slot))
}
