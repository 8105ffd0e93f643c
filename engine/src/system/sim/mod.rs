//! A simulated network, for tests of what is built on the engine.
//!
//! The same engine, the same callbacks or futures, and your own protocol code, on a network of
//! which the test decides everything: how long bytes are under way and in which pieces they come,
//! which connects are refused or never answered, when a connection is reset, which names are found
//! and how late, when the descriptors run out. Time is the network's own and takes none: an hour's
//! timeout is over at once. Everything follows from one seed, so what failed once fails again.
//!
//! The module is there with the cargo feature `sim`, which is for tests: a dependency in
//! `[dev-dependencies]` with `features = ["sim"]`.
//!
//! # An engine in a network
//!
//! A [`Network`] has hosts, and an engine lives on one of them. It connects from there, and may
//! listen at the addresses of the others as well, so one engine can be client and server:
//!
//! ```
//! use facade_engine::{Bytes, Callback, Engine, sim::{Link, Network}};
//! use std::time::Duration;
//!
//! let network = Network::new(7);
//! let (client, server) = (network.host("client"), network.host("server.example"));
//! let latency = Duration::from_millis(20)..Duration::from_millis(200);
//! network.set_link(&client, &server, Link { latency, split: 0.5, ..Link::default() });
//!
//! let engine = Engine::builder().simulated(&client).build()?;
//! let listener = engine.listen(server.at(7))?;
//! engine.accept_then_write(&listener, "hello\r\n", (Callback::ignore(), Callback::ignore()));
//! engine.chain()
//!     .resolve("server.example", 7, Callback::ignore())
//!     .connect_resolved(Callback::ignore())
//!     .read_line(Callback::new(|_, line: Bytes| assert_eq!(line, "hello"), |_, e| panic!("{e}")))
//!     .submit();
//! engine.run()?;
//! assert!(network.now() > Duration::from_millis(60), "three latencies at least");
//! # Ok::<(), facade_engine::Error>(())
//! ```
//!
//! [`Engine::run`](crate::Engine::run) lets time go on whenever there is nothing else to do.
//! Several engines in one network are run together by [`Network::run`].
//!
//! # The same with futures
//!
//! A `facade_futures::Runtime` is made of any engine, and `block_on`, tasks and streams are as
//! ever:
//!
//! ```ignore
//! let runtime = Runtime::from(Engine::builder().simulated(&client).build()?);
//! let io = runtime.io().clone();
//! runtime.block_on(async {
//!     let mut listener = io.listen(server.at(7))?;
//!     let serve = listener.accept_then_write("hello\r\n");
//!     let talk = io.connect_then_expect_line(server.at(7), "hello");
//!     futures::try_join!(serve, talk)
//! })?;
//! ```
//!
//! # A peer that follows a script
//!
//! Where the other side is not code but a script, a [`Peer`] is it: it is read and written by the
//! test as std's sockets are, between two runs of the engine. [`Peer::pair`] makes a connection out
//! of nothing, [`Host::listen`] and [`Host::connect`] make one as they are made. What a peer can do
//! that your own server never will: stop in the middle of a line, reset, not read
//! ([`Peer::fill`]). Of datagrams it is a [`PeerSocket`].
//!
//! # Signals
//!
//! [`signal`](crate::Handle::signal) waits for those that the test raises on the engine's host, see
//! [`Host::raise`]: so how a server ends in good order is tested in virtual time.
//!
//! # A thousand seeds
//!
//! One network finds what you thought of; [`check`] finds the rest. It makes a network of each seed
//! and runs your test on it. [`Link::bad`] and [`Machine::bad`] draw what is wrong with it, some
//! things in one seed, others in the next:
//!
//! ```
//! use facade_engine::{Callback, Engine, Error, Result, Stream, sim::{self, Link, Machine}};
//! use std::{io::Write, time::Duration};
//!
//! sim::check(0..200, |network| {
//!     let mut rng = network.rng();
//!     network.set_links(Link::bad(&mut rng));
//!     let (client, server) = (network.host("client"), network.host("server"));
//!     client.set_machine(Machine::bad(&mut rng));
//!     let listener = server.listen(7).unwrap();
//!     let engine = Engine::builder().simulated(&client).build().unwrap();
//!     // What must hold in every network: somebody is told, and nothing is left open.
//!     let minute = Duration::from_secs(60);
//!     let outcome = Callback::from_fn(|_, outcome: Result<Stream>| match outcome {
//!         Ok(_) | Err(Error::Io { .. } | Error::TimedOut) => {}
//!         Err(error) => panic!("{error}"),
//!     });
//!     engine.connect(server.at(7), outcome.timeout(minute));
//!     engine.run().unwrap();
//!     assert_eq!(client.descriptors(), 0);
//! });
//! ```
//!
//! If one panics, `check` says which seed it was and tells once more, in words, what happened in
//! the network. With that seed in the environment variable `FACADE_SEED` the test runs it alone,
//! and with a number in `FACADE_SEEDS` it tries so many:
//!
//! ```text
//! seed 250 fails; FACADE_SEED=250 replays it. Once more, in words:
//!     1100.647 ms client connects to 10.0.0.2:7
//!     1456.875 ms client (10.0.0.1:49152 to 10.0.0.2:7): connected
//!     ...
//! ```
//!
//! What your test draws by itself comes from [`Network::rng`]. What is not from the seed cannot be
//! repeated: the system's clock, threads, the order of std's hash maps. `check` notices.
//!
//! A session of a few lines takes a tenth of a millisecond, so a thousand seeds are a test like any
//! other. The repository's example `sim` takes a mail client through them, in both styles.
//!
//! # What is not simulated
//!
//! - Files are this machine's, read and written at once. Pipes, terminals and sockets of this
//!   machine are [`Unsupported`](crate::Error::Unsupported). There are no descriptors: what `AsFd`
//!   lends and `detach` gives is the null device. So socket options cannot be looked at, a
//!   simulated engine does not run inside another loop, and nobody goes on with what was detached:
//!   its peer sees the end.
//! - Processes are [`Unsupported`](crate::Error::Unsupported). std's `Command` does not tell which
//!   pipes it was asked for, so that a simulated start could not know what streams there are; and a
//!   program that is a script is a [`Peer`]: what talks to a child is a function of its streams,
//!   and [`Peer::pair`] makes such a stream.
//! - [`submit_work`](crate::Handle::submit_work) runs on the engine's own thread, after a time that
//!   is drawn; a closure that waits for another thread waits for ever.
//! - A wait for what will never happen fails with
//!   [`Deadlock`](std::io::ErrorKind::Deadlock) where a real one would hang, unless
//!   [`Network::set_threads`] says that another thread may still do something.
//! - Bytes are never lost, doubled or swapped within a connection: that is what TCP is for. Datagrams
//!   are, as [`Link`] says; those of Unix sockets are [`Unsupported`](crate::Error::Unsupported).

mod check;
mod env;
mod network;
mod peer;
mod rng;
mod settings;
mod trace;

pub(crate) mod bell;
pub(crate) mod socket;
pub(crate) mod state;
pub(crate) mod workers;

pub use self::{
    check::check,
    network::{Host, Network},
    peer::{Peer, PeerListener, PeerSocket},
    rng::Rng,
    settings::{Link, Machine},
};
pub(crate) use self::{env::SimEnv, state::Registration};
