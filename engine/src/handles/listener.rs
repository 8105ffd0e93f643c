//! [`Listener`]: what connections are accepted from.

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::SocketAddr,
    sync::{Arc, Weak},
};

use crate::{
    handles::{handle::Handle, resource_handle::ResourceHandle, stream::inet},
    pure::{address::Address, error::Result, table::Id},
    system::{
        descriptor::{Descriptor, Tenure},
        sys::owned::BorrowedDescriptor,
    },
};

/// A TCP or Unix socket that listens.
///
/// Clones are the same listener, and equal. It is closed when the last clone is gone and no accept
/// is pending, and with it the connections that nobody has taken.
///
/// Listeners come from [`listen`](Handle::listen), [`listen_with`](Handle::listen_with),
/// [`listen_unix`](Handle::listen_unix) and [`attach_listener`](Handle::attach_listener).
///
/// ```
/// use facade_engine::{Callback, Engine, Handle, Listener, Stream};
///
/// fn serve(engine: &Handle, listener: Listener) {
///     let next = listener.clone();
///     engine.accept(&listener, Callback::new(
///         move |engine, stream: Stream| {
///             engine.write_line(&stream, "hello", Callback::ignore());
///             serve(engine, next);
///         },
///         |_, error| println!("{error}"),
///     ));
/// }
///
/// let engine = Engine::new()?;
/// let listener = engine.listen("127.0.0.1:0")?;
/// serve(&engine, listener.clone());
/// engine.close(&listener, Callback::ignore());
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Clone)]
pub struct Listener {
    inner: Arc<ListenerInner>,
}

pub(crate) struct ListenerInner {
    resource: ResourceHandle,
    tcp: bool,
    /// Whether others may accept from it, too, when it was made.
    tenure: Tenure,
}

impl Listener {
    pub(crate) fn new(
        handle: Handle,
        descriptor: Arc<Descriptor>,
        tcp: bool,
        tenure: Tenure,
    ) -> Self {
        if tenure == Tenure::Shared {
            descriptor.lend();
        }
        let resource = ResourceHandle::new(handle, descriptor, None);
        Self { inner: Arc::new(ListenerInner { resource, tcp, tenure }) }
    }

    pub(crate) fn tenure(&self) -> Tenure {
        self.inner.tenure
    }

    /// The address that it listens at: with the port that the system chose, if it was to choose.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a Unix socket, see
    /// [`local_name`](Self::local_name).
    ///
    /// ```
    /// let engine = facade_engine::Engine::new()?;
    /// let listener = engine.listen("127.0.0.1:0")?;
    /// println!("listening at {}", listener.local_addr()?);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "getsockname")]
    pub fn local_addr(&self) -> Result<SocketAddr> {
        inet(self.local_name()?)
    }

    /// What it listens at, of whatever family: a Unix socket by its path. As getsockname(2) says
    /// it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) if it was closed.
    pub fn local_name(&self) -> Result<Address> {
        self.descriptor().local_address()
    }

    /// The handle of the engine that the listener belongs to.
    pub fn handle(&self) -> &Handle {
        self.inner.resource.handle()
    }

    /// Says whether nobody else holds the listening socket.
    ///
    /// As for a stream, see [`Stream::set_exclusive`](crate::Stream::set_exclusive): connections
    /// are accepted ahead only from one that nobody else can accept from.
    pub fn set_exclusive(&self, exclusive: bool) {
        if exclusive {
            self.descriptor().unlend();
        } else {
            self.descriptor().lend();
        }
        let listener = self.clone();
        // An engine that is gone has nothing that it could use in one way or another.
        drop(self.handle().apply(move |core| {
            let id = core.id_of_listener(&listener);
            core.set_listener_exclusive(id, exclusive);
        }));
    }

    pub(crate) fn id(&self) -> Option<Id> {
        self.inner.resource.id()
    }

    pub(crate) fn set_id(&self, id: Id) {
        self.inner.resource.set_id(id);
    }

    pub(crate) fn is_tcp(&self) -> bool {
        self.inner.tcp
    }

    pub(crate) fn descriptor(&self) -> &Arc<Descriptor> {
        self.inner.resource.descriptor()
    }

    pub(crate) fn downgrade(&self) -> Weak<ListenerInner> {
        Arc::downgrade(&self.inner)
    }
}

impl From<Arc<ListenerInner>> for Listener {
    fn from(inner: Arc<ListenerInner>) -> Self {
        Self { inner }
    }
}

impl Listener {
    /// Lends the descriptor to the program, which may do with it what it likes from now on.
    pub(crate) fn lend(&self) -> BorrowedDescriptor<'_> {
        if self.descriptor().lend() {
            self.set_exclusive(false);
        }
        self.descriptor().lend_out()
    }
}

/// Clones are equal: two of these are if they are the same listener, whether or not the engine has
/// come to it yet.
impl PartialEq for Listener {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Listener {}

impl Hash for Listener {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.inner).hash(state);
    }
}

/// On its engine's thread it also shows what is pending on it.
impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.resource.debug("Listener", f)
    }
}
