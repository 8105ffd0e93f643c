//! [`InFlight`]: what the system has in hand, and the memory that it may touch until it says that
//! an operation has ended (D3).
//!
//! A flight is a box whose address is given to the system as that of its OVERLAPPED. From then on
//! nobody touches it but by that address, until the packet with it has come: only [`InFlight::end`]
//! makes a box of it again. A flight that the system never gives back is leaked (D8).

#![expect(unsafe_code, reason = "operations of the system, and memory that it has in hand")]

use std::{
    collections::HashSet,
    mem::MaybeUninit,
    os::windows::io::{AsRawHandle, AsRawSocket, BorrowedHandle, BorrowedSocket, RawHandle},
    ptr::{self, NonNull},
    sync::OnceLock,
};

use bytes::Bytes;
use socket2::{SockAddr, Socket};
use windows_sys::{
    Win32::{
        Foundation::{
            NTSTATUS, RtlNtStatusToDosError, STATUS_BUFFER_OVERFLOW, STATUS_CANCELLED,
            STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_REFUSED, STATUS_CONNECTION_RESET,
            STATUS_HOST_UNREACHABLE, STATUS_INSUFFICIENT_RESOURCES, STATUS_IO_TIMEOUT,
            STATUS_LOCAL_DISCONNECT, STATUS_NETWORK_UNREACHABLE, STATUS_REMOTE_DISCONNECT,
        },
        Networking::WinSock::{
            LPFN_ACCEPTEX, LPFN_CONNECTEX, SIO_GET_EXTENSION_FUNCTION_POINTER, SO_PROTOCOL_INFOW,
            SO_UPDATE_ACCEPT_CONTEXT, SO_UPDATE_CONNECT_CONTEXT, SOCKADDR_STORAGE, SOCKET,
            SOL_SOCKET, WSA_IO_PENDING, WSABUF, WSAGetLastError, WSAID_ACCEPTEX, WSAID_CONNECTEX,
            WSAIoctl, WSAPROTOCOL_INFOW, WSARecv, XP1_IFS_HANDLES, getsockopt, setsockopt,
        },
        Storage::FileSystem::{ReadFile, SetFileCompletionNotificationModes, WriteFile},
        System::{
            IO::{CancelIoEx, OVERLAPPED},
            WindowsProgramming::{
                FILE_SKIP_COMPLETION_PORT_ON_SUCCESS, FILE_SKIP_SET_EVENT_ON_HANDLE,
            },
        },
    },
    core::{BOOL, GUID},
};

use crate::{
    pure::table::{Id, Table},
    system::{
        descriptor::Held,
        driver::iocp::{
            afd::{Afd, PollInfo},
            memory::Memory,
            port::Packet,
        },
        sys::{errno::Errno, socket::number, syscall},
    },
};

/// An operation of the system, and what it works with.
#[repr(C)]
struct Flight {
    /// First, so that its address is that of the flight.
    overlapped: OVERLAPPED,
    id: Id,
    resource: Id,
    /// What it was begun on, to be cancelled by.
    handle: RawHandle,
    /// How much it did, if it ended inside the call that began it and no packet comes.
    at_once: Option<u32>,
    work: Work,
}

/// What an operation does.
#[derive(Debug)]
pub(super) enum Work {
    /// Receives nothing: ends when there is something to receive.
    Receive,
    /// Accepts with this socket.
    Accept(Box<Accepting>),
    /// Connects to this address.
    Connect(Box<SockAddr>),
    /// Waits until there is something to receive or accept.
    PollIn(PollInfo),
    /// Waits until there is room to send.
    PollOut(PollInfo),
    /// Waits until a socket is ready, and that is all.
    Poll(PollInfo),
    /// Reads a pipe into this block.
    ReadPipe(Vec<u8>),
    /// Writes this to a pipe, which is not closed before.
    WritePipe(Vec<u8>, Held),
    /// Reads from a file into so much of this block, for an operation above.
    ReadFile { operation: Id, offset: u64, block: Vec<u8>, size: usize },
    /// Writes this to a file, for an operation above.
    WriteFile { operation: Id, offset: u64, bytes: Bytes },
}

