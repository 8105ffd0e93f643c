//! By callbacks: they share the program with the loop, because both are on one thread.

use std::rc::Rc;

use facade_engine::{Callback, Engine, Error, Listener, Local, Result, Stream};
use facade_examples::report;

use crate::program::Program;

pub(crate) fn serve(engine: &Engine, listener: &Listener, signals: &Stream, program: &Rc<Program>) {
    let over = Rc::clone(program);
    let signal = Callback::local_from_fn(engine, move |_, _: Result<_>| over.end());
    engine.read_chunk(signals, 1, signal);
    let program = Rc::clone(program);
    engine.each_connection(
        listener,
        move |engine, stream| talk(engine, stream, &program),
        Callback::new(|_, ()| (), |_, error| report(&error)),
    );
}

fn talk(engine: &Local, stream: Stream, program: &Rc<Program>) {
    program.enter(&stream);
    let ended = Callback::local_with(
        engine,
        (Rc::clone(program), stream.clone()),
        |_, (program, stream), ()| program.leave(&stream),
        |engine, (program, stream), error| {
            program.leave(&stream);
            match error {
                Error::TimedOut => _ = engine.write_line(&stream, "too slow", Callback::ignore()),
                error => report(&error),
            }
        },
    );
    let answers = stream.clone();
    engine.each_line(
        &stream,
        move |engine, line| _ = engine.write_line(&answers, line, Callback::ignore()),
        ended.timeout(program.patience),
    );
}
