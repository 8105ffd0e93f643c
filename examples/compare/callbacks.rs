//! The line service and a client of it by callbacks.

use std::net::{SocketAddr, TcpListener, TcpStream};

use bytes::Bytes;
use facade_engine::{Callback, Claim, Engine, Error, Handle, Listener, Local, Result, Stream};
use facade_examples::report;

use crate::{
    service::{self, Then},
    transcript::{self, NAP, PATIENCE, PIPELINED, REPLIES, Transcript},
};

/// Serves until something comes on `stop`.
pub(crate) fn serve(listener: TcpListener, stop: TcpStream) -> Result<()> {
    let engine = Engine::builder().limits(service::limits()).build()?;
    let (listener, stop) =
        (engine.attach_listener_exclusive(listener)?, engine.attach_exclusive(stop)?);
    engine.read_chunk(&stop, 1, Callback::from_fn(|engine, _| engine.stop()));
    accept(&engine, &listener);
    engine.run()
}

fn accept(engine: &Handle, listener: &Listener) {
    let again = listener.clone();
    let accepted = Callback::new(
        move |engine, stream| {
            read(engine, stream);
            accept(engine, &again);
        },
        |_, error| report(&error),
    );
    engine.accept_then_write(listener, service::READY, (accepted, Callback::ignore()));
}

fn read(engine: &Handle, stream: Stream) {
    engine.read_line(&stream.clone(), Callback::with(stream, answer, last_words));
}

fn answer(engine: &Local, stream: Stream, line: Bytes) {
    let reply = service::reply(&line);
    let (then, text) = (reply.then, reply.of(&line));
    let again = stream.clone();
    let next = Callback::new(|engine, _| read(engine, again), |_, error| report(&error));
    match then {
        Then::EndLine => engine.write_line(&stream, text, next),
        Then::LeaveOpen => engine.write(&stream, text, next),
        // The stream is closed with its last clone, behind what was written.
        Then::EndLineAndClose => engine.write_line(&stream, text, Callback::ignore()),
    };
}

/// What is left to say when a line could not be read.
fn last_words(engine: &Local, stream: Stream, error: Error) {
    match error {
        Error::TooLong { .. } => {
            engine.write_line(&stream, service::TOO_LONG, Callback::ignore());
        }
        Error::EndOfStream => {
            let rest = |engine: &Local, stream, rest: Bytes| {
                if !rest.is_empty() {
                    engine.write_line(&stream, service::unfinished(&rest), Callback::ignore());
                }
            };
            let callback = Callback::with(stream.clone(), rest, |_, _, error| report(&error));
            engine.read_all(&stream, callback);
        }
        error => report(&error),
    }
}

// ---- The client.

/// Runs the client's session and returns what it has seen.
pub(crate) fn visit(address: SocketAddr) -> Result<Transcript> {
    let engine = Engine::new()?;
    let log = Transcript::default();
    chain(&engine, address, log.clone());
    engine.run()?;
    for words in transcript::parting() {
        one_shot(&engine, address, words, log.clone());
        engine.run()?;
    }
    Ok(log)
}

/// What one step hands to the next.
#[derive(Clone)]
struct Visit {
    stream: Stream,
    log: Transcript,
}

impl Visit {
    fn say(&self, engine: &Handle, line: &'static str) {
        self.log.sent(line);
        engine.write_line(&self.stream, line, Callback::ignore());
    }
}

fn chain(engine: &Handle, address: SocketAddr, log: Transcript) {
    let greeted = Callback::with(
        log,
        |engine, log, (stream, line): (Stream, Bytes)| {
            log.received(&Ok(line));
            timeout(engine, Visit { stream, log });
        },
        |_, log, error| log.received(&Err(error)),
    );
    let chain = engine.chain().connect(address, Callback::ignore()).with_stream();
    chain.expect_line("ready", greeted).submit();
}

fn timeout(engine: &Handle, visit: Visit) {
    visit.say(engine, "part hello, ");
    let stream = visit.stream.clone();
    let expired = Callback::from_fn(move |engine, outcome| {
        visit.log.received(&outcome);
        cancel(engine, visit);
    });
    engine.read_line(&stream, expired.timeout(NAP));
}

fn cancel(engine: &Handle, visit: Visit) {
    let stream = visit.stream.clone();
    let cancelled = Callback::from_fn(move |engine, outcome| {
        visit.log.received(&outcome);
        let_go(engine, visit);
    });
    let read = engine.read_line(&stream, cancelled);
    read.cancel();
}

fn let_go(engine: &Handle, visit: Visit) {
    visit.say(engine, "echo world");
    let stream = visit.stream.clone();
    let claimed = Callback::claim(move |engine, line: Result<Claim<Bytes>>| {
        drop(line); // Nobody has taken it, so it is the next read's.
        visit.log.note("let go");
        pipeline(engine, visit);
    });
    engine.read_line(&stream, claimed);
}

fn pipeline(engine: &Handle, visit: Visit) {
    visit.say(engine, PIPELINED);
    replies(engine, visit, REPLIES);
}

fn replies(engine: &Handle, visit: Visit, left: usize) {
    let stream = visit.stream.clone();
    let received = Callback::from_fn(move |engine, outcome| {
        visit.log.received(&outcome);
        if left > 1 {
            replies(engine, visit, left - 1);
        }
    });
    engine.read_line(&stream, received.timeout(PATIENCE));
}

/// Sends all there is to say at once, and reads all that the service says to it.
fn one_shot(engine: &Handle, address: SocketAddr, words: String, log: Transcript) {
    log.sent(&words);
    let received = Callback::from_fn(move |_, outcome| log.received(&outcome));
    engine
        .chain()
        .connect(address, Callback::ignore())
        .write(words, Callback::ignore())
        .shutdown_write(Callback::ignore())
        .read_all(received)
        .timeout(PATIENCE)
        .submit();
}
