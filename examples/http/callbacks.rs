//! The HTTP server by callbacks: a function for each step, which submits the next one.

use bytes::Bytes;
use facade_engine::{Callback, Engine, Error, Handle, Listener, Local, Result, Stream};
use facade_examples::report;

use crate::message::{
    CONTINUE, HEAD_END, LAST_CHUNK, LAST_CHUNKS, LAST_PATIENCE, PATIENCE, Request, Status, refusal,
    status_of,
};

pub(crate) fn serve(engine: &Engine, listener: &Listener, signals: &Stream) -> Result<()> {
    engine.read_chunk(signals, 1, Callback::from_fn(|engine, _| engine.stop()));
    accept(engine, listener);
    engine.run()
}

fn accept(engine: &Handle, listener: &Listener) {
    let again = listener.clone();
    let accepted = move |engine: &Local, stream| {
        read_head(engine, &stream);
        accept(engine, &again);
    };
    engine.accept(listener, Callback::new(accepted, |_, error| report(&error)));
}

fn read_head(engine: &Handle, stream: &Stream) {
    let callback = Callback::with(stream.clone(), read_body, failed);
    engine.read_until(stream, HEAD_END, callback.timeout(PATIENCE));
}

fn read_body(engine: &Local, stream: Stream, head: Bytes) {
    let request = match Request::parse(&head) {
        Ok(request) => request,
        Err(status) => return refuse(engine, &stream, status),
    };
    if request.length == 0 {
        return answer(engine, &stream, &request, Bytes::new());
    }
    if request.expects_continue {
        engine.write(&stream, CONTINUE, Callback::ignore());
    }
    let length = request.length;
    let callback = Callback::with(
        (stream.clone(), request),
        |engine, (stream, request), body| answer(engine, &stream, &request, body),
        |engine, (stream, _), error| failed(engine, stream, error),
    );
    engine.read_exact(&stream, length, callback.timeout(PATIENCE));
}

/// Answers, then reads the next request. A connection that is not kept alive is closed with its
/// last clone, behind what was written.
fn answer(engine: &Handle, stream: &Stream, request: &Request, body: Bytes) {
    let response = request.answer(body);
    let callback = if request.keep_alive {
        Callback::with(
            stream.clone(),
            |engine, stream, _| read_head(engine, &stream),
            |_, _, error| report(&error),
        )
    } else {
        Callback::from_fn(|_, outcome| outcome.err().iter().for_each(report))
    };
    engine.write(stream, response, callback.timeout(PATIENCE));
}

fn failed(engine: &Local, stream: Stream, error: Error) {
    match status_of(&error) {
        Some(status) => refuse(engine, &stream, status),
        None => report(&error),
    }
}

/// Says why, and ends the connection.
fn refuse(engine: &Handle, stream: &Stream, status: Status) {
    engine.write(stream, refusal(status), Callback::ignore().timeout(PATIENCE));
    engine.shutdown_write(stream, Callback::ignore().timeout(PATIENCE));
    discard(engine, stream, LAST_CHUNKS);
}

fn discard(engine: &Handle, stream: &Stream, chunks: usize) {
    if chunks > 0 {
        let again = stream.clone();
        let next = move |engine: &Local, _| discard(engine, &again, chunks - 1);
        let callback = Callback::new(next, |_, _| ()).timeout(LAST_PATIENCE);
        engine.read_chunk(stream, LAST_CHUNK, callback);
    }
}
