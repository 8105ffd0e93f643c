//! What differs from system to system: descriptors on Unix, sockets and handles on Windows.
//!
//! On Unix [`Stream`](crate::Stream), [`Listener`](crate::Listener), [`File`](crate::File) and
//! [`Engine`](crate::Engine) lend their descriptors by [`AsFd`](std::os::fd::AsFd), and
//! [`attach`](crate::Handle::attach) takes whatever can be turned into an
//! [`OwnedFd`](std::os::fd::OwnedFd); `unix::StreamExt` says who is at the other end of a Unix
//! socket. On Windows streams and listeners lend their sockets by
//! `AsSocket`, files their handles by `AsHandle`, and [`OwnedDescriptor`] is a socket or a handle.

#[cfg(unix)]
pub mod unix;
#[cfg(windows)]
pub mod windows;

pub use crate::system::sys::{lend::AsDescriptor, owned::OwnedDescriptor};
