//! [`HandleExt`]: what can be had at once, without a callback: for adapters to other styles.
//!
//! A callback must never run inside the call that submits, so even what is there already makes its
//! way through the turn. A future may well be ready at its first poll.

use bytes::Bytes;

use crate::{
    core::stream::read::Plain,
    handles::{
        current::{on_current, with_current},
        handle::Handle,
        stream::Stream,
    },
    pure::{
        limits::Bound,
        matcher::{Chunk, Exact, Line, Matcher},
        panics::Panics,
    },
};

/// What a [`Handle`] has for adapters: operations that have their outcome at once, or are not
/// submitted.
///
/// A callback never runs inside the call that submits, so programs have no use for these: what is
/// there makes its way through the turn. A future may be ready at its first poll, and need not.
///
/// Nobody else implements it, so it may get methods.
pub trait HandleExt: sealed::Sealed {
    /// What [`read_line`](Handle::read_line) would succeed with at once.
    ///
    /// None if a line has not been received yet, if another read waits or its callback may not have
    /// run, and outside the turn of the engine that the stream belongs to; then submit the read.
    /// What it returns is taken for good.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, adapter::HandleExt};
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
    fn try_read_line(&self, s: &Stream) -> Option<Bytes>;

    /// What [`read_chunk`](Handle::read_chunk) would succeed with at once, see
    /// [`try_read_line`](Self::try_read_line).
    fn try_read_chunk(&self, s: &Stream, size: usize) -> Option<Bytes>;

    /// What [`read_exact`](Handle::read_exact) would succeed with at once, see
    /// [`try_read_line`](Self::try_read_line).
    fn try_read_exact(&self, s: &Stream, size: usize) -> Option<Bytes>;

    /// What [`read_until`](Handle::read_until) would succeed with at once, see
    /// [`try_read_line`](Self::try_read_line). None also for a delimiter of more than six bytes.
    fn try_read_until(&self, s: &Stream, delimiter: &[u8]) -> Option<Bytes>;

    /// What [`peek`](Handle::peek) would succeed with at once, see
    /// [`try_read_line`](Self::try_read_line). It takes nothing.
    fn try_peek(&self, s: &Stream, size: usize) -> Option<Bytes>;

    /// What [`read_with`](Handle::read_with) would succeed with at once, see
    /// [`try_read_line`](Self::try_read_line).
    ///
    /// None also if it would fail: then submit the read with this matcher, which may have looked at
    /// some bytes, and is [restarted](Matcher::restart) before it looks again. So it is if it has
    /// panicked, which ends here and is the read's if it does so again.
    fn try_read_with<M: Matcher>(&self, s: &Stream, matcher: &mut M) -> Option<M::Output>;

    /// Writes all of `buf` if that succeeds at once, and returns its length.
    ///
    /// None, and nothing written, if other writes wait or too much is unsent, and
    /// outside the turn of the engine that the stream belongs to; then submit the write.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine, adapter::HandleExt};
    /// use std::{io::Read, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// let again = stream.clone();
    /// engine.post(move |engine| {
    ///     let hello = Bytes::from("hello");
    ///     if engine.try_write(&again, &hello).is_none() {
    ///         engine.write(&again, hello, Callback::ignore());
    ///     }
    /// });
    /// engine.run()?;
    /// let mut received = [0; 5];
    /// # peer.read_exact(&mut received).unwrap();
    /// # assert_eq!(&received, b"hello");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    fn try_write(&self, s: &Stream, buf: &Bytes) -> Option<usize>;

    /// Writes a line as [`write_line`](Handle::write_line) does, if that succeeds at once, see
    /// [`try_write`](Self::try_write).
    fn try_write_line(&self, s: &Stream, line: &Bytes) -> Option<usize>;

    /// Does at once what [`flush`](Handle::flush) waits for the turn's end for: sends what was
    /// written.
    ///
    /// None if the system has not all of it afterwards, if a write has failed, if other writes wait
    /// or the callback of one may not have run, if the stream was flushed at once a moment ago, so
    /// that others have their turn, and outside the turn of the engine that the stream belongs to;
    /// then submit the flush.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, adapter::HandleExt};
    /// use std::{io::Read, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// engine.write(&stream, "hello", Callback::ignore());
    /// engine.post(move |engine| {
    ///     let sent = || println!("sent");
    ///     match engine.try_flush(&stream) {
    ///         Some(()) => sent(),
    ///         // On io_uring, or where there is no room.
    ///         None => _ = engine.flush(&stream, Callback::new(move |_, ()| sent(), |_, _| ())),
    ///     }
    /// });
    /// engine.run()?;
    /// let mut received = [0; 5];
    /// # peer.read_exact(&mut received).unwrap();
    /// # assert_eq!(&received, b"hello");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    fn try_flush(&self, s: &Stream) -> Option<()>;
}

impl HandleExt for Handle {
    #[inline]
    fn try_read_line(&self, s: &Stream) -> Option<Bytes> {
        on_current(s, |core, id| core.read_now(id, Plain::Line(Line::new()), Bound::Line))
    }

    #[inline]
    fn try_read_chunk(&self, s: &Stream, size: usize) -> Option<Bytes> {
        let matcher = Plain::Chunk(Chunk::new(size).ok()?);
        on_current(s, |core, id| core.read_now(id, matcher, Bound::None))
    }

    #[inline]
    fn try_read_exact(&self, s: &Stream, size: usize) -> Option<Bytes> {
        let matcher = Plain::Exact(Exact::new(size));
        on_current(s, |core, id| core.read_now(id, matcher, Bound::All))
    }

    #[inline]
    fn try_read_until(&self, s: &Stream, delimiter: &[u8]) -> Option<Bytes> {
        on_current(s, |core, id| core.read_now(id, Plain::until(delimiter)?, Bound::Line))
    }

    #[inline]
    fn try_peek(&self, s: &Stream, size: usize) -> Option<Bytes> {
        if size == 0 {
            return None; // refused
        }
        on_current(s, |core, id| core.read_now(id, Plain::Peek(size), Bound::None))
    }

    fn try_read_with<M: Matcher>(&self, s: &Stream, matcher: &mut M) -> Option<M::Output> {
        let mut glance = on_current(s, |core, id| core.begin_glance(id, Bound::Line))?;
        let output = Panics::default().contain(|| glance.run(matcher)).flatten();
        // None in the child of a fork, where the bytes are the parent's.
        with_current(s.engine(), |core| core.end_glance(glance))?;
        output
    }

    #[inline]
    fn try_write(&self, s: &Stream, buf: &Bytes) -> Option<usize> {
        on_current(s, |core, id| core.write_now(id, buf, false))
    }

    #[inline]
    fn try_write_line(&self, s: &Stream, line: &Bytes) -> Option<usize> {
        on_current(s, |core, id| core.write_now(id, line, true))
    }

    fn try_flush(&self, s: &Stream) -> Option<()> {
        on_current(s, |core, id| core.flush_now(id))
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else is to implement it")]
    pub trait Sealed {}
    impl Sealed for crate::handles::handle::Handle {}
}
