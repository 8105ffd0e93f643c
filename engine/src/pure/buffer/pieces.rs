//! [`Pieces`]: bytes in order, in pieces as they came.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// Bytes in order. Those in front are in one piece, which is what matchers look at; the others
/// stand behind it as they came, until somebody wants more in one piece than is in front.
///
/// Large pieces are lent as they are and never copied, unless what is wanted goes over the edge of
/// one. Small ones are copied together. The piece that others are copied to grows by doubling, so
/// that any pieces cost linear time.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// Empty only if there is nothing at all.
    front: Piece,
    /// Most streams never have more than one piece.
    behind: Option<Box<Behind>>,
}

/// At least one piece.
#[derive(Debug, Default)]
struct Behind {
    pieces: VecDeque<Piece>,
    len: usize,
}

#[derive(Debug, Default)]
enum Piece {
    #[default]
    Empty,
    /// A block as it came, or what is left of it; `block` is how long it was then, or very long.
    Whole { bytes: Bytes, block: u32 },
    /// Several, copied together; `block` is how much memory that takes, or very much.
    Grown { bytes: BytesMut, block: u32 },
}

/// A piece of at least this length is kept as it came: copying it would cost more than one piece
/// more. The few bytes that tests of everything send come in pieces, too.
const KEPT_MIN: usize = if cfg!(facade_mutants) { 3 } else { 4096 };
/// A slice of a block that is larger than this...
const SLICE_BLOCK_MAX: usize = 4096;
/// ...must be at least this part of it, or it is copied: what users keep must not pin much more.
const SLICE_PART_MIN: usize = 4;
/// What is left of such a block is copied when it is less than this part: it may stay for long. The
/// part is a small one, because most rests do not.
const REST_PART_MIN: usize = 16;

impl Pieces {
    /// The bytes that are in one piece.
    #[inline]
    pub(crate) fn front(&self) -> &[u8] {
        self.front.as_slice()
    }

    /// Whether the front is all there is.
    #[inline]
    pub(crate) const fn is_one(&self) -> bool {
        self.behind.is_none()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.front.len() + self.behind.as_ref().map_or(0, |behind| behind.len)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.front, Piece::Empty)
    }

    /// Puts bytes behind the others.
    #[inline]
    pub(crate) fn append(&mut self, more: Bytes) {
        debug_assert!(!more.is_empty());
        if self.is_empty() {
            self.front = Piece::whole(more);
        } else {
            self.append_piece(more);
        }
    }

    fn append_piece(&mut self, more: Bytes) {
        let Some(behind) = &mut self.behind else {
            if self.front.absorbs(more.len()) {
                self.front.extend(&more, more.len());
            } else {
                self.behind.get_or_insert_default().push_back(Piece::whole(more));
            }
            return;
        };
        match behind.pieces.back_mut() {
            Some(last) if last.absorbs(more.len()) => {
                last.extend(&more, more.len());
                behind.len += more.len();
            }
            _ => behind.push_back(Piece::whole(more)),
        }
    }

    /// Puts bytes in front of the others.
    pub(crate) fn prepend(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let next = std::mem::replace(&mut self.front, Piece::whole(bytes));
        if next.is_empty() {
            return;
        }
        if self.front.absorbs(next.len()) {
            self.front.extend(next.as_slice(), next.len());
        } else {
            self.behind.get_or_insert_default().push_front(next);
        }
    }

    /// Takes the first `count` bytes, of which there must be as many.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        if self.is_one() {
            return self.front.cut(count);
        }
        self.join(count);
        let taken = self.front.cut(count);
        if self.front.is_empty() {
            self.advance();
        }
        taken
    }

    /// Takes the first `count` bytes and drops `skip` more.
    #[inline]
    pub(crate) fn take_and_skip(&mut self, count: usize, skip: usize) -> Bytes {
        // In the frequent case, a slice of a short block, both steps are one, and what is taken is
        // made where it goes: to move it would take longer than to make it.
        if let Piece::Whole { bytes, block } = &mut self.front
            && count + skip < bytes.len()
            && *block as usize <= SLICE_BLOCK_MAX
        {
            let taken = bytes.slice(..count);
            bytes.advance(count + skip);
            return taken;
        }
        self.take_and_skip_slowly(count, skip)
    }

    #[inline(never)]
    fn take_and_skip_slowly(&mut self, count: usize, skip: usize) -> Bytes {
        let mut taken = self.take(count + skip);
        taken.truncate(count);
        taken
    }

    /// The first `count` bytes, or all if there are fewer; they stay.
    pub(crate) fn peek(&mut self, count: usize) -> Bytes {
        let count = count.min(self.len());
        self.join(count);
        self.front.lend(count)
    }

    pub(crate) fn into_bytes(mut self) -> Bytes {
        self.take(self.len())
    }

    /// Joins the front with the piece behind it, if there is one.
    pub(crate) fn join_next(&mut self) {
        if let Some(next) = self.behind.as_ref().and_then(|behind| behind.pieces.front()) {
            self.join(self.front.len() + next.len());
        }
    }

    /// Makes the front at least `count` bytes long.
    pub(crate) fn join(&mut self, count: usize) {
        let missing = count.saturating_sub(self.front.len());
        if missing == 0 {
            return;
        }
        let behind = self.behind.as_mut().expect("as many bytes as are wanted");
        let mut left = missing;
        while left > 0 {
            let next = behind.pieces.front_mut().expect("as many bytes as are wanted");
            let here = left.min(next.len());
            // The first time makes room for all of them.
            self.front.extend(&next.as_slice()[..here], left);
            next.advance(here);
            if next.is_empty() {
                behind.pieces.pop_front();
            }
            left -= here;
        }
        behind.len -= missing;
        if behind.pieces.is_empty() {
            self.behind = None;
        }
    }

    /// Makes the piece behind the front the front.
    fn advance(&mut self) {
        let Some(behind) = &mut self.behind else { return };
        self.front = behind.pieces.pop_front().unwrap_or_default();
        behind.len -= self.front.len();
        if behind.pieces.is_empty() {
            self.behind = None;
        }
    }
}

