//! A read with a matcher of the user's: that must not run while anything is borrowed. So it is queued
//! to look, and the bytes it looks at are taken out of the state meanwhile.

use std::mem;

use crate::{
    core::{
        Core, Kind, Pending,
        chain::Product,
        delivery::may_be_unheard,
        resource::Resource,
        stream::{
            End, StreamState,
            read::{AnyRead, Boxed, ClaimSource, Form, Read, Verdict, has_ended, verdict},
        },
    },
    handles::{
        callback::Slot,
        claim::Origin,
        delivery::{Deliver, Outcome},
        queue::ready::Ready,
    },
    pure::{
        buffer::unread::Unread,
        error::{Error, Result},
        limits::Bound,
        matcher::{Matcher, Scan, Steps},
        table::{Id, Table},
        timer::Target,
    },
};

/// A user's matcher.
pub(crate) struct User {
    /// `None` while it runs, which it does outside of the table of operations.
    pub(super) read: Option<Box<dyn AnyRead>>,
    /// The unread bytes in front have changed since it looked, so that it has to begin anew.
    pub(super) restart: bool,
    /// What `StreamState::seen_now` was when it last looked. It looks again only when that has
    /// changed.
    pub(super) seen: Option<(u64, bool)>,
    /// It was cancelled, or its time is up, while it was queued to look: unless it matches then,
    /// the read fails with this.
    pub(super) aborted: Option<Error>,
}

/// What users' matchers look at, taken out of the state while one runs.
pub(crate) struct Lent {
    source: ClaimSource,
    unread: Unread,
    end: Option<End>,
    steps: Steps,
}

/// Users' matchers that look, one after the other, while nothing is borrowed.
pub(crate) struct UserScan {
    lent: Lent,
    /// What `StreamState::seen_now` was: it does not change while they look.
    seen: (u64, bool),
    look: Look,
}

/// One matcher's look.
struct Look {
    id: Id,
    read: Option<Box<dyn AnyRead>>,
    restart: bool,
    limit: usize,
    /// The steps were used up before the matcher had looked at all unread bytes.
    is_unfinished: bool,
    outcome: Option<Conclusion>,
}

impl Look {
    /// Takes the matcher out of the first of the reads that wait, if it is a user's.
    fn begin(
        state: &mut StreamState,
        pending: &mut Table<Pending>,
        seen: (u64, bool),
    ) -> Option<Self> {
        let id = state.reads.head()?;
        let Some(Pending { kind: Kind::Read(read), .. }) = pending.get_mut(id) else {
            unreachable!("only reads are queued as reads");
        };
        let Form::User(user) = &mut read.form else { return None };
        user.seen = Some(seen);
        Some(Self {
            id,
            read: user.read.take(),
            restart: mem::take(&mut user.restart),
            limit: read.limit,
            is_unfinished: false,
            outcome: None,
        })
    }
}

/// What a user's read has come to.
struct Conclusion {
    delivery: Box<dyn Deliver>,
    error: Option<Error>,
    /// It is a success with a claim, which can be withdrawn until its callback runs.
    is_claim: bool,
}

impl Conclusion {
    fn failure(read: Box<dyn AnyRead>, error: Error) -> Self {
        Self { delivery: read.fail(error.clone()), error: Some(error), is_claim: false }
    }
}

impl Lent {
    /// Decides a read by what its matcher says to the unread bytes: `scan`, and how far it looks
    /// ahead.
    fn judge(
        &mut self,
        limit: usize,
        scan: impl FnOnce(&[u8], bool, &mut Steps) -> Option<(Scan, usize)>,
    ) -> Result<Verdict> {
        let unread = self.unread.all();
        let Some((scan, lookahead)) = scan(unread, has_ended(self.end.as_ref()), &mut self.steps)
        else {
            return Ok(Verdict::GoOn);
        };
        if matches!(scan, Scan::Found { end } if end > unread.len()) {
            let what = "the matcher found an end beyond the bytes it was shown";
            return Err(Error::invalid(what));
        }
        Ok(verdict(scan, || unread.len(), self.end.as_ref(), limit, lookahead))
    }
}

