//! [`Core`]: the engine's state.
//!
//! Everything here runs on the engine's thread with the state borrowed, so no user code may run: no
//! callback, no matcher of a user's, no drop of what users gave. Outcomes go to the ready queue and
//! leftovers to the deferred drops; the turn deals with both when nothing is borrowed.

mod cancelling;
pub(crate) mod chain;
pub(crate) mod child;
pub(crate) mod closing;
pub(crate) mod connect;
pub(crate) mod copy;
pub(crate) mod datagrams;
mod deadlines;
pub(crate) mod deferred_drops;
pub(crate) mod delivery;
mod ending;
pub(crate) mod every;
pub(crate) mod file;
pub(crate) mod listener;
mod operations;
pub(crate) mod pending;
pub(crate) mod repeat;
pub(crate) mod report;
pub(crate) mod resource;
pub(crate) mod scans;
mod signals;
pub(crate) mod stream;
mod turn;
pub(crate) mod watch;
pub(crate) mod work;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    sync::Arc,
    task::Waker,
    time::Instant,
};

use crate::{
    core::{
        deferred_drops::DeferredDrops,
        resource::{Resource, Unsettled},
        scans::Scans,
        signals::SignalWaits,
        stream::{Settings, StreamState, setback::Setback},
        watch::PeerWait,
    },
    handles::{
        cancel::Key,
        handle::Handle,
        queue::{message::Message, ready::ReadyQueue},
        shared::Shared,
    },
    pure::{
        buffer::{outgoing::Spare, unread},
        limits::Limits,
        metrics::Counts,
        table::{Id, Table},
        timer::Timers,
    },
    system::{
        descriptor::Descriptor,
        driver::{AnyDriver, Completion, blocks::Blocks},
        pool::Pool,
    },
};

pub(crate) use self::operations::{Kind, Pending};

/// The engine's state.
pub(crate) struct Core {
    pub(crate) engine: u32,
    pub(crate) shared: Arc<Shared>,
    pub(crate) driver: AnyDriver,
    pub(crate) resources: Table<Resource>,
    pub(crate) pending: Table<Pending>,
    /// How many streams have a head read.
    pub(crate) head_reads: usize,
    /// The tasks that live on this engine, and what wakes them when it ends.
    pub(crate) tasks: Table<Waker>,
    pub(crate) timers: Timers,
    /// What the next round runs, in order.
    pub(crate) ready: Box<ReadyQueue>,
    /// Streams that were written to in this turn.
    pub(crate) dirty: Vec<Id>,
    /// Streams that had enough unread while no read wanted more: the turn's end stops their
    /// receives if that is still so.
    pub(crate) above_read_ahead: Vec<Id>,
    /// What matchers may do in this turn, and which go on in the next.
    pub(crate) scans: Scans,
    /// What users own and must be dropped when nothing is borrowed.
    pub(crate) deferred_drops: DeferredDrops,
    /// Listeners that wait for a descriptor, or have done so since one was last released.
    pub(crate) resting: Vec<Id>,
    /// Memory that small writes are copied into, used again and again.
    pub(crate) spare: Spare,
    /// The same of what has come.
    pub(crate) spare_unread: unread::Spare,
    /// The settings of the engine, and of the streams that have none of their own.
    pub(crate) settings: Arc<Settings>,
    pub(crate) pool: Pool,
    /// How many resources are pending by themselves: bytes unsent, or closing.
    pub(crate) unsettled: Unsettled,
    /// What is to be done about streams whose sends the system has refused. They are few.
    pub(crate) setbacks: HashMap<Id, Setback>,
    /// Streams whose peers' ends are waited for. They are few.
    pub(crate) peer_waits: HashMap<Id, PeerWait>,
    /// How many operations on files have no outcome.
    pub(crate) on_files: usize,
    /// Operations on files are numbered, because reads and writes of a file share one order.
    pub(crate) submissions: u64,
    /// The repeating operation whose handler runs; else none.
    pub(crate) repeating: Id,
    /// How much was done so far.
    pub(crate) counts: Counts,
    /// Counts the rounds in which ready callbacks run, and wraps around.
    pub(crate) round: u32,
    /// Who waits for a signal.
    signals: SignalWaits,
    /// The future that drives the run is in the ready queue.
    pub(crate) root_queued: bool,
    /// Deadlines have come, and what they are about is tried once more.
    pub(crate) is_expiring: bool,
    /// The engine is being dropped: nothing more is accepted.
    pub(crate) ending: bool,
    tickets: HashMap<u64, Key>,
    /// The last ticket that was seen: all up to it are of operations that have begun.
    last_ticket: u64,
    /// Tickets that were cancelled before they were seen.
    cancelled: HashSet<u64>,
    /// Requests that were taken out of the inbox and are still to be dealt with.
    put_off: VecDeque<Message>,
    completions: Vec<Completion>,
    /// Memory that files are read into.
    pub(crate) blocks: Blocks,
    /// How many reads and writes of files by their cursors are under way.
    pub(crate) errands: usize,
    /// Descriptors that an ending engine has not closed, because close(2) may block.
    pub(crate) unclosed: Vec<Arc<Descriptor>>,
}

