//! Copies: what comes on one stream goes out on another, in pieces that are moved from the unread
//! bytes of the one to the outgoing bytes of the other.
//!
//! A way of a copy waits at two places, so that it has its turn among the reads of the one stream and
//! among the writes of the other: an entry in each queue stands for it. Bytes move when both are at
//! the head. They count as written then, as those of a write that has succeeded: so there is no
//! moment at which they are in neither stream, and to end a copy is to take two entries out of their
//! queues. If the outgoing direction fails, what the system has not taken goes back to where it came
//! from.

use std::{
    mem,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    core::{
        Core, Kind, Pending,
        file::Task,
        resource::{Phase, Resource},
        stream::{
            End,
            read::{Form, Read},
        },
    },
    handles::{
        callback::{Callback, Slot},
        current::with_current,
        delivery::boxed,
        file::File,
        local::Local,
        queue::ready::Ready,
    },
    pure::{
        error::{Error, Result},
        mutants::{self, Mutant},
        options::CopyOptions,
        table::Id,
        timer::{Target, TimerNumber},
    },
    system::{
        driver::{Driver, Operation},
        fd_kind::FdKind,
    },
};

/// How much goes out at once where [`Limits::unsent`](crate::Limits::unsent) is less, and how much
/// of a file is read at once.
const PIECE: usize = 128 << 10;

/// A copy without an outcome.
pub(crate) struct Copying {
    told: Told,
    /// There, and back if it goes both ways.
    ways: Vec<Way>,
    /// How many of them have not come to their end.
    left: usize,
    idle: Option<Idle>,
    /// When to look whether it is idle, or zero.
    pub(crate) timer: TimerNumber,
}

/// Whom its outcome is reported to.
pub(crate) enum Told {
    OneWay(Slot<u64>),
    BothWays(Slot<(u64, u64)>),
}

/// For how long nothing may happen, and since when nothing has.
struct Idle {
    limit: Duration,
    since: Instant,
}

/// One way of a copy.
struct Way {
    from: Source,
    to: Id,
    /// What stands for it among the writes of `to`; then the shutdown that follows it.
    write: Id,
    copied: u64,
}

enum Source {
    /// A stream, and what stands for the way among its reads.
    Stream {
        stream: Id,
        read: Id,
    },
    File(FileSource),
}

/// A file by position: a piece of it is read while the one before goes out.
struct FileSource {
    id: Id,
    #[expect(dead_code, reason = "keeps it open")]
    file: File,
    offset: u64,
    left: u64,
    /// The read that is under way, or none.
    reading: Id,
    /// What it has brought and is not moved yet.
    piece: Bytes,
}

/// Which way of which copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WayOf {
    pub(crate) copy: Id,
    number: usize,
}

/// Where a way begins.
pub(crate) enum From {
    Stream(Id),
    File { id: Id, file: File, offset: u64, len: u64 },
}

/// What a way can do next.
enum Step {
    Move(Bytes),
    /// It waits: for its turn, for bytes or for room.
    Wait,
    End,
    Fail(Error),
}

impl Copying {
    /// The streams that it works on: where bytes come from, and where they go to.
    fn streams(&self) -> Vec<Id> {
        let from = self.ways.iter().filter_map(|way| way.from.stream());
        from.chain(self.ways.iter().map(|way| way.to)).collect()
    }

    /// How far it has come: it is more if bytes were moved.
    fn copied(&self) -> u64 {
        self.ways.iter().map(|way| way.copied).sum()
    }
}

impl Source {
    const fn stream(&self) -> Option<Id> {
        match self {
            Self::Stream { stream, .. } => Some(*stream),
            Self::File(_) => None,
        }
    }
}

impl Told {
    /// Pairs the callback with the outcome. An early end says how much was copied before it.
    fn deliver(self, outcome: Result<()>, copied: u64, returned: u64) -> Ready {
        let failed = |cause| match copied + returned {
            0 => cause,
            _ => Error::PartialCopy { copied, returned, cause: Box::new(cause) },
        };
        match self {
            Self::OneWay(slot) => boxed(slot.deliver(outcome.map(|()| copied).map_err(failed))),
            Self::BothWays(slot) => {
                boxed(slot.deliver(outcome.map(|()| (copied, returned)).map_err(failed)))
            }
        }
    }
}

