//! Copies: what comes on one stream goes out on another.

use crate::{
    core::copy::{From, Told},
    handles::{
        callback::Callback, cancel::Cancel, file::File, handle::Handle, observer::Subject,
        stream::Stream,
    },
    pure::{
        error::{Error, Result},
        options::CopyOptions,
        table::Id,
    },
};

impl Handle {
    /// Copies everything that comes on `from`, up to its end, to `to`. Succeeds with how many bytes
    /// that were when the engine has written all of them, as a [`write`](Self::write) does; `to`
    /// stays open, as with [`std::io::copy`].
    ///
    /// It has its turn among the reads of `from` and the writes of `to`: those submitted before it
    /// come first, those submitted later wait until it is over, a [`flush`](Self::flush) and a
    /// [`shutdown_write`](Self::shutdown_write) included. Both streams are kept open until then.
    /// Pieces go from one to the other as they came, without a callback and without being copied in
    /// memory. At most [`Limits::unsent`](crate::Limits::unsent) bytes of `to`, or one piece of
    /// 128 KiB where that is less, wait to be sent; beyond that `from` is received no further than
    /// [`Limits::unread`](crate::Limits::unread), so that its peer has to wait for that of `to`.
    ///
    /// Both may be one stream, which is an echo then. They are of one engine.
    ///
    /// # Errors
    ///
    /// [`Error::PartialCopy`](crate::Error::PartialCopy), which says how many bytes were copied,
    /// around the cause, or the plain cause if there were none. A failure of the system is
    /// [`Error::Io`](crate::Error::Io), which says of which stream, and whether it was read or
    /// written: of the count the system of `to` has taken all then, and what it has not is unread in
    /// `from`. [`Error::Closed`](crate::Error::Closed) if either stream is closed.
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) for streams of two engines, and for a file
    /// copied to itself, whose one cursor would be read and written.
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn. What was counted goes out, as what was written does, and may be waited
    /// for by a [`flush`](Self::flush); every other byte is unread in `from`.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::{Write, read_to_string}, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut source, from) = UnixStream::pair().unwrap();
    /// let (sink, to) = UnixStream::pair().unwrap();
    /// let (from, to) = (engine.attach(from)?, engine.attach(to)?);
    /// source.write_all(b"hello").unwrap();
    /// drop(source);
    /// engine.copy(&from, &to, Callback::new(
    ///     |_, count| assert_eq!(count, 5),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// drop(to); // closed when the copy is over
    /// engine.run()?;
    /// assert_eq!(read_to_string(sink).unwrap(), "hello");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "splice")]
    #[doc(alias = "pipe")]
    pub fn copy(&self, from: &Stream, to: &Stream, cb: Callback<u64>) -> Cancel {
        self.copy_with(from, to, CopyOptions::new(), cb)
    }

    /// As [`copy`](Self::copy), with options: for how long nothing may happen, see [`CopyOptions`].
    /// The timeout of the callback bounds the copy as a whole.
    ///
    /// # Errors and cancellation
    ///
    /// As [`copy`](Self::copy); [`Error::TimedOut`](crate::Error::TimedOut) is also the cause when
    /// it was idle for too long.
    ///
    /// ```
    /// use facade_engine::{Callback, CopyOptions, Engine, Error, Result};
    /// use std::{io::Write, os::unix::net::UnixStream, time::Duration};
    ///
    /// let engine = Engine::new()?;
    /// let (mut source, from) = UnixStream::pair().unwrap();
    /// let (_sink, to) = UnixStream::pair().unwrap();
    /// let (from, to) = (engine.attach(from)?, engine.attach(to)?);
    /// source.write_all(b"hello").unwrap(); // and then nothing
    /// let options = CopyOptions::new().idle(Duration::from_millis(10));
    /// engine.copy_with(&from, &to, options, Callback::from_fn(|_, outcome: Result<u64>| {
    ///     let Err(Error::PartialCopy { copied: 5, cause, .. }) = outcome else { panic!() };
    ///     assert!(matches!(*cause, Error::TimedOut));
    /// }));
    /// engine.run()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn copy_with(
        &self,
        from: &Stream,
        to: &Stream,
        options: CopyOptions,
        mut cb: Callback<u64>,
    ) -> Cancel {
        from.observe(&mut cb, "copy");
        submit(from, to, false, options, cb, Told::OneWay)
    }

    /// Copies what comes on either stream to the other, up to the end of both: a proxy. Each end is
    /// handed on by [`shutdown_write`](Self::shutdown_write) behind the last byte, and the other way
    /// goes on: half-close in either order. A terminal or file, which has no direction to end, is
    /// left as it is. Succeeds with how many bytes went from `a` to `b`, and from `b` to `a`.
    ///
    /// All else is as with [`copy`](Self::copy), for each way. Both streams are closed afterwards if
    /// nobody has kept a clone.
    ///
    /// # Errors
    ///
    /// As [`copy`](Self::copy). What fails on one way ends both, and what has come on the other and
    /// was not copied is unread. [`Error::InvalidInput`](crate::Error::InvalidInput) also for one
    /// stream with itself.
    ///
    /// # Cancellation
    ///
    /// As [`copy`](Self::copy). An end that was handed on stays so.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::{Write, read_to_string}, net::Shutdown, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut client, a) = UnixStream::pair().unwrap();
    /// let (mut server, b) = UnixStream::pair().unwrap();
    /// let (a, b) = (engine.attach(a)?, engine.attach(b)?);
    /// client.write_all(b"question").unwrap();
    /// client.shutdown(Shutdown::Write).unwrap();
    /// server.write_all(b"an answer").unwrap();
    /// server.shutdown(Shutdown::Write).unwrap();
    /// engine.copy_both_ways(&a, &b, Callback::new(
    ///     |_, counts| assert_eq!(counts, (8, 9)),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// assert_eq!(read_to_string(server).unwrap(), "question");
    /// assert_eq!(read_to_string(client).unwrap(), "an answer");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "copy_bidirectional")]
    #[doc(alias = "proxy")]
    pub fn copy_both_ways(&self, a: &Stream, b: &Stream, cb: Callback<(u64, u64)>) -> Cancel {
        self.copy_both_ways_with(a, b, CopyOptions::new(), cb)
    }

    /// As [`copy_both_ways`](Self::copy_both_ways), with options: for how long nothing may happen on
    /// either way, see [`CopyOptions`].
    ///
    /// # Errors and cancellation
    ///
    /// As [`copy_both_ways`](Self::copy_both_ways) and [`copy_with`](Self::copy_with), where there is
    /// an example.
    pub fn copy_both_ways_with(
        &self,
        a: &Stream,
        b: &Stream,
        options: CopyOptions,
        mut cb: Callback<(u64, u64)>,
    ) -> Cancel {
        a.observe(&mut cb, "copy_both_ways");
        submit(a, b, true, options, cb, Told::BothWays)
    }

    /// Copies `len` bytes of a file from `offset` on to a stream, or up to the end of the file if
    /// that comes first: `u64::MAX` is all there is. Succeeds with how many they were, as
    /// [`copy`](Self::copy) does; the next piece is read while one goes out.
    ///
    /// # Errors
    ///
    /// As [`copy`](Self::copy), and what [`read_at`](Self::read_at) fails with.
    ///
    /// # Cancellation
    ///
    /// As [`copy`](Self::copy); what was not counted is in the file.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::{Write, read_to_string}, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let mut file = tempfile::tempfile().unwrap();
    /// file.write_all(b"hello world").unwrap();
    /// let file = engine.attach_file(file)?;
    /// let (sink, to) = UnixStream::pair().unwrap();
    /// let to = engine.attach(to)?;
    /// engine.copy_file(&file, 6, u64::MAX, &to, Callback::new(
    ///     |_, count| assert_eq!(count, 5),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// drop((file, to)); // closed when the copy is over
    /// engine.run()?;
    /// assert_eq!(read_to_string(sink).unwrap(), "world");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "sendfile")]
    pub fn copy_file(
        &self,
        file: &File,
        offset: u64,
        len: u64,
        to: &Stream,
        mut cb: Callback<u64>,
    ) -> Cancel {
        to.observe(&mut cb, "copy_file");
        let Callback { slot, timeout } = cb;
        let (file, to) = (file.clone(), to.clone());
        let handle = to.handle().clone();
        let is_of_one = file.handle().id() == to.engine();
        handle.submit(move |core| {
            let told = Told::OneWay(slot);
            if !is_of_one {
                return core.refuse_copy(told, of_two_engines());
            }
            let (id, to) = (core.id_of_file(&file), core.id_of(&to));
            let from = From::File { id, file, offset, len };
            core.copy(vec![(from, to)], &CopyOptions::new(), told, timeout)
        })
    }
}

