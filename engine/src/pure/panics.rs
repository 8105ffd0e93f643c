//! [`Panics`]: user code that may panic, contained. [`Each`], [`Contained`]: what it may be dropped
//! with.
//!
//! What users gave is dropped one by one. A drop that panics while another one's panic unwinds
//! aborts the process, and dropping a vector goes on with the rest of it while it unwinds.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

/// What a panic says.
type Payload = Box<dyn Any + Send>;

/// The first panic of several pieces of user code. The hook has reported the others.
#[derive(Default)]
pub(crate) struct Panics(Option<Payload>);

impl Panics {
    /// Runs something of the user's. None if it panics.
    #[inline]
    pub(crate) fn contain<R>(&mut self, f: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(f)) {
            Ok(value) => Some(value),
            Err(payload) => {
                self.add(payload);
                None
            }
        }
    }

    /// Drops all of these, in order, whichever panics. What they hold memory in is left.
    #[inline]
    pub(crate) fn drop_each<T>(&mut self, values: &mut Vec<T>) {
        if !values.is_empty() {
            self.drop_some(values);
        }
    }

    fn drop_some<T>(&mut self, values: &mut Vec<T>) {
        values.reverse();
        while !values.is_empty() {
            // As long as none panics it takes one frame for all of them.
            self.contain(|| {
                while let Some(value) = values.pop() {
                    drop(value);
                }
            });
        }
    }

    #[cold]
    fn add(&mut self, payload: Payload) {
        match &self.0 {
            None => self.0 = Some(payload),
            Some(_) => discard(payload),
        }
    }

    /// Goes on with the first panic, if there was one.
    pub(crate) fn resume(mut self) {
        if let Some(payload) = self.0.take() {
            resume_unwind(payload);
        }
    }

    /// Nobody hears of the first one either.
    pub(crate) fn forget(self) {
        drop(self);
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(discard);
    }
}

/// Drops what was panicked with. Even that can panic; what comes out then is left alone.
pub(crate) fn discard(payload: Payload) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        mem::forget(again);
    }
}

/// Values of the user's. Dropped, each is by itself, and no panic gets out, which the hook has
/// reported.
pub(crate) struct Each<T>(Vec<T>);

impl<T> Each<T> {
    pub(crate) fn into_vec(mut self) -> Vec<T> {
        mem::take(&mut self.0)
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        &self.0
    }

    pub(crate) fn push(&mut self, value: T) {
        self.0.push(value);
    }
}

impl<T> From<Vec<T>> for Each<T> {
    fn from(values: Vec<T>) -> Self {
        Self(values)
    }
}

impl<T> FromIterator<T> for Each<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl<T> Drop for Each<T> {
    fn drop(&mut self) {
        let mut panics = Panics::default();
        panics.drop_each(&mut self.0);
        panics.forget();
    }
}

/// One such value, in something that drops others with it.
pub(crate) struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Some(value))
    }

    pub(crate) fn into_inner(mut self) -> T {
        self.0.take().expect("it is taken only here")
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            let mut panics = Panics::default();
            panics.contain(|| drop(value));
            panics.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::panic_any,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use super::*;

    struct Bomb<'a>(usize, &'a AtomicUsize);

    impl Drop for Bomb<'_> {
        fn drop(&mut self) {
            assert_eq!(self.1.fetch_add(1, Relaxed), self.0, "in order");
            resume_unwind(Box::new(self.0));
        }
    }

    #[test]
    fn each_of_many_drops_may_panic_and_the_first_panic_is_kept() {
        let dropped = AtomicUsize::new(0);
        let mut bombs: Vec<_> = (0..10).map(|number| Bomb(number, &dropped)).collect();
        let mut panics = Panics::default();
        panics.drop_each(&mut bombs);
        assert_eq!(dropped.load(Relaxed), 10);
        let first = catch_unwind(AssertUnwindSafe(|| panics.resume())).unwrap_err();
        assert_eq!(first.downcast_ref(), Some(&0_usize));
    }

    #[test]
    fn what_was_panicked_with_may_panic_when_it_is_dropped() {
        static DROPPED: AtomicUsize = AtomicUsize::new(0);
        let mut panics = Panics::default();
        for number in 0..3 {
            assert!(panics.contain(|| panic_any(Bomb(2 - number, &DROPPED))).is_none());
        }
        panics.forget();
        assert_eq!(DROPPED.load(Relaxed), 3);
    }
}