impl Core {
    pub(crate) fn new(shared: Arc<Shared>, driver: AnyDriver, limits: Limits, pool: Pool) -> Self {
        Self {
            engine: shared.id,
            shared,
            driver,
            resources: Table::new(),
            pending: Table::new(),
            head_reads: 0,
            tasks: Table::new(),
            timers: Timers::default(),
            ready: Box::default(),
            dirty: Vec::new(),
            above_read_ahead: Vec::new(),
            scans: Scans::default(),
            deferred_drops: DeferredDrops::default(),
            resting: Vec::new(),
            spare: Spare::default(),
            spare_unread: unread::Spare::default(),
            settings: Arc::new(Settings { limits, peer: None }),
            pool,
            unsettled: Unsettled::default(),
            setbacks: HashMap::new(),
            peer_waits: HashMap::new(),
            on_files: 0,
            submissions: 0,
            repeating: Id::NONE,
            counts: Counts::default(),
            // Streams begin with zero, and nothing of theirs was told a moment ago.
            round: 2,
            signals: SignalWaits::default(),
            root_queued: false,
            is_expiring: false,
            ending: false,
            tickets: HashMap::new(),
            last_ticket: 0,
            cancelled: HashSet::new(),
            put_off: VecDeque::new(),
            completions: Vec::new(),
            blocks: Blocks::default(),
            errands: 0,
            unclosed: Vec::new(),
        }
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle::from(Arc::clone(&self.shared))
    }

    /// The engine's clock.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.shared.env.now()
    }

    #[inline]
    pub(crate) fn stream(&mut self, id: Id) -> Option<&mut StreamState> {
        match self.resources.get_mut(id) {
            Some(Resource::Stream(state)) => Some(state),
            _ => None,
        }
    }

    /// A stream and the table its operations are in, to be changed together.
    #[inline]
    pub(crate) fn stream_and_pending(
        &mut self,
        id: Id,
    ) -> Option<(&mut StreamState, &mut Table<Pending>)> {
        match self.resources.get_mut(id) {
            Some(Resource::Stream(state)) => Some((state, &mut self.pending)),
            _ => None,
        }
    }

    /// Everything without an outcome, and everything that is not out yet.
    pub(crate) fn pending(&self) -> usize {
        let operations = self.pending.len() + self.head_reads;
        let to_drop = self.deferred_drops.len();
        let to_do = self.ready.len() + self.put_off.len() + to_drop;
        operations + self.tasks.len() + to_do + self.unsettled.count()
    }

    /// How many requests were taken out of the inbox and not dealt with.
    pub(crate) fn put_off(&self) -> usize {
        self.put_off.len()
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("pending", &self.pending()).finish_non_exhaustive()
    }
}
