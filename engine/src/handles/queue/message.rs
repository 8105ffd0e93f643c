//! [`Message`]: what other threads ask of an engine.

use crate::{
    core::Core,
    handles::{
        cancel::Key,
        queue::inbox::{self, Wake},
        small_fn::SmallFnOnce,
        stream::Stream,
    },
    system::{driver::Waker, fork},
};

/// A request of another thread, or of the engine's own between two turns.
pub(crate) enum Message {
    /// Something to do to the engine's state: a release, an outcome.
    Apply(Box<dyn FnOnce(&mut Core) + Send>),
    /// An operation, which is cancelled by its ticket until it has a key of its own. Tickets are
    /// numbered in the order in which these are taken.
    Submit { ticket: u64, begin: Begin },
    /// Something to do to the engine's state before it looks at the system again: a claim that was
    /// dropped untaken gives back what it holds.
    GiveBack(Box<dyn FnOnce(&mut Core) + Send>),
    /// A reference to a stream, to be dropped in a turn.
    Drop(Stream),
    /// A `Cancel` was used.
    Cancel(Key),
    /// A closure to run that another thread has posted.
    Request(SmallFnOnce<()>),
    /// A closure to run that the engine's own thread has posted outside of a turn: it runs after
    /// those that the thread has posted in one before.
    Post(SmallFnOnce<()>),
    /// The future that drives the run was woken.
    WakeRoot,
}

/// Begins an operation. Returns what it is cancelled by, or none if it had its outcome at once.
pub(crate) type Begin = Box<dyn FnOnce(&mut Core) -> Option<Key> + Send>;

/// The messages of which one is enough until the engine has taken it: a thread that repeats one in
/// a loop does not fill the inbox.
#[derive(PartialEq, Eq, Hash)]
pub(crate) enum Said {
    Cancel(Key),
    WakeRoot,
}

impl inbox::Message for Message {
    type Said = Said;

    #[inline]
    fn said(&self) -> Option<Said> {
        match self {
            Self::Cancel(key) => Some(Said::Cancel(*key)),
            Self::WakeRoot => Some(Said::WakeRoot),
            _ => None,
        }
    }
}

/// The inbox of an engine.
pub(crate) type Inbox = inbox::Inbox<Message, Sleeper>;

/// Who reads an inbox: an engine, which sleeps in its driver.
pub(crate) struct Sleeper {
    pub(crate) engine: u32,
    pub(crate) waker: Waker,
}

impl Wake for Sleeper {
    fn wake(&self) {
        self.waker.wake();
    }

    fn is_elsewhere(&self) -> bool {
        fork::is_inherited(self.engine)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        task::{Poll, Waker},
        thread,
        time::Duration,
    };

    use crate::{api::engine::Engine, handles::callback::Callback};

    #[test]
    fn a_thread_that_cancels_or_wakes_in_a_loop_does_not_fill_the_inbox() {
        let engine = Engine::new().unwrap();
        let mut waker = Waker::noop().clone();
        engine
            .run_until(|_, context| {
                waker.clone_from(context.waker());
                Poll::Ready(())
            })
            .unwrap();
        let sleep = || engine.sleep(Duration::from_secs(3600), Callback::ignore());
        let cancels = [sleep(), sleep()];
        let inbox = &engine.handle().shared().inbox;
        assert_eq!(inbox.take().len(), 2);
        for _ in 0..2 {
            let (cancels, waker) = (cancels.clone(), waker.clone());
            let shout = move || {
                for _ in 0..1000 {
                    waker.wake_by_ref();
                    assert!(cancels.iter().all(|cancel| cancel.cancel()));
                }
            };
            thread::spawn(shout).join().unwrap();
            assert_eq!(inbox.take().len(), 3);
        }
    }
}
