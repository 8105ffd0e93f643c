//! [`Limits`]: how much a peer can make the engine keep.

/// Bounds on everything that a peer, or a program that outruns its peer, can fill.
///
/// Set for a whole engine by [`Builder::limits`](crate::Builder::limits) and for one stream by
/// [`Handle::set_limits`](crate::Handle::set_limits).
///
/// ```
/// use facade_engine::Limits;
///
/// let limits = Limits { line: 4096, ..Limits::default() };
/// assert_eq!(limits.all, 16 * 1024 * 1024);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes that a read by pattern (line, delimiter, glob, regex, a matcher of one's own)
    /// takes, delimiter and skipped lines included; beyond it the read fails with
    /// [`TooLong`](crate::Error::TooLong). 1 MiB.
    pub line: usize,
    /// The most bytes that [`read_all`](crate::Handle::read_all) and
    /// [`read_exact`](crate::Handle::read_exact) take. 16 MiB.
    pub all: usize,
    /// How far a stream that nobody reads is read ahead, in bytes; what one turn brings comes on
    /// top, at most 128 KiB on mio and 192 KiB on io_uring (2,112 KiB before Linux 6.17, which
    /// cannot be told to stop earlier). 64 KiB. With 0 nothing is received but for a read that
    /// waits, one receive at a time; what that brings beyond the read stays unread, as ever.
    pub unread: usize,
    /// How many bytes, up to the end of a write, may be unsent when it succeeds. 64 KiB. With 0 a
    /// write succeeds when the system has all of it.
    pub unsent: usize,
    /// A write behind more unsent bytes than this fails with
    /// [`Overloaded`](crate::Error::Overloaded), and so does a datagram behind others that wait for
    /// room. 16 MiB.
    pub queued: usize,
    /// How many connections that nobody has accepted yet are taken from the system. 64.
    pub accepted: usize,
    /// How many datagrams that nobody has received yet are taken from the system, as long as they
    /// are fewer bytes than [`unread`](Self::unread). None are taken ahead from a socket that others
    /// may hold, too. 64.
    pub datagrams: usize,
    /// How many jobs may wait for a worker, in each lane (work, names, files), before the next one
    /// is [`Overloaded`](crate::Error::Overloaded); and how many operations on files by position
    /// may be under way. 65,536. Of the engine as a whole;
    /// [`Builder::workers`](crate::Builder::workers) is how many threads do them.
    pub jobs: usize,
}

/// Which of a stream's limits bounds a read.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    /// Its size is its limit.
    None,
    Line,
    All,
}

impl Limits {
    /// What bounds a read.
    pub(crate) const fn of_read(&self, bound: Bound) -> usize {
        match bound {
            Bound::None => usize::MAX,
            Bound::Line => self.line,
            Bound::All => self.all,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 1 << 20,
            all: 16 << 20,
            unread: 64 << 10,
            unsent: 64 << 10,
            queued: 16 << 20,
            accepted: 64,
            datagrams: 64,
            jobs: 65_536,
        }
    }
}
