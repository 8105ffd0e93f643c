//! The echo server by futures: a task for each connection.

use std::{convert::Infallible, pin::pin};

use ::futures::future::{self, Either};
use facade_engine::Engine;
use facade_examples::report;
use facade_futures::{Io, Listener, Result, Runtime, Stream};

/// How much of what has come is sent back in one piece.
const CHUNK: usize = 64 << 10;

pub(crate) fn serve(
    engine: Engine,
    listener: facade_engine::Listener,
    signals: facade_engine::Stream,
    lines: bool,
) -> Result<()> {
    let runtime = Runtime::from(engine);
    let mut signals = Stream::from(signals);
    let accepting = accept(runtime.io().clone(), listener.into(), lines);
    runtime.block_on(async {
        // `select` drops the one that is not ready, and nothing is lost by it.
        match future::select(pin!(accepting), signals.read_chunk(1)).await {
            Either::Left((Err(error), _)) => Err(error),
            Either::Right(_) => Ok(()),
        }
    })
}

/// The same as one of several runtimes, which runs already.
pub(crate) async fn serve_beside_others(io: Io, listener: Listener, lines: bool) {
    let Err(error) = accept(io, listener, lines).await;
    report(&error);
}

/// Accepts connections for ever, and begins to serve each.
async fn accept(io: Io, mut listener: Listener, lines: bool) -> Result<Infallible> {
    loop {
        let mut stream = listener.accept().await?;
        io.spawn(async move {
            let Err(error) = match lines {
                true => echo_lines(&mut stream).await,
                false => echo(&mut stream).await,
            };
            report(&error);
        })
        .detach();
    }
}

/// Sends back what has come, until a read or write fails. Then the stream is dropped, and closed: it
/// stays the task's, since a future keeps what it is given twice.
async fn echo(stream: &mut Stream) -> Result<Infallible> {
    loop {
        let chunk = stream.read_chunk(CHUNK).await?;
        stream.write(chunk).await?;
    }
}

/// The same with lines.
async fn echo_lines(stream: &mut Stream) -> Result<Infallible> {
    loop {
        let line = stream.read_line().await?;
        stream.write_line(line).await?;
    }
}
