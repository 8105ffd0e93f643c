//! The traits of hyper's runtime, for the whole stream.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use futures::AsyncWrite;
use hyper::rt::{Read, ReadBufCursor, Write};

use crate::stream::Stream;

/// As [`futures::AsyncRead`]: between polls no byte leaves the engine. Feature `hyper`.
#[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        self.poll_take(context, room, |bytes| buf.put_slice(bytes)).map_ok(drop)
    }
}

/// As [`futures::AsyncWrite`], but `poll_flush` is ready when the engine has all. It sends that in the
/// same turn, with nobody's help, and hyper has nothing to do in between: if it waited, it could read
/// the end of a client that left with its answer before it knew that the answer had gone.
/// Feature `hyper`.
#[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(self, context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.poll_written(context).map_err(io::Error::from)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_close(self, context)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write_vectored(self, context, bufs)
    }
}
