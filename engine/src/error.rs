//! [`Error`]: everything that an operation can fail with, and what to do about it.

use std::{fmt, io, sync::Arc};

use bytes::Bytes;

/// The result of an operation.
///
/// It has one parameter, as [`std::io::Result`] has: a block that ends with `Result::Ok(())` has said
/// what its `?` makes of errors.
///
/// ```
/// use facade_engine::Result;
///
/// fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
///     let listen = || {
///         facade_engine::Engine::new()?.listen("127.0.0.1:0".parse().unwrap())?;
///         Result::Ok(())
///     };
///     Ok(listen()?)
/// }
/// ```
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed.
///
/// Cheap to clone: system errors are shared. The `Display` text does not repeat the cause, which
/// [`std::error::Error::source`] gives.
///
/// ```
/// use facade_engine::{Callback, Engine, Error, Result, Stream};
/// use std::io::ErrorKind;
///
/// let engine = Engine::new()?;
/// # let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
/// engine.connect(nobody, Callback::from_fn(|_, outcome: Result<Stream>| match outcome {
///     Err(Error::Io { cause, .. }) if cause.kind() == ErrorKind::ConnectionRefused => {}
///     outcome => panic!("{outcome:?}"),
/// }));
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone, thiserror::Error)]
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

    /// The read would have to take more bytes than its limit allows. The bytes stay unread, so the
    /// same read fails again: raise the limit, consume some bytes, or close the stream.
    #[error("longer than the limit of {limit} bytes")]
    TooLong {
        /// The limit that was in force when the read was submitted, in bytes.
        limit: usize,
    },

    /// The next line was not the expected one. It stays unread, so that another read can look at
    /// it.
    #[error("expected {expected}, got {:?}", String::from_utf8_lossy(.line))]
    Unexpected {
        /// What was expected, as the pattern writes itself.
        expected: String,
        /// A copy of the line that came instead, without its line end.
        line: Bytes,
    },

    /// The system took a part of the write before it was cancelled, expired or failed. The rest is
    /// kept: [`take_unsent`](crate::Handle::take_unsent) hands it over and lets later writes go on.
    #[error("only {written} bytes were written")]
    PartialWrite {
        /// How many bytes of this write the system took.
        written: usize,
        /// Why the write ended early.
        #[source]
        cause: Box<Self>,
    },

    /// An earlier stage of the chain failed, so this one never began.
    #[error("stage {stage} of the chain failed")]
    Stage {
        /// The stage that failed, counted from 1.
        stage: usize,
        /// What it failed with.
        #[source]
        cause: Box<Self>,
    },

    /// The name could not be resolved. `cause` tells an unknown name from a resolver that could
    /// not be reached.
    #[error("cannot resolve {host:?}")]
    Resolve {
        /// The host as it was given.
        host: String,
        /// The resolver's own error.
        #[source]
        cause: Arc<io::Error>,
    },

    /// The system refused. For a stream this is final: what was received before it can still be
    /// read.
    #[error("{operation} failed")]
    Io {
        /// What was being done: `"read"`, `"write"`, `"connect"`, `"accept"`, ...
        operation: &'static str,
        /// The system's error.
        #[source]
        cause: Arc<io::Error>,
    },

    /// The stream or listener was closed, detached, or shut down for writing.
    #[error("closed")]
    Closed,

    /// The engine is gone, or was dropped while the operation was pending.
    #[error("the engine is gone")]
    EngineClosed,

    /// A queue that a peer or a program can fill is full: bytes unsent on a stream, or work waiting
    /// for a worker. Nothing was taken; try again when some of it is done.
    #[error("overloaded")]
    Overloaded,

    /// The closure given to [`submit_work`](crate::Handle::submit_work) panicked on its worker. The
    /// panic hook has printed the message; the worker lives on.
    #[error("the work panicked")]
    Panicked,

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

impl Error {
    /// An [`Error::Io`] that names what was being done.
    pub(crate) fn io(operation: &'static str, cause: impl Into<io::Error>) -> Self {
        Self::Io { operation, cause: Arc::new(cause.into()) }
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

/// Keeps the kind that callers of `std::io` traits look at; the whole error is the payload, so that
/// [`io::Error::downcast`] gives it back.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Cancelled => io::ErrorKind::Interrupted,
            Error::TimedOut => io::ErrorKind::TimedOut,
            Error::EndOfStream => io::ErrorKind::UnexpectedEof,
            Error::TooLong { .. } | Error::Unexpected { .. } => io::ErrorKind::InvalidData,
            Error::PartialWrite { cause, .. } | Error::Stage { cause, .. } => {
                Self::from((**cause).clone()).kind()
            }
            Error::Resolve { cause, .. } | Error::Io { cause, .. } => cause.kind(),
            Error::Closed | Error::EngineClosed => io::ErrorKind::NotConnected,
            Error::Overloaded => io::ErrorKind::ResourceBusy,
            Error::Panicked => io::ErrorKind::Other,
            Error::InvalidInput { .. } => io::ErrorKind::InvalidInput,
            Error::Unsupported { .. } => io::ErrorKind::Unsupported,
        };
        // `Interrupted` makes std's own loops try again for ever, so a cancelled read must not say it.
        let kind = if kind == io::ErrorKind::Interrupted { io::ErrorKind::Other } else { kind };
        Self::new(kind, error)
    }
}
