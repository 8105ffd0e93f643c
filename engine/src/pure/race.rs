//! Which of several addresses to connect to: happy eyeballs ([RFC 8305]) as a pure machine.
//!
//! No clock and no socket: it is told what happened and answers what to do. One attempt begins at
//! once; the next begins [`CONNECTION_ATTEMPT_DELAY`] later, or as soon as an attempt fails. The
//! first connection wins and the other attempts end.
//!
//! | state \ event | `Failed` | `DelayExpired` | `Succeeded` | `Cancelled` |
//! |---|---|---|---|---|
//! | racing, addresses left | `Begin` the next | `Begin` the next, or `Wait` if many are under way | `Won` | `Stopped` |
//! | racing, none left | `Wait`, or `Lost` if it was the last under way | `Wait` | `Won` | `Stopped` |
//! | over | `Wait` | `Wait` | `Wait` | `Wait` |
//!
//! [`Race::start`] comes first and exactly once. What a loser still reports goes to a race that is
//! over, which ignores it; closing a connection that came too late is the caller's part.
//!
//! [RFC 8305]: https://www.rfc-editor.org/rfc/rfc8305

use std::{
    collections::{HashSet, VecDeque},
    io, mem,
    net::SocketAddr,
    time::Duration,
};

use crate::pure::error::{Error, IoOperation};

/// How long an attempt has before the next one begins beside it (RFC 8305, section 8).
pub(crate) const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many attempts may be under way at once. A name can have thousands of addresses; with this
/// many of them silent, the next one waits for a failure instead of the delay.
pub(crate) const CONCURRENT_ATTEMPTS: usize = 16;

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum RaceEvent {
    /// The attempt ended without a connection.
    /// `is_local`: this machine itself could not try, so that the error says nothing about the peer.
    Failed { attempt: usize, error: Error, is_local: bool },
    /// [`CONNECTION_ATTEMPT_DELAY`] has passed since the last `Begin`.
    DelayExpired,
    /// The attempt has a connection.
    Succeeded { attempt: usize },
    /// Nobody wants a connection any more, or the deadline of the whole has passed.
    Cancelled,
}

/// What to do.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Connect to `address`. If `more` is set, then arm the delay anew, else disarm it: an earlier
    /// one counts no longer.
    Begin { attempt: usize, address: SocketAddr, more: bool },
    /// Nothing; an event will come.
    Wait,
    /// Over: this attempt is the one. Disarm the delay, end the losers.
    Won { attempt: usize, losers: Vec<usize> },
    /// Over: no address could be connected to, and nothing is under way.
    ///
    /// The error is that of the address tried first, which the resolver prefers, but for errors by
    /// which this machine says that it cannot even try: "network unreachable" for the IPv6 address
    /// would hide that the IPv4 address refused.
    Lost { error: Error },
    /// Over: cancelled. Disarm the delay, end the losers.
    Stopped { losers: Vec<usize> },
}

/// A race of connection attempts; they are numbered from 0 in the order they begin.
#[derive(Debug)]
pub(crate) struct Race {
    state: AttemptState,
    /// Not tried yet.
    addresses: VecDeque<SocketAddr>,
    /// How many have begun.
    begun: usize,
    /// Attempts that have begun and not ended, in order.
    under_way: Vec<usize>,
    /// The failure to report if all fail.
    failure: Option<Failure>,
}

/// `Over` once `Won`, `Lost` or `Stopped` was answered: nothing follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AttemptState {
    Racing,
    Over,
}

#[derive(Debug)]
struct Failure {
    local: bool,
    attempt: usize,
    error: Error,
}

