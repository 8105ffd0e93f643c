//! Operations that a worker thread does: name lookups and the user's own work.

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
    },
    pure::{
        address::{AddrInfo, Query},
        error::{Error, IoOperation, Result},
        panics::Panics,
        table::Id,
    },
    system::{
        fork,
        pool::{Lane, Refused, Ticket},
    },
};

/// An operation that a worker has in hand.
pub(crate) trait Unfinished: Send {
    /// The worker is done: makes the outcome. The product is what a chain goes on with.
    fn finish(self: Box<Self>) -> (Ready, Result<Product>);
    fn fail(self: Box<Self>, error: Error) -> Ready;
    fn ticket(&mut self) -> &mut Option<Ticket>;
    /// The method of the operation.
    fn operation(&self) -> &'static str;
}

struct Job<T> {
    slot: Slot<T>,
    result: Arc<Mutex<Option<Result<T>>>>,
    product: fn(&T) -> Product,
    ticket: Option<Ticket>,
    lane: Lane,
}

impl<T: Send + 'static> Unfinished for Job<T> {
    fn finish(self: Box<Self>) -> (Ready, Result<Product>) {
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The worker's guard reports even if the job panicked before it had a result.
        let outcome = result.unwrap_or(Err(Error::Panicked));
        let product = outcome.as_ref().map(self.product).map_err(Error::clone);
        (boxed(self.slot.deliver(outcome)), product)
    }

    fn fail(self: Box<Self>, error: Error) -> Ready {
        // The worker may have left its result already, which is the user's.
        Ready::Boxed(boxed_with(self.slot.deliver(Err(error)), self.result))
    }

    fn ticket(&mut self) -> &mut Option<Ticket> {
        &mut self.ticket
    }

    fn operation(&self) -> &'static str {
        match self.lane {
            Lane::Names => "getaddrinfo",
            Lane::Files | Lane::Devices | Lane::Closing | Lane::Work => "submit_work",
        }
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
        self.hand_to_worker(Lane::Work, || Ok(f()), |_| Product::None, slot, timeout, Id::NONE)
    }

    /// Submits a name lookup; a literal address needs no worker.
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
                let shared = Arc::clone(&self.shared);
                let f = move || shared.env.lookup(&query);
                self.hand_to_worker(Lane::Names, f, product, slot, timeout, chain)
            }
        }
    }

    fn hand_to_worker<T: Send + 'static>(
        &mut self,
        lane: Lane,
        f: impl FnOnce() -> Result<T> + Send + 'static,
        product: fn(&T) -> Product,
        slot: Slot<T>,
        timeout: Option<Duration>,
        chain: Id,
    ) -> Option<Id> {
        let result = Arc::default();
        let job = Job { slot, result: Arc::clone(&result), product, ticket: None, lane };
        let kind = Kind::Thread(Box::new(job));
        let id = self.insert(Pending::new(kind, Id::NONE, chain), timeout);
        let shared = Arc::clone(&self.shared);
        let run = move || {
            let mut panics = Panics::default();
            let outcome = panics.contain(f).unwrap_or(Err(Error::Panicked));
            panics.forget();
            if fork::is_inherited(shared.id) {
                // The work has forked, and this is the child: nobody waits for it here.
                return mem::forget((result, outcome));
            }
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            let done = move |core: &mut Self| core.worker_done(id);
            // An engine that is gone has run the callback already.
            drop(shared.inbox.push(Message::Apply(Box::new(done))));
        };
        let error = match self.pool.submit(lane, Box::new(run)) {
            Ok(ticket) => {
                if let Some(Pending { kind: Kind::Thread(job), .. }) = self.pending.get_mut(id) {
                    *job.ticket() = Some(ticket);
                }
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

    /// Ends it at once; its result is dropped when it comes, and its thread no longer counts.
    pub(crate) fn abort_thread(&mut self, id: Id, cause: Error) {
        if let Some(Pending { kind: Kind::Thread(job), .. }) = self.pending.get_mut(id)
            && let Some(ticket) = job.ticket().take()
            && let Some(job) = self.pool.abandon(ticket)
        {
            self.discard(job);
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
}