/// A socket that becomes the next connection.
#[derive(Debug)]
pub(super) struct Accepting {
    pub(super) socket: Socket,
    /// Where the system writes the addresses of both ends, in a form of its own.
    addresses: [u8; 2 * ADDRESS_LEN],
}

/// What AcceptEx wants for an address: sixteen bytes more than the longest has.
const ADDRESS_LEN: usize = size_of::<SOCKADDR_STORAGE>() + 16;

impl Accepting {
    pub(super) fn new(socket: Socket) -> Box<Self> {
        Box::new(Self { socket, addresses: [0; 2 * ADDRESS_LEN] })
    }
}

/// What has become of an operation.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) resource: Id,
    pub(super) work: Work,
    /// How many bytes it moved.
    pub(super) result: Result<usize, Errno>,
}

/// What became of the beginning of an operation.
#[derive(Debug)]
pub(super) enum Begun {
    /// A packet will tell of this one.
    Pending(Id),
    /// No packet comes: it has ended already, and is to be treated as if this one had come.
    AtOnce(Id, Packet),
}

/// What an operation is begun on.
#[derive(Debug, Clone, Copy)]
pub(super) struct On<'a> {
    pub(super) resource: Id,
    pub(super) socket: BorrowedSocket<'a>,
    /// Whether no packet comes of what ends inside its call, see [`skip_on_success`].
    pub(super) skips: bool,
}

/// All that the system has in hand.
#[derive(Debug)]
pub(super) struct InFlight {
    flights: Table<NonNull<Flight>>,
    /// Where they are. A packet may be nobody's: others who hold a handle begin operations of their
    /// own on it, and the system reports those to the port, too.
    places: HashSet<Packet>,
    /// Where their memory goes.
    memory: Memory,
}

