//! [`Child`]: a process that the engine has started.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use crate::{
    handles::{handle::Handle, stream::Stream},
    pure::{
        error::{Error, IoOperation, Result},
        options::PtySize,
        table::Id,
    },
    system::{
        descriptor::Descriptor,
        sys::{
            owned::OwnedDescriptor,
            process::{Process, Started},
            terminal,
        },
    },
};

/// A process that was started by [`spawn`](Handle::spawn) or [`spawn_pty`](Handle::spawn_pty).
///
/// What is done with it are [`wait`](Handle::wait), [`kill`](Handle::kill) and
/// [`send_signal`](Handle::send_signal); its pipes are streams like any other.
///
/// Clones are the same process, and each has clones of the streams. Dropping the last one leaves the
/// process alone, as std does, unless [`set_kill_on_drop`](Self::set_kill_on_drop) says otherwise:
/// it goes on, and is no zombie when it has ended, since the engine hears of its end in any case, in
/// its turns and when it is dropped. That keeps no run going: a process that nobody waits for is not
/// pending. When the engine is gone nobody hears of it: what ends then is a zombie until this process
/// ends, too, unless it was [killed](Handle::kill).
///
/// ```
/// use facade_engine::{Callback, Child, Engine};
/// use std::process::{Command, Stdio};
///
/// let engine = Engine::new()?;
/// let mut sort = Command::new("sort");
/// sort.stdin(Stdio::piped()).stdout(Stdio::piped());
/// engine.spawn(sort, Callback::new(
///     |engine, child: Child| {
///         let Child { stdin: Some(stdin), stdout: Some(stdout), .. } = child else { panic!() };
///         engine.write(&stdin, "pear\napple\n", Callback::ignore());
///         engine.close(&stdin, Callback::ignore()); // or sort waits for more
///         engine.read_all(&stdout, Callback::new(
///             |_, sorted| assert_eq!(sorted, "apple\npear\n"),
///             |_, error| panic!("{error}"),
///         ));
///     },
///     |_, error| panic!("{error}"),
/// ));
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Child {
    /// What it reads, if the command said [`Stdio::piped`](std::process::Stdio::piped). Its end is
    /// the [close](Handle::close) of this stream, or the drop of its last clone: until then most
    /// programs wait for more.
    pub stdin: Option<Stream>,
    /// What it writes, likewise. Who waits for its end and reads nothing waits for ever if it
    /// writes more than the pipe holds.
    pub stdout: Option<Stream>,
    /// What it complains about, likewise.
    pub stderr: Option<Stream>,
    inner: Arc<ChildInner>,
}

struct ChildInner {
    handle: Handle,
    process: Arc<Process>,
    /// The terminal that it has, if that is ours.
    terminal: Option<Arc<Descriptor>>,
    /// The id of the resource, or zero until the engine has taken it in.
    id: AtomicU64,
    kill_on_drop: AtomicBool,
}

impl Child {
    /// Takes in a process that was started, on any thread. If that fails it is killed.
    pub(crate) fn adopt(handle: &Handle, started: Started) -> Result<NewChild<Self>> {
        let child = Self::adopt_with(handle, started, None)?;
        Ok(child.map(|(child, _)| child))
    }

    /// The same of one in a terminal, of which nobody else has our side.
    pub(crate) fn adopt_in_terminal(
        handle: &Handle,
        started: Started,
        terminal: OwnedDescriptor,
    ) -> Result<NewChild<(Self, Stream)>> {
        let child = Self::adopt_with(handle, started, Some(terminal))?;
        Ok(child.map(|(child, terminal)| (child, terminal.expect("it was given one"))))
    }

    fn adopt_with(
        handle: &Handle,
        started: Started,
        terminal: Option<OwnedDescriptor>,
    ) -> Result<NewChild<(Self, Option<Stream>)>> {
        let Started { process, stdin, stdout, stderr } = started;
        let process = Arc::new(process);
        // Nobody has it yet, whatever fails from here on.
        let new = NewChild::new((), Arc::clone(&process));
        let attach = |fd: Option<_>| fd.map(|fd| handle.attach_exclusive(fd)).transpose();
        let terminal: Option<Stream> = attach(terminal)?;
        let inner = Arc::new(ChildInner {
            handle: handle.clone(),
            process,
            terminal: terminal.as_ref().map(|terminal| Arc::clone(terminal.descriptor())),
            id: AtomicU64::new(0),
            kill_on_drop: AtomicBool::new(false),
        });
        let child = Self { stdin: None, stdout: None, stderr: None, inner: Arc::clone(&inner) };
        handle.apply(move |core| core.adopt_child(&inner.process, |id| inner.set_id(id)))?;
        let (stdin, stdout, stderr) = (attach(stdin)?, attach(stdout)?, attach(stderr)?);
        Ok(new.map(|()| (Self { stdin, stdout, stderr, ..child }, terminal)))
    }

