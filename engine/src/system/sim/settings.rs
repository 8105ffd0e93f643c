//! [`Link`] and [`Machine`]: what may go wrong between hosts and on them, and how often.

use std::{ops::Range, time::Duration};

use crate::system::sim::Rng;

/// What lies between two hosts. By default nothing does: bytes and datagrams arrive at once, whole
/// and in order.
///
/// Probabilities are from 0 (never) to 1 (always). A range of times that is empty stands for its
/// start.
///
/// ```
/// use facade_engine::sim::{Link, Network};
/// use std::time::Duration;
///
/// let network = Network::new(1);
/// let (client, server) = (network.host("client"), network.host("server"));
/// network.set_link(&client, &server, Link {
///     latency: Duration::from_millis(10)..Duration::from_millis(80),
///     reset: 0.1,
///     ..Link::default()
/// });
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// How long a piece or datagram is under way. Pieces of one direction of a connection arrive in
    /// order, those of different ones overtake each other, and so do datagrams.
    pub latency: Range<Duration>,
    /// How many bytes a second each direction of each connection carries; no limit if none.
    pub bandwidth: Option<u64>,
    /// How many bytes of a direction may be under way, or arrived and unread, before a write finds
    /// the connection full; and how many bytes of datagrams may have arrived at a socket and be
    /// unread before others are lost. 128 KiB.
    pub buffer: usize,
    /// How likely what is sent at once is cut, at any byte, into pieces that arrive by themselves.
    pub split: f64,
    /// How likely a connect is refused.
    pub refuse: f64,
    /// How likely a connect is never answered. The connecting system gives up after 127 seconds.
    pub black_hole: f64,
    /// How likely a connection is reset under way: both ends hear it, and what had not arrived is
    /// lost.
    pub reset: f64,
    /// How likely a direction of a connection ends early, as if the sender had gone: the receiver
    /// finds an end of stream at any byte, the sender is reset by what it sends after that.
    pub end: f64,
    /// How likely a datagram is lost.
    pub loss: f64,
    /// How likely a datagram comes twice, each time after a latency of its own.
    pub duplicate: f64,
    /// How many bytes a datagram may have: a longer one is refused (`EMSGSIZE`). 65,507.
    pub datagram: usize,
    /// By which byte of a direction it has happened, if it is to be reset or to end early. 4,096.
    pub within: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO..Duration::ZERO,
            bandwidth: None,
            buffer: 128 << 10,
            split: 0.0,
            refuse: 0.0,
            black_hole: 0.0,
            reset: 0.0,
            end: 0.0,
            loss: 0.0,
            duplicate: 0.0,
            datagram: 65_507,
            within: 4096,
        }
    }
}

impl Link {
    /// A bad link: each of its evils is there or not, at a rate that is drawn. Over many seeds that
    /// finds more than every evil at once, where one hides the other.
    ///
    /// ```
    /// use facade_engine::sim::{Link, Network};
    ///
    /// let network = Network::new(1);
    /// network.set_links(Link::bad(&mut network.rng()));
    /// ```
    #[must_use]
    pub fn bad(rng: &mut Rng) -> Self {
        const LATENCIES_MS: [u64; 5] = [0, 1, 20, 300, 5000];
        const BUFFERS: [usize; 4] = [1, 100, 4096, 128 << 10];
        // Drawn from a copy, so that known seeds go on meaning the same.
        let mut other = Rng::new(rng.clone().next());
        let latency = Duration::from_millis(rng.pick(&LATENCIES_MS).copied().unwrap_or(0));
        Self {
            latency: Duration::ZERO..latency,
            bandwidth: rng.chance(0.2).then(|| 1000 + rng.below(1_000_000)),
            buffer: rng.pick(&BUFFERS).copied().unwrap_or(1),
            split: sometimes(rng, 1.0),
            refuse: sometimes(rng, 0.3),
            black_hole: sometimes(rng, 0.2),
            reset: sometimes(rng, 0.3),
            end: sometimes(rng, 0.3),
            within: 1 + rng.below(2000),
            loss: sometimes(&mut other, 0.5),
            duplicate: sometimes(&mut other, 0.5),
            ..Self::default()
        }
    }
}

/// What the system of one host does. By default it does everything at once and well.
///
/// ```
/// use facade_engine::sim::{Machine, Network};
///
/// let network = Network::new(1);
/// let server = network.host("server");
/// server.set_machine(Machine { descriptors: 16, short_write: 0.5, ..Machine::default() });
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// How many sockets the engines that live on the host may have open at once. Beyond it a
    /// connect fails with `EMFILE`, and an accept waits.
    pub descriptors: usize,
    /// How many connections wait to be accepted, for each listener. A TCP connect beyond them
    /// waits, one to a Unix socket tries again. 4,096.
    pub backlog: usize,
    /// How likely a read takes only a part of what has arrived.
    pub short_read: f64,
    /// How likely a write takes only a part of what there is room for.
    pub short_write: f64,
    /// How likely a write finds no memory (`ENOBUFS`).
    pub no_buffers: f64,
    /// How likely a completion comes late: of a send, a cancel, a close. What was cancelled goes on
    /// until then, and brings its true result.
    pub late: f64,
    /// How much later it comes then.
    pub lateness: Range<Duration>,
    /// How likely a connection that has something to tell is looked at before those that had
    /// something earlier.
    pub reorder: f64,
    /// How long a name lookup takes.
    pub lookup: Range<Duration>,
    /// How likely a lookup fails because the resolver does not answer.
    pub lookup_failure: f64,
    /// How long a closure of [`submit_work`](crate::Handle::submit_work) takes.
    pub work: Range<Duration>,
    /// How long a turn takes of an engine that has had something to do for 16 turns without a wait,
    /// so that time goes on for a program that is always busy. Other turns take no time. 256
    /// microseconds.
    pub turn: Duration,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            descriptors: usize::MAX,
            backlog: 4096,
            short_read: 0.0,
            short_write: 0.0,
            no_buffers: 0.0,
            late: 0.0,
            lateness: Duration::ZERO..Duration::ZERO,
            reorder: 0.0,
            lookup: Duration::ZERO..Duration::ZERO,
            lookup_failure: 0.0,
            work: Duration::ZERO..Duration::ZERO,
            turn: Duration::from_micros(256),
        }
    }
}

impl Machine {
    /// A bad machine: each of its evils is there or not, as with [`Link::bad`]. Its descriptors do
    /// not run out, because how many it needs only the program knows.
    #[must_use]
    pub fn bad(rng: &mut Rng) -> Self {
        let ms = Duration::from_millis;
        // Drawn from a copy, so that known seeds go on meaning the same.
        let mut other = Rng::new(rng.clone().next());
        let slow = |rng: &mut Rng, most| ms(0)..ms(rng.below(most));
        Self {
            short_read: sometimes(rng, 1.0),
            short_write: sometimes(rng, 1.0),
            late: sometimes(rng, 0.5),
            lateness: slow(rng, 100),
            reorder: sometimes(rng, 1.0),
            lookup: slow(rng, 10_000),
            lookup_failure: sometimes(rng, 0.3),
            work: slow(rng, 10_000),
            no_buffers: if other.chance(0.4) { sometimes(&mut other, 0.5) } else { 0.0 },
            ..Self::default()
        }
    }
}

/// Never in half of all cases, else up to `most`.
fn sometimes(rng: &mut Rng, most: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a number up to a hundred")]
    let part = rng.below(101) as f64 / 100.0;
    if rng.chance(0.5) { part * most } else { 0.0 }
}