impl InFlight {
    pub(super) fn new() -> Self {
        Self { flights: Table::new(), places: HashSet::new(), memory: Memory::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }

    /// Begins an operation on a socket. Polls are begun by [`poll`](Self::poll).
    pub(super) fn begin(&mut self, on: On<'_>, work: Work) -> Result<Begun, (Errno, Work)> {
        let handle = on.socket.as_raw_socket() as RawHandle;
        let flight = self.board(on.resource, handle, work);
        let socket = number(on.socket);
        let mut count = 0;
        let (overlapped, work) = parts(flight);
        let begun = match work {
            // SAFETY: of all three: the flight is boxed, and touched by nobody else until its
            // packet has come.
            Work::Receive => unsafe { receive(socket, &mut count, overlapped) },
            // SAFETY: as above.
            Work::Accept(accepting) => unsafe { accept(socket, accepting, &mut count, overlapped) },
            // SAFETY: as above.
            Work::Connect(to) => unsafe { connect(socket, to, &mut count, overlapped) },
            _ => Err(Errno::INVAL),
        };
        self.took_off(flight, begun.map(|at_once| at_once && on.skips), count)
    }

    /// Begins an operation on a handle. Its packet comes in any case, unless this fails.
    pub(super) fn begin_on_handle(
        &mut self,
        resource: Id,
        handle: BorrowedHandle<'_>,
        work: Work,
    ) -> Result<Id, (Errno, Work)> {
        let handle = handle.as_raw_handle();
        let flight = self.board(resource, handle, work);
        let (overlapped, work) = parts(flight);
        let begun = match work {
            // SAFETY: of all four: the flight is boxed, and neither it nor the memory that it owns
            // is touched by anybody else until its packet has come.
            Work::ReadPipe(block) => unsafe { read(handle, block, 0, overlapped) },
            // SAFETY: as above.
            Work::WritePipe(bytes, _) => unsafe { write(handle, bytes, 0, overlapped) },
            Work::ReadFile { offset, block, size, .. } => {
                // SAFETY: as above.
                unsafe { read(handle, &mut block[..*size], *offset, overlapped) }
            }
            Work::WriteFile { offset, bytes, .. } => {
                // SAFETY: as above.
                unsafe { write(handle, bytes, *offset, overlapped) }
            }
            _ => Err(Errno::INVAL),
        };
        match self.took_off(flight, begun.map(|()| false), 0)? {
            Begun::Pending(key) | Begun::AtOnce(key, _) => Ok(key),
        }
    }

    /// Begins a poll.
    pub(super) fn poll(
        &mut self,
        afd: &Afd,
        resource: Id,
        work: Work,
    ) -> Result<Begun, (Errno, Work)> {
        let flight = self.board(resource, afd.handle(), work);
        let (overlapped, work) = parts(flight);
        let begun = match work {
            // SAFETY: the flight is boxed, and touched by nobody else until its packet has come.
            Work::PollIn(info) | Work::PollOut(info) | Work::Poll(info) => unsafe {
                afd.poll(info, overlapped)
            },
            _ => Err(Errno::INVAL),
        };
        self.took_off(flight, begun.map(|()| false), 0)
    }

    fn board(&mut self, resource: Id, handle: RawHandle, work: Work) -> NonNull<Flight> {
        let overlapped = OVERLAPPED::default();
        let (id, at_once) = (Id::NONE, None);
        let flight = Box::new(Flight { overlapped, id, resource, handle, at_once, work });
        let flight = NonNull::from(Box::leak(flight));
        let id = self.flights.insert(flight);
        self.places.insert(flight.cast());
        // SAFETY: nobody else has it yet.
        unsafe { (*flight.as_ptr()).id = id };
        flight
    }

    /// An operation was begun: for good, and whether it has ended already, or not at all.
    fn took_off(
        &mut self,
        flight: NonNull<Flight>,
        begun: Result<bool, Errno>,
        count: u32,
    ) -> Result<Begun, (Errno, Work)> {
        // SAFETY: what is read was written before it was begun, and the system does not touch it.
        let id = unsafe { (*flight.as_ptr()).id };
        match begun {
            Ok(false) => Ok(Begun::Pending(id)),
            Ok(true) => {
                // SAFETY: it has ended, and no packet comes.
                unsafe { (*flight.as_ptr()).at_once = Some(count) };
                Ok(Begun::AtOnce(id, flight.cast()))
            }
            Err(error) => {
                self.flights.remove(id);
                self.places.remove(&flight.cast());
                // SAFETY: the system has refused it, and does not know it any more.
                let Flight { work, .. } = unsafe { self.land(flight) };
                Err((error, work))
            }
        }
    }

    /// An operation has ended, as its packet says.
    pub(super) fn end(&mut self, packet: Packet) -> Option<Report> {
        if !self.places.remove(&packet) {
            return None;
        }
        let flight: NonNull<Flight> = packet.cast();
        // SAFETY: it is a flight, which is in the table until its one packet has come, and so not
        // freed.
        let id = unsafe { (*flight.as_ptr()).id };
        self.flights.remove(id)?;
        // SAFETY: its packet has come, so the system has let go of it; and it was in the table,
        // so this is the first and only time.
        let Flight { overlapped, resource, at_once, work, .. } = unsafe { self.land(flight) };
        let result = match at_once {
            Some(count) => Ok(count as usize),
            None => outcome(&overlapped),
        };
        let work = self.settle(work);
        Some(Report { resource, work, result })
    }

    /// Takes what is in a flight, and lets go of its memory.
    ///
    /// # Safety
    ///
    /// The system must have let go of it, and it must not be used again.
    unsafe fn land(&mut self, flight: NonNull<Flight>) -> Flight {
        // SAFETY: it was boxed, and what is moved out is not used where it was: the memory is
        // taken over as if nothing were in it.
        let landed = unsafe { flight.read() };
        // SAFETY: as above; a flight and its place have one layout.
        self.memory
            .take_place(unsafe { Box::from_raw(flight.cast::<MaybeUninit<Flight>>().as_ptr()) });
        landed
    }

    /// Has memory that the system wrote to, or read from, go the way of a flight's.
    fn settle(&mut self, work: Work) -> Work {
        match work {
            Work::ReadPipe(block) => Work::ReadPipe(self.memory.take_block(block)),
            Work::ReadFile { operation, offset, block, size } => {
                Work::ReadFile { operation, offset, block: self.memory.take_block(block), size }
            }
            Work::WritePipe(bytes, held) => Work::WritePipe(self.memory.take_block(bytes), held),
            other => other,
        }
    }

    /// Asks the system to end an operation. Its packet comes in any case, with its true result if
    /// that was sooner (D4).
    pub(super) fn cancel(&self, id: Id) {
        if let Some(flight) = self.flights.get(id) {
            cancel(*flight);
        }
    }

    /// Asks the system to end the read of a file. A write ends by itself: of one that is cancelled
    /// nobody says how much is in the file.
    pub(super) fn cancel_read(&self, id: Id) {
        if let Some(flight) = self.flights.get(id) {
            // SAFETY: it is in the table and so not freed, and the system does not touch this.
            let work = unsafe { &(*flight.as_ptr()).work };
            if matches!(work, Work::ReadFile { .. }) {
                cancel(*flight);
            }
        }
    }

    pub(super) fn cancel_all(&self) {
        for id in self.flights.ids() {
            self.cancel(id);
        }
    }
}

fn cancel(flight: NonNull<Flight>) {
    // SAFETY: the flight is in the table and so not freed, and the system does not touch this.
    let handle = unsafe { (*flight.as_ptr()).handle };
    // SAFETY: computes an address within the flight.
    let overlapped = unsafe { &raw const (*flight.as_ptr()).overlapped };
    // SAFETY: the handle is open, or the system says that it knows no such operation on it.
    unsafe { CancelIoEx(handle, overlapped) };
}

/// What the system is given of a flight that is about to begin, and what it is to do.
fn parts<'a>(flight: NonNull<Flight>) -> (*mut OVERLAPPED, &'a mut Work) {
    // SAFETY: computes an address within the flight, which was boxed just now.
    let overlapped = unsafe { &raw mut (*flight.as_ptr()).overlapped };
    // SAFETY: nobody else has it yet, and the caller does not keep this longer than its call.
    (overlapped, unsafe { &mut (*flight.as_ptr()).work })
}

