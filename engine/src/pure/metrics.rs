//! [`Metrics`]: how much an engine has done, and has before it.

/// How much an engine has done since it was built, and how much it has before it: for whoever keeps
/// an eye on a program that runs for long.
///
/// From [`Engine::metrics`](crate::Engine::metrics) and [`Local::metrics`](crate::Local::metrics).
/// What is pending, one by one, is told by [`Engine::pending`](crate::Engine::pending).
///
/// ```
/// use facade_engine::{Callback, Engine};
/// use std::{io::Write, os::unix::net::UnixStream};
///
/// let engine = Engine::builder().count_operations(true).build()?;
/// let (mut peer, ours) = UnixStream::pair().unwrap();
/// let stream = engine.attach(ours)?;
/// peer.write_all(b"hello\n").unwrap();
/// engine.read_line(&stream, Callback::ignore());
/// engine.run()?;
/// let metrics = engine.metrics();
/// assert_eq!((metrics.bytes_received, metrics.callbacks), (6, 1));
/// let reads = metrics.operations.iter().find(|one| one.operation == "read_line").unwrap();
/// assert_eq!((reads.succeeded, reads.failed), (1, 0));
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Turns, each of which looks at the system once or more.
    pub turns: u64,
    /// Callbacks, posts and calls of handlers that have run.
    pub callbacks: u64,
    /// Bytes that the system has brought for streams, whether somebody has read them or not.
    pub bytes_received: u64,
    /// Bytes of streams that the system has taken.
    pub bytes_sent: u64,
    /// Connections that the system has brought, whether somebody has accepted them or not.
    pub connections_accepted: u64,
    /// Datagrams that the system has brought.
    pub datagrams_received: u64,
    /// Datagrams that the system has taken.
    pub datagrams_sent: u64,
    /// How often the system brought something for which the engine had already said that it does not
    /// wait any more, as it does when a read is cancelled. Nothing of that is lost: it is there for the
    /// next operation.
    pub late_completions: u64,
    /// What is pending now, as [`Turn::pending`](crate::Turn::pending).
    pub pending: usize,
    /// Callbacks that have their outcome and have not run yet.
    pub ready: usize,
    /// Bytes of all streams that nobody has read yet.
    pub unread: usize,
    /// Bytes of all streams, and of datagrams that wait for room, that the system has not taken yet.
    pub unsent: usize,
    /// Streams, listeners, sockets of datagrams, files and processes that the engine has now.
    pub resources: usize,
    /// The threads for what only threads can do.
    pub lanes: Vec<LaneMetrics>,
    /// How operations ended whose callbacks have been told, by their names in alphabetical order. Empty
    /// unless [`Builder::count_operations`](crate::Builder::count_operations) says that they are
    /// counted.
    pub operations: Vec<OperationMetrics>,
}

/// How the operations of one name ended, see [`Metrics::operations`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationMetrics {
    /// The name of the method, such as `"read_line"`.
    pub operation: &'static str,
    /// How many have succeeded.
    pub succeeded: u64,
    /// How many have failed, but for those that were cancelled or timed out.
    pub failed: u64,
    /// How many ended with [`Cancelled`](crate::Error::Cancelled).
    pub cancelled: u64,
    /// How many ended with [`TimedOut`](crate::Error::TimedOut).
    pub timed_out: u64,
}

impl OperationMetrics {
    pub(crate) const fn none_of(operation: &'static str) -> Self {
        Self { operation, succeeded: 0, failed: 0, cancelled: 0, timed_out: 0 }
    }
}

/// One kind of threads, see [`Metrics::lanes`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneMetrics {
    /// What its threads are called: `"facade-names"`, `"facade-files"`, `"facade-work"`,
    /// `"facade-devices"`, `"facade-spawn"`, `"facade-closing"`.
    pub name: &'static str,
    /// Jobs that wait for a thread.
    pub waiting: usize,
    /// Jobs that run.
    pub running: usize,
}

/// What an engine counts as it goes.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) connections_accepted: u64,
    pub(crate) datagrams_received: u64,
    pub(crate) datagrams_sent: u64,
    pub(crate) late_completions: u64,
}
