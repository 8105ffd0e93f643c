//! A process that this one has started: its end, and signals to it and to no other.
//!
//! A number of a process may be given to another one as soon as its end was heard, and only this
//! file hears of it; so as long as it has not, the number is the right one. Where the system has a
//! descriptor of a process, pidfd_open(2), that is used in its place, and waited for; elsewhere a
//! thread waits.

use std::{
    fmt, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::{Child, Command, ExitStatus},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use rustix::{
    io::{Errno, retry_on_intr},
    process::{Pid, Signal, WaitIdOptions, WaitIdStatus, kill_process, waitid},
};

use crate::system::{
    fork,
    sys::{family, owned::OwnedDescriptor},
};

/// A process, until somebody has heard of its end and after.
pub(crate) struct Process {
    pid: Pid,
    /// Where there is one. It outlives the process, and leads to no other.
    pidfd: Option<OwnedFd>,
    /// How it has ended, once that was heard; or that it never will be.
    ended: Mutex<Option<Result<ExitStatus, Errno>>>,
    was_killed: AtomicBool,
    /// Whose child it is.
    parent: fork::Process,
}

/// One that was started, and the ends of its pipes that are ours.
pub(crate) struct Started {
    pub(crate) process: Process,
    pub(crate) stdin: Option<OwnedDescriptor>,
    pub(crate) stdout: Option<OwnedDescriptor>,
    pub(crate) stderr: Option<OwnedDescriptor>,
}

/// Starts one. Returns when it runs the program, or could not be made to.
pub(crate) fn start(mut command: Command) -> io::Result<Started> {
    let mut child = command.spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    Ok(Started {
        process: Process::new(&child),
        stdin: stdin.map(OwnedFd::from),
        stdout: stdout.map(OwnedFd::from),
        stderr: stderr.map(OwnedFd::from),
    })
}

impl Process {
    fn new(child: &Child) -> Self {
        let pid = Pid::from_child(child);
        // Its number is still its own: nobody has heard of its end.
        Self::of(pid, family::descriptor_of(pid))
    }

    fn of(pid: Pid, pidfd: Option<OwnedFd>) -> Self {
        let (ended, was_killed) = (Mutex::new(None), AtomicBool::new(false));
        Self { pid, pidfd, ended, was_killed, parent: fork::Process::current() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Hears of its end, if that has come: then the system forgets it. `ECHILD` says that nobody
    /// will; any other error says nothing of the process, which may be asked for again.
    pub(crate) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let mut ended = self.lock();
        if ended.is_none() {
            match self.ask(WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Err(error) if error != Errno::CHILD => return Err(error.into()),
                asked => *ended = asked.map(|told| told.map(to_status)).transpose(),
            }
        }
        ended.transpose().map_err(io::Error::from)
    }

    /// Whether an error of [`try_wait`](Self::try_wait) is its last word.
    pub(crate) fn is_last_word(error: &io::Error) -> bool {
        Errno::from_io_error(error) == Some(Errno::CHILD)
    }

    /// Something that becomes readable when it has ended; none if only a thread can wait for that.
    pub(crate) fn waitable(&self) -> Option<OwnedDescriptor> {
        self.pidfd.as_ref()?.try_clone().ok()
    }

    /// Waits for its end, without hearing of it.
    pub(crate) fn block(&self) {
        // One that somebody else has heard of has ended as well.
        let _ = self.ask(WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    }

    /// Ends it by force; nothing is to be done if it has ended.
    pub(crate) fn kill(&self) -> io::Result<()> {
        self.was_killed.store(true, Relaxed);
        match self.send(Signal::KILL) {
            Err(Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// Sends it a signal; `EINVAL` if there is none of this number, `ESRCH` if it has ended.
    pub(crate) fn signal(&self, number: i32) -> io::Result<()> {
        let signal = Signal::from_named_raw(number).ok_or(Errno::INVAL)?;
        Ok(self.send(signal)?)
    }

    fn send(&self, signal: Signal) -> rustix::io::Result<()> {
        // Held while it is sent, so that nobody hears of its end meanwhile.
        let ended = self.lock();
        if ended.is_some() {
            return Err(Errno::SRCH);
        }
        match self.pidfd.as_ref().map(|fd| family::send_to(fd.as_fd(), signal)) {
            Some(sent @ (Ok(()) | Err(Errno::SRCH))) => sent,
            // Its number is still its own. A system may know descriptors of processes and not
            // this call, or a filter of calls refuse it, seccomp(2).
            Some(Err(_)) | None => kill_process(self.pid, signal),
        }
    }

    fn ask(&self, options: WaitIdOptions) -> rustix::io::Result<Option<WaitIdStatus>> {
        let by = |pidfd| retry_on_intr(|| waitid(family::wait_id(self.pid, pidfd), options));
        match self.pidfd.as_ref().map(|fd| by(Some(fd.as_fd()))) {
            Some(told @ (Ok(_) | Err(Errno::CHILD))) => told,
            // Linux 5.3 has the descriptors, and does not wait by them.
            Some(Err(_)) | None => by(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Result<ExitStatus, Errno>>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of a process that was ended by force nothing is left, also if the engine is gone, or never had it: it
/// is no more in a moment, and a thread hears of that.
impl Drop for Process {
    fn drop(&mut self) {
        let is_ours = *self.was_killed.get_mut() && self.parent == fork::Process::current();
        if !is_ours || !matches!(self.try_wait(), Ok(None)) {
            return;
        }
        let left = Self::of(self.pid, self.pidfd.take());
        let hear = move || {
            left.block();
            drop(left.try_wait());
        };
        // Without a thread it is a zombie until this process ends.
        drop(thread::Builder::new().name("facade-child".to_owned()).spawn(hear));
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Process").field(&self.id()).finish()
    }
}

/// What waitid(2) told, as wait(2) would have told it, which std takes.
fn to_status(told: WaitIdStatus) -> ExitStatus {
    const CORE_DUMPED: i32 = 0x80;
    let by_signal = told.terminating_signal().unwrap_or_default();
    ExitStatus::from_raw(match told.exit_status() {
        Some(code) => (code & 0xff) << 8,
        None if told.dumped() => by_signal | CORE_DUMPED,
        None => by_signal,
    })
}
