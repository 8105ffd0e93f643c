//! [`Refusals`]: the kernel refuses to wait for want of something that comes back, memory for the
//! most part. How long that is borne.
//!
//! A server must not end because memory was short for a moment, nor a loop spin when it stays so.
//! Meanwhile the driver pauses by other means, so that other threads' requests and a stop are seen:
//! at once where there is something to wait for in the ring's stead, see `Bell::wait`, else when
//! the pause is over.

use std::{
    io,
    time::{Duration, Instant},
};

use crate::{pure::clock::now, system::sys::errno::Errno};

/// How long the kernel may go on refusing. Then it is told.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the first pause is; each is twice as long as the one before...
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// ...up to this.
const PAUSE_MAX: Duration = Duration::from_millis(32);

#[derive(Debug, Default)]
pub(super) struct Refusals {
    under_way: Option<Refused>,
}

#[derive(Debug, Clone, Copy)]
struct Refused {
    since: Instant,
    pause: Duration,
}

/// Whether this passes, so that it is worth another try.
fn passes(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AGAIN | Errno::BUSY | Errno::NOMEM))
}

impl Refusals {
    /// The kernel did what it was asked for, or something else that goes on.
    #[inline]
    pub(super) const fn end(&mut self) {
        self.under_way = None;
    }

    /// The kernel refused to wait so long. Returns how long to pause before it is asked again: no
    /// longer than the wait was to be.
    ///
    /// # Errors
    ///
    /// The error, if it is one that does not pass or has lasted too long.
    pub(super) fn bear(
        &mut self,
        error: io::Error,
        wait: Option<Duration>,
    ) -> io::Result<Duration> {
        let pause = self.next(&error, now()).ok_or(error)?;
        Ok(wait.unwrap_or(pause).min(pause))
    }

    /// How long to pause; none if it is not to be borne.
    fn next(&mut self, error: &io::Error, now: Instant) -> Option<Duration> {
        let Refused { since, pause } =
            self.under_way.take().unwrap_or(Refused { since: now, pause: PAUSE_MIN });
        if !passes(error) || now.duration_since(since) > PATIENCE {
            return None;
        }
        self.under_way = Some(Refused { since, pause: (pause * 2).min(PAUSE_MAX) });
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_in_the_error() {
        let (start, short) = (now(), io::Error::from(Errno::NOMEM));
        let mut refusals = Refusals::default();
        let mut at = start;
        let mut pauses = Vec::new();
        while let Some(pause) = refusals.next(&short, at) {
            pauses.push(pause);
            at += pause;
        }
        assert!(at - start > PATIENCE && at - start <= PATIENCE + PAUSE_MAX);
        assert!(pauses.is_sorted() && pauses[0] == PAUSE_MIN);
        assert!(pauses.len() < 100, "it does not spin");
        // Told once, it is borne anew by another run.
        assert_eq!(refusals.next(&short, at), Some(PAUSE_MIN));
    }

    #[test]
    fn what_ends_between_is_no_lasting_refusal() {
        let (start, short) = (now(), io::Error::from(Errno::AGAIN));
        let mut refusals = Refusals::default();
        for second in 0..100 {
            let at = start + Duration::from_secs(second);
            assert_eq!(refusals.next(&short, at), Some(PAUSE_MIN));
            refusals.end();
        }
    }

    #[test]
    fn what_does_not_pass_is_told_at_once() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.next(&Errno::INVAL.into(), now()), None);
        assert_eq!(refusals.next(&Errno::BADF.into(), now()), None);
    }
}
