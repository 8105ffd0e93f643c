//! Random programs: what they do, and what is kept of every operation to judge its outcome.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::VecDeque,
    env,
    io::{ErrorKind, Read, Write},
    mem,
    net::{Shutdown, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use facade_engine::{
    Bytes, Callback, Cancel, Claim, Detached, Engine, Error, Handle, Hints, Limits, Listener,
    Local, Regex, Result, Stream,
    sim::{Host, Link, Machine, Network, Peer, PeerListener, Rng},
};
use facade_futures::op;
use facade_tests::told::brief;

use super::{
    expect::{Expression, Spec, Value, regex_match},
    ledger::{Inflow, Outflow, Rest, Taken},
};

/// One run of a program.
pub(crate) struct World {
    pub(crate) network: Network,
    here: Host,
    there: Host,
    engine: Handle,
    pub(crate) rng: Rng,
    pub(crate) limits: Limits,
    machine: Machine,
    link: Link,
    shortage: bool,
    pub(crate) ops: Vec<Op>,
    /// How many of them have begun.
    begun: usize,
    chains: Vec<Chain>,
    pub(crate) streams: Vec<Line>,
    pub(crate) listener: Listening,
    peer_listener: PeerListener,
    /// Connections of engine's connects that nobody was told of.
    strays: Vec<(Peer, SocketAddr)>,
    held: Vec<Held>,
    /// The rests of cut writes that were told of last.
    rests: Vec<Rest>,
    futures: Vec<(usize, Pending)>,
    /// What interrupts the program, and before or in which step.
    pub(crate) interruption: Option<Interruption>,
    /// The engine is gone or going.
    pub(crate) gone: bool,
    /// A turn is under way.
    in_turn: bool,
    /// Matchers had more to look at: the turn is gone on with, and what was unseen is seen.
    goes_on: bool,
    /// Matchers have so few steps for a turn that most go on in others.
    has_few_steps: bool,
    /// When the first callback of the last turn ran: the engine had looked at the network before that,
    /// and what the books wait for in later callbacks takes time.
    looked_at: Option<Duration>,
    /// No more is begun.
    pub(crate) winding_down: bool,
    /// The steps are told in words.
    talks: bool,
    /// Stands for all outcomes so far.
    pub(crate) digest: u64,
}

/// An operation as a future.
type Pending = Pin<Box<dyn Future<Output = Result<Value>>>>;

/// One operation.
#[derive(Debug)]
pub(crate) struct Op {
    kind: Kind,
    /// Its callback gets a claim.
    claims: bool,
    stream: usize,
    timeout: Option<Duration>,
    /// The earliest time at which it may time out...
    due: Option<Duration>,
    /// ...and from when it must have.
    overdue: Option<Duration>,
    turns_late: u32,
    cancel: Option<Cancel>,
    cancelled: bool,
    /// Another thread submitted it in a turn, so the engine sees it in the next.
    unseen: bool,
    begun: bool,
    pub(crate) told: bool,
    chain: Option<usize>,
    limit: usize,
    /// Its place in the order in which operations begin.
    order: usize,
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
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Writing {
    Whole,
    Line,
    Vectored,
}

#[derive(Debug, Default)]
struct Chain {
    ops: Vec<usize>,
    /// The stage that has failed, from 1.
    failed: Option<usize>,
    due: Option<Duration>,
}

/// One stream and its peer.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) handle: Option<Stream>,
    pub(crate) peer: Option<Peer>,
    pub(crate) inflow: Inflow,
    pub(crate) outflow: Outflow,
    reads: VecDeque<usize>,
    writes: VecDeque<usize>,
    limits: Option<Limits>,
    /// The most that may be unsent, and the least that may be queued, by any limits it had.
    unsent: usize,
    queued: usize,
    link: Link,
    pub(crate) closing: bool,
    /// The close is a detach.
    detaching: bool,
    peer_shut: bool,
    /// A claim on its bytes was told in this turn (2) or the one before (1).
    claimed: u32,
    /// A claim was dropped since the last turn, which a read that waits sees before another.
    given_back: bool,
    /// The peer has found its end.
    pub(crate) peer_ended: bool,
}

#[derive(Default)]
pub(crate) struct Listening {
    pub(crate) handle: Option<Listener>,
    accepts: VecDeque<usize>,
    /// Peers that nobody has accepted, in order, and what they have sent.
    pub(crate) waiting: VecDeque<(Peer, SocketAddr, Vec<u8>)>,
    closed: bool,
    /// How many accepts were undone.
    undone: usize,
    /// ... before this turn.
    undone_before: usize,
    /// How many operations had begun when the last one was.
    undone_order: usize,
    /// How many of those may be in front.
    in_front: usize,
}

/// A claim that is kept for a while.
struct Held {
    claim: Claim<Value>,
    stream: usize,
    taken: Taken,
    /// The rests of cut writes.
    rests: Vec<Rest>,
}

/// How an operation is submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Callback,
    Claim,
    Future,
}

/// What happens to a program in the middle of it.
#[derive(Debug)]
pub(crate) struct Interruption {
    pub(crate) how: How,
    /// At which step, and how many there have been.
    pub(crate) at: usize,
    pub(crate) steps: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Nothing,
    Cancel,
    Timeout,
    DropFuture,
    Close,
    Abort,
    DropEngine,
    Panic,
}

/// The timeout of what is not meant to time out but by being interrupted.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A panic that the program is meant to have.
struct Planned;

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    /// The value of a claim, or the connection, on its way into the callback.
    static VALUE: RefCell<Option<Value>> = const { RefCell::new(None) };
    static CONNECTION: Cell<Option<Stream>> = const { Cell::new(None) };
    /// What failed first in a callback. The engine contains panics, and its drop tells of none.
    static FAILURE: Cell<Option<Box<dyn Any + Send>>> = const { Cell::new(None) };
}

/// Runs something with the world. It is borrowed while the engine is called, so that a callback
/// which runs inside such a call fails.
pub(crate) fn with<R>(f: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with(|world| {
        let mut world = world.try_borrow_mut().expect("no callback runs inside a call");
        f(world.as_mut().expect("the program runs"))
    })
}

pub(crate) const NONE: usize = usize::MAX;

/// What a program runs in.
pub(crate) struct Surroundings {
    pub(crate) link: Link,
    pub(crate) machine: Machine,
    pub(crate) limits: Limits,
}

/// Runs one program from the network's seed, to a good end or to the engine's. Returns what stands
/// for all that it saw.
pub(crate) fn run(network: &Network) -> u64 {
    let mut rng = network.rng();
    let link = draw_link(&mut rng);
    let machine = match rng.chance(0.3) {
        true => Machine::default(),
        false => Machine { work: Duration::ZERO..Duration::ZERO, ..Machine::bad(&mut rng) },
    };
    let limits = draw_limits(&mut rng, &link);
    let steps = 20 + rng.below(80);
    let drops = rng.chance(0.15);
    let engine = begin(network, rng, Surroundings { link, machine, limits });
    for _ in 0..steps {
        step(&engine);
    }
    match drops {
        true => drop_engine(engine),
        false => {
            super::occasions::have_one(&engine);
            super::ending::settle(engine);
        }
    }
    end()
}

