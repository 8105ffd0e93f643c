//! How the system does it: the boundary between pure state above and system calls below.
//!
//! Resources (streams and listeners) talk to the driver; operations wait at resources. A closed set
//! of plain data goes down and completions come up. Readiness is emulated *below* this line, so that
//! every driver looks the same from above.
//!
//! # The contract of a driver
//!
//! - **D1** Each submitted operation ends with exactly one terminal completion, with everything it
//!   owned. Receiving and accepting are *continuing*: they bring any number of completions before
//!   the terminal one, until they are cancelled, fail, or the stream ends.
//! - **D2** Completions appear only in [`Driver::wait`] and [`Driver::take_done`]. What could finish
//!   at once is tried at once, but still queued.
//! - **D3** Between submission and terminal completion the driver alone touches the memory.
//! - **D4** Cancelling what is unknown or finished does nothing. What is cancelled completes as
//!   cancelled *or with its true result*: bytes and connections that arrived come up.
//! - **D5** `EINTR` never comes up, and `EAGAIN` only from connecting to a Unix socket whose backlog
//!   is full. Short reads and writes do come up. A wait that the kernel refuses for want of memory
//!   brings nothing, and is an error only if that lasts (`uring/refusals.rs`).
//! - **D6** Of one resource, at most one send and one reception are submitted at a time.
//! - **D7** No submission and no cancel is lost, however full the system's queues are.
//! - **D8** Dropping a driver first makes the system stop, then frees; what the system will not give
//!   back is leaked.
//! - **D9** [`Driver::send_now`] is the one call that may have its outcome inside: what a socket takes
//!   at once needs no memory handed over and back. It is only asked while no send is submitted.
//! - **D10** A system tells a failure once. If a send is told it, its completion comes up before the
//!   end that the reception finds instead.
//!
//! Time is not the driver's: `wait` takes a timeout, deadlines live above.

use std::{fmt, io, os::fd::OwnedFd, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    pure::{address::Address, buffer::outgoing::Gather, table::Id},
    system::{descriptor::Descriptor, fd_kind::Medium, pool::Pool},
};

pub(crate) mod blocks;
mod mio;
pub(crate) mod perform;
#[cfg(feature = "sim")]
mod sim;
#[cfg(all(target_os = "linux", feature = "io-uring"))]
mod uring;

/// What a resource asks of the system.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Receive until cancelled, failed or ended; or until something has come, if only for `once`.
    Receive { once: bool },
    /// Send all or a part.
    Send(Box<Gather>),
    /// Accept until cancelled or failed, or until `most` connections have come.
    Accept { most: usize },
    /// Connect the attached socket.
    Connect { address: Address },
    /// Try what the resource has in hand once more without waiting: what has arrived comes up in the
    /// next wait, however long that waits. Has no completion of its own.
    Probe,
    /// Do something to a file at a position of its own, for the operation above that has this id.
    /// Any number of these are in flight, in no order, each with one completion.
    File { operation: Id, task: FileTask },
    /// End the outgoing direction.
    ShutdownWrite,
    /// Release the descriptor.
    Close(Release),
}

/// How a descriptor is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// By close(2) and nothing else: whoever else holds it goes on.
    Close,
    /// Having ended the outgoing direction and taken what has arrived, because closing over unread
    /// bytes makes the system reset the connection, and the peer lose what was sent.
    Drain,
    /// Having thrown away what the system holds, and by a reset of the connection.
    Reset,
    /// The same of a connection that others may hold, too: it is reset for all of them, and now.
    ResetForAll,
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
    /// The reception is over.
    ReceiveEnded(Ended),
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
    /// It was cancelled, or was for once and has brought something.
    Stopped,
    EndOfStream,
    Failed(io::Error),
}

/// A driver; the module's documentation is its contract.
pub(crate) trait Driver {
    /// Makes a descriptor known under the id of its resource.
    fn attach(&mut self, resource: Id, descriptor: Arc<Descriptor>, medium: Medium);
    /// Takes the descriptor back, of which no operation is pending.
    fn detach(&mut self, resource: Id) -> Option<Arc<Descriptor>>;
    /// The descriptor of a resource, to look at.
    fn descriptor(&self, resource: Id) -> Option<&Arc<Descriptor>>;
    /// Begins an operation. Never fails and never completes inside.
    fn submit(&mut self, resource: Id, operation: Operation);
    /// Sends what the system takes at once, and returns how much that was. None if this driver
    /// wants it submitted, or if nothing can be said before the system has room.
    fn send_now(&mut self, resource: Id, bytes: &[u8]) -> Option<io::Result<usize>>;
    /// Requests that an operation stop.
    fn cancel(&mut self, resource: Id, role: Role);
    /// Brings completions; waits for one at most `timeout` (for ever if none), or for the waker.
    fn wait(
        &mut self,
        timeout: Option<Duration>,
        completions: &mut Vec<Completion>,
    ) -> io::Result<()>;
    /// Hands the system what was submitted and would otherwise be handed over by the next wait.
    fn flush(&mut self);
    /// Brings the completions that are queued already, without asking the system for more.
    fn take_done(&mut self, completions: &mut Vec<Completion>);
    /// Whether a wait would return at once because something is queued.
    fn has_work(&mut self) -> bool;
    /// Whether something is under way that ends by itself: threads at work on files, late sends.
    fn is_at_work(&self) -> bool;
    /// Ends a wait, from any thread.
    fn waker(&self) -> Waker;
    /// A descriptor that becomes readable when a wait would bring something, once it is
    /// [watched](Self::watch).
    fn as_pollable(&self) -> io::Result<OwnedFd>;
    /// From now on somebody waits for the descriptor instead of by `wait`.
    fn watch(&mut self) -> io::Result<()>;
    /// The name that `FACADE_DRIVER` knows it by.
    fn name(&self) -> &'static str;
}

