//! The steps of a turn that need no user code: taking requests, reaping what the driver completed,
//! and handing it to the resources.

use std::{collections::VecDeque, mem, time::Duration};

use crate::{
    core::{Core, resource::Resource},
    handles::queue::message::Message,
    pure::{
        error::{Error, IoOperation, Result},
        mutants::{self, Mutant},
    },
    system::driver::{Completion, Driver, Event},
};

impl Core {
    /// Whether a turn has something to run without looking at the system.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
            || !self.dirty.is_empty()
            || self.scans.go_on()
            || !self.deferred_drops.is_empty()
            || !self.put_off.is_empty()
    }

    /// Whether a turn would not wait.
    pub(crate) fn has_work(&mut self) -> bool {
        self.has_ready() || self.driver.has_work()
    }

    /// Takes the requests of other threads, and of this one from outside a turn.
    pub(crate) fn take_messages(&mut self) {
        self.take_each_message();
        // Behind those who ask for one: it may have come after they asked.
        self.take_signals();
    }

    fn take_each_message(&mut self) {
        if self.shared.inbox.is_empty() && self.put_off.is_empty() {
            return;
        }
        let messages = self.shared.inbox.take();
        match self.put_off.is_empty() {
            true => self.put_off = messages.into(),
            false => self.put_off.extend(messages),
        }
        // One of them may have to come here in its turn, and then those behind it keep their order.
        while let Some(message) = self.put_off.pop_front() {
            match message {
                Message::Apply(f) | Message::GiveBack(f) => f(self),
                Message::Submit { ticket, begin } => self.begin_by_ticket(ticket, begin),
                Message::Drop(stream) => self.deferred_drops.streams.push(stream),
                Message::Cancel(key) => drop(self.cancel(key)),
                Message::Request(f) => self.ready.push_request(f),
                Message::Post(f) => self.post(f),
                Message::WakeRoot => self.wake_root(),
            }
        }
        // Many may have come: their memory is freed.
        self.put_off = VecDeque::new();
    }

    /// Does what gives something back, and puts off all other requests: what is given back stands
    /// before the bytes that the next look at the system brings.
    pub(crate) fn take_what_is_given_back(&mut self) {
        if self.shared.inbox.is_empty() {
            return;
        }
        let mut given_back = Vec::new();
        for message in self.shared.inbox.take() {
            match message {
                Message::GiveBack(f) => given_back.push(f),
                other => self.put_off.push_back(other),
            }
        }
        given_back.into_iter().for_each(|f| f(self));
    }

    /// Queues the future that drives the run, once.
    pub(crate) fn wake_root(&mut self) {
        if !mem::replace(&mut self.root_queued, true) {
            self.ready.push_root();
        }
    }

    /// Sends what was written, by requests of other threads, too, as far as the system takes it
    /// now: a run ends.
    pub(crate) fn leave_run(&mut self) {
        if mutants::is_active(Mutant::StopUnsent) {
            return;
        }
        self.take_messages();
        self.send_dirty();
        self.send_all_again();
        self.send_all_datagrams_again();
        self.driver.flush();
        self.reap_done();
    }

    /// Reaps what the driver completed and hands it to the resources.
    pub(crate) fn reap(&mut self, timeout: Option<Duration>) -> Result<()> {
        let mut completions = self.take_completions();
        let waited = self.driver.wait(timeout, &mut completions);
        self.dispatch(completions);
        waited.map_err(|cause| Error::io(IoOperation::Wait, cause))
    }

    /// Somebody waits for the driver's descriptor from now on. If the system has no memory for
    /// that, the descriptor becomes readable for requests of other threads, and not for I/O.
    pub(crate) fn watch(&mut self) {
        drop(self.driver.watch());
    }

    /// Reaps what has ended already, without asking the system.
    pub(crate) fn reap_done(&mut self) {
        let mut completions = self.take_completions();
        self.driver.take_done(&mut completions);
        self.dispatch(completions);
    }

    /// Hands completions to their resources. One whose resource is gone is dropped with what it
    /// brings: a connection is closed by that.
    ///
    /// Taken from the end of the list, which is turned round for that, one by one: those that a panic
    /// leaves are the next turn's. A stream whose receive was never reported as ended would wait for that
    /// for ever.
    pub(super) fn dispatch(&mut self, mut completions: Vec<Completion>) {
        completions.reverse();
        self.completions = completions;
        while let Some(Completion { resource, event }) = self.completions.pop() {
            match event {
                Event::Received(bytes) => self.received(resource, bytes),
                Event::ReceiveEnded(ended) => match self.resources.get(resource) {
                    Some(Resource::Datagrams(_)) => self.reception_ended(resource, ended),
                    _ => self.receive_ended(resource, ended),
                },
                Event::Sent { gather, result } => self.sent(resource, gather, result),
                Event::Arrived(datagrams) => self.arrived(resource, datagrams),
                Event::Room(result) => self.has_room(resource, result),
                Event::Accepted(connection) => self.accepted(resource, connection),
                Event::AcceptEnded(error) => self.accept_ended(resource, error),
                Event::Connected(result) => self.connected(resource, result),
                Event::ShutDown(result) => self.was_shut_down(resource, result),
                Event::Polled(result) => self.polled(resource, result),
                Event::Closed => self.was_closed(resource),
                Event::LetGo(descriptor) => self.was_let_go(resource, descriptor),
                Event::File { operation, done } => self.file_done(resource, operation, done),
            }
        }
    }

    /// The list that the driver brings completions in, for its memory. What a panic has left there stands
    /// in front.
    fn take_completions(&mut self) -> Vec<Completion> {
        let mut left = mem::take(&mut self.completions);
        left.reverse();
        left
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::{
        api::engine::Engine,
        core::{Kind, Pending, file::Task},
        handles::{callback::Slot, current::with_current},
        pure::table::Id,
        system::driver::FileDone,
    };

    #[test]
    fn completions_behind_one_that_panics_are_the_next_turns() {
        let engine = Engine::new().unwrap();
        engine.handle().post(|local| {
            let told = catch_unwind(AssertUnwindSafe(|| {
                with_current(local.id(), |core| {
                    let sync = Kind::File(Box::new(Task::Sync { slot: Slot::Ignore }));
                    let operation = core.insert(Pending::new(sync, Id::NONE, Id::NONE), None);
                    core.on_files += 1;
                    // What no driver says of it, and what any may say.
                    let done = FileDone::Written(Ok(1));
                    let events = [Event::File { operation, done }, Event::Closed];
                    core.dispatch(
                        events.map(|event| Completion { resource: Id::NONE, event }).into(),
                    );
                })
            }));
            assert!(told.is_err());
            let left = with_current(local.id(), |core| core.completions.len());
            assert_eq!(left, Some(1));
            local.stop();
        });
        engine.run().unwrap();
    }
}
