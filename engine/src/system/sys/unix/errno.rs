//! The numbers of the system's errors, errno(3).

pub(crate) use rustix::io::Errno;
