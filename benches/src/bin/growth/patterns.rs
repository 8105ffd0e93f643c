//! Reads that end with any of some patterns, by how many there are: text without a match, at once
//! and in small pieces.

use std::hint::black_box;

use facade_benches::curves::Panel;
use facade_engine::matcher::{Any, Matcher, Scan};
use facade_engine::{LineGlob, LinePattern, Pattern, Regex, Result};

use super::{curve, nanoseconds};

pub(super) fn panels(rounds: usize) -> Result<[Panel; 2]> {
    let whole = panel("at once", LEN, rounds)?;
    Ok([whole, panel("in pieces of 64 bytes", 64, rounds)?])
}

fn panel(how: &str, piece: usize, rounds: usize) -> Result<Panel> {
    let sizes = [1, 10, 100, 1_000];
    let text = text();
    let mut curves = Vec::new();
    for (name, pattern) in KINDS {
        curves.push(curve(name, &sizes, rounds, |count| {
            let patterns = (0..count).map(pattern).collect::<Result<Vec<_>>>()?;
            let mut any = Any::new(patterns)?;
            // The first time over, a regex builds its tables.
            scan(&mut any, &text, piece);
            any.restart();
            let took = nanoseconds(|| {
                scan(&mut any, &text, piece);
                Result::Ok(())
            })?;
            Ok(took / (LEN as f64 / 1024.0))
        })?);
    }
    Ok(Panel { title: format!("CPU in ns a KiB of text, by patterns, text {how}"), curves })
}

fn scan(any: &mut Any, text: &[u8], piece: usize) {
    for end in (piece..=text.len()).step_by(piece) {
        assert_eq!(black_box(any.scan(&text[..end], false)), Scan::NeedMore);
    }
}

type Make = fn(usize) -> Result<Pattern>;

const KINDS: [(&str, Make); 4] = [
    ("byte strings", |number| Ok(Pattern::bytes(format!("PATTERN {number:04}")))),
    ("lines", |number| Ok(Pattern::line(LinePattern::from(&*format!("220 ready {number:04}"))))),
    ("line globs", |number| Ok(Pattern::line(LineGlob::new(&format!("220 *ready {number:04}*"))?))),
    ("regexes", |number| Ok(Pattern::regex(Regex::new(&format!("250 [A-Z]+ {number:04}"))?))),
];

/// Text in lines of 64 bytes without a match.
fn text() -> Vec<u8> {
    let letters = (b'a'..b'x').cycle();
    letters
        .zip(0..LEN)
        .map(|(letter, index)| if index % 64 == 63 { b'\n' } else { letter })
        .collect()
}

const LEN: usize = 64 << 10;
