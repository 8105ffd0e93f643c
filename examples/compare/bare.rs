//! The line service on a bare mio loop: what one would write by hand.

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    net,
};

use mio::{
    Events, Interest, Poll, Registry, Token,
    net::{TcpListener, TcpStream},
};

use crate::service::{self, Then};

const LISTENER: Token = Token(0);
const STOP: Token = Token(1);
const CHUNK: usize = 64 << 10;

/// Serves until something comes on `stop`.
pub(crate) fn serve(listener: net::TcpListener, stop: net::TcpStream) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    stop.set_nonblocking(true)?;
    let (mut listener, mut stop) = (TcpListener::from_std(listener), TcpStream::from_std(stop));
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    poll.registry().register(&mut stop, STOP, Interest::READABLE)?;
    let mut events = Events::with_capacity(256);
    let mut connections = HashMap::new();
    let mut chunk = vec![0; CHUNK];
    let mut next = Token(2);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            match event.token() {
                STOP => return Ok(()),
                LISTENER => accept(&listener, poll.registry(), &mut connections, &mut next)?,
                token => {
                    // An event may be left over from before its connection ended.
                    let Some(connection) = connections.get_mut(&token) else { continue };
                    if !connection.turn(&mut chunk, event.is_read_closed()).unwrap_or(false) {
                        connections.remove(&token);
                    }
                }
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    registry: &Registry,
    connections: &mut HashMap<Token, Connection>,
    next: &mut Token,
) -> io::Result<()> {
    while let Some((mut stream, _)) = ready(listener.accept())? {
        stream.set_nodelay(true)?;
        // Edge-triggered, so an interest in writing costs nothing while nothing is unsent.
        registry.register(&mut stream, *next, Interest::READABLE | Interest::WRITABLE)?;
        let unsent = service::READY.as_bytes().to_vec();
        connections
            .insert(*next, Connection { stream, unsent, unread: Vec::new(), closing: false });
        next.0 += 1;
    }
    Ok(())
}

struct Connection {
    stream: TcpStream,
    /// A line that is not finished.
    unread: Vec<u8>,
    /// What the socket has not taken; nothing more is read meanwhile.
    unsent: Vec<u8>,
    /// Nothing more is read at all.
    closing: bool,
}

impl Connection {
    /// Does what can be done without waiting, and tells whether the connection goes on.
    fn turn(&mut self, chunk: &mut [u8], ended: bool) -> io::Result<bool> {
        let mut drained = false;
        loop {
            while !self.unsent.is_empty() {
                let Some(count) = ready(self.stream.write(&self.unsent))? else { return Ok(true) };
                self.unsent.drain(..count);
            }
            if self.closing || drained {
                return Ok(!self.closing);
            }
            let Some(count) = ready(self.stream.read(chunk))? else { return Ok(true) };
            // A read that comes short has found all there was, but for the end. Where there is no
            // edge, on Windows, only one that finds nothing has mio tell of what comes next.
            drained = cfg!(unix) && count < chunk.len() && !ended;
            self.unread.extend_from_slice(&chunk[..count]);
            self.answer();
            if count == 0 {
                self.closing = true;
                if !self.unread.is_empty() {
                    let words = service::unfinished(&self.unread);
                    self.unsent.extend([&words, b"\r\n".as_slice()].concat());
                }
            }
        }
    }

    /// Answers the lines that are finished.
    fn answer(&mut self) {
        let mut begin = 0;
        while !self.closing
            && let Some(length) = memchr::memchr(b'\n', &self.unread[begin..])
            && length < service::LINE_MAX
        {
            let line = &self.unread[begin..begin + length];
            let reply = service::reply(line.strip_suffix(b"\r").unwrap_or(line));
            self.unsent.extend_from_slice(reply.text());
            if reply.then != Then::LeaveOpen {
                self.unsent.extend_from_slice(b"\r\n");
            }
            self.closing = reply.then == Then::EndLineAndClose;
            begin += length + 1;
        }
        self.unread.drain(..begin);
        if !self.closing && self.unread.len() >= service::LINE_MAX {
            self.unsent.extend_from_slice(service::TOO_LONG.as_bytes());
            self.unsent.extend_from_slice(b"\r\n");
            self.unread.clear();
            self.closing = true;
        }
    }
}

/// Nothing, if the system has nothing now.
fn ready<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
