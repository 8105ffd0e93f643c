//! The end of streams, listeners, files and sockets of datagrams.

use crate::{
    core::closing::Ending,
    handles::{
        callback::Callback,
        cancel::{Cancel, Key},
        file::File,
        handle::Handle,
        listener::Listener,
        observer::Subject,
        stream::{Detached, Stream},
        udp_socket::UdpSocket,
    },
};

/// What can be closed: a [`Stream`], a [`Listener`], a [`File`] or a [`UdpSocket`].
///
/// Made from a reference to one, where [`Handle::close`] is called.
///
/// ```
/// use facade_engine::{Callback, Closable, Engine, Handle};
///
/// fn end<'a>(engine: &Handle, what: impl Into<Closable<'a>>) {
///     engine.close(what, Callback::ignore());
/// }
///
/// let engine = Engine::new()?;
/// let listener = engine.listen("127.0.0.1:0")?;
/// end(&engine, &listener);
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Closable<'a> {
    /// A stream.
    Stream(&'a Stream),
    /// A listener.
    Listener(&'a Listener),
    /// A file.
    File(&'a File),
    /// A socket of datagrams.
    UdpSocket(&'a UdpSocket),
}

impl<'a> From<&'a Stream> for Closable<'a> {
    fn from(stream: &'a Stream) -> Self {
        Self::Stream(stream)
    }
}

impl<'a> From<&'a Listener> for Closable<'a> {
    fn from(listener: &'a Listener) -> Self {
        Self::Listener(listener)
    }
}

impl<'a> From<&'a File> for Closable<'a> {
    fn from(file: &'a File) -> Self {
        Self::File(file)
    }
}

impl<'a> From<&'a UdpSocket> for Closable<'a> {
    fn from(socket: &'a UdpSocket) -> Self {
        Self::UdpSocket(socket)
    }
}

impl Closable<'_> {
    fn as_subject(&self) -> &dyn Subject {
        match self {
            Self::Stream(stream) => *stream,
            Self::Listener(listener) => *listener,
            Self::File(file) => *file,
            Self::UdpSocket(socket) => *socket,
        }
    }
}

impl Handle {
    /// Closes something for all its clones. Its reads, accepts and receives get
    /// [`Closed`](crate::Error::Closed); submitted writes and datagrams go out first. The callback
    /// comes after every other callback of the stream. Connections that a listener has and nobody took
    /// are closed, datagrams dropped.
    ///
    /// What has arrived and nobody has read is dropped. Of a TCP connection that is ours alone our
    /// direction is ended and that is taken from the system first, because a close over it would
    /// reset the connection and the peer could lose what was sent. What others may hold, too, is
    /// closed and nothing else: the connection goes on with their copies, and what has arrived is
    /// theirs. Which is which is said at [`attach`](Self::attach). So it is for a dropped stream.
    ///
    /// close(2) itself may wait: for the peer if the program has set SO_LINGER (socket(7); it holds
    /// for non-blocking sockets, too, and connections inherit it from their listener), for a file's
    /// server, for a serial line to take what was written. Then a thread does it, and the callback
    /// comes when it is done: of what lingers, when the peer's system has everything or the time
    /// that was set is over.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`](crate::Error::TimedOut) if the rest could not be written in time: it was
    /// dropped, and the stream is closed all the same. The failure of an earlier write that nobody
    /// has got. [`Error::Closed`](crate::Error::Closed) if it was closed before.
    ///
    /// # Cancellation
    ///
    /// A cancelled close goes on; only its end is not reported. One that times out drops what is
    /// unsent and closes; what the system has by then still goes out, and no run waits for it.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Read, os::unix::net::UnixStream, time::Duration};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// engine.write(&stream, "bye\r\n", Callback::ignore());
    /// let cb = Callback::new(|_, ()| println!("closed"), |_, error| eprintln!("{error}"));
    /// engine.close(&stream, cb.timeout(Duration::from_secs(5)));
    /// engine.run()?;
    /// let mut received = String::new();
    /// peer.read_to_string(&mut received).unwrap();
    /// assert_eq!(received, "bye\r\n");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn close<'a>(&self, x: impl Into<Closable<'a>>, mut cb: Callback<()>) -> Cancel {
        let what = x.into();
        let subject = what.as_subject();
        cb.observed(subject.engine_handle(), "close", || subject.name());
        let Callback { slot, timeout } = cb;
        match what {
            Closable::Stream(s) => Self::submit_on(s, move |core, id| {
                core.close_stream(id, Ending::Close(slot), timeout)
            }),
            Closable::Listener(l) => {
                let listener = l.clone();
                l.handle().submit(move |core| {
                    let id = core.id_of_listener(&listener);
                    core.close_listener(id, slot, timeout)
                })
            }
            Closable::File(f) => {
                let file = f.clone();
                f.handle().submit(move |core| {
                    let id = core.id_of_file(&file);
                    core.close_file(id, slot, timeout)
                })
            }
            Closable::UdpSocket(u) => {
                let socket = u.clone();
                u.handle().submit(move |core| {
                    let id = core.id_of_datagrams(&socket);
                    core.close_datagrams(id, slot, timeout)
                })
            }
        }
    }

    /// Closes a stream at once: what is unsent is dropped, a TCP connection is reset. Everything
    /// pending on it gets [`Closed`](crate::Error::Closed), a write how much of it was sent.
    ///
    /// It waits for nothing and tells nobody. It also cuts short a [`close`](Self::close) under
    /// way. The reset is that of RFC 9293, section 3.10.5. It acts on the connection, so also for
    /// those who hold a copy of its descriptor. A Unix socket, pipe, terminal or file cannot be
    /// reset, and is closed.
    ///
    /// FreeBSD and macOS cannot reset a connection that others may hold: there both its directions
    /// end, which its peer takes for an end in good order if what is unsent was all, and the reset
    /// comes when the last copy is closed.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine, Error, Result};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let engine = Engine::new()?;
    /// let (_peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// engine.read_line(&stream, Callback::from_fn(|_, outcome: Result<Bytes>| {
    ///     assert!(matches!(outcome, Err(Error::Closed)));
    /// }));
    /// engine.abort(&stream);
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "SO_LINGER")]
    #[doc(alias = "reset")]
    #[doc(alias = "RST")]
    pub fn abort(&self, s: &Stream) {
        Self::submit_on(s, |core, id| {
            core.abort(id);
            None::<Key>
        });
    }

    /// Parts a stream from the engine and gives back its descriptor, and what was received and not
    /// read. Submitted writes go out first; its reads get [`Closed`](crate::Error::Closed). What a
    /// [`Claim`](crate::Claim) has that was not dropped by then is not in it. Other copies of the
    /// descriptor notice nothing.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close); the descriptor is closed then.
    ///
    /// # Cancellation
    ///
    /// A cancelled detach closes the stream, after what was written has gone out. One that times
    /// out drops what is unsent and closes the descriptor.
    ///
    /// ```
    /// use facade_engine::{Callback, Detached, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"first\nsecond\n").unwrap();
    /// let again = stream.clone();
    /// engine.read_line(&stream, Callback::new(
    ///     move |engine, _| {
    ///         engine.detach(&again, Callback::new(
    ///             |_, detached: Detached| assert_eq!(detached.unread, "second\n"),
    ///             |_, error| panic!("{error}"),
    ///         ));
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn detach(&self, s: &Stream, mut cb: Callback<Detached>) -> Cancel {
        s.observe(&mut cb, "detach");
        let Callback { slot, timeout } = cb;
        Self::submit_on(s, move |core, id| core.close_stream(id, Ending::Detach(slot), timeout))
    }
}
