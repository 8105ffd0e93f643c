//! What is asked of each server.

use std::time::Duration;

use facade_benches::load::{Config, Hold, Length, LineEnd, Mode};
use facade_benches::servers::Services;

/// What a case is about: it decides which figure of a measurement counts, and where it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// CPU time an operation, as a ratio to raw epoll.
    Cpu,
    /// Bytes an idle connection.
    Memory,
    /// How long the quiet ones wait beside a flood.
    Latency,
    /// What a client that does not read makes the server grow by.
    Growth,
}

#[derive(Debug)]
pub(crate) struct Case {
    /// Its name on the command line and in JSON.
    pub(crate) name: &'static str,
    /// Its title in tables and charts.
    pub(crate) title: &'static str,
    pub(crate) figure: Figure,
    mode: Mode,
    pub(crate) connections: usize,
    pub(crate) size: usize,
}

impl Case {
    /// Whether it asks for lines or for bytes.
    pub(crate) fn lines(&self) -> bool {
        matches!(self.mode, Mode::Burst | Mode::Churn | Mode::Mix)
    }

    pub(crate) fn wants(&self, services: Services) -> bool {
        let wanted = if self.lines() { Services::Lines } else { Services::Echo };
        services == Services::Both || services == wanted
    }

    /// In how many of the rounds it is measured: memory hardly differs from round to round.
    pub(crate) fn rounds(&self, all: usize) -> usize {
        match self.figure {
            Figure::Cpu => all,
            Figure::Latency => all.min(3),
            Figure::Memory | Figure::Growth => 1,
        }
    }

    pub(crate) fn config(&self, length: Duration, config: Config) -> Config {
        Config {
            mode: self.mode,
            connections: self.connections,
            size: self.size,
            burst: if self.mode == Mode::Mix { FLOOD } else { config.burst },
            reply_end: if self.lines() { LineEnd::Crlf } else { LineEnd::Lf },
            length: Length::Time(length),
            hold: Hold::Time(HOLD),
            ..config
        }
    }
}

pub(crate) fn find(name: &str) -> Result<&'static Case, String> {
    let names = || CASES.each_ref().map(|case| case.name).join(", ");
    CASES.iter().find(|case| case.name == name).ok_or_else(|| format!("not one of {}", names()))
}

const fn cpu(
    name: &'static str,
    title: &'static str,
    mode: Mode,
    connections: usize,
    size: usize,
) -> Case {
    Case { name, title, figure: Figure::Cpu, mode, connections, size }
}

pub(crate) static CASES: [Case; 9] = [
    cpu("1x64", "1 conn, 64 B", Mode::Echo, 1, 64),
    cpu("64x64", "64 conns, 64 B", Mode::Echo, 64, 64),
    cpu("1000x64", "1000 conns, 64 B", Mode::Echo, 1000, 64),
    cpu("64x16k", "64 conns, 16 KiB", Mode::Echo, 64, 16 * 1024),
    cpu("churn", "connect, line, close", Mode::Churn, 64, 64),
    cpu("lines", "64 conns, bursts of 16 lines", Mode::Burst, 64, 64),
    Case {
        name: "idle",
        title: "idle connections, bytes each",
        figure: Figure::Memory,
        mode: Mode::Idle,
        connections: 10_000,
        size: 64,
    },
    Case {
        name: "mix",
        title: "100 quiet connections beside a flood",
        figure: Figure::Latency,
        mode: Mode::Mix,
        connections: 100,
        size: 64,
    },
    Case {
        name: "slow",
        title: "a client that does not read",
        figure: Figure::Growth,
        mode: Mode::Slow,
        connections: 1,
        size: 64,
    },
];

/// How cost grows with connections and with the size of messages: two lines of cases that share
/// one.
pub(crate) static GROWTH: [Case; 10] = [
    cpu("1x64", "1 conn, 64 B", Mode::Echo, 1, 64),
    cpu("10x64", "10 conns, 64 B", Mode::Echo, 10, 64),
    cpu("100x64", "100 conns, 64 B", Mode::Echo, 100, 64),
    cpu("1000x64", "1000 conns, 64 B", Mode::Echo, 1000, 64),
    cpu("10000x64", "10,000 conns, 64 B", Mode::Echo, 10_000, 64),
    cpu("10x1", "10 conns, 1 B", Mode::Echo, 10, 1),
    cpu("10x1k", "10 conns, 1 KiB", Mode::Echo, 10, 1 << 10),
    cpu("10x16k", "10 conns, 16 KiB", Mode::Echo, 10, 16 << 10),
    cpu("10x128k", "10 conns, 128 KiB", Mode::Echo, 10, 128 << 10),
    cpu("10x1m", "10 conns, 1 MiB", Mode::Echo, 10, 1 << 20),
];

/// Lines in a burst of the flood: the server never catches up.
const FLOOD: usize = 4096;

/// How long idle connections are held: what a server does after a request is done by then.
const HOLD: Duration = Duration::from_millis(200);