/// What the system says of an operation that has ended.
fn outcome(overlapped: &OVERLAPPED) -> Result<usize, Errno> {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the status")]
    let status = overlapped.Internal as NTSTATUS;
    match status {
        // Of a message that is longer than the block the rest comes next.
        0.. | STATUS_BUFFER_OVERFLOW => Ok(overlapped.InternalHigh),
        STATUS_CANCELLED => Err(Errno::CANCELED),
        STATUS_CONNECTION_RESET | STATUS_REMOTE_DISCONNECT => Err(Errno::CONNRESET),
        STATUS_CONNECTION_ABORTED | STATUS_LOCAL_DISCONNECT => Err(Errno::CONNABORTED),
        STATUS_CONNECTION_REFUSED => Err(Errno::CONNREFUSED),
        STATUS_IO_TIMEOUT => Err(Errno::TIMEDOUT),
        STATUS_HOST_UNREACHABLE => Err(Errno::HOSTUNREACH),
        STATUS_NETWORK_UNREACHABLE => Err(Errno::NETUNREACH),
        STATUS_INSUFFICIENT_RESOURCES => Err(Errno::NOBUFS),
        // SAFETY: computes a number from a number.
        other => Err(Errno::from_win32(unsafe { RtlNtStatusToDosError(other) })),
    }
}

