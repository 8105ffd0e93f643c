//! [`Listener`]: what connections are accepted from.

use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use facade_engine::{
    Address, Bytes, Callback, Error, LinePattern, Listener as EngineListener, Regex, RegexMatch,
    Result, Stream as EngineStream,
};
use futures::stream::FusedStream;

use crate::{
    io::{of_engine, submit_chain},
    operation::{OpFuture, Submit, Submitted, op},
    stream::Stream,
};

/// A TCP or Unix socket that listens.
///
/// Accepting borrows it mutably, so that one accept is pending at a time: a connection that a
/// dropped future had taken is the next one's.
///
/// ```
/// use facade_futures::{Io, Listener, Result, Runtime};
///
/// async fn serve(io: &Io, mut listener: Listener) -> Result<()> {
///     loop {
///         let mut stream = listener.accept().await?;
///         io.spawn(async move { stream.write_line("hello").await }).detach();
///     }
/// }
///
/// let runtime = Runtime::new()?;
/// let io = runtime.io().clone();
/// let listener = io.listen("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let server = runtime.spawn(async move { serve(&io, listener).await });
/// let mut client = runtime.block_on(runtime.io().connect(address))?;
/// assert_eq!(runtime.block_on(client.read_line())?, "hello");
/// drop(server); // cancels it
/// # Ok::<(), facade_futures::Error>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    engine: EngineListener,
}

impl Listener {
    /// The engine's listener, for raw callbacks.
    ///
    /// ```
    /// use facade_futures::Callback;
    /// use facade_futures::Runtime;
    ///
    /// let runtime = Runtime::new()?;
    /// let listener = runtime.io().listen("127.0.0.1:0")?;
    /// let client = runtime.io().connect(listener.local_addr()?);
    /// runtime.io().handle().accept(listener.engine_listener(), Callback::ignore());
    /// runtime.block_on(client)?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub const fn engine_listener(&self) -> &EngineListener {
        &self.engine
    }

    /// The address that it listens at.
    ///
    /// # Errors
    ///
    /// As [`EngineListener::local_addr`].
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.engine.local_addr()
    }

    /// What it listens at, of whatever family.
    ///
    /// # Errors
    ///
    /// As [`EngineListener::local_name`].
    pub fn local_name(&self) -> Result<Address> {
        self.engine.local_name()
    }

    /// See [`Handle::accept`](facade_engine::Handle::accept).
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use std::{net::TcpStream, time::Duration};
    ///
    /// let runtime = Runtime::new()?;
    /// let mut listener = runtime.io().listen("127.0.0.1:0")?;
    /// let client = TcpStream::connect(listener.local_addr()?).unwrap();
    /// let stream = runtime.block_on(listener.accept().timeout(Duration::from_secs(10)))?;
    /// assert_eq!(stream.peer_addr()?, client.local_addr().unwrap());
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn accept(&mut self) -> OpFuture<EngineStream, impl Submit<EngineStream>, Stream> {
        let listener = &self.engine;
        OpFuture::new(move |callback| listener.handle().accept(listener, callback))
    }

    /// See [`Handle::accept_then_write`](facade_engine::Handle::accept_then_write). Yields the
    /// stream and how much was written; a failed accept is [`Error::Stage`]. The timeout covers
    /// accept and write.
    pub fn accept_then_write(
        &mut self,
        buf: impl Into<Bytes>,
    ) -> OpFuture<(Stream, usize), impl Submit<(Stream, usize)>> {
        let listener = &self.engine;
        op(move |callback| {
            submit_chain(callback, |callback| {
                let chain = listener.handle().chain().accept(listener, Callback::ignore());
                chain.with_stream().write(buf, of_engine(callback))
            })
        })
    }

    /// See [`Handle::accept_then_expect_line`](facade_engine::Handle::accept_then_expect_line).
    /// Yields the stream and the line; a failed accept is [`Error::Stage`]. The timeout covers
    /// accept and line: a client that connects and says nothing cannot hold it up, nor can there
    /// being none.
    pub fn accept_then_expect_line(
        &mut self,
        line: impl Into<LinePattern>,
    ) -> OpFuture<(Stream, Bytes), impl Submit<(Stream, Bytes)>> {
        let listener = &self.engine;
        op(move |callback| {
            submit_chain(callback, |callback| {
                let chain = listener.handle().chain().accept(listener, Callback::ignore());
                chain.with_stream().expect_line(line, of_engine(callback))
            })
        })
    }

    /// See [`Handle::accept_then_expect_multiline_regex`].
    ///
    /// [`Handle::accept_then_expect_multiline_regex`]:
    ///     facade_engine::Handle::accept_then_expect_multiline_regex
    ///
    /// The timeout covers accept and match.
    pub fn accept_then_expect_multiline_regex(
        &mut self,
        regex: Regex,
    ) -> OpFuture<(Stream, RegexMatch), impl Submit<(Stream, RegexMatch)>> {
        let listener = &self.engine;
        op(move |callback| {
            submit_chain(of_engine(callback), |callback| {
                let chain = listener.handle().chain().accept(listener, Callback::ignore());
                chain.expect_multiline_regex(regex, callback)
            })
        })
    }

    /// The connections as a [`futures::Stream`], which ends only after it has said that the
    /// listener or the engine is gone.
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use futures::StreamExt;
    ///
    /// let runtime = Runtime::new()?;
    /// let io = runtime.io().clone();
    /// runtime.block_on(async {
    ///     let mut listener = io.listen("127.0.0.1:0")?;
    ///     let address = listener.local_addr()?;
    ///     let mut clients = (io.connect(address).await?, io.connect(address).await?);
    ///     let served: Vec<_> = listener.incoming().take(2).collect().await;
    ///     assert_eq!(served.len(), 2);
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn incoming(&mut self) -> Incoming<'_> {
        Incoming { listener: self, accept: None, ended: false }
    }

    /// See [`Listener::set_exclusive`](EngineListener::set_exclusive).
    pub fn set_exclusive(&mut self, exclusive: bool) {
        self.engine.set_exclusive(exclusive);
    }

    /// See [`Handle::close`](facade_engine::Handle::close).
    pub fn close(&mut self) -> OpFuture<(), impl Submit<()>> {
        let listener = &self.engine;
        op(move |callback| listener.handle().close(listener, callback))
    }
}

impl From<EngineListener> for Listener {
    fn from(engine: EngineListener) -> Self {
        Self { engine }
    }
}

/// A listener's connections; from [`Listener::incoming`], where there is an example. Dropping it
/// loses none.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Incoming<'a> {
    listener: &'a mut Listener,
    accept: Option<Submitted<EngineStream>>,
    ended: bool,
}

impl futures::Stream for Incoming<'_> {
    type Item = Result<Stream>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let listener = &this.listener.engine;
        let outcome = ready!(Submitted::poll_or_submit(&mut this.accept, context, |callback| {
            listener.handle().accept(listener, callback)
        }));
        this.ended = matches!(outcome, Err(Error::Closed | Error::EngineClosed | Error::Forked));
        Poll::Ready(Some(outcome.map(Stream::from)))
    }
}

/// After its last item it yields none, however often it is polled.
impl FusedStream for Incoming<'_> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}
