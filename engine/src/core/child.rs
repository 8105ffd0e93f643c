//! Processes: how their end is heard of, whether or not somebody waits for it, and told to all who
//! do.
//!
//! The driver waits for the process's descriptor; where the system has none, a thread waits for the
//! process; and where there is no thread to be had either, it is looked at now and then. Nobody's
//! signal handler is needed, and no process is heard of that is not the engine's.

use std::{
    io,
    process::{Command, ExitStatus},
    sync::Arc,
    thread,
    time::Duration,
};

use crate::{
    core::{
        Core, Kind, Pending,
        chain::Product,
        resource::Resource,
        work::{Errand, Way},
    },
    handles::{
        callback::Slot,
        child::{self, Child, NewChild},
        claim::Origin,
        delivery::boxed,
        queue::{message::Message, ready::Ready},
        stream::Stream,
    },
    pure::{
        error::{Error, IoOperation, Result},
        options::PtySize,
        panics::Contained,
        table::Id,
        timer::{Target, TimerNumber},
    },
    system::{
        descriptor::Descriptor,
        driver::{Driver, Operation, Readiness, Release, Role},
        fd_kind::FdKind,
        pool::Lane,
        sys::process::Process,
    },
};

/// One process.
pub(crate) struct ChildState {
    process: Arc<Process>,
    /// Operations without an outcome, in the order submitted.
    waits: Vec<Id>,
    /// How it has ended, or why that cannot be known.
    ended: Option<Result<ExitStatus>>,
    watch: Watch,
    /// When it is looked at again, if nothing tells of its end.
    pub(crate) timer: TimerNumber,
    /// How long the next pause before that is.
    rest: Duration,
    /// The last clone of it is gone.
    released: bool,
    /// Its descriptor is being closed: counted among the unsettled resources.
    pub(crate) unsettled: bool,
}

/// What the driver does with the descriptor of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// Nothing: it has none, or had one and closed it.
    None,
    /// Waits until it can be read.
    Polling,
    /// Has it, and has told what there was to tell.
    Told,
    Closing,
}

/// The first pause before a process is looked at of which nothing tells. Each is twice as long as the
/// one before, up to `REST_MAX`.
const REST_MIN: Duration = Duration::from_millis(1);
const REST_MAX: Duration = Duration::from_secs(1);

impl ChildState {
    pub(crate) fn name(&self) -> String {
        child::label(self.process.id()).to_string()
    }
}

impl Core {
    /// Starts a process, on a worker.
    pub(crate) fn spawn(
        &mut self,
        command: Contained<Command>,
        slot: Slot<Child>,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        let (handle, shared) = (self.handle(), Arc::clone(&self.shared));
        let way = Way { lane: Lane::Processes, operation: "spawn", product: no_product, deliver };
        let start = move || {
            let command = command.into_inner();
            let refused = refusal_of(&command);
            let started = shared.env.start(command)?;
            Child::adopt(&handle, started).map_err(refused)
        };
        self.have_a_worker_do(way, start, Errand { slot, timeout, chain: Id::NONE })
    }

    /// The same in a terminal.
    pub(crate) fn spawn_pty(
        &mut self,
        command: Contained<Command>,
        size: PtySize,
        slot: Slot<(Child, Stream)>,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        let (handle, shared) = (self.handle(), Arc::clone(&self.shared));
        let way =
            Way { lane: Lane::Processes, operation: "spawn_pty", product: no_product, deliver };
        let start = move || {
            let command = command.into_inner();
            let refused = refusal_of(&command);
            let (started, terminal) = shared.env.start_in_terminal(command, size)?;
            Child::adopt_in_terminal(&handle, started, terminal).map_err(refused)
        };
        self.have_a_worker_do(way, start, Errand { slot, timeout, chain: Id::NONE })
    }

    /// Takes in a process.
    pub(crate) fn adopt_child(&mut self, process: &Arc<Process>, tell_id: impl FnOnce(Id)) {
        let state = ChildState {
            process: Arc::clone(process),
            waits: Vec::new(),
            ended: None,
            watch: Watch::None,
            timer: 0,
            rest: REST_MIN,
            released: false,
            unsettled: false,
        };
        let id = self.resources.insert(Resource::Child(Box::new(state)));
        tell_id(id);
        match process.waitable().map(Descriptor::new) {
            Some(descriptor) => {
                self.driver.attach(id, descriptor, FdKind::Watched { for_room: false });
                self.poll_child(id);
            }
            None => self.have_a_thread_wait(id),
        }
    }

