//! Claims: what is not taken goes back to its place (promise 8; connections 9, rests of writes 10).

use std::mem;

use facade_engine::{Claim, Result};

use super::{
    datagrams::hear_datagram_claim,
    expect::{Spec, Value},
    ledger::{Rest, Taken},
    outcomes::{hear, in_callback},
    world::{CONNECTION, Kind, VALUE, World},
};

/// A claim that is kept for a while.
pub(super) struct Held {
    claim: Claim<Value>,
    pub(super) stream: usize,
    pub(super) taken: Taken,
    /// The rests of cut writes.
    pub(super) rests: Vec<Rest>,
}

impl World {
    /// Takes a claim that was kept, or drops it.
    pub(super) fn end_hold(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let at = self.below(self.held.len());
        let Held { claim, stream, taken, rests } = self.held.swap_remove(at);
        if !rests.is_empty() {
            match self.chance(0.5) {
                true => _ = claim.take(),
                false => {
                    self.say(|| format!("drops its hold of {rests:?} of stream {stream}"));
                    drop(claim);
                    self.give_back_rests(stream, rests);
                }
            }
            return;
        }
        // Inside a turn a read that waits may have matched already, or not, and nobody can say what
        // it takes; nor whether a stream that is detached has left, so that it takes nothing back.
        // And what a later claim has must not come to lie in a gap, see below.
        let is_later = |held: &Held| held.stream == stream && first(&held.taken) > first(&taken);
        if self.chance(0.5)
            || self.streams[stream].detaching
            || self.is_copied_from(stream)
            || !self.streams[stream].reads.is_empty()
                && (self.in_turn || mem::replace(&mut self.streams[stream].given_back, true))
            || self.held.iter().any(is_later)
        {
            claim.take();
            return;
        }
        self.say(|| format!("drops its hold of {taken:?} of stream {stream}"));
        drop(claim);
        self.give_back(stream, taken);
    }

    /// Bytes were not taken. Who asked how many there are and was not told may have them counted
    /// in.
    fn give_back(&mut self, stream: usize, taken: Taken) {
        let inflow = &mut self.streams[stream].inflow;
        inflow.give_back(taken);
        let count = inflow.taken();
        for op in &mut self.ops {
            if op.stream == stream && !op.told && matches!(op.kind, Kind::Read(Spec::Buffered)) {
                op.limit = op.limit.min(count);
            }
        }
    }

    /// The rests of cut writes were not taken: the stream is cut again.
    fn give_back_rests(&mut self, stream: usize, rests: Vec<Rest>) {
        self.streams[stream].outflow.give_back(rests, self.begun);
        self.direction_fails(stream, "Cut");
    }

    pub(super) fn has_claims(&self, stream: usize) -> bool {
        self.streams[stream].reads.iter().any(|&id| self.ops[id].claims)
    }
}

/// A callback that gets a claim: takes it, drops it, or keeps it for later.
pub(super) fn hear_claim(id: usize, outcome: Result<Claim<Value>>) {
    let claim = match outcome {
        Ok(claim) => claim,
        Err(error) => return hear(id, Err(error)),
    };
    let value = VALUE.take();
    if let Some(value @ Value::Datagram { .. }) = value {
        return hear_datagram_claim(id, claim, value);
    }
    in_callback(|world| {
        let value = value.expect("seen on its way");
        let mut drawn = world.below(3);
        let is_read = matches!(&world.ops[id].kind, Kind::Read(spec) if spec.takes());
        let is_accept = matches!(world.ops[id].kind, Kind::Accept);
        if is_accept && drawn == 0 && !world.winding_down {
            // The next accept must find it in front.
            world.leaves(id, true);
            world.say(|| format!("  op {id} drops its claim on a connection"));
            world.listener.undone += 1;
            world.listener.in_front += 1;
            world.listener.undone_order = world.begun;
            drop(CONNECTION.take());
            drop(claim);
            return world.reacts();
        }
        let taken = world.hears(id, Ok(value));
        let rests = mem::take(&mut world.rests);
        world.say(|| format!("  and does {drawn} with its claim on {taken:?}"));
        let stream = world.ops[id].stream;
        if is_read {
            world.streams[stream].claimed = 2;
        }
        if world.winding_down
            || is_read && (world.streams[stream].handle.is_none() || taken.len() > 1)
        {
            // Nothing is given back to a stream that nobody holds; and a read over a gap that
            // another claim has left goes back in one piece.
            drawn = 2;
        }
        match drawn {
            0 if is_read => {
                drop(claim);
                world.give_back(stream, taken);
            }
            1 if is_read => world.held.push(Held { claim, stream, taken, rests }),
            0 if !rests.is_empty() => {
                drop(claim);
                world.give_back_rests(stream, rests);
            }
            1 if !rests.is_empty() => world.held.push(Held { claim, stream, taken, rests }),
            _ => _ = claim.take(),
        }
        world.reacts() || world.steps()
    });
}

const fn first(taken: &Taken) -> usize {
    match taken.as_slice() {
        [first, ..] => first.start,
        [] => 0,
    }
}
