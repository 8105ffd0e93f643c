//! Outcomes: each is told once (promise 1), in order (13), and every error has its cause.

use std::{
    io::ErrorKind,
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
};

use facade_engine::{Error, Result};
use facade_tests::told::brief;

use super::{
    expect::{Spec, Value},
    ledger::Taken,
    world::{FAILURE, Kind, World, with},
};

/// A panic that the program is meant to have.
pub(super) struct Planned;

impl World {
    pub(super) fn hears(&mut self, id: usize, outcome: Result<Value>) -> Taken {
        self.say(|| format!("  op {id} hears {outcome:?}"));
        let now = self.now();
        self.looked_at.get_or_insert(now);
        self.rests.clear();
        let was_first = self.leaves(id, outcome.is_ok());
        match outcome {
            Ok(value) => {
                self.note(id, value.len());
                let taken = self.succeeds(id, &value);
                self.goes_on(id, now);
                taken
            }
            Err(error) => {
                self.note(id, hash(&brief(&error)));
                self.fails(id, &error, was_first);
                Taken::new()
            }
        }
    }

    /// An outcome, once; the operation leaves its queue. Returns whether it was the first there.
    pub(super) fn leaves(&mut self, id: usize, succeeded: bool) -> bool {
        let op = &mut self.ops[id];
        assert!(op.begun || !succeeded, "{op:?} succeeded before it began");
        assert!(!mem::replace(&mut op.told, true), "{op:?} was told twice");
        if !op.begun {
            return false;
        }
        let queue = match op.kind {
            Kind::Copy(_) => return self.copy_leaves(id, succeeded),
            Kind::Receive { socket } | Kind::EachDatagram { socket } => {
                &mut self.sockets[socket].receives
            }
            Kind::Send { socket, .. } => &mut self.sockets[socket].sends,
            Kind::Accept | Kind::EachConnection => &mut self.listener.accepts,
            Kind::Read(Spec::Buffered) | Kind::TakeUnsent => return true,
            Kind::Read(_) | Kind::Each(_) => &mut self.streams[op.stream].reads,
            Kind::Write { .. } | Kind::Flush | Kind::Shutdown => {
                &mut self.streams[op.stream].writes
            }
            Kind::Connect
            | Kind::Sleep
            | Kind::Close
            | Kind::Detach
            | Kind::CloseListener
            | Kind::CloseSocket { .. }
            | Kind::Every(_)
            | Kind::Lookup
            | Kind::Work
            | Kind::AcceptMatch(_) => return true,
        };
        let at = queue.iter().position(|&other| other == id).expect("queued until told");
        assert!(at == 0 || !succeeded, "{op:?} has overtaken operation {}", queue[0]);
        queue.remove(at);
        at == 0
    }

