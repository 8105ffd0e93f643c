//! Repeating operations: the handler is given one thing after the other, in order, each as the
//! operation would yield it that it repeats, and nothing once it was cancelled, closed or paused, or
//! while too much is unsent; one callback comes last (promises 1, 6 to 8, 13).

use std::time::Duration;

use facade_engine::{Error, Local, Pause};

use super::{
    expect::{Spec, Value},
    outcomes::in_callback,
    world::{Kind, NONE, World, Writing},
};

/// What is kept of a repeating operation beside the rest.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// How many guards keep it paused, and the turn in which the first of them was made.
    pauses: usize,
    paused_in: usize,
    /// Its handler has panicked.
    panicked: bool,
    /// Of what is called every so often: how often that was by now, and since when at the earliest
    /// and at the latest.
    ticks: u64,
    since: Duration,
    since_most: Option<Duration>,
}

impl Kind {
    pub(super) const fn repeats(&self) -> bool {
        matches!(
            self,
            Self::Each(_) | Self::EachConnection | Self::EachDatagram { .. } | Self::Every(_)
        )
    }
}

impl World {
    /// Something that the program does with repeating operations.
    pub(super) fn act_on_repeats(&mut self) {
        match self.below(20) {
            0..5 => {
                let size = 1 + self.below(40);
                let spec = if self.chance(0.6) { Spec::Line } else { Spec::Chunk(size) };
                self.submit_on_stream(Kind::Each(spec));
            }
            5 | 6 if self.listener.handle.is_some() => {
                self.submit(Kind::EachConnection, NONE, true);
            }
            7 | 8 => {
                let period = Duration::from_millis(1 + self.rng.below(3000));
                self.submit(Kind::Every(period), NONE, true);
            }
            9..12 => self.pause_any(),
            12..16 => self.resume_any(),
            16..18 => {
                if let Some(id) = self.pick_repeating() {
                    self.cancel(id);
                }
            }
            _ => {}
        }
    }

    fn pick_repeating(&mut self) -> Option<usize> {
        let live = |&id: &usize| !self.ops[id].told && self.ops[id].kind.repeats();
        let all: Vec<usize> = (0..self.ops.len()).filter(live).collect();
        if all.is_empty() {
            return None;
        }
        Some(all[self.below(all.len())])
    }

    fn pause_any(&mut self) {
        if let Some(id) = self.pick_repeating() {
            self.pause(id);
        }
    }

    pub(super) fn pause(&mut self, id: usize) {
        let Some(cancel) = self.ops[id].cancel.clone() else { return };
        self.say(|| format!("op {id} is paused"));
        let turn = self.turns;
        self.pauses.push((id, cancel.pause()));
        let repeats = &mut self.ops[id].repeats;
        repeats.pauses += 1;
        if repeats.pauses == 1 {
            repeats.paused_in = turn;
        }
    }

    fn resume_any(&mut self) {
        if !self.pauses.is_empty() {
            let at = self.below(self.pauses.len());
            let pause = self.pauses.swap_remove(at);
            self.resume(pause);
        }
    }

    fn resume(&mut self, (id, pause): (usize, Pause)) {
        self.say(|| format!("op {id} goes on"));
        drop(pause);
        let (now, turn) = (self.now(), self.turns);
        let op = &mut self.ops[id];
        op.repeats.pauses -= 1;
        op.overdue = None;
        if op.repeats.pauses == 0 && op.repeats.paused_in < turn {
            op.due = op.timeout.and_then(|timeout| now.checked_add(timeout));
        }
    }

    pub(super) fn heal_repeats(&mut self) {
        while let Some(pause) = self.pauses.pop() {
            self.resume(pause);
        }
    }

    /// The handler of an operation is given something.
    fn is_given(&mut self, id: usize, value: &Value) {
        self.say(|| format!("  op {id} is given {value:?}"));
        let now = self.now();
        self.looked_at.get_or_insert(now);
        self.note(id, value.len());
        let op = &self.ops[id];
        assert!(op.begun && !op.told, "given to one that is over: {op:?}");
        assert!(!op.cancelled, "given after its cancel: {op:?}");
        assert!(!op.repeats.panicked, "given after its panic: {op:?}");
        assert_eq!(op.repeats.pauses, 0, "given while it is paused: {op:?}");
        let (stream, limit, kind) = (op.stream, op.limit, op.kind.clone());
        match kind {
            Kind::Each(spec) => {
                let line = &mut self.streams[stream];
                assert!(!line.closing, "given after the close");
                assert_eq!(line.reads.front(), Some(&id), "it has overtaken another read");
                line.inflow.succeeded(&spec, limit, value);
                self.has_room_for_answers(stream);
            }
            Kind::EachConnection => {
                assert!(!self.listener.closed, "given after the close");
                let first = self.listener.accepts.front();
                assert_eq!(first, Some(&id), "it has overtaken another accept");
                self.accepted(id);
            }
            Kind::EachDatagram { socket } => self.is_given_datagram(id, socket, value),
            Kind::Every(period) => self.ticks(id, period, value, now),
            kind => panic!("{kind:?} has no handler"),
        }
        // Its time begins anew.
        let op = &mut self.ops[id];
        op.due = op.timeout.and_then(|timeout| now.checked_add(timeout));
        (op.overdue, op.turns_late) = (None, 0);
    }

