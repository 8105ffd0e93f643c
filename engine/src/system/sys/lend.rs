//! [`AsDescriptor`]: what a program lends of the system's.

use std::io;

use crate::system::sys::owned::{self, OwnedDescriptor};

/// What lends a descriptor of the system's: on Unix all that is [`AsFd`](std::os::fd::AsFd), on
/// Windows all that is `AsSocket`.
///
/// For [`readable`](crate::Handle::readable) and [`writable`](crate::Handle::writable), so that
/// programs that use them can be for both.
///
/// ```
/// use facade_engine::{Callback, Cancel, Handle, os::AsDescriptor};
///
/// fn poke(engine: &Handle, socket: impl AsDescriptor) -> Cancel {
///     engine.writable(socket, Callback::ignore())
/// }
/// ```
pub trait AsDescriptor {
    /// Another number for the same open file or socket.
    ///
    /// # Errors
    ///
    /// What dup(2) or its like says: that there are too many.
    fn copy(&self) -> io::Result<OwnedDescriptor>;

    /// What errors call it.
    fn describe(&self) -> String;
}

#[cfg(unix)]
impl<T: std::os::fd::AsFd> AsDescriptor for T {
    fn copy(&self) -> io::Result<OwnedDescriptor> {
        owned::duplicate(self.as_fd())
    }

    fn describe(&self) -> String {
        owned::label(self.as_fd()).to_string()
    }
}

#[cfg(windows)]
impl<T: std::os::windows::io::AsSocket> AsDescriptor for T {
    fn copy(&self) -> io::Result<OwnedDescriptor> {
        owned::duplicate(owned::BorrowedDescriptor::Socket(self.as_socket()))
    }

    fn describe(&self) -> String {
        owned::label(owned::BorrowedDescriptor::Socket(self.as_socket())).to_string()
    }
}
