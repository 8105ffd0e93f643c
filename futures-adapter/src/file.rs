//! [`File`]: what is read and written by position, as futures.

use facade_engine::{Bytes, File as EngineFile};

use crate::{
    operation::{OpFuture, Submit, op},
    stream::Stream,
};

/// A regular file or block device that is read and written by position.
///
/// Each method is the engine's operation of the same name, see
/// [`Handle`](facade_engine::Handle). There is no cursor, so methods borrow the file shared: any
/// number of futures are under way at once, of this file or its clones.
///
/// ```
/// use facade_futures::{Result, Runtime};
/// use futures::future::try_join;
///
/// let runtime = Runtime::new()?;
/// let io = runtime.io();
/// let file = tempfile::tempfile().unwrap();
/// let file = io.attach_file(file)?;
/// runtime.block_on(async {
///     try_join(file.write_at(6, "world"), file.write_at(0, "hello ")).await?;
///     file.sync().await?;
///     let (hello, world) = try_join(file.read_at(0, 5), file.read_at(6, 100)).await?;
///     assert_eq!((&*hello, &*world), (&b"hello"[..], &b"world"[..]));
///     Result::Ok(())
/// })?;
/// # Ok::<(), facade_futures::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct File {
    engine: EngineFile,
}

impl File {
    /// The engine's file, for raw callbacks.
    ///
    /// ```
    /// use facade_futures::Runtime;
    /// use facade_futures::Callback;
    ///
    /// let runtime = Runtime::new()?;
    /// let file = runtime.io().attach_file(tempfile::tempfile().unwrap())?;
    /// runtime.io().handle().sync(file.engine_file(), Callback::ignore());
    /// # runtime.engine().run()?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub const fn engine_file(&self) -> &EngineFile {
        &self.engine
    }

    /// See [`Handle::read_at`](facade_engine::Handle::read_at).
    pub fn read_at(&self, offset: u64, size: usize) -> OpFuture<Bytes, impl Submit<Bytes>> {
        op(move |callback| self.engine.handle().read_at(&self.engine, offset, size, callback))
    }

    /// See [`Handle::write_at`](facade_engine::Handle::write_at).
    pub fn write_at(
        &self,
        offset: u64,
        buf: impl Into<Bytes>,
    ) -> OpFuture<usize, impl Submit<usize>> {
        op(move |callback| self.engine.handle().write_at(&self.engine, offset, buf, callback))
    }

    /// See [`Handle::copy_file`](facade_engine::Handle::copy_file). Yields how many bytes went to
    /// `to`.
    pub fn copy_to(
        &self,
        offset: u64,
        len: u64,
        to: &mut Stream,
    ) -> OpFuture<u64, impl Submit<u64>> {
        let to = to.engine_to_write();
        op(move |callback| to.handle().copy_file(&self.engine, offset, len, to, callback))
    }

    /// See [`Handle::sync`](facade_engine::Handle::sync).
    pub fn sync(&self) -> OpFuture<(), impl Submit<()>> {
        op(move |callback| self.engine.handle().sync(&self.engine, callback))
    }

    /// See [`Handle::close`](facade_engine::Handle::close).
    pub fn close(&self) -> OpFuture<(), impl Submit<()>> {
        op(move |callback| self.engine.handle().close(&self.engine, callback))
    }
}

impl From<EngineFile> for File {
    fn from(engine: EngineFile) -> Self {
        Self { engine }
    }
}
