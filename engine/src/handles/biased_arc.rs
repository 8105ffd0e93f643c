//! [`BiasedArc`]: a reference-counted pointer that costs no atomic operation on its owner's thread.
//!
//! Biased reference counting (Choi, Shull and Torrellas, "Biased reference counting: minimizing
//! atomic operations in garbage collection", PACT 2018): most references are made and dropped by
//! one thread. Here that is an engine's thread during its turn, and the values are streams. The
//! plain program clones a stream for each callback and drops it in each, and counting that up and
//! down atomically took as long as the rest of a line.
//!
//! A reference that the owner drops is not given up but becomes a *spare* one, and the owner's next
//! clone takes that. Only the owner changes how many are spare, thus without an atomic
//! read-modify-write. A reference that is dropped elsewhere is sent to the owner, because only
//! there can be told whether others than spare ones are left. Elsewhere a clone is that of an
//! [`Arc`].

use std::{
    hash::{Hash, Hasher},
    mem::ManuallyDrop,
    ops::Deref,
    ptr,
};

use crate::pure::sync::{
    Arc,
    atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Relaxed},
    },
};

/// A value that has an owner: the one thread that counts its references without atomic operations.
///
/// # Safety
///
/// `is_owner` is true on one thread only, whatever happens, and not at all from the moment on that
/// `send_to_owner` begins to give references back.
#[expect(
    unsafe_code,
    reason = "`BiasedArc` changes its count of spare references by load and store"
)]
pub(crate) unsafe trait Biased: Sized {
    /// Whether the caller is the owner.
    fn is_owner(&self) -> bool;

    /// Takes a reference to the owner, to be dropped there. Gives it back if there is no owner any
    /// more.
    fn send_to_owner(reference: BiasedArc<Self>) -> Result<(), BiasedArc<Self>>;
}

/// A reference to a shared value.
pub(crate) struct BiasedArc<T: Biased>(ManuallyDrop<Arc<Body<T>>>);

struct Body<T> {
    /// How many references nobody has.
    spare: AtomicUsize,
    value: T,
}

impl<T: Biased> BiasedArc<T> {
    pub(crate) fn new(value: T) -> Self {
        Self::from_arc(Arc::new(Body { spare: AtomicUsize::new(0), value }))
    }

    const fn from_arc(arc: Arc<Body<T>>) -> Self {
        Self(ManuallyDrop::new(arc))
    }

    fn into_arc(mut self) -> Arc<Body<T>> {
        let arc = take(&mut self.0);
        std::mem::forget(self);
        arc
    }
}

/// Takes the reference out of one that is not used any more.
#[expect(unsafe_code, reason = "a drop moves the reference out")]
fn take<T>(arc: &mut ManuallyDrop<Arc<T>>) -> Arc<T> {
    // SAFETY: called once for each `BiasedArc`: by its drop, or by `into_arc`, which drops no more.
    unsafe { ManuallyDrop::take(arc) }
}

/// Makes a spare reference one that somebody has.
#[expect(unsafe_code, reason = "a reference that was forgotten is used again")]
#[inline]
fn revive<T>(arc: &Arc<T>) -> Arc<T> {
    // SAFETY: of the same value; its count still has the one that `Arc::into_raw` made spare, which
    // the caller has just taken from the count of those.
    unsafe { Arc::from_raw(Arc::as_ptr(arc)) }
}

/// Gives up a reference and `spare` others of the same value.
fn give_up<T>(arc: Arc<T>, spare: usize) {
    for _ in 0..spare {
        drop(revive(&arc));
    }
    drop(arc);
}

impl<T: Biased> Clone for BiasedArc<T> {
    #[inline]
    fn clone(&self) -> Self {
        if self.value().is_owner()
            && let spare @ 1.. = self.0.spare.load(Relaxed)
        {
            self.0.spare.store(spare - 1, Relaxed);
            return Self::from_arc(revive(&self.0));
        }
        Self::from_arc(Arc::clone(&self.0))
    }
}

impl<T: Biased> Drop for BiasedArc<T> {
    #[inline]
    fn drop(&mut self) {
        let arc = take(&mut self.0);
        if !arc.value.is_owner() {
            return drop_elsewhere(arc);
        }
        let spare = arc.spare.load(Relaxed);
        // Elsewhere references only come into being, made of others that are there. So if all are
        // spare but this, nobody else has one.
        if Arc::strong_count(&arc) == spare + 1 {
            arc.spare.store(0, Relaxed);
            return give_up(arc, spare);
        }
        arc.spare.store(spare + 1, Relaxed);
        let _ = Arc::into_raw(arc);
    }
}

#[cold]
fn drop_elsewhere<T: Biased>(arc: Arc<Body<T>>) {
    if let Err(refused) = T::send_to_owner(BiasedArc::from_arc(arc)) {
        // There is no owner, so the spare ones belong to whoever comes first.
        let arc = refused.into_arc();
        let spare = arc.spare.swap(0, AcqRel);
        give_up(arc, spare);
    }
}

impl<T: Biased> BiasedArc<T> {
    #[inline]
    fn value(&self) -> &T {
        &self.0.value
    }
}

/// Equal are references to the same value, and not to one that looks like it.
impl<T: Biased> PartialEq for BiasedArc<T> {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.value(), other.value())
    }
}

impl<T: Biased> Eq for BiasedArc<T> {}

impl<T: Biased> Hash for BiasedArc<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        ptr::from_ref(self.value()).hash(state);
    }
}

impl<T: Biased> Deref for BiasedArc<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value()
    }
}
