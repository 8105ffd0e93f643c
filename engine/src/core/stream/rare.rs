//! [`Rare`]: what a stream has only while something unusual is going on, such as its end.

use std::ops::Deref;

use crate::{
    core::{closing::Closing, stream::End},
    handles::claim::PartialTail,
    pure::{error::Error, table::Id},
};

/// What hardly any of many connections has at a time. It is read as if each stream had it, and
/// takes memory from the first time on that something of it is [set](Self::make).
#[derive(Default)]
pub(crate) struct Rare(Option<Box<RareState>>);

/// See [`Rare`].
pub(crate) struct RareState {
    /// What comes after the unread bytes, once it is known.
    pub(crate) end: Option<End>,
    pub(crate) closing: Option<Box<Closing>>,
    /// The error that every later write fails with.
    pub(crate) write_error: Option<Box<Error>>,
    /// An operation has failed with that error, so a close need not report it.
    pub(crate) write_error_reported: bool,
    /// The rest of a write that the system has taken a part of and that has failed then.
    pub(crate) cut: Option<Box<PartialTail>>,
    /// The write at the head was cancelled, or its time is up, after bytes of it were moved to the
    /// outgoing ones: it ends for this cause as soon as no send is in flight.
    pub(crate) aborted: Option<Box<Error>>,
    /// The connect that this socket is an attempt of, until it has succeeded; else none.
    pub(crate) attempt_of: Id,
    /// How many of the writes that wait stand for copies.
    pub(crate) copies: u32,
    /// The first of the reads is a copy that has no room where it goes to, and wants no more bytes.
    pub(crate) copy_lacks_room: bool,
    /// A copy has left the reads, and those that were behind it have yet to have their turn.
    pub(crate) copy_has_left: bool,
}

impl RareState {
    /// Whether bytes cannot come, or not yet.
    #[inline]
    pub(crate) fn bars_reads(&self) -> bool {
        self.end.is_some() || self.closing.is_some() || self.attempt_of != Id::NONE
    }

    /// Whether nothing is written any more.
    #[inline]
    pub(crate) fn bars_writes(&self) -> bool {
        self.closing.is_some() || self.write_error.is_some()
    }

    const NONE: Self = Self {
        end: None,
        closing: None,
        write_error: None,
        write_error_reported: false,
        cut: None,
        aborted: None,
        attempt_of: Id::NONE,
        copies: 0,
        copy_lacks_room: false,
        copy_has_left: false,
    };
}

impl Deref for Rare {
    type Target = RareState;

    #[inline]
    fn deref(&self) -> &RareState {
        const NONE: &RareState = &RareState::NONE;
        self.get().unwrap_or(NONE)
    }
}

impl Rare {
    /// What may have been set. The frequent ways look here, once: most streams have none.
    #[inline]
    pub(crate) fn get(&self) -> Option<&RareState> {
        self.0.as_deref()
    }

    #[inline]
    pub(crate) fn end(&self) -> Option<&End> {
        self.get()?.end.as_ref()
    }

    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.get().is_some_and(|rare| rare.closing.is_some())
    }

    /// To set something of it.
    pub(crate) fn make(&mut self) -> &mut RareState {
        self.0.get_or_insert_with(|| Box::new(RareState::NONE))
    }

    /// To change what may have been set.
    pub(crate) fn get_mut(&mut self) -> Option<&mut RareState> {
        self.0.as_deref_mut()
    }

    pub(crate) fn closing_mut(&mut self) -> Option<&mut Closing> {
        self.get_mut()?.closing.as_deref_mut()
    }

    pub(crate) fn take_closing(&mut self) -> Option<Box<Closing>> {
        self.get_mut()?.closing.take()
    }

    /// The error that an operation fails with now because an earlier write has.
    pub(crate) fn report_write_error(&mut self) -> Option<Error> {
        let rare = self.get_mut()?;
        let error = rare.write_error.as_deref()?.clone();
        rare.write_error_reported = true;
        Some(error)
    }

    pub(crate) fn take_write_error(&mut self) -> Option<Box<Error>> {
        let rare = self.get_mut()?;
        rare.write_error_reported = false;
        rare.write_error.take()
    }

    pub(crate) fn take_cut(&mut self) -> Option<Box<PartialTail>> {
        self.get_mut()?.cut.take()
    }

    pub(crate) fn take_aborted(&mut self) -> Option<Box<Error>> {
        self.get_mut()?.aborted.take()
    }

    /// The socket has become a stream like any other: nothing unusual has happened to it so far.
    pub(crate) fn end_attempt(&mut self) {
        self.0 = None;
    }
}