/// Makes an engine, and the books of what is done with it, with one stream to begin with.
pub(crate) fn begin(network: &Network, rng: Rng, surroundings: Surroundings) -> Engine {
    drop(WORLD.with(RefCell::take));
    CONNECTION.take();
    FAILURE.take();
    let Surroundings { link, machine, limits } = surroundings;
    let (here, there) = (network.host("here"), network.host("there"));
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
        engine: Handle::clone(&engine),
        rng,
        limits,
        machine,
        link,
        shortage: false,
        ops: Vec::new(),
        begun: 0,
        chains: Vec::new(),
        streams: Vec::new(),
        listener: Listening { handle: Some(listener), ..Listening::default() },
        strays: Vec::new(),
        held: Vec::new(),
        rests: Vec::new(),
        futures: Vec::new(),
        interruption: None,
        gone: false,
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

fn draw_link(rng: &mut Rng) -> Link {
    const LATENCIES_MS: [u64; 5] = [0, 0, 1, 20, 3000];
    const BUFFERS: [usize; 4] = [16, 200, 4096, 128 << 10];
    let latency = Duration::from_millis(rng.pick(&LATENCIES_MS).copied().unwrap_or(0));
    let fateful = rng.chance(0.3);
    Link {
        latency: Duration::ZERO..latency,
        bandwidth: rng.chance(0.15).then(|| 1000 + rng.below(1_000_000)),
        buffer: rng.pick(&BUFFERS).copied().unwrap_or(16),
        split: if rng.chance(0.6) { 0.7 } else { 0.0 },
        refuse: if rng.chance(0.2) { 0.3 } else { 0.0 },
        black_hole: 0.0,
        reset: if fateful { 0.2 } else { 0.0 },
        end: if fateful { 0.2 } else { 0.0 },
        within: 1 + rng.below(600),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
fn draw_limits(rng: &mut Rng, link: &Link) -> Limits {
    let often = Limits::default();
    let draw = |rng: &mut Rng, usual: usize, least: u64, width: u64| match rng.below(3) {
        0 => (least + rng.below(width)) as usize,
        _ => usual,
    };
    Limits {
        line: draw(rng, often.line, 2, 60),
        all: draw(rng, often.all, 20, 300),
        unread: match rng.below(2) {
            0 => rng.below(100) as usize,
            _ => often.unread,
        },
        unsent: match link.buffer < 1000 {
            true => draw(rng, 100, 0, 100),
            false => draw(rng, often.unsent, 0, 2000),
        },
        queued: draw(rng, often.queued, 0, 500),
        accepted: draw(rng, often.accepted, 1, 3),
        ..often
    }
}

/// One step between two turns, or a turn.
fn step(engine: &Engine) {
    let drawn = with(|world| world.rng.below(100));
    match drawn {
        0..30 => with(World::act),
        30..45 => with(World::peer_acts),
        45..55 => {
            engine.post(|_| {
                with(World::act);
                with(World::act);
            });
        }
        55..90 => {
            let wait = with(|world| match world.rng.below(3) {
                0 => Duration::from_millis(world.rng.below(3000)),
                _ => Duration::ZERO,
            });
            turn(engine, wait);
        }
        90..95 => with(|world| {
            let time = Duration::from_millis(world.rng.below(2000));
            world.network.pass(time);
        }),
        _ => with(World::change),
    }
}

/// One turn, and what must hold after it. Returns how much is pending.
pub(crate) fn turn(engine: &Engine, wait: Duration) -> usize {
    with(|world| world.say(|| format!("turn, {wait:?}")));
    with(|world| {
        world.poll_futures();
        world.in_turn = true;
        world.looked_at = None;
    });
    let mut pending = turn_of_engine(engine, wait);
    // Where matchers have few steps for a turn, all turns that they take are one in this model.
    for turns in 0.. {
        if !is_scanning(engine) {
            break;
        }
        assert!(turns < 100_000, "matchers look for ever");
        with(|world| world.goes_on = true);
        pending = turn_of_engine(engine, Duration::ZERO);
    }
    resume_failure();
    with(|world| {
        (world.in_turn, world.goes_on) = (false, false);
        world.poll_futures();
        world.after_turn();
        if world.futures.is_empty() {
            // Of one that was dropped before it could yield it.
            CONNECTION.take();
        }
    });
    pending
}

fn turn_of_engine(engine: &Engine, wait: Duration) -> usize {
    let run = || engine.run_once(Some(wait)).map(|turn| turn.pending);
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(counted) => {
            let (counted, listed) = (counted.unwrap(), engine.pending());
            let sum: usize = listed.iter().map(|pending| pending.count).sum();
            assert_eq!(sum, counted, "{listed:?}");
            counted
        }
        // The turn is over, and the engine goes on.
        Err(panic) if panic.is::<Planned>() => 1,
        Err(panic) => resume_unwind(panic),
    }
}

#[cfg(facade_mutants)]
fn is_scanning(engine: &Engine) -> bool {
    engine.is_scanning()
}

#[cfg(not(facade_mutants))]
fn is_scanning(_: &Engine) -> bool {
    false
}

/// In half of all programs matchers have so few steps for a turn that most have to go on in others.
#[cfg(facade_mutants)]
fn draw_steps(seed: u64) -> bool {
    const STEPS: [usize; 3] = [1, 8, 60];
    let steps = STEPS.get((seed % 6) as usize).copied();
    facade_engine::mutants::limit_steps(steps);
    steps.is_some()
}

#[cfg(not(facade_mutants))]
fn draw_steps(_: u64) -> bool {
    false
}

/// The engine goes in the middle of everything.
pub(crate) fn drop_engine(engine: Engine) {
    with(|world| world.gone = true);
    drop(engine);
    resume_failure();
    with(|world| {
        world.held.clear();
        world.poll_futures();
        for (id, op) in world.ops.iter().enumerate() {
            assert!(op.told || !op.begun, "operation {id} heard nothing: {op:?}");
        }
        world.listener.handle = None;
        for line in &mut world.streams {
            line.handle = None;
        }
        assert_eq!(world.here.descriptors(), 0, "descriptors are left");
    });
}

impl World {
    pub(crate) fn now(&self) -> Duration {
        self.network.now()
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.rng.chance(probability)
    }

    #[expect(clippy::cast_possible_truncation, reason = "below a length")]
    fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound as u64) as usize
    }

    pub(crate) fn strays_are_closed(&mut self) {
        while let Ok(found) = self.peer_listener.accept() {
            self.strays.push(found);
        }
        for (peer, _) in &mut self.strays {
            let found = peer.read(&mut [0; 1]);
            assert!(!found.is_err_and(|error| error.kind() == ErrorKind::Deadlock), "left open");
        }
    }

    pub(crate) fn descriptors(&self) -> usize {
        self.here.descriptors()
    }

    /// From now on the surroundings are good, and the program begins no more.
    pub(crate) fn heal(&mut self) {
        self.winding_down = true;
        self.shortage = false;
        self.here.set_machine(Machine::default());
        self.network.set_link(&self.here, &self.there, Link::default());
        while !self.held.is_empty() {
            self.end_hold();
        }
        for id in 0..self.ops.len() {
            if matches!(
                self.ops[id].kind,
                Kind::Sleep
                    | Kind::Accept
                    | Kind::Connect
                    | Kind::Lookup
                    | Kind::Work
                    | Kind::AcceptMatch(_)
            ) {
                self.cancel(id);
            }
        }
    }

    // What the program does

    /// Something that the program does, in a callback or between turns.
    fn act(&mut self) {
        if self.gone || self.winding_down {
            return;
        }
        match self.below(100) {
            0..38 => self.submit_read(),
            38..58 => self.submit_write(),
            58..62 => self.submit_on_stream(Kind::Flush),
            62..64 => self.submit_on_stream(Kind::TakeUnsent),
            64..66 => self.submit_on_stream(Kind::Shutdown),
            66..74 => self.submit_chain(),
            74..80 => self.submit_accept(),
            80..82 => self.submit_connect(),
            // Not drawn, so that most old seeds do what they did.
            82..84 if self.in_turn && self.ops.len().is_multiple_of(3) => self.submit_elsewhere(),
            82..84 => _ = self.submit(Kind::Sleep, NONE, true),
            84..95 => self.cancel_any(),
            95..98 => self.end_hold(),
            98 => self.end_stream(),
            _ => self.close_listener(),
        }
    }

    fn change(&mut self) {
        match self.below(5) {
            0 => self.add_pair(),
            1 | 2 => self.add_client(),
            3 => {
                self.shortage = !self.shortage;
                let descriptors = if self.shortage { self.here.descriptors() } else { usize::MAX };
                self.here.set_machine(Machine { descriptors, ..self.machine.clone() });
            }
            _ => self.change_limits(),
        }
    }

    fn change_limits(&mut self) {
        let limits = draw_limits(&mut self.rng, &self.link);
        let Some(stream) = self.pick_stream() else { return };
        let line = &mut self.streams[stream];
        if let Some(handle) = &line.handle {
            self.engine.set_limits(handle, limits);
            line.limits = Some(limits);
            line.unsent = line.unsent.max(limits.unsent);
            line.queued = line.queued.min(limits.queued);
        }
    }

    pub(crate) fn set_limits(&mut self, stream: usize, limits: Limits) {
        let line = &mut self.streams[stream];
        if let Some(handle) = &line.handle {
            self.engine.set_limits(handle, limits);
            line.limits = Some(limits);
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

    pub(crate) fn add_pair(&mut self) {
        if self.shortage || self.streams.len() > 5 {
            return;
        }
        let (peer, stream) = match self.chance(0.5) {
            true => Peer::pair(&self.engine).unwrap(),
            false => Peer::tcp_pair(&self.engine).unwrap(),
        };
        peer.set_nonblocking(true).unwrap();
        let line = self.new_line(Some(stream), Some(peer));
        self.streams.push(line);
    }

    /// A peer connects to the listener.
    pub(crate) fn add_client(&mut self) {
        if !self.listener.closed && self.listener.waiting.len() <= 4 {
            self.connect_client();
        }
    }

    /// Returns whether it could.
    pub(crate) fn connect_client(&mut self) -> bool {
        let Ok(peer) = self.there.connect(self.here.at(80)) else { return false };
        peer.set_nonblocking(true).unwrap();
        let address = peer.local_addr().unwrap();
        self.listener.waiting.push_back((peer, address, Vec::new()));
        true
    }

    fn pick_stream(&mut self) -> Option<usize> {
        if self.streams.is_empty() {
            return None;
        }
        let stream = self.below(self.streams.len());
        self.streams[stream].handle.is_some().then_some(stream)
    }

    fn submit_read(&mut self) {
        let spec = Spec::draw(&mut self.rng);
        self.submit_on_stream(Kind::Read(spec));
    }

    fn draw_bytes(&mut self, len: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let drawn = self.rng.next();
            for part in drawn.to_le_bytes() {
                bytes.push(match part {
                    0..24 => b'\n',
                    24..36 => b'\r',
                    36..150 => b'a' + part % 8,
                    part => b'a' + part % 26,
                });
            }
        }
        bytes.truncate(len);
        bytes.into()
    }

    fn draw_write(&mut self) -> Kind {
        let len = match (self.below(10), self.link.buffer) {
            (0, _) => 0,
            (1, 4096..) => self.below(20_000),
            (2 | 3, _) => self.below(400),
            _ => self.below(40),
        };
        let bytes = self.draw_bytes(len);
        let how = match self.below(3) {
            0 => Writing::Whole,
            1 => Writing::Line,
            _ => Writing::Vectored,
        };
        Kind::Write { bytes, how, number: 0 }
    }

    fn submit_write(&mut self) {
        let write = self.draw_write();
        self.submit_on_stream(write);
    }

    fn submit_on_stream(&mut self, kind: Kind) {
        if let Some(stream) = self.pick_stream() {
            self.share(stream);
            self.submit(kind, stream, true);
        }
    }

    /// At times others may hold a stream, too, and then are gone again: it is not read ahead then, and
    /// nothing else is different. When it ends nobody may, as what is unread would reset it.
    fn share(&self, stream: usize) {
        let Some(handle) = &self.streams[stream].handle else { return };
        // Not drawn, so that most old seeds do what they did.
        match self.ops.len() % 7 {
            3 => handle.set_exclusive(false),
            5 => handle.set_exclusive(true),
            _ => {}
        }
    }

    /// Nobody else holds any stream any more.
    pub(crate) fn unshare(&self) {
        self.streams.iter().filter_map(|line| line.handle.as_ref()).for_each(|handle| {
            handle.set_exclusive(true);
        });
    }

    fn submit_accept(&mut self) {
        if self.listener.handle.is_some() {
            self.submit(Kind::Accept, NONE, true);
        }
    }

    fn submit_connect(&mut self) {
        if self.streams.len() < 8 {
            self.submit(Kind::Connect, NONE, true);
        }
    }

    fn draw_timeout(&mut self) -> Option<Duration> {
        match self.below(10) {
            0 => Some(Duration::ZERO),
            1 | 2 => Some(Duration::from_millis(self.rng.below(3000))),
            3 => Some(Duration::MAX),
            _ => None,
        }
    }

    /// Submits an operation of its own.
    pub(crate) fn submit(&mut self, kind: Kind, stream: usize, timed: bool) -> usize {
        let timeout = match timed {
            true => self.draw_timeout(),
            false => None,
        };
        let claims = !self.winding_down
            && self.chance(0.3)
            && matches!(
                kind,
                Kind::Read(_) | Kind::Accept | Kind::Write { .. } | Kind::Flush | Kind::TakeUnsent
            );
        let style = if claims { Style::Claim } else { Style::Callback };
        self.submit_as(style, kind, stream, timeout)
    }

    /// Submits an operation with a callback, with one that gets a claim, or as a future.
    pub(crate) fn submit_as(
        &mut self,
        style: Style,
        kind: Kind,
        stream: usize,
        timeout: Option<Duration>,
    ) -> usize {
        let id = self.add(kind, stream, timeout, None);
        self.ops[id].claims = style != Style::Callback;
        self.begin(id);
        if style == Style::Future {
            let future = op(self.call(id));
            let future = future.timeout(timeout.unwrap_or(Duration::MAX));
            self.futures.push((id, Box::pin(future)));
            return id;
        }
        let cb = self.callback(id, style == Style::Claim);
        let cancel = self.hand_over(id, cb);
        self.ops[id].cancel = Some(cancel);
        id
    }

    /// Has another thread submit an operation while a callback runs, and may cancel it before the
    /// engine has seen it.
    fn submit_elsewhere(&mut self) {
        let kind = match self.ops.len() % 2 {
            0 => Kind::Work,
            _ => Kind::Sleep,
        };
        let timeout = self.draw_timeout();
        let id = self.add(kind, NONE, timeout, None);
        self.begin(id);
        let cb = self.callback(id, false);
        let call = self.call(id);
        let cancel = thread::spawn(move || call(cb)).join().expect("it only calls the engine");
        self.ops[id].cancel = Some(cancel);
        self.ops[id].unseen = true;
        if self.chance(0.5) {
            self.cancel(id);
        }
    }

    /// Polls all futures, as an executor would between turns.
    fn poll_futures(&mut self) {
        let mut ended = Vec::new();
        self.futures.retain_mut(|(id, future)| {
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => true,
                Poll::Ready(outcome) => {
                    ended.push((*id, outcome));
                    false
                }
            }
        });
        for (id, outcome) in ended {
            self.hears(id, outcome);
        }
    }

    /// Drops all futures: what they have not yielded is as if it had not been asked for.
    fn drop_futures(&mut self) {
        for (id, future) in mem::take(&mut self.futures) {
            self.say(|| format!("the future of op {id} is dropped"));
            drop(future);
            self.leaves(id, false);
            CONNECTION.take();
            match self.ops[id].kind.clone() {
                Kind::Write { number, .. } => {
                    self.streams[self.ops[id].stream].outflow.counts_as_it_goes(number);
                }
                Kind::Close => {
                    self.streams[self.ops[id].stream].outflow.lossy = true;
                }
                Kind::Accept | Kind::AcceptMatch(_) => self.listener.undone_order = self.begun,
                _ => {}
            }
        }
    }

    fn add(
        &mut self,
        kind: Kind,
        stream: usize,
        timeout: Option<Duration>,
        chain: Option<usize>,
    ) -> usize {
        self.ops.push(Op {
            claims: false,
            kind,
            stream,
            timeout,
            due: None,
            overdue: None,
            turns_late: 0,
            cancel: None,
            cancelled: false,
            unseen: false,
            begun: false,
            told: false,
            chain,
            limit: usize::MAX,
            order: usize::MAX,
        });
        self.ops.len() - 1
    }

    fn begin(&mut self, id: usize) {
        self.begin_at(id, self.now());
    }

    /// An operation goes to its place in the order.
    fn begin_at(&mut self, id: usize, now: Duration) {
        self.say(|| format!("op {id} begins: {:?}", self.ops[id]));
        let op = &mut self.ops[id];
        op.begun = true;
        self.begun += 1;
        op.order = self.begun;
        op.due = op.timeout.and_then(|timeout| now.checked_add(timeout));
        match &mut op.kind {
            Kind::Accept => self.listener.accepts.push_back(id),
            Kind::Connect | Kind::Sleep | Kind::CloseListener => {}
            Kind::Lookup | Kind::Work | Kind::AcceptMatch(_) => {}
            kind => {
                let line = &mut self.streams[op.stream];
                match kind {
                    Kind::Read(spec) => {
                        let limits = line.limits.unwrap_or(self.limits);
                        op.limit = spec.limit(limits.line, limits.all);
                        match spec {
                            Spec::Buffered => op.limit = line.inflow.taken(),
                            _ => line.reads.push_back(id),
                        }
                    }
                    Kind::Write { bytes, how, number } => {
                        let mut all = bytes.to_vec();
                        if matches!(how, Writing::Line) && bytes.last() != Some(&b'\n') {
                            all.extend_from_slice(b"\r\n");
                        }
                        op.limit = line.outflow.unsent_most(self.machine.late > 0.0);
                        *number = line.outflow.write(all.into());
                        line.writes.push_back(id);
                    }
                    Kind::Shutdown => {
                        line.outflow.shutdowns += 1;
                        line.writes.push_back(id);
                    }
                    Kind::Flush => line.writes.push_back(id),
                    Kind::TakeUnsent => line.outflow.ask_for_rest(op.order),
                    Kind::Close | Kind::Detach => {}
                    _ => unreachable!(),
                }
            }
        }
    }

    fn callback(&mut self, id: usize, claims: bool) -> Callback<Value> {
        let callback = match claims {
            true => Callback::claim(move |_: &Local, outcome: Result<Claim<Value>>| {
                hear_claim(id, outcome);
            })
            .map(|value: Value| {
                VALUE.set(Some(value.clone()));
                value
            }),
            false if self.chance(0.5) => {
                Callback::from_fn(move |_, outcome: Result<Value>| hear(id, outcome))
            }
            false => Callback::new(
                move |_, value: Value| hear(id, Ok(value)),
                move |_, error| hear(id, Err(error)),
            ),
        };
        match self.ops[id].timeout {
            Some(timeout) => callback.timeout(timeout),
            None => callback,
        }
    }

    /// Calls the engine.
    fn hand_over(&mut self, id: usize, cb: Callback<Value>) -> Cancel {
        self.call(id)(cb)
    }

    /// What calls the engine.
    fn call(&mut self, id: usize) -> Box<dyn FnOnce(Callback<Value>) -> Cancel + Send> {
        let engine = self.engine.clone();
        let kind = self.ops[id].kind.clone();
        let line = self.streams.get(self.ops[id].stream);
        if let Some(s) = line.and_then(|line| line.handle.clone()) {
            return Box::new(move |cb| on_stream(&engine, &s, kind, cb));
        }
        let (listener, there) = (self.listener.handle.clone(), self.there.at(81));
        let time = Duration::from_millis(self.rng.below(2000));
        if matches!(kind, Kind::CloseListener) {
            self.listener.handle = None;
        }
        Box::new(move |cb| match (kind, listener) {
            (Kind::CloseListener, Some(listener)) => {
                engine.close(&listener, cb.map(|()| Value::Unit))
            }
            (Kind::Accept, Some(listener)) => engine.accept(&listener, cb.map(keep_connection)),
            (Kind::AcceptMatch(expression), Some(listener)) => {
                let regex = Regex::new(expression.pattern()).unwrap();
                let cb = cb.map(|(stream, found)| {
                    keep_connection(stream);
                    regex_match(found)
                });
                engine.accept_then_expect_multiline_regex(&listener, regex, cb)
            }
            (Kind::Connect, _) => engine.connect(there, cb.map(keep_connection)),
            (Kind::Sleep, _) => engine.sleep(time, cb.map(|()| Value::Unit)),
            (Kind::Lookup, _) => {
                engine.getaddrinfo("there", 81, Hints::default(), cb.map(|_| Value::Unit))
            }
            (Kind::Work, _) => engine.submit_work(|| (), cb.map(|()| Value::Unit)),
            (kind, _) => unreachable!("{kind:?} needs a stream or listener"),
        })
    }

    /// Submits several operations one after the other.
    fn submit_chain(&mut self) {
        let mut stages = Vec::new();
        let stream = match self.below(10) {
            0..2 if self.listener.handle.is_some() => {
                stages.push(Kind::Accept);
                NONE
            }
            2 if self.streams.len() < 8 => {
                stages.push(Kind::Connect);
                NONE
            }
            _ => match self.pick_stream() {
                Some(stream) => stream,
                None => return,
            },
        };
        for _ in 0..1 + self.below(3) {
            let stage = match self.below(5) {
                0 | 1 => self.draw_write(),
                2 => Kind::Flush,
                _ => Kind::Read(loop {
                    let spec = Spec::draw(&mut self.rng);
                    if spec.takes() {
                        break spec;
                    }
                }),
            };
            stages.push(stage);
        }
        let timeout = self.draw_timeout();
        let stages = stages.into_iter().map(|kind| (kind, self.draw_timeout())).collect();
        self.begin_chain(stages, stream, timeout, false);
    }

    /// Begins a chain, or one of the short forms.
    pub(crate) fn begin_chain(
        &mut self,
        stages: Vec<(Kind, Option<Duration>)>,
        stream: usize,
        timeout: Option<Duration>,
        short: bool,
    ) {
        let number = self.chains.len();
        let due = timeout.and_then(|timeout| self.now().checked_add(timeout));
        self.chains.push(Chain { due, ..Chain::default() });
        for (kind, timeout) in stages {
            let id = self.add(kind, stream, timeout, Some(number));
            self.chains[number].ops.push(id);
        }
        let ops = self.chains[number].ops.clone();
        let cancel = match short {
            true => self.submit_short_form(&ops),
            false => self.submit_stages(&ops, timeout),
        };
        for id in ops {
            self.ops[id].cancel = Some(cancel.clone());
        }
    }

    fn submit_stages(&mut self, ops: &[usize], timeout: Option<Duration>) -> Cancel {
        let mut chain = self.engine.chain();
        if let Some(timeout) = timeout {
            chain = chain.timeout(timeout);
        }
        for &id in ops {
            let cb = self.callback(id, false);
            chain = match &self.ops[id].kind {
                Kind::Lookup => chain.resolve("there", 81, cb.map(|_| Value::Unit)),
                Kind::Accept => {
                    let listener = self.listener.handle.as_ref().expect("still open");
                    chain.accept(listener, cb.map(keep_connection))
                }
                Kind::Connect if id > ops[0] => chain.connect_resolved(cb.map(keep_connection)),
                Kind::Connect => chain.connect(self.there.at(81), cb.map(keep_connection)),
                Kind::Flush => chain.flush(cb.map(|()| Value::Unit)),
                Kind::Shutdown => chain.shutdown_write(cb.map(|()| Value::Unit)),
                Kind::Write { bytes, how, .. } => {
                    let (bytes, cb) = (bytes.clone(), cb.map(Value::Count));
                    match how {
                        Writing::Whole => chain.write(bytes, cb),
                        Writing::Line => chain.write_line(bytes, cb),
                        Writing::Vectored => chain.write_vectored(in_three(&bytes), cb),
                    }
                }
                Kind::Read(spec) => spec.stage(chain, cb),
                kind => unreachable!("{kind:?} is no stage"),
            };
            let line = self.streams.get(self.ops[id].stream);
            if id == ops[0]
                && let Some(line) = line
            {
                chain = chain.on(line.handle.as_ref().expect("picked"));
            }
        }
        self.begin(ops[0]);
        chain.submit()
    }

    /// Calls the method that stands for the chain of these two.
    fn submit_short_form(&mut self, ops: &[usize]) -> Cancel {
        let &[one, two] = ops else { unreachable!("short forms have two stages") };
        let (cb, next) = (self.callback(one, false), self.callback(two, false));
        self.begin(one);
        let (engine, there) = (self.engine.clone(), self.there.at(81));
        let stream = self.streams.get(self.ops[one].stream).and_then(|line| line.handle.as_ref());
        let listener = self.listener.handle.as_ref();
        match (&self.ops[one].kind, &self.ops[two].kind) {
            (Kind::Accept, Kind::Write { bytes, .. }) => {
                let next = next.map(Value::Count);
                let cbs = (cb.map(keep_connection), next);
                engine.accept_then_write(listener.expect("open"), bytes.clone(), cbs)
            }
            (Kind::Accept, Kind::Read(Spec::Expect(expected))) => {
                let cbs = (cb.map(keep_connection), next.map(Value::Bytes));
                engine.accept_then_expect_line(listener.expect("open"), expected.pattern(), cbs)
            }
            (Kind::Connect, Kind::Read(Spec::Expect(expected))) => {
                let cbs = (cb.map(keep_connection), next.map(Value::Bytes));
                engine.connect_then_expect_line(there, expected.pattern(), cbs)
            }
            (Kind::Connect, Kind::Write { bytes, .. }) => {
                let cbs = (cb.map(keep_connection), next.map(Value::Count));
                engine.connect_then_write_line(there, bytes.clone(), cbs)
            }
            (Kind::Lookup, Kind::Connect) => {
                let cbs = (cb.map(|_| Value::Unit), next.map(keep_connection));
                engine.getaddrinfo_then_connect("there", 81, cbs)
            }
            (Kind::Write { bytes, .. }, Kind::Read(Spec::Expect(expected))) => {
                let cbs = (cb.map(Value::Count), next.map(Value::Bytes));
                let stream = stream.expect("open");
                engine.write_then_expect_line(stream, bytes.clone(), expected.pattern(), cbs)
            }
            (one, two) => unreachable!("{one:?} then {two:?} has no short form"),
        }
    }

    fn cancel_any(&mut self) {
        let from = self.ops.len().saturating_sub(12);
        if from < self.ops.len() {
            let id = from + self.below(self.ops.len() - from);
            self.cancel(id);
        }
    }

    fn cancel(&mut self, id: usize) {
        let op = &mut self.ops[id];
        if op.told {
            return;
        }
        let Some(cancel) = op.cancel.clone() else { return };
        match op.chain {
            Some(chain) => {
                let ops = self.chains[chain].ops.clone();
                for id in ops {
                    self.ops[id].cancelled = true;
                }
            }
            None => op.cancelled = true,
        }
        let unseen = self.ops[id].unseen && !self.goes_on;
        self.say(|| format!("op {id} is cancelled"));
        let registered = cancel.cancel();
        assert!(registered || !unseen, "a cancel of what is yet to be seen is registered");
    }

    /// Takes a claim that was kept, or drops it.
    fn end_hold(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let at = self.below(self.held.len());
        let Held { claim, stream, taken, rests } = self.held.swap_remove(at);
        if !rests.is_empty() {
            match self.chance(0.5) {
                true => _ = claim.take(),
                false => {
                    self.say(|| format!("drops its hold of {rests:?} of stream {stream}"));
                    drop(claim);
                    self.give_back_rests(stream, rests);
                }
            }
            return;
        }
        // Inside a turn a read that waits may have matched already, or not, and nobody can say what it
        // takes; nor whether a stream that is detached has left, so that it takes nothing back. And
        // what a later claim has must not come to lie in a gap, see below.
        let is_later = |held: &Held| held.stream == stream && first(&held.taken) > first(&taken);
        if self.chance(0.5)
            || self.streams[stream].detaching
            || !self.streams[stream].reads.is_empty()
                && (self.in_turn || mem::replace(&mut self.streams[stream].given_back, true))
            || self.held.iter().any(is_later)
        {
            claim.take();
            return;
        }
        self.say(|| format!("drops its hold of {taken:?} of stream {stream}"));
        drop(claim);
        self.give_back(stream, taken);
    }

    /// Bytes were not taken. Who asked how many there are and was not told may have them counted in.
    fn give_back(&mut self, stream: usize, taken: Taken) {
        let inflow = &mut self.streams[stream].inflow;
        inflow.give_back(taken);
        let count = inflow.taken();
        for op in &mut self.ops {
            if op.stream == stream && !op.told && matches!(op.kind, Kind::Read(Spec::Buffered)) {
                op.limit = op.limit.min(count);
            }
        }
    }

    /// The rests of cut writes were not taken: the stream is cut again.
    fn give_back_rests(&mut self, stream: usize, rests: Vec<Rest>) {
        self.streams[stream].outflow.give_back(rests, self.begun);
        self.direction_fails(stream, "Cut");
    }

    /// Writes that are submitted from now on fail.
    fn direction_fails(&mut self, stream: usize, cause: &'static str) {
        let asks = |op: &&Op| {
            op.begun && !op.told && op.stream == stream && matches!(op.kind, Kind::TakeUnsent)
        };
        let asked = self.ops.iter().filter(asks).map(|op| op.order).min();
        self.streams[stream].outflow.fails(cause, self.begun, asked);
    }

    fn end_stream(&mut self) {
        let Some(stream) = self.pick_stream() else { return };
        self.say(|| format!("stream {stream} ends"));
        let now = self.now();
        self.unshare();
        let line = &mut self.streams[stream];
        // As above.
        line.outflow.lossy |= line.inflow.clear_at() > now;
        match self.below(3) {
            0 => {
                // Not drawn, so that most old seeds do what they did.
                let detaches = self.ops.len() % 2 == 1;
                let kind = if detaches { Kind::Detach } else { Kind::Close };
                self.submit(kind, stream, true);
                let line = &mut self.streams[stream];
                line.closing = true;
                line.detaching |= detaches;
            }
            1 => {
                let line = &mut self.streams[stream];
                line.closing = true;
                line.outflow.lossy = true;
                self.engine.abort(line.handle.as_ref().expect("picked"));
            }
            // What is pending goes on; but a claim gives nothing back to a stream that nobody holds.
            _ if self.has_claims(stream) => {}
            _ => drop(self.streams[stream].handle.take()),
        }
    }

    fn has_claims(&self, stream: usize) -> bool {
        self.streams[stream].reads.iter().any(|&id| self.ops[id].claims)
    }

    fn close_listener(&mut self) {
        if self.listener.handle.is_some() && self.chance(0.3) {
            self.listener.closed = true;
            self.submit(Kind::CloseListener, NONE, false);
        }
    }

    // What peers do

    fn peer_acts(&mut self) {
        let waiting = self.listener.waiting.len();
        let count = self.streams.len();
        if count + waiting == 0 {
            return;
        }
        let stream = self.below(count);
        match self.below(20) {
            0 => self.peer_ends(stream),
            1..6 => self.peer_reads(stream, 4096),
            _ => {
                let len = match self.below(6) {
                    0 => self.below(2000),
                    _ => self.below(60),
                };
                let bytes = self.draw_bytes(len);
                self.peer_writes(stream, &bytes);
            }
        }
    }

    /// Returns how many bytes there was room for.
    pub(crate) fn peer_writes(&mut self, stream: usize, bytes: &[u8]) -> usize {
        let now = self.network.now();
        let line = &mut self.streams[stream];
        let Some(peer) = &mut line.peer else { return 0 };
        if line.peer_shut {
            return 0;
        }
        if line.handle.is_none() || line.closing {
            // Nobody may be there any more, and answer by a reset that overtakes what is under way.
            line.outflow.lossy = true;
        }
        let count = match peer.write(bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return 0,
            Err(_) => {
                self.streams[stream].inflow.lossy = true;
                return 0;
            }
        };
        let transfer = match line.link.bandwidth {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            Some(rate) => Duration::from_secs_f64(count as f64 / rate as f64 + 1e-6),
            None => Duration::ZERO,
        };
        let at = (now + line.link.latency.end).max(line.inflow.clear_at());
        let at = at.saturating_add(transfer);
        line.inflow.send(&bytes[..count], at);
        self.say(|| format!("peer {stream} sends {count} bytes, there by {at:?}"));
        count
    }

    pub(crate) fn peer_reads(&mut self, stream: usize, most: usize) {
        let line = &mut self.streams[stream];
        let Some(peer) = &mut line.peer else { return };
        let mut buffer = vec![0; most];
        loop {
            match peer.read(&mut buffer) {
                Ok(0) => break line.peer_ended = true,
                Ok(count) => line.outflow.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    line.peer_ended = true;
                    break;
                }
            }
        }
    }

    fn peer_ends(&mut self, stream: usize) {
        match self.below(4) {
            0 | 1 => self.peer_shuts(stream),
            drawn => self.peer_goes(stream, drawn == 2),
        }
    }

    /// The peer closes its end, or resets the connection.
    pub(crate) fn peer_goes(&mut self, stream: usize, resets: bool) {
        let line = &mut self.streams[stream];
        let Some(peer) = line.peer.take() else { return };
        line.inflow.may_end = true;
        line.inflow.may_reset = true;
        line.inflow.lossy = true;
        line.outflow.lossy = true;
        self.say(|| format!("peer {stream} goes"));
        match resets {
            true => peer.reset(),
            false => drop(peer),
        }
    }

    pub(crate) fn peer_shuts(&mut self, stream: usize) {
        let line = &mut self.streams[stream];
        if let Some(peer) = &line.peer
            && !mem::replace(&mut line.peer_shut, true)
        {
            line.inflow.may_end = true;
            // The connection may be broken already.
            _ = peer.shutdown(Shutdown::Write);
        }
    }

    /// Open streams on which everything was told, so that nothing more is asked of them.
    pub(crate) fn quiet_streams(&self) -> Vec<usize> {
        let is_quiet = |&stream: &usize| {
            let line = &self.streams[stream];
            line.handle.is_some()
                && !line.closing
                && !line.peer_ended
                && !line.inflow.lossy
                && line.outflow.is_all_there()
                && self.ops.iter().all(|op| op.told || op.stream != stream)
        };
        (0..self.streams.len()).filter(is_quiet).collect()
    }

    // What is heard

    fn note(&mut self, id: usize, what: u64) {
        self.digest = (self.digest.rotate_left(7) ^ (id as u64) << 8 ^ what)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// An outcome, once; the operation leaves its queue. Returns whether it was the first there.
    fn leaves(&mut self, id: usize, succeeded: bool) -> bool {
        let op = &mut self.ops[id];
        assert!(op.begun || !succeeded, "{op:?} succeeded before it began");
        assert!(!mem::replace(&mut op.told, true), "{op:?} was told twice");
        if !op.begun {
            return false;
        }
        let queue = match op.kind {
            Kind::Accept => &mut self.listener.accepts,
            Kind::Read(Spec::Buffered) | Kind::TakeUnsent => return true,
            Kind::Read(_) => &mut self.streams[op.stream].reads,
            Kind::Write { .. } | Kind::Flush | Kind::Shutdown => {
                &mut self.streams[op.stream].writes
            }
            Kind::Connect
            | Kind::Sleep
            | Kind::Close
            | Kind::Detach
            | Kind::CloseListener
            | Kind::Lookup
            | Kind::Work
            | Kind::AcceptMatch(_) => return true,
        };
        let at = queue.iter().position(|&other| other == id).expect("queued until told");
        assert!(at == 0 || !succeeded, "{op:?} has overtaken operation {}", queue[0]);
        queue.remove(at);
        at == 0
    }

    /// Tells a step in words, for whoever replays a seed.
    fn say(&self, words: impl FnOnce() -> String) {
        if self.talks {
            eprintln!("{:>10?} {}", self.now(), words());
        }
    }

    fn hears(&mut self, id: usize, outcome: Result<Value>) -> Taken {
        self.say(|| format!("  op {id} hears {outcome:?}"));
        let now = self.now();
        self.looked_at.get_or_insert(now);
        self.rests.clear();
        let was_first = self.leaves(id, outcome.is_ok());
        match outcome {
            Ok(value) => {
                self.note(id, value.len());
                let taken = self.succeeds(id, &value);
                self.goes_on(id, now);
                taken
            }
            Err(error) => {
                self.note(id, hash(&brief(&error)));
                self.fails(id, &error, was_first);
                Taken::new()
            }
        }
    }

    /// The stage behind a successful one begins before its callback, and its timeout runs from that
    /// success: whatever the books wait for meanwhile, the peer's end of a connection, comes later.
    fn goes_on(&mut self, id: usize, now: Duration) {
        let Op { chain: Some(chain), stream, .. } = self.ops[id] else { return };
        let chain = &self.chains[chain];
        let at = chain.ops.iter().position(|&op| op == id).expect("one of its stages");
        if let Some(&next) = chain.ops.get(at + 1) {
            self.ops[next].stream = stream;
            self.begin_at(next, now);
        }
    }

    fn succeeds(&mut self, id: usize, value: &Value) -> Taken {
        let (stream, limit, kind) =
            (self.ops[id].stream, self.ops[id].limit, self.ops[id].kind.clone());
        match (kind, value) {
            (Kind::Read(spec), value) => {
                return self.streams[stream].inflow.succeeded(&spec, limit, value);
            }
            (Kind::Write { number, .. }, Value::Count(count)) => {
                let line = &mut self.streams[stream];
                assert_eq!(*count, line.outflow.len_of(number), "a success counts all");
                assert!(!line.outflow.is_shut, "a write after the end");
                line.outflow.goes_on(self.ops[id].order);
                line.outflow.counts(number, *count);
                let sent = line.outflow.received.len() + line.link.buffer;
                assert!(
                    line.outflow.lossy || line.outflow.counted() <= sent + line.unsent,
                    "too much is unsent"
                );
            }
            (Kind::Flush, Value::Unit) => self.all_is_sent(stream),
            (Kind::Shutdown, Value::Unit) => {
                self.all_is_sent(stream);
                self.streams[stream].outflow.is_shut = true;
            }
            (Kind::TakeUnsent, Value::Bytes(rest)) => {
                let asked = self.ops[id].order;
                self.rests = self.streams[stream].outflow.take_rest(rest, asked);
            }
            (Kind::Close, Value::Unit) => self.comes_last(id),
            (Kind::Detach, Value::Bytes(unread)) => {
                self.comes_last(id);
                self.all_is_sent(stream);
                self.streams[stream].inflow.detached(unread);
            }
            (Kind::Accept, Value::Stream) => self.accepted(id),
            (Kind::AcceptMatch(expression), value) => {
                self.accepted(id);
                let stream = self.ops[id].stream;
                let spec = Spec::Regex(expression);
                self.streams[stream].inflow.succeeded(&spec, self.limits.line, value);
            }
            (Kind::Connect, Value::Stream) => self.connected(id),
            (Kind::Sleep | Kind::CloseListener | Kind::Lookup | Kind::Work, Value::Unit) => {}
            (kind, value) => panic!("{kind:?} yields {value:?}"),
        }
        Taken::new()
    }

    /// A close is told after everything that was submitted on the stream before it.
    fn comes_last(&self, id: usize) {
        let Op { stream, order, .. } = self.ops[id];
        let line = &self.streams[stream];
        // A future says what it has heard when it is polled.
        let is_future = |id| self.futures.iter().any(|(future, _)| *future == id);
        let is_earlier = |&&other: &&usize| self.ops[other].order < order && !is_future(other);
        let earlier = line.reads.iter().chain(&line.writes).find(is_earlier);
        assert_eq!(earlier, None, "a close comes last");
    }

    /// The system has all that was written: it is at the peer or under way.
    fn all_is_sent(&self, stream: usize) {
        let line = &self.streams[stream];
        let sent = line.outflow.received.len() + line.link.buffer;
        // Only what was counted before this can be known here.
        assert!(
            line.outflow.lossy || line.outflow.counted() <= sent,
            "more was counted than the system can have"
        );
    }

    fn accepted(&mut self, id: usize) {
        let connection = CONNECTION.take().expect("on its way");
        let waiting = &self.listener.waiting;
        let at = match connection.peer_addr() {
            Ok(from) => waiting.iter().position(|(_, address, _)| *address == from),
            // It is gone already, so nobody can say which it was.
            Err(_) => Some(0),
        };
        let at = at.expect("somebody connected, and was not accepted before");
        self.say(|| format!("  op {id} has the connection at {at}"));
        // What was given back is in front, but for accepts that may have had theirs already; of
        // several that were, the last is.
        let in_order = at == 0
            || at < self.listener.in_front
            || self.ops[id].order <= self.listener.undone_order;
        assert!(in_order, "connections come in order");
        let (peer, _, sent) = self.listener.waiting.remove(at).expect("somebody connected");
        self.adopt(id, connection, peer);
        if let Some(line) = self.streams.last_mut()
            && !sent.is_empty()
        {
            line.inflow.send(&sent, Duration::MAX);
        }
    }

    fn connected(&mut self, id: usize) {
        let connection = CONNECTION.take().expect("on its way");
        let address = connection.local_addr();
        while let Ok(found) = self.peer_listener.accept() {
            self.strays.push(found);
            if self.strays.last().map(|stray| stray.1) == address.as_ref().ok().copied() {
                break;
            }
        }
        let at = match address {
            Ok(address) => self.strays.iter().position(|stray| stray.1 == address),
            Err(_) => None,
        };
        match at {
            Some(at) => {
                let (peer, _) = self.strays.remove(at);
                peer.set_nonblocking(true).unwrap();
                self.adopt(id, connection, peer);
            }
            None => panic!("nobody was connected to"),
        }
    }

    fn adopt(&mut self, id: usize, connection: Stream, peer: Peer) {
        self.say(|| format!("op {id} makes stream {}, {peer:?}", self.streams.len()));
        let line = self.new_line(Some(connection), Some(peer));
        self.streams.push(line);
        self.ops[id].stream = self.streams.len() - 1;
    }

    fn fails(&mut self, id: usize, error: &Error, was_first: bool) {
        let now = self.now();
        let (chain, begun) = (self.ops[id].chain, self.ops[id].begun);
        if let Some(number) = chain {
            let chain = &mut self.chains[number];
            let stage = 1 + chain.ops.iter().position(|&op| op == id).expect("one of its stages");
            match (error, chain.failed) {
                (Error::Stage { stage: of, .. }, Some(failed)) => {
                    assert_eq!(*of, failed, "the stage that failed");
                    return assert!(!begun);
                }
                (Error::Stage { .. }, None) if self.gone => return,
                (Error::Stage { .. }, None) => panic!("no stage has failed: {error:?}"),
                (Error::EngineClosed, _) if self.gone => {}
                (_, Some(_)) => panic!("stage {stage} hears {error:?}"),
                (_, None) => chain.failed = Some(stage),
            }
        }
        let op = &self.ops[id];
        let cancelled = op.cancelled;
        let chain_due = chain.and_then(|chain| self.chains[chain].due);
        let due = op.due.is_some_and(|due| due <= now) || chain_due.is_some_and(|due| due <= now);
        let (stream, limit, kind) = (op.stream, op.limit, op.kind.clone());
        if matches!(error, Error::TimedOut) && was_first && op.turns_late == 0 {
            self.is_nothing_there(stream, &kind, limit);
        }
        if self.gone && matches!(error, Error::EngineClosed) {
            if let Kind::Write { number, .. } = kind
                && begun
            {
                self.streams[stream].outflow.counts(number, 0);
            }
            return;
        }
        match kind {
            Kind::Read(spec) => self.read_fails(stream, &spec, limit, error, cancelled, due),
            Kind::Write { number, .. } => {
                if matches!(error, Error::PartialWrite { .. }) {
                    self.streams[stream].outflow.goes_on(self.ops[id].order);
                }
                self.write_fails(stream, number, error, cancelled, due, limit);
            }
            Kind::Flush | Kind::Shutdown => {
                self.admit_of_write(stream, error, cancelled, due, 0);
            }
            Kind::TakeUnsent => match error {
                Error::Closed => assert!(self.streams[stream].closing),
                Error::Cancelled => {
                    assert!(cancelled && self.ops[id].claims);
                    if self.streams[stream].outflow.withdraw_rest(self.begun) {
                        self.direction_fails(stream, "Cut");
                    }
                }
                _ => panic!("it hears {error:?}"),
            },
            Kind::Close | Kind::Detach => match error {
                Error::TimedOut => {
                    assert!(due);
                    self.streams[stream].outflow.lossy = true;
                }
                Error::Cancelled => assert!(cancelled),
                Error::Closed => assert!(self.streams[stream].closing),
                Error::Io { .. } => assert!(self.streams[stream].outflow.lossy, "{error:?}"),
                _ => panic!("a close hears {error:?}"),
            },
            Kind::Accept => match error {
                Error::Cancelled => {
                    assert!(cancelled);
                    self.listener.undone += 1;
                    self.listener.in_front += 1;
                    self.listener.undone_order = self.begun;
                }
                Error::TimedOut => assert!(due, "too early"),
                Error::Closed => assert!(self.listener.closed),
                _ => panic!("an accept hears {error:?}"),
            },
            Kind::Connect => match error {
                Error::Cancelled => assert!(cancelled),
                Error::TimedOut => assert!(due, "too early"),
                Error::Io { cause, .. } => assert!(
                    self.link.refuse > 0.0 && cause.kind() == ErrorKind::ConnectionRefused
                        || self.link.reset > 0.0
                        || self.link.end > 0.0
                        || self.shortage,
                    "{error:?}"
                ),
                _ => panic!("a connect hears {error:?}"),
            },
            Kind::Sleep | Kind::Lookup | Kind::Work => match error {
                Error::Cancelled => assert!(cancelled),
                Error::TimedOut => assert!(due, "too early"),
                _ => panic!("{kind:?} hears {error:?}"),
            },
            Kind::CloseListener => match error {
                Error::TimedOut => assert!(due, "too early"),
                _ => assert!(matches!(error, Error::Cancelled) && cancelled, "{error:?}"),
            },
            // Whether the connection was accepted by then, nobody can say.
            Kind::AcceptMatch(_) => match error {
                Error::Cancelled => assert!(cancelled),
                Error::TimedOut => assert!(due, "too early"),
                Error::Closed => assert!(self.listener.closed),
                Error::EndOfStream | Error::Io { .. } => {}
                _ => panic!("an accept with a match hears {error:?}"),
            },
        }
    }

    /// What has arrived is never a timeout.
    fn is_nothing_there(&self, stream: usize, kind: &Kind, limit: usize) {
        match kind {
            // A read behind a claim has one more turn, in which more may come.
            Kind::Read(_) if self.streams[stream].claimed > 0 => {}
            Kind::Read(spec) => {
                let looked_at = self.looked_at.unwrap_or_else(|| self.now());
                self.streams[stream].inflow.timed_out(spec, limit, looked_at);
            }
            Kind::Accept => assert!(
                self.listener.waiting.is_empty()
                    || self.shortage
                    || self.listener.undone > self.listener.undone_before,
                "a timeout of a connection that is there"
            ),
            _ => {}
        }
    }

    fn read_fails(
        &mut self,
        stream: usize,
        spec: &Spec,
        limit: usize,
        error: &Error,
        cancelled: bool,
        due: bool,
    ) {
        let line = &mut self.streams[stream];
        match error {
            Error::Cancelled => assert!(cancelled, "nobody cancelled it"),
            Error::TimedOut => assert!(due, "too early"),
            Error::Closed => assert!(line.closing, "nobody closed it"),
            Error::EndOfStream => line.inflow.ended("end", spec, limit),
            Error::Io { .. } => line.inflow.ended("reset", spec, limit),
            Error::TooLong { limit: told } => {
                assert_eq!(*told, limit, "the limit");
                line.inflow.too_long(spec, limit);
            }
            Error::Unexpected { line: told, .. } => line.inflow.unexpected(spec, limit, told),
            _ => panic!("a read hears {error:?}"),
        }
    }

    fn write_fails(
        &mut self,
        stream: usize,
        number: usize,
        error: &Error,
        cancelled: bool,
        due: bool,
        most: usize,
    ) {
        if let Error::PartialWrite { written, cause } = error {
            if self.gone && matches!(**cause, Error::EngineClosed) {
                return self.streams[stream].outflow.counts(number, *written);
            }
            let now = self.begun;
            let line = &mut self.streams[stream];
            line.outflow.cut(number, *written, now);
            match **cause {
                Error::Cancelled => assert!(cancelled, "nobody cancelled it"),
                Error::TimedOut => assert!(due, "too early"),
                Error::Io { .. } => assert!(line.outflow.lossy, "{error:?}"),
                Error::Closed => assert!(line.closing, "nobody closed it"),
                _ => panic!("a cut write hears {error:?}"),
            }
            // What others hear of: that it was cut, and not that somebody cancelled them.
            let heard = match **cause {
                Error::Cancelled | Error::TimedOut => "Cut",
                _ => cause_name(cause),
            };
            return self.direction_fails(stream, heard);
        }
        self.streams[stream].outflow.counts(number, 0);
        self.admit_of_write(stream, error, cancelled, due, most);
    }

    /// Whether a write, flush or shutdown may hear this.
    fn admit_of_write(
        &mut self,
        stream: usize,
        error: &Error,
        cancelled: bool,
        due: bool,
        most: usize,
    ) {
        let line = &mut self.streams[stream];
        let failed = line.outflow.has_failed(cause_name(error));
        match error {
            Error::Cancelled => assert!(cancelled, "nobody cancelled it"),
            Error::TimedOut => assert!(due, "too early"),
            Error::Cut { written, cause } => {
                assert!(failed, "no write was cut");
                assert!(line.outflow.was_cut_at(*written), "none was cut after {written} bytes");
                assert!(matches!(**cause, Error::Cancelled | Error::TimedOut), "{cause}");
            }
            Error::Closed => {
                assert!(line.closing || line.outflow.shutdowns > 0 || failed, "nobody closed it")
            }
            Error::Io { .. } => {
                assert!(line.outflow.lossy, "{error:?}");
                self.direction_fails(stream, "Io");
            }
            Error::Overloaded => {
                let least = line.queued;
                assert!(most > least, "{most} bytes are no more than {least}");
            }
            _ => panic!("a write hears {error:?}"),
        }
    }

    fn after_turn(&mut self) {
        self.listener.undone_before = self.listener.undone;
        for line in &mut self.streams {
            line.claimed = line.claimed.saturating_sub(1);
            line.given_back = false;
        }
        let now = self.now();
        let looked_at = self.looked_at.unwrap_or(now);
        for (id, op) in self.ops.iter_mut().enumerate() {
            if op.told || !op.begun || mem::take(&mut op.unseen) {
                continue;
            }
            if op.overdue.is_none()
                && let Some(timeout) = op.timeout
            {
                // The next turn is the first that can see it pass.
                op.overdue = now.checked_add(timeout);
                continue;
            }
            // What the system has in hand ends when the system has said so.
            let prompt = match &op.kind {
                Kind::Read(_) | Kind::Accept | Kind::Flush | Kind::Sleep | Kind::Connect => true,
                Kind::Write { .. } | Kind::Shutdown | Kind::Close | Kind::Detach => false,
                Kind::TakeUnsent | Kind::CloseListener => false,
                Kind::Lookup | Kind::Work => true,
                // Its time begins with the connection.
                Kind::AcceptMatch(_) => false,
            };
            if !prompt {
                continue;
            }
            assert!(!op.cancelled, "operation {id} goes on after its cancel: {op:?}");
            // Of what passed while callbacks ran the engine has not seen anything yet.
            if op.overdue.is_some_and(|overdue| overdue <= looked_at) {
                // One more turn is for a read behind one whose callback has to run first, and others for
                // those in front that have much to look at.
                let most = if self.has_few_steps { 10 } else { 0 };
                assert!(op.turns_late <= most, "operation {id} is overdue: {op:?}");
                op.turns_late += 1;
            }
        }
    }

    /// One more step. Interrupts the program if it is the one. Returns whether by a panic.
    pub(crate) fn steps(&mut self) -> bool {
        let Some(interruption) = &mut self.interruption else { return false };
        interruption.steps += 1;
        if interruption.at != interruption.steps {
            return false;
        }
        let how = interruption.how;
        self.say(|| format!("INTERRUPTED: {how:?}"));
        match how {
            How::Nothing => {}
            How::Cancel => (0..self.ops.len()).for_each(|id| self.cancel(id)),
            How::Timeout => self.network.pass(2 * HOUR),
            How::DropFuture => self.drop_futures(),
            How::Close => self.close_everything(),
            How::Abort => {
                for line in &mut self.streams {
                    if let Some(handle) = &line.handle {
                        line.closing = true;
                        line.outflow.lossy = true;
                        self.engine.abort(handle);
                    }
                }
            }
            How::DropEngine => self.gone = true,
            How::Panic => return true,
        }
        false
    }

    fn close_everything(&mut self) {
        for stream in 0..self.streams.len() {
            if self.streams[stream].handle.is_some() && !self.streams[stream].closing {
                let now = self.now();
                let line = &mut self.streams[stream];
                line.outflow.lossy |= line.inflow.clear_at() > now;
                self.submit_as(Style::Callback, Kind::Close, stream, Some(HOUR));
                self.streams[stream].closing = true;
            }
        }
        if self.listener.handle.is_some() {
            self.listener.closed = true;
            self.submit_as(Style::Callback, Kind::CloseListener, NONE, Some(HOUR));
        }
    }

    /// What a callback does beside being told. Returns whether it panics.
    fn reacts(&mut self) -> bool {
        if self.winding_down || self.gone {
            return false;
        }
        if self.chance(0.3) {
            self.act();
        }
        self.chance(0.01)
    }
}

