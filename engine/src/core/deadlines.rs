//! Deadlines: arming them, and what is done when they come. What has arrived is never a timeout, so
//! whatever waits for the system is tried once more first.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{
    core::{
        Core, Kind, Pending,
        resource::{Phase, Resource},
        stream::{StreamState, setback::Setback},
    },
    pure::{
        error::{Error, Result},
        mutants::{self, Mutant},
        table::{Id, Table},
        timer::{self, Target, TimerNumber},
    },
    system::driver::{Driver, Operation},
};

impl Core {
    /// Arms the deadline of an operation, `timeout` from now.
    pub(crate) fn arm(&mut self, id: Id, timeout: Duration) {
        let number = self.arm_target(timeout, Target::Operation(id));
        if let Some(pending) = self.pending.get_mut(id) {
            pending.timer = number;
        }
    }

    /// A deadline that has come is put off to the next turn.
    pub(crate) fn put_off_deadline(&mut self, id: Id, target: Target) {
        let number = self.arm_target(Duration::ZERO, target);
        if let Some(pending) = self.pending.get_mut(id) {
            pending.timer = number;
        }
    }

    /// Arms a deadline of any kind. Returns its number, or zero if it never comes.
    pub(crate) fn arm_target(&mut self, timeout: Duration, target: Target) -> TimerNumber {
        match timer::deadline(self.now(), timeout) {
            Some(deadline) => {
                let owners = (&self.pending, &self.resources, &self.setbacks);
                let remembered = |target, number| remembers(owners, target, number);
                self.timers.arm(deadline, target, remembered)
            }
            None => 0,
        }
    }

    /// The next deadline, if anything is armed.
    pub(crate) fn next_deadline(&mut self) -> Option<Instant> {
        if self.timers.is_empty() {
            return None;
        }
        let owners = (&self.pending, &self.resources, &self.setbacks);
        self.timers.next_deadline(|target, number| remembers(owners, target, number))
    }

    /// Ends what is due. Whatever waits for the system is tried once more first: what has arrived
    /// is never a timeout.
    pub(crate) fn expire(&mut self) -> Result<()> {
        if self.timers.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let mut due = Vec::new();
        loop {
            let owners = (&self.pending, &self.resources, &self.setbacks);
            let remembers = |target, number| remembers(owners, target, number);
            let Some(target) = self.timers.pop_due(now, remembers) else { break };
            self.forget_timer(target);
            due.push(target);
        }
        let owners = (&self.pending, &self.resources, &self.setbacks);
        self.timers.tidy(|target, number| remembers(owners, target, number));
        // Before the last try of what is due: a backlog that was full is looked at again, be it that
        // the operation's own deadline has come in the same moment.
        for &target in &due {
            if let Target::Step(id) = target {
                self.try_path(id);
            }
        }
        if !mutants::is_active(Mutant::TimerBeforeCompletion) {
            self.try_before_the_end(&due)?;
        }
        for target in due {
            if let Target::Operation(id) | Target::Overdue(id) = target {
                self.look_at_what_copies_left(id, target)?;
            }
            match target {
                Target::Operation(id) | Target::Overdue(id) if self.is_still_looking(id) => {
                    self.put_off_deadline(id, Target::Operation(id));
                }
                // The bytes that it waits for may be there, but an earlier read is undecided and
                // may take them: so it is tried in the next turn, too. In that one only, or a peer
                // that never stops sending would stretch the deadline.
                Target::Operation(id)
                    if !self.rests(id) && self.is_behind_an_undecided_read(id) =>
                {
                    self.put_off_deadline(id, Target::Overdue(id));
                }
                Target::Operation(id) | Target::Overdue(id) => {
                    self.abort_operation(id, Error::TimedOut);
                }
                Target::HeadRead(stream, number) => {
                    self.abort_head_read(stream, number, Error::TimedOut);
                }
                Target::Step(id) => self.step_due(id),
                Target::Idle(id) => self.idle_due(id),
                Target::Listener(id) => self.retry_accepting(id),
                Target::Setback(id) => self.setback_due(id),
                Target::Datagrams(id) => self.end_rest_of_datagrams(id),
                Target::Child(id) => self.child_due(id),
            }
        }
        Ok(())
    }

