//! [`Error`]: everything that an operation can fail with, and what to do about it.

use std::{
    fmt::{self, Write},
    io,
    ops::Deref,
    sync::Arc,
};

use bytes::Bytes;

/// The result of an operation.
///
/// It has one parameter, as [`std::io::Result`] has: a block that ends with `Result::Ok(())` has
/// said what its `?` makes of errors.
///
/// ```
/// use facade_engine::Result;
///
/// fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
///     let listen = || {
///         facade_engine::Engine::new()?.listen("127.0.0.1:0")?;
///         Result::Ok(())
///     };
///     Ok(listen()?)
/// }
/// ```
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed.
///
/// Cheap to clone: system errors are shared. The `Display` text says what was tried, on what, and
/// why, all in one line; [`std::error::Error::source`] gives the cause as a value, so a program
/// prints the error *or* the chain of its sources. What a peer sent is cut short in it, and
/// escaped.
///
/// ```
/// use facade_engine::{Callback, Engine, Error, Result, Stream};
/// use std::io::ErrorKind;
///
/// let engine = Engine::new()?;
/// let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
/// engine.connect(nobody, Callback::from_fn(move |_, outcome: Result<Stream>| match outcome {
///     Err(ref error @ Error::Io { ref cause, .. }) => {
///         assert_eq!(cause.kind(), ErrorKind::ConnectionRefused);
///         let text = format!("connect to {nobody}: Connection refused (os error 111)");
///         assert_eq!(error.to_string(), text);
///     }
///     outcome => panic!("{outcome:?}"),
/// }));
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operation was cancelled, by its [`Cancel`](crate::Cancel) or because its future was
    /// dropped. What it would have taken is still there: submit another operation to get it.
    #[error("cancelled")]
    Cancelled,

    /// The deadline passed before the operation could finish. Nothing was consumed; a peer that is
    /// only slow can be given another try with the same operation.
    #[error("timed out")]
    TimedOut,

    /// The stream ended before the read had what it wanted. What did arrive is still unread: take
    /// it with [`read_all`](crate::Handle::read_all) or
    /// [`read_chunk`](crate::Handle::read_chunk).
    #[error("end of stream")]
    EndOfStream,

    /// The read would have to take more bytes than its limit allows: [`Limits::all`] for
    /// `read_all`, `read_exact` and `read_at`, [`Limits::line`] for all others. The bytes stay
    /// unread, so the same read fails again: raise the limit with
    /// [`set_limits`](crate::Handle::set_limits), for this stream, or
    /// [`Builder::limits`](crate::Builder::limits), for all; consume some bytes; or close the
    /// stream.
    ///
    /// [`Limits::all`]: crate::Limits::all
    /// [`Limits::line`]: crate::Limits::line
    #[error(
        "longer than the limit of {limit} bytes, which is `Limits::all` for read_all, read_exact \
         and read_at and `Limits::line` for other reads: `set_limits` raises it for a stream, \
         `Builder::limits` for all"
    )]
    TooLong {
        /// The limit that was in force when the read was submitted, in bytes.
        limit: usize,
    },

    /// The next line was not the expected one. It stays unread, so that another read can look at
    /// it.
    #[error("expected {expected}, got {}", Excerpt(.line))]
    Unexpected {
        /// What was expected, as the pattern writes itself.
        expected: String,
        /// A copy of the line that came instead, without its line end.
        line: Bytes,
    },

    /// The system took a part of the write before it was cancelled, expired or failed. The rest is
    /// kept: [`take_unsent`](crate::Handle::take_unsent) hands it over and lets later writes go on.
    #[error("only {written} bytes were written: {cause}")]
    PartialWrite {
        /// How many bytes of this write the system took.
        written: usize,
        /// Why the write ended early.
        #[source]
        cause: Box<Self>,
    },

    /// An earlier write of the stream was cut: it was cancelled or expired when the system had
    /// taken a part of it. Nothing is written behind a frame that was cut in half, until
    /// [`take_unsent`](crate::Handle::take_unsent) has handed over its rest: write that first, or
    /// give the stream up. Of the write that says this nothing was taken.
    #[error(
        "an earlier write of this stream was cut after {written} bytes ({cause}): call \
         `take_unsent` first"
    )]
    Cut {
        /// How many bytes of the earlier write the system took.
        written: usize,
        /// Why that one ended early.
        #[source]
        cause: Box<Self>,
    },

    /// A [`copy`](crate::Handle::copy) ended early, after some bytes. Those are where they were to
    /// go: written, or as good as, see there. All others are unread where they came from.
    #[error("only {copied} bytes were copied{}: {cause}", Back(*.returned))]
    PartialCopy {
        /// How many bytes went from the first stream to the second.
        copied: u64,
        /// How many went from the second to the first; of a copy one way none.
        returned: u64,
        /// Why it ended early.
        #[source]
        cause: Box<Self>,
    },

    /// An earlier stage of the chain failed, so this one never began.
    #[error("stage {stage} of the chain failed: {cause}")]
    Stage {
        /// The stage that failed, counted from 1.
        stage: usize,
        /// What it failed with.
        #[source]
        cause: Box<Self>,
    },

    /// The name could not be resolved. `cause` tells an unknown name from a resolver that could
    /// not be reached.
    #[error("getaddrinfo of {host:?}: {cause}")]
    Resolve {
        /// The host as it was given.
        host: String,
        /// The resolver's own error.
        #[source]
        cause: SystemError,
    },

    /// The system refused. For a stream this is final: what was received before it can still be
    /// read. A read says [`IoOperation::Write`] if it is what was written before that is lost.
    #[error("{operation}{}: {cause}", .cause.place(*.operation))]
    Io {
        /// What was being done.
        operation: IoOperation,
        /// The system's error, and what it was about.
        #[source]
        cause: SystemError,
    },

    /// The datagram is longer than the system sends in one piece (EMSGSIZE of send(2)): 65,507 bytes
    /// of UDP over IPv4 at most, less where the way to the receiver is asked not to cut it. Nothing
    /// was sent; the socket goes on. Send less at a time.
    #[error("a datagram of {len} bytes{}: {cause}", .cause.place(IoOperation::Send))]
    DatagramTooLong {
        /// How long it is, in bytes.
        len: usize,
        /// The system's error, and whom it was for.
        #[source]
        cause: SystemError,
    },

    /// The stream, listener or socket was closed, or a stream detached or shut down for writing.
    #[error("closed")]
    Closed,

    /// The engine is gone, or was dropped while the operation was pending.
    #[error("the engine is gone")]
    EngineClosed,

    /// This process is the child of a fork(2), and the engine its parent's: nothing was done, and
    /// the parent goes on undisturbed. Build an engine here. See
    /// [`Handle::is_inherited`](crate::Handle::is_inherited).
    #[error("the engine belongs to the process that this one was forked from")]
    Forked,

    /// A queue that a peer or a program can fill is full: bytes or datagrams unsent, or work waiting
    /// for a worker. Nothing was taken; try again when some of it is done.
    #[error("overloaded")]
    Overloaded,

    /// The closure given to [`submit_work`](crate::Handle::submit_work) panicked on its worker. The
    /// panic hook has printed the message; the worker lives on. Or the handler of a repeating
    /// operation, such as [`each_line`](crate::Handle::each_line), panicked, which ends it; the run
    /// resumes that panic.
    #[error("the work panicked")]
    Panicked,

    /// An operation of the program's own has failed, or a [`Matcher`](crate::Matcher) of its own:
    /// what it failed with, made by [`Error::other`]. It has that one's text and sources; to tell
    /// one from another, ask for its type, by `downcast_ref`.
    #[error(transparent)]
    Other(Arc<dyn std::error::Error + Send + Sync>),

    /// An argument makes no sense; `what` names it. The operation never began.
    #[error("invalid input: {what}")]
    InvalidInput {
        /// What was wrong, in words.
        what: String,
    },

    /// This system, driver or kind of stream cannot do it; `what` names it.
    #[error("unsupported: {what}")]
    Unsupported {
        /// What cannot be had, in words.
        what: String,
    },
}

