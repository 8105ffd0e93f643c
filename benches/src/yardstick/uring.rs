//! A server on raw io_uring: the practical limit of completions.
//!
//! One ring, entered once a turn; one multishot accept, one multishot receive a connection, all
//! from one ring of buffers; one send a connection at a time, of everything that was answered
//! meanwhile.
#![expect(unsafe_code, reason = "entries point to memory that the kernel reads and writes")]

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use slab::Slab;

use super::Options;
use super::lines;

/// Serves the listener's connections on raw io_uring.
///
/// # Errors
///
/// Fails if the listener or the ring does; a failed connection is closed.
pub fn uring(listener: TcpListener, options: &Options) -> io::Result<()> {
    let ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_cqsize(4096)
        .build(1024)?;
    let buffers = Buffers::new(&ring)?;
    Server { ring, buffers, connections: Slab::new(), backlog: VecDeque::new(), dirty: Vec::new() }
        .run(&listener, options)
}

struct Server {
    ring: IoUring,
    buffers: Buffers,
    connections: Slab<Connection>,
    backlog: VecDeque<squeue::Entry>,
    /// Connections with an answer that no send carries.
    dirty: Vec<usize>,
}

struct Connection {
    socket: OwnedFd,
    /// Answers that no send carries...
    answer: Vec<u8>,
    /// ...and those that one does, from `sent` on.
    sending: Vec<u8>,
    sent: usize,
    line: Vec<u8>,
    /// How many operations the kernel has in hand.
    flights: u32,
    ended: bool,
}

impl Server {
    fn run(mut self, listener: &TcpListener, options: &Options) -> io::Result<()> {
        let wait = options.wait().map(Timespec::from);
        let mut entries = Vec::new();
        self.accept(listener);
        while !options.stopped() {
            self.enter(wait.as_ref())?;
            entries.extend(self.ring.completion());
            for entry in entries.drain(..) {
                self.complete(&entry, listener, options);
            }
            self.buffers.publish();
            for key in std::mem::take(&mut self.dirty) {
                self.send(key);
            }
        }
        Ok(())
    }

    fn enter(&mut self, wait: Option<&Timespec>) -> io::Result<()> {
        loop {
            while let Some(entry) = self.backlog.pop_front() {
                // SAFETY: what entries point to lives until their last completion: a connection
                // keeps its memory until the kernel has nothing of it in hand.
                if unsafe { self.ring.submission().push(&entry) }.is_err() {
                    self.backlog.push_front(entry);
                    break;
                }
            }
            let least = usize::from(self.backlog.is_empty());
            let result = match wait {
                Some(wait) => {
                    let arguments = SubmitArgs::new().timespec(wait);
                    self.ring.submitter().submit_with_args(least, &arguments)
                }
                None => self.ring.submit_and_wait(least),
            };
            match result.map_err(|error| (Errno::from_io_error(&error), error)) {
                Ok(_) | Err((Some(Errno::INTR | Errno::TIME | Errno::BUSY), _)) => {}
                Err((_, error)) => return Err(error),
            }
            if self.backlog.is_empty() {
                return Ok(());
            }
        }
    }

