//! [`Descriptor`]: what is open, and can be closed while its number is still lent.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use socket2::{SockAddr, SockRef};

use crate::{
    pure::{
        address::Address,
        error::{Error, IoOperation, Result},
        options::SocketOption,
    },
    system::{
        fd_kind::FdKind,
        sys::{
            address,
            owned::{self, BorrowedDescriptor, OwnedDescriptor, Slot},
            socket,
        },
    },
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
    /// The program has once had it in hand.
    touched: AtomicBool,
    /// The program has once had in hand what it was accepted from.
    inherits: AtomicBool,
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
    System(Slot),
    /// Of a simulated network. What it lends is the null device.
    #[cfg(feature = "sim")]
    Simulated(crate::system::sim::socket::Socket),
}

impl Descriptor {
    pub(crate) fn new(fd: OwnedDescriptor) -> Arc<Self> {
        Arc::new(Self {
            file: OpenFile::System(Slot::new(fd)),
            lent: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            touched: AtomicBool::new(false),
            inherits: AtomicBool::new(false),
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
            inherits: AtomicBool::new(false),
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

    /// Marks that the program has had it in hand, and may have set any of its options.
    pub(crate) fn touch(&self) {
        if !self.is_touched() {
            self.touched.store(true, Relaxed);
        }
    }

    /// Whether the program has had it in hand.
    #[inline]
    pub(crate) fn is_touched(&self) -> bool {
        self.touched.load(Relaxed)
    }

    /// Marks that it may have inherited options that the program has set.
    pub(crate) fn inherit(&self) {
        self.inherits.store(true, Relaxed);
    }

    /// Whether its options may be the program's, set or inherited.
    pub(crate) fn may_have_options(&self) -> bool {
        self.is_touched() || self.inherits.load(Relaxed)
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
        if let Err(shared) = Arc::try_unwrap(self)
            && let Some(slot) = shared.system()
        {
            slot.close_lent();
        }
    }

    /// The address of this end, of a socket.
    pub(crate) fn local_address(&self) -> Result<Address> {
        match &self.file {
            OpenFile::System(slot) => slot
                .inspect(|fd| to_address(fd, owned::local_address(fd), IoOperation::GetSockName)),
            #[cfg(feature = "sim")]
            OpenFile::Simulated(socket) => socket.local_address(),
        }
    }

    /// Looks at the socket, or changes its options.
    pub(crate) fn with_socket<R>(
        &self,
        f: impl FnOnce(SockRef<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        match &self.file {
            OpenFile::System(slot) => slot.inspect(|fd| owned::with_socket(fd, f)),
            #[cfg(feature = "sim")]
            OpenFile::Simulated(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The address of the other end, of a socket.
    pub(crate) fn peer_address(&self) -> Result<Address> {
        match &self.file {
            OpenFile::System(slot) => {
                slot.inspect(|fd| to_address(fd, owned::peer_address(fd), IoOperation::GetPeerName))
            }
            #[cfg(feature = "sim")]
            OpenFile::Simulated(socket) => socket.peer_address(),
        }
    }

    /// Sets an option of a socket. It means nothing to a simulated one.
    pub(crate) fn set_option(&self, option: &SocketOption<'_>) -> Result<()> {
        match &self.file {
            OpenFile::System(slot) => slot.inspect(|fd| {
                socket::set_option(fd, option)
                    .map_err(|cause| option.failed(owned::label(fd), cause))
            }),
            #[cfg(feature = "sim")]
            OpenFile::Simulated(_) => Ok(()),
        }
    }

    /// What it is called where errors and dumps name it: a connection by who is at its other end, a
    /// listener by where it listens, all else by what it is.
    pub(crate) fn name(&self, fd_kind: FdKind) -> String {
        let address = match fd_kind {
            FdKind::Socket { .. } => self.peer_address().ok(),
            FdKind::Listener => self.local_address().ok(),
            FdKind::Datagrams { .. } => self.peer_address().or_else(|_| self.local_address()).ok(),
            _ => None,
        };
        match address {
            None | Some(Address::UnixUnnamed) => {
                format!("{fd_kind} ({})", owned::label(self.borrow()))
            }
            Some(address) => address.to_string(),
        }
    }

    /// Parts the open file from the engine: the number itself if nobody else has it, else another
    /// number of the same file, and this one is released. For a simulated socket the null device
    /// stands in.
    pub(crate) fn into_owned(self: Arc<Self>) -> io::Result<OwnedDescriptor> {
        match Arc::try_unwrap(self) {
            Ok(sole) => match sole.file {
                OpenFile::System(slot) => {
                    slot.into_owned().ok_or_else(|| io::ErrorKind::NotConnected.into())
                }
                #[cfg(feature = "sim")]
                OpenFile::Simulated(socket) => {
                    socket.part();
                    owned::duplicate(owned::null()?)
                }
            },
            Err(shared) => {
                #[cfg(feature = "sim")]
                if let OpenFile::Simulated(socket) = &shared.file {
                    socket.part();
                    return owned::duplicate(owned::null()?);
                }
                let slot = shared.system().ok_or(io::ErrorKind::Unsupported)?;
                let fd = owned::duplicate(slot.borrow())?;
                shared.release();
                Ok(fd)
            }
        }
    }

    /// What calls of the system take.
    #[inline]
    pub(crate) fn borrow(&self) -> BorrowedDescriptor<'_> {
        match &self.file {
            OpenFile::System(slot) => slot.borrow(),
            #[cfg(feature = "sim")]
            OpenFile::Simulated(_) => owned::null().expect("opened when the engine was built"),
        }
    }

    /// What the program gets, to do with it what it likes for as long as a clone lives.
    pub(crate) fn lend_out(&self) -> BorrowedDescriptor<'_> {
        self.system().map_or_else(|| self.borrow(), Slot::lend)
    }

    /// For a worker, which may have it in hand while it is closed.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        if let Some(slot) = self.system() {
            slot.hold();
        }
        Held(Arc::clone(self))
    }

    pub(crate) const fn system(&self) -> Option<&Slot> {
        match &self.file {
            OpenFile::System(slot) => Some(slot),
            #[cfg(feature = "sim")]
            OpenFile::Simulated(_) => None,
        }
    }
}

/// A descriptor in the hands of a worker.
#[derive(Debug)]
pub(crate) struct Held(Arc<Descriptor>);

impl Held {
    pub(crate) fn borrow(&self) -> BorrowedDescriptor<'_> {
        self.0.borrow()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(slot) = self.0.system() {
            slot.let_go();
        }
    }
}

/// What the system says of an address.
fn to_address(
    fd: BorrowedDescriptor<'_>,
    answer: io::Result<SockAddr>,
    operation: IoOperation,
) -> Result<Address> {
    let failed = |cause| Error::io_on(operation, owned::label(fd), cause);
    let address = answer.map_err(failed)?;
    address::from_system(&address).ok_or_else(|| Error::unsupported("this family of addresses"))
}
