//! [`Outcome`]: the one result that one callback heard, for tests that compute with it.

use std::sync::{Arc, Mutex};

use facade_engine::{Callback, Error, Result};

/// Keeps what its callback heard. Clones are the same place; one callback at a time.
#[derive(Debug)]
pub struct Outcome<T> {
    heard: Arc<Mutex<Option<Result<T>>>>,
}

impl<T: Send + 'static> Outcome<T> {
    /// Nothing heard yet.
    pub fn new() -> Self {
        Self { heard: Arc::default() }
    }

    /// The callback. Panics if something is there already.
    pub fn callback(&self) -> Callback<T> {
        let heard = Arc::clone(&self.heard);
        Callback::from_fn(move |_, outcome| {
            assert!(heard.lock().unwrap().replace(outcome).is_none(), "told twice");
        })
    }

    /// Whether it has been told.
    pub fn is_there(&self) -> bool {
        self.heard.lock().unwrap().is_some()
    }

    /// Takes it out.
    #[track_caller]
    pub fn take(&self) -> Result<T> {
        self.heard.lock().unwrap().take().expect("the callback has not run")
    }

    /// Takes the success out.
    #[track_caller]
    pub fn value(&self) -> T {
        self.take().unwrap_or_else(|error| panic!("failed: {error:?}"))
    }

    /// Takes the failure out.
    #[track_caller]
    pub fn error(&self) -> Error {
        match self.take() {
            Ok(_) => panic!("succeeded"),
            Err(error) => error,
        }
    }
}

impl<T: Send + 'static> Default for Outcome<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Outcome<T> {
    fn clone(&self) -> Self {
        Self { heard: Arc::clone(&self.heard) }
    }
}