impl Behind {
    fn push_back(&mut self, piece: Piece) {
        self.len += piece.len();
        self.pieces.push_back(piece);
    }

    fn push_front(&mut self, piece: Piece) {
        self.len += piece.len();
        self.pieces.push_front(piece);
    }
}

impl Piece {
    fn whole(bytes: Bytes) -> Self {
        let block = in_short(bytes.len());
        Self::Whole { bytes, block }
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Whole { bytes, .. } => bytes,
            Self::Grown { bytes, .. } => bytes,
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// How much memory it keeps from being used for anything else.
    fn block(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Whole { block, .. } | Self::Grown { block, .. } => *block as usize,
        }
    }

    /// Whether so many bytes more are copied behind it, and not kept as a piece of their own.
    fn absorbs(&self, more: usize) -> bool {
        more < KEPT_MIN && (matches!(self, Self::Grown { .. }) || self.len() < KEPT_MIN)
    }

    /// Copies bytes behind it, with room for `room` in all.
    fn extend(&mut self, more: &[u8], room: usize) {
        if !matches!(self, Self::Grown { .. }) {
            let mut bytes = BytesMut::with_capacity(2 * self.len() + room);
            bytes.extend_from_slice(self.as_slice());
            *self = Self::Grown { block: in_short(bytes.capacity()), bytes };
        }
        if let Self::Grown { bytes, block } = self {
            let before = bytes.capacity();
            bytes.extend_from_slice(more);
            if bytes.capacity() > before {
                // They have moved, to the start of this memory or of another.
                *block = in_short(bytes.capacity());
            }
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Empty => assert_eq!(count, 0),
            Self::Whole { bytes, .. } => bytes.advance(count),
            Self::Grown { bytes, .. } => bytes.advance(count),
        }
    }