    fn poll_child(&mut self, id: Id) {
        if let Some(state) = self.child(id) {
            state.watch = Watch::Polling;
            self.driver.submit(id, Operation::Poll(Readiness::Readable));
        }
    }

    /// The driver waits no more for a process.
    pub(crate) fn child_polled(&mut self, id: Id, result: io::Result<()>) {
        let Some(state) = self.child(id) else { return };
        state.watch = Watch::Told;
        let has_ended = state.ended.is_some();
        match result {
            Ok(()) => match self.ask_for_end(id) {
                Ok(true) => {}
                Ok(false) => return self.poll_child(id),
                Err(error) => self.ask_later(id, Some(&error)),
            },
            Err(_) if !has_ended => self.have_a_thread_wait(id),
            Err(_) => {}
        }
        if let Some(state) = self.child(id) {
            state.watch = Watch::Closing;
            self.set_unsettled(id, true);
            self.driver.submit(id, Operation::Close(Release::Close));
        }
    }

    /// The driver has closed the descriptor of a process.
    pub(crate) fn child_watch_was_closed(&mut self, id: Id) {
        if let Some(state) = self.child(id) {
            state.watch = Watch::None;
            self.set_unsettled(id, false);
            self.forget_child(id);
        }
    }

    fn have_a_thread_wait(&mut self, id: Id) {
        let Some(state) = self.child(id) else { return };
        let (process, shared) = (Arc::clone(&state.process), Arc::clone(&self.shared));
        let wait = move || {
            process.block();
            // Heard of here, so that nothing is left of it should the engine be gone.
            drop(process.try_wait());
            let waited = move |core: &mut Self| match core.ask_for_end(id) {
                Ok(true) => {}
                // The system has not let the thread wait.
                Ok(false) => core.ask_later(id, None),
                Err(error) => core.ask_later(id, Some(&error)),
            };
            drop(shared.inbox.push(Message::Apply(Box::new(waited))));
        };
        if thread::Builder::new().name("facade-child".to_owned()).spawn(wait).is_err() {
            self.ask_later(id, None);
        }
    }

    /// Nothing tells of the end of a process: it is looked at again in a while. Who waits hears of
    /// an error; another wait may be told its end all the same.
    fn ask_later(&mut self, id: Id, error: Option<&Error>) {
        let Some(state) = self.child(id) else { return };
        let rest = state.rest;
        state.rest = (rest * 2).min(REST_MAX);
        if let Some(error) = error {
            let waits = std::mem::take(&mut state.waits);
            self.end_waits(waits, &Err(error.clone()));
        }
        let timer = self.arm_target(rest, Target::Child(id));
        if let Some(state) = self.child(id) {
            state.timer = timer;
        }
    }

    /// A pause is over.
    pub(crate) fn child_due(&mut self, id: Id) {
        match self.ask_for_end(id) {
            Ok(true) => {}
            Ok(false) => self.have_a_thread_wait(id),
            Err(error) => self.ask_later(id, Some(&error)),
        }
    }

    fn child(&mut self, id: Id) -> Option<&mut ChildState> {
        match self.resources.get_mut(id) {
            Some(Resource::Child(state)) => Some(state),
            _ => None,
        }
    }

    pub(crate) fn id_of_child(&mut self, child: &Child) -> Id {
        child.resource().unwrap_or_else(|| {
            self.take_messages();
            child.resource().unwrap_or(Id::NONE)
        })
    }

    /// Submits a wait for the end of a process.
    pub(crate) fn wait_for_child(
        &mut self,
        child: Id,
        slot: Slot<ExitStatus>,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        self.look_after_child(child);
        let ended = match self.child(child) {
            Some(state) => state.ended.clone(),
            None => Some(Err(Error::Closed)),
        };
        if let Some(outcome) = ended {
            self.tell_end(slot, outcome);
            return None;
        }
        let id = self.insert(Pending::new(Kind::Wait(slot), child, Id::NONE), timeout);
        if let Some(state) = self.child(child) {
            state.waits.push(id);
        }
        Some(id)
    }