/// Submits a copy to the engine of both streams.
fn submit<T: Send + 'static>(
    a: &Stream,
    b: &Stream,
    both_ways: bool,
    options: CopyOptions,
    cb: Callback<T>,
    told: fn(crate::handles::callback::Slot<T>) -> Told,
) -> Cancel {
    let Callback { slot, timeout } = cb;
    let (a, b) = (a.clone(), b.clone());
    let handle = a.handle().clone();
    handle.submit(move |core| {
        let told = told(slot);
        if let Err(error) = check(&a, &b, both_ways) {
            return core.refuse_copy(told, error);
        }
        let (a, b): (Id, Id) = (core.id_of(&a), core.id_of(&b));
        let mut ways = vec![(From::Stream(a), b)];
        if both_ways {
            ways.push((From::Stream(b), a));
        }
        core.copy(ways, &options, told, timeout)
    })
}

fn check(a: &Stream, b: &Stream, both_ways: bool) -> Result<()> {
    if a.engine() != b.engine() {
        return Err(of_two_engines());
    }
    if both_ways && a == b {
        return Err(Error::invalid(
            "a copy both ways between a stream and itself: copy is an echo",
        ));
    }
    Ok(())
}

fn of_two_engines() -> Error {
    Error::invalid("a copy is of one engine: detach takes a stream to the other's")
}
