//! Reads up to whichever of several patterns ends first, by a list that was compiled once and by one
//! that was not, against references of each pattern (promise 11).
#![no_main]

mod support;

use arbitrary::Arbitrary;
use facade_engine::{AnyMatch, Pattern, Patterns};
use libfuzzer_sys::{Corpus, fuzz_target};

use crate::support::{Of, read};

#[derive(Debug, Arbitrary)]
struct Case<'a> {
    patterns: Vec<Of<'a>>,
    text: &'a [u8],
    /// How long each piece is; the last holds for the rest.
    pieces: Vec<u8>,
}

fuzz_target!(|case: Case<'_>| -> Corpus {
    let Case { patterns, text, pieces } = &case;
    if text.len() > 256 || patterns.len() > 16 || !patterns.iter().all(Of::is_short) {
        return Corpus::Reject;
    }
    let Some(list) = patterns.iter().map(Of::pattern).collect::<Option<Vec<Pattern>>>() else {
        return Corpus::Reject;
    };
    let Some(ends) = patterns.iter().map(|of| of.reference(text)).collect::<Option<Vec<_>>>()
    else {
        return Corpus::Reject;
    };
    let Ok(compiled) = Patterns::new(list.iter().cloned()) else {
        assert!(list.is_empty(), "{case:?}");
        return Corpus::Reject;
    };
    // Of those that end together the first.
    let found = ends.into_iter().enumerate().filter_map(|(index, end)| Some((index, end?)));
    let expected = found
        .min_by_key(|(_, (end, _))| *end)
        .map(|(index, (end, range))| (index, text[..end].to_vec(), range));
    let seen = |any: AnyMatch| (any.index, any.bytes.to_vec(), any.range);
    let by_compiled = read(text, pieces, |engine, stream, callback| {
        engine.read_until_any(stream, &compiled, callback);
    });
    assert_eq!(by_compiled.map(seen), expected, "compiled: {case:?}");
    let by_list = read(text, pieces, |engine, stream, callback| {
        engine.read_until_any(stream, list, callback);
    });
    assert_eq!(by_list.map(seen), expected, "a list: {case:?}");
    Corpus::Keep
});
