//! A line that tells how far it is: one that changes in place on a terminal, else now and then one.
#![expect(clippy::disallowed_methods, reason = "measures time")]

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

pub(crate) struct Progress {
    all: usize,
    done: usize,
    begin: Instant,
    /// When a line was last written; `None` on a terminal, where it is rewritten each time.
    last: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(all: usize) -> Self {
        let begin = Instant::now();
        let last = (!stderr().is_terminal()).then_some(begin);
        Self { all, done: 0, begin, last }
    }

    /// One more measurement begins.
    pub(crate) fn step(&mut self, what: &str) {
        let percent = self.done * 100 / self.all.max(1);
        let left = match u32::try_from(self.done) {
            Ok(done @ 1..) => {
                let each = self.begin.elapsed() / done;
                let left = each * u32::try_from(self.all - self.done).unwrap_or(u32::MAX);
                format!(", about {} s left", left.as_secs())
            }
            _ => String::new(),
        };
        self.done += 1;
        let text = format!("{percent:3} %: {what}{left}");
        let mut err = stderr().lock();
        // Nobody may be looking.
        let _ = match &mut self.last {
            None => write!(err, "\r\x1b[K{text}").and_then(|()| err.flush()),
            Some(last) if last.elapsed() >= INTERVAL => {
                *last = Instant::now();
                writeln!(err, "{text}")
            }
            Some(_) => Ok(()),
        };
    }

    /// A line that stays.
    pub(crate) fn say(&self, text: &str) {
        let _ = writeln!(stderr(), "{}{text}", if self.last.is_none() { "\r\x1b[K" } else { "" });
    }

    pub(crate) fn done(&self) {
        self.say(&format!("measured for {} s", self.begin.elapsed().as_secs()));
    }
}

const INTERVAL: Duration = Duration::from_secs(10);
