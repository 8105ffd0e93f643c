//! Servers on tokio: a task for each connection, on its single-threaded runtime but for one.

use std::cell::RefCell;
use std::future::Future;
use std::io;

use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{FramedRead, FramedWrite, LinesCodec, LinesCodecError};

use super::{BUFFER, end_with_crlf, report};

/// Read some, write it; or read a line, write a line.
pub(super) fn plain(listener: std::net::TcpListener, lines: bool) -> io::Result<()> {
    if lines { serve(listener, echo_lines) } else { serve(listener, echo) }
}

/// The plain one on a runtime with so many worker threads.
pub(crate) fn plain_on(
    workers: usize,
    listener: std::net::TcpListener,
    lines: bool,
) -> io::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(workers);
    if lines { serve_on(runtime, listener, echo_lines) } else { serve_on(runtime, listener, echo) }
}

/// An idle connection has no buffer: it waits for readiness, and all receive into one place.
pub(super) fn try_read(listener: std::net::TcpListener, _lines: bool) -> io::Result<()> {
    serve(listener, echo_when_readable)
}

/// A line a write, but into a buffer that goes out when no further line has arrived.
pub(super) fn bufwriter(listener: std::net::TcpListener, _lines: bool) -> io::Result<()> {
    serve(listener, echo_lines_together)
}

/// The codec for lines, and `forward`, which flushes when no further line has arrived.
pub(super) fn codec(listener: std::net::TcpListener, _lines: bool) -> io::Result<()> {
    serve(listener, forward_lines)
}

fn serve<F>(listener: std::net::TcpListener, client: fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    serve_on(tokio::runtime::Builder::new_current_thread(), listener, client)
}

fn serve_on<F>(
    mut runtime: tokio::runtime::Builder,
    listener: std::net::TcpListener,
    client: fn(TcpStream) -> F,
) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    listener.set_nonblocking(true)?;
    let runtime = runtime.enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(async move { report(client(stream).await) });
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    while stream.read_buf(&mut buffer).await? > 0 {
        stream.write_all(&buffer).await?;
        buffer.clear();
    }
    Ok(())
}

async fn echo_when_readable(mut stream: TcpStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        let Some(rest) = pass_on(&stream)? else { return Ok(()) };
        stream.write_all(&rest).await?;
    }
}

/// Sends back what has come. Returns what the socket did not take at once; `None` at the end.
fn pass_on(stream: &TcpStream) -> io::Result<Option<Vec<u8>>> {
    BYTES.with_borrow_mut(|bytes| {
        let count = match stream.try_read(bytes) {
            Ok(0) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(Vec::new())),
            count => count?,
        };
        match stream.try_write(&bytes[..count]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Ok(Some(bytes[..count].to_vec()))
            }
            sent => Ok(Some(bytes[sent?..count].to_vec())),
        }
    })
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

async fn echo_lines_together(stream: TcpStream) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    let (mut reader, mut writer) = (BufReader::new(reader), BufWriter::new(writer));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await? > 0 {
        end_with_crlf(&mut line);
        writer.write_all(&line).await?;
        line.clear();
        if memchr::memchr(b'\n', reader.buffer()).is_none() {
            writer.flush().await?;
        }
    }
    Ok(())
}

async fn forward_lines(stream: TcpStream) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    let reader = FramedRead::new(reader, LinesCodec::new());
    let writer = FramedWrite::new(writer, LinesCodec::new());
    // The codec takes either line end, and writes LF.
    let answers = reader.map_ok(|line| line + "\r");
    answers.forward(writer).await.map_err(|error| match error {
        LinesCodecError::Io(error) => error,
        LinesCodecError::MaxLineLengthExceeded => io::ErrorKind::InvalidData.into(),
    })
}

thread_local! {
    static BYTES: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
}
