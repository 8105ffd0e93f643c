//! Repeating operations: one submission, one closure that is given one thing after the other, and
//! one callback that hears how it ended.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    core::{
        Core,
        repeat::Repeat,
        stream::read::{Form, Plain, Read},
    },
    handles::{
        callback::Callback,
        cancel::Cancel,
        handle::Handle,
        listener::Listener,
        local::Local,
        observer::Subject,
        repeating::{IntoHandler, kept, sent},
        stream::Stream,
        udp_socket::UdpSocket,
    },
    pure::{
        datagram::Datagram,
        error::{Error, Result},
        limits::Bound,
        matcher::{Chunk, Line},
        panics::Contained,
        table::Id,
    },
};

/// Repeating operations.
///
/// Each calls a closure, its handler, with one thing after the other, and its callback once, with
/// how it ended. What they have in common:
///
/// - The handler is called as callbacks are: on the engine's thread, with nothing borrowed, never
///   inside the call that submits. What it was given is taken; what it was not given is unread, or
///   untaken, and there for whatever is submitted next. No call comes after the callback.
/// - It is given up to 64 things in a row before others have their turn.
/// - [`Local::repeating`] is its [`Cancel`] within the handler: to end it, or to
///   [`pause`](Cancel::pause) it.
/// - The callback's timeout bounds the wait for each thing, from the submission and then from where
///   the handler has returned with nothing more there. While it is paused no time runs.
/// - It stands in the queue of its stream or listener as one operation, and those behind it have
///   their turn when it has ended.
/// - A panic of the handler ends it: the run resumes the panic, and the callback gets
///   [`Error::Panicked`].
///
/// The methods of the same names of [`Local`] take handlers that are not `Send`.
impl Handle {
    /// Calls `f` with each line, without its LF or CRLF, until the stream ends: a
    /// [`read_line`](Self::read_line) that repeats.
    ///
    /// It pauses while more than [`Limits::unsent`](crate::Limits::unsent) bytes are unsent on the
    /// stream, written or queued: a peer that sends lines and does not read the answers has to wait,
    /// and costs no more memory than that. A file is the exception, whose writes wait for the reads
    /// before them; and writes behind a [`copy`](Self::copy) to the stream are not counted, which
    /// wait for that.
    ///
    /// Succeeds when the stream has ended with a line. An unfinished last line is no line, as for
    /// [`read_line`](Self::read_line): then it fails with [`Error::EndOfStream`], and the rest is
    /// there for a [`read_all`](Self::read_all).
    ///
    /// # Errors
    ///
    /// [`Error::EndOfStream`] if the stream ends within a line; [`Error::TooLong`] beyond
    /// [`Limits::line`](crate::Limits::line), which leaves the bytes; [`Error::Panicked`];
    /// [`Error::Cancelled`], [`Error::TimedOut`], [`Error::Io`], [`Error::Closed`].
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn, and at once if it is cancelled in the handler or another callback of
    /// the engine; no byte is lost.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(b"one\ntwo\nthree\n").unwrap();
    /// # peer.shutdown(std::net::Shutdown::Write).unwrap();
    /// let answers = stream.clone();
    /// engine.each_line(
    ///     &stream,
    ///     move |engine, line: Bytes| drop(engine.write_line(&answers, line, Callback::ignore())),
    ///     Callback::new(|_, ()| println!("no more lines"), |_, error| eprintln!("{error}")),
    /// );
    /// engine.run()?;
    /// # drop((engine, stream));
    /// # let mut received = String::new();
    /// # std::io::Read::read_to_string(&mut peer, &mut received).unwrap();
    /// # assert_eq!(received, "one\r\ntwo\r\nthree\r\n");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "lines")]
    pub fn each_line(
        &self,
        s: &Stream,
        f: impl FnMut(&Local, Bytes) + Send + 'static,
        cb: Callback<()>,
    ) -> Cancel {
        let line = Ok(Plain::Line(Line::new()));
        Self::repeat_read(s, "each_line", line, Bound::Line, sent(f), cb)
    }

