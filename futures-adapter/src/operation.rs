//! [`OpFuture`]: any callback operation as a future.

use std::{
    fmt,
    marker::PhantomData,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use facade_engine::{
    Bytes, Callback, Cancel, Claim, Error, Local, Result, Stream,
    adapter::{CompletionHandler, HandleExt},
    matcher::Matcher,
};

use crate::oneshot::Oneshot;

/// Makes a future of a callback operation: of any method of [`Handle`](facade_engine::Handle), of a
/// chain, or of an operation of one's own that takes a [`Callback`].
///
/// ```
/// use facade_futures::{Result, Runtime, op};
/// use std::time::Duration;
///
/// let runtime = Runtime::new()?;
/// let engine = runtime.io().handle().clone();
/// runtime.block_on(async move {
///     op(|callback| engine.sleep(Duration::from_millis(1), callback)).await
/// })?;
/// # Ok::<(), facade_futures::Error>(())
/// ```
pub fn op<T, F>(submit: F) -> OpFuture<T, F>
where
    T: Send + 'static,
    F: Submit<T>,
{
    OpFuture::new(submit)
}

/// What submits an operation with the callback it is given: any closure that does.
///
/// It is named where a function returns a future of [`op`]:
///
/// ```
/// use facade_engine::{Bytes, Stream};
/// use facade_futures::{OpFuture, Submit, op};
///
/// fn greeting(stream: &Stream) -> OpFuture<Bytes, impl Submit<Bytes>> {
///     op(move |callback| stream.handle().expect_line(stream, "220 ready", callback))
/// }
/// ```
pub trait Submit<T> {
    /// Submits the operation, whose outcome `callback` is to get. Returns what cancels it.
    fn submit(self, callback: Callback<T>) -> Cancel;

    /// What the operation succeeds with at once, if it does: then it is not submitted.
    fn now(&mut self) -> Option<T> {
        None
    }
}

impl<T, F: FnOnce(Callback<T>) -> Cancel> Submit<T> for F {
    fn submit(self, callback: Callback<T>) -> Cancel {
        self(callback)
    }
}

/// A callback operation as a future.
///
/// It is submitted at the first poll, unless it is ready by then, and runs wherever it is polled:
/// under this crate's [`Runtime`](crate::Runtime) or any other executor.
///
/// # Errors
///
/// Those of the operation; [`Error::EngineClosed`](facade_engine::Error::EngineClosed) if the
/// engine is gone; [`Error::Forked`](facade_engine::Error::Forked) if this process is the child of
/// a fork and the engine its parent's, even if it was submitted before.
///
/// # Cancellation
///
/// Dropping it cancels the operation, and gives back what it took if it had succeeded: bytes,
/// connections, and the rest of a cut write are there for the next operation. A future that is
/// *forgotten* leaves its operation pending: harmless, but what that takes is gone.
///
/// ```
/// use facade_futures::{Result, Runtime};
/// use futures::future::{Either, select};
/// use std::time::Duration;
/// use std::{io::Write, os::unix::net::UnixStream};
///
/// let runtime = Runtime::new()?;
/// let (mut peer, ours) = UnixStream::pair().unwrap();
/// let mut stream = runtime.io().attach(ours)?;
/// runtime.block_on(async {
///     let nap = runtime.io().sleep(Duration::from_millis(1));
///     // No line comes: the read loses, and is dropped.
///     if let Either::Left(_) = select(nap, stream.read_line()).await {
///         peer.write_all(b"late\n").unwrap();
///     }
///     assert_eq!(stream.read_line().await?, "late");
///     Result::Ok(())
/// })?;
/// # Ok::<(), facade_futures::Error>(())
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct OpFuture<T, F, U = T> {
    state: State<T, F>,
    into: PhantomData<fn(T) -> U>,
}

enum State<T, F> {
    Unsubmitted {
        submit: F,
        timeout: Option<Duration>,
    },
    Submitted(Submitted<T>),
    /// It has been ready.
    Over,
}

/// An operation that has been submitted: dropped, it is cancelled.
pub(crate) struct Submitted<T> {
    /// `None` once the outcome was taken, or nobody wants it.
    oneshot: Option<Arc<Oneshot<Result<Claim<T>>>>>,
    cancel: Cancel,
}

impl<T, F, U> OpFuture<T, F, U> {
    /// A future of what the operation yields, as a value of this crate's.
    pub(crate) const fn new(submit: F) -> Self {
        Self { state: State::Unsubmitted { submit, timeout: None }, into: PhantomData }
    }

    /// Sets the time that the operation may take, from the first poll to its outcome.
    ///
    /// It bounds the operation as a whole. One that expires fails with
    /// [`Error::TimedOut`](facade_engine::Error::TimedOut) and leaves what a dropped one leaves.
    ///
    /// So it is with the futures of several steps, such as
    /// [`accept_then_write`](crate::Listener::accept_then_write): it bounds them all together. If
    /// it expires before the last step, that is the cause of an
    /// [`Error::Stage`](facade_engine::Error::Stage), which says in which.
    ///
    /// Of a future of [`op`] it sets the timeout of the callback that `submit` gets: that of one
    /// stage, if this is given to a chain, whose own is
    /// [`Chain::timeout`](facade_engine::Chain::timeout).
    ///
    /// ```
    /// use facade_futures::{Error, Result, Runtime};
    /// use std::time::Duration;
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let runtime = Runtime::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let mut stream = runtime.io().attach(ours)?;
    /// runtime.block_on(async {
    ///     let outcome = stream.read_line().timeout(Duration::ZERO).await;
    ///     assert!(matches!(outcome, Err(Error::TimedOut)));
    ///     peer.write_all(b"late\n").unwrap();
    ///     assert_eq!(stream.read_line().await?, "late");
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        if let State::Unsubmitted { timeout, .. } = &mut self.state {
            *timeout = Some(limit);
        }
        self
    }
}

