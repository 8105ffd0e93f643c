//! What calls that must not wait come to.

use crate::system::sys::errno::Errno;

/// What a call that must not wait came to.
#[derive(Debug)]
pub(crate) enum Attempt<T> {
    Done(Result<T, Errno>),
    WouldBlock,
}

/// What a read came to.
#[derive(Debug)]
pub(crate) enum Received {
    /// So many bytes.
    Some(usize),
    /// The same, and there were no more, where a call tells so.
    #[cfg_attr(windows, expect(dead_code, reason = "no call tells"))]
    All(usize),
    Nothing,
    End,
    Failed(Errno),
    /// Only a call that may wait can tell: `receive_waiting`.
    MayWait,
}

/// What a write of a stream came to.
#[derive(Debug)]
pub(crate) enum Pushed {
    Done(Result<usize, Errno>),
    /// The system has no room.
    Full,
    /// Only a call that may wait can tell: `send_waiting`.
    MayWait,
}
