//! References to a stream on two threads: it is dropped once, when nobody has one any more.

use loom::{
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    thread::{self, ThreadId},
};

use crate::{
    biased_arc::{Biased, BiasedArc},
    model,
};

/// The engine's part: references that others sent, until it is gone.
struct Place {
    thread: ThreadId,
    /// Changed by its thread only.
    takes: AtomicBool,
    inbox: Mutex<Option<Vec<BiasedArc<Value>>>>,
    dropped: AtomicUsize,
}

struct Value {
    place: Arc<Place>,
}

// SAFETY: one thread, until it takes nothing any more.
#[expect(unsafe_code, reason = "says which thread owns the value")]
unsafe impl Biased for Value {
    fn is_owner(&self) -> bool {
        self.place.thread == thread::current().id() && self.place.takes.load(Relaxed)
    }

    fn send_to_owner(reference: BiasedArc<Self>) -> Result<(), BiasedArc<Self>> {
        let place = Arc::clone(&reference.place);
        match &mut *place.inbox.lock().unwrap() {
            Some(inbox) => inbox.push(reference),
            None => return Err(reference),
        }
        Ok(())
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.place.dropped.fetch_add(1, AcqRel);
    }
}

impl Place {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            thread: thread::current().id(),
            takes: AtomicBool::new(true),
            inbox: Mutex::new(Some(Vec::new())),
            dropped: AtomicUsize::new(0),
        })
    }

    fn turn(&self) {
        let sent = self.inbox.lock().unwrap().as_mut().map(std::mem::take);
        drop(sent);
    }

    fn end(&self) {
        self.takes.store(false, Relaxed);
        let sent = self.inbox.lock().unwrap().take();
        drop(sent);
    }

    fn dropped(&self) -> usize {
        self.dropped.load(Acquire)
    }
}

/// Uses a reference on another thread, as a clone and as itself.
fn use_elsewhere(reference: BiasedArc<Value>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        drop(reference.clone());
        assert_eq!(reference.place.dropped(), 0, "dropped while it was used");
    })
}

#[test]
fn a_value_is_dropped_once_when_its_last_reference_is_wherever_that_is() {
    model(|| {
        let place = Place::new();
        let first = BiasedArc::new(Value { place: Arc::clone(&place) });
        let other = use_elsewhere(first.clone());
        // Leaves a spare one, which the next takes.
        drop(first.clone());
        let second = first.clone();
        drop(first);
        assert_eq!(second.place.dropped(), 0);
        drop(second);
        place.turn();
        other.join().unwrap();
        place.turn();
        assert_eq!(place.dropped(), 1);
    });
}

#[test]
fn promise_16_a_value_whose_engine_is_gone_is_dropped_by_who_has_the_last_reference() {
    model(|| {
        let place = Place::new();
        let first = BiasedArc::new(Value { place: Arc::clone(&place) });
        let other = use_elsewhere(first.clone());
        drop(first.clone());
        place.end();
        drop(first.clone());
        drop(first);
        other.join().unwrap();
        assert_eq!(place.dropped(), 1);
    });
}
