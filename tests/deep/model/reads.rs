//! Reads: each error has its cause (promises 11, 12, 14); `ledger` judges what a success yields.

use facade_engine::Error;

use super::{
    expect::Spec,
    world::{Kind, World},
};

impl World {
    pub(super) fn submit_read(&mut self) {
        let spec = Spec::draw(&mut self.rng);
        self.submit_on_stream(Kind::Read(spec));
    }

    /// At times others may hold a stream, too, and then are gone again: it is not read ahead then,
    /// and nothing else is different. When it ends nobody may, as what is unread would reset it.
    pub(super) fn share(&self, stream: usize) {
        let Some(handle) = &self.streams[stream].handle else { return };
        // Not drawn, so that most old seeds do what they did.
        match self.ops.len() % 7 {
            3 => handle.set_exclusive(false),
            5 => handle.set_exclusive(true),
            _ => {}
        }
    }

    /// Nobody else holds any stream any more.
    pub(crate) fn unshare(&self) {
        self.streams.iter().filter_map(|line| line.handle.as_ref()).for_each(|handle| {
            handle.set_exclusive(true);
        });
    }

    pub(super) fn read_fails(
        &mut self,
        stream: usize,
        spec: &Spec,
        limit: usize,
        error: &Error,
        cancelled: bool,
        due: bool,
    ) {
        let line = &mut self.streams[stream];
        match error {
            Error::Cancelled => assert!(cancelled, "nobody cancelled it"),
            Error::TimedOut => assert!(due, "too early"),
            Error::Closed => assert!(line.closing, "nobody closed it"),
            Error::EndOfStream => line.inflow.ended("end", spec, limit),
            Error::Io { .. } => line.inflow.ended("reset", spec, limit),
            Error::TooLong { limit: told } => {
                assert_eq!(*told, limit, "the limit");
                line.inflow.too_long(spec, limit);
            }
            Error::Unexpected { line: told, .. } => line.inflow.unexpected(spec, limit, told),
            _ => panic!("a read hears {error:?}"),
        }
    }
}
