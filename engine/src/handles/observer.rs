//! [`Observer`]: who is told of operations beside their callbacks, so that one can see from outside
//! what an engine does: counts, a report of callbacks that take long, and spans of `tracing`.
//!
//! All of them are told by the callback itself, which is wrapped when its operation is submitted: so
//! an engine that nobody observes pays for the question whether somebody does, and for nothing else.

use std::{
    collections::BTreeMap,
    fmt, mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    handles::{
        callback::{Callback, Claimant, Slot},
        child::{self, Child},
        file::File,
        handle::Handle,
        listener::Listener,
        local::Local,
        small_fn::SmallFnOnce,
        stream::Stream,
        udp_socket::UdpSocket,
    },
    pure::{
        clock,
        error::{Error, Result},
        metrics::OperationMetrics,
        panics::Contained,
    },
    system::fd_kind::FdKind,
};

/// A callback that took longer than it should, see
/// [`Builder::on_slow_callback`](crate::Builder::on_slow_callback).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowCallback {
    /// Whose it is: the name of the operation's method, or `"post"`.
    pub operation: &'static str,
    /// On what, as errors name it: the address of the peer, or `pipe (descriptor 7)`. Empty for what
    /// is on nothing, such as a sleep.
    pub on: String,
    /// How long it ran.
    pub took: Duration,
}

/// In words: `the callback of read_line on 127.0.0.1:4711 took 210ms`.
impl fmt::Display for SlowCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the callback of {}", self.operation)?;
        if !self.on.is_empty() {
            write!(f, " on {}", self.on)?;
        }
        write!(f, " took {:?}", self.took)
    }
}

/// Whom to tell of callbacks that take longer than this.
#[derive(Clone)]
pub(crate) struct SlowCallbacks {
    pub(crate) bound: Duration,
    pub(crate) report: Arc<dyn Fn(&SlowCallback) + Send + Sync>,
}

impl fmt::Debug for SlowCallbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowCallbacks").field("bound", &self.bound).finish_non_exhaustive()
    }
}

/// What observes the operations of one engine.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    /// Whether there is one of these.
    is_asked_for: bool,
    counts: Option<Mutex<BTreeMap<&'static str, OperationMetrics>>>,
    slow: Option<SlowCallbacks>,
}

impl Observer {
    pub(crate) fn new(counts: bool, slow: Option<SlowCallbacks>) -> Self {
        let is_asked_for = counts || slow.is_some();
        Self { is_asked_for, counts: counts.then(Mutex::default), slow }
    }

    /// Whether anybody wants to be told of an operation that begins now.
    #[inline]
    fn is_on(&self) -> bool {
        self.is_asked_for || spans::are_on()
    }

    /// How the operations that have been told of ended, by their names.
    pub(crate) fn operations(&self) -> Vec<OperationMetrics> {
        let counts = self.counts.as_ref().map(|counts| {
            let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.values().cloned().collect()
        });
        counts.unwrap_or_default()
    }

    fn count(&self, operation: &'static str, error: Option<&Error>) {
        let Some(counts) = &self.counts else { return };
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts =
            counts.entry(operation).or_insert_with(|| OperationMetrics::none_of(operation));
        match error {
            None => counts.succeeded += 1,
            Some(Error::Cancelled) => counts.cancelled += 1,
            Some(Error::TimedOut) => counts.timed_out += 1,
            Some(_) => counts.failed += 1,
        }
    }

    /// Runs a callback, and reports it if that takes long.
    fn time<R>(&self, operation: &'static str, on: &str, run: impl FnOnce() -> R) -> R {
        let Some(slow) = &self.slow else { return run() };
        let begun = clock::now();
        let returned = run();
        let took = clock::now().saturating_duration_since(begun);
        if took > slow.bound {
            (slow.report)(&SlowCallback { operation, on: on.to_owned(), took });
        }
        returned
    }
}

/// An operation that somebody wants to be told of.
struct Observation {
    operation: &'static str,
    on: String,
    span: spans::Span,
}

impl Observation {
    fn begin(operation: &'static str, on: String) -> Self {
        let span = spans::Span::begin(operation, &on);
        Self { operation, on, span }
    }

    /// Tells of the outcome, and runs the callback.
    fn end<T>(self, local: &Local, outcome: Result<T>, run: impl FnOnce(Result<T>)) {
        let observer = &local.handle().shared().observer;
        observer.count(self.operation, outcome.as_ref().err());
        let context = self.span.end(outcome.as_ref().err());
        observer.time(self.operation, &self.on, || context.run(|| run(outcome)));
    }
}

/// What operations are on.
pub(crate) trait Subject {
    /// The engine it belongs to.
    fn engine_handle(&self) -> &Handle;

    /// What errors call it.
    fn name(&self) -> String;

    /// Whether somebody wants to be told of an operation on this that begins now.
    #[inline]
    fn is_observed(&self) -> bool {
        self.engine_handle().shared().observer.is_on()
    }

