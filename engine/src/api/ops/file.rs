//! Files by position.

use bytes::Bytes;

use crate::{
    core::{Core, file::Task},
    handles::{callback::Callback, cancel::Cancel, file::File, handle::Handle, observer::Subject},
    pure::{error::Result, panics::Contained, table::Id},
    system::{
        descriptor::Descriptor,
        sys::{
            examine::{examine_file, with_own_cursor},
            owned::{self, OwnedDescriptor},
        },
    },
};

impl Handle {
    /// Makes a file of one that std or another crate opened, to be read and written by position.
    ///
    /// Its cursor is neither looked at nor moved.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) for anything without positions: a
    /// socket, pipe, terminal, directory; [`Error::EngineClosed`](crate::Error::EngineClosed) if
    /// the engine is gone. The descriptor is closed then.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    ///
    /// let engine = Engine::new()?;
    /// let file = engine.attach_file(std::fs::File::open("/etc/passwd").unwrap())?;
    /// engine.read_at(&file, 0, 4, Callback::new(
    ///     |_, bytes| assert_eq!(bytes, "root"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn attach_file(&self, file: impl Into<OwnedDescriptor>) -> Result<File> {
        let fd = file.into();
        self.check_open()?;
        let appends = examine_file(owned::borrow(&fd))?;
        let fd = with_own_cursor(fd);
        let file = File::new(self.clone(), Descriptor::new(fd), appends);
        let adopted = file.clone();
        self.apply(move |core| core.adopt_file(&adopted))?;
        Ok(file)
    }

    /// Reads `size` bytes at `offset`, or less if the file ends before: nothing at its end or
    /// behind it, and nothing of size 0.
    ///
    /// Reads and writes of a file are in no order: what is written while a read is under way may be
    /// in it or not. See pread(2).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) if the range lies beyond what a file can
    /// hold; [`Error::TooLong`](crate::Error::TooLong) if it is more than
    /// [`Limits::all`](crate::Limits::all); [`Error::Overloaded`](crate::Error::Overloaded) behind
    /// [`Limits::jobs`](crate::Limits::jobs) operations on files;
    /// [`Error::Io`](crate::Error::Io) if the system refuses.
    ///
    /// # Cancellation
    ///
    /// Reported at once; what the system still brings is dropped. The bytes are in the file as they
    /// were.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    ///
    /// let engine = Engine::new()?;
    /// let file = tempfile::tempfile().unwrap();
    /// # std::io::Write::write_all(&mut &file, b"hello world").unwrap();
    /// let file = engine.attach_file(file)?;
    /// for (offset, word) in [(0, "hello"), (6, "world")] {
    ///     engine.read_at(&file, offset, 5, Callback::new(
    ///         move |_, bytes| assert_eq!(bytes, word),
    ///         |_, error| panic!("{error}"),
    ///     ));
    /// }
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "pread")]
    pub fn read_at(&self, f: &File, offset: u64, size: usize, mut cb: Callback<Bytes>) -> Cancel {
        f.observe(&mut cb, "read_at");
        let Callback { slot, timeout } = cb;
        submit_on_file(f, move |core, file| {
            core.begin_on_file(file, Task::read(slot, offset, size), timeout)
        })
    }

    /// Writes all of `buf` at `offset`. Succeeds with its length when the system has it, an empty
    /// one at once, with 0; what survives a loss of power is [`sync`](Self::sync)'s business.
    ///
    /// Writes of a file are in no order, so of overlapping ones either may stand in the end. See
    /// pwrite(2).
    ///
    /// # Errors
    ///
    /// [`Error::PartialWrite`](crate::Error::PartialWrite) if the system took a part before it
    /// failed or was stopped, with the exact count, otherwise the plain error;
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) if the range lies beyond what a file can
    /// hold; [`Error::Unsupported`](crate::Error::Unsupported) if the file was opened for
    /// appending, which goes to its end whatever the offset;
    /// [`Error::Overloaded`](crate::Error::Overloaded) as for [`read_at`](Self::read_at).
    ///
    /// # Cancellation
    ///
    /// A write that has not begun is not done. One that has is reported when the system has said
    /// how much it took: all of it is a success.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    ///
    /// let engine = Engine::new()?;
    /// let file = tempfile::tempfile().unwrap();
    /// let mut spy = file.try_clone().unwrap();
    /// let file = engine.attach_file(file)?;
    /// for (offset, word) in [(6, "world"), (0, "hello ")] {
    ///     engine.write_at(&file, offset, word, Callback::new(
    ///         move |_, count| assert_eq!(count, word.len()),
    ///         |_, error| panic!("{error}"),
    ///     ));
    /// }
    /// engine.run()?;
    /// # assert_eq!(std::io::read_to_string(&mut spy).unwrap(), "hello world");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "pwrite")]
    pub fn write_at(
        &self,
        f: &File,
        offset: u64,
        buf: impl Into<Bytes>,
        mut cb: Callback<usize>,
    ) -> Cancel {
        f.observe(&mut cb, "write_at");
        let Callback { slot, timeout } = cb;
        // An engine that is gone drops it together with the callback.
        let buf = Contained::new(buf.into());
        submit_on_file(f, move |core, file| {
            core.begin_on_file(file, Task::write(slot, offset, buf.into_inner()), timeout)
        })
    }

    /// Succeeds when everything whose write had succeeded before this was submitted is on the
    /// medium. See fsync(2); on macOS F_FULLFSYNC of fcntl(2).
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io): then some of it may be lost for ever, and another call may
    /// well succeed.
    ///
    /// # Cancellation
    ///
    /// Reported at once; the system goes on.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    ///
    /// let engine = Engine::new()?;
    /// let file = engine.attach_file(tempfile::tempfile().unwrap())?;
    /// let safe = file.clone();
    /// engine.write_at(&file, 0, "precious", Callback::new(
    ///     move |engine, _| {
    ///         engine.sync(&safe, Callback::new(|_, ()| println!("safe"), |_, e| panic!("{e}")));
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "fsync")]
    pub fn sync(&self, f: &File, mut cb: Callback<()>) -> Cancel {
        f.observe(&mut cb, "sync");
        let Callback { slot, timeout } = cb;
        submit_on_file(f, move |core, file| core.begin_on_file(file, Task::Sync { slot }, timeout))
    }
}

/// Submits an operation to the engine that the file belongs to.
fn submit_on_file(
    file: &File,
    begin: impl FnOnce(&mut Core, Id) -> Option<Id> + Send + 'static,
) -> Cancel {
    let file = file.clone();
    let handle = file.handle().clone();
    handle.submit(move |core| {
        let id = core.id_of_file(&file);
        begin(core, id)
    })
}
