//! How a socket is registered for readiness: the crate `mio` polls the driver of Winsock for it
//! (AFD), once for each time that it is asked. Handles cannot be waited for.

use std::{
    io,
    mem::ManuallyDrop,
    os::windows::io::{AsRawSocket, FromRawSocket},
};

use mio::{Interest, Poll, Registry, Token, event::Source, net::TcpStream};

use crate::system::{
    fd_kind::FdKind,
    sys::owned::{self, BorrowedDescriptor, OwnedDescriptor},
};

/// A socket in the list of those that are waited for.
#[derive(Debug)]
pub(crate) struct Registration {
    /// The socket as the crate wants it, which is not the owner. A listener is registered as any
    /// other socket is.
    socket: ManuallyDrop<TcpStream>,
    registry: Registry,
    token: Token,
    /// What it is registered for.
    interest: Interest,
}

impl Registration {
    /// Registers a socket for both directions. None if it is a handle: only a call that waits tells
    /// whether that is ready.
    pub(crate) fn new(
        registry: &Registry,
        fd: BorrowedDescriptor<'_>,
        fd_kind: FdKind,
        token: Token,
    ) -> io::Result<Option<Self>> {
        let Some(socket) = fd.as_socket() else { return Ok(None) };
        #[expect(unsafe_code, reason = "the crate registers what it takes for its own socket")]
        // SAFETY: the socket is open, and stays so until the registration is removed, as its
        // driver sees to. `ManuallyDrop` keeps this second owner from ever closing it.
        let socket = unsafe { TcpStream::from_raw_socket(socket.as_raw_socket()) };
        let mut socket = ManuallyDrop::new(socket);
        let interest = match fd_kind {
            FdKind::Listener | FdKind::Watched { for_room: false } => Interest::READABLE,
            FdKind::Watched { for_room: true } => Interest::WRITABLE,
            _ => Interest::READABLE | Interest::WRITABLE,
        };
        socket.register(registry, token, interest)?;
        let registry = registry.try_clone()?;
        Ok(Some(Self { socket, registry, token, interest }))
    }

    /// A call has found nothing, or no room: the next event is asked for. It is an event of its
    /// own, so what came between the call and this is not missed. One that waits for no room is not
    /// told of it: else each message would bring an event more.
    pub(crate) fn ask_again(&mut self, for_room: bool) {
        let without_room = self.interest.remove(Interest::WRITABLE);
        let interest = without_room.filter(|_| !for_room).unwrap_or(self.interest);
        drop(self.socket.reregister(&self.registry, self.token, interest));
    }

    /// Takes the socket out of the list, before it goes.
    pub(crate) fn remove(mut self, registry: &Registry, _fd: BorrowedDescriptor<'_>) {
        drop(self.socket.deregister(registry));
    }
}

/// The crate's poll cannot be waited for from outside: what is lent in its place leads nowhere.
pub(crate) fn pollable(_poll: &Poll) -> io::Result<OwnedDescriptor> {
    owned::duplicate(owned::null()?)
}
