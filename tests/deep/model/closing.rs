//! Closing: a close is told after all that was submitted on its stream before (promise 13).

use super::{
    interruptions::HOUR,
    world::{Kind, NONE, Op, Style, World},
};

impl World {
    pub(super) fn end_stream(&mut self) {
        let Some(stream) = self.pick_stream() else { return };
        self.say(|| format!("stream {stream} ends"));
        let now = self.now();
        self.unshare();
        let line = &mut self.streams[stream];
        // What is on its way is answered by a reset, which may overtake what was written.
        line.outflow.lossy |= line.inflow.clear_at() > now;
        match self.below(3) {
            0 => {
                // Not drawn, so that most old seeds do what they did.
                let detaches = self.ops.len() % 2 == 1;
                let kind = if detaches { Kind::Detach } else { Kind::Close };
                self.submit(kind, stream, true);
                let line = &mut self.streams[stream];
                line.closing = true;
                line.detaching |= detaches;
            }
            1 => {
                let line = &mut self.streams[stream];
                line.closing = true;
                line.outflow.lossy = true;
                self.engine.abort(line.handle.as_ref().expect("picked"));
            }
            // What is pending goes on; but a claim gives nothing back to a stream that nobody
            // holds.
            _ if self.has_claims(stream) => {}
            _ => drop(self.streams[stream].handle.take()),
        }
    }

    pub(super) fn close_listener(&mut self) {
        if self.listener.handle.is_some() && self.chance(0.3) {
            self.listener.closed = true;
            self.submit(Kind::CloseListener, NONE, false);
        }
    }

    pub(super) fn close_everything(&mut self) {
        for stream in 0..self.streams.len() {
            if self.streams[stream].handle.is_some() && !self.streams[stream].closing {
                let now = self.now();
                let line = &mut self.streams[stream];
                line.outflow.lossy |= line.inflow.clear_at() > now;
                self.submit_as(Style::Callback, Kind::Close, stream, Some(HOUR));
                self.streams[stream].closing = true;
            }
        }
        self.close_sockets(Some(HOUR));
        if self.listener.handle.is_some() {
            self.listener.closed = true;
            self.submit_as(Style::Callback, Kind::CloseListener, NONE, Some(HOUR));
        }
    }

    /// A close is told after everything that was submitted on the stream before it.
    pub(super) fn comes_last(&self, id: usize) {
        let Op { stream, order, .. } = self.ops[id];
        let line = &self.streams[stream];
        // A future says what it has heard when it is polled.
        let is_future = |id| self.futures.iter().any(|(future, _)| *future == id);
        let is_earlier = |&&other: &&usize| self.ops[other].order < order && !is_future(other);
        let earlier = line.reads.iter().chain(&line.writes).find(is_earlier);
        assert_eq!(earlier, None, "a close comes last");
    }
}
