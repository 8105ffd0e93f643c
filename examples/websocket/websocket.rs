//! By futures, as the crate has it.

use std::{
    convert::Infallible,
    io::{Read, stdin},
    net::SocketAddr,
    process::ExitCode,
    time::Duration,
};

use async_tungstenite::{accept_async, client_async, tungstenite::Message};
use facade_engine::{DriverChoice, Engine};
use facade_examples::{Result, driver, say, signals};
use facade_futures::{Io, Listener, Runtime, Stream};
use futures::{TryStreamExt, future};

const USAGE: &str = "\
usage: websocket [--driver auto|mio|io_uring|iocp] --listen ADDR:PORT
       websocket [--driver auto|mio|io_uring|iocp] --server ADDR:PORT < lines

Sends back each message, until SIGINT or SIGTERM; or sends each line as a message, prints as many
that come, and closes.";

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(30);

enum Role {
    Server(SocketAddr),
    Client(SocketAddr),
}

pub(crate) fn run() -> ExitCode {
    facade_examples::run(
        USAGE,
        |arguments| {
            let driver = arguments.opt_value_from_fn("--driver", driver)?.unwrap_or_default();
            let role = match arguments.opt_value_from_str("--listen")? {
                Some(listen) => Role::Server(listen),
                None => Role::Client(arguments.value_from_str("--server")?),
            };
            Ok((driver, role))
        },
        work,
    )
}

fn work((driver, role): (DriverChoice, Role)) -> Result<()> {
    let engine = Engine::builder().driver(driver).build()?;
    let mut signals = Stream::from(signals(&engine)?);
    let runtime = Runtime::from(engine);
    let io = runtime.io().clone();
    match role {
        Role::Server(listen) => {
            let listener = io.listen(listen)?;
            say(format_args!("listening on {}", listener.local_addr()?))?;
            runtime.block_on(future::select(Box::pin(accept(io, listener)), signals.read_chunk(1)));
            Ok(())
        }
        Role::Client(server) => {
            let mut lines = String::new();
            stdin().read_to_string(&mut lines)?;
            runtime.block_on(talk(io, server, &lines))
        }
    }
}

async fn accept(io: Io, mut listener: Listener) -> Result<Infallible> {
    loop {
        let echo = echo(io.clone(), listener.accept().await?);
        io.spawn(async {
            if let Err(error) = echo.await {
                eprintln!("{error}");
            }
        })
        .detach();
    }
}

/// One connection. Pings and the close are answered by the crate, which also bounds messages.
async fn echo(io: Io, stream: Stream) -> Result<()> {
    let mut socket = io.timeout(PATIENCE, accept_async(stream)).await??;
    while let Some(message) = socket.try_next().await? {
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// Sends all lines while the answers are read, and closes then: a server that has been told of the
/// close sends no more answers.
async fn talk(io: Io, server: SocketAddr, lines: &str) -> Result<()> {
    let stream = io.connect(server).timeout(PATIENCE).await?;
    let handshake = client_async(format!("ws://{server}/"), stream);
    let (socket, _response) = io.timeout(PATIENCE, handshake).await??;
    let (mut sending, mut answers) = socket.split();
    let send = async {
        for line in lines.lines() {
            sending.send(Message::text(line)).await?;
        }
        Ok(())
    };
    let receive = async {
        for _ in lines.lines() {
            say(answers.try_next().await?.ok_or("the server has closed")?)?;
        }
        Ok(())
    };
    let told: Result<_> = future::try_join(send, receive).await;
    told?;
    sending.close(None).await?;
    while answers.try_next().await?.is_some() {}
    Ok(())
}
