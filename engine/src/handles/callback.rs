//! [`Callback`]: who is told the outcome of an operation, and by when it must come.
//! [`Claim`]: a value that goes back to where it came from unless it is taken.

use std::{
    fmt, mem,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    handles::{
        handle::{Handle, Local, Shared, give_back_to},
        listener::Listener,
        queue::ready::Ready,
        small_fn::SmallFnOnce,
        stream::Stream,
    },
    pure::{
        error::{Error, Result},
        panics::{Contained, Panics},
        table::Id,
    },
};

/// Who is told the outcome of an operation, and by when it must come: `success`, `failure` and
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

type LocalClosure<T> = dyn FnOnce(&Local, Result<T>);

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

/// A handler that is told one outcome or, dropped before that, that none will come.
pub(crate) struct HandlerRef<T>(Option<Arc<dyn CompletionHandler<T>>>);

/// Who hears the outcomes of one operation after another, and so needs no memory for each; given to
/// [`Callback::handler`].
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
    /// Tells `success` or `failure`.
    ///
    /// Both are one closure then, so that what one captured is dropped with what the other did. As in
    /// any closure, two values in it whose drops panic end the process; one by one they cost no more
    /// than the panic of a callback.
    ///
    /// ```
    /// # use facade_engine::{Callback, Engine};
    /// # use std::{io::Write, os::unix::net::UnixStream};
    /// # let engine = Engine::new()?;
    /// # let (mut peer, ours) = UnixStream::pair().unwrap();
    /// # let stream = engine.attach(ours)?;
    /// peer.write_all(b"hello\n").unwrap();
    /// engine.read_line(&stream, Callback::new(
    ///     |_, line| assert_eq!(line, "hello"),
    ///     |_, error| eprintln!("no line: {error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn new(
        success: impl FnOnce(&Local, T) + Send + 'static,
        failure: impl FnOnce(&Local, Error) + Send + 'static,
    ) -> Self {
        Self::from_fn(move |local, outcome| match outcome {
            Ok(value) => success(local, value),
            Err(error) => failure(local, error),
        })
    }

    /// Tells one closure, as a `Result`.
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

    /// Tells `success` or `failure`, and whichever runs gets the `state`: for what both need and
    /// only one can own.
    ///
    /// ```
    /// # use facade_engine::{Bytes, Callback, Engine};
    /// # use std::{io::Write, os::unix::net::UnixStream};
    /// # let engine = Engine::new()?;
    /// # let (mut peer, ours) = UnixStream::pair().unwrap();
    /// # let stream = engine.attach(ours)?;
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

    /// Tells nobody. What the operation takes is taken all the same.
    ///
    /// ```
    /// # use facade_engine::{Callback, Engine};
    /// # use std::os::unix::net::UnixStream;
    /// # let engine = Engine::new()?;
    /// # let (_peer, ours) = UnixStream::pair().unwrap();
    /// # let stream = engine.attach(ours)?;
    /// engine.write_line(&stream, "hello", Callback::ignore());
    /// // The last one tells whether all of it went out.
    /// engine.flush(&stream, Callback::new(|_, ()| (), |_, error| panic!("{error}")));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub const fn ignore() -> Self {
        Self { slot: Slot::Ignore, timeout: None }
    }

    /// Tells a closure that is not `Send`, e.g. one that holds an `Rc`.
    ///
    /// The closure stays in the table of `local`'s engine; only its key travels. Given to an
    /// operation of another engine, it runs on its own engine's thread all the same.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Result};
    /// use std::{cell::Cell, rc::Rc, time::Duration};
    ///
    /// let engine = Engine::new()?;
    /// let naps = Rc::new(Cell::new(0));
    /// let count = Rc::clone(&naps);
    /// let cb = Callback::local(&engine, move |_, _: Result<()>| count.set(count.get() + 1));
    /// engine.sleep(Duration::from_millis(1), cb);
    /// engine.run()?;
    /// assert_eq!(naps.get(), 1);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn local(local: &Local, f: impl FnOnce(&Local, Result<T>) + 'static) -> Self {
        // In the child of a fork it goes at once, and not with the table, which is the parent's.
        let key = (!local.is_inherited()).then(|| {
            let closure: Box<LocalClosure<T>> = Box::new(f);
            local.closures.borrow_mut().insert(Box::new(closure))
        });
        let home = local.handle().downgrade();
        Self {
            slot: Slot::Local(Box::new(LocalKey { key, home, engine: local.handle().id() })),
            timeout: None,
        }
    }

    /// Tells a closure that gets a [`Claim`] on the value instead of the value.
    ///
    /// A claim that is dropped untaken undoes the operation: what it consumed is there for the next
    /// one. This is what makes futures lossless. For the same reason a cancel withdraws a success
    /// that the closure has not heard yet: what it consumed goes back at once, before the next
    /// submission, and the closure hears [`Error::Cancelled`].
    ///
    /// ```
    /// # use facade_engine::{Bytes, Callback, Claim, Engine, Result};
    /// # use std::{io::Write, os::unix::net::UnixStream};
    /// # let engine = Engine::new()?;
    /// # let (mut peer, ours) = UnixStream::pair().unwrap();
    /// # let stream = engine.attach(ours)?;
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

    /// Tells a handler that outlives the operation, with a [`Claim`] as [`claim`](Self::claim) does:
    /// for who has an object to report to anyway, and would rather not box a closure a time.
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
    /// # use facade_engine::{Bytes, Callback, Cancel, Engine, Handle, Stream};
    /// # use std::{io::Write, os::unix::net::UnixStream};
    /// # let engine = Engine::new()?;
    /// # let (mut peer, ours) = UnixStream::pair().unwrap();
    /// # let stream = engine.attach(ours)?;
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

    /// A callback for another type of value, from which `f` makes this one's if it can: an operation of
    /// one's own fails with what `f` returns, an [`Error::other`] as a rule.
    ///
    /// It has failed then as any operation does: what it would have taken is left. Bytes are the next
    /// read's again, and a connection the next accept's; [abort](Handle::abort) one that shall not come
    /// back. To take them in any case, have [`map`](Self::map) make a `Result` of them. In a chain later
    /// stages go on: they have begun before.
    ///
    /// A cancel withdraws a success that `f` has not seen yet, as from a [`claim`](Self::claim); a claim
    /// stays one. The timeout stays as it is.
    ///
    /// ```
    /// # use facade_engine::{Bytes, Callback, Cancel, Engine, Error, Handle, Stream};
    /// # use std::{io::Write, os::unix::net::UnixStream};
    /// # let engine = Engine::new()?;
    /// # let (mut peer, ours) = UnixStream::pair().unwrap();
    /// # let stream = engine.attach(ours)?;
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
    /// It bounds the operation as a whole: a peer that sends a byte a second does not stretch it.
    /// `Duration::ZERO` makes one attempt; `Duration::MAX` never expires. An operation that expires
    /// fails with [`Error::TimedOut`] and leaves what a cancelled one leaves. What has arrived by
    /// then is never a timeout.
    ///
    /// ```
    /// # use facade_engine::{Bytes, Callback, Engine, Error, Result};
    /// # use std::{os::unix::net::UnixStream, time::Duration};
    /// # let engine = Engine::new()?;
    /// # let (_peer, ours) = UnixStream::pair().unwrap();
    /// # let stream = engine.attach(ours)?;
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

