//! [`LiveTask`]: a task of an executor that runs in the engine's turns, as the engine sees it.
//! [`TaskPanic`]: what is to become of one that panics.

use std::task::Waker;

use crate::{
    core::Core,
    handles::{
        current::{with_any_current, with_current},
        queue::{message::Message, ready::Ready},
        registry,
    },
    pure::table::Id,
};

/// A task that lives on an engine: until this is dropped it is pending, like an operation without
/// an outcome, so [`run`](crate::Engine::run) goes on. When the engine ends, it is woken.
///
/// This is for adapters to other styles, whose tasks wait for other things than the engine's
/// operations too. Dropping it tells the engine that the task is over; from any thread.
///
/// ```
/// use facade_engine::{Engine, adapter::LiveTask};
/// use std::task::Waker;
///
/// let engine = Engine::new()?;
/// engine.post(|local| {
///     let task = LiveTask::enter(Waker::noop().clone()).expect("in a turn");
///     local.post(move |_| drop(task)); // over
/// });
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the task is over when this is dropped"]
pub struct LiveTask {
    engine: u32,
    id: Id,
}

impl LiveTask {
    /// Enters a task at the engine in whose turn this is called; none if it is called elsewhere.
    /// `waker` is woken once at most: when the engine ends.
    ///
    /// See [`LiveTask`] for an example.
    #[must_use]
    pub fn enter(waker: Waker) -> Option<Self> {
        with_any_current(|core| Self { engine: core.engine, id: core.tasks.insert(waker) })
    }
}

/// What becomes of the panic of a task: of a future that an adapter runs in the engine's turns. The
/// panic hook has printed it in any case.
///
/// This is not about callbacks, nor about the future that [`run_until`](crate::Engine::run_until)
/// drives: their panics are contained, and resumed by the run after its turn.
///
/// ```
/// use facade_engine::{Engine, TaskPanic};
///
/// let engine = Engine::builder().task_panic(TaskPanic::EndsRun).build()?;
/// assert_eq!(engine.task_panic(), TaskPanic::EndsRun);
/// assert_eq!(Engine::new()?.task_panic(), TaskPanic::EndsTask);
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskPanic {
    /// It ends the task and nothing else, and is resumed where the task is awaited. A server that
    /// runs a task for each connection loses the one.
    #[default]
    EndsTask,
    /// The run resumes it after its turn, as it does with the panic of a callback: for programs
    /// that are to end then, and tests. Engines on threads of their own go on all the same.
    EndsRun,
}

impl Drop for LiveTask {
    fn drop(&mut self) {
        let id = self.id;
        // A waker's drop is the user's code: it runs when the state is no longer borrowed.
        match with_current(self.engine, |core| core.tasks.remove(id)) {
            Some(waker) => drop(waker),
            None => {
                if let Some(shared) = registry::engine(self.engine) {
                    let leave = move |core: &mut Core| core.leave(id);
                    drop(shared.inbox.push(Message::Apply(Box::new(leave))));
                }
            }
        }
    }
}

impl Core {
    fn leave(&mut self, id: Id) {
        if let Some(waker) = self.tasks.remove(id) {
            self.ready.push(Ready::Run(Box::new(move |_| drop(waker))));
        }
    }

    /// Wakes all tasks, for the engine ends.
    pub(crate) fn wake_tasks(&mut self) {
        for id in self.tasks.ids() {
            if let Some(waker) = self.tasks.remove(id) {
                self.ready.push(Ready::Run(Box::new(move |_| waker.wake())));
            }
        }
    }
}
