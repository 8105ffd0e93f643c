//! The mail by callbacks: what the session still has to do travels from one to the next.

use std::{collections::VecDeque, sync::mpsc};

use bytes::Bytes;
use facade_engine::{AddrInfo, Callback, Engine, Error, Handle, Hints, Local, RegexMatch, Stream};
use facade_examples::Result;

use crate::mail::{EHLO, Failure, Mail, QUIT, Step, accepted, goodbye, greeting, multiline_reply};

struct Session {
    mail: Mail,
    addresses: VecDeque<AddrInfo>,
    steps: VecDeque<Step>,
    outcome: mpsc::Sender<Result<Bytes, Failure>>,
}

pub(crate) fn send(engine: &Engine, mail: Mail) -> Result<Bytes> {
    let (outcome, outcomes) = mpsc::channel();
    let session = Session { steps: mail.steps(), mail, addresses: VecDeque::new(), outcome };
    resolve(engine, session);
    engine.run()?;
    // The engine has run until nothing was pending, so the session has said how it ended.
    Ok(outcomes.recv()??)
}

fn resolve(engine: &Handle, session: Session) {
    let (host, port) = (session.mail.server.host.clone(), session.mail.server.port);
    let patience = session.mail.patience;
    let callback = Callback::with(
        session,
        |engine, mut session, addresses: Vec<AddrInfo>| {
            session.addresses = addresses.into();
            connect(engine, session);
        },
        |_, session, error| session.failed("resolve the server", error),
    );
    engine.getaddrinfo(host, port, Hints::default(), callback.timeout(patience));
}

/// Connects to the first address that takes it, and waits for the server's greeting there.
fn connect(engine: &Handle, mut session: Session) {
    let Some(AddrInfo { address, .. }) = session.addresses.pop_front() else {
        return session.failed("connect", Error::Closed);
    };
    let patience = session.mail.patience;
    let greeted = Callback::with(
        session,
        |engine, session, (stream, _line): (Stream, Bytes)| greet(engine, &stream, session),
        move |engine, session: Session, error| match error {
            Error::Stage { .. } if !session.addresses.is_empty() => connect(engine, session),
            error => session.failed(&format!("connect to {address}"), error),
        },
    );
    engine
        .chain()
        .connect(address, Callback::ignore().timeout(patience))
        .with_stream()
        .expect_line(greeting(), greeted.timeout(patience))
        .submit();
}

/// Says hello, and reads an answer of several lines.
fn greet(engine: &Handle, stream: &Stream, session: Session) {
    let patience = session.mail.patience;
    let greeted = Callback::with(
        (session, stream.clone()),
        |engine, (session, stream), reply: RegexMatch| match accepted(&reply) {
            Ok(()) => next(engine, &stream, session),
            Err(error) => session.finish(engine, &stream, Err(Failure::new("EHLO", error))),
        },
        |_, (session, _), error| session.failed("EHLO", error),
    );
    engine
        .chain()
        .on(stream)
        .write(EHLO, Callback::ignore().timeout(patience))
        .read_until_regex(multiline_reply(), greeted.timeout(patience))
        .submit();
}

/// Takes the next step, or ends with the reply to the last one.
fn next(engine: &Handle, stream: &Stream, mut session: Session) {
    let Some(Step { name, send, expect }) = session.steps.pop_front() else { return };
    let patience = session.mail.patience;
    let replied = Callback::with(
        (session, stream.clone()),
        |engine, (session, stream), reply| match session.steps.is_empty() {
            true => session.finish(engine, &stream, Ok(reply)),
            false => next(engine, &stream, session),
        },
        move |engine, (session, stream), error| {
            session.finish(engine, &stream, Err(Failure::new(name, error)));
        },
    );
    engine.write_then_expect_line(
        stream,
        send,
        expect,
        (Callback::ignore().timeout(patience), replied.timeout(patience)),
    );
}

impl Session {
    /// Ends a conversation that has not begun.
    fn failed(self, at: &str, error: Error) {
        drop(self.outcome.send(Err(Failure::new(at, error))));
    }

    /// Tells how it went and says goodbye; what the server makes of that does not matter.
    fn finish(self, engine: &Local, stream: &Stream, outcome: Result<Bytes, Failure>) {
        let patience = self.mail.patience;
        drop(self.outcome.send(outcome));
        let callbacks = (Callback::ignore(), Callback::ignore().timeout(patience));
        engine.write_then_expect_line(stream, QUIT, goodbye(), callbacks);
    }
}
