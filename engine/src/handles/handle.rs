//! [`Handle`]: the facade, whose methods are the operations.

use std::{
    fmt,
    sync::{Arc, Weak, atomic::Ordering::*},
};

use crate::{
    core::Core,
    handles::{
        cancel::{Cancel, Key},
        current::{is_current, lives_here, with_current},
        local::Local,
        queue::message::{Begin, Message},
        shared::Shared,
        small_fn::SmallFnOnce,
        stream::Stream,
        task::TaskPanic,
    },
    pure::{
        error::{self},
        table::Id,
    },
    system::fork,
};

/// The facade: every operation is a method of it, returns at once, and reports through its
/// [`Callback`](crate::Callback).
///
/// Cheap to clone, and usable from any thread and inside any callback. It does not keep the engine
/// alive: what is submitted to an engine that is gone is refused, its callback dropped unrun.
///
/// ```
/// use facade_engine::{Callback, Engine, Handle};
///
/// let engine = Engine::new()?;
/// let handle: Handle = engine.handle().clone();
/// let guard = engine.keep_alive();
/// std::thread::spawn(move || {
///     handle.submit_work(|| 6 * 7, Callback::new(
///         move |_, answer| {
///             assert_eq!(answer, 42);
///             drop(guard);
///         },
///         |_, error| panic!("{error}"),
///     ));
/// });
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
///
/// # What all operations have in common
///
/// - The callback runs exactly once, on the engine's thread, never inside the call that submits. It
///   gets what is wrong with an argument, too.
/// - The operation returns its [`Cancel`]. Dropping that does nothing.
/// - An operation on a stream, listener, socket or file goes to the engine which that belongs to, whichever
///   handle it is called on, and its callback runs on that engine's thread. Everything else goes to
///   the handle's own engine, and so do the streams that it makes: of [`connect`](Self::connect),
///   [`attach`](Self::attach), [`listen`](Self::listen).
/// - What an operation says about cancellation holds for its timeout as well, see
///   [`Callback::timeout`](crate::Callback::timeout). Only the error differs:
///   [`Cancelled`](crate::Error::Cancelled) or [`TimedOut`](crate::Error::TimedOut).
/// - Dropping a [`Stream`] or [`Listener`](crate::Listener) does not end what is pending on it.
///   Dropping the [`Engine`](crate::Engine) does, with
///   [`EngineClosed`](crate::Error::EngineClosed).
///
/// # What all reads have in common
///
/// Reads of a stream succeed in the order submitted. What a read yields depends on the bytes, the
/// end of the stream and the limit, never on how the network cut the bytes up. Whatever it does not
/// take stays unread: after a cancel, a timeout, [`TooLong`](crate::Error::TooLong),
/// [`Unexpected`](crate::Error::Unexpected), or the end of the stream before a match, every byte is
/// there for the next read, in order. The end of a stream and its failure come after every byte
/// that arrived before them.
///
/// # What all writes have in common
///
/// Writes of a stream succeed in the order submitted. A write succeeds when the engine has all of
/// it and at most [`Limits::unsent`](crate::Limits::unsent) bytes up to its end are unsent;
/// [`flush`](Self::flush) succeeds when the system has everything. What one turn writes to a stream
/// goes out together at the turn's end. A write that does not succeed says exactly how many of its
/// bytes the system took: none is the plain error, some is
/// [`PartialWrite`](crate::Error::PartialWrite). Then queued and later writes fail with
/// [`Cut`](crate::Error::Cut) until [`take_unsent`](Self::take_unsent), so that a frame is never
/// silently cut in half.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// Runs `f` on the engine's thread, as soon as it comes to it. Posts of one thread run in
    /// order; however many there are, deadlines, streams and other threads' posts have their turn
    /// in between.
    ///
    /// Returns nothing and cannot fail: if the engine is gone, `f` is dropped unrun. On the
    /// engine's own thread `f` need not be `Send`, see [`Local::post`].
    ///
    /// ```
    /// use facade_engine::Engine;
    ///
    /// let engine = Engine::new()?;
    /// let handle = engine.handle().clone();
    /// std::thread::spawn(move || handle.post(|local| local.stop()));
    /// let _guard = engine.keep_alive();
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn post(&self, f: impl FnOnce(&Local) + Send + 'static) {
        if self.times_callbacks() {
            self.push_post(move |local| local.time("post", || f(local)));
            return;
        }
        self.push_post(f);
    }

    /// Posts as [`post`](Self::post) does, and returns whether the engine has accepted the closure.
    pub(super) fn push_post(&self, f: impl FnOnce(&Local) + Send + 'static) -> bool {
        // The closure is built in place, where it is stored, so that its captures are moved once.
        let mut f = Some(move |local: &Local, ()| f(local));
        with_current(self.shared.id, |core| {
            if !core.ending
                && let Some(f) = f.take()
            {
                core.post(SmallFnOnce::new(f));
            }
        });
        let Some(f) = f else { return true };
        let f = SmallFnOnce::new(f);
        let message = match lives_here(self.shared.id) {
            true => Message::Post(f),
            false => Message::Request(f),
        };
        self.shared.inbox.push(message).is_ok()
    }

    /// Ends the run under way after its turn; if none is, ends the next one before it waits.
    ///
    /// What was written is tried once more; what is pending stays pending for another run.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new()?;
    /// engine.sleep(Duration::from_secs(3600), Callback::ignore());
    /// engine.post(|local| local.stop());
    /// engine.run()?; // returns although the sleep is pending
    /// assert_eq!(engine.run_once(Some(Duration::ZERO))?.pending, 1);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn stop(&self) {
        self.shared.stop.store(true, SeqCst);
        self.shared.inbox.wake();
    }

    /// Keeps [`run`](crate::Engine::run) from ending while the guard lives, although nothing may be
    /// pending: for an engine that other threads submit to.
    ///
    /// ```
    /// use facade_engine::Engine;
    ///
    /// let engine = Engine::new()?;
    /// let (handle, guard) = (engine.handle().clone(), engine.keep_alive());
    /// std::thread::spawn(move || {
    ///     handle.post(|_| println!("from another thread"));
    ///     drop(guard);
    /// });
    /// engine.run()?; // waits for the thread
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn keep_alive(&self) -> KeepAlive {
        self.shared.keep_alive.fetch_add(1, SeqCst);
        KeepAlive { handle: self.clone() }
    }

    /// Whether the engine is gone or going, so that whatever is submitted is refused; or
    /// [inherited](Self::is_inherited).
    ///
    /// ```
    /// use facade_engine::Engine;
    ///
    /// let engine = Engine::new()?;
    /// let handle = engine.handle().clone();
    /// assert!(!handle.is_closed());
    /// drop(engine);
    /// assert!(handle.is_closed());
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.inbox.is_closed()
    }

    /// Whether this process is a child of the one that the engine lives in, by a fork(2) that no
    /// program was executed after. Then whatever is submitted is refused as by an engine that is
    /// gone, and what returns an error says [`Forked`](crate::Error::Forked).
    ///
    /// What was submitted before the fork is the parent's: nothing of it is reported here, and nothing of
    /// it is dropped. A stream, listener or file that the child drops is closed there and goes on
    /// in the parent. An engine that the child builds is as any other.
    ///
    /// This looks at one number in memory. A child made by clone(2) itself is not noticed.
    ///
    /// ```
    /// let engine = facade_engine::Engine::new()?;
    /// assert!(!engine.handle().is_inherited());
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "fork")]
    pub fn is_inherited(&self) -> bool {
        fork::is_inherited(self.shared.id)
    }

    /// The driver in use, as `FACADE_DRIVER` would name it.
    ///
    /// ```
    /// let engine = facade_engine::Engine::new()?;
    /// assert!(["mio", "io_uring"].contains(&engine.handle().driver()));
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn driver(&self) -> &'static str {
        self.shared.driver
    }

    /// What the builder said of tasks that panic: for adapters, which run them.
    ///
    /// See [`TaskPanic`] for an example.
    pub fn task_panic(&self) -> TaskPanic {
        self.shared.task_panic
    }

    pub(crate) fn id(&self) -> u32 {
        self.shared.id
    }

    pub(crate) fn downgrade(&self) -> Weak<Shared> {
        Arc::downgrade(&self.shared)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Does something to the engine's state: now if this is its thread's turn, else when it takes
    /// its inbox. Dropped undone when the engine is gone, which is the error.
    pub(crate) fn apply(&self, f: impl FnOnce(&mut Core) + Send + 'static) -> error::Result<()> {
        if is_current(self.shared.id) {
            with_current(self.shared.id, f);
            return Ok(());
        }
        let pushed = self.shared.inbox.push(Message::Apply(Box::new(f)));
        pushed.map_err(|_| self.shared.refusal())
    }

    /// For what does something to the system before the engine hears of it: fails if it never
    /// would.
    pub(crate) fn check_open(&self) -> error::Result<()> {
        if self.is_closed() { Err(self.shared.refusal()) } else { Ok(()) }
    }

    /// Has a reference to a stream dropped in the engine's turn. Gives it back if there is none to
    /// come.
    pub(crate) fn send_to_owner(&self, stream: Stream) -> Result<(), Stream> {
        self.shared.inbox.push(Message::Drop(stream)).map_err(|refused| match refused {
            Message::Drop(stream) => stream,
            _ => unreachable!("it gives back what it was given"),
        })
    }

    /// Submits an operation. `begin` returns what it is cancelled by, or none if it had its outcome
    /// at once.
    pub(crate) fn submit<K: Into<Key>>(
        &self,
        begin: impl FnOnce(&mut Core) -> Option<K> + Send + 'static,
    ) -> Cancel {
        let engine = self.shared.id;
        if !is_current(engine) {
            return self.submit_by_inbox(begin);
        }
        Cancel::new(engine, with_current(engine, begin).flatten())
    }

    /// Submits an operation on a stream, to the engine that the stream belongs to. On that engine's
    /// thread this needs no reference to the stream; elsewhere it holds one until the engine comes
    /// to it.
    #[inline]
    pub(crate) fn submit_on<K: Into<Key>>(
        stream: &Stream,
        begin: impl FnOnce(&mut Core, Id) -> Option<K> + Send + 'static,
    ) -> Cancel {
        let engine = stream.engine();
        match stream.id() {
            Some(id) if is_current(engine) => {
                Cancel::new(engine, with_current(engine, |core| begin(core, id)).flatten())
            }
            _ => Self::submit_on_elsewhere(stream, begin),
        }
    }

    fn submit_on_elsewhere<K: Into<Key>>(
        stream: &Stream,
        begin: impl FnOnce(&mut Core, Id) -> Option<K> + Send + 'static,
    ) -> Cancel {
        let stream = stream.clone();
        let handle = stream.handle().clone();
        handle.submit(move |core| {
            let id = core.id_of(&stream);
            begin(core, id)
        })
    }

    fn submit_by_inbox<K: Into<Key>>(
        &self,
        begin: impl FnOnce(&mut Core) -> Option<K> + Send + 'static,
    ) -> Cancel {
        let begin: Begin = Box::new(move |core| begin(core).map(Into::into));
        let mut ticket = 0;
        drop(self.shared.inbox.push_with(|| {
            ticket = self.shared.tickets.fetch_add(1, Relaxed);
            Message::Submit { ticket, begin }
        }));
        Cancel::new(self.shared.id, Some(Key::Ticket(ticket)))
    }
}

impl From<Arc<Shared>> for Handle {
    fn from(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("engine", &self.shared.id).finish_non_exhaustive()
    }
}

/// Keeps [`run`](crate::Engine::run) going while it lives; from [`Handle::keep_alive`].
///
/// See there for an example.
#[derive(Debug)]
#[must_use = "the run may end once the guard is dropped"]
pub struct KeepAlive {
    handle: Handle,
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        let shared = &self.handle.shared;
        if shared.keep_alive.fetch_sub(1, SeqCst) == 1 {
            // A message and not just a wake-up: the engine may be about to sleep, having counted
            // this guard.
            drop(shared.inbox.push(Message::Apply(Box::new(|_| ()))));
        }
    }
}
