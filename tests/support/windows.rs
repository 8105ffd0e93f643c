//! What tests ask Windows itself: how many handles and how much memory a process has, whether
//! something has come to a socket or a handle is signalled, named pipes, and whether it is Windows.
#![expect(unsafe_code, reason = "std has no call for any of it")]

use std::{
    fs::File,
    io,
    os::windows::io::{
        AsRawHandle, AsRawSocket, AsSocket, BorrowedHandle, FromRawHandle, OwnedHandle,
    },
    process,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use windows_sys::Win32::{
    Foundation::{GetHandleInformation, INVALID_HANDLE_VALUE, WAIT_OBJECT_0, WAIT_TIMEOUT},
    Networking::WinSock::{POLLRDNORM, WSAPOLLFD, WSAPoll},
    Storage::FileSystem::{
        FILE_FLAG_OVERLAPPED, FILE_TYPE_UNKNOWN, GetFileType, PIPE_ACCESS_DUPLEX,
    },
    System::{
        LibraryLoader::{GetModuleHandleA, GetProcAddress},
        Pipes::{CreateNamedPipeW, PIPE_READMODE_MESSAGE, PIPE_TYPE_MESSAGE},
        ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS},
        Threading::{GetCurrentProcess, WaitForSingleObject},
    },
};

/// How many handles of files this process has open, which sockets, pipes and devices are, too. What
/// the system itself makes now and then, events and threads, is not counted.
///
/// They are asked for one by one, because Wine does not count them.
pub fn handles() -> usize {
    /// So many numbers in a row that are no handles are the end of them: the lowest free is used.
    const GAP: usize = 1024;
    let (mut count, mut last) = (0, 0);
    for number in 1.. {
        if number - last > GAP {
            break;
        }
        let (handle, mut flags) = (std::ptr::without_provenance_mut(4 * number), 0);
        // SAFETY: it may be any number, which is looked up; the flags live as long as the call.
        if unsafe { GetHandleInformation(handle, &raw mut flags) } != 0 {
            // SAFETY: as before.
            let kind = unsafe { GetFileType(handle) };
            (count, last) = (count + usize::from(kind != FILE_TYPE_UNKNOWN), number);
        }
    }
    count
}

/// Whether this is no Windows, but Wine.
pub(crate) fn is_wine() -> bool {
    // SAFETY: the name ends with a zero, and that library is always loaded.
    let library = unsafe { GetModuleHandleA(c"ntdll.dll".as_ptr().cast()) };
    // SAFETY: the library is never unloaded, and the name ends with a zero.
    unsafe { GetProcAddress(library, c"wine_get_version".as_ptr().cast()) }.is_some()
}

/// What is resident, in bytes: the working set.
pub fn resident() -> usize {
    let cb = size_of::<PROCESS_MEMORY_COUNTERS>().try_into().unwrap();
    let mut counters = PROCESS_MEMORY_COUNTERS { cb, ..Default::default() };
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

/// Waits until a handle is signalled. Returns whether it is, or so much time has passed instead.
pub fn wait_for(handle: BorrowedHandle<'_>, timeout: Duration) -> bool {
    let milliseconds = timeout.as_millis().try_into().unwrap();
    // SAFETY: the handle is lent for as long as the call.
    match unsafe { WaitForSingleObject(handle.as_raw_handle(), milliseconds) } {
        WAIT_OBJECT_0 => true,
        WAIT_TIMEOUT => false,
        _ => panic!("{}", io::Error::last_os_error()),
    }
}

/// A named pipe for both directions, with room for 4 KiB in each: its own end, which is overlapped,
/// and that of who opens it, which is not. With `messages` it keeps apart what is written.
pub fn named_pipe(messages: bool) -> (OwnedHandle, File) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    const ROOM: u32 = 4096;
    let number = NUMBER.fetch_add(1, Relaxed);
    let name = format!(r"\\.\pipe\facade-test-{}-{number}", process::id());
    let wide: Vec<u16> = name.encode_utf16().chain([0]).collect();
    let mode = if messages { PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE } else { 0 };
    let access = PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED;
    let security = std::ptr::null();
    // SAFETY: the name ends with a zero.
    let pipe = unsafe { CreateNamedPipeW(wide.as_ptr(), access, mode, 1, ROOM, ROOM, 0, security) };
    assert_ne!(pipe, INVALID_HANDLE_VALUE, "{}", io::Error::last_os_error());
    // SAFETY: it was made just now, and nobody else has it.
    let pipe = unsafe { OwnedHandle::from_raw_handle(pipe) };
    let other = File::options().read(true).write(true).open(name).unwrap();
    (pipe, other)
}