/// The outcome of an operation that is put back unless it is taken.
///
/// Dropped untaken, on any thread, it returns what the operation consumed (bytes as they came, line
/// end and all; a connection; the rest of a cut write) to the front of where it was taken from:
/// before any later submission of that thread, and before reads that are queued but not yet
/// matched.
///
/// A limit: hold one claim on a stream's bytes at a time. With two of them held, a read can take what
/// one gave back together with what is behind the other; if that goes back, too, it does so in one
/// piece, and the other's bytes come behind it.
///
/// From [`Callback::claim`].
///
/// ```
/// # use facade_engine::{Bytes, Callback, Claim, Engine, Result};
/// # use std::{io::Write, os::unix::net::UnixStream};
/// # let engine = Engine::new()?;
/// # let (mut peer, ours) = UnixStream::pair().unwrap();
/// # let stream = engine.attach(ours)?;
/// peer.write_all(b"hello\n").unwrap();
/// engine.read_line(&stream, Callback::claim(|_, outcome: Result<Claim<Bytes>>| {
///     // Only now does the line leave the stream.
///     assert_eq!(outcome.unwrap().take(), "hello");
/// }));
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[must_use = "a claim that is dropped undoes the operation"]
pub struct Claim<T>(
    /// None only once it was taken.
    Option<Consumed<T>>,
);

/// A value, and what it was made of.
struct Consumed<T> {
    value: T,
    origin: Origin,
    /// Makes the value the bytes that it was again, if they were not kept.
    to_raw: Option<fn(&T) -> Bytes>,
}

