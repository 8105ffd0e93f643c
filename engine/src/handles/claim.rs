//! [`Claim`]: a value that goes back to where it came from unless it is taken.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{
    handles::{current::give_back_to, listener::Listener, stream::Stream},
    pure::{
        datagram::Datagram,
        error::{Error, Result},
        table::Id,
    },
    system::sys::process::Process,
};

/// The outcome of an operation that is put back unless it is taken.
///
/// Dropped untaken, on any thread, it returns what the operation consumed (bytes as they came, line
/// end and all; a connection; a datagram; the rest of a cut write) to the front of where it was taken from:
/// before any later submission of that thread, and before reads that are queued but not yet
/// matched.
///
/// A limit: hold one claim on a stream's bytes at a time. With two of them held, a read can take
/// what one gave back together with what is behind the other; if that goes back, too, it does so in
/// one piece, and the other's bytes come behind it.
///
/// From [`Callback::claim`](crate::Callback::claim).
///
/// ```
/// use facade_engine::{Bytes, Callback, Claim, Engine, Result};
/// use std::{io::Write, os::unix::net::UnixStream};
///
/// let engine = Engine::new()?;
/// let (mut peer, ours) = UnixStream::pair().unwrap();
/// let stream = engine.attach(ours)?;
/// peer.write_all(b"hello\n").unwrap();
/// engine.read_line(&stream, Callback::claim(|_, outcome: Result<Claim<Bytes>>| {
///     // Only now does the line leave the stream.
///     assert_eq!(outcome.unwrap().take(), "hello");
/// }));
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[must_use = "a claim that is dropped undoes the operation"]
pub struct Claim<T>(
    /// None only once it was taken.
    Option<Consumed<T>>,
);

/// A value, and what it was made of.
struct Consumed<T> {
    value: T,
    origin: Origin,
    /// Makes the raw bytes of the value again, if they were not kept.
    to_raw: Option<fn(&T) -> Bytes>,
}

/// Where what was consumed goes back to.
pub(crate) enum Origin {
    /// Nothing was consumed.
    Nowhere,
    /// Bytes of a stream, which `to_raw` makes of the value again.
    Read(BytesOrigin),
    /// Bytes of a stream, which were kept as they came.
    Unread(Box<(BytesOrigin, Bytes)>),
    Untaken {
        listener: Listener,
        connection: Stream,
    },
    /// A process that was started: who does not take it leaves it to be killed.
    Started(Arc<Process>),
    /// A signal of the process.
    Signal {
        engine: u32,
        number: i32,
    },
    Unsent(Box<(Stream, PartialTail)>),
    Datagram(Box<DatagramOrigin>),
}

/// A datagram, and where it was taken. It keeps nothing alive, as bytes do not.
#[derive(Debug)]
pub(crate) struct DatagramOrigin {
    pub(crate) engine: u32,
    pub(crate) socket: Id,
    /// How many came before.
    pub(crate) number: u64,
    pub(crate) datagram: Datagram,
}

/// The rest of a cut write.
#[derive(Debug)]
pub(crate) struct PartialTail {
    /// The write's place in the order of submissions.
    pub(crate) number: u64,
    pub(crate) rest: Bytes,
    /// What later writes fail with again if a claim on the rest is not taken.
    pub(crate) error: Option<Box<Error>>,
}

/// Where bytes were taken. It keeps nothing alive: with its last clone a stream is gone, and so is
/// whoever could read the bytes again.
///
/// Packed, so that it leaves room for the tag of [`Origin`]: a claim waits in the memory of its
/// future, which every connection has.
#[derive(Debug, Clone, Copy)]
#[repr(Rust, packed(4))]
pub(crate) struct BytesOrigin {
    pub(crate) engine: u32,
    pub(crate) stream: Id,
    /// How many bytes of the stream came before.
    pub(crate) offset: u64,
}

impl<T> Claim<T> {
    pub(crate) const fn new(value: T, origin: Origin) -> Self {
        Self(Some(Consumed { value, origin, to_raw: None }))
    }

    /// A claim on bytes that `to_raw` makes of the value.
    pub(crate) const fn on_bytes(value: T, place: BytesOrigin, to_raw: fn(&T) -> Bytes) -> Self {
        Self(Some(Consumed { value, origin: Origin::Read(place), to_raw: Some(to_raw) }))
    }

    /// Yields the value, for good. See [`Claim`] for an example.
    #[inline]
    pub fn take(self) -> T {
        self.into_consumed().value
    }

    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Claim<U> {
        let (value, origin) = self.into_parts();
        let origin = Returning(Some(origin));
        let value = f(value);
        Claim::new(value, origin.keep())
    }

    /// What `f` makes of the value, or the error with everything given back.
    pub(super) fn and_then<U>(self, f: impl FnOnce(T) -> Result<U>) -> Result<Claim<U>> {
        let (value, origin) = self.into_parts();
        let origin = Returning(Some(origin));
        let value = f(value)?;
        Ok(Claim::new(value, origin.keep()))
    }

    /// Takes the claim apart, with nothing given back.
    pub(super) fn into_parts(self) -> (T, Origin) {
        self.into_consumed().into_parts()
    }

    #[inline]
    fn into_consumed(mut self) -> Consumed<T> {
        self.0.take().expect("a claim holds its value until it is taken")
    }
}

impl<T> Consumed<T> {
    pub(super) fn into_parts(self) -> (T, Origin) {
        let origin = match (self.origin, self.to_raw) {
            (Origin::Read(place), Some(to_raw)) => {
                Origin::Unread(Box::new((place, to_raw(&self.value))))
            }
            (origin, _) => origin,
        };
        (self.value, origin)
    }
}

impl<T> Drop for Claim<T> {
    fn drop(&mut self) {
        let Some(consumed) = self.0.take() else { return };
        let (value, origin) = consumed.into_parts();
        let origin = Returning(Some(origin));
        // The value first: it may hold the connection that goes back.
        drop(value);
        drop(origin);
    }
}

/// Gives back what was consumed when it is dropped, so that no panic of what is done to the value
/// loses it.
struct Returning(Option<Origin>);

impl Returning {
    fn keep(mut self) -> Origin {
        self.0.take().unwrap_or(Origin::Nowhere)
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        match self.0.take() {
            None | Some(Origin::Nowhere | Origin::Read(_)) => {}
            Some(Origin::Unread(unread)) => {
                let (place, raw) = *unread;
                give_back_to(place.engine, move |core| core.give_back(place, raw));
            }
            Some(Origin::Untaken { listener, connection }) => {
                let engine = listener.handle().id();
                give_back_to(engine, move |core| {
                    core.give_back_connection(&listener, connection);
                });
            }
            Some(Origin::Started(process)) => drop(process.kill()),
            Some(Origin::Signal { engine, number }) => {
                give_back_to(engine, move |core| core.signal_came(number));
            }
            Some(Origin::Unsent(unsent)) => {
                let (stream, cut) = *unsent;
                let engine = stream.handle().id();
                give_back_to(engine, move |core| core.give_back_unsent(&stream, cut));
            }
            Some(Origin::Datagram(origin)) => {
                give_back_to(origin.engine, move |core| core.give_back_datagram(*origin));
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Claim<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0.as_ref().map(|consumed| &consumed.value);
        f.debug_tuple("Claim").field(&value).finish()
    }
}
