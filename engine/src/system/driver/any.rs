//! [`AnyDriver`]: the driver of an engine, whichever it is.

use std::{io, sync::Arc, time::Duration};

#[cfg(windows)]
use crate::system::driver::iocp::Iocp;
#[cfg(feature = "sim")]
use crate::system::driver::sim::Sim;
#[cfg(all(target_os = "linux", feature = "io-uring"))]
use crate::system::driver::uring::Uring;
#[cfg(feature = "sim")]
use crate::system::sim::{Network, bell::Bell, workers::Workers};
use crate::{
    pure::{address::Address, table::Id},
    system::{
        descriptor::Descriptor,
        driver::{Completion, Driver, Operation, Role, Waker, mio::Mio},
        fd_kind::FdKind,
        pool::Pool,
        sys::owned::OwnedDescriptor,
    },
};

/// The driver chosen at run time. An enum, so that the only driver in use costs no indirection.
#[cfg_attr(
    all(target_os = "linux", feature = "io-uring"),
    expect(clippy::large_enum_variant, reason = "there is one in a whole engine")
)]
pub(crate) enum AnyDriver {
    Mio(Mio),
    #[cfg(all(target_os = "linux", feature = "io-uring"))]
    Uring(Uring),
    #[cfg(windows)]
    Iocp(Iocp),
    #[cfg(feature = "sim")]
    Sim(Sim),
}

/// Calls a method of the driver in use.
macro_rules! in_use {
    ($self:ident, $driver:ident => $call:expr) => {
        match $self {
            Self::Mio($driver) => $call,
            #[cfg(all(target_os = "linux", feature = "io-uring"))]
            Self::Uring($driver) => $call,
            #[cfg(windows)]
            Self::Iocp($driver) => $call,
            #[cfg(feature = "sim")]
            Self::Sim($driver) => $call,
        }
    };
}

impl AnyDriver {
    /// The readiness driver.
    pub(crate) fn mio(pool: Pool) -> io::Result<Self> {
        Mio::new(pool).map(Self::Mio)
    }

    /// The driver of an engine that lives on a host of this network.
    #[cfg(feature = "sim")]
    pub(crate) fn sim(
        network: Network,
        host: usize,
        engine: usize,
        bell: Arc<Bell>,
        workers: Workers,
    ) -> Self {
        Self::Sim(Sim::new(network, host, engine, bell, workers))
    }

    /// The completion driver of Linux, where it can be had.
    #[cfg(all(target_os = "linux", feature = "io-uring"))]
    pub(crate) fn io_uring() -> io::Result<Self> {
        Uring::new().map(Self::Uring)
    }

    /// The completion driver of Windows.
    #[cfg(windows)]
    pub(crate) fn iocp(pool: Pool) -> io::Result<Self> {
        Iocp::new(pool).map(Self::Iocp)
    }

    /// Another system's.
    #[cfg(not(windows))]
    pub(crate) fn iocp(_: Pool) -> io::Result<Self> {
        let why = "only Windows has completion ports";
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }

    /// Left out, or another system's.
    #[cfg(not(all(target_os = "linux", feature = "io-uring")))]
    pub(crate) fn io_uring() -> io::Result<Self> {
        let why = "only Linux has it, and the feature io-uring may be left out";
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }
}

impl Driver for AnyDriver {
    fn attach(&mut self, resource: Id, descriptor: Arc<Descriptor>, fd_kind: FdKind) {
        in_use!(self, driver => driver.attach(resource, descriptor, fd_kind));
    }

    fn detach(&mut self, resource: Id) -> Option<Arc<Descriptor>> {
        in_use!(self, driver => driver.detach(resource))
    }

    fn descriptor(&self, resource: Id) -> Option<&Arc<Descriptor>> {
        in_use!(self, driver => driver.descriptor(resource))
    }

    #[inline]
    fn submit(&mut self, resource: Id, operation: Operation) {
        in_use!(self, driver => driver.submit(resource, operation));
    }

    #[inline]
    fn send_now(&mut self, resource: Id, bytes: &[u8]) -> Option<io::Result<usize>> {
        in_use!(self, driver => driver.send_now(resource, bytes))
    }

    #[inline]
    fn send_datagram(
        &mut self,
        resource: Id,
        bytes: &[u8],
        to: Option<&Address>,
    ) -> Option<io::Result<()>> {
        in_use!(self, driver => driver.send_datagram(resource, bytes, to))
    }

    fn cancel(&mut self, resource: Id, role: Role) {
        in_use!(self, driver => driver.cancel(resource, role));
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        completions: &mut Vec<Completion>,
    ) -> io::Result<()> {
        in_use!(self, driver => driver.wait(timeout, completions))
    }

    fn flush(&mut self) {
        in_use!(self, driver => driver.flush());
    }

    fn take_done(&mut self, completions: &mut Vec<Completion>) {
        in_use!(self, driver => driver.take_done(completions));
    }

    fn has_work(&mut self) -> bool {
        in_use!(self, driver => driver.has_work())
    }

    fn is_at_work(&self) -> bool {
        in_use!(self, driver => driver.is_at_work())
    }

    fn waker(&self) -> Waker {
        in_use!(self, driver => driver.waker())
    }

    fn as_pollable(&self) -> io::Result<OwnedDescriptor> {
        in_use!(self, driver => driver.as_pollable())
    }

    fn watch(&mut self) -> io::Result<()> {
        in_use!(self, driver => driver.watch())
    }

    fn name(&self) -> &'static str {
        in_use!(self, driver => driver.name())
    }
}
