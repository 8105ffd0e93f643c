//! Setbacks: what is done when the system refuses a send.
//!
//! Where it has no memory for the bytes, they are sent again after a pause, for a bounded time:
//! what was reported as written is not to be lost because memory was short for a moment. Meanwhile
//! they are unsent bytes like any others. So it is where a device has no room and cannot signal
//! when it has; but that may last, and has no bound.
//!
//! A failure that does not pass breaks the outgoing direction of a connection. The peer waits for
//! bytes that never come, and a read would wait for the peer: so reads fail, too, once all that has
//! arrived is received.

use std::{
    io,
    time::{Duration, Instant},
};

use crate::{
    core::{
        Core,
        resource::{Phase, Resource},
        stream::{End, StreamState},
    },
    pure::{
        error::{Error, IoOperation, SystemError},
        mutants::{self, Mutant},
        table::Id,
        timer::{Target, TimerNumber},
    },
    system::{
        driver::{Driver, Operation, Role},
        sys::errno::Errno,
    },
};

/// For how long a send is tried again, and longer only for the sake of `TRIES_MIN`.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a send is tried again at least: where the engine is seldom run, time passes and little
/// is tried.
const TRIES_MIN: u32 = 32;
/// The first pause. Each is twice as long as the one before, up to `PAUSE_MAX`.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(64);

/// A stream's setback.
#[derive(Debug)]
pub(crate) struct Setback {
    /// The timer for what is to be done about it next, or zero.
    pub(crate) timer: TimerNumber,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The system had no memory or no room for a send. It is tried again until then; so often it
    /// has been.
    Short { until: Instant, pause: Duration, tries: u32 },
    /// The outgoing direction has failed for good. `received` is how many bytes had ever come when
    /// the engine last looked for more. `emptied` says that the look has brought none, so that the
    /// receive was stopped: when that has come back, reads fail.
    Broken { received: u64, emptied: bool },
}

impl Setback {
    const fn is_short(&self) -> bool {
        matches!(self.stage, Stage::Short { .. })
    }

    /// Whether the stream is in a pause, and not to send yet.
    pub(crate) const fn rests(&self) -> bool {
        self.is_short() && self.timer != 0
    }
}

/// Whether an error says that the system had no memory, so that another try is worth its while.
pub(crate) fn is_for_want_of_memory(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOBUFS | Errno::NOMEM))
}

/// Whether an error says that a device has no room and cannot signal when it has: it takes its
/// time, as a peer does that does not read.
fn is_for_want_of_room(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::AGAIN)
}

/// Whether an error of a send means that the whole connection is gone. The system reports such an
/// error once: if a send has got it, a receive finds an end where the peer has not ended. These
/// errors are a reset, and that nobody has answered any more, for which TCP gives the reason that
/// routers gave (icmp(7), RFC 1122). A broken pipe is not among them: it comes after an orderly
/// end, or where only this direction is over. Nor is what this system is short of, or forbids.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNRESET
                | Errno::CONNABORTED
                | Errno::CONNREFUSED
                | Errno::TIMEDOUT
                | Errno::HOSTUNREACH
                | Errno::HOSTDOWN
                | Errno::NETUNREACH
                | Errno::NETDOWN
                | Errno::NETRESET
                | Errno::NOPROTOOPT
                | Errno::PROTO
                | Errno::ACCESS
        )
    )
}

impl StreamState {
    /// The error that a send on this connection has failed with for good, if one has.
    fn refusal(&self) -> Option<&SystemError> {
        match self.rare.write_error.as_deref() {
            Some(Error::Io { operation: IoOperation::Write, cause })
                if self.fd_kind.is_socket() =>
            {
                Some(cause)
            }
            _ => None,
        }
    }

    /// What an end of stream that the system reports really is. It reports a reset once: if a send
    /// has got it, a receive finds an end where the peer never ended.
    pub(crate) fn real_end(&self) -> End {
        match self.refusal() {
            Some(cause) if is_of_connection(cause) => End::Failed(cause.clone()),
            _ => End::EndOfStream,
        }
    }

    /// The end that reads get where the outgoing direction of a connection has failed, if that ends
    /// them. A broken pipe does not: the peer may take nothing more and go on sending, and if it is
    /// gone, a receive finds that out.
    fn broken_end(&self) -> Option<End> {
        let cause = self.refusal()?;
        match Errno::from_io_error(cause) {
            Some(Errno::PIPE) => None,
            _ if is_of_connection(cause) => Some(End::Failed(cause.clone())),
            _ => Some(End::Broken(cause.clone())),
        }
    }
}

impl Core {
    /// A send has failed. Returns whether it is tried again.
    pub(crate) fn bear(&mut self, stream: Id, error: &io::Error) -> bool {
        let now = self.now();
        let is_full = is_for_want_of_room(error);
        let passes = is_full || is_for_want_of_memory(error);
        if !passes || mutants::is_active(Mutant::ShortageForGood) {
            return false;
        }
        let first = Stage::Short { until: now + PATIENCE, pause: PAUSE_MIN, tries: 0 };
        let setback = self.setbacks.entry(stream).or_insert(Setback { timer: 0, stage: first });
        let Stage::Short { until, pause, tries } = setback.stage else { return false };
        if now >= until && tries >= TRIES_MIN && !is_full {
            return false;
        }
        let next = (pause * 2).min(PAUSE_MAX);
        setback.stage = Stage::Short { until, pause: next, tries: tries.saturating_add(1) };
        if let Some(state) = self.stream(stream) {
            state.set_back = true;
        }
        self.arm_setback(stream, pause);
        true
    }

