//! [`Unread`]: the bytes that a stream has received and nobody has taken.

use bytes::Bytes;

use crate::pure::{
    buffer::pieces::Pieces,
    mutants::{self, Mutant},
};

/// Received bytes in order, in pieces, of which matchers see the one in front: if that does not do,
/// it is [joined](Self::join_next) with the next.
///
/// Bytes that were taken may be given back, in any order: each has its place in the stream, and
/// stands before all that come after it.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    bytes: Pieces,
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

impl Unread {
    /// The bytes in front that are in one piece: some, if there are any.
    #[inline]
    pub(crate) fn front(&self) -> &[u8] {
        self.bytes.front()
    }

    /// Whether the front is all there is.
    #[inline]
    pub(crate) const fn is_one(&self) -> bool {
        self.bytes.is_one()
    }

    /// Makes the front longer by the piece behind it, if there is one.
    pub(crate) fn join_next(&mut self) {
        self.bytes.join_next();
    }

    /// All of them in one piece.
    pub(crate) fn all(&mut self) -> &[u8] {
        self.bytes.join(self.bytes.len());
        self.bytes.front()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Puts bytes behind the others.
    pub(crate) fn append(&mut self, more: Bytes) {
        self.bytes.append(more);
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
        if bytes.is_empty() {
            return;
        }
        if mutants::is_active(Mutant::ClaimToTheEnd) {
            return self.append(bytes);
        }
        let mut gaps = self.returned.take().unwrap_or_default();
        let index = gaps.0.partition_point(|before| before.place < place);
        let before = gaps.0[..index].iter().map(|before| before.len).sum();
        gaps.0.insert(index, Returned { place, len: bytes.len() });
        let front = self.bytes.take(before);
        self.bytes.prepend(bytes);
        self.bytes.prepend(front);
        while let Some(last) = gaps.0.last()
            && last.place + last.len as u64 == self.fresh
        {
            self.fresh = last.place;
            gaps.0.pop();
        }
        self.returned = (!gaps.0.is_empty()).then_some(gaps);
    }

    /// Gives back the bytes that were taken last.
    pub(crate) fn untake(&mut self, bytes: Bytes) {
        let place = self.fresh.saturating_sub(bytes.len() as u64);
        self.give_back(place, bytes);
    }

    /// Takes over what was given back to `front`, which stood for this meanwhile.
    pub(crate) fn take_over(&mut self, mut front: Self) {
        for Returned { place, len } in front.returned.take().into_iter().flat_map(|gaps| gaps.0) {
            let bytes = front.bytes.take(len);
            self.give_back(place, bytes);
        }
    }

    /// Takes the first `count` bytes, of which there must be as many.
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        self.pass(count);
        self.bytes.take(count)
    }

    /// Takes the first `count` bytes, and passes over `skip` more that nobody wants.
    #[inline]
    pub(crate) fn take_and_skip(&mut self, count: usize, skip: usize) -> Bytes {
        self.pass(count + skip);
        self.bytes.take_and_skip(count, skip)
    }

    /// The first `count` bytes, or all if there are fewer; they stay.
    pub(crate) fn peek(&mut self, count: usize) -> Bytes {
        self.bytes.peek(count)
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes.into_bytes()
    }

    /// Moves the places on behind the first `count` bytes.
    #[inline]
    fn pass(&mut self, count: usize) {
        if self.returned.is_none() {
            self.fresh += count as u64;
        } else {
            self.pass_returned(count);
        }
    }

    #[cold]
    fn pass_returned(&mut self, mut count: usize) {
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
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Append(Vec<u8>),
        Take(usize),
        TakeAndSkip(usize, usize),
        /// Of what was taken, one piece by its place in a list.
        GiveBack(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = proptest::collection::vec(any::<u8>(), 1..1500);
        prop_oneof![
            bytes.prop_map(Step::Append),
            (0..2000usize).prop_map(Step::Take),
            (0..2000usize, 0..3usize).prop_map(|(count, skip)| Step::TakeAndSkip(count, skip)),
            any::<usize>().prop_map(Step::GiveBack),
        ]
    }

    proptest! {
        #[test]
        fn each_byte_has_its_place_whatever_was_taken_and_given_back(
            steps in proptest::collection::vec(step(), 0..30),
        ) {
            let mut unread = Unread::default();
            // The unread bytes by their places, and how many have ever come.
            let (mut model, mut come) = (BTreeMap::new(), 0u64);
            let mut taken: Vec<(u64, Bytes)> = Vec::new();
            let take = |model: &mut BTreeMap<u64, u8>, count: usize| {
                let taken = (0..count).filter_map(|_| model.pop_first());
                taken.map(|(_, byte)| byte).collect::<Vec<u8>>()
            };
            for step in steps {
                match step {
                    Step::Append(bytes) => {
                        model.extend((come..).zip(bytes.iter().copied()));
                        come += bytes.len() as u64;
                        unread.append(bytes.into());
                    }
                    Step::Take(count) => {
                        // Of one piece, as a match is: what is unread in front may have a gap.
                        let place = unread.place();
                        let places = (place..).zip(model.keys());
                        let run = places.take_while(|(at, key)| at == *key).count();
                        let count = count.min(run);
                        let bytes = unread.take(count);
                        prop_assert_eq!(&bytes[..], &take(&mut model, count)[..]);
                        taken.push((place, bytes));
                    }
                    Step::TakeAndSkip(count, skip) => {
                        let count = count.min(unread.len());
                        let skip = skip.min(unread.len() - count);
                        let bytes = unread.take_and_skip(count, skip);
                        prop_assert_eq!(&bytes[..], &take(&mut model, count)[..]);
                        take(&mut model, skip);
                    }
                    Step::GiveBack(index) if taken.is_empty() => _ = index,
                    Step::GiveBack(index) => {
                        let (place, bytes) = taken.swap_remove(index % taken.len());
                        model.extend((place..).zip(bytes.iter().copied()));
                        unread.give_back(place, bytes);
                    }
                }
                prop_assert_eq!(unread.all(), &model.values().copied().collect::<Vec<_>>()[..]);
                prop_assert_eq!(unread.place(), model.keys().next().map_or(come, |place| *place));
                prop_assert_eq!(unread.received(), come);
            }
        }
    }
}
