//! Interruptions: what the sweep does to a program at one of its steps, after which all rules hold.

use std::time::Duration;

use super::world::World;

/// The timeout of what is not meant to time out but by being interrupted.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

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

impl World {
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
}
