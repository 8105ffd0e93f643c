//! [`Callback`]: what runs with the outcome of an operation, and by when that must come.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{
    handles::{claim::Claim, handle::Handle, local::Local, shared::Shared, small_fn::SmallFnOnce},
    pure::{
        error::{Error, Result},
        panics::Contained,
    },
};

/// What runs with the outcome of an operation, and by when that must come: `success`, `failure` and
/// `timeout`. The fourth slot, [`Cancel`](crate::Cancel), is what the operation returns.
///
/// Exactly one closure runs, exactly once, on the engine's thread, never inside the call that
/// submits. It gets [`&Local`](Local), through which it can do everything, such as submitting the
/// next operation.
///
/// ```
/// use facade_engine::{Callback, Engine};
/// use std::time::Duration;
///
/// let engine = Engine::new()?;
/// let nap = Duration::from_millis(1);
/// engine.sleep(nap, Callback::new(|_, ()| println!("woke up"), |_, error| eprintln!("{error}")));
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
pub struct Callback<T> {
    pub(crate) slot: Slot<T>,
    pub(crate) timeout: Option<Duration>,
}

pub(super) type LocalClosure<T> = dyn FnOnce(&Local, Result<T>);

/// The closure itself, in one box at most.
pub(crate) enum Slot<T> {
    Plain(SmallFnOnce<Result<T>>),
    Claim(Claimant<T>),
    Local(Box<LocalKey>),
    Ignore,
}

/// Who gets a claim.
pub(crate) enum Claimant<T> {
    Closure(SmallFnOnce<Result<Claim<T>>>),
    Handler(HandlerRef<T>),
}

/// A handler to which one outcome is reported or, if this is dropped before that, that none will
/// come.
pub(crate) struct HandlerRef<T>(pub(super) Option<Arc<dyn CompletionHandler<T>>>);

/// An object to which the outcomes of one operation after another are reported, so that no closure
/// needs memory for each; given to [`Callback::handler`].
///
/// ```
/// use facade_engine::{Callback, Claim, Engine, Local, Result, adapter::CompletionHandler};
/// use std::{sync::{Arc, atomic::{AtomicU32, Ordering}}, time::Duration};
///
/// struct Metronome(AtomicU32);
///
/// impl CompletionHandler<()> for Metronome {
///     fn completed(self: Arc<Self>, engine: &Local, outcome: Result<Claim<()>>) {
///         outcome.expect("nothing cancels it").take();
///         if self.0.fetch_add(1, Ordering::Relaxed) < 3 {
///             engine.sleep(Duration::from_millis(1), Callback::handler(self));
///         }
///     }
///
///     fn refused(self: Arc<Self>) {}
/// }
///
/// let engine = Engine::new()?;
/// engine.sleep(Duration::ZERO, Callback::handler(Arc::new(Metronome(AtomicU32::new(0)))));
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
pub trait CompletionHandler<T>: Send + Sync {
    /// An operation has its outcome. On the engine's thread, as any callback.
    fn completed(self: Arc<Self>, local: &Local, outcome: Result<Claim<T>>);

    /// The engine is gone or going, and has refused the operation: a closure would be dropped
    /// unrun. On the thread that submits or drops the engine.
    fn refused(self: Arc<Self>);
}