/// Where what was consumed goes back to.
pub(crate) enum Origin {
    /// Nothing was consumed.
    Nowhere,
    /// Bytes, which the value can be made again.
    Read(BytesOrigin),
    /// Bytes, which were kept.
    Unread(Box<(BytesOrigin, Bytes)>),
    Untaken {
        listener: Listener,
        connection: Stream,
    },
    Unsent(Box<(Stream, PartialTail)>),
}

/// The rest of a cut write.
#[derive(Debug)]
pub(crate) struct PartialTail {
    /// The write's place in the order of submissions.
    pub(crate) number: u64,
    pub(crate) rest: Bytes,
    /// What later writes hear again if a claim on the rest is not taken.
    pub(crate) error: Option<Box<Error>>,
}

/// Where bytes were taken. It keeps nothing alive: with its last clone a stream is gone, and so is
/// whoever could read the bytes again.
///
/// Packed, so that it leaves room for the tag of [`Origin`]: a claim waits in the memory of its
/// future, which every connection has.
#[derive(Debug, Clone, Copy)]
#[repr(Rust, packed(4))]
pub(crate) struct BytesOrigin {
    pub(crate) engine: u32,
    pub(crate) stream: Id,
    /// How many bytes of the stream came before.
    pub(crate) offset: u64,
}

impl<T> Claim<T> {
    pub(crate) const fn new(value: T, origin: Origin) -> Self {
        Self(Some(Consumed { value, origin, to_raw: None }))
    }

    /// A claim on bytes that `to_raw` makes of the value.
    pub(crate) const fn on_bytes(value: T, place: BytesOrigin, to_raw: fn(&T) -> Bytes) -> Self {
        Self(Some(Consumed { value, origin: Origin::Read(place), to_raw: Some(to_raw) }))
    }

    /// Yields the value, for good. See [`Claim`] for an example.
    #[inline]
    pub fn take(self) -> T {
        self.into_consumed().value
    }

    fn map<U>(self, f: impl FnOnce(T) -> U) -> Claim<U> {
        let (value, origin) = self.into_parts();
        let origin = Returning(Some(origin));
        let value = f(value);
        Claim::new(value, origin.keep())
    }

    /// What `f` makes of the value, or the error with everything given back.
    fn and_then<U>(self, f: impl FnOnce(T) -> Result<U>) -> Result<Claim<U>> {
        let (value, origin) = self.into_parts();
        let origin = Returning(Some(origin));
        let value = f(value)?;
        Ok(Claim::new(value, origin.keep()))
    }

    /// Takes the claim apart, with nothing given back.
    fn into_parts(self) -> (T, Origin) {
        self.into_consumed().into_parts()
    }

    #[inline]
    fn into_consumed(mut self) -> Consumed<T> {
        self.0.take().expect("a claim holds its value until it is taken")
    }
}

impl<T> Consumed<T> {
    fn into_parts(self) -> (T, Origin) {
        let origin = match (self.origin, self.to_raw) {
            (Origin::Read(place), Some(to_raw)) => {
                Origin::Unread(Box::new((place, to_raw(&self.value))))
            }
            (origin, _) => origin,
        };
        (self.value, origin)
    }
}

impl<T> Drop for Claim<T> {
    fn drop(&mut self) {
        let Some(consumed) = self.0.take() else { return };
        let (value, origin) = consumed.into_parts();
        let origin = Returning(Some(origin));
        // The value first: it may hold the connection that goes back.
        drop(value);
        drop(origin);
    }
}

/// Gives back what was consumed when it is dropped, so that no panic of what is done to the value
/// loses it.
struct Returning(Option<Origin>);

impl Returning {
    fn keep(mut self) -> Origin {
        self.0.take().unwrap_or(Origin::Nowhere)
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        match self.0.take() {
            None | Some(Origin::Nowhere | Origin::Read(_)) => {}
            Some(Origin::Unread(unread)) => {
                let (place, raw) = *unread;
                give_back_to(place.engine, move |core| core.give_back(place, raw));
            }
            Some(Origin::Untaken { listener, connection }) => {
                let engine = listener.handle().id();
                give_back_to(engine, move |core| {
                    core.give_back_connection(&listener, connection);
                });
            }
            Some(Origin::Unsent(unsent)) => {
                let (stream, cut) = *unsent;
                let engine = stream.handle().id();
                give_back_to(engine, move |core| core.give_back_unsent(&stream, cut));
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Claim<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0.as_ref().map(|consumed| &consumed.value);
        f.debug_tuple("Claim").field(&value).finish()
    }
}

/// Names a closure in the table of the engine it belongs to.
pub(crate) struct LocalKey {
    key: Option<usize>,
    home: Weak<Shared>,
    engine: u32,
}

impl LocalKey {
    fn run<T: Send + 'static>(mut self: Box<Self>, local: &Local, outcome: Result<T>) {
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
                // In two steps, because what it captured may have another one made as it goes.
                let closure = local.closures.borrow_mut().try_remove(key);
                drop(closure);
            });
        }
    }
}

