//! [`UdpSocket`]: what datagrams are received from and sent by, as futures.

use std::{
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll, ready},
};

use facade_engine::{
    Address, Bytes, Datagram, Error, IntoAddress, Result, UdpSocket as EngineUdpSocket,
};
use futures::stream::FusedStream;

use crate::operation::{OpFuture, Submit, Submitted, op};

/// A socket of datagrams: of UDP, or a Unix socket of that kind.
///
/// Each method is the engine's operation of the same name, see
/// [`Handle`](facade_engine::Handle). Datagrams are whole, and have no order that must be kept, so
/// methods borrow the socket shared: one task receives while another sends, by clones or not. A
/// receive that is dropped loses nothing: what it had taken stands where it stood.
///
/// ```
/// use facade_futures::{Result, Runtime, UdpSocket};
/// use futures::future::{Either, select};
/// use std::pin::pin;
///
/// async fn serve(socket: UdpSocket) -> Result<()> {
///     loop {
///         let datagram = socket.recv_from().await?;
///         socket.send_to(datagram.bytes, datagram.from).await?;
///     }
/// }
///
/// let runtime = Runtime::new()?;
/// let io = runtime.io().clone();
/// runtime.block_on(async {
///     let server = io.bind_udp("127.0.0.1:0")?;
///     let client = io.connect_udp(server.local_addr()?)?;
///     let talk = async {
///         client.send("hello").await?;
///         client.recv().await
///     };
///     let Either::Right((answer, _)) = select(pin!(serve(server)), pin!(talk)).await else {
///         panic!("it serves for ever")
///     };
///     assert_eq!(answer?.bytes, "hello");
///     Result::Ok(())
/// })?;
/// # Ok::<(), facade_futures::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UdpSocket {
    engine: EngineUdpSocket,
}

impl UdpSocket {
    /// The engine's socket, for raw callbacks.
    ///
    /// ```
    /// use facade_futures::{Callback, Runtime};
    ///
    /// let runtime = Runtime::new()?;
    /// let socket = runtime.io().bind_udp("127.0.0.1:0")?;
    /// let handle = runtime.io().handle();
    /// handle.send_to(socket.engine_socket(), "hello", "127.0.0.1:9", Callback::ignore());
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub const fn engine_socket(&self) -> &EngineUdpSocket {
        &self.engine
    }

    /// The address that it receives at.
    ///
    /// # Errors
    ///
    /// As [`EngineUdpSocket::local_addr`].
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.engine.local_addr()
    }

    /// What it receives at, of whatever family.
    ///
    /// # Errors
    ///
    /// As [`EngineUdpSocket::local_name`].
    pub fn local_name(&self) -> Result<Address> {
        self.engine.local_name()
    }

    /// The address that it is connected to.
    ///
    /// # Errors
    ///
    /// As [`EngineUdpSocket::peer_addr`].
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        self.engine.peer_addr()
    }

    /// What it is connected to, of whatever family.
    ///
    /// # Errors
    ///
    /// As [`EngineUdpSocket::peer_name`].
    pub fn peer_name(&self) -> Result<Address> {
        self.engine.peer_name()
    }

    /// See [`Handle::recv_from`](facade_engine::Handle::recv_from).
    ///
    /// ```
    /// use facade_futures::{Error, Result, Runtime};
    /// use std::time::Duration;
    ///
    /// let runtime = Runtime::new()?;
    /// let socket = runtime.io().bind_udp("127.0.0.1:0")?;
    /// runtime.block_on(async {
    ///     let outcome = socket.recv_from().timeout(Duration::from_millis(1)).await;
    ///     assert!(matches!(outcome, Err(Error::TimedOut)));
    ///     socket.send_to("to myself", socket.local_addr()?).await?;
    ///     assert_eq!(socket.recv_from().await?.bytes, "to myself");
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn recv_from(&self) -> OpFuture<Datagram, impl Submit<Datagram>> {
        op(move |callback| self.engine.handle().recv_from(&self.engine, callback))
    }

    /// See [`Handle::recv`](facade_engine::Handle::recv).
    pub fn recv(&self) -> OpFuture<Datagram, impl Submit<Datagram>> {
        self.recv_from()
    }

    /// See [`Handle::send_to`](facade_engine::Handle::send_to).
    pub fn send_to(
        &self,
        bytes: impl Into<Bytes>,
        addr: impl IntoAddress,
    ) -> OpFuture<usize, impl Submit<usize>> {
        op(move |callback| self.engine.handle().send_to(&self.engine, bytes, addr, callback))
    }

    /// See [`Handle::send`](facade_engine::Handle::send).
    pub fn send(&self, bytes: impl Into<Bytes>) -> OpFuture<usize, impl Submit<usize>> {
        op(move |callback| self.engine.handle().send(&self.engine, bytes, callback))
    }

    /// The datagrams as a [`futures::Stream`], which ends only after it has said that the socket or
    /// the engine is gone: other errors are told, and it goes on.
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use futures::StreamExt;
    ///
    /// let runtime = Runtime::new()?;
    /// let socket = runtime.io().bind_udp("127.0.0.1:0")?;
    /// runtime.block_on(async {
    ///     for text in ["one", "two"] {
    ///         socket.send_to(text, socket.local_addr()?).await?;
    ///     }
    ///     let came: Vec<_> = socket.datagrams().take(2).collect().await;
    ///     assert_eq!(came.into_iter().collect::<Result<Vec<_>>>()?[1].bytes, "two");
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub const fn datagrams(&self) -> Datagrams<'_> {
        Datagrams { socket: self, receive: None, ended: false }
    }

    /// See [`UdpSocket::set_receive_size`](EngineUdpSocket::set_receive_size).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_receive_size(&self, size: usize) -> Result<()> {
        self.engine.set_receive_size(size)
    }

    /// See [`UdpSocket::set_exclusive`](EngineUdpSocket::set_exclusive).
    pub fn set_exclusive(&self, exclusive: bool) {
        self.engine.set_exclusive(exclusive);
    }

    /// See [`UdpSocket::join_multicast`](EngineUdpSocket::join_multicast).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn join_multicast(&self, group: IpAddr, interface: u32) -> Result<()> {
        self.engine.join_multicast(group, interface)
    }

    /// See [`UdpSocket::leave_multicast`](EngineUdpSocket::leave_multicast).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn leave_multicast(&self, group: IpAddr, interface: u32) -> Result<()> {
        self.engine.leave_multicast(group, interface)
    }

    /// See [`Handle::close`](facade_engine::Handle::close).
    pub fn close(&self) -> OpFuture<(), impl Submit<()>> {
        op(move |callback| self.engine.handle().close(&self.engine, callback))
    }
}

impl From<EngineUdpSocket> for UdpSocket {
    fn from(engine: EngineUdpSocket) -> Self {
        Self { engine }
    }
}

/// A socket's datagrams; from [`UdpSocket::datagrams`], where there is an example. Dropping it
/// loses none.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Datagrams<'a> {
    socket: &'a UdpSocket,
    receive: Option<Submitted<Datagram>>,
    ended: bool,
}

impl futures::Stream for Datagrams<'_> {
    type Item = Result<Datagram>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let socket = &this.socket.engine;
        let outcome = ready!(Submitted::poll_or_submit(&mut this.receive, context, |callback| {
            socket.handle().recv_from(socket, callback)
        }));
        this.ended = matches!(outcome, Err(Error::Closed | Error::EngineClosed | Error::Forked));
        Poll::Ready(Some(outcome))
    }
}

/// After its last item it yields none, however often it is polled.
impl FusedStream for Datagrams<'_> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}
