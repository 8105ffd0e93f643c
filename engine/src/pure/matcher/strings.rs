//! [`StringSet`]: looks for the first end of any of many byte strings at once.

use std::{fmt, ops::Range, sync::Arc};

use aho_corasick::{
    Anchored, BuildError, MatchKind,
    automaton::{Automaton, StateID},
    dfa,
    nfa::{contiguous, noncontiguous},
};

use crate::pure::matcher::{Steps, looked_at};

/// Byte strings as one automaton, that of Aho and Corasick.
pub(crate) struct StringSet {
    automaton: Kind,
    /// The indices of the strings in the list of patterns.
    indices: Box<[usize]>,
}

enum Kind {
    Dfa(dfa::DFA),
    /// Takes less memory and more time, where there is much to look for.
    Nfa(contiguous::NFA),
}

/// A search for the strings of a set that goes on where it was.
#[derive(Debug, Clone)]
pub(crate) struct StringSearch {
    set: Arc<StringSet>,
    state: StateID,
    /// No string ends within this many bytes.
    scanned: usize,
}

impl StringSet {
    /// Strings with their indices in a list, in its order; a DFA, if that takes so much at most, in
    /// bytes. `None` if no automaton has so many states.
    pub(crate) fn new<'a>(
        strings: impl Iterator<Item = (usize, &'a [u8])>,
        dfa_limit: usize,
    ) -> Option<Self> {
        let (indices, strings): (Vec<_>, Vec<_>) = strings.unzip();
        let automaton = Kind::new(&strings, dfa_limit).ok()?;
        Some(Self { automaton, indices: indices.into() })
    }
}

impl Kind {
    fn new(strings: &[&[u8]], dfa_limit: usize) -> Result<Self, BuildError> {
        let mut builder = noncontiguous::Builder::new();
        let states = builder.match_kind(MatchKind::Standard).prefilter(false).build(strings)?;
        // A string has at most a state for each of its bytes, and each state a cell for each byte
        // that is in any of them.
        let mut is_used = [false; 256];
        let bytes = strings.iter().copied().flatten();
        bytes.for_each(|&byte| is_used[usize::from(byte)] = true);
        let classes = 1 + is_used.iter().filter(|&&used| used).count();
        let rows = 2 + strings.iter().map(|string| string.len()).sum::<usize>();
        let most = rows * classes.next_power_of_two() * size_of::<StateID>();
        Ok(match most <= dfa_limit {
            true => Self::Dfa(dfa::Builder::new().build_from_noncontiguous(&states)?),
            false => Self::Nfa(contiguous::Builder::new().build_from_noncontiguous(&states)?),
        })
    }

    fn start(&self) -> StateID {
        let start = match self {
            Self::Dfa(dfa) => dfa.start_state(Anchored::No),
            Self::Nfa(nfa) => nfa.start_state(Anchored::No),
        };
        start.expect("a search is not anchored unless that is asked for")
    }
}

impl fmt::Debug for StringSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StringSet").field(&self.indices).finish()
    }
}

impl StringSearch {
    pub(crate) fn new(set: Arc<StringSet>) -> Self {
        Self { state: set.automaton.start(), set, scanned: 0 }
    }

    pub(crate) fn restart(&mut self) {
        (self.state, self.scanned) = (self.set.automaton.start(), 0);
    }

    /// The index and the place of the string that ends first; of those that end there, of the first
    /// of the list. `None` if the steps did not do.
    pub(crate) fn find(
        &mut self,
        unread: &[u8],
        steps: &mut Steps,
    ) -> Option<Option<(usize, Range<usize>)>> {
        let set = self.set.clone();
        match &set.automaton {
            Kind::Dfa(dfa) => self.find_by(dfa, 1, unread, steps),
            Kind::Nfa(nfa) => self.find_by(nfa, NFA_STEPS_A_BYTE, unread, steps),
        }
    }

    fn find_by(
        &mut self,
        automaton: &impl Automaton,
        steps_a_byte: usize,
        unread: &[u8],
        steps: &mut Steps,
    ) -> Option<Option<(usize, Range<usize>)>> {
        while self.scanned < unread.len() {
            if steps.are_used_up() {
                return None;
            }
            let rest = &unread[self.scanned..];
            let piece = &rest[..rest.len().min((steps.left() / steps_a_byte).max(1))];
            let (mut state, mut ends) = (self.state, None);
            for (index, &byte) in piece.iter().enumerate() {
                state = automaton.next_state(Anchored::No, state, byte);
                if automaton.is_special(state) && automaton.is_match(state) {
                    ends = Some(index + 1);
                    break;
                }
            }
            let count = ends.unwrap_or(piece.len());
            looked_at(count);
            steps.take(count * steps_a_byte);
            self.state = state;
            self.scanned += count;
            if ends.is_some() {
                let those = 0..automaton.match_len(state);
                let first = those.map(|each| automaton.match_pattern(state, each)).min();
                return Some(first.map(|first| {
                    let start = self.scanned - automaton.pattern_len(first);
                    (self.set.indices[first], start..self.scanned)
                }));
            }
        }
        Some(None)
    }
}

/// What a byte costs in the NFA.
const NFA_STEPS_A_BYTE: usize = 4;
