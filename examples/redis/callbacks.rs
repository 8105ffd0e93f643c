//! By callbacks: the reads of all answers are submitted at once, and are served in their order.

use std::{error, net::SocketAddr, sync::mpsc};

use facade_engine::{Callback, Engine, Local, Stream};
use facade_examples::{Result, say};

use crate::{
    PATIENCE,
    resp::{OneAnswer, Pipeline},
};

type Failures = mpsc::Sender<Box<dyn error::Error + Send + Sync>>;

pub(crate) fn talk(engine: &Engine, server: SocketAddr, commands: Pipeline) -> Result<()> {
    let (fail, failures) = mpsc::channel();
    let connected = Callback::with(
        fail,
        move |engine, fail, stream| pipeline(engine, &stream, &commands, &fail),
        |_, fail: Failures, error| drop(fail.send(error.into())),
    );
    engine.connect(server, connected.timeout(PATIENCE));
    engine.run()?;
    // The first one says what went wrong.
    failures.try_recv().map_or(Ok(()), Err)
}

/// Whatever goes wrong with the write, the reads hear of.
fn pipeline(engine: &Local, stream: &Stream, commands: &Pipeline, fail: &Failures) {
    engine.write(stream, commands.bytes.clone(), Callback::ignore());
    for _ in 0..commands.count {
        let fail = fail.clone();
        let answered = Callback::from_fn(move |_, answer: facade_engine::Result<_>| {
            let said = answer.map_err(Into::into).and_then(|answer| Ok(say(answer)?));
            said.unwrap_or_else(|error| drop(fail.send(error)));
        });
        engine.read_with(stream, OneAnswer::new(), answered.timeout(PATIENCE));
    }
}
