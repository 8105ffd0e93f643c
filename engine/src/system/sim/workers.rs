//! [`Workers`]: the pool of an engine without threads. A job takes a time that is drawn, and then
//! runs on the engine's own thread, in its wait.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::system::{
    pool::{Job, Lane, Refused},
    sim::Network,
};

/// The workers of one engine; clones are the same ones.
#[derive(Clone)]
pub(crate) struct Workers {
    network: Network,
    host: usize,
    state: Arc<Mutex<WorkersState>>,
}

const LANES: [Lane; 6] =
    [Lane::Names, Lane::Files, Lane::Work, Lane::Devices, Lane::Processes, Lane::Closing];

#[derive(Default)]
struct WorkersState {
    lanes: [Crew; LANES.len()],
    next_id: u64,
    closed: bool,
}

#[derive(Default)]
struct Crew {
    threads: usize,
    queue: usize,
    waiting: VecDeque<(u64, Job)>,
    /// When each is done.
    running: Vec<(Duration, u64, Job)>,
}

impl Workers {
    /// How many jobs each lane runs at once, and how many may wait.
    pub(crate) fn new(network: Network, host: usize, threads: [usize; 3], queue: usize) -> Self {
        let [names, files, work] = threads;
        let lanes = [names, files, work, 1, 1, 1];
        let lanes = lanes.map(|threads| Crew { threads: threads.max(1), queue, ..Crew::default() });
        let state = Arc::new(Mutex::new(WorkersState { lanes, ..WorkersState::default() }));
        Self { network, host, state }
    }

    pub(crate) fn submit(&self, lane: Lane, job: Job) -> Result<u64, Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed(job));
        }
        let id = state.next_id;
        let crew = &mut state.lanes[lane as usize];
        if crew.running.len() < crew.threads {
            let due = self.draw(lane);
            crew.running.push((due, id, job));
        } else if crew.waiting.len() < crew.queue {
            crew.waiting.push_back((id, job));
        } else {
            return Err(Refused::Full(job));
        }
        state.next_id += 1;
        Ok(id)
    }

    /// How many jobs of each lane wait, and how many run.
    pub(crate) fn jobs(&self) -> [(usize, usize); LANES.len()] {
        let state = self.lock();
        LANES.map(|lane| {
            let crew = &state.lanes[lane as usize];
            (crew.waiting.len(), crew.running.len())
        })
    }

    /// Gives back a job that has not begun. One that runs goes on, as a thread would.
    pub(crate) fn abandon(&self, lane: Lane, id: u64) -> Option<Job> {
        let mut state = self.lock();
        let waiting = &mut state.lanes[lane as usize].waiting;
        let at = waiting.iter().position(|(waiting, _)| *waiting == id)?;
        waiting.remove(at).map(|(_, job)| job)
    }

    /// Takes no further jobs and gives back all that are not done.
    pub(crate) fn shutdown(&self) -> Vec<Job> {
        let mut state = self.lock();
        state.closed = true;
        let crews = state.lanes.iter_mut();
        let jobs = crews.flat_map(|crew| {
            let running = std::mem::take(&mut crew.running).into_iter().map(|(_, _, job)| job);
            let waiting = std::mem::take(&mut crew.waiting).into_iter().map(|(_, job)| job);
            running.chain(waiting)
        });
        jobs.collect()
    }

    /// Takes the job that is done first, if it is done by now, to be run.
    pub(crate) fn take_done(&self, now: Duration) -> Option<Job> {
        let mut state = self.lock();
        let all = LANES.into_iter().flat_map(|lane| {
            let running = state.lanes[lane as usize].running.iter().enumerate();
            running.map(move |(at, (due, id, _))| (*due, *id, lane, at))
        });
        let (due, _, lane, at) = all.min_by_key(|&(due, id, ..)| (due, id))?;
        if due > now {
            return None;
        }
        let crew = &mut state.lanes[lane as usize];
        let (_, _, job) = crew.running.swap_remove(at);
        if let Some((id, next)) = crew.waiting.pop_front() {
            let due = self.draw(lane);
            crew.running.push((due, id, next));
        }
        Some(job)
    }

    /// When a job that begins now is done; the engine is woken then.
    fn draw(&self, lane: Lane) -> Duration {
        let mut network = self.network.lock();
        let network = &mut *network;
        let machine = &network.hosts[self.host].machine;
        let takes = match lane {
            Lane::Names => &machine.lookup,
            _ => &machine.work,
        };
        let due = network.now + network.rng.duration(takes);
        network.schedule_alarm(due);
        due
    }

    fn lock(&self) -> MutexGuard<'_, WorkersState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").finish_non_exhaustive()
    }
}