/// Ends a driver's wait from any thread.
#[derive(Clone)]
pub(crate) enum Waker {
    Mio(Arc<::mio::Waker>),
    #[cfg(all(target_os = "linux", feature = "io-uring"))]
    Uring(Arc<uring::Bell>),
    #[cfg(feature = "sim")]
    Sim(Arc<crate::system::sim::bell::Bell>),
}

impl Waker {
    pub(crate) fn wake(&self) {
        match self {
            // Fails only when the counter is full, which means that it is awake already.
            Self::Mio(waker) => drop(waker.wake()),
            #[cfg(all(target_os = "linux", feature = "io-uring"))]
            Self::Uring(bell) => bell.ring(),
            #[cfg(feature = "sim")]
            Self::Sim(bell) => bell.ring(),
        }
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// The driver chosen at run time. An enum, so that the only driver in use costs no indirection.
#[cfg_attr(
    all(target_os = "linux", feature = "io-uring"),
    expect(clippy::large_enum_variant, reason = "there is one in a whole engine")
)]
pub(crate) enum AnyDriver {
    Mio(mio::Mio),
    #[cfg(all(target_os = "linux", feature = "io-uring"))]
    Uring(uring::Uring),
    #[cfg(feature = "sim")]
    Sim(sim::Sim),
}

/// Calls a method of the driver in use.
macro_rules! in_use {
    ($self:ident, $driver:ident => $call:expr) => {
        match $self {
            Self::Mio($driver) => $call,
            #[cfg(all(target_os = "linux", feature = "io-uring"))]
            Self::Uring($driver) => $call,
            #[cfg(feature = "sim")]
            Self::Sim($driver) => $call,
        }
    };
}

impl AnyDriver {
    /// The readiness driver.
    pub(crate) fn mio(pool: Pool) -> io::Result<Self> {
        mio::Mio::new(pool).map(Self::Mio)
    }

    /// The driver of an engine that lives on a host of this network.
    #[cfg(feature = "sim")]
    pub(crate) fn sim(
        network: crate::system::sim::Network,
        host: usize,
        engine: usize,
        bell: Arc<crate::system::sim::bell::Bell>,
        workers: crate::system::sim::workers::Workers,
    ) -> Self {
        Self::Sim(sim::Sim::new(network, host, engine, bell, workers))
    }

    /// The completion driver of Linux, where it can be had.
    #[cfg(all(target_os = "linux", feature = "io-uring"))]
    pub(crate) fn io_uring() -> io::Result<Self> {
        uring::Uring::new().map(Self::Uring)
    }

    /// Left out, or another system's.
    #[cfg(not(all(target_os = "linux", feature = "io-uring")))]
    pub(crate) fn io_uring() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Driver for AnyDriver {
    fn attach(&mut self, resource: Id, descriptor: Arc<Descriptor>, medium: Medium) {
        in_use!(self, driver => driver.attach(resource, descriptor, medium));
    }

    fn detach(&mut self, resource: Id) -> Option<Arc<Descriptor>> {
        in_use!(self, driver => driver.detach(resource))
    }

    fn descriptor(&self, resource: Id) -> Option<&Arc<Descriptor>> {
        in_use!(self, driver => driver.descriptor(resource))
    }

    #[inline]
    fn submit(&mut self, resource: Id, operation: Operation) {
        in_use!(self, driver => driver.submit(resource, operation));
    }

    #[inline]
    fn send_now(&mut self, resource: Id, bytes: &[u8]) -> Option<io::Result<usize>> {
        in_use!(self, driver => driver.send_now(resource, bytes))
    }

    fn cancel(&mut self, resource: Id, role: Role) {
        in_use!(self, driver => driver.cancel(resource, role));
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        completions: &mut Vec<Completion>,
    ) -> io::Result<()> {
        in_use!(self, driver => driver.wait(timeout, completions))
    }

    fn flush(&mut self) {
        in_use!(self, driver => driver.flush());
    }

    fn take_done(&mut self, completions: &mut Vec<Completion>) {
        in_use!(self, driver => driver.take_done(completions));
    }

    fn has_work(&mut self) -> bool {
        in_use!(self, driver => driver.has_work())
    }

    fn is_at_work(&self) -> bool {
        in_use!(self, driver => driver.is_at_work())
    }

    fn waker(&self) -> Waker {
        in_use!(self, driver => driver.waker())
    }

    fn as_pollable(&self) -> io::Result<OwnedFd> {
        in_use!(self, driver => driver.as_pollable())
    }

    fn watch(&mut self) -> io::Result<()> {
        in_use!(self, driver => driver.watch())
    }

    fn name(&self) -> &'static str {
        in_use!(self, driver => driver.name())
    }
}
