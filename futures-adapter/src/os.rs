//! What differs from system to system: what is lent of a stream, a listener, a socket of
//! datagrams and a file.

#[cfg(unix)]
mod unix {
    use std::os::fd::{AsFd, BorrowedFd};

    use crate::{File, Listener, Stream, UdpSocket};

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

    impl AsFd for UdpSocket {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.engine_socket().as_fd()
        }
    }

    /// As the engine's file.
    impl AsFd for File {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.engine_file().as_fd()
        }
    }
}

#[cfg(windows)]
mod windows {
    use std::os::windows::io::{AsHandle, AsSocket, BorrowedHandle, BorrowedSocket};

    use crate::{File, Listener, Stream, UdpSocket};

    impl AsSocket for Stream {
        fn as_socket(&self) -> BorrowedSocket<'_> {
            self.engine_stream().as_socket()
        }
    }

    impl AsSocket for Listener {
        fn as_socket(&self) -> BorrowedSocket<'_> {
            self.engine_listener().as_socket()
        }
    }

    impl AsSocket for UdpSocket {
        fn as_socket(&self) -> BorrowedSocket<'_> {
            self.engine_socket().as_socket()
        }
    }

    /// As the engine's file.
    impl AsHandle for File {
        fn as_handle(&self) -> BorrowedHandle<'_> {
            self.engine_file().as_handle()
        }
    }
}
