//! The load generator: N connections in a closed loop, every byte of every answer checked.
//!
//! Each connection sends one message (some bytes, or a burst of lines in one send) and waits for
//! the whole answer before it sends the next. One thread, edge-triggered epoll, one send and one
//! receive a round trip, messages sent straight from a shared table: so the generator costs little
//! beyond the kernel's part, and checking costs one comparison.
//!
//! All modes but two are one loop, `Generator::exchange`, run over a `Phase`: which connections
//! take part, how many at once, whether each message gets a fresh connection, and when to stop.
//! The two are `mix`, where the clock tells when a message goes out, and `slow`, which reads no
//! answer until the service takes no more.

#![expect(clippy::disallowed_methods, reason = "measures time")]

mod connection;
mod gate;
mod mix;
mod pattern;
mod report;
mod slow;

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fd::OwnedFd;

use crate::process::{self, Scheduled};
use connection::{Connection, Progress};
pub use gate::Gate;
use pattern::Pattern;
pub use report::{Latency, Report, Resident};

/// What the connections do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Any bytes, `size` of them, come back unchanged. One operation is a round trip.
    Echo,
    /// One line of `size` bytes a send; it comes back with the service's line end. One operation
    /// is a line.
    Lines,
    /// Like [`Mode::Lines`], but `burst` lines in one send.
    Burst,
    /// Connect, one line, its answer, close. One operation is a connection.
    Churn,
    /// Connections that are opened, held and then proved to live by a line each. One operation is
    /// a connection.
    Idle,
    /// One connection floods the service with bursts of `burst` lines without a pause, while the
    /// others send a line now and then. The report tells the latency of the others; one operation
    /// is a line of the flood.
    Mix,
    /// One connection sends bytes and reads nothing until the service takes no more, or has taken
    /// [`TAKEN_MAX`]; then it reads and checks everything. The report tells what the service's
    /// memory grew by. One operation is a piece of 64 KiB.
    Slow,
}

/// How long the measured part lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// No message is begun after this time; those under way are waited for.
    Time(Duration),
    /// So many messages on each connection.
    Rounds(u64),
}

/// How long [`Mode::Idle`] holds its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// For this long.
    Time(Duration),
    /// Until this process's standard input ends.
    StdinEnds,
}

/// What the service ends its lines with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnd {
    /// CR LF: the line services.
    Crlf,
    /// LF: an echo service, which returns lines as they are.
    Lf,
}

/// Everything [`run`] needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The service.
    pub address: SocketAddr,
    /// Another of the same kind, to which every second connection goes.
    pub second: Option<SocketAddr>,
    /// What the connections do.
    pub mode: Mode,
    /// How many connections; in [`Mode::Churn`], how many at a time; in [`Mode::Mix`], how many
    /// beside the flood. [`Mode::Slow`] has one.
    pub connections: usize,
    /// Bytes in a message, or in a line with its LF.
    pub size: usize,
    /// Lines in a send; only [`Mode::Burst`] and [`Mode::Mix`] look at it.
    pub burst: usize,
    /// What the service ends its lines with.
    pub reply_end: LineEnd,
    /// How long the measured part lasts; [`Mode::Idle`] does not look at it.
    pub length: Length,
    /// How long [`Mode::Idle`] holds; the others do not look at it.
    pub hold: Hold,
    /// Give up with [`Error::Stalled`] when nothing at all happens for so long.
    pub stall: Duration,
    /// The server process whose CPU time and memory the report shall tell.
    pub server_pid: Option<u32>,
    /// Where it waits for other generators; [`Mode::Idle`], [`Mode::Mix`] and [`Mode::Slow`] do
    /// not.
    pub gate: Option<Arc<Gate>>,
}

