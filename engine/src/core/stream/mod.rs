//! [`StreamState`]: one stream as the engine keeps it.

pub(crate) mod cursor;
pub(crate) mod head_read;
pub(crate) mod read;
pub(crate) mod setback;
pub(crate) mod write;

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    core::{
        Core,
        closing::Closing,
        resource::{Phase, Resource},
        stream::head_read::HeadRead,
    },
    handles::{
        claim::PartialTail,
        stream::{LineEnd, Stream},
    },
    pure::{
        address::Address,
        buffer::{outgoing::Outgoing, unread::Unread},
        error::{Error, IoOperation, SystemError},
        limits::Limits,
        list::List,
        mutants::{self, Mutant},
        table::Id,
    },
    system::{
        descriptor::{Descriptor, Tenure},
        driver::{Driver, Role},
        fd_kind::FdKind,
    },
};

/// One stream. What is read and what is written are independent, but for a file.
pub(crate) struct StreamState {
    pub(crate) fd_kind: FdKind,
    /// Whether others may hold it, too.
    pub(crate) tenure: Tenure,
    pub(crate) settings: Arc<Settings>,
    pub(crate) line_end: LineEnd,

    pub(crate) unread: Unread,
    /// What comes after the unread bytes, once it is known.
    pub(crate) end: Option<End>,
    pub(crate) reception: Phase,
    /// The first read without an outcome, if it is of the frequent kind...
    pub(crate) head_read: Option<HeadRead>,
    /// ...and the others, in order.
    pub(crate) reads: List,
    /// How many claims on its bytes wait to be delivered. Until then the reads behind them are not
    /// served, because the bytes may be put back in front of them.
    pub(crate) claims: u32,
    /// How many head reads there have been.
    pub(crate) head_reads: u32,
    /// The round in which the last success of a read was queued for its callback...
    pub(crate) read_reported: u32,
    /// ...and of a write.
    pub(crate) write_reported: u32,
    /// The head of the reads is a user's matcher, and is queued to look at the bytes.
    pub(crate) scanning: bool,
    /// Its matcher has more to look at than there were steps for, and stands in line for the next turn.
    pub(crate) in_line: bool,

    pub(crate) outgoing: Outgoing,
    pub(crate) sending: Phase,
    /// Of the outgoing bytes, those of writes that have succeeded. The rest, behind them, are of
    /// the write at the head of `writes`.
    pub(crate) committed: usize,
    /// Writes, flushes and a shutdown without an outcome, in order.
    pub(crate) writes: List,
    /// How many bytes of those are not among the outgoing ones yet.
    pub(crate) queued: usize,
    /// What every later write hears.
    pub(crate) write_error: Option<Box<Error>>,
    /// Somebody has heard it, so a close need not tell it.
    pub(crate) write_error_reported: bool,
    /// The rest of a cut write.
    pub(crate) cut: Option<Box<PartialTail>>,
    /// The write at the head is to end for this cause once the send in flight has come back.
    pub(crate) aborted: Option<Box<Error>>,
    pub(crate) shutdown: Shutdown,

    pub(crate) closing: Option<Box<Closing>>,
    /// The last clone is gone.
    pub(crate) released: bool,
    /// In the list of streams to send at the end of the turn.
    pub(crate) dirty: bool,
    /// In the list of streams whose reception may have to be stopped then.
    pub(crate) above_read_ahead: bool,
    /// Counted among the unsettled resources.
    pub(crate) unsettled: bool,
    /// A send was refused, and more is to be done about it.
    pub(crate) set_back: bool,
    /// This is an attempt to connect, for the operation with this id.
    pub(crate) attempt_of: Id,
}

/// What few streams have of their own, and the others share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    /// Whom it was connected to: of a connection that has failed the system tells no more.
    pub(crate) peer: Option<Address>,
}

/// What comes after a stream's last byte.
#[derive(Debug, Clone)]
#[expect(clippy::enum_variant_names, reason = "that one is called as its error is")]
pub(crate) enum End {
    EndOfStream,
    Failed(SystemError),
    /// It has not ended, but what was written to it is lost: nothing more comes of it.
    Broken(SystemError),
}

impl End {
    pub(crate) fn error(&self) -> Error {
        match self {
            Self::EndOfStream => Error::EndOfStream,
            Self::Failed(cause) => Error::Io { operation: IoOperation::Read, cause: cause.clone() },
            Self::Broken(cause) => {
                Error::Io { operation: IoOperation::Write, cause: cause.clone() }
            }
        }
    }
}

/// The outgoing direction's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shutdown {
    No,
    /// Asked for, so later writes hear `Closed`.
    Requested,
    /// Handed to the driver.
    Running,
    Done,
}

impl StreamState {
    fn new(fd_kind: FdKind, tenure: Tenure, settings: Arc<Settings>) -> Self {
        Self {
            fd_kind,
            tenure,
            settings,
            line_end: if fd_kind.is_socket() { LineEnd::CrLf } else { LineEnd::Lf },
            unread: Unread::default(),
            end: None,
            reception: Phase::Idle,
            head_read: None,
            reads: List::EMPTY,
            claims: 0,
            head_reads: 0,
            read_reported: 0,
            write_reported: 0,
            scanning: false,
            in_line: false,
            outgoing: Outgoing::default(),
            sending: Phase::Idle,
            committed: 0,
            writes: List::EMPTY,
            queued: 0,
            write_error: None,
            write_error_reported: false,
            cut: None,
            aborted: None,
            shutdown: Shutdown::No,
            closing: None,
            released: false,
            dirty: false,
            above_read_ahead: false,
            unsettled: false,
            set_back: false,
            attempt_of: Id::NONE,
        }
    }

