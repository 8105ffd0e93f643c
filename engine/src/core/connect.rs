//! How connections are made: one attempt, or several that race.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    core::{
        Core, Kind, Pending,
        chain::Product,
        closing::{Closing, Ending},
        stream::Settings,
    },
    handles::{callback::Slot, queue::ready::Success, stream::Stream},
    pure::{
        address::Address,
        error::{Error, IoOperation, Result},
        options::ConnectOptions,
        race::{CONNECTION_ATTEMPT_DELAY, Race, RaceEvent, Step},
        table::Id,
        timer::{Target, TimerNumber},
    },
    system::{
        descriptor::{Descriptor, Tenure},
        driver::{Driver, Operation, Release, Role},
        fd_kind::FdKind,
        sys::errno::Errno,
    },
};

/// A connect without an outcome.
pub(crate) struct Connecting {
    goal: Goal,
    /// The attempts that are under way.
    attempts: Vec<Attempt>,
    /// When the next step is due, or zero.
    pub(crate) timer: TimerNumber,
    options: ConnectOptions,
    slot: Slot<Stream>,
}

/// What is connected to.
enum Goal {
    /// The first of these that answers.
    Inet(Race),
    /// A Unix socket, by its path. One whose backlog is full is tried again, with the same socket.
    Path(Address),
}

struct Attempt {
    /// Its number in the race.
    number: usize,
    resource: Id,
    descriptor: Arc<Descriptor>,
    fd_kind: FdKind,
}

/// How long a Unix socket with a full backlog is left alone. The system does not signal when there
/// is room, see connect(2).
const BACKLOG_FULL_DELAY: Duration = Duration::from_millis(10);

impl Connecting {
    /// The sockets that are connecting.
    pub(crate) fn resources(&self) -> impl Iterator<Item = Id> {
        self.attempts.iter().map(|attempt| attempt.resource)
    }
}

impl Core {
    /// Submits a connect to one address.
    pub(crate) fn connect(
        &mut self,
        address: Address,
        options: ConnectOptions,
        slot: Slot<Stream>,
        timeout: Option<Duration>,
        chain: Id,
    ) -> Option<Id> {
        let goal = match address {
            Address::Inet(address) => Goal::Inet(Race::new([address])),
            path => Goal::Path(path),
        };
        self.begin_connecting(goal, options, slot, timeout, chain)
    }

    /// Submits a connect to whichever of these answers first. If this end has an address, it has a
    /// family, and addresses of the other one are left out; but if there are no others, the system
    /// says what is wrong.
    pub(crate) fn connect_any(
        &mut self,
        mut addresses: Vec<SocketAddr>,
        options: ConnectOptions,
        slot: Slot<Stream>,
        timeout: Option<Duration>,
        chain: Id,
    ) -> Option<Id> {
        if let Some(local) = options.bind {
            let is_like_it = |address: &SocketAddr| address.is_ipv4() == local.is_ipv4();
            if addresses.iter().any(is_like_it) {
                addresses.retain(is_like_it);
            }
        }
        self.begin_connecting(Goal::Inet(Race::new(addresses)), options, slot, timeout, chain)
    }

    fn begin_connecting(
        &mut self,
        goal: Goal,
        options: ConnectOptions,
        slot: Slot<Stream>,
        timeout: Option<Duration>,
        chain: Id,
    ) -> Option<Id> {
        let connecting = Connecting { goal, attempts: Vec::new(), timer: 0, options, slot };
        let kind = Kind::Connect(Box::new(connecting));
        let id = self.insert(Pending::new(kind, Id::NONE, chain), timeout);
        match &mut self.connecting(id)?.goal {
            Goal::Inet(race) => {
                let step = race.start();
                self.take_step(id, step);
            }
            Goal::Path(_) => self.try_path(id),
        }
        Some(id)
    }

    fn connecting(&mut self, id: Id) -> Option<&mut Connecting> {
        match self.pending.get_mut(id) {
            Some(Pending { kind: Kind::Connect(connecting), .. }) => Some(connecting),
            _ => None,
        }
    }

