//! The world: what one program runs in, and what is kept of each operation to judge its outcome.
//! It is borrowed while the engine is called, which finds callbacks that run in a call (promise 2).

use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::VecDeque,
    env,
    net::SocketAddr,
    time::Duration,
};

use facade_engine::{
    Bytes, Cancel, Engine, Handle, Limits, Listener, Pause, Stream,
    sim::{Host, Link, Machine, Network, Peer, PeerListener, Rng},
};

use super::{
    chains::Chain,
    claims::Held,
    copies::CopySpec,
    datagrams::{HeldDatagram, Socket},
    expect::{Expression, Spec, Value},
    futures::Pending,
    interruptions::Interruption,
    ledger::{Inflow, Outflow, Rest},
    repeats::Repeats,
    turns::draw_steps,
};

/// One run of a program.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(super) here: Host,
    pub(super) there: Host,
    /// Where the peers of sockets of datagrams are, and what lies between.
    pub(super) far: Host,
    pub(super) datagram_link: Link,
    pub(super) engine: Handle,
    pub(crate) rng: Rng,
    pub(crate) limits: Limits,
    pub(super) machine: Machine,
    pub(super) link: Link,
    pub(super) shortage: bool,
    /// Datagrams, repeating operations and copies are drawn, too.
    pub(super) has_all_kinds: bool,
    pub(crate) ops: Vec<Op>,
    /// How many of them have begun.
    pub(super) begun: usize,
    pub(super) chains: Vec<Chain>,
    /// Those that have not ended.
    pub(super) copies: Vec<usize>,
    pub(crate) streams: Vec<Line>,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) listener: Listening,
    pub(super) peer_listener: PeerListener,
    /// Connections of engine's connects that nobody was told of.
    pub(super) strays: Vec<(Peer, SocketAddr)>,
    pub(super) held: Vec<Held>,
    pub(super) held_datagrams: Vec<HeldDatagram>,
    /// The number of the datagram that was told of last.
    pub(super) received: Option<usize>,
    /// What keeps repeating operations from going on.
    pub(super) pauses: Vec<(usize, Pause)>,
    /// The rests of cut writes that were told of last.
    pub(super) rests: Vec<Rest>,
    pub(super) futures: Vec<(usize, Pending)>,
    /// What interrupts the program, and before or in which step.
    pub(crate) interruption: Option<Interruption>,
    /// The engine is gone or going.
    pub(crate) gone: bool,
    /// How many turns have begun, and when the last one has.
    pub(super) turns: usize,
    pub(super) turn_began: Duration,
    /// A turn is under way.
    pub(super) in_turn: bool,
    /// Matchers had more to look at: the turn is gone on with, and what was unseen is seen.
    pub(super) goes_on: bool,
    /// Matchers have so few steps for a turn that most go on in others.
    pub(super) has_few_steps: bool,
    /// When the first callback of the last turn ran: the engine had looked at the network before
    /// that, and what the books wait for in later callbacks takes time.
    pub(super) looked_at: Option<Duration>,
    /// No more is begun.
    pub(crate) winding_down: bool,
    /// The steps are told in words.
    talks: bool,
    /// Stands for all outcomes so far.
    pub(crate) digest: u64,
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Op {
    pub(super) kind: Kind,
    /// Its callback gets a claim.
    pub(super) claims: bool,
    pub(super) stream: usize,
    pub(super) timeout: Option<Duration>,
    /// The earliest time at which it may time out...
    pub(super) due: Option<Duration>,
    /// ...and from when it must have.
    pub(super) overdue: Option<Duration>,
    pub(super) turns_late: u32,
    pub(super) cancel: Option<Cancel>,
    pub(super) cancelled: bool,
    /// Another thread submitted it in a turn, so the engine sees it in the next.
    pub(super) unseen: bool,
    pub(super) begun: bool,
    pub(super) begun_at: Duration,
    pub(crate) told: bool,
    pub(super) chain: Option<usize>,
    pub(super) limit: usize,
    /// Its place in the order in which operations begin.
    pub(super) order: usize,
    pub(super) repeats: Repeats,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Read(Spec),
    Write {
        bytes: Bytes,
        how: Writing,
        number: usize,
    },
    Flush,
    Shutdown,
    TakeUnsent,
    Close,
    /// Yields what was received and not read.
    Detach,
    CloseListener,
    Accept,
    Connect,
    Sleep,
    Lookup,
    Work,
    /// Accepts, and yields the connection with a first match.
    AcceptMatch(Expression),
    /// Of a socket of datagrams.
    Receive {
        socket: usize,
    },
    Send {
        socket: usize,
        bytes: Bytes,
        /// None if the socket is connected.
        to: Option<SocketAddr>,
        number: usize,
    },
    EachDatagram {
        socket: usize,
    },
    CloseSocket {
        socket: usize,
    },
    /// Gives a handler each line, or what there is.
    Each(Spec),
    EachConnection,
    Every(Duration),
    Copy(CopySpec),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Writing {
    Whole,
    Line,
    Vectored,
}

/// One stream and its peer.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) handle: Option<Stream>,
    pub(crate) peer: Option<Peer>,
    pub(crate) inflow: Inflow,
    pub(crate) outflow: Outflow,
    pub(super) reads: VecDeque<usize>,
    pub(super) writes: VecDeque<usize>,
    pub(super) limits: Option<Limits>,
    /// The most that may be unsent, and the least that may be queued, by any limits it had.
    pub(super) unsent: usize,
    pub(super) queued: usize,
    pub(super) link: Link,
    pub(crate) closing: bool,
    /// The close is a detach.
    pub(super) detaching: bool,
    pub(super) peer_shut: bool,
    /// A claim on its bytes was told in this turn (2) or the one before (1).
    pub(super) claimed: u32,
    /// A claim was dropped since the last turn, which a read that waits sees before another.
    pub(super) given_back: bool,
    /// The peer has found its end.
    pub(crate) peer_ended: bool,
}

