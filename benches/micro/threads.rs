//! Work on threads, and name lookups.

use divan::{Bencher, counter::ItemsCount};
use facade_engine::{Callback, Engine, Handle, Hints, Local};

use crate::engine;

fn run(engine: &Engine) {
    engine.run().expect("nothing fails");
}

/// Work that does nothing, one after the other.
#[divan::bench]
fn work_alone(bencher: Bencher<'_, '_>) {
    fn next(handle: &Handle, left: usize) {
        if left > 0 {
            let told = move |local: &Local, ()| next(local, left - 1);
            handle.submit_work(|| (), Callback::new(told, |_, error| panic!("{error}")));
        }
    }
    const COUNT: usize = 100;
    let engine = engine();
    bencher.counter(ItemsCount::new(COUNT)).bench_local(|| {
        next(&engine, COUNT);
        run(&engine);
    });
}

/// The same, 64 at a time.
#[divan::bench]
fn work_in_batches(bencher: Bencher<'_, '_>) {
    const COUNT: usize = 64;
    let engine = engine();
    bencher.counter(ItemsCount::new(COUNT)).bench_local(|| {
        engine.post(|local| {
            for _ in 0..COUNT {
                local.submit_work(|| (), Callback::new(|_, ()| (), |_, error| panic!("{error}")));
            }
        });
        run(&engine);
    });
}

/// "localhost", four at a time, which is as many as there are threads for names.
#[divan::bench]
fn getaddrinfo(bencher: Bencher<'_, '_>) {
    const COUNT: usize = 4;
    let engine = engine();
    bencher.counter(ItemsCount::new(COUNT)).bench_local(|| {
        for _ in 0..COUNT {
            let cb = Callback::new(|_, _| (), |_, error| panic!("{error}"));
            engine.getaddrinfo("localhost", 80, Hints::default(), cb);
        }
        run(&engine);
    });
}
