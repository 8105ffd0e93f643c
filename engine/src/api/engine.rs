//! [`Engine`]: owns the loop. One turn, and the runs made of turns.

use std::{
    cell::{Cell, RefCell},
    fmt,
    mem::{self, forget},
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    sync::{Arc, atomic::Ordering::SeqCst, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use crate::{
    core::{
        Core,
        deferred_drops::DeferredDrops,
        pending::{Listing, PendingOperation},
    },
    handles::{
        current::{CoreCell, remember_core, swap_current, swap_owner, with_current},
        handle::Handle,
        local::Local,
        queue::{
            message::Message,
            ready::{Batch, Lane, PutOff, Ready, Success},
        },
        registry,
        shared::Shared,
        small_fn::SmallFnOnce,
    },
    pure::{
        error::{Error, Result},
        metrics::Metrics,
        panics::Panics,
        table::Id,
    },
    system::{
        descriptor::Descriptor,
        driver::Driver,
        sys::{
            fork,
            owned::{self, BorrowedDescriptor, OwnedDescriptor},
        },
    },
};

/// Owns the loop. Neither `Send` nor `Clone`: it lives where it was built.
///
/// Dereferences to [`Local`] and so to [`Handle`], whose methods are the operations.
///
/// Dropping it is its last turn: what was written is tried once more, then every pending callback
/// gets [`Error::EngineClosed`], on this thread. Threads that are stuck are not waited for, nor is
/// what lingers when it is [closed](Handle::close).
///
/// It is of no use in the child of a fork(2), whose queues are the parent's: dropping it there does
/// nothing and tells nobody, and runs say [`Error::Forked`], see
/// [`is_inherited`](Handle::is_inherited). The child may have an engine of its own. Programs that
/// are executed, by [`std::process::Command`] or otherwise, inherit nothing.
///
/// ```
/// use facade_engine::{Callback, Engine};
///
/// let engine = Engine::new()?;
/// let listener = engine.listen("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// engine.accept(&listener, Callback::new(
///     |engine, stream| drop(engine.write_line(&stream, "hello", Callback::ignore())),
///     |_, error| panic!("{error}"),
/// ));
/// engine.connect_then_expect_line(address, "hello", (
///     Callback::ignore(),
///     Callback::new(|_, line| assert_eq!(line, "hello"), |_, error| panic!("{error}")),
/// ));
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
pub struct Engine {
    local: Local,
    /// Here between turns; in the thread's slot during one.
    core: Rc<CoreCell>,
    /// What a turn has taken from the ready queue and not run yet.
    batch: RefCell<Batch>,
    /// Kept for its memory.
    deferred_drops: RefCell<DeferredDrops>,
    /// None once it was left to the parent.
    pollable: Option<OwnedDescriptor>,
    /// Somebody waits for the descriptor instead of in a turn, so requests must wake it.
    foreign: Cell<bool>,
    /// Where it was built.
    process: u32,
}

/// What one turn did and left.
///
/// From [`Engine::run_once`].
///
/// ```
/// use facade_engine::{Callback, Engine};
/// use std::time::Duration;
///
/// let engine = Engine::new()?;
/// engine.post(|local| drop(local.sleep(Duration::from_secs(3600), Callback::ignore())));
/// let turn = engine.run_once(Some(Duration::ZERO))?;
/// assert_eq!((turn.callbacks, turn.pending), (1, 1));
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// How many callbacks ran, posts among them.
    pub callbacks: usize,
    /// How much is pending: operations without an outcome, callbacks and posts that have not run,
    /// streams with unsent bytes or closing, guards of `keep_alive`, live tasks. With zero of it,
    /// another turn would do nothing. [`Engine::pending`] lists it.
    pub pending: usize,
}

/// How many rounds of callbacks a turn runs at most, each of which the one before has made ready:
/// where one stream has much to do, 2,048 lines are read and answered before their answers go out.
const ROUNDS_MAX: usize = 4096;
/// How many callbacks a turn runs at most before the next one looks at the system again.
const CALLBACKS_MAX: usize = 8192;
/// How many things a repeating operation hands out before others have their turn.
const PORTION: usize = 64;
/// How many of the posts that one turn has put off a round runs, after everything else.
const PUT_OFF_MAX: usize = CALLBACKS_MAX / 8;

/// What drives a run to its end: a future's poll, in most cases.
type Root<'a> = &'a mut dyn FnMut(&Local);

impl Engine {
    pub(crate) fn from_parts(shared: Arc<Shared>, core: Core, pollable: OwnedDescriptor) -> Self {
        registry::register(shared.id, Arc::downgrade(&shared));
        let core = Rc::new(Cell::new(Some(Box::new(core))));
        remember_core(shared.id, &core);
        Self {
            local: Local::new(Handle::from(shared)),
            core,
            batch: RefCell::default(),
            deferred_drops: RefCell::default(),
            pollable: Some(pollable),
            foreign: Cell::new(false),
            process: std::process::id(),
        }
    }

    /// The driver in use, as `FACADE_DRIVER` would name it: `mio` or `io_uring`; or `sim`, which
    /// only the builder chooses. See [`Builder::driver`](crate::Builder::driver).
    pub fn driver(&self) -> &'static str {
        self.local.driver()
    }

    /// Runs until nothing is pending or [`stop`](Handle::stop) was called.
    ///
    /// Pending are operations without an outcome, callbacks and posts that have not run, bytes that
    /// are unsent, closes under way, guards of [`keep_alive`](Handle::keep_alive), and
    /// [live tasks](crate::adapter::LiveTask). A stream or listener that nothing is asked of is
    /// not.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] inside one of the engine's own callbacks; [`Error::Forked`] in the
    /// child of a fork, also if a callback has forked; [`Error::Io`] if the system fails to wait.
    /// Where it has no memory for that, the engine tries again for two seconds before it says so;
    /// meanwhile a stop and other threads' requests are seen. Run again, it goes on where it was.
    ///
    /// # Panics
    ///
    /// Resumes the first panic of a callback after its turn. The engine stays usable.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new()?;
    /// engine.sleep(Duration::from_millis(1), Callback::new(
    ///     |engine, ()| engine.post(|_| println!("and one more thing")),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn run(&self) -> Result<()> {
        self.check_idle()?;
        let _leaving = Leaving(self);
        while !self.take_stop() && self.count_pending() > 0 {
            self.turn(None, true, &mut |_| ())?;
        }
        Ok(())
    }

    /// Runs one turn, waiting at most `max_wait` (for ever if none) for something to happen; with
    /// nothing pending it does not wait. Returns what the turn did and left.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new()?;
    /// engine.sleep(Duration::from_millis(1), Callback::ignore());
    /// while engine.run_once(Some(Duration::from_secs(1)))?.pending > 0 {
    ///     println!("still waiting");
    /// }
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn run_once(&self, max_wait: Option<Duration>) -> Result<Turn> {
        self.check_idle()?;
        let mut max_wait = max_wait;
        if self.count_pending() == 0 {
            if !self.foreign.get() {
                return Ok(Turn { callbacks: 0, pending: 0 });
            }
            // What has made the descriptor readable is cleared, or the loop that waits for it would
            // spin.
            max_wait = Some(Duration::ZERO);
        }
        let callbacks = self.turn(max_wait, false, &mut |_| ())?;
        Ok(Turn { callbacks, pending: self.count_pending() })
    }

    /// Runs turns until `poll` is ready: a future driven by the engine itself.
    ///
    /// `poll` is called at the start and whenever the waker in its context was woken, among the
    /// callbacks of a turn and as one of them, so what it submits goes straight in and what it
    /// writes goes out with everything else. Does not end for want of anything pending: the waker
    /// may be woken from elsewhere.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); and [`Error::Cancelled`] if `stop` was called first.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run), and if `poll` panics.
    ///
    /// ```
    /// use facade_engine::Engine;
    /// use std::pin::pin;
    ///
    /// let engine = Engine::new()?;
    /// let mut future = pin!(async { 6 * 7 });
    /// assert_eq!(engine.run_until(|_, context| future.as_mut().poll(context))?, 42);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn run_until<T>(
        &self,
        mut poll: impl FnMut(&Local, &mut Context<'_>) -> Poll<T>,
    ) -> Result<T> {
        self.check_idle()?;
        let _leaving = Leaving(self);
        let waker = Waker::from(Arc::new(RootWaker { handle: self.handle().clone() }));
        let mut context = Context::from_waker(&waker);
        let mut outcome = None;
        waker.wake_by_ref();
        loop {
            if self.take_stop() {
                return outcome.ok_or(Error::Cancelled);
            }
            if let Some(value) = outcome {
                return Ok(value);
            }
            self.turn(None, true, &mut |local| {
                if outcome.is_none()
                    && let Poll::Ready(value) = poll(local, &mut context)
                {
                    outcome = Some(value);
                }
            })?;
        }
    }

    /// One turn that does not wait, in which `f` is called as one of the callbacks: what it submits goes
    /// straight in, and what it writes goes out with everything else. For a future that another
    /// executor drives together with the engine, see [`next_deadline`](Self::next_deadline).
    ///
    /// A turn that has too much else to do leaves `f` uncalled; the next one comes to it.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run), and if `f` panics.
    ///
    /// ```
    /// use facade_engine::Engine;
    /// use std::{pin::pin, task::{Context, Poll, Waker}};
    ///
    /// let engine = Engine::new()?;
    /// let mut future = pin!(async { 6 * 7 });
    /// let mut context = Context::from_waker(Waker::noop()); // the other executor's
    /// let mut polled = Poll::Pending;
    /// engine.run_once_with(|_| polled = future.as_mut().poll(&mut context))?;
    /// assert_eq!(polled, Poll::Ready(42));
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn run_once_with(&self, mut f: impl FnMut(&Local)) -> Result<Turn> {
        self.check_idle()?;
        self.with_core(Core::wake_root);
        let callbacks = self.turn(Some(Duration::ZERO), false, &mut f)?;
        Ok(Turn { callbacks, pending: self.count_pending() })
    }

    /// When the next turn is due at the latest: *now* if callbacks or submissions wait, else the
    /// earliest deadline; none if only the descriptor can tell.
    ///
    /// For use inside another loop: wait for the descriptor (`AsFd`, see [`os`](crate::os)) or until
    /// this time, then call [`run_once`](Self::run_once) with `Some(Duration::ZERO)`.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use rustix::event::{PollFd, PollFlags, Timespec, poll};
    /// use std::time::{Duration, Instant};
    ///
    /// let engine = Engine::new()?;
    /// engine.sleep(Duration::from_millis(1), Callback::ignore());
    /// while engine.run_once(Some(Duration::ZERO))?.pending > 0 {
    ///     let until = |at: Instant| at.saturating_duration_since(Instant::now());
    ///     let wait = engine.next_deadline().map(|at| Timespec::try_from(until(at)).unwrap());
    ///     // The other loop's descriptors go in here, too.
    ///     poll(&mut [PollFd::new(&engine, PollFlags::IN)], wait.as_ref()).unwrap();
    /// }
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "poll")]
    pub fn next_deadline(&self) -> Option<Instant> {
        let shared = self.handle().shared();
        // In the child of a fork a turn is due at once, which returns the error that says so.
        if !shared.inbox.is_empty() || self.is_inherited() {
            return Some(shared.env.now());
        }
        // What is left to clear up then waits for the next turn that somebody wants.
        if self.count_pending() == 0 {
            return None;
        }
        let mut core = self.core.take()?;
        let deadline = match core.has_work() || !self.batch.borrow().is_empty() {
            true => Some(shared.env.now()),
            false => core.next_deadline(),
        };
        self.core.set(Some(core));
        deadline
    }

    /// What the engine is waiting for, and what it has still to do: all that keeps
    /// [`run`](Self::run) from returning, and that [`Turn::pending`] counts. Operations come first,
    /// in no order. It is a look and a list, cheap enough for a watchdog; `Debug` prints it.
    ///
    /// See [`PendingOperation`] for an example, and [`Local::pending`] for use in callbacks and
    /// from other threads.
    pub fn pending(&self) -> Vec<PendingOperation> {
        let mut all = self.local.pending();
        let batch = self.batch.try_borrow().map_or(0, |batch| batch.len());
        all.extend(PendingOperation::several("callback", batch));
        all
    }

    /// How much the engine has done since it was built, and how much it has before it. A look at all
    /// its streams, so that a program asks every second rather than every turn.
    ///
    /// See [`Metrics`] for an example, and [`Local::metrics`] for use in callbacks and from other
    /// threads.
    pub fn metrics(&self) -> Metrics {
        let metrics = self.local.metrics();
        let batch = self.batch.try_borrow().map_or(0, |batch| batch.len());
        let (pending, ready) = (metrics.pending + batch, metrics.ready + batch);
        Metrics { pending, ready, ..metrics }
    }

    /// Whether a matcher goes on looking in the next turn: a model in which a turn looks at
    /// everything takes the turns up to then for one.
    #[cfg(facade_mutants)]
    #[doc(hidden)]
    pub fn is_scanning(&self) -> bool {
        let mut is_scanning = false;
        self.with_core(|core| is_scanning = core.scans.go_on());
        is_scanning && self.count_pending() > 0
    }

    /// Does something to the engine's state between or in turns.
    fn with_core(&self, f: impl FnOnce(&mut Core)) {
        if self.is_inherited() {
            return;
        }
        match self.core.take() {
            Some(core) => f(&mut Taken { engine: self, core: Some(core) }),
            None => drop(with_current(self.handle().id(), f)),
        }
    }

    fn check_idle(&self) -> Result<()> {
        self.check_process()?;
        let core = self.core.take();
        let idle = core.is_some();
        self.core.set(core);
        if idle {
            return Ok(());
        }
        Err(Error::invalid("the engine is running already: it cannot be run inside a callback"))
    }

    /// Fails in the child of a fork.
    fn check_process(&self) -> Result<()> {
        if self.is_inherited() { Err(Error::Forked) } else { Ok(()) }
    }

    fn take_stop(&self) -> bool {
        let stop = &self.handle().shared().stop;
        stop.load(SeqCst) && stop.swap(false, SeqCst)
    }

    fn count_pending(&self) -> usize {
        let shared = self.handle().shared();
        let mut pending = shared.keep_alive.load(SeqCst) + usize::from(!shared.inbox.is_empty());
        pending += self.batch.borrow().len();
        if let Some(core) = self.core.take() {
            pending += core.pending();
            self.core.set(Some(core));
        }
        pending
    }

    /// One turn. Returns how many callbacks ran. If the caller `goes_on` with another turn at once,
    /// that one hands the system what this one has for it, or what the run does when it is left.
    fn turn(&self, max_wait: Option<Duration>, goes_on: bool, root: Root<'_>) -> Result<usize> {
        let Some(core) = self.core.take() else { return Ok(0) };
        let mut entered = Entered::as_owner(self, self.handle().id(), core);
        let reaped = self.reap(&mut entered.core, max_wait);
        entered.enter();
        reaped?;
        let (callbacks, mut panics) = self.run_ready(root);
        self.local.count_turn(callbacks);
        self.send(!goes_on);
        // Dropped now and not in the next turn, so that what is received next goes into the memory
        // that was just sent from, while it is in cache.
        let mut drops = self.deferred_drops.borrow_mut();
        with_current(self.handle().id(), |core| drops.take_from(&mut core.deferred_drops));
        if !drops.is_empty() {
            drops.drop_each(&mut panics);
            // A drop of the user's may have written something. What that leaves to be dropped is
            // the next turn's.
            self.send(!goes_on);
        }
        drop(entered);
        panics.resume();
        // A callback may have forked.
        self.check_process()?;
        Ok(callbacks)
    }

    /// Hands the system what the turn has for it.
    fn send(&self, flushes: bool) {
        with_current(self.handle().id(), |core| {
            core.stop_above_read_ahead();
            core.send_dirty();
            if flushes {
                core.driver.flush();
            }
            // Sends that the system has completed at once are handled at once, and not in the next
            // turn.
            core.reap_done();
        });
    }

    /// Looks at the system, the other threads' requests and the clock, waiting if nothing is ready.
    fn reap(&self, core: &mut Core, max_wait: Option<Duration>) -> Result<()> {
        let inbox = &self.handle().shared().inbox;
        let mut timeout = max_wait;
        if core.has_ready() || !self.batch.borrow().is_empty() || !inbox.is_empty() {
            timeout = Some(Duration::ZERO);
        } else if let Some(deadline) = core.next_deadline() {
            let env = &self.handle().shared().env;
            let left = env.wait_for(deadline.saturating_duration_since(env.now()));
            timeout = Some(timeout.map_or(left, |max_wait| max_wait.min(left)));
        }
        let waits = timeout != Some(Duration::ZERO);
        if waits {
            inbox.sleep();
            // The flag is raised before this last look, so that no wake-up is lost, see `Inbox`.
            if !inbox.is_empty() || self.handle().shared().stop.load(SeqCst) {
                timeout = Some(Duration::ZERO);
            }
        }
        core.take_what_is_given_back();
        core.scans.begin_part();
        let reaped = core.reap(timeout);
        if waits || self.foreign.get() {
            inbox.awake();
        }
        reaped?;
        core.take_messages();
        let expired = core.expire();
        // After the deadlines, which have to see which streams stand in line: their reads do not
        // time out yet.
        core.go_on_scanning();
        // A share of steps for what callbacks submit.
        core.scans.begin_part();
        expired
    }

    /// Runs what is ready, and what that makes ready, up to a budget. Returns how many callbacks
    /// ran and what they panicked with.
    fn run_ready(&self, root: Root<'_>) -> (usize, Panics) {
        let engine = self.handle().id();
        let (mut callbacks, mut rounds) = (0, 0);
        let mut panics = Panics::default();
        let (mut batch, mut drops) = (self.batch.borrow_mut(), self.deferred_drops.borrow_mut());
        loop {
            with_current(engine, |core| {
                if batch.queue.is_empty() {
                    rounds += 1;
                    core.round = core.round.wrapping_add(1);
                    mem::swap(&mut core.ready, &mut batch.queue);
                }
                drops.take_from(&mut core.deferred_drops);
            });
            if self.is_inherited() {
                return (callbacks, panics);
            }
            // What callbacks left behind is dropped here, where nothing is borrowed.
            drops.drop_each(&mut panics);
            if batch.is_empty() || rounds > ROUNDS_MAX || callbacks > CALLBACKS_MAX {
                return (callbacks, panics);
            }
            // A panic leaves the rest of the batch for the next round, and so does a turn that has
            // run enough for the next turn.
            panics.contain(|| self.run_batch(&mut batch, &mut callbacks, root));
        }
    }

    fn run_batch(&self, batch: &mut Batch, callbacks: &mut usize, root: Root<'_>) {
        self.run_queue(batch, callbacks, root);
        if *callbacks > CALLBACKS_MAX {
            batch.put_posts_off();
        }
        for _ in 0..PUT_OFF_MAX {
            if self.local.is_inherited() {
                return;
            }
            if let Some(f) = batch.requests.pop() {
                *callbacks += 1;
                f.call(&self.local, ());
            }
            if let Some(f) = batch.posts.pop() {
                *callbacks += 1;
                f.call(&self.local, ());
            } else if batch.requests.is_empty() {
                return;
            }
        }
    }

    fn run_queue(&self, batch: &mut Batch, callbacks: &mut usize, root: Root<'_>) {
        let local = &self.local;
        let Batch { queue: batch, posts, requests } = batch;
        // A callback that forks returns in the child as well, where those behind it must not run:
        // they are the parent's.
        while *callbacks <= CALLBACKS_MAX
            && !local.is_inherited()
            && let Some(next) = batch.next()
        {
            *callbacks += 1;
            let other = match next.lane {
                Lane::Bytes => {
                    batch.run_bytes(local);
                    continue;
                }
                Lane::Count => {
                    batch.run_count(local);
                    continue;
                }
                Lane::HeadRead(number) => {
                    let delivery = with_current(local.id(), |core| {
                        core.deliver_head_read(next.stream(), number)
                    });
                    if let Some((to, claim)) = delivery.flatten() {
                        to.run(local, Ok(claim));
                    }
                    continue;
                }
                Lane::Post => {
                    if let Some(f) = batch.next_post() {
                        run_or_put_off(f, posts, callbacks, local);
                    }
                    continue;
                }
                Lane::Request => {
                    if let Some(f) = batch.next_request() {
                        run_or_put_off(f, requests, callbacks, local);
                    }
                    continue;
                }
                Lane::Root => {
                    with_current(local.id(), |core| core.root_queued = false);
                    root(local);
                    continue;
                }
                Lane::Other => batch.next_other(),
            };
            let Some(other) = other else { continue };
            match other {
                Ready::Unit(slot) => slot.succeed(local, ()),
                Ready::Stream(Success { slot, value }) => slot.succeed(local, value),
                Ready::Boxed(delivery) => delivery.run(local),
                Ready::Run(f) => f(local),
                Ready::Claimed(id) => {
                    let outcome = with_current(local.id(), |core| core.deliver_claim(id));
                    if let Some(outcome) = outcome.flatten() {
                        outcome.run(local);
                    }
                }
                Ready::Serve(stream) => {
                    *callbacks -= 1;
                    with_current(local.id(), |core| core.advance_stream_now(stream));
                }
                Ready::Scan(stream) => {
                    *callbacks -= 1;
                    self.scan(stream);
                }
                Ready::Repeat(id) => {
                    *callbacks -= 1;
                    self.repeat(id, callbacks);
                }
                Ready::Advance(advance) => {
                    *callbacks -= 1;
                    let (chain, outcome) = *advance;
                    with_current(local.id(), |core| core.advance(chain, outcome));
                }
            }
        }
    }

    /// Lets users' matchers look at a stream's unread bytes, with nothing borrowed.
    fn scan(&self, stream: Id) {
        let engine = self.handle().id();
        let Some(Some(mut scan)) = with_current(engine, |core| core.begin_scan(stream)) else {
            return;
        };
        loop {
            let result = catch_unwind(AssertUnwindSafe(|| scan.run()));
            let goes_on = with_current(engine, |core| core.end_scan(&mut scan, result.is_err()));
            if let Err(payload) = result {
                resume_unwind(payload);
            }
            if goes_on != Some(true) {
                return;
            }
        }
    }

    /// Has the handler of a repeating operation called with what there is, with nothing borrowed.
    fn repeat(&self, id: Id, callbacks: &mut usize) {
        let engine = self.handle().id();
        let Some(Some(mut handler)) = with_current(engine, |core| core.begin_repeat(id)) else {
            return;
        };
        let most = PORTION.min((CALLBACKS_MAX + 1).saturating_sub(*callbacks));
        let run = AssertUnwindSafe(|| handler.run(&self.local, id, most, callbacks));
        let result = catch_unwind(run);
        if self.is_inherited() {
            // It is the parent's, with all that it has captured.
            forget(handler);
        } else {
            let over = |core: &mut Core| core.end_repeat(id, handler, result.is_err());
            let ended = with_current(engine, over);
            let mut panics = Panics::default();
            panics.contain(|| drop(ended));
            if result.is_ok() {
                panics.resume();
            }
        }
        if let Err(payload) = result {
            resume_unwind(payload);
        }
    }

    /// Puts the core back after a turn.
    fn leave(&self, mut core: Box<Core>) {
        if self.foreign.get() {
            let inbox = &self.handle().shared().inbox;
            // Whoever waits for the descriptor is woken for requests from now on, and at once if
            // work is left.
            inbox.sleep();
            if core.has_work() || !self.batch.borrow().is_empty() || !inbox.is_empty() {
                inbox.ring();
            }
        }
        self.core.set(Some(core));
    }
}

