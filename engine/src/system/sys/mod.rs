//! The system itself: what is called differently on each, under the same names.
//!
//! A folder for each system has a file of the same name for each of these modules, with the same
//! functions. What Unix systems do not have in common is in `unix/linux.rs` and `unix/bsd.rs`, under
//! one name here. What is above knows no descriptor, no handle and no number of an error.

pub(crate) mod lend;
pub(crate) mod outcome;
pub(crate) mod unsent;

#[cfg(unix)]
#[cfg_attr(target_os = "linux", path = "unix/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "unix/bsd.rs")]
pub(crate) mod family;

#[cfg_attr(unix, path = "unix/address.rs")]
#[cfg_attr(windows, path = "windows/address.rs")]
pub(crate) mod address;
#[cfg_attr(unix, path = "unix/errno.rs")]
#[cfg_attr(windows, path = "windows/errno.rs")]
pub(crate) mod errno;
#[cfg_attr(unix, path = "unix/examine.rs")]
#[cfg_attr(windows, path = "windows/examine.rs")]
pub(crate) mod examine;
#[cfg_attr(unix, path = "unix/fork.rs")]
#[cfg_attr(windows, path = "windows/fork.rs")]
pub(crate) mod fork;
#[cfg_attr(unix, path = "unix/owned.rs")]
#[cfg_attr(windows, path = "windows/owned.rs")]
pub(crate) mod owned;
#[cfg_attr(unix, path = "unix/process.rs")]
#[cfg_attr(windows, path = "windows/process.rs")]
pub(crate) mod process;
#[cfg_attr(unix, path = "unix/readiness.rs")]
#[cfg_attr(windows, path = "windows/readiness.rs")]
pub(crate) mod readiness;
#[cfg_attr(unix, path = "unix/resolver.rs")]
#[cfg_attr(windows, path = "windows/resolver.rs")]
pub(crate) mod resolver;
#[cfg_attr(unix, path = "unix/signal.rs")]
#[cfg_attr(windows, path = "windows/signal.rs")]
pub(crate) mod signal;
#[cfg_attr(unix, path = "unix/socket.rs")]
#[cfg_attr(windows, path = "windows/socket.rs")]
pub(crate) mod socket;
#[cfg_attr(unix, path = "unix/syscall.rs")]
#[cfg_attr(windows, path = "windows/syscall.rs")]
pub(crate) mod syscall;
#[cfg_attr(unix, path = "unix/terminal.rs")]
#[cfg_attr(windows, path = "windows/terminal.rs")]
pub(crate) mod terminal;
