//! What futures cost beyond the callbacks that they are made of, and tasks.

use divan::{Bencher, counter::ItemsCount};
use facade_engine::Callback;
use facade_futures::{Io, Runtime, op};

use crate::{BATCH, engine};

/// An operation that succeeds in the next round, awaited; compare with `post_in_a_chain`.
#[divan::bench]
fn await_an_operation(bencher: Bencher<'_, '_>) {
    let runtime = Runtime::from(engine());
    let handle = runtime.io().handle().clone();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        runtime.block_on(async {
            for _ in 0..BATCH {
                let handle = &handle;
                let next = op(|cb: Callback<()>| handle.sleep(std::time::Duration::ZERO, cb));
                next.await.expect("a sleep ends");
            }
        });
    });
}

/// The same operation by callbacks.
#[divan::bench]
fn the_same_by_callbacks(bencher: Bencher<'_, '_>) {
    fn next(handle: &facade_engine::Handle, left: usize) {
        if left > 0 {
            let told = move |local: &facade_engine::Local, ()| next(local, left - 1);
            handle.sleep(std::time::Duration::ZERO, Callback::new(told, |_, _| ()));
        }
    }
    let engine = engine();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        engine.post(|local| next(local, BATCH));
        engine.run().expect("nothing fails");
    });
}

/// A task that does nothing, spawned and awaited.
#[divan::bench]
fn spawn_and_await(bencher: Bencher<'_, '_>) {
    let runtime = Runtime::from(engine());
    let io: Io = runtime.io().clone();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        runtime.block_on(async {
            for _ in 0..BATCH {
                io.spawn(async {}).await;
            }
        });
    });
}
