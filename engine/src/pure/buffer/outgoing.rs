//! [`Outgoing`]: the bytes that a stream has accepted and the system has not taken.

use std::{collections::VecDeque, io::IoSlice, mem};

use bytes::{Buf, Bytes};

use crate::pure::{
    mutants::{self, Mutant},
    panics::Each,
};

/// Shorter writes are copied together, longer ones are kept as they are: below this, copying costs
/// less than another piece in a gathered send.
pub(crate) const COPY_MAX: usize = 2048;

/// How much small writes are copied together before a new piece begins, so that what is sent is let
/// go of although more and more is written behind it.
const COPIES_MAX: usize = 64 << 10;

/// A piece of outgoing bytes.
#[derive(Debug, Default)]
pub(crate) enum Segment {
    #[default]
    Empty,
    /// Small writes, copied together; the first `sent` bytes are gone.
    Copied { bytes: Vec<u8>, sent: usize },
    /// One write's own memory.
    Shared(Bytes),
}

impl Segment {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Copied { bytes, sent } => &bytes[*sent..],
            Self::Shared(bytes) => bytes,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Empty => assert_eq!(count, 0),
            Self::Copied { sent, .. } => *sent += count,
            Self::Shared(bytes) => bytes.advance(count),
        }
    }

    /// Whether copies of so many bytes more go into this piece. Where its memory is at an end, what
    /// has been sent of it goes first: else a reader that always leaves something would have all
    /// that was ever written kept. It is at least half of the piece then, so that moving the rest
    /// costs less than sending did.
    #[inline]
    fn absorbs(&mut self, more: usize) -> bool {
        match self {
            Self::Copied { bytes, .. } if bytes.len() + more <= bytes.capacity() => true,
            _ => self.absorbs_in_more_memory(more),
        }
    }

    fn absorbs_in_more_memory(&mut self, more: usize) -> bool {
        let Self::Copied { bytes, sent } = self else { return false };
        let kept = mutants::is_active(Mutant::SentKept);
        if *sent >= bytes.len() - *sent && !kept {
            bytes.drain(..mem::take(sent));
        }
        let absorbs = kept || bytes.len() + more <= COPIES_MAX.max(bytes.capacity());
        let grows = absorbs && bytes.len() + more > bytes.capacity();
        debug_assert!(!grows || *sent <= bytes.len() / 2, "memory grows for what has been sent");
        absorbs
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Self::Empty => {}
            Self::Copied { bytes, sent } => bytes.truncate(*sent + len),
            Self::Shared(bytes) => bytes.truncate(len),
        }
    }
}

/// Pieces handed to the driver as one send, and back when it has ended.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    first: Segment,
    /// Empty, and without memory of its own, for most sends.
    more: Vec<Segment>,
    len: usize,
}

impl Gather {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The bytes, if they are in one piece.
    pub(crate) fn single(&self) -> Option<&[u8]> {
        self.more.is_empty().then(|| self.first.as_slice())
    }

    /// The first bytes, as many as are in one piece, and not more than `most`.
    pub(crate) fn first_piece(&self, most: usize) -> &[u8] {
        let bytes = self.first.as_slice();
        &bytes[..bytes.len().min(most)]
    }

    /// The pieces for a vectored write, as many as the system takes at once.
    pub(crate) fn slices(&self) -> Vec<IoSlice<'_>> {
        const IOV_MAX: usize = 1024;
        let pieces = std::iter::once(&self.first).chain(&self.more).take(IOV_MAX);
        pieces.map(|piece| IoSlice::new(piece.as_slice())).collect()
    }

    /// Drops all of it.
    pub(crate) fn clear(&mut self, drops: &mut Vec<Bytes>) {
        self.len = 0;
        for piece in std::iter::once(mem::take(&mut self.first)).chain(self.more.drain(..)) {
            if let Segment::Shared(bytes) = piece {
                drops.push(bytes);
            }
        }
    }

    /// The same bytes without the first `count`.
    pub(crate) fn advance(&mut self, mut count: usize) {
        self.len -= count;
        for piece in std::iter::once(&mut self.first).chain(&mut self.more) {
            let here = count.min(piece.len());
            piece.advance(here);
            count -= here;
            if count == 0 {
                break;
            }
        }
    }
}

/// One that a driver goes with: what users own of it is dropped piece by piece.
impl Drop for Gather {
    fn drop(&mut self) {
        let mut drops = Vec::new();
        self.clear(&mut drops);
        drop(Each::from(drops));
    }
}

