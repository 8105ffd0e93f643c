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
//! - [`Io`] makes [`Stream`]s, [`Listener`]s and [`File`]s; their methods are the engine's operations,
//!   under the same names.
//! - [`op`] makes a future of any callback operation, such as a chain.
//!
//! The [guide] teaches how to use them.

#![forbid(unsafe_code)]

pub mod guide;

mod background;
mod executor;
mod file;
mod io;
mod listener;
mod oneshot;
mod operation;
mod runtime;
mod stream;
mod sync;

pub use async_task::Task;
pub use facade_engine::{Error, IoOperation, Result, SystemError};

pub use crate::{
    background::{Background, Runtimes},
    file::File,
    io::Io,
    listener::{Incoming, Listener},
    operation::{OpFuture, Submit, op},
    runtime::Runtime,
    stream::{Lines, ReadHalf, Stream, WriteHalf},
};
