//! One connection that floods the service, and quiet ones beside it: how long do these wait?
//!
//! Each quiet connection has a line due every [`PERIOD`], spread evenly. A latency counts from when
//! the line was due, not from when it went out: a service that keeps one line waiting does not hide
//! how long the next would have waited. In a turn the quiet connections are looked at before the
//! flood, whose share of a turn is a burst; that much of a latency is the generator's own.

use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::event::epoll::EventFlags;

use super::connection::{Connection, Progress};
use super::pattern::Pattern;
use super::{Error, Generator, Latency, Length, Report, Until};

impl Generator<'_> {
    pub(super) fn mix(&mut self) -> Result<Report, Error> {
        let quiet = self.config.connections;
        self.open(0..quiet)?;
        let mut flood = Flood {
            pattern: Pattern::lines(self.config.size, self.config.burst, self.config.reply_end),
            connection: Connection::open(&self.epoll, self.config.address, quiet)?,
            answered: 0,
        };
        let before = self.scheduled()?;
        let begin = Instant::now();
        let (until, least) = match self.config.length {
            Length::Time(length) => (Until::Time(begin + length), 1),
            Length::Rounds(rounds) => (Until::Rounds(rounds), rounds),
        };
        let mut schedule = Schedule::new(begin, quiet);
        flood.begin()?;
        let mut flooding = true;
        let mut buffer = vec![0; super::BUFFER];
        loop {
            let goes_on =
                until.in_time() && (until.goes_on(flood.answered) || schedule.least < least);
            while let Some(index) = schedule.due(goes_on) {
                self.begin(index)?;
            }
            if !flooding && schedule.waiting == 0 {
                break;
            }
            let mut events = self.wait_until(schedule.next(goes_on))?;
            let mut flooded = None;
            for event in events.drain(..) {
                if event.data.u64() == quiet as u64 {
                    flooded = Some(event.flags);
                } else if let Some(index) = self.answered(event)? {
                    schedule.answered(index);
                }
            }
            self.events = events;
            if let Some(flags) = flooded
                && flood.ready(flags, &mut buffer)?
            {
                flooding = goes_on;
                if flooding {
                    flood.begin()?;
                }
            }
        }
        let operations = flood.answered * self.config.operations();
        let mut report = self.report(operations, begin.elapsed());
        self.tell(&mut report, before)?;
        report.latency = Latency::of(&mut schedule.latencies);
        Ok(report)
    }

    /// Waits for events, or for the time when the next message is due.
    fn wait_until(&mut self, due: Option<Instant>) -> Result<Vec<epoll::Event>, Error> {
        let Some(due) = due else { return self.wait(1) };
        let mut events = std::mem::take(&mut self.events);
        let bound = super::timespec(due.saturating_duration_since(Instant::now()));
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&bound)) {
            Err(rustix::io::Errno::INTR) | Ok(_) => Ok(events),
            Err(error) => Err(super::system("epoll_wait")(error)),
        }
    }
}

struct Flood {
    pattern: Pattern,
    connection: Connection,
    answered: u64,
}

impl Flood {
    fn begin(&mut self) -> Result<(), Error> {
        let message = self.pattern.message(self.answered);
        self.connection.begin(&self.pattern, message)
    }

    /// Whether that was the last byte of a burst's answer.
    fn ready(&mut self, flags: EventFlags, buffer: &mut [u8]) -> Result<bool, Error> {
        let done = self.connection.ready(flags, &self.pattern, buffer)? == Progress::Answered;
        self.answered += u64::from(done);
        Ok(done)
    }
}

/// When each quiet connection has its next line due, and how long the answers took.
struct Schedule {
    due: Vec<Instant>,
    /// Which have a line out.
    out: Vec<bool>,
    waiting: usize,
    /// Whose line is due next, unless an earlier one is still out.
    turn: usize,
    latencies: Vec<Duration>,
    /// Lines that every connection has had answered, about: they take turns.
    least: u64,
}

impl Schedule {
    fn new(begin: Instant, connections: usize) -> Self {
        let spread = PERIOD / u32::try_from(connections).unwrap_or(u32::MAX);
        let due = (1..).take(connections).map(|place| begin + spread * place).collect();
        Self {
            due,
            out: vec![false; connections],
            waiting: 0,
            turn: 0,
            latencies: Vec::new(),
            least: 0,
        }
    }

    /// A connection whose line is due now.
    fn due(&mut self, goes_on: bool) -> Option<usize> {
        let index = self.turn;
        if !goes_on || self.out[index] || self.due[index] > Instant::now() {
            return None;
        }
        self.out[index] = true;
        self.waiting += 1;
        self.turn = (index + 1) % self.due.len();
        Some(index)
    }

    /// When to look for a due line again; `None` if only an answer can make one due.
    fn next(&self, goes_on: bool) -> Option<Instant> {
        (goes_on && !self.out[self.turn]).then(|| self.due[self.turn])
    }

    fn answered(&mut self, index: usize) {
        self.latencies.push(self.due[index].elapsed());
        self.due[index] += PERIOD;
        self.out[index] = false;
        self.waiting -= 1;
        self.least = self.latencies.len() as u64 / self.due.len() as u64;
    }
}

/// How often a quiet connection sends.
const PERIOD: Duration = Duration::from_millis(50);
