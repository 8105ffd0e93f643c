//! [`RegexSearch`]: looks for the earliest end of a match on a stream, and for its start.
//!
//! Chunk invariance with look-around: an end at the last byte there is may depend on the byte that
//! follows, and so may the match's start and groups although the end is certain. It counts as found
//! only when nothing that may follow would change any of it.
//!
//! All of it stops when the steps of a scan are used up, and goes on from there: looking for the
//! end, going back to the start, and finding the groups.

use std::ops::Range;

use bytes::Bytes;

use super::{
    Caches, Inner, Regex, RegexMatch,
    dfa::{Cache, Ends, Epochs, Walk},
    groups::{Groups, Text},
    program::{Neighbour, Program},
};
use crate::pure::{
    error::Result,
    matcher::{Matcher, Scan, Steps, steps::without_end},
};

/// Takes the bytes up to the earliest end of a match of a [`Regex`].
///
/// # Examples
///
/// ```
/// use facade_engine::{Bytes, Regex, matcher::{Matcher, RegexSearch, Scan}};
///
/// let mut search = RegexSearch::new(Regex::new("login: ?")?);
/// assert_eq!(search.scan(b"debian lo", false), Scan::NeedMore);
/// let unread = Bytes::from("debian login: ");
/// // The earliest end leaves the blank unread.
/// assert_eq!(search.scan(&unread, false), Scan::Found { end: 13 });
/// assert_eq!(search.output(unread.slice(..13))?.range, 7..13);
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RegexSearch {
    search: Search,
    found: Found,
}

impl RegexSearch {
    /// Up to the earliest end of a match of `regex`.
    #[must_use]
    pub fn new(regex: Regex) -> Self {
        Self { search: Search::new(regex, true), found: Found::default() }
    }
}

impl Matcher for RegexSearch {
    type Output = RegexMatch;

    fn scan(&mut self, unread: &[u8], ended: bool) -> Scan {
        without_end(|steps| self.scan_within(unread, ended, steps))
    }

    fn scan_within(&mut self, unread: &[u8], ended: bool, steps: &mut Steps) -> Option<Scan> {
        Some(match self.search.scan(unread, ended, steps)? {
            Verdict::Found(found) => {
                let end = found.range.end;
                self.found = found;
                Scan::Found { end }
            }
            Verdict::Undecided | Verdict::NotYet => Scan::NeedMore,
        })
    }

    fn restart(&mut self) {
        self.search.restart();
    }

    fn output(&mut self, taken: Bytes) -> Result<RegexMatch> {
        let Found { range, groups } = std::mem::take(&mut self.found);
        Ok(RegexMatch { bytes: taken, range, regex: self.search.regex.clone(), groups })
    }

    fn lookahead(&self) -> usize {
        self.search.lookahead()
    }
}

/// What a [`Search`] says of the bytes there are.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The match, whatever follows.
    Found(Found),
    /// A match may end at the last byte there is: the next one or the end of the stream tells.
    Undecided,
    /// No match ends within the bytes there are.
    NotYet,
}

/// Where a match and its groups are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) range: Range<usize>,
    groups: Vec<Option<Range<usize>>>,
}

/// A search that can wait at any byte. While it does, it holds no cache.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    regex: Regex,
    progress: Progress,
}

#[derive(Debug, Clone)]
struct Progress {
    wants_groups: bool,
    /// How far it is; no match ends before that.
    walk: Walk,
    /// The end is known, and the steps did not do for the rest.
    locating: Option<Box<Locating>>,
    /// Where it depends on what follows which match ends.
    undecided: Option<usize>,
}

impl Search {
    pub(crate) fn new(regex: Regex, wants_groups: bool) -> Self {
        let progress = Progress::new(&regex.inner, wants_groups);
        Self { regex, progress }
    }

    /// Goes on from where `walk` is: no match ends before that.
    pub(super) fn resume(regex: Regex, walk: Walk) -> Self {
        let progress = Progress { wants_groups: false, walk, locating: None, undecided: None };
        Self { regex, progress }
    }

    pub(crate) fn restart(&mut self) {
        self.progress = Progress::new(&self.regex.inner, self.progress.wants_groups);
    }

    pub(crate) fn regex(&self) -> &Regex {
        &self.regex
    }

    pub(crate) fn lookahead(&self) -> usize {
        usize::from(self.regex.inner.looks_ahead)
    }

