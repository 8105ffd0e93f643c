//! Reads by pattern against references, on bytes that come in any pieces (promise 11).
#![no_main]

use std::sync::{Arc, Mutex};

use arbitrary::Arbitrary;
use facade_engine::{
    AnyMatch, Bytes, Callback, Engine, Handle, Limits, LineGlob, Pattern, Regex, RegexMatch,
    Stream,
    sim::{Network, Peer},
};
use libfuzzer_sys::{Corpus, fuzz_target};
use regex_automata::{Input, meta, util::syntax};

/// Where a read ends in the text, and which range of that matched.
type Outcome = Option<(usize, std::ops::Range<usize>)>;

#[derive(Debug, Arbitrary)]
struct Case<'a> {
    pattern: Of<'a>,
    text: &'a [u8],
    /// How long each piece is; the last holds for the rest.
    pieces: Vec<u8>,
}

#[derive(Debug, Arbitrary)]
enum Of<'a> {
    Delimiter(&'a [u8]),
    Glob(&'a str),
    Regex(&'a str),
}

impl Of<'_> {
    /// Submits the read; none if the pattern is refused.
    fn submit(&self, engine: &Handle, stream: &Stream, heard: &Heard) -> Option<()> {
        match self {
            Of::Delimiter(delimiter) => {
                let length = delimiter.len();
                let of = move |b: Bytes| (b.len(), b.len() - length..b.len());
                (!delimiter.is_empty()).then(|| engine.read_until(stream, delimiter, heard.by(of)));
            }
            Of::Glob(glob) => {
                let glob = LineGlob::new(glob).ok()?;
                let any = [Pattern::line(glob)];
                engine.read_until_any(
                    stream,
                    any,
                    heard.by(|any: AnyMatch| (any.bytes.len(), any.range)),
                );
            }
            Of::Regex(regex) => {
                let regex = Regex::new(regex).ok()?;
                let of = |found: RegexMatch| (found.bytes.len(), found.range);
                engine.read_until_regex(stream, regex, heard.by(of));
            }
        }
        Some(())
    }

    /// What the contract says, word by word.
    fn reference(&self, text: &[u8]) -> Option<Outcome> {
        Some(match self {
            Of::Delimiter([]) => return None,
            Of::Delimiter(delimiter) => memchr::memmem::find(text, delimiter)
                .map(|start| (start + delimiter.len(), start..start + delimiter.len())),
            Of::Glob(glob) => {
                let mut start = 0;
                loop {
                    let Some(length) = memchr::memchr(b'\n', &text[start..]) else {
                        break None;
                    };
                    let line = &text[start..start + length];
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    if glob_matches(&glob_items(glob.as_bytes())?, line) {
                        break Some((start + length + 1, start..start + line.len()));
                    }
                    start += length + 1;
                }
            }
            Of::Regex(pattern) => {
                let regex = meta::Regex::builder()
                    .syntax(syntax::Config::new().unicode(false).utf8(false))
                    .configure(meta::Config::new().utf8_empty(false))
                    .build(pattern)
                    .ok()?;
                (1..=text.len()).find_map(|end| {
                    // What follows is seen by look-around, and nothing that ends later is found.
                    let found = regex.find(Input::new(text).range(..end))?.range();
                    (found.end == end).then_some((end, found))
                })
            }
        })
    }
}

/// A glob's parts: a byte, any byte, any bytes, a class. None for what this reference leaves out.
enum Item {
    Byte(u8),
    Any,
    Star,
}

fn glob_items(glob: &[u8]) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    let mut bytes = glob.iter();
    while let Some(&byte) = bytes.next() {
        items.push(match byte {
            b'[' => return None,
            b'*' => Item::Star,
            b'?' => Item::Any,
            b'\\' => Item::Byte(*bytes.next()?),
            byte => Item::Byte(byte),
        });
    }
    Some(items)
}

/// One row a byte: which prefixes of the glob match the line up to there.
fn glob_matches(items: &[Item], line: &[u8]) -> bool {
    let mut row = vec![false; items.len() + 1];
    row[0] = true;
    for (at, item) in items.iter().enumerate() {
        row[at + 1] = row[at] && matches!(item, Item::Star);
    }
    for &byte in line {
        let mut next = vec![false; items.len() + 1];
        for (at, item) in items.iter().enumerate() {
            next[at + 1] = match item {
                Item::Byte(wanted) => row[at] && *wanted == byte,
                Item::Any => row[at],
                Item::Star => row[at + 1] || next[at],
            };
        }
        row = next;
    }
    row[items.len()]
}

/// What the callback has heard.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Option<Outcome>>>);

impl Heard {
    fn by<T: Send + 'static>(
        &self,
        view: impl FnOnce(T) -> (usize, std::ops::Range<usize>) + Send + 'static,
    ) -> Callback<T> {
        let heard = self.clone();
        Callback::from_fn(move |_, outcome| {
            let before = heard.0.lock().unwrap().replace(outcome.ok().map(view));
            assert!(before.is_none(), "told twice");
        })
    }
}

fuzz_target!(|case: Case<'_>| -> Corpus {
    // A reference that asks for every prefix is quadratic.
    if case.text.len() > 512 || matches!(case.pattern, Of::Regex(r) if r.len() > 64) {
        return Corpus::Reject;
    }
    let network = Network::new(1);
    let engine = Engine::builder()
        .limits(Limits::default())
        .simulated(&network.host("here"))
        .build()
        .unwrap();
    let (mut peer, stream) = Peer::pair(&engine).unwrap();
    let heard = Heard::default();
    if case.pattern.submit(&engine, &stream, &heard).is_none() {
        return Corpus::Reject;
    }
    let Some(expected) = case.pattern.reference(case.text) else { return Corpus::Reject };
    let (mut rest, mut pieces) = (case.text, case.pieces.iter());
    while !rest.is_empty() {
        let wanted = pieces.next().map_or(usize::MAX, |&len| usize::from(len) + 1);
        let (piece, behind) = rest.split_at(wanted.min(rest.len()));
        std::io::Write::write_all(&mut peer, piece).unwrap();
        engine.run_once(Some(std::time::Duration::ZERO)).unwrap();
        rest = behind;
    }
    drop(peer);
    engine.run().unwrap();
    let told = heard.0.lock().unwrap().take().expect("told once");
    assert_eq!(told, expected, "{case:?}");
    Corpus::Keep
});