impl Core {
    /// Submits a copy: one way, or both.
    pub(crate) fn copy(
        &mut self,
        ways: Vec<(From, Id)>,
        options: &CopyOptions,
        told: Told,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        let refused = ways.iter().find_map(|(from, to)| self.refuses_way(from, *to));
        if let Some(error) = refused {
            return self.refuse_copy(told, error);
        }
        let left = ways.len();
        let idle = options.idle.map(|limit| Idle { limit, since: self.now() });
        let copying = Copying { told, ways: Vec::new(), left, idle, timer: 0 };
        let kind = Kind::Copy(Box::new(copying));
        let copy = self.insert(Pending::new(kind, Id::NONE, Id::NONE), timeout);
        // Both have their places before the first byte moves, which may end the copy.
        for (number, (from, to)) in ways.into_iter().enumerate() {
            let way_of = WayOf { copy, number };
            let from = match from {
                From::Stream(stream) => {
                    let read = Read { limit: usize::MAX, form: Form::Copy(way_of) };
                    let read = self.enter_part(Kind::Read(read), stream);
                    if let Some((state, pending)) = self.stream_and_pending(stream) {
                        state.reads.push_back(pending, read);
                    }
                    Source::Stream { stream, read }
                }
                From::File { id, file, offset, len } => Source::File(FileSource {
                    id,
                    file,
                    offset,
                    left: len,
                    reading: Id::NONE,
                    piece: Bytes::new(),
                }),
            };
            let write = self.enter_part(Kind::CopyTo(way_of), to);
            if let Some((state, pending)) = self.stream_and_pending(to) {
                state.writes.push_back(pending, write);
                state.rare.make().copies += 1;
            }
            self.copying(copy)?.ways.push(Way { from, to, write, copied: 0 });
        }
        self.arm_idle(copy, options.idle);
        for number in 0..left {
            let way_of = WayOf { copy, number };
            match self.way(way_of).map(|way| way.from.stream()) {
                Some(Some(stream)) => self.serve_reads(stream),
                _ => self.go_on_copying(way_of),
            }
        }
        self.pending.get(copy).map(|_| copy)
    }

    /// Tells that a copy has not begun.
    pub(crate) fn refuse_copy(&mut self, told: Told, error: Error) -> Option<Id> {
        self.ready.push(told.deliver(Err(error), 0, 0));
        None
    }

    /// Why a way cannot even begin, if it cannot.
    fn refuses_way(&mut self, from: &From, to: Id) -> Option<Error> {
        match *from {
            From::Stream(stream) => {
                let Some(state) = self.stream(stream) else { return Some(Error::Closed) };
                if state.rare.is_closing() {
                    return Some(Error::Closed);
                }
                if stream == to && state.fd_kind.is_file() {
                    return Some(Error::invalid("a copy of a file to its own cursor"));
                }
            }
            From::File { offset, len, .. } => {
                let end = if len == u64::MAX { Some(offset) } else { offset.checked_add(len) };
                if end.is_none_or(|end| i64::try_from(end).is_err()) {
                    return Some(Error::invalid("a position beyond what a file can hold"));
                }
            }
        }
        match self.stream(to) {
            Some(state) => state.refuses_writes(),
            None => Some(Error::Closed),
        }
    }

    /// Enters what stands for a way at one of its ends.
    fn enter_part(&mut self, kind: Kind, stream: Id) -> Id {
        let mut pending = Pending::new(kind, stream, Id::NONE);
        self.submissions += 1;
        pending.number = self.submissions;
        self.insert(pending, None)
    }

    fn copying(&mut self, copy: Id) -> Option<&mut Copying> {
        match self.pending.get_mut(copy) {
            Some(Pending { kind: Kind::Copy(copying), .. }) => Some(copying),
            _ => None,
        }
    }

    fn way(&mut self, WayOf { copy, number }: WayOf) -> Option<&mut Way> {
        self.copying(copy)?.ways.get_mut(number)
    }