    /// Does what the race says, until it has to wait.
    fn take_step(&mut self, id: Id, mut step: Step) {
        loop {
            step = match step {
                Step::Wait => return,
                Step::Begin { attempt, address, more } => {
                    self.arm_step(id, more.then_some(CONNECTION_ATTEMPT_DELAY));
                    let address = Address::Inet(address);
                    let Err(error) = self.begin_attempt(id, attempt, address) else {
                        return;
                    };
                    let Some(connecting) = self.connecting(id) else { return };
                    match &mut connecting.goal {
                        Goal::Inet(race) => race.resume(failed(attempt, error)),
                        Goal::Path(_) => return,
                    }
                }
                Step::Won { attempt, losers } => {
                    self.end_attempts(id, &losers);
                    return self.win(id, attempt);
                }
                Step::Lost { error } => return self.lose(id, error),
                Step::Stopped { losers } => return self.end_attempts(id, &losers),
            }
        }
    }

    fn arm_step(&mut self, id: Id, delay: Option<Duration>) {
        let Some(Pending { kind: Kind::Connect(connecting), .. }) = self.pending.get_mut(id) else {
            return;
        };
        self.timers.disarm(&mut connecting.timer);
        let Some(delay) = delay else { return };
        let timer = self.arm_target(delay, Target::Step(id));
        if let Some(connecting) = self.connecting(id) {
            connecting.timer = timer;
        }
    }

    /// The delay before the next attempt of a race is over.
    pub(crate) fn step_due(&mut self, id: Id) {
        if let Some(Connecting { goal: Goal::Inet(race), .. }) = self.connecting(id) {
            let step = race.resume(RaceEvent::DelayExpired);
            self.take_step(id, step);
        }
    }

    /// Tries a Unix socket, for the first time or once more, with the same socket.
    pub(crate) fn try_path(&mut self, id: Id) {
        let Some(connecting) = self.connecting(id) else { return };
        let Goal::Path(address) = &connecting.goal else { return };
        let address = address.clone();
        if let Some(&Attempt { resource, .. }) = connecting.attempts.first() {
            self.driver.submit(resource, Operation::Connect { address });
        } else if let Err(error) = self.begin_attempt(id, 0, address) {
            self.lose(id, error);
        }
    }

    /// Tries a Unix socket whose backlog was full again now, if it is one.
    pub(crate) fn try_full_backlog(&mut self, id: Id) {
        if let Some(Connecting { goal: Goal::Path(_), timer: 1.., .. }) = self.connecting(id) {
            self.arm_step(id, None);
            self.try_path(id);
        }
    }

    fn begin_attempt(&mut self, id: Id, number: usize, address: Address) -> Result<()> {
        let fd_kind = FdKind::Socket { tcp: matches!(address, Address::Inet(_)) };
        let Some(connecting) = self.connecting(id) else { return Ok(()) };
        let options = connecting.options.clone();
        let descriptor = self.shared.env.socket(&address, &options)?;
        let resource = self.insert_stream(Arc::clone(&descriptor), fd_kind, Tenure::Own);
        if let Some(state) = self.stream(resource) {
            state.rare.make().attempt_of = id;
            let (limits, peer) = (state.settings.limits, Some(address.clone()));
            state.settings = Arc::new(Settings { limits, peer });
        }
        if let Some(connecting) = self.connecting(id) {
            connecting.attempts.push(Attempt { number, resource, descriptor, fd_kind });
        }
        self.driver.submit(resource, Operation::Connect { address });
        Ok(())
    }

