//! Every kind of read, over the same bytes, so that a test can say something of all of them.

use facade_engine::{
    Bytes, Cancel, Handle, LineGlob, Pattern, Regex, Result, Stream,
    matcher::{Matcher, Scan},
};

use crate::told::Told;

/// What each read of [`reads`] finds its match in.
pub const TEXT: &[u8] = b"one\r\ntwo\nEND\n";
/// The first bytes of [`TEXT`], in which none of [`reads`] finds anything.
pub const START: &[u8] = b"on";

/// One kind of read; it is told under its name.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    /// The operation's name.
    pub name: &'static str,
    /// How much of [`TEXT`] it takes.
    pub takes: usize,
    submit: fn(&Handle, &Stream, &Told) -> Cancel,
}

impl Read {
    /// Submits it; the value itself is noted.
    pub fn submit(&self, engine: &Handle, stream: &Stream, told: &Told) -> Cancel {
        told.submitting(|| (self.submit)(engine, stream, told))
    }
}

/// Every read that waits for more than one byte.
pub fn reads() -> Vec<Read> {
    let read = |name, takes, submit| Read { name, takes, submit };
    vec![
        read("read_exact", 13, |h, s, told| h.read_exact(s, 13, told.value("read_exact"))),
        read("read_until", 13, |h, s, told| h.read_until(s, "D\n", told.value("read_until"))),
        read("read_line", 5, |h, s, told| h.read_line(s, told.value("read_line"))),
        read("read_until_lineglob", 13, |h, s, told| {
            let glob = LineGlob::new("E?D").unwrap();
            h.read_until_lineglob(s, glob, told.value("read_until_lineglob"))
        }),
        read("read_until_regex", 13, |h, s, told| {
            let regex = Regex::new(r"E\w+\n").unwrap();
            h.read_until_regex(s, regex, told.value("read_until_regex"))
        }),
        read("read_until_any", 13, |h, s, told| {
            let patterns = [Pattern::bytes("zzz"), Pattern::line("END")];
            h.read_until_any(s, patterns, told.value("read_until_any"))
        }),
        read("read_with", 13, |h, s, told| h.read_with(s, UpTo(b"D\n"), told.value("read_with"))),
        read("expect_line", 5, |h, s, told| h.expect_line(s, "one", told.value("expect_line"))),
    ]
}

/// The reads that one byte is enough for.
pub fn eager_reads() -> Vec<Read> {
    let read = |name, takes, submit| Read { name, takes, submit };
    vec![
        read("read_chunk", 13, |h, s, told| h.read_chunk(s, 64, told.value("read_chunk"))),
        read("peek", 0, |h, s, told| h.peek(s, 64, told.value("peek"))),
    ]
}

/// The read that only the end of the stream is enough for.
pub fn read_all() -> Read {
    Read { name: "read_all", takes: 13, submit: |h, s, told| h.read_all(s, told.value("read_all")) }
}

/// A matcher of the user's own: the naive search for a byte string.
#[derive(Debug)]
pub struct UpTo(pub &'static [u8]);

impl Matcher for UpTo {
    type Output = Bytes;

    fn scan(&mut self, unread: &[u8], _ended: bool) -> Scan {
        match unread.windows(self.0.len()).position(|window| window == self.0) {
            Some(start) => Scan::Found { end: start + self.0.len() },
            None => Scan::NeedMore,
        }
    }

    fn restart(&mut self) {}

    fn output(&mut self, taken: Bytes) -> Result<Bytes> {
        Ok(taken)
    }
}