impl<T, F, U> Future for OpFuture<T, F, U>
where
    T: Send + 'static,
    F: Submit<T>,
    U: From<T>,
{
    type Output = Result<U>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<U>> {
        let this = &mut *self;
        if let State::Unsubmitted { submit, .. } = &mut this.state {
            let now = submit.now();
            let State::Unsubmitted { submit, timeout } = mem::replace(&mut this.state, State::Over)
            else {
                unreachable!("looked at above");
            };
            if let Some(value) = now {
                return Poll::Ready(Ok(value.into()));
            }
            let submitted =
                Submitted::waiting(context, timeout, |callback| submit.submit(callback));
            let is_refused = submitted.is_told();
            this.state = State::Submitted(submitted);
            if !is_refused {
                return Poll::Pending;
            }
        }
        let State::Submitted(submitted) = &mut this.state else {
            panic!("polled after it was ready");
        };
        let outcome = ready!(submitted.poll(context));
        this.state = State::Over;
        Poll::Ready(outcome.map(U::from))
    }
}

/// Nothing in it is ever pinned: the submitting closure is only moved.
impl<T, F, U> Unpin for OpFuture<T, F, U> {}

impl<T, F, U> fmt::Debug for OpFuture<T, F, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpFuture")
            .field("submitted", &matches!(self.state, State::Submitted(_)))
            .finish_non_exhaustive()
    }
}

/// The callback's side of the oneshot.
impl<T: Send> CompletionHandler<T> for Oneshot<Result<Claim<T>>> {
    fn completed(self: Arc<Self>, _local: &Local, outcome: Result<Claim<T>>) {
        self.send(outcome);
    }

    fn refused(self: Arc<Self>) {
        self.send(Err(Error::EngineClosed));
    }
}