impl<T: 'static> Callback<T> {
    /// Runs `success` with the value or `failure` with the error.
    ///
    /// Both are one closure then, so that what one captured is dropped with what the other did. As
    /// in any closure, two values in it whose drops panic end the process; one by one they cost no
    /// more than the panic of a callback.
    ///
    /// They are `Send`, since an operation may be submitted from any thread. With an `Rc` in them
    /// the compiler says that it "cannot be sent between threads safely": use
    /// [`local`](Self::local) in place of `new`, [`local_with`](Self::local_with) in place of
    /// [`with`](Self::with), and [`local_from_fn`](Self::local_from_fn) in place of
    /// [`from_fn`](Self::from_fn). They take the [`Local`] that every callback gets, or the engine
    /// itself, and run on its thread.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"hello\n").unwrap();
    /// engine.read_line(&stream, Callback::new(
    ///     |_, line| assert_eq!(line, "hello"),
    ///     |_, error| eprintln!("no line: {error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "Rc")]
    pub fn new(
        success: impl FnOnce(&Local, T) + Send + 'static,
        failure: impl FnOnce(&Local, Error) + Send + 'static,
    ) -> Self {
        Self::from_fn(move |local, outcome| match outcome {
            Ok(value) => success(local, value),
            Err(error) => failure(local, error),
        })
    }

    /// Runs one closure with the outcome as a `Result`.
    ///
    /// ```
    /// use facade_engine::{AddrInfo, Callback, Engine, Hints, Result};
    ///
    /// let engine = Engine::new()?;
    /// let cb = Callback::from_fn(|_, outcome: Result<Vec<AddrInfo>>| match outcome {
    ///     Ok(found) => println!("{} addresses", found.len()),
    ///     Err(error) => eprintln!("{error}"),
    /// });
    /// engine.getaddrinfo("::1", "http", Hints::default(), cb);
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn from_fn(f: impl FnOnce(&Local, Result<T>) + Send + 'static) -> Self {
        Self { slot: Slot::Plain(SmallFnOnce::new(f)), timeout: None }
    }

    /// Runs `success` or `failure`, and whichever runs gets the `state`: for what both need and
    /// only one can own.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"hello\n").unwrap();
    /// engine.read_line(&stream, Callback::with(
    ///     stream.clone(),
    ///     |engine, stream, line: Bytes| {
    ///         engine.write_line(&stream, line, Callback::ignore());
    ///     },
    ///     |engine, stream, _| engine.abort(&stream),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn with<S: Send + 'static>(
        state: S,
        success: impl FnOnce(&Local, S, T) + Send + 'static,
        failure: impl FnOnce(&Local, S, Error) + Send + 'static,
    ) -> Self {
        Self::from_fn(move |local, outcome| match outcome {
            Ok(value) => success(local, state, value),
            Err(error) => failure(local, state, error),
        })
    }

    /// Runs nothing. What the operation takes is taken nevertheless.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let engine = Engine::new()?;
    /// let (_peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// engine.write_line(&stream, "hello", Callback::ignore());
    /// // The last one tells whether all of it went out.
    /// engine.flush(&stream, Callback::new(|_, ()| (), |_, error| panic!("{error}")));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub const fn ignore() -> Self {
        Self { slot: Slot::Ignore, timeout: None }
    }

    /// Runs `success` with the value or `failure` with the error, as [`new`](Self::new) does, but
    /// neither need be `Send`: for what holds an `Rc`, a `RefCell` behind one, or anything else of
    /// this thread.
    ///
    /// The closures stay in the table of `local`'s engine; only their key travels. Given to an
    /// operation of another engine, they run on their own engine's thread all the same.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine};
    /// use std::{cell::RefCell, io::Write, os::unix::net::UnixStream, rc::Rc};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"hello\n").unwrap();
    /// let lines = Rc::new(RefCell::new(Vec::new()));
    /// let heard = Rc::clone(&lines);
    /// engine.read_line(&stream, Callback::local(
    ///     &engine,
    ///     move |_, line: Bytes| heard.borrow_mut().push(line),
    ///     |_, error| eprintln!("no line: {error}"),
    /// ));
    /// engine.run()?;
    /// assert_eq!(*lines.borrow(), ["hello"]);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "Rc")]
    pub fn local(
        local: &Local,
        success: impl FnOnce(&Local, T) + 'static,
        failure: impl FnOnce(&Local, Error) + 'static,
    ) -> Self {
        Self::local_from_fn(local, move |local, outcome| match outcome {
            Ok(value) => success(local, value),
            Err(error) => failure(local, error),
        })
    }

    /// Runs `success` or `failure`, neither of which need be `Send`, and whichever runs gets the
    /// `state`, as that of [`with`](Self::with): for what both need and only one can own, such as
    /// an `Rc` that would have to be cloned for one of them.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine};
    /// use std::{cell::RefCell, io::Write, os::unix::net::UnixStream, rc::Rc};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"hello\n").unwrap();
    /// let log = Rc::new(RefCell::new(Vec::new()));
    /// engine.read_line(&stream, Callback::local_with(
    ///     &engine,
    ///     Rc::clone(&log),
    ///     |_, log, line: Bytes| log.borrow_mut().push(format!("{} bytes", line.len())),
    ///     |_, log, error| log.borrow_mut().push(error.to_string()),
    /// ));
    /// engine.run()?;
    /// assert_eq!(*log.borrow(), ["5 bytes"]);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn local_with<S: 'static>(
        local: &Local,
        state: S,
        success: impl FnOnce(&Local, S, T) + 'static,
        failure: impl FnOnce(&Local, S, Error) + 'static,
    ) -> Self {
        Self::local_from_fn(local, move |local, outcome| match outcome {
            Ok(value) => success(local, state, value),
            Err(error) => failure(local, state, error),
        })
    }

    /// Runs one closure, which need not be `Send`, with the outcome as a `Result`; else as
    /// [`local`](Self::local).
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Result};
    /// use std::{cell::Cell, rc::Rc, time::Duration};
    ///
    /// let engine = Engine::new()?;
    /// let naps = Rc::new(Cell::new(0));
    /// let count = Rc::clone(&naps);
    /// let cb = Callback::local_from_fn(&engine, move |_, _: Result<()>| count.set(count.get() + 1));
    /// engine.sleep(Duration::from_millis(1), cb);
    /// engine.run()?;
    /// assert_eq!(naps.get(), 1);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn local_from_fn(local: &Local, f: impl FnOnce(&Local, Result<T>) + 'static) -> Self {
        let closure: Box<LocalClosure<T>> = Box::new(f);
        Self { slot: Slot::Local(Box::new(LocalKey::store(local, closure))), timeout: None }
    }

    /// Runs a closure that gets a [`Claim`] on the value instead of the value.
    ///
    /// A claim that is dropped untaken undoes the operation: what it consumed is there for the next
    /// one. This is what makes futures lossless. For the same reason a cancel withdraws a success
    /// that the closure has not got yet: what it consumed goes back at once, before the next
    /// submission, and the closure gets [`Error::Cancelled`].
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Claim, Engine, Result};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"hello\n").unwrap();
    /// let again = stream.clone();
    /// engine.read_line(&stream, Callback::claim(move |engine, outcome: Result<Claim<Bytes>>| {
    ///     drop(outcome); // not wanted after all
    ///     engine.read_line(&again, Callback::new(
    ///         |_, line| assert_eq!(line, "hello"),
    ///         |_, error| panic!("{error}"),
    ///     ));
    /// }));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn claim(f: impl FnOnce(&Local, Result<Claim<T>>) + Send + 'static) -> Self {
        Self { slot: Slot::Claim(Claimant::Closure(SmallFnOnce::new(f))), timeout: None }
    }

    /// Reports to a handler that outlives the operation, with a [`Claim`] as [`claim`](Self::claim)
    /// does: for programs that have such an object anyway, and save the box of a closure each time.
    ///
    /// See [`CompletionHandler`] for an example.
    pub fn handler(handler: Arc<impl CompletionHandler<T> + 'static>) -> Self {
        Self { slot: Slot::Claim(Claimant::Handler(HandlerRef(Some(handler)))), timeout: None }
    }

    /// A callback for another type of value, from which `f` makes this one's: for what stands
    /// between an operation and whom to tell. A claim stays a claim.
    ///
    /// The timeout stays as it is. An `f` that may fail is for [`and_then`](Self::and_then).
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Cancel, Engine, Handle, Stream};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// /// An operation of one's own: reads a line as a number, if it is one.
    /// fn read_number(engine: &Handle, stream: &Stream, cb: Callback<Option<u64>>) -> Cancel {
    ///     let parse = |line: Bytes| std::str::from_utf8(&line).ok()?.parse().ok();
    ///     engine.read_line(stream, cb.map(parse))
    /// }
    ///
    /// peer.write_all(b"42\n").unwrap();
    /// read_number(&engine, &stream, Callback::new(
    ///     |_, number| assert_eq!(number, Some(42)),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn map<U: Send + 'static>(self, f: impl FnOnce(U) -> T + Send + 'static) -> Callback<U>
    where
        T: Send,
    {
        let Self { slot, timeout } = self;
        // Dropped unrun, or where `f` panics, each goes by itself.
        let slot = match slot {
            Slot::Claim(to) => {
                let to = Contained::new(to);
                Slot::Claim(Claimant::Closure(SmallFnOnce::new(
                    move |local: &Local, outcome: Result<Claim<U>>| {
                        let outcome = outcome.map(|claim| claim.map(f));
                        to.into_inner().run(local, outcome);
                    },
                )))
            }
            slot => {
                let slot = Contained::new(slot);
                Slot::Plain(SmallFnOnce::new(move |local: &Local, outcome: Result<U>| {
                    let outcome = outcome.map(f);
                    slot.into_inner().deliver(outcome).run(local);
                }))
            }
        };
        Callback { slot, timeout }
    }

    /// A callback for another type of value, from which `f` makes this one's if it can: an
    /// operation of one's own fails with what `f` returns, an [`Error::other`] as a rule.
    ///
    /// It has failed then as any operation does: what it would have taken is left. Bytes are the
    /// next read's again, and a connection the next accept's; [abort](Handle::abort) one that shall
    /// not come back. To take them in any case, have [`map`](Self::map) make a `Result` of them. In
    /// a chain later stages go on: they have begun before.
    ///
    /// A cancel withdraws a success that `f` has not seen yet, as from a [`claim`](Self::claim); a
    /// claim stays one. The timeout stays as it is.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Cancel, Engine, Error, Handle, Stream};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// /// An operation of one's own: reads a line as a number, if it is one.
    /// fn read_number(engine: &Handle, stream: &Stream, cb: Callback<u64>) -> Cancel {
    ///     engine.read_line(stream, cb.and_then(|_, line: Bytes| {
    ///         let text = std::str::from_utf8(&line).map_err(Error::other)?;
    ///         text.parse().map_err(Error::other)
    ///     }))
    /// }
    ///
    /// peer.write_all(b"42\nforty-two\n").unwrap();
    /// read_number(&engine, &stream, Callback::new(
    ///     |_, number| assert_eq!(number, 42),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// read_number(&engine, &stream, Callback::new(
    ///     |_, number| panic!("{number}"),
    ///     |_, error| assert_eq!(error.to_string(), "invalid digit found in string"),
    /// ));
    /// engine.run()?;
    /// // No number was read, so the line is there for whoever knows what to do with it.
    /// engine.read_line(&stream, Callback::new(
    ///     |_, line| assert_eq!(line, "forty-two"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn and_then<U: Send + 'static>(
        self,
        f: impl FnOnce(&Local, U) -> Result<T> + Send + 'static,
    ) -> Callback<U>
    where
        T: Send,
    {
        let Self { slot, timeout } = self;
        let checked = Callback::claim(move |local: &Local, outcome: Result<Claim<U>>| {
            let outcome = outcome.and_then(|claim| claim.and_then(|value| f(local, value)));
            match slot {
                Slot::Claim(to) => to.run(local, outcome),
                slot => slot.deliver(outcome.map(Claim::take)).run(local),
            }
        });
        Callback { timeout, ..checked }
    }

    /// Sets the time that the operation may take, from its submission to its outcome. In a chain it
    /// runs from the success of the stage before. Without it, an operation may take for ever.
    ///
    /// Of a [repeating](crate::guide::repeating) operation it is the time that each thing may take to
    /// come. Of any other it bounds the operation as a whole: a peer that sends a byte a second does not stretch it.
    /// `Duration::ZERO` makes one attempt; `Duration::MAX` never expires. An operation that expires
    /// fails with [`Error::TimedOut`] and leaves what a cancelled one leaves. What has arrived by
    /// then is never a timeout.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine, Error, Result};
    /// use std::{os::unix::net::UnixStream, time::Duration};
    ///
    /// let engine = Engine::new()?;
    /// let (_peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// let cb = Callback::from_fn(|_, outcome: Result<Bytes>| {
    ///     assert!(matches!(outcome, Err(Error::TimedOut))); // nothing has been sent
    /// });
    /// engine.read_line(&stream, cb.timeout(Duration::ZERO));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The time that was set with [`timeout`](Self::timeout), if any: for who makes one operation
    /// of several, and has one callback for all of them.
    ///
    /// ```
    /// use facade_engine::Callback;
    /// use std::time::Duration;
    ///
    /// let cb = Callback::<()>::ignore().timeout(Duration::from_secs(5));
    /// assert_eq!(cb.get_timeout(), Some(Duration::from_secs(5)));
    /// ```
    pub const fn get_timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

