//! A server on raw epoll: the practical limit of readiness.
//!
//! The same logic as on mio, with the system calls in sight: edge-triggered, a connection is read
//! until a receive comes short, and one with something unsent is not read at all.

use std::io;
use std::net::TcpListener;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use slab::Slab;

use super::lines::{self, TooLong};
use super::{BUFFER, EVENTS, Options};

/// Serves the listener's connections on raw epoll.
///
/// # Errors
///
/// Fails if the listener or the epoll does; a failed connection is closed.
pub fn epoll(listener: TcpListener, options: &Options) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN | EventFlags::ET)?;
    let wait = options.wait().map(Timespec::try_from).and_then(Result::ok);
    let mut events = Vec::with_capacity(EVENTS);
    let mut connections: Slab<Connection> = Slab::new();
    let mut scratch = Scratch { received: vec![0; BUFFER], answer: Vec::new() };
    while !options.stopped() {
        match epoll::wait(&epoll, spare_capacity(&mut events), wait.as_ref()) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        for event in &events {
            let data = event.data;
            let data = data.u64();
            if data == LISTENER {
                accept(&listener, &epoll, &mut connections)?;
                continue;
            }
            let Ok(key) = usize::try_from(data) else { continue };
            match connections[key].serve(key, &epoll, options, &mut scratch) {
                Ok(State::Open) => {}
                Ok(State::Ended) | Err(_) => drop(connections.remove(key)),
            }
        }
        events.clear();
    }
    Ok(())
}

struct Connection {
    socket: OwnedFd,
    /// What the socket has not taken yet; nothing is read meanwhile.
    unsent: Vec<u8>,
    /// The line that is not finished.
    line: Vec<u8>,
}

/// Memory shared by all connections: an idle one has none.
struct Scratch {
    received: Vec<u8>,
    answer: Vec<u8>,
}

enum State {
    Open,
    Ended,
}

fn accept(
    listener: &TcpListener,
    epoll: &OwnedFd,
    connections: &mut Slab<Connection>,
) -> io::Result<()> {
    loop {
        let socket = match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(socket) => socket,
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::CONNABORTED | Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        let entry = connections.vacant_entry();
        let data = EventData::new_u64(entry.key() as u64);
        epoll::add(epoll, &socket, data, EventFlags::IN | EventFlags::ET)?;
        entry.insert(Connection { socket, unsent: Vec::new(), line: Vec::new() });
    }
}

impl Connection {
    fn serve(
        &mut self,
        key: usize,
        epoll: &OwnedFd,
        options: &Options,
        scratch: &mut Scratch,
    ) -> Result<State, Errno> {
        if !self.unsent.is_empty() {
            let sent = self.send(&self.unsent)?;
            self.unsent.drain(..sent);
            if !self.unsent.is_empty() {
                return Ok(State::Open);
            }
        }
        loop {
            let count = match recv(&self.socket, &mut scratch.received[..], RecvFlags::empty()) {
                Ok((0, _)) => return Ok(State::Ended),
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => return Ok(State::Open),
                Err(errno) => return Err(errno),
            };
            let mut answer = &scratch.received[..count];
            if options.lines {
                scratch.answer.clear();
                lines::answer(answer, &mut self.line, &mut scratch.answer)
                    .map_err(|TooLong| Errno::MSGSIZE)?;
                answer = &scratch.answer;
            }
            let sent = if answer.is_empty() { 0 } else { self.send(answer)? };
            if sent < answer.len() {
                self.unsent = answer[sent..].to_vec();
                let interest = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
                epoll::modify(epoll, &self.socket, EventData::new_u64(key as u64), interest)?;
                return Ok(State::Open);
            }
            if count < scratch.received.len() {
                return Ok(State::Open);
            }
        }
    }

    /// How much the socket took: nothing, if it would block.
    fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN) => Ok(0),
            result => result,
        }
    }
}

const LISTENER: u64 = u64::MAX;
