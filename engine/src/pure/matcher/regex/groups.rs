//! [`Groups`]: finds the groups of a match whose begin and end are known.
//!
//! As a Pike VM does: threads in the order of their priorities, each with its own copy of where
//! groups begin and end. `regex-automata` has one, which cannot stop in the middle of a match.

use std::ops::Range;

use super::{
    program::{Neighbour, Op, Program},
    simulation::Set,
};
use crate::pure::matcher::{looked_at, steps::Steps};

/// A search for groups that can stop between two bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    at: usize,
    threads: Threads,
    next: Threads,
    /// The states that were passed on the way to the next threads.
    passed: Set,
    to_follow: Vec<Frame>,
    /// The slots of the thread that is being followed.
    slots: Vec<usize>,
}

/// Threads in the order of their priorities, and the slots of each, one after the other.
#[derive(Debug, Clone, Default)]
struct Threads {
    states: Vec<u32>,
    slots: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Frame {
    Follow(u32),
    /// What comes now has not passed the capture of this slot.
    Restore {
        slot: u32,
        value: usize,
    },
}

/// A slot that no capture has been passed of.
const NONE: usize = usize::MAX;

impl Groups {
    /// Begins with a match that begins at `start`; the match before it is forgotten.
    pub(super) fn begin(&mut self, program: &Program, slots: usize, text: &Text<'_>, start: usize) {
        self.at = start;
        self.threads.clear();
        self.next.clear();
        self.slots.clear();
        self.slots.resize(slots, NONE);
        self.passed.clear(program.ops.len());
        self.follow(program, program.start, text);
        std::mem::swap(&mut self.threads, &mut self.next);
    }

    /// Goes on to the end of the text; yields where each group is, unless the steps are used up.
    pub(super) fn go_on(
        &mut self,
        program: &Program,
        text: &Text<'_>,
        steps: &mut Steps,
    ) -> Option<Vec<Option<Range<usize>>>> {
        let slots = self.slots.len();
        while self.at < text.bytes.len() {
            if steps.are_used_up() {
                return None;
            }
            let byte = text.bytes[self.at];
            looked_at(1);
            self.at += 1;
            let sets = program.sets_of(program.classes[usize::from(byte)]);
            self.next.clear();
            self.passed.clear(program.ops.len());
            let threads = std::mem::take(&mut self.threads);
            for (index, &state) in threads.states.iter().enumerate() {
                if let Some(next) = program.next(program.ops[state as usize], sets) {
                    self.slots.copy_from_slice(&threads.slots[index * slots..][..slots]);
                    self.follow(program, next, text);
                }
            }
            let states = threads.states.len() + self.passed.members.len();
            let copied = slots * (threads.states.len() + self.next.states.len());
            steps.take(STEPS_A_BYTE + STEPS_A_STATE * states + copied / SLOTS_A_STEP);
            self.threads = std::mem::replace(&mut self.next, threads);
        }
        // No match ends earlier, so what is found from the start can only end at the end.
        let is_match = |&state: &u32| matches!(program.ops[state as usize], Op::Match);
        let first = self.threads.states.iter().position(is_match).expect("a match is here");
        let group =
            |slots: &[usize]| (slots[0] != NONE && slots[1] != NONE).then(|| slots[0]..slots[1]);
        let slots = &self.threads.slots[first * slots..][..slots];
        Some(slots.chunks_exact(2).map(group).collect())
    }

    /// How much memory it holds, in bytes.
    pub(super) fn weight(&self) -> usize {
        let slots = self.threads.slots.capacity() + self.next.slots.capacity();
        slots * size_of::<usize>()
    }

    /// Makes threads of all that a state leads to without a byte, in the order of priorities.
    fn follow(&mut self, program: &Program, state: u32, text: &Text<'_>) {
        let (before, behind) = (text.before(self.at), text.behind(self.at));
        self.to_follow.push(Frame::Follow(state));
        while let Some(frame) = self.to_follow.pop() {
            let mut state = match frame {
                Frame::Follow(state) => state,
                Frame::Restore { slot, value } => {
                    self.slots[slot as usize] = value;
                    continue;
                }
            };
            while self.passed.insert(state) {
                match program.ops[state as usize] {
                    Op::Split { from, count } => {
                        let Some((&first, others)) = program.alternates(from, count).split_first()
                        else {
                            break;
                        };
                        let others = others.iter().rev().map(|&next| Frame::Follow(next));
                        self.to_follow.extend(others);
                        state = first;
                    }
                    Op::Goto { next } => state = next,
                    Op::Capture { slot, next } => {
                        let value = std::mem::replace(&mut self.slots[slot as usize], self.at);
                        self.to_follow.push(Frame::Restore { slot, value });
                        state = next;
                    }
                    Op::Look { allowed, next } if allowed.between(before, behind) => state = next,
                    Op::Look { .. } | Op::Fail => break,
                    Op::Byte { .. } | Op::Bytes { .. } | Op::Match => {
                        self.next.states.push(state);
                        self.next.slots.extend_from_slice(&self.slots);
                        break;
                    }
                }
            }
        }
    }
}

impl Threads {
    fn clear(&mut self) {
        self.states.clear();
        self.slots.clear();
    }
}

/// The bytes up to the end of a match, and what follows them.
pub(super) struct Text<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) next: Neighbour,
}

impl Text<'_> {
    /// What is in front of a place.
    pub(super) fn before(&self, at: usize) -> Neighbour {
        at.checked_sub(1).map_or(Neighbour::Edge, |index| Neighbour::of(self.bytes[index]))
    }

    /// What is behind a place.
    fn behind(&self, at: usize) -> Neighbour {
        self.bytes.get(at).map_or(self.next, |&byte| Neighbour::of(byte))
    }
}

/// What a byte costs, beside the states that are passed...
const STEPS_A_BYTE: usize = 8;

/// ...each of these...
const STEPS_A_STATE: usize = 2;

/// ...and the slots that are copied.
const SLOTS_A_STEP: usize = 4;
