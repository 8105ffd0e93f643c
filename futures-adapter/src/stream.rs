//! [`Stream`] and its halves: what bytes are read from and written to.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

use facade_engine::{
    Address, AnyMatch, Bytes, Callback, Detached, Error, Limits, LineEnd, LineGlob, LineMatch,
    LinePattern, Matcher, Pattern, Regex, RegexMatch, Result, Stream as EngineStream,
};
use futures::{AsyncBufRead, AsyncRead, AsyncWrite, Sink, stream::FusedStream};

use crate::{
    io::submit_chain,
    operation::{
        OpFuture, ReadChunk, ReadExact, ReadLine, Submit, Submitted, Write, WriteLine, op,
    },
};

/// A TCP or Unix socket, a pipe, a terminal, a child's stdio, or a file.
///
/// Each method is the engine's operation of the same name, see
/// [`Handle`](facade_engine::Handle), as a future that may be dropped at any moment: what it took
/// goes back. Methods borrow the stream mutably, so that one operation is pending at a time;
/// [`split`](Self::split) and [`into_split`](Self::into_split) part the directions.
///
/// It is also an [`AsyncRead`], [`AsyncBufRead`] and [`AsyncWrite`] of the `futures` crate, and a
/// [`Sink`] of [`Bytes`].
///
/// ```
/// use facade_futures::{Result, Runtime, Stream};
/// use std::{io::Write, os::unix::net::UnixStream, time::Duration};
///
/// async fn answer(stream: &mut Stream) -> Result<()> {
///     let line = stream.read_line().timeout(Duration::from_secs(30)).await?;
///     stream.write_line(line).await?;
///     stream.flush().await
/// }
///
/// let runtime = Runtime::new()?;
/// let (mut peer, ours) = UnixStream::pair().unwrap();
/// let mut stream = runtime.io().attach(ours)?;
/// peer.write_all(b"hello\n").unwrap();
/// runtime.block_on(answer(&mut stream))?;
/// # Ok::<(), facade_futures::Error>(())
/// ```
///
/// With the traits of the `futures` crate:
///
/// ```
/// use facade_futures::Runtime;
/// use futures::{AsyncReadExt, SinkExt};
/// use std::os::unix::net::UnixStream;
///
/// let runtime = Runtime::new()?;
/// let (one, other) = UnixStream::pair().unwrap();
/// let (mut one, mut other) = (runtime.io().attach(one)?, runtime.io().attach(other)?);
/// runtime.block_on(async {
///     SinkExt::send(&mut one, "hello".into()).await?;
///     let mut buffer = [0; 5];
///     AsyncReadExt::read_exact(&mut other, &mut buffer).await?;
///     assert_eq!(&buffer, b"hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// # Ok::<(), facade_futures::Error>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    read: ReadHalf,
    write: WriteHalf,
}

/// The incoming direction of a [`Stream`]: from [`Stream::split`] or [`Stream::into_split`], where
/// there are examples.
#[derive(Debug)]
pub struct ReadHalf {
    engine: EngineStream,
    /// Only streams that are read by the poll methods need it.
    polled: Option<Box<Look>>,
}

/// What the poll methods have seen of the bytes that are still the engine's.
#[derive(Debug, Default)]
struct Look {
    shown: Bytes,
    peek: Option<Submitted<Bytes>>,
    /// The stream has ended behind what was shown. An end stays.
    ended: bool,
}

/// The outgoing direction of a [`Stream`]: from [`Stream::split`] or [`Stream::into_split`], where
/// there are examples.
///
/// Dropping it does not shut the direction down, see [`shutdown_write`](Self::shutdown_write).
#[derive(Debug)]
pub struct WriteHalf {
    engine: EngineStream,
    /// What the poll methods have submitted last; only streams that are written by them need it.
    polled: Option<Box<Submissions>>,
}

/// How much `poll_fill_buf` looks at, and `poll_write` takes, at most.
const POLL_MAX: usize = 64 << 10;

