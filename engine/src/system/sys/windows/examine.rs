//! Finds out what a socket or handle is that the program brings, and prepares it.

use std::{
    io,
    os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle},
};

use socket2::{SockRef, Type};
use windows_sys::{
    Wdk::Storage::FileSystem::{FileAccessInformation, NtQueryInformationFile},
    Win32::{
        Foundation::{INVALID_HANDLE_VALUE, STATUS_SUCCESS},
        Storage::FileSystem::{
            FILE_APPEND_DATA, FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_TAG_INFO,
            FILE_FLAG_OVERLAPPED, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE,
            FILE_TYPE_CHAR, FILE_TYPE_DISK, FILE_TYPE_PIPE, FILE_WRITE_DATA, FileAttributeTagInfo,
            GetFileInformationByHandleEx, GetFileType, ReOpenFile,
        },
        System::{Console::GetConsoleMode, IO::IO_STATUS_BLOCK},
    },
};

use crate::{
    pure::error::{Error, IoOperation, Result},
    system::{
        fd_kind::FdKind,
        sys::{
            owned::{self, BorrowedDescriptor, OwnedDescriptor},
            socket::is_listener,
        },
    },
};

/// What was found out about a socket or handle that becomes a stream.
pub(crate) struct Examined {
    pub(crate) fd: OwnedDescriptor,
    pub(crate) fd_kind: FdKind,
}

/// Finds out what a socket or handle is and prepares it: sockets become non-blocking and without
/// Nagle's delay. Of a pipe, a console or a device no call can be told not to wait, whoever holds
/// it: so it counts as shared, and threads wait for it.
pub(crate) fn examine(fd: OwnedDescriptor, _exclusive: bool) -> Result<Examined> {
    let fd_kind = match owned::borrow(&fd) {
        borrowed @ BorrowedDescriptor::Socket(_) => {
            FdKind::Socket { tcp: examine_socket(borrowed)? }
        }
        BorrowedDescriptor::Handle(handle) => examine_handle(handle)?,
    };
    Ok(Examined { fd, fd_kind })
}

/// What an examination fails with if the system refuses.
fn failure_of(fd: BorrowedDescriptor<'_>) -> impl Fn(io::Error) -> Error {
    move |cause| Error::io_on(IoOperation::Attach, owned::label(fd), cause)
}

fn socket_of<'a>(fd: &'a BorrowedDescriptor<'_>, what: &str) -> Result<SockRef<'a>> {
    fd.socket().ok_or_else(|| Error::invalid(format_args!("not a socket, so not {what}")))
}

/// Checks that a socket is a connected stream. Returns whether it is TCP.
fn examine_socket(fd: BorrowedDescriptor<'_>) -> Result<bool> {
    let failed = failure_of(fd);
    let socket = socket_of(&fd, "a stream")?;
    if socket.r#type().map_err(&failed)? != Type::STREAM {
        return Err(Error::unsupported("only stream sockets are streams"));
    }
    if is_listener(&socket).map_err(&failed)? {
        return Err(Error::invalid("a listening socket is not a stream: use attach_listener"));
    }
    let tcp = socket.local_addr().map_err(&failed)?.as_socket().is_some();
    if tcp {
        socket.set_tcp_nodelay(true).map_err(&failed)?;
    }
    socket.set_nonblocking(true).map_err(&failed)?;
    Ok(tcp)
}

#[expect(unsafe_code, reason = "calls that only look at an open handle")]
fn examine_handle(handle: BorrowedHandle<'_>) -> Result<FdKind> {
    let raw = handle.as_raw_handle();
    // SAFETY: the handle is open as long as it is borrowed.
    match unsafe { GetFileType(raw) } {
        FILE_TYPE_DISK => {
            if is_directory(handle)? {
                return Err(Error::invalid("a directory is not a stream"));
            }
            Ok(FdKind::File { append: appends(handle) })
        }
        FILE_TYPE_PIPE => Ok(FdKind::Pipe { shared: true }),
        FILE_TYPE_CHAR => {
            let mut mode = 0;
            // SAFETY: as above; `mode` is written to.
            let is_console = unsafe { GetConsoleMode(raw, &raw mut mode) } != 0;
            Ok(match is_console {
                true => FdKind::Terminal { shared: true },
                false => FdKind::Device { shared: true },
            })
        }
        _ => Err(Error::unsupported("this kind of handle is not a stream")),
    }
}

