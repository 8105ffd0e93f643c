//! [`Message`]: what other threads ask of an engine.

use crate::{
    cancel::Key,
    closure::Once,
    completion::inbox::{self, Wake},
    core::Core,
    driver::Waker,
    stream::Stream,
};

/// A request of another thread, or of the engine's own between two turns.
pub(crate) enum Message {
    /// Something to do to the engine's state: a submission, a release.
    Apply(Box<dyn FnOnce(&mut Core) + Send>),
    /// The same, to be done before anything else: something is given back.
    GiveBack(Box<dyn FnOnce(&mut Core) + Send>),
    /// A reference to a stream, to be dropped in a turn.
    Drop(Stream),
    /// A `Cancel` was used.
    Cancel(Key),
    /// A closure to run.
    Post(Once<()>),
    /// The future that drives the run was woken.
    WakeRoot,
}

/// The inbox of an engine.
pub(crate) type Inbox = inbox::Inbox<Message, Waker>;

impl Wake for Waker {
    fn wake(&self) {
        self.wake();
    }
}
