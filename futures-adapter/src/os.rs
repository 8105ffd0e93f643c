//! What differs from system to system: what is lent of a stream, a listener and a file.

#[cfg(unix)]
mod unix {
    use std::os::fd::{AsFd, BorrowedFd};

    use crate::{File, Listener, Stream};

    impl AsFd for Stream {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.engine_stream().as_fd()
        }
    }

    impl AsFd for Listener {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.engine_listener().as_fd()
        }
    }

    /// As the engine's file.
    impl AsFd for File {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.engine_file().as_fd()
        }
    }
}
