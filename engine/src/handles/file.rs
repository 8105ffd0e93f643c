//! [`File`]: what is read and written by position.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::{
    handles::{handle::Handle, resource_handle::ResourceHandle},
    pure::table::Id,
    system::descriptor::Descriptor,
};

/// A regular file or block device that is read and written by position.
///
/// It has no cursor, and its operations have no order among them: any number of them are under way
/// at once, from any number of clones. On io_uring the ring does them; the readiness driver reads
/// what is in memory at once and leaves the rest to a few threads.
///
/// What shall be done in order, line by line, is better [attached](Handle::attach) as a
/// [`Stream`](crate::Stream), which has a cursor.
///
/// Clones are the same file, and equal. It is closed when the last clone is gone *and* nothing is
/// pending on it. Files come from [`attach_file`](Handle::attach_file); what is done with them are
/// [`read_at`](Handle::read_at), [`write_at`](Handle::write_at), [`sync`](Handle::sync) and
/// [`close`](Handle::close).
///
/// ```
/// use facade_engine::{Callback, Engine};
///
/// let engine = Engine::new()?;
/// let file = tempfile::tempfile().unwrap();
/// let file = engine.attach_file(file)?;
/// let written = file.clone();
/// engine.write_at(&file, 4, "world", Callback::new(
///     move |engine, count| {
///         assert_eq!(count, 5);
///         // What was never written reads as zeros; less comes only at the end of the file.
///         engine.read_at(&written, 2, 100, Callback::new(
///             |_, bytes| assert_eq!(bytes, "\0\0world"),
///             |_, error| panic!("{error}"),
///         ));
///     },
///     |_, error| panic!("{error}"),
/// ));
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Clone)]
pub struct File {
    inner: Arc<FileInner>,
}

struct FileInner {
    resource: ResourceHandle,
    /// Its writes go to its end, whatever the offset.
    appends: bool,
}

impl File {
    pub(crate) fn new(handle: Handle, descriptor: Arc<Descriptor>, appends: bool) -> Self {
        let resource = ResourceHandle::new(handle, descriptor, None);
        Self { inner: Arc::new(FileInner { resource, appends }) }
    }

    /// The handle of the engine that it belongs to.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    ///
    /// let engine = Engine::new()?;
    /// let file = engine.attach_file(tempfile::tempfile().unwrap())?;
    /// file.handle().sync(&file, Callback::ignore());
    /// # engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn handle(&self) -> &Handle {
        self.inner.resource.handle()
    }

    pub(crate) fn id(&self) -> Option<Id> {
        self.inner.resource.id()
    }

    pub(crate) fn set_id(&self, id: Id) {
        self.inner.resource.set_id(id);
    }

    pub(crate) fn appends(&self) -> bool {
        self.inner.appends
    }

    pub(crate) fn descriptor(&self) -> &Arc<Descriptor> {
        self.inner.resource.descriptor()
    }
}

/// Clones are equal: two of these are if they are the same file, whether or not the engine has come
/// to it yet.
impl PartialEq for File {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for File {}

impl Hash for File {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.inner).hash(state);
    }
}

/// On its engine's thread it also shows what is pending on it.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.resource.debug("File", f)
    }
}