    /// Looks at the bytes there are. `None` if the steps did not do.
    pub(crate) fn scan(
        &mut self,
        unread: &[u8],
        ended: bool,
        steps: &mut Steps,
    ) -> Option<Verdict> {
        if unread.is_empty() {
            return Some(Verdict::NotYet);
        }
        if steps.are_used_up() {
            return None;
        }
        let Self { regex, progress } = self;
        regex.with_caches(|inner, caches| {
            loop {
                let seen = match progress.locating {
                    Some(_) => None,
                    None => {
                        let walk = &mut progress.walk;
                        match inner.find_end(caches, walk, unread, ended, steps)? {
                            Seen::NoEnd => return Some(Verdict::NotYet),
                            seen => Some(seen),
                        }
                    }
                };
                match progress.locate(inner, caches, unread, seen, steps)? {
                    // It depends on what follows, and meanwhile that may have come.
                    Verdict::NotYet => {}
                    verdict => return Some(verdict),
                }
            }
        })
    }
}

impl Progress {
    fn new(inner: &Inner, wants_groups: bool) -> Self {
        let walk = Walk::new(&inner.program, Neighbour::Edge);
        Self { wants_groups, walk, locating: None, undecided: None }
    }

    /// Finds the match that ends where the walk is, or goes on with that. [`Verdict::NotYet`] if it
    /// turned out to depend on what follows.
    #[inline(never)]
    fn locate(
        &mut self,
        inner: &Inner,
        caches: &mut Caches,
        bytes: &[u8],
        seen: Option<Seen>,
        steps: &mut Steps,
    ) -> Option<Verdict> {
        let end = self.walk.at;
        let kept = self.locating.take();
        let mut locating = match (seen, kept) {
            (Some(Seen::End(next)), _) => Locating::new(inner, end, next, &[]),
            (Some(Seen::MayEnd(ends)), _) => {
                if !ends.certainly() || self.undecided == Some(end) {
                    return Some(Verdict::Undecided);
                }
                let [first, others @ ..]: &'static [_; 5] = &Neighbour::ALL;
                // Rare: one match looks at what follows and another does not. This happens at most
                // once in a read, as the next byte decides.
                let others = if ends.looks_ahead() { &others[..] } else { &[] };
                Locating::new(inner, end, *first, others)
            }
            (_, Some(kept)) => *kept,
            (_, None) => return Some(Verdict::Undecided),
        };
        match locating.go_on(inner, caches, bytes, self.wants_groups, steps) {
            None => {
                self.locating = Some(Box::new(locating));
                None
            }
            Some(Some(found)) => Some(Verdict::Found(found)),
            Some(None) => {
                self.undecided = Some(end);
                Some(Verdict::NotYet)
            }
        }
    }
}

/// Looks in one line for any match, with steps.
#[derive(Debug, Clone)]
pub(crate) struct LineSearch {
    walk: Walk,
}

impl LineSearch {
    pub(crate) fn new(regex: &Regex) -> Self {
        Self { walk: Walk::new(&regex.inner.program, Neighbour::Edge) }
    }

    /// Whether there is a match in the line, which is all there is. `None` if the steps did not do.
    pub(crate) fn is_match(
        &mut self,
        regex: &Regex,
        line: &[u8],
        steps: &mut Steps,
    ) -> Option<bool> {
        if line.is_empty() {
            return Some(false);
        }
        if steps.are_used_up() {
            return None;
        }
        regex.with_caches(|inner, caches| {
            let seen = inner.find_end(caches, &mut self.walk, line, true, steps)?;
            Some(matches!(seen, Seen::End(_)))
        })
    }
}

/// What a walk has come to.
pub(super) enum Seen {
    /// No match ends within the bytes there are.
    NoEnd,
    /// One ends where the walk is, and this follows.
    End(Neighbour),
    /// One may end with the last byte there is.
    MayEnd(Ends),
}

impl Inner {
    /// Walks to the first place where a match ends. `None` if the steps did not do.
    fn find_end(
        &self,
        caches: &mut Caches,
        walk: &mut Walk,
        bytes: &[u8],
        ended: bool,
        steps: &mut Steps,
    ) -> Option<Seen> {
        let cache = &mut caches.forward;
        cache.find_end(&self.program, &self.epochs, walk, bytes, ended, steps)
    }
}