    fn push(&mut self, entry: squeue::Entry, kind: u64, key: usize) {
        let entry = entry.user_data(kind << 32 | key as u64);
        // SAFETY: as in `enter`.
        if !self.backlog.is_empty() || unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.backlog.push_back(entry);
        }
    }

    fn accept(&mut self, listener: &TcpListener) {
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd()));
        self.push(entry.flags(libc::SOCK_CLOEXEC).build(), ACCEPT, 0);
    }

    fn receive(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        connection.flights += 1;
        let entry = opcode::RecvMulti::new(Fd(connection.socket.as_raw_fd()), 0).build();
        self.push(entry, RECEIVE, key);
    }

    fn send(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        if connection.sent == connection.sending.len() {
            connection.sent = 0;
            connection.sending.clear();
            std::mem::swap(&mut connection.sending, &mut connection.answer);
        }
        let rest = &connection.sending[connection.sent..];
        if rest.is_empty() {
            return;
        }
        connection.flights += 1;
        let len = u32::try_from(rest.len()).expect("bounded by the buffers");
        let entry = opcode::Send::new(Fd(connection.socket.as_raw_fd()), rest.as_ptr(), len)
            .flags(libc::MSG_NOSIGNAL)
            .build();
        self.push(entry, SEND, key);
    }

    fn complete(&mut self, entry: &cqueue::Entry, listener: &TcpListener, options: &Options) {
        let (kind, key) = (entry.user_data() >> 32, (entry.user_data() & 0xffff_ffff) as usize);
        let (result, more) = (entry.result(), cqueue::more(entry.flags()));
        if kind == ACCEPT {
            if result >= 0 {
                // SAFETY: the kernel has just opened it for this process.
                let socket = unsafe { OwnedFd::from_raw_fd(result) };
                let key = self.connections.insert(Connection::new(socket));
                self.receive(key);
            }
            if !more {
                self.accept(listener);
            }
            return;
        }
        if !more {
            self.connections[key].flights -= 1;
        }
        if kind == RECEIVE {
            self.received(entry, key, options);
        } else {
            self.sent(key, result);
        }
        let connection = &self.connections[key];
        if connection.ended && connection.flights == 0 {
            drop(self.connections.remove(key));
        }
    }

    fn received(&mut self, entry: &cqueue::Entry, key: usize, options: &Options) {
        let connection = &mut self.connections[key];
        if let Some(buffer) = cqueue::buffer_select(entry.flags()) {
            let count = usize::try_from(entry.result()).unwrap_or(0);
            let idle = connection.answer.is_empty() && connection.sending.is_empty();
            let arrived = self.buffers.get(buffer, count);
            if !options.lines {
                connection.answer.extend_from_slice(arrived);
            } else if lines::answer(arrived, &mut connection.line, &mut connection.answer).is_err()
            {
                connection.end();
            }
            self.buffers.put(buffer);
            if idle && !connection.answer.is_empty() {
                self.dirty.push(key);
            }
        }
        if cqueue::more(entry.flags()) {
            return;
        }
        if entry.result() > 0 || entry.result() == -Errno::NOBUFS.raw_os_error() {
            self.receive(key);
        } else {
            self.connections[key].ended = true;
        }
    }

    fn sent(&mut self, key: usize, result: i32) {
        let connection = &mut self.connections[key];
        match usize::try_from(result) {
            Ok(count) => {
                connection.sent += count;
                self.send(key);
            }
            Err(_) => connection.end(),
        }
    }
}

impl Connection {
    const fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            answer: Vec::new(),
            sending: Vec::new(),
            sent: 0,
            line: Vec::new(),
            flights: 0,
            ended: false,
        }
    }

    /// Makes the receive end, and with it the connection.
    fn end(&mut self) {
        self.ended = true;
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
    }
}

/// The buffers that all connections receive into, and the ring in which the kernel finds them.
struct Buffers {
    ring: *mut BufRingEntry,
    memory: *mut u8,
    tail: u16,
}

impl Buffers {
    fn new(ring: &IoUring) -> io::Result<Self> {
        let head = usize::from(COUNT) * size_of::<BufRingEntry>();
        let len = head + usize::from(COUNT) * LEN;
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new mapping, wherever the kernel likes; it stays until the process ends.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), len, access, flags)? };
        // SAFETY: the mapping stays.
        unsafe { ring.submitter().register_buf_ring_with_flags(base as u64, COUNT, 0, 0)? };
        let memory = base.cast::<u8>().wrapping_add(head);
        let mut buffers = Self { ring: base.cast(), memory, tail: 0 };
        (0..COUNT).for_each(|buffer| buffers.put(buffer));
        buffers.publish();
        Ok(buffers)
    }

    fn get(&self, buffer: u16, count: usize) -> &[u8] {
        let start = self.memory.wrapping_add(usize::from(buffer) * LEN);
        // SAFETY: within the mapping, and the kernel is done with it until it is put back.
        unsafe { slice::from_raw_parts(start, count) }
    }

    fn put(&mut self, buffer: u16) {
        let start = self.memory.wrapping_add(usize::from(buffer) * LEN);
        let entry = self.ring.wrapping_add(usize::from(self.tail % COUNT));
        // SAFETY: within the ring, and the kernel does not look at it before it is published.
        let entry = unsafe { &mut *entry };
        entry.set_addr(start as u64);
        entry.set_len(u32::try_from(LEN).expect("small"));
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the mapping begins with the ring's first entry.
        let tail = unsafe { BufRingEntry::tail(self.ring) };
        // SAFETY: aligned and mapped.
        unsafe { AtomicU16::from_ptr(tail.cast_mut()) }.store(self.tail, Ordering::Release);
    }
}

const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;

const COUNT: u16 = 512;
const LEN: usize = 8192;
