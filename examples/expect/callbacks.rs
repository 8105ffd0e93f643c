//! The talk by callbacks: what is still to be said travels from one to the next.

use std::{collections::VecDeque, sync::mpsc};

use bytes::Bytes;
use facade_engine::{
    Callback, Child, Engine, Error, Handle, LineMatch, PtySize, RegexMatch, Stream,
};
use facade_examples::Result;

use crate::{
    Peer, heard, host_and_port,
    script::{Action, Step},
};

struct Talk {
    steps: VecDeque<Step>,
    outcome: mpsc::Sender<Result<()>>,
}

pub(crate) fn talk(engine: &Engine, peer: Peer, steps: Vec<Step>) -> Result<()> {
    let (outcome, outcomes) = mpsc::channel();
    let talk = Talk { steps: steps.into(), outcome };
    match peer {
        Peer::Server(server) => {
            let (host, port) = host_and_port(&server)?;
            let connected = Callback::with(
                talk,
                |engine, talk, stream| next(engine, stream, talk),
                |_, talk: Talk, error| talk.end(Err(error.into())),
            );
            engine.getaddrinfo_then_connect(host, port, (Callback::ignore(), connected));
        }
        Peer::Program(command) => {
            let started = Callback::with(
                talk,
                // The terminal is gone with its last clone, and a program that still runs is told so.
                |engine, talk, (_, terminal): (Child, Stream)| next(engine, terminal, talk),
                |_, talk: Talk, error| talk.end(Err(error.into())),
            );
            engine.spawn_pty(command, PtySize::default(), started);
        }
    }
    engine.run()?;
    outcomes.recv()?
}

/// Takes the next step, if there is one.
fn next(engine: &Handle, stream: Stream, mut talk: Talk) {
    let Some(step) = talk.steps.pop_front() else { return talk.end(Ok(())) };
    let on = stream.clone();
    match step.action.clone() {
        Action::Expect(regex) => {
            let then = then(stream, talk, step, |found: RegexMatch| heard(&found.bytes));
            engine.read_until_regex(&on, regex, then)
        }
        Action::Line(glob) => {
            let tell = |LineMatch { skipped, line, .. }: LineMatch| {
                [&*skipped, &*line, b"\n"].into_iter().for_each(heard);
            };
            engine.read_until_lineglob(&on, glob, then(stream, talk, step, tell))
        }
        Action::Send(line) => engine.write_line(&on, line, then(stream, talk, step, |_| ())),
        Action::Type(text) => engine.write(&on, text, then(stream, talk, step, |_| ())),
        Action::End => engine.read_all(&on, then(stream, talk, step, |all: Bytes| heard(&all))),
    };
}

/// What goes on with the step behind this one, or ends the talk.
fn then<T: 'static>(
    stream: Stream,
    talk: Talk,
    step: Step,
    tell: impl FnOnce(T) + Send + 'static,
) -> Callback<T> {
    let patience = step.patience;
    let callback = Callback::with(
        (stream, talk, step),
        move |engine, (stream, talk, _), value| {
            tell(value);
            next(engine, stream, talk);
        },
        |_, (_, talk, step): (Stream, Talk, Step), error: Error| {
            talk.end(Err(step.failed(&error).into()));
        },
    );
    callback.timeout(patience)
}

impl Talk {
    fn end(self, outcome: Result<()>) {
        drop(self.outcome.send(outcome));
    }
}
