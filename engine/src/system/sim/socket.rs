//! [`Socket`]: what the descriptors of a simulated engine hold.

use crate::{
    pure::{
        address::Address,
        error::{Error, IoOperation, Result},
        table::Id,
    },
    system::{
        driver::Release,
        sim::{
            Network,
            state::{Attempt, Received},
        },
        sys::errno::Errno,
    },
};

/// A socket in the network; closes when it is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    network: Network,
    id: Id,
}

impl Socket {
    pub(super) const fn new(network: Network, id: Id) -> Self {
        Self { network, id }
    }

    pub(crate) const fn id(&self) -> Id {
        self.id
    }

    pub(crate) fn local_address(&self) -> Result<Address> {
        let address = self.network.lock().local_address(self.id);
        address.ok_or_else(|| Error::io(IoOperation::GetSockName, Errno::NOTSOCK))
    }

    pub(crate) fn peer_address(&self) -> Result<Address> {
        let address = self.network.lock().remote_address(self.id);
        address.ok_or_else(|| Error::io(IoOperation::GetPeerName, Errno::NOTCONN))
    }

    /// Closes it, whoever still holds it.
    pub(crate) fn close(&self) {
        self.end(Release::Close);
    }

    /// Leaves the engine. Nobody goes on with it in the network, so it ends there in good order.
    pub(crate) fn part(&self) {
        self.end(Release::Drain);
    }

    /// Ends a connection in good order, so that a close that follows resets nothing; it is not
    /// closed yet.
    pub(crate) fn end_in_order(&self) {
        let mut state = self.network.lock();
        let _ = state.shut(self.id);
        while let Attempt::Done(Received::Bytes(_)) = state.receive(self.id, usize::MAX) {}
        if state.threads {
            state.ring();
        }
    }

    fn end(&self, release: Release) {
        let mut state = self.network.lock();
        state.close(self.id, release);
        if state.threads {
            state.ring();
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.close();
    }
}
