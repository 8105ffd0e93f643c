//! The table of live operations: what each waits for, and whom it reports to.

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use crate::{
    core::{
        Core,
        chain::Chain,
        connect::Connecting,
        copy::{Copying, WayOf},
        datagrams::Outgoing,
        every::Every,
        file::Task,
        repeat::Taker,
        stream::{read::Read, write::Write},
        work::Unfinished,
    },
    handles::{callback::Slot, delivery::Outcome, stream::Stream},
    pure::{
        datagram::Datagram,
        list::{Linked, Links},
        table::Id,
        timer::TimerNumber,
    },
    system::driver::Readiness,
};

/// An operation without an outcome.
pub(crate) struct Pending {
    pub(crate) kind: Kind,
    /// Where it waits, if it waits at a resource.
    pub(crate) resource: Id,
    links: Links,
    /// Its deadline, or zero.
    pub(crate) timer: TimerNumber,
    /// The chain it is a stage of, if any.
    pub(crate) chain: Id,
    /// Its place in the order of a file's operations.
    pub(crate) number: u64,
    pub(super) ticket: u64,
}

/// What an operation waits for, and whom it reports to.
pub(crate) enum Kind {
    Read(Read),
    Write(Box<Write>),
    Flush(Slot<()>),
    ShutdownWrite(Slot<()>),
    Accept(Taker<Stream>),
    Connect(Box<Connecting>),
    /// A close or detach; its resource holds the rest.
    Close,
    /// Waits until something is ready.
    Poll {
        slot: Slot<()>,
        readiness: Readiness,
    },
    /// Succeeds when `over` comes; none if its own timeout comes first, or neither ever.
    Sleep {
        slot: Slot<()>,
        over: Option<Instant>,
    },
    Every(Box<Every>),
    /// Waits for the signal of this number.
    Signal(i32, Taker<()>),
    Thread(Box<dyn Unfinished>),
    /// Waits for the end of a process.
    Wait(Slot<ExitStatus>),
    File(Box<Task>),
    ReceiveFrom(Taker<Datagram>),
    SendTo(Box<Outgoing>),
    Chain(Box<Chain>),
    Copy(Box<Copying>),
    /// What stands for a copy among the writes of the stream it goes to.
    CopyTo(WayOf),
    /// Has succeeded with a claim, which can be withdrawn until its callback runs.
    Claimed(Option<Outcome>),
}

impl Pending {
    pub(crate) const fn new(kind: Kind, resource: Id, chain: Id) -> Self {
        Self { kind, resource, links: Links::NONE, timer: 0, chain, number: 0, ticket: 0 }
    }
}

impl Linked for Pending {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Core {
    /// Puts an operation into the table and arms its deadline.
    pub(crate) fn insert(&mut self, pending: Pending, timeout: Option<Duration>) -> Id {
        let id = self.pending.insert(pending);
        if let Some(timeout) = timeout {
            self.arm(id, timeout);
        }
        id
    }

    /// Takes an operation out of the table: its deadline and ticket are forgotten.
    pub(crate) fn remove(&mut self, id: Id) -> Option<Pending> {
        let pending = self.pending.get_mut(id)?;
        self.timers.disarm(&mut pending.timer);
        let ticket = pending.ticket;
        self.forget_ticket(ticket);
        self.pending.remove(id)
    }
}