impl Stream {
    /// The engine's stream, for raw callbacks.
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use facade_futures::Callback;
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let runtime = Runtime::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let mut stream = runtime.io().attach(ours)?;
    /// runtime.block_on(async {
    ///     peer.write_all(b"one\ntwo\n").unwrap();
    ///     assert_eq!(stream.read_line().await?, "one");
    ///     let engine = runtime.io().handle();
    ///     engine.read_line(stream.engine_stream(), Callback::new(
    ///         |_, line| assert_eq!(line, "two"),
    ///         |_, error| panic!("{error}"),
    ///     ));
    ///     Result::Ok(())
    /// })?;
    /// # runtime.engine().run()?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub const fn engine_stream(&self) -> &EngineStream {
        &self.read.engine
    }

    /// Lends the two directions, to be used at the same time.
    ///
    /// Where `futures::AsyncReadExt` is in scope, `stream.split()` means its method of the same
    /// name: say `Stream::split(&mut stream)` there. So it is with `lines` and `AsyncBufReadExt`.
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use futures::future::try_join;
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let runtime = Runtime::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let mut stream = runtime.io().attach(ours)?;
    /// runtime.block_on(async {
    ///     peer.write_all(b"question\n").unwrap();
    ///     let (reader, writer) = stream.split();
    ///     let (line, written) = try_join(reader.read_line(), writer.write_line("answer")).await?;
    ///     assert_eq!(line, "question");
    ///     assert_eq!(written, 8); // with CRLF
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub const fn split(&mut self) -> (&mut ReadHalf, &mut WriteHalf) {
        (&mut self.read, &mut self.write)
    }

    /// Parts the two directions for good. The stream is closed when both are gone.
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let runtime = Runtime::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let mut stream = runtime.io().attach(ours)?;
    /// runtime.block_on(async {
    ///     let (mut reader, mut writer) = stream.into_split();
    ///     let task = runtime.spawn(async move { writer.write_line("answer").await });
    ///     peer.write_all(b"question\n").unwrap();
    ///     assert_eq!(reader.read_line().await?, "question");
    ///     task.await?;
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        (self.read, self.write)
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// As [`EngineStream::peer_addr`].
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        self.engine_stream().peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// As [`EngineStream::local_addr`].
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.engine_stream().local_addr()
    }

    /// What the other end is called, of whatever family.
    ///
    /// # Errors
    ///
    /// As [`EngineStream::peer_name`].
    pub fn peer_name(&self) -> Result<Address> {
        self.engine_stream().peer_name()
    }

    /// What this end is called, of whatever family.
    ///
    /// # Errors
    ///
    /// As [`EngineStream::local_name`].
    pub fn local_name(&self) -> Result<Address> {
        self.engine_stream().local_name()
    }

    /// See [`Stream::set_exclusive`](EngineStream::set_exclusive).
    pub fn set_exclusive(&mut self, exclusive: bool) {
        self.engine_stream().set_exclusive(exclusive);
    }

    /// See [`Handle::set_limits`](facade_engine::Handle::set_limits).
    pub fn set_limits(&mut self, limits: Limits) {
        self.engine_stream().handle().set_limits(self.engine_stream(), limits);
    }

    /// See [`Handle::set_line_end`](facade_engine::Handle::set_line_end).
    pub fn set_line_end(&mut self, line_end: LineEnd) {
        self.engine_stream().handle().set_line_end(self.engine_stream(), line_end);
    }

    /// See [`Handle::read_chunk`](facade_engine::Handle::read_chunk).
    pub fn read_chunk(&mut self, size: usize) -> OpFuture<Bytes, impl Submit<Bytes>> {
        self.read.read_chunk(size)
    }

    /// See [`Handle::read_exact`](facade_engine::Handle::read_exact).
    pub fn read_exact(&mut self, size: usize) -> OpFuture<Bytes, impl Submit<Bytes>> {
        self.read.read_exact(size)
    }

    /// See [`Handle::read_until`](facade_engine::Handle::read_until).
    pub fn read_until(
        &mut self,
        delimiter: impl AsRef<[u8]>,
    ) -> OpFuture<Bytes, impl Submit<Bytes>> {
        self.read.read_until(delimiter)
    }

    /// See [`Handle::read_line`](facade_engine::Handle::read_line).
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let runtime = Runtime::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let mut stream = runtime.io().attach(ours)?;
    /// runtime.block_on(async {
    ///     peer.write_all(b"hello\r\n").unwrap();
    ///     assert_eq!(stream.read_line().await?, "hello");
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn read_line(&mut self) -> OpFuture<Bytes, impl Submit<Bytes>> {
        self.read.read_line()
    }

    /// See [`Handle::read_until_lineglob`](facade_engine::Handle::read_until_lineglob).
    pub fn read_until_lineglob(
        &mut self,
        glob: LineGlob,
    ) -> OpFuture<LineMatch, impl Submit<LineMatch>> {
        self.read.read_until_lineglob(glob)
    }

    /// See [`Handle::read_until_regex`](facade_engine::Handle::read_until_regex): the *earliest
    /// end* of a match.
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use facade_futures::Regex;
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let runtime = Runtime::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let mut stream = runtime.io().attach(ours)?;
    /// runtime.block_on(async {
    ///     peer.write_all(b"load: 42% of all").unwrap();
    ///     let found = stream.read_until_regex(Regex::new("([0-9]+)%")?).await?;
    ///     assert_eq!(found.group(1).unwrap(), "42");
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn read_until_regex(
        &mut self,
        regex: Regex,
    ) -> OpFuture<RegexMatch, impl Submit<RegexMatch>> {
        self.read.read_until_regex(regex)
    }

    /// See [`Handle::read_until_any`](facade_engine::Handle::read_until_any).
    pub fn read_until_any(
        &mut self,
        patterns: impl IntoIterator<Item = Pattern>,
    ) -> OpFuture<AnyMatch, impl Submit<AnyMatch>> {
        self.read.read_until_any(patterns)
    }

    /// See [`Handle::read_all`](facade_engine::Handle::read_all).
    pub fn read_all(&mut self) -> OpFuture<Bytes, impl Submit<Bytes>> {
        self.read.read_all()
    }

    /// See [`Handle::read_with`](facade_engine::Handle::read_with).
    pub fn read_with<M: Matcher>(
        &mut self,
        matcher: M,
    ) -> OpFuture<M::Output, impl Submit<M::Output>> {
        self.read.read_with(matcher)
    }

    /// See [`Handle::expect_line`](facade_engine::Handle::expect_line).
    pub fn expect_line(
        &mut self,
        line: impl Into<LinePattern>,
    ) -> OpFuture<Bytes, impl Submit<Bytes>> {
        self.read.expect_line(line)
    }

    /// See [`Handle::peek`](facade_engine::Handle::peek).
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let runtime = Runtime::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let mut stream = runtime.io().attach(ours)?;
    /// runtime.block_on(async {
    ///     peer.write_all(b"hello\n").unwrap();
    ///     assert_eq!(stream.peek(1).await?, "h");
    ///     assert_eq!(stream.read_line().await?, "hello");
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn peek(&mut self, size: usize) -> OpFuture<Bytes, impl Submit<Bytes>> {
        self.read.peek(size)
    }

    /// See [`Handle::consume`](facade_engine::Handle::consume).
    pub fn consume(&mut self, n: usize) {
        self.read.consume(n);
    }

    /// See [`Handle::buffered`](facade_engine::Handle::buffered).
    pub fn buffered(&mut self) -> OpFuture<usize, impl Submit<usize>> {
        self.read.buffered()
    }

    /// The lines as a [`futures::Stream`], an unfinished last one included. A failure is the last
    /// item; another `lines` goes on where it left off.
    ///
    /// ```
    /// use facade_futures::{Result, Runtime, Stream};
    /// use futures::TryStreamExt;
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let runtime = Runtime::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let mut stream = runtime.io().attach(ours)?;
    /// runtime.block_on(async {
    ///     peer.write_all(b"one\ntwo\nunfinished").unwrap();
    ///     drop(peer);
    ///     let lines: Vec<_> = Stream::lines(&mut stream).try_collect().await?;
    ///     assert_eq!(lines, ["one", "two", "unfinished"]);
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn lines(&mut self) -> Lines<'_> {
        self.read.lines()
    }

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

    /// See [`Handle::close`](facade_engine::Handle::close).
    pub fn close(&mut self) -> OpFuture<(), impl Submit<()>> {
        // Whoever flushes afterwards is to hear of it.
        self.write.engine();
        let stream = self.read.engine();
        op(move |callback| stream.handle().close(stream, callback))
    }

    /// See [`Handle::abort`](facade_engine::Handle::abort).
    pub fn abort(self) {
        self.engine_stream().handle().abort(self.engine_stream());
    }

    /// See [`Handle::detach`](facade_engine::Handle::detach).
    pub fn detach(self) -> OpFuture<Detached, impl Submit<Detached>> {
        let stream = self.read.engine;
        op(move |callback| stream.handle().detach(&stream, callback))
    }
}

