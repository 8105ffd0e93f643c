//! [`Cancel`]: ends an operation early.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError, Weak},
};

use crate::{
    completion::inbox::Message,
    handle::{self, Shared},
    table::Id,
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
    engine: u64,
    key: u64,
}

/// Set in the key of an operation that another thread submitted: the rest is then a ticket.
const TICKET: u64 = 1 << 63;

/// What a key stands for.
pub(crate) enum Key {
    Operation(Id),
    Ticket(u64),
}

impl Cancel {
    /// Of an operation that had its outcome when it was submitted.
    pub(crate) const fn over(engine: u64) -> Self {
        Self { engine, key: 0 }
    }

    pub(crate) const fn operation(engine: u64, id: Id) -> Self {
        Self { engine, key: id.to_bits() }
    }

    pub(crate) const fn ticket(engine: u64, ticket: u64) -> Self {
        Self { engine, key: ticket | TICKET }
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
        match handle::with_current(self.engine, |core| core.cancel(self.key)) {
            Some(registered) => registered,
            None => ENGINES
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&self.engine)
                .and_then(Weak::upgrade)
                .is_some_and(|shared| shared.inbox.push(Message::Cancel(self.key)).is_ok()),
        }
    }
}

pub(crate) const fn decode(key: u64) -> Key {
    if key & TICKET == 0 { Key::Operation(Id::from_bits(key)) } else { Key::Ticket(key & !TICKET) }
}

/// The engines that live, so that a `Cancel` need not hold a reference to one: an operation returns
/// a `Cancel` whether it is wanted or not, and counting references up and down costs more than the
/// rest of it.
static ENGINES: LazyLock<Mutex<HashMap<u64, Weak<Shared>>>> = LazyLock::new(Mutex::default);

pub(crate) fn register(id: u64, shared: Weak<Shared>) {
    ENGINES.lock().unwrap_or_else(PoisonError::into_inner).insert(id, shared);
}

pub(crate) fn unregister(id: u64) {
    ENGINES.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
}