    /// Calls `f` with what there is, 1 to `size` bytes at a time, until the stream ends: a
    /// [`read_chunk`](Self::read_chunk) that repeats. Succeeds at the end of the stream.
    ///
    /// It pauses while more than [`Limits::unsent`](crate::Limits::unsent) bytes are unsent on the
    /// stream, as [`each_line`](Self::each_line) does.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for size 0; [`Error::Panicked`]; [`Error::Cancelled`],
    /// [`Error::TimedOut`], [`Error::Io`], [`Error::Closed`].
    ///
    /// # Cancellation
    ///
    /// As of [`each_line`](Self::each_line).
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let engine = Engine::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let stream = engine.attach(ours)?;
    /// peer.write_all(&[7; 100_000]).unwrap();
    /// drop(peer);
    /// let mut total = 0;
    /// engine.each_chunk(
    ///     &stream,
    ///     16 << 10,
    ///     move |_, chunk: Bytes| {
    ///         total += chunk.len();
    ///         println!("{total} bytes so far");
    ///     },
    ///     Callback::new(|_, ()| println!("that is all"), |_, error| panic!("{error}")),
    /// );
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn each_chunk(
        &self,
        s: &Stream,
        size: usize,
        f: impl FnMut(&Local, Bytes) + Send + 'static,
        cb: Callback<()>,
    ) -> Cancel {
        let chunk = Chunk::new(size).map(Plain::Chunk);
        Self::repeat_read(s, "each_chunk", chunk, Bound::None, sent(f), cb)
    }

    /// Calls `f` with each connection: an [`accept`](Self::accept) that repeats. It never ends by
    /// itself, so that `cb` gets an error in any case.
    ///
    /// Out of descriptors it goes on when there are some, and connections that died while they
    /// waited are skipped, as by [`accept`](Self::accept). While it is [paused](Cancel::pause)
    /// connections wait, [`Limits::accepted`](crate::Limits::accepted) of them in the engine and
    /// the others in the backlog.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if the listener was closed; [`Error::Panicked`]; [`Error::Cancelled`],
    /// [`Error::TimedOut`], [`Error::Io`].
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn, and at once if it is cancelled in the handler or another callback of
    /// the engine; a connection that the handler was not given is there for the next accept.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Stream};
    /// use std::{io::Read, net::TcpStream};
    ///
    /// let engine = Engine::new()?;
    /// let listener = engine.listen("127.0.0.1:0")?;
    /// let mut client = TcpStream::connect(listener.local_addr()?).unwrap();
    /// engine.each_connection(
    ///     &listener,
    ///     |engine, stream: Stream| {
    ///         engine.write_line(&stream, "hello", Callback::ignore());
    /// #       engine.stop();
    ///     },
    ///     Callback::new(|_, ()| (), |_, error| eprintln!("{error}")),
    /// );
    /// engine.run()?;
    /// # let mut received = [0; 7];
    /// # client.read_exact(&mut received).unwrap();
    /// # assert_eq!(&received, b"hello\r\n");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "incoming")]
    pub fn each_connection(
        &self,
        l: &Listener,
        f: impl FnMut(&Local, Stream) + Send + 'static,
        cb: Callback<()>,
    ) -> Cancel {
        Self::repeat_accept(l, sent(f), cb)
    }

