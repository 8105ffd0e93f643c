//! [`Builder`]: an engine with other settings than the default.

use std::{env, sync::Arc, thread, time::Duration};

use crate::{
    api::engine::Engine,
    core::Core,
    handles::{
        observer::{Observer, SlowCallback, SlowCallbacks},
        shared::Shared,
        task::TaskPanic,
    },
    pure::{
        error::{Error, IoOperation, Result},
        limits::Limits,
    },
    system::{
        driver::{AnyDriver, Driver},
        env::Env,
        pool::Pool,
    },
};

/// Which driver to use.
///
/// ```
/// use facade_engine::{DriverChoice, Engine};
///
/// let engine = Engine::builder().driver(DriverChoice::Auto).build()?;
/// println!("driven by {}", engine.driver());
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DriverChoice {
    /// The best that the system has.
    #[default]
    Auto,
    /// Readiness: epoll, kqueue and their like, through the crate `mio`.
    Mio,
    /// Completions, by `io_uring`: Linux 6.1 and newer, unless the feature `io-uring` is left out
    /// or the system denies it, as containers do. Then asking for it is
    /// [`Error::Unsupported`](crate::Error::Unsupported).
    IoUring,
    /// Completions, by a completion port: Windows. Elsewhere asking for it is
    /// [`Error::Unsupported`](crate::Error::Unsupported).
    Iocp,
}

impl DriverChoice {
    /// What the environment asks for, if it asks.
    fn from_environment() -> Result<Option<Self>> {
        let Some(name) = env::var_os("FACADE_DRIVER").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        match name.to_str() {
            Some("auto") => Ok(Some(Self::Auto)),
            Some("mio") => Ok(Some(Self::Mio)),
            Some("io_uring") => Ok(Some(Self::IoUring)),
            Some("iocp") => Ok(Some(Self::Iocp)),
            _ => Err(Error::unsupported(format_args!(
                "FACADE_DRIVER={}: it can be auto, mio, io_uring or iocp",
                name.to_string_lossy().escape_debug()
            ))),
        }
    }
}

/// Builds an [`Engine`]. May be sent to the thread that the engine is to live on.
///
/// ```
/// use facade_engine::{Engine, Limits};
///
/// let limits = Limits { line: 4096, ..Limits::default() };
/// let engine = Engine::builder().limits(limits).workers(2).build()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Builder {
    driver: DriverChoice,
    limits: Limits,
    workers: Option<usize>,
    task_panic: TaskPanic,
    counts_operations: bool,
    slow_callbacks: Option<SlowCallbacks>,
    #[cfg(feature = "sim")]
    host: Option<crate::system::sim::Host>,
}

/// How many threads look up names, and how many read and write files.
const NAME_WORKERS: usize = 4;
const FILE_WORKERS: usize = 4;

impl Builder {
    /// The settings of [`Engine::new`].
    ///
    /// ```
    /// use facade_engine::{Builder, DriverChoice};
    ///
    /// let builder = Builder::new().driver(DriverChoice::Mio);
    /// let thread = std::thread::spawn(move || builder.build()?.run());
    /// thread.join().unwrap()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses the driver. The environment variable `FACADE_DRIVER` wins: `auto`, `mio`,
    /// `io_uring` or `iocp`, in exactly these letters.
    ///
    /// ```
    /// use facade_engine::{DriverChoice, Engine};
    ///
    /// let engine = Engine::builder().driver(DriverChoice::Mio).build()?;
    /// # drop(engine);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[must_use]
    pub const fn driver(mut self, driver: DriverChoice) -> Self {
        self.driver = driver;
        self
    }

    /// Sets the limits of the engine and of the streams that it makes.
    ///
    /// See [`Builder`] for an example.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how many threads at most run [`submit_work`](crate::Handle::submit_work); at least one.
    /// As many as there are processors, and at least two, by default. Threads start when needed and
    /// end when idle; names and files have a few of their own. How many jobs may wait for one is
    /// [`Limits::jobs`].
    ///
    /// See [`Builder`] for an example.
    #[must_use]
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Sets what becomes of the panic of a task, which by default ends that task alone.
    ///
    /// See [`TaskPanic`] for an example.
    #[must_use]
    pub const fn task_panic(mut self, task_panic: TaskPanic) -> Self {
        self.task_panic = task_panic;
        self
    }

    /// Whether operations are counted by how they ended, for
    /// [`Metrics::operations`](crate::Metrics::operations). Not by default: it costs memory and a lock
    /// for each operation.
    ///
    /// See [`Metrics`](crate::Metrics) for an example.
    #[must_use]
    pub const fn count_operations(mut self, counts: bool) -> Self {
        self.counts_operations = counts;
        self
    }

