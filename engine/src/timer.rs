//! [`Timers`]: deadlines in order, with disarming in constant time. Pure: it is told the time.
//!
//! A binary heap whose entries are disarmed by forgetting them: the owner remembers the number of
//! its entry, and an entry that nobody remembers is skipped when it surfaces. Forgotten entries are
//! swept out when they are the majority, so arming and disarming cost amortised constant time for
//! deadlines that come in rising order, as equal timeouts do.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use crate::table::Id;

/// Numbers one armed deadline; never nought.
pub(crate) type TimerNumber = u64;

/// Whose deadline it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The deadline of an operation.
    Operation(Id),
    /// The same operation, which was given one more turn.
    Overdue(Id),
    /// The deadline of the read that is parked at this stream under this number.
    Parked(Id, u32),
    /// When an operation's machine wants its next step (the next connection attempt).
    Step(Id),
    /// When a listener that ran out of descriptors tries again.
    Listener(Id),
}

#[derive(Debug)]
struct Entry {
    deadline: Instant,
    number: TimerNumber,
    target: Target,
}

/// Deadlines, the earliest first; equal ones in the order they were armed.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
    armed: usize,
    last: TimerNumber,
}

impl Timers {
    /// Arms a deadline and returns its number, which the owner keeps to recognise it.
    pub(crate) fn arm(&mut self, deadline: Instant, target: Target) -> TimerNumber {
        self.last += 1;
        self.armed += 1;
        self.heap.push(Reverse(Entry { deadline, number: self.last, target }));
        self.last
    }

    /// Counts one armed deadline less: its owner has forgotten the number.
    pub(crate) fn disarm(&mut self) {
        self.armed -= 1;
    }

    /// The earliest deadline that its owner still remembers, if any.
    pub(crate) fn next_deadline(
        &mut self,
        remembered: impl Fn(Target, TimerNumber) -> bool,
    ) -> Option<Instant> {
        self.sweep(&remembered);
        while let Some(Reverse(entry)) = self.heap.peek() {
            if remembered(entry.target, entry.number) {
                return Some(entry.deadline);
            }
            self.heap.pop();
        }
        None
    }

    /// Takes the earliest deadline out if it is due at `now`.
    pub(crate) fn pop_due(
        &mut self,
        now: Instant,
        remembered: impl Fn(Target, TimerNumber) -> bool,
    ) -> Option<Target> {
        while let Some(Reverse(entry)) = self.heap.peek() {
            if !remembered(entry.target, entry.number) {
                self.heap.pop();
                continue;
            }
            if entry.deadline > now {
                return None;
            }
            self.armed -= 1;
            return self.heap.pop().map(|Reverse(entry)| entry.target);
        }
        None
    }

    /// All deadlines with their numbers, in no order; also such as nobody remembers any more.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = (TimerNumber, Instant)> {
        self.heap.iter().map(|Reverse(entry)| (entry.number, entry.deadline))
    }

    /// Whether nothing is armed; costs no look at the heap.
    pub(crate) const fn is_empty(&self) -> bool {
        self.armed == 0
    }

    fn sweep(&mut self, remembered: impl Fn(Target, TimerNumber) -> bool) {
        if self.heap.len() > 64 && self.heap.len() > 2 * self.armed {
            self.heap.retain(|Reverse(entry)| remembered(entry.target, entry.number));
        }
    }
}

/// The deadline `timeout` from `now`; none if that lies beyond what the clock can tell.
pub(crate) fn deadline(now: Instant, timeout: Duration) -> Option<Instant> {
    now.checked_add(timeout)
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.deadline.cmp(&other.deadline).then(self.number.cmp(&other.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::HashSet};

    use super::*;
    use crate::core::now;

    const TARGET: Target = Target::Operation(Id::NONE);

    #[test]
    fn fires_by_deadline_then_in_the_order_armed() {
        let start = now();
        let mut timers = Timers::default();
        let after = |ms| start + Duration::from_millis(ms);
        let numbers: Vec<_> = [3, 1, 2, 1].map(|ms| timers.arm(after(ms), TARGET)).into();
        let fired = RefCell::new(Vec::new());
        let note = |_, number| {
            if !fired.borrow().contains(&number) {
                fired.borrow_mut().push(number);
            }
            true
        };
        while timers.pop_due(after(5), note).is_some() {}
        assert_eq!(*fired.borrow(), [numbers[1], numbers[3], numbers[2], numbers[0]]);
        assert!(timers.is_empty());
    }

    #[test]
    fn what_is_disarmed_neither_fires_nor_is_waited_for_nor_kept() {
        let start = now();
        let mut timers = Timers::default();
        let mut alive = HashSet::new();
        for n in 0..10_000 {
            let number = timers.arm(start + Duration::from_millis(n), TARGET);
            if n % 100 == 99 {
                alive.insert(number);
            } else {
                timers.disarm();
            }
            timers.next_deadline(|_, number| alive.contains(&number));
            assert!(timers.heap.len() <= 66 + 2 * alive.len());
        }
        let next = timers.next_deadline(|_, number| alive.contains(&number));
        assert_eq!(next, Some(start + Duration::from_millis(99)));
    }

    #[test]
    fn the_longest_timeout_never_comes() {
        assert_eq!(deadline(now(), Duration::MAX), None);
    }
}
