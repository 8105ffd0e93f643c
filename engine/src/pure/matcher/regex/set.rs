//! [`RegexSet`]: looks for the earliest end of a match of any of several regexes at once.
//!
//! The programs of all stand side by side in one, over which one lazy DFA goes. Where it comes to
//! an end, the states in which it is there are told apart: those of one regex are where a search
//! for this regex alone would be. So such a search is taken up at that byte, and what is found,
//! and what is undecided, is what it says.

use std::{fmt, ops::Range, sync::Arc};

use super::{
    Pool, Regex, Search, Verdict,
    dfa::{Cache, Epochs, Walk},
    program::{Neighbour, Program},
    search::Seen,
};
use crate::pure::matcher::Steps;

/// Several regexes as one automaton.
///
/// It takes a few times the memory of theirs, and searches share caches of its own, which are
/// bounded as those of one regex are.
pub(crate) struct RegexSet {
    program: Program,
    parts: Vec<Part>,
    /// How much each cache may take, in bytes.
    cache_limit: usize,
    epochs: Epochs,
    caches: Pool<Cache>,
}

/// One of the regexes.
struct Part {
    /// Its index in the list of patterns.
    index: usize,
    regex: Regex,
    /// The first of its states.
    from: u32,
}

/// A search for the regexes of a set that can wait at any byte.
#[derive(Debug, Clone)]
pub(crate) struct SetSearch {
    set: Arc<RegexSet>,
    /// No match ends before this.
    walk: Walk,
    /// What those of which a match ends there, or may, say of it.
    asking: Option<Box<Asking>>,
}

/// Searches for single regexes, one after the other.
#[derive(Debug, Clone)]
struct Asking {
    /// Which of the set's parts are still to be asked, the first of them last.
    parts: Vec<usize>,
    /// The search for the one that is being asked.
    search: Search,
    verdict: SetVerdict,
}

/// What a [`SetSearch`] says of the bytes there are: neither if no match ends within them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SetVerdict {
    /// Of the regexes that certainly end first, the index of the first, and the match.
    pub(crate) found: Option<(usize, Range<usize>)>,
    /// The index of the first regex of which a match may end at the last byte there is, if it
    /// comes before the one that was found.
    pub(crate) undecided: Option<usize>,
}

impl RegexSet {
    /// How many states an automaton of these has, for which a set has a limit.
    pub(crate) fn states(regex: &Regex) -> usize {
        regex.inner.program.ops.len()
    }

    /// Regexes with their indices in a list, in its order, with caches that take so much at most,
    /// or one place.
    pub(crate) fn new(
        regexes: impl IntoIterator<Item = (usize, Regex)>,
        cache_limit: usize,
    ) -> Self {
        let mut from = 0;
        let part = |(index, regex): (usize, Regex)| {
            let part = Part { index, from, regex };
            from += u32::try_from(Self::states(&part.regex)).expect("a set has a limit");
            part
        };
        let parts: Vec<Part> = regexes.into_iter().map(part).collect();
        let program = Program::union(parts.iter().map(|part| &part.regex.inner.program));
        let epochs = Epochs::default();
        let caches = Pool::new(Cache::new(cache_limit, epochs.next()));
        Self { program, parts, cache_limit, epochs, caches }
    }

    /// Which part a state is of.
    fn part_of(&self, state: u32) -> usize {
        self.parts.partition_point(|part| part.from <= state) - 1
    }

    /// Begins to ask one of the parts.
    fn search(&self, part: usize, walk: &Walk) -> Search {
        let Part { regex, from, .. } = &self.parts[part];
        Search::resume(regex.clone(), walk.of_part(&regex.inner.program, *from))
    }

    /// Walks to the first place where any match ends. `None` if the steps did not do.
    fn find_end(
        &self,
        walk: &mut Walk,
        bytes: &[u8],
        ended: bool,
        steps: &mut Steps,
    ) -> Option<Option<Asking>> {
        let new_cache = || Cache::new(self.cache_limit, self.epochs.next());
        self.caches.with(new_cache, |cache| {
            let program = &self.program;
            let next;
            let behind = match cache.find_end(program, &self.epochs, walk, bytes, ended, steps)? {
                Seen::NoEnd => return Some(None),
                Seen::End(follows) => {
                    next = [follows];
                    &next[..]
                }
                Seen::MayEnd(_) => &Neighbour::ALL,
            };
            let matching = cache.list_matching(program, walk, behind, steps);
            let mut parts: Vec<_> = matching.iter().map(|&state| self.part_of(state)).collect();
            parts.reverse();
            let search = self.search(*parts.last()?, walk);
            Some(Some(Asking { parts, search, verdict: SetVerdict::default() }))
        })
    }
}

impl fmt::Debug for RegexSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.parts.iter().map(|part| (part.index, &part.regex))).finish()
    }
}

impl SetSearch {
    pub(crate) fn new(set: Arc<RegexSet>) -> Self {
        let walk = Walk::new(&set.program, Neighbour::Edge);
        Self { set, walk, asking: None }
    }

    pub(crate) fn restart(&mut self) {
        self.walk = Walk::new(&self.set.program, Neighbour::Edge);
        self.asking = None;
    }

    pub(crate) fn lookahead(&self) -> usize {
        usize::from(self.set.parts.iter().any(|part| part.regex.inner.looks_ahead))
    }

    /// Looks at the bytes there are. `None` if the steps did not do; then it is to be asked again
    /// with the same bytes.
    pub(crate) fn scan(
        &mut self,
        bytes: &[u8],
        ended: bool,
        steps: &mut Steps,
    ) -> Option<SetVerdict> {
        if bytes.is_empty() {
            return Some(SetVerdict::default());
        }
        if steps.are_used_up() {
            return None;
        }
        let Self { set, walk, asking } = self;
        if asking.is_none() {
            match set.find_end(walk, bytes, ended, steps)? {
                None => return Some(SetVerdict::default()),
                Some(begun) => *asking = Some(Box::new(begun)),
            }
        }
        let Asking { parts, search, verdict } = &mut **asking.as_mut()?;
        while let Some(&part) = parts.last() {
            let index = set.parts[part].index;
            match search.scan(bytes, ended, steps)? {
                Verdict::Found(found) => {
                    verdict.found = Some((index, found.range));
                    break;
                }
                Verdict::Undecided => _ = verdict.undecided.get_or_insert(index),
                Verdict::NotYet => debug_assert!(false, "a match ends here, or may"),
            }
            parts.pop();
            if let Some(&next) = parts.last() {
                *search = set.search(next, walk);
            }
        }
        asking.take().map(|asked| asked.verdict)
    }
}
