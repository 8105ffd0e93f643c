//! Waiting until something is ready, for who reads and writes it by other means; and for a peer that
//! leaves.

use crate::{
    handles::{
        callback::Callback, cancel::Cancel, handle::Handle, observer::Subject, stream::Stream,
    },
    pure::{
        error::{Error, IoOperation},
        table::Id,
    },
    system::{descriptor::Descriptor, driver::Readiness, sys::lend::AsDescriptor},
};

impl Handle {
    /// Succeeds once a read of `fd` would not wait: there is something, or it has ended or failed.
    ///
    /// For what the engine has no operations for, and for libraries that do their own I/O and say
    /// what they wait for: inotify, timerfd, libpq, c-ares, ALSA. On Unix `fd` is anything that
    /// lends a descriptor ([`AsFd`](std::os::fd::AsFd)), on Windows a socket. Its flags are left as
    /// they are; nothing is read. See poll(2): POLLIN.
    ///
    /// It is the *state* that counts, not a change: what is readable already succeeds at once, and
    /// again each time, until somebody reads it. Something that cannot be waited for, such as a
    /// regular file, is always ready. What the engine has read ahead of a [`Stream`] is not in its
    /// descriptor any more: for streams there is [`peek`](Self::peek).
    ///
    /// A copy of the descriptor is waited for (dup(2), one a call, closed before long). So `fd` may
    /// be closed meanwhile; but its open file lives on until this is over.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is no descriptor left for the copy, or the system cannot wait for it;
    /// [`Error::Unsupported`] on a simulated engine; [`Error::Cancelled`], [`Error::TimedOut`].
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn. Nothing was taken.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::net::UdpSocket;
    ///
    /// let engine = Engine::new()?;
    /// let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    /// socket.send_to(b"hello", socket.local_addr().unwrap()).unwrap();
    /// let receiver = socket.try_clone().unwrap();
    /// engine.readable(&socket, Callback::new(
    ///     move |_, ()| {
    ///         let mut buffer = [0; 100];
    ///         let (len, _) = receiver.recv_from(&mut buffer).unwrap();
    ///         assert_eq!(&buffer[..len], b"hello");
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "poll")]
    #[doc(alias = "add_reader")]
    #[doc(alias = "async_wait")]
    pub fn readable(&self, fd: impl AsDescriptor, cb: Callback<()>) -> Cancel {
        self.watch(&fd, Readiness::Readable, cb)
    }

    /// Succeeds once a write to `fd` would not wait: there is room, or it would fail.
    ///
    /// Otherwise as [`readable`](Self::readable). See poll(2): POLLOUT.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable).
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn. Nothing was taken.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut ours, _peer) = UnixStream::pair().unwrap();
    /// ours.set_nonblocking(true).unwrap();
    /// engine.writable(&ours.try_clone().unwrap(), Callback::new(
    ///     move |_, ()| assert_eq!(ours.write(b"hello").unwrap(), 5),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "poll")]
    #[doc(alias = "add_writer")]
    pub fn writable(&self, fd: impl AsDescriptor, cb: Callback<()>) -> Cancel {
        self.watch(&fd, Readiness::Writable, cb)
    }

    fn watch(&self, fd: &impl AsDescriptor, readiness: Readiness, mut cb: Callback<()>) -> Cancel {
        let name = fd.describe();
        let copied = self.shared().env.check_has_machine().and_then(|()| {
            fd.copy().map_err(|cause| Error::io_on(IoOperation::Wait, name.clone(), cause))
        });
        cb.observed(self, readiness.operation(), || name.clone());
        let Callback { slot, timeout } = cb;
        self.submit(move |core| match copied {
            Ok(fd) => core.watch_descriptor(Descriptor::new(fd), name, readiness, slot, timeout),
            Err(error) => {
                core.fail(Id::NONE, slot, error);
                None
            }
        })
    }

    /// Succeeds once the other end of a stream has ended its direction or is gone, although there
    /// may be unread bytes in front of that end: for a server that is to stop working for a client
    /// that has left.
    ///
    /// Reads are as ever: what was sent before can be read. A peer that only ends its direction, by
    /// shutdown(2), cannot be told from one that has left: where clients do so before they have
    /// their answer, as `nc -N` does, this tells nothing. The end comes behind all bytes, so it is not
    /// known as long as some of them have no room here: when more is unread than
    /// [`Limits::unread`](crate::Limits::unread) and the system's buffers hold. And a peer whose machine has vanished is
    /// noticed by TCP's keepalive or by an answer that finds nobody, see tcp(7). Any number of these
    /// wait at a stream at once, and none of them holds up its reads and writes.
    ///
    /// Of a pipe it is the other side that is closed, of a terminal the controlling one. See poll(2):
    /// POLLRDHUP, POLLHUP, POLLERR.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for files and devices; [`Error::Closed`] if the stream is closed here
    /// first; [`Error::Cancelled`], [`Error::TimedOut`].
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn. Nothing was taken.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut client, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// client.write_all(b"calculate pi\n").unwrap();
    /// let work = engine.sleep(std::time::Duration::MAX, Callback::ignore());
    /// engine.peer_gone(&stream, Callback::new(
    ///     move |_, ()| _ = work.cancel(), // nobody waits for it any more
    ///     |_, error| panic!("{error}"),
    /// ));
    /// drop(client);
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "POLLRDHUP")]
    pub fn peer_gone(&self, s: &Stream, mut cb: Callback<()>) -> Cancel {
        s.observe(&mut cb, "peer_gone");
        let Callback { slot, timeout } = cb;
        Self::submit_on(s, move |core, stream| core.wait_for_peer(stream, slot, timeout))
    }
}
