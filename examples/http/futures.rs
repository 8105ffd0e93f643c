//! The HTTP server by futures: a task for each connection.

use std::{convert::Infallible, pin::pin};

use ::futures::future::{self, Either};
use bytes::Bytes;
use facade_engine::Engine;
use facade_examples::report;
use facade_futures::{Error, Io, Listener, Result, Runtime, Stream};

use crate::message::{
    CONTINUE, HEAD_END, LAST_CHUNK, LAST_CHUNKS, LAST_PATIENCE, PATIENCE, Request, Status, refusal,
    status_of,
};

pub(crate) fn serve(
    engine: Engine,
    listener: facade_engine::Listener,
    signals: facade_engine::Stream,
) -> Result<()> {
    let runtime = Runtime::from(engine);
    let mut signals = Stream::from(signals);
    let accepting = accept(runtime.io().clone(), listener.into());
    runtime.block_on(async {
        match future::select(pin!(accepting), signals.read_chunk(1)).await {
            Either::Left((Err(error), _)) => Err(error),
            Either::Right(_) => Ok(()),
        }
    })
}

async fn accept(io: Io, mut listener: Listener) -> Result<Infallible> {
    loop {
        let stream = listener.accept().await?;
        io.spawn(async move {
            if let Err(error) = converse(stream).await {
                report(&error);
            }
        })
        .detach();
    }
}

/// Serves one connection, to its end.
async fn converse(mut stream: Stream) -> Result<()> {
    loop {
        let (request, body) = match read_request(&mut stream).await {
            Ok(read) => read,
            Err(Refusal::Answer(status)) => return refuse(stream, status).await,
            Err(Refusal::Gone(error)) => return Err(error),
        };
        stream.write(request.answer(body)).timeout(PATIENCE).await?;
        if !request.keep_alive {
            return Ok(());
        }
    }
}

async fn read_request(stream: &mut Stream) -> std::result::Result<(Request, Bytes), Refusal> {
    let head = stream.read_until(HEAD_END).timeout(PATIENCE).await?;
    let request = Request::parse(&head).map_err(Refusal::Answer)?;
    if request.length == 0 {
        return Ok((request, Bytes::new()));
    }
    if request.expects_continue {
        stream.write(CONTINUE).await?;
    }
    let body = stream.read_exact(request.length).timeout(PATIENCE).await?;
    Ok((request, body))
}

/// Why a request is not served: the client is told, or is gone.
enum Refusal {
    Answer(Status),
    Gone(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        status_of(&error).map_or(Self::Gone(error), Self::Answer)
    }
}

/// Says why, and ends the connection.
async fn refuse(mut stream: Stream, status: Status) -> Result<()> {
    stream.write(refusal(status)).timeout(PATIENCE).await?;
    stream.shutdown_write().timeout(PATIENCE).await?;
    for _ in 0..LAST_CHUNKS {
        if stream.read_chunk(LAST_CHUNK).timeout(LAST_PATIENCE).await.is_err() {
            break;
        }
    }
    Ok(())
}
