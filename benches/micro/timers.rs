//! Operations' timeouts: armed with the operation and disarmed with its outcome.

use std::{os::unix::net::UnixStream, time::Duration};

use divan::{Bencher, counter::ItemsCount};
use facade_engine::{Bytes, Callback, Engine, Handle, Local, Result, Stream};

use crate::{BATCH, engine};

const HOUR: Duration = Duration::from_secs(3600);

/// What a read that is cancelled costs with a timeout, to be compared with
/// `cancel_a_pending_read`: the difference is arming and disarming.
#[divan::bench(args = [0, 1_000, 1_000_000])]
fn cancel_a_read_with_timeout(bencher: Bencher<'_, '_>, pending: usize) {
    fn next(handle: &Handle, stream: Stream, left: usize) {
        let again = stream.clone();
        let told = move |local: &Local, _: Result<Bytes>| {
            if left > 0 {
                next(local, again, left - 1);
            }
        };
        let timeout = Duration::from_secs(30 + left as u64 % 7);
        handle.read_line(&stream, Callback::from_fn(told).timeout(timeout)).cancel();
    }
    let engine = with_pending(pending);
    let (_peer, ours) = UnixStream::pair().expect("a pair of sockets");
    let stream = engine.attach_exclusive(ours).expect("a socket is a stream");
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        let stream = stream.clone();
        engine.post(move |local| next(local, stream, BATCH));
        turn_until_quiet(&engine, pending);
    });
}

/// `sleep` submitted, and cancelled, and told.
#[divan::bench(args = [0, 1_000, 1_000_000])]
fn sleep_and_cancel(bencher: Bencher<'_, '_>, pending: usize) {
    let engine = with_pending(pending);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        engine.post(|local| {
            for number in 0..BATCH {
                let duration = HOUR + Duration::from_millis(number as u64 * 7919 % 1000);
                local.sleep(duration, Callback::ignore()).cancel();
            }
        });
        turn_until_quiet(&engine, pending);
    });
}

/// An engine in which so many sleeps are pending.
fn with_pending(pending: usize) -> Engine {
    let engine = engine();
    engine.post(move |local| {
        for number in 0..pending {
            let duration = 2 * HOUR + Duration::from_millis(number as u64 * 7919 % 1_000_000);
            local.sleep(duration, Callback::ignore());
        }
    });
    turn_until_quiet(&engine, pending);
    engine
}

fn turn_until_quiet(engine: &Engine, pending: usize) {
    while engine.run_once(Some(Duration::ZERO)).expect("nothing fails").pending > pending {}
}
