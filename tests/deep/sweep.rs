//! The sweep: every scenario is run once to see how many steps it has, and then once for each step
//! and each way to be interrupted there. A step is a turn or a callback. The books of the reference
//! model say each time whether all promises were kept.

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use facade_engine::{
    Bytes, Limits,
    sim::{Link, Machine, Network},
};

use crate::model::{
    copies::CopySpec,
    ending::{drop_engine, settle},
    expect::{Expected, Expression, Spec},
    interruptions::{HOUR, How, Interruption},
    turns::turn,
    world::{Kind, NONE, Op, Style, Surroundings, World, Writing, begin, end, with},
};

/// What a program does, and then its peers, one step a turn.
struct Scenario {
    name: String,
    begins: Vec<Begin>,
    script: Vec<Peer>,
}

enum Begin {
    One(Style, Kind),
    /// On the stream that is copied to.
    Sink(Kind),
    Chain(Vec<Kind>),
    Short(Kind, Kind),
}

#[derive(Debug, Clone, Copy)]
enum Peer {
    /// On the newest connection, accepted or not.
    Send(&'static [u8]),
    Read,
    Shut,
    Go,
    Reset,
    Connect,
    /// To the socket of datagrams, and what came from there.
    Datagram(&'static [u8]),
    ReadDatagrams,
    /// Those of the stream that is copied to.
    SinkReads,
    SinkSends(&'static [u8]),
    SinkShuts,
    SinkGoes,
    Rest,
}

/// The streams of a copy.
const SINK: usize = 0;
const SOURCE: usize = 1;

/// Something for every read to find.
const TEXT: &[u8] = b"a\r\nbxd c\n\nefgh\r\n\r\naab\nccb\n";

const EVERY_WAY: [How; 8] = [
    How::Nothing,
    How::Cancel,
    How::Timeout,
    How::DropFuture,
    How::Close,
    How::Abort,
    How::DropEngine,
    How::Panic,
];

const STYLES: [Style; 3] = [Style::Callback, Style::Claim, Style::Future];

fn reads() -> Vec<Spec> {
    vec![
        Spec::Chunk(9),
        Spec::Exact(9),
        Spec::Exact(0),
        Spec::Until("\n"),
        Spec::Until("\r\n\r\n"),
        Spec::Line,
        Spec::Glob,
        Spec::Regex(Expression::Dot),
        Spec::Regex(Expression::LineEnd),
        Spec::Regex(Expression::Plus),
        Spec::Any { bytes: "aab", end: false },
        Spec::Any { bytes: "zzz", end: true },
        Spec::All,
        Spec::With("\n\n"),
        Spec::Expect(Expected::Any),
        Spec::Expect(Expected::Exact),
        Spec::Expect(Expected::Glob),
        Spec::Peek(4),
        Spec::Buffered,
    ]
}

fn write(len: usize, how: Writing) -> Kind {
    let bytes: Bytes = (b'a'..=b'z').cycle().take(len).collect();
    Kind::Write { bytes, how, number: 0 }
}

fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut add = |name: String, begins: Vec<Begin>, script: Vec<Peer>| {
        all.push(Scenario { name, begins, script });
    };
    let bytewise: Vec<Peer> = TEXT[..12].chunks(1).map(Peer::Send).collect();
    let scripts = [
        ("whole", vec![Peer::Send(TEXT), Peer::Rest, Peer::Shut]),
        ("bytewise", [&bytewise[..], &[Peer::Send(&TEXT[12..])]].concat()),
        ("too little, then an end", vec![Peer::Send(b"e"), Peer::Rest, Peer::Shut]),
        ("a reset", vec![Peer::Send(&TEXT[..2]), Peer::Rest, Peer::Reset]),
    ];
    for style in STYLES {
        for spec in reads() {
            for (how, script) in &scripts {
                let begins = vec![Begin::One(style, Kind::Read(spec.clone()))];
                add(format!("{spec:?} as {style:?}, {how}"), begins, script.clone());
            }
        }
        let peers = [
            ("reads", vec![Peer::Read; 4]),
            ("rests, then reads", vec![Peer::Rest, Peer::Rest, Peer::Read, Peer::Read]),
            ("goes", vec![Peer::Rest, Peer::Go]),
        ];
        for (how, script) in peers {
            let writes = [
                ("small", write(20, Writing::Whole)),
                ("line", write(20, Writing::Line)),
                ("vectored", write(300, Writing::Vectored)),
                ("large", write(9000, Writing::Whole)),
                ("empty", write(0, Writing::Whole)),
            ];
            for (what, kind) in writes {
                let name = format!("write {what} as {style:?}, the peer {how}");
                add(name, vec![Begin::One(style, kind)], script.clone());
            }
            let behind = [Kind::Flush, Kind::Shutdown, Kind::TakeUnsent];
            for kind in behind {
                let name = format!("write, then {kind:?} as {style:?}, the peer {how}");
                let first = Begin::One(Style::Callback, write(5000, Writing::Whole));
                add(name, vec![first, Begin::One(style, kind)], script.clone());
            }
        }
        let three =
            [20, 5000, 300].map(|len| Begin::One(Style::Callback, write(len, Writing::Line)));
        let script = vec![Peer::Rest, Peer::Read, Peer::Rest, Peer::Read];
        add(format!("three writes and a flush as {style:?}"), three.into(), script);
        for kind in [Kind::Sleep, Kind::Lookup, Kind::Work] {
            add(format!("{kind:?} as {style:?}"), vec![Begin::One(style, kind)], vec![Peer::Rest]);
        }
        let clients = [
            ("there", vec![Peer::Connect, Peer::Send(TEXT), Peer::Rest]),
            ("to come", vec![Peer::Rest, Peer::Connect, Peer::Send(TEXT)]),
            ("two", vec![Peer::Connect, Peer::Connect, Peer::Rest]),
        ];
        for (how, script) in &clients {
            for expression in [Expression::LineEnd, Expression::Plus] {
                let kind = Kind::AcceptMatch(expression);
                let name = format!("{kind:?} as {style:?}, a client is {how}");
                add(name, vec![Begin::One(style, kind)], script.clone());
            }
            let name = format!("accept as {style:?}, a client is {how}");
            add(name, vec![Begin::One(style, Kind::Accept)], script.clone());
        }
        add(
            format!("connect as {style:?}"),
            vec![Begin::One(style, Kind::Connect)],
            vec![Peer::Rest, Peer::Rest, Peer::Send(TEXT)],
        );
    }
    let line = |expected| Kind::Read(Spec::Expect(expected));
    let clients = vec![Peer::Connect, Peer::Send(TEXT), Peer::Rest, Peer::Read];
    let answers = vec![Peer::Rest, Peer::Rest, Peer::Send(TEXT), Peer::Read, Peer::Rest];
    for expected in [Expected::Any, Expected::Exact, Expected::Glob] {
        for (one, script) in [
            (Kind::Accept, &clients),
            (Kind::Connect, &answers),
            (write(20, Writing::Whole), &answers),
        ] {
            let name = format!("{one:?}, then {expected:?} as a short form");
            add(name, vec![Begin::Short(one, line(expected))], script.clone());
        }
    }
    for (one, two, script) in [
        (Kind::Accept, write(300, Writing::Whole), &clients),
        (Kind::Connect, write(300, Writing::Line), &answers),
        (Kind::Lookup, Kind::Connect, &answers),
    ] {
        let name = format!("{one:?}, then another as a short form");
        add(name, vec![Begin::Short(one, two)], script.clone());
    }
    let read = |spec| Kind::Read(spec);
    let chains = [
        vec![Kind::Accept, read(Spec::Line), write(20, Writing::Line), read(Spec::Until("\n\n"))],
        vec![Kind::Accept, read(Spec::Regex(Expression::Plus)), write(9000, Writing::Whole)],
        vec![Kind::Accept, write(20, Writing::Line), Kind::Flush, Kind::Shutdown],
    ];
    for (number, chain) in chains.into_iter().enumerate() {
        add(format!("chain {number} of an accept"), vec![Begin::Chain(chain)], clients.clone());
    }
    let chains = [
        vec![Kind::Lookup, Kind::Connect, line(Expected::Any), write(20, Writing::Line)],
        vec![Kind::Connect, write(20, Writing::Line), line(Expected::Glob), Kind::Shutdown],
        vec![Kind::Connect, read(Spec::Exact(5)), read(Spec::Exact(500)), read(Spec::All)],
        vec![write(9000, Writing::Whole), Kind::Flush, read(Spec::Chunk(3)), read(Spec::Glob)],
        vec![read(Spec::Line), write(20, Writing::Line), read(Spec::With("\n\n"))],
    ];
    for (number, chain) in chains.into_iter().enumerate() {
        add(format!("chain {number} of others"), vec![Begin::Chain(chain)], answers.clone());
    }
    datagrams(&mut add);
    repeating(&mut add, &scripts, &clients);
    copies(&mut add);
    all
}

/// What adds a scenario.
type Add<'a> = dyn FnMut(String, Vec<Begin>, Vec<Peer>) + 'a;

fn datagrams(add: &mut Add<'_>) {
    let (one, two) = (Peer::Datagram(b"0000one"), Peer::Datagram(b"0001two"));
    let scripts = [
        ("there", vec![one, Peer::Rest]),
        ("to come", vec![Peer::Rest, Peer::Rest, one, two]),
        ("two, and one is empty", vec![Peer::Datagram(b""), one]),
    ];
    let receive = || Kind::Receive { socket: 0 };
    let send = |bytes: &'static str| Kind::Send {
        socket: 0,
        bytes: Bytes::from(bytes),
        to: None,
        number: 0,
    };
    for style in STYLES {
        for (how, script) in &scripts {
            let begins = || Begin::One(style, receive());
            add(format!("receive as {style:?}, {how}"), vec![begins()], script.clone());
            let name = format!("two receives as {style:?}, {how}");
            add(name, vec![begins(), begins()], script.clone());
        }
        let sends = ["0000a", "", "0002bc"].map(|bytes| Begin::One(style, send(bytes)));
        let script = vec![Peer::Rest, Peer::ReadDatagrams, Peer::Rest];
        add(format!("three datagrams are sent as {style:?}"), sends.into(), script);
    }
    for (how, script) in &scripts {
        let each = Begin::One(Style::Callback, Kind::EachDatagram { socket: 0 });
        let begins = vec![each, Begin::One(Style::Claim, receive())];
        add(format!("each datagram, then a receive, {how}"), begins, script.clone());
    }
    let begins = [Kind::CloseSocket { socket: 0 }, receive(), send("0000a")];
    let begins = begins.into_iter().rev().map(|kind| Begin::One(Style::Callback, kind));
    add("send, receive, then close".to_owned(), begins.collect(), vec![one, Peer::Rest]);
}

fn repeating(add: &mut Add<'_>, scripts: &[(&str, Vec<Peer>)], clients: &[Peer]) {
    let one = |kind| Begin::One(Style::Callback, kind);
    for spec in [Spec::Line, Spec::Chunk(9)] {
        for (how, script) in scripts {
            for style in [Style::Callback, Style::Future] {
                let each = Begin::One(style, Kind::Each(spec.clone()));
                add(format!("each {spec:?} as {style:?}, {how}"), vec![each], script.clone());
            }
            let begins = vec![one(Kind::Each(spec.clone())), one(Kind::Read(Spec::Chunk(3)))];
            add(format!("each {spec:?}, then a chunk, {how}"), begins, script.clone());
        }
    }
    add("each connection".to_owned(), vec![one(Kind::EachConnection)], clients.to_vec());
    let several = vec![Peer::Connect, Peer::Connect, Peer::Rest, Peer::Connect];
    let begins = vec![one(Kind::EachConnection), Begin::One(Style::Claim, Kind::Accept)];
    add("each of several connections, then an accept".to_owned(), begins, several);
    let every = Kind::Every(Duration::from_millis(15));
    add(format!("{every:?}"), vec![one(every)], vec![Peer::Rest; 6]);
}

fn copies(add: &mut Add<'_>) {
    let scripts = [
        (
            "it ends",
            vec![Peer::Send(TEXT), Peer::SinkReads, Peer::Shut, Peer::SinkReads, Peer::SinkReads],
        ),
        (
            "both end",
            vec![
                Peer::Send(TEXT),
                Peer::SinkSends(&TEXT[..9]),
                Peer::Shut,
                Peer::SinkReads,
                Peer::Read,
                Peer::SinkSends(&TEXT[9..]),
                Peer::SinkShuts,
                Peer::Read,
            ],
        ),
        ("nobody reads", vec![Peer::Send(&[b'x'; 1500]), Peer::Rest, Peer::Send(TEXT), Peer::Rest]),
        ("the end of it goes", vec![Peer::Send(&[b'x'; 1500]), Peer::Rest, Peer::SinkGoes]),
        ("a reset", vec![Peer::Send(TEXT), Peer::SinkReads, Peer::Reset, Peer::Rest]),
    ];
    for (how, script) in scripts {
        for both_ways in [false, true] {
            for idle in [None, Some(Duration::from_millis(25))] {
                let copy = Kind::Copy(CopySpec::new(0, both_ways, idle));
                let begins = vec![Begin::One(Style::Callback, copy)];
                add(
                    format!("copy, both ways {both_ways}, {idle:?}, {how}"),
                    begins,
                    script.clone(),
                );
            }
        }
        let copy = || Begin::One(Style::Callback, Kind::Copy(CopySpec::new(0, false, None)));
        let name = format!("a chunk, a copy and a chunk, {how}");
        let read = |style| Begin::One(style, Kind::Read(Spec::Chunk(3)));
        add(name, vec![read(Style::Claim), copy(), read(Style::Callback)], script.clone());
        let name = format!("a write, a copy, a write and an end, {how}");
        let write = || Begin::Sink(write(300, Writing::Whole));
        let begins = vec![write(), copy(), write(), Begin::Sink(Kind::Shutdown)];
        add(name, begins, script);
    }
}

impl Scenario {
    /// Whatever its operations are of.
    fn prepare(&self, world: &mut World, rough: bool) {
        let has = |is_it: fn(&Kind) -> bool| {
            self.begins.iter().any(|begin| matches!(begin, Begin::One(_, kind) if is_it(kind)))
        };
        if has(Kind::is_of_socket) {
            let ms = Duration::from_millis(if rough { 5 } else { 0 });
            let buffer = if rough { 200 } else { 4096 };
            world.set_datagram_link(Link { latency: ms..ms, buffer, ..Link::default() });
            world.add_socket(true);
        }
        if has(|kind| matches!(kind, Kind::Copy(_))) {
            world.add_pair();
        }
    }
}

impl World {
    fn begins(&mut self, begin: &Begin) {
        let place = |kind: &Kind| match kind {
            Kind::Read(_)
            | Kind::Write { .. }
            | Kind::Flush
            | Kind::Shutdown
            | Kind::TakeUnsent
            | Kind::Each(_) => 0,
            Kind::Copy(_) => SOURCE,
            _ => NONE,
        };
        match begin {
            Begin::One(style, kind) => {
                let place = if self.streams.len() > SOURCE { SOURCE } else { place(kind) };
                self.submit_as(*style, kind.clone(), place, Some(HOUR));
            }
            Begin::Sink(kind) => {
                self.submit_as(Style::Callback, kind.clone(), SINK, Some(HOUR));
            }
            Begin::Chain(kinds) => {
                let stages = kinds.iter().map(|kind| (kind.clone(), Some(HOUR))).collect();
                self.begin_chain(stages, place(&kinds[0]), Some(2 * HOUR), false);
            }
            Begin::Short(one, two) => {
                let stages = vec![(one.clone(), Some(HOUR)), (two.clone(), Some(HOUR))];
                self.begin_chain(stages, place(one), None, true);
            }
        }
    }

