//! [`Handle`]: the facade, whose methods are the operations. [`Local`]: the proof of being on the
//! engine's thread. And how a call finds the engine's state.
//!
//! While a turn runs, the state sits in a thread-local slot, so that a submission from a callback
//! goes straight in, without a lock. From anywhere else it goes through the inbox.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt, io,
    mem::ManuallyDrop,
    net::SocketAddr,
    ops::Deref,
    rc::{self, Rc},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*},
    },
};

use slab::Slab;

use crate::{
    core::{Core, pending::PendingOperation},
    handles::{
        at_fork,
        cancel::{self, Cancel, Key},
        queue::message::{Begin, Inbox, Message, Sleeper},
        small_fn::SmallFnOnce,
        stream::Stream,
        task::TaskPanic,
    },
    pure::{
        error::{self, Error},
        options::ListenOptions,
        table::Id,
    },
    system::{descriptor::Descriptor, driver::Waker, env::Env, fork, socket::Sharing},
};

thread_local! {
    /// The engine whose turn is running on this thread. Without a destructor, which would make
    /// every access look whether it has run yet; a turn always takes its core out again.
    static CURRENT: RefCell<Option<ManuallyDrop<Box<Core>>>> = const { RefCell::new(None) };
}

thread_local! {
    /// The engine whose turn is running on this thread, looking at the system included; zero if
    /// none is, or one that is going.
    static OWNER: Cell<u32> = const { Cell::new(0) };
}

/// Whether a turn of this engine is running on this thread, and is not its last.
#[inline]
pub(crate) fn is_owner(engine: u32) -> bool {
    OWNER.get() == engine
}

/// Makes this thread the owner of `engine`'s streams, or of none if it is zero. Returns whose it was.
pub(crate) fn swap_owner(engine: u32) -> u32 {
    OWNER.replace(engine)
}

/// Puts `core` into this thread's slot and returns what was there.
pub(crate) fn swap_current(core: Option<Box<Core>>) -> Option<Box<Core>> {
    let before = CURRENT.with(|slot| slot.replace(core.map(ManuallyDrop::new)));
    before.map(ManuallyDrop::into_inner)
}

/// In the child of a fork(2): no turn is running here any more, it is the parent's. So nothing that is
/// looked for here is found, no stream is owned, and whatever is asked goes to the inbox, which refuses it.
pub(crate) fn leave_to_parent() {
    OWNER.set(0);
    CURRENT.with(|slot| {
        if let Ok(mut slot) = slot.try_borrow_mut() {
            // Without a destructor, so it is leaked.
            *slot = None;
        }
    });
}

/// Does something to the engine with this id if its turn is running on this thread and nothing is
/// borrowed.
#[inline]
pub(crate) fn with_current<R>(engine: u32, f: impl FnOnce(&mut Core) -> R) -> Option<R> {
    CURRENT.with(|slot| match slot.try_borrow_mut() {
        Ok(mut slot) => match slot.as_deref_mut() {
            Some(core) if core.engine == engine => Some(f(core)),
            _ => None,
        },
        Err(_) => None,
    })
}

/// The state of an engine that is not in a turn.
pub(crate) type CoreCell = Cell<Option<Box<Core>>>;

thread_local! {
    /// Where the engines of this thread have their state between turns.
    static CORE_CELLS: RefCell<Vec<(u32, rc::Weak<CoreCell>)>> = const { RefCell::new(Vec::new()) };
}

/// Remembers where an engine of this thread has its state.
pub(crate) fn remember_core(engine: u32, cell: &Rc<CoreCell>) {
    // A thread that ends may have none of this any more. Then there is nothing to be seen.
    let _ = CORE_CELLS.try_with(|cells| {
        let mut cells = cells.borrow_mut();
        cells.retain(|(_, cell)| cell.strong_count() > 0);
        cells.push((engine, Rc::downgrade(cell)));
    });
}

/// Whether an engine lives on this thread.
fn lives_here(engine: u32) -> bool {
    let find = |cells: &RefCell<Vec<(u32, rc::Weak<CoreCell>)>>| {
        cells.borrow().iter().any(|(id, _)| *id == engine)
    };
    CORE_CELLS.try_with(find).unwrap_or(false)
}

/// Looks at the state of an engine, in a turn or between turns, if it lives on this thread and
/// nothing of it is borrowed.
pub(crate) fn inspect<R>(engine: u32, f: impl FnOnce(&Core) -> R) -> Option<R> {
    if fork::is_inherited(engine) {
        return None;
    }
    let mut f = Some(f);
    let mut look = |core: &Core| f.take().map(|f| f(core));
    if let Some(seen) = with_current(engine, |core| look(core)) {
        return seen;
    }
    let find = |cells: &RefCell<Vec<(u32, rc::Weak<CoreCell>)>>| {
        let cells = cells.borrow();
        cells.iter().find(|(id, _)| *id == engine)?.1.upgrade()
    };
    let cell = CORE_CELLS.try_with(find).ok()??;
    let core = cell.take()?;
    let seen = look(&core);
    cell.set(Some(core));
    seen
}

/// The same with whatever engine this thread's turn is of.
pub(crate) fn with_any_current<R>(f: impl FnOnce(&mut Core) -> R) -> Option<R> {
    CURRENT.with(|slot| slot.try_borrow_mut().ok()?.as_deref_mut().map(|core| f(core)))
}

