//! Layer 3: what programs hold (the facade, streams, callbacks, cancels), and how what they hold
//! reaches the engine and comes back: the inbox and the ready queue.

pub(crate) mod at_fork;
pub(crate) mod biased_arc;
pub(crate) mod callback;
pub(crate) mod cancel;
pub(crate) mod child;
pub(crate) mod claim;
pub(crate) mod current;
pub(crate) mod delivery;
pub(crate) mod file;
pub(crate) mod handle;
pub(crate) mod listener;
pub(crate) mod local;
pub(crate) mod observer;
pub(crate) mod queue;
pub(crate) mod registry;
pub(crate) mod repeating;
pub(crate) mod resource_handle;
pub(crate) mod shared;
pub(crate) mod small_fn;
pub(crate) mod stream;
pub(crate) mod task;
pub(crate) mod udp_socket;
