//! What owns something of the system, and what lends it: sockets and handles.
//!
//! A socket or handle that is closed gives its number away at once, and no call puts something
//! harmless in its place, as dup2(2) does elsewhere. So [`Slot`] knows whether its number was ever
//! lent to the program: one that was lent is closed only with the last of its users, and until then
//! as much of it is ended as can be without closing it.

use std::{
    fmt,
    fs::File,
    io,
    mem::ManuallyDrop,
    net::{Shutdown, TcpListener, TcpStream, UdpSocket},
    os::windows::io::{
        AsHandle, AsRawHandle, AsRawSocket, AsSocket, BorrowedHandle, BorrowedSocket, OwnedHandle,
        OwnedSocket,
    },
    process::{ChildStderr, ChildStdin, ChildStdout},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

/// What owns something of the system: a socket or a handle.
#[derive(Debug)]
#[non_exhaustive]
pub enum OwnedDescriptor {
    /// A socket.
    Socket(OwnedSocket),
    /// A handle: of a file, a pipe or a console.
    Handle(OwnedHandle),
}

/// The same, borrowed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BorrowedDescriptor<'a> {
    Socket(BorrowedSocket<'a>),
    Handle(BorrowedHandle<'a>),
}

macro_rules! from_socket {
    ($($type:ty)*) => {$(
        impl From<$type> for OwnedDescriptor {
            fn from(socket: $type) -> Self {
                Self::Socket(socket.into())
            }
        }
    )*};
}

macro_rules! from_handle {
    ($($type:ty)*) => {$(
        impl From<$type> for OwnedDescriptor {
            fn from(handle: $type) -> Self {
                Self::Handle(handle.into())
            }
        }
    )*};
}

from_socket!(OwnedSocket TcpStream TcpListener UdpSocket Socket);
from_handle!(OwnedHandle File io::PipeReader io::PipeWriter ChildStdin ChildStdout ChildStderr);

impl TryFrom<OwnedDescriptor> for OwnedSocket {
    type Error = OwnedDescriptor;

    /// Fails with what it is if it is no socket.
    fn try_from(descriptor: OwnedDescriptor) -> Result<Self, OwnedDescriptor> {
        match descriptor {
            OwnedDescriptor::Socket(socket) => Ok(socket),
            other @ OwnedDescriptor::Handle(_) => Err(other),
        }
    }
}

impl TryFrom<OwnedDescriptor> for OwnedHandle {
    type Error = OwnedDescriptor;

    /// Fails with what it is if it is a socket.
    fn try_from(descriptor: OwnedDescriptor) -> Result<Self, OwnedDescriptor> {
        match descriptor {
            OwnedDescriptor::Handle(handle) => Ok(handle),
            other @ OwnedDescriptor::Socket(_) => Err(other),
        }
    }
}

impl<'a> BorrowedDescriptor<'a> {
    /// The socket, if it is one.
    pub(crate) fn socket(&self) -> Option<SockRef<'_>> {
        match self {
            Self::Socket(socket) => Some(SockRef::from(socket)),
            Self::Handle(_) => None,
        }
    }

    /// The socket, if it is one.
    pub(crate) const fn as_socket(self) -> Option<BorrowedSocket<'a>> {
        match self {
            Self::Socket(socket) => Some(socket),
            Self::Handle(_) => None,
        }
    }

    /// The handle, if it is one.
    pub(crate) const fn as_handle(self) -> Option<BorrowedHandle<'a>> {
        match self {
            Self::Socket(_) => None,
            Self::Handle(handle) => Some(handle),
        }
    }
}

/// Borrows it.
#[inline]
pub(crate) fn borrow(owned: &OwnedDescriptor) -> BorrowedDescriptor<'_> {
    match owned {
        OwnedDescriptor::Socket(socket) => BorrowedDescriptor::Socket(socket.as_socket()),
        OwnedDescriptor::Handle(handle) => BorrowedDescriptor::Handle(handle.as_handle()),
    }
}

/// Another number of the same.
pub(crate) fn duplicate(borrowed: BorrowedDescriptor<'_>) -> io::Result<OwnedDescriptor> {
    Ok(match borrowed {
        BorrowedDescriptor::Socket(socket) => OwnedDescriptor::Socket(socket.try_clone_to_owned()?),
        BorrowedDescriptor::Handle(handle) => OwnedDescriptor::Handle(handle.try_clone_to_owned()?),
    })
}

/// How errors name it.
pub(crate) fn label(borrowed: BorrowedDescriptor<'_>) -> impl fmt::Display {
    let (kind, number) = match borrowed {
        BorrowedDescriptor::Socket(socket) => ("socket", socket.as_raw_socket()),
        BorrowedDescriptor::Handle(handle) => ("handle", handle.as_raw_handle() as u64),
    };
    fmt::from_fn(move |f| write!(f, "{kind} {number}"))
}

pub(crate) fn local_address(borrowed: BorrowedDescriptor<'_>) -> io::Result<SockAddr> {
    borrowed.socket().ok_or(io::ErrorKind::Unsupported)?.local_addr()
}

