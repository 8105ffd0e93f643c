//! What is read from a [`Stream`] and from its [`ReadHalf`].

use facade_engine::{
    AnyMatch, Bytes, IntoPatterns, LineGlob, LineMatch, LinePattern, Matcher, Regex, RegexMatch,
    Stream as EngineStream,
};

use crate::{
    operation::{OpFuture, ReadChunk, ReadExact, ReadLine, ReadUntil, ReadWith, Submit, op},
    stream::{
        Stream,
        lines::{Lines, LinesState},
        traits::Look,
    },
};

/// The incoming direction of a [`Stream`]: from [`Stream::split`] or [`Stream::into_split`], where
/// there are examples.
#[derive(Debug)]
pub struct ReadHalf {
    pub(super) engine: EngineStream,
    /// Only streams that are read by the poll methods need it.
    pub(super) polled: Option<Box<Look>>,
}

impl Stream {
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
        patterns: impl IntoPatterns,
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
}

impl ReadHalf {
    /// The engine's stream, for raw callbacks.
    pub const fn engine_stream(&self) -> &EngineStream {
        &self.engine
    }

    /// The engine's stream for an operation that reads: what `poll_fill_buf` has shown may change.
    pub(super) fn engine(&mut self) -> &EngineStream {
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
        op(ReadUntil(self.engine(), delimiter))
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
        patterns: impl IntoPatterns,
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
        op(ReadWith(self.engine(), matcher))
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