impl<T> fmt::Debug for Callback<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// Names a closure in the table of the engine it belongs to.
pub(crate) struct LocalKey {
    key: Option<usize>,
    home: Weak<Shared>,
    engine: u32,
}

impl LocalKey {
    /// Puts something that must not leave the thread into the table of its engine.
    pub(super) fn store<F: 'static>(local: &Local, f: F) -> Self {
        // In the child of a fork it is dropped at once. The table is the parent's.
        let key = (!local.is_inherited()).then(|| local.closures.borrow_mut().insert(Box::new(f)));
        Self { key, home: local.handle().downgrade(), engine: local.handle().id() }
    }

    /// Takes it out again, on its engine's thread.
    pub(super) fn take<F: 'static>(mut self, local: &Local) -> Option<F> {
        let key = self.key.take()?;
        let stored = local.closures.borrow_mut().try_remove(key);
        stored.and_then(|stored| stored.downcast().ok()).map(|stored| *stored)
    }

    pub(super) fn run<T: Send + 'static>(mut self: Box<Self>, local: &Local, outcome: Result<T>) {
        if self.engine != local.handle().id() {
            if let Some(home) = self.home.upgrade() {
                Handle::from(home).post(move |local| self.run(local, outcome));
            }
            return;
        }
        let Some(key) = self.key.take() else { return };
        let closure = local.closures.borrow_mut().remove(key);
        let closure = closure.downcast::<Box<LocalClosure<T>>>().expect("stored under this type");
        closure(local, outcome);
    }
}

/// A callback that is refused unrun leaves the table.
impl Drop for LocalKey {
    fn drop(&mut self) {
        if let (Some(key), Some(home)) = (self.key.take(), self.home.upgrade()) {
            Handle::from(home).post(move |local| {
                // In two steps, so that the table is not borrowed while the closure is dropped:
                // what it has captured may enter another one.
                let closure = local.closures.borrow_mut().try_remove(key);
                drop(closure);
            });
        }
    }
}
