//! [`Memory`], as a trap: a test tool, for `--cfg facade_quarantine`.
//!
//! No tool sees what the system writes to a process's memory for an operation. So here all memory
//! that the system has let go of is filled with a pattern and not used again before [`KEPT`] pieces
//! have followed, and then every byte of it must be as it was: else the system has written to what
//! it said it had let go of, or the driver has taken a packet for that of another operation. What was
//! read into a block is copied out of it, and the block kept as well.

use std::{collections::VecDeque, mem::MaybeUninit};

/// How many pieces are kept.
const KEPT: usize = 4096;
const PATTERN: u8 = 0xA5;

/// The same of blocks, which are larger.
const KEPT_BLOCKS: usize = 256;

/// Where memory goes that the system has just let go of: it is kept, and looked at.
#[derive(Debug)]
pub(super) struct Memory {
    places: VecDeque<Box<[MaybeUninit<u8>]>>,
    blocks: VecDeque<Vec<u8>>,
}

impl Memory {
    pub(super) const fn new() -> Self {
        Self { places: VecDeque::new(), blocks: VecDeque::new() }
    }

    /// Keeps a block that an operation has read into or written from, and returns a copy.
    pub(super) fn take_block(&mut self, mut block: Vec<u8>) -> Vec<u8> {
        let copy = block.clone();
        block.fill(PATTERN);
        self.blocks.push_back(block);
        if self.blocks.len() > KEPT_BLOCKS
            && let Some(first) = self.blocks.pop_front()
        {
            check_bytes(&first);
        }
        copy
    }

    /// Keeps the memory of an operation, whose content was moved out.
    #[expect(unsafe_code, reason = "memory as bytes, which are all written first")]
    pub(super) fn take_place<T>(&mut self, place: Box<MaybeUninit<T>>) {
        let place: *mut MaybeUninit<T> = Box::leak(place);
        // SAFETY: the memory is as long, and nobody's; it is never given back as what it was, but
        // leaked when its time is over.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(place.cast::<MaybeUninit<u8>>(), size_of::<T>())
        };
        bytes.fill(MaybeUninit::new(PATTERN));
        // SAFETY: never dropped, see `check`.
        self.places.push_back(unsafe { Box::from_raw(bytes) });
        if self.places.len() > KEPT
            && let Some(first) = self.places.pop_front()
        {
            check(first);
        }
    }
}

/// Checks that nobody has written to it.
#[expect(unsafe_code, reason = "all of it was written")]
fn check(place: Box<[MaybeUninit<u8>]>) {
    // Leaked: it was allocated as something else.
    let place: &[MaybeUninit<u8>] = Box::leak(place);
    // SAFETY: all of it was written when it was taken.
    check_bytes(unsafe { &*(std::ptr::from_ref(place) as *const [u8]) });
}

fn check_bytes(bytes: &[u8]) {
    let untouched = bytes.iter().all(|byte| *byte == PATTERN);
    assert!(untouched, "memory was written to that the system had let go of");
}

impl Drop for Memory {
    fn drop(&mut self) {
        let places = std::mem::take(&mut self.places);
        if !std::thread::panicking() {
            places.into_iter().for_each(check);
            self.blocks.iter().for_each(|block| check_bytes(block));
        }
    }
}