impl ReadHalf {
    /// The engine's stream, for raw callbacks.
    pub const fn engine_stream(&self) -> &EngineStream {
        &self.engine
    }

    /// The engine's stream for an operation that reads: what `poll_fill_buf` has shown may change.
    fn engine(&mut self) -> &EngineStream {
        self.polled = None;
        &self.engine
    }

    /// See [`Handle::read_chunk`](facade_engine::Handle::read_chunk).
    pub fn read_chunk(&mut self, size: usize) -> OpFuture<Bytes, impl Submit<Bytes>> {
        op(ReadChunk(self.engine(), size))
    }

    /// See [`Handle::read_exact`](facade_engine::Handle::read_exact).
    pub fn read_exact(&mut self, size: usize) -> OpFuture<Bytes, impl Submit<Bytes>> {
        op(ReadExact(self.engine(), size))
    }

    /// See [`Handle::read_until`](facade_engine::Handle::read_until).
    pub fn read_until(
        &mut self,
        delimiter: impl AsRef<[u8]>,
    ) -> OpFuture<Bytes, impl Submit<Bytes>> {
        let stream = self.engine();
        op(move |callback| stream.handle().read_until(stream, delimiter, callback))
    }

    /// See [`Handle::read_line`](facade_engine::Handle::read_line).
    pub fn read_line(&mut self) -> OpFuture<Bytes, impl Submit<Bytes>> {
        op(ReadLine(self.engine()))
    }