    /// Calls `f` with each datagram: a [`recv_from`](Self::recv_from) that repeats. It never ends by
    /// itself, so that `cb` gets an error in any case.
    ///
    /// It pauses while more than [`Limits::unsent`](crate::Limits::unsent) bytes wait for room on the
    /// socket, so that whoever answers is not flooded. While it is paused datagrams wait in the
    /// system's queue, which loses what comes when it is full: see SO_RCVBUF in socket(7).
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with what the system tells of the socket, as [`recv_from`](Self::recv_from) does:
    /// on a connected one that nobody is there. It is told once and nothing is lost by it, so that
    /// another `each_datagram` goes on. [`Error::Closed`] if the socket was closed;
    /// [`Error::Panicked`]; [`Error::Cancelled`], [`Error::TimedOut`].
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn, and at once if it is cancelled in the handler or another callback of
    /// the engine; a datagram that the handler was not given is there for the next receive.
    ///
    /// ```
    /// use facade_engine::{Callback, Datagram, Engine};
    /// use std::net::UdpSocket;
    ///
    /// let engine = Engine::new()?;
    /// let socket = engine.bind_udp("127.0.0.1:0")?;
    /// let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    /// client.send_to(b"hello", socket.local_addr()?).unwrap();
    /// let answers = socket.clone();
    /// engine.each_datagram(
    ///     &socket,
    ///     move |engine, datagram: Datagram| {
    ///         let from = datagram.from.as_inet().unwrap();
    ///         engine.send_to(&answers, datagram.bytes, from, Callback::ignore());
    /// #       engine.stop();
    ///     },
    ///     Callback::new(|_, ()| (), |_, error| eprintln!("{error}")),
    /// );
    /// engine.run()?;
    /// # let mut received = [0; 9];
    /// # assert_eq!(client.recv(&mut received).unwrap(), 5);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "recvfrom")]
    pub fn each_datagram(
        &self,
        u: &UdpSocket,
        f: impl FnMut(&Local, Datagram) + Send + 'static,
        cb: Callback<()>,
    ) -> Cancel {
        Self::repeat_receive(u, sent(f), cb)
    }

