//! [`PendingOperation`]: what an engine is waiting for, for whoever wonders why it does not end.

use std::{fmt, time::Instant};

/// Something that an engine is waiting for, or has still to do: all that keeps it running.
///
/// From [`Engine::pending`](crate::Engine::pending) and [`Local::pending`](crate::Local::pending).
///
/// ```
/// use facade_engine::{Callback, Engine};
/// use std::time::Duration;
///
/// let engine = Engine::new()?;
/// let (_peer, ours) = std::os::unix::net::UnixStream::pair().unwrap();
/// let stream = engine.attach(ours)?;
/// engine.read_line(&stream, Callback::ignore().timeout(Duration::from_secs(60)));
/// let _guard = engine.keep_alive();
/// assert_eq!(engine.run_once(Some(Duration::ZERO))?.pending, 2);
/// let pending = engine.pending();
/// assert_eq!((pending[0].operation, pending[1].operation), ("read_line", "keep_alive"));
/// assert!(pending[0].on.as_ref().unwrap().starts_with("Unix socket"));
/// assert!(pending[0].deadline.is_some());
/// println!("{engine:?}"); // says it, too
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingOperation {
    /// What it is: an operation by the name of its method, where that is known (`"read_line"`,
    /// `"accept"`, `"sleep"`; `"read"` for the less frequent reads, `"recv_from"` and `"send_to"` for
    /// all receives and sends of datagrams), or one of
    ///
    /// - `"send"`: bytes of writes that have succeeded are on their way,
    /// - `"closing"`: a stream, listener, socket or file is being closed, whoever asked for it,
    /// - `"claim"`: an operation has succeeded with a claim, and its callback is to run,
    /// - `"callback"`: callbacks and posts are to run in the next turn,
    /// - `"submission"`: submissions that the next turn takes in,
    /// - `"drop"`: what the next turn drops,
    /// - `"task"`: live tasks, see [`LiveTask`](crate::adapter::LiveTask),
    /// - `"keep_alive"`: guards of [`keep_alive`](crate::Handle::keep_alive).
    pub operation: &'static str,
    /// On what, as errors name it: the address of the peer, or `pipe (descriptor 7)`.
    pub on: Option<String>,
    /// When its time is up, or a sleep is over.
    pub deadline: Option<Instant>,
    /// How many of them this stands for. These add up to
    /// [`Turn::pending`](crate::Turn::pending).
    pub count: usize,
}

impl PendingOperation {
    /// So many of a kind that is about nothing; none if there are none.
    pub(crate) fn several(operation: &'static str, count: usize) -> Option<Self> {
        (count > 0).then_some(Self { operation, on: None, deadline: None, count })
    }
}

/// In words, as `read_line on 127.0.0.1:4711` or `3 of callback`.
impl fmt::Display for PendingOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count > 1 {
            write!(f, "{} of ", self.count)?;
        }
        f.write_str(self.operation)?;
        match &self.on {
            Some(on) => write!(f, " on {on}"),
            None => Ok(()),
        }
    }
}

/// What is pending, in an engine's `Debug`: not more than fits a screen.
pub(crate) struct Listing {
    pub(crate) pending: Vec<PendingOperation>,
    pub(crate) now: Instant,
}

impl Listing {
    const SHOWN_MAX: usize = 32;
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for pending in self.pending.iter().take(Self::SHOWN_MAX) {
            let Some(deadline) = pending.deadline else {
                list.entry(&format_args!("{pending}"));
                continue;
            };
            let left = deadline.saturating_duration_since(self.now);
            list.entry(&format_args!("{pending}, {left:?} left"));
        }
        if self.pending.len() > Self::SHOWN_MAX {
            let more = self.pending.len() - Self::SHOWN_MAX;
            list.entry(&format_args!("and {more} more"));
        }
        list.finish()
    }
}
