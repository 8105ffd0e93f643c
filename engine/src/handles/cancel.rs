//! [`Cancel`]: ends an operation early.

use crate::{
    core::Core,
    handles::{current, handle::Handle, queue::message::Message, registry, repeating::Pause},
    pure::table::Id,
    system::fork::{self},
};

/// Ends an operation early. Every operation returns one.
///
/// Two numbers that keep nothing alive. Using it is a request, from any thread, at any time, any
/// number of times, also after the end. Dropping it does not cancel.
///
/// ```
/// use facade_engine::{Callback, Engine, Error};
/// use std::time::Duration;
///
/// let engine = Engine::new()?;
/// let hour = Duration::from_secs(3600);
/// let cancel = engine.sleep(hour, Callback::from_fn(|_, outcome| {
///     assert!(matches!(outcome, Err(Error::Cancelled)));
/// }));
/// cancel.cancel();
/// engine.run()?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Cancel {
    engine: u32,
    /// Of a read that is the head read of its stream, else zero.
    head_read: u32,
    /// The id of an operation or, of a head read, the stream; or a ticket. Zero if it is over.
    key: u64,
}

/// Set in the key of an operation that another thread submitted: the rest is then a ticket.
const TICKET: u64 = 1 << 63;

/// What an operation is cancelled by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Operation(Id),
    HeadRead(Id, u32),
    Ticket(u64),
}

impl From<Id> for Key {
    fn from(id: Id) -> Self {
        Self::Operation(id)
    }
}

impl Cancel {
    /// Of an operation that had its outcome when it was submitted.
    pub(crate) const fn over(engine: u32) -> Self {
        Self { engine, head_read: 0, key: 0 }
    }

    /// Of the operation with this key; none if it had its outcome when it was submitted.
    pub(crate) fn new(engine: u32, key: Option<impl Into<Key>>) -> Self {
        let (head_read, key) = match key.map(Into::into) {
            None => (0, 0),
            Some(Key::Operation(id)) => (0, id.to_bits()),
            Some(Key::HeadRead(stream, number)) => (number, stream.to_bits()),
            Some(Key::Ticket(ticket)) => (0, ticket | TICKET),
        };
        Self { engine, head_read, key }
    }

    /// One that cancels nothing: for operations of one's own that have no other, because they had
    /// their outcome at once or cannot be ended early. `handle` is that of the engine on which the
    /// callback will run.
    ///
    /// See [`Handle::complete`](crate::Handle::complete) for an example.
    pub fn none(handle: &Handle) -> Self {
        Self::over(handle.id())
    }

    /// Requests that the operation end now. Returns whether the request was registered; only the
    /// callback tells the outcome, which may still be a success.
    ///
    /// A read or accept ends by the next turn, and what the system brings later is there for the
    /// next one. See each operation for what it guarantees after a cancel.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new()?;
    /// let cancel = engine.sleep(Duration::from_millis(1), Callback::ignore());
    /// engine.run()?;
    /// cancel.cancel(); // too late, and harmless
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn cancel(&self) -> bool {
        if self.key == 0 {
            return false;
        }
        let key = self.key();
        match current::with_current(self.engine, |core| core.cancel(key)) {
            Some(registered) => registered,
            None => registry::engine(self.engine)
                .is_some_and(|shared| shared.inbox.push(Message::Cancel(key)).is_ok()),
        }
    }

    /// Pauses a repeating operation, such as [`each_line`](crate::Handle::each_line), until the
    /// guard is dropped, on whatever thread. If there are several guards, until the last is.
    ///
    /// Its handler is not called meanwhile: at once when this is called in it or in another
    /// callback of its engine, else as soon as the engine hears of it. What comes is kept as for
    /// nobody: a stream is read ahead up to [`Limits::unread`](crate::Limits::unread), and then its
    /// peer has to wait. The time of the callback's timeout does not run. The end of the stream and
    /// its failure are told afterwards, as they come after the bytes before them; a cancel and a
    /// close are told at once.
    ///
    /// An operation that does not repeat does not mind, nor one that is over.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"one\nthree\n").unwrap();
    /// # drop(peer);
    /// engine.each_line(
    ///     &stream,
    ///     |local, line: Bytes| {
    ///         // The next line has to wait for what a worker makes of this one.
    ///         let pause = local.repeating().pause();
    ///         local.submit_work(move || line.len(), Callback::new(
    ///             move |_, length| {
    ///                 println!("{length} bytes");
    ///                 drop(pause);
    ///             },
    ///             |_, error| panic!("{error}"),
    ///         ));
    ///     },
    ///     Callback::new(|_, ()| println!("no more lines"), |_, error| panic!("{error}")),
    /// );
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn pause(&self) -> Pause {
        Pause::new(self.clone())
    }

    /// A guard that pauses the operation was made, or dropped.
    pub(super) fn shift_pauses(&self, by: i32) {
        if self.key == 0 {
            return;
        }
        let key = self.key();
        if current::with_current(self.engine, |core| core.shift_pauses(key, by)) == Some(true) {
            return;
        }
        if let Some(shared) = registry::engine(self.engine) {
            let shift = move |core: &mut Core| _ = core.shift_pauses(key, by);
            drop(shared.inbox.push(Message::Apply(Box::new(shift))));
        }
    }

    const fn key(&self) -> Key {
        match self.head_read {
            0 if self.key & TICKET == 0 => Key::Operation(Id::from_bits(self.key)),
            0 => Key::Ticket(self.key & !TICKET),
            number => Key::HeadRead(Id::from_bits(self.key), number),
        }
    }

    /// Whether the operation is of an engine that this process has inherited by a fork(2). It will
    /// never be heard of here: it is the parent's.
    ///
    /// See [`Handle::is_inherited`](crate::Handle::is_inherited).
    pub fn is_inherited(&self) -> bool {
        fork::is_inherited(self.engine)
    }
}
