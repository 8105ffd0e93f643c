//! A client that sends fast and does not read: does the service's memory stay bounded?
//!
//! It sends until the service takes nothing for [`PATIENCE`], or has taken more than any sockets
//! hold. Only then it reads, and checks that every byte that was taken comes back.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, connect, recv, send, socket};

use super::pattern::{Message, Pattern};
use super::{BUFFER, Config, Error, Report, Resident, TAKEN_MAX, system, timespec};
use crate::process;

pub(super) fn run(config: &Config) -> Result<Report, Error> {
    let begin = Instant::now();
    let mut client = Client::connect(config)?;
    // One piece there and back: what the service allocates once for a connection is no growth.
    client.send(PIECE as u64, config.stall)?;
    client.receive(config.stall)?;
    let before = resident(config)?;
    client.send(TAKEN_MAX, PATIENCE)?;
    let after = resident(config)?;
    let taken = client.sent - client.received;
    client.receive(config.stall)?;
    let mut report = Report::new(config.mode, 1, taken / PIECE as u64, begin.elapsed());
    report.taken = Some(taken);
    report.resident = before.zip(after).map(|(before, after)| Resident { before, after });
    Ok(report)
}

struct Client {
    socket: OwnedFd,
    pattern: Pattern,
    sent: u64,
    received: u64,
    buffer: Vec<u8>,
}

impl Client {
    fn connect(config: &Config) -> Result<Self, Error> {
        let family =
            if config.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket(family, SocketType::STREAM, None).map_err(system("socket"))?;
        connect(&socket, &config.address).map_err(system("connect"))?;
        rustix::io::ioctl_fionbio(&socket, true).map_err(system("ioctl(FIONBIO)"))?;
        let pattern = config.pattern();
        Ok(Self { socket, pattern, sent: 0, received: 0, buffer: vec![0; BUFFER] })
    }

    /// Sends `count` bytes, or until nothing has been taken for so long.
    fn send(&mut self, count: u64, patience: Duration) -> Result<(), Error> {
        let end = self.sent + count;
        while self.sent < end {
            let (message, offset) = self.place(self.sent);
            match send(&self.socket, &self.pattern.sent(&message)[offset..], SendFlags::NOSIGNAL) {
                Ok(count) => self.sent += count as u64,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.ready(PollFlags::OUT, patience)? => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(system("send")(errno)),
            }
        }
        Ok(())
    }

    /// Receives and checks all that was sent.
    fn receive(&mut self, stall: Duration) -> Result<(), Error> {
        while self.received < self.sent {
            match recv(&self.socket, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((0, _)) => return Err(self.ended()),
                Ok((count, _)) => self.check(count)?,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.ready(PollFlags::IN, stall)? => {}
                Err(Errno::AGAIN) => return Err(Error::Stalled { stall, waiting: 1 }),
                Err(errno) => return Err(system("recv")(errno)),
            }
        }
        Ok(())
    }

    fn check(&mut self, count: usize) -> Result<(), Error> {
        let mut came = &self.buffer[..count];
        if came.len() as u64 > self.sent - self.received {
            return Err(Error::Excess { connection: 0, count });
        }
        while !came.is_empty() {
            let (message, offset) = self.place(self.received);
            let due = &self.pattern.expected(&message)[offset..];
            let checked = came.len().min(due.len());
            if let Some(at) = (0..checked).find(|&at| came[at] != due[at]) {
                let (found, expected) = (came[at], due[at]);
                return Err(Error::WrongByte {
                    connection: 0,
                    offset: offset + at,
                    found,
                    expected,
                });
            }
            self.received += checked as u64;
            came = &came[checked..];
        }
        Ok(())
    }

    /// Which message has the byte of that number, and where.
    fn place(&self, byte: u64) -> (Message, usize) {
        let piece = PIECE as u64;
        let offset = usize::try_from(byte % piece).expect("less than a piece");
        (self.pattern.message(byte / piece), offset)
    }

    fn ready(&self, flags: PollFlags, patience: Duration) -> Result<bool, Error> {
        let mut sources = [PollFd::new(&self.socket, flags)];
        match poll(&mut sources, Some(&timespec(patience))) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(true),
            Err(errno) => Err(system("poll")(errno)),
        }
    }

    fn ended(&self) -> Error {
        let size = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        Error::Ended { connection: 0, received: size(self.received), expected: size(self.sent) }
    }
}

fn resident(config: &Config) -> Result<Option<u64>, Error> {
    let call = "smaps_rollup of the server";
    let resident = config.server_pid.map(process::resident_bytes).transpose();
    resident.map_err(|source| Error::System { call, source })
}

/// What a send takes at most.
pub(super) const PIECE: usize = 64 * 1024;

/// A service that takes nothing for so long takes no more.
const PATIENCE: Duration = Duration::from_millis(200);
