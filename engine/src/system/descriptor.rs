//! [`Descriptor`]: a file descriptor that can be closed while its number is still lent.
//!
//! One block of it is unsafe: the number of a descriptor that others share is given another file.

use std::{
    io,
    mem::ManuallyDrop,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::{DupFlags, dup3, fcntl_dupfd_cloexec},
};
use socket2::{SockAddr, SockRef};

use crate::{
    pure::{
        address::Address,
        error::{Error, IoOperation, Result},
    },
    system::fd_kind::FdKind,
};

/// A descriptor shared by the user's clones of a stream and the engine.
///
/// Users may hold a `BorrowedFd` of it at any time, on any thread, so the *number* must stay valid
/// as long as a clone lives. What it refers to need not: [`release`](Self::release) closes the open
/// file at once and leaves the number on the null device.
#[derive(Debug)]
pub(crate) struct Descriptor {
    file: OpenFile,
    /// The user has had it in hand, and may have copied it.
    lent: AtomicBool,
    /// The program has asked for it since it became a stream.
    asked: AtomicBool,
    /// The program has once had it in hand, or what it was accepted from: its options may be the
    /// program's.
    touched: AtomicBool,
}

/// How the engine holds what a descriptor leads to, its open file description, see open(2): alone,
/// or with others, who are to find nothing taken or ended for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tenure {
    /// The engine made it and has never lent it.
    Own,
    /// The program has had it in hand and says that nobody else has it.
    Exclusive,
    /// Others may hold it, too.
    Shared,
}

impl Tenure {
    /// Whether nobody else holds it.
    #[inline]
    pub(crate) const fn is_sole(self) -> bool {
        !matches!(self, Self::Shared)
    }
}

#[derive(Debug)]
enum OpenFile {
    /// Of this machine.
    System(OwnedFd),
    /// Of a simulated network. What it lends is the null device.
    #[cfg(feature = "sim")]
    Simulated(crate::system::sim::socket::Socket),
}

impl Descriptor {
    pub(crate) fn new(fd: OwnedFd) -> Arc<Self> {
        Arc::new(Self {
            file: OpenFile::System(fd),
            lent: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            touched: AtomicBool::new(false),
        })
    }

    /// Stands for a socket of a simulated network.
    #[cfg(feature = "sim")]
    pub(crate) fn of_simulated(socket: crate::system::sim::socket::Socket) -> Arc<Self> {
        Arc::new(Self {
            file: OpenFile::Simulated(socket),
            lent: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            touched: AtomicBool::new(false),
        })
    }

    /// Marks it as lent to the program, for as long as that likes. Returns whether that is news.
    pub(crate) fn lend(&self) -> bool {
        self.touch();
        !self.is_lent() && !self.lent.swap(true, Relaxed)
    }

    /// Takes back what [`lend`](Self::lend) marks: the program says that nobody uses it any more.
    pub(crate) fn unlend(&self) {
        self.lent.store(false, Relaxed);
        self.asked.store(false, Relaxed);
    }

    /// Whether the program or anybody else may have it in hand.
    #[inline]
    pub(crate) fn is_lent(&self) -> bool {
        self.lent.load(Relaxed)
    }

    /// Marks that its options may be the program's.
    pub(crate) fn touch(&self) {
        if !self.is_touched() {
            self.touched.store(true, Relaxed);
        }
    }

    /// Whether its options may be the program's.
    pub(crate) fn is_touched(&self) -> bool {
        self.touched.load(Relaxed)
    }

    /// Marks that the program has asked for it, and may receive by itself.
    pub(crate) fn ask(&self) {
        self.asked.store(true, Relaxed);
    }

    /// Whether it has.
    #[inline]
    pub(crate) fn was_asked_for(&self) -> bool {
        self.asked.load(Relaxed)
    }

    /// The socket in its network, if it is simulated.
    #[cfg(feature = "sim")]
    pub(crate) const fn simulated(&self) -> Option<crate::pure::table::Id> {
        match &self.file {
            OpenFile::System(_) => None,
            OpenFile::Simulated(socket) => Some(socket.id()),
        }
    }

    /// Ends a simulated connection in good order. Returns whether it is one.
    #[cfg(feature = "sim")]
    pub(crate) fn end_simulated(&self) -> bool {
        if let OpenFile::Simulated(socket) = &self.file {
            socket.end_in_order();
        }
        matches!(self.file, OpenFile::Simulated(_))
    }

    /// None is simulated.
    #[cfg(not(feature = "sim"))]
    #[expect(clippy::unused_self, reason = "the other one asks")]
    pub(crate) const fn end_simulated(&self) -> bool {
        false
    }

