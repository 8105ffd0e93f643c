//! Futures: what a dropped one has not yielded is as if it had not been asked for (promises 8, 9).

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use facade_engine::Result;

use super::{
    expect::Value,
    world::{CONNECTION, Kind, World},
};

/// An operation as a future.
pub(super) type Pending = Pin<Box<dyn Future<Output = Result<Value>>>>;

impl World {
    /// Polls all futures, as an executor would between turns.
    pub(super) fn poll_futures(&mut self) {
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
    pub(super) fn drop_futures(&mut self) {
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
                Kind::Receive { socket } => self.receive_dropped(socket),
                Kind::Send { socket, number, .. } => self.send_dropped(socket, number),
                Kind::Accept | Kind::AcceptMatch(_) => self.listener.undone_order = self.begun,
                _ => {}
            }
        }
    }
}
