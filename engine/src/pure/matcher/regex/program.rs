//! [`Program`]: a pattern's NFA in the form that searches walk over, forward or backward.
//!
//! The NFA is `regex-automata`'s. Here each state is a few bytes in one array, a class of bytes is
//! a bit in a table, and what a state leads to without a byte is written down as far as that is
//! short: a search goes over thousands of states for a byte where it must.
//!
//! A match may begin anywhere, so the states in which one begins are where a search is at every
//! byte. They are written down once, and no search lists them among its own.

use std::{collections::HashMap, hash::Hash, ops::RangeInclusive};

use regex_automata::{
    nfa::thompson::{NFA, State, Transition},
    util::look::{Look, LookMatcher},
};

/// A pattern's NFA and the classes of bytes that it cannot tell apart.
pub(super) struct Program {
    pub(super) ops: Box<[Op]>,
    /// Where searches begin: of a forward program before any byte, of a backward one at an end.
    pub(super) start: u32,
    /// The states that match: one, or of a union one for each of its parts.
    pub(super) matching: Box<[u32]>,
    /// The states that look around.
    pub(super) looks: Box<[u32]>,
    /// Some of them stand at the start.
    pub(super) start_looks: bool,
    /// The states in which a search is at every byte: those that wait for a byte or look around.
    pub(super) always: Box<[u32]>,
    /// Those of them that look around.
    pub(super) always_looks: Box<[u32]>,
    /// For each state whether it is one of them; empty if there are none.
    is_always: Box<[bool]>,
    /// For each class of bytes, where it leads from them, unless that is too much to list.
    begins: Option<Box<[Box<[u32]>]>>,
    alternates: Box<[u32]>,
    transitions: Box<[(u32, u32)]>,
    /// The sets of bytes that states wait for.
    sets: Box<[ByteSet]>,
    /// For each class of bytes, a bit for each set that has it.
    members: Box<[u64]>,
    /// How many numbers a class has in `members`.
    words: usize,
    /// For each state, what it leads to without a byte.
    reach: Box<[Reach]>,
    reached: Box<[u32]>,
    pub(super) classes: [u8; 256],
    /// One byte of each class.
    pub(super) representatives: Vec<u8>,
    /// A row of a table has room for two to this power of classes, so that an index is no division.
    pub(super) shift: u32,
}

/// A state.
#[derive(Debug, Clone, Copy)]
pub(super) enum Op {
    /// Waits for a byte of a set.
    Byte {
        set: u32,
        next: u32,
    },
    /// Waits for a byte of one of several sets, which have none in common.
    Bytes {
        from: u32,
        count: u32,
    },
    /// Leads to several states, the preferred one first.
    Split {
        from: u32,
        count: u32,
    },
    /// Leads to another.
    Goto {
        next: u32,
    },
    /// The place is the begin or the end of a group.
    Capture {
        slot: u32,
        next: u32,
    },
    /// Leads to another if what is beside the place allows it.
    Look {
        allowed: Allowed,
        next: u32,
    },
    Match,
    Fail,
}

/// A bit for each pair of what is in front of a place and what is behind, in the search's
/// direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed(u32);

/// What look-around can tell of the byte beside a place; `Edge` is the begin or end of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(super) enum Neighbour {
    Edge,
    LineFeed,
    CarriageReturn,
    Word,
    Other,
}

#[derive(Debug, Clone, Copy)]
enum Reach {
    /// Those that wait for a byte, look around or match, a part of a list.
    Listed { from: u32, count: u32 },
    /// Too many to be listed.
    Many,
}

/// Those states of which a search remembers whether it is in them.
pub(super) const fn waits(op: Op) -> bool {
    matches!(op, Op::Byte { .. } | Op::Bytes { .. } | Op::Look { .. } | Op::Match)
}

