//! Inside a loop of `calloop`, which is level-triggered and has timers.

use std::{os::fd::AsFd, time::Duration};

use calloop::{
    EventLoop, Interest, Mode, PostAction,
    generic::Generic,
    timer::{TimeoutAction, Timer},
};
use facade_engine::Engine;
use facade_examples::Result;

use crate::program::Program;

pub(crate) fn run(engine: &Engine, program: &Program) -> Result<()> {
    let mut event_loop = EventLoop::<()>::try_new()?;
    let ticks = Timer::from_duration(program.tick);
    event_loop
        .handle()
        .insert_source(ticks, |_, (), ()| {
            program.tick(engine);
            TimeoutAction::ToDuration(program.tick)
        })
        .map_err(|refused| refused.error)?;
    // That it is readable ends the loop's wait, and the turn comes below.
    let turns = Generic::new(engine.as_fd(), Interest::READ, Mode::Level);
    event_loop
        .handle()
        .insert_source(turns, |_, _, ()| Ok(PostAction::Continue))
        .map_err(|refused| refused.error)?;
    while !program.is_over() {
        let wait = engine.next_deadline().map(|at| at.saturating_duration_since(engine.now()));
        event_loop.dispatch(wait, &mut ())?;
        engine.run_once(Some(Duration::ZERO))?;
    }
    Ok(())
}
