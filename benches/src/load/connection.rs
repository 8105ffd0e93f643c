//! One connection of the load generator: at most one message out, its answer checked as it comes.
//!
//! Idle (everything sent, everything answered) or waiting. While idle nothing may come in: a byte
//! is [`Error::Excess`], an end is [`Error::Ended`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send,
    socket_with, sockopt,
};

use super::Error;
use super::pattern::{Message, Pattern};

/// What an event brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The answer is not complete, or none is expected.
    Waiting,
    /// The last byte of the answer came.
    Answered,
}

pub(super) struct Connection {
    socket: OwnedFd,
    /// Where it stands in the generator: its name in errors, its data in epoll.
    index: usize,
    message: Message,
    sent: usize,
    received: usize,
    /// Messages answered in this phase.
    pub(super) rounds: u64,
}

impl Connection {
    /// Begins to connect. A send tells whether that is done or failed, so nothing waits for it.
    pub(super) fn open(epoll: &OwnedFd, to: SocketAddr, index: usize) -> Result<Self, Error> {
        let failed = |call| move |errno: Errno| socket_error(index, call, errno);
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            socket_with(family, SocketType::STREAM, flags, None).map_err(failed("socket"))?;
        sockopt::set_tcp_nodelay(&socket, true).map_err(failed("setsockopt(TCP_NODELAY)"))?;
        if let Some(from) = source(to, index) {
            bind(&socket, &from).map_err(failed("bind"))?;
        }
        match connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(failed("connect")(errno)),
        }
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(epoll, &socket, EventData::new_u64(index as u64), interest)
            .map_err(failed("epoll_ctl"))?;
        Ok(Self { socket, index, message: Message::default(), sent: 0, received: 0, rounds: 0 })
    }

    /// Sends a message, or as much of it as the socket takes now.
    pub(super) fn begin(&mut self, pattern: &Pattern, message: Message) -> Result<(), Error> {
        debug_assert!(self.is_idle(), "a closed loop has one message out");
        self.message = message;
        self.sent = 0;
        self.received = 0;
        self.push(pattern)
    }

    pub(super) fn ready(
        &mut self,
        flags: EventFlags,
        pattern: &Pattern,
        buffer: &mut [u8],
    ) -> Result<Progress, Error> {
        if self.sent < self.message.sent.len() {
            self.push(pattern)?;
        }
        // OUT alone brings nothing to receive, and a receive in vain costs a system call.
        if flags.difference(EventFlags::OUT).is_empty() {
            return Ok(Progress::Waiting);
        }
        let ending = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        self.pull(pattern, ending, buffer)
    }

    fn push(&mut self, pattern: &Pattern) -> Result<(), Error> {
        let message = pattern.sent(&self.message);
        while self.sent < message.len() {
            match send(&self.socket, &message[self.sent..], SendFlags::NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(socket_error(self.index, "send", errno)),
            }
        }
        Ok(())
    }

    fn pull(
        &mut self,
        pattern: &Pattern,
        ending: bool,
        buffer: &mut [u8],
    ) -> Result<Progress, Error> {
        let was_idle = self.is_idle();
        loop {
            let count = match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => {
                    return Err(Error::Ended {
                        connection: self.index,
                        received: self.received,
                        expected: self.message.expected.len(),
                    });
                }
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(socket_error(self.index, "recv", errno)),
            };
            self.check(pattern, &buffer[..count])?;
            // A short receive emptied the socket and more would be another edge; but of an end
            // that this event told there is no further one. It is an error only if it was early:
            // who has answered everything may close.
            if count < buffer.len() && (self.is_idle() || !ending) {
                break;
            }
        }
        if self.is_idle() && !was_idle {
            self.rounds += 1;
            Ok(Progress::Answered)
        } else {
            Ok(Progress::Waiting)
        }
    }

    /// Compares what came with what should have come at this place of the answer.
    fn check(&mut self, pattern: &Pattern, came: &[u8]) -> Result<(), Error> {
        let due = &pattern.expected(&self.message)[self.received..];
        let checked = came.len().min(due.len());
        if came[..checked] != due[..checked] {
            let offset = (0..checked).find(|&at| came[at] != due[at]).unwrap_or(0);
            return Err(Error::WrongByte {
                connection: self.index,
                offset: self.received + offset,
                found: came[offset],
                expected: due[offset],
            });
        }
        if came.len() > due.len() {
            return Err(Error::Excess { connection: self.index, count: came.len() - due.len() });
        }
        self.received += came.len();
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.received == self.message.expected.len()
    }
}

/// A source address of its own for each connection to the IPv4 loopback. One address has 28,000
/// ports, and a closed connection keeps its port for a minute.
fn source(to: SocketAddr, index: usize) -> Option<SocketAddr> {
    let IpAddr::V4(address) = to.ip() else { return None };
    let [_, _, high, low] = u32::try_from(index % SOURCES).unwrap_or(0).to_be_bytes();
    let from = Ipv4Addr::new(127, 1, high, low.max(1));
    address.is_loopback().then(|| SocketAddr::from((from, 0)))
}

fn socket_error(connection: usize, call: &'static str, errno: Errno) -> Error {
    Error::Socket { connection, call, source: errno.into() }
}

const SOURCES: usize = 4096;