/// Whether [`with_current`] would do it, and the engine still takes submissions. Asked before the
/// closure is made up, so that its captures are moved once.
#[inline]
fn is_current(engine: u32) -> bool {
    CURRENT.with(|slot| match slot.try_borrow() {
        Ok(slot) => slot.as_deref().is_some_and(|core| core.engine == engine && !core.ending),
        Err(_) => false,
    })
}

/// Gives something back: now if this is the engine's thread's turn, else before it looks at the system
/// in its next. Dropped undone when the engine is gone.
pub(crate) fn give_back_to(engine: u32, f: impl FnOnce(&mut Core) + Send + 'static) {
    if is_current(engine) {
        with_current(engine, f);
    } else if let Some(shared) = cancel::engine(engine) {
        drop(shared.inbox.push(Message::GiveBack(Box::new(f))));
    }
}

/// Does something to a stream if the turn of its engine is running on this thread.
#[inline]
pub(crate) fn on_current<R>(
    stream: &Stream,
    f: impl FnOnce(&mut Core, Id) -> Option<R>,
) -> Option<R> {
    let (engine, id) = (stream.engine(), stream.id()?);
    with_current(engine, |core| if core.ending { None } else { f(core, id) }).flatten()
}

/// What an engine shares with its handles.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: u32,
    pub(crate) inbox: Inbox,
    pub(crate) stop: AtomicBool,
    pub(crate) keep_alive: AtomicUsize,
    /// The next ticket. Changed only while the inbox is locked.
    tickets: AtomicU64,
    pub(crate) env: Env,
    driver: &'static str,
    task_panic: TaskPanic,
}

impl Shared {
    pub(crate) fn new(
        env: Env,
        driver: &'static str,
        waker: Waker,
        task_panic: TaskPanic,
    ) -> io::Result<Arc<Self>> {
        let id = at_fork::number_engine()?;
        Ok(Arc::new(Self {
            id,
            inbox: Inbox::new(Sleeper { engine: id, waker }),
            stop: AtomicBool::new(false),
            keep_alive: AtomicUsize::new(0),
            tickets: AtomicU64::new(1),
            env,
            driver,
            task_panic,
        }))
    }

    /// Why nothing can be asked of the engine.
    pub(crate) fn refusal(&self) -> Error {
        if fork::is_inherited(self.id) { Error::Forked } else { Error::EngineClosed }
    }

    /// A TCP socket that listens.
    pub(crate) fn listen_tcp(
        &self,
        address: SocketAddr,
        sharing: Sharing,
        options: &ListenOptions,
    ) -> error::Result<Arc<Descriptor>> {
        // What ran here before ran on the same driver, in most cases.
        self.env.listen_tcp(address, sharing, options, self.driver == "io_uring")
    }
}

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
///   hears what is wrong with an argument, too.
/// - The operation returns its [`Cancel`]. Dropping that does nothing.
/// - An operation on a stream, listener or file goes to the engine which that belongs to, whichever
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
    /// order; however many there are, deadlines, streams and other threads' posts have their turn in
    /// between.
    ///
    /// Returns nothing and cannot fail: if the engine is gone, `f` is dropped unrun. On the engine's
    /// own thread `f` need not be `Send`, see [`Local::post`].
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
        self.push_post(f);
    }

    /// The same, and says whether the engine will come to it.
    fn push_post(&self, f: impl FnOnce(&Local) + Send + 'static) -> bool {
        // Made up where it goes to, and not moved there.
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
    /// program was executed after. Then whatever is submitted is refused as by an engine that is gone,
    /// and what returns an error says [`Forked`](Error::Forked).
    ///
    /// What was submitted before the fork is the parent's: here nobody hears of it, and nothing of it
    /// is dropped. A stream, listener or file that the child drops is closed there and goes on in the
    /// parent. An engine that the child builds is as any other.
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

    /// For what does something to the system before the engine hears of it: fails if it never would.
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
}

impl Local {
    pub(crate) const fn new(handle: Handle) -> Self {
        Self { handle, closures: RefCell::new(Slab::new()) }
    }

    /// The handle, to be cloned and sent to other threads.
    ///
    /// See [`Local`] for an example.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `f` as soon as the engine comes to it, as [`Handle::post`] does, with which it shares one
    /// order; but `f` need not be `Send`: it stays on this thread, in the engine's own table, as that of
    /// [`Callback::local`](crate::Callback::local) does.
    ///
    /// It is what `post` means inside a callback, and on an [`Engine`](crate::Engine). Dropped unrun if
    /// the engine is gone. To find the closure again takes some ten nanoseconds more than
    /// `local.handle().post(f)` does of one that is `Send`.
    ///
    /// ```
    /// use facade_engine::Engine;
    /// use std::{cell::RefCell, rc::Rc};
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
        // In the child of a fork it goes at once, and not with the table, which is the parent's.
        if self.is_inherited() {
            return;
        }
        let key = self.closures.borrow_mut().insert(Box::new(f));
        let take = move |local: &Self| {
            // In two steps, because what it captured may post as it goes.
            let closure = local.closures.borrow_mut().try_remove(key);
            closure.and_then(|closure| closure.downcast::<F>().ok())
        };
        // Only its key travels. What the engine has taken on and does not come to goes with the table.
        let run = move |local: &Self| {
            if let Some(f) = take(local) {
                f(local);
            }
        };
        if !self.handle.push_post(run) {
            drop(take(self));
        }
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
