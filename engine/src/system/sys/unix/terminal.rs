//! Terminals for processes to run in, pty(7).
//!
//! Two blocks are unsafe: a function runs in the child between fork(2) and execve(2), and has signals
//! do there what they do by default.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
};

use libc::{SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, c_int};
use rustix::{
    process::{ioctl_tiocsctty, setsid},
    pty::{grantpt, unlockpt},
    stdio::stdin,
    termios::{Winsize, tcsetwinsize},
};

use crate::{
    pure::options::PtySize,
    system::sys::{
        family,
        owned::OwnedDescriptor,
        process::{self, Started},
    },
};

/// Starts a process in a terminal of its own: the leader of a session, which has it as standard
/// input, output and error. Returns our side of the terminal as well.
pub(crate) fn start_in_terminal(
    command: Command,
    size: PtySize,
) -> io::Result<(Started, OwnedDescriptor)> {
    let controller = family::open_terminal()?;
    grantpt(&controller)?;
    unlockpt(&controller)?;
    set_size(controller.as_fd(), size)?;
    let command = inside(command, family::other_side(&controller)?)?;
    Ok((process::start(command)?, controller))
}

/// Tells a terminal, and through SIGWINCH those who are in it, how large it is.
pub(crate) fn set_size(fd: BorrowedFd<'_>, size: PtySize) -> io::Result<()> {
    let PtySize { rows, cols, pixel_width, pixel_height } = size;
    let size =
        Winsize { ws_row: rows, ws_col: cols, ws_xpixel: pixel_width, ws_ypixel: pixel_height };
    Ok(tcsetwinsize(fd, size)?)
}

/// The signals that a terminal sends.
const OF_TERMINALS: [c_int; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU];

#[expect(unsafe_code, reason = "a function runs in the child of a fork")]
fn inside(mut command: Command, terminal: OwnedFd) -> io::Result<Command> {
    command.stdin(terminal.try_clone()?).stdout(terminal.try_clone()?).stderr(terminal);
    let lead = || {
        // What this process ignores, as one in the background of a script does, and one that was
        // started by nohup(1), is ignored there as well unless somebody says otherwise.
        for signal in OF_TERMINALS {
            // SAFETY: the default is no function of this process.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        setsid()?;
        ioctl_tiocsctty(stdin())?;
        Ok(())
    };
    // SAFETY: calls of the system, which neither allocate nor lock, on the terminal that is the
    // child's standard input by then.
    unsafe { command.pre_exec(lead) };
    Ok(command)
}
