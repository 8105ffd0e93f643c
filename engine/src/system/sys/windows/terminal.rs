//! Terminals for processes to run in: none. A pseudoconsole is given to a process by an attribute
//! of its start, which std does not let programs set.

use std::{io, process::Command};

use crate::{
    pure::options::PtySize,
    system::sys::{
        owned::{BorrowedDescriptor, OwnedDescriptor},
        process::Started,
    },
};

pub(crate) fn start_in_terminal(
    _command: Command,
    _size: PtySize,
) -> io::Result<(Started, OwnedDescriptor)> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn set_size(_fd: BorrowedDescriptor<'_>, _size: PtySize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