/// A callback.
fn hear(id: usize, outcome: Result<Value>) {
    in_callback(|world| {
        world.hears(id, outcome);
        world.reacts() || world.steps()
    });
}

/// Runs what a callback does, unless the program has failed already. It panics if `f` says so, and
/// keeps what `f` itself panics with.
fn in_callback(f: impl FnOnce(&mut World) -> bool) {
    let failure = FAILURE.take();
    if thread::panicking() || failure.is_some() {
        return FAILURE.set(failure);
    }
    match catch_unwind(AssertUnwindSafe(|| with(f))) {
        Ok(false) => {}
        Ok(true) => resume_unwind(Box::new(Planned)),
        Err(panic) => FAILURE.set(Some(panic)),
    }
}

/// Goes on with what failed in a callback.
fn resume_failure() {
    if let Some(panic) = FAILURE.take() {
        resume_unwind(panic);
    }
}

/// A callback that gets a claim: takes it, drops it, or keeps it for later.
fn hear_claim(id: usize, outcome: Result<Claim<Value>>) {
    let claim = match outcome {
        Ok(claim) => claim,
        Err(error) => return hear(id, Err(error)),
    };
    let value = VALUE.take();
    in_callback(|world| {
        let value = value.expect("seen on its way");
        let mut drawn = world.below(3);
        let is_read = matches!(&world.ops[id].kind, Kind::Read(spec) if spec.takes());
        let is_accept = matches!(world.ops[id].kind, Kind::Accept);
        if is_accept && drawn == 0 && !world.winding_down {
            // The next accept must find it in front.
            world.leaves(id, true);
            world.say(|| format!("  op {id} drops its claim on a connection"));
            world.listener.undone += 1;
            world.listener.in_front += 1;
            world.listener.undone_order = world.begun;
            drop(CONNECTION.take());
            drop(claim);
            return world.reacts();
        }
        let taken = world.hears(id, Ok(value));
        let rests = mem::take(&mut world.rests);
        world.say(|| format!("  and does {drawn} with its claim on {taken:?}"));
        let stream = world.ops[id].stream;
        if is_read {
            world.streams[stream].claimed = 2;
        }
        if world.winding_down
            || is_read && (world.streams[stream].handle.is_none() || taken.len() > 1)
        {
            // Nothing is given back to a stream that nobody holds; and a read over a gap that
            // another claim has left goes back in one piece.
            drawn = 2;
        }
        match drawn {
            0 if is_read => {
                drop(claim);
                world.give_back(stream, taken);
            }
            1 if is_read => world.held.push(Held { claim, stream, taken, rests }),
            0 if !rests.is_empty() => {
                drop(claim);
                world.give_back_rests(stream, rests);
            }
            1 if !rests.is_empty() => world.held.push(Held { claim, stream, taken, rests }),
            _ => _ = claim.take(),
        }
        world.reacts() || world.steps()
    });
}

