//! Posts, operations that succeed at once, and cancels, from inside a callback.

use std::os::unix::net::UnixStream;

use divan::{Bencher, counter::ItemsCount};
use facade_engine::{Bytes, Callback, Engine, Handle, Local, Stream};

use crate::{BATCH, engine};

/// A turn of an engine that has nothing to do but this.
fn in_a_callback(engine: &Engine, f: impl FnOnce(&Local) + Send + 'static) {
    engine.post(f);
    engine.run().expect("nothing fails");
}

/// A callback posted from a callback, and run.
#[divan::bench]
fn post(bencher: Bencher<'_, '_>) {
    let engine = engine();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        in_a_callback(&engine, |local| {
            for _ in 0..BATCH {
                local.handle().post(|_| ());
            }
        });
    });
}

/// The same of one that need not be `Send`.
#[divan::bench]
fn post_by_local(bencher: Bencher<'_, '_>) {
    let engine = engine();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        in_a_callback(&engine, |local| {
            for _ in 0..BATCH {
                local.post(|_| ());
            }
        });
    });
}

/// The same, each posting the next.
#[divan::bench]
fn post_in_a_chain(bencher: Bencher<'_, '_>) {
    fn next(handle: &Handle, left: usize) {
        if left > 0 {
            handle.post(move |local| next(local, left - 1));
        }
    }
    let engine = engine();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        in_a_callback(&engine, |local| next(local, BATCH));
    });
}

fn pair(engine: &Engine) -> (UnixStream, Stream) {
    let (peer, ours) = UnixStream::pair().expect("a pair of sockets");
    (peer, engine.attach_exclusive(ours).expect("a socket is a stream"))
}

/// `buffered`, which has its outcome at once: submitted, completed, told.
#[divan::bench]
fn submit_and_complete(bencher: Bencher<'_, '_>) {
    let engine = engine();
    let (_peer, stream) = pair(&engine);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        let stream = stream.clone();
        in_a_callback(&engine, move |local| {
            for _ in 0..BATCH {
                local.buffered(&stream, Callback::new(|_, _| (), |_, _| ()));
            }
        });
    });
}

/// A read submitted and cancelled, and its callback told.
#[divan::bench]
fn cancel_a_pending_read(bencher: Bencher<'_, '_>) {
    fn next(handle: &Handle, stream: Stream, left: usize) {
        let again = stream.clone();
        let told = move |local: &Local, _: facade_engine::Result<Bytes>| {
            if left > 0 {
                next(local, again, left - 1);
            }
        };
        handle.read_line(&stream, Callback::from_fn(told)).cancel();
    }
    let engine = engine();
    let (_peer, stream) = pair(&engine);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        let stream = stream.clone();
        in_a_callback(&engine, move |local| next(local, stream, BATCH));
    });
}
