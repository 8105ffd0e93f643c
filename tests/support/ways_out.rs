//! How a run of an engine is left.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
    time::Duration,
};

use facade_engine::{Callback, Engine, Error, Local};

/// A way in which a run is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayOut {
    /// By `stop`.
    Stop,
    /// By a `stop` that came before the run.
    StopBefore,
    /// By a panic.
    Panic,
    /// Nothing is pending.
    NothingPending,
    /// A future is ready.
    Value,
    /// It is, and `stop` was called.
    ValueAndStop,
    /// `stop` was called before it was.
    StopOfFuture,
    /// It panics.
    PanicOfFuture,
    /// There is only one turn.
    Once,
}

impl WayOut {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Stop,
        Self::StopBefore,
        Self::Panic,
        Self::NothingPending,
        Self::Value,
        Self::ValueAndStop,
        Self::StopOfFuture,
        Self::PanicOfFuture,
        Self::Once,
    ];

    /// Runs an engine, has `act` do something in the last callback, and leaves the run this way.
    pub fn take(self, engine: &Engine, act: impl FnOnce(&Local) + Send + 'static) {
        match self {
            Self::Stop => run(engine, move |local| {
                act(local);
                local.stop();
            }),
            Self::StopBefore => {
                act(engine);
                engine.stop();
                engine.run().unwrap();
            }
            Self::Panic => {
                let acts = move |local: &Local| {
                    act(local);
                    panic!("on purpose");
                };
                catch_unwind(AssertUnwindSafe(|| run(engine, acts))).unwrap_err();
            }
            Self::NothingPending => run(engine, act),
            Self::Value => run_future(engine, act, |_| Poll::Ready(())).unwrap(),
            Self::ValueAndStop => {
                let end = |local: &Local| {
                    local.stop();
                    Poll::Ready(())
                };
                run_future(engine, act, end).unwrap();
            }
            Self::StopOfFuture => {
                let end = |local: &Local| {
                    local.stop();
                    Poll::Pending
                };
                let ended = run_future(engine, act, end);
                assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
            }
            Self::PanicOfFuture => {
                let run = || run_future(engine, act, |_| panic!("on purpose"));
                catch_unwind(AssertUnwindSafe(run)).unwrap_err();
            }
            Self::Once => {
                // Something is pending, so that the turn is not the last.
                engine.sleep(Duration::from_secs(60), Callback::ignore());
                engine.post(act);
                engine.run_once(Some(Duration::ZERO)).unwrap();
            }
        }
    }
}

fn run(engine: &Engine, act: impl FnOnce(&Local) + Send + 'static) {
    engine.post(act);
    engine.run().unwrap();
}

fn run_future(
    engine: &Engine,
    act: impl FnOnce(&Local),
    end: fn(&Local) -> Poll<()>,
) -> facade_engine::Result<()> {
    let mut act = Some(act);
    engine.run_until(|local, _| match act.take() {
        Some(act) => {
            act(local);
            end(local)
        }
        None => Poll::Pending,
    })
}