    /// See [`Handle::read_until_lineglob`](facade_engine::Handle::read_until_lineglob).
    pub fn read_until_lineglob(
        &mut self,
        glob: LineGlob,
    ) -> OpFuture<LineMatch, impl Submit<LineMatch>> {
        let stream = self.engine();
        op(move |callback| stream.handle().read_until_lineglob(stream, glob, callback))
    }

    /// See [`Handle::read_until_regex`](facade_engine::Handle::read_until_regex): the *earliest
    /// end* of a match.
    pub fn read_until_regex(
        &mut self,
        regex: Regex,
    ) -> OpFuture<RegexMatch, impl Submit<RegexMatch>> {
        let stream = self.engine();
        op(move |callback| stream.handle().read_until_regex(stream, regex, callback))
    }

    /// See [`Handle::read_until_any`](facade_engine::Handle::read_until_any).
    pub fn read_until_any(
        &mut self,
        patterns: impl IntoIterator<Item = Pattern>,
    ) -> OpFuture<AnyMatch, impl Submit<AnyMatch>> {
        let stream = self.engine();
        op(move |callback| stream.handle().read_until_any(stream, patterns, callback))
    }

    /// See [`Handle::read_all`](facade_engine::Handle::read_all).
    pub fn read_all(&mut self) -> OpFuture<Bytes, impl Submit<Bytes>> {
        let stream = self.engine();
        op(move |callback| stream.handle().read_all(stream, callback))
    }

