//! What both styles share: a script, read line by line, and what is said where one of its steps
//! fails.

use std::{fmt, str::FromStr, time::Duration};

use bytes::Bytes;
use facade_engine::{Error, LineGlob, Regex};

/// One line of a script.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) action: Action,
    /// How long it may take.
    pub(crate) patience: Duration,
    /// What an error says: the line and its number.
    name: String,
}

#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// Wait until this has been said.
    Expect(Regex),
    /// Wait for a line that is like this.
    Line(LineGlob),
    /// Say a line.
    Send(Bytes),
    /// Say this as it is.
    Type(Bytes),
    /// Wait for the end.
    End,
}

/// Reads a script. `timeout` holds for the steps behind it.
pub(crate) fn parse(script: &str) -> Result<Vec<Step>, String> {
    let (mut steps, mut patience) = (Vec::new(), Duration::from_secs(10));
    for (number, line) in (1..).zip(script.lines()) {
        let name = format!("line {number}, {line}");
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let wrong = |what: &dyn fmt::Display| format!("{name}: {what}");
        let action = match word {
            "" => continue,
            _ if word.starts_with('#') => continue,
            "timeout" => {
                patience = Duration::from_secs(u64::from_str(rest).map_err(|error| wrong(&error))?);
                continue;
            }
            "expect" => Action::Expect(Regex::new(rest).map_err(|error| wrong(&error))?),
            "line" => Action::Line(LineGlob::new(rest).map_err(|error| wrong(&error))?),
            "send" => Action::Send(unescape(rest).map_err(|error| wrong(&error))?),
            "type" => Action::Type(unescape(rest).map_err(|error| wrong(&error))?),
            "end" => Action::End,
            _ => return Err(wrong(&"timeout, expect, line, send, type or end is needed")),
        };
        steps.push(Step { action, patience, name });
    }
    Ok(steps)
}

/// What is to be said, with `\r`, `\n`, `\t`, `\\`, and `\x03` for Ctrl-C.
fn unescape(text: &str) -> Result<Bytes, String> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, behind)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (byte, len) = match behind.bytes().next() {
            Some(b'r') => (b'\r', 1),
            Some(b'n') => (b'\n', 1),
            Some(b't') => (b'\t', 1),
            Some(b'\\') => (b'\\', 1),
            Some(b'x') => {
                let digits = behind.get(1..3).unwrap_or_default();
                (u8::from_str_radix(digits, 16).map_err(|error| format!("\\x: {error}"))?, 3)
            }
            _ => return Err("a backslash that means nothing".into()),
        };
        bytes.push(byte);
        rest = &behind[len..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes.into())
}

impl Step {
    /// What is said where it fails.
    pub(crate) fn failed(self, cause: &Error) -> String {
        format!("{}: {cause}", self.name)
    }
}
