//! Time for futures: ticks without drift, and any future bounded.

use std::{
    future::{pending, ready},
    io::Write as _,
    time::Duration,
};

use facade_engine::Error;
use facade_futures::Runtime;
use facade_tests::{drops::Drops, polls::in_time, turns::SOON};
use futures::{StreamExt as _, executor::block_on, stream::FusedStream as _};

use super::driver::{self, now, pair, pass};

#[test]
fn an_interval_does_not_drift_and_tells_missed_ticks_as_a_number() {
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io();
    let period = SOON * 4;
    runtime.block_on(in_time(io, async {
        let mut interval = io.interval(period);
        // It begins when it is first polled.
        pass(period * 2);
        let start = now();
        let (mut passed, mut items) = (0, 0);
        while passed < 8 {
            passed += interval.next().await.unwrap().unwrap();
            items += 1;
            let due = start + period * u32::try_from(passed).unwrap();
            assert!(now() >= due, "tick {passed} is early");
            if driver::name() == "sim" {
                assert!(now() < due + period, "tick {passed} is late");
            }
            // Late by half a period; and once by three and a half, so that three are missed.
            pass(if items == 2 { period * 3 + period / 2 } else { period / 2 });
        }
        if driver::name() == "sim" {
            assert_eq!((passed, items), (8, 6));
        }
        assert!(!interval.is_terminated());
    }));
}

#[test]
fn an_interval_that_is_dropped_is_over_and_one_that_fails_says_so_once() {
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io();
    runtime.block_on(in_time(io, async {
        let mut interval = io.interval(SOON);
        interval.next().await.unwrap().unwrap();
        drop(interval);
        let mut none = io.interval(Duration::ZERO);
        let error = none.next().await.unwrap().unwrap_err();
        assert!(matches!(error, Error::InvalidInput { .. }));
        assert!(none.next().await.is_none());
        assert!(none.is_terminated());
    }));
    runtime.engine().run().unwrap();
    let io = io.clone();
    drop(runtime);
    let gone = block_on(io.interval(SOON).next()).unwrap();
    assert!(matches!(gone, Err(Error::EngineClosed)));
}

#[test]
fn any_future_is_bounded_and_dropped_when_its_time_is_up() {
    let runtime = Runtime::from(driver::engine());
    let io = runtime.io();
    let drops = Drops::new();
    runtime.block_on(async {
        let (mut peer, stream) = pair(runtime.engine());
        let mut stream = facade_futures::Stream::from(stream);
        // A whole session: each line is in time, and all of them are not.
        let token = drops.token();
        let session = async {
            let _token = token;
            loop {
                peer.write_all(b"line\npart").unwrap();
                assert!(stream.read_line().await.unwrap().ends_with(b"line"));
                io.sleep(SOON).await.unwrap();
            }
        };
        let outcome: Result<(), _> = io.timeout(SOON * 4, session).await;
        assert!(matches!(outcome, Err(Error::TimedOut)));
        assert_eq!(drops.alive(), 0);
        // What it had not taken is there.
        assert_eq!(stream.peek(4).await.unwrap(), "part");
        // One that is ready at once needs no time, and nothing is left pending.
        assert_eq!(io.timeout(Duration::ZERO, ready(7)).await.unwrap(), 7);
        assert!(io.timeout(Duration::ZERO, pending::<()>()).await.is_err());
        let nap = async { io.sleep(SOON).await };
        io.timeout(Duration::MAX, nap).await.unwrap().unwrap();
    });
    runtime.engine().run().unwrap();
    let io = io.clone();
    drop(runtime);
    let gone = block_on(io.timeout(SOON, pending::<()>()));
    assert!(matches!(gone, Err(Error::EngineClosed)));
}
