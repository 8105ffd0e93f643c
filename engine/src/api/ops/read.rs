//! Reads: a matcher each over a stream's unread bytes.
//!
//! # What all reads have in common
//!
//! Reads of a stream succeed in the order submitted. The outcome depends on the bytes, the end of
//! the stream and the limit, never on how the network cut the bytes up. Whatever a read does not
//! take stays unread: after a cancel, a timeout, [`TooLong`](Error::TooLong), or the end of the
//! stream before a match, every byte is there for the next read, in order.

use std::mem;

use bytes::Bytes;

use crate::{
    core::{
        Core,
        stream::{
            head_read::Submitted,
            read::{Form, Plain, Read, other},
            user_read::user,
        },
    },
    handles::{
        callback::{Callback, Slot},
        cancel::{Cancel, Key},
        current::on_current,
        handle::Handle,
        observer::Subject,
        stream::Stream,
    },
    pure::{
        error::{Error, Result},
        limits::Bound,
        matcher::{
            All, Any, Chunk, Delimiter, Exact, ExpectLine, Line, LineGlobSearch, Matcher,
            RegexSearch,
        },
        panics::Contained,
        pattern::{AnyMatch, IntoPatterns, LineGlob, LineMatch, LinePattern, Regex, RegexMatch},
        table::Id,
    },
};