impl UserScan {
    /// Runs the matcher, which may panic and leave everything to be put back.
    pub(crate) fn run(&mut self) {
        let Self { lent, look, .. } = self;
        let Some(read) = &mut look.read else { return };
        if look.restart {
            read.restart();
        }
        let verdict = lent.judge(look.limit, |unread, ended, steps| {
            let scan = read.scan(unread, ended, steps)?;
            Some((scan, read.lookahead()))
        });
        let error = match verdict {
            Ok(Verdict::Wait) => return,
            Ok(Verdict::GoOn) => {
                look.is_unfinished = true;
                return;
            }
            Ok(Verdict::Take(end)) => {
                let taken = lent.unread.peek(end);
                let error = read.conclude(taken.clone());
                if error.is_none() {
                    let place = lent.source.place(&lent.unread);
                    drop(lent.unread.take(end));
                    let Some(read) = look.read.take() else { return };
                    let is_claim = read.is_claim();
                    let delivery =
                        read.finish(&mut || Origin::Unread(Box::new((place, taken.clone()))));
                    look.outcome = Some(Conclusion { delivery, error: None, is_claim });
                    return;
                }
                error
            }
            Ok(verdict) => verdict.failure(look.limit, lent.end.as_ref()),
            Err(error) => Some(error),
        };
        if let (Some(read), Some(error)) = (look.read.take(), error) {
            look.outcome = Some(Conclusion::failure(read, error));
        }
    }
}

/// The unread bytes, for a matcher that looks at them where no read has been submitted.
pub(crate) struct Glance {
    lent: Lent,
    limit: usize,
}

impl Glance {
    /// What the read would succeed with. The matcher may panic and leave everything to be put back.
    pub(crate) fn run<M: Matcher>(&mut self, matcher: &mut M) -> Option<M::Output> {
        let Self { lent, limit } = self;
        let verdict = lent.judge(*limit, |unread, ended, steps| {
            let scan = matcher.scan_within(unread, ended, steps)?;
            Some((scan, matcher.lookahead()))
        });
        let Ok(Verdict::Take(end)) = verdict else { return None };
        let output = matcher.output(lent.unread.peek(end)).ok()?;
        drop(lent.unread.take(end));
        Some(output)
    }
}

impl Core {
    /// A matcher of the user's that was queued is to look now: takes it and the unread bytes out of
    /// the state, so that nothing is borrowed while it runs.
    pub(crate) fn begin_scan(&mut self, stream: Id) -> Option<UserScan> {
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else { return None };
        state.scanning = false;
        let seen = state.seen_now();
        let Some(look) = Look::begin(state, &mut self.pending, seen) else {
            // The user's read has gone, and maybe another took its place.
            self.advance_stream(stream);
            return None;
        };
        let lent = self.lend(stream)?;
        Some(UserScan { lent, seen, look })
    }

    /// Takes the unread bytes out of the state. Until they are put back, no read is served.
    fn lend(&mut self, stream: Id) -> Option<Lent> {
        let source = ClaimSource { engine: self.engine, stream };
        let state = self.stream(stream)?;
        state.scanning = true;
        let (unread, end) = (mem::take(&mut state.unread), state.rare.end.clone());
        let steps = self.scans.lend(stream);
        Some(Lent { source, unread, end, steps })
    }

    /// Ends the read if its matcher came to an outcome or panicked. Then goes on with the next, if
    /// that has one of the user's, too, and returns whether it does; else puts everything back.
    pub(crate) fn end_scan(&mut self, scan: &mut UserScan, panicked: bool) -> bool {
        let stream = scan.lent.source.stream;
        let Look { id, ref mut read, ref mut outcome, is_unfinished, .. } = scan.look;
        let (read, outcome) = (read.take(), outcome.take());
        if let Some(conclusion) = outcome {
            self.end_scanned_read(stream, id, conclusion);
            if self.look_on(scan) {
                return true;
            }
            self.put_back(&mut scan.lent);
        } else {
            self.put_back(&mut scan.lent);
            let is_unfinished = is_unfinished && !panicked;
            if is_unfinished {
                self.stand_in_line(stream);
            }
            if let Some(read) = read {
                self.conclude_scan(stream, id, read, is_unfinished, panicked);
            }
        }
        self.serve_reads_again(stream);
        false
    }

    /// Has the matcher of the next read look at what the one before has left, if nothing has
    /// happened meanwhile that has to be seen to first.
    fn look_on(&mut self, scan: &mut UserScan) -> bool {
        let Some(Resource::Stream(state)) = self.resources.get_mut(scan.lent.source.stream) else {
            return false;
        };
        let is_next = state.claims == 0
            && state.head_read.is_none()
            && !state.rare.is_closing()
            && !state.in_line
            && !state.fd_kind.is_file()
            && state.unread.is_empty()
            && !scan.lent.steps.are_used_up();
        let look = is_next.then(|| Look::begin(state, &mut self.pending, scan.seen)).flatten();
        match look {
            Some(look) => {
                scan.look = look;
                true
            }
            None => false,
        }
    }

