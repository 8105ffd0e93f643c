//! What both styles share: requests are parsed and responses made without any I/O.

use std::{str, time::Duration};

use bytes::Bytes;
use facade_engine::Error;

/// What ends the head of a request.
pub(crate) const HEAD_END: &str = "\r\n\r\n";
/// The longest head...
pub(crate) const HEAD_MAX: usize = 16 << 10;
/// ...and the longest body that is accepted.
const BODY_MAX: usize = 1 << 20;

/// How long a request may take to arrive, and how long a connection may idle between two.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Tells a client that asked first to go on and send the body.
pub(crate) const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// What a refused client is still sending is read and dropped, up to this many chunks of this size:
/// closing over it would reset the connection, and the client might never see why.
pub(crate) const LAST_CHUNKS: usize = 64;
pub(crate) const LAST_CHUNK: usize = 64 << 10;
pub(crate) const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// The part of a request's head that matters here.
#[derive(Debug, Default)]
pub(crate) struct Request {
    method: Bytes,
    path: Bytes,
    /// How long the body is.
    pub(crate) length: usize,
    /// The connection serves another request after this one.
    pub(crate) keep_alive: bool,
    /// The client waits for [`CONTINUE`] before it sends the body.
    pub(crate) expects_continue: bool,
}

/// The first line of a response, behind the version.
pub(crate) type Status = &'static str;

const BAD_REQUEST: Status = "400 Bad Request";

impl Request {
    /// Parses a head, with the empty line that ends it. What cannot be served is refused with a
    /// status, and the connection ends: where the next request would begin is not known.
    pub(crate) fn parse(head: &Bytes) -> Result<Self, Status> {
        let text = str::from_utf8(head).map_err(|_| BAD_REQUEST)?;
        let mut lines = text.trim_start_matches("\r\n").trim_end_matches("\r\n").split("\r\n");

        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target, version) = (words.next(), words.next(), words.next());
        let (Some(method), Some(target), Some(version), None) =
            (method, target, version, words.next())
        else {
            return Err(BAD_REQUEST);
        };
        if !is_token(method) || !target.starts_with('/') && target != "*" {
            return Err(BAD_REQUEST);
        }
        let keep_alive = match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            _ if version.starts_with("HTTP/") => return Err("505 HTTP Version Not Supported"),
            _ => return Err(BAD_REQUEST),
        };

        let path = target.split(['?', '#']).next().unwrap_or_default();
        let mut request = Self {
            method: head.slice_ref(method.as_bytes()),
            path: head.slice_ref(path.as_bytes()),
            keep_alive,
            ..Self::default()
        };
        let (mut hosts, mut length) = (0, None);
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(BAD_REQUEST)?;
            if !is_token(name) {
                return Err(BAD_REQUEST);
            }
            let value = value.trim_matches([' ', '\t']);
            match name.to_ascii_lowercase().as_str() {
                "host" => hosts += 1,
                "content-length" if length.is_some_and(|length| length != value) => {
                    return Err(BAD_REQUEST);
                }
                "content-length" => length = Some(value),
                "transfer-encoding" => return Err("501 Not Implemented"),
                "connection" => request.set_keep_alive(value),
                "expect" if value.eq_ignore_ascii_case("100-continue") => {
                    request.expects_continue = true;
                }
                _ => {}
            }
        }
        if hosts > 1 || hosts == 0 && version == "HTTP/1.1" {
            return Err(BAD_REQUEST);
        }
        request.length = length.map_or(Ok(0), parse_length)?;
        Ok(request)
    }

    fn set_keep_alive(&mut self, value: &str) {
        for option in value.split(',').map(str::trim) {
            if option.eq_ignore_ascii_case("close") {
                self.keep_alive = false;
            } else if option.eq_ignore_ascii_case("keep-alive") {
                self.keep_alive = true;
            }
        }
    }

    /// The response to this request with this body.
    pub(crate) fn answer(&self, body: Bytes) -> Bytes {
        let (status, answer) = match (&*self.path, &*self.method) {
            (b"/", b"GET" | b"HEAD") => ("200 OK", Bytes::from_static(b"Hello, world!\n")),
            (b"/echo", b"POST") => ("200 OK", body),
            (b"/" | b"/echo", _) => {
                ("405 Method Not Allowed", Bytes::from_static(b"Not allowed\n"))
            }
            _ => ("404 Not Found", Bytes::from_static(b"Not found\n")),
        };
        let allow = match (status, &*self.path) {
            ("405 Method Not Allowed", b"/") => "Allow: GET, HEAD\r\n",
            ("405 Method Not Allowed", _) => "Allow: POST\r\n",
            _ => "",
        };
        // The response to HEAD says how long the body would be, and leaves it out.
        let shown = if *self.method == *b"HEAD" { &[] } else { &*answer };
        response(status, allow, self.keep_alive, answer.len(), shown)
    }
}

/// The response that refuses a request, and with it the connection.
pub(crate) fn refusal(status: Status) -> Bytes {
    let body = format!("{status}\n");
    response(status, "", false, body.len(), body.as_bytes())
}

/// What to tell a client whose request could not be read; nothing if it is gone.
pub(crate) fn status_of(error: &Error) -> Option<Status> {
    match error {
        Error::TooLong { .. } => Some("431 Request Header Fields Too Large"),
        Error::TimedOut => Some("408 Request Timeout"),
        _ => None,
    }
}

fn response(status: Status, more: &str, keep_alive: bool, length: usize, body: &[u8]) -> Bytes {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let mut response = Vec::with_capacity(160 + body.len());
    response.extend_from_slice(b"HTTP/1.1 ");
    response.extend_from_slice(status.as_bytes());
    response.extend_from_slice(b"\r\nContent-Type: text/plain\r\nConnection: ");
    response.extend_from_slice(connection.as_bytes());
    response.extend_from_slice(format!("\r\nContent-Length: {length}\r\n{more}\r\n").as_bytes());
    response.extend_from_slice(body);
    response.into()
}

fn parse_length(value: &str) -> Result<usize, Status> {
    if value.is_empty() || !value.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(BAD_REQUEST);
    }
    // Digits that are no `usize` are too many.
    let length = value.parse().unwrap_or(usize::MAX);
    if length > BODY_MAX { Err("413 Content Too Large") } else { Ok(length) }
}

/// What methods and header names consist of, by RFC 9110.
fn is_token(text: &str) -> bool {
    let special = b"!#$%&'*+-.^_`|~";
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || special.contains(&c))
}