/// Memory of what has been sent, for what is next.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    copies: Vec<Vec<u8>>,
    #[expect(clippy::vec_box, reason = "the boxes themselves are used again")]
    segments: Vec<Box<Segments>>,
    /// In boxes, because a gather goes a long way down to the driver and back.
    #[expect(clippy::vec_box, reason = "the boxes themselves are used again")]
    gathers: Vec<Box<Gather>>,
}

/// How much of each is kept...
const SPARES_MAX: usize = 64;
/// ...unless it is large.
const SPARE_CAPACITY_MAX: usize = 64 << 10;

impl Spare {
    /// Keeps the memory of a piece of copies.
    #[inline]
    fn keep(&mut self, piece: Segment) {
        if let Segment::Copied { mut bytes, .. } = piece
            && self.copies.len() < SPARES_MAX
            && bytes.capacity() <= SPARE_CAPACITY_MAX
        {
            bytes.clear();
            self.copies.push(bytes);
        }
    }

    /// Keeps the memory of an [`Outgoing`] that has no bytes.
    #[inline]
    fn keep_segments(&mut self, mut segments: Box<Segments>, drops: &mut Vec<Bytes>) {
        match &mut segments.last {
            Segment::Copied { bytes, sent } if bytes.capacity() <= SPARE_CAPACITY_MAX => {
                bytes.clear();
                *sent = 0;
            }
            last => retire(mem::take(last), self, drops),
        }
        if self.segments.len() < SPARES_MAX && segments.queue.capacity() <= SPARES_MAX {
            self.segments.push(segments);
        }
    }
}

/// Bytes on their way out, in order. Writes are appended; a send takes a [`Gather`] from the front
/// and [`settle`](Self::settle) tells how much of it the system took.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// None if there are no bytes, so that an idle stream has none: the memory goes from stream to
    /// stream.
    segments: Option<Box<Segments>>,
}

#[derive(Debug, Default)]
struct Segments {
    /// All but the last piece; most streams never have any.
    queue: VecDeque<Segment>,
    /// The last piece, which small writes are copied behind.
    last: Segment,
    queued: usize,
    in_flight: usize,
}

/// As of a [`Gather`].
impl Drop for Outgoing {
    fn drop(&mut self) {
        let mut drops = Vec::new();
        self.clear(&mut drops);
        drop(Each::from(drops));
    }
}