    fn ticks(&mut self, id: usize, period: Duration, value: &Value, now: Duration) {
        let Value::Count(count) = value else { panic!("ticks are {value:?}") };
        assert!(*count > 0, "no tick");
        let repeats = &mut self.ops[id].repeats;
        repeats.ticks += *count as u64;
        let most = (now - repeats.since).as_nanos() / period.as_nanos();
        assert!(u128::from(repeats.ticks) <= most, "{} of {most} ticks", repeats.ticks);
    }

    /// A read that repeats waits while more is unsent than that allows. Whatever may have left the
    /// engine, or not have come to it, is not counted.
    fn has_room_for_answers(&self, stream: usize) {
        let line = &self.streams[stream];
        let is_sure = |&id: &usize| {
            let op = &self.ops[id];
            !op.cancelled && op.due.is_none() && op.chain.is_none() && op.limit <= line.queued
        };
        if self.winding_down || !line.outflow.is_sound() || !line.writes.iter().all(is_sure) {
            return;
        }
        let unsent = line.outflow.unsent_least(line.link.buffer);
        assert!(unsent <= line.unsent, "given while {unsent} bytes are unsent");
    }

    /// What a handler does beside what all callbacks do.
    fn handles(&mut self, id: usize, local: &Local) {
        if self.winding_down || self.gone {
            return;
        }
        match self.below(40) {
            0 => {
                self.say(|| format!("  op {id} cancels itself"));
                self.ops[id].cancelled = true;
                assert!(local.repeating().cancel(), "it is under way");
            }
            1 => self.pause(id),
            2..14 if self.ops[id].stream != NONE => {
                let (stream, len) = (self.ops[id].stream, self.below(300));
                let bytes = self.draw_bytes(len);
                if self.streams[stream].handle.is_some() && !self.is_proxied(stream) {
                    let how = Writing::Whole;
                    self.submit(Kind::Write { bytes, how, number: 0 }, stream, false);
                }
            }
            _ => {}
        }
    }

    /// The stream has ended, and all that came is taken.
    pub(super) fn nothing_is_left(&mut self, stream: usize) {
        let nothing = Value::Bytes(facade_engine::Bytes::new());
        self.streams[stream].inflow.succeeded(&Spec::All, usize::MAX, &nothing);
    }

    pub(super) fn repeat_fails(&mut self, id: usize, error: &Error, due: bool, was_first: bool) {
        let op = &self.ops[id];
        let (stream, limit, cancelled) = (op.stream, op.limit, op.cancelled);
        if matches!(error, Error::Panicked) {
            return assert!(op.repeats.panicked, "it has not panicked");
        }
        if matches!(error, Error::TimedOut) {
            let paused = op.repeats.pauses > 0 && op.repeats.paused_in < self.turns;
            assert!(!paused, "a timeout while it is paused");
        }
        match (op.kind.clone(), error) {
            (Kind::Each(spec), _) => {
                self.read_fails(stream, &spec, limit, error, cancelled, due);
            }
            (Kind::EachDatagram { socket }, _) => {
                self.receive_fails(id, socket, error, due, was_first);
            }
            (_, Error::Cancelled) => assert!(cancelled, "nobody cancelled it"),
            (_, Error::TimedOut) => assert!(due, "too early"),
            (Kind::EachConnection, Error::Closed) => assert!(self.listener.closed),
            (kind, _) => panic!("{kind:?} ends with {error:?}"),
        }
    }

    /// Whether a repeating operation need not be over though it has waited for long: no time runs
    /// while it does not wait, and where it stands in a queue that is others' matter.
    pub(super) fn may_rest(&self, id: usize) -> bool {
        let op = &self.ops[id];
        op.repeats.pauses > 0
            || match &op.kind {
                Kind::Each(_) => {
                    let line = &self.streams[op.stream];
                    line.reads.front() != Some(&id)
                        || line.claimed > 0
                        || !line.writes.is_empty()
                        || !line.outflow.is_all_there()
                }
                Kind::EachDatagram { socket } => self.may_receive_rest(id, *socket),
                _ => false,
            }
    }

    /// Every tick that was due when the turn began has been told.
    pub(super) fn ticks_are_told(&mut self, id: usize) {
        let (began, now) = (self.turn_began, self.now());
        let op = &mut self.ops[id];
        let Kind::Every(period) = op.kind else { return };
        let since = *op.repeats.since_most.get_or_insert(now);
        if op.repeats.pauses == 0 && !op.repeats.panicked {
            let least = began.saturating_sub(since).as_nanos() / period.as_nanos();
            assert!(u128::from(op.repeats.ticks) >= least, "{least} ticks by now, of {op:?}");
        }
    }

    pub(super) fn begin_ticks(&mut self, id: usize, now: Duration) {
        self.ops[id].repeats.since = now;
    }
}

/// A handler.
pub(super) fn give(id: usize, local: &Local, value: &Value) {
    in_callback(|world| {
        world.is_given(id, value);
        world.handles(id, local);
        let panics = world.reacts() || world.steps();
        world.ops[id].repeats.panicked |= panics;
        panics
    });
}