    /// Calls `f` whenever the process gets the signal of this number: a [`signal`](Self::signal) that
    /// repeats. It never ends by itself, so that `cb` gets an error in any case.
    ///
    /// As many of them as come before the handler has been told are one, as they are to the system,
    /// signal(7). All that [`signal`](Self::signal) says of the process and of others who wait holds
    /// here.
    ///
    /// # Errors
    ///
    /// Those of [`signal`](Self::signal), and [`Error::Panicked`].
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn, and at once if it is cancelled in the handler or another callback of
    /// the engine. A signal that came and that the handler was not told of is there for whoever waits
    /// for it, or for the next operation.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    ///
    /// let engine = Engine::new()?;
    /// engine.each_signal(
    ///     libc::SIGHUP,
    ///     |engine, ()| {
    ///         println!("reading the configuration again");
    /// #       engine.stop();
    ///     },
    ///     Callback::new(|_, ()| (), |_, error| eprintln!("{error}")),
    /// );
    /// let this = rustix::process::getpid(); // kill(1) would do
    /// rustix::process::kill_process(this, rustix::process::Signal::HUP).unwrap();
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "sigaction")]
    pub fn each_signal(
        &self,
        number: i32,
        f: impl FnMut(&Local, ()) + Send + 'static,
        cb: Callback<()>,
    ) -> Cancel {
        self.repeat_signal(number, sent(f), cb)
    }

    /// Calls `f` every `period`, for the first time one period from now, with how many ticks have
    /// come since the last call: 1, unless the engine was busy for longer than that. It never ends
    /// by itself, so that `cb` gets an error in any case.
    ///
    /// Tick `n` is due `n` periods after the submission, however late an earlier one was told: there
    /// is no drift. Ticks that were missed are not made up for by calls in a row but told as a
    /// number, and the next one comes when it is due: tokio calls this
    /// [`MissedTickBehavior::Skip`](https://docs.rs/tokio/latest/tokio/time/enum.MissedTickBehavior.html#variant.Skip).
    /// While it is paused ticks are missed as well.
    ///
    /// The clock is that of [`sleep`](Self::sleep). A callback whose timeout is shorter than the
    /// period expires before the first tick.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a period of zero; [`Error::Panicked`]; [`Error::Cancelled`],
    /// [`Error::TimedOut`].
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn, and at once if it is cancelled in the handler or another callback of
    /// the engine.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new()?;
    /// let mut passed = 0;
    /// engine.every(
    ///     Duration::from_millis(2),
    ///     move |engine, ticks| {
    ///         passed += ticks;
    ///         println!("{passed} ticks");
    ///         if passed >= 3 {
    ///             engine.stop();
    ///         }
    ///     },
    ///     Callback::ignore(),
    /// );
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "interval")]
    #[doc(alias = "timer")]
    pub fn every(
        &self,
        period: Duration,
        f: impl FnMut(&Local, u64) + Send + 'static,
        cb: Callback<()>,
    ) -> Cancel {
        self.repeat_ticks(period, sent(f), cb)
    }

    fn repeat_read(
        s: &Stream,
        operation: &'static str,
        matcher: Result<Plain>,
        bound: Bound,
        handler: Box<dyn IntoHandler>,
        mut cb: Callback<()>,
    ) -> Cancel {
        // An engine that is gone drops it together with the callback.
        let handler = Contained::new(handler);
        s.observe(&mut cb, operation);
        Self::submit_on(s, move |core, id| {
            let repeat = repeat(handler, cb);
            match matcher {
                Ok(matcher) => core.begin_repeating_read(id, matcher, bound, repeat),
                Err(error) => core.refuse_repeat(*repeat, error),
            }
        })
    }

    fn repeat_accept(l: &Listener, handler: Box<dyn IntoHandler>, mut cb: Callback<()>) -> Cancel {
        let handler = Contained::new(handler);
        let listener = l.clone();
        l.observe(&mut cb, "each_connection");
        l.handle().submit(move |core| {
            let id = core.id_of_listener(&listener);
            core.accept_each(id, repeat(handler, cb))
        })
    }

    fn repeat_receive(
        u: &UdpSocket,
        handler: Box<dyn IntoHandler>,
        mut cb: Callback<()>,
    ) -> Cancel {
        let handler = Contained::new(handler);
        let socket = u.clone();
        u.observe(&mut cb, "each_datagram");
        u.handle().submit(move |core| {
            let id = core.id_of_datagrams(&socket);
            core.receive_each_datagram(id, repeat(handler, cb))
        })
    }

    fn repeat_signal(
        &self,
        number: i32,
        handler: Box<dyn IntoHandler>,
        mut cb: Callback<()>,
    ) -> Cancel {
        let handler = Contained::new(handler);
        let watched = self.watch_signal(number);
        cb.observed(self, "each_signal", || number.to_string());
        self.submit(move |core| core.wait_for_each_signal(number, watched, repeat(handler, cb)))
    }

    fn repeat_ticks(
        &self,
        period: Duration,
        handler: Box<dyn IntoHandler>,
        mut cb: Callback<()>,
    ) -> Cancel {
        let handler = Contained::new(handler);
        cb.observed(self, "every", String::new);
        self.submit(move |core| {
            let repeat = *repeat(handler, cb);
            match period {
                Duration::ZERO => core.refuse_repeat(repeat, Error::invalid("a period of no time")),
                period => core.every(period, repeat),
            }
        })
    }

    /// Tells a callback that what belongs to another engine has no use for a handler of this one.
    fn refuse_foreign(&self, cb: Callback<()>) -> Cancel {
        let what = "a handler that is not `Send` cannot serve what belongs to another engine";
        self.complete(cb, Err(Error::invalid(what)))
    }
}

/// Repeating operations with handlers that need not be `Send`: such as hold an `Rc`. They are what
/// these methods mean inside a callback, and on an [`Engine`](crate::Engine).
///
/// A handler stays on this thread, in the table of this engine, as closures of
/// [`Callback::local`] do. So the stream or listener has to be of this engine, too: with another's
/// the callback gets [`Error::InvalidInput`], and [`Local::handle`] has the methods for that.
impl Local {
    /// [`Handle::each_line`] with a handler that need not be `Send`.
    ///
    /// ```
    /// use facade_engine::{Bytes, Callback, Engine};
    /// use std::{cell::RefCell, io::Write, os::unix::net::UnixStream, rc::Rc};
    ///
    /// let engine = Engine::new()?;
    /// let lines = Rc::new(RefCell::new(Vec::new()));
    /// for text in ["a\nb\n", "c\n"] {
    ///     let (mut peer, ours) = UnixStream::pair().unwrap();
    ///     peer.write_all(text.as_bytes()).unwrap();
    ///     let lines = Rc::clone(&lines);
    ///     engine.each_line(
    ///         &engine.attach(ours)?,
    ///         move |_, line: Bytes| lines.borrow_mut().push(line),
    ///         Callback::ignore(),
    ///     );
    /// }
    /// engine.run()?;
    /// assert_eq!(lines.borrow().len(), 3);
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn each_line(
        &self,
        s: &Stream,
        f: impl FnMut(&Self, Bytes) + 'static,
        cb: Callback<()>,
    ) -> Cancel {
        if s.engine() != self.id() {
            return self.refuse_foreign(cb);
        }
        let handler = kept(self, f);
        let line = Ok(Plain::Line(Line::new()));
        Handle::repeat_read(s, "each_line", line, Bound::Line, handler, cb)
    }

