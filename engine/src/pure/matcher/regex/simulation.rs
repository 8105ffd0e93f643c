//! [`Simulation`]: a pattern's NFA, a set of states at a time.
//!
//! It works places out for the cache of `dfa`, and goes on without one where a cache does not pay.

use regex_automata::nfa::thompson::NFA;

use super::program::{Neighbour, Op, Program, SetsOf};

/// A set of NFA states, in the order they came.
#[derive(Debug, Clone, Default)]
pub(super) struct Set {
    pub(super) members: Vec<u32>,
    /// Who has the number of the set as it is now is a member.
    marks: Vec<u32>,
    now: u32,
}

/// Where a search is: the states that wait for the next byte, and room to work out where it goes.
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

/// The program of an automaton. Whether its start looks around is found out by a simulation.
pub(super) fn program(nfa: &NFA) -> Program {
    let mut program = Program::new(nfa);
    let mut simulation = Simulation::default();
    simulation.begin(&program);
    program.start_looks = simulation.looks(&program);
    program
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
        let sets = program.sets_of(program.classes[usize::from(byte)]);
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
        std::mem::swap(&mut self.threads, &mut self.next);
        took + self.threads.members.len() + self.passed.members.len()
    }

    /// Whether a match ends here that does not look at what follows.
    #[inline]
    pub(super) fn has_match(&self, program: &Program) -> bool {
        self.threads.contains(program.matching)
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
        self.around.contains(program.matching)
    }

    /// Whether any state looks around.
    pub(super) fn looks(&self, program: &Program) -> bool {
        if program.looks.len() < self.threads.members.len() {
            program.looks.iter().any(|&state| self.threads.contains(state))
        } else {
            let is_look = |&state: &u32| matches!(program.ops[state as usize], Op::Look { .. });
            self.threads.members.iter().any(is_look)
        }
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
                    simulation.next.insert(state);
                });
            }
        }
    }

    /// Finds what is behind the states that look around, where these two allow it.
    fn look(&mut self, program: &Program, before: Neighbour, behind: Neighbour) {
        self.around.clear(program.ops.len());
        if program.looks.len() < self.threads.members.len() {
            let there = program.looks.iter().filter(|&&state| self.threads.contains(state));
            self.to_follow.extend(there);
        } else {
            let is_look = |&&state: &&u32| matches!(program.ops[state as usize], Op::Look { .. });
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
