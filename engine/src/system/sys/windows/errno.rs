//! The numbers of the system's errors: those of Winsock, and of Win32 for everything else.

use std::{fmt, io};

use windows_sys::Win32::{Foundation as win32, Networking::WinSock as winsock};

/// An error by its number, under the names that errno(3) has for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(i32);

/// Numbers of Win32 are unsigned, and small.
const fn of(number: u32) -> Errno {
    Errno(number.cast_signed())
}

impl Errno {
    pub(crate) const ACCESS: Self = Self(winsock::WSAEACCES);
    #[cfg(feature = "sim")]
    pub(crate) const ADDRINUSE: Self = Self(winsock::WSAEADDRINUSE);
    #[cfg(feature = "sim")]
    pub(crate) const ADDRNOTAVAIL: Self = Self(winsock::WSAEADDRNOTAVAIL);
    pub(crate) const AFNOSUPPORT: Self = Self(winsock::WSAEAFNOSUPPORT);
    pub(crate) const AGAIN: Self = Self(winsock::WSAEWOULDBLOCK);
    pub(crate) const BADF: Self = of(win32::ERROR_INVALID_HANDLE);
    pub(crate) const BUSY: Self = of(win32::ERROR_BUSY);
    pub(crate) const CANCELED: Self = of(win32::ERROR_OPERATION_ABORTED);
    pub(crate) const CONNABORTED: Self = Self(winsock::WSAECONNABORTED);
    pub(crate) const CONNREFUSED: Self = Self(winsock::WSAECONNREFUSED);
    pub(crate) const CONNRESET: Self = Self(winsock::WSAECONNRESET);
    pub(crate) const HANDLE_EOF: Self = of(win32::ERROR_HANDLE_EOF);
    #[cfg(feature = "sim")]
    pub(crate) const DESTADDRREQ: Self = Self(winsock::WSAEDESTADDRREQ);
    pub(crate) const HOSTDOWN: Self = Self(winsock::WSAEHOSTDOWN);
    pub(crate) const HOSTUNREACH: Self = Self(winsock::WSAEHOSTUNREACH);
    pub(crate) const INVAL: Self = Self(winsock::WSAEINVAL);
    pub(crate) const IO_PENDING: Self = of(win32::ERROR_IO_PENDING);
    pub(crate) const MFILE: Self = Self(winsock::WSAEMFILE);
    pub(crate) const MORE_DATA: Self = of(win32::ERROR_MORE_DATA);
    pub(crate) const MSGSIZE: Self = Self(winsock::WSAEMSGSIZE);
    pub(crate) const NETDOWN: Self = Self(winsock::WSAENETDOWN);
    pub(crate) const NETRESET: Self = Self(winsock::WSAENETRESET);
    pub(crate) const NETUNREACH: Self = Self(winsock::WSAENETUNREACH);
    pub(crate) const NFILE: Self = of(win32::ERROR_TOO_MANY_OPEN_FILES);
    pub(crate) const NOBUFS: Self = Self(winsock::WSAENOBUFS);
    pub(crate) const NO_DATA: Self = of(win32::ERROR_NO_DATA);
    #[cfg(feature = "sim")]
    pub(crate) const NOENT: Self = of(win32::ERROR_FILE_NOT_FOUND);
    pub(crate) const NOMEM: Self = of(win32::ERROR_NOT_ENOUGH_MEMORY);
    pub(crate) const NOPROTOOPT: Self = Self(winsock::WSAENOPROTOOPT);
    pub(crate) const NOTCONN: Self = Self(winsock::WSAENOTCONN);
    pub(crate) const NOTSOCK: Self = Self(winsock::WSAENOTSOCK);
    pub(crate) const OVERFLOW: Self = of(win32::ERROR_ARITHMETIC_OVERFLOW);
    pub(crate) const PIPE: Self = of(win32::ERROR_BROKEN_PIPE);
    pub(crate) const PROTO: Self = Self(winsock::WSAEPROTOTYPE);
    pub(crate) const UNEXP_NET_ERR: Self = of(win32::ERROR_UNEXP_NET_ERR);
    pub(crate) const TIMEDOUT: Self = Self(winsock::WSAETIMEDOUT);

    /// The number that the system gave, if it did.
    pub(crate) fn from_io_error(error: &io::Error) -> Option<Self> {
        error.raw_os_error().map(Self)
    }

    /// What a call failed with, whose error has a number.
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            // Said of an outgoing direction that this end has shut down: EPIPE elsewhere.
            Some(winsock::WSAESHUTDOWN) => Self::PIPE,
            Some(number) => Self(number),
            None => Self::INVAL,
        }
    }

    /// By its number in Win32, as operations end with that began otherwise than by Winsock.
    pub(crate) const fn from_win32(number: u32) -> Self {
        of(number)
    }

    /// By its number in Winsock.
    pub(crate) const fn from_winsock(number: i32) -> Self {
        Self(number)
    }

    pub(crate) const fn raw_os_error(self) -> i32 {
        self.0
    }
}

impl From<Errno> for io::Error {
    fn from(error: Errno) -> Self {
        Self::from_raw_os_error(error.0)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from(*self).fmt(f)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&io::Error::from(*self), f)
    }
}

impl std::error::Error for Errno {}
