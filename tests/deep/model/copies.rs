//! Copies: each byte is where it was to go to, or unread where it came from, and the counts say
//! which; whatever ends one, and however far it has come (promises 8, 10).

use std::time::Duration;

use facade_engine::{CopyOptions, Error, IoOperation};

use super::{
    expect::{Spec, Value},
    world::{Kind, Line, Op, World},
};

/// Where a copy goes to, and the places that it has among the writes of its streams.
#[derive(Debug, Clone)]
pub(crate) struct CopySpec {
    pub(crate) to: usize,
    pub(crate) both_ways: bool,
    pub(crate) idle: Option<Duration>,
    there: usize,
    back: usize,
}

impl CopySpec {
    pub(crate) const fn new(to: usize, both_ways: bool, idle: Option<Duration>) -> Self {
        Self { to, both_ways, idle, there: 0, back: 0 }
    }

    pub(super) fn options(&self) -> CopyOptions {
        match self.idle {
            Some(idle) => CopyOptions::new().idle(idle),
            None => CopyOptions::new(),
        }
    }
}

impl World {
    pub(super) fn submit_copy(&mut self) {
        let (Some(from), Some(to)) = (self.pick_free_stream(), self.pick_free_stream()) else {
            return self.add_pair();
        };
        // In a chain it would be an operation behind the copy before the copy is over.
        let is_chained = |stream| {
            self.ops.iter().any(|op| !op.told && op.chain.is_some() && op.stream == stream)
        };
        let may_be_behind = |stream| is_chained(stream) || self.is_copied(stream);
        let may_be_both = from != to && !may_be_behind(from) && !may_be_behind(to);
        let both_ways = may_be_both && self.chance(0.4);
        let idle = match self.below(4) {
            0 => Some(Duration::from_millis(1 + self.rng.below(3000))),
            _ => None,
        };
        self.share(from);
        self.submit(Kind::Copy(CopySpec::new(to, both_ways, idle)), from, true);
    }

    /// The copies that have not ended, with where they come from.
    fn live_copies(&self) -> impl Iterator<Item = (usize, &CopySpec)> {
        self.copies.iter().map(|&id| match &self.ops[id] {
            Op { kind: Kind::Copy(copy), stream, .. } => (*stream, copy),
            op => unreachable!("{op:?} is no copy"),
        })
    }

    /// Whether a copy has to do with a stream.
    pub(super) fn is_copied(&self, stream: usize) -> bool {
        self.live_copies().any(|(from, copy)| from == stream || copy.to == stream)
    }

    /// Whether bytes of a stream may be on their way to another without anybody having been told.
    pub(super) fn is_copied_from(&self, stream: usize) -> bool {
        self.live_copies().any(|(from, copy)| from == stream || copy.both_ways && copy.to == stream)
    }

    /// Whether a stream is one of a copy both ways. Nothing is submitted behind that: one way may be
    /// over, and what is behind it go on, before anybody is told how far it came.
    pub(super) fn is_proxied(&self, stream: usize) -> bool {
        self.live_copies()
            .any(|(from, copy)| copy.both_ways && (from == stream || copy.to == stream))
    }

    /// A copy goes to its places in the queues of its streams.
    pub(super) fn begin_copy(&mut self, id: usize) {
        self.copies.push(id);
        let from = self.ops[id].stream;
        let Kind::Copy(copy) = &mut self.ops[id].kind else { unreachable!("a copy") };
        self.streams[from].reads.push_back(id);
        copy.there = self.streams[copy.to].outflow.begin_copy();
        self.streams[copy.to].writes.push_back(id);
        if copy.both_ways {
            self.streams[copy.to].reads.push_back(id);
            copy.back = self.streams[from].outflow.begin_copy();
            self.streams[from].writes.push_back(id);
            // From now on either end may be handed on at any time.
            self.streams[copy.to].outflow.shutdowns += 1;
            self.streams[from].outflow.shutdowns += 1;
        }
    }

    /// A copy leaves the queues. Returns whether it was the first in all of them.
    pub(super) fn copy_leaves(&mut self, id: usize, succeeded: bool) -> bool {
        let from = self.ops[id].stream;
        let Kind::Copy(CopySpec { to, both_ways, .. }) = self.ops[id].kind else {
            unreachable!("a copy")
        };
        self.copies.retain(|&copy| copy != id);
        let mut was_first = true;
        let mut leave = |queue: &mut std::collections::VecDeque<usize>| {
            let at = queue.iter().position(|&other| other == id).expect("queued until told");
            assert!(at == 0 || !succeeded, "copy {id} has overtaken operation {}", queue[0]);
            was_first &= at == 0;
            queue.remove(at);
        };
        leave(&mut self.streams[from].reads);
        leave(&mut self.streams[to].writes);
        if both_ways {
            leave(&mut self.streams[to].reads);
            leave(&mut self.streams[from].writes);
        }
        was_first
    }

