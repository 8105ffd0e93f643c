//! Names, connections made and connections accepted.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::{
    core::Core,
    handles::{
        callback::Callback, cancel::Cancel, handle::Handle, listener::Listener, observer::Subject,
        stream::Stream,
    },
    pure::{
        address::{AddrInfo, Address, Hints, IntoAddress, Query, Service},
        error::Result,
        options::ConnectOptions,
        pattern::{LinePattern, Regex, RegexMatch},
        table::Id,
    },
    system::sys::address,
};

impl Handle {
    /// Looks up a host and a service: `"80"`, `"http"` or 80. Succeeds with the answers in the
    /// order in which to try them. Literal addresses are answered without a thread. See
    /// getaddrinfo(3) and RFC 6724.
    ///
    /// # Errors
    ///
    /// [`Error::Resolve`](crate::Error::Resolve) if the name is unknown or the resolver cannot be
    /// reached; [`Error::InvalidInput`](crate::Error::InvalidInput) for a host or service that can
    /// be none (empty, with a NUL, too long, a port beyond 65535);
    /// [`Error::Overloaded`](crate::Error::Overloaded) when too many lookups wait.
    ///
    /// # Cancellation
    ///
    /// Reported at once. The resolver cannot be interrupted, so its thread goes on and its late
    /// answer is dropped; another thread takes its place, up to a bound. On Windows no thread
    /// waits, and the system is asked to end the lookup.
    ///
    /// ```
    /// use facade_engine::{AddrInfo, Callback, Engine, Hints};
    ///
    /// let engine = Engine::new()?;
    /// engine.getaddrinfo("127.0.0.1", 80, Hints::default(), Callback::new(
    ///     |_, found: Vec<AddrInfo>| assert_eq!(found[0].address.to_string(), "127.0.0.1:80"),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn getaddrinfo(
        &self,
        host: impl AsRef<str>,
        service: impl Into<Service>,
        hints: Hints,
        mut cb: Callback<Vec<AddrInfo>>,
    ) -> Cancel {
        let query = Query::new(host.as_ref(), service.into(), hints);
        cb.observed(self, "getaddrinfo", String::new);
        self.submit(move |core| core.begin_lookup(query, cb, Id::NONE))
    }

    /// Looks up a host and connects to the first of its addresses that answers, by [RFC 8305]: the
    /// families take turns, and the next attempt begins beside the last after 250 ms or when it
    /// fails. The first callback gets the addresses, the second the connection; the timeout of the
    /// second runs from the success of the lookup.
    ///
    /// # Errors
    ///
    /// As [`getaddrinfo`](Self::getaddrinfo) and [`connect`](Self::connect); the second callback
    /// gets [`Error::Stage`](crate::Error::Stage) if the lookup failed.
    ///
    /// # Cancellation
    ///
    /// Reported at once; every attempt under way is closed.
    ///
    /// [RFC 8305]: https://www.rfc-editor.org/rfc/rfc8305
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Stream};
    ///
    /// let engine = Engine::new()?;
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// let (host, port) = ("127.0.0.1", listener.local_addr().unwrap().port());
    /// engine.getaddrinfo_then_connect(host, port, (
    ///     Callback::ignore(),
    ///     Callback::new(
    ///         move |_, stream: Stream| assert_eq!(stream.peer_addr().unwrap().port(), port),
    ///         |_, error| panic!("{error}"),
    ///     ),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "happy eyeballs")]
    pub fn getaddrinfo_then_connect(
        &self,
        host: impl AsRef<str>,
        service: impl Into<Service>,
        (cb1, cb2): (Callback<Vec<AddrInfo>>, Callback<Stream>),
    ) -> Cancel {
        self.getaddrinfo_then_connect_with(host, service, ConnectOptions::new(), (cb1, cb2))
    }

    /// As [`getaddrinfo_then_connect`](Self::getaddrinfo_then_connect), with other options than
    /// [`connect`](Self::connect), see [`ConnectOptions`]. One that binds this end to an address
    /// leaves out what the lookup finds of the other family, if it finds any of the same.
    ///
    /// # Errors and cancellation
    ///
    /// As there; the second callback gets what [`connect_with`](Self::connect_with) can fail with.
    ///
    /// ```
    /// use facade_engine::{Callback, ConnectOptions, Engine, Stream};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new()?;
    /// let listener = engine.listen("127.0.0.1:0")?;
    /// let port = listener.local_addr()?.port();
    /// let options = ConnectOptions::new().keepalive(Duration::from_secs(60));
    /// engine.getaddrinfo_then_connect_with("127.0.0.1", port, options, (
    ///     Callback::ignore(),
    ///     Callback::new(|_, _stream: Stream| (), |_, error| panic!("{error}")),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn getaddrinfo_then_connect_with(
        &self,
        host: impl AsRef<str>,
        service: impl Into<Service>,
        options: ConnectOptions,
        (cb1, cb2): (Callback<Vec<AddrInfo>>, Callback<Stream>),
    ) -> Cancel {
        self.chain().resolve(host, service, cb1).connect_resolved_with(options, cb2).submit()
    }

    /// Connects to a literal address, or on Unix to a path, see [`IntoAddress`]. Succeeds with the
    /// stream; a TCP stream has TCP_NODELAY. See connect(2). For other options there is
    /// [`connect_with`](Self::connect_with), for names
    /// [`getaddrinfo_then_connect`](Self::getaddrinfo_then_connect).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) for a text that is no literal address;
    /// [`Error::Io`](crate::Error::Io) with what the system says: refused, unreachable, no such
    /// path; [`Error::TimedOut`](crate::Error::TimedOut),
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    ///
    /// # Cancellation
    ///
    /// Reported at once; a connection made after it is closed.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Stream};
    ///
    /// let engine = Engine::new()?;
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// let address = listener.local_addr().unwrap();
    /// engine.connect(address, Callback::new(
    ///     move |_, stream: Stream| assert_eq!(stream.peer_addr().unwrap(), address),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn connect(&self, addr: impl IntoAddress, cb: Callback<Stream>) -> Cancel {
        self.connect_with(addr, ConnectOptions::new(), cb)
    }

    /// Connects with other options than [`connect`](Self::connect): from an address of this
    /// machine's choosing, with Nagle's delay, with keepalive; see [`ConnectOptions`].
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect); [`Error::InvalidInput`](crate::Error::InvalidInput) also for
    /// an option that makes no sense, such as a buffer of no bytes;
    /// [`Error::Unsupported`](crate::Error::Unsupported) for one that this system does not have,
    /// which it names; [`Error::Io`](crate::Error::Io) of the operation `bind` if the system refuses
    /// the local address, and of `setsockopt` if it refuses an option.
    ///
    /// # Cancellation
    ///
    /// As [`connect`](Self::connect).
    ///
    /// ```
    /// use facade_engine::{Callback, ConnectOptions, Engine, Stream};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new()?;
    /// let listener = engine.listen("127.0.0.1:0")?;
    /// let options = ConnectOptions::new().keepalive(Duration::from_secs(60));
    /// engine.connect_with(listener.local_addr()?, options, Callback::new(
    ///     |_, _stream: Stream| (),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn connect_with(
        &self,
        addr: impl IntoAddress,
        options: ConnectOptions,
        mut cb: Callback<Stream>,
    ) -> Cancel {
        let address = addr.into_address();
        cb.observed(self, "connect", || {
            address.as_ref().map_or_else(|_| String::new(), ToString::to_string)
        });
        self.submit(move |core| core.begin_connect(address, options, cb, Id::NONE))
    }

    /// Connects, then reads the next line if it is the expected one: a greeting. The callbacks get
    /// the stream, then the line. The timeout of the second runs from the connection.
    ///
    /// # Errors and cancellation
    ///
    /// As [`connect`](Self::connect) and [`expect_line`](Self::expect_line); if the connection
    /// fails, the second callback gets [`Error::Stage`](crate::Error::Stage). If nobody kept the
    /// stream that the first callback got, it is closed when the chain ends.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, LineGlob};
    ///
    /// let engine = Engine::new()?;
    /// let listener = engine.listen("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let ignored = (Callback::ignore(), Callback::ignore());
    /// # engine.accept_then_write(&listener, "220 ready\r\n", ignored);
    /// engine.connect_then_expect_line(address, LineGlob::new("220 *")?, (
    ///     Callback::ignore(),
    ///     Callback::new(|_, line| assert_eq!(line, "220 ready"), |_, error| panic!("{error}")),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn connect_then_expect_line(
        &self,
        addr: impl IntoAddress,
        line: impl Into<LinePattern>,
        (cb1, cb2): (Callback<Stream>, Callback<Bytes>),
    ) -> Cancel {
        self.chain().connect(addr, cb1).expect_line(line, cb2).submit()
    }

    /// Connects, then writes a line. The callbacks get the stream, then how many bytes were
    /// written, line end included. The timeout of the second runs from the connection.
    ///
    /// # Errors and cancellation
    ///
    /// As [`connect`](Self::connect) and [`write_line`](Self::write_line); if the connection
    /// fails, the second callback gets [`Error::Stage`](crate::Error::Stage). If nobody kept the
    /// stream that the first callback got, it is closed when the chain ends.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    ///
    /// let engine = Engine::new()?;
    /// let listener = engine.listen("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// # engine.accept_then_expect_line(&listener, "hello", (
    /// #     Callback::ignore(),
    /// #     Callback::new(|_, line| assert_eq!(line, "hello"), |_, error| panic!("{error}")),
    /// # ));
    /// engine.connect_then_write_line(address, "hello", (
    ///     Callback::ignore(),
    ///     Callback::new(|_, count| assert_eq!(count, 7), |_, error| panic!("{error}")),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn connect_then_write_line(
        &self,
        addr: impl IntoAddress,
        line: impl Into<Bytes>,
        (cb1, cb2): (Callback<Stream>, Callback<usize>),
    ) -> Cancel {
        self.chain().connect(addr, cb1).write_line(line, cb2).submit()
    }

    /// Accepts the next connection. Succeeds with its stream; a TCP stream has TCP_NODELAY. See
    /// accept(2).
    ///
    /// Out of descriptors it stays pending and is tried again; connections that died while they
    /// waited are skipped.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed) if the listener was closed,
    /// [`Error::Cancelled`](crate::Error::Cancelled), [`Error::TimedOut`](crate::Error::TimedOut).
    ///
    /// # Cancellation
    ///
    /// Ends by the next turn; a connection that comes later is there for the next accept.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Stream};
    /// use std::net::TcpStream;
    ///
    /// let engine = Engine::new()?;
    /// let listener = engine.listen("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let connection = TcpStream::connect(address).unwrap();
    /// let client = connection.local_addr().unwrap();
    /// engine.accept(&listener, Callback::new(
    ///     move |_, stream: Stream| assert_eq!(stream.peer_addr().unwrap(), client),
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    #[doc(alias = "accept4")]
    pub fn accept(&self, l: &Listener, mut cb: Callback<Stream>) -> Cancel {
        let listener = l.clone();
        l.observe(&mut cb, "accept");
        l.handle().submit(move |core| core.begin_accept(&listener, cb, Id::NONE))
    }

    /// Accepts, then writes. The callbacks get the stream, then how many bytes were written. The
    /// timeout of the second runs from the connection.
    ///
    /// # Errors and cancellation
    ///
    /// As [`accept`](Self::accept) and [`write`](Self::write); if the accept fails, the second
    /// callback gets [`Error::Stage`](crate::Error::Stage). If nobody kept the stream that the
    /// first callback got, it is closed when the chain ends.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine};
    /// use std::{io::Read, net::TcpStream};
    ///
    /// let engine = Engine::new()?;
    /// let listener = engine.listen("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let mut client = TcpStream::connect(address).unwrap();
    /// let callbacks = (Callback::ignore(), Callback::ignore());
    /// engine.accept_then_write(&listener, "220 ready\r\n", callbacks);
    /// engine.run()?;
    /// // Nobody kept the stream, so it is closed.
    /// let mut received = String::new();
    /// client.read_to_string(&mut received).unwrap();
    /// assert_eq!(received, "220 ready\r\n");
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn accept_then_write(
        &self,
        l: &Listener,
        buf: impl Into<Bytes>,
        (cb1, cb2): (Callback<Stream>, Callback<usize>),
    ) -> Cancel {
        self.chain().accept(l, cb1).write(buf, cb2).submit()
    }

    /// Accepts, then reads the next line if it is the expected one. The callbacks get the stream,
    /// then the line. The timeout of the second runs from the connection.
    ///
    /// # Errors and cancellation
    ///
    /// As [`accept`](Self::accept) and [`expect_line`](Self::expect_line); if the accept fails, the
    /// second callback gets [`Error::Stage`](crate::Error::Stage). If nobody kept the stream that
    /// the first callback got, it is closed when the chain ends.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, LineGlob};
    /// use std::{io::Write, net::TcpStream};
    ///
    /// let engine = Engine::new()?;
    /// let listener = engine.listen("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let mut client = TcpStream::connect(address).unwrap();
    /// client.write_all(b"HELO me\r\n").unwrap();
    /// engine.accept_then_expect_line(&listener, LineGlob::new("HELO *")?, (
    ///     Callback::ignore(),
    ///     Callback::new(|_, line| assert_eq!(line, "HELO me"), |_, error| panic!("{error}")),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn accept_then_expect_line(
        &self,
        l: &Listener,
        line: impl Into<LinePattern>,
        (cb1, cb2): (Callback<Stream>, Callback<Bytes>),
    ) -> Cancel {
        self.chain().accept(l, cb1).expect_line(line, cb2).submit()
    }

    /// Accepts, then reads through a match of `regex`, which may span lines. One callback gets the
    /// connection and the match. Its timeout runs from the connection, however long that was waited
    /// for; to bound both, see
    /// [`Chain::expect_multiline_regex`](crate::Chain::expect_multiline_regex).
    ///
    /// # Errors and cancellation
    ///
    /// As [`accept`](Self::accept) and [`read_until_regex`](Self::read_until_regex). A connection
    /// that does not send a match is closed.
    ///
    /// ```
    /// use facade_engine::{Callback, Engine, Regex, RegexMatch, Stream};
    /// use std::{io::Write, net::TcpStream};
    ///
    /// let engine = Engine::new()?;
    /// let listener = engine.listen("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let mut client = TcpStream::connect(address).unwrap();
    /// client.write_all(b"GET /index HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    /// let head = Regex::new(r"(?s)^GET (?<path>[^ ]+) .*\r\n\r\n")?;
    /// engine.accept_then_expect_multiline_regex(&listener, head, Callback::new(
    ///     |_, (_stream, head): (Stream, RegexMatch)| {
    ///         assert_eq!(head.name("path").unwrap(), "/index");
    ///     },
    ///     |_, error| panic!("{error}"),
    /// ));
    /// engine.run()?;
    /// # Ok::<(), facade_engine::Error>(())
    /// ```
    pub fn accept_then_expect_multiline_regex(
        &self,
        l: &Listener,
        regex: Regex,
        cb: Callback<(Stream, RegexMatch)>,
    ) -> Cancel {
        self.chain().accept(l, Callback::ignore()).expect_multiline_regex(regex, cb).submit()
    }
}

