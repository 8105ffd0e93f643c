//! An asynchronous I/O engine by callbacks that loses nothing.
//!
//! Every call is asynchronous by nature: it returns at once and reports through a [`Callback`].
//! *How* it is done is the engine's business. An [`Engine`] owns the loop; its [`Handle`] is the
//! facade, whose methods are the operations, callable from any thread and from inside any callback.
//!
//! ```
//! use facade_engine::{Bytes, Callback, Engine, Handle, Stream};
//!
//! fn serve(engine: &Handle, stream: Stream) {
//!     let again = stream.clone();
//!     engine.read_line(&stream, Callback::new(
//!         move |engine, line: Bytes| {
//!             let stream = again.clone();
//!             let next = Callback::new(move |engine, _| serve(engine, stream), |_, _| ());
//!             engine.write_line(&again, line, next);
//!         },
//!         |_, error| println!("{error}"),
//!     ));
//! }
//!
//! let engine = Engine::new()?;
//! let listener = engine.listen("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! engine.accept(&listener, Callback::new(|engine, stream| serve(engine, stream), |_, _| ()));
//! engine.chain()
//!     .connect(address, Callback::ignore())
//!     .write_line("hello", Callback::ignore())
//!     .read_line(Callback::new(|_, line| assert_eq!(line, "hello"), |_, error| panic!("{error}")))
//!     .submit();
//! engine.run()?;
//! # Ok::<(), facade_engine::Error>(())
//! ```
//!
//! # What holds
//!
//! - Each callback runs exactly once, on the engine's thread, never inside the call that submits,
//!   with nothing locked: inside it everything is allowed but running the engine again.
//! - A [`Stream`] owns its unread bytes; they leave it only when a callback takes them. Cancel,
//!   timeout, a limit, the end of the stream before a match: every byte is there for the next read,
//!   in order. The same holds for a [`Listener`] and its connections.
//! - What a read yields depends on the bytes, never on how the network cut them up, and takes
//!   linear time.
//! - A write that does not succeed says exactly how many of its bytes the system took.
//! - A timeout bounds the operation as a whole; what has arrived is never a timeout.
//! - Everything that a peer can fill has a limit, see [`Limits`].
//!
//! With the cargo feature `sim`, which is for tests, an engine can live in a simulated network:
//! with time of its own, everything that goes wrong in networks, and the same run from the same
//! seed.
//!
//! Operations are documented at [`Handle`]; each says what it succeeds with, how it fails and what
//! holds after a cancel. The [guide] teaches how to use them. The crate `facade-futures` makes a
//! future of each.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod guide;

mod api;
mod core;
mod handles;
pub mod os;
mod pure;
mod system;

#[cfg(facade_mutants)]
#[doc(hidden)]
pub use crate::pure::mutants;
#[cfg(feature = "sim")]
#[cfg_attr(docsrs, doc(cfg(feature = "sim")))]
pub use crate::system::sim;

/// What adapters to other styles need, such as `facade-futures`, and programs do not: handlers that
/// are told one outcome after another, tasks as the engine sees them, and operations that have
/// their outcome at once.
///
/// [`Callback::handler`] takes a [`CompletionHandler`](adapter::CompletionHandler), and
/// [`Engine::run_until`] drives a future.
pub mod adapter {
    pub use crate::{
        api::ops::now::HandleExt,
        handles::{callback::CompletionHandler, task::LiveTask},
    };
}

/// What the callbacks of a [`Chain`] get.
pub mod chain {
    pub use crate::api::ops::chain::{Mode, ValueOnly, WithStream};
}

pub use bytes::Bytes;

pub use crate::{
    api::{
        builder::{Builder, DriverChoice},
        engine::{Engine, Turn},
        engines::Engines,
        ops::{chain::Chain, close::Closable},
    },
    core::pending::PendingOperation,
    handles::{
        callback::Callback,
        cancel::Cancel,
        child::Child,
        claim::Claim,
        file::File,
        handle::{Handle, KeepAlive},
        listener::Listener,
        local::Local,
        observer::SlowCallback,
        repeating::Pause,
        stream::{Detached, LineEnd, Stream},
        task::TaskPanic,
        udp_socket::UdpSocket,
    },
    pure::{
        address::{AddrInfo, Address, Family, Hints, IntoAddress, Service, SocketType},
        datagram::Datagram,
        error::{Error, IoOperation, Result, SystemError},
        limits::Limits,
        matcher::{self, Matcher},
        metrics::{LaneMetrics, Metrics, OperationMetrics},
        options::{
            ConnectOptions, CopyOptions, Keepalive, ListenOptions, PtySize, SocketOptions,
            UdpOptions,
        },
        pattern::{
            AnyMatch, IntoPatterns, LineGlob, LineMatch, LinePattern, Pattern, Patterns, Regex,
            RegexMatch,
        },
    },
};
