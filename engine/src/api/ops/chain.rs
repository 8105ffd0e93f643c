//! [`Chain`]: operations in sequence, submitted as one.

use std::{fmt, marker::PhantomData, time::Duration};

use bytes::Bytes;

use crate::{
    core::{
        Core,
        chain::{Input, Stage, StageOf},
        stream::{
            read::{Form, Plain, other},
            user_read::user,
            write::Data,
        },
    },
    handles::{
        callback::{Callback, Slot},
        cancel::Cancel,
        delivery::boxed_with,
        handle::Handle,
        listener::Listener,
        observer::Subject,
        queue::ready::Ready,
        stream::Stream,
    },
    pure::{
        address::{AddrInfo, Hints, IntoAddress, Query, Service},
        error::{Error, Result},
        limits::Bound,
        matcher::{
            All, Any, Chunk, Delimiter, Exact, ExpectLine, Line, LineGlobSearch, Matcher,
            RegexSearch,
        },
        options::ConnectOptions,
        panics::{Contained, Each},
        pattern::{AnyMatch, IntoPatterns, LineGlob, LineMatch, LinePattern, Regex, RegexMatch},
        table::Id,
    },
};

/// Operations in sequence: each begins when the one before has succeeded, and is queued before that
/// one's callback runs. From [`Handle::chain`].
///
/// If a stage fails, its callback gets the error and every later one
/// [`Error::Stage`](crate::Error::Stage). The timeout of a stage's callback runs from the success
/// of the stage before it; [`timeout`](Self::timeout), the chain's own, covers all of them. Past
/// its `connect` or `accept` a chain owns the stream: if nobody kept a clone, it is closed when the
/// chain ends.
///
/// Stages that work on a stream, without one before them, fail with
/// [`InvalidInput`](crate::Error::InvalidInput). A chain goes to the engine of its stream or
/// listener, whichever handle it was begun at, and is of that engine alone.
///
/// ```
/// use facade_engine::{Callback, Engine};
/// use std::time::Duration;
///
/// let engine = Engine::new()?;
/// let listener = engine.listen("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// engine.chain()
///     .accept(&listener, Callback::ignore())
///     .write_line("hello", Callback::ignore())
///     .submit();
/// engine.chain()
///     .connect(address, Callback::ignore())
///     .read_line(Callback::new(|_, line| assert_eq!(line, "hello"), |_, error| panic!("{error}")))
///     .timeout(Duration::from_secs(10))
///     .submit();
/// engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
///
/// A callback that is to go on with the stream gets it together with its value behind
/// [`with_stream`](Self::with_stream); what `M` says is which of the two stages come next.
#[must_use = "a chain does nothing until it is submitted"]
pub struct Chain<M = ValueOnly> {
    handle: Handle,
    stages: Each<Box<dyn Stage>>,
    stream: Option<Stream>,
    timeout: Option<Duration>,
    mode: PhantomData<fn() -> M>,
}

/// What the callbacks of a [`Chain`]'s stages get: [`ValueOnly`] or [`WithStream`].
///
/// For functions that take a chain of either kind; nobody else needs it by name.
///
/// ```
/// use facade_engine::{Callback, Cancel, Chain, chain::Mode};
/// use std::time::Duration;
///
/// fn submit_in_time<M: Mode>(chain: Chain<M>) -> Cancel {
///     chain.timeout(Duration::from_secs(10)).submit()
/// }
/// let engine = facade_engine::Engine::new()?;
/// let (_peer, ours) = std::os::unix::net::UnixStream::pair().unwrap();
/// # submit_in_time(engine.chain().on(&engine.attach(ours)?).write("x", Callback::ignore()));
/// # engine.run()?;
/// # Ok::<(), facade_engine::Error>(())
/// ```
pub trait Mode: sealed::Sealed + 'static {
    /// What a callback gets whose operation yields a `T`: that, or the stream and that.
    type Value<T: Send + 'static>: Send + 'static;

    /// The callback of the operation, which is on this stream.
    #[doc(hidden)]
    fn on<T: Send + 'static>(cb: Callback<Self::Value<T>>, stream: &Stream) -> Callback<T>;
}

/// Callbacks get what their operation yields.
#[derive(Debug, Clone, Copy)]
pub enum ValueOnly {}

