//! What is sent and what has to come back: two tables that correspond unit by unit.
//!
//! A unit is a byte, or a line. A message is some units in a row from a pseudo-random place, so
//! that neither a sent nor an expected byte is ever computed on the way, and an answer that went
//! to the wrong connection, or came twice, differs from the right one.

use std::ops::Range;

use super::LineEnd;

/// A message and its answer, as places in the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) sent: Range<usize>,
    pub(super) expected: Range<usize>,
}

#[derive(Debug)]
pub(super) struct Pattern {
    sent: Vec<u8>,
    expected: Vec<u8>,
    /// Bytes of a unit in `sent` and in `expected`.
    units: (usize, usize),
    /// Units in a message.
    length: usize,
    /// Units at which a message may begin.
    starts: u64,
}

impl Pattern {
    /// Messages of `size` bytes of any value that come back unchanged.
    pub(super) fn bytes(size: usize) -> Self {
        let mut random = Random(SEED);
        let sent: Vec<u8> = (0..STARTS + size).map(|_| random.byte()).collect();
        let expected = sent.clone();
        Self { sent, expected, units: (1, 1), length: size, starts: STARTS as u64 }
    }

    /// Messages of `count` lines of `size` bytes with their LF, that come back ended by `end`.
    pub(super) fn lines(size: usize, count: usize, end: LineEnd) -> Self {
        assert!(size >= 2, "a line has a character and an LF");
        let end: &[u8] = match end {
            LineEnd::Crlf => b"\r\n",
            LineEnd::Lf => b"\n",
        };
        let starts = (TABLE / size).clamp(16, STARTS);
        let mut random = Random(SEED);
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..starts + count {
            let line: Vec<u8> = (1..size).map(|_| random.printable()).collect();
            sent.extend_from_slice(&line);
            sent.push(b'\n');
            expected.extend_from_slice(&line);
            expected.extend_from_slice(end);
        }
        let units = (size, size - 1 + end.len());
        Self { sent, expected, units, length: count, starts: starts as u64 }
    }

    /// The message of that number.
    pub(super) fn message(&self, sequence: u64) -> Message {
        let start = usize::try_from(Random(sequence).next() % self.starts).unwrap_or(0);
        let place = |unit| start * unit..(start + self.length) * unit;
        Message { sent: place(self.units.0), expected: place(self.units.1) }
    }

    pub(super) fn sent(&self, message: &Message) -> &[u8] {
        &self.sent[message.sent.clone()]
    }

    pub(super) fn expected(&self, message: &Message) -> &[u8] {
        &self.expected[message.expected.clone()]
    }
}

/// SplitMix64: its first output is already well mixed, so a sequence number can be its state.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn printable(&mut self) -> u8 {
        b'!' + self.byte() % (b'~' - b'!' + 1)
    }
}

/// The same bytes in every run.
const SEED: u64 = 0x0066_6163_6164_6531;

/// Places at which a message may begin, at most.
const STARTS: usize = 4096;

/// Bytes of lines to choose from, about: more would not stay in the cache.
const TABLE: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_as_they_were_sent() {
        let pattern = Pattern::bytes(64);
        for sequence in 0..1000 {
            let message = pattern.message(sequence);
            assert_eq!(pattern.sent(&message).len(), 64);
            assert_eq!(pattern.sent(&message), pattern.expected(&message));
        }
    }

    #[test]
    fn lines_come_back_with_the_line_end_of_the_service() {
        for (end, text) in [(LineEnd::Crlf, "\r\n"), (LineEnd::Lf, "\n")] {
            let pattern = Pattern::lines(64, 16, end);
            let message = pattern.message(7);
            let sent = String::from_utf8(pattern.sent(&message).to_vec()).unwrap();
            let expected = String::from_utf8(pattern.expected(&message).to_vec()).unwrap();
            assert_eq!(sent.len(), 16 * 64);
            assert_eq!(sent.lines().count(), 16);
            assert!(sent.lines().all(|line| line.chars().all(|c| c.is_ascii_graphic())));
            assert_eq!(sent.replace('\n', text), expected);
        }
    }

    #[test]
    fn messages_in_a_row_differ() {
        let pattern = Pattern::lines(64, 1, LineEnd::Lf);
        let mut starts: Vec<_> = (0..64).map(|n| pattern.message(n).sent.start).collect();
        starts.sort_unstable();
        starts.dedup();
        assert!(starts.len() > 56, "{} different messages of 64", starts.len());
    }

    #[test]
    fn long_lines_keep_the_table_small() {
        let pattern = Pattern::lines(1 << 20, 1, LineEnd::Crlf);
        assert_eq!(pattern.sent.len(), 17 << 20);
    }
}
