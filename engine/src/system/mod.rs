//! Layer 2: how the system does it. Descriptors, the drivers, the threads for what no driver can
//! do, and the simulated system.

pub(crate) mod datagrams;
pub(crate) mod descriptor;
pub(crate) mod driver;
pub(crate) mod env;
pub(crate) mod fd_kind;
pub(crate) mod fork;
pub(crate) mod pool;
pub(crate) mod resolver;
pub(crate) mod signals;
#[cfg(feature = "sim")]
pub mod sim;
pub(crate) mod sys;
