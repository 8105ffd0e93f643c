//! What the targets that look for patterns share: patterns with their references, and a read of
//! bytes that come in pieces.

use std::{
    io::Write,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use arbitrary::Arbitrary;
use facade_engine::{
    Callback, Engine, LineGlob, Pattern, Regex, Stream,
    sim::{Network, Peer},
};
use regex_automata::{Input, meta, util::syntax};

/// Where a read ends in the text, and which range of that matched.
pub type Outcome = Option<(usize, Range<usize>)>;

#[derive(Debug, Arbitrary)]
pub enum Of<'a> {
    Delimiter(&'a [u8]),
    Glob(&'a str),
    Regex(&'a str),
}

impl Of<'_> {
    /// None if it is refused.
    pub fn pattern(&self) -> Option<Pattern> {
        match self {
            Of::Delimiter([]) => None,
            Of::Delimiter(delimiter) => Some(Pattern::bytes(delimiter)),
            Of::Glob(glob) => LineGlob::new(glob).ok().map(Pattern::line),
            Of::Regex(regex) => Regex::new(regex).ok().map(Pattern::regex),
        }
    }

    /// A reference that asks for every prefix of the text is quadratic.
    pub fn is_short(&self) -> bool {
        !matches!(self, Of::Regex(regex) if regex.len() > 64)
    }

    /// What the contract says, word by word; none if the pattern is refused.
    pub fn reference(&self, text: &[u8]) -> Option<Outcome> {
        Some(match self {
            Of::Delimiter([]) => return None,
            Of::Delimiter(delimiter) => memchr::memmem::find(text, delimiter)
                .map(|start| (start + delimiter.len(), start..start + delimiter.len())),
            Of::Glob(glob) => {
                let items = glob_items(glob.as_bytes())?;
                let mut start = 0;
                loop {
                    let Some(length) = memchr::memchr(b'\n', &text[start..]) else {
                        break None;
                    };
                    let line = &text[start..start + length];
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    if glob_matches(&items, line) {
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

/// A glob's parts: a byte, any byte, any bytes. None for what this reference leaves out, classes.
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

/// What a read succeeds with of a text whose pieces come one after the other, and of which nothing
/// follows. The last length holds for the rest.
pub fn read<T: Send + 'static>(
    text: &[u8],
    pieces: &[u8],
    submit: impl FnOnce(&Engine, &Stream, Callback<T>),
) -> Option<T> {
    let network = Network::new(1);
    let engine = Engine::builder().simulated(&network.host("here")).build().unwrap();
    let (mut peer, stream) = Peer::pair(&engine).unwrap();
    let heard = Arc::new(Mutex::new(None));
    let hears = Arc::clone(&heard);
    submit(
        &engine,
        &stream,
        Callback::from_fn(move |_, outcome| {
            let before = hears.lock().unwrap().replace(outcome.ok());
            assert!(before.is_none(), "told twice");
        }),
    );
    let (mut rest, mut pieces) = (text, pieces.iter());
    while !rest.is_empty() {
        let wanted = pieces.next().map_or(usize::MAX, |&len| usize::from(len) + 1);
        let (piece, behind) = rest.split_at(wanted.min(rest.len()));
        peer.write_all(piece).unwrap();
        engine.run_once(Some(Duration::ZERO)).unwrap();
        rest = behind;
    }
    drop(peer);
    engine.run().unwrap();
    heard.lock().unwrap().take().expect("told once")
}
