//! Futures polled by hand, so that a test decides at which stage one is dropped, and futures that
//! must not hang.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use crate::drivers;
use facade_futures::Io;
use futures::future::{Either, select};

/// Longer than anything in these tests takes on any machine, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// A waker that counts how often it was woken.
#[derive(Debug, Default)]
pub struct Bell {
    rings: AtomicUsize,
}

impl Bell {
    /// A silent one.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How often it has rung.
    pub fn rings(&self) -> usize {
        self.rings.load(SeqCst)
    }

    /// Polls a future once, to be woken by this bell.
    pub fn poll<F: Future + Unpin>(self: &Arc<Self>, future: &mut F) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(self));
        Pin::new(future).poll(&mut Context::from_waker(&waker))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rings.fetch_add(1, SeqCst);
    }
}

/// Polls a future once, to be woken by nobody.
pub fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future once more, with the waker of the task that awaits this.
pub async fn poll_here<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
}

/// Awaits a future, but fails rather than hang. Not in simulated time, of which any length passes
/// while a thread of the test is about to do something.
pub async fn in_time<T>(io: &Io, future: impl Future<Output = T>) -> T {
    if io.handle().driver() == drivers::sim::NAME {
        return future.await;
    }
    match select(pin!(future), io.sleep(PATIENCE)).await {
        Either::Left((value, _)) => value,
        Either::Right(_) => panic!("waited in vain"),
    }
}

/// Lets the other tasks of this executor run.
pub async fn give_way() {
    let mut given = false;
    poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