impl Config {
    /// One connection, 64 bytes, one second of echo: a start to change fields of.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            second: None,
            mode: Mode::Echo,
            connections: 1,
            size: 64,
            burst: 16,
            reply_end: LineEnd::Crlf,
            length: Length::Time(Duration::from_secs(1)),
            hold: Hold::Time(Duration::from_secs(1)),
            stall: Duration::from_secs(10),
            server_pid: None,
            gate: None,
        }
    }

    /// Operations in one message.
    fn operations(&self) -> u64 {
        if matches!(self.mode, Mode::Burst | Mode::Mix) { self.burst as u64 } else { 1 }
    }

    fn check(&self) -> Result<(), Error> {
        let shortest = if matches!(self.mode, Mode::Echo | Mode::Slow) { 1 } else { 2 };
        if self.connections == 0 {
            Err(Error::Config("at least one connection is needed"))
        } else if self.size < shortest {
            Err(Error::Config("the size is too small: a byte, or two for a line with its LF"))
        } else if matches!(self.mode, Mode::Burst | Mode::Mix) && self.burst == 0 {
            Err(Error::Config("at least one line a burst is needed"))
        } else if self.stall.is_zero() {
            Err(Error::Config("the time after which to give up must not be zero"))
        } else {
            Ok(())
        }
    }

    fn pattern(&self) -> Pattern {
        match self.mode {
            Mode::Echo => Pattern::bytes(self.size),
            Mode::Burst => Pattern::lines(self.size, self.burst, self.reply_end),
            Mode::Slow => Pattern::bytes(slow::PIECE),
            Mode::Lines | Mode::Churn | Mode::Idle | Mode::Mix => {
                Pattern::lines(self.size, 1, self.reply_end)
            }
        }
    }
}

