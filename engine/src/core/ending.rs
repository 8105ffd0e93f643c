//! The engine goes: everything that is pending ends, and what was written is tried once more.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    core::{
        Core,
        resource::{Phase, Resource},
    },
    pure::{error::Error, panics::Panics},
    system::driver::{Completion, Driver, Event, Role},
};

impl Core {
    /// Sends what is unsent, as far as the system takes it now: the engine is going. Threads that
    /// write to files are waited for, but not longer than a bound.
    pub(crate) fn try_to_send(&mut self) {
        self.send_dirty();
        self.send_all_again();
        self.send_all_datagrams_again();
        drop(self.reap(Some(Duration::ZERO)));
        self.await_work(Duration::from_secs(1));
    }

    /// Ends everything that is pending: the engine is going. A write ends when the driver has given
    /// its bytes back and said how many are gone.
    pub(crate) fn fail_everything(&mut self) {
        for id in self.pending.ids() {
            self.abort_operation(id, Error::EngineClosed);
        }
        if self.head_reads > 0 {
            for stream in self.resources.ids() {
                self.end_head_read(stream, Error::EngineClosed);
            }
        }
        self.wake_tasks();
        drop(self.reap(Some(Duration::ZERO)));
        // A write that is aborted where it waits takes a moment to say how much was taken.
        self.await_work(Duration::from_millis(100));
    }

    /// Waits for what ends by itself, but not longer than a bound.
    pub(super) fn await_work(&mut self, patience: Duration) {
        let until = self.now() + patience;
        while self.driver.is_at_work() || self.errands > 0 {
            let mut left = until.saturating_duration_since(self.now());
            if left.is_zero() {
                return;
            }
            // Worker threads report through the inbox. The flag that it sleeps is raised before the
            // last look, so that no wake-up is lost, see `Inbox`.
            self.shared.inbox.sleep();
            if self.has_ready() || !self.shared.inbox.is_empty() {
                left = Duration::ZERO;
            }
            if self.reap(Some(left)).is_err() {
                return;
            }
            self.take_messages();
        }
    }

    /// Ends what the driver has not given back: the threads that have it are left behind.
    pub(crate) fn abandon_everything(&mut self) {
        for id in self.pending.ids() {
            self.abandon_write(id, Error::EngineClosed);
            self.abandon_on_file(id, Error::EngineClosed);
        }
    }

    /// Takes what users gave to be sent and the system has not taken, also from the driver: the
    /// engine is gone. Their memory is dropped by itself, not in one go with everything else.
    pub(crate) fn take_unsent_of_users(&mut self) -> Vec<Bytes> {
        for id in self.resources.ids() {
            if self.stream(id).is_some_and(|state| state.sending == Phase::Running) {
                self.driver.cancel(id, Role::Send);
            }
        }
        let mut completions = Vec::new();
        drop(self.driver.wait(Some(Duration::ZERO), &mut completions));
        for Completion { resource, event } in completions {
            if let Some(Resource::Stream(state)) = self.resources.get_mut(resource)
                && let Event::Sent { gather, .. } = event
            {
                state.outgoing.settle(gather, 0, &mut self.spare, &mut self.deferred_drops.bytes);
            }
        }
        for id in self.resources.ids() {
            if let Some(Resource::Stream(state)) = self.resources.get_mut(id) {
                state.outgoing.clear(&mut self.deferred_drops.bytes);
                self.deferred_drops.bytes.extend(state.rare.take_cut().map(|cut| cut.rest));
            }
        }
        std::mem::take(&mut self.deferred_drops.bytes)
    }

    /// Drops what is left one by one, after everything has ended: there should be nothing of
    /// users'.
    pub(crate) fn drop_each(&mut self, panics: &mut Panics) {
        for id in self.pending.ids() {
            panics.contain(|| drop(self.pending.remove(id)));
        }
        for id in self.resources.ids() {
            panics.contain(|| drop(self.resources.remove(id)));
        }
    }
}
