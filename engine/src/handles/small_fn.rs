//! [`SmallFnOnce`]: a closure that is called once, of whatever type.

use std::mem;

use smallbox::{SmallBox, smallbox};

use crate::handles::local::Local;

/// How much a closure may capture without memory of its own: two words, say a stream and a
/// function.
type Inline = [usize; 2];

/// What `Box<dyn FnOnce(&Local, A) + Send>` is, but a small closure is kept in place: most
/// callbacks capture a stream and little else, and would spend more time in the allocator than in
/// themselves.
pub(crate) struct SmallFnOnce<A>(SmallBox<dyn Call<A> + Send, Inline>);

trait Call<A> {
    fn call(&mut self, local: &Local, argument: A);
}

impl<A, F: FnOnce(&Local, A)> Call<A> for Option<F> {
    #[inline]
    fn call(&mut self, local: &Local, argument: A) {
        let f = self.take().expect("called once, by `SmallFnOnce::call`");
        f(local, argument);
    }
}

impl<A: 'static> SmallFnOnce<A> {
    #[inline]
    pub(crate) fn new(f: impl FnOnce(&Local, A) + Send + 'static) -> Self {
        Self(smallbox!(Some(f)))
    }

    #[inline]
    pub(crate) fn call(mut self, local: &Local, argument: A) {
        self.0.call(local, argument);
        // A drop would take as long as the rest to find out that nothing is left.
        if self.is_in_place() {
            mem::forget(self.0);
        }
    }

    /// Whether it has no memory of its own.
    #[inline]
    pub(crate) fn is_in_place(&self) -> bool {
        !self.0.is_heap()
    }

    /// Calls it where it stands; once. If it has no memory of its own, nothing is left then that
    /// would have to be dropped, even if it panics: the call moves the closure out.
    #[inline(always)]
    pub(crate) fn call_in_place(&mut self, local: &Local, argument: A) {
        self.0.call(local, argument);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::engine::Engine;

    #[test]
    fn a_closure_of_any_size_runs_once_and_is_dropped_once() {
        let engine = Engine::new().unwrap();
        let (small, large) = (Arc::new(()), Arc::new(()));
        let (held, words) = ((small.clone(), large.clone()), [7_usize; 9]);
        let once = SmallFnOnce::new(move |_: &Local, (): ()| drop(held));
        let more = SmallFnOnce::new({
            let large = large.clone();
            move |_: &Local, sum: usize| {
                assert_eq!((words.iter().sum::<usize>(), sum), (63, 63), "{large:?}")
            }
        });
        once.call(&engine, ());
        assert_eq!((Arc::strong_count(&small), Arc::strong_count(&large)), (1, 2));
        more.call(&engine, 63);
        drop(SmallFnOnce::new({
            let small = small.clone();
            move |_: &Local, (): ()| drop(small)
        }));
        assert_eq!((Arc::strong_count(&small), Arc::strong_count(&large)), (1, 1));
    }
}
