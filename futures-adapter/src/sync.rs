//! What the oneshot between callback and future is made of. The oneshot imports it from here, so
//! that the model checker can replace it, see the tests' `loom` folder.

pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};