impl Race {
    /// A race to these addresses, as the resolver ordered them.
    pub(crate) fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            state: AttemptState::Racing,
            addresses: interleave(addresses).into(),
            begun: 0,
            under_way: Vec::new(),
            failure: None,
        }
    }

    /// The first step: `Begin`, or `Lost` if there is no address.
    pub(crate) fn start(&mut self) -> Step {
        debug_assert_eq!(self.begun, 0, "a race starts once");
        self.begin().unwrap_or_else(|| self.lose())
    }

    /// What to do now that this happened.
    pub(crate) fn resume(&mut self, event: RaceEvent) -> Step {
        match (self.state, event) {
            (AttemptState::Racing, RaceEvent::Failed { attempt, error, is_local }) => {
                self.end(attempt);
                self.note(attempt, error, is_local);
                match self.begin() {
                    Some(step) => step,
                    None if self.under_way.is_empty() => self.lose(),
                    None => Step::Wait,
                }
            }
            (AttemptState::Racing, RaceEvent::DelayExpired) => {
                if self.under_way.len() < CONCURRENT_ATTEMPTS {
                    self.begin().unwrap_or(Step::Wait)
                } else {
                    Step::Wait
                }
            }
            (AttemptState::Racing, RaceEvent::Succeeded { attempt }) => {
                self.end(attempt);
                Step::Won { attempt, losers: self.finish() }
            }
            (AttemptState::Racing, RaceEvent::Cancelled) => Step::Stopped { losers: self.finish() },
            (AttemptState::Over, _) => Step::Wait,
        }
    }

    fn begin(&mut self) -> Option<Step> {
        let address = self.addresses.pop_front()?;
        let attempt = self.begun;
        self.begun += 1;
        self.under_way.push(attempt);
        Some(Step::Begin { attempt, address, more: !self.addresses.is_empty() })
    }

    fn end(&mut self, attempt: usize) {
        let at = self.under_way.iter().position(|&other| other == attempt);
        debug_assert!(at.is_some(), "attempt {attempt} is not under way");
        if let Some(at) = at {
            self.under_way.remove(at);
        }
    }

    /// Keeps the failure if it says more than the one that is kept.
    fn note(&mut self, attempt: usize, error: Error, is_local: bool) {
        let failure = Failure { local: is_local, attempt, error };
        let better = self
            .failure
            .as_ref()
            .is_none_or(|kept| (failure.local, failure.attempt) < (kept.local, kept.attempt));
        if better {
            self.failure = Some(failure);
        }
    }

    fn lose(&mut self) -> Step {
        self.finish();
        let none = || {
            Error::io(IoOperation::Connect, io::Error::new(io::ErrorKind::NotFound, "no address"))
        };
        Step::Lost { error: self.failure.take().map_or_else(none, |failure| failure.error) }
    }

    fn finish(&mut self) -> Vec<usize> {
        self.state = AttemptState::Over;
        mem::take(&mut self.under_way)
    }
}