    /// Moves as much as has come and there is room for, and ends the way if that was all. Whatever
    /// changes one of its ends comes here: by `serve_reads` of the one, or `pump_writes` of the other.
    pub(crate) fn go_on_copying(&mut self, way_of: WayOf) {
        let mut has_moved = false;
        let ended = loop {
            match self.copy_step(way_of) {
                Step::Move(bytes) => {
                    self.move_piece(way_of, bytes);
                    has_moved = true;
                }
                Step::Wait => break None,
                Step::End => break Some(Ok(())),
                Step::Fail(error) => break Some(Err(error)),
            }
        };
        if has_moved {
            self.note_progress(way_of.copy);
        }
        match ended {
            None => {
                // There may be room again for what is to come.
                if let Some(stream) = self.way(way_of).and_then(|way| way.from.stream()) {
                    self.update_recv(stream);
                }
            }
            Some(Ok(())) => self.end_way(way_of),
            Some(Err(error)) => self.end_copy(way_of.copy, Err(error)),
        }
    }

    fn copy_step(&mut self, way_of: WayOf) -> Step {
        let Some(way) = self.way(way_of) else { return Step::Wait };
        let (to, write) = (way.to, way.write);
        let Source::Stream { stream, read } = way.from else {
            return self.copy_file_step(way_of);
        };
        // Those before it come first, and what they leave is not known yet.
        let is_first = self.stream(stream).is_some_and(|state| {
            state.head_read.is_none()
                && state.reads.head() == Some(read)
                && state.claims == 0
                && !state.scanning
                && !state.in_line
        });
        if !is_first || self.is_gated(stream, read) {
            return Step::Wait;
        }
        let wanted = self.stream(stream).map_or(0, |state| state.unread.front().len());
        let room = self.room_for_copy(to, write, wanted);
        let Some(state) = self.stream(stream) else { return Step::Wait };
        let Some(room) = room else {
            state.rare.make().copy_lacks_room = true;
            return Step::Wait;
        };
        if let Some(rare) = state.rare.get_mut() {
            rare.copy_lacks_room = false;
        }
        if wanted > 0 {
            return Step::Move(state.unread.take(wanted.min(room)));
        }
        match &state.rare.end {
            None => Step::Wait,
            Some(End::EndOfStream) => self.end_if_sent(to),
            Some(end) => Step::Fail(end.error()),
        }
    }

    /// As of a write, little enough is unsent when a copy succeeds.
    fn end_if_sent(&mut self, to: Id) -> Step {
        match self.stream(to) {
            Some(state) if state.outgoing.len() > state.settings.limits.unsent => Step::Wait,
            _ => Step::End,
        }
    }

    /// How many of the `wanted` bytes may go out to a stream now; none if the way has to wait: for
    /// earlier writes, or for room. A piece is not cut for the sake of a little room.
    fn room_for_copy(&mut self, to: Id, write: Id, wanted: usize) -> Option<usize> {
        let state = self.stream(to)?;
        if state.writes.head() != Some(write)
            || state.rare.aborted.is_some()
            || state.drops_unsent()
        {
            return None;
        }
        let (unsent, limit) = (state.outgoing.len(), state.settings.limits.unsent);
        if self.is_gated(to, write) {
            return None;
        }
        match limit.saturating_sub(unsent) {
            _ if unsent == 0 => Some(limit.max(PIECE)),
            // Also the look at the end of the stream has its turn only now.
            _ if wanted == 0 => Some(0),
            room if room >= wanted || room >= limit / 2 => Some(room).filter(|room| *room > 0),
            _ => None,
        }
    }

    /// Moves a piece to the outgoing bytes, where it counts as written.
    fn move_piece(&mut self, way_of: WayOf, bytes: Bytes) {
        let Some(way) = self.way(way_of) else { return };
        let (to, len) = (way.to, bytes.len());
        way.copied += len as u64;
        self.before_file_write(to);
        let Some(Resource::Stream(state)) = self.resources.get_mut(to) else { return };
        self.deferred_drops.bytes.extend(state.outgoing.append(bytes, &mut self.spare));
        state.committed += len;
        if !mem::replace(&mut state.dirty, true) {
            self.dirty.push(to);
        }
        self.unsettled.set(&mut state.unsettled, true);
    }

    // Files by position

