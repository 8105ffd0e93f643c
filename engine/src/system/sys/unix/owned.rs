//! Descriptors of the system: what owns one, what lends one, and how the file behind a number that
//! is lent is closed.
//!
//! One block is unsafe: the number of a descriptor that others share is given another file.

use std::{
    fmt, io,
    mem::ManuallyDrop,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    sync::OnceLock,
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::{Errno, fcntl_dupfd_cloexec},
};
use socket2::{SockAddr, SockRef};

use crate::system::sys::family;

/// What owns something of the system: here a file descriptor.
pub type OwnedDescriptor = OwnedFd;

/// The same, borrowed.
pub(crate) type BorrowedDescriptor<'a> = BorrowedFd<'a>;

/// Borrows it.
#[inline]
pub(crate) fn borrow(fd: &OwnedFd) -> BorrowedFd<'_> {
    fd.as_fd()
}

/// Another number of the same open file.
pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(fcntl_dupfd_cloexec(fd, 0)?)
}

/// How errors name it.
pub(crate) fn label(fd: BorrowedFd<'_>) -> impl fmt::Display {
    let number = fd.as_raw_fd();
    fmt::from_fn(move |f| write!(f, "descriptor {number}"))
}

pub(crate) fn local_address(fd: BorrowedFd<'_>) -> io::Result<SockAddr> {
    SockRef::from(&fd).local_addr()
}

pub(crate) fn peer_address(fd: BorrowedFd<'_>) -> io::Result<SockAddr> {
    SockRef::from(&fd).peer_addr()
}

/// Looks at a socket, or changes its options.
pub(crate) fn with_socket<R>(
    fd: BorrowedFd<'_>,
    f: impl FnOnce(SockRef<'_>) -> io::Result<R>,
) -> io::Result<R> {
    f(SockRef::from(&fd))
}

/// Where a descriptor is kept that can be closed while others still have its number in hand: it
/// leads to the null device then.
#[derive(Debug)]
pub(crate) struct Slot(OwnedFd);

impl Slot {
    pub(crate) const fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// For the engine's thread.
    #[inline]
    pub(crate) fn borrow(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// For the program, which may keep it as long as this lives.
    #[inline]
    pub(crate) fn lend(&self) -> BorrowedFd<'_> {
        self.borrow()
    }

    /// Looks at it on any thread.
    pub(crate) fn inspect<R>(&self, f: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        f(self.borrow())
    }

    /// A worker takes it in hand. Its number stays its own here, whoever closes it.
    #[expect(clippy::unused_self, reason = "elsewhere it must not be closed meanwhile")]
    pub(crate) const fn hold(&self) {}

    /// A worker lets go of it.
    #[expect(clippy::unused_self, reason = "elsewhere it may be closed now")]
    pub(crate) const fn let_go(&self) {}

    /// Closes the open file now. The number leads to the null device from then on.
    pub(crate) fn close_lent(&self) {
        let Ok(null) = null() else { return };
        // SAFETY: the number is open: `self` owns it and lives through this function.
        // `ManuallyDrop` keeps this second owner from ever closing it.
        #[expect(unsafe_code, reason = "dup2 wants an owner, and clones share this one")]
        let number = unsafe { OwnedFd::from_raw_fd(self.0.as_raw_fd()) };
        let mut number = ManuallyDrop::new(number);
        // Cannot fail on two open descriptors but by a race with `open` (EBUSY), which is to be
        // tried again.
        while family::replace(null, &mut number) == Err(Errno::BUSY) {}
    }

    /// Gives it up. None if it was closed, which it never is here.
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it may have been closed")]
    pub(crate) fn into_owned(self) -> Option<OwnedFd> {
        Some(self.0)
    }
}

/// The null device, opened once for the process, so that closing needs no descriptor when there are
/// none left.
pub(crate) fn null() -> io::Result<BorrowedFd<'static>> {
    static NULL: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(fd) = NULL.get() {
        return Ok(fd.as_fd());
    }
    let fd = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    Ok(NULL.get_or_init(|| fd).as_fd())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, pipe},
        os::fd::AsRawFd,
        sync::Arc,
    };

    use crate::system::descriptor::Descriptor;

    #[test]
    fn releasing_closes_the_file_and_keeps_the_number() {
        let (mut reader, writer) = pipe().unwrap();
        let descriptor = Descriptor::new(writer.into());
        let lent = Arc::clone(&descriptor);
        let number = lent.borrow().as_raw_fd();
        descriptor.release();
        assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0, "the pipe has ended");
        assert_eq!(
            rustix::io::write(lent.borrow(), b"x").unwrap(),
            1,
            "the number leads to the null device"
        );
        assert_eq!(lent.borrow().as_raw_fd(), number);
    }

    #[test]
    fn parting_takes_the_number_itself_when_nobody_else_has_it() {
        let (_reader, writer) = pipe().unwrap();
        let number = writer.as_raw_fd();
        let descriptor = Descriptor::new(writer.into());
        assert_eq!(descriptor.into_owned().unwrap().as_raw_fd(), number);
    }
}