    /// So many bytes have gone from one stream to the other, as the outcome says.
    fn count_copied(&mut self, id: usize, there: usize, back: usize) {
        let from = self.ops[id].stream;
        let Kind::Copy(copy) = self.ops[id].kind.clone() else { unreachable!("a copy") };
        let order = self.ops[id].order;
        let mut ways = vec![(from, copy.to, copy.there, there)];
        match copy.both_ways {
            true => ways.push((copy.to, from, copy.back, back)),
            false => assert_eq!(back, 0, "a copy one way"),
        }
        for (from, to, number, count) in ways {
            let bytes = self.streams[from].inflow.copied(count);
            let outflow = &mut self.streams[to].outflow;
            if count > 0 {
                outflow.goes_on(order);
            }
            outflow.end_copy(number, bytes);
        }
    }

    pub(super) fn copy_succeeds(&mut self, id: usize, value: &Value) {
        let from = self.ops[id].stream;
        let Kind::Copy(copy) = self.ops[id].kind.clone() else { unreachable!("a copy") };
        let mut streams = vec![(from, copy.to)];
        match *value {
            Value::Count(there) if !copy.both_ways => self.count_copied(id, there, 0),
            Value::Counts(there, back) if copy.both_ways => {
                self.count_copied(id, there, back);
                streams.push((copy.to, from));
            }
            ref value => panic!("a copy yields {value:?}"),
        }
        for (from, to) in streams {
            self.nothing_is_left(from);
            let line = &mut self.streams[to];
            line.outflow.is_shut |= copy.both_ways;
            let sent = line.outflow.received.len() + line.link.buffer;
            assert!(
                line.outflow.lossy || line.outflow.counted() <= sent + line.unsent,
                "too much is unsent"
            );
            if copy.both_ways {
                self.all_is_sent(to);
            }
        }
    }

    pub(super) fn copy_fails(&mut self, id: usize, error: &Error, due: bool) {
        let (there, back, cause) = match error {
            Error::PartialCopy { copied, returned, cause } => (*copied, *returned, &**cause),
            cause => (0, 0, cause),
        };
        assert!(
            there + back > 0 || !matches!(error, Error::PartialCopy { .. }),
            "nothing is no part: {error:?}"
        );
        let len = |count| usize::try_from(count).expect("a length");
        self.count_copied(id, len(there), len(back));
        if self.gone && matches!(cause, Error::EngineClosed) {
            return;
        }
        let op = &self.ops[id];
        let Kind::Copy(copy) = &op.kind else { unreachable!("a copy") };
        let (from, both_ways) = (op.stream, copy.both_ways);
        let sources = [Some(from), both_ways.then_some(copy.to)].into_iter().flatten();
        let mut sources = sources.map(|stream| &self.streams[stream]);
        let targets = [Some(copy.to), both_ways.then_some(from)].into_iter().flatten();
        let mut targets = targets.map(|stream| &self.streams[stream]);
        match cause {
            Error::Cancelled => assert!(op.cancelled, "nobody cancelled it"),
            Error::TimedOut => {
                let is_idle = copy.idle.is_some_and(|idle| op.begun_at + idle <= self.now());
                assert!(due || is_idle, "too early");
            }
            Error::Closed => {
                let is_over = |to: &Line| {
                    to.closing || to.outflow.shutdowns > 0 || to.outflow.has_failed("Closed")
                };
                let is_closed = sources.any(|from| from.closing) || targets.any(is_over);
                assert!(is_closed, "nobody closed it");
            }
            Error::Cut { written, .. } => {
                let is_cut =
                    |to: &Line| to.outflow.has_failed("Cut") && to.outflow.was_cut_at(*written);
                assert!(targets.any(is_cut), "none was cut after {written} bytes");
            }
            Error::Io { operation: IoOperation::Read, .. } if both_ways => {
                assert!(sources.any(|from| from.inflow.may_reset), "{error:?}");
            }
            // Behind all that came before.
            Error::Io { operation: IoOperation::Read, .. } => {
                self.streams[from].inflow.ended("reset", &Spec::Chunk(1), usize::MAX);
            }
            Error::Io { .. } => {
                let is_lossy = |line: &Line| line.outflow.lossy;
                assert!(targets.any(is_lossy) || sources.any(is_lossy), "{error:?}");
            }
            _ => panic!("a copy hears {error:?}"),
        }
    }
}
