//! A process that this one has started: its end, and how it is ended. std has a handle of it, which
//! leads to no other.
//!
//! One block is unsafe: a call that waits for it.

use std::{
    fmt, io,
    os::windows::io::{AsHandle, AsRawHandle, OwnedHandle},
    process::{Child, Command, ExitStatus},
    sync::{Mutex, MutexGuard, PoisonError},
};

use windows_sys::Win32::System::Threading::{INFINITE, WaitForSingleObject};

use crate::system::sys::owned::OwnedDescriptor;

/// A process, while it runs and after.
pub(crate) struct Process {
    id: u32,
    child: Mutex<Child>,
    /// For the thread that waits.
    handle: io::Result<OwnedHandle>,
}

/// One that was started, and the ends of its pipes that are ours.
pub(crate) struct Started {
    pub(crate) process: Process,
    pub(crate) stdin: Option<OwnedDescriptor>,
    pub(crate) stdout: Option<OwnedDescriptor>,
    pub(crate) stderr: Option<OwnedDescriptor>,
}

/// Starts one.
pub(crate) fn start(mut command: Command) -> io::Result<Started> {
    let mut child = command.spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let handle = child.as_handle().try_clone_to_owned();
    Ok(Started {
        process: Process { id: child.id(), child: Mutex::new(child), handle },
        stdin: stdin.map(|pipe| OwnedHandle::from(pipe).into()),
        stdout: stdout.map(|pipe| OwnedHandle::from(pipe).into()),
        stderr: stderr.map(|pipe| OwnedHandle::from(pipe).into()),
    })
}

impl Process {
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    /// Hears of its end, if that has come.
    pub(crate) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.lock().try_wait()
    }

    /// Whether an error of [`try_wait`](Self::try_wait) is its last word: no, the handle stays.
    pub(crate) const fn is_last_word(_: &io::Error) -> bool {
        false
    }

    /// Nothing that a driver can wait for: a thread does.
    #[expect(clippy::unused_self, reason = "elsewhere there is something")]
    pub(crate) const fn waitable(&self) -> Option<OwnedDescriptor> {
        None
    }

    /// Waits for its end, without hearing of it.
    #[expect(unsafe_code, reason = "a call of the system that waits")]
    pub(crate) fn block(&self) {
        if let Ok(handle) = &self.handle {
            // SAFETY: the handle is open, and this owns it.
            unsafe { WaitForSingleObject(handle.as_raw_handle(), INFINITE) };
        }
    }

    /// Ends it by force; nothing is to be done if it has ended.
    pub(crate) fn kill(&self) -> io::Result<()> {
        self.lock().kill()
    }

    /// There are no signals for other processes here.
    #[expect(clippy::unused_self, reason = "elsewhere there are")]
    pub(crate) fn signal(&self, _number: i32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Process").field(&self.id).finish()
    }
}
