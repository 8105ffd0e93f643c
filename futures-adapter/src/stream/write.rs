//! What is written to a [`Stream`] and to its [`WriteHalf`].

#[cfg(doc)]
use facade_engine::Error;
use facade_engine::{Bytes, Callback, LinePattern, Stream as EngineStream};

use crate::{
    io::submit_chain,
    operation::{Flush, OpFuture, Submit, Write, WriteLine, op},
    stream::{Stream, traits::Submissions},
};

/// The outgoing direction of a [`Stream`]: from [`Stream::split`] or [`Stream::into_split`], where
/// there are examples.
///
/// Dropping it does not shut the direction down, see [`shutdown_write`](Self::shutdown_write).
#[derive(Debug)]
pub struct WriteHalf {
    pub(super) engine: EngineStream,
    /// What the poll methods have submitted last; only streams that are written by them need it.
    pub(super) polled: Option<Box<Submissions>>,
}

impl Stream {
    /// See [`Handle::write`](facade_engine::Handle::write).
    pub fn write(&mut self, buf: impl Into<Bytes>) -> OpFuture<usize, impl Submit<usize>> {
        self.write.write(buf)
    }

    /// See [`Handle::write_vectored`](facade_engine::Handle::write_vectored).
    pub fn write_vectored(
        &mut self,
        bufs: impl IntoIterator<Item = impl Into<Bytes>>,
    ) -> OpFuture<usize, impl Submit<usize>> {
        self.write.write_vectored(bufs)
    }

    /// See [`Handle::write_line`](facade_engine::Handle::write_line).
    pub fn write_line(&mut self, line: impl Into<Bytes>) -> OpFuture<usize, impl Submit<usize>> {
        self.write.write_line(line)
    }

    /// See [`Handle::write_then_expect_line`](facade_engine::Handle::write_then_expect_line).
    /// Yields the line.
    ///
    /// The timeout covers both. A failed write is [`Error::Stage`].
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use facade_futures::LineGlob;
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let runtime = Runtime::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let mut stream = runtime.io().attach(ours)?;
    /// runtime.block_on(async {
    ///     peer.write_all(b"250 fine\r\n").unwrap();
    ///     let fine = LineGlob::new("250 *")?;
    ///     assert_eq!(stream.write_then_expect_line("HELO me\r\n", fine).await?, "250 fine");
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn write_then_expect_line(
        &mut self,
        buf: impl Into<Bytes>,
        line: impl Into<LinePattern>,
    ) -> OpFuture<Bytes, impl Submit<Bytes>> {
        self.write.engine();
        let stream = self.read.engine();
        op(move |callback| {
            submit_chain(callback, |callback| {
                let chain = stream.handle().chain().on(stream).write(buf, Callback::ignore());
                chain.expect_line(line, callback)
            })
        })
    }

    /// See [`Handle::flush`](facade_engine::Handle::flush).
    pub fn flush(&mut self) -> OpFuture<(), impl Submit<()>> {
        self.write.flush()
    }

    /// See [`Handle::take_unsent`](facade_engine::Handle::take_unsent).
    ///
    /// ```
    /// use facade_futures::{Error, Result, Runtime};
    /// use std::{os::unix::net::UnixStream, time::Duration};
    ///
    /// let runtime = Runtime::new()?;
    /// let (_peer, ours) = UnixStream::pair().unwrap();
    /// let mut stream = runtime.io().attach(ours)?;
    /// runtime.block_on(async {
    ///     let whole = vec![0; 8 << 20]; // more than the system has room for, and nobody reads
    ///     match stream.write(whole).timeout(Duration::ZERO).await {
    ///         Err(Error::PartialWrite { written, .. }) => {
    ///             assert_eq!(written + stream.take_unsent().await?.len(), 8 << 20);
    ///         }
    ///         outcome => panic!("{outcome:?}"),
    ///     }
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn take_unsent(&mut self) -> OpFuture<Bytes, impl Submit<Bytes>> {
        self.write.take_unsent()
    }

    /// See [`Handle::shutdown_write`](facade_engine::Handle::shutdown_write).
    pub fn shutdown_write(&mut self) -> OpFuture<(), impl Submit<()>> {
        self.write.shutdown_write()
    }
}

impl WriteHalf {
    /// The engine's stream, for raw callbacks.
    pub const fn engine_stream(&self) -> &EngineStream {
        &self.engine
    }

    /// The engine's stream for an operation that writes: a flush under way does not cover it.
    pub(super) fn engine(&mut self) -> &EngineStream {
        if let Some(submitted) = &mut self.polled {
            submitted.flush = None;
            submitted.flushed = false;
        }
        &self.engine
    }

    /// See [`Handle::write`](facade_engine::Handle::write).
    pub fn write(&mut self, buf: impl Into<Bytes>) -> OpFuture<usize, impl Submit<usize>> {
        op(Write(self.engine(), buf.into()))
    }

    /// See [`Handle::write_vectored`](facade_engine::Handle::write_vectored).
    pub fn write_vectored(
        &mut self,
        bufs: impl IntoIterator<Item = impl Into<Bytes>>,
    ) -> OpFuture<usize, impl Submit<usize>> {
        let stream = self.engine();
        op(move |callback| stream.handle().write_vectored(stream, bufs, callback))
    }

    /// See [`Handle::write_line`](facade_engine::Handle::write_line).
    pub fn write_line(&mut self, line: impl Into<Bytes>) -> OpFuture<usize, impl Submit<usize>> {
        op(WriteLine(self.engine(), line.into()))
    }

    /// See [`Handle::flush`](facade_engine::Handle::flush).
    pub fn flush(&mut self) -> OpFuture<(), impl Submit<()>> {
        op(Flush(&self.engine))
    }

    /// See [`Handle::take_unsent`](facade_engine::Handle::take_unsent).
    pub fn take_unsent(&mut self) -> OpFuture<Bytes, impl Submit<Bytes>> {
        let stream = &self.engine;
        op(move |callback| stream.handle().take_unsent(stream, callback))
    }

    /// See [`Handle::shutdown_write`](facade_engine::Handle::shutdown_write).
    pub fn shutdown_write(&mut self) -> OpFuture<(), impl Submit<()>> {
        let stream = &self.engine;
        op(move |callback| stream.handle().shutdown_write(stream, callback))
    }
}
