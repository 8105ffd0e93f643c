//! Operations that a worker thread does, or the system by itself: name lookups and the user's own
//! work.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    core::{Core, Kind, Pending, chain::Product},
    handles::{
        callback::Slot,
        delivery::{boxed, boxed_with},
        queue::{message::Message, ready::Ready},
        shared::Shared,
    },
    pure::{
        address::{AddrInfo, Query},
        error::{Error, IoOperation, Result},
        panics::Panics,
        table::Id,
    },
    system::{
        fork,
        pool::{JobContext, Lane, Refused, Ticket},
        resolver::Lookup,
    },
};

/// An operation that a worker has in hand, or the system.
pub(crate) trait Unfinished: Send {
    /// The worker is done: makes the outcome. The product is what a chain goes on with.
    fn finish(self: Box<Self>) -> (Ready, Result<Product>);
    fn fail(self: Box<Self>, error: Error) -> Ready;
    fn holder(&mut self) -> &mut Option<Holder>;
    /// The method of the operation.
    fn operation(&self) -> &'static str;
}

/// Who has it in hand.
#[derive(Debug)]
pub(crate) enum Holder {
    /// A worker, or a queue of theirs.
    Worker(Ticket),
    /// The system.
    System(Lookup),
}

/// How an operation is done, and what becomes of what that brings.
pub(crate) struct Way<T, U> {
    pub(crate) lane: Lane,
    /// The method of the operation.
    pub(crate) operation: &'static str,
    /// What a chain goes on with.
    pub(crate) product: fn(&T) -> Product,
    /// Pairs the callback with what was brought.
    pub(crate) deliver: fn(Slot<U>, Result<T>) -> Ready,
}

/// Whom to tell of an operation, by when, and the chain it is a stage of.
pub(crate) struct Errand<U> {
    pub(crate) slot: Slot<U>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) chain: Id,
}

struct Job<T, U> {
    slot: Slot<U>,
    result: Arc<Mutex<Option<Result<T>>>>,
    way: Way<T, U>,
    holder: Option<Holder>,
}

impl<T: Send + 'static, U: Send + 'static> Unfinished for Job<T, U> {
    fn finish(self: Box<Self>) -> (Ready, Result<Product>) {
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The worker's guard reports even if the job panicked before it had a result.
        let outcome = result.unwrap_or(Err(Error::Panicked));
        let product = outcome.as_ref().map(self.way.product).map_err(Error::clone);
        ((self.way.deliver)(self.slot, outcome), product)
    }

    fn fail(self: Box<Self>, error: Error) -> Ready {
        // The worker may have left its result already, which is the user's.
        Ready::Boxed(boxed_with(self.slot.deliver(Err(error)), self.result))
    }

    fn holder(&mut self) -> &mut Option<Holder> {
        &mut self.holder
    }

    fn operation(&self) -> &'static str {
        self.way.operation
    }
}

/// Who has an operation in hand tells its result by this, on whichever thread.
struct Reporter<T> {
    id: Id,
    result: Arc<Mutex<Option<Result<T>>>>,
    shared: Arc<Shared>,
}

impl<T> Clone for Reporter<T> {
    fn clone(&self) -> Self {
        let (result, shared) = (Arc::clone(&self.result), Arc::clone(&self.shared));
        Self { id: self.id, result, shared }
    }
}

impl<T: Send + 'static> Reporter<T> {
    /// Leaves the outcome, and tells of it after `finishing`.
    fn tell(self, outcome: Result<T>, finishing: impl FnOnce()) {
        let Self { id, result, shared } = self;
        if fork::is_inherited(shared.id) {
            // The work has forked, and this is the child: nobody waits for it here.
            return mem::forget((result, outcome));
        }
        *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        // It may be the last reference, if nobody waits any more: the outcome is the user's.
        drop(result);
        finishing();
        let done = move |core: &mut Core| core.worker_done(id);
        // An engine that is gone has run the callback already.
        drop(shared.inbox.push(Message::Apply(Box::new(done))));
    }
}