/// Why a run ended without a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration contradicts itself.
    #[error("{0}")]
    Config(&'static str),
    /// An answer has a byte that was not sent. The server is wrong, or `reply_end` is.
    #[error(
        "connection {connection}: byte {offset} of the answer is {found:#04x}, expected \
         {expected:#04x} (does the service end lines as --reply-end says?)"
    )]
    WrongByte {
        /// Which connection, from 0.
        connection: usize,
        /// Which byte of this message's answer, from 0.
        offset: usize,
        /// What came.
        found: u8,
        /// What should have come.
        expected: u8,
    },
    /// More bytes came than the answer has. The server repeats bytes, or `reply_end` is wrong.
    #[error(
        "connection {connection}: {count} bytes beyond the answer (does the service end lines as \
         --reply-end says?)"
    )]
    Excess {
        /// Which connection, from 0.
        connection: usize,
        /// How many bytes too many.
        count: usize,
    },
    /// The server ended a connection that it should have kept.
    #[error("connection {connection}: ended by the server after {received} of {expected} bytes")]
    Ended {
        /// Which connection, from 0.
        connection: usize,
        /// How much of the answer had come.
        received: usize,
        /// How long the answer should have been.
        expected: usize,
    },
    /// Nothing happened for [`Config::stall`]. The server hangs or dropped bytes.
    #[error("no answer for {stall:?}, {waiting} connections still wait")]
    Stalled {
        /// The configured bound.
        stall: Duration,
        /// Connections with an answer outstanding.
        waiting: usize,
    },
    /// A load generator beside this one has not come to the gate.
    #[error("another load generator has been waited for in vain")]
    Deserted,
    /// A system call failed on one connection.
    #[error("connection {connection}: {call}")]
    Socket {
        /// Which connection, from 0.
        connection: usize,
        /// Which call.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A system call failed that concerns no single connection.
    #[error("{call}")]
    System {
        /// Which call, or which file could not be read.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Puts the configured load on the service and tells what it did and cost.
///
/// Connections are opened, and proved by a round trip each, before the measured part begins; only
/// in [`Mode::Churn`] opening is what is measured.
///
/// # Errors
///
/// Fails at the first wrong, surplus or missing byte, and after [`Config::stall`] without any.
pub fn run(config: &Config) -> Result<Report, Error> {
    config.check()?;
    let mut generator = Generator::new(config)?;
    match config.mode {
        Mode::Echo | Mode::Lines | Mode::Burst => {
            generator.open(0..config.connections)?;
            generator.measure(false)
        }
        Mode::Churn => generator.measure(true),
        Mode::Idle => generator.idle(),
        Mode::Mix => generator.mix(),
        Mode::Slow => slow::run(config),
    }
}

/// What [`Mode::Slow`] sends at most: more than the socket buffers of both sides hold.
pub const TAKEN_MAX: u64 = 64 << 20;

/// A part of a run.
struct Phase {
    /// Which connections take part, each until `until`.
    connections: Range<usize>,
    /// How many of them at a time.
    window: usize,
    /// Whether each message gets a new connection.
    fresh: bool,
    until: Until,
}

#[derive(Clone, Copy)]
enum Until {
    Rounds(u64),
    Time(Instant),
}

struct Generator<'a> {
    config: &'a Config,
    pattern: Pattern,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    connections: Vec<Connection>,
    /// Numbers the messages: each takes its bytes from another place of the pattern.
    sequence: u64,
}

impl<'a> Generator<'a> {
    fn new(config: &'a Config) -> Result<Self, Error> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("epoll_create1"))?;
        Ok(Self {
            config,
            pattern: config.pattern(),
            epoll,
            events: Vec::with_capacity(EVENTS),
            buffer: vec![0; BUFFER],
            connections: Vec::new(),
            sequence: 0,
        })
    }

    /// Opens connections, a few at a time, and proves by a round trip that each was accepted.
    fn open(&mut self, connections: Range<usize>) -> Result<(), Error> {
        let until = Until::Rounds(1);
        self.exchange(Phase { connections, window: WINDOW, fresh: true, until })?;
        Ok(())
    }

    fn measure(&mut self, fresh: bool) -> Result<Report, Error> {
        self.pass_gate()?;
        let before = self.scheduled()?;
        let begin = Instant::now();
        let until = match self.config.length {
            Length::Time(length) => Until::Time(begin + length),
            Length::Rounds(rounds) => Until::Rounds(rounds),
        };
        let all = self.config.connections;
        let messages = self.exchange(Phase { connections: 0..all, window: all, fresh, until })?;
        let mut report = self.report(messages * self.config.operations(), begin.elapsed());
        self.tell(&mut report, before)?;
        self.pass_gate()?;
        self.pass_gate()?;
        Ok(report)
    }

    fn pass_gate(&self) -> Result<(), Error> {
        match &self.config.gate {
            Some(gate) if !gate.pass(self.config.stall) => Err(Error::Deserted),
            _ => Ok(()),
        }
    }

    /// What the scheduler has done with the server, if it is known, and with this process.
    fn scheduled(&self) -> Result<(Option<Scheduled>, Scheduled), Error> {
        let call = "schedstat of the load generator";
        let own = process::scheduled(std::process::id());
        let own = own.map_err(|source| Error::System { call, source })?;
        Ok((self.server(process::scheduled, "schedstat of the server")?, own))
    }

    /// Puts into the report what the scheduler did since `before`.
    fn tell(
        &self,
        report: &mut Report,
        before: (Option<Scheduled>, Scheduled),
    ) -> Result<(), Error> {
        let (server, own) = self.scheduled()?;
        let server = server.zip(before.0).map(|(after, before)| after.since(before));
        report.server_cpu = server.map(|server| server.ran);
        report.server_waited = server.map(|server| server.waited);
        report.load_waited = Some(own.since(before.1).waited);
        Ok(())
    }

    fn idle(&mut self) -> Result<Report, Error> {
        // What a server allocates once, at its first connections, is no cost of a connection.
        let (extra, all) = (WINDOW, WINDOW + self.config.connections);
        self.open(0..extra)?;
        let before = self.server(process::resident_bytes, "smaps_rollup of the server")?;
        let begin = Instant::now();
        self.open(extra..all)?;
        self.hold()?;
        let after = self.server(process::resident_bytes, "smaps_rollup of the server")?;
        let until = Until::Rounds(1);
        self.exchange(Phase { connections: 0..all, window: WINDOW, fresh: false, until })?;
        let mut report = self.report(self.config.connections as u64, begin.elapsed());
        report.resident = before.zip(after).map(|(before, after)| Resident { before, after });
        Ok(report)
    }

    /// Runs one phase to its end and returns how many messages were answered.
    fn exchange(&mut self, phase: Phase) -> Result<u64, Error> {
        let Phase { mut connections, window, fresh, until } = phase;
        let (mut waiting, mut answered) = (0, 0);
        loop {
            while waiting < window && until.goes_on(0) {
                let Some(index) = connections.next() else { break };
                if fresh {
                    self.connect(index)?;
                }
                self.connections[index].rounds = 0;
                self.begin(index)?;
                waiting += 1;
            }
            if waiting == 0 {
                return Ok(answered);
            }
            let mut events = self.wait(waiting)?;
            // One look at the clock a turn: a turn is short.
            let in_time = until.in_time();
            for event in events.drain(..) {
                let Some(index) = self.answered(event)? else { continue };
                answered += 1;
                let rounds = self.connections[index].rounds;
                if !(in_time && until.goes_on(rounds)) {
                    waiting -= 1;
                    continue;
                }
                if fresh {
                    self.connect(index)?;
                    self.connections[index].rounds = rounds;
                }
                self.begin(index)?;
            }
            self.events = events;
        }
    }

    /// Puts a new connection in place `index`; the one that was there is closed.
    fn connect(&mut self, index: usize) -> Result<(), Error> {
        let Config { address, second, .. } = *self.config;
        let address = second.filter(|_| index % 2 == 1).unwrap_or(address);
        let connection = Connection::open(&self.epoll, address, index)?;
        match self.connections.get_mut(index) {
            Some(place) => *place = connection,
            None => self.connections.push(connection),
        }
        Ok(())
    }

    fn begin(&mut self, index: usize) -> Result<(), Error> {
        self.sequence += 1;
        let message = self.pattern.message(self.sequence);
        self.connections[index].begin(&self.pattern, message)
    }

    /// Handles one event; `Some(connection)` if it brought the last byte of an answer.
    fn answered(&mut self, event: epoll::Event) -> Result<Option<usize>, Error> {
        let (flags, data) = (event.flags, event.data);
        let index = usize::try_from(data.u64()).unwrap_or(usize::MAX);
        let connection = &mut self.connections[index];
        match connection.ready(flags, &self.pattern, &mut self.buffer)? {
            Progress::Waiting => Ok(None),
            Progress::Answered => Ok(Some(index)),
        }
    }

    /// Waits for events. They are lent out of `self.events`, which takes them back empty.
    fn wait(&mut self, waiting: usize) -> Result<Vec<epoll::Event>, Error> {
        let mut events = std::mem::take(&mut self.events);
        let stall = self.config.stall;
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timespec(stall))) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(system("epoll_wait")(error)),
                Ok(0) => return Err(Error::Stalled { stall, waiting }),
                Ok(_) => return Ok(events),
            }
        }
    }

    /// Holds the connections. Whatever happens on one of them meanwhile is an error.
    fn hold(&mut self) -> Result<(), Error> {
        let stdin = io::stdin();
        let begin = Instant::now();
        loop {
            let mut sources = vec![PollFd::new(&self.epoll, PollFlags::IN)];
            let left = match self.config.hold {
                Hold::Time(time) => Some(time.saturating_sub(begin.elapsed())),
                Hold::StdinEnds => {
                    sources.push(PollFd::new(&stdin, PollFlags::IN));
                    None
                }
            };
            match poll(&mut sources, left.map(timespec).as_ref()) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(system("poll")(error)),
                Ok(0) => return Ok(()),
                Ok(_) => {}
            }
            let disturbed = !sources[0].revents().is_empty();
            let typed = sources.get(1).is_some_and(|stdin| !stdin.revents().is_empty());
            if disturbed {
                let mut events = self.wait(0)?;
                for event in events.drain(..) {
                    self.answered(event)?;
                }
                self.events = events;
            }
            if typed && rustix::io::read(&stdin, &mut self.buffer).map_err(system("read"))? == 0 {
                return Ok(());
            }
        }
    }

    /// Reads something about the server process, if it is known.
    fn server<T>(
        &self,
        reading: impl Fn(u32) -> io::Result<T>,
        call: &'static str,
    ) -> Result<Option<T>, Error> {
        let reading = self.config.server_pid.map(reading).transpose();
        reading.map_err(|source| Error::System { call, source })
    }

    fn report(&self, operations: u64, elapsed: Duration) -> Report {
        let Config { mode, connections, .. } = *self.config;
        Report::new(mode, connections, operations, elapsed)
    }
}

impl Until {
    /// Whether a connection that had `rounds` answers sends another message.
    fn goes_on(self, rounds: u64) -> bool {
        match self {
            Self::Rounds(limit) => rounds < limit,
            Self::Time(_) => true,
        }
    }

    fn in_time(self) -> bool {
        match self {
            Self::Rounds(_) => true,
            Self::Time(deadline) => Instant::now() < deadline,
        }
    }
}

fn system(call: &'static str) -> impl Fn(rustix::io::Errno) -> Error {
    move |errno| Error::System { call, source: errno.into() }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
}

/// Connections that are opened, or proved to live, at a time: few, so that they neither overflow
/// a backlog nor make the server hold more than a few of its buffers at once.
const WINDOW: usize = 16;

/// Events taken in one turn.
const EVENTS: usize = 1024;

/// What one receive takes at most.
const BUFFER: usize = 64 * 1024;
