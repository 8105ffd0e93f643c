//! [`Cancel`]: ends an operation early.

use crate::{
    handles::{current, handle::Handle, queue::message::Message, registry},
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
        let key = match self.head_read {
            0 if self.key & TICKET == 0 => Key::Operation(Id::from_bits(self.key)),
            0 => Key::Ticket(self.key & !TICKET),
            number => Key::HeadRead(Id::from_bits(self.key), number),
        };
        match current::with_current(self.engine, |core| core.cancel(key)) {
            Some(registered) => registered,
            None => registry::engine(self.engine)
                .is_some_and(|shared| shared.inbox.push(Message::Cancel(key)).is_ok()),
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
