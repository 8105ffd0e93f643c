//! [`Waker`]: what ends a driver's wait.

use std::{fmt, sync::Arc};

#[cfg(windows)]
use crate::system::driver::iocp::port::Port;
#[cfg(all(target_os = "linux", feature = "io-uring"))]
use crate::system::driver::uring::bell::Bell as UringBell;
#[cfg(feature = "sim")]
use crate::system::sim::bell::Bell as SimBell;

/// Ends a driver's wait from any thread.
#[derive(Clone)]
pub(crate) enum Waker {
    Mio(Arc<::mio::Waker>),
    #[cfg(all(target_os = "linux", feature = "io-uring"))]
    Uring(Arc<UringBell>),
    #[cfg(windows)]
    Iocp(Arc<Port>),
    #[cfg(feature = "sim")]
    Sim(Arc<SimBell>),
}

impl Waker {
    pub(crate) fn wake(&self) {
        match self {
            // Fails only when the counter is full, which means that it is awake already.
            Self::Mio(waker) => drop(waker.wake()),
            #[cfg(all(target_os = "linux", feature = "io-uring"))]
            Self::Uring(bell) => bell.ring(),
            #[cfg(windows)]
            Self::Iocp(port) => port.wake(),
            #[cfg(feature = "sim")]
            Self::Sim(bell) => bell.ring(),
        }
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}
