//! [`RegexSearch`]: looks for the earliest end of a match on a stream, and for its start.
//!
//! Chunk invariance with look-around: an end at the last byte there is may depend on the byte that
//! follows, and so may the match's start and groups although the end is certain. It counts as found
//! only when nothing that may follow would change any of it.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    Caches, Groups, Inner, Regex, RegexMatch,
    dfa::{Ends, Neighbour, Place, Row},
};
use crate::{
    error::Result,
    matcher::{Matcher, Scan, looked_at},
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
        match self.search.scan(unread, ended) {
            Verdict::Found(found) => {
                let end = found.range.end;
                self.found = found;
                Scan::Found { end }
            }
            Verdict::Undecided | Verdict::NotYet => Scan::NeedMore,
        }
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
    groups: Groups,
}

/// A search that can wait at any byte. While it does, it holds no cache.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    regex: Regex,
    wants_groups: bool,
    /// How many bytes it went over; no match ends before that.
    at: usize,
    /// Where that left it...
    place: Arc<Place>,
    /// ...and the row of that in the cache it used.
    row: Row,
}

impl Search {
    pub(crate) fn new(regex: Regex, wants_groups: bool) -> Self {
        let place = regex.inner.program.start().clone();
        Self { regex, wants_groups, at: 0, place, row: 0 }
    }

    pub(crate) fn restart(&mut self) {
        self.at = 0;
        self.place = self.regex.inner.program.start().clone();
    }

    pub(crate) fn lookahead(&self) -> usize {
        usize::from(self.regex.inner.looks_ahead)
    }

    pub(crate) fn scan(&mut self, unread: &[u8], ended: bool) -> Verdict {
        if unread.is_empty() {
            return Verdict::NotYet;
        }
        let Self { regex, wants_groups, at, place, row: hint } = self;
        regex.with_caches(|inner, caches| {
            let (program, finder) = (&inner.program, Finder { inner, groups: *wants_groups });
            let mut row = caches.forward.row(program, place, *hint);
            let at_end = ended.then_some(Neighbour::Edge);
            loop {
                let ends = caches.forward.ends(program, row);
                let next = unread.get(*at).map(|&byte| Neighbour::of(byte));
                match next.or(at_end) {
                    Some(next) if ends.if_followed_by(next) => {
                        return Verdict::Found(finder.locate(caches, unread, *at));
                    }
                    None if ends.is_possible() => {
                        if let Some(found) = finder.locate_certain(caches, unread, ends) {
                            return Verdict::Found(found);
                        }
                        *hint = row;
                        caches.forward.keep_place(program, row, place);
                        return Verdict::Undecided;
                    }
                    _ => {}
                }
                if *at == unread.len() {
                    *hint = row;
                    caches.forward.keep_place(program, row, place);
                    return Verdict::NotYet;
                }
                let (to, steps) = caches.forward.advance(program, row, &unread[*at..]);
                row = to;
                *at += steps;
            }
        })
    }
}

/// Finds out where a match is whose end is known.
struct Finder<'a> {
    inner: &'a Inner,
    groups: bool,
}

impl Finder<'_> {
    /// The match of `text` that ends at `end`.
    fn locate(&self, caches: &mut Caches, text: &[u8], end: usize) -> Found {
        let range = self.inner.start(caches, text, end)..end;
        // Going back may pass the start, to see that no match begins before it.
        looked_at(end);
        let groups = match self.groups {
            true => self.inner.groups(caches, text, range.clone()),
            false => Groups::new(),
        };
        Found { range, groups }
    }

    /// The match that ends with the last byte of `text`, if nothing that may follow changes it.
    fn locate_certain(&self, caches: &mut Caches, text: &[u8], ends: Ends) -> Option<Found> {
        if !ends.certainly() {
            return None;
        }
        let found = self.locate(caches, text, text.len());
        if !ends.looks_ahead() {
            return Some(found);
        }
        // Rare: one match looks at what follows and another does not. This happens at most once in
        // a read, as the next byte decides.
        let mut followed = text.to_vec();
        let agrees = Neighbour::ALL.into_iter().all(|next| {
            followed.truncate(text.len());
            followed.extend_from_slice(next.text());
            self.locate(caches, &followed, text.len()) == found
        });
        agrees.then_some(found)
    }
}
