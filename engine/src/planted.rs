//! Bugs that a test plants in the engine, to see that it would find them.
//!
//! Only with the feature `planted`. Without it nothing ever is, and the compiler drops what asks.
#![cfg_attr(not(feature = "planted"), expect(unreachable_pub, reason = "public with the feature"))]

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// What a reception brings while it stops is dropped.
    LateBytesDropped,
    /// A connection that comes when nobody waits for one any more is closed.
    ConnectionSwallowed,
    /// A delimiter that was seen in part is looked for one byte too late.
    RescanOffByOne,
    /// A deadline that has come is not preceded by one more try.
    TimerBeforeCompletion,
    /// The bytes of a claim that was dropped go behind the others.
    ClaimToTheEnd,
    /// A send that took a part counts as one that took all.
    ShortWriteCountedWhole,
    /// With a write that is cancelled goes the one behind it.
    NeighbourCancelled,
    /// The end of the stream is told before its last bytes.
    EndBeforeBytes,
    /// Every byte that comes begins the time of a read anew.
    DeadlineStretched,
    /// The last stage of a chain that breaks hears nothing.
    StageUnheard,
    /// A flush succeeds before the bytes are out.
    FlushEarly,
    /// A connection that was not taken goes behind the others.
    ConnectionToTheEnd,
}

#[cfg(feature = "planted")]
mod with_the_feature {
    use std::cell::Cell;

    use super::Bug;

    impl Bug {
        /// All of them.
        pub const ALL: [Self; 12] = [
            Self::LateBytesDropped,
            Self::ConnectionSwallowed,
            Self::RescanOffByOne,
            Self::TimerBeforeCompletion,
            Self::ClaimToTheEnd,
            Self::ShortWriteCountedWhole,
            Self::NeighbourCancelled,
            Self::EndBeforeBytes,
            Self::DeadlineStretched,
            Self::StageUnheard,
            Self::FlushEarly,
            Self::ConnectionToTheEnd,
        ];
    }

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// From now on the engines of this thread have this bug, and no other.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(crate) fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted")]
pub(crate) use with_the_feature::is;
#[cfg(feature = "planted")]
pub use with_the_feature::plant;

#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_: Bug) -> bool {
    false
}