/// What was being done when the system refused. `Display` writes it as a word or two: `connect`,
/// `start a thread`.
///
/// ```
/// use facade_engine::{Callback, Engine, Error, IoOperation, Result, Stream};
///
/// let engine = Engine::new()?;
/// let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
/// engine.connect(nobody, Callback::from_fn(|_, outcome: Result<Stream>| match outcome {
///     Err(Error::Io { operation: IoOperation::Connect, cause }) => println!("not there: {cause}"),
///     outcome => panic!("{outcome:?}"),
/// }));
/// engine.run()?;
/// assert_eq!(IoOperation::StartThread.to_string(), "start a thread");
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IoOperation {
    /// Accepting a connection.
    Accept,
    /// Preparing a descriptor that was attached.
    Attach,
    /// Taking the address of this end: of a socket of datagrams, or what
    /// [`ConnectOptions`](crate::ConnectOptions) asked for.
    Bind,
    /// Making a connection.
    Connect,
    /// Giving a descriptor back.
    Detach,
    /// Asking for the address of the other end.
    GetPeerName,
    /// Asking for the address of this end.
    GetSockName,
    /// Making a socket that listens.
    Listen,
    /// Asking for something about a socket, such as who is at its other end.
    GetSockOpt,
    /// Reading from a stream or file.
    Read,
    /// Receiving a datagram.
    Receive,
    /// Saying how large a terminal is.
    Resize,
    /// Sending a datagram.
    Send,
    /// Setting an option of a socket, which the error names.
    SetSockOpt,
    /// Ending the outgoing direction of a stream.
    Shutdown,
    /// Asking to be told of a signal, or sending one.
    Signal,
    /// Starting a process.
    Spawn,
    /// Getting what an engine needs.
    StartEngine,
    /// Getting a thread: for work, for files, for an engine.
    StartThread,
    /// Having a file's content written to its device.
    Sync,
    /// Waiting for something to happen.
    Wait,
    /// Writing to a stream or file.
    Write,
}