/// Callbacks get the chain's stream and what their operation yields, see [`Chain::with_stream`].
#[derive(Debug, Clone, Copy)]
pub enum WithStream {}

impl Mode for ValueOnly {
    type Value<T: Send + 'static> = T;

    fn on<T: Send + 'static>(cb: Callback<T>, _: &Stream) -> Callback<T> {
        cb
    }
}

impl Mode for WithStream {
    type Value<T: Send + 'static> = (Stream, T);

    fn on<T: Send + 'static>(cb: Callback<(Stream, T)>, stream: &Stream) -> Callback<T> {
        let stream = stream.clone();
        cb.map(move |value| (stream, value))
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else is to implement it")]
    pub trait Sealed {}
    impl Sealed for super::ValueOnly {}
    impl Sealed for super::WithStream {}
}

impl Handle {
    /// Begins to describe a chain.
    ///
    /// Nothing happens before [`Chain::submit`].
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"250 fine\r\n").unwrap();
    /// let answered = Callback::new(
    ///     |_, line| assert_eq!(line, "250 fine"),
    ///     |_, error| panic!("{error}"),
    /// );
    /// engine.chain()
    ///     .on(&stream)
    ///     .write_line("HELO me", Callback::ignore())
    ///     .read_line(answered)
    ///     .submit();
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn chain(&self) -> Chain {
        let (handle, mode) = (self.clone(), PhantomData);
        Chain { handle, stages: Each::from_iter([]), stream: None, timeout: None, mode }
    }
}

impl Chain {
    /// Has the callbacks of the stages from here on get the chain's stream together with their
    /// value: a [`read_line`](Self::read_line) then takes a `Callback<(Stream, Bytes)>`.
    ///
    /// For whoever goes on where the chain ends, and would have to keep the stream that the
    /// callback of `connect` or `accept` got.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine, Stream};
    ///
    /// let engine = Engine::new()?;
    /// let listener = engine.listen("127.0.0.1:0")?;
    /// engine.chain()
    ///     .accept(&listener, Callback::ignore())
    ///     .with_stream()
    ///     .read_line(Callback::new(
    ///         |engine, (stream, line): (Stream, Bytes)| {
    ///             engine.write_line(&stream, line, Callback::ignore());
    ///         },
    ///         |_, error| panic!("{error}"),
    ///     ))
    ///     .submit();
    /// engine.chain()
    ///     .connect(listener.local_addr()?, Callback::ignore())
    ///     .write_line("hello", Callback::ignore())
    ///     .expect_line("hello", Callback::new(|_, _| (), |_, error| panic!("{error}")))
    ///     .submit();
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn with_stream(self) -> Chain<WithStream> {
        let Self { handle, stages, stream, timeout, .. } = self;
        Chain { handle, stages, stream, timeout, mode: PhantomData }
    }
}

impl<M: Mode> Chain<M> {
    /// Works on this stream, and so on the engine that it belongs to.
    pub fn on(mut self, s: &Stream) -> Self {
        self.handle = s.handle().clone();
        self.stream = Some(s.clone());
        self
    }

    /// Bounds the chain as a whole, from its submission, beside the timeouts of its callbacks, each
    /// of which bounds its own stage.
    ///
    /// The stage under way when it expires gets [`TimedOut`](crate::Error::TimedOut), later ones
    /// [`Stage`](crate::Error::Stage).
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Looks up a host and a service, see [`Handle::getaddrinfo`]; a
    /// [`connect_resolved`](Self::connect_resolved) may follow.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new()?;
    /// let listener = engine.listen("127.0.0.1:0")?;
    /// let port = listener.local_addr()?.port();
    /// engine.chain()
    ///     .resolve("127.0.0.1", port, Callback::ignore())
    ///     .connect_resolved(Callback::new(|_, _stream| (), |_, error| panic!("{error}")))
    ///     .write_line("hello", Callback::ignore())
    ///     .timeout(Duration::from_secs(10))
    ///     .submit();
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn resolve(
        self,
        host: impl AsRef<str>,
        service: impl Into<Service>,
        cb: Callback<Vec<AddrInfo>>,
    ) -> Self {
        let query = Query::new(host.as_ref(), service.into(), Hints::default());
        self.stage("getaddrinfo", cb, move |core, input, cb| {
            core.begin_lookup(query, cb, input.chain)
        })
    }