    /// Whether the peer has not ended what it sends, as far as is known.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.end, None | Some(End::Broken(_)))
    }
}

impl Core {
    /// Makes a descriptor a stream, without a `Stream` for the user yet.
    pub(crate) fn insert_stream(
        &mut self,
        descriptor: Arc<Descriptor>,
        fd_kind: FdKind,
        tenure: Tenure,
    ) -> Id {
        if tenure != Tenure::Own {
            descriptor.touch();
        }
        let state = StreamState::new(fd_kind, tenure, Arc::clone(&self.settings));
        let id = self.resources.insert(Resource::Stream(state));
        self.driver.attach(id, descriptor, fd_kind);
        id
    }

    /// Makes a descriptor a stream of the user's.
    pub(crate) fn make_stream(
        &mut self,
        descriptor: Arc<Descriptor>,
        fd_kind: FdKind,
        tenure: Tenure,
    ) -> Stream {
        let id = self.insert_stream(Arc::clone(&descriptor), fd_kind, tenure);
        self.name_stream(id, descriptor, fd_kind)
    }

    /// Gives the user a `Stream` for a stream that has none.
    pub(crate) fn name_stream(
        &mut self,
        id: Id,
        descriptor: Arc<Descriptor>,
        fd_kind: FdKind,
    ) -> Stream {
        Stream::new(self.handle(), descriptor, fd_kind, id)
    }

    /// Takes in a stream that was attached, with what its first reads find.
    pub(crate) fn adopt(&mut self, stream: &Stream, tenure: Tenure, unread: Bytes) {
        let descriptor = Arc::clone(stream.descriptor());
        let id = self.insert_stream(descriptor, stream.fd_kind(), tenure);
        if !unread.is_empty()
            && let Some(state) = self.stream(id)
        {
            // A copy: what is read is dropped while the state is borrowed, and this may be the user's.
            state.unread.append(Bytes::copy_from_slice(&unread));
            self.deferred_drops.bytes.push(unread);
        }
        stream.set_id(id);
    }

    /// The id of a stream; one that was attached from outside is taken in first.
    pub(crate) fn id_of(&mut self, stream: &Stream) -> Id {
        stream.id().unwrap_or_else(|| {
            self.take_messages();
            stream.id().unwrap_or(Id::NONE)
        })
    }

    /// The program has lent a stream's descriptor, and others may hold it from now on; or it says
    /// that nobody else does.
    pub(crate) fn set_exclusive(&mut self, id: Id, exclusive: bool) {
        let Some(state) = self.stream(id) else { return };
        if mutants::is_active(Mutant::SharedAsOwn) {
            return;
        }
        match (state.tenure, exclusive) {
            (Tenure::Shared, true) => state.tenure = Tenure::Exclusive,
            (Tenure::Own | Tenure::Exclusive, false) => {
                state.tenure = Tenure::Shared;
                // One that reads ahead makes way for one that does not.
                if state.reception == Phase::Running {
                    state.reception = Phase::Stopping;
                    self.driver.cancel(id, Role::Receive);
                }
            }
            _ => {}
        }
    }

    /// Takes every step that a stream can take now. Whatever has changed something about a stream ends
    /// with this, so that no step is left out and all come in the one order that is right:
    ///
    /// 1. A close that drops what is unsent does so before writes go on: they are to hear of it, and
    ///    not to succeed.
    /// 2. Reads are given what they wait for, and more is received or nothing more.
    /// 3. Writes, flushes and a shutdown go on as far as there is room.
    /// 4. A close goes on, which waits for both.
    /// 5. A stream that nobody holds closes, once nothing is pending on it.
    ///
    /// Each step leaves nothing behind for one before it, so once is enough. What is not taken here is
    /// the send: that is the turn's end, so that all that a turn has written goes out together.
    pub(crate) fn advance_stream(&mut self, stream: Id) {
        self.drop_unsent_if_aborting(stream);
        self.serve_reads(stream);
        if mutants::is_active(Mutant::StepsSwapped) {
            self.go_on_closing(stream);
            return self.pump_writes(stream);
        }
        self.pump_writes(stream);
        self.go_on_closing(stream);
        if !mutants::is_active(Mutant::StepLeftOut) {
            self.close_if_released(stream);
        }
    }

    /// The last clone of a stream is gone: it closes once nothing is pending on it.
    pub(crate) fn release_stream(&mut self, id: Id) {
        if let Some(state) = self.stream(id) {
            state.released = true;
            self.advance_stream(id);
        }
    }

    /// Keeps count of the streams that are pending by themselves.
    pub(crate) fn update_pending(&mut self, id: Id) {
        let Some(state) = self.stream(id) else { return };
        if state.set_back && state.outgoing.len() == 0 {
            self.end_shortage(id);
        }
        let Some(state) = self.stream(id) else { return };
        let unsettled = state.outgoing.len() > 0 || state.closing.is_some();
        self.set_unsettled(id, unsettled);
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    /// Ten thousand idle connections have ten thousand of these.
    #[test]
    fn a_stream_takes_no_more_memory_than_it_did() {
        assert!(size_of::<Resource>() <= 376, "{}", size_of::<Resource>());
    }
}
