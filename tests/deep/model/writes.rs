//! Writes: what they count, how they are cut, what those behind are told (promise 10; limits 14).

use facade_engine::{Bytes, Error};

use super::world::{Kind, Op, World, Writing};

impl World {
    pub(super) fn draw_write(&mut self) -> Kind {
        let len = match (self.below(10), self.link.buffer) {
            (0, _) => 0,
            (1, 4096..) => self.below(20_000),
            (2 | 3, _) => self.below(400),
            _ => self.below(40),
        };
        let bytes = self.draw_bytes(len);
        let how = match self.below(3) {
            0 => Writing::Whole,
            1 => Writing::Line,
            _ => Writing::Vectored,
        };
        Kind::Write { bytes, how, number: 0 }
    }

    pub(super) fn submit_write(&mut self) {
        let write = self.draw_write();
        self.submit_on_stream(write);
    }

    /// The system has all that was written: it is at the peer or under way.
    pub(super) fn all_is_sent(&self, stream: usize) {
        let line = &self.streams[stream];
        let sent = line.outflow.received.len() + line.link.buffer;
        // Only what was counted before this can be known here.
        assert!(
            line.outflow.lossy || line.outflow.counted() <= sent,
            "more was counted than the system can have"
        );
    }

    pub(super) fn write_fails(
        &mut self,
        stream: usize,
        number: usize,
        error: &Error,
        cancelled: bool,
        due: bool,
        most: usize,
    ) {
        if let Error::PartialWrite { written, cause } = error {
            if self.gone && matches!(**cause, Error::EngineClosed) {
                return self.streams[stream].outflow.counts(number, *written);
            }
            let now = self.begun;
            let line = &mut self.streams[stream];
            line.outflow.cut(number, *written, now);
            match **cause {
                Error::Cancelled => assert!(cancelled, "nobody cancelled it"),
                Error::TimedOut => assert!(due, "too early"),
                Error::Io { .. } => assert!(line.outflow.lossy, "{error:?}"),
                Error::Closed => assert!(line.closing, "nobody closed it"),
                _ => panic!("a cut write hears {error:?}"),
            }
            // What others hear of: that it was cut, and not that somebody cancelled them.
            let heard = match **cause {
                Error::Cancelled | Error::TimedOut => "Cut",
                _ => cause_name(cause),
            };
            return self.direction_fails(stream, heard);
        }
        self.streams[stream].outflow.counts(number, 0);
        self.admit_of_write(stream, error, cancelled, due, most);
    }

    /// Whether a write, flush or shutdown may hear this.
    pub(super) fn admit_of_write(
        &mut self,
        stream: usize,
        error: &Error,
        cancelled: bool,
        due: bool,
        most: usize,
    ) {
        let line = &mut self.streams[stream];
        let failed = line.outflow.has_failed(cause_name(error));
        match error {
            Error::Cancelled => assert!(cancelled, "nobody cancelled it"),
            Error::TimedOut => assert!(due, "too early"),
            Error::Cut { written, cause } => {
                assert!(failed, "no write was cut");
                assert!(line.outflow.was_cut_at(*written), "none was cut after {written} bytes");
                assert!(matches!(**cause, Error::Cancelled | Error::TimedOut), "{cause}");
            }
            Error::Closed => {
                assert!(line.closing || line.outflow.shutdowns > 0 || failed, "nobody closed it")
            }
            Error::Io { .. } => {
                assert!(line.outflow.lossy, "{error:?}");
                self.direction_fails(stream, "Io");
            }
            Error::Overloaded => {
                let least = line.queued;
                assert!(most > least, "{most} bytes are no more than {least}");
            }
            _ => panic!("a write hears {error:?}"),
        }
    }

    /// Writes that are submitted from now on fail.
    pub(super) fn direction_fails(&mut self, stream: usize, cause: &'static str) {
        let asks = |op: &&Op| {
            op.begun && !op.told && op.stream == stream && matches!(op.kind, Kind::TakeUnsent)
        };
        let asked = self.ops.iter().filter(asks).map(|op| op.order).min();
        self.streams[stream].outflow.fails(cause, self.begun, asked);
    }
}

pub(super) fn in_three(bytes: &Bytes) -> [Bytes; 3] {
    let (one, two) = (bytes.len() / 3, bytes.len() / 2);
    [bytes.slice(..one), bytes.slice(one..two), bytes.slice(two..)]
}

const fn cause_name(error: &Error) -> &'static str {
    match error {
        Error::Cancelled => "Cancelled",
        Error::TimedOut => "TimedOut",
        Error::Cut { .. } => "Cut",
        Error::Io { .. } => "Io",
        Error::Closed => "Closed",
        _ => "other",
    }
}
