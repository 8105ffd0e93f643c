//! Tasks on an engine: their steps are run by the engine's turns, like any other callback.
//!
//! There is no queue here. A task that is to take a step is posted to the engine, and so is a
//! callback of its own: run in order, and counted. Between its steps the engine knows it as a
//! [`LiveTask`]. Its panic is kept for whoever awaits it, unless the engine was built to have it
//! resumed by the run.

use std::{
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    thread::{self, ThreadId},
};

use async_task::{Builder, Runnable, Task};
use facade_engine::{Handle, Local, TaskPanic, adapter::LiveTask};
use pin_project_lite::pin_project;

/// Spawns a future that any thread may run; the engine's does.
pub(crate) fn spawn<T: Send + 'static>(
    engine: &Handle,
    future: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    let builder = builder(engine);
    let origin = Origin::of(engine);
    let schedule = move |runnable| {
        if let Some(runnable) = origin.claim(runnable) {
            origin.engine.post(|local| step(local, runnable));
        }
    };
    let (runnable, task) = builder.spawn(|()| Tracked::new(future), schedule);
    runnable.schedule();
    task
}

/// Where a task was spawned.
struct Origin {
    engine: Handle,
    /// In the child of a fork, on an engine of its parent's. The engine refuses it.
    in_child: bool,
}

impl Origin {
    fn of(engine: &Handle) -> Self {
        Self { engine: engine.clone(), in_child: engine.is_inherited() }
    }

    /// The task, unless it was woken in the child of a fork and is the parent's: then it is neither
    /// run here nor dropped.
    fn claim(&self, runnable: Runnable) -> Option<Runnable> {
        if self.engine.is_inherited() && !self.in_child {
            mem::forget(runnable);
            return None;
        }
        Some(runnable)
    }
}

/// How tasks on this engine are made.
fn builder(engine: &Handle) -> Builder<()> {
    Builder::new().propagate_panic(engine.task_panic() != TaskPanic::EndsRun)
}

/// Lets a task take a step. A panic that it does not keep goes on to the engine.
fn step(local: &Local, runnable: Runnable) {
    // In the engine's last turn tasks end by being dropped: one that tries again and again would
    // find everything refused, for ever.
    if !local.is_closed() {
        runnable.run();
    }
}

/// Spawns futures that must not leave this thread, which is the engine's.
pub(crate) struct LocalExecutor(Arc<Home>);

struct Home {
    engine: Handle,
    thread: ThreadId,
    /// The tasks that were refused on another thread, and must not be dropped there.
    stranded: Mutex<Vec<Runnable>>,
}

impl LocalExecutor {
    pub(crate) fn new(engine: Handle) -> Self {
        let thread = thread::current().id();
        Self(Arc::new(Home { engine, thread, stranded: Mutex::default() }))
    }

    pub(crate) fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        let builder = builder(&self.0.engine);
        let (home, origin) = (Arc::clone(&self.0), Origin::of(&self.0.engine));
        let schedule = move |runnable| {
            if let runnable @ Some(_) = origin.claim(runnable) {
                let at_home = AtHome { home: Arc::clone(&home), runnable };
                home.engine.post(|local| at_home.step(local));
            }
        };
        let (runnable, task) = builder.spawn_local(|()| Tracked::new(future), schedule);
        runnable.schedule();
        task
    }
}

/// After the engine: tasks that another thread has woken since are dropped on this one.
impl Drop for LocalExecutor {
    fn drop(&mut self) {
        if self.0.engine.is_inherited() {
            // In the child of a fork these tasks are the parent's.
            return mem::forget(Arc::clone(&self.0));
        }
        let stranded = mem::take(&mut *self.0.stranded());
        drop(stranded);
    }
}

impl fmt::Debug for LocalExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalExecutor")
    }
}

impl Home {
    fn stranded(&self) -> MutexGuard<'_, Vec<Runnable>> {
        self.stranded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step of a task that must not leave its thread. An engine that is gone drops it on any.
struct AtHome {
    home: Arc<Home>,
    runnable: Option<Runnable>,
}

impl AtHome {
    fn step(mut self, local: &Local) {
        if let Some(runnable) = self.runnable.take() {
            step(local, runnable);
        }
    }
}

impl Drop for AtHome {
    fn drop(&mut self) {
        if let Some(runnable) = self.runnable.take()
            && self.home.thread != thread::current().id()
        {
            self.home.stranded().push(runnable);
        }
    }
}

pin_project! {
    /// A task's future, known to the engine from the end of its first step until it is dropped.
    /// Before, what is posted stands for it.
    struct Tracked<F> {
        // Here until it is dropped.
        #[pin]
        future: Option<F>,
        live: Option<LiveTask>,
    }

    /// A panic of what the future owns would end the process: `async_task` cannot let it pass.
    impl<F> PinnedDrop for Tracked<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut future = this.project().future;
            drop_contained(|| future.set(None));
        }
    }
}

/// Drops something of the user's. The hook has reported a panic; what that says may panic, too,
/// when it is dropped, and what comes out then is left alone.
fn drop_contained(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f))
        && let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload)))
    {
        mem::forget(again);
    }
}

impl<F> Tracked<F> {
    const fn new(future: F) -> Self {
        Self { future: Some(future), live: None }
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(future) = this.future.as_pin_mut() else {
            unreachable!("it is dropped only when it is polled no more");
        };
        let poll = future.poll(context);
        if poll.is_pending() && this.live.is_none() {
            *this.live = LiveTask::enter(context.waker().clone());
        }
        poll
    }
}