/// Runs what was posted, or has it wait behind what was posted before.
#[inline]
fn run_or_put_off(f: SmallFnOnce<()>, before: &mut PutOff, callbacks: &mut usize, local: &Local) {
    if before.is_empty() {
        return f.call(local, ());
    }
    *callbacks -= 1;
    before.push(f);
}

/// A run that is left, by whichever way: with nothing pending, a value or an error, by a stop or a
/// panic. The system is handed what the run has for it, because another may never come.
struct Leaving<'a>(&'a Engine);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut panics = Panics::default();
        panics.contain(|| self.0.with_core(Core::leave_run));
        if !thread::panicking() {
            panics.resume();
        }
    }
}

/// The core of an engine, out of its place for a moment; puts it back, however this ends.
struct Taken<'a> {
    engine: &'a Engine,
    /// None only once it was put back.
    core: Option<Box<Core>>,
}

impl Deref for Taken<'_> {
    type Target = Core;

    fn deref(&self) -> &Core {
        self.core.as_deref().expect("put back only by drop")
    }
}

impl DerefMut for Taken<'_> {
    fn deref_mut(&mut self) -> &mut Core {
        self.core.as_deref_mut().expect("put back only by drop")
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(core) = self.core.take() {
            self.engine.core.set(Some(core));
        }
    }
}

