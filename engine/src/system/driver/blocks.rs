//! [`Blocks`]: the memory that readiness and file reads receive into, used again and again so that
//! it stays in cache, and lent to users where that is cheaper than copying.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use crate::system::fork::Process;

/// How much one read takes at most.
pub(crate) const BLOCK_LEN: usize = 64 << 10;
/// A read that fills at least this part of its block is lent; a smaller one is copied, so that what
/// users keep pins at most so many times its size.
const LENT_PART_MIN: usize = 4;
/// How many free blocks are kept.
const FREE_MAX: usize = 16;

type Free = Mutex<Vec<Vec<u8>>>;

/// Blocks of initialised memory.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    free: Arc<Free>,
}

impl Blocks {
    /// A block of `BLOCK_LEN` bytes.
    pub(crate) fn get(&self) -> Vec<u8> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| vec![0; BLOCK_LEN])
    }

    /// A block of at least `size` bytes: of no more, if that is unusually much.
    pub(crate) fn get_sized(&self, size: usize) -> Vec<u8> {
        if size <= BLOCK_LEN { self.get() } else { vec![0; size] }
    }

    /// The first `len` bytes of such a block, which is put back if nobody has it now.
    pub(crate) fn received_sized(&self, mut block: Vec<u8>, len: usize) -> Bytes {
        if block.len() > BLOCK_LEN {
            if len < block.len() / LENT_PART_MIN {
                return Bytes::copy_from_slice(&block[..len]);
            }
            block.truncate(len);
            return block.into();
        }
        let bytes = self.received(&mut block, len);
        self.put(block);
        bytes
    }

    pub(crate) fn put(&self, block: Vec<u8>) {
        put(&self.free, block);
    }

    /// The first `len` bytes of a block: the block itself, which comes back when the last user has
    /// dropped it, or a copy.
    pub(crate) fn received(&self, block: &mut Vec<u8>, len: usize) -> Bytes {
        if len < BLOCK_LEN / LENT_PART_MIN {
            return Bytes::copy_from_slice(&block[..len]);
        }
        let memory = std::mem::replace(block, self.get());
        let (home, process) = (Arc::downgrade(&self.free), Process::current());
        Bytes::from_owner(Lent { memory, home, process }).slice(..len)
    }
}

fn put(free: &Free, block: Vec<u8>) {
    let mut free = free.lock().unwrap_or_else(PoisonError::into_inner);
    if free.len() < FREE_MAX && block.len() == BLOCK_LEN {
        free.push(block);
    }
}

/// A block in users' hands; goes home when they drop it, on whichever thread.
struct Lent {
    memory: Vec<u8>,
    home: Weak<Free>,
    /// Where home is. In a child of that process it may be locked for ever.
    process: Process,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.process == Process::current()
            && let Some(free) = self.home.upgrade()
        {
            put(&free, std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_block_is_lent_and_comes_home() {
        let blocks = Blocks::default();
        let mut block = blocks.get();
        let first = block.as_ptr();
        let lent = blocks.received(&mut block, BLOCK_LEN / 2);
        assert_eq!(lent.as_ptr(), first);
        assert_ne!(block.as_ptr(), first);
        drop(lent);
        let again = blocks.get();
        assert_eq!(again.as_ptr(), first);
    }

    #[test]
    fn a_small_read_of_a_large_block_does_not_keep_it() {
        let blocks = Blocks::default();
        let block = blocks.get_sized(4 * BLOCK_LEN);
        let large = block.as_ptr();
        assert_ne!(blocks.received_sized(block, 3).as_ptr(), large);
        let block = blocks.get_sized(4 * BLOCK_LEN);
        let large = block.as_ptr();
        assert_eq!(blocks.received_sized(block, 2 * BLOCK_LEN).as_ptr(), large);
    }

    /// In a child whose parent's other thread had locked them when it forked.
    #[test]
    fn a_block_of_another_process_goes_nowhere() {
        let blocks = Blocks::default();
        let (home, process) = (Arc::downgrade(&blocks.free), Process::of_parent());
        let lent = Lent { memory: vec![0; BLOCK_LEN], home, process };
        let locked = blocks.free.lock().unwrap();
        drop(lent);
        assert!(locked.is_empty());
    }

    #[test]
    fn a_small_read_is_copied() {
        let blocks = Blocks::default();
        let mut block = blocks.get();
        let copy = blocks.received(&mut block, 64);
        assert_ne!(copy.as_ptr(), block.as_ptr());
        assert_eq!(copy.len(), 64);
    }
}
