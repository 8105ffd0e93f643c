//! Submitting: how an operation is handed over, and begins at its place in the order (promise 13).

use std::{thread, time::Duration};

use facade_engine::{
    Callback, Cancel, Claim, Detached, Handle, Hints, Local, Regex, Result, Stream,
};
use facade_futures::op;

use super::{
    claims::hear_claim,
    connections::keep_connection,
    expect::{Spec, Value, regex_match},
    outcomes::hear,
    world::{Kind, NONE, Op, Style, VALUE, World, Writing},
    writes::in_three,
};

impl World {
    /// Submits an operation of its own.
    pub(crate) fn submit(&mut self, kind: Kind, stream: usize, timed: bool) -> usize {
        let timeout = match timed {
            true => self.draw_timeout(),
            false => None,
        };
        let claims = !self.winding_down
            && self.chance(0.3)
            && matches!(
                kind,
                Kind::Read(_) | Kind::Accept | Kind::Write { .. } | Kind::Flush | Kind::TakeUnsent
            );
        let style = if claims { Style::Claim } else { Style::Callback };
        self.submit_as(style, kind, stream, timeout)
    }

    /// Submits an operation with a callback, with one that gets a claim, or as a future.
    pub(crate) fn submit_as(
        &mut self,
        style: Style,
        kind: Kind,
        stream: usize,
        timeout: Option<Duration>,
    ) -> usize {
        let id = self.add(kind, stream, timeout, None);
        self.ops[id].claims = style != Style::Callback;
        self.begin(id);
        if style == Style::Future {
            let future = op(self.call(id));
            let future = future.timeout(timeout.unwrap_or(Duration::MAX));
            self.futures.push((id, Box::pin(future)));
            return id;
        }
        let cb = self.callback(id, style == Style::Claim);
        let cancel = self.hand_over(id, cb);
        self.ops[id].cancel = Some(cancel);
        id
    }

    /// Has another thread submit an operation while a callback runs, and may cancel it before the
    /// engine has seen it.
    pub(super) fn submit_elsewhere(&mut self) {
        let kind = match self.ops.len() % 2 {
            0 => Kind::Work,
            _ => Kind::Sleep,
        };
        let timeout = self.draw_timeout();
        let id = self.add(kind, NONE, timeout, None);
        self.begin(id);
        let cb = self.callback(id, false);
        let call = self.call(id);
        let cancel = thread::spawn(move || call(cb)).join().expect("it only calls the engine");
        self.ops[id].cancel = Some(cancel);
        self.ops[id].unseen = true;
        if self.chance(0.5) {
            self.cancel(id);
        }
    }

    pub(super) fn add(
        &mut self,
        kind: Kind,
        stream: usize,
        timeout: Option<Duration>,
        chain: Option<usize>,
    ) -> usize {
        self.ops.push(Op {
            claims: false,
            kind,
            stream,
            timeout,
            due: None,
            overdue: None,
            turns_late: 0,
            cancel: None,
            cancelled: false,
            unseen: false,
            begun: false,
            told: false,
            chain,
            limit: usize::MAX,
            order: usize::MAX,
        });
        self.ops.len() - 1
    }

    pub(super) fn begin(&mut self, id: usize) {
        self.begin_at(id, self.now());
    }

    /// An operation goes to its place in the order.
    pub(super) fn begin_at(&mut self, id: usize, now: Duration) {
        self.say(|| format!("op {id} begins: {:?}", self.ops[id]));
        let op = &mut self.ops[id];
        op.begun = true;
        self.begun += 1;
        op.order = self.begun;
        op.due = op.timeout.and_then(|timeout| now.checked_add(timeout));
        match &mut op.kind {
            Kind::Accept => self.listener.accepts.push_back(id),
            Kind::Connect | Kind::Sleep | Kind::CloseListener => {}
            Kind::Lookup | Kind::Work | Kind::AcceptMatch(_) => {}
            kind => {
                let line = &mut self.streams[op.stream];
                match kind {
                    Kind::Read(spec) => {
                        let limits = line.limits.unwrap_or(self.limits);
                        op.limit = spec.limit(limits.line, limits.all);
                        match spec {
                            Spec::Buffered => op.limit = line.inflow.taken(),
                            _ => line.reads.push_back(id),
                        }
                    }
                    Kind::Write { bytes, how, number } => {
                        let mut all = bytes.to_vec();
                        if matches!(how, Writing::Line) && bytes.last() != Some(&b'\n') {
                            all.extend_from_slice(b"\r\n");
                        }
                        op.limit = line.outflow.unsent_most(self.machine.late > 0.0);
                        *number = line.outflow.write(all.into());
                        line.writes.push_back(id);
                    }
                    Kind::Shutdown => {
                        line.outflow.shutdowns += 1;
                        line.writes.push_back(id);
                    }
                    Kind::Flush => line.writes.push_back(id),
                    Kind::TakeUnsent => line.outflow.ask_for_rest(op.order),
                    Kind::Close | Kind::Detach => {}
                    _ => unreachable!(),
                }
            }
        }
    }

