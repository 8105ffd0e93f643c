//! Writes, and the end of the outgoing direction.
//!
//! # What all writes have in common
//!
//! A write succeeds when the engine has all of it and at most
//! [`Limits::unsent`](crate::Limits::unsent) bytes up to its end are unsent; what a turn writes to
//! a stream goes out together at the turn's end. Writes succeed in the order submitted. A write
//! that does not succeed says exactly how many of its bytes the system took: none is the plain
//! error, some is [`PartialWrite`](crate::Error::PartialWrite), and then later writes fail until
//! [`take_unsent`](Handle::take_unsent), so that a frame is never silently cut in half.
//!
//! Where the system has no memory for what is sent (`ENOBUFS`, `ENOMEM`), that is tried again for
//! two seconds, and unsent meanwhile.

use std::mem;

use bytes::Bytes;

use crate::{
    core::stream::write::Data,
    handles::{
        callback::{Callback, Slot},
        cancel::Cancel,
        current::on_current,
        handle::Handle,
        observer::Subject,
        stream::Stream,
    },
    pure::{panics::Contained, pattern::LinePattern, table::Id},
};

impl Handle {
    /// Writes all of `buf`. Succeeds with its length; an empty one succeeds in its turn, with 0.
    ///
    /// The engine keeps the bytes until they are sent, so they are given away: a `&'static str` or
    /// `&'static [u8]`, a `String`, a `Vec<u8>` or [`Bytes`] are not copied for that. What is only
    /// borrowed, such as `&buf[..]`, is refused by the compiler, with an error about lifetimes
    /// ("argument requires that `buf` is borrowed for `'static`"): say
    /// [`Bytes::copy_from_slice(&buf)`].
    ///
    /// [`Bytes::copy_from_slice(&buf)`]: Bytes::copy_from_slice
    ///
    /// # Errors
    ///
    /// [`Error::PartialWrite`](crate::Error::PartialWrite) if the system took some of it before it
    /// was cancelled, expired or failed; [`Error::Cut`](crate::Error::Cut) after such a write,
    /// until its rest was taken; [`Error::Overloaded`](crate::Error::Overloaded) behind more than
    /// [`Limits::queued`](crate::Limits::queued) unsent bytes;
    /// [`Error::Closed`](crate::Error::Closed) after [`shutdown_write`](Self::shutdown_write) or
    /// [`close`](Self::close); [`Error::Io`](crate::Error::Io) if the system refuses. What fails
    /// after a write has succeeded is reported to the next one, and of a connection also to reads
    /// that find nothing more: its answer would be waited for in vain.
    ///
    /// # Cancellation
    ///
    /// A write of which the system took nothing leaves the queue, and its neighbours go on. Of one
    /// that was cut, [`take_unsent`](Self::take_unsent) has the rest.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Read, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// engine.write(&stream, "hello", Callback::new(
    ///     |_, count| assert_eq!(count, 5),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// drop(stream);
    /// engine.run()?;
    /// let mut received = String::new();
    /// peer.read_to_string(&mut received).unwrap();
    /// assert_eq!(received, "hello");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    ///
    /// A part of a buffer that goes on being used:
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine};
    /// use std::{io::Read, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// let mut buf = *b"hello, world";
    /// engine.write(&stream, Bytes::copy_from_slice(&buf[..5]), Callback::ignore());
    /// buf.fill(0);
    /// # drop(stream);
    /// # engine.run()?;
    /// let mut received = String::new();
    /// # peer.read_to_string(&mut received).unwrap();
    /// # assert_eq!(received, "hello");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "send")]
    #[inline]
    pub fn write(&self, s: &Stream, buf: impl Into<Bytes>, cb: Callback<usize>) -> Cancel {
        Self::submit_one(s, buf.into(), false, cb)
    }

    /// Writes several pieces as one, without copying them together first. Succeeds with the length
    /// of all: of nothing in its turn, with 0.
    ///
    /// # Errors and cancellation
    ///
    /// As [`write`](Self::write).
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Read, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// engine.write_vectored(&stream, ["Content-Length: 5\r\n\r\n", "hello"], Callback::new(
    ///     |_, count| assert_eq!(count, 26),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// let mut received = [0; 26];
    /// # peer.read_exact(&mut received).unwrap();
    /// # assert!(received.ends_with(b"\n\r\nhello"));
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "writev")]
    pub fn write_vectored(
        &self,
        s: &Stream,
        bufs: impl IntoIterator<Item = impl Into<Bytes>>,
        mut cb: Callback<usize>,
    ) -> Cancel {
        s.observe(&mut cb, "write_vectored");
        Self::submit_write(s, Data::Many(bufs.into_iter().map(Into::into).collect()), cb)
    }

    /// Writes a line and its end: CRLF on sockets, LF on pipes, terminals and files, unless
    /// [`set_line_end`](Self::set_line_end) said otherwise; nothing more if the line ends with LF
    /// already. Succeeds with the length of what was written, line end included.
    ///
    /// # Errors and cancellation
    ///
    /// As [`write`](Self::write).
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Read, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// engine.write_line(&stream, "hello", Callback::new(
    ///     |_, count| assert_eq!(count, 7), // with CRLF: it is a socket
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// let mut received = [0; 7];
    /// # peer.read_exact(&mut received).unwrap();
    /// # assert_eq!(&received, b"hello\r\n");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[inline]
    pub fn write_line(&self, s: &Stream, line: impl Into<Bytes>, cb: Callback<usize>) -> Cancel {
        Self::submit_one(s, line.into(), true, cb)
    }

    /// Writes, then reads the next line if it is the expected one.
    ///
    /// The line may have arrived before the write: what is expected is the next line that nobody
    /// has read, and an old one that was left over is taken for the answer. The timeout of the
    /// second callback runs from the success of the write.
    ///
    /// # Errors and cancellation
    ///
    /// As [`write`](Self::write) and [`expect_line`](Self::expect_line); if the write fails, the
    /// second callback gets [`Error::Stage`](crate::Error::Stage).
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine, LineGlob};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"250 example.org at your service\r\n").unwrap();
    /// engine.write_then_expect_line(&stream, "HELO me\r\n", LineGlob::new("250 *")?, (
    ///     Callback::ignore(),
    ///     Callback::new(|_, line: Bytes| assert!(line.starts_with(b"250")), |_, e| panic!("{e}")),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn write_then_expect_line(
        &self,
        s: &Stream,
        buf: impl Into<Bytes>,
        line: impl Into<LinePattern>,
        (cb1, cb2): (Callback<usize>, Callback<Bytes>),
    ) -> Cancel {
        self.chain().on(s).write(buf, cb1).expect_line(line, cb2).submit()
    }

    /// Submits a write of one piece: first the frequent case, a small one that succeeds at once.
    #[inline]
    fn submit_one(s: &Stream, bytes: Bytes, is_line: bool, mut cb: Callback<usize>) -> Cancel {
        if s.is_observed() {
            return Self::submit_one_observed(s, bytes, is_line, cb);
        }
        if matches!(cb.slot, Slot::Plain(_) | Slot::Ignore) {
            // Where nobody wants to know, nothing is queued.
            let slot = Some(&mut cb.slot).filter(|slot| matches!(slot, Slot::Plain(_)));
            if on_current(s, |core, id| core.write_at_once(id, &bytes, is_line, slot)).is_some() {
                // The slot was taken out of it, so nothing is left to be dropped.
                mem::forget(cb);
                // `bytes` is dropped here, where nothing is borrowed: it is the user's.
                return Cancel::over(s.engine());
            }
        }
        let data = if is_line { Data::Line(bytes) } else { Data::One(bytes) };
        Self::submit_write(s, data, cb)
    }

    /// The same where somebody wants to be told of it.
    #[cold]
    fn submit_one_observed(
        s: &Stream,
        bytes: Bytes,
        is_line: bool,
        mut cb: Callback<usize>,
    ) -> Cancel {
        let (data, operation) = match is_line {
            true => (Data::Line(bytes), "write_line"),
            false => (Data::One(bytes), "write"),
        };
        s.observe(&mut cb, operation);
        Self::submit_write(s, data, cb)
    }

    fn submit_write(s: &Stream, data: Data, cb: Callback<usize>) -> Cancel {
        let Callback { slot, timeout } = cb;
        // An engine that is gone drops it together with the callback.
        let data = Contained::new(data);
        Self::submit_on(s, move |core, id| {
            core.write(id, data.into_inner(), slot, timeout, Id::NONE)
        })
    }

    /// Succeeds when the system has everything that was written before. The peer need not have it:
    /// only an answer of the peer's can say so.
    ///
    /// # Errors
    ///
    /// The failure of any earlier write, whoever else has got it.
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn; what was written still goes out.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Read, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// engine.write(&stream, "hello", Callback::ignore());
    /// engine.flush(&stream, Callback::new(
    ///     |_, ()| println!("all of it is on its way"),
    ///     |_, error| eprintln!("the write failed: {error}"),
    /// ));
    /// engine.run()?;
    /// let mut received = [0; 5];
    /// # peer.read_exact(&mut received).unwrap();
    /// # assert_eq!(&received, b"hello");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn flush(&self, s: &Stream, mut cb: Callback<()>) -> Cancel {
        s.observe(&mut cb, "flush");
        let Callback { slot, timeout } = cb;
        Self::submit_on(s, move |core, id| core.flush(id, slot, timeout, Id::NONE))
    }

    /// Takes the rest of a cut write, and lets later writes go on: the program decides whether to
    /// send it after all. Empty if no write was cut. Of writes that were queued behind the cut one
    /// nothing is in it: they have failed. If one was written while a [`Claim`](crate::Claim) on
    /// the rest of an earlier one was held, and is cut in its turn, then what is left of both comes
    /// together, in their order.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed) if the stream was closed.
    ///
    /// # Cancellation
    ///
    /// It has its outcome as soon as the engine comes to it. The rest of which a
    /// [`Claim`](crate::Claim) is dropped untaken is there for the next one.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine, Error};
    /// use std::{os::unix::net::UnixStream, time::Duration};
    ///
    /// let engine = Engine::new()?;
    /// let (_peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// // Nobody reads, so one attempt takes as much as the system has room for.
    /// let again = stream.clone();
    /// engine.write(&stream, vec![0_u8; 8 << 20], Callback::from_fn(move |engine, outcome| {
    ///     let Err(Error::PartialWrite { written, .. }) = outcome else { panic!("{outcome:?}") };
    ///     engine.take_unsent(&again, Callback::new(
    ///         move |_, rest: Bytes| assert_eq!(written + rest.len(), 8 << 20),
    ///         |_, error| panic!("{error}"),
    ///     ));
    /// }).timeout(Duration::ZERO));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn take_unsent(&self, s: &Stream, mut cb: Callback<Bytes>) -> Cancel {
        let stream = s.clone();
        s.observe(&mut cb, "take_unsent");
        s.handle().submit(move |core| core.take_unsent(&stream, cb.slot))
    }

    /// Ends the outgoing direction, behind everything that was written: FIN on a socket, close on a
    /// pipe. Reads go on. Later writes are [`Closed`](crate::Error::Closed); a second shutdown
    /// succeeds. See shutdown(2). A socket's direction ends for all who hold a copy of its
    /// descriptor, a pipe's when the last of them has closed it.
    ///
    /// # Errors
    ///
    /// The failure of an earlier write; [`Error::Unsupported`](crate::Error::Unsupported) for files
    /// and terminals; [`Error::Closed`](crate::Error::Closed) after [`close`](Self::close).
    ///
    /// # Cancellation
    ///
    /// One that has not begun, because bytes before it are unsent, is undone: writes go on.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Read, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// engine.write(&stream, "request", Callback::ignore());
    /// engine.shutdown_write(&stream, Callback::ignore());
    /// engine.run()?;
    /// // The peer sees the end, and can still answer.
    /// let mut request = String::new();
    /// peer.read_to_string(&mut request).unwrap();
    /// assert_eq!(request, "request");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "shutdown")]
    pub fn shutdown_write(&self, s: &Stream, mut cb: Callback<()>) -> Cancel {
        s.observe(&mut cb, "shutdown_write");
        let Callback { slot, timeout } = cb;
        Self::submit_on(s, move |core, id| core.shutdown_write(id, slot, timeout, Id::NONE))
    }
}