#[derive(Default)]
pub(crate) struct Listening {
    pub(crate) handle: Option<Listener>,
    pub(super) accepts: VecDeque<usize>,
    /// Peers that nobody has accepted, in order, and what they have sent.
    pub(crate) waiting: VecDeque<(Peer, SocketAddr, Vec<u8>)>,
    pub(super) closed: bool,
    /// How many accepts were undone.
    pub(super) undone: usize,
    /// ... before this turn.
    pub(super) undone_before: usize,
    /// How many operations had begun when the last one was.
    pub(super) undone_order: usize,
    /// How many of those may be in front.
    pub(super) in_front: usize,
}

impl Op {
    /// It has begun and not ended.
    pub(super) const fn is_live(&self) -> bool {
        self.begun && !self.told
    }

    /// It has ended, or does not end by itself.
    pub(crate) const fn is_over(&self) -> bool {
        let is_endless =
            matches!(self.kind, Kind::EachConnection | Kind::EachDatagram { .. } | Kind::Every(_));
        self.told || is_endless
    }
}

/// How an operation is submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Callback,
    Claim,
    Future,
}

/// What a program runs in.
pub(crate) struct Surroundings {
    pub(crate) link: Link,
    pub(crate) machine: Machine,
    pub(crate) limits: Limits,
}

pub(crate) const NONE: usize = usize::MAX;

thread_local! {
    pub(super) static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    /// The value of a claim, or the connection, on its way into the callback.
    pub(super) static VALUE: RefCell<Option<Value>> = const { RefCell::new(None) };
    pub(super) static CONNECTION: Cell<Option<Stream>> = const { Cell::new(None) };
    /// What failed first in a callback. The engine contains panics, and its drop tells of none.
    pub(super) static FAILURE: Cell<Option<Box<dyn Any + Send>>> = const { Cell::new(None) };
}

/// Runs something with the world. It is borrowed while the engine is called, so that a callback
/// which runs inside such a call fails.
pub(crate) fn with<R>(f: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with(|world| {
        let mut world = world.try_borrow_mut().expect("no callback runs inside a call");
        f(world.as_mut().expect("the program runs"))
    })
}

/// Makes an engine, and the books of what is done with it, with one stream to begin with.
pub(crate) fn begin(network: &Network, rng: Rng, surroundings: Surroundings) -> Engine {
    drop(WORLD.with(RefCell::take));
    CONNECTION.take();
    FAILURE.take();
    let Surroundings { link, machine, limits } = surroundings;
    let (here, there) = (network.host("here"), network.host("there"));
    let far = network.host("far");
    network.set_link(&here, &here, link.clone());
    network.set_link(&here, &there, link.clone());
    here.set_machine(machine.clone());
    let has_few_steps = draw_steps(network.seed());
    let engine = Engine::builder().limits(limits).simulated(&here).build().unwrap();
    let listener = engine.listen(here.at(80)).unwrap();
    let world = World {
        network: network.clone(),
        peer_listener: there.listen(81).unwrap(),
        here,
        there,
        far,
        datagram_link: Link::default(),
        engine: Handle::clone(&engine),
        rng,
        limits,
        machine,
        link,
        shortage: false,
        has_all_kinds: false,
        ops: Vec::new(),
        begun: 0,
        chains: Vec::new(),
        copies: Vec::new(),
        streams: Vec::new(),
        sockets: Vec::new(),
        listener: Listening { handle: Some(listener), ..Listening::default() },
        strays: Vec::new(),
        held: Vec::new(),
        held_datagrams: Vec::new(),
        received: None,
        pauses: Vec::new(),
        rests: Vec::new(),
        futures: Vec::new(),
        interruption: None,
        gone: false,
        turns: 0,
        turn_began: Duration::ZERO,
        in_turn: false,
        goes_on: false,
        has_few_steps,
        looked_at: None,
        winding_down: false,
        talks: env::var_os("FACADE_SEED").is_some() || env::var_os("FACADE_SCENARIO").is_some(),
        digest: 0,
    };
    WORLD.with(|place| place.replace(Some(world)));
    with(World::add_pair);
    engine
}

/// All is over. Returns what stands for all that happened.
pub(crate) fn end() -> u64 {
    CONNECTION.take();
    WORLD.with(RefCell::take).expect("nobody takes it").digest
}

impl World {
    pub(crate) fn now(&self) -> Duration {
        self.network.now()
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.rng.chance(probability)
    }

    #[expect(clippy::cast_possible_truncation, reason = "below a length")]
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound as u64) as usize
    }

    pub(crate) fn descriptors(&self) -> usize {
        self.here.descriptors()
    }

    pub(super) fn note(&mut self, id: usize, what: u64) {
        self.digest = (self.digest.rotate_left(7) ^ (id as u64) << 8 ^ what)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// Tells a step in words, for whoever replays a seed.
    pub(super) fn say(&self, words: impl FnOnce() -> String) {
        if self.talks {
            eprintln!("{:>10?} {}", self.now(), words());
        }
    }

    pub(crate) fn new_line(&self, handle: Option<Stream>, peer: Option<Peer>) -> Line {
        let fateful = self.link.reset > 0.0 || self.link.end > 0.0;
        Line {
            handle,
            peer,
            inflow: Inflow::new(fateful),
            outflow: Outflow::new(fateful),
            link: self.link.clone(),
            unsent: self.limits.unsent,
            queued: self.limits.queued,
            ..Line::default()
        }
    }
}