/// An outcome on its way to its closure.
pub(crate) enum Delivery<T> {
    Plain(SmallFnOnce<Result<T>>, Result<T>),
    Claim(Claimant<T>, Result<Claim<T>>),
    Local(Box<LocalKey>, Result<T>),
    Ignore(Result<T>),
}

impl<T> Slot<T> {
    /// Whether the closure wants a claim, so that its origin has to be kept.
    pub(crate) const fn is_claim(&self) -> bool {
        matches!(self, Self::Claim(_))
    }

    /// Runs the closure with a success that consumed nothing: user code, so nothing may be
    /// borrowed.
    #[inline]
    pub(crate) fn succeed(self, local: &Local, value: T)
    where
        T: Send + 'static,
    {
        match self {
            Self::Plain(f) => f.call(local, Ok(value)),
            slot => slot.deliver(Ok(value)).run(local),
        }
    }

    /// Pairs the closure with an outcome that consumed nothing.
    pub(crate) fn deliver(self, outcome: Result<T>) -> Delivery<T> {
        self.deliver_from(outcome, || Origin::Nowhere)
    }

    /// Pairs the closure with an outcome; `origin` says where a claim on it would go back to.
    pub(crate) fn deliver_from(
        self,
        outcome: Result<T>,
        origin: impl FnOnce() -> Origin,
    ) -> Delivery<T> {
        match self {
            Self::Plain(f) => Delivery::Plain(f, outcome),
            Self::Claim(to) => {
                Delivery::Claim(to, outcome.map(|value| Claim::new(value, origin())))
            }
            Self::Local(key) => Delivery::Local(key, outcome),
            Self::Ignore => Delivery::Ignore(outcome),
        }
    }
}

impl<T: 'static> Claimant<T> {
    pub(crate) fn run(self, local: &Local, outcome: Result<Claim<T>>) {
        match self {
            Self::Closure(f) => f.call(local, outcome),
            Self::Handler(mut handler) => {
                if let Some(handler) = handler.0.take() {
                    handler.completed(local, outcome);
                }
            }
        }
    }
}

impl<T> HandlerRef<T> {
    /// Tells a success that took nothing.
    #[inline]
    pub(crate) fn tell(mut self, local: &Local, value: T) {
        if let Some(handler) = self.0.take() {
            handler.completed(local, Ok(Claim::new(value, Origin::Nowhere)));
        }
    }
}

impl<T> Drop for HandlerRef<T> {
    fn drop(&mut self) {
        if let Some(handler) = self.0.take() {
            handler.refused();
        }
    }
}

impl<T: Send + 'static> Delivery<T> {
    /// Runs the closure: user code, so nothing may be borrowed.
    pub(crate) fn run(self, local: &Local) {
        match self {
            Self::Plain(f, outcome) => f.call(local, outcome),
            Self::Claim(to, outcome) => to.run(local, outcome),
            Self::Local(key, outcome) => key.run(local, outcome),
            Self::Ignore(outcome) => drop(outcome),
        }
    }

    /// Turns the success of a claim into a failure. Returns where what it consumed goes back to,
    /// and the value to be dropped.
    pub(crate) fn withdraw(&mut self, error: Error) -> (Origin, Option<T>) {
        let Self::Claim(_, outcome) = self else { return (Origin::Nowhere, None) };
        match mem::replace(outcome, Err(error)) {
            Ok(claim) => {
                let (value, origin) = claim.into_parts();
                (origin, Some(value))
            }
            Err(failure) => {
                *outcome = Err(failure);
                (Origin::Nowhere, None)
            }
        }
    }
}

/// A delivery of any type, and what is dropped when it runs.
pub(crate) trait Deliver {
    fn run(self: Box<Self>, local: &Local);
    /// As [`Delivery::withdraw`]; the value comes as something to be run.
    fn withdraw(&mut self, error: Error) -> (Origin, Ready);
}

/// The outcome of an operation that may give a claim, which can be withdrawn until it is heard.
pub(crate) enum Outcome {
    Bytes(Delivery<Bytes>),
    Stream(Delivery<Stream>),
    Boxed(Box<dyn Deliver>),
}