    fn succeeds(&mut self, id: usize, value: &Value) -> Taken {
        let (stream, limit, kind) =
            (self.ops[id].stream, self.ops[id].limit, self.ops[id].kind.clone());
        match (kind, value) {
            (Kind::Read(spec), value) => {
                return self.streams[stream].inflow.succeeded(&spec, limit, value);
            }
            (Kind::Write { number, .. }, Value::Count(count)) => {
                let line = &mut self.streams[stream];
                assert_eq!(*count, line.outflow.len_of(number), "a success counts all");
                assert!(!line.outflow.is_shut, "a write after the end");
                line.outflow.goes_on(self.ops[id].order);
                line.outflow.counts(number, *count);
                let sent = line.outflow.received.len() + line.link.buffer;
                assert!(
                    line.outflow.lossy || line.outflow.counted() <= sent + line.unsent,
                    "too much is unsent"
                );
            }
            (Kind::Flush, Value::Unit) => self.all_is_sent(stream),
            (Kind::Shutdown, Value::Unit) => {
                self.all_is_sent(stream);
                self.streams[stream].outflow.is_shut = true;
            }
            (Kind::TakeUnsent, Value::Bytes(rest)) => {
                let asked = self.ops[id].order;
                self.rests = self.streams[stream].outflow.take_rest(rest, asked);
            }
            (Kind::Close, Value::Unit) => self.comes_last(id),
            (Kind::Detach, Value::Bytes(unread)) => {
                self.comes_last(id);
                self.all_is_sent(stream);
                self.streams[stream].inflow.detached(unread);
            }
            (Kind::Accept, Value::Stream) => self.accepted(id),
            (Kind::AcceptMatch(expression), value) => {
                self.accepted(id);
                let stream = self.ops[id].stream;
                let spec = Spec::Regex(expression);
                self.streams[stream].inflow.succeeded(&spec, self.limits.line, value);
            }
            (Kind::Connect, Value::Stream) => self.connected(id),
            (Kind::Sleep | Kind::CloseListener | Kind::Lookup | Kind::Work, Value::Unit) => {}
            (Kind::Receive { socket }, value) => {
                self.received = Some(self.receives(self.ops[id].order, socket, value));
            }
            (Kind::Send { socket, bytes, number, .. }, Value::Count(count)) => {
                self.sent(socket, number, &bytes, *count);
            }
            (Kind::CloseSocket { socket }, Value::Unit) => self.socket_closed(id, socket),
            (Kind::Each(_), Value::Unit) => self.nothing_is_left(stream),
            (Kind::Copy(_), value) => self.copy_succeeds(id, value),
            (kind, value) => panic!("{kind:?} yields {value:?}"),
        }
        Taken::new()
    }

