//! The line service and a client of it by futures.

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener, TcpStream},
    pin::pin,
};

use ::futures::future::{self, Either};
use facade_engine::Engine;
use facade_examples::report;
use facade_futures::{Error, Io, Listener, Result, Runtime, Stream};

use crate::{
    service::{self, Then},
    transcript::{self, NAP, PATIENCE, PIPELINED, REPLIES, Transcript},
};

/// Serves until something comes on `stop`.
pub(crate) fn serve(listener: TcpListener, stop: TcpStream) -> Result<()> {
    let runtime = Runtime::from(Engine::builder().limits(service::limits()).build()?);
    let io = runtime.io().clone();
    let (listener, mut stop) =
        (io.attach_listener_exclusive(listener)?, io.attach_exclusive(stop)?);
    runtime.block_on(async {
        match future::select(pin!(accept(io, listener)), stop.read_chunk(1)).await {
            Either::Left((Err(error), _)) => Err(error),
            Either::Right(_) => Ok(()),
        }
    })
}

async fn accept(io: Io, mut listener: Listener) -> Result<Infallible> {
    loop {
        let (stream, _) = listener.accept_then_write(service::READY).await?;
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
        let line = match stream.read_line().await {
            Ok(line) => line,
            Err(error) => return last_words(stream, error).await,
        };
        let reply = service::reply(&line);
        let (then, text) = (reply.then, reply.of(&line));
        match then {
            Then::EndLine => stream.write_line(text).await?,
            Then::LeaveOpen => stream.write(text).await?,
            // The stream is closed when it is dropped, behind what was written.
            Then::EndLineAndClose => return stream.write_line(text).await.map(drop),
        };
    }
}

/// What is left to say when a line could not be read.
async fn last_words(mut stream: Stream, error: Error) -> Result<()> {
    match error {
        Error::TooLong { .. } => stream.write_line(service::TOO_LONG).await.map(drop),
        Error::EndOfStream => {
            let rest = stream.read_all().await?;
            if !rest.is_empty() {
                stream.write_line(service::unfinished(&rest)).await?;
            }
            Ok(())
        }
        error => Err(error),
    }
}

// ---- The client.

/// Runs the client's session and returns what it has seen.
pub(crate) fn visit(address: SocketAddr) -> Result<Transcript> {
    let runtime = Runtime::new()?;
    let (io, log) = (runtime.io().clone(), Transcript::default());
    runtime.block_on(async {
        let stream = chain(&io, address, &log).await?;
        let mut visit = Visit { io: io.clone(), stream, log: log.clone() };
        timeout(&mut visit).await?;
        cancel(&mut visit).await?;
        let_go(&mut visit).await?;
        pipeline(&mut visit).await?;
        for words in transcript::parting() {
            one_shot(&io, address, words, &log).await?;
        }
        Ok(log)
    })
}

/// What the steps share.
struct Visit {
    io: Io,
    stream: Stream,
    log: Transcript,
}

impl Visit {
    async fn say(&mut self, line: &'static str) -> Result<()> {
        self.log.sent(line);
        self.stream.write_line(line).await.map(drop)
    }
}

async fn chain(io: &Io, address: SocketAddr, log: &Transcript) -> Result<Stream> {
    let (stream, line) = io.connect_then_expect_line(address, "ready").await?;
    log.received(&Ok(line));
    Ok(stream)
}

async fn timeout(visit: &mut Visit) -> Result<()> {
    visit.say("part hello, ").await?;
    let expired = visit.stream.read_line().timeout(NAP).await;
    visit.log.received(&expired);
    Ok(())
}

async fn cancel(visit: &mut Visit) -> Result<()> {
    let read = visit.stream.read_line();
    // The one that loses the race is dropped, and so cancelled.
    match future::select(read, future::ready(())).await {
        Either::Left((line, _)) => visit.log.received(&line),
        Either::Right(_) => visit.log.note(Error::Cancelled),
    }
    Ok(())
}

async fn let_go(visit: &mut Visit) -> Result<()> {
    let (reader, writer) = visit.stream.split();
    let mut read = reader.read_line();
    assert!(future::poll_immediate(&mut read).await.is_none(), "the line has no end yet");
    visit.log.sent("echo world");
    writer.write_line("echo world").await?;
    visit.io.sleep(NAP).await?; // The line comes and is read, but the future is not asked.
    drop(read); // Nobody has taken it, so it is the next read's.
    visit.log.note("let go");
    Ok(())
}

async fn pipeline(visit: &mut Visit) -> Result<()> {
    visit.say(PIPELINED).await?;
    for _ in 0..REPLIES {
        let reply = visit.stream.read_line().timeout(PATIENCE).await;
        visit.log.received(&reply);
    }
    Ok(())
}

/// Sends all there is to say at once, and reads all that the service says to it.
async fn one_shot(io: &Io, address: SocketAddr, words: String, log: &Transcript) -> Result<()> {
    log.sent(&words);
    let mut stream = io.connect(address).await?;
    stream.write(words).await?;
    stream.shutdown_write().await?;
    let replies = stream.read_all().timeout(PATIENCE).await;
    log.received(&replies);
    Ok(())
}
