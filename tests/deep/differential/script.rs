//! Scripts: what a program and its peers do, drawn from a seed.

use facade_engine::sim::Rng;

use crate::model::expect::Spec;

/// How many streams there are.
pub(super) const STREAMS: usize = 2;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Read {
        stream: usize,
        spec: Spec,
        how: How,
    },
    Write {
        stream: usize,
        len: usize,
        how: How,
    },
    Flush {
        stream: usize,
        how: How,
    },
    Shutdown {
        stream: usize,
    },
    WriteThenExpect {
        stream: usize,
    },
    ReadChain {
        stream: usize,
        specs: Vec<Spec>,
    },
    Accept {
        how: How,
    },
    Sleep {
        how: How,
    },
    /// One of those that were submitted.
    Cancel {
        nth: usize,
    },
    Close {
        stream: usize,
    },
    PeerSends {
        stream: usize,
        bytes: Vec<u8>,
    },
    PeerReads {
        stream: usize,
    },
    PeerShuts {
        stream: usize,
    },
    Client,
}

/// How an operation is submitted.
#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    Plain,
    /// With a timeout of zero.
    AtOnce,
    /// With one that never comes.
    ForEver,
    /// With a claim that is dropped.
    Dropped,
}

pub(super) fn draw(seed: u64) -> Vec<Step> {
    let mut rng = Rng::new(seed);
    let count = 5 + rng.below(25);
    let rng = &mut rng;
    (0..count).map(|_| draw_step(rng)).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
fn draw_step(rng: &mut Rng) -> Step {
    let stream = rng.below(STREAMS as u64) as usize;
    let how = match rng.below(8) {
        0 | 1 => How::AtOnce,
        2 => How::ForEver,
        3 => How::Dropped,
        _ => How::Plain,
    };
    match rng.below(100) {
        0..35 => Step::Read { stream, spec: Spec::draw(rng), how },
        35..45 => Step::Write { stream, len: rng.below(300) as usize, how },
        45..48 => Step::Flush { stream, how },
        48 => Step::Shutdown { stream },
        49..52 => Step::WriteThenExpect { stream },
        52..55 => {
            let spec = |rng: &mut Rng| loop {
                let spec = Spec::draw(rng);
                if spec.takes() {
                    break spec;
                }
            };
            Step::ReadChain { stream, specs: (0..2).map(|_| spec(rng)).collect() }
        }
        55..59 => Step::Accept { how },
        59 => Step::Sleep { how },
        60..67 => Step::Cancel { nth: rng.below(30) as usize },
        67 => Step::Close { stream },
        68..93 => {
            let len = 1 + rng.below(60) as usize;
            let letter = |rng: &mut Rng| match rng.below(12) {
                0 | 1 => b'\n',
                2 => b'\r',
                drawn => b'a' + drawn as u8 % 8,
            };
            Step::PeerSends { stream, bytes: (0..len).map(|_| letter(rng)).collect() }
        }
        93..96 => Step::PeerReads { stream },
        96 => Step::PeerShuts { stream },
        _ => Step::Client,
    }
}