    /// Hears of the end of a process, if that has come. Returns whether it has, as far as the system
    /// tells: whoever waits for the process is told what it says.
    pub(crate) fn look_after_child(&mut self, id: Id) -> bool {
        self.ask_for_end(id).unwrap_or(false)
    }

    /// The same. An error says that the system does not tell, and nothing of the process.
    fn ask_for_end(&mut self, id: Id) -> Result<bool> {
        let Some(state) = self.child(id) else { return Ok(true) };
        if state.ended.is_some() {
            return Ok(true);
        }
        let outcome = match state.process.try_wait() {
            Ok(None) => return Ok(false),
            Ok(Some(status)) => Ok(status),
            Err(cause) => {
                let is_last_word = Process::is_last_word(&cause);
                let error = Error::io_on(IoOperation::Wait, state.name(), cause);
                match is_last_word {
                    true => Err(error),
                    false => return Err(error),
                }
            }
        };
        self.child_ended(id, outcome);
        Ok(true)
    }

    /// A process has ended: all who wait hear of it.
    fn child_ended(&mut self, id: Id, outcome: Result<ExitStatus>) {
        let Some(state) = self.child(id) else { return };
        state.ended = Some(outcome.clone());
        let (waits, mut timer) =
            (std::mem::take(&mut state.waits), std::mem::take(&mut state.timer));
        self.timers.disarm(&mut timer);
        self.end_waits(waits, &outcome);
        // Somebody has asked before the driver has told.
        if self.child(id).is_some_and(|state| state.watch == Watch::Polling) {
            self.set_unsettled(id, true);
            return self.driver.cancel(id, Role::Poll);
        }
        self.forget_child(id);
    }

    fn end_waits(&mut self, waits: Vec<Id>, outcome: &Result<ExitStatus>) {
        for wait in waits {
            if let Some(Pending { kind: Kind::Wait(slot), .. }) = self.remove(wait) {
                self.tell_end(slot, outcome.clone());
            }
        }
    }

    fn tell_end(&mut self, slot: Slot<ExitStatus>, outcome: Result<ExitStatus>) {
        self.tell(Id::NONE, || Ok(Product::None), boxed(slot.deliver(outcome)));
    }

    /// Ends a wait early, unless the process has ended by now.
    pub(crate) fn abort_wait(&mut self, child: Id, id: Id, cause: Error) {
        if self.look_after_child(child) {
            return;
        }
        if let Some(Pending { kind: Kind::Wait(slot), .. }) = self.remove(id) {
            if let Some(state) = self.child(child) {
                state.waits.retain(|&other| other != id);
            }
            self.tell_end(slot, Err(cause));
        }
    }

    /// The last clone is gone. A process that has not ended is heard of all the same.
    pub(crate) fn release_child(&mut self, id: Id) {
        if let Some(state) = self.child(id) {
            state.released = true;
            self.forget_child(id);
        }
    }

    /// Forgets a process of which nobody will ask, when everything about it is over.
    fn forget_child(&mut self, id: Id) {
        let over = |state: &mut ChildState| {
            state.released && state.ended.is_some() && state.watch == Watch::None
        };
        if self.child(id).is_some_and(over) {
            self.remove_resource(id);
        }
    }

    /// The engine goes: those that have ended are heard of, so that nothing is left of them.
    pub(crate) fn look_after_children(&mut self) {
        for id in self.resources.ids() {
            self.look_after_child(id);
        }
    }
}

/// What a start fails with whose process runs, and whose pipes or terminal the system refuses to
/// prepare: that, too, is a start that it refuses.
fn refusal_of(command: &Command) -> impl FnOnce(Error) -> Error + use<> {
    let program = command.get_program().display().to_string();
    move |error| match error {
        Error::Io { cause, .. } => Error::io_on(IoOperation::Spawn, program, cause.copied()),
        other => other,
    }
}

/// The outcome of a start. A process that nobody takes is killed.
fn deliver<T: Send + 'static>(slot: Slot<T>, outcome: Result<NewChild<T>>) -> Ready {
    let mut started = None;
    let outcome = outcome.map(|child| {
        let (value, process) = child.give();
        started = Some(process);
        value
    });
    let origin = || started.map_or(Origin::Nowhere, Origin::Started);
    boxed(slot.deliver_from(outcome, origin))
}

const fn no_product<T>(_: &NewChild<T>) -> Product {
    Product::None
}
