//! How a descriptor is registered for readiness: by its number, once, edge-triggered.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use mio::{Poll, Registry, Token, unix::SourceFd};
use rustix::io::Errno;

use crate::system::{
    fd_kind::FdKind,
    sys::{family, owned::OwnedDescriptor},
};

/// A descriptor in the list of those that are waited for.
#[derive(Debug)]
pub(crate) struct Registration(());

impl Registration {
    /// Registers a descriptor for both directions. None if it cannot be waited for: what poll(2)
    /// says of it is that it is ready, always.
    pub(crate) fn new(
        registry: &Registry,
        fd: BorrowedFd<'_>,
        fd_kind: FdKind,
        token: Token,
    ) -> io::Result<Option<Self>> {
        let interest = family::interest(fd, fd_kind)?;
        match registry.register(&mut SourceFd(&fd.as_raw_fd()), token, interest) {
            Ok(()) if family::has_hung_up(fd, fd_kind) => {
                Self(()).remove(registry, fd);
                Ok(None)
            }
            Ok(()) => Ok(Some(Self(()))),
            Err(error)
                if Errno::from_io_error(&error)
                    .is_some_and(|error| family::is_always_ready(fd_kind, error)) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A call has found nothing, or no room: the next event is asked for. Here it comes by itself.
    #[inline]
    #[expect(clippy::unused_self, reason = "another system must be asked")]
    pub(crate) const fn ask_again(&self, _for_room: bool) {}

    /// Takes the descriptor out of the list, before it goes: a duplicate elsewhere would keep it
    /// there. An error means that it is gone already.
    pub(crate) fn remove(self, registry: &Registry, fd: BorrowedFd<'_>) {
        drop(registry.deregister(&mut SourceFd(&fd.as_raw_fd())));
    }
}

/// What becomes readable when something happened to what is registered.
pub(crate) fn pollable(poll: &Poll) -> io::Result<OwnedDescriptor> {
    poll.registry().as_fd().try_clone_to_owned()
}
