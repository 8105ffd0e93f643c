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
    /// None most of the time: what has come is taken soon, and an idle stream has nothing. The
    /// memory goes from stream to stream, see [`tidy`](Self::tidy).
    kept: Option<Box<Kept>>,
    /// The place in the stream of the first byte that never was taken.
    fresh: u64,
}

/// Memory of what has been taken, for what comes next.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "the boxes themselves are used again")]
pub(crate) struct Spare(Vec<Box<Kept>>);

/// How many are kept.
const SPARES_MAX: usize = 64;
/// One that had room for more gaps than this is not kept.
const RETURNED_MAX: usize = 16;

#[derive(Debug, Default)]
struct Kept {
    bytes: Pieces,
    /// What was given back while bytes behind it were still taken, in order; in front of the fresh.
    /// Hardly any stream ever has some.
    returned: Vec<Returned>,
}

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
        self.kept.as_ref().map_or(&[], |kept| kept.bytes.front())
    }

    /// Whether the front is all there is.
    #[inline]
    pub(crate) fn is_one(&self) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.bytes.is_one())
    }

    /// Makes the front longer by the piece behind it, if there is one.
    pub(crate) fn join_next(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.bytes.join_next();
        }
    }

    /// All of them in one piece.
    pub(crate) fn all(&mut self) -> &[u8] {
        let Some(kept) = &mut self.kept else { return &[] };
        kept.bytes.join(kept.bytes.len());
        kept.bytes.front()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.bytes.len())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.bytes.is_empty())
    }

    /// Puts bytes behind the others, in memory of `spare` where there are none.
    #[inline]
    pub(crate) fn append(&mut self, more: Bytes, spare: &mut Spare) {
        let kept = self.kept.get_or_insert_with(|| spare.0.pop().unwrap_or_default());
        kept.bytes.append(more);
    }

    /// Lets go of the memory, if nothing is unread.
    #[inline]
    pub(crate) fn tidy(&mut self, spare: &mut Spare) {
        if self.is_empty()
            && let Some(kept) = self.kept.take()
            && spare.0.len() < SPARES_MAX
            && kept.returned.capacity() <= RETURNED_MAX
        {
            spare.0.push(kept);
        }
    }

    /// The place in the stream of the first byte.
    pub(crate) fn place(&self) -> u64 {
        self.returned().first().map_or(self.fresh, |first| first.place)
    }

    /// How many bytes have ever been put behind the others.
    pub(crate) fn received(&self) -> u64 {
        let returned: usize = self.returned().iter().map(|gap| gap.len).sum();
        self.fresh + (self.len() - returned) as u64
    }

    #[inline]
    fn returned(&self) -> &[Returned] {
        self.kept.as_ref().map_or(&[], |kept| &kept.returned)
    }

    /// Gives back bytes that were taken at `place`.
    pub(crate) fn give_back(&mut self, place: u64, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let kept = self.kept.get_or_insert_default();
        if mutants::is_active(Mutant::ClaimToTheEnd) {
            return kept.bytes.append(bytes);
        }
        let gaps = &mut kept.returned;
        let index = gaps.partition_point(|before| before.place < place);
        let before = gaps[..index].iter().map(|before| before.len).sum();
        gaps.insert(index, Returned { place, len: bytes.len() });
        let front = kept.bytes.take(before);
        kept.bytes.prepend(bytes);
        kept.bytes.prepend(front);
        while let Some(last) = gaps.last()
            && last.place + last.len as u64 == self.fresh
        {
            self.fresh = last.place;
            gaps.pop();
        }
    }

    /// Gives back the bytes that were taken last.
    pub(crate) fn untake(&mut self, bytes: Bytes) {
        let place = self.fresh.saturating_sub(bytes.len() as u64);
        self.give_back(place, bytes);
    }

    /// Takes over what was given back to `front`, which stood for this meanwhile.
    pub(crate) fn take_over(&mut self, mut front: Self) {
        let Some(kept) = &mut front.kept else { return };
        for Returned { place, len } in std::mem::take(&mut kept.returned) {
            let bytes = kept.bytes.take(len);
            self.give_back(place, bytes);
        }
    }

    /// Takes the first `count` bytes, of which there must be as many.
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        let Some(kept) = &mut self.kept else { return Bytes::new() };
        self.fresh += kept.pass(count);
        kept.bytes.take(count)
    }

    /// Takes a line of `len` bytes, which is in the front, without its line end.
    #[inline]
    pub(crate) fn take_line(&mut self, len: usize) -> Bytes {
        let Some(kept) = &mut self.kept else { return Bytes::new() };
        self.fresh += kept.pass(len);
        let is_crlf = len > 1 && kept.bytes.front()[len - 2] == b'\r';
        let end = 1 + usize::from(is_crlf);
        kept.bytes.take_and_skip(len - end, end)
    }

    /// The first `count` bytes, or all if there are fewer; they stay.
    pub(crate) fn peek(&mut self, count: usize) -> Bytes {
        self.kept.as_mut().map_or_else(Bytes::new, |kept| kept.bytes.peek(count))
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.kept.map_or_else(Bytes::new, |kept| kept.bytes.into_bytes())
    }
}

