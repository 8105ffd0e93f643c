//! Cancels and deadlines end an operation in a turn (promises 6, 7), but not what is there (4).

use std::{mem, time::Duration};

use super::world::{Kind, World};

impl World {
    pub(super) fn draw_timeout(&mut self) -> Option<Duration> {
        match self.below(10) {
            0 => Some(Duration::ZERO),
            1 | 2 => Some(Duration::from_millis(self.rng.below(3000))),
            3 => Some(Duration::MAX),
            _ => None,
        }
    }

    pub(super) fn cancel_any(&mut self) {
        let from = self.ops.len().saturating_sub(12);
        if from < self.ops.len() {
            let id = from + self.below(self.ops.len() - from);
            self.cancel(id);
        }
    }

    pub(super) fn cancel(&mut self, id: usize) {
        let op = &mut self.ops[id];
        if op.told {
            return;
        }
        let Some(cancel) = op.cancel.clone() else { return };
        match op.chain {
            Some(chain) => {
                let ops = self.chains[chain].ops.clone();
                for id in ops {
                    self.ops[id].cancelled = true;
                }
            }
            None => op.cancelled = true,
        }
        let unseen = self.ops[id].unseen && !self.goes_on;
        self.say(|| format!("op {id} is cancelled"));
        let registered = cancel.cancel();
        assert!(registered || !unseen, "a cancel of what is yet to be seen is registered");
    }

    /// What has arrived is never a timeout.
    pub(super) fn is_nothing_there(&self, stream: usize, kind: &Kind, limit: usize) {
        match kind {
            // A read behind a claim has one more turn, in which more may come.
            Kind::Read(_) if self.streams[stream].claimed > 0 => {}
            Kind::Read(spec) => {
                let looked_at = self.looked_at.unwrap_or_else(|| self.now());
                self.streams[stream].inflow.timed_out(spec, limit, looked_at);
            }
            Kind::Accept | Kind::EachConnection => assert!(
                self.listener.waiting.is_empty()
                    || self.shortage
                    || self.listener.undone > self.listener.undone_before,
                "a timeout of a connection that is there"
            ),
            _ => {}
        }
    }

    pub(super) fn after_turn(&mut self) {
        self.listener.undone_before = self.listener.undone;
        for line in &mut self.streams {
            line.claimed = line.claimed.saturating_sub(1);
            line.given_back = false;
        }
        let now = self.now();
        let looked_at = self.looked_at.unwrap_or(now);
        for id in 0..self.ops.len() {
            if !self.ops[id].is_live() || mem::take(&mut self.ops[id].unseen) {
                continue;
            }
            self.ticks_are_told(id);
            let may_rest = self.may_rest(id);
            let op = &mut self.ops[id];
            if may_rest {
                op.overdue = None;
            }
            if op.overdue.is_none()
                && let Some(timeout) = op.timeout
            {
                // The next turn is the first that can see it pass.
                op.overdue = now.checked_add(timeout);
                continue;
            }
            // What the system has in hand ends when the system has said so.
            let prompt = match &op.kind {
                Kind::Read(_) | Kind::Accept | Kind::Flush | Kind::Sleep | Kind::Connect => true,
                Kind::Write { .. } | Kind::Shutdown | Kind::Close | Kind::Detach => false,
                Kind::TakeUnsent | Kind::CloseListener => false,
                Kind::Lookup | Kind::Work => true,
                // Its time begins with the connection.
                Kind::AcceptMatch(_) => false,
                Kind::Receive { .. } | Kind::Send { .. } | Kind::Copy(_) => true,
                Kind::Each(_) | Kind::EachConnection | Kind::Every(_) => true,
                Kind::EachDatagram { .. } => true,
                Kind::CloseSocket { .. } => false,
            };
            if !prompt {
                continue;
            }
            assert!(!op.cancelled, "operation {id} goes on after its cancel: {op:?}");
            // Of what passed while callbacks ran the engine has not seen anything yet.
            if op.overdue.is_some_and(|overdue| overdue <= looked_at) {
                // One more turn is for a read behind one whose callback has to run first, and
                // others for those in front that have much to look at.
                let most = if self.has_few_steps { 10 } else { 0 };
                assert!(op.turns_late <= most, "operation {id} is overdue: {op:?}");
                op.turns_late += 1;
            }
        }
    }
}
