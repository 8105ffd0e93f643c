//! The talk by futures: one step after the other.

use facade_engine::{Engine, PtySize};
use facade_examples::Result;
use facade_futures::{Runtime, Stream};

use crate::{
    Peer, heard, host_and_port,
    script::{Action, Step},
};

pub(crate) fn talk(engine: Engine, peer: Peer, steps: Vec<Step>) -> Result<()> {
    let runtime = Runtime::from(engine);
    let io = runtime.io();
    runtime.block_on(async {
        match peer {
            Peer::Server(server) => {
                let (host, port) = host_and_port(&server)?;
                let mut stream = io.getaddrinfo_then_connect(host, port).await?;
                converse(&mut stream, steps).await
            }
            Peer::Program(command) => {
                let (_child, mut terminal) = io.spawn_pty(command, PtySize::default()).await?;
                // The terminal is gone after this, and a program that still runs is told so.
                converse(&mut terminal, steps).await
            }
        }
    })
}

async fn converse(stream: &mut Stream, steps: Vec<Step>) -> Result<()> {
    for step in steps {
        if let Err(error) = take(stream, &step).await {
            return Err(step.failed(&error).into());
        }
    }
    Ok(())
}

async fn take(stream: &mut Stream, step: &Step) -> facade_futures::Result<()> {
    let patience = step.patience;
    match &step.action {
        Action::Expect(regex) => {
            let found = stream.read_until_regex(regex.clone()).timeout(patience).await?;
            heard(&found.bytes);
        }
        Action::Line(glob) => {
            let found = stream.read_until_lineglob(glob.clone()).timeout(patience).await?;
            heard(&found.skipped);
            heard(&found.line);
            heard(b"\n");
        }
        Action::Send(line) => _ = stream.write_line(line.clone()).timeout(patience).await?,
        Action::Type(text) => _ = stream.write(text.clone()).timeout(patience).await?,
        Action::End => heard(&stream.read_all().timeout(patience).await?),
    }
    Ok(())
}
