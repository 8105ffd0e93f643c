//! The oneshot between a callback and its future: the outcome reaches the future, or goes back
//! because the future is gone; it is never lost and never waited for in vain.

use std::{
    sync::Arc as StdArc,
    task::{Context, Poll, Wake, Waker},
};

use loom::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use crate::{model, oneshot::Oneshot};

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// An outcome that is taken or, dropped, goes back; like a claim.
struct Claim {
    given_back: Arc<AtomicUsize>,
    taken: bool,
}

impl Claim {
    fn take(mut self) {
        self.taken = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.given_back.fetch_add(usize::from(!self.taken), SeqCst);
    }
}

/// A oneshot, the callback that sends a claim to it on a thread of its own, and how often the claim
/// was given back.
fn sending() -> (Arc<Oneshot<Claim>>, thread::JoinHandle<()>, Arc<AtomicUsize>) {
    let oneshot = Arc::new(Oneshot::new());
    let given_back = Arc::new(AtomicUsize::new(0));
    let sender = thread::spawn({
        let (oneshot, given_back) = (Arc::clone(&oneshot), Arc::clone(&given_back));
        move || oneshot.send(Claim { given_back, taken: false })
    });
    (oneshot, sender, given_back)
}

#[test]
fn promise_01_a_pending_future_is_woken_and_then_ready() {
    model(|| {
        let (oneshot, sender, given_back) = sending();
        let count = StdArc::new(Count::default());
        let waker = Waker::from(StdArc::clone(&count));
        let first = oneshot.poll(&Context::from_waker(&waker));
        sender.join().unwrap();
        match first {
            Poll::Ready(claim) => claim.take(),
            Poll::Pending => {
                assert_eq!(count.0.load(SeqCst), 1, "woken once");
                let Poll::Ready(claim) = oneshot.poll(&Context::from_waker(&waker)) else {
                    panic!("woken, and not ready");
                };
                claim.take();
            }
        }
        assert_eq!(given_back.load(SeqCst), 0);
    });
}

#[test]
fn promise_01_the_last_waker_is_the_one_that_is_woken() {
    model(|| {
        let (oneshot, sender, _given_back) = sending();
        let counts = [0, 1].map(|_| StdArc::new(Count::default()));
        for count in &counts {
            let waker = Waker::from(StdArc::clone(count));
            if let Poll::Ready(claim) = oneshot.poll(&Context::from_waker(&waker)) {
                claim.take();
                return sender.join().unwrap();
            }
        }
        sender.join().unwrap();
        assert_eq!(counts[1].0.load(SeqCst), 1);
    });
}

#[test]
fn promise_08_a_future_dropped_meanwhile_gives_the_outcome_back_exactly_once() {
    model(|| {
        let (oneshot, sender, given_back) = sending();
        let waker = Waker::from(StdArc::new(Count::default()));
        match oneshot.poll(&Context::from_waker(&waker)) {
            Poll::Ready(claim) => drop(claim),
            Poll::Pending => oneshot.close(),
        }
        sender.join().unwrap();
        // Not only once the oneshot goes.
        assert_eq!(given_back.load(SeqCst), 1);
        drop(oneshot);
    });
}

/// A future that sees that the callback is gone takes the outcome without the lock.
#[test]
fn promise_01_a_slot_that_the_callback_has_left_holds_the_outcome() {
    model(|| {
        let oneshot = Arc::new(Oneshot::new());
        let given_back = Arc::new(AtomicUsize::new(0));
        let sender = thread::spawn({
            let (oneshot, given_back) = (Arc::clone(&oneshot), Arc::clone(&given_back));
            move || {
                oneshot.send(Claim { given_back, taken: false });
                drop(oneshot);
            }
        });
        let waker = Waker::from(StdArc::new(Count::default()));
        if Arc::strong_count(&oneshot) > 1 {
            match oneshot.poll(&Context::from_waker(&waker)) {
                Poll::Ready(claim) => claim.take(),
                Poll::Pending => {
                    sender.join().unwrap();
                    assert_eq!(Arc::strong_count(&oneshot), 1);
                    let oneshot = Arc::try_unwrap(oneshot).expect("the callback is gone");
                    oneshot.into_outcome().take();
                }
            }
        } else {
            Arc::try_unwrap(oneshot).expect("the callback is gone").into_outcome().take();
        }
        assert_eq!(given_back.load(SeqCst), 0);
    });
}
