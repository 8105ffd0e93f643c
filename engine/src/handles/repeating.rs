//! [`Repeating`]: the handler of a repeating operation, of whatever type. [`Pause`]: keeps one from
//! going on.

use bytes::Bytes;

use crate::{
    core::Core,
    handles::{
        callback::LocalKey, cancel::Cancel, current::with_current, local::Local, stream::Stream,
    },
    pure::{datagram::Datagram, table::Id},
};

/// What repeating operations hand out.
pub(crate) trait Item: Sized + 'static {
    /// Takes the next one of an operation, if it has one and is to go on.
    fn next(core: &mut Core, id: Id) -> Option<Self>;
}

impl Item for Bytes {
    #[inline]
    fn next(core: &mut Core, id: Id) -> Option<Self> {
        core.next_bytes(id)
    }
}

impl Item for Stream {
    fn next(core: &mut Core, id: Id) -> Option<Self> {
        core.next_connection(id)
    }
}

impl Item for Datagram {
    fn next(core: &mut Core, id: Id) -> Option<Self> {
        core.next_datagram(id)
    }
}

/// A signal.
impl Item for () {
    fn next(core: &mut Core, id: Id) -> Option<Self> {
        core.next_signal(id)
    }
}

/// Ticks of the clock.
impl Item for u64 {
    fn next(core: &mut Core, id: Id) -> Option<Self> {
        core.next_ticks(id)
    }
}

/// The handler of a repeating operation. What it hands out is known inside only, so that a call of
/// this is one for many things.
pub(crate) trait Repeating {
    /// Gives the user's closure one thing after the other, `most` at most, and counts them. User
    /// code, so nothing may be borrowed.
    fn run(&mut self, local: &Local, id: Id, most: usize, count: &mut usize);
}

/// One of any type.
pub(crate) type Handler = Box<dyn Repeating>;

/// Makes a handler on the engine's thread of what has travelled to it.
pub(crate) trait IntoHandler: Send {
    fn into_handler(self: Box<Self>) -> Handler;
}

/// A closure that may travel.
pub(crate) struct Sent<F, T> {
    f: F,
    of: std::marker::PhantomData<fn(T)>,
}

/// A closure that must not leave its thread, and is in the table of its engine before it runs.
pub(crate) struct Kept<F, T> {
    place: Place<F>,
    of: std::marker::PhantomData<fn(T)>,
}

enum Place<F> {
    Table(Option<LocalKey>),
    Here(F),
}

/// The key of such a closure, which may travel.
struct KeptKey<F, T> {
    key: LocalKey,
    of: std::marker::PhantomData<fn(F, T)>,
}

/// Has a closure that is `Send` travel.
pub(crate) fn sent<T: Item>(f: impl FnMut(&Local, T) + Send + 'static) -> Box<dyn IntoHandler> {
    Box::new(Sent { f, of: std::marker::PhantomData })
}

/// Has a closure stay, and its key travel.
pub(crate) fn kept<T: Item>(
    local: &Local,
    f: impl FnMut(&Local, T) + 'static,
) -> Box<dyn IntoHandler> {
    fn with<F: FnMut(&Local, T) + 'static, T: Item>(key: LocalKey) -> KeptKey<F, T> {
        KeptKey { key, of: std::marker::PhantomData }
    }
    fn of<F: FnMut(&Local, T) + 'static, T: Item>(local: &Local, f: F) -> Box<dyn IntoHandler> {
        Box::new(with::<F, T>(LocalKey::store(local, f)))
    }
    of(local, f)
}

impl<F: FnMut(&Local, T) + Send + 'static, T: Item> IntoHandler for Sent<F, T> {
    fn into_handler(self: Box<Self>) -> Handler {
        self
    }
}

impl<F: FnMut(&Local, T) + 'static, T: Item> IntoHandler for KeptKey<F, T> {
    fn into_handler(self: Box<Self>) -> Handler {
        let place = Place::<F>::Table(Some(self.key));
        Box::new(Kept { place, of: std::marker::PhantomData })
    }
}

impl<F: FnMut(&Local, T) + 'static, T: Item> Repeating for Sent<F, T> {
    fn run(&mut self, local: &Local, id: Id, most: usize, count: &mut usize) {
        give(&mut self.f, local, id, most, count);
    }
}

impl<F: FnMut(&Local, T) + 'static, T: Item> Repeating for Kept<F, T> {
    fn run(&mut self, local: &Local, id: Id, most: usize, count: &mut usize) {
        if let Place::Table(key) = &mut self.place
            && let Some(f) = key.take().and_then(|key| key.take(local))
        {
            self.place = Place::Here(f);
        }
        if let Place::Here(f) = &mut self.place {
            give(f, local, id, most, count);
        }
    }
}

#[inline]
fn give<T: Item>(
    f: &mut impl FnMut(&Local, T),
    local: &Local,
    id: Id,
    most: usize,
    count: &mut usize,
) {
    let engine = local.handle().id();
    for _ in 0..most {
        // In the child of a fork no turn is running, so nothing is found.
        let Some(item) = with_current(engine, |core| T::next(core, id)).flatten() else { return };
        *count += 1;
        f(local, item);
    }
}

/// Keeps a repeating operation from going on while it lives; from [`Cancel::pause`].
///
/// See there for an example.
#[derive(Debug)]
#[must_use = "the operation goes on once the guard is dropped"]
pub struct Pause {
    operation: Cancel,
}

impl Pause {
    pub(super) fn new(operation: Cancel) -> Self {
        operation.shift_pauses(1);
        Self { operation }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.operation.shift_pauses(-1);
    }
}
