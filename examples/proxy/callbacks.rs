//! The proxy by callbacks: accept, connect, copy.

use facade_engine::{Callback, Engine, Handle, Listener, Result, Stream};
use facade_examples::report;

use crate::Target;

pub(crate) fn serve(
    engine: &Engine,
    listener: &Listener,
    signals: &Stream,
    target: Target,
) -> Result<()> {
    engine.read_chunk(signals, 1, Callback::from_fn(|engine, _| engine.stop()));
    accept(engine, listener, target);
    engine.run()
}

/// Accepts clients for ever, and begins to serve each.
fn accept(engine: &Handle, listener: &Listener, target: Target) {
    let again = listener.clone();
    engine.accept(
        listener,
        Callback::new(
            move |engine, client| {
                proxy(engine, client, &target);
                accept(engine, &again, target);
            },
            |engine, error| {
                report(&error);
                engine.stop();
            },
        ),
    );
}

/// Nobody keeps the streams, so that they are closed when the copy is over.
fn proxy(engine: &Handle, client: Stream, target: &Target) {
    let connected = Callback::new(
        move |engine: &facade_engine::Local, server: Stream| {
            engine.copy_both_ways(
                &client,
                &server,
                Callback::new(|_, _| (), |_, error| report(&error)),
            );
        },
        |_, error| report(&error),
    );
    engine.getaddrinfo_then_connect(&target.host, target.port, (Callback::ignore(), connected));
}
