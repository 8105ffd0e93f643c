//! Files by position: any number of operations in flight, in no order. A read or sync that is ended
//! early is reported at once, and what the driver still brings for it is dropped; a write waits for
//! the driver, which says how much of it was taken.

use std::{io, mem, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};

use crate::{
    core::{
        Core, Kind, Pending,
        closing::{Closing, Ending},
        resource::Resource,
    },
    handles::{callback::Slot, file::File},
    pure::{
        error::{Error, IoOperation},
        table::Id,
    },
    system::{
        driver::{Driver, FileDone, FileTask, Operation, Release, Role},
        fd_kind::FdKind,
        sys::errno::Errno,
    },
};

/// One file.
pub(crate) struct FileState {
    /// What is written goes to its end, whatever the offset.
    appends: bool,
    /// How many of its operations have no outcome.
    pending: usize,
    pub(crate) closing: Option<Box<Closing>>,
    released: bool,
    /// Counted among the unsettled resources.
    pub(crate) unsettled: bool,
}

/// What an operation on a file does, and what has become of it so far.
pub(crate) enum Task {
    Read {
        slot: Slot<Bytes>,
        offset: u64,
        size: usize,
        /// How much the system is asked for at a time: all, until that is refused.
        most: usize,
        /// What earlier calls have brought, if one was not enough.
        got: Bytes,
    },
    Write {
        slot: Slot<usize>,
        /// Where the rest goes.
        offset: u64,
        /// What the system has not taken. The driver has a clone, so its drop is never the last.
        rest: Bytes,
        taken: usize,
        /// It is to end for this cause once the driver has said how much was taken.
        aborted: Option<Error>,
    },
    Sync {
        slot: Slot<()>,
    },
}

impl Task {
    pub(crate) const fn read(slot: Slot<Bytes>, offset: u64, size: usize) -> Self {
        Self::Read { slot, offset, size, most: size, got: Bytes::new() }
    }

    pub(crate) const fn write(slot: Slot<usize>, offset: u64, rest: Bytes) -> Self {
        Self::Write { slot, offset, rest, taken: 0, aborted: None }
    }

    /// Whether the system can do it at all.
    fn check(&self, appends: bool, all: usize) -> Result<(), Error> {
        let (offset, len) = match self {
            Self::Read { size, .. } if *size > all => return Err(Error::TooLong { limit: all }),
            Self::Write { .. } if appends => {
                return Err(Error::unsupported("a file opened for appending has no positions"));
            }
            Self::Read { offset, size, .. } => (*offset, *size),
            Self::Write { offset, rest, .. } => (*offset, rest.len()),
            Self::Sync { .. } => return Ok(()),
        };
        match offset.checked_add(len as u64) {
            Some(end) if i64::try_from(end).is_ok() => Ok(()),
            _ => Err(Error::invalid("a position beyond what a file can hold")),
        }
    }

    /// What the driver is to do next.
    fn next(&self) -> FileTask {
        match self {
            Self::Read { offset, size, most, got, .. } => FileTask::Read {
                offset: offset + got.len() as u64,
                size: (size - got.len()).min(*most),
            },
            Self::Write { offset, rest, .. } => {
                FileTask::Write { offset: *offset, bytes: rest.clone() }
            }
            Self::Sync { .. } => FileTask::Sync,
        }
    }
}

impl Core {
    /// Takes in a file.
    pub(crate) fn adopt_file(&mut self, file: &File) {
        let appends = file.appends();
        let state =
            FileState { appends, pending: 0, closing: None, released: false, unsettled: false };
        let id = self.resources.insert(Resource::File(Box::new(state)));
        let fd_kind = FdKind::File { append: appends };
        self.driver.attach(id, Arc::clone(file.descriptor()), fd_kind);
        file.set_id(id);
    }

    pub(crate) fn id_of_file(&mut self, file: &File) -> Id {
        file.id().unwrap_or_else(|| {
            self.take_messages();
            file.id().unwrap_or(Id::NONE)
        })
    }

    fn file(&mut self, id: Id) -> Option<&mut FileState> {
        match self.resources.get_mut(id) {
            Some(Resource::File(state)) => Some(state),
            _ => None,
        }
    }