impl Program {
    /// Makes a program of an NFA: one that was built to go backward starts at the end of a match.
    pub(super) fn new(nfa: &NFA) -> Self {
        let classes = Classes::new(|byte| usize::from(nfa.byte_classes().get(byte)));
        let mut maker = Maker::default();
        maker.ops = nfa.states().iter().map(|state| maker.op(nfa, state)).collect();
        let start = nfa.start_anchored().as_u32();
        // Where the two differ, any bytes may stand in front of a match.
        let begins_anywhere = !nfa.is_reverse() && nfa.start_unanchored().as_u32() != start;
        let starts = [start];
        maker.finish(classes, start, if begins_anywhere { &starts } else { &[] })
    }

    /// Several forward programs side by side: the states of each are those that it has, in order,
    /// behind those of the programs before it.
    pub(super) fn union<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let mut classes = [0; 256];
        for part in parts.clone() {
            let pair = |byte: u8| (classes[usize::from(byte)], part.classes[usize::from(byte)]);
            classes = Classes::new(pair).of;
        }
        let mut maker = Maker::default();
        let (mut starts, mut anywhere) = (Vec::new(), Vec::new());
        for part in parts {
            let start = number_of(maker.ops.len()) + part.start;
            starts.push(start);
            if !part.always.is_empty() {
                anywhere.push(start);
            }
            maker.append(part);
        }
        let start = number_of(maker.ops.len());
        let split = maker.split(starts);
        maker.ops.push(split);
        maker.finish(Classes::new(|byte| classes[usize::from(byte)]), start, &anywhere)
    }

    #[inline]
    pub(super) fn alternates(&self, from: u32, count: u32) -> &[u32] {
        &self.alternates[from as usize..][..count as usize]
    }

    /// Which sets a class of bytes is in.
    #[inline]
    pub(super) fn sets_of(&self, class: u8) -> SetsOf<'_> {
        SetsOf(&self.members[usize::from(class) * self.words..][..self.words])
    }

    /// Where a state that waits for a byte goes with one that is in these sets.
    #[inline]
    pub(super) fn next(&self, op: Op, sets: SetsOf<'_>) -> Option<u32> {
        match op {
            Op::Byte { set, next } => sets.contain(set).then_some(next),
            Op::Bytes { from, count } => {
                let transitions = &self.transitions[from as usize..][..count as usize];
                transitions.iter().find(|(set, _)| sets.contain(*set)).map(|(_, next)| *next)
            }
            _ => None,
        }
    }

    /// What a state leads to without a byte, if that is listed.
    #[inline]
    pub(super) fn reach(&self, state: u32) -> Option<&[u32]> {
        match self.reach[state as usize] {
            Reach::Listed { from, count } => Some(&self.reached[from as usize..][..count as usize]),
            Reach::Many => None,
        }
    }

    /// Whether a search is in a state at every byte.
    #[inline]
    pub(super) fn is_always(&self, state: u32) -> bool {
        !self.is_always.is_empty() && self.is_always[state as usize]
    }

    /// Where a class of bytes leads from where a search is always, if that is listed.
    #[inline]
    pub(super) fn begins(&self, class: u8) -> Option<&[u32]> {
        Some(&self.begins.as_ref()?[usize::from(class)])
    }

    /// The states that wait for a byte, look around or match and are reached without a byte.
    fn closure(&self, from: &[u32]) -> Vec<u32> {
        let mut passed = vec![false; self.ops.len()];
        let (mut to_follow, mut reached) = (from.to_vec(), Vec::new());
        while let Some(state) = to_follow.pop() {
            if std::mem::replace(&mut passed[state as usize], true) {
                continue;
            }
            match self.ops[state as usize] {
                Op::Split { from, count } => to_follow.extend(self.alternates(from, count)),
                Op::Goto { next } | Op::Capture { next, .. } => to_follow.push(next),
                Op::Fail => {}
                Op::Byte { .. } | Op::Bytes { .. } | Op::Look { .. } | Op::Match => {
                    reached.push(state);
                }
            }
        }
        reached
    }

    /// Finds out where a search is at every byte, if what these lead to is.
    fn begin_anywhere(&mut self, starts: &[u32]) {
        if starts.is_empty() {
            return;
        }
        let always = self.closure(starts);
        self.is_always = vec![false; self.ops.len()].into();
        for &state in &always {
            self.is_always[state as usize] = true;
        }
        self.always_looks = always.iter().copied().filter(|&state| self.looks_at(state)).collect();
        self.always = always.into();
        let most = BEGINS_MAX_EACH * self.always.len();
        let (mut begins, mut count) = (Vec::new(), 0);
        for class in 0..self.representatives.len() {
            let sets = self.sets_of(class_of(class));
            let leads = self.always.iter().map(|&state| self.ops[state as usize]);
            let to: Box<[u32]> = leads.filter_map(|op| self.next(op, sets)).collect();
            count += to.len();
            if count > most {
                return;
            }
            begins.push(to);
        }
        self.begins = Some(begins.into());
    }

    pub(super) fn looks_at(&self, state: u32) -> bool {
        matches!(self.ops[state as usize], Op::Look { .. })
    }

    fn list_what_is_reached(&mut self) {
        let most = REACH_MAX_EACH * self.ops.len();
        let (mut reach, mut reached) = (Vec::new(), Vec::new());
        for state in 0..number_of(self.ops.len()) {
            let from = reached.len();
            if reached.len() < most && self.reach_in_full(state, &mut reached) {
                let count = number_of(reached.len() - from);
                reach.push(Reach::Listed { from: number_of(from), count });
            } else {
                reached.truncate(from);
                reach.push(Reach::Many);
            }
        }
        (self.reach, self.reached) = (reach.into(), reached.into());
    }

    /// Adds to a list what a state leads to without a byte. Returns whether that is all there is.
    fn reach_in_full(&self, state: u32, reached: &mut Vec<u32>) -> bool {
        let from = reached.len();
        let mut passed = vec![state];
        let mut to_follow = vec![state];
        let mut pass = |next: u32, to_follow: &mut Vec<u32>| {
            if !passed.contains(&next) {
                passed.push(next);
                to_follow.push(next);
            }
            passed.len() <= REACH_MAX
        };
        while let Some(state) = to_follow.pop() {
            let is_short = match self.ops[state as usize] {
                Op::Split { from, count } => {
                    count as usize <= REACH_MAX
                        && self
                            .alternates(from, count)
                            .iter()
                            .all(|&next| pass(next, &mut to_follow))
                }
                Op::Goto { next } | Op::Capture { next, .. } => pass(next, &mut to_follow),
                Op::Fail => true,
                Op::Byte { .. } | Op::Bytes { .. } | Op::Look { .. } | Op::Match => {
                    if !self.is_always(state) {
                        reached.push(state);
                    }
                    true
                }
            };
            if !is_short || reached.len() - from > REACH_MAX {
                return false;
            }
        }
        true
    }
}

