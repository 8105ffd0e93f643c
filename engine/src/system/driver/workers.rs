//! [`Workers`]: what a driver has threads do, because only calls that may wait can: files by
//! position, and devices, pipes and terminals that nothing tells about.

use std::{
    collections::HashMap,
    io, mem,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    pure::{buffer::outgoing::Gather, table::Id},
    system::{
        descriptor::Descriptor,
        driver::{FileDone, FileTask, Waker, blocks::Blocks},
        fd_kind::FdKind,
        pool::{Job, JobContext, Lane, Pool, Refused, Ticket},
        sys::{
            errno::Errno,
            outcome::{Attempt, Pushed, Received},
            syscall,
            unsent::Unsent,
        },
    },
};

/// The jobs that workers have in hand.
pub(super) struct Workers {
    pool: Pool,
    waker: Waker,
    /// What they have done.
    finished: Arc<Mutex<Vec<Finished>>>,
    /// Which jobs work for which operations above, on files by position.
    tasks: HashMap<Id, Task>,
    /// How many jobs they have in hand...
    at_work: usize,
    /// ...of which so many wait for a device to say something, which it need not...
    reading: usize,
    /// ...and so many write what nobody waits for any more, which may take as long.
    let_go: usize,
}

/// A job for an operation on a file by position.
struct Task {
    ticket: Ticket,
    /// What it has done if it never begins.
    undone: fn() -> FileDone,
}

/// What a worker has done.
pub(super) struct Finished {
    pub(super) resource: Id,
    pub(super) event: WorkerEvent,
}

pub(super) enum WorkerEvent {
    /// What a call that may have waited has received, and its block.
    Received(Vec<u8>, Received),
    /// The same of a send; without its bytes if they were had back.
    Pushed(Option<Box<Gather>>, Pushed),
    /// Something at a position, for an operation above; a read with its block.
    Task { operation: Id, done: TaskDone },
}

pub(super) enum TaskDone {
    Read { block: Vec<u8>, result: Result<usize, Errno> },
    Other(FileDone),
}

impl Workers {
    pub(super) fn new(pool: Pool, waker: Waker) -> Self {
        Self {
            pool,
            waker,
            finished: Arc::default(),
            tasks: HashMap::new(),
            at_work: 0,
            reading: 0,
            let_go: 0,
        }
    }

    /// Whether they do something that ends by itself.
    pub(super) const fn is_at_work(&self) -> bool {
        self.at_work > self.reading + self.let_go
    }

