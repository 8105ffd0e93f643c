//! [`Trace`]: everything that has happened in a network, as one number, and in words if wanted.

use std::{fmt, time::Duration};

use crate::system::sim::rng::scramble;

/// What has happened.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    fingerprint: u64,
    words: Option<Vec<String>>,
}

impl Trace {
    /// From now on it is kept in words, too.
    pub(crate) fn keep_words(&mut self) {
        self.words.get_or_insert_default();
    }

    /// Takes the words so far.
    pub(crate) fn take_words(&mut self) -> Vec<String> {
        self.words.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Notes that something happened; `what` and `which` tell it from anything else.
    pub(crate) fn note(
        &mut self,
        now: Duration,
        what: u64,
        which: u64,
        words: impl FnOnce() -> String,
    ) {
        let nanos = now.as_secs().wrapping_mul(1_000_000_000) + u64::from(now.subsec_nanos());
        for part in [nanos, what, which] {
            self.fingerprint = scramble(self.fingerprint.rotate_left(5) ^ part);
        }
        if let Some(all) = &mut self.words {
            all.push(format!("{:>14} {}", Milliseconds(now), words()));
        }
    }
}

/// A time as people read it.
struct Milliseconds(Duration);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        f.pad(&format!("{millis}.{:03} ms", self.0.as_micros() % 1000))
    }
}

/// Bytes as one number.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut digest = bytes.len() as u64;
    for word in words {
        digest = (digest ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        digest ^= digest >> 32;
    }
    for &byte in rest {
        digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    digest
}