    /// Submits an operation on a file.
    pub(crate) fn begin_on_file(
        &mut self,
        file: Id,
        task: Task,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        let (all, most) = (self.settings.limits.all, self.settings.limits.jobs);
        let busy = self.on_files >= most;
        let refused = match self.file(file).filter(|state| state.closing.is_none()) {
            None => Some(Error::Closed),
            Some(state) => task.check(state.appends, all).err(),
        };
        let refused = refused.or_else(|| busy.then_some(Error::Overloaded));
        if let Some(error) = refused {
            self.fail_task(task, error);
            return None;
        }
        match task {
            // Nothing is to be done, but the outcome is reported like every other.
            Task::Read { slot, size: 0, .. } => {
                self.succeed(Id::NONE, slot, Bytes::new());
                None
            }
            Task::Write { slot, rest, .. } if rest.is_empty() => {
                self.succeed(Id::NONE, slot, 0);
                None
            }
            task => {
                let next = task.next();
                let id =
                    self.insert(Pending::new(Kind::File(Box::new(task)), file, Id::NONE), timeout);
                self.on_files += 1;
                if let Some(state) = self.file(file) {
                    state.pending += 1;
                }
                self.driver.submit(file, Operation::File { operation: id, task: next });
                Some(id)
            }
        }
    }

    /// The driver has done something for an operation, or for one that has ended since.
    pub(crate) fn file_done(&mut self, file: Id, id: Id, done: FileDone) {
        let name = if done.has_failed() { self.name_of(file) } else { String::new() };
        let Some(Pending { kind: Kind::File(task), .. }) = self.pending.get_mut(id) else {
            return;
        };
        let over = match (&mut **task, done) {
            (Task::Read { size, got, .. }, FileDone::Read(Ok(bytes))) => {
                let ended = bytes.is_empty();
                join(got, bytes);
                (ended || got.len() == *size).then_some(Ok(()))
            }
            (Task::Write { offset, rest, taken, aborted, .. }, FileDone::Written(Ok(count))) => {
                *taken += count;
                *offset += count as u64;
                if count == rest.len() {
                    // All of it was taken, so it succeeds even if it was aborted. `rest` is kept,
                    // to be dropped when nothing is borrowed.
                    Some(Ok(()))
                } else {
                    let taken_now = rest.split_to(count);
                    self.deferred_drops.bytes.push(taken_now);
                    aborted.take().map(Err)
                }
            }
            (Task::Sync { .. }, FileDone::Synced(Ok(()))) => Some(Ok(())),
            // The kernel generates the content of some files in a buffer as large as the read, and
            // refuses a large one. Such files, those of /proc/sys, are small, so that a small read
            // gets all of them.
            (Task::Read { size, most, got, .. }, FileDone::Read(Err(cause)))
                if refuses_size(&cause) && (*size - got.len()).min(*most) > CAREFUL =>
            {
                *most = CAREFUL;
                None
            }
            (Task::Read { .. }, FileDone::Read(Err(cause))) => {
                Some(Err(Error::io_on(IoOperation::Read, name, cause)))
            }
            (Task::Write { .. }, FileDone::Written(Err(cause))) => {
                Some(Err(Error::io_on(IoOperation::Write, name, cause)))
            }
            (Task::Sync { .. }, FileDone::Synced(Err(cause))) => {
                Some(Err(Error::io_on(IoOperation::Sync, name, cause)))
            }
            _ => unreachable!("a driver does what it was asked"),
        };
        match over {
            None => {
                let task = task.next();
                self.driver.submit(file, Operation::File { operation: id, task });
            }
            Some(outcome) => self.end_on_file(id, outcome),
        }
    }

    /// Ends an operation on a file.
    fn end_on_file(&mut self, id: Id, outcome: Result<(), Error>) {
        let Some(Pending { kind: Kind::File(task), resource, .. }) = self.remove(id) else {
            return;
        };
        match (*task, outcome) {
            (Task::Read { slot, got, .. }, Ok(())) => self.succeed(Id::NONE, slot, got),
            (Task::Write { slot, taken, rest, .. }, Ok(())) => {
                self.deferred_drops.bytes.push(rest);
                self.succeed(Id::NONE, slot, taken);
            }
            (Task::Sync { slot }, Ok(())) => self.succeed(Id::NONE, slot, ()),
            (task, Err(error)) => self.fail_task(task, error),
        }
        self.on_files -= 1;
        if let Some(state) = self.file(resource) {
            state.pending -= 1;
            self.go_on_closing_file(resource);
        }
    }