    /// Connects to the first address of the lookup before it that answers, by RFC 8305.
    ///
    /// See [`resolve`](Self::resolve) for an example.
    pub fn connect_resolved(self, cb: Callback<Stream>) -> Self {
        self.connect_resolved_with(ConnectOptions::new(), cb)
    }

    /// The same with options, see [`Handle::getaddrinfo_then_connect_with`].
    pub fn connect_resolved_with(self, options: ConnectOptions, cb: Callback<Stream>) -> Self {
        self.stage("connect", cb, move |core, input, cb| {
            core.begin_connect_any(input.addresses, options, cb, input.chain)
        })
    }

    /// Connects, see [`Handle::connect`].
    pub fn connect(self, addr: impl IntoAddress, cb: Callback<Stream>) -> Self {
        self.connect_with(addr, ConnectOptions::new(), cb)
    }

    /// Connects with options, see [`Handle::connect_with`].
    pub fn connect_with(
        self,
        addr: impl IntoAddress,
        options: ConnectOptions,
        cb: Callback<Stream>,
    ) -> Self {
        let address = addr.into_address();
        self.stage("connect", cb, move |core, input, cb| {
            core.begin_connect(address, options, cb, input.chain)
        })
    }

    /// Accepts, see [`Handle::accept`]; the chain works on the listener's engine.
    pub fn accept(mut self, l: &Listener, cb: Callback<Stream>) -> Self {
        self.handle = l.handle().clone();
        let listener = l.clone();
        self.stage("accept", cb, move |core, input, cb| {
            if listener.handle().id() != core.engine {
                core.fail(input.chain, cb.slot, of_another_engine());
                return None;
            }
            core.begin_accept(&listener, cb, input.chain)
        })
    }

    /// See [`Handle::read_chunk`].
    pub fn read_chunk(self, size: usize, cb: Callback<M::Value<Bytes>>) -> Self {
        self.read("read_chunk", Chunk::new(size), Bound::None, cb, |matcher, slot| {
            Form::Bytes(Plain::Chunk(matcher), slot)
        })
    }

    /// See [`Handle::read_exact`].
    pub fn read_exact(self, size: usize, cb: Callback<M::Value<Bytes>>) -> Self {
        self.read("read_exact", Ok(Exact::new(size)), Bound::All, cb, |matcher, slot| {
            Form::Bytes(Plain::Exact(matcher), slot)
        })
    }

    /// See [`Handle::read_until`].
    pub fn read_until(self, delimiter: impl AsRef<[u8]>, cb: Callback<M::Value<Bytes>>) -> Self {
        self.read("read_until", Delimiter::new(delimiter), Bound::Line, cb, Form::until)
    }

    /// See [`Handle::read_line`].
    pub fn read_line(self, cb: Callback<M::Value<Bytes>>) -> Self {
        self.read("read_line", Ok(Line::new()), Bound::Line, cb, |matcher, slot| {
            Form::Bytes(Plain::Line(matcher), slot)
        })
    }

    /// See [`Handle::read_until_lineglob`].
    pub fn read_until_lineglob(self, glob: LineGlob, cb: Callback<M::Value<LineMatch>>) -> Self {
        self.read("read_until_lineglob", Ok(LineGlobSearch::new(glob)), Bound::Line, cb, other)
    }

    /// See [`Handle::read_until_regex`].
    pub fn read_until_regex(self, regex: Regex, cb: Callback<M::Value<RegexMatch>>) -> Self {
        self.read("read_until_regex", Ok(RegexSearch::new(regex)), Bound::Line, cb, other)
    }

    /// See [`Handle::read_until_any`].
    pub fn read_until_any(
        self,
        patterns: impl IntoPatterns,
        cb: Callback<M::Value<AnyMatch>>,
    ) -> Self {
        self.read("read_until_any", Any::new(patterns), Bound::Line, cb, other)
    }

    /// See [`Handle::read_all`].
    pub fn read_all(self, cb: Callback<M::Value<Bytes>>) -> Self {
        self.read("read_all", Ok(All::new()), Bound::All, cb, other)
    }

    /// See [`Handle::read_with`].
    pub fn read_with<R: Matcher>(self, matcher: R, cb: Callback<M::Value<R::Output>>) -> Self {
        self.read("read_with", Ok(matcher), Bound::Line, cb, user)
    }

