//! The echo server by `AsyncReadExt` and `AsyncWriteExt`: what it writes it flushes, as programs do
//! that know only the traits.

use std::{convert::Infallible, io, pin::pin};

use ::futures::{
    AsyncBufReadExt, AsyncReadExt, AsyncWriteExt,
    future::{self, Either},
};
use facade_engine::Engine;
use facade_examples::report;
use facade_futures::{Io, Listener, Result, Runtime, Stream};

/// How much is sent back in one piece at most.
const CHUNK: usize = 16 << 10;

pub(super) fn serve(
    engine: Engine,
    listener: facade_engine::Listener,
    signals: facade_engine::Stream,
    lines: bool,
) -> Result<()> {
    let runtime = Runtime::from(engine);
    let mut signals = Stream::from(signals);
    let accepting = accept(runtime.io().clone(), listener.into(), lines);
    runtime.block_on(async {
        match future::select(pin!(accepting), signals.read_chunk(1)).await {
            Either::Left((Err(error), _)) => Err(error),
            Either::Right(_) => Ok(()),
        }
    })
}

async fn accept(io: Io, mut listener: Listener, lines: bool) -> Result<Infallible> {
    loop {
        let stream = listener.accept().await?;
        io.spawn(async move {
            let echoed = if lines { echo_lines(stream).await } else { echo(stream).await };
            if let Err(error) = echoed {
                report(&facade_engine::Error::other(error));
            }
        })
        .detach();
    }
}

async fn echo(mut stream: Stream) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
        AsyncWriteExt::flush(&mut stream).await?;
    }
}

async fn echo_lines(mut stream: Stream) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        AsyncBufReadExt::read_until(&mut stream, b'\n', &mut line).await?;
        if line.pop().is_none() {
            return Ok(());
        }
        line.extend_from_slice(b"\r\n");
        stream.write_all(&line).await?;
        AsyncWriteExt::flush(&mut stream).await?;
    }
}