    fn copy_file_step(&mut self, way_of: WayOf) -> Step {
        let Some(Way { from: Source::File(source), to, write, .. }) = self.way(way_of) else {
            return Step::Wait;
        };
        let (to, write, wanted) = (*to, *write, source.piece.len());
        let (left, is_reading) = (source.left, source.reading != Id::NONE);
        let Some(room) = self.room_for_copy(to, write, wanted) else { return Step::Wait };
        if wanted > 0 {
            let Some(Way { from: Source::File(source), .. }) = self.way(way_of) else {
                return Step::Wait;
            };
            let piece = source.piece.split_to(wanted.min(room));
            if source.piece.is_empty() {
                self.read_for_copy(way_of);
            }
            return Step::Move(piece);
        }
        if !is_reading && left == 0 {
            return self.end_if_sent(to);
        }
        if !is_reading {
            self.read_for_copy(way_of);
        }
        Step::Wait
    }

    /// Reads the next piece of a file.
    fn read_for_copy(&mut self, way_of: WayOf) {
        // Of no bytes it would never come to an end, and of one it says what the limit is.
        let most = self.settings.limits.all.clamp(1, PIECE);
        let Some(Way { from: Source::File(source), .. }) = self.way(way_of) else { return };
        if source.left == 0 {
            return;
        }
        let size = usize::try_from(source.left).map_or(most, |left| left.min(most));
        let (file, offset) = (source.id, source.offset);
        let brought = Callback::from_fn(move |local: &Local, outcome: Result<Bytes>| {
            with_current(local.id(), |core| core.was_read_for_copy(way_of, size, outcome));
        });
        let reading = self.begin_on_file(file, Task::read(brought.slot, offset, size), None);
        // One that was refused is told so by its callback.
        if let Some(Way { from: Source::File(source), .. }) = self.way(way_of) {
            source.reading = reading.unwrap_or(way_of.copy);
        }
    }

    fn was_read_for_copy(&mut self, way_of: WayOf, size: usize, outcome: Result<Bytes>) {
        let Some(Way { from: Source::File(source), .. }) = self.way(way_of) else { return };
        source.reading = Id::NONE;
        match outcome {
            Err(error) => return self.end_copy(way_of.copy, Err(error)),
            Ok(bytes) => {
                source.offset += bytes.len() as u64;
                // Less comes only at the end of the file.
                source.left = match bytes.len() < size {
                    true => 0,
                    false => source.left.saturating_sub(bytes.len() as u64),
                };
                source.piece = bytes;
            }
        }
        self.go_on_copying(way_of);
    }

    // Ends

    /// All of a way has been moved. One that goes both ways hands the end on.
    fn end_way(&mut self, way_of: WayOf) {
        let Some(copying) = self.copying(way_of.copy) else { return };
        if matches!(copying.told, Told::OneWay(_)) {
            return self.end_copy(way_of.copy, Ok(()));
        }
        // It keeps its place among the writes, and so the stream open. The end is not handed on from
        // here: whoever called this is in the middle of one of the two queues.
        self.leave_source(way_of);
        self.ready.push(Ready::Run(Box::new(move |local| {
            with_current(local.id(), |core| core.hand_end_on(way_of));
        })));
    }

    fn hand_end_on(&mut self, way_of: WayOf) {
        let Some(to) = self.way(way_of).map(|way| way.to) else { return };
        let has_end = self.stream(to).is_none_or(|state| {
            matches!(state.fd_kind, FdKind::Socket { .. } | FdKind::Pipe { .. })
        });
        self.leave_destination(way_of);
        if !has_end || mutants::is_active(Mutant::EndNotHandedOn) {
            return self.way_was_ended(way_of.copy, Ok(()));
        }
        let shutdown = self.shutdown_write(to, Slot::Ignore, None, way_of.copy);
        if let Some(way) = self.way(way_of) {
            way.write = shutdown.unwrap_or(Id::NONE);
        }
    }

    /// One of the two ways has come to its end, or failed to hand it on.
    pub(crate) fn way_was_ended(&mut self, copy: Id, outcome: Result<()>) {
        let Some(copying) = self.copying(copy) else { return };
        copying.left -= 1;
        let is_last = copying.left == 0;
        self.note_progress(copy);
        if is_last || outcome.is_err() {
            self.end_copy(copy, outcome);
        }
    }

