//! [`DeferredDrops`]: what users own and the engine no longer needs. A drop may be the user's code,
//! so it is put off until nothing is borrowed.

use std::mem;

use bytes::Bytes;

use crate::{handles::stream::Stream, pure::panics::Panics};

/// Values that wait to be dropped.
#[derive(Default)]
pub(crate) struct DeferredDrops {
    pub(crate) bytes: Vec<Bytes>,
    pub(crate) streams: Vec<Stream>,
}

impl DeferredDrops {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.streams.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.streams.is_empty()
    }

    /// Takes what `other` has and leaves it its own memory. Only called when this is empty.
    pub(crate) fn take_from(&mut self, other: &mut Self) {
        if !other.bytes.is_empty() {
            mem::swap(&mut self.bytes, &mut other.bytes);
        }
        if !other.streams.is_empty() {
            mem::swap(&mut self.streams, &mut other.streams);
        }
    }

    /// Drops them one by one, so that one whose drop panics takes no other with it.
    pub(crate) fn drop_each(&mut self, panics: &mut Panics) {
        panics.drop_each(&mut self.bytes);
        panics.drop_each(&mut self.streams);
    }
}