    fn arm_setback(&mut self, stream: Id, pause: Duration) {
        self.disarm_setback(stream);
        let timer = self.arm_target(pause, Target::Setback(stream));
        if let Some(setback) = self.setbacks.get_mut(&stream) {
            setback.timer = timer;
        }
    }

    /// Disarms the timer of a setback. Returns whether it was armed.
    fn disarm_setback(&mut self, stream: Id) -> bool {
        let Some(setback) = self.setbacks.get_mut(&stream) else { return false };
        self.timers.disarm(&mut setback.timer)
    }

    /// The setback of a stream is over, or the stream is.
    pub(crate) fn end_setback(&mut self, stream: Id) {
        self.disarm_setback(stream);
        self.setbacks.remove(&stream);
        if let Some(state) = self.stream(stream) {
            state.set_back = false;
        }
    }

    /// Ends a setback that is a shortage, because something was sent or nothing is left to send.
    pub(crate) fn end_shortage(&mut self, stream: Id) {
        if self.setbacks.get(&stream).is_some_and(Setback::is_short) {
            self.end_setback(stream);
        }
    }

    /// Ends the setback of a connection whose outgoing direction has failed: its end is known now,
    /// and reads fail with that.
    pub(crate) fn end_break(&mut self, stream: Id) {
        if self.looks_for_more(stream) {
            self.end_setback(stream);
        }
    }

    /// Has a stream that rests send now.
    pub(crate) fn send_again(&mut self, stream: Id) {
        if self.setbacks.get(&stream).is_some_and(Setback::rests) {
            self.disarm_setback(stream);
            self.send(stream);
        }
    }

    /// Has all streams that rest send now: another run may never come.
    pub(crate) fn send_all_again(&mut self) {
        if self.setbacks.is_empty() {
            return;
        }
        for stream in self.resources.ids() {
            self.send_again(stream);
        }
    }

    /// The timer of a setback has fired. After a pause the stream sends again; on a broken
    /// connection the receive is stopped if it has brought nothing since the engine last looked.
    pub(crate) fn setback_due(&mut self, stream: Id) {
        let Some(setback) = self.setbacks.get_mut(&stream) else { return };
        // It may have been armed anew while all that is due was tried once more.
        if setback.timer != 0 {
            return;
        }
        let Stage::Broken { received, emptied } = &mut setback.stage else {
            return self.send(stream);
        };
        let Some(Resource::Stream(state)) = self.resources.get_mut(stream) else { return };
        if state.reception != Phase::Running || state.rare.is_closing() {
            return;
        }
        if state.unread.received() > *received {
            return self.look_for_more(stream);
        }
        *emptied = true;
        state.reception = Phase::Stopping;
        self.driver.cancel(stream, Role::Receive);
    }

    /// The outgoing direction has failed for good. On a connection reads fail, too, once all that
    /// has arrived is received.
    pub(crate) fn was_broken(&mut self, stream: Id) {
        self.end_setback(stream);
        let Some(state) = self.stream(stream) else { return };
        if state.rare.end.is_some() || state.rare.is_closing() || state.broken_end().is_none() {
            return;
        }
        state.set_back = true;
        let stage = Stage::Broken { received: 0, emptied: false };
        self.setbacks.insert(stream, Setback { timer: 0, stage });
        self.update_recv(stream);
    }

    /// Starts or stops the receive of a connection whose outgoing direction has failed: it runs
    /// only while a read waits, and as long as it brings something. Returns whether the stream is
    /// such a connection.
    pub(crate) fn steer_broken(&mut self, stream: Id) -> bool {
        let Some(setback) = self.setbacks.get(&stream).filter(|setback| !setback.is_short()) else {
            return false;
        };
        let is_armed = setback.timer != 0;
        let Some(state) = self.stream(stream) else { return true };
        match (state.wants_bytes(), state.reception) {
            (true, Phase::Idle) => {
                state.reception = Phase::Running;
                let once = !state.reads_ahead();
                self.driver.submit(stream, Operation::Receive { once });
                self.look_for_more(stream);
            }
            (true, Phase::Running) if !is_armed => self.look_for_more(stream),
            // No read waits. The receive is stopped, so that the next read starts one and looks
            // anew.
            (false, Phase::Running) => {
                state.reception = Phase::Stopping;
                self.disarm_setback(stream);
                self.driver.cancel(stream, Role::Receive);
            }
            _ => {}
        }
        true
    }

    /// Has the next turn look whether more has arrived on a broken connection, by a timer that is
    /// due at once.
    fn look_for_more(&mut self, stream: Id) {
        let Some(Resource::Stream(state)) = self.resources.get(stream) else { return };
        let received = state.unread.received();
        if let Some(setback) = self.setbacks.get_mut(&stream) {
            setback.stage = Stage::Broken { received, emptied: false };
        }
        self.arm_setback(stream, Duration::ZERO);
    }

    /// Whether the stream is a connection whose outgoing direction has failed, so that the engine
    /// looks whether more has arrived.
    pub(crate) fn looks_for_more(&self, stream: Id) -> bool {
        self.setbacks.get(&stream).is_some_and(|setback| !setback.is_short())
    }

    /// The receive of a broken connection has stopped. If it was stopped because it brought
    /// nothing, and has brought nothing while it stopped, this is the end of the stream.
    pub(crate) fn end_of_broken(&mut self, stream: Id) -> Option<End> {
        let setback = self.setbacks.get_mut(&stream)?;
        let Stage::Broken { received, emptied } = &mut setback.stage else { return None };
        let was_emptied = std::mem::take(emptied);
        let received = *received;
        let state = self.stream(stream)?;
        if was_emptied && state.unread.received() == received { state.broken_end() } else { None }
    }
}