    /// Takes a way out of the queue of reads in which it has waited, and gives the next its turn.
    fn leave_source(&mut self, way_of: WayOf) {
        let round = self.round;
        let Some(way) = self.way(way_of) else { return };
        match &mut way.from {
            Source::Stream { stream, read } => {
                let (stream, read) = (*stream, mem::replace(read, Id::NONE));
                if read == Id::NONE {
                    return;
                }
                if let Some((state, pending)) = self.stream_and_pending(stream) {
                    state.reads.remove(pending, read);
                    let rare = state.rare.make();
                    (rare.copy_lacks_room, rare.copy_has_left) = (false, true);
                    state.read_reported = round;
                }
                self.remove(read);
                self.ready.push(Ready::Serve(stream));
            }
            Source::File(source) => {
                let (reading, piece) =
                    (mem::replace(&mut source.reading, Id::NONE), mem::take(&mut source.piece));
                self.deferred_drops.bytes.push(piece);
                self.interrupt_on_file(reading, Error::Cancelled);
            }
        }
    }

    /// Takes it out of the queue of writes, or what has taken its place there.
    fn leave_destination(&mut self, way_of: WayOf) {
        let round = self.round;
        let Some(way) = self.way(way_of) else { return };
        let (to, write) = (way.to, mem::replace(&mut way.write, Id::NONE));
        match self.pending.get(write).map(|pending| &pending.kind) {
            Some(Kind::CopyTo(_)) => {
                if let Some((state, pending)) = self.stream_and_pending(to) {
                    state.writes.remove(pending, write);
                    if let Some(rare) = state.rare.get_mut() {
                        rare.copies -= 1;
                    }
                    state.write_reported = round;
                }
                self.remove(write);
                self.ready.push(Ready::Serve(to));
            }
            Some(Kind::ShutdownWrite(_)) => self.abort_write(to, write, Error::Cancelled),
            _ => {}
        }
    }

    /// Ends a copy: what was moved goes out, what was not is unread.
    pub(crate) fn end_copy(&mut self, copy: Id, outcome: Result<()>) {
        let Some(copying) = self.copying(copy) else { return };
        let ways = copying.ways.len();
        for number in 0..ways {
            let way_of = WayOf { copy, number };
            self.leave_source(way_of);
            self.leave_destination(way_of);
        }
        let Some(copying) = self.copying(copy) else { return };
        let mut timer = copying.timer;
        self.timers.disarm(&mut timer);
        let Some(Pending { kind: Kind::Copy(copying), .. }) = self.remove(copy) else { return };
        let copied = |number: usize| {
            copying.ways.get(number).map_or(0, |way| self.counted_of_way(way, &outcome))
        };
        let (there, back) = (copied(0), copied(1));
        self.ready.push(copying.told.deliver(outcome, there, back));
    }

    /// How many bytes a way has copied, as it is told.
    fn counted_of_way(&self, way: &Way, outcome: &Result<()>) -> u64 {
        let is_cancelled = matches!(outcome, Err(Error::Cancelled));
        if mutants::is_active(Mutant::CopyForgotten) && is_cancelled {
            return 0;
        }
        if mutants::is_active(Mutant::CopyCountedShort)
            && let Some(Resource::Stream(state)) = self.resources.get(way.to)
        {
            return way.copied.saturating_sub(state.outgoing.len() as u64);
        }
        way.copied
    }

    /// A stream closes, and the copies to it end: what has been moved to it goes out as what was
    /// written does.
    pub(crate) fn end_copies_to(&mut self, stream: Id) {
        let Some((state, pending)) = self.stream_and_pending(stream) else { return };
        let (mut copies, mut next) = (Vec::new(), state.writes.head());
        while let Some(id) = next {
            if let Some(Pending { kind: Kind::CopyTo(way_of), .. }) = pending.get(id) {
                copies.push(way_of.copy);
            }
            next = state.writes.behind(pending, id);
        }
        for copy in copies {
            self.end_copy(copy, Err(Error::Closed));
        }
    }

