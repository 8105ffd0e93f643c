//! [`StreamState`]: one stream as the engine keeps it.

pub(crate) mod cursor;
pub(crate) mod head_read;
pub(crate) mod rare;
pub(crate) mod read;
pub(crate) mod setback;
pub(crate) mod user_read;
pub(crate) mod write;

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    core::{
        Core,
        resource::{Phase, Resource},
        stream::{head_read::HeadRead, rare::Rare},
    },
    handles::stream::{LineEnd, Stream},
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

/// The state of one stream. Its two directions are independent of one another, except for a file,
/// whose reads and writes share one order.
pub(crate) struct StreamState {
    pub(crate) fd_kind: FdKind,
    /// Whether others may hold the same socket or open file, too.
    pub(crate) tenure: Tenure,
    pub(crate) settings: Arc<Settings>,
    pub(crate) line_end: LineEnd,

    pub(crate) unread: Unread,
    pub(crate) reception: Phase,
    /// The read that waits at the head, if it is of the frequent kind; see `head_read.rs`.
    pub(crate) head_read: Option<HeadRead>,
    /// All other reads that wait, in the order in which they were submitted.
    pub(crate) reads: List,
    /// How many claims on its bytes wait to be delivered. Until then the reads behind them are not
    /// served, because the bytes may be put back in front of them.
    pub(crate) claims: u32,
    /// How many head reads this stream has had. The last one has this number, which tells it from
    /// earlier ones.
    pub(crate) head_reads: u32,
    /// The round in which the last success of a read was queued for its callback.
    pub(crate) read_reported: u32,
    /// The round in which the last success of a write was queued for its callback, or all was sent
    /// at once: what is written behind that has a later turn.
    pub(crate) write_reported: u32,
    /// The first of `reads` has a matcher of the user's, which is queued to look at the unread
    /// bytes, or is doing so.
    pub(crate) scanning: bool,
    /// The matcher of the first of `reads` has used up the turn's steps before it has looked at all
    /// unread bytes: the stream stands in line, and the matcher goes on in the next turn.
    pub(crate) in_line: bool,
    /// The first of `reads` repeats, and is queued, runs or is paused: it wants no bytes, and others
    /// wait behind it.
    pub(crate) holds: bool,
    /// It is paused because too much is unsent.
    pub(crate) waits_for_room: bool,

    pub(crate) outgoing: Outgoing,
    pub(crate) sending: Phase,
    /// How many of the outgoing bytes belong to writes that have succeeded. The rest, behind them,
    /// belong to the write at the head of `writes`.
    pub(crate) committed: usize,
    /// Writes, flushes and a shutdown without an outcome, in order.
    pub(crate) writes: List,
    /// How many bytes of these writes have not been moved to the outgoing bytes yet.
    pub(crate) queued: usize,
    pub(crate) shutdown: Shutdown,

    /// Its end, its failures and its closing.
    pub(crate) rare: Rare,
    /// The program has dropped its last clone of the stream.
    pub(crate) released: bool,
    /// It is in `Core::dirty`, the list of streams that the turn's end sends.
    pub(crate) dirty: bool,
    /// It is in `Core::above_read_ahead`, the list of streams whose receive the turn's end may have
    /// to stop.
    pub(crate) above_read_ahead: bool,
    /// It is counted in `Core::unsettled`.
    pub(crate) unsettled: bool,
    /// The system has refused a send, and `Core::setbacks` says what is still to be done about it.
    pub(crate) set_back: bool,
}

/// What few streams have settings of their own for: the others share one value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    /// The address that it was connected to: of a connection that has failed the system does not
    /// say it any more.
    pub(crate) peer: Option<Address>,
}

/// What comes after a stream's last byte.
#[derive(Debug, Clone)]
#[expect(clippy::enum_variant_names, reason = "that one is called as its error is")]
pub(crate) enum End {
    EndOfStream,
    Failed(SystemError),
    /// The peer has not ended it, but the outgoing direction has failed for good: the peer waits
    /// for bytes that never come, and a read would wait for the peer.
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

/// How far the shutdown of the outgoing direction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shutdown {
    No,
    /// Submitted, and waiting for the writes before it. Later writes fail with `Closed`.
    Requested,
    /// Handed to the driver, which has not completed it.
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
            reception: Phase::Idle,
            head_read: None,
            reads: List::EMPTY,
            claims: 0,
            head_reads: 0,
            read_reported: 0,
            write_reported: 0,
            scanning: false,
            in_line: false,
            holds: false,
            waits_for_room: false,
            outgoing: Outgoing::default(),
            sending: Phase::Idle,
            committed: 0,
            writes: List::EMPTY,
            queued: 0,
            shutdown: Shutdown::No,
            rare: Rare::default(),
            released: false,
            dirty: false,
            above_read_ahead: false,
            unsettled: false,
            set_back: false,
        }
    }

    /// Whether the peer may still send something, as far as the engine knows.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.rare.end, None | Some(End::Broken(_)))
    }
}