#[expect(unsafe_code, reason = "a call that only looks at an open handle")]
fn is_directory(handle: BorrowedHandle<'_>) -> Result<bool> {
    let mut info = FILE_ATTRIBUTE_TAG_INFO::default();
    let size = u32::try_from(size_of_val(&info)).expect("a few bytes");
    let raw = handle.as_raw_handle();
    // SAFETY: the handle is open as long as it is borrowed, and `info` is as long as is said.
    let done = unsafe {
        GetFileInformationByHandleEx(raw, FileAttributeTagInfo, (&raw mut info).cast(), size)
    };
    if done == 0 {
        let failed = failure_of(BorrowedDescriptor::Handle(handle));
        return Err(failed(io::Error::last_os_error()));
    }
    Ok(info.FileAttributes & FILE_ATTRIBUTE_DIRECTORY != 0)
}

/// Whether a file was opened for appending only: the system then writes at its end, whatever
/// position is asked for, see FILE_APPEND_DATA.
fn appends(handle: BorrowedHandle<'_>) -> bool {
    let appends = FILE_APPEND_DATA;
    access_of(handle).is_some_and(|access| access & (appends | FILE_WRITE_DATA) == appends)
}

/// What may be done by a handle.
#[expect(unsafe_code, reason = "a call that only looks at an open handle")]
fn access_of(handle: BorrowedHandle<'_>) -> Option<u32> {
    let mut access: u32 = 0;
    let mut status = IO_STATUS_BLOCK::default();
    let raw = handle.as_raw_handle();
    let size = u32::try_from(size_of_val(&access)).expect("a few bytes");
    let to = (&raw mut access).cast();
    // SAFETY: the handle is open as long as it is borrowed, and `access` is as long as is said.
    let answer =
        unsafe { NtQueryInformationFile(raw, &raw mut status, to, size, FileAccessInformation) };
    (answer == STATUS_SUCCESS).then_some(access)
}

/// Has a file be read and written by position without moving the cursor of those who hold it, and
/// several at once: it is opened a second time. Where the system refuses that, because somebody has
/// it for himself or it is deleted, the one that is there does.
#[expect(unsafe_code, reason = "a call of the system that makes a handle")]
pub(crate) fn with_own_cursor(fd: OwnedDescriptor) -> OwnedDescriptor {
    let OwnedDescriptor::Handle(handle) = &fd else { return fd };
    let Some(access) = access_of(handle.as_handle()) else { return fd };
    let sharing = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    // SAFETY: the handle is open.
    let own = unsafe { ReOpenFile(handle.as_raw_handle(), access, sharing, FILE_FLAG_OVERLAPPED) };
    if own == INVALID_HANDLE_VALUE {
        return fd;
    }
    // SAFETY: it was made just now, and nobody else has it.
    unsafe { OwnedHandle::from_raw_handle(own) }.into()
}

/// Checks that something is read and written by position. Returns whether it was opened for
/// appending.
pub(crate) fn examine_file(fd: BorrowedDescriptor<'_>) -> Result<bool> {
    match fd.as_handle().map(examine_handle).transpose()? {
        Some(FdKind::File { append }) => Ok(append),
        _ => Err(Error::invalid("not a file with positions: attach makes a stream of it")),
    }
}

/// Checks that a socket listens for stream connections, makes it non-blocking, and without Nagle's
/// delay if it is TCP, which is returned.
pub(crate) fn examine_listener(fd: BorrowedDescriptor<'_>) -> Result<bool> {
    let failed = failure_of(fd);
    let socket = socket_of(&fd, "a listener")?;
    if !is_listener(&socket).map_err(&failed)? {
        return Err(Error::invalid("the socket does not listen"));
    }
    if socket.r#type().map_err(&failed)? != Type::STREAM {
        return Err(Error::unsupported("only stream sockets are listened on"));
    }
    socket.set_nonblocking(true).map_err(&failed)?;
    let tcp = socket.local_addr().map_err(&failed)?.as_socket().is_some();
    if tcp {
        socket.set_tcp_nodelay(true).map_err(&failed)?;
    }
    Ok(tcp)
}

/// Checks that a socket is one of datagrams, and makes it non-blocking. Returns whether it is a
/// Unix socket, of which this system has none.
pub(crate) fn examine_datagrams(fd: BorrowedDescriptor<'_>) -> Result<bool> {
    let failed = failure_of(fd);
    let socket = socket_of(&fd, "one of datagrams")?;
    if socket.r#type().map_err(&failed)? != Type::DGRAM {
        return Err(Error::invalid("not a socket of datagrams"));
    }
    socket.set_nonblocking(true).map_err(&failed)?;
    Ok(false)
}