impl Core {
    /// Submits a closure to a worker.
    pub(crate) fn work<T: Send + 'static>(
        &mut self,
        f: impl FnOnce() -> T + Send + 'static,
        slot: Slot<T>,
        timeout: Option<Duration>,
    ) -> Option<Id> {
        let product = |_: &T| Product::None;
        let way = Way { lane: Lane::Work, operation: "submit_work", product, deliver };
        self.have_a_worker_do(way, || Ok(f()), Errand { slot, timeout, chain: Id::NONE })
    }

    /// Submits a name lookup: to the system, if it does it by itself, else to a worker. A literal
    /// address needs neither.
    pub(crate) fn lookup(
        &mut self,
        query: Query,
        slot: Slot<Vec<AddrInfo>>,
        timeout: Option<Duration>,
        chain: Id,
    ) -> Option<Id> {
        let product =
            |infos: &Vec<AddrInfo>| Product::Addresses(infos.iter().map(|i| i.address).collect());
        match query.literal() {
            Some(literal) => {
                let next = literal.as_ref().map(product).map_err(Error::clone);
                self.tell(chain, || next, boxed(slot.deliver(literal)));
                None
            }
            None => {
                let lane = Lane::Names;
                let way = Way { lane, operation: "getaddrinfo", product, deliver };
                let (id, report) = self.expect_result(way, Errand { slot, timeout, chain });
                let tell = report.clone();
                let by_system =
                    self.shared.env.begin_lookup(&query, move |found| tell.tell(found, || ()));
                match by_system {
                    Some(lookup) => self.note_holder(id, Holder::System(lookup)),
                    None => {
                        let shared = Arc::clone(&self.shared);
                        self.hand_to_worker(id, lane, move || shared.env.lookup(&query), report)?;
                    }
                }
                Some(id)
            }
        }
    }

    /// Has a worker do something, and tells of it.
    pub(crate) fn have_a_worker_do<T: Send + 'static, U: Send + 'static>(
        &mut self,
        way: Way<T, U>,
        f: impl FnOnce() -> Result<T> + Send + 'static,
        errand: Errand<U>,
    ) -> Option<Id> {
        let lane = way.lane;
        let (id, report) = self.expect_result(way, errand);
        self.hand_to_worker(id, lane, f, report)
    }

    /// An operation, and who is told its result.
    fn expect_result<T: Send + 'static, U: Send + 'static>(
        &mut self,
        way: Way<T, U>,
        Errand { slot, timeout, chain }: Errand<U>,
    ) -> (Id, Reporter<T>) {
        let result = Arc::default();
        let job = Job { slot, result: Arc::clone(&result), way, holder: None };
        let kind = Kind::Thread(Box::new(job));
        let id = self.insert(Pending::new(kind, Id::NONE, chain), timeout);
        (id, Reporter { id, result, shared: Arc::clone(&self.shared) })
    }

    /// Notes who has an operation in hand.
    fn note_holder(&mut self, id: Id, holder: Holder) {
        if let Some(Pending { kind: Kind::Thread(job), .. }) = self.pending.get_mut(id) {
            *job.holder() = Some(holder);
        }
    }

    /// Submits a closure to a worker. None if that is refused, and so the operation's end.
    fn hand_to_worker<T: Send + 'static>(
        &mut self,
        id: Id,
        lane: Lane,
        f: impl FnOnce() -> Result<T> + Send + 'static,
        report: Reporter<T>,
    ) -> Option<Id> {
        let run = move |context: &JobContext<'_>| {
            let mut panics = Panics::default();
            let outcome = panics.contain(f).unwrap_or(Err(Error::Panicked));
            panics.forget();
            report.tell(outcome, || context.finishing());
        };
        let error = match self.pool.submit(lane, Box::new(run)) {
            Ok(ticket) => {
                self.note_holder(id, Holder::Worker(ticket));
                return Some(id);
            }
            Err(Refused::Full(run)) => {
                self.discard(run);
                Error::Overloaded
            }
            Err(Refused::NoThread(cause, run)) => {
                self.discard(run);
                Error::io(IoOperation::StartThread, cause)
            }
            Err(Refused::Closed(run)) => {
                self.discard(run);
                Error::EngineClosed
            }
        };
        self.end_thread(id, |job| (job.fail(error.clone()), Err(error)));
        None
    }

    fn worker_done(&mut self, id: Id) {
        self.end_thread(id, Unfinished::finish);
    }

    /// Ends it at once; its result is dropped when it comes, and its thread no longer counts. What
    /// the system has in hand it is asked to end.
    pub(crate) fn abort_thread(&mut self, id: Id, cause: Error) {
        if let Some(Pending { kind: Kind::Thread(job), .. }) = self.pending.get_mut(id) {
            match job.holder().take() {
                Some(Holder::Worker(ticket)) => {
                    if let Some(job) = self.pool.abandon(ticket) {
                        self.discard(job);
                    }
                }
                Some(Holder::System(lookup)) => lookup.let_go(),
                None => {}
            }
        }
        self.end_thread(id, |job| (job.fail(cause.clone()), Err(cause)));
    }

    fn end_thread(
        &mut self,
        id: Id,
        end: impl FnOnce(Box<dyn Unfinished>) -> (Ready, Result<Product>),
    ) {
        if let Some(Pending { kind: Kind::Thread(job), chain, .. }) = self.remove(id) {
            let (ready, product) = end(job);
            self.tell(chain, || product, ready);
        }
    }

    /// Has a job that will not run dropped where nothing is borrowed: its closure is the user's.
    fn discard(&mut self, job: crate::system::pool::Job) {
        self.ready.push(Ready::Run(Box::new(|_| drop(job))));
    }
}