    /// Takes the first `count` bytes, of which there must be as many.
    fn cut(&mut self, count: usize) -> Bytes {
        let (block, is_all) = (self.block(), count == self.len());
        let taken = match self {
            _ if is_part_below(SLICE_PART_MIN, count, block) => {
                let copy = Bytes::copy_from_slice(&self.as_slice()[..count]);
                self.advance(count);
                copy
            }
            Self::Empty => Bytes::new(),
            Self::Whole { bytes, .. } if is_all => std::mem::take(bytes),
            Self::Whole { bytes, .. } => bytes.split_to(count),
            Self::Grown { bytes, .. } if is_all => std::mem::take(bytes).freeze(),
            Self::Grown { bytes, .. } => bytes.split_to(count).freeze(),
        };
        if is_all {
            *self = Self::Empty;
        } else if is_part_below(REST_PART_MIN, self.len(), block) {
            *self = Self::whole(Bytes::copy_from_slice(self.as_slice()));
        }
        taken
    }

    /// The first `count` bytes, which stay.
    fn lend(&mut self, count: usize) -> Bytes {
        if let Self::Grown { bytes, block } = self {
            *self = Self::Whole { bytes: std::mem::take(bytes).freeze(), block: *block };
        }
        match self {
            Self::Whole { bytes, .. } => bytes.slice(..count),
            _ => Bytes::new(),
        }
    }
}

