//! The codes that systems have for what goes wrong, and what each says of them.

use std::io;

#[cfg(unix)]
mod system {
    pub(super) const REFUSED: i32 = libc::ECONNREFUSED;
    pub(super) const RESET: i32 = libc::ECONNRESET;
    pub(super) const IN_USE: i32 = libc::EADDRINUSE;
    pub(super) const NO_BUFFERS: i32 = libc::ENOBUFS;
    pub(super) const NOBODY_READS: &[i32] = &[libc::EPIPE];
}

#[cfg(windows)]
mod system {
    use windows_sys::Win32::{Foundation::ERROR_BROKEN_PIPE, Networking::WinSock};

    pub(super) const REFUSED: i32 = WinSock::WSAECONNREFUSED;
    pub(super) const RESET: i32 = WinSock::WSAECONNRESET;
    pub(super) const IN_USE: i32 = WinSock::WSAEADDRINUSE;
    pub(super) const NO_BUFFERS: i32 = WinSock::WSAENOBUFS;
    pub(super) const NOBODY_READS: &[i32] = &[
        ERROR_BROKEN_PIPE.cast_signed(),
        WinSock::WSAECONNABORTED,
        WinSock::WSAECONNRESET,
        WinSock::WSAESHUTDOWN,
    ];
}

/// Nobody listens at an address.
pub const REFUSED: i32 = system::REFUSED;
/// The peer has reset the connection.
pub const RESET: i32 = system::RESET;
/// Somebody listens at an address already.
pub const IN_USE: i32 = system::IN_USE;
/// There is no memory for what is to be sent.
pub const NO_BUFFERS: i32 = system::NO_BUFFERS;
/// What a send may fail with where the other end is gone.
pub const NOBODY_READS: &[i32] = system::NOBODY_READS;

/// What the system says of a code.
pub fn words(code: i32) -> String {
    io::Error::from_raw_os_error(code).to_string()
}
