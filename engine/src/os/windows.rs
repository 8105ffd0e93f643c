//! What only Windows has: sockets and handles, lent and taken.

use std::os::windows::io::{AsHandle, AsSocket, BorrowedHandle, BorrowedSocket};

use crate::{
    Engine, Error, File, Listener, Result, Stream, UdpSocket,
    system::sys::owned::{self, BorrowedDescriptor},
};

/// Waiting for an engine inside a loop of the program's own.
pub trait EngineExt {
    /// A handle that is signalled when a turn would do something; see
    /// [`Engine::next_deadline`]. To be waited for, by WaitForSingleObject, MsgWaitForMultipleObjects
    /// and their kin, and for nothing else: it is the engine's completion port.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] on the readiness driver, whose wait nothing else can stand in for.
    fn waitable(&self) -> Result<BorrowedHandle<'_>>;
}

impl EngineExt for Engine {
    fn waitable(&self) -> Result<BorrowedHandle<'_>> {
        self.lend().as_handle().ok_or_else(|| Error::unsupported("waiting for the mio driver"))
    }
}

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

/// Lends the socket, e.g. to set its options. From then on the engine takes it that others may
/// receive from it, too, unless [`set_exclusive`](UdpSocket::set_exclusive) says otherwise; and it
/// stays bound as long as a clone lives, also after a close.
impl AsSocket for UdpSocket {
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