/// What a call of Winsock says: whether it has ended at once.
fn begun(done: i32) -> Result<bool, Errno> {
    if done == 0 {
        return Ok(true);
    }
    // SAFETY: reads what this thread's last call has left.
    match unsafe { WSAGetLastError() } {
        WSA_IO_PENDING => Ok(false),
        error => Err(Errno::from_winsock(error)),
    }
}

/// # Safety
///
/// `overlapped` must stay valid, and be touched by nobody else, until the packet has come.
unsafe fn receive(
    socket: SOCKET,
    count: &mut u32,
    overlapped: *mut OVERLAPPED,
) -> Result<bool, Errno> {
    let nothing = WSABUF { len: 0, buf: ptr::null_mut() };
    let mut flags = 0;
    // SAFETY: as the caller says; no memory is received into.
    begun(unsafe {
        WSARecv(socket, &raw const nothing, 1, count, &raw mut flags, overlapped, None)
    })
}

/// # Safety
///
/// As of [`receive`], of what is accepted with.
unsafe fn accept(
    listener: SOCKET,
    accepting: &mut Accepting,
    count: &mut u32,
    overlapped: *mut OVERLAPPED,
) -> Result<bool, Errno> {
    static ACCEPT_EX: OnceLock<LPFN_ACCEPTEX> = OnceLock::new();
    let Some(accept_ex) = extension(&ACCEPT_EX, listener, WSAID_ACCEPTEX)? else {
        return Err(Errno::INVAL);
    };
    let len = u32::try_from(ADDRESS_LEN).expect("a few bytes");
    let socket = SOCKET::try_from(accepting.socket.as_raw_socket()).expect("as wide as a pointer");
    let addresses = accepting.addresses.as_mut_ptr().cast();
    // SAFETY: as the caller says; there is room for both addresses, and none for first bytes.
    let done = unsafe { accept_ex(listener, socket, addresses, 0, len, len, count, overlapped) };
    begun(i32::from(done == 0))
}

/// # Safety
///
/// As of [`receive`], of the address.
unsafe fn connect(
    socket: SOCKET,
    to: &SockAddr,
    count: &mut u32,
    overlapped: *mut OVERLAPPED,
) -> Result<bool, Errno> {
    static CONNECT_EX: OnceLock<LPFN_CONNECTEX> = OnceLock::new();
    let Some(connect_ex) = extension(&CONNECT_EX, socket, WSAID_CONNECTEX)? else {
        return Err(Errno::INVAL);
    };
    // SAFETY: as the caller says; nothing is sent along.
    let done = unsafe {
        connect_ex(socket, to.as_ptr().cast(), to.len(), ptr::null(), 0, count, overlapped)
    };
    begun(i32::from(done == 0))
}

/// # Safety
///
/// As of [`receive`], of the block.
unsafe fn read(
    handle: RawHandle,
    block: &mut [u8],
    offset: u64,
    overlapped: *mut OVERLAPPED,
) -> Result<(), Errno> {
    // SAFETY: nobody else has it yet.
    unsafe { *overlapped = syscall::overlapped_at(offset) };
    let most = u32::try_from(block.len()).unwrap_or(u32::MAX);
    // SAFETY: as the caller says.
    begun_on_handle(unsafe {
        ReadFile(handle, block.as_mut_ptr(), most, ptr::null_mut(), overlapped)
    })
}

/// # Safety
///
/// As of [`receive`], of the bytes.
unsafe fn write(
    handle: RawHandle,
    bytes: &[u8],
    offset: u64,
    overlapped: *mut OVERLAPPED,
) -> Result<(), Errno> {
    // SAFETY: nobody else has it yet.
    unsafe { *overlapped = syscall::overlapped_at(offset) };
    let most = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    // SAFETY: as the caller says.
    begun_on_handle(unsafe { WriteFile(handle, bytes.as_ptr(), most, ptr::null_mut(), overlapped) })
}

