//! The echo server by repeating operations: each is submitted once.

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
    serve_beside_others(engine, listener, lines);
    engine.run()
}

/// Accepts connections for ever, and serves each.
pub(crate) fn serve_beside_others(engine: &Handle, listener: &Listener, lines: bool) {
    let cb = Callback::new(
        |_, ()| (),
        |engine, error| {
            report(&error);
            engine.stop();
        },
    );
    let echo = if lines { echo_lines } else { echo_chunks };
    engine.each_connection(listener, move |engine, stream| echo(engine, stream), cb);
}

/// Sends back what comes. While a peer does not read what it is sent nothing more is read of it; when
/// a read ends the stream is closed with its last clone.
fn echo_chunks(engine: &Handle, stream: Stream) {
    let from = stream.clone();
    engine.each_chunk(
        &from,
        CHUNK,
        move |engine, chunk| _ = engine.write(&stream, chunk, Callback::ignore()),
        Callback::new(|_, ()| (), |_, error| report(&error)),
    );
}

/// The same with lines.
fn echo_lines(engine: &Handle, stream: Stream) {
    let from = stream.clone();
    engine.each_line(
        &from,
        move |engine, line| _ = engine.write_line(&stream, line, Callback::ignore()),
        Callback::new(|_, ()| (), |_, error| report(&error)),
    );
}
