//! The traits of the `futures` crate: `AsyncRead`, `AsyncBufRead`, `AsyncWrite` and `Sink`, of the
//! halves first and then of the whole stream.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use facade_engine::{Bytes, Error, Result, adapter::HandleExt};
use futures::{AsyncBufRead, AsyncRead, AsyncWrite, Sink};

use crate::{
    operation::Submitted,
    stream::{ReadHalf, Stream, WriteHalf},
};

/// How much `poll_fill_buf` looks at, and `poll_write` takes, at most.
const POLL_MAX: usize = 64 << 10;

/// What the poll methods have seen of the bytes that are still the engine's.
#[derive(Debug, Default)]
pub(super) struct Look {
    shown: Bytes,
    peek: Option<Submitted<Bytes>>,
    /// The stream has ended behind what was shown. An end stays.
    ended: bool,
}

impl Look {
    /// Whether nothing is shown, asked for or known, so that the engine is to be asked.
    const fn is_fresh(&self) -> bool {
        self.shown.is_empty() && self.peek.is_none() && !self.ended
    }
}

impl ReadHalf {
    /// Ready when there is something to show, up to `size` bytes, or the stream has ended.
    fn poll_show(&mut self, context: &Context<'_>, size: usize) -> Poll<Result<()>> {
        let stream = &self.engine;
        let look = self.polled.get_or_insert_default();
        if look.is_fresh()
            && let Some(shown) = stream.handle().try_peek(stream, size)
        {
            look.shown = shown;
            return Poll::Ready(Ok(()));
        }
        self.poll_peeked(context, size)
    }

    /// The same where nothing has been received, as far as the caller knows.
    fn poll_peeked(&mut self, context: &Context<'_>, size: usize) -> Poll<Result<()>> {
        let stream = &self.engine;
        let look = self.polled.get_or_insert_default();
        if look.shown.is_empty() && !look.ended {
            let outcome = ready!(Submitted::poll_or_submit(&mut look.peek, context, |callback| {
                stream.handle().peek(stream, size, callback)
            }));
            look.shown = match outcome {
                Ok(shown) => shown,
                Err(Error::EndOfStream) => {
                    look.ended = true;
                    Bytes::new()
                }
                Err(error) => return Poll::Ready(Err(error)),
            };
        }
        Poll::Ready(Ok(()))
    }
}

impl ReadHalf {
    /// Takes what is unread, up to so many bytes, as soon as there is something: nothing at the end.
    pub(super) fn poll_take(
        &mut self,
        context: &Context<'_>,
        room: usize,
        put: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        if self.polled.as_ref().is_none_or(|look| look.is_fresh())
            && let Some(taken) = self.engine.handle().try_read_chunk(&self.engine, room)
        {
            put(&taken);
            return Poll::Ready(Ok(taken.len()));
        }
        ready!(self.poll_peeked(context, room.min(POLL_MAX)))?;
        let Some(look) = &mut self.polled else { return Poll::Ready(Ok(0)) };
        let shown = std::mem::take(&mut look.shown);
        let count = shown.len().min(room);
        put(&shown[..count]);
        self.engine.handle().consume(&self.engine, count);
        Poll::Ready(Ok(count))
    }
}

#[cfg(any(feature = "hyper", feature = "tokio"))]
impl Stream {
    /// As of its [`ReadHalf`].
    pub(super) fn poll_take(
        &mut self,
        context: &Context<'_>,
        room: usize,
        put: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        self.read.poll_take(context, room, put)
    }
}

/// Between polls no byte leaves the engine: a poll looks at what is unread, and `consume` takes it.
/// What `poll_fill_buf` has shown and nobody has consumed, it shows again without a new look: read
/// it up, or by a method of the adapter, before reading by a raw callback. So it is with an end
/// that it has found, which is ready at once from then on: a method of the adapter looks again.
impl AsyncBufRead for ReadHalf {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_show(context, POLL_MAX))?;
        Poll::Ready(Ok(this.polled.as_ref().map_or(&[], |look| &look.shown)))
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        let this = self.get_mut();
        let Some(look) = &mut this.polled else { return };
        let count = count.min(look.shown.len());
        drop(look.shown.split_to(count));
        this.engine.handle().consume(&this.engine, count);
    }
}

/// Looks no further than the caller asks, so that nothing is shown that is not consumed.
impl AsyncRead for ReadHalf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let room = buf.len();
        self.poll_take(context, room, |bytes| buf[..bytes.len()].copy_from_slice(bytes))
    }
}

/// What the poll methods of a [`WriteHalf`] have submitted and have no outcome of. Unlike a future
/// they have reported to their caller that they took the bytes, so nothing is cancelled when they
/// are dropped.
#[derive(Debug, Default)]
pub(super) struct Submissions {
    write: Option<Submitted<usize>>,
    pub(super) flush: Option<Submitted<()>>,
    shutdown: Option<Submitted<()>>,
    /// Nothing was written since a flush succeeded. What was written before the first one, by
    /// whomever, is not known.
    pub(super) flushed: bool,
    /// The direction was shut down.
    shut_down: bool,
}

