//! Submitting: how an operation is handed over, and begins at its place in the order (promise 13).

use std::{thread, time::Duration};

use facade_engine::{
    Callback, Cancel, Claim, Detached, Handle, Hints, Local, Regex, Result, Stream, UdpSocket,
};
use facade_futures::op;

use super::{
    claims::hear_claim,
    connections::keep_connection,
    copies::CopySpec,
    datagrams::datagram,
    expect::{Spec, Value, regex_match},
    outcomes::hear,
    repeats::{Repeats, give},
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
                Kind::Read(_)
                    | Kind::Accept
                    | Kind::Write { .. }
                    | Kind::Flush
                    | Kind::TakeUnsent
                    | Kind::Receive { .. }
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
            begun_at: Duration::ZERO,
            told: false,
            chain,
            limit: usize::MAX,
            order: usize::MAX,
            repeats: Repeats::default(),
        });
        self.ops.len() - 1
    }

    pub(super) fn begin(&mut self, id: usize) {
        self.begin_at(id, self.now());
    }

    /// An operation goes to its place in the order.
    pub(super) fn begin_at(&mut self, id: usize, now: Duration) {
        self.say(|| format!("op {id} begins: {:?}", self.ops[id]));
        let is_copied = self.is_copied(self.ops[id].stream);
        let op = &mut self.ops[id];
        op.begun = true;
        op.begun_at = now;
        self.begun += 1;
        op.order = self.begun;
        op.due = op.timeout.and_then(|timeout| now.checked_add(timeout));
        match &mut op.kind {
            Kind::Copy(_) => self.begin_copy(id),
            Kind::Every(_) => self.begin_ticks(id, now),
            Kind::Receive { socket } | Kind::EachDatagram { socket } => {
                self.sockets[*socket].receives.push_back(id);
            }
            Kind::Send { .. } => self.begin_send(id),
            Kind::CloseSocket { socket } => {
                let socket = *socket;
                self.begin_close_of_socket(socket);
            }
            Kind::EachConnection => self.listener.accepts.push_back(id),
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
                    Kind::Each(spec) => {
                        let limits = line.limits.unwrap_or(self.limits);
                        op.limit = spec.limit(limits.line, limits.all);
                        line.reads.push_back(id);
                    }
                    Kind::Write { bytes, how, number } => {
                        let mut all = bytes.to_vec();
                        if matches!(how, Writing::Line) && bytes.last() != Some(&b'\n') {
                            all.extend_from_slice(b"\r\n");
                        }
                        op.limit = match is_copied {
                            true => usize::MAX,
                            false => line.outflow.unsent_most(self.machine.late > 0.0),
                        };
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
            if let Kind::Copy(copy) = kind {
                let to = self.streams[copy.to].handle.clone();
                return Box::new(move |cb| copies(&engine, &s, &to.expect("picked"), &copy, cb));
            }
            return Box::new(move |cb| on_stream(&engine, &s, id, kind, cb));
        }
        if let Some(socket) = self.socket_of(&kind) {
            return Box::new(move |cb| on_socket(&engine, &socket, id, kind, cb));
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
            (Kind::EachConnection, Some(listener)) => {
                let handler = move |local: &Local, stream| {
                    keep_connection(stream);
                    give(id, local, &Value::Stream);
                };
                engine.each_connection(&listener, handler, cb.map(|()| Value::Unit))
            }
            (Kind::Every(period), _) => {
                let handler = move |local: &Local, ticks| give(id, local, &count(ticks));
                engine.every(period, handler, cb.map(|()| Value::Unit))
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
fn on_stream(engine: &Handle, s: &Stream, id: usize, kind: Kind, cb: Callback<Value>) -> Cancel {
    let handler = move |local: &Local, bytes| give(id, local, &Value::Bytes(bytes));
    match kind {
        Kind::Each(Spec::Chunk(size)) => {
            engine.each_chunk(s, size, handler, cb.map(|()| Value::Unit))
        }
        Kind::Each(_) => engine.each_line(s, handler, cb.map(|()| Value::Unit)),
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

/// Calls the engine for a copy.
fn copies(
    engine: &Handle,
    from: &Stream,
    to: &Stream,
    copy: &CopySpec,
    cb: Callback<Value>,
) -> Cancel {
    match copy.both_ways {
        true => {
            let cb = cb.map(|(there, back)| Value::Counts(len(there), len(back)));
            engine.copy_both_ways_with(from, to, copy.options(), cb)
        }
        false => engine.copy_with(from, to, copy.options(), cb.map(count)),
    }
}

/// Calls the engine for what is done with a socket of datagrams.
fn on_socket(engine: &Handle, u: &UdpSocket, id: usize, kind: Kind, cb: Callback<Value>) -> Cancel {
    match kind {
        Kind::EachDatagram { .. } => {
            let handler = move |local: &Local, received| give(id, local, &datagram(received));
            engine.each_datagram(u, handler, cb.map(|()| Value::Unit))
        }
        Kind::Receive { .. } => engine.recv_from(u, cb.map(datagram)),
        Kind::Send { bytes, to: Some(to), .. } => {
            engine.send_to(u, bytes, to, cb.map(Value::Count))
        }
        Kind::Send { bytes, to: None, .. } => engine.send(u, bytes, cb.map(Value::Count)),
        Kind::CloseSocket { .. } => engine.close(u, cb.map(|()| Value::Unit)),
        kind => unreachable!("{kind:?} is of no socket"),
    }
}

fn count(count: u64) -> Value {
    Value::Count(len(count))
}

fn len(count: u64) -> usize {
    usize::try_from(count).expect("a length")
}
