//! [`Child`]: a process, as futures.

use std::process::ExitStatus;

use facade_engine::{Child as EngineChild, PtySize, Result};

use crate::{
    operation::{OpFuture, Submit, op},
    stream::Stream,
};

/// A process that was started by [`Io::spawn_child`](crate::Io::spawn_child) or
/// [`Io::spawn_pty`](crate::Io::spawn_pty).
///
/// Each method is the engine's of the same name, see [`Handle`](facade_engine::Handle). Dropping
/// this leaves the process alone, and no zombie behind, unless
/// [`set_kill_on_drop`](Self::set_kill_on_drop) says that it is to be killed; see the engine's
/// [`Child`](EngineChild). The streams are this one's: taken out, they are the program's.
///
/// ```
/// use facade_futures::{Result, Runtime};
/// use std::process::{Command, Stdio};
///
/// let runtime = Runtime::new()?;
/// let io = runtime.io();
/// runtime.block_on(async {
///     let mut sort = Command::new("sort");
///     sort.stdin(Stdio::piped()).stdout(Stdio::piped());
///     let mut child = io.spawn_child(sort).await?;
///     let mut stdin = child.stdin.take().expect("it is piped");
///     stdin.write("pear\napple\n").await?;
///     stdin.close().await?; // or sort waits for more
///     let sorted = child.stdout.as_mut().expect("it is piped").read_all().await?;
///     assert_eq!(sorted, "apple\npear\n");
///     assert!(child.wait().await?.success());
///     Result::Ok(())
/// })?;
/// # Ok::<(), facade_futures::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Child {
    /// What it reads, if that is piped. Its end is the close or the drop of this stream.
    pub stdin: Option<Stream>,
    /// What it writes, likewise.
    pub stdout: Option<Stream>,
    /// What it complains about, likewise.
    pub stderr: Option<Stream>,
    engine: EngineChild,
}

impl Child {
    /// The engine's process, for raw callbacks. Its streams are here and not there.
    ///
    /// ```
    /// use facade_futures::{Callback, Result, Runtime};
    /// use std::process::{Command, ExitStatus};
    ///
    /// let runtime = Runtime::new()?;
    /// let io = runtime.io();
    /// let child = runtime.block_on(io.spawn_child(Command::new("true")))?;
    /// io.handle().wait(child.engine_child(), Callback::new(
    ///     |_, status: ExitStatus| assert!(status.success()),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// # runtime.engine().run()?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub const fn engine_child(&self) -> &EngineChild {
        &self.engine
    }

    /// See [`Child::id`](EngineChild::id).
    pub fn id(&self) -> u32 {
        self.engine.id()
    }

    /// See [`Handle::wait`](facade_engine::Handle::wait). Dropped, it loses nothing: another gets
    /// the end.
    ///
    /// ```
    /// use facade_futures::{Error, Result, Runtime};
    /// use std::{process::Command, time::Duration};
    ///
    /// let runtime = Runtime::new()?;
    /// let io = runtime.io();
    /// runtime.block_on(async {
    ///     let mut sleep = Command::new("sleep");
    ///     let child = io.spawn_child({ sleep.arg("1000"); sleep }).await?;
    ///     let early = child.wait().timeout(Duration::from_millis(10)).await;
    ///     assert!(matches!(early, Err(Error::TimedOut)));
    ///     child.kill()?;
    ///     assert!(!child.wait().await?.success());
    ///     Result::Ok(())
    /// })?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn wait(&self) -> OpFuture<ExitStatus, impl Submit<ExitStatus>> {
        op(move |callback| self.engine.handle().wait(&self.engine, callback))
    }

    /// See [`Handle::kill`](facade_engine::Handle::kill).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn kill(&self) -> Result<()> {
        self.engine.handle().kill(&self.engine)
    }

    /// See [`Handle::send_signal`](facade_engine::Handle::send_signal).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send_signal(&self, number: i32) -> Result<()> {
        self.engine.handle().send_signal(&self.engine, number)
    }

    /// See [`Handle::resize`](facade_engine::Handle::resize).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn resize(&self, size: PtySize) -> Result<()> {
        self.engine.handle().resize(&self.engine, size)
    }

    /// See [`Child::set_kill_on_drop`](EngineChild::set_kill_on_drop).
    pub fn set_kill_on_drop(&mut self, kill: bool) {
        self.engine.set_kill_on_drop(kill);
    }
}

impl From<EngineChild> for Child {
    fn from(mut engine: EngineChild) -> Self {
        let stdin = engine.stdin.take().map(Stream::from);
        let stdout = engine.stdout.take().map(Stream::from);
        let stderr = engine.stderr.take().map(Stream::from);
        Self { stdin, stdout, stderr, engine }
    }
}