    /// Has callbacks reported that run for longer than `bound`: while one runs nothing else of the engine
    /// does. For a program under development, or a service that logs what it should have given to
    /// [`submit_work`](crate::Handle::submit_work). Nobody by default; it costs memory and two looks at
    /// the clock for each operation.
    ///
    /// The report is called behind the callback, on the engine's thread; it may be called on the threads
    /// of several engines if the builder builds several. Callbacks of operations, posts and the steps of
    /// tasks are timed, each call of a repeating operation's handler not. The time is the system's, in
    /// simulation as well.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, SlowCallback};
    /// use std::time::Duration;
    ///
    /// let bound = Duration::ZERO; // all of them, to see one
    /// let report = |slow: &SlowCallback| eprintln!("{slow}");
    /// let engine = Engine::builder().on_slow_callback(bound, report).build()?;
    /// engine.sleep(Duration::ZERO, Callback::new(
    ///     |_, ()| println!("a look at every file, a query, a lock that others hold"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?; // "the callback of sleep took 12.3µs"
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "watchdog")]
    #[must_use]
    pub fn on_slow_callback(
        mut self,
        bound: Duration,
        report: impl Fn(&SlowCallback) + Send + Sync + 'static,
    ) -> Self {
        self.slow_callbacks = Some(SlowCallbacks { bound, report: Arc::new(report) });
        self
    }

    /// Builds an engine that lives on a host of a simulated network, see
    /// [`sim`](crate::system::sim). Neither [`driver`](Self::driver) nor `FACADE_DRIVER` changes
    /// that; its threads are simulated, too.
    ///
    /// ```
    /// use facade_engine::{Engine, sim::Network};
    ///
    /// let network = Network::new(1);
    /// let engine = Engine::builder().simulated(&network.host("here")).build()?;
    /// assert_eq!(engine.driver(), "sim");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[cfg(feature = "sim")]
    #[cfg_attr(docsrs, doc(cfg(feature = "sim")))]
    #[must_use]
    pub fn simulated(mut self, host: &crate::system::sim::Host) -> Self {
        self.host = Some(host.clone());
        self
    }

    /// Builds the engine, on this thread, where it will live.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`](crate::Error::Unsupported) if the driver asked for cannot be had or
    /// is unknown, [`Error::Io`](crate::Error::Io) if the system has no descriptors left.
    ///
    /// See [`Builder`] for an example.
    pub fn build(self) -> Result<Engine> {
        #[cfg(feature = "sim")]
        if let Some(host) = &self.host {
            return self.build_simulated(host);
        }
        let choice = DriverChoice::from_environment()?.unwrap_or(self.driver);
        let failed = |cause| Error::io(IoOperation::StartEngine, cause);
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let workers = self.workers.unwrap_or_else(|| processors.max(2));
        let pool = Pool::new(NAME_WORKERS, FILE_WORKERS, workers, self.limits.jobs);
        let driver = match choice {
            DriverChoice::Mio => AnyDriver::mio(pool.clone()).map_err(failed)?,
            DriverChoice::IoUring => AnyDriver::io_uring().map_err(|cause| {
                Error::unsupported(format_args!("the io_uring driver: {cause}"))
            })?,
            DriverChoice::Iocp => AnyDriver::iocp(pool.clone())
                .map_err(|cause| Error::unsupported(format_args!("the iocp driver: {cause}")))?,
            // Containers and older systems deny them, and nobody need notice but by the speed.
            DriverChoice::Auto => AnyDriver::io_uring()
                .or_else(|_| AnyDriver::iocp(pool.clone()))
                .or_else(|_| AnyDriver::mio(pool.clone()))
                .map_err(failed)?,
        };
        self.build_on(Env::Real, driver, pool)
    }

    #[cfg(feature = "sim")]
    fn build_simulated(&self, host: &crate::system::sim::Host) -> Result<Engine> {
        let workers = [NAME_WORKERS, FILE_WORKERS, self.workers.unwrap_or(2)];
        let (home, driver, pool) = crate::system::sim::SimEnv::new(host, workers, self.limits.jobs);
        self.build_on(Env::Simulated(home), driver, pool)
    }

    fn build_on(&self, env: Env, driver: AnyDriver, pool: Pool) -> Result<Engine> {
        let failed = |cause| Error::io(IoOperation::StartEngine, cause);
        // Opened now, so that closing needs no descriptor when there are none left.
        crate::system::sys::owned::null().map_err(failed)?;
        let pollable = driver.as_pollable().map_err(failed)?;
        let observer = Observer::new(self.counts_operations, self.slow_callbacks.clone());
        let shared = Shared::new(env, driver.name(), driver.waker(), self.task_panic, observer);
        let shared = shared.map_err(failed)?;
        let core = Core::new(Arc::clone(&shared), driver, self.limits, pool);
        Ok(Engine::from_parts(shared, core, pollable))
    }
}

impl Engine {
    /// An engine with the best driver that the system has, and default limits.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    ///
    /// ```
    /// let engine = facade_engine::Engine::new()?;
    /// println!("driven by {}", engine.driver());
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// An engine with other settings.
    ///
    /// ```
    /// let engine = facade_engine::Engine::builder().workers(2).build()?;
    /// # drop(engine);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }
}
