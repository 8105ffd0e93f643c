//! [`Interval`]: ticks of the engine's clock as a [`futures::Stream`]. And any future, bounded.

use std::{
    fmt,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::AcqRel},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use facade_engine::{Error, Handle, Local, Result};
use futures::{
    future::{Either, select},
    stream::FusedStream,
    task::AtomicWaker,
};

use crate::{
    io::Io,
    operation::{Submitted, op},
};

impl Io {
    /// Ticks of the engine's clock, one each `period`: the engine's operation
    /// [`every`](Handle::every) as a [`futures::Stream`]. It begins at the first poll, one period
    /// after which the first tick is due. Dropping it ends it.
    ///
    /// An item is how many ticks have come since the item before: 1, unless nobody has polled it for
    /// longer than a period. Tick `n` is due `n` periods after the first poll, so there is no drift;
    /// missed ticks come as one item, as with tokio's `MissedTickBehavior::Skip`.
    ///
    /// # Errors
    ///
    /// The last item is what [`every`](Handle::every) has ended with:
    /// [`Error::InvalidInput`] for a period of zero, [`Error::EngineClosed`].
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use futures::TryStreamExt;
    /// use std::time::Duration;
    ///
    /// let runtime = Runtime::new()?;
    /// let io = runtime.io().clone();
    /// runtime.block_on(async {
    ///     let mut interval = io.interval(Duration::from_millis(1));
    ///     let mut passed = 0;
    ///     while passed < 3 {
    ///         passed += interval.try_next().await?.expect("it ends with an error only");
    ///     }
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn interval(&self, period: Duration) -> Interval {
        Interval {
            handle: self.handle().clone(),
            period,
            ticks: Arc::default(),
            every: None,
            is_over: false,
        }
    }

    /// Any future, but not for longer than `limit`, from its first poll: then it is dropped, and
    /// this yields [`Error::TimedOut`]. The time is the engine's, virtual in a simulation; the future
    /// may be any, and run under any executor.
    ///
    /// For one operation [`OpFuture::timeout`](crate::OpFuture::timeout) does it better: what has
    /// arrived is never a timeout there. This bounds what is made of several, such as a whole
    /// session. Dropped with the future are the operations that it waits for, which lose nothing.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]; [`Error::EngineClosed`] if the engine goes before.
    ///
    /// ```
    /// use facade_futures::{Error, Result, Runtime};
    /// use std::{future, time::Duration};
    ///
    /// let runtime = Runtime::new()?;
    /// let io = runtime.io().clone();
    /// runtime.block_on(async {
    ///     let session = async { io.sleep(Duration::from_millis(1)).await };
    ///     io.timeout(Duration::from_secs(60), session).await??;
    ///     let never = io.timeout(Duration::from_millis(1), future::pending::<()>()).await;
    ///     assert!(matches!(never, Err(Error::TimedOut)));
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn timeout<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> impl Future<Output = Result<F::Output>> + use<F> {
        let handle = self.handle().clone();
        async move {
            let sleep = op(move |callback| handle.sleep(limit, callback));
            // The future is polled first, so that what is ready at the deadline is no timeout.
            match select(pin!(future), pin!(sleep)).await {
                Either::Left((output, _)) => Ok(output),
                Either::Right((slept, _)) => slept.and(Err(Error::TimedOut)),
            }
        }
    }
}

/// Ticks of the engine's clock; from [`Io::interval`], where there is an example.
#[must_use = "streams do nothing unless polled"]
pub struct Interval {
    handle: Handle,
    period: Duration,
    ticks: Arc<Ticks>,
    every: Option<Submitted<()>>,
    is_over: bool,
}

/// What the engine has told and nobody has taken.
#[derive(Default)]
struct Ticks {
    count: AtomicU64,
    waker: AtomicWaker,
}

impl Ticks {
    fn take(&self) -> Option<u64> {
        Some(self.count.swap(0, AcqRel)).filter(|&count| count > 0)
    }
}

impl futures::Stream for Interval {
    type Item = Result<u64>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        // Before the look, so that no tick comes between the two unseen.
        this.ticks.waker.register(context.waker());
        if let Some(count) = this.ticks.take() {
            return Poll::Ready(Some(Ok(count)));
        }
        let ended = ready!(Submitted::poll_or_submit(&mut this.every, context, |callback| {
            let ticks = Arc::clone(&this.ticks);
            let tell = move |_: &Local, count| {
                ticks.count.fetch_add(count, AcqRel);
                ticks.waker.wake();
            };
            this.handle.every(this.period, tell, callback)
        }));
        this.is_over = true;
        Poll::Ready(ended.err().map(Err))
    }
}

/// After its last item it yields none, however often it is polled.
impl FusedStream for Interval {
    fn is_terminated(&self) -> bool {
        self.is_over
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interval").field("period", &self.period).finish_non_exhaustive()
    }
}