    /// See [`Handle::read_with`](facade_engine::Handle::read_with).
    pub fn read_with<M: Matcher>(
        &mut self,
        matcher: M,
    ) -> OpFuture<M::Output, impl Submit<M::Output>> {
        let stream = self.engine();
        op(move |callback| stream.handle().read_with(stream, matcher, callback))
    }

    /// See [`Handle::expect_line`](facade_engine::Handle::expect_line).
    pub fn expect_line(
        &mut self,
        line: impl Into<LinePattern>,
    ) -> OpFuture<Bytes, impl Submit<Bytes>> {
        let stream = self.engine();
        op(move |callback| stream.handle().expect_line(stream, line, callback))
    }

    /// See [`Handle::peek`](facade_engine::Handle::peek).
    pub fn peek(&mut self, size: usize) -> OpFuture<Bytes, impl Submit<Bytes>> {
        let stream = self.engine();
        op(move |callback| stream.handle().peek(stream, size, callback))
    }

    /// See [`Handle::consume`](facade_engine::Handle::consume).
    pub fn consume(&mut self, n: usize) {
        let stream = self.engine();
        stream.handle().consume(stream, n);
    }

    /// See [`Handle::buffered`](facade_engine::Handle::buffered).
    pub fn buffered(&mut self) -> OpFuture<usize, impl Submit<usize>> {
        let stream = self.engine();
        op(move |callback| stream.handle().buffered(stream, callback))
    }

    /// The lines as a [`futures::Stream`], an unfinished last one included. A failure is the last
    /// item; another `lines` goes on where it left off.
    pub fn lines(&mut self) -> Lines<'_> {
        Lines { half: self, read: None, state: LinesState::Lines }
    }
}

impl WriteHalf {
    /// The engine's stream, for raw callbacks.
    pub const fn engine_stream(&self) -> &EngineStream {
        &self.engine
    }

    /// The engine's stream for an operation that writes: a flush under way does not cover it.
    fn engine(&mut self) -> &EngineStream {
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
        let stream = &self.engine;
        op(move |callback| stream.handle().flush(stream, callback))
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

impl From<EngineStream> for Stream {
    fn from(engine: EngineStream) -> Self {
        let write = WriteHalf { engine: engine.clone(), polled: None };
        Self { read: ReadHalf { engine, polled: None }, write }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.engine_stream().as_fd()
    }
}

// The traits of the `futures` crate

impl ReadHalf {
    /// Ready when there is something to show, up to `size` bytes, or the stream has ended.
    fn poll_show(&mut self, context: &Context<'_>, size: usize) -> Poll<Result<()>> {
        let stream = &self.engine;
        let look = self.polled.get_or_insert_default();
        if look.shown.is_empty() && !look.ended {
            let peek = look.peek.get_or_insert_with(|| {
                Submitted::new(None, |callback| stream.handle().peek(stream, size, callback))
            });
            let outcome = ready!(peek.poll(context));
            look.peek = None;
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

/// Between polls no byte leaves the engine: a poll looks at what is unread, and `consume` takes it.
/// What `poll_fill_buf` has shown and nobody has consumed, it shows again without a new look: read
/// it up, or by a method of the adapter, before reading by a raw callback. So it is with an end that
/// it has found, which is ready at once from then on: a method of the adapter looks again.
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
        if count > 0 {
            this.engine.handle().consume(&this.engine, count);
        }
    }
}

/// Looks no further than the caller asks, so that nothing is shown that is not consumed.
impl AsyncRead for ReadHalf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_show(context, buf.len().min(POLL_MAX)))?;
        let Some(look) = &mut self.polled else { return Poll::Ready(Ok(0)) };
        let shown = std::mem::take(&mut look.shown);
        let count = shown.len().min(buf.len());
        buf[..count].copy_from_slice(&shown[..count]);
        if count > 0 {
            self.engine.handle().consume(&self.engine, count);
        }
        Poll::Ready(Ok(count))
    }
}