    pub(crate) fn connected(&mut self, resource: Id, result: io::Result<()>) {
        let Some(id) = self.stream(resource).map(|state| state.rare.attempt_of) else { return };
        let result = result.map_err(|cause| {
            (cause.kind(), Error::io_on(IoOperation::Connect, self.name_of(resource), cause))
        });
        let Some(connecting) = self.connecting(id) else { return };
        let attempt = connecting.attempts.iter().find(|attempt| attempt.resource == resource);
        let Some(&Attempt { number: attempt, .. }) = attempt else { return };
        match (&mut connecting.goal, result) {
            (Goal::Inet(race), result) => {
                let event = match result {
                    Ok(()) => RaceEvent::Succeeded { attempt },
                    Err((_, error)) => failed(attempt, error),
                };
                let failed = matches!(event, RaceEvent::Failed { .. });
                let step = race.resume(event);
                if failed {
                    self.end_attempts(id, &[attempt]);
                }
                self.take_step(id, step);
            }
            (Goal::Path(_), Ok(())) => self.win(id, attempt),
            (Goal::Path(_), Err((io::ErrorKind::WouldBlock, _))) => {
                self.arm_step(id, Some(BACKLOG_FULL_DELAY));
            }
            (Goal::Path(_), Err((_, error))) => {
                self.end_attempts(id, &[attempt]);
                self.lose(id, error);
            }
        }
    }

    fn win(&mut self, id: Id, attempt: usize) {
        let Some((connecting, chain)) = self.remove_connecting(id) else { return };
        let won = connecting.attempts.into_iter().find(|other| other.number == attempt);
        let Some(Attempt { resource, descriptor, fd_kind, .. }) = won else { return };
        if let Some(state) = self.stream(resource) {
            state.rare.end_attempt();
        }
        let stream = self.name_stream(resource, descriptor, fd_kind);
        let product = stream.clone();
        let success = Success { slot: connecting.slot, value: stream };
        self.tell(chain, || Ok(Product::Stream(product)), success);
    }

    fn lose(&mut self, id: Id, error: Error) {
        if let Some((connecting, chain)) = self.remove_connecting(id) {
            self.fail(chain, connecting.slot, error);
        }
    }

    pub(crate) fn abort_connect(&mut self, id: Id, cause: Error) {
        let Some(connecting) = self.connecting(id) else { return };
        match &mut connecting.goal {
            Goal::Inet(race) => {
                let step = race.resume(RaceEvent::Cancelled);
                self.take_step(id, step);
            }
            Goal::Path(_) => self.end_attempts(id, &[0]),
        }
        self.lose(id, cause);
    }

    fn remove_connecting(&mut self, id: Id) -> Option<(Box<Connecting>, Id)> {
        self.arm_step(id, None);
        match self.remove(id)? {
            Pending { kind: Kind::Connect(connecting), chain, .. } => Some((connecting, chain)),
            _ => unreachable!("only connects are asked for here"),
        }
    }

    /// Closes the sockets of attempts, whether they have ended or not.
    fn end_attempts(&mut self, id: Id, attempts: &[usize]) {
        for &attempt in attempts {
            let Some(connecting) = self.connecting(id) else { return };
            let position = connecting.attempts.iter().position(|other| other.number == attempt);
            let Some(position) = position else { continue };
            let resource = connecting.attempts.remove(position).resource;
            let Some(state) = self.stream(resource).filter(|state| state.rare.closing.is_none())
            else {
                continue;
            };
            let mut closing = Closing::new(Ending::Dropped, Id::NONE);
            closing.hand_down();
            state.rare.make().closing = Some(Box::new(closing));
            self.update_pending(resource);
            self.driver.cancel(resource, Role::Connect);
            self.driver.submit(resource, Operation::Close(Release::Close));
        }
    }
}

/// Tells a race that one of its attempts has failed.
fn failed(attempt: usize, error: Error) -> RaceEvent {
    let is_local = is_local(&error);
    RaceEvent::Failed { attempt, error, is_local }
}

/// Whether this machine itself could not try, so that the error says nothing about the peer.
fn is_local(error: &Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, NetworkDown, NetworkUnreachable, Unsupported};
    let Error::Io { cause, .. } = error else { return false };
    let no_such_family = Errno::AFNOSUPPORT.raw_os_error();
    matches!(cause.kind(), AddrNotAvailable | NetworkDown | NetworkUnreachable | Unsupported)
        || cause.raw_os_error() == Some(no_such_family)
}
