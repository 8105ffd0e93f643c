//! What [hyper](https://docs.rs/hyper) 1.x asks of a runtime: streams, tasks and timers. Feature
//! `hyper`.
//!
//! hyper brings HTTP/1 and HTTP/2, for servers and clients, and no runtime. A [`Stream`](crate::Stream) is
//! one for hyper as it is, TLS over it with [`HyperIo`]. A server that answers every request, and a
//! client of it, on one engine:
//!
//! ```
//! use facade_futures::{Io, Result, Runtime};
//! use http_body_util::{BodyExt, Empty, Full};
//! use hyper::{Request, Response, body::Incoming, client, server, service::service_fn};
//! use std::convert::Infallible;
//!
//! type Error = Box<dyn std::error::Error + Send + Sync>;
//!
//! async fn hello(request: Request<Incoming>) -> std::result::Result<Response<Full<&'static [u8]>>, Infallible> {
//!     assert_eq!(request.uri().path(), "/greeting");
//!     Ok(Response::new(Full::new(b"hello")))
//! }
//!
//! async fn talk(io: Io) -> std::result::Result<(), Error> {
//!     let mut listener = io.listen("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     io.spawn(async move {
//!         let stream = listener.accept().await?;
//!         let serving = server::conn::http1::Builder::new();
//!         serving.serve_connection(stream, service_fn(hello)).await?;
//!         std::result::Result::<_, Error>::Ok(())
//!     })
//!     .detach();
//!     let stream = io.connect(address).await?;
//!     let (mut sender, connection) = client::conn::http1::handshake(stream).await?;
//!     let connection = io.spawn(connection);
//!     let request = Request::get("/greeting").header("host", "there").body(Empty::<&[u8]>::new())?;
//!     let response = sender.send_request(request).await?;
//!     assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
//!     drop(sender);
//!     connection.await?;
//!     Ok(())
//! }
//!
//! let runtime = Runtime::new()?;
//! runtime.block_on(talk(runtime.io().clone())).unwrap();
//! # Ok::<(), facade_futures::Error>(())
//! ```

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures::{AsyncBufRead, AsyncWrite};
use hyper::rt::{Executor, Read, ReadBufCursor, Sleep, Timer, Write};

use crate::io::Io;

/// A stream for hyper of anything that has the traits of the `futures` crate, such as TLS over a
/// [`Stream`](crate::Stream). That one has hyper's traits itself, and costs less without this.
///
/// Of what is not an [`AsyncBufRead`] a [`futures::io::BufReader`] makes one.
///
/// # Cancellation
///
/// Dropping a connection of hyper's drops the stream, and what hyper has read and not used with it.
/// [`into_inner`](Self::into_inner) gives the stream back, as hyper's `without_shutdown` and
/// upgrades do, with what they call the read buffer.
#[derive(Debug)]
pub struct HyperIo<T> {
    inner: T,
}

impl<T> HyperIo<T> {
    /// The stream for hyper.
    pub const fn new(inner: T) -> Self {
        Self { inner }
    }

    /// The stream itself.
    pub const fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The stream itself, given back.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncBufRead + Unpin> Read for HyperIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = Pin::new(&mut self.inner);
        let bytes = ready!(inner.as_mut().poll_fill_buf(context))?;
        let count = bytes.len().min(buf.remaining());
        buf.put_slice(&bytes[..count]);
        inner.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> Write for HyperIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(context)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bufs)
    }
}

/// Spawns what hyper has running beside a connection, the streams of HTTP/2 among it, as tasks of
/// an engine. One whose engine is gone is dropped unrun.
#[derive(Debug, Clone)]
pub struct HyperExecutor {
    io: Io,
}

impl HyperExecutor {
    /// Of this engine's tasks.
    pub const fn new(io: Io) -> Self {
        Self { io }
    }
}

impl<F> Executor<F> for HyperExecutor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.io.spawn(future).detach();
    }
}

/// Tells hyper's timeouts, for headers and keep-alive, when they are over: by the engine's clock,
/// which is the simulated one in a simulated network.
#[derive(Debug, Clone)]
pub struct HyperTimer {
    io: Io,
}

impl HyperTimer {
    /// Of this engine's clock.
    pub const fn new(io: Io) -> Self {
        Self { io }
    }
}

impl Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        let io = self.io.clone();
        // So it is if the engine goes: then nothing that is timed goes on either.
        let over = async move { drop(io.sleep(duration).await) };
        Box::pin(HyperSleep(Mutex::new(Box::pin(over))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.now()))
    }

    fn now(&self) -> Instant {
        self.io.handle().now()
    }
}

/// A sleep that is `Sync`, as hyper wants it: only who has it to himself polls it.
struct HyperSleep(Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Future for HyperSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(context)
    }
}

impl Sleep for HyperSleep {}

impl fmt::Debug for HyperSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperSleep").finish_non_exhaustive()
    }
}