    /// The last try of operations whose time is up.
    fn try_before_the_end(&mut self, due: &[Target]) -> Result<()> {
        self.is_expiring = true;
        let tried = self.try_all_once_more(due);
        self.is_expiring = false;
        tried
    }

    /// Asks the system once more, and without waiting, for what the due operations wait for. One
    /// call brings only so much, so that an operation is tried again as long as that makes
    /// progress.
    pub(super) fn try_all_once_more(&mut self, due: &[Target]) -> Result<()> {
        /// More calls than a system keeps bytes for: a peer that goes on sending while it is looked
        /// at stretches nothing.
        const CALLS_MAX: usize = 128;
        let waits = |target: &&Target| {
            use Target::{Child, Datagrams, Listener, Step};
            !matches!(target, Step(_) | Listener(_) | Datagrams(_) | Child(_))
        };
        let with_progress = |&target: &Target| (target, self.progress_of(target));
        let mut tried: Vec<_> = due.iter().filter(waits).map(with_progress).collect();
        for _ in 0..CALLS_MAX {
            tried.retain(|&(target, _)| self.try_once_more(target));
            if tried.is_empty() {
                return Ok(());
            }
            self.stop_above_read_ahead();
            self.send_dirty();
            self.reap(Some(Duration::ZERO))?;
            // Worker threads report through the inbox.
            self.take_messages();
            tried.retain_mut(|(target, progress)| {
                let before = std::mem::replace(progress, self.progress_of(*target));
                *progress > before
            });
        }
        Ok(())
    }

    /// Makes the next reap look at what an operation waits for. Returns whether there is anything.
    pub(super) fn try_once_more(&mut self, target: Target) -> bool {
        let id = match target {
            Target::Operation(id) | Target::Overdue(id) => id,
            Target::HeadRead(stream, number) => {
                let waits = self.head_read(stream, number).is_some();
                if waits {
                    self.driver.submit(stream, Operation::Probe);
                }
                return waits;
            }
            Target::Setback(stream) => {
                let looks = self.looks_for_more(stream);
                if looks {
                    self.driver.submit(stream, Operation::Probe);
                }
                return looks;
            }
            Target::Idle(id) => return self.try_copy_once_more(id, true),
            Target::Step(_) | Target::Listener(_) | Target::Datagrams(_) | Target::Child(_) => {
                return false;
            }
        };
        // More bytes are there already than its matcher has looked at.
        if self.is_still_looking(id) {
            return false;
        }
        let Some(pending) = self.pending.get(id) else { return false };
        match &pending.kind {
            Kind::Chain(chain) => {
                let current = Target::Operation(chain.current);
                self.try_once_more(current)
            }
            Kind::Connect(connecting) => {
                for resource in connecting.resources() {
                    self.driver.submit(resource, Operation::Probe);
                }
                self.try_full_backlog(id);
                true
            }
            Kind::Copy(_) => self.try_copy_once_more(id, false),
            Kind::Sleep { .. } | Kind::Every(_) | Kind::Claimed(_) => false,
            Kind::Signal(..) | Kind::Thread(_) | Kind::Wait(_) => true,
            kind => {
                let resource = pending.resource;
                match kind {
                    Kind::Accept(_) => self.end_rest(resource),
                    Kind::Read(_) => self.update_recv(resource),
                    Kind::Poll { .. } => {}
                    Kind::ReceiveFrom(_) | Kind::SendTo(_) => {
                        self.end_rest_of_datagrams(resource);
                    }
                    _ => self.send_again(resource),
                }
                self.driver.submit(resource, Operation::Probe);
                true
            }
        }
    }

