//! The mail by futures: one after the other, as one would say it.

use bytes::Bytes;
use facade_engine::{AddrInfo, Engine, Error, Hints};
use facade_futures::{Io, Runtime, Stream};

use facade_examples::Result;

use crate::mail::{EHLO, Failure, Mail, QUIT, accepted, goodbye, greeting, multiline_reply};

pub(crate) fn send(engine: Engine, mail: Mail) -> Result<Bytes> {
    let runtime = Runtime::from(engine);
    let io = runtime.io().clone();
    let reply = runtime.block_on(async {
        let mut stream = connect(&io, &mail).await?;
        let outcome = converse(&mut stream, &mail).await;
        // What the server makes of a goodbye does not matter.
        drop(stream.write_then_expect_line(QUIT, goodbye()).timeout(mail.patience).await);
        outcome
    })?;
    Ok(reply)
}

/// Connects to the first address that takes it, and waits for the server's greeting there.
async fn connect(io: &Io, mail: &Mail) -> Result<Stream, Failure> {
    let lookup = io.getaddrinfo(&mail.server.host, mail.server.port, Hints::default());
    let addresses = lookup.timeout(mail.patience).await;
    let addresses = addresses.map_err(|error| Failure::new("resolve the server", error))?;
    let mut failure = Failure::new("connect", Error::Closed);
    for AddrInfo { address, .. } in addresses {
        match io.connect_then_expect_line(address, greeting()).timeout(mail.patience).await {
            Ok((stream, _line)) => return Ok(stream),
            Err(error) => {
                let connected = !matches!(error, Error::Stage { .. });
                failure = Failure::new(format!("connect to {address}"), error);
                if connected {
                    break;
                }
            }
        }
    }
    Err(failure)
}

async fn converse(stream: &mut Stream, mail: &Mail) -> Result<Bytes, Failure> {
    greet(stream, mail).await.map_err(|error| Failure::new("EHLO", error))?;
    let mut last = Bytes::new();
    for step in mail.steps() {
        let reply = stream.write_then_expect_line(step.send, step.expect).timeout(mail.patience);
        last = reply.await.map_err(|error| Failure::new(step.name, error))?;
    }
    Ok(last)
}

/// Says hello, and reads an answer of several lines.
async fn greet(stream: &mut Stream, mail: &Mail) -> Result<(), Error> {
    stream.write(EHLO).timeout(mail.patience).await?;
    accepted(&stream.read_until_regex(multiline_reply()).timeout(mail.patience).await?)
}
