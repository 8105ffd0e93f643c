//! The engines that live, so that a `Cancel` need not hold a reference to one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::{handles::shared::Shared, system::fork::PerProcess};

/// The engines that live, by their numbers.
type Engines = BTreeMap<u32, Weak<Shared>>;

/// The engines that live, so that a `Cancel` need not hold a reference to one: an operation returns
/// a `Cancel` whether it is wanted or not, and counting references up and down costs more than the
/// rest of it.
static ENGINES: PerProcess<Mutex<Engines>> = PerProcess::new();

fn lock() -> MutexGuard<'static, Engines> {
    ENGINES.get().lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a living engine shares with its handles.
pub(crate) fn engine(id: u32) -> Option<Arc<Shared>> {
    lock().get(&id).and_then(Weak::upgrade)
}

pub(crate) fn register(id: u32, shared: Weak<Shared>) {
    lock().insert(id, shared);
}

pub(crate) fn unregister(id: u32) {
    lock().remove(&id);
}