    fn fail_task(&mut self, task: Task, error: Error) {
        match task {
            Task::Read { slot, .. } => self.fail(Id::NONE, slot, error),
            Task::Write { slot, rest, taken, .. } => {
                self.deferred_drops.bytes.push(rest);
                let error = match taken {
                    0 => error,
                    written => Error::PartialWrite { written, cause: Box::new(error) },
                };
                self.fail(Id::NONE, slot, error);
            }
            Task::Sync { slot } => self.fail(Id::NONE, slot, error),
        }
    }

    /// Ends an operation on a file early: a read or sync at once, a write when the driver has said
    /// how much of it was taken.
    pub(crate) fn interrupt_on_file(&mut self, id: Id, cause: Error) {
        let Some(Pending { kind: Kind::File(task), resource, .. }) = self.pending.get_mut(id)
        else {
            return;
        };
        let file = *resource;
        if let Task::Write { aborted, .. } = &mut **task {
            if aborted.is_none() {
                *aborted = Some(cause);
                self.driver.cancel(file, Role::File(id));
            }
            return;
        }
        self.driver.cancel(file, Role::File(id));
        self.end_on_file(id, Err(cause));
    }

    /// Ends a write that the driver has not given back, when the engine goes: its count is what is
    /// known.
    pub(crate) fn abandon_on_file(&mut self, id: Id, cause: Error) {
        if matches!(self.pending.get(id), Some(Pending { kind: Kind::File(_), .. })) {
            self.end_on_file(id, Err(cause));
        }
    }

    // Closing

    pub(crate) fn release_file(&mut self, file: Id) {
        if let Some(state) = self.file(file) {
            state.released = true;
            self.go_on_closing_file(file);
        }
    }

    /// Submits a close of a file.
    pub(crate) fn close_file(
        &mut self,
        file: Id,
        slot: Slot<()>,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        if self.file(file).is_none_or(|state| state.closing.is_some()) {
            self.fail(Id::NONE, slot, Error::Closed);
            return None;
        }
        let id = self.insert(Pending::new(Kind::Close, file, Id::NONE), timeout);
        self.begin_closing_file(file, Closing::new(Ending::Close(slot), id));
        Some(id)
    }

    fn begin_closing_file(&mut self, file: Id, closing: Closing) {
        let Some(state) = self.file(file) else { return };
        state.closing = Some(Box::new(closing));
        self.set_unsettled(file, true);
        for id in self.operations_on_file(file) {
            if let Some(Pending { kind: Kind::File(task), .. }) = self.pending.get(id)
                && matches!(**task, Task::Read { .. })
            {
                self.interrupt_on_file(id, Error::Closed);
            }
        }
        self.go_on_closing_file(file);
    }

    /// Takes the next step of a close, if nothing is pending any more.
    fn go_on_closing_file(&mut self, file: Id) {
        let Some(state) = self.file(file) else { return };
        if state.pending > 0 {
            return;
        }
        match &mut state.closing {
            None if !state.released => {}
            None => self.begin_closing_file(file, Closing::new(Ending::Dropped, Id::NONE)),
            Some(closing) => {
                let is_news = closing.hand_down_once();
                if is_news {
                    self.driver.submit(file, Operation::Close(Release::Close));
                }
            }
        }
    }

    /// A close of a file has run out of time: what is not done by now is not done any more.
    pub(crate) fn cut_short_file(&mut self, file: Id) {
        for id in self.operations_on_file(file) {
            self.interrupt_on_file(id, Error::Closed);
        }
    }

    fn operations_on_file(&mut self, file: Id) -> Vec<Id> {
        if self.file(file).is_none_or(|state| state.pending == 0) {
            return Vec::new();
        }
        let mut ids = self.pending.ids();
        ids.retain(|&id| {
            matches!(
                self.pending.get(id),
                Some(Pending { kind: Kind::File(_), resource, .. }) if *resource == file
            )
        });
        ids
    }
}

/// A size of reads that no file refuses.
const CAREFUL: usize = 64 << 10;

/// Whether an error may be about how much was asked for.
fn refuses_size(cause: &io::Error) -> bool {
    matches!(Errno::from_io_error(cause), Some(Errno::NOMEM | Errno::INVAL))
}

/// Appends what another call has brought.
fn join(got: &mut Bytes, more: Bytes) {
    if got.is_empty() {
        *got = more;
    } else if !more.is_empty() {
        let mut all = match mem::take(got).try_into_mut() {
            Ok(all) => all,
            Err(shared) => BytesMut::from(shared),
        };
        all.extend_from_slice(&more);
        *got = all.freeze();
    }
}