    /// Puts the unread bytes and the steps back.
    fn put_back(&mut self, lent: &mut Lent) {
        self.scans.give_back(&lent.steps);
        if let Some(state) = self.stream(lent.source.stream) {
            state.scanning = false;
            // What is unread here by now was given back meanwhile, so it stands in front.
            let front = mem::replace(&mut state.unread, mem::take(&mut lent.unread));
            state.unread.take_over(front);
        }
    }

    /// Takes the unread bytes out of the state for a matcher that is to look at them now, if there
    /// are any and a read that is submitted now would be the next to look.
    pub(crate) fn begin_glance(&mut self, stream: Id, bound: Bound) -> Option<Glance> {
        let (round, limit) = (self.round, self.limit(stream, bound));
        let state = self.stream(stream)?;
        let is_next = state.is_readable_at_once()
            && !state.scanning
            && !state.unread.is_empty()
            // The callback of an earlier read that has succeeded may not have run, and comes first.
            && !may_be_unheard(state.read_reported, round);
        if !is_next || self.scans.steps.are_used_up() {
            return None;
        }
        Some(Glance { lent: self.lend(stream)?, limit })
    }

    /// Puts them back.
    pub(crate) fn end_glance(&mut self, mut glance: Glance) {
        self.put_back(&mut glance.lent);
        let stream = glance.lent.source.stream;
        // The matcher may have done anything meanwhile, such as submit a read.
        let is_still_next = |state: &mut StreamState| state.is_readable_at_once();
        if !self.stream(stream).is_some_and(is_still_next) {
            self.advance_stream(stream);
        }
    }

    /// The matcher of a read has run and needs more, or has panicked: puts it back into the read,
    /// if that was not ended meanwhile.
    fn conclude_scan(
        &mut self,
        stream: Id,
        id: Id,
        read: Box<dyn AnyRead>,
        is_unfinished: bool,
        panicked: bool,
    ) {
        if panicked {
            let failure = Conclusion::failure(read, Error::Panicked);
            return self.end_scanned_read(stream, id, failure);
        }
        let Some(Pending { kind: Kind::Read(Read { form: Form::User(user), .. }), .. }) =
            self.pending.get_mut(id)
        else {
            // The read was ended while its matcher ran.
            let closes = self.stream(stream).is_none_or(|state| state.rare.is_closing());
            let cause = if closes { Error::Closed } else { Error::Cancelled };
            return self.ready.push(Ready::Boxed(read.fail(cause)));
        };
        user.read = Some(read);
        if is_unfinished {
            // It has not looked at all of these bytes, so it looks again although nothing new has
            // come.
            user.seen = None;
        }
        match user.aborted.take() {
            // Its time is up, but it has not looked at all that had arrived by then.
            Some(Error::TimedOut) if is_unfinished => {
                self.put_off_deadline(id, Target::Operation(id));
            }
            Some(cause) => return self.abort_read(stream, id, cause),
            None => {}
        }
        self.update_recv(stream);
    }

    /// The matcher of a user's read has come to an outcome, or has panicked. The read may have left
    /// its queue meanwhile.
    fn end_scanned_read(&mut self, stream: Id, id: Id, conclusion: Conclusion) {
        let Conclusion { delivery, error, is_claim } = conclusion;
        let next = || error.map_or(Ok(Product::None), Err);
        if !is_claim {
            let is_queued = self.pending.get(id).is_some();
            let read = is_queued.then(|| self.unqueue_read(stream, id)).flatten();
            let chain = read.map_or(Id::NONE, |(_, chain)| chain);
            let round = self.round;
            if let Some(state) = self.stream(stream) {
                state.read_reported = round;
            }
            return self.tell(chain, next, Ready::Boxed(delivery));
        }
        if let Some((state, pending)) = self.stream_and_pending(stream)
            && pending.get(id).is_some()
        {
            state.reads.remove(pending, id);
            state.claims += 1;
        }
        let chain = self.keep_claim(id).map_or(Id::NONE, |(_, chain)| chain);
        self.tell_or_keep(Some(id), chain, next, Outcome::Boxed(delivery));
    }
}

/// A read with a user's matcher.
pub(crate) fn user<M: Matcher>(matcher: M, slot: Slot<M::Output>) -> Form {
    Form::User(User {
        read: Some(Boxed::new(matcher, slot)),
        restart: true,
        seen: None,
        aborted: None,
    })
}