/// A turn. Puts the core back, and what was in the thread's slot before, however this ends: nothing
/// that is done to the core runs the user's code, and if one place were to, that costs a panic and
/// not the engine.
struct Entered<'a> {
    engine: &'a Engine,
    core: Taken<'a>,
    /// What was in the thread's slot, where the core is now.
    before: Option<Option<Box<Core>>>,
    /// Which engine's streams the thread owned before.
    owner_before: u32,
}

impl<'a> Entered<'a> {
    /// Makes the thread the owner of an engine's streams, or of none if `owner` is zero.
    fn as_owner(engine: &'a Engine, owner: u32, core: Box<Core>) -> Self {
        let core = Taken { engine, core: Some(core) };
        Self { engine, core, before: None, owner_before: swap_owner(owner) }
    }

    /// Puts the core into the thread's slot.
    fn enter(&mut self) {
        self.before = Some(swap_current(self.core.core.take()));
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if self.engine.is_inherited() {
            // In the child of a fork this state is left to the parent, and so is that of an outer
            // engine.
            forget(self.core.core.take());
            return forget(self.before.take());
        }
        swap_owner(self.owner_before);
        let Some(mut before) = self.before.take() else {
            // A panic has come before the core was in the thread's slot.
            return self.core.core.take().into_iter().for_each(|core| self.engine.leave(core));
        };
        if let Some(outer) = &mut before {
            // Requests made to the outer engine while this one ran come before later ones.
            outer.take_messages();
        }
        if let Some(core) = swap_current(before) {
            self.engine.leave(core);
        }
    }
}

