//! What can be had at once, without a callback: for adapters to other styles.
//!
//! A callback must never run inside the call that submits, so even what is there already makes its
//! way through the turn. A future may well be ready at its first poll.

use bytes::Bytes;

use crate::{
    core::stream::read::Plain,
    handles::{
        handle::{Handle, on_current},
        stream::Stream,
    },
    pure::{
        limits::Bound,
        matcher::{Chunk, Exact, Line},
    },
};

impl Handle {
    /// What [`read_line`](Self::read_line) would succeed with at once.
    ///
    /// None if a line has not been received yet, if another read waits or its callback may not have
    /// run, and outside the turn of the engine that the stream belongs to; then submit the read.
    /// What it returns is taken for good.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"one\ntwo\n").unwrap();
    /// let again = stream.clone();
    /// engine.read_line(&stream, Callback::new(
    ///     move |engine, _| {
    ///         engine.post(move |engine| assert_eq!(engine.try_read_line(&again).unwrap(), "two"));
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[inline]
    pub fn try_read_line(&self, s: &Stream) -> Option<Bytes> {
        on_current(s, |core, id| core.read_now(id, Plain::Line(Line::new()), Bound::Line))
    }

    /// What [`read_chunk`](Self::read_chunk) would succeed with at once, see
    /// [`try_read_line`](Self::try_read_line).
    #[inline]
    pub fn try_read_chunk(&self, s: &Stream, size: usize) -> Option<Bytes> {
        let matcher = Plain::Chunk(Chunk::new(size).ok()?);
        on_current(s, |core, id| core.read_now(id, matcher, Bound::None))
    }

    /// What [`read_exact`](Self::read_exact) would succeed with at once, see
    /// [`try_read_line`](Self::try_read_line).
    #[inline]
    pub fn try_read_exact(&self, s: &Stream, size: usize) -> Option<Bytes> {
        let matcher = Plain::Exact(Exact::new(size));
        on_current(s, |core, id| core.read_now(id, matcher, Bound::All))
    }

    /// Writes all of `buf` if that succeeds at once, and returns its length.
    ///
    /// None, and nothing written, if other writes wait or too much is unsent, and
    /// outside the turn of the engine that the stream belongs to; then submit the write.
    ///
    /// ```
    /// # use facade_engine::{Bytes, Callback, Engine};
    /// # use std::{io::Read, os::unix::net::UnixStream};
    /// # let engine = Engine::new()?;
    /// # let (mut peer, ours) = UnixStream::pair().unwrap();
    /// # let stream = engine.attach(ours)?;
    /// let again = stream.clone();
    /// engine.post(move |engine| {
    ///     let hello = Bytes::from("hello");
    ///     if engine.try_write(&again, &hello).is_none() {
    ///         engine.write(&again, hello, Callback::ignore());
    ///     }
    /// });
    /// engine.run()?;
    /// # let mut received = [0; 5];
    /// # peer.read_exact(&mut received).unwrap();
    /// # assert_eq!(&received, b"hello");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[inline]
    pub fn try_write(&self, s: &Stream, buf: &Bytes) -> Option<usize> {
        on_current(s, |core, id| core.write_now(id, buf, false))
    }

    /// Writes a line as [`write_line`](Self::write_line) does, if that succeeds at once, see
    /// [`try_write`](Self::try_write).
    #[inline]
    pub fn try_write_line(&self, s: &Stream, line: &Bytes) -> Option<usize> {
        on_current(s, |core, id| core.write_now(id, line, true))
    }
}
