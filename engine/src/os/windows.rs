//! What only Windows has: sockets and handles, lent and taken.

use std::os::windows::io::{AsHandle, AsSocket, BorrowedHandle, BorrowedSocket};

use crate::{
    File, Listener, Stream,
    system::sys::owned::{self, BorrowedDescriptor},
};

/// Lends the socket, e.g. to set its options; a socket that leads nowhere if the stream is a pipe, a
/// file or a console, or once it is closed.
///
/// From then on the engine takes it that others may have a copy, as of what was
/// [attached](crate::Handle::attach), and receive by themselves, unless
/// [`set_exclusive`](Stream::set_exclusive) says otherwise. And its number stays open as long as
/// a clone of the stream lives, also after a close: that ends the connection for the peer at once.
impl AsSocket for Stream {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        socket(self.lend())
    }
}

/// Lends the socket, e.g. to set its options. From then on the engine takes it that others may
/// accept from it, too, unless [`set_exclusive`](Listener::set_exclusive) says otherwise; and it
/// listens as long as a clone lives, also after a close.
impl AsSocket for Listener {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        socket(self.lend())
    }
}

/// Lends the handle, which stays open as long as a clone of the file lives.
///
/// # Panics
///
/// If the file is closed.
impl AsHandle for File {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.descriptor().lend_out().as_handle().expect("the file is open")
    }
}

/// The socket, or one that leads nowhere.
fn socket(lent: BorrowedDescriptor<'_>) -> BorrowedSocket<'_> {
    lent.as_socket()
        .or_else(|| owned::null().ok()?.as_socket())
        .expect("made when the engine was built")
}