    fn peer_does(&mut self, step: Peer) {
        let last = self.streams.len() - 1;
        match step {
            Peer::Send(bytes) => match self.listener.waiting.back_mut() {
                Some((peer, _, sent)) => {
                    // There is room for so little.
                    std::io::Write::write_all(peer, bytes).expect("room");
                    sent.extend_from_slice(bytes);
                }
                None => _ = self.peer_writes(last, bytes),
            },
            Peer::Read => self.peer_reads(last, 64 << 10),
            Peer::Shut => self.peer_shuts(last),
            Peer::Go => self.peer_goes(last, false),
            Peer::Reset => self.peer_goes(last, true),
            Peer::Connect => self.add_client(),
            Peer::Datagram(bytes) => self.datagram_peer_sends(0, bytes.into()),
            Peer::ReadDatagrams => self.datagram_peers_read(),
            Peer::SinkReads => self.peer_reads(SINK, 64 << 10),
            Peer::SinkSends(bytes) => _ = self.peer_writes(SINK, bytes),
            Peer::SinkShuts => self.peer_shuts(SINK),
            Peer::SinkGoes => self.peer_goes(SINK, false),
            Peer::Rest => {}
        }
    }
}

fn surroundings(rough: bool) -> Surroundings {
    let ms = Duration::from_millis;
    let second = ms(1000)..ms(1000);
    let machine = Machine { lookup: second.clone(), work: second, ..Machine::default() };
    let limits = Limits { unsent: 1000, ..Limits::default() };
    match rough {
        false => Surroundings { link: Link { buffer: 4096, ..Link::default() }, machine, limits },
        true => Surroundings {
            link: Link { buffer: 200, split: 0.7, latency: ms(0)..ms(5), ..Link::default() },
            machine: Machine {
                short_read: 0.5,
                short_write: 0.5,
                late: 0.5,
                lateness: ms(0)..ms(20),
                ..machine
            },
            limits: Limits { unread: 5, accepted: 1, ..limits },
        },
    }
}

/// So many turns are a scenario's own; whatever is not over by then is left to the end.
const TURNS_MAX: usize = 40;

/// Plays a scenario, interrupted at a step. Returns how many steps it has.
fn play(scenario: &Scenario, rough: bool, how: How, at: usize) -> usize {
    let network = Network::new(1);
    let engine = begin(&network, network.rng(), surroundings(rough));
    with(|world| {
        world.winding_down = true;
        world.interruption = Some(Interruption { how, at, steps: 0 });
        scenario.prepare(world, rough);
        scenario.begins.iter().for_each(|begin| world.begins(begin));
    });
    for number in 0..TURNS_MAX {
        let over = with(|world| {
            world.steps();
            let step = scenario.script.get(number);
            if let (Some(&step), false) = (step, world.gone) {
                world.peer_does(step);
            }
            world.gone || step.is_none() && world.ops.iter().all(Op::is_over)
        });
        if over {
            break;
        }
        turn(&engine, Duration::ZERO);
        if with(|world| world.gone) {
            break;
        }
        network.pass(Duration::from_millis(10));
    }
    let steps = with(|world| {
        let steps = world.interruption.take().map_or(0, |interruption| interruption.steps);
        (steps, world.gone)
    });
    match steps.1 {
        true => drop_engine(engine),
        false => settle(engine),
    }
    end();
    steps.0
}

#[test]
fn every_step_of_every_scenario_interrupted_in_every_way() {
    // To replay what failed, with its steps.
    let asked = env::var("FACADE_SCENARIO").ok();
    let all = scenarios();
    assert!(all.len() >= 100);
    let (mut runs, mut failures) = (0, 0);
    for scenario in &all {
        for rough in [false, true] {
            let steps = play(scenario, rough, How::Nothing, 0);
            let ways = EVERY_WAY.into_iter().flat_map(|how| (1..=steps).map(move |at| (how, at)));
            for (how, at) in ways {
                let words = format!("{}, rough {rough}, {how:?} at {at}", scenario.name);
                if asked.as_ref().is_some_and(|asked| *asked != words) {
                    continue;
                }
                runs += 1;
                let run = || play(scenario, rough, how, at);
                if catch_unwind(AssertUnwindSafe(run)).is_err() {
                    failures += 1;
                    eprintln!("FACADE_SCENARIO={words:?} replays it");
                }
            }
        }
    }
    eprintln!("{} scenarios, interrupted {runs} times", all.len());
    assert_eq!(failures, 0, "of {runs} runs");
}
