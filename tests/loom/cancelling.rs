//! A cancel from another thread against the completion and against the engine's end.

use loom::{sync::Arc, thread};

use crate::{
    inbox::{Inbox, Wake},
    model,
    requests::Bell,
};

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Success,
    Cancelled,
    EngineClosed,
}

/// The engine's part: the operation leaves the table with its first outcome, and whatever comes
/// later finds nothing.
#[derive(Default)]
struct Operation {
    told: Vec<Outcome>,
    ended: bool,
}

impl Operation {
    fn end(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.ended, true) {
            self.told.push(outcome);
        }
    }
}

fn inbox() -> Arc<Inbox<(), Arc<Bell>>>
where
    Arc<Bell>: Wake,
{
    Arc::new(Inbox::new(Bell::new()))
}

#[test]
fn promise_01_a_cancel_against_the_completion_gives_one_outcome() {
    model(|| {
        let inbox = inbox();
        let canceller = thread::spawn({
            let inbox = Arc::clone(&inbox);
            move || inbox.push(()).is_ok()
        });
        let mut operation = Operation::default();
        inbox.take().into_iter().for_each(|()| operation.end(Outcome::Cancelled));
        operation.end(Outcome::Success);
        assert!(canceller.join().unwrap());
        inbox.take().into_iter().for_each(|()| operation.end(Outcome::Cancelled));
        assert_eq!(operation.told.len(), 1);
    });
}

#[test]
fn promise_06_a_cancel_that_was_registered_is_seen_and_another_says_that_it_was_not() {
    model(|| {
        let inbox = inbox();
        let canceller = thread::spawn({
            let inbox = Arc::clone(&inbox);
            move || inbox.push(()).is_ok()
        });
        let mut operation = Operation::default();
        let mut seen = 0;
        for () in inbox.take() {
            seen += 1;
            operation.end(Outcome::Cancelled);
        }
        seen += inbox.close().len();
        operation.end(Outcome::EngineClosed);
        assert_eq!(canceller.join().unwrap(), seen == 1);
        assert_eq!(operation.told.len(), 1);
    });
}
