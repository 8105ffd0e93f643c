//! [`Simulation`]: a pattern's NFA, a set of states at a time.
//!
//! It works places out for the cache of `dfa`, and goes on without one where a cache does not pay.

use super::program::{Neighbour, Op, Program, SetsOf};

/// A set of NFA states, in the order they came.
#[derive(Debug, Clone, Default)]
pub(super) struct Set {
    pub(super) members: Vec<u32>,
    /// Who has the number of the set as it is now is a member.
    marks: Vec<u32>,
    now: u32,
}

/// Where a search is: the states that wait for the next byte, but for those in which it always is,
/// and room to work out where it goes.
#[derive(Debug, Default)]
pub(super) struct Simulation {
    /// Those with transitions, those that look around, and the one that matches. Priorities do not
    /// matter, as the earliest end wins.
    pub(super) threads: Set,
    next: Set,
    /// Behind what looks around, where that was followed.
    around: Set,
    /// Those that were followed one by one.
    passed: Set,
    to_follow: Vec<u32>,
}

impl Set {
    /// Empties it, for states below `states`.
    pub(super) fn clear(&mut self, states: usize) {
        self.members.clear();
        self.now = self.now.wrapping_add(1);
        if self.now == 0 || self.marks.len() != states {
            self.marks.clear();
            self.marks.resize(states, 0);
            self.now = 1;
        }
    }

    /// Returns whether the state is new.
    #[inline]
    pub(super) fn insert(&mut self, state: u32) -> bool {
        let mark = &mut self.marks[state as usize];
        let is_new = *mark != self.now;
        if is_new {
            *mark = self.now;
            self.members.push(state);
        }
        is_new
    }

    #[inline]
    pub(super) fn contains(&self, state: u32) -> bool {
        self.marks.get(state as usize).is_some_and(|mark| *mark == self.now)
    }

    /// Whether any of these states is a member, which `is` tells of a member.
    #[inline]
    fn any_of(&self, states: &[u32], is: impl Fn(u32) -> bool) -> bool {
        match states.len() < self.members.len() {
            true => states.iter().any(|&state| self.contains(state)),
            false => self.members.iter().any(|&state| is(state)),
        }
    }

    /// Whether it has these members and no others; each is there once.
    pub(super) fn is(&self, members: &[u32]) -> bool {
        self.members.len() == members.len() && members.iter().all(|&state| self.contains(state))
    }

    /// A number that does not depend on the order.
    pub(super) fn hash(&self) -> u64 {
        self.members.iter().fold(0, |sum, &state| sum.wrapping_add(scatter(u64::from(state))))
    }
}

/// The finalizer of SplitMix64: sums of what it yields are as good as random.
pub(super) const fn scatter(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number ^ (number >> 29)
}

impl Simulation {
    /// Begins a search.
    pub(super) fn begin(&mut self, program: &Program) {
        self.next.clear(program.ops.len());
        self.passed.clear(program.ops.len());
        self.enter(program, program.start);
        std::mem::swap(&mut self.threads, &mut self.next);
    }

    /// Goes on from these states.
    pub(super) fn resume(&mut self, program: &Program, threads: &[u32]) {
        self.threads.clear(program.ops.len());
        for &thread in threads {
            self.threads.insert(thread);
        }
    }

    /// Goes over a byte. Returns how many states that took.
    pub(super) fn step(&mut self, program: &Program, before: Neighbour, byte: u8) -> usize {
        let class = program.classes[usize::from(byte)];
        let sets = program.sets_of(class);
        self.next.clear(program.ops.len());
        self.passed.clear(program.ops.len());
        let mut took = self.threads.members.len();
        if !program.looks.is_empty() {
            self.look(program, before, Neighbour::of(byte));
            took += self.around.members.len();
            let around = std::mem::take(&mut self.around.members);
            self.go(program, &around, sets);
            self.around.members = around;
        }
        let threads = std::mem::take(&mut self.threads.members);
        self.go(program, &threads, sets);
        self.threads.members = threads;
        match program.begins(class) {
            Some(begins) => {
                took += begins.len();
                begins.iter().for_each(|&state| self.enter(program, state));
            }
            None => {
                took += program.always.len();
                self.go(program, &program.always, sets);
            }
        }
        std::mem::swap(&mut self.threads, &mut self.next);
        took + self.threads.members.len() + self.passed.members.len()
    }