impl Outcome {
    /// As an entry of the ready queue, where it cannot be withdrawn any more.
    #[inline]
    pub(crate) fn ready(self) -> Ready {
        match self {
            Self::Bytes(delivery) => delivery.ready(),
            Self::Stream(delivery) => delivery.ready(),
            Self::Boxed(delivery) => Ready::Boxed(delivery),
        }
    }

    /// Runs the closure: user code, so nothing may be borrowed.
    pub(crate) fn run(self, local: &Local) {
        match self {
            Self::Bytes(delivery) => delivery.run(local),
            Self::Stream(delivery) => delivery.run(local),
            Self::Boxed(delivery) => delivery.run(local),
        }
    }

    /// Turns the success of a claim into a failure. Returns where what it consumed goes back to,
    /// and what is to be dropped when nothing is borrowed.
    pub(crate) fn withdraw(&mut self, error: Error) -> (Origin, Option<Ready>) {
        match self {
            Self::Bytes(delivery) => (delivery.withdraw(error).0, None),
            Self::Stream(delivery) => {
                let (origin, value) = delivery.withdraw(error);
                (origin, Some(Ready::Run(Box::new(move |_| drop(value)))))
            }
            Self::Boxed(delivery) => {
                let (origin, value) = delivery.withdraw(error);
                (origin, Some(value))
            }
        }
    }
}

struct Held<T, K> {
    delivery: Delivery<T>,
    kept: K,
}

impl<T: Send + 'static, K> Deliver for Held<T, K> {
    fn run(self: Box<Self>, local: &Local) {
        let Self { delivery, kept } = *self;
        if !mem::needs_drop::<K>() {
            return delivery.run(local);
        }
        // Whoever waits hears of it, though what is kept may panic as it goes.
        let mut panics = Panics::default();
        panics.contain(|| drop(kept));
        panics.contain(|| delivery.run(local));
        panics.resume();
    }

    fn withdraw(&mut self, error: Error) -> (Origin, Ready) {
        let (origin, value) = self.delivery.withdraw(error);
        (origin, Ready::Run(Box::new(move |_| drop(value))))
    }
}

/// Values that operations succeed with, and how they wait in the ready queue: the plain successes
/// of the frequent ones in place, others in a box.
pub(crate) trait Value: Send + Sized + 'static {
    fn ready(f: SmallFnOnce<Result<Self>>, value: Self) -> Ready;

    /// The same for a handler, when the operation took nothing that could go back.
    fn for_handler(handler: HandlerRef<Self>, value: Self) -> Ready {
        boxed(Delivery::Claim(Claimant::Handler(handler), Ok(Claim::new(value, Origin::Nowhere))))
    }
}

impl Value for Bytes {
    #[inline]
    fn ready(f: SmallFnOnce<Result<Self>>, value: Self) -> Ready {
        Ready::Bytes(f, value)
    }
}

impl Value for usize {
    #[inline]
    fn ready(f: SmallFnOnce<Result<Self>>, value: Self) -> Ready {
        Ready::Count(f, value)
    }

    #[inline]
    fn for_handler(handler: HandlerRef<Self>, value: Self) -> Ready {
        Ready::HandlerCount(handler, value)
    }
}

impl Value for () {
    #[inline]
    fn ready(f: SmallFnOnce<Result<Self>>, (): Self) -> Ready {
        Ready::Unit(f)
    }

    #[inline]
    fn for_handler(handler: HandlerRef<Self>, (): Self) -> Ready {
        Ready::HandlerUnit(handler)
    }
}

impl Value for Stream {
    #[inline]
    fn ready(f: SmallFnOnce<Result<Self>>, value: Self) -> Ready {
        Ready::Stream(f, value)
    }
}

impl<T: Value> Delivery<T> {
    /// As an entry of the ready queue.
    #[inline]
    pub(crate) fn ready(self) -> Ready {
        match self {
            Self::Plain(f, Ok(value)) => T::ready(f, value),
            rare => boxed(rare),
        }
    }
}

/// A value of any other type, boxed with its closure.
pub(crate) fn boxed<T: Send + 'static>(delivery: Delivery<T>) -> Ready {
    Ready::Boxed(boxed_with(delivery, ()))
}

/// The same, with something of the user's that is dropped only when nothing is borrowed.
pub(crate) fn boxed_with<T: Send + 'static, K: 'static>(
    delivery: Delivery<T>,
    kept: K,
) -> Box<dyn Deliver> {
    Box::new(Held { delivery, kept })
}