/// How long a block is, in the room that a piece has for it: more than that is very long.
fn in_short(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Whether so many bytes of a block are copied, because they are not even this part of it.
const fn is_part_below(part: usize, count: usize, block: usize) -> bool {
    block > SLICE_BLOCK_MAX && count < block / part
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Arc};

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Append(Vec<u8>),
        Prepend(Vec<u8>),
        Take(usize),
        TakeAndSkip(usize, usize),
        Peek(usize),
        JoinNext,
    }

    fn step() -> impl Strategy<Value = Step> {
        // Those that are kept and those that are copied, in turn.
        let bytes = || {
            let len = prop_oneof![1..100usize, 4000..4200usize, 1..9000usize];
            len.prop_flat_map(|len| proptest::collection::vec(any::<u8>(), len))
        };
        prop_oneof![
            bytes().prop_map(Step::Append),
            bytes().prop_map(Step::Append),
            bytes().prop_map(Step::Prepend),
            (0..10_000usize).prop_map(Step::Take),
            (0..100usize, 0..3usize).prop_map(|(count, skip)| Step::TakeAndSkip(count, skip)),
            (0..10_000usize).prop_map(Step::Peek),
            Just(Step::JoinNext),
        ]
    }

    proptest! {
        #[test]
        fn is_a_queue_of_bytes(steps in proptest::collection::vec(step(), 0..40)) {
            let (mut pieces, mut model) = (Pieces::default(), VecDeque::new());
            for step in steps {
                match step {
                    Step::Append(bytes) => {
                        model.extend(&bytes);
                        pieces.append(bytes.into());
                    }
                    Step::Prepend(bytes) => {
                        bytes.iter().rev().for_each(|&byte| model.push_front(byte));
                        pieces.prepend(bytes.into());
                    }
                    Step::Take(count) => {
                        let count = count.min(model.len());
                        let expected: Vec<_> = model.drain(..count).collect();
                        prop_assert_eq!(pieces.take(count), expected);
                    }
                    Step::TakeAndSkip(count, skip) => {
                        if count + skip <= model.len() {
                            let expected: Vec<_> = model.drain(..count + skip).collect();
                            prop_assert_eq!(pieces.take_and_skip(count, skip), &expected[..count]);
                        }
                    }
                    Step::Peek(count) => {
                        let expected: Vec<_> = model.iter().copied().take(count).collect();
                        prop_assert_eq!(pieces.peek(count), expected);
                    }
                    Step::JoinNext => {
                        let before = pieces.front().len();
                        let is_one = pieces.is_one();
                        pieces.join_next();
                        prop_assert_eq!(pieces.front().len() == before, is_one);
                    }
                }
                prop_assert_eq!(pieces.len(), model.len());
                prop_assert_eq!(pieces.is_empty(), model.is_empty());
                prop_assert_eq!(pieces.front().is_empty(), model.is_empty());
                prop_assert!(pieces.front().iter().eq(model.iter().take(pieces.front().len())));
                prop_assert_eq!(pieces.is_one(), pieces.front().len() == model.len());
            }
            let left: Vec<_> = model.into_iter().collect();
            prop_assert_eq!(pieces.into_bytes(), left);
        }
    }

    #[test]
    fn large_pieces_are_lent_as_they_came() {
        let blocks = [1, 2, 3].map(|byte| Bytes::from(vec![byte; KEPT_MIN]));
        let mut pieces = Pieces::default();
        blocks.iter().for_each(|block| pieces.append(block.clone()));
        assert_eq!(pieces.len(), 3 * KEPT_MIN);
        for block in &blocks {
            assert_eq!(pieces.front(), block);
            assert_eq!(pieces.take(KEPT_MIN).as_ptr(), block.as_ptr());
        }
        assert!(pieces.is_empty());
    }

    #[test]
    fn what_goes_over_the_edge_of_a_piece_leaves_the_rest_as_it_came() {
        let blocks = [1, 2].map(|byte| Bytes::from(vec![byte; 2 * KEPT_MIN]));
        let mut pieces = Pieces::default();
        blocks.iter().for_each(|block| pieces.append(block.clone()));
        drop(pieces.take(2 * KEPT_MIN - 1));
        assert_eq!(pieces.take(2), [1, 2].as_slice());
        let rest = pieces.take(2 * KEPT_MIN - 1);
        assert_eq!(rest.as_ptr(), blocks[1][1..].as_ptr());
    }

    #[test]
    fn small_pieces_are_copied_together() {
        let mut pieces = Pieces::default();
        (0..3).for_each(|_| pieces.append(Bytes::from(vec![0; KEPT_MIN])));
        (0..100).for_each(|_| pieces.append(Bytes::from(vec![0; KEPT_MIN - 1])));
        assert_eq!(pieces.behind.as_ref().map(|behind| behind.pieces.len()), Some(3));
    }

    #[test]
    fn a_small_slice_does_not_pin_a_large_block() {
        let takes: [fn(&mut Pieces) -> Bytes; 2] =
            [|pieces| pieces.take(64), |pieces| pieces.take_and_skip(62, 2)];
        for take in takes {
            let mut pieces = Pieces::default();
            let block = Bytes::from(vec![7; 64 << 10]);
            let start = block.as_ptr();
            pieces.append(block);
            assert_ne!(take(&mut pieces).as_ptr(), start, "copied");
            assert_eq!(pieces.take(32 << 10).as_ptr(), start.wrapping_add(64), "lent");
        }
    }

    /// A block that says when nobody has it any more.
    struct Block(Arc<()>, Vec<u8>);

    impl AsRef<[u8]> for Block {
        fn as_ref(&self) -> &[u8] {
            let _ = &self.0;
            &self.1
        }
    }

    #[test]
    fn a_small_rest_does_not_pin_a_large_block() {
        for (taken, left) in [((64 << 10) - 10, 10), ((64 << 10) - 10, 0), (40 << 10, 20 << 10)] {
            let users = Arc::new(());
            let mut pieces = Pieces::default();
            let block = Block(Arc::clone(&users), vec![7; 64 << 10]);
            pieces.append(Bytes::from_owner(block));
            drop(pieces.take(taken));
            let rest = pieces.take(pieces.len() - left);
            assert_eq!(rest.len(), (64 << 10) - taken - left);
            drop(rest);
            let is_large = left > 4096;
            assert_eq!(Arc::strong_count(&users) == 2, is_large, "{left} bytes of the block");
            assert_eq!(pieces.take(left), vec![7; left]);
        }
    }

    #[test]
    fn a_small_end_of_a_large_block_does_not_pin_it_where_users_keep_it() {
        let users = Arc::new(());
        let mut pieces = Pieces::default();
        pieces.append(Bytes::from_owner(Block(Arc::clone(&users), vec![7; 64 << 10])));
        drop(pieces.take(60 << 10));
        let end = pieces.take(4 << 10);
        assert_eq!(Arc::strong_count(&users), 1, "{} bytes", end.len());
    }

    #[test]
    fn a_small_slice_does_not_pin_what_was_copied_together() {
        let mut pieces = Pieces::default();
        (0..30).for_each(|_| pieces.append(vec![7; 1000].into()));
        assert!(matches!(pieces.front, Piece::Grown { block: 30_000.., .. }), "copied together");
        drop(pieces.take(27_000));
        let start = pieces.front().as_ptr();
        assert_ne!(pieces.take(100).as_ptr(), start, "copied");
    }
}