impl<T: Send + 'static> Submitted<T> {
    /// With nobody to wake yet.
    pub(crate) fn new(submit: impl FnOnce(Callback<T>) -> Cancel) -> Self {
        Self::with(Oneshot::new(), None, submit)
    }

    /// The oneshot has the waker before the outcome can come, so it need not be polled now, unless
    /// the operation was refused.
    fn waiting(
        context: &Context<'_>,
        timeout: Option<Duration>,
        submit: impl FnOnce(Callback<T>) -> Cancel,
    ) -> Self {
        Self::with(Oneshot::waiting(context.waker().clone()), timeout, submit)
    }

    /// Polls the operation that is `under_way`, or submits it. When it is ready, none is.
    pub(crate) fn poll_or_submit(
        under_way: &mut Option<Self>,
        context: &Context<'_>,
        submit: impl FnOnce(Callback<T>) -> Cancel,
    ) -> Poll<Result<T>> {
        let submitted = match under_way {
            Some(submitted) => submitted,
            None => {
                let submitted = under_way.insert(Self::waiting(context, None, submit));
                if !submitted.is_told() {
                    return Poll::Pending;
                }
                submitted
            }
        };
        let outcome = ready!(submitted.poll(context));
        *under_way = None;
        Poll::Ready(outcome)
    }

    fn with(
        oneshot: Oneshot<Result<Claim<T>>>,
        timeout: Option<Duration>,
        submit: impl FnOnce(Callback<T>) -> Cancel,
    ) -> Self {
        let oneshot = Arc::new(oneshot);
        let mut callback = Callback::handler(Arc::clone(&oneshot));
        if let Some(timeout) = timeout {
            callback = callback.timeout(timeout);
        }
        Self { cancel: submit(callback), oneshot: Some(oneshot) }
    }

    pub(crate) fn poll(&mut self, context: &Context<'_>) -> Poll<Result<T>> {
        if self.cancel.is_inherited() {
            self.leave_to_parent();
            return Poll::Ready(Err(Error::Forked));
        }
        if !self.is_told() {
            let oneshot = self.oneshot.as_ref().expect("polled after it was ready");
            let outcome = ready!(oneshot.poll(context));
            self.oneshot = None;
            return Poll::Ready(outcome.map(Claim::take));
        }
        // With the callback gone the oneshot is the future's alone, and needs no lock.
        let oneshot = self.oneshot.take().and_then(Arc::into_inner);
        let outcome = oneshot.expect("nobody else has it").into_outcome();
        Poll::Ready(outcome.map(Claim::take))
    }
}

impl<T> Submitted<T> {
    /// Whether the callback was run or refused, so that the engine has dropped its reference.
    fn is_told(&self) -> bool {
        self.oneshot.as_ref().is_some_and(|oneshot| Arc::strong_count(oneshot) == 1)
    }

    /// In the child of a fork: a thread of the parent's may have locked the oneshot, so it is left
    /// alone.
    fn leave_to_parent(&mut self) {
        if !self.is_told() {
            mem::forget(self.oneshot.take());
        }
        self.oneshot = None;
    }

    /// Lets the operation go on with nobody waiting, and what it yields be taken.
    pub(crate) fn detach(mut self) {
        self.oneshot = None;
    }
}

impl<T> Drop for Submitted<T> {
    fn drop(&mut self) {
        if self.cancel.is_inherited() {
            return self.leave_to_parent();
        }
        if let Some(oneshot) = self.oneshot.take() {
            // Closed first, so that an outcome that is there, or comes before the cancel, goes
            // back.
            oneshot.close();
            self.cancel.cancel();
        }
    }
}

impl<T> fmt::Debug for Submitted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitted").finish_non_exhaustive()
    }
}

// The frequent operations, which are often ready at once: a type each, as small as its arguments.