/// What a call says that begins an operation on a handle: whether a packet comes. One does unless it
/// has failed, and a warning, that a message is longer than the block, is no failure.
fn begun_on_handle(done: BOOL) -> Result<(), Errno> {
    if done != 0 {
        return Ok(());
    }
    match syscall::last_error() {
        Errno::IO_PENDING | Errno::MORE_DATA => Ok(()),
        error => Err(error),
    }
}

/// A function that Winsock gives a pointer to. `F` is an optional pointer to one.
fn extension<F: Copy>(known: &'static OnceLock<F>, socket: SOCKET, name: GUID) -> Result<F, Errno> {
    if let Some(known) = known.get() {
        return Ok(*known);
    }
    let mut function = MaybeUninit::<F>::zeroed();
    let room = u32::try_from(size_of::<F>()).expect("a few bytes");
    let name_len = u32::try_from(size_of::<GUID>()).expect("a few bytes");
    let mut len = 0;
    // SAFETY: the socket is open, and the memory is as long as is said.
    let done = unsafe {
        WSAIoctl(
            socket,
            SIO_GET_EXTENSION_FUNCTION_POINTER,
            (&raw const name).cast(),
            name_len,
            function.as_mut_ptr().cast(),
            room,
            &raw mut len,
            ptr::null_mut(),
            None,
        )
    };
    if done != 0 {
        // SAFETY: reads what this thread's last call has left.
        return Err(Errno::from_winsock(unsafe { WSAGetLastError() }));
    }
    // SAFETY: zeros are no pointer, and else it is the one that was asked for by its name.
    let function = unsafe { function.assume_init() };
    Ok(*known.get_or_init(|| function))
}

/// A connection was accepted with this socket, which takes over what the listener has set.
pub(super) fn update_accepted(socket: &Socket, listener: BorrowedSocket<'_>) -> Result<(), Errno> {
    let listener = number(listener);
    let value = (&raw const listener).cast();
    let len = i32::try_from(size_of_val(&listener)).expect("a few bytes");
    let socket = SOCKET::try_from(socket.as_raw_socket()).expect("as wide as a pointer");
    // SAFETY: both are open, and the value is as long as is said.
    let done = unsafe { setsockopt(socket, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, value, len) };
    begun(done).map(drop)
}

/// A socket is connected, and is to know of it itself: else it can neither be shut down nor say who
/// its peer is.
pub(super) fn update_connected(socket: BorrowedSocket<'_>) -> Result<(), Errno> {
    // SAFETY: it is open, and there is no value.
    let done = unsafe {
        setsockopt(number(socket), SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, ptr::null(), 0)
    };
    begun(done).map(drop)
}

/// Has no packet come of what ends inside the call that begins it. Returns whether that is so: it
/// is not where other software has put a socket of its own on top of the system's, of which nobody
/// knows what it does then.
pub(super) fn skip_on_success(socket: BorrowedSocket<'_>) -> bool {
    let mut info = WSAPROTOCOL_INFOW::default();
    let mut len = i32::try_from(size_of_val(&info)).expect("a few hundred bytes");
    let socket = number(socket);
    let to = (&raw mut info).cast();
    // SAFETY: the socket is open, and `info` is as long as is said.
    let done = unsafe { getsockopt(socket, SOL_SOCKET, SO_PROTOCOL_INFOW, to, &raw mut len) };
    if done != 0 || info.dwServiceFlags1 & XP1_IFS_HANDLES == 0 {
        return false;
    }
    let modes = FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | FILE_SKIP_SET_EVENT_ON_HANDLE;
    let modes = u8::try_from(modes).expect("two bits");
    // SAFETY: the socket is open, and is a handle of the system, as it says.
    unsafe { SetFileCompletionNotificationModes(socket as _, modes) != 0 }
}