    /// Whether a match ends here that does not look at what follows.
    #[inline]
    pub(super) fn has_match(&self, program: &Program) -> bool {
        matches_in(program, &self.threads)
    }

    /// Whether it is in no state, so that no match can come.
    #[inline]
    pub(super) fn is_dead(&self, program: &Program) -> bool {
        self.threads.members.is_empty() && program.always.is_empty()
    }

    /// Adds the states that match here if this follows.
    pub(super) fn list_matching(
        &mut self,
        program: &Program,
        before: Neighbour,
        behind: Neighbour,
        matching: &mut Vec<u32>,
    ) {
        self.look(program, before, behind);
        let members = self.threads.members.iter().chain(&self.around.members);
        matching.extend(members.filter(|&&state| is_match(program, state)));
    }

    /// Whether a match ends here if this follows.
    pub(super) fn matches(
        &mut self,
        program: &Program,
        before: Neighbour,
        behind: Neighbour,
    ) -> bool {
        self.has_match(program) || self.looking_matches(program, before, behind)
    }

    /// Whether a match ends here that looks at what follows, if this does.
    pub(super) fn looking_matches(
        &mut self,
        program: &Program,
        before: Neighbour,
        behind: Neighbour,
    ) -> bool {
        if program.looks.is_empty() {
            return false;
        }
        self.look(program, before, behind);
        matches_in(program, &self.around)
    }

    /// Whether any state looks around.
    pub(super) fn looks(&self, program: &Program) -> bool {
        !program.always_looks.is_empty()
            || self.threads.any_of(&program.looks, |state| program.looks_at(state))
    }

    /// Goes over a byte that is in these sets.
    #[inline]
    fn go(&mut self, program: &Program, from: &[u32], sets: SetsOf<'_>) {
        for &state in from {
            if let Some(next) = program.next(program.ops[state as usize], sets) {
                self.enter(program, next);
            }
        }
    }

    /// Adds to the next set what a state leads to.
    #[inline]
    fn enter(&mut self, program: &Program, state: u32) {
        match program.reach(state) {
            Some(listed) => {
                for &state in listed {
                    self.next.insert(state);
                }
            }
            None => {
                self.to_follow.push(state);
                self.follow(program, |simulation, state, _| {
                    if !program.is_always(state) {
                        simulation.next.insert(state);
                    }
                });
            }
        }
    }

    /// Finds what is behind the states that look around, where these two allow it.
    fn look(&mut self, program: &Program, before: Neighbour, behind: Neighbour) {
        self.around.clear(program.ops.len());
        self.to_follow.extend(&program.always_looks);
        if program.looks.len() < self.threads.members.len() {
            let there = program.looks.iter().filter(|&&state| self.threads.contains(state));
            self.to_follow.extend(there);
        } else {
            let is_look = |&&state: &&u32| program.looks_at(state);
            self.to_follow.extend(self.threads.members.iter().filter(is_look));
        }
        if self.to_follow.is_empty() {
            return;
        }
        self.passed.clear(program.ops.len());
        self.follow(program, |simulation, state, op| match op {
            Op::Look { allowed, next } if allowed.between(before, behind) => {
                simulation.to_follow.push(next);
            }
            Op::Look { .. } => {}
            _ => {
                simulation.around.insert(state);
            }
        });
        // What was passed now may be passed again on the way to the next set.
        self.passed.clear(program.ops.len());
    }

    /// Follows states that do not wait, and shows those that do.
    fn follow(&mut self, program: &Program, mut show: impl FnMut(&mut Self, u32, Op)) {
        while let Some(state) = self.to_follow.pop() {
            if !self.passed.insert(state) {
                continue;
            }
            match program.ops[state as usize] {
                Op::Split { from, count } => {
                    self.to_follow.extend(program.alternates(from, count));
                }
                Op::Goto { next } | Op::Capture { next, .. } => self.to_follow.push(next),
                Op::Fail => {}
                op => show(self, state, op),
            }
        }
    }
}

/// Whether a match ends where a search is in these states.
#[inline]
fn matches_in(program: &Program, states: &Set) -> bool {
    states.any_of(&program.matching, |state| is_match(program, state))
}

fn is_match(program: &Program, state: u32) -> bool {
    matches!(program.ops[state as usize], Op::Match)
}
