//! [`Runtime`]: an engine and the futures on it, on one thread.

use std::pin::pin;

use async_task::Task;
use facade_engine::{Engine, Error, Result};

use crate::{background::Background, executor::LocalExecutor, io::Io};

/// An engine and an executor on this thread.
///
/// Futures under it and raw callbacks on its [`Handle`](facade_engine::Handle)
/// mix freely.
///
/// ```
/// use facade_futures::Callback;
/// use facade_futures::{Result, Runtime};
/// use std::time::Duration;
///
/// let runtime = Runtime::new()?;
/// let io = runtime.io().clone();
/// io.handle().sleep(Duration::from_millis(1), Callback::new(
///     |_, ()| println!("from a callback"),
///     |_, error| panic!("{error}"),
/// ));
/// runtime.block_on(async { io.sleep(Duration::from_millis(2)).await })?;
/// # Ok::<(), facade_futures::Error>(())
/// ```
///
/// On a simulated network, with the engine's cargo feature `sim` (see `facade_engine::sim`), tests
/// of futures take no time and can be repeated:
///
/// ```
/// use facade_engine::{Engine, sim::{Link, Network}};
/// use facade_futures::{Result, Runtime};
/// use std::time::Duration;
///
/// let network = Network::new(7);
/// let (client, server) = (network.host("client"), network.host("server"));
/// let latency = Duration::from_millis(20)..Duration::from_millis(200);
/// network.set_links(Link { latency, split: 0.5, ..Link::default() });
/// let runtime = Runtime::from(Engine::builder().simulated(&client).build()?);
/// let io = runtime.io().clone();
/// runtime.block_on(async {
///     let mut listener = io.listen(server.at(7))?;
///     let serve = listener.accept_then_write("hello\r\n");
///     let talk = io.connect_then_expect_line(server.at(7), "hello");
///     futures::try_join!(serve, talk)?;
///     io.sleep(Duration::from_secs(3600)).await
/// })?;
/// assert!(network.now() > Duration::from_secs(3600));
/// # Ok::<(), facade_futures::Error>(())
/// ```
#[derive(Debug)]
pub struct Runtime {
    // Dropped first: its last turn tells every future that the engine is going.
    engine: Engine,
    io: Io,
    local: LocalExecutor,
}

impl Runtime {
    /// A runtime on an engine with default settings.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`].
    ///
    /// ```
    /// use facade_futures::Engine;
    /// use facade_futures::Runtime;
    ///
    /// let runtime = Runtime::new()?;
    /// let other = Runtime::from(Engine::builder().workers(2).build()?);
    /// # drop((runtime, other));
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn new() -> Result<Self> {
        Ok(Self::from(Engine::new()?))
    }

    /// An engine on a thread of its own, for futures under any other executor.
    ///
    /// A panic of a callback or task there goes to the panic hook, and the engine goes on.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`]; and [`Error::Io`] if the system refuses the thread.
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use std::time::Duration;
    ///
    /// let background = Runtime::background()?;
    /// futures::executor::block_on(background.sleep(Duration::from_millis(1)))?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn background() -> Result<Background> {
        Background::new(Engine::builder())
    }

    /// What makes streams, listeners and tasks on this runtime. See [`Runtime`] for an example.
    pub const fn io(&self) -> &Io {
        &self.io
    }

    /// The engine, to be run by hand or inside another loop, see
    /// [`Engine::next_deadline`]. Its turns run the tasks.
    ///
    /// ```
    /// use facade_futures::Runtime;
    ///
    /// let runtime = Runtime::new()?;
    /// runtime.spawn(async { println!("a task") }).detach();
    /// runtime.engine().run()?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Runs the engine until `future` is ready, and returns what it yields. The future is polled
    /// among the engine's callbacks; tasks run beside it, and stay when it ends.
    ///
    /// # Panics
    ///
    /// If the future or a callback panics; with
    /// [`TaskPanic::EndsRun`](facade_engine::TaskPanic::EndsRun) if a task does, which otherwise
    /// ends only that task; if called from inside one of them; if the system fails to wait; in the
    /// child of a fork, which the engine is not in.
    ///
    /// ```
    /// use facade_futures::Runtime;
    ///
    /// let runtime = Runtime::new()?;
    /// let answer = runtime.block_on(async { 6 * 7 });
    /// assert_eq!(answer, 42);
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            match self.engine.run_until(|_, context| future.as_mut().poll(context)) {
                Ok(output) => return output,
                // `stop` ends runs, and this is none.
                Err(Error::Cancelled) => {}
                Err(error) => match std::error::Error::source(&error) {
                    Some(cause) => panic!("{error}: {cause}"),
                    None => panic!("{error}"),
                },
            }
        }
    }

    /// Spawns a future on this runtime, which takes its steps in the engine's turns. Dropping the
    /// [`Task`] cancels it; [`Task::detach`] lets it go on by itself.
    ///
    /// See [`Io::spawn`].
    ///
    /// ```
    /// use facade_futures::Runtime;
    ///
    /// let runtime = Runtime::new()?;
    /// let task = runtime.spawn(async { 6 * 7 });
    /// assert_eq!(runtime.block_on(task), 42);
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        self.io.spawn(future)
    }

    /// Spawns a future that is not `Send`.
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// let runtime = Runtime::new()?;
    /// let shared = Rc::new(Cell::new(1));
    /// let again = Rc::clone(&shared);
    /// let task = runtime.spawn_local(async move { again.set(2) });
    /// runtime.block_on(task);
    /// assert_eq!(shared.get(), 2);
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn spawn_local<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.local.spawn(future)
    }
}

/// A runtime on an engine that was built with other settings.
impl From<Engine> for Runtime {
    fn from(engine: Engine) -> Self {
        let io = Io::new(engine.handle().clone());
        let local = LocalExecutor::new(engine.handle().clone());
        Self { engine, io, local }
    }
}
