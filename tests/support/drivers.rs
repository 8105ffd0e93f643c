//! The drivers that every test of the suite runs on, a module each with the same items: engines,
//! and what is at the other ends.

/// The driver that `FACADE_DRIVER` asks for, which wins over what a builder says: then both halves
/// of the suite run on that one.
fn forced() -> Option<String> {
    std::env::var("FACADE_DRIVER").ok()
}

/// The completion driver of Linux.
///
/// Where it cannot be had, its tests fail. With `SKIP_IO_URING=1` they run on the readiness driver
/// instead, and say so.
#[cfg(target_os = "linux")]
pub mod io_uring {
    use std::{
        env,
        io::{Write, stderr},
        sync::Once,
    };

    use facade_engine::{Builder, DriverChoice, Engine};

    pub use crate::{
        sockets::*,
        turns::{now, pass},
    };

    /// What the driver of its engines is called: this one, unless the environment says otherwise.
    pub fn name() -> String {
        match env::var_os("SKIP_IO_URING") {
            Some(_) => super::mio::name(),
            None => super::forced().unwrap_or_else(|| "io_uring".to_owned()),
        }
    }

    /// An engine on this driver with default limits.
    pub fn engine() -> Engine {
        builder().build().expect("io_uring can be had; SKIP_IO_URING=1 leaves its tests out")
    }

    /// A builder of engines on this driver.
    pub fn builder() -> Builder {
        static SAID: Once = Once::new();
        if env::var_os("SKIP_IO_URING").is_none() {
            return Engine::builder().driver(DriverChoice::IoUring);
        }
        SAID.call_once(|| {
            // Not by a macro, whose output the harness keeps to itself.
            stderr().write_all(b"SKIPPED: the tests of io_uring run on mio\n").unwrap();
        });
        Engine::builder().driver(DriverChoice::Mio)
    }
}

/// The completion driver of Windows.
#[cfg(windows)]
pub mod iocp {
    use facade_engine::{Builder, DriverChoice, Engine};

    pub use crate::{
        sockets::*,
        turns::{now, pass},
    };

    /// What the driver of its engines is called: this one, unless the environment says otherwise.
    pub fn name() -> String {
        super::forced().unwrap_or_else(|| "iocp".to_owned())
    }

    /// An engine on this driver with default limits.
    pub fn engine() -> Engine {
        builder().build().expect("the completion port is always there")
    }

    /// A builder of engines on this driver.
    pub fn builder() -> Builder {
        Engine::builder().driver(DriverChoice::Iocp)
    }
}

/// The readiness driver.
pub mod mio {
    use facade_engine::{Builder, DriverChoice, Engine};

    pub use crate::{
        sockets::*,
        turns::{now, pass},
    };

    /// What the driver of its engines is called: this one, unless the environment says otherwise.
    pub fn name() -> String {
        super::forced().unwrap_or_else(|| "mio".to_owned())
    }

    /// An engine on this driver with default limits.
    pub fn engine() -> Engine {
        builder().build().expect("the mio driver is always there")
    }

    /// A builder of engines on this driver.
    pub fn builder() -> Builder {
        Engine::builder().driver(DriverChoice::Mio)
    }
}

/// The simulated driver, on a perfect network: each test's thread has one, with a host for all its
/// engines and peers. Other threads are waited for, and time is the network's.
pub mod sim {
    use std::{
        any::Any,
        io,
        net::SocketAddr,
        path::PathBuf,
        time::{Duration, Instant},
    };

    use facade_engine::{
        Builder, Callback, Engine, Handle, Listener, Stream,
        sim::{
            Host, Link, Machine, Network, Peer as SimPeer, PeerListener as SimListener, PeerSocket,
        },
    };

    use crate::sockets::Sign;

    /// What the driver of its engines is called.
    pub fn name() -> String {
        NAME.to_owned()
    }

    pub(crate) const NAME: &str = "sim";

    /// The other end of a pair.
    pub type Peer = SimPeer;
    /// Whether a pair is a connection of TCP: it is as of Unix sockets here.
    pub const PAIRS_ARE_TCP: bool = false;
    /// The other end of a TCP connection.
    pub type TcpPeer = SimPeer;
    /// Whoever listens for the engine's connects.
    pub type PeerListener = SimListener;
    /// Whoever sends datagrams to the engine, and receives them.
    pub type UdpPeer = PeerSocket;

