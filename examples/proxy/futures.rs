//! The proxy by futures: a task for each client.

use std::{convert::Infallible, pin::pin};

use ::futures::future::{self, Either};
use facade_engine::Engine;
use facade_examples::report;
use facade_futures::{Io, Listener, Result, Runtime, Stream};

use crate::Target;

pub(crate) fn serve(
    engine: Engine,
    listener: facade_engine::Listener,
    signals: facade_engine::Stream,
    target: Target,
) -> Result<()> {
    let runtime = Runtime::from(engine);
    let mut signals = Stream::from(signals);
    let accepting = accept(runtime.io().clone(), listener.into(), target);
    runtime.block_on(async {
        match future::select(pin!(accepting), signals.read_chunk(1)).await {
            Either::Left((Err(error), _)) => Err(error),
            Either::Right(_) => Ok(()),
        }
    })
}

/// Accepts clients for ever, and begins to serve each.
async fn accept(io: Io, mut listener: Listener, target: Target) -> Result<Infallible> {
    loop {
        let client = listener.accept().await?;
        let (io, target) = (io.clone(), target.clone());
        io.clone()
            .spawn(async move {
                if let Err(error) = proxy(io, client, target).await {
                    report(&error);
                }
            })
            .detach();
    }
}

async fn proxy(io: Io, mut client: Stream, target: Target) -> Result<(u64, u64)> {
    let mut server = io.getaddrinfo_then_connect(target.host, target.port).await?;
    client.copy_both_ways(&mut server).await
}