    pub(super) fn callback(&mut self, id: usize, claims: bool) -> Callback<Value> {
        let callback = match claims {
            true => Callback::claim(move |_: &Local, outcome: Result<Claim<Value>>| {
                hear_claim(id, outcome);
            })
            .map(|value: Value| {
                VALUE.set(Some(value.clone()));
                value
            }),
            false if self.chance(0.5) => {
                Callback::from_fn(move |_, outcome: Result<Value>| hear(id, outcome))
            }
            false => Callback::new(
                move |_, value: Value| hear(id, Ok(value)),
                move |_, error| hear(id, Err(error)),
            ),
        };
        match self.ops[id].timeout {
            Some(timeout) => callback.timeout(timeout),
            None => callback,
        }
    }

    /// Calls the engine.
    fn hand_over(&mut self, id: usize, cb: Callback<Value>) -> Cancel {
        self.call(id)(cb)
    }

    /// What calls the engine.
    fn call(&mut self, id: usize) -> Box<dyn FnOnce(Callback<Value>) -> Cancel + Send> {
        let engine = self.engine.clone();
        let kind = self.ops[id].kind.clone();
        let line = self.streams.get(self.ops[id].stream);
        if let Some(s) = line.and_then(|line| line.handle.clone()) {
            return Box::new(move |cb| on_stream(&engine, &s, kind, cb));
        }
        let (listener, there) = (self.listener.handle.clone(), self.there.at(81));
        let time = Duration::from_millis(self.rng.below(2000));
        if matches!(kind, Kind::CloseListener) {
            self.listener.handle = None;
        }
        Box::new(move |cb| match (kind, listener) {
            (Kind::CloseListener, Some(listener)) => {
                engine.close(&listener, cb.map(|()| Value::Unit))
            }
            (Kind::Accept, Some(listener)) => engine.accept(&listener, cb.map(keep_connection)),
            (Kind::AcceptMatch(expression), Some(listener)) => {
                let regex = Regex::new(expression.pattern()).unwrap();
                let cb = cb.map(|(stream, found)| {
                    keep_connection(stream);
                    regex_match(found)
                });
                engine.accept_then_expect_multiline_regex(&listener, regex, cb)
            }
            (Kind::Connect, _) => engine.connect(there, cb.map(keep_connection)),
            (Kind::Sleep, _) => engine.sleep(time, cb.map(|()| Value::Unit)),
            (Kind::Lookup, _) => {
                engine.getaddrinfo("there", 81, Hints::default(), cb.map(|_| Value::Unit))
            }
            (Kind::Work, _) => engine.submit_work(|| (), cb.map(|()| Value::Unit)),
            (kind, _) => unreachable!("{kind:?} needs a stream or listener"),
        })
    }
}

/// Calls the engine for what is done on a stream.
fn on_stream(engine: &Handle, s: &Stream, kind: Kind, cb: Callback<Value>) -> Cancel {
    match kind {
        Kind::Read(spec) => spec.submit(engine, s, cb),
        Kind::Write { bytes, how, .. } => {
            let cb = cb.map(Value::Count);
            match how {
                Writing::Whole => engine.write(s, bytes, cb),
                Writing::Line => engine.write_line(s, bytes, cb),
                Writing::Vectored => engine.write_vectored(s, in_three(&bytes), cb),
            }
        }
        Kind::Flush => engine.flush(s, cb.map(|()| Value::Unit)),
        Kind::Shutdown => engine.shutdown_write(s, cb.map(|()| Value::Unit)),
        Kind::TakeUnsent => engine.take_unsent(s, cb.map(Value::Bytes)),
        Kind::Close => engine.close(s, cb.map(|()| Value::Unit)),
        Kind::Detach => engine.detach(s, cb.map(|Detached { unread, .. }| Value::Bytes(unread))),
        kind => unreachable!("{kind:?} is of no stream"),
    }
}
