//! The line service itself, without any I/O: all three servers say what this says.

use std::borrow::Cow;

use bytes::Bytes;
use facade_engine::Limits;

/// The longest line that is served, its end included.
pub(crate) const LINE_MAX: usize = 1024;
pub(crate) const READY: &str = "ready\r\n";
pub(crate) const TOO_LONG: &str = "error: line too long";

/// The service's limits, for the engine to keep.
pub(crate) fn limits() -> Limits {
    Limits { line: LINE_MAX, ..Limits::default() }
}

/// What to answer, and what then.
pub(crate) struct Reply<'line> {
    text: Cow<'line, [u8]>,
    pub(crate) then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    EndLine,
    /// Whatever comes next goes on in the same line.
    LeaveOpen,
    EndLineAndClose,
}

/// Answers `echo TEXT`, `upper TEXT`, `part TEXT` and `quit`.
pub(crate) fn reply(line: &[u8]) -> Reply<'_> {
    let blank = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let (command, text) = (&line[..blank], line.get(blank + 1..).unwrap_or_default());
    let (text, then) = match command {
        b"echo" => (text.into(), Then::EndLine),
        b"upper" => (text.to_ascii_uppercase().into(), Then::EndLine),
        b"part" => (text.into(), Then::LeaveOpen),
        b"quit" => (b"bye".into(), Then::EndLineAndClose),
        _ => (quoted("error: unknown command", command).into(), Then::EndLine),
    };
    Reply { text, then }
}

/// What is said to a line that was never finished.
pub(crate) fn unfinished(rest: &[u8]) -> Vec<u8> {
    quoted("error: unfinished line", rest)
}

fn quoted(what: &str, text: &[u8]) -> Vec<u8> {
    format!("{what} {:?}", String::from_utf8_lossy(text)).into_bytes()
}

impl Reply<'_> {
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The text as a slice of the line that it answers, if it is one: nothing is copied then.
    pub(crate) fn of(self, line: &Bytes) -> Bytes {
        let within = line.as_ptr_range();
        match self.text {
            Cow::Borrowed(text) if within.contains(&text.as_ptr()) => line.slice_ref(text),
            text => text.into_owned().into(),
        }
    }
}