impl IoOperation {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Attach => "attach",
            Self::Bind => "bind",
            Self::Connect => "connect",
            Self::Detach => "detach",
            Self::GetPeerName => "getpeername",
            Self::GetSockName => "getsockname",
            Self::GetSockOpt => "getsockopt",
            Self::Listen => "listen",
            Self::Read => "read",
            Self::Receive => "receive",
            Self::Resize => "resize",
            Self::Send => "send",
            Self::SetSockOpt => "setsockopt",
            Self::Shutdown => "shutdown",
            Self::Signal => "signal",
            Self::Spawn => "spawn",
            Self::StartEngine => "start the engine",
            Self::StartThread => "start a thread",
            Self::Sync => "sync",
            Self::Wait => "wait",
            Self::Write => "write",
        }
    }

    /// What stands between it and what it is done to, in a sentence.
    const fn preposition(self) -> &'static str {
        match self {
            Self::Bind | Self::Connect | Self::Send | Self::Write => " to",
            Self::Read => " from",
            Self::Receive => " at",
            Self::Accept | Self::Listen => " on",
            Self::Wait => " for",
            Self::GetPeerName | Self::GetSockName => " of",
            _ => "",
        }
    }
}

impl fmt::Display for IoOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the system said, and of what: an [`io::Error`], as which it is used, that also knows the
/// address, stream or descriptor it is about.
///
/// Clones are the same error.
///
/// ```
/// use facade_engine::{Engine, Error, IoOperation};
/// use std::io::ErrorKind;
///
/// let engine = Engine::new()?;
/// let listener = engine.listen("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let Err(Error::Io { operation: IoOperation::Listen, cause }) = engine.listen(address) else {
///     panic!()
/// };
/// assert_eq!(cause.kind(), ErrorKind::AddrInUse);
/// assert_eq!(cause.on(), Some(&*address.to_string()));
/// # Ok::<(), Error>(())
/// ```
// It is no `std::error::Error` itself: so the source of an error is the `io::Error`, which can be
// found by its type.
#[derive(Clone)]
pub struct SystemError {
    cause: Arc<Cause>,
}

struct Cause {
    error: io::Error,
    on: Option<String>,
}

impl SystemError {
    pub(crate) fn new(on: impl fmt::Display, error: impl Into<io::Error>) -> Self {
        let on = Some(on.to_string());
        Self { cause: Arc::new(Cause { error: error.into(), on }) }
    }

