//! What crosses threads, in every order that the memory model allows: loom runs each model once for
//! every interleaving. The files under test are the crates' own, included here with loom's parts in
//! place of std's.
#![cfg(target_os = "linux")]

mod pure {
    pub(crate) mod sync {
        pub(crate) use std::sync::PoisonError;

        pub(crate) use loom::sync::{Arc, Mutex, MutexGuard, atomic};
    }
}
use pure::sync;

#[path = "../../engine/src/handles/queue/inbox.rs"]
#[allow(dead_code, reason = "the engine uses all of it")]
mod inbox;

#[path = "../../engine/src/handles/biased_arc.rs"]
mod biased_arc;

#[path = "../../futures-adapter/src/oneshot.rs"]
#[allow(dead_code, reason = "the adapter uses all of it")]
mod oneshot;

mod cancelling;
mod futures;
mod references;
mod requests;

/// Runs a model in every order with at most two preemptions, which find nearly all there is to be
/// found; `LOOM_MAX_PREEMPTIONS` in the environment sets another bound.
fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder.check(test);
}
