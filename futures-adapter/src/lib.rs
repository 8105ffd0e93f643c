//! Each operation of [`facade_engine`] as a future.
//!
//! There is one engine, and two styles of using it. This crate is the thin part between them: a
//! future submits its operation at its first poll, is woken by the callback, and cancels when it is
//! dropped. The callback gets a claim, so that whatever the operation took goes back unless the
//! future's owner really gets it. Hence all of these may lose a `select!` at any moment and lose
//! nothing by it.
//!
//! ```
//! use facade_futures::{Result, Runtime};
//!
//! let runtime = Runtime::new()?;
//! let io = runtime.io().clone();
//! runtime.block_on(async move {
//!     let mut listener = io.listen("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     let echo = io.spawn(async move {
//!         let mut stream = listener.accept().await?;
//!         let line = stream.read_line().await?;
//!         stream.write_line(line).await
//!     });
//!     let mut stream = io.connect(address).await?;
//!     stream.write_line("hello").await?;
//!     assert_eq!(stream.read_line().await?, "hello");
//!     echo.await?;
//!     Result::Ok(())
//! })?;
//! # Ok::<(), facade_futures::Error>(())
//! ```
//!
//! - [`Runtime`] runs engine and futures on one thread; [`Runtime::background`] runs the engine on
//!   a thread of its own, for futures under any other executor; [`Runtimes`] are a group of
//!   engines, one a thread, for servers on several cores.
//! - [`Io`] makes [`Stream`]s, [`Listener`]s, [`UdpSocket`]s and [`File`]s; their methods are the
//!   engine's operations, under the same names.
//! - [`op`] makes a future of any callback operation, such as a chain.
//!
//! One dependency is enough: what methods of this crate take and yield is here as well, and the
//! engine as a whole is [`engine`]. A client of a line protocol, and all that it needs:
//!
//! ```
//! use facade_futures::{Engine, LineGlob, Limits, Regex, Result, Runtime, Stream};
//! use std::time::Duration;
//!
//! async fn log_in(stream: &mut Stream) -> Result<String> {
//!     stream.expect_line(LineGlob::new("220 *")?).timeout(Duration::from_secs(30)).await?;
//!     stream.write_line("HELLO").await?;
//!     let found = stream.read_until_regex(Regex::new("session=([0-9]+)\n")?).await?;
//!     let session = found.group(1).expect("the pattern has a group");
//!     Ok(String::from_utf8_lossy(&session).into_owned())
//! }
//!
//! let limits = Limits { line: 4096, ..Limits::default() };
//! let runtime = Runtime::from(Engine::builder().limits(limits).build()?);
//! let io = runtime.io().clone();
//! let mut listener = io.listen("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! let server = io.spawn(async move {
//!     let (mut stream, _) = listener.accept_then_write("220 ready\n").await?;
//!     stream.expect_line("HELLO").await?;
//!     stream.write("session=42\n").await
//! });
//! let session = runtime.block_on(async {
//!     let mut stream = io.connect(address).await?;
//!     let session = log_in(&mut stream).await?;
//!     server.await?;
//!     Result::Ok(session)
//! })?;
//! assert_eq!(session, "42");
//! # Ok::<(), facade_futures::Error>(())
//! ```
//!
//! The [guide] teaches how to use them.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod guide;

mod background;
mod child;
mod executor;
mod file;
#[cfg(feature = "hyper")]
#[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
pub mod hyper;
#[cfg(all(feature = "tokio", unix))]
mod in_tokio;
mod io;
mod listener;
mod oneshot;
mod operation;
mod os;
mod runtime;
mod stream;
mod sync;
mod time;
mod udp_socket;

pub use async_task::Task;
/// The engine's crate, for raw callbacks, for chains, and for all that is not named here: its
/// [`Stream`](facade_engine::Stream), for one, is `engine::Stream`.
pub use facade_engine as engine;
pub use facade_engine::{
    AddrInfo, Address, AnyMatch, Builder, Bytes, Callback, Cancel, ConnectOptions, CopyOptions,
    Datagram, Detached, DriverChoice, Engine, Engines, Error, Family, Handle, Hints, IntoAddress,
    IntoPatterns, IoOperation, Keepalive, Limits, LineEnd, LineGlob, LineMatch, LinePattern,
    ListenOptions, Local, Matcher, Pattern, Patterns, PtySize, Regex, RegexMatch, Result, Service,
    SocketOptions, SocketType, SystemError, TaskPanic, UdpOptions, matcher,
};

pub use crate::{
    background::{Background, Runtimes},
    child::Child,
    file::File,
    io::Io,
    listener::{Incoming, Listener},
    operation::{OpFuture, Submit, op},
    runtime::Runtime,
    stream::{Lines, ReadHalf, Stream, WriteHalf},
    time::Interval,
    udp_socket::{Datagrams, UdpSocket},
};
