//! Mutants of the engine: bugs that a test gives it, to see that it would find them.
//!
//! Only with `--cfg facade_mutants`, which is no cargo feature because those unify: a build that
//! tests the engine would change it for everybody else. Without it nothing ever is, and the
//! compiler drops what asks.
#![cfg_attr(not(facade_mutants), expect(unreachable_pub, reason = "public with the cfg"))]

/// The engine with one bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
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
    /// A read that needs no bytes waits for some.
    NothingAwaited,
    /// Every byte that comes begins the time of a read anew.
    DeadlineStretched,
    /// The last stage of a chain that breaks gets nothing.
    StageUnheard,
    /// A flush succeeds before the bytes are out.
    FlushEarly,
    /// A connection that was not taken goes behind the others.
    ConnectionToTheEnd,
    /// After a write that was cut the others get its cause as their own.
    CutUnnamed,
    /// What another thread has submitted and the engine has not seen is taken for something that
    /// has ended.
    UnseenTakenForEnded,
    /// A deadline that comes while a matcher has more to look at ends the read.
    LookCutShort,
    /// Whatever changes something about a stream leaves out one of the steps that follow from it.
    StepLeftOut,
    /// It takes two of them in the wrong order.
    StepsSwapped,
    /// What has been sent of a piece of copies is kept as long as more is written behind it.
    SentKept,
    /// A run that is stopped leaves what was written to the next one.
    StopUnsent,
    /// A stream that others may hold, too, is read ahead and ended as if it were ours alone.
    SharedAsOwn,
    /// A send for which the system has no memory breaks the stream at once.
    ShortageForGood,
    /// Connections are no progress: a deadline is preceded by one more try, however many come of
    /// it.
    CrowdUncounted,
    /// Datagrams that come while their reception stops, because a receive was cancelled, are lost.
    DatagramLost,
    /// A datagram that was not taken goes behind the others.
    DatagramToTheEnd,
    /// Of a datagram that was cut nobody is told that it was.
    DatagramCutUntold,
    /// A repeating operation that has something to hand out does so once more after its cancel.
    OneMoreAfterCancel,
    /// A repeating operation that is paused goes on.
    PauseUnheeded,
    /// A repeating read goes on though too much is unsent.
    RoomUnheeded,
    /// Ticks that come together are told as one.
    TicksUncounted,
    /// A copy that is cancelled forgets what it has copied.
    CopyForgotten,
    /// A copy does not count what is unsent.
    CopyCountedShort,
    /// What a copy has moved to a stream that breaks is lost.
    CopyNotGivenBack,
    /// The end of a way of a copy is not handed on.
    EndNotHandedOn,
}

#[cfg(facade_mutants)]
mod with_the_cfg {
    use std::cell::Cell;

    use super::Mutant;

    impl Mutant {
        /// All of them.
        pub const ALL: [Self; 34] = [
            Self::LateBytesDropped,
            Self::ConnectionSwallowed,
            Self::RescanOffByOne,
            Self::TimerBeforeCompletion,
            Self::ClaimToTheEnd,
            Self::ShortWriteCountedWhole,
            Self::NeighbourCancelled,
            Self::EndBeforeBytes,
            Self::NothingAwaited,
            Self::DeadlineStretched,
            Self::StageUnheard,
            Self::FlushEarly,
            Self::ConnectionToTheEnd,
            Self::CutUnnamed,
            Self::UnseenTakenForEnded,
            Self::LookCutShort,
            Self::StepLeftOut,
            Self::StepsSwapped,
            Self::SentKept,
            Self::StopUnsent,
            Self::SharedAsOwn,
            Self::ShortageForGood,
            Self::CrowdUncounted,
            Self::DatagramLost,
            Self::DatagramToTheEnd,
            Self::DatagramCutUntold,
            Self::OneMoreAfterCancel,
            Self::PauseUnheeded,
            Self::RoomUnheeded,
            Self::TicksUncounted,
            Self::CopyForgotten,
            Self::CopyCountedShort,
            Self::CopyNotGivenBack,
            Self::EndNotHandedOn,
        ];
    }

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
        static STEPS: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// From now on the engines of this thread are this mutant, or none.
    pub fn activate(mutant: Option<Mutant>) {
        ACTIVE.set(mutant);
    }

    pub(crate) fn is_active(mutant: Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }

    /// From now on the matchers of this thread's engines have so many steps for each part of a
    /// turn, so that small tests see scans that go on in later turns. `None` for as many as usual.
    pub fn limit_steps(steps: Option<usize>) {
        STEPS.set(steps);
    }

    pub(crate) fn steps(usual: usize) -> usize {
        STEPS.get().unwrap_or(usual)
    }
}

#[cfg(facade_mutants)]
pub use with_the_cfg::{activate, limit_steps};
#[cfg(facade_mutants)]
pub(crate) use with_the_cfg::{is_active, steps};

#[cfg(not(facade_mutants))]
pub(crate) const fn is_active(_: Mutant) -> bool {
    false
}

#[cfg(not(facade_mutants))]
pub(crate) const fn steps(usual: usize) -> usize {
    usual
}
