//! Servers on compio: its runtime on io_uring, a task for each connection.

use std::future::Future;
use std::io;
use std::num::NonZero;

use compio::BufResult;
use compio::buf::IoBuf;
use compio::driver::ProactorBuilder;
use compio::io::{AsyncRead, AsyncReadMulti, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::Runtime;
use futures::{StreamExt, pin_mut};

use super::{BUFFER, end_with_crlf, report};
use crate::yardstick::lines;

/// Read some, write it; or read a line, write a line.
pub(super) fn plain(listener: std::net::TcpListener, lines: bool) -> io::Result<()> {
    if lines { serve(listener, echo_lines) } else { serve(listener, echo) }
}

/// One standing receive a connection, into buffers that all share; the lines of a piece that
/// arrived are answered in one write.
pub(super) fn multishot(listener: std::net::TcpListener, lines: bool) -> io::Result<()> {
    if lines { serve(listener, echo_pieces_of_lines) } else { serve(listener, echo_pieces) }
}

fn serve<F>(listener: std::net::TcpListener, client: fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    let mut proactor = ProactorBuilder::new();
    proactor
        .cqsize(4096)
        .single_issuer(true)
        .defer_taskrun(true)
        .buffer_pool_size(BUFFERS)
        .buffer_pool_buffer_len(BUFFER);
    let runtime = Runtime::builder().with_proactor(proactor).build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let incoming = listener.incoming();
        pin_mut!(incoming);
        while let Some(stream) = incoming.next().await {
            let stream = stream?;
            compio::runtime::spawn(async move { report(client(stream).await) }).detach();
        }
        Ok(())
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        let BufResult(count, mut bytes) = stream.read(buffer).await;
        if count? == 0 {
            return Ok(());
        }
        BufResult(_, bytes) = write(&mut stream, bytes).await?;
        bytes.clear();
        buffer = bytes;
    }
}

async fn echo_lines(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut line = Vec::new();
    loop {
        let BufResult(count, bytes) = stream.read(buffer).await;
        if count? == 0 {
            return Ok(());
        }
        buffer = bytes;
        for piece in buffer.split_inclusive(|&byte| byte == b'\n') {
            line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                end_with_crlf(&mut line);
                BufResult(_, line) = write(&mut stream, line).await?;
                line.clear();
            }
        }
        buffer.clear();
    }
}

async fn echo_pieces(stream: TcpStream) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    loop {
        let pieces = reader.read_multi(0);
        pin_mut!(pieces);
        loop {
            match pieces.next().await {
                Some(Ok(piece)) => drop(write(&mut writer, piece).await?),
                Some(Err(error)) if out_of_buffers(&error) => break,
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            }
        }
    }
}

async fn echo_pieces_of_lines(stream: TcpStream) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let (mut rest, mut answer) = (Vec::new(), Vec::new());
    loop {
        let pieces = reader.read_multi(0);
        pin_mut!(pieces);
        loop {
            match pieces.next().await {
                Some(Ok(piece)) => {
                    lines::answer(piece.as_init(), &mut rest, &mut answer)
                        .map_err(|lines::TooLong| io::ErrorKind::InvalidData)?;
                    BufResult(_, answer) = write(&mut writer, answer).await?;
                    answer.clear();
                }
                Some(Err(error)) if out_of_buffers(&error) => break,
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            }
        }
    }
}

async fn write<B: IoBuf>(stream: &mut TcpStream, bytes: B) -> io::Result<BufResult<(), B>> {
    let BufResult(result, bytes) = stream.write_all(bytes).await;
    result?;
    Ok(BufResult(Ok(()), bytes))
}

/// A burst took all buffers at once. Nothing is lost: the rest waits in the socket.
fn out_of_buffers(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ResourceBusy
}

const BUFFERS: NonZero<u16> = NonZero::new(1024).expect("not zero");
