//! What the parts that cross threads are made of. They name it from here, so that the model checker
//! can have them made of its own, see the tests' `loom` folder.

pub(crate) use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic};
