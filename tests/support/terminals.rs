//! Pseudo-terminals, see pty(7).

use std::{
    fs::{File, OpenOptions},
    os::fd::OwnedFd,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, Termios, tcgetattr, tcsetattr},
};

/// A pseudo-terminal: the controlling side, and the terminal, set as this says.
pub fn terminal(set: impl FnOnce(&mut Termios)) -> (OwnedFd, File) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
    let mut settings = tcgetattr(&terminal).unwrap();
    set(&mut settings);
    tcsetattr(&terminal, OptionalActions::Now, &settings).unwrap();
    (controller, terminal)
}
