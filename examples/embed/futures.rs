//! By futures: tasks, which take their steps in the engine's turns, whoever runs those.

use std::rc::Rc;

use ::futures::TryStreamExt;
use facade_examples::report;
use facade_futures::{Error, Listener, Result, Runtime, Stream, engine};

use crate::program::Program;

pub(crate) fn serve(
    runtime: &Runtime,
    listener: engine::Listener,
    signals: engine::Stream,
    program: &Rc<Program>,
) {
    let (over, mut signals) = (Rc::clone(program), Stream::from(signals));
    let signal = async move {
        drop(signals.read_chunk(1).await);
        over.end();
    };
    runtime.spawn_local(signal).detach();
    let (program, mut listener) = (Rc::clone(program), Listener::from(listener));
    let clients = async move {
        // All clients in one task, which shares the program with the loop.
        let serving = listener.incoming().try_for_each_concurrent(None, async |mut stream| {
            program.enter(stream.engine_stream());
            if let Err(error) = talk(&mut stream, &program).await {
                report(&error);
            }
            program.leave(stream.engine_stream());
            Ok(())
        });
        if let Err(error) = serving.await {
            report(&error);
        }
    };
    runtime.spawn_local(clients).detach();
}

async fn talk(stream: &mut Stream, program: &Program) -> Result<()> {
    loop {
        match stream.read_line().timeout(program.patience).await {
            Ok(line) => stream.write_line(line).await?,
            Err(Error::TimedOut) => return stream.write_line("too slow").await.map(drop),
            Err(error) => return Err(error),
        };
    }
}
