//! What no step of a program draws, because it takes several at once: when the surroundings have
//! healed, and before all ends, a program has one of these occasions, or none.

use std::{iter, time::Duration};

use facade_engine::Engine;

use super::{
    CORPUS,
    turns::turn,
    world::{Kind, NONE, Style, World, Writing, with},
};

/// Longer than anything takes that is under way.
const LONG: Duration = Duration::from_secs(10);

pub(crate) fn have_one(engine: &Engine) {
    // Not drawn, so that most old seeds do what they did; and those that found something all of it.
    let seed = with(|world| world.network.seed());
    let occasion = match seed % 8 {
        _ if CORPUS.contains(&seed) => return,
        0 => stop_with_writes_in_hand,
        1 => crowd,
        2 => leave_it_to_others,
        _ => return,
    };
    with(World::heal);
    settle_down(engine);
    occasion(engine);
}

/// A run that is stopped before its first turn hands the system what was written before.
fn stop_with_writes_in_hand(engine: &Engine) {
    const BYTES: &[u8] = b"at last";
    let streams: Vec<usize> = with(|world| {
        let streams = world.quiet_streams();
        for &stream in &streams {
            let (bytes, how) = (BYTES.into(), Writing::Whole);
            let write = Kind::Write { bytes, how, number: 0 };
            world.submit_as(Style::Callback, write, stream, None);
        }
        streams
    });
    engine.stop();
    engine.run().unwrap();
    with(|world| {
        world.network.pass(LONG);
        for stream in streams {
            let before = world.streams[stream].outflow.received.len();
            world.peer_reads(stream, 4096);
            let received = &world.streams[stream].outflow.received[before..];
            assert_eq!(received, BYTES, "what was written before the stop");
        }
    });
}

/// More connections than one look brings are accepted, and what comes last has no time.
fn crowd(engine: &Engine) {
    if with(|world| world.listener.handle.is_none()) {
        return;
    }
    with(|world| {
        let least = world.limits.accepted + 3;
        while world.listener.waiting.len() < least && world.connect_client() {}
        world.network.pass(LONG);
        let times = iter::repeat_n(None, world.listener.waiting.len().saturating_sub(1));
        for timeout in times.chain([Some(Duration::ZERO)]) {
            world.submit_as(Style::Callback, Kind::Accept, NONE, timeout);
        }
    });
    turn(engine, Duration::ZERO);
    with(|world| assert!(world.listener.waiting.is_empty(), "all are accepted"));
}

/// What others may hold, too, is theirs to read as long as nobody asks for it here.
fn leave_it_to_others(engine: &Engine) {
    let streams: Vec<usize> = with(|world| {
        let streams = world.quiet_streams();
        for &stream in &streams {
            world.streams[stream].handle.as_ref().expect("open").set_exclusive(false);
        }
        streams
    });
    turn(engine, Duration::ZERO);
    with(|world| {
        for &stream in &streams {
            while world.peer_writes(stream, &[b'x'; 1000]) > 0 {}
        }
    });
    for _ in 0..2 {
        with(|world| world.network.pass(LONG));
        turn(engine, Duration::ZERO);
    }
    with(|world| {
        for &stream in &streams {
            let count = world.peer_writes(stream, b"x");
            assert_eq!(count, 0, "what nobody asked for was read");
        }
        world.unshare();
    });
}

/// What was cancelled ends, and what was on its way arrives.
fn settle_down(engine: &Engine) {
    for _ in 0..3 {
        turn(engine, Duration::ZERO);
        with(|world| {
            world.network.pass(LONG);
            (0..world.streams.len()).for_each(|stream| world.peer_reads(stream, 64 << 10));
        });
    }
}