    /// Tells whoever observes the engine that an operation on this begins, and how it ended.
    #[inline]
    fn observe<T: Send + 'static>(&self, callback: &mut Callback<T>, operation: &'static str)
    where
        Self: Sized,
    {
        callback.observed(self.engine_handle(), operation, || self.name());
    }
}

impl Subject for Stream {
    fn engine_handle(&self) -> &Handle {
        self.handle()
    }

    fn name(&self) -> String {
        self.descriptor().name(self.fd_kind())
    }
}

impl Subject for Listener {
    fn engine_handle(&self) -> &Handle {
        self.handle()
    }

    fn name(&self) -> String {
        self.descriptor().name(FdKind::Listener)
    }
}

impl Subject for File {
    fn engine_handle(&self) -> &Handle {
        self.handle()
    }

    fn name(&self) -> String {
        self.descriptor().name(FdKind::File { append: false })
    }
}

impl Subject for UdpSocket {
    fn engine_handle(&self) -> &Handle {
        self.handle()
    }

    fn name(&self) -> String {
        self.descriptor().name(self.fd_kind())
    }
}

impl Subject for Child {
    fn engine_handle(&self) -> &Handle {
        self.handle()
    }

    fn name(&self) -> String {
        child::label(self.id()).to_string()
    }
}

impl<T: Send + 'static> Callback<T> {
    /// Tells whoever observes the engine that an operation begins, and how it ended.
    #[inline]
    pub(crate) fn observed(
        &mut self,
        handle: &Handle,
        operation: &'static str,
        on: impl FnOnce() -> String,
    ) {
        if handle.shared().observer.is_on() {
            self.wrap(Observation::begin(operation, on()));
        }
    }

    #[cold]
    fn wrap(&mut self, observation: Observation) {
        self.slot = match mem::replace(&mut self.slot, Slot::Ignore) {
            Slot::Claim(to) => {
                let to = Contained::new(to);
                let told = move |local: &Local, outcome| {
                    observation.end(local, outcome, |outcome| to.into_inner().run(local, outcome));
                };
                Slot::Claim(Claimant::Closure(SmallFnOnce::new(told)))
            }
            slot => {
                let slot = Contained::new(slot);
                let told = move |local: &Local, outcome| {
                    let run = |outcome| slot.into_inner().deliver(outcome).run(local);
                    observation.end(local, outcome, run);
                };
                Slot::Plain(SmallFnOnce::new(told))
            }
        };
    }
}

impl Handle {
    /// Whether somebody wants to be told of callbacks that take long.
    #[inline]
    pub(crate) fn times_callbacks(&self) -> bool {
        self.shared().observer.slow.is_some()
    }

    /// Runs a callback of no operation, and reports it if that takes long.
    pub(crate) fn time<R>(&self, operation: &'static str, run: impl FnOnce() -> R) -> R {
        self.shared().observer.time(operation, "", run)
    }
}

/// Spans of operations, by the crate `tracing`.
#[cfg(feature = "tracing")]
mod spans {
    use tracing::{Level, debug, debug_span, level_filters::LevelFilter};

    use crate::pure::error::Error;

    /// Whether whoever collects spans may want any of these: a load.
    #[inline]
    pub(super) fn are_on() -> bool {
        LevelFilter::current() >= Level::DEBUG
    }

    /// From the submission to the outcome.
    pub(super) struct Span {
        operation: tracing::Span,
        context: tracing::Span,
    }

    /// Where the operation was submitted.
    pub(super) struct Context(tracing::Span);

    impl Span {
        pub(super) fn begin(operation: &'static str, on: &str) -> Self {
            let context = tracing::Span::current();
            Self {
                operation: debug_span!(target: "facade_engine", "operation", operation, on),
                context,
            }
        }

        pub(super) fn end(self, error: Option<&Error>) -> Context {
            self.operation.in_scope(|| match error {
                None => debug!(target: "facade_engine", outcome = "success"),
                Some(error) => debug!(target: "facade_engine", outcome = "failure", %error),
            });
            Context(self.context)
        }
    }

    impl Context {
        /// Runs the callback in the span in which its operation was submitted, and not in that of the
        /// operation: what it submits would be within that, and so a loop of operations within each
        /// other for ever.
        pub(super) fn run<R>(self, run: impl FnOnce() -> R) -> R {
            self.0.in_scope(run)
        }
    }
}

/// Without the feature there are none.
#[cfg(not(feature = "tracing"))]
mod spans {
    use crate::pure::error::Error;

    #[inline]
    pub(super) const fn are_on() -> bool {
        false
    }

    pub(super) struct Span;
    pub(super) struct Context;

    impl Span {
        pub(super) const fn begin(_: &'static str, _: &str) -> Self {
            Self
        }

        pub(super) const fn end(self, _: Option<&Error>) -> Context {
            Context
        }
    }

    impl Context {
        pub(super) fn run<R>(self, run: impl FnOnce() -> R) -> R {
            run()
        }
    }
}
