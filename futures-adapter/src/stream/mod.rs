//! [`Stream`]: its identity, its settings, and how it ends. What is read and what is written are in
//! files of their own, and so are the traits of the `futures` crate.

mod copy;
#[cfg(feature = "hyper")]
mod hyper;
mod lines;
mod read;
#[cfg(feature = "tokio")]
mod tokio;
mod traits;
mod write;

use std::net::SocketAddr;

use facade_engine::{
    Address, Detached, Keepalive, Limits, LineEnd, Result, Stream as EngineStream,
};
#[cfg(doc)]
use {
    facade_engine::Bytes,
    futures::{AsyncBufRead, AsyncRead, AsyncWrite, Sink},
};

use crate::operation::{OpFuture, Submit, op};
pub use crate::stream::{lines::Lines, read::ReadHalf, write::WriteHalf};

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

    /// See [`Stream::set_nodelay`](EngineStream::set_nodelay).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<()> {
        self.engine_stream().set_nodelay(nodelay)
    }

    /// See [`Stream::set_keepalive`](EngineStream::set_keepalive).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> Result<()> {
        self.engine_stream().set_keepalive(keepalive)
    }

    /// See [`Stream::set_tos`](EngineStream::set_tos).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_tos(&self, tos: u8) -> Result<()> {
        self.engine_stream().set_tos(tos)
    }

    /// See [`Stream::set_send_buffer_size`](EngineStream::set_send_buffer_size).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_send_buffer_size(&self, bytes: u32) -> Result<()> {
        self.engine_stream().set_send_buffer_size(bytes)
    }

    /// See [`Stream::set_recv_buffer_size`](EngineStream::set_recv_buffer_size).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_recv_buffer_size(&self, bytes: u32) -> Result<()> {
        self.engine_stream().set_recv_buffer_size(bytes)
    }

    /// See [`Handle::set_limits`](facade_engine::Handle::set_limits).
    pub fn set_limits(&mut self, limits: Limits) {
        self.engine_stream().handle().set_limits(self.engine_stream(), limits);
    }

    /// See [`Handle::set_line_end`](facade_engine::Handle::set_line_end).
    pub fn set_line_end(&mut self, line_end: LineEnd) {
        self.engine_stream().handle().set_line_end(self.engine_stream(), line_end);
    }

    /// See [`Handle::peer_gone`](facade_engine::Handle::peer_gone). It does not borrow the stream, so
    /// that it can be waited for beside what is done for the peer.
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use futures::future::{Either, select};
    /// use std::{io::Write, os::unix::net::UnixStream, pin::pin, time::Duration};
    ///
    /// let runtime = Runtime::new()?;
    /// let (mut client, ours) = UnixStream::pair().unwrap();
    /// let mut stream = runtime.io().attach(ours)?;
    /// client.write_all(b"calculate pi\n").unwrap();
    /// runtime.block_on(async {
    ///     let work = runtime.io().sleep(Duration::MAX);
    ///     let gone = stream.peer_gone();
    ///     assert_eq!(stream.read_line().await?, "calculate pi");
    ///     drop(client);
    ///     let Either::Right((Ok(()), _)) = select(work, pin!(gone)).await else { panic!() };
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn peer_gone(&self) -> OpFuture<(), impl Submit<()> + use<>> {
        let stream = self.engine_stream().clone();
        op(move |callback| stream.handle().peer_gone(&stream, callback))
    }

    /// See [`Handle::close`](facade_engine::Handle::close).
    pub fn close(&mut self) -> OpFuture<(), impl Submit<()>> {
        // A flush that follows has to ask the engine, and so reports that the stream is closed.
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

impl From<EngineStream> for Stream {
    fn from(engine: EngineStream) -> Self {
        let write = WriteHalf { engine: engine.clone(), polled: None };
        Self { read: ReadHalf { engine, polled: None }, write }
    }
}
