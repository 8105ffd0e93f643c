//! What the oneshot between callback and future is made of. It names it from here, so that the model
//! checker can have it made of its own, see the tests' `loom` folder.

pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};
