//! [`Memory`]: where memory goes that the system has just let go of.
//!
//! With `--cfg facade_quarantine`, `quarantine.rs` takes the place of this file and shows that
//! nobody writes to it any more.

/// Where memory goes that the system has just let go of: straight back.
#[derive(Debug)]
pub(super) struct Memory(());

impl Memory {
    pub(super) const fn new() -> Self {
        Self(())
    }

    /// Memory of an operation, whose content was moved out.
    #[expect(clippy::unused_self, reason = "the trap keeps it")]
    pub(super) fn take_place<T>(&mut self, place: Box<std::mem::MaybeUninit<T>>) {
        drop(place);
    }

    /// Memory that an operation has read into or written from, to be used again.
    #[expect(clippy::unused_self, reason = "the trap keeps it")]
    pub(super) fn take_block(&mut self, block: Vec<u8>) -> Vec<u8> {
        block
    }
}
