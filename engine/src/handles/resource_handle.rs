//! [`ResourceHandle`]: what streams, listeners and files have in common.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::{
    handles::{current, handle::Handle},
    pure::table::Id,
    system::descriptor::Descriptor,
};

/// A descriptor that users may borrow, and the engine's resource that works with it.
pub(crate) struct ResourceHandle {
    handle: Handle,
    /// Gone only while this is being dropped, so that the engine may close the number at once.
    descriptor: Option<Arc<Descriptor>>,
    /// The id of the resource, or zero until the engine has taken it in.
    id: AtomicU64,
}

impl ResourceHandle {
    /// Of a resource that the engine has already, or takes in later.
    pub(crate) fn new(handle: Handle, descriptor: Arc<Descriptor>, id: Option<Id>) -> Self {
        let id = AtomicU64::new(id.map_or(0, Id::to_bits));
        Self { handle, descriptor: Some(descriptor), id }
    }

    #[inline]
    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn descriptor(&self) -> &Arc<Descriptor> {
        self.descriptor.as_ref().expect("taken only by drop")
    }

    #[inline]
    pub(crate) fn id(&self) -> Option<Id> {
        match self.id.load(Relaxed) {
            0 => None,
            bits => Some(Id::from_bits(bits)),
        }
    }

    pub(crate) fn set_id(&self, id: Id) {
        self.id.store(id.to_bits(), Relaxed);
    }

    /// Writes it by the name of its type: on its engine's thread with what is pending on it.
    pub(crate) fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct(name);
        f.field("fd", &self.descriptor().borrow());
        if let Some(id) = self.id() {
            current::inspect(self.handle.id(), |core| core.describe(id, &mut f));
        }
        f.finish_non_exhaustive()
    }
}

impl Drop for ResourceHandle {
    fn drop(&mut self) {
        // Before the engine hears of it, so that it has the only reference left.
        self.descriptor = None;
        if let Some(id) = self.id() {
            // An engine that is gone has nothing to release.
            drop(self.handle.apply(move |core| core.release(id)));
        }
    }
}
