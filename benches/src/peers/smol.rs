//! A server on smol: a local executor, a task for each connection.

use std::future::Future;
use std::io;

use smol::LocalExecutor;
use smol::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use smol::net::{TcpListener, TcpStream};

use super::{BUFFER, end_with_crlf, report};

/// Read some, write it; or read a line, write a line.
pub(super) fn plain(listener: std::net::TcpListener, lines: bool) -> io::Result<()> {
    if lines { serve(listener, echo_lines) } else { serve(listener, echo) }
}

fn serve<F>(listener: std::net::TcpListener, client: fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        let listener = TcpListener::try_from(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            executor.spawn(async move { report(client(stream).await) }).detach();
        }
    }))
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    // Its reads want initialised bytes.
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

async fn echo_lines(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).await? > 0 {
        end_with_crlf(&mut line);
        stream.get_mut().write_all(&line).await?;
        line.clear();
    }
    Ok(())
}
