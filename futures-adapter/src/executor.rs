//! Tasks on an engine: their steps are run by the engine's turns, like any other callback.

use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread::{self, ThreadId},
    time::Duration,
};

use async_task::{Runnable, Task};
use facade_engine::{Callback, Cancel, Claim, CompletionHandler, Error, Handle, Local, Result};
use pin_project_lite::pin_project;
use slab::Slab;

/// The tasks of one engine that are ready to take a step.
pub(crate) struct Executor {
    handle: Handle,
    queue: Mutex<Queue>,
    /// The thread that its futures must not leave, if they must not.
    local: Option<ThreadId>,
}

#[derive(Default)]
struct Queue {
    runnables: VecDeque<Runnable>,
    /// Empty; kept for its memory.
    spare: VecDeque<Runnable>,
    /// The engine has been asked to run what is queued.
    posted: bool,
    /// The tasks that have not ended...
    live: Slab<Option<Waker>>,
    /// ...and the one operation that is pending while there are any, which only the engine's end
    /// ends.
    engine: Option<Cancel>,
}

impl Executor {
    /// An executor of futures that any thread may run and drop.
    pub(crate) fn new(handle: Handle) -> Arc<Self> {
        Arc::new(Self { handle, queue: Mutex::default(), local: None })
    }

    /// An executor of futures that must not leave this thread, which is the engine's.
    pub(crate) fn local(handle: Handle) -> Arc<Self> {
        Arc::new(Self { handle, queue: Mutex::default(), local: Some(thread::current().id()) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Spawns a future that any thread may run; the engine's does.
    pub(crate) fn spawn<T: Send + 'static>(
        self: &Arc<Self>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        let (executor, tracked) = (Arc::clone(self), self.track(future));
        let number = tracked.number;
        let schedule = move |runnable| executor.schedule(runnable);
        let (runnable, task) = async_task::spawn(tracked, schedule);
        self.begin(number, runnable);
        task
    }

    /// Spawns a future that must not leave its thread, on an executor made for that.
    pub(crate) fn spawn_local<T: 'static>(
        self: &Arc<Self>,
        future: impl Future<Output = T> + 'static,
    ) -> Task<T> {
        debug_assert!(self.local.is_some());
        let (executor, tracked) = (Arc::clone(self), self.track(future));
        let number = tracked.number;
        let schedule = move |runnable| executor.schedule(runnable);
        let (runnable, task) = async_task::spawn_local(tracked, schedule);
        self.begin(number, runnable);
        task
    }

    /// Counts a task as live.
    fn track<F: Future>(self: &Arc<Self>, future: F) -> Tracked<F> {
        let mut queue = self.lock();
        if queue.live.is_empty() {
            let callback = Callback::handler(Arc::clone(self));
            queue.engine = Some(self.handle.sleep(Duration::MAX, callback));
        }
        let number = queue.live.insert(None);
        Tracked { future, executor: Arc::clone(self), number }
    }

    fn begin(self: &Arc<Self>, number: usize, runnable: Runnable) {
        self.lock().live[number] = Some(runnable.waker());
        runnable.schedule();
    }

    /// A task has ended.
    fn forget(&self, number: usize) {
        let mut queue = self.lock();
        let waker = queue.live.remove(number);
        if queue.live.is_empty()
            && let Some(engine) = queue.engine.take()
        {
            engine.cancel();
        }
        drop(queue);
        drop(waker);
    }

    fn schedule(self: &Arc<Self>, runnable: Runnable) {
        let mut queue = self.lock();
        queue.runnables.push_back(runnable);
        if mem::replace(&mut queue.posted, true) {
            return;
        }
        drop(queue);
        self.post();
    }

    fn post(self: &Arc<Self>) {
        let batch = Batch { executor: Arc::clone(self), begun: false };
        self.handle.post(move |_| batch.run());
    }

    /// Drops the tasks that would take a step; for when the engine is gone.
    pub(crate) fn drop_queued(&self) {
        let runnables = mem::take(&mut self.lock().runnables);
        drop(runnables);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears of the engine's end: every task is woken to be dropped, whatever it waits for.
impl CompletionHandler<()> for Executor {
    fn completed(self: Arc<Self>, _local: &Local, outcome: Result<Claim<()>>) {
        if matches!(outcome, Err(Error::EngineClosed)) {
            let wakers: Vec<Waker> =
                self.lock().live.iter().filter_map(|(_, waker)| waker.clone()).collect();
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    fn refused(self: Arc<Self>) {}
}

pin_project! {
    /// A task's future, live until it is dropped.
    struct Tracked<F> {
        #[pin]
        future: F,
        executor: Arc<Executor>,
        number: usize,
    }

    impl<F> PinnedDrop for Tracked<F> {
        fn drop(this: Pin<&mut Self>) {
            this.executor.forget(this.number);
        }
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(context)
    }
}

/// What was posted to the engine: to run the tasks that are ready by then. Those that become ready
/// meanwhile are posted anew, so that the engine keeps its budget.
struct Batch {
    executor: Arc<Executor>,
    begun: bool,
}

/// The tasks that were ready when a batch began and have not taken their step.
struct Rest<'a> {
    executor: &'a Arc<Executor>,
    runnables: VecDeque<Runnable>,
}

impl Batch {
    fn run(mut self) {
        if self.executor.handle.is_closed() {
            // A task that tries again and again would find everything refused, for ever.
            return;
        }
        self.begun = true;
        let mut queue = self.executor.lock();
        queue.posted = false;
        let spare = mem::take(&mut queue.spare);
        let runnables = mem::replace(&mut queue.runnables, spare);
        drop(queue);
        let mut rest = Rest { executor: &self.executor, runnables };
        while let Some(runnable) = rest.runnables.pop_front() {
            // A panic goes on to the engine, which contains it; dropping `rest` posts the others.
            runnable.run();
        }
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        let mut queue = self.executor.lock();
        let rest = mem::take(&mut self.runnables);
        if rest.is_empty() {
            queue.spare = rest;
            return;
        }
        // One has panicked; the others are before those that have become ready since.
        let behind = mem::replace(&mut queue.runnables, rest);
        queue.runnables.extend(behind);
        if !mem::replace(&mut queue.posted, true) {
            drop(queue);
            self.executor.post();
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.begun {
            return;
        }
        let mut queue = self.executor.lock();
        // The engine is gone or going: tasks end by being dropped.
        queue.posted = false;
        if self.executor.local.is_some_and(|home| home != thread::current().id()) {
            // Futures that must not leave their thread are not dropped on this one.
            return;
        }
        drop(queue);
        self.executor.drop_queued();
    }
}
