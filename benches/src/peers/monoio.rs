//! A server on monoio: its runtime on io_uring, a task for each connection.

use std::future::Future;
use std::io;

use monoio::io::{AsyncBufReadExt, AsyncReadRent, AsyncWriteRentExt, BufReader};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};

use super::{BUFFER, end_with_crlf, report};

/// Read some, write it; or read a line, write a line.
pub(super) fn plain(listener: std::net::TcpListener, lines: bool) -> io::Result<()> {
    if lines { serve(listener, echo_lines) } else { serve(listener, echo) }
}

fn serve<F>(listener: std::net::TcpListener, client: fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    let mut runtime = RuntimeBuilder::<IoUringDriver>::new().with_entries(1024).build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            monoio::spawn(async move { report(client(stream).await) });
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        let (count, bytes) = stream.read(buffer).await;
        if count? == 0 {
            return Ok(());
        }
        let (written, bytes) = stream.write_all(bytes).await;
        written?;
        buffer = bytes;
        buffer.clear();
    }
}

async fn echo_lines(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).await? > 0 {
        end_with_crlf(&mut line);
        let (written, bytes) = stream.write_all(line).await;
        written?;
        line = bytes;
        line.clear();
    }
    Ok(())
}
