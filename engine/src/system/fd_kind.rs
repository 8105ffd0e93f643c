//! [`FdKind`]: what kind of thing a descriptor is, and so how it is read and written.

use std::fmt;

/// What kind of thing a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FdKind {
    /// A stream socket, non-blocking. A short read has emptied it.
    Socket {
        /// TCP, as against Unix.
        tcp: bool,
    },
    /// A pipe. Non-blocking, unless others share its flags: then each access says that it is not to
    /// wait.
    Pipe {
        /// Others share its open file.
        shared: bool,
    },
    /// A terminal; shared or not as a pipe is. No access to one can say that it is not to wait, so
    /// that a shared one is left to a thread.
    Terminal {
        /// Others share its open file.
        shared: bool,
    },
    /// A regular file or block device: a stream at its cursor, or read and written by position.
    File {
        /// Writes go to the end, wherever the cursor is.
        append: bool,
    },
    /// Something without a position, always ready as the null device is, or not. Never opened a
    /// second time, which may have effects of its own. Blocking or not as it was opened.
    Device {
        /// It was not opened to be non-blocking.
        shared: bool,
    },
    /// A listening socket.
    Listener,
    /// Anything at all, which is only waited for: until it can be read, or written.
    Watched {
        /// Until it can be written.
        for_room: bool,
    },
    /// A socket of datagrams, non-blocking.
    Datagrams {
        /// Unix, as against UDP.
        unix: bool,
    },
}

impl FdKind {
    /// Whether it is read and written by position, one operation at a time.
    pub(crate) const fn is_file(self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// Whether its flags are others' too, so that it may block.
    pub(crate) const fn is_shared(self) -> bool {
        matches!(
            self,
            Self::Pipe { shared: true }
                | Self::Terminal { shared: true }
                | Self::Device { shared: true }
        )
    }

    /// Whether what is written goes to its end.
    pub(crate) const fn appends(self) -> bool {
        matches!(self, Self::File { append: true })
    }

    pub(crate) const fn is_tcp(self) -> bool {
        matches!(self, Self::Socket { tcp: true })
    }

    pub(crate) const fn is_of_datagrams(self) -> bool {
        matches!(self, Self::Datagrams { .. })
    }

    pub(crate) const fn is_socket(self) -> bool {
        matches!(self, Self::Socket { .. })
    }
}

impl fmt::Display for FdKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socket { tcp: true } => "TCP socket",
            Self::Socket { tcp: false } => "Unix socket",
            Self::Pipe { .. } => "pipe",
            Self::Terminal { .. } => "terminal",
            Self::File { .. } => "file",
            Self::Device { .. } => "device",
            Self::Listener => "listener",
            Self::Watched { .. } => "watched",
            Self::Datagrams { unix: false } => "UDP socket",
            Self::Datagrams { unix: true } => "Unix datagram socket",
        })
    }
}