    /// Does something to a file at a position: a read at once if the bytes are in memory, which is
    /// then returned; anything else on a worker.
    pub(super) fn begin_on_file(
        &mut self,
        resource: Id,
        operation: Id,
        descriptor: &Arc<Descriptor>,
        task: FileTask,
        blocks: &Blocks,
    ) -> Option<FileDone> {
        let descriptor = descriptor.hold();
        let report = self.reporter(resource);
        let tell = move |done| report(WorkerEvent::Task { operation, done });
        let (job, undone): (Job, fn() -> FileDone) = match task {
            FileTask::Read { offset, size } => {
                let mut block = blocks.get_sized(size);
                let slice = &mut block[..size];
                let attempt = syscall::read_file_at_once(descriptor.borrow(), slice, offset);
                if let Attempt::Done(result) = attempt {
                    return Some(was_read(blocks, block, result));
                }
                let job = move |_: &JobContext<'_>| {
                    let slice = &mut block[..size];
                    let result = syscall::read_file(descriptor.borrow(), slice, offset);
                    // Before it is reported, so that a close that follows has the only reference
                    // left.
                    drop(descriptor);
                    tell(TaskDone::Read { block, result });
                };
                (Box::new(job), || FileDone::Read(Err(Errno::CANCELED.into())))
            }
            FileTask::Write { offset, bytes } => {
                let job = move |_: &JobContext<'_>| {
                    let result = syscall::write_at(descriptor.borrow(), &bytes, offset);
                    drop((bytes, descriptor));
                    tell(TaskDone::Other(FileDone::Written(result.map_err(Into::into))));
                };
                (Box::new(job), || FileDone::Written(Ok(0)))
            }
            FileTask::Sync => {
                let job = move |_: &JobContext<'_>| {
                    let result = syscall::sync(descriptor.borrow());
                    drop(descriptor);
                    tell(TaskDone::Other(FileDone::Synced(result.map_err(Into::into))));
                };
                (Box::new(job), || FileDone::Synced(Err(Errno::CANCELED.into())))
            }
        };
        self.at_work += 1;
        match self.pool.submit(Lane::Files, job) {
            Ok(ticket) => _ = self.tasks.insert(operation, Task { ticket, undone }),
            // Slow is better than lost.
            Err(Refused::Full(job) | Refused::NoThread(_, job) | Refused::Closed(job)) => {
                job(&JobContext::outside());
            }
        }
        None
    }

    /// A job on a file that has not begun is not done, which is returned; one that has ends by
    /// itself.
    pub(super) fn cancel_on_file(&mut self, operation: Id) -> Option<FileDone> {
        let job = self.pool.abandon(self.tasks.get(&operation)?.ticket)?;
        drop(job);
        self.at_work -= 1;
        self.tasks.remove(&operation).map(|task| (task.undone)())
    }

    /// Has a worker receive what only a call that may wait can. Returns whether one does.
    pub(super) fn receive(
        &mut self,
        resource: Id,
        descriptor: &Arc<Descriptor>,
        fd_kind: FdKind,
        mut block: Vec<u8>,
    ) -> bool {
        let (descriptor, report) = (descriptor.hold(), self.reporter(resource));
        let begun = self.wait_on_device(Box::new(move |_| {
            let received = syscall::receive_waiting(descriptor.borrow(), fd_kind, &mut block);
            drop(descriptor);
            report(WorkerEvent::Received(block, received));
        }));
        let begun = begun.is_ok();
        self.at_work += usize::from(begun);
        self.reading += usize::from(begun);
        begun
    }

    /// Has a worker send what only a call that may wait can. What is returned has it back.
    ///
    /// # Errors
    ///
    /// The bytes, if there is no worker for them.
    pub(super) fn send(
        &mut self,
        resource: Id,
        descriptor: &Arc<Descriptor>,
        fd_kind: FdKind,
        gather: Box<Gather>,
    ) -> Result<Arc<Unsent>, Box<Gather>> {
        let (descriptor, report) = (descriptor.hold(), self.reporter(resource));
        let unsent = Arc::new(Unsent::new(gather));
        let sends = Arc::clone(&unsent);
        let begun = self.wait_on_device(Box::new(move |_| {
            let (gather, pushed) = syscall::send_waiting(descriptor.borrow(), fd_kind, &sends);
            drop(descriptor);
            report(WorkerEvent::Pushed(gather, pushed));
        }));
        if begun.is_err()
            && let Some((gather, _)) = unsent.take_back()
        {
            return Err(gather);
        }
        self.at_work += 1;
        Ok(unsent)
    }

    /// Has back what a worker was to send, with how many of its bytes count as sent. None if the
    /// worker has it in hand: it gives it back soon.
    pub(super) fn take_back(&mut self, unsent: &Unsent) -> Option<(Box<Gather>, usize)> {
        let had_back = unsent.take_back();
        self.let_go += usize::from(had_back.is_some());
        had_back
    }

    /// Hands a job that may wait to a worker; the engine's thread never waits itself.
    fn wait_on_device(&self, job: Job) -> Result<(), Job> {
        match self.pool.submit(Lane::Devices, job) {
            Ok(_) => Ok(()),
            Err(Refused::Full(job) | Refused::NoThread(_, job) | Refused::Closed(job)) => Err(job),
        }
    }

    /// Tells what a worker has done. Only the first since the engine has looked wakes it, which
    /// takes all.
    fn reporter(&self, resource: Id) -> impl FnOnce(WorkerEvent) + Send + 'static {
        let (finished, waker) = (Arc::clone(&self.finished), self.waker.clone());
        move |event| {
            let mut finished = finished.lock().unwrap_or_else(PoisonError::into_inner);
            finished.push(Finished { resource, event });
            let is_first = finished.len() == 1;
            drop(finished);
            if is_first {
                waker.wake();
            }
        }
    }

    /// What they have done since this was last asked.
    pub(super) fn take_finished(&mut self) -> Vec<Finished> {
        if self.at_work == 0 {
            return Vec::new();
        }
        let finished =
            mem::take(&mut *self.finished.lock().unwrap_or_else(PoisonError::into_inner));
        for Finished { event, .. } in &finished {
            self.at_work -= 1;
            match event {
                WorkerEvent::Received(..) => self.reading -= 1,
                WorkerEvent::Task { operation, .. } => _ = self.tasks.remove(operation),
                WorkerEvent::Pushed(gather, _) => self.let_go -= usize::from(gather.is_none()),
            }
        }
        finished
    }
}

impl TaskDone {
    pub(super) fn into_done(self, blocks: &Blocks) -> FileDone {
        match self {
            Self::Read { block, result } => was_read(blocks, block, result),
            Self::Other(done) => done,
        }
    }
}

fn was_read(blocks: &Blocks, block: Vec<u8>, result: Result<usize, Errno>) -> FileDone {
    let received = |count| blocks.received_sized(block, count);
    FileDone::Read(result.map(received).map_err(io::Error::from))
}
