//! What a client's session says, and the record of what it has heard: the same in both styles.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use facade_engine::Result;

use crate::service::LINE_MAX;

/// How long to wait for what does not come.
pub(crate) const NAP: Duration = Duration::from_millis(20);
/// How long to wait for what does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Several lines in one write, and how many come back, the one that was begun before included.
pub(crate) const PIPELINED: &str = "echo one\r\nupper two\nnonsense\r\necho\r\nupper grüße";
pub(crate) const REPLIES: usize = 6;

/// What is said to the service on a connection of its own each.
pub(crate) fn parting() -> [String; 4] {
    [
        "echo before\r\nquit\r\necho never answered\r\n".to_owned(),
        format!("echo {}\r\n", "x".repeat(LINE_MAX - 7)),
        format!("echo {}\r\n", "x".repeat(LINE_MAX)),
        "upper finished\r\necho unfinished".to_owned(),
    ]
}

/// The record of one session, shared by its steps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transcript(Arc<Mutex<String>>);

impl Transcript {
    pub(crate) fn sent(&self, text: &str) {
        self.entry('>', text.as_bytes().escape_ascii());
    }

    pub(crate) fn received(&self, outcome: &Result<Bytes>) {
        match outcome {
            Ok(bytes) => self.entry('<', bytes.escape_ascii()),
            Err(error) => self.note(error),
        }
    }

    pub(crate) fn note(&self, what: impl fmt::Display) {
        self.entry('!', what);
    }

    fn entry(&self, mark: char, text: impl fmt::Display) {
        let mut record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        record.push_str(&format!("{mark} {text}\n"));
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
