//! What goes down to a driver and what comes up: plain data.

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::{
    pure::{address::Address, buffer::outgoing::Gather, datagram::Datagram, table::Id},
    system::{descriptor::Descriptor, driver::Release},
};

/// What a resource asks of the system.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Receive until cancelled, failed or ended; or until something has come, if only for `once`.
    Receive { once: bool },
    /// Send all or a part.
    Send(Box<Gather>),
    /// Accept until cancelled or failed, or until `most` connections have come.
    Accept { most: usize },
    /// Receive datagrams of up to `size` bytes until cancelled or failed, or until `most` have come.
    /// It ends as [`Receive`](Self::Receive) does.
    ReceiveFrom { most: usize, size: usize },
    /// Tell when a socket that had no room for a datagram has some.
    AwaitRoom,
    /// Connect the attached socket.
    Connect { address: Address },
    /// Try what the resource has in hand once more without waiting: what has arrived comes up in
    /// the next wait, however long that waits. Has no completion of its own.
    Probe,
    /// Do something to a file at a position of its own, for the operation above that has this id.
    /// Any number of these are in flight, in no order, each with one completion.
    File { operation: Id, task: FileTask },
    /// Wait until the descriptor is ready in this way, once, and do nothing to it. One of these at a
    /// time.
    Poll(Readiness),
    /// End the outgoing direction.
    ShutdownWrite,
    /// Release the descriptor.
    Close(Release),
}

/// What something is waited for to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// A read would not wait: there is something, or it has ended, or failed.
    Readable,
    /// A write would not wait: there is room, or it fails.
    Writable,
    /// The other end has ended its direction or is gone, whatever can still be read.
    PeerGone,
}

impl Readiness {
    /// The name of the method that waits for it.
    pub(crate) const fn operation(self) -> &'static str {
        match self {
            Self::Readable => "readable",
            Self::Writable => "writable",
            Self::PeerGone => "peer_gone",
        }
    }
}

/// What is to be done to a file.
#[derive(Debug)]
pub(crate) enum FileTask {
    /// Read up to so many bytes, or none at the file's end.
    Read { offset: u64, size: usize },
    /// Write all or a part. The bytes are a clone of what is kept above, so that dropping them here
    /// runs nobody's code.
    Write { offset: u64, bytes: Bytes },
    /// See to it that what was written is on the medium.
    Sync,
}

/// What has become of it. A write that was cancelled has written what it says.
#[derive(Debug)]
pub(crate) enum FileDone {
    Read(io::Result<Bytes>),
    Written(io::Result<usize>),
    Synced(io::Result<()>),
}

impl FileDone {
    pub(crate) const fn has_failed(&self) -> bool {
        matches!(self, Self::Read(Err(_)) | Self::Written(Err(_)) | Self::Synced(Err(_)))
    }
}

/// Which of a resource's operations to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Receive,
    Send,
    Accept,
    Connect,
    Poll,
    /// What was submitted for this operation on a file.
    File(Id),
}

/// What came back for a resource.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) resource: Id,
    pub(crate) event: Event,
}

#[derive(Debug)]
pub(crate) enum Event {
    /// One or more bytes; the reception goes on.
    Received(Bytes),
    /// One or more datagrams; the reception goes on.
    Arrived(Vec<Datagram>),
    /// The reception is over.
    ReceiveEnded(Ended),
    /// There may be room for a datagram, or waiting for it was cancelled or cannot be had.
    Room(io::Result<()>),
    /// The send is over: how many bytes the system took, and the memory.
    Sent {
        gather: Box<Gather>,
        result: io::Result<usize>,
    },
    /// A connection; the accepting goes on.
    Accepted(Arc<Descriptor>),
    /// The accepting is over: cancelled or all there (no error), or failed.
    AcceptEnded(Option<io::Error>),
    Connected(io::Result<()>),
    /// It is ready, or cannot be waited for, or the wait was cancelled.
    Polled(io::Result<()>),
    ShutDown(io::Result<()>),
    File {
        operation: Id,
        done: FileDone,
    },
    Closed,
    /// Nothing of it is under way any more, and closing it is left to who hears this, because that
    /// may wait.
    LetGo(Arc<Descriptor>),
}

/// Why a reception is over.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It was cancelled, or has brought all that it was for.
    Stopped,
    EndOfStream,
    Failed(io::Error),
}
