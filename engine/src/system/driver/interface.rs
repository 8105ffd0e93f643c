//! [`Driver`]: what every driver does.

use std::{io, sync::Arc, time::Duration};

use crate::{
    pure::{address::Address, table::Id},
    system::{
        descriptor::Descriptor,
        driver::{Completion, Operation, Role, Waker},
        fd_kind::FdKind,
        sys::owned::OwnedDescriptor,
    },
};

/// A driver; its contract is the documentation of [`driver`](crate::system::driver).
pub(crate) trait Driver {
    /// Makes a descriptor known under the id of its resource.
    fn attach(&mut self, resource: Id, descriptor: Arc<Descriptor>, fd_kind: FdKind);
    /// Takes the descriptor back, of which no operation is pending.
    fn detach(&mut self, resource: Id) -> Option<Arc<Descriptor>>;
    /// The descriptor of a resource, to look at.
    fn descriptor(&self, resource: Id) -> Option<&Arc<Descriptor>>;
    /// Begins an operation. Never fails and never completes inside.
    fn submit(&mut self, resource: Id, operation: Operation);
    /// Sends what the system takes at once, and returns how much that was. None if this driver
    /// wants it submitted, or if nothing can be said before the system has room.
    fn send_now(&mut self, resource: Id, bytes: &[u8]) -> Option<io::Result<usize>>;
    /// Sends a datagram, whole or not at all: to whom the socket is connected to, if `to` is none.
    /// None if there is no room, of which [`Operation::AwaitRoom`] tells.
    fn send_datagram(
        &mut self,
        resource: Id,
        bytes: &[u8],
        to: Option<&Address>,
    ) -> Option<io::Result<()>>;
    /// Requests that an operation stop.
    fn cancel(&mut self, resource: Id, role: Role);
    /// Brings completions; waits for one at most `timeout` (for ever if none), or for the waker.
    fn wait(
        &mut self,
        timeout: Option<Duration>,
        completions: &mut Vec<Completion>,
    ) -> io::Result<()>;
    /// Hands the system what was submitted and would otherwise be handed over by the next wait.
    fn flush(&mut self);
    /// Brings the completions that are queued already, without asking the system for more.
    fn take_done(&mut self, completions: &mut Vec<Completion>);
    /// Whether a wait would return at once because something is queued.
    fn has_work(&mut self) -> bool;
    /// Whether something is under way that ends by itself: threads at work on files, late sends.
    fn is_at_work(&self) -> bool;
    /// Ends a wait, from any thread.
    fn waker(&self) -> Waker;
    /// A descriptor that becomes readable when a wait would bring something, once it is
    /// [watched](Self::watch).
    fn as_pollable(&self) -> io::Result<OwnedDescriptor>;
    /// From now on somebody waits for the descriptor instead of by `wait`.
    fn watch(&mut self) -> io::Result<()>;
    /// The name that `FACADE_DRIVER` knows it by.
    fn name(&self) -> &'static str;
}
