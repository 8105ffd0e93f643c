//! [`Bell`]: what tells of work to do, to the ring and to whoever waits in its stead.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::{read, write},
};

/// Two counters of eventfd(2).
pub(crate) struct Bell {
    /// Counted up by other threads to end a wait. The ring polls it.
    wake: OwnedFd,
    /// Counted up by the kernel when there is something to reap, once it is watched.
    reapable: OwnedFd,
    is_watched: AtomicBool,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let (wake, reapable) = (eventfd(0, flags)?, eventfd(0, flags)?);
        Ok(Self { wake, reapable, is_watched: AtomicBool::new(false) })
    }

    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Waits until it rings, at most so long: for a ring that the kernel refuses to wait for.
    pub(super) fn wait(&self, most: Duration) {
        let most = Timespec::try_from(most).ok();
        let rings = poll(&mut [PollFd::new(&self.wake, PollFlags::IN)], most.as_ref());
        if rings.is_ok_and(|count| count > 0) {
            // Or the next wait would end at once. The ring, which is told of each stroke, does
            // without.
            let _ = read(&self.wake, &mut [0; 8]);
        }
    }

    pub(super) fn reapable(&self) -> BorrowedFd<'_> {
        self.reapable.as_fd()
    }

    /// From now on somebody waits for the second counter. Returns whether nobody did before.
    pub(super) fn watch(&self) -> bool {
        !self.is_watched.swap(true, SeqCst)
    }

    /// Ends a wait of the ring, or of whoever waits in its stead.
    pub(crate) fn ring(&self) {
        // Both fail only when they are full, which means that they have rung already. The kernel
        // does not count up the second one for a report that counting up the first one caused.
        let _ = write(&self.wake, &1_u64.to_ne_bytes());
        if self.is_watched.load(SeqCst) {
            self.ring_reapable();
        }
    }

    /// Wakes whoever waits in the ring's stead.
    pub(super) fn ring_reapable(&self) {
        let _ = write(&self.reapable, &1_u64.to_ne_bytes());
    }

    /// Takes what it has rung for so far off the second counter.
    pub(super) fn silence(&self) {
        if self.is_watched.load(SeqCst) {
            let _ = read(&self.reapable, &mut [0; 8]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn whoever_waits_for_it_hears_it_once() {
        let bell = Bell::new().unwrap();
        let rings =
            || poll(&mut [PollFd::new(&bell.wake, PollFlags::IN)], Some(&Timespec::default()));
        bell.ring();
        bell.wait(HOUR);
        assert_eq!(rings(), Ok(0), "it was heard");
        bell.wait(Duration::ZERO);
        thread::scope(|scope| {
            scope.spawn(|| bell.ring());
            bell.wait(HOUR);
        });
        assert_eq!(rings(), Ok(0), "it was heard");
    }
}
