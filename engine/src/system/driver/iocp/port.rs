//! [`Port`]: the completion port, where the system says what has ended.
//!
//! Unsafe, because these are calls of the system; each takes handles that are open and memory of the
//! length that is said.

#![expect(unsafe_code, reason = "calls of the system")]

use std::{
    io,
    os::windows::io::{
        AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle, RawHandle,
    },
    ptr::{self, NonNull},
    time::Duration,
};

use windows_sys::Win32::{
    Foundation::{INVALID_HANDLE_VALUE, WAIT_TIMEOUT},
    System::{
        IO::{
            CreateIoCompletionPort, GetQueuedCompletionStatusEx, OVERLAPPED, OVERLAPPED_ENTRY,
            PostQueuedCompletionStatus,
        },
        Threading::{INFINITE, WaitForSingleObject},
    },
};

/// How many packets one call takes.
const BATCH: usize = 256;

/// A completion port.
#[derive(Debug)]
pub(crate) struct Port(OwnedHandle);

/// What has ended: the address that the operation was begun with, [`InFlight`] knows it.
///
/// [`InFlight`]: crate::system::driver::iocp::in_flight::InFlight
pub(super) type Packet = NonNull<OVERLAPPED>;

impl Port {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: makes a new one.
        let handle = unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, ptr::null_mut(), 0, 1) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was made just now, and nobody else has it.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(handle) }))
    }

    /// What ends on this handle is reported here from now on. Fails if it is reported elsewhere
    /// already, or was not made for that.
    pub(super) fn associate(&self, handle: RawHandle) -> io::Result<()> {
        let port = self.0.as_raw_handle();
        // SAFETY: both are open, the port because this owns it, the other as the caller has it.
        let done = unsafe { CreateIoCompletionPort(handle, port, 0, 0) };
        if done.is_null() { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Ends a wait, from any thread.
    pub(crate) fn wake(&self) {
        // SAFETY: the port is open. A packet without an address is nobody's operation. Fails only
        // for want of memory, and there is no other way to tell.
        unsafe { PostQueuedCompletionStatus(self.0.as_raw_handle(), 0, 0, ptr::null()) };
    }

    /// Waits until there is something to take, so long at most: where taking is refused for want of
    /// memory.
    pub(super) fn wait(&self, timeout: Duration) {
        let wait = u32::try_from(timeout.as_millis()).unwrap_or(INFINITE - 1);
        // SAFETY: the port is open. Whatever it says, there is something, or time has passed.
        unsafe { WaitForSingleObject(self.0.as_raw_handle(), wait) };
    }

    /// Takes what has ended; waits for it at most `timeout`, for ever if none.
    pub(super) fn take(
        &self,
        timeout: Option<Duration>,
        packets: &mut Vec<Packet>,
    ) -> io::Result<()> {
        let mut entries = [OVERLAPPED_ENTRY::default(); BATCH];
        let mut count = 0;
        let wait = timeout.map_or(INFINITE, |timeout| {
            u32::try_from(timeout.as_millis()).unwrap_or(INFINITE - 1).min(INFINITE - 1)
        });
        let len = u32::try_from(entries.len()).expect("a few");
        let port = self.0.as_raw_handle();
        // SAFETY: the port is open, and `entries` has room for `len` of them.
        let done = unsafe {
            GetQueuedCompletionStatusEx(port, entries.as_mut_ptr(), len, &raw mut count, wait, 0)
        };
        if done == 0 {
            let error = io::Error::last_os_error();
            let nothing = error.raw_os_error() == Some(WAIT_TIMEOUT.cast_signed());
            return if nothing { Ok(()) } else { Err(error) };
        }
        let ended = &entries[..count as usize];
        packets.extend(ended.iter().filter_map(|entry| NonNull::new(entry.lpOverlapped)));
        Ok(())
    }
}

impl AsHandle for Port {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    /// What a driver does while taking packets is refused: else it would hang here.
    #[test]
    fn a_wait_without_taking_ends_with_a_wake() {
        let port = Arc::new(Port::new().unwrap());
        let waiting = Arc::clone(&port);
        let waits = thread::spawn(move || waiting.wait(Duration::MAX));
        port.wake();
        waits.join().unwrap();
        let mut packets = Vec::new();
        port.take(Some(Duration::ZERO), &mut packets).unwrap();
        assert!(packets.is_empty(), "a wake is nobody's operation");
    }
}