/// The sets that a class of bytes is in.
#[derive(Clone, Copy)]
pub(super) struct SetsOf<'a>(&'a [u64]);

impl SetsOf<'_> {
    #[inline]
    fn contain(self, set: u32) -> bool {
        self.0[set as usize / 64] >> (set % 64) & 1 == 1
    }
}

impl Allowed {
    /// Where `look` holds. A program that goes backward has the byte that is behind in front.
    fn new(look: Look, matcher: &LookMatcher, backward: bool) -> Self {
        // The NFA has turned it round, too, but of CRLF only one order means anything.
        let look = if backward { look.reversed() } else { look };
        let mut bits = 0;
        for before in Neighbour::ALL {
            for behind in Neighbour::ALL {
                let (left, right) = if backward { (behind, before) } else { (before, behind) };
                let text = [left.text(), right.text()].concat();
                if matcher.matches(look, &text, left.text().len()) {
                    bits |= Self::bit(before, behind);
                }
            }
        }
        Self(bits)
    }

    /// Whether it holds between these two.
    #[inline]
    pub(super) const fn between(self, before: Neighbour, behind: Neighbour) -> bool {
        self.0 & Self::bit(before, behind) != 0
    }

    const fn bit(before: Neighbour, behind: Neighbour) -> u32 {
        1 << (before as usize * Neighbour::ALL.len() + behind as usize)
    }
}

impl Neighbour {
    /// All there are.
    pub(super) const ALL: [Self; 5] =
        [Self::Edge, Self::LineFeed, Self::CarriageReturn, Self::Word, Self::Other];

