//! The inbox: no request and no wake-up is lost, and an engine that is gone refuses.

use loom::{
    sync::{
        Arc, Notify,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use crate::{
    inbox::{Inbox, Message, Wake},
    model,
};

/// What a driver waits for. A wake-up that comes while it does not wait ends the next wait, as an
/// eventfd does.
pub(crate) struct Bell {
    rung: Notify,
    rings: AtomicUsize,
}

impl Wake for Arc<Bell> {
    fn wake(&self) {
        self.rings.fetch_add(1, SeqCst);
        self.rung.notify();
    }
}

impl Message for u32 {
    type Said = Self;

    /// Ninety and above are said once.
    fn said(&self) -> Option<Self> {
        (*self >= 90).then_some(*self)
    }
}

impl Message for () {
    type Said = Self;

    fn said(&self) -> Option<()> {
        None
    }
}

impl Bell {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { rung: Notify::new(), rings: AtomicUsize::new(0) })
    }

    /// Waits for a wake-up. One that never comes is a deadlock, which the model checker reports.
    fn wait(&self) {
        self.rung.wait();
    }
}

/// The engine's way to sleep: raises the flag, looks once more, and only then waits.
fn sleep_unless(inbox: &Inbox<u32, Arc<Bell>>, bell: &Bell, awake: impl Fn() -> bool) {
    inbox.sleep();
    if inbox.is_empty() && !awake() {
        bell.wait();
    }
    inbox.awake();
}

fn inbox() -> (Arc<Bell>, Arc<Inbox<u32, Arc<Bell>>>) {
    let bell = Bell::new();
    (Arc::clone(&bell), Arc::new(Inbox::new(bell)))
}

#[test]
fn promise_02_no_request_is_lost_while_the_engine_goes_to_sleep() {
    model(|| {
        let (bell, inbox) = inbox();
        let senders = [1, 2].map(|number| {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || inbox.push(number).unwrap())
        });
        let mut received = Vec::new();
        while received.len() < 2 {
            sleep_unless(&inbox, &bell, || false);
            received.extend(inbox.take());
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
    });
}

#[test]
fn promise_02_a_request_that_two_say_at_once_is_heard_after_both_have_said_it() {
    model(|| {
        let (bell, inbox) = inbox();
        let said = Arc::new(AtomicUsize::new(0));
        let senders = [1, 2].map(|_| {
            let (inbox, said) = (Arc::clone(&inbox), Arc::clone(&said));
            thread::spawn(move || {
                said.fetch_add(1, SeqCst);
                inbox.push(90).unwrap();
            })
        });
        let mut seen = 0;
        while seen < 2 {
            sleep_unless(&inbox, &bell, || false);
            let received = inbox.take();
            assert!(received.len() <= 1);
            if !received.is_empty() {
                seen = said.load(SeqCst);
            }
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn promise_03_requests_of_one_thread_come_in_order() {
    model(|| {
        let (bell, inbox) = inbox();
        let sender = thread::spawn({
            let inbox = Arc::clone(&inbox);
            move || [1, 2].map(|number| inbox.push(number).unwrap())
        });
        let mut received = Vec::new();
        while received.len() < 2 {
            sleep_unless(&inbox, &bell, || false);
            received.extend(inbox.take());
        }
        sender.join().unwrap();
        assert_eq!(received, [1, 2]);
    });
}

#[test]
fn promise_18_a_stop_ends_the_sleep_whenever_it_comes() {
    model(|| {
        let (bell, inbox) = inbox();
        let stop = Arc::new(AtomicBool::new(false));
        let stopper = thread::spawn({
            let (inbox, stop) = (Arc::clone(&inbox), Arc::clone(&stop));
            move || {
                stop.store(true, SeqCst);
                inbox.wake();
            }
        });
        while !stop.load(SeqCst) {
            sleep_unless(&inbox, &bell, || stop.load(SeqCst));
        }
        stopper.join().unwrap();
    });
}

#[test]
fn promise_18_an_engine_that_is_awake_is_not_woken() {
    model(|| {
        let (bell, inbox) = inbox();
        let sender = thread::spawn({
            let inbox = Arc::clone(&inbox);
            move || [1, 2].map(|number| inbox.push(number).unwrap())
        });
        sender.join().unwrap();
        assert_eq!(bell.rings.load(SeqCst), 0);
        inbox.sleep();
        let sender = thread::spawn({
            let inbox = Arc::clone(&inbox);
            move || [3, 4].map(|number| inbox.push(number).unwrap())
        });
        sender.join().unwrap();
        assert_eq!(bell.rings.load(SeqCst), 1, "one sender pays for the wake-up");
    });
}

#[test]
fn promise_16_a_request_is_taken_or_refused_when_the_engine_goes() {
    model(|| {
        let (_bell, inbox) = inbox();
        let sender = thread::spawn({
            let inbox = Arc::clone(&inbox);
            move || inbox.push(1)
        });
        let mut received = inbox.take();
        received.extend(inbox.close());
        let refused = sender.join().unwrap().is_err();
        assert_eq!(received.len() + usize::from(refused), 1);
        assert!(inbox.push(2).is_err());
    });
}