    /// [`Handle::each_chunk`] with a handler that need not be `Send`.
    ///
    /// See [`Local::each_line`] for an example.
    pub fn each_chunk(
        &self,
        s: &Stream,
        size: usize,
        f: impl FnMut(&Self, Bytes) + 'static,
        cb: Callback<()>,
    ) -> Cancel {
        if s.engine() != self.id() {
            return self.refuse_foreign(cb);
        }
        let chunk = Chunk::new(size).map(Plain::Chunk);
        Handle::repeat_read(s, "each_chunk", chunk, Bound::None, kept(self, f), cb)
    }

    /// [`Handle::each_connection`] with a handler that need not be `Send`.
    ///
    /// See [`Local::each_line`] for an example.
    pub fn each_connection(
        &self,
        l: &Listener,
        f: impl FnMut(&Self, Stream) + 'static,
        cb: Callback<()>,
    ) -> Cancel {
        if l.handle().id() != self.id() {
            return self.refuse_foreign(cb);
        }
        Handle::repeat_accept(l, kept(self, f), cb)
    }

    /// [`Handle::each_datagram`] with a handler that need not be `Send`.
    ///
    /// See [`Local::each_line`] for an example.
    pub fn each_datagram(
        &self,
        u: &UdpSocket,
        f: impl FnMut(&Self, Datagram) + 'static,
        cb: Callback<()>,
    ) -> Cancel {
        if u.handle().id() != self.id() {
            return self.refuse_foreign(cb);
        }
        Handle::repeat_receive(u, kept(self, f), cb)
    }

    /// [`Handle::each_signal`] with a handler that need not be `Send`.
    ///
    /// See [`Local::each_line`] for an example.
    pub fn each_signal(
        &self,
        number: i32,
        f: impl FnMut(&Self, ()) + 'static,
        cb: Callback<()>,
    ) -> Cancel {
        self.repeat_signal(number, kept(self, f), cb)
    }

    /// [`Handle::every`] with a handler that need not be `Send`.
    ///
    /// See [`Local::each_line`] for an example.
    pub fn every(
        &self,
        period: Duration,
        f: impl FnMut(&Self, u64) + 'static,
        cb: Callback<()>,
    ) -> Cancel {
        self.repeat_ticks(period, kept(self, f), cb)
    }
}

/// What all of them are made of, on the engine's thread.
fn repeat(handler: Contained<Box<dyn IntoHandler>>, cb: Callback<()>) -> Box<Repeat> {
    let Callback { slot, timeout } = cb;
    Box::new(Repeat::new(handler.into_inner().into_handler(), slot, timeout))
}

impl Core {
    fn begin_repeating_read(
        &mut self,
        stream: Id,
        matcher: Plain,
        bound: Bound,
        repeat: Box<Repeat>,
    ) -> Option<Id> {
        let (limit, timeout) = (self.limit(stream, bound), repeat.timeout);
        self.read(stream, Read { limit, form: Form::Repeat(matcher, repeat) }, timeout, Id::NONE)
    }

    fn refuse_repeat(&mut self, repeat: Repeat, error: Error) -> Option<Id> {
        self.ready.push(repeat.end(Err(error)));
        None
    }
}
