//! A lazy DFA that can be put aside at any byte, and that knows an end when it has come to it.
//!
//! Why not the lazy DFA of `regex-automata`: its states are numbers that mean something only in one
//! cache and until that cache is cleared, so each pending read would have to keep a cache of its
//! own or begin again; and it tells of an end one byte late, when on a stream there may be no such
//! byte. Here a search that waits is a [`Walk`], a small set of NFA states that any cache can go on
//! from, and each place says of itself whether a match ends there.
//!
//! Where a text leads to new places all the time, a table of them does not pay: what is put in and
//! hardly used again costs more than the NFA. Such a table stays as it is for a while, and what
//! leads out of it is [simulated](Simulation) until it comes back to a place that is known.

use super::{
    program::{Neighbour, Program},
    simulation::{Simulation, scatter},
};
use crate::pure::matcher::{looked_at, steps::Steps};

/// Where a search is between two bytes: all that it has to remember.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    /// How many bytes it went over.
    pub(super) at: usize,
    /// What is in front. [`Neighbour::Other`] if nothing looks behind, to have fewer places.
    before: Neighbour,
    /// At the start, what it would wait for is not written down.
    is_start: bool,
    /// The NFA states that wait for the next byte.
    threads: Vec<u32>,
    /// The row of this place, in the cache that was filled in this epoch.
    row: Row,
    epoch: u64,
}

/// Whether a match ends at a place, depending on what follows it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ends {
    /// It does without looking at what follows.
    always: bool,
    /// A bit for each [`Neighbour`]: if it follows, a match ends here that looks at it.
    before: u8,
}

/// A row of the transition table, by the index of its first cell; [`STOP`] marks the rows of places
/// where a match can end, and of the one that none can come after.
type Row = u32;

/// Where a search is while it goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Position {
    Row(Row),
    /// Where the simulation is.
    Simulated {
        before: Neighbour,
    },
}

/// A table of the places seen so far, filled as the search goes. It is only a cache: cleared when
/// it is full, and any place can be put into any.
pub(super) struct Cache {
    table: Vec<Row>,
    places: Vec<Spot>,
    /// The threads of all places, one after the other.
    threads: Vec<u32>,
    /// Where places are, by their hashes; each is the number of a place and one, or zero.
    index: Vec<u32>,
    /// The rows of the starts, by what is in front of them.
    starts: [Row; Neighbour::ALL.len()],
    /// Tells this filling from all others of the pattern.
    epoch: u64,
    /// How many places have been put in since it was judged whether that pays...
    fresh: usize,
    /// ...and how many bytes the table took.
    bytes: usize,
    /// How many bytes more are simulated before places are put in again.
    frozen: usize,
    /// For how many bytes it is frozen next time, for each place that did not pay.
    pause: usize,
    limit: usize,
    simulation: Simulation,
}

#[derive(Debug, Clone, Copy)]
struct Spot {
    from: u32,
    count: u32,
    before: Neighbour,
    ends: Ends,
    hash: u64,
}

impl Walk {
    /// At the start, behind `before`.
    pub(super) const fn new(program: &Program, before: Neighbour) -> Self {
        let before = if program.start_looks { before } else { Neighbour::Other };
        Self { at: 0, before, is_start: true, threads: Vec::new(), row: 0, epoch: 0 }
    }

    /// Where a search of one part of a union is when one of the union is here: `program` is the
    /// part's, and its states are those of the union from `from` on.
    pub(super) fn of_part(&self, program: &Program, from: u32) -> Self {
        let states = from..from + number_of(program.ops.len());
        let own = self.threads.iter().filter(|state| states.contains(state));
        let threads: Vec<u32> = own.map(|state| state - from).collect();
        let looks = !program.always_looks.is_empty()
            || threads.iter().any(|&state| program.looks_at(state));
        let before = if looks { self.before } else { Neighbour::Other };
        Self { at: self.at, before, is_start: false, threads, row: 0, epoch: 0 }
    }
}

impl Cache {
    /// An empty one that takes `limit` bytes at most, or one place.
    pub(super) fn new(limit: usize, epoch: u64) -> Self {
        Self {
            table: Vec::new(),
            places: Vec::new(),
            threads: Vec::new(),
            index: Vec::new(),
            starts: [UNKNOWN; Neighbour::ALL.len()],
            epoch,
            fresh: 0,
            bytes: 0,
            frozen: 0,
            pause: PAUSE_MIN,
            limit,
            simulation: Simulation::default(),
        }
    }

    /// Takes up a search.
    #[inline]
    pub(super) fn enter(
        &mut self,
        program: &Program,
        walk: &Walk,
        epochs: &Epochs,
        steps: &mut Steps,
    ) -> Position {
        match walk.epoch == self.epoch {
            true => Position::Row(walk.row),
            false => self.enter_anew(program, walk, epochs, steps),
        }
    }

