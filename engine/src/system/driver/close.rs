//! How a descriptor is closed, and what that does to a connection.

use std::sync::Arc;

use crate::system::{
    descriptor::Descriptor,
    driver::{Event, Release},
    fd_kind::FdKind,
    sys::syscall,
};

/// Ends what closing ends, and closes what a driver has let go of, whoever still holds the number.
/// What may have to wait for that is given back, to be closed where nobody else waits. It is nothing
/// if it is a pipe that was closed with its outgoing direction.
pub(super) fn close(
    source: Option<(Arc<Descriptor>, FdKind)>,
    release: Release,
    block: &mut [u8],
) -> Event {
    let Some((descriptor, fd_kind)) = source else { return Event::Closed };
    let fd = descriptor.borrow();
    match release {
        Release::Close => {}
        Release::Drain => syscall::end_in_order(fd, block),
        Release::Reset => syscall::reset_by_close(fd),
        Release::ResetForAll => syscall::reset(fd),
    }
    let resets = matches!(release, Release::Reset | Release::ResetForAll);
    if !resets && may_wait_to_close(&descriptor, fd_kind) {
        return Event::LetGo(descriptor);
    }
    descriptor.release();
    Event::Closed
}

/// Whether close(2) may wait: for a file's server, a line to take what was written, or the peer, if
/// the program has set SO_LINGER.
pub(crate) fn may_wait_to_close(descriptor: &Descriptor, fd_kind: FdKind) -> bool {
    match fd_kind {
        FdKind::File { .. } | FdKind::Terminal { .. } | FdKind::Device { .. } => true,
        FdKind::Pipe { .. } | FdKind::Listener | FdKind::Datagrams { .. } => false,
        // Nobody else can have set it, so that others need not be asked.
        FdKind::Socket { .. } | FdKind::Watched { .. } => {
            descriptor.may_have_options() && syscall::lingers(descriptor.borrow())
        }
    }
}

/// Ends a connection in good order, so that a close that follows resets nothing; it is not closed
/// yet.
pub(crate) fn end_in_order(descriptor: &Descriptor, block: &mut [u8]) {
    if !descriptor.end_simulated() {
        syscall::end_in_order(descriptor.borrow(), block);
    }
}