impl Outgoing {
    /// All bytes that the system has not taken.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.segments.as_ref().map_or(0, |segments| segments.queued + segments.in_flight)
    }

    /// Those that no send in flight carries.
    #[inline]
    pub(crate) fn queued(&self) -> usize {
        self.segments.as_ref().map_or(0, |segments| segments.queued)
    }

    /// Appends a write: copied if it is small, into memory of `spare` where a new piece is needed.
    /// Returns the write's own memory if it is no longer needed, for the caller to drop.
    pub(crate) fn append(&mut self, bytes: Bytes, spare: &mut Spare) -> Option<Bytes> {
        if bytes.len() <= COPY_MAX {
            self.append_slice(&bytes, spare);
            return Some(bytes);
        }
        let segments = self.segments(spare);
        segments.queued += bytes.len();
        segments.retire_last(spare);
        segments.last = Segment::Shared(bytes);
        None
    }

    /// Appends copies of two short slices.
    #[inline]
    pub(crate) fn append_slices(&mut self, one: &[u8], two: &[u8], spare: &mut Spare) {
        let segments = self.segments(spare);
        let is_last_all = segments.queue.is_empty();
        let absorbs = segments.last.absorbs(one.len() + two.len());
        match &mut segments.last {
            Segment::Copied { bytes, .. } if absorbs => {
                bytes.extend_from_slice(one);
                bytes.extend_from_slice(two);
            }
            Segment::Empty if is_last_all => {
                let mut bytes = spare.copies.pop().unwrap_or_default();
                bytes.extend_from_slice(one);
                bytes.extend_from_slice(two);
                segments.last = Segment::Copied { bytes, sent: 0 };
            }
            _ => {
                self.append_slice(one, spare);
                return self.append_slice(two, spare);
            }
        }
        segments.queued += one.len() + two.len();
    }

    /// Appends a copy of a few bytes.
    pub(crate) fn append_slice(&mut self, slice: &[u8], spare: &mut Spare) {
        let segments = self.segments(spare);
        let absorbs = segments.last.absorbs(slice.len());
        segments.queued += slice.len();
        if absorbs && let Segment::Copied { bytes, .. } = &mut segments.last {
            bytes.extend_from_slice(slice);
            return;
        }
        segments.retire_last(spare);
        let mut bytes = spare.copies.pop().unwrap_or_default();
        bytes.extend_from_slice(slice);
        segments.last = Segment::Copied { bytes, sent: 0 };
    }

    /// Hands out about `max` bytes from the front as one send.
    pub(crate) fn take(&mut self, max: usize, spare: &mut Spare) -> Box<Gather> {
        let mut gather = spare.gathers.pop().unwrap_or_default();
        let Some(segments) = &mut self.segments else { return gather };
        if segments.queue.is_empty() && segments.queued <= max {
            gather.len = mem::take(&mut segments.queued);
            gather.first = mem::take(&mut segments.last);
            segments.in_flight += gather.len;
            return gather;
        }
        while gather.len < max {
            let first = segments.queue.pop_front();
            let mut piece = first.unwrap_or_else(|| mem::take(&mut segments.last));
            if piece.len() == 0 {
                break;
            }
            if let Segment::Shared(bytes) = &mut piece
                && gather.len + bytes.len() > max
            {
                let rest = bytes.split_off(max - gather.len);
                segments.queue.push_front(Segment::Shared(rest));
            }
            gather.len += piece.len();
            if gather.first.len() == 0 {
                gather.first = piece;
            } else {
                gather.more.push(piece);
            }
        }
        segments.queued -= gather.len;
        segments.in_flight += gather.len;
        gather
    }

    /// Ends a send: the system took `count` bytes of it, the rest goes back to the front. Memory of
    /// copies goes to `spare`; what users own is returned for the caller to drop.
    pub(crate) fn settle(
        &mut self,
        mut gather: Box<Gather>,
        count: usize,
        spare: &mut Spare,
        drops: &mut Vec<Bytes>,
    ) {
        let segments = self.segments(spare);
        segments.in_flight -= gather.len;
        gather.advance(count);
        segments.queued += gather.len;
        while let Some(piece) = gather.more.pop() {
            segments.put_back(piece, spare, drops);
        }
        segments.put_back(mem::take(&mut gather.first), spare, drops);
        self.tidy(spare, drops);
        gather.len = 0;
        if spare.gathers.len() < SPARES_MAX {
            spare.gathers.push(gather);
        }
    }

    /// All there is, if it is in one piece and no send carries a part of it.
    #[inline]
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        let segments = self.segments.as_ref()?;
        (segments.queue.is_empty() && segments.in_flight == 0).then(|| segments.last.as_slice())
    }

    /// The system has taken the [`whole`](Self::whole).
    #[inline]
    pub(crate) fn settle_whole(&mut self, spare: &mut Spare, drops: &mut Vec<Bytes>) {
        if let Some(segments) = &mut self.segments {
            segments.queued = 0;
        }
        self.tidy(spare, drops);
    }

    /// Takes the last `count` queued bytes out again: the rest of a write that was cut.
    pub(crate) fn cut(
        &mut self,
        mut count: usize,
        spare: &mut Spare,
        drops: &mut Vec<Bytes>,
    ) -> Bytes {
        let segments = self.segments(spare);
        assert!(count <= segments.queued);
        segments.queued -= count;
        let mut rest = Vec::new();
        while count > 0 {
            let here = count.min(segments.last.len());
            let keep = segments.last.len() - here;
            rest.push(match &segments.last {
                Segment::Shared(bytes) => bytes.slice(keep..),
                piece => Bytes::copy_from_slice(&piece.as_slice()[keep..]),
            });
            segments.last.truncate(keep);
            count -= here;
            if keep == 0 {
                let last = segments.queue.pop_back().unwrap_or_default();
                spare.keep(mem::replace(&mut segments.last, last));
            }
        }
        self.tidy(spare, drops);
        rest.reverse();
        match rest.len() {
            1 => rest.remove(0),
            _ => {
                let all = rest.concat().into();
                drops.append(&mut rest);
                all
            }
        }
    }

    /// Drops all that is queued.
    pub(crate) fn clear(&mut self, drops: &mut Vec<Bytes>) {
        let Some(segments) = &mut self.segments else { return };
        segments.queued = 0;
        for piece in segments.queue.drain(..).chain([mem::take(&mut segments.last)]) {
            if let Segment::Shared(bytes) = piece {
                drops.push(bytes);
            }
        }
        if segments.in_flight == 0 {
            self.segments = None;
        }
    }

    #[inline]
    fn segments(&mut self, spare: &mut Spare) -> &mut Segments {
        self.segments.get_or_insert_with(|| spare.segments.pop().unwrap_or_default())
    }

    /// Lets go of the memory, if no bytes are left.
    #[inline]
    fn tidy(&mut self, spare: &mut Spare, drops: &mut Vec<Bytes>) {
        if self.len() == 0
            && let Some(segments) = self.segments.take()
        {
            spare.keep_segments(segments, drops);
        }
    }
}