    #[inline(never)]
    fn enter_anew(
        &mut self,
        program: &Program,
        walk: &Walk,
        epochs: &Epochs,
        steps: &mut Steps,
    ) -> Position {
        if walk.is_start {
            let row = self.starts[walk.before as usize];
            if row != UNKNOWN {
                return Position::Row(row);
            }
            self.simulation.begin(program);
        } else {
            self.simulation.resume(program, &walk.threads);
        }
        steps.take(STEPS_A_STATE * self.simulation.threads.members.len());
        let position = self.settle(program, walk.before, epochs);
        if walk.is_start
            && let Position::Row(row) = position
        {
            self.starts[walk.before as usize] = row;
        }
        position
    }

    /// Puts a search aside.
    #[inline]
    pub(super) fn leave(&self, program: &Program, position: Position, walk: &mut Walk) {
        // Mostly a search goes round within a few places, often in one.
        match position {
            Position::Row(row) if walk.epoch == self.epoch && walk.row == row => {}
            _ => self.write_down(program, position, walk),
        }
    }

    #[inline(never)]
    fn write_down(&self, program: &Program, position: Position, walk: &mut Walk) {
        let threads = match position {
            Position::Row(row) => {
                let place = &self.places[index(program, row)];
                (walk.epoch, walk.row, walk.before) = (self.epoch, row, place.before);
                walk.is_start = row == self.starts[place.before as usize];
                if walk.is_start {
                    return;
                }
                self.threads_of(place)
            }
            Position::Simulated { before } => {
                (walk.epoch, walk.before, walk.is_start) = (0, before, false);
                &self.simulation.threads.members
            }
        };
        walk.threads.clear();
        walk.threads.extend_from_slice(threads);
    }

    /// Whether a match ends here if this follows.
    #[inline]
    pub(super) fn ends_before(
        &mut self,
        program: &Program,
        position: Position,
        next: Neighbour,
    ) -> bool {
        match position {
            Position::Row(row) if row & STOP == 0 => false,
            Position::Row(row) => self.places[index(program, row)].ends.if_followed_by(next),
            Position::Simulated { before } => self.simulation.matches(program, before, next),
        }
    }

    /// Whether a match ends here, for all that may follow.
    pub(super) fn ends(&mut self, program: &Program, position: Position) -> Ends {
        match position {
            Position::Row(row) if row & STOP == 0 => Ends::default(),
            Position::Row(row) => self.places[index(program, row)].ends,
            Position::Simulated { before } => self.simulated_ends(program, before),
        }
    }

    /// Lists the states that match where a walk is, in order, if one of these follows.
    pub(super) fn list_matching(
        &mut self,
        program: &Program,
        walk: &Walk,
        behind: &[Neighbour],
        steps: &mut Steps,
    ) -> Vec<u32> {
        let mut matching = Vec::new();
        self.simulation.resume(program, &walk.threads);
        for &next in behind {
            self.simulation.list_matching(program, walk.before, next, &mut matching);
            steps.take(STEPS_A_STATE * (walk.threads.len() + program.always_looks.len()));
        }
        matching.sort_unstable();
        matching.dedup();
        matching
    }

    /// Whether no match can come.
    #[inline]
    pub(super) fn is_dead(&self, program: &Program, position: Position) -> bool {
        match position {
            Position::Row(row) if row & STOP == 0 => false,
            Position::Row(row) => is_dead(program, &self.places[index(program, row)]),
            Position::Simulated { .. } => self.simulation.is_dead(program),
        }
    }