    /// What look-around can tell of a byte.
    #[inline]
    pub(super) const fn of(byte: u8) -> Self {
        match byte {
            b'\n' => Self::LineFeed,
            b'\r' => Self::CarriageReturn,
            b'0'..=b'9' | b'A'..=b'Z' | b'_' | b'a'..=b'z' => Self::Word,
            _ => Self::Other,
        }
    }

    /// A text of one byte that looks like it, or an empty one.
    const fn text(self) -> &'static [u8] {
        match self {
            Self::Edge => b"",
            Self::LineFeed => b"\n",
            Self::CarriageReturn => b"\r",
            Self::Word => b"w",
            Self::Other => b" ",
        }
    }
}

/// Classes of bytes, numbered in the order of their first bytes.
struct Classes {
    of: [u8; 256],
    /// The first byte of each.
    representatives: Vec<u8>,
}

impl Classes {
    /// Bytes of which the same is said are in the same class.
    fn new<T: Eq + Hash>(say: impl Fn(u8) -> T) -> Self {
        let mut known = HashMap::new();
        let mut classes = Self { of: [0; 256], representatives: Vec::new() };
        for byte in 0..=u8::MAX {
            let class = *known.entry(say(byte)).or_insert_with(|| {
                classes.representatives.push(byte);
                class_of(classes.representatives.len() - 1)
            });
            classes.of[usize::from(byte)] = class;
        }
        classes
    }
}

/// A bit for each byte.
type ByteSet = [u64; 4];

fn has(set: &ByteSet, byte: u8) -> bool {
    set[usize::from(byte / 64)] >> (byte % 64) & 1 == 1
}

/// What is collected while the states are gone over.
#[derive(Default)]
struct Maker {
    ops: Vec<Op>,
    alternates: Vec<u32>,
    transitions: Vec<(u32, u32)>,
    sets: Vec<ByteSet>,
    /// The numbers of the sets.
    numbers: HashMap<ByteSet, u32>,
}

impl Maker {
    /// Makes the program. What `anywhere` leads to is where a search is at every byte.
    fn finish(self, classes: Classes, start: u32, anywhere: &[u32]) -> Program {
        let Self { ops, alternates, transitions, sets, .. } = self;
        let of_kind = |is: fn(&Op) -> bool| {
            let ids = ops.iter().enumerate().filter(move |(_, op)| is(op));
            ids.map(|(id, _)| number_of(id)).collect()
        };
        let Classes { of, representatives } = classes;
        let words = sets.len().div_ceil(64);
        let mut members = vec![0; words * representatives.len()];
        for (number, set) in sets.iter().enumerate() {
            for (class, &byte) in representatives.iter().enumerate() {
                if has(set, byte) {
                    members[class * words + number / 64] |= 1 << (number % 64);
                }
            }
        }
        let mut program = Program {
            start,
            matching: of_kind(|op| matches!(op, Op::Match)),
            looks: of_kind(|op| matches!(op, Op::Look { .. })),
            start_looks: false,
            always: Box::default(),
            always_looks: Box::default(),
            is_always: Box::default(),
            begins: None,
            ops: ops.into(),
            alternates: alternates.into(),
            transitions: transitions.into(),
            sets: sets.into(),
            members: members.into(),
            words,
            reach: Box::default(),
            reached: Box::default(),
            classes: of,
            shift: representatives.len().next_power_of_two().trailing_zeros(),
            representatives,
        };
        let starts = program.closure(&[start]);
        program.start_looks = starts.into_iter().any(|state| program.looks_at(state));
        program.begin_anywhere(anywhere);
        program.list_what_is_reached();
        program
    }

