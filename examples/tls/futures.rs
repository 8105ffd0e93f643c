//! By futures: `futures-rustls` makes a stream of a stream.

use std::{
    convert::Infallible,
    io::{self, stdout},
    pin::pin,
    sync::Arc,
};

use ::futures::{
    AsyncReadExt, AsyncWriteExt,
    future::{self, Either},
    io::{AllowStdIo, copy},
};
use facade_engine::Engine;
use facade_examples::Result;
use facade_futures::{Io, Listener, Runtime, Stream};
use futures_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{ClientConfig, ServerConfig},
};

use crate::config::{CHUNK, PATIENCE, Request};

pub(crate) fn serve(
    engine: Engine,
    listener: facade_engine::Listener,
    signals: facade_engine::Stream,
    config: Arc<ServerConfig>,
) -> facade_futures::Result<()> {
    let runtime = Runtime::from(engine);
    let mut signals = Stream::from(signals);
    let accepting = accept(runtime.io().clone(), listener.into(), config.into());
    runtime.block_on(async {
        match future::select(pin!(accepting), signals.read_chunk(1)).await {
            Either::Left((Err(error), _)) => Err(error),
            Either::Right(_) => Ok(()),
        }
    })
}

async fn accept(
    io: Io,
    mut listener: Listener,
    acceptor: TlsAcceptor,
) -> facade_futures::Result<Infallible> {
    loop {
        let stream = listener.accept().await?;
        let echo = echo(io.clone(), stream, acceptor.clone());
        io.spawn(async {
            if let Err(error) = echo.await {
                eprintln!("{error}");
            }
        })
        .detach();
    }
}

/// Sends back what comes, until the client has said that it ends; an end without that is an error.
async fn echo(io: Io, stream: Stream, acceptor: TlsAcceptor) -> io::Result<()> {
    let mut stream = io.timeout(PATIENCE, acceptor.accept(stream)).await??;
    let mut chunk = vec![0; CHUNK];
    loop {
        match io.timeout(PATIENCE, stream.read(&mut chunk)).await?? {
            0 => return stream.close().await,
            len => {
                stream.write_all(&chunk[..len]).await?;
                // What of it is still rustls' is sent by nobody else while we read.
                stream.flush().await?;
            }
        }
    }
}

pub(crate) fn talk(engine: Engine, request: Request, config: Arc<ClientConfig>) -> Result<()> {
    let runtime = Runtime::from(engine);
    let io = runtime.io();
    runtime.block_on(async {
        let stream = io.connect(request.server).timeout(PATIENCE).await?;
        let handshake = TlsConnector::from(config).connect(request.name, stream);
        let (answer, mut sending) = io.timeout(PATIENCE, handshake).await??.split();
        let send = async {
            sending.write_all(&request.text).await?;
            sending.close().await
        };
        // Both at once: else each side could wait for the other to read.
        let mut stdout = AllowStdIo::new(stdout());
        future::try_join(send, copy(answer, &mut stdout)).await?;
        Ok(())
    })
}