impl Cache {
    /// Walks to the first place where a match ends. `None` if the steps did not do.
    #[inline]
    pub(super) fn find_end(
        &mut self,
        program: &Program,
        epochs: &Epochs,
        walk: &mut Walk,
        bytes: &[u8],
        ended: bool,
        steps: &mut Steps,
    ) -> Option<Seen> {
        let mut position = self.enter(program, walk, epochs, steps);
        let at_end = ended.then_some(Neighbour::Edge);
        let seen = loop {
            match bytes.get(walk.at).map(|&byte| Neighbour::of(byte)).or(at_end) {
                Some(next) if self.ends_before(program, position, next) => {
                    break Some(Seen::End(next));
                }
                Some(_) => {}
                None => {
                    let ends = self.ends(program, position);
                    if ends.is_possible() {
                        break Some(Seen::MayEnd(ends));
                    }
                }
            }
            if walk.at == bytes.len() {
                break Some(Seen::NoEnd);
            }
            if self.is_dead(program, position) {
                walk.at = bytes.len();
                break Some(Seen::NoEnd);
            }
            let rest = &bytes[walk.at..];
            let rest = rest[..rest.len().min(steps.left().max(1))].iter();
            let (to, count) = self.advance(program, position, rest, epochs, steps);
            position = to;
            walk.at += count;
            if steps.are_used_up() {
                break None;
            }
        };
        self.leave(program, position, walk);
        seen
    }
}

/// Finds out where a match is whose end is known.
#[derive(Debug, Clone)]
struct Locating {
    end: usize,
    /// What is taken to follow.
    next: Neighbour,
    /// What may follow as well and must not make a difference.
    others: &'static [Neighbour],
    /// What was found with what was taken to follow before.
    found: Option<Found>,
    back: Walk,
    /// The farthest start that was seen on the way back.
    start: usize,
    /// The start is known, and these are the groups as far as they are.
    groups: Option<Groups>,
}

impl Locating {
    fn new(inner: &Inner, end: usize, next: Neighbour, others: &'static [Neighbour]) -> Self {
        let back = Walk::new(&inner.backward, next);
        Self { end, next, others, found: None, back, start: end, groups: None }
    }

    /// Goes on until it is known where the match is, and that this does not depend on what follows:
    /// if it does, it is nowhere. `None` if the steps did not do.
    fn go_on(
        &mut self,
        inner: &Inner,
        caches: &mut Caches,
        bytes: &[u8],
        wants_groups: bool,
        steps: &mut Steps,
    ) -> Option<Option<Found>> {
        let text = &bytes[..self.end];
        loop {
            if self.groups.is_none() {
                self.go_back(inner, caches, text, steps)?;
            }
            let groups = match wants_groups && inner.slots > 0 {
                true => self.find_groups(inner, caches, text, steps)?,
                false => Vec::new(),
            };
            let found = Found { range: self.start..self.end, groups };
            if self.found.as_ref().is_some_and(|before| *before != found) {
                return Some(None);
            }
            let Some((&next, others)) = self.others.split_first() else {
                return Some(Some(found));
            };
            *self = Self { found: Some(found), ..Self::new(inner, self.end, next, others) };
        }
    }

    /// Goes back as far as a match may begin.
    fn go_back(
        &mut self,
        inner: &Inner,
        caches: &mut Caches,
        text: &[u8],
        steps: &mut Steps,
    ) -> Option<()> {
        let (program, epochs, walk) = (&inner.backward, &inner.epochs, &mut self.back);
        let cache = caches.backward.get_or_insert_with(|| inner.new_cache());
        let mut position = cache.enter(program, walk, epochs, steps);
        let done = loop {
            let left = &text[..text.len() - walk.at];
            let in_front = left.last().map_or(Neighbour::Edge, |&byte| Neighbour::of(byte));
            if cache.ends_before(program, position, in_front) {
                self.start = left.len();
            }
            if left.is_empty() || cache.is_dead(program, position) {
                break Some(());
            }
            let rest = left[left.len().saturating_sub(steps.left().max(1))..].iter().rev();
            let (to, count) = cache.advance(program, position, rest, epochs, steps);
            position = to;
            walk.at += count;
            if steps.are_used_up() {
                break None;
            }
        };
        cache.leave(program, position, walk);
        done
    }

    fn find_groups(
        &mut self,
        inner: &Inner,
        caches: &mut Caches,
        text: &[u8],
        steps: &mut Steps,
    ) -> Option<Vec<Option<Range<usize>>>> {
        let text = Text { bytes: text, next: self.next };
        let mut groups = self.groups.take().unwrap_or_else(|| {
            let mut groups = std::mem::take(&mut caches.groups);
            groups.begin(&inner.program, inner.slots, &text, self.start);
            groups
        });
        let found = groups.go_on(&inner.program, &text, steps);
        if found.is_none() {
            self.groups = Some(groups);
        } else if groups.weight() <= GROUPS_KEPT_MAX {
            caches.groups = groups;
        }
        found
    }
}

/// How much memory for groups is kept for the next match, in bytes.
const GROUPS_KEPT_MAX: usize = 64 << 10;