    /// Whether it is still open which bytes are left to a read: an earlier one has matched and its
    /// callback, which gets a claim, has not run; or the matcher of an earlier one is queued and
    /// has not run.
    pub(super) fn is_behind_an_undecided_read(&mut self, id: Id) -> bool {
        let Some((stream, read)) = self.read_of(id) else { return false };
        self.stream(stream).is_some_and(|state| state.is_undecided_before(read))
    }

    /// A copy in front of a read may have ended in this very turn. Those behind it have their turn
    /// when nothing is in the middle of a queue, which is so here: before they are told that their
    /// time is up.
    fn look_at_what_copies_left(&mut self, id: Id, target: Target) -> Result<()> {
        // Another copy may end by that. Those in front of a read are so many and no more.
        while let Some((stream, _)) = self.read_of(id)
            && self.stream(stream).is_some_and(|state| state.rare.copy_has_left)
        {
            self.advance_stream_now(stream);
            self.try_before_the_end(&[target])?;
        }
        Ok(())
    }

    /// How far the system has come with what an operation waits for. If it is more after a try than
    /// before, another try is worth its while. The first part is how many bytes or connections have
    /// ever come; how many are there now says nothing, as an earlier operation may take all that
    /// come. The second is whether a receive or accept runs: while an earlier one is being stopped
    /// none does, and the one that follows it has not been asked for anything yet.
    pub(super) fn progress_of(&self, target: Target) -> (u64, bool) {
        let resource = match target {
            Target::HeadRead(stream, _) | Target::Setback(stream) => stream,
            Target::Operation(id) | Target::Overdue(id) => match self.pending.get(id) {
                Some(Pending { kind: Kind::Chain(chain), .. }) => {
                    return self.progress_of(Target::Operation(chain.current));
                }
                Some(Pending { kind: Kind::Copy(_), .. }) => return self.progress_of_copy(id),
                Some(Pending {
                    kind: Kind::Read(_) | Kind::Accept(_) | Kind::ReceiveFrom(_),
                    resource,
                    ..
                }) => *resource,
                _ => return (0, false),
            },
            Target::Idle(copy) => return self.progress_of_copy(copy),
            Target::Step(_) | Target::Listener(_) | Target::Datagrams(_) | Target::Child(_) => {
                return (0, false);
            }
        };
        match self.resources.get(resource) {
            Some(Resource::Stream(state)) => {
                (state.unread.received(), state.reception == Phase::Running)
            }
            Some(Resource::Listener(_)) if mutants::is_active(Mutant::CrowdUncounted) => (0, false),
            Some(Resource::Listener(state)) => (state.accepted, state.is_accepting()),
            Some(Resource::Datagrams(state)) => (state.received, state.is_receiving()),
            _ => (0, false),
        }
    }

    /// The owner of a deadline that has come forgets its number.
    pub(super) fn forget_timer(&mut self, target: Target) {
        match target {
            Target::Operation(id) | Target::Overdue(id) => {
                if let Some(pending) = self.pending.get_mut(id) {
                    pending.timer = 0;
                }
            }
            Target::HeadRead(stream, number) => {
                if let Some(head_read) = self.head_read(stream, number) {
                    head_read.timer = 0;
                }
            }
            Target::Step(id) => {
                if let Some(Pending { kind: Kind::Connect(connecting), .. }) =
                    self.pending.get_mut(id)
                {
                    connecting.timer = 0;
                }
            }
            Target::Idle(id) => {
                if let Some(Pending { kind: Kind::Copy(copying), .. }) = self.pending.get_mut(id) {
                    copying.timer = 0;
                }
            }
            Target::Listener(id) => {
                if let Some(Resource::Listener(listener)) = self.resources.get_mut(id) {
                    listener.timer = 0;
                }
            }
            Target::Datagrams(id) => {
                if let Some(Resource::Datagrams(socket)) = self.resources.get_mut(id) {
                    socket.timer = 0;
                }
            }
            Target::Child(id) => {
                if let Some(Resource::Child(child)) = self.resources.get_mut(id) {
                    child.timer = 0;
                }
            }
            Target::Setback(id) => {
                if let Some(setback) = self.setbacks.get_mut(&id) {
                    setback.timer = 0;
                }
            }
        }
    }
}

