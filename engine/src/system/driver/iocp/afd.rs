//! [`Afd`]: asks the driver of Winsock when a socket is ready, where nothing that completes tells:
//! for room to send, and for sockets whose completions go to somebody else's port.
//!
//! There is no documented call that waits for room without sending, reports to a port, and leaves
//! the options of a socket alone that others may hold. This one is what select() itself asks the
//! driver, and what libuv, wepoll and mio have asked it since Windows Vista.
//!
//! Unsafe, because these are calls of the system; what it writes to stays where it is in a flight.

#![expect(unsafe_code, reason = "calls of the system")]

use std::{
    io,
    os::windows::io::{AsRawHandle, BorrowedSocket, FromRawHandle, OwnedHandle, RawHandle},
    ptr,
};

use windows_sys::{
    Wdk::{
        Foundation::OBJECT_ATTRIBUTES,
        Storage::FileSystem::{FILE_OPEN, NtCreateFile},
        System::IO::NtDeviceIoControlFile,
    },
    Win32::{
        Foundation::{
            HANDLE, NTSTATUS, RtlNtStatusToDosError, STATUS_PENDING, STATUS_SUCCESS, UNICODE_STRING,
        },
        Networking::WinSock::{SIO_BASE_HANDLE, SOCKET, WSAIoctl},
        Storage::FileSystem::{
            FILE_SHARE_READ, FILE_SHARE_WRITE, SYNCHRONIZE, SetFileCompletionNotificationModes,
        },
        System::{
            IO::{IO_STATUS_BLOCK, OVERLAPPED},
            WindowsProgramming::FILE_SKIP_SET_EVENT_ON_HANDLE,
        },
    },
};

use crate::system::{
    driver::iocp::port::Port,
    sys::{errno::Errno, socket::number},
};

const IOCTL_AFD_POLL: u32 = 0x0001_2024;

/// There is something to receive, its end among it.
pub(super) const RECEIVE: u32 = 0x0001;
/// There is room.
pub(super) const SEND: u32 = 0x0004;
/// The peer has ended its direction.
pub(super) const DISCONNECT: u32 = 0x0008;
/// The connection was reset.
pub(super) const ABORT: u32 = 0x0010;
/// The socket was closed here.
pub(super) const LOCAL_CLOSE: u32 = 0x0020;
/// A connection waits to be accepted.
pub(super) const ACCEPT: u32 = 0x0080;

/// What is asked, and where the answer is written.
#[repr(C)]
#[derive(Debug)]
pub(super) struct PollInfo {
    timeout: i64,
    number_of_handles: u32,
    exclusive: u32,
    handle: HANDLE,
    events: u32,
    status: NTSTATUS,
}

impl PollInfo {
    /// Asks for one of these events, without an end.
    pub(super) const fn new(base: HANDLE, events: u32) -> Self {
        let (timeout, number_of_handles, exclusive) = (i64::MAX, 1, 0);
        Self { timeout, number_of_handles, exclusive, handle: base, events, status: 0 }
    }
}

/// The driver of Winsock.
#[derive(Debug)]
pub(super) struct Afd(OwnedHandle);

impl Afd {
    /// Opens it; what it answers is reported to this port.
    pub(super) fn open(port: &Port) -> io::Result<Self> {
        let mut name: Vec<u16> = r"\Device\Afd\Facade".encode_utf16().collect();
        let len = u16::try_from(size_of_val(&*name)).expect("a few bytes");
        let name = UNICODE_STRING { Length: len, MaximumLength: len, Buffer: name.as_mut_ptr() };
        let attributes = OBJECT_ATTRIBUTES {
            Length: u32::try_from(size_of::<OBJECT_ATTRIBUTES>()).expect("a few bytes"),
            RootDirectory: ptr::null_mut(),
            ObjectName: &raw const name,
            Attributes: 0,
            SecurityDescriptor: ptr::null(),
            SecurityQualityOfService: ptr::null(),
        };
        let mut handle = ptr::null_mut();
        let mut status = IO_STATUS_BLOCK::default();
        // SAFETY: all that is pointed to lives through the call, which is over when it returns:
        // the handle is opened to be waited for, and opening this driver waits for nothing.
        let answer = unsafe {
            NtCreateFile(
                &raw mut handle,
                SYNCHRONIZE,
                &raw const attributes,
                &raw mut status,
                ptr::null(),
                0,
                FILE_SHARE_READ | FILE_SHARE_WRITE,
                FILE_OPEN,
                0,
                ptr::null(),
                0,
            )
        };
        if answer != STATUS_SUCCESS {
            return Err(error_of(answer).into());
        }
        // SAFETY: it was opened just now, and nobody else has it.
        let afd = Self(unsafe { OwnedHandle::from_raw_handle(handle) });
        port.associate(handle)?;
        let modes = u8::try_from(FILE_SKIP_SET_EVENT_ON_HANDLE).expect("one bit");
        // SAFETY: the handle is open. Without this mode it works as well.
        unsafe { SetFileCompletionNotificationModes(handle, modes) };
        Ok(afd)
    }

    /// The handle that a poll is begun on, and so cancelled on.
    pub(super) fn handle(&self) -> RawHandle {
        self.0.as_raw_handle()
    }

    /// Begins a poll. Its packet comes in any case, unless this fails.
    ///
    /// # Safety
    ///
    /// Both pointers must stay valid, and be touched by nobody else, until the packet with
    /// `overlapped` has come.
    pub(super) unsafe fn poll(
        &self,
        info: *mut PollInfo,
        overlapped: *mut OVERLAPPED,
    ) -> Result<(), Errno> {
        let len = u32::try_from(size_of::<PollInfo>()).expect("a few bytes");
        // SAFETY: the handle is open. An OVERLAPPED begins with an IO_STATUS_BLOCK, as the
        // functions of Win32 use it themselves; the rest as the caller says.
        let answer = unsafe {
            NtDeviceIoControlFile(
                self.handle(),
                ptr::null_mut(),
                None,
                overlapped.cast(),
                overlapped.cast(),
                IOCTL_AFD_POLL,
                info.cast(),
                len,
                info.cast(),
                len,
            )
        };
        match answer {
            STATUS_SUCCESS | STATUS_PENDING => Ok(()),
            failure => Err(error_of(failure)),
        }
    }
}

/// The socket that the driver knows, beneath what other software may have put on top of it.
pub(super) fn base_of(socket: BorrowedSocket<'_>) -> io::Result<HANDLE> {
    let mut base: SOCKET = 0;
    let mut len = 0;
    let room = u32::try_from(size_of_val(&base)).expect("a few bytes");
    // SAFETY: the socket is open as long as it is borrowed, and `base` has the room that is said.
    let done = unsafe {
        WSAIoctl(
            number(socket),
            SIO_BASE_HANDLE,
            ptr::null(),
            0,
            (&raw mut base).cast(),
            room,
            &raw mut len,
            ptr::null_mut(),
            None,
        )
    };
    if done == 0 { Ok(base as HANDLE) } else { Err(io::Error::last_os_error()) }
}

fn error_of(status: NTSTATUS) -> Errno {
    // SAFETY: computes a number from a number.
    let number = unsafe { RtlNtStatusToDosError(status) };
    Errno::from_win32(number)
}