    /// The number that the system has for it; of another process once its end was heard, so that it
    /// is for logs, and [`send_signal`](Handle::send_signal) for signals.
    ///
    /// See [`kill`](Handle::kill) for an example.
    #[doc(alias = "pid")]
    pub fn id(&self) -> u32 {
        self.inner.process.id()
    }

    /// The handle of the engine that it belongs to.
    ///
    /// See [`kill`](Handle::kill) for an example.
    pub fn handle(&self) -> &Handle {
        &self.inner.handle
    }

    /// Says whether it is [killed](Handle::kill) when the last clone of this is dropped, and not if
    /// it has ended by then. No by default. What is pending is not ended by that: a
    /// [`wait`](Handle::wait) then says by which signal it has ended.
    ///
    /// ```
    /// use facade_engine::{Callback, Child, Engine};
    /// use std::process::{Command, ExitStatus};
    ///
    /// let engine = Engine::new()?;
    /// let mut sleep = Command::new("sleep");
    /// sleep.arg("1000");
    /// engine.spawn(sleep, Callback::new(
    ///     |engine, child: Child| {
    ///         child.set_kill_on_drop(true);
    ///         engine.wait(&child, Callback::new(
    ///             |_, status: ExitStatus| assert!(!status.success()),
    ///             |_, error| panic!("{error}"),
    ///         ));
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?; // not for a thousand seconds
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn set_kill_on_drop(&self, kill: bool) {
        self.inner.kill_on_drop.store(kill, SeqCst);
    }

    /// The resource, or none until the engine has taken it in.
    pub(crate) fn resource(&self) -> Option<Id> {
        match self.inner.id.load(Relaxed) {
            0 => None,
            bits => Some(Id::from_bits(bits)),
        }
    }

    pub(crate) fn process(&self) -> &Process {
        &self.inner.process
    }

    /// Tells its terminal how large that is.
    pub(crate) fn resize(&self, size: PtySize) -> Result<()> {
        let Some(terminal) = &self.inner.terminal else {
            return Err(Error::invalid("a child without a terminal: spawn_pty gives it one"));
        };
        let failed = |cause| Error::io_on(IoOperation::Resize, label(self.id()), cause);
        terminal::set_size(terminal.borrow(), size).map_err(failed)
    }
}

/// How errors and dumps name a process.
pub(crate) fn label(id: u32) -> impl fmt::Display {
    fmt::from_fn(move |f| write!(f, "process {id}"))
}

impl ChildInner {
    fn set_id(&self, id: Id) {
        self.id.store(id.to_bits(), Relaxed);
    }
}

impl Drop for ChildInner {
    fn drop(&mut self) {
        if self.handle.is_inherited() {
            return;
        }
        if *self.kill_on_drop.get_mut() {
            drop(self.process.kill());
        }
        let id = Id::from_bits(*self.id.get_mut());
        // An engine that is gone has nothing to release.
        drop(self.handle.apply(move |core| core.release(id)));
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stdin, stdout, stderr, .. } = self;
        f.debug_struct("Child")
            .field("id", &self.id())
            .field("stdin", stdin)
            .field("stdout", stdout)
            .field("stderr", stderr)
            .finish_non_exhaustive()
    }
}

/// A process that nobody has been given yet: killed if nobody is.
pub(crate) struct NewChild<T> {
    /// None only once it was given to somebody.
    value: Option<T>,
    process: Arc<Process>,
}

impl<T> NewChild<T> {
    const fn new(value: T, process: Arc<Process>) -> Self {
        Self { value: Some(value), process }
    }

    /// Makes something else of what is given to somebody.
    pub(crate) fn map<U>(mut self, f: impl FnOnce(T) -> U) -> NewChild<U> {
        NewChild { value: self.value.take().map(f), process: Arc::clone(&self.process) }
    }

    /// Gives it to somebody, who may still leave it; then the process is to be killed.
    pub(crate) fn give(mut self) -> (T, Arc<Process>) {
        let value = self.value.take().expect("given to nobody yet");
        (value, Arc::clone(&self.process))
    }
}

impl<T> Drop for NewChild<T> {
    fn drop(&mut self) {
        if self.value.is_some() {
            drop(self.process.kill());
        }
    }
}
