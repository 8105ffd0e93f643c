//! How the system does it: the boundary between pure state above and system calls below.
//!
//! Resources (streams and listeners) talk to the driver; operations wait at resources. A closed set
//! of plain data goes down and completions come up. Readiness is emulated *below* this line, so
//! that every driver looks the same from above.
//!
//! # The contract of a driver
//!
//! - **D1** Each submitted operation ends with exactly one terminal completion, with everything it
//!   owned. Receiving and accepting are *continuing*: they bring any number of completions before
//!   the terminal one, until they are cancelled, fail, or the stream ends.
//! - **D2** Completions appear only in [`Driver::wait`] and [`Driver::take_done`]. What could
//!   finish at once is tried at once, but still queued.
//! - **D3** Between submission and terminal completion the driver alone touches the memory.
//! - **D4** Cancelling what is unknown or finished does nothing. What is cancelled completes as
//!   cancelled *or with its true result*: bytes and connections that arrived come up.
//! - **D5** `EINTR` never comes up, and `EAGAIN` only from connecting to a Unix socket whose
//!   backlog is full, and from sending to what has no room and cannot be waited for: a device, or
//!   a Unix socket whose queue of datagrams is full. Short
//!   reads and writes do come up. A wait that the kernel refuses for want of memory brings nothing,
//!   and is an error only if that lasts (`refusals.rs`).
//! - **D6** Of one resource, at most one send and one reception are submitted at a time.
//! - **D7** No submission and no cancel is lost, however full the system's queues are.
//! - **D8** Dropping a driver first makes the system stop, then frees; what the system will not
//!   give back is leaked.
//! - **D9** [`Driver::send_now`] is the one call that may have its outcome inside: what a socket
//!   takes at once needs no memory handed over and back. It is only asked while no send is
//!   submitted.
//!   [`Driver::send_datagram`] always has it inside, unless there is no room.
//! - **D10** A system tells a failure once. If a send is told it, its completion comes up before
//!   the end that the reception finds instead.
//!
//! Time is not the driver's: `wait` takes a timeout, deadlines live above.

mod any;
pub(crate) mod blocks;
mod close;
mod datagrams;
mod interface;
#[cfg(windows)]
mod iocp;
mod mio;
mod operation;
mod refusals;
mod release;

#[cfg(feature = "sim")]
mod sim;
#[cfg(all(target_os = "linux", feature = "io-uring"))]
mod uring;
mod waker;
mod workers;

pub(crate) use self::{
    any::AnyDriver,
    close::{end_in_order, may_wait_to_close},
    interface::Driver,
    operation::{Completion, Ended, Event, FileDone, FileTask, Operation, Readiness, Role},
    release::Release,
    waker::Waker,
};
