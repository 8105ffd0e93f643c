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

    /// A block that was received into. Returned, it may be used again, or lent to the program.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the trap keeps it")]
    pub(super) const fn take_block(&mut self, block: Vec<u8>) -> Option<Vec<u8>> {
        Some(block)
    }

    /// Memory of an operation, whose content was moved out.
    #[expect(clippy::unused_self, reason = "the trap keeps it")]
    pub(super) fn take_place<T>(&mut self, place: Box<std::mem::MaybeUninit<T>>) {
        drop(place);
    }
}