fn hash(words: &str) -> u64 {
    words.bytes().fold(1, |all: u64, byte| all.wrapping_mul(31).wrapping_add(byte.into()))
}

/// Calls the engine for what is done on a stream.
fn on_stream(engine: &Handle, s: &Stream, kind: Kind, cb: Callback<Value>) -> Cancel {
    match kind {
        Kind::Read(spec) => spec.submit(engine, s, cb),
        Kind::Write { bytes, how, .. } => {
            let cb = cb.map(Value::Count);
            match how {
                Writing::Whole => engine.write(s, bytes, cb),
                Writing::Line => engine.write_line(s, bytes, cb),
                Writing::Vectored => engine.write_vectored(s, in_three(&bytes), cb),
            }
        }
        Kind::Flush => engine.flush(s, cb.map(|()| Value::Unit)),
        Kind::Shutdown => engine.shutdown_write(s, cb.map(|()| Value::Unit)),
        Kind::TakeUnsent => engine.take_unsent(s, cb.map(Value::Bytes)),
        Kind::Close => engine.close(s, cb.map(|()| Value::Unit)),
        Kind::Detach => engine.detach(s, cb.map(|Detached { unread, .. }| Value::Bytes(unread))),
        kind => unreachable!("{kind:?} is of no stream"),
    }
}

const fn first(taken: &Taken) -> usize {
    match taken.as_slice() {
        [first, ..] => first.start,
        [] => 0,
    }
}

/// Puts a connection where the callback finds it.
fn keep_connection(stream: Stream) -> Value {
    CONNECTION.set(Some(stream));
    Value::Stream
}

fn in_three(bytes: &Bytes) -> [Bytes; 3] {
    let (one, two) = (bytes.len() / 3, bytes.len() / 2);
    [bytes.slice(..one), bytes.slice(one..two), bytes.slice(two..)]
}

const fn cause_name(error: &Error) -> &'static str {
    match error {
        Error::Cancelled => "Cancelled",
        Error::TimedOut => "TimedOut",
        Error::Cut { .. } => "Cut",
        Error::Io { .. } => "Io",
        Error::Closed => "Closed",
        _ => "other",
    }
}
