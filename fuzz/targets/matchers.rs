//! Reads by pattern against references, on bytes that come in any pieces (promise 11).
#![no_main]

mod support;

use arbitrary::Arbitrary;
use facade_engine::{AnyMatch, Bytes, RegexMatch};
use libfuzzer_sys::{Corpus, fuzz_target};

use crate::support::{Of, Outcome, read};

#[derive(Debug, Arbitrary)]
struct Case<'a> {
    pattern: Of<'a>,
    text: &'a [u8],
    /// How long each piece is; the last holds for the rest.
    pieces: Vec<u8>,
}

impl Case<'_> {
    /// What the engine's read comes to; none if the pattern is refused.
    fn outcome(&self) -> Option<Outcome> {
        let pattern = self.pattern.pattern()?;
        Some(match &self.pattern {
            Of::Delimiter(delimiter) => {
                read(self.text, &self.pieces, |engine, stream, callback| {
                    engine.read_until(stream, delimiter, callback);
                })
                .map(|bytes: Bytes| (bytes.len(), bytes.len() - delimiter.len()..bytes.len()))
            }
            Of::Glob(_) => read(self.text, &self.pieces, |engine, stream, callback| {
                engine.read_until_any(stream, [pattern], callback);
            })
            .map(|any: AnyMatch| (any.bytes.len(), any.range)),
            Of::Regex(regex) => {
                let regex = facade_engine::Regex::new(regex).ok()?;
                read(self.text, &self.pieces, |engine, stream, callback| {
                    engine.read_until_regex(stream, regex, callback);
                })
                .map(|found: RegexMatch| (found.bytes.len(), found.range))
            }
        })
    }
}

fuzz_target!(|case: Case<'_>| -> Corpus {
    if case.text.len() > 512 || !case.pattern.is_short() {
        return Corpus::Reject;
    }
    let Some(outcome) = case.outcome() else { return Corpus::Reject };
    let Some(expected) = case.pattern.reference(case.text) else { return Corpus::Reject };
    assert_eq!(outcome, expected, "{case:?}");
    Corpus::Keep
});
