//! Random programs: what they draw and do, between turns and inside callbacks. Checks no rule.

use std::time::Duration;

use facade_engine::{
    Bytes, Engine, Limits,
    sim::{Link, Machine, Network, Rng},
};

use super::{
    CORPUS,
    ending::drop_engine,
    turns::turn,
    world::{Kind, NONE, Surroundings, World, begin, end, with},
};

/// Runs one program from the network's seed, to a good end or to the engine's. Returns what stands
/// for all that it saw.
pub(crate) fn run(network: &Network) -> u64 {
    let mut rng = network.rng();
    let link = draw_link(&mut rng);
    let machine = match rng.chance(0.3) {
        true => Machine::default(),
        false => Machine { work: Duration::ZERO..Duration::ZERO, ..Machine::bad(&mut rng) },
    };
    let mut limits = draw_limits(&mut rng, &link);
    let steps = 20 + rng.below(80);
    let drops = rng.chance(0.15);
    // Not drawn, so that half of all old seeds do what they did; and those that found something.
    let seed = network.seed();
    let has_all_kinds = seed % 2 == 1 && !CORPUS.contains(&seed);
    if has_all_kinds {
        limits.datagrams = rng.pick(&[0, 1, 64]).copied().unwrap_or(0);
    }
    let engine = begin(network, rng, Surroundings { link, machine, limits });
    if has_all_kinds {
        with(World::begin_all_kinds);
    }
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
        ..Link::default()
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

impl World {
    /// Something that the program does, in a callback or between turns.
    fn act(&mut self) {
        if self.gone || self.winding_down {
            return;
        }
        if self.has_all_kinds && self.chance(0.4) {
            return match self.below(3) {
                0 => self.act_on_datagrams(),
                1 => self.act_on_repeats(),
                _ => self.submit_copy(),
            };
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

    fn begin_all_kinds(&mut self) {
        self.has_all_kinds = true;
        let link = self.draw_datagram_link();
        self.set_datagram_link(link);
        self.add_pair();
        self.add_any_socket();
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

    pub(super) fn pick_stream(&mut self) -> Option<usize> {
        if self.streams.is_empty() {
            return None;
        }
        let stream = self.below(self.streams.len());
        self.streams[stream].handle.is_some().then_some(stream)
    }

    /// A stream on which operations may be submitted.
    pub(super) fn pick_free_stream(&mut self) -> Option<usize> {
        let stream = self.pick_stream()?;
        (!self.is_proxied(stream)).then_some(stream)
    }

    pub(super) fn submit_on_stream(&mut self, kind: Kind) {
        if let Some(stream) = self.pick_free_stream() {
            self.share(stream);
            self.submit(kind, stream, true);
        }
    }

    pub(super) fn draw_bytes(&mut self, len: usize) -> Bytes {
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

    /// What a callback does beside being told. Returns whether it panics.
    pub(super) fn reacts(&mut self) -> bool {
        if self.winding_down || self.gone {
            return false;
        }
        if self.chance(0.3) {
            self.act();
        }
        self.chance(0.01)
    }
}
