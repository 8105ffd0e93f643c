//! What both styles share: what to say to the server, and what to hear from it.

use std::{collections::VecDeque, fmt, str::FromStr, time::Duration};

use bytes::Bytes;
use facade_engine::{Error, IoOperation, LineGlob, LinePattern, Regex, RegexMatch, Result};

/// What is to be sent, and how long the server may take for each step.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) server: Server,
    pub(crate) from: Mailbox,
    pub(crate) to: Vec<Mailbox>,
    pub(crate) message: Bytes,
    pub(crate) patience: Duration,
}

/// The client's greeting: the name does not matter to a server that relays for this machine.
pub(crate) const EHLO: &str = "EHLO localhost\r\n";
pub(crate) const QUIT: &str = "QUIT\r\n";

/// The greeting of a server that is ready.
pub(crate) fn greeting() -> LineGlob {
    LineGlob::new("220 *").expect("the pattern is valid")
}

pub(crate) fn goodbye() -> LinePattern {
    reply("221")
}

/// A reply of one line. The text behind the code is optional, by RFC 5321; with a hyphen instead of
/// the blank it would be the first line of several, which no server says here.
fn reply(code: &str) -> LinePattern {
    regex(&format!("^{code}( |$)")).into()
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns here are valid")
}

/// One command and the reply that lets the conversation go on.
#[derive(Debug)]
pub(crate) struct Step {
    /// What an error is about.
    pub(crate) name: String,
    pub(crate) send: Bytes,
    pub(crate) expect: LinePattern,
}

impl Mail {
    /// The conversation after the greetings.
    pub(crate) fn steps(&self) -> VecDeque<Step> {
        let command = |name: String, expect| {
            let send = format!("{name}\r\n").into();
            Step { name, send, expect: reply(expect) }
        };
        let mut steps = VecDeque::from([command(format!("MAIL FROM:<{}>", self.from), "250")]);
        for to in &self.to {
            steps.push_back(command(format!("RCPT TO:<{to}>"), "25[01]"));
        }
        steps.push_back(command("DATA".into(), "354"));
        let send = stuffed(&self.message).into();
        steps.push_back(Step { name: "the message".into(), send, expect: reply("250") });
        steps
    }
}

/// The message as it goes over the wire. Lines end with CRLF; one that begins with a dot gets
/// another, because a line of a single dot ends the message.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + message.len() / 16 + 8);
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

/// A reply of several lines: `250-` begins all but the last, which tells the same code.
///
/// A read by regex ends as soon as there is a match, so the pattern says where a reply ends.
pub(crate) fn multiline_reply() -> Regex {
    regex(r"^([0-9]{3}-[^\n]*\n)*(?<code>[0-9]{3})([ \r][^\n]*)?\n")
}

/// Whether the server has accepted the greeting.
pub(crate) fn accepted(reply: &RegexMatch) -> Result<()> {
    if reply.name("code").is_some_and(|code| code == "250") {
        return Ok(());
    }
    let line = reply.bytes.slice(..reply.bytes.trim_ascii_end().len());
    Err(Error::Unexpected { expected: "250".into(), line })
}

/// What went wrong, and at what.
#[derive(Debug)]
pub(crate) struct Failure {
    at: String,
    error: Error,
}

impl Failure {
    pub(crate) fn new(at: impl Into<String>, error: Error) -> Self {
        // Which stage of a chain it was is not for whoever sends the mail.
        let error = match error {
            Error::Stage { cause, .. } => *cause,
            error => error,
        };
        Self { at: at.into(), error }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Error::Unexpected { line, .. } => {
                write!(f, "{}: the server said: {}", self.at, String::from_utf8_lossy(line))
            }
            Error::EndOfStream => write!(f, "{}: the server ended the connection", self.at),
            // These say themselves what was tried.
            Error::Resolve { .. } | Error::Io { operation: IoOperation::Connect, .. } => {
                self.error.fmt(f)
            }
            error => write!(f, "{}: {error}", self.at),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// An address of a mail, as it stands between angle brackets.
#[derive(Debug)]
pub(crate) struct Mailbox(String);

impl FromStr for Mailbox {
    type Err = String;

    /// Takes what cannot be mistaken for the end of a command or for another one.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let harmless = |c: char| !c.is_control() && !c.is_whitespace() && !"<>".contains(c);
        match text.chars().all(harmless) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("{text:?} is no address of a mail")),
        }
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or("HOST:PORT is needed")?;
        let port = port.parse().map_err(|_| format!("{port:?} is no port"))?;
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        Ok(Self { host: literal.unwrap_or(host).to_owned(), port })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
