//! Inside a loop on `mio`, which is edge-triggered: what a turn has left makes the next one
//! due at once. The timer is a deadline of the loop's own.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use facade_engine::Engine;
use facade_examples::Result;
use mio::{Events, Interest, Poll, Token, unix::SourceFd};

use crate::program::Program;

const ENGINE: Token = Token(0);

pub(crate) fn run(engine: &Engine, program: &Program) -> Result<()> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(64));
    let fd = engine.as_fd().as_raw_fd();
    poll.registry().register(&mut SourceFd(&fd), ENGINE, Interest::READABLE)?;
    let mut tick = engine.now() + program.tick;
    while !program.is_over() {
        let until = engine.next_deadline().map_or(tick, |deadline| deadline.min(tick));
        let wait = until.saturating_duration_since(engine.now());
        match poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        if engine.now() >= tick {
            program.tick(engine);
            tick += program.tick;
        }
        engine.run_once(Some(Duration::ZERO))?;
    }
    Ok(())
}