/// The order in which to try addresses (RFC 8305, section 4): the families take turns, beginning
/// with that of the first address; each keeps its own order; an address comes once.
pub(crate) fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = HashSet::new();
    let addresses: Vec<_> = addresses.into_iter().filter(|&address| seen.insert(address)).collect();
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);

    let mut order = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let before = order.len();
        order.extend(first.next());
        order.extend(second.next());
        if order.len() == before {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn families_take_turns_beginning_with_the_first() {
        let order = |list: &[SocketAddr]| interleave(list.iter().copied());
        assert_eq!(order(&[]), []);
        assert_eq!(order(&[v4(1)]), [v4(1)]);
        assert_eq!(order(&[v6(1), v6(2), v4(1), v4(2)]), [v6(1), v4(1), v6(2), v4(2)]);
        assert_eq!(order(&[v4(1), v6(1), v6(2), v6(3)]), [v4(1), v6(1), v6(2), v6(3)]);
        assert_eq!(order(&[v6(3), v6(1), v6(2), v4(9)]), [v6(3), v4(9), v6(1), v6(2)]);
    }

    #[test]
    fn an_address_is_tried_once() {
        assert_eq!(interleave([v4(1), v6(1), v4(1), v6(1), v4(2)]), [v4(1), v6(1), v4(2)]);
    }

    #[test]
    fn no_address_is_a_failure() {
        let Step::Lost { error } = Race::new([]).start() else { panic!("not lost") };
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_next_begins_at_once_after_a_failure_and_else_after_the_delay() {
        let mut race = Race::new([v6(1), v6(2), v4(1)]);
        assert_begins(race.start(), 0, v6(1), true);
        assert_begins(race.resume(failed(0)), 1, v4(1), true);
        assert_begins(race.resume(RaceEvent::DelayExpired), 2, v6(2), false);
        assert!(matches!(race.resume(RaceEvent::DelayExpired), Step::Wait));
        match race.resume(RaceEvent::Succeeded { attempt: 1 }) {
            Step::Won { attempt: 1, losers } => assert_eq!(losers, [2]),
            other => panic!("{other:?}"),
        }
        assert!(matches!(race.resume(RaceEvent::Succeeded { attempt: 2 }), Step::Wait), "too late");
    }

    #[test]
    fn the_failure_of_the_first_address_is_reported() {
        let outcome = lost_with([
            (1, io::ErrorKind::ConnectionReset),
            (0, io::ErrorKind::ConnectionRefused),
            (2, io::ErrorKind::HostUnreachable),
        ]);
        assert_eq!(outcome, io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn failures_of_this_machine_do_not_hide_those_of_a_peer() {
        let outcome = lost_with([
            (0, io::ErrorKind::NetworkUnreachable),
            (2, io::ErrorKind::ConnectionReset),
            (1, io::ErrorKind::ConnectionRefused),
        ]);
        assert_eq!(outcome, io::ErrorKind::ConnectionRefused);
        let outcome = lost_with([
            (1, io::ErrorKind::AddrNotAvailable),
            (0, io::ErrorKind::NetworkUnreachable),
            (2, io::ErrorKind::AddrNotAvailable),
        ]);
        assert_eq!(outcome, io::ErrorKind::NetworkUnreachable);
    }

    #[test]
    fn silent_addresses_are_not_all_tried_at_once() {
        let mut race = Race::new((0..200).map(v4));
        race.start();
        for _ in 1..CONCURRENT_ATTEMPTS {
            assert!(matches!(race.resume(RaceEvent::DelayExpired), Step::Begin { .. }));
        }
        assert!(matches!(race.resume(RaceEvent::DelayExpired), Step::Wait));
        assert!(matches!(race.resume(failed(3)), Step::Begin { .. }));
        assert!(matches!(race.resume(RaceEvent::DelayExpired), Step::Wait));
    }

    #[test]
    fn every_order_of_events_has_one_outcome() {
        let addresses = [v6(1), v6(2), v4(1), v4(2)];
        let orders = (1..=4).map(|n| explore(&addresses[..n], &mut Vec::new())).sum::<usize>();
        assert!(orders > 2000, "{orders}");
    }

    /// What a test knows of a race, to choose and judge the next event by.
    #[derive(Default)]
    struct Observed {
        begun: Vec<SocketAddr>,
        under_way: Vec<usize>,
        armed: bool,
        outcomes: usize,
    }

    impl Observed {
        fn see(&mut self, step: Step) {
            match step {
                Step::Begin { attempt, address, more } => {
                    assert_eq!(self.outcomes, 0, "nothing begins after the outcome");
                    assert_eq!(attempt, self.begun.len());
                    assert!(!self.begun.contains(&address), "{address} twice");
                    self.begun.push(address);
                    self.under_way.push(attempt);
                    self.armed = more;
                }
                Step::Wait => {}
                Step::Won { losers, .. } | Step::Stopped { losers } => {
                    assert_eq!(losers, self.under_way);
                    self.outcomes += 1;
                    self.armed = false;
                }
                Step::Lost { .. } => {
                    assert!(self.under_way.is_empty(), "lost too early");
                    self.outcomes += 1;
                }
            }
            assert!(self.outcomes <= 1, "two outcomes");
        }

        fn happens(&mut self, race: &mut Race, event: RaceEvent) {
            match &event {
                RaceEvent::Failed { attempt, .. } | RaceEvent::Succeeded { attempt } => {
                    self.under_way.retain(|other| other != attempt);
                }
                RaceEvent::DelayExpired => self.armed = false,
                RaceEvent::Cancelled => {}
            }
            let cancelled = matches!(event, RaceEvent::Cancelled);
            let succeeded = matches!(event, RaceEvent::Succeeded { .. });
            let before = self.outcomes;
            self.see(race.resume(event));
            if (cancelled || succeeded) && before == 0 {
                assert_eq!(self.outcomes, 1);
            }
        }

        /// Every event that the world could bring now.
        fn possible(&self) -> Vec<RaceEvent> {
            let mut events = Vec::new();
            for &attempt in &self.under_way {
                events.push(failed(attempt));
                events.push(RaceEvent::Succeeded { attempt });
            }
            if self.armed {
                events.push(RaceEvent::DelayExpired);
            }
            if self.outcomes == 0 {
                events.push(RaceEvent::Cancelled);
            }
            events
        }
    }

    /// Plays the script, then every continuation of it; how many complete ones there are.
    fn explore(addresses: &[SocketAddr], script: &mut Vec<RaceEvent>) -> usize {
        let mut race = Race::new(addresses.iter().copied());
        let mut observed = Observed::default();
        observed.see(race.start());
        for event in script.iter() {
            observed.happens(&mut race, event.clone());
        }
        let events = observed.possible();
        if events.is_empty() {
            assert_eq!(observed.outcomes, 1, "{script:?}");
            return 1;
        }
        let mut orders = 0;
        for event in events {
            script.push(event);
            orders += explore(addresses, script);
            script.pop();
        }
        orders
    }

    fn assert_begins(step: Step, expected: usize, to: SocketAddr, expect_more: bool) {
        match step {
            Step::Begin { attempt, address, more } => {
                assert_eq!((attempt, address, more), (expected, to, expect_more));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Begins three attempts, fails them in this order, and gives the kind that is reported.
    fn lost_with(failures: [(usize, io::ErrorKind); 3]) -> io::ErrorKind {
        let mut race = Race::new([v6(1), v6(2), v6(3)]);
        race.start();
        race.resume(RaceEvent::DelayExpired);
        race.resume(RaceEvent::DelayExpired);
        let mut last = Step::Wait;
        for (attempt, kind) in failures {
            assert!(matches!(last, Step::Wait));
            last = race.resume(RaceEvent::Failed {
                attempt,
                error: Error::io(IoOperation::Connect, kind),
                is_local: !matches!(
                    kind,
                    io::ErrorKind::ConnectionReset
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::HostUnreachable
                ),
            });
        }
        match last {
            Step::Lost { error } => io::Error::from(error).kind(),
            other => panic!("{other:?}"),
        }
    }

    fn failed(attempt: usize) -> RaceEvent {
        RaceEvent::Failed {
            attempt,
            error: Error::io(IoOperation::Connect, io::ErrorKind::ConnectionRefused),
            is_local: false,
        }
    }

    fn v4(last: u8) -> SocketAddr {
        (Ipv4Addr::new(192, 0, 2, last), 80).into()
    }

    fn v6(last: u16) -> SocketAddr {
        (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last), 80).into()
    }
}