    /// Puts the states of a program behind those there are.
    fn append(&mut self, part: &Program) {
        let ops = number_of(self.ops.len());
        let alternates = number_of(self.alternates.len());
        let transitions = number_of(self.transitions.len());
        let sets: Vec<u32> = part.sets.iter().map(|&set| self.set(set)).collect();
        let number = |set: u32| sets[set as usize];
        self.ops.extend(part.ops.iter().map(|&op| match op {
            Op::Byte { set, next } => Op::Byte { set: number(set), next: next + ops },
            Op::Bytes { from, count } => Op::Bytes { from: from + transitions, count },
            Op::Split { from, count } => Op::Split { from: from + alternates, count },
            // Groups are found by the program of the pattern alone.
            Op::Goto { next } | Op::Capture { next, .. } => Op::Goto { next: next + ops },
            Op::Look { allowed, next } => Op::Look { allowed, next: next + ops },
            op @ (Op::Match | Op::Fail) => op,
        }));
        self.alternates.extend(part.alternates.iter().map(|next| next + ops));
        let leads = part.transitions.iter().map(|&(set, next)| (number(set), next + ops));
        self.transitions.extend(leads);
    }

    /// The number of a set.
    fn set(&mut self, set: ByteSet) -> u32 {
        *self.numbers.entry(set).or_insert_with(|| {
            self.sets.push(set);
            number_of(self.sets.len() - 1)
        })
    }

    fn op(&mut self, nfa: &NFA, state: &State) -> Op {
        match state {
            State::ByteRange { trans } => self.bytes([range(trans)]),
            State::Sparse(sparse) => self.bytes(sparse.transitions.iter().map(range)),
            State::Dense(dense) => {
                let next = |byte| Some((byte..=byte, dense.matches_byte(byte)?.as_u32()));
                self.bytes((0..=u8::MAX).filter_map(next))
            }
            State::Look { look, next } => {
                let allowed = Allowed::new(*look, nfa.look_matcher(), nfa.is_reverse());
                Op::Look { allowed, next: next.as_u32() }
            }
            State::Union { alternates } => self.split(alternates.iter().map(|next| next.as_u32())),
            State::BinaryUnion { alt1, alt2 } => self.split([alt1.as_u32(), alt2.as_u32()]),
            State::Capture { next, group_index, slot, .. } => match group_index.as_u32() {
                // The whole match is known otherwise.
                0 => Op::Goto { next: next.as_u32() },
                _ => Op::Capture { slot: slot.as_u32() - 2, next: next.as_u32() },
            },
            State::Match { .. } => Op::Match,
            State::Fail => Op::Fail,
        }
    }

    fn split(&mut self, alternates: impl IntoIterator<Item = u32>) -> Op {
        let from = number_of(self.alternates.len());
        self.alternates.extend(alternates);
        Op::Split { from, count: number_of(self.alternates.len()) - from }
    }

    /// One set for each state that the transitions lead to.
    fn bytes(&mut self, transitions: impl IntoIterator<Item = (RangeInclusive<u8>, u32)>) -> Op {
        let mut sets: Vec<(u32, ByteSet)> = Vec::new();
        for (range, next) in transitions {
            let place = sets.iter().position(|(known, _)| *known == next).unwrap_or_else(|| {
                sets.push((next, [0; 4]));
                sets.len() - 1
            });
            for byte in range {
                sets[place].1[usize::from(byte / 64)] |= 1 << (byte % 64);
            }
        }
        let from = number_of(self.transitions.len());
        for &(next, bytes) in &sets {
            let number = self.set(bytes);
            self.transitions.push((number, next));
        }
        match sets.len() {
            1 => {
                let (set, next) = self.transitions.pop().expect("one has been put in");
                Op::Byte { set, next }
            }
            count => Op::Bytes { from, count: number_of(count) },
        }
    }
}

/// An NFA is no larger than its limit, so its parts are numbered by half of a word.
fn number_of(index: usize) -> u32 {
    u32::try_from(index).expect("an NFA has a limit")
}

/// There are no more classes than bytes.
fn class_of(index: usize) -> u8 {
    u8::try_from(index).expect("a class has a byte")
}

fn range(transition: &Transition) -> (RangeInclusive<u8>, u32) {
    (transition.start..=transition.end, transition.next.as_u32())
}

/// How many states a list of what one leads to has at most...
const REACH_MAX: usize = 16;

/// ...and all lists together, for each state.
const REACH_MAX_EACH: usize = 4;

/// How many states are listed, for each in which a search is always, that these lead to.
const BEGINS_MAX_EACH: usize = 64;
