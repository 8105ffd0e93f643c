//! Files as streams: read and written at the system's cursor, which belongs to the open file and so
//! to whoever else holds it.
//!
//! Only read(2), write(2) and their kin hold the cursor from its look at it to its move, so that
//! two holders never write over one another; io_uring's operations do not. So they are done by
//! these calls, on every driver: on a worker, but for a read of what is in memory. What was read
//! and not asked for is the stream's, as with any buffered reader; the cursor is moved back by it
//! where somebody else goes on from there: before a write, and when the stream ends.

use std::{io, sync::Arc};

use crate::{
    core::Core,
    handles::queue::message::Message,
    pure::{buffer::outgoing::Gather, table::Id},
    system::{
        descriptor::Descriptor,
        driver::{Driver, Ended},
        pool::{Job, JobContext, Lane, Refused},
        sys::{errno::Errno, outcome::Attempt, syscall},
    },
};

impl Core {
    /// Reads a file once.
    pub(crate) fn read_file(&mut self, stream: Id) {
        let Some(descriptor) = self.driver.descriptor(stream).map(Descriptor::hold) else { return };
        let mut block = self.blocks.get();
        self.errands += 1;
        // This waits for no disk, and for the cursor only while somebody else is reading or
        // writing.
        match syscall::read_at_once(descriptor.borrow(), &mut block) {
            Attempt::Done(result) => {
                // Through the inbox and not at once: the caller is in the middle of changing this
                // stream, and other streams are to have their turn.
                let done = move |core: &mut Self| core.file_was_read(stream, block, result);
                drop(self.shared.inbox.push(Message::Apply(Box::new(done))));
            }
            Attempt::WouldBlock => {
                let shared = Arc::clone(&self.shared);
                self.hand_to_files_lane(Box::new(move |_| {
                    let result = syscall::read(descriptor.borrow(), &mut block);
                    // Dropped before the outcome is reported, so that a close that follows has the
                    // only reference left.
                    drop(descriptor);
                    let done = move |core: &mut Self| core.file_was_read(stream, block, result);
                    drop(shared.inbox.push(Message::Apply(Box::new(done))));
                }));
            }
        }
    }

    fn file_was_read(&mut self, stream: Id, mut block: Vec<u8>, result: Result<usize, Errno>) {
        self.errands -= 1;
        let ended = match result {
            Ok(0) => Ended::EndOfStream,
            Ok(count) => {
                let bytes = self.blocks.received(&mut block, count);
                self.received(stream, bytes);
                Ended::Stopped
            }
            Err(error) => Ended::Failed(error.into()),
        };
        self.blocks.put(block);
        self.receive_ended(stream, ended);
    }

    /// Writes to a file, all or a part.
    pub(crate) fn write_file(&mut self, stream: Id, gather: Box<Gather>) {
        let Some(descriptor) = self.driver.descriptor(stream).map(Descriptor::hold) else { return };
        let append = self.stream(stream).is_some_and(|state| state.fd_kind.appends());
        self.errands += 1;
        let shared = Arc::clone(&self.shared);
        self.hand_to_files_lane(Box::new(move |_| {
            let result = syscall::write(descriptor.borrow(), &gather, append);
            drop(descriptor);
            let done = move |core: &mut Self| {
                core.errands -= 1;
                core.sent(stream, gather, result.map_err(io::Error::from));
            };
            drop(shared.inbox.push(Message::Apply(Box::new(done))));
        }));
    }

    /// Hands a job on a file to a worker. Where none can be had the engine does it itself: slow is
    /// better than lost.
    fn hand_to_files_lane(&mut self, job: Job) {
        match self.pool.submit(Lane::Files, job) {
            Ok(_) => {}
            Err(Refused::Full(job) | Refused::NoThread(_, job) | Refused::Closed(job)) => {
                job(&JobContext::outside());
            }
        }
    }

    /// A file is written where the program has read to, not where the engine has read ahead to.
    /// What is appended is not written at the cursor.
    pub(crate) fn before_file_write(&mut self, stream: Id) {
        let Some(state) = self.stream(stream).filter(|state| state.fd_kind.is_file()) else {
            return;
        };
        if let Some(rare) = state.rare.get_mut() {
            rare.end = None;
        }
        if !state.fd_kind.appends() {
            self.give_cursor_back(stream);
        }
    }

    /// Moves a file's cursor back to where the program has read to, and so gives what is unread to
    /// whoever reads next.
    pub(crate) fn give_cursor_back(&mut self, stream: Id) {
        let Some(state) = self.stream(stream).filter(|state| state.fd_kind.is_file()) else {
            return;
        };
        let unread = std::mem::take(&mut state.unread).len();
        if let Ok(unread @ 1..) = i64::try_from(unread)
            && let Some(descriptor) = self.driver.descriptor(stream)
        {
            // An error means that there is no cursor, or that somebody has moved it to before the
            // bytes that were read.
            syscall::move_cursor_back(descriptor.borrow(), unread);
        }
    }

    /// Moves the cursors of all files back to where the program has read to, because the engine
    /// ends.
    pub(crate) fn give_cursors_back(&mut self) {
        for stream in self.resources.ids() {
            self.give_cursor_back(stream);
        }
    }
}