    /// The system's word by itself.
    pub(crate) fn copied(&self) -> io::Error {
        match self.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => self.kind().into(),
        }
    }

    /// What it is about, if it is about something: an address, `TCP socket (descriptor 7)`, ...
    #[must_use]
    pub fn on(&self) -> Option<&str> {
        self.cause.on.as_deref()
    }

    /// The same as part of a sentence, behind the name of what was being done.
    fn place(&self, operation: IoOperation) -> Whereabouts<'_> {
        Whereabouts { preposition: operation.preposition(), on: self.on() }
    }
}

impl From<io::Error> for SystemError {
    fn from(error: io::Error) -> Self {
        Self { cause: Arc::new(Cause { error, on: None }) }
    }
}

impl Deref for SystemError {
    type Target = io::Error;

    fn deref(&self) -> &io::Error {
        &self.cause.error
    }
}

impl fmt::Display for SystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.error.fmt(f)
    }
}

impl fmt::Debug for SystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cause { error, on } = &*self.cause;
        match on {
            Some(on) => {
                f.debug_struct("SystemError").field("on", on).field("error", error).finish()
            }
            None => error.fmt(f),
        }
    }
}

struct Whereabouts<'a> {
    preposition: &'static str,
    on: Option<&'a str>,
}

impl fmt::Display for Whereabouts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.on {
            Some(on) => write!(f, "{} {on}", self.preposition),
            None => Ok(()),
        }
    }
}

/// The beginning of what a peer sent, escaped, and how long it was: it may be as long as a limit
/// allows, and is nobody's to write into a log as it is.
struct Excerpt<'a>(&'a [u8]);

impl Excerpt<'_> {
    const LEN_MAX: usize = 80;
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.0.len();
        let shown = &self.0[..len.min(Self::LEN_MAX)];
        f.write_char('"')?;
        for chunk in shown.utf8_chunks() {
            write!(f, "{}{}", chunk.valid().escape_debug(), chunk.invalid().escape_ascii())?;
        }
        f.write_char('"')?;
        match len > shown.len() {
            true => write!(f, " and so on, {len} bytes"),
            false => Ok(()),
        }
    }
}

impl fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a copy both ways has copied back, in its error.
struct Back(u64);

impl fmt::Display for Back {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            bytes => write!(f, ", and {bytes} back"),
        }
    }
}

/// As it would be derived, but for the line of [`Error::Unexpected`].
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut_short = |f: &mut fmt::Formatter<'_>, name, written: &usize, cause: &Self| {
            f.debug_struct(name).field("written", written).field("cause", cause).finish()
        };
        match self {
            Self::Cancelled => f.write_str("Cancelled"),
            Self::TimedOut => f.write_str("TimedOut"),
            Self::EndOfStream => f.write_str("EndOfStream"),
            Self::TooLong { limit } => f.debug_struct("TooLong").field("limit", limit).finish(),
            Self::Unexpected { expected, line } => f
                .debug_struct("Unexpected")
                .field("expected", expected)
                .field("line", &Excerpt(line))
                .finish(),
            Self::PartialWrite { written, cause } => cut_short(f, "PartialWrite", written, cause),
            Self::Cut { written, cause } => cut_short(f, "Cut", written, cause),
            Self::PartialCopy { copied, returned, cause } => f
                .debug_struct("PartialCopy")
                .field("copied", copied)
                .field("returned", returned)
                .field("cause", cause)
                .finish(),
            Self::Stage { stage, cause } => {
                f.debug_struct("Stage").field("stage", stage).field("cause", cause).finish()
            }
            Self::Resolve { host, cause } => {
                f.debug_struct("Resolve").field("host", host).field("cause", cause).finish()
            }
            Self::Io { operation, cause } => {
                f.debug_struct("Io").field("operation", operation).field("cause", cause).finish()
            }
            Self::DatagramTooLong { len, cause } => {
                f.debug_struct("DatagramTooLong").field("len", len).field("cause", cause).finish()
            }
            Self::Closed => f.write_str("Closed"),
            Self::EngineClosed => f.write_str("EngineClosed"),
            Self::Forked => f.write_str("Forked"),
            Self::Overloaded => f.write_str("Overloaded"),
            Self::Panicked => f.write_str("Panicked"),
            Self::Other(cause) => f.debug_tuple("Other").field(cause).finish(),
            Self::InvalidInput { what } => {
                f.debug_struct("InvalidInput").field("what", what).finish()
            }
            Self::Unsupported { what } => {
                f.debug_struct("Unsupported").field("what", what).finish()
            }
        }
    }
}

