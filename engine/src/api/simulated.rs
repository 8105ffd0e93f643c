//! What the simulated network has to do with engines: running them together, and connections that
//! are made out of nothing.

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    api::engine::Engine,
    handles::{handle::Handle, stream::Stream},
    pure::error::{Error, IoOperation, Result},
    system::{
        descriptor::Tenure,
        fd_kind::FdKind,
        sim::{Host, Network, Peer, state::Owner},
    },
};

impl Network {
    /// Runs engines that live in this network until nothing is pending on any of them: turns of
    /// each, as long as one has something to do, and then time goes on for all.
    ///
    /// One engine alone is run as any other, by [`Engine::run`].
    ///
    /// # Errors
    ///
    /// As [`Engine::run`]; and [`Error::Io`] with [`Deadlock`](io::ErrorKind::Deadlock) if
    /// something is pending and nothing will ever happen.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, sim::Network};
    ///
    /// let network = Network::new(1);
    /// let (here, there) = (network.host("here"), network.host("there"));
    /// let client = Engine::builder().simulated(&here).build()?;
    /// let server = Engine::builder().simulated(&there).build()?;
    /// let listener = server.listen(there.at(7))?;
    /// server.accept_then_write(&listener, "hello\n", (Callback::ignore(), Callback::ignore()));
    /// client.connect_then_expect_line(there.at(7), "hello", (
    ///     Callback::ignore(),
    ///     Callback::new(|_, line| assert_eq!(line, "hello"), |_, error| panic!("{error}")),
    /// ));
    /// network.run(&[&client, &server])?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn run(&self, engines: &[&Engine]) -> Result<()> {
        loop {
            let mut pending = 0;
            let mut next = None;
            for engine in engines {
                let turn = engine.run_once(Some(Duration::ZERO))?;
                pending += turn.pending;
                if turn.pending > 0
                    && let Some(deadline) = engine.next_deadline()
                {
                    next = Some(next.map_or(deadline, |next: Instant| next.min(deadline)));
                }
            }
            if pending == 0 {
                return Ok(());
            }
            let mut state = self.lock();
            let deadline = next.map(|next| next.saturating_duration_since(state.start));
            let next = [deadline, state.next_event()].into_iter().flatten().min();
            match next {
                Some(next) => state.advance(next),
                None => {
                    let text = format!("{pending} operations are pending and nothing will happen");
                    let cause = io::Error::new(io::ErrorKind::Deadlock, text);
                    return Err(Error::io(IoOperation::Wait, cause));
                }
            }
        }
    }
}

impl Host {
    /// The host that an engine lives on, if it is simulated.
    ///
    /// ```
    /// use facade_engine::{Engine, sim::{Host, Network}};
    ///
    /// let host = Network::new(1).host("here");
    /// let engine = Engine::builder().simulated(&host).build()?;
    /// assert_eq!(Host::of(&engine).unwrap().ip(), host.ip());
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn of(engine: &Handle) -> Option<Self> {
        engine.shared().env.home().map(|home| home.host().clone())
    }
}

impl Peer {
    /// A connection as of a Unix socket pair: the peer, and the simulated engine's stream. The
    /// engine's host's link to itself lies between them, which is perfect unless it was set.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the engine is not simulated, [`Error::Io`] if its host has no
    /// descriptors left.
    ///
    /// See [`Peer`] for an example.
    pub fn pair(engine: &Handle) -> Result<(Self, Stream)> {
        Self::make_pair(engine, false)
    }

    /// The same as a TCP connection, which is reset by [`abort`](Handle::abort) and
    /// [`reset`](Self::reset).
    ///
    /// # Errors
    ///
    /// As [`pair`](Self::pair).
    pub fn tcp_pair(engine: &Handle) -> Result<(Self, Stream)> {
        Self::make_pair(engine, true)
    }

    fn make_pair(engine: &Handle, tcp: bool) -> Result<(Self, Stream)> {
        let Some(home) = engine.shared().env.home() else {
            return Err(Error::unsupported("only a simulated engine has simulated peers"));
        };
        let Host { network, number } = home.host().clone();
        let id = network.lock().open(number, Owner::Peer, tcp);
        let peer = Self::new(network, id.map_err(|cause| Error::io(IoOperation::Connect, cause))?);
        let descriptor = home.join(peer.id(), tcp)?;
        let fd_kind = FdKind::Socket { tcp };
        let stream = engine.adopt_stream(descriptor, fd_kind, Tenure::Own, Bytes::new())?;
        Ok((peer, stream))
    }
}