pub(crate) fn peer_address(borrowed: BorrowedDescriptor<'_>) -> io::Result<SockAddr> {
    borrowed.socket().ok_or(io::ErrorKind::Unsupported)?.peer_addr()
}

/// Looks at a socket, or changes its options.
pub(crate) fn with_socket<R>(
    borrowed: BorrowedDescriptor<'_>,
    f: impl FnOnce(SockRef<'_>) -> io::Result<R>,
) -> io::Result<R> {
    f(borrowed.socket().ok_or(io::ErrorKind::Unsupported)?)
}

/// A socket that leads nowhere, made once for the process: what is lent of something closed.
pub(crate) fn null() -> io::Result<BorrowedDescriptor<'static>> {
    static NULL: OnceLock<Socket> = OnceLock::new();
    if let Some(socket) = NULL.get() {
        return Ok(BorrowedDescriptor::Socket(socket.as_socket()));
    }
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    Ok(BorrowedDescriptor::Socket(NULL.get_or_init(|| socket).as_socket()))
}

/// Where a descriptor is kept that can be closed while others still name it.
#[derive(Debug)]
pub(crate) struct Slot {
    /// What is kept, until `is_closed`.
    owned: ManuallyDrop<OwnedDescriptor>,
    /// Whether its number is no longer this process's, or another's by now.
    is_closed: AtomicBool,
    use_: Mutex<Use>,
}

/// Who may name it.
#[derive(Debug, Default)]
struct Use {
    /// The program has had it in hand, and may have it still.
    lent: bool,
    /// How many workers have it in hand.
    workers: usize,
    /// It is to be closed as soon as nobody has it in hand.
    closing: bool,
}

impl Slot {
    pub(crate) fn new(owned: OwnedDescriptor) -> Self {
        Self {
            owned: ManuallyDrop::new(owned),
            is_closed: AtomicBool::new(false),
            use_: Mutex::default(),
        }
    }

    /// For the engine's thread, which is the one that closes it.
    #[inline]
    pub(crate) fn borrow(&self) -> BorrowedDescriptor<'_> {
        if self.is_closed.load(Acquire) {
            return null().expect("made when the engine was built");
        }
        borrow(&self.owned)
    }

    /// For the program, which may keep it as long as this lives: it is not closed before.
    pub(crate) fn lend(&self) -> BorrowedDescriptor<'_> {
        let mut use_ = self.use_.lock().unwrap_or_else(PoisonError::into_inner);
        use_.lent = true;
        self.borrow()
    }

    /// Looks at it on any thread; it is not closed meanwhile.
    pub(crate) fn inspect<R>(&self, f: impl FnOnce(BorrowedDescriptor<'_>) -> R) -> R {
        let _use = self.use_.lock().unwrap_or_else(PoisonError::into_inner);
        f(self.borrow())
    }

    /// A worker takes it in hand: it is not closed before the worker [lets go](Self::let_go).
    pub(crate) fn hold(&self) {
        self.use_.lock().unwrap_or_else(PoisonError::into_inner).workers += 1;
    }

    pub(crate) fn let_go(&self) {
        let mut use_ = self.use_.lock().unwrap_or_else(PoisonError::into_inner);
        use_.workers -= 1;
        self.close_if_unused(&use_);
    }

    /// Closes it now, or as soon as nobody has it in hand. What was lent is ended now as far as
    /// that goes: a connection ends for its peer, but a listener goes on to listen.
    pub(crate) fn close_lent(&self) {
        let mut use_ = self.use_.lock().unwrap_or_else(PoisonError::into_inner);
        use_.closing = true;
        if use_.lent
            && let Some(socket) = self.borrow().socket()
        {
            // Of no use to a listener, nor to what is not connected any more.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.close_if_unused(&use_);
    }

    #[expect(unsafe_code, reason = "the owner is dropped where it stands, because others share it")]
    fn close_if_unused(&self, use_: &Use) {
        if use_.closing && !use_.lent && use_.workers == 0 && !self.is_closed.swap(true, Release) {
            // SAFETY: whoever borrows it from now on finds `is_closed`, by `borrow`; nobody has it
            // in hand: the program never had, no worker has, and the engine's thread is here, or
            // has said `closing` and submits nothing more. It is dropped once, since the flag was
            // not set before, and never used again: `Drop` and `into_owned` look at the flag.
            unsafe { std::ptr::drop_in_place((&raw const *self.owned).cast_mut()) };
        }
    }

    /// Gives it up. None if it was closed.
    pub(crate) fn into_owned(mut self) -> Option<OwnedDescriptor> {
        if std::mem::replace(self.is_closed.get_mut(), true) {
            return None;
        }
        #[expect(unsafe_code, reason = "what is dropped by hand is taken by hand")]
        // SAFETY: it was not dropped, and is not used again: `Drop` finds the flag.
        Some(unsafe { ManuallyDrop::take(&mut self.owned) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !*self.is_closed.get_mut() {
            #[expect(unsafe_code, reason = "what may have been dropped by hand is dropped by hand")]
            // SAFETY: it was not dropped before, and this is the end.
            unsafe {
                ManuallyDrop::drop(&mut self.owned);
            }
        }
    }
}