impl Core {
    /// Enters a descriptor as a stream in the table of resources. The program has no `Stream` for
    /// it yet, see `name_stream`.
    pub(crate) fn insert_stream(
        &mut self,
        descriptor: Arc<Descriptor>,
        fd_kind: FdKind,
        tenure: Tenure,
    ) -> Id {
        let state = StreamState::new(fd_kind, tenure, Arc::clone(&self.settings));
        let id = self.resources.insert(Resource::Stream(state));
        self.driver.attach(id, descriptor, fd_kind);
        id
    }

    /// Enters a descriptor as a stream, and makes the `Stream` by which the program uses it.
    pub(crate) fn make_stream(
        &mut self,
        descriptor: Arc<Descriptor>,
        fd_kind: FdKind,
        tenure: Tenure,
    ) -> Stream {
        let id = self.insert_stream(Arc::clone(&descriptor), fd_kind, tenure);
        self.name_stream(id, descriptor, fd_kind)
    }

    /// Makes the `Stream` by which the program uses a stream that is in the table already.
    pub(crate) fn name_stream(
        &mut self,
        id: Id,
        descriptor: Arc<Descriptor>,
        fd_kind: FdKind,
    ) -> Stream {
        Stream::new(self.handle(), descriptor, fd_kind, id)
    }

    /// Enters a stream that the program has attached. Its first reads find the bytes in `unread`.
    pub(crate) fn adopt(&mut self, stream: &Stream, tenure: Tenure, unread: Bytes) {
        let descriptor = Arc::clone(stream.descriptor());
        if tenure != Tenure::Own {
            descriptor.touch();
        }
        let id = self.insert_stream(descriptor, stream.fd_kind(), tenure);
        if !unread.is_empty()
            && let Some(Resource::Stream(state)) = self.resources.get_mut(id)
        {
            // Copied, because unread bytes may be dropped while the state is borrowed, and the drop
            // of these may run the user's code.
            state.unread.append(Bytes::copy_from_slice(&unread), &mut self.spare_unread);
            self.deferred_drops.bytes.push(unread);
        }
        stream.set_id(id);
    }

    /// The id of a stream. One that was attached outside of a turn has none until the inbox has
    /// been taken, which is done here.
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
                self.stop_reading_ahead(id);
            }
            _ => {}
        }
    }

    /// The program sets the limits of a stream.
    pub(crate) fn set_limits(&mut self, id: Id, limits: Limits) {
        let Some(state) = self.stream(id) else { return };
        let peer = state.settings.peer.clone();
        let read_ahead = state.reads_ahead();
        state.settings = Arc::new(Settings { limits, peer });
        if read_ahead && !state.reads_ahead() {
            self.stop_reading_ahead(id);
        }
    }

    /// The receive under way reads ahead. It is stopped, and makes way for one that does not.
    fn stop_reading_ahead(&mut self, id: Id) {
        if let Some(state) = self.stream(id)
            && state.reception == Phase::Running
        {
            state.reception = Phase::Stopping;
            self.driver.cancel(id, Role::Receive);
        }
    }

    /// Takes every step that a stream can take now. Whatever has changed something about a stream
    /// ends with this, or with `serve_reads_again` where it can concern nothing but reads, so that no
    /// step is left out and all come in the one order that is right:
    ///
    /// 1. A close that drops what is unsent does so before writes go on: they are to hear of it,
    ///    and not to succeed.
    /// 2. Reads are given what they wait for, and more is received or nothing more.
    /// 3. Writes, flushes and a shutdown go on as far as there is room.
    /// 4. A close goes on, which waits for both.
    /// 5. A stream that nobody holds closes, once nothing is pending on it.
    ///
    /// Each step leaves nothing behind for one before it, so once is enough. What is not taken here
    /// is the send: that is the turn's end, so that all that a turn has written goes out together.
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

    /// Nothing is in the middle of the stream's queues any more: what has waited for that has its
    /// turn.
    pub(crate) fn advance_stream_now(&mut self, stream: Id) {
        if let Some(rare) = self.stream(stream).and_then(|state| state.rare.get_mut()) {
            rare.copy_has_left = false;
        }
        self.advance_stream(stream);
    }

    /// The last clone of a stream is gone: it closes once nothing is pending on it.
    pub(crate) fn release_stream(&mut self, id: Id) {
        if let Some(state) = self.stream(id) {
            state.released = true;
            self.advance_stream(id);
        }
    }

    /// Brings the count of unsettled resources up to date: a stream counts while it has unsent
    /// bytes or is closing. With nothing left to send, a shortage that refused sends is over.
    pub(crate) fn update_pending(&mut self, id: Id) {
        let Some(state) = self.stream(id) else { return };
        if state.set_back && state.outgoing.len() == 0 {
            self.end_shortage(id);
        }
        let Some(state) = self.stream(id) else { return };
        let unsettled = state.outgoing.len() > 0 || state.rare.is_closing();
        self.set_unsettled(id, unsettled);
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    /// Ten thousand idle connections have ten thousand of these.
    #[test]
    fn a_stream_takes_no_more_memory_than_it_did() {
        assert!(size_of::<Resource>() <= 208, "{}", size_of::<Resource>());
    }
}