pub(crate) struct ReadChunk<'a>(pub(crate) &'a Stream, pub(crate) usize);
pub(crate) struct ReadExact<'a>(pub(crate) &'a Stream, pub(crate) usize);
pub(crate) struct ReadLine<'a>(pub(crate) &'a Stream);
pub(crate) struct ReadUntil<'a, D>(pub(crate) &'a Stream, pub(crate) D);
pub(crate) struct ReadWith<'a, M>(pub(crate) &'a Stream, pub(crate) M);
pub(crate) struct Write<'a>(pub(crate) &'a Stream, pub(crate) Bytes);
pub(crate) struct WriteLine<'a>(pub(crate) &'a Stream, pub(crate) Bytes);
pub(crate) struct Flush<'a>(pub(crate) &'a Stream);

impl Submit<Bytes> for ReadChunk<'_> {
    #[inline]
    fn submit(self, callback: Callback<Bytes>) -> Cancel {
        self.0.handle().read_chunk(self.0, self.1, callback)
    }

    #[inline]
    fn now(&mut self) -> Option<Bytes> {
        self.0.handle().try_read_chunk(self.0, self.1)
    }
}

impl Submit<Bytes> for ReadExact<'_> {
    #[inline]
    fn submit(self, callback: Callback<Bytes>) -> Cancel {
        self.0.handle().read_exact(self.0, self.1, callback)
    }

    #[inline]
    fn now(&mut self) -> Option<Bytes> {
        self.0.handle().try_read_exact(self.0, self.1)
    }
}

impl Submit<Bytes> for ReadLine<'_> {
    #[inline]
    fn submit(self, callback: Callback<Bytes>) -> Cancel {
        self.0.handle().read_line(self.0, callback)
    }

    #[inline]
    fn now(&mut self) -> Option<Bytes> {
        self.0.handle().try_read_line(self.0)
    }
}

impl<D: AsRef<[u8]>> Submit<Bytes> for ReadUntil<'_, D> {
    #[inline]
    fn submit(self, callback: Callback<Bytes>) -> Cancel {
        self.0.handle().read_until(self.0, self.1, callback)
    }

    #[inline]
    fn now(&mut self) -> Option<Bytes> {
        self.0.handle().try_read_until(self.0, self.1.as_ref())
    }
}

impl<M: Matcher> Submit<M::Output> for ReadWith<'_, M> {
    #[inline]
    fn submit(self, callback: Callback<M::Output>) -> Cancel {
        self.0.handle().read_with(self.0, self.1, callback)
    }

    #[inline]
    fn now(&mut self) -> Option<M::Output> {
        self.0.handle().try_read_with(self.0, &mut self.1)
    }
}

impl Submit<usize> for Write<'_> {
    #[inline]
    fn submit(self, callback: Callback<usize>) -> Cancel {
        self.0.handle().write(self.0, self.1, callback)
    }

    #[inline]
    fn now(&mut self) -> Option<usize> {
        self.0.handle().try_write(self.0, &self.1)
    }
}

impl Submit<usize> for WriteLine<'_> {
    #[inline]
    fn submit(self, callback: Callback<usize>) -> Cancel {
        self.0.handle().write_line(self.0, self.1, callback)
    }

    #[inline]
    fn now(&mut self) -> Option<usize> {
        self.0.handle().try_write_line(self.0, &self.1)
    }
}

impl Submit<()> for Flush<'_> {
    #[inline]
    fn submit(self, callback: Callback<()>) -> Cancel {
        self.0.handle().flush(self.0, callback)
    }

    #[inline]
    fn now(&mut self) -> Option<()> {
        self.0.handle().try_flush(self.0)
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    /// A task that waits holds the largest of its futures, and a oneshot.
    #[test]
    fn a_future_and_its_slot_take_no_more_memory_than_they_did() {
        assert!(size_of::<OpFuture<Bytes, ReadLine<'_>>>() <= 32);
        assert!(size_of::<OpFuture<usize, WriteLine<'_>>>() <= 56);
        assert!(size_of::<Oneshot<Result<Claim<Bytes>>>>() <= 72);
    }
}