impl Deref for Engine {
    type Target = Local;

    fn deref(&self) -> &Local {
        &self.local
    }
}

impl Engine {
    /// Lends what becomes readable when a turn would do something. From now on somebody waits for
    /// that, so that requests must make it so.
    pub(crate) fn lend(&self) -> BorrowedDescriptor<'_> {
        if !self.foreign.replace(true) && !self.is_inherited() {
            self.with_core(Core::watch);
            let Shared { inbox, env, .. } = &**self.handle().shared();
            inbox.sleep();
            if self.next_deadline().is_some_and(|deadline| deadline <= env.now()) {
                inbox.ring();
            }
        }
        let pollable = self.pollable.as_ref().expect("there until the engine goes");
        if self.is_inherited() { fork::lend_in_child(pollable) } else { owned::borrow(pollable) }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A child that the C library knows nothing of has another id.
        if self.is_inherited() || std::process::id() != self.process {
            return self.leave_to_parent();
        }
        let shared = Arc::clone(self.handle().shared());
        registry::unregister(shared.id);
        let Some(mut core) = self.core.take() else { return };
        // Panics have been reported by the hook; there is no run to resume them from.
        let mut panics = Panics::default();
        panics.contain(|| {
            // As at the start of every turn: what is given back stands before the bytes behind it.
            core.take_what_is_given_back();
            core.take_messages();
            core.try_to_send();
        });
        core.ending = true;
        shared.signals.forget_all();
        let mut refused = shared.inbox.close();
        let mut jobs = core.pool.shutdown();
        panics.contain(|| core.fail_everything());
        // No thread owns its streams from now on: others may have found the inbox closed, and drop
        // references themselves.
        let mut entered = Entered::as_owner(self, 0, core);
        entered.enter();
        // Callbacks whose outcome is there get it, all others get `EngineClosed`.
        self.run_until_drained(&mut panics);
        drop(entered);
        panics.drop_each(&mut refused);
        panics.drop_each(&mut jobs);
        let mut unclosed = Vec::new();
        if let Some(mut core) = self.core.take() {
            panics.contain(|| {
                core.look_after_children();
                core.give_cursors_back();
                core.end_connections();
                unclosed = core.take_unclosed();
            });
            let mut unsent = panics.contain(|| core.take_unsent_of_users()).unwrap_or_default();
            panics.drop_each(&mut unsent);
            core.drop_each(&mut panics);
            panics.contain(|| drop(core));
        }
        let closures = self.local.closures.take();
        panics.drop_each(&mut closures.into_iter().map(|(_, closure)| closure).collect());
        panics.forget();
        close_in_time(unclosed);
    }
}