/// The callback gets what was brought.
fn deliver<T: Send + 'static>(slot: Slot<T>, outcome: Result<T>) -> Ready {
    boxed(slot.deliver(outcome))
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
        thread,
    };

    use super::*;
    use crate::{api::engine::Engine, handles::callback::Callback};

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("a bomb"));
        }
    }

    #[test]
    fn a_result_that_comes_too_late_is_dropped_where_nothing_is_borrowed() {
        let engine = Engine::new().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&told);
        engine.post(move |local| {
            let cb = Callback::from_fn(move |_, outcome: Result<Bomb>| {
                note.lock().unwrap().push(outcome.err().map(|error| error.to_string()));
            });
            let work = local.submit_work(|| Bomb, cb);
            // The worker has left its result, and the engine has not heard of it.
            while local.shared().inbox.is_empty() {
                thread::yield_now();
            }
            assert!(work.cancel());
        });
        assert!(catch_unwind(AssertUnwindSafe(|| engine.run().unwrap())).is_err());
        engine.run().unwrap();
        assert_eq!(*told.lock().unwrap(), [Some("cancelled".to_owned())]);
    }

    #[cfg(windows)]
    #[test]
    fn the_system_looks_up_a_name_by_itself_and_no_thread() {
        use crate::{handles::current::with_current, pure::address::Hints};

        let engine = Engine::new().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&told);
        engine.post(move |local| {
            let cb = Callback::from_fn(move |_, outcome: Result<Vec<AddrInfo>>| {
                note.lock().unwrap().extend(outcome.unwrap());
            });
            local.getaddrinfo("localhost", 80, Hints::default(), cb);
            let by_system = with_current(local.id(), |core| {
                let id = core.pending.ids().pop();
                let pending = id.and_then(|id| core.pending.get_mut(id));
                let Some(Pending { kind: Kind::Thread(job), .. }) = pending else { panic!() };
                matches!(job.holder(), Some(Holder::System(_)))
            });
            assert_eq!(by_system, Some(true));
        });
        engine.run().unwrap();
        let told = told.lock().unwrap();
        assert!(!told.is_empty() && told.iter().all(|info| info.address.ip().is_loopback()));
    }
}
