//! Chains: a stage begins with the success of the one before, its timeout too (promise 7).

use std::time::Duration;

use facade_engine::Cancel;

use super::{
    connections::keep_connection,
    expect::{Spec, Value},
    world::{Kind, NONE, Op, World, Writing},
    writes::in_three,
};

#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) ops: Vec<usize>,
    /// The stage that has failed, from 1.
    pub(super) failed: Option<usize>,
    pub(super) due: Option<Duration>,
}

impl World {
    /// Submits several operations one after the other.
    pub(super) fn submit_chain(&mut self) {
        let mut stages = Vec::new();
        let stream = match self.below(10) {
            0..2 if self.listener.handle.is_some() => {
                stages.push(Kind::Accept);
                NONE
            }
            2 if self.streams.len() < 8 => {
                stages.push(Kind::Connect);
                NONE
            }
            _ => match self.pick_free_stream() {
                Some(stream) => stream,
                None => return,
            },
        };
        for _ in 0..1 + self.below(3) {
            let stage = match self.below(5) {
                0 | 1 => self.draw_write(),
                2 => Kind::Flush,
                _ => Kind::Read(loop {
                    let spec = Spec::draw(&mut self.rng);
                    if spec.takes() {
                        break spec;
                    }
                }),
            };
            stages.push(stage);
        }
        let timeout = self.draw_timeout();
        let stages = stages.into_iter().map(|kind| (kind, self.draw_timeout())).collect();
        self.begin_chain(stages, stream, timeout, false);
    }

    /// Begins a chain, or one of the short forms.
    pub(crate) fn begin_chain(
        &mut self,
        stages: Vec<(Kind, Option<Duration>)>,
        stream: usize,
        timeout: Option<Duration>,
        short: bool,
    ) {
        let number = self.chains.len();
        let due = timeout.and_then(|timeout| self.now().checked_add(timeout));
        self.chains.push(Chain { due, ..Chain::default() });
        for (kind, timeout) in stages {
            let id = self.add(kind, stream, timeout, Some(number));
            self.chains[number].ops.push(id);
        }
        let ops = self.chains[number].ops.clone();
        let cancel = match short {
            true => self.submit_short_form(&ops),
            false => self.submit_stages(&ops, timeout),
        };
        for id in ops {
            self.ops[id].cancel = Some(cancel.clone());
        }
    }

    fn submit_stages(&mut self, ops: &[usize], timeout: Option<Duration>) -> Cancel {
        let mut chain = self.engine.chain();
        if let Some(timeout) = timeout {
            chain = chain.timeout(timeout);
        }
        for &id in ops {
            let cb = self.callback(id, false);
            chain = match &self.ops[id].kind {
                Kind::Lookup => chain.resolve("there", 81, cb.map(|_| Value::Unit)),
                Kind::Accept => {
                    let listener = self.listener.handle.as_ref().expect("still open");
                    chain.accept(listener, cb.map(keep_connection))
                }
                Kind::Connect if id > ops[0] => chain.connect_resolved(cb.map(keep_connection)),
                Kind::Connect => chain.connect(self.there.at(81), cb.map(keep_connection)),
                Kind::Flush => chain.flush(cb.map(|()| Value::Unit)),
                Kind::Shutdown => chain.shutdown_write(cb.map(|()| Value::Unit)),
                Kind::Write { bytes, how, .. } => {
                    let (bytes, cb) = (bytes.clone(), cb.map(Value::Count));
                    match how {
                        Writing::Whole => chain.write(bytes, cb),
                        Writing::Line => chain.write_line(bytes, cb),
                        Writing::Vectored => chain.write_vectored(in_three(&bytes), cb),
                    }
                }
                Kind::Read(spec) => spec.stage(chain, cb),
                kind => unreachable!("{kind:?} is no stage"),
            };
            let line = self.streams.get(self.ops[id].stream);
            if id == ops[0]
                && let Some(line) = line
            {
                chain = chain.on(line.handle.as_ref().expect("picked"));
            }
        }
        self.begin(ops[0]);
        chain.submit()
    }

    /// Calls the method that stands for the chain of these two.
    fn submit_short_form(&mut self, ops: &[usize]) -> Cancel {
        let &[one, two] = ops else { unreachable!("short forms have two stages") };
        let (cb, next) = (self.callback(one, false), self.callback(two, false));
        self.begin(one);
        let (engine, there) = (self.engine.clone(), self.there.at(81));
        let stream = self.streams.get(self.ops[one].stream).and_then(|line| line.handle.as_ref());
        let listener = self.listener.handle.as_ref();
        match (&self.ops[one].kind, &self.ops[two].kind) {
            (Kind::Accept, Kind::Write { bytes, .. }) => {
                let next = next.map(Value::Count);
                let cbs = (cb.map(keep_connection), next);
                engine.accept_then_write(listener.expect("open"), bytes.clone(), cbs)
            }
            (Kind::Accept, Kind::Read(Spec::Expect(expected))) => {
                let cbs = (cb.map(keep_connection), next.map(Value::Bytes));
                engine.accept_then_expect_line(listener.expect("open"), expected.pattern(), cbs)
            }
            (Kind::Connect, Kind::Read(Spec::Expect(expected))) => {
                let cbs = (cb.map(keep_connection), next.map(Value::Bytes));
                engine.connect_then_expect_line(there, expected.pattern(), cbs)
            }
            (Kind::Connect, Kind::Write { bytes, .. }) => {
                let cbs = (cb.map(keep_connection), next.map(Value::Count));
                engine.connect_then_write_line(there, bytes.clone(), cbs)
            }
            (Kind::Lookup, Kind::Connect) => {
                let cbs = (cb.map(|_| Value::Unit), next.map(keep_connection));
                engine.getaddrinfo_then_connect("there", 81, cbs)
            }
            (Kind::Write { bytes, .. }, Kind::Read(Spec::Expect(expected))) => {
                let cbs = (cb.map(Value::Count), next.map(Value::Bytes));
                let stream = stream.expect("open");
                engine.write_then_expect_line(stream, bytes.clone(), expected.pattern(), cbs)
            }
            (one, two) => unreachable!("{one:?} then {two:?} has no short form"),
        }
    }

    /// The stage behind a successful one begins before its callback, and its timeout runs from that
    /// success: whatever the books wait for meanwhile, the peer's end of a connection, comes later.
    pub(super) fn goes_on(&mut self, id: usize, now: Duration) {
        let Op { chain: Some(chain), stream, .. } = self.ops[id] else { return };
        let chain = &self.chains[chain];
        let at = chain.ops.iter().position(|&op| op == id).expect("one of its stages");
        if let Some(&next) = chain.ops.get(at + 1) {
            self.ops[next].stream = stream;
            self.begin_at(next, now);
        }
    }
}