impl Handle {
    /// Reads what there is, 1 to `size` bytes, as soon as there are any.
    ///
    /// # Errors
    ///
    /// [`Error::EndOfStream`] at the end, [`Error::InvalidInput`] for size 0, and what all reads
    /// can fail with: [`Error::Cancelled`], [`Error::TimedOut`], [`Error::Io`], [`Error::Closed`].
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn; no byte is lost.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"some bytes").unwrap();
    /// engine.read_chunk(&stream, 4, Callback::new(
    ///     |_, chunk| assert_eq!(chunk, "some"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "read")]
    #[doc(alias = "recv")]
    #[inline]
    pub fn read_chunk(&self, s: &Stream, size: usize, cb: Callback<Bytes>) -> Cancel {
        match Chunk::new(size) {
            Ok(chunk) => Self::submit_plain(s, Plain::Chunk(chunk), Bound::None, cb),
            Err(error) => {
                let mut cb = cb;
                s.observe(&mut cb, "read_chunk");
                Self::submit_read(s, Err(error), Bound::None, cb, Form::Bytes)
            }
        }
    }

    /// Reads exactly `size` bytes. Of zero it succeeds with nothing, in its turn, and needs neither
    /// bytes nor that the stream goes on: where lengths are sent, some messages are empty.
    ///
    /// # Errors
    ///
    /// [`Error::EndOfStream`] if the stream ends before, [`Error::TooLong`] beyond
    /// [`Limits::all`](crate::Limits::all); else as [`read_chunk`](Self::read_chunk), but for
    /// size 0.
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn; no byte is lost.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(&298_u32.to_be_bytes()).unwrap();
    /// engine.read_exact(&stream, 4, Callback::new(
    ///     |_, field: Bytes| assert_eq!(u32::from_be_bytes(field[..].try_into().unwrap()), 298),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[inline]
    pub fn read_exact(&self, s: &Stream, size: usize, cb: Callback<Bytes>) -> Cancel {
        Self::submit_plain(s, Plain::Exact(Exact::new(size)), Bound::All, cb)
    }

    /// Reads up to and with `delimiter`, any byte string.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] beyond [`Limits::line`](crate::Limits::line), delimiter included;
    /// [`Error::EndOfStream`] if the stream ends before; [`Error::InvalidInput`] for an empty
    /// delimiter; else as [`read_chunk`](Self::read_chunk).
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn; no byte is lost, and a later read finds the delimiter wherever this
    /// one stopped looking.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"name=value; rest").unwrap();
    /// engine.read_until(&stream, "; ", Callback::new(
    ///     |_, field| assert_eq!(field, "name=value; "),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn read_until(
        &self,
        s: &Stream,
        delimiter: impl AsRef<[u8]>,
        mut cb: Callback<Bytes>,
    ) -> Cancel {
        if let Some(tiny) = Plain::until(delimiter.as_ref()) {
            return Self::submit_plain(s, tiny, Bound::Line, cb);
        }
        s.observe(&mut cb, "read_until");
        Self::submit_read(s, Delimiter::new(delimiter), Bound::Line, cb, other)
    }

    /// Reads one line, without its LF or CRLF. An unfinished last line is not a line: it stays
    /// unread, for [`read_all`](Self::read_all) to take.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] beyond [`Limits::line`](crate::Limits::line), line end included;
    /// [`Error::EndOfStream`] if no LF follows; else as [`read_chunk`](Self::read_chunk).
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn; no byte is lost.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream, time::Duration};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"GET /\r\n").unwrap();
    /// let cb = Callback::new(|_, line| assert_eq!(line, "GET /"), |_, error| panic!("{error}"));
    /// engine.read_line(&stream, cb.timeout(Duration::from_secs(30)));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[inline]
    pub fn read_line(&self, s: &Stream, cb: Callback<Bytes>) -> Cancel {
        Self::submit_plain(s, Plain::Line(Line::new()), Bound::Line, cb)
    }

    /// Reads the first line that `glob` matches as a whole, and what comes before it.
    ///
    /// # Errors
    ///
    /// As [`read_line`](Self::read_line); the skipped lines count for the limit.
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn; no byte is lost, skipped lines included.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, LineGlob, LineMatch};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"220-hello\r\n220 ready\r\n").unwrap();
    /// engine.read_until_lineglob(&stream, LineGlob::new("220 *")?, Callback::new(
    ///     |_, found: LineMatch| {
    ///         assert_eq!(found.skipped, "220-hello\r\n");
    ///         assert_eq!(found.line, "220 ready");
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn read_until_lineglob(
        &self,
        s: &Stream,
        glob: LineGlob,
        mut cb: Callback<LineMatch>,
    ) -> Cancel {
        s.observe(&mut cb, "read_until_lineglob");
        Self::submit_read(s, Ok(LineGlobSearch::new(glob)), Bound::Line, cb, other)
    }

    /// Reads up to the *earliest end* of a match of `regex`, through it. **This differs from what
    /// regexes do elsewhere**: `a+` takes one byte, and `login: ?` leaves the blank, because the
    /// match is complete before them and a stream cannot know whether more will follow. Say where
    /// the match ends: `a+[^a]`, `login: `.
    ///
    /// A read begins a text: `^` and `\b` see nothing before it. `$` and `\b` look at the stream's
    /// real next byte or real end, so such a match waits for it.
    ///
    /// # Errors
    ///
    /// As [`read_until`](Self::read_until).
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn; no byte is lost.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Regex, RegexMatch};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
    /// let status = Regex::new(r"^HTTP/1\.[01] (?<status>[0-9]{3})")?;
    /// engine.read_until_regex(&stream, status, Callback::new(
    ///     |_, found: RegexMatch| assert_eq!(found.name("status").unwrap(), "200"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn read_until_regex(
        &self,
        s: &Stream,
        regex: Regex,
        mut cb: Callback<RegexMatch>,
    ) -> Cancel {
        s.observe(&mut cb, "read_until_regex");
        Self::submit_read(s, Ok(RegexSearch::new(regex)), Bound::Line, cb, other)
    }

    /// Reads up to whichever of several patterns ends first; of those that end together, the one
    /// with the lowest index. [`Pattern::end`](crate::Pattern::end) takes what is left at the end
    /// of the stream.
    ///
    /// As with [`read_until_regex`](Self::read_until_regex), the *earliest end* counts: of `a` and
    /// `ab`, the second never matches. For many reads with the same list, make
    /// [`Patterns`](crate::Patterns) of it once.
    ///
    /// # Errors
    ///
    /// As [`read_until`](Self::read_until); [`Error::InvalidInput`] for an empty list or an empty
    /// pattern.
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn; no byte is lost.
    ///
    /// ```
    /// use facade_engine::{AnyMatch, Callback, Engine, LineGlob, Pattern};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"Welcome!\r\nlogin: ").unwrap();
    /// let refused = LineGlob::new("*refused*")?;
    /// let patterns = [Pattern::bytes("login: "), Pattern::line(refused), Pattern::end()];
    /// engine.read_until_any(&stream, patterns, Callback::new(
    ///     |_, found: AnyMatch| match found.index {
    ///         0 => assert_eq!(found.bytes, "Welcome!\r\nlogin: "),
    ///         _ => panic!("no login: {found:?}"),
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "expect")]
    pub fn read_until_any(
        &self,
        s: &Stream,
        patterns: impl IntoPatterns,
        mut cb: Callback<AnyMatch>,
    ) -> Cancel {
        s.observe(&mut cb, "read_until_any");
        Self::submit_read(s, Any::new(patterns), Bound::Line, cb, other)
    }

    /// Reads everything up to the end of the stream; nothing, if it has ended already.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] beyond [`Limits::all`](crate::Limits::all); [`Error::Io`] if the
    /// connection is reset before its end. The bytes stay unread then. Else as
    /// [`read_chunk`](Self::read_chunk).
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn; no byte is lost.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"one\ntwo").unwrap();
    /// drop(peer);
    /// engine.read_all(&stream, Callback::new(
    ///     |_, all| assert_eq!(all, "one\ntwo"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn read_all(&self, s: &Stream, mut cb: Callback<Bytes>) -> Cancel {
        s.observe(&mut cb, "read_all");
        Self::submit_read(s, Ok(All::new()), Bound::All, cb, other)
    }

    /// Reads what a [`Matcher`] of one's own takes. All reads above are this one with a matcher of
    /// the engine's.
    ///
    /// The matcher runs on the engine's thread, among the callbacks; if it panics, the read fails
    /// with [`Error::Panicked`] and the bytes stay unread.
    ///
    /// # Errors
    ///
    /// As [`read_until`](Self::read_until), and whatever [`Matcher::output`] fails with.
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn; no byte is lost.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine, Result, matcher::{Matcher, Scan}};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// /// A frame: one byte that says how many follow.
    /// struct Frame;
    ///
    /// impl Matcher for Frame {
    ///     type Output = Bytes;
    ///     fn scan(&mut self, unread: &[u8], _ended: bool) -> Scan {
    ///         match unread.first() {
    ///             Some(&len) if unread.len() > usize::from(len) => {
    ///                 Scan::Found { end: 1 + usize::from(len) }
    ///             }
    ///             _ => Scan::NeedMore,
    ///         }
    ///     }
    ///     fn restart(&mut self) {}
    ///     fn output(&mut self, taken: Bytes) -> Result<Bytes> {
    ///         Ok(taken.slice(1..))
    ///     }
    /// }
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"\x05hello").unwrap();
    /// engine.read_with(&stream, Frame, Callback::new(
    ///     |_, frame| assert_eq!(frame, "hello"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn read_with<M: Matcher>(
        &self,
        s: &Stream,
        matcher: M,
        mut cb: Callback<M::Output>,
    ) -> Cancel {
        s.observe(&mut cb, "read_with");
        Self::submit_read(s, Ok(matcher), Bound::Line, cb, user)
    }

    /// Reads the next line if it is the expected one.
    ///
    /// A line that arrived before counts: what is expected is the next line that nobody has read.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`] with a copy of the line if it is another, which stays unread; else as
    /// [`read_line`](Self::read_line).
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn; no byte is lost.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine, Error, Result};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"BUSY\r\n").unwrap();
    /// engine.expect_line(&stream, "READY", Callback::from_fn(|_, outcome: Result<Bytes>| {
    ///     assert!(matches!(outcome, Err(Error::Unexpected { line, .. }) if line == "BUSY"));
    /// }));
    /// // The line is there for whoever knows what to do with it.
    /// engine.read_line(&stream, Callback::new(
    ///     |_, line| assert_eq!(line, "BUSY"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn expect_line(
        &self,
        s: &Stream,
        line: impl Into<LinePattern>,
        mut cb: Callback<Bytes>,
    ) -> Cancel {
        s.observe(&mut cb, "expect_line");
        Self::submit_read(s, Ok(ExpectLine::new(line)), Bound::Line, cb, other)
    }

    /// Looks at the next 1 to `size` unread bytes, as soon as there are any, and leaves them.
    ///
    /// # Errors
    ///
    /// As [`read_chunk`](Self::read_chunk): of size 0 it is [`Error::InvalidInput`], because what
    /// it shows is never nothing.
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn; nothing is taken in any case.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"{\"id\": 1}\n").unwrap();
    /// engine.peek(&stream, 1, Callback::new(
    ///     |_, first: Bytes| assert_eq!(first, "{"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.read_line(&stream, Callback::new(
    ///     |_, line| assert_eq!(line, "{\"id\": 1}"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "MSG_PEEK")]
    pub fn peek(&self, s: &Stream, size: usize, mut cb: Callback<Bytes>) -> Cancel {
        if size > 0 {
            return Self::submit_plain(s, Plain::Peek(size), Bound::None, cb);
        }
        s.observe(&mut cb, "peek");
        let refused: Result<Plain> = Err(Error::invalid("a peek of size 0"));
        Self::submit_read(s, refused, Bound::None, cb, Form::Bytes)
    }

    /// Takes the first `n` unread bytes, or all if there are fewer, without looking at them: for
    /// what [`peek`](Self::peek) has shown. Reads that wait look at what is behind them.
    ///
    /// It waits for nothing and tells nobody; of zero it does nothing. A closed stream has no
    /// unread bytes.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"   hello\n").unwrap();
    /// let again = stream.clone();
    /// engine.peek(&stream, 1024, Callback::new(
    ///     move |engine, shown: Bytes| {
    ///         engine.consume(&again, shown.iter().take_while(|&&byte| byte == b' ').count());
    ///         engine.read_line(&again, Callback::new(
    ///             |_, line| assert_eq!(line, "hello"),
    ///             |_, error| panic!("{error}"),
    ///         ));
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn consume(&self, s: &Stream, n: usize) {
        if n == 0 {
            return;
        }
        // The frequent case: nobody waits for the bytes behind them.
        let exact = Plain::Exact(Exact::new(n));
        if on_current(s, |core, id| core.read_now(id, exact, Bound::None)).is_some() {
            return;
        }
        Self::submit_on(s, move |core, id| {
            core.consume(id, n);
            None::<Id>
        });
    }

    /// Succeeds with the number of unread bytes that the engine holds. What the system still has
    /// received for the stream does not count.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if the stream was closed.
    ///
    /// # Cancellation
    ///
    /// It has its outcome as soon as the engine comes to it, so there is nothing to cancel.
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
    ///         engine.buffered(&again, Callback::new(
    ///             |_, count| assert_eq!(count, 4),
    ///             |_, error| panic!("{error}"),
    ///         ));
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn buffered(&self, s: &Stream, mut cb: Callback<usize>) -> Cancel {
        s.observe(&mut cb, "buffered");
        Self::submit_on(s, move |core, id| {
            match core.stream(id).filter(|state| state.rare.closing.is_none()) {
                Some(state) => {
                    let unread = state.unread.len();
                    core.succeed(Id::NONE, cb.slot, unread);
                }
                None => core.fail(Id::NONE, cb.slot, Error::Closed),
            }
            None::<Id>
        })
    }

    /// Submits one of the frequent reads.
    #[inline]
    fn submit_plain(
        s: &Stream,
        mut matcher: Plain,
        bound: Bound,
        mut cb: Callback<Bytes>,
    ) -> Cancel {
        if s.is_observed() {
            return Self::submit_plain_observed(s, matcher, bound, cb);
        }
        let key =
            match on_current(s, |core, id| core.submit_head_read(id, &mut matcher, bound, &mut cb))
            {
                Some(Submitted::Completed) => None,
                Some(Submitted::Waits(key)) => Some(key),
                None => return Self::submit_plain_otherwise(s, matcher, bound, cb),
            };
        // The slot was taken out of it, so nothing is left to be dropped.
        mem::forget(cb);
        Cancel::new(s.engine(), key)
    }

    /// The same where somebody wants to be told of it.
    #[cold]
    fn submit_plain_observed(
        s: &Stream,
        matcher: Plain,
        bound: Bound,
        mut cb: Callback<Bytes>,
    ) -> Cancel {
        s.observe(&mut cb, matcher.operation());
        Self::submit_plain_otherwise(s, matcher, bound, cb)
    }

    /// Submits a read of the frequent kind from outside of a turn, or where other reads wait.
    fn submit_plain_otherwise(
        s: &Stream,
        mut matcher: Plain,
        bound: Bound,
        mut cb: Callback<Bytes>,
    ) -> Cancel {
        Self::submit_on(s, move |core, id| {
            match core.submit_head_read(id, &mut matcher, bound, &mut cb) {
                Some(Submitted::Completed) => None,
                Some(Submitted::Waits(key)) => Some(key),
                None => {
                    let key = core.begin_read(id, Ok(matcher), bound, cb, Form::Bytes, Id::NONE);
                    key.map(Key::Operation)
                }
            }
        })
    }

    fn submit_read<A: Send + 'static, T: Send + 'static>(
        s: &Stream,
        argument: Result<A>,
        bound: Bound,
        cb: Callback<T>,
        form: fn(A, Slot<T>) -> Form,
    ) -> Cancel {
        // An engine that is gone drops it together with the callback.
        let argument = Contained::new(argument);
        Self::submit_on(s, move |core, id| {
            core.begin_read(id, argument.into_inner(), bound, cb, form, Id::NONE)
        })
    }
}

impl Core {
    /// The limit of a stream that bounds a read.
    #[inline]
    pub(crate) fn limit(&mut self, stream: Id, bound: Bound) -> usize {
        self.stream(stream).map_or(usize::MAX, |state| state.settings.limits.of_read(bound))
    }

    /// Begins a read, or fails it if its argument is wrong.
    pub(crate) fn begin_read<A, T: Send + 'static>(
        &mut self,
        stream: Id,
        argument: Result<A>,
        bound: Bound,
        cb: Callback<T>,
        form: fn(A, Slot<T>) -> Form,
        chain: Id,
    ) -> Option<Id> {
        let Callback { slot, timeout } = cb;
        let limit = self.limit(stream, bound);
        match argument {
            Ok(argument) => {
                let read = Read { limit, form: form(argument, slot) };
                self.read(stream, read, timeout, chain)
            }
            Err(error) => {
                self.fail_boxed(chain, slot, error);
                None
            }
        }
    }
}
