//! [`Unread`]: the bytes that a stream has received and nobody has taken.

use bytes::{Buf, Bytes, BytesMut};

use crate::planted::{self, Bug};

/// Received bytes in order, contiguous, so that matchers see them as one slice.
///
/// What arrives is kept as it came and lent out in slices. Only a partial tail that more bytes
/// follow is copied, into a buffer that grows by doubling, so that any pieces cost linear time.
///
/// Bytes that were taken may be given back, in any order: each has its place in the stream, and
/// stands before all that come after it.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    bytes: Store,
    /// The place in the stream of the first byte that never was taken.
    fresh: u64,
    /// What was given back while bytes behind it were still taken, in order; in front of the fresh.
    /// Hardly any stream ever has some.
    returned: Option<Box<Gaps>>,
}

#[derive(Debug, Default)]
struct Gaps(Vec<Returned>);

/// Bytes that were given back.
#[derive(Debug)]
struct Returned {
    place: u64,
    len: usize,
}

#[derive(Debug, Default)]
enum Store {
    #[default]
    Empty,
    /// One block as it came; `block` is how long it was then, or very long.
    Whole { bytes: Bytes, block: u32 },
    /// Several, copied together.
    Grown(BytesMut),
}

/// A slice of a block that is larger than this...
const SLICE_BLOCK_MAX: usize = 4096;
/// ...must be at least this part of it, or it is copied: what users keep must not pin much more.
const SLICE_PART_MIN: usize = 4;

impl Unread {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match &self.bytes {
            Store::Empty => &[],
            Store::Whole { bytes, .. } => bytes,
            Store::Grown(bytes) => bytes,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts bytes behind the others.
    pub(crate) fn append(&mut self, more: Bytes) {
        if self.is_empty() {
            let block = u32::try_from(more.len()).unwrap_or(u32::MAX);
            self.bytes = Store::Whole { bytes: more, block };
            return;
        }
        let grown = self.grown(more.len());
        grown.extend_from_slice(&more);
    }

    /// The place in the stream of the first byte.
    pub(crate) fn place(&self) -> u64 {
        let first = self.returned.as_ref().and_then(|gaps| gaps.0.first());
        first.map_or(self.fresh, |first| first.place)
    }

    /// How many bytes have ever been put behind the others.
    pub(crate) fn received(&self) -> u64 {
        let returned: usize =
            self.returned.iter().flat_map(|gaps| &gaps.0).map(|gap| gap.len).sum();
        self.fresh + (self.len() - returned) as u64
    }

    /// Gives back bytes that were taken at `place`.
    pub(crate) fn give_back(&mut self, place: u64, bytes: Bytes) {
        if planted::is(Bug::ClaimToTheEnd) {
            return self.append(bytes);
        }
        let mut gaps = self.returned.take().unwrap_or_default();
        let index = gaps.0.partition_point(|before| before.place < place);
        let before = gaps.0[..index].iter().map(|before| before.len).sum();
        gaps.0.insert(index, Returned { place, len: bytes.len() });
        let front = self.cut(before);
        self.prepend(bytes);
        self.prepend(front);
        while let Some(last) = gaps.0.last()
            && last.place + last.len as u64 == self.fresh
        {
            self.fresh = last.place;
            gaps.0.pop();
        }
        self.returned = (!gaps.0.is_empty()).then_some(gaps);
    }

    /// Takes over what was given back to `front`, which stood for this meanwhile.
    pub(crate) fn take_over(&mut self, mut front: Self) {
        for Returned { place, len } in front.returned.take().unwrap_or_default().0 {
            let bytes = front.cut(len);
            self.give_back(place, bytes);
        }
    }

    /// Takes the first `count` bytes, of which there must be as many.
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        if self.returned.is_none() {
            self.fresh += count as u64;
        } else {
            self.pass(count);
        }
        self.cut(count)
    }

    /// Takes the first `count` bytes, and passes over `skip` more that nobody wants.
    #[inline]
    pub(crate) fn take_and_skip(&mut self, count: usize, skip: usize) -> Bytes {
        if let Store::Whole { bytes, block } = &mut self.bytes
            && self.returned.is_none()
            && count + skip < bytes.len()
            && *block as usize <= SLICE_BLOCK_MAX
        {
            self.fresh += (count + skip) as u64;
            let mut taken = bytes.clone();
            taken.truncate(count);
            bytes.advance(count + skip);
            return taken;
        }
        let mut taken = self.take(count + skip);
        taken.truncate(count);
        taken
    }

