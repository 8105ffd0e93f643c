//! Processes: starting them, with pipes or in a terminal, waiting for their end, and signals.

use std::process::{Command, ExitStatus};

use crate::{
    handles::{
        callback::Callback,
        cancel::Cancel,
        child::{self, Child},
        handle::Handle,
        observer::Subject,
        stream::Stream,
    },
    pure::{
        error::{Error, IoOperation, Result},
        options::PtySize,
        panics::Contained,
    },
};

impl Handle {
    /// Starts a process. Succeeds when it runs the program.
    ///
    /// The command is std's, with all that can be said there. By its default the process shares
    /// standard input, output and error with this one; what is
    /// [`piped`](std::process::Stdio::piped) is a stream of the [`Child`], of which nobody else has
    /// this end. Descriptors of the engine are not inherited (O_CLOEXEC).
    ///
    /// A worker thread does it, because fork(2) and execve(2) take their time and the engine would
    /// stand still. A process is so the child of a thread that ends before the process does: what
    /// goes by that thread, such as PR_SET_PDEATHSIG of prctl(2), is not what such a program wants.
    ///
    /// Its end is heard of by the engine, by a descriptor of the process, see pidfd_open(2), or by
    /// a thread where there are none: nobody else in the program need wait for it, and nobody
    /// should. SIGCHLD is not touched. A program that ignores it, or waits for just any child, see
    /// waitpid(2), takes the end away: then [`wait`](Self::wait) fails with `ECHILD`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) with [`IoOperation::Spawn`](crate::IoOperation::Spawn), which names the
    /// program, if there is no such file, or the system refuses;
    /// [`Error::Overloaded`](crate::Error::Overloaded) behind [`Limits::jobs`](crate::Limits::jobs)
    /// of them; [`Error::Unsupported`](crate::Error::Unsupported) if the engine is simulated, see `sim`;
    /// [`Error::Cancelled`](crate::Error::Cancelled), [`Error::TimedOut`](crate::Error::TimedOut).
    ///
    /// # Cancellation
    ///
    /// Reported at once. A process that is started all the same, and one that a
    /// [claim](Callback::claim) does not take, is killed: nobody could say anything to it.
    ///
    /// ```
    /// use facade_engine::{Callback, Child, Engine};
    /// use std::process::{Command, ExitStatus, Stdio};
    ///
    /// let engine = Engine::new()?;
    /// let mut echo = Command::new("echo");
    /// echo.arg("hello").stdout(Stdio::piped());
    /// engine.spawn(echo, Callback::new(
    ///     |engine, child: Child| {
    ///         engine.read_line(child.stdout.as_ref().unwrap(), Callback::new(
    ///             |_, line| assert_eq!(line, "hello"),
    ///             |_, error| panic!("{error}"),
    ///         ));
    ///         engine.wait(&child, Callback::new(
    ///             |_, status: ExitStatus| assert!(status.success()),
    ///             |_, error| panic!("{error}"),
    ///         ));
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "fork")]
    #[doc(alias = "exec")]
    #[doc(alias = "popen")]
    pub fn spawn(&self, command: Command, mut cb: Callback<Child>) -> Cancel {
        cb.observed(self, "spawn", String::new);
        let Callback { slot, timeout } = cb;
        let command = Contained::new(command);
        self.submit(move |core| core.spawn(command, slot, timeout))
    }

    /// Starts a process in a terminal of its own. Succeeds with it and with our side of the
    /// terminal: what is written there is typed, and what the process writes is read.
    ///
    /// The process leads a session, whose terminal that is, see setsid(2) and pty(7): its standard
    /// input, output and error, whatever the command says of them. So `\x03`, written to the stream,
    /// is Ctrl-C and interrupts what runs in the foreground, and `\x04` at the beginning of a line is
    /// the end of what it reads. The terminal is set as the system sets a new one: it echoes, and a
    /// line that is written ends with CRLF when it is read here.
    ///
    /// Signals that a terminal sends do there what they do by default, also if this process ignores
    /// them.
    ///
    /// The stream ends when nobody has the terminal open any more: the process, and those that it
    /// has started. Closing the stream, or dropping its last clone, hangs up (SIGHUP).
    ///
    /// Otherwise as [`spawn`](Self::spawn). A command with a
    /// [`process_group`](std::os::unix::process::CommandExt::process_group) of its own cannot lead a
    /// session, and fails; that of the session is its own anyway.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn); [`Error::Unsupported`](crate::Error::Unsupported) on Windows.
    ///
    /// # Cancellation
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// ```
    /// use facade_engine::{Callback, Child, Engine, PtySize, Stream};
    /// use std::process::Command;
    ///
    /// let engine = Engine::new()?;
    /// let mut stty = Command::new("stty");
    /// stty.arg("size");
    /// let size = PtySize { rows: 50, cols: 132, ..PtySize::default() };
    /// engine.spawn_pty(stty, size, Callback::new(
    ///     |engine, (_child, terminal): (Child, Stream)| {
    ///         engine.read_line(&terminal, Callback::new(
    ///             |_, line| assert_eq!(line, "50 132"),
    ///             |_, error| panic!("{error}"),
    ///         ));
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "openpty")]
    #[doc(alias = "forkpty")]
    pub fn spawn_pty(
        &self,
        command: Command,
        size: PtySize,
        mut cb: Callback<(Child, Stream)>,
    ) -> Cancel {
        cb.observed(self, "spawn_pty", String::new);
        let Callback { slot, timeout } = cb;
        let command = Contained::new(command);
        self.submit(move |core| core.spawn_pty(command, size, slot, timeout))
    }

    /// Succeeds with how a process has ended, when it has; at once if that was before. Any number of
    /// these may be pending, and each gets the same.
    ///
    /// What the process has written may still be unread, and those that it has started may write
    /// more. Its standard input is not closed by this: a process that reads it to its end ends when
    /// the program has closed it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) with `ECHILD` if somebody else in this program has heard of its
    /// end, see [`spawn`](Self::spawn), and with another code if the system does not tell: then it may be
    /// waited for again;
    /// [`Error::Cancelled`](crate::Error::Cancelled), [`Error::TimedOut`](crate::Error::TimedOut).
    ///
    /// # Cancellation
    ///
    /// By the next turn, and nothing is lost: the process goes on, and another wait gets its end. One
    /// that had ended by then is a success all the same.
    ///
    /// ```
    /// use facade_engine::{Callback, Child, Engine};
    /// use std::{os::unix::process::ExitStatusExt, process::{Command, ExitStatus}};
    ///
    /// let engine = Engine::new()?;
    /// let mut shell = Command::new("sh");
    /// shell.args(["-c", "exit 42"]);
    /// engine.spawn(shell, Callback::new(
    ///     |engine, child: Child| {
    ///         engine.wait(&child, Callback::new(
    ///             |_, status: ExitStatus| assert_eq!((status.code(), status.signal()), (Some(42), None)),
    ///             |_, error| panic!("{error}"),
    ///         ));
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "waitpid")]
    #[doc(alias = "pidfd_open")]
    pub fn wait(&self, child: &Child, mut cb: Callback<ExitStatus>) -> Cancel {
        child.observe(&mut cb, "wait");
        let Callback { slot, timeout } = cb;
        let child = child.clone();
        let handle = child.handle().clone();
        handle.submit(move |core| {
            let id = core.id_of_child(&child);
            core.wait_for_child(id, slot, timeout)
        })
    }

    /// Ends a process by force: SIGKILL on Unix, TerminateProcess on Windows. A plain function, also
    /// when the engine is gone: that the process has ended is heard by [`wait`](Self::wait). Does
    /// nothing to one that has ended, and never anything to another process.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) if the system refuses, e.g. because the process has other
    /// rights by now; [`Error::Forked`](crate::Error::Forked) in the child of a fork.
    ///
    /// ```
    /// use facade_engine::{Callback, Child, Engine};
    /// use std::{process::{Command, ExitStatus}, time::Duration};
    ///
    /// let engine = Engine::new()?;
    /// let mut sleep = Command::new("sleep");
    /// sleep.arg("1000");
    /// engine.spawn(sleep, Callback::new(
    ///     |engine, child: Child| {
    ///         println!("process {} on {:?}", child.id(), child.handle());
    ///         let stuck = child.clone();
    ///         engine.wait(&child, Callback::new(
    ///             |_, status: ExitStatus| panic!("{status}"),
    ///             move |engine, error| {
    ///                 println!("{error}");
    ///                 engine.kill(&stuck).unwrap();
    ///             },
    ///         ).timeout(Duration::from_millis(10)));
    ///         engine.wait(&child, Callback::new(
    ///             |_, status: ExitStatus| assert!(!status.success()),
    ///             |_, error| panic!("{error}"),
    ///         ));
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn kill(&self, child: &Child) -> Result<()> {
        check_ours(child)?;
        child.process().kill().map_err(|cause| failed(child, cause))
    }

    /// Sends a signal to a process, such as `libc::SIGTERM`, which asks it to end. A plain function;
    /// never to another process, see pidfd_send_signal(2).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) for a number that no signal with a name
    /// has; [`Error::Io`](crate::Error::Io) with `ESRCH` if it has ended, or if the system refuses;
    /// [`Error::Unsupported`](crate::Error::Unsupported) on Windows;
    /// [`Error::Forked`](crate::Error::Forked) in the child of a fork.
    ///
    /// ```
    /// use facade_engine::{Callback, Child, Engine};
    /// use std::{os::unix::process::ExitStatusExt, process::{Command, ExitStatus}};
    ///
    /// let engine = Engine::new()?;
    /// let mut sleep = Command::new("sleep");
    /// sleep.arg("1000");
    /// engine.spawn(sleep, Callback::new(
    ///     |engine, child: Child| {
    ///         engine.send_signal(&child, libc::SIGTERM).unwrap();
    ///         engine.wait(&child, Callback::new(
    ///             |_, status: ExitStatus| assert_eq!(status.signal(), Some(libc::SIGTERM)),
    ///             |_, error| panic!("{error}"),
    ///         ));
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn send_signal(&self, child: &Child, number: i32) -> Result<()> {
        check_ours(child)?;
        child.process().signal(number).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::InvalidInput => {
                Error::invalid(format_args!("there is no signal {number}"))
            }
            std::io::ErrorKind::Unsupported if cause.raw_os_error().is_none() => {
                Error::unsupported("signals to processes on this system")
            }
            _ => failed(child, cause),
        })
    }

    /// Tells the terminal of a process how large it is: what runs there hears of it by SIGWINCH, and
    /// looks, see ioctl_tty(2). A plain function.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) for a process that
    /// [`spawn_pty`](Self::spawn_pty) has not started; [`Error::Io`](crate::Error::Io) if the
    /// system refuses, as it does when the terminal's stream was closed;
    /// [`Error::Forked`](crate::Error::Forked) in the child of a fork.
    ///
    /// ```
    /// use facade_engine::{Callback, Child, Engine, PtySize, Stream};
    /// use std::process::Command;
    ///
    /// let engine = Engine::new()?;
    /// let mut shell = Command::new("sh");
    /// shell.args(["-c", "read line; stty size"]);
    /// engine.spawn_pty(shell, PtySize::default(), Callback::new(
    ///     |engine, (child, terminal): (Child, Stream)| {
    ///         engine.resize(&child, PtySize { rows: 50, cols: 132, ..PtySize::default() }).unwrap();
    ///         engine.write_line(&terminal, "go on", Callback::ignore());
    ///         engine.read_until(&terminal, "50 132", Callback::new(
    ///             |_, _| (),
    ///             |_, error| panic!("{error}"),
    ///         ));
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "TIOCSWINSZ")]
    #[doc(alias = "SIGWINCH")]
    pub fn resize(&self, child: &Child, size: PtySize) -> Result<()> {
        check_ours(child)?;
        child.resize(size)
    }
}

/// In the child of a fork a process is its parent's.
fn check_ours(child: &Child) -> Result<()> {
    if child.handle().is_inherited() { Err(Error::Forked) } else { Ok(()) }
}

fn failed(child: &Child, cause: std::io::Error) -> Error {
    Error::io_on(IoOperation::Signal, child::label(child.id()), cause)
}