    /// Closes the open file now, whoever still holds the number.
    pub(crate) fn release(self: Arc<Self>) {
        #[cfg(feature = "sim")]
        if let OpenFile::Simulated(socket) = &self.file {
            return socket.close();
        }
        let Err(shared) = Arc::try_unwrap(self) else { return };
        let Some(fd) = shared.system() else { return };
        let Ok(null) = null() else { return };
        // SAFETY: the number is open: `shared` owns it and lives through this function.
        // `ManuallyDrop` keeps this second owner from ever closing it.
        #[expect(unsafe_code, reason = "dup3 wants an owner, and clones share this one")]
        let number = unsafe { OwnedFd::from_raw_fd(fd.as_raw_fd()) };
        let mut number = ManuallyDrop::new(number);
        // Cannot fail on two open descriptors but by a race with `open` (EBUSY), which is to be
        // tried again.
        while dup3(null, &mut number, DupFlags::CLOEXEC) == Err(rustix::io::Errno::BUSY) {}
    }

    /// The address of this end, of a socket.
    pub(crate) fn local_address(&self) -> Result<Address> {
        match &self.file {
            OpenFile::System(fd) => {
                to_address(fd, SockRef::from(fd).local_addr(), IoOperation::GetSockName)
            }
            #[cfg(feature = "sim")]
            OpenFile::Simulated(socket) => socket.local_address(),
        }
    }

    /// The address of the other end, of a socket.
    pub(crate) fn peer_address(&self) -> Result<Address> {
        match &self.file {
            OpenFile::System(fd) => {
                to_address(fd, SockRef::from(fd).peer_addr(), IoOperation::GetPeerName)
            }
            #[cfg(feature = "sim")]
            OpenFile::Simulated(socket) => socket.peer_address(),
        }
    }

    /// What it is called where errors and dumps name it: a connection by who is at its other end, a
    /// listener by where it listens, all else by what it is.
    pub(crate) fn name(&self, fd_kind: FdKind) -> String {
        let address = match fd_kind {
            FdKind::Socket { .. } => self.peer_address().ok(),
            FdKind::Listener => self.local_address().ok(),
            _ => None,
        };
        match address {
            None | Some(Address::UnixUnnamed) => {
                format!("{fd_kind} (descriptor {})", self.as_fd().as_raw_fd())
            }
            Some(address) => address.to_string(),
        }
    }

    /// Parts the open file from the engine: the number itself if nobody else has it, else another
    /// number of the same file, and this one is released. For a simulated socket the null device
    /// stands in.
    pub(crate) fn into_owned(self: Arc<Self>) -> io::Result<OwnedFd> {
        match Arc::try_unwrap(self) {
            Ok(sole) => match sole.file {
                OpenFile::System(fd) => Ok(fd),
                #[cfg(feature = "sim")]
                OpenFile::Simulated(socket) => {
                    socket.part();
                    null()?.try_clone_to_owned()
                }
            },
            Err(shared) => {
                #[cfg(feature = "sim")]
                if let OpenFile::Simulated(socket) = &shared.file {
                    socket.part();
                    return null()?.try_clone_to_owned();
                }
                let fd = shared.system().ok_or(io::ErrorKind::Unsupported)?;
                let fd = fcntl_dupfd_cloexec(fd, 0)?;
                shared.release();
                Ok(fd)
            }
        }
    }

    const fn system(&self) -> Option<&OwnedFd> {
        match &self.file {
            OpenFile::System(fd) => Some(fd),
            #[cfg(feature = "sim")]
            OpenFile::Simulated(_) => None,
        }
    }
}

/// What the system says of an address.
fn to_address(
    fd: &OwnedFd,
    answer: io::Result<SockAddr>,
    operation: IoOperation,
) -> Result<Address> {
    let number = fd.as_raw_fd();
    let failed = |cause| Error::io_on(operation, format_args!("descriptor {number}"), cause);
    let address = answer.map_err(failed)?;
    Address::from_system(&address).ok_or_else(|| Error::unsupported("this family of addresses"))
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.file {
            OpenFile::System(fd) => fd.as_fd(),
            #[cfg(feature = "sim")]
            OpenFile::Simulated(_) => null().expect("opened when the engine was built"),
        }
    }
}

/// The null device, opened once for the process, so that releasing needs no descriptor when there
/// are none left.
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
        sync::Arc,
    };

    use super::*;

    #[test]
    fn releasing_closes_the_file_and_keeps_the_number() {
        let (mut reader, writer) = pipe().unwrap();
        let descriptor = Descriptor::new(writer.into());
        let lent = Arc::clone(&descriptor);
        let number = lent.as_fd().as_raw_fd();
        descriptor.release();
        assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0, "the pipe has ended");
        assert_eq!(
            rustix::io::write(&*lent, b"x").unwrap(),
            1,
            "the number leads to the null device"
        );
        assert_eq!(lent.as_fd().as_raw_fd(), number);
    }

    #[test]
    fn parting_takes_the_number_itself_when_nobody_else_has_it() {
        let (_reader, writer) = pipe().unwrap();
        let number = writer.as_raw_fd();
        let descriptor = Descriptor::new(writer.into());
        assert_eq!(descriptor.into_owned().unwrap().as_raw_fd(), number);
    }
}
