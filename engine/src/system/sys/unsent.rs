//! [`Unsent`]: what a thread is to send by calls that wait, and what of it can be had back meanwhile.
//!
//! Where a call can be told to stop, the thread takes all of it in hand, and gives it back when it
//! has. Where none can, the thread writes a copy of a piece, which counts as taken by the system from
//! then on: so the bytes can be had back at once, with a count that stays true, however long the
//! piece waits for somebody to read.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use crate::pure::buffer::outgoing::Gather;

/// What a thread is to send.
#[derive(Debug)]
pub(crate) struct Unsent {
    kept: Mutex<Kept>,
    wanted: AtomicBool,
}

#[derive(Debug)]
struct Kept {
    /// None if the thread has it in hand, or it was had back.
    gather: Option<Box<Gather>>,
    /// How much of it a thread writes a copy of.
    spoken_for: usize,
}

impl Unsent {
    pub(crate) const fn new(gather: Box<Gather>) -> Self {
        let kept = Kept { gather: Some(gather), spoken_for: 0 };
        Self { kept: Mutex::new(kept), wanted: AtomicBool::new(true) }
    }

    /// Whether it is still to be sent.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Relaxed)
    }

    /// For the thread: all of it, which nobody has back meanwhile. None if somebody has.
    pub(crate) fn take(&self) -> Option<Box<Gather>> {
        self.lock().gather.take()
    }

    /// For the thread: a copy of the first bytes, which count as sent from now on. None if somebody
    /// has had it back.
    #[cfg_attr(unix, expect(dead_code, reason = "calls can be told to stop"))]
    pub(crate) fn copy_piece(&self, most: usize) -> Option<Vec<u8>> {
        let mut kept = self.lock();
        let piece = kept.gather.as_ref()?.first_piece(most).to_vec();
        kept.spoken_for = piece.len();
        Some(piece)
    }

    /// Has it back, with how many of its bytes count as sent. None if the thread has it in hand, and
    /// gives it back soon, because it is not wanted any more.
    pub(crate) fn take_back(&self) -> Option<(Box<Gather>, usize)> {
        self.wanted.store(false, Relaxed);
        let mut kept = self.lock();
        kept.gather.take().map(|gather| (gather, kept.spoken_for))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
