//! The traits of the `tokio` crate, which are those of the `futures` crate under other names.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use futures::{AsyncBufRead, AsyncWrite};
use tokio::io::ReadBuf;

use crate::stream::{ReadHalf, Stream, WriteHalf};

/// Reads through the trait of the `futures` crate.
macro_rules! reads_for_tokio {
    ($($type:ty)*) => {$(
        /// As [`futures::AsyncRead`]: between polls no byte leaves the engine. Feature `tokio`.
        #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
        impl tokio::io::AsyncRead for $type {
            fn poll_read(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let room = buf.remaining();
                self.poll_take(context, room, |bytes| buf.put_slice(bytes)).map_ok(drop)
            }
        }

        /// As [`futures::AsyncBufRead`]. Feature `tokio`.
        #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
        impl tokio::io::AsyncBufRead for $type {
            fn poll_fill_buf(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<&[u8]>> {
                AsyncBufRead::poll_fill_buf(self, context)
            }

            fn consume(self: Pin<&mut Self>, count: usize) {
                AsyncBufRead::consume(self, count);
            }
        }
    )*};
}

/// Writes through the trait of the `futures` crate.
macro_rules! writes_for_tokio {
    ($($type:ty)*) => {$(
        /// As [`futures::AsyncWrite`]. Feature `tokio`.
        #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
        impl tokio::io::AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                AsyncWrite::poll_write(self, context, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                AsyncWrite::poll_write_vectored(self, context, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                AsyncWrite::poll_flush(self, context)
            }

            fn poll_shutdown(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                AsyncWrite::poll_close(self, context)
            }
        }
    )*};
}

reads_for_tokio!(Stream ReadHalf);
writes_for_tokio!(Stream WriteHalf);
