//! [`Told`]: what callbacks heard, in order, in words that a test compares. [`Basket`]: the values
//! they got.

use std::{
    fmt::{Debug, Display},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use facade_engine::{Callback, Error, Result};

/// Makes callbacks that note `name` and what they heard: `"read Ok"`, `"read Cancelled"`.
///
/// Clones share the notes. A callback panics if it runs while a [`submitting`](Self::submitting)
/// call is under way, so every test that uses one also holds that nothing is synchronous.
#[derive(Debug, Clone, Default)]
pub struct Told {
    notes: Arc<Mutex<Vec<String>>>,
    submitting: Arc<AtomicBool>,
    timeout: Option<Duration>,
    claims: bool,
}

impl Told {
    /// Nothing told yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same notes, from callbacks with this timeout.
    #[must_use]
    pub fn timeout(&self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self.clone() }
    }

    /// The same notes, from callbacks that claim the value and drop the claim untaken, which they
    /// note as `"name dropped"`.
    #[must_use]
    pub fn dropping_claims(&self) -> Self {
        Self { claims: true, ..self.clone() }
    }

    /// A callback that notes whether it was a success, or which failure.
    pub fn callback<T: Send + 'static>(&self, name: impl Display) -> Callback<T> {
        self.noting(name, |_| "Ok".to_owned())
    }

    /// A callback that notes the value itself.
    pub fn value<T: Debug + Send + 'static>(&self, name: impl Display) -> Callback<T> {
        self.noting(name, |value| format!("{value:?}"))
    }

    fn noting<T: Send + 'static>(
        &self,
        name: impl Display,
        words: impl FnOnce(&T) -> String + Send + 'static,
    ) -> Callback<T> {
        let (told, name) = (self.clone(), name.to_string());
        let callback = if self.claims {
            Callback::claim(move |_, outcome| {
                told.hear(&name, outcome.map(|_claim| "dropped".to_owned()));
            })
        } else {
            Callback::from_fn(move |_, outcome: Result<T>| {
                told.hear(&name, outcome.map(|value| words(&value)));
            })
        };
        match self.timeout {
            Some(timeout) => callback.timeout(timeout),
            None => callback,
        }
    }

    fn hear(&self, name: &str, outcome: Result<String>) {
        assert!(!self.submitting.load(SeqCst), "{name} was told inside a call");
        self.note(format!("{name} {}", outcome.unwrap_or_else(|error| brief(&error))));
    }

    /// Adds a note by hand.
    pub fn note(&self, note: impl Into<String>) {
        self.notes.lock().unwrap().push(note.into());
    }

    /// Makes a call inside which no callback may run. For the engine's thread.
    pub fn submitting<R>(&self, call: impl FnOnce() -> R) -> R {
        let nested = self.submitting.swap(true, SeqCst);
        let result = call();
        self.submitting.store(nested, SeqCst);
        result
    }

    /// Takes the notes so far.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap())
    }

    /// How many notes there are.
    pub fn len(&self) -> usize {
        self.notes.lock().unwrap().len()
    }

    /// Whether nothing was told yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The name of an error's variant, with what tells apart errors of one variant.
pub fn brief(error: &Error) -> String {
    match error {
        Error::Stage { stage, cause } => format!("Stage({stage}, {})", brief(cause)),
        Error::PartialWrite { written, cause } => {
            format!("PartialWrite({written}, {})", brief(cause))
        }
        Error::PartialCopy { copied, returned, cause } => {
            format!("PartialCopy({copied}, {returned}, {})", brief(cause))
        }
        Error::Cut { written, cause } => format!("Cut({written}, {})", brief(cause)),
        Error::TooLong { limit } => format!("TooLong({limit})"),
        Error::Unexpected { line, .. } => format!("Unexpected({line:?})"),
        Error::Io { operation, cause } => format!("Io({operation}, {:?})", cause.kind()),
        other => {
            let words = format!("{other:?}");
            words.split([' ', '(']).next().unwrap_or_default().to_owned()
        }
    }
}

/// Keeps the values that callbacks succeed with, in order. Panics at a failure.
#[derive(Debug)]
pub struct Basket<T> {
    values: Arc<Mutex<Vec<T>>>,
}

impl<T: Send + 'static> Basket<T> {
    /// An empty one.
    pub fn new() -> Self {
        Self { values: Arc::default() }
    }

    /// A callback that puts its value in.
    pub fn callback(&self) -> Callback<T> {
        let values = Arc::clone(&self.values);
        Callback::new(
            move |_, value| values.lock().unwrap().push(value),
            |_, error| panic!("{error}: {error:?}"),
        )
    }

    /// Puts a value in by hand.
    pub fn put(&self, value: T) {
        self.values.lock().unwrap().push(value);
    }

    /// Takes all values out.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.values.lock().unwrap())
    }

    /// Takes out the only value there is.
    #[track_caller]
    pub fn only(&self) -> T {
        let mut values = self.take();
        assert_eq!(values.len(), 1, "one value");
        values.remove(0)
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.values.lock().unwrap().len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Send + 'static> Default for Basket<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Basket<T> {
    fn clone(&self) -> Self {
        Self { values: Arc::clone(&self.values) }
    }
}
