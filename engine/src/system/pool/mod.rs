//! Threads for what only threads can do: name lookups, files, devices, and the user's own work.
//!
//! Each [`Lane`] has its own queue and its own threads, so that lookups that hang never hold up a
//! file. The pool knows nothing of engines: a [`Job`] is a closure that delivers its result itself.
//! Threads are started when there is something to do, end after [`IDLE`] without any, and are never
//! joined: a lookup cannot be interrupted, and nobody shall wait for it.
//!
//! **Who is woken.** At most one thread of a lane is on its way at a time. Once it has taken a job
//! it brings the next one in if more are queued. A burst of small jobs so costs one or two
//! wake-ups, and long jobs are spread over the threads all the same. A thread whose job has only to
//! tell that it is done is on its way, too ([`JobContext::finishing`]), so that jobs that come one
//! after the other stay on one thread. The invariant, whenever the lane is unlocked: *if a job is
//! queued, then a thread is on its way, or every thread the lane may have is busy*. (It is broken
//! only while the system refuses threads; the busy ones go on then.)
//!
//! **A job whose result nobody wants** is [abandoned](Pool::abandon). If it still waits it is given
//! back; if it runs, its thread no longer counts, and the lane may start another in its place, up
//! to [`REPLACEMENTS`]. Once all of those hang too, the lane says [`Refused::Full`].

mod job;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fmt, io, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

pub(crate) use self::job::{Job, JobContext, Lane, Refused};
use crate::{
    pure::{metrics::LaneMetrics, panics::Panics},
    system::fork::Process,
};

/// What the threads of each lane are called.
const NAMES: [&str; 6] = [
    "facade-names",
    "facade-files",
    "facade-work",
    "facade-devices",
    "facade-spawn",
    "facade-closing",
];

/// Names a job that was taken, for [`Pool::abandon`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    lane: Lane,
    id: u64,
}

/// Lanes of threads; clones are the same pool.
#[derive(Clone)]
pub(crate) enum Pool {
    Threads(Arc<[Arc<Crew>; 6]>),
    /// No threads: what a simulated engine has in their place.
    #[cfg(feature = "sim")]
    Simulated(crate::system::sim::workers::Workers),
}

impl Pool {
    /// A pool without any thread yet: the most each lane may have (at least one), and how many jobs
    /// may wait in each.
    pub(crate) fn new(names: usize, files: usize, work: usize, queue: usize) -> Self {
        let crew = |lane: Lane, threads, queue| {
            Arc::new(Crew::new(NAMES[lane as usize], threads, queue, IDLE, start_thread))
        };
        Self::Threads(Arc::new([
            crew(Lane::Names, names, queue),
            crew(Lane::Files, files, queue),
            crew(Lane::Work, work, queue),
            crew(Lane::Devices, DEVICES, queue),
            crew(Lane::Processes, STARTS, queue),
            crew(Lane::Closing, CLOSINGS, usize::MAX),
        ]))
    }

    /// Queues a job. It runs once, on a thread of its lane, unless it is abandoned or the pool shut
    /// down before it began.
    pub(crate) fn submit(&self, lane: Lane, job: Job) -> Result<Ticket, Refused> {
        let id = match self {
            Self::Threads(lanes) => lanes[lane as usize].submit(job),
            #[cfg(feature = "sim")]
            Self::Simulated(workers) => workers.submit(lane, job),
        };
        id.map(|id| Ticket { lane, id })
    }

    /// Tells that a job's result is not wanted any more. A job that has not begun is given back, to
    /// be dropped where that does no harm; one that runs gives its place to another thread. Of a
    /// job that is done this says nothing.
    ///
    /// Not for jobs whose successors must wait for them.
    pub(crate) fn abandon(&self, ticket: Ticket) -> Option<Job> {
        match self {
            Self::Threads(lanes) => lanes[ticket.lane as usize].abandon(ticket.id),
            #[cfg(feature = "sim")]
            Self::Simulated(workers) => workers.abandon(ticket.lane, ticket.id),
        }
    }

    /// Takes no further jobs and gives back those that have not begun, but for those of closing.
    /// Idle threads end at once and busy ones after their job; nobody waits for them.
    pub(crate) fn shutdown(&self) -> Vec<Job> {
        match self {
            Self::Threads(lanes) => {
                let [others @ .., closing] = &**lanes;
                closing.end_when_done();
                others.iter().flat_map(|crew| crew.shutdown()).collect()
            }
            #[cfg(feature = "sim")]
            Self::Simulated(workers) => workers.shutdown(),
        }
    }
}