impl Error {
    /// An [`Error::Other`]: what an operation of one's own fails with, or a
    /// [`Matcher`](crate::Matcher). Of an error of any type, or of a text.
    ///
    /// ```
    /// use facade_engine::Error;
    /// use std::num::ParseIntError;
    ///
    /// let error = Error::other("12O".parse::<u64>().unwrap_err());
    /// assert_eq!(error.to_string(), "invalid digit found in string");
    /// assert!(matches!(&error, Error::Other(cause) if cause.is::<ParseIntError>()));
    /// assert_eq!(Error::other("no such user").to_string(), "no such user");
    /// ```
    pub fn other(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(Arc::from(cause.into()))
    }

    /// The code of the system, if the system is the cause, at first hand or behind
    /// [`Stage`](Self::Stage), [`PartialWrite`](Self::PartialWrite) or [`Cut`](Self::Cut); or
    /// behind [`Other`](Self::Other), if that is an [`io::Error`].
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    ///
    /// let engine = Engine::new()?;
    /// engine.chain()
    ///     .connect(std::path::Path::new("/nowhere"), Callback::ignore())
    ///     .read_line(Callback::new(|_, _| (), |_, error| {
    ///         assert_eq!(error.raw_os_error(), Some(2)); // ENOENT
    ///     }))
    ///     .submit();
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Io { cause, .. }
            | Self::Resolve { cause, .. }
            | Self::DatagramTooLong { cause, .. } => cause.raw_os_error(),
            Self::Other(cause) => as_system(cause)?.raw_os_error(),
            Self::PartialWrite { cause, .. }
            | Self::PartialCopy { cause, .. }
            | Self::Cut { cause, .. }
            | Self::Stage { cause, .. } => cause.raw_os_error(),
            _ => None,
        }
    }

    /// An [`Error::Io`] that names what was being done.
    pub(crate) fn io(operation: IoOperation, cause: impl Into<io::Error>) -> Self {
        Self::Io { operation, cause: cause.into().into() }
    }

    /// One that names as well on what.
    pub(crate) fn io_on(
        operation: IoOperation,
        on: impl fmt::Display,
        cause: impl Into<io::Error>,
    ) -> Self {
        Self::Io { operation, cause: SystemError::new(on, cause) }
    }

    /// An [`Error::InvalidInput`] that names what was wrong.
    pub(crate) fn invalid(what: impl fmt::Display) -> Self {
        Self::InvalidInput { what: what.to_string() }
    }

    /// An [`Error::Unsupported`] that names what cannot be had.
    pub(crate) fn unsupported(what: impl fmt::Display) -> Self {
        Self::Unsupported { what: what.to_string() }
    }
}

/// What the system said becomes that again, so that its code survives: [`Io`](Error::Io),
/// [`DatagramTooLong`](Error::DatagramTooLong), [`Resolve`](Error::Resolve) and
/// [`Other`](Error::Other) with a code. In every other case the
/// kind is kept that callers of `std::io` traits look at, and the whole error is the payload, so
/// that [`io::Error::downcast`] gives it back, and [`Error::raw_os_error`] the code that may be
/// behind it.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = kind(&error);
        // `Interrupted` makes std's own loops try again for ever, so a cancelled read must not say
        // it.
        let kind = if kind == io::ErrorKind::Interrupted { io::ErrorKind::Other } else { kind };
        let code = match &error {
            Error::Resolve { .. }
            | Error::Io { .. }
            | Error::DatagramTooLong { .. }
            | Error::Other(_) => error.raw_os_error(),
            _ => None,
        };
        let system = code.map(Self::from_raw_os_error).filter(|system| system.kind() == kind);
        system.unwrap_or_else(|| Self::new(kind, error))
    }
}

fn as_system(cause: &Arc<dyn std::error::Error + Send + Sync>) -> Option<&io::Error> {
    cause.downcast_ref()
}