impl Drop for Submissions {
    fn drop(&mut self) {
        if let Some(write) = self.write.take() {
            write.detach();
        }
        if let Some(shutdown) = self.shutdown.take() {
            shutdown.detach();
        }
    }
}

impl WriteHalf {
    /// Ready when the engine has taken the last write of the poll methods.
    pub(super) fn poll_written(&mut self, context: &Context<'_>) -> Poll<Result<()>> {
        if let Some(submitted) = &mut self.polled
            && let Some(write) = &mut submitted.write
        {
            let outcome = ready!(write.poll(context));
            submitted.write = None;
            outcome?;
        }
        Poll::Ready(Ok(()))
    }

    fn begin_write(&mut self, bytes: Bytes) {
        let stream = self.engine();
        if stream.handle().try_write(stream, &bytes).is_some() {
            return;
        }
        let write = Submitted::new(|callback| stream.handle().write(stream, bytes, callback));
        let before = self.polled.get_or_insert_default().write.replace(write);
        if let Some(before) = before {
            // The caller has not waited until the stream was ready. The write before is not
            // cancelled for that.
            before.detach();
        }
    }

    /// Ready at once if nothing was written since the last flush that succeeded, so that a caller
    /// may ask as often as it likes; a failure stays, and is reported each time.
    fn poll_flushed(&mut self, context: &Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_written(context))?;
        let stream = &self.engine;
        let submitted = self.polled.get_or_insert_default();
        if submitted.flushed {
            return Poll::Ready(Ok(()));
        }
        if submitted.flush.is_none() && stream.handle().try_flush(stream).is_some() {
            submitted.flushed = true;
            return Poll::Ready(Ok(()));
        }
        let flush = &mut submitted.flush;
        let outcome = ready!(Submitted::poll_or_submit(flush, context, |callback| {
            stream.handle().flush(stream, callback)
        }));
        submitted.flushed = outcome.is_ok();
        Poll::Ready(outcome)
    }

    fn poll_shut_down(&mut self, context: &Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_written(context))?;
        let stream = &self.engine;
        let submitted = self.polled.get_or_insert_default();
        if submitted.shut_down {
            return Poll::Ready(Ok(()));
        }
        let shutdown = &mut submitted.shutdown;
        let outcome = ready!(Submitted::poll_or_submit(shutdown, context, |callback| {
            stream.handle().shutdown_write(stream, callback)
        }));
        submitted.shut_down = outcome.is_ok();
        // It comes behind all that was written.
        submitted.flushed |= submitted.shut_down;
        Poll::Ready(outcome)
    }
}

/// `poll_write` takes up to 64 KiB at a time, of several slices what they have together, and is
/// ready as soon as the engine has taken the write before; what fails later is reported to the next
/// call. What it took is sent at the turn's end, with all else that the turn has written, or by a
/// flush: a program that does not wait for `poll_flush` loses nothing.
///
/// `poll_flush` is ready when the system has all, and `poll_close` when the direction is shut down;
/// both at once, without asking the engine, if that is so already. In the engine's own turn
/// `poll_flush` sends what was written and need not wait where the system takes it at once; on
/// io_uring, and where there is no room, it waits until the system has taken it. What raw callbacks
/// write after a flush is theirs to flush.
impl AsyncWrite for WriteHalf {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_written(context))?;
        let count = buf.len().min(POLL_MAX);
        self.begin_write(Bytes::copy_from_slice(&buf[..count]));
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_written(context))?;
        // One write of all: they are copied in any case.
        let count = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(POLL_MAX);
        let mut bytes = BytesMut::with_capacity(count);
        for buf in bufs {
            let room = count - bytes.len();
            bytes.extend_from_slice(&buf[..room.min(buf.len())]);
        }
        self.begin_write(bytes.freeze());
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flushed(context).map_err(io::Error::from)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_shut_down(context).map_err(io::Error::from)
    }
}

/// Each item is one write. `poll_ready` is ready as soon as the engine has taken the write before;
/// what fails later is reported to the next call. `poll_flush` and `poll_close` are as those of
/// [`AsyncWrite`].
impl Sink<Bytes> for WriteHalf {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_written(context)
    }

    fn start_send(mut self: Pin<&mut Self>, item: Bytes) -> Result<()> {
        self.begin_write(item);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flushed(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_shut_down(context)
    }
}

impl AsyncBufRead for Stream {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        AsyncBufRead::poll_fill_buf(Pin::new(&mut self.get_mut().read), context)
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        AsyncBufRead::consume(Pin::new(&mut self.read), count);
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        AsyncRead::poll_read(Pin::new(&mut self.read), context, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.write), context, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write_vectored(Pin::new(&mut self.write), context, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.write), context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_close(Pin::new(&mut self.write), context)
    }
}

impl Sink<Bytes> for Stream {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.write.poll_written(context)
    }

    fn start_send(mut self: Pin<&mut Self>, item: Bytes) -> Result<()> {
        self.write.begin_write(item);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.write.poll_flushed(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.write.poll_shut_down(context)
    }
}