impl Kept {
    /// Moves the places on behind the first `count` bytes. Returns how many of these are fresh.
    #[inline]
    fn pass(&mut self, count: usize) -> u64 {
        if self.returned.is_empty() { count as u64 } else { self.pass_returned(count) }
    }

    #[cold]
    fn pass_returned(&mut self, mut count: usize) -> u64 {
        while let Some(first) = self.returned.first_mut()
            && count > 0
        {
            let passed = count.min(first.len);
            first.place += passed as u64;
            first.len -= passed;
            count -= passed;
            if first.len == 0 {
                self.returned.remove(0);
            }
        }
        count as u64
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
        /// Whether it ends in LF or not.
        TakeLine(usize),
        /// Of what was taken, one piece by its place in a list.
        GiveBack(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = proptest::collection::vec(any::<u8>(), 1..1500);
        prop_oneof![
            bytes.prop_map(Step::Append),
            (0..2000usize).prop_map(Step::Take),
            (1..2000usize).prop_map(Step::TakeLine),
            any::<usize>().prop_map(Step::GiveBack),
        ]
    }

    proptest! {
        #[test]
        fn each_byte_has_its_place_whatever_was_taken_and_given_back(
            steps in proptest::collection::vec(step(), 0..30),
        ) {
            let (mut unread, mut spare) = (Unread::default(), Spare::default());
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
                        unread.append(bytes.into(), &mut spare);
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
                    Step::TakeLine(len) => {
                        let len = len.min(unread.len());
                        if len == 0 {
                            continue;
                        }
                        let mut line = take(&mut model, len);
                        line.pop();
                        line.pop_if(|byte| *byte == b'\r');
                        prop_assert_eq!(&unread.take_line(len)[..], &line[..]);
                    }
                    Step::GiveBack(index) if taken.is_empty() => _ = index,
                    Step::GiveBack(index) => {
                        let (place, bytes) = taken.swap_remove(index % taken.len());
                        model.extend((place..).zip(bytes.iter().copied()));
                        unread.give_back(place, bytes);
                    }
                }
                unread.tidy(&mut spare);
                prop_assert_eq!(unread.all(), &model.values().copied().collect::<Vec<_>>()[..]);
                prop_assert_eq!(unread.place(), model.keys().next().map_or(come, |place| *place));
                prop_assert_eq!(unread.received(), come);
            }
        }
    }

    #[test]
    fn memory_of_a_stream_with_many_gaps_is_not_kept() {
        let (mut unread, mut spare) = (Unread::default(), Spare::default());
        let give_back_every_other = |unread: &mut Unread, spare: &mut Spare, count: usize| {
            unread.append(vec![0; 2 * count].into(), spare);
            let places: Vec<_> = (0..count)
                .map(|_| {
                    let place = unread.place();
                    let bytes = unread.take(1);
                    unread.take(1);
                    (place, bytes)
                })
                .collect();
            for (place, bytes) in places {
                unread.give_back(place, bytes);
            }
            unread.take(count);
            unread.tidy(spare);
        };
        give_back_every_other(&mut unread, &mut spare, 2);
        assert_eq!(spare.0.len(), 1);
        give_back_every_other(&mut unread, &mut spare, 1000);
        assert_eq!(spare.0.len(), 0);
    }
}