impl Pool {
    /// How much waits and runs.
    pub(crate) fn lanes(&self) -> Vec<LaneMetrics> {
        match self {
            Self::Threads(lanes) => lanes.iter().map(|crew| crew.metrics()).collect(),
            #[cfg(feature = "sim")]
            Self::Simulated(workers) => {
                let lanes = workers.jobs().into_iter().zip(NAMES);
                let metrics = |((waiting, running), name)| LaneMetrics { name, waiting, running };
                lanes.map(metrics).collect()
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// The threads of one lane and what they share.
pub(crate) struct Crew {
    state: Mutex<CrewState>,
    /// A waiting thread was given a wake-up, or the pool was shut down.
    wake: Condvar,
    name: &'static str,
    threads: usize,
    queue: usize,
    idle: Duration,
    /// Where the threads are.
    process: Process,
    /// Starts one thread that runs [`Crew::work`].
    start: fn(&Arc<Self>) -> io::Result<()>,
}

#[derive(Default)]
struct CrewState {
    /// Jobs that have not begun, in the order of their ids.
    queue: VecDeque<(u64, Job)>,
    /// The ids of jobs that run and are still wanted.
    running: Vec<u64>,
    next_id: u64,
    /// All threads: starting, busy, waiting.
    threads: usize,
    /// Threads that run an abandoned job.
    stuck: usize,
    /// Threads that were started and have not looked at the queue yet.
    starting: usize,
    /// Threads whose job is done but for telling so, and that look at the queue next.
    finishing: usize,
    /// Threads that wait and have not been given a wake-up.
    idle: usize,
    /// Wake-ups that were given and not yet taken up by a thread.
    woken: usize,
    closed: bool,
}

/// Whether the thread that is to come must still be told so.
enum Next {
    Notify,
    Comes,
}

impl Crew {
    fn new(
        name: &'static str,
        threads: usize,
        queue: usize,
        idle: Duration,
        start: fn(&Arc<Self>) -> io::Result<()>,
    ) -> Self {
        let threads = threads.max(1);
        let (state, wake, process) = (Mutex::default(), Condvar::new(), Process::current());
        Self { state, wake, name, threads, queue, idle, process, start }
    }

    fn submit(self: &Arc<Self>, job: Job) -> Result<u64, Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed(job));
        }
        if state.queue.len() >= self.queue || state.stuck >= self.threads + REPLACEMENTS {
            return Err(Refused::Full(job));
        }
        let next = match self.bring_one(&mut state) {
            Ok(next) => next,
            // A thread that is stuck may never come back for the job.
            Err(cause) if state.threads == state.stuck => {
                return Err(Refused::NoThread(cause, job));
            }
            Err(_) => Next::Comes,
        };
        let id = state.next_id;
        state.next_id += 1;
        state.queue.push_back((id, job));
        self.unlock(state, next);
        Ok(id)
    }

    fn metrics(&self) -> LaneMetrics {
        let state = self.lock();
        let running = state.running.len() + state.stuck;
        LaneMetrics { name: self.name, waiting: state.queue.len(), running }
    }

    fn abandon(self: &Arc<Self>, id: u64) -> Option<Job> {
        let mut state = self.lock();
        if let Ok(at) = state.queue.binary_search_by_key(&id, |(id, _)| *id) {
            return state.queue.remove(at).map(|(_, job)| job);
        }
        if state.finish(id) {
            state.stuck += 1;
            self.unlock_for_more(state);
        }
        None
    }

    fn shutdown(&self) -> Vec<Job> {
        let mut state = self.lock();
        state.closed = true;
        self.wake.notify_all();
        mem::take(&mut state.queue).into_iter().map(|(_, job)| job).collect()
    }

    /// Takes no further jobs; its threads end when there are none left.
    fn end_when_done(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    /// Unlocks, and sees to it that a thread comes if there are more jobs.
    fn unlock_for_more(self: &Arc<Self>, mut state: MutexGuard<'_, CrewState>) {
        if !state.queue.is_empty() {
            // If it fails, those threads that still come back do the jobs.
            let next = self.bring_one(&mut state).unwrap_or(Next::Comes);
            self.unlock(state, next);
        }
    }

    fn unlock(&self, state: MutexGuard<'_, CrewState>, next: Next) {
        drop(state);
        // Not before: on one core it would run at once, into the lock.
        if let Next::Notify = next {
            self.wake.notify_one();
        }
    }

    /// Sees to it that a thread is on its way, if the lane may have one more at work.
    fn bring_one(self: &Arc<Self>, state: &mut CrewState) -> io::Result<Next> {
        if state.starting + state.woken + state.finishing > 0 {
            return Ok(Next::Comes);
        }
        if state.idle > 0 {
            state.idle -= 1;
            state.woken += 1;
            return Ok(Next::Notify);
        }
        if state.threads < self.bound(state) {
            // Under the lock: rare, and the job then need not be found again should it fail.
            (self.start)(self)?;
            state.threads += 1;
            state.starting += 1;
        }
        Ok(Next::Comes)
    }

    /// How many threads the lane may have now.
    fn bound(&self, state: &CrewState) -> usize {
        self.threads + state.stuck.min(REPLACEMENTS)
    }

    /// The life of one thread.
    fn work(self: &Arc<Self>) {
        let mut state = self.lock();
        state.starting -= 1;
        loop {
            if let Some((id, job)) = state.queue.pop_front() {
                state.running.push(id);
                self.unlock_for_more(state);
                let finish = || self.finishing(id);
                let context = JobContext::of_thread(&finish);
                run(job, &context);
                if self.process != Process::current() {
                    // The job has forked, and this is the child: the lane is the parent's.
                    return;
                }
                state = self.lock();
                if context.is_finishing() {
                    state.finishing -= 1;
                } else if !state.finish(id) {
                    state.stuck -= 1;
                }
                if state.threads <= self.bound(&state) {
                    continue;
                }
            } else if !state.closed {
                let woken;
                (state, woken) = self.wait(state);
                if woken || !state.queue.is_empty() {
                    continue;
                }
            }
            break;
        }
        state.threads -= 1;
    }

    /// A job is done but for telling so. Returns whether its thread counts as on its way now: one
    /// that was abandoned may not be wanted any more.
    fn finishing(&self, id: u64) -> bool {
        let mut state = self.lock();
        let wanted = state.finish(id);
        state.finishing += usize::from(wanted);
        wanted
    }

    /// Waits for a wake-up; false if none came in time or the pool was shut down.
    fn wait<'a>(&self, mut state: MutexGuard<'a, CrewState>) -> (MutexGuard<'a, CrewState>, bool) {
        state.idle += 1;
        let (mut state, _) = self
            .wake
            .wait_timeout_while(state, self.idle, |state| state.woken == 0 && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        // Whoever gives a wake-up takes one thread off the idle ones; which of them takes it up
        // does not matter.
        let woken = state.woken > 0;
        if woken {
            state.woken -= 1;
        } else {
            state.idle -= 1;
        }
        (state, woken)
    }

    fn lock(&self) -> MutexGuard<'_, CrewState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CrewState {
    /// Takes a job off those that run and are wanted; false if it was not one of them.
    fn finish(&mut self, id: u64) -> bool {
        let at = self.running.iter().position(|&running| running == id);
        at.map(|at| self.running.swap_remove(at)).is_some()
    }
}

fn start_thread(crew: &Arc<Crew>) -> io::Result<()> {
    let name = crew.name.to_owned();
    let crew = Arc::clone(crew);
    thread::Builder::new().name(name).spawn(move || crew.work()).map(drop)
}

/// Runs a job and survives whatever it does.
fn run(job: Job, context: &JobContext<'_>) {
    let mut panics = Panics::default();
    panics.contain(|| job(context));
    panics.forget();
}

/// How many threads terminals and devices may hold up at once: each does so alone.
const DEVICES: usize = 64;

/// How many processes are started at once: each start holds up a thread until the program runs.
const STARTS: usize = 4;

/// How many threads closing may hold up at once.
const CLOSINGS: usize = 64;

/// How long a thread without a job stays.
const IDLE: Duration = Duration::from_secs(10);

/// How many threads of a lane may be replaced because they hang in abandoned jobs.
const REPLACEMENTS: usize = 12;
