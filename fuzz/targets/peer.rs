//! A peer's script against a program's: whatever either does and however the network cuts it up,
//! the program gets each byte once and in order (promises 1, 8 and 11).
#![no_main]

use std::{
    io::Write,
    net::Shutdown,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use arbitrary::Arbitrary;
use facade_engine::{
    AnyMatch, Bytes, Callback, Cancel, Engine, Limits, Pattern, Regex, Stream,
    sim::{Link, Machine, Network, Peer},
};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Case<'a> {
    seed: u64,
    latency_ms: u8,
    split: bool,
    short_reads: bool,
    late: bool,
    limit: u8,
    steps: Vec<Step<'a>>,
}

#[derive(Debug, Arbitrary)]
enum Step<'a> {
    PeerWrites(&'a [u8]),
    PeerEnds,
    Read { how: How<'a>, timeout_ms: Option<u8>, claim: Option<bool> },
    Cancel(u8),
    Turns(u8),
    Pass(u8),
}

#[derive(Debug, Arbitrary)]
enum How<'a> {
    Chunk(u8),
    Exact(u8),
    Until(&'a [u8]),
    Line,
    Digits,
    Peek(u8),
}

/// What a program has taken, and how many of its callbacks have run.
#[derive(Clone, Default)]
struct Taken {
    bytes: Arc<Mutex<Vec<u8>>>,
    heard: Arc<AtomicUsize>,
    submitted: usize,
}

impl Taken {
    /// Takes what `bytes` finds in the outcome; or drops a claim untaken, which gives it back.
    fn by<T: Send + 'static>(
        &mut self,
        claim: Option<bool>,
        bytes: impl FnOnce(T) -> Bytes + Send + 'static,
    ) -> Callback<T> {
        self.submitted += 1;
        let (taken, heard) = (Arc::clone(&self.bytes), Arc::clone(&self.heard));
        let take = move |value| taken.lock().unwrap().extend(&bytes(value));
        match claim {
            None => Callback::from_fn(move |_, outcome| {
                heard.fetch_add(1, Relaxed);
                drop(outcome.map(take));
            }),
            Some(taking) => Callback::claim(move |_, outcome| {
                heard.fetch_add(1, Relaxed);
                if let (Ok(claim), true) = (outcome, taking) {
                    take(claim.take());
                }
            }),
        }
    }

    fn submit(
        &mut self,
        engine: &Engine,
        stream: &Stream,
        how: &How<'_>,
        timeout: Option<Duration>,
        claim: Option<bool>,
    ) -> Cancel {
        let raw = |bytes: Bytes| bytes;
        let any = |found: AnyMatch| found.bytes;
        let timeout = timeout.unwrap_or(Duration::MAX);
        match how {
            How::Chunk(size) => {
                let cb = self.by(claim, raw).timeout(timeout);
                engine.read_chunk(stream, (*size).into(), cb)
            }
            How::Exact(size) => {
                let cb = self.by(claim, raw).timeout(timeout);
                engine.read_exact(stream, (*size).into(), cb)
            }
            How::Until(delimiter) => {
                let cb = self.by(claim, raw).timeout(timeout);
                engine.read_until(stream, delimiter, cb)
            }
            How::Line => {
                let patterns = [Pattern::line(facade_engine::LinePattern::any())];
                let cb = self.by(claim, any).timeout(timeout);
                engine.read_until_any(stream, patterns, cb)
            }
            How::Digits => {
                let patterns = [Pattern::regex(Regex::new("[0-9]+x").unwrap())];
                let cb = self.by(claim, any).timeout(timeout);
                engine.read_until_any(stream, patterns, cb)
            }
            // Takes nothing.
            How::Peek(size) => {
                let cb = self.by(claim, |_: Bytes| Bytes::new()).timeout(timeout);
                engine.peek(stream, (*size).into(), cb)
            }
        }
    }
}

fuzz_target!(|case: Case<'_>| {
    let network = Network::new(case.seed);
    let host = network.host("here");
    network.set_links(Link {
        latency: Duration::ZERO..Duration::from_millis(case.latency_ms.into()),
        split: if case.split { 0.5 } else { 0.0 },
        ..Link::default()
    });
    host.set_machine(Machine {
        short_read: if case.short_reads { 0.5 } else { 0.0 },
        late: if case.late { 0.5 } else { 0.0 },
        ..Machine::default()
    });
    let line = usize::from(case.limit) + 1;
    let limits = Limits { line, all: 1 << 20, ..Limits::default() };
    let engine = Engine::builder().limits(limits).simulated(&host).build().unwrap();
    let (mut peer, stream) = Peer::pair(&engine).unwrap();
    let (mut written, mut taken, mut cancels) = (Vec::new(), Taken::default(), Vec::new());
    let mut ended = false;
    for step in &case.steps {
        match step {
            Step::PeerWrites(bytes) if !ended && written.len() + bytes.len() < 60_000 => {
                peer.write_all(bytes).unwrap();
                written.extend_from_slice(bytes);
            }
            Step::PeerWrites(_) => {}
            Step::PeerEnds if !ended => {
                ended = true;
                peer.shutdown(Shutdown::Write).unwrap();
            }
            Step::PeerEnds => {}
            Step::Read { how, timeout_ms, claim } => {
                let timeout = timeout_ms.map(|ms| Duration::from_millis(ms.into()));
                cancels.push(taken.submit(&engine, &stream, how, timeout, *claim));
            }
            Step::Cancel(which) if !cancels.is_empty() => {
                cancels[usize::from(*which) % cancels.len()].cancel();
            }
            Step::Cancel(_) => {}
            Step::Turns(count) => {
                for _ in 0..count % 8 {
                    engine.run_once(Some(Duration::ZERO)).unwrap();
                }
            }
            Step::Pass(ms) => network.pass(Duration::from_millis((*ms).into())),
        }
    }
    drop(peer);
    for cancel in cancels {
        cancel.cancel();
    }
    engine.run().unwrap();
    let rest = taken.by(None, |bytes: Bytes| bytes);
    engine.read_all(&stream, rest);
    engine.run().unwrap();
    assert_eq!(taken.heard.load(Relaxed), taken.submitted, "each callback runs once");
    assert_eq!(*taken.bytes.lock().unwrap(), written, "each byte once, in order");
});