fn kind(error: &Error) -> io::ErrorKind {
    match error {
        Error::Cancelled => io::ErrorKind::Interrupted,
        Error::TimedOut => io::ErrorKind::TimedOut,
        Error::EndOfStream => io::ErrorKind::UnexpectedEof,
        Error::TooLong { .. } | Error::Unexpected { .. } => io::ErrorKind::InvalidData,
        Error::PartialWrite { cause, .. }
        | Error::PartialCopy { cause, .. }
        | Error::Stage { cause, .. } => kind(cause),
        Error::Resolve { cause, .. }
        | Error::Io { cause, .. }
        | Error::DatagramTooLong { cause, .. } => cause.kind(),
        Error::Closed | Error::EngineClosed | Error::Forked => io::ErrorKind::NotConnected,
        Error::Overloaded => io::ErrorKind::ResourceBusy,
        // Not that of its cause: this write neither timed out nor is worth another try.
        Error::Cut { .. } | Error::Panicked => io::ErrorKind::Other,
        Error::Other(cause) => as_system(cause).map_or(io::ErrorKind::Other, io::Error::kind),
        Error::InvalidInput { .. } => io::ErrorKind::InvalidInput,
        Error::Unsupported { .. } => io::ErrorKind::Unsupported,
    }
}

// The texts of the system's errors are those of Linux.
#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::error::Error as _;

    use rustix::io::Errno;

    use super::*;

    /// Each variant once: what it prints, and what `io::Error::from` makes of it.
    #[test]
    fn each_error_says_what_was_tried_on_what_and_why() {
        use io::ErrorKind::*;

        let refused = || Error::io_on(IoOperation::Connect, "127.0.0.1:1", Errno::CONNREFUSED);
        let broken = || Error::io_on(IoOperation::Write, "pipe (descriptor 7)", Errno::PIPE);
        let unknown = io::Error::new(NotFound, "failed to lookup address information: Name or …");
        let no_memory = io::Error::from_raw_os_error(12);
        let samples: [(Error, &str, io::ErrorKind, Option<i32>); 27] = [
            (Error::Cancelled, "cancelled", Other, None),
            (Error::TimedOut, "timed out", TimedOut, None),
            (Error::EndOfStream, "end of stream", UnexpectedEof, None),
            (
                Error::TooLong { limit: 4 },
                "longer than the limit of 4 bytes, which is `Limits::all` for read_all, read_exact \
                 and read_at and `Limits::line` for other reads: `set_limits` raises it for a \
                 stream, `Builder::limits` for all",
                InvalidData,
                None,
            ),
            (
                Error::Unexpected { expected: r#""OK""#.to_owned(), line: "220\t\u{e9}".into() },
                "expected \"OK\", got \"220\\t\u{e9}\"",
                InvalidData,
                None,
            ),
            (
                Error::PartialWrite { written: 5, cause: Box::new(Error::TimedOut) },
                "only 5 bytes were written: timed out",
                TimedOut,
                None,
            ),
            (
                Error::PartialWrite { written: 5, cause: Box::new(broken()) },
                "only 5 bytes were written: write to pipe (descriptor 7): Broken pipe \
                 (os error 32)",
                BrokenPipe,
                None,
            ),
            (
                Error::Cut { written: 5, cause: Box::new(Error::Cancelled) },
                "an earlier write of this stream was cut after 5 bytes (cancelled): call \
                 `take_unsent` first",
                Other,
                None,
            ),
            (
                Error::Stage { stage: 1, cause: Box::new(refused()) },
                "stage 1 of the chain failed: connect to 127.0.0.1:1: Connection refused \
                 (os error 111)",
                ConnectionRefused,
                None,
            ),
            (
                Error::Resolve { host: "no.such".to_owned(), cause: unknown.into() },
                "getaddrinfo of \"no.such\": failed to lookup address information: Name or …",
                NotFound,
                None,
            ),
            (
                Error::Resolve { host: "no.such".to_owned(), cause: no_memory.into() },
                "getaddrinfo of \"no.such\": Cannot allocate memory (os error 12)",
                OutOfMemory,
                Some(12),
            ),
            (
                Error::DatagramTooLong {
                    len: 70_000,
                    cause: SystemError::new("127.0.0.1:1", Errno::MSGSIZE),
                },
                "a datagram of 70000 bytes to 127.0.0.1:1: Message too long (os error 90)",
                io::Error::from(Errno::MSGSIZE).kind(),
                Some(90),
            ),
            (
                refused(),
                "connect to 127.0.0.1:1: Connection refused (os error 111)",
                ConnectionRefused,
                Some(111),
            ),
            (
                broken(),
                "write to pipe (descriptor 7): Broken pipe (os error 32)",
                BrokenPipe,
                Some(32),
            ),
            (
                Error::io_on(IoOperation::Listen, "/run/x", Errno::ADDRINUSE),
                "listen on /run/x: Address already in use (os error 98)",
                AddrInUse,
                Some(98),
            ),
            (
                Error::io_on(IoOperation::Attach, "descriptor 7", Errno::BADF),
                "attach descriptor 7: Bad file descriptor (os error 9)",
                io::Error::from(Errno::BADF).kind(),
                Some(9),
            ),
            (
                Error::io(IoOperation::Wait, Errno::NOMEM),
                "wait: Cannot allocate memory (os error 12)",
                OutOfMemory,
                Some(12),
            ),
            (Error::Closed, "closed", NotConnected, None),
            (Error::EngineClosed, "the engine is gone", NotConnected, None),
            (
                Error::Forked,
                "the engine belongs to the process that this one was forked from",
                NotConnected,
                None,
            ),
            (Error::Overloaded, "overloaded", ResourceBusy, None),
            (Error::Panicked, "the work panicked", Other, None),
            (Error::other("no such user"), "no such user", Other, None),
            (
                Error::other(io::Error::from(Errno::PIPE)),
                "Broken pipe (os error 32)",
                BrokenPipe,
                Some(32),
            ),
            (Error::invalid("no such thing"), "invalid input: no such thing", InvalidInput, None),
            (Error::unsupported("that"), "unsupported: that", Unsupported, None),
            // No more than std's loops may hear: they try again at once, for ever.
            (
                Error::io(IoOperation::Wait, Errno::INTR),
                "wait: Interrupted system call (os error 4)",
                Other,
                None,
            ),
        ];
        for (error, text, kind, code) in samples {
            assert_eq!(error.to_string(), text);
            let system = io::Error::from(error.clone());
            assert_eq!((system.kind(), system.raw_os_error()), (kind, code), "{text}");
            if code.is_none() {
                let whole = system.downcast::<Error>().unwrap();
                assert_eq!(whole.to_string(), text, "the payload is the error itself");
            } else {
                assert_eq!(error.raw_os_error(), code, "{text}");
            }
        }
        let stage = Error::Stage { stage: 1, cause: Box::new(refused()) };
        assert_eq!(stage.raw_os_error(), Some(111), "through what it stands in");
    }

    #[test]
    fn the_sources_of_an_error_end_with_that_of_the_system() {
        let cause = Box::new(Error::io_on(IoOperation::Connect, "127.0.0.1:1", Errno::CONNREFUSED));
        let error = Error::Stage { stage: 1, cause };
        let connect = error.source().unwrap();
        assert!(connect.to_string().starts_with("connect to 127.0.0.1:1: "), "{connect}");
        let system = connect.source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!(system.raw_os_error(), Some(111));
        assert!(system.source().is_none());
        let own = Error::other(error);
        assert!(own.source().unwrap().to_string().starts_with("connect to 127.0.0.1:1: "));
        assert!(format!("{own:?}").starts_with("Other(Stage"), "{own:?}");
    }

    #[test]
    fn an_unexpected_line_is_shown_cut_short_and_escaped() {
        let error = Error::Unexpected {
            expected: "any line".to_owned(),
            line: [b"\x1b[2J\xff".repeat(1 << 17), b"!".to_vec()].concat().into(),
        };
        let shown = r"\u{1b}[2J\xff".repeat(16);
        let got = format!("\"{shown}\" and so on, 655361 bytes");
        assert_eq!(error.to_string(), format!("expected any line, got {got}"));
        let debug = format!("Unexpected {{ expected: \"any line\", line: {got} }}");
        assert_eq!(format!("{error:?}"), debug);
        assert_eq!(format!("{:?}", io::Error::from(error)).matches(&got).count(), 1);
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_error_is_no_larger_than_a_line_and_what_was_expected() {
        assert!(size_of::<Error>() <= 56, "{}", size_of::<Error>());
    }
}