impl Core {
    pub(crate) fn begin_lookup(
        &mut self,
        query: Result<Query>,
        cb: Callback<Vec<AddrInfo>>,
        chain: Id,
    ) -> Option<Id> {
        let Callback { slot, timeout } = cb;
        match query {
            Ok(query) => self.lookup(query, slot, timeout, chain),
            Err(error) => {
                self.fail_boxed(chain, slot, error);
                None
            }
        }
    }

    pub(crate) fn begin_connect(
        &mut self,
        address: Result<Address>,
        options: ConnectOptions,
        cb: Callback<Stream>,
        chain: Id,
    ) -> Option<Id> {
        let Callback { slot, timeout } = cb;
        let checked = address.and_then(|address| {
            options.check()?;
            address::to_system(&address)?;
            Ok(address)
        });
        match checked {
            Ok(address) => self.connect(address, options, slot, timeout, chain),
            Err(error) => {
                self.fail(chain, slot, error);
                None
            }
        }
    }

    pub(crate) fn begin_connect_any(
        &mut self,
        addresses: Vec<SocketAddr>,
        options: ConnectOptions,
        cb: Callback<Stream>,
        chain: Id,
    ) -> Option<Id> {
        let Callback { slot, timeout } = cb;
        match options.check() {
            Ok(()) => self.connect_any(addresses, options, slot, timeout, chain),
            Err(error) => {
                self.fail(chain, slot, error);
                None
            }
        }
    }

    pub(crate) fn begin_accept(
        &mut self,
        listener: &Listener,
        cb: Callback<Stream>,
        chain: Id,
    ) -> Option<Id> {
        let Callback { slot, timeout } = cb;
        let id = self.id_of_listener(listener);
        self.accept(id, slot, timeout, chain)
    }
}