    thread_local! {
        static HOST: Host = {
            let network = Network::new(1);
            network.set_threads(true);
            network.host("here")
        };
    }

    /// The host of this thread's engines and peers.
    pub fn host() -> Host {
        HOST.with(Host::clone)
    }

    /// An engine on this driver with default limits.
    pub fn engine() -> Engine {
        builder().build().expect("the simulated driver is always there")
    }

    /// A builder of engines on this driver.
    pub fn builder() -> Builder {
        Engine::builder().simulated(&host())
    }

    /// As of a Unix socket pair: the peer's end, and the engine's.
    pub fn pair(engine: &Handle) -> (Peer, Stream) {
        SimPeer::pair(engine).unwrap()
    }

    /// A pair that takes much at once, in both directions.
    pub fn wide_pair(engine: &Handle) -> (Peer, Stream) {
        let host = host();
        host.network().set_link(&host, &host, Link { buffer: 1 << 20, ..Link::default() });
        let pair = pair(engine);
        host.network().set_link(&host, &host, Link::default());
        pair
    }

    /// As of a TCP connection: the peer's end, and the engine's.
    pub fn tcp_pair(engine: &Handle) -> (TcpPeer, Stream) {
        SimPeer::tcp_pair(engine).unwrap()
    }

    /// A pair whose way to the peer is full, and how many bytes fill it.
    pub fn full_pair(engine: &Handle) -> (Peer, Stream, usize) {
        let (peer, stream) = pair(engine);
        let stuffed = peer.fill();
        (peer, stream, stuffed)
    }

    /// Fills the way to the peer, so that the engine's next write finds no room.
    pub fn fill(peer: &TcpPeer, _: &Stream) {
        peer.fill();
    }

    /// Listens at a path for an engine's connects. The listener goes with what is returned first;
    /// nobody accepts.
    pub fn bind_unix() -> (impl Any, PathBuf) {
        let path = PathBuf::from("/run/socket");
        host().unlink(&path);
        (host().listen_unix(&path).unwrap(), path)
    }

    /// Somebody who listens at a path and whose backlog is full.
    #[derive(Debug)]
    pub struct FullUnix(#[expect(dead_code, reason = "listens as long as it lives")] SimListener);

    impl FullUnix {
        /// Lets in everybody who waits.
        pub fn make_room(&mut self) {
            host().set_machine(Machine::default());
        }
    }

    /// The same, but nobody can connect: the backlog is full.
    pub fn bind_full_unix() -> (FullUnix, PathBuf) {
        host().set_machine(Machine { backlog: 0, ..Machine::default() });
        let path = PathBuf::from("/run/full");
        host().unlink(&path);
        (FullUnix(host().listen_unix(&path).unwrap()), path)
    }

    /// Submits work that does not end before the engine does.
    pub fn stuck_work(engine: &Handle, cb: Callback<()>) -> impl Any {
        let hour = Duration::from_secs(3600);
        host().set_machine(Machine { work: hour..hour, ..Machine::default() });
        engine.submit_work(|| (), cb);
    }

    /// How many sockets of engines are open.
    pub fn descriptors() -> usize {
        host().descriptors()
    }

    /// Connects to an engine.
    ///
    /// # Errors
    ///
    /// If nobody listens.
    pub fn connect(address: SocketAddr) -> io::Result<TcpPeer> {
        host().connect(address)
    }

    /// Listens for an engine's connects.
    pub fn bind() -> PeerListener {
        host().listen_at("127.0.0.1:0".parse().unwrap()).unwrap()
    }

    /// A socket of datagrams at an address.
    ///
    /// # Errors
    ///
    /// If the address cannot be had.
    pub fn bind_udp(address: &str) -> io::Result<UdpPeer> {
        host().bind_udp_at(address.parse().unwrap())
    }

    /// Waits until what the peer did last has reached this end: there is no way between them.
    pub const fn wait_for(_: &Stream, _: Sign) {}

    /// Waits until a connection that a client has made stands in the listener's queue: it does.
    pub const fn wait_for_connection(_: &Listener) {}

    /// The clock of the engines.
    pub fn now() -> Instant {
        host().network().instant()
    }

    /// Lets the clock go on until this long from now has passed.
    pub fn pass(time: Duration) {
        host().network().pass(time + Duration::from_nanos(1));
    }
}
