//! [`Every`]: a repeating operation whose things are ticks of the engine's clock.

use std::time::{Duration, Instant};

use crate::{
    core::{Core, Kind, Pending, repeat::Repeat},
    pure::{
        error::Error,
        mutants::{self, Mutant},
        table::Id,
        timer,
    },
};

/// A handler that is called every so often.
pub(crate) struct Every {
    pub(super) repeat: Repeat,
    /// When it was submitted: tick `n` is due `n` periods later, however late the handler hears of
    /// one.
    start: Instant,
    period: Duration,
    /// How many ticks the handler has been told of.
    told: u64,
    /// When the wait for the next one is over though it has not come, if its callback has a timeout.
    until: Option<Instant>,
}

impl Every {
    /// How many ticks are due that the handler has not been told of.
    fn due(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.start).as_nanos();
        let ticks = passed / self.period.as_nanos().max(1);
        u64::try_from(ticks).unwrap_or(u64::MAX).saturating_sub(self.told)
    }

    /// When the next one is due; none if never.
    fn next(&self) -> Option<Instant> {
        const SECOND: u128 = 1_000_000_000;
        let nanos = self.period.as_nanos().checked_mul(u128::from(self.told) + 1)?;
        let seconds = u64::try_from(nanos / SECOND).ok()?;
        let rest = u32::try_from(nanos % SECOND).ok()?;
        timer::deadline(self.start, Duration::new(seconds, rest))
    }
}

impl Core {
    /// Submits what calls a handler every so often. The period is not zero.
    pub(crate) fn every(&mut self, period: Duration, repeat: Repeat) -> Option<Id> {
        let start = self.now();
        let every = Every { repeat, start, period, told: 0, until: None };
        let kind = Kind::Every(Box::new(every));
        let id = self.insert(Pending::new(kind, Id::NONE, Id::NONE), None);
        self.serve_every(id);
        Some(id)
    }

    fn every_mut(&mut self, id: Id) -> Option<&mut Every> {
        match &mut self.pending.get_mut(id)?.kind {
            Kind::Every(every) => Some(every),
            _ => None,
        }
    }

    /// Queues the handler if a tick is due; else arms the deadline of the next.
    pub(super) fn serve_every(&mut self, id: Id) {
        let now = self.now();
        let Some(every) = self.every_mut(id) else { return };
        if every.repeat.is_queued() {
            return;
        }
        if every.repeat.is_paused() {
            every.until = None;
            return self.bound_wait(id, false);
        }
        if every.due(now) > 0 {
            every.until = None;
            let ready = every.repeat.queue(id);
            self.bound_wait(id, false);
            return self.ready.push(ready);
        }
        if every.until.is_none() {
            every.until = every.repeat.timeout.and_then(|timeout| timer::deadline(now, timeout));
        }
        let deadline = [every.next(), every.until].into_iter().flatten().min();
        self.bound_wait(id, false);
        if let Some(deadline) = deadline {
            self.arm(id, deadline.saturating_duration_since(now));
        }
    }

    /// The deadline of one has come. A tick that is due comes before the end of the wait for it.
    pub(super) fn every_is_due(&mut self, id: Id) {
        let now = self.now();
        let Some(every) = self.every_mut(id) else { return };
        let is_over = every.until.is_some_and(|until| until <= now);
        if is_over && every.repeat.waits() && every.due(now) == 0 {
            return self.end_every(id, Error::TimedOut);
        }
        self.serve_every(id);
    }

    pub(super) fn end_every(&mut self, id: Id, cause: Error) {
        if let Some(Pending { kind: Kind::Every(every), .. }) = self.remove(id) {
            self.ready.push(every.repeat.end(Err(cause)));
        }
    }

    /// The ticks that are due, for the handler, which runs.
    pub(crate) fn next_ticks(&mut self, id: Id) -> Option<u64> {
        let now = self.now();
        let every = self.every_mut(id).filter(|every| !every.repeat.is_paused())?;
        let due = every.due(now);
        every.told += due;
        let told = if mutants::is_active(Mutant::TicksUncounted) { 1 } else { due };
        (due > 0).then_some(told)
    }
}