    /// See [`Handle::expect_line`].
    pub fn expect_line(self, line: impl Into<LinePattern>, cb: Callback<M::Value<Bytes>>) -> Self {
        self.read("expect_line", Ok(ExpectLine::new(line)), Bound::Line, cb, other)
    }

    /// The second stage of [`Handle::accept_then_expect_multiline_regex`]: reads through a match,
    /// and yields it with the chain's stream, as [`read_until_regex`](Self::read_until_regex) does
    /// behind [`with_stream`](Self::with_stream). Its callback stands for the stage before it as
    /// well, and gets that one's failure as its own and not as [`Stage`](crate::Error::Stage).
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Regex, RegexMatch, Stream};
    /// use std::{io::Write, net::TcpStream, time::Duration};
    ///
    /// let engine = Engine::new()?;
    /// let listener = engine.listen("127.0.0.1:0")?;
    /// let mut client = TcpStream::connect(listener.local_addr()?).unwrap();
    /// client.write_all(b"one\ntwo\n\n").unwrap();
    /// engine.chain()
    ///     .accept(&listener, Callback::ignore())
    ///     .expect_multiline_regex(Regex::new("(?s).*\n\n")?, Callback::new(
    ///         |_, (_stream, found): (Stream, RegexMatch)| assert_eq!(found.bytes, "one\ntwo\n\n"),
    ///         |_, error| panic!("{error}"),
    ///     ))
    ///     .timeout(Duration::from_secs(10)) // for the connection and what it sends
    ///     .submit();
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn expect_multiline_regex(
        mut self,
        regex: Regex,
        mut cb: Callback<(Stream, RegexMatch)>,
    ) -> Self {
        self.observe(&mut cb, "expect_multiline_regex");
        self.stages.push(Box::new(RegexWithStream { regex, callback: cb }));
        self
    }

    /// See [`Handle::write`].
    pub fn write(self, buf: impl Into<Bytes>, cb: Callback<M::Value<usize>>) -> Self {
        self.write_data("write", Data::One(buf.into()), cb)
    }

    /// See [`Handle::write_vectored`].
    pub fn write_vectored(
        self,
        bufs: impl IntoIterator<Item = impl Into<Bytes>>,
        cb: Callback<M::Value<usize>>,
    ) -> Self {
        self.write_data(
            "write_vectored",
            Data::Many(bufs.into_iter().map(Into::into).collect()),
            cb,
        )
    }

    /// See [`Handle::write_line`].
    pub fn write_line(self, line: impl Into<Bytes>, cb: Callback<M::Value<usize>>) -> Self {
        self.write_data("write_line", Data::Line(line.into()), cb)
    }

    /// See [`Handle::flush`].
    pub fn flush(self, cb: Callback<M::Value<()>>) -> Self {
        self.on_stream("flush", cb, |core, id, chain, Callback { slot, timeout }| {
            core.flush(id, slot, timeout, chain)
        })
    }

    /// See [`Handle::shutdown_write`].
    pub fn shutdown_write(self, cb: Callback<M::Value<()>>) -> Self {
        self.on_stream("shutdown_write", cb, |core, id, chain, Callback { slot, timeout }| {
            core.shutdown_write(id, slot, timeout, chain)
        })
    }

    /// Submits the chain. The one [`Cancel`] ends the stage under way; between two stages, the
    /// next.
    ///
    /// # Cancellation
    ///
    /// What the ended stage guarantees is that of its operation. Later stages never begin, and get
    /// [`Stage`](crate::Error::Stage). Between two stages the next one gets
    /// [`Cancelled`](crate::Error::Cancelled) without having begun.
    pub fn submit(self) -> Cancel {
        let Self { handle, stages, stream, timeout, .. } = self;
        handle.submit(move |core| core.begin_chain(stages.into_vec().into(), stream, timeout))
    }

    fn read<A: Send + 'static, T: Send + 'static>(
        self,
        operation: &'static str,
        argument: Result<A>,
        bound: Bound,
        cb: Callback<M::Value<T>>,
        form: fn(A, Slot<T>) -> Form,
    ) -> Self {
        self.on_stream(operation, cb, move |core, id, chain, cb| {
            core.begin_read(id, argument, bound, cb, form, chain)
        })
    }

    fn write_data(
        self,
        operation: &'static str,
        data: Data,
        cb: Callback<M::Value<usize>>,
    ) -> Self {
        self.on_stream(operation, cb, move |core, id, chain, Callback { slot, timeout }| {
            core.write(id, data, slot, timeout, chain)
        })
    }

    /// Tells whoever observes the engine of a stage, which begins for them with its chain.
    fn observe<T: Send + 'static>(&self, callback: &mut Callback<T>, operation: &'static str) {
        let on = || self.stream.as_ref().map_or_else(String::new, Subject::name);
        callback.observed(&self.handle, operation, on);
    }

    /// Adds a stage that works on the chain's stream.
    fn on_stream<T: Send + 'static>(
        self,
        operation: &'static str,
        cb: Callback<M::Value<T>>,
        begin: impl FnOnce(&mut Core, Id, Id, Callback<T>) -> Option<Id> + Send + 'static,
    ) -> Self {
        self.stage(operation, cb, move |core, input, cb| match stream_of(core, &input) {
            Ok((id, stream)) => begin(core, id, input.chain, M::on(cb, stream)),
            Err(error) => {
                // What the user gave for it goes with the callback, where nothing is borrowed.
                let delivery = cb.slot.deliver(Err(error.clone()));
                let ready = Ready::Boxed(boxed_with(delivery, begin));
                core.tell(input.chain, || Err(error), ready);
                None
            }
        })
    }

    fn stage<T: Send + 'static>(
        mut self,
        operation: &'static str,
        mut callback: Callback<T>,
        begin: impl FnOnce(&mut Core, Input<'_>, Callback<T>) -> Option<Id> + Send + 'static,
    ) -> Self {
        self.observe(&mut callback, operation);
        self.stages.push(Box::new(StageOf { callback, begin: Contained::new(begin) }));
        self
    }
}

