//! [`Homed`]: a shared value whose references cost no atomic operation where it is at home.
//!
//! A stream is at home in its engine's turn. The plain program clones it for each callback and drops
//! it in each, and counting that up and down atomically took as long as the rest of a line.
//!
//! So a reference that is dropped at home is not given up but becomes a *spare* one, and the next
//! clone takes that. How many are spare is only ever changed at home, thus without an atomic
//! read-modify-write. A reference that is dropped elsewhere is sent home, because only there can be
//! told whether others than spare ones are left. Elsewhere a clone is that of an [`Arc`].

use std::{mem::ManuallyDrop, ops::Deref};

use crate::pure::sync::{
    Arc,
    atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Relaxed},
    },
};

/// What knows where it is at home.
///
/// # Safety
///
/// `is_home` is true on one thread only, whatever happens, and not at all from the moment on that
/// `send_home` begins to give references back.
#[expect(unsafe_code, reason = "`Homed` changes its count of spare references by load and store")]
pub(crate) unsafe trait Home: Sized {
    /// Whether the caller is where the value is at home.
    fn is_home(&self) -> bool;

    /// Takes a reference to where it can be dropped. Gives it back if there is no home any more.
    fn send_home(reference: Homed<Self>) -> Result<(), Homed<Self>>;
}

/// A reference to a shared value.
pub(crate) struct Homed<T: Home>(ManuallyDrop<Arc<Body<T>>>);

struct Body<T> {
    /// How many references nobody has.
    spare: AtomicUsize,
    value: T,
}

impl<T: Home> Homed<T> {
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
    // SAFETY: called once for each `Homed`: by its drop, or by `into_arc`, which drops no more.
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

impl<T: Home> Clone for Homed<T> {
    #[inline]
    fn clone(&self) -> Self {
        if self.value().is_home()
            && let spare @ 1.. = self.0.spare.load(Relaxed)
        {
            self.0.spare.store(spare - 1, Relaxed);
            return Self::from_arc(revive(&self.0));
        }
        Self::from_arc(Arc::clone(&self.0))
    }
}

impl<T: Home> Drop for Homed<T> {
    #[inline]
    fn drop(&mut self) {
        let arc = take(&mut self.0);
        if !arc.value.is_home() {
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
fn drop_elsewhere<T: Home>(arc: Arc<Body<T>>) {
    if let Err(refused) = T::send_home(Homed::from_arc(arc)) {
        // There is no home, so the spare ones belong to whoever comes first.
        let arc = refused.into_arc();
        let spare = arc.spare.swap(0, AcqRel);
        give_up(arc, spare);
    }
}

impl<T: Home> Homed<T> {
    #[inline]
    fn value(&self) -> &T {
        &self.0.value
    }
}

impl<T: Home> Deref for Homed<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value()
    }
}
