//! [`Runtime::run_in_tokio`]: an engine and its futures among the tasks of a tokio runtime, on one
//! thread.
//!
//! tokio waits for the engine's descriptor and for its next deadline; whatever wakes the future has the
//! engine make a turn, in which the future is polled. So an operation takes no way to another thread and
//! back, as it does with a [`Background`](crate::Background).

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use facade_engine::{Engine, Error, Result};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, Sleep, sleep_until},
};

use crate::runtime::Runtime;

/// How many turns are made in a row before tokio's other tasks have theirs.
const TURNS_MAX: usize = 32;

impl Runtime {
    /// Runs the engine until `future` is ready, as [`block_on`](Self::block_on) does, inside a tokio
    /// runtime: what is awaited in it may be tokio's or this runtime's, and tasks of both go on beside
    /// it.
    ///
    /// All of the engine runs on the thread that polls this. It is not `Send`: await it in the future
    /// that tokio's own `block_on` (or `#[tokio::main]`) drives, or in a
    /// [`LocalSet`](tokio::task::LocalSet). Compared with a [`Background`](crate::Background) no
    /// operation changes threads. A simulated engine has nothing that tokio could wait for.
    ///
    /// # Errors
    ///
    /// [`Error::Other`] if the system refuses to have the engine waited for, and for one that is
    /// simulated; [`Error::Io`] if it refuses to wait; [`Error::Forked`] in the child of a fork. Then
    /// the future is dropped.
    ///
    /// # Cancellation
    ///
    /// Dropped, it drops `future`, and what that was awaiting ends as any future of this crate does:
    /// nothing is lost. The engine makes no more turns until something runs it again.
    ///
    /// # Panics
    ///
    /// As [`block_on`](Self::block_on), and outside of a tokio runtime with I/O and time enabled.
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use std::time::Duration;
    ///
    /// let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// tokio.block_on(async {
    ///     let runtime = Runtime::new()?;
    ///     let io = runtime.io().clone();
    ///     runtime.run_in_tokio(async {
    ///         let mut listener = io.listen("127.0.0.1:0")?;
    ///         let address = listener.local_addr()?;
    ///         // One end is ours, the other tokio's.
    ///         let theirs = tokio::net::TcpStream::connect(address);
    ///         let (ours, theirs) = futures::join!(listener.accept(), theirs);
    ///         let (mut ours, theirs) = (ours?, theirs.unwrap());
    ///         theirs.try_write(b"hello\n").unwrap();
    ///         assert_eq!(ours.read_line().await?, "hello");
    ///         tokio::task::yield_now().await;
    ///         io.sleep(Duration::from_millis(1)).await
    ///     }).await?
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub async fn run_in_tokio<F: Future>(&self, future: F) -> Result<F::Output> {
        if self.engine().driver() == "sim" {
            return Err(Error::other("tokio cannot wait for an engine that is simulated"));
        }
        #[expect(
            deprecated,
            reason = "a borrowed descriptor is what its successor, unsafe, asks for"
        )]
        let readable = AsyncFd::with_interest(self.engine().as_fd(), Interest::READABLE);
        let driven = Driven {
            engine: self.engine(),
            readable: readable.map_err(failed)?,
            deadline: pin!(sleep_until(Instant::now())),
            future: pin!(future),
            // Its first poll is due.
            relay: Arc::new(Relay { is_woken: AtomicBool::new(true), ..Relay::default() }),
        };
        driven.await
    }
}

/// A future and the engine that it is driven with.
struct Driven<'a, F> {
    engine: &'a Engine,
    readable: AsyncFd<BorrowedFd<'a>>,
    deadline: Pin<&'a mut Sleep>,
    future: Pin<&'a mut F>,
    relay: Arc<Relay>,
}

/// Wakes the future: what tokio drives is woken for it, unless it is that which runs.
#[derive(Default)]
struct Relay {
    is_woken: AtomicBool,
    runs: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl Relay {
    /// Has `outer` woken from now on.
    fn begin(&self, outer: &Waker) {
        self.runs.store(true, SeqCst);
        let mut known = self.outer.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *known {
            Some(known) => known.clone_from(outer),
            none => *none = Some(outer.clone()),
        }
    }

    fn end(&self) {
        self.runs.store(false, SeqCst);
    }

    fn is_woken(&self) -> bool {
        self.is_woken.load(SeqCst)
    }

    /// Whether the future was woken since this was last asked.
    fn take(&self) -> bool {
        self.is_woken.swap(false, SeqCst)
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, SeqCst);
        if !self.runs.load(SeqCst) {
            let outer = self.outer.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(outer) = outer {
                outer.wake();
            }
        }
    }
}

impl<F: Future> Future for Driven<'_, F> {
    type Output = Result<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.relay.begin(context.waker());
        for _ in 0..TURNS_MAX {
            // What comes from now on is news; what came before is found by the turn.
            if let Poll::Ready(readable) = this.readable.poll_read_ready(context) {
                readable.map_err(failed)?.clear_ready();
            }
            if let Poll::Ready(output) = this.turn()? {
                return Poll::Ready(Ok(output));
            }
            if this.relay.is_woken() || this.waits(context).is_ready() {
                continue;
            }
            // Behind this a wake goes on to what tokio drives, and what came before is seen here.
            this.relay.end();
            if !this.relay.is_woken() {
                return Poll::Pending;
            }
            this.relay.begin(context.waker());
        }
        this.relay.end();
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<F: Future> Driven<'_, F> {
    /// One turn of the engine, in which the future is polled if it was woken.
    fn turn(&mut self) -> Result<Poll<F::Output>> {
        if !self.relay.take() {
            return self.engine.run_once(Some(Duration::ZERO)).map(|_| Poll::Pending);
        }
        let waker = Waker::from(Arc::clone(&self.relay));
        let mut polled = None;
        let turn = self.engine.run_once_with(|_| {
            if !matches!(polled, Some(Poll::Ready(_))) {
                polled = Some(self.future.as_mut().poll(&mut Context::from_waker(&waker)));
            }
        });
        match polled {
            Some(Poll::Ready(output)) => return Ok(Poll::Ready(output)),
            Some(Poll::Pending) => {}
            // The turn had too much else to do.
            None => waker.wake_by_ref(),
        }
        turn.map(|_| Poll::Pending)
    }

    /// Has tokio wait for what calls for a turn; ready if something does already.
    fn waits(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(deadline) = self.engine.next_deadline() {
            self.deadline.as_mut().reset(Instant::from_std(deadline));
            if self.deadline.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
        }
        self.readable.poll_read_ready(context).map(drop)
    }
}

fn failed(cause: io::Error) -> Error {
    Error::other(cause)
}
