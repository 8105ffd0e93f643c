//! [`Local`]: the proof of being on the engine's thread.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt,
    ops::Deref,
    sync::atomic::Ordering::*,
};

use slab::Slab;

use crate::{
    core::{Core, pending::PendingOperation},
    handles::{
        cancel::Cancel,
        current::{inspect, with_current},
        handle::Handle,
        shared::Shared,
    },
    pure::{metrics::Metrics, table::Id},
};

/// What callbacks get: "you are on the engine's thread".
///
/// Not `Send`. Dereferences to [`Handle`], so that every operation can be called on it.
///
/// ```
/// use facade_engine::{Engine, Handle, Local};
///
/// fn on_the_engine(local: &Local) {
///     let handle: Handle = local.handle().clone();
///     std::thread::spawn(move || handle.stop());
/// }
///
/// let engine = Engine::new()?;
/// let _guard = engine.keep_alive();
/// engine.post(on_the_engine);
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
pub struct Local {
    handle: Handle,
    /// The closures of [`Callback::local`](crate::Callback::local), which must not leave the
    /// thread.
    pub(crate) closures: RefCell<Slab<Box<dyn Any>>>,
    /// How many turns there were, and how many callbacks they have run.
    turns: Cell<u64>,
    callbacks: Cell<u64>,
}

impl Local {
    pub(crate) const fn new(handle: Handle) -> Self {
        Self {
            handle,
            closures: RefCell::new(Slab::new()),
            turns: Cell::new(0),
            callbacks: Cell::new(0),
        }
    }

    /// A turn has run so many callbacks.
    #[inline]
    pub(crate) fn count_turn(&self, callbacks: usize) {
        self.turns.set(self.turns.get() + 1);
        self.callbacks.set(self.callbacks.get() + callbacks as u64);
    }

    /// The handle, to be cloned and sent to other threads.
    ///
    /// See [`Local`] for an example.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `f` as soon as the engine comes to it, as [`Handle::post`] does, with which it shares
    /// one order; but `f` need not be `Send`: it stays on this thread, in the engine's own table,
    /// as that of [`Callback::local`](crate::Callback::local) does.
    ///
    /// It is what `post` means inside a callback, and on an [`Engine`](crate::Engine). Dropped
    /// unrun if the engine is gone. To find the closure again takes some ten nanoseconds more than
    /// `local.handle().post(f)` does of one that is `Send`.
    ///
    /// ```
    /// use facade_engine::Engine;
    /// use std::{cell::{Cell, RefCell}, rc::Rc};
    ///
    /// let engine = Engine::new()?;
    /// let steps = Rc::new(RefCell::new(Vec::new()));
    /// let (first, second) = (Rc::clone(&steps), Rc::clone(&steps));
    /// engine.post(move |local| {
    ///     local.post(move |_| second.borrow_mut().push("second"));
    ///     first.borrow_mut().push("first");
    /// });
    /// engine.run()?;
    /// assert_eq!(*steps.borrow(), ["first", "second"]);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn post<F: FnOnce(&Self) + 'static>(&self, f: F) {
        if self.times_callbacks() {
            self.post_closure(move |local| local.time("post", || f(local)));
        } else {
            self.post_closure(f);
        }
    }

    fn post_closure<F: FnOnce(&Self) + 'static>(&self, f: F) {
        // In the child of a fork the closure is dropped at once. The table is the parent's.
        if self.is_inherited() {
            return;
        }
        let key = self.closures.borrow_mut().insert(Box::new(f));
        let take = move |local: &Self| {
            // In two steps, so that the table is not borrowed while a closure is dropped: what it
            // has captured may post.
            let closure = local.closures.borrow_mut().try_remove(key);
            closure.and_then(|closure| closure.downcast::<F>().ok())
        };
        // Only its key travels. A closure that the engine has accepted and never runs is dropped
        // with the table.
        let run = move |local: &Self| {
            if let Some(f) = take(local) {
                f(local);
            }
        };
        if !self.handle.push_post(run) {
            drop(take(self));
        }
    }

    /// The [`Cancel`] of the repeating operation whose handler runs: to end it from within, or to
    /// [pause](Cancel::pause) it. Elsewhere it is one that [cancels nothing](Cancel::none).
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Error};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new()?;
    /// let mut left = 3;
    /// engine.every(
    ///     Duration::from_millis(1),
    ///     move |local, _| {
    ///         left -= 1;
    ///         if left == 0 {
    ///             local.repeating().cancel();
    ///         }
    ///     },
    ///     Callback::from_fn(|_, outcome| assert!(matches!(outcome, Err(Error::Cancelled)))),
    /// );
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn repeating(&self) -> Cancel {
        let running = with_current(self.id(), |core| core.repeating);
        Cancel::new(self.id(), running.filter(|&id| id != Id::NONE))
    }

    /// What the engine is waiting for; see [`Engine::pending`](crate::Engine::pending). Inside a
    /// callback, those that are to run behind it are left out.
    ///
    /// From another thread, or a future, post it: an engine that hangs in nobody's callback answers
    /// at once.
    ///
    /// ```
    /// use facade_engine::Engine;
    ///
    /// let engine = Engine::new()?;
    /// let handle = engine.handle().clone();
    /// let watchdog = std::thread::spawn(move || handle.post(|local| {
    ///     for pending in local.pending() {
    ///         println!("{pending}");
    ///     }
    ///     local.stop();
    /// }));
    /// let _guard = engine.keep_alive();
    /// engine.run()?;
    /// # watchdog.join().unwrap();
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn pending(&self) -> Vec<PendingOperation> {
        if self.is_inherited() {
            return Vec::new();
        }
        let Shared { keep_alive, inbox, .. } = &**self.shared();
        let mut all = inspect(self.id(), Core::report).unwrap_or_default();
        all.extend(PendingOperation::several("submission", usize::from(!inbox.is_empty())));
        all.extend(PendingOperation::several("keep_alive", keep_alive.load(SeqCst)));
        all
    }
}

impl Local {
    /// How much the engine has done, and has before it; see
    /// [`Engine::metrics`](crate::Engine::metrics). Inside a callback those that are to run behind it
    /// are left out, and what this turn has run is not counted yet.
    ///
    /// From another thread, or a future, post it.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new()?;
    /// engine.sleep(Duration::from_millis(1), Callback::new(
    ///     |engine, ()| println!("{} turns so far", engine.metrics().turns),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn metrics(&self) -> Metrics {
        if self.is_inherited() {
            return Metrics::default();
        }
        let metrics = inspect(self.id(), Core::metrics).unwrap_or_default();
        Metrics {
            turns: self.turns.get(),
            callbacks: self.callbacks.get(),
            pending: self.pending().iter().map(|one| one.count).sum(),
            ..metrics
        }
    }
}

impl Deref for Local {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("engine", &self.handle.id()).finish_non_exhaustive()
    }
}
