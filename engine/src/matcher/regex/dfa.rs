//! A lazy DFA that can be put aside at any byte, and that knows an end when it has come to it.
//!
//! Why not the lazy DFA of `regex-automata`: its states are numbers that mean something only in one
//! cache and until that cache is cleared, so each pending read would have to keep a cache of its own
//! or begin again; and it tells of an end one byte late, when on a stream there may be no such byte.
//! Here a search that waits is a [`Place`], a small set of NFA states that any cache can go on from,
//! and each state says of itself whether a match ends there. The NFA is `regex-automata`'s.

use std::{collections::HashMap, sync::Arc};

use regex_automata::nfa::thompson::{NFA, State};

use crate::matcher::looked_at;

/// A pattern's NFA and the classes of bytes that it cannot tell apart.
pub(super) struct Program {
    nfa: NFA,
    classes: [u8; 256],
    /// One byte of each class.
    representatives: Vec<u8>,
    /// A row of a table has room for two to this power of classes, so that an index is no division.
    shift: u32,
    start: Arc<Place>,
}

/// Where a search is between two bytes: all that it has to remember.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// What is in front. [`Neighbour::Other`] if no thread looks behind, to have fewer places.
    before: Neighbour,
    /// The NFA states that wait for the next byte, sorted: those with transitions, those that look
    /// around, and the one that matches. Priorities do not matter, as the earliest end wins.
    threads: Box<[u32]>,
}

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

/// Whether a match ends at a place, depending on what follows it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ends {
    /// It does without looking at what follows.
    always: bool,
    /// A bit for each [`Neighbour`]: if it follows, a match ends here that looks at it.
    before: u8,
}

/// A row of the transition table, by the index of its first cell; [`ENDS`] marks the rows of places
/// where a match can end.
pub(super) type Row = u32;

/// A table of the places seen so far, filled as the search goes. It is only a cache: cleared when it
/// is full, and any place can be put into any.
pub(super) struct Cache {
    table: Vec<Row>,
    places: Vec<(Arc<Place>, Ends)>,
    rows: HashMap<Arc<Place>, Row>,
    /// What the places take, in bytes, without the table.
    weight: usize,
    scratch: Scratch,
}

impl Program {
    /// Makes a program of a forward NFA.
    pub(super) fn new(nfa: NFA) -> Self {
        let mut classes = [0; 256];
        let mut representatives = Vec::new();
        for byte in 0..=u8::MAX {
            let class = nfa.byte_classes().get(byte);
            classes[usize::from(byte)] = class;
            // Classes are numbered in the order of their first bytes.
            if usize::from(class) == representatives.len() {
                representatives.push(byte);
            }
        }
        let mut scratch = Scratch::new(&nfa);
        scratch.close(&nfa, nfa.start_unanchored().as_u32(), None);
        let start = Arc::new(scratch.place(&nfa, Neighbour::Edge));
        let shift = representatives.len().next_power_of_two().trailing_zeros();
        Self { nfa, classes, representatives, shift, start }
    }

    /// Where every search begins.
    pub(super) fn start(&self) -> &Arc<Place> {
        &self.start
    }

    pub(super) fn nfa(&self) -> &NFA {
        &self.nfa
    }
}

impl Cache {
    pub(super) fn new(program: &Program) -> Self {
        Self {
            table: Vec::new(),
            places: Vec::new(),
            rows: HashMap::new(),
            weight: 0,
            scratch: Scratch::new(&program.nfa),
        }
    }

    /// The row of a place, which is valid until the next [`advance`](Self::advance). It is looked for
    /// at `hint` first, where it was when this or another cache had it last.
    #[inline]
    pub(super) fn row(&mut self, program: &Program, place: &Arc<Place>, hint: Row) -> Row {
        match self.places.get(index(program, hint)) {
            Some((known, _)) if Arc::ptr_eq(known, place) => hint,
            _ => self.look_up(program, place),
        }
    }

    fn look_up(&mut self, program: &Program, place: &Arc<Place>) -> Row {
        if let Some(&row) = self.rows.get(place) {
            return row;
        }
        self.make_room();
        self.insert(program, place.clone())
    }

    /// The place of a row.
    fn place(&self, program: &Program, row: Row) -> &Arc<Place> {
        &self.places[index(program, row)].0
    }

    /// Makes `place` that of a row.
    #[inline]
    pub(super) fn keep_place(&self, program: &Program, row: Row, place: &mut Arc<Place>) {
        let now = self.place(program, row);
        // Mostly a search goes round within a few places, often in one.
        if !Arc::ptr_eq(now, place) {
            place.clone_from(now);
        }
    }

