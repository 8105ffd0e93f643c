//! What calls that must not wait come to.

use crate::{pure::address::Address, system::sys::errno::Errno};

/// What a call that must not wait came to.
#[derive(Debug)]
pub(crate) enum Attempt<T> {
    Done(Result<T, Errno>),
    WouldBlock,
}

/// A datagram that was received into a block.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// How much of it is in the block.
    pub(crate) len: usize,
    /// That is not all.
    pub(crate) truncated: bool,
    pub(crate) from: Address,
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