impl<M> fmt::Debug for Chain<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("stages", &self.stages.as_slice().len())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The stream that a stage works on. Of another engine it would be another stream's number here.
fn stream_of<'a>(core: &mut Core, input: &Input<'a>) -> Result<(Id, &'a Stream)> {
    match input.stream {
        Some(stream) if stream.engine() == core.engine => Ok((core.id_of(stream), stream)),
        Some(_) => Err(of_another_engine()),
        None => {
            Err(Error::invalid("the chain has no stream here: begin with on, connect or accept"))
        }
    }
}

fn of_another_engine() -> Error {
    Error::invalid("a chain is of one engine, and this stream or listener of another")
}

struct RegexWithStream {
    regex: Regex,
    callback: Callback<(Stream, RegexMatch)>,
}

impl Stage for RegexWithStream {
    fn begin(self: Box<Self>, core: &mut Core, input: Input<'_>) -> Option<Id> {
        let (id, stream) = match stream_of(core, &input) {
            Ok(found) => found,
            Err(error) => {
                core.fail_boxed(input.chain, self.callback.slot, error);
                return None;
            }
        };
        let matcher =
            SearchOnStream { stream: stream.clone(), search: RegexSearch::new(self.regex) };
        core.begin_read(id, Ok(matcher), Bound::Line, self.callback, other, input.chain)
    }

    /// Hears of the stage before it as of its own.
    fn fail(self: Box<Self>, core: &mut Core, error: Error) {
        let error = match error {
            Error::Stage { cause, .. } => *cause,
            error => error,
        };
        core.fail_boxed(Id::NONE, self.callback.slot, error);
    }
}

/// A search whose match comes with the stream.
struct SearchOnStream {
    stream: Stream,
    search: RegexSearch,
}

impl Matcher for SearchOnStream {
    type Output = (Stream, RegexMatch);

    fn scan(&mut self, unread: &[u8], ended: bool) -> crate::pure::matcher::Scan {
        self.search.scan(unread, ended)
    }

    fn scan_within(
        &mut self,
        unread: &[u8],
        ended: bool,
        steps: &mut crate::pure::matcher::Steps,
    ) -> Option<crate::pure::matcher::Scan> {
        self.search.scan_within(unread, ended, steps)
    }

    fn restart(&mut self) {
        self.search.restart();
    }

    fn output(&mut self, taken: Bytes) -> Result<Self::Output> {
        Ok((self.stream.clone(), self.search.output(taken)?))
    }

    fn lookahead(&self) -> usize {
        self.search.lookahead()
    }
}