    /// Moves the places on behind the first `count` bytes.
    fn pass(&mut self, mut count: usize) {
        let Some(gaps) = &mut self.returned else { return };
        while let Some(first) = gaps.0.first_mut()
            && count > 0
        {
            let passed = count.min(first.len);
            first.place += passed as u64;
            first.len -= passed;
            count -= passed;
            if first.len == 0 {
                gaps.0.remove(0);
            }
        }
        if gaps.0.is_empty() {
            self.returned = None;
        }
        self.fresh += count as u64;
    }

    fn prepend(&mut self, front: Bytes) {
        if front.is_empty() {
            return;
        }
        let behind = std::mem::take(&mut self.bytes);
        self.append(front);
        match behind {
            Store::Empty => {}
            Store::Whole { bytes, .. } => self.append(bytes),
            Store::Grown(bytes) => self.append(bytes.freeze()),
        }
    }

    fn cut(&mut self, count: usize) -> Bytes {
        match &mut self.bytes {
            Store::Empty => {
                assert_eq!(count, 0);
                Bytes::new()
            }
            Store::Whole { bytes, .. } if count == bytes.len() => {
                let whole = std::mem::take(bytes);
                self.bytes = Store::Empty;
                whole
            }
            Store::Whole { bytes, block } => {
                let block = *block as usize;
                if block > SLICE_BLOCK_MAX && count < block / SLICE_PART_MIN {
                    let copy = Bytes::copy_from_slice(&bytes[..count]);
                    bytes.advance(count);
                    copy
                } else {
                    bytes.split_to(count)
                }
            }
            Store::Grown(bytes) if count == bytes.len() => {
                let whole = std::mem::take(bytes).freeze();
                self.bytes = Store::Empty;
                whole
            }
            Store::Grown(bytes) => {
                if bytes.len() > SLICE_BLOCK_MAX && count < bytes.len() / SLICE_PART_MIN {
                    let copy = Bytes::copy_from_slice(&bytes[..count]);
                    bytes.advance(count);
                    copy
                } else {
                    bytes.split_to(count).freeze()
                }
            }
        }
    }

    /// The first `count` bytes, or all if there are fewer; they stay.
    pub(crate) fn peek(&self, count: usize) -> Bytes {
        match &self.bytes {
            Store::Empty => Bytes::new(),
            Store::Whole { bytes, .. } => bytes.slice(..count.min(bytes.len())),
            Store::Grown(bytes) => Bytes::copy_from_slice(&bytes[..count.min(bytes.len())]),
        }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        match self.bytes {
            Store::Empty => Bytes::new(),
            Store::Whole { bytes, .. } => bytes,
            Store::Grown(bytes) => bytes.freeze(),
        }
    }

    fn grown(&mut self, room: usize) -> &mut BytesMut {
        if let Store::Whole { bytes, .. } = &self.bytes {
            let mut grown = BytesMut::with_capacity(2 * bytes.len() + room);
            grown.extend_from_slice(bytes);
            self.bytes = Store::Grown(grown);
        }
        match &mut self.bytes {
            Store::Grown(bytes) => bytes,
            _ => unreachable!("not empty, and no longer whole"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Append(Vec<u8>),
        Take(usize),
        TakeAndGiveBack(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..9000);
        prop_oneof![
            bytes.prop_map(Step::Append),
            (0..10_000usize).prop_map(Step::Take),
            (0..10_000usize).prop_map(Step::TakeAndGiveBack),
        ]
    }

    proptest! {
        #[test]
        fn is_a_queue_of_bytes(steps in proptest::collection::vec(step(), 0..30)) {
            let (mut unread, mut model) = (Unread::default(), VecDeque::new());
            for step in steps {
                match step {
                    Step::Append(bytes) => {
                        model.extend(&bytes);
                        unread.append(bytes.into());
                    }
                    Step::Take(count) => {
                        let count = count.min(unread.len());
                        prop_assert!(unread.take(count).iter().eq(&model.drain(..count).collect::<Vec<_>>()));
                    }
                    Step::TakeAndGiveBack(count) => {
                        let place = unread.place();
                        let taken = unread.take(count.min(unread.len()));
                        unread.give_back(place, taken);
                        prop_assert!(unread.returned.is_none());
                    }
                }
                prop_assert!(unread.as_slice().iter().eq(&model));
            }
        }
    }

    #[test]
    fn a_small_slice_does_not_pin_a_large_block() {
        let mut unread = Unread::default();
        let block = Bytes::from(vec![7; 64 << 10]);
        let start = block.as_ptr();
        unread.append(block);
        assert_ne!(unread.take(64).as_ptr(), start, "copied");
        assert_eq!(unread.take(32 << 10).as_ptr(), start.wrapping_add(64), "lent");
    }
}