    /// Whether a match ends at the place of a row.
    pub(super) fn ends(&self, program: &Program, row: Row) -> Ends {
        if row & ENDS == 0 { Ends::default() } else { self.places[index(program, row)].1 }
    }

    /// Goes over `bytes`, at most to the first place where a match can end; yields the place's row
    /// and how many bytes it went over.
    pub(super) fn advance(&mut self, program: &Program, row: Row, bytes: &[u8]) -> (Row, usize) {
        let mut row = row & !ENDS;
        for (index, &byte) in bytes.iter().enumerate() {
            let class = program.classes[usize::from(byte)];
            let mut next = self.table[row as usize + usize::from(class)];
            if next >= ENDS {
                if next == UNKNOWN {
                    next = self.step(program, row, class);
                }
                if next & ENDS != 0 {
                    looked_at(index + 1);
                    return (next, index + 1);
                }
            }
            row = next;
        }
        looked_at(bytes.len());
        (row, bytes.len())
    }

    /// Finds out where a class of bytes leads, and notes it in the table.
    #[cold]
    #[inline(never)]
    fn step(&mut self, program: &Program, row: Row, class: u8) -> Row {
        let from = self.place(program, row).clone();
        let byte = program.representatives[usize::from(class)];
        let to = Arc::new(self.scratch.step(&program.nfa, &from, byte));
        if let Some(&to) = self.rows.get(&to) {
            self.table[row as usize + usize::from(class)] = to;
            return to;
        }
        if self.make_room() {
            // The row that led here is gone with the others.
            return self.insert(program, to);
        }
        let to = self.insert(program, to);
        self.table[row as usize + usize::from(class)] = to;
        to
    }

    /// Clears the cache if it is full, and says so.
    fn make_room(&mut self) -> bool {
        let full = self.weight + self.table.len() * size_of::<Row>() > CACHE_LIMIT;
        if full {
            self.table.clear();
            self.places.clear();
            self.rows.clear();
            self.weight = 0;
        }
        full
    }

    fn insert(&mut self, program: &Program, place: Arc<Place>) -> Row {
        let ends = self.scratch.ends(&program.nfa, &place);
        let mark = if ends.is_possible() { ENDS } else { 0 };
        let row = u32::try_from(self.table.len()).expect("a full table is cleared before") | mark;
        self.table.resize(self.table.len() + (1 << program.shift), UNKNOWN);
        self.weight += size_of_val(&*place.threads) + PLACE_WEIGHT;
        self.places.push((place.clone(), ends));
        self.rows.insert(place, row);
        row
    }
}

/// The index of a row's place.
const fn index(program: &Program, row: Row) -> usize {
    ((row & !ENDS) >> program.shift) as usize
}

impl Neighbour {
    /// All there are.
    pub(super) const ALL: [Self; 5] =
        [Self::Edge, Self::LineFeed, Self::CarriageReturn, Self::Word, Self::Other];

    /// What look-around can tell of a byte.
    pub(super) const fn of(byte: u8) -> Self {
        match byte {
            b'\n' => Self::LineFeed,
            b'\r' => Self::CarriageReturn,
            b'0'..=b'9' | b'A'..=b'Z' | b'_' | b'a'..=b'z' => Self::Word,
            _ => Self::Other,
        }
    }

