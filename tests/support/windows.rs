//! What tests ask Windows itself: how many handles and how much memory a process has, and whether
//! something has come to a socket.
#![expect(unsafe_code, reason = "std has no call for any of it")]

use std::{
    io,
    os::windows::io::{AsRawSocket, AsSocket},
};

use windows_sys::Win32::{
    Networking::WinSock::{POLLRDNORM, WSAPOLLFD, WSAPoll},
    System::{
        ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS},
        Threading::{GetCurrentProcess, GetProcessHandleCount},
    },
};

/// How many handles this process has open: files, sockets and pipes as well as threads and events.
pub fn handles() -> usize {
    // SAFETY: it has no arguments, and what it returns is no handle that must be closed.
    let process = unsafe { GetCurrentProcess() };
    let mut count = 0;
    // SAFETY: the process is this one, and the count lives as long as the call.
    let done = unsafe { GetProcessHandleCount(process, &raw mut count) };
    assert_ne!(done, 0, "{}", io::Error::last_os_error());
    count.try_into().unwrap()
}

/// What is resident, in bytes: the working set.
pub fn resident() -> usize {
    let mut counters = PROCESS_MEMORY_COUNTERS::default();
    counters.cb = size_of::<PROCESS_MEMORY_COUNTERS>().try_into().unwrap();
    // SAFETY: it has no arguments, and what it returns is no handle that must be closed.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: the process is this one, and the counters are as large as they say.
    let done = unsafe { K32GetProcessMemoryInfo(process, &raw mut counters, counters.cb) };
    assert_ne!(done, 0, "{}", io::Error::last_os_error());
    counters.WorkingSetSize
}

/// Waits until a socket has something to be read, or has ended.
pub(crate) fn wait_until_readable(socket: &impl AsSocket) {
    let fd = usize::try_from(socket.as_socket().as_raw_socket()).unwrap();
    let mut polled = WSAPOLLFD { fd, events: POLLRDNORM, revents: 0 };
    /// Longer than anything in these tests takes, so that a hang becomes a failure.
    const PATIENCE: i32 = 60_000;
    // SAFETY: one entry, which lives as long as the call, of a socket that is lent for as long.
    let ready = unsafe { WSAPoll(&raw mut polled, 1, PATIENCE) };
    assert_eq!(ready, 1, "{}", io::Error::last_os_error());
}