    /// The outgoing direction of a stream has failed. What the copy at its head has moved there and
    /// the system has not taken is unread again where it came from.
    pub(crate) fn give_back_copied(&mut self, to: Id) {
        let Some(head) = self.stream(to).and_then(|state| state.writes.head()) else { return };
        let Some(Pending { kind: Kind::CopyTo(way_of), .. }) = self.pending.get(head) else {
            return;
        };
        let way_of = *way_of;
        let copied = self.way(way_of).map_or(0, |way| way.copied);
        let Some(Resource::Stream(state)) = self.resources.get_mut(to) else { return };
        let unsent = usize::try_from(copied)
            .map_or(state.outgoing.len(), |copied| copied.min(state.outgoing.len()));
        if unsent == 0 {
            return;
        }
        let drops = &mut self.deferred_drops.bytes;
        let bytes = state.outgoing.cut(unsent, &mut self.spare, drops);
        let Some(way) = self.way(way_of) else { return };
        way.copied -= unsent as u64;
        match way.from.stream().and_then(|stream| self.stream(stream)) {
            Some(_) if mutants::is_active(Mutant::CopyNotGivenBack) => {
                self.deferred_drops.bytes.push(bytes);
            }
            Some(state) => state.unread.untake(bytes),
            // A file has it still.
            None => self.deferred_drops.bytes.push(bytes),
        }
    }

    // Time

    /// Something has happened on the way.
    fn note_progress(&mut self, copy: Id) {
        let Some(copying) = self.copying(copy) else { return };
        if copying.idle.is_none() {
            return;
        }
        let now = self.now();
        if let Some(Copying { idle: Some(idle), .. }) = self.copying(copy) {
            idle.since = now;
        }
    }

    /// The system has taken something of what was moved to a stream.
    pub(crate) fn note_sent(&mut self, to: Id) {
        let Some(head) = self.stream(to).and_then(|state| state.writes.head()) else { return };
        let copy = match self.pending.get(head) {
            Some(Pending { kind: Kind::CopyTo(way_of), .. }) => way_of.copy,
            Some(Pending { kind: Kind::ShutdownWrite(_), chain, .. }) => *chain,
            _ => return,
        };
        self.note_progress(copy);
    }

    fn arm_idle(&mut self, copy: Id, left: Option<Duration>) {
        let Some(left) = left else { return };
        let timer = self.arm_target(left, Target::Idle(copy));
        if let Some(copying) = self.copying(copy) {
            copying.timer = timer;
        }
    }

    /// How long a copy may still be idle; none if it was for too long.
    fn idle_left(&mut self, copy: Id) -> Option<Duration> {
        let now = self.now();
        let idle = self.copying(copy)?.idle.as_ref()?;
        let left = idle.limit.checked_sub(now.saturating_duration_since(idle.since))?;
        (!left.is_zero()).then_some(left)
    }

    /// A copy may have been idle for too long.
    pub(crate) fn idle_due(&mut self, copy: Id) {
        match self.idle_left(copy) {
            Some(left) => self.arm_idle(copy, Some(left)),
            None => self.end_copy(copy, Err(Error::TimedOut)),
        }
    }

    /// Has the system asked once more for what a copy waits for. Returns whether its time is up
    /// unless that brings something.
    pub(crate) fn try_copy_once_more(&mut self, copy: Id, is_idle: bool) -> bool {
        if is_idle && self.idle_left(copy).is_some() {
            return false;
        }
        let Some(copying) = self.copying(copy) else { return false };
        for stream in copying.streams() {
            self.update_recv(stream);
            self.send_again(stream);
            self.driver.submit(stream, Operation::Probe);
        }
        true
    }

    /// How far a copy has come, see `progress_of`.
    pub(crate) fn progress_of_copy(&self, copy: Id) -> (u64, bool) {
        let Some(Pending { kind: Kind::Copy(copying), .. }) = self.pending.get(copy) else {
            return (0, false);
        };
        let (mut progress, mut is_receiving) = (copying.copied(), false);
        for stream in copying.ways.iter().filter_map(|way| way.from.stream()) {
            if let Some(Resource::Stream(state)) = self.resources.get(stream) {
                progress += state.unread.received();
                is_receiving |= state.reception == Phase::Running;
            }
        }
        (progress, is_receiving)
    }
}
