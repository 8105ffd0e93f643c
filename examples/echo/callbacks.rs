//! The echo server by callbacks: each one submits the next operation.

use facade_engine::{Callback, Engine, Handle, Listener, Result, Stream};
use facade_examples::report;

/// How much of what has come is sent back in one piece.
const CHUNK: usize = 64 << 10;

pub(crate) fn serve(
    engine: &Engine,
    listener: &Listener,
    signals: &Stream,
    lines: bool,
) -> Result<()> {
    engine.read_chunk(signals, 1, Callback::from_fn(|engine, _| engine.stop()));
    accept(engine, listener, if lines { echo_line } else { echo_chunk });
    engine.run()
}

/// The same as one of several engines, which runs already.
pub(crate) fn serve_beside_others(engine: &Handle, listener: &Listener, lines: bool) {
    accept(engine, listener, if lines { echo_line } else { echo_chunk });
}

/// Accepts connections for ever, and begins to serve each.
fn accept(engine: &Handle, listener: &Listener, echo: fn(&Handle, Stream)) {
    let again = listener.clone();
    engine.accept(
        listener,
        Callback::new(
            move |engine, stream| {
                echo(engine, stream);
                accept(engine, &again, echo);
            },
            |engine, error| {
                report(&error);
                engine.stop();
            },
        ),
    );
}

/// Sends back what has come, then the next of it. When a read or write fails nothing submits
/// another, and the stream is closed with its last clone.
fn echo_chunk(engine: &Handle, stream: Stream) {
    let again = stream.clone();
    engine.read_chunk(
        &stream,
        CHUNK,
        Callback::new(
            move |engine, chunk| {
                let next = again.clone();
                engine.write(
                    &again,
                    chunk,
                    Callback::new(
                        move |engine, _| echo_chunk(engine, next),
                        |_, error| report(&error),
                    ),
                );
            },
            |_, error| report(&error),
        ),
    );
}

/// The same with lines.
fn echo_line(engine: &Handle, stream: Stream) {
    let again = stream.clone();
    engine.read_line(
        &stream,
        Callback::new(
            move |engine, line| {
                let next = again.clone();
                engine.write_line(
                    &again,
                    line,
                    Callback::new(
                        move |engine, _| echo_line(engine, next),
                        |_, error| report(&error),
                    ),
                );
            },
            |_, error| report(&error),
        ),
    );
}
