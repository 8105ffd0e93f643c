//! [`Timers`]: deadlines in order, with disarming in constant time. Pure: it is told the time.
//!
//! A binary heap whose entries are disarmed by forgetting them: the owner remembers the number of
//! its entry, and an entry that nobody remembers is skipped when it surfaces. Forgotten entries are
//! swept out when they are the majority: before one is added, and once a turn. So what is kept is
//! bounded by the deadlines that are armed, however busy or idle the engine is, and arming and
//! disarming cost amortised constant time for deadlines that come in rising order, as equal
//! timeouts do.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    mem,
    time::{Duration, Instant},
};

use crate::pure::table::Id;

/// Numbers one armed deadline; never zero.
pub(crate) type TimerNumber = u64;

/// Whose deadline it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The deadline of an operation.
    Operation(Id),
    /// The same operation, which was given one more turn.
    Overdue(Id),
    /// The deadline of the read that is the head read of this stream under this number.
    HeadRead(Id, u32),
    /// When an operation's machine wants its next step (the next connection attempt).
    Step(Id),
    /// When a listener that ran out of descriptors tries again.
    Listener(Id),
    /// When to look whether a copy has been idle for too long.
    Idle(Id),
    /// When something is to be done about a stream whose send was refused.
    Setback(Id),
    /// When a socket of datagrams that found no memory or no room tries again.
    Datagrams(Id),
    /// When to look whether a process has ended of which nothing tells.
    Child(Id),
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

/// Up to so many entries are kept, forgotten or not.
const ENTRIES_MIN: usize = 64;

impl Timers {
    /// Arms a deadline and returns its number, which the owner keeps to recognise it.
    pub(crate) fn arm(
        &mut self,
        deadline: Instant,
        target: Target,
        remembered: impl Fn(Target, TimerNumber) -> bool,
    ) -> TimerNumber {
        // Before, because the owner does not know the number yet.
        self.tidy(remembered);
        self.last += 1;
        self.armed += 1;
        self.heap.push(Reverse(Entry { deadline, number: self.last, target }));
        self.last
    }

    /// Has the owner of a deadline forget its number, so that it never comes. Returns whether it
    /// was armed.
    #[inline]
    pub(crate) fn disarm(&mut self, number: &mut TimerNumber) -> bool {
        if mem::take(number) == 0 {
            return false;
        }
        self.forget_one();
        true
    }

    /// Counts one armed deadline less.
    #[inline]
    fn forget_one(&mut self) {
        self.armed -= 1;
        if self.armed == 0 {
            // There may be no other turn to see to it.
            self.tidy(|_, _| false);
        }
    }

    /// Sweeps out what was forgotten if it is the majority, and gives back memory that was needed
    /// for more.
    #[inline]
    pub(crate) fn tidy(&mut self, remembered: impl Fn(Target, TimerNumber) -> bool) {
        let most = ENTRIES_MIN.max(2 * self.armed);
        if self.heap.len() > most || self.heap.capacity() > 8 * most {
            self.sweep(remembered);
        }
    }

    /// The earliest deadline that its owner still remembers, if any.
    pub(crate) fn next_deadline(
        &mut self,
        remembered: impl Fn(Target, TimerNumber) -> bool,
    ) -> Option<Instant> {
        self.tidy(&remembered);
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

    /// How many entries are kept, forgotten or not.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.heap.len()
    }

    #[cold]
    fn sweep(&mut self, remembered: impl Fn(Target, TimerNumber) -> bool) {
        self.heap.retain(|Reverse(entry)| remembered(entry.target, entry.number));
        let enough = ENTRIES_MIN.max(2 * self.heap.len());
        if self.heap.capacity() > 4 * enough {
            self.heap.shrink_to(enough);
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
    use crate::pure::clock::now;

    const TARGET: Target = Target::Operation(Id::NONE);

    #[test]
    fn fires_by_deadline_then_in_the_order_armed() {
        let start = now();
        let mut timers = Timers::default();
        let after = |ms| start + Duration::from_millis(ms);
        let numbers: Vec<_> =
            [3, 1, 2, 1].map(|ms| timers.arm(after(ms), TARGET, |_, _| true)).into();
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

    /// Arms `count` deadlines and disarms those that `stays` does not name.
    fn arm_and_disarm(
        timers: &mut Timers,
        count: u64,
        stays: impl Fn(u64) -> bool,
    ) -> HashSet<TimerNumber> {
        let start = now();
        let mut alive = HashSet::new();
        for n in 0..count {
            let deadline = start + Duration::from_millis(n);
            let number = timers.arm(deadline, TARGET, |_, number| alive.contains(&number));
            match stays(n) {
                true => _ = alive.insert(number),
                false => _ = timers.disarm(&mut { number }),
            }
            let most = ENTRIES_MIN.max(2 * alive.len()) + 1;
            assert!(timers.heap.len() <= most, "{n}: {}", timers.heap.len());
            assert!(timers.heap.capacity() <= 8 * most);
        }
        alive
    }

    #[test]
    fn what_is_disarmed_neither_fires_nor_is_waited_for_nor_kept() {
        let mut timers = Timers::default();
        let start = now();
        let alive = arm_and_disarm(&mut timers, 10_000, |n| n % 100 == 99);
        let next = timers.next_deadline(|_, number| alive.contains(&number)).unwrap();
        assert!(next >= start + Duration::from_millis(99));
        assert!(next < now() + Duration::from_millis(100));
        let mut fired = 0;
        let alive = RefCell::new(alive);
        let remembered = |_, number| alive.borrow().contains(&number);
        while timers.pop_due(start + Duration::from_secs(3600), remembered).is_some() {
            fired += 1;
        }
        assert_eq!(fired, 100);
    }

    #[test]
    fn nothing_is_kept_of_what_is_disarmed_though_nobody_asks_for_the_next_deadline() {
        let mut timers = Timers::default();
        arm_and_disarm(&mut timers, 100_000, |_| false);
        // Many at once, and then none.
        let armed = arm_and_disarm(&mut timers, 10_000, |_| true);
        armed.into_iter().for_each(|mut number| _ = timers.disarm(&mut number));
        assert!(timers.is_empty() && timers.heap.len() <= ENTRIES_MIN);
        assert!(timers.heap.capacity() <= 8 * ENTRIES_MIN);
    }

    #[test]
    fn the_memory_of_deadlines_that_have_come_is_given_back() {
        let mut timers = Timers::default();
        let armed = RefCell::new(arm_and_disarm(&mut timers, 10_000, |_| true));
        let late = now() + Duration::from_secs(3600);
        while timers.pop_due(late, |_, number| armed.borrow().contains(&number)).is_some() {}
        timers.tidy(|_, _| true);
        assert!(timers.heap.capacity() <= 8 * ENTRIES_MIN);
    }

    #[test]
    fn the_longest_timeout_never_comes() {
        assert_eq!(deadline(now(), Duration::MAX), None);
    }
}