/// Closes descriptors whose close(2) may block, on a thread that is left behind if it does.
fn close_in_time(unclosed: Vec<Arc<Descriptor>>) {
    const PATIENCE: Duration = Duration::from_millis(100);
    if unclosed.is_empty() {
        return;
    }
    let (done, is_done) = mpsc::channel::<()>();
    let close = move || {
        drop(unclosed);
        drop(done);
    };
    // Where no thread can be had, dropping the closure closes them here.
    if thread::Builder::new().name("facade-closing".to_owned()).spawn(close).is_ok() {
        let _ = is_done.recv_timeout(PATIENCE);
    }
}

impl Engine {
    /// Leaks whatever may be the parent's, in the child of a fork: it would end the parent's
    /// operations, and drop what the parent's callbacks hold.
    fn leave_to_parent(&mut self) {
        forget(self.core.take());
        if let Some(pollable) = self.pollable.take() {
            fork::leave_in_child(pollable);
        }
        forget(mem::take(self.batch.get_mut()));
        forget(mem::take(self.deferred_drops.get_mut()));
        forget(mem::take(self.local.closures.get_mut()));
        // With requests in it, and what wakes the parent.
        forget(Arc::clone(self.handle().shared()));
    }

    fn run_until_drained(&self, all: &mut Panics) {
        while let Some((callbacks, panics)) = all.contain(|| self.run_ready(&mut |_| ())) {
            all.contain(|| panics.resume());
            let end = |core: &mut Core| {
                core.fail_everything();
                if callbacks == 0 {
                    core.abandon_everything();
                }
                !core.ready.is_empty()
            };
            let left = all.contain(|| with_current(self.handle().id(), end)).flatten();
            if callbacks == 0 && left != Some(true) && self.batch.borrow().is_empty() {
                return;
            }
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listing = Listing { pending: self.pending(), now: self.handle().shared().env.now() };
        f.debug_struct("Engine")
            .field("driver", &self.driver())
            .field("pending", &listing)
            .finish_non_exhaustive()
    }
}

/// Wakes the future that drives a run.
struct RootWaker {
    handle: Handle,
}

impl Wake for RootWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if with_current(self.handle.id(), Core::wake_root).is_none() {
            drop(self.handle.shared().inbox.push(Message::WakeRoot));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;
    use crate::handles::callback::Callback;