    pub(super) fn fails(&mut self, id: usize, error: &Error, was_first: bool) {
        let now = self.now();
        let (chain, begun) = (self.ops[id].chain, self.ops[id].begun);
        if let Some(number) = chain {
            let chain = &mut self.chains[number];
            let stage = 1 + chain.ops.iter().position(|&op| op == id).expect("one of its stages");
            match (error, chain.failed) {
                (Error::Stage { stage: of, .. }, Some(failed)) => {
                    assert_eq!(*of, failed, "the stage that failed");
                    return assert!(!begun);
                }
                (Error::Stage { .. }, None) if self.gone => return,
                (Error::Stage { .. }, None) => panic!("no stage has failed: {error:?}"),
                (Error::EngineClosed, _) if self.gone => {}
                (_, Some(_)) => panic!("stage {stage} hears {error:?}"),
                (_, None) => chain.failed = Some(stage),
            }
        }
        let op = &self.ops[id];
        let cancelled = op.cancelled;
        let chain_due = chain.and_then(|chain| self.chains[chain].due);
        let due = op.due.is_some_and(|due| due <= now) || chain_due.is_some_and(|due| due <= now);
        let (stream, limit, kind) = (op.stream, op.limit, op.kind.clone());
        if matches!(error, Error::TimedOut) && was_first && op.turns_late == 0 {
            self.is_nothing_there(stream, &kind, limit);
        }
        if self.gone && matches!(error, Error::EngineClosed) && !matches!(kind, Kind::Copy(_)) {
            if let Kind::Write { number, .. } = kind
                && begun
            {
                self.streams[stream].outflow.counts(number, 0);
            }
            return;
        }
        match kind {
            Kind::Each(_) | Kind::EachConnection | Kind::EachDatagram { .. } | Kind::Every(_) => {
                self.repeat_fails(id, error, due, was_first);
            }
            Kind::Copy(_) => self.copy_fails(id, error, due),
            Kind::Receive { socket } => self.receive_fails(id, socket, error, due, was_first),
            Kind::Send { .. } => self.send_fails(id, error, due),
            Kind::CloseSocket { socket } => self.close_of_socket_fails(id, socket, error, due),
            Kind::Read(spec) => self.read_fails(stream, &spec, limit, error, cancelled, due),
            Kind::Write { number, .. } => {
                if matches!(error, Error::PartialWrite { .. }) {
                    self.streams[stream].outflow.goes_on(self.ops[id].order);
                }
                self.write_fails(stream, number, error, cancelled, due, limit);
            }
            Kind::Flush | Kind::Shutdown => {
                self.admit_of_write(stream, error, cancelled, due, 0);
            }
            Kind::TakeUnsent => match error {
                Error::Closed => assert!(self.streams[stream].closing),
                Error::Cancelled => {
                    assert!(cancelled && self.ops[id].claims);
                    if self.streams[stream].outflow.withdraw_rest(self.begun) {
                        self.direction_fails(stream, "Cut");
                    }
                }
                _ => panic!("it hears {error:?}"),
            },
            Kind::Close | Kind::Detach => match error {
                Error::TimedOut => {
                    assert!(due);
                    self.streams[stream].outflow.lossy = true;
                }
                Error::Cancelled => assert!(cancelled),
                Error::Closed => assert!(self.streams[stream].closing),
                Error::Io { .. } => assert!(self.streams[stream].outflow.lossy, "{error:?}"),
                _ => panic!("a close hears {error:?}"),
            },
            Kind::Accept => match error {
                Error::Cancelled => {
                    assert!(cancelled);
                    self.listener.undone += 1;
                    self.listener.in_front += 1;
                    self.listener.undone_order = self.begun;
                }
                Error::TimedOut => assert!(due, "too early"),
                Error::Closed => assert!(self.listener.closed),
                _ => panic!("an accept hears {error:?}"),
            },
            Kind::Connect => match error {
                Error::Cancelled => assert!(cancelled),
                Error::TimedOut => assert!(due, "too early"),
                Error::Io { cause, .. } => assert!(
                    self.link.refuse > 0.0 && cause.kind() == ErrorKind::ConnectionRefused
                        || self.link.reset > 0.0
                        || self.link.end > 0.0
                        || self.shortage,
                    "{error:?}"
                ),
                _ => panic!("a connect hears {error:?}"),
            },
            Kind::Sleep | Kind::Lookup | Kind::Work => match error {
                Error::Cancelled => assert!(cancelled),
                Error::TimedOut => assert!(due, "too early"),
                _ => panic!("{kind:?} hears {error:?}"),
            },
            Kind::CloseListener => match error {
                Error::TimedOut => assert!(due, "too early"),
                _ => assert!(matches!(error, Error::Cancelled) && cancelled, "{error:?}"),
            },
            // Whether the connection was accepted by then, nobody can say.
            Kind::AcceptMatch(_) => match error {
                Error::Cancelled => assert!(cancelled),
                Error::TimedOut => assert!(due, "too early"),
                Error::Closed => assert!(self.listener.closed),
                Error::EndOfStream | Error::Io { .. } => {}
                _ => panic!("an accept with a match hears {error:?}"),
            },
        }
    }
}

/// A callback.
pub(super) fn hear(id: usize, outcome: Result<Value>) {
    in_callback(|world| {
        world.hears(id, outcome);
        world.reacts() || world.steps()
    });
}

/// Runs what a callback does, unless the program has failed already. It panics if `f` says so, and
/// keeps what `f` itself panics with.
pub(super) fn in_callback(f: impl FnOnce(&mut World) -> bool) {
    let failure = FAILURE.take();
    if thread::panicking() || failure.is_some() {
        return FAILURE.set(failure);
    }
    match catch_unwind(AssertUnwindSafe(|| with(f))) {
        Ok(false) => {}
        Ok(true) => resume_unwind(Box::new(Planned)),
        Err(panic) => FAILURE.set(Some(panic)),
    }
}

/// Goes on with what failed in a callback.
pub(super) fn resume_failure() {
    if let Some(panic) = FAILURE.take() {
        resume_unwind(panic);
    }
}

fn hash(words: &str) -> u64 {
    words.bytes().fold(1, |all: u64, byte| all.wrapping_mul(31).wrapping_add(byte.into()))
}