/// What the poll methods of a [`WriteHalf`] have submitted and not heard of. Unlike a future they
/// have told their caller that they took the bytes, so nothing is cancelled when they are dropped.
#[derive(Debug, Default)]
struct Submissions {
    write: Option<Submitted<usize>>,
    flush: Option<Submitted<()>>,
    shutdown: Option<Submitted<()>>,
    /// Nothing was written since a flush succeeded. What was written before the first one, by
    /// whomever, is not known.
    flushed: bool,
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
    fn poll_written(&mut self, context: &Context<'_>) -> Poll<Result<()>> {
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
        let write = Submitted::new(None, |callback| stream.handle().write(stream, bytes, callback));
        let before = self.polled.get_or_insert_default().write.replace(write);
        if let Some(before) = before {
            // Its owner did not ask whether another may come, and it is not lost for that.
            before.detach();
        }
    }

    /// Ready at once if nothing was written since the last flush that succeeded, so that a caller
    /// may ask as often as it likes; a failure stays, and is told each time.
    fn poll_flushed(&mut self, context: &Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_written(context))?;
        let stream = &self.engine;
        let submitted = self.polled.get_or_insert_default();
        if submitted.flushed {
            return Poll::Ready(Ok(()));
        }
        let flush = submitted.flush.get_or_insert_with(|| {
            Submitted::new(None, |callback| stream.handle().flush(stream, callback))
        });
        let outcome = ready!(flush.poll(context));
        submitted.flush = None;
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
        let shutdown = submitted.shutdown.get_or_insert_with(|| {
            Submitted::new(None, |callback| stream.handle().shutdown_write(stream, callback))
        });
        let outcome = ready!(shutdown.poll(context));
        submitted.shutdown = None;
        submitted.shut_down = outcome.is_ok();
        // It comes behind all that was written.
        submitted.flushed |= submitted.shut_down;
        Poll::Ready(outcome)
    }
}

/// `poll_write` takes up to 64 KiB at a time and is ready as soon as the engine has taken the write
/// before; what fails later is told to the next call. `poll_flush` is ready when the system has
/// all, `poll_close` shuts the direction down; both at once, without asking the engine, if that is
/// so already. What raw callbacks write after a flush is theirs to flush.
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

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flushed(context).map_err(io::Error::from)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_shut_down(context).map_err(io::Error::from)
    }
}

/// Each item is one write. `poll_ready` is ready as soon as the engine has taken the write before;
/// what fails later is told to the next call. `poll_flush` and `poll_close` are as those of
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
        Pin::new(&mut self.get_mut().read).poll_fill_buf(context)
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
        Pin::new(&mut self.read).poll_read(context, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write(context, buf)
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

/// The lines of a stream; from [`Stream::lines`], where there is an example. Dropping it loses
/// none.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Lines<'a> {
    half: &'a mut ReadHalf,
    read: Option<Submitted<Bytes>>,
    state: LinesState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinesState {
    /// There may be lines.
    Lines,
    /// The stream has ended, perhaps within a line.
    Rest,
    Ended,
}

impl futures::Stream for Lines<'_> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.state == LinesState::Ended {
                return Poll::Ready(None);
            }
            let (state, stream) = (this.state, this.half.engine());
            let read = this.read.get_or_insert_with(|| {
                Submitted::new(None, |callback| match state {
                    LinesState::Lines => stream.handle().read_line(stream, callback),
                    _ => stream.handle().read_all(stream, callback),
                })
            });
            let outcome = ready!(read.poll(context));
            this.read = None;
            match (state, outcome) {
                (LinesState::Lines, Err(Error::EndOfStream)) => this.state = LinesState::Rest,
                (LinesState::Rest, outcome) => {
                    this.state = LinesState::Ended;
                    return Poll::Ready(
                        Some(outcome).filter(|rest| !rest.as_ref().is_ok_and(Bytes::is_empty)),
                    );
                }
                (_, Err(error)) => {
                    // It would fail again and again, until somebody does something about it.
                    this.state = LinesState::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
                (_, line) => return Poll::Ready(Some(line)),
            }
        }
    }
}

/// Behind its last item it has none, however often it is asked.
impl FusedStream for Lines<'_> {
    fn is_terminated(&self) -> bool {
        self.state == LinesState::Ended
    }
}
