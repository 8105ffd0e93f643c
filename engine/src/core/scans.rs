//! What matchers do in a turn is bounded: timers, requests and other streams wait for no more than
//! that, whatever peers send and programs look for.
//!
//! A turn has steps for matchers, a [share](Scans::begin_part) for each of its parts: for scans
//! that the turn before left unfinished, for the bytes that come, and for what callbacks submit. A
//! read whose matcher has more to look at than there are steps left stands in line with others and
//! goes on in the next turn. Meanwhile its stream receives nothing ahead of what it may hold, and
//! later reads wait behind it.
//!
//! What has arrived is never a timeout: a read whose deadline comes while its stream stands in line
//! hears of it when its matcher has looked at all that is there, and so do the reads behind it.
//! That is no more than the limit of the read, at which it ends.

use std::collections::VecDeque;

use crate::{
    core::{Core, Kind, Pending},
    pure::{
        matcher::Steps,
        mutants::{self, Mutant},
        table::Id,
    },
};

/// What the scans of a turn have in common.
pub(crate) struct Scans {
    pub(crate) steps: Steps,
    /// Streams whose matcher goes on, in turn.
    line: VecDeque<Id>,
    /// The first in line, if its matcher is a user's: that looks when nothing is borrowed.
    first: Option<Id>,
}

impl Default for Scans {
    fn default() -> Self {
        Self { steps: Steps::new(SHARE), line: VecDeque::new(), first: None }
    }
}

impl Scans {
    /// A part of the turn begins. Each has a share of its own, so that none can use up all: a peer
    /// that sends without end does not keep others from going on, nor they it.
    pub(crate) fn begin_part(&mut self) {
        self.steps = Steps::new(mutants::steps(SHARE));
    }

    /// The steps for a user's matcher: a share of its own if it is the first in line, or those
    /// behind it could keep it there; else all there are, and what it submits takes its turn.
    pub(crate) fn lend(&mut self, stream: Id) -> Steps {
        match self.first.take_if(|first| *first == stream) {
            Some(_) => Steps::new(mutants::steps(SHARE)),
            None => std::mem::replace(&mut self.steps, Steps::new(0)),
        }
    }

    /// What it has not used.
    pub(crate) fn give_back(&mut self, lent: &Steps) {
        self.steps = Steps::new(self.steps.left().max(lent.left()));
    }

    /// Whether a matcher has something to look at in the next turn.
    pub(crate) fn go_on(&self) -> bool {
        !self.line.is_empty()
    }
}

impl Core {
    /// The matcher at a stream's head has more to look at: it goes on in the next turn.
    pub(crate) fn stand_in_line(&mut self, stream: Id) {
        let Some(state) = self.stream(stream) else { return };
        if !std::mem::replace(&mut state.in_line, true) {
            self.scans.line.push_back(stream);
        }
    }

    /// Goes on with the scans that the turn before left unfinished.
    pub(crate) fn go_on_scanning(&mut self) {
        self.scans.begin_part();
        while !self.scans.steps.are_used_up()
            && let Some(stream) = self.scans.line.pop_front()
        {
            let Some(state) = self.stream(stream) else { continue };
            // The read that has stood there may have ended.
            if !std::mem::replace(&mut state.in_line, false) {
                continue;
            }
            self.advance_stream(stream);
            if self.stream(stream).is_some_and(|state| state.scanning) {
                self.scans.first = Some(stream);
                break;
            }
        }
    }

    /// The stream on which an operation waits for bytes, and the read: itself, or a chain's stage.
    pub(crate) fn read_of(&self, id: Id) -> Option<(Id, Id)> {
        match self.pending.get(id)? {
            Pending { kind: Kind::Chain(chain), .. } => self.read_of(chain.current),
            Pending { kind: Kind::Read(_), resource, .. } => Some((*resource, id)),
            _ => None,
        }
    }

    /// Whether an operation is a read, or behind one, whose matcher has looked at some of what has
    /// arrived and not at all of it.
    pub(crate) fn is_still_looking(&mut self, id: Id) -> bool {
        let Some((stream, _)) = self.read_of(id) else { return false };
        !mutants::is_active(Mutant::LookCutShort)
            && self.stream(stream).is_some_and(|state| state.in_line)
    }
}

/// How many steps matchers may take in one part of a turn: less than a millisecond.
const SHARE: usize = 1 << 18;