/// The tables of everything that may have a deadline.
type Owners<'a> = (&'a Table<Pending>, &'a Table<Resource>, &'a HashMap<Id, Setback>);

/// Whether the owner of a deadline still waits for it.
fn remembers(
    (pending, resources, setbacks): Owners<'_>,
    target: Target,
    number: TimerNumber,
) -> bool {
    match target {
        Target::Operation(id) | Target::Overdue(id) => {
            pending.get(id).is_some_and(|pending| pending.timer == number)
        }
        Target::HeadRead(stream, head_read) => matches!(
            resources.get(stream),
            Some(Resource::Stream(StreamState { head_read: Some(read), head_reads, .. }))
                if *head_reads == head_read && read.timer == number
        ),
        Target::Step(id) => matches!(
            pending.get(id),
            Some(Pending { kind: Kind::Connect(connecting), .. }) if connecting.timer == number
        ),
        Target::Idle(id) => matches!(
            pending.get(id),
            Some(Pending { kind: Kind::Copy(copying), .. }) if copying.timer == number
        ),
        Target::Listener(id) => matches!(
            resources.get(id),
            Some(Resource::Listener(listener)) if listener.timer == number
        ),
        Target::Datagrams(id) => matches!(
            resources.get(id),
            Some(Resource::Datagrams(socket)) if socket.timer == number
        ),
        Target::Child(id) => matches!(
            resources.get(id),
            Some(Resource::Child(child)) if child.timer == number
        ),
        Target::Setback(id) => setbacks.get(&id).is_some_and(|setback| setback.timer == number),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::{
        api::engine::Engine,
        handles::{callback::Callback, current::with_current, local::Local, stream::Stream},
    };

    const HOUR: Duration = Duration::from_secs(3600);

    /// Posts itself so often, so that the engine never has nothing to do, and arms two deadlines
    /// each time for operations that are cancelled.
    fn never_idle(local: &Local, stream: Stream, left: usize) {
        let timed = Callback::ignore().timeout(HOUR);
        let cancels = [local.sleep(HOUR, Callback::ignore()), local.read_line(&stream, timed)];
        assert!(cancels.iter().all(|cancel| cancel.cancel()));
        let kept = with_current(local.id(), |core| core.timers.kept());
        assert!(kept < Some(100), "{kept:?}");
        if left > 0 {
            local.post(move |local| never_idle(local, stream, left - 1));
        }
    }

    #[test]
    fn deadlines_of_what_was_cancelled_are_not_kept_though_the_engine_is_never_idle() {
        let engine = Engine::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = engine.attach(listener.accept().unwrap().0).unwrap();
        // With nothing else armed, and with something.
        for _ in 0..2 {
            let stream = stream.clone();
            engine.post(move |local| never_idle(local, stream, 20_000));
            while engine.run_once(Some(Duration::ZERO)).unwrap().callbacks > 0 {}
            engine.sleep(HOUR, Callback::ignore());
        }
    }

    #[test]
    fn deadlines_are_not_kept_though_the_engine_has_nothing_more_to_do() {
        let engine = Engine::new().unwrap();
        engine.post(|local| {
            let cancels: Vec<_> =
                (0..10_000).map(|_| local.sleep(HOUR, Callback::ignore())).collect();
            cancels.iter().for_each(|cancel| _ = cancel.cancel());
        });
        engine.post(|local| {
            let kept = with_current(local.id(), |core| core.timers.kept());
            assert!(kept < Some(100), "{kept:?}");
        });
        engine.run().unwrap();
    }
}