    /// Goes over `bytes`, at most to the first place where a match can end or none can come, and
    /// until the steps are used up; yields where that is and how many bytes it went over. There
    /// must be one at least, and no more than there are steps.
    #[inline]
    pub(super) fn advance<'a>(
        &mut self,
        program: &Program,
        position: Position,
        bytes: impl Iterator<Item = &'a u8> + Clone,
        epochs: &Epochs,
        steps: &mut Steps,
    ) -> (Position, usize) {
        let (position, count) = match position {
            Position::Row(row) => self.advance_in_table(program, row, bytes, epochs, steps),
            Position::Simulated { before } => self.simulate(program, before, bytes, epochs, steps),
        };
        looked_at(count);
        (position, count)
    }

    #[inline]
    fn advance_in_table<'a>(
        &mut self,
        program: &Program,
        row: Row,
        bytes: impl Iterator<Item = &'a u8>,
        epochs: &Epochs,
        steps: &mut Steps,
    ) -> (Position, usize) {
        let mut row = row & !STOP;
        let (mut count, mut counted) = (0, 0);
        for (index, &byte) in bytes.enumerate() {
            let class = program.classes[usize::from(byte)];
            let mut next = self.table[row as usize + usize::from(class)];
            if next >= STOP {
                count = index + 1;
                if next == UNKNOWN {
                    self.bytes += count - counted;
                    counted = count;
                    match self.work_out(program, row, class, epochs, steps) {
                        Position::Row(to) => next = to,
                        simulated @ Position::Simulated { .. } => {
                            steps.take(count);
                            return (simulated, count);
                        }
                    }
                    // What is worked out on the way costs more.
                    if steps.left() <= count {
                        row = next;
                        break;
                    }
                }
                if next & STOP != 0 {
                    row = next;
                    break;
                }
            }
            row = next;
            count = index + 1;
        }
        self.bytes += count - counted;
        steps.take(count);
        (Position::Row(row), count)
    }

    /// Goes on without a table, as long as it is frozen and this is nowhere in it.
    #[inline(never)]
    fn simulate<'a>(
        &mut self,
        program: &Program,
        mut before: Neighbour,
        bytes: impl Iterator<Item = &'a u8>,
        epochs: &Epochs,
        steps: &mut Steps,
    ) -> (Position, usize) {
        let mut bytes = bytes.peekable();
        let mut count = 0;
        while let Some(&byte) = bytes.next() {
            let states = self.simulation.step(program, before, byte);
            count += 1;
            self.frozen = self.frozen.saturating_sub(1);
            steps.take(STEPS_A_BYTE + STEPS_A_STATE * states);
            before = self.in_front(program, byte);
            if self.frozen == 0 || count % LOOK_UP_EVERY == 0 {
                steps.take(states);
                let position = self.settle(program, before, epochs);
                if let Position::Row(_) = position {
                    return (position, count);
                }
            }
            let may_stop = match bytes.peek() {
                _ if self.simulation.has_match(program) => true,
                Some(&&next) => {
                    self.simulation.looking_matches(program, before, Neighbour::of(next))
                }
                None => true,
            };
            if may_stop || steps.are_used_up() || self.simulation.is_dead(program) {
                break;
            }
        }
        (Position::Simulated { before }, count)
    }

    /// Works out where a class of bytes leads to from a row. Every row may be another behind this.
    #[cold]
    fn work_out(
        &mut self,
        program: &Program,
        row: Row,
        class: u8,
        epochs: &Epochs,
        steps: &mut Steps,
    ) -> Position {
        let place = self.places[index(program, row)];
        let threads = &self.threads[place.from as usize..][..place.count as usize];
        self.simulation.resume(program, threads);
        let byte = program.representatives[usize::from(class)];
        let states = self.simulation.step(program, place.before, byte);
        steps.take(STEPS_A_PLACE + STEPS_A_STATE * states);
        let (before, epoch) = (self.in_front(program, byte), self.epoch);
        let position = self.settle(program, before, epochs);
        // The row that led here may be gone with the others.
        if let Position::Row(to) = position
            && self.epoch == epoch
        {
            self.table[row as usize + usize::from(class)] = to;
        }
        position
    }

    /// What a place remembers of the byte in front of it.
    fn in_front(&self, program: &Program, byte: u8) -> Neighbour {
        match program.looks.is_empty() || !self.simulation.looks(program) {
            true => Neighbour::Other,
            false => Neighbour::of(byte),
        }
    }

    /// The row of the place where the simulation is, if it can have one.
    fn settle(&mut self, program: &Program, before: Neighbour, epochs: &Epochs) -> Position {
        let hash = scatter(self.simulation.threads.hash() ^ before as u64);
        if let Some(row) = self.find(program, before, hash) {
            return Position::Row(row);
        }
        if self.frozen == 0 {
            self.judge();
        }
        if self.frozen == 0 && self.is_full() {
            self.clear(epochs);
        }
        match self.frozen {
            0 => Position::Row(self.insert(program, before, hash)),
            _ => Position::Simulated { before },
        }
    }

    /// Freezes the table if what was put in last has not paid.
    fn judge(&mut self) {
        if self.fresh < BATCH && (self.fresh == 0 || !self.is_full()) {
            return;
        }
        if self.bytes >= PAYS * self.fresh {
            self.pause = PAUSE_MIN;
        } else {
            self.frozen = self.pause * self.fresh;
            self.pause = (2 * self.pause).min(PAUSE_MAX);
        }
        (self.fresh, self.bytes) = (0, 0);
    }

    fn find(&self, program: &Program, before: Neighbour, hash: u64) -> Option<Row> {
        if self.index.is_empty() {
            return None;
        }
        let mask = self.index.len() - 1;
        let mut slot = slot(hash, mask);
        loop {
            let number = self.index[slot].checked_sub(1)? as usize;
            let place = &self.places[number];
            if place.hash == hash
                && place.before == before
                && self.simulation.threads.is(self.threads_of(place))
            {
                let mark = if is_stop(program, place) { STOP } else { 0 };
                return Some(number_of(number << program.shift) | mark);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn insert(&mut self, program: &Program, before: Neighbour, hash: u64) -> Row {
        let ends = self.simulated_ends(program, before);
        let threads = &self.simulation.threads.members;
        let (from, count) = (number_of(self.threads.len()), number_of(threads.len()));
        self.threads.extend_from_slice(threads);
        let place = Spot { from, count, before, ends, hash };
        let mark = if is_stop(program, &place) { STOP } else { 0 };
        let row = number_of(self.table.len()) | mark;
        self.table.resize(self.table.len() + (1 << program.shift), UNKNOWN);
        self.places.push(place);
        self.fresh += 1;
        if 2 * self.places.len() > self.index.len() {
            self.index.clear();
            self.index.resize((4 * self.places.len()).next_power_of_two(), 0);
            (0..self.places.len()).for_each(|number| self.enter_into_index(number));
        } else {
            self.enter_into_index(self.places.len() - 1);
        }
        row
    }

    fn enter_into_index(&mut self, number: usize) {
        let mask = self.index.len() - 1;
        let mut slot = slot(self.places[number].hash, mask);
        while self.index[slot] != 0 {
            slot = (slot + 1) & mask;
        }
        self.index[slot] = number_of(number) + 1;
    }

    /// Whether matches end where the simulation is.
    fn simulated_ends(&mut self, program: &Program, before: Neighbour) -> Ends {
        let always = self.simulation.has_match(program);
        let mut ends = Ends { always, before: 0 };
        if program.looks.is_empty() {
            return ends;
        }
        for next in Neighbour::ALL {
            if self.simulation.looking_matches(program, before, next) {
                ends.before |= 1 << next as u8;
            }
        }
        ends
    }

    fn threads_of(&self, place: &Spot) -> &[u32] {
        &self.threads[place.from as usize..][..place.count as usize]
    }

    fn is_full(&self) -> bool {
        let numbers = self.table.len() + self.threads.len() + self.index.len();
        let weight = numbers * size_of::<u32>() + self.places.len() * size_of::<Spot>();
        weight > self.limit && !self.places.is_empty()
    }

    fn clear(&mut self, epochs: &Epochs) {
        self.table.clear();
        self.places.clear();
        self.threads.clear();
        self.index.fill(0);
        self.starts = [UNKNOWN; Neighbour::ALL.len()];
        self.epoch = epochs.next();
    }
}

/// Numbers the fillings of a pattern's caches. Zero is none.
#[derive(Debug, Default)]
pub(super) struct Epochs(std::sync::atomic::AtomicU64);

impl Epochs {
    pub(super) fn next(&self) -> u64 {
        1 + self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }
}

/// The index of a row's place.
const fn index(program: &Program, row: Row) -> usize {
    ((row & !STOP) >> program.shift) as usize
}

/// A full table is cleared long before it has so many.
fn number_of(index: usize) -> u32 {
    u32::try_from(index).expect("no table is that long")
}

/// Where a place with this hash may be in an index.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are as good as all")]
const fn slot(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}

fn is_stop(program: &Program, place: &Spot) -> bool {
    place.ends.is_possible() || is_dead(program, place)
}

/// Whether no match can come behind a place.
fn is_dead(program: &Program, place: &Spot) -> bool {
    place.count == 0 && program.always.is_empty()
}

impl Ends {
    /// Whether a match ends here if this follows.
    pub(super) const fn if_followed_by(self, next: Neighbour) -> bool {
        self.always || self.before & 1 << next as u8 != 0
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

/// The mark of a row where a search has to look; no table is that long.
const STOP: Row = 1 << 31;

/// A cell that has not been worked out yet.
const UNKNOWN: Row = Row::MAX;

/// When a cache is full, in bytes.
pub(crate) const CACHE_LIMIT: usize = 1 << 20;

/// How many places are put in before it is judged whether they pay...
const BATCH: usize = 256;

/// ...which they do if the table took so many bytes for each.
const PAYS: usize = 4;

/// For how many bytes, for each place that did not pay, no others are put in: so many that what it
/// costs to work them out is little beside them. It doubles as long as they do not pay.
const PAUSE_MIN: usize = 16;
const PAUSE_MAX: usize = 1024;

/// How often, in bytes, a simulation looks whether it is back in the table.
const LOOK_UP_EVERY: usize = 8;

/// What a byte costs that is simulated, beside its states...
const STEPS_A_BYTE: usize = 8;

/// ...each of these...
const STEPS_A_STATE: usize = 2;

/// ...and what a place that is worked out costs beside them.
const STEPS_A_PLACE: usize = 64;