impl Segments {
    /// Puts the last piece behind the others, to make room for another.
    fn retire_last(&mut self, spare: &mut Spare) {
        let last = mem::take(&mut self.last);
        match last.len() {
            0 => spare.keep(last),
            _ => self.queue.push_back(last),
        }
    }

    /// Puts what is left of a piece that was sent in front of the others.
    fn put_back(&mut self, piece: Segment, spare: &mut Spare, drops: &mut Vec<Bytes>) {
        match piece.len() {
            0 => retire(piece, spare, drops),
            _ if self.queue.is_empty() && self.last.len() == 0 => {
                spare.keep(mem::replace(&mut self.last, piece));
            }
            _ => self.queue.push_front(piece),
        }
    }
}

/// Puts the memory of a piece that has been sent where it belongs.
#[inline]
fn retire(piece: Segment, spare: &mut Spare, drops: &mut Vec<Bytes>) {
    match piece {
        Segment::Shared(bytes) => drops.push(bytes),
        piece => spare.keep(piece),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        panic::resume_unwind,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Append(usize),
        Send { max: usize, taken: usize },
        Cut(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..5000usize).prop_map(Step::Append),
            (1..9000usize, 0..9000usize).prop_map(|(max, taken)| Step::Send { max, taken }),
            (0..6000usize).prop_map(Step::Cut),
        ]
    }

    fn bytes_of(gather: &Gather) -> Vec<u8> {
        gather.slices().iter().flat_map(|slice| slice.to_vec()).collect()
    }

    proptest! {
        #[test]
        fn is_a_queue_of_bytes(steps in proptest::collection::vec(step(), 0..40)) {
            let mut outgoing = Outgoing::default();
            let (mut spare, mut drops) = (Spare::default(), Vec::new());
            let (mut model, mut next) = (VecDeque::new(), 0u8);
            for step in steps {
                match step {
                    Step::Append(len) => {
                        let mut byte = |_| {
                            next = next.wrapping_add(31);
                            next
                        };
                        let bytes: Vec<u8> = (0..len).map(&mut byte).collect();
                        model.extend(&bytes);
                        outgoing.append(bytes.into(), &mut spare);
                    }
                    Step::Send { max, taken } => {
                        let gather = outgoing.take(max, &mut spare);
                        prop_assert!(gather.len() <= max.max(COPY_MAX * 40));
                        let sent = bytes_of(&gather);
                        prop_assert_eq!(sent.len(), gather.len());
                        prop_assert!(sent.iter().eq(model.iter().take(sent.len())));
                        prop_assert_eq!(outgoing.len(), model.len());
                        let taken = taken.min(gather.len());
                        outgoing.settle(gather, taken, &mut spare, &mut drops);
                        model.drain(..taken);
                    }
                    Step::Cut(count) => {
                        let count = count.min(outgoing.queued());
                        let rest = outgoing.cut(count, &mut spare, &mut drops);
                        let expected = model.split_off(model.len() - count);
                        prop_assert!(rest.iter().eq(&expected));
                    }
                }
                prop_assert_eq!(outgoing.len(), model.len());
            }
        }
    }

    impl Outgoing {
        /// How much memory copies take.
        fn held(&self) -> usize {
            let Some(segments) = &self.segments else { return 0 };
            let held = |piece: &Segment| match piece {
                Segment::Copied { bytes, .. } => bytes.capacity(),
                _ => 0,
            };
            segments.queue.iter().chain([&segments.last]).map(held).sum()
        }
    }

    /// As with a pipe whose reader is slower than the program: there is always something left.
    #[test]
    fn what_was_sent_of_a_piece_is_let_go_of_while_more_is_written_behind_it() {
        let cases =
            [(100, 10, 40), (5000, 100, 4096), (60_000, 1000, 4096), (200_000, 2000, 60_000)];
        for ((unsent, write, taken), more) in
            cases.into_iter().flat_map(|c| [(c, false), (c, true)])
        {
            let (mut outgoing, mut spare) = (Outgoing::default(), Spare::default());
            let mut most = 0;
            for _ in 0..2000 {
                while outgoing.len() < unsent {
                    outgoing.append(vec![1; write].into(), &mut spare);
                }
                let gather = outgoing.take(256 << 10, &mut spare);
                if more {
                    // Meanwhile, so that it goes into a piece of its own.
                    outgoing.append_slices(&[2; 9], b"\n", &mut spare);
                }
                let taken = taken.min(gather.len() - 1);
                outgoing.settle(gather, taken, &mut spare, &mut Vec::new());
                most = most.max(outgoing.held());
            }
            assert!(most <= 4 * (unsent + write), "{most} bytes for {unsent} unsent");
        }
    }

    #[test]
    fn what_is_kept_for_later_is_bounded() {
        let (mut outgoing, mut spare) = (Outgoing::default(), Spare::default());
        for _ in 0..1000 {
            let mut others: Vec<_> = (0..100).map(|_| Outgoing::default()).collect();
            others.iter_mut().for_each(|other| other.append_slice(&[1; 100], &mut spare));
            others.iter_mut().for_each(|other| {
                drop(other.cut(100, &mut spare, &mut Vec::new()));
            });
            outgoing.append_slice(&[1; 100], &mut spare);
        }
        assert!(spare.copies.len() <= SPARES_MAX && spare.segments.len() <= SPARES_MAX);
    }

    #[test]
    fn a_send_is_as_long_as_asked_for_however_long_the_writes_are() {
        let (mut outgoing, mut spare) = (Outgoing::default(), Spare::default());
        outgoing.append(vec![1; 1 << 20].into(), &mut spare);
        for max in [1, 3000, 100_000] {
            assert_eq!(outgoing.take(max, &mut spare).len(), max);
        }
    }

    /// Copies are sent by the piece, and a piece's memory may have doubled when it was nearly full.
    #[test]
    fn a_send_of_small_writes_is_little_longer_than_asked_for_however_many_there_are() {
        let (mut outgoing, mut spare) = (Outgoing::default(), Spare::default());
        while outgoing.len() < 1 << 20 {
            outgoing.append(vec![1; 1000].into(), &mut spare);
        }
        for max in [1, 3000, 100_000] {
            let len = outgoing.take(max, &mut spare).len();
            assert!(len >= max && len <= max + 2 * COPIES_MAX, "{len} bytes for {max}");
        }
    }

    #[test]
    fn what_users_own_is_dropped_piece_by_piece_and_no_panic_gets_out() {
        static DROPPED: AtomicUsize = AtomicUsize::new(0);
        struct Bomb;
        impl AsRef<[u8]> for Bomb {
            fn as_ref(&self) -> &[u8] {
                &[0; 5000]
            }
        }
        impl Drop for Bomb {
            fn drop(&mut self) {
                DROPPED.fetch_add(1, Relaxed);
                resume_unwind(Box::new("a bomb"));
            }
        }
        let (mut outgoing, mut spare) = (Outgoing::default(), Spare::default());
        for _ in 0..5 {
            assert!(outgoing.append(Bytes::from_owner(Bomb), &mut spare).is_none());
        }
        let gather = outgoing.take(10_000, &mut spare);
        assert_eq!((gather.len(), outgoing.queued()), (10_000, 15_000));
        drop(gather);
        assert_eq!(DROPPED.load(Relaxed), 2);
        drop(outgoing);
        assert_eq!(DROPPED.load(Relaxed), 5);
    }

    #[test]
    fn small_writes_leave_as_one_piece() {
        let (mut outgoing, mut spare) = (Outgoing::default(), Spare::default());
        for _ in 0..16 {
            outgoing.append(Bytes::from_static(b"line"), &mut spare);
            outgoing.append_slice(b"\r\n", &mut spare);
        }
        assert_eq!(outgoing.take(1 << 18, &mut spare).single().map(<[u8]>::len), Some(16 * 6));
    }
}