    /// A text of one byte that looks like it, or an empty one.
    pub(super) const fn text(self) -> &'static [u8] {
        match self {
            Self::Edge => b"",
            Self::LineFeed => b"\n",
            Self::CarriageReturn => b"\r",
            Self::Word => b"w",
            Self::Other => b" ",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Ends {
    /// Whether a match ends here if this follows.
    pub(super) const fn if_followed_by(self, next: Neighbour) -> bool {
        self.always || self.before & next.bit() != 0
    }

    /// Whether a match ends here whatever follows.
    pub(super) fn certainly(self) -> bool {
        Neighbour::ALL.into_iter().all(|next| self.if_followed_by(next))
    }

    /// Whether a match can end here at all.
    pub(super) const fn is_possible(self) -> bool {
        self.always || self.before != 0
    }

    /// Whether which matches end here depends on what follows, even where it is certain that one
    /// does.
    pub(super) const fn looks_ahead(self) -> bool {
        self.before != 0
    }
}

/// Room to work out places in: a set of NFA states, and those still to be followed.
struct Scratch {
    members: Vec<u32>,
    is_member: Vec<bool>,
    to_follow: Vec<u32>,
}

impl Scratch {
    fn new(nfa: &NFA) -> Self {
        Self {
            members: Vec::new(),
            is_member: vec![false; nfa.states().len()],
            to_follow: Vec::new(),
        }
    }

    /// The place behind `byte`.
    fn step(&mut self, nfa: &NFA, from: &Place, byte: u8) -> Place {
        let around = Some((from.before, Neighbour::of(byte)));
        for &thread in &from.threads {
            self.close(nfa, thread, around);
        }
        let mut threads = std::mem::take(&mut self.members);
        self.forget(&threads);
        for &thread in &threads {
            let next = match &nfa.states()[thread as usize] {
                State::ByteRange { trans } if trans.matches_byte(byte) => Some(trans.next),
                State::Sparse(transitions) => transitions.matches_byte(byte),
                State::Dense(transitions) => transitions.matches_byte(byte),
                _ => None,
            };
            if let Some(next) = next {
                self.close(nfa, next.as_u32(), None);
            }
        }
        let place = self.place(nfa, Neighbour::of(byte));
        // The other list's room is worth keeping.
        threads.clear();
        self.members = threads;
        place
    }

    /// Whether matches end at `place`.
    fn ends(&mut self, nfa: &NFA, place: &Place) -> Ends {
        let state = |thread: u32| &nfa.states()[thread as usize];
        let is_match = |thread: &u32| matches!(state(*thread), State::Match { .. });
        let mut ends = Ends { always: place.threads.iter().any(is_match), before: 0 };
        for next in Neighbour::ALL {
            for &thread in &place.threads {
                if matches!(state(thread), State::Look { .. }) {
                    self.close(nfa, thread, Some((place.before, next)));
                }
            }
            if self.members.iter().any(is_match) {
                ends.before |= next.bit();
            }
            let members = std::mem::take(&mut self.members);
            self.forget(&members);
        }
        ends
    }

    /// Adds a state and all that it leads to without a byte. What looks around is followed if what
    /// is `around`, before and behind, allows it, and is a member itself while that is unknown.
    fn close(&mut self, nfa: &NFA, state: u32, around: Option<(Neighbour, Neighbour)>) {
        self.to_follow.push(state);
        while let Some(id) = self.to_follow.pop() {
            if std::mem::replace(&mut self.is_member[id as usize], true) {
                continue;
            }
            self.members.push(id);
            match &nfa.states()[id as usize] {
                State::Union { alternates } => {
                    self.to_follow.extend(alternates.iter().map(|next| next.as_u32()));
                }
                State::BinaryUnion { alt1, alt2 } => {
                    self.to_follow.extend([alt1.as_u32(), alt2.as_u32()]);
                }
                State::Capture { next, .. } => self.to_follow.push(next.as_u32()),
                State::Look { look, next } => {
                    let Some((before, behind)) = around else { continue };
                    let text = [before.text(), behind.text()].concat();
                    if nfa.look_matcher().matches(*look, &text, before.text().len()) {
                        self.to_follow.push(next.as_u32());
                    }
                }
                State::ByteRange { .. }
                | State::Sparse(_)
                | State::Dense(_)
                | State::Match { .. }
                | State::Fail => {}
            }
        }
    }

    /// Makes a place of the members, and empties the set.
    fn place(&mut self, nfa: &NFA, before: Neighbour) -> Place {
        let members = std::mem::take(&mut self.members);
        self.forget(&members);
        let mut looks = false;
        let mut threads: Vec<u32> = members
            .into_iter()
            .filter(|&id| match nfa.states()[id as usize] {
                State::Look { .. } => {
                    looks = true;
                    true
                }
                State::ByteRange { .. }
                | State::Sparse(_)
                | State::Dense(_)
                | State::Match { .. } => true,
                State::Union { .. }
                | State::BinaryUnion { .. }
                | State::Capture { .. }
                | State::Fail => false,
            })
            .collect();
        threads.sort_unstable();
        let before = if looks { before } else { Neighbour::Other };
        Place { before, threads: threads.into() }
    }

    fn forget(&mut self, members: &[u32]) {
        for &id in members {
            self.is_member[id as usize] = false;
        }
    }
}

/// The mark of a row where a match can end; no table is that long.
const ENDS: Row = 1 << 31;

/// A cell that has not been worked out yet.
const UNKNOWN: Row = Row::MAX;

/// When a cache is cleared, in bytes.
const CACHE_LIMIT: usize = 1 << 20;

/// About what a place takes beside its threads and its row of the table, in bytes.
const PLACE_WEIGHT: usize = 128;