    /// What no code of the engine's should do.
    fn panic_in_between(engine: &Engine) {
        engine.apply(|_| resume_unwind(Box::new("in between"))).unwrap();
    }

    fn count(counter: &Arc<AtomicUsize>) -> Callback<()> {
        let counter = Arc::clone(counter);
        Callback::from_fn(move |_, _| _ = counter.fetch_add(1, Relaxed))
    }

    #[test]
    fn what_panics_while_the_state_is_borrowed_costs_a_panic_and_not_the_engine() {
        let engine = Engine::new().unwrap();
        let told = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            engine.sleep(Duration::ZERO, count(&told));
            panic_in_between(&engine);
            engine.sleep(Duration::ZERO, count(&told));
        }
        // Before the turn, in it, and where a run is left; by callbacks as well.
        engine.post(|local| {
            with_current(local.id(), |_| resume_unwind(Box::new("in between")));
        });
        let mut panics = 0;
        while panics < 10 && catch_unwind(AssertUnwindSafe(|| engine.run().unwrap())).is_err() {
            panics += 1;
        }
        assert!((1..=4).contains(&panics), "{panics}");
        assert_eq!(told.load(Relaxed), 6);
    }

    #[test]
    fn what_panics_so_in_the_last_turn_keeps_nobody_from_hearing() {
        let engine = Engine::new().unwrap();
        let told = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            engine.sleep(Duration::from_secs(3600), count(&told));
        }
        engine.run_once(Some(Duration::ZERO)).unwrap();
        panic_in_between(&engine);
        drop(engine);
        assert_eq!(told.load(Relaxed), 3);
    }
}
