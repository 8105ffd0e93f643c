//! Signals of the process, sigaction(2): who is told when one comes.
//!
//! One block is unsafe: a function is registered that a signal handler calls.

use std::io;

use libc::c_int;
use rustix::io::Errno;
use signal_hook_registry::{FORBIDDEN, SigId, register_sigaction, unregister};

use crate::{
    pure::error::{Error, IoOperation, Result},
    system::sys::family,
};

/// Told of a signal as long as this lives.
#[derive(Debug)]
pub(crate) struct Registration(SigId);

/// Has `tell` be called whenever the process gets this signal, on any thread, in the midst of
/// whatever it does: it may do what signal-safety(7) allows, and neither lock nor allocate. From
/// now on the process does not end of the signal, and handlers that were there are called as well.
#[expect(unsafe_code, reason = "a function is registered that a signal handler calls")]
pub(crate) fn watch(
    number: c_int,
    tell: impl Fn() + Send + Sync + 'static,
) -> Result<Registration> {
    check(number)?;
    // SAFETY: the only one that is ever given sets flags, and writes to an eventfd or asks
    // kevent(2) to wake; the crate keeps `errno`.
    let registered = unsafe { register_sigaction(number, move |_| tell()) };
    registered.map(Registration).map_err(|cause| refusal(number, cause))
}

/// Fails if a signal of this number cannot be waited for: there is none, or a process ends or stops of
/// it whatever it does.
pub(crate) fn check(number: c_int) -> Result<()> {
    // Those of the last kind come again and again if a handler returns.
    if FORBIDDEN.contains(&number) || number == libc::SIGBUS {
        return Err(Error::invalid(format_args!("signal {number} is not one to wait for")));
    }
    if !(1..=family::last_signal()).contains(&number) {
        return Err(no_signal(number));
    }
    Ok(())
}

fn no_signal(number: c_int) -> Error {
    Error::invalid(format_args!("there is no signal {number}"))
}

fn refusal(number: c_int, cause: io::Error) -> Error {
    match Errno::from_io_error(&cause) {
        Some(Errno::INVAL) => no_signal(number),
        _ => Error::io_on(IoOperation::Signal, number, cause),
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        unregister(self.0);
    }
}
